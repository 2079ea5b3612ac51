//! `mntr`: names, values and roundings.

use super::*;
use crate::base::Prng;

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let mut found =
        text.lines().filter_map(|line| line.strip_prefix("zk_")?.strip_prefix(name)?.strip_prefix('\t'));
    let value = found.next().unwrap_or_else(|| panic!("{name} is missing"));
    assert_eq!(found.next(), None, "{name} is there twice");
    value
}

/// The lines of `mntr`.
fn lines(list: impl Fn(&mut Sheet)) -> String {
    let mut sheet = Sheet::default();
    list(&mut sheet);
    sheet.lines()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_summary_is_the_same_however_it_is_cut() {
    let mut random = Prng::new(3);
    for _ in 0..200 {
        let values: Vec<u64> = (0..random.below(20)).map(|_| random.below(1000)).collect();
        let (mut whole, mut left, mut right) = (Summary::default(), Summary::default(), Summary::default());
        for &value in &values {
            whole.record(value);
            if random.chance(1, 2) { left.record(value) } else { right.record(value) }
        }
        left.merge(&right);
        assert_eq!(left, whole);
        assert_eq!(whole.min, values.iter().min().copied().unwrap_or(0));
        assert_eq!(whole.max, values.iter().max().copied().unwrap_or(0));
        assert_eq!((whole.sum, whole.count), (values.iter().sum(), values.len() as u64));
    }
}

#[test]
fn distributions_add_up() {
    let (mut fast, mut slow) = (Distribution::default(), Distribution::default());
    for _ in 0..990 {
        fast.record_time(ms(2));
    }
    for _ in 0..10 {
        slow.record_time(ms(500));
    }
    slow.record_time(Duration::from_secs(3600));
    fast.merge(&slow);
    assert_eq!(fast.summary.count, 1001);
    assert_eq!(fast.summary.max, 3_600_000_000);
    let near = |micros: u64, expected: u64| micros.abs_diff(expected) <= expected / 100;
    assert!(near(fast.quantile(0.5), 2_000), "{}", fast.quantile(0.5));
    assert!(near(fast.quantile(0.995), 500_000), "{}", fast.quantile(0.995));
    assert!(near(fast.quantile(1.0), 60_000_000), "{}", fast.quantile(1.0));
    assert_eq!(Distribution::default().quantile(0.99), 0);
}

#[test]
fn lines_of_clients() {
    let mut metrics = ClientMetrics { packets_received: 10, packets_sent: 9, ..ClientMetrics::default() };
    let out = lines(|sheet| metrics.list(sheet));
    for (name, expected) in [
        ("avg_latency", "0.0"),
        ("last_client_response_size", "-1"),
        ("min_client_response_size", "-1"),
        ("packets_received", "10"),
        ("packets_sent", "9"),
        ("p99_readlatency", "0"),
        ("cnt_updatelatency", "0"),
    ] {
        assert_eq!(value(&out, name), expected, "{name}");
    }

    for latency in [1, 2, 7] {
        metrics.request_latency.record_time(ms(latency));
        metrics.read_latency.record_time(ms(latency));
    }
    metrics.client_response_size.record(80);
    metrics.client_response_size.record(16);
    metrics.node_changed_watches.record(3);
    let out = lines(|sheet| metrics.list(sheet));
    for (name, expected) in [
        ("min_latency", "1"),
        ("avg_latency", "3.3333"),
        ("max_latency", "7"),
        ("last_client_response_size", "16"),
        ("min_client_response_size", "16"),
        ("max_client_response_size", "80"),
        ("avg_readlatency", "3.3333"),
        ("sum_readlatency", "10"),
        ("p50_readlatency", "2"),
        ("p999_readlatency", "7"),
        ("avg_node_changed_watch_count", "3.0"),
        ("sum_node_changed_watch_count", "3"),
    ] {
        assert_eq!(value(&out, name), expected, "{name}");
    }
}

#[test]
fn every_counter_of_clients_is_merged() {
    let mut time = Distribution::default();
    time.record_time(ms(4));
    let mut count = Summary::default();
    count.record(4);
    let mut sizes = ResponseSize::default();
    sizes.record(4);
    let one = ClientMetrics {
        packets_received: 1,
        packets_sent: 2,
        bytes_received: 3,
        response_bytes: 4,
        watch_bytes: 5,
        connection_requests: 6,
        connections_rejected: 7,
        sessionless_connections_expired: 8,
        auth_failures: 9,
        large_requests_rejected: 10,
        client_response_size: sizes,
        request_latency: time.summary,
        read_latency: time.clone(),
        update_latency: time.clone(),
        node_created_watches: count,
        node_deleted_watches: count,
        node_changed_watches: count,
        node_children_watches: count,
    };
    // Into nothing: the lines must be equal. Into itself: none may stay as it was, but for extremes and averages.
    let mut copy = ClientMetrics::default();
    copy.merge(&one);
    let expected = lines(|sheet| one.list(sheet));
    assert_eq!(lines(|sheet| copy.list(sheet)), expected);
    copy.merge(&one);
    let twice = lines(|sheet| copy.list(sheet));
    for (before, after) in expected.lines().zip(twice.lines()) {
        let name = before.split('\t').next().unwrap();
        let stays = ["avg", "min", "max", "p50", "p95", "p99", "last"].iter().any(|part| name.contains(part));
        assert_eq!(before == after, stays, "{before} {after}");
    }
}

#[test]
fn lines_of_the_store() {
    let mut metrics =
        StoreMetrics { stale_sessions_expired: 3, digest_mismatches: 2, ..StoreMetrics::default() };
    metrics.fsync_time.record_time(Duration::from_micros(90));
    metrics.fsync_time.record_time(Duration::from_micros(1500));
    metrics.sync_batch_size.record(12);
    metrics.startup_txns_loaded.record(1_000_000);
    let out = lines(|sheet| metrics.list(sheet));
    for (name, expected) in [
        ("stale_sessions_expired", "3"),
        ("snapshot_error_count", "0"),
        ("digest_mismatches_count", "2"),
        ("min_fsynctime", "0"),
        ("avg_fsynctime", "0.795"),
        ("max_fsynctime", "1"),
        ("cnt_fsynctime", "2"),
        ("max_sync_processor_batch_size", "12"),
        ("sum_startup_txns_loaded", "1000000"),
    ] {
        assert_eq!(value(&out, name), expected, "{name}");
    }
}
