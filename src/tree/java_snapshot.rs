//! The body of an Apache ZooKeeper snapshot: what SNAP sends to a learner, and the middle part of a snapshot file.
//!
//! Called by whoever serves or joins an ensemble with Apache servers in it, and by import and export; container, checksums
//! and digest are theirs. Format (file-formats.md §5, quorum-protocol.md §9): sessions, ACL lists under ids, nodes with
//! parents first, the path `/` as the end. The root's path is empty.
//!
//! **Writing** goes through the tree in bounded steps while writes go on, as our own snapshot does: `snapshot.rs` tells
//! how, and what is held in memory meanwhile. The lists come before the nodes, so the arena is gone through twice: once
//! to number the lists, once to write. Several streams may be under way.
//!
//! **Reading** takes bytes as they come. Nothing is believed: lengths are bounded before anything is stored, a parent
//! comes before its children, an error names the byte. A snapshot that a Java server made is fuzzy: the transactions
//! behind it repair it, not this; it may name ACL lists that it doesn't hold (`unlisted.rs`).
//!
//! Limits: a record has at most [`RECORD_BYTES_MAX`] bytes; what is buffered is one record and the bytes handed in.
//! Tested: java_snapshot_test.rs, and tests/java_snapshot.rs against the real server, both ways.

use std::fmt;
use std::sync::Arc;

use crate::base::{HashKey, KeyedHasher, Map, SessionId, Zxid, limits};
use crate::messages::AclRef;
use crate::wire::OwnedAcl;

use super::node::{Node, acl_ref};
use super::snapshot::{Progress, Record, Walk};
use super::store::{ROOT, Store};
use super::unlisted;

/// The open list isn't in the map.
const OPEN_ACL: i64 = -1;

/// A path with a znode's data, or one ACL list. ZooKeeper's own bound is `jute.maxbuffer` and something.
pub const RECORD_BYTES_MAX: usize = limits::FRAME_BYTES_MAX + (1 << 20);

// Writing.

/// Names a stream under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JavaStreamId(u64);

#[derive(Default)]
pub(super) struct JavaStreams {
    streams: Vec<Stream>,
    next: u64,
}

impl JavaStreams {
    pub fn walks(&mut self) -> impl Iterator<Item = &mut Walk> {
        self.streams.iter_mut().map(|stream| &mut stream.walk)
    }
}

struct Stream {
    id: JavaStreamId,
    walk: Walk,
    stage: Stage,
    sessions: Vec<(SessionId, i32)>,
    ids: Map<Arc<[OwnedAcl]>, i64>,
    /// In the order of their ids, from 1.
    lists: Vec<Arc<[OwnedAcl]>>,
}

/// How far it is: the next one to write or to look at.
#[derive(Clone, Copy)]
enum Stage {
    Sessions(usize),
    Numbering(u32),
    Lists(usize),
    Nodes,
}

impl Store {
    /// Begins to write the tree as it is now. Ends with the last piece, or with `abandon_java_snapshot`.
    pub fn begin_java_snapshot(&mut self, sessions: Vec<(SessionId, i32)>) -> JavaStreamId {
        let walk = Walk::begin(self.newest(), self.arena());
        let ids = Map::with_hasher(KeyedHasher(self.hash_key()));
        self.java_streams.next += 1;
        let id = JavaStreamId(self.java_streams.next);
        let stage = Stage::Sessions(0);
        self.java_streams.streams.push(Stream { id, walk, stage, sessions, ids, lists: vec![] });
        id
    }

    /// Appends the next piece to `chunk`: about `budget` sessions, lists or nodes and at most `bytes_max` bytes (one
    /// record may pass it). False when that was the last one; also for a stream that is over.
    pub fn continue_java_snapshot(
        &mut self,
        id: JavaStreamId,
        budget: usize,
        bytes_max: usize,
        chunk: &mut Vec<u8>,
    ) -> bool {
        let Some(at) = self.java_streams.streams.iter().position(|stream| stream.id == id) else {
            return false;
        };
        let mut stream = self.java_streams.streams.swap_remove(at);
        let more = stream.go_on(self, budget, bytes_max, chunk);
        if more {
            self.java_streams.streams.push(stream);
        }
        more
    }

