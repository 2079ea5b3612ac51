//! What one reply says.
//!
//! * A write's reply is what the model says of the transaction with the reply's zxid, which is this request's.
//! * A read's reply is what the model says of the state at the reply's zxid; that state has all writes which this
//!   session sent before the read, and none which it sent behind it.

use std::collections::VecDeque;

use crate::base::Zxid;
use crate::wire::client::{
    ClientInfo, Create2Response, CreateResponse, ErrorResponse, ExistsResponse, GetAclResponse,
    GetAllChildrenNumberResponse, GetChildren2Response, GetChildrenResponse, GetDataResponse,
    GetEphemeralsResponse, MultiResult, MultiResults, SetAclResponse, SetDataResponse, SyncResponse,
    WhoAmIResponse,
};
use crate::wire::{Decode, ErrorCode, OwnedAcl, Reader, Text};

use super::client::{Known, Outstanding};
use super::history::{Checked, History, violation};
use super::identity;
use super::model::{Node, Outcome};
use super::operation::{Creation, Edit, Form, Look, Operation};
use super::watching::Watching;

pub struct Answer<'a> {
    pub request: &'a Outstanding,
    pub zxid: Zxid,
    pub error: ErrorCode,
    pub body: Reader<'a>,
    /// The digests that the connection had shown.
    pub users: &'a [String],
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

    fn check_same<T: PartialEq + std::fmt::Debug>(&self, found: T, expected: T) -> Checked {
        if found == expected {
            return Ok(());
        }
        self.wrong("replies are right", format!("{found:?} instead of {expected:?}"))
    }

    fn check_error(&self, expected: ErrorCode) -> Checked {
        if self.error != expected {
            return self.wrong("replies are right", format!("the model says {expected}"));
        }
        if expected.is_ok() { Ok(()) } else { self.check_empty() }
    }

    pub fn check_write(&self, session: &Known, history: &History) -> Checked {
        let record = history
            .record(self.zxid)
            .filter(|record| record.session == session.id && record.cxid == self.request.xid);
        let Some(record) = record else {
            let logged = history.zxid_of(session.id, self.request.xid);
            return self.wrong("a write's reply has its zxid", format!("the log has it at {logged:?}"));
        };
        match (&record.outcome, self.error) {
            (Outcome::Created { path, stat, .. }, ErrorCode::Ok) => {
                let form = match &self.request.operation {
                    Operation::Edit(Edit::Create(Creation { form, .. })) => *form,
                    _ => return self.wrong("replies are right", "it created something"),
                };
                if form == Form::Create {
                    return self.check_same(self.decode::<CreateResponse<'_>>()?.path.as_bytes(), path);
                }
                let response: Create2Response<'_> = self.decode()?;
                self.check_same((response.path.as_bytes(), response.stat), (path, *stat))
            }
            (Outcome::Changed(stat), ErrorCode::Ok) => {
                let found = if matches!(self.request.operation, Operation::SetAcl { .. }) {
                    self.decode::<SetAclResponse>()?.stat
                } else {
                    self.decode::<SetDataResponse>()?.stat
                };
                self.check_same(found, *stat)
            }
            (Outcome::Deleted | Outcome::SessionClosed(_), ErrorCode::Ok) => self.check_empty(),
            (Outcome::Multi(outcomes), ErrorCode::Ok) => self.check_results(outcomes),
            (Outcome::Error(expected), error) if error == *expected => self.check_empty(),
            (Outcome::NoSession, ErrorCode::SessionExpired | ErrorCode::UnknownSession) => self.check_empty(),
            (outcome, _) => self.wrong("replies are right", format!("the model says {outcome:?}")),
        }
    }

    fn check_results(&self, outcomes: &[Outcome]) -> Checked {
        let results: MultiResults<'_> = self.decode()?;
        let is_right = |(result, outcome): (MultiResult<'_>, &Outcome)| match (result, outcome) {
            (MultiResult::Create { path }, Outcome::Created { path: expected, with_stat: false, .. }) => {
                path.as_bytes() == expected
            }
            (
                MultiResult::Create2 { path, stat },
                Outcome::Created { path: expected, stat: expected_stat, with_stat: true },
            ) => path.as_bytes() == expected && stat == *expected_stat,
            (MultiResult::Delete, Outcome::Deleted) | (MultiResult::Check, Outcome::Checked) => true,
            (MultiResult::SetData { stat }, Outcome::Changed(expected)) => stat == *expected,
            (MultiResult::Error(code), Outcome::Error(expected)) => code == *expected,
            (MultiResult::Error(code), Outcome::NoSession) => {
                matches!(code, ErrorCode::SessionExpired | ErrorCode::UnknownSession)
            }
            _ => false,
        };
        if results.len() == outcomes.len() && results.iter().zip(outcomes).all(is_right) {
            return Ok(());
        }
        self.wrong("replies are right", format!("{results:?} instead of {outcomes:?}"))
    }

    /// It doesn't see what its session sent behind it.
    pub fn check_order(&self, session: &Known, behind: &VecDeque<Outstanding>, history: &History) -> Checked {
        let next_write = behind.iter().find(|request| request.operation.is_write());
        if let Some(write) = next_write
            && let Some(at) = history.zxid_of(session.id, write.xid)
            && at <= self.zxid
        {
            return self
                .wrong("session order", format!("it sees xid {}, sent behind it, of {at}", write.xid));
        }
        Ok(())
    }

    pub fn check_read(&self, session: &Known, history: &History, watching: &Watching) -> Checked {
        match &self.request.operation {
            Operation::Ping => self.check_empty(),
            poison if poison.is_poison() => self.check_error(ErrorCode::BadArguments),
            Operation::Sync { path } => {
                if self.zxid < self.request.told {
                    return self.wrong(
                        "sync waits",
                        format!("{} had been told when it was sent", self.request.told),
                    );
                }
                let response: SyncResponse<'_> = self.decode()?;
                self.check_same(response.path.map(Text::as_bytes), Some(path))
            }
            Operation::Exists { path, .. } => {
                let Some(node) = self.readable(path, identity::READ, history)? else { return Ok(()) };
                self.check_same(self.decode::<ExistsResponse>()?.stat, node.stat())
            }
            Operation::GetData { path, .. } => {
                let Some(node) = self.readable(path, identity::READ, history)? else { return Ok(()) };
                let response: GetDataResponse<'_> = self.decode()?;
                self.check_same((response.data, response.stat), (node.data.as_deref(), node.stat()))
            }
            Operation::GetChildren { path, two, .. } => {
                let Some(node) = self.readable(path, identity::READ, history)? else { return Ok(()) };
                if *two {
                    let response: GetChildren2Response<'_> = self.decode()?;
                    self.check_same(response.stat, node.stat())?;
                    return self.check_children(response.children.iter(), node);
                }
                self.check_children(self.decode::<GetChildrenResponse<'_>>()?.children.iter(), node)
            }
            Operation::GetAcl { path } => {
                let perms = identity::READ | identity::ADMIN;
                let Some(node) = self.readable(path, perms, history)? else { return Ok(()) };
                let response: GetAclResponse<'_> = self.decode()?;
                let found: Option<Vec<OwnedAcl>> = response.acl.iter().map(|acl| acl.to_owned()).collect();
                self.check_same(found, Some(identity::shown(&node.acl, self.users)))?;
                self.check_same(response.stat, node.stat())
            }
            Operation::AllChildrenNumber { path } => {
                if self.readable(path, identity::READ, history)?.is_none() {
                    return Ok(());
                }
                let response: GetAllChildrenNumberResponse = self.decode()?;
                let expected = history.model.descendants(path, self.zxid);
                self.check_same(response.total_number, expected as i32)
            }
            Operation::MultiRead(looks) => self.check_looks(looks, history),
            Operation::Ephemerals { prefix } => {
                self.check_error(ErrorCode::Ok)?;
                let response: GetEphemeralsResponse<'_> = self.decode()?;
                let mut found: Vec<&[u8]> = response.ephemerals.iter().map(Text::as_bytes).collect();
                found.sort_unstable();
                let mut expected = history.model.ephemerals(session.id, self.zxid);
                expected.retain(|path| *prefix == b"/" || path.starts_with(prefix));
                self.check_same(found, expected.iter().map(Vec::as_slice).collect())
            }
            Operation::WhoAmI => {
                let response: WhoAmIResponse<'_> = self.decode()?;
                let text = |text: Text<'_>| text.to_str_lossy().into_owned();
                let mut found: Vec<_> = response
                    .client_info
                    .iter()
                    .map(|ClientInfo { auth_scheme, user }| (text(auth_scheme), text(user)))
                    .collect();
                found.sort();
                self.check_same(found, identity::introduced(self.users))
            }
            Operation::AddWatch { .. } => {
                self.check_error(ErrorCode::Ok)?;
                self.check_same(self.decode::<ErrorResponse>()?.err, 0)
            }
            Operation::CheckWatches { path, kind } | Operation::RemoveWatches { path, kind } => {
                let found = watching.has(path, *kind);
                self.check_error(if found { ErrorCode::Ok } else { ErrorCode::NoWatcher })?;
                self.check_empty()
            }
            Operation::SetWatches { .. } => {
                self.check_error(ErrorCode::Ok)?;
                self.check_empty()
            }
            other => unreachable!("{other:?} is no read"),
        }
    }

    fn check_children<'t>(&self, found: impl Iterator<Item = Text<'t>>, node: &Node) -> Checked {
        let mut found: Vec<&[u8]> = found.map(Text::as_bytes).collect();
        found.sort_unstable();
        self.check_same(found, node.children.iter().map(Vec::as_slice).collect())
    }

    fn check_looks(&self, looks: &[Look], history: &History) -> Checked {
        self.check_error(ErrorCode::Ok)?;
        let results: MultiResults<'_> = self.decode()?;
        self.check_same(results.len(), looks.len())?;
        for (result, look) in results.iter().zip(looks) {
            let (Look::Data { path } | Look::Children { path }) = look;
            let node = self.allowed(path, identity::READ, history);
            match (result, node, look) {
                (MultiResult::Error(code), Err(expected), _) => self.check_same(code, expected)?,
                (MultiResult::GetData { data, stat }, Ok(node), Look::Data { .. }) => {
                    self.check_same((data, stat), (node.data.as_deref(), node.stat()))?;
                }
                (MultiResult::GetChildren { children }, Ok(node), Look::Children { .. }) => {
                    self.check_children(children.iter(), node)?;
                }
                (result, node, look) => {
                    let why = format!("{look:?} gave {result:?}, the model says {node:?}");
                    return self.wrong("replies are right", why);
                }
            }
        }
        Ok(())
    }

    fn allowed<'h>(&self, path: &[u8], perm: i32, history: &'h History) -> Result<&'h Node, ErrorCode> {
        let node = history.model.node(path, self.zxid).ok_or(ErrorCode::NoNode)?;
        if identity::may(&node.acl, perm, self.users) { Ok(node) } else { Err(ErrorCode::NoAuth) }
    }

    /// The node that the reply is about; `None` if the reply says, rightly, that it can't be read.
    fn readable<'h>(&self, path: &[u8], perm: i32, history: &'h History) -> Checked<Option<&'h Node>> {
        match self.allowed(path, perm, history) {
            Ok(node) => self.check_error(ErrorCode::Ok).map(|()| Some(node)),
            Err(error) => self.check_error(error).map(|()| None),
        }
    }
}
