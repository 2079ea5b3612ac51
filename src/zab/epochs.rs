//! The two epochs of a server. They survive every crash: a server that forgot a promise could help two leaders.

use crate::base::Epoch;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// The highest epoch promised to a leader (ZooKeeper's acceptedEpoch).
    pub accepted: Epoch,
    /// The epoch of the last leader whose history is in the log (currentEpoch). Never above `accepted`.
    pub current: Epoch,
}
