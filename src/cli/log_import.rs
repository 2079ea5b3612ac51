//! `ringkeeper log import`: a directory of ours, and behind it what log files of Apache ZooKeeper hold, to a new directory.
//!
//! For logs that are newer than what was imported: of a backup, or of a server that went on writing after its snapshot was
//! copied. What is read is never changed. The checks are those of `snapshot import` (`apache/recovery.rs`).
//!
//! **Epochs.** A member must not forget what it has promised to leaders, and the logs don't say it. The files beside them do:
//! without those the new directory has no record, and a server that starts on it has no vote until a leader has synchronised
//! it.
//! Tested: log_import_test.rs.

use std::path::PathBuf;

use super::apache;
use super::progress::Progress;
use super::snapshot::{self, Refused, refused};
use crate::io::{Clock, entropy};
use crate::server::{Image, SUBDIRECTORY};
use crate::zab::Epochs;

/// Brings a directory of ringkeeper forward by log files of Apache ZooKeeper (log.…) that go on where it ends.
///
/// The result becomes a new directory; what is read is never changed. Checksums and digests are verified, and no transaction
/// may be missing.
#[derive(clap::Args, Debug)]
pub struct Import {
    /// The dataDir of a ringkeeper server that is stopped
    #[arg(value_name = "DATADIR")]
    from: PathBuf,

    /// Log files of Apache ZooKeeper, in any order
    #[arg(value_name = "LOGFILE", required = true)]
    logs: Vec<PathBuf>,

    /// The dataLogDir of the ringkeeper server, if that is another directory
    #[arg(long, value_name = "DIR")]
    data_log_dir: Option<PathBuf>,

    /// The dataDir of the new server: empty, or made now
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// Takes over what is there although zxids are missing or the tree's digest differs; says so
    #[arg(long)]
    lenient: bool,
}

/// What was made.
pub fn import(
    arguments: &Import,
    progress: &Progress,
    tell: &mut dyn FnMut(String),
) -> Result<String, Refused> {
    crate::io::install_sigbus_handler()?;
    let Import { from, logs, data_log_dir, to, lenient } = arguments;
    let from_log = data_log_dir.as_ref().unwrap_or(from);
    snapshot::check_places(&[from, from_log], to)?;
    let config = snapshot::reading(from, from_log);
    let begun = Image::read(&config, entropy::seed()?, Clock::now(), &mut snapshot::Nobody)?;
    let end = begun.store.newest();
    let is_member = begun.epochs.is_some();
    let options = apache::Options {
        lenient: *lenient,
        may_be_lenient: true,
        keeps_orphans: is_member,
        ..apache::Options::default()
    };
    let recovered = apache::go_on(begun.store, begun.sessions, logs, options, progress, tell)?;
    let reached = recovered.store.newest();
    if reached == end {
        return Err(refused(format_args!(
            "{} ends at zxid {end}, and these logs hold nothing behind that",
            from.display()
        )));
    }
    let folders = logs.iter().filter_map(|log| log.parent());
    let mut found = folders.filter(|folder| apache::is_members(folder));
    let epochs = match found.next() {
        Some(folder) => apache::read_epochs_in(folder, reached)?,
        None => None,
    };
    // Neither record may be forgotten: a promise counts wherever it was made.
    let epochs = epochs.map(|beside| {
        let own = begun.epochs.unwrap_or(beside);
        Epochs { accepted: own.accepted.max(beside.accepted), current: own.current.max(beside.current) }
    });
    if is_member && epochs.is_none() {
        tell(
            "there is no acceptedEpoch beside the logs, so what the server has promised to leaders is not known: it starts \
             without a vote, until a leader has synchronised it"
                .to_owned(),
        );
    }
    let mut image = Image { store: recovered.store, sessions: recovered.sessions, epochs };
    let seed = entropy::seed()?;
    let (place, ()) =
        snapshot::make(Some(from), to, SUBDIRECTORY, |directory| Ok(image.write(directory, seed)?))?;
    Ok(snapshot::done(&image, &place))
}

#[cfg(test)]
#[path = "log_import_test.rs"]
mod tests;
