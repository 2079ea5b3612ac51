//! What goes wrong, and when. Nothing does once the run is past its first phase.

use std::time::Duration;

use crate::base::{Prng, Zxid};
use crate::log::{Header, SegmentId};

use super::actors::Cut;
use super::boot::{self, Booting};
use super::disk::SECTOR_BYTES;
use super::history::{Checked, violation};
use super::world::{Event, Phase, Process, World};

pub(super) struct Disturber {
    prng: Prng,
}

impl Disturber {
    pub fn new(seed: u64) -> Disturber {
        Disturber { prng: Prng::salted(seed, "faults") }
    }
}

/// A place in the log that says: all before this mark is durable.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    segment: SegmentId,
    /// Bytes that say so.
    from: usize,
    bytes: Vec<u8>,
    mark: (u64, u64),
}

/// What the log says of itself, as it was written: what damage may and may not take away.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claims: Vec<Claim>,
    /// Last zxid before each end of a group.
    ends: std::collections::BTreeMap<(u64, u64), Zxid>,
}

impl Claims {
    pub fn on_segment(&mut self, segment: SegmentId, header: &[u8]) {
        if let Ok(decoded) = Header::decode(header, segment) {
            self.ends.insert((segment.0, 4096), decoded.after);
            let mark = (decoded.mark.segment.0, decoded.mark.offset);
            self.claims.push(Claim { segment, from: 0, bytes: header.to_vec(), mark });
        }
    }

    pub fn on_group(&mut self, segment: SegmentId, offset: u64, group: &[u8], last: Zxid) {
        let long = |at: usize| group[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.ends.insert((segment.0, offset + group.len() as u64), last);
        let mark = (long(40), long(48));
        self.claims.push(Claim { segment, from: offset as usize, bytes: group[..64].to_vec(), mark });
    }

    /// The newest zxid that an image which holds these claims can prove to have been durable.
    fn proven(&self, intact: impl Fn(&Claim) -> bool) -> Zxid {
        let proven = self.claims.iter().filter(|claim| intact(claim));
        proven.filter_map(|claim| self.ends.get(&claim.mark).copied()).max().unwrap_or(Zxid::ZERO)
    }
}

impl World {
    pub(super) fn network_below(&mut self, bound: u64) -> u64 {
        self.disturber.prng.below(bound)
    }

    pub(super) fn disturb(&mut self) -> Checked {
        if self.phase != Phase::Faults {
            return Ok(());
        }
        let usual = (self.shape.think * 150).max(self.shape.packet * 50).max(Duration::from_millis(2));
        let delay = Self::jitter(&mut self.disturber.prng, usual, true).min(self.shape.tick * 20);
        self.after(delay, Event::Disturb);
        let faults = self.plan.faults;
        let index = self.disturber.prng.below(self.actors.len() as u64) as usize;
        match self.disturber.prng.below(16) {
            0 if faults.crash => self.crash(true),
            1 if faults.crash => self.crash(false),
            2..=4 if faults.cut => self.cut_connection(index),
            5 if faults.cut => self.abandon(index),
            6..=7 if faults.cut => self.deafen(index),
            8 if faults.full => self.fill_disk(),
            9 if faults.clock => self.stall(),
            10 if faults.clock => {
                let step = self.disturber.prng.below(20_000) as i64 - 10_000;
                self.trace.note("wall step", &[step as u64]);
                self.wall_offset_ms += step;
            }
            _ => {}
        }
        Ok(())
    }

    fn crash(&mut self, power: bool) {
        if matches!(self.process, Process::Down) {
            return;
        }
        self.die(power);
        self.start_later();
    }

    fn cut_connection(&mut self, index: usize) {
        self.counts.cuts += 1;
        let cut = [Cut::Close, Cut::Reset, Cut::Silence][self.disturber.prng.below(3) as usize];
        self.cut(index, cut);
    }

    /// A session that nobody will come back to.
    fn abandon(&mut self, index: usize) {
        self.cut(index, Cut::Reset);
        self.actors[index].client.session = None;
    }

