//! Who owns which ephemerals, by slot, and how long their paths are.
//!
//! A session may own hundreds of thousands: what is asked for in the middle of a turn (how many, how long) is kept, and what
//! has to look at each (the paths, in order) says so. Tested: store_test.rs, below.

use std::collections::BTreeSet;

use crate::base::{HashKey, KeyedHasher, Map, Path, SessionId};

use super::store::Store;

/// Of all sessions that own at least one node.
pub struct Ephemerals(Map<SessionId, Owned>);

/// One session's.
#[derive(Default)]
pub struct Owned {
    pub slots: BTreeSet<u32>,
    /// Of all their paths.
    pub path_bytes: usize,
}

/// Where a slot stands in the order of paths: the first bytes behind what all begin with tell most apart, without a look at
/// the path. What is missing counts as zeros.
#[derive(Clone, Copy)]
pub(super) struct Key {
    leading: u128,
    pub slot: u32,
}

impl Ephemerals {
    pub fn new(key: HashKey) -> Ephemerals {
        Ephemerals(Map::with_hasher(KeyedHasher(key)))
    }

    pub fn add(&mut self, owner: SessionId, slot: u32, path_bytes: usize) {
        let owned = self.0.entry(owner).or_default();
        owned.slots.insert(slot);
        owned.path_bytes += path_bytes;
    }

    pub fn remove(&mut self, owner: SessionId, slot: u32, path_bytes: usize) {
        let Some(owned) = self.0.get_mut(&owner) else { return };
        if owned.slots.remove(&slot) {
            owned.path_bytes -= path_bytes;
        }
        if owned.slots.is_empty() {
            self.0.remove(&owner);
        }
    }

    pub fn of(&self, owner: SessionId) -> Option<&Owned> {
        self.0.get(&owner)
    }

    /// The session ends: its ephemerals are listed no more, as if all of them were deleted.
    pub fn take(&mut self, owner: SessionId) -> BTreeSet<u32> {
        self.0.remove(&owner).unwrap_or_default().slots
    }
}

impl Store {
    /// Paths of the session's ephemerals, in path order.
    pub fn ephemerals_of(&self, session: SessionId) -> Vec<Path> {
        self.paths_of(self.ephemerals.of(session).into_iter().flat_map(|owned| owned.slots.iter().copied()))
    }

    /// Those of the session's ephemerals that stand in slot `from` and behind it, up to `budget` of them. Returns where
    /// to go on, or `None` at the end.
    pub fn some_ephemerals_of(
        &self,
        session: SessionId,
        from: u32,
        budget: usize,
        mut each: impl FnMut(&Path),
    ) -> Option<u32> {
        let mut slots = self.ephemerals.of(session)?.slots.range(from..).copied();
        for slot in slots.by_ref().take(budget) {
            each(&self.node(slot).path);
        }
        slots.next()
    }

    /// In path order.
    pub(super) fn paths_of(&self, slots: impl Iterator<Item = u32>) -> Vec<Path> {
        let slots = self.in_path_order(slots.collect());
        slots.into_iter().map(|slot| self.node(slot).path.clone()).collect()
    }

    /// The slots in the order of their nodes' paths.
    fn in_path_order(&self, slots: Vec<u32>) -> Vec<u32> {
        let Some(&first) = slots.first() else { return slots };
        let shared = slots.iter().fold(usize::MAX, |shared, &slot| self.shared_with(first, shared, slot));
        let mut keys: Vec<Key> = slots.into_iter().map(|slot| self.key_of(slot, shared)).collect();
        self.sort_keys(&mut keys);
        keys.into_iter().map(|key| key.slot).collect()
    }

    /// With how many bytes, up to `most`, the paths of both begin.
    pub(super) fn shared_with(&self, first: u32, most: usize, slot: u32) -> usize {
        let pairs = self.node(first).path.bytes().iter().zip(self.node(slot).path.bytes());
        pairs.take(most).take_while(|(a, b)| a == b).count()
    }

    /// `shared`: with so many bytes all paths begin.
    pub(super) fn key_of(&self, slot: u32, shared: usize) -> Key {
        let own = &self.node(slot).path.bytes()[shared..];
        let mut leading = [0; 16];
        let length = own.len().min(16);
        leading[..length].copy_from_slice(&own[..length]);
        Key { leading: u128::from_be_bytes(leading), slot }
    }

    /// Siblings that were made in order, or in the reverse, and parts that are sorted already are runs, which only have to be
    /// merged.
    pub(super) fn sort_keys(&self, keys: &mut [Key]) {
        let path = |key: &Key| self.node(key.slot).path.bytes();
        keys.sort_by(|a, b| a.leading.cmp(&b.leading).then_with(|| path(a).cmp(path(b))));
    }

    /// Sessions that own at least one node.
    pub fn ephemeral_owners(&self) -> Vec<SessionId> {
        let mut owners: Vec<_> = self.ephemerals.0.keys().copied().collect();
        owners.sort_unstable();
        owners
    }

    pub fn ephemerals_count(&self) -> usize {
        self.ephemerals.0.values().map(|owned| owned.slots.len()).sum()
    }
}
