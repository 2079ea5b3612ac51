//! The server process begins and ends: what the disk holds becomes a server, and what was only in memory is lost.

use std::time::Duration;

use crate::base::Prng;

use super::boot::{self, Booting};
use super::history::{Checked, Violation, violation};
use super::network::Slots;
use super::server::Server;
use super::storage::{LogThread, SnapshotThread};
use super::world::{Event, Phase, Process, World};

impl World {
    pub(super) fn start(&mut self) -> Checked {
        if !matches!(self.process, Process::Down) {
            return Ok(());
        }
        self.life += 1;
        self.counts.starts += 1;
        let salt = self.salts.next();
        self.trace.note("start", &[self.life, self.now_ns()]);
        for name in self.temporaries() {
            self.disk.snapshots.unlink(&name);
        }
        let readers = self.plan.shards + 1;
        let booting =
            boot::begin(&self.disk, &self.shape, &self.settings, readers, self.now, salt, self.plan.canary);
        let mut booting = booting
            .map_err(|refusal| Violation { check: "an undamaged disk starts", detail: refusal.text })?;
        let floor = self.history.promised.max(self.durable);
        let entries = booting.entries.iter().map(|(zxid, payload)| (*zxid, payload.as_slice()));
        self.history.check_recovered(booting.snapshot, entries, booting.last, floor)?;
        self.trace.note("recovered", &[booting.snapshot.0 as u64, booting.last.0 as u64, booting.cut.into()]);
        self.check_second_start(&booting)?;
        if self.plan.faults.damage && self.phase == Phase::Faults {
            for _ in 0..4 {
                self.try_damage()?;
            }
        }
        let repair = std::mem::take(&mut booting.repair);
        self.process = Process::Booting(Box::new(booting));
        self.log_thread = LogThread::default();
        self.snapshot_thread = SnapshotThread::default();
        self.snapshot_stepping = false;
        for command in repair {
            self.on_log(command)?;
        }
        Ok(())
    }

    pub(super) fn temporaries(&self) -> Vec<String> {
        let temporary = |name: &&str| name.ends_with(".tmp");
        self.disk.snapshots.names().filter(temporary).map(str::to_owned).collect()
    }

    /// Starting twice from the same disk gives the same tree, and the tree is the model's.
    fn check_second_start(&mut self, booting: &Booting) -> Checked {
        let salt = self.salts.next();
        let mut digests = vec![];
        for _ in 0..2 {
            let again = boot::begin(
                &self.disk,
                &self.shape,
                &self.settings,
                1,
                self.now,
                salt ^ digests.len() as u64,
                self.plan.canary,
            );
            let start = again.and_then(Booting::finish);
            let start = start
                .map_err(|refusal| Violation { check: "an undamaged disk starts", detail: refusal.text })?;
            digests.push((start.replica.facts().digest, start.replica.sessions().list()));
        }
        if digests[0] != digests[1] {
            return violation("starting twice gives the same", format!("{digests:x?}"));
        }
        let expected = self.history.model.digest(booting.last);
        if digests[0].0 != expected {
            return violation(
                "the tree is the log's",
                format!("at {}: digest {:x}, the model's is {expected:x}", booting.last, digests[0].0),
            );
        }
        Ok(())
    }

    pub(super) fn finish_start(&mut self) -> Checked {
        let process = std::mem::replace(&mut self.process, Process::Down);
        let Process::Booting(mut booting) = process else {
            self.process = process;
            return Ok(());
        };
        for command in std::mem::take(&mut booting.cleanup) {
            // "In any order, late or never".
            if self.storage.chance(3, 4) {
                self.on_log(command)?;
            }
        }
        let last = booting.last;
        let start = booting
            .finish()
            .map_err(|refusal| Violation { check: "an undamaged disk starts", detail: refusal.text })?;
        self.history.truncate(last);
        self.history.on_start(self.now_ns());
        self.published = last;
        let prng = Prng::new(self.schedule.next());
        let server = Server::new(start, &self.shard_settings, self.now, prng, &self.shape, self.plan.canary);
        let threads = server.threads();
        self.process = Process::Up(Box::new(server));
        self.awake = vec![false; threads];
        self.timers = vec![None; threads];
        self.slots = (0..self.plan.shards).map(|_| Slots::default()).collect();
        (self.space_low, self.space_told, self.spares) = (false, false, 0);
        self.prepare_segment();
        self.trace.note("up", &[self.life, last.0 as u64]);
        self.audit("after a start")?;
        (0..threads).for_each(|thread| self.set_timer(thread));
        Ok(())
    }

    /// The process is gone: connections break, what was in memory is lost.
    pub(super) fn die(&mut self, power: bool) {
        self.trace.note(if power { "power loss" } else { "death" }, &[self.life, self.now_ns()]);
        self.counts.power_losses += u64::from(power);
        self.process = Process::Down;
        self.life += 1;
        self.log_thread = LogThread::default();
        if power {
            self.disk.log.lose_power(&mut self.storage);
            self.disk.snapshots.lose_power(&mut self.storage);
        } else {
            self.disk.log.lose_process(&mut self.storage);
            self.disk.snapshots.lose_process(&mut self.storage);
        }
        let sockets: Vec<u64> = self.sockets.keys().copied().collect();
        for socket in sockets {
            // What the kernel had taken may still reach the client.
            if self.sockets.get(&socket).is_some_and(|found| !found.client_open) {
                self.sockets.remove(&socket);
            }
            if let Some(found) = self.sockets.get_mut(&socket) {
                found.server_open = false;
                found.connection = None;
                found.sending = None;
                if power {
                    found.down.clear();
                }
            }
            self.arrange_read(socket);
        }
        self.connections.clear();
    }

    pub(super) fn start_later(&mut self) {
        let delay = Duration::from_micros(self.storage.below(2_000_000));
        self.after(delay, Event::Start);
    }
}
