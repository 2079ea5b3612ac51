//! The writer's half of the tree: one arena of version chains, one index, one bag of slots per parent.
//!
//! Called by apply, by the loader and by prep (which only looks). There is one `Store` per server and it is the only
//! writer; any number of [`super::Reader`]s look at it from other threads.
//!
//! Invariants:
//! 1. A slot is in the index and in its parent's bag from its first version until nobody can read any version in
//!    which it is alive. Whether a node exists at a version, its chain tells; index and bag are supersets.
//! 2. Changes of one zxid become visible together: readers choose by version, and the version is published after the
//!    last change.
//! 3. `digest` is the sum of the digests of all nodes alive at the newest version.
//!
//! Limits: `limits::NODES_MAX` slots. Tested: store_test.rs, tests/model.rs, lockfree's own tests.

use std::collections::BTreeSet;

use crate::base::{HashKey, Path, SessionId, WallMillis, Zxid, limits};
use crate::lockfree::{Arena, Bag, IndexWriter, Publisher};

use super::closing::{Gone, Grave};
use super::ephemerals::Ephemerals;
use super::java_snapshot::JavaStreams;
use super::node::{Birth, Kind, Node, data_of};
use super::path::CONFIG;
use super::quotas::Quotas;
use super::snapshot::write_node;
use super::spare::SpareData;
use super::walk::Walk;

/// Versions freed before the slots they leave are looked at.
const RECLAIM_BATCH: usize = 64;

/// Versions that are freed at once as a rule: some hundred microseconds.
const RECLAIM_MAX: usize = 4_096;

/// Versions that may be left for later turns: some forty megabytes.
const RETIRED_MAX: usize = 1 << 18;

pub struct Store {
    key: HashKey,
    publisher: Publisher,
    arena: Arena<Node>,
    index: IndexWriter,
    /// Where each slot stands in its parent's bag.
    positions: Vec<u32>,
    /// Each slot's share of the tree digest in its newest version, kept to subtract it without computing it again.
    pub(super) digests: Vec<u32>,
    pub(super) ephemerals: Ephemerals,
    /// Containers and TTL nodes.
    pub(super) reapable: BTreeSet<u32>,
    pub(super) quotas: Quotas,
    /// Zxid of the newest change, published or not.
    newest: Zxid,
    digest: u64,
    nodes_count: u64,
    data_bytes: u64,
    /// Of all living nodes' paths.
    path_bytes: u64,
    /// Done since it was last asked for, in units of `limits::TURN_BUDGET`.
    pub(super) work: usize,
    pub(super) walk: Option<Walk>,
    pub(super) java_streams: JavaStreams,
    pub(super) spare_data: SpareData,
    /// Versions that the last reclaim left.
    left: usize,
    /// Not because somebody may read them, but because it had done its share.
    has_leftovers: bool,
}

/// Holes that a bag may always have.
const HOLES_MIN: usize = 64;

fn is_hollow(bag: &Bag) -> bool {
    bag.holes() > HOLES_MIN && bag.holes() > 4 * bag.len()
}

/// Slot of the root: the first node ever made, never deleted.
pub const ROOT: u32 = 0;

impl Store {
    pub(super) fn new(key: HashKey, publisher: Publisher, arena: Arena<Node>, index: IndexWriter) -> Store {
        Store {
            key,
            publisher,
            arena,
            index,
            positions: Vec::new(),
            digests: Vec::new(),
            ephemerals: Ephemerals::new(key),
            reapable: BTreeSet::new(),
            quotas: Quotas::new(key),
            newest: Zxid::ZERO,
            digest: 0,
            nodes_count: 0,
            data_bytes: 0,
            path_bytes: 0,
            work: 0,
            walk: None,
            java_streams: JavaStreams::default(),
            spare_data: SpareData::default(),
            left: 0,
            has_leftovers: false,
        }
    }

    /// The living node at `path`, in its newest version, whether published or not. The empty path is the root.
    pub fn find(&self, path: &[u8]) -> Option<(u32, &Node)> {
        let path = if path.is_empty() { b"/" } else { path };
        self.find_hashed(self.key.hash(path), path)
    }

    /// The same for those who have the path's hash already; the root under its own name only.
    pub fn find_hashed(&self, hash: u64, path: &[u8]) -> Option<(u32, &Node)> {
        self.find_any(hash, path).filter(|(_, node)| node.is_alive())
    }

    pub(super) fn hash(&self, path: &[u8]) -> u64 {
        self.key.hash(path)
    }

