//! When the server's threads run, and what the world does with what comes of a step.

use super::history::{Checked, violation};
use super::server::Effect;
use super::world::{Event, Phase, Process, World};

/// Steps in a row that took and gave nothing, after which their number per tick counts.
const IDLE_STEPS: u64 = 5_000;
/// So many of them may come no faster than in this time.
const IDLE_NS: u64 = 50_000_000;

impl World {
    pub(super) fn wake(&mut self, thread: usize) {
        let Some(awake) = self.awake.get_mut(thread) else { return };
        if !matches!(self.process, Process::Up(_)) || std::mem::replace(awake, true) {
            return;
        }
        let rough = self.plan.faults.slow && self.phase == Phase::Faults;
        let delay = Self::jitter(&mut self.schedule, self.shape.wake, rough);
        let at = (self.now_ns() + delay.as_nanos() as u64).max(self.stalled_until);
        self.at(at, Event::Turn { life: self.life, thread, by_clock: false });
    }

    fn wake_busy(&mut self) {
        for thread in 0..self.awake.len() {
            if self.server().is_some_and(|server| server.is_busy(thread)) {
                self.wake(thread);
            }
        }
    }

    pub(super) fn set_timer(&mut self, thread: usize) {
        let Some(wanted) = self.server().and_then(|server| server.next_wakeup(thread)) else { return };
        let wanted = wanted.0.max(self.stalled_until).max(self.now_ns() + 1_000);
        if self.timers[thread].is_none_or(|set| set > wanted) {
            self.timers[thread] = Some(wanted);
            self.at(wanted, Event::Turn { life: self.life, thread, by_clock: true });
        }
    }

    pub(super) fn turn(&mut self, thread: usize, by_clock: bool) -> Checked {
        if self.phase == Phase::Stopped {
            return Ok(());
        }
        // Another timer has taken its place.
        if by_clock && self.timers[thread] != Some(self.now_ns()) {
            return Ok(());
        }
        if self.now_ns() < self.stalled_until {
            if by_clock {
                self.timers[thread] = Some(self.stalled_until);
            }
            self.at(self.stalled_until, Event::Turn { life: self.life, thread, by_clock });
            return Ok(());
        }
        if by_clock {
            self.timers[thread] = None;
        } else {
            self.awake[thread] = false;
        }
        let now = self.now;
        let Some(server) = self.server() else { return Ok(()) };
        let due = server.next_wakeup(thread).is_some_and(|at| at <= now.instant);
        if !due && !server.is_busy(thread) {
            self.set_timer(thread);
            return Ok(());
        }
        let mut effects = vec![];
        let before = server.work;
        server.step(thread, now, &mut effects);
        let worked = server.work != before;
        self.trace.note("turn", &[thread as u64, self.now_ns(), effects.len() as u64]);
        self.check_spinning(worked || !effects.is_empty())?;
        for effect in effects {
            self.carry_out(effect)?;
        }
        self.check_bounds()?;
        self.wake_busy();
        self.set_timer(thread);
        Ok(())
    }

    /// Threads that run again and again and find nothing to do burn a core. A full ring is looked at every so often, by
    /// every thread; this is far above it.
    fn check_spinning(&mut self, worked: bool) -> Checked {
        if worked {
            self.idle = (0, self.now_ns());
            return Ok(());
        }
        self.idle.0 += 1;
        let elapsed = self.now_ns() - self.idle.1;
        if self.idle.0 > IDLE_STEPS && elapsed < IDLE_NS {
            let business = self.server().map_or_else(String::new, |server| server.business());
            let detail =
                format!("{IDLE_STEPS} steps within {} us found nothing to do: {business}", elapsed / 1_000);
            return violation("no busy loop", detail);
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> Checked {
        match effect {
            Effect::Log(command) => self.on_log(command)?,
            Effect::Snapshot(command) => {
                self.trace.note("snapshot", &[self.now_ns()]);
                self.snapshot_thread.carry_out(command);
                self.arrange_snapshot();
            }
            Effect::Send { shard, connection, bytes } => self.on_send(shard, connection, bytes)?,
            Effect::Pause { shard, connection } => self.set_paused(shard, connection, true),
            Effect::Resume { shard, connection } => self.set_paused(shard, connection, false),
            Effect::Close { shard, connection, at_once, for_room } => {
                self.on_close(shard, connection, at_once, for_room);
            }
            Effect::Heard { shard, connection } => {
                let socket = self.connections.get(&(shard, connection));
                // A request to resume a session with a wrong password says nothing of its owner.
                let actor =
                    self.actors.iter().find(|actor| actor.socket.as_ref() == socket && socket.is_some());
                if let Some(client) = actor.map(|actor| &actor.client).filter(|client| client.proves_itself())
                    && let Some(known) = &client.session
                {
                    self.history.on_heard(known.id, self.now.instant.0, known.timeout_ms);
                }
            }
            Effect::Published { zxid } => {
                self.trace.note("published", &[zxid.0 as u64]);
                if zxid <= self.published {
                    return violation(
                        "published never steps back",
                        format!("{zxid} after {}", self.published),
                    );
                }
                let reachable = self.plan.canary.is_some() || zxid <= self.durable;
                if !reachable {
                    return violation(
                        "published is durable",
                        format!("{zxid} is published, {} is durable", self.durable),
                    );
                }
                self.published = zxid;
            }
        }
        Ok(())
    }
}
