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
//! Limits: `Settings::payload_bytes_max` a packet; a learner that stays silent for initLimit (then syncLimit) ticks is
//! dropped. Source: quorum-protocol.md §7 to §11.
//! Tested: cluster_test.rs.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Epoch, Instant, ServerId, SessionId, Zxid};
use crate::wire::peer::packet::{self, PacketError};
use crate::wire::peer::payload::PROTOCOL_VERSION;
use crate::wire::peer::{
    AckEpoch, ForwardedRequest, Kind, LeaderInfo, LearnerInfo, QuorumPacket, Revalidation, RevalidationReply,
    SessionTouch, SessionTouches,
};

use super::history::{History, Sync};
use super::link::{self, Link, Stream};
use super::quorum::{Acks, Joint};
use super::servers::ServerSet;
use super::{Epochs, Settings};

#[derive(Debug)]
pub enum Input<'a> {
    /// `now >= next_wakeup()`.
    Wakeup,
    /// Somebody has dialled the quorum port.
    Connected {
        link: Link,
    },
    Received {
        link: Link,
        bytes: &'a [u8],
    },
    Disconnected {
        link: Link,
    },
    /// The record asked for last is on the disk.
    EpochsDurable,
    /// Everything in the own log up to `zxid` is durable.
    Durable {
        zxid: Zxid,
    },
    /// A transaction of this server's, appended to its log and pushed to its history.
    Proposed {
        zxid: Zxid,
    },
    /// All of the snapshot asked for has been handed to the link; it is the tree as of `zxid`.
    SnapshotSent {
        link: Link,
        zxid: Zxid,
    },
    /// The answer to [`Output::Revalidate`].
    Revalidated {
        link: Link,
        session: SessionId,
        valid: bool,
    },
    /// What [`Output::Sync`] waits for: everything proposed before it is committed.
    Synced {
        link: Link,
    },
    /// No more inputs for now: what was collected is sent.
    TurnEnd,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    Send {
        link: Link,
        bytes: Bytes,
    },
    Close {
        link: Link,
    },
    /// [`Input::EpochsDurable`] comes when it is.
    PersistEpochs(Epochs),
    /// A quorum has the history: everything up to `history` is committed, the first zxid of the epoch is free.
    Established {
        epoch: Epoch,
        history: Zxid,
    },
    Committed {
        zxid: Zxid,
    },
    /// Send SNAP's stream: the tree, as it is. Then [`Input::SnapshotSent`]. Nothing else goes to the link meanwhile.
    SendSnapshot {
        link: Link,
    },
    /// A client's write, sent by the learner that the client is connected to.
    Request {
        link: Link,
        server: ServerId,
        request: Forwarded,
    },
    /// A client of this learner waits until all that was proposed is committed.
    Sync {
        link: Link,
        server: ServerId,
    },
    Revalidate {
        link: Link,
        server: ServerId,
        session: SessionId,
        timeout_ms: i32,
    },
    /// Sessions that a learner has heard of.
    Touched {
        sessions: Vec<SessionTouch>,
    },
    /// Back to the election.
    StepDown {
        reason: &'static str,
    },
}

