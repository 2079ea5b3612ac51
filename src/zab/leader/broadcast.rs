//! Proposals out, acknowledgements in, commits out; what goes to all, once for all.
//!
//! Source: quorum-protocol.md §11.

use super::*;

impl Leader {
    pub(super) fn on_proposed(&mut self, zxid: Zxid, history: &History) {
        assert!(self.stage == Stage::Broadcast && zxid.epoch() == self.epoch, "{zxid} is proposed too early");
        assert!(zxid > self.proposed && zxid == history.last());
        self.proposed = zxid;
        let entry = history.newest().expect("a proposal is pushed to the history first");
        packet::encode_proposal(zxid, &entry.payload, &mut self.to_participants);
    }

    /// ACK of a proposal, and of all before it: a learner's log is in order.
    pub(super) fn on_ack(&mut self, link: Link, zxid: Zxid, outputs: &mut Vec<Output>) {
        // That of UPTODATE has no transaction.
        if zxid.0 & 0xffff_ffff == 0 {
            return;
        }
        if zxid > self.proposed {
            return self.refuse(link, &format!("it acknowledges {zxid}, which was not proposed"), outputs);
        }
        if let Some(learner) = self.learners.get_mut(&link) {
            learner.acked = learner.acked.max(zxid);
        }
    }

    pub(super) fn commit(&mut self, history: &History, outputs: &mut Vec<Output>) {
        if self.stage != Stage::Broadcast {
            return;
        }
        let following = self.learners.values().filter(|learner| learner.step == Step::Following);
        let mut candidates: Vec<Zxid> = following.map(|learner| learner.acked).collect();
        candidates.push(self.durable);
        candidates.sort_unstable();
        candidates.dedup();
        let reached = candidates.into_iter().rev().take_while(|zxid| *zxid > self.committed).find(|zxid| {
            let is_durable = |learner: &Learner| learner.step == Step::Following && learner.acked >= *zxid;
            let mut holders = self.participants(is_durable);
            if self.durable >= *zxid {
                holders.insert(self.settings.me);
            }
            self.configs.has_quorum(&holders)
        });
        let Some(reached) = reached else { return };
        let entries = history.between(self.committed, reached).expect("what is not committed is kept");
        let has_observers =
            self.learners.values().any(|learner| learner.is_forwarded() && !learner.is_participant);
        for entry in entries {
            packet::encode_bare(Kind::Commit, entry.zxid, &mut self.to_participants);
            if has_observers {
                packet::encode_with(Kind::Inform, entry.zxid, &entry.payload, &mut self.to_observers);
            }
        }
        self.committed = reached;
        outputs.push(Output::Committed { zxid: reached });
    }

    pub(super) fn flush(&mut self, outputs: &mut Vec<Output>) {
        for is_participant in [true, false] {
            let buffer = if is_participant { &mut self.to_participants } else { &mut self.to_observers };
            if buffer.is_empty() {
                continue;
            }
            let room = buffer.len();
            let bytes = Bytes::from(mem::replace(buffer, Vec::with_capacity(room)));
            for (link, learner) in &mut self.learners {
                if learner.is_participant != is_participant || !learner.is_forwarded() {
                    continue;
                }
                match learner.step {
                    // It comes with the history behind the snapshot.
                    Step::Snapshot => {}
                    _ => outputs.push(Output::Send { link: *link, bytes: bytes.clone() }),
                }
            }
        }
    }

    /// To one learner, behind all that went to all.
    pub(super) fn send(&mut self, link: Link, bytes: Vec<u8>, outputs: &mut Vec<Output>) {
        self.flush(outputs);
        if self.learners.contains_key(&link) {
            outputs.push(Output::Send { link, bytes: bytes.into() });
        }
    }
}
