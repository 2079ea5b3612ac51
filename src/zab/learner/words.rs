//! What a learner is told and what it asks for.

use bytes::Bytes;

use crate::base::{Epoch, SessionId, Zxid};
use crate::wire::peer::{Encode, Kind};

use super::super::{Epochs, Link};

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
    /// A write, a sync or what else goes to the leader, by [`encode_request`].
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
    /// The oldest sync sent is answered.
    Synced,
    Revalidated {
        session: SessionId,
        valid: bool,
    },
    /// The text of the leader's configuration.
    Config {
        text: Bytes,
    },
    /// Back to the election. The link is closed.
    StepDown {
        reason: String,
    },
}

/// Appends a REQUEST. `identities`: (scheme, id).
pub fn encode_request(
    session: SessionId,
    cxid: i32,
    opcode: i32,
    body: &[u8],
    identities: &[(String, String)],
    out: &mut Vec<u8>,
) {
    let data_bytes = i32::try_from(16 + body.len()).expect("a request is bounded by jute.maxbuffer");
    Kind::Request.encode(out);
    Zxid(-1).encode(out);
    data_bytes.encode(out);
    session.encode(out);
    cxid.encode(out);
    opcode.encode(out);
    out.extend_from_slice(body);
    i32::try_from(identities.len()).expect("identities are few").encode(out);
    for (scheme, id) in identities {
        crate::wire::jute::encode_bytes(out, scheme.as_bytes());
        crate::wire::jute::encode_bytes(out, id.as_bytes());
    }
}
