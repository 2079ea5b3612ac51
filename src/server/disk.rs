//! The threads that own files: one for the log, one for snapshots, one that prepares the next segment.
//!
//! The loop hands commands over and never waits. The log thread carries them out in order: stores into the mapped
//! segment, one `fdatasync` per `Persist`, one answer. Making a segment (zeroing, syncing, mapping) takes long and
//! is done ahead, by the preparer; a segment that is no longer needed becomes the next spare instead of being zeroed
//! again. Snapshots are synced piece by piece, so that a big one doesn't stand between the log and the disk at its end.
//!
//! The spare is the log's reserve: the replica is told of each one (`SegmentReady`) and decides no write that neither the
//! active segment nor a spare has room for. When the disk is full no spare can be made, and it is told so (`SpaceLow`):
//! everything it has accepted has its room already. When one could be made, `SpaceBack`. A failed sync is fatal and
//! never retried.
//! Queues: at most one `Persist` is outstanding, and a snapshot is at most `AHEAD_BYTES_MAX` ahead of its file, so the
//! channels are bounded by what is sent through them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::base::{Ticket, Zxid};
use crate::io::{Directory, Error, FileWriter, SegmentFile, Waker};
use crate::log::{self, Command};
use crate::replica::{Input, SnapshotCommand};
use crate::zab::Epochs;

use super::epochs::EpochFile;
use super::log_thread::{LogThread, Order};
use super::recovery::note_name;
use super::segments::Preparer;
use super::sync_times::SyncTimes;

/// What the threads report. A wake-up of the loop follows each.
#[derive(Debug)]
pub enum Done {
    Durable {
        ticket: Ticket,
    },
    /// The last change of the epoch record: for the member, not an [`Input`].
    EpochsDurable,
    SegmentReady,
    SpaceLow,
    SpaceBack,
    SnapshotProgress {
        bytes: u64,
    },
    SnapshotWritten {
        zxid: Zxid,
    },
    SnapshotFailed {
        zxid: Zxid,
        reason: String,
    },
    /// The log can't be trusted any more.
    Failed {
        error: Error,
    },
}

