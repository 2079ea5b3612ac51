//! From what the disk holds to a replica and the segment in which its log goes on: at a start, and when a member reloads.
//!
//! A start takes the newest snapshot that can be trusted and the log behind it. A *reload* ([`Recovery::run`] with `to`)
//! throws away what is later than `to`, as a leader has asked for: of the snapshots, those above `to`; of the log, what
//! lies behind `to`, or all of it if a snapshot at `to` came from the leader, whose history below it may be another.
//!
//! **The order of a reload**, and what a crash leaves behind each step:
//! 0. Everything is read and checked, up to the finished tree; nothing is changed. What can't be cut is refused here.
//! 1. Snapshots above `to` are removed, durably. Each of them holds what is to go. *A crash here or before:* the log still
//!    has everything, and the older snapshot is known to reach it: the server starts as what it was and is told again.
//! 2. The log's repair: a new segment that continues at `to`, persisted. This is the moment of the change. *A crash before
//!    its sync:* as before. *After:* the server starts at `to`.
//! 3. The note of a received snapshot is removed, durably. *A crash before:* step 2 is done again; no transaction
//!    was logged in between, as nobody is served.
//! 4. Superseded segments are removed. *A crash before:* the next start does it; the line no longer leads there.
//!
//! **A snapshot from a leader** ([`crate::replica::SnapshotCommand::Install`]), or one that an operator gives a lone server
//! (`web::restore`), appears under its name while the log beside it is still that of the old history. Replaying that log behind
//! it would mix the two. So a *note*, an empty file `received.<zxid>`, is made durable before the snapshot gets its name, and
//! goes in step 3. A start that finds it beside the snapshot finishes the reload by itself; a note without its snapshot is
//! removed, for nothing had happened yet.
//! Tested: recovery_test.rs.

use std::path::Path;
use std::sync::Arc;

use crate::base::{Now, Prng, Ticket, Zxid, limits};
use crate::io::{Directory, Error, FileWriter, MappedFile, SegmentFile};
use crate::log::{self, Command, SegmentId, SegmentImage, SnapshotDecoder, SnapshotName};
use crate::replica::ensemble::EpochRecord;
use crate::replica::{self, Boot, Start};

use super::Fatal;
use super::boot::Places;
use super::epochs::{EpochFile, LOST_EPOCHS};
use super::image::Witness;

/// A start makes a segment while clients wait: it is small, the next ones are made ahead.
const FIRST_SEGMENT_BYTES: u64 = 4 << 20;

/// Transactions whose znodes are looked at together before they are replayed.
const REPLAYED_TOGETHER: usize = 64;

const NOTE: &str = "received.";

/// The name of the note that this snapshot came from a leader and the log was not cut yet.
pub fn note_name(zxid: Zxid) -> String {
    format!("{NOTE}{:016x}", zxid.0)
}

fn parse_note(name: &str) -> Option<Zxid> {
    let zxid = i64::from_str_radix(name.strip_prefix(NOTE)?, 16).ok().map(Zxid)?;
    (note_name(zxid) == name).then_some(zxid)
}

/// What has become of a snapshot from elsewhere that could not be stored.
#[derive(Debug)]
pub enum NotInstalled {
    /// There is none.
    Lost(Error),
    /// It may be there, or its note: the next start would begin behind it, without what is logged from now on.
    InDoubt(Error),
}

/// Gives a snapshot from elsewhere its name, after the note. Durable on return; a reload to it follows, or a start.
pub fn install(directory: &Directory, mut file: FileWriter, zxid: Zxid) -> Result<(), NotInstalled> {
    let note = note_name(zxid);
    let noted = file.persist().and_then(|()| directory.write_atomically(&note, &[]));
    let stored = match noted {
        Ok(()) => file.finish(),
        Err(error) => {
            file.abandon();
            Err(error)
        }
    };
    let Err(error) = stored else { return Ok(()) };
    // Without the snapshot the note says nothing, and beside a later one of the same zxid it would say too much.
    let is_there = directory.path_of(&log::snapshot_file_name(zxid)).exists();
    if is_there || directory.remove(&[&note]).is_err() {
        return Err(NotInstalled::InDoubt(error));
    }
    Err(NotInstalled::Lost(error))
}

