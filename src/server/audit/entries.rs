//! What the audit log says of a write, of a session's end, and of the server: the fields and their order.
//!
//! They are those of `org.apache.zookeeper.audit` at release 3.9.5: AuditHelper.java has the operations and their results,
//! ZKAuditProvider.java the order of the fields, DataTree.java the ephemeral nodes of a session that ends. What differs on
//! purpose: in a multi, sequential and TTL nodes have a `znode_type`, too; a failed request that can't be read, or whose
//! flags are none, has its line, with the fields that can be told; and control characters, which could feign other lines
//! or fields, are written as `\n`, `\t` or `\u{1}`.
//! Tested: entries_test.rs; beside Apache ZooKeeper: tests/admin_of_java/audit.rs.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::SessionId;
use crate::messages::{AnswerBody, ChangeKind, Identity, Notice};
use crate::shard::user;
use crate::wire::acl::perms;
use crate::wire::client::{CreateMode, MultiOp, MultiRequest, MultiResult, MultiResults, Request};
use crate::wire::{AclList, Decode, ErrorCode, Opcode, Reader, Text};

/// A client's write, as it was asked.
#[derive(Clone, Debug)]
pub struct Write {
    pub session: SessionId,
    pub opcode: Opcode,
    pub body: Bytes,
    pub identities: Arc<[Identity]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// Begun; nobody will be there to tell how it ended.
    Invoked,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Invoked => "invoked",
        }
    }
}

/// A line. What is `None` is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub session: Option<SessionId>,
    pub user: Option<String>,
    pub ip: Option<String>,
    pub operation: &'static str,
    pub znode: Option<String>,
    pub znode_type: Option<&'static str>,
    pub acl: Option<String>,
    pub outcome: Outcome,
}

impl Entry {
    /// Of the server itself: `serverStart`, `serverStop`.
    pub fn of_server(user: &str, operation: &'static str, outcome: Outcome) -> Entry {
        Entry {
            session: None,
            user: Some(user.to_owned()),
            ip: None,
            operation,
            znode: None,
            znode_type: None,
            acl: None,
            outcome,
        }
    }

