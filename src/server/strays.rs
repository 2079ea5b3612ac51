//! Data where a server of this configuration would not look for them, or not find all that belongs together. To start beside
//! them would look like losing them; with the log, it would be.
//!
//! Asked before a server starts and by `ringkeeper doctor`. Nothing is changed. Tested: strays_test.rs.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::io::{Directory, Error, ErrorKind};
use crate::log::{EPOCH_FILE, SegmentId, SnapshotName};

use super::boot::SUBDIRECTORY;
use super::epochs::LOST_EPOCHS;

/// Where Apache's server keeps its files, below each of its directories.
const APACHES: &str = "version-2";
/// Behind the name of a directory that a command is making: it gets its own when all is in it.
pub const UNFINISHED: &str = ".unfinished";

#[derive(Debug, PartialEq, Eq)]
pub enum Stray {
    /// An Apache server's data in `place`, and none of ours. `import`: what to import, as the command takes it.
    Apache { place: PathBuf, import: String },
    /// What was imported is in `dataDir`; `dataLogDir` is still that of Apache's server.
    ApachesLogDir { place: PathBuf },
    /// Our log lies in `dataDir`, as `dataLogDir` named no other place when it was written.
    Log { data: PathBuf, log: PathBuf },
    /// An import or a restore that was ended half way, and nothing else.
    Unfinished { place: PathBuf },
}

impl Stray {
    /// What to do, in lines.
    pub fn todo(&self) -> Vec<String> {
        match self {
            Stray::Apache { import, .. } => vec![
                "Stop Apache's server first, so that nothing is written behind what is imported; then".to_owned(),
                format!("ringkeeper snapshot import {import} --to NEWDIR"),
                "and in zoo.cfg dataDir=NEWDIR, without dataLogDir: all is in NEWDIR. What is imported is not changed.".to_owned(),
                "To start with an empty tree: name an empty dataDir (and dataLogDir).".to_owned(),
            ],
            Stray::ApachesLogDir { .. } => {
                vec!["Take dataLogDir out of zoo.cfg: what was imported is all in dataDir.".to_owned()]
            }
            Stray::Log { data, log } => vec![
                format!("With the server stopped, move segment.* and epochs* from {}", data.display()),
                format!("to {}; or take dataLogDir out of zoo.cfg again.", log.display()),
            ],
            Stray::Unfinished { place } => vec![
                format!("Remove {} and do it again; what it was made of is unchanged.", place.display()),
                "To start with an empty tree: remove it.".to_owned(),
            ],
        }
    }
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stray::Apache { place, .. } => {
                write!(
                    f,
                    "{} holds an Apache ZooKeeper server's data, and none of ringkeeper's; nothing is started on it",
                    place.display()
                )
            }
            Stray::ApachesLogDir { place } => {
                write!(
                    f,
                    "dataLogDir holds an Apache ZooKeeper server's log, {}, and ringkeeper's data are in dataDir",
                    place.display()
                )
            }
            Stray::Log { data, .. } => write!(
                f,
                "the log lies in {}, and dataLogDir names another place: a server started now would lack what is in it",
                data.display()
            ),
            Stray::Unfinished { place } => write!(
                f,
                "{} is what an import or a restore left that was ended before it was done: a server started now would begin \
                 with an empty tree",
                place.display()
            ),
        }
    }
}

/// What stands against starting on these directories. An error where one can't be read: it isn't known what it holds.
pub fn find(data_dir: &Path, data_log_dir: &Path) -> Result<Option<Stray>, Error> {
    let is_apart = data_dir != data_log_dir;
    let (data, log) = (data_dir.join(SUBDIRECTORY), data_log_dir.join(SUBDIRECTORY));
    let has_snapshots = holds(&data, |name| SnapshotName::parse(name).is_some())?;
    let has_ours = has_snapshots || holds(&data, is_of_log)? || holds(&log, is_of_log)?;
    let is_apaches = |place: &Path, ours: &Path| -> Result<bool, Error> {
        Ok(holds_apaches(place)? && !(has_ours && exists(ours)?))
    };
    if is_apart && has_ours && is_apaches(data_log_dir, &log)? {
        return Ok(Some(Stray::ApachesLogDir { place: data_log_dir.join(APACHES) }));
    }
    let of_data = is_apaches(data_dir, &data)?;
    let of_log = is_apart && is_apaches(data_log_dir, &log)?;
    if of_data || of_log {
        let place = if of_data { data_dir } else { data_log_dir };
        let mut import = data_dir.display().to_string();
        if is_apart {
            import = format!("{import} {}", data_log_dir.display());
        }
        return Ok(Some(Stray::Apache { place: place.join(APACHES), import }));
    }
    let unfinished = data_dir.join(format!("{SUBDIRECTORY}{UNFINISHED}"));
    if !has_ours && exists(&unfinished)? {
        return Ok(Some(Stray::Unfinished { place: unfinished }));
    }
    // Two names of one directory are refused by its lock.
    if is_apart && holds(&data, is_of_log)? && !is_same(&data, &log) {
        return Ok(Some(Stray::Log { data, log }));
    }
    Ok(None)
}

/// Apache's snapshots or logs.
pub fn holds_apaches(place: &Path) -> Result<bool, Error> {
    holds(&place.join(APACHES), |name| name.starts_with("snapshot.") || name.starts_with("log."))
}

/// False if there is no such directory. One that can't be read is not an empty one.
pub fn holds(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<bool, Error> {
    match Directory::open(directory).and_then(|directory| directory.list()) {
        Ok(entries) => Ok(entries.iter().any(|entry| wanted(&entry.name))),
        Err(error) if error.kind() == ErrorKind::Missing => Ok(false),
        Err(error) => Err(error),
    }
}

fn exists(directory: &Path) -> Result<bool, Error> {
    match Directory::open(directory) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Missing => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_of_log(name: &str) -> bool {
    SegmentId::parse(name).is_some() || name == EPOCH_FILE || name == LOST_EPOCHS
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
#[path = "strays_test.rs"]
mod tests;