    pub fn abandon_java_snapshot(&mut self, id: JavaStreamId) {
        self.java_streams.streams.retain(|stream| stream.id != id);
    }

    /// Pre-images held for all streams.
    pub fn kept_for_java_snapshots(&self) -> usize {
        self.java_streams.streams.iter().map(|stream| stream.walk.kept()).sum()
    }
}

impl Stream {
    fn go_on(&mut self, store: &Store, budget: usize, bytes_max: usize, chunk: &mut Vec<u8>) -> bool {
        let mut budget = budget;
        while budget > 0 && chunk.len() < bytes_max {
            match &mut self.stage {
                Stage::Sessions(at) => {
                    if *at == 0 {
                        chunk.extend_from_slice(&count(self.sessions.len()));
                    }
                    let Some((id, timeout_ms)) = self.sessions.get(*at) else {
                        self.sessions = vec![];
                        self.stage = Stage::Numbering(ROOT);
                        continue;
                    };
                    chunk.extend_from_slice(&id.0.to_be_bytes());
                    chunk.extend_from_slice(&timeout_ms.to_be_bytes());
                    *at += 1;
                }
                Stage::Numbering(slot) if *slot == self.walk.end() => self.stage = Stage::Lists(0),
                Stage::Numbering(slot) => {
                    if let Some(list) = self.walk.look(store.arena(), *slot).and_then(Node::acl)
                        && !self.ids.contains_key(&list)
                    {
                        self.ids.insert(list.clone(), self.lists.len() as i64 + 1);
                        self.lists.push(list);
                    }
                    *slot += 1;
                }
                Stage::Lists(at) => {
                    if *at == 0 {
                        chunk.extend_from_slice(&count(self.lists.len()));
                    }
                    let Some(list) = self.lists.get(*at) else {
                        self.lists = vec![];
                        self.stage = Stage::Nodes;
                        continue;
                    };
                    *at += 1;
                    chunk.extend_from_slice(&(*at as i64).to_be_bytes());
                    crate::wire::jute::encode_vector(chunk, list.iter().cloned());
                }
                Stage::Nodes => {
                    let ids = &self.ids;
                    let write = |node: &Node, chunk: &mut Vec<u8>| write_node(node, ids, chunk);
                    let more = self.walk.go_on(store.arena(), budget, bytes_max, chunk, write);
                    if !more {
                        sized(chunk, b"/");
                    }
                    return more;
                }
            }
            budget -= 1;
        }
        true
    }
}

fn count(count: usize) -> [u8; 4] {
    i32::try_from(count).expect("fewer than 2^31: each has a slot or a connection").to_be_bytes()
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    crate::wire::jute::encode_bytes(out, bytes);
}

fn write_node(node: &Node, ids: &Map<Arc<[OwnedAcl]>, i64>, out: &mut Vec<u8>) {
    let path = node.path.bytes();
    sized(out, if path == b"/" { b"" } else { path });
    match node.data() {
        Some(data) => sized(out, data),
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
    }
    let list = node.acl().map_or(OPEN_ACL, |list| ids[&list]);
    for value in [list, node.czxid, node.mzxid, node.ctime, node.mtime] {
        out.extend_from_slice(&value.to_be_bytes());
    }
    for value in [node.version, node.cversion, node.aversion()] {
        out.extend_from_slice(&value.to_be_bytes());
    }
    for value in [node.owner(), node.pzxid] {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

// Reading.

/// Why bytes are no snapshot of an Apache server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JavaSnapshotError {
    /// Of the record concerned, in bytes from the start of the body.
    pub offset: u64,
    pub what: String,
}

impl fmt::Display for JavaSnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a snapshot of Apache ZooKeeper, at byte {}: {}", self.offset, self.what)
    }
}

impl std::error::Error for JavaSnapshotError {}

/// What a whole body says beside its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JavaSnapshot {
    /// With their timeouts in ms.
    pub sessions: Vec<(SessionId, i32)>,
    pub bytes: u64,
    /// Some nodes' ACL lists are not in it: [`Store::unlisted`] until transactions have given them.
    pub lacks_lists: bool,
}

