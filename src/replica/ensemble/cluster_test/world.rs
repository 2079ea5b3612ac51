//! Time, events, and what goes wrong.

use super::disk_faults::Failing;
use super::*;
use crate::shard;

/// A hash over everything that passes between the servers and the world.
#[derive(Default)]
pub struct Hash(pub u64);

impl Hash {
    pub fn add(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.add(&[bytes.len() as u64, crc32c::crc32c(bytes).into()]);
    }
}

#[derive(Debug)]
pub enum Event {
    Dialled {
        node: usize,
        life: u64,
        link: Link,
        port: u16,
    },
    Bytes {
        wire: usize,
        end: usize,
        bytes: Bytes,
    },
    Gone {
        wire: usize,
        end: usize,
    },
    Sent {
        node: usize,
        life: u64,
        link: Link,
    },
    Turn {
        node: usize,
        life: u64,
    },
    Synced {
        node: usize,
        life: u64,
        fails: Option<Failing>,
    },
    Lie {
        node: usize,
        life: u64,
        ticket: Ticket,
    },
    SnapshotStep {
        node: usize,
        life: u64,
    },
    /// `is_due`: one is wanted.
    SegmentReady {
        node: usize,
        life: u64,
        is_due: bool,
    },
    Start {
        node: usize,
    },
    Crash {
        node: usize,
        power: bool,
    },
    Lose {
        node: usize,
        what: Lost,
    },
    Space {
        node: usize,
        is_low: bool,
    },
    ToServer {
        node: usize,
        life: u64,
        connection: ConnectionId,
        bytes: Vec<u8>,
    },
    ClientSent {
        node: usize,
        life: u64,
        connection: ConnectionId,
        buffer: Vec<u8>,
    },
    ServerClosed {
        node: usize,
        life: u64,
        connection: ConnectionId,
    },
    ToClient {
        client: usize,
        turn: u64,
        bytes: Vec<u8>,
    },
    ClientGone {
        client: usize,
        turn: u64,
    },
    Act {
        client: usize,
        turn: u64,
    },
}

pub struct World {
    pub plan: Plan,
    pub prng: Prng,
    pub now: u64,
    order: u64,
    events: BTreeMap<(u64, u64), Event>,
    pub nodes: Vec<Node>,
    pub wires: Vec<Wire>,
    /// Where the open ends of wires are.
    pub ends: BTreeMap<(usize, u64, Link), (usize, usize)>,
    /// From, to: until when nothing gets through.
    pub cuts: BTreeMap<(usize, usize), u64>,
    /// Directions in which a test holds everything back, and what.
    pub held: BTreeSet<(usize, usize)>,
    pub held_bytes: Vec<(usize, usize, Bytes)>,
    /// What was said on quorum ports: from, to, kind, zxid.
    pub packets: Vec<(usize, usize, Kind, Zxid)>,
    pub people: Vec<Person>,
    pub judge: Judge,
    /// Each transaction that anybody ever had in its log.
    pub logged: BTreeMap<Zxid, Bytes>,
    pub has_faults: bool,
    /// A reconfiguration needs more of those who are without their history than can be spared: nobody promises that it
    /// ever comes to an end.
    pub is_past_promise: bool,
    pub calm_since: u64,
    /// What has gone wrong so far, and how often.
    pub happened: BTreeMap<&'static str, u64>,
    pub hash: Hash,
}

pub fn port_of(node: usize, is_quorum: bool) -> u16 {
    (if is_quorum { 2000 } else { 3000 }) + node as u16
}

impl World {
    /// Everybody starts within 300 ms.
    pub fn new(plan: Plan) -> World {
        let mut prng = Prng::salted(plan.seed, "world");
        let mut text = String::new();
        let count = plan.node_count();
        for node in (0..count).filter(|node| plan.is_member(*node)) {
            text += &(member_line(node, plan.is_voter(node)) + "\n");
        }
        text += &plan.hierarchy;
        let config = Arc::new(Config::parse(&(text + "version=0")).expect("a configuration"));
        let nodes = (0..count).map(|_| {
            let mut node = Node::new(if plan.skewed { 900 + prng.below(201) } else { 1000 });
            if plan.faults.slow && prng.chance(1, 6) {
                node.slow = 4;
            }
            node
        });
        let nodes = nodes.collect();
        let people = (0..plan.clients).map(|client| {
            let timeout_ms = [1000, 2000][prng.below(2) as usize];
            Person::new(client % count, timeout_ms, true)
        });
        let people = people.collect();
        let mut world = World {
            prng,
            now: BEGIN,
            order: 0,
            events: BTreeMap::new(),
            nodes,
            wires: vec![],
            ends: BTreeMap::new(),
            cuts: BTreeMap::new(),
            held: BTreeSet::new(),
            held_bytes: vec![],
            packets: vec![],
            people,
            judge: Judge::new(config.clone()),
            logged: BTreeMap::new(),
            has_faults: false,
            is_past_promise: false,
            calm_since: BEGIN,
            happened: BTreeMap::new(),
            hash: Hash::default(),
            plan,
        };
        for node in 0..count {
            if world.nodes[node].slow > 1 {
                world.count("a slow server");
            }
            if world.nodes[node].rate != 1000 {
                world.count("a skewed clock");
            }
            let delay = world.prng.below(300_000_000);
            world.at(delay, Event::Start { node });
        }
        world
    }

