//! One client: it speaks the real wire protocol, and checks everything that it is told.
//!
//! A client keeps its session through lost connections, counts its xids on, and never uses one twice. What its replies
//! and events must be follows from the [`History`] alone; nothing here looks into the server.

use std::collections::VecDeque;

use crate::base::{SessionId, Zxid};
use crate::wire::client::header::encode_frame;
use crate::wire::client::{ConnectRequest, ConnectResponse, xid};
use crate::wire::frame::{Frame, split};
use crate::wire::{Decode, Reader};

use super::encoding::encode;
use super::history::{Checked, History, violation};
use super::identity;
use super::operation::{Operation, Watched};
use super::plan::Canary;
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
    /// What it watched on the connection before.
    pub watched: Watched,
    canary: Option<Canary>,
    read_only_byte: bool,
    /// Requests answered, over all connections.
    pub answered: u64,
    pub events: u64,
    /// A closeSession is out: nothing may follow.
    pub closing: bool,
}

const FRAME_BYTES_MAX: usize = 16 << 20;

impl Client {
    pub fn new(index: usize, canary: Option<Canary>) -> Client {
        Client {
            index,
            state: State::Disconnected,
            session: None,
            last_zxid: Zxid::ZERO,
            next_xid: 1,
            outstanding: VecDeque::new(),
            input: vec![],
            stream: Stream::new(Zxid::ZERO),
            watched: Watched::default(),
            canary,
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

    /// What it sends on this connection shows that its session lives.
    pub fn proves_itself(&self) -> bool {
        matches!(self.state, State::Active | State::Connecting { honest: true })
    }

    /// The connection is gone. What is unanswered stays so.
    pub fn disconnected(&mut self) {
        self.state = State::Disconnected;
        self.outstanding.clear();
        self.input.clear();
        // Watches go with the connection; the client remembers them until it has said what they were.
        let watched = self.stream.watching.remembered();
        if watched.count() > 0 {
            self.watched = watched;
        }
        self.stream = Stream::new(self.last_zxid);
        self.closing = false;
    }

    /// A request, as bytes, entered into the history.
    pub fn request(&mut self, operation: Operation, history: &mut History, bytes: &mut Vec<u8>) {
        let session = self.session.as_ref().expect("only an active client sends").id;
        // Whom an earlier request is answered as, when an auth packet overtakes it, nobody says.
        let waits = matches!(operation, Operation::Auth { .. }) && !self.outstanding.is_empty();
        let operation = if waits { Operation::Ping } else { operation };
        let xid = match operation {
            Operation::Ping => xid::PING,
            Operation::Auth { .. } => xid::AUTH,
            Operation::SetWatches { .. } => xid::SET_WATCHES,
            _ => self.next_xid,
        };
        encode(xid, &garbled(&operation, self.canary), bytes);
        if xid == self.next_xid {
            self.next_xid += 1;
        }
        match &operation {
            Operation::Auth { user: Some(user) } => {
                self.stream.watching.on_auth_sent(&identity::digest_of(user), self.stream.zxid);
            }
            Operation::CloseSession | Operation::Auth { user: None } => self.closing = true,
            Operation::SetWatches { .. } => self.watched = Watched::default(),
            _ => {}
        }
        if operation.is_write() {
            history.on_sent(session, xid, operation.clone(), self.stream.watching.users());
        }
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
            self.watched = Watched::default();
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
                self.watched = Watched::default();
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

/// The request as the server gets it, if a bug that was put in on purpose sits in between.
fn garbled(operation: &Operation, canary: Option<Canary>) -> Operation {
    match (operation, canary) {
        (Operation::Multi(edits), Some(Canary::MultiByHalves)) => {
            Operation::Multi(edits[..edits.len().div_ceil(2)].to_vec())
        }
        (Operation::AddWatch { path, recursive: true }, Some(Canary::RecursiveWatchShallow)) => {
            Operation::AddWatch { path: path.clone(), recursive: false }
        }
        (Operation::SetWatches { watched, old, .. }, Some(Canary::SetWatchesBlind)) => {
            Operation::SetWatches { since: Zxid(i64::MAX), watched: watched.clone(), old: *old }
        }
        (operation, _) => operation.clone(),
    }
}
