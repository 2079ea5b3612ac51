//! One connection's replies and events, held against the history.
//!
//! * Replies come in request order; zxids never fall.
//! * A write's reply is what the model says of the transaction with the reply's zxid, which is this request's.
//! * A read's reply is what the model says of the state at the reply's zxid; that state has all writes which this
//!   session sent before the read, and none which it sent behind it.
//! * An event comes for the first change after its watch was set, once, and before any reply of that zxid or a later one.

use std::collections::VecDeque;

use crate::base::Zxid;
use crate::wire::client::{
    Create2Response, CreateResponse, EventType, ExistsResponse, GetAclResponse, GetChildren2Response,
    GetChildrenResponse, GetDataResponse, KeeperState, ReplyHeader, SetAclResponse, SetDataResponse,
    SyncResponse, WatcherEvent, xid,
};
use crate::wire::{Decode, ErrorCode, OwnedAcl, Reader, Stat, Text};

use super::client::{Known, News, Outstanding};
use super::history::{Checked, History, violation};
use super::model::{self, Change, Event, Node, Operation, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Data,
    Child,
}

/// A watch that hasn't fired.
#[derive(Clone, Debug)]
struct Armed {
    table: Table,
    path: Vec<u8>,
    /// Looked for triggers up to here.
    scanned: Zxid,
    /// The first one, and what it announces; `None` inside if the reader may not know.
    trigger: Option<(Zxid, Option<EventType>)>,
}

impl Armed {
    fn scan(&mut self, history: &History, to: Zxid) {
        while self.trigger.is_none() && self.scanned < to {
            self.scanned = self.scanned.next();
            let found =
                history.model.changes(self.scanned).iter().find_map(|change| self.triggered_by(change));
            self.trigger = found.map(|event| (self.scanned, event));
        }
    }

    fn triggered_by(&self, change: &Change) -> Option<Option<EventType>> {
        if change.path == self.path {
            let event = match (self.table, change.event) {
                (Table::Data, Event::Created) => EventType::NodeCreated,
                (Table::Data, Event::Changed) => EventType::NodeDataChanged,
                (Table::Data | Table::Child, Event::Deleted) => EventType::NodeDeleted,
                (Table::Child, Event::Created | Event::Changed) => return None,
            };
            return Some(change.readable.then_some(event));
        }
        let of_child = self.table == Table::Child
            && change.event != Event::Changed
            && change.path != b"/"
            && model::parent(&change.path) == self.path;
        of_child.then_some(change.parent_readable.then_some(EventType::NodeChildrenChanged))
    }
}

pub struct Stream {
    /// The newest zxid that this client was told.
    pub zxid: Zxid,
    armed: Vec<Armed>,
}

impl Stream {
    pub fn new(zxid: Zxid) -> Stream {
        Stream { zxid, armed: vec![] }
    }

    /// Watches that are armed and were not triggered by anything logged so far.
    pub fn armed(&mut self, history: &History) -> usize {
        for armed in &mut self.armed {
            armed.scan(history, history.last());
        }
        self.armed.iter().filter(|armed| armed.trigger.is_none()).count()
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
        self.check_events_before(header.zxid, true, history, || format!("the reply to {request:?}"))?;
        let Some(error) = ErrorCode::from_i32(header.err) else {
            return violation("replies decode", format!("{header:?}"));
        };
        if error == ErrorCode::SystemError {
            if let Some(at) = session.and_then(|known| history.zxid_of(known.id, request.xid)) {
                return violation(
                    "replies are right",
                    format!("{request:?} was refused, and logged at {at}"),
                );
            }
            return Ok(News::SystemError);
        }
        let answer = Answer { request: &request, zxid: header.zxid, error, body: reader };
        if request.operation.is_write() {
            let session = session.expect("an active client has a session");
            answer.check_write(session, history)?;
            if request.operation == Operation::CloseSession {
                return Ok(News::SessionOver);
            }
        } else {
            let session = session.expect("an active client has a session");
            answer.check_read(session, outstanding, history)?;
            self.arm(&request.operation, header.zxid, error);
        }
        Ok(News::Reply)
    }

