//! Crashes the log at every command, again while it is repaired, and looks at what comes back.
//!
//! The checker knows what was appended and what was acknowledged, and nothing of the format: acknowledged entries are there,
//! in order, byte for byte; nothing else is but a prefix of what was appended behind them; reading twice gives the same. Bugs put
//! into the harness on purpose must be caught, or the checker is worth nothing.

use super::model_disk::ModelDisk;
use super::*;
use crate::base::{Prng, Zxid};
use crate::log::entry::{GROUP_HEADER_BYTES, RECORD_HEADER_BYTES};
use crate::log::segment::{GROUPS_OFFSET, u32_at, u64_at};

/// Mistakes that the checker has to catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Acknowledges when a group is handed to the disk.
    AcknowledgeBeforeDurable,
    /// Reports a persist that it skipped.
    SkipPersist,
    /// Goes on from what it read, without the repair.
    TrustPageCache,
    /// Carries the cleanup out before the repair is persisted.
    CleanupFirst,
    /// Believes the lengths in a group and no checksum.
    AcceptTornTail,
    /// Believes every whole record, whichever segment's.
    IgnoreSalt,
}

#[derive(Clone)]
struct World {
    bug: Bug,
    prng: Prng,
    disk: ModelDisk,
    settings: Settings,
    /// Appended since `base`, in order.
    history: Vec<(Zxid, Vec<u8>)>,
    base: Zxid,
    /// As many of `history` must survive.
    required: usize,
    /// As many of `history` were handed to the disk.
    stored: usize,
    /// No snapshot is older.
    oldest_snapshot: Zxid,
    starts: u64,
    crashes: u64,
}

/// Why a run failed.
type Verdict<T> = Result<T, String>;

impl World {
    fn new(seed: u64, bug: Bug) -> World {
        let mut prng = Prng::salted(seed, "log crash test");
        let settings = Settings {
            segment_bytes: 8192 << prng.below(4),
            first_segment_bytes: 8192 << prng.below(3),
            group_bytes_max: 4096,
            persists_max: 1 + prng.below(3) as usize,
            salt_seed: 0,
            first_ticket: Ticket(1),
        };
        World {
            bug,
            disk: ModelDisk::new(prng.chance(3, 4)),
            prng,
            settings,
            history: Vec::new(),
            base: Zxid::ZERO,
            required: 0,
            stored: 0,
            oldest_snapshot: Zxid::ZERO,
            starts: 0,
            crashes: 0,
        }
    }

    fn zxid_of(&self, count: usize) -> Zxid {
        if count == 0 { self.base } else { self.history[count - 1].0 }
    }

    /// Any snapshot that may be the newest one.
    fn snapshot(&mut self) -> Zxid {
        let count = self.prng.below(self.required as u64 + 1) as usize;
        self.zxid_of(count).max(self.oldest_snapshot)
    }

    fn settings(&mut self) -> Settings {
        self.starts += 1;
        Settings { salt_seed: self.prng.next(), first_ticket: Ticket(self.starts * 1000), ..self.settings }
    }

    /// What the disk holds now must be right. Returns how much of `history` it holds.
    fn check(&mut self, snapshot: Zxid) -> Verdict<usize> {
        let settings = self.settings();
        let images = self.disk.images();
        let recovered = recover(&settings, &images, snapshot)
            .map_err(|fault| format!("refused after a mere crash: {fault}"))?;
        let again =
            recover(&settings, &images, snapshot).map_err(|fault| format!("the second time: {fault}"))?;
        if recovered.entries != again.entries || recovered.repair != again.repair {
            return Err("reading twice gives two results".into());
        }
        let naively = matches!(self.bug, Bug::AcceptTornTail | Bug::IgnoreSalt);
        let naive = if naively { read_naively(self.bug, &images, snapshot) } else { Vec::new() };
        let entries = if naively { &naive } else { &recovered.entries };
        let covered = self.history.iter().filter(|(zxid, _)| *zxid <= snapshot).count();
        for (entry, (zxid, payload)) in entries.iter().zip(&self.history[covered..]) {
            if entry.zxid != *zxid || entry.payload != payload {
                return Err(format!("garbage: {} came back as {}, or with other bytes", zxid, entry.zxid));
            }
        }
        let count = covered + entries.len();
        if count > self.stored {
            return Err(format!("garbage: {count} entries came back of {} stored", self.stored));
        }
        if count < self.required {
            return Err(format!("lost: {count} entries came back, {} were acknowledged", self.required));
        }
        let count = covered + recovered.entries.len();
        let last = self.zxid_of(count).max(snapshot);
        if recovered.last_zxid != last {
            return Err(format!("the last zxid is {}, not {last}", recovered.last_zxid));
        }
        Ok(count)
    }

