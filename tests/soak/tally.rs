//! What a run counts, and how long nobody was served.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::gate::Gate;

/// Batches of the writers are so many operations: creates and a set.
const BATCH: u64 = 8;

#[derive(Debug, Default)]
pub struct Tally {
    /// Batches of the history's writers.
    pub batches: Arc<AtomicU64>,
    /// By their names.
    counts: Mutex<BTreeMap<String, u64>>,
    service: Mutex<Service>,
    /// Whether clients are at work.
    pub under_load: AtomicBool,
    /// Who leads, and what was done last.
    pub leader: Mutex<String>,
    last: Mutex<String>,
}

#[derive(Debug, Default)]
struct Service {
    operations: u64,
    since: Option<Instant>,
    longest: Duration,
}

impl Tally {
    /// One more of these.
    pub fn count(&self, name: &str) {
        self.add(name, 1);
    }

    pub fn add(&self, name: &str, number: u64) {
        let mut counts = self.counts.lock().expect("nobody panics with it");
        match counts.get_mut(name) {
            Some(count) => *count += number,
            None => drop(counts.insert(name.to_owned(), number)),
        }
    }

    /// What was counted under names that begin so, without that beginning.
    pub fn all(&self, beginning: &str) -> Vec<(String, u64)> {
        let counts = self.counts.lock().expect("nobody panics with it");
        let of = counts
            .iter()
            .filter_map(|(name, count)| Some((name.strip_prefix(beginning)?.to_owned(), *count)));
        of.collect()
    }

    pub fn sum(&self, beginning: &str) -> u64 {
        self.all(beginning).iter().map(|(_, count)| count).sum()
    }

    /// Operations that were acknowledged.
    pub fn operations(&self) -> u64 {
        self.batches.load(Ordering::SeqCst) * BATCH + self.sum("op ")
    }

    /// Looks whether anybody was served since the last look. Who is held back at the gate doesn't miss it.
    pub fn watch(&self, gate: &Gate) {
        let operations = self.operations();
        let mut service = self.service.lock().expect("nobody panics with it");
        let now = Instant::now();
        if operations > service.operations
            || gate.is_closed()
            || !self.under_load.load(Ordering::SeqCst)
            || service.since.is_none()
        {
            service.since = Some(now);
            service.operations = operations;
        }
        let since = service.since.unwrap_or(now);
        service.longest = service.longest.max(now - since);
    }

    pub fn longest_without_service(&self) -> Duration {
        self.service.lock().expect("nobody panics with it").longest
    }

    /// What is done now.
    pub fn note(&self, what: &str) {
        *self.last.lock().expect("nobody panics with it") = what.to_owned();
    }

    /// Where the run stands.
    pub fn line(&self) -> String {
        let leader = self.leader.lock().expect("nobody panics with it");
        let last = self.last.lock().expect("nobody panics with it");
        format!(
            "{} operations acknowledged, {} faults, {} rounds checked, {:.1} s without service at most, {leader} leads; last: {last}",
            self.operations(),
            self.sum("fault "),
            self.sum("rounds"),
            self.longest_without_service().as_secs_f64(),
        )
    }

    pub fn summary(&self, time: Duration) -> String {
        let seconds = time.as_secs();
        format!(
            "{} minutes {} seconds, {} rounds\n\
             operations acknowledged: {} (batches of creates and sets {}; {})\n\
             faults: {}: {}\n\
             leaders: {}\n\
             longest time without service: {:.1} s\n\
             history entries checked: {}; connections lost: {}; pauses for Apache's: {}\n\
             sessions moved: {} ({}); abandoned: {}; watches fired: {}; events judged: {}; reaped: {}\n\
             differences: {}",
            seconds / 60,
            seconds % 60,
            self.sum("rounds"),
            self.operations(),
            self.batches.load(Ordering::SeqCst),
            self.told("op "),
            self.sum("fault "),
            self.told("fault "),
            self.told("leader "),
            self.longest_without_service().as_secs_f64(),
            self.sum("history entries"),
            self.sum("connections lost"),
            self.sum("pauses for Apache's"),
            self.sum("move "),
            self.told("move "),
            self.sum("sessions abandoned"),
            self.sum("watches fired"),
            self.sum("events judged"),
            self.sum("reaped"),
            self.told("difference "),
        )
    }

    /// As `a 1, b 2`.
    pub fn told(&self, beginning: &str) -> String {
        let words: Vec<String> =
            self.all(beginning).iter().map(|(name, count)| format!("{name} {count}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }
}
