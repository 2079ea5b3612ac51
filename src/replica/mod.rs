//! One ensemble member, assembled: prep, log, tree, sessions. Inputs in, outputs out; no I/O, no clock, no thread.
//!
//! A standalone server is an ensemble of one: what its own log holds durably is committed.
//!
//! Life of a write: [`Replica::step`] with a request decides it and frames it into the log's open group; the end of
//! the turn seals the group (`Output::Log`); `Input::Durable` commits it; [`Replica::apply_next`] applies it, at most one
//! transaction per call, so that in the one-loop placement each is published, and the reads waiting for it are served,
//! before the next is applied.
//!
//! Invariants: `published <= applied <= committed`, `durable <= appended <= proposed`. No answer exists before the
//! transaction it reports is durable and applied; an answer that needs no transaction waits for all that were proposed
//! before it, so that replies leave in request order.
//!
//! Limits: `limits::PROPOSALS_MAX`, `limits::PROPOSED_BYTES_MAX` and the size of the log's open group
//! ([`Replica::is_full`]: the driver stops handing in requests); room in the log (`room.rs`). Time in which requests
//! are not taken doesn't count against sessions. Below these the operator may set a limit of his own
//! ([`Replica::takes_requests`]).
//! Tested: replica_test.rs, and the whole of tests/sim.

mod ahead;
mod answers;
mod boot;
mod containers;
mod contract;
mod digests;
pub mod ensemble;
mod facts;
mod multi;
mod proposals;
mod queries;
mod room;
mod sessions;
mod settings;
mod snapshots;
mod standstill;
#[cfg(test)]
mod testing;
mod throttle;

pub use boot::{Boot, BootError, Start};
pub use containers::Settings as ContainerSettings;
pub use contract::{Input, Output, SnapshotCommand};
pub use facts::{Facts, Held};
pub use settings::Settings;
pub use snapshots::Settings as SnapshotSettings;
pub use throttle::Settings as ThrottleSettings;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Instant, Now, SessionId, Zxid};
use crate::log;
use crate::messages::{Answer, AnswerBody, Client, Notice, Request};
use crate::tree::{self, Outcome, Overlay, Owner, Scratch, Sessions, Store};
use crate::wire::txn::{Entry, ErrorTxn, Txn, TxnHeader};
use crate::wire::{Decode, Encode, ErrorCode, Opcode, Reader};

use answers::answer_body;
use containers::Reaper;
use digests::Digests;
use ensemble::Ensemble;
use proposals::{Asker, Origin, Proposals};
use queries::{Deferred, Query};
use snapshots::Snapshots;
use standstill::Standstill;
use throttle::Throttle;

/// Between the pieces in which memory of what was deleted is freed while nothing is written.
const LEFTOVERS: Duration = Duration::from_millis(1);

pub struct Replica {
    settings: Settings,
    now: Now,
    store: Store,
    overlay: Overlay,
    sessions: Sessions,
    log: log::Writer,
    proposals: Proposals,
    /// Answers that need no transaction, in order. Each is stamped with the newest zxid proposed when it came up, and waits
    /// until that one is applied. `None`: for all shards.
    deferred: VecDeque<Deferred>,
    proposed: Zxid,
    applied: Zxid,
    snapshots: Snapshots,
    digests: Digests,
    reaper: Reaper,
    throttle: Option<Throttle>,
    /// When a quota that was passed was last written of.
    quota_warned: Option<Instant>,
    /// What is left of this turn's `limits::TURN_BUDGET` for applying and for long answers.
    budget: usize,
    space_low: bool,
    sessions_expired: u64,
    /// Requests that the log has no room for yet, and what came after them.
    waiting: VecDeque<Request>,
    /// `None`: this server is alone.
    ensemble: Option<Box<Ensemble>>,
    standstill: Standstill,
    /// A driver steps it: requests can be heard. From here on silence is the clients'.
    is_running: bool,
    scratch: Scratch,
    /// The next to be applied, as far as it is worked out.
    closing: Option<tree::Closing>,
    /// The znodes of what is to be applied up to here were looked at together.
    seen_ahead: Zxid,
}

impl Replica {
    /// Tells the replica one thing. `now` never steps back.
    pub fn step(&mut self, now: Now, input: Input, outputs: &mut Vec<Output>) {
        self.pass_time(now);
        match input {
            Input::Wakeup => {
                self.wake_ensemble(outputs);
                self.wake_up(outputs);
            }
            Input::Request(request) => self.on_request(request, outputs),
            Input::Durable { ticket } => {
                let durable = self.log.on_durable(ticket);
                self.on_logged(durable, outputs);
                self.take_waiting(outputs);
            }
            Input::SnapshotProgress { bytes } => self.on_snapshot_progress(bytes),
            Input::SnapshotDone { zxid } => self.on_snapshot_done(zxid, outputs),
            Input::SnapshotFailed { zxid, reason } => self.on_snapshot_failed(zxid, &reason, outputs),
            Input::SegmentReady => {
                self.log.on_segment_ready();
                self.take_waiting(outputs);
            }
            Input::SpaceLow | Input::SpaceBack => {
                self.space_low = matches!(input, Input::SpaceLow);
                self.on_space(outputs);
                self.take_waiting(outputs);
            }
            Input::TurnEnd => self.end_turn(outputs),
        }
        self.assert_invariants();
    }

