//! When to take a snapshot, how fast, and what may be deleted after it.
//!
//! A snapshot walks the tree a bounded number of nodes per turn and is paced by a byte budget, so that it costs each
//! turn little; what writes put out of its way (`tree/walk.rs`) goes with them at their pace. What it may be ahead of the file is
//! bounded too. A failed snapshot is never fatal: the log holds all.
//! Tested: snapshots_test.rs, tests/sim.

use std::time::Duration;

use crate::base::{Instant, Prng, Zxid};
use crate::log::SnapshotEncoder;

use super::{Output, Replica, SnapshotCommand};

#[derive(Clone, Debug)]
pub struct Settings {
    /// `snapCount`: a snapshot every snapCount/2 to snapCount transactions, at random, so that the members of an
    /// ensemble don't all take theirs at once.
    pub count: u64,
    /// `snapSizeLimitInKb` in bytes: the same for bytes logged. Zero is off.
    pub log_bytes: u64,
    /// Pace of the walk, in bytes of snapshot per second. Zero is unlimited.
    pub bytes_per_second: u64,
    /// What writes may put out of its way, in bytes, until its next slice takes that along ([`crate::tree::AHEAD_BYTES_MAX`]).
    pub ahead_bytes_max: usize,
    /// `autopurge.snapRetainCount`, if purging is on.
    pub retain: Option<usize>,
    pub seed: u64,
}

/// Bytes that may wait for the file. Above, the walk pauses.
const AHEAD_BYTES_MAX: u64 = 8 << 20;
/// What one turn's walk may write: few enough that nobody's latency shows it.
const SLICE_NODES: usize = 256;
const SLICE_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub struct Snapshots {
    settings: Settings,
    prng: Prng,
    applied_since: u64,
    logged_since: u64,
    due_after: (u64, u64),
    running: Option<Running>,
    /// Finished ones on disk, oldest first.
    finished: Vec<Zxid>,
    /// One was given up, which may have been finished already: the driver may still say so.
    was_abandoned: bool,
    pub written: u64,
    pub failed: u64,
}

#[derive(Debug)]
struct Running {
    zxid: Zxid,
    /// Until the last node is written; then the file's completion is waited for.
    walk: Option<Walk>,
    emitted: u64,
    progress: u64,
}

#[derive(Debug)]
struct Walk {
    encoder: SnapshotEncoder,
    /// What a turn writes, before it is a chunk.
    slice: Vec<u8>,
    started: Instant,
    /// When the next slice is due.
    next: Instant,
}

impl Snapshots {
    pub fn new(settings: Settings, mut finished: Vec<Zxid>) -> Snapshots {
        finished.sort_unstable();
        let prng = Prng::salted(settings.seed, "snapshots");
        let mut snapshots = Snapshots {
            settings,
            prng,
            applied_since: 0,
            logged_since: 0,
            due_after: (0, 0),
            running: None,
            finished,
            was_abandoned: false,
            written: 0,
            failed: 0,
        };
        snapshots.draw();
        snapshots
    }

    fn draw(&mut self) {
        let half = |value: u64, prng: &mut Prng| value / 2 + prng.below(value / 2 + 1);
        self.applied_since = 0;
        self.logged_since = 0;
        self.due_after =
            (half(self.settings.count, &mut self.prng), half(self.settings.log_bytes, &mut self.prng));
    }

    pub fn on_applied(&mut self) {
        self.applied_since += 1;
    }

    pub fn on_logged(&mut self, bytes: u64) {
        self.logged_since += bytes;
    }

    /// Replayed at start: counts as applied since the last snapshot.
    pub fn on_replayed(&mut self, transactions: u64) {
        self.applied_since += transactions;
    }

    pub fn on_progress(&mut self, bytes: u64) {
        if let Some(running) = &mut self.running {
            running.progress += bytes;
        }
    }

    /// An operator wants one: it is due with whatever was applied since the last.
    pub fn want(&mut self) {
        self.due_after.0 = 0;
    }

    /// The newest finished one.
    pub fn newest(&self) -> Option<Zxid> {
        self.finished.last().copied()
    }

    /// Goes on counting what `old` has counted.
    pub fn count_on(&mut self, old: &Snapshots) {
        self.written += old.written;
        self.failed += old.failed;
    }

    pub fn draw_salt(&mut self) -> u64 {
        self.prng.next()
    }

    fn running_zxid(&self) -> Option<Zxid> {
        self.running.as_ref().map(|running| running.zxid)
    }

    fn is_due(&self) -> bool {
        // Something must have been applied: two snapshots at one zxid would be one file.
        self.running.is_none()
            && self.applied_since > 0
            && (self.applied_since > self.due_after.0
                || (self.settings.log_bytes > 0 && self.logged_since > self.due_after.1))
    }

    pub fn next_wakeup(&self, now: Instant) -> Option<Instant> {
        let running = self.running.as_ref()?;
        let walk = running.walk.as_ref()?;
        // Waiting for the file ends with `SnapshotProgress`, not with time.
        (running.emitted - running.progress < AHEAD_BYTES_MAX).then_some(walk.next.max(now))
    }
}

impl Replica {
    /// Takes a snapshot in one of the next turns, if anything was applied since the last one.
    pub fn want_snapshot(&mut self) {
        self.snapshots.want();
    }

