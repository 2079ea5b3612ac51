//! Data directories of Apache ZooKeeper: read with every check there is, and written. Format: ZooKeeper's `persistence` package.
//!
//! Called by `snapshot` (import, export), `log_import`, `restore` and `inspect`. A directory that is read is never written to.
//!
//! | file | holds |
//! |---|---|
//! | `snapshot_reader.rs` | a snapshot file to a tree: container, checksums, digest |
//! | `snapshot_writer.rs` | a tree to a snapshot file |
//! | `packing.rs` | how a snapshot is packed: gzip, snappy or not at all |
//! | `snappy.rs` | snappy-java's stream |
//! | `log_reader.rs` | a log file to transactions; what is a torn tail and what is damage |
//! | `log_writer.rs` | transactions to a log file |
//! | `names.rs` | files by their names |
//! | `recovery.rs` | a directory to a tree: the newest whole snapshot, the logs behind it |
//! | `alone.rs` | whether a snapshot without its log is whole |
//! | `paths.rs` | whether the paths of a transaction are any |
//! | `epochs.rs` | what a member has promised |

mod alone;
mod epochs;
mod log_reader;
mod log_writer;
mod names;
mod packing;
mod paths;
mod recovery;
mod snappy;
mod snapshot_reader;
mod snapshot_writer;
#[cfg(test)]
pub mod testing;

use std::fmt;
use std::path::{Path, PathBuf};

pub use alone::judge;
pub use epochs::{is_member, is_members, read_epochs, read_epochs_in};
pub use log_reader::{LogReader, MAGIC as LOG_MAGIC, Step};
pub use log_writer::LogWriter;
pub use names::{logs_in, named, parse_log_name};
pub use packing::Packing;
pub use paths::check_paths;
pub use recovery::{Options, follows, go_on, recover, recover_files};
pub use snapshot_reader::{Bad, Snapshot, parse_name as parse_snapshot_name, read_file as read_snapshot};
pub use snapshot_writer::SnapshotWriter;

/// Below `dataDir` and `dataLogDir`.
pub const SUBDIRECTORY: &str = "version-2";

/// Why a directory isn't taken over.
#[derive(Debug)]
pub enum Fault {
    /// A file is not what was written: what, and in which byte.
    Damaged {
        file: PathBuf,
        offset: u64,
        what: String,
    },
    /// A file can't be read.
    Unreadable {
        file: PathBuf,
        error: std::io::Error,
    },
    /// There is nothing, or not enough.
    Refused(String),
    Io(crate::io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Damaged { file, offset, what } => {
                write!(f, "{}: damaged at byte {offset}: {what}", file.display())
            }
            Fault::Unreadable { file, error } => write!(f, "cannot read {}: {error}", file.display()),
            Fault::Refused(what) => f.write_str(what),
            Fault::Io(error) => write!(f, "{error}"),
        }
    }
}

impl Fault {
    pub fn damaged(file: &Path, offset: u64, what: impl Into<String>) -> Fault {
        Fault::Damaged { file: file.to_owned(), offset, what: what.into() }
    }

    /// As a server's: 3 for what the operator can mend, 4 where data is in question.
    pub fn exit_code(&self) -> u8 {
        match self {
            Fault::Damaged { .. } => 4,
            Fault::Unreadable { .. } | Fault::Refused(_) | Fault::Io(_) => 3,
        }
    }
}