    /// A copy of the world loses power here, or its process dies, and it has to come back.
    fn fork(&self, depth: u32) -> Verdict<()> {
        for power_loss in [true, true, false] {
            let mut world = self.clone();
            world.crashes += 1;
            world.prng = Prng::new(world.prng.next() ^ self.crashes ^ u64::from(power_loss));
            if power_loss {
                world.disk.crash(&mut world.prng)
            } else {
                world.disk.kill()
            }
            let mut writer = world.start(None, depth)?;
            world.append(&mut writer, 2);
            for command in world.seal(&mut writer).unwrap_or_default() {
                world.disk.carry_out(&command);
            }
            world.complete(&mut writer);
            world.disk.crash(&mut world.prng);
            let snapshot = world.snapshot();
            world.check(snapshot)?;
        }
        Ok(())
    }

    /// Recovery, repair, cleanup, with `depth` more crashes within. `to`: truncates there.
    fn start(&mut self, to: Option<usize>, depth: u32) -> Verdict<Writer> {
        let snapshot = self.snapshot().min(to.map_or(Zxid(i64::MAX), |to| self.zxid_of(to)));
        let count = self.check(snapshot)?;
        let settings = self.settings();
        let images = self.disk.images();
        let recovered = match to {
            None => recover(&settings, &images, snapshot),
            Some(to) => truncate(&settings, &images, snapshot, self.zxid_of(to)),
        };
        let Recovered { mut repair, repaired, cleanup, resume, last_zxid, .. } =
            recovered.map_err(|fault| fault.to_string())?;
        let kept = to.unwrap_or(count);
        if last_zxid != self.zxid_of(kept).max(snapshot) {
            return Err(format!("asked to keep {kept} entries, but the last zxid is {last_zxid}"));
        }
        self.required = self.required.min(kept);
        if self.bug == Bug::CleanupFirst {
            let persist = repair.pop().expect("it ends with the persist");
            repair.extend(cleanup.iter().cloned());
            repair.push(persist);
        }
        if self.bug == Bug::TrustPageCache {
            let mut world = self.clone();
            world.required = count;
            world.disk.crash(&mut world.prng);
            let snapshot = world.snapshot();
            world.check(snapshot)?;
        }
        for command in &repair {
            self.disk.carry_out(command);
            if depth > 0 {
                self.fork(depth - 1)?;
            }
        }
        assert_eq!(self.disk.complete(), repaired);
        if self.settings.persists_max > 1 {
            self.oldest_snapshot = self.oldest_snapshot.max(snapshot); // see the header of recovery.rs
        }
        self.history.truncate(kept);
        self.required = kept;
        self.stored = kept;
        if self.bug != Bug::CleanupFirst {
            for command in &cleanup {
                if depth > 0 {
                    self.fork(depth - 1)?;
                }
                self.disk.carry_out(command);
            }
        }
        Ok(Writer::new(settings, resume))
    }

    fn append(&mut self, writer: &mut Writer, count: u64) {
        for _ in 0..count {
            let zxid = Zxid(writer.proposed_zxid().0 + 1 + i64::from(self.prng.chance(1, 20)) * 1000);
            let payload = self.payload();
            let range = writer.append(zxid, |buffer| buffer.extend_from_slice(&payload));
            assert_eq!(writer.open_payload(range), payload);
            self.history.push((zxid, payload));
        }
    }

