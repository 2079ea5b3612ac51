//! What the learner's machine asks for, and what clients of this server ask of the leader.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Epoch, Instant, ServerId, SessionId, Zxid};
use crate::messages::{AnswerBody, Client, Identity, Request};
use crate::tree::Owner;
use crate::wire::peer::{Address, ForwardedRequest, packet};
use crate::wire::{Decode, Encode, Opcode, Vector};
use crate::zab::{Config, Learner, LearnerInput, LearnerOutput, LearnerRole};

use super::super::proposals::{Asker, Origin};
use super::super::queries::Query;
use super::super::{Output, Replica};
use super::clients::{Asked, Returning, UPGRADE_CXID};
use super::looking::Connection;
use super::words::PeerOutput;
use super::{Ensemble, Role};

/// From one dial of the leader to the next: doubled each time.
const REDIAL_MIN: Duration = Duration::from_millis(1);
const REDIAL_MAX: Duration = Duration::from_millis(100);
/// A server of Apache opens its quorum port some time after it was elected. Who doesn't in this time is gone.
const LEADER_WAIT: Duration = Duration::from_secs(2);

pub struct Learning {
    pub learner: Learner,
    pub leader: ServerId,
    pub is_observer: bool,
    pub writes_epochs: bool,
    /// NEWLEADER's, until UPTODATE.
    pub config: Option<Arc<Config>>,
    /// The log is being cut.
    is_truncating: bool,
    addresses: Vec<Address>,
    since: Instant,
    pause: Duration,
    redial: Option<Instant>,
}

impl Learning {
    pub fn new(
        ensemble: &Ensemble,
        leader: ServerId,
        addresses: Vec<Address>,
        last_logged: Zxid,
        floor: Zxid,
        now: Instant,
    ) -> Learning {
        let is_observer = !ensemble.settings.participant;
        let role = if is_observer { LearnerRole::Observer } else { LearnerRole::Follower };
        let learner = Learner::new(
            ensemble.zab_settings(),
            role,
            leader,
            ensemble.joint.committed().version(),
            ensemble.epochs,
            last_logged,
            ensemble.committed.min(last_logged),
            now,
        );
        let learner = learner.above(floor, ensemble.wants_snapshot);
        let learner = if ensemble.election.has_vote() { learner } else { learner.without_promise() };
        Learning {
            learner,
            leader,
            is_observer,
            writes_epochs: false,
            config: None,
            is_truncating: false,
            addresses,
            since: now,
            pause: REDIAL_MIN,
            redial: None,
        }
    }

    pub fn next_wakeup(&self) -> Instant {
        self.redial.map_or(self.learner.next_wakeup(), |redial| redial.min(self.learner.next_wakeup()))
    }
}

impl Replica {
    pub(super) fn dial_leader(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let link = ensemble.new_link();
        let Role::Learning(learning) = &mut ensemble.role else { return };
        learning.redial = None;
        let addresses = learning.addresses.clone();
        ensemble.connections.insert(link, Connection::ToLeader);
        outputs.push(Output::Peer(PeerOutput::Dial { link, addresses }));
    }

    pub(super) fn on_leader_unreachable(&mut self, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(Ensemble { role: Role::Learning(learning), .. }) = self.ensemble.as_deref_mut() else {
            return;
        };
        if now.since(learning.since) > LEADER_WAIT {
            return self.leave_role("the elected leader's quorum port can't be reached", outputs);
        }
        learning.redial = Some(now + learning.pause);
        learning.pause = (learning.pause * 2).min(REDIAL_MAX);
    }

    pub(super) fn wake_learner(&mut self, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(Ensemble { role: Role::Learning(learning), .. }) = self.ensemble.as_deref_mut() else {
            return;
        };
        let (redials, is_late) =
            (learning.redial.is_some_and(|at| now >= at), now >= learning.learner.next_wakeup());
        if redials {
            self.dial_leader(outputs);
        }
        if is_late {
            self.learn(LearnerInput::Wakeup, outputs);
        }
    }

