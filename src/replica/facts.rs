//! What the replica says of itself: to operators, and to whoever checks that it holds no more than it may.

use crate::base::Zxid;

use super::Replica;

/// What an operator sees of the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub applied: Zxid,
    pub nodes_count: u64,
    pub data_bytes: u64,
    pub path_bytes: u64,
    pub ephemerals_count: u64,
    /// Local ones excepted.
    pub sessions_count: u64,
    pub local_sessions_count: u64,
    pub outstanding: u64,
    pub digest: u64,
    /// Transactions behind which the tree was not the one that the leader had told of.
    pub digest_mismatches: u64,
    pub refuses_writes: bool,
    pub snapshots_written: u64,
    pub snapshots_failed: u64,
    pub newest_snapshot: Option<Zxid>,
    /// A lone server serves nobody, and nothing is under way behind this zxid: its tree may be replaced.
    pub stands_at: Option<Zxid>,
    /// For their clients' silence, by this server.
    pub sessions_expired: u64,
}

/// What is held for transactions that are not applied yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub proposals: usize,
    /// Of their sealed groups.
    pub sealed_bytes: usize,
    /// Of the open one.
    pub open_bytes: usize,
    /// What prep remembers of them: nodes, ephemerals, sessions.
    pub overlay: usize,
    /// Answers that wait for them.
    pub deferred: usize,
}

impl Replica {
    pub fn facts(&self) -> Facts {
        let local_sessions = self.sessions.local_count();
        Facts {
            applied: self.applied,
            nodes_count: self.store.nodes_count(),
            data_bytes: self.store.data_bytes(),
            path_bytes: self.store.path_bytes(),
            ephemerals_count: self.store.ephemerals_count() as u64,
            sessions_count: (self.sessions.count() - local_sessions) as u64,
            local_sessions_count: local_sessions as u64,
            outstanding: self.proposals.count() as u64,
            digest: self.store.digest(),
            digest_mismatches: self.digests.mismatches(),
            refuses_writes: self.space_low,
            snapshots_written: self.snapshots.written,
            snapshots_failed: self.snapshots.failed,
            sessions_expired: self.sessions_expired,
            newest_snapshot: self.snapshots.newest(),
            stands_at: self.stands_at(),
        }
    }

    /// Digests of the tree at zxids which are multiples of 128, oldest first: what `hash` shows.
    pub fn digests(&self) -> impl Iterator<Item = (Zxid, i64)> {
        self.digests.list()
    }

    pub fn held(&self) -> Held {
        Held {
            proposals: self.proposals.count(),
            sealed_bytes: self.proposals.bytes(),
            open_bytes: self.log.open_bytes(),
            overlay: self.overlay.size(),
            deferred: self.deferred.len(),
        }
    }
}
