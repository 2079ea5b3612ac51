//! From the first packet of a learner to an epoch that a quorum has promised and this server has adopted.
//!
//! The new epoch is one more than any that was ever promised by the members who are here; a quorum of voters is here, so it
//! is more than that of any leader that ever had a quorum. What strangers say does not count, and a number that leaves no
//! room for elections to come is nobody's: who accepts an epoch never accepts a lower one again. There are no passwords
//! between servers: who claims to be a voter that is away is believed.
//!
//! That no two leaders have one epoch, and that none lacks what is committed, rests on the promises alone: a server gives
//! that of an epoch once (-1 instead of its current epoch means "again", and counts for nothing), and shows with it what it
//! has. A voter that was wiped has forgotten both. Here it may speak in FOLLOWERINFO, where a lower number than it had
//! only makes an epoch that others refuse; its ACKEPOCH says -1 (`vote::Standing`). So of a quorum's promises each was
//! remembered since it was given.
//! Source: quorum-protocol.md §7, steps 1 to 6. Tested: discovery_test.rs, cluster_test.rs.

use super::*;

/// An epoch is the upper half of a zxid, and has a sign. So many are left for elections to come, whatever anybody says:
/// for half a year with one in each second.
const EPOCHS_LEFT_MIN: i64 = 1 << 24;
/// An ensemble that has come that far goes on: so far may others be ahead of this server.
const EPOCHS_AHEAD_MAX: i64 = 1 << 10;

/// What a voter last said while it was looking for a leader.
#[derive(Debug)]
pub(super) struct Voice {
    /// For whom.
    pub vote: ServerId,
    /// The latest epoch of what it has, if it votes for itself.
    pub history: Epoch,
}

impl Leader {
    /// Makes way where no quorum can come of those who are left: the election was decided a moment before a better candidate
    /// was heard, and who voted here has gone over to it. ZooKeeper's leader waits for initLimit.
    pub(super) fn on_looking(&mut self, server: ServerId, voice: Voice, outputs: &mut Vec<Output>) {
        self.looking.insert(server, voice);
        if self.is_established() {
            return;
        }
        let here = self.members(|_| true);
        let elsewhere = self.looking.iter().filter(|(_, voice)| voice.vote != self.settings.me);
        let elsewhere: ServerSet = elsewhere.map(|(server, _)| *server).collect();
        if !self.has_quorum(self.configs.voters().without(&elsewhere.without(&here))) {
            self.step_down("those who elected this server vote for another one", outputs);
        }
    }

