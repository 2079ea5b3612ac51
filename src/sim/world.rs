//! The event loop: time, what happens next, and who is told.
//!
//! Time jumps to the earliest event. Everything random comes from the plan's seed, one stream per component.
//! A run: a phase with faults; then everything heals and each client must get answers; then clients fall silent,
//! sessions that nobody keeps must expire, and what the server holds must shrink back; then it is stopped and started
//! once more, and must remember.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{ConnectionId, HashKey, Instant, Now, Prng, ServerId, SessionId, WallMillis, Zxid};
use crate::log::Command;
use crate::replica::{self, Input, SnapshotSettings};
use crate::shard;

use super::boot::{self, Booting, Disk};
use super::client::{Client, State};
use super::faults::{Claims, Disturber};
use super::history::{Checked, History, Violation, violation};
use super::network::{Slots, Socket};
use super::plan::{Canary, Plan, Shape};
use super::server::{Effect, Server};
use super::storage::{LogThread, SnapshotThread};
use super::trace::Trace;
use super::workload::Workload;

/// Something that will happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A thread runs.
    Turn {
        life: u64,
        thread: usize,
        by_clock: bool,
    },
    /// The running sync of the log ends.
    Synced {
        life: u64,
        fails: bool,
    },
    SnapshotStep {
        life: u64,
    },
    /// The process is started.
    Start,
    Up {
        socket: u64,
    },
    /// A packet that says that the connection is there, or a reset, reaches the server.
    Accept {
        socket: u64,
    },
    Reset {
        socket: u64,
    },
    Read {
        socket: u64,
    },
    /// A close that waits for a deaf client waits no longer.
    Linger {
        socket: u64,
    },
    Act {
        client: usize,
    },
    Disturb,
    SpaceBack {
        life: u64,
    },
}

/// The server process.
pub(super) enum Process {
    Down,
    Booting(Box<Booting>),
    Up(Box<Server>),
}

/// A virtual client and what drives it.
pub(super) struct Actor {
    pub client: Client,
    pub workload: Workload,
    pub socket: Option<u64>,
    /// Its next act; another event of it is an old one, overtaken by this.
    pub acts_at_ns: u64,
    /// When it last sent something.
    pub heard_ns: u64,
    /// Requests still to be made in the phase that counts them.
    pub left: u64,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Faults,
    Healed,
    Quiet,
    /// Not even pings.
    Still,
    Closing,
}

pub struct World {
    pub(super) plan: Plan,
    pub(super) shape: Shape,
    pub(super) now: Now,
    pub(super) tick: u64,
    sequence: u64,
    pub(super) events: BTreeMap<(u64, u64), Event>,
    pub(super) trace: Trace,
    pub(super) history: History,
    pub(super) disk: Disk,
    pub(super) process: Process,
    /// Counts starts.
    pub(super) life: u64,
    pub(super) log_thread: LogThread,
    pub(super) snapshot_thread: SnapshotThread,
    snapshot_stepping: bool,
    awake: Vec<bool>,
    timers: Vec<Option<u64>>,
    idle_turns: u64,
    pub(super) stalled_until: u64,
    pub(super) sockets: BTreeMap<u64, Socket>,
    pub(super) next_socket: u64,
    pub(super) connections: BTreeMap<(usize, ConnectionId), u64>,
    pub(super) slots: Vec<Slots>,
    pub(super) actors: Vec<Actor>,
    pub(super) phase: Phase,
    /// Healed, and whatever the faults left behind is over.
    pub(super) steady: bool,
    pub(super) disturber: Disturber,
    pub(super) claims: Claims,
    schedule: Prng,
    pub(super) network: Prng,
    pub(super) storage: Prng,
    pub(super) acting: Prng,
    salts: Prng,
    pub(super) settings: replica::Settings,
    shard_settings: shard::Settings,
    pub(super) space_low: bool,
    pub(super) space_low_ns: u64,
    /// Wall clock at the last group, for the check of the transactions' times.
    wall_span: (WallMillis, WallMillis),
    pub(super) wall_offset_ms: i64,
    /// Durable for certain.
    pub(super) durable: Zxid,
    published: Zxid,
    pub(super) counts: Counts,
}

/// What a run was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub transactions: u64,
    pub replies: u64,
    pub events: u64,
    pub starts: u64,
    pub power_losses: u64,
    pub snapshots: u64,
    pub expired: u64,
    pub resumed: u64,
    pub cuts: u64,
    pub damaged: u64,
    pub refused_starts: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.transactions += other.transactions;
        self.replies += other.replies;
        self.events += other.events;
        self.starts += other.starts;
        self.power_losses += other.power_losses;
        self.snapshots += other.snapshots;
        self.expired += other.expired;
        self.resumed += other.resumed;
        self.cuts += other.cuts;
        self.damaged += other.damaged;
        self.refused_starts += other.refused_starts;
    }
}

