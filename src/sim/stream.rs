//! One connection's replies and events, held against the history.
//!
//! * Replies come in request order; zxids never fall.
//! * What a reply says is `answers.rs`' matter.
//! * Events are those that [`Watching`] says are due, each once and in that order, and before any reply of their zxid or
//!   a later one. Those that setWatches makes up come right before its reply.

use std::collections::VecDeque;

use crate::base::Zxid;
use crate::wire::client::{EventType, KeeperState, ReplyHeader, WatcherEvent, xid};
use crate::wire::{Decode, ErrorCode, Reader};

use super::answers::Answer;
use super::client::{Known, News, Outstanding};
use super::history::{Checked, History, violation};
use super::operation::Operation;
use super::watching::{Table, Watching};

pub struct Stream {
    /// The newest zxid that this client was told.
    pub zxid: Zxid,
    pub watching: Watching,
    /// Events without a transaction since the last reply.
    made_up: Vec<(EventType, Vec<u8>)>,
}

impl Stream {
    pub fn new(zxid: Zxid) -> Stream {
        Stream { zxid, watching: Watching::new(zxid), made_up: vec![] }
    }

    /// Watches that are left after everything logged so far.
    pub fn armed(&mut self, history: &History) -> usize {
        self.watching.advance(history, history.last());
        self.watching.count()
    }

    pub fn on_frame(
        &mut self,
        frame: &[u8],
        outstanding: &mut VecDeque<Outstanding>,
        session: Option<&Known>,
        history: &History,
    ) -> Checked<News> {
        let mut reader = Reader::new(frame);
        let Ok(header) = ReplyHeader::decode(&mut reader) else {
            return violation("replies decode", format!("{frame:02x?}"));
        };
        if header.xid == xid::NOTIFICATION && header.zxid == Zxid(-1) {
            return self.on_made_up_event(reader, outstanding.front());
        }
        if header.xid == xid::AUTH {
            return self.on_auth_answer(header, reader, outstanding);
        }
        if header.zxid < self.zxid {
            return violation("zxids never fall", format!("{} after {}", header.zxid, self.zxid));
        }
        if header.zxid > history.last() {
            return violation("no garbage", format!("{} was never logged", header.zxid));
        }
        self.zxid = header.zxid;
        if header.xid == xid::NOTIFICATION {
            return self.on_event(header.zxid, reader, history);
        }
        let Some(request) = outstanding.pop_front() else {
            return violation("a reply per request", format!("{header:?} answers nothing"));
        };
        if header.xid != request.xid {
            return violation("replies in request order", format!("{header:?} answers {request:?}"));
        }
        self.watching.on_stamp(header.zxid);
        self.watching.advance(history, header.zxid);
        if let Some(due) = self.watching.missing(header.zxid) {
            let why = format!("the reply to {request:?} came, at {}, and not {due:?} before it", header.zxid);
            return violation("event before data", why);
        }
        let Some(error) = ErrorCode::from_i32(header.err) else {
            return violation("replies decode", format!("{header:?}"));
        };
        let session = session.expect("an active client has a session");
        if error == ErrorCode::SystemError {
            if let Some(at) = history.zxid_of(session.id, request.xid) {
                return violation(
                    "replies are right",
                    format!("{request:?} was refused, and logged at {at}"),
                );
            }
            return Ok(News::SystemError);
        }
        let made_up = std::mem::take(&mut self.made_up);
        if !made_up.is_empty() && !matches!(request.operation, Operation::SetWatches { .. }) {
            return violation("an event per watch", format!("{made_up:?} before the reply to {request:?}"));
        }
        let users = self.watching.users();
        let answer = Answer { request: &request, zxid: header.zxid, error, body: reader, users: &users };
        if request.operation.is_write() {
            answer.check_write(session, history)?;
            let over = request.operation == Operation::CloseSession;
            return Ok(if over { News::SessionOver } else { News::Reply });
        }
        answer.check_order(session, outstanding, history)?;
        answer.check_read(session, history, &self.watching)?;
        self.register(&request.operation, header.zxid, error, made_up, history)?;
        Ok(News::Reply)
    }

