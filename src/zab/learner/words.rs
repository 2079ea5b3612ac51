//! What a learner is told and what it asks for.

use bytes::Bytes;

use super::super::{Epochs, Link};
use super::{Learner, Step};
use crate::base::{Epoch, ServerId, SessionId, Zxid};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Logs and acknowledges. Whether its vote counts is the configuration's matter.
    Follower,
    Observer,
}

#[derive(Debug)]
pub enum Input<'a> {
    Wakeup,
    /// The leader's quorum port answers.
    Connected {
        link: Link,
    },
    Received {
        bytes: &'a [u8],
    },
    Disconnected,
    EpochsDurable,
    /// Everything in the own log up to `zxid` is durable.
    Durable {
        zxid: Zxid,
    },
    /// [`Output::Truncate`] is done, durably.
    Truncated,
    /// [`Output::ReceiveSnapshot`]'s stream has ended; `rest` came behind it. The tree is that of `zxid`, and it is durable.
    SnapshotInstalled {
        zxid: Zxid,
        rest: &'a [u8],
    },
    /// A write or a sync, by `wire::peer::packet::encode_request`.
    Forward {
        bytes: Bytes,
    },
    Revalidate {
        session: SessionId,
        timeout_ms: i32,
    },
    /// A session was heard from: told with the next ping.
    Touch {
        session: SessionId,
        timeout_ms: i32,
    },
    TurnEnd,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    Send {
        link: Link,
        bytes: Bytes,
    },
    PersistEpochs(Epochs),
    /// To the log.
    Append {
        zxid: Zxid,
        payload: Bytes,
    },
    /// The log can't be cut as the leader wants it: connect to it anew, by [`super::Learner::above`].
    AskForSnapshot,
    /// Drop everything behind `after` from the log. Nothing of it is committed. Then [`Input::Truncated`].
    Truncate {
        after: Zxid,
    },
    /// What follows is SNAP's stream, of a tree as of `zxid`: [`Output::SnapshotBytes`] until
    /// [`Input::SnapshotInstalled`].
    ReceiveSnapshot {
        zxid: Zxid,
    },
    SnapshotBytes {
        bytes: Bytes,
    },
    /// The quorum has our history: serve clients. Everything up to `committed` is.
    Established {
        epoch: Epoch,
        committed: Zxid,
    },
    Committed {
        zxid: Zxid,
    },
    /// What was just committed, or appended for an observer to be committed at once, is a configuration that counts from
    /// now on. Comes behind its `Append`, and its `Committed` if there is one.
    Activated {
        zxid: Zxid,
        designated: ServerId,
    },
    /// The oldest sync sent is answered.
    Synced,
    Revalidated {
        session: SessionId,
        valid: bool,
    },
    /// The text of the leader's configuration, which counts from `Established` on.
    Config {
        text: Bytes,
    },
    /// Back to the election. The link is closed.
    StepDown {
        reason: String,
    },
}

/// Why nobody is followed who leads this epoch.
pub(super) fn too_old(epoch: Epoch, epochs: Epochs) -> String {
    let (epoch, accepted, current) = (epoch.0, epochs.accepted.0, epochs.current.0);
    if current > epoch {
        return format!(
            "it leads epoch {epoch}, and this server's history is of epoch {current}: one of the two is another ensemble's, or \
             an old copy"
        );
    }
    format!("it leads epoch {epoch}, and {accepted} was promised")
}

impl Learner {
    /// Asked again it would say the same, a thousand times a second: no promise is made until it is gone, or initLimit is over.
    pub(super) fn wait_for_another(&mut self, reason: &str) {
        tracing::warn!(leader = self.leader.0, reason, "the leader can't be followed");
        self.step = Step::Way;
    }

    pub(super) fn end_of_link(&self) -> &'static str {
        match self.step {
            Step::Snapshot { .. } => "the leader closed the connection in the middle of its snapshot",
            _ => "the leader closed the connection",
        }
    }

    /// In ZooKeeper's words.
    pub fn phase(&self) -> &'static str {
        match self.step {
            Step::Connecting | Step::Epoch | Step::Promising => "discovery",
            Step::Way
            | Step::Truncating
            | Step::Snapshot { .. }
            | Step::History
            | Step::Logging
            | Step::Adopting
            | Step::UpToDate => "synchronization",
            Step::Following => "broadcast",
            Step::Down => "election",
        }
    }
}
