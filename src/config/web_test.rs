//! Settings of the ports that speak HTTP.

use super::super::{Config, Raw, keys};
use super::*;

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));
const PROMETHEUS_LINE: &str =
    "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n";

fn check(lines: &str) -> Result<Config, Vec<String>> {
    let content = format!("dataDir=/data\nclientPort=2181\n{lines}");
    let resolve = |name: &str| (name == "zoo1").then_some(HOST);
    match Raw::parse("zoo.cfg", content.as_bytes()).check(resolve, &|path| panic!("{path:?}")) {
        Ok((config, _)) => Ok(config),
        Err(refusal) => Err(refusal.faults.iter().map(ToString::to_string).collect()),
    }
}

fn admin(line: &str) -> AdminServer {
    check(line).unwrap().admin_server.unwrap()
}

fn metrics(line: &str) -> MetricsServer {
    check(&format!("{PROMETHEUS_LINE}{line}")).unwrap().metrics_server.unwrap()
}

/// A line, and whether a port shows it.
type Effect<T> = (&'static str, fn(&T) -> bool);

#[test]
fn every_key_has_its_effect() {
    assert_eq!(check("admin.enableServer=false").unwrap().admin_server, None);
    let cases: &[Effect<AdminServer>] = &[
        ("admin.serverAddress=zoo1", |a| a.address == SocketAddr::new(HOST, 8080)),
        ("admin.serverPort=9000", |a| a.address.port() == 9000),
        ("admin.serverPort=0", |a| a.address.port() == 0),
        ("admin.commandURL=/zk/", |a| a.command_url == "/zk"),
        ("admin.idleTimeout=100", |a| a.idle_timeout == Duration::from_millis(100)),
        ("admin.snapshot.enabled=false", |a| !a.snapshot_enabled),
        ("admin.restore.enabled=false", |a| !a.restore_enabled),
        ("admin.rateLimiterIntervalInMS=0", |a| a.rate_limit.is_zero()),
    ];
    for (line, holds) in cases {
        assert!(holds(&admin(line)), "{line}");
        assert!(holds(&admin(&format!("zookeeper.{line}"))), "zookeeper.{line}");
    }
    let of_metrics: &[Effect<MetricsServer>] = &[
        ("", |m| m.address == "0.0.0.0:7000".parse().unwrap() && m.exports_process),
        ("metricsProvider.httpHost=zoo1", |m| m.address.ip() == HOST),
        ("metricsProvider.httpPort=7070", |m| m.address.port() == 7070),
        ("metricsProvider.exportJvmInfo=false", |m| !m.exports_process),
    ];
    for (line, holds) in of_metrics {
        assert!(holds(&metrics(line)), "{line}");
    }
    let shown: Vec<&str> = cases
        .iter()
        .map(|(line, _)| *line)
        .chain(of_metrics.iter().map(|(line, _)| *line))
        .chain([PROMETHEUS_LINE, "admin.enableServer=false"])
        .collect();
    for name in keys::names(keys::Standing::Honoured) {
        let is_ours = name.starts_with("admin.") || name.starts_with("metricsProvider.");
        let has_row = shown.iter().any(|line| line.split('=').next() == Some(name));
        assert!(!is_ours || has_row, "{name}");
    }
}

#[test]
fn defaults_are_zookeepers() {
    let expected = AdminServer {
        address: "0.0.0.0:8080".parse().unwrap(),
        command_url: "/commands".to_owned(),
        idle_timeout: Duration::from_secs(30),
        snapshot_enabled: true,
        restore_enabled: true,
        rate_limit: Duration::from_secs(300),
        shows_tree: true,
    };
    assert_eq!(admin(""), expected);
}

#[test]
fn without_prometheus_there_is_no_metrics_port() {
    assert_eq!(check("").unwrap().metrics_server, None);
    let silent = check("metricsProvider.className=org.apache.zookeeper.metrics.impl.DefaultMetricsProvider");
    assert_eq!(silent.unwrap().metrics_server, None);
    let unknown = check("metricsProvider.className=com.example.Mine").unwrap_err();
    assert!(unknown[0].contains("no such provider here; allowed: org.apache"), "{unknown:?}");
}

#[test]
fn what_is_shown_of_the_file_holds_no_secret() {
    let lines = "DigestAuthenticationProvider.superDigest=super:UIm0Ts+kvHuOLRqdn6GHCFhyJ0o=\nssl.keyStore.password=x";
    let shown = check(lines).unwrap().initial.unwrap();
    assert!(shown.ends_with("superDigest=***\nssl.keyStore.password=***\n"), "{shown}");
}

#[test]
fn command_urls() {
    for (text, expected) in
        [("/commands", "/commands"), ("/zk/commands/", "/zk/commands"), ("/a-b_c.d~e", "/a-b_c.d~e")]
    {
        assert_eq!(command_url(text).as_deref(), Ok(expected), "{text}");
    }
    for text in ["", "/", "//", "commands", "/a//b", "/a b", "/a?b", "/%41", "/ü"] {
        assert!(command_url(text).is_err(), "{text}");
    }
}
