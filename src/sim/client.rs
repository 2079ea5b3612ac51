//! One client: it speaks the real wire protocol, and checks everything that it is told.
//!
//! A client keeps its session through lost connections, counts its xids on, and never uses one twice. What its replies
//! and events must be follows from the [`History`] alone; nothing here looks into the server.

use std::collections::VecDeque;

use crate::base::{SessionId, Zxid};
use crate::wire::client::header::{encode_frame, encode_request};
use crate::wire::client::{
    ConnectRequest, ConnectResponse, CreateRequest, DeleteRequest, ExistsRequest, GetAclRequest,
    GetChildrenRequest, GetDataRequest, SetAclRequest, SetDataRequest, SyncRequest, xid,
};
use crate::wire::frame::{Frame, split};
use crate::wire::jute::encode_vector;
use crate::wire::{AclList, Decode, Opcode, OwnedAcl, Reader, Text};

use super::history::{Checked, History, violation};
use super::model::Operation;
use super::stream::Stream;

/// A session as the client knows it.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: SessionId,
    pub password: Vec<u8>,
    pub timeout_ms: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Disconnected,
    /// The connect request is out, with or without the right password.
    Connecting {
        honest: bool,
    },
    Active,
}

/// What a request waits for.
#[derive(Clone, Debug)]
pub struct Outstanding {
    pub xid: i32,
    pub operation: Operation,
    /// What any client had been told of when it was sent.
    pub told: Zxid,
}

/// What a received frame meant to whoever runs the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Opened,
    Resumed,
    /// A session that was asked for is no more, or the password was wrong.
    Refused,
    /// A new session was asked for, and there is none.
    NotOpened,
    Reply,
    Event,
    SystemError,
    SessionOver,
}

pub struct Client {
    pub index: usize,
    pub state: State,
    pub session: Option<Known>,
    pub last_zxid: Zxid,
    next_xid: i32,
    pub outstanding: VecDeque<Outstanding>,
    input: Vec<u8>,
    pub stream: Stream,
    read_only_byte: bool,
    /// Requests answered, over all connections.
    pub answered: u64,
    pub events: u64,
    /// A closeSession is out: nothing may follow.
    pub closing: bool,
}

const FRAME_BYTES_MAX: usize = 16 << 20;

impl Client {
    pub fn new(index: usize) -> Client {
        Client {
            index,
            state: State::Disconnected,
            session: None,
            last_zxid: Zxid::ZERO,
            next_xid: 1,
            outstanding: VecDeque::new(),
            input: vec![],
            stream: Stream::new(Zxid::ZERO),
            read_only_byte: true,
            answered: 0,
            events: 0,
            closing: false,
        }
    }

    /// A connection was made: the bytes of the connect request. `honest`: with the right password.
    pub fn connect(&mut self, honest: bool, read_only_byte: bool, timeout_ms: i32) -> Vec<u8> {
        assert!(self.state == State::Disconnected);
        self.state = State::Connecting { honest };
        self.read_only_byte = read_only_byte;
        self.stream = Stream::new(self.last_zxid);
        self.input.clear();
        let mut password = self.session.as_ref().map_or(vec![0; 16], |known| known.password.clone());
        if !honest && let Some(byte) = password.first_mut() {
            *byte ^= 1;
        }
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms,
            session_id: self.session.as_ref().map_or(SessionId::NONE, |known| known.id),
            password: Some(&password),
            read_only: read_only_byte.then_some(false),
        };
        let mut bytes = vec![];
        encode_frame(&mut bytes, &request);
        bytes
    }

    /// The connection is gone. What is unanswered stays so.
    pub fn disconnected(&mut self) {
        self.state = State::Disconnected;
        self.outstanding.clear();
        self.input.clear();
        // Watches go with the connection.
        self.stream = Stream::new(self.last_zxid);
        self.closing = false;
    }

    /// A request, as bytes, entered into the history.
    pub fn request(&mut self, operation: Operation, history: &mut History, bytes: &mut Vec<u8>) {
        let session = self.session.as_ref().expect("only an active client sends").id;
        let xid = if operation == Operation::Ping { xid::PING } else { self.next_xid };
        encode(xid, &operation, bytes);
        if xid == self.next_xid {
            self.next_xid += 1;
        }
        if operation.is_write() {
            history.on_sent(session, xid, operation.clone());
        }
        self.closing |= operation == Operation::CloseSession;
        self.outstanding.push_back(Outstanding { xid, operation, told: history.told });
    }

    /// Bytes came in: checks every frame in them.
    pub fn receive(&mut self, bytes: &[u8], history: &mut History, news: &mut Vec<News>) -> Checked {
        self.input.extend_from_slice(bytes);
        let mut used = 0;
        let input = std::mem::take(&mut self.input);
        loop {
            match split(&input[used..], FRAME_BYTES_MAX) {
                Frame::Complete { body } => {
                    let end = body.end;
                    let frame = &input[used..][body];
                    news.push(self.on_frame(frame, history)?);
                    used += end;
                }
                Frame::NeedMore { .. } => break,
                Frame::Bad(bad) => {
                    return violation("replies are framed", format!("client {}: {bad}", self.index));
                }
            }
        }
        self.input = input[used..].to_vec();
        Ok(())
    }

    fn on_frame(&mut self, frame: &[u8], history: &mut History) -> Checked<News> {
        if let State::Connecting { honest } = self.state {
            return self.on_connected(frame, honest, history);
        }
        let news = self.stream.on_frame(frame, &mut self.outstanding, self.session.as_ref(), history);
        let news = news.map_err(|mut violation| {
            let session = self.session.as_ref().map_or(SessionId::NONE, |known| known.id);
            violation.detail = format!("client {}, session {session}: {}", self.index, violation.detail);
            violation
        })?;
        self.last_zxid = self.last_zxid.max(self.stream.zxid);
        history.told = history.told.max(self.stream.zxid);
        match news {
            News::Event => self.events += 1,
            _ => self.answered += 1,
        }
        if news == News::SessionOver {
            self.session = None;
        }
        Ok(news)
    }

    fn on_connected(&mut self, frame: &[u8], honest: bool, history: &mut History) -> Checked<News> {
        let mut reader = Reader::new(frame);
        let Ok(response) = ConnectResponse::decode(&mut reader) else {
            return violation(
                "replies decode",
                format!("client {}: connect response {frame:02x?}", self.index),
            );
        };
        if response.read_only.is_some() != self.read_only_byte || !reader.is_empty() {
            return violation("replies decode", format!("client {}: {response:?}", self.index));
        }
        let asked = self.session.clone();
        if response.timeout_ms <= 0 {
            let legal = match &asked {
                _ if !honest => true,
                None => true, // the disk is full; `world` looks whether it is
                Some(known) => !history.model.is_alive(known.id),
            };
            if !legal {
                return violation(
                    "a living session can be resumed",
                    format!("client {}: session {asked:?} was refused", self.index),
                );
            }
            if honest {
                self.session = None;
            }
            return Ok(if asked.is_some() { News::Refused } else { News::NotOpened });
        }
        let id = response.session_id;
        if !honest {
            return violation(
                "a session needs its password",
                format!("client {}: {id} was resumed with a wrong one", self.index),
            );
        }
        let password = response.password.unwrap_or_default().to_vec();
        match &asked {
            Some(known) if known.id != id || known.password != password => {
                return violation(
                    "a resumed session is the one asked for",
                    format!("client {}: {known:?} became {response:?}", self.index),
                );
            }
            // Whoever was told that the session is over must not see it live.
            Some(_)
                if history
                    .model
                    .sessions
                    .get(&id)
                    .is_none_or(|life| life.closed.is_some_and(|closed| closed <= self.last_zxid)) =>
            {
                return violation(
                    "a session ends once",
                    format!("client {}: {id} was resumed after its end", self.index),
                );
            }
            None if !history.model.sessions.contains_key(&id) => {
                return violation(
                    "acknowledged is durable",
                    format!("client {}: {id} was opened and is not in the log", self.index),
                );
            }
            _ => {}
        }
        self.state = State::Active;
        self.session = Some(Known { id, password, timeout_ms: response.timeout_ms });
        Ok(if asked.is_some() { News::Resumed } else { News::Opened })
    }
}