    fn payload(&mut self) -> Vec<u8> {
        let bytes = match self.prng.below(20) {
            0 => 1000 + self.prng.below(9000),
            1 => 0,
            2..=9 => 100,
            _ => self.prng.below(300),
        } as usize;
        if self.prng.chance(1, 8) && bytes > 0 {
            // Somebody stores pieces of this very log.
            let images = self.disk.images();
            let image = images[self.prng.below(images.len() as u64) as usize].bytes;
            let start = self.prng.below(image.len() as u64) as usize / 8 * 8;
            return image[start..(start + bytes).min(image.len())].to_vec();
        }
        (0..bytes).map(|_| self.prng.next() as u8).collect()
    }

    fn seal(&mut self, writer: &mut Writer) -> Option<Vec<Command>> {
        let mut commands = Vec::new();
        let sealed = writer.seal(&mut commands)?;
        let from = self.history.iter().position(|(zxid, _)| *zxid == sealed.first).expect("appended");
        for ((entry, _), (zxid, payload)) in sealed.entries().zip(&self.history[from..]) {
            assert_eq!((entry.zxid, entry.payload), (*zxid, &payload[..]));
        }
        self.stored = from + sealed.count as usize;
        assert_eq!(self.stored, self.history.len());
        if self.bug == Bug::AcknowledgeBeforeDurable {
            self.required = self.stored;
        }
        Some(commands)
    }

    fn complete(&mut self, writer: &mut Writer) {
        let Some(ticket) = self.disk.outstanding() else { return };
        if self.bug == Bug::SkipPersist {
            self.disk.kill(); // forgets the persists, and the active segment
            self.disk.activate(writer.active_segment().0);
        } else {
            assert_eq!(self.disk.complete(), ticket);
        }
        let durable = writer.on_durable(ticket);
        self.required = self.history.iter().filter(|(zxid, _)| *zxid <= durable).count();
    }

    /// Carries commands out one by one, with a crash in a copy of the world after each.
    fn carry_out(&mut self, commands: &[Command]) -> Verdict<()> {
        for command in commands {
            self.disk.carry_out(command);
            self.crashes += 1;
            self.fork(1)?;
        }
        Ok(())
    }

    fn run(&mut self, steps: u32) -> Verdict<()> {
        let mut writer = self.start(None, 1)?;
        for _ in 0..steps {
            let mut commands = Vec::new();
            match self.prng.below(100) {
                0..30 => {
                    let count = 1 + self.prng.below(4);
                    self.append(&mut writer, count);
                }
                30..55 => commands = self.seal(&mut writer).unwrap_or_default(),
                55..75 => self.complete(&mut writer),
                75..78 => writer.roll(),
                78..82 => {
                    self.oldest_snapshot = self.snapshot();
                    writer.purge(self.oldest_snapshot, &mut commands);
                }
                82..86 => {
                    writer.prove(&mut commands);
                }
                86..88 => {
                    if writer.finish(&mut commands).is_some() {
                        self.carry_out(&commands)?;
                        commands.clear();
                        self.complete(&mut writer);
                    }
                }
                88..91 => {
                    self.disk.crash(&mut self.prng);
                    writer = self.start(None, 2)?;
                }
                91..94 => {
                    self.disk.kill();
                    writer = self.start(None, 2)?;
                }
                94..96 => {
                    if self.disk.outstanding().is_some() {
                        self.disk.fail_persist(&mut self.prng);
                        writer = self.start(None, 2)?;
                    }
                }
                96..98 => {
                    self.disk.kill();
                    let snapshot = self.oldest_snapshot;
                    let least = self.history.iter().filter(|(zxid, _)| *zxid <= snapshot).count();
                    let count = self.check(snapshot)?;
                    let to = least + self.prng.below((count - least) as u64 + 1) as usize;
                    writer = self.start(Some(to), 1)?;
                }
                _ => {
                    // SNAP: a snapshot from the leader, beyond everything that is logged.
                    self.disk.kill();
                    self.base = Zxid(writer.proposed_zxid().0 + 1 + self.prng.below(50) as i64);
                    self.oldest_snapshot = self.base;
                    self.history.clear();
                    (self.required, self.stored) = (0, 0);
                    writer = self.start(None, 1)?;
                }
            }
            self.carry_out(&commands)?;
        }
        Ok(())
    }
}

