//! `cargo run --example barrier -- 127.0.0.1:2181 sums 3 worker1`: waits until three are there, works until Enter, and waits until
//! all three are through.

use std::process::ExitCode;

use recipes::barrier::Barrier;
use recipes::session::{Result, close, connect};
use recipes::terminal::{Keyboard, program};
use zookeeper_client::Error;

#[tokio::main]
async fn main() -> ExitCode {
    program("barrier -- SERVERS NAME SIZE MEMBER", 4, run).await
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let size: usize = arguments[2].parse().map_err(|_| Error::BadArguments(&"SIZE is no number"))?;
    let member = &arguments[3];
    let client = connect(&arguments[0]).await?;
    println!("{member} comes");
    let inside = Barrier::new(&client, &arguments[1], size).enter(member).await?;
    println!("{member} works");
    Keyboard::open().enter().await;
    println!("{member} is through");
    inside.leave().await?;
    println!("all are through");
    close(client).await;
    Ok(())
}
