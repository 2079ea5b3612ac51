//! A walk through the tree as it was at one zxid, in pieces, while writes go on.
//!
//! It goes through the arena in slot order, a bounded number of nodes per call. A change to a node that it hasn't reached yet
//! first gets that node's version out of its way: it is written at once ([`Walk::write_ahead`], when it is in the caches anyway and
//! nothing needs to be remembered but a bit), or kept until the walk comes to it ([`Walk::keep`]: at most one pre-image per
//! node, and nothing pinned for readers). Parents come before children: a parent in a higher slot is written early, too.
//!
//! Called by `snapshot` and `java_snapshot`. Tested: snapshot_test.rs and java_snapshot_test.rs (a walk under writes equals a copy
//! taken at the start).

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;

use crate::base::Zxid;
use crate::lockfree::Arena;

use super::node::Node;
use super::store::ROOT;

/// Nodes that are looked at before the first of them is written, so that the processor waits for many at a time.
const LOOK_BATCH: usize = 32;

/// When so much is written ahead, all else is kept until the walk goes on.
pub const AHEAD_BYTES_MAX: usize = 256 << 10;
/// Only such nodes are written ahead, and only with so many parents, which are such, too: more is cheaper to share than to copy.
const SMALL_BYTES: usize = 4 << 10;
const PARENTS_MAX: usize = 16;

pub struct Walk {
    zxid: Zxid,
    /// Slots below are written.
    next: u32,
    end: u32,
    /// Slots at or above `next` that are written already, or were empty. Those below it may stay in it.
    early: SlotSet,
    kept: BTreeMap<u32, Node>,
    /// Written, and not fetched yet.
    ahead: Vec<u8>,
    ahead_bytes_max: usize,
}

impl Walk {
    /// Of the tree as it is now.
    pub fn begin(zxid: Zxid, arena: &Arena<Node>) -> Walk {
        let end = arena.slots();
        Walk {
            zxid,
            next: ROOT,
            end,
            early: SlotSet::below(end),
            kept: BTreeMap::new(),
            ahead: vec![],
            ahead_bytes_max: AHEAD_BYTES_MAX,
        }
    }

    /// Instead of [`AHEAD_BYTES_MAX`].
    pub fn bound_ahead(&mut self, bytes: usize) {
        self.ahead_bytes_max = bytes;
    }

    /// The node in `slot` as the image has it, before the walk has come to it.
    pub fn look<'a>(&'a self, arena: &'a Arena<Node>, slot: u32) -> Option<&'a Node> {
        self.kept.get(&slot).or_else(|| in_image(arena, slot, self.zxid))
    }

    pub fn end(&self) -> u32 {
        self.end
    }

    /// Appends what was written ahead, then writes nodes, each behind its parent, until the budget of slots is used up, `chunk` has
    /// its bytes, or all are written: then false.
    pub fn go_on(
        &mut self,
        arena: &Arena<Node>,
        budget: usize,
        bytes_max: usize,
        chunk: &mut Vec<u8>,
        mut write: impl FnMut(&Node, &mut Vec<u8>),
    ) -> bool {
        chunk.append(&mut self.ahead);
        self.next = self.early.first_without(self.next..self.end);
        let (mut visited, mut looked_at) = (0, self.next);
        while self.next < self.end && visited < budget && chunk.len() < bytes_max {
            if self.next >= looked_at {
                looked_at = self.look_ahead(arena);
            }
            let above = self.unwritten_above(arena, self.next);
            self.write_all(arena, above, self.next, chunk, &mut write);
            visited += 1;
            self.next = self.early.first_without(self.next + 1..self.end);
        }
        debug_assert!(self.next < self.end || self.kept.is_empty());
        self.next < self.end
    }

    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Bytes that [`Self::go_on`] will hand over first.
    pub fn ahead_bytes(&self) -> usize {
        self.ahead.len()
    }

    /// Called before `slot` gets a new version, by who can't write it yet.
    pub fn keep(&mut self, slot: u32, arena: &Arena<Node>) {
        if self.has_passed(slot) || self.kept.contains_key(&slot) {
            return;
        }
        if let Some(node) = in_image(arena, slot, self.zxid) {
            self.kept.insert(slot, node.clone());
        }
    }

    /// Called before `slot` gets a new version.
    pub fn write_ahead(
        &mut self,
        slot: u32,
        arena: &Arena<Node>,
        mut write: impl FnMut(&Node, &mut Vec<u8>),
    ) {
        if self.has_passed(slot) {
            return;
        }
        let Some(node) = self.look(arena, slot) else {
            // Nothing of it will ever be in the image.
            return self.early.insert(slot);
        };
        if self.ahead.len() >= self.ahead_bytes_max || !is_small(node) {
            return self.keep(slot, arena);
        }
        let above = self.unwritten_above(arena, slot);
        let are_small = above.iter().all(|slot| self.look(arena, *slot).is_none_or(is_small));
        if above.len() > PARENTS_MAX || !are_small {
            return self.keep(slot, arena);
        }
        let mut ahead = std::mem::take(&mut self.ahead);
        self.write_all(arena, above, slot, &mut ahead, &mut write);
        self.ahead = ahead;
    }