    pub(super) fn learn(&mut self, input: LearnerInput<'_>, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(Ensemble { role: Role::Learning(learning), .. }) = self.ensemble.as_deref_mut() else {
            return;
        };
        let mut said = vec![];
        learning.learner.step(now, input, &mut said);
        for output in said {
            let Some(Ensemble { role: Role::Learning(learning), .. }) = self.ensemble.as_deref_mut() else {
                return;
            };
            match output {
                LearnerOutput::Send { link, bytes } => {
                    outputs.push(Output::Peer(PeerOutput::Send { link, bytes }));
                }
                LearnerOutput::PersistEpochs(epochs) => {
                    learning.writes_epochs = true;
                    self.persist_epochs(epochs, outputs);
                }
                LearnerOutput::Append { zxid, payload } => {
                    let config = match self.read_proposal(zxid, &payload) {
                        Ok(config) => config,
                        Err(problem) => {
                            let reason = format!("the leader's proposal {zxid} can't be read: {problem}");
                            return self.leave_role(&reason, outputs);
                        }
                    };
                    self.log.append(zxid, |buffer| buffer.extend_from_slice(&payload));
                    let since = self.now.instant;
                    self.proposals.push(zxid, Origin { to: None, opcode: Opcode::Error, since });
                    self.proposed = zxid;
                    if let Some(config) = config {
                        self.set_next(config, true, outputs);
                    }
                }
                LearnerOutput::Truncate { after } => {
                    tracing::warn!(%after, "the leader's history ends earlier: the log is cut");
                    learning.is_truncating = true;
                    self.reload(after, outputs);
                }
                LearnerOutput::AskForSnapshot => {
                    tracing::warn!(
                        "the leader's history ends below this server's snapshot: another one is asked for"
                    );
                    let leader = learning.leader;
                    if let Some(ensemble) = self.ensemble.as_deref_mut() {
                        ensemble.wants_snapshot = true;
                    }
                    return self.begin_role(leader, outputs);
                }
                LearnerOutput::ReceiveSnapshot { zxid } => self.begin_install(zxid, outputs),
                LearnerOutput::SnapshotBytes { bytes } => self.on_snapshot_bytes(&bytes, outputs),
                LearnerOutput::Established { epoch, committed } => {
                    if !self.on_following(epoch, committed, outputs) {
                        return;
                    }
                }
                LearnerOutput::Committed { zxid } => self.on_committed(zxid),
                LearnerOutput::Synced => {
                    let ensemble = self.ensemble.as_deref_mut();
                    let session = ensemble.and_then(|it| it.clients.on_synced(it.committed));
                    if let Some(session) = session {
                        self.answer_ready(session, outputs);
                    }
                }
                LearnerOutput::Revalidated { session, valid } => self.on_revalidated(session, valid, outputs),
                LearnerOutput::Config { text } => self.on_leaders_config(&text, outputs),
                LearnerOutput::Activated { zxid, designated } => {
                    // What it says behind that is an old role's, and there may be a new one already.
                    if !self.on_activated(zxid, designated, outputs) {
                        return;
                    }
                }
                LearnerOutput::StepDown { reason } => return self.leave_role(&reason, outputs),
            }
        }
    }

    /// What the disk holds becomes what this member goes on with.
    pub(super) fn reload(&mut self, to: Zxid, outputs: &mut Vec<Output>) {
        self.abandon_snapshot(outputs);
        outputs.push(Output::Peer(PeerOutput::Reload { to }));
    }

    pub(super) fn on_reloaded(&mut self, outputs: &mut Vec<Output>) {
        if let Some((zxid, rest)) = self.take_installed() {
            assert!(
                zxid == self.proposed,
                "the log begins anew behind snapshot {zxid}, not at {}",
                self.proposed
            );
            self.learn(LearnerInput::SnapshotInstalled { zxid, rest: &rest }, outputs);
        } else if let Some(Ensemble { role: Role::Learning(learning), .. }) = self.ensemble.as_deref_mut()
            && std::mem::take(&mut learning.is_truncating)
        {
            self.learn(LearnerInput::Truncated, outputs);
        }
        self.settle(outputs);
    }

    /// False if the role is left.
    fn on_following(&mut self, epoch: Epoch, committed: Zxid, outputs: &mut Vec<Output>) -> bool {
        self.on_committed(committed);
        if !self.activate_leaders(committed, outputs) {
            return false;
        }
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return false };
        let leader = ensemble.leader_id().map(|leader| leader.0);
        tracing::info!(leader, epoch = epoch.0, zxid = %committed, "synchronised with the leader");
        ensemble.serves_from = Some(committed);
        let mut said = vec![];
        ensemble.election.set_peer_epoch(epoch, &mut said);
        self.carry_out_election(said, outputs);
        self.serve_if_due(outputs);
        true
    }

    /// A client's request that the leader has to see, or that comes behind one. False: it can be served here and now.
    pub(in super::super) fn hand_on(&mut self, request: &Request, outputs: &mut Vec<Output>) -> bool {
        if !self.hands_on() || self.is_local_matter(request) {
            return false;
        }
        if let Some((session, timeout_ms)) = self.upgrade_for(request) {
            self.hand_on_upgrade(request, session, timeout_ms, outputs);
        }
        let server_sessions = self.negotiated(request);
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return false };
        let Ensemble { role: Role::Learning(_), clients, .. } = ensemble else { return false };
        let since = self.now.instant;
        let asker = |to: &Client, xid, opcode| Asked::Write(Asker { to: *to, xid, opcode, since });
        match request {
            Request::Connect { from, session, password, .. } => {
                let timeout_ms = server_sessions;
                if *session == SessionId::NONE {
                    let session = self.sessions.allocate();
                    clients.push(session, asker(from, 0, Opcode::CreateSession));
                    self.forward(session, 0, Opcode::CreateSession, &timeout_ms.to_be_bytes(), None, outputs);
                } else if password
                    .is_some_and(|password| self.settings.passwords.is_right(*session, &password))
                {
                    let returning = Returning { from: *from, timeout_ms, was_held: false };
                    clients.come_back(*session, returning);
                    self.learn(LearnerInput::Revalidate { session: *session, timeout_ms }, outputs);
                } else {
                    self.answer(*from, 0, AnswerBody::SessionRefused, outputs);
                }
                true
            }
            Request::Write { from, session, xid, opcode: Opcode::CloseSession, .. }
                if self.sessions.is_local(*session) =>
            {
                clients.push(*session, Asked::Close { to: *from, xid: *xid });
                true
            }
            Request::Write { from, session, xid, opcode, body, identities } => {
                clients.push(*session, asker(from, *xid, *opcode));
                self.forward(*session, *xid, *opcode, body, Some(identities), outputs);
                true
            }
            Request::Sync { from, session, xid, body } => {
                clients.push_sync(*session, *from, *xid, body.clone());
                self.forward(*session, *xid, Opcode::Sync, body, None, outputs);
                true
            }
            Request::Ephemerals { from, session, xid, prefix } if clients.has_asked(*session) => {
                let prefix = prefix.clone();
                clients.push(*session, Asked::Ephemerals { to: *from, xid: *xid, prefix });
                true
            }
            Request::Ephemerals { .. } => false,
            Request::Touch { sessions } => {
                for session in sessions {
                    if self.sessions.is_local(*session) {
                        self.sessions.touch(*session, self.now.instant);
                    }
                    self.tell_touch(*session, outputs);
                }
                true
            }
            Request::Forwarded { .. } | Request::Held { .. } => true,
        }
    }

    /// Of a session which the leader knows nothing of, and nothing is before it.
    fn is_local_matter(&self, request: &Request) -> bool {
        match request {
            Request::Connect { session: SessionId::NONE, .. } => self.opens_local_sessions(),
            Request::Connect { session, .. } => self.sessions.is_local(*session),
            Request::Write { session, opcode: Opcode::CloseSession, .. } => {
                let ensemble = self.ensemble.as_deref();
                let has_asked = ensemble.is_some_and(|ensemble| ensemble.clients.has_asked(*session));
                self.sessions.is_local(*session) && !has_asked
            }
            _ => false,
        }
    }

    /// The session's createSession goes before the request.
    fn hand_on_upgrade(
        &mut self,
        request: &Request,
        session: SessionId,
        timeout_ms: i32,
        outputs: &mut Vec<Output>,
    ) {
        let Request::Write { from, .. } = request else { return };
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.clients.push(session, Asked::Upgrade { to: *from });
        let body = timeout_ms.to_be_bytes();
        self.forward(session, UPGRADE_CXID, Opcode::CreateSession, &body, None, outputs);
    }

    /// The timeout that a connect request gets.
    fn negotiated(&self, request: &Request) -> i32 {
        match request {
            Request::Connect { timeout_ms, .. } => self.negotiate(*timeout_ms),
            _ => 0,
        }
    }

    fn forward(
        &mut self,
        session: SessionId,
        cxid: i32,
        opcode: Opcode,
        body: &[u8],
        identities: Option<&[Identity]>,
        outputs: &mut Vec<Output>,
    ) {
        self.tell_touch(session, outputs);
        let request = ForwardedRequest { session, cxid, opcode: opcode.code(), body };
        let shown = identities.map(|identities| {
            let mut shown = (identities.len() as u32).to_be_bytes().to_vec();
            for identity in identities {
                identity.scheme.as_bytes().encode(&mut shown);
                identity.id.as_bytes().encode(&mut shown);
            }
            shown
        });
        let vector = shown.as_deref().map(|shown| Vector::parse(shown).expect("it was encoded just now"));
        let mut bytes = vec![];
        packet::encode_request(&request, vector, &mut bytes);
        self.learn(LearnerInput::Forward { bytes: bytes.into() }, outputs);
    }

    /// The leader decides about expiry: it is told whom we have heard. Not of local sessions.
    fn tell_touch(&mut self, session: SessionId, outputs: &mut Vec<Output>) {
        if !self.sessions.is_local(session)
            && let Some(timeout_ms) = self.sessions.patience_ms(session)
        {
            self.learn(LearnerInput::Touch { session, timeout_ms }, outputs);
        }
    }

    fn on_revalidated(&mut self, session: SessionId, valid: bool, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let Some(returning) = ensemble.clients.on_revalidated(session) else { return };
        let Returning { from, timeout_ms, was_held } = returning;
        if was_held {
            return self.take_back(valid, from, session, timeout_ms, outputs);
        }
        if valid && self.sessions.patience_ms(session).is_none() {
            // Its beginning is not applied here yet, or its end is, and the leader did not know: the client asks again.
            tracing::info!(%session, "closing a connection: its session is not known here yet");
            return self.answer(from, 0, AnswerBody::SessionMoved, outputs);
        }
        let attached = valid && self.sessions.attach(session, timeout_ms, Owner::Client(from), now).is_some();
        if !attached {
            return self.answer(from, 0, AnswerBody::SessionRefused, outputs);
        }
        self.tell_session(from, session, timeout_ms, outputs);
    }

    /// What came behind a write of the session and needs nothing more. A later write of the session may be logged and
    /// even committed by now: the answer waits for what it is about, and not for that.
    pub(in super::super) fn answer_ready(&mut self, session: SessionId, outputs: &mut Vec<Output>) {
        let mut at = self.applied;
        while let Some(asked) =
            self.ensemble.as_deref_mut().and_then(|ensemble| ensemble.clients.take_ready(session))
        {
            match asked {
                Asked::Sync { to, xid, body, done, .. } => {
                    at = at.max(done.unwrap_or(at));
                    self.answer_at(at, to, xid, AnswerBody::Raw(body), None);
                }
                Asked::Ephemerals { to, xid, prefix } => {
                    let query = Some(Query::ephemerals(session, prefix));
                    self.answer_at(at, to, xid, AnswerBody::Raw(Bytes::new()), query);
                }
                Asked::Close { to, xid } => self.close_local_session(session, Some((to, xid)), outputs),
                Asked::Write(_) | Asked::Upgrade { .. } => {
                    unreachable!("a write is answered when it is applied")
                }
            }
        }
        self.release_deferred(outputs);
    }

    /// The session's transaction `cxid` is applied next. What its client asked before is answered first.
    pub(in super::super) fn answer_before_write(
        &mut self,
        session: SessionId,
        cxid: i32,
        outputs: &mut Vec<Output>,
    ) {
        let applied = self.applied;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let Some(to) = ensemble.clients.before_write(session, cxid, applied) else { return };
        // Those that wait already are older.
        self.hurry(to, outputs);
        self.answer_ready(session, outputs);
    }

    pub(in super::super) fn forget_asked(&mut self, session: SessionId) {
        if let Some(ensemble) = self.ensemble.as_deref_mut() {
            ensemble.clients.on_closed(session);
        }
    }

    /// Requests of clients that wait for the leader.
    pub(in super::super) fn handed_on(&self) -> usize {
        self.ensemble.as_deref().map_or(0, |ensemble| ensemble.clients.count())
    }

    /// A request of a client that was closed with the last role, or before the first.
    pub(in super::super) fn is_too_early(&self, request: &Request) -> bool {
        let keeps_out = self.ensemble.is_some() && !self.has_clients();
        self.stands_still() || keeps_out && !matches!(request, Request::Forwarded { .. })
    }
}
