//! The leader's side: a new epoch, learners brought to the same history, then proposals and commits.
//!
//! Life of a learner here: link → FOLLOWERINFO → LEADERINFO → ACKEPOCH → DIFF, TRUNC or SNAP with what it lacks →
//! NEWLEADER → its ACK → UPTODATE. From the synchronisation on it gets everything that is proposed (an observer: that is
//! committed). One buffer per turn holds what all participants get, and one what all observers get; each is shared, so a
//! learner costs a reference and a send.
//!
//! Invariants: nothing is proposed before a quorum has the whole history; a transaction is committed when it and all
//! before it are durable on a quorum of voters that acknowledged this epoch, this server's own log counted when it is
//! durable, not before; commits rise.
//! Reconfiguration: from the proposal of a configuration until it is committed both count (`Joint`); then those who are told
//! activate it, and if it has another leader this one commits nothing more and goes when its learners have gone.
//! Limits: `Settings::payload_bytes_max` a packet; a learner that stays silent for initLimit (then syncLimit) ticks is
//! dropped. Source: quorum-protocol.md §7 to §11.
//! Tested: cluster_test.rs, discovery_test.rs, synchronization_test.rs.

mod broadcast;
mod discovery;
mod hold;
mod synchronization;
mod words;

pub use words::{Forwarded, Input, Output};

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Epoch, Instant, ServerId, Zxid};
use crate::wire::peer::packet::{self, PacketError};
use crate::wire::peer::payload::PROTOCOL_VERSION;
use crate::wire::peer::{
    AckEpoch, ActivatedInform, Activation, ForwardedRequest, Kind, LeaderInfo, LearnerInfo, QuorumPacket,
    Revalidation, RevalidationReply, SessionTouches,
};

use super::history::{History, Sync};
use super::link::{self, Link, Stream};
use super::quorum::{Acks, Config, Joint};
use super::servers::ServerSet;
use super::{Epochs, Settings};
use hold::Hold;

/// Of the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Until a quorum has told the highest epoch it knows.
    Discovery,
    /// The new epoch is being written.
    Accepting,
    /// Until a quorum has promised it.
    Promises,
    /// It is being written that this is the epoch of our history.
    Adopting,
    /// Until a quorum has the history.
    Synchronization,
    Broadcast,
    /// The end: nothing comes out any more.
    Down,
}

/// Of a learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Until it says who it is.
    Info,
    /// It waits for the new epoch.
    Epoch,
    /// LEADERINFO is out.
    Promise,
    /// Its log ends here; it waits for the epoch's quorum.
    Waiting { last: Zxid },
    /// The snapshot is on its way; the rest is held back.
    Snapshot,
    /// NEWLEADER is out.
    NewLeader,
    /// It has the history.
    Following,
}

#[derive(Debug)]
struct Learner {
    stream: Stream,
    step: Step,
    server: Option<ServerId>,
    /// FOLLOWERINFO, and not OBSERVERINFO. Whether it counts is the configuration's matter.
    is_participant: bool,
    /// Its ACK of NEWLEADER says that everything up to here is durable there.
    history: Zxid,
    /// Everything up to here is durable there.
    acked: Zxid,
    heard: Instant,
}

impl Learner {
    /// It gets what is proposed or committed.
    fn is_forwarded(&self) -> bool {
        matches!(self.step, Step::Snapshot | Step::NewLeader | Step::Following)
    }
}

/// What operators are told of a learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerStatus {
    pub server: ServerId,
    /// It has the epoch's history.
    pub is_synced: bool,
    /// Everything up to here is durable there, by its own word; an observer gives none.
    pub acked: Zxid,
}

#[derive(Debug)]
pub struct Leader {
    settings: Settings,
    configs: Joint,
    now: Instant,
    stage: Stage,
    stage_since: Instant,
    epochs: Epochs,
    epoch: Epoch,
    /// The highest epoch promised by anybody heard of.
    highest: Epoch,
    /// Where the log ended when this server began to lead: all of it is history.
    tail: Zxid,
    /// Epoch and zxid of a learner must not be above this.
    own_epoch: Epoch,
    proposed: Zxid,
    durable: Zxid,
    committed: Zxid,
    /// False: another server was designated to lead.
    may_commit: bool,
    promised: Acks,
    learners: BTreeMap<Link, Learner>,
    /// What each voter last said that was not following anybody.
    looking: BTreeMap<ServerId, discovery::Voice>,
    /// Of this turn: for all participants, for all observers.
    to_participants: Vec<u8>,
    to_observers: Vec<u8>,
    hold: Hold,
    /// Answers that wait for a commit, in its order.
    syncs: VecDeque<(Zxid, Link)>,
    next_ping: Instant,
    next_check: Instant,
}

