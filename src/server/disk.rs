//! The threads that own files: one for the log, one for snapshots, one that prepares the next segment.
//!
//! The loop hands commands over and never waits. Its own ring writes the log (`ring_log.rs`), or the log thread carries the
//! commands out in order: stores into the mapped segment, one `fdatasync` per `Persist`, one answer. Making a segment
//! (zeroing, syncing, mapping) takes long and is done ahead, by the preparer; a segment that is no longer needed becomes the
//! next spare instead of being zeroed again. Snapshots are synced piece by piece, so that a big one doesn't stand between the
//! log and the disk at its end.
//!
//! The spare is the log's reserve: the replica is told of each one (`SegmentReady`) and decides no write that neither the
//! active segment nor a spare has room for. When the disk is full no spare can be made, and it is told so (`SpaceLow`):
//! everything it has accepted has its room already. When one could be made, `SpaceBack`. A failed sync is fatal and
//! never retried.
//! Queues: at most one `Persist` is outstanding, and a snapshot is at most `AHEAD_BYTES_MAX` ahead of its file, so the
//! channels are bounded by what is sent through them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::base::{Ticket, Zxid};
use crate::io::{DirectFile, Directory, Error, ErrorKind, FileWriter, Loop, SegmentFile, Waker};
use crate::log::{self, Command};
use crate::replica::{Input, SnapshotCommand};
use crate::zab::Epochs;

use super::epochs::EpochFile;
use super::log_thread::{LogThread, Order};
use super::recovery::{NotInstalled, install};
use super::ring_log::RingLog;
use super::segments::{Preparer, Segment};
use super::sync_times::SyncTimes;

/// What the threads report. A wake-up of the loop follows each.
#[derive(Debug)]
pub enum Done {
    Durable {
        ticket: Ticket,
    },
    /// The active segment that the loop had lent. Not told.
    GivenBack {
        file: Box<DirectFile>,
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
            Done::GivenBack { .. } => unreachable!("the disk keeps it"),
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
    /// The loop's ring writes the log, past the page cache. Not without `force_sync`.
    pub is_direct: bool,
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
    pub(super) settings: Settings,
    commands: Vec<Command>,
    /// None: the log thread writes.
    pub(super) ring: Option<RingLog>,
    to_log: Option<Sender<Order>>,
    /// Parked when it has nothing to do: it is woken for each order.
    log_thread: Thread,
    to_snapshots: Option<Sender<SnapshotCommand>>,
    done: Receiver<Done>,
    /// Not yet handed out.
    pub(super) waited: VecDeque<Done>,
    threads: Vec<JoinHandle<()>>,
    /// Nobody waits for room any more.
    is_ending: Arc<AtomicBool>,
}

/// The next segment's name until it is taken; with a number behind it, a file kept to become one, or on its way out.
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
        mut settings: Settings,
        active: SegmentFile,
        epochs: Option<EpochFile>,
        waker: &Waker,
    ) -> Result<Disk, super::Fatal> {
        let (ring, active) = place(&mut settings, active)?;
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
        let snapshots =
            SnapshotThread { directory: settings.snapshot_directory.clone(), writing: None, report };
        let threads = vec![
            super::spawn("log", move || log.run(&log_orders))?,
            super::spawn("segments", move || preparer.run())?,
            super::spawn("snapshots", move || snapshots.run(&snapshot_commands))?,
        ];
        Ok(Disk {
            settings,
            commands: vec![],
            ring,
            to_log: Some(to_log),
            log_thread: threads[0].thread().clone(),
            to_snapshots: Some(to_snapshots),
            done,
            waited: VecDeque::new(),
            threads,
            is_ending,
        })
    }

    pub fn log(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// `submit` has something to hand over.
    pub fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Hands over what was collected. `io` is the loop that owns this disk, here and below.
    pub fn submit(&mut self, io: &mut Loop) {
        if self.commands.is_empty() {
            return;
        }
        if let Some(ring) = &mut self.ring {
            ring.log(&mut self.commands);
            self.advance(io);
        } else {
            let commands = std::mem::take(&mut self.commands);
            self.order(Order::Commands { lent: None, commands });
        }
    }

    pub(super) fn order(&self, order: Order) {
        let Some(to_log) = &self.to_log else { return };
        to_log.send(order).expect("the log thread outlives the loop, or has reported why not");
        self.log_thread.unpark();
    }

    /// Behind what was logged before: `Done::EpochsDurable` follows. One at a time.
    pub fn persist_epochs(&mut self, io: &mut Loop, epochs: Epochs) {
        self.submit(io);
        if let Some(ring) = &mut self.ring {
            ring.persist_epochs(epochs);
            self.advance(io);
        } else {
            self.order(Order::Epochs(epochs));
        }
    }

    pub fn snapshot(&mut self, command: SnapshotCommand) {
        if let Some(to_snapshots) = &self.to_snapshots {
            to_snapshots.send(command).expect("the snapshot thread outlives the loop");
        }
    }

    pub fn next_done(&mut self, io: &mut Loop) -> Option<Done> {
        if let Some(done) = self.waited.pop_front() {
            return Some(done);
        }
        if self.ring.is_some()
            && let Some(done) = self.next_persisted(io)
        {
            return Some(done);
        }
        loop {
            let done = self.done.try_recv().ok()?;
            if self.ring.is_none() {
                return Some(done);
            }
            if let Some(done) = self.on_done(io, done) {
                return Some(done);
            }
        }
    }

    /// There is something to tell that needs no system call: a wake-up for it may have been taken for another's.
    pub fn has_done(&self) -> bool {
        !self.waited.is_empty() || !self.done.is_empty()
    }

    /// Blocks until there is something to tell, or for `patience`.
    pub fn wait_done(&mut self, io: &mut Loop, patience: Duration) -> Result<(), super::Fatal> {
        if !self.waited.is_empty() {
            return Ok(());
        }
        if io.is_persisting() {
            return io.wait_persisted(patience).map_err(super::Fatal::Io);
        }
        if let Ok(done) = self.done.recv_timeout(patience) {
            let told = if self.ring.is_some() { self.on_done(io, done) } else { Some(done) };
            self.waited.extend(told);
        }
        Ok(())
    }

    /// The last mark, then the threads end. Whatever was handed over is carried out.
    pub fn finish(
        mut self,
        io: &mut Loop,
        replica: &mut crate::replica::Replica,
    ) -> Result<(), super::Fatal> {
        let mut commands = vec![];
        replica.finish(&mut commands);
        self.commands.extend(commands);
        self.end(io).map(|_| ())
    }

    /// The threads end. Whatever was handed over is carried out, but for a snapshot that is not complete. What they
    /// reported of the log is dropped with the log.
    pub fn end(&mut self, io: &mut Loop) -> Result<Left, super::Fatal> {
        self.is_ending.store(true, Ordering::Relaxed);
        self.log_thread.unpark();
        self.submit(io);
        self.drain(io)?;
        self.to_log = None;
        self.log_thread.unpark();
        self.to_snapshots = None;
        for thread in self.threads.drain(..) {
            thread.join().expect("panics abort the process");
        }
        let mut left = Left::default();
        while let Some(done) = self.next_done(io) {
            match done {
                Done::Failed { error } => return Err(super::Fatal::of_log(error)),
                Done::EpochsDurable => left.epochs_durable = true,
                _ => {}
            }
        }
        Ok(left)
    }
}

