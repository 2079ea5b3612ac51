//! What a write does, if the server is right: the order of checks of client-protocol.md §9 and §10, once more.

use crate::base::{SessionId, WallMillis, Zxid};
use crate::wire::{ErrorCode, OwnedAcl};

use super::identity::{self, Acl};
use super::model::{Change, Event, Kind, Model, Node, Outcome, SessionLife, name, parent};
use super::operation::{Creation, Edit, Form, Operation};

/// Who asks, and when.
#[derive(Clone, Copy)]
struct Asker<'a> {
    zxid: Zxid,
    time: WallMillis,
    session: SessionId,
    alive: bool,
    /// The digests that its connection has shown.
    users: &'a [String],
}

enum Refusal {
    Code(ErrorCode),
    NoSession,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal::Code(code)
    }
}

impl Refusal {
    fn outcome(self) -> Outcome {
        match self {
            Refusal::Code(code) => Outcome::Error(code),
            Refusal::NoSession => Outcome::NoSession,
        }
    }
}

type Decided = Result<Outcome, Refusal>;

/// TTLs are 40 bits wide.
const TTL_MAX: i64 = (1 << 40) - 1;

impl Model {
    /// The next transaction: a new session.
    pub fn open_session(&mut self, session: SessionId) -> Outcome {
        let zxid = self.last().next();
        self.changes.push(vec![]);
        self.sessions.insert(session, SessionLife { opened: zxid, closed: None });
        Outcome::SessionOpened
    }

    /// The next transaction: what the request does.
    pub fn decide(
        &mut self,
        session: SessionId,
        time: WallMillis,
        operation: &Operation,
        users: &[String],
    ) -> Outcome {
        let (zxid, alive) = (self.last().next(), self.is_alive(session));
        let asker = Asker { zxid, time, session, alive, users };
        let mut changes = vec![];
        let decided = match operation {
            Operation::Edit(edit) => self.edit(asker, edit, false, &mut changes),
            Operation::Multi(edits) => self.multi(asker, edits, &mut changes),
            Operation::SetAcl { path, acl, version } => self.set_acl(asker, path, acl, *version),
            Operation::CloseSession if alive => Ok(self.close(asker, &mut changes)),
            Operation::CloseSession => Err(Refusal::NoSession),
            // Asked before who asks.
            Operation::Reconfig => Err(ErrorCode::ReconfigDisabled.into()),
            read => unreachable!("{read:?} is no write"),
        };
        self.changes.push(changes);
        decided.unwrap_or_else(Refusal::outcome)
    }

    /// The next transaction: a container or TTL node that has served its time is deleted; `Err`: it has not.
    pub fn reap(&mut self, time: WallMillis, path: &[u8]) -> Result<Outcome, String> {
        let node = self.now(path).ok_or("there is no such node")?;
        let age_ms = time.0 - node.mtime.0;
        let over = match node.kind {
            Kind::Container if node.cversion == 0 => self.rules.never_used_ms.is_some_and(|ms| age_ms > ms),
            Kind::Container => true,
            Kind::Ttl(ms) => age_ms > ms,
            Kind::Persistent | Kind::Ephemeral(_) => false,
        };
        if !over || !node.children.is_empty() {
            return Err(format!("{age_ms} ms after {node:?}"));
        }
        let mut changes = vec![];
        self.remove(self.last().next(), path, &mut changes);
        self.changes.push(changes);
        Ok(Outcome::Deleted)
    }

    /// Containers and TTL nodes whose time is over, whatever the reaper makes of them.
    pub fn overdue(&self, time: WallMillis) -> impl Iterator<Item = &[u8]> {
        let over = move |node: &Node| match node.kind {
            Kind::Container => node.cversion > 0 && node.children.is_empty(),
            Kind::Ttl(ms) => node.children.is_empty() && time.0 - node.mtime.0 > ms,
            Kind::Persistent | Kind::Ephemeral(_) => false,
        };
        self.all(Zxid(i64::MAX)).filter(move |(_, node)| over(node)).map(|(path, _)| path)
    }