    /// Names and values, in order.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Option<String>| value.as_deref().map(plain);
        let fields = [
            ("session", self.session.map(|session| session.to_string())),
            ("user", text(&self.user)),
            ("ip", text(&self.ip)),
            ("operation", Some(self.operation.to_owned())),
            ("znode", text(&self.znode)),
            ("znode_type", self.znode_type.map(str::to_owned)),
            ("acl", text(&self.acl)),
            ("result", Some(self.outcome.name().to_owned())),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// What is said of a write and of its answer: a line, or one per operation of a multi that was carried out.
pub fn of_write(write: &Write, answer: &AnswerBody) -> Vec<Entry> {
    let failed = match answer {
        AnswerBody::Error(code) => *code != ErrorCode::Ok,
        AnswerBody::SessionMoved | AnswerBody::SessionRefused => true,
        _ => false,
    };
    let line = |operation, outcome| Entry { operation, outcome, ..of_client(write) };
    let outcome = if failed { Outcome::Failure } else { Outcome::Success };
    let mut reader = Reader::new(&write.body);
    let request = Request::decode(write.opcode, &mut reader).ok();
    let entry = match write.opcode {
        Opcode::Multi => return of_multi(request, answer, line),
        Opcode::Create | Opcode::Create2 | Opcode::CreateContainer | Opcode::CreateTtl => {
            let (asked, znode_type) = match request {
                Some(
                    Request::Create(create) | Request::Create2(create) | Request::CreateContainer(create),
                ) => (Some(create.path), mode(create.flags)),
                Some(Request::CreateTtl(create)) => (Some(create.path), mode(create.flags)),
                _ => (None, None),
            };
            let made = match answer {
                AnswerBody::Created { path } | AnswerBody::CreatedWithStat { path, .. } => {
                    Some(Text::from_bytes(path.bytes()))
                }
                _ => None,
            };
            Entry { znode: made.or(asked).map(text), znode_type, ..line("create", outcome) }
        }
        Opcode::Delete => {
            let path = if let Some(Request::Delete(delete)) = request { Some(delete.path) } else { None };
            Entry { znode: path.map(text), ..line("delete", outcome) }
        }
        Opcode::SetData => {
            let path = if let Some(Request::SetData(set)) = request { Some(set.path) } else { None };
            Entry { znode: path.map(text), ..line("setData", outcome) }
        }
        Opcode::SetAcl => {
            let (path, acl) = match request {
                Some(Request::SetAcl(set)) => (Some(set.path), set.acl),
                _ => (None, None),
            };
            Entry { znode: path.map(text), acl: acl.map(acl_text), ..line("setAcl", outcome) }
        }
        Opcode::Reconfig => {
            let znode = (!failed).then(|| "/zookeeper/config".to_owned());
            Entry { znode, ..line("reconfig", outcome) }
        }
        _ => return vec![],
    };
    vec![entry]
}

/// Operations that check are left out. Of a multi that failed there is one line, and no path.
fn of_multi(
    request: Option<Request<'_>>,
    answer: &AnswerBody,
    line: impl Fn(&'static str, Outcome) -> Entry,
) -> Vec<Entry> {
    let failed = || vec![line("multiOperation", Outcome::Failure)];
    let (Some(Request::Multi(operations)), AnswerBody::Raw(results)) = (request, answer) else {
        return failed();
    };
    let operations: MultiRequest<'_> = operations;
    let Ok(results) = MultiResults::decode(&mut Reader::new(results)) else { return failed() };
    if results.iter().any(|result| matches!(result, MultiResult::Error(_))) {
        return failed();
    }
    let lines = operations.iter().zip(results.iter()).filter_map(|(operation, result)| {
        let made = match result {
            MultiResult::Create { path } | MultiResult::Create2 { path, .. } => Some(path),
            _ => None,
        };
        let (name, asked, znode_type) = match operation {
            MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
                ("create", create.path, mode(create.flags))
            }
            MultiOp::CreateTtl(create) => ("create", create.path, mode(create.flags)),
            MultiOp::Delete(delete) => ("delete", delete.path, None),
            MultiOp::SetData(set) => ("setData", set.path, None),
            MultiOp::Check(_) => return None,
        };
        let znode = Some(text(made.unwrap_or(asked)));
        Some(Entry { znode, znode_type, ..line(name, Outcome::Success) })
    });
    lines.collect()
}

/// The ephemeral nodes that a session takes along, whose deletion is the server's own work.
pub fn of_end(notice: &Notice, user: &str) -> Vec<Entry> {
    const OPERATION: &str = "ephemeralZNodeDeletionOnSessionCloseOrExpire";
    let deleted = notice.changes.as_slice().iter().filter(|change| change.kind == ChangeKind::Deleted);
    let line = |path: &[u8]| Entry {
        session: notice.ended,
        znode: Some(String::from_utf8_lossy(path).into_owned()),
        ..Entry::of_server(user, OPERATION, Outcome::Success)
    };
    deleted.map(|change| line(change.path.bytes())).collect()
}

fn of_client(write: &Write) -> Entry {
    let users: Vec<&str> = write.identities.iter().map(user).filter(|user| !user.trim().is_empty()).collect();
    let ip = write.identities.iter().find(|identity| identity.scheme == "ip");
    Entry {
        session: Some(write.session),
        ip: ip.map(|ip| user(ip).to_owned()),
        user: (!users.is_empty()).then(|| users.join(",")),
        ..Entry::of_server("", "", Outcome::Success)
    }
}

fn text(text: Text<'_>) -> String {
    text.to_str_lossy().into_owned()
}

/// `CreateMode.java`, in small letters.
fn mode(flags: i32) -> Option<&'static str> {
    CreateMode::from_flags(flags).map(|mode| match mode {
        CreateMode::Persistent => "persistent",
        CreateMode::Ephemeral => "ephemeral",
        CreateMode::PersistentSequential => "persistent_sequential",
        CreateMode::EphemeralSequential => "ephemeral_sequential",
        CreateMode::Container => "container",
        CreateMode::PersistentWithTtl => "persistent_with_ttl",
        CreateMode::PersistentSequentialWithTtl => "persistent_sequential_with_ttl",
    })
}

/// `ZKUtil.aclToString`: nothing stands between two entries.
fn acl_text(list: AclList<'_>) -> String {
    const LETTERS: [(i32, char); 5] = [
        (perms::CREATE, 'c'),
        (perms::DELETE, 'd'),
        (perms::READ, 'r'),
        (perms::WRITE, 'w'),
        (perms::ADMIN, 'a'),
    ];
    let mut all = String::new();
    for acl in list.iter() {
        let part = |part: Option<Text<'_>>| part.map_or_else(|| "null".to_owned(), text);
        all.push_str(&format!("{}:{}:", part(acl.scheme), part(acl.id)));
        all.extend(LETTERS.iter().filter(|(perm, _)| acl.perms & perm != 0).map(|(_, letter)| letter));
    }
    all
}

/// On one line, and in one field.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
#[path = "entries_test.rs"]
mod tests;
