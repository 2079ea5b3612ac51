//! How long the log's syncs took, told by the log's thread and read by whoever answers operators.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How the log did, for `mntr` and `fsync.warningthresholdms`.
#[derive(Debug, Default)]
pub struct SyncTimes {
    pub count: AtomicU64,
    pub micros_sum: AtomicU64,
    pub micros_min: AtomicU64,
    pub micros_max: AtomicU64,
    pub over_threshold: AtomicU64,
    /// By how long they took: the first up to [`FIRST`] microseconds, each next one up to twice as much; the last all others.
    buckets: [AtomicU64; BUCKETS],
}

const BUCKETS: usize = 20;
const FIRST: u64 = 16;

impl SyncTimes {
    /// One more. Of the log's thread alone.
    pub fn spread(&self, micros: u64) {
        let at = micros.div_ceil(FIRST).max(1).next_power_of_two().trailing_zeros() as usize;
        self.buckets[at.min(BUCKETS - 1)].fetch_add(1, Relaxed);
    }

    /// Microseconds, and how many syncs took at most so long. Those which took longer than all of them are in `count`.
    pub fn cumulated(&self) -> Vec<(u64, u64)> {
        let mut sum = 0;
        let mut bounds = vec![];
        for (at, bucket) in self.buckets[..BUCKETS - 1].iter().enumerate() {
            sum += bucket.load(Relaxed);
            bounds.push((FIRST << at, sum));
        }
        bounds
    }

    /// `srst`.
    pub fn reset(&self) {
        for counter in
            [&self.count, &self.micros_sum, &self.micros_min, &self.micros_max, &self.over_threshold]
        {
            counter.store(0, Relaxed);
        }
        self.buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_counted_where_it_belongs() {
        let times = SyncTimes::default();
        for micros in [0, 16, 17, 32, 33, 100_000_000] {
            times.spread(micros);
        }
        let bounds = times.cumulated();
        assert_eq!(bounds[..3], [(16, 2), (32, 4), (64, 5)]);
        assert_eq!(bounds.last(), Some(&(16 << 18, 5)), "the longest is above all bounds");
        times.reset();
        assert!(times.cumulated().iter().all(|(_, count)| *count == 0));
    }
}
