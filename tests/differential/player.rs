//! Plays a stream against one server and writes down what it answers. Knows nothing of the other server.
//!
//! One client acts at a time: the next one waits for the last reply. So every frame has one place in the record, events
//! too: a server queues them before it answers the request that caused them, so they come before the next reply on their
//! connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::base::{SessionId, Zxid};
use ringkeeper::wire::client::connect::ConnectResponse;
use ringkeeper::wire::client::header::encode_frame;
use ringkeeper::wire::client::{ConnectRequest, ReplyHeader};
use ringkeeper::wire::{Decode, ErrorCode};

use crate::item::{AUTH, Action, CLOSE_SESSION, Connect, Item, Moment, ROOT, SASL, Wanted};

/// How long to wait for an answer. The machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Where an answer is not expected any more: while a difference is being shrunk.
pub const IMPATIENCE: Duration = Duration::from_secs(4);

/// How an item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it should: with its reply.
    Answered,
    /// The server closed the connection.
    Closed,
    /// Neither a reply nor a close, for as long as we wait.
    Silent,
}

/// What came back for one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The answers to connect requests that were necessary before.
    pub handshake: Option<Vec<u8>>,
    /// Without their lengths. Events, then the reply.
    pub frames: Vec<Vec<u8>>,
    pub end: End,
    /// What came on a connection that the session left.
    pub left: Option<(Vec<Vec<u8>>, End)>,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, patience: Duration) -> Connection {
        let stream = TcpStream::connect_timeout(&address, patience)
            .unwrap_or_else(|error| panic!("{address} takes no connection: {error}"));
        stream.set_read_timeout(Some(patience)).unwrap_or_else(|error| panic!("{error}"));
        stream.set_nodelay(true).unwrap_or_else(|error| panic!("{error}"));
        Connection { stream, received: Vec::new() }
    }

    /// A server that is gone is noticed when its answer is missing.
    fn send(&mut self, bytes: &[u8]) {
        let _gone = self.stream.write_all(bytes);
    }

    fn frame(&mut self) -> Result<Vec<u8>, End> {
        loop {
            if let Some(prefix) = self.received.first_chunk::<4>() {
                let length = u32::from_be_bytes(*prefix) as usize;
                assert!(length < 64 << 20, "the server sends a frame of {length} bytes");
                if self.received.len() >= 4 + length {
                    let frame = self.received[4..4 + length].to_vec();
                    self.received.drain(..4 + length);
                    return Ok(frame);
                }
            }
            let mut chunk = [0; 1 << 14];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(End::Silent);
                }
                Err(_) => return Err(End::Closed),
            }
        }
    }

    /// Everything up to the answer to a ping.
    fn ping(&mut self, frames: &mut Vec<Vec<u8>>) -> End {
        let xid = (-2i32).to_be_bytes();
        self.send(&framed(&[&xid[..], &11i32.to_be_bytes()].concat()));
        loop {
            match self.frame() {
                Ok(frame) => frames.push(frame),
                Err(end) => return end,
            }
            if frames.last().is_some_and(|frame| frame.starts_with(&xid)) {
                return End::Answered;
            }
        }
    }

    /// Says no more, and waits until the server has closed, too. ZooKeeper forgets a connection by its session's number: one
    /// that is on its way out when the session comes back makes it forget the new one, which it then doesn't close when the
    /// session moves again (`ServerCnxnFactory.removeCnxnFromSessionMap`).
    fn hang_up(mut self) -> End {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return End::Closed;
        }
        self.rest(&mut Vec::new())
    }

    /// Everything until the server closes.
    fn rest(&mut self, frames: &mut Vec<Vec<u8>>) -> End {
        loop {
            match self.frame() {
                Ok(frame) => frames.push(frame),
                Err(end) => return end,
            }
        }
    }
}

#[derive(Default)]
struct Slot {
    connection: Option<Connection>,
    session: i64,
    password: Vec<u8>,
}

pub struct Player {
    address: SocketAddr,
    patience: Duration,
    slots: Vec<Slot>,
    /// The zxids of all replies so far.
    zxids: Vec<i64>,
    root: Vec<u8>,
}

/// Puts `root` wherever `ROOT` stands.
fn rooted(bytes: &[u8], root: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at + ROOT.len() <= out.len() {
        if out[at..].starts_with(ROOT.as_bytes()) {
            out[at..at + ROOT.len()].copy_from_slice(root);
            at += ROOT.len();
        } else {
            at += 1;
        }
    }
    out
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("requests are short");
    [&length.to_be_bytes(), body].concat()
}

