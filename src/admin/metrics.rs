//! Counters and latencies, and their lines in `mntr`.
//!
//! Plain numbers, owned by the thread that counts: a [`ClientMetrics`] per shard, a [`StoreMetrics`] per replica.
//! Whoever answers an operator adds copies of them up; nothing here is shared and nothing is atomic. Times are
//! recorded in microseconds and shown in ZooKeeper's milliseconds.
//! Limits: a distribution takes about 20 KiB and is exact to 1 % up to a minute, above which all times look alike.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::text;

/// Count, sum, least and greatest of a series. ZooKeeper's BASIC summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub count: u64,
    pub sum: u64,
    /// Both zero while there is nothing.
    pub min: u64,
    pub max: u64,
}

impl Summary {
    pub fn record(&mut self, value: u64) {
        *self = self.merged(&Summary { count: 1, sum: value, min: value, max: value });
    }

    /// Records whole microseconds; shown by [`Summary::millis`].
    pub fn record_time(&mut self, time: Duration) {
        self.record(micros(time));
    }

    pub fn merge(&mut self, other: &Summary) {
        *self = self.merged(other);
    }

    fn merged(&self, other: &Summary) -> Summary {
        let min = match (self.count, other.count) {
            (0, _) => other.min,
            (_, 0) => self.min,
            _ => self.min.min(other.min),
        };
        Summary {
            count: self.count + other.count,
            sum: self.sum.saturating_add(other.sum),
            min,
            max: self.max.max(other.max),
        }
    }

    /// Least, average and greatest of recorded times, in milliseconds, as `srvr` shows them.
    pub fn millis(&self) -> (u64, String, u64) {
        (self.min / 1000, text::average(self.sum, self.count, 1000), self.max / 1000)
    }
}

/// A [`Summary`] of times with percentiles. ZooKeeper's ADVANCED summary.
#[derive(Clone, Debug)]
pub struct Distribution {
    pub summary: Summary,
    histogram: Histogram<u64>,
}

impl Default for Distribution {
    fn default() -> Distribution {
        const MICROS_MAX: u64 = 60_000_000;
        const DIGITS: u8 = 2;
        let histogram = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("the bounds are in order");
        Distribution { summary: Summary::default(), histogram }
    }
}

impl Distribution {
    pub fn record_time(&mut self, time: Duration) {
        self.summary.record_time(time);
        self.histogram.saturating_record(micros(time));
    }

    pub fn merge(&mut self, other: &Distribution) {
        self.summary.merge(&other.summary);
        self.histogram.add(&other.histogram).expect("all distributions have the same bounds");
    }

    /// Microseconds below which this part of the series lies, e.g. 0.99; zero while there is nothing.
    pub fn quantile(&self, part: f64) -> u64 {
        self.histogram.value_at_quantile(part)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What one shard counts.
#[derive(Clone, Debug, Default)]
pub struct ClientMetrics {
    /// Frames from clients, handshakes and pings included.
    pub packets_received: u64,
    /// Frames to clients: replies and watch events.
    pub packets_sent: u64,
    pub bytes_received: u64,
    /// Bytes of replies, and of watch events.
    pub response_bytes: u64,
    pub watch_bytes: u64,
    /// Handshakes that asked for a session, and those that were turned away at accept or at the handshake.
    pub connection_requests: u64,
    pub connections_rejected: u64,
    /// Connections without a session that were closed for being silent.
    pub sessionless_connections_expired: u64,
    pub auth_failures: u64,
    /// Frames longer than `jute.maxbuffer`.
    pub large_requests_rejected: u64,
    /// Bytes of the last reply, and of the smallest and the largest: −1 before the first.
    pub client_response_size: ResponseSize,
    /// From the last byte of a request to its reply: of all, of reads and of writes.
    pub request_latency: Summary,
    pub read_latency: Distribution,
    pub update_latency: Distribution,
    /// Events sent for one change, by what it was.
    pub node_created_watches: Summary,
    pub node_deleted_watches: Summary,
    pub node_changed_watches: Summary,
    pub node_children_watches: Summary,
}

/// Bytes of replies; zero count means none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseSize {
    pub last: u64,
    pub sizes: Summary,
}

impl ResponseSize {
    pub fn record(&mut self, bytes: u64) {
        self.last = bytes;
        self.sizes.record(bytes);
    }
}

impl ClientMetrics {
    pub fn merge(&mut self, other: &ClientMetrics) {
        // All fields are named, so that a new one doesn't get lost here.
        let ClientMetrics {
            packets_received,
            packets_sent,
            bytes_received,
            response_bytes,
            watch_bytes,
            connection_requests,
            connections_rejected,
            sessionless_connections_expired,
            auth_failures,
            large_requests_rejected,
            client_response_size,
            request_latency,
            read_latency,
            update_latency,
            node_created_watches,
            node_deleted_watches,
            node_changed_watches,
            node_children_watches,
        } = other;
        self.packets_received += packets_received;
        self.packets_sent += packets_sent;
        self.bytes_received += bytes_received;
        self.response_bytes += response_bytes;
        self.watch_bytes += watch_bytes;
        self.connection_requests += connection_requests;
        self.connections_rejected += connections_rejected;
        self.sessionless_connections_expired += sessionless_connections_expired;
        self.auth_failures += auth_failures;
        self.large_requests_rejected += large_requests_rejected;
        if client_response_size.sizes.count > 0 {
            self.client_response_size.last = client_response_size.last;
        }
        self.client_response_size.sizes.merge(&client_response_size.sizes);
        self.request_latency.merge(request_latency);
        self.read_latency.merge(read_latency);
        self.update_latency.merge(update_latency);
        self.node_created_watches.merge(node_created_watches);
        self.node_deleted_watches.merge(node_deleted_watches);
        self.node_changed_watches.merge(node_changed_watches);
        self.node_children_watches.merge(node_children_watches);
    }