/// Loads a body into a tree that has nothing yet, not even a root.
pub struct JavaLoad {
    zxid: Zxid,
    expects: Expects,
    sessions: Vec<(SessionId, i32)>,
    lists: Map<i64, AclRef>,
    lacks_lists: bool,
    progress: Progress,
    /// The beginning of a record.
    buffer: Vec<u8>,
    /// No record ends before so many bytes of it are there.
    needs: usize,
    /// Of the record that comes next.
    offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    SessionCount,
    Sessions(u32),
    ListCount,
    Lists(u32),
    Nodes,
    Nothing,
}

/// A record can't be read.
enum Stop {
    /// Not before it has so many bytes.
    Short(usize),
    Wrong(String),
}

impl JavaLoad {
    /// `zxid`: as of when the tree is; from the file's name or the SNAP packet.
    pub fn new(zxid: Zxid, key: HashKey) -> JavaLoad {
        JavaLoad {
            zxid,
            expects: Expects::SessionCount,
            sessions: vec![],
            lists: Map::with_hasher(KeyedHasher(key)),
            lacks_lists: false,
            progress: Progress::default(),
            buffer: vec![],
            needs: 0,
            offset: 0,
        }
    }

    /// Takes the next bytes, as many as come. Gives back how many of them are the body's: fewer than were handed in only
    /// when it has ended.
    pub fn feed(&mut self, store: &mut Store, bytes: &[u8]) -> Result<usize, JavaSnapshotError> {
        if self.is_complete() {
            return Ok(0);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let before = buffer.len();
        let mut at = 0;
        // Without a copy where no record is under way.
        let whole = if before == 0 {
            bytes
        } else {
            buffer.extend_from_slice(bytes);
            &buffer[..]
        };
        while !self.is_complete() && whole.len() - at >= self.needs {
            let mut cursor = Cursor { bytes: &whole[at..], at: 0 };
            match self.take(store, &mut cursor) {
                Ok(()) => {
                    at += cursor.at;
                    self.offset += cursor.at as u64;
                    self.needs = 0;
                }
                Err(Stop::Short(needs)) => self.needs = needs,
                Err(Stop::Wrong(what)) => return Err(JavaSnapshotError { offset: self.offset, what }),
            }
        }
        if self.is_complete() {
            return Ok(at - before);
        }
        if before == 0 {
            buffer.extend_from_slice(&bytes[at..]);
        } else {
            buffer.drain(..at);
        }
        self.buffer = buffer;
        Ok(bytes.len())
    }

    /// The end mark was read.
    pub fn is_complete(&self) -> bool {
        self.expects == Expects::Nothing
    }

    /// No more bytes come. Parents learn how many children they have.
    pub fn finish(self, store: &mut Store) -> Result<JavaSnapshot, JavaSnapshotError> {
        let error = |what: &str| JavaSnapshotError { offset: self.offset, what: what.to_owned() };
        if !self.is_complete() {
            return Err(error("it ends in the middle"));
        }
        if store.find(b"/").is_none() {
            return Err(error("it has no root"));
        }
        for slot in 0..store.arena().slots() {
            let children = store.arena().latest(slot).and_then(Node::children).map_or(0, |bag| bag.len());
            if children > 0 {
                store.update(self.zxid, slot, |node| node.children_count = children as u32);
            }
        }
        store.set_newest(self.zxid);
        Ok(JavaSnapshot { sessions: self.sessions, bytes: self.offset, lacks_lists: self.lacks_lists })
    }

    /// One record, or nothing of it.
    fn take(&mut self, store: &mut Store, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        self.expects = match self.expects {
            Expects::SessionCount => sessions_or_next(cursor.count("sessions")?),
            Expects::Sessions(left) => {
                let id = SessionId(cursor.i64()?);
                let timeout_ms = cursor.i32()?;
                self.sessions.push((id, timeout_ms));
                sessions_or_next(left - 1)
            }
            Expects::ListCount => lists_or_next(cursor.count("ACL lists")?),
            Expects::Lists(left) => {
                let (id, list) = (cursor.i64()?, cursor.acl()?);
                if self.lists.insert(id, acl_ref(list)).is_some() {
                    return Err(Stop::Wrong(format!("two ACL lists have the id {id}")));
                }
                lists_or_next(left - 1)
            }
            Expects::Nodes => {
                let path =
                    cursor.sized("path")?.ok_or_else(|| Stop::Wrong("a node without a path".into()))?;
                if path == b"/" {
                    self.expects = Expects::Nothing;
                    return Ok(());
                }
                self.take_node(store, path, cursor)?;
                Expects::Nodes
            }
            Expects::Nothing => Expects::Nothing,
        };
        Ok(())
    }

    fn take_node<'a>(
        &mut self,
        store: &mut Store,
        path: &'a [u8],
        cursor: &mut Cursor<'a>,
    ) -> Result<(), Stop> {
        let wrong = |what: &str| Stop::Wrong(format!("{}: {what}", String::from_utf8_lossy(path)));
        let data = cursor.sized("data")?;
        let list = cursor.i64()?;
        let (czxid, mzxid, ctime, mtime) = (cursor.i64()?, cursor.i64()?, cursor.i64()?, cursor.i64()?);
        let (version, cversion, aversion) = (cursor.i32()?, cursor.i32()?, cursor.i32()?);
        let (owner, pzxid) = (cursor.i64()?, cursor.i64()?);
        let path = if path.is_empty() { b"/" } else { path };
        let is_first = store.nodes_count() == 0;
        if is_first != (path == b"/") {
            return Err(wrong(if is_first { "the root has to come first" } else { "the root comes twice" }));
        }
        let acl = match self.lists.get(&list) {
            Some(found) => found.clone(),
            None if list == OPEN_ACL => None,
            None => {
                self.lacks_lists = true;
                self.lists.entry(list).or_insert_with(|| unlisted::in_place_of(list)).clone()
            }
        };
        let (acl_of_record, children_count) = (vec![], 0);
        let record = Record {
            path,
            data,
            acl: acl_of_record,
            czxid,
            mzxid,
            pzxid,
            ctime,
            mtime,
            owner,
            version,
            cversion,
            aversion,
            children_count,
        };
        let loaded = store.load_with(self.zxid, &record, acl, &mut self.progress);
        loaded.map_err(|error| wrong(error.what))?;
        Ok(())
    }
}

