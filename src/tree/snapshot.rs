//! A consistent image of the tree at one zxid, taken while writes go on.
//!
//! The walk goes through the arena in slot order, a bounded number of nodes per call. A change to a node that the
//! walk hasn't reached yet first leaves its version behind ([`Walk::keep`]): at most one pre-image per node, gone as
//! soon as the walk has passed, and nothing pinned for readers. Parents come before children: a parent in a higher
//! slot is written early and remembered until the walk reaches it.
//!
//! Format of the payload (ours; the container with its checksums is `log::snapshot_file`), all integers big endian:
//!
//! | item | bytes |
//! |---|---|
//! | head | u64 zxid, u64 tree digest, u64 nodes, u32 sessions, then per session i64 id, i32 timeout in ms |
//! | node | u32 length of the path, path, i32 length of the data (-1: null), data, ACL, stat |
//! | ACL | u32 entries (0: open), per entry i32 permissions, u32 length, scheme, u32 length, id |
//! | stat | i64 czxid, mzxid, pzxid, ctime, mtime, owner, i32 version, cversion (stored), aversion, u32 children |
//!
//! Tested: snapshot_test.rs (walk under writes equals a copy taken at the start, every cut and flipped bit of a
//! payload), tests/sim (crash at every write).

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Path, SessionId, Zxid};
use crate::lockfree::Arena;
use crate::messages::AclRef;
use crate::wire::OwnedAcl as Acl;

use super::node::{Node, acl_ref, data_of};
use super::store::{ROOT, Store};

pub struct Walk {
    zxid: Zxid,
    /// Slots below are written.
    next: u32,
    end: u32,
    /// Slots at or above `next` written already, as somebody's parent.
    early: BTreeSet<u32>,
    kept: BTreeMap<u32, Node>,
}

impl Walk {
    /// Of the tree as it is now.
    pub(super) fn begin(zxid: Zxid, arena: &Arena<Node>) -> Walk {
        Walk { zxid, next: ROOT, end: arena.slots(), early: BTreeSet::new(), kept: BTreeMap::new() }
    }

    /// The node in `slot` as the image has it, before the walk has come to it.
    pub(super) fn look<'a>(&'a self, arena: &'a Arena<Node>, slot: u32) -> Option<&'a Node> {
        self.kept.get(&slot).or_else(|| in_image(arena, slot, self.zxid))
    }

    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Writes nodes, each behind its parent, until the budget of slots is used up, `chunk` has its bytes, or all are
    /// written: then false.
    pub(super) fn go_on(
        &mut self,
        arena: &Arena<Node>,
        budget: usize,
        bytes_max: usize,
        chunk: &mut Vec<u8>,
        mut write: impl FnMut(&Node, &mut Vec<u8>),
    ) -> bool {
        let mut visited = 0;
        while self.next < self.end && visited < budget && chunk.len() < bytes_max {
            let slot = self.next;
            write_with_parents(arena, self, slot, chunk, &mut write);
            self.early.remove(&slot);
            self.next += 1;
            visited += 1;
        }
        debug_assert!(self.next < self.end || self.kept.is_empty() && self.early.is_empty());
        self.next < self.end
    }

    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Called before `slot` gets a new version.
    pub(super) fn keep(&mut self, slot: u32, arena: &Arena<Node>) {
        if slot < self.next || slot >= self.end || self.early.contains(&slot) || self.kept.contains_key(&slot)
        {
            return;
        }
        if let Some(node) = in_image(arena, slot, self.zxid) {
            self.kept.insert(slot, node.clone());
        }
    }
}

/// The newest version of the slot, if the image at `zxid` contains it.
fn in_image(arena: &Arena<Node>, slot: u32, zxid: Zxid) -> Option<&Node> {
    let node = arena.latest(slot)?;
    let since = arena.latest_since(slot)?;
    (since <= zxid.version() && node.is_alive()).then_some(node)
}

impl Store {
    /// Starts an image of the tree as it is now and returns its head. One at a time.
    pub fn begin_snapshot(&mut self, sessions: &[(SessionId, i32)]) -> Vec<u8> {
        assert!(self.walk.is_none(), "one snapshot at a time");
        let zxid = self.newest();
        self.walk = Some(Walk::begin(zxid, self.arena()));
        let mut head = Vec::with_capacity(28 + sessions.len() * 12);
        head.extend_from_slice(&zxid.0.to_be_bytes());
        head.extend_from_slice(&self.digest().to_be_bytes());
        head.extend_from_slice(&self.nodes_count().to_be_bytes());
        head.extend_from_slice(&(sessions.len() as u32).to_be_bytes());
        for (id, timeout_ms) in sessions {
            head.extend_from_slice(&id.0.to_be_bytes());
            head.extend_from_slice(&timeout_ms.to_be_bytes());
        }
        head
    }

