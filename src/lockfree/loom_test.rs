//! Every interleaving, and every value a weak memory model may show, of small programs over the real code of this
//! room.
//!
//! A [`Probe`] is freed for loom to see: its value lies in a cell that loom watches, reads open it for reading, the
//! drop opens it for writing. So a free that isn't ordered after the last read fails the model, in any interleaving,
//! even if the memory happens to be intact.

use ::loom::cell::UnsafeCell;
use ::loom::model::Builder;
use ::loom::sync::Arc;
use ::loom::sync::Notify;
use ::loom::thread;

use super::sync::{AtomicU64, Ordering};
use super::*;

/// All interleavings with at most this many preemptions, beside those at blocking: known to find nearly all faults,
/// and without it the larger models take hours.
const PREEMPTIONS: usize = 4;

fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 20_000;
    builder.check(model);
}

struct Probe {
    value: UnsafeCell<u64>,
}

impl Probe {
    fn new(value: u64) -> Probe {
        Probe { value: UnsafeCell::new(value) }
    }

    fn value(&self) -> u64 {
        // SAFETY: loom checks that no write is concurrent.
        self.value.with(|value| unsafe { *value })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // SAFETY: loom checks that no access is concurrent.
        self.value.with_mut(|value| unsafe { *value = u64::MAX });
    }
}

// SAFETY: loom's cell checks each access.
unsafe impl Sync for Probe {}

/// The reader comes from parked and reads; meanwhile the writer replaces, publishes and frees. The two fences.
#[test]
fn entering_and_freeing() {
    explore(None, || {
        let (mut publisher, mut observers) = eras(1);
        let (mut arena, view) = arena(&publisher);
        let slot = arena.insert(1, Probe::new(1));
        publisher.publish(1);
        let mut observer = observers.pop().expect("one");
        let reader = thread::spawn(move || {
            let turn = observer.enter();
            let floor = turn.floor();
            let value = view.read(&turn, slot, floor).expect("inserted before").value();
            assert_eq!(value, floor);
        });
        arena.update(&publisher, slot, 2, Probe::new(2));
        publisher.publish(2);
        arena.reclaim(&publisher, usize::MAX, &mut |_, _| ());
        reader.join().expect("no panic");
    });
}

/// A stay over several turns: walking history, raising the floor, parking, coming back.
#[test]
fn staying_raising_and_coming_back() {
    explore(Some(PREEMPTIONS), || {
        let (mut publisher, mut observers) = eras(1);
        let (mut arena, view) = arena(&publisher);
        let slot = arena.insert(1, Probe::new(1));
        publisher.publish(1);
        let mut observer = observers.pop().expect("one");
        let reader = thread::spawn(move || {
            for turn_number in 0..3 {
                let turn = observer.enter();
                let (floor, published) = (turn.floor(), turn.published());
                let old = view.read(&turn, slot, floor).expect("inserted before");
                let new = view.read(&turn, slot, published).expect("inserted before");
                assert_eq!((old.value(), new.value()), (floor, published));
                if turn_number == 0 {
                    observer.raise(published);
                } else {
                    observer.park();
                }
            }
        });
        for version in 2..=3 {
            arena.update(&publisher, slot, version, Probe::new(version));
            publisher.publish(version);
            arena.reclaim(&publisher, usize::MAX, &mut |_, _| ());
        }
        reader.join().expect("no panic");
        arena.reclaim(&publisher, usize::MAX, &mut |_, _| ());
        assert_eq!(arena.retired(), 0);
    });
}

/// Two readers: the horizon is the minimum over both.
#[test]
fn two_readers() {
    explore(Some(2), || {
        let (mut publisher, observers) = eras(2);
        let (mut arena, view) = arena(&publisher);
        let slot = arena.insert(1, Probe::new(1));
        publisher.publish(1);
        let readers: Vec<_> = observers
            .into_iter()
            .map(|mut observer| {
                let view = view.clone();
                thread::spawn(move || {
                    let turn = observer.enter();
                    let value = view.read(&turn, slot, turn.floor()).expect("inserted before").value();
                    assert_eq!(value, turn.floor());
                })
            })
            .collect();
        arena.update(&publisher, slot, 2, Probe::new(2));
        publisher.publish(2);
        arena.reclaim(&publisher, usize::MAX, &mut |_, _| ());
        for reader in readers {
            reader.join().expect("no panic");
        }
    });
}

