//! What the tree should be: naive, and written from the specification, not from room `tree`.
//!
//! Every path keeps all its states with the zxid of each, so that any reply can be checked against the state of the
//! zxid that it is stamped with. Requests are decided here once more, in zxid order; what the server logged must agree.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{SessionId, WallMillis, Zxid};
use crate::wire::{ErrorCode, Stat};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Create { path: Vec<u8>, data: Option<Vec<u8>>, perms: i32, flags: i32, two: bool },
    Delete { path: Vec<u8>, version: i32 },
    SetData { path: Vec<u8>, data: Option<Vec<u8>>, version: i32 },
    SetAcl { path: Vec<u8>, perms: i32, version: i32 },
    CloseSession,
    Exists { path: Vec<u8>, watch: bool },
    GetData { path: Vec<u8>, watch: bool },
    GetChildren { path: Vec<u8>, watch: bool, two: bool },
    GetAcl { path: Vec<u8> },
    Sync { path: Vec<u8> },
    Ping,
}

impl Operation {
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Operation::Create { .. }
                | Operation::Delete { .. }
                | Operation::SetData { .. }
                | Operation::SetAcl { .. }
                | Operation::CloseSession
        )
    }
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Created {
        path: Vec<u8>,
        stat: Stat,
    },
    Deleted,
    Changed(Stat),
    SessionOpened,
    /// With the ephemerals that go with it, in path order.
    SessionClosed(Vec<Vec<u8>>),
    Error(ErrorCode),
    /// The session is over: which of the two codes says so depends on what the server still knows.
    NoSession,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Created,
    Deleted,
    Changed,
}

/// One changed node, for the watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub event: Event,
    pub path: Vec<u8>,
    /// May everybody read the node, and its parent?
    pub readable: bool,
    pub parent_readable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub data: Option<Vec<u8>>,
    /// Of world:anyone, the only identity used.
    pub perms: i32,
    pub owner: SessionId,
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub pzxid: Zxid,
    pub ctime: WallMillis,
    pub mtime: WallMillis,
    pub version: i32,
    /// Creations of children.
    pub cversion: i32,
    pub aversion: i32,
    pub children: BTreeSet<Vec<u8>>,
}

pub const READ: i32 = 1;
pub const WRITE: i32 = 2;
pub const CREATE: i32 = 4;
pub const DELETE: i32 = 8;
pub const ADMIN: i32 = 16;
pub const ALL: i32 = 31;

impl Node {
    fn born(zxid: Zxid, time: WallMillis) -> Node {
        Node {
            data: None,
            perms: ALL,
            owner: SessionId::NONE,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            version: 0,
            cversion: 0,
            aversion: 0,
            children: BTreeSet::new(),
        }
    }

    pub fn stat(&self) -> Stat {
        let children = self.children.len() as i32;
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: 2 * self.cversion - children,
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            data_length: self.data.as_ref().map_or(0, Vec::len) as i32,
            num_children: children,
            pzxid: self.pzxid,
        }
    }

    fn may(&self, perm: i32) -> bool {
        self.perms & perm != 0
    }
}

#[derive(Clone, Debug)]
pub struct SessionLife {
    pub opened: Zxid,
    pub closed: Option<Zxid>,
}

pub struct Model {
    nodes: BTreeMap<Vec<u8>, Vec<(Zxid, Option<Node>)>>,
    pub sessions: BTreeMap<SessionId, SessionLife>,
    changes: Vec<Vec<Change>>,
}

type Denied = Result<Outcome, ErrorCode>;

