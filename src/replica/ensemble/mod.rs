//! One member's part in its ensemble: looking for a leader, leading, following.
mod words;

pub use words::{EpochRecord, Mode, PeerInput, PeerOutput, PeerPort, Settings, accepted_link};

use crate::base::Now;

use super::{Output, Replica};

impl Replica {
    /// Makes the fresh replica a member of an ensemble. Before its first step.
    pub fn join(&mut self, settings: Settings, history: crate::zab::History, outputs: &mut Vec<Output>) {
        let _ = (settings, history, outputs);
        unimplemented!("on its way")
    }

    /// Tells the member one thing of its peers. `now` never steps back.
    pub fn peer(&mut self, now: Now, input: PeerInput<'_>, outputs: &mut Vec<Output>) {
        let _ = (now, input, outputs);
    }

    /// After [`PeerOutput::Reload`]: this replica, fresh from the disk, goes on as the member that `old` was.
    pub fn take_over(&mut self, old: Replica, history: crate::zab::History, outputs: &mut Vec<Output>) {
        let _ = (old, history, outputs);
    }

    pub fn mode(&self) -> Mode {
        Mode::Standalone
    }
}
