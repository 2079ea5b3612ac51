//! A relay that delays: what one side says reaches the other so much later, in order, as over a longer way.
//!
//! For hosts whose kernel has no netem. One epoll thread for any number of links; a link is an address that is listened on,
//! where its connections are passed on to, and the delay of each direction, half a round trip. A connection that is refused
//! behind the relay is closed in front of it. Bandwidth is not limited, nothing is lost.
//!
//! Limits: of one direction of a connection at most [`HELD_BYTES_MAX`] are on the way; then its reading waits. Precision is
//! that of the timer's wake-up, some tens of microseconds. The place of a closed connection is not used again: memory grows, a
//! little, with the connections ever made. Tested: `relay_test.rs`.

use crate::bench::clock;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const READ_BYTES: usize = 64 << 10;
/// More is left in the kernel's buffers, which makes the sender wait.
const HELD_BYTES_MAX: usize = 16 << 20;
const TIMER: u64 = u64::MAX;

/// Connections to `listen` go on to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub listen: SocketAddr,
    pub to: SocketAddr,
    pub delay: Duration,
}

impl std::str::FromStr for Link {
    type Err = String;

    /// `LISTEN=TO/MICROSECONDS`, the addresses with ports.
    fn from_str(text: &str) -> Result<Link, String> {
        let form =
            || format!("{text:?} is no link: LISTEN=TO/MICROSECONDS, as 127.0.0.1:3000=127.0.0.1:2888/500");
        let (listen, rest) = text.split_once('=').ok_or_else(form)?;
        let (to, micros) = rest.split_once('/').ok_or_else(form)?;
        let address = |part: &str| part.parse().map_err(|_| form());
        let micros = micros.parse().map_err(|_| form())?;
        Ok(Link { listen: address(listen)?, to: address(to)?, delay: Duration::from_micros(micros) })
    }
}

/// What is on its way in one direction. Times are nanoseconds of the monotone clock.
#[derive(Default)]
struct Way {
    held: VecDeque<(u64, Vec<u8>)>,
    held_bytes: usize,
    /// Of the first piece, what was taken by the socket.
    sent: usize,
    /// The end of the stream, when it is due.
    ends: Option<u64>,
    is_over: bool,
}

impl Way {
    fn due(&self) -> Option<u64> {
        self.held.front().map(|(due, _)| *due).or(self.ends.filter(|_| !self.is_over))
    }

    /// Passes on what is due. False: the socket takes no more for now.
    fn pass_on(&mut self, now: u64, mut to: &TcpStream) -> io::Result<bool> {
        while let Some((due, bytes)) = self.held.front() {
            if *due > now {
                return Ok(true);
            }
            match to.write(&bytes[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.sent == bytes.len() {
                self.held_bytes -= bytes.len();
                self.sent = 0;
                self.held.pop_front();
            }
        }
        if !self.is_over && self.ends.is_some_and(|due| due <= now) {
            self.is_over = true;
            // It may have been closed from the other side.
            let _ = to.shutdown(Shutdown::Write);
        }
        Ok(true)
    }
}

/// Two sockets: 0 in front of the relay, 1 behind it. `ways[side]` comes from that side.
struct Pair {
    sockets: [TcpStream; 2],
    ways: [Way; 2],
    interests: [EventFlags; 2],
    delay_ns: u64,
}

pub struct Relay {
    epoll: OwnedFd,
    timer: OwnedFd,
    links: Vec<(TcpListener, Link)>,
    /// Socket `side` of pair `n` has the id `links.len() + 2 n + side`. Ids aren't used twice.
    pairs: Vec<Option<Pair>>,
    buffer: Vec<u8>,
}

impl Relay {
    /// Listens on all links.
    pub fn new(links: &[Link]) -> io::Result<Relay> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        let mut bound = vec![];
        for link in links {
            let listener = TcpListener::bind(link.listen)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", link.listen)))?;
            listener.set_nonblocking(true)?;
            epoll::add(&epoll, &listener, EventData::new_u64(bound.len() as u64), EventFlags::IN)?;
            bound.push((listener, *link));
        }
        Ok(Relay { epoll, timer, links: bound, pairs: vec![], buffer: vec![0; READ_BYTES] })
    }

    /// Where each link listens: port 0 was replaced by the kernel.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.links.iter().map(|(listener, _)| listener.local_addr()).collect()
    }

