//! The connection state machine: a shard and its replica in one loop, and clients that send whatever they like, in
//! pieces, and come and go in the middle of it.
//!
//! Held to the contract of room `shard`: one send at a time and none to who is gone, whole frames, nothing left behind
//! when everybody has gone, limits at every step.

use std::collections::VecDeque;
use std::time::Duration;

use ringkeeper::base::{
    ConnectionId, HashKey, Instant, Now, Prng, ServerId, SessionId, ShardId, Ticket, WallMillis, Zxid, limits,
};
use ringkeeper::log;
use ringkeeper::replica::{self, Boot, Replica, SnapshotCommand, SnapshotSettings, Start};
use ringkeeper::shard::{self, Phase, Shard};
use ringkeeper::tree::{Passwords, Rules};
use ringkeeper::wire::client::ConnectResponse;
use ringkeeper::wire::frame::{Frame, split};
use ringkeeper::wire::{Decode, Reader};

use crate::corpus::{connect, damage, pick, request};

const STEPS: u64 = 600;
const FRAME_BYTES_MAX: usize = 1 << 16;
const TICK: Duration = Duration::from_millis(2_000);
const CLIENTS_MAX: usize = 6;

struct Peer {
    id: ConnectionId,
    greeted: bool,
    is_word: bool,
    answered: bool,
    /// To be sent, in pieces.
    unsent: VecDeque<u8>,
    sending: Option<Vec<u8>>,
    close_asked: bool,
}

struct Server {
    prng: Prng,
    now: Now,
    replica: Replica,
    shard: Shard,
    tickets: VecDeque<Ticket>,
    /// What the disk will report.
    from_disk: VecDeque<replica::Input>,
    from_replica: Vec<replica::Output>,
    from_shard: Vec<shard::Output>,
    peers: Vec<Peer>,
    free: Vec<ConnectionId>,
    slots: u32,
    sessions: Vec<(SessionId, Vec<u8>)>,
    xid: i32,
    /// Frames that clients got.
    answers: u64,
    /// A bug put in on purpose: now and then a byte of what is sent gets lost.
    loses_bytes: bool,
}

pub fn round(seed: u64) -> u64 {
    run(Server::start(Prng::salted(seed, "connection")))
}

pub fn canary(seed: u64) {
    let server = Server::start(Prng::salted(seed, "connection"));
    run(Server { loses_bytes: true, ..server });
}

fn run(mut server: Server) -> u64 {
    for _ in 0..STEPS {
        server.step();
    }
    server.finish();
    server.answers
}

fn log_settings() -> log::Settings {
    log::Settings {
        segment_bytes: 64 << 10,
        first_segment_bytes: 16 << 10,
        group_bytes_max: 8 << 10,
        persists_max: 1,
        salt_seed: 3,
        first_ticket: Ticket(1),
    }
}

/// An empty log, as recovery finds it.
pub fn empty_log() -> (log::Writer, Vec<log::Command>) {
    let recovered =
        log::recover(&log_settings(), &[], Zxid::ZERO).expect("an empty directory is a sound log");
    (log::Writer::new(log_settings(), recovered.resume), recovered.repair)
}

pub fn replica_settings(prng: &mut Prng) -> replica::Settings {
    let extended_types = prng.chance(1, 2);
    replica::Settings {
        server: ServerId(1),
        tick: TICK,
        session_timeout_min: TICK * 2,
        session_timeout_max: TICK * 20,
        rules: Rules { extended_types, enforce_quota: prng.chance(1, 2), ..Rules::default() },
        containers: replica::ContainerSettings::default(),
        snapshots: SnapshotSettings {
            count: 50,
            log_bytes: 0,
            bytes_per_second: 0,
            ahead_bytes_max: 0,
            retain: Some(1),
            seed: 1,
        },
        outstanding_max: limits::PROPOSALS_MAX,
        slow_request: Duration::MAX,
        throttle: None,
        turn_budget: limits::TURN_BUDGET,
        hash_key: HashKey(1, 2),
        passwords: Passwords::default(),
        history: None,
        digests: true,
    }
}

