//! A whole run, from the first connection to the last restart.

use std::time::Duration;

use super::client::State;
use super::history::Violation;
use super::plan::Plan;
use super::world::{Counts, Event, Phase, Process, World};

/// Which way a run went wrong. A crash is a panic of the code under test, which the caller catches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Crash,
    Liveness,
    Correctness,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    pub check: &'static str,
    pub detail: String,
}

/// Events that one stage after the healing may take.
const STAGE_EVENTS_MAX: u64 = 400_000;

/// Virtual time that one stage after the healing may take.
const STAGE_TIME_MAX: Duration = Duration::from_secs(1_200);

impl World {
    pub fn run(&mut self) -> Result<(), Failure> {
        self.run_checked().map_err(|error| match error {
            Stop::Broken(violation) => Failure {
                kind: if violation.check == "no busy loop" { Kind::Liveness } else { Kind::Correctness },
                check: violation.check,
                detail: violation.detail,
            },
            Stop::Stuck(stage, detail) => Failure { kind: Kind::Liveness, check: stage, detail },
        })
    }

    pub fn tick(&self) -> u64 {
        self.tick
    }

    pub fn hash(&self) -> u64 {
        self.trace.hash()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The end of the trace, if text was asked for.
    pub fn last_lines(&self) -> impl Iterator<Item = &str> {
        self.trace.last_lines()
    }

    fn run_checked(&mut self) -> Result<(), Stop> {
        while self.tick < self.plan.ticks {
            self.step()?;
            if self.tick.is_multiple_of(512) {
                self.check_digest("under way")?;
            }
        }
        self.heal();
        // Until everybody has his answers once, a connection from before may still break.
        self.until("every client gets its answers after the healing", |world| {
            world.is_answered(true) && !world.is_late()
        })?;
        self.steady = true;
        for actor in &mut self.actors {
            actor.left = 25;
        }
        self.until("every client makes progress", |world| {
            world.is_answered(true) && world.actors.iter().all(|actor| actor.left == 0)
        })?;
        self.phase = Phase::Quiet;
        self.until("sessions that nobody keeps expire, and work ends", |world| {
            world.is_answered(false) && world.only_kept_sessions() && !world.snapshot_thread.is_busy()
        })?;
        self.until("containers and TTL nodes go in their time", |world| {
            world.history.model.overdue(world.now.wall).next().is_none()
        })?;
        self.phase = Phase::Still;
        self.steady = false;
        self.until("work ends", World::is_at_rest)?;
        self.check_memory()?;
        self.audit("at rest")?;
        self.phase = Phase::Closing;
        for client in 0..self.actors.len() {
            self.act_later(client);
        }
        self.until("every session can be closed", |world| {
            world.is_at_rest() && world.history.model.sessions.values().all(|life| life.closed.is_some())
        })?;
        self.check_nothing_ephemeral()?;
        self.audit("at the end")?;
        self.stop_and_start()?;
        Ok(())
    }

    fn heal(&mut self) {
        self.trace.note("healed", &[self.now_ns()]);
        self.phase = Phase::Healed;
        self.set_space(false);
        for actor in &mut self.actors {
            actor.left = 0;
            actor.unproven = actor.client.state == State::Active;
        }
        let sockets: Vec<u64> = self.sockets.keys().copied().collect();
        for socket in sockets {
            if let Some(found) = self.sockets.get_mut(&socket) {
                found.deaf_until_ns = 0;
                found.reading = false;
            }
            self.arrange_read(socket);
        }
        if matches!(self.process, Process::Down) {
            self.after(Duration::ZERO, Event::Start);
        }
        for client in 0..self.actors.len() {
            self.act_later(client);
        }
    }

    fn until(&mut self, stage: &'static str, done: fn(&mut World) -> bool) -> Result<(), Stop> {
        let (tick, ns) = (self.tick, self.now_ns());
        loop {
            for _ in 0..32 {
                if !self.step()? {
                    if done(self) {
                        return Ok(());
                    }
                    return Err(Stop::Stuck(stage, "nothing will ever happen again".into()));
                }
            }
            if done(self) {
                return Ok(());
            }
            let late = self.now_ns() - ns > STAGE_TIME_MAX.as_nanos() as u64;
            if late || self.tick - tick > STAGE_EVENTS_MAX {
                let clients: Vec<String> = self
                    .actors
                    .iter()
                    .map(|actor| {
                        let client = &actor.client;
                        format!(
                            "{:?} with {} unanswered, {} to ask",
                            client.state,
                            client.outstanding.len(),
                            actor.left
                        )
                    })
                    .collect();
                let seconds = (self.now_ns() - ns) / 1_000_000_000;
                let unrest = self.unrest().unwrap_or_else(|| "all is at rest".into());
                let business = self.server().map_or("no server".into(), |server| server.business());
                let clients = clients.join("; ");
                let detail =
                    format!("not after {seconds} s: {unrest}; server: {business}; clients: {clients}");
                return Err(Stop::Stuck(stage, detail));
            }
        }
    }

    fn is_answered(&self, all_active: bool) -> bool {
        self.actors.iter().all(|actor| {
            let client = &actor.client;
            (client.state == State::Active || !all_active)
                && client
                    .outstanding
                    .iter()
                    .all(|request| request.operation == super::operation::Operation::Ping)
        })
    }

    /// Packets from before the healing are still under way, or the end of a session.
    fn is_late(&self) -> bool {
        let soon = self.now_ns() + self.shape.packet.as_nanos() as u64 * 4;
        let ended = (0..self.actors.len()).filter_map(|client| self.session_of(client));
        self.now_ns() < self.stalled_until
            || self.sockets.values().any(|socket| socket.up_last_ns > soon)
            || self.actors.iter().any(|actor| actor.unproven)
            || self.old_connection_is_heard()
            || ended.into_iter().any(|session| !self.history.model.is_alive(session))
    }

    /// A connection that its client has given up still asks for the session, or has just got it: that ends the newer one.
    fn old_connection_is_heard(&self) -> bool {
        let Process::Up(server) = &self.process else { return true };
        let is_old = |socket: &u64| !self.actors.iter().any(|actor| actor.socket == Some(*socket));
        let mut connections = self.connections.iter();
        connections.any(|(&(shard, id), socket)| is_old(socket) && server.is_undecided(shard, id))
            || server.tells_something()
            || self.sockets.values().any(|socket| socket.client_open && !socket.server_open)
    }

    fn is_at_rest(&mut self) -> bool {
        self.unrest().is_none()
    }

    /// What still goes on.
    fn unrest(&self) -> Option<String> {
        let Process::Up(server) = &self.process else { return Some("the server is down".into()) };
        let facts = server.replica.facts();
        if let Some(actor) = self.actors.iter().find(|actor| !actor.client.outstanding.is_empty()) {
            return Some(format!("client {} waits for an answer", actor.client.index));
        }
        let busy = self.sockets.iter().find(|(_, socket)| {
            let wires = socket.up.is_empty() && socket.down.is_empty() && socket.sending.is_none();
            !wires || socket.connection.is_none() || !socket.client_open
        });
        if let Some((number, socket)) = busy {
            return Some(format!("socket {number}: {socket:?}"));
        }
        if !server.is_idle() {
            return Some(format!("the server works ({}): {facts:?}", server.business()));
        }
        let store = server.replica.store();
        if self.snapshot_thread.is_busy() || store.kept_for_snapshot() > 0 || store.ahead_of_snapshot() > 0 {
            return Some("a snapshot is being written".into());
        }
        None
    }

    /// The sessions that live are those of the clients.
    fn only_kept_sessions(&self) -> bool {
        let alive = self.history.model.sessions.iter().filter(|(_, life)| life.closed.is_none());
        alive.map(|(session, _)| *session).all(|session| {
            (0..self.actors.len())
                .any(|client| self.session_of(client) == Some(session) && self.is_active(client))
        })
    }

    /// A clean stop; then nothing is lost even with the power.
    fn stop_and_start(&mut self) -> Result<(), Stop> {
        let mut commands = vec![];
        if let Process::Up(server) = &mut self.process {
            server.replica.finish(&mut commands);
        }
        self.phase = Phase::Stopped;
        let last = self.history.last();
        for command in commands {
            self.on_log(command)?;
        }
        self.until("a clean stop ends", |world| world.log_thread.is_idle())?;
        self.die(true);
        self.after(Duration::ZERO, Event::Start);
        self.until("a stopped server starts", |world| matches!(world.process, Process::Up(_)))?;
        if self.history.last() != last {
            let detail = format!("{} of {last}", self.history.last());
            return Err(Stop::Broken(Violation { check: "a clean stop keeps everything", detail }));
        }
        Ok(())
    }
}

/// Why a run can't go on.
enum Stop {
    Broken(Violation),
    Stuck(&'static str, String),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Stop {
        Stop::Broken(violation)
    }
}
