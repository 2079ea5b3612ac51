//! What was measured: latency histograms by kind, a time series, errors by kind.
//!
//! Called by `session` for each reply. Only what falls into the window counts: in a closed loop by the time of the
//! reply (throughput is what came back in the window), in an open loop by the intended start (each request that the
//! plan put into the window counts, however late its reply). Latencies are nanoseconds, 3 significant digits.
//! Limits: latencies above [`LATENCY_NS_MAX`] count as that. Tested: `recorder_test.rs`.

use crate::workload::{KINDS, Kind};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

pub const LATENCY_NS_MAX: u64 = 120_000_000_000;
/// One entry of the series.
pub const SERIES_STEP_NS: u64 = 100_000_000;

/// By which moment a request belongs to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountBy {
    Reply,
    IntendedStart,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesEntry {
    /// Replies that came in these 100 ms.
    pub replies: u64,
    /// The longest latency among them.
    pub latency_ns_max: u64,
}

pub struct Recorder {
    count_by: CountBy,
    window: std::ops::Range<u64>,
    histograms: [Histogram<u64>; KINDS.len()],
    /// By the time of the reply; starts with the window.
    pub series: Vec<SeriesEntry>,
    /// Over the whole run, warm-up included: an error is never in the wrong place.
    error_counts: BTreeMap<String, u64>,
    /// Replies in the whole run, warm-up included.
    pub replies_total: u64,
    /// Open loop: how late after its intended start a request was handed to the socket.
    pub lateness: Histogram<u64>,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are constants and valid")
}

impl Recorder {
    /// `window`: nanoseconds of the generator's clock.
    pub fn new(count_by: CountBy, window: std::ops::Range<u64>) -> Recorder {
        let entries = (window.end.saturating_sub(window.start)).div_ceil(SERIES_STEP_NS);
        Recorder {
            count_by,
            window,
            histograms: std::array::from_fn(|_| histogram()),
            series: vec![SeriesEntry::default(); entries as usize],
            error_counts: BTreeMap::new(),
            replies_total: 0,
            lateness: histogram(),
        }
    }

    /// For work that is only to be done, not measured.
    pub fn unmeasured() -> Recorder {
        Recorder::new(CountBy::Reply, 0..0)
    }

    pub fn window(&self) -> &std::ops::Range<u64> {
        &self.window
    }

    pub fn answered(&mut self, kind: Kind, start: u64, now: u64) {
        self.replies_total += 1;
        let latency = now.saturating_sub(start);
        let moment = match self.count_by {
            CountBy::Reply => now,
            CountBy::IntendedStart => start,
        };
        if self.window.contains(&moment) {
            self.histograms[kind as usize].saturating_record(latency.max(1));
        }
        if self.window.contains(&now) {
            let entry = &mut self.series[((now - self.window.start) / SERIES_STEP_NS) as usize];
            entry.replies += 1;
            entry.latency_ns_max = entry.latency_ns_max.max(latency);
        }
    }

    pub fn sent_late(&mut self, intended: u64, now: u64) {
        if self.window.contains(&intended) {
            self.lateness.saturating_record(now.saturating_sub(intended).max(1));
        }
    }

    pub fn error(&mut self, kind: &str) {
        self.errors(kind, 1);
    }

    pub fn errors(&mut self, kind: &str, count: u64) {
        if count > 0 {
            *self.error_counts.entry(kind.to_owned()).or_default() += count;
        }
    }

    pub fn errors_by_kind(&self) -> impl Iterator<Item = (&str, u64)> {
        self.error_counts.iter().map(|(kind, count)| (kind.as_str(), *count))
    }

    pub fn errors_count(&self) -> u64 {
        self.error_counts.values().sum()
    }

    pub fn histogram(&self, kind: Kind) -> &Histogram<u64> {
        &self.histograms[kind as usize]
    }

    /// All kinds together.
    pub fn all(&self) -> Histogram<u64> {
        let mut all = histogram();
        for one in &self.histograms {
            all.add(one).expect("the bounds are the same");
        }
        all
    }
}

#[cfg(test)]
#[path = "recorder_test.rs"]
mod tests;
