//! The ports that speak HTTP, of real server processes: commands, health, metrics, and what is hostile or slow.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "admin/audit.rs"]
mod audit;
#[path = "admin/audited.rs"]
mod audited;
#[path = "admin/commands.rs"]
mod commands;
#[path = "admin/health.rs"]
mod health;
#[path = "admin/hostile.rs"]
mod hostile;
#[path = "admin/log_lines.rs"]
mod log_lines;
#[path = "admin/metrics.rs"]
mod metrics;
#[path = "admin/monitoring.rs"]
mod monitoring;
#[path = "admin/tree.rs"]
mod tree;

use support::server::free_port;
use support::{Config, Server, until};

/// A configuration with an admin port, and that port.
fn with_admin(config: Config) -> (Config, u16) {
    let port = free_port();
    let config = config
        .set("admin.enableServer", true)
        .set("admin.serverAddress", "127.0.0.1")
        .set("admin.serverPort", port);
    (config, port)
}

/// A server that serves, and its admin port.
fn start(config: Config) -> (Server, u16) {
    let (config, port) = with_admin(config);
    let server = config.start();
    until("the admin port to be open", || support::http::try_get(port, "/livez"));
    (server, port)
}