    /// Every event of a change before `zxid` (or at it) must have come.
    fn check_events_before(
        &mut self,
        zxid: Zxid,
        inclusive: bool,
        history: &History,
        what: impl Fn() -> String,
    ) -> Checked {
        let to = if inclusive { zxid } else { Zxid(zxid.0 - 1) };
        for armed in &mut self.armed {
            armed.scan(history, to);
            if let Some((at, Some(event))) = armed.trigger
                && at <= to
            {
                let path = String::from_utf8_lossy(&armed.path).into_owned();
                return violation(
                    "event before data",
                    format!("{} came, and not the {event:?} of {path} at {at} before it", what()),
                );
            }
        }
        // What the client may not know of is used up silently.
        self.armed.retain(|armed| !matches!(armed.trigger, Some((at, None)) if at <= to));
        Ok(())
    }

    fn on_event(&mut self, zxid: Zxid, mut body: Reader<'_>, history: &History) -> Checked<News> {
        self.check_events_before(zxid, false, history, || format!("an event of {zxid}"))?;
        let event = WatcherEvent::decode(&mut body);
        let Ok(event) = event.map_err(|_| ()).and_then(|event| body.is_empty().then_some(event).ok_or(()))
        else {
            return violation("replies decode", format!("an event of {zxid}"));
        };
        if event.state != KeeperState::SyncConnected {
            return violation("replies decode", format!("{event:?}"));
        }
        let before = self.armed.len();
        for armed in &mut self.armed {
            armed.scan(history, zxid);
        }
        let path = event.path.as_bytes();
        self.armed
            .retain(|armed| !(armed.path == path && armed.trigger == Some((zxid, Some(event.event_type)))));
        if self.armed.len() == before {
            return violation("an event per watch", format!("{event:?} of {zxid} was not asked for"));
        }
        Ok(News::Event)
    }

    fn arm(&mut self, operation: &Operation, zxid: Zxid, error: ErrorCode) {
        let (table, path) = match operation {
            Operation::Exists { path, watch: true } if matches!(error, ErrorCode::Ok | ErrorCode::NoNode) => {
                (Table::Data, path)
            }
            Operation::GetData { path, watch: true } if error.is_ok() => (Table::Data, path),
            Operation::GetChildren { path, watch: true, .. } if error.is_ok() => (Table::Child, path),
            _ => return,
        };
        // Set twice it is one watch, armed since the first time.
        if !self.armed.iter().any(|armed| armed.table == table && armed.path == *path) {
            self.armed.push(Armed { table, path: path.clone(), scanned: zxid, trigger: None });
        }
    }
}

struct Answer<'a> {
    request: &'a Outstanding,
    zxid: Zxid,
    error: ErrorCode,
    body: Reader<'a>,
}

impl<'a> Answer<'a> {
    fn wrong<T>(&self, check: &'static str, why: impl std::fmt::Display) -> Checked<T> {
        let Answer { request, zxid, error, .. } = self;
        violation(check, format!("{request:?} was answered {error} at {zxid}: {why}"))
    }

