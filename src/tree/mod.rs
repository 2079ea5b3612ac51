//! What the data means: znodes, sessions and ACLs, how a request becomes a transaction and what a transaction does.
//!
//! One writer ([`Store`], owned by `replica`), any number of [`Reader`]s (one per shard). No I/O, no clock, no thread.

pub mod acl;
pub mod ahead;
mod apply;
mod closing;
mod containers;
mod digest;
mod ephemerals;
mod java_load;
mod java_snapshot;
mod multi;
mod node;
mod overlay;
mod overlay_closing;
pub mod password;
pub mod path;
mod prep;
mod quotas;
mod reader;
mod rules;
mod sessions;
mod snapshot;
mod spare;
mod store;
#[cfg(test)]
pub(crate) mod testing;
mod unlisted;
mod walk;

pub use apply::{Applied, Outcome};
pub use closing::Closing;
pub use containers::Lifetimes;
pub use java_load::{JavaLoad, JavaSnapshot, JavaSnapshotError};
pub use java_snapshot::JavaStreamId;
pub use node::{Kind, Node, SERVER_ID_MAX_WITH_TTL};
pub use overlay::Overlay;
pub use password::Passwords;
pub use prep::{Scratch, View, Write};
pub use quotas::Excess;
pub use reader::{Place, Reader, Reading};
pub use rules::Rules;
pub use sessions::{Owner, Sessions};
pub use snapshot::{Head, LoadError, Progress, Record};
pub use store::Store;
pub use unlisted::Unlisted;
pub use walk::AHEAD_BYTES_MAX;

use crate::base::HashKey;

/// An empty tree (not even a root: see [`Store::plant`]) and its readers, one per shard.
pub fn tree(key: HashKey, readers: usize) -> (Store, Vec<Reader>) {
    let (publisher, observers) = crate::lockfree::eras(readers);
    let (arena, view) = crate::lockfree::arena(&publisher);
    let (index, index_reader) = crate::lockfree::index(&publisher);
    let readers = observers
        .into_iter()
        .map(|observer| Reader::new(key, observer, view.clone(), index_reader.clone()))
        .collect();
    (Store::new(key, publisher, arena, index), readers)
}
