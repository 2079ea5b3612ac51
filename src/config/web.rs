//! The two ports that speak HTTP: `admin.*` and `metricsProvider.*`.
//!
//! Called by `checked`. Names and defaults are ZooKeeper's. Tested: web_test.rs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::client_port::{Resolve, resolved};
use super::defaults;
use super::settings::Settings;

/// Where operators ask over HTTP. A port that can't be opened is warned of, and the server runs without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminServer {
    /// Port 0: any free one, to be told in the log.
    pub address: SocketAddr,
    /// `admin.commandURL`: begins with a slash and doesn't end with one.
    pub command_url: String,
    /// A connection that says nothing for so long is closed.
    pub idle_timeout: Duration,
    /// The commands `snapshot` and `restore` may be run at all.
    pub snapshot_enabled: bool,
    pub restore_enabled: bool,
    /// Each of these two runs at most once in this time.
    pub rate_limit: Duration,
    /// `ringkeeper.treeBrowser`: the page shows znodes.
    pub shows_tree: bool,
}

/// Where Prometheus asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsServer {
    pub address: SocketAddr,
    /// `exportJvmInfo`: figures of the process, too. There is no Java machine whose figures could be shown.
    pub exports_process: bool,
}

const PORTS: std::ops::RangeInclusive<i64> = 0..=65_535;
const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
/// Providers that only keep figures for `mntr`, or not even that.
const SILENT: [&str; 2] = [
    "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
    "org.apache.zookeeper.metrics.impl.NullMetricsProvider",
];

/// `None`: `admin.enableServer=false`.
pub fn admin_server(settings: &mut Settings, resolve: Resolve) -> Option<AdminServer> {
    let is_enabled = settings.boolean("admin.enableServer", true);
    let server = AdminServer {
        address: address(settings, "admin.serverAddress", "admin.serverPort", defaults::ADMIN_PORT, resolve),
        command_url: settings
            .value("admin.commandURL", command_url)
            .unwrap_or_else(|| defaults::ADMIN_COMMAND_URL.to_owned()),
        idle_timeout: milliseconds(settings, "admin.idleTimeout", 1, defaults::ADMIN_IDLE_TIMEOUT_MS),
        snapshot_enabled: settings.boolean("admin.snapshot.enabled", true),
        restore_enabled: settings.boolean("admin.restore.enabled", true),
        rate_limit: milliseconds(
            settings,
            "admin.rateLimiterIntervalInMS",
            0,
            defaults::ADMIN_RATE_LIMITER_INTERVAL_MS,
        ),
        shows_tree: settings.boolean("ringkeeper.treeBrowser", true),
    };
    is_enabled.then_some(server)
}

/// `None`: another provider than Prometheus is configured, or none.
pub fn metrics_server(settings: &mut Settings, resolve: Resolve) -> Option<MetricsServer> {
    let is_enabled = settings.value("metricsProvider.className", |name| match name {
        PROMETHEUS => Ok(true),
        name if SILENT.contains(&name) => Ok(false),
        _ => Err(format!("no such provider here; allowed: {PROMETHEUS}, {}, {}", SILENT[0], SILENT[1])),
    });
    let server = MetricsServer {
        address: address(
            settings,
            "metricsProvider.httpHost",
            "metricsProvider.httpPort",
            defaults::METRICS_PORT,
            resolve,
        ),
        exports_process: settings.boolean("metricsProvider.exportJvmInfo", true),
    };
    (is_enabled == Some(true)).then_some(server)
}

fn address(settings: &mut Settings, host: &str, port: &str, default: i64, resolve: Resolve) -> SocketAddr {
    let host = settings.value(host, |text| resolved(text, resolve)).flatten();
    let port = settings.number(port, PORTS, "a TCP port, 0: any free one", default);
    let port = u16::try_from(port).expect("PORTS lies within 16 bits");
    SocketAddr::new(host.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port)
}

fn milliseconds(settings: &mut Settings, key: &str, lowest: i64, default: i64) -> Duration {
    let given = settings.number(key, lowest..=i64::from(i32::MAX), "milliseconds", default);
    Duration::from_millis(given.unsigned_abs())
}

fn command_url(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~'));
    match path.strip_prefix('/') {
        Some(rest) if !rest.is_empty() && !path.contains("//") && is_plain => Ok(path.to_owned()),
        _ => Err("no path of an URL; allowed: e.g. /commands".to_owned()),
    }
}

#[cfg(test)]
#[path = "web_test.rs"]
mod tests;