    /// The operator's limit of requests under way, beside our own. While it is reached silence isn't the clients', as their
    /// touches may wait, too: under a load that always reaches it sessions expire late.
    pub fn takes_requests(&self) -> bool {
        // Read-only nothing waits for what may be undecided for long.
        self.is_read_only() || !self.is_full() && self.outstanding() < self.settings.outstanding_max
    }

    fn outstanding(&self) -> usize {
        self.proposals.count() + self.deferred.len() + self.handed_on()
    }

    /// When `Input::Wakeup` is wanted.
    pub fn next_wakeup(&self) -> Option<Instant> {
        // At least once a tick, so that a gap in our own clock is noticed as one.
        let heartbeat = self.now.instant + self.settings.tick;
        // A session that can't be closed now stays due: to wake for it would be to spin.
        let due = self.sessions.next_due().filter(|_| self.can_expire());
        let due = due.map_or(heartbeat, |due| due.min(heartbeat));
        // Likewise a container that can't be deleted.
        let has_reapable = self.store.reapable_from(0).is_some();
        let due = if has_reapable && self.can_expire() { due.min(self.reaper.next_wakeup()) } else { due };
        let local = self.sessions.next_local_due().filter(|_| self.has_clients());
        let leftovers = self.store.has_leftovers().then(|| self.now.instant + LEFTOVERS);
        let others = [self.snapshots.next_wakeup(self.now.instant), self.ensemble_wakeup(), local, leftovers];
        Some(others.into_iter().flatten().fold(due, Instant::min))
    }

    /// Goes on with what is committed: applies the next transaction, after the answers that come before it. False if
    /// there is nothing to do, or if this turn has done its share: [`Replica::has_work`] tells.
    pub fn apply_next(&mut self, outputs: &mut Vec<Output>) -> bool {
        if self.budget == 0 {
            return false;
        }
        if self.is_answer_due() {
            self.release_deferred(outputs);
            return true;
        }
        self.look_ahead_of_apply();
        let Some((_, payload, _)) = self.proposals.next_committed() else { return false };
        if self.handed_on() > 0
            && let Ok(header) = TxnHeader::decode(&mut Reader::new(payload))
        {
            self.answer_before_write(header.client_id, header.cxid, outputs);
            if self.is_answer_due() {
                // More than this turn's share.
                return true;
            }
        }
        let Some((zxid, payload, origin)) = self.proposals.next_committed() else { return false };
        assert!(zxid > self.applied, "transactions are applied in zxid order, once");
        // A leader's word came in order and whole; what it says inside is his.
        const VOUCHED: &str = "the payload is what this server or its log's checksums vouch for";
        let mut reader = Reader::new(payload);
        let header = TxnHeader::decode(&mut reader).expect(VOUCHED);
        assert!(header.zxid == zxid);
        let closes = header.kind == Opcode::CloseSession.code();
        if closes && !self.store.prepare_close(&mut self.closing, &header, reader.rest(), &mut self.budget) {
            // It goes on in the next turn; until it is applied nothing is as if it were.
            return true;
        }
        let Entry { txn, digest, .. } = Entry::decode(&mut Reader::new(payload)).expect(VOUCHED);

        let spot = self.overlay.take_spot(zxid);
        let applied = if closes {
            self.store.apply_prepared(&header, &txn, self.closing.take())
        } else {
            self.store.apply_at(&header, &txn, spot)
        };
        self.budget = self.budget.saturating_sub(self.store.take_work());
        self.overlay.applied(zxid, header.client_id, &txn, spot);
        self.applied = zxid;
        if self.settings.digests {
            self.digests.compare(zxid, digest, self.store.digest());
        }
        self.digests.on_applied(zxid, self.store.digest());
        let mut notice = Notice { zxid, changes: applied.changes, ..Notice::empty() };
        match applied.outcome {
            Outcome::SessionCreated { timeout_ms } => {
                self.sessions.add(header.client_id, timeout_ms, self.now.instant);
            }
            Outcome::SessionClosed => {
                self.sessions.remove(header.client_id);
                notice.ended = Some(header.client_id);
            }
            _ => {}
        }
        let (session, cxid) = (header.client_id, header.cxid);
        let asker = origin.to.map(|(to, xid)| Asker { to, xid, opcode: origin.opcode, since: origin.since });
        let handed_on = self.ensemble.as_deref_mut().and_then(|ensemble| ensemble.asker_of(session, cxid));
        if let Some(Asker { to, xid, opcode, since }) = asker.or(handed_on) {
            // Where the other half was lost the shard tells.
            if self.now.instant.since(since) >= self.settings.slow_request / 2 {
                notice.stages = Some(self.proposals.stages_of(zxid, since, &txn));
            }
            let body = match applied.outcome {
                Outcome::SessionCreated { timeout_ms } => {
                    let session = header.client_id;
                    self.sessions.attach(session, timeout_ms, Owner::Client(to), self.now.instant);
                    notice.moved = Some((session, Some(to)));
                    AnswerBody::Session { session, password: self.settings.passwords.of(session), timeout_ms }
                }
                outcome => answer_body(&txn, self.as_of_session(session, outcome), opcode),
            };
            notice.answer = Some(Answer { to, xid, body });
        }
        let notice_ends = notice.ended.is_some();
        outputs.push(Output::Notify { shard: None, notice: Arc::new(notice) });
        outputs.push(Output::Publish { zxid });
        if notice_ends {
            self.forget_asked(session);
        }
        self.proposals.pop();
        self.answer_ready(session, outputs);
        self.release_deferred(outputs);
        self.snapshots.on_applied();
        self.serve_if_due(outputs);
        true
    }

