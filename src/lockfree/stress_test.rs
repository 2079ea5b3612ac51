//! Real threads on the whole room at once: a small tree of toggling objects, kept as a real one would be.
//!
//! At version z object z mod OBJECTS toggles between there and not there. So what a reader must find at any version
//! is arithmetic, and every read can be checked exactly, whatever the writer is doing meanwhile.

use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::*;
use crate::base::{HashKey, Prng};

const OBJECTS: u64 = 24;
const READERS: usize = 2;
const VERSIONS: u64 = if cfg!(miri) { 150 } else { 200_000 };

/// One object at one version.
struct Object {
    id: u64,
    since: u64,
    exists: bool,
    /// Something on the heap, so that a use after free is seen by sanitizers and mostly without them.
    check: Box<u64>,
}

impl Object {
    fn new(id: u64, since: u64, exists: bool) -> Object {
        Object { id, since, exists, check: Box::new(id ^ since) }
    }

    fn verify(&self) {
        assert_eq!(*self.check, self.id ^ self.since, "torn or freed");
    }
}

fn hash(id: u64) -> u64 {
    // Four segments, so that their tables are replaced all the time.
    HashKey(1, 2).hash(&id.to_le_bytes()) & !0xffc
}

/// How often the object has toggled up to `version`, and when last.
fn expected(id: u64, version: u64) -> (u64, u64) {
    let last = (0..OBJECTS).map_while(|back| version.checked_sub(back)).find(|z| z % OBJECTS == id && *z > 0);
    last.map_or((0, 0), |last| ((last - if id == 0 { OBJECTS } else { id }) / OBJECTS + 1, last))
}

struct Writer<'a> {
    publisher: Publisher,
    arena: Arena<Object>,
    index: IndexWriter,
    bag: &'a Bag,
    rings: Vec<Producer<u64>>,
    /// Per object: its slot and its position in the bag, while it has any.
    places: Vec<Option<(u32, u32)>>,
}

impl Writer<'_> {
    fn toggle(&mut self, version: u64) {
        let id = version % OBJECTS;
        match self.places[id as usize] {
            Some((slot, _)) => {
                let exists = self.arena.latest(slot).expect("it has a place").exists;
                self.arena.update(&self.publisher, slot, version, Object::new(id, version, !exists));
            }
            None => {
                let slot = self.arena.insert(version, Object::new(id, version, true));
                self.index.insert(hash(id), slot);
                self.places[id as usize] = Some((slot, self.bag.push(slot)));
            }
        }
    }

    /// Frees; and takes out of index and bag what no reader can find alive any more.
    fn reclaim(&mut self, applied: u64) -> usize {
        let mut gone = Vec::new();
        let freed = self.arena.reclaim(&self.publisher, 64, &mut |slot, _| gone.push(slot));
        for slot in gone {
            // The version before this one is freed, so all readers see this one, or one still newer.
            let Some(object) = self.arena.latest(slot) else { continue };
            if !object.exists && object.since <= self.publisher.horizon() {
                let (_, position) = self.places[object.id as usize].take().expect("it has a place");
                assert!(self.index.remove(hash(object.id), slot));
                assert_eq!(self.bag.remove(position), slot);
                self.arena.release(&self.publisher, slot, applied + 1);
            }
        }
        freed + self.index.reclaim(&self.publisher)
    }
}

fn read_all(turn: &Turn<'_>, view: &View<Object>, index: &IndexReader, bag: &Bag, version: u64) {
    let mut expected_sum = 0;
    for id in 0..OBJECTS {
        let (toggles, since) = expected(id, version);
        let found = index
            .candidates(turn, hash(id))
            .filter_map(|slot| view.read(turn, slot, version))
            .inspect(|object| object.verify())
            .find(|object| object.id == id && object.exists);
        let found = found.map(|object| object.since);
        assert_eq!(found, (toggles % 2 == 1).then_some(since), "object {id} at {version}");
        expected_sum += (toggles % 2) * (id + 100);
    }
    let read = bag.iter().filter_map(|slot| view.read(turn, slot, version));
    let sum: u64 = read.filter(|object| object.exists).map(|object| object.id + 100).sum();
    assert_eq!(sum, expected_sum, "children at {version}");
}

