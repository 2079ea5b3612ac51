//! The page that Prometheus reads: ZooKeeper's names and types as its provider of 3.9 has them (counters without
//! `_total`, times in milliseconds, quantiles 0.5, 0.9 and 0.99), and `ringkeeper_` ones for what only this server has, in
//! Prometheus' own manner (seconds, `_total`, buckets).
//!
//! A BASIC summary has no quantile here: only its count and sum are kept.
//! Tested: the end of this file, tests/admin.rs, and against Apache ZooKeeper's page: tests/admin_of_java.rs.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary,
};
use prometheus::{TEXT_FORMAT, TextEncoder};

use super::VERSION;
use super::facts::{EnsembleFacts, Facts};
use super::figures::{Figure, Sheet, rounded};
use super::metrics::Distribution;
use crate::base::Zxid;

/// What the page is sent as.
pub const CONTENT_TYPE: &str = TEXT_FORMAT;

const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];
/// Of requests, in microseconds: from a read of the memory to the longest that clients wait.
const LATENCIES: [u64; 18] = [
    10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// The whole page. `process`: with what every program may tell of itself.
pub fn exposition(facts: &Facts<'_>, process: bool) -> String {
    let mut page = Page::default();
    let mut sheet = Sheet::default();
    match &facts.server {
        Some(server) => sheet = facts.sheet(server),
        None => facts.without_service(&mut sheet),
    }
    for (name, figure) in &sheet.0 {
        page.figure(name, figure);
    }
    page.of_ours(facts);
    if process {
        page.of_process(facts);
    }
    TextEncoder::new().encode_to_string(&page.0).expect("every family has a name and a metric")
}

#[derive(Default)]
struct Page(Vec<MetricFamily>);

impl Page {
    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    fn figure(&mut self, name: &str, figure: &Figure) {
        // As ZooKeeper's: the help is the name.
        match figure {
            Figure::Word(_) => {}
            Figure::Gauge(value) => self.add(name, name, MetricType::GAUGE, vec![gauge(*value as f64, &[])]),
            &Figure::Average { sum, count, unit } => {
                self.add(name, name, MetricType::GAUGE, vec![gauge(rounded(sum, count, unit), &[])]);
            }
            Figure::Counter(value) => {
                self.add(name, name, MetricType::COUNTER, vec![counter(*value as f64, &[])]);
            }
            Figure::Summary { summary: of, unit } => {
                let mut summary = Summary::default();
                summary.set_sample_count(of.count);
                summary.set_sample_sum(of.sum as f64 / *unit as f64);
                self.summary(name, summary);
            }
            Figure::Distribution(distribution) => {
                let of = &distribution.summary;
                let mut summary = Summary::default();
                summary.set_sample_count(of.count);
                summary.set_sample_sum(of.sum as f64 / 1000.0);
                let quantile = |part| {
                    let mut quantile = Quantile::default();
                    quantile.set_quantile(part);
                    let value = distribution.quantile(part) as f64 / 1000.0;
                    quantile.set_value(if of.count == 0 { f64::NAN } else { value });
                    quantile
                };
                summary.set_quantile(QUANTILES.into_iter().map(quantile).collect());
                self.summary(name, summary);
            }
        }
    }

    fn summary(&mut self, name: &str, summary: Summary) {
        let mut metric = Metric::default();
        metric.set_summary(summary);
        self.add(name, name, MetricType::SUMMARY, vec![metric]);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::GAUGE, vec![gauge(value, &[])]);
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::COUNTER, vec![counter(value, &[])]);
    }

    /// Microseconds, shown in seconds. `up_to`: bounds, and how many are not above.
    fn times(&mut self, name: &str, help: &str, up_to: &[(u64, u64)], count: u64, sum: u64) {
        let bucket = |&(bound, count): &(u64, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound as f64 / 1e6);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(up_to.iter().map(bucket).collect());
        // What was read a moment later must not be above what was read before.
        histogram.set_sample_count(count.max(up_to.last().map_or(0, |(_, count)| *count)));
        histogram.set_sample_sum(sum as f64 / 1e6);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, vec![metric]);
    }

    fn of_ours(&mut self, facts: &Facts<'_>) {
        let (clients, store) = (facts.clients, facts.store);
        let info = gauge(1.0, &[("version", VERSION)]);
        self.add("ringkeeper_info", "This server's version", MetricType::GAUGE, vec![info]);
        let serving = if facts.server.is_some() { 1.0 } else { 0.0 };
        self.gauge("ringkeeper_serving", "1 while clients are served", serving);
        if let Some(server) = &facts.server {
            let mode = gauge(1.0, &[("mode", server.mode.name())]);
            self.add("ringkeeper_mode", "What this server is, as in srvr", MetricType::GAUGE, vec![mode]);
            self.gauge("ringkeeper_last_zxid", "The last transaction applied", server.last_zxid.0 as f64);
        }
        let spread = |of: &Distribution| LATENCIES.map(|bound| (bound, of.count_up_to(bound)));
        for (name, help, of) in [
            ("ringkeeper_read_latency_seconds", "From request to reply, of reads", &clients.read_latency),
            (
                "ringkeeper_update_latency_seconds",
                "From request to reply, of writes",
                &clients.update_latency,
            ),
        ] {
            self.times(name, help, &spread(of), of.summary.count, of.summary.sum);
        }
        let syncs = &store.fsync_time;
        self.times(
            "ringkeeper_sync_seconds",
            "Syncs of the log",
            &store.sync_buckets,
            syncs.count,
            syncs.sum,
        );
        let slow = facts.process.slow_syncs as f64;
        self.counter("ringkeeper_slow_syncs_total", "Syncs above fsync.warningthresholdms", slow);
        self.gauge("ringkeeper_log_queue", "Transactions not applied yet", store.proposals as f64);
        let full = if store.refuses_writes { 1.0 } else { 0.0 };
        self.gauge("ringkeeper_disk_full", "1 while writes are refused for want of room", full);
        let written = store.snapshots_written as f64;
        self.counter("ringkeeper_snapshots_total", "Snapshots written", written);
        let directories = [("data", facts.directories.data_bytes), ("log", facts.directories.log_bytes)];
        let bytes = directories.map(|(name, bytes)| gauge(bytes as f64, &[("directory", name)]));
        self.add(
            "ringkeeper_directory_bytes",
            "Of snapshots, and of the log",
            MetricType::GAUGE,
            bytes.into(),
        );
        let available = [
            ("data", facts.directories.data_available_bytes),
            ("log", facts.directories.log_available_bytes),
        ];
        let known = available.iter().filter_map(|(name, bytes)| Some((name, (*bytes)? as f64)));
        let bytes = known.map(|(name, bytes)| gauge(bytes, &[("directory", name)]));
        self.add(
            "ringkeeper_disk_available_bytes",
            "What the file systems of these directories have left",
            MetricType::GAUGE,
            bytes.collect(),
        );
        let mut threads: BTreeMap<&str, Duration> = BTreeMap::new();
        for (name, time) in &facts.process.threads {
            *threads.entry(name).or_default() += *time;
        }
        let usage = threads.iter().map(|(name, time)| counter(time.as_secs_f64(), &[("thread", name)]));
        self.add(
            "ringkeeper_thread_cpu_seconds_total",
            "Processor time by thread: the loops' usage is its rate",
            MetricType::COUNTER,
            usage.collect(),
        );
        self.of_ensemble(facts);
    }

    fn of_ensemble(&mut self, facts: &Facts<'_>) {
        let Some(ensemble) = facts.ensemble else { return };
        for (name, help, value) in [
            ("ringkeeper_accepted_epoch", "The highest epoch promised to a leader", ensemble.accepted_epoch),
            ("ringkeeper_current_epoch", "The epoch of the history in the log", ensemble.current_epoch),
            ("ringkeeper_config_version", "The zxid of the last reconfiguration", ensemble.config_version),
            ("ringkeeper_leader_id", "The leader's myid, -1 without one", ensemble.leader.unwrap_or(-1)),
        ] {
            self.gauge(name, help, value as f64);
        }
        let last = facts.server.map_or(Zxid::ZERO, |server| server.last_zxid);
        let lag = |learner: &super::LearnerFacts| {
            let behind = EnsembleFacts::lag(learner, last)?;
            Some(gauge(behind as f64, &[("sid", &learner.id.to_string())]))
        };
        self.add(
            "ringkeeper_follower_lag",
            "Transactions that a follower hasn't acknowledged yet, of those applied here",
            MetricType::GAUGE,
            ensemble.learners.iter().filter_map(lag).collect(),
        );
    }

    fn of_process(&mut self, facts: &Facts<'_>) {
        let process = facts.process;
        let cpu = process.cpu_time.as_secs_f64();
        self.counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", cpu);
        let started = process.started.0 as f64 / 1000.0;
        self.gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            started,
        );
        let resident = process.resident_bytes as f64;
        self.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", resident);
        if let Some(server) = &facts.server {
            let (open, most) = (server.open_files_count as f64, server.open_files_max as f64);
            self.gauge("process_open_fds", "Number of open file descriptors.", open);
            self.gauge("process_max_fds", "Maximum number of open file descriptors.", most);
        }
    }
}