    /// All or nothing.
    fn multi(&mut self, asker: Asker<'_>, edits: &[Edit], changes: &mut Vec<Change>) -> Decided {
        let misses_the_form = |edit: &Edit| {
            matches!(edit, Edit::Create(creation)
                if !matches!(creation.form, Form::Ttl(_)) && !(0..=4).contains(&creation.flags))
        };
        if edits.iter().any(misses_the_form) {
            return Err(ErrorCode::MarshallingError.into());
        }
        let mut outcomes = vec![];
        for edit in edits {
            match self.edit(asker, edit, true, changes) {
                Ok(outcome) => outcomes.push(outcome),
                Err(refusal) => {
                    self.forget_nodes(Zxid(asker.zxid.0 - 1));
                    changes.clear();
                    let at = outcomes.len();
                    outcomes = vec![Outcome::Error(ErrorCode::Ok); at];
                    outcomes.push(refusal.outcome());
                    outcomes.resize(edits.len(), Outcome::Error(ErrorCode::RuntimeInconsistency));
                    break;
                }
            }
        }
        Ok(Outcome::Multi(outcomes))
    }

    fn edit(&mut self, asker: Asker<'_>, edit: &Edit, in_multi: bool, changes: &mut Vec<Change>) -> Decided {
        match edit {
            Edit::Create(creation) => self.create(asker, creation, in_multi, changes),
            Edit::Delete { path, version } => self.delete(asker, path, *version, changes),
            Edit::SetData { path, data, version } => self.set_data(asker, path, data, *version, changes),
            Edit::Check { path, version } => self.check(asker, path, *version),
        }
    }

    fn create(
        &mut self,
        asker: Asker<'_>,
        creation: &Creation,
        in_multi: bool,
        changes: &mut Vec<Change>,
    ) -> Decided {
        let Creation { form, path, data, acl, flags } = creation;
        if !(0..=6).contains(flags) {
            return Err(ErrorCode::BadArguments.into());
        }
        // In a multi the flags say what is made: a container, or without those of a TTL a node of another kind.
        let form = match form {
            _ if in_multi && *flags == 4 => Form::Container,
            Form::Ttl(_) if in_multi && *flags < 4 => Form::Create,
            form => *form,
        };
        if *flags >= 5 && !self.rules.extended_types {
            return Err(ErrorCode::Unimplemented.into());
        }
        let ephemeral = matches!(flags, 1 | 3);
        let kind = match form {
            Form::Ttl(ms) if *flags >= 5 && (1..=TTL_MAX).contains(&ms) => Kind::Ttl(ms),
            Form::Ttl(_) => return Err(ErrorCode::BadArguments.into()),
            _ if *flags >= 5 => return Err(ErrorCode::BadArguments.into()),
            Form::Container => Kind::Container,
            Form::Create | Form::Create2 if ephemeral => Kind::Ephemeral(asker.session),
            Form::Create | Form::Create2 => Kind::Persistent,
        };
        asker.check_session()?;
        let slash = path.iter().rposition(|b| *b == b'/').ok_or(ErrorCode::BadArguments)?;
        let acl = identity::normalised(acl, asker.users)?;
        let parent_path = if slash == 0 { b"/" } else { &path[..slash] };
        let mut parent = self.now(parent_path).ok_or(ErrorCode::NoNode)?.clone();
        asker.check(&parent.acl, identity::CREATE)?;
        let mut path = path.clone();
        if matches!(flags, 2 | 3 | 6) {
            path.extend_from_slice(format!("{:010}", parent.cversion).as_bytes());
        }
        if !is_valid(&path) {
            return Err(ErrorCode::BadArguments.into());
        }
        if self.now(&path).is_some() {
            return Err(ErrorCode::NodeExists.into());
        }
        if matches!(parent.kind, Kind::Ephemeral(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals.into());
        }
        let node = Node { data: data.clone(), acl, kind, ..Node::born(asker.zxid, asker.time) };
        let stat = node.stat();
        changes.push(Change {
            event: Event::Created,
            path: path.clone(),
            acl: node.acl.clone(),
            parent_acl: parent.acl.clone(),
        });
        parent.cversion += 1;
        parent.pzxid = asker.zxid;
        parent.children.insert(path[slash + 1..].to_vec());
        let bytes = node.data.as_ref().map_or(0, Vec::len);
        self.put(parent_path, asker.zxid, Some(parent));
        self.put(&path, asker.zxid, Some(node));
        self.quota_created(asker.zxid, &path, bytes);
        Ok(Outcome::Created { path, stat, with_stat: form != Form::Create })
    }