/// All it takes to recover, again and again.
pub struct Recovery {
    pub places: Arc<Places>,
    pub settings: replica::Settings,
    /// Of the usual segment.
    pub segment_bytes: u64,
    pub shards: usize,
    /// Of the segments' salts: no two recoveries have the same.
    pub prng: Prng,
}

pub struct Recovered {
    pub start: Start,
    /// The segment in which the log goes on.
    pub active: SegmentFile,
    /// A member's.
    pub epochs: EpochRecord,
    pub epoch_file: Option<EpochFile>,
}

/// A boot with the newest snapshot that can be trusted, or with a fresh tree.
struct Loaded {
    boot: Boot,
    /// Snapshots known to be good. Older files are not looked at: they don't count among those that purging keeps.
    snapshots: Vec<Zxid>,
    /// Where the newest snapshot file ends, good or not: everything up to there was committed.
    newest: Zxid,
    /// Files of snapshots above what is to be kept.
    above: Vec<String>,
}

/// The same with the log's transactions, and what is left to be done on the disk.
struct Replayed {
    boot: Boot,
    snapshots: Vec<Zxid>,
    above: Vec<String>,
    settings: log::Settings,
    repair: Vec<Command>,
    cleanup: Vec<Command>,
    resume: log::Resume,
}

impl Recovery {
    /// `to`: what is later is thrown away. `None` at a start. Nobody else touches the directories meanwhile.
    pub fn run(&mut self, to: Option<Zxid>, now: Now) -> Result<Recovered, Fatal> {
        EpochFile::refuse_newer(&self.places.log)?;
        if to.is_none() {
            self.set_lone_epochs_aside()?;
        }
        let received = self.received()?;
        let to = [to, received].into_iter().flatten().min();
        let loaded = self.load_snapshot(to, now)?;
        let is_behind_received = received.is_some() && loaded.snapshots.last().copied() == received;
        let (start, active) = self.recover_log(loaded, to, is_behind_received)?;
        let (epochs, epoch_file) = match self.settings.history {
            Some(_) => EpochFile::read(&self.places.log)?,
            None => (EpochRecord::None, None),
        };
        Ok(Recovered { start, active, epochs, epoch_file })
    }

    /// A server always has a segment, from its first start on.
    pub(super) fn has_log(&self) -> Result<bool, Fatal> {
        let entries = self.places.log.list().map_err(Fatal::Io)?;
        Ok(entries.iter().any(|entry| SegmentId::parse(&entry.name).is_some()))
    }

    /// Without a segment the log was lost, and what the record stands for with it (`zab::Standing`). It gets another name
    /// before there is a new segment, and under that name it says the same at later starts (`epochs.rs`).
    fn set_lone_epochs_aside(&self) -> Result<(), Fatal> {
        let directory = &self.places.log;
        if self.has_log()? || !directory.path_of(log::EPOCH_FILE).exists() {
            return Ok(());
        }
        tracing::warn!(
            directory = %directory.path().display(),
            "there is a record of epochs and no log beside it: the log was lost. The server has no vote until a leader has \
             synchronised it"
        );
        directory.rename(log::EPOCH_FILE, LOST_EPOCHS).map_err(Fatal::Io)
    }

    fn log_settings(&mut self) -> log::Settings {
        log::Settings {
            segment_bytes: self.segment_bytes,
            first_segment_bytes: self.segment_bytes.min(FIRST_SEGMENT_BYTES),
            group_bytes_max: limits::GROUP_BYTES_MAX,
            persists_max: 1,
            salt_seed: self.prng.next(),
            first_ticket: Ticket(1),
        }
    }

    /// The snapshot from a leader behind which the log is still to begin anew.
    fn received(&self) -> Result<Option<Zxid>, Fatal> {
        let directory = &self.places.snapshots;
        let (newest, unfounded) = newest_received(directory)?;
        for note in unfounded {
            directory.remove(&[&note_name(note)]).map_err(Fatal::Io)?;
        }
        Ok(newest)
    }

