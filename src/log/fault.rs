//! Why a log can't be used: what, where, and what to do about it.
//!
//! Made by `recovery`, printed once by whoever starts the server, which then ends. Each variant is tested where it is
//! made, in `recovery_test.rs`.

use std::fmt;

use super::segment::{Position, SEGMENT_VERSION, SegmentId};
use crate::base::Zxid;

/// Why this log can't be used. Fatal: to go on would lose or invent transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Was durable, and is not there as it was.
    Damaged { at: Position, why: &'static str, mark: Position, named_by: Position },
    /// A whole file was durable, and is gone.
    Missing { segment: SegmentId, needed_by: SegmentId, snapshot: Zxid },
    /// Segments of different logs lie in one directory, or one file was put back from an old copy.
    Foreign { segment: SegmentId, continues: Position },
    /// Made by a later version of this program.
    Newer { segment: SegmentId, version: u32 },
    /// The transactions between are in no file.
    Gap { snapshot: Zxid, segment: SegmentId, after: Zxid },
    /// TRUNC to before the snapshot: the log alone can't do that.
    TruncatedBelowSnapshot { snapshot: Zxid, to: Zxid },
}

const REMEDY: &str = "Put the file back from a copy. Or, if the other servers of its ensemble are well, \
     move this server's data and log directories away, leave only myid, and start it: it takes everything from the leader";

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Damaged { at, why, mark, named_by } => write!(
                f,
                "the log is damaged at {at}: {why}. It was durable up to {mark} once ({named_by} says so), \
                 so acknowledged transactions would be lost. {REMEDY}."
            ),
            Fault::Missing { segment, needed_by, snapshot } => write!(
                f,
                "the log file {segment} is missing: {needed_by} continues it, and the snapshot in use ends before it, \
                 at zxid {snapshot}. {REMEDY}."
            ),
            Fault::Foreign { segment, continues } => write!(
                f,
                "the log file {segment} says that it continues {continues}, but what stands there is another history. \
                 Files of different servers or times are mixed in the log directory. {REMEDY}."
            ),
            Fault::Newer { segment, version } => write!(
                f,
                "the log file {segment} was written by a newer version of this program (format {version}, this one \
                 reads up to {SEGMENT_VERSION}). Start that version, or a newer one."
            ),
            Fault::Gap { snapshot, segment, after } => write!(
                f,
                "the newest usable snapshot ends at zxid {snapshot}, but the log begins behind {after} ({segment}): \
                 the transactions between are in no file. Put back the snapshot {after}, or a later one. {REMEDY}."
            ),
            Fault::TruncatedBelowSnapshot { snapshot, to } => {
                write!(f, "the log can't be cut back to {to}: the snapshot in use ends at {snapshot}")
            }
        }
    }
}

impl std::error::Error for Fault {}