    fn decode<T: Decode<'a>>(&self) -> Checked<T> {
        let mut body = self.body;
        match T::decode(&mut body) {
            Ok(record) if body.is_empty() => Ok(record),
            _ => self.wrong("replies decode", format!("{:02x?}", self.body.rest())),
        }
    }

    fn check_empty(&self) -> Checked {
        if self.body.is_empty() { Ok(()) } else { self.wrong("replies decode", "a body where none belongs") }
    }

    fn check_stat(&self, found: Stat, expected: Stat) -> Checked {
        if found == expected {
            return Ok(());
        }
        self.wrong("replies are right", format!("stat {found:?} instead of {expected:?}"))
    }

    fn check_write(&self, session: &Known, history: &History) -> Checked {
        let record = history
            .record(self.zxid)
            .filter(|record| record.session == session.id && record.cxid == self.request.xid);
        let Some(record) = record else {
            let logged = history.zxid_of(session.id, self.request.xid);
            return self.wrong("a write's reply has its zxid", format!("the log has it at {logged:?}"));
        };
        match (&record.outcome, self.error) {
            (Outcome::Created { path, stat }, ErrorCode::Ok) => {
                let found = if matches!(self.request.operation, Operation::Create { two: true, .. }) {
                    let response: Create2Response<'_> = self.decode()?;
                    self.check_stat(response.stat, *stat)?;
                    response.path
                } else {
                    self.decode::<CreateResponse<'_>>()?.path
                };
                if found.as_bytes() != path {
                    return self.wrong("replies are right", format!("it made {found}"));
                }
                Ok(())
            }
            (Outcome::Changed(stat), ErrorCode::Ok) => {
                let found = if matches!(self.request.operation, Operation::SetAcl { .. }) {
                    self.decode::<SetAclResponse>()?.stat
                } else {
                    self.decode::<SetDataResponse>()?.stat
                };
                self.check_stat(found, *stat)
            }
            (Outcome::Deleted | Outcome::SessionClosed(_), ErrorCode::Ok) => self.check_empty(),
            (Outcome::Error(expected), error) if error == *expected => self.check_empty(),
            (Outcome::NoSession, ErrorCode::SessionExpired | ErrorCode::UnknownSession) => self.check_empty(),
            (outcome, _) => self.wrong("replies are right", format!("the model says {outcome:?}")),
        }
    }

    fn check_read(&self, session: &Known, behind: &VecDeque<Outstanding>, history: &History) -> Checked {
        let next_write = behind.iter().find(|request| request.operation.is_write());
        if let Some(write) = next_write
            && let Some(at) = history.zxid_of(session.id, write.xid)
            && at <= self.zxid
        {
            return self
                .wrong("session order", format!("it sees xid {}, sent behind it, of {at}", write.xid));
        }
        match &self.request.operation {
            Operation::Ping => self.check_empty(),
            Operation::Sync { path } => {
                if self.zxid < self.request.told {
                    return self.wrong(
                        "sync waits",
                        format!("{} had been told when it was sent", self.request.told),
                    );
                }
                let response: SyncResponse<'_> = self.decode()?;
                if response.path.map(Text::as_bytes) != Some(path) {
                    return self.wrong("replies are right", "another path");
                }
                Ok(())
            }
            Operation::Exists { path, .. } => {
                let Some(node) = self.readable(path, model::READ, history)? else { return Ok(()) };
                self.check_stat(self.decode::<ExistsResponse>()?.stat, node.stat())
            }
            Operation::GetData { path, .. } => {
                let Some(node) = self.readable(path, model::READ, history)? else { return Ok(()) };
                let response: GetDataResponse<'_> = self.decode()?;
                if response.data != node.data.as_deref() {
                    return self.wrong(
                        "replies are right",
                        format!("data {:?} instead of {:?}", response.data, node.data),
                    );
                }
                self.check_stat(response.stat, node.stat())
            }
            Operation::GetChildren { path, two, .. } => {
                let Some(node) = self.readable(path, model::READ, history)? else { return Ok(()) };
                let mut found: Vec<&[u8]> = if *two {
                    let response: GetChildren2Response<'_> = self.decode()?;
                    self.check_stat(response.stat, node.stat())?;
                    response.children.iter().map(Text::as_bytes).collect()
                } else {
                    let response: GetChildrenResponse<'_> = self.decode()?;
                    response.children.iter().map(Text::as_bytes).collect()
                };
                found.sort_unstable();
                if !found.iter().copied().eq(node.children.iter().map(Vec::as_slice)) {
                    return self.wrong(
                        "replies are right",
                        format!("children {found:?} instead of {:?}", node.children),
                    );
                }
                Ok(())
            }
            Operation::GetAcl { path } => {
                let perms = model::READ | model::ADMIN;
                let Some(node) = self.readable(path, perms, history)? else { return Ok(()) };
                let response: GetAclResponse<'_> = self.decode()?;
                let expected = OwnedAcl::new(node.perms, "world", "anyone");
                if response.acl.len() != 1
                    || response.acl.iter().any(|acl| acl.to_owned() != Some(expected.clone()))
                {
                    return self.wrong("replies are right", format!("{:?} for {}", response.acl, node.perms));
                }
                self.check_stat(response.stat, node.stat())
            }
            write => unreachable!("{write:?} is no read"),
        }
    }

    /// The node that the reply is about; `None` if the reply says, rightly, that it can't be read.
    fn readable<'h>(&self, path: &[u8], perm: i32, history: &'h History) -> Checked<Option<&'h Node>> {
        let expected = match history.model.node(path, self.zxid) {
            None => Err(ErrorCode::NoNode),
            Some(node) if node.perms & perm == 0 => Err(ErrorCode::NoAuth),
            Some(node) => Ok(node),
        };
        match expected {
            Ok(node) if self.error.is_ok() => Ok(Some(node)),
            Err(error) if error == self.error => self.check_empty().map(|()| None),
            Ok(_) => self.wrong("replies are right", "the node is there"),
            Err(error) => self.wrong("replies are right", format!("the model says {error}")),
        }
    }
}
