//! The body of an Apache ZooKeeper snapshot: what SNAP sends to a learner, and the middle part of a snapshot file.
//!
//! Called by whoever serves or joins an ensemble with Apache servers in it, and by import and export; container, checksums
//! and digest are theirs. Format (file-formats.md §5, quorum-protocol.md §9): sessions, ACL lists under ids, nodes with
//! parents first, the path `/` as the end. The root's path is empty.
//!
//! **Writing** goes through the tree in bounded steps while writes go on: `walk.rs` tells how. What changes before the walk comes to it
//! is kept, as it can't be written before the lists. These come before the nodes, so the arena is gone through twice: once
//! to number the lists, once to write. Several streams may be under way.
//!
//! **Reading** is `java_load.rs`.
//!
//! Tested: java_snapshot_test.rs, and tests/java_snapshot.rs against the real server, both ways.

use std::sync::Arc;

use crate::base::{KeyedHasher, Map, SessionId};
use crate::wire::OwnedAcl;

use super::node::Node;
use super::store::{ROOT, Store};
use super::walk::Walk;

/// The open list isn't in the map.
pub(super) const OPEN_ACL: i64 = -1;

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

#[cfg(test)]
#[path = "java_snapshot_test.rs"]
mod tests;
