//! One-time watches of this shard's connections: two tables by path, data and child (client-protocol.md §12).
//!
//! A watch belongs to a connection, not to its session, and vanishes with it. Registering the same watch twice is one
//! watch. Bounded by what clients register; memory per watch is two table entries, the path is shared.

use crate::base::{ConnectionId, HashKey, KeyedHasher, Map, Path, Set};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    Data,
    Child,
}

#[derive(Debug)]
pub struct Watches {
    key: HashKey,
    data: Map<Path, Vec<ConnectionId>>,
    child: Map<Path, Vec<ConnectionId>>,
    of_connection: Map<ConnectionId, Set<(Table, Path)>>,
    count: usize,
}

impl Watches {
    pub fn new(key: HashKey) -> Watches {
        let hasher = KeyedHasher(key);
        Watches {
            key,
            data: Map::with_hasher(hasher),
            child: Map::with_hasher(hasher),
            of_connection: Map::with_hasher(hasher),
            count: 0,
        }
    }

    pub fn add(&mut self, table: Table, path: &[u8], connection: ConnectionId) {
        let watchers = match table {
            Table::Data => &mut self.data,
            Table::Child => &mut self.child,
        };
        let path = watchers.get_key_value(path).map_or_else(|| Path::new(path), |(path, _)| path.clone());
        let own = self.of_connection.entry(connection);
        if own.or_insert_with(|| Set::with_hasher(KeyedHasher(self.key))).insert((table, path.clone())) {
            watchers.entry(path).or_default().push(connection);
            self.count += 1;
        }
    }

    /// Takes the watches at `path`, in the order in which they were set.
    pub fn take(&mut self, table: Table, path: &[u8]) -> Vec<ConnectionId> {
        let watchers = match table {
            Table::Data => &mut self.data,
            Table::Child => &mut self.child,
        };
        if watchers.is_empty() {
            return vec![];
        }
        let Some((path, connections)) = watchers.remove_entry(path) else { return vec![] };
        self.count -= connections.len();
        let key = (table, path);
        for connection in &connections {
            if let Some(own) = self.of_connection.get_mut(connection) {
                own.remove(&key);
                if own.is_empty() {
                    self.of_connection.remove(connection);
                }
            }
        }
        connections
    }

    pub fn remove_connection(&mut self, connection: ConnectionId) {
        for (table, path) in self.of_connection.remove(&connection).into_iter().flatten() {
            let watchers = match table {
                Table::Data => &mut self.data,
                Table::Child => &mut self.child,
            };
            if let Some(connections) = watchers.get_mut(&path) {
                connections.retain(|other| *other != connection);
                self.count -= 1;
                if connections.is_empty() {
                    watchers.remove(&path);
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Watches, of both tables.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn paths_count(&self) -> usize {
        self.data.len() + self.child.len()
    }

    pub fn connections_count(&self) -> usize {
        self.of_connection.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: 1 }
    }

    #[test]
    fn a_watch_fires_once_and_is_set_once() {
        let mut watches = Watches::new(HashKey(1, 2));
        watches.add(Table::Data, b"/a", connection(1));
        watches.add(Table::Data, b"/a", connection(1));
        watches.add(Table::Data, b"/a", connection(2));
        watches.add(Table::Child, b"/a", connection(1));
        assert_eq!((watches.count(), watches.paths_count(), watches.connections_count()), (3, 2, 2));
        assert_eq!(watches.take(Table::Data, b"/a"), [connection(1), connection(2)]);
        assert_eq!(watches.take(Table::Data, b"/a"), []);
        assert_eq!(watches.take(Table::Child, b"/a"), [connection(1)]);
        assert!(watches.is_empty() && watches.connections_count() == 0);
    }

    #[test]
    fn watches_vanish_with_their_connection() {
        let mut watches = Watches::new(HashKey(1, 2));
        watches.add(Table::Data, b"/a", connection(1));
        watches.add(Table::Child, b"/b", connection(1));
        watches.add(Table::Data, b"/a", connection(2));
        watches.remove_connection(connection(1));
        assert_eq!(watches.take(Table::Data, b"/a"), [connection(2)]);
        assert_eq!(watches.take(Table::Child, b"/b"), []);
        assert!(watches.is_empty());
    }
}