impl Leader {
    /// `durable`: where the own log ends; nothing of it is outstanding.
    pub fn new(
        settings: Settings,
        configs: Joint,
        epochs: Epochs,
        durable: Zxid,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) -> Leader {
        let (next_ping, next_check) = (now + settings.tick / 2, now + settings.tick);
        let mut leader = Leader {
            settings,
            configs,
            now,
            stage: Stage::Discovery,
            stage_since: now,
            epochs,
            epoch: Epoch(0),
            highest: epochs.accepted,
            tail: durable,
            own_epoch: epochs.current,
            proposed: durable,
            durable,
            committed: Zxid::ZERO,
            may_commit: true,
            promised: Acks::default(),
            learners: BTreeMap::new(),
            looking: BTreeMap::new(),
            to_participants: vec![],
            to_observers: vec![],
            hold: Hold::default(),
            syncs: VecDeque::new(),
            next_ping,
            next_check,
        };
        leader.advance(outputs);
        leader
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Transactions may be proposed, from `epoch << 32 | 1` on.
    pub fn is_established(&self) -> bool {
        self.stage == Stage::Broadcast
    }

    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// Servers that have this epoch's history and are heard from, this one excepted, and whether each of them votes.
    pub fn synced(&self) -> impl Iterator<Item = (ServerId, bool)> + '_ {
        let following = self.learners.values().filter(|learner| learner.step == Step::Following);
        following.filter_map(|learner| Some((learner.server?, learner.is_participant)))
    }

