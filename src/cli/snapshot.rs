//! `ringkeeper snapshot import | export`: data directories of Apache ZooKeeper to ours and back; and the other commands' door.
//!
//! What is written comes into being under another name, whole and durable, before it gets its own: a target that was left
//! half made is never taken for data, and no server of ours starts on it (`server/strays.rs`). The source is read only. Results
//! go to standard output, warnings to standard error.
//! Tested: snapshot_test.rs, and tests/java_files.rs with Apache's servers.

use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::apache::{self, Fault, LogWriter, Packing, SnapshotWriter};
use super::inspect::{self, Check, Diff, Dump, Kind};
use super::progress::{self, Progress};
use super::restore::{self, Restore};
use crate::base::{Epoch, SessionId, Zxid};
use crate::config::{Config, LogFormat, Raw};
use crate::io::{Clock, Directory, Error, entropy};
use crate::server::{self, Image, UNFINISHED, Witness};
use crate::tree::Store;
use crate::zab::Epochs;

#[derive(clap::Subcommand, Debug)]
pub enum Command {
    Import(Import),
    Export(Export),
    Dump(Dump),
    /// Says whether snapshots are whole: every checksum, every znode, the tree's digest. Changes nothing
    Check(Check),
    Diff(Diff),
    Restore(Restore),
}

/// Takes over a data directory of Apache ZooKeeper 3.5 to 3.9, whose server is stopped, or a snapshot file alone.
///
/// The newest whole snapshot (plain, gzip or snappy) and the logs behind it become a directory on which `ringkeeper server`
/// starts, with sessions, epochs and myid. Checksums and digests are verified. What is read is never changed.
///
/// A snapshot alone lacks what was written behind its zxid, and if clients wrote while it was taken, it may hold some of that and
/// not the rest: only its log repairs it. It is taken over if its digest says that nobody wrote meanwhile, as where a quiet server
/// took it (the admin server's `snapshot`), and else with --lenient. A member that starts on it has no vote until a leader has
/// synchronised it; a new ensemble begins with `ringkeeper snapshot restore`.
#[derive(clap::Args, Debug)]
pub struct Import {
    /// The dataDir of Apache's server, or a snapshot file of it (snapshot.1f, snapshot.1f.gz, snapshot.1f.snappy)
    #[arg(value_name = "DATADIR|SNAPSHOT")]
    pub from: PathBuf,

    /// Its dataLogDir, if that is another directory
    #[arg(value_name = "DATALOGDIR")]
    pub from_log: Option<PathBuf>,

    /// The dataDir of the new server: empty, or made now
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,

    /// Takes over what is there although zxids are missing, the tree's digest differs, or a snapshot without its log may be torn;
    /// says so
    #[arg(long)]
    pub lenient: bool,
}

/// Writes a data directory on which Apache ZooKeeper 3.8 or 3.9 starts, from that of a stopped ringkeeper server.
#[derive(clap::Args, Debug)]
pub struct Export {
    /// The dataDir of the ringkeeper server
    #[arg(value_name = "DATADIR")]
    from: PathBuf,

    /// Its dataLogDir, if that is another directory
    #[arg(value_name = "DATALOGDIR")]
    from_log: Option<PathBuf>,

    /// The dataDir of the new server: empty, or made now
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// How the snapshot is packed. Apache's servers tell by the file's name and need no setting for it
    #[arg(long, value_enum, default_value_t, value_name = "METHOD")]
    compress: Packing,
}

const MYID: &str = "myid";

/// Why nothing was written.
#[derive(Debug)]
pub struct Refused {
    pub code: u8,
    pub text: String,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Refused {
        Refused { code: fault.exit_code(), text: fault.to_string() }
    }
}

impl From<server::Fatal> for Refused {
    fn from(fatal: server::Fatal) -> Refused {
        Refused { code: fatal.exit_code(), text: fatal.to_string() }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        refused(error)
    }
}

