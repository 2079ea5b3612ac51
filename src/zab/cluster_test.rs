//! Leaders and learners against each other, in a world made of a seed: bytes come late and in pieces, links break, servers
//! crash and lose what was not durable, and an oracle that knows only what an election may know names the leaders.
//!
//! What must hold: all servers commit the same transactions in the same order; what a leader has committed is in the
//! history of every later leader; when the faults end, all have the same log.

#[path = "cluster_driver_test.rs"]
mod driver;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    Config, Epochs, History, HistoryLimits, Joint, Leader, LeaderInput, LeaderOutput, Learner, LearnerInput,
    LearnerOutput, LearnerRole, Link, Member as Described, Settings,
};
use crate::base::{Instant, Prng, ServerId, Zxid};
use crate::wire::peer::Kind;
use crate::wire::peer::packet;

const TICK: Duration = Duration::from_millis(100);
const LIMITS: HistoryLimits = HistoryLimits { count: 6, bytes: 1 << 20 };

/// What a driver could do wrong. Each must be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canary {
    None,
    /// A log says "durable" when it has been told to append.
    DurableTooEarly,
    /// A crash takes the epochs.
    EpochsForgotten,
    /// A voter comes back with an empty disk and votes.
    DiskWiped,
    /// One voter of three is a quorum.
    QuorumOfOne,
}

type Log = Vec<(Zxid, Bytes)>;

enum Role {
    Looking,
    Leading(Leader),
    Learning(Learner, Option<Link>),
}

struct Member {
    id: ServerId,
    is_voter: bool,
    is_up: bool,
    /// On the disk.
    log: Log,
    epochs: Epochs,
    /// On the way there.
    tail: Log,
    next_epochs: Option<Epochs>,
    history: History,
    committed: Vec<(Zxid, Bytes)>,
    /// Committed up to here, as this process knows.
    known: Zxid,
    /// The tree is as of here: after a start, of all that the log has.
    tree: Zxid,
    role: Role,
    snapshot: Vec<u8>,
}

struct Wire {
    to: usize,
    from: usize,
    /// From the learner, to the learner.
    bytes: [VecDeque<Bytes>; 2],
}

struct World {
    prng: Prng,
    now: Instant,
    canary: Canary,
    members: Vec<Member>,
    wires: BTreeMap<Link, Wire>,
    links: u64,
    writes: u64,
    /// By any leader, in order.
    agreed: Vec<(Zxid, Bytes)>,
    faults: bool,
    elections: u64,
    snapshots: u64,
    truncations: u64,
}

fn settings(id: ServerId) -> Settings {
    let (init_limit, sync_limit, payload_bytes_max) = (40, 20, 1 << 20);
    Settings { me: id, tick: TICK, init_limit, sync_limit, payload_bytes_max, reconfig_enabled: false }
}

impl Member {
    fn last(&self) -> Zxid {
        self.log.iter().chain(&self.tail).last().map_or(Zxid::ZERO, |(zxid, _)| *zxid)
    }

    fn fill_history(&mut self) {
        self.history = History::new(LIMITS, Zxid::ZERO);
        for (zxid, payload) in &self.log {
            self.history.push(*zxid, payload.clone());
            self.history.trim(*zxid);
        }
    }
}

impl World {
    fn new(seed: u64, voters: usize, observers: usize, canary: Canary) -> World {
        let members = (0..voters + observers).map(|at| Member {
            id: ServerId(at as i64 + 1),
            is_voter: at < voters,
            is_up: true,
            log: vec![],
            epochs: Epochs::default(),
            tail: vec![],
            next_epochs: None,
            history: History::new(LIMITS, Zxid::ZERO),
            committed: vec![],
            known: Zxid::ZERO,
            tree: Zxid::ZERO,
            role: Role::Looking,
            snapshot: vec![],
        });
        World {
            prng: Prng::salted(seed, "zab"),
            now: Instant(1),
            canary,
            members: members.collect(),
            wires: BTreeMap::new(),
            links: 0,
            writes: 0,
            agreed: vec![],
            faults: true,
            elections: 0,
            snapshots: 0,
            truncations: 0,
        }
    }

