//! Members in a virtual network: elections, crashes with lost tails, cut links, clients that write and come back.
//!
//! Each seed is a run of its own; a failure names it. What is checked: members agree on every transaction they apply and on
//! the digest behind it; what was acknowledged is there in the end, everywhere; after the faults end, clients are served
//! again. Replay: `CLUSTER_SEED=… cargo test --lib ensemble::cluster`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::{ConnectionId, Prng, SessionId, ShardId, Ticket, WallMillis};
use crate::log::{self, Command, SegmentId, SegmentImage, SnapshotDecoder};
use crate::messages::{AnswerBody, Client, Request};
use crate::replica::testing::encoded;
use crate::replica::{Boot, Input, Start, testing};
use crate::tree::{self, Reader};
use crate::wire::client::CreateRequest;
use crate::wire::{AclList, ErrorCode, Opcode};
use crate::zab::{Config, HistoryLimits};

mod disk;
mod people;

use disk::Files;
use people::Person;

const TICK: Duration = Duration::from_millis(100);
const MS: Duration = Duration::from_millis(1);

struct Node {
    replica: Option<Replica>,
    reader: Option<Reader>,
    files: Files,
    /// Handed to the disk and not durable.
    pending: VecDeque<Command>,
    writing: Vec<u8>,
    life: u64,
    accepted: u64,
    serves: bool,
    salt: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Dialled { node: usize, life: u64, link: u64, port: u16 },
    Bytes { wire: usize, to_dialler: bool, bytes: Vec<u8> },
    Gone { wire: usize, to_dialler: bool },
    Sent { node: usize, life: u64, link: u64 },
    Durable { node: usize, life: u64, ticket: u64 },
    Epochs { node: usize, life: u64, epochs: (i64, i64) },
    SnapshotBytes { node: usize, life: u64, bytes: u64 },
    SnapshotDone { node: usize, life: u64, zxid: i64 },
    SegmentReady { node: usize, life: u64 },
    Start { node: usize },
    Crash { node: usize },
    Space { node: usize, life: u64, is_low: bool },
    Cut { a: usize, b: usize, heals: u64 },
    Ask { client: usize, turn: u64 },
}

/// A connection between two servers: its ends, and when the last of each direction arrives.
struct Wire {
    ends: [(usize, u64, Link); 2],
    last: [u64; 2],
    is_open: bool,
}

struct World {
    prng: Prng,
    now: u64,
    order: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    nodes: Vec<Node>,
    wires: Vec<Wire>,
    cuts: BTreeMap<(usize, usize), u64>,
    people: Vec<Person>,
    config: Arc<Config>,
    acked: BTreeSet<String>,
    /// What the transaction of each zxid was, and the digest behind it.
    truth: BTreeMap<Zxid, u64>,
    history_count: usize,
}

fn port_of(node: usize, is_quorum: bool) -> u16 {
    (if is_quorum { 2000 } else { 3000 }) + node as u16
}

impl World {
    fn new(seed: u64) -> World {
        let mut prng = Prng::salted(seed, "cluster");
        let voters = [1, 2, 3, 3, 3, 5][prng.below(6) as usize];
        let observers = prng.below(2) as usize;
        let mut text = String::new();
        for node in 0..voters + observers {
            let role = if node < voters { "participant" } else { "observer" };
            let (quorum, election) = (port_of(node, true), port_of(node, false));
            text += &format!("server.{}=127.0.0.1:{quorum}:{election}:{role}\n", node + 1);
        }
        let config = Arc::new(Config::parse(&(text + "version=0")).expect("a configuration"));
        let mut world = World {
            now: 1_000_000_000,
            order: 0,
            events: BinaryHeap::new(),
            nodes: vec![],
            wires: vec![],
            cuts: BTreeMap::new(),
            people: vec![],
            config,
            acked: BTreeSet::new(),
            truth: BTreeMap::new(),
            history_count: [3, 500][prng.below(2) as usize],
            prng,
        };
        for node in 0..voters + observers {
            let salt = world.prng.next();
            world.nodes.push(Node {
                replica: None,
                reader: None,
                files: Files::default(),
                pending: VecDeque::new(),
                writing: vec![],
                life: 0,
                accepted: 0,
                serves: false,
                salt,
            });
            let delay = world.prng.below(300);
            world.at(delay * 1_000_000, Event::Start { node });
        }
        for client in 0..4 {
            let node = client % (voters + observers);
            let session = SessionId::NONE;
            world.people.push(Person {
                node,
                turn: 0,
                session,
                connected: false,
                xid: 0,
                asked: None,
                count: 0,
            });
        }
        world
    }

