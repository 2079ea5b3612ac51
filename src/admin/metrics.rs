//! Counters and latencies, and their names in `mntr`.
//!
//! Plain numbers, owned by the thread that counts: a [`ClientMetrics`] per shard, a [`StoreMetrics`] per replica.
//! Whoever answers an operator adds copies of them up; nothing here is shared and nothing is atomic. Times are
//! recorded in microseconds and shown in ZooKeeper's milliseconds.
//! Limits: a distribution takes about 20 KiB and is exact to 1 % up to a minute, above which all times look alike.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::figures::{Figure, Sheet};
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
    /// Of microseconds, with 2 digits up to a minute.
    pub fn new(summary: Summary, histogram: Histogram<u64>) -> Distribution {
        Distribution { summary, histogram }
    }

    /// How many lie at or below this many microseconds.
    pub fn count_up_to(&self, micros: u64) -> u64 {
        self.histogram.count_between(0, micros)
    }

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
    /// For which there would have been more than `largeRequestMaxBytes`.
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
    /// As shown: −1 before the first.
    pub fn known(&self, bytes: u64) -> i64 {
        if self.sizes.count == 0 { -1 } else { i64::try_from(bytes).unwrap_or(i64::MAX) }
    }

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

    /// Adds what `mntr` shows, in its order.
    pub fn list(&self, out: &mut Sheet) {
        let latency = &self.request_latency;
        let average = Figure::Average { sum: latency.sum, count: latency.count, unit: 1000 };
        out.0.push(("avg_latency", average));
        out.gauge("max_latency", latency.max / 1000);
        out.gauge("min_latency", latency.min / 1000);
        out.gauge("packets_received", self.packets_received);
        out.gauge("packets_sent", self.packets_sent);
        let size = &self.client_response_size;
        out.signed("last_client_response_size", size.known(size.last));
        out.signed("max_client_response_size", size.known(size.sizes.max));
        out.signed("min_client_response_size", size.known(size.sizes.min));
        out.gauge("auth_failed_count", self.auth_failures);
        out.counter("bytes_received_count", self.bytes_received);
        out.counter("response_bytes", self.response_bytes);
        out.counter("watch_bytes", self.watch_bytes);
        out.counter("connection_request_count", self.connection_requests);
        out.counter("connection_rejected", self.connections_rejected);
        out.counter("sessionless_connections_expired", self.sessionless_connections_expired);
        out.counter("large_requests_rejected", self.large_requests_rejected);
        out.summary("node_created_watch_count", &self.node_created_watches);
        out.summary("node_deleted_watch_count", &self.node_deleted_watches);
        out.summary("node_changed_watch_count", &self.node_changed_watches);
        out.summary("node_children_watch_count", &self.node_children_watches);
        out.distribution("readlatency", &self.read_latency);
        out.distribution("updatelatency", &self.update_latency);
    }
}

/// What a replica and its log count.
#[derive(Clone, Debug, Default)]
pub struct StoreMetrics {
    /// Sessions whose clients fell silent.
    pub stale_sessions_expired: u64,
    pub snapshot_errors: u64,
    /// The admin port's `snapshot` and `restore` were asked for too soon after the last time.
    pub snapshots_rate_limited: u64,
    pub restores_rate_limited: u64,
    /// A snapshot that was given to `restore` was not taken.
    pub restore_errors: u64,
    /// From the last byte of a snapshot to a server that serves it.
    pub restore_time: Summary,
    pub digest_mismatches: u64,
    /// Of [`Self::fsync_time`]: microseconds, and how many syncs took at most so long.
    pub sync_buckets: Vec<(u64, u64)>,
    /// Transactions that are not applied yet.
    pub proposals: u64,
    /// The disk is full.
    pub refuses_writes: bool,
    pub snapshots_written: u64,
    /// Of transactions, as this leader proposes them.
    pub proposal_size: ResponseSize,
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
    /// Adds what `mntr` shows, in its order.
    pub fn list(&self, out: &mut Sheet) {
        out.counter("stale_sessions_expired", self.stale_sessions_expired);
        out.counter("snapshot_error_count", self.snapshot_errors);
        out.counter("snapshot_rate_limited_count", self.snapshots_rate_limited);
        out.counter("restore_error_count", self.restore_errors);
        out.counter("restore_rate_limited_count", self.restores_rate_limited);
        out.counter("digest_mismatches_count", self.digest_mismatches);
        out.times("fsynctime", &self.fsync_time);
        let of_start = [
            ("dbinittime", &self.db_init_time, 1000),
            ("snapshottime", &self.snapshot_time, 1000),
            ("restore_time", &self.restore_time, 1000),
            ("startup_snap_load_time", &self.startup_snap_load_time, 1000),
            ("startup_txns_load_time", &self.startup_txns_load_time, 1000),
            ("startup_txns_loaded", &self.startup_txns_loaded, 1),
            ("sync_processor_batch_size", &self.sync_batch_size, 1),
        ];
        // Where nothing was measured nothing is shown.
        for (name, summary, unit) in of_start.into_iter().filter(|(_, summary, _)| summary.count > 0) {
            out.0.push((name, Figure::Summary { summary: *summary, unit }));
        }
    }
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
