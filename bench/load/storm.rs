//! The connection storm: sessions are opened and closed without pause, or at a rate.
//!
//! Called by `run`. One thread, non-blocking sockets, epoll. As many as `--sessions` are under way at once; each is one `dial`:
//! connect, handshake, authentication (measured from the dial, at a rate from when it was due), and the farewell. Tested:
//! `tests.rs`.

use crate::bench::alarm::Alarm;
use crate::bench::clock;
use crate::bench::dial::{Dial, Wish};
use crate::bench::load::{Load, Stage};
use crate::bench::workload::Kind;
use rustix::event::epoll;
use std::io;
use std::net::SocketAddr;

const TURN_NS_MAX: u64 = 10_000_000;
/// So many failures in a row, for each place, are a server that is gone.
const FAILURES_MAX: usize = 20;

/// One session on its way.
struct Attempt {
    dial: Dial,
    start: u64,
    /// When its farewell was said.
    closing: Option<u64>,
}

struct Storm<'a> {
    load: &'a mut Load,
    servers: &'a [SocketAddr],
    wish: Wish,
    epoll: rustix::fd::OwnedFd,
    alarm: Alarm,
    places: Vec<Option<Attempt>>,
    free: Vec<usize>,
    begun: usize,
    /// Since the last session that was opened.
    failures: usize,
}

/// Opens and closes sessions at `servers` in turn, `places` at once, as `load` is paced.
pub fn run(load: &mut Load, servers: &[SocketAddr], places: usize, wish: Wish) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let alarm = Alarm::on(&epoll)?;
    let mut storm = Storm {
        load,
        servers,
        wish,
        epoll,
        alarm,
        places: (0..places).map(|_| None).collect(),
        free: (0..places).rev().collect(),
        begun: 0,
        failures: 0,
    };
    storm.run()
}

impl Storm<'_> {
    fn run(&mut self) -> io::Result<()> {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 256];
        loop {
            let now = clock::now();
            let stage = self.load.on_turn(now).map_err(io::Error::other)?;
            match stage {
                Stage::Asking => self.begin_what_is_due(now),
                Stage::Draining if self.free.len() == self.places.len() => return Ok(()),
                Stage::Draining => {}
                Stage::Stalled => return self.give_up(now),
            }
            match self.load.next_due_at() {
                Some(due) if stage == Stage::Asking && !self.free.is_empty() => {
                    self.alarm.set(due.min(now + TURN_NS_MAX))?;
                }
                _ if self.alarm.is_set() => {}
                _ => self.alarm.set(now + TURN_NS_MAX)?,
            }
            let ready = match epoll::wait(&self.epoll, &mut events[..], None) {
                Err(rustix::io::Errno::INTR) => 0,
                other => other?,
            };
            for event in &events[..ready] {
                self.go_on(event.data.u64() as usize);
            }
        }
    }

    fn begin_what_is_due(&mut self, now: u64) {
        while !self.free.is_empty()
            && let Some(start) = self.load.take_due(now)
        {
            let server = self.servers[self.begun % self.servers.len()];
            self.begun += 1;
            let place = self.free.pop().expect("looked at above");
            let attempt = Dial::begin(server, &self.wish).and_then(|dial| {
                let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
                epoll::add(&self.epoll, &dial.stream, epoll::EventData::new_u64(place as u64), flags)?;
                Ok(Attempt { dial, start, closing: None })
            });
            match attempt {
                Ok(attempt) => self.places[place] = Some(attempt),
                Err(error) => self.failed(place, &error),
            }
            if self.load.cut.is_some() {
                return;
            }
        }
    }

    /// Does what can be done at `place` without waiting.
    fn go_on(&mut self, place: usize) {
        let Some(attempt) = self.places.get_mut(place) else { return self.alarm.rang() };
        // An event of a socket that was there before.
        let Some(attempt) = attempt else { return };
        loop {
            match attempt.dial.advance() {
                Ok(false) => return,
                Ok(true) => {
                    let now = clock::now();
                    let recorder = &mut self.load.recorder;
                    recorder.replied(1, now);
                    if let Some(since) = attempt.closing {
                        recorder.answered(Kind::Close, since, now);
                        break;
                    }
                    recorder.answered(Kind::Connect, attempt.start, now);
                    self.failures = 0;
                    attempt.closing = Some(now);
                    attempt.dial.close();
                }
                Err(error) => {
                    self.places[place] = None;
                    self.failed(place, &error);
                    return;
                }
            }
        }
        if let Some(attempt) = self.places[place].take() {
            attempt.dial.hang_up();
        }
        self.free.push(place);
    }

    fn failed(&mut self, place: usize, error: &io::Error) {
        self.free.push(place);
        self.failures += 1;
        self.load.recorder.error(&format!("no session: {error}"));
        if self.failures > FAILURES_MAX * self.places.len() {
            let reason = format!("the server opens no more sessions: {error}");
            self.load.cut_short(clock::now(), &reason);
        }
    }

    fn give_up(&mut self, now: u64) -> io::Result<()> {
        let open = self.places.iter().filter(|place| place.is_some()).count();
        self.load.recorder.errors("unanswered", open as u64);
        self.load.cut_short(now, "no answer for 30 s");
        Ok(())
    }
}