fn encode(xid: i32, operation: &Operation, out: &mut Vec<u8>) {
    let text = |path: &'_ [u8]| Text::from_bytes(path).as_bytes().to_vec();
    match operation {
        Operation::Create { path, data, perms, flags, two } => {
            let (path, acl) = (text(path), acl_bytes(*perms));
            let acl = AclList::decode(&mut Reader::new(&acl)).ok();
            let body =
                CreateRequest { path: Text::from_bytes(&path), data: data.as_deref(), acl, flags: *flags };
            let opcode = if *two { Opcode::Create2 } else { Opcode::Create };
            encode_request(out, xid, opcode, &body);
        }
        Operation::Delete { path, version } => {
            let body = DeleteRequest { path: Text::from_bytes(path), version: *version };
            encode_request(out, xid, Opcode::Delete, &body);
        }
        Operation::SetData { path, data, version } => {
            let (path, data) = (Text::from_bytes(path), data.as_deref());
            encode_request(out, xid, Opcode::SetData, &SetDataRequest { path, data, version: *version });
        }
        Operation::SetAcl { path, perms, version } => {
            let acl = acl_bytes(*perms);
            let acl = AclList::decode(&mut Reader::new(&acl)).ok();
            let body = SetAclRequest { path: Text::from_bytes(path), acl, version: *version };
            encode_request(out, xid, Opcode::SetAcl, &body);
        }
        Operation::CloseSession => encode_request(out, xid, Opcode::CloseSession, &()),
        Operation::Exists { path, watch } => {
            let body = ExistsRequest { path: Text::from_bytes(path), watch: *watch };
            encode_request(out, xid, Opcode::Exists, &body);
        }
        Operation::GetData { path, watch } => {
            let body = GetDataRequest { path: Text::from_bytes(path), watch: *watch };
            encode_request(out, xid, Opcode::GetData, &body);
        }
        Operation::GetChildren { path, watch, two } => {
            let body = GetChildrenRequest { path: Text::from_bytes(path), watch: *watch };
            let opcode = if *two { Opcode::GetChildren2 } else { Opcode::GetChildren };
            encode_request(out, xid, opcode, &body);
        }
        Operation::GetAcl { path } => {
            encode_request(out, xid, Opcode::GetAcl, &GetAclRequest { path: Text::from_bytes(path) });
        }
        Operation::Sync { path } => {
            let body = SyncRequest { path: Some(Text::from_bytes(path)) };
            encode_request(out, xid, Opcode::Sync, &body);
        }
        Operation::Ping => encode_request(out, xid, Opcode::Ping, &()),
    }
}

/// `world:anyone` with these permissions; the empty list for none.
fn acl_bytes(perms: i32) -> Vec<u8> {
    let mut bytes = vec![];
    let entry = OwnedAcl::new(perms, "world", "anyone");
    encode_vector(&mut bytes, (perms != 0).then_some(&entry));
    bytes
}
