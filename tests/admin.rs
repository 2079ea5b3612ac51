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
#[path = "admin/restore.rs"]
mod restore;
#[path = "admin/tree.rs"]
mod tree;

use support::admin::{start, with_admin};
