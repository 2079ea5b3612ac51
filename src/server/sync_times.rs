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
}

impl SyncTimes {
    /// `srst`.
    pub fn reset(&self) {
        for counter in
            [&self.count, &self.micros_sum, &self.micros_min, &self.micros_max, &self.over_threshold]
        {
            counter.store(0, Relaxed);
        }
    }
}
