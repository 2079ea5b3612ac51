//! The disks of the virtual cluster: real bytes in files with sectors that get lost (`sim::disk`), the log thread and the
//! snapshot writer on them.

use super::disk_faults::{Failing, Failure, Stepped};
use super::*;
use crate::log::{EPOCH_FILE, EpochSlots, SnapshotName};
use crate::sim::disk::{Directory, Sync};

pub fn log_settings(salt: u64) -> log::Settings {
    log::Settings {
        segment_bytes: SEGMENT_BYTES,
        first_segment_bytes: 16 << 10,
        group_bytes_max: 8 << 10,
        persists_max: 1,
        salt_seed: salt,
        first_ticket: Ticket(1),
    }
}

pub enum Work {
    Log(Command, Zxid),
    Epochs(Epochs),
}

#[derive(Clone, Copy)]
pub enum Finish {
    Durable(Ticket, Zxid),
    Epochs { epochs: Epochs, is_new: bool },
}

pub enum Step {
    Create(Zxid),
    Append(Bytes),
    Finish { zxid: Zxid, is_received: bool },
    Abandon(Zxid),
    RemoveBelow(Zxid),
}

#[derive(Default)]
pub struct Disk {
    pub log: Directory,
    pub snapshots: Directory,
    queue: VecDeque<Work>,
    pub running: Option<(Finish, Sync)>,
    slots: Option<EpochSlots>,
    /// There was a record of epochs with no log beside it.
    pub epochs_aside: bool,
    pub steps: VecDeque<Step>,
    pub is_stepping: bool,
    pub writing: Option<Zxid>,
    /// The server's own snapshot, from its first byte to its last.
    pub walking: Option<Zxid>,
    /// A test lets no sync of the log end, or no snapshot.
    pub holds_syncs: bool,
    pub holds_snapshots: bool,
    /// The next sync fails.
    pub fails_next: Option<Failing>,
    /// Of a canary: until then all syncs of the log fail.
    pub fails_until: u64,
    /// The end of the next received snapshot fails, behind its name.
    pub fails_install: bool,
    /// There is no room for anything new.
    pub is_full: bool,
    /// The member was told so.
    pub lacks_room: bool,
    /// Until then what it holds can't be read.
    pub unreadable_until: u64,
}

pub fn note_name(zxid: Zxid) -> String {
    format!("received.{:016x}", zxid.0)
}

/// All but the name is durable.
pub fn put_unnamed(directory: &mut Directory, name: &str, bytes: &[u8]) {
    let temporary = format!("{name}.tmp");
    directory.create(&temporary, bytes.len());
    directory.write(&temporary, 0, bytes);
    let sync = directory.begin_sync(Some(&temporary));
    directory.complete(sync);
    directory.rename(&temporary, name);
}

pub fn put(directory: &mut Directory, name: &str, bytes: &[u8]) {
    put_unnamed(directory, name, bytes);
    let sync = directory.begin_sync_names();
    directory.complete(sync);
}

impl Disk {
    pub fn carry_out(&mut self, command: &Command) {
        match command {
            Command::Create { segment, header, bytes } => {
                self.log.create(&segment.file_name(), *bytes as usize);
                self.log.write(&segment.file_name(), 0, header);
            }
            Command::Append { segment, offset, bytes } => {
                self.log.write(&segment.file_name(), *offset as usize, bytes);
            }
            Command::Persist { .. } => {}
            Command::Remove { segment } => self.log.unlink(&segment.file_name()),
        }
    }

    pub fn sync(&mut self) {
        let sync = self.log.begin_sync(None);
        self.log.complete(sync);
    }

    pub fn put_epochs(&mut self, epochs: Epochs) {
        let (slots, image) = EpochSlots::create(epochs.accepted, epochs.current);
        put(&mut self.log, EPOCH_FILE, &image);
        self.slots = Some(slots);
        self.epochs_aside = false;
    }

    /// Begins what can be begun. True if a sync runs now that did not before.
    pub fn pump(&mut self) -> bool {
        while self.running.is_none() {
            match self.queue.pop_front() {
                None => return false,
                Some(Work::Log(Command::Persist { ticket }, zxid)) => {
                    self.running = Some((Finish::Durable(ticket, zxid), self.log.begin_sync(None)));
                    return true;
                }
                Some(Work::Log(command, _)) => self.carry_out(&command),
                Some(Work::Epochs(epochs)) => {
                    let is_new = self.slots.is_none();
                    if let Some(slots) = &mut self.slots {
                        let (offset, record) = slots.change(epochs.accepted, epochs.current);
                        self.log.write(EPOCH_FILE, offset as usize, &record);
                    }
                    let only = (!is_new).then(|| self.log.begin_sync(Some(EPOCH_FILE)));
                    self.running = Some((Finish::Epochs { epochs, is_new }, only.unwrap_or_default()));
                    return true;
                }
            }
        }
        false
    }

