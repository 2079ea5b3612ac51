//! What proposed but not yet applied transactions will have done: prep looks here first, then at the tree.
//!
//! Invariants:
//! 1. An entry is the state of its path after every transaction proposed so far, and it stays until the last of
//!    these is applied.
//! 2. No entry outlives its transaction: `limits::PROPOSALS_MAX` bounds the table.
//!
//! Entries are data, not closures: what prep believes can be printed and compared.
//!
//! On a leader it also foretells the tree's digest: the tree's own, and what each change of a node takes from it and adds to
//! it. Whenever nothing is pending it begins anew with the tree's. No data are kept for that: an entry has its node's
//! share, and a change of the stat alone needs no more (`digest.rs`).
//! Tested: overlay_test.rs, prep_test.rs.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashTable;

use crate::base::{HashKey, KeyedHasher, Map, Path, SessionId, Zxid};
use crate::messages::AclRef;
use crate::wire::txn::Txn;
use crate::wire::{OwnedAcl, StatPersisted};

use super::acl;
use super::digest::{share_after, share_of};
use super::store::Store;

/// What prep needs to know of one path.
#[derive(Clone, Debug)]
pub struct State {
    /// The tree's own copy of the path, or the one that will become it.
    pub path: Path,
    pub alive: bool,
    pub stat: StatPersisted,
    /// The number of its next sequential child: its cversion, but behind the largest one. The tree's never falls, while creates
    /// that are pending are counted on, below zero, as ZooKeeper's change records do.
    pub next_sequence: i32,
    pub children_count: u32,
    /// Length of its data.
    pub data_bytes: u32,
    pub acl: AclRef,
    /// Of the tree's digest. Kept right by the overlay, where it foretells.
    pub share: u32,
    /// Where the tree has it; of no meaning for what isn't there yet.
    pub slot: u32,
}

/// Where a path was found when a transaction was decided, for whoever looks it up again to apply it: an index less to walk
/// through, and its hash. The slot is verified like every hit; the hash is believed.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    pub hash: u64,
    pub slot: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub hash: u64,
    last: Zxid,
    pub state: State,
}

#[derive(Debug)]
pub struct Overlay {
    key: HashKey,
    pub(super) table: HashTable<Entry>,
    /// Ephemerals proposed and not applied, per owner, with the zxid of the last creation: closeSession must name them.
    pub(super) ephemerals: Map<SessionId, BTreeMap<Path, Zxid>>,
    /// Sessions whose closeSession is proposed, with its zxid. What they own in the tree is as good as gone, without an
    /// entry for each: a session may own a hundred thousand nodes.
    pub(super) closing: Map<SessionId, Zxid>,
    /// Of pending transactions that change one node's data, which are nearly all of most loads. Oldest first.
    spots: VecDeque<(Zxid, Spot)>,
    /// What undoes the operations of the multi that is being decided, oldest first.
    journal: Vec<Undo>,
    /// A multi is being decided.
    is_journaling: bool,
    /// The tree's digest is foretold: it travels with what is proposed here.
    foretells: bool,
    /// The tree's, with everything pending applied. Of no meaning while nothing is.
    digest: u64,
    /// As it was when the multi began.
    digest_before: u64,
    pub(super) judged: acl::Judged,
}

/// How something was before an operation of a multi.
#[derive(Debug)]
enum Undo {
    Entry { hash: u64, path: Path, before: Option<Entry> },
    Ephemeral { owner: SessionId, path: Path, before: Option<Zxid> },
}

impl Overlay {
    pub fn new(key: HashKey, foretells: bool) -> Overlay {
        Overlay {
            key,
            table: HashTable::new(),
            ephemerals: Map::with_hasher(KeyedHasher(key)),
            closing: Map::with_hasher(KeyedHasher(key)),
            spots: VecDeque::new(),
            journal: vec![],
            is_journaling: false,
            foretells,
            digest: 0,
            digest_before: 0,
            judged: acl::Judged::default(),
        }
    }

