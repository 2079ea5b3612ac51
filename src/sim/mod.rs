//! The other driver: a virtual clock, network and disk around the very code that ships, and checkers that look at it
//! from outside.
//!
//! `server` wires replica, shards, log and tree to the kernel; this room wires them to a world made of a seed. What is
//! simulated is only what `io` does: sockets, files, threads, clocks. A run is a function of its [`Plan`]: the same
//! plan gives the same hash over all inputs and outputs, and a failure is found again from the line that names it.
//!
//! | file | is |
//! |---|---|
//! | `plan.rs` | what a run does: seed, shards, faults, the canaries |
//! | `world.rs`, `life.rs`, `threads.rs` | time and events; how the process begins and ends; when its threads run |
//! | `server.rs`, `one_loop.rs`, `many_loops.rs` | a server's life, and its loops as room `server` drives them |
//! | `boot.rs`, `storage.rs`, `storage_events.rs`, `disk.rs` | start from the disk; log and snapshot threads; sectors lost and torn |
//! | `network.rs`, `wires.rs` | byte streams, and what each end's bytes do on their way |
//! | `client.rs`, `actors.rs`, `workload.rs`, `operation.rs`, `encoding.rs` | clients, what they do and ask for, and its bytes |
//! | `stream.rs`, `answers.rs`, `watching.rs` | what clients check: order, replies, events |
//! | `history.rs`, `model.rs`, `decide.rs`, `quotas.rs`, `identity.rs` | the log as witness, and the naive tree that it must agree with |
//! | `faults.rs`, `audit.rs`, `bounds.rs`, `run.rs` | what goes wrong; whole-state checks; limits at every turn; the phases of a run |
//!
//! **Checked:** acknowledged is durable, and what was not acknowledged is there wholly or not at all, in zxid order;
//! equal zxid means equal transaction; every decision, reply, Stat, event, ACL and child list against the model, error
//! codes in their order of precedence; statistics of quotas; replies in request order; a session's reads see its writes before them and not
//! those behind them; zxids never fall; events are those of the specification's table, in its order, once per connection
//! and trigger, before any data of their zxid, and after a reconnection made up for; sessions expire once, not early, and
//! take their ephemerals along; containers and TTL nodes go in their time, and not before; sync waits; passwords count;
//! starting twice gives one digest, which is that of the model; damage is refused by name or cut only where nothing
//! proves it was durable; memory stays under its limits at every turn, and shrinks back; no busy loop; and everybody makes
//! progress once the faults end.
//!
//! Not here: races inside `lockfree` (loom), the kernel's own behaviour (`io`'s tests), Java's opinion (conformance).
//! Limits: one server; no sasl; quotas count and don't refuse; no reply is large enough to be answered in pieces.
//! Tested: tests/sim, canaries included.

mod actors;
mod answers;
mod audit;
mod boot;
mod bounds;
mod client;
mod decide;
pub(crate) mod disk;
mod encoding;
mod faults;
mod history;
mod identity;
mod life;
mod many_loops;
mod model;
mod network;
mod one_loop;
mod operation;
mod plan;
mod quotas;
mod run;
mod server;
mod storage;
mod storage_events;
mod stream;
mod threads;
mod trace;
mod watching;
mod wires;
mod workload;
mod world;

pub use plan::{Canary, Faults, Plan, TICKS_DEFAULT};
pub use run::{Failure, Kind};
pub use world::{Counts, World};