    fn load_snapshot(&self, to: Option<Zxid>, now: Now) -> Result<Loaded, Fatal> {
        let directory = &self.places.snapshots;
        let mut usable: Vec<Zxid> = vec![];
        for entry in directory.list().map_err(Fatal::Io)? {
            if let Some(SnapshotName::Whole(zxid)) = SnapshotName::parse(&entry.name) {
                usable.push(zxid);
            }
        }
        usable.sort_unstable();
        let kept = to.map_or(usable.len(), |to| usable.partition_point(|zxid| *zxid <= to));
        let above = usable.drain(kept..).map(log::snapshot_file_name).collect();
        let newest = usable.last().copied().unwrap_or(Zxid::ZERO);
        while let Some(&zxid) = usable.last() {
            let path = directory.path_of(&log::snapshot_file_name(zxid));
            let mut boot = Boot::new(self.settings.clone(), self.shards, now);
            match load_one(&path, zxid, &mut boot) {
                Ok(()) => return Ok(Loaded { boot, snapshots: vec![zxid], newest, above }),
                Err(LoadFault::Newer(what)) => return Err(Fatal::Foreign(what)),
                Err(LoadFault::Bad(what)) => {
                    tracing::error!(file = %path.display(), what, "this snapshot can't be used; trying the one before it");
                    usable.pop();
                }
            }
        }
        let mut boot = Boot::new(self.settings.clone(), self.shards, now);
        boot.plant();
        Ok(Loaded { boot, snapshots: vec![], newest, above })
    }

    /// What a start would begin with. Nothing is changed, so the directory may be anybody's.
    pub fn look(&mut self, now: Now, witness: &mut dyn Witness) -> Result<Boot, Fatal> {
        let received = newest_received(&self.places.snapshots)?.0;
        let loaded = self.load_snapshot(received, now)?;
        let is_behind_received = received.is_some() && loaded.snapshots.last().copied() == received;
        Ok(self.replay_log(loaded, received, is_behind_received, Some(witness))?.boot)
    }

    /// Replays the log behind the snapshot. Nothing is changed.
    fn replay_log(
        &mut self,
        loaded: Loaded,
        to: Option<Zxid>,
        is_behind_received: bool,
        mut witness: Option<&mut dyn Witness>,
    ) -> Result<Replayed, Fatal> {
        let Loaded { mut boot, snapshots, newest, above } = loaded;
        let settings = self.log_settings();
        let places = &*self.places;
        let directory_name = || places.log.path().display().to_string();
        let mut files: Vec<(SegmentId, MappedFile)> = vec![];
        for entry in places.log.list().map_err(Fatal::Io)? {
            if let Some(id) = SegmentId::parse(&entry.name) {
                files.push((id, MappedFile::open(&places.log.path_of(&entry.name)).map_err(Fatal::Io)?));
            }
        }
        let images: Vec<SegmentImage<'_>> =
            files.iter().map(|(id, file)| SegmentImage { id: *id, bytes: file.bytes() }).collect();
        let snapshot = boot.applied();
        let recovered = match to {
            _ if is_behind_received => log::overtake(&settings, &images, snapshot),
            Some(to) => log::truncate(&settings, &images, snapshot, to),
            None => log::recover(&settings, &images, snapshot),
        };
        let recovered = recovered.map_err(|fault| Fatal::Recovery { directory: directory_name(), fault })?;
        if recovered.last_zxid < newest {
            return Err(Fatal::Foreign(format!(
                "the snapshot {} in {} can't be used, and snapshot and log behind it end at zxid {}: acknowledged transactions \
                 would be lost. Put the file back from a copy; nothing was changed.",
                log::snapshot_file_name(newest),
                places.snapshots.path().display(),
                recovered.last_zxid,
            )));
        }
        if let Some(cut) = &recovered.cut {
            tracing::warn!(at = %cut.end, why = cut.why, "the log ended in a torn record, as after a crash: cut there");
        }
        if let Some(witness) = &mut witness {
            let (store, sessions) = boot.tree();
            witness.on_snapshot(snapshot, store, sessions).map_err(Fatal::Io)?;
        }
        for batch in recovered.entries.chunks(REPLAYED_TOGETHER) {
            boot.look_ahead(batch.iter().map(|entry| entry.payload));
            for entry in batch {
                if let Some(witness) = &mut witness {
                    witness.on_transaction(entry.payload).map_err(Fatal::Io)?;
                }
                boot.replay(entry.zxid, entry.payload)
                    .map_err(|error| Fatal::Boot { directory: directory_name(), error })?;
            }
        }
        let log::Recovered { repair, cleanup, resume, .. } = recovered;
        Ok(Replayed { boot, snapshots, above, settings, repair, cleanup, resume })
    }

