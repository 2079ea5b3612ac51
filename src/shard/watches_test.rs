//! The tables of watches, by example and against a naive model.

use std::collections::BTreeMap;

use super::*;
use crate::base::{Prng, hashed};

const KEY: HashKey = HashKey(1, 2);

fn connection(slot: u32) -> ConnectionId {
    ConnectionId { slot, generation: 1 }
}

fn trigger(watches: &mut Watches, table: Table, path: &str) -> Vec<u32> {
    watches.begin_event();
    let mut receivers = vec![];
    watches.trigger(table, path.as_bytes(), &mut receivers);
    receivers.iter().map(|id| id.slot).collect()
}

fn add(watches: &mut Watches, table: Table, path: &str, slot: u32) {
    watches.add(table, path.as_bytes(), None, connection(slot), Modes::STANDARD);
}

#[test]
fn a_one_time_watch_fires_once_and_is_set_once() {
    let mut watches = Watches::new(KEY);
    add(&mut watches, Table::Data, "/a", 1);
    add(&mut watches, Table::Data, "/a", 1);
    add(&mut watches, Table::Data, "/a", 2);
    add(&mut watches, Table::Child, "/a", 1);
    assert_eq!(watches.counts(Table::Data), Counts { watches: 2, paths: 1, connections: 2 });
    assert_eq!(watches.counts(Table::Child), Counts { watches: 1, paths: 1, connections: 1 });
    assert_eq!(trigger(&mut watches, Table::Data, "/a"), [1, 2]);
    assert_eq!(trigger(&mut watches, Table::Data, "/a"), Vec::<u32>::new());
    assert_eq!(trigger(&mut watches, Table::Child, "/a"), [1]);
    assert!(watches.is_empty());
    assert_eq!(watches.counts(Table::Data), Counts::default());
}

#[test]
fn watches_vanish_with_their_connection_and_the_next_one_in_its_slot_has_none() {
    let mut watches = Watches::new(KEY);
    add(&mut watches, Table::Data, "/a", 1);
    add(&mut watches, Table::Child, "/b", 1);
    add(&mut watches, Table::Data, "/a", 2);
    watches.add_lasting(b"/", None, connection(1), true);
    watches.remove_connection(connection(1));
    let next = ConnectionId { slot: 1, generation: 2 };
    assert_eq!(watches.paths_of(Table::Data, next).count(), 0);
    assert!(!watches.contains(Table::Data, b"/a", next, Modes::ANY));
    watches.add(Table::Data, b"/a", None, next, Modes::STANDARD);
    watches.remove_connection(connection(1));
    assert_eq!(trigger(&mut watches, Table::Data, "/a"), [2, 1]);
    assert_eq!(trigger(&mut watches, Table::Child, "/b"), Vec::<u32>::new());
    assert!(watches.is_empty());
}

#[test]
fn recursive_watches_hear_of_everything_below_and_persistent_ones_of_their_path() {
    let mut watches = Watches::new(KEY);
    add(&mut watches, Table::Data, "/a", 9);
    watches.add_lasting(b"/a", None, connection(1), true);
    watches.add_lasting(b"/", None, connection(2), true);
    watches.add_lasting(b"/a/b", None, connection(3), false);
    for _ in 0..2 {
        assert_eq!(trigger(&mut watches, Table::Data, "/a/b"), [3, 1, 2]);
        assert_eq!(trigger(&mut watches, Table::Child, "/a/b"), [3]);
        assert_eq!(trigger(&mut watches, Table::Data, "/ab"), [2]);
    }
    assert_eq!(trigger(&mut watches, Table::Data, "/a"), [1, 9, 2]);
    assert_eq!(trigger(&mut watches, Table::Data, "/"), [2]);
}

/// A connection that watches in several ways is told once; only the one-time way is used up.
#[test]
fn modes_coexist_and_an_event_reaches_a_connection_once() {
    let mut watches = Watches::new(KEY);
    let one = connection(1);
    add(&mut watches, Table::Data, "/a", 1);
    watches.add_lasting(b"/a", None, one, false);
    watches.add_lasting(b"/a", None, one, true);
    watches.add_lasting(b"/", None, one, true);
    watches.begin_event();
    let mut receivers = vec![];
    watches.trigger(Table::Data, b"/a", &mut receivers);
    watches.trigger(Table::Child, b"/a", &mut receivers);
    assert_eq!(receivers, [one]);
    assert!(!watches.contains(Table::Data, b"/a", one, Modes::STANDARD));
    assert!(watches.contains(Table::Data, b"/a", one, Modes::PERSISTENT));
    assert!(watches.contains(Table::Child, b"/a", one, Modes::PERSISTENT));
    assert!(watches.remove(Table::Data, b"/a", one, Modes::RECURSIVE));
    assert!(!watches.remove(Table::Data, b"/a", one, Modes::RECURSIVE));
    assert_eq!(trigger(&mut watches, Table::Data, "/a/b"), [1], "by the one of the root");
    assert!(watches.remove(Table::Data, b"/", one, Modes::ANY));
    assert_eq!(trigger(&mut watches, Table::Data, "/a/b"), Vec::<u32>::new());
    assert_eq!(trigger(&mut watches, Table::Data, "/a"), [1]);
}

/// The tables as lists, and everything by looking through all of it.
#[derive(Default)]
struct Model(BTreeMap<(u8, String, u32), u8>);

