//! Version chains against a naive model.

use std::collections::VecDeque;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering as StdOrdering};

use super::*;
use crate::base::Prng;
use crate::lockfree::eras::{Observer, eras};

/// A value that notices when it is read after its drop, and counts who lives.
struct Probe {
    value: Box<u64>,
    alive: bool,
    count: StdArc<AtomicUsize>,
}

impl Probe {
    fn new(value: u64, count: &StdArc<AtomicUsize>) -> Probe {
        count.fetch_add(1, StdOrdering::Relaxed);
        Probe { value: Box::new(value), alive: true, count: count.clone() }
    }

    fn value(&self) -> u64 {
        assert!(self.alive, "read after drop");
        *self.value
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        assert!(self.alive, "dropped twice");
        self.alive = false;
        self.count.fetch_sub(1, StdOrdering::Relaxed);
    }
}

fn enter_one(observers: &mut [Observer]) -> Turn<'_> {
    observers[0].enter()
}

/// What is freed is the next version's memory, last freed first, up to a bound; values are dropped once, whether their memory is kept
/// or not.
#[test]
fn memory_of_freed_versions_is_used_again() {
    let count = StdArc::new(AtomicUsize::new(0));
    let (mut publisher, _) = eras(0);
    let (mut arena, view) = arena(&publisher);
    let slot = arena.insert(1, Probe::new(1, &count));
    let address = |arena: &Arena<Probe>| std::ptr::from_ref(arena.latest(slot).expect("it is there")).addr();
    let mut places = vec![address(&arena)];
    for version in 2..4 {
        arena.update(&publisher, slot, version, Probe::new(version, &count));
        places.push(address(&arena));
    }
    publisher.publish(3);
    let mut superseded = vec![];
    arena.reclaim(&publisher, usize::MAX, &mut |_, probe| superseded.push(probe.value()));
    assert_eq!((superseded, count.load(StdOrdering::Relaxed)), (vec![1, 2], 1));
    for (version, place) in [(4, places[1]), (5, places[0])] {
        arena.update(&publisher, slot, version, Probe::new(version, &count));
        assert_eq!((address(&arena), arena.latest(slot).map(Probe::value)), (place, Some(version)));
    }

    let many = SPARE_MAX as u64 + 9;
    for version in 6..6 + many {
        arena.update(&publisher, slot, version, Probe::new(version, &count));
    }
    publisher.publish(5 + many);
    arena.reclaim(&publisher, usize::MAX, &mut |_, _| ());
    assert_eq!((arena.spare.len(), count.load(StdOrdering::Relaxed)), (SPARE_MAX, 1));
    drop((arena, view));
    assert_eq!(count.load(StdOrdering::Relaxed), 0);
}

#[test]
fn a_reader_gets_the_newest_version_it_may_see() {
    let (mut publisher, mut observers) = eras(1);
    let (mut arena, view) = arena(&publisher);
    let slot = arena.insert(5, "five");
    publisher.publish(4);
    let turn = enter_one(&mut observers);
    assert_eq!(view.read(&turn, slot, 4), None, "too new");
    assert_eq!(view.read(&turn, slot + 1, 4), None, "never used");
    assert_eq!(view.read(&turn, SLOTS_MAX, 4), None, "no such chunk");
    assert_eq!(view.read(&turn, u32::MAX, 4), None, "no such slot");
    publisher.publish(5);
    arena.update(&publisher, slot, 7, "seven");
    arena.update(&publisher, slot, 9, "nine");
    publisher.publish(10);
    assert_eq!(turn.published(), 10);
    let read: Vec<_> = (4..=10).map(|version| view.read(&turn, slot, version)).collect();
    let (five, seven, nine) = (Some("five"), Some("seven"), Some("nine"));
    let expected = [None, five, five, seven, seven, nine, nine];
    assert_eq!(read.into_iter().map(|value| value.copied()).collect::<Vec<_>>(), expected);
    assert_eq!((arena.latest(slot), arena.latest_since(slot)), (Some(&"nine"), Some(9)));
    assert_eq!(arena.reclaim(&publisher, usize::MAX, &mut |_, _| ()), 0, "the reader's floor is 4");
    observers[0].raise(8);
    let mut superseded = Vec::new();
    assert_eq!(arena.reclaim(&publisher, usize::MAX, &mut |slot, _| superseded.push(slot)), 1);
    assert_eq!((superseded, arena.retired()), (vec![slot], 1), "nine waits: 8 reads seven");
}

