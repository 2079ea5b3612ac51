//! Watches of this shard's connections: two tables by path, data and child (client-protocol.md §12).
//!
//! Called by reads (registration), by notices (events) and when a connection ends. A watch belongs to a connection, not
//! to its session, and vanishes with it. A connection has at most one watch per table and path, with a set of modes:
//! they coexist, and each is removed by itself, as in ZooKeeper 3.9.
//!
//! Memory: a path is held once for all that watch it, and shared with its znode where there is one; a watch is 28 bytes
//! and about 8 in the index of pairs. All links are numbers of slots, so that adding, firing and removing a watch are
//! O(1) each; a connection's end costs what it watches, an event what it reaches.
//!
//! Recursive watches stand first in their place's list: an event below looks at them and at no other of the ancestor's.
//! How an event finds them: `watches/recursive.rs`.
//!
//! Invariants: 1. a place has at least one watch. 2. a watch has at least one mode. 3. the lists of places and the lists
//! of connections hold the same watches. Limits: 2^32 - 1 watches; bounded by what clients register.
//! Tested: watches_test.rs (against a naive model), shard_test.rs, tests/conformance.

mod recursive;

use hashbrown::HashTable;

use crate::base::{ConnectionId, HashKey, Path};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Data,
    Child,
}

/// A set of ways in which a path is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes(u8);

impl Modes {
    /// Until the first event.
    pub const STANDARD: Modes = Modes(1);
    /// Until it is removed.
    pub const PERSISTENT: Modes = Modes(2);
    /// So, and for everything below the path as well. In the data table only.
    pub const RECURSIVE: Modes = Modes(4);
    pub const ANY: Modes = Modes(7);
    pub const NONE: Modes = Modes(0);

    fn has(self, other: Modes) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Modes) -> Modes {
        Modes(self.0 | other.0)
    }

    fn without(self, other: Modes) -> Modes {
        Modes(self.0 & !other.0)
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// No slot.
const NONE: u32 = u32::MAX;

/// A path that is watched, in one table.
#[derive(Debug)]
struct Place {
    /// `None`: free, and `first` is the next free one.
    path: Option<Path>,
    table: Table,
    first: u32,
    last: u32,
}

/// One connection's interest in one place.
#[derive(Clone, Copy, Debug)]
struct Watch {
    place: u32,
    connection: u32,
    /// Neighbours in the place's list. Of a free slot: `after` is the next free one.
    before: u32,
    after: u32,
    /// Neighbours in the connection's list.
    previous: u32,
    next: u32,
    modes: Modes,
}

const _: () = assert!(size_of::<Watch>() == 28, "a million watches pay for every byte here");

/// What is known of the connection in a slot.
#[derive(Clone, Debug)]
struct Head {
    generation: u32,
    /// Its newest watch.
    first: u32,
    /// Watches by table.
    counts: [u32; 2],
    /// The last event that reached it.
    event: u64,
}

const NOBODY: Head = Head { generation: 0, first: NONE, counts: [0; 2], event: 0 };

#[derive(Debug)]
pub struct Watches {
    key: HashKey,
    /// Places by path, a table each.
    index: [HashTable<u32>; 2],
    places: Vec<Place>,
    free_place: u32,
    /// Watches by place and connection.
    pairs: HashTable<u32>,
    watches: Vec<Watch>,
    free_watch: u32,
    /// By the slot of the connection.
    heads: Vec<Head>,
    /// Places of recursive watches, with the `prefix_hash` of their paths.
    recursives: HashTable<(u64, u32)>,
    /// Scratch of an event: places that recursive watches above it may be at, and how long their paths are.
    above: Vec<(u32, usize)>,
    counts: [usize; 2],
    connections: [usize; 2],
    /// Numbers events, so that each reaches a connection once.
    event: u64,
}

/// How many watches, on how many paths, of how many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub watches: usize,
    pub paths: usize,
    pub connections: usize,
}