    fn deafen(&mut self, index: usize) {
        let until = self.now_ns() + self.disturber.prng.below(self.shape.tick.as_nanos() as u64 * 4);
        let socket = self.actors[index].socket;
        if let Some(found) = socket.and_then(|socket| self.sockets.get_mut(&socket)) {
            found.deaf_until_ns = until;
        }
    }

    fn fill_disk(&mut self) {
        if matches!(self.process, Process::Up(_)) {
            self.set_space(true);
            let delay =
                Duration::from_nanos(self.disturber.prng.below(self.shape.tick.as_nanos() as u64 * 3));
            self.after(delay, Event::SpaceBack { life: self.life });
        }
    }

    fn stall(&mut self) {
        let gap = self.disturber.prng.below(self.shape.tick.as_nanos() as u64 * 30);
        self.trace.note("stall", &[gap]);
        if self.now_ns() < self.stalled_until {
            return;
        }
        self.stalled_until = self.now_ns() + gap;
        let (now, tick) = (self.now_ns(), self.shape.tick.as_nanos() as u64);
        self.history.on_stall(now, gap, tick);
    }

    /// Damages a copy of the disk and starts from it: refused with the file's name, or right as far as can be proven.
    pub(super) fn try_damage(&mut self) -> Checked {
        let mut disk = self.disk.clone();
        let prng = &mut self.disturber.prng;
        let in_snapshot = prng.chance(1, 4);
        let directory = if in_snapshot { &mut disk.snapshots } else { &mut disk.log };
        let names: Vec<String> = directory.names().map(str::to_owned).collect();
        if names.is_empty() {
            return Ok(());
        }
        let name = names[prng.below(names.len() as u64) as usize].clone();
        let image = directory.read(&name).unwrap_or_default().to_vec();
        if image.is_empty() {
            return Ok(());
        }
        // Where something was written, mostly.
        let used = image.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1).max(1);
        let within = if prng.chance(7, 8) { used } else { image.len() };
        let at = prng.below(within as u64) as usize;
        let (from, bytes) = match prng.below(4) {
            0 | 1 => (at, vec![image[at] ^ (1 << prng.below(8))]),
            kind => {
                let from = at / SECTOR_BYTES * SECTOR_BYTES;
                let length = SECTOR_BYTES.min(image.len() - from);
                (from, (0..length).map(|_| if kind == 2 { 0 } else { prng.next() as u8 }).collect())
            }
        };
        directory.damage(&name, from, &bytes);
        let damage = from..from + bytes.len();
        self.counts.damaged += 1;
        self.trace.note("damage", &[from as u64, bytes.len() as u64]);
        let salt = self.disturber.prng.next();
        let booted = boot::begin(&disk, &self.shape, &self.settings, 1, self.now, salt, self.plan.canary);
        let booted = booted.and_then(|booting| {
            let entries = booting.entries.clone();
            let (snapshot, last) = (booting.snapshot, booting.last);
            Booting::finish(booting).map(|start| (entries, snapshot, last, start.replica.facts().digest))
        });
        let (entries, snapshot, last, digest) = match booted {
            Ok(found) => found,
            Err(refusal) => {
                self.counts.refused_starts += 1;
                let names_a_file = refusal.text.contains("segment.") || refusal.text.contains("snapshot.");
                if !names_a_file {
                    return violation(
                        "a refusal names the file",
                        format!("{name} {damage:?}: {}", refusal.text),
                    );
                }
                return Ok(());
            }
        };
        let floor = self.claims.proven(|claim| {
            let file = claim.segment.file_name();
            let range = claim.from..claim.from + claim.bytes.len();
            let hit = file == name && range.start < damage.end && damage.start < range.end;
            !hit && self.disk.log.read(&file).and_then(|image| image.get(range)) == Some(&claim.bytes)
        });
        let what = format!("{name} {damage:?} damaged, started at {last}, proven {floor}");
        let entries = entries.iter().map(|(zxid, payload)| (*zxid, payload.as_slice()));
        self.history.check_recovered(snapshot, entries, last, floor).map_err(|mut found| {
            found.detail = format!("{what}: {}", found.detail);
            found
        })?;
        if digest != self.history.model.digest(last) {
            return violation("damage is never served", what);
        }
        Ok(())
    }
}