#[test]
fn two_changes_under_one_version_show_the_second() {
    let (mut publisher, mut observers) = eras(1);
    let (mut arena, view) = arena(&publisher);
    let slot = arena.insert(1, 'a');
    publisher.publish(1);
    observers[0].enter();
    arena.update(&publisher, slot, 2, 'b');
    arena.update(&publisher, slot, 2, 'c');
    publisher.publish(2);
    let turn = enter_one(&mut observers);
    assert_eq!(turn.published(), 2);
    assert_eq!((view.read(&turn, slot, 1), view.read(&turn, slot, 2)), (Some(&'a'), Some(&'c')));
    observers[0].raise(2);
    assert_eq!(arena.reclaim(&publisher, usize::MAX, &mut |_, _| ()), 2);
}

#[test]
fn version_zero_may_be_built_under_readers() {
    let (mut publisher, mut observers) = eras(1);
    let (mut arena, view) = arena(&publisher);
    let slot = arena.insert(0, 'a');
    let turn = enter_one(&mut observers);
    let held = view.read(&turn, slot, 0);
    arena.update(&publisher, slot, 0, 'b');
    assert_eq!(view.read(&turn, slot, 0), Some(&'b'));
    assert_eq!(arena.reclaim(&publisher, usize::MAX, &mut |_, _| ()), 0);
    assert_eq!(held, Some(&'a'), "still there for who holds it");
    publisher.publish(1);
    assert_eq!(arena.reclaim(&publisher, usize::MAX, &mut |_, _| ()), 0, "the reader's floor is 0");
    observers[0].park();
    assert_eq!(arena.reclaim(&publisher, usize::MAX, &mut |_, _| ()), 1);
}

#[test]
fn a_released_slot_is_used_again_only_when_nobody_can_hold_it() {
    let (mut publisher, mut observers) = eras(1);
    let (mut arena, view) = arena(&publisher);
    let slot = arena.insert(1, 1u64);
    publisher.publish(1);
    let turn = enter_one(&mut observers);
    let held = view.read(&turn, slot, 1);
    arena.release(&publisher, slot, 2);
    assert_eq!((arena.latest(slot), arena.latest_since(slot)), (None, None));
    assert_eq!(view.read(&turn, slot, 1), None, "unlinked for all");
    publisher.publish(2);
    assert_eq!(arena.reclaim(&publisher, usize::MAX, &mut |_, _| ()), 0);
    assert_eq!(arena.insert(3, 3), slot + 1, "not reclaimed: not reused");
    assert_eq!(held, Some(&1), "still there for who holds it");
    observers[0].park();
    let superseded = &mut |slot, _: &mut u64| panic!("slot {slot} was released, not superseded");
    assert_eq!(arena.reclaim(&publisher, usize::MAX, superseded), 1);
    assert_eq!(arena.insert(3, 4), slot);
    assert_eq!(arena.slots(), 2);
}

#[test]
fn the_budget_bounds_one_call() {
    let (mut publisher, _) = eras(0);
    let (mut arena, _view) = arena(&publisher);
    let slot = arena.insert(0, 0);
    for version in 1..=10 {
        arena.update(&publisher, slot, version, version);
    }
    publisher.publish(10);
    let mut freed = Vec::new();
    while arena.retired() > 0 {
        freed.push(arena.reclaim(&publisher, 4, &mut |_, _| ()));
    }
    assert_eq!(freed, [4, 4, 2]);
}

