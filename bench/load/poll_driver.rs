//! Drives a load over non-blocking sockets and epoll, in one thread.
//!
//! Called by `run`. One turn: release what is due (open loop), wait; of some ready sockets at a time read each, then answer its
//! replies with new requests and hand those to it. An open loop's wait ends when the next request is due, a closed loop's at the
//! next tick. Sockets are edge-triggered: else each wait would look again at all that were ready at the last one, and find nothing.

use crate::bench::alarm::Alarm;
use crate::bench::clock;
use crate::bench::connection::Connection;
use crate::bench::load::{Load, Stage};
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net;
use std::io;

/// One read: at least the replies of a whole pipeline.
const READ_BYTES: usize = 256 << 10;
const READABLE: epoll::EventFlags =
    epoll::EventFlags::IN.union(epoll::EventFlags::RDHUP).union(epoll::EventFlags::ET);
/// The end of what comes in is there, perhaps behind bytes: no further edge tells of it.
const ENDS: epoll::EventFlags =
    epoll::EventFlags::RDHUP.union(epoll::EventFlags::HUP).union(epoll::EventFlags::ERR);
/// Ready sockets that are read before those of them which may are given new requests: the kernel's ways to take and to give are
/// long, and each is shorter when it was gone a moment ago. Sixteen gained no more.
const GROUP: usize = 8;
/// The samples' and the stage's resolution.
const TURN_NS_MAX: u64 = 10_000_000;

struct Driver<'a> {
    load: &'a mut Load,
    epoll: OwnedFd,
    buffer: Vec<u8>,
    /// Sessions with output that their socket hasn't been offered.
    touched: Vec<usize>,
    /// When an open loop last asked something.
    released_at: u64,
    /// When the clock was last looked at.
    now: u64,
    /// Of the recorder's, those that were looked into.
    lost: u64,
    /// For the next request that is due, or a closed loop's next tick. A wait's own timeout would be set up and taken back each
    /// time, which shows with one request under way (perf/tried.md).
    alarm: Alarm,
}

fn broken_off(error: Errno) -> String {
    format!("connection failed: {}", io::Error::from(error).kind())
}

/// Carries `load` out over `connections`. Faults of single sessions are counted in the recorder; the error is a
/// fault of the generator's own surroundings.
pub fn run(load: &mut Load, connections: &mut [Connection]) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, connection) in connections.iter_mut().enumerate() {
        connection.stream.set_nonblocking(true)?;
        connection.interest = READABLE;
        epoll::add(&epoll, &connection.stream, epoll::EventData::new_u64(index as u64), connection.interest)?;
    }
    let alarm = Alarm::on(&epoll)?;
    Driver {
        load,
        epoll,
        buffer: vec![0; READ_BYTES],
        touched: Vec::new(),
        released_at: 0,
        now: clock::now(),
        lost: 0,
        alarm,
    }
    .run(connections)
}