impl Counts {
    /// Adds another shard's: no connection is in two, a path may be.
    pub fn add(&mut self, other: Counts) {
        self.watches += other.watches;
        self.paths += other.paths;
        self.connections += other.connections;
    }
}

impl Watches {
    pub fn new(key: HashKey) -> Watches {
        Watches {
            key,
            index: [HashTable::new(), HashTable::new()],
            places: vec![],
            free_place: NONE,
            pairs: HashTable::new(),
            watches: vec![],
            free_watch: NONE,
            heads: vec![],
            recursives: HashTable::new(),
            above: vec![],
            counts: [0; 2],
            connections: [0; 2],
            event: 0,
        }
    }

    /// `shared` is the znode's own copy of the path, if there is a znode.
    pub fn add(
        &mut self,
        table: Table,
        path: &[u8],
        shared: Option<&Path>,
        connection: ConnectionId,
        modes: Modes,
    ) {
        let place = match self.find(table, path) {
            Some(place) => place,
            None => {
                let shared = shared.filter(|shared| shared.bytes() == path);
                self.add_place(table, shared.map_or_else(|| Path::new(path), Path::clone))
            }
        };
        let at = match self.find_pair(place, connection) {
            Some(at) => at,
            None => self.add_watch(place, connection),
        };
        let before = self.watches[at as usize].modes;
        self.watches[at as usize].modes = before.with(modes);
        if modes.has(Modes::RECURSIVE) && !before.has(Modes::RECURSIVE) {
            self.unlink_from_place(at);
            self.link_first(at);
            self.index_recursive(place);
        }
    }

    /// What addWatch does: both tables, or for recursive ones the data table alone.
    pub fn add_lasting(
        &mut self,
        path: &[u8],
        shared: Option<&Path>,
        connection: ConnectionId,
        recursive: bool,
    ) {
        if recursive {
            return self.add(Table::Data, path, shared, connection, Modes::RECURSIVE);
        }
        self.add(Table::Data, path, shared, connection, Modes::PERSISTENT);
        self.add(Table::Child, path, shared, connection, Modes::PERSISTENT);
    }

    /// A new event begins: from here to the next, [`Watches::trigger`] names a connection once.
    pub fn begin_event(&mut self) {
        self.event += 1;
    }

    /// Something happened at `path`. Appends who is to be told and was not told of this event yet; one-time watches are
    /// used up. Was it watched itself?
    pub fn trigger(&mut self, table: Table, path: &[u8], receivers: &mut Vec<ConnectionId>) -> bool {
        let place = self.find(table, path);
        if let Some(place) = place {
            let mut at = self.places[place as usize].first;
            while at != NONE {
                let Watch { connection, after, modes, .. } = self.watches[at as usize];
                self.reach(connection, receivers);
                let left = modes.without(Modes::STANDARD);
                if left.is_none() {
                    self.remove_watch(at);
                } else {
                    self.watches[at as usize].modes = left;
                }
                at = after;
            }
        }
        if table == Table::Data && !self.recursives.is_empty() {
            self.trigger_recursive(path, receivers);
        }
        place.is_some()
    }

    fn reach(&mut self, connection: u32, receivers: &mut Vec<ConnectionId>) {
        let head = &mut self.heads[connection as usize];
        if head.event != self.event {
            head.event = self.event;
            receivers.push(ConnectionId { slot: connection, generation: head.generation });
        }
    }

    /// Takes these modes off the connection's watch. False if it has none of them.
    pub fn remove(&mut self, table: Table, path: &[u8], connection: ConnectionId, modes: Modes) -> bool {
        let Some(at) = self.watch_at(table, path, connection) else { return false };
        let before = self.watches[at as usize].modes;
        if !before.has(modes) {
            return false;
        }
        let left = before.without(modes);
        if left.is_none() {
            self.remove_watch(at);
            return true;
        }
        self.watches[at as usize].modes = left;
        if before.has(Modes::RECURSIVE) && !left.has(Modes::RECURSIVE) {
            self.unlink_from_place(at);
            self.link_last(at);
            self.unindex_recursive(self.watches[at as usize].place);
        }
        true
    }