#[test]
fn readers_see_every_version_whole_while_the_writer_writes() {
    let (publisher, observers) = eras(READERS);
    let (arena, view) = arena(&publisher);
    let (index, index_reader) = index(&publisher);
    let bag = Bag::new();
    let (rings, notices): (Vec<_>, Vec<_>) = observers.iter().map(|_| ring::<u64>(64)).unzip();
    let places = vec![None; OBJECTS as usize];
    let mut writer = Writer { publisher, arena, index, bag: &bag, rings, places };
    let bag = &bag;
    thread::scope(|scope| {
        for (number, (mut observer, mut notices)) in observers.into_iter().zip(notices).enumerate() {
            let (view, index) = (view.clone(), index_reader.clone());
            scope.spawn(move || {
                let random = &mut Prng::new(number as u64);
                let mut noticed = 0;
                while noticed < VERSIONS {
                    let turn = observer.enter();
                    let published = turn.published();
                    while let Some(&notice) = notices.peek()
                        && notice <= published
                    {
                        noticed += 1;
                        assert_eq!(notices.pop(), Some(noticed), "notices come in order, none is lost");
                    }
                    assert_eq!(noticed, published, "the notice of what is published was there");
                    // The newest, and one on the way from the floor to it.
                    let between = turn.floor() + random.below(published - turn.floor() + 1);
                    for version in [between, published] {
                        read_all(&turn, &view, &index, bag, version);
                    }
                    match random.below(8) {
                        0 => observer.park(),
                        1 => {}
                        _ => observer.raise(published),
                    }
                    if random.chance(1, 4) || cfg!(miri) {
                        thread::yield_now();
                    }
                }
            });
        }
        let random = &mut Prng::salted(0, "writer");
        let (mut freed, mut retired_max) = (0, 0);
        for version in 1..=VERSIONS {
            writer.toggle(version);
            for ring in &mut writer.rings {
                while ring.push(version).is_err() {
                    thread::yield_now();
                }
            }
            // Several transactions become visible at once, as with group commit. But never more than a ring holds.
            if version % 16 == 0 || version == VERSIONS || random.chance(1, 2) {
                writer.publisher.publish(version);
                freed += writer.reclaim(version);
            }
            retired_max = retired_max.max(writer.arena.retired());
        }
        assert!(freed > 0 && retired_max > 0);
    });
    assert!(writer.arena.slots() < VERSIONS as u32 / 2, "slots were used again");
    writer.publisher.publish(VERSIONS + 2);
    while writer.reclaim(VERSIONS + 2) > 0 {}
    writer.publisher.publish(VERSIONS + 4);
    while writer.reclaim(VERSIONS + 4) > 0 {}
    assert_eq!(writer.arena.retired(), 0, "without readers nothing waits");
    let exist = (0..OBJECTS).filter(|&id| expected(id, VERSIONS).0 % 2 == 1).count();
    assert_eq!((writer.index.len(), bag.len()), (exist, exist));
}

/// What an eventfd is to room `io`: a wake-up that isn't lost if it comes before the sleep.
#[derive(Default)]
struct Wakeup {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wakeup {
    fn wake(&self) {
        *self.woken.lock().expect("no holder panics") = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let guard = self.woken.lock().expect("no holder panics");
        let bound = Duration::from_secs(60);
        let (mut woken, result) =
            self.changed.wait_timeout_while(guard, bound, |woken| !*woken).expect("no holder panics");
        assert!(!result.timed_out(), "a wake-up was lost");
        *woken = false;
    }
}

#[test]
fn items_cross_the_ring_in_order_and_sleepers_are_woken() {
    let items = if cfg!(miri) { 200 } else { 300_000 };
    let (mut producer, mut consumer) = ring::<Box<u32>>(32);
    let (filled, emptied) = ((Doorbell::new(), Wakeup::default()), (Doorbell::new(), Wakeup::default()));
    let wait = |(bell, wakeup): &(Doorbell, Wakeup)| {
        if bell.prepare_sleep() {
            wakeup.wait();
            bell.awake();
        }
    };
    let ring = |(bell, wakeup): &(Doorbell, Wakeup)| {
        if bell.ring() {
            wakeup.wake();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let random = &mut Prng::new(1);
            let mut next = 0;
            while next < items {
                while let Some(item) = consumer.pop() {
                    assert_eq!(*item, next);
                    next += 1;
                    if random.chance(1, 8) {
                        break;
                    }
                }
                ring(&emptied);
                if next < items && consumer.is_empty() {
                    wait(&filled);
                }
            }
        });
        let random = &mut Prng::new(2);
        let mut next = 0;
        while next < items {
            for _ in 0..=random.below(40) {
                match producer.push(Box::new(next)) {
                    Ok(()) if next + 1 < items => next += 1,
                    Ok(()) => {
                        ring(&filled);
                        return;
                    }
                    Err(item) => {
                        assert_eq!(*item, next);
                        break;
                    }
                }
            }
            ring(&filled);
            if producer.is_full() {
                wait(&emptied);
            }
        }
    });
    assert!(consumer.is_empty());
}