impl Server {
    fn start(mut prng: Prng) -> Server {
        let now = Now { instant: Instant(5_000_000_000), wall: WallMillis(1_000_000) };
        let mut boot = Boot::new(replica_settings(&mut prng), 1, now);
        boot.plant();
        let Start { replica, mut readers, history: _ } = boot.finish(empty_log().0, vec![]);
        let settings = shard::Settings {
            tick: TICK,
            frame_bytes_max: FRAME_BYTES_MAX,
            sessionless_timeout: Duration::from_secs(10),
            slow_request: Duration::MAX,
            skip_acl: false,
            super_digest: None,
            turn_budget: limits::TURN_BUDGET,
            bounds: shard::Bounds::default(),
            large_requests: shard::LargeRequests::default(),
            hash_key: HashKey(1, 2),
            is_serving: true,
        };
        let reader = readers.pop().expect("one was asked for");
        let shard = Shard::new(ShardId(0), settings, reader, now);
        Server {
            prng,
            now,
            replica,
            shard,
            tickets: VecDeque::new(),
            // The first segment is there before anybody connects.
            from_disk: [replica::Input::SegmentReady].into(),
            from_replica: vec![],
            from_shard: vec![],
            peers: vec![],
            free: vec![],
            slots: 0,
            sessions: vec![],
            xid: 0,
            answers: 0,
            loses_bytes: false,
        }
    }

    fn step(&mut self) {
        let peer = match self.peers.len() {
            0 => None,
            count => Some(self.prng.below(count as u64) as usize),
        };
        match (self.prng.below(40), peer) {
            (0..=1, _) | (_, None) => self.accept(),
            (2..=14, Some(peer)) => self.receive(peer),
            (15..=24, Some(peer)) => self.sent(peer),
            (25, Some(peer)) if self.prng.chance(1, 3) => {
                let connection = self.peers[peer].id;
                self.tell_shard(shard::Input::Ended { connection });
            }
            (26, Some(peer)) if self.prng.chance(1, 3) => self.cut(peer),
            (27..=28, _) => self.pass(),
            (29, _) => self.tell_shard(shard::Input::Deaf),
            (30, _) if self.prng.chance(1, 20) => {
                let input = pick(&mut self.prng, &[true, false]);
                self.tell_replica(if input { replica::Input::SpaceLow } else { replica::Input::SpaceBack });
            }
            (30..=35, _) => self.durable(),
            _ => self.end_turn(),
        }
        self.close_who_is_done();
        self.check_limits();
    }

