//! Local sessions (`localSessionsEnabled`): opened, closed, expired and upgraded by the member that their clients came to.
//!
//! Such a session costs no transaction, and no other server knows of it. Its writes go to the leader under its id like any;
//! a leader lets ids of other servers pass that it doesn't know (`tree::Sessions::check`). It ends with the role of its
//! server, and its client can't take it elsewhere: there the session is refused, and the client begins a new one.
//!
//! An ephemeral node needs an owner that all servers know. With `localSessionsUpgradingEnabled` the session's createSession
//! is proposed, or handed on, before the request; without it the request is refused with `EphemeralOnLocalSession`. (At
//! a learner the leader refuses it as of a session that is unknown, and the learner knows better.)
//!
//! Tested: local_sessions_test.rs, tests/ensemble/local_sessions.rs.

use crate::base::SessionId;
use crate::messages::{Answer, AnswerBody, Client, Notice, Request};
use crate::tree::{Outcome, Owner};
use crate::wire::client::{CreateMode, CreateRequest, MultiOp, MultiRequest};
use crate::wire::txn::{CreateSessionTxn, Txn};
use crate::wire::{Decode, ErrorCode, Opcode, Reader};

use super::super::proposals::Origin;
use super::super::{Output, Replica};
use super::clients::UPGRADE_CXID;

impl Replica {
    /// New sessions are local ones.
    pub(in super::super) fn opens_local_sessions(&self) -> bool {
        self.ensemble.as_deref().is_some_and(|ensemble| ensemble.settings.local_sessions)
    }

    pub(in super::super) fn open_local_session(
        &mut self,
        from: Client,
        timeout_ms: i32,
        outputs: &mut Vec<Output>,
    ) {
        let (session, now) = (self.sessions.allocate(), self.now.instant);
        self.sessions.add_local(session, timeout_ms, now);
        self.sessions.attach(session, timeout_ms, Owner::Client(from), now);
        self.tell_session(from, session, timeout_ms, outputs);
    }

    /// At its client's wish (who is answered), or because it was silent for too long.
    pub(in super::super) fn close_local_session(
        &mut self,
        session: SessionId,
        asker: Option<(Client, i32)>,
        outputs: &mut Vec<Output>,
    ) {
        if let Some((from, xid)) = asker
            && self.sessions.check(session, Owner::Client(from), false) == Err(ErrorCode::SessionMoved)
        {
            return self.answer(from, xid, AnswerBody::SessionMoved, outputs);
        }
        self.sessions.remove(session);
        let answer = asker.map(|(to, xid)| Answer { to, xid, body: AnswerBody::Error(ErrorCode::Ok) });
        let notice = Notice { answer, ended: Some(session), ..Notice::empty() };
        self.defer(None, notice, outputs);
    }

    pub(in super::super) fn expire_local_sessions(&mut self, outputs: &mut Vec<Output>) {
        if !self.has_clients() {
            return;
        }
        let expired = self.sessions.expired_local(self.now.instant);
        for session in self.silent(expired) {
            tracing::info!(%session, "local session expired");
            self.forget_asked(session);
            self.close_local_session(session, None, outputs);
        }
    }

    /// Clients are served, be it read-only: local sessions live.
    pub(in super::super) fn has_clients(&self) -> bool {
        self.ensemble.as_deref().is_some_and(|ensemble| ensemble.is_serving || ensemble.is_read_only)
    }

    /// The session is local, and this request needs one that all servers know: its timeout, for its createSession. From here
    /// on it is upgrading.
    pub(in super::super) fn upgrade_for(&mut self, request: &Request) -> Option<(SessionId, i32)> {
        let Request::Write { session, opcode, body, .. } = request else { return None };
        let may = self.ensemble.as_deref().is_some_and(|ensemble| ensemble.settings.local_sessions_upgrading);
        if !may || !self.sessions.is_local(*session) || !creates_ephemeral(*opcode, body) {
            return None;
        }
        tracing::info!(%session, "a local session is upgraded");
        Some((*session, self.sessions.upgrade(*session)?))
    }

    /// As a leader: proposes it.
    pub(in super::super) fn propose_upgrade(&mut self, session: SessionId, timeout_ms: i32) {
        self.propose_session(session, UPGRADE_CXID, timeout_ms);
    }

    /// A createSession for which no client waits.
    pub(super) fn propose_session(&mut self, session: SessionId, cxid: i32, timeout_ms: i32) {
        let origin = Origin { to: None, opcode: Opcode::CreateSession, since: self.now.instant };
        let txn = Txn::CreateSession(CreateSessionTxn { timeout_ms });
        self.append(self.next_zxid(), session, cxid, &txn, origin);
    }

    /// What a transaction of the session came to, as its client is told. A leader knows a local session of ours not at all.
    pub(in super::super) fn as_of_session(&self, session: SessionId, outcome: Outcome) -> Outcome {
        if !self.hands_on() || !self.sessions.is_local(session) {
            return outcome;
        }
        let known = |outcome| match outcome {
            Outcome::Error(ErrorCode::SessionExpired) => Outcome::Error(ErrorCode::EphemeralOnLocalSession),
            other => other,
        };
        match outcome {
            Outcome::Multi(outcomes) => Outcome::Multi(outcomes.into_iter().map(known).collect()),
            other => known(other),
        }
    }
}

/// What can't be read is refused, whosever it is.
fn creates_ephemeral(opcode: Opcode, body: &[u8]) -> bool {
    let mut reader = Reader::new(body);
    match opcode {
        Opcode::Create | Opcode::Create2 => {
            CreateRequest::decode(&mut reader).is_ok_and(|request| is_ephemeral(request.flags))
        }
        Opcode::Multi => MultiRequest::decode(&mut reader).is_ok_and(|ops| {
            ops.iter().any(|op| match op {
                MultiOp::Create(request) | MultiOp::Create2(request) => is_ephemeral(request.flags),
                _ => false,
            })
        }),
        _ => false,
    }
}

fn is_ephemeral(flags: i32) -> bool {
    CreateMode::from_flags(flags).is_some_and(CreateMode::is_ephemeral)
}

#[cfg(test)]
#[path = "local_sessions_test.rs"]
mod tests;
