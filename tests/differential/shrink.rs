//! Delta debugging: as few items as still show the same difference.

use std::time::{Duration, Instant};

/// Shrinking stops there, with what it has.
const PATIENCE: Duration = Duration::from_secs(120);

/// The smallest set of indices found, in order. `shows` says whether a set still shows the difference; index 0 is always kept.
/// `all` shows it.
pub fn shrink(all: Vec<usize>, mut shows: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let start = Instant::now();
    let mut kept = all;
    let mut chunk = kept.len().div_ceil(2);
    while chunk > 0 && start.elapsed() < PATIENCE {
        let before = kept.len();
        // From the end: what comes late depends on what came before it.
        let mut end = kept.len();
        while end > 1 && start.elapsed() < PATIENCE {
            let from = end.saturating_sub(chunk).max(1);
            let rest: Vec<usize> = kept[..from].iter().chain(&kept[end..]).copied().collect();
            if shows(&rest) {
                kept = rest;
            }
            end = from;
        }
        if chunk > 1 {
            chunk /= 2;
        } else if kept.len() == before {
            break;
        }
    }
    kept
}

/// Finds the pair that matters, and nothing else, among many.
pub fn check() {
    let mut tries = 0;
    let found = shrink((0..400).collect(), |kept| {
        tries += 1;
        kept.contains(&17) && kept.contains(&302)
    });
    assert_eq!(found, [0, 17, 302]);
    assert!(tries < 200, "{tries} replays for two of 400 items");
}