    /// There is something to apply or to answer: the driver comes back at once.
    pub fn has_work(&self) -> bool {
        self.proposals.next_committed().is_some() || self.is_answer_due()
    }

    /// Nothing is proposed that is not applied, and every answer is out.
    pub fn is_idle(&self) -> bool {
        self.outstanding() == 0 && self.waiting.is_empty()
    }

    /// To be called when an `Output::Publish` is carried out.
    pub fn publish(&mut self, zxid: Zxid) {
        let transactions =
            zxid.0.saturating_sub(self.store.published().0).unsigned_abs().min(1 << 16) as usize;
        self.store.publish(zxid);
        self.store.reclaim_behind(transactions);
    }

    pub fn applied(&self) -> Zxid {
        self.applied
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// A clean end: everything the log still holds open, sealed with a mark that says how far it is proven.
    pub fn finish(&mut self, commands: &mut Vec<log::Command>) {
        self.log.finish(commands);
    }

    fn pass_time(&mut self, now: Now) {
        assert!(now.instant >= self.now.instant, "the monotone clock stepped back");
        let gap = now.instant.since(self.now.instant);
        // A driver that is alive steps at least once a tick; what goes beyond is time nobody could have been heard in.
        let tick = self.settings.tick;
        if !self.is_running || !self.takes_requests() {
            self.sessions.extend(gap);
        } else if gap > tick {
            self.sessions.extend(gap - tick);
        }
        if self.is_running && gap > tick * 2 {
            tracing::warn!(
                gap_ms = gap.as_millis() as u64,
                "this process stood still: session deadlines move by the gap"
            );
        }
        self.is_running = true;
        self.now = now;
    }

    fn take(&mut self, request: Request, outputs: &mut Vec<Output>) {
        // Its connection is being closed.
        if self.is_too_early(&request) {
            return;
        }
        if self.is_read_only() {
            return self.take_read_only(request, outputs);
        }
        if let Request::Held { from, session, timeout_ms } = request {
            return self.on_held(from, session, timeout_ms, outputs);
        }
        if let Request::Write { session, .. } = &request {
            self.sessions.touch(*session, self.now.instant);
        }
        if self.refuse_without_space(&request, outputs) {
            return;
        }
        if self.is_throttled(&request, outputs) || self.hand_on(&request, outputs) {
            return;
        }
        if let Some((session, timeout_ms)) = self.upgrade_for(&request) {
            self.propose_upgrade(session, timeout_ms);
        }
        match request {
            Request::Connect { from, session, password, timeout_ms } => {
                let timeout_ms = self.negotiate(timeout_ms);
                if session == SessionId::NONE && self.opens_local_sessions() {
                    self.open_local_session(from, timeout_ms, outputs);
                } else if session == SessionId::NONE {
                    self.open_session(from, timeout_ms, outputs);
                } else {
                    self.resume_session(from, session, password, timeout_ms, outputs);
                }
            }
            Request::Write { from, session, xid, opcode: Opcode::CloseSession, .. }
                if self.sessions.is_local(session) =>
            {
                self.close_local_session(session, Some((from, xid)), outputs);
            }
            Request::Write { from, session, xid, opcode, body, identities } => {
                let owner = Some(Owner::Client(from));
                let write =
                    tree::Write { from: owner, session, opcode, body: &body, identities: &identities };
                self.propose(Some((from, xid)), xid, &write, outputs);
            }
            Request::Forwarded { .. } => self.take_forwarded(&request, outputs),
            Request::Sync { from, session, xid, body } => {
                self.sessions.touch(session, self.now.instant);
                self.answer(from, xid, AnswerBody::Raw(body), outputs);
            }
            Request::Ephemerals { from, session, xid, prefix } => {
                self.sessions.touch(session, self.now.instant);
                self.ask(from, xid, Query::ephemerals(session, prefix), outputs);
            }
            Request::Touch { sessions } => {
                for session in sessions {
                    self.sessions.touch(session, self.now.instant);
                }
            }
            // Above.
            Request::Held { .. } => {}
        }
    }

    /// Decides a write and puts it, or the error it deserves, into the log.
    fn propose(
        &mut self,
        to: Option<(Client, i32)>,
        cxid: i32,
        write: &tree::Write<'_>,
        outputs: &mut Vec<Output>,
    ) {
        let session = write.session;
        let origin = Origin { to, opcode: write.opcode, since: self.now.instant };
        let zxid = self.next_zxid();
        if write.opcode == Opcode::Reconfig && self.ensemble.is_some() {
            return match self.propose_reconfig(zxid, cxid, origin, write, outputs) {
                Ok(()) => {}
                Err(error) => self.refuse(zxid, session, cxid, origin, error, outputs),
            };
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut view = tree::View {
            store: &self.store,
            overlay: &mut self.overlay,
            sessions: &mut self.sessions,
            rules: self.settings.rules,
            time: self.now.wall,
            excess: None,
        };
        let decided = view.decide(zxid, write, &mut scratch);
        if let Some(excess) = view.excess {
            self.warn_of_quota(&excess);
        }
        match decided {
            Ok(txn) => self.append(zxid, session, cxid, &txn, origin),
            Err(error) => self.refuse(zxid, session, cxid, origin, error, outputs),
        }
        self.scratch = scratch;
    }

    fn refuse(
        &mut self,
        zxid: Zxid,
        session: SessionId,
        cxid: i32,
        origin: Origin,
        error: ErrorCode,
        outputs: &mut Vec<Output>,
    ) {
        match (error, origin.to) {
            (ErrorCode::SessionMoved, Some((to, xid))) => {
                self.answer(to, xid, AnswerBody::SessionMoved, outputs);
            }
            _ => self.append(zxid, session, cxid, &Txn::Error(ErrorTxn { err: error.code() }), origin),
        }
    }

    fn append(&mut self, zxid: Zxid, session: SessionId, cxid: i32, txn: &Txn<'_>, origin: Origin) {
        let digest = self.foretold_digest(txn);
        let entry = Entry::new(session, cxid, zxid, self.now.wall, *txn, digest);
        self.log.append(zxid, |buffer| entry.encode(buffer));
        self.proposals.push(zxid, origin);
        self.proposed = zxid;
    }

    fn end_turn(&mut self, outputs: &mut Vec<Output>) {
        self.budget = self.settings.turn_budget;
        if self.store.has_leftovers() {
            self.store.reclaim_leftovers();
        }
        self.continue_snapshot(outputs);
        let mut commands = vec![];
        let sealed = self.log.seal(&mut commands);
        outputs.extend(commands.into_iter().map(Output::Log));
        if let Some(sealed) = &sealed {
            self.snapshots.on_logged(sealed.bytes.len() as u64);
            self.proposals.seal(sealed.clone());
        }
        self.end_ensemble_turn(sealed.as_ref(), outputs);
        self.serve_if_due(outputs);
        self.stand_still(outputs);
    }

    fn wake_up(&mut self, outputs: &mut Vec<Output>) {
        // What a transaction with many deletions left: without writes nothing else would free it.
        self.store.reclaim_leftovers();
        self.expire_local_sessions(outputs);
        if self.can_expire() {
            self.expire_sessions();
            self.reap_containers();
        }
        // Damage to the last group is then known as damage, and not taken for a torn tail.
        if self.proposals.count() == 0 {
            let mut commands = vec![];
            self.log.prove(&mut commands);
            outputs.extend(commands.into_iter().map(Output::Log));
        }
    }

    fn assert_invariants(&self) {
        assert!(self.store.published() <= self.applied);
        assert!(self.applied <= self.proposed);
        debug_assert!(self.overlay.is_empty() || self.proposals.count() > 0);
    }
}

/// A log payload: ZooKeeper's transaction header and record.
pub(crate) fn decode(payload: &[u8]) -> Result<(TxnHeader, Txn<'_>), crate::wire::DecodeError> {
    let entry = Entry::decode(&mut Reader::new(payload))?;
    Ok((entry.header, entry.txn))
}

#[cfg(test)]
#[path = "replica_test.rs"]
mod tests;

#[cfg(test)]
#[path = "turns_test.rs"]
mod turns_tests;
