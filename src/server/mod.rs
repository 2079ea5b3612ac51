//! Wires the rooms for real: threads, start and stop order, outputs to io, completions to inputs.
//!
//! Start: directories and their lock, recovery, the disk threads, then the port is opened; one line says so. Stop: no
//! more input, everything proposed is made durable and answered, a last mark in the log, the lock is let go.

mod admission;
mod attention;
mod audit;
mod boot;
mod census;
mod client_listener;
mod disk;
mod epochs;
mod facts;
mod gather;
mod image;
mod inquiry;
mod lines;
mod log_thread;
mod many_loops;
mod member;
mod members_file;
mod one_loop;
mod peers;
mod placement;
mod recovery;
mod reload;
mod removal;
mod replica_thread;
mod resolver;
mod ring_log;
mod rings;
mod segments;
mod shard_thread;
mod slots;
mod slow;
mod stash;
mod strays;
mod sync_times;
mod watchdog;
mod web;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::admin::About;
use crate::base::Now;
use crate::config::Config;
use crate::io::{Clock, Error, ErrorKind, Supervisor, Waker};
use crate::log;
use crate::replica::BootError;

pub use boot::{SUBDIRECTORY, backend, client_backlog, hold};
pub use image::{Image, ReadSnapshot, Witness, read_epochs};
pub use lines::{Filter, Lines};
pub use placement::Placement;
pub use recovery::is_unsettled;
pub use strays::{Stray, UNFINISHED, find as find_stray, holds, holds_apaches};

use audit::Audit;
use one_loop::OneLoop;

/// Why the server can't start, or can't go on.
#[derive(Debug)]
pub enum Fatal {
    /// Files or sockets at start.
    Io(Error),
    /// A port can't be opened.
    Port { error: Error, of: PortOf },
    /// Writing or syncing the log failed: to go on could lose acknowledged writes.
    Log(Error),
    /// The log needs room that the disk has not got.
    Space(Error),
    /// The log on disk can't be used.
    Recovery { directory: String, fault: log::Fault },
    /// The snapshot or a transaction can't be read.
    Boot { directory: String, error: BootError },
    /// The system gives no thread.
    Thread { name: &'static str, error: std::io::Error },
    /// The directory holds what this version can't use.
    Foreign(String),
    /// What a member of an ensemble must remember can't be read.
    Damaged(String),
}

/// Whose port it is, and so which setting names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortOf {
    Clients,
    /// The quorum port of this server's line.
    Learners,
    Elections,
}

impl PortOf {
    fn remedy(self, kind: ErrorKind) -> String {
        let (port, line) = match self {
            PortOf::Clients => ("clientPort", "clientPortAddress"),
            PortOf::Learners => ("the quorum port", "this server's line server.N"),
            PortOf::Elections => ("the election port", "this server's line server.N"),
        };
        match (self, kind) {
            (PortOf::Clients, ErrorKind::NotHere) => {
                "This host has no such address: set clientPortAddress to one that it has, or take it out for all of them."
                    .to_owned()
            }
            (_, ErrorKind::NotHere) => {
                "This host has no such address. Is this the server that dataDir/myid says? If others reach it at an \
                 address that is not its own (a container, NAT), set quorumListenOnAllIPs=true."
                    .to_owned()
            }
            (_, ErrorKind::Denied) => {
                format!("Ports below 1024 need root, or the capability CAP_NET_BIND_SERVICE: set {port} above that.")
            }
            (PortOf::Clients, _) => {
                format!("Stop who listens there, or set {port} and {line} to a free port of this host.")
            }
            _ => format!("Stop who listens there, or change {port} in {line}, the same at every server."),
        }
    }
}

