//! The bag against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::Prng;

#[test]
fn places_are_dense() {
    let mut next = (0, 0);
    for position in 0..10_000 {
        assert_eq!(place(position), next);
        next = if next.1 + 1 == FIRST << next.0 { (next.0 + 1, 0) } else { (next.0, next.1 + 1) };
    }
    assert_eq!(place(HOLE - 1 - FIRST as u32).0, 28);
}

#[test]
fn is_small() {
    assert_eq!(size_of::<Bag>(), 32);
}

#[test]
fn holes_are_filled_before_the_bag_grows() {
    let bag = Bag::new();
    let positions: Vec<u32> = (10..16).map(|number| bag.push(number)).collect();
    assert_eq!(positions, [0, 1, 2, 3, 4, 5]);
    assert_eq!((bag.remove(1), bag.remove(4)), (11, 14));
    assert_eq!((bag.len(), bag.holes()), (4, 2));
    assert_eq!(bag.iter().collect::<Vec<_>>(), [10, 12, 13, 15]);
    assert_eq!((bag.push(20), bag.push(21), bag.push(22)), (4, 1, 6));
    assert_eq!(bag.into_iter().collect::<Vec<_>>(), [10, 21, 12, 13, 20, 15, 22]);
    assert_eq!((bag.len(), bag.holes(), bag.is_empty()), (7, 0, false));
}

#[test]
#[should_panic(expected = "position 0 is empty")]
fn removing_twice_is_refused() {
    let bag = Bag::default();
    bag.push(5);
    bag.remove(0);
    bag.remove(0);
}

#[test]
#[should_panic(expected = "position 1 was never used")]
fn removing_what_was_never_there_is_refused() {
    let bag = Bag::new();
    bag.push(5);
    bag.remove(1);
}

#[test]
#[should_panic(expected = "31 bits")]
fn a_number_with_the_top_bit_is_refused() {
    Bag::new().push(1 << 31);
}

#[test]
fn an_iteration_meets_once_what_stays_and_nothing_that_never_was() {
    let seeds = if cfg!(miri) { 4 } else { 200 };
    for seed in 0..seeds {
        println!("seed {seed}");
        let random = &mut Prng::salted(seed, "bag");
        let bag = Bag::new();
        let mut model: BTreeMap<u32, u32> = BTreeMap::new();
        let mut next = 0;
        let mut change = |random: &mut Prng, model: &mut BTreeMap<u32, u32>| {
            if random.chance(3, 5) || model.is_empty() {
                let position = bag.push(next);
                assert!(model.insert(position, next).is_none(), "position {position} is taken");
                next += 1;
            } else {
                let at = random.below(model.len() as u64) as usize;
                let (&position, &number) = model.iter().nth(at).expect("below len");
                assert_eq!(bag.remove(position), number);
                model.remove(&position);
            }
            assert_eq!(bag.len(), model.len());
        };
        for _ in 0..random.below(100) {
            change(random, &mut model);
        }
        assert_eq!(bag.iter().collect::<Vec<_>>(), model.values().copied().collect::<Vec<_>>());
        let mut present: BTreeSet<u32> = model.values().copied().collect();
        let mut stays = model.clone();
        let mut met = Vec::new();
        let mut iter = bag.iter();
        loop {
            for _ in 0..random.below(3) {
                change(random, &mut model);
                present.extend(model.values());
                stays.retain(|position, number| model.get(position) == Some(number));
            }
            match iter.next() {
                Some(number) => met.push(number),
                None => break,
            }
        }
        for number in stays.values() {
            assert_eq!(met.iter().filter(|it| *it == number).count(), 1, "number {number}");
        }
        met.sort_unstable();
        assert!(
            met.windows(2).all(|pair| pair[0] < pair[1]),
            "no number twice: numbers are never used again"
        );
        assert!(met.iter().all(|number| present.contains(number)), "only what was there meanwhile");
        assert_eq!(bag.iter().collect::<Vec<_>>(), model.values().copied().collect::<Vec<_>>());
    }
}
