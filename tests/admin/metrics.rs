//! The page for Prometheus: its form, its names, and that its figures are those of what happened.

use std::collections::BTreeMap;

use crate::support::admin::members;
use crate::support::client::PERSISTENT;
use crate::support::http::{get, try_get};
use crate::support::server::free_port;
use crate::support::{Client, Config, Server, until};

pub fn with_metrics(config: Config) -> (Config, u16) {
    let port = free_port();
    let config = config
        .set("metricsProvider.className", "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider")
        .set("metricsProvider.httpHost", "127.0.0.1")
        .set("metricsProvider.httpPort", port);
    (config, port)
}

pub fn start(config: Config) -> (Server, u16) {
    let (config, port) = with_metrics(config);
    let server = config.start();
    until("the metrics port to be open", || try_get(port, "/metrics"));
    (server, port)
}

/// Types by name, and samples by name with labels. Every line has to be of the text format 0.0.4.
#[derive(Debug)]
struct Page {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

fn page(port: u16) -> Page {
    let answer = get(port, "/metrics");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").expect("a type").starts_with("text/plain; version=0.0.4"));
    let mut page = Page { types: BTreeMap::new(), samples: BTreeMap::new() };
    let mut family = String::new();
    for line in answer.text().lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and its type");
            family = name.to_owned();
            assert!(page.types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(name.starts_with(&family), "{line} below the type of {family}");
            assert!(
                page.samples.insert(name.to_owned(), value.parse().expect("a number")).is_none(),
                "{line}"
            );
        }
    }
    page
}

impl Page {
    fn value(&self, name: &str) -> f64 {
        *self.samples.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.samples.keys()))
    }

    fn kind(&self, name: &str) -> Option<&str> {
        self.types.get(name).map(String::as_str)
    }

    /// Counts of a histogram's buckets, in order; that they rise and end with the count is checked.
    fn buckets(&self, name: &str) -> Vec<f64> {
        let begin = format!("{name}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = self
            .samples
            .iter()
            .filter_map(|(sample, count)| {
                let bound = sample.strip_prefix(&begin)?.strip_suffix("\"}")?;
                Some((bound.replace("+Inf", "inf").parse().expect("a bound"), *count))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let counts: Vec<f64> = buckets.iter().map(|(_, count)| *count).collect();
        assert!(counts.is_sorted(), "{counts:?}");
        assert_eq!(counts.last(), Some(&self.value(&format!("{name}_count"))));
        counts
    }
}

#[test]
fn the_page_tells_what_happened() {
    for shards in [1, 2] {
        let (server, port) = start(Config::default().set("ringkeeper.shards", shards));
        let mut clients = [Client::connect(&server), Client::connect(&server)];
        clients[0].create("/a", b"", PERSISTENT);
        for client in &mut clients {
            for _ in 0..20 {
                assert!(client.set_data("/a", b"x", -1).is_ok());
                assert!(client.get_data("/a", true).is_ok());
            }
        }
        let page = page(port);
        for (name, kind, expected) in [
            ("znode_count", "gauge", 6.0),
            ("num_alive_connections", "gauge", 2.0),
            ("watch_count", "gauge", 1.0),
            ("connection_request_count", "counter", 2.0),
            ("ringkeeper_serving", "gauge", 1.0),
            ("ringkeeper_last_zxid", "gauge", 43.0),
            ("ringkeeper_log_queue", "gauge", 0.0),
        ] {
            assert_eq!((page.kind(name), page.value(name)), (Some(kind), expected), "{name}");
        }
        assert_eq!(page.value("updatelatency_count"), 43.0, "two sessions, a node, forty changes");
        assert_eq!(page.value("readlatency_count"), 40.0);
        assert!(page.value("readlatency{quantile=\"0.99\"}") >= page.value("readlatency{quantile=\"0.5\"}"));
        // With the words by which the test looked whether it serves.
        assert!(page.value("packets_received") >= 83.0);
        assert!(page.value("response_bytes") > 43.0 * 16.0);
        assert!(page.value("node_changed_watch_count_sum") >= 1.0);
        assert!(page.value("fsynctime_count") >= 1.0);
        for name in [
            "ringkeeper_read_latency_seconds",
            "ringkeeper_update_latency_seconds",
            "ringkeeper_sync_seconds",
        ] {
            assert_eq!(page.kind(name), Some("histogram"));
            assert!(page.buckets(name).len() > 10, "{name}");
        }
        let threads =
            page.samples.keys().filter(|name| name.starts_with("ringkeeper_thread_cpu_seconds_total{"));
        assert!(threads.count() >= 3);
        assert_eq!(page.kind("process_resident_memory_bytes"), Some("gauge"));
        assert_eq!(get(port, "/").status, 404);
    }
}

#[test]
fn members_tell_their_part() {
    let (mut ensemble, ports) = members(|_, config| with_metrics(config));
    ensemble.servers[0].spawn();
    until("a member without a leader to show its page", || {
        try_get(ports[1], "/metrics").filter(|answer| answer.status == 200)
    });
    let alone = page(ports[1]);
    assert_eq!(alone.value("ringkeeper_serving"), 0.0);
    assert_eq!(alone.value("ringkeeper_leader_id"), -1.0);
    for at in 1..4 {
        ensemble.servers[at].spawn();
    }
    let leader = ensemble.settle();
    let mut client = Client::connect(&ensemble.servers[leader]);
    client.create("/a", b"", PERSISTENT);
    let of_leader = page(ports[leader + 1]);
    for (name, expected) in [
        ("quorum_size", 3.0),
        ("learners", 3.0),
        ("synced_followers", 2.0),
        ("synced_observers", 1.0),
        ("ringkeeper_mode{mode=\"leader\"}", 1.0),
        ("ringkeeper_leader_id", leader as f64 + 1.0),
    ] {
        assert_eq!(of_leader.value(name), expected, "{name}");
    }
    let follower = ensemble.follower(leader) + 1;
    until("the follower to have all there is", || {
        let lag = page(ports[leader + 1]).value(&format!("ringkeeper_follower_lag{{sid=\"{follower}\"}}"));
        (lag == 0.0).then_some(())
    });
    let of_follower = page(ports[follower]);
    assert_eq!(of_follower.kind("learners"), None, "only a leader has some");
    assert_eq!(of_follower.value("ringkeeper_current_epoch"), of_leader.value("ringkeeper_current_epoch"));
}

#[test]
fn a_port_that_is_taken_is_warned_of() {
    let (_first, port) = start(Config::default());
    let (config, _) = with_metrics(Config::default());
    let second =
        config.set("metricsProvider.httpPort", port).set("metricsProvider.exportJvmInfo", false).start();
    until("the second server to say it", || {
        let said = second.output();
        let line = said.lines().find(|line| line.contains("WARN") && line.contains("metrics"))?.to_owned();
        assert!(line.contains("metricsProvider.httpPort"), "{line}");
        Some(())
    });
    assert_eq!(Client::connect(&second).data("/"), b"");
}