impl From<Stray> for Fatal {
    fn from(stray: Stray) -> Fatal {
        Fatal::Foreign(format!("{stray}. {}", stray.todo().join(" ")))
    }
}

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fatal::Io(error) => write!(f, "{error}"),
            Fatal::Port { error, of } => write!(f, "{error}. {}", of.remedy(error.kind())),
            Fatal::Log(error) => write!(
                f,
                "{error}. The transaction log can't be trusted any more: the server stops, and at the next start \
                 recovers what is on the disk. Check the disk first."
            ),
            Fatal::Space(error) => write!(
                f,
                "{error}. The log needs room for a segment; nothing that was acknowledged is lost. Free space in the \
                 log directory and start again."
            ),
            Fatal::Recovery { directory, fault } => write!(f, "log directory {directory}: {fault}"),
            Fatal::Boot { directory, error } => write!(f, "data directory {directory}: {error}"),
            Fatal::Thread { name, error } => write!(f, "thread {name} can't be started: {error}"),
            Fatal::Foreign(what) | Fatal::Damaged(what) => f.write_str(what),
        }
    }
}

impl Fatal {
    /// Of a command of the log, while nobody is served.
    fn of_log(error: Error) -> Fatal {
        if error.is_space() { Fatal::Space(error) } else { Fatal::Log(error) }
    }

    /// Exit code: 3 for what the operator can mend and start again, 4 where data is in question.
    pub fn exit_code(&self) -> u8 {
        match self {
            Fatal::Io(_)
            | Fatal::Port { .. }
            | Fatal::Space(_)
            | Fatal::Foreign(_)
            | Fatal::Thread { .. } => 3,
            Fatal::Log(_) | Fatal::Recovery { .. } | Fatal::Boot { .. } | Fatal::Damaged(_) => 4,
        }
    }
}

/// How long a stopping server waits for clients to take their last replies.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(2);

/// Set by a signal; asked by the loop each turn.
#[derive(Clone)]
pub struct Stop {
    asked: &'static AtomicBool,
    supervisor: Arc<Supervisor>,
}

impl Stop {
    /// SIGTERM, SIGINT and SIGHUP ask, and wake the loop of `waker`.
    fn on_signals(waker: &Waker, supervisor: &Arc<Supervisor>) -> Result<Stop, Fatal> {
        let asked = crate::io::signal::install(waker).map_err(Fatal::Io)?;
        Ok(Stop { asked, supervisor: supervisor.clone() })
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// That it begins.
    fn tell(&self) {
        tracing::info!("stopping");
        if let Err(error) = self.supervisor.tell("STOPPING=1\nSTATUS=stopping") {
            tracing::debug!("{error}");
        }
    }
}

/// Where a server runs.
pub struct Surroundings {
    pub about: About,
    pub lines: Lines,
    /// Told when it is ready, that it lives, and that it stops.
    pub supervisor: Supervisor,
    /// For snapshots that operators give.
    pub read_snapshot: ReadSnapshot,
}

/// Runs a server until it is told to stop.
pub fn run(config: Config, surroundings: Surroundings) -> Result<(), Fatal> {
    let started = Clock::now();
    let Some((audit, auditor)) = audit::begin(&config, &surroundings.about)? else {
        return serve(config, surroundings, started, None);
    };
    let ended = serve(config, surroundings, started, Some(audit));
    auditor.end();
    ended
}

fn serve(
    config: Config,
    surroundings: Surroundings,
    started: Now,
    audit: Option<Audit>,
) -> Result<(), Fatal> {
    let Surroundings { about, lines, supervisor, read_snapshot } = surroundings;
    let supervisor = Arc::new(supervisor);
    let seed = crate::io::entropy::seed().map_err(Fatal::Io)?;
    let placement = Placement::choose(&config)?;
    let peers = member::peers(&config)?;
    // Before recovery, which may take a while: who asks is told that it lives, and isn't ready.
    let desk = web::start(&config, lines, read_snapshot)?;
    watchdog::start(&supervisor, &desk)?;
    let booted = boot::boot(Arc::new(config), about, seed, placement.shards, started, supervisor)?;
    if placement.shards == 1 {
        placement.pin(0)?;
        OneLoop::build(booted, peers, &desk, audit)?.run()
    } else {
        many_loops::run(booted, &placement, peers, &desk, audit)
    }
}

/// The one place where threads begin.
fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fatal> {
    let builder = std::thread::Builder::new().name(name.into());
    builder.spawn(body).map_err(|error| Fatal::Thread { name, error })
}
