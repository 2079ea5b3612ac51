//! Where a member stands, for operators.

use std::sync::Arc;

use crate::base::ServerId;
use crate::zab::{Config, Epochs, LearnerStatus};

use super::super::Replica;
use super::Role;

/// What a member says of itself and of those who follow it.
#[derive(Clone, Debug)]
pub struct Status {
    pub me: ServerId,
    /// In ZooKeeper's words: `looking`, `leading`, `following`, `observing`.
    pub role: &'static str,
    /// Likewise: `election`, `discovery`, `synchronization`, `broadcast`.
    pub phase: &'static str,
    pub leader: Option<ServerId>,
    /// Committed, as far as this server knows.
    pub config: Arc<Config>,
    pub epochs: Epochs,
    /// Of a leader.
    pub learners: Vec<LearnerStatus>,
}

impl Replica {
    /// `None`: a lone server.
    pub fn status(&self) -> Option<Status> {
        let ensemble = self.ensemble.as_deref()?;
        let me = ensemble.settings.me;
        let (role, phase, leader) = match &ensemble.role {
            Role::Settling | Role::Looking => ("looking", "election", None),
            Role::Leading(leading) => ("leading", leading.phase(), Some(me)),
            Role::Learning(learning) => {
                let role = if learning.is_observer { "observing" } else { "following" };
                (role, learning.learner.phase(), Some(learning.leader))
            }
        };
        let learners = match &ensemble.role {
            Role::Leading(leading) => leading.learners(),
            Role::Settling | Role::Looking | Role::Learning(_) => vec![],
        };
        let config = ensemble.joint.committed().clone();
        Some(Status { me, role, phase, leader, config, epochs: ensemble.epochs, learners })
    }
}
