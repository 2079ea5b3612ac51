//! One load: who may ask the next request when, and when the load is over.
//!
//! Called by the drivers, which own the sockets. Closed loop: each session keeps `outstanding` requests unanswered.
//! Open loop: request `i` is due at `origin + i / rate`, whatever came back meanwhile, and its latency counts from
//! then, so that a stall of the server is seen by every request which it delayed (no coordinated omission).
//! Phases: warm-up, window, drain (no new requests; every answer is waited for, at most [`STALL_NS`]).
//! The watch fan-out is paced by `fan`. Limits: an open loop gives up when [`BACKLOG_MAX`] requests are unanswered.
//! Tested: `load_test.rs`.

use crate::bench::clock;
use crate::bench::fan::Fan;
use crate::bench::process::{MachineUsage, Precision, ProcessError, Usage, machine_usage, usage_of_each};
use crate::bench::recorder::{CountBy, Recorder};
use crate::bench::session::Session;
use crate::bench::workload::Workload;
use std::sync::atomic::{AtomicBool, Ordering};

/// A server which answers nothing for so long is taken for dead.
pub const STALL_NS: u64 = 30_000_000_000;
/// And for so long, once a signal has asked us to stop.
const STOP_NS: u64 = 2_000_000_000;
/// Unanswered requests of an open loop: some hundred MB of generator memory; a server so far behind has failed.
pub const BACKLOG_MAX: u64 = 4_000_000;
/// Requests of an open loop released in one turn, so that replies are read between them.
const RELEASE_MAX: u64 = 512;

/// From one release of an open loop to the next, at the most.
const RELEASE_NS_MAX: u64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub enum Pacing {
    /// So many unanswered requests per session, always.
    Closed { outstanding: usize },
    /// So many requests a second over all sessions, evenly spaced.
    Open { rate: f64 },
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub pacing: Pacing,
    pub warmup_ns: u64,
    pub window_ns: u64,
    pub server_pids: Vec<u32>,
    /// What they used when the run began.
    pub servers: Vec<Usage>,
    /// Set by a signal: the load ends, and what was measured stays.
    pub stop: Option<&'static AtomicBool>,
}

/// Between two looks at the servers: what they used until they died is told.
const LOOK_NS: u64 = 1_000_000_000;

/// The state of the machine at one end of the window.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub at: u64,
    pub own_cpu_ns: u64,
    /// In the order of `--server-pid`; of a process that has ended what was last seen.
    pub servers: Vec<Usage>,
    pub machine: MachineUsage,
}

pub struct Load {
    pub workload: Workload,
    pub recorder: Recorder,
    plan: Plan,
    origin: u64,
    /// No request is asked (closed loop) or due (open loop) from here on.
    stop_at: u64,
    /// The workload's source has ended.
    exhausted: bool,
    released: u64,
    /// An open loop that the server can't follow: nothing more is asked.
    gave_up: bool,
    /// Why the load ended before its window did.
    pub cut: Option<String>,
    last_progress: (u64, u64),
    fan: Option<Fan>,
    last_look: (u64, Vec<Usage>),
    pub begin: Option<Sample>,
    pub end: Option<Sample>,
    /// Hears of each turn: how far the load has come.
    pub on_progress: Option<Box<dyn FnMut(Progress)>>,
}

/// How far a load has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Operations that were answered.
    pub replies: u64,
    /// Nanoseconds since the load began.
    pub elapsed_ns: u64,
}

/// What a driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Asking,
    /// Nothing more is asked; unanswered requests are waited for.
    Draining,
    /// The server has answered nothing for [`STALL_NS`] although it owes answers.
    Stalled,
}

impl Load {
    /// A measured load, whose warm-up begins now.
    pub fn measured(workload: Workload, plan: Plan) -> Load {
        let origin = clock::now();
        let window = origin + plan.warmup_ns..origin + plan.warmup_ns + plan.window_ns;
        let count_by = match plan.pacing {
            Pacing::Closed { .. } => CountBy::Reply,
            Pacing::Open { .. } => CountBy::IntendedStart,
        };
        Load::new(workload, Recorder::new(count_by, window.clone()), plan, origin, window.end)
    }

    /// As [`Load::measured`], of the fan-out: `workload` writes the changes.
    pub fn fan_out(workload: Workload, plan: Plan, fan: Fan) -> Load {
        Load { fan: Some(fan), ..Load::measured(workload, plan) }
    }

    /// Work that ends with its source and isn't measured.
    pub fn unmeasured(workload: Workload, outstanding: usize, stop: Option<&'static AtomicBool>) -> Load {
        let plan = Plan {
            pacing: Pacing::Closed { outstanding },
            warmup_ns: 0,
            window_ns: 0,
            server_pids: Vec::new(),
            servers: Vec::new(),
            stop,
        };
        Load::new(workload, Recorder::unmeasured(), plan, clock::now(), u64::MAX)
    }

