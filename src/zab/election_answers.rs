//! Who is answered, and how often.
//!
//! A part of [`super::Election`]. In ZooKeeper a server answers every message of one that has no vote, and one that is
//! past its election answers every message of a LOOKING one. Each of the two answers is a message, so a LOOKING voter and
//! a settled observer keep each other, and the network, busy for as long as the election lasts. Here:
//!
//! * Who has no vote is answered only if it is LOOKING: whoever is settled needs nothing of us, and what it says is no
//!   question. While we are LOOKING too, once per proposal and broadcast, as its own round may be ahead of ours for ever.
//! * Who has no vote itself and is settled answers the same server once in [`NOTIFICATION_INTERVAL_MIN`], which is how
//!   often one asks: ZooKeeper's servers would take each answer for a question.
//!
//! What is not sent would have been the same again: links repeat their last message when they come up, and who asked is
//! told of news. Tested: election_answers_test.rs.

use super::{Election, NOTIFICATION_INTERVAL_MIN, Output};
use crate::base::ServerId;
use crate::wire::peer::PeerState;

impl Election {
    /// To a server that is a voter of no configuration here.
    pub(super) fn answer_outsider(&mut self, from: ServerId, state: PeerState, outputs: &mut Vec<Output>) {
        if state != PeerState::Looking {
            return;
        }
        let Some(looking) = &mut self.looking else { return self.answer_settled(from, outputs) };
        let is_news = looking.told.insert(from);
        self.note_asker(from);
        if is_news {
            self.send(from, self.present_vote(self.round), outputs);
        }
    }

    /// To one that looks for a leader, while we don't.
    pub(super) fn answer_settled(&mut self, from: ServerId, outputs: &mut Vec<Output>) {
        self.note_asker(from);
        if !self.joint.is_voter(self.settings.me) {
            let last = self.answered.insert(from, self.now);
            if let Some(last) = last.filter(|last| self.now < *last + NOTIFICATION_INTERVAL_MIN) {
                self.answered.insert(from, last);
                return;
            }
        }
        self.send(from, self.present_vote(self.round_for(from)), outputs);
    }

    /// As in ZooKeeper: voters are told the round of the decision, others the newest.
    fn round_for(&self, peer: ServerId) -> i64 {
        if self.joint.is_voter(peer) { self.vote.round } else { self.round }
    }

    fn note_asker(&mut self, peer: ServerId) {
        if !self.epoch_known {
            self.askers.insert(peer);
        }
    }

    pub(super) fn answer_askers(&self, outputs: &mut Vec<Output>) {
        for peer in self.askers.iter() {
            self.send(peer, self.present_vote(self.round_for(peer)), outputs);
        }
    }

    /// Tells one voter, which is LOOKING, what we propose.
    pub(super) fn tell(&mut self, peer: ServerId, outputs: &mut Vec<Output>) {
        if let Some(looking) = &mut self.looking {
            looking.told.insert(peer);
        }
        self.send(peer, self.present_vote(self.round), outputs);
    }
}

#[cfg(test)]
#[path = "election_answers_test.rs"]
mod tests;
