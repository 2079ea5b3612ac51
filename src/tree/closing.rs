//! A closeSession, worked out before it is applied, and in pieces: a session may own a hundred thousand nodes.
//!
//! What takes time is to look at each node, in half a dozen places of memory, and to make the mark of its deletion and the
//! event. None of that changes the tree, so it may stop and go on between turns: until the transaction is applied,
//! readers, prep, snapshots and queries find the tree of the zxid before. Then the marks are put into their slots,
//! all at once.
//!
//! Only what happens day by day is worked out so: what is listed is what the session owns, and has no children. What a fuzzy
//! snapshot may show beside that (file-formats.md §8.2), and a quota's own nodes, are left to `apply.rs`, path by path.
//!
//! Invariants: 1. it belongs to one transaction and to the tree right before it, else it is begun anew. 2. pieces are by
//! count: the same everywhere. Tested: closing_test.rs, apply_test.rs, turns_test.rs, tests/sim with small budgets.

use std::collections::BTreeMap;

use crate::base::{SessionId, Zxid, limits};
use crate::lockfree::Fresh;
use crate::messages::{AclRef, Change, ChangeKind, Changes};
use crate::wire::txn::{TxnHeader, listed_paths};
use crate::wire::{Decode, Reader, Text};

use super::ahead::FIND_BATCH;
use super::apply::{Applied, Outcome};
use super::ephemerals::Key;
use super::node::Node;
use super::quotas::is_of_quota;
use super::store::Store;

/// Of `limits::TURN_BUDGET`, for each path that is looked up and for each node that is looked at.
const LOOKUP_UNITS: usize = 2;
const LOOK_UNITS: usize = 2;
/// Nodes that are deleted for a unit, once all is worked out.
const DELETED_A_UNIT: usize = 4;

/// What a closeSession will do.
pub struct Closing {
    zxid: Zxid,
    session: SessionId,
    /// Of the newest change of the tree that was looked at.
    newest: Zxid,
    stage: Stage,
    graves: Vec<Grave>,
    /// In the order of the paths.
    changes: Vec<Change>,
    /// The parent of the node looked at last.
    parent: Option<(u32, AclRef)>,
    /// Slots of nodes that lose children, and how many.
    bereaved: BTreeMap<u32, u32>,
    gone: Gone,
    /// Else paths may be listed twice.
    is_ascending: bool,
    is_usual: bool,
}

enum Stage {
    /// Where the next listed path begins in the record, and how many are left.
    Listed {
        at: usize,
        left: usize,
    },
    /// Without a list all that the session owns goes, in path order: what stands in slot `next` and behind it is not among
    /// `slots` yet. With `shared` bytes all their paths begin.
    Gathering {
        next: u32,
        shared: usize,
        slots: Vec<u32>,
    },
    /// Pieces of them are put in order.
    Sorting {
        shared: usize,
        slots: Vec<u32>,
        keys: Vec<Key>,
    },
    /// Of all, in order, so many were looked at.
    Looking {
        at: usize,
        keys: Vec<Key>,
    },
    Ready,
}

/// The mark of a deletion, and where it goes.
pub(super) struct Grave {
    pub slot: u32,
    pub mark: Fresh<Node>,
    /// Of the data.
    bytes: usize,
}

/// What the nodes were, all together.
#[derive(Clone, Copy, Default)]
pub(super) struct Gone {
    pub nodes: u64,
    pub digest: u64,
    pub data_bytes: u64,
    pub path_bytes: u64,
}

impl Closing {
    /// `record`: behind the transaction's header.
    fn begin(store: &Store, header: &TxnHeader, record: &[u8]) -> Closing {
        let session = header.client_id;
        let count = store.ephemerals.of(session).map_or(0, |owned| owned.slots.len());
        let stage = match listed_paths(record) {
            Some((at, left)) => Stage::Listed { at, left },
            None => Stage::Gathering { next: 0, shared: usize::MAX, slots: Vec::with_capacity(count) },
        };
        Closing {
            zxid: header.zxid,
            session,
            newest: store.newest(),
            stage,
            graves: Vec::with_capacity(count),
            changes: Vec::with_capacity(count),
            parent: None,
            bereaved: BTreeMap::new(),
            gone: Gone::default(),
            is_ascending: true,
            is_usual: true,
        }
    }