    fn new(workload: Workload, recorder: Recorder, plan: Plan, origin: u64, stop_at: u64) -> Load {
        let last_look = (origin, plan.servers.clone());
        Load {
            workload,
            recorder,
            plan,
            origin,
            stop_at,
            exhausted: false,
            released: 0,
            gave_up: false,
            cut: None,
            last_progress: (origin, 0),
            fan: None,
            last_look,
            begin: None,
            end: None,
            on_progress: None,
        }
    }

    /// Whether requests are asked by [`Load::release`], and not by [`Load::refill`] alone.
    pub fn is_released(&self) -> bool {
        self.fan.is_some() || matches!(self.plan.pacing, Pacing::Open { .. })
    }

    /// To be called at least every 100 ms: takes the samples at both ends of the window, and tells the stage.
    pub fn on_turn(&mut self, now: u64) -> Result<Stage, ProcessError> {
        let window = self.recorder.window().clone();
        if !window.is_empty() {
            if self.begin.is_none() && now >= window.start {
                self.begin = Some(self.sample()?);
            }
            if self.end.is_none() && now >= window.end {
                self.end = Some(self.sample()?);
            } else if now.saturating_sub(self.last_look.0) >= LOOK_NS {
                self.last_look =
                    (now, usage_of_each(&self.plan.server_pids, &self.last_look.1, Precision::Ticks)?);
            }
        }
        if self.plan.stop.is_some_and(|stop| stop.load(Ordering::SeqCst)) {
            self.cut_short(now, "stopped by a signal");
        }
        if self.recorder.progress != self.last_progress.1 {
            self.last_progress = (now, self.recorder.progress);
        }
        if let Some(on_progress) = &mut self.on_progress {
            let elapsed_ns = now.saturating_sub(self.origin);
            on_progress(Progress { replies: self.recorder.replies_total, elapsed_ns });
        }
        // An open loop has asked when its plan is empty and its time is over: a generator that was late at the
        // end must not drop the requests which a stall delayed.
        let all_asked = match self.intended() {
            _ if self.gave_up => true,
            Some(due) => due >= self.stop_at && now >= window.end,
            None => self.exhausted || now >= self.stop_at,
        };
        if self.fan.is_some() && !all_asked && now >= window.end + STALL_NS {
            self.cut = Some("gave up: the server is too far behind --rate".to_owned());
            self.gave_up = true;
        }
        let owes = self.fan.as_ref().is_none_or(|fan| fan.is_under_way() || !all_asked);
        Ok(if owes && now.saturating_sub(self.last_progress.0) >= self.patience_ns() {
            Stage::Stalled
        } else if all_asked {
            Stage::Draining
        } else {
            Stage::Asking
        })
    }

    /// A slow open loop asks seldom: then silence is no sign. And who wants to stop doesn't want to wait.
    fn patience_ns(&self) -> u64 {
        if self.plan.stop.is_some_and(|stop| stop.load(Ordering::SeqCst)) {
            return STOP_NS;
        }
        match self.plan.pacing {
            Pacing::Open { rate } => STALL_NS.max((3e9 / rate) as u64),
            Pacing::Closed { .. } => STALL_NS,
        }
    }

    /// Nothing more is asked; the first reason is kept.
    pub fn cut_short(&mut self, now: u64, reason: &str) {
        if self.cut.is_none() && self.end.is_none() {
            self.cut = Some(reason.to_owned());
        }
        self.gave_up = true;
        self.exhausted = true;
        self.stop_at = self.stop_at.min(now);
    }

    /// To be called when the driver has ended: what was measured until now is what there is.
    pub fn finish(&mut self) -> Result<(), ProcessError> {
        let now = clock::now();
        self.on_turn(now)?;
        if self.end.is_none() {
            let sample = self.sample()?;
            let reason = match self.recorder.sessions_lost {
                0 => "the load ended before its window",
                _ => "the server closed all connections",
            };
            self.cut.get_or_insert_with(|| reason.to_owned());
            self.begin.get_or_insert_with(|| sample.clone());
            self.end = Some(sample);
        }
        self.recorder.finish(if self.cut.is_some() { now } else { self.recorder.window().end });
        Ok(())
    }

    fn sample(&self) -> Result<Sample, ProcessError> {
        Ok(Sample {
            at: clock::now(),
            own_cpu_ns: clock::own_cpu(),
            servers: usage_of_each(&self.plan.server_pids, &self.last_look.1, Precision::Nanoseconds)?,
            machine: machine_usage()?,
        })
    }

    pub fn is_fan_out(&self) -> bool {
        self.fan.is_some()
    }

    /// A session goes on as soon as its reply or its event is read: that is part of what is measured.
    pub fn goes_on_at_once(&self) -> bool {
        self.is_fan_out() || self.workload.has_cycles()
    }

    /// Whether an event is still to come that no request of a session waits for.
    pub fn waits_for_events(&self) -> bool {
        self.fan.as_ref().is_some_and(Fan::is_under_way)
    }

