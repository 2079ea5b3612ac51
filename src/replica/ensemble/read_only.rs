//! Read-only mode (`readonlymode.enabled`): a member that finds no leader answers reads from what it has.
//!
//! It opens when the member has looked for a leader for as long as Apache's would, and closes when one is elected: then those
//! connections are closed, and their clients come back to a server that serves all. Only clients that said they take a
//! read-only server are let in ([`crate::messages::Service::ReadOnly`]).
//!
//! What is read is what was applied here: committed as far as this member knows, except right after its start, when it is
//! the whole of its log. It may be old. Nothing here is logged, and nothing is decided.
//!
//! Sessions are this server's alone (`local_sessions.rs`) and end with the mode. Apache needs `localSessionsEnabled` for
//! that, without which nobody can connect to its read-only server; here the mode is enough. A session of the ensemble
//! isn't taken up: its client may be missed elsewhere, and here nobody could close it. What became of another server's
//! session that isn't known here can't be told either; such a connection is closed, and no session is called expired.
//!
//! Tested: read_only_test.rs, tests/ensemble/read_only.rs.

use std::time::Duration;

use crate::base::{Instant, SessionId};
use crate::messages::{AnswerBody, Client, Request, Service};
use crate::wire::{ErrorCode, Opcode};

use super::super::queries::Query;
use super::super::{Output, Replica};
use super::{Ensemble, Role};

/// How long a member looks for a leader before, at least. Source: `QuorumPeer.run`.
const PATIENCE_MIN: Duration = Duration::from_millis(2000);

impl Ensemble {
    /// When it opens, if nobody is elected before.
    pub(super) fn read_only_from(&self) -> Option<Instant> {
        let since = self.looking_since.filter(|_| self.settings.read_only_mode && !self.is_read_only)?;
        matches!(self.role, Role::Looking).then(|| since + self.settings.tick.max(PATIENCE_MIN))
    }
}

impl Replica {
    pub(in super::super) fn is_read_only(&self) -> bool {
        self.ensemble.as_deref().is_some_and(|ensemble| ensemble.is_read_only)
    }

    pub(super) fn open_read_only_if_due(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        if ensemble.read_only_from().is_none_or(|from| self.now.instant < from) {
            return;
        }
        ensemble.is_read_only = true;
        // The shards close them when they hear of the mode.
        ensemble.held_until = None;
        self.sessions.forget_local();
        tracing::warn!(zxid = %self.applied, "no leader is found: read-only until there is one");
        outputs.push(Output::Serve(Service::ReadOnly));
    }

    /// The member has something else to do than to look for a leader.
    pub(super) fn stop_looking(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.looking_since = None;
        if std::mem::take(&mut ensemble.is_read_only) {
            self.deferred.clear();
            self.sessions.forget_local();
            outputs.push(Output::Serve(Service::None));
        }
    }

    /// A request of one of this mode's clients.
    pub(in super::super) fn take_read_only(&mut self, request: Request, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        if self.is_throttled(&request, outputs) {
            return;
        }
        match request {
            Request::Connect { from, session: SessionId::NONE, timeout_ms, .. } => {
                self.open_local_session(from, self.negotiate(timeout_ms), outputs);
            }
            Request::Connect { from, session, password, timeout_ms } => {
                if self.sessions.is_local(session) {
                    let timeout_ms = self.negotiate(timeout_ms);
                    self.resume_session(from, session, password, timeout_ms, outputs);
                } else {
                    self.turn_away(from, session, outputs);
                }
            }
            Request::Write { from, session, xid, opcode: Opcode::CloseSession, .. } => {
                // One of the ensemble's was asked for before this mode, by a connection that is gone: only a transaction may end it.
                if self.sessions.is_local(session) {
                    self.close_local_session(session, Some((from, xid)), outputs);
                }
            }
            Request::Write { from, session, xid, .. } | Request::Sync { from, session, xid, .. } => {
                self.sessions.touch(session, now);
                self.answer(from, xid, AnswerBody::Error(ErrorCode::NotReadOnly), outputs);
            }
            Request::Ephemerals { from, session, xid, prefix } => {
                self.sessions.touch(session, now);
                self.ask(from, xid, Query::ephemerals(session, prefix), outputs);
            }
            Request::Touch { sessions } => {
                for session in sessions {
                    self.sessions.touch(session, now);
                }
            }
            // Of a learner, when this server led; of a role before.
            Request::Forwarded { .. } | Request::Held { .. } => {}
        }
    }

    fn turn_away(&mut self, from: Client, session: SessionId, outputs: &mut Vec<Output>) {
        let is_ours = self.ensemble.as_deref().is_some_and(|ensemble| session.is_of(ensemble.settings.me));
        let is_over = is_ours && !self.sessions.contains(session);
        let closes = AnswerBody::Error(ErrorCode::NotReadOnly);
        let body = if is_over { AnswerBody::SessionRefused } else { closes };
        self.answer(from, 0, body, outputs);
    }
}

#[cfg(test)]
#[path = "read_only_test.rs"]
mod tests;
