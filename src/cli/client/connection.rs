//! The thread of a session: dials, keeps alive, reads replies and events, and begins again.
//!
//! ```text
//! dial (server by server) ──► connect request ──► auth, watches, waiting requests ──► read … ──► lost: dial again
//!        ▲ a round in vain: waiting requests fail with ConnectionLoss, then a pause
//! ```
//! Ends when the session is over: closed by us, expired, or refused by authentication.
//! Source of the order of messages and of the times: Java's `ClientCnxn`.

use std::io::{ErrorKind, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::{Answer, Event, Inner, Kind, Shared, State, Waiting, Writer, auth_frame};
use crate::base::{Instant, Prng, SessionId, Zxid};
use crate::io::{Clock, entropy};
use crate::wire::client::header::{encode_frame, encode_request};
use crate::wire::client::{
    ConnectRequest, ConnectResponse, EventType, KeeperState, ReplyHeader, WatcherEvent, xid,
};
use crate::wire::frame::{Frame, split};
use crate::wire::{Decode, Encode, ErrorCode, Opcode, Reader};

/// Between two rounds over the servers.
const PAUSE: Duration = Duration::from_secs(1);
/// Of the paths in one setWatches: far below every server's `jute.maxbuffer`.
const SET_WATCHES_BYTES: usize = 128 << 10;
/// How often a client of a read-only server looks for one that isn't, at first and at last.
const SEEK_FIRST: Duration = Duration::from_secs(1);
const SEEK_LAST: Duration = Duration::from_secs(60);

/// A connection that a server has taken.
struct Open {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The session's, as agreed.
    timeout: Duration,
    /// Which of the servers.
    server: usize,
    seek: Option<(Instant, Duration)>,
}

pub(super) fn run(shared: &Shared) {
    let mut order: Vec<usize> = (0..shared.target.servers.len()).collect();
    shuffle(&mut order);
    let mut next = 0;
    loop {
        let mut reached = false;
        for turn in 0..order.len() {
            if shared.inner().closing {
                return finish(shared, State::Closed, None);
            }
            let server = order[(next + turn) % order.len()];
            match dial(shared, server) {
                Ok(open) => {
                    next = (next + turn + 1) % order.len();
                    reached = true;
                    if serve(shared, open).is_break() {
                        return;
                    }
                    break;
                }
                Err(Refusal::Expired) => {
                    return finish(shared, State::Closed, Some(KeeperState::Expired));
                }
                Err(Refusal::Closing) => return finish(shared, State::Closed, None),
                Err(Refusal::Unreachable(reason)) => {
                    let (host, port) = &shared.target.servers[server];
                    shared.inner().complaint = Some(format!("{host}:{port}: {reason}"));
                }
            }
        }
        if !reached {
            let mut inner = shared.inner();
            inner.rounds_in_vain += 1;
            lose(&mut inner);
        }
        shared.changed.notify_all();
        shared.wait(if reached { Duration::ZERO } else { PAUSE }, |inner| inner.closing);
    }
}

/// So that the clients of a list spread over its servers.
fn shuffle(order: &mut [usize]) {
    let Ok(seed) = entropy::seed() else { return };
    let mut random = Prng::new(seed);
    for at in (1..order.len()).rev() {
        let other = (random.next() % (at as u64 + 1)) as usize;
        order.swap(at, other);
    }
}

enum Refusal {
    Unreachable(String),
    /// There is no such session any more.
    Expired,
    /// We don't want it any more.
    Closing,
}

fn dial(shared: &Shared, server: usize) -> Result<Open, Refusal> {
    let unreachable = |error: std::io::Error| Refusal::Unreachable(error.to_string());
    let (host, port) = &shared.target.servers[server];
    let servers = u32::try_from(shared.target.servers.len()).unwrap_or(1);
    // All servers must have been tried before the session is over.
    let agreed = shared.inner().agreed.unwrap_or(shared.settings.timeout);
    let patience = (agreed / servers).max(Duration::from_millis(100));
    let mut stream = None;
    let mut reason = Refusal::Unreachable("the name has no address".to_owned());
    for address in (host.as_str(), *port).to_socket_addrs().map_err(unreachable)? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(connected) => {
                stream = Some(connected);
                break;
            }
            Err(error) => reason = unreachable(error),
        }
    }
    let Some(mut stream) = stream else { return Err(reason) };
    stream.set_nodelay(true).map_err(unreachable)?;
    stream.set_read_timeout(Some(patience)).map_err(unreachable)?;
    stream.set_write_timeout(Some(shared.settings.timeout)).map_err(unreachable)?;
    let mut hello = Vec::new();
    {
        let inner = shared.inner();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: inner.last_zxid,
            timeout_ms: i32::try_from(shared.settings.timeout.as_millis()).unwrap_or(i32::MAX),
            // A session that only a read-only server knows is none elsewhere.
            session_id: if inner.was_writable { inner.session } else { SessionId::NONE },
            password: Some(&inner.password),
            read_only: Some(shared.settings.read_only),
        };
        encode_frame(&mut hello, &request);
    }
    std::io::Write::write_all(&mut stream, &hello).map_err(unreachable)?;
    let mut open = Open { stream, buffer: Vec::new(), timeout: shared.settings.timeout, server, seek: None };
    let frame = loop {
        if let Some(frame) = open.frame(shared).map_err(Refusal::Unreachable)? {
            break frame;
        }
        if open.read().map_err(unreachable)? == 0 {
            return Err(Refusal::Unreachable(
                "it closed the connection instead of taking the session".to_owned(),
            ));
        }
    };
    let response = ConnectResponse::parse(&frame)
        .map_err(|error| Refusal::Unreachable(format!("no answer of a ZooKeeper server: {error}")))?;
    if response.timeout_ms <= 0 {
        return Err(Refusal::Expired);
    }
    open.timeout = Duration::from_millis(response.timeout_ms.unsigned_abs().into());
    let third = (open.timeout / 6).max(Duration::from_millis(10));
    open.stream.set_read_timeout(Some(third)).map_err(unreachable)?;
    open.stream.set_write_timeout(Some(open.timeout)).map_err(unreachable)?;
    let writing = open.stream.try_clone().map_err(unreachable)?;
    let read_only = response.read_only == Some(true);
    if read_only {
        open.seek = Some((Clock::instant() + SEEK_FIRST, SEEK_FIRST));
    }
    {
        let mut inner = shared.inner();
        inner.session = response.session_id;
        inner.password = response.password.unwrap_or_default().to_vec();
        inner.agreed = Some(open.timeout);
        inner.was_writable |= !read_only;
    }
    let state = if read_only { KeeperState::ConnectedReadOnly } else { KeeperState::SyncConnected };
    if !enter(shared, writing, state) {
        return Err(Refusal::Closing);
    }
    Ok(open)
}

