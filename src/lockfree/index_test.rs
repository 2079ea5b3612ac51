//! The index against a naive model.

use std::collections::BTreeSet;

use super::*;
use crate::base::Prng;
use crate::lockfree::eras::eras;

/// Few segments and few tags, so that runs and collisions are long.
fn crowded(random: &mut Prng) -> u64 {
    random.below(6) << 61 | random.below(3) << 32 | random.below(2)
}

fn sorted(candidates: Candidates<'_>) -> Vec<u32> {
    let mut slots: Vec<_> = candidates.collect();
    slots.sort_unstable();
    slots
}

#[test]
fn sizes_grow_by_a_third_and_hold_the_segments_of_a_full_tree() {
    assert_eq!(CAPACITY[..8], [8, 16, 24, 32, 48, 64, 88, 120]);
    for class in 1..CLASSES {
        // A table that became full fits one class up: replacements don't come in a row.
        assert!(class_for(load_max(CAPACITY[class - 1]) + 1) <= class, "class {class}");
        assert!(load_max(CAPACITY[class]) < CAPACITY[class]);
    }
    assert!(CAPACITY[CLASSES - 1] > 8 * (1usize << 31) / 4096);
}

#[test]
fn finds_what_was_inserted_and_not_what_was_removed() {
    let (mut publisher, mut observers) = eras(1);
    let (mut writer, reader) = index(&publisher);
    let hash = 0xabcd_ef01_2345_6789;
    assert_eq!(sorted(reader.candidates(&observers[0].enter(), hash)), Vec::<u32>::new());
    writer.insert(hash, 7);
    writer.insert(hash ^ 0xff00_0000, 8);
    writer.insert(hash ^ 1 << 40, 9);
    publisher.publish(1);
    let turn = observers[0].enter();
    assert_eq!(sorted(reader.candidates(&turn, hash)), [7, 8], "same segment and tag: the caller compares");
    assert_eq!(sorted(reader.candidates(&turn, hash ^ 1 << 40)), [9]);
    assert_eq!(sorted(reader.candidates(&turn, hash ^ 1)), Vec::<u32>::new(), "another segment");
    assert!(writer.remove(hash, 7));
    assert!(!writer.remove(hash, 7));
    assert!(!writer.remove(hash ^ 1, 8));
    assert_eq!(sorted(reader.candidates(&turn, hash)), [8]);
    assert_eq!((sorted(writer.candidates(hash)), writer.len()), (vec![8], 2));
}

#[test]
fn a_probe_begun_before_changes_meets_all_that_stays() {
    let (mut publisher, mut observers) = eras(1);
    let (mut writer, reader) = index(&publisher);
    let seeds = if cfg!(miri) { 3 } else { 300 };
    for seed in 0..seeds {
        let random = &mut Prng::salted(seed, "probe");
        let mut entries: Vec<(u64, u32)> = Vec::new();
        for slot in 0..60 {
            entries.push((crowded(random), slot));
            writer.insert(entries[slot as usize].0, slot);
        }
        publisher.publish(publisher.published() + 1);
        observers[0].enter();
        observers[0].raise(publisher.published());
        let turn = observers[0].enter();
        let hash = crowded(random);
        let stays: Vec<u32> =
            entries.iter().filter(|(it, slot)| *it == hash && slot % 2 == 0).map(|e| e.1).collect();
        let mut probe = reader.candidates(&turn, hash);
        let mut met = Vec::new();
        loop {
            for _ in 0..random.below(8) {
                let at = random.below(entries.len() as u64) as usize;
                let (hash, slot) = entries[at];
                if slot % 2 == 1 {
                    assert!(writer.remove(hash, slot));
                    entries[at] = (crowded(random), slot + 200);
                    writer.insert(entries[at].0, slot + 200);
                }
            }
            writer.reclaim(&publisher);
            match probe.next() {
                Some(slot) => met.push(slot),
                None => break,
            }
        }
        for slot in stays {
            assert_eq!(met.iter().filter(|&&it| it == slot).count(), 1, "seed {seed}, slot {slot}");
        }
        for (hash, slot) in entries {
            assert!(writer.remove(hash, slot));
        }
    }
    assert_eq!((writer.len(), writer.bytes()), (0, 0));
}

