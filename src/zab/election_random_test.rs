//! Elections of 1 to 7 voters and some observers over a virtual network: delays, lost messages and links, servers that
//! restart with what they had logged, partitions. Faults first, then everything is healed.
//!
//! Held throughout: an established leader of an epoch is one server, and it has a quorum (what `replica` makes of a
//! decision is played here: the leader waits for a quorum of followers, takes a new epoch from them, and tells them).
//! Held after healing: everybody follows one leader within bounded time.

use std::collections::{BTreeMap, VecDeque};

use super::super::quorum::tests::equals;
use super::*;
use crate::base::{Prng, Zxid};
use crate::zab::Standing;

const MS: u64 = 1_000_000;
/// Virtual time that faults last.
const FAULTS: Instant = Instant(20_000 * MS);
/// And what everybody has to agree after that: two of the longest broadcasts' pauses would be too long, so this shows
/// that agreement doesn't hang on them.
const AGREED: Instant = Instant(FAULTS.0 + 15_000 * MS);

#[derive(Clone, Debug)]
enum Event {
    Wakeup(usize),
    Message {
        from: usize,
        to: usize,
        notification: OwnedNotification,
    },
    Refused {
        by: usize,
        to: usize,
    },
    /// A learner reaches its leader, or gives up.
    Join {
        who: usize,
        life: u64,
    },
    Crash(usize),
    Restart(usize),
    Partition,
}

struct Node {
    election: Election,
    is_up: bool,
    /// Counts its elections and lives: what was planned in an earlier one is void.
    life: u64,
    last_logged: Zxid,
    current_epoch: Epoch,
    accepted_epoch: Epoch,
    /// Whom it decided for.
    leader: Option<usize>,
    /// As leader: who has joined; and its epoch, once there was a quorum.
    joined: ServerSet,
    epoch: Option<Epoch>,
}

struct World {
    prng: Prng,
    now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    nodes: Vec<Node>,
    voters: usize,
    /// Cut links, by pairs.
    cut: BTreeMap<(usize, usize), bool>,
    /// Who has led an epoch.
    leaders: BTreeMap<Epoch, usize>,
    /// A link keeps the order of what is sent on it.
    arrival: BTreeMap<(usize, usize), Instant>,
}

fn id(node: usize) -> ServerId {
    ServerId(node as i64 + 1)
}

fn index(server: ServerId) -> usize {
    server.0 as usize - 1
}

impl World {
    fn new(seed: u64) -> World {
        let mut prng = Prng::new(seed);
        let voters = 1 + prng.below(7) as usize;
        let observers = prng.below(3) as usize;
        let joint = Joint::new(Arc::new(equals(1..=voters as i64, 0)), None);
        let node = |node: usize| Node {
            election: Election::new(
                Settings { me: id(node), participant: node < voters, reconfig_enabled: true },
                joint.clone(),
            ),
            is_up: false,
            life: 0,
            last_logged: Zxid(0),
            current_epoch: Epoch(0),
            accepted_epoch: Epoch(0),
            leader: None,
            joined: ServerSet::EMPTY,
            epoch: None,
        };
        let nodes = (0..voters + observers).map(node).collect();
        let mut world = World {
            prng,
            now: Instant(0),
            events: BTreeMap::new(),
            sequence: 0,
            nodes,
            voters,
            cut: BTreeMap::new(),
            leaders: BTreeMap::new(),
            arrival: BTreeMap::new(),
        };
        for node in 0..voters + observers {
            let at = world.prng.below(500);
            world.plan(at, Event::Restart(node));
        }
        for _ in 0..world.prng.below(12) {
            let at = world.prng.below(20_000);
            let event = match world.prng.below(3) {
                0 => Event::Partition,
                _ => Event::Crash(world.prng.below((voters + observers) as u64) as usize),
            };
            world.plan(at, event);
        }
        world
    }

    fn plan(&mut self, millis: u64, event: Event) {
        self.plan_at(Instant(self.now.0 + millis * MS), event);
    }

