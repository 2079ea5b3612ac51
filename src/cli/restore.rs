//! `ringkeeper snapshot restore`: a directory or a snapshot, and logs behind it, up to a zxid or a time, to a new directory.
//!
//! What is read is never changed. Every checksum is verified, and where transactions carry digests, the tree at the end is held
//! against them. A damaged snapshot is passed over where an older one and the log reach as far; damage behind the end is not
//! looked at.
//!
//! **A new history.** Whoever starts on the result begins it: a standalone server, or an ensemble all of whose voters have the
//! same copy. The record of epochs says so to them: it has promised what the source had, or what the last transaction shows, so
//! that all of them vote and the first leader's epoch is later than any that is known here. The configuration of an ensemble
//! that the tree remembers is forgotten: who votes is said by `zoo.cfg`, and not by servers that may be gone.
//!
//! Tested: restore_test.rs, and tests/restore.rs, tests/ensemble/restore.rs with servers.

mod forward;

use std::path::{Path, PathBuf};

use super::apache::{self, Packing};
use super::inspect::{self, Kind, Logs, Seen, Segments};
use super::moment;
use super::progress::Progress;
use super::snapshot::{self, Refused, refused};
use crate::admin::date_time;
use crate::base::{Epoch, WallMillis, Zxid};
use crate::io::{Directory, Lock, entropy};
use crate::log;
use crate::server::{self, Image};
use crate::wire::txn::TxnHeader;
use crate::wire::{Decode, Reader};
use crate::zab::Epochs;
use forward::Forward;

/// Makes a new data directory of a backup: of a snapshot file or a server's directory, Apache ZooKeeper's or ours, and of the
/// logs behind it, up to a zxid or a time.
///
/// A standalone server starts on it as it is. For an ensemble it is copied to every voter, with a myid of its own in each copy,
/// before any of them starts.
#[derive(clap::Args, Debug)]
pub struct Restore {
    /// A snapshot file, or the dataDir of a server that is stopped
    #[arg(long, value_name = "DIR|SNAPSHOT")]
    from: PathBuf,

    /// The dataLogDir that goes with the dataDir, if that is another directory
    #[arg(long, value_name = "DIR")]
    data_log_dir: Option<PathBuf>,

    /// The logs behind a snapshot file, in any order
    #[arg(long, value_name = "LOGFILE", num_args = 1.., conflicts_with = "data_log_dir")]
    log: Vec<PathBuf>,

    /// The last transaction that is restored. Without it: all there are
    #[arg(long, value_name = "ZXID", value_parser = moment::parse_zxid, conflicts_with = "until_time")]
    until_zxid: Option<Zxid>,

    /// Nothing is restored from the first transaction on that is later, by the clock of the leader of that time
    #[arg(long, value_name = "TIME", value_parser = moment::parse_time)]
    until_time: Option<WallMillis>,

    /// The dataDir of the new server: empty, or made now
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// Restores although zxids are missing or the tree's digest differs; says so
    #[arg(long)]
    lenient: bool,
}

/// What was made, and how it is started.
pub fn restore(
    arguments: &Restore,
    progress: &Progress,
    tell: &mut dyn FnMut(String),
) -> Result<String, Refused> {
    crate::io::install_sigbus_handler()?;
    let Restore { from, data_log_dir, log, to, lenient, .. } = arguments;
    let from_log = data_log_dir.as_ref().unwrap_or(from);
    snapshot::check_places(&[from, from_log], to)?;
    let source = Source::open(from, from_log, log)?;
    let until = match arguments.until_time {
        Some(time) => Some(source.until_time(time, progress, tell)?),
        None => arguments.until_zxid,
    };
    let mut image = source.read(until, *lenient, progress, tell)?;
    let reached = image.store.newest();
    if let Some(until) = until.filter(|until| *until != reached) {
        return Err(refused(format_args!(
            "{} has no transaction of zxid {until}: up to there the last one is {reached}. Name that, or another one of \
             `ringkeeper log dump`",
            from.display()
        )));
    }
    image.epochs = epochs(source.epochs(reached, tell), reached);
    if image.store.shown_config().is_some_and(|(_, made_by)| made_by > Zxid::ZERO) {
        image.store.show_config("", 0, WallMillis(0));
    }
    let seed = entropy::seed()?;
    let fill = |directory: &Directory| Ok(image.write(directory, seed)?);
    let (place, ()) = snapshot::make(None, to, server::SUBDIRECTORY, fill)?;
    Ok(format!(
        "{}\nA standalone server starts on it: dataDir={to}. An ensemble: stop all its servers; copy {to} to every voter, and \
         write its myid into the copy; start them when all have it, with the voters in zoo.cfg, and none on what it had before.",
        snapshot::done(&image, &place),
        to = to.display()
    ))
}