impl Driver<'_> {
    fn run(&mut self, connections: &mut [Connection]) -> io::Result<()> {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 256];
        let start = clock::now();
        for connection in connections.iter_mut() {
            self.load.refill(&mut connection.session, start);
            self.flush(connection)?;
        }
        let mut pings_at = start;
        let group_size = if self.load.goes_on_at_once() { 1 } else { GROUP };
        loop {
            // In a closed loop bytes that come look at the clock, and each tick.
            if self.load.is_released() {
                self.now = clock::now();
            }
            let now = self.now;
            let stage = self.load.on_turn(now).map_err(io::Error::other)?;
            match stage {
                Stage::Asking => self.release(connections, now)?,
                Stage::Draining if self.owes_nothing(connections) => return Ok(()),
                Stage::Draining => {}
                Stage::Stalled => return self.give_up(connections, now),
            }
            if self.lost != self.load.recorder.sessions_lost {
                self.lost = self.load.recorder.sessions_lost;
                if connections.iter().all(|c| c.session.broken) {
                    self.load.cut_short(now, "the server closed all connections");
                    return Ok(());
                }
                if self.load.is_fan_out() {
                    self.load.cut_short(now, "a session of the fan-out was lost");
                    return Ok(());
                }
            }
            if now >= pings_at {
                pings_at = now + 1_000_000_000;
                self.ping_idle(connections, now)?;
            }
            match self.load.next_due_at() {
                Some(due) if stage == Stage::Asking => {
                    // What a release has left is late already.
                    let apart = if due > now { self.load.release_ns_min() } else { 0 };
                    let at = due.max(self.released_at + apart).min(now + TURN_NS_MAX);
                    self.alarm.set(at)?;
                }
                _ if self.alarm.is_set() => {}
                _ => self.alarm.set(now + TURN_NS_MAX)?,
            }
            let ready = match epoll::wait(&self.epoll, &mut events[..], None) {
                Err(Errno::INTR) => 0,
                other => other?,
            };
            for group in events[..ready].chunks(group_size) {
                self.on_ready(group, connections)?;
            }
        }
    }

    fn owes_nothing(&self, connections: &[Connection]) -> bool {
        !self.load.waits_for_events() && connections.iter().all(|c| c.session.under_way() == 0)
    }

    fn release(&mut self, connections: &mut [Connection], now: u64) -> io::Result<()> {
        if self.load.is_released() {
            let mut touched = std::mem::take(&mut self.touched);
            self.load.release(connections, now, |index| touched.push(index));
            if !touched.is_empty() {
                self.released_at = now;
            }
            for index in touched.drain(..) {
                self.flush(&mut connections[index])?;
            }
            self.touched = touched;
        }
        Ok(())
    }

    /// Requests count from just before they go out: the reads of the group are over by then. A reply that waits for its socket's
    /// turn counts as under way until it is read.
    fn on_ready(&mut self, group: &[epoll::Event], connections: &mut [Connection]) -> io::Result<()> {
        for event in group {
            match connections.get_mut(event.data.u64() as usize) {
                Some(connection) if connection.session.broken => {}
                Some(connection) => self.read(connection, { event.flags }.intersects(ENDS)),
                None => {
                    self.alarm.rang();
                    self.now = clock::now();
                }
            }
        }
        for (at, event) in group.iter().enumerate() {
            let Some(connection) = connections.get_mut(event.data.u64() as usize) else { continue };
            // The first one's clock is the last read's, just now.
            if at > 0 {
                self.now = clock::now();
            }
            self.load.refill(&mut connection.session, self.now);
            self.flush(connection)?;
        }
        Ok(())
    }

    fn read(&mut self, connection: &mut Connection, ends: bool) {
        let recorder = &mut self.load.recorder;
        loop {
            let asked = self.buffer.len();
            match net::recv(&connection.stream, &mut self.buffer[..], net::RecvFlags::empty()) {
                Ok((0, _)) => connection.session.fail("connection closed by the server", recorder),
                Ok((n, _)) => {
                    self.now = clock::now();
                    if let Err(fault) = connection.session.on_bytes(&self.buffer[..n], self.now, recorder) {
                        connection.session.fail(fault.name(), recorder);
                    }
                    // If it was less, the socket is empty, and what comes next is an edge.
                    if (n == asked || ends) && !connection.session.broken {
                        continue;
                    }
                }
                Err(Errno::AGAIN) => {}
                Err(Errno::INTR) => continue,
                Err(error) => connection.session.fail(&broken_off(error), recorder),
            }
            return;
        }
    }

    /// Offers the session's output to its socket; what isn't taken waits for the socket to be writable.
    fn flush(&mut self, connection: &mut Connection) -> io::Result<()> {
        let session = &mut connection.session;
        while session.sent < session.output.len() {
            match net::send(&connection.stream, &session.output[session.sent..], net::SendFlags::NOSIGNAL) {
                Ok(n) => session.sent += n,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => session.fail(&broken_off(error), &mut self.load.recorder),
            }
        }
        let blocked = session.sent < session.output.len();
        if !blocked {
            session.output.clear();
            session.sent = 0;
        }
        // A broken session stays registered without interest: the kernel still reports its hang-up, once.
        let wanted = match (session.broken, blocked) {
            (true, _) => epoll::EventFlags::ET,
            (false, true) => READABLE | epoll::EventFlags::OUT,
            (false, false) => READABLE,
        };
        if wanted != connection.interest {
            connection.interest = wanted;
            let data = epoll::EventData::new_u64(session.index as u64);
            epoll::modify(&self.epoll, &connection.stream, data, wanted)?;
        }
        Ok(())
    }

    /// A session that asks nothing for a third of its timeout pings, as every client does.
    fn ping_idle(&mut self, connections: &mut [Connection], now: u64) -> io::Result<()> {
        for connection in connections {
            let idle = connection.timeout_ms as u64 * 1_000_000 / 3;
            if connection.session.ping_if_idle(now, idle) {
                self.flush(connection)?;
            }
        }
        Ok(())
    }

    fn give_up(&mut self, connections: &mut [Connection], now: u64) -> io::Result<()> {
        for connection in connections.iter_mut().filter(|c| c.session.under_way() > 0) {
            connection.session.fail("no answer for 30 s", &mut self.load.recorder);
        }
        self.load.cut_short(now, "no answer for 30 s");
        Ok(())
    }
}
