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

#[allow(dead_code, reason = "each test program uses its part")]
#[path = "clients/java.rs"]
mod java;
#[allow(dead_code, reason = "each test program uses its part")]
#[path = "clients/program.rs"]
mod program;

#[path = "ensemble/cluster.rs"]
mod cluster;
#[path = "ensemble/doctor.rs"]
mod doctor;
#[path = "ensemble/gate.rs"]
mod gate;
#[path = "ensemble/held.rs"]
mod held;
#[path = "ensemble/history.rs"]
mod history;
#[path = "ensemble/migration.rs"]
mod migration;
#[path = "ensemble/mixed.rs"]
mod mixed;
#[path = "ensemble/mixed_bad_input.rs"]
mod mixed_bad_input;
#[path = "ensemble/mixed_crashes.rs"]
mod mixed_crashes;
#[path = "ensemble/mixed_limits.rs"]
mod mixed_limits;
#[path = "ensemble/mixed_reaping.rs"]
mod mixed_reaping;
#[path = "ensemble/mixed_reconfig.rs"]
mod mixed_reconfig;
#[path = "ensemble/mixed_refusals.rs"]
mod mixed_refusals;
#[path = "ensemble/mixed_syncs.rs"]
mod mixed_syncs;
#[path = "ensemble/mixed_versions.rs"]
mod mixed_versions;
#[path = "ensemble/mixed_znodes.rs"]
mod mixed_znodes;
#[path = "ensemble/reads.rs"]
mod reads;
#[path = "ensemble/synchronisation.rs"]
mod synchronisation;
