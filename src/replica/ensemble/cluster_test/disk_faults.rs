//! What goes wrong with the disks of the virtual cluster, by kind, and what the server does then (`server/disk.rs`,
//! `server/recovery.rs`):
//!
//! | what | the server |
//! |---|---|
//! | a write or sync of the log or of the epochs fails, whole or torn | ends (exit status 4), and starts on what is there |
//! | a piece of a snapshot fails, or its name | goes on without it; as a learner it leaves its leader |
//! | the same behind the name of a received snapshot | ends: a start knows what goes on where |
//! | no room for the next segment | leaves its role until there is room |
//! | no room at a start, or when it is made anew from its disk | ends (3), until there is room |
//! | no room for a snapshot | as a piece that fails |
//! | files can't be read at a start, or when it is made anew | ends, as often as it is started |
//!
//! Who has ended is started again soon, as by a supervisor.

use super::disk::{Finish, Step, note_name, put, put_unnamed};
use super::*;
use crate::log::{EPOCH_FILE, EpochSlots};
use crate::sim::disk::Sync;

/// How often it is looked whether there is room for the next segment.
const SPACE_RETRY: u64 = 20_000_000;

/// How a write or sync of the log or of the epochs fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Nothing of it is there, and all reads back as if it were.
    Nothing,
    /// Some of it is there, and the rest reads back as if it were.
    Scattered,
    /// A beginning of it is there, torn within a sector.
    Torn,
}

/// How a step of a snapshot fails.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    pub reason: &'static str,
    /// Of what ends a snapshot: behind its name, which is not durable.
    pub is_late: bool,
}

/// What came of a step of a snapshot.
pub enum Stepped {
    Quiet,
    Told(Input),
    /// The process has ended.
    Ended,
}

/// How a start ends early, or a member's being made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Power goes in the middle of the repair.
    Power,
    /// Something can't be read: the first file, or the last.
    Unreadable { is_late: bool },
    /// For the first segment, or for the epochs at last.
    NoRoom { is_late: bool },
}

/// What the runs are to have had, each.
pub const KINDS: [&str; 22] = [
    "a process dies",
    "power is lost",
    "power is lost by all",
    "a cut",
    "a connection breaks",
    "a process stands still",
    "a slow server",
    "a skewed clock",
    "a disk is wiped",
    "a disk is lost in part",
    "a session is left alone",
    "a reconfiguration",
    "the log: failed",
    "the log: torn",
    "the epochs: failed",
    "a snapshot: failed",
    "a snapshot: no room",
    "a received snapshot: failed behind its name",
    "a segment: no room",
    "a start: unreadable",
    "a start: no room",
    "made anew, and ended",
];

impl World {
    /// One more of these has happened.
    pub fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    /// Of the sync that has begun.
    pub fn draw_failing(&mut self, node: usize) -> Option<Failing> {
        let faults = self.plan.faults.disk;
        let disk = &self.nodes[node].disk;
        let (is_on, odds) = match disk.running {
            Some((Finish::Epochs { .. }, _)) => (faults.epochs, 40),
            _ if self.now < disk.fails_until => return Some(Failing::Nothing),
            _ => (faults.log, if self.plan.canary.is_some() { 100 } else { 400 }),
        };
        let fails = self.has_faults && is_on && self.prng.chance(1, odds);
        let kinds = [Failing::Nothing, Failing::Scattered, Failing::Torn];
        fails.then(|| kinds[self.prng.below(3) as usize])
    }

    /// It is fatal, and never tried again.
    pub fn on_failed(&mut self, node: usize, finish: Finish, sync: Sync, failing: Failing) {
        let disk = &mut self.nodes[node].disk;
        match (finish, failing) {
            (Finish::Epochs { epochs, is_new: true }, _) => {
                let (_, image) = EpochSlots::create(epochs.accepted, epochs.current);
                if self.prng.chance(1, 2) {
                    put_unnamed(&mut disk.log, EPOCH_FILE, &image);
                }
            }
            (_, Failing::Nothing) => disk.log.forget(sync),
            (_, Failing::Scattered) => disk.log.fail(sync, &mut self.prng),
            (_, Failing::Torn) => disk.log.tear(sync, &mut self.prng),
        }
        self.count(match (finish, failing) {
            (Finish::Epochs { .. }, _) => "the epochs: failed",
            (Finish::Durable(..), Failing::Torn) => "the log: torn",
            (Finish::Durable(..), _) => "the log: failed",
        });
        if self.plan.canary == Some(Canary::FailedSyncIgnored)
            && self.now >= self.nodes[node].disk.fails_until
        {
            self.break_down(node);
        }
        if self.plan.has_bug(Canary::FailedSyncIgnored)
            && let Finish::Durable(ticket, _) = finish
        {
            self.pump(node);
            return self.tell(node, Input::Durable { ticket });
        }
        self.end_process(node);
    }

    /// Of a canary's run: its disk takes nothing for a while, one misses what is written then, and when its host has no power any
    /// more, who has that is away.
    fn break_down(&mut self, node: usize) {
        let count = self.nodes.len();
        let (late, away) = ((node + 1) % count, (node + 2) % count);
        self.nodes[node].disk.fails_until = self.now + 20_000_000;
        self.isolate(late, 200_000_000);
        self.at(20_000_000, Event::Crash { node, power: true });
        self.at(20_000_000, Event::Crash { node: away, power: false });
        self.at(150_000_000, Event::Start { node });
        self.at(1_500_000_000, Event::Start { node: away });
    }

