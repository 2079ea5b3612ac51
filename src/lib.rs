//! Ringkeeper: a ZooKeeper server on io_uring. This page is the map.
//!
//! `zab` agrees, `log` remembers, `tree` means; `shard` talks to clients; `io` is the only room which touches the
//! kernel, but for the ports that speak HTTP, which `server::web` leaves to a library; `server` wires them for real and `sim`
//! wires them for tests.
//!
//! ```text
//!  client ──► io ──► shard ──ring──► replica: prep ► log ──► io: synced ────┐
//!                                        │                                  │
//!  client ◄── io ◄── shard ◄──ring── replica: apply ◄── committed ◄── Durable
//! ```
//!
//! | room | does | may import |
//! |---|---|---|
//! | [`base`] | ids, instants, limits, keyed maps, the random generator | nothing |
//! | [`lockfree`] | versioned arena, index, bag, eras, SPSC ring (unsafe) | base |
//! | [`wire`] | bytes to records and back | base |
//! | [`messages`] | every word spoken between threads | base, wire |
//! | [`zab`] | agreement; payloads are opaque | base, wire::peer |
//! | [`log`] | transaction log and snapshot files; payloads are opaque | base |
//! | [`tree`] | znodes, prep, apply, sessions, ACLs | base, lockfree, wire, messages |
//! | [`replica`] | one ensemble member, assembled; no I/O | base, wire, tree, zab, log, messages |
//! | [`shard`] | one event loop's clients; no I/O | base, wire, tree (readers), messages |
//! | [`config`] | `zoo.cfg`: as written, then checked | base, zab |
//! | [`admin`] | four-letter words, metrics: request to response | base, config |
//! | [`io`] | the only system calls (unsafe) | base, lockfree |
//! | [`server`] | threads and rings: outputs to io, completions to inputs | everything above |
//! | [`sim`] | the other driver: virtual clock, network and disk | the pure rooms |
//! | [`mod@bench`] | the load generator, in `bench/load`: a client, which knows no room of the server's | base, io |
//! | [`cli`] | subcommands | everything above but sim |
//!
//! Everything between `wire` and `shard` is pure: no syscall, no clock, no thread, no global, no OS randomness, no
//! iteration order which depends on a hash seed. `tests/tidy.rs` holds the table to its word.
//!
//! **Flow control.** No queue grows because another is slow. A connection with too many unanswered requests is not
//! read (`limits::CONNECTION_REQUESTS_MAX`), and TCP pushes back. A client that doesn't read its replies is not read
//! either, and is closed when its output passes `limits::CONNECTION_OUTPUT_BYTES_MAX`. The replica takes no request
//! while `limits::PROPOSALS_MAX` (or `globalOutstandingLimit`, if the operator sets it) are undecided. A shard's ring of
//! notices that is full makes apply wait, while log and commits go on.

pub mod admin;
pub mod base;
// Beside the other benchmarks, and in this crate, so that `ringkeeper bench` is one binary with the server.
#[path = "../bench/load/mod.rs"]
pub mod bench;
pub mod cli;
pub mod config;
pub mod io;
pub mod lockfree;
pub mod log;
pub mod messages;
pub mod replica;
pub mod server;
pub mod shard;
pub mod sim;
pub mod tree;
pub mod wire;
pub mod zab;