impl Model {
    pub fn new() -> Model {
        let mut model = Model { nodes: BTreeMap::new(), sessions: BTreeMap::new(), changes: vec![vec![]] };
        let mut add = |path: &[u8], data: Option<&[u8]>, children: &[&str]| {
            let mut node = Node::born(Zxid::ZERO, WallMillis(0));
            node.data = data.map(<[u8]>::to_vec);
            node.children = children.iter().map(|name| name.as_bytes().to_vec()).collect();
            model.nodes.insert(path.to_vec(), vec![(Zxid::ZERO, Some(node))]);
        };
        add(b"/", Some(b""), &["zookeeper"]);
        add(b"/zookeeper", Some(b""), &["config", "quota"]);
        add(b"/zookeeper/quota", Some(b""), &[]);
        add(b"/zookeeper/config", Some(b""), &[]);
        if let Some(config) = model.nodes.get_mut(&b"/zookeeper/config"[..])
            && let Some((_, Some(node))) = config.first_mut()
        {
            (node.perms, node.aversion) = (READ, -1);
        }
        model
    }

    /// The node at `path` as of `at`.
    pub fn node(&self, path: &[u8], at: Zxid) -> Option<&Node> {
        let path = if path.is_empty() { b"/" } else { path };
        let states = self.nodes.get(path)?;
        let index = states.partition_point(|(since, _)| *since <= at);
        states[..index].last()?.1.as_ref()
    }

    fn now(&self, path: &[u8]) -> Option<&Node> {
        self.node(path, Zxid(i64::MAX))
    }

    fn put(&mut self, path: &[u8], zxid: Zxid, node: Option<Node>) {
        let states = self.nodes.entry(path.to_vec()).or_default();
        match states.last_mut() {
            Some((since, state)) if *since == zxid => *state = node,
            _ => states.push((zxid, node)),
        }
    }

    /// Everything alive as of `at`, in path order.
    pub fn all(&self, at: Zxid) -> impl Iterator<Item = (&[u8], &Node)> {
        self.nodes.keys().filter_map(move |path| Some((path.as_slice(), self.node(path, at)?)))
    }

    pub fn last(&self) -> Zxid {
        Zxid(self.changes.len() as i64 - 1)
    }

    /// What the transaction `zxid` changed, in the order of the events.
    pub fn changes(&self, zxid: Zxid) -> &[Change] {
        &self.changes[zxid.0 as usize]
    }

    /// Forgets everything later: it was lost with a crash, as nobody was told of it.
    pub fn truncate(&mut self, last: Zxid) {
        self.nodes.retain(|_, states| {
            states.retain(|(since, _)| *since <= last);
            !states.is_empty()
        });
        self.sessions.retain(|_, life| {
            life.closed = life.closed.filter(|closed| *closed <= last);
            life.opened <= last
        });
        self.changes.truncate(last.0 as usize + 1);
    }

