//! `cargo run --example election -- 127.0.0.1:2181 workers host1`: stands for master of `workers`, leads when it is its turn, and
//! resigns at Enter. Start several, and kill the one that leads, or stop it (`kill -STOP`) for longer than its session.

use std::process::ExitCode;

use recipes::election::Candidate;
use recipes::session::{Result, close, connect, is_over};
use recipes::terminal::{Keyboard, program};
use zookeeper_client::Error;

#[tokio::main]
async fn main() -> ExitCode {
    program("election -- SERVERS ELECTION NAME", 3, run).await
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let mut keyboard = Keyboard::open();
    loop {
        match serve(&arguments, &mut keyboard).await {
            Err(error) if is_over(&error) => println!("{} begins anew: {error}", arguments[2]),
            result => return result,
        }
    }
}

async fn serve(arguments: &[String], keyboard: &mut Keyboard) -> Result<()> {
    let (election, name) = (&arguments[1], &arguments[2]);
    let client = connect(&arguments[0]).await?;
    let candidate = Candidate::stand(&client, election, name).await?;
    println!("{name} stands");
    candidate.elected().await?;
    println!("{name} leads, token {}", candidate.token());
    let Some(()) = candidate.lead(keyboard.enter()).await else {
        println!("{name} leads no longer");
        return Err(Error::ConnectionLoss);
    };
    println!("{name} resigns");
    candidate.resign().await?;
    close(client).await;
    Ok(())
}