#[test]
fn whichever_half_goes_last_frees() {
    let count = StdArc::new(AtomicUsize::new(0));
    for arena_first in [true, false] {
        let (mut publisher, mut observers) = eras(1);
        let (mut arena, view) = arena(&publisher);
        let slots: Vec<_> = (0..20).map(|i| arena.insert(1, Probe::new(i, &count))).collect();
        publisher.publish(1);
        let turn = enter_one(&mut observers);
        let held = view.read(&turn, slots[3], 1).expect("inserted");
        arena.update(&publisher, slots[3], 2, Probe::new(33, &count));
        arena.release(&publisher, slots[4], 2);
        publisher.publish(2);
        if arena_first {
            drop(arena);
            assert_eq!(held.value(), 3, "a view keeps all");
            assert_eq!(view.read(&turn, slots[3], 2).map(Probe::value), Some(33));
            drop(view);
        } else {
            drop(view);
            assert_eq!(count.load(StdOrdering::Relaxed), 21);
            drop(arena);
        }
        assert_eq!(count.load(StdOrdering::Relaxed), 0);
    }
}

#[test]
#[should_panic(expected = "comes after readers were told")]
fn a_change_below_published_is_refused() {
    let (mut publisher, _) = eras(0);
    let (mut arena, _view) = arena(&publisher);
    let slot = arena.insert(1, ());
    publisher.publish(2);
    arena.update(&publisher, slot, 2, ());
}

#[test]
#[should_panic(expected = "belongs to another publisher")]
fn a_foreign_publisher_is_refused() {
    let (publisher, _) = eras(0);
    let (foreign, _) = eras(0);
    let (mut arena, _view) = arena::<()>(&publisher);
    arena.reclaim(&foreign, 1, &mut |_, _| ());
}

#[test]
#[should_panic(expected = "belongs to another publisher")]
fn a_foreign_turn_is_refused() {
    let (publisher, _) = eras(0);
    let (_foreign, mut observers) = eras(1);
    let (mut arena, view) = arena(&publisher);
    let slot = arena.insert(0, ());
    view.read(&enter_one(&mut observers), slot, 0);
}

#[test]
#[should_panic(expected = "is below the floor")]
fn reading_below_the_floor_is_refused() {
    let (mut publisher, mut observers) = eras(1);
    let (mut arena, view) = arena(&publisher);
    let slot = arena.insert(0, ());
    publisher.publish(3);
    view.read(&enter_one(&mut observers), slot, 2);
}

#[test]
#[should_panic(expected = "is not published yet")]
fn reading_above_published_is_refused() {
    let (mut publisher, mut observers) = eras(1);
    let (mut arena, view) = arena(&publisher);
    let slot = arena.insert(0, ());
    publisher.publish(3);
    view.read(&enter_one(&mut observers), slot, 4);
}

#[test]
#[should_panic(expected = "update of empty slot 0")]
fn updating_an_empty_slot_is_refused() {
    let (publisher, _) = eras(0);
    let (mut arena, _view) = arena(&publisher);
    let slot = arena.insert(0, ());
    arena.release(&publisher, slot, 1);
    arena.update(&publisher, slot, 1, ());
}

/// The writer's half and, beside it, what it should look like.
struct World {
    publisher: Publisher,
    arena: Arena<Probe>,
    /// Per slot: (since, value) of all versions since the slot was last empty.
    model: Vec<Vec<(u64, u64)>>,
    /// (stamp, slot, superseded) of what waits.
    waiting: VecDeque<(u64, u32, bool)>,
    /// Slots that were released and freed.
    free: usize,
    /// Version of the change being made.
    next: u64,
    values: u64,
    count: StdArc<AtomicUsize>,
}

impl World {
    fn expected(&self, slot: u32, version: u64) -> Option<u64> {
        let history = self.model.get(slot as usize)?;
        history.iter().rev().find(|(since, _)| *since <= version).map(|&(_, value)| value)
    }