impl World {
    pub fn new(plan: Plan, text: bool) -> World {
        let shape = Shape::draw(plan.seed);
        let stream = |name: &str| Prng::salted(plan.seed, name);
        let mut keys = stream("keys");
        let hash_key = HashKey(keys.next(), keys.next());
        let settings = replica::Settings {
            server: ServerId(1),
            tick: shape.tick,
            session_timeout_min: shape.tick * 2,
            session_timeout_max: shape.tick * 20,
            extended_types: false,
            skip_acl: false,
            enforce_quota: false,
            containers: replica::ContainerSettings {
                check_interval: Duration::from_secs(60),
                per_minute: 10_000,
                never_used: None,
            },
            snapshots: SnapshotSettings {
                count: shape.snapshot_count,
                log_bytes: 0,
                bytes_per_second: shape.snapshot_bytes_per_second,
                retain: shape.retain,
                seed: keys.next(),
            },
            hash_key,
        };
        let shard_settings = shard::Settings {
            super_digest: None,
            tick: shape.tick,
            frame_bytes_max: 1 << 20,
            sessionless_timeout: Duration::from_secs(10),
            skip_acl: false,
            hash_key,
        };
        let actors = (0..shape.clients).map(|index| Actor {
            client: Client::new(index),
            workload: Workload::new(plan.seed, index, shape.names),
            socket: None,
            acts_at_ns: 0,
            heard_ns: 0,
            left: 0,
        });
        let wall_offset_ms = 1_700_000_000_000;
        let start = Now { instant: Instant(5_000_000_000), wall: WallMillis(wall_offset_ms + 5_000) };
        let mut world = World {
            now: start,
            tick: 0,
            sequence: 0,
            events: BTreeMap::new(),
            trace: Trace::new(text, plan.trace),
            history: History::new(shape.tick.as_nanos() as u64 * 2 + 2_000_000_000),
            disk: Disk::default(),
            process: Process::Down,
            life: 0,
            log_thread: LogThread::default(),
            snapshot_thread: SnapshotThread::default(),
            snapshot_stepping: false,
            awake: vec![],
            timers: vec![],
            idle_turns: 0,
            stalled_until: 0,
            sockets: BTreeMap::new(),
            next_socket: 0,
            connections: BTreeMap::new(),
            slots: vec![],
            actors: actors.collect(),
            phase: Phase::Faults,
            steady: false,
            disturber: Disturber::new(plan.seed),
            claims: Claims::default(),
            schedule: stream("schedule"),
            network: stream("network"),
            storage: stream("storage"),
            acting: stream("acting"),
            salts: stream("salts"),
            settings,
            shard_settings,
            space_low: false,
            space_low_ns: 0,
            wall_span: (start.wall, start.wall),
            wall_offset_ms,
            durable: Zxid::ZERO,
            published: Zxid::ZERO,
            counts: Counts::default(),
            shape,
            plan,
        };
        world.after(Duration::ZERO, Event::Start);
        world.after(world.shape.think * 100, Event::Disturb);
        for client in 0..world.actors.len() {
            world.act_later(client);
        }
        world
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.now.instant.0
    }

    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now_ns() + delay.as_nanos() as u64, event);
    }

    pub(super) fn at(&mut self, ns: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((ns.max(self.now_ns()), self.sequence), event);
    }

    /// Around `usual`: mostly near it, sometimes far above.
    pub(super) fn jitter(prng: &mut Prng, usual: Duration, rough: bool) -> Duration {
        let percent = match prng.below(100) {
            0..=1 if rough => 10_000,
            2..=9 if rough => 1_000,
            _ => 20 + prng.below(200),
        };
        Duration::from_nanos(usual.as_nanos() as u64 * percent / 100 + prng.below(1_000))
    }

    /// The client acts soon.
    pub(super) fn act_later(&mut self, client: usize) {
        let delay = Self::jitter(&mut self.acting, self.shape.think, true).min(self.keepalive(client));
        self.act_in(client, delay);
    }

    /// The client acts after `delay`, or sooner if it was about to.
    pub(super) fn act_in(&mut self, client: usize, delay: Duration) {
        let (now, at) = (self.now_ns(), self.now_ns() + 1 + delay.as_nanos() as u64);
        let next = &mut self.actors[client].acts_at_ns;
        if *next <= now || at < *next {
            *next = at;
            self.at(at, Event::Act { client });
        }
    }

    /// A client lets itself be heard this often.
    pub(super) fn keepalive(&self, client: usize) -> Duration {
        let timeout_ms = self.actors[client].client.session.as_ref().map_or(1_000, |known| known.timeout_ms);
        Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0) / 3)
    }

    /// The next event. False if there is none, which can't be while clients live.
    pub(super) fn step(&mut self) -> Checked<bool> {
        let Some(((ns, _), event)) = self.events.pop_first() else { return Ok(false) };
        self.tick += 1;
        if ns > self.now_ns() {
            self.now.instant = Instant(ns);
            self.now.wall = WallMillis(self.wall_offset_ms + (ns / 1_000_000) as i64);
        }
        let wall = self.now.wall;
        self.wall_span = (self.wall_span.0.min(wall), self.wall_span.1.max(wall));
        match event {
            Event::Turn { life, thread, by_clock } if life == self.life => {
                self.turn(thread, by_clock)?;
            }
            Event::Synced { life, fails } if life == self.life => self.on_synced(fails)?,
            Event::SnapshotStep { life } if life == self.life => self.on_snapshot_step(),
            Event::SpaceBack { life } if life == self.life => self.set_space(false),
            Event::Turn { .. }
            | Event::Synced { .. }
            | Event::SnapshotStep { .. }
            | Event::SpaceBack { .. } => {}
            Event::Start => self.start()?,
            Event::Accept { socket } => self.on_accept(socket),
            Event::Up { socket } => self.on_up(socket),
            Event::Reset { socket } => self.end_on_server(socket),
            Event::Read { socket } => self.on_read(socket)?,
            Event::Linger { socket } => self.end_on_server(socket),
            Event::Act { client } if self.actors[client].acts_at_ns == ns => self.act(client)?,
            Event::Act { .. } => {}
            Event::Disturb => self.disturb()?,
        }
        Ok(true)
    }

    // The process.

    pub(super) fn server(&mut self) -> Option<&mut Server> {
        match &mut self.process {
            Process::Up(server) => Some(server),
            Process::Down | Process::Booting(_) => None,
        }
    }

    fn start(&mut self) -> Checked {
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

    fn finish_start(&mut self) -> Checked {
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
        let (ring, canary) = (self.shape.ring, self.plan.canary);
        let server = Server::new(start, &self.shard_settings, self.now, prng, ring, canary);
        let threads = server.threads();
        self.process = Process::Up(Box::new(server));
        self.awake = vec![false; threads];
        self.timers = vec![None; threads];
        self.slots = (0..self.plan.shards).map(|_| Slots::default()).collect();
        self.space_low = false;
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

    // Threads.

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

    fn set_timer(&mut self, thread: usize) {
        let Some(wanted) = self.server().and_then(|server| server.next_wakeup(thread)) else { return };
        let wanted = wanted.0.max(self.stalled_until).max(self.now_ns() + 1_000);
        if self.timers[thread].is_none_or(|set| set > wanted) {
            self.timers[thread] = Some(wanted);
            self.at(wanted, Event::Turn { life: self.life, thread, by_clock: true });
        }
    }

    fn turn(&mut self, thread: usize, by_clock: bool) -> Checked {
        if self.now_ns() < self.stalled_until {
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
        let worked = server.is_busy(thread);
        server.step(thread, now, &mut effects);
        self.trace.note("turn", &[thread as u64, self.now_ns(), effects.len() as u64]);
        self.check_spinning(worked || !effects.is_empty())?;
        for effect in effects {
            self.carry_out(effect)?;
        }
        self.wake_busy();
        self.set_timer(thread);
        Ok(())
    }

    /// A thread that is woken by the clock again and again and has nothing to do burns a core.
    fn check_spinning(&mut self, worked: bool) -> Checked {
        self.idle_turns = if worked { 0 } else { self.idle_turns + 1 };
        if self.idle_turns > 5_000 {
            return violation("no busy loop", "the clock wakes a thread that has nothing to do".into());
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
            Effect::Close { shard, connection } => self.on_close(shard, connection),
            Effect::Heard { shard, connection } => {
                let socket = self.connections.get(&(shard, connection));
                let client = socket.and_then(|socket| self.sockets.get(socket)).map(|socket| socket.client);
                if let Some(known) = client.and_then(|client| self.actors[client].client.session.clone()) {
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

    // Storage.

    pub(super) fn on_log(&mut self, command: Command) -> Checked {
        match &command {
            Command::Create { segment, header, bytes } => {
                self.trace.note("create", &[segment.0, *bytes]);
                self.trace.bytes(header);
                self.claims.on_segment(*segment, header);
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

    fn on_synced(&mut self, fails: bool) -> Checked {
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

    fn arrange_snapshot(&mut self) {
        if self.snapshot_thread.is_busy() && !std::mem::replace(&mut self.snapshot_stepping, true) {
            let delay = Self::jitter(&mut self.storage, self.shape.sync, self.plan.faults.slow);
            self.after(delay, Event::SnapshotStep { life: self.life });
        }
    }

    fn on_snapshot_step(&mut self) {
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
        if let Some(server) = self.server() {
            server.inputs.push_back(if low { Input::SpaceLow } else { Input::SpaceBack });
        }
        self.wake(0);
    }

    pub(super) fn start_later(&mut self) {
        let delay = Duration::from_micros(self.storage.below(2_000_000));
        self.after(delay, Event::Start);
    }

    // Connections: `wires.rs`. Clients: `actors.rs`.

    pub(super) fn is_active(&self, client: usize) -> bool {
        self.actors[client].client.state == State::Active
    }

    pub(super) fn session_of(&self, client: usize) -> Option<SessionId> {
        self.actors[client].client.session.as_ref().map(|known| known.id)
    }
}