    /// Where a node whose path has this hash is likely to be.
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        self.index.candidates(hash).next()
    }

    /// What is in a slot: a node, a deletion mark, or nothing.
    pub(super) fn latest(&self, slot: u32) -> Option<&Node> {
        self.arena.latest(slot)
    }

    pub(super) fn find_any(&self, hash: u64, path: &[u8]) -> Option<(u32, &Node)> {
        self.index.candidates(hash).find_map(|slot| {
            let node = self.arena.latest(slot)?;
            (node.path.bytes() == path).then_some((slot, node))
        })
    }

    /// All that are alive, in their newest versions and in no order that means anything.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        let newest = |slot| self.arena.latest(slot);
        (ROOT..self.arena.slots()).filter_map(newest).filter(|node| node.is_alive())
    }

    pub fn node(&self, slot: u32) -> &Node {
        self.arena.latest(slot).expect("slots handed out by find are not released within a step")
    }

    /// Makes `path` under `parent`, which must be alive; `path` must not exist.
    pub fn create(
        &mut self,
        zxid: Zxid,
        path: Path,
        node: impl FnOnce(Path, Birth, u32) -> Node,
        birth: Birth,
        parent: u32,
    ) -> u32 {
        debug_assert!(
            self.arena.slots() == ROOT || self.node(parent).is_alive(),
            "only the root has no parent"
        );
        let hash = self.key.hash(path.bytes());
        let existing = self
            .find_any(hash, path.bytes())
            .map(|(slot, dead)| (slot, dead.path.clone(), dead.children_bag()));
        let path = existing.as_ref().map_or(path, |(_, path, _)| path.clone());
        let mut node = node(path, birth, parent);
        let digest = node.compute_digest();
        self.work += node.data_bytes() / 1024;
        self.count_in(&node, digest);
        let (owner, path_bytes) = (node.owner(), node.path.bytes().len());
        let slot = match existing {
            // Deleted a moment ago and perhaps still read: the chain goes on, index and bag still hold the slot.
            Some((slot, _, children)) => {
                if let Some(children) = children {
                    node.set_children(children);
                }
                self.before_change(slot);
                self.arena.update(&self.publisher, slot, zxid.version(), node);
                slot
            }
            None => self.enter(zxid, hash, node, parent),
        };
        self.digests[slot as usize] = digest;
        self.list_by_kind(slot, owner, path_bytes);
        self.newest = self.newest.max(zxid);
        slot
    }

    /// Puts a node of a snapshot into the tree as it is, under the parent it names. `None` if its path is there already.
    /// Readers must not have been told of anything yet.
    pub(super) fn adopt(&mut self, zxid: Zxid, node: Node) -> Option<u32> {
        let hash = self.key.hash(node.path.bytes());
        if self.find_any(hash, node.path.bytes()).is_some() {
            return None;
        }
        let digest = node.compute_digest();
        self.count_in(&node, digest);
        let (owner, parent, path_bytes) = (node.owner(), node.parent, node.path.bytes().len());
        let slot = self.enter(zxid, hash, node, parent);
        self.digests[slot as usize] = digest;
        self.list_by_kind(slot, owner, path_bytes);
        self.newest = self.newest.max(zxid);
        Some(slot)
    }

    /// A node has come into being: those that must be found without a walk are listed.
    fn list_by_kind(&mut self, slot: u32, owner: i64, path_bytes: usize) {
        match Kind::of(owner) {
            Kind::Persistent => {}
            Kind::Ephemeral(owner) => self.ephemerals.add(owner, slot, path_bytes),
            Kind::Container | Kind::Ttl(_) => _ = self.reapable.insert(slot),
        }
    }

    /// It is gone.
    fn unlist_by_kind(&mut self, slot: u32, owner: i64, path_bytes: usize) {
        match Kind::of(owner) {
            Kind::Persistent => {}
            Kind::Ephemeral(owner) => self.ephemerals.remove(owner, slot, path_bytes),
            Kind::Container | Kind::Ttl(_) => _ = self.reapable.remove(&slot),
        }
    }

    /// A slot for a node that has none: arena, index, bag.
    fn enter(&mut self, zxid: Zxid, hash: u64, node: Node, parent: u32) -> u32 {
        let slot = self.arena.insert(zxid.version(), node);
        self.index.insert(hash, slot);
        let at = slot as usize;
        if self.positions.len() <= at {
            self.positions.resize(at + 1, 0);
            self.digests.resize(at + 1, 0);
        }
        if slot != ROOT {
            self.positions[at] = self.bag_of(zxid, parent).push(slot);
        }
        slot
    }

    /// The bag of a parent's children. Made with the first of them, and made anew where most of it is holes: a bag never
    /// shrinks, and each listing steps over its holes. Readers of older versions keep the old one, from which nothing
    /// is taken any more: what they find in it and is gone has no version that they could read.
    fn bag_of(&mut self, zxid: Zxid, parent: u32) -> triomphe::Arc<Bag> {
        let old = self.node(parent).children_bag();
        if let Some(bag) = &old
            && !is_hollow(bag)
        {
            return bag.clone();
        }
        let bag = triomphe::Arc::new(Bag::new());
        for slot in old.iter().flat_map(|old| old.iter()) {
            self.positions[slot as usize] = bag.push(slot);
        }
        let for_node = bag.clone();
        self.update(zxid, parent, |node| node.set_children(for_node));
        bag
    }

    /// Replaces the newest version of a living node by an altered copy.
    pub fn update(&mut self, zxid: Zxid, slot: u32, alter: impl FnOnce(&mut Node)) -> &Node {
        self.before_change(slot);
        let old = self.node(slot);
        assert!(old.is_alive(), "a deleted node can only be created again");
        let mut node = old.clone();
        let (old_digest, old_bytes) = (self.digests[slot as usize], old.data_bytes());
        alter(&mut node);
        let digest = node.digest_after(old, old_digest);
        // What a look at all of the data costs.
        let looked_at = if node.shares_data(old) { 0 } else { node.data_bytes() };
        self.work += looked_at / 1024;
        self.digest = self.digest.wrapping_sub(u64::from(old_digest)).wrapping_add(u64::from(digest));
        self.digests[slot as usize] = digest;
        self.data_bytes = self.data_bytes - old_bytes as u64 + node.data_bytes() as u64;
        self.newest = self.newest.max(zxid);
        self.arena.update(&self.publisher, slot, zxid.version(), node);
        self.node(slot)
    }

    /// Shows the configuration of an ensemble at `/zookeeper/config`, where no transaction does: at a start, and where a
    /// leader or a peer tells a newer one. No part of the digest.
    pub fn show_config(&mut self, text: &str, version: i64, time: WallMillis) {
        let Some((slot, node)) = self.find(CONFIG) else { return };
        let mut node = node.clone();
        node.data = data_of(Some(text.as_bytes()));
        node.version = -1;
        node.mzxid = version;
        node.mtime = time.0;
        self.before_change(slot);
        let old_bytes = self.node(slot).data_bytes();
        self.data_bytes = self.data_bytes - old_bytes as u64 + node.data_bytes() as u64;
        if self.newest.version() > self.publisher.published() {
            self.arena.update(&self.publisher, slot, self.newest.version(), node);
        } else {
            self.arena.amend(&self.publisher, slot, node);
        }
    }

    /// The configuration that is shown, and its mzxid: what made it.
    pub fn shown_config(&self) -> Option<(&[u8], Zxid)> {
        let (_, node) = self.find(CONFIG)?;
        Some((node.data()?, Zxid(node.mzxid)))
    }

    /// Deletes a living node without children.
    pub fn delete(&mut self, zxid: Zxid, slot: u32) {
        assert!(slot != ROOT, "the root is never deleted");
        self.close_holes(zxid, self.node(slot).parent);
        self.before_change(slot);
        let old = self.node(slot);
        assert!(old.is_alive() && old.children_count == 0);
        let tombstone = old.tombstone();
        let (digest, bytes, owner) = (self.digests[slot as usize], old.data_bytes(), old.owner());
        let path_bytes = old.path.bytes().len();
        self.digest = self.digest.wrapping_sub(u64::from(digest));
        self.data_bytes -= bytes as u64;
        self.path_bytes -= path_bytes as u64;
        self.nodes_count -= 1;
        self.unlist_by_kind(slot, owner, path_bytes);
        self.newest = self.newest.max(zxid);
        self.arena.update(&self.publisher, slot, zxid.version(), tombstone);
    }

    /// Deletes all that a session owns, living nodes without children: the marks are made, and what they were is summed up.
    pub(super) fn bury(&mut self, zxid: Zxid, owner: SessionId, graves: Vec<Grave>, gone: Gone) {
        self.ephemerals.take(owner);
        self.digest = self.digest.wrapping_sub(gone.digest);
        self.data_bytes -= gone.data_bytes;
        self.path_bytes -= gone.path_bytes;
        self.nodes_count -= gone.nodes;
        self.newest = self.newest.max(zxid);
        for Grave { slot, mark, .. } in graves {
            self.before_change(slot);
            self.arena.update_to(&self.publisher, slot, zxid.version(), mark);
        }
    }

    /// Of the bag of a node that loses children, if it is worth it.
    pub(super) fn close_holes(&mut self, zxid: Zxid, parent: u32) {
        if self.node(parent).children().is_some_and(is_hollow) {
            self.bag_of(zxid, parent);
        }
    }

    /// Everything up to `zxid` is visible to readers that look from now on.
    pub fn publish(&mut self, zxid: Zxid) {
        self.publisher.publish(zxid.version());
    }

    pub fn published(&self) -> Zxid {
        Zxid::of_version(self.publisher.published())
    }

    /// After so many transactions are published. Twice what they superseded; of what a large one has left, and of what slow
    /// readers have, a little, so that it comes to an end without a long pause; but all beyond what may ever be left.
    pub fn reclaim_behind(&mut self, transactions: usize) {
        let superseded = self.retired() - self.left;
        let old = (self.left / 32).min(limits::TURN_BUDGET);
        let new = (64 + 8 * transactions + 2 * superseded).min(RECLAIM_MAX);
        self.reclaim((new + old).max(self.retired().saturating_sub(RETIRED_MAX)));
    }

    /// More could be freed than was.
    pub fn has_leftovers(&self) -> bool {
        self.has_leftovers
    }

    /// Goes on with that.
    pub fn reclaim_leftovers(&mut self) {
        self.reclaim(RECLAIM_MAX);
    }

    /// Frees versions that nobody may read any more, oldest first and about `budget` of them, and the slots of nodes
    /// long deleted.
    pub fn reclaim(&mut self, budget: usize) {
        let horizon = self.publisher.horizon();
        let mut freed = 0;
        self.has_leftovers = true;
        while freed < budget {
            let mut superseded = [0u32; RECLAIM_BATCH];
            let mut count = 0;
            let batch = self.arena.reclaim(&self.publisher, RECLAIM_BATCH, &mut |slot, node| {
                superseded[count] = slot;
                count += 1;
                self.spare_data.keep_of(node);
            });
            for &slot in &superseded[..count] {
                self.unlink_if_dead(slot, horizon);
            }
            if batch < RECLAIM_BATCH {
                self.has_leftovers = false;
                break;
            }
            freed += batch;
        }
        self.index.reclaim(&self.publisher);
        self.left = self.arena.retired();
    }

    /// Takes a deleted node that nobody may see any more out of index and bag; and with the last of its children a
    /// parent which had to wait for them, as their places are in its bag.
    fn unlink_if_dead(&mut self, slot: u32, horizon: u64) {
        let mut slot = slot;
        loop {
            let Some(node) = self.arena.latest(slot) else { return };
            let since = self.arena.latest_since(slot).expect("it has a latest version");
            let is_empty = node.children().is_none_or(Bag::is_empty);
            if node.is_alive() || since > horizon || !is_empty {
                return;
            }
            let (hash, parent) = (self.key.hash(node.path.bytes()), node.parent);
            let bag = self.arena.latest(parent).and_then(Node::children);
            bag.expect("a parent outlives its children").remove(self.positions[slot as usize]);
            let found = self.index.remove(hash, slot);
            assert!(found, "a slot is in the index as long as it is in its parent's bag");
            // Readers that began before now may hold the slot: it is freed when each has begun a later turn.
            let stamp = self.newest.version().max(self.publisher.published()) + 1;
            self.arena.release(&self.publisher, slot, stamp);
            slot = parent;
        }
    }

    /// A snapshot that is being taken writes or keeps what this change would hide from it.
    fn before_change(&mut self, slot: u32) {
        if let Some(walk) = &mut self.walk {
            walk.write_ahead(slot, &self.arena, write_node);
        }
        for walk in self.java_streams.walks() {
            walk.keep(slot, &self.arena);
        }
    }

    fn count_in(&mut self, node: &Node, digest: u32) {
        self.digest = self.digest.wrapping_add(u64::from(digest));
        self.data_bytes += node.data_bytes() as u64;
        self.path_bytes += node.path.bytes().len() as u64;
        self.nodes_count += 1;
    }

    #[inline]
    pub fn has_no_quotas(&self) -> bool {
        self.quotas.is_empty()
    }

    /// What applying has cost since this was last asked for, in units of `limits::TURN_BUDGET`.
    pub fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Nodes alive at the newest version.
    pub fn nodes_count(&self) -> u64 {
        self.nodes_count
    }

    pub fn path_bytes(&self) -> u64 {
        self.path_bytes
    }

    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    pub fn newest(&self) -> Zxid {
        self.newest
    }

    /// The tree stands for everything up to `zxid`, of which the last changed nothing in it.
    pub fn set_newest(&mut self, zxid: Zxid) {
        self.newest = self.newest.max(zxid);
    }

    /// Versions kept for readers, deletion marks included: bounded by what was written since the slowest reader's turn.
    pub fn retired(&self) -> usize {
        self.arena.retired()
    }

    pub(super) fn hash_key(&self) -> HashKey {
        self.key
    }

    pub(super) fn arena(&self) -> &Arena<Node> {
        &self.arena
    }
}

#[cfg(test)]
#[path = "store_test.rs"]
mod tests;
