//! The shards' half of the tree: reads at a chosen version, without locks.
//!
//! A shard walks through history in order. It enters a turn, acts on notices one by one, reading at each one's zxid
//! where a read waited for it, and ends at the published version; only then does it let go of the older versions
//! ([`Reader::raise`]). What was readable at the turn's floor or later stays allocated for the whole turn.

use std::cell::Cell;
use std::hint::black_box;

use crate::base::{HashKey, Zxid};
use crate::lockfree::{Bag, IndexReader, Observer, Turn, View};

use super::ahead::FIND_BATCH;
use super::node::Node;

pub struct Reader {
    key: HashKey,
    observer: Observer,
    view: View<Node>,
    index: IndexReader,
}

impl Reader {
    pub(super) fn new(key: HashKey, observer: Observer, view: View<Node>, index: IndexReader) -> Reader {
        Reader { key, observer, view, index }
    }

    /// The newest version all shards may read.
    pub fn published(&self) -> Zxid {
        Zxid::of_version(self.observer.published())
    }

    pub fn enter(&mut self) -> Reading<'_> {
        Reading {
            key: self.key,
            turn: self.observer.enter(),
            view: &self.view,
            index: &self.index,
            found: Found::default(),
        }
    }

    /// Nothing below `zxid` will be read again.
    pub fn raise(&mut self, zxid: Zxid) {
        self.observer.raise(zxid.version());
    }

    /// This shard sleeps: it keeps no version alive. The next `enter` starts at what is published then.
    pub fn park(&mut self) {
        self.observer.park();
    }
}

/// A turn of reading. References into the tree live as long as it does.
pub struct Reading<'a> {
    key: HashKey,
    turn: Turn<'a>,
    view: &'a View<Node>,
    index: &'a IndexReader,
    found: Found,
}

/// Slots that [`Reading::look_ahead`] has found, in the order of its paths: nodes are mostly read in that order next.
#[derive(Default)]
struct Found {
    slots: Cell<[Option<u32>; FIND_BATCH]>,
    next: Cell<usize>,
}

impl Reading<'_> {
    pub fn floor(&self) -> Zxid {
        Zxid::of_version(self.turn.floor())
    }

    /// Looks again at what may be read.
    pub fn published(&self) -> Zxid {
        Zxid::of_version(self.turn.published())
    }

    /// The node at `path` as of `at`. The empty path is the root, as in ZooKeeper.
    pub fn node(&self, path: &[u8], at: Zxid) -> Option<&Node> {
        let path = if path.is_empty() { b"/" } else { path };
        let next = self.found.next.get();
        if next < FIND_BATCH {
            let node = self.found.slots.as_array_of_cells()[next]
                .get()
                .and_then(|slot| self.node_in(slot, path, at));
            // As soon as something else is read, or isn't there, nobody knows what comes next.
            self.found.next.set(if node.is_some() { next + 1 } else { FIND_BATCH });
            if node.is_some() {
                return node;
            }
        }
        self.index.candidates(&self.turn, self.key.hash(path)).find_map(|slot| self.node_in(slot, path, at))
    }

    /// The node of `slot` as of `at`, if it is there and at `path`.
    fn node_in(&self, slot: u32, path: &[u8], at: Zxid) -> Option<&Node> {
        let node = self.view.read(&self.turn, slot, at.version())?;
        (node.path.bytes() == path && node.is_alive()).then_some(node)
    }

    /// Paths of one [`Self::look_ahead`].
    pub const LOOKED_AT_MAX: usize = FIND_BATCH;

    /// What it takes to read the nodes at these paths, `LOOKED_AT_MAX` of them at most. Each step into memory is taken for all of them
    /// before the next one (`ahead`). Where they were found is kept for [`Self::node`].
    pub fn look_ahead(&self, paths: &[&[u8]], at: Zxid) {
        let mut hashes = [0; FIND_BATCH];
        let mut nodes = [None; FIND_BATCH];
        let mut slots = [None; FIND_BATCH];
        for (hash, path) in hashes.iter_mut().zip(paths) {
            *hash = self.key.hash(path);
        }
        for (slot, hash) in slots.iter_mut().zip(hashes).take(paths.len()) {
            *slot = self.index.candidates(&self.turn, hash).next();
        }
        for (node, slot) in nodes.iter_mut().zip(slots).take(paths.len()) {
            *node = slot.and_then(|slot| self.view.read(&self.turn, slot, at.version()));
        }
        for node in nodes.iter().flatten() {
            black_box((node.is_alive(), node.path.bytes().len(), node.data_bytes()));
        }
        self.found.slots.set(slots);
        self.found.next.set(0);
    }

    /// Those children of `node` as of `at` that lie at `from` and behind it in its bag, up to about `budget` of them.
    /// Returns where to go on, or `None` at the end. `node` must have been read at `at`.
    pub fn some_children<'r>(
        &'r self,
        node: &'r Node,
        at: Zxid,
        from: u32,
        budget: usize,
        mut each: impl FnMut(&'r Node),
    ) -> Option<u32> {
        let mut slots = node.children()?.iter_from(from);
        for _ in 0..budget {
            let child = self.view.read(&self.turn, slots.next()?, at.version());
            if let Some(child) = child.filter(|child| child.is_alive()) {
                each(child);
            }
        }
        Some(slots.position())
    }

    /// The next piece of a listing that goes on over several turns, each at its own version. Returns whether there may be more.
    /// A child that is there all the time is met, at least once; of what comes or goes meanwhile anything.
    pub fn next_children<'r>(
        &'r self,
        node: &'r Node,
        at: Zxid,
        place: &mut Place,
        budget: usize,
        each: impl FnMut(&'r Node),
    ) -> bool {
        let Some(bag) = node.children_bag() else { return false };
        if !place.bag.as_ref().is_some_and(|old| triomphe::Arc::ptr_eq(old, &bag)) {
            *place = Place { bag: Some(bag), position: 0 };
        }
        let next = self.some_children(node, at, place.position, budget, each);
        place.position = next.unwrap_or(place.position);
        next.is_some()
    }

    /// The children of `node` as of `at`, in no particular order; `node` must have been read at `at`.
    pub fn children<'r>(&'r self, node: &'r Node, at: Zxid) -> impl Iterator<Item = &'r Node> {
        node.children().into_iter().flat_map(|bag| bag.iter()).filter_map(move |slot| {
            let child = self.view.read(&self.turn, slot, at.version())?;
            child.is_alive().then_some(child)
        })
    }
}

/// Where such a listing goes on.
#[derive(Clone, Default)]
pub struct Place {
    /// What `position` is of. Held, so that a bag which was made anew is known for another one.
    bag: Option<triomphe::Arc<Bag>>,
    position: u32,
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        let place = |of: &Place| (of.bag.as_ref().map(triomphe::Arc::as_ptr), of.position);
        place(self) == place(other)
    }
}

impl Eq for Place {}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "position {}", self.position)
    }
}
