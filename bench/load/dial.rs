//! Opening sessions, many at once: connect, handshake, authentication, without blocking.
//!
//! Called by `run`, which opens the sessions of a load, and by `storm`, which does nothing else. A [`Dial`] is one attempt; it
//! owns its socket and knows what to send next. Tested: `dial_test.rs`, and by every test with a server.

use crate::bench::clock;
use crate::bench::connection::{Connection, STEP_TIMEOUT, bad_answer, explained};
use crate::bench::protocol::{self, Front};
use rustix::event::{Timespec, epoll};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Under way at once when a load's sessions are opened: below the backlog of a Java server (50), beyond which the kernel
/// drops dials, which then take a second.
const AT_ONCE: usize = 32;
/// The longest wait between two looks at deadlines and signals.
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Whom a session says it is: as `addauth` in the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    pub scheme: String,
    pub credentials: String,
}

impl std::str::FromStr for Auth {
    type Err = String;

    fn from_str(text: &str) -> Result<Auth, String> {
        match text.split_once(':') {
            Some((scheme, credentials)) if !scheme.is_empty() => {
                Ok(Auth { scheme: scheme.to_owned(), credentials: credentials.to_owned() })
            }
            // What was typed may be a password: it isn't repeated.
            _ => Err("expected SCHEME:CREDENTIALS, as in digest:user:password".to_owned()),
        }
    }
}

/// What every session of a load asks for.
#[derive(Clone)]
pub struct Wish {
    pub timeout_ms: i32,
    pub auths: Rc<[Auth]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Shaking,
    Authenticating { answered: usize },
    Open,
    Closing { xid: i32 },
    Closed,
}

/// One attempt to open a session.
pub struct Dial {
    pub stream: TcpStream,
    wish: Wish,
    stage: Stage,
    granted_ms: i32,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
}