    /// Replays the log behind the snapshot and carries out its repair, before anything is acknowledged.
    fn recover_log(
        &mut self,
        loaded: Loaded,
        to: Option<Zxid>,
        is_behind_received: bool,
    ) -> Result<(Start, SegmentFile), Fatal> {
        let Replayed { boot, snapshots, above, settings, repair, cleanup, resume } =
            self.replay_log(loaded, to, is_behind_received, None)?;
        let places = &*self.places;
        // The order is the header's.
        if !above.is_empty() {
            let names: Vec<&str> = above.iter().map(String::as_str).collect();
            places.snapshots.remove(&names).map_err(Fatal::Io)?;
        }
        let active = log_files(places, repair).map_err(Fatal::of_log)?;
        for note in notes(&places.snapshots)? {
            places.snapshots.remove(&[&note_name(note)]).map_err(Fatal::Io)?;
        }
        log_files(places, cleanup).map_err(Fatal::of_log)?;
        let active = active.expect("the repair makes the segment in which the log goes on");
        for orphan in boot.orphans() {
            tracing::warn!(session = %orphan, "ephemeral znodes without their session were found");
        }
        let writer = log::Writer::new(settings, resume);
        Ok((boot.finish(writer, snapshots), active))
    }
}

/// The newest snapshot with a note, and the notes that have none.
fn newest_received(directory: &Directory) -> Result<(Option<Zxid>, Vec<Zxid>), Fatal> {
    let is_there = |note: &Zxid| directory.path_of(&log::snapshot_file_name(*note)).exists();
    let (founded, unfounded): (Vec<Zxid>, Vec<Zxid>) = notes(directory)?.into_iter().partition(is_there);
    Ok((founded.into_iter().max(), unfounded))
}

fn notes(directory: &Directory) -> Result<Vec<Zxid>, Fatal> {
    let entries = directory.list().map_err(Fatal::Io)?;
    Ok(entries.iter().filter_map(|entry| parse_note(&entry.name)).collect())
}

/// A snapshot that came from a leader lies here, and the log beside it is still that of the history before: only a start
/// can tell what goes on where. `directory`: the snapshots'.
pub fn is_unsettled(directory: &Directory) -> Result<bool, Fatal> {
    Ok(!notes(directory)?.is_empty())
}

enum LoadFault {
    Bad(String),
    Newer(String),
}

fn load_one(path: &Path, zxid: Zxid, boot: &mut Boot) -> Result<(), LoadFault> {
    let bad = |what: &dyn std::fmt::Display| LoadFault::Bad(what.to_string());
    let file = MappedFile::open(path).map_err(|error| bad(&error))?;
    let fault = |fault: log::SnapshotFault| match fault {
        log::SnapshotFault::Newer { .. } => LoadFault::Newer(format!("{}: {fault}", path.display())),
        _ => bad(&fault),
    };
    let mut decoder = SnapshotDecoder::new(file.bytes(), zxid).map_err(fault)?;
    while let Some(chunk) = decoder.next_chunk().map_err(fault)? {
        boot.load(zxid, chunk).map_err(|error| bad(&error))?;
    }
    boot.loaded().map_err(|error| bad(&error))
}

/// Carries out log commands at start, when nobody waits. Returns the segment made last.
fn log_files(places: &Places, commands: Vec<Command>) -> Result<Option<SegmentFile>, Error> {
    let mut active = None;
    for command in commands {
        match (command, &mut active) {
            (Command::Create { segment, header, bytes }, _) => {
                let mut file = SegmentFile::create(&places.log.path_of(&segment.file_name()), bytes)?;
                file.write_at(0, &header);
                active = Some(file);
            }
            (Command::Append { offset, bytes, .. }, Some(file)) => file.write_at(offset, &bytes),
            (Command::Persist { .. }, file) => {
                if let Some(file) = file {
                    file.persist()?;
                }
                places.log.sync()?;
            }
            (Command::Remove { segment }, _) => places.log.remove(&[&segment.file_name()])?,
            (Command::Append { .. }, None) => unreachable!("a repair appends to the segment it made"),
        }
    }
    Ok(active)
}

#[cfg(test)]
#[path = "recovery_test.rs"]
mod tests;
