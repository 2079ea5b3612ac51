//! `ringkeeper bench` as a process, against a real server: every operation, every form of the result, and whatever goes wrong.
//!
//! No figure is judged but by what it counts: how fast something is, is `perf/`'s business.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "bench/faults.rs"]
mod faults;
#[path = "bench/operations.rs"]
mod operations;
#[path = "bench/results.rs"]
mod results;
#[path = "bench/run.rs"]
mod run;
