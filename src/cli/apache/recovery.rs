//! A data directory of Apache ZooKeeper to a tree, as a server would recover it; stricter where a server looks away.
//!
//! The newest snapshot that is whole, then all logs that may hold later transactions. A snapshot is fuzzy: it may hold what
//! the log behind it says once more, which `Store::apply` takes in its stride. As ZooKeeper does at a start without an
//! ensemble, ephemeral nodes without a session are deleted last.
//!
//! What ZooKeeper passes over and this doesn't: a log that can't be read on and isn't a torn tail (`log_reader.rs`), zxids
//! that are missing or step back, a tree whose digest is not the one that was logged, a snapshot that can't be used and whose
//! transactions the logs don't have either.
//!
//! A torn tail may be in any log: a server that was killed goes on in a new one. That nothing is missing shows in the name
//! of the next, which is the zxid it begins with.
//!
//! Nothing is written. Tested: recovery_test.rs, tests/java_files.rs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::progress::Progress;
use super::super::replay;
use super::log_reader::{LogReader, Step};
use super::names::{LogFile, check_place, files, logs_in, named};
use super::packing::Packing;
use super::snapshot_reader::{self, Digest, Snapshot};
use super::{Fault, SUBDIRECTORY, alone, paths};
use crate::base::{HashKey, SessionId, WallMillis, Zxid, limits};
use crate::io::MappedFile;
use crate::tree::{Store, Unlisted};
use crate::wire::txn::{Entry, Txn, TxnDigest, TxnHeader};
use crate::wire::{Decode, Opcode, Reader};

/// A request, and what a transaction has beyond it: a closeSession names all ephemeral nodes of the session.
pub const ENTRY_BYTES_MAX: usize = limits::FRAME_BYTES_MAX + (64 << 20);

const IN_PLACE_OF_A_LOG: &str = ". With the log it is repaired: name the dataDir and the dataLogDir that it was taken from, or \
    use `ringkeeper snapshot restore --from SNAPSHOT --log LOGFILE...`. With --lenient it is taken over as it is: that is right \
    only if nobody wrote to the server meanwhile.";

/// Met after crashes of Apache's members, which replay such a log as it comes.
const STEPS_BACK: &str = ": this server's log isn't one history. Where the others serve, start in its place with an empty dataDir \
    and its myid: the leader gives it the tree";

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Missing zxids and digests that differ are told, and don't refuse.
    pub lenient: bool,
    /// Who asked can be lenient.
    pub may_be_lenient: bool,
    /// Ephemeral nodes without a session stay: an ensemble's members have to agree on them.
    pub keeps_orphans: bool,
    /// What is later is left out.
    pub until: Option<Zxid>,
    /// Without a log, a snapshot counts only if it is known to be the tree of one moment.
    pub doubts_lone: bool,
}

impl Options {
    fn reaches(&self, zxid: Zxid) -> bool {
        self.until.is_none_or(|until| zxid <= until)
    }
}

/// What a directory holds.
pub struct Recovered {
    /// Its newest zxid is that of the last transaction.
    pub store: Store,
    pub sessions: Vec<(SessionId, i32)>,
    /// Of the snapshot that it began with.
    pub began: Zxid,
    /// The last transaction in the logs, whether or not the snapshot has it.
    pub logged: Zxid,
}

/// `data`, `log`: `dataDir` and `dataLogDir`. `tell` takes what an operator should know, a line each.
pub fn recover(
    data: &Path,
    log: &Path,
    options: Options,
    key: HashKey,
    progress: &Progress,
    tell: &mut dyn FnMut(String),
) -> Result<Recovered, Fault> {
    for place in [data, log] {
        check_place(place)?;
    }
    let (data, log) = (data.join(SUBDIRECTORY), log.join(SUBDIRECTORY));
    let snapshots = files(&data, snapshot_reader::parse_name)?;
    if snapshots.is_empty() {
        return Err(Fault::Refused(format!(
            "{} holds no snapshot of Apache ZooKeeper: name its dataDir, and behind that its dataLogDir if it has one",
            data.display()
        )));
    }
    let logs = logs_in(&log)?;
    if logs.is_empty() {
        tell(format!(
            "{} holds no log: what was written behind the snapshot is not taken over. If the server has a dataLogDir, name \
             it, too",
            log.display()
        ));
    }
    recover_files(snapshots, &logs, options, key, progress, tell)
}

