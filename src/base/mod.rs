//! The words every room shares: identifiers, time, limits, keyed maps, the random generator.
//!
//! Imports no other room. Everything here is a value: nothing blocks, nothing allocates but the maps.

mod address;
mod ids;
pub mod limits;
mod map;
mod path;
mod prefixes;
mod prng;
mod time;

pub use address::{host_address, listening_at};
pub use ids::{ConnectionId, Epoch, ServerId, SessionId, ShardId, Ticket, Zxid};
#[cfg(test)]
pub use map::hashed;
pub use map::{HashKey, KeyedHasher, Map, Set};
pub use path::{Path, parent};
pub use prefixes::{prefix_hash, prefixes};
pub use prng::Prng;
pub use time::{Instant, Now, WallMillis};