    fn configs(&self, own: ServerId) -> Joint {
        let counts = |member: &&Member| self.canary != Canary::QuorumOfOne || member.id == own;
        let voters = self.members.iter().filter(|member| member.is_voter).filter(counts);
        let member = |member: &Member| Described::parse(member.id, "127.0.0.1:1:2").expect("a member");
        Joint::new(Arc::new(Config::new(voters.map(member), 0).expect("voters")), None)
    }

    fn quorum(&self) -> usize {
        let voters = self.members.iter().filter(|member| member.is_voter).count();
        if self.canary == Canary::QuorumOfOne { 1 } else { voters / 2 + 1 }
    }

    /// What an election may do: of a quorum of voters that look for a leader, the one with the newest history.
    fn elect(&mut self) {
        let mut looking: Vec<usize> = (0..self.members.len()).collect();
        looking.retain(|at| {
            let member = &self.members[*at];
            member.is_up && member.is_voter && matches!(member.role, Role::Looking)
        });
        let leads =
            self.members.iter().position(|member| member.is_up && matches!(member.role, Role::Leading(_)));
        if looking.len() >= self.quorum() && (self.faults || leads.is_none()) {
            if self.faults {
                while looking.len() > self.quorum() && self.prng.chance(1, 3) {
                    let out = self.prng.below(looking.len() as u64) as usize;
                    looking.remove(out);
                }
            }
            let vote = |at: &usize| {
                let member = &self.members[*at];
                (member.epochs.current, member.last(), member.id)
            };
            let leader = *looking.iter().max_by_key(|at| vote(at)).expect("a quorum is not empty");
            self.lead(leader);
            for at in looking {
                if at != leader {
                    self.learn(at, leader);
                }
            }
            return;
        }
        // Those who come late.
        let Some(leader) = leads else { return };
        for at in 0..self.members.len() {
            let member = &self.members[at];
            if member.is_up && matches!(member.role, Role::Looking) && self.prng.chance(1, 2) {
                self.learn(at, leader);
            }
        }
    }

    fn lead(&mut self, at: usize) {
        self.settle(at);
        self.elections += 1;
        let config = self.configs(self.members[at].id);
        let member = &mut self.members[at];
        let mut outputs = vec![];
        let last = member.last();
        let leader = Leader::new(settings(member.id), config, member.epochs, last, self.now, &mut outputs);
        member.role = Role::Leading(leader);
        self.carry_out_leader(at, outputs);
    }

    /// Whoever looks for a leader waits for his disk first.
    fn settle(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.log.append(&mut member.tail);
        if let Some(epochs) = member.next_epochs.take() {
            member.epochs = epochs;
        }
    }

    fn learn(&mut self, at: usize, leader: usize) {
        self.settle(at);
        let to = self.members[leader].id;
        let member = &mut self.members[at];
        let role = if member.is_voter { LearnerRole::Follower } else { LearnerRole::Observer };
        let (last, known) = (member.last(), member.known);
        let learner = Learner::new(settings(member.id), role, to, 0, member.epochs, last, known, self.now);
        member.role = Role::Learning(learner, None);
        member.snapshot.clear();
        if !matches!(self.members[leader].role, Role::Leading(_)) {
            return;
        }
        self.links += 1;
        let link = Link(self.links);
        self.wires.insert(link, Wire { to: leader, from: at, bytes: [VecDeque::new(), VecDeque::new()] });
        self.lead_step(leader, LeaderInput::Connected { link });
        if let Role::Learning(_, own) = &mut self.members[at].role {
            *own = Some(link);
        }
        self.learn_step(at, LearnerInput::Connected { link });
    }

    fn commit(&mut self, at: usize, zxid: Zxid, leads: bool) {
        let member = &mut self.members[at];
        member.known = member.known.max(zxid);
        member.tree = member.tree.max(zxid);
        let log = member.log.iter().chain(&member.tail);
        member.committed = log.filter(|(logged, _)| *logged <= member.known).cloned().collect();
        member.history.trim(zxid);
        if leads {
            let more = &self.members[at].committed;
            assert!(
                more.len() >= self.agreed.len() && more[..self.agreed.len()] == self.agreed[..],
                "what was committed is gone: {:?} had been, {:?} is, at {}",
                self.agreed,
                more,
                self.members[at].id.0
            );
            self.agreed = more.clone();
        }
        self.check(at);
    }

