//! Which znodes are looked at together before they are needed one by one (`tree::ahead` says why).
//!
//! Called by the driver and in apply. Nothing depends on it. Tested: tree/ahead.rs; what it gains: perf/tried.md.

use crate::messages::Request;
use crate::tree;

use super::Replica;

/// Transactions whose znodes are looked at together.
const AHEAD: usize = 32;

impl Replica {
    /// To be called for requests that came together, before they are handed in one by one.
    pub fn look_ahead<'r>(&self, requests: impl Iterator<Item = &'r Request>) {
        if self.is_deciding() {
            self.store.look_ahead(requests.map(|request| match request {
                Request::Write { opcode, body, .. } => tree::ahead::path_in(opcode.code(), body),
                _ => None,
            }));
        }
    }

    /// Before what is committed is applied; in an ensemble. Alone a write's znode was looked at a moment ago, when it was decided,
    /// and nothing is gained (perf/tried.md); a leader's has left the caches by the time that a quorum has it.
    pub(super) fn look_ahead_of_apply(&mut self) {
        let next = self.proposals.next_committed().map(|(zxid, ..)| zxid);
        if self.ensemble.is_none() || next.is_none_or(|next| next <= self.seen_ahead) {
            return;
        }
        let mut last = self.seen_ahead;
        let paths = self.proposals.committed().take(AHEAD).map(|(zxid, payload)| {
            last = zxid;
            tree::ahead::path_in_logged(payload)
        });
        self.store.look_ahead(paths);
        self.seen_ahead = last;
    }
}
