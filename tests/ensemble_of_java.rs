//! Ensembles of Ringkeeper and Apache ZooKeeper: either leads the other, observes it, takes its place, and
//! joins and leaves by reconfiguration.
//!
//! Real processes on loopback. Needs `tests/run --prepare` and Java.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "ensemble/cluster.rs"]
mod cluster;
#[path = "ensemble/history.rs"]
mod history;
#[path = "ensemble/mixed.rs"]
mod mixed;
#[path = "ensemble/mixed_reconfig.rs"]
mod mixed_reconfig;
