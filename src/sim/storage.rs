//! The log thread and the snapshot writer of a server, on the virtual disk.
//!
//! Log commands are carried out in order; one sync runs at a time, and it makes durable what was stored when it began.
//! A snapshot is written piece by piece: temporary name, sync, rename, sync of the directory.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::{Ticket, Zxid};
use crate::log::{self, Command, SegmentId};
use crate::replica::{Input, SnapshotCommand};

use super::boot::Disk;
use super::disk::Sync;

/// A sync of the log, running or waiting.
#[derive(Debug)]
struct Persist {
    ticket: Ticket,
    /// What had been appended when it was asked for.
    appended: Zxid,
}

/// The log thread.
#[derive(Debug, Default)]
pub struct LogThread {
    active: Option<SegmentId>,
    waiting: VecDeque<Persist>,
    running: Option<(Persist, Sync)>,
}

/// What came of the sync that ended.
#[derive(Debug)]
pub struct Persisted {
    pub ticket: Ticket,
    /// Durable up to here.
    pub zxid: Zxid,
}

impl LogThread {
    /// True if a sync begins with this: its end is to be arranged.
    pub fn carry_out(&mut self, command: Command, appended: Zxid, disk: &mut Disk) -> bool {
        match command {
            Command::Create { segment, header, bytes } => {
                let name = segment.file_name();
                assert!(disk.log.read(&name).is_none(), "{name} is made twice");
                disk.log.create(&name, bytes as usize);
                disk.log.write(&name, 0, &header);
                self.active = Some(segment);
            }
            Command::Append { segment, offset, bytes } => {
                assert!(self.active == Some(segment), "stored into a segment that is not active");
                disk.log.write(&segment.file_name(), offset as usize, &bytes);
            }
            Command::Persist { ticket } => {
                self.waiting.push_back(Persist { ticket, appended });
                return self.begin(disk);
            }
            Command::Remove { segment } => disk.log.unlink(&segment.file_name()),
        }
        false
    }

    fn begin(&mut self, disk: &Disk) -> bool {
        if self.running.is_some() {
            return false;
        }
        let Some(persist) = self.waiting.pop_front() else { return false };
        self.running = Some((persist, disk.log.begin_sync(None)));
        true
    }

    /// The sync that runs has ended well. The second value: another one begins.
    pub fn end(&mut self, disk: &mut Disk, really: bool) -> Option<(Persisted, bool)> {
        let (persist, sync) = self.running.take()?;
        if really {
            disk.log.complete(sync);
        }
        let begun = self.begin(disk);
        Some((Persisted { ticket: persist.ticket, zxid: persist.appended }, begun))
    }

    /// It has ended badly.
    pub fn fail(&mut self, disk: &mut Disk, prng: &mut crate::base::Prng) {
        let Some((_, sync)) = self.running.take() else { return };
        match prng.below(3) {
            0 => disk.log.forget(sync),
            1 => disk.log.fail(sync, prng),
            _ => disk.log.tear(sync, prng),
        }
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// Tickets asked for and not answered.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> + '_ {
        self.running.iter().map(|(persist, _)| persist.ticket).chain(self.waiting.iter().map(|p| p.ticket))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create { zxid: Zxid },
    Append { bytes: Bytes },
    SyncFile { zxid: Zxid },
    Rename { zxid: Zxid },
    SyncName { zxid: Zxid },
    Abandon { zxid: Zxid },
    RemoveBelow { zxid: Zxid },
}

/// The snapshot writer.
#[derive(Debug, Default)]
pub struct SnapshotThread {
    steps: VecDeque<Step>,
    writing: Option<Zxid>,
    pub bytes_written: u64,
}

impl SnapshotThread {
    pub fn carry_out(&mut self, command: SnapshotCommand) {
        match command {
            SnapshotCommand::Create { zxid } => self.steps.push_back(Step::Create { zxid }),
            SnapshotCommand::Append { bytes } => self.steps.push_back(Step::Append { bytes }),
            SnapshotCommand::Complete { zxid } => {
                self.steps.push_back(Step::SyncFile { zxid });
                self.steps.push_back(Step::Rename { zxid });
                self.steps.push_back(Step::SyncName { zxid });
            }
            SnapshotCommand::Install { .. } => unreachable!("a lone server"),
            SnapshotCommand::Abandon { zxid } => self.steps.push_back(Step::Abandon { zxid }),
            SnapshotCommand::RemoveBelow { zxid } => self.steps.push_back(Step::RemoveBelow { zxid }),
        }
    }

    pub fn is_busy(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Carries out one step. `fails`: the disk is full or broken just now.
    pub fn step(&mut self, disk: &mut Disk, fails: Option<&str>) -> Option<Input> {
        let step = self.steps.pop_front()?;
        let directory = &mut disk.snapshots;
        let skipped = match &step {
            Step::Create { .. } | Step::Abandon { .. } | Step::RemoveBelow { .. } => false,
            // After a failure the rest of that snapshot has no file.
            Step::Append { .. } | Step::SyncFile { .. } | Step::Rename { .. } | Step::SyncName { .. } => {
                self.writing.is_none()
            }
        };
        if skipped {
            return None;
        }
        if let (Some(reason), Some(zxid)) = (fails, self.failing(&step)) {
            self.writing = None;
            return Some(Input::SnapshotFailed { zxid, reason: reason.to_owned() });
        }
        match step {
            Step::Create { zxid } => {
                directory.create(&log::snapshot_temporary_name(zxid), 0);
                self.writing = Some(zxid);
            }
            Step::Append { bytes } => {
                let zxid = self.writing?;
                directory.append(&log::snapshot_temporary_name(zxid), &bytes);
                self.bytes_written += bytes.len() as u64;
                return Some(Input::SnapshotProgress { bytes: bytes.len() as u64 });
            }
            Step::SyncFile { zxid } => {
                let sync = directory.begin_sync(Some(&log::snapshot_temporary_name(zxid)));
                directory.complete(sync);
            }
            Step::Rename { zxid } => {
                directory.rename(&log::snapshot_temporary_name(zxid), &log::snapshot_file_name(zxid));
            }
            Step::SyncName { zxid } => {
                let sync = directory.begin_sync_names();
                directory.complete(sync);
                self.writing = None;
                return Some(Input::SnapshotDone { zxid });
            }
            Step::Abandon { zxid } => directory.unlink(&log::snapshot_temporary_name(zxid)),
            Step::RemoveBelow { zxid } => {
                let older: Vec<String> = directory
                    .names()
                    .filter(|name| {
                        let parsed = log::SnapshotName::parse(name);
                        matches!(parsed, Some(log::SnapshotName::Whole(found)) if found < zxid)
                    })
                    .map(str::to_owned)
                    .collect();
                older.iter().for_each(|name| directory.unlink(name));
            }
        }
        None
    }

    fn failing(&self, step: &Step) -> Option<Zxid> {
        match step {
            Step::Create { zxid } => Some(*zxid),
            Step::Append { .. } | Step::SyncFile { .. } => self.writing,
            // Once renamed it is whole.
            Step::Rename { .. } | Step::SyncName { .. } | Step::Abandon { .. } | Step::RemoveBelow { .. } => {
                None
            }
        }
    }
}