/// A slot is emptied, freed and used again for something else under the reader's eyes.
#[test]
fn releasing_and_using_again() {
    explore(None, || {
        let (mut publisher, mut observers) = eras(1);
        let (mut arena, view) = arena(&publisher);
        let slot = arena.insert(1, Probe::new(1));
        publisher.publish(1);
        let mut observer = observers.pop().expect("one");
        let reader = thread::spawn(move || {
            let turn = observer.enter();
            let value = view.read(&turn, slot, turn.floor()).map(Probe::value);
            match turn.floor() {
                1 => assert!(matches!(value, Some(1) | None), "{value:?}"),
                2 => assert_eq!(value, None),
                _ => assert_eq!(value, Some(3)),
            }
        });
        arena.release(&publisher, slot, 2);
        publisher.publish(2);
        if arena.reclaim(&publisher, usize::MAX, &mut |_, _| ()) == 1 {
            assert_eq!(arena.insert(3, Probe::new(3)), slot);
            publisher.publish(3);
        }
        reader.join().expect("no panic");
    });
}

/// The first insertion into a chunk, found through a slot number that came another way.
#[test]
fn growing() {
    explore(None, || {
        let (mut publisher, mut observers) = eras(1);
        let (mut arena, view) = arena(&publisher);
        let mut observer = observers.pop().expect("one");
        let reader = thread::spawn(move || {
            let turn = observer.enter();
            let version = turn.published();
            let value = view.read(&turn, 0, version).map(Probe::value);
            assert_eq!(value, (version == 1).then_some(1));
        });
        arena.insert(1, Probe::new(1));
        publisher.publish(1);
        reader.join().expect("no panic");
    });
}

/// An entry that is there throughout is found while its table is replaced and freed.
#[test]
fn replacing_a_table() {
    explore(Some(PREEMPTIONS), || {
        let (mut publisher, mut observers) = eras(1);
        let (mut writer, index) = index(&publisher);
        for slot in 0..6 {
            writer.insert(u64::from(slot) << 62, slot);
        }
        let before = writer.bytes();
        publisher.publish(1);
        let mut observer = observers.pop().expect("one");
        let reader = thread::spawn(move || {
            for _ in 0..2 {
                let turn = observer.enter();
                // Slots 1 and 5 share a hash; 6 will too, from version 2 on.
                let found: Vec<u32> = index.candidates(&turn, 1 << 62).collect();
                assert!(found.contains(&1) && found.contains(&5), "{found:?}");
                assert!(turn.floor() == 1 || found.contains(&6), "{found:?}");
                assert!(found.len() == if found.contains(&6) { 3 } else { 2 }, "{found:?}");
                observer.park();
            }
        });
        writer.insert(1 << 62, 6);
        assert!(writer.bytes() > before, "this is about replacing");
        // Frees it if the reader isn't inside, though nothing was published since.
        writer.reclaim(&publisher);
        publisher.publish(2);
        writer.reclaim(&publisher);
        publisher.publish(3);
        writer.reclaim(&publisher);
        reader.join().expect("no panic");
    });
}

/// Removals at the end of a run turn entries and tombstones into empty ones; what stays or comes is found.
#[test]
fn removing_from_a_run() {
    explore(Some(PREEMPTIONS), || {
        let (mut publisher, mut observers) = eras(1);
        let (mut writer, index) = index(&publisher);
        for slot in 0..4 {
            writer.insert(0, slot);
        }
        publisher.publish(1);
        let mut observer = observers.pop().expect("one");
        let reader = thread::spawn(move || {
            let turn = observer.enter();
            let found: Vec<u32> = index.candidates(&turn, 0).collect();
            assert_eq!(found.iter().filter(|slot| **slot == 0).count(), 1, "{found:?}");
            if turn.floor() == 2 {
                assert_eq!(found.iter().filter(|slot| **slot == 9).count(), 1, "{found:?}");
            }
        });
        assert!(writer.remove(0, 2));
        assert!(writer.remove(0, 3));
        assert!(writer.remove(0, 1));
        writer.insert(0, 8);
        writer.insert(0, 9);
        publisher.publish(2);
        assert!(writer.remove(0, 8));
        reader.join().expect("no panic");
    });
}

/// What is in a bag throughout is met once, though holes are made and filled and the bag grows.
#[test]
fn iterating_a_bag() {
    explore(Some(PREEMPTIONS), || {
        let bag = Arc::new(Bag::new());
        for number in 0..4 {
            bag.push(number);
        }
        let reader = thread::spawn({
            let bag = bag.clone();
            move || {
                let mut found: Vec<u32> = bag.iter().collect();
                assert!(found.iter().all(|number| *number < 7), "{found:?}");
                found.sort_unstable();
                assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
                assert!([0, 3].iter().all(|number| found.contains(number)), "{found:?}");
                assert!(bag.len() <= 5 && bag.holes() <= 2);
            }
        });
        bag.remove(1);
        bag.remove(2);
        bag.push(4);
        bag.push(5);
        bag.push(6);
        reader.join().expect("no panic");
        assert_eq!((bag.len(), bag.holes()), (5, 0));
    });
}