    fn has_passed(&self, slot: u32) -> bool {
        slot < self.next || slot >= self.end || self.early.contains(slot)
    }

    /// The ancestors that are still to be written, nearest first; nearly always none.
    fn unwritten_above(&self, arena: &Arena<Node>, slot: u32) -> Vec<u32> {
        let mut above = vec![];
        let mut at = slot;
        while let Some(node) = self.look(arena, at) {
            if node.parent == at || self.has_passed(node.parent) {
                break;
            }
            at = node.parent;
            above.push(at);
        }
        above
    }

    /// Nothing, if the image has no such node.
    fn write_all(
        &mut self,
        arena: &Arena<Node>,
        above: Vec<u32>,
        slot: u32,
        chunk: &mut Vec<u8>,
        write: &mut impl FnMut(&Node, &mut Vec<u8>),
    ) {
        for at in above.into_iter().rev().chain([slot]) {
            match self.kept.remove(&at) {
                Some(node) => write(&node, chunk),
                None => {
                    let Some(node) = in_image(arena, at, self.zxid) else { continue };
                    write(node, chunk);
                }
            }
            self.early.insert(at);
        }
    }

    /// As `ahead.rs` does it, at the next nodes: slots first, then nodes, then what they point to. Returns where it ends.
    fn look_ahead(&self, arena: &Arena<Node>) -> u32 {
        let mut nodes = [None; LOOK_BATCH];
        let mut at = self.next;
        for node in &mut nodes {
            if at >= self.end {
                break;
            }
            *node = arena.latest(at);
            at = self.early.first_without(at + 1..self.end);
        }
        for node in nodes.iter().flatten() {
            // Both its lines.
            black_box((node.is_alive(), node.path.bytes().len()));
        }
        for node in nodes.iter().flatten() {
            black_box((node.path.bytes().last(), node.data_bytes()));
        }
        at
    }
}

fn is_small(node: &Node) -> bool {
    let acl = node.acl_entries().unwrap_or_default();
    let acl_bytes: usize = acl.iter().map(|entry| entry.scheme.len() + entry.id.len()).sum();
    node.path.bytes().len() + node.data_bytes() + acl_bytes <= SMALL_BYTES
}

/// The newest version of the slot, if the image at `zxid` contains it.
fn in_image(arena: &Arena<Node>, slot: u32, zxid: Zxid) -> Option<&Node> {
    let node = arena.latest(slot)?;
    let since = arena.latest_since(slot)?;
    (since <= zxid.version() && node.is_alive()).then_some(node)
}

/// A bit for each slot.
struct SlotSet {
    words: Vec<u64>,
}

const BITS: u32 = u64::BITS;

impl SlotSet {
    fn below(end: u32) -> SlotSet {
        SlotSet { words: vec![0; end.div_ceil(BITS) as usize] }
    }

    fn contains(&self, slot: u32) -> bool {
        self.words[(slot / BITS) as usize] >> (slot % BITS) & 1 == 1
    }

    fn insert(&mut self, slot: u32) {
        self.words[(slot / BITS) as usize] |= 1 << (slot % BITS);
    }

    /// The first slot of these that isn't in it; else their end. A word at a time: ten million are 160,000 words.
    fn first_without(&self, slots: Range<u32>) -> u32 {
        let mut at = slots.start;
        while at < slots.end {
            let left = BITS - at % BITS;
            let run = (self.words[(at / BITS) as usize] >> (at % BITS)).trailing_ones();
            if run < left {
                return slots.end.min(at + run);
            }
            at += left;
        }
        slots.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Prng;

    #[test]
    fn a_set_of_slots_is_a_set_of_numbers() {
        let mut prng = Prng::new(3);
        for end in [0, 1, 63, 64, 65, 300] {
            let (mut set, mut model) = (SlotSet::below(end), vec![false; end as usize]);
            for _ in 0..3 * end {
                // Runs, as in a tree whose newest nodes are written.
                let from = prng.below(u64::from(end)) as u32;
                for slot in from..end.min(from + prng.below(90) as u32 / 30 * 30) {
                    set.insert(slot);
                    model[slot as usize] = true;
                }
                let from = prng.below(u64::from(end) + 1) as u32;
                let expected = (from..end).find(|slot| !model[*slot as usize]).unwrap_or(end);
                assert_eq!(set.first_without(from..end), expected, "{from}..{end}");
                assert!((0..end).all(|slot| set.contains(slot) == model[slot as usize]));
            }
        }
    }
}
