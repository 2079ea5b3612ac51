//! Bringing learners to the leader's history, and the moment when a quorum has it.
//!
//! Source: quorum-protocol.md §7, steps 7 to 11, §8 and §9.

use super::*;

impl Leader {
    /// Sends what the learner lacks, then NEWLEADER; from here on it gets all that is proposed.
    pub(super) fn synchronize(
        &mut self,
        link: Link,
        last: Zxid,
        history: &History,
        outputs: &mut Vec<Output>,
    ) {
        // What this turn collected went to the others; this one gets it with the history.
        self.flush(outputs);
        let committed = self.history_end();
        let mut bytes = vec![];
        let after = match history.sync(last, committed) {
            Sync::Diff { after } => {
                packet::encode_bare(Kind::Diff, committed, &mut bytes);
                after
            }
            Sync::Trunc { to } => {
                packet::encode_bare(Kind::Trunc, to, &mut bytes);
                to
            }
            Sync::Snap => {
                if let Some(learner) = self.learners.get_mut(&link) {
                    learner.step = Step::Snapshot;
                }
                outputs.push(Output::SendSnapshot { link });
                return;
            }
        };
        self.send_history(link, after, bytes, history, outputs);
    }

    pub(super) fn on_snapshot_sent(
        &mut self,
        link: Link,
        zxid: Zxid,
        history: &History,
        outputs: &mut Vec<Output>,
    ) {
        let Some(learner) = self.learners.get_mut(&link) else { return };
        assert!(learner.step == Step::Snapshot, "one snapshot a learner");
        learner.heard = self.now;
        self.flush(outputs);
        self.send_history(link, zxid, vec![], history, outputs);
    }

    pub(super) fn on_gone(&mut self, link: Link) {
        self.syncs.retain(|(_, other)| *other != link);
        if let Some(Learner { step: Step::Snapshot, server, .. }) = self.learners.remove(&link) {
            let peer = link::name(server);
            tracing::warn!(%peer, "the learner has gone in the middle of its snapshot: it is sent another one when it is back");
        }
    }

    /// Proposals and commits in (after, committed], NEWLEADER, and to participants what is outstanding.
    ///
    /// Apache's leader sends what is outstanding before NEWLEADER; its COMMIT then comes behind it, where a learner of 3.8.6
    /// has forgotten the proposal: it drops the leader, and what it has logged it logs again when it comes back.
    pub(super) fn send_history(
        &mut self,
        link: Link,
        after: Zxid,
        mut bytes: Vec<u8>,
        history: &History,
        outputs: &mut Vec<Output>,
    ) {
        let committed = self.history_end();
        let Some(learner) = self.learners.get_mut(&link) else { return };
        let (Some(past), Some(outstanding)) =
            (history.between(after, committed), history.between(committed.max(after), self.proposed))
        else {
            return self.refuse(link, "what it lacks is not in memory any more", outputs);
        };
        for entry in past {
            packet::encode_proposal(entry.zxid, &entry.payload, &mut bytes);
            packet::encode_bare(Kind::Commit, entry.zxid, &mut bytes);
        }
        // It counts with UPTODATE. Once there is a quorum, that of a proposal is told by its own commit.
        let newest = match self.stage {
            Stage::Broadcast => self.configs.committed(),
            _ => self.configs.next().unwrap_or(self.configs.committed()),
        };
        packet::encode_with(
            Kind::NewLeader,
            beginning(self.epoch),
            newest.to_string().as_bytes(),
            &mut bytes,
        );
        if learner.is_participant {
            for entry in outstanding {
                packet::encode_proposal(entry.zxid, &entry.payload, &mut bytes);
            }
        }
        learner.step = Step::NewLeader;
        learner.history = committed;
        outputs.push(Output::Send { link, bytes: bytes.into() });
    }

    /// What counts as committed for those who synchronise: in a new epoch all of the log.
    pub(super) fn history_end(&self) -> Zxid {
        self.committed.max(self.tail)
    }

    /// ACK of NEWLEADER.
    pub(super) fn on_history_acked(&mut self, link: Link, history: &History, outputs: &mut Vec<Output>) {
        let Some(learner) = self.learners.get_mut(&link) else { return };
        learner.step = Step::Following;
        // What it was sent uncommitted it acknowledges later, one by one.
        learner.acked = learner.history;
        match self.stage {
            Stage::Broadcast => self.send_up_to_date(link, outputs),
            Stage::Synchronization => self.establish(history, outputs),
            _ => unreachable!("NEWLEADER was sent"),
        }
    }

    pub(super) fn establish(&mut self, history: &History, outputs: &mut Vec<Output>) {
        let following = self.members(|learner| learner.step == Step::Following);
        if self.stage != Stage::Synchronization || !self.has_quorum(following) {
            return;
        }
        self.enter(Stage::Broadcast);
        self.committed = self.tail;
        if let Some(next) = self.configs.next().cloned() {
            self.activate(next, self.tail, outputs);
        }
        outputs.push(Output::Established { epoch: self.epoch, history: self.tail });
        for link in self.links(|step| step == Step::Following) {
            self.send_up_to_date(link, outputs);
        }
        self.commit(history, outputs);
    }

    pub(super) fn send_up_to_date(&mut self, link: Link, outputs: &mut Vec<Output>) {
        let mut bytes = vec![];
        packet::encode_bare(Kind::UpToDate, Zxid(-1), &mut bytes);
        self.send(link, bytes, outputs);
    }
}

#[cfg(test)]
#[path = "synchronization_test.rs"]
mod tests;