pub fn refused(text: impl Display) -> Refused {
    Refused { code: 3, text: text.to_string() }
}

pub fn run(command: &Command) -> ExitCode {
    super::log_to_stderr(LogFormat::Text);
    let progress = &Progress::shown();
    let (what, done) = match command {
        Command::Import(arguments) => {
            ("import", import(arguments, progress, &mut |line| progress.say(&line)))
        }
        Command::Export(arguments) => ("export", export(arguments, progress)),
        Command::Restore(arguments) => {
            ("restore", restore::restore(arguments, progress, &mut |line| progress.say(&line)))
        }
        Command::Dump(arguments) => {
            return inspect::listing("snapshot dump", |out, progress| {
                inspect::dump(arguments, out, progress)
            });
        }
        Command::Check(arguments) => {
            return inspect::listing("snapshot check", |out, progress| {
                inspect::check_snapshots(arguments, out, progress)
            });
        }
        Command::Diff(arguments) => {
            return inspect::listing("snapshot diff", |out, progress| {
                inspect::diff(arguments, out, progress)
            });
        }
    };
    progress.end();
    tell(&format!("snapshot {what}"), done)
}

/// What came of a command.
pub fn tell(command: &str, done: Result<String, Refused>) -> ExitCode {
    match done {
        Ok(line) => {
            progress::print(&line);
            ExitCode::SUCCESS
        }
        Err(refused) => {
            eprintln!("ringkeeper {command}: {}", refused.text);
            ExitCode::from(refused.code)
        }
    }
}

pub fn import(
    arguments: &Import,
    progress: &Progress,
    tell: &mut dyn FnMut(String),
) -> Result<String, Refused> {
    crate::io::install_sigbus_handler()?;
    if arguments.from.is_file() {
        return import_file(arguments, progress, tell);
    }
    let Import { from, from_log, to, lenient } = arguments;
    let from_log = from_log.as_ref().unwrap_or(from);
    check_places(&[from, from_log], to)?;
    let keeps_orphans = apache::is_member(from);
    let options = options(*lenient, keeps_orphans);
    if arguments.from_log.is_none() && lacks_log(from) {
        return Err(log_is_elsewhere(from, "holds no log, and every server that was written to has one"));
    }
    let recovered = apache::recover(from, from_log, options, entropy::hash_key()?, progress, tell)?;
    if arguments.from_log.is_none() && recovered.logged < recovered.began {
        return Err(log_is_elsewhere(from, "holds logs that end before its newest snapshot"));
    }
    let epochs = apache::read_epochs(from, recovered.store.newest())?;
    let mut image = Image { store: recovered.store, sessions: recovered.sessions, epochs };
    let seed = entropy::seed()?;
    let (place, ()) =
        make(Some(from), to, server::SUBDIRECTORY, |directory| Ok(image.write(directory, seed)?))?;
    Ok(done(&image, &place))
}

/// A data directory whose log may be elsewhere: what it holds is not all that was acknowledged, and a member must not vote with it.
fn lacks_log(data: &Path) -> bool {
    apache::logs_in(&data.join(apache::SUBDIRECTORY)).is_ok_and(|logs| logs.is_empty())
}

fn log_is_elsewhere(data: &Path, what: &str) -> Refused {
    refused(format_args!(
        "{0} {what}. Name its dataLogDir behind it: zoo.cfg says which. Where that is the same directory, as in an export of \
         ringkeeper's or of a member that was just sent a snapshot, name {0} twice",
        data.display()
    ))
}

fn options(lenient: bool, keeps_orphans: bool) -> apache::Options {
    apache::Options { lenient, may_be_lenient: true, keeps_orphans, until: None, doubts_lone: true }
}