/// The session is taken: the listener is told, and what was kept back goes out. False if the session was given up while we
/// dialled: then it is closed.
fn enter(shared: &Shared, mut stream: TcpStream, keeper_state: KeeperState) -> bool {
    if !shared.inner().closing {
        // Told first: whoever waits for the state may print.
        (shared.listener)(&session_event(keeper_state));
    }
    let mut slot = shared.writer();
    let mut inner = shared.inner();
    // Whoever sets it holds the lock of the writer, and looks for one to shut down.
    if inner.closing {
        let mut frame = Vec::new();
        encode_request(&mut frame, inner.next_xid, Opcode::CloseSession, &());
        // If this doesn't arrive, the session ends with its timeout.
        let _ = std::io::Write::write_all(&mut stream, &frame);
        return false;
    }
    let mut bytes = Vec::new();
    for (scheme, auth) in &inner.auth {
        bytes.extend(auth_frame(scheme, auth));
    }
    inner.auth_unanswered = inner.auth.len();
    for batch in watch_batches(shared, &inner) {
        bytes.extend(batch);
    }
    while let Some(waiting) = inner.queued.pop_front() {
        bytes.extend_from_slice(&waiting.frame);
        inner.sent.push_back(waiting);
    }
    inner.state = match keeper_state {
        KeeperState::ConnectedReadOnly => State::ConnectedReadOnly,
        _ => State::Connected,
    };
    inner.rounds_in_vain = 0;
    inner.complaint = None;
    drop(inner);
    *slot = Some(Writer { stream, last_sent: Clock::instant() });
    Shared::send(&mut slot, &bytes);
    drop(slot);
    shared.changed.notify_all();
    true
}

/// The body of setWatches2: lists of the server's paths, in the order of [`Kind`].
struct Lists {
    relative_zxid: Zxid,
    lists: [Vec<String>; 5],
}

