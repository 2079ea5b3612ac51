//! One type per identifier, so that no two of them can be mixed up.

use std::fmt;

/// Position in the total order of transactions: epoch in the high 32 bits, counter in the low 32.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

impl Zxid {
    pub const ZERO: Zxid = Zxid(0);

    /// The next transaction.
    pub fn next(self) -> Zxid {
        Zxid(self.0 + 1)
    }

    pub fn epoch(self) -> Epoch {
        Epoch(self.0 >> 32)
    }

    /// As a version number of room `lockfree`, which knows nothing of zxids and calls version 0 "nothing yet": a
    /// fresh tree is version 1. Never negative here.
    pub fn version(self) -> u64 {
        debug_assert!(self.0 >= 0);
        self.0 as u64 + 1
    }

    /// The inverse of [`Zxid::version`]; version 0 becomes zxid 0.
    pub fn of_version(version: u64) -> Zxid {
        Zxid(version.saturating_sub(1) as i64)
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// Zab epoch: one reign of one leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

/// `myid`. 1 in a standalone server, as in Apache ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

/// A client session; the top byte is the id of the server that created it. Zero means "none yet".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl SessionId {
    pub const NONE: SessionId = SessionId(0);

    /// This server has created it.
    pub fn is_of(self, server: ServerId) -> bool {
        (self.0 as u64) >> 56 == server.0 as u64 & 0xff
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// One event loop of client connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// A client connection within its shard. A slot is used again under the next generation, so a late message for an
/// old connection is recognised and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub slot: u32,
    pub generation: u32,
}

/// Names one request to make the log durable; its completion comes back with the same ticket. Strictly increasing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
