//! `cargo run --example queue -- 127.0.0.1:2181 jobs put a b c` puts three items; `… jobs take` works on one after the other:
//! Enter means done. Kill it in the middle: the item comes to somebody else.

use std::process::ExitCode;

use recipes::queue::Queue;
use recipes::session::{Result, close, connect};
use recipes::terminal::{Keyboard, program};
use zookeeper_client::Error;

#[tokio::main]
async fn main() -> ExitCode {
    program("queue -- SERVERS NAME put ITEM... | SERVERS NAME take", 3, run).await
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let client = connect(&arguments[0]).await?;
    let queue = Queue::open(&client, &arguments[1]).await?;
    match arguments[2].as_str() {
        "put" => {
            for item in &arguments[3..] {
                println!("put as {}", queue.put(item.as_bytes()).await?);
            }
            drop(queue);
            close(client).await;
            Ok(())
        }
        "take" => {
            let mut keyboard = Keyboard::open();
            loop {
                let item = queue.take().await?;
                println!("took {}: {}", item.number, String::from_utf8_lossy(&item.data));
                keyboard.enter().await;
                let number = item.number;
                item.done().await?;
                println!("done {number}");
            }
        }
        _ => Err(Error::BadArguments(&"put ITEM..., or take")),
    }
}
