//! What the answers are made of: plain values, gathered by `server`.

use std::net::SocketAddr;
use std::time::Duration;

use super::About;
use super::figures::Sheet;
use super::metrics::{ClientMetrics, StoreMetrics};
use crate::base::{Instant, SessionId, WallMillis, Zxid};
use crate::config::Config;

/// Everything an answer may need. What [`super::Command::needs`] doesn't name may be left empty.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub about: &'a About,
    pub config: &'a Config,
    /// `None`: up, but not serving (still recovering, or without a leader).
    pub server: Option<ServerFacts>,
    /// All shards' added up.
    pub clients: &'a ClientMetrics,
    pub store: &'a StoreMetrics,
    pub connections: &'a [ConnectionFacts],
    pub directories: DirectoryFacts,
    /// `None`: a lone server.
    pub ensemble: Option<&'a EnsembleFacts>,
    pub last_snapshot: Option<SnapshotFacts>,
    pub process: &'a ProcessFacts,
    pub watch_counts: WatchCounts,
    /// Data and exist watches, by session.
    pub watches: &'a [PathsOfSession],
    pub sessions: &'a SessionFacts,
    /// Digests of the tree at zxids which are multiples of 128, newest last.
    pub digests: &'a [(Zxid, i64)],
    /// The mask in force; for `stmk` the one that came with it.
    pub trace_mask: i64,
}

/// Read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    pub mode: Mode,
    /// The port clients connect to, as bound.
    pub client_port: u16,
    /// `serverId` of `conf`: 0 in a standalone server.
    pub server_id: i64,
    /// The last transaction that readers see.
    pub last_zxid: Zxid,
    pub connections_count: u64,
    /// Requests taken in and not yet answered.
    pub outstanding_requests: u64,
    /// As ZooKeeper counts: the root twice, so a fresh tree has 5.
    pub nodes_count: u64,
    /// Data and child watches.
    pub watches_count: u64,
    pub ephemerals_count: u64,
    /// Bytes of paths and data.
    pub approximate_data_size: u64,
    pub sessions_count: u64,
    /// Of sessions that this server alone knows.
    pub local_sessions_count: u64,
    pub uptime: Duration,
    pub open_files_count: u64,
    pub open_files_max: u64,
}

/// What a member knows of its ensemble.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnsembleFacts {
    pub me: i64,
    /// `looking`, `leading`, `following`, `observing`.
    pub peer_state: &'static str,
    /// `election`, `discovery`, `synchronization`, `broadcast`.
    pub zab_state: &'static str,
    pub leader: Option<i64>,
    /// In the order of their ids.
    pub members: Vec<MemberFacts>,
    /// Of a leader: who is connected.
    pub learners: Vec<LearnerFacts>,
    pub accepted_epoch: i64,
    pub current_epoch: i64,
    /// Version of the configuration: the zxid that made it.
    pub config_version: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberFacts {
    pub id: i64,
    pub votes: bool,
    /// `host:port`, as in the configuration.
    pub quorum: Vec<String>,
    pub election: Vec<String>,
    pub client: Option<String>,
}

/// One that follows or observes this leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerFacts {
    pub id: i64,
    pub votes: bool,
    /// It has the epoch's history.
    pub is_synced: bool,
    /// Everything up to here is durable there; of observers nothing is heard.
    pub acked: Zxid,
}

/// The newest snapshot that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFacts {
    pub zxid: Zxid,
    /// When its file was written, in seconds since 1970.
    pub written: i64,
}

/// What the kernel says of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    pub cpu_time: Duration,
    pub resident_bytes: u64,
    pub started: WallMillis,
    /// The clock that [`Instant`]s are of.
    pub now: Instant,
    /// The same moment, of the wall clock.
    pub wall: WallMillis,
    /// Syncs of the log that took longer than `fsync.warningthresholdms`.
    pub slow_syncs: u64,
    /// Processor time of each thread, by name.
    pub threads: Vec<(String, Duration)>,
}

impl EnsembleFacts {
    pub fn own(&self) -> Option<&MemberFacts> {
        self.members.iter().find(|member| member.id == self.me)
    }

    pub fn is_leader(&self) -> bool {
        self.peer_state == "leading"
    }

    /// Learners that have the history, by whether they vote.
    pub fn synced(&self, votes: bool) -> impl Iterator<Item = &LearnerFacts> {
        self.learners.iter().filter(move |learner| learner.is_synced && learner.votes == votes)
    }

    /// Transactions that a follower hasn't acknowledged yet, of those up to `last`. Of an observer nothing is known.
    pub fn lag(learner: &LearnerFacts, last: Zxid) -> Option<i64> {
        let (acked, last) = (learner.acked.0, last.0);
        // Of another epoch it has nothing of this one.
        let behind = if acked >> 32 == last >> 32 { last - acked } else { last & 0xffff_ffff };
        (learner.votes && learner.is_synced).then_some(behind.max(0))
    }