    pub fn is_alive(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|life| life.closed.is_none())
    }

    /// The next transaction: a new session.
    pub fn open_session(&mut self, session: SessionId) -> Outcome {
        let zxid = self.last().next();
        self.changes.push(vec![]);
        self.sessions.insert(session, SessionLife { opened: zxid, closed: None });
        Outcome::SessionOpened
    }

    /// The next transaction: what the request does, if the server is right.
    pub fn decide(&mut self, session: SessionId, time: WallMillis, operation: &Operation) -> Outcome {
        let zxid = self.last().next();
        let alive = self.is_alive(session);
        let mut changes = vec![];
        let outcome = match operation {
            Operation::Create { path, data, perms, flags, .. } => {
                let owner = if matches!(flags, 1 | 3) { session } else { SessionId::NONE };
                let sequential = matches!(flags, 2 | 3);
                self.create(zxid, time, alive, owner, sequential, (path, data, *perms), &mut changes)
            }
            Operation::Delete { path, version } => self.delete(zxid, alive, path, *version, &mut changes),
            Operation::SetData { path, data, version } => {
                self.set_data(zxid, time, alive, path, data, *version, &mut changes)
            }
            Operation::SetAcl { path, perms, version } => self.set_acl(zxid, alive, path, *perms, *version),
            Operation::CloseSession if alive => Ok(self.close(zxid, session, &mut changes)),
            Operation::CloseSession => Ok(Outcome::NoSession),
            read => unreachable!("{read:?} is no write"),
        };
        self.changes.push(changes);
        outcome.unwrap_or_else(Outcome::Error)
    }

    #[expect(clippy::too_many_arguments)]
    fn create(
        &mut self,
        zxid: Zxid,
        time: WallMillis,
        alive: bool,
        owner: SessionId,
        sequential: bool,
        (path, data, perms): (&[u8], &Option<Vec<u8>>, i32),
        changes: &mut Vec<Change>,
    ) -> Denied {
        if !alive {
            return Ok(Outcome::NoSession);
        }
        let slash = path.iter().rposition(|b| *b == b'/').ok_or(ErrorCode::BadArguments)?;
        if perms == 0 {
            return Err(ErrorCode::InvalidACL); // stands for the empty list
        }
        let parent_path = if slash == 0 { b"/" } else { &path[..slash] };
        let mut parent = self.now(parent_path).ok_or(ErrorCode::NoNode)?.clone();
        if !parent.may(CREATE) {
            return Err(ErrorCode::NoAuth);
        }
        let mut path = path.to_vec();
        if sequential {
            path.extend_from_slice(format!("{:010}", parent.cversion).as_bytes());
        }
        if !is_valid(&path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.now(&path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if parent.owner != SessionId::NONE {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let node = Node { data: data.clone(), perms, owner, ..Node::born(zxid, time) };
        let stat = node.stat();
        changes.push(Change {
            event: Event::Created,
            path: path.clone(),
            readable: node.may(READ),
            parent_readable: parent.may(READ),
        });
        parent.cversion += 1;
        parent.pzxid = zxid;
        parent.children.insert(path[slash + 1..].to_vec());
        self.put(parent_path, zxid, Some(parent));
        self.put(&path, zxid, Some(node));
        Ok(Outcome::Created { path, stat })
    }

    fn delete(
        &mut self,
        zxid: Zxid,
        alive: bool,
        path: &[u8],
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Denied {
        if !alive {
            return Ok(Outcome::NoSession);
        }
        let special: [&[u8]; 4] = [b"/", b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/config"];
        if !path.contains(&b'/') || special.contains(&path) {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.now(parent(path)).ok_or(ErrorCode::NoNode)?;
        if !parent.may(DELETE) {
            return Err(ErrorCode::NoAuth);
        }
        let node = self.now(path).ok_or(ErrorCode::NoNode)?;
        check_version(version, node.version)?;
        if !node.children.is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(zxid, path, changes);
        Ok(Outcome::Deleted)
    }

    fn remove(&mut self, zxid: Zxid, path: &[u8], changes: &mut Vec<Change>) {
        let parent_path = parent(path);
        let (Some(node), Some(parent)) = (self.now(path), self.now(parent_path)) else { return };
        let mut parent = parent.clone();
        changes.push(Change {
            event: Event::Deleted,
            path: path.to_vec(),
            readable: node.may(READ),
            parent_readable: parent.may(READ),
        });
        parent.pzxid = zxid;
        parent.children.remove(name(path));
        self.put(parent_path, zxid, Some(parent));
        self.put(path, zxid, None);
    }

    #[expect(clippy::too_many_arguments)]
    fn set_data(
        &mut self,
        zxid: Zxid,
        time: WallMillis,
        alive: bool,
        path: &[u8],
        data: &Option<Vec<u8>>,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Denied {
        if !alive {
            return Ok(Outcome::NoSession);
        }
        if !is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let mut node = self.now(path).ok_or(ErrorCode::NoNode)?.clone();
        if !node.may(WRITE) {
            return Err(ErrorCode::NoAuth);
        }
        check_version(version, node.version)?;
        node.data = data.clone();
        node.version += 1;
        node.mzxid = zxid;
        node.mtime = time;
        let stat = node.stat();
        let readable = node.may(READ);
        changes.push(Change { event: Event::Changed, path: path.to_vec(), readable, parent_readable: true });
        self.put(path, zxid, Some(node));
        Ok(Outcome::Changed(stat))
    }

    fn set_acl(&mut self, zxid: Zxid, alive: bool, path: &[u8], perms: i32, version: i32) -> Denied {
        if !alive {
            return Ok(Outcome::NoSession);
        }
        if !is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        if perms == 0 {
            return Err(ErrorCode::InvalidACL);
        }
        let mut node = self.now(path).ok_or(ErrorCode::NoNode)?.clone();
        if !node.may(ADMIN) {
            return Err(ErrorCode::NoAuth);
        }
        check_version(version, node.aversion)?;
        node.perms = perms;
        node.aversion += 1;
        let stat = node.stat();
        self.put(path, zxid, Some(node));
        Ok(Outcome::Changed(stat))
    }

    /// Ephemerals of a session, in path order.
    pub fn ephemerals(&self, session: SessionId) -> Vec<Vec<u8>> {
        let owned = self.all(Zxid(i64::MAX)).filter(|(_, node)| node.owner == session);
        owned.map(|(path, _)| path.to_vec()).collect()
    }

    fn close(&mut self, zxid: Zxid, session: SessionId, changes: &mut Vec<Change>) -> Outcome {
        let paths = self.ephemerals(session);
        for path in &paths {
            self.remove(zxid, path, changes);
        }
        if let Some(life) = self.sessions.get_mut(&session) {
            life.closed = Some(zxid);
        }
        Outcome::SessionClosed(paths)
    }

    /// The tree digest, version 2 (file-formats.md §4), from scratch.
    pub fn digest(&self, at: Zxid) -> u64 {
        let mut sum = 0u64;
        for (path, node) in self.all(at) {
            if path.starts_with(b"/zookeeper/") {
                continue;
            }
            let mut bytes = if path == b"/" { vec![] } else { path.to_vec() };
            bytes.extend_from_slice(node.data.as_deref().unwrap_or_default());
            for long in [node.czxid.0, node.mzxid.0, node.pzxid.0, node.ctime.0, node.mtime.0] {
                bytes.extend_from_slice(&long.to_be_bytes());
            }
            for int in [node.version, node.cversion, node.aversion] {
                bytes.extend_from_slice(&int.to_be_bytes());
            }
            bytes.extend_from_slice(&node.owner.0.to_be_bytes());
            sum = sum.wrapping_add(u64::from(crc32fast::hash(&bytes)));
        }
        sum
    }
}

pub fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|b| *b == b'/') {
        None | Some(0) => b"/",
        Some(slash) => &path[..slash],
    }
}

fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_fresh_tree_is_the_specifications() {
        assert_eq!(Model::new().digest(Zxid::ZERO), 0x51C6_D660);
    }

    #[test]
    fn a_state_can_be_asked_for_at_every_zxid() {
        let mut model = Model::new();
        let session = SessionId(7);
        model.open_session(session);
        let create = Operation::Create { path: b"/a".to_vec(), data: None, perms: ALL, flags: 1, two: false };
        assert!(matches!(model.decide(session, WallMillis(5), &create), Outcome::Created { .. }));
        assert_eq!(model.decide(session, WallMillis(5), &create), Outcome::Error(ErrorCode::NodeExists));
        let closed = model.decide(session, WallMillis(6), &Operation::CloseSession);
        assert_eq!(closed, Outcome::SessionClosed(vec![b"/a".to_vec()]));
        assert_eq!(model.decide(session, WallMillis(6), &create), Outcome::NoSession);
        assert!(model.node(b"/a", Zxid(1)).is_none());
        assert!(model.node(b"/a", Zxid(2)).is_some() && model.node(b"/a", Zxid(3)).is_some());
        assert!(model.node(b"/a", Zxid(4)).is_none());
        model.truncate(Zxid(3));
        assert!(model.is_alive(session) && model.last() == Zxid(3));
        assert_eq!(model.digest(Zxid(1)), 0x51C6_D660);
    }
}
