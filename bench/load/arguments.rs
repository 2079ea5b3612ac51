//! The command line, as typed and then checked.
//!
//! Called by `mod` and `run`. Everything that could fail later for a foreseeable reason is refused here, in a sentence that
//! names the flag. Tested: `arguments_test.rs`.

use crate::bench::dial::Auth;
use crate::bench::keys::{Distribution, Sizes};
use crate::bench::load::{Pacing, Plan};
use crate::bench::mix::{Mix, Work, parse_mix};
use crate::bench::relay::Link;
use crate::bench::workload::Shape;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Measures a server of ZooKeeper's protocol, any server: throughput, latency to p99.99, errors, processor time.
///
/// The load is --op or --mix, by --sessions with --outstanding requests each, or at a --rate. It writes below /preload, and
/// leaves that there.
#[derive(Debug, Parser)]
#[command(name = "ringkeeper-load", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub load: LoadArguments,
}

const EXAMPLES: &str = "\
Examples:
  --op get                                   closed loop, 32 sessions x 16
  --mix get=90,set=8,create=1,delete=1       shares of their sum
  --op set --rate 20000 --seconds 60         open loop: latency from the intended start
  --op lock --sessions 100 --outstanding 1   the lock recipe
  --op watch --sessions 5000                 a znode that 5,000 sessions watch is changed
  --op connect --sessions 64                 connection storm
  --preload 1000x1000                        a tree of a million znodes, nothing measured

Exit status: 0 measured; 1 measured, with errors; 2 not measured; 3 measured in part, or the result can't be written.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve canned replies: the lower bound of what a server costs.
    Floor(FloorArguments),
    /// Wait until the server answers a read, and print how long that took. For the time of a restart.
    Wait(WaitArguments),
    /// Stand between servers and delay what they say to each other, as a longer way would.
    Relay(RelayArguments),
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
    /// get, exists, getChildren, set, create, delete, multi, ephemeral, lock, queue, watch (fan-out), connect (storm), or
    /// mixed:SHARE_OF_GETS. Without it nothing is measured.
    #[arg(long, conflicts_with = "mix")]
    pub op: Option<Work>,
    /// Several operations by their shares, as get=90,set=8,create=1,delete=1. All but watch and connect.
    #[arg(long, value_name = "OP=SHARE,...", value_parser = parse_mix)]
    pub mix: Option<Mix>,
    /// Data of each znode: a number, or a range as in 100-1000.
    #[arg(long, default_value = "100")]
    pub bytes: Sizes,
    /// Znodes that gets, sets and the like choose from, 1,000 to a parent; made if they aren't there.
    #[arg(long, default_value_t = 10_000)]
    pub keys: u64,
    /// How they are chosen: uniform, zipf, zipf:EXPONENT, sequential.
    #[arg(long, default_value = "uniform")]
    pub distribution: Distribution,
    /// The znodes of --keys are known to be there, with data of --bytes.
    #[arg(long)]
    pub keys_exist: bool,
    /// Make a tree first: PARENTSxCHILDREN znodes. 1000x1000 is the tree which --keys 1000000 addresses.
    #[arg(long)]
    pub preload: Option<Shape>,
    /// Sets in each multi.
    #[arg(long, default_value_t = 5)]
    pub multi_ops: usize,
    /// Locks that are contended for.
    #[arg(long, default_value_t = 1)]
    pub locks: u64,
    /// Queues that items go through.
    #[arg(long, default_value_t = 1)]
    pub queues: u64,
    /// Who each session says it is, as in the shell's addauth; may be given several times.
    #[arg(long, value_name = "SCHEME:CREDENTIALS")]
    pub auth: Vec<Auth>,
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
    /// Process of the server, for its processor time and memory; may be given several times. Without it, the processes of
    /// this host are told that listen at --server, if this user may see them.
    #[arg(long)]
    pub server_pid: Vec<u32>,
    /// Write the result there as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write the series there: a line per 100 ms.
    #[arg(long)]
    pub csv: Option<PathBuf>,
    /// Write the percentiles there, for HdrHistogram's plotter; those of each operation beside it.
    #[arg(long)]
    pub hgrm: Option<PathBuf>,
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
    /// Data in each reply to getData. It answers get, exists, getChildren, set, create and delete; no multi, watch or recipe.
    #[arg(long, default_value_t = 100)]
    pub bytes: usize,
}

#[derive(Debug, Args)]
pub struct RelayArguments {
    /// Where to listen, where to pass connections on to, and the delay of each direction, half a round trip: LISTEN=TO/MICROSECONDS;
    /// may be given several times.
    #[arg(long, required = true)]
    pub link: Vec<Link>,
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
        require(self.bytes.max <= DATA_BYTES_MAX, "--bytes must be at most 1,000,000");
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
        let work = self.work();
        require(
            work.is_some() || self.preload.is_some(),
            "nothing to do: give --op or --mix (as --op get), --preload, or both",
        );
        require(work.is_some() || self.rate.is_none(), "--rate needs --op or --mix");
        require((1..=1_000).contains(&self.multi_ops), "--multi-ops must be 1 to 1,000");
        require(
            self.multi_ops.saturating_mul(self.bytes.max) <= DATA_BYTES_MAX,
            "--multi-ops times --bytes must be at most 1,000,000: a server takes no larger request",
        );
        require((1..=10_000).contains(&self.locks), "--locks must be 1 to 10,000");
        require((1..=10_000).contains(&self.queues), "--queues must be 1 to 10,000");
        require(
            !matches!(work, Some(Work::Watch | Work::Connect)) || self.driver == DriverChoice::Poll,
            "--op watch and --op connect need --driver poll",
        );
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }

    /// What is measured, if anything is.
    pub fn work(&self) -> Option<Work> {
        self.op.clone().or_else(|| self.mix.clone().map(Work::Mix))
    }

    pub fn pacing(&self) -> Pacing {
        match self.rate {
            Some(rate) => Pacing::Open { rate },
            None => Pacing::Closed { outstanding: self.outstanding },
        }
    }

    /// Without what is known only at the start: processes and signals.
    pub fn plan(&self) -> Plan {
        Plan {
            pacing: self.pacing(),
            warmup_ns: (self.warmup * 1e9) as u64,
            window_ns: (self.seconds * 1e9) as u64,
            server_pids: Vec::new(),
            servers: Vec::new(),
            stop: None,
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
