//! Recipes for a ZooKeeper server, a file each. `examples/` runs them, `tests/` holds them to what they promise.
//!
//! What they have in common stands in two files. [`session`]: calls whose connection is lost in the middle, and znodes that are
//! found again after it. [`line`]: clients that stand in a line and wait for their turn.
//!
//! Three things decide whether a recipe is right:
//!
//! - **A lost connection says nothing about the call.** It may have been done. What may be done twice is done again
//!   ([`session::retry`]); a sequential znode is looked for by an id in its name ([`session::create_sequential`]).
//! - **An expired session takes its ephemeral znodes along**, and whoever held something by them holds it no longer. The client
//!   hears of it later than the others: when its connection is lost it has to stop ([`session::interrupted`]), not when it
//!   is told that its session has expired.
//! - **Stopping in time can't be promised**: a process may stand still between its look and its write. What must not be written
//!   by yesterday's holder asks for a number that grows with each holder, and refuses smaller ones: the czxid of the holder's
//!   znode ([`line::Place::token`]). Within ZooKeeper a multi does it, which checks that the holder's znode is still there
//!   ([`session::set_if`]).

pub mod barrier;
pub mod config;
pub mod dns;
pub mod election;
pub mod hot_standby;
pub mod line;
pub mod lock;
pub mod log_collectors;
pub mod naming;
pub mod queue;
pub mod session;
pub mod terminal;