/// Order, fullness, reuse of slots; loom watches the slots' cells.
#[test]
fn crossing_a_ring() {
    explore(None, || {
        let (mut producer, mut consumer) = ring::<Box<u32>>(2);
        let consuming = thread::spawn(move || {
            let mut next = 0;
            for _ in 0..3 {
                if let Some(item) = consumer.peek() {
                    assert_eq!(**item, next);
                    assert_eq!(consumer.pop().as_deref(), Some(&next));
                    next += 1;
                }
            }
            (consumer, next)
        });
        let mut pushed = 0;
        for _ in 0..4 {
            pushed += u32::from(producer.push(Box::new(pushed)).is_ok());
        }
        let (mut consumer, next) = consuming.join().expect("no panic");
        assert!(pushed >= 2);
        // One item is left inside, if there is one: the ring drops it.
        for expected in next..pushed.saturating_sub(1) {
            assert_eq!(consumer.pop().as_deref(), Some(&expected));
        }
    });
}

/// The sleeper never sleeps on something to do: loom reports a model in which nobody can go on.
fn sleep_and_wake(ringers: u64) {
    let shared = Arc::new((Doorbell::new(), Notify::new(), AtomicU64::new(0)));
    let ringing: Vec<_> = (0..ringers)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (bell, kernel, work) = &*shared;
                work.fetch_add(1, Ordering::Relaxed);
                if bell.ring() {
                    kernel.notify();
                }
            })
        })
        .collect();
    let (bell, kernel, work) = &*shared;
    while work.load(Ordering::Relaxed) < ringers {
        if bell.prepare_sleep() {
            kernel.wait();
            bell.awake();
        }
    }
    for ringer in ringing {
        ringer.join().expect("no panic");
    }
}

#[test]
fn no_wake_up_is_lost() {
    explore(None, || sleep_and_wake(1));
    explore(Some(PREEMPTIONS), || sleep_and_wake(2));
}

/// The watch protocol of a shard. The writer makes versions 2 and 3, each with a notice, and publishes;
/// `notices_first` is the rule. The reader acts on notices up to what it has loaded, reads, and arms its watch at
/// that version: every later version must still have its notice to come, every earlier one must have had it.
fn watch(notices_first: bool) {
    let (mut publisher, mut observers) = eras(1);
    let (mut arena, view) = arena(&publisher);
    let slot = arena.insert(1, Probe::new(1));
    publisher.publish(1);
    let (mut notices, mut inbox) = ring::<u64>(4);
    let mut observer = observers.pop().expect("one");
    let shard = thread::spawn(move || {
        let mut noticed = 1;
        for _ in 0..2 {
            let turn = observer.enter();
            let version = turn.published();
            while let Some(&notice) = inbox.peek()
                && notice <= version
            {
                assert_eq!(notice, noticed + 1, "notices come in order");
                noticed = notice;
                inbox.pop();
            }
            let value = view.read(&turn, slot, version).expect("inserted before").value();
            assert_eq!(value, version, "a read at a version shows that version");
            assert!(value <= noticed, "data before its notice");
            assert!(value >= noticed, "a notice before its data");
            observer.raise(version);
        }
        // Armed after `noticed`: what is still to come is exactly what is later.
        (inbox, noticed)
    });
    for version in 2..=3 {
        arena.update(&publisher, slot, version, Probe::new(version));
        if notices_first {
            notices.push(version).expect("room for all");
            publisher.publish(version);
        } else {
            publisher.publish(version);
            notices.push(version).expect("room for all");
        }
        arena.reclaim(&publisher, usize::MAX, &mut |_, _| ());
    }
    let (mut inbox, armed) = shard.join().expect("no panic");
    for version in armed + 1..=3 {
        assert_eq!(inbox.pop(), Some(version), "a change between the read and its watch");
    }
    assert_eq!(inbox.pop(), None);
}

#[test]
fn an_event_comes_before_the_data_it_announces() {
    explore(Some(PREEMPTIONS), || watch(true));
}

/// The canary: with the order turned round the model must fail, or it proves nothing.
#[test]
#[should_panic(expected = "data before its notice")]
fn publishing_before_the_notice_is_caught() {
    explore(Some(PREEMPTIONS), || watch(false));
}