/// The promises with which the new history begins. A server alone stays in epoch 0 and has none.
fn epochs(known: Option<Epochs>, reached: Zxid) -> Option<Epochs> {
    let shown = reached.epoch();
    match known {
        Some(Epochs { accepted, current }) => {
            Some(Epochs { accepted: accepted.max(shown), current: current.max(shown) })
        }
        None => (shown > Epoch(0)).then_some(Epochs { accepted: shown, current: shown }),
    }
}

/// What there is to restore from.
struct Source {
    /// As it was named.
    from: PathBuf,
    /// Oldest first; of one kind.
    snapshots: Vec<(Kind, PathBuf)>,
    logs: Option<Logs>,
    /// Where a member's promises are, ours or Apache's.
    promises: Promises,
    _lock: Option<Lock>,
}

enum Promises {
    None,
    /// The folder of our log.
    Ours(PathBuf),
    /// The data directory of Apache's.
    Theirs(PathBuf),
}

impl Source {
    fn open(from: &Path, from_log: &Path, logs: &[PathBuf]) -> Result<Source, Refused> {
        if !from.is_dir() {
            if from_log != from {
                return Err(refused(format_args!(
                    "{} is a file: --data-log-dir goes with a dataDir. Name the logs behind a snapshot with --log",
                    from.display()
                )));
            }
            let kind = Kind::of(from)?;
            let snapshots = vec![(kind, from.to_owned())];
            let logs = if logs.is_empty() { None } else { Some(Logs::of_files(logs)?) };
            if matches!((kind, &logs), (Kind::TheirSnapshot(..), Some(Logs::Ours(_)))) {
                return Err(refused(
                    "the snapshot is Apache ZooKeeper's and the logs are of ringkeeper: restore from the data directory of \
                     one of them",
                ));
            }
            let from = from.to_owned();
            return Ok(Source { from, snapshots, logs, promises: Promises::None, _lock: None });
        }
        if !logs.is_empty() {
            return Err(refused(format_args!(
                "{} is a directory, which has its logs in it: --log goes with a snapshot file",
                from.display()
            )));
        }
        if from.join(server::SUBDIRECTORY).is_dir() {
            return Source::of_ours(from, from_log);
        }
        if from.join(apache::SUBDIRECTORY).is_dir() {
            return Source::of_theirs(from, from_log);
        }
        Err(refused(format_args!(
            "{} has neither {} nor {} in it: name the dataDir of a server, or a snapshot file",
            from.display(),
            server::SUBDIRECTORY,
            apache::SUBDIRECTORY
        )))
    }

    fn of_ours(from: &Path, from_log: &Path) -> Result<Source, Refused> {
        let (data, log) = (from.join(server::SUBDIRECTORY), from_log.join(server::SUBDIRECTORY));
        let lock = server::hold(&data)?;
        let log_lock = if data == log { None } else { server::hold(&log)? };
        if server::is_unsettled(&Directory::open(&data)?)? {
            return Err(refused(format_args!(
                "{}: a leader's snapshot was being taken over when the server ended. Start it once, or restore from another \
                 server",
                data.display()
            )));
        }
        let snapshots = inspect::files(&data, |kind| matches!(kind, Kind::Snapshot(_)))?;
        let found = inspect::files(&log, |kind| matches!(kind, Kind::Segment(_)))?;
        let mut segments = vec![];
        for (kind, path) in found {
            if let Kind::Segment(id) = kind {
                segments.push((id, path));
            }
        }
        if segments.is_empty() {
            return Err(no_log(&log));
        }
        let logs = Some(Logs::Ours(Segments::open(segments, log_lock)?));
        Ok(Source { from: from.to_owned(), snapshots, logs, promises: Promises::Ours(log), _lock: lock })
    }