    fn plan_at(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    fn has_faults(&self) -> bool {
        self.now < FAULTS
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.has_faults() && self.cut.get(&(a, b)).copied().unwrap_or(false)
    }

    fn run(&mut self) {
        let mut healed = false;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > AGREED {
                break;
            }
            self.now = at;
            if !healed && !self.has_faults() {
                healed = true;
                for node in 0..self.nodes.len() {
                    if !self.nodes[node].is_up {
                        self.plan(self.prng.clone().below(300), Event::Restart(node));
                    }
                }
            }
            self.happen(event);
        }
        self.check_agreed();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wakeup(node) => {
                let due = self.nodes[node].election.next_wakeup().is_some_and(|at| self.now >= at);
                if due && self.nodes[node].is_up {
                    self.step(node, Input::Wakeup);
                }
            }
            Event::Message { from, to, notification } => {
                if self.nodes[to].is_up && !self.is_cut(from, to) {
                    let notification = notification.as_notification();
                    self.step(to, Input::Message { from: id(from), notification });
                }
            }
            Event::Refused { by, to } => {
                if self.nodes[to].is_up && !self.nodes[by].is_up {
                    self.step(to, Input::Unreachable { peer: id(by) });
                }
            }
            Event::Join { who, life } => self.join(who, life),
            Event::Crash(node) => {
                if self.nodes[node].is_up && self.has_faults() {
                    self.nodes[node].is_up = false;
                    self.nodes[node].life += 1;
                    let joint = self.nodes[node].election.joint.clone();
                    let settings = self.nodes[node].election.settings;
                    self.nodes[node].election = Election::new(settings, joint);
                    self.nodes[node].election.now = self.now;
                    self.lost(node);
                    let down = self.prng.below(3_000);
                    self.plan(down, Event::Restart(node));
                }
            }
            Event::Restart(node) => {
                if !self.nodes[node].is_up {
                    self.nodes[node].is_up = true;
                    self.look(node);
                }
            }
            Event::Partition => {
                self.cut.clear();
                let heal = self.prng.chance(1, 3);
                for a in 0..self.nodes.len() {
                    for b in 0..self.nodes.len() {
                        // One way, too.
                        let cut = !heal && self.prng.chance(1, 3);
                        self.cut.insert((a, b), cut);
                    }
                }
                let again = 500 + self.prng.below(4_000);
                self.plan(again, Event::Partition);
                self.notice_cuts();
            }
        }
    }

    /// Followers and leaders find out sooner or later.
    fn notice_cuts(&mut self) {
        for node in 0..self.nodes.len() {
            if let Some(leader) = self.nodes[node].leader.filter(|leader| *leader != node)
                && self.nodes[node].is_up
                && (self.is_cut(node, leader) || self.is_cut(leader, node))
            {
                self.look(node);
            }
        }
    }

    /// Whoever followed it looks again.
    fn lost(&mut self, leader: usize) {
        for node in 0..self.nodes.len() {
            if node != leader && self.nodes[node].is_up && self.nodes[node].leader == Some(leader) {
                self.look(node);
            }
        }
    }

    fn look(&mut self, node: usize) {
        let left = self.nodes[node].leader.take();
        self.nodes[node].life += 1;
        self.nodes[node].joined = ServerSet::EMPTY;
        self.nodes[node].epoch = None;
        if let Some(leader) = left.filter(|leader| *leader != node) {
            let voters = self.nodes[node].election.joint.clone();
            let leader_node = &mut self.nodes[leader];
            leader_node.joined.remove(id(node));
            // A leader without a quorum steps down.
            if leader_node.epoch.is_some() && !voters.has_quorum(&leader_node.joined) && leader_node.is_up {
                self.look(leader);
                self.lost(leader);
            }
        }
        let standing = Standing::Sound { current_epoch: self.nodes[node].current_epoch };
        let start = Start { last_logged: self.nodes[node].last_logged, standing };
        self.step(node, Input::Start(start));
    }

    fn step(&mut self, node: usize, input: Input<'_>) {
        let mut outputs = Vec::new();
        self.nodes[node].election.step(self.now, input, &mut outputs);
        self.carry_out(node, outputs);
    }

    fn carry_out(&mut self, node: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { to, notification } => self.send(node, index(to), notification),
                Output::Decided(decision) => {
                    assert!(self.nodes[node].election.joint.has_quorum(&decision.supporters), "{decision:?}");
                    let leader = index(decision.leader);
                    assert!(leader < self.voters, "an observer leads");
                    self.nodes[node].leader = Some(leader);
                    let life = self.nodes[node].life;
                    if leader == node {
                        assert_eq!(decision.state, PeerState::Leading);
                        self.nodes[node].joined.insert(id(node));
                        self.establish(node);
                    }
                    let patience = if leader == node { 3_000 } else { 1 + self.prng.below(5) };
                    self.plan(patience, Event::Join { who: node, life });
                }
                Output::ConfigSeen { .. } | Output::Ignored { .. } => panic!("{output:?}"),
                Output::PeerLooking { .. } => {}
            }
        }
        if let Some(at) = self.nodes[node].election.next_wakeup() {
            self.plan_at(at.max(self.now), Event::Wakeup(node));
        }
    }

    fn send(&mut self, from: usize, to: usize, notification: OwnedNotification) {
        if !self.nodes[to].is_up && !self.is_cut(from, to) {
            self.plan(1, Event::Refused { by: to, to: from });
            return;
        }
        if self.has_faults() && self.prng.chance(1, 8) {
            return;
        }
        let delay = if self.prng.chance(1, 10) { self.prng.below(300 * MS) } else { self.prng.below(2 * MS) };
        let earliest = self.arrival.get(&(from, to)).copied().unwrap_or_default();
        let at = earliest.max(Instant(self.now.0 + delay));
        self.arrival.insert((from, to), at);
        self.plan_at(at, Event::Message { from, to, notification });
    }

    /// A learner connects to whom it decided for; a leader looks whether it has its quorum.
    fn join(&mut self, who: usize, life: u64) {
        if self.nodes[who].life != life || !self.nodes[who].is_up {
            return;
        }
        let Some(leader) = self.nodes[who].leader else { return };
        if leader == who {
            if self.nodes[who].epoch.is_none() {
                self.look(who);
                self.lost(who);
            }
            return;
        }
        let reachable = !self.is_cut(who, leader) && !self.is_cut(leader, who);
        let leads = self.nodes[leader].is_up && self.nodes[leader].leader == Some(leader);
        // Zab's own guard: a leader that lacks what the learner has is left.
        let ahead = who < self.voters
            && (self.nodes[who].current_epoch, self.nodes[who].last_logged)
                > (self.nodes[leader].current_epoch, self.nodes[leader].last_logged)
            && self.nodes[leader].epoch.is_none();
        if !reachable || !leads || ahead {
            self.look(who);
            return;
        }
        self.nodes[leader].joined.insert(id(who));
        match self.nodes[leader].epoch {
            Some(epoch) => self.follow(who, leader, epoch),
            None => self.establish(leader),
        }
    }

    fn establish(&mut self, leader: usize) {
        let joined = self.nodes[leader].joined;
        if self.nodes[leader].epoch.is_some() || !self.nodes[leader].election.joint.has_quorum(&joined) {
            return;
        }
        let members: Vec<usize> = joined.iter().map(index).collect();
        let epoch = members.iter().map(|node| self.nodes[*node].accepted_epoch).max().unwrap_or_default();
        let epoch = Epoch(epoch.0 + 1);
        let before = self.leaders.insert(epoch, leader);
        assert_eq!(before, None, "two leaders of epoch {epoch:?}: {} and {before:?}", leader);
        self.nodes[leader].epoch = Some(epoch);
        // Something is written in every reign; what not everybody gets is what elections are about.
        self.nodes[leader].last_logged = Zxid((epoch.0 << 32) + self.prng.below(100) as i64);
        for node in members {
            self.follow(node, leader, epoch);
        }
    }

    fn follow(&mut self, node: usize, leader: usize, epoch: Epoch) {
        let last = self.nodes[leader].last_logged;
        let node_ref = &mut self.nodes[node];
        node_ref.accepted_epoch = epoch;
        node_ref.current_epoch = epoch;
        node_ref.last_logged = last;
        let mut outputs = Vec::new();
        node_ref.election.set_peer_epoch(epoch, &mut outputs);
        self.carry_out(node, outputs);
    }

    fn check_agreed(&self) {
        let leader = self.nodes[0].leader.expect("a leader, after healing");
        for (node, state) in self.nodes.iter().enumerate() {
            assert_eq!(state.leader, Some(leader), "server {} in {:?}", id(node).0, state.election);
            assert_eq!(state.election.next_wakeup(), None);
        }
        assert!(self.nodes[leader].epoch.is_some());
    }
}

fn run(seed: u64) -> (usize, VecDeque<Epoch>) {
    let mut world = World::new(seed);
    world.run();
    (world.sequence as usize, world.leaders.keys().copied().collect())
}

#[test]
fn after_any_faults_everybody_follows_one_leader() {
    let mut reigns = 0;
    for seed in 0..400 {
        let outcome = std::panic::catch_unwind(|| run(seed));
        let (_, leaders) = outcome.unwrap_or_else(|_| panic!("seed {seed}"));
        reigns += leaders.len();
    }
    assert!(reigns > 800, "only {reigns} reigns: the faults did nothing");
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}
