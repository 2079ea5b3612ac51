//! What the disk is asked for, and when it has done it.

use crate::log::Command;
use crate::replica::Input;

use super::history::{Checked, violation};
use super::plan::Canary;
use super::world::{Event, Phase, Process, World};

impl World {
    pub(super) fn on_log(&mut self, command: Command) -> Checked {
        match &command {
            Command::Create { segment, header, bytes } => {
                self.trace.note("create", &[segment.0, *bytes]);
                self.trace.bytes(header);
                self.claims.on_segment(*segment, header);
                if matches!(self.process, Process::Up(_)) && *bytes == self.shape.segment_bytes {
                    self.take_spare()?;
                }
            }
            Command::Append { segment, offset, bytes } => {
                self.trace.note("append", &[segment.0, *offset]);
                self.trace.bytes(bytes);
                let span = self.wall_span;
                self.history.on_group(bytes, self.now.instant.0, span)?;
                self.wall_span = (self.now.wall, self.now.wall);
                let last = match &self.process {
                    Process::Booting(booting) => booting.last,
                    Process::Up(_) | Process::Down => self.history.last(),
                };
                self.claims.on_group(*segment, *offset, bytes, last);
                self.counts.transactions = self.counts.transactions.max(self.history.last().0 as u64);
                (self.counts.expired, self.counts.reaped) = (self.history.expired, self.history.reaped);
            }
            Command::Persist { ticket } => self.trace.note("persist", &[ticket.0]),
            Command::Remove { segment } => self.trace.note("remove", &[segment.0]),
        }
        let appended = match &self.process {
            Process::Booting(booting) => booting.last,
            Process::Up(_) | Process::Down => self.history.last(),
        };
        if self.log_thread.carry_out(command, appended, &mut self.disk) {
            self.arrange_sync();
        }
        Ok(())
    }

    fn arrange_sync(&mut self) {
        if self.plan.canary == Some(Canary::ReplyBeforeSync)
            && let Process::Up(server) = &mut self.process
        {
            let tickets = self.log_thread.tickets();
            server.inputs.extend(tickets.map(|ticket| Input::Durable { ticket }).take(1));
        }
        let rough = self.plan.faults.disk && self.phase == Phase::Faults;
        let delay = Self::jitter(&mut self.storage, self.shape.sync, rough);
        let fails = rough && self.storage.chance(1, 300);
        self.after(delay, Event::Synced { life: self.life, fails });
    }

    pub(super) fn on_synced(&mut self, fails: bool) -> Checked {
        self.trace.note("synced", &[self.now_ns(), fails.into()]);
        if fails {
            // A failed sync is fatal and never retried: the process ends.
            self.log_thread.fail(&mut self.disk, &mut self.storage);
            self.die(false);
            self.start_later();
            return Ok(());
        }
        let booting = matches!(self.process, Process::Booting(_));
        let really = booting || self.plan.canary != Some(Canary::SkippedSync);
        let Some((persisted, begun)) = self.log_thread.end(&mut self.disk, really) else { return Ok(()) };
        self.durable = if really { self.durable.max(persisted.zxid) } else { self.durable };
        if begun {
            self.arrange_sync();
        }
        if booting {
            return self.finish_start();
        }
        if self.plan.canary != Some(Canary::ReplyBeforeSync)
            && let Some(server) = self.server()
        {
            server.inputs.push_back(Input::Durable { ticket: persisted.ticket });
        }
        self.wake(0);
        Ok(())
    }

    pub(super) fn arrange_snapshot(&mut self) {
        if self.snapshot_thread.is_busy() && !std::mem::replace(&mut self.snapshot_stepping, true) {
            let delay = Self::jitter(&mut self.storage, self.shape.sync, self.plan.faults.slow);
            self.after(delay, Event::SnapshotStep { life: self.life });
        }
    }

    pub(super) fn on_snapshot_step(&mut self) {
        self.snapshot_stepping = false;
        let broken = self.plan.faults.disk && self.phase == Phase::Faults && self.storage.chance(1, 100);
        let fails = match (self.space_low, broken) {
            (true, _) => Some("no space left on device"),
            (false, true) => Some("input/output error"),
            (false, false) => None,
        };
        if let Some(input) = self.snapshot_thread.step(&mut self.disk, fails) {
            self.counts.snapshots += u64::from(matches!(input, Input::SnapshotDone { .. }));
            if let Some(server) = self.server() {
                server.inputs.push_back(input);
            }
            self.wake(0);
        }
        self.arrange_snapshot();
    }

    pub(super) fn set_space(&mut self, low: bool) {
        if self.space_low == low {
            return;
        }
        self.trace.note("space", &[low.into()]);
        self.space_low = low;
        self.space_low_ns = self.now_ns();
        // Noticed now, or when the next segment can't be made.
        if !low || self.storage.chance(1, 2) {
            self.tell_space(low);
        }
    }

    fn tell_space(&mut self, low: bool) {
        if std::mem::replace(&mut self.space_told, low) != low {
            self.tell_replica(if low { Input::SpaceLow } else { Input::SpaceBack });
        }
    }

    fn tell_replica(&mut self, input: Input) {
        if let Some(server) = self.server() {
            server.inputs.push_back(input);
        }
        self.wake(0);
    }

    /// What the thread that makes segments does, all the time.
    pub(super) fn prepare_segment(&mut self) {
        let rough = self.plan.faults.slow && self.phase == Phase::Faults;
        let delay = Self::jitter(&mut self.storage, self.shape.sync * 4, rough);
        self.after(delay, Event::Prepared { life: self.life });
    }

    pub(super) fn on_prepared(&mut self) {
        self.trace.note("prepared", &[self.space_low.into()]);
        if self.space_low {
            self.tell_space(true);
            return self.prepare_segment();
        }
        self.spares += 1;
        self.tell_replica(Input::SegmentReady);
        self.tell_space(false);
    }

    /// The log goes on in a segment that is there, or what was accepted waits for the disk.
    fn take_spare(&mut self) -> Checked {
        if self.spares == 0 {
            let detail = format!("no segment is prepared at {}", self.history.last());
            return violation("what is accepted has its room", detail);
        }
        self.spares -= 1;
        self.prepare_segment();
        Ok(())
    }
}