    fn of_theirs(from: &Path, from_log: &Path) -> Result<Source, Refused> {
        let (data, log) = (from.join(apache::SUBDIRECTORY), from_log.join(apache::SUBDIRECTORY));
        let mut snapshots = inspect::files(&data, |kind| matches!(kind, Kind::TheirSnapshot(..)))?;
        snapshots.sort_by_key(|(kind, _)| zxid_of(*kind));
        if snapshots.is_empty() {
            return Err(refused(format_args!("{} holds no snapshot of Apache ZooKeeper", data.display())));
        }
        let paths: Vec<PathBuf> = apache::logs_in(&log)?.into_iter().map(|(_, path)| path).collect();
        if paths.is_empty() {
            return Err(no_log(&log));
        }
        let logs = Some(Logs::of_files(&paths)?);
        Ok(Source {
            from: from.to_owned(),
            snapshots,
            logs,
            promises: Promises::Theirs(from.to_owned()),
            _lock: None,
        })
    }

    /// The last transaction before the first that is later.
    fn until_time(
        &self,
        time: WallMillis,
        progress: &Progress,
        tell: &mut dyn FnMut(String),
    ) -> Result<Zxid, Refused> {
        let Some(logs) = &self.logs else {
            return Err(refused("snapshots hold no times: --until-time needs the logs behind it (--log)"));
        };
        let (mut last, mut later) = (None, None);
        let mut notes = vec![];
        logs.each(progress, &mut |note| notes.push(note), &mut |Seen { file, offset, zxid, entry }| {
            let header = TxnHeader::decode(&mut Reader::new(entry));
            let header = header.map_err(|error| inspect::damaged(file, offset, error))?;
            if header.time > time {
                later = Some((zxid, header.time));
                return Ok::<bool, Refused>(false);
            }
            last = Some((zxid, header.time));
            Ok(true)
        })?;
        match (last, later) {
            (Some((zxid, at)), _) => {
                tell(format!("{}: the last transaction is {zxid}, of {}", date_time(time), date_time(at)));
                Ok(zxid)
            }
            (None, Some((zxid, at))) => {
                let snapshots: Vec<String> =
                    self.snapshots.iter().map(|(kind, _)| zxid_of(*kind).to_string()).collect();
                let older = match snapshots.as_slice() {
                    [] => "and there is no snapshot".to_owned(),
                    there => format!(
                        "and snapshots hold no times. Those that are there can be restored by --until-zxid: {}",
                        there.join(", ")
                    ),
                };
                Err(refused(format_args!(
                    "the logs begin with zxid {zxid} of {}, later than {}, {older}",
                    date_time(at),
                    date_time(time),
                )))
            }
            (None, None) => Err(refused("there is no transaction in the logs, and snapshots hold no times")),
        }
    }

    fn read(
        &self,
        until: Option<Zxid>,
        lenient: bool,
        progress: &Progress,
        tell: &mut dyn FnMut(String),
    ) -> Result<Image, Refused> {
        let is_member = match &self.promises {
            Promises::Theirs(data) => apache::is_member(data),
            Promises::Ours(_) | Promises::None => true,
        };
        let options = apache::Options {
            lenient,
            may_be_lenient: true,
            keeps_orphans: is_member,
            until,
            doubts_lone: false,
        };
        let theirs: Vec<((Zxid, Packing), PathBuf)> = self
            .snapshots
            .iter()
            .filter_map(|(kind, path)| match kind {
                Kind::TheirSnapshot(zxid, packing) => Some(((*zxid, *packing), path.clone())),
                _ => None,
            })
            .collect();
        let paths = match &self.logs {
            Some(Logs::Theirs(theirs)) => theirs.paths(),
            Some(Logs::Ours(_)) | None => &[],
        };
        let recovered = if theirs.is_empty() {
            let image = self.read_ours(until, lenient, progress, tell)?;
            if paths.is_empty() {
                return Ok(image);
            }
            apache::go_on(image.store, image.sessions, paths, options, progress, tell)?
        } else {
            let logs = apache::named(paths)?;
            apache::recover_files(theirs, &logs, options, inspect::key()?, progress, tell)?
        };
        Ok(Image { store: recovered.store, sessions: recovered.sessions, epochs: None })
    }

