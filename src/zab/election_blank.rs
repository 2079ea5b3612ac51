//! Servers whose memory can't be trusted: what they say, and what of it counts ([`crate::zab::Standing`] says why).
//!
//! A part of [`super::Election`]. Tested: election_blank_test.rs, election_test.rs; `replica/ensemble/cluster_test/scenarios_disk.rs`.

use super::{Election, Looking, Output};
use crate::zab::vote::Standing;

impl Election {
    /// At the last decision: whether a promise of this server may count.
    pub fn has_vote(&self) -> bool {
        self.has_vote
    }

    pub(super) fn has_vote_in(&self, looking: &Looking) -> bool {
        let is_voter = self.settings.participant && self.joint.is_voter(self.settings.me);
        match looking.start.standing {
            Standing::Sound { .. } => true,
            Standing::Blank => is_voter && looking.initial.is_vote(),
            Standing::Damaged { .. } => false,
        }
    }

    /// The ensemble has had a leader: a blank server was wiped, and its vote could lose what it once had.
    pub(super) fn on_history_seen(&mut self, outputs: &mut Vec<Output>) {
        let Some(looking) = &mut self.looking else { return };
        if looking.start.standing != Standing::Blank
            || !looking.initial.is_vote()
            || !self.settings.participant
        {
            return;
        }
        looking.initial = looking.initial.without_vote();
        looking.proposal = looking.initial;
        looking.received.clear();
        looking.finalize_at = None;
        self.broadcast(outputs);
    }
}

#[cfg(test)]
#[path = "election_blank_test.rs"]
mod tests;
