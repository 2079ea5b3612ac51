//! `cargo run --example lock -- 127.0.0.1:2181 stock host1 write`: takes the lock `stock`, and gives it back at Enter. Start
//! several, readers (`read`) among them; kill one. With `herd` behind it everybody is woken by everybody.

use std::process::ExitCode;

use recipes::lock::{Kind, Lock};
use recipes::session::{Result, close, connect};
use recipes::terminal::{Keyboard, program};
use zookeeper_client::Error;

#[tokio::main]
async fn main() -> ExitCode {
    program("lock -- SERVERS NAME HOST read|write [herd]", 4, run).await
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let (name, host) = (&arguments[1], &arguments[2]);
    let kind = match arguments[3].as_str() {
        "read" => Kind::Read,
        "write" => Kind::Write,
        _ => return Err(Error::BadArguments(&"the kind of lock is read or write")),
    };
    let client = connect(&arguments[0]).await?;
    let mut lock = Lock::new(&client, name, host);
    if arguments.get(4).is_some_and(|word| word == "herd") {
        lock = lock.with_herd();
    }
    println!("{host} waits");
    let guard = lock.acquire(kind).await?;
    println!("{host} has it, token {}, woken {} times", guard.token(), guard.wakeups());
    let mut keyboard = Keyboard::open();
    let is_ours = tokio::select! {
        biased;
        () = guard.in_doubt() => false,
        () = keyboard.enter() => true,
    };
    if !is_ours {
        println!("{host} may have lost it");
        return Err(Error::ConnectionLoss);
    }
    // Said before it is done: behind it somebody else may have it.
    println!("{host} gives it back");
    guard.release().await?;
    drop(lock);
    close(client).await;
    Ok(())
}
