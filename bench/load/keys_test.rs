//! Tests of `keys`: distributions and sizes.

use super::*;

fn drawn(count: u64, distribution: Distribution, draws: u64) -> Vec<u64> {
    let (mut keys, mut rng) = (Keys::new(count, distribution), Prng::new(3));
    let mut counts = vec![0; count as usize];
    for _ in 0..draws {
        counts[keys.draw(&mut rng) as usize] += 1;
    }
    counts
}

#[test]
fn a_sequence_takes_every_key_in_turn() {
    let (mut keys, mut rng) = (Keys::new(3, Distribution::Sequential), Prng::new(1));
    assert_eq!((0..7).map(|_| keys.draw(&mut rng)).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn uniform_keys_are_all_as_frequent() {
    let counts = drawn(10, Distribution::Uniform, 100_000);
    assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
}

#[test]
fn zipf_keeps_to_its_law() {
    for exponent in [0.5, 0.99, 1.0, 2.0] {
        const DRAWS: u64 = 200_000;
        let mut counts = drawn(1_000, Distribution::Zipf { exponent }, DRAWS);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let sum: f64 = (1..=1_000).map(|rank| f64::from(rank).powf(-exponent)).sum();
        for rank in [1u32, 2, 10] {
            let expected = DRAWS as f64 * f64::from(rank).powf(-exponent) / sum;
            let found = counts[rank as usize - 1] as f64;
            assert!(
                (found - expected).abs() < 6.0 * expected.sqrt(),
                "exponent {exponent} rank {rank}: {found} of {expected}"
            );
        }
    }
}

#[test]
fn neighbours_in_rank_are_no_neighbours_in_the_tree() {
    let mut keys: Vec<u64> = (0..10_000).map(|rank| rank * SCATTER % 10_000).collect();
    assert!(keys.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1_000), "{:?}", &keys[..10]);
    keys.sort_unstable();
    assert!(keys.into_iter().eq(0..10_000), "every rank has a key of its own");
}

#[test]
fn one_key_is_drawn_by_every_distribution() {
    for text in ["uniform", "zipf", "zipf:1", "sequential"] {
        assert_eq!(drawn(1, text.parse().expect(text), 100), [100], "{text}");
    }
}

#[test]
fn sizes_and_distributions_are_read_and_wrong_ones_named() {
    assert_eq!("100".parse(), Ok(Sizes::fixed(100)));
    assert_eq!("10-12".parse(), Ok(Sizes { min: 10, max: 12 }));
    for wrong in ["", "x", "-5", "5-", "9-1", "1-2-3"] {
        assert!(wrong.parse::<Sizes>().is_err(), "{wrong}");
    }
    for wrong in ["", "normal", "zipf:x", "zipf:0", "uniform:1"] {
        assert!(wrong.parse::<Distribution>().is_err(), "{wrong}");
    }
    assert_eq!("zipf".parse::<Distribution>().expect("right").to_string(), "zipf:0.99");
    let (sizes, mut rng) = (Sizes { min: 10, max: 12 }, Prng::new(1));
    let mut seen = [0; 3];
    for _ in 0..300 {
        seen[sizes.draw(&mut rng) - 10] += 1;
    }
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
}