    /// It has said why, and a supervisor starts it again.
    fn end_process(&mut self, node: usize) {
        self.crash(node, false);
        let delay = self.prng.below(300_000_000);
        self.at(delay, Event::Start { node });
    }

    /// Of the step that is next.
    pub fn draw_snapshot_failure(&mut self, node: usize) -> Option<Failure> {
        let disk = &mut self.nodes[node].disk;
        if let Some(Step::Finish { is_received: true, .. }) = disk.steps.front()
            && !disk.holds_snapshots
            && std::mem::take(&mut disk.fails_install)
        {
            return Some(Failure { reason: "input/output error", is_late: true });
        }
        // Few are received.
        let is_rare = matches!(disk.steps.front(), Some(Step::Finish { is_received: true, .. }));
        let odds = if is_rare { 6 } else { 60 };
        let breaks = self.has_faults && self.plan.faults.disk.snapshots && self.prng.chance(1, odds);
        let is_full = self.nodes[node].disk.is_full;
        if !is_full && !breaks {
            return None;
        }
        let reason = if is_full { "no space left on device" } else { "input/output error" };
        Some(Failure { reason, is_late: self.prng.chance(1, 2) })
    }

    pub fn on_stepped(&mut self, node: usize, stepped: Stepped, failure: Option<Failure>) {
        match stepped {
            Stepped::Quiet => {}
            Stepped::Told(input) => {
                if let Input::SnapshotFailed { .. } = input {
                    let is_full = failure.is_some_and(|failure| failure.reason.starts_with("no space"));
                    self.count(if is_full { "a snapshot: no room" } else { "a snapshot: failed" });
                }
                self.tell(node, input);
            }
            Stepped::Ended => {
                self.count("a received snapshot: failed behind its name");
                self.end_process(node);
            }
        }
    }

    pub fn on_space(&mut self, node: usize, is_low: bool) {
        self.nodes[node].disk.is_full = is_low;
        // Who makes segments was at work just then; otherwise it is noticed with the next one.
        if is_low && self.prng.chance(1, 3) {
            let life = self.nodes[node].disk_life;
            self.at(0, Event::SegmentReady { node, life, is_due: false });
        }
    }

    /// The next segment is there, if one was due and there is room.
    pub fn on_segment(&mut self, node: usize, is_due: bool) {
        let (life, disk) = (self.nodes[node].disk_life, &mut self.nodes[node].disk);
        if disk.is_full {
            let is_news = !std::mem::replace(&mut disk.lacks_room, true);
            self.at(SPACE_RETRY, Event::SegmentReady { node, life, is_due });
            if is_news {
                self.count("a segment: no room");
                self.tell(node, Input::SpaceLow);
            }
            return;
        }
        let is_news = std::mem::take(&mut disk.lacks_room);
        if is_due {
            self.tell(node, Input::SegmentReady);
        }
        if is_news && self.nodes[node].disk_life == life {
            self.tell(node, Input::SpaceBack);
        }
    }

    /// Whether a start, or a member's being made anew, comes to its end.
    pub fn draw_mishap(&mut self, node: usize) -> Option<Mishap> {
        let disk = &self.nodes[node].disk;
        if self.now < disk.unreadable_until {
            self.count("a start: unreadable");
            return Some(Mishap::Unreadable { is_late: self.prng.chance(1, 2) });
        }
        if disk.is_full && self.prng.chance(1, 2) {
            self.count("a start: no room");
            return Some(Mishap::NoRoom { is_late: self.prng.chance(1, 2) });
        }
        let dies = self.has_faults && self.plan.faults.crash && self.prng.chance(1, 8);
        dies.then_some(Mishap::Power)
    }

    /// It was to be made anew from its disk, and that could not be.
    pub fn end_made_anew(&mut self, node: usize) {
        self.count("made anew, and ended");
        self.end_process(node);
    }
}

impl Disk {
    /// `None`: nothing that can fail.
    pub fn fail_step(&mut self, step: &Step, failure: Failure) -> Option<Stepped> {
        let Failure { reason, is_late } = failure;
        let (zxid, is_received) = match step {
            Step::Create(zxid) => (*zxid, false),
            Step::Append(_) => (self.writing?, false),
            Step::Finish { zxid, is_received } => (self.writing.and(Some(*zxid))?, *is_received),
            Step::Abandon(_) | Step::RemoveBelow(_) => return None,
        };
        let directory = &mut self.snapshots;
        let temporary = log::snapshot_temporary_name(zxid);
        self.writing = None;
        if let (Step::Finish { .. }, true) = (step, is_late) {
            let sync = directory.begin_sync(Some(&temporary));
            directory.complete(sync);
            if is_received {
                put(directory, &note_name(zxid), &[]);
            }
            directory.rename(&temporary, &log::snapshot_file_name(zxid));
            if is_received {
                return Some(Stepped::Ended);
            }
        } else {
            directory.unlink(&temporary);
        }
        Some(Stepped::Told(Input::SnapshotFailed { zxid, reason: reason.to_owned() }))
    }
}
