//! Ensembles of real processes on loopback: what clients see of several servers, crashes, and bad neighbours.
//!
//! Only Ringkeeper's own here; `ensemble_of_java.rs` mixes it with Apache ZooKeeper.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "ensemble/bad_input.rs"]
mod bad_input;
#[path = "ensemble/cluster.rs"]
mod cluster;
#[path = "ensemble/doctor.rs"]
mod doctor;
#[path = "ensemble/faults.rs"]
mod faults;
#[path = "ensemble/full_disk.rs"]
mod full_disk;
#[path = "ensemble/gate.rs"]
mod gate;
#[path = "ensemble/groups.rs"]
mod groups;
#[path = "ensemble/held.rs"]
mod held;
#[path = "ensemble/history.rs"]
mod history;
#[path = "ensemble/local_sessions.rs"]
mod local_sessions;
#[path = "ensemble/log_lines.rs"]
mod log_lines;
#[path = "ensemble/moving.rs"]
mod moving;
#[path = "ensemble/namespaces.rs"]
mod namespaces;
#[path = "ensemble/network.rs"]
mod network;
#[path = "ensemble/own_ports.rs"]
mod own_ports;
#[path = "ensemble/read_only.rs"]
mod read_only;
#[path = "ensemble/reads.rs"]
mod reads;
#[path = "ensemble/reconfig.rs"]
mod reconfig;
#[path = "ensemble/restore.rs"]
mod restore;
#[path = "ensemble/server_lists.rs"]
mod server_lists;
#[path = "ensemble/service.rs"]
mod service;
#[path = "ensemble/sessions.rs"]
mod sessions;
