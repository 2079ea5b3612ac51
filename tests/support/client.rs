//! A ZooKeeper client on a raw socket: every byte is visible, in the order of its arrival.
//!
//! Blocking, one request at a time or pipelined by hand ([`Client::send`], [`Client::next`]). Every read has a bound.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ringkeeper::wire::client::connect::ConnectResponse;
use ringkeeper::wire::client::header::encode_request;
use ringkeeper::wire::client::{
    Create2Response, CreateRequest, CreateResponse, DeleteRequest, EventType, ExistsRequest, ExistsResponse,
    GetChildren2Response, GetChildrenRequest, GetChildrenResponse, GetDataRequest, GetDataResponse,
    KeeperState, ReplyHeader, SetDataRequest, SetDataResponse, SyncRequest, WatcherEvent,
};
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, Stat};

use super::connect::{Connect, Refusal};
use super::server::Server;

/// Sizes of headers on the wire.
const REPLY_HEADER_BYTES: usize = 16;

/// The flags of a create.
pub const PERSISTENT: i32 = 0;
pub const EPHEMERAL: i32 = 1;
pub const SEQUENTIAL: i32 = 2;
pub const EPHEMERAL_SEQUENTIAL: i32 = 3;

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as a record; panics on an error or on bytes that are no such record.
    pub fn record<'a, T: Decode<'a>>(&'a self) -> T {
        assert_eq!(self.err, 0, "{:?}", ErrorCode::from_i32(self.err));
        T::parse(&self.body).unwrap_or_else(|error| panic!("{error}: {:x?}", self.body))
    }

    /// `Ok` is an outcome, too.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::from_i32(self.err).unwrap_or_else(|| panic!("{} is no code of ZooKeeper's", self.err))
    }
}

/// A watch event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub zxid: i64,
    pub kind: EventType,
    pub path: String,
}

/// What arrives behind the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Reply(Reply),
    Event(Event),
}

/// What an operation gave, or how it failed.
pub type Outcome<T> = Result<T, ErrorCode>;

#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    pub session: i64,
    pub password: Vec<u8>,
    /// What was agreed on.
    pub timeout_ms: i32,
    /// The whole connect response, without its length.
    pub handshake: Vec<u8>,
    xid: i32,
    /// Of the last reply.
    pub zxid: i64,
    /// Of Apache's, in a test that runs both kinds. Known of a client that was opened at a [`Server`], by `open` or `try_open`.
    pub(super) is_apaches: bool,
    /// Events that came while a reply was waited for, oldest first.
    pub events: VecDeque<Event>,
}

impl Client {
    /// A new session.
    pub fn connect(server: &Server) -> Client {
        Connect::default().open(server)
    }

    /// A socket that has not said anything yet.
    pub fn on(stream: TcpStream) -> Client {
        Client {
            stream,
            session: 0,
            password: Vec::new(),
            timeout_ms: 0,
            handshake: Vec::new(),
            xid: 0,
            zxid: 0,
            is_apaches: false,
            events: VecDeque::new(),
        }
    }

