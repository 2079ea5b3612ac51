//! The side of followers and observers: finding the leader's epoch and history, then following.
//!
//! Life: link → FOLLOWERINFO → LEADERINFO → (acceptedEpoch durable) → ACKEPOCH → DIFF, TRUNC or SNAP → proposals →
//! NEWLEADER → (history durable) → (currentEpoch durable) → ACK → UPTODATE → ACK, serve. Then PROPOSAL → append →
//! (durable) → ACK, and COMMIT → apply.
//!
//! Invariants: nothing is committed here before UPTODATE, as the leader may never be established; proposals are appended
//! in zxid order and, within an epoch, without a gap; commits follow the order of the proposals.
//! A snapshot that comes before the leader is established has all of its log, so its end is not known to be committed
//! before UPTODATE, and another leader may want it dropped. No log can be cut below a snapshot (TRUNC): this side connects
//! anew and asks for another one. Its ACKEPOCH names the beginning of an epoch that nobody has led, which every leader
//! answers with SNAP. It never names less than it has, and nothing is gone before the new one is stored.
//! What arrives behind a SNAP waits until the snapshot is durable, so that the log never continues something that is gone.
//! Limits: `Settings::payload_bytes_max`; a leader that stays silent for initLimit (then syncLimit) ticks is left.
//! Source: quorum-protocol.md §7 to §11, the learner's side. Tested: cluster_test.rs, promise_test.rs,
//! snapshot_test.rs, touch_test.rs.

mod promise;
mod words;

pub use words::{Input, Output, Role};

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Epoch, Instant, ServerId, SessionId, Zxid};
use crate::wire::peer::packet::{self, PacketError};
use crate::wire::peer::{
    AckEpoch, ActivatedInform, Activation, Kind, LearnerInfo, QuorumPacket, Revalidation, RevalidationReply,
    SessionTouch,
};

use super::leader::beginning;
use super::link::{self, Link, Stream};
use super::{Epochs, Settings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connecting,
    /// FOLLOWERINFO is out.
    Epoch,
    /// The leader's epoch is being written.
    Promising,
    /// ACKEPOCH is out.
    Way,
    Truncating,
    Snapshot {
        zxid: Zxid,
    },
    /// Proposals of the history.
    History,
    /// NEWLEADER came: the history is being made durable.
    Logging,
    /// Then the epoch.
    Adopting,
    /// ACK is out.
    UpToDate,
    Following,
    Down,
}

#[derive(Debug)]
pub struct Learner {
    settings: Settings,
    role: Role,
    leader: ServerId,
    config_version: i64,
    now: Instant,
    link: Option<Link>,
    stream: Stream,
    step: Step,
    epochs: Epochs,
    epoch: Epoch,
    /// End of the log, durable or not.
    logged: Zxid,
    /// Where the log ended when the way to the leader's history was told: all of it is part of that history.
    base: Zxid,
    /// The snapshot that was sent, if one was: up to here nothing is missing.
    sent: Zxid,
    /// Where it ended at NEWLEADER.
    history: Zxid,
    durable: Zxid,
    /// Committed as far as is known.
    committed: Zxid,
    /// Proposals appended and not committed yet.
    pending: VecDeque<Zxid>,
    /// Proposals to be acknowledged when they are durable.
    unacked: VecDeque<Zxid>,
    /// What it says of its memory may count: see [`super::Standing`].
    may_promise: bool,
    /// The newest snapshot: what is below can't be cut.
    floor: Zxid,
    wants_snapshot: bool,
    /// Of this turn.
    out: Vec<u8>,
    /// Heard from since the last PING, with their timeouts: one entry each, however many requests they send.
    touches: BTreeMap<SessionId, i32>,
    heard: Instant,
}

impl Learner {
    /// `logged`: the end of the own log, all of it durable. `committed`: of it, what the tree has.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own, and there is one caller")]
    pub fn new(
        settings: Settings,
        role: Role,
        leader: ServerId,
        config_version: i64,
        epochs: Epochs,
        logged: Zxid,
        committed: Zxid,
        now: Instant,
    ) -> Learner {
        Learner {
            settings,
            role,
            leader,
            config_version,
            now,
            link: None,
            stream: Stream::default(),
            step: Step::Connecting,
            epochs,
            epoch: Epoch(0),
            logged,
            base: Zxid::ZERO,
            sent: Zxid::ZERO,
            history: Zxid::ZERO,
            durable: logged,
            committed,
            pending: VecDeque::new(),
            unacked: VecDeque::new(),
            may_promise: true,
            floor: Zxid::ZERO,
            wants_snapshot: false,
            out: vec![],
            touches: BTreeMap::new(),
            heard: now,
        }
    }

