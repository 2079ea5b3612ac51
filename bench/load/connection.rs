//! A session with its socket, and what is said on it outside of a load, blocking: the farewell, and a single read.
//!
//! Called by `run`; `dial` opens the sessions of a load. A session is closed with closeSession, not by dropping its socket, so that
//! no session expires in the middle of the next measurement.

use crate::bench::dial::granted;
use crate::bench::protocol::{self, Front};
use crate::bench::session::Session;
use rustix::event::epoll::EventFlags;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// For one step of the handshake or of the farewell, towards a server that serves.
pub const STEP_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Connection {
    pub stream: TcpStream,
    pub session: Session,
    /// What the server made of `--session-timeout`, milliseconds.
    pub timeout_ms: i32,
    /// What the poll driver waits for on this socket.
    pub interest: EventFlags,
    step: Duration,
}

impl AsMut<Session> for Connection {
    fn as_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

pub fn bad_answer(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Connection {
    /// Connects and opens a new session; each answer is waited for as long as `step`. The socket is left blocking.
    pub fn open(server: SocketAddr, timeout_ms: i32, step: Duration) -> io::Result<Connection> {
        let mut stream = TcpStream::connect_timeout(&server, step)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(step))?;
        let mut request = Vec::new();
        protocol::connect_request(&mut request, timeout_ms);
        stream.write_all(&request)?;
        let granted = granted(&read_frame(&mut stream)?)?;
        stream.set_read_timeout(None)?;
        Ok(Connection { step, ..Connection::of(stream, 0, granted, false) })
    }

    /// On a stream whose session is open.
    pub fn of(stream: TcpStream, index: usize, timeout_ms: i32, exists_is_fine: bool) -> Connection {
        Connection {
            stream,
            session: Session::new(index, exists_is_fine),
            timeout_ms,
            interest: EventFlags::empty(),
            step: STEP_TIMEOUT,
        }
    }

    /// Reads the znode at `path`, whose data doesn't matter.
    pub fn read(&mut self, path: &str) -> io::Result<()> {
        let xid = self.session.next_xid();
        self.session.skip_xid();
        let mut request = Vec::new();
        protocol::get_data(&mut request, xid, path.as_bytes(), false);
        self.stream.set_read_timeout(Some(self.step))?;
        self.stream.write_all(&request)?;
        let answer = read_frame(&mut self.stream)?;
        match (protocol::int_at(&answer, 0), protocol::int_at(&answer, 12)) {
            (Some(answered), Some(0)) if answered == xid => Ok(()),
            (_, Some(code)) => {
                Err(bad_answer(format!("reading {path}: {} ({code})", protocol::error_name(code))))
            }
            _ => Err(bad_answer(format!("reading {path}: the answer has only {} bytes", answer.len()))),
        }
    }

    /// Says goodbye, which [`Connection::closed`] waits for. For a session whose requests are all answered.
    pub fn say_goodbye(&mut self) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_read_timeout(Some(self.step))?;
        let mut request = Vec::new();
        protocol::close_session(&mut request, self.session.next_xid());
        self.stream.write_all(&request)
    }

    /// Waits for the answer to its goodbye.
    pub fn closed(mut self) -> io::Result<()> {
        let xid = self.session.next_xid();
        loop {
            let answer = read_frame(&mut self.stream)?;
            match protocol::int_at(&answer, 0) {
                Some(answered) if answered == xid => return Ok(()),
                Some(protocol::XID_PING | protocol::XID_NOTIFICATION) => {}
                _ => return Err(bad_answer("the answer to closeSession is another one's".to_owned())),
            }
        }
    }
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(explained)?;
    let bytes = match protocol::front(&length) {
        Front::BadLength(length) => {
            return Err(bad_answer(format!("a frame of {length} bytes was announced")));
        }
        Front::Frame(_) | Front::Partial => i32::from_be_bytes(length) as usize,
    };
    let mut frame = vec![0; bytes];
    stream.read_exact(&mut frame).map_err(explained)?;
    Ok(frame)
}

/// The errors of a read that has a timeout, in words which tell what happened.
pub fn explained(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
        }
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "the server closed the connection (is it serving? see its log)")
        }
        _ => error,
    }
}