    /// Appends the next nodes to `chunk`, about `budget` slots' worth and at most `bytes_max` (one node may pass it).
    /// False when the image is complete.
    pub fn continue_snapshot(&mut self, budget: usize, bytes_max: usize, chunk: &mut Vec<u8>) -> bool {
        let Some(mut walk) = self.walk.take() else { return false };
        let more = walk.go_on(self.arena(), budget, bytes_max, chunk, write_node);
        self.walk = more.then_some(walk);
        more
    }

    pub fn abandon_snapshot(&mut self) {
        self.walk = None;
    }

    /// Pre-images held for the running snapshot.
    pub fn kept_for_snapshot(&self) -> usize {
        self.walk.as_ref().map_or(0, |walk| walk.kept.len())
    }

    /// Puts one node of a snapshot into an empty or partly loaded tree. Its parent must have come before.
    pub fn load(
        &mut self,
        zxid: Zxid,
        mut record: Record<'_>,
        progress: &mut Progress,
    ) -> Result<(), LoadError> {
        let acl = acl_ref(std::mem::take(&mut record.acl));
        self.load_with(zxid, &record, acl, progress).map(|_| ())
    }

    /// The same under an ACL that others share; the record's isn't looked at.
    pub(super) fn load_with(
        &mut self,
        zxid: Zxid,
        record: &Record<'_>,
        acl: AclRef,
        progress: &mut Progress,
    ) -> Result<u32, LoadError> {
        let fault = |what| LoadError { what, path: String::from_utf8_lossy(record.path).into_owned() };
        if !super::path::is_valid(record.path) || record.children_count >= 1 << 31 {
            return Err(fault("not a valid node"));
        }
        let parent = match crate::base::parent(record.path) {
            None => ROOT,
            Some(parent) if progress.parent_path == parent => progress.parent,
            Some(parent) => {
                progress.parent = self.find(parent).ok_or_else(|| fault("the parent is not before it"))?.0;
                progress.parent_path.clear();
                progress.parent_path.extend_from_slice(parent);
                progress.parent
            }
        };
        let birth = super::node::Birth { zxid, time: 0, owner: record.owner };
        let mut node = Node::new(Path::new(record.path), data_of(record.data), acl, birth, parent);
        node.czxid = record.czxid;
        node.mzxid = record.mzxid;
        node.pzxid = record.pzxid;
        node.ctime = record.ctime;
        node.mtime = record.mtime;
        node.version = record.version;
        node.cversion = record.cversion;
        node.set_aversion(record.aversion);
        node.children_count = record.children_count;
        let slot = self.adopt(zxid, node).ok_or_else(|| fault("the node is there twice"))?;
        self.quota_loaded(record.path);
        if record.children_count > 0 {
            progress.parents.push(slot);
            progress.children += u64::from(record.children_count);
        }
        Ok(slot)
    }

    /// After the last node: does the tree agree with the head, and every node with its children?
    pub fn check_loaded(&self, head: &Head, progress: &Progress) -> Result<(), LoadError> {
        let fault = |what: &'static str, path: &Path| LoadError { what, path: path.to_string() };
        let root = self.find(b"/").ok_or(LoadError { what: "there is no root", path: "/".into() })?.1;
        if self.nodes_count() != head.nodes {
            return Err(fault("the number of nodes differs from the head's", &root.path));
        }
        if self.digest() != head.digest {
            return Err(fault("the tree digest differs from the head's", &root.path));
        }
        // Every node but the root is somebody's child: if those that say they have children have as many, and these are
        // all there are, nobody else has any.
        if progress.children != head.nodes - 1 {
            return Err(fault("the sum of all children differs from the number of nodes", &root.path));
        }
        for &slot in &progress.parents {
            let node = self.node(slot);
            if node.children().map_or(0, |bag| bag.len()) != node.children_count as usize {
                return Err(fault("the number of children differs from the node's", &node.path));
            }
        }
        Ok(())
    }
}

/// How far loading a snapshot is.
#[derive(Debug, Default)]
pub struct Progress {
    parent_path: Vec<u8>,
    parent: u32,
    /// Slots of nodes that say they have children.
    parents: Vec<u32>,
    /// How many they say they have.
    children: u64,
}

fn write_with_parents(
    arena: &Arena<Node>,
    walk: &mut Walk,
    slot: u32,
    chunk: &mut Vec<u8>,
    write: &mut impl FnMut(&Node, &mut Vec<u8>),
) {
    // The chain of ancestors that are still to be written, nearest first; nearly always empty.
    let mut ahead = vec![];
    let mut at = slot;
    while !walk.early.contains(&at) {
        let kept = walk.kept.get(&at);
        let Some(node) = kept.or_else(|| in_image(arena, at, walk.zxid)) else { break };
        let parent = node.parent;
        ahead.push(at);
        if parent == at || parent < walk.next {
            break;
        }
        at = parent;
    }
    for at in ahead.into_iter().rev() {
        match walk.kept.remove(&at) {
            Some(node) => write(&node, chunk),
            None => write(in_image(arena, at, walk.zxid).expect("looked at just now"), chunk),
        }
        walk.early.insert(at);
    }
}