    /// Until the process ends.
    pub fn run(mut self) -> io::Result<()> {
        let none = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [none; 256];
        loop {
            let ready = match epoll::wait(&self.epoll, &mut events[..], None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            for event in &events[..ready] {
                self.on_event(event.data.u64())?;
            }
            self.pass_on_what_is_due()?;
        }
    }

    fn on_event(&mut self, id: u64) -> io::Result<()> {
        if id == TIMER {
            let mut expirations = [0; 8];
            let _ = rustix::io::read(&self.timer, &mut expirations);
            return Ok(());
        }
        let id = id as usize;
        match id.checked_sub(self.links.len()) {
            None => self.accept(id),
            Some(socket) => {
                let (at, side) = (socket / 2, socket % 2);
                let Some(pair) = &mut self.pairs[at] else { return Ok(()) };
                if pair.take(side, &mut self.buffer).is_err() {
                    self.pairs[at] = None;
                }
                Ok(())
            }
        }
    }

    fn accept(&mut self, link: usize) -> io::Result<()> {
        let (listener, Link { to, delay, .. }) = &self.links[link];
        let front = match listener.accept() {
            Ok((front, _)) => front,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        // On one host: it is answered at once, or refused.
        let Ok(back) = TcpStream::connect(to) else { return Ok(()) };
        let sockets = [front, back];
        for (side, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let id = self.links.len() + 2 * self.pairs.len() + side;
            epoll::add(&self.epoll, socket, EventData::new_u64(id as u64), EventFlags::IN)?;
        }
        let (ways, interests) = (<[Way; 2]>::default(), [EventFlags::IN; 2]);
        self.pairs.push(Some(Pair { sockets, ways, interests, delay_ns: delay.as_nanos() as u64 }));
        Ok(())
    }

    /// And says when to come again.
    fn pass_on_what_is_due(&mut self) -> io::Result<()> {
        let now = clock::now();
        let mut next: Option<u64> = None;
        for at in 0..self.pairs.len() {
            let Some(pair) = &mut self.pairs[at] else { continue };
            let first = self.links.len() + 2 * at;
            match pair.pass_on(now, &self.epoll, first) {
                Ok(due) => next = [next, due].into_iter().flatten().min(),
                Err(_) => self.pairs[at] = None,
            }
            if self.pairs[at].as_ref().is_some_and(|pair| pair.ways.iter().all(|way| way.is_over)) {
                self.pairs[at] = None;
            }
        }
        // Zero would mean never.
        let wait = next.map(|due| Duration::from_nanos(due.saturating_sub(clock::now()).max(1)));
        let wait = wait.unwrap_or_default();
        let it_value =
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) as _ };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl Pair {
    /// Reads once from one side.
    fn take(&mut self, side: usize, buffer: &mut [u8]) -> io::Result<()> {
        let way = &mut self.ways[side];
        if way.ends.is_some() || way.held_bytes >= HELD_BYTES_MAX {
            return Ok(());
        }
        let due = clock::now() + self.delay_ns;
        match (&self.sockets[side]).read(buffer) {
            Ok(0) => way.ends = Some(due),
            Ok(count) => {
                way.held_bytes += count;
                way.held.push_back((due, buffer[..count].to_vec()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// When the next piece is due that a socket would take.
    fn pass_on(&mut self, now: u64, epoll: &OwnedFd, first_id: usize) -> io::Result<Option<u64>> {
        let mut next: Option<u64> = None;
        let mut interests = [EventFlags::empty(); 2];
        for side in 0..2 {
            let way = &mut self.ways[side];
            if way.pass_on(now, &self.sockets[1 - side])? {
                next = [next, way.due()].into_iter().flatten().min();
            } else {
                interests[1 - side] |= EventFlags::OUT;
            }
            if way.ends.is_none() && way.held_bytes < HELD_BYTES_MAX {
                interests[side] |= EventFlags::IN;
            }
        }
        for (side, wanted) in interests.into_iter().enumerate() {
            if wanted != self.interests[side] {
                self.interests[side] = wanted;
                let data = EventData::new_u64((first_id + side) as u64);
                epoll::modify(epoll, &self.sockets[side], data, wanted)?;
            }
        }
        Ok(next)
    }
}

#[cfg(test)]
#[path = "relay_test.rs"]
mod tests;
