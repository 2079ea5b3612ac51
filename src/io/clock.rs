//! Reads the clocks. Pure rooms get what comes out of here as an argument, once per turn of a loop.

use crate::base::{Instant, Now, WallMillis};

/// The machine's clocks. Instants of all threads of one process are comparable.
#[derive(Clone, Copy, Debug)]
pub struct Clock;

impl Clock {
    /// Monotone time (CLOCK_MONOTONIC: doesn't count suspend, as Java's nanoTime doesn't) and wall time.
    pub fn now() -> Now {
        let (seconds, nanoseconds) = read(libc::CLOCK_REALTIME);
        Now { instant: Clock::instant(), wall: WallMillis(seconds * 1000 + nanoseconds / 1_000_000) }
    }

    /// Only the monotone half, for measuring.
    pub fn instant() -> Instant {
        let (seconds, nanoseconds) = read(libc::CLOCK_MONOTONIC);
        Instant((seconds * 1_000_000_000 + nanoseconds) as u64)
    }
}

fn read(clock: libc::clockid_t) -> (i64, i64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours and writable; both clock ids are valid on every Linux.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert!(result == 0, "reading these two clocks can't fail");
    (time.tv_sec, time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotone_time_never_steps_back_and_wall_time_is_of_this_century() {
        let mut last = Clock::now();
        for _ in 0..10_000 {
            let now = Clock::now();
            assert!(now.instant >= last.instant);
            last = now;
        }
        assert!(last.wall.0 > 1_700_000_000_000, "milliseconds, not seconds");
    }
}