    /// One turn's share of the running snapshot; begins one if it is due.
    pub(super) fn continue_snapshot(&mut self, outputs: &mut Vec<Output>) {
        if self.snapshots.is_due() && !self.space_low && self.may_snapshot() {
            self.begin_snapshot(outputs);
        }
        let now = self.now.instant;
        let rate = self.snapshots.settings.bytes_per_second;
        let Some(running) = &mut self.snapshots.running else { return };
        if running.emitted - running.progress >= AHEAD_BYTES_MAX {
            return;
        }
        let Some(walk) = running.walk.as_mut() else { return };
        let store = &mut self.store;
        let ahead = store.ahead_of_snapshot();
        // What writes have put out of their way isn't paced: it would have to be kept.
        let (nodes, bytes_max) = if now >= walk.next {
            (SLICE_NODES, SLICE_BYTES)
        } else if ahead >= SLICE_BYTES {
            (0, 0)
        } else {
            return;
        };
        walk.slice.clear();
        let more = store.continue_snapshot(nodes, bytes_max, &mut walk.slice);
        if !walk.slice.is_empty() {
            // Copied, so that what waits for the file has no room to spare.
            let bytes = walk.encoder.chunk(1, |chunk| chunk.extend_from_slice(&walk.slice));
            running.emitted += bytes.len() as u64;
            outputs.push(Output::Snapshot(SnapshotCommand::Append { bytes }));
        }
        if rate > 0 {
            let nanoseconds = u128::from(running.emitted) * 1_000_000_000 / u128::from(rate);
            walk.next = walk.started + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        }
        if !more && let Some(walk) = running.walk.take() {
            let bytes = walk.encoder.finish();
            running.emitted += bytes.len() as u64;
            outputs.push(Output::Snapshot(SnapshotCommand::Append { bytes }));
            outputs.push(Output::Snapshot(SnapshotCommand::Complete { zxid: running.zxid }));
        }
    }

    fn begin_snapshot(&mut self, outputs: &mut Vec<Output>) {
        let zxid = self.applied;
        let head = self.store.begin_snapshot(&self.sessions.list());
        self.store.bound_ahead_of_snapshot(self.snapshots.settings.ahead_bytes_max);
        let (mut encoder, header) = SnapshotEncoder::new(zxid, self.snapshots.prng.next());
        let head = encoder.chunk(1, |chunk| chunk.extend_from_slice(&head));
        outputs.push(Output::Snapshot(SnapshotCommand::Create { zxid }));
        let emitted = (header.len() + head.len()) as u64;
        outputs.push(Output::Snapshot(SnapshotCommand::Append { bytes: header }));
        outputs.push(Output::Snapshot(SnapshotCommand::Append { bytes: head }));
        let now = self.now.instant;
        let walk = Walk { encoder, slice: vec![], started: now, next: now };
        self.snapshots.running = Some(Running { zxid, walk: Some(walk), emitted, progress: 0 });
        self.snapshots.draw();
        if self.log.can_roll() {
            self.log.roll();
        }
    }

    pub(super) fn on_snapshot_progress(&mut self, bytes: u64) {
        if !self.on_install_progress(bytes) {
            self.snapshots.on_progress(bytes);
        }
    }

    /// Gives up the one that is being taken.
    pub(super) fn abandon_snapshot(&mut self, outputs: &mut Vec<Output>) {
        if let Some(Running { zxid, .. }) = self.snapshots.running.take() {
            self.snapshots.was_abandoned = true;
            self.store.abandon_snapshot();
            outputs.push(Output::Snapshot(SnapshotCommand::Abandon { zxid }));
        }
    }

    fn may_be_late(&self) -> bool {
        self.ensemble.is_some() || self.snapshots.was_abandoned
    }

    pub(super) fn on_snapshot_done(&mut self, zxid: Zxid, outputs: &mut Vec<Output>) {
        if self.on_install_done(zxid, outputs) {
            return;
        }
        if self.may_be_late() && self.snapshots.running_zxid() != Some(zxid) {
            // Given up when it was finished already.
            return;
        }
        assert_eq!(self.snapshots.running_zxid(), Some(zxid), "a snapshot is done that nobody takes");
        self.snapshots.running = None;
        self.snapshots.written += 1;
        self.snapshots.finished.push(zxid);
        tracing::info!(%zxid, "snapshot written");
        // The newest one always stays: the log behind it needs it.
        let Some(retain) = self.snapshots.settings.retain.map(|retain| retain.max(1)) else { return };
        let finished = &mut self.snapshots.finished;
        if finished.len() > retain {
            finished.drain(..finished.len() - retain);
            let oldest = finished[0];
            outputs.push(Output::Snapshot(SnapshotCommand::RemoveBelow { zxid: oldest }));
            let mut commands = vec![];
            self.log.purge(oldest, &mut commands);
            outputs.extend(commands.into_iter().map(Output::Log));
        }
    }

    pub(super) fn on_snapshot_failed(&mut self, zxid: Zxid, reason: &str, outputs: &mut Vec<Output>) {
        if self.on_install_failed(zxid, reason, outputs) {
            return;
        }
        if self.may_be_late() && self.snapshots.running_zxid() != Some(zxid) {
            return;
        }
        assert_eq!(self.snapshots.running_zxid(), Some(zxid), "a snapshot fails that nobody takes");
        self.snapshots.running = None;
        self.snapshots.failed += 1;
        self.store.abandon_snapshot();
        tracing::error!(%zxid, reason, "snapshot failed; the log holds everything, the next one will be tried in its time");
        outputs.push(Output::Snapshot(SnapshotCommand::Abandon { zxid }));
    }
}

#[cfg(test)]
#[path = "snapshots_test.rs"]
mod tests;