/// A forwarded request, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub session: SessionId,
    pub cxid: i32,
    pub opcode: i32,
    /// As the client sent it.
    pub body: Bytes,
    /// (scheme, id) pairs.
    pub identities: Vec<(String, String)>,
}

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
    promised: Acks,
    learners: BTreeMap<Link, Learner>,
    /// Of this turn: for all participants, for all observers.
    to_participants: Vec<u8>,
    to_observers: Vec<u8>,
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
            promised: Acks::default(),
            learners: BTreeMap::new(),
            to_participants: vec![],
            to_observers: vec![],
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

    pub fn next_wakeup(&self) -> Instant {
        self.next_ping.min(self.next_check)
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
                self.learners.remove(&link);
            }
            Input::EpochsDurable => self.on_epochs_durable(history, outputs),
            Input::Durable { zxid } => {
                assert!(zxid >= self.durable && zxid <= history.last());
                self.durable = zxid;
                self.commit(history, outputs);
            }
            Input::Proposed { zxid } => self.on_proposed(zxid, history),
            Input::SnapshotSent { link, zxid } => self.on_snapshot_sent(link, zxid, history, outputs),
            Input::Revalidated { link, session, valid } => {
                let mut bytes = vec![];
                let reply = RevalidationReply { session, valid };
                packet::encode_record(Kind::Revalidate, Zxid(-1), &reply, &mut bytes);
                self.send(link, bytes, outputs);
            }
            Input::Synced { link } => {
                let mut bytes = vec![];
                packet::encode_bare(Kind::Sync, Zxid::ZERO, &mut bytes);
                self.send(link, bytes, outputs);
            }
            Input::TurnEnd => self.flush(outputs),
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
                let text = |text: Option<crate::wire::Text<'_>>| {
                    text.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned()).unwrap_or_default()
                };
                let identities = packet.authinfo.iter().flat_map(|all| all.iter());
                let identities = identities.map(|one| (text(one.scheme), text(one.id))).collect();
                let ForwardedRequest { session, cxid, opcode, body } = request;
                let body = bytes.slice_ref(body);
                let request = Forwarded { session, cxid, opcode, body, identities };
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

    /// FOLLOWERINFO or OBSERVERINFO.
    fn on_info(
        &mut self,
        link: Link,
        packet: &QuorumPacket<'_>,
        outputs: &mut Vec<Output>,
    ) -> Result<(), PacketError> {
        let info: LearnerInfo = packet.payload()?;
        if info.protocol_version.is_none_or(|version| version < PROTOCOL_VERSION) {
            self.refuse(link, "it speaks the protocol from before ZooKeeper 3.4", outputs);
            return Ok(());
        }
        if info.config_version.is_some_and(|version| version > self.configs.committed().version()) {
            self.refuse(link, "its configuration is newer than this leader's", outputs);
            return Ok(());
        }
        if info.server == self.settings.me {
            self.refuse(link, "it has this server's own id: are two servers given the same myid?", outputs);
            return Ok(());
        }
        // Who connects anew has given up the old connection.
        let old = self.learners.iter().find(|(_, learner)| learner.server == Some(info.server));
        if let Some((&old, _)) = old {
            self.refuse(old, "it has connected anew", outputs);
        }
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(()) };
        learner.server = Some(info.server);
        learner.is_participant = packet.kind == Kind::FollowerInfo;
        learner.step = Step::Epoch;
        match self.stage {
            Stage::Discovery => {
                self.highest = self.highest.max(packet.zxid.epoch());
                self.advance(outputs);
            }
            Stage::Accepting => {}
            // It will never follow in this epoch, and nobody else would ever raise it.
            _ if packet.zxid.epoch() > self.epoch && self.configs.is_voter(info.server) => {
                self.step_down("a voter has promised a later epoch to another leader", outputs);
            }
            _ => self.tell_epoch(link, outputs),
        }
        Ok(())
    }

    fn tell_epoch(&mut self, link: Link, outputs: &mut Vec<Output>) {
        let Some(learner) = self.learners.get_mut(&link) else { return };
        learner.step = Step::Promise;
        let mut bytes = vec![];
        let info = LeaderInfo { protocol_version: PROTOCOL_VERSION };
        packet::encode_record(Kind::LeaderInfo, beginning(self.epoch), &info, &mut bytes);
        outputs.push(Output::Send { link, bytes: bytes.into() });
    }

    /// ACKEPOCH.
    fn on_promise(
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

    fn on_epochs_durable(&mut self, history: &History, outputs: &mut Vec<Output>) {
        match self.stage {
            Stage::Accepting => {
                self.enter(Stage::Promises);
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
    fn advance(&mut self, outputs: &mut Vec<Output>) {
        match self.stage {
            Stage::Discovery => {
                if self.has_quorum(self.participants(|_| true)) {
                    self.epoch = Epoch(self.highest.0 + 1);
                    self.epochs.accepted = self.epoch;
                    self.enter(Stage::Accepting);
                    outputs.push(Output::PersistEpochs(self.epochs));
                }
            }
            Stage::Promises => {
                if self.has_quorum(*self.promised.servers()) {
                    self.epochs.current = self.epoch;
                    self.enter(Stage::Adopting);
                    outputs.push(Output::PersistEpochs(self.epochs));
                }
            }
            _ => {}
        }
    }

    /// Sends what the learner lacks, then NEWLEADER; from here on it gets all that is proposed.
    fn synchronize(&mut self, link: Link, last: Zxid, history: &History, outputs: &mut Vec<Output>) {
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

    fn on_snapshot_sent(&mut self, link: Link, zxid: Zxid, history: &History, outputs: &mut Vec<Output>) {
        let Some(learner) = self.learners.get_mut(&link) else { return };
        assert!(learner.step == Step::Snapshot, "one snapshot a learner");
        learner.heard = self.now;
        self.flush(outputs);
        self.send_history(link, zxid, vec![], history, outputs);
    }

    /// Proposals and commits in (after, committed], outstanding proposals to participants, NEWLEADER.
    fn send_history(
        &mut self,
        link: Link,
        after: Zxid,
        mut bytes: Vec<u8>,
        history: &History,
        outputs: &mut Vec<Output>,
    ) {
        let committed = self.history_end();
        let Some(learner) = self.learners.get_mut(&link) else { return };
        let to = if learner.is_participant { self.proposed } else { committed };
        let Some(entries) = history.between(after, to) else {
            return self.refuse(link, "what it lacks is not in memory any more", outputs);
        };
        for entry in entries {
            packet::encode_proposal(entry.zxid, &entry.payload, &mut bytes);
            if entry.zxid <= committed {
                packet::encode_bare(Kind::Commit, entry.zxid, &mut bytes);
            }
        }
        let newest = self.configs.next().unwrap_or(self.configs.committed());
        packet::encode_with(
            Kind::NewLeader,
            beginning(self.epoch),
            newest.to_string().as_bytes(),
            &mut bytes,
        );
        learner.step = Step::NewLeader;
        learner.history = committed;
        outputs.push(Output::Send { link, bytes: bytes.into() });
    }

    /// What counts as committed for those who synchronise: in a new epoch all of the log.
    fn history_end(&self) -> Zxid {
        self.committed.max(self.tail)
    }

    /// ACK of NEWLEADER.
    fn on_history_acked(&mut self, link: Link, history: &History, outputs: &mut Vec<Output>) {
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

    fn establish(&mut self, history: &History, outputs: &mut Vec<Output>) {
        let following = self.participants(|learner| learner.step == Step::Following);
        if self.stage != Stage::Synchronization || !self.has_quorum(following) {
            return;
        }
        self.enter(Stage::Broadcast);
        self.committed = self.tail;
        outputs.push(Output::Established { epoch: self.epoch, history: self.tail });
        for link in self.links(|step| step == Step::Following) {
            self.send_up_to_date(link, outputs);
        }
        self.commit(history, outputs);
    }

    fn send_up_to_date(&mut self, link: Link, outputs: &mut Vec<Output>) {
        let mut bytes = vec![];
        packet::encode_bare(Kind::UpToDate, Zxid(-1), &mut bytes);
        self.send(link, bytes, outputs);
    }

    fn on_proposed(&mut self, zxid: Zxid, history: &History) {
        assert!(self.stage == Stage::Broadcast && zxid.epoch() == self.epoch, "{zxid} is proposed too early");
        assert!(zxid > self.proposed && zxid == history.last());
        self.proposed = zxid;
        let entry = history.between(Zxid(zxid.0 - 1), zxid).and_then(|mut entries| entries.next());
        let entry = entry.expect("a proposal is pushed to the history first");
        packet::encode_proposal(zxid, &entry.payload, &mut self.to_participants);
    }

    /// ACK of a proposal, and of all before it: a learner's log is in order.
    fn on_ack(&mut self, link: Link, zxid: Zxid, outputs: &mut Vec<Output>) {
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

    fn commit(&mut self, history: &History, outputs: &mut Vec<Output>) {
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

    fn participants(&self, wanted: impl Fn(&Learner) -> bool) -> ServerSet {
        let found = self.learners.values().filter(|learner| learner.is_participant && wanted(learner));
        found.filter_map(|learner| learner.server).collect()
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

    /// To one learner, behind all that went to all.
    fn send(&mut self, link: Link, bytes: Vec<u8>, outputs: &mut Vec<Output>) {
        self.flush(outputs);
        if self.learners.contains_key(&link) {
            outputs.push(Output::Send { link, bytes: bytes.into() });
        }
    }

    fn flush(&mut self, outputs: &mut Vec<Output>) {
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
            Stage::Broadcast => {
                let has = self.has_quorum(self.participants(|learner| learner.step == Step::Following));
                (!has).then_some("no quorum of followers is heard from")
            }
            Stage::Down => None,
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
