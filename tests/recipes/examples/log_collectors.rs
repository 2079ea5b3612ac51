//! `cargo run --example log_collectors -- 127.0.0.1:2181 collect c1`: a collector. `… source web1` registers a host whose logs are
//! to be collected. Start some of both, and kill a collector: the others share its hosts.

use std::process::ExitCode;

use recipes::log_collectors::{Collector, report_source};
use recipes::session::{Result, close, connect, interrupted, is_over};
use recipes::terminal::program;
use zookeeper_client::Error;

#[tokio::main]
async fn main() -> ExitCode {
    program("log_collectors -- SERVERS collect NAME | SERVERS source HOST", 3, run).await
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let (servers, name) = (&arguments[0], &arguments[2]);
    match arguments[1].as_str() {
        "collect" => loop {
            match collect(servers, name).await {
                Err(error) if is_over(&error) => println!("{name} collects nothing: {error}"),
                result => return result,
            }
        },
        "source" => {
            let client = connect(servers).await?;
            report_source(&client, name, "alive").await?;
            close(client).await;
            Ok(())
        }
        _ => Err(Error::BadArguments(&"collect NAME, or source HOST")),
    }
}

async fn collect(servers: &str, name: &str) -> Result<()> {
    let client = connect(servers).await?;
    let mut collector = Collector::join(&client, name).await?;
    loop {
        tokio::select! {
            biased;
            // Its hosts may be somebody else's soon.
            () = interrupted(&client) => return Err(Error::ConnectionLoss),
            changed = collector.rebalance(|host| println!("{name} stops {host}")) => changed?,
        }
        let hosts: Vec<&str> = collector.hosts().into_iter().collect();
        println!("{name} collects {}", hosts.join(","));
        collector.report(&format!("collects from {} hosts", hosts.len())).await?;
    }
}
