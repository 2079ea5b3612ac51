//! Each recipe against a real server: what it promises, with several clients, and with one of them killed in the middle.
//!
//! `RINGKEEPER_TEST_SERVER="$PWD/target/release/ringkeeper server"` names the server; a configuration file is appended to it.
#![allow(clippy::disallowed_methods, reason = "the bounds of waiting are real time")]

mod support;

#[path = "recipes/barrier.rs"]
mod barrier;
#[path = "recipes/config.rs"]
mod config;
#[path = "recipes/dns.rs"]
mod dns;
#[path = "recipes/election.rs"]
mod election;
#[path = "recipes/hot_standby.rs"]
mod hot_standby;
#[path = "recipes/lock.rs"]
mod lock;
#[path = "recipes/log_collectors.rs"]
mod log_collectors;
#[path = "recipes/naming.rs"]
mod naming;
#[path = "recipes/queue.rs"]
mod queue;
#[path = "recipes/session.rs"]
mod session;