    /// In ZooKeeper's words.
    pub fn phase(&self) -> &'static str {
        match self.stage {
            Stage::Discovery | Stage::Accepting | Stage::Promises => "discovery",
            Stage::Adopting | Stage::Synchronization => "synchronization",
            Stage::Broadcast => "broadcast",
            Stage::Down => "election",
        }
    }

    /// Those which have said who they are.
    pub fn learners(&self) -> impl Iterator<Item = LearnerStatus> + '_ {
        self.learners.values().filter_map(|learner| {
            let is_synced = learner.step == Step::Following;
            Some(LearnerStatus { server: learner.server?, is_synced, acked: learner.acked })
        })
    }

    pub fn next_wakeup(&self) -> Instant {
        let at = self.next_ping.min(self.next_check);
        self.hold.next_wakeup().map_or(at, |until| at.min(until))
    }

    /// `history`: the own log's end in memory; every proposal is in it before its [`Input::Proposed`].
    pub fn step(&mut self, now: Instant, input: Input<'_>, history: &History, outputs: &mut Vec<Output>) {
        assert!(now >= self.now, "the monotone clock stepped back");
        self.now = now;
        if self.stage == Stage::Down {
            return;
        }
        match input {
            Input::Wakeup => self.wake_up(outputs),
            Input::Connected { link } => self.on_connected(link),
            Input::Received { link, bytes } => self.on_received(link, bytes, history, outputs),
            Input::Disconnected { link } => {
                self.on_gone(link);
                if !self.may_commit && !self.has_quorum_of_followers() {
                    self.step_down("another server was designated to lead", outputs);
                }
            }
            Input::Looking { server, vote, history } => {
                self.on_looking(server, discovery::Voice { vote, history }, outputs)
            }
            Input::EpochsDurable => self.on_epochs_durable(history, outputs),
            Input::Durable { zxid } => {
                assert!(zxid >= self.durable && zxid <= history.last());
                self.durable = zxid;
                self.commit(history, outputs);
            }
            Input::Proposed { zxid } => self.on_proposed(zxid, history),
            Input::Reconfigure { config } => {
                assert!(self.configs.next().is_none() && Zxid(config.version()) > self.proposed);
                self.configs = Joint::new(self.configs.committed().clone(), Some(config));
            }
            Input::SnapshotSent { link, zxid } => self.on_snapshot_sent(link, zxid, history, outputs),
            Input::Revalidated { link, session, valid } => {
                let mut bytes = vec![];
                let reply = RevalidationReply { session, valid };
                packet::encode_record(Kind::Revalidate, Zxid(-1), &reply, &mut bytes);
                self.send(link, bytes, outputs);
            }
            Input::Sync { link, behind } => {
                self.syncs.push_back((behind, link));
                self.release_syncs(outputs);
            }
            Input::TurnEnd => {
                if !self.hold.holds(now) {
                    self.flush(outputs);
                }
            }
        }
        self.assert_invariants(history);
    }

    fn on_connected(&mut self, link: Link) {
        let learner = Learner {
            stream: Stream::default(),
            step: Step::Info,
            server: None,
            is_participant: false,
            history: Zxid(-1),
            acked: Zxid(-1),
            heard: self.now,
        };
        assert!(self.learners.insert(link, learner).is_none(), "{link:?} is new");
    }

    fn on_received(&mut self, link: Link, bytes: &[u8], history: &History, outputs: &mut Vec<Output>) {
        let limit = self.settings.payload_bytes_max;
        let Some(learner) = self.learners.get_mut(&link) else { return };
        learner.heard = self.now;
        learner.stream.push(bytes);
        while let Some(learner) = self.learners.get_mut(&link) {
            let packet = match learner.stream.next(limit) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(error) => return self.refuse(link, &error.to_string(), outputs),
            };
            if let Err(error) = self.on_packet(link, &packet, history, outputs) {
                self.refuse(link, &error.to_string(), outputs);
            }
        }
        // Once for all the acknowledgements of a turn.
        self.commit(history, outputs);
    }

    fn on_packet(
        &mut self,
        link: Link,
        bytes: &Bytes,
        history: &History,
        outputs: &mut Vec<Output>,
    ) -> Result<(), PacketError> {
        let packet = link::decode(bytes)?;
        let Some(learner) = self.learners.get(&link) else { return Ok(()) };
        let (step, server) = (learner.step, learner.server);
        match (step, packet.kind) {
            (Step::Info, Kind::FollowerInfo | Kind::ObserverInfo) => {
                self.on_info(link, &packet, outputs)?;
            }
            (Step::Promise, Kind::AckEpoch) => {
                let ack: AckEpoch = packet.payload()?;
                self.on_promise(link, ack.current_epoch, packet.zxid, history, outputs);
            }
            (Step::Info | Step::Epoch | Step::Promise | Step::Waiting { .. } | Step::Snapshot, kind) => {
                self.refuse(link, &format!("{kind} has no place during the handshake"), outputs);
            }
            (Step::NewLeader, Kind::Ack) => {
                // Any other is of a proposal that came with the history: 3.8 may send these late, never early.
                if packet.zxid == beginning(self.epoch) {
                    self.on_history_acked(link, history, outputs);
                }
            }
            (Step::Following, Kind::Ack) => self.on_ack(link, packet.zxid, outputs),
            (Step::NewLeader | Step::Following, Kind::Ping) => {
                let touches: SessionTouches<'_> = packet.payload()?;
                if !touches.is_empty() {
                    outputs.push(Output::Touched { sessions: touches.iter().collect() });
                }
            }
            (Step::Following, Kind::Request) => {
                let server = server.expect("known since its first packet");
                let request: ForwardedRequest<'_> = packet.payload()?;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let identities = packet.authinfo.iter().flat_map(|all| all.iter()).map(|shown| {
                    let scheme = shown.scheme.map(|scheme| text(scheme.as_bytes()));
                    let id = shown.id.map(|id| text(id.as_bytes()));
                    (scheme.unwrap_or_default(), id.unwrap_or_default())
                });
                let identities = identities.collect();
                let ForwardedRequest { session, cxid, opcode, body } = request;
                let body = bytes.slice_ref(body);
                let request = Forwarded { session, cxid, opcode, body, identities };
                self.hold.on_forwarded();
                // A sync is a request to the learner's side and a packet of its own back.
                outputs.push(if opcode == SYNC {
                    Output::Sync { link, server }
                } else {
                    Output::Request { link, server, request }
                });
            }
            (Step::Following, Kind::Revalidate) => {
                let server = server.expect("known since its first packet");
                let Revalidation { session, timeout_ms } = packet.payload()?;
                outputs.push(Output::Revalidate { link, server, session, timeout_ms });
            }
            (Step::NewLeader | Step::Following, kind) => {
                tracing::warn!(peer = %link::name(server), %kind, "a packet that a learner does not send is passed over");
            }
        }
        Ok(())
    }

    fn participants(&self, wanted: impl Fn(&Learner) -> bool) -> ServerSet {
        let found = self.learners.values().filter(|learner| learner.is_participant && wanted(learner));
        found.filter_map(|learner| learner.server).collect()
    }

    /// In whichever role they have come: who is to get a vote by what this leader has logged may not know of that yet, and
    /// holds the history like any other when it has acknowledged NEWLEADER.
    fn members(&self, wanted: impl Fn(&Learner) -> bool) -> ServerSet {
        let found = self.learners.values().filter(|learner| wanted(learner));
        found.filter_map(|learner| learner.server).collect()
    }

    fn has_quorum_of_followers(&self) -> bool {
        self.has_quorum(self.participants(|learner| learner.step == Step::Following))
    }

    /// This server counts itself.
    fn has_quorum(&self, mut servers: ServerSet) -> bool {
        servers.insert(self.settings.me);
        self.configs.has_quorum(&servers)
    }

    fn links(&self, mut wanted: impl FnMut(Step) -> bool) -> Vec<Link> {
        let found = self.learners.iter().filter(|(_, learner)| wanted(learner.step));
        found.map(|(link, _)| *link).collect()
    }

    fn enter(&mut self, stage: Stage) {
        tracing::debug!(?stage, epoch = self.epoch.0, "leading");
        self.stage = stage;
        self.stage_since = self.now;
    }

    fn refuse(&mut self, link: Link, reason: &str, outputs: &mut Vec<Output>) {
        if let Some(learner) = self.learners.remove(&link) {
            tracing::warn!(peer = %link::name(learner.server), reason, "connection to a learner closed");
            outputs.push(Output::Close { link });
        }
    }

    fn wake_up(&mut self, outputs: &mut Vec<Output>) {
        if self.now >= self.next_ping {
            self.next_ping = self.now + self.settings.tick / 2;
            let mut bytes = vec![];
            packet::encode_bare(Kind::Ping, self.proposed, &mut bytes);
            let bytes = Bytes::from(bytes);
            self.flush(outputs);
            for link in self.links(|step| matches!(step, Step::NewLeader | Step::Following)) {
                outputs.push(Output::Send { link, bytes: bytes.clone() });
            }
        }
        if self.now >= self.next_check {
            self.next_check = self.now + self.settings.tick;
            self.check(outputs);
        }
    }

    /// Once a tick: who is silent is dropped, and without a quorum there is nothing to lead.
    fn check(&mut self, outputs: &mut Vec<Output>) {
        let silent = |learner: &Learner| {
            let limit = match learner.step {
                // It has nothing to say. A link that doesn't take the stream is the driver's to close.
                Step::Snapshot => return false,
                Step::Following => self.settings.sync_time(),
                _ => self.settings.init_time() + self.settings.sync_time(),
            };
            self.now.since(learner.heard) > limit
        };
        let silent: Vec<Link> =
            self.learners.iter().filter(|(_, learner)| silent(learner)).map(|(link, _)| *link).collect();
        for link in silent {
            self.refuse(link, "nothing was heard of it", outputs);
        }
        let reason = match self.stage {
            Stage::Broadcast if !self.has_quorum_of_followers() => {
                Some("no quorum of followers is heard from")
            }
            // Its learners should have left.
            Stage::Broadcast => (!self.may_commit
                && self.now.since(self.stage_since) > self.settings.sync_time())
            .then_some("another server was designated to lead"),
            Stage::Down => None,
            Stage::Discovery if !self.has_room() => {
                Some("the epochs are used up: no zxid has room for another one")
            }
            _ => (self.now.since(self.stage_since) > self.limit_of_stage())
                .then_some("no quorum of followers came in initLimit ticks"),
        };
        if let Some(reason) = reason {
            self.step_down(reason, outputs);
        }
    }

    fn step_down(&mut self, reason: &'static str, outputs: &mut Vec<Output>) {
        self.stage = Stage::Down;
        outputs.push(Output::StepDown { reason });
    }

    fn limit_of_stage(&self) -> Duration {
        self.settings.init_time()
    }

    fn assert_invariants(&self, history: &History) {
        assert!(self.committed <= self.proposed);
        assert!(self.proposed <= history.last());
        debug_assert!(self.stage != Stage::Broadcast || self.epochs.current == self.epoch);
    }
}

/// `OpCode.sync`.
const SYNC: i32 = 9;

/// The zxid that no transaction of the epoch has.
pub(super) fn beginning(epoch: Epoch) -> Zxid {
    Zxid(epoch.0 << 32)
}

#[cfg(test)]
#[path = "led_test.rs"]
mod led_tests;
