//! Containers and TTL nodes: which of them have served their time (client-protocol.md §13.5).
//!
//! A container goes when it has no children and had some, or was never used for long enough; a TTL node when it has no
//! children and nobody wrote it for its time to live. The store lists their slots, so that nobody walks the tree. When to
//! look is `replica::containers`' matter. Tested: containers_test.rs, tests/conformance/containers.rs.

use std::time::Duration;

use crate::base::{WallMillis, Zxid};
use crate::wire::Text;
use crate::wire::txn::{DeleteTxn, Txn};

use super::node::Kind;
use super::prep::View;
use super::store::Store;

/// What the operator decides about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of a container that never had a child; `None`: it stays.
    pub never_used: Option<Duration>,
    /// Extended types are enabled: TTL nodes go. Else they stay.
    pub ttl: bool,
}

impl Store {
    /// The first container or TTL node in this slot or a later one.
    pub fn reapable_from(&self, slot: u32) -> Option<u32> {
        self.reapable.range(slot..).next().copied()
    }

    /// Has this one served its time, as far as the tree can tell? `slot` is of [`Store::reapable_from`].
    pub fn is_over(&self, slot: u32, now: WallMillis, lifetimes: Lifetimes) -> bool {
        let node = self.node(slot);
        if node.children_count > 0 {
            return false;
        }
        // ZooKeeper goes by mtime for both. The clock may have been set back since.
        let age_ms = now.0.saturating_sub(node.mtime);
        match Kind::of(node.owner()) {
            // A new container has to survive until its maker has put something into it.
            Kind::Container if node.cversion > 0 => true,
            Kind::Container => {
                lifetimes.never_used.is_some_and(|most| i128::from(age_ms) > most.as_millis() as i128)
            }
            Kind::Ttl(ttl_ms) => lifetimes.ttl && ttl_ms != 0 && age_ms > ttl_ms,
            Kind::Persistent | Kind::Ephemeral(_) => false,
        }
    }
}

impl<'s> View<'s> {
    /// The deletion of a container or TTL node as transaction `zxid`; `None` if it lives on. What is pending and touches
    /// it may be the very thing that keeps it: then the next check decides.
    pub fn reap(&mut self, zxid: Zxid, slot: u32, now: WallMillis, lifetimes: Lifetimes) -> Option<Txn<'s>> {
        let store = self.store;
        let path = &store.node(slot).path;
        if !store.is_over(slot, now, lifetimes) || self.overlay.touches(path.bytes()) {
            return None;
        }
        let node = self.overlay.state(store, path.bytes())?;
        self.overlay.put_deleted(store, zxid, node);
        Some(Txn::DeleteContainer(DeleteTxn { path: Text::from_bytes(path.bytes()) }))
    }
}

#[cfg(test)]
#[path = "containers_test.rs"]
mod tests;
