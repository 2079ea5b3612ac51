//! The thread that makes the log's next segment before it is needed: of one that is needed no more, or anew. Of those that are needed
//! no more, it removes what is too many to be kept, in pieces (`removal.rs`).
//!
//! Started by `disk.rs`, whose log thread takes the spares and gives back old segments. Says when the disk has no room
//! for one and when it has again.
//! Tested: tests/crash/full_disk.rs.

use std::path::Path;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use crate::io::{Clock, DirectFile, Directory, Error, SegmentFile};
use crate::log::SegmentId;

use super::disk::{Done, OLD_SEGMENTS_MAX, Report, SPACE_RETRY, SPARE, Settings};
use super::removal::Removal;

/// Between two pieces of what is removed: the log's writes have the disk.
const REMOVAL_PAUSE: Duration = Duration::from_millis(10);

/// A segment's file, written in one of two ways (`ringkeeper.logWrite`).
pub(super) enum Segment {
    Mapped(SegmentFile),
    Direct(Box<DirectFile>),
}

impl Segment {
    pub fn create(settings: &Settings, path: &Path, bytes: u64) -> Result<Segment, Error> {
        if settings.is_direct {
            return DirectFile::create(path, bytes).map(Segment::direct);
        }
        SegmentFile::create(path, bytes).map(Segment::Mapped)
    }

    fn reuse(settings: &Settings, path: &Path) -> Result<Segment, Error> {
        if settings.is_direct {
            return DirectFile::open(path).map(Segment::direct);
        }
        SegmentFile::reuse(path).map(Segment::Mapped)
    }

    pub fn direct(file: DirectFile) -> Segment {
        Segment::Direct(Box::new(file))
    }

    pub fn path(&self) -> &Path {
        match self {
            Segment::Mapped(file) => file.path(),
            Segment::Direct(file) => file.path(),
        }
    }

    pub fn rename(&mut self, directory: &Directory, name: &str) -> Result<(), Error> {
        match self {
            Segment::Mapped(file) => file.rename(directory, name),
            Segment::Direct(file) => file.rename(directory, name),
        }
    }

    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Segment::Mapped(file) => {
                file.write_at(offset, bytes);
                Ok(())
            }
            Segment::Direct(file) => file.write_at(offset, bytes),
        }
    }

    pub fn persist(&mut self) -> Result<(), Error> {
        match self {
            Segment::Mapped(file) => file.persist(),
            Segment::Direct(file) => file.persist(),
        }
    }
}

/// What the preparer is asked for.
pub(super) enum Order {
    /// A spare was taken: make the next.
    Prepare,
    /// Needed no more.
    Discard(SegmentId),
    /// Somebody has none: what goes in pieces goes now.
    MakeRoom,
}

/// Makes the next segment before it is needed: of one that is needed no more, or anew.
pub(super) struct Preparer {
    pub settings: Settings,
    pub orders: Receiver<Order>,
    pub spares: Sender<Segment>,
    pub report: Report,
}

impl Preparer {
    pub fn run(self) {
        let directory = &self.settings.log_directory;
        let mut old: Vec<String> = vec![];
        let mut removal = Removal::default();
        let mut next_piece = Clock::instant();
        let mut wanted = true;
        let mut low = false;
        loop {
            if wanted {
                match self.prepare(&mut old) {
                    Ok(file) => {
                        wanted = false;
                        let _ = self.spares.send(file);
                        self.report.send(Done::SegmentReady);
                        if std::mem::take(&mut low) {
                            self.report.has_room_again();
                        }
                    }
                    // The room is there, and only not given back yet.
                    Err(_) if !removal.is_empty() => {
                        told(removal.finish(directory));
                        continue;
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut low, true) {
                            if error.is_space() {
                                tracing::error!(
                                    %error,
                                    "no room for the next log segment: writes are refused until there is; free space in the log directory"
                                );
                            } else {
                                tracing::error!(
                                    %error,
                                    "the next log segment can't be made: writes are refused until it can; check the log's disk"
                                );
                            }
                            self.report.lacks_room();
                        }
                    }
                }
            }
            let order = if wanted {
                self.orders.recv_timeout(SPACE_RETRY)
            } else if !removal.is_empty() {
                // Orders don't push it back.
                self.orders.recv_timeout(next_piece.since(Clock::instant()))
            } else {
                self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match order {
                Ok(Order::Prepare) => wanted = true,
                Ok(Order::Discard(segment)) => told(self.discard(segment, &mut old, &mut removal)),
                Ok(Order::MakeRoom) => told(removal.finish(directory)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Clock::instant() >= next_piece {
                told(removal.go_on(directory));
                next_piece = Clock::instant() + REMOVAL_PAUSE;
            }
        }
        told(removal.finish(directory));
        // The spare, if nobody took it, and what was kept for the next ones.
        for name in old.iter().map(String::as_str).chain([SPARE]) {
            let _ = directory.remove(&[name]);
        }
    }

    fn prepare(&self, old: &mut Vec<String>) -> Result<Segment, Error> {
        let directory = &self.settings.log_directory;
        if let Some(name) = old.pop() {
            directory.rename(&name, SPARE)?;
            return Segment::reuse(&self.settings, &directory.path_of(SPARE));
        }
        let made = Segment::create(&self.settings, &directory.path_of(SPARE), self.settings.segment_bytes);
        if made.is_err() {
            let _ = directory.remove(&[SPARE]);
        }
        made
    }

    /// Keeps a few files of the right size to be used again, which spares zeroing; their records are of another salt.
    fn discard(&self, segment: SegmentId, old: &mut Vec<String>, removal: &mut Removal) -> Result<(), Error> {
        let directory = &self.settings.log_directory;
        let name = segment.file_name();
        let found = directory.list()?.into_iter().find(|entry| entry.name == name);
        let Some(bytes) = found.map(|entry| entry.bytes) else { return Ok(()) };
        // A name under which a start removes it, should we not come to it.
        let spare = format!("{SPARE}.{}", segment.0);
        if directory.rename(&name, &spare).is_err() {
            // A full disk may have none for another name.
            return directory.remove(&[&name]);
        }
        if old.len() < OLD_SEGMENTS_MAX && bytes == self.settings.segment_bytes {
            old.push(spare);
            return Ok(());
        }
        removal.add(directory, spare, bytes)
    }
}

fn told(removed: Result<(), Error>) {
    if let Err(error) = removed {
        tracing::warn!(%error, "a log segment that is no longer needed stays");
    }
}
