//! `cargo run --example naming -- 127.0.0.1:2181 order 3` prints three names of orders that nobody else has.

use std::process::ExitCode;

use recipes::naming::new_name;
use recipes::session::{Result, close, connect};
use recipes::terminal::program;
use zookeeper_client::Error;

#[tokio::main]
async fn main() -> ExitCode {
    program("naming -- SERVERS KIND COUNT", 3, run).await
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let count: u32 = arguments[2].parse().map_err(|_| Error::BadArguments(&"COUNT is no number"))?;
    let client = connect(&arguments[0]).await?;
    for _ in 0..count {
        println!("{}", new_name(&client, &arguments[1]).await?);
    }
    close(client).await;
    Ok(())
}
