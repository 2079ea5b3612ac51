//! The event loop: time, what happens next, and who is told.
//!
//! Time jumps to the earliest event. Everything random comes from the plan's seed, one stream per component.
//! A run: a phase with faults; then everything heals and each client must get answers; then clients fall silent,
//! sessions that nobody keeps must expire, and what the server holds must shrink back; then it is stopped and started
//! once more, and must remember.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{ConnectionId, HashKey, Instant, Now, Prng, ServerId, SessionId, WallMillis, Zxid};
use crate::replica::{self, SnapshotSettings};
use crate::shard;
use crate::tree::{self, Passwords};

use super::boot::{Booting, Disk};
use super::client::{Client, State};
use super::faults::{Claims, Disturber};
use super::history::{Checked, History};
use super::model::Rules;
use super::network::{Slots, Socket};
use super::plan::{Canary, Plan, Shape};
use super::server::Server;
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
    /// The next segment is prepared, or the disk has no room for it.
    Prepared {
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
    /// On this connection from before the healing not everything was answered yet.
    pub unproven: bool,
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
    /// The server's last act was to seal its log: its threads run no more.
    Stopped,
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
    pub(super) snapshot_stepping: bool,
    pub(super) awake: Vec<bool>,
    pub(super) timers: Vec<Option<u64>>,
    /// Steps in a row that had nothing to do, and since when.
    pub(super) idle: (u64, u64),
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
    pub(super) schedule: Prng,
    pub(super) network: Prng,
    pub(super) storage: Prng,
    pub(super) acting: Prng,
    pub(super) salts: Prng,
    pub(super) settings: replica::Settings,
    pub(super) shard_settings: shard::Settings,
    /// The disk has no room for new files.
    pub(super) space_low: bool,
    /// The replica has been told so.
    pub(super) space_told: bool,
    /// Segments that are prepared.
    pub(super) spares: u64,
    pub(super) space_low_ns: u64,
    /// Wall clock at the last group, for the check of the transactions' times.
    pub(super) wall_span: (WallMillis, WallMillis),
    pub(super) wall_offset_ms: i64,
    /// Durable for certain.
    pub(super) durable: Zxid,
    pub(super) published: Zxid,
    pub(super) counts: Counts,
    /// The most that the tree ever had.
    pub(super) nodes_max: usize,
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
    pub reaped: u64,
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
        self.reaped += other.reaped;
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
            rules: tree::Rules { extended_types: shape.extended_types, ..Default::default() },
            containers: replica::ContainerSettings {
                check_interval: shape.reap_interval,
                per_minute: shape.reap_per_minute,
                never_used: match plan.canary {
                    Some(Canary::ReapedEarly) => Some(Duration::ZERO),
                    _ => shape.never_used,
                },
            },
            snapshots: SnapshotSettings {
                count: shape.snapshot_count,
                log_bytes: 0,
                bytes_per_second: shape.snapshot_bytes_per_second,
                ahead_bytes_max: shape.snapshot_ahead_bytes,
                retain: shape.retain,
                seed: keys.next(),
            },
            outstanding_max: shape.outstanding_max,
            slow_request: Duration::MAX,
            throttle: None,
            turn_budget: shape.turn_budget,
            hash_key,
            passwords: Passwords::default(),
            history: None,
            digests: shape.digests,
        };
        let shard_settings = shard::Settings {
            super_digest: None,
            tick: shape.tick,
            frame_bytes_max: 1 << 20,
            sessionless_timeout: Duration::from_secs(10),
            slow_request: Duration::MAX,
            skip_acl: false,
            turn_budget: shape.turn_budget,
            large_requests: shard::LargeRequests::default(),
            bounds: shard::Bounds {
                output_bytes: shape.output_bytes,
                input_bytes: shard::Bounds::DEFAULT.input_bytes,
                turn_requests: shape.turn_requests,
                turn_requests_waiting: 2 * shape.turn_requests,
                writes: shape.writes,
                writes_share: 1 + shape.writes / 8,
                turn_notices: shape.turn_requests / 2,
            },
            hash_key,
            is_serving: true,
        };
        let actors = (0..shape.clients).map(|index| Actor {
            client: Client::new(index, plan.canary),
            workload: Workload::new(plan.seed, index, shape.names),
            socket: None,
            acts_at_ns: 0,
            heard_ns: 0,
            left: 0,
            unproven: false,
        });
        let rules = Rules {
            extended_types: shape.extended_types,
            never_used_ms: shape.never_used.map(|duration| duration.as_millis() as i64),
        };
        let wall_offset_ms = 1_700_000_000_000;
        let start = Now { instant: Instant(5_000_000_000), wall: WallMillis(wall_offset_ms + 5_000) };
        let mut world = World {
            now: start,
            tick: 0,
            sequence: 0,
            events: BTreeMap::new(),
            trace: Trace::new(text, plan.trace),
            history: History::new(rules, shape.tick.as_nanos() as u64 * 2 + 2_000_000_000),
            disk: Disk::default(),
            process: Process::Down,
            life: 0,
            log_thread: LogThread::default(),
            snapshot_thread: SnapshotThread::default(),
            snapshot_stepping: false,
            awake: vec![],
            timers: vec![],
            idle: (0, start.instant.0),
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
            space_told: false,
            spares: 0,
            space_low_ns: 0,
            wall_span: (start.wall, start.wall),
            wall_offset_ms,
            durable: Zxid::ZERO,
            published: Zxid::ZERO,
            counts: Counts::default(),
            nodes_max: 0,
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
            Event::Prepared { life } if life == self.life => self.on_prepared(),
            Event::Turn { .. }
            | Event::Synced { .. }
            | Event::SnapshotStep { .. }
            | Event::SpaceBack { .. }
            | Event::Prepared { .. } => {}
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

    pub(super) fn server(&mut self) -> Option<&mut Server> {
        match &mut self.process {
            Process::Up(server) => Some(server),
            Process::Down | Process::Booting(_) => None,
        }
    }

    // Connections: `wires.rs`. Clients: `actors.rs`.

    pub(super) fn is_active(&self, client: usize) -> bool {
        self.actors[client].client.state == State::Active
    }

    pub(super) fn session_of(&self, client: usize) -> Option<SessionId> {
        self.actors[client].client.session.as_ref().map(|known| known.id)
    }
}