    fn delete(&mut self, asker: Asker<'_>, path: &[u8], version: i32, changes: &mut Vec<Change>) -> Decided {
        asker.check_session()?;
        let special: [&[u8]; 4] = [b"/", b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/config"];
        if !path.contains(&b'/') || special.contains(&path) {
            return Err(ErrorCode::BadArguments.into());
        }
        let parent = self.now(parent(path)).ok_or(ErrorCode::NoNode)?;
        asker.check(&parent.acl, identity::DELETE)?;
        let node = self.now(path).ok_or(ErrorCode::NoNode)?;
        check_version(version, node.version)?;
        if !node.children.is_empty() {
            return Err(ErrorCode::NotEmpty.into());
        }
        self.remove(asker.zxid, path, changes);
        Ok(Outcome::Deleted)
    }

    fn remove(&mut self, zxid: Zxid, path: &[u8], changes: &mut Vec<Change>) {
        let parent_path = parent(path);
        let (Some(node), Some(parent)) = (self.now(path), self.now(parent_path)) else { return };
        let mut parent = parent.clone();
        changes.push(Change {
            event: Event::Deleted,
            path: path.to_vec(),
            acl: node.acl.clone(),
            parent_acl: parent.acl.clone(),
        });
        parent.pzxid = zxid;
        parent.children.remove(name(path));
        let bytes = node.data.as_ref().map_or(0, Vec::len) as i64;
        self.put(parent_path, zxid, Some(parent));
        self.put(path, zxid, None);
        self.quota_changed(zxid, path, -bytes, -1);
    }

    fn set_data(
        &mut self,
        asker: Asker<'_>,
        path: &[u8],
        data: &Option<Vec<u8>>,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Decided {
        let mut node = self.found(asker, path)?.clone();
        asker.check(&node.acl, identity::WRITE)?;
        check_version(version, node.version)?;
        let length = |data: &Option<Vec<u8>>| data.as_ref().map_or(0, Vec::len) as i64;
        let more = length(data) - length(&node.data);
        node.data = data.clone();
        node.version += 1;
        node.mzxid = asker.zxid;
        node.mtime = asker.time;
        let stat = node.stat();
        changes.push(Change {
            event: Event::Changed,
            path: path.to_vec(),
            acl: node.acl.clone(),
            parent_acl: None,
        });
        self.put(path, asker.zxid, Some(node));
        self.quota_changed(asker.zxid, path, more, 0);
        Ok(Outcome::Changed(stat))
    }

    fn check(&mut self, asker: Asker<'_>, path: &[u8], version: i32) -> Decided {
        let node = self.found(asker, path)?;
        asker.check(&node.acl, identity::READ)?;
        check_version(version, node.version)?;
        Ok(Outcome::Checked)
    }

    fn set_acl(&mut self, asker: Asker<'_>, path: &[u8], acl: &[OwnedAcl], version: i32) -> Decided {
        asker.check_session()?;
        if !is_valid(path) {
            return Err(ErrorCode::BadArguments.into());
        }
        let acl = identity::normalised(acl, asker.users)?;
        let mut node = self.now(path).ok_or(ErrorCode::NoNode)?.clone();
        asker.check(&node.acl, identity::ADMIN)?;
        check_version(version, node.aversion)?;
        node.acl = acl;
        node.aversion += 1;
        let stat = node.stat();
        self.put(path, asker.zxid, Some(node));
        Ok(Outcome::Changed(stat))
    }

    fn found(&self, asker: Asker<'_>, path: &[u8]) -> Result<&Node, Refusal> {
        asker.check_session()?;
        if !is_valid(path) {
            return Err(ErrorCode::BadArguments.into());
        }
        Ok(self.now(path).ok_or(ErrorCode::NoNode)?)
    }

    fn close(&mut self, asker: Asker<'_>, changes: &mut Vec<Change>) -> Outcome {
        let paths = self.ephemerals(asker.session, Zxid(i64::MAX));
        for path in &paths {
            self.remove(asker.zxid, path, changes);
        }
        if let Some(life) = self.sessions.get_mut(&asker.session) {
            life.closed = Some(asker.zxid);
        }
        Outcome::SessionClosed(paths)
    }
}

impl Asker<'_> {
    fn check_session(&self) -> Result<(), Refusal> {
        if self.alive { Ok(()) } else { Err(Refusal::NoSession) }
    }

    fn check(&self, acl: &Acl, perm: i32) -> Result<(), Refusal> {
        if identity::may(acl, perm, self.users) { Ok(()) } else { Err(ErrorCode::NoAuth.into()) }
    }
}

fn check_version(expected: i32, actual: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

/// Of the paths that the workload makes: ASCII without control characters.
fn is_valid(path: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(path) else { return false };
    text == "/"
        || text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !part.is_empty() && part != "." && part != ".."))
}
