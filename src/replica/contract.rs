//! What the replica is told and what it asks for: the whole contract between the core and its two drivers.
//!
//! **Every output may be carried out the moment it is emitted.** What must wait is not emitted until the input
//! arrives which says that the waited-for thing has happened. Order is kept per target only: per shard, per log, per
//! snapshot.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::{ShardId, Ticket, Zxid};
use crate::log;
use crate::messages::{Notice, Request, Service};

use super::ensemble::PeerOutput;

#[derive(Debug)]
pub enum Input {
    /// `now >= next_wakeup()`; may come late, never early.
    Wakeup,
    Request(Request),
    /// All bytes appended before this ticket's `Persist` survive power loss.
    Durable {
        ticket: Ticket,
    },
    /// The snapshot's bytes so far are with the file system; more may be sent.
    SnapshotProgress {
        bytes: u64,
    },
    /// The snapshot is synced under its final name.
    SnapshotDone {
        zxid: Zxid,
    },
    /// The snapshot could not be written; never fatal.
    SnapshotFailed {
        zxid: Zxid,
        reason: String,
    },
    /// One more segment of the usual size is prepared: the next `log::Command::Create` of that size takes it, whatever
    /// room the disk has by then.
    SegmentReady,
    /// There is no room for the next one: refuse writes before prep.
    SpaceLow,
    SpaceBack,
    /// The driver has no more inputs for now: seal what was collected.
    TurnEnd,
}

#[derive(Debug)]
pub enum Output {
    /// For the log thread, in order.
    Log(log::Command),
    /// For one shard, or for all of them.
    Notify {
        shard: Option<ShardId>,
        notice: Arc<Notice>,
    },
    /// After every `Notify` up to this zxid: call [`super::Replica::publish`].
    Publish {
        zxid: Zxid,
    },
    Snapshot(SnapshotCommand),
    /// In an ensemble: to the other members, or of what being one takes.
    Peer(PeerOutput),
    /// For all shards: whom to serve from here on. If nobody, the clients that are connected are closed (their sessions
    /// live on), and who asks for a session is closed; four-letter words are answered. A member begins with nobody, and
    /// between any two others it is nobody.
    Serve(Service),
}

/// Written under a temporary name; trusted only after `Complete`.
#[derive(Debug)]
pub enum SnapshotCommand {
    Create {
        zxid: Zxid,
    },
    Append {
        bytes: Bytes,
    },
    /// Sync, rename, sync the directory, answer `SnapshotDone`, and remove all but the newest `retain` if purging.
    Complete {
        zxid: Zxid,
    },
    /// The same for a snapshot that a leader sent, where the log is still of another history: `PeerOutput::Reload` to this
    /// zxid follows `SnapshotDone`. After a crash between them the next start does as the reload would.
    Install {
        zxid: Zxid,
    },
    /// Delete the temporary file.
    Abandon {
        zxid: Zxid,
    },
    /// Remove finished snapshots below this zxid.
    RemoveBelow {
        zxid: Zxid,
    },
}