impl Model {
    fn trigger(&mut self, table: Table, path: &str) -> Vec<u32> {
        let mut reached = vec![];
        for ((of, at, slot), modes) in &mut self.0 {
            let below = path != at && (at == "/" || path.starts_with(&format!("{at}/")));
            if *of == table as u8 && (at == path || (below && *modes & Modes::RECURSIVE.0 != 0)) {
                reached.push(*slot);
                if at == path {
                    *modes &= !Modes::STANDARD.0;
                }
            }
        }
        self.0.retain(|_, modes| *modes != 0);
        reached.sort_unstable();
        reached.dedup();
        reached
    }
}

#[test]
fn agrees_with_a_naive_model() {
    let mut random = Prng::new(0x7a7c4e5);
    let (mut watches, mut model) = (Watches::new(KEY), Model::default());
    let paths = ["/", "/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f"];
    for _ in 0..20_000 {
        let path = paths[random.below(paths.len() as u64) as usize];
        let slot = random.below(5) as u32;
        let table = if random.chance(1, 2) { Table::Data } else { Table::Child };
        let mode = match random.below(if table == Table::Data { 3 } else { 2 }) {
            0 => Modes::STANDARD,
            1 => Modes::PERSISTENT,
            _ => Modes::RECURSIVE,
        };
        let key = (table as u8, path.to_owned(), slot);
        match random.below(20) {
            0..9 => {
                watches.add(table, path.as_bytes(), None, connection(slot), mode);
                *model.0.entry(key).or_default() |= mode.0;
            }
            9..14 => {
                let mut reached = trigger(&mut watches, table, path);
                reached.sort_unstable();
                assert_eq!(reached, model.trigger(table, path));
            }
            14..17 => {
                let had = model.0.get(&key).is_some_and(|modes| modes & mode.0 != 0);
                assert_eq!(watches.contains(table, path.as_bytes(), connection(slot), mode), had);
                assert_eq!(watches.remove(table, path.as_bytes(), connection(slot), mode), had);
                if let Some(modes) = model.0.get_mut(&key) {
                    *modes &= !mode.0;
                }
                model.0.retain(|_, modes| *modes != 0);
            }
            17..19 => {
                let listed = watches.paths_of(table, connection(slot)).map(ToString::to_string);
                let mut listed: Vec<String> = listed.collect();
                listed.sort();
                let known = model.0.keys().filter(|(of, _, by)| *of == table as u8 && *by == slot);
                assert_eq!(listed, known.map(|(_, path, _)| path.clone()).collect::<Vec<_>>());
            }
            _ => {
                watches.remove_connection(connection(slot));
                model.0.retain(|(_, _, by), _| *by != slot);
            }
        }
        for table in [Table::Data, Table::Child] {
            let of = |key: &&(u8, String, u32)| key.0 == table as u8;
            let mut places: Vec<&str> = model.0.keys().filter(of).map(|(_, path, _)| path.as_str()).collect();
            places.dedup();
            let mut slots: Vec<u32> = model.0.keys().filter(of).map(|(_, _, slot)| *slot).collect();
            let watches_count = slots.len();
            slots.sort_unstable();
            slots.dedup();
            let expected = Counts { watches: watches_count, paths: places.len(), connections: slots.len() };
            assert_eq!(watches.counts(table), expected);
        }
    }
}

/// What is freed is used again: a million watches that come and go take no more room than those that are there.
#[test]
fn slots_are_used_again() {
    let mut watches = Watches::new(KEY);
    for round in 0..100 {
        for path in 0..100 {
            add(&mut watches, Table::Data, &format!("/{round}/{path}"), path % 3);
        }
        for slot in 0..3 {
            watches.remove_connection(connection(slot));
        }
    }
    assert!(watches.is_empty());
    assert_eq!((watches.watches.len(), watches.places.len()), (100, 100));
}

/// A client makes the path, and another that watches the root makes everybody pay for its length.
#[test]
fn an_event_costs_the_length_of_its_path_however_many_levels_it_has() {
    const LEVELS: usize = 2_000;
    let mut watches = Watches::new(KEY);
    let deep = "/a".repeat(LEVELS);
    watches.add_lasting(b"/", None, connection(1), true);
    watches.add_lasting(&deep.as_bytes()[..LEVELS], None, connection(2), true);
    let hashed = hashed::during(|| assert_eq!(trigger(&mut watches, Table::Data, &deep), [2, 1]));
    assert!(hashed < 10 * deep.len(), "{hashed} bytes were hashed for a path of {}", deep.len());
}

/// One connection that watches every level is looked for at each of them, and told once.
#[test]
fn places_are_listed_as_recursive_while_a_recursive_watch_is_there() {
    let mut watches = Watches::new(KEY);
    for slot in [1, 2] {
        for path in ["/", "/a", "/a/b"] {
            watches.add_lasting(path.as_bytes(), None, connection(slot), true);
        }
    }
    assert_eq!(trigger(&mut watches, Table::Data, "/a/b/c"), [2, 1]);
    add(&mut watches, Table::Data, "/a", 1);
    watches.add_lasting(b"/a", None, connection(1), true);
    assert!(watches.remove(Table::Data, b"/a", connection(1), Modes::RECURSIVE));
    watches.remove_connection(connection(2));
    assert_eq!(watches.recursives.len(), 2);
    assert!(watches.remove(Table::Data, b"/", connection(1), Modes::ANY));
    assert_eq!(trigger(&mut watches, Table::Data, "/a/c"), Vec::<u32>::new());
    assert_eq!(trigger(&mut watches, Table::Data, "/a/b/c"), [1]);
    watches.remove_connection(connection(1));
    assert!(watches.recursives.is_empty() && watches.is_empty());
}
