//! Agreement: who leads, in which epoch, and which transactions are committed. Payloads are opaque.
//!
//! Four state machines, inputs in, outputs out; the replica hands the log's and the tree's part of them on and the
//! drivers the links'.
//!
//! | file | does |
//! |---|---|
//! | `history.rs` | the newest transactions in memory, and how a learner gets to them |
//! | `leader.rs` | discovery, synchronisation and broadcast, the leader's side |
//! | `learner.rs` | the same, the side of followers and observers |
//! | `epochs.rs` | the two numbers that must not be forgotten |
//!
//! **What must be durable before what.** acceptedEpoch before ACKEPOCH; all that was sent before NEWLEADER before
//! currentEpoch; currentEpoch before the ACK of NEWLEADER; a proposal before its ACK, the leader's own included. Each of
//! these outputs does not exist before the input that says so.
//! Tested: unit tests beside the files; `cluster_test.rs` runs leaders and learners against each other.

mod epochs;
mod history;
mod leader;
mod learner;
mod link;
mod quorum;

#[cfg(test)]
mod cluster_test;

pub use epochs::Epochs;
pub use history::{Entry, History, Limits as HistoryLimits, Sync};
pub use leader::{Input as LeaderInput, Leader, Output as LeaderOutput};
pub use learner::{Input as LearnerInput, Learner, Output as LearnerOutput, Role as LearnerRole};
pub use link::Link;

use std::time::Duration;

use crate::base::ServerId;

/// What both sides need of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub me: ServerId,
    pub tick: Duration,
    /// In ticks: to connect and to synchronise.
    pub init_limit: u32,
    /// In ticks: silence between a leader and a learner.
    pub sync_limit: u32,
    /// The largest payload of a packet.
    pub payload_bytes_max: usize,
}

impl Settings {
    fn init_time(&self) -> Duration {
        self.tick * self.init_limit
    }

    fn sync_time(&self) -> Duration {
        self.tick * self.sync_limit
    }
}
