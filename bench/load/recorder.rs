//! What was measured: latency histograms by kind, a time series, errors by kind.
//!
//! Called by `session` for each reply. Only what falls into the window counts: in a closed loop by the time of the
//! reply (throughput is what came back in the window), in an open loop by the intended start (each request that the
//! plan put into the window counts, however late its reply). Latencies are nanoseconds, 3 significant digits.
//! Limits: latencies above [`LATENCY_NS_MAX`] count as that. Tested: `recorder_test.rs`.

use crate::bench::workload::{KINDS, Kind};
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

/// What came back in 100 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesEntry {
    pub replies: u64,
    pub errors: u64,
    /// Of the latencies of `replies`; 0 where there is none.
    pub latency_ns_p50: u64,
    pub latency_ns_p99: u64,
    pub latency_ns_max: u64,
}

pub struct Recorder {
    count_by: CountBy,
    window: std::ops::Range<u64>,
    histograms: [Histogram<u64>; KINDS.len()],
    /// By the time of the reply; starts with the window. Complete after [`Recorder::finish`].
    pub series: Vec<SeriesEntry>,
    /// The latencies of the entry that is being filled.
    slice: Histogram<u64>,
    slice_at: usize,
    /// The time of the last reply: errors have none of their own.
    last_reply: u64,
    /// Over the whole run, warm-up included: an error is never in the wrong place.
    error_counts: BTreeMap<String, u64>,
    /// What happened besides, and is no error: races that were lost, waits.
    note_counts: BTreeMap<&'static str, u64>,
    /// Operations that were answered in the whole run, warm-up included.
    pub replies_total: u64,
    /// Replies of any kind: as long as they come, the server lives.
    pub progress: u64,
    pub sessions_lost: u64,
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
            slice: histogram(),
            slice_at: 0,
            last_reply: 0,
            error_counts: BTreeMap::new(),
            note_counts: BTreeMap::new(),
            replies_total: 0,
            progress: 0,
            sessions_lost: 0,
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

    /// A reply has come, whatever it says.
    pub fn replied(&mut self, now: u64) {
        self.progress += 1;
        self.last_reply = now;
    }

    pub fn answered(&mut self, kind: Kind, start: u64, now: u64) {
        let latency = now.saturating_sub(start);
        let moment = match self.count_by {
            CountBy::Reply => now,
            CountBy::IntendedStart => start,
        };
        if self.window.contains(&moment) {
            self.histograms[kind as usize].saturating_record(latency.max(1));
        }
        if !kind.is_operation() {
            return;
        }
        self.replies_total += 1;
        if let Some(at) = self.entry_at(now) {
            if at != self.slice_at {
                self.close_slice();
                self.slice_at = at;
            }
            self.series[at].replies += 1;
            self.slice.saturating_record(latency.max(1));
        }
    }

    fn entry_at(&self, now: u64) -> Option<usize> {
        self.window.contains(&now).then(|| ((now - self.window.start) / SERIES_STEP_NS) as usize)
    }

    fn close_slice(&mut self) {
        if let (Some(entry), false) = (self.series.get_mut(self.slice_at), self.slice.is_empty()) {
            entry.latency_ns_p50 = self.slice.value_at_quantile(0.5);
            entry.latency_ns_p99 = self.slice.value_at_quantile(0.99);
            entry.latency_ns_max = self.slice.max();
        }
        self.slice.reset();
    }

    /// Completes the series. `end`: where it is cut, if the load ended before its window did.
    pub fn finish(&mut self, end: u64) {
        self.close_slice();
        let entries = end.saturating_sub(self.window.start).div_ceil(SERIES_STEP_NS);
        self.series.truncate(entries as usize);
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
        if count == 0 {
            return;
        }
        if let Some(at) = self.entry_at(self.last_reply) {
            self.series[at].errors += count;
        }
        match self.error_counts.get_mut(kind) {
            Some(known) => *known += count,
            None => {
                self.error_counts.insert(kind.to_owned(), count);
            }
        }
    }

    pub fn errors_by_kind(&self) -> impl Iterator<Item = (&str, u64)> {
        self.error_counts.iter().map(|(kind, count)| (kind.as_str(), *count))
    }

    pub fn errors_count(&self) -> u64 {
        self.error_counts.values().sum()
    }

    pub fn note(&mut self, what: &'static str) {
        *self.note_counts.entry(what).or_default() += 1;
    }

    pub fn notes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.note_counts.iter().map(|(what, count)| (*what, *count))
    }

    pub fn histogram(&self, kind: Kind) -> &Histogram<u64> {
        &self.histograms[kind as usize]
    }

    /// All operations together.
    pub fn all(&self) -> Histogram<u64> {
        let mut all = histogram();
        for kind in KINDS.into_iter().filter(|kind| kind.is_operation()) {
            all.add(self.histogram(kind)).expect("the bounds are the same");
        }
        all
    }
}

#[cfg(test)]
#[path = "recorder_test.rs"]
mod tests;