    /// Nobody commits anything else than the leaders did.
    fn check(&self, at: usize) {
        let member = &self.members[at];
        let common = member.committed.len().min(self.agreed.len());
        assert!(
            member.committed[..common] == self.agreed[..common]
                && member.committed.len() <= self.agreed.len(),
            "server {} has {:?}, agreed is {:?}",
            member.id.0,
            member.committed,
            self.agreed
        );
    }

    fn look(&mut self, at: usize) {
        let links: Vec<Link> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.to == at || wire.from == at)
            .map(|(link, _)| *link)
            .collect();
        self.members[at].role = Role::Looking;
        for link in links {
            self.cut(link, Some(at));
        }
    }

    /// The end of a link. `by`: who needs no telling.
    fn cut(&mut self, link: Link, by: Option<usize>) {
        let Some(wire) = self.wires.remove(&link) else { return };
        if by != Some(wire.to) {
            self.lead_step(wire.to, LeaderInput::Disconnected { link });
        }
        let own = matches!(&self.members[wire.from].role, Role::Learning(_, own) if *own == Some(link));
        if by != Some(wire.from) && own {
            self.learn_step(wire.from, LearnerInput::Disconnected);
        }
    }

    fn crash(&mut self, at: usize) {
        self.look(at);
        let survives = self.prng.below(self.members[at].tail.len() as u64 + 1) as usize;
        let epochs_survive = self.prng.chance(1, 2);
        let canary = self.canary;
        let member = &mut self.members[at];
        member.is_up = false;
        member.tail.truncate(survives);
        member.log.append(&mut member.tail);
        if let Some(epochs) = member.next_epochs.take()
            && epochs_survive
        {
            member.epochs = epochs;
        }
        match canary {
            Canary::EpochsForgotten => member.epochs = Epochs::default(),
            Canary::DiskWiped => member.log.clear(),
            _ => {}
        }
        member.known = Zxid::ZERO;
        member.tree = member.last();
        member.committed.clear();
        member.fill_history();
    }

    /// One thing happens.
    fn turn(&mut self) {
        self.now = self.now + Duration::from_millis(self.prng.below(3));
        let at = self.prng.below(self.members.len() as u64) as usize;
        match self.prng.below(100) {
            0..35 => self.deliver(),
            35..55 => self.sync_disk(at),
            55..70 => self.write(at),
            70..80 => self.elect(),
            80..90 => self.end_turns(at),
            90..96 => self.wake(at),
            96 if self.faults && self.prng.chance(1, 3) => self.crash(at),
            97 if self.faults && self.prng.chance(1, 3) => self.look(at),
            98 if self.faults && self.prng.chance(1, 2) => {
                let nth = self.prng.below(self.wires.len().max(1) as u64) as usize;
                if let Some(link) = self.wires.keys().nth(nth).copied() {
                    self.cut(link, None);
                }
            }
            _ => {
                let chance = self.prng.chance(1, 4);
                self.members[at].is_up |= chance || !self.faults;
            }
        }
    }

    fn deliver(&mut self) {
        let nth = self.prng.below(self.wires.len().max(1) as u64) as usize;
        let Some((link, wire)) = self.wires.iter_mut().nth(nth) else { return };
        let (link, to_learner) = (*link, self.prng.chance(1, 2));
        let Some(bytes) = wire.bytes[usize::from(to_learner)].pop_front() else { return };
        // In pieces, now and then.
        let cut = if self.prng.chance(1, 3) {
            self.prng.below(bytes.len() as u64 + 1) as usize
        } else {
            bytes.len()
        };
        if cut < bytes.len() {
            wire.bytes[usize::from(to_learner)].push_front(bytes.slice(cut..));
        }
        let (leader, learner) = (wire.to, wire.from);
        if to_learner {
            self.learn_step(learner, LearnerInput::Received { bytes: &bytes[..cut] });
        } else {
            self.lead_step(leader, LeaderInput::Received { link, bytes: &bytes[..cut] });
        }
    }

    fn sync_disk(&mut self, at: usize) {
        let member = &mut self.members[at];
        if !member.tail.is_empty() {
            let count = 1 + self.prng.below(member.tail.len() as u64) as usize;
            member.log.extend(member.tail.drain(..count));
            let zxid = member.log.last().expect("not empty").0;
            self.lead_step(at, LeaderInput::Durable { zxid });
            if self.canary != Canary::DurableTooEarly {
                self.learn_step(at, LearnerInput::Durable { zxid });
            }
        } else if let Some(epochs) = member.next_epochs.take() {
            member.epochs = epochs;
            self.lead_step(at, LeaderInput::EpochsDurable);
            self.learn_step(at, LearnerInput::EpochsDurable);
        }
    }

    fn write(&mut self, at: usize) {
        let member = &mut self.members[at];
        let Role::Leading(leader) = &member.role else { return };
        if !leader.is_established() || self.writes > 60 {
            return;
        }
        self.writes += 1;
        let zxid = Zxid(member.last().0.max(leader.epoch().0 << 32) + 1);
        let payload = Bytes::copy_from_slice(&self.writes.to_be_bytes());
        member.history.push(zxid, payload.clone());
        member.tail.push((zxid, payload));
        self.lead_step(at, LeaderInput::Proposed { zxid });
    }

    fn end_turns(&mut self, at: usize) {
        self.lead_step(at, LeaderInput::TurnEnd);
        self.learn_step(at, LearnerInput::TurnEnd);
    }

    fn wake(&mut self, at: usize) {
        let due = match &self.members[at].role {
            Role::Leading(leader) => leader.next_wakeup(),
            Role::Learning(learner, _) => learner.next_wakeup(),
            Role::Looking => return,
        };
        // Time passes fast when nothing else happens.
        if self.now >= due {
            self.lead_step(at, LeaderInput::Wakeup);
            self.learn_step(at, LearnerInput::Wakeup);
        }
    }

    fn describe(&self) -> String {
        let line = |member: &Member| {
            let role = match &member.role {
                Role::Looking => "looking".to_owned(),
                Role::Leading(leader) => format!("{leader:?}"),
                Role::Learning(learner, _) => format!("{learner:?}"),
            };
            format!("{} {:?} {:?} {:?} {role}", member.id.0, member.is_up, member.epochs, member.last())
        };
        self.members.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn is_settled(&self) -> bool {
        let leader =
            self.members.iter().find(|member| matches!(&member.role, Role::Leading(l) if l.is_established()));
        leader.is_some_and(|leader| {
            self.members.iter().all(|member| {
                member.is_up
                    && member.tail.is_empty()
                    && member.committed == leader.committed
                    && member.committed.len() == member.log.len()
                    && match &member.role {
                        Role::Learning(learner, _) => learner.is_following(),
                        Role::Leading(_) => member.id == leader.id,
                        Role::Looking => false,
                    }
            })
        })
    }

    fn run(seed: u64, voters: usize, observers: usize, canary: Canary) -> World {
        let mut world = World::new(seed, voters, observers, canary);
        for _ in 0..4000 {
            world.turn();
        }
        world.faults = false;
        world.writes = 0;
        for turn in 0.. {
            world.turn();
            if turn % 64 == 0 && world.writes > 20 && world.is_settled() {
                break;
            }
            assert!(
                turn < 200_000,
                "seed {seed}: no agreement after the faults have ended:\n{}",
                world.describe()
            );
        }
        world
    }
}

#[test]
fn whatever_happens_all_commit_the_same() {
    let (mut elections, mut snapshots, mut truncations) = (0, 0, 0);
    for seed in 0..400 {
        let (voters, observers) =
            [(3, 0), (3, 1), (5, 0), (2, 1), (1, 2), (5, 2), (7, 0), (4, 0)][seed as usize % 8];
        let world = World::run(seed, voters, observers, Canary::None);
        assert!(!world.agreed.is_empty());
        elections += world.elections;
        snapshots += world.snapshots;
        truncations += world.truncations;
    }
    assert!(
        elections > 1500 && snapshots > 300 && truncations > 100,
        "{elections} {snapshots} {truncations}"
    );
}

#[test]
fn a_driver_that_breaks_the_contract_is_noticed() {
    for canary in [Canary::DurableTooEarly, Canary::EpochsForgotten, Canary::DiskWiped, Canary::QuorumOfOne] {
        let noticed = (0..400).any(|seed| {
            let run = std::panic::catch_unwind(|| World::run(seed, 3, 0, canary));
            run.is_err()
        });
        assert!(noticed, "{canary:?} was not noticed");
    }
}