impl Dial {
    /// Begins to connect.
    pub fn begin(server: SocketAddr, wish: &Wish) -> io::Result<Dial> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&server.into()) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            other => other?,
        }
        let mut output = Vec::new();
        protocol::connect_request(&mut output, wish.timeout_ms);
        Ok(Dial {
            stream: socket.into(),
            wish: wish.clone(),
            stage: Stage::Shaking,
            granted_ms: 0,
            input: Vec::new(),
            output,
            sent: 0,
        })
    }

    /// Does what can be done without waiting. True when the session is open, and when its farewell is answered.
    pub fn advance(&mut self) -> io::Result<bool> {
        self.go_on().map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                self.hung_up()
            }
            _ => error,
        })
    }

    fn go_on(&mut self) -> io::Result<bool> {
        let before = self.stage;
        self.flush()?;
        let mut buffer = [0; 1024];
        while !self.has_arrived(before) {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.input.extend_from_slice(&buffer[..n]);
                    self.take_frames()?;
                    self.flush()?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn has_arrived(&self, before: Stage) -> bool {
        match before {
            Stage::Closing { .. } => self.stage == Stage::Closed,
            _ => self.stage == Stage::Open,
        }
    }

    /// The end of the stream, in the middle of the conversation.
    fn hung_up(&self) -> io::Error {
        match self.stage {
            Stage::Authenticating { .. } => io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the server closed the connection instead of taking --auth",
            ),
            _ => explained(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Something waits for the socket to be writable.
    pub fn is_blocked(&self) -> bool {
        self.sent < self.output.len()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.is_blocked() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(())
    }

    fn take_frames(&mut self) -> io::Result<()> {
        let input = std::mem::take(&mut self.input);
        let mut used = 0;
        loop {
            match protocol::front(&input[used..]) {
                Front::Partial => break,
                Front::BadLength(length) => {
                    return Err(bad_answer(format!("a frame of {length} bytes was announced")));
                }
                Front::Frame(frame) => {
                    used += 4 + frame.len();
                    self.take_frame(frame)?;
                }
            }
        }
        self.input = input[used..].to_vec();
        Ok(())
    }

    fn take_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        match self.stage {
            Stage::Shaking => {
                self.granted_ms = granted(frame)?;
                for auth in self.wish.auths.iter() {
                    protocol::auth(&mut self.output, &auth.scheme, auth.credentials.as_bytes());
                }
                self.stage = match self.wish.auths.len() {
                    0 => Stage::Open,
                    _ => Stage::Authenticating { answered: 0 },
                };
            }
            Stage::Authenticating { answered } => {
                let code = protocol::int_at(frame, 12).unwrap_or(-1);
                if code != 0 {
                    let scheme = &self.wish.auths[answered].scheme;
                    let name = protocol::error_name(code);
                    return Err(io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        format!("the server refused --auth of scheme {scheme}: {name} ({code})"),
                    ));
                }
                let answered = answered + 1;
                self.stage = if answered == self.wish.auths.len() {
                    Stage::Open
                } else {
                    Stage::Authenticating { answered }
                };
            }
            Stage::Closing { xid } if protocol::int_at(frame, 0) == Some(xid) => self.stage = Stage::Closed,
            // Events and the like.
            Stage::Closing { .. } | Stage::Open | Stage::Closed => {}
        }
        Ok(())
    }

    /// Says goodbye on an open session; [`Dial::advance`] tells when that is answered.
    pub fn close(&mut self) {
        assert_eq!(self.stage, Stage::Open, "a session is closed once");
        const XID: i32 = 1;
        self.stage = Stage::Closing { xid: XID };
        protocol::close_session(&mut self.output, XID);
    }

    /// Gives the port free at once. For a socket whose conversation is over.
    pub fn hang_up(self) {
        // Where that fails the port is free a minute later.
        let _ = Socket::from(self.stream).set_linger(Some(Duration::ZERO));
    }
}

/// The session timeout of a connect answer, milliseconds.
pub fn granted(answer: &[u8]) -> io::Result<i32> {
    let granted = protocol::int_at(answer, 4)
        .ok_or_else(|| bad_answer(format!("the connect answer has only {} bytes", answer.len())))?;
    if granted <= 0 {
        return Err(bad_answer("the server refused a new session (timeout 0 in its answer)".to_owned()));
    }
    Ok(granted)
}

/// Which session couldn't be opened, and why.
#[derive(Debug)]
pub struct Failed {
    pub index: usize,
    pub server: SocketAddr,
    pub error: io::Error,
}

/// Opens `count` sessions; session `i` at server `i` modulo their number. `stop`: set by a signal.
pub fn open_all(
    servers: &[SocketAddr],
    count: usize,
    exists_is_fine: bool,
    wish: &Wish,
    stop: Option<&AtomicBool>,
) -> Result<Vec<Connection>, Failed> {
    let failed =
        |index: usize, error: io::Error| Failed { index, server: servers[index % servers.len()], error };
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| failed(0, error.into()))?;
    let mut events =
        [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; AT_ONCE];
    let mut dials: Vec<(usize, u64, Dial)> = Vec::new();
    let mut open: Vec<Option<Connection>> = (0..count).map(|_| None).collect();
    let (mut next, mut done) = (0, 0);
    while done < count {
        while next < count && dials.len() < AT_ONCE {
            let index = next;
            next += 1;
            let dial =
                Dial::begin(servers[index % servers.len()], wish).map_err(|error| failed(index, error))?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, &dial.stream, epoll::EventData::new_u64(index as u64), flags)
                .map_err(|error| failed(index, error.into()))?;
            dials.push((index, clock::now(), dial));
        }
        match epoll::wait(&epoll, &mut events[..], Some(&TURN)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(0, error.into())),
        }
        let now = clock::now();
        let mut at = 0;
        while at < dials.len() {
            let (index, since, dial) = &mut dials[at];
            let index = *index;
            if dial.advance().map_err(|error| failed(index, error))? {
                let (_, _, dial) = dials.swap_remove(at);
                epoll::delete(&epoll, &dial.stream).map_err(|error| failed(index, error.into()))?;
                open[index] = Some(Connection::of(dial.stream, index, dial.granted_ms, exists_is_fine));
                done += 1;
                continue;
            }
            if now.saturating_sub(*since) >= STEP_TIMEOUT.as_nanos() as u64 {
                return Err(failed(index, io::Error::new(io::ErrorKind::TimedOut, "no answer in time")));
            }
            at += 1;
        }
        if let Some((index, ..)) = dials.first()
            && stop.is_some_and(|stop| stop.load(Ordering::SeqCst))
        {
            return Err(failed(*index, io::Error::new(io::ErrorKind::Interrupted, "stopped by a signal")));
        }
    }
    Ok(open.into_iter().map(|connection| connection.expect("all are done")).collect())
}

#[cfg(test)]
#[path = "dial_test.rs"]
mod tests;