fn write_node(node: &Node, out: &mut Vec<u8>) {
    let bytes = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    bytes(out, node.path.bytes());
    match node.data() {
        Some(data) => bytes(out, data),
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
    }
    let acl = node.acl_entries().unwrap_or_default();
    out.extend_from_slice(&(acl.len() as u32).to_be_bytes());
    for entry in acl {
        out.extend_from_slice(&entry.perms.to_be_bytes());
        bytes(out, entry.scheme.as_bytes());
        bytes(out, entry.id.as_bytes());
    }
    for value in [node.czxid, node.mzxid, node.pzxid, node.ctime, node.mtime, node.owner()] {
        out.extend_from_slice(&value.to_be_bytes());
    }
    for value in [node.version, node.cversion, node.aversion()] {
        out.extend_from_slice(&value.to_be_bytes());
    }
    out.extend_from_slice(&node.children_count.to_be_bytes());
}

/// What a snapshot begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub zxid: Zxid,
    pub digest: u64,
    pub nodes: u64,
    pub sessions: Vec<(SessionId, i32)>,
}

/// One node as a snapshot holds it.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    pub path: &'a [u8],
    pub data: Option<&'a [u8]>,
    pub acl: Vec<Acl>,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub owner: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub children_count: u32,
}

/// A snapshot whose checksums are right and whose content is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    pub what: &'static str,
    /// The node concerned; empty where not even its path can be read.
    pub path: String,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            f.write_str(self.what)
        } else {
            write!(f, "{} (at {})", self.what, self.path)
        }
    }
}

impl Head {
    pub fn decode(bytes: &[u8]) -> Result<(Head, &[u8]), LoadError> {
        let mut cursor = Cursor(bytes);
        let (zxid, digest, nodes) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let count = cursor.u32()?;
        let sessions = (0..count)
            .map(|_| Ok((SessionId(cursor.i64()?), cursor.i32()?)))
            .collect::<Result<_, LoadError>>()?;
        Ok((Head { zxid: Zxid(zxid as i64), digest, nodes, sessions }, cursor.0))
    }
}

impl<'a> Record<'a> {
    /// The first record of `bytes`, and what is behind it.
    pub fn decode(bytes: &'a [u8]) -> Result<(Record<'a>, &'a [u8]), LoadError> {
        let mut cursor = Cursor(bytes);
        let path = cursor.sized()?;
        let record = Record::decode_node(path, &mut cursor)
            .map_err(|error| LoadError { path: String::from_utf8_lossy(path).into_owned(), ..error })?;
        Ok((record, cursor.0))
    }

    fn decode_node(path: &'a [u8], cursor: &mut Cursor<'a>) -> Result<Record<'a>, LoadError> {
        let data = match cursor.u32()? {
            u32::MAX => None,
            length => Some(cursor.take(length as usize)?),
        };
        let mut acl = vec![];
        for _ in 0..cursor.u32()? {
            let perms = cursor.u32()? as i32;
            acl.push(Acl { perms, scheme: cursor.text()?, id: cursor.text()? });
        }
        if acl.is_empty() {
            acl.push(Acl::new(crate::wire::acl::perms::ALL, "world", "anyone"));
        }
        // Fields are read in the order in which they are written here.
        Ok(Record {
            path,
            data,
            acl,
            czxid: cursor.i64()?,
            mzxid: cursor.i64()?,
            pzxid: cursor.i64()?,
            ctime: cursor.i64()?,
            mtime: cursor.i64()?,
            owner: cursor.i64()?,
            version: cursor.i32()?,
            cversion: cursor.i32()?,
            aversion: cursor.i32()?,
            children_count: cursor.u32()?,
        })
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], LoadError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(LoadError { what: "a record ends in the middle", path: String::new() })?;
        self.0 = rest;
        Ok(taken)
    }

    fn sized(&mut self) -> Result<&'a [u8], LoadError> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, LoadError> {
        let bytes = self.sized()?.to_vec();
        String::from_utf8(bytes)
            .map_err(|_| LoadError { what: "an ACL that is not UTF-8", path: String::new() })
    }

    fn u32(&mut self) -> Result<u32, LoadError> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    fn u64(&mut self) -> Result<u64, LoadError> {
        Ok(u64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes were taken")))
    }

    fn i32(&mut self) -> Result<i32, LoadError> {
        self.u32().map(|value| value as i32)
    }

    fn i64(&mut self) -> Result<i64, LoadError> {
        self.u64().map(|value| value as i64)
    }
}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod tests;