/// How one should not read a log: follows the headers, and believes too much.
fn read_naively<'a>(bug: Bug, images: &[SegmentImage<'a>], snapshot: Zxid) -> Vec<Entry<'a>> {
    let header = |image: &SegmentImage<'a>| {
        let header = Header::decode(image.bytes, image.id).ok()?;
        let copies_end = GROUPS_OFFSET + GROUP_HEADER_BYTES as u64 + header.copied;
        let mut copies =
            Reader::new(image.bytes, header, if header.copied > 0 { copies_end } else { GROUPS_OFFSET });
        loop {
            match copies.step() {
                Step::Done => return Some(header),
                Step::Broken { .. } => return None,
                Step::Entry(_) | Step::Group => {}
            }
        }
    };
    let mut line = Vec::new();
    let mut next = images.iter().rev().find(|image| header(image).is_some());
    let mut limit = u64::MAX;
    while let Some(image) = next {
        let Some(header) = header(image) else { break };
        line.push((image, header, limit));
        limit = header.continues.offset;
        next = images.iter().find(|other| other.id == header.continues.segment);
        if header.after <= snapshot {
            break;
        }
    }
    let mut entries = Vec::new();
    for (image, header, limit) in line.into_iter().rev() {
        let bytes = &image.bytes[..image.bytes.len().min(limit as usize)];
        let mut at = GROUPS_OFFSET as usize;
        while let Some(group) = [at.next_multiple_of(8), at.next_multiple_of(4096)].into_iter().find(|at| {
            bytes.get(*at..at + 64).is_some_and(|group| u32_at(group, 0) == crc32c::crc32c(&group[4..]))
        }) {
            if bug != Bug::IgnoreSalt && u64_at(bytes, group + 8) != header.salt {
                break;
            }
            at = group + GROUP_HEADER_BYTES;
            let end = (at + u64_at(bytes, group + 32) as usize).min(bytes.len());
            while let Some(record) = bytes[..end].get(at..).filter(|rest| rest.len() >= RECORD_HEADER_BYTES) {
                let Some(record) = record.get(..RECORD_HEADER_BYTES + u32_at(record, 4) as usize) else {
                    break;
                };
                let whole = u32_at(record, 0) == crc32c::crc32c_append(header.seed, &record[4..]);
                if bug != Bug::AcceptTornTail && !whole {
                    return entries;
                }
                let zxid = Zxid(u64_at(record, 8) as i64);
                if zxid > snapshot {
                    entries.push(Entry { zxid, payload: &record[RECORD_HEADER_BYTES..] });
                }
                at += record.len();
            }
            if at < end {
                break;
            }
        }
    }
    entries
}

fn run(seed: u64, bug: Bug, steps: u32) -> Verdict<()> {
    World::new(seed, bug).run(steps).map_err(|why| format!("seed {seed}: {why}"))
}

#[test]
fn acknowledged_entries_survive_crashes_at_every_command_and_within_repairs() {
    for seed in 0..60 {
        run(seed, Bug::None, 40).unwrap_or_else(|why| panic!("{why}"));
    }
}

fn caught(bug: Bug, as_what: &[&str]) {
    let why = (0..200).find_map(|seed| run(seed, bug, 40).err()).expect("the checker has to catch this bug");
    assert!(as_what.iter().any(|what| why.contains(what)), "{why}");
}

#[test]
fn canary_acknowledge_before_durable_is_caught() {
    caught(Bug::AcknowledgeBeforeDurable, &["lost"]);
}

#[test]
fn canary_skipped_persist_is_caught() {
    caught(Bug::SkipPersist, &["lost"]);
}

#[test]
fn canary_trusted_page_cache_is_caught() {
    caught(Bug::TrustPageCache, &["lost"]);
}

#[test]
fn canary_cleanup_before_the_repair_is_persisted_is_caught() {
    caught(Bug::CleanupFirst, &["lost", "refused after a mere crash"]);
}

#[test]
fn canary_accepted_torn_tail_is_caught() {
    caught(Bug::AcceptTornTail, &["garbage"]);
}

#[test]
fn canary_ignored_salt_is_caught() {
    caught(Bug::IgnoreSalt, &["garbage"]);
}
