//! What the tests of this room share: a shard with a tree behind it, and clients that are frames.
//!
//! The replica is the test's: it applies transactions to the real tree, hands the notices in and publishes, when the test
//! says so. What the shard asks of it is looked at in `requests`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::messages::{Answer, AnswerBody, Changes, Client, Request};
use crate::tree::testing::{Applied, KEY, World};
use crate::wire::client::header::{encode_frame, encode_request};
use crate::wire::client::{ConnectRequest, ReplyHeader, WatcherEvent};
use crate::wire::{Decode, Encode, ErrorCode, Opcode};

pub const TICK: Duration = Duration::from_secs(2);
pub const SESSION_TIMEOUT_MS: i32 = 10_000;

/// A message to a client, without its body where the test doesn't ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Reply {
        xid: i32,
        zxid: i64,
        err: i32,
        body: Vec<u8>,
    },
    /// Type and path.
    Event(i32, String),
}

#[derive(Default)]
struct Wire {
    /// Sent by the shard and not taken by the client.
    in_flight: Option<Vec<u8>>,
    received: Vec<u8>,
    is_paused: bool,
    is_closed: bool,
}

pub struct Bench {
    pub world: World,
    pub shard: Shard,
    pub now: Now,
    pub requests: VecDeque<Request>,
    /// Slow requests that were told of.
    pub slow: Vec<SlowRequest>,
    /// How often sockets were read again.
    pub resumes: usize,
    wires: Vec<Wire>,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::within(Bounds::default())
    }

    pub fn within(bounds: Bounds) -> Bench {
        Bench::with(bounds, LargeRequests::default())
    }

    pub fn with(bounds: Bounds, large_requests: LargeRequests) -> Bench {
        let mut world = World::new(1);
        let now = Now { instant: Instant(1_000_000_000), wall: crate::base::WallMillis(1) };
        let settings = Settings {
            tick: TICK,
            frame_bytes_max: limits::FRAME_BYTES_DEFAULT,
            sessionless_timeout: Duration::from_secs(10),
            slow_request: Duration::MAX,
            skip_acl: false,
            super_digest: Some(Arc::from(super::auth::digest("super:secret"))),
            turn_budget: limits::TURN_BUDGET,
            bounds,
            large_requests,
            hash_key: KEY,
            is_serving: true,
        };
        let reader = world.readers.pop().expect("one reader");
        let shard = Shard::new(ShardId(0), settings, reader, now);
        Bench { world, shard, now, requests: VecDeque::new(), slow: vec![], resumes: 0, wires: vec![] }
    }

    pub fn id(client: usize) -> ConnectionId {
        ConnectionId { slot: client as u32, generation: 1 }
    }

    pub fn step(&mut self, input: Input<'_>) {
        let mut outputs = vec![];
        self.shard.step(self.now, input, &mut outputs);
        for output in outputs {
            match output {
                Output::Request(request) => self.requests.push_back(request),
                Output::Send { connection, bytes } => {
                    let before = self.wires[connection.slot as usize].in_flight.replace(bytes);
                    assert_eq!(before, None, "one send is in flight at most");
                }
                Output::Pause { connection } => self.wires[connection.slot as usize].is_paused = true,
                Output::Resume { connection } => {
                    self.wires[connection.slot as usize].is_paused = false;
                    self.resumes += 1;
                }
                Output::Close { connection } | Output::Abort { connection } => {
                    self.wires[connection.slot as usize].is_closed = true;
                }
                Output::Slow(slow) => self.slow.push(*slow),
                Output::Word { .. } => panic!("no test sends words"),
            }
        }
    }

    pub fn end_turn(&mut self) {
        self.step(Input::TurnEnd);
    }

    /// A connection, before its handshake.
    pub fn accept(&mut self) -> usize {
        self.wires.push(Wire::default());
        let client = self.wires.len() - 1;
        let address = "127.0.0.1:4000".parse().expect("an address");
        self.step(Input::Accepted { connection: Bench::id(client), address });
        client
    }

    /// A connection with a session, whose number is the client's plus one.
    pub fn connect(&mut self) -> usize {
        let client = self.accept();
        let mut frame = vec![];
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: SESSION_TIMEOUT_MS,
            session_id: SessionId::NONE,
            password: Some(&[0; 16]),
            read_only: Some(false),
        };
        encode_frame(&mut frame, &request);
        self.receive(client, &frame);
        assert!(matches!(self.requests.pop_back(), Some(Request::Connect { .. })));
        let session = SessionId(client as i64 + 1);
        let timeout_ms = SESSION_TIMEOUT_MS;
        self.answer(client, 0, AnswerBody::Session { session, password: [0; 16], timeout_ms });
        self.end_turn();
        assert_eq!(self.take(client).len(), 4 + 37, "the connect response");
        client
    }

    pub fn receive(&mut self, client: usize, bytes: &[u8]) {
        self.step(Input::Received { connection: Bench::id(client), bytes });
    }

    pub fn send(&mut self, client: usize, xid: i32, opcode: Opcode, body: &impl Encode) {
        let mut frame = vec![];
        encode_request(&mut frame, xid, opcode, body);
        self.receive(client, &frame);
    }

    /// The answer to a request that needs no transaction.
    pub fn answer(&mut self, client: usize, xid: i32, body: AnswerBody) {
        let to = Client { shard: ShardId(0), connection: Bench::id(client) };
        self.notify(self.world.zxid, Changes::None, Some(Answer { to, xid, body }));
    }

    /// Applies what `change` does to the tree, and answers it to this client with "done".
    pub fn write(&mut self, by: Option<(usize, i32)>, change: impl FnOnce(&mut World) -> Applied) {
        let changes = change(&mut self.world).changes;
        let answer = by.map(|(client, xid)| {
            let to = Client { shard: ShardId(0), connection: Bench::id(client) };
            Answer { to, xid, body: AnswerBody::Error(ErrorCode::Ok) }
        });
        self.notify(self.world.zxid, changes, answer);
    }

    fn notify(&mut self, zxid: Zxid, changes: Changes, answer: Option<Answer>) {
        let notice = Notice { zxid, changes, answer, ..Notice::empty() };
        self.step(Input::Notice(Arc::new(notice)));
        self.world.publish();
        self.step(Input::Published { zxid });
    }

    /// The client takes what was sent, and the shard is told.
    pub fn take(&mut self, client: usize) -> Vec<u8> {
        let mut taken = vec![];
        while let Some(bytes) = self.wires[client].in_flight.take() {
            taken.extend_from_slice(&bytes);
            self.step(Input::Sent { connection: Bench::id(client), buffer: bytes });
            self.end_turn();
        }
        taken
    }

    /// Ends the turn and gives what the client has been told by now, in order.
    pub fn told(&mut self, client: usize) -> Vec<Told> {
        self.end_turn();
        let taken = self.take(client);
        let mut bytes = std::mem::take(&mut self.wires[client].received);
        bytes.extend(taken);
        let mut told = vec![];
        let mut rest = &bytes[..];
        while let crate::wire::frame::Frame::Complete { body } = crate::wire::frame::split(rest, 1 << 30) {
            told.push(message(&rest[body.clone()]));
            rest = &rest[body.end..];
        }
        self.wires[client].received = rest.to_vec();
        told
    }

    /// The same, of replies their xids only.
    pub fn xids(&mut self, client: usize) -> Vec<i32> {
        let told = self.told(client);
        told.iter().map(|told| if let Told::Reply { xid, .. } = told { *xid } else { -1 }).collect()
    }

    /// Lets time pass; the sweep follows if it is due.
    pub fn pass(&mut self, time: Duration) {
        self.now.instant = self.now.instant + time;
        if self.shard.next_wakeup().is_some_and(|at| self.now.instant >= at) {
            self.step(Input::Wakeup);
        }
        self.end_turn();
    }

    /// Something is on its way to the client.
    pub fn is_sent(&self, client: usize) -> bool {
        self.wires[client].in_flight.is_some()
    }

    /// Room of the buffer on its way to the client.
    pub fn capacity_in_flight(&self, client: usize) -> usize {
        self.wires[client].in_flight.as_ref().map_or(0, Vec::capacity)
    }

    pub fn is_paused(&self, client: usize) -> bool {
        self.wires[client].is_paused
    }

    pub fn is_closed(&self, client: usize) -> bool {
        self.wires[client].is_closed
    }
}

fn message(frame: &[u8]) -> Told {
    let header = ReplyHeader::parse(frame).expect("a reply header");
    let body = &frame[16..];
    if header.xid == -1 {
        let event = WatcherEvent::parse(body).expect("an event");
        return Told::Event(event.event_type as i32, event.path.to_string());
    }
    Told::Reply { xid: header.xid, zxid: header.zxid.0, err: header.err, body: body.to_vec() }
}