    /// Of a server that had no vote: it follows, and its promise does not count.
    pub fn without_promise(self) -> Learner {
        Learner { may_promise: false, ..self }
    }

    /// `floor`: of the newest snapshot. `wants_snapshot`: the leader's TRUNC was below it.
    pub fn above(self, floor: Zxid, wants_snapshot: bool) -> Learner {
        Learner { floor, wants_snapshot, ..self }
    }

    pub fn is_following(&self) -> bool {
        self.step == Step::Following
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn next_wakeup(&self) -> Instant {
        self.heard + self.patience()
    }

    pub fn step(&mut self, now: Instant, input: Input<'_>, outputs: &mut Vec<Output>) {
        assert!(now >= self.now, "the monotone clock stepped back");
        self.now = now;
        if self.step == Step::Down {
            return;
        }
        match input {
            Input::Wakeup => {
                if now >= self.next_wakeup() {
                    self.leave("nothing was heard of the leader", outputs);
                }
            }
            Input::Connected { link } => self.on_connected(link),
            Input::Received { bytes } => {
                self.heard = now;
                if let Step::Snapshot { .. } = self.step {
                    outputs.push(Output::SnapshotBytes { bytes: Bytes::copy_from_slice(bytes) });
                } else {
                    self.stream.push(bytes);
                    self.read(outputs);
                }
            }
            Input::Disconnected => self.leave(self.end_of_link(), outputs),
            Input::EpochsDurable => self.on_epochs_durable(outputs),
            Input::Durable { zxid } => {
                assert!(zxid >= self.durable && zxid <= self.logged);
                self.durable = zxid;
                self.on_logged(outputs);
                self.acknowledge();
            }
            Input::Truncated => {
                assert!(self.step == Step::Truncating);
                self.begin_history();
                self.read(outputs);
            }
            Input::SnapshotInstalled { zxid, rest } => {
                assert!(self.step == Step::Snapshot { zxid });
                (self.logged, self.durable, self.sent) = (zxid, zxid, zxid);
                self.begin_history();
                self.stream.push(rest);
                self.read(outputs);
            }
            Input::Forward { bytes } => self.out.extend_from_slice(&bytes),
            Input::Revalidate { session, timeout_ms } => {
                let ask = Revalidation { session, timeout_ms };
                packet::encode_record(Kind::Revalidate, Zxid(-1), &ask, &mut self.out);
            }
            Input::Touch { session, timeout_ms } => {
                self.touches.insert(session, timeout_ms);
            }
            Input::TurnEnd => self.flush(outputs),
        }
        self.assert_invariants();
    }

    fn on_connected(&mut self, link: Link) {
        assert!(self.step == Step::Connecting, "the leader is dialled once");
        self.link = Some(link);
        self.heard = self.now;
        self.step = Step::Epoch;
        let kind = match self.role {
            Role::Follower => Kind::FollowerInfo,
            Role::Observer => Kind::ObserverInfo,
        };
        let info = LearnerInfo::new(self.settings.me, self.config_version);
        packet::encode_record(kind, beginning(self.epochs.accepted), &info, &mut self.out);
    }

    /// As many packets as there are, until one has to be waited for.
    fn read(&mut self, outputs: &mut Vec<Output>) {
        loop {
            match self.step {
                Step::Snapshot { .. } => {
                    let bytes = self.stream.take();
                    if !bytes.is_empty() {
                        outputs.push(Output::SnapshotBytes { bytes });
                    }
                    return;
                }
                // What is behind TRUNC is appended to what is left.
                Step::Truncating | Step::Down => return,
                _ => {}
            }
            let done = match self.stream.next(self.settings.payload_bytes_max) {
                Ok(None) => return,
                Ok(Some(bytes)) => self.on_packet(&bytes, outputs),
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                self.leave(&error.to_string(), outputs);
            }
        }
    }

    fn on_packet(&mut self, bytes: &Bytes, outputs: &mut Vec<Output>) -> Result<(), PacketError> {
        let packet = link::decode(bytes)?;
        match (self.step, packet.kind) {
            (Step::Epoch, Kind::LeaderInfo) => self.on_leader_info(&packet, outputs)?,
            (Step::Epoch, Kind::NewLeader) => {
                self.leave("it speaks the protocol from before ZooKeeper 3.4", outputs);
            }
            (Step::Way, Kind::Diff | Kind::Trunc) if self.wants_snapshot => {
                self.leave("it was asked for a snapshot and sends none", outputs);
            }
            (Step::Way, Kind::Diff) => self.begin_history(),
            (Step::Way, Kind::Trunc) => self.on_trunc(packet.zxid, outputs),
            (Step::Way, Kind::Snap) => {
                self.step = Step::Snapshot { zxid: packet.zxid };
                outputs.push(Output::ReceiveSnapshot { zxid: packet.zxid });
            }
            (Step::History, Kind::NewLeader) => self.on_new_leader(&packet, bytes, outputs),
            (Step::UpToDate, Kind::UpToDate) => self.on_up_to_date(outputs),
            (_, Kind::UpToDate) if self.is_following() => {
                tracing::warn!("a second UPTODATE is passed over");
            }
            (Step::History, kind) if is_history(kind) && packet.zxid <= self.sent => {}
            (_, Kind::Proposal) if self.has_way() => {
                self.on_proposal(packet.zxid, packet.data, bytes, outputs)
            }
            (_, Kind::Commit) if self.has_way() => self.on_commit(packet.zxid, outputs),
            (_, Kind::Inform) if self.has_way() => {
                self.on_proposal(packet.zxid, packet.data, bytes, outputs);
                self.on_commit(packet.zxid, outputs);
            }
            (_, Kind::CommitAndActivate) if self.has_way() => {
                let Activation { designated_leader } = packet.payload()?;
                self.on_activation(packet.zxid, designated_leader, outputs);
            }
            (_, Kind::InformAndActivate) if self.has_way() => {
                let ActivatedInform { designated_leader, proposal } = packet.payload()?;
                self.on_proposal(packet.zxid, Some(proposal), bytes, outputs);
                self.on_activation(packet.zxid, designated_leader, outputs);
            }
            (_, Kind::Ping) if self.has_way() => self.on_ping(&packet),
            (_, Kind::Sync) if self.is_following() => outputs.push(Output::Synced),
            (_, Kind::Revalidate) if self.is_following() => {
                let RevalidationReply { session, valid } = packet.payload()?;
                outputs.push(Output::Revalidated { session, valid });
            }
            (step, kind) => self.leave(&format!("{kind} has no place now ({step:?})"), outputs),
        }
        Ok(())
    }

    /// It is known how to get to the leader's history.
    fn has_way(&self) -> bool {
        matches!(self.step, Step::History | Step::Logging | Step::Adopting | Step::UpToDate | Step::Following)
    }

    fn begin_history(&mut self) {
        self.base = self.logged;
        self.step = Step::History;
    }

    fn on_trunc(&mut self, to: Zxid, outputs: &mut Vec<Output>) {
        if to < self.committed {
            // Either that leader lost what a quorum had, or it is another cluster's.
            let committed = self.committed;
            return self
                .leave(&format!("it wants all behind {to} dropped, but {committed} is committed"), outputs);
        }
        if to < self.floor {
            self.step = Step::Down;
            return outputs.push(Output::AskForSnapshot);
        }
        self.logged = to;
        self.durable = to;
        self.step = Step::Truncating;
        outputs.push(Output::Truncate { after: to });
    }

    fn on_activation(&mut self, zxid: Zxid, designated: ServerId, outputs: &mut Vec<Output>) {
        self.on_commit(zxid, outputs);
        if self.step != Step::Down {
            outputs.push(Output::Activated { zxid, designated });
        }
    }

    fn on_proposal(&mut self, zxid: Zxid, payload: Option<&[u8]>, bytes: &Bytes, outputs: &mut Vec<Output>) {
        let Some(payload) = payload else {
            return self.leave("a proposal without a transaction", outputs);
        };
        let follows = zxid == self.logged.next() || zxid.epoch() > self.logged.epoch();
        if !follows {
            let logged = self.logged;
            return self.leave(&format!("it proposes {zxid}, and the log ends with {logged}"), outputs);
        }
        self.logged = zxid;
        self.pending.push_back(zxid);
        if self.role == Role::Follower {
            self.unacked.push_back(zxid);
        }
        outputs.push(Output::Append { zxid, payload: bytes.slice_ref(payload) });
    }

    fn on_commit(&mut self, zxid: Zxid, outputs: &mut Vec<Output>) {
        match self.pending.front() {
            Some(&next) if next == zxid => {
                self.pending.pop_front();
            }
            next => {
                let next = next.map_or_else(|| "nothing".to_owned(), Zxid::to_string);
                return self.leave(&format!("it commits {zxid}, and {next} is next"), outputs);
            }
        }
        self.committed = zxid;
        if self.is_following() {
            outputs.push(Output::Committed { zxid });
        } else {
            // Part of the history: the ACK of NEWLEADER covers it.
            while self.unacked.front().is_some_and(|unacked| *unacked <= zxid) && self.step == Step::History {
                self.unacked.pop_front();
            }
        }
    }

    fn on_new_leader(&mut self, packet: &QuorumPacket<'_>, bytes: &Bytes, outputs: &mut Vec<Output>) {
        if packet.zxid != beginning(self.epoch) {
            return self.leave(
                &format!("NEWLEADER of {}, promised was epoch {}", packet.zxid, self.epoch.0),
                outputs,
            );
        }
        if let Some(text) = packet.data.filter(|text| text.len() > 1) {
            outputs.push(Output::Config { text: bytes.slice_ref(text) });
        }
        self.history = self.logged;
        self.step = Step::Logging;
        self.on_logged(outputs);
    }

    /// The history is durable: then the epoch may be.
    fn on_logged(&mut self, outputs: &mut Vec<Output>) {
        if self.step == Step::Logging && self.durable >= self.history {
            self.epochs.current = self.epoch;
            self.step = Step::Adopting;
            outputs.push(Output::PersistEpochs(self.epochs));
        }
    }

    fn on_epochs_durable(&mut self, outputs: &mut Vec<Output>) {
        match self.step {
            Step::Promising => {
                self.promise(Some(self.epochs.current));
                self.read(outputs);
            }
            Step::Adopting => {
                self.step = Step::UpToDate;
                packet::encode_bare(Kind::Ack, beginning(self.epoch), &mut self.out);
                self.read(outputs);
            }
            _ => unreachable!("no epoch was to be written"),
        }
    }

    fn on_up_to_date(&mut self, outputs: &mut Vec<Output>) {
        self.step = Step::Following;
        packet::encode_bare(Kind::Ack, beginning(self.epoch), &mut self.out);
        self.committed = self.committed.max(self.base);
        let committed = self.committed;
        outputs.push(Output::Established { epoch: self.epoch, committed });
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        if !self.is_following() {
            return;
        }
        while let Some(&zxid) = self.unacked.front()
            && zxid <= self.durable
        {
            packet::encode_bare(Kind::Ack, zxid, &mut self.out);
            self.unacked.pop_front();
        }
    }

    /// Not before the ACK of NEWLEADER: Apache's leader pings as soon as the history is on its way, and closes the connection
    /// to a learner whose next word is any other.
    fn on_ping(&mut self, packet: &QuorumPacket<'_>) {
        if !matches!(self.step, Step::UpToDate | Step::Following) {
            return;
        }
        let touches = std::mem::take(&mut self.touches);
        let touches = touches.into_iter().map(|(session, timeout_ms)| SessionTouch { session, timeout_ms });
        packet::encode_ping_reply(packet.zxid, touches, &mut self.out);
    }

    fn flush(&mut self, outputs: &mut Vec<Output>) {
        if let Some(link) = self.link
            && !self.out.is_empty()
        {
            outputs.push(Output::Send { link, bytes: std::mem::take(&mut self.out).into() });
        }
    }

    fn patience(&self) -> Duration {
        match self.step {
            Step::UpToDate | Step::Following => self.settings.sync_time(),
            _ => self.settings.init_time(),
        }
    }

    fn leave(&mut self, reason: &str, outputs: &mut Vec<Output>) {
        if self.step != Step::Down {
            self.step = Step::Down;
            let reason = format!("{}: {reason}", link::name(Some(self.leader)));
            outputs.push(Output::StepDown { reason });
        }
    }

    fn assert_invariants(&self) {
        assert!(self.durable <= self.logged);
        assert!(self.committed <= self.logged);
        assert!(self.epochs.current <= self.epochs.accepted);
    }
}

/// What Apache's leader may send behind a SNAP although it is part of it: it begins to queue these before it looks up the zxid
/// of the tree that it is about to send.
fn is_history(kind: Kind) -> bool {
    use Kind::{Commit, CommitAndActivate, Inform, InformAndActivate, Proposal};
    matches!(kind, Proposal | Commit | CommitAndActivate | Inform | InformAndActivate)
}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod snapshot_tests;

#[cfg(test)]
#[path = "touch_test.rs"]
mod touch_tests;

#[cfg(test)]
#[path = "promise_test.rs"]
mod promise_tests;
