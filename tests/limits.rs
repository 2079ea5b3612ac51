//! What is large, slow or hostile: the server stays up, bounded and of use to everybody else.
//!
//! For the release binary, as its sizes are real ones (`cargo test --release --test limits`); a plain `cargo test` leaves it
//! out. One server a test, one test at a time: some need most of the descriptors that a process may have. No latency is
//! judged here; that is `perf/neighbours.py`'s business. A bystander only has to be answered.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "limits/clients.rs"]
mod clients;
#[path = "limits/crowd.rs"]
mod crowd;
#[path = "limits/pipeline.rs"]
mod pipeline;
#[path = "limits/trees.rs"]
mod trees;
#[path = "limits/watches.rs"]
mod watches;

use std::fs;
use std::sync::{Mutex, MutexGuard};

use support::{Client, Server};

static ALONE: Mutex<()> = Mutex::new(());

/// Held by each test: no two at a time.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Somebody with ordinary wishes, who must not notice anything.
struct Bystander(Client);

impl Bystander {
    fn new(server: &Server) -> Bystander {
        let mut client = Client::connect(server);
        client.create("/bystander", b"0", support::client::PERSISTENT);
        Bystander(client)
    }

    fn lives(&mut self) {
        for round in 0..20 {
            let data = format!("{round}");
            self.0.set_data("/bystander", data.as_bytes(), -1).expect("the bystander writes");
            assert_eq!(self.0.data("/bystander"), data.as_bytes());
        }
    }
}

/// Resident memory that belongs to no file, in MB.
fn anonymous_mb(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux tells");
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    kilobytes / 1024
}

/// Who asks is one of them.
fn connections(server: &Server) -> usize {
    let text = server.word("srvr");
    let line = text.lines().find_map(|line| line.strip_prefix("Connections: ")).expect("srvr tells");
    line.parse().expect("a number")
}
