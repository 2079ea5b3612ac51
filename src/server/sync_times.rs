//! How long the log's syncs took, told by who writes it and read by whoever answers operators.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::base::Instant;
use crate::io::Clock;

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
    /// When the last line was written, and how many slow syncs there were since.
    told: AtomicU64,
    left_out: AtomicU64,
}

const BUCKETS: usize = 20;
/// From one line to the next, at least.
const PAUSE: Duration = Duration::from_secs(1);
const FIRST: u64 = 16;

impl SyncTimes {
    /// A sync of the log's segment `path` took so long; from `warning` on that is worth a line, of which
    /// there is one a second at most.
    pub fn note(&self, took: Duration, warning: Duration, path: &Path) {
        let micros = took.as_micros() as u64;
        if self.count.fetch_add(1, Relaxed) == 0 {
            self.micros_min.store(micros, Relaxed);
        }
        self.micros_min.fetch_min(micros, Relaxed);
        self.micros_sum.fetch_add(micros, Relaxed);
        self.micros_max.fetch_max(micros, Relaxed);
        self.spread(micros);
        if took > warning {
            self.over_threshold.fetch_add(1, Relaxed);
            let now = Clock::instant();
            if now.since(Instant(self.told.load(Relaxed))) < PAUSE {
                self.left_out.fetch_add(1, Relaxed);
                return;
            }
            self.told.store(now.0, Relaxed);
            let left_out = self.left_out.swap(0, Relaxed);
            tracing::warn!(
                took_ms = took.as_millis() as u64,
                file = %path.display(),
                left_out = (left_out > 0).then_some(left_out),
                "syncing the transaction log took long: write latency and sessions suffer; is the disk shared or failing?"
            );
        }
    }

    fn spread(&self, micros: u64) {
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
    fn slow_syncs_are_all_counted_and_one_a_second_is_told() {
        let times = SyncTimes::default();
        let ms = Duration::from_millis;
        for took in [0, 5, 6, 7] {
            times.note(ms(took), ms(5), Path::new("segment"));
        }
        let (slow, left_out) = (times.over_threshold.load(Relaxed), times.left_out.load(Relaxed));
        assert_eq!((times.count.load(Relaxed), slow, left_out), (4, 2, 1));
        assert!(times.told.load(Relaxed) > 0);
    }

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
