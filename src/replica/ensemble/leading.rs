//! What the leader's machine asks for, and the requests that other members hand on.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::{Epoch, Instant, ServerId, SessionId, Zxid};
use crate::messages::{Identity, Notice, Request};
use crate::tree::{self, Owner, Store};
use crate::wire::txn::{ErrorTxn, Txn};
use crate::wire::{ErrorCode, Opcode};
use crate::zab::{self, Config, Epochs, Joint, Leader, LeaderInput, LeaderOutput, Link};

use super::super::proposals::Origin;
use super::super::{Output, Replica};
use super::snapshot_out::Stream;
use super::words::PeerOutput;
use super::{Ensemble, Role};

/// The low half of a zxid must not run over: before it does, the next epoch begins.
const COUNTER_MAX: i64 = 0xfff0_0000;

pub struct Leading {
    leader: Leader,
    /// An epoch record of this role's is asked for.
    pub writes_epochs: bool,
    /// Not carried out yet.
    said: VecDeque<LeaderOutput>,
    /// Somebody carries them out.
    is_heard: bool,
    /// Requests that learners forwarded: that have come, and that are taken.
    arrived: u64,
    taken: u64,
    /// Learners' syncs that stand behind so many of these requests, which are not all taken.
    syncs: VecDeque<(u64, Link)>,
    /// Snapshots on their way.
    pub streams: Vec<Stream>,
    /// In the log's open group.
    pub reconfiguration: Option<Arc<Config>>,
}

impl Leading {
    pub fn new(
        settings: zab::Settings,
        joint: Joint,
        epochs: Epochs,
        last_logged: Zxid,
        now: Instant,
        said: &mut Vec<LeaderOutput>,
    ) -> Leading {
        let leader = Leader::new(settings, joint, epochs, last_logged, now, said);
        Leading {
            leader,
            writes_epochs: false,
            said: VecDeque::new(),
            is_heard: false,
            arrived: 0,
            taken: 0,
            syncs: VecDeque::new(),
            streams: vec![],
            reconfiguration: None,
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.leader.epoch()
    }

    /// Voters that hold this epoch's history, this server excepted.
    pub fn synced(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.leader.synced().filter(|(_, is_participant)| *is_participant).map(|(server, _)| server)
    }

    /// In ZooKeeper's words.
    pub fn phase(&self) -> &'static str {
        self.leader.phase()
    }

    pub fn learners(&self) -> Vec<zab::LearnerStatus> {
        self.leader.learners().collect()
    }

    pub fn leader_wakeup(&self) -> Instant {
        self.leader.next_wakeup()
    }

    pub fn next_wakeup(&self, now: Instant) -> Instant {
        if self.streams.iter().any(Stream::may_go_on) { now } else { self.leader_wakeup() }
    }

    pub fn abandon(self: Box<Self>, store: &mut Store) {
        for stream in self.streams {
            stream.abandon(store);
        }
    }
}

impl Replica {
    pub(super) fn lead(&mut self, input: LeaderInput<'_>, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(Ensemble { role: Role::Leading(leading), history, .. }) = self.ensemble.as_deref_mut()
        else {
            return;
        };
        let mut said = vec![];
        leading.leader.step(now, input, history, &mut said);
        self.carry_out_leader(said, outputs);
    }

    /// In the order said: what comes of one of them is carried out behind all others.
    pub(super) fn carry_out_leader(&mut self, said: Vec<LeaderOutput>, outputs: &mut Vec<Output>) {
        let Some(Ensemble { role: Role::Leading(leading), .. }) = self.ensemble.as_deref_mut() else {
            return;
        };
        self.store.look_ahead(said.iter().map(|output| match output {
            LeaderOutput::Request { request, .. } => tree::ahead::path_in(request.opcode, &request.body),
            _ => None,
        }));
        leading.said.extend(said);
        if std::mem::replace(&mut leading.is_heard, true) {
            return;
        }
        loop {
            let Some(Ensemble { role: Role::Leading(leading), .. }) = self.ensemble.as_deref_mut() else {
                return;
            };
            let Some(output) = leading.said.pop_front() else {
                leading.is_heard = false;
                return;
            };
            match output {
                LeaderOutput::Send { link, bytes } => {
                    outputs.push(Output::Peer(PeerOutput::Send { link, bytes }));
                }
                LeaderOutput::Close { link } => {
                    outputs.push(Output::Peer(PeerOutput::Close { link }));
                    self.forget_learner(link);
                }
                LeaderOutput::PersistEpochs(epochs) => {
                    leading.writes_epochs = true;
                    self.persist_epochs(epochs, outputs);
                }
                LeaderOutput::Established { epoch, history } => self.on_leading(epoch, history, outputs),
                LeaderOutput::Committed { zxid } => {
                    self.on_committed(zxid);
                }
                LeaderOutput::Activated { config, designated } => {
                    // Who is not designated goes when the others have gone.
                    self.activate(config, Some(designated), outputs);
                }
                LeaderOutput::SendSnapshot { link } => self.begin_stream(link, outputs),
                LeaderOutput::Request { server, request, .. } => {
                    leading.arrived += 1;
                    self.on_forwarded(server, request, outputs);
                }
                LeaderOutput::Sync { link, .. } => {
                    leading.syncs.push_back((leading.arrived, link));
                    self.place_syncs(outputs);
                }
                LeaderOutput::Revalidate { link, server, session, .. } => {
                    let was_here = self.sessions.is_here(session);
                    let valid = self.sessions.revalidate(session, server, self.now.instant);
                    if valid && was_here {
                        // Its connection here would go on reading, and its pings would keep the session alive.
                        let moved = Some((session, None));
                        self.defer(None, Notice { moved, ..Notice::empty() }, outputs);
                    }
                    self.lead(LeaderInput::Revalidated { link, session, valid }, outputs);
                }
                LeaderOutput::Touched { sessions } => {
                    for touch in sessions {
                        self.sessions.touch(touch.session, self.now.instant);
                    }
                }
                LeaderOutput::StepDown { reason } => return self.leave_role(reason, outputs),
            }
        }
    }