#[test]
fn agrees_with_a_model() {
    let (steps, seeds) = if cfg!(miri) { (400, 2) } else { (20_000, 10) };
    for seed in 0..seeds {
        println!("seed {seed}");
        let random = &mut Prng::salted(seed, "index");
        let (mut publisher, mut observers) = eras(1);
        let (mut writer, reader) = index(&publisher);
        let mut model = BTreeSet::new();
        let (mut replaced, mut grows) = (0, true);
        for step in 0..steps {
            if random.chance(1, 500) {
                grows = !grows;
            }
            let (hash, slot) = (crowded(random), random.below(100) as u32);
            if random.chance(if grows { 2 } else { 1 }, 3) {
                if model.insert((hash, slot)) {
                    writer.insert(hash, slot);
                }
            } else if let Some(&(hash, slot)) = model.range((hash, slot)..).next() {
                assert!(writer.remove(hash, slot));
                model.remove(&(hash, slot));
            } else {
                assert!(!writer.remove(hash, slot));
            }
            assert_eq!(writer.len(), model.len());
            publisher.publish(step + 1);
            let hash = crowded(random);
            let expected: Vec<u32> = model.range((hash, 0)..=(hash, u32::MAX)).map(|entry| entry.1).collect();
            let turn = observers[0].enter();
            assert_eq!(sorted(reader.candidates(&turn, hash)), expected);
            assert_eq!(sorted(writer.candidates(hash)), expected);
            if random.chance(1, 10) {
                observers[0].park();
            }
            replaced += writer.reclaim(&publisher);
        }
        assert!(replaced > 3);
        if random.chance(1, 2) {
            drop(reader);
            drop(writer);
        } else {
            drop(writer);
            assert!(reader.candidates(&observers[0].enter(), 0).count() <= 100);
        }
    }
}

#[test]
fn churn_leaves_no_tombstones_behind() {
    let (mut publisher, _) = eras(0);
    let (mut writer, _reader) = index(&publisher);
    let random = &mut Prng::new(1);
    // One segment, so that a few entries meet.
    let hashes: Vec<u64> = (0..40).map(|_| random.next() & !0xfff).collect();
    for (slot, &hash) in hashes.iter().enumerate() {
        writer.insert(hash, slot as u32);
    }
    let bytes = writer.bytes();
    let mut replaced = 0;
    let rounds = if cfg!(miri) { 200 } else { 100_000 };
    for round in 0..rounds {
        let hash = hashes[round % 40];
        assert!(writer.remove(hash, (round % 40) as u32));
        writer.insert(hash, (round % 40) as u32);
        publisher.publish(round as u64 + 1);
        replaced += writer.reclaim(&publisher);
    }
    assert_eq!(writer.bytes(), bytes);
    assert!(replaced <= rounds / 40, "{replaced} replacements in {rounds} rounds");
}

#[test]
#[cfg_attr(miri, ignore = "a million entries: minutes under Miri; the same code runs in the tests above")]
fn an_entry_costs_at_most_fourteen_bytes() {
    let (publisher, _) = eras(0);
    let (mut writer, _reader) = index(&publisher);
    let random = &mut Prng::new(2);
    for slot in 0..1_000_000u32 {
        writer.insert(random.next(), slot);
        // Below that, a segment's first cache lines are half empty.
        if slot > 100_000 && slot % 10_000 == 0 {
            let bytes = writer.bytes() as f64 / writer.len() as f64;
            assert!((9.8..14.0).contains(&bytes), "{bytes} bytes per entry at {slot}");
        }
    }
}

#[test]
#[should_panic(expected = "belongs to another publisher")]
fn a_foreign_turn_is_refused() {
    let (publisher, _) = eras(0);
    let (_foreign, mut observers) = eras(1);
    let (_writer, reader) = index(&publisher);
    reader.candidates(&observers[0].enter(), 0).count();
}