    /// The newest snapshot that can be used, and our log behind it.
    fn read_ours(
        &self,
        until: Option<Zxid>,
        lenient: bool,
        progress: &Progress,
        tell: &mut dyn FnMut(String),
    ) -> Result<Image, Refused> {
        let segments = match &self.logs {
            Some(Logs::Ours(segments)) => Some(segments),
            Some(Logs::Theirs(_)) | None => None,
        };
        let early = |zxid: &Zxid| until.is_none_or(|until| *zxid <= until);
        let usable = self.snapshots.iter().filter(|(kind, _)| early(&zxid_of(*kind)));
        let (mut base, mut why, mut newest) = (None, None, Zxid::ZERO);
        for (kind, path) in usable.rev() {
            newest = newest.max(zxid_of(*kind));
            match inspect::read_snapshot(path, *kind, progress, tell) {
                Ok(image) => {
                    tell(format!(
                        "{}: {} znodes, zxid {}",
                        path.display(),
                        image.store.nodes_count(),
                        zxid_of(*kind)
                    ));
                    base = Some((image, zxid_of(*kind)));
                    break;
                }
                Err(bad) if bad.code == 4 && segments.is_some() => {
                    tell(format!("{}; trying the snapshot before it", bad.text));
                    why.get_or_insert(bad);
                }
                Err(refused) => return Err(refused),
            }
        }
        let Some(segments) = segments else {
            return base.map(|(image, _)| image).ok_or_else(|| self.nothing_before(until));
        };
        let (image, from) = match base {
            Some(base) => base,
            None => (blank()?, Zxid::ZERO),
        };
        let behind = segments.behind(from, until).map_err(|fault| match (fault, why.take()) {
            (log::Fault::Gap { .. }, Some(bad)) => bad,
            (log::Fault::Gap { .. }, None) if from == Zxid::ZERO => self.nothing_before(until),
            (fault, _) => segments.fault(&fault),
        })?;
        let mut forward =
            Forward { store: image.store, sessions: image.sessions.into_iter().collect(), differs: None };
        for (at, entry) in behind.entries.iter().enumerate() {
            let (file, offset) = segments.place_of(entry.payload);
            if at == 0 {
                progress.begin_unsized("replaying", file);
            }
            progress.is_at(offset);
            forward.apply(file, offset, entry)?;
        }
        let reached = forward.store.newest();
        if let Some(fault) = behind.damage.filter(|_| until != Some(reached)) {
            return Err(segments.fault(&fault));
        }
        if let Some(bad) = why.filter(|_| reached < newest) {
            let text = format!("{}; without it only zxid {reached} is reached", bad.text);
            return Err(Refused { text, ..bad });
        }
        if let Some(cut) = behind.cut {
            tell(format!("the log ends torn at {}, as after a crash ({}): cut there", cut.end, cut.why));
        }
        tell(format!("{} transactions behind zxid {from}, up to {reached}", behind.entries.len()));
        forward.finish(lenient, tell)
    }

    fn nothing_before(&self, until: Option<Zxid>) -> Refused {
        let place = self.from.display();
        let until = until.map_or_else(|| "the end".to_owned(), |until| until.to_string());
        match self.snapshots.first() {
            Some((kind, _)) => refused(format_args!(
                "{place}: the oldest snapshot is of zxid {}, and nothing here leads up to {until} from before it",
                zxid_of(*kind)
            )),
            None => refused(format_args!(
                "{place}: there is no snapshot, and the log doesn't begin with the first transaction"
            )),
        }
    }

    /// What the source has promised to leaders. Where that isn't to be known, the last transaction has to do: nobody who was
    /// promised anything takes part in the new history.
    fn epochs(&self, reached: Zxid, tell: &mut dyn FnMut(String)) -> Option<Epochs> {
        let read = match &self.promises {
            Promises::None => return None,
            Promises::Ours(log) => {
                let directory = Directory::open(log).map_err(Refused::from);
                directory.and_then(|directory| Ok(server::read_epochs(&directory)?))
            }
            Promises::Theirs(data) => apache::read_epochs(data, reached).map_err(Refused::from),
        };
        read.unwrap_or_else(|unknown| {
            tell(format!("{}. The new history begins behind epoch {}", unknown.text, reached.epoch().0));
            None
        })
    }
}

fn no_log(folder: &Path) -> Refused {
    refused(format_args!(
        "{} holds no log. If the server has a dataLogDir, name it with --data-log-dir; a snapshot alone is restored by naming \
         its file",
        folder.display()
    ))
}

fn zxid_of(kind: Kind) -> Zxid {
    match kind {
        Kind::Snapshot(zxid) | Kind::TheirSnapshot(zxid, _) => zxid,
        Kind::Segment(_) | Kind::TheirLog => Zxid::ZERO,
    }
}

/// What every server begins with.
fn blank() -> Result<Image, Refused> {
    let (mut store, _) = crate::tree::tree(inspect::key()?, 0);
    store.plant();
    Ok(Image { store, sessions: vec![], epochs: None })
}

#[cfg(test)]
#[path = "restore_test.rs"]
mod tests;
