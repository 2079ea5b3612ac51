//! Reading the body of an Apache ZooKeeper snapshot (`java_snapshot.rs` tells the format, and writes it).
//!
//! Takes bytes as they come. Nothing is believed: lengths are bounded before anything is stored, a parent comes before its
//! children, an error names the byte. A snapshot that a Java server made is fuzzy: the transactions behind it repair it, not
//! this. ACL lists that it names and doesn't hold have a stand-in until those come (`unlisted.rs`). Statistics of quotas they
//! don't repair: those are counted from the tree, as `DataTree.setupQuota` does, where a node is later than the snapshot.
//!
//! Texts are what Java reads there (`wire::java_text`): it writes a character beyond U+FFFF as two that nobody reads back.
//!
//! Limits: a record has at most [`RECORD_BYTES_MAX`] bytes; what is buffered is one record and the bytes handed in.
//! Tested: java_snapshot_test.rs, and tests/java_snapshot.rs against the real server, both ways.

use std::fmt;

use crate::base::{HashKey, KeyedHasher, Map, SessionId, Zxid, limits};
use crate::messages::AclRef;
use crate::wire::{OwnedAcl, java_text};

use super::java_snapshot::OPEN_ACL;
use super::node::{Node, acl_ref, nobodys};
use super::path::CONFIG;
use super::snapshot::{Progress, Record};
use super::store::Store;
use super::unlisted;

/// A path with a znode's data, or one ACL list. ZooKeeper's own bound is `jute.maxbuffer` and something.
pub const RECORD_BYTES_MAX: usize = limits::FRAME_BYTES_MAX + (1 << 20);

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
    /// The latest that a node says of itself. In a fuzzy one it is later than the snapshot's own.
    pub latest: Zxid,
}

/// Loads a body into a tree that has nothing yet, not even a root.
pub struct JavaLoad {
    zxid: Zxid,
    expects: Expects,
    sessions: Vec<(SessionId, i32)>,
    lists: Map<i64, AclRef>,
    lacks_lists: bool,
    latest: Zxid,
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
            latest: Zxid::ZERO,
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
        // Ours is of one moment: to count it anew would make two members' statistics differ (`Store::quotas_recount`).
        if self.latest > self.zxid {
            store.quotas_recount(self.zxid);
        }
        store.set_newest(self.zxid);
        let JavaLoad { sessions, offset: bytes, lacks_lists, latest, .. } = self;
        Ok(JavaSnapshot { sessions, bytes, lacks_lists, latest })
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
        // The configuration's is the version that a file gives it, too.
        if path != CONFIG {
            self.latest = self.latest.max(Zxid(czxid.max(mzxid).max(pzxid)));
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

    fn text(&mut self) -> Result<Option<String>, Stop> {
        Ok(self.sized("ACL")?.map(|bytes| java_text::read(bytes).into_owned()))
    }

    fn acl(&mut self) -> Result<Vec<OwnedAcl>, Stop> {
        let count = self.count("entries of an ACL")?;
        let mut list = vec![];
        for _ in 0..count {
            let (perms, scheme, id) = (self.i32()?, self.text()?, self.text()?);
            list.push(scheme.zip(id).map_or_else(nobodys, |(scheme, id)| OwnedAcl { perms, scheme, id }));
        }
        Ok(list)
    }
}
