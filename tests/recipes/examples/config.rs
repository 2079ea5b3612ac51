//! `cargo run --example config -- 127.0.0.1:2181 follow /config/app` prints each version of a configuration;
//! `… publish /config/app "threads=8"` replaces it.

use std::process::ExitCode;

use recipes::config::{Follower, current, publish};
use recipes::session::{Result, close, connect};
use recipes::terminal::program;
use zookeeper_client::Error;

#[tokio::main]
async fn main() -> ExitCode {
    program("config -- SERVERS follow PATH | SERVERS publish PATH TEXT", 3, run).await
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let (command, path) = (&arguments[1], &arguments[2]);
    let client = connect(&arguments[0]).await?;
    match (command.as_str(), arguments.get(3)) {
        ("follow", None) => {
            let mut follower = Follower::new(&client, path);
            loop {
                let version = follower.next().await?;
                println!("version {}: {}", version.number, version.text);
            }
        }
        ("publish", Some(text)) => {
            // Only over what is there now: two that publish at once don't overwrite each other unseen.
            let replaced = current(&client, path).await?.map(|version| version.number);
            println!("published version {}", publish(&client, path, text, replaced).await?);
            close(client).await;
            Ok(())
        }
        _ => Err(Error::BadArguments(&"follow PATH, or publish PATH TEXT")),
    }
}