    fn is_of(&self, store: &Store, zxid: Zxid) -> bool {
        self.zxid == zxid && self.newest == store.newest()
    }

    /// For about `budget` units of work, which are taken from it. Is it done?
    fn go_on(&mut self, store: &Store, record: &[u8], budget: &mut usize) -> bool {
        while *budget > 0 {
            match std::mem::replace(&mut self.stage, Stage::Ready) {
                Stage::Listed { left: 0, .. } => self.finish(store),
                Stage::Listed { at, left } => self.look_up(store, record, at, left, budget),
                Stage::Gathering { next, shared, slots } => self.gather(store, next, shared, slots, budget),
                Stage::Sorting { shared, slots, keys } => self.sort(store, shared, slots, keys, budget),
                Stage::Looking { at, keys } if at == keys.len() => self.finish(store),
                Stage::Looking { at, keys } => {
                    let end = keys.len().min(at + (*budget).div_ceil(LOOK_UNITS));
                    keys[at..end].iter().for_each(|key| self.look(store, key.slot));
                    *budget = budget.saturating_sub((end - at) * LOOK_UNITS);
                    self.stage = Stage::Looking { at: end, keys };
                }
                Stage::Ready => return true,
            }
            if !self.is_usual {
                self.stage = Stage::Ready;
            }
        }
        matches!(self.stage, Stage::Ready)
    }

    fn look_up(&mut self, store: &Store, record: &[u8], at: usize, left: usize, budget: &mut usize) {
        let count = left.min((*budget).div_ceil(LOOKUP_UNITS + LOOK_UNITS)).min(FIND_BATCH);
        let mut paths = [b"".as_slice(); FIND_BATCH];
        let mut reader = Reader::new(&record[at..]);
        for path in &mut paths[..count] {
            let text = Text::decode(&mut reader);
            *path = text.expect("the record is what this server or its log's checksums vouch for").as_bytes();
        }
        store.find_many(&paths[..count], |slot| match slot {
            Some(slot) => self.look(store, slot),
            None => self.is_usual = false,
        });
        *budget = budget.saturating_sub(count * (LOOKUP_UNITS + LOOK_UNITS));
        self.stage = Stage::Listed { at: record.len() - reader.rest().len(), left: left - count };
    }

    fn gather(&mut self, store: &Store, next: u32, shared: usize, mut slots: Vec<u32>, budget: &mut usize) {
        let Some(owned) = store.ephemerals.of(self.session) else { return self.finish(store) };
        let mut found = owned.slots.range(next..).copied();
        let before = slots.len();
        slots.extend(found.by_ref().take(*budget));
        let shared =
            slots[before..].iter().fold(shared, |most, &slot| store.shared_with(slots[0], most, slot));
        *budget -= slots.len() - before;
        self.stage = match found.next() {
            Some(next) => Stage::Gathering { next, shared, slots },
            None => {
                let keys = Vec::with_capacity(slots.len());
                Stage::Sorting { shared, slots, keys }
            }
        };
    }

    fn sort(
        &mut self,
        store: &Store,
        shared: usize,
        slots: Vec<u32>,
        mut keys: Vec<Key>,
        budget: &mut usize,
    ) {
        let at = keys.len();
        keys.extend(slots[at..].iter().take(*budget).map(|&slot| store.key_of(slot, shared)));
        store.sort_keys(&mut keys[at..]);
        *budget -= keys.len() - at;
        self.stage = if keys.len() < slots.len() {
            Stage::Sorting { shared, slots, keys }
        } else {
            // The pieces are merged: enough for a turn.
            store.sort_keys(&mut keys);
            *budget = budget.saturating_sub(limits::TURN_BUDGET);
            Stage::Looking { at: 0, keys }
        };
    }