/// Of a snapshot of Apache's alone.
fn import_file(
    arguments: &Import,
    progress: &Progress,
    tell: &mut dyn FnMut(String),
) -> Result<String, Refused> {
    let Import { from, from_log, to, lenient } = arguments;
    check_places(&[from], to)?;
    let is_no_source = |what: &str| Err(refused(format_args!("{}: {what}", from.display())));
    let (zxid, packing) = match Kind::of(from)? {
        Kind::TheirSnapshot(zxid, packing) => (zxid, packing),
        Kind::Snapshot(_) => {
            return is_no_source(
                "a snapshot of ringkeeper's own: `ringkeeper snapshot restore --from SNAPSHOT` makes a data directory of it",
            );
        }
        Kind::TheirLog | Kind::Segment(_) => {
            return is_no_source("a log: name the dataDir that it belongs to, or a snapshot file");
        }
    };
    if from_log.is_some() {
        return is_no_source(
            "a snapshot file, and a dataLogDir belongs to a dataDir. A snapshot and the logs behind it: `ringkeeper snapshot \
             restore --from SNAPSHOT --log LOGFILE...`",
        );
    }
    // A member's transactions say their epoch; what it has promised to leaders isn't known.
    let is_member = zxid.epoch() > Epoch(0);
    let options = options(*lenient, is_member);
    let snapshots = vec![((zxid, packing), from.clone())];
    let recovered = apache::recover_files(snapshots, &[], options, entropy::hash_key()?, progress, tell)?;
    let behind =
        if is_member { "; as a member's it has no vote before a leader has synchronised it" } else { "" };
    tell(format!("without its log: what was written behind zxid {zxid} is not taken over{behind}"));
    let mut image = Image { store: recovered.store, sessions: recovered.sessions, epochs: None };
    let seed = entropy::seed()?;
    let (place, ()) = make(None, to, server::SUBDIRECTORY, |directory| Ok(image.write(directory, seed)?))?;
    Ok(done(&image, &place))
}

fn export(arguments: &Export, progress: &Progress) -> Result<String, Refused> {
    crate::io::install_sigbus_handler()?;
    let Export { from, from_log, to, compress } = arguments;
    let from_log = from_log.as_ref().unwrap_or(from);
    check_places(&[from, from_log], to)?;
    let config = reading(from, from_log);
    let place = make(Some(from), to, apache::SUBDIRECTORY, |directory| {
        let mut exported = Exported {
            directory,
            progress,
            packing: *compress,
            snapshot: None,
            log: None,
            after: Zxid::ZERO,
            count: 0,
        };
        let image = Image::read(&config, entropy::seed()?, Clock::now(), &mut exported)?;
        let logged = exported.finish(&image)?;
        if let Some(Epochs { accepted, current }) = image.epochs {
            for (name, Epoch(epoch)) in [("acceptedEpoch", accepted), ("currentEpoch", current)] {
                directory.write_atomically(name, epoch.to_string().as_bytes())?;
            }
        }
        Ok((image, logged))
    })?;
    let (place, (image, logged)) = place;
    Ok(format!("{}; {logged}", done(&image, &place)))
}

/// The newest snapshot as one, and what was logged behind it as a log: what of it no quorum has, a leader of Apache's can
/// still have cut off.
struct Exported<'a> {
    directory: &'a Directory,
    progress: &'a Progress,
    packing: Packing,
    snapshot: Option<SnapshotWriter>,
    log: Option<LogWriter>,
    after: Zxid,
    count: u64,
}

impl Witness for Exported<'_> {
    fn on_snapshot(
        &mut self,
        zxid: Zxid,
        store: &mut Store,
        sessions: Vec<(SessionId, i32)>,
    ) -> Result<(), Error> {
        self.after = zxid;
        let Exported { directory, progress, packing, .. } = *self;
        self.snapshot = Some(SnapshotWriter::begin(directory, zxid, packing, store, sessions, progress)?);
        Ok(())
    }

    fn on_transaction(&mut self, entry: &[u8]) -> Result<(), Error> {
        if self.log.is_none() {
            self.log = Some(LogWriter::begin(self.directory, self.after)?);
        }
        self.count += 1;
        self.log.as_mut().map_or(Ok(()), |log| log.append(entry))
    }
}

