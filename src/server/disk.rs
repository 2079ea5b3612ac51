//! The threads that own files: one for the log, one for snapshots, one that prepares the next segment.
//!
//! The loop hands commands over and never waits. The log thread carries them out in order: stores into the mapped
//! segment, one `fdatasync` per `Persist`, one answer. Making a segment (zeroing, syncing, mapping) takes long and
//! is done ahead, by the preparer; a segment that is no longer needed becomes the next spare instead of being zeroed
//! again. Snapshots are synced piece by piece, so that a big one doesn't stand between the log and the disk at its end.
//!
//! When the disk is full no spare can be made: the replica is told (`SpaceLow`) while the active segment has room for
//! everything proposed; when one could be made, `SpaceBack`. A failed sync is fatal and never retried.
//! Queues: at most one `Persist` is outstanding, and a snapshot is at most `AHEAD_BYTES_MAX` ahead of its file, so the
//! channels are bounded by what is sent through them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use crate::base::{Ticket, Zxid};
use crate::io::{Clock, Directory, Error, FileWriter, SegmentFile, Waker};
use crate::log::{self, Command, SegmentId};
use crate::replica::{Input, SnapshotCommand};

/// What the threads report. A wake-up of the loop follows each.
#[derive(Debug)]
pub enum Done {
    Durable {
        ticket: Ticket,
    },
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
            Done::SpaceLow => Input::SpaceLow,
            Done::SpaceBack => Input::SpaceBack,
            Done::SnapshotProgress { bytes } => Input::SnapshotProgress { bytes },
            Done::SnapshotWritten { zxid } => Input::SnapshotDone { zxid },
            Done::SnapshotFailed { zxid, reason } => Input::SnapshotFailed { zxid, reason },
            Done::Failed { .. } => unreachable!("the drivers end the server first"),
        }
    }
}

/// How the log did, for `mntr` and `fsync.warningthresholdms`.
#[derive(Debug, Default)]
pub struct SyncTimes {
    pub count: AtomicU64,
    pub micros_sum: AtomicU64,
    pub micros_min: AtomicU64,
    pub micros_max: AtomicU64,
    pub over_threshold: AtomicU64,
}