/// The same of files by name: snapshots, at least one, and all logs, oldest first.
pub fn recover_files(
    mut snapshots: Vec<((Zxid, Packing), PathBuf)>,
    logs: &[LogFile],
    options: Options,
    key: HashKey,
    progress: &Progress,
    tell: &mut dyn FnMut(String),
) -> Result<Recovered, Fault> {
    let oldest = snapshots.first().map_or(Zxid::ZERO, |((zxid, _), _)| *zxid);
    snapshots.retain(|((zxid, _), _)| options.reaches(*zxid));
    let Some(((newest, _), newest_file)) = snapshots.last().cloned() else {
        let until = options.until.unwrap_or_default();
        return Err(Fault::Refused(format!(
            "the oldest snapshot is of zxid {oldest}, and nothing here reaches back to {until}"
        )));
    };
    let mut why = None;
    for ((zxid, packing), file) in snapshots.into_iter().rev() {
        let read = snapshot_reader::read_file(&file, zxid, packing, key, progress);
        match read.map_err(|error| Fault::Unreadable { file: file.clone(), error })? {
            Ok(snapshot) if !options.reaches(snapshot.holds()) => {
                let text =
                    format!("{}: it was still being written at zxid {}", file.display(), snapshot.holds());
                tell(format!("{text}; trying the snapshot before it"));
                why.get_or_insert(text);
            }
            Ok(snapshot) => {
                tell(format!(
                    "{}: {} znodes, {} sessions, zxid {zxid}",
                    file.display(),
                    snapshot.store.nodes_count(),
                    snapshot.sessions.len()
                ));
                let judged = alone::judge(zxid, &snapshot);
                let Snapshot { store, sessions, digest, lacks_lists, latest, .. } = snapshot;
                let mut digests = Digests::behind(zxid, digest);
                if options.doubts_lone
                    && logs.is_empty()
                    && let Err(why) = judged
                {
                    let warning = alone::warning(&file.display().to_string(), zxid, &why);
                    if !options.lenient {
                        return Err(Fault::Refused(warning + IN_PLACE_OF_A_LOG));
                    }
                    tell(warning);
                    digests = Digests::Never;
                }
                let mut replay = Replay {
                    store,
                    sessions: sessions.into_iter().collect(),
                    began: zxid,
                    logged: Zxid::ZERO,
                    applied: zxid,
                    count: 0,
                    digests,
                    complaint: None,
                    options,
                    progress,
                    tell,
                };
                replay.check_digest(&file, 0, None)?;
                replay.logs(logs)?;
                if digest.is_none() {
                    replay.check_reach(&file, latest)?;
                }
                if lacks_lists && options.until.is_some() && replay.store.unlisted().is_some() {
                    // Given later than that.
                    let text = format!("{}: it was still being written behind that zxid", file.display());
                    (replay.tell)(format!("{text}; trying the snapshot before it"));
                    why.get_or_insert(text);
                    continue;
                }
                if lacks_lists {
                    replay.check_lists(&format!("{}: it", file.display()))?;
                }
                if replay.applied < newest {
                    let what = why.unwrap_or_default();
                    return Err(Fault::Refused(format!(
                        "{what}; with the snapshot {zxid} and the logs behind it only zxid {} is reached, and {} says \
                         {newest}: transactions would be missing. Put the file back from a copy, or take it away if it \
                         doesn't belong here.",
                        replay.applied,
                        newest_file.display(),
                    )));
                }
                return Ok(replay.finish());
            }
            Err(bad) => {
                let text = format!("{}: at byte {}: {}", file.display(), bad.offset, bad.what);
                tell(format!("{text}; trying the snapshot before it"));
                let packed = packing != Packing::None;
                why.get_or_insert(
                    Fault::damaged(&file, bad.offset, bad.what + in_content(packed)).to_string(),
                );
            }
        }
    }
    let place = newest_file.parent().unwrap_or(&newest_file).display();
    Err(Fault::Refused(format!(
        "{}. There is no snapshot in {place} that is whole.",
        why.unwrap_or_default()
    )))
}

/// A tree as it was at its newest zxid, and behind it what these log files hold.
pub fn go_on(
    store: Store,
    sessions: Vec<(SessionId, i32)>,
    logs: &[PathBuf],
    options: Options,
    progress: &Progress,
    tell: &mut dyn FnMut(String),
) -> Result<Recovered, Fault> {
    let logs = named(logs)?;
    let applied = store.newest();
    let sessions = sessions.into_iter().collect();
    let mut replay = Replay {
        store,
        sessions,
        began: applied,
        logged: Zxid::ZERO,
        applied,
        count: 0,
        digests: Digests::Each,
        complaint: None,
        options,
        progress,
        tell,
    };
    replay.logs(&logs)?;
    replay.check_lists("the snapshot")?;
    Ok(replay.finish())
}

fn in_content(packed: bool) -> &'static str {
    if packed { " (a byte of the unpacked content)" } else { "" }
}

/// When digests can be compared: not while the tree is fuzzy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digests {
    /// With the snapshot's own, once this zxid is applied.
    At(Digest),
    /// With each transaction's.
    Each,
    /// Nobody knows how fuzzy the snapshot is.
    Never,
}