/// Whether the server closes the connection behind this reply.
fn is_last(opcode: i32, header: &ReplyHeader) -> bool {
    let is = |code: ErrorCode| header.err == code.code();
    (opcode == CLOSE_SESSION && header.err == 0)
        || (is(ErrorCode::Unimplemented) && header.zxid.0 == -1)
        || (matches!(opcode, AUTH | SASL) && header.err != 0)
}

impl Player {
    /// `number`: the znode in the place of `ROOT` is named for it.
    pub fn new(address: SocketAddr, number: usize, patience: Duration) -> Player {
        let root = format!("/t{number:05}").into_bytes();
        assert_eq!(root.len(), ROOT.len(), "lengths within requests stay right");
        Player { address, patience, slots: Vec::new(), zxids: Vec::new(), root }
    }

    /// One record per item.
    pub fn play(mut self, items: &[Item]) -> Vec<Record> {
        let slots = items.iter().map(|item| item.slot + 1).max().unwrap_or(0);
        self.slots.resize_with(slots, Slot::default);
        let mut records = Vec::with_capacity(items.len());
        let mut at = 0;
        while at < items.len() {
            let mut end = at + 1;
            while end < items.len() && items[end - 1].joins(&items[end]) {
                end += 1;
            }
            self.burst(&items[at..end], &mut records);
            // What follows a server that does not answer would only cost its patience again and again.
            if records.last().is_some_and(|record| record.end == End::Silent) {
                break;
            }
            at = end;
        }
        records
    }

    fn zxid(&self, moment: Moment) -> i64 {
        match moment {
            Moment::Zero => 0,
            Moment::Future => i64::MAX >> 8,
            Moment::RepliesAgo(count) => {
                self.zxids.len().checked_sub(count + 1).map_or(0, |index| self.zxids[index])
            }
        }
    }

    fn connect_frame(&self, slot: usize, connect: &Connect) -> Vec<u8> {
        let slot = &self.slots[slot];
        let mut wrong = vec![0x5a; 16];
        let (session, password) = match connect.wanted {
            Wanted::New => (0, Some(&[0; 16][..])),
            Wanted::Own { .. } => (slot.session, Some(&*slot.password)),
            Wanted::WrongPassword(None) => (slot.session, None),
            Wanted::WrongPassword(Some(bytes)) => {
                wrong.resize(bytes.into(), 0x5a);
                (slot.session, Some(&*wrong))
            }
            Wanted::Unknown(session) => (session, Some(&[0; 16][..])),
        };
        let request = ConnectRequest {
            protocol_version: connect.protocol_version,
            last_zxid_seen: Zxid(self.zxid(connect.last_zxid_seen)),
            timeout_ms: connect.timeout_ms,
            session_id: SessionId(session),
            password,
            read_only: connect.read_only,
        };
        let mut out = Vec::new();
        encode_frame(&mut out, &request);
        // Trailing bytes without the readOnly byte before them would be it.
        if connect.read_only.is_some() {
            out.extend(std::iter::repeat_n(0x11, connect.trailing.into()));
            return framed(&out[4..]);
        }
        out
    }

    /// Reads the answer to a connect request; the slot has a session and a connection if it is taken.
    fn shake_hands(&mut self, slot: usize, mut connection: Connection, record: &mut Record) {
        match connection.frame() {
            Err(end) => record.end = end,
            Ok(frame) => {
                let response = ConnectResponse::parse(&frame).ok().filter(|response| response.timeout_ms > 0);
                match response {
                    None => {
                        record.frames.push(frame);
                        record.end = connection.rest(&mut record.frames);
                    }
                    Some(response) => {
                        let slot = &mut self.slots[slot];
                        slot.session = response.session_id.0;
                        slot.password = response.password.map(<[u8]>::to_vec).unwrap_or_default();
                        slot.connection = Some(connection);
                        record.frames.push(frame);
                    }
                }
            }
        }
    }

    /// Ends what the slot has, as far as a new connection wants it. What it didn't want is silent if the server doesn't let
    /// go of it.
    fn leave(&mut self, slot: usize, wanted: Wanted, record: &mut Record) -> Option<Connection> {
        let old = self.slots[slot].connection.take()?;
        if wanted == (Wanted::Own { old_stays: true }) {
            return Some(old);
        }
        if old.hang_up() == End::Silent {
            record.left = Some((Vec::new(), End::Silent));
        }
        None
    }

