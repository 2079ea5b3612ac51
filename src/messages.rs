//! Every word spoken between threads: shard to replica requests, replica to shard notices. And what members hand on.
//!
//! One channel each way per shard, and order holds only inside it: a reply and the events of the same transaction
//! travel in one [`Notice`], never over two channels.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::{ConnectionId, Instant, Path, ServerId, SessionId, ShardId, Zxid};
use crate::wire::{ErrorCode, Opcode, OwnedAcl, Stat};

/// A shared ACL list. `None` stands for world:anyone with all permissions, which nearly every node has.
pub type AclRef = Option<Arc<[OwnedAcl]>>;

/// Whom a shard serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Four-letter words only.
    None,
    /// Nobody new. Who is connected and waits for nothing that the replica says stays, and what he asks waits.
    Held,
    /// Clients that take a read-only server.
    ReadOnly,
    All,
}

/// One of the identities a connection has shown: `ip` from the start, others by auth packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub scheme: String,
    pub id: String,
}

impl Identity {
    /// It stands for more than were read of a forwarded request (`wire::peer::packet::TOO_MANY`).
    pub fn is_too_many(&self) -> bool {
        self.scheme.is_empty() && self.id.is_empty()
    }
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub shard: ShardId,
    pub connection: ConnectionId,
}

/// Shard to replica.
#[derive(Clone, Debug)]
pub enum Request {
    /// A connection asks for a session: a new one (`session` is `NONE`) or the one it had.
    Connect { from: Client, session: SessionId, password: Option<[u8; 16]>, timeout_ms: i32 },
    /// A request that changes the tree, undecoded: prep reads `body`.
    Write {
        from: Client,
        session: SessionId,
        xid: i32,
        opcode: Opcode,
        body: Bytes,
        identities: Arc<[Identity]>,
    },
    /// A write of another member's client, handed on by that member, which answers it. Never a shard's.
    Forwarded {
        server: ServerId,
        session: SessionId,
        cxid: i32,
        opcode: i32,
        body: Bytes,
        identities: Arc<[Identity]>,
    },
    /// Answered once everything proposed before it is applied here.
    Sync { from: Client, session: SessionId, xid: i32, body: Bytes },
    /// The session's ephemerals whose paths begin with `prefix`; all, if it is blank or `/`. Answered as a sync is, from
    /// the tree as it is then, with a getEphemerals response.
    Ephemerals { from: Client, session: SessionId, xid: i32, prefix: Bytes },
    /// Sessions heard of since the shard's last batch.
    Touch { sessions: Vec<SessionId> },
    /// Clients are served again, and this one's connection was held meanwhile.
    Held { from: Client, session: SessionId, timeout_ms: i32 },
}

/// Replica to shards. Acted on when the shard has loaded a version of at least `zxid`, in the order received.
#[derive(Debug)]
pub struct Notice {
    pub zxid: Zxid,
    pub changes: Changes,
    pub answer: Option<Answer>,
    /// A session that ended with this transaction (closed or expired): its connection is closed after the answer.
    pub ended: Option<SessionId>,
    /// A session that now belongs to this client, or (`None`) to one of another server: any other connection of it is closed.
    pub moved: Option<(SessionId, Option<Client>)>,
    /// Of a write that took long here.
    pub stages: Option<Box<Stages>>,
}

/// The way of a write through the server that answers it, on the monotone clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages {
    /// By the replica.
    pub taken: Instant,
    /// It became a transaction; a follower's, that came from its leader.
    pub proposed: Instant,
    /// The transaction was durable here; `None`: it was not yet when it was applied.
    pub durable: Option<Instant>,
    pub committed: Option<Instant>,
    /// Of a multi the first. A transaction that only says how a write failed has none.
    pub path: Option<Path>,
}

impl Notice {
    /// Of nothing, before everything.
    pub fn empty() -> Notice {
        Notice {
            zxid: Zxid::ZERO,
            changes: Changes::None,
            answer: None,
            ended: None,
            moved: None,
            stages: None,
        }
    }
}

/// What a transaction changed, in the order in which watches fire.
#[derive(Debug)]
pub enum Changes {
    None,
    One(Change),
    Many(Vec<Change>),
}

impl Changes {
    pub fn as_slice(&self) -> &[Change] {
        match self {
            Changes::None => &[],
            Changes::One(change) => std::slice::from_ref(change),
            Changes::Many(changes) => changes,
        }
    }
}

/// One changed znode. `acl` is the node's own as it matters for the event (before the deletion, after the creation);
/// `parent_acl` filters the parent's children event.
#[derive(Clone, Debug)]
pub struct Change {
    pub kind: ChangeKind,
    pub path: Path,
    pub acl: AclRef,
    pub parent_acl: AclRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Created,
    Deleted,
    DataChanged,
}

/// The reply to one request of one connection.
#[derive(Debug)]
pub struct Answer {
    pub to: Client,
    pub xid: i32,
    pub body: AnswerBody,
}

#[derive(Debug)]
pub enum AnswerBody {
    /// Header only, with this error (`Ok` for delete and closeSession).
    Error(ErrorCode),
    Created {
        path: Path,
    },
    CreatedWithStat {
        path: Path,
        stat: Stat,
    },
    Stat(Stat),
    /// An encoded response record, sent as it is.
    Raw(Bytes),
    /// The session asked for by `Request::Connect`.
    Session {
        session: SessionId,
        password: [u8; 16],
        timeout_ms: i32,
    },
    /// No such session, or a wrong password.
    SessionRefused,
    /// The session belongs to another connection by now: close without a reply.
    SessionMoved,
}