    fn at(&mut self, after: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.now + after, self.order, event)));
    }

    fn instant(&self) -> Now {
        Now { instant: Instant(self.now), wall: WallMillis((self.now / 1_000_000) as i64) }
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|until| self.now < *until)
    }

    /// `end` has closed it: the other one hears of that.
    fn close(&mut self, wire: usize, end: usize) {
        let delay = 50_000 + self.prng.below(300_000);
        let last = self.wires[wire].last[1 - end].max(self.now + delay);
        self.wires[wire].is_open = false;
        let (from, to) = (self.wires[wire].ends[end].0, self.wires[wire].ends[1 - end].0);
        let heals = self.cuts.get(&(from, to)).map_or(0, |until| until.saturating_sub(self.now));
        self.at(last - self.now + heals, Event::Gone { wire, to_dialler: end == 1 });
    }

    fn peer(&mut self, node: usize, input: PeerInput<'_>) {
        let _span = tracing::info_span!("server", id = node + 1, ms = self.now / 1_000_000).entered();
        let now = self.instant();
        let mut outputs = vec![];
        let Some(replica) = &mut self.nodes[node].replica else { return };
        replica.peer(now, input, &mut outputs);
        self.carry_out(node, outputs);
        self.turn(node);
    }

    fn input(&mut self, node: usize, input: Input) {
        let _span = tracing::info_span!("server", id = node + 1, ms = self.now / 1_000_000).entered();
        let now = self.instant();
        let mut outputs = vec![];
        let Some(replica) = &mut self.nodes[node].replica else { return };
        replica.step(now, input, &mut outputs);
        self.carry_out(node, outputs);
        self.turn(node);
    }

    fn turn(&mut self, node: usize) {
        let _span = tracing::info_span!("server", id = node + 1, ms = self.now / 1_000_000).entered();
        let now = self.instant();
        loop {
            let Some(replica) = &mut self.nodes[node].replica else { return };
            let mut outputs = vec![];
            let more = replica.apply_next(&mut outputs);
            if outputs.iter().any(|output| matches!(output, Output::Publish { .. })) {
                let (zxid, digest) = (replica.applied(), replica.store().digest());
                let known = *self.truth.entry(zxid).or_insert(digest);
                assert_eq!(known, digest, "server {} differs at {zxid}", node + 1);
            }
            self.carry_out(node, outputs);
            if !more {
                break;
            }
        }
        let Some(replica) = &mut self.nodes[node].replica else { return };
        let mut outputs = vec![];
        if replica.next_wakeup().is_some_and(|at| now.instant >= at) {
            replica.step(now, Input::Wakeup, &mut outputs);
        }
        replica.step(now, Input::TurnEnd, &mut outputs);
        self.carry_out(node, outputs);
    }

    fn carry_out(&mut self, node: usize, outputs: Vec<Output>) {
        let life = self.nodes[node].life;
        for output in outputs {
            match output {
                Output::Log(command) => {
                    if let Command::Persist { ticket } = command {
                        let delay = 50_000 + self.prng.below(3_000_000);
                        self.at(delay, Event::Durable { node, life, ticket: ticket.0 });
                    }
                    if matches!(command, Command::Create { bytes, .. } if bytes == 64 << 10) {
                        self.at(500_000, Event::SegmentReady { node, life });
                    }
                    self.nodes[node].pending.push_back(command);
                }
                Output::Publish { zxid } => {
                    let found = &mut self.nodes[node];
                    if let (Some(replica), Some(reader)) = (&mut found.replica, &mut found.reader) {
                        replica.publish(zxid);
                        let published = reader.enter().published();
                        reader.raise(published);
                    }
                }
                Output::Notify { notice, .. } => {
                    if let Some(answer) = &notice.answer {
                        self.on_answer(node, answer.to, &answer.body);
                    }
                }
                Output::Serve(serves) => {
                    self.nodes[node].serves = serves;
                    if !serves {
                        self.drop_people(node);
                    }
                }
                Output::Snapshot(command) => self.take_snapshot(node, command),
                Output::Peer(output) => self.carry_out_peer(node, output),
            }
        }
    }

    fn carry_out_peer(&mut self, node: usize, output: PeerOutput) {
        let life = self.nodes[node].life;
        match output {
            PeerOutput::Dial { link, addresses } => {
                let delay = 50_000 + self.prng.below(500_000);
                let port = addresses[0].port;
                self.at(delay, Event::Dialled { node, life, link: link.0, port });
            }
            PeerOutput::Send { link, bytes } => {
                let Some((wire, end)) = self.find(node, link) else { return };
                let (from, to) = (node, self.wires[wire].ends[1 - end].0);
                self.at(10_000, Event::Sent { node, life, link: link.0 });
                if self.is_cut(from, to) {
                    // Lost, like everything behind it. When the network is whole again, both ends learn of it.
                    self.wires[wire].is_open = false;
                    let heals =
                        self.cuts[&(from, to)].saturating_sub(self.now) + self.prng.below(200_000_000);
                    self.at(heals, Event::Gone { wire, to_dialler: true });
                    self.at(heals, Event::Gone { wire, to_dialler: false });
                    return;
                }
                let delay = 20_000 + self.prng.below(400_000);
                let arrives = self.wires[wire].last[1 - end].max(self.now + delay) + 1;
                self.wires[wire].last[1 - end] = arrives;
                let bytes = bytes.to_vec();
                self.at(arrives - self.now, Event::Bytes { wire, to_dialler: end == 1, bytes });
            }
            PeerOutput::Close { link } => {
                if let Some((wire, end)) = self.find(node, link) {
                    self.close(wire, end);
                }
            }
            PeerOutput::PersistEpochs(epochs) => {
                let delay = 50_000 + self.prng.below(2_000_000);
                let epochs = (epochs.accepted.0, epochs.current.0);
                self.at(delay, Event::Epochs { node, life, epochs });
            }
            PeerOutput::Configured(config) => self.nodes[node].files.members = Some(config),
            PeerOutput::Reload { to } => {
                let pending = std::mem::take(&mut self.nodes[node].pending);
                pending.iter().for_each(|command| self.nodes[node].files.carry_out(command));
                let (mut replica, reader, history, _) = self.boot(node, Some(to));
                let old = self.nodes[node].replica.take().expect("it has just asked");
                let mut outputs = vec![];
                replica.take_over(old, history, &mut outputs);
                self.nodes[node].replica = Some(replica);
                self.nodes[node].reader = Some(reader);
                self.carry_out(node, outputs);
            }
        }
    }

    fn find(&self, node: usize, link: Link) -> Option<(usize, usize)> {
        let life = self.nodes[node].life;
        self.wires.iter().enumerate().rev().filter(|(_, wire)| wire.is_open).find_map(|(at, wire)| {
            wire.ends.iter().position(|end| *end == (node, life, link)).map(|end| (at, end))
        })
    }

    fn run(&mut self, until: u64, faults: bool) {
        let mut next_look = self.now;
        while self.now < until {
            if faults && self.prng.chance(1, 900) {
                let node = self.prng.below(self.nodes.len() as u64) as usize;
                let delay = self.prng.below(400_000_000);
                match self.prng.below(4) {
                    0 => {
                        self.at(0, Event::Crash { node });
                        self.at(delay, Event::Start { node });
                    }
                    1 => {
                        let b = self.prng.below(self.nodes.len() as u64) as usize;
                        self.at(0, Event::Cut { a: node, b, heals: delay * 2 });
                    }
                    2 => {
                        let life = self.nodes[node].life;
                        self.at(0, Event::Space { node, life, is_low: true });
                        self.at(delay, Event::Space { node, life, is_low: false });
                    }
                    _ => {
                        for b in 0..self.nodes.len() {
                            self.at(0, Event::Cut { a: node, b, heals: delay * 2 });
                            self.at(0, Event::Cut { a: b, b: node, heals: delay * 2 });
                        }
                    }
                }
            }
            let due = self.events.peek().map_or(u64::MAX, |Reverse((at, _, _))| *at);
            if due > next_look {
                self.now = next_look;
                next_look += MS.as_nanos() as u64;
                for node in 0..self.nodes.len() {
                    let now = Instant(self.now);
                    let is_due = |replica: &Replica| replica.next_wakeup().is_some_and(|at| now >= at);
                    if self.nodes[node].replica.as_ref().is_some_and(is_due) {
                        self.turn(node);
                    }
                }
                self.look_after_people();
                continue;
            }
            let Some(Reverse((at, _, event))) = self.events.pop() else { continue };
            self.now = self.now.max(at);
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Dialled { node, life, link, port } => {
                if self.nodes[node].life != life || self.nodes[node].replica.is_none() {
                    return;
                }
                let (is_quorum, to) = (port < 3000, (port % 1000) as usize);
                let is_up = self.nodes[to].replica.is_some();
                if self.is_cut(node, to) || self.is_cut(to, node) || !is_up {
                    let refused = !is_up && !self.is_cut(node, to) && !self.is_cut(to, node);
                    return self.peer(node, PeerInput::DialFailed { link: Link(link), refused });
                }
                self.nodes[to].accepted += 1;
                let theirs = accepted_link(self.nodes[to].accepted);
                let ends = [(node, life, Link(link)), (to, self.nodes[to].life, theirs)];
                self.wires.push(Wire { ends, last: [self.now, self.now], is_open: true });
                let port = if is_quorum { PeerPort::Quorum } else { PeerPort::Election };
                self.peer(to, PeerInput::Accepted { link: theirs, port });
                self.peer(node, PeerInput::Connected { link: Link(link) });
            }
            Event::Bytes { wire, to_dialler, bytes } => {
                let (node, life, link) = self.wires[wire].ends[usize::from(!to_dialler)];
                if self.nodes[node].life == life && self.nodes[node].replica.is_some() {
                    // In pieces, as sockets do it.
                    let cut = self.prng.below(bytes.len() as u64 + 1) as usize;
                    for piece in [&bytes[..cut], &bytes[cut..]] {
                        if !piece.is_empty() {
                            self.peer(node, PeerInput::Received { link, bytes: piece });
                        }
                    }
                }
            }
            Event::Gone { wire, to_dialler } => {
                let (node, life, link) = self.wires[wire].ends[usize::from(!to_dialler)];
                if self.nodes[node].life == life {
                    self.peer(node, PeerInput::Disconnected { link });
                }
            }
            Event::Sent { node, life, link } if self.nodes[node].life == life => {
                self.peer(node, PeerInput::Sent { link: Link(link) });
            }
            Event::Durable { node, life, ticket } if self.nodes[node].life == life => {
                let found = &mut self.nodes[node];
                if !found.pending.iter().any(|c| matches!(c, Command::Persist { ticket: t } if t.0 == ticket))
                {
                    return;
                }
                while let Some(command) = found.pending.pop_front() {
                    found.files.carry_out(&command);
                    if matches!(command, Command::Persist { ticket: t } if t.0 == ticket) {
                        break;
                    }
                }
                self.input(node, Input::Durable { ticket: Ticket(ticket) });
            }
            Event::Epochs { node, life, epochs } if self.nodes[node].life == life => {
                let epochs = Epochs { accepted: Epoch(epochs.0), current: Epoch(epochs.1) };
                self.nodes[node].files.epochs = Some(epochs);
                self.peer(node, PeerInput::EpochsDurable);
            }
            Event::SnapshotBytes { node, life, bytes } if self.nodes[node].life == life => {
                self.input(node, Input::SnapshotProgress { bytes });
            }
            Event::SnapshotDone { node, life, zxid } if self.nodes[node].life == life => {
                self.input(node, Input::SnapshotDone { zxid: Zxid(zxid) });
            }
            Event::SegmentReady { node, life } if self.nodes[node].life == life => {
                self.input(node, Input::SegmentReady);
            }
            Event::Space { node, life, is_low } if self.nodes[node].life == life => {
                self.input(node, if is_low { Input::SpaceLow } else { Input::SpaceBack });
            }
            Event::Start { node } => self.start(node),
            Event::Crash { node } => self.crash(node),
            Event::Cut { a, b, heals } if a != b => {
                self.cuts.insert((a, b), self.now + heals);
            }
            Event::Ask { client, turn } => self.ask(client, turn, false),
            // Of a life that is over.
            _ => {}
        }
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    let begin = world.now;
    let second = 1_000_000_000;
    world.run(begin + 6 * second, true);
    let during = world.acked.len();
    world.cuts.clear();
    for node in 0..world.nodes.len() {
        world.at(0, Event::Start { node });
    }
    world.run(world.now + 8 * second, false);
    assert!(world.acked.len() > during, "seed {seed}: nothing is served when all is well again");
    // Quiet: everybody catches up.
    for person in &mut world.people {
        person.turn += 1;
        person.connected = true;
    }
    world.run(world.now + 2 * second, false);
    let last = world.truth.last_key_value().map(|(zxid, _)| *zxid).expect("something was applied");
    for (at, node) in world.nodes.iter().enumerate() {
        let replica = node.replica.as_ref().expect("all run");
        assert!(node.serves, "seed {seed}: server {} does not serve", at + 1);
        assert_eq!(replica.applied(), last, "seed {seed}: server {}", at + 1);
        for path in &world.acked {
            let found = replica.store().find(path.as_bytes());
            assert!(found.is_some(), "seed {seed}: server {} has lost {path}", at + 1);
        }
    }
}

#[test]
fn members_agree_whatever_happens() {
    let only = std::env::var("CLUSTER_SEED").ok().and_then(|seed| seed.parse().ok());
    if only.is_some() {
        let _ = tracing_subscriber::fmt()
            .without_time()
            .with_target(false)
            .with_max_level(tracing::Level::DEBUG)
            .try_init();
    }
    let count = std::env::var("CLUSTER_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(20);
    for seed in only.map_or(1..=count, |seed: u64| seed..=seed) {
        run(seed);
    }
}