    /// FOLLOWERINFO or OBSERVERINFO.
    pub(super) fn on_info(
        &mut self,
        link: Link,
        packet: &QuorumPacket<'_>,
        outputs: &mut Vec<Output>,
    ) -> Result<(), PacketError> {
        let info: LearnerInfo = packet.payload()?;
        let promised = packet.zxid.epoch();
        let objection = self.objection(&info, promised);
        // From now on it has a name.
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(()) };
        learner.server = Some(info.server);
        if let Some(reason) = objection {
            self.refuse(link, &reason, outputs);
            return Ok(());
        }
        // Who connects anew has given up the old connection.
        if let Some(old) = self.connection_of(info.server, link) {
            let reason = "it has connected anew; if that goes on, two servers are given the same myid";
            self.refuse(old, reason, outputs);
        }
        let is_member = self.configs.member(info.server).is_some();
        if !is_member {
            let peer = link::name(Some(info.server));
            tracing::info!(%peer, "a learner that is in no configuration known here has no vote");
        }
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(()) };
        learner.is_participant = packet.kind == Kind::FollowerInfo;
        learner.step = Step::Epoch;
        match self.stage {
            Stage::Discovery => {
                // ZooKeeper's leader counts anybody's. Nobody waits for a stranger who has promised more.
                if is_member {
                    self.highest = self.highest.max(promised);
                }
                self.advance(outputs);
            }
            Stage::Accepting => {}
            // It will never follow in this epoch, and nobody else would ever raise it. (ZooKeeper's leader stays, and the
            // voter stays away until something else ends the epoch.)
            _ if promised > self.epoch && self.configs.is_voter(info.server) => {
                match self.foreign_epoch(info.server) {
                    // Not closed: it would be back at once.
                    Some(theirs) => tracing::warn!(
                        peer = %link::name(Some(info.server)),
                        reason = foreign(theirs, self.epoch),
                        "a learner is left waiting"
                    ),
                    None => self.step_down("a voter has promised a later epoch to another leader", outputs),
                }
            }
            _ => self.tell_epoch(link, outputs),
        }
        Ok(())
    }

    /// That of a history which no member of this ensemble can have. A later epoch's history is sent behind a quorum's promises
    /// only, and of that quorum nobody follows here: but a quorum does. Whoever has it must not lead, as it would if this
    /// leader made way: its data would take the place of all that a quorum has.
    fn foreign_epoch(&self, server: ServerId) -> Option<Epoch> {
        let theirs =
            self.looking.get(&server).map(|voice| voice.history).filter(|theirs| *theirs > self.epoch);
        theirs.filter(|_| self.has_quorum_of_followers())
    }

    /// Why a learner that comes with this is not taken.
    fn objection(&self, info: &LearnerInfo, promised: Epoch) -> Option<String> {
        if info.protocol_version.is_none_or(|version| version < PROTOCOL_VERSION) {
            return Some("it speaks the protocol from before ZooKeeper 3.4".to_owned());
        }
        if info.config_version.is_some_and(|version| version > self.configs.committed().version()) {
            return Some("its configuration is newer than this leader's".to_owned());
        }
        if info.server == self.settings.me {
            return Some("it has this server's own id: are two servers given the same myid?".to_owned());
        }
        if self.is_beyond_reach(promised) {
            let Epoch(own) = self.epochs.accepted;
            return Some(format!(
                "it has promised epoch {}, which no election can have come to (here: {own}); if it is a server of this \
                 ensemble, start it with an empty directory but for its myid",
                promised.0
            ));
        }
        // Whoever says so later: the one that answers is not cut off for it.
        let answers = |learner: &Learner| {
            matches!(learner.step, Step::NewLeader | Step::Following)
                && self.now.since(learner.heard) <= self.settings.sync_time() / 2
        };
        let has_id = |learner: &&Learner| learner.server == Some(info.server);
        self.learners.values().find(has_id).is_some_and(answers).then(|| {
            "a server of this id is connected and answers: are two servers given the same myid?".to_owned()
        })
    }

    /// Such a number comes from damage or from somebody else, and it would stay: nobody accepts a lower one ever after.
    fn is_beyond_reach(&self, promised: Epoch) -> bool {
        let usual = i64::from(i32::MAX) - EPOCHS_LEFT_MIN;
        promised < Epoch(0) || promised.0 > usual.max(self.epochs.accepted.0.saturating_add(EPOCHS_AHEAD_MAX))
    }

    /// For one more epoch in a zxid.
    pub(super) fn has_room(&self) -> bool {
        self.highest < Epoch(i32::MAX.into())
    }

    /// Another one than `link`.
    fn connection_of(&self, server: ServerId, link: Link) -> Option<Link> {
        let mut all = self.learners.iter();
        let is_other =
            |(other, learner): &(&Link, &Learner)| **other != link && learner.server == Some(server);
        all.find(is_other).map(|(other, _)| *other)
    }

    pub(super) fn tell_epoch(&mut self, link: Link, outputs: &mut Vec<Output>) {
        let Some(learner) = self.learners.get_mut(&link) else { return };
        learner.step = Step::Promise;
        let mut bytes = vec![];
        let info = LeaderInfo { protocol_version: PROTOCOL_VERSION };
        packet::encode_record(Kind::LeaderInfo, beginning(self.epoch), &info, &mut bytes);
        outputs.push(Output::Send { link, bytes: bytes.into() });
    }

    /// ACKEPOCH.
    pub(super) fn on_promise(
        &mut self,
        link: Link,
        current: Option<Epoch>,
        last: Zxid,
        history: &History,
        outputs: &mut Vec<Output>,
    ) {
        let is_ahead = current.is_some_and(|current| (current, last) > (self.own_epoch, self.tail));
        if is_ahead && self.stage == Stage::Promises {
            // What it has may be committed. With it this server must not lead; without it another quorum may form.
            self.refuse(link, "its history is newer than this leader's", outputs);
            return;
        }
        let Some(learner) = self.learners.get_mut(&link) else { return };
        learner.step = Step::Waiting { last };
        let server = learner.server.expect("known since its first packet");
        if self.stage == Stage::Promises {
            if current.is_some() && last != Zxid(-1) {
                self.promised.add(server, &self.configs);
            }
            self.advance(outputs);
        } else if matches!(self.stage, Stage::Synchronization | Stage::Broadcast) {
            self.synchronize(link, last, history, outputs);
        }
    }

    pub(super) fn on_epochs_durable(&mut self, history: &History, outputs: &mut Vec<Output>) {
        match self.stage {
            Stage::Accepting => {
                self.enter(Stage::Promises);
                // The first version that counts: above that of any server which was only told of some members.
                let committed = self.configs.committed();
                if self.settings.reconfig_enabled && committed.version() == 0 && self.configs.next().is_none()
                {
                    let first = Arc::new(committed.at_version(beginning(self.epoch).0));
                    self.configs = Joint::new(committed.clone(), Some(first));
                }
                for link in self.links(|step| step == Step::Epoch) {
                    self.tell_epoch(link, outputs);
                }
                self.advance(outputs);
            }
            Stage::Adopting => {
                self.enter(Stage::Synchronization);
                for link in self.links(|step| matches!(step, Step::Waiting { .. })) {
                    let Some(Learner { step: Step::Waiting { last }, .. }) = self.learners.get(&link) else {
                        continue;
                    };
                    self.synchronize(link, *last, history, outputs);
                }
                self.establish(history, outputs);
            }
            _ => unreachable!("no epoch was to be written"),
        }
    }

    /// Goes on with the epoch if a quorum allows it.
    pub(super) fn advance(&mut self, outputs: &mut Vec<Output>) {
        match self.stage {
            Stage::Discovery if !self.has_room() => {}
            Stage::Discovery if self.has_quorum(self.members(|_| true)) => {
                self.epoch = Epoch(self.highest.0 + 1);
                self.epochs.accepted = self.epoch;
                self.enter(Stage::Accepting);
                outputs.push(Output::PersistEpochs(self.epochs));
            }
            Stage::Promises if self.has_quorum(*self.promised.servers()) => {
                self.epochs.current = self.epoch;
                self.enter(Stage::Adopting);
                outputs.push(Output::PersistEpochs(self.epochs));
            }
            _ => {}
        }
    }
}

fn foreign(theirs: Epoch, ours: Epoch) -> String {
    format!(
        "its history is of epoch {}, and that of a quorum is of epoch {}: one of the two is another ensemble's, or an old \
         copy. To make it a member with what the quorum has, start it with nothing but myid in its directory",
        theirs.0, ours.0
    )
}

#[cfg(test)]
#[path = "discovery_test.rs"]
mod tests;
