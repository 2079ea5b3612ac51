//! Looking into logs and snapshots, Apache's and ours: what a path is, what it holds, whether it is whole.
//!
//! | file | does |
//! |---|---|
//! | `logs.rs` | the transactions of files or of a directory, in their order |
//! | `image.rs` | a snapshot file or a data directory to a tree |
//! | `check.rs` | `log check`, `snapshot check` |
//! | `dump.rs` | `snapshot dump`; `log dump` is a file of its own |
//! | `diff.rs` | `snapshot diff` |
//!
//! What is looked at is only read; a directory in which a server runs is refused, as it changes meanwhile.
//! Tested: inspect_test.rs, tests/restore.rs, tests/java_files.rs.

mod check;
mod diff;
mod dump;
mod image;
mod logs;

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::apache::{self, Packing};
use super::progress::Progress;
use super::snapshot::{Refused, refused};
use crate::base::Zxid;
use crate::log::{self, SegmentId, SnapshotName};
use crate::server;

pub use check::{Check, check_logs, check_snapshots};
pub use diff::{Diff, diff};
pub use dump::{Dump, dump};
pub use image::{key, read_received, read_snapshot};
pub use logs::{Logs, Seen, Segments};

/// A file of a server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Snapshot(Zxid),
    Segment(SegmentId),
    /// Apache's.
    TheirSnapshot(Zxid, Packing),
    TheirLog,
}

impl Kind {
    /// By its first bytes, where they say it, and else by its name.
    pub fn of(path: &Path) -> Result<Kind, Refused> {
        let unreadable = |error: io::Error| refused(format_args!("cannot read {}: {error}", path.display()));
        let mut begin = vec![];
        let file = File::open(path).map_err(unreadable)?;
        file.take(64).read_to_end(&mut begin).map_err(unreadable)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let unnamed = |what: &str| Err(refused(format_args!("{}: {what}", path.display())));
        if let Some(zxid) = log::snapshot_zxid(&begin) {
            let named = match SnapshotName::parse(name) {
                Some(SnapshotName::Whole(named)) => named,
                Some(SnapshotName::Temporary(_)) | None => zxid,
            };
            return Ok(Kind::Snapshot(named));
        }
        let by_name = Kind::of_name(name);
        match begin.first_chunk() {
            Some(b"ZKLG") => Ok(Kind::TheirLog),
            Some(b"ZKSN") => match apache::parse_snapshot_name(name) {
                Some((zxid, packing)) => Ok(Kind::TheirSnapshot(zxid, packing)),
                None => unnamed("the name of a snapshot of Apache ZooKeeper says its zxid, as snapshot.1f: give it that"),
            },
            _ => by_name.map_or_else(
                || unnamed("neither a log nor a snapshot, of ringkeeper or of Apache ZooKeeper, by its name and its beginning"),
                Ok,
            ),
        }
    }

    /// What a file of that name should be.
    pub fn of_name(name: &str) -> Option<Kind> {
        match (SegmentId::parse(name), SnapshotName::parse(name)) {
            (Some(id), _) => Some(Kind::Segment(id)),
            (_, Some(SnapshotName::Whole(zxid))) => Some(Kind::Snapshot(zxid)),
            _ if apache::parse_log_name(name).is_some() => Some(Kind::TheirLog),
            _ => {
                let (zxid, packing) = apache::parse_snapshot_name(name)?;
                Some(Kind::TheirSnapshot(zxid, packing))
            }
        }
    }

    fn is_log(self) -> bool {
        matches!(self, Kind::Segment(_) | Kind::TheirLog)
    }
}

/// Where a directory has its files: in ours, in Apache's, in both, or in itself.
pub fn folders(directory: &Path) -> Vec<PathBuf> {
    let below = [server::SUBDIRECTORY, apache::SUBDIRECTORY].map(|name| directory.join(name));
    let mut found: Vec<PathBuf> = below.into_iter().filter(|path| path.is_dir()).collect();
    if found.is_empty() {
        found.push(directory.to_owned());
    }
    found
}

/// The files of a folder whose names are of a kind, sorted by name.
pub fn files(folder: &Path, wanted: impl Fn(Kind) -> bool) -> Result<Vec<(Kind, PathBuf)>, Refused> {
    let failed = |error: io::Error| refused(format_args!("cannot list {}: {error}", folder.display()));
    let mut found = vec![];
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if path.is_file() && name.and_then(Kind::of_name).is_some_and(&wanted) {
            found.push((Kind::of(&path)?, path));
        }
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(found)
}

/// Of a place that can't be read on, in the words of every command.
pub fn damaged(path: &Path, offset: u64, what: impl Display) -> Refused {
    Refused { code: 4, text: format!("{}: damaged at byte {offset}: {what}", path.display()) }
}

/// Why a listing doesn't come to its end.
#[derive(Debug)]
pub enum End {
    Refused(Refused),
    Output(io::Error),
}

impl From<Refused> for End {
    fn from(refused: Refused) -> End {
        End::Refused(refused)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Output(error)
    }
}

/// How a listing ended: the line that sums it up, for standard error, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub line: String,
    pub code: u8,
}

/// For commands whose exit code is the answer: they come to it even if nobody reads their lines any more.
pub struct Patient<'a>(pub &'a mut dyn Write);

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_gone(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_gone(self.0.flush(), ())
    }
}

/// Whoever reads has enough, as `head` does: that is no failure.
fn unless_gone<T>(result: io::Result<T>, instead: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(instead),
        other => other,
    }
}

/// Runs a command that writes lines. Lines on the same terminal show how far it is: there is no bar then.
pub fn listing(
    command: &str,
    write: impl FnOnce(&mut dyn Write, &Progress) -> Result<Told, End>,
) -> ExitCode {
    let progress = if io::stdout().is_terminal() { Progress::hidden() } else { Progress::shown() };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = write(&mut out, &progress);
    progress.end();
    let flushed = unless_gone(out.flush(), ()).map_err(End::Output);
    match written.and_then(|told| flushed.map(|()| told)) {
        Ok(told) => {
            eprintln!("{}", told.line);
            ExitCode::from(told.code)
        }
        // A dump that nobody reads on has nothing more to say.
        Err(End::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(End::Output(error)) => {
            eprintln!("ringkeeper {command}: cannot write: {error}");
            ExitCode::from(3)
        }
        Err(End::Refused(refused)) => {
            eprintln!("ringkeeper {command}: {}", refused.text);
            ExitCode::from(refused.code)
        }
    }
}

#[cfg(test)]
#[path = "inspect_test.rs"]
mod tests;