    /// Closed loop: gives `session` what it may ask. Nothing in an open loop, after the end, or for a broken session.
    pub fn refill(&mut self, session: &mut Session, now: u64) {
        let intended = self.intended();
        if let Some(fan) = &mut self.fan {
            let goes_on = !self.gave_up && intended.unwrap_or(now) < self.stop_at;
            fan.look_at(session, now, goes_on, &mut self.recorder);
            return;
        }
        let Pacing::Closed { outstanding } = self.plan.pacing else { return };
        let count = outstanding.saturating_sub(session.under_way());
        if count == 0 || now >= self.stop_at || session.broken {
            return;
        }
        if let Some((kind, expect)) = self.workload.write_gets(session.next_xid(), count, &mut session.output)
        {
            session.asked_alike(kind, expect, now, count as u32);
            return;
        }
        for _ in 0..count {
            if !self.ask(session, now) {
                return;
            }
        }
    }

    /// Open loop: the next request that is due by `now`, and the session (of `sessions`) which must ask it.
    pub fn next_due(&self, now: u64, sessions: usize) -> Option<(usize, u64)> {
        let due = self.next_due_at()?;
        (due <= now && due < self.stop_at && !self.gave_up)
            .then(|| ((self.released % sessions as u64) as usize, due))
    }

    /// The next operation of a driver that asks by itself: from when on it is measured. Nothing before it is due.
    pub fn take_due(&mut self, now: u64) -> Option<u64> {
        if now >= self.stop_at && matches!(self.plan.pacing, Pacing::Closed { .. }) || self.gave_up {
            return None;
        }
        let start = match self.next_due_at() {
            None => now,
            Some(due) if due <= now && due < self.stop_at => {
                self.recorder.sent_late(due, now);
                due
            }
            Some(_) => return None,
        };
        self.released += 1;
        Some(start)
    }

    /// Open loop: when the next request is due. Nothing while a fan-out isn't ready for it.
    pub fn next_due_at(&self) -> Option<u64> {
        if self.fan.as_ref().is_some_and(|fan| !fan.is_ready()) {
            return None;
        }
        self.intended()
    }

    /// Open loop: from one release to the next, in nanoseconds, unless replies come in between. Up to 20,000 requests a second
    /// each goes out alone, at 40,000 eight together, from 90,000 on those of a millisecond: one by one they would take the
    /// generator a processor, and servers beside it theirs (perf/tried.md).
    pub fn release_ns_min(&self) -> u64 {
        match self.plan.pacing {
            Pacing::Open { rate } => ((rate * rate / 8_000.0) as u64).min(RELEASE_NS_MAX),
            Pacing::Closed { .. } => 0,
        }
    }

    /// Open loop: when the next request should be asked, whether or not it can be.
    fn intended(&self) -> Option<u64> {
        let Pacing::Open { rate } = self.plan.pacing else { return None };
        Some(self.origin + (self.released as f64 * 1e9 / rate) as u64)
    }

    /// Open loop: asks every request that is due, up to a turn's worth. `asked(i)` hears of each session touched.
    pub fn release<'a, C: 'a + AsMut<Session>>(
        &mut self,
        connections: &mut [C],
        now: u64,
        mut asked: impl FnMut(usize),
    ) {
        if self.fan.is_some() {
            if let Some(writer) = self.fire(connections, now) {
                asked(writer);
            }
            return;
        }
        let mut budget = RELEASE_MAX;
        while budget > 0
            && let Some((index, due)) = self.next_due(now, connections.len())
        {
            budget -= 1;
            self.released += 1;
            let session = connections[index].as_mut();
            if session.broken {
                self.recorder.error("not asked: its session is gone");
                continue;
            }
            self.recorder.sent_late(due, now);
            self.ask(session, due);
            asked(index);
        }
        if self.released.saturating_sub(self.recorder.replies_total) > BACKLOG_MAX && !self.gave_up {
            self.cut_short(now, "gave up: the server is too far behind --rate");
        }
    }

    /// Fan-out: the next change, if all watch and it is due. Returns the session that asks it.
    fn fire<'a, C: 'a + AsMut<Session>>(&mut self, connections: &mut [C], now: u64) -> Option<usize> {
        let fan = self.fan.as_ref().filter(|fan| fan.is_ready())?;
        let writer = fan.writer;
        let start = match self.next_due_at() {
            Some(due) if due > now => return None,
            Some(due) => {
                self.recorder.sent_late(due, now);
                due
            }
            None => now,
        };
        let session = connections[writer].as_mut();
        if self.gave_up || start >= self.stop_at || session.broken || !self.ask(session, start) {
            return None;
        }
        self.released += 1;
        self.fan.as_mut().expect("looked at above").fired(start);
        Some(writer)
    }

    /// False where the source has ended.
    fn ask(&mut self, session: &mut Session, start: u64) -> bool {
        let xid = session.next_xid();
        match self.workload.write_next(session.index, xid, start, &mut session.output) {
            Some(asked) => {
                session.asked(asked, start);
                true
            }
            None => {
                self.exhausted = true;
                false
            }
        }
    }
}

#[cfg(test)]
#[path = "load_test.rs"]
mod tests;
