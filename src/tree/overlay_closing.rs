//! What prep must know of a session that closes: every ephemeral it will own when all that is proposed is applied.
//!
//! That is what it owns in the tree, but for what pending transactions take from that or add to it. A session may own a hundred
//! thousand nodes while little is pending, so the tree's are counted and summed up, and only what is pending is looked
//! up one by one. Tested: overlay_test.rs, prep_test.rs.

use std::collections::BTreeMap;

use crate::base::{Path, SessionId, Zxid};

use super::overlay::{Entry, Overlay};
use super::store::Store;

/// A pending entry of a node that a session owns in the tree, or will own.
struct Concerned<'a> {
    entry: &'a Entry,
    /// The session owns it in the tree, where it stands in this slot.
    slot: Option<u32>,
    /// It will own it.
    is_his: bool,
}

impl Overlay {
    fn concerned<'a>(&'a self, store: &Store, owner: SessionId) -> Vec<Concerned<'a>> {
        let in_tree = self.slots_in_tree(store, owner);
        let of_entry = |entry: &'a Entry| {
            let found = store.find_hashed(entry.hash, entry.state.path.bytes());
            let found = found.filter(|(_, node)| !self.is_closing(owner) && node.owner() == owner.0);
            let slot = found.map(|(slot, _)| slot);
            let is_his = entry.state.alive && entry.state.stat.ephemeral_owner == owner.0;
            Concerned { entry, slot, is_his }
        };
        let is_concerned = |it: &Concerned<'_>| it.slot.is_some() || it.is_his;
        if self.table.len() <= in_tree.len() {
            return self.table.iter().map(of_entry).filter(is_concerned).collect();
        }
        // The shorter way round.
        let of_tree = in_tree.filter_map(|slot| self.entry(store.node(slot).path.bytes())).map(of_entry);
        let pending = self.ephemerals.get(&owner).into_iter().flat_map(BTreeMap::keys);
        let added = pending.filter_map(|path| self.entry(path.bytes())).map(of_entry);
        of_tree.chain(added.filter(|it| it.slot.is_none() && it.is_his)).collect()
    }

    fn is_closing(&self, owner: SessionId) -> bool {
        self.closing.contains_key(&owner)
    }

    /// Of what the session owns in the tree.
    fn slots_in_tree<'s>(
        &self,
        store: &'s Store,
        owner: SessionId,
    ) -> impl ExactSizeIterator<Item = u32> + use<'s> {
        let owned = if self.is_closing(owner) { None } else { store.ephemerals.of(owner) };
        owned.map(|owned| owned.slots.iter().copied()).unwrap_or_default()
    }

    /// Every path the session will own when all proposed transactions are applied, in path order.
    pub fn ephemerals_of(&self, store: &Store, owner: SessionId) -> Vec<Path> {
        let mut paths = if self.is_closing(owner) { vec![] } else { store.ephemerals_of(owner) };
        let concerned = self.concerned(store, owner);
        let mut lost: Vec<&Path> =
            concerned.iter().filter(|it| !it.is_his).map(|it| &it.entry.state.path).collect();
        if !lost.is_empty() {
            lost.sort_unstable();
            paths.retain(|path| lost.binary_search(&path).is_err());
        }
        let added = concerned.iter().filter(|it| it.slot.is_none()).map(|it| it.entry.state.path.clone());
        let before = paths.len();
        paths.extend(added);
        if paths.len() > before {
            // Two runs, of which the first is in order.
            paths.sort();
        }
        paths
    }

    /// How long these paths are together, each with its length as a list of them has it.
    pub fn listed_bytes(&self, store: &Store, owner: SessionId) -> usize {
        let owned = if self.is_closing(owner) { None } else { store.ephemerals.of(owner) };
        let mut bytes = owned.map_or(0, |owned| owned.path_bytes + 4 * owned.slots.len());
        for Concerned { entry, slot, is_his } in self.concerned(store, owner) {
            let of_path = entry.state.path.bytes().len() + 4;
            match (slot, is_his) {
                (Some(_), false) => bytes -= of_path,
                (None, true) => bytes += of_path,
                _ => {}
            }
        }
        bytes
    }

    /// The closeSession proposed as `zxid` deletes all that the session will own by then.
    pub fn close(&mut self, store: &Store, zxid: Zxid, session: SessionId) {
        let concerned = self.concerned(store, session);
        // One change per parent and not per child.
        let mut bereaved: BTreeMap<Path, i64> = BTreeMap::new();
        let mut run: Option<(u32, i64)> = None;
        let mut add =
            |parent: u32, count| *bereaved.entry(store.node(parent).path.clone()).or_default() += count;
        let mut digest = 0u64;
        for slot in self.slots_in_tree(store, session) {
            let parent = store.node(slot).parent;
            digest = digest.wrapping_add(u64::from(store.digests[slot as usize]));
            match &mut run {
                Some((last, count)) if *last == parent => *count += 1,
                _ => {
                    if let Some((parent, count)) = run.replace((parent, 1)) {
                        add(parent, count);
                    }
                }
            }
        }
        if let Some((parent, count)) = run {
            add(parent, count);
        }
        let mut gone = vec![];
        for Concerned { entry, slot, is_his } in concerned {
            // What is pending has its share in the entry.
            digest = digest.wrapping_sub(slot.map_or(0, |slot| u64::from(store.digests[slot as usize])));
            let change = i64::from(is_his) - i64::from(slot.is_some());
            if change != 0
                && let Some(parent) = entry.state.path.parent()
            {
                *bereaved.entry(Path::new(parent)).or_default() += change;
            }
            if is_his {
                gone.push(entry.state.clone());
            }
        }
        let is_any = bereaved.values().any(|count| *count > 0);
        for (parent, count) in bereaved {
            if count > 0
                && let Some(parent) = self.state(store, parent.bytes())
            {
                self.put_bereaved(store, zxid, parent, count as u32);
            }
        }
        // The parents' entries are there by now, if there is any share to take.
        self.take_share(digest);
        for node in gone {
            self.put_altered(store, zxid, node, |node| node.alive = false);
        }
        if is_any {
            self.closing.insert(session, zxid);
        }
    }
}