    fn look(&mut self, store: &Store, slot: u32) {
        let node = store.node(slot);
        let is_plain = node.is_alive() && node.children_count == 0 && !is_of_quota(node.path.bytes());
        if !is_plain || node.ephemeral_owner() != Some(self.session) {
            self.is_usual = false;
            return;
        }
        if self.parent.as_ref().is_none_or(|(parent, _)| *parent != node.parent) {
            self.parent = Some((node.parent, store.node(node.parent).acl()));
        }
        let parent_acl = self.parent.as_ref().and_then(|(_, acl)| acl.clone());
        *self.bereaved.entry(node.parent).or_default() += 1;
        self.is_ascending &= self.changes.last().is_none_or(|last| last.path < node.path);
        let bytes = node.data_bytes();
        self.gone.nodes += 1;
        self.gone.digest = self.gone.digest.wrapping_add(u64::from(store.digests[slot as usize]));
        self.gone.data_bytes += bytes as u64;
        self.gone.path_bytes += node.path.bytes().len() as u64;
        let (path, acl) = (node.path.clone(), node.acl());
        self.changes.push(Change { kind: ChangeKind::Deleted, path, acl, parent_acl });
        self.graves.push(Grave { slot, mark: Fresh::new(node.tombstone()), bytes });
    }

    /// Is it all that the session owns, each once?
    fn finish(&mut self, store: &Store) {
        let owned = store.ephemerals.of(self.session).map_or(0, |owned| owned.slots.len());
        self.is_usual &= self.graves.len() == owned && (self.is_ascending || !self.has_double());
    }

    fn has_double(&self) -> bool {
        let mut slots: Vec<u32> = self.graves.iter().map(|grave| grave.slot).collect();
        slots.sort_unstable();
        slots.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl Store {
    /// Works out what a committed closeSession will do to this tree, which nothing changes before it is applied, for about
    /// `budget` units. True when that is done: now it can be applied. `record`: behind the header.
    pub fn prepare_close(
        &self,
        closing: &mut Option<Closing>,
        header: &TxnHeader,
        record: &[u8],
        budget: &mut usize,
    ) -> bool {
        let closing = match closing {
            Some(begun) if begun.is_of(self, header.zxid) => begun,
            other => other.insert(Closing::begin(self, header, record)),
        };
        closing.go_on(self, record, budget)
    }

    /// What was worked out is done. `None`: it isn't as it usually is.
    pub(super) fn close(&mut self, zxid: Zxid, closing: Option<Closing>) -> Option<Applied> {
        let closing = closing.filter(|closing| closing.is_usual && closing.is_of(self, zxid))?;
        let Closing { session, stage, graves, changes, bereaved, gone, .. } = closing;
        assert!(matches!(stage, Stage::Ready), "what is applied is worked out");
        self.work += graves.len() / DELETED_A_UNIT;
        let counts = self.has_quotas();
        let bytes: Vec<usize> =
            if counts { graves.iter().map(|grave| grave.bytes).collect() } else { vec![] };
        self.bury(zxid, session, graves, gone);
        for (slot, gone) in bereaved {
            self.close_holes(zxid, slot);
            self.update(zxid, slot, |node| {
                node.pzxid = node.pzxid.max(zxid.0);
                node.children_count -= gone;
            });
        }
        for (change, bytes) in changes.iter().zip(bytes) {
            self.quota_deleted(zxid, change.path.bytes(), bytes);
        }
        let changes = if changes.is_empty() { Changes::None } else { Changes::Many(changes) };
        Some(Applied { outcome: Outcome::SessionClosed, changes })
    }
}

#[cfg(test)]
#[path = "closing_test.rs"]
mod tests;
