//! Agreement: who leads, in which epoch, and which transactions are committed. Payloads are opaque.
//!
//! State machines, inputs in, outputs out, time as an argument. `replica::ensemble` drives them and hands on what concerns
//! the log and the tree; what concerns links is the drivers' (`server::peers`).
//!
//! | file | does |
//! |---|---|
//! | `quorum.rs`, `member.rs`, `servers.rs` | the configuration of the ensemble and what a quorum of it is |
//! | `election.rs`, `election_words.rs`, `vote.rs` | fast leader election |
//! | `reconfig.rs` | what a reconfiguration makes of a configuration |
//! | `election_links.rs` | who dials whom for it |
//! | `history.rs` | the newest transactions in memory, and how a learner gets to them |
//! | `leader.rs` | discovery, synchronisation and broadcast, the leader's side |
//! | `learner.rs` | the same, the side of followers and observers |
//! | `epochs.rs` | the two numbers that must not be forgotten |
//!
//! **What must be durable before what.** acceptedEpoch before ACKEPOCH; all that was sent before NEWLEADER before
//! currentEpoch; currentEpoch before the ACK of NEWLEADER; a proposal before its ACK, the leader's own included. Each of
//! these outputs does not exist before the input that says so.
//! Tested: unit tests beside the files; `cluster_test.rs` runs leaders and learners against each other;
//! tests/leader_of_java.rs and tests/learner_of_java.rs run them against Apache ZooKeeper. With all around them:
//! `replica/ensemble/cluster_test`, tests/ensemble, tests/ensemble_of_java.

pub mod election;
pub mod election_links;
mod election_words;
mod epochs;
mod history;
mod leader;
mod learner;
mod link;
pub mod member;
mod properties;
pub mod quorum;
pub mod reconfig;
mod servers;
pub mod vote;

#[cfg(test)]
mod cluster_test;

pub use election::Election;
pub use election_links::Links;
pub use epochs::Epochs;
pub use history::{Entry, History, Limits as HistoryLimits, Sync};
pub use leader::{Forwarded, Input as LeaderInput, Leader, LearnerStatus, Output as LeaderOutput};
pub use learner::{Input as LearnerInput, Learner, Output as LearnerOutput, Role as LearnerRole};
pub use link::Link;
pub use member::{Endpoint, Fault, Member, Role};
pub use quorum::{Acks, Config, Joint};
pub use servers::ServerSet;
pub use vote::{Standing, Vote};

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
    /// `reconfigEnabled`: configurations get versions, and may change.
    pub reconfig_enabled: bool,
}

#[cfg(test)]
impl Settings {
    /// Of server 1, as samples have them.
    fn of_one() -> Settings {
        Settings {
            me: ServerId(1),
            tick: Duration::from_secs(2),
            init_limit: 10,
            sync_limit: 5,
            payload_bytes_max: 1 << 20,
            reconfig_enabled: false,
        }
    }
}

impl Settings {
    fn init_time(&self) -> Duration {
        self.tick * self.init_limit
    }

    fn sync_time(&self) -> Duration {
        self.tick * self.sync_limit
    }
}
