//! The schedule: when a sweep begins, how fast it deletes, and how it goes on.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn reaper(per_minute: u32) -> Reaper {
    Reaper::new(&Settings { check_interval: MINUTE, per_minute, never_used: None }, true, Instant(0))
}

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

/// Slots that are listed; those which are over are deleted when looked at. Says which were.
fn run(reaper: &mut Reaper, now: Instant, listed: &RefCell<BTreeSet<u32>>, over: &[u32]) -> Vec<u32> {
    let mut reaped = vec![];
    let find = |from| listed.borrow().range(from..).next().copied();
    reaper.run(now, find, |slot| {
        let is_over = over.contains(&slot);
        if is_over {
            reaped.push(slot);
            listed.borrow_mut().remove(&slot);
        }
        is_over
    });
    reaped
}

#[test]
fn a_sweep_begins_at_each_interval() {
    let mut reaper = reaper(10_000);
    let listed = RefCell::new(BTreeSet::from([1, 2, 3]));
    assert_eq!(reaper.next_wakeup(), at(60_000));
    assert_eq!(run(&mut reaper, at(59_999), &listed, &[1, 2, 3]), Vec::<u32>::new());
    assert_eq!(run(&mut reaper, at(60_000), &listed, &[]), Vec::<u32>::new());
    assert_eq!(reaper.next_wakeup(), at(120_000), "nothing is left of it");
    assert_eq!(
        run(&mut reaper, at(61_000), &listed, &[1]),
        Vec::<u32>::new(),
        "between two checks nothing happens"
    );
    // Woken late: one sweep, and the next on time.
    assert_eq!(run(&mut reaper, at(250_000), &listed, &[2]), [2]);
    assert_eq!(run(&mut reaper, at(250_006), &listed, &[1, 2]), Vec::<u32>::new(), "1 was looked at already");
    assert_eq!(reaper.next_wakeup(), at(300_000));
}

#[test]
fn deletions_are_spaced() {
    let mut reaper = reaper(10_000);
    let listed = RefCell::new((0..5).collect());
    for n in 0..5 {
        let now = at(60_000 + 6 * n);
        assert_eq!(run(&mut reaper, now, &listed, &[0, 1, 2, 3, 4]), [n as u32]);
        assert_eq!(reaper.next_wakeup(), at(60_000 + 6 * (n + 1)), "6 ms apart, 10,000 a minute");
        let early = Instant(reaper.next_wakeup().0 - 1);
        assert_eq!(run(&mut reaper, early, &listed, &[0, 1, 2, 3, 4]), Vec::<u32>::new());
    }
    // Above one a millisecond nothing is spaced.
    let mut reaper = self::reaper(60_001);
    let listed = RefCell::new((0..5).collect());
    assert_eq!(run(&mut reaper, at(60_000), &listed, &[0, 1, 2, 3, 4]).len(), 5);
    assert_eq!(reaper.next_wakeup(), at(120_000));
}

#[test]
fn a_long_list_is_looked_at_in_pieces() {
    let mut reaper = reaper(10_000);
    let count = limits::TURN_BUDGET as u32 * 2 + 1;
    let listed = RefCell::new((0..count).collect());
    let last = [count - 1];
    assert_eq!(run(&mut reaper, at(60_000), &listed, &last), Vec::<u32>::new());
    assert_eq!(reaper.next_wakeup(), at(60_000), "at once, after what else there is to do");
    assert_eq!(run(&mut reaper, at(60_000), &listed, &last), Vec::<u32>::new());
    assert_eq!(run(&mut reaper, at(60_000), &listed, &last), last);
    assert_eq!(run(&mut reaper, at(60_006), &listed, &last), Vec::<u32>::new());
    assert_eq!(reaper.next_wakeup(), at(120_000));
}
