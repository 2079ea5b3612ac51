//! A small blocking client of the ZooKeeper protocol, for the shell.
//!
//! Called by `shell`. A thread of its own ([`connection`]) dials the servers of the list, keeps the session alive, takes it
//! up again after a loss, and hands each watch event to the listener before it looks at what follows it: what a caller
//! prints after a reply comes after the events that were before the reply. Callers wait for their replies.
//! Invariants: 1. requests are answered in the order in which they were sent, or the connection is given up. 2. a watch is
//! known here exactly from its reply until its event or removal. 3. whoever waits is answered: by the server, by the end of
//! the session, or with ConnectionLoss when no server of the list can be reached.
//! Limits: a reply may have [`REPLY_BYTES_MAX`] bytes unless the settings say otherwise.
//! Tested: the `*_test.rs` beside the files, and `tests/shell.rs` against servers of both kinds.

mod address;
mod connection;
mod failure;
mod operations;
pub mod path;
mod watches;

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::{Instant, SessionId, Zxid};
use crate::io::Clock;
use crate::wire::client::header::encode_request;
use crate::wire::client::{AuthPacket, EventType, KeeperState, xid};
use crate::wire::{Encode, ErrorCode, Opcode};

pub use address::Target;
pub use failure::Failure;
pub use operations::Created;
pub use watches::{Kind, Watches};

/// As much as a Ringkeeper answers at most; Java's client stops at 1 MiB, and then can't list a large node.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

/// What happened: of a watch, or (with type None) of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventType,
    pub state: KeeperState,
    /// As the caller names it, without the chroot.
    pub path: Option<String>,
    /// Of the transaction; -1 where there is none.
    pub zxid: i64,
}

/// Called on the connection's thread, in the order of the events. It must not wait for a reply.
pub type Listener = Box<dyn Fn(&Event) + Send + Sync>;

#[derive(Clone, Debug)]
pub struct Settings {
    /// The session timeout that is asked for.
    pub timeout: Duration,
    /// Whether a server in read-only mode will do.
    pub read_only: bool,
    /// How long one request may take; none: as long as the session lives.
    pub request_timeout: Option<Duration>,
    pub reply_bytes_max: usize,
}

/// Where the session stands, in the words of the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Connecting,
    Connected,
    ConnectedReadOnly,
    Closed,
    AuthFailed,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Connecting => "CONNECTING",
            State::Connected => "CONNECTED",
            State::ConnectedReadOnly => "CONNECTEDREADONLY",
            State::Closed => "CLOSED",
            State::AuthFailed => "AUTH_FAILED",
        }
    }

    /// Whether requests make sense: there is a session, or there will be one.
    pub fn is_alive(self) -> bool {
        !matches!(self, State::Closed | State::AuthFailed)
    }

    pub fn is_connected(self) -> bool {
        matches!(self, State::Connected | State::ConnectedReadOnly)
    }

    /// What is said to those whose request will never be answered.
    fn loss(self) -> ErrorCode {
        match self {
            State::Closed => ErrorCode::SessionExpired,
            State::AuthFailed => ErrorCode::AuthFailed,
            State::Connecting | State::Connected | State::ConnectedReadOnly => ErrorCode::ConnectionLoss,
        }
    }
}

/// What came back: an error code of the protocol, and the body if it is zero.
#[derive(Clone, Debug)]
struct Answer {
    err: i32,
    body: Vec<u8>,
}

/// A request on its way.
#[derive(Debug)]
struct Waiting {
    xid: i32,
    opcode: Opcode,
    frame: Vec<u8>,
    /// Becomes a watch of ours if the reply is as it should be.
    watch: Option<(Kind, String)>,
    answer: mpsc::Sender<Answer>,
}