impl Encode for Lists {
    fn encode(&self, out: &mut Vec<u8>) {
        self.relative_zxid.encode(out);
        for list in &self.lists {
            crate::wire::vector::encode_vector(out, list.iter().map(String::as_str));
        }
    }
}

fn watch_batches(shared: &Shared, inner: &Inner) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    let fresh = || Lists { relative_zxid: inner.last_zxid, lists: Default::default() };
    let (mut batch, mut bytes) = (fresh(), 0);
    let mut flush = |batch: &Lists| {
        let mut frame = Vec::new();
        encode_request(&mut frame, xid::SET_WATCHES, Opcode::SetWatches2, batch);
        batches.push(frame);
    };
    for (kind, path) in inner.watches.iter() {
        let list = match kind {
            Kind::Data => 0,
            Kind::Exist => 1,
            Kind::Child => 2,
            Kind::Persistent => 3,
            Kind::Recursive => 4,
        };
        bytes += path.len();
        batch.lists[list].push(shared.target.inside(path));
        if bytes >= SET_WATCHES_BYTES {
            flush(&batch);
            (batch, bytes) = (fresh(), 0);
        }
    }
    if bytes > 0 {
        flush(&batch);
    }
    batches
}

/// What ended a connection.
enum Loss {
    /// It can't be used any more, or we want another server.
    Connection(String),
    Authentication,
    /// We have closed the session.
    Closed,
}

/// Reads until the connection is lost: `Continue` if the session lives on.
fn serve(shared: &Shared, mut open: Open) -> std::ops::ControlFlow<()> {
    let loss = loop {
        if let Err(loss) = turn(shared, &mut open) {
            break loss;
        }
    };
    *shared.writer() = None;
    let closing = shared.inner().closing;
    match loss {
        Loss::Authentication => {
            finish(shared, State::AuthFailed, Some(KeeperState::AuthFailed));
            std::ops::ControlFlow::Break(())
        }
        Loss::Closed => {
            finish(shared, State::Closed, Some(KeeperState::Closed));
            std::ops::ControlFlow::Break(())
        }
        Loss::Connection(_) if closing => {
            finish(shared, State::Closed, None);
            std::ops::ControlFlow::Break(())
        }
        Loss::Connection(reason) => {
            let (host, port) = &shared.target.servers[open.server];
            {
                let mut inner = shared.inner();
                inner.state = State::Connecting;
                inner.complaint = Some(format!("{host}:{port}: {reason}"));
            }
            (shared.listener)(&session_event(KeeperState::Disconnected));
            lose(&mut shared.inner());
            std::ops::ControlFlow::Continue(())
        }
    }
}

/// One read and what it brings; pings and the watch over silence.
fn turn(shared: &Shared, open: &mut Open) -> Result<(), Loss> {
    let mut heard = Clock::instant();
    loop {
        while let Some(frame) = open.frame(shared).map_err(Loss::Connection)? {
            on_frame(shared, &frame)?;
        }
        match open.read() {
            Ok(0) => return Err(Loss::Connection("the server closed the connection".to_owned())),
            Ok(_) => heard = Clock::instant(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(Loss::Connection(error.to_string())),
        }
        let now = Clock::instant();
        let silent = now.since(heard);
        if silent > open.timeout * 2 / 3 {
            return Err(Loss::Connection(format!("no sign of life for {} ms", silent.as_millis())));
        }
        ping(shared, now, open.timeout / 3);
        seek(shared, open, now)?;
    }
}

fn ping(shared: &Shared, now: Instant, after: Duration) {
    let mut writer = shared.writer();
    if writer.as_ref().is_some_and(|writer| now.since(writer.last_sent) >= after) {
        let mut frame = Vec::new();
        encode_request(&mut frame, xid::PING, Opcode::Ping, &());
        Shared::send(&mut writer, &frame);
    }
}

/// Leaves a read-only server for another one that takes writes.
fn seek(shared: &Shared, open: &mut Open, now: Instant) -> Result<(), Loss> {
    let Some((due, interval)) = open.seek else { return Ok(()) };
    if now < due {
        return Ok(());
    }
    let interval = (interval * 2).min(SEEK_LAST);
    for (host, port) in &shared.target.servers {
        if takes_writes(host, *port).unwrap_or(false) {
            return Err(Loss::Connection(format!("left for {host}:{port}, which takes writes")));
        }
    }
    open.seek = Some((Clock::instant() + interval, interval));
    Ok(())
}

/// What a server says to the four-letter word `isro`.
fn takes_writes(host: &str, port: u16) -> std::io::Result<bool> {
    let Some(address) = (host, port).to_socket_addrs()?.next() else { return Ok(false) };
    let mut stream = TcpStream::connect_timeout(&address, PAUSE)?;
    stream.set_read_timeout(Some(PAUSE))?;
    std::io::Write::write_all(&mut stream, b"isro")?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"rw")
}