    /// One random thing that a writer may do.
    fn step(&mut self, random: &mut Prng) {
        self.values += 1;
        let value = self.values;
        let slot = random.below(self.model.len() as u64 + 1) as u32;
        let filled = self.model.get(slot as usize).is_some_and(|history| !history.is_empty());
        match random.below(10) {
            0..=1 => {
                let before = self.arena.slots();
                let slot = self.arena.insert(self.next, Probe::new(value, &self.count)) as usize;
                if self.free > 0 {
                    self.free -= 1;
                    assert_eq!(self.arena.slots(), before, "free slots are used first");
                } else {
                    assert_eq!(slot, self.model.len());
                    self.model.push(Vec::new());
                }
                assert!(self.model[slot].is_empty(), "slot {slot} is in use");
                self.model[slot].push((self.next, value));
            }
            2..=4 if filled => {
                self.arena.update(&self.publisher, slot, self.next, Probe::new(value, &self.count));
                self.model[slot as usize].push((self.next, value));
                self.waiting.push_back((self.next, slot, true));
            }
            5 if filled => {
                self.arena.release(&self.publisher, slot, self.next + 1);
                self.model[slot as usize].clear();
                self.waiting.push_back((self.next + 1, slot, false));
                self.next += 1;
            }
            6..=7 => {
                self.publisher.publish(self.next);
                self.next += 1 + random.below(3);
            }
            8 => self.reclaim(random.below(6) as usize),
            _ => {
                assert_eq!(self.arena.latest(slot).map(Probe::value), self.expected(slot, u64::MAX));
            }
        }
        assert_eq!(self.arena.retired(), self.waiting.len());
    }

    fn reclaim(&mut self, budget: usize) {
        let horizon = self.publisher.horizon();
        let mut superseded = Vec::new();
        let freed = self.arena.reclaim(&self.publisher, budget, &mut |slot, _| superseded.push(slot));
        let expected: Vec<_> = (0..budget)
            .map_while(|_| {
                let ripe = self.waiting.front().is_some_and(|(stamp, ..)| *stamp <= horizon);
                ripe.then(|| self.waiting.pop_front()).flatten()
            })
            .collect();
        assert_eq!(freed, expected.len());
        self.free += expected.iter().filter(|(_, _, superseded)| !superseded).count();
        let expected: Vec<_> = expected.into_iter().filter(|(.., it)| *it).map(|(_, slot, _)| slot).collect();
        assert_eq!(superseded, expected);
    }

    fn live(&self) -> usize {
        self.waiting.len() + self.model.iter().filter(|history| !history.is_empty()).count()
    }
}

#[test]
fn agrees_with_a_model() {
    let (rounds, seeds) = if cfg!(miri) { (60, 3) } else { (4_000, 20) };
    for seed in 0..seeds {
        println!("seed {seed}");
        let random = &mut Prng::salted(seed, "versions");
        let (publisher, mut observers) = eras(3);
        let (arena, view) = arena(&publisher);
        let count = StdArc::new(AtomicUsize::new(0));
        let mut world = World {
            publisher,
            arena,
            model: Vec::new(),
            waiting: VecDeque::new(),
            free: 0,
            next: 1,
            values: 0,
            count: count.clone(),
        };
        let mut pinned = 0;
        for _ in 0..rounds {
            let observer = &mut observers[random.below(3) as usize];
            let turn = observer.enter();
            // References stay good for the whole turn, whatever the writer does meanwhile.
            let mut held = Vec::new();
            for _ in 0..random.below(12) {
                if random.chance(1, 2) {
                    world.step(random);
                    continue;
                }
                let published = turn.published();
                let version = turn.floor() + random.below(published - turn.floor() + 1);
                let slot = random.below(world.model.len() as u64 + 1) as u32;
                let read = view.read(&turn, slot, version);
                assert_eq!(read.map(Probe::value), world.expected(slot, version), "{slot} at {version}");
                held.extend(read.map(|probe| (probe, probe.value())));
            }
            assert!(held.iter().all(|(probe, value)| probe.value() == *value));
            let (floor, published) = (turn.floor(), turn.published());
            match random.below(4) {
                0 => observer.park(),
                1 => observer.raise(floor + random.below(published - floor + 1)),
                2 => observer.raise(published),
                _ => pinned += 1,
            }
            assert_eq!(count.load(StdOrdering::Relaxed), world.live());
        }
        assert!(pinned > 0 && world.arena.slots() > 0);
        observers.iter_mut().for_each(Observer::park);
        world.publisher.publish(world.next + 1);
        world.reclaim(usize::MAX);
        assert_eq!(world.arena.retired(), 0, "nobody reads: nothing waits");
        assert_eq!(count.load(StdOrdering::Relaxed), world.live());
        drop((world, view));
        assert_eq!(count.load(StdOrdering::Relaxed), 0);
    }
}