impl Done {
    /// As the replica is told.
    pub fn into_input(self) -> Input {
        match self {
            Done::Durable { ticket } => Input::Durable { ticket },
            Done::SegmentReady => Input::SegmentReady,
            Done::SpaceLow => Input::SpaceLow,
            Done::SpaceBack => Input::SpaceBack,
            Done::SnapshotProgress { bytes } => Input::SnapshotProgress { bytes },
            Done::SnapshotWritten { zxid } => Input::SnapshotDone { zxid },
            Done::SnapshotFailed { zxid, reason } => Input::SnapshotFailed { zxid, reason },
            Done::EpochsDurable => unreachable!("the drivers tell the member"),
            Done::Failed { .. } => unreachable!("the drivers end the server first"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub log_directory: Arc<Directory>,
    pub snapshot_directory: Arc<Directory>,
    pub segment_bytes: u64,
    /// False: `forceSync=no`, replies don't wait for the disk.
    pub force_sync: bool,
    pub sync_warning: Duration,
    pub sync_times: Arc<SyncTimes>,
}

/// What threads that ended had to say which outlives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub epochs_durable: bool,
}

/// The loop's end of the threads.
pub struct Disk {
    commands: Vec<Command>,
    to_log: Option<Sender<Order>>,
    /// Parked when it has nothing to do: it is woken for each order.
    log_thread: Thread,
    to_snapshots: Option<Sender<SnapshotCommand>>,
    done: Receiver<Done>,
    /// Taken by `wait_done`, not yet handed out.
    waited: Option<Done>,
    threads: Vec<JoinHandle<()>>,
    /// Nobody waits for room any more.
    is_ending: Arc<AtomicBool>,
}

/// The next segment's name until it is taken; with a number behind it, a file kept to become one.
pub const SPARE: &str = "segment.spare";
/// Files kept to be used again: what one purge sets free at a time, within reason.
pub(super) const OLD_SEGMENTS_MAX: usize = 4;
/// How often the preparer looks whether the disk has room again.
pub(super) const SPACE_RETRY: Duration = Duration::from_secs(1);
/// A snapshot is synced each time this much was written.
const SNAPSHOT_SYNC_BYTES: u64 = 2 << 20;

impl Disk {
    /// Starts the threads. `active` is the segment that the repair made; `epochs` the record, if there is a good one.
    pub fn start(
        settings: Settings,
        active: SegmentFile,
        epochs: Option<EpochFile>,
        waker: &Waker,
    ) -> Result<Disk, super::Fatal> {
        let (done_in, done) = unbounded();
        let (to_log, log_orders) = unbounded();
        let (to_snapshots, snapshot_commands) = unbounded();
        let (orders, preparer_orders) = unbounded();
        let (spares_in, spares) = unbounded();
        let is_ending = Arc::new(AtomicBool::new(false));
        let report = Report { done: done_in, waker: waker.clone(), without_room: Arc::default() };

        let log = LogThread {
            settings: settings.clone(),
            active,
            epochs,
            orders,
            spares,
            report: report.clone(),
            is_ending: is_ending.clone(),
        };
        let preparer = Preparer {
            settings: settings.clone(),
            orders: preparer_orders,
            spares: spares_in,
            report: report.clone(),
        };
        let snapshots = SnapshotThread { directory: settings.snapshot_directory, writing: None, report };
        let threads = vec![
            super::spawn("log", move || log.run(&log_orders))?,
            super::spawn("segments", move || preparer.run())?,
            super::spawn("snapshots", move || snapshots.run(&snapshot_commands))?,
        ];
        Ok(Disk {
            commands: vec![],
            to_log: Some(to_log),
            log_thread: threads[0].thread().clone(),
            to_snapshots: Some(to_snapshots),
            done,
            waited: None,
            threads,
            is_ending,
        })
    }

    pub fn log(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// Hands the log thread what was collected.
    pub fn submit(&mut self) {
        if !self.commands.is_empty() {
            let commands = std::mem::take(&mut self.commands);
            self.order(Order::Commands(commands));
        }
    }

    fn order(&self, order: Order) {
        let Some(to_log) = &self.to_log else { return };
        to_log.send(order).expect("the log thread outlives the loop, or has reported why not");
        self.log_thread.unpark();
    }

    /// Behind what was logged before: `Done::EpochsDurable` follows. One at a time.
    pub fn persist_epochs(&mut self, epochs: Epochs) {
        self.submit();
        self.order(Order::Epochs(epochs));
    }

    pub fn snapshot(&mut self, command: SnapshotCommand) {
        if let Some(to_snapshots) = &self.to_snapshots {
            to_snapshots.send(command).expect("the snapshot thread outlives the loop");
        }
    }

    pub fn next_done(&mut self) -> Option<Done> {
        self.waited.take().or_else(|| self.done.try_recv().ok())
    }

    /// Blocks until a thread reports, or for `patience`.
    pub fn wait_done(&mut self, patience: Duration) {
        if self.waited.is_none() {
            self.waited = self.done.recv_timeout(patience).ok();
        }
    }

    /// The last mark, then the threads end. Whatever was handed over is carried out.
    pub fn finish(mut self, replica: &mut crate::replica::Replica) -> Result<(), super::Fatal> {
        let mut commands = vec![];
        replica.finish(&mut commands);
        self.commands.extend(commands);
        self.end().map(|_| ())
    }

    /// The threads end. Whatever was handed over is carried out, but for a snapshot that is not complete. What they
    /// reported of the log is dropped with the log.
    pub fn end(&mut self) -> Result<Left, super::Fatal> {
        self.submit();
        self.to_log = None;
        self.log_thread.unpark();
        self.to_snapshots = None;
        self.is_ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("panics abort the process");
        }
        let mut left = Left::default();
        while let Some(done) = self.next_done() {
            match done {
                Done::Failed { error } => return Err(super::Fatal::of_log(error)),
                Done::EpochsDurable => left.epochs_durable = true,
                _ => {}
            }
        }
        Ok(left)
    }
}

#[derive(Clone)]
pub(super) struct Report {
    done: Sender<Done>,
    waker: Waker,
    /// Threads that found no room. The lock is held while the change is told, so that the last word is the true one.
    without_room: Arc<Mutex<u32>>,
}

impl Report {
    pub fn send(&self, done: Done) {
        // A loop that is gone needs no report.
        let _ = self.done.send(done);
        self.waker.wake();
    }

    pub fn lacks_room(&self) {
        let mut count = self.without_room.lock().expect("nobody panics holding it");
        *count += 1;
        if *count == 1 {
            self.send(Done::SpaceLow);
        }
    }

    pub fn has_room_again(&self) {
        let mut count = self.without_room.lock().expect("nobody panics holding it");
        *count -= 1;
        if *count == 0 {
            tracing::info!("there is room on the disk again: writes are accepted");
            self.send(Done::SpaceBack);
        }
    }
}

struct SnapshotThread {
    directory: Arc<Directory>,
    writing: Option<Writing>,
    report: Report,
}

struct Writing {
    zxid: Zxid,
    file: FileWriter,
    unsynced: u64,
}

impl SnapshotThread {
    fn run(mut self, commands: &Receiver<SnapshotCommand>) {
        while let Ok(command) = commands.recv() {
            if let Err((zxid, error)) = self.carry_out(command) {
                self.abandon();
                self.report.send(Done::SnapshotFailed { zxid, reason: error.to_string() });
            }
        }
        // Stopped in the middle: what is not complete is not trusted, and not left lying about.
        self.abandon();
    }

    fn abandon(&mut self) {
        if let Some(writing) = self.writing.take() {
            writing.file.abandon();
        }
    }

    fn carry_out(&mut self, command: SnapshotCommand) -> Result<(), (Zxid, Error)> {
        match command {
            SnapshotCommand::Create { zxid } => {
                let name = log::snapshot_file_name(zxid);
                let file = self.directory.writer(&name).map_err(|error| (zxid, error))?;
                self.writing = Some(Writing { zxid, file, unsynced: 0 });
            }
            SnapshotCommand::Append { bytes } => {
                // Without a file: its failure is reported, and the replica's answer to that is on its way.
                let Some(writing) = &mut self.writing else { return Ok(()) };
                let zxid = writing.zxid;
                writing.file.append(&bytes).map_err(|error| (zxid, error))?;
                writing.unsynced += bytes.len() as u64;
                if writing.unsynced >= SNAPSHOT_SYNC_BYTES {
                    writing.file.persist().map_err(|error| (zxid, error))?;
                    writing.unsynced = 0;
                }
                self.report.send(Done::SnapshotProgress { bytes: bytes.len() as u64 });
            }
            SnapshotCommand::Complete { zxid } => {
                let Some(writing) = self.writing.take() else { return Ok(()) };
                writing.file.finish().map_err(|error| (zxid, error))?;
                self.report.send(Done::SnapshotWritten { zxid });
            }
            SnapshotCommand::Install { zxid } => {
                let Some(writing) = self.writing.take() else { return Ok(()) };
                self.install(writing.file, zxid).map_err(|error| (zxid, error))?;
                self.report.send(Done::SnapshotWritten { zxid });
            }
            SnapshotCommand::Abandon { .. } => self.abandon(),
            SnapshotCommand::RemoveBelow { zxid } => self.remove_below(zxid),
        }
        Ok(())
    }

    /// The note before the name: see `recovery.rs`.
    fn install(&self, mut file: FileWriter, zxid: Zxid) -> Result<(), Error> {
        let note = note_name(zxid);
        let noted = file.persist().and_then(|()| self.directory.write_atomically(&note, &[]));
        if let Err(error) = noted {
            file.abandon();
            return Err(error);
        }
        file.finish().inspect_err(|_| {
            // Without the snapshot it says nothing; the next start would remove it, too.
            let _ = self.directory.remove(&[&note]);
        })
    }

    fn remove_below(&self, zxid: Zxid) {
        let entries = match self.directory.list() {
            Ok(entries) => entries,
            Err(error) => return tracing::warn!(%error, "old snapshots can't be listed for purging"),
        };
        for entry in entries {
            let old = log::SnapshotName::parse(&entry.name);
            if matches!(old, Some(log::SnapshotName::Whole(found)) if found < zxid)
                && let Err(error) = self.directory.remove(&[&entry.name])
            {
                tracing::warn!(%error, "an old snapshot stays");
            }
        }
    }
}