    fn list(&self, out: &mut Sheet) {
        out.gauge("quorum_size", self.members.iter().filter(|member| member.votes).count() as u64);
        if self.is_leader() {
            out.gauge("learners", self.learners.len() as u64);
            out.gauge("synced_followers", self.synced(true).count() as u64);
            out.gauge("synced_observers", self.synced(false).count() as u64);
        }
    }
}

impl Facts<'_> {
    /// What is counted while nobody is served, too.
    pub fn without_service(&self, out: &mut Sheet) {
        self.clients.list(out);
        self.store.list(out);
        if let Some(ensemble) = self.ensemble {
            ensemble.list(out);
        }
    }

    /// What `mntr` shows of a server that serves.
    pub fn sheet(&self, server: &ServerFacts) -> Sheet {
        let mut out = Sheet::default();
        out.word("version", self.about.full_version());
        out.word("server_state", server.mode.name());
        if let Some(ensemble) = self.ensemble {
            out.word("peer_state", format!("{} - {}", ensemble.peer_state, ensemble.zab_state));
        }
        self.clients.list(&mut out);
        out.gauge("num_alive_connections", server.connections_count);
        out.gauge("outstanding_requests", server.outstanding_requests);
        out.gauge("uptime", u64::try_from(server.uptime.as_millis()).unwrap_or(u64::MAX));
        out.gauge("znode_count", server.nodes_count);
        out.gauge("watch_count", server.watches_count);
        out.gauge("ephemerals_count", server.ephemerals_count);
        out.gauge("approximate_data_size", server.approximate_data_size);
        out.gauge("global_sessions", server.sessions_count);
        out.gauge("local_sessions", server.local_sessions_count);
        out.gauge("open_file_descriptor_count", server.open_files_count);
        out.gauge("max_file_descriptor_count", server.open_files_max);
        self.store.list(&mut out);
        if let Some(ensemble) = self.ensemble {
            ensemble.list(&mut out);
        }
        out
    }
}

/// `Mode:` of `srvr`, `zk_server_state` of `mntr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Standalone,
    Leader,
    Follower,
    Observer,
    ReadOnly,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Standalone => "standalone",
            Mode::Leader => "leader",
            Mode::Follower => "follower",
            Mode::Observer => "observer",
            Mode::ReadOnly => "read-only",
        }
    }
}

/// One client connection. The one that asks is among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFacts {
    pub remote: SocketAddr,
    /// Whether its socket is read now, and whether output waits for it.
    pub reads: bool,
    pub writes: bool,
    /// Requests taken in and not yet answered.
    pub queued: u64,
    pub received: u64,
    pub sent: u64,
    /// `None` before the handshake.
    pub session: Option<SessionOfConnection>,
}

/// What `cons` shows of a connection once it has a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOfConnection {
    pub id: SessionId,
    /// See [`operation_code`]; `NA` before the first.
    pub last_operation: &'static str,
    pub established: WallMillis,
    pub timeout: Duration,
    /// Of the last request proper: pings and the like have negative ones and don't count.
    pub last_cxid: Option<u32>,
    pub last_zxid: Zxid,
    pub last_response: Instant,
    pub last_latency: Duration,
    pub min_latency: Duration,
    pub average_latency: Duration,
    pub max_latency: Duration,
}

/// Where the data is, and how much of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryFacts {
    /// Absolute, with the subdirectory that holds the files.
    pub data_dir: String,
    pub data_log_dir: String,
    pub data_bytes: u64,
    pub log_bytes: u64,
    /// What their file systems have left for us. `None`: not asked for, or not known.
    pub data_available_bytes: Option<u64>,
    pub log_available_bytes: Option<u64>,
}

/// `wchs`: of data and exist watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchCounts {
    pub connections_count: u64,
    pub paths_count: u64,
    pub watches_count: u64,
}

/// A session and paths that belong to it: those it watches, or its ephemeral nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathsOfSession {
    pub session: SessionId,
    pub paths: Vec<String>,
}

/// `dump`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFacts {
    /// Sessions by the moment they expire at if they stay silent.
    pub expiries: Vec<(WallMillis, Vec<SessionId>)>,
    pub ephemerals: Vec<PathsOfSession>,
    /// Connections by the moment they are closed at if they stay silent; session zero before the handshake.
    pub connection_expiries: Vec<(WallMillis, Vec<(SocketAddr, SessionId)>)>,
}

/// What `cons` calls an operation of the client protocol (`FinalRequestProcessor.java`).
pub fn operation_code(opcode: i32) -> &'static str {
    match opcode {
        -11 => "CLOS",
        -10 => "SESS",
        1 | 15 | 19 | 21 => "CREA",
        2 | 20 => "DELE",
        3 => "EXIS",
        4 => "GETD",
        5 => "SETD",
        6 => "GETA",
        7 => "SETA",
        8 | 12 => "GETC",
        9 => "SYNC",
        11 => "PING",
        13 => "CHEC",
        14 => "MULT",
        16 => "RECO",
        17 => "CHKW",
        18 => "REMW",
        22 => "MLTR",
        101 => "SETW",
        103 => "GETE",
        104 => "GETACN",
        105 => "STW2",
        106 => "ADDW",
        107 => "HOMI",
        _ => "NA",
    }
}
