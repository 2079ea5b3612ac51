//! The generator's two clocks: monotone time, and processor time used by this process.

use rustix::time::{ClockId, clock_gettime};

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both clocks count from boot or from the process's start: neither part is negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds of the monotone clock.
pub fn now() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Nanoseconds of processor time, user and system, all threads of this process.
pub fn own_cpu() -> u64 {
    nanoseconds(ClockId::ProcessCPUTime)
}
