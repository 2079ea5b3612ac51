//! The command line, as typed and then checked.
//!
//! Called by `main`. Everything that could fail later for a foreseeable reason is refused here, in a sentence that
//! names the flag. Tested: `arguments_test.rs`.

use crate::load::{Pacing, Plan};
use crate::workload::{Mix, Shape};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Puts a measured load on a ZooKeeper server, or plays the floor that no server can undercut by much.
#[derive(Debug, Parser)]
#[command(name = "ringkeeper-load", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub load: LoadArguments,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve canned replies: the lower bound of what a server costs.
    Floor(FloorArguments),
    /// Wait until the server answers a read, and print how long that took. For the time of a restart.
    Wait(WaitArguments),
}

#[derive(Debug, Args)]
pub struct LoadArguments {
    /// Address of the server; several (repeated, or with commas) are an ensemble's: session `i` goes to address `i`
    /// modulo their number.
    #[arg(long, default_value = "127.0.0.1:2181", value_delimiter = ',')]
    pub server: Vec<String>,
    /// Sessions, each on a connection of its own.
    #[arg(long, default_value_t = 32)]
    pub sessions: usize,
    /// Closed loop: unanswered requests which each session keeps up.
    #[arg(long, default_value_t = 16)]
    pub outstanding: usize,
    /// Open loop: requests a second over all sessions, whatever comes back. Latency counts from the intended start.
    #[arg(long)]
    pub rate: Option<f64>,
    /// get, set, create, or mixed:SHARE_OF_GETS. Without it nothing is measured.
    #[arg(long)]
    pub op: Option<Mix>,
    /// Data of each znode.
    #[arg(long, default_value_t = 100)]
    pub bytes: usize,
    /// Znodes that gets and sets choose from, 1,000 to a parent; made if they aren't there.
    #[arg(long, default_value_t = 10_000)]
    pub keys: u64,
    /// The znodes of --keys are known to be there.
    #[arg(long)]
    pub keys_exist: bool,
    /// Make a tree first: PARENTSxCHILDREN znodes. 1000x1000 is the tree which --keys 1000000 addresses.
    #[arg(long)]
    pub preload: Option<Shape>,
    /// Seconds of load before the measured window.
    #[arg(long, default_value_t = 2.0)]
    pub warmup: f64,
    /// Seconds of the measured window.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Session timeout asked for, milliseconds.
    #[arg(long, default_value_t = 30_000)]
    pub session_timeout: i32,
    /// Seed of the choice of keys.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Which machinery moves the bytes. Open loops and preparation always use poll.
    #[arg(long, value_enum, default_value_t = DriverChoice::Poll)]
    pub driver: DriverChoice,
    /// Process of the server, for its processor time and memory; may be given several times.
    #[arg(long)]
    pub server_pid: Vec<u32>,
    /// Write the result there as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DriverChoice {
    /// Non-blocking sockets and epoll.
    Poll,
    /// io_uring, through tokio-uring.
    Uring,
}

impl DriverChoice {
    pub fn name(self) -> &'static str {
        match self {
            DriverChoice::Poll => "poll",
            DriverChoice::Uring => "uring",
        }
    }
}

#[derive(Debug, Args)]
pub struct FloorArguments {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long)]
    pub port: u16,
    /// The log: overwritten, preallocated, synced once per batch of writes.
    #[arg(long)]
    pub file: PathBuf,
    /// Size of the log; it is reused from its start when full.
    #[arg(long, default_value_t = 256 << 20)]
    pub file_bytes: u64,
    /// Data in each reply to getData.
    #[arg(long, default_value_t = 100)]
    pub bytes: usize,
}

#[derive(Debug, Args)]
pub struct WaitArguments {
    /// Address of the server.
    #[arg(long, default_value = "127.0.0.1:2181")]
    pub server: String,
    /// The znode to read.
    #[arg(long, default_value = "/")]
    pub path: String,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
}

/// Largest data that any server takes by default (jute.maxbuffer), with room for the rest of the request.
const DATA_BYTES_MAX: usize = 1_000_000;
/// The layout of `--keys` has four digits for the parent: more would change the length of the paths within a run.
const KEYS_MAX: u64 = 10_000_000;

impl LoadArguments {
    /// What is wrong with the arguments, all of it, or nothing.
    pub fn check(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        require((1..=100_000).contains(&self.sessions), "--sessions must be 1 to 100,000");
        require((1..=1_000_000).contains(&self.outstanding), "--outstanding must be 1 to 1,000,000");
        require(self.bytes <= DATA_BYTES_MAX, "--bytes must be at most 1,000,000");
        require((1..=KEYS_MAX).contains(&self.keys), "--keys must be 1 to 10,000,000");
        require((0.0..=86_400.0).contains(&self.warmup), "--warmup must be 0 to 86,400 seconds");
        require((0.1..=86_400.0).contains(&self.seconds), "--seconds must be 0.1 to 86,400");
        require(self.session_timeout > 0, "--session-timeout must be above 0");
        require(
            self.rate.is_none_or(|rate| (1.0..=10_000_000.0).contains(&rate)),
            "--rate must be 1 to 10,000,000 a second",
        );
        require(
            self.rate.is_none() || self.driver == DriverChoice::Poll,
            "--rate needs --driver poll: tokio's timers are too coarse for an open loop",
        );
        require(self.op.is_some() || self.preload.is_some(), "nothing to do: give --op, --preload or both");
        require(self.op.is_some() || self.rate.is_none(), "--rate needs --op");
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }

    pub fn pacing(&self) -> Pacing {
        match self.rate {
            Some(rate) => Pacing::Open { rate },
            None => Pacing::Closed { outstanding: self.outstanding },
        }
    }

    pub fn plan(&self) -> Plan {
        Plan {
            pacing: self.pacing(),
            warmup_ns: (self.warmup * 1e9) as u64,
            window_ns: (self.seconds * 1e9) as u64,
            server_pids: self.server_pid.clone(),
        }
    }
}

/// The first address of `HOST:PORT`.
pub fn resolve(server: &str) -> Result<SocketAddr, String> {
    server
        .to_socket_addrs()
        .map_err(|error| format!("--server {server}: {error} (expected HOST:PORT)"))?
        .next()
        .ok_or_else(|| format!("--server {server} has no address"))
}

/// The first address of each of `servers`, which aren't empty.
pub fn resolve_all(servers: &[String]) -> Result<Vec<SocketAddr>, String> {
    servers.iter().map(|server| resolve(server)).collect()
}

#[cfg(test)]
#[path = "arguments_test.rs"]
mod tests;
