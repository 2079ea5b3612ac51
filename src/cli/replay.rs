//! Transactions applied to a tree that no server has and nobody reads: with each, what it says of sessions.
//!
//! Called by `restore` with our own transactions, and by `apache/recovery.rs` with Apache's. Tested: their tests.

use std::collections::BTreeMap;

use crate::base::{SessionId, Zxid};
use crate::tree::{Outcome, Store};
use crate::wire::txn::{Txn, TxnHeader};

pub fn apply(store: &mut Store, sessions: &mut BTreeMap<SessionId, i32>, header: &TxnHeader, txn: &Txn<'_>) {
    match store.apply(header, txn).outcome {
        Outcome::SessionCreated { timeout_ms } => {
            sessions.insert(header.client_id, timeout_ms);
        }
        Outcome::SessionClosed => {
            sessions.remove(&header.client_id);
        }
        _ => {}
    }
    settle(store, header.zxid);
}

/// What is superseded can go at once.
pub fn settle(store: &mut Store, zxid: Zxid) {
    store.publish(zxid);
    store.reclaim(usize::MAX);
    store.take_work();
}
