//! Room `lockfree` with its tests and what these need, out of the very files of the server.
#![allow(dead_code, reason = "most of it is used by the rest of the server")]

#[path = "../../src/base/mod.rs"]
pub mod base;
#[path = "../../src/lockfree/mod.rs"]
pub mod lockfree;
