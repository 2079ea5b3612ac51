//! The transaction log and the snapshot file: formats, group commit, recovery. Pure: every file effect is data.
//!
//! Called by `replica` (append, seal, durable), by the drivers (`server`'s log thread and `sim`'s virtual disk carry the
//! [`Command`]s out) and by `cli` (inspection). Payloads are opaque bytes; nothing here knows a znode.
//!
//! | file | holds |
//! |---|---|
//! | `segment.rs` | names, positions, the header of a segment file |
//! | `entry.rs` | groups and records inside a segment, and the one reader of them |
//! | `writer.rs` | group commit: records into groups, groups into segments |
//! | `recovery.rs` | what survived, where it ends, and the repair to carry out before anything is acknowledged |
//! | `look.rs` | the same for who only reads, up to the first damage |
//! | `fault.rs` | why a log is refused, in the operator's words |
//! | `snapshot_file.rs` | the container of a snapshot: chunks that are trusted only when all of them are there |
//! | `epoch_record.rs` | the two epochs of a member, beside the segments |
//! | `retention.rs` | which snapshots and how much of the log may go |
//!
//! **A life of the log.** The driver maps the segment files, calls [`recover`], carries out `Recovered::repair`, waits for
//! its ticket, carries out `Recovered::cleanup`, and only then makes a [`Writer`] of `Recovered::resume` and opens its
//! port. From then on `append`, `seal`, `Durable`. Bytes of a segment are written once: after a restart, a TRUNC or a
//! SNAP the log goes on in a new segment whose header says where in the old ones it continues.
//!
//! Invariants: zxids strictly rise; a group names a mark that really was durable when it was sealed; nothing is
//! removed before what replaces it is durable. Numbers on disk are little-endian.
//! Tested: `*_test.rs` beside the files; `crash_test.rs` crashes a model disk at every command.

mod entry;
mod epoch_record;
mod fault;
mod look;
mod recovery;
mod retention;
mod segment;
mod snapshot_file;
mod writer;

#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod model_disk;

use bytes::Bytes;

use crate::base::Ticket;

pub use entry::{Entry, Reader, Step};
pub use epoch_record::{EPOCH_FILE, EpochSlots, EpochsFound, decode_epochs};
pub use fault::Fault;
pub use look::{Held, look};
pub use recovery::{Cut, Recovered, SegmentImage, overtake, recover, truncate};
pub use retention::{FoundSnapshot, Purge, plan_purge};
pub use segment::{Header, HeaderFault, Position, SegmentId};
pub use snapshot_file::{
    SnapshotDecoder, SnapshotEncoder, SnapshotFault, SnapshotName, SnapshotSummary, snapshot_file_name,
    snapshot_temporary_name, snapshot_zxid, verify_snapshot,
};
pub use writer::{EntryRange, Resume, RetainedSegment, Sealed, Settings, Writer};

/// What the log asks of whoever owns the files. Carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make the file, `bytes` long (zeros, or an old segment used again), and put `header` at its start. It becomes the
    /// active segment. The file, its header and its directory entry need be durable only when the next `Persist` is.
    Create { segment: SegmentId, header: Bytes, bytes: u64 },
    /// Store into the active segment, never past its end, never over bytes stored before.
    Append { segment: SegmentId, offset: u64, bytes: Bytes },
    /// All that came before, directory entries included, is durable when `Durable { ticket }` comes back. A `Persist`
    /// that fails is fatal and never retried.
    Persist { ticket: Ticket },
    /// Nobody needs this file any more. May be done late, and the file may be used again by a later `Create`: the salt
    /// of a segment keeps old records from coming back.
    Remove { segment: SegmentId },
}