    /// Appends the lines of `mntr`.
    pub fn print(&self, out: &mut String) {
        let (min, average, max) = self.request_latency.millis();
        line(out, "avg_latency", average);
        line(out, "max_latency", max);
        line(out, "min_latency", min);
        line(out, "packets_received", self.packets_received);
        line(out, "packets_sent", self.packets_sent);
        let size = &self.client_response_size;
        let known = |bytes: u64| if size.sizes.count == 0 { -1 } else { bytes as i64 };
        line(out, "last_client_response_size", known(size.last));
        line(out, "max_client_response_size", known(size.sizes.max));
        line(out, "min_client_response_size", known(size.sizes.min));
        line(out, "auth_failed_count", self.auth_failures);
        line(out, "bytes_received_count", self.bytes_received);
        line(out, "response_bytes", self.response_bytes);
        line(out, "watch_bytes", self.watch_bytes);
        line(out, "connection_request_count", self.connection_requests);
        line(out, "connection_rejected", self.connections_rejected);
        line(out, "sessionless_connections_expired", self.sessionless_connections_expired);
        line(out, "large_requests_rejected", self.large_requests_rejected);
        basic(out, "node_created_watch_count", &self.node_created_watches);
        basic(out, "node_deleted_watch_count", &self.node_deleted_watches);
        basic(out, "node_changed_watch_count", &self.node_changed_watches);
        basic(out, "node_children_watch_count", &self.node_children_watches);
        advanced(out, "readlatency", &self.read_latency);
        advanced(out, "updatelatency", &self.update_latency);
    }
}

/// What a replica and its log count.
#[derive(Clone, Debug, Default)]
pub struct StoreMetrics {
    /// Sessions whose clients fell silent.
    pub stale_sessions_expired: u64,
    pub snapshot_errors: u64,
    pub digest_mismatches: u64,
    /// One sync of the log, and the transactions it made durable.
    pub fsync_time: Summary,
    pub sync_batch_size: Summary,
    /// Writing one snapshot.
    pub snapshot_time: Summary,
    /// Recovery: whole, its snapshot, its log, and the transactions read from that.
    pub db_init_time: Summary,
    pub startup_snap_load_time: Summary,
    pub startup_txns_load_time: Summary,
    pub startup_txns_loaded: Summary,
}

impl StoreMetrics {
    /// Appends the lines of `mntr`.
    pub fn print(&self, out: &mut String) {
        line(out, "stale_sessions_expired", self.stale_sessions_expired);
        line(out, "snapshot_error_count", self.snapshot_errors);
        line(out, "digest_mismatches_count", self.digest_mismatches);
        times(out, "fsynctime", &self.fsync_time);
        basic(out, "sync_processor_batch_size", &self.sync_batch_size);
        times(out, "snapshottime", &self.snapshot_time);
        times(out, "dbinittime", &self.db_init_time);
        times(out, "startup_snap_load_time", &self.startup_snap_load_time);
        times(out, "startup_txns_load_time", &self.startup_txns_load_time);
        basic(out, "startup_txns_loaded", &self.startup_txns_loaded);
    }
}

/// One line of `mntr`.
pub fn line(out: &mut String, name: &str, value: impl std::fmt::Display) {
    writeln!(out, "zk_{name}\t{value}").expect("a string takes all text");
}

/// A summary of plain numbers.
fn basic(out: &mut String, name: &str, summary: &Summary) {
    scaled(out, name, summary, 1);
}

/// A summary of microseconds, in milliseconds.
fn times(out: &mut String, name: &str, summary: &Summary) {
    scaled(out, name, summary, 1000);
}

fn scaled(out: &mut String, name: &str, summary: &Summary, unit: u64) {
    line(out, &format!("avg_{name}"), text::average(summary.sum, summary.count, unit));
    line(out, &format!("min_{name}"), summary.min / unit);
    line(out, &format!("max_{name}"), summary.max / unit);
    line(out, &format!("cnt_{name}"), summary.count);
    line(out, &format!("sum_{name}"), summary.sum / unit);
}

fn advanced(out: &mut String, name: &str, distribution: &Distribution) {
    times(out, name, &distribution.summary);
    for (label, part) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
        line(out, &format!("{label}_{name}"), distribution.quantile(part) / 1000);
    }
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
