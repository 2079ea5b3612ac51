//! The clients of the virtual cluster: they speak the protocol, move between servers with their sessions, and hold what
//! they are told against the history.
//!
//! * Replies come in order; no zxid is below one that was seen before, on whatever server.
//! * An acknowledged write is in the history with that zxid, behind every write that was acknowledged before it was asked.
//! * A read is the state of its zxid. An event comes before any reply that has its change. A sync has seen what was
//!   acknowledged before, unless the leader was replaced meanwhile.

use super::*;
use crate::shard;
use crate::wire::client::header::encode_frame;
use crate::wire::client::{
    ConnectRequest, ConnectResponse, EventType, GetDataResponse, GetEphemeralsResponse, ReplyHeader,
    WatcherEvent,
};
use crate::wire::frame::{Frame, split};
use crate::wire::{Decode, Reader};

#[derive(Clone, Debug)]
pub struct Asked {
    xid: i32,
    op: Op,
    at: u64,
    /// What any client had been told of, and the newest leader's epoch, when it was asked.
    floor: Zxid,
    epoch: Option<Epoch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Off,
    Connecting,
    On,
}

pub struct Person {
    pub node: usize,
    pub turn: u64,
    phase: Phase,
    connection: ConnectionId,
    life: u64,
    pub session: SessionId,
    password: Vec<u8>,
    timeout_ms: i32,
    pub last_zxid: Zxid,
    xid: i32,
    count: u64,
    pub asked: VecDeque<Asked>,
    input: Vec<u8>,
    /// When the last bytes of each direction arrive: up, down.
    last: [u64; 2],
    /// Paths, and up to where nothing has happened that it must be told of.
    watches: BTreeMap<String, Zxid>,
    versions: [i32; 2],
    pub on_since: u64,
    heard_at: u64,
    back_at: u64,
    /// Acts by itself.
    pub is_free: bool,
    /// Of a scripted client: what came of what it asked.
    pub results: Vec<(Op, i32, Zxid)>,
    pub events: Vec<String>,
    pub expired: u64,
}

impl Person {
    pub fn new(node: usize, timeout_ms: i32, is_free: bool) -> Person {
        Person {
            node,
            turn: 0,
            phase: Phase::Off,
            connection: ConnectionId { slot: 0, generation: 0 },
            life: 0,
            session: SessionId::NONE,
            password: vec![0; 16],
            timeout_ms,
            last_zxid: Zxid::ZERO,
            xid: 0,
            count: 0,
            asked: VecDeque::new(),
            input: vec![],
            last: [0; 2],
            watches: BTreeMap::new(),
            versions: [-1; 2],
            on_since: 0,
            heard_at: 0,
            back_at: 0,
            is_free,
            results: vec![],
            events: vec![],
            expired: 0,
        }
    }

    pub fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    pub fn is_on(&self) -> bool {
        self.phase == Phase::On
    }
}

fn path_of(key: u64) -> String {
    format!("/k{key}")
}

impl World {
    fn client_delay(&mut self, client: usize, direction: usize) -> u64 {
        let delay = 20_000 + self.prng.below(300_000);
        let last = &mut self.people[client].last[direction];
        *last = (*last).max(self.now + delay) + 1;
        *last - self.now
    }