    fn on_leading(&mut self, epoch: Epoch, history: Zxid, outputs: &mut Vec<Output>) {
        tracing::info!(epoch = epoch.0, %history, "leading: a quorum has the history");
        self.on_committed(history);
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.serves_from = Some(history);
        let mut said = vec![];
        ensemble.election.set_peer_epoch(epoch, &mut said);
        self.carry_out_election(said, outputs);
        self.serve_if_due(outputs);
    }

    /// A sync is answered behind what is proposed when all requests that came before it are taken.
    fn place_syncs(&mut self, outputs: &mut Vec<Output>) {
        while let Some(Ensemble { role: Role::Leading(leading), .. }) = self.ensemble.as_deref_mut()
            && let Some((_, link)) = leading.syncs.pop_front_if(|(arrived, _)| *arrived <= leading.taken)
        {
            self.lead(LeaderInput::Sync { link, behind: self.proposed }, outputs);
        }
    }

    pub(super) fn on_learner_gone(&mut self, link: Link, outputs: &mut Vec<Output>) {
        self.forget_learner(link);
        self.lead(LeaderInput::Disconnected { link }, outputs);
    }

    fn forget_learner(&mut self, link: Link) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.connections.remove(&link);
        if let Role::Leading(leading) = &mut ensemble.role {
            leading.syncs.retain(|(_, other)| *other != link);
            if let Some(at) = leading.streams.iter().position(|stream| stream.link() == link) {
                leading.streams.swap_remove(at).abandon(&mut self.store);
            }
        }
    }

    fn on_forwarded(&mut self, server: ServerId, request: zab::Forwarded, outputs: &mut Vec<Output>) {
        let zab::Forwarded { session, cxid, opcode, body, identities } = request;
        let identities = identities.into_iter().map(|(scheme, id)| Identity { scheme, id }).collect();
        self.on_request(Request::Forwarded { server, session, cxid, opcode, body, identities }, outputs);
    }

    /// Decides another member's client's write.
    pub(in super::super) fn take_forwarded(&mut self, request: &Request, outputs: &mut Vec<Output>) {
        let Request::Forwarded { server, session, cxid, opcode, body, identities } = request else { return };
        let (session, cxid) = (*session, *cxid);
        self.sessions.touch(session, self.now.instant);
        let opcode = Opcode::from_i32(*opcode).filter(|opcode| {
            opcode.is_write() && *opcode != Opcode::DeleteContainer || *opcode == Opcode::CreateSession
        });
        match opcode {
            Some(Opcode::CreateSession) => {
                if let Some(timeout) = body.first_chunk::<4>() {
                    let timeout_ms = i32::from_be_bytes(*timeout);
                    if self.opens_local_sessions() {
                        // An upgrade, perhaps: the request for which it is comes at once.
                        self.sessions.add_proposed(session, timeout_ms, *server, self.now.instant);
                    }
                    self.propose_session(session, cxid, timeout_ms);
                } else {
                    self.propose_error(session, cxid, ErrorCode::MarshallingError);
                }
            }
            // Whose they are isn't known, so nothing may be decided by them.
            Some(opcode)
                if opcode != Opcode::CloseSession && identities.iter().any(Identity::is_too_many) =>
            {
                self.propose_error(session, cxid, ErrorCode::AuthFailed);
            }
            Some(opcode) => {
                let from = Some(Owner::Server(*server));
                let write = tree::Write { from, session, opcode, body, identities };
                self.propose(None, cxid, &write, outputs);
            }
            None => self.propose_error(session, cxid, ErrorCode::Unimplemented),
        }
        if let Some(Ensemble { role: Role::Leading(leading), .. }) = self.ensemble.as_deref_mut() {
            leading.taken += 1;
        }
        self.place_syncs(outputs);
    }

    fn propose_error(&mut self, session: SessionId, cxid: i32, code: ErrorCode) {
        let origin = Origin { to: None, opcode: Opcode::Error, since: self.now.instant };
        let txn = Txn::Error(ErrorTxn { err: code.code() });
        self.append(self.next_zxid(), session, cxid, &txn, origin);
    }

    /// The end of the epoch's numbers: the next leader begins with new ones.
    pub(super) fn watch_rollover(&mut self, outputs: &mut Vec<Output>) {
        if self.is_deciding() && self.proposed.0 & 0xffff_ffff >= COUNTER_MAX {
            self.leave_role("the epoch's numbers are used up", outputs);
        }
    }
}
