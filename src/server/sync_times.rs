//! How long the log's syncs took, told by who writes it and read by whoever answers operators.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How the log did, for `mntr` and `fsync.warningthresholdms`.
#[derive(Debug, Default)]
pub struct SyncTimes {
    pub count: AtomicU64,
    pub micros_sum: AtomicU64,
    pub micros_min: AtomicU64,
    pub micros_max: AtomicU64,
    pub over_threshold: AtomicU64,
}

impl SyncTimes {
    /// A sync of the log's segment `path` took so long; from `warning` on that is worth a line.
    pub fn note(&self, took: Duration, warning: Duration, path: &Path) {
        let micros = took.as_micros() as u64;
        if self.count.fetch_add(1, Relaxed) == 0 {
            self.micros_min.store(micros, Relaxed);
        }
        self.micros_min.fetch_min(micros, Relaxed);
        self.micros_sum.fetch_add(micros, Relaxed);
        self.micros_max.fetch_max(micros, Relaxed);
        if took > warning {
            self.over_threshold.fetch_add(1, Relaxed);
            tracing::warn!(
                took_ms = took.as_millis() as u64,
                file = %path.display(),
                "syncing the transaction log took long: write latency and sessions suffer; is the disk shared or failing?"
            );
        }
    }

    /// `srst`.
    pub fn reset(&self) {
        for counter in
            [&self.count, &self.micros_sum, &self.micros_min, &self.micros_max, &self.over_threshold]
        {
            counter.store(0, Relaxed);
        }
    }
}