    /// A new connection to the server it is at.
    pub fn connect(&mut self, client: usize) {
        self.leave(client);
        let node = self.people[client].node;
        let found = &mut self.nodes[node];
        if found.member.is_none() {
            return;
        }
        found.slots += 1;
        let (life, connection) = (found.life, ConnectionId { slot: found.slots, generation: 1 });
        let person = &mut self.people[client];
        person.turn += 1;
        found.clients.insert(connection, (client, person.turn));
        (person.phase, person.connection, person.life) = (Phase::Connecting, connection, life);
        person.heard_at = self.now;
        person.input.clear();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: person.last_zxid,
            timeout_ms: person.timeout_ms,
            session_id: person.session,
            password: Some(&person.password),
            read_only: Some(false),
        };
        let mut bytes = vec![];
        encode_frame(&mut bytes, &request);
        let address = "127.0.0.1:4000".parse().expect("an address");
        self.hear(node, shard::Input::Accepted { connection, address });
        self.send_to_server(client, bytes);
    }

    /// The connection is no more; the server may hear of that much later.
    pub fn leave(&mut self, client: usize) {
        let person = &mut self.people[client];
        if person.phase == Phase::Off {
            return;
        }
        person.phase = Phase::Off;
        person.turn += 1;
        person.asked.clear();
        let (node, life, connection) = (person.node, person.life, person.connection);
        let late = self.has_faults && self.prng.chance(1, 3);
        let delay = self.client_delay(client, 0) + if late { self.prng.below(700_000_000) } else { 0 };
        self.at(delay, Event::ServerClosed { node, life, connection });
    }

    /// It goes to another server, and the one before doesn't hear of that. Gives back the old connection, for
    /// [`World::send_late`].
    pub fn slip_away(&mut self, client: usize, to: usize) -> (usize, u64, ConnectionId) {
        let person = &self.people[client];
        let old = (person.node, person.life, person.connection);
        self.vanish(client);
        self.people[client].node = to;
        self.connect(client);
        old
    }

    /// It is gone, and its server doesn't hear of that.
    pub fn vanish(&mut self, client: usize) {
        let person = &mut self.people[client];
        person.phase = Phase::Off;
        person.turn += 1;
        person.asked.clear();
    }

    /// What it had sent on a connection that it has left.
    pub fn send_late(&mut self, (node, life, connection): (usize, u64, ConnectionId), op: &Op) {
        let mut bytes = vec![];
        op.encode(9999, b"late", &mut bytes);
        self.at(1000, Event::ToServer { node, life, connection, bytes });
    }

    fn send_to_server(&mut self, client: usize, bytes: Vec<u8>) {
        let delay = self.client_delay(client, 0);
        let Person { node, life, connection, .. } = self.people[client];
        self.at(delay, Event::ToServer { node, life, connection, bytes });
    }

    pub fn send_to_client(&mut self, node: usize, connection: ConnectionId, bytes: &[u8]) {
        self.hash.bytes(bytes);
        let Some(&(client, turn)) = self.nodes[node].clients.get(&connection) else { return };
        let delay = self.client_delay(client, 1);
        self.at(delay, Event::ToClient { client, turn, bytes: bytes.to_vec() });
    }

    pub fn on_server_closed(&mut self, node: usize, connection: ConnectionId) {
        let Some((client, turn)) = self.nodes[node].clients.remove(&connection) else { return };
        self.hear(node, shard::Input::Closed { connection });
        let delay = self.client_delay(client, 1);
        self.at(delay, Event::ClientGone { client, turn });
    }

    pub fn on_client_gone(&mut self, client: usize, turn: u64) {
        let person = &mut self.people[client];
        if person.turn == turn {
            person.phase = Phase::Off;
            person.turn += 1;
            person.asked.clear();
        }
    }

    pub fn ask(&mut self, client: usize, op: Op) {
        let floor = self.judge.acked;
        let epoch = self.judge.leaders.last_key_value().map(|(epoch, _)| *epoch);
        let person = &mut self.people[client];
        assert!(person.is_on(), "client {client} is not connected and asks for {op:?}");
        person.xid += 1;
        let xid = match op {
            Op::Ping => -2,
            Op::Watch { .. } => -8,
            _ => person.xid,
        };
        let data = format!("{client}.{}", person.xid);
        let mut bytes = vec![];
        op.encode(xid, data.as_bytes(), &mut bytes);
        tracing::debug!(client, session = %person.session, xid, ?op, "asks");
        person.asked.push_back(Asked { xid, op, at: self.now, floor, epoch });
        self.send_to_server(client, bytes);
    }

    pub fn on_bytes_for_client(&mut self, client: usize, turn: u64, bytes: &[u8]) {
        if self.people[client].turn != turn {
            return;
        }
        self.people[client].heard_at = self.now;
        self.people[client].input.extend_from_slice(bytes);
        loop {
            let input = std::mem::take(&mut self.people[client].input);
            let Frame::Complete { body } = split(&input, 1 << 20) else {
                return self.people[client].input = input;
            };
            self.people[client].input = input[body.end..].to_vec();
            match self.people[client].phase {
                Phase::Connecting => self.on_connected(client, &input[body]),
                Phase::On => self.on_frame(client, &input[body]),
                Phase::Off => return,
            }
        }
    }

    fn on_connected(&mut self, client: usize, frame: &[u8]) {
        let response = ConnectResponse::parse(frame).expect("a connect response");
        if response.timeout_ms <= 0 {
            let Person { node, session, .. } = self.people[client];
            let applied = self.nodes[node].applied;
            let life = self.judge.sessions.get(&session);
            let is_over = life.is_some_and(|life| life.closed.is_some() || life.opened > applied);
            assert!(
                is_over || self.is_closing(session),
                "client {client}: session {session} is refused, and is {life:?}"
            );
            if life.is_some_and(|life| life.closed.is_some()) {
                self.forget_session(client);
            }
            return self.leave(client);
        }
        let person = &mut self.people[client];
        if person.session != SessionId::NONE {
            assert_eq!(person.session, response.session_id, "client {client} comes back with its session");
        }
        person.session = response.session_id;
        person.password = response.password.unwrap_or_default().to_vec();
        (person.phase, person.on_since) = (Phase::On, self.now);
        if !person.watches.is_empty() {
            let since = person.last_zxid;
            let paths: Vec<String> = person.watches.keys().cloned().collect();
            self.ask(client, Op::Watch { paths, since });
        }
        if self.people[client].is_free {
            self.act_later(client);
        }
    }

    fn forget_session(&mut self, client: usize) {
        let person = &mut self.people[client];
        person.session = SessionId::NONE;
        person.password = vec![0; 16];
        person.watches.clear();
        person.expired += 1;
    }

    fn on_frame(&mut self, client: usize, frame: &[u8]) {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader).expect("a reply");
        let ReplyHeader { xid, zxid, err } = header;
        if xid == -1 {
            let event = WatcherEvent::decode(&mut reader).expect("an event");
            return self.on_event(client, &event.path.to_str_lossy(), event.event_type);
        }
        let person = &mut self.people[client];
        let asked = person.asked.pop_front().unwrap_or_else(|| panic!("client {client} is told {header:?}"));
        assert_eq!(asked.xid, xid, "client {client}: replies come in order");
        assert!(
            zxid >= person.last_zxid,
            "client {client} goes back from {} to {zxid} at server {}, {asked:?}",
            person.last_zxid,
            person.node + 1
        );
        person.last_zxid = zxid;
        for (path, since) in &person.watches {
            let missed = self.judge.change_in(path, *since, zxid);
            assert!(
                missed.is_none(),
                "client {client} was not told of {path} at {missed:?}, and gets {zxid} of {asked:?}"
            );
        }
        let session = person.session;
        if err == ErrorCode::SystemError.code() {
            // No room on the disk: it was not done.
        } else if asked.op.is_write() {
            self.judge.on_acknowledged(zxid, session, xid, err);
            assert!(zxid > asked.floor, "{asked:?} was done at {zxid}, before {}", asked.floor);
            self.judge.acked = self.judge.acked.max(zxid);
            self.judge.acked_writes += u64::from(err == 0);
            let heard = self.judge.heard.entry(session).or_default();
            *heard = (*heard).max(asked.at);
        }
        self.on_reply(client, &asked, err, zxid, reader);
        if self.people[client].is_free && self.people[client].is_on() {
            self.act_later(client);
        }
    }

    fn on_reply(&mut self, client: usize, asked: &Asked, err: i32, zxid: Zxid, mut body: Reader<'_>) {
        let person = &mut self.people[client];
        if !matches!(asked.op, Op::Ping) && !person.is_free {
            person.results.push((asked.op.clone(), err, zxid));
        }
        match &asked.op {
            Op::Get { path, watch } if err == 0 || err == ErrorCode::NoNode.code() => {
                let state = self.judge.at(path, zxid);
                assert_eq!(state.is_some(), err == 0, "client {client} reads {path} at {zxid}: {state:?}");
                let Some(state) = state else { return };
                let read = GetDataResponse::decode(&mut body).expect("a reply");
                let same = (read.data.unwrap_or_default(), read.stat.version, read.stat.mzxid);
                assert_eq!(
                    same,
                    (&state.data[..], state.version, state.mzxid),
                    "client {client}: {path} at {zxid}"
                );
                if *watch {
                    let known = person.watches.entry(path.clone()).or_insert(zxid);
                    *known = (*known).max(zxid);
                }
                if let Some(key) = (0..2).find(|key| path_of(*key) == *path) {
                    person.versions[key as usize] = state.version;
                }
            }
            Op::Set { path, version } if err == 0 => {
                let made = self.judge.at(path, zxid).map(|state| state.version);
                assert!(*version == -1 || made == Some(version + 1), "{asked:?} has made {made:?}");
            }
            Op::Mine if err == 0 => {
                let mine = GetEphemeralsResponse::decode(&mut body).expect("a reply");
                let mine: BTreeSet<String> =
                    mine.ephemerals.iter().map(|path| path.to_str_lossy().into_owned()).collect();
                assert_eq!(mine, self.judge.owned_at(person.session, zxid), "client {client} at {zxid}");
            }
            Op::Sync if err == 0 => {
                let epoch = self.nodes[person.node].epoch();
                let newest = self.judge.leaders.last_key_value().map(|(epoch, _)| *epoch);
                let is_plain = asked.epoch == newest && Some(epoch) == newest;
                assert!(!is_plain || zxid >= asked.floor, "{asked:?} came to {zxid}");
            }
            Op::Reconfig { .. } if err == 0 => {
                let made = GetDataResponse::decode(&mut body).expect("a reply").data.unwrap_or_default();
                let made = std::str::from_utf8(made).ok().and_then(|text| Config::parse(text).ok());
                assert_eq!(made.map(|config| config.version()), Some(zxid.0), "{asked:?}");
            }
            Op::Close if err == 0 => {
                self.forget_session(client);
                self.leave(client);
            }
            _ if err == ErrorCode::SessionExpired.code() => {
                let life = &self.judge.sessions[&person.session];
                assert!(life.closed.is_some(), "client {client} is told that {life:?} is over");
                self.forget_session(client);
                self.leave(client);
            }
            _ => {}
        }
    }

    fn on_event(&mut self, client: usize, path: &str, kind: EventType) {
        if kind == EventType::None {
            return;
        }
        let person = &mut self.people[client];
        person.events.push(path.to_owned());
        let since = person.watches.remove(path);
        let since = since.unwrap_or_else(|| panic!("client {client} is told of {path}, unwatched"));
        let changed = self.judge.change_in(path, since, self.judge.last());
        assert!(changed.is_some(), "client {client} is told of {path}, where nothing happened since {since}");
    }

    fn act_later(&mut self, client: usize) {
        let turn = self.people[client].turn;
        let delay = self.prng.below(25_000_000);
        self.at(delay, Event::Act { client, turn });
    }

    pub fn act(&mut self, client: usize, turn: u64) {
        if self.people[client].turn != turn || !self.people[client].is_on() {
            return;
        }
        let leaves = self.has_faults && self.plan.faults.leave;
        let key = self.prng.below(2);
        let person = &mut self.people[client];
        if person.asked.len() > 3 || person.asked.iter().any(|asked| asked.op == Op::Close) {
            return;
        }
        person.count += 1;
        let count = person.count;
        let path = format!("/c{client}-{count}");
        let op = match self.prng.below(100) {
            0..30 => Op::Create { path, ephemeral: false },
            30..42 => Op::Create { path, ephemeral: true },
            42..50 => Op::create(&path_of(key)),
            50..70 => Op::Set { path: path_of(key), version: self.people[client].versions[key as usize] },
            70..88 => Op::Get { path: path_of(key), watch: self.prng.chance(1, 2) },
            88..91 => Op::Sync,
            91 | 92 => Op::Mine,
            93 => Op::Multi { paths: vec![path.clone() + "a", path + "b"] },
            94 => Op::Delete { path: format!("/c{client}-{}", self.prng.below(count)) },
            95 if leaves => Op::Close,
            96 if leaves => {
                // To another server, at once or much later.
                self.count("a session is left alone");
                self.leave(client);
                self.people[client].node = self.prng.below(self.nodes.len() as u64) as usize;
                let pause = [0, 0, 3_000_000_000][self.prng.below(3) as usize];
                return self.people[client].back_at = self.now + pause;
            }
            _ => Op::Ping,
        };
        let reconfigures = self.has_faults && self.plan.faults.reconfigure && self.prng.chance(1, 60);
        let op = if reconfigures { self.random_reconfiguration() } else { op };
        self.ask(client, op);
        if self.prng.chance(1, 8) {
            self.act_later(client);
        }
    }

    /// Who is not connected tries it, where somebody serves; who hears nothing goes elsewhere; heartbeats.
    pub fn look_after_people(&mut self) {
        for client in 0..self.people.len() {
            let person = &self.people[client];
            let silence = self.now - person.heard_at.min(self.now);
            let patience = person.timeout_ms as u64 * 1_000_000;
            match person.phase {
                Phase::On | Phase::Connecting if silence > patience * 2 / 3 => {
                    self.leave(client);
                    self.people[client].node = self.prng.below(self.nodes.len() as u64) as usize;
                }
                Phase::On if silence > patience / 4 && person.asked.is_empty() => self.ask(client, Op::Ping),
                Phase::Off if person.is_free && self.now >= person.back_at && self.prng.chance(1, 20) => {
                    if self.prng.chance(1, 3) {
                        self.people[client].node = self.prng.below(self.nodes.len() as u64) as usize;
                    }
                    if self.nodes[self.people[client].node].serves {
                        self.connect(client);
                    }
                }
                _ => {}
            }
        }
    }
}