fn labels(of: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    of.iter().map(pair).collect()
}

fn gauge(value: f64, of: &[(&str, &str)]) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(labels(of));
    metric.set_gauge(gauge);
    metric
}

fn counter(value: f64, of: &[(&str, &str)]) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::from_label(labels(of));
    metric.set_counter(counter);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(figure: &Figure) -> String {
        let mut page = Page::default();
        page.figure("x", figure);
        TextEncoder::new().encode_to_string(&page.0).unwrap()
    }

    #[test]
    fn figures_of_each_kind() {
        assert_eq!(page(&Figure::Word("3.9".to_owned())), "");
        assert_eq!(page(&Figure::Gauge(-1)), "# HELP x x\n# TYPE x gauge\nx -1\n");
        assert_eq!(page(&Figure::Counter(7)), "# HELP x x\n# TYPE x counter\nx 7\n");
        let average = Figure::Average { sum: 20_000, count: 3, unit: 1000 };
        assert_eq!(page(&average), "# HELP x x\n# TYPE x gauge\nx 6.6667\n");
        let summary = super::super::Summary { count: 2, sum: 1500, min: 500, max: 1000 };
        let shown = page(&Figure::Summary { summary, unit: 1000 });
        assert_eq!(shown, "# HELP x x\n# TYPE x summary\nx_sum 1.5\nx_count 2\n");
    }

    #[test]
    fn distributions_have_quantiles_in_milliseconds() {
        let empty = page(&Figure::Distribution(Box::default()));
        assert!(empty.contains("x{quantile=\"0.5\"} NaN\n"), "{empty}");
        let mut distribution = Distribution::default();
        (0..100).for_each(|_| distribution.record_time(Duration::from_micros(100)));
        let shown = page(&Figure::Distribution(Box::new(distribution)));
        assert!(shown.contains("x{quantile=\"0.99\"} 0.1\n"), "{shown}");
        assert!(shown.ends_with("x_sum 10\nx_count 100\n"), "{shown}");
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_all() {
        let mut page = Page::default();
        page.times("t", "times", &[(16, 1), (32, 3)], 4, 2_000_000);
        let text = TextEncoder::new().encode_to_string(&page.0).unwrap();
        for line in [
            "t_bucket{le=\"0.000016\"} 1",
            "t_bucket{le=\"0.000032\"} 3",
            "t_bucket{le=\"+Inf\"} 4",
            "t_sum 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
