//! What a replica is told once.

use std::time::Duration;

use crate::base::{HashKey, ServerId};
use crate::tree::{self, Passwords};
use crate::zab::HistoryLimits;

use super::{ContainerSettings, SnapshotSettings, ThrottleSettings};

#[derive(Clone, Debug)]
pub struct Settings {
    pub server: ServerId,
    pub tick: Duration,
    pub session_timeout_min: Duration,
    pub session_timeout_max: Duration,
    pub rules: tree::Rules,
    pub containers: ContainerSettings,
    pub snapshots: SnapshotSettings,
    /// Requests that may be proposed and not answered before no more are taken; at most `limits::PROPOSALS_MAX`.
    pub outstanding_max: usize,
    /// A request that took so long is told with the moments of its way; `Duration::MAX`: none is.
    pub slow_request: Duration,
    /// Connect requests that may come; `None`: as many as want to.
    pub throttle: Option<ThrottleSettings>,
    /// Units of divisible work in one turn: `limits::TURN_BUDGET`, or less to test what takes turns.
    pub turn_budget: usize,
    pub hash_key: HashKey,
    /// The same at all members.
    pub passwords: Passwords,
    /// A member of an ensemble: how much of its log it keeps in memory for its learners. `None`: a standalone server.
    pub history: Option<HistoryLimits>,
    /// What is proposed carries the digest of the tree behind it, and where a transaction has one it is compared: each member
    /// with its leader. A standalone server has nobody to differ from, and saves the work.
    pub digests: bool,
}

impl Settings {
    /// The first byte of a session id is its server's, and 255 marks the owner of a TTL node there (ZooKeeper refuses the same).
    pub fn check(&self) -> Result<(), String> {
        if self.rules.extended_types && self.server.0 > tree::SERVER_ID_MAX_WITH_TTL {
            return Err(format!(
                "extendedTypesEnabled=true with server id {}: sessions of this server could not be told from TTL nodes; \
                 use an id of at most {}, or set extendedTypesEnabled=false",
                self.server.0,
                tree::SERVER_ID_MAX_WITH_TTL
            ));
        }
        Ok(())
    }
}
