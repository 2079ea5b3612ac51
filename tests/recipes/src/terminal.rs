//! What the examples have in common: their arguments, and somebody at the keyboard.

use std::io::BufRead;
use std::process::ExitCode;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::session::Result;

/// Runs an example with its arguments, `count` at least, the servers first; otherwise prints how it is used.
pub async fn program<F: Future<Output = Result<()>>>(
    usage: &str,
    count: usize,
    body: impl FnOnce(Vec<String>) -> F,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.len() < count {
        eprintln!("usage: cargo run --example {usage}");
        return ExitCode::from(2);
    }
    match body(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Lines of the standard input.
#[derive(Debug)]
pub struct Keyboard(UnboundedReceiver<()>);

impl Keyboard {
    /// It is read by a thread that nobody waits for, since a read can't be given up.
    pub fn open() -> Keyboard {
        let (lines, keyboard) = unbounded_channel();
        let read = move || {
            let lines_of_input = std::io::stdin().lock().lines();
            lines_of_input
                .map_while(std::result::Result::ok)
                .take_while(|_| lines.send(()).is_ok())
                .for_each(drop);
        };
        std::thread::Builder::new().spawn(read).expect("a thread can be started");
        Keyboard(keyboard)
    }

    /// Waits for Enter, or for the end of the input.
    pub async fn enter(&mut self) {
        self.0.recv().await;
    }
}
