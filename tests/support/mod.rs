//! What the tests of whole servers stand on: a real server process, a raw-socket client, waiting with a bound.
//!
//! Shared by `conformance.rs`, `crash.rs`, `ensemble.rs` and others, which each use a part of it.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(unused_imports, reason = "each test program uses its part")]

pub mod admin;
pub mod client;
pub mod connect;
pub mod disk;
pub mod ensemble;
pub mod http;
pub mod server;
pub mod tree;
pub mod wait;

pub use client::{Client, Event, Message, Reply};
pub use connect::{Connect, Refusal};
pub use ensemble::Ensemble;
pub use server::{Config, Server};
pub use wait::{until, within};