    /// An auth packet is answered at once, with no zxid.
    fn on_auth_answer(
        &mut self,
        header: ReplyHeader,
        body: Reader<'_>,
        outstanding: &mut VecDeque<Outstanding>,
    ) -> Checked<News> {
        let request = outstanding.pop_front();
        let expected = match request.as_ref().map(|request| &request.operation) {
            Some(Operation::Auth { user: Some(_) }) => ErrorCode::Ok,
            Some(Operation::Auth { user: None }) => ErrorCode::AuthFailed,
            _ => return violation("a reply per request", format!("{header:?} answers {request:?}")),
        };
        if (header.zxid, header.err, body.is_empty()) != (Zxid::ZERO, expected.code(), true) {
            return violation("replies are right", format!("{request:?} was answered {header:?}"));
        }
        self.watching.on_auth_answered();
        Ok(News::Reply)
    }

    fn on_event(&mut self, zxid: Zxid, body: Reader<'_>, history: &History) -> Checked<News> {
        let (kind, path) = decode_event(zxid, body)?;
        self.watching.advance(history, zxid);
        if let Some(due) = self.watching.missing(Zxid(zxid.0 - 1)) {
            let why = format!("{kind:?} of {zxid} came, and not {due:?} before it");
            return violation("event before data", why);
        }
        if !self.watching.take(zxid, kind, &path) {
            let (path, due) = (String::from_utf8_lossy(&path), self.watching.next_due());
            return violation(
                "an event per watch",
                format!("{kind:?} of {path} at {zxid} was not asked for; next is {due:?}"),
            );
        }
        Ok(News::Event)
    }

    fn on_made_up_event(&mut self, body: Reader<'_>, next: Option<&Outstanding>) -> Checked<News> {
        let event = decode_event(Zxid(-1), body)?;
        if !next.is_some_and(|next| matches!(next.operation, Operation::SetWatches { .. })) {
            return violation(
                "an event per watch",
                format!("{event:?} without a transaction before {next:?}"),
            );
        }
        self.made_up.push(event);
        Ok(News::Event)
    }

    /// What the read leaves behind on the connection.
    fn register(
        &mut self,
        operation: &Operation,
        zxid: Zxid,
        error: ErrorCode,
        made_up: Vec<(EventType, Vec<u8>)>,
        history: &History,
    ) -> Checked {
        let watching = &mut self.watching;
        match operation {
            Operation::Exists { path, watch: true } if matches!(error, ErrorCode::Ok | ErrorCode::NoNode) => {
                watching.add_standard(Table::Data, path, error == ErrorCode::NoNode);
            }
            Operation::GetData { path, watch: true } if error.is_ok() => {
                watching.add_standard(Table::Data, path, false);
            }
            Operation::GetChildren { path, watch: true, .. } if error.is_ok() => {
                watching.add_standard(Table::Child, path, false);
            }
            Operation::AddWatch { path, recursive: true } => watching.add_recursive(path),
            Operation::AddWatch { path, recursive: false } => watching.add_persistent(path),
            Operation::RemoveWatches { path, kind } => watching.remove(path, *kind),
            Operation::SetWatches { since, watched, .. } => {
                let expected = watching.set_watches(history, zxid, *since, watched);
                if made_up != expected {
                    return violation(
                        "what happened meanwhile is made up for",
                        format!("{operation:?} at {zxid} made {made_up:?} instead of {expected:?}"),
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn decode_event(zxid: Zxid, mut body: Reader<'_>) -> Checked<(EventType, Vec<u8>)> {
    match WatcherEvent::decode(&mut body) {
        Ok(event) if body.is_empty() && event.state == KeeperState::SyncConnected => {
            Ok((event.event_type, event.path.as_bytes().to_vec()))
        }
        event => violation("replies decode", format!("an event of {zxid}: {event:?}")),
    }
}
