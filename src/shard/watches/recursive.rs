//! Which recursive watches an event reaches: those on the ancestors of its path.
//!
//! Their places are in an index of their own, by hashes that one pass over a path makes for all its ancestors
//! ([`prefixes`]): an event costs the length of its path and what it reaches, and not the square of the length. Tested:
//! watches_test.rs.

use crate::base::{ConnectionId, prefix_hash, prefixes};

use super::{Modes, NONE, Watch, Watches};

impl Watches {
    /// Reaches the recursive watches on the ancestors of `path`, the nearest first.
    pub(super) fn trigger_recursive(&mut self, path: &[u8], receivers: &mut Vec<ConnectionId>) {
        let mut above = std::mem::take(&mut self.above);
        for (length, hash) in prefixes(self.key, path).filter(|(length, _)| *length < path.len()) {
            let found = self.recursives.iter_hash(hash).filter(|(other, _)| *other == hash);
            above.extend(found.map(|(_, place)| (*place, length)));
        }
        for (place, length) in above.drain(..).rev() {
            self.reach_recursive(place, &path[..length], receivers);
        }
        self.above = above;
    }

    /// Reaches the recursive watches of a place, if it is the place of this path.
    fn reach_recursive(&mut self, place: u32, path: &[u8], receivers: &mut Vec<ConnectionId>) {
        let mut at = self.places[place as usize].first;
        let mut is_sure = false;
        while at != NONE && self.watches[at as usize].modes.has(Modes::RECURSIVE) {
            let Watch { connection, after, .. } = self.watches[at as usize];
            // The hash is enough of a hint to go on where nobody new is reached; long paths are compared only for these.
            if self.heads[connection as usize].event != self.event {
                is_sure = is_sure || self.path_of(place) == path;
                if !is_sure {
                    return;
                }
                self.reach(connection, receivers);
            }
            at = after;
        }
    }

    fn path_of(&self, place: u32) -> &[u8] {
        self.places[place as usize].path.as_ref().expect("a place in use has a path").bytes()
    }

    fn is_recursive(&self, place: u32) -> bool {
        let first = self.places[place as usize].first;
        first != NONE && self.watches[first as usize].modes.has(Modes::RECURSIVE)
    }

    /// The place has a recursive watch: it is listed among such places, once.
    pub(super) fn index_recursive(&mut self, place: u32) {
        let hash = prefix_hash(self.key, self.path_of(place));
        if self.recursives.find(hash, |(_, other)| *other == place).is_none() {
            self.recursives.insert_unique(hash, (hash, place), |(hash, _)| *hash);
        }
    }

    /// A recursive watch of the place is gone, and perhaps was the last.
    pub(super) fn unindex_recursive(&mut self, place: u32) {
        if !self.is_recursive(place) {
            let hash = prefix_hash(self.key, self.path_of(place));
            let found = self.recursives.find_entry(hash, |(_, other)| *other == place);
            found.expect("places of recursive watches are listed").remove();
        }
    }
}
