//! The replica made anew from the disk: `PeerOutput::Reload`, the same for both placements; of a member, as its leader asks, or of
//! a lone server whose operator gives it another tree.
//!
//! The disk's threads end (all that was handed over is carried out), the disk is cut and recovered (`recovery.rs`), the
//! threads begin anew. The loop stands still meanwhile, as no client is served; the peers wait for this member anyway.
//! Until the old replica and the last old reader are gone, both trees are in memory.

use crate::base::{Now, Zxid};
use crate::io::{Loop, Waker};
use crate::replica::Start;

use super::Fatal;
use super::disk::{self, Disk, Left};
use super::recovery::{Recovered, Recovery};

/// What a reload takes, kept from the start.
pub struct Reloader {
    pub recovery: Recovery,
    pub disk: disk::Settings,
    /// Rung by the disk's threads.
    pub bell: Waker,
}

impl Reloader {
    /// Throws away what is later than `to`. `disk` is then the new one; after an error it is good for nothing.
    /// Besides the new replica: what the old threads had still to say that concerns the member, not its log.
    pub fn reload(
        &mut self,
        disk: &mut Disk,
        io: &mut Loop,
        to: Zxid,
        now: Now,
    ) -> Result<(Start, Left), Fatal> {
        let left = disk.end(io)?;
        let Recovered { start, active, epoch_file, .. } = self.recovery.run(Some(to), now)?;
        *disk = Disk::start(self.disk.clone(), active, epoch_file, &self.bell)?;
        tracing::info!(%to, last = %start.replica.applied(), "the log was cut and the tree made anew");
        Ok((start, left))
    }
}