    /// What the process had in its memory is gone; `power`: what the kernel had, too.
    pub fn crash(&mut self, power: bool, prng: &mut Prng) {
        self.queue.clear();
        self.running = None;
        self.steps.clear();
        self.is_stepping = false;
        (self.writing, self.walking) = (None, None);
        self.slots = None;
        self.lacks_room = false;
        for directory in [&mut self.log, &mut self.snapshots] {
            if power { directory.lose_power(prng) } else { directory.lose_process(prng) }
        }
    }

    pub fn lose(&mut self, what: Lost) {
        if what.log {
            let names: Vec<String> = self.log.names().map(str::to_owned).collect();
            for name in names.iter().filter(|name| *name != EPOCH_FILE) {
                self.log.unlink(name);
            }
            let sync = self.log.begin_sync_names();
            self.log.complete(sync);
        }
        if what.snapshots {
            self.snapshots = Directory::default();
        }
        if what.epochs {
            self.forget_epochs();
            self.epochs_aside = false;
        }
    }

    /// As `server/recovery.rs` does where there is no log beside them.
    pub fn set_epochs_aside(&mut self) {
        self.epochs_aside |= self.log.read(EPOCH_FILE).is_some();
        self.forget_epochs();
    }

    /// The record is as old as the newest transaction: a start finds nothing wrong with it.
    pub fn recall_epochs(&mut self, epoch: Epoch) {
        if self.log.read(EPOCH_FILE).is_some() {
            self.put_epochs(Epochs { accepted: epoch, current: epoch });
        }
    }

    pub fn forget_epochs(&mut self) {
        if self.log.read(EPOCH_FILE).is_some() {
            self.log.unlink(EPOCH_FILE);
            let sync = self.log.begin_sync_names();
            self.log.complete(sync);
        }
    }

    pub fn snapshot_names(&self) -> Vec<Zxid> {
        let whole = |name: &str| match SnapshotName::parse(name) {
            Some(SnapshotName::Whole(zxid)) => Some(zxid),
            _ => None,
        };
        let mut names: Vec<Zxid> = self.snapshots.names().filter_map(whole).collect();
        names.sort_unstable();
        names
    }

    /// Of what came from a leader and is not behind the log yet.
    pub fn received(&mut self) -> Option<Zxid> {
        let names: Vec<String> = self.snapshots.names().map(str::to_owned).collect();
        let note = |name: &String| i64::from_str_radix(name.strip_prefix("received.")?, 16).ok().map(Zxid);
        let mut newest = None;
        for zxid in names.iter().filter_map(note) {
            if self.snapshots.read(&log::snapshot_file_name(zxid)).is_some() {
                newest = newest.max(Some(zxid));
            } else {
                self.snapshots.unlink(&note_name(zxid));
            }
        }
        newest
    }

    pub fn sync_snapshot_names(&mut self) {
        let sync = self.snapshots.begin_sync_names();
        self.snapshots.complete(sync);
    }
}

impl World {
    pub fn log_command(&mut self, node: usize, command: Command) {
        match &command {
            Command::Append { bytes, .. } => {
                for (zxid, payload) in entries_of(bytes) {
                    self.hash.add(&[node as u64, zxid.0 as u64]);
                    if !self.logged.contains_key(&zxid)
                        && judge::reconfigured(&payload).is_some_and(|config| !self.can_spare(&config, None))
                    {
                        self.is_past_promise = true;
                    }
                    let first = self.logged.entry(zxid).or_insert_with(|| payload.clone());
                    assert!(*first == payload, "server {} logs another transaction as {zxid}", node + 1);
                    self.nodes[node].log.insert(zxid, payload);
                }
            }
            Command::Create { bytes, .. } if *bytes == SEGMENT_BYTES => {
                let life = self.nodes[node].disk_life;
                self.at(500_000, Event::SegmentReady { node, life, is_due: true });
            }
            _ => {}
        }
        let found = &mut self.nodes[node];
        let last = found.log.last_key_value().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        found.disk.queue.push_back(Work::Log(command, last));
        self.pump(node);
    }

    pub fn persist_epochs(&mut self, node: usize, epochs: Epochs) {
        self.nodes[node].disk.queue.push_back(Work::Epochs(epochs));
        self.pump(node);
    }

    pub fn pump(&mut self, node: usize) {
        if !self.nodes[node].disk.pump() {
            return;
        }
        let life = self.nodes[node].disk_life;
        if self.plan.has_bug(Canary::AckBeforeDurable)
            && let Some((Finish::Durable(ticket, _), _)) = self.nodes[node].disk.running
        {
            self.at(1, Event::Lie { node, life, ticket });
        }
        let fails = self.draw_failing(node);
        let mut delay = 50_000 + self.prng.below(2_500_000);
        if self.has_faults && self.plan.faults.slow && self.prng.chance(1, 60) {
            delay += self.prng.below(300_000_000);
        }
        if self.plan.canary == Some(Canary::AckBeforeDurable) {
            delay *= 10;
        }
        let delay = delay * self.nodes[node].slow;
        self.at(delay, Event::Synced { node, life, fails });
    }