    pub fn at(&mut self, after: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now.saturating_add(after), self.order), event);
    }

    /// For so many milliseconds, or until `is_done`: whether it was.
    pub fn run(&mut self, ms: u64, mut is_done: impl FnMut(&World) -> bool) -> bool {
        let until = self.now + ms * 1_000_000;
        while self.now < until {
            let next_look = (self.now / LOOK + 1) * LOOK;
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 < next_look) {
                let ((at, _), event) = entry.remove_entry();
                self.now = self.now.max(at);
                self.happen(event);
                if self.has_faults && self.prng.below(self.plan.rarity) == 0 {
                    self.break_something_else();
                }
            }
            self.now = next_look;
            for node in 0..self.nodes.len() {
                let is_awake = self.now >= self.nodes[node].stalled_until;
                if is_awake && self.nodes[node].is_due(self.instant(node)) {
                    self.turn(node);
                }
            }
            self.look_after_people();
            self.look_for_histories();
            if is_done(self) {
                return true;
            }
        }
        false
    }

    fn break_something_else(&mut self) {
        let faults = self.plan.faults;
        let node = self.prng.below(self.nodes.len() as u64) as usize;
        let delay = self.prng.below(400_000_000);
        match self.prng.below(10) {
            0 | 1 if faults.crash => {
                let power = self.prng.chance(1, 2);
                self.count(if power { "power is lost" } else { "a process dies" });
                self.at(0, Event::Crash { node, power });
                self.at(delay * 2, Event::Start { node });
            }
            2 if faults.crash && self.prng.chance(1, 3) => {
                self.count("power is lost by all");
                for node in 0..self.nodes.len() {
                    self.at(0, Event::Crash { node, power: true });
                    let delay = self.prng.below(400_000_000);
                    self.at(delay, Event::Start { node });
                }
            }
            3 | 4 if faults.cut => {
                self.count("a cut");
                self.cut_something(delay * 2);
            }
            5 if faults.cut => {
                self.count("a connection breaks");
                self.break_something();
            }
            6 if faults.full => {
                self.at(0, Event::Space { node, is_low: true });
                self.at(delay * 3, Event::Space { node, is_low: false });
            }
            // One after the other: what waits for the end of one must not be overtaken by what waits for the next.
            7 if faults.slow && self.nodes[node].stalled_until < self.now => {
                self.count("a process stands still");
                self.nodes[node].stalled_until = self.now + delay * 2;
            }
            _ if self.plan.canary == Some(Canary::WipedVoterVotes) && self.may_be_wiped(node) => {
                // One has missed something, one has lost it, and who has it is away.
                let late = (node + 1) % self.nodes.len();
                let away = (node + 2) % self.nodes.len();
                self.isolate(late, 200_000_000);
                self.at(200_000_000, Event::Crash { node: away, power: false });
                let epochs = !self.plan.has_bug(Canary::WipedVoterVotes);
                self.at(200_000_000, Event::Lose { node, what: Lost { epochs, ..Lost::ALL } });
                self.at(200_000_001, Event::Start { node });
                self.at(1_500_000_000, Event::Start { node: away });
            }
            8 if faults.wipe && self.may_be_wiped(node) => {
                let what = Lost::draw(&mut self.prng);
                self.count(if what == Lost::ALL { "a disk is wiped" } else { "a disk is lost in part" });
                self.at(0, Event::Lose { node, what });
                self.at(delay, Event::Start { node });
            }
            9 if faults.disk.reading => {
                // It matters to who starts.
                self.nodes[node].disk.unreadable_until = self.now + delay * 2;
                if self.prng.chance(1, 2) {
                    self.at(0, Event::Crash { node, power: false });
                    self.at(delay, Event::Start { node });
                }
            }
            _ => {}
        }
    }

    /// What was lost must be elsewhere: those who have their history are a quorum, of the configuration in force and of
    /// any that is proposed.
    fn may_be_wiped(&self, node: usize) -> bool {
        self.open_configs().iter().all(|config| self.can_spare(config, Some(node)))
    }

    /// Those of its voters who are without their history, with this one.
    pub fn can_spare(&self, config: &Config, node: Option<usize>) -> bool {
        let is_without = |id: ServerId| {
            let other = id.0 as usize - 1;
            Some(other) == node || !self.nodes[other].has_history
        };
        config.has_quorum(&config.voters().iter().filter(|id| !is_without(*id)).collect())
    }

    /// Of the process to which it happens: stopped ones hear later.
    fn node_of(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Bytes { wire, end, .. } | Event::Gone { wire, end } => {
                Some(self.wires[*wire].ends[*end].0)
            }
            Event::Dialled { node, .. }
            | Event::Sent { node, .. }
            | Event::Turn { node, .. }
            | Event::Synced { node, .. }
            | Event::SnapshotStep { node, .. }
            | Event::ToServer { node, .. }
            | Event::ClientSent { node, .. }
            | Event::ServerClosed { node, .. } => Some(*node),
            _ => None,
        }
    }

    fn happen(&mut self, event: Event) {
        if let Some(node) = self.node_of(&event)
            && self.nodes[node].stalled_until > self.now
        {
            return self.at(self.nodes[node].stalled_until - self.now, event);
        }
        match event {
            Event::Dialled { node, life, link, port } => self.on_dialled(node, life, link, port),
            Event::Bytes { wire, end, bytes } => self.on_bytes(wire, end, &bytes),
            Event::Gone { wire, end } => self.on_gone(wire, end),
            Event::Sent { node, life, link } if self.nodes[node].life == life => {
                self.peer(node, PeerInput::Sent { link });
            }
            Event::Turn { node, life } if self.nodes[node].life == life => self.turn(node),
            Event::Synced { node, life, fails } if self.nodes[node].disk_life == life => {
                self.on_synced(node, fails);
            }
            Event::Lie { node, life, ticket } if self.nodes[node].disk_life == life => {
                self.tell(node, Input::Durable { ticket });
            }
            Event::SnapshotStep { node, life } if self.nodes[node].disk_life == life => {
                self.on_snapshot_step(node);
            }
            Event::SegmentReady { node, life, is_due } if self.nodes[node].disk_life == life => {
                self.on_segment(node, is_due);
            }
            Event::Space { node, is_low } => self.on_space(node, is_low),
            Event::Start { node } => self.start(node),
            Event::Crash { node, power } => self.crash(node, power),
            Event::Lose { node, what } if self.may_be_wiped(node) => self.lose(node, what),
            Event::ToServer { node, life, connection, bytes } => {
                let found = &self.nodes[node];
                if found.life == life && found.clients.contains_key(&connection) {
                    self.hear(node, shard::Input::Received { connection, bytes: &bytes });
                }
            }
            Event::ClientSent { node, life, connection, buffer } => {
                let found = &self.nodes[node];
                if found.life == life && found.clients.contains_key(&connection) {
                    self.hear(node, shard::Input::Sent { connection, buffer });
                }
            }
            Event::ServerClosed { node, life, connection } if self.nodes[node].life == life => {
                self.on_server_closed(node, connection);
            }
            Event::ToClient { client, turn, bytes } => self.on_bytes_for_client(client, turn, &bytes),
            Event::ClientGone { client, turn } => self.on_client_gone(client, turn),
            Event::Act { client, turn } => self.act(client, turn),
            // Of a life that is over.
            _ => {}
        }
    }

    /// Everything is as it should be from here on.
    pub fn calm_down(&mut self) {
        self.has_faults = false;
        self.heal();
        for node in 0..self.nodes.len() {
            // Who stands still goes on when its time has come: what waits for that would be overtaken.
            self.nodes[node].slow = 1;
            self.nodes[node].disk.holds_syncs = false;
            self.nodes[node].disk.holds_snapshots = false;
            self.nodes[node].disk.unreadable_until = 0;
            self.at(0, Event::Space { node, is_low: false });
            self.at(0, Event::Start { node });
        }
        self.calm_since = self.now;
    }
}