impl Digests {
    fn behind(zxid: Zxid, digest: Option<Digest>) -> Digests {
        match digest {
            Some(digest) if digest.version == TxnDigest::VERSION => Digests::At(digest),
            // Written before there was anything to change meanwhile.
            None if zxid == Zxid::ZERO => Digests::Each,
            _ => Digests::Never,
        }
    }
}

struct Replay<'a> {
    store: Store,
    sessions: BTreeMap<SessionId, i32>,
    began: Zxid,
    logged: Zxid,
    applied: Zxid,
    count: u64,
    digests: Digests,
    /// The tree isn't that of the snapshot's digest. The snapshot may hold the transaction behind it, too: a server notes a digest
    /// when it has carried out a transaction, and its snapshot is written by another thread meanwhile.
    complaint: Option<Fault>,
    options: Options,
    progress: &'a Progress,
    tell: &'a mut dyn FnMut(String),
}

impl Replay<'_> {
    /// `logs`: all there are, oldest first.
    fn logs(&mut self, logs: &[LogFile]) -> Result<(), Fault> {
        let behind = logs.partition_point(|((zxid, ()), _)| *zxid <= self.applied);
        let end = logs.partition_point(|((zxid, ()), _)| self.options.reaches(*zxid));
        // The one before may go on behind the snapshot.
        for index in behind.saturating_sub(1)..end {
            let next = logs.get(index + 1).map(|((zxid, ()), _)| *zxid);
            let (from, before) = (self.applied, self.count);
            self.log(&logs[index].1, next)?;
            if self.count > before {
                (self.tell)(format!(
                    "{}: {} transactions behind {from}, up to {}",
                    logs[index].1.display(),
                    self.count - before,
                    self.applied
                ));
            }
        }
        if let Digests::At(digest) = self.digests {
            let what = format!(
                "the snapshot was still being written at zxid {}, and the logs end at {}: transactions are missing",
                digest.zxid, self.applied
            );
            return self.refuse_unless_lenient(Fault::Refused(what));
        }
        self.complaint.take().map_or(Ok(()), |complaint| self.refuse_unless_lenient(complaint))
    }

    /// `next`: what the log behind it begins with.
    fn log(&mut self, file: &Path, next: Option<Zxid>) -> Result<(), Fault> {
        let map = MappedFile::open(file).map_err(Fault::Io)?;
        let mut reader = LogReader::new(map.bytes());
        self.progress.begin("replaying", file, map.bytes().len() as u64);
        // Also of what the snapshot holds already: that is checked as well.
        let mut last = None;
        loop {
            // What is behind the end may be damaged.
            if self.options.until.is_some_and(|until| last >= Some(until)) {
                return Ok(());
            }
            match reader.step() {
                Step::Entry { offset, zxid, entry } => {
                    if last.is_some_and(|last| zxid <= last) {
                        let what = format!("zxid {zxid} comes behind a later one{STEPS_BACK}");
                        return Err(Fault::damaged(file, offset, what));
                    }
                    last = Some(zxid);
                    self.logged = self.logged.max(zxid);
                    self.progress.is_at(offset);
                    if !self.options.reaches(zxid) {
                        return Ok(());
                    }
                    if zxid > self.applied {
                        self.apply(file, offset, zxid, entry)?;
                    }
                }
                Step::End => return Ok(()),
                Step::Torn { offset, why } => {
                    let end = last.unwrap_or(self.applied).max(self.applied);
                    if let Some(next) = next.filter(|&next| !follows(next, end)) {
                        let what =
                            format!("{why}, and the next log begins with zxid {next}, not behind {end}");
                        return Err(Fault::damaged(file, offset, what));
                    }
                    (self.tell)(format!(
                        "{}: torn at byte {offset}, as after a crash ({why}): cut there, behind zxid {end}",
                        file.display()
                    ));
                    return Ok(());
                }
                Step::Damaged { offset, what } => return Err(Fault::damaged(file, offset, what)),
            }
        }
    }

    fn apply(&mut self, file: &Path, offset: u64, zxid: Zxid, bytes: &[u8]) -> Result<(), Fault> {
        let entry = Entry::decode(&mut Reader::new(bytes));
        let Entry { header, txn, digest } = entry.map_err(|error| {
            let what = format!("transaction {zxid} can't be read: {error}");
            Fault::damaged(file, offset + error.offset as u64, what)
        })?;
        paths::check_paths(&txn)
            .map_err(|what| Fault::damaged(file, offset, format!("transaction {zxid} is a {what}")))?;
        if !follows(zxid, self.applied) {
            let what = format!("zxid {zxid} comes behind {}: transactions are missing", self.applied);
            self.refuse_unless_lenient(Fault::damaged(file, offset, what))?;
        }
        replay::apply(&mut self.store, &mut self.sessions, &header, &txn);
        self.applied = zxid;
        self.count += 1;
        self.check_digest(file, offset, digest)
    }

    /// Behind the transaction at `offset`, or the snapshot.
    fn check_digest(&mut self, file: &Path, offset: u64, logged: Option<TxnDigest>) -> Result<(), Fault> {
        let is_the_snapshots = matches!(self.digests, Digests::At(_));
        let expected = match self.digests {
            Digests::At(digest) if digest.zxid > self.applied => return Ok(()),
            Digests::At(digest) => {
                self.digests = Digests::Each;
                // Passed without being reached: a transaction of that zxid isn't there.
                (digest.zxid == self.applied).then_some(digest.digest)
            }
            Digests::Each => {
                logged.filter(|it| it.version == TxnDigest::VERSION).map(|it| it.tree_digest as u64)
            }
            Digests::Never => None,
        };
        let found = self.store.digest();
        if let Some(complaint) = self.complaint.take() {
            if expected == Some(found) {
                (self.tell)(format!(
                    "the snapshot held transaction {} already, and has it as it was logged",
                    self.applied
                ));
                return Ok(());
            }
            self.digests = Digests::Never;
            return self.refuse_unless_lenient(complaint);
        }
        match expected {
            Some(expected) if expected != found => {
                let what = format!(
                    "at zxid {} the tree's digest was {expected:#x}, and here it is {found:#x}: the server that wrote this \
                     had another tree than its snapshot and logs make",
                    self.applied
                );
                let fault = Fault::damaged(file, offset, what);
                if is_the_snapshots {
                    self.complaint = Some(fault);
                    return Ok(());
                }
                // Once is enough.
                self.digests = Digests::Never;
                self.refuse_unless_lenient(fault)
            }
            _ => Ok(()),
        }
    }

    /// Every ACL list that the snapshot lacks has to be in the transactions behind it.
    fn check_lists(&mut self, snapshot: &str) -> Result<(), Fault> {
        let Some(Unlisted { path, id }) = self.store.unlisted() else { return Ok(()) };
        let what = format!(
            "{snapshot} doesn't hold the ACL list {id} of {path}, and no transaction behind it up to zxid {} gives one: transactions \
             are missing, or the server that wrote it had lost the list. Nobody but the superuser could use that znode",
            self.applied
        );
        self.refuse_unless_lenient(Fault::Refused(what))
    }

    /// What the snapshot holds of later transactions, the log behind it has to hold, too. Where there is a digest, that tells as well.
    fn check_reach(&mut self, file: &Path, latest: Zxid) -> Result<(), Fault> {
        if latest <= self.applied {
            return Ok(());
        }
        let what = format!(
            "{}: it was still being written at zxid {latest}, and the logs end at {}: transactions are missing",
            file.display(),
            self.applied
        );
        self.refuse_unless_lenient(Fault::Refused(what))
    }

    fn refuse_unless_lenient(&mut self, fault: Fault) -> Result<(), Fault> {
        if !self.options.lenient {
            let hint =
                if self.options.may_be_lenient { ". With --lenient it is taken over as it is." } else { "" };
            return Err(match fault {
                Fault::Damaged { file, offset, what } => Fault::Damaged { file, offset, what: what + hint },
                Fault::Refused(what) => Fault::Refused(what + hint),
                other => other,
            });
        }
        (self.tell)(fault.to_string());
        Ok(())
    }

    fn finish(mut self) -> Recovered {
        for owner in self.store.orphans(|session| self.sessions.contains_key(&session)) {
            let count = self.store.ephemerals_of(owner).len();
            if self.options.keeps_orphans {
                (self.tell)(format!(
                    "{count} ephemeral znodes belong to session {owner}, which is over: they are kept"
                ));
                continue;
            }
            (self.tell)(format!(
                "{count} ephemeral znodes belong to session {owner}, which is over: deleted"
            ));
            let kind = Opcode::CloseSession.code();
            let header =
                TxnHeader { client_id: owner, cxid: 0, zxid: self.applied, time: WallMillis(0), kind };
            self.store.apply(&header, &Txn::CloseSession(None));
        }
        replay::settle(&mut self.store, self.applied);
        let Replay { store, sessions, began, logged, .. } = self;
        Recovered { store, sessions: sessions.into_iter().collect(), began, logged }
    }
}

/// Nothing lies between: the next of its epoch, or the first of a later one.
pub fn follows(next: Zxid, last: Zxid) -> bool {
    next == Zxid(last.0.wrapping_add(1)) || (next.epoch() > last.epoch() && next.0 & 0xffff_ffff <= 1)
}

#[cfg(test)]
#[path = "recovery_test.rs"]
mod tests;