impl Exported<'_> {
    /// What was written.
    fn finish(self, image: &Image) -> Result<String, Error> {
        if let Some(log) = self.log {
            log.finish()?;
        }
        if let Some(snapshot) = self.snapshot {
            snapshot.finish(image.store.newest(), image.store.digest())?;
        }
        Ok(format!("snapshot {} and {} transactions behind it", self.after, self.count))
    }
}

/// For who only wants the end.
pub struct Nobody;

impl Witness for Nobody {
    fn on_snapshot(&mut self, _: Zxid, _: &mut Store, _: Vec<(SessionId, i32)>) -> Result<(), Error> {
        Ok(())
    }

    fn on_transaction(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

/// A configuration that names nothing but these directories.
pub fn reading(data: &Path, log: &Path) -> Config {
    let nothing_to_read = |_: &Path| Err(ErrorKind::NotFound.into());
    let checked = Raw::built_in().check(|name| name.parse().ok(), &nothing_to_read);
    let mut config = checked.expect("the built-in configuration has no faults").0;
    config.data_dir = data.to_owned();
    config.data_log_dir = log.to_owned();
    config
}

pub fn done(image: &Image, place: &Path) -> String {
    let epochs = image.epochs.map_or(String::new(), |Epochs { accepted, current }| {
        format!(", accepted epoch {}, current epoch {}", accepted.0, current.0)
    });
    format!(
        "{}: {} znodes, {} of them ephemeral, {} sessions, zxid {}, digest {:#x}{epochs}",
        place.display(),
        image.store.nodes_count(),
        image.store.ephemerals_count(),
        image.sessions.len(),
        image.store.newest(),
        image.store.digest(),
    )
}

/// The target has nothing, and isn't in a source.
pub fn check_places(from: &[&PathBuf], to: &Path) -> Result<(), Refused> {
    for source in from {
        let found = fs::canonicalize(source)
            .map_err(|error| refused(format_args!("cannot open {}: {error}", source.display())))?;
        // What isn't there yet is where its nearest ancestor is.
        let nearest = to.ancestors().find_map(|path| {
            fs::canonicalize(if path.as_os_str().is_empty() { Path::new(".") } else { path }).ok()
        });
        if nearest.is_some_and(|nearest| nearest.starts_with(&found)) {
            let (to, source) = (to.display(), source.display());
            return Err(refused(format_args!(
                "{to} is in {source}, which is only read: name another directory"
            )));
        }
    }
    match fs::read_dir(to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused(format_args!("cannot open {}: {error}", to.display()))),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(refused(format_args!(
                "{} isn't empty: nothing is written there. Name an empty directory, or one that isn't there yet",
                to.display()
            ))),
        },
    }
}

/// Makes `to/name` and all that is in it, and `to/myid` if there is a source that has one.
pub fn make<T>(
    from: Option<&Path>,
    to: &Path,
    name: &str,
    fill: impl FnOnce(&Directory) -> Result<T, Refused>,
) -> Result<(PathBuf, T), Refused> {
    let target = Directory::create(to)?;
    let unfinished = format!("{name}{UNFINISHED}");
    let directory = Directory::create(&target.path_of(&unfinished))?;
    let made = fill(&directory).and_then(|filled| {
        if let Some(from) = from {
            copy_id(from, &target)?;
        }
        target.rename(&unfinished, name)?;
        Ok((target.path_of(name), filled))
    });
    made.inspect_err(|_| {
        // Best effort: so that the next try finds it empty.
        let _ = fs::remove_dir_all(directory.path());
        let _ = fs::remove_file(target.path_of(MYID));
    })
}

fn copy_id(from: &Path, target: &Directory) -> Result<(), Error> {
    match Directory::open(from)?.read(MYID) {
        Ok(bytes) => target.write_atomically(MYID, &bytes),
        Err(error) if error.kind() == crate::io::ErrorKind::Missing => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod tests;
