//! Ensembles of Ringkeeper and Apache ZooKeeper: either leads the other, observes it, and takes its place.
//!
//! Real processes on loopback. Needs `tests/run --prepare` and Java.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "ensemble/history.rs"]
mod history;
#[path = "ensemble/mixed.rs"]
mod mixed;