    /// The same connection once more, for a thread that only reads.
    pub fn reader(&self) -> Client {
        Client::on(self.stream.try_clone().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Reads the connect response.
    pub fn shake_hands(&mut self) -> Result<(), Refusal> {
        let Some(frame) = self.next_frame() else { return Err(Refusal::Closed) };
        self.take_handshake(frame)
    }

    pub(super) fn take_handshake(&mut self, frame: Vec<u8>) -> Result<(), Refusal> {
        let response = ConnectResponse::parse(&frame).unwrap_or_else(|error| panic!("{error}: {frame:x?}"));
        if response.timeout_ms == 0 {
            assert_eq!(self.next_frame(), None, "a rejection is the last thing on its connection");
            return Err(Refusal::Rejected(frame));
        }
        self.session = response.session_id.0;
        self.password = response.password.map(<[u8]>::to_vec).unwrap_or_default();
        self.timeout_ms = response.timeout_ms;
        self.handshake = frame;
        Ok(())
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .unwrap_or_else(|error| panic!("the server does not take our bytes: {error}"));
    }

    /// As [`Client::send_bytes`], to a server that may be gone: false if it is.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame's body. `None`: the server closed the connection, between two frames.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.read_frame().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Fails where nothing comes within the socket's bound.
    pub(super) fn read_frame(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut prefix = [0; 4];
        let mut filled = 0;
        while filled < prefix.len() {
            match self.stream.read(&mut prefix[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => panic!("closed within a length"),
                Ok(count) => filled += count,
                // A stopped and continued test process sees these on a socket with a timeout.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if filled == 0 && error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let length = u32::from_be_bytes(prefix) as usize;
        assert!(length < 64 << 20, "a frame of {length} bytes");
        let mut body = vec![0; length];
        match self.stream.read_exact(&mut body) {
            Ok(()) => Ok(Some(body)),
            // A killed server may leave half a frame behind.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next message. `None`: closed.
    pub fn try_next(&mut self) -> Option<Message> {
        let frame = self.next_frame()?;
        Some(self.message(&frame))
    }

    fn message(&mut self, frame: &[u8]) -> Message {
        let header = ReplyHeader::parse(frame).unwrap_or_else(|error| panic!("{error}: {frame:x?}"));
        let body = &frame[REPLY_HEADER_BYTES..];
        if header.xid == -1 {
            let event = WatcherEvent::parse(body).unwrap_or_else(|error| panic!("{error}: {frame:x?}"));
            assert_eq!(event.state, KeeperState::SyncConnected);
            let path = event.path.as_str().unwrap_or_else(|| panic!("{:?}", event.path)).to_owned();
            return Message::Event(Event { zxid: header.zxid.0, kind: event.event_type, path });
        }
        self.zxid = header.zxid.0;
        Message::Reply(Reply { xid: header.xid, zxid: header.zxid.0, err: header.err, body: body.to_vec() })
    }

    /// The next message. `None`: closed, or nothing came within the socket's bound.
    pub fn next_within(&mut self) -> Option<Message> {
        let frame = self.read_frame().ok()??;
        Some(self.message(&frame))
    }

    /// The next message, in the order of arrival.
    pub fn next(&mut self) -> Message {
        self.try_next()
            .unwrap_or_else(|| panic!("the server closed the connection of session 0x{:x}", self.session))
    }

    /// The next message, which has to be an event.
    pub fn next_event(&mut self) -> Event {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        match self.next() {
            Message::Event(event) => event,
            Message::Reply(reply) => panic!("{reply:?} instead of an event"),
        }
    }

    /// The next reply; events before it are kept in `events`.
    pub fn next_reply(&mut self) -> Reply {
        loop {
            match self.next() {
                Message::Event(event) => self.events.push_back(event),
                Message::Reply(reply) => return reply,
            }
        }
    }

    /// The bytes of a request under the next xid.
    pub fn request(&mut self, opcode: Opcode, body: &impl Encode) -> (i32, Vec<u8>) {
        self.xid += 1;
        let mut out = Vec::new();
        encode_request(&mut out, self.xid, opcode, body);
        (self.xid, out)
    }

    /// A request with a header and a body of our choice, malformed ones too.
    pub fn send_raw(&mut self, xid: i32, opcode: i32, body: &[u8]) {
        let length = u32::try_from(8 + body.len()).expect("bodies of tests are short");
        let mut out = length.to_be_bytes().to_vec();
        out.extend(xid.to_be_bytes());
        out.extend(opcode.to_be_bytes());
        out.extend(body);
        self.send_bytes(&out);
    }

    /// Sends without waiting; gives the xid.
    pub fn send(&mut self, opcode: Opcode, body: &impl Encode) -> i32 {
        let (xid, bytes) = self.request(opcode, body);
        self.send_bytes(&bytes);
        xid
    }

    /// As [`Client::call`], to a server that may be gone or silent: `None` if the connection ended, or nothing came within the
    /// socket's bound. Then nobody knows what became of the request, and the connection is of no more use.
    pub fn try_call(&mut self, opcode: Opcode, body: &impl Encode) -> Option<Reply> {
        let (xid, bytes) = self.request(opcode, body);
        if !self.try_send_bytes(&bytes) {
            return None;
        }
        loop {
            let frame = self.read_frame().ok()??;
            match self.message(&frame) {
                Message::Event(event) => self.events.push_back(event),
                Message::Reply(reply) => {
                    assert_eq!(reply.xid, xid, "replies come in the order of the requests");
                    return Some(reply);
                }
            }
        }
    }

    /// Sends and waits for the reply, which has to be to this request.
    pub fn call(&mut self, opcode: Opcode, body: &impl Encode) -> Reply {
        let xid = self.send(opcode, body);
        let reply = self.next_reply();
        assert_eq!(reply.xid, xid, "replies come in the order of the requests");
        reply
    }

    /// Asserts that the server closes without another byte.
    pub fn assert_closed(&mut self) {
        let next = self.next_frame();
        assert_eq!(next, None, "the server should have closed the connection");
    }

    /// Asserts that nothing is on its way to us: a ping's reply is the next thing.
    pub fn assert_quiet(&mut self) {
        self.send_raw(-2, Opcode::Ping.code(), &[]);
        match self.next() {
            Message::Reply(reply) => assert_eq!((reply.xid, reply.err), (-2, 0)),
            Message::Event(event) => panic!("unexpected {event:?}"),
        }
        assert!(self.events.is_empty(), "unexpected {:?}", self.events);
    }

    pub fn try_create(&mut self, path: &str, data: &[u8], flags: i32) -> Outcome<String> {
        let request = CreateRequest { path: path.into(), data: Some(data), acl: Some(AclList::OPEN), flags };
        let reply = self.call(Opcode::Create, &request);
        outcome(&reply, |reply| reply.record::<CreateResponse>().path.to_string())
    }

    /// Gives the path, with its suffix if it is sequential.
    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> String {
        self.try_create(path, data, flags).unwrap_or_else(|error| panic!("create {path}: {error}"))
    }

    pub fn create2(&mut self, path: &str, data: &[u8], flags: i32) -> (String, Stat) {
        let request = CreateRequest { path: path.into(), data: Some(data), acl: Some(AclList::OPEN), flags };
        let reply = self.call(Opcode::Create2, &request);
        let response = reply.record::<Create2Response>();
        (response.path.to_string(), response.stat)
    }

    pub fn delete(&mut self, path: &str, version: i32) -> Outcome<()> {
        let reply = self.call(Opcode::Delete, &DeleteRequest { path: path.into(), version });
        outcome(&reply, |reply| assert!(reply.body.is_empty(), "delete has no body"))
    }

    pub fn exists(&mut self, path: &str, watch: bool) -> Outcome<Stat> {
        let reply = self.call(Opcode::Exists, &ExistsRequest { path: path.into(), watch });
        outcome(&reply, |reply| reply.record::<ExistsResponse>().stat)
    }

    pub fn stat(&mut self, path: &str) -> Stat {
        self.exists(path, false).unwrap_or_else(|error| panic!("exists {path}: {error}"))
    }

    pub fn get_data(&mut self, path: &str, watch: bool) -> Outcome<(Option<Vec<u8>>, Stat)> {
        let reply = self.call(Opcode::GetData, &GetDataRequest { path: path.into(), watch });
        outcome(&reply, |reply| {
            let response = reply.record::<GetDataResponse>();
            (response.data.map(<[u8]>::to_vec), response.stat)
        })
    }

    /// The data, which must not be null.
    pub fn data(&mut self, path: &str) -> Vec<u8> {
        let (data, _) = self.get_data(path, false).unwrap_or_else(|error| panic!("getData {path}: {error}"));
        data.unwrap_or_else(|| panic!("{path} has null data"))
    }

    pub fn set_data(&mut self, path: &str, data: &[u8], version: i32) -> Outcome<Stat> {
        let request = SetDataRequest { path: path.into(), data: Some(data), version };
        let reply = self.call(Opcode::SetData, &request);
        outcome(&reply, |reply| reply.record::<SetDataResponse>().stat)
    }

    /// The names, sorted: the server's order means nothing.
    pub fn children(&mut self, path: &str, watch: bool) -> Outcome<Vec<String>> {
        let reply = self.call(Opcode::GetChildren, &GetChildrenRequest { path: path.into(), watch });
        outcome(&reply, |reply| {
            let response = reply.record::<GetChildrenResponse>();
            let mut names: Vec<String> = response.children.iter().map(|name| name.to_string()).collect();
            names.sort();
            names
        })
    }

    pub fn children2(&mut self, path: &str, watch: bool) -> Outcome<(Vec<String>, Stat)> {
        let reply = self.call(Opcode::GetChildren2, &GetChildrenRequest { path: path.into(), watch });
        outcome(&reply, |reply| {
            let response = reply.record::<GetChildren2Response>();
            let mut names: Vec<String> = response.children.iter().map(|name| name.to_string()).collect();
            names.sort();
            (names, response.stat)
        })
    }

    pub fn sync(&mut self, path: &str) -> Reply {
        self.call(Opcode::Sync, &SyncRequest { path: Some(path.into()) })
    }

    /// Until all that anybody was told of, at any server, is seen here. Apache's leader doesn't know `sync`: it answers at once,
    /// and may have told the followers of transactions that it hasn't applied itself. What is refused comes behind them all the same. For a
    /// client that may write.
    pub fn catch_up(&mut self) {
        self.sync("/");
        if self.is_apaches {
            assert_eq!(self.delete("/nobody-makes-this", -1), Err(ErrorCode::NoNode));
        }
    }

    /// From now on a read or a write may take so long.
    pub fn be_patient(&self, bound: Duration) {
        self.stream.set_read_timeout(Some(bound)).unwrap_or_else(|error| panic!("{error}"));
        self.stream.set_write_timeout(Some(bound)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// False: the connection is of no more use.
    pub fn try_ping(&mut self) -> bool {
        let mut ping = 8i32.to_be_bytes().to_vec();
        ping.extend((-2i32).to_be_bytes());
        ping.extend(Opcode::Ping.code().to_be_bytes());
        self.try_send_bytes(&ping)
            && matches!(self.next_within(), Some(Message::Reply(reply)) if reply.xid == -2)
    }

    pub fn ping(&mut self) -> Reply {
        self.send_raw(-2, Opcode::Ping.code(), &[]);
        self.next_reply()
    }

    /// Ends the session: its reply is the last thing on the connection.
    pub fn close(mut self) -> Reply {
        let reply = self.call(Opcode::CloseSession, &());
        assert_eq!(reply.err, 0);
        self.assert_closed();
        reply
    }

    /// Loses the connection; the session lives on.
    pub fn cut(self) {
        drop(self.stream);
    }
}

fn outcome<T>(reply: &Reply, read: impl FnOnce(&Reply) -> T) -> Outcome<T> {
    match reply.code() {
        ErrorCode::Ok => Ok(read(reply)),
        error => {
            assert!(reply.body.is_empty(), "an error has no body: {reply:?}");
            Err(error)
        }
    }
}