impl SyncTimes {
    /// `srst`.
    pub fn reset(&self) {
        for counter in
            [&self.count, &self.micros_sum, &self.micros_min, &self.micros_max, &self.over_threshold]
        {
            counter.store(0, Relaxed);
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
}

/// The loop's end of the threads.
pub struct Disk {
    commands: Vec<Command>,
    to_log: Option<Sender<Vec<Command>>>,
    to_snapshots: Option<Sender<SnapshotCommand>>,
    done: Receiver<Done>,
    /// Taken by `wait_done`, not yet handed out.
    waited: Option<Done>,
    threads: Vec<JoinHandle<()>>,
    pub sync_times: Arc<SyncTimes>,
}

/// The next segment's name until it is taken; with a number behind it, a file kept to become one.
pub const SPARE: &str = "segment.spare";
/// Files kept to be used again: what one purge sets free at a time, within reason.
const OLD_SEGMENTS_MAX: usize = 4;
/// How often the preparer looks whether the disk has room again.
const SPACE_RETRY: Duration = Duration::from_secs(1);
/// A snapshot is synced each time this much was written.
const SNAPSHOT_SYNC_BYTES: u64 = 2 << 20;

impl Disk {
    /// Starts the threads. `active` is the segment that the repair made.
    pub fn start(settings: Settings, active: SegmentFile, waker: &Waker) -> Result<Disk, super::Fatal> {
        let (done_in, done) = unbounded();
        let (to_log, log_commands) = unbounded();
        let (to_snapshots, snapshot_commands) = unbounded();
        let (orders, preparer_orders) = unbounded();
        let (spares_in, spares) = unbounded();
        let sync_times = Arc::new(SyncTimes::default());
        let report = Report { done: done_in, waker: waker.clone() };

        let log = LogThread {
            settings: settings.clone(),
            active,
            orders,
            spares,
            report: report.clone(),
            times: sync_times.clone(),
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
            super::spawn("log", move || log.run(&log_commands))?,
            super::spawn("segments", move || preparer.run())?,
            super::spawn("snapshots", move || snapshots.run(&snapshot_commands))?,
        ];
        Ok(Disk {
            commands: vec![],
            to_log: Some(to_log),
            to_snapshots: Some(to_snapshots),
            done,
            waited: None,
            threads,
            sync_times,
        })
    }

    pub fn log(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// Hands the log thread what was collected.
    pub fn submit(&mut self) {
        if !self.commands.is_empty()
            && let Some(to_log) = &self.to_log
        {
            let commands = std::mem::take(&mut self.commands);
            to_log.send(commands).expect("the log thread outlives the loop, or has reported why not");
        }
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
        self.submit();
        self.to_log = None;
        self.to_snapshots = None;
        for thread in self.threads.drain(..) {
            thread.join().expect("panics abort the process");
        }
        while let Some(done) = self.next_done() {
            if let Done::Failed { error } = done {
                return Err(super::Fatal::Log(error));
            }
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Report {
    done: Sender<Done>,
    waker: Waker,
}

impl Report {
    fn send(&self, done: Done) {
        // A loop that is gone needs no report.
        let _ = self.done.send(done);
        self.waker.wake();
    }
}

struct LogThread {
    settings: Settings,
    active: SegmentFile,
    orders: Sender<Order>,
    spares: Receiver<SegmentFile>,
    report: Report,
    times: Arc<SyncTimes>,
}

impl LogThread {
    fn run(mut self, commands: &Receiver<Vec<Command>>) {
        while let Ok(batch) = commands.recv() {
            for command in batch {
                if let Err(error) = self.carry_out(command) {
                    self.report.send(Done::Failed { error });
                    return;
                }
            }
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Create { segment, header, bytes } => self.create(segment, &header, bytes),
            Command::Append { offset, bytes, .. } => {
                self.active.write_at(offset, &bytes);
                Ok(())
            }
            Command::Persist { ticket } => {
                self.sync_active()?;
                self.report.send(Done::Durable { ticket });
                Ok(())
            }
            Command::Remove { segment } => {
                let _ = self.orders.send(Order::Discard(segment));
                Ok(())
            }
        }
    }

    fn create(&mut self, segment: SegmentId, header: &[u8], bytes: u64) -> Result<(), Error> {
        let name = segment.file_name();
        // What was stored in the old segment must be durable by the next persist, which will be the new one's.
        self.sync_active()?;
        let mut file = self.prepared(&name, bytes)?;
        file.write_at(0, header);
        self.active = file;
        Ok(())
    }

    /// The spare if it fits, else a new file, waiting for room if there is none: nothing is acknowledged meanwhile.
    fn prepared(&mut self, name: &str, bytes: u64) -> Result<SegmentFile, Error> {
        if bytes == self.settings.segment_bytes
            && let Ok(mut spare) = self.spares.try_recv()
        {
            spare.rename(&self.settings.log_directory, name)?;
            let _ = self.orders.send(Order::Prepare);
            return Ok(spare);
        }
        loop {
            match SegmentFile::create(&self.settings.log_directory.path_of(name), bytes) {
                Ok(file) => return Ok(file),
                Err(error) if error.is_space() => {
                    tracing::error!(%error, "the log waits for room on the disk");
                    self.report.send(Done::SpaceLow);
                    match self.spares.recv_timeout(SPACE_RETRY) {
                        Ok(mut spare) if bytes <= self.settings.segment_bytes => {
                            spare.rename(&self.settings.log_directory, name)?;
                            let _ = self.orders.send(Order::Prepare);
                            return Ok(spare);
                        }
                        Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn sync_active(&mut self) -> Result<(), Error> {
        if !self.settings.force_sync {
            return Ok(());
        }
        let started = Clock::instant();
        self.active.persist()?;
        let took = Clock::instant().since(started);
        let micros = took.as_micros() as u64;
        if self.times.count.fetch_add(1, Relaxed) == 0 {
            self.times.micros_min.store(micros, Relaxed);
        }
        self.times.micros_min.fetch_min(micros, Relaxed);
        self.times.micros_sum.fetch_add(micros, Relaxed);
        self.times.micros_max.fetch_max(micros, Relaxed);
        if took > self.settings.sync_warning {
            self.times.over_threshold.fetch_add(1, Relaxed);
            tracing::warn!(
                took_ms = took.as_millis() as u64,
                file = %self.active.path().display(),
                "syncing the transaction log took long: write latency and sessions suffer; is the disk shared or failing?"
            );
        }
        Ok(())
    }
}

/// What the preparer is asked for.
enum Order {
    /// A spare was taken: make the next.
    Prepare,
    /// Needed no more.
    Discard(SegmentId),
}

/// Makes the next segment before it is needed: of one that is needed no more, or anew.
struct Preparer {
    settings: Settings,
    orders: Receiver<Order>,
    spares: Sender<SegmentFile>,
    report: Report,
}

impl Preparer {
    fn run(self) {
        let directory = &self.settings.log_directory;
        let mut old: Vec<String> = vec![];
        let mut wanted = true;
        let mut low = false;
        loop {
            if wanted {
                match self.prepare(&mut old) {
                    Ok(file) => {
                        wanted = false;
                        let _ = self.spares.send(file);
                        if std::mem::take(&mut low) {
                            tracing::info!("there is room on the disk again: writes are accepted");
                            self.report.send(Done::SpaceBack);
                        }
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut low, true) {
                            tracing::error!(
                                %error,
                                "no room for the next log segment: writes are refused until there is; free space in the log directory"
                            );
                            self.report.send(Done::SpaceLow);
                        }
                    }
                }
            }
            let order = if wanted {
                self.orders.recv_timeout(SPACE_RETRY)
            } else {
                self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match order {
                Ok(Order::Prepare) => wanted = true,
                Ok(Order::Discard(segment)) => {
                    if let Err(error) = self.discard(segment, &mut old) {
                        tracing::warn!(%error, "a log segment that is no longer needed stays");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // The spare, if nobody took it, and what was kept for the next ones.
        for name in old.iter().map(String::as_str).chain([SPARE]) {
            let _ = directory.remove(&[name]);
        }
    }

    fn prepare(&self, old: &mut Vec<String>) -> Result<SegmentFile, Error> {
        let directory = &self.settings.log_directory;
        if let Some(name) = old.pop() {
            directory.rename(&name, SPARE)?;
            return SegmentFile::reuse(&directory.path_of(SPARE));
        }
        let made = SegmentFile::create(&directory.path_of(SPARE), self.settings.segment_bytes);
        if made.is_err() {
            let _ = directory.remove(&[SPARE]);
        }
        made
    }

    /// Keeps a few files of the right size to be used again, which spares zeroing; their records are of another salt.
    fn discard(&self, segment: SegmentId, old: &mut Vec<String>) -> Result<(), Error> {
        let directory = &self.settings.log_directory;
        let name = segment.file_name();
        let bytes = directory.list()?.into_iter().find(|entry| entry.name == name).map(|entry| entry.bytes);
        if old.len() < OLD_SEGMENTS_MAX && bytes == Some(self.settings.segment_bytes) {
            let kept = format!("{SPARE}.{}", segment.0);
            directory.rename(&name, &kept)?;
            old.push(kept);
            return Ok(());
        }
        directory.remove(&[&name])
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
