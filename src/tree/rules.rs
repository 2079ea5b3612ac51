//! What the operator decides about writes, and what `jute.maxbuffer` leaves room for.
//!
//! **The size of a transaction.** A learner of Apache's reads no packet, and a server of Apache's no transaction of its log, whose
//! body is longer than `jute.maxbuffer` and, as padding, as much again (`BinaryInputArchive.java`; `jute.maxbuffer.extrasize` may
//! say otherwise). It leaves its leader there, comes back, is sent the same, and leaves again: for good. ZooKeeper's own leader
//! makes such transactions. Ours refuses them, of whatever kind the members are: they may change, and a log may be exported.
//! What a client sends is bounded by `jute.maxbuffer`, so only what grows on the way can be too long: ACLs whose `auth` becomes
//! all that a connection has shown, and the paths of a closeSession.

use crate::base::limits;

/// What the operator decides about writes; all of it is off unless asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// TTL nodes can be made.
    pub extended_types: bool,
    pub skip_acl: bool,
    /// Hard quotas refuse; else they only warn.
    pub enforce_quota: bool,
    /// `reconfigEnabled`.
    pub reconfig: bool,
    /// `jute.maxbuffer`.
    pub frame_bytes_max: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            extended_types: false,
            skip_acl: false,
            enforce_quota: false,
            reconfig: false,
            frame_bytes_max: limits::FRAME_BYTES_DEFAULT,
        }
    }
}

/// The head of a transaction, its digest, and the end of a multi.
const AROUND_BYTES: usize = 64;

impl Rules {
    /// The operations of a multi, as logged.
    pub fn multi_bytes_max(&self) -> usize {
        (2 * self.frame_bytes_max - AROUND_BYTES).min(limits::MULTI_BYTES_MAX)
    }

    /// What the `auth` entries of one ACL list become: beside the rest of a request there is as much room again.
    pub fn acl_bytes_max(&self) -> usize {
        (self.frame_bytes_max - AROUND_BYTES).min(limits::ACL_BYTES_MAX)
    }

    /// Paths that a closeSession lists.
    pub fn close_session_bytes_max(&self) -> usize {
        self.frame_bytes_max.min(limits::CLOSE_SESSION_BYTES_MAX)
    }
}