fn sessions_or_next(left: u32) -> Expects {
    if left > 0 { Expects::Sessions(left) } else { Expects::ListCount }
}

fn lists_or_next(left: u32) -> Expects {
    if left > 0 { Expects::Lists(left) } else { Expects::Nodes }
}

/// Reads a record of which perhaps only the beginning is there.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at + count;
        if end > RECORD_BYTES_MAX {
            return Err(Stop::Wrong(format!("a record of more than {RECORD_BYTES_MAX} bytes")));
        }
        let taken = self.bytes.get(self.at..end).ok_or(Stop::Short(end))?;
        self.at = end;
        Ok(taken)
    }

    fn i32(&mut self) -> Result<i32, Stop> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    fn i64(&mut self) -> Result<i64, Stop> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes were taken")))
    }

    fn count(&mut self, of: &str) -> Result<u32, Stop> {
        let count = self.i32()?;
        u32::try_from(count).map_err(|_| Stop::Wrong(format!("{count} {of}")))
    }

    /// `None`: null.
    fn sized(&mut self, what: &str) -> Result<Option<&'a [u8]>, Stop> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length);
                let length = length.map_err(|_| Stop::Wrong(format!("a negative length of the {what}")))?;
                self.take(length).map(Some)
            }
        }
    }

    fn text(&mut self) -> Result<String, Stop> {
        let bytes = self.sized("ACL")?.ok_or_else(|| Stop::Wrong("a null in an ACL".into()))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Stop::Wrong("an ACL that is not UTF-8".into()))
    }

    fn acl(&mut self) -> Result<Vec<OwnedAcl>, Stop> {
        let count = self.count("entries of an ACL")?;
        if count == 0 {
            return Err(Stop::Wrong("an empty ACL list".into()));
        }
        let mut list = vec![];
        for _ in 0..count {
            list.push(OwnedAcl { perms: self.i32()?, scheme: self.text()?, id: self.text()? });
        }
        Ok(list)
    }
}

#[cfg(test)]
#[path = "java_snapshot_test.rs"]
mod tests;
