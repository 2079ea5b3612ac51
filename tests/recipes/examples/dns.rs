//! `cargo run --example dns -- 127.0.0.1:2181 provide shop` opens a port and registers it; `… collect shop` asks every provider
//! once a second and keeps the table of their status; `… resolve shop` prints the addresses whenever they change.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use recipes::dns::{Resolver, collect, provide};
use recipes::session::{Result, connect, is_over};
use recipes::terminal::program;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, timeout};
use zookeeper_client::Error;

/// What a provider says of itself; another one would tell its load.
const WELL: &[u8] = b"well";
/// Who says nothing for so long is down.
const PATIENCE: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> ExitCode {
    program("dns -- SERVERS provide|collect|resolve SERVICE", 3, run).await
}

async fn run(arguments: Vec<String>) -> Result<()> {
    let (servers, service) = (&arguments[0], &arguments[2]);
    match arguments[1].as_str() {
        "provide" => serve(servers, service).await,
        "collect" => {
            let client = connect(servers).await?;
            let mut ticks = interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                for (address, status) in collect(&client, service, ask).await? {
                    println!("{address} {status}");
                }
            }
        }
        "resolve" => {
            let client = connect(servers).await?;
            let mut resolver = Resolver::new(&client, service).await?;
            loop {
                println!("{service}: {}", resolver.addresses().join(" "));
                resolver.changed().await?;
            }
        }
        _ => Err(Error::BadArguments(&"provide, collect or resolve")),
    }
}

/// Takes connections, and is registered anew whenever a session has ended.
async fn serve(servers: &str, service: &str) -> Result<()> {
    let unopened = |_| Error::BadArguments(&"no port can be opened");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(unopened)?;
    let address = listener.local_addr().map_err(unopened)?.to_string();
    loop {
        let ended = tokio::select! {
            ended = stay_registered(servers, service, &address) => ended,
            ended = answer(&listener) => ended,
        };
        match ended {
            Err(error) if is_over(&error) => {}
            ended => return ended,
        }
    }
}

/// Until the session ends.
async fn stay_registered(servers: &str, service: &str, address: &str) -> Result<()> {
    let client = connect(servers).await?;
    let _registration = provide(&client, service, address).await?;
    println!("{address} provides {service}");
    let mut states = client.state_watcher();
    while !states.peek_state().is_terminated() {
        states.changed().await;
    }
    Err(Error::SessionExpired)
}

async fn answer(listener: &TcpListener) -> Result<()> {
    loop {
        // Short enough to go out at once; a caller that is gone already is no harm.
        if let Ok((stream, _)) = listener.accept().await
            && stream.writable().await.is_ok()
        {
            stream.try_write(WELL).ok();
        }
    }
}

async fn ask(address: String) -> std::result::Result<String, String> {
    // A process that stands still has connections taken in its name by the kernel: only its answer counts.
    let answer = async {
        let stream = TcpStream::connect(&address).await?;
        let mut answer = [0; WELL.len()];
        loop {
            stream.readable().await?;
            match stream.try_read(&mut answer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => return Ok(String::from_utf8_lossy(&answer[..count]).into_owned()),
                // A wake-up for nothing.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error: std::io::Error| error.to_string()),
        Err(_) => Err("doesn't answer".to_owned()),
    }
}
