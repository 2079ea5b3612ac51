//! Sessions opened, resumed and expired, where this server decides: alone, or leading.
//!
//! A learner hands these on (`ensemble/learning.rs`). Tested: replica_test.rs, tests/sim.

use std::time::Duration;

use crate::base::SessionId;
use crate::messages::{Answer, AnswerBody, Client, Notice, Request};
use crate::tree::{self, Owner};
use crate::wire::txn::{CreateSessionTxn, Txn};
use crate::wire::{ErrorCode, Opcode};

use super::proposals::Origin;
use super::{Output, Replica};

impl Replica {
    /// Closes who asks for a session too early after others.
    pub(super) fn is_throttled(&mut self, request: &Request, outputs: &mut Vec<Output>) -> bool {
        let Request::Connect { from, .. } = request else { return false };
        let now = self.now.instant;
        if self.throttle.as_mut().is_none_or(|throttle| throttle.admits(now)) {
            return false;
        }
        tracing::warn!("closing a connection: connection_throttle_tokens are used up");
        self.answer(*from, 0, AnswerBody::Error(ErrorCode::SystemError), outputs);
        true
    }

    pub(super) fn negotiate(&self, asked_ms: i32) -> i32 {
        let ms = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        asked_ms.max(ms(self.settings.session_timeout_min)).min(ms(self.settings.session_timeout_max))
    }

    pub(super) fn open_session(&mut self, from: Client, timeout_ms: i32, outputs: &mut Vec<Output>) {
        if self.space_low {
            // Not "no such session", on which clients give up: the connection is closed, and they try again.
            self.answer(from, 0, AnswerBody::Error(ErrorCode::SystemError), outputs);
            return;
        }
        let session = self.sessions.allocate();
        let zxid = self.next_zxid();
        let origin = Origin { to: Some((from, 0)), opcode: Opcode::CreateSession, since: self.now.instant };
        self.append(zxid, session, 0, &Txn::CreateSession(CreateSessionTxn { timeout_ms }), origin);
    }

    pub(super) fn resume_session(
        &mut self,
        from: Client,
        session: SessionId,
        password: Option<[u8; 16]>,
        timeout_ms: i32,
        outputs: &mut Vec<Output>,
    ) {
        let resumed = password.is_some_and(|password| self.settings.passwords.is_right(session, &password))
            && self.sessions.attach(session, timeout_ms, Owner::Client(from), self.now.instant).is_some();
        if !resumed {
            self.answer(from, 0, AnswerBody::SessionRefused, outputs);
            return;
        }
        self.tell_session(from, session, timeout_ms, outputs);
    }

    /// The client has this session from now on.
    pub(super) fn tell_session(
        &mut self,
        from: Client,
        session: SessionId,
        timeout_ms: i32,
        outputs: &mut Vec<Output>,
    ) {
        let body = AnswerBody::Session { session, password: self.settings.passwords.of(session), timeout_ms };
        let answer = Some(Answer { to: from, xid: 0, body });
        self.defer(None, Notice { answer, moved: Some((session, Some(from))), ..Notice::empty() }, outputs);
    }

    /// Of sessions whose time is over. Whoever came back and waits for our word of it, as the disk is slow, isn't silent: we are.
    pub(super) fn silent(&mut self, mut expired: Vec<SessionId>) -> Vec<SessionId> {
        if !expired.is_empty() {
            let coming_back = self.coming_back();
            for session in expired.extract_if(.., |session| coming_back.contains(session)) {
                self.sessions.touch(session, self.now.instant);
            }
        }
        expired
    }

    /// Else the ids stay due.
    pub(super) fn can_expire(&self) -> bool {
        !self.space_low && !self.is_full() && self.is_deciding()
    }

    pub(super) fn expire_sessions(&mut self) {
        let expired = self.sessions.expired(self.now.instant);
        for session in self.silent(expired) {
            if self.is_full() || !self.log.has_room_for(self.close_bytes(session)) {
                // The rest is reported again a tick later.
                break;
            }
            tracing::info!(%session, "session expired");
            self.sessions_expired += 1;
            let opcode = Opcode::CloseSession;
            let write = tree::Write { from: None, session, opcode, body: &[], identities: &[] };
            self.propose(None, 0, &write, &mut vec![]);
        }
    }
}