    pub fn contains(&self, table: Table, path: &[u8], connection: ConnectionId, modes: Modes) -> bool {
        self.watch_at(table, path, connection).is_some_and(|at| self.watches[at as usize].modes.has(modes))
    }

    pub fn remove_connection(&mut self, connection: ConnectionId) {
        while let Some(head) = self.heads.get(connection.slot as usize)
            && head.generation == connection.generation
            && head.first != NONE
        {
            self.remove_watch(head.first);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.counts == [0; 2]
    }

    pub fn counts(&self, table: Table) -> Counts {
        let of = table as usize;
        Counts { watches: self.counts[of], paths: self.index[of].len(), connections: self.connections[of] }
    }

    /// Of the paths in a table, in no particular order.
    pub fn hashes(&self, table: Table) -> Vec<u64> {
        let paths =
            self.index[table as usize].iter().filter_map(|&place| self.places[place as usize].path.as_ref());
        paths.map(|path| self.key.hash(path.bytes())).collect()
    }

    /// What a connection watches in a table, newest first.
    pub fn paths_of(&self, table: Table, connection: ConnectionId) -> impl Iterator<Item = &Path> {
        let head = self.heads.get(connection.slot as usize);
        let first =
            head.filter(|head| head.generation == connection.generation).map_or(NONE, |head| head.first);
        let listed = std::iter::successors(self.watches.get(first as usize), |watch| {
            self.watches.get(watch.next as usize)
        });
        listed
            .map(|watch| &self.places[watch.place as usize])
            .filter(move |place| place.table == table)
            .filter_map(|place| place.path.as_ref())
    }

    fn find(&self, table: Table, path: &[u8]) -> Option<u32> {
        let index = &self.index[table as usize];
        if index.is_empty() {
            return None;
        }
        let is_it =
            |&place: &u32| self.places[place as usize].path.as_ref().is_some_and(|p| p.bytes() == path);
        index.find(self.key.hash(path), is_it).copied()
    }

    fn find_pair(&self, place: u32, connection: ConnectionId) -> Option<u32> {
        let slot = connection.slot;
        let head = self.heads.get(slot as usize)?;
        if head.generation != connection.generation || head.first == NONE {
            return None;
        }
        let is_it = |&at: &u32| {
            let watch = &self.watches[at as usize];
            watch.place == place && watch.connection == slot
        };
        self.pairs.find(pair_hash(self.key, place, slot), is_it).copied()
    }

    fn watch_at(&self, table: Table, path: &[u8], connection: ConnectionId) -> Option<u32> {
        self.find_pair(self.find(table, path)?, connection)
    }

    fn add_place(&mut self, table: Table, path: Path) -> u32 {
        let hash = self.key.hash(path.bytes());
        let fresh = Place { path: Some(path), table, first: NONE, last: NONE };
        let at = self.free_place;
        let at = if at == NONE {
            self.places.push(fresh);
            slot_number(self.places.len() - 1)
        } else {
            self.free_place = self.places[at as usize].first;
            self.places[at as usize] = fresh;
            at
        };
        let (key, places) = (self.key, &self.places);
        self.index[table as usize].insert_unique(hash, at, |&place| hash_of(key, &places[place as usize]));
        at
    }

    /// A watch without a mode: the caller gives it one.
    fn add_watch(&mut self, place: u32, connection: ConnectionId) -> u32 {
        let slot = connection.slot as usize;
        if self.heads.len() <= slot {
            self.heads.resize(slot + 1, NOBODY);
        }
        let head = &mut self.heads[slot];
        if head.generation != connection.generation {
            assert!(head.first == NONE, "a slot is used again only after its connection's watches are gone");
            *head = Head { generation: connection.generation, ..NOBODY };
        }
        let fresh = Watch {
            place,
            connection: connection.slot,
            before: NONE,
            after: NONE,
            previous: NONE,
            next: head.first,
            modes: Modes::NONE,
        };
        let at = self.free_watch;
        let at = if at == NONE {
            self.watches.push(fresh);
            slot_number(self.watches.len() - 1)
        } else {
            self.free_watch = self.watches[at as usize].after;
            self.watches[at as usize] = fresh;
            at
        };
        let next = std::mem::replace(&mut self.heads[slot].first, at);
        if next != NONE {
            self.watches[next as usize].previous = at;
        }
        self.link_last(at);
        let (key, watches) = (self.key, &self.watches);
        self.pairs.insert_unique(pair_hash(key, place, connection.slot), at, |&at| {
            let watch = &watches[at as usize];
            pair_hash(key, watch.place, watch.connection)
        });
        let of = self.places[place as usize].table as usize;
        self.counts[of] += 1;
        let own = &mut self.heads[slot].counts[of];
        self.connections[of] += usize::from(*own == 0);
        *own += 1;
        at
    }

    fn remove_watch(&mut self, at: u32) {
        let watch = self.watches[at as usize];
        let found =
            self.pairs.find_entry(pair_hash(self.key, watch.place, watch.connection), |&other| other == at);
        found.expect("every watch is in the index of pairs").remove();
        let of = self.places[watch.place as usize].table as usize;
        self.counts[of] -= 1;
        let head = &mut self.heads[watch.connection as usize];
        head.counts[of] -= 1;
        self.connections[of] -= usize::from(head.counts[of] == 0);
        match watch.previous {
            NONE => head.first = watch.next,
            previous => self.watches[previous as usize].next = watch.next,
        }
        if watch.next != NONE {
            self.watches[watch.next as usize].previous = watch.previous;
        }
        self.unlink_from_place(at);
        if watch.modes.has(Modes::RECURSIVE) {
            self.unindex_recursive(watch.place);
        }
        self.watches[at as usize].after = self.free_watch;
        self.free_watch = at;
        if self.places[watch.place as usize].first == NONE {
            self.remove_place(watch.place);
        }
    }

    fn remove_place(&mut self, at: u32) {
        let place = &mut self.places[at as usize];
        let hash = hash_of(self.key, place);
        let found = self.index[place.table as usize].find_entry(hash, |&other| other == at);
        found.expect("every place is in its index").remove();
        place.path = None;
        place.first = self.free_place;
        self.free_place = at;
    }

    fn link_first(&mut self, at: u32) {
        let place = &mut self.places[self.watches[at as usize].place as usize];
        let after = std::mem::replace(&mut place.first, at);
        self.watches[at as usize].before = NONE;
        self.watches[at as usize].after = after;
        match after {
            NONE => place.last = at,
            after => self.watches[after as usize].before = at,
        }
    }

    fn link_last(&mut self, at: u32) {
        let place = &mut self.places[self.watches[at as usize].place as usize];
        let before = std::mem::replace(&mut place.last, at);
        self.watches[at as usize].before = before;
        self.watches[at as usize].after = NONE;
        match before {
            NONE => place.first = at,
            before => self.watches[before as usize].after = at,
        }
    }

    fn unlink_from_place(&mut self, at: u32) {
        let Watch { place, before, after, .. } = self.watches[at as usize];
        let place = &mut self.places[place as usize];
        match before {
            NONE => place.first = after,
            before => self.watches[before as usize].after = after,
        }
        match after {
            NONE => place.last = before,
            after => self.watches[after as usize].before = before,
        }
    }
}

fn hash_of(key: HashKey, place: &Place) -> u64 {
    key.hash(place.path.as_ref().expect("what is in the index has a path").bytes())
}

fn pair_hash(key: HashKey, place: u32, connection: u32) -> u64 {
    key.hash(&((u64::from(place) << 32) | u64::from(connection)).to_ne_bytes())
}

fn slot_number(index: usize) -> u32 {
    u32::try_from(index)
        .ok()
        .filter(|&slot| slot != NONE)
        .expect("watches don't outgrow the memory of the machine")
}

#[cfg(test)]
#[path = "watches_test.rs"]
mod tests;
