//! A consistent image of the tree at one zxid, taken while writes go on.
//!
//! How the tree is walked through meanwhile: [`Walk`]. Parents come before children.
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

use crate::base::{Path, SessionId, Zxid};
use crate::messages::AclRef;
use crate::wire::OwnedAcl as Acl;

use super::node::{Node, acl_ref, data_of};
use super::store::{ROOT, Store};
use super::walk::Walk;

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

    /// Appends the next nodes to `chunk`, about `budget` slots' worth and at most `bytes_max` (one node may pass it), behind what was
    /// written ahead.
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
        self.walk.as_ref().map_or(0, Walk::kept)
    }

    /// How much may be written for it ahead.
    pub fn bound_ahead_of_snapshot(&mut self, bytes: usize) {
        if let Some(walk) = &mut self.walk {
            walk.bound_ahead(bytes);
        }
    }

    /// Bytes written for it that nobody has fetched.
    pub fn ahead_of_snapshot(&self) -> usize {
        self.walk.as_ref().map_or(0, Walk::ahead_bytes)
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

pub(super) fn write_node(node: &Node, out: &mut Vec<u8>) {
    let (path, data) = (node.path.bytes(), node.data());
    let acl = node.acl_entries().unwrap_or_default();
    out.reserve(path.len() + node.data_bytes() + 12 + STAT_BYTES);
    sized(path, out);
    match data {
        Some(data) => sized(data, out),
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
    }
    out.extend_from_slice(&(acl.len() as u32).to_be_bytes());
    for entry in acl {
        out.extend_from_slice(&entry.perms.to_be_bytes());
        sized(entry.scheme.as_bytes(), out);
        sized(entry.id.as_bytes(), out);
    }
    let mut stat = [0; STAT_BYTES];
    let longs = [node.czxid, node.mzxid, node.pzxid, node.ctime, node.mtime, node.owner()];
    for (room, value) in stat.chunks_exact_mut(8).zip(longs) {
        room.copy_from_slice(&value.to_be_bytes());
    }
    let ints = [node.version as u32, node.cversion as u32, node.aversion() as u32, node.children_count];
    for (room, value) in stat[48..].chunks_exact_mut(4).zip(ints) {
        room.copy_from_slice(&value.to_be_bytes());
    }
    out.extend_from_slice(&stat);
}

/// Of what the table above calls stat.
const STAT_BYTES: usize = 64;

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
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
