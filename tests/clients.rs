//! Clients that others wrote, unchanged, against a real server process: each runs a program of ours over its library.
//!
//! `tests/run --prepare` installs the libraries below `tests/.clients`; the versions are pinned in the programs' own
//! folders. What is missing fails its test and says how it is had; nothing is skipped. The expectations are ZooKeeper
//! 3.9's: `tests/run --apache` runs these same programs against Apache ZooKeeper.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "clients/java.rs"]
mod java;
#[path = "clients/program.rs"]
mod program;
#[path = "clients/transcript.rs"]
mod transcript;

#[path = "clients/c_client.rs"]
mod c_client;
#[path = "clients/curator.rs"]
mod curator;
#[path = "clients/dubbo.rs"]
mod dubbo;
#[path = "clients/kafka.rs"]
mod kafka;
#[path = "clients/kazoo.rs"]
mod kazoo;
#[path = "clients/others.rs"]
mod others;
#[path = "clients/zkcli.rs"]
mod zkcli;