    fn accept(&mut self) {
        if self.peers.len() >= CLIENTS_MAX {
            return self.end_turn();
        }
        let mut connection = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            ConnectionId { slot: self.slots - 1, generation: 0 }
        });
        connection.generation += 1;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 4_000));
        self.peers.push(Peer {
            id: connection,
            greeted: false,
            is_word: false,
            answered: false,
            unsent: VecDeque::new(),
            sending: None,
            close_asked: false,
        });
        self.tell_shard(shard::Input::Accepted { connection, address });
    }

    fn receive(&mut self, peer: usize) {
        if self.peers[peer].unsent.is_empty() {
            let bytes = self.message(peer);
            self.peers[peer].unsent.extend(bytes);
        }
        let found = &mut self.peers[peer];
        let whole = self.prng.chance(1, 2);
        let all = found.unsent.len();
        let take = if whole { all } else { 1 + self.prng.below(all as u64) as usize };
        let bytes: Vec<u8> = found.unsent.drain(..take.min(all)).collect();
        let connection = found.id;
        self.tell_shard(shard::Input::Received { connection, bytes: &bytes });
    }

    fn message(&mut self, peer: usize) -> Vec<u8> {
        let prng = &mut self.prng;
        let found = &mut self.peers[peer];
        let mut bytes = vec![];
        if !std::mem::replace(&mut found.greeted, true) {
            match prng.below(12) {
                0 => {
                    bytes.extend_from_slice(pick(prng, &[b"ruok", b"stat", b"zzzz", b"stmk"]));
                    found.is_word = true;
                }
                1 => bytes.extend((0..1 + prng.below(60)).map(|_| prng.next() as u8)),
                kind => {
                    let known = self.sessions.len() as u64;
                    let session = if known > 0 && kind < 5 { Some(prng.below(known) as usize) } else { None };
                    bytes = connect(prng, session.map(|at| &self.sessions[at]));
                    if prng.chance(1, 12) {
                        damage(prng, &mut bytes);
                    }
                }
            }
            // What a spoilt length may look like to the server.
            found.is_word |=
                bytes.first_chunk::<4>().is_some_and(|word| word.iter().all(u8::is_ascii_lowercase));
        }
        for _ in 0..prng.below(6) {
            self.xid += 1;
            let mut frame = request(prng, self.xid);
            if prng.chance(1, 40) {
                damage(prng, &mut frame);
            } else if prng.chance(1, 8) {
                // The length stays right, so that what follows is still looked at.
                let mut body = frame.split_off(4);
                damage(prng, &mut body);
                frame = u32::try_from(body.len()).unwrap_or(0).to_be_bytes().to_vec();
                frame.extend(body);
            }
            bytes.extend(frame);
        }
        if bytes.is_empty() { vec![0] } else { bytes }
    }

    fn sent(&mut self, peer: usize) {
        let connection = self.peers[peer].id;
        if let Some(buffer) = self.peers[peer].sending.take() {
            self.tell_shard(shard::Input::Sent { connection, buffer });
        }
    }

    /// The connection is gone, for whatever reason.
    fn cut(&mut self, peer: usize) {
        let peer = self.peers.swap_remove(peer);
        self.free.push(peer.id);
        self.tell_shard(shard::Input::Closed { connection: peer.id });
    }

    fn close_who_is_done(&mut self) {
        while let Some(done) = self.peers.iter().position(|peer| peer.close_asked && peer.sending.is_none()) {
            self.cut(done);
        }
    }

    fn pass(&mut self) {
        let ms = pick(&mut self.prng, &[1, 100, 500, 700, 2_500, 30_000]);
        self.now.instant = self.now.instant + Duration::from_millis(ms);
        self.now.wall = WallMillis(self.now.wall.0 + ms as i64);
        self.wake_up();
    }

    fn wake_up(&mut self) {
        if self.replica.next_wakeup().is_some_and(|at| at <= self.now.instant) {
            self.tell_replica(replica::Input::Wakeup);
        }
        if self.shard.next_wakeup().is_some_and(|at| at <= self.now.instant) {
            self.tell_shard(shard::Input::Wakeup);
        }
    }

    fn durable(&mut self) {
        if let Some(ticket) = self.tickets.pop_front() {
            self.tell_replica(replica::Input::Durable { ticket });
        }
        if let Some(input) = self.from_disk.pop_front() {
            self.tell_replica(input);
        }
        while self.replica.apply_next(&mut self.from_replica) {
            self.carry_out();
        }
    }

    fn end_turn(&mut self) {
        self.wake_up();
        self.tell_shard(shard::Input::TurnEnd);
        self.tell_replica(replica::Input::TurnEnd);
        self.tell_shard(shard::Input::TurnEnd);
    }

    fn tell_shard(&mut self, input: shard::Input<'_>) {
        self.shard.step(self.now, input, &mut self.from_shard);
        self.carry_out();
    }

    fn tell_replica(&mut self, input: replica::Input) {
        self.replica.step(self.now, input, &mut self.from_replica);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while !self.from_shard.is_empty() || !self.from_replica.is_empty() {
            let outputs = std::mem::take(&mut self.from_replica);
            let any = !outputs.is_empty();
            for output in outputs {
                self.carry_out_of_replica(output);
            }
            if any {
                let zxid = self.shard.published();
                self.shard.step(self.now, shard::Input::Published { zxid }, &mut self.from_shard);
            }
            for output in std::mem::take(&mut self.from_shard) {
                self.carry_out_of_shard(output);
            }
        }
    }

    fn carry_out_of_replica(&mut self, output: replica::Output) {
        match output {
            replica::Output::Log(log::Command::Persist { ticket }) => self.tickets.push_back(ticket),
            // What waits for room in the log goes on when the next segment is there.
            replica::Output::Log(log::Command::Create { bytes, .. })
                if bytes == log_settings().segment_bytes =>
            {
                self.from_disk.push_back(replica::Input::SegmentReady);
            }
            replica::Output::Log(_) => {}
            replica::Output::Snapshot(SnapshotCommand::Append { bytes }) => {
                let bytes = bytes.len() as u64;
                self.from_disk.push_back(replica::Input::SnapshotProgress { bytes });
            }
            replica::Output::Snapshot(SnapshotCommand::Complete { zxid }) => {
                let reason = "no space left on device".to_owned();
                let fails = self.prng.chance(1, 4);
                self.from_disk.push_back(match fails {
                    true => replica::Input::SnapshotFailed { zxid, reason },
                    false => replica::Input::SnapshotDone { zxid },
                });
            }
            replica::Output::Snapshot(_) => {}
            replica::Output::Peer(_) | replica::Output::Serve(_) => panic!("a lone server"),
            replica::Output::Notify { notice, .. } => {
                self.shard.step(self.now, shard::Input::Notice(notice), &mut self.from_shard);
            }
            replica::Output::Publish { zxid } => self.replica.publish(zxid),
        }
    }

    fn carry_out_of_shard(&mut self, output: shard::Output) {
        match output {
            shard::Output::Request(request) => {
                self.replica.step(self.now, replica::Input::Request(request), &mut self.from_replica);
            }
            shard::Output::Send { connection, bytes } => {
                let peer = self.peer(connection).expect("nothing is sent to who is gone");
                assert!(self.peers[peer].sending.is_none(), "one send at a time");
                assert!(!self.peers[peer].close_asked, "nothing is sent after the close");
                let lost = usize::from(self.loses_bytes && self.prng.chance(1, 20));
                self.read(peer, &bytes[..bytes.len() - lost]);
                self.peers[peer].sending = Some(bytes);
            }
            shard::Output::Pause { connection } | shard::Output::Resume { connection } => {
                assert!(self.peer(connection).is_some(), "a socket that is gone is not paused");
            }
            shard::Output::Close { connection } | shard::Output::Abort { connection } => {
                if let Some(peer) = self.peer(connection) {
                    self.peers[peer].close_asked = true;
                }
            }
            shard::Output::Slow(_) => panic!("none is slow enough"),
            shard::Output::Word { connection, .. } => {
                let peer = self.peer(connection).expect("who is gone asks nothing");
                assert!(self.peers[peer].is_word, "no word was sent");
                self.shard.finish_with(connection, b"a text, and no frame");
            }
        }
    }

    fn peer(&self, connection: ConnectionId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id == connection)
    }

    /// What a client makes of its bytes: whole frames, the first of them a connect response.
    fn read(&mut self, peer: usize, bytes: &[u8]) {
        let found = &mut self.peers[peer];
        if found.is_word && !found.answered {
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let Frame::Complete { body } = split(rest, 16 << 20) else {
                panic!("no whole frame: {rest:02x?}");
            };
            if !std::mem::replace(&mut found.answered, true) {
                let response = ConnectResponse::decode(&mut Reader::new(&rest[body.clone()]));
                let response = response.expect("the first frame is the connect response");
                if response.timeout_ms > 0 {
                    let password = response.password.unwrap_or_default().to_vec();
                    self.sessions.push((response.session_id, password));
                }
            }
            self.answers += 1;
            rest = &rest[body.end..];
        }
    }

    fn check_limits(&self) {
        for connection in self.shard.connections() {
            assert!(connection.pending.len() <= limits::CONNECTION_REQUESTS_MAX);
            assert!(connection.input.len() <= 4 * FRAME_BYTES_MAX, "{} bytes", connection.input.len());
            let known = self.peer(connection.id).is_some();
            assert!(known, "{:?} outlives its connection", connection.id);
            if connection.phase == Phase::Closing {
                assert!(connection.pending.is_empty(), "who is being closed waits for nothing");
            }
        }
        let held = self.replica.held();
        assert!(held.proposals + held.deferred <= limits::PROPOSALS_MAX + 1_000);
        assert_eq!(self.replica.facts().digest_mismatches, 0, "prep foretells the digest");
    }

    /// Everybody goes, and nothing is left.
    fn finish(&mut self) {
        if self.prng.chance(1, 2) {
            self.shard.close_all();
        }
        for _ in 0..200 {
            self.end_turn();
            self.durable();
            for peer in 0..self.peers.len() {
                self.sent(peer);
            }
            self.close_who_is_done();
            if self.peers.is_empty() && self.replica.is_idle() {
                break;
            }
            if self.prng.chance(1, 8) && !self.peers.is_empty() {
                self.cut(0);
            }
        }
        while !self.peers.is_empty() {
            self.cut(0);
        }
        self.end_turn();
        self.durable();
        assert!(self.replica.is_idle(), "{:?}", self.replica.held());
        let facts = self.shard.facts();
        assert_eq!((facts.connections, facts.outstanding, facts.watches), (0, 0, 0));
    }
}