/// Who writes to the active segment: the loop, or the log thread (whose it is then).
fn place(
    settings: &mut Settings,
    active: SegmentFile,
) -> Result<(Option<RingLog>, Option<Segment>), super::Fatal> {
    if !settings.is_direct {
        return Ok((None, Some(Segment::Mapped(active))));
    }
    let path = active.path().to_owned();
    // Its pages leave the cache, where they would be in the way of direct writes.
    drop(active);
    match DirectFile::open(&path).and_then(DirectFile::try_write) {
        Ok(file) => Ok((Some(RingLog::new(file)), None)),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            tracing::warn!(
                %error,
                "the log is written through memory maps, which takes longer: its file system takes no direct writes, or \
                 preAllocSize is no multiple of 4"
            );
            settings.is_direct = false;
            let active = SegmentFile::open(&path).map_err(super::Fatal::of_log)?;
            Ok((None, Some(Segment::Mapped(active))))
        }
        Err(error) => Err(super::Fatal::of_log(error)),
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

/// What has become of a snapshot that could not be stored.
enum Trouble {
    /// There is none.
    Lost { zxid: Zxid, error: Error },
    /// One from a leader may be there, or its note: the next start would begin behind it, without what is logged from now on.
    InDoubt(Error),
}

struct Writing {
    zxid: Zxid,
    file: FileWriter,
    unsynced: u64,
}

impl SnapshotThread {
    fn run(mut self, commands: &Receiver<SnapshotCommand>) {
        while let Ok(command) = commands.recv() {
            match self.carry_out(command) {
                Ok(()) => {}
                Err(Trouble::Lost { zxid, error }) => {
                    self.abandon();
                    self.report.send(Done::SnapshotFailed { zxid, reason: error.to_string() });
                }
                Err(Trouble::InDoubt(error)) => self.report.send(Done::Failed { error }),
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

    fn carry_out(&mut self, command: SnapshotCommand) -> Result<(), Trouble> {
        let lost = |zxid| move |error| Trouble::Lost { zxid, error };
        match command {
            SnapshotCommand::Create { zxid } => {
                let name = log::snapshot_file_name(zxid);
                let file = self.directory.writer(&name).map_err(lost(zxid))?;
                self.writing = Some(Writing { zxid, file, unsynced: 0 });
            }
            SnapshotCommand::Append { bytes } => {
                // Without a file: its failure is reported, and the replica's answer to that is on its way.
                let Some(writing) = &mut self.writing else { return Ok(()) };
                let zxid = writing.zxid;
                writing.file.append(&bytes).map_err(lost(zxid))?;
                writing.unsynced += bytes.len() as u64;
                if writing.unsynced >= SNAPSHOT_SYNC_BYTES {
                    writing.file.persist().map_err(lost(zxid))?;
                    writing.unsynced = 0;
                }
                self.report.send(Done::SnapshotProgress { bytes: bytes.len() as u64 });
            }
            SnapshotCommand::Complete { zxid } => {
                let Some(writing) = self.writing.take() else { return Ok(()) };
                writing.file.finish().map_err(lost(zxid))?;
                self.report.send(Done::SnapshotWritten { zxid });
            }
            SnapshotCommand::Install { zxid } => {
                let Some(writing) = self.writing.take() else { return Ok(()) };
                install(&self.directory, writing.file, zxid).map_err(|trouble| match trouble {
                    NotInstalled::Lost(error) => Trouble::Lost { zxid, error },
                    NotInstalled::InDoubt(error) => Trouble::InDoubt(error),
                })?;
                self.report.send(Done::SnapshotWritten { zxid });
            }
            SnapshotCommand::Abandon { .. } => self.abandon(),
            SnapshotCommand::RemoveBelow { zxid } => self.remove_below(zxid),
        }
        Ok(())
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