fn on_frame(shared: &Shared, frame: &[u8]) -> Result<(), Loss> {
    let malformed = |error| Loss::Connection(format!("a message that can't be read: {error}"));
    let mut reader = Reader::new(frame);
    let header = ReplyHeader::decode(&mut reader).map_err(malformed)?;
    match header.xid {
        xid::PING | xid::SET_WATCHES => Ok(()),
        xid::AUTH => {
            let mut inner = shared.inner();
            inner.auth_unanswered = inner.auth_unanswered.saturating_sub(1);
            drop(inner);
            shared.changed.notify_all();
            if header.err == 0 { Ok(()) } else { Err(Loss::Authentication) }
        }
        xid::NOTIFICATION => {
            let event = WatcherEvent::decode(&mut reader).map_err(malformed)?;
            let path = shared.target.outside(&event.path.to_str_lossy());
            let wanted = shared.inner().watches.on_event(event.event_type, &path);
            if wanted {
                (shared.listener)(&Event {
                    kind: event.event_type,
                    state: event.state,
                    path: Some(path),
                    zxid: header.zxid.0,
                });
            }
            Ok(())
        }
        _ => on_reply(shared, header, reader.rest()),
    }
}

fn on_reply(shared: &Shared, header: ReplyHeader, body: &[u8]) -> Result<(), Loss> {
    let mut inner = shared.inner();
    if header.zxid.0 > 0 {
        inner.last_zxid = header.zxid;
    }
    match inner.sent.front() {
        Some(waiting) if waiting.xid == header.xid => {}
        _ => {
            return Err(Loss::Connection(format!(
                "a reply to request {}, which isn't the oldest",
                header.xid
            )));
        }
    }
    let Some(Waiting { opcode, watch, answer, .. }) = inner.sent.pop_front() else { return Ok(()) };
    if let Some((kind, path)) = watch {
        inner.watches.on_reply(kind, path, header.err);
    }
    if opcode == Opcode::CloseSession {
        inner.closing = true;
    }
    drop(inner);
    // Nobody waits any more if the request's time is over.
    let _ = answer.send(Answer { err: header.err, body: body.to_vec() });
    if opcode == Opcode::CloseSession { Err(Loss::Closed) } else { Ok(()) }
}

/// Nobody answers what was sent, nor what would have been.
fn lose(inner: &mut Inner) {
    let err = inner.state.loss().code();
    for waiting in inner.sent.drain(..).chain(inner.queued.drain(..).collect::<Vec<_>>()) {
        let _ = waiting.answer.send(Answer { err, body: Vec::new() });
    }
}

/// The session is over.
fn finish(shared: &Shared, state: State, told: Option<KeeperState>) {
    {
        let mut inner = shared.inner();
        inner.state = state;
        inner.watches.clear();
        inner.auth_unanswered = 0;
        if told == Some(KeeperState::Expired) {
            inner.complaint = Some(ErrorCode::SessionExpired.name().to_owned());
        }
    }
    if let Some(told) = told {
        (shared.listener)(&session_event(told));
    }
    if told == Some(KeeperState::Expired) {
        (shared.listener)(&session_event(KeeperState::Closed));
    }
    lose(&mut shared.inner());
    shared.changed.notify_all();
}

fn session_event(state: KeeperState) -> Event {
    Event { kind: EventType::None, state, path: None, zxid: -1 }
}

impl Open {
    /// The next whole message that was read, without its length.
    fn frame(&mut self, shared: &Shared) -> Result<Option<Vec<u8>>, String> {
        match split(&self.buffer, shared.settings.reply_bytes_max) {
            Frame::Complete { body } => {
                let frame = self.buffer[body.clone()].to_vec();
                self.buffer.drain(..body.end);
                Ok(Some(frame))
            }
            Frame::NeedMore { .. } => Ok(None),
            Frame::Bad(length) => Err(format!("no ZooKeeper server, or too long an answer: {length}")),
        }
    }

    fn read(&mut self) -> std::io::Result<usize> {
        let mut chunk = [0; 64 << 10];
        let count = loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }
}