/// What the callers and the connection's thread share.
struct Shared {
    target: Target,
    settings: Settings,
    listener: Listener,
    /// Locked before `inner` where both are needed. None: not connected.
    writer: Mutex<Option<Writer>>,
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Writer {
    stream: TcpStream,
    last_sent: Instant,
}

struct Inner {
    state: State,
    /// Sent, in this order, and not answered.
    sent: VecDeque<Waiting>,
    /// To be sent when there is a connection.
    queued: VecDeque<Waiting>,
    next_xid: i32,
    session: SessionId,
    password: Vec<u8>,
    /// The session timeout that a server has agreed to.
    agreed: Option<Duration>,
    /// A server that isn't read-only has taken the session.
    was_writable: bool,
    last_zxid: Zxid,
    auth: Vec<(String, Vec<u8>)>,
    auth_unanswered: usize,
    watches: Watches,
    closing: bool,
    /// Rounds over the list of servers that found nobody.
    rounds_in_vain: u32,
    /// Why the newest attempt failed.
    complaint: Option<String>,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, or breaks the connection, so that its thread finds out.
    fn send(writer: &mut Option<Writer>, bytes: &[u8]) {
        if let Some(open) = writer {
            open.last_sent = Clock::instant();
            if std::io::Write::write_all(&mut open.stream, bytes).is_err() {
                let _ = open.stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }

    /// Waits until `done` says so; false if the time is over.
    fn wait(&self, bound: Duration, done: impl Fn(&Inner) -> bool) -> bool {
        let inner = self.inner();
        let (inner, _) = self
            .changed
            .wait_timeout_while(inner, bound, |inner| !done(inner))
            .unwrap_or_else(PoisonError::into_inner);
        done(&inner)
    }
}

/// A session.
pub struct Client {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    /// Begins to connect. An error: no thread can be had.
    pub fn open(target: Target, settings: Settings, listener: Listener) -> std::io::Result<Client> {
        let inner = Inner {
            state: State::Connecting,
            sent: VecDeque::new(),
            queued: VecDeque::new(),
            next_xid: 1,
            session: SessionId::NONE,
            password: vec![0; crate::wire::client::connect::PASSWORD_BYTES],
            agreed: None,
            was_writable: false,
            last_zxid: Zxid::ZERO,
            auth: Vec::new(),
            auth_unanswered: 0,
            watches: Watches::default(),
            closing: false,
            rounds_in_vain: 0,
            complaint: None,
        };
        let shared = Arc::new(Shared {
            target,
            settings,
            listener,
            writer: Mutex::new(None),
            inner: Mutex::new(inner),
            changed: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("connection".to_owned())
            .spawn(move || connection::run(&theirs))?;
        Ok(Client { shared, thread: Mutex::new(Some(thread)) })
    }

    pub fn state(&self) -> State {
        self.shared.inner().state
    }

    /// Why the newest attempt to connect failed, if it did.
    pub fn complaint(&self) -> Option<String> {
        self.shared.inner().complaint.clone()
    }

    /// Waits until a server has taken the session, for this long at most.
    pub fn wait_until_connected(&self, bound: Duration) -> bool {
        self.shared.wait(bound, |inner| inner.state.is_connected() || !inner.state.is_alive());
        self.state().is_connected()
    }

    /// Waits until it is known whether there is a server: connected, over, or a whole round in vain.
    pub fn settle(&self, bound: Duration) {
        self.shared.wait(bound, |inner| inner.state != State::Connecting || inner.rounds_in_vain > 0);
    }

    /// Adds an identity to the session, on every connection of it. Waits until the server has said yes or no; a no ends the
    /// session, which the listener is told.
    pub fn add_auth(&self, scheme: &str, auth: &[u8]) {
        {
            let mut writer = self.shared.writer();
            let mut inner = self.shared.inner();
            inner.auth.push((scheme.to_owned(), auth.to_vec()));
            if !inner.state.is_connected() {
                return; // it goes out with the connection
            }
            inner.auth_unanswered += 1;
            drop(inner);
            Shared::send(&mut writer, &auth_frame(scheme, auth));
        }
        self.shared.wait(self.shared.settings.timeout, |inner| {
            inner.auth_unanswered == 0 || !inner.state.is_connected()
        });
    }

    /// Sends a request and waits for its reply: the body. `path` is what a failure is about.
    fn call(
        &self,
        opcode: Opcode,
        body: &impl Encode,
        path: Option<&str>,
        watch: Option<(Kind, String)>,
    ) -> Result<Vec<u8>, Failure> {
        let answer = self.ask(opcode, body, watch);
        if answer.err == 0 { Ok(answer.body) } else { Err(Failure::new(answer.err, path)) }
    }

    fn ask(&self, opcode: Opcode, body: &impl Encode, watch: Option<(Kind, String)>) -> Answer {
        let refused = |code: ErrorCode| Answer { err: code.code(), body: Vec::new() };
        let (sender, receiver) = mpsc::channel();
        {
            let mut writer = self.shared.writer();
            let mut inner = self.shared.inner();
            if !inner.state.is_alive() {
                return refused(inner.state.loss());
            }
            let xid = inner.next_xid;
            inner.next_xid = if xid == i32::MAX { 1 } else { xid + 1 };
            let mut frame = Vec::new();
            encode_request(&mut frame, xid, opcode, body);
            let waiting = Waiting { xid, opcode, frame, watch, answer: sender };
            if inner.state.is_connected() && writer.is_some() {
                let frame = waiting.frame.clone();
                inner.sent.push_back(waiting);
                drop(inner);
                Shared::send(&mut writer, &frame);
            } else {
                inner.queued.push_back(waiting);
            }
        }
        let answer = match self.shared.settings.request_timeout {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(bound) => receiver.recv_timeout(bound),
        };
        match answer {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => refused(ErrorCode::RequestTimeout),
            Err(RecvTimeoutError::Disconnected) => refused(ErrorCode::ConnectionLoss),
        }
    }

    /// Ends the session, which the listener is told, and the thread. Does nothing if it is over.
    pub fn close(&self) {
        if self.state().is_connected() {
            self.ask(Opcode::CloseSession, &(), None);
        }
        self.abandon();
    }

    /// Ends the thread and leaves the session to its timeout, and so its ephemerals.
    pub fn abandon(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let writer = self.shared.writer();
        let is_open = writer.is_some();
        {
            let mut inner = self.shared.inner();
            inner.closing = true;
            if !is_open {
                inner.state = State::Closed;
            }
        }
        if let Some(open) = &*writer {
            let _ = open.stream.shutdown(std::net::Shutdown::Both);
        }
        drop(writer);
        self.shared.changed.notify_all();
        if is_open {
            let _ = thread.join();
        }
        // Otherwise it may be dialling, which can take as long as the network likes; it ends by itself then.
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.abandon();
    }
}

fn auth_frame(scheme: &str, auth: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let body = AuthPacket { auth_type: 0, scheme: Some(scheme.into()), auth: Some(auth) };
    encode_request(&mut frame, xid::AUTH, Opcode::Auth, &body);
    frame
}
