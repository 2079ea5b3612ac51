//! What a leader is told and what it asks for.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Epoch, ServerId, SessionId, Zxid};
use crate::wire::peer::SessionTouch;

use super::super::{Config, Epochs, Link};

#[derive(Debug)]
pub enum Input<'a> {
    /// `now >= next_wakeup()`.
    Wakeup,
    /// Somebody has dialled the quorum port.
    Connected {
        link: Link,
    },
    Received {
        link: Link,
        bytes: &'a [u8],
    },
    Disconnected {
        link: Link,
    },
    /// A voter looks for a leader. Its vote is for this one, and what it has is of this epoch.
    Looking {
        server: ServerId,
        vote: ServerId,
        history: Epoch,
    },
    /// The record asked for last is on the disk.
    EpochsDurable,
    /// Everything in the own log up to `zxid` is durable.
    Durable {
        zxid: Zxid,
    },
    /// A transaction of this server's, appended to its log and pushed to its history.
    Proposed {
        zxid: Zxid,
    },
    /// The next [`Input::Proposed`] is the transaction that makes this the configuration; its zxid is the version. The one
    /// before it is committed.
    Reconfigure {
        config: Arc<Config>,
    },
    /// All of the snapshot asked for has been handed to the link; it is the tree as of `zxid`.
    SnapshotSent {
        link: Link,
        zxid: Zxid,
    },
    /// The answer to [`Output::Revalidate`].
    Revalidated {
        link: Link,
        session: SessionId,
        valid: bool,
    },
    /// Where the answer to [`Output::Sync`] stands among the commits: right behind that of `behind`, which a learner of
    /// Apache's needs (`broadcast.rs`). Never lower than that of one before.
    Sync {
        link: Link,
        behind: Zxid,
    },
    /// No more inputs for now: what was collected is sent.
    TurnEnd,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    Send {
        link: Link,
        bytes: Bytes,
    },
    Close {
        link: Link,
    },
    /// [`Input::EpochsDurable`] comes when it is.
    PersistEpochs(Epochs),
    /// A quorum has the history: everything up to `history` is committed, the first zxid of the epoch is free.
    Established {
        epoch: Epoch,
        history: Zxid,
    },
    Committed {
        zxid: Zxid,
    },
    /// The configuration is this one from now on, and must be remembered before anything that follows is sent. `designated`:
    /// who is to lead. If that is another server, nothing more is committed here.
    Activated {
        config: Arc<Config>,
        designated: ServerId,
    },
    /// Send SNAP's stream: the tree, as it is. Then [`Input::SnapshotSent`]. Nothing else goes to the link meanwhile.
    SendSnapshot {
        link: Link,
    },
    /// A client's write, sent by the learner that the client is connected to.
    Request {
        link: Link,
        server: ServerId,
        request: Forwarded,
    },
    /// A client of this learner waits until all that was proposed is committed.
    Sync {
        link: Link,
        server: ServerId,
    },
    Revalidate {
        link: Link,
        server: ServerId,
        session: SessionId,
        timeout_ms: i32,
    },
    /// Sessions that a learner has heard of.
    Touched {
        sessions: Vec<SessionTouch>,
    },
    /// Back to the election.
    StepDown {
        reason: &'static str,
    },
}

/// A forwarded request, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub session: SessionId,
    pub cxid: i32,
    pub opcode: i32,
    /// As the client sent it.
    pub body: Bytes,
    /// (scheme, id) pairs.
    pub identities: Vec<(String, String)>,
}