    /// Items that go out together. Only the first can be no request.
    fn burst(&mut self, items: &[Item], records: &mut Vec<Record>) {
        let slot = items[0].slot;
        let mut bytes = Vec::new();
        let empty = Record { handshake: None, frames: Vec::new(), end: End::Answered, left: None };
        let mut first = empty.clone();
        let mut old = None;
        let mut new = None;
        match &items[0].action {
            Action::Connect(connect) => {
                old = self.leave(slot, connect.wanted, &mut first);
                if let Some(old) = &mut old {
                    // What is on its way comes before: nothing is lost when the server closes.
                    let mut frames = Vec::new();
                    let end = old.ping(&mut frames);
                    first.left = Some((frames, end));
                }
                new = Some(Connection::open(self.address, self.patience));
                bytes.extend(self.connect_frame(slot, connect));
            }
            _ if self.slots[slot].connection.is_none() => {
                let mut connection = Connection::open(self.address, self.patience);
                connection.send(&self.connect_frame(slot, &Connect::new(Wanted::New)));
                let mut opening = empty.clone();
                self.shake_hands(slot, connection, &mut opening);
                first.handshake = Some(opening.frames.concat());
            }
            _ => {}
        }
        for item in items {
            match &item.action {
                Action::Connect(_) => {}
                Action::Bytes(raw) => bytes.extend(raw),
                Action::Request { xid, opcode, body, zxid_at } => {
                    let mut body = rooted(body, &self.root);
                    if let Some((at, moment)) = zxid_at
                        && let Some(place) = body.get_mut(*at..at + 8)
                    {
                        place.copy_from_slice(&self.zxid(*moment).to_be_bytes());
                    }
                    bytes.extend(framed(&[&xid.to_be_bytes()[..], &opcode.to_be_bytes(), &body].concat()));
                }
            }
        }
        let mut refused = false;
        if let Some(mut connection) = new {
            connection.send(&bytes);
            self.shake_hands(slot, connection, &mut first);
            refused = self.slots[slot].connection.is_none();
            if let (Some(mut old), Some((frames, end))) = (old, &mut first.left) {
                if refused {
                    // The session may be where it was.
                    *end = old.ping(frames);
                    self.slots[slot].connection = (*end == End::Answered).then_some(old);
                } else {
                    *end = old.rest(frames);
                }
            }
        } else if let Some(connection) = &mut self.slots[slot].connection {
            connection.send(&bytes);
        }
        for (index, item) in items.iter().enumerate() {
            let mut record =
                if index == 0 { std::mem::replace(&mut first, empty.clone()) } else { empty.clone() };
            if refused && index > 0 {
                record.end = End::Closed;
            } else if !matches!(item.action, Action::Connect(_)) {
                self.reply(slot, item, &mut record);
            }
            records.push(record);
        }
    }

    /// Reads up to the reply of `item`.
    fn reply(&mut self, slot: usize, item: &Item, record: &mut Record) {
        let Some(connection) = &mut self.slots[slot].connection else {
            record.end = End::Closed;
            return;
        };
        loop {
            let frame = match connection.frame() {
                Ok(frame) => frame,
                Err(end) => {
                    record.end = end;
                    self.slots[slot].connection = None;
                    return;
                }
            };
            let header = ReplyHeader::parse(&frame);
            record.frames.push(frame);
            let Ok(header) = header else { continue };
            if header.xid == -1 {
                continue;
            }
            if header.zxid.0 > 0 {
                self.zxids.push(header.zxid.0);
            }
            if is_last(item.opcode().unwrap_or_default(), &header) {
                record.end = connection.rest(&mut record.frames);
                self.slots[slot].connection = None;
            }
            return;
        }
    }
}

/// A test of the test: a connection that is left is gone before the next one comes. Panics if it isn't.
pub fn check() {
    /// How long the server keeps a connection that its client has left: nobody may come in the meantime.
    const HOLD: Duration = Duration::from_millis(300);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("{error}"));
    let server = thread::spawn(move || {
        let (mut first, _) = listener.accept().expect("the first connection");
        let mut received = [0; 4096];
        while first.read(&mut received).expect("what it says") > 0 {}
        listener.set_nonblocking(true).expect("a listener");
        let start = Instant::now();
        let mut is_early = false;
        while start.elapsed() < HOLD && !is_early {
            is_early = listener.accept().is_ok();
            thread::yield_now();
        }
        drop(first);
        listener.set_nonblocking(false).expect("a listener");
        // Whoever comes now, or came before, is closed; its client sees that.
        is_early || listener.accept().is_err()
    });
    let mut player = Player::new(address, 1, PATIENCE);
    player.slots.push(Slot { connection: Some(Connection::open(address, PATIENCE)), ..Slot::default() });
    let action = Action::Connect(Connect::new(Wanted::Own { old_stays: false }));
    let records = player.play(&[Item { slot: 0, action, joined: false }]);
    assert!(!server.join().expect("the server ends"), "the next connection came before the first was gone");
    assert_eq!((records.len(), &records[0].left, records[0].end), (1, &None, End::Closed));
}
