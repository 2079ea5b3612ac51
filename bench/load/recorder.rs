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
    /// In a closed loop without those of the slices.
    histograms: [Histogram<u64>; KINDS.len()],
    /// By the time of the reply; starts with the window. Complete after [`Recorder::finish`].
    pub series: Vec<SeriesEntry>,
    /// The latencies of the entry that is being filled. A reply is recorded once, here; when the entry is full, a closed loop's
    /// go on to the histograms: recording is most of what a reply costs here.
    slices: [Histogram<u64>; KINDS.len()],
    /// The last ones of one kind and latency, which aren't in the slices yet: what a session asks in one go often comes back so.
    run: Run,
    /// Of several kinds together, when a slice is closed.
    merged: Histogram<u64>,
    slice_at: usize,
    /// In the generator's nanoseconds.
    slice_range: std::ops::Range<u64>,
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

#[derive(Clone, Copy)]
struct Run {
    kind: Kind,
    latency: u64,
    count: u64,
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
            slices: std::array::from_fn(|_| histogram()),
            run: Run { kind: Kind::Get, latency: 0, count: 0 },
            merged: histogram(),
            slice_at: 0,
            slice_range: 0..0,
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

    /// So many replies have come, whatever they say.
    pub fn replied(&mut self, count: u64, now: u64) {
        self.progress += count;
        self.last_reply = now;
    }

    pub fn answered(&mut self, kind: Kind, start: u64, now: u64) {
        self.answered_alike(kind, start, now, 1);
    }

    /// `count` requests of that start.
    pub fn answered_alike(&mut self, kind: Kind, start: u64, now: u64, count: u64) {
        let latency = now.saturating_sub(start).max(1);
        if self.count_by == CountBy::IntendedStart && self.window.contains(&start) {
            self.histograms[kind as usize].saturating_record_n(latency, count);
        }
        self.replies_total += count * u64::from(kind.is_operation());
        if !self.slice_range.contains(&now) && !self.turn_to(now) {
            return;
        }
        if (self.run.kind, self.run.latency) == (kind, latency) {
            self.run.count += count;
        } else {
            self.end_run();
            self.run = Run { kind, latency, count };
        }
    }

    fn end_run(&mut self) {
        let Run { kind, latency, count } = self.run;
        self.run.count = 0;
        if count > 0 {
            self.slices[kind as usize].saturating_record_n(latency, count);
        }
    }

    /// To the slice of `now`. False outside of the window.
    fn turn_to(&mut self, now: u64) -> bool {
        let Some(at) = self.entry_at(now) else { return false };
        self.close_slice();
        self.slice_at = at;
        let start = self.window.start + at as u64 * SERIES_STEP_NS;
        self.slice_range = start..(start + SERIES_STEP_NS).min(self.window.end);
        true
    }

    fn entry_at(&self, now: u64) -> Option<usize> {
        self.window.contains(&now).then(|| ((now - self.window.start) / SERIES_STEP_NS) as usize)
    }

    fn close_slice(&mut self) {
        self.end_run();
        let is_filled = |kind: &Kind| kind.is_operation() && !self.slices[*kind as usize].is_empty();
        let mut filled = KINDS.into_iter().filter(is_filled);
        let all = match (filled.next(), filled.next()) {
            (Some(only), None) => Some(&self.slices[only as usize]),
            (Some(_), Some(_)) => {
                merge(&mut self.merged, &self.slices);
                Some(&self.merged)
            }
            (None, _) => None,
        };
        if let (Some(entry), Some(all)) = (self.series.get_mut(self.slice_at), all) {
            entry.replies += all.len();
            entry.latency_ns_p50 = all.value_at_quantile(0.5);
            entry.latency_ns_p99 = all.value_at_quantile(0.99);
            entry.latency_ns_max = all.max();
        }
        for (histogram, slice) in self.histograms.iter_mut().zip(&mut self.slices) {
            if slice.is_empty() {
                continue;
            }
            if self.count_by == CountBy::Reply {
                histogram.add(&*slice).expect("the bounds are the same");
            }
            slice.reset();
        }
    }

    /// Completes the series. `end`: where it is cut, if the load ended before its window did.
    pub fn finish(&mut self, end: u64) {
        self.close_slice();
        self.slice_range = 0..0;
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

    pub fn histogram(&self, kind: Kind) -> Histogram<u64> {
        let mut all = self.histograms[kind as usize].clone();
        if self.count_by == CountBy::Reply {
            all.add(&self.slices[kind as usize]).expect("the bounds are the same");
            if self.run.kind == kind && self.run.count > 0 {
                all.saturating_record_n(self.run.latency, self.run.count);
            }
        }
        all
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

/// Of all operations. `histograms`: by kind.
fn merge(all: &mut Histogram<u64>, histograms: &[Histogram<u64>; KINDS.len()]) {
    all.reset();
    for kind in KINDS.into_iter().filter(|kind| kind.is_operation() && !histograms[*kind as usize].is_empty())
    {
        all.add(&histograms[kind as usize]).expect("the bounds are the same");
    }
}

#[cfg(test)]
#[path = "recorder_test.rs"]
mod tests;
