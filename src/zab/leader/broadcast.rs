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
        self.hold.on_proposed(self.now);
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
        while self.stage == Stage::Broadcast
            && self.may_commit
            && let Some(reached) = self.reached()
        {
            let next = self.configs.next().filter(|next| Zxid(next.version()) <= reached).cloned();
            let Some(next) = next else { return self.commit_to(reached, history, outputs) };
            // What is behind it needs the quorums of the new one only.
            let zxid = Zxid(next.version());
            self.commit_to(Zxid(zxid.0 - 1), history, outputs);
            self.commit_reconfiguration(zxid, next, history, outputs);
        }
    }

    /// The highest that quorums hold and is not committed.
    fn reached(&self) -> Option<Zxid> {
        let following = self.learners.values().filter(|learner| learner.step == Step::Following);
        let mut candidates: Vec<Zxid> = following.map(|learner| learner.acked).collect();
        candidates.push(self.durable);
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().rev().take_while(|zxid| *zxid > self.committed).find(|zxid| {
            let is_durable = |learner: &Learner| learner.step == Step::Following && learner.acked >= *zxid;
            let mut holders = self.participants(is_durable);
            if self.durable >= *zxid {
                holders.insert(self.settings.me);
            }
            self.configs.has_quorum(&holders)
        })
    }

    fn commit_to(&mut self, reached: Zxid, history: &History, outputs: &mut Vec<Output>) {
        if reached <= self.committed {
            return;
        }
        let entries = history.between(self.committed, reached).expect("what is not committed is kept");
        let has_observers =
            self.learners.values().any(|learner| learner.is_forwarded() && !learner.is_participant);
        for entry in entries {
            packet::encode_bare(Kind::Commit, entry.zxid, &mut self.to_participants);
            if has_observers {
                packet::encode_with(Kind::Inform, entry.zxid, &entry.payload, &mut self.to_observers);
            }
            self.committed = entry.zxid;
            self.release_syncs(outputs);
        }
        self.committed = reached;
        self.hold.on_commit(self.now);
        outputs.push(Output::Committed { zxid: reached });
    }

    fn commit_reconfiguration(
        &mut self,
        zxid: Zxid,
        next: Arc<Config>,
        history: &History,
        outputs: &mut Vec<Output>,
    ) {
        let designated = self.activate(next, zxid, outputs);
        let payload = history
            .between(Zxid(zxid.0 - 1), zxid)
            .and_then(|mut entries| entries.next())
            .map(|entry| &entry.payload)
            .expect("what is not committed is kept");
        let activation = Activation { designated_leader: designated };
        packet::encode_record(Kind::CommitAndActivate, zxid, &activation, &mut self.to_participants);
        let inform = ActivatedInform { designated_leader: designated, proposal: payload };
        packet::encode_record(Kind::InformAndActivate, zxid, &inform, &mut self.to_observers);
        self.committed = zxid;
        self.release_syncs(outputs);
        outputs.push(Output::Committed { zxid });
    }

    /// A learner of Apache's finds the client of a write by the order alone: what its clients asked for, syncs among it, must come
    /// back in that order. Were a SYNC behind the COMMIT of a later write, that write would be nobody's for it, and so all
    /// that its clients write from then on (`CommitProcessor`, `queuedWriteRequests`).
    pub(super) fn release_syncs(&mut self, outputs: &mut Vec<Output>) {
        while let Some((_, link)) = self.syncs.pop_front_if(|(behind, _)| *behind <= self.committed) {
            let mut bytes = vec![];
            packet::encode_bare(Kind::Sync, Zxid::ZERO, &mut bytes);
            self.send(link, bytes, outputs);
        }
    }

    /// A quorum of it, and of the one before, has everything up to `zxid`. Who is to lead.
    pub(super) fn activate(&mut self, next: Arc<Config>, zxid: Zxid, outputs: &mut Vec<Output>) -> ServerId {
        let designated = self.designated(&next, zxid);
        self.configs = Joint::new(next.clone(), None);
        if designated != self.settings.me {
            self.may_commit = false;
            self.stage_since = self.now;
        }
        outputs.push(Output::Activated { config: next, designated });
        designated
    }

    /// This server if it stays where it is, else a voter of the new configuration that has logged most.
    fn designated(&self, next: &Config, zxid: Zxid) -> ServerId {
        let me = self.settings.me;
        let addresses =
            |config: &Config| config.member(me).map(|member| member.quorum_addresses().collect::<Vec<_>>());
        if next.is_voter(me) && addresses(next) == addresses(self.configs.committed()) {
            return me;
        }
        let candidates = self.learners.values().filter(|learner| {
            learner.step == Step::Following && learner.is_participant && learner.acked >= zxid
        });
        let candidates = candidates.filter_map(|learner| Some((learner.acked, learner.server?)));
        let best = candidates.filter(|(_, server)| next.is_voter(*server)).max();
        best.map_or(me, |(_, server)| server)
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
