//! What the tree should be: naive, and written from the specification, not from room `tree`.
//!
//! Every path keeps all its states with the zxid of each, so that any reply can be checked against the state of the
//! zxid that it is stamped with. Requests are decided once more in `decide.rs`, in zxid order.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{SessionId, WallMillis, Zxid};
use crate::wire::{ErrorCode, OwnedAcl, Stat};

use super::identity::{self, Acl};

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Created {
        path: Vec<u8>,
        stat: Stat,
        /// In a multi the reply says by its type whether it carries the Stat.
        with_stat: bool,
    },
    Deleted,
    Changed(Stat),
    Checked,
    /// Of each part; all of them errors, or none.
    Multi(Vec<Outcome>),
    SessionOpened,
    /// With the ephemerals that go with it, in path order.
    SessionClosed(Vec<Vec<u8>>),
    Error(ErrorCode),
    /// The session is over: which of the two codes says so depends on what the server still knows.
    NoSession,
}

impl Outcome {
    /// Does it change anything, or tell more than a refusal?
    pub fn has_effect(&self) -> bool {
        match self {
            Outcome::Error(_) | Outcome::NoSession => false,
            Outcome::Multi(outcomes) => outcomes.iter().any(Outcome::has_effect),
            _ => true,
        }
    }
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
    /// Who may read the node, and its parent, is told.
    pub acl: Acl,
    pub parent_acl: Acl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Persistent,
    Ephemeral(SessionId),
    Container,
    /// Milliseconds without a write.
    Ttl(i64),
}

impl Kind {
    /// As it is kept in the place of the owner.
    fn encoded(self) -> i64 {
        match self {
            Kind::Persistent => 0,
            Kind::Ephemeral(session) => session.0,
            Kind::Container => i64::MIN,
            Kind::Ttl(ms) => (0xff << 56) | ms,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub data: Option<Vec<u8>>,
    pub acl: Acl,
    pub kind: Kind,
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

impl Node {
    pub fn born(zxid: Zxid, time: WallMillis) -> Node {
        Node {
            data: None,
            acl: None,
            kind: Kind::Persistent,
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

    pub fn owner(&self) -> SessionId {
        match self.kind {
            Kind::Ephemeral(session) => session,
            Kind::Persistent | Kind::Container | Kind::Ttl(_) => SessionId::NONE,
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
            ephemeral_owner: self.owner(),
            data_length: self.data.as_ref().map_or(0, Vec::len) as i32,
            num_children: children,
            pzxid: self.pzxid,
        }
    }
}

#[derive(Clone, Debug)]
pub struct SessionLife {
    pub opened: Zxid,
    pub closed: Option<Zxid>,
}

/// What the operator has set and the outcome of requests depends on.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub extended_types: bool,
    /// Milliseconds after which a container goes that never had a child; `None`: it stays.
    pub never_used_ms: Option<i64>,
}

pub struct Model {
    pub rules: Rules,
    nodes: BTreeMap<Vec<u8>, Vec<(Zxid, Option<Node>)>>,
    pub sessions: BTreeMap<SessionId, SessionLife>,
    /// Of each transaction.
    pub(super) changes: Vec<Vec<Change>>,
}

impl Model {
    pub fn new(rules: Rules) -> Model {
        let mut model =
            Model { rules, nodes: BTreeMap::new(), sessions: BTreeMap::new(), changes: vec![vec![]] };
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
            node.acl = identity::stored(vec![OwnedAcl::new(identity::READ, "world", "anyone")]);
            node.aversion = -1;
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

    pub(super) fn now(&self, path: &[u8]) -> Option<&Node> {
        self.node(path, Zxid(i64::MAX))
    }

    pub(super) fn put(&mut self, path: &[u8], zxid: Zxid, node: Option<Node>) {
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
        self.forget_nodes(last);
        self.sessions.retain(|_, life| {
            life.closed = life.closed.filter(|closed| *closed <= last);
            life.opened <= last
        });
        self.changes.truncate(last.0 as usize + 1);
    }

    /// Takes back what later transactions made of the nodes.
    pub(super) fn forget_nodes(&mut self, last: Zxid) {
        self.nodes.retain(|_, states| {
            states.truncate(states.partition_point(|(since, _)| *since <= last));
            !states.is_empty()
        });
    }

    pub fn is_alive(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|life| life.closed.is_none())
    }

    /// Ephemerals of a session as of `at`, in path order.
    pub fn ephemerals(&self, session: SessionId, at: Zxid) -> Vec<Vec<u8>> {
        let owned = self.all(at).filter(|(_, node)| node.kind == Kind::Ephemeral(session));
        owned.map(|(path, _)| path.to_vec()).collect()
    }

    /// Nodes below `path`.
    pub fn descendants(&self, path: &[u8], at: Zxid) -> usize {
        let below = |other: &[u8]| match path {
            b"/" => other != b"/",
            path => other.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/")),
        };
        self.all(at).filter(|(other, _)| below(other)).count()
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
            bytes.extend_from_slice(&node.kind.encoded().to_be_bytes());
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

pub fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

#[cfg(test)]
#[path = "model_test.rs"]
mod tests;