    /// From here on changes can be taken back, until `keep` or `roll_back`: a multi is all or nothing.
    pub fn begin(&mut self) {
        debug_assert!(!self.is_journaling && self.journal.is_empty(), "one multi at a time");
        self.is_journaling = true;
        self.digest_before = self.digest;
    }

    pub fn keep(&mut self) {
        self.is_journaling = false;
        self.journal.clear();
    }

    /// Everything is again as it was at `begin`.
    pub fn roll_back(&mut self) {
        self.is_journaling = false;
        self.digest = self.digest_before;
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Entry { path, before: Some(entry), .. } => {
                    debug_assert!(entry.state.path == path);
                    self.set(entry.last, entry.hash, entry.state);
                }
                Undo::Entry { hash, path, before: None } => {
                    if let Ok(entry) = self.table.find_entry(hash, |entry| entry.state.path == path) {
                        entry.remove();
                    }
                }
                Undo::Ephemeral { owner, path, before: Some(zxid) } => {
                    self.ephemerals.entry(owner).or_default().insert(path, zxid);
                }
                Undo::Ephemeral { owner, path, before: None } => self.forget_ephemeral(owner, path.bytes()),
            }
        }
    }

    /// A pending transaction touches this path.
    pub fn touches(&self, path: &[u8]) -> bool {
        self.entry(path).is_some()
    }

    /// The state of `path` as the next transaction will find it. `None`: it doesn't exist and no pending transaction
    /// touches it.
    pub fn state(&self, store: &Store, path: &[u8]) -> Option<State> {
        let path = if path.is_empty() { b"/" } else { path };
        self.state_hashed(store, self.key.hash(path), path)
    }

    /// The same for those who have the path's hash already.
    pub fn state_hashed(&self, store: &Store, hash: u64, path: &[u8]) -> Option<State> {
        if !self.table.is_empty()
            && let Some(entry) = self.table.find(hash, |entry| entry.state.path.bytes() == path)
        {
            return entry.state.alive.then(|| entry.state.clone());
        }
        let (slot, node) = store.find_hashed(hash, path)?;
        if node.owner() != 0 && self.closing.contains_key(&SessionId(node.owner())) {
            return None;
        }
        Some(State {
            path: node.path.clone(),
            alive: true,
            stat: node.persisted(),
            next_sequence: node.cversion,
            children_count: node.children_count,
            data_bytes: node.data_bytes() as u32,
            acl: node.acl(),
            share: store.digests[slot as usize],
            slot,
        })
    }

    pub fn hash(&self, path: &[u8]) -> u64 {
        self.key.hash(path)
    }

    /// The tree's digest once everything that is pending is applied. Of no meaning where it isn't foretold.
    pub fn tree_digest(&self, store: &Store) -> u64 {
        if self.table.is_empty() && self.closing.is_empty() { store.digest() } else { self.digest }
    }

    /// The transaction proposed as `zxid` creates this node.
    pub fn put_new(&mut self, store: &Store, zxid: Zxid, mut born: State, data: Option<&[u8]>) {
        if self.foretells {
            born.share = share_of(born.path.bytes(), data, &born.stat);
        }
        self.exchange(store, 0, born.share);
        self.set(zxid, self.key.hash(born.path.bytes()), born);
    }

    /// The transaction proposed as `zxid` alters this node, as it is now, and leaves its data alone.
    pub fn put_altered(&mut self, store: &Store, zxid: Zxid, node: State, alter: impl FnOnce(&mut State)) {
        let (was, stat, mut node) = (node.share, node.stat, node);
        alter(&mut node);
        if self.foretells {
            let share = || share_after(node.path.bytes(), was, &stat, &node.stat);
            node.share = if node.alive { share() } else { 0 };
        }
        self.exchange(store, was, node.share);
        self.set(zxid, self.key.hash(node.path.bytes()), node);
    }

    /// The transaction proposed as `zxid` deletes this node.
    pub fn put_deleted(&mut self, store: &Store, zxid: Zxid, node: State) {
        if let Some(parent) = node.path.parent().and_then(|parent| self.state(store, parent)) {
            self.put_bereaved(store, zxid, parent, 1);
        }
        self.put_altered(store, zxid, node, |node| node.alive = false);
    }

    /// It takes `gone` children from this node.
    pub(super) fn put_bereaved(&mut self, store: &Store, zxid: Zxid, parent: State, gone: u32) {
        self.put_altered(store, zxid, parent, |parent| {
            parent.children_count -= gone;
            parent.stat.pzxid = parent.stat.pzxid.max(zxid);
        });
    }

    /// The transaction proposed as `zxid` gives a node other data and this stat. `hash`: of its path.
    pub fn put_data(
        &mut self,
        store: &Store,
        zxid: Zxid,
        hash: u64,
        node: State,
        stat: StatPersisted,
        data: Option<&[u8]>,
    ) {
        let share = if self.foretells { share_of(node.path.bytes(), data, &stat) } else { 0 };
        self.exchange(store, node.share, share);
        if !self.is_journaling {
            self.spots.push_back((zxid, Spot { hash, slot: node.slot }));
        }
        let data_bytes = data.map_or(0, <[u8]>::len) as u32;
        self.set(zxid, hash, State { stat, data_bytes, share, ..node });
    }

    /// Before the table learns of the change that a node's share makes: then it still tells whether anything is pending.
    fn exchange(&mut self, store: &Store, was: u32, is: u32) {
        if self.foretells {
            let digest = self.tree_digest(store).wrapping_sub(u64::from(was));
            self.digest = digest.wrapping_add(u64::from(is));
        }
    }

    /// So much of the tree's digest goes with nodes that have no entry, while others have.
    pub(super) fn take_share(&mut self, share: u64) {
        debug_assert!(share == 0 || !self.table.is_empty(), "else the tree's own digest is believed");
        self.digest = self.digest.wrapping_sub(share);
    }

    fn set(&mut self, zxid: Zxid, hash: u64, state: State) {
        if self.is_journaling {
            let before = self.table.find(hash, |entry| entry.state.path == state.path).cloned();
            self.journal.push(Undo::Entry { hash, path: state.path.clone(), before });
        }
        match self.table.entry(hash, |entry| entry.state.path == state.path, |entry| entry.hash) {
            hashbrown::hash_table::Entry::Occupied(mut found) => {
                let entry = found.get_mut();
                entry.last = zxid;
                entry.state = state;
            }
            hashbrown::hash_table::Entry::Vacant(free) => {
                free.insert(Entry { hash, last: zxid, state });
            }
        }
    }

    /// The transaction proposed as `zxid` creates an ephemeral.
    pub fn add_ephemeral(&mut self, zxid: Zxid, owner: SessionId, path: &[u8]) {
        let path = Path::new(path);
        let before = self.ephemerals.entry(owner).or_default().insert(path.clone(), zxid);
        if self.is_journaling {
            self.journal.push(Undo::Ephemeral { owner, path, before });
        }
    }

    pub(super) fn entry(&self, path: &[u8]) -> Option<&Entry> {
        self.table.find(self.key.hash(path), |entry| entry.state.path.bytes() == path)
    }

    /// Where the transaction `zxid`, which comes next, changes data. Told once.
    pub fn take_spot(&mut self, zxid: Zxid) -> Option<Spot> {
        while let Some((of, spot)) = self.spots.front().copied()
            && of <= zxid
        {
            self.spots.pop_front();
            if of == zxid {
                return Some(spot);
            }
        }
        None
    }

    /// The transaction `zxid` is applied, which had this spot: the tree now says what it did.
    pub fn applied(&mut self, zxid: Zxid, owner: SessionId, txn: &Txn<'_>, spot: Option<Spot>) {
        // All three: an earlier operation of the same multi may have settled the last entry, and an ephemeral that is
        // remembered for too long is deleted with its session, whoever owns that path by then.
        if self.is_empty() {
            return;
        }
        match txn {
            Txn::Create(create) | Txn::Create2(create) => {
                self.settle_with_parent(zxid, create.path.as_bytes());
                if create.ephemeral {
                    self.settle_ephemeral(zxid, owner, create.path.as_bytes());
                }
            }
            Txn::CreateContainer(create) => self.settle_with_parent(zxid, create.path.as_bytes()),
            Txn::CreateTtl(create) => self.settle_with_parent(zxid, create.path.as_bytes()),
            Txn::Delete(delete) | Txn::DeleteContainer(delete) => {
                self.settle_with_parent(zxid, delete.path.as_bytes());
            }
            Txn::SetData(set) | Txn::Reconfig(set) => {
                let path = set.path.as_bytes();
                let hash = spot.map_or_else(|| self.key.hash(path), |spot| spot.hash);
                self.settle_hashed(zxid, hash, path);
            }
            Txn::SetAcl(set) => self.settle(zxid, set.path.as_bytes()),
            Txn::CloseSession(paths) => {
                if paths.is_none_or(|paths| paths.len() > self.table.len()) {
                    // The shorter way round: what no later transaction touches is settled, whichever path it is.
                    self.table.retain(|entry| entry.last > zxid);
                } else {
                    for path in paths.iter().flat_map(|paths| paths.iter()) {
                        self.settle_with_parent(zxid, path.as_bytes());
                    }
                }
                if self.closing.get(&owner).is_some_and(|last| *last <= zxid) {
                    self.closing.remove(&owner);
                }
            }
            Txn::Multi(ops) => ops.iter().for_each(|op| self.applied(zxid, owner, &op.0, None)),
            Txn::CreateSession(_) | Txn::Error(_) | Txn::Check(_) => {}
        }
    }

    /// An ephemeral deleted and created once more in what is still pending stays.
    fn settle_ephemeral(&mut self, zxid: Zxid, owner: SessionId, path: &[u8]) {
        let last = self.ephemerals.get(&owner).and_then(|pending| pending.get(path));
        if last.is_some_and(|last| *last <= zxid) {
            self.forget_ephemeral(owner, path);
        }
    }

    fn forget_ephemeral(&mut self, owner: SessionId, path: &[u8]) {
        let Some(pending) = self.ephemerals.get_mut(&owner) else { return };
        pending.remove(path);
        if pending.is_empty() {
            self.ephemerals.remove(&owner);
        }
    }

    fn settle_with_parent(&mut self, zxid: Zxid, path: &[u8]) {
        self.settle(zxid, path);
        if let Some(parent) = crate::base::parent(path) {
            self.settle(zxid, parent);
        }
    }

    fn settle(&mut self, zxid: Zxid, path: &[u8]) {
        self.settle_hashed(zxid, self.key.hash(path), path);
    }

    fn settle_hashed(&mut self, zxid: Zxid, hash: u64, path: &[u8]) {
        debug_assert!(hash == self.key.hash(path), "a spot is of its transaction's path");
        if let Ok(entry) = self.table.find_entry(hash, |entry| entry.state.path.bytes() == path)
            && entry.get().last <= zxid
        {
            entry.remove();
        }
    }

    /// All of it, in an order that doesn't depend on its history.
    #[cfg(test)]
    pub fn image(&self) -> Vec<String> {
        assert!(!self.is_journaling && self.journal.is_empty() && self.closing.is_empty());
        let entries = self.table.iter().map(|entry| format!("{entry:?}"));
        let mut image: Vec<String> =
            entries.chain(self.ephemerals.iter().map(|owned| format!("{owned:?}"))).collect();
        image.sort();
        image
    }

    /// Paths touched by what is proposed and not yet applied.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// Nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.closing.is_empty() && self.ephemerals.is_empty()
    }

    /// All that is remembered, ephemerals and closing sessions included.
    pub fn size(&self) -> usize {
        self.table.len()
            + self.closing.len()
            + self.spots.len()
            + self.ephemerals.values().map(BTreeMap::len).sum::<usize>()
    }
}

impl State {
    pub fn acl_entries(&self) -> Option<&[OwnedAcl]> {
        self.acl.as_deref()
    }
}

#[cfg(test)]
#[path = "overlay_test.rs"]
mod tests;
