//! Waiting for a condition, with a bound.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a busy machine; a test that comes here has failed, so the length costs nothing.
pub const BOUND: Duration = Duration::from_secs(60);

/// Between two looks at a condition that can't wake anybody.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until `condition` gives something. Panics with `what` after [`BOUND`].
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(BOUND, what, condition)
}

/// As [`until`], with a bound of its own.
pub fn within<T>(bound: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < bound, "waited {bound:?} in vain: {what}");
        thread::sleep(PAUSE);
    }
}

/// How long `action` took, with what it gave.
pub fn timed<T: Debug>(action: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = action();
    (value, start.elapsed())
}
