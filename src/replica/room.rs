//! Whether the log has room for one transaction more, and the requests that wait until it has.
//!
//! **What is accepted can be made durable, whatever happens to the disk's free space:** a write is decided only when the
//! rest of the active segment or a segment that is prepared already holds it, together with what is collected and not
//! sealed. Without room requests wait in order, and `is_full` keeps the drivers from handing in more; then the group is
//! sealed or the next segment is there, and they go on, or the disk is full and writes are refused.
//!
//! Limit: a transaction that is larger than a whole segment (only long ACLs make one of a short request) is accepted
//! with a fresh segment in reserve, and then waits for a segment of its own size.
//! Tested: room_test.rs, tests/sim (disk full), tests/crash/full_disk.rs.

use std::time::Duration;

use crate::base::{SessionId, limits};
use crate::messages::{AnswerBody, Identity, Request};
use crate::tree;
use crate::wire::{ErrorCode, Opcode};

use super::{Output, Replica};

/// What a transaction has beyond its request, lists of ACLs and of ephemerals excepted: header, digest, digits of a
/// sequence.
const OVERHEAD_BYTES: usize = 256;

/// The most that `body` becomes in the log.
fn logged_bytes(opcode: Opcode, body: &[u8], identities: &[Identity]) -> usize {
    let shown: usize = identities
        .iter()
        .filter(|shown| !matches!(shown.scheme.as_str(), "ip" | "super"))
        .map(|shown| shown.scheme.len() + shown.id.len() + 12)
        .sum();
    // An entry `auth` becomes all that the connection has shown.
    let auth_entries = if shown == 0 { 0 } else { body.windows(4).filter(|word| word == b"auth").count() };
    // The parts of a multi have headers of their own and a few more fields each: fewer bytes than they came in.
    let parts = if opcode == Opcode::Multi { body.len() } else { 0 };
    body.len() + parts + auth_entries * shown + OVERHEAD_BYTES
}

impl Replica {
    /// No more requests, please, until something was applied.
    pub fn is_full(&self) -> bool {
        self.outstanding() >= limits::PROPOSALS_MAX
            || self.proposals.bytes() >= limits::PROPOSED_BYTES_MAX
            || self.log.is_full()
            || !self.waiting.is_empty()
    }

    /// The end of a turn would hand a group to the disk.
    pub fn has_open_group(&self) -> bool {
        self.log.open_bytes() > 0 && !self.log.in_flight()
    }

    /// The end of the turn will hand a group to the idle disk. A driver that can look for more requests at no cost
    /// does so first: what comes a moment later would wait for a whole sync of its own.
    pub fn is_about_to_seal(&self) -> bool {
        self.has_open_group() && !self.log.is_full() && self.takes_requests()
    }

    pub(super) fn on_request(&mut self, request: Request, outputs: &mut Vec<Output>) {
        match request {
            // Earlier than its session's requests before it is no harm.
            Request::Touch { .. } | Request::Held { .. } => self.take(request, outputs),
            // Taken by whoever decides.
            Request::Forwarded { .. } if !self.is_deciding() => self.waiting.push_back(request),
            _ if self.waiting.is_empty() && self.may_take(&request) => self.take(request, outputs),
            _ => self.waiting.push_back(request),
        }
    }

    /// After whatever may have made room. (That a group was sealed is followed by `Durable`.)
    pub(super) fn take_waiting(&mut self, outputs: &mut Vec<Output>) {
        while self.waiting.front().is_some_and(|request| self.may_take(request))
            && (self.is_deciding() || !matches!(self.waiting.front(), Some(Request::Forwarded { .. })))
            && let Some(request) = self.waiting.pop_front()
        {
            self.take(request, outputs);
        }
    }

    /// Without space all are taken: what needs room is refused.
    fn may_take(&self, request: &Request) -> bool {
        self.space_low
            || self.hands_on()
            || self.is_read_only()
            || self.log.has_room_for(self.needed_bytes(request))
    }

    /// Zero if the request needs no transaction.
    fn needed_bytes(&self, request: &Request) -> usize {
        match request {
            Request::Write { session, opcode: Opcode::CloseSession, .. } => self.close_bytes(*session),
            Request::Write { session, opcode, body, identities, .. } => {
                // The session's upgrade goes before it.
                let upgrade = if self.sessions.is_local(*session) { OVERHEAD_BYTES } else { 0 };
                logged_bytes(*opcode, body, identities) + upgrade
            }
            Request::Forwarded { session, opcode, .. } if *opcode == Opcode::CloseSession.code() => {
                self.close_bytes(*session)
            }
            Request::Forwarded { opcode, body, identities, .. } => {
                logged_bytes(Opcode::from_i32(*opcode).unwrap_or(Opcode::Error), body, identities)
            }
            Request::Connect { session: SessionId::NONE, .. } => OVERHEAD_BYTES,
            Request::Connect { .. } | Request::Sync { .. } => 0,
            Request::Ephemerals { .. } | Request::Touch { .. } | Request::Held { .. } => 0,
        }
    }

    /// What closing the session takes in the log.
    pub(super) fn close_bytes(&self, session: SessionId) -> usize {
        self.overlay.listed_bytes(&self.store, session) + OVERHEAD_BYTES
    }

    /// While the disk is full: a session may be closed as long as the log has room for it, which sets things free.
    /// Answers and gives back true if not.
    pub(super) fn refuse_without_space(&mut self, request: &Request, outputs: &mut Vec<Output>) -> bool {
        let Request::Write { from, xid, opcode, .. } = request else { return false };
        if self.hands_on() {
            return false;
        }
        if !self.space_low
            || *opcode == Opcode::CloseSession && self.log.has_room_for(self.needed_bytes(request))
        {
            return false;
        }
        self.answer(*from, *xid, AnswerBody::Error(ErrorCode::SystemError), outputs);
        true
    }

    /// The operator's to read; at most once a second, as clients may go on for hours.
    pub(super) fn warn_of_quota(&mut self, excess: &tree::Excess) {
        let now = self.now.instant;
        if self.quota_warned.is_none_or(|last| now.since(last) >= Duration::from_secs(1)) {
            self.quota_warned = Some(now);
            tracing::warn!("{excess}");
        }
    }
}

#[cfg(test)]
#[path = "room_test.rs"]
mod tests;
