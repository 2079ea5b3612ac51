//! `cargo run --example hot_standby -- 127.0.0.1:2181 orders host1`: a replicator of the task `orders`. Start several, and kill
//! the one that runs: the next one goes on where it was.

use std::process::ExitCode;
use std::time::Duration;

use recipes::hot_standby::Replicator;
use recipes::session::{Result, connect, is_over};
use recipes::terminal::program;
use tokio::time::interval;

#[tokio::main]
async fn main() -> ExitCode {
    program("hot_standby -- SERVERS TASK HOST", 3, run).await
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let (servers, task, host) = (&arguments[0], &arguments[1], &arguments[2]);
    loop {
        match replicate(servers, task, host).await {
            Err(error) if is_over(&error) => println!("{host} begins anew: {error}"),
            result => return result,
        }
    }
}

async fn replicate(servers: &str, task: &str, host: &str) -> Result<()> {
    let client = connect(servers).await?;
    let standby = Replicator::register(&client, task, host).await?;
    println!("{host} STANDBY");
    let mut running = standby.run().await?;
    println!("{host} RUNNING from row {}, token {}", running.position(), running.token());
    // The rows of the source come at this pace.
    let mut rows = interval(Duration::from_millis(20));
    loop {
        rows.tick().await;
        let row = running.position();
        println!("{host} copies row {row}");
        running.advance(row + 1).await?;
    }
}
