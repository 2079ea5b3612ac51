//! One load: who may ask the next request when, and when the load is over.
//!
//! Called by the drivers, which own the sockets. Closed loop: each session keeps `outstanding` requests unanswered.
//! Open loop: request `i` is due at `origin + i / rate`, whatever came back meanwhile, and its latency counts from
//! then, so that a stall of the server is seen by every request which it delayed (no coordinated omission).
//! Phases: warm-up, window, drain (no new requests; every answer is waited for, at most [`STALL_NS`]).
//! Limits: an open loop gives up when [`BACKLOG_MAX`] requests are unanswered. Tested: `load_test.rs`.

use crate::clock;
use crate::process::{MachineUsage, ProcessError, Usage, machine_usage, usage_of_each};
use crate::recorder::{CountBy, Recorder};
use crate::session::Session;
use crate::workload::Workload;

/// A server which answers nothing for so long is taken for dead.
pub const STALL_NS: u64 = 30_000_000_000;
/// Unanswered requests of an open loop: some hundred MB of generator memory; a server so far behind has failed.
pub const BACKLOG_MAX: u64 = 4_000_000;
/// Requests of an open loop released in one turn, so that replies are read between them.
const RELEASE_MAX: u64 = 512;

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
}

/// The state of the machine at one end of the window.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub at: u64,
    pub own_cpu_ns: u64,
    /// In the order of `--server-pid`.
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
    last_progress: (u64, u64),
    pub begin: Option<Sample>,
    pub end: Option<Sample>,
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

    /// Work that ends with its source and isn't measured.
    pub fn unmeasured(workload: Workload, outstanding: usize) -> Load {
        let plan = Plan {
            pacing: Pacing::Closed { outstanding },
            warmup_ns: 0,
            window_ns: 0,
            server_pids: Vec::new(),
        };
        Load::new(workload, Recorder::unmeasured(), plan, clock::now(), u64::MAX)
    }

    fn new(workload: Workload, recorder: Recorder, plan: Plan, origin: u64, stop_at: u64) -> Load {
        Load {
            workload,
            recorder,
            plan,
            origin,
            stop_at,
            exhausted: false,
            released: 0,
            gave_up: false,
            last_progress: (origin, 0),
            begin: None,
            end: None,
        }
    }

    pub fn is_open_loop(&self) -> bool {
        matches!(self.plan.pacing, Pacing::Open { .. })
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
            }
        }
        if self.recorder.replies_total != self.last_progress.1 {
            self.last_progress = (now, self.recorder.replies_total);
        }
        // An open loop has asked when its plan is empty and its time is over: a generator that was late at the
        // end must not drop the requests which a stall delayed.
        let all_asked = match self.next_due_at() {
            Some(due) => self.gave_up || (due >= self.stop_at && now >= window.end),
            None => self.exhausted || now >= self.stop_at,
        };
        Ok(if now.saturating_sub(self.last_progress.0) >= STALL_NS {
            Stage::Stalled
        } else if all_asked {
            Stage::Draining
        } else {
            Stage::Asking
        })
    }

    fn sample(&self) -> Result<Sample, ProcessError> {
        Ok(Sample {
            at: clock::now(),
            own_cpu_ns: clock::own_cpu(),
            servers: usage_of_each(&self.plan.server_pids)?,
            machine: machine_usage()?,
        })
    }

    /// Closed loop: gives `session` what it may ask. Nothing in an open loop, after the end, or for a broken session.
    pub fn refill(&mut self, session: &mut Session, now: u64) {
        let Pacing::Closed { outstanding } = self.plan.pacing else { return };
        while session.unanswered_count() < outstanding && now < self.stop_at && !session.broken {
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

    /// Open loop: when the next request is due.
    pub fn next_due_at(&self) -> Option<u64> {
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
            self.recorder.error("gave up: the server is too far behind --rate");
            self.gave_up = true;
        }
    }

    /// False where the source has ended.
    fn ask(&mut self, session: &mut Session, start: u64) -> bool {
        let xid = session.next_xid();
        match self.workload.write_next(session.index, xid, &mut session.output) {
            Some((kind, body_bytes)) => {
                session.asked(kind, body_bytes, start);
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