    pub fn on_synced(&mut self, node: usize, fails: Option<Failing>) {
        let life = self.nodes[node].disk_life;
        if self.nodes[node].disk.holds_syncs {
            return self.at(500_000, Event::Synced { node, life, fails });
        }
        let found = &mut self.nodes[node];
        let Some((finish, sync)) = found.disk.running.take() else { return };
        if let Some(failing) = found.disk.fails_next.take().or(fails) {
            return self.on_failed(node, finish, sync, failing);
        }
        found.disk.log.complete(sync);
        match finish {
            Finish::Durable(ticket, zxid) => {
                found.durable = found.durable.max(zxid);
                self.pump(node);
                if !self.plan.has_bug(Canary::AckBeforeDurable) {
                    self.tell(node, Input::Durable { ticket });
                }
            }
            Finish::Epochs { epochs, is_new } => {
                if is_new {
                    found.disk.put_epochs(epochs);
                }
                found.epochs = epochs;
                self.pump(node);
                self.peer(node, PeerInput::EpochsDurable);
            }
        }
    }

    pub fn snapshot_command(&mut self, node: usize, command: SnapshotCommand) {
        let walking = &mut self.nodes[node].disk.walking;
        match &command {
            SnapshotCommand::Create { zxid } => *walking = Some(*zxid),
            SnapshotCommand::Complete { .. } | SnapshotCommand::Abandon { .. } => *walking = None,
            _ => {}
        }
        self.nodes[node].disk.steps.push_back(match command {
            SnapshotCommand::Create { zxid } => Step::Create(zxid),
            SnapshotCommand::Append { bytes } => Step::Append(bytes),
            SnapshotCommand::Complete { zxid } => Step::Finish { zxid, is_received: false },
            SnapshotCommand::Install { zxid } => Step::Finish { zxid, is_received: true },
            SnapshotCommand::Abandon { zxid } => Step::Abandon(zxid),
            SnapshotCommand::RemoveBelow { zxid } => Step::RemoveBelow(zxid),
        });
        self.arrange_step(node);
    }

    fn arrange_step(&mut self, node: usize) {
        let found = &mut self.nodes[node];
        if !found.disk.steps.is_empty() && !std::mem::replace(&mut found.disk.is_stepping, true) {
            let (life, slow) = (found.disk_life, found.slow);
            let delay = 10_000 + self.prng.below(2_000_000) * slow;
            self.at(delay, Event::SnapshotStep { node, life });
        }
    }

    pub fn on_snapshot_step(&mut self, node: usize) {
        let failure = self.draw_snapshot_failure(node);
        let disk = &mut self.nodes[node].disk;
        disk.is_stepping = false;
        if disk.holds_snapshots {
            return self.arrange_step(node);
        }
        let step = disk.steps.pop_front().expect("it was arranged");
        let stepped = disk.step(step, failure);
        self.on_stepped(node, stepped, failure);
        self.arrange_step(node);
    }
}

impl Disk {
    pub fn step(&mut self, step: Step, failure: Option<Failure>) -> Stepped {
        if let Some(failure) = failure
            && let Some(stepped) = self.fail_step(&step, failure)
        {
            return stepped;
        }
        let directory = &mut self.snapshots;
        let temporary = self.writing.map(log::snapshot_temporary_name);
        match (step, temporary) {
            (Step::Create(zxid), _) => {
                directory.create(&log::snapshot_temporary_name(zxid), 0);
                self.writing = Some(zxid);
            }
            (Step::Append(bytes), Some(temporary)) => {
                directory.append(&temporary, &bytes);
                return Stepped::Told(Input::SnapshotProgress { bytes: bytes.len() as u64 });
            }
            (Step::Finish { zxid, is_received }, Some(temporary)) => {
                let sync = directory.begin_sync(Some(&temporary));
                directory.complete(sync);
                if is_received {
                    put(directory, &note_name(zxid), &[]);
                }
                directory.rename(&temporary, &log::snapshot_file_name(zxid));
                self.sync_snapshot_names();
                self.writing = None;
                return Stepped::Told(Input::SnapshotDone { zxid });
            }
            // Its failure was reported.
            (Step::Append(_) | Step::Finish { .. }, None) => {}
            (Step::Abandon(zxid), _) => {
                directory.unlink(&log::snapshot_temporary_name(zxid));
                self.writing = None;
            }
            (Step::RemoveBelow(zxid), _) => {
                for older in self.snapshot_names().into_iter().filter(|found| *found < zxid) {
                    self.snapshots.unlink(&log::snapshot_file_name(older));
                }
            }
        }
        Stepped::Quiet
    }
}

/// The records of a group, as the log's format has them.
fn entries_of(group: &[u8]) -> Vec<(Zxid, Bytes)> {
    let (mut at, mut entries) = (64, vec![]);
    while at < group.len() {
        let word = |at: usize| group[at..at + 4].try_into().expect("four bytes");
        let length = u32::from_le_bytes(word(at + 4)) as usize;
        let zxid = Zxid(i64::from_le_bytes(group[at + 8..at + 16].try_into().expect("eight bytes")));
        entries.push((zxid, Bytes::copy_from_slice(&group[at + 20..at + 20 + length])));
        at += 20 + length;
    }
    entries
}
