//! What the answers are made of: plain values, gathered by `server`.

use std::net::SocketAddr;
use std::time::Duration;

use super::About;
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
