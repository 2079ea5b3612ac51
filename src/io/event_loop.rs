//! One thread's sockets: calls queue operations, `wait` carries them out, `next_event` tells what came of it.
//!
//! ```text
//! loop { io.wait(timeout)?;  while let Some(event) = io.next_event() { … }  calls: send, adopt, close, … }
//! ```
//!
//! The log's file is persisted by the same ring: [`Loop::persist`], [`Loop::take_persisted`]. That is asked for by itself and not
//! among the events, so that it is known before events that came earlier are acted on: what a group made durable is
//! applied first, and where no request can be taken in, only that makes room.
//!
//! Called by `server`. Belongs to the thread that made it. A call never runs a completion and never blocks.
//! Limits: connections as given; a receive buffer ring per loop (`buffers.rs`).

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::{ConnectionId, Instant, limits};

use super::clock::Clock;
use super::direct_file::DirectFile;
use super::epoll::Epoll;
use super::error::{Error, ErrorKind};
use super::operation::{BufferId, Completion, Kind, Submission};
use super::socket::{self, AcceptedSocket};
use super::table::{CloseReason, ListenerId, Outcome, Table};
use super::uring::Uring;
use super::waker::Waker;

/// How often a listener that ran out of descriptors tries again.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long the end of a loop waits for the kernel to let go of memory before it gives that memory up.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Which of the kernel's interfaces carries the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring, or epoll where it is refused.
    Auto,
    Uring,
    Epoll,
}

/// One thing that happened. Borrows the loop where it carries received bytes.
#[derive(Debug)]
pub enum Event<'a> {
    /// A client connected. Adopt it here, hand it to another loop, or drop it, which closes it.
    Accepted { listener: ListenerId, socket: AcceptedSocket },
    /// Accepting failed for want of descriptors or memory. The loop tries again by itself, every 100 ms.
    AcceptFailed { listener: ListenerId, error: Error },
    /// A `connect` succeeded: it may send now, and receives.
    Connected { connection: ConnectionId },
    /// Bytes, at least one, in order. They are gone when the event is.
    Received { connection: ConnectionId, bytes: &'a [u8] },
    /// The peer will send nothing more but may still read (`nc -N`, FourLetterWordMain). Nothing happens by itself: the
    /// driver calls `close` when it has sent what it owes.
    Ended { connection: ConnectionId },
    /// The kernel has taken all of a send. `buffer` is the one given to `send`, emptied, its capacity kept.
    Sent { connection: ConnectionId, buffer: Vec<u8> },
    /// The last word on a connection, exactly once; its id means nothing from here on.
    Closed { connection: ConnectionId, reason: CloseReason },
    /// Somebody rang the doorbell, once or more often.
    Woken,
}

enum Ring {
    Uring(Uring),
    Epoll(Epoll),
}

/// An event loop's half of the kernel.
pub struct Loop {
    /// None only while it is being dropped.
    ring: Option<Ring>,
    table: Table,
    /// Taken from the ring while a persist was looked for; before what the ring holds.
    held: VecDeque<Completion>,
    waker: Waker,
    note: String,
    /// The receive buffer in the hands of the last event.
    lent: Option<BufferId>,
    accept_retry: Option<Instant>,
    /// The ring belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl Loop {
    /// `connections_max` bounds the table, at most `limits::CONNECTIONS_MAX`. `Auto` falls back to epoll and says why in
    /// [`Loop::backend_note`]; `Uring` fails instead.
    pub fn new(backend: Backend, connections_max: usize) -> Result<Loop, Error> {
        assert!(
            connections_max <= limits::CONNECTIONS_MAX,
            "the caller checks its configuration against the limit"
        );
        let (ring, note) = match backend {
            Backend::Uring => (Ring::Uring(Uring::new()?), "io_uring".to_owned()),
            Backend::Epoll => (Ring::Epoll(Epoll::new()?), "epoll, as configured".to_owned()),
            Backend::Auto => match Uring::new() {
                Ok(uring) => (Ring::Uring(uring), "io_uring".to_owned()),
                Err(error) => (Ring::Epoll(Epoll::new()?), refusal(&error)),
            },
        };
        let waker = Waker::new()?;
        let table = Table::new(connections_max, waker.fd());
        Ok(Loop {
            ring: Some(ring),
            table,
            held: VecDeque::new(),
            waker,
            note,
            lent: None,
            accept_retry: None,
            not_send: PhantomData,
        })
    }

    /// One line: what carries this loop and, if it isn't io_uring, why.
    pub fn backend_note(&self) -> &str {
        &self.note
    }

    pub fn is_uring(&self) -> bool {
        matches!(self.ring, Some(Ring::Uring(_)))
    }

    /// Returns the bound address too: port 0 picks one. With `reuse_port` several loops share the port.
    pub fn listen(
        &mut self,
        address: SocketAddr,
        backlog: i32,
        reuse_port: bool,
    ) -> Result<(ListenerId, SocketAddr), Error> {
        let (fd, bound) = socket::listen(address, backlog, reuse_port)?;
        Ok((self.table.listen(fd), bound))
    }

    /// What the kernel has accepted already still comes out. The port is free after the next turns of the loop.
    pub fn close_listener(&mut self, listener: ListenerId) {
        self.table.close_listener(listener);
    }

    /// Takes over an accepted socket, of this or of another loop, and receives from it. The socket comes back where the
    /// table is full.
    pub fn adopt(&mut self, socket: AcceptedSocket) -> Result<ConnectionId, AcceptedSocket> {
        self.table.adopt(socket)
    }

    /// Begins to connect. [`Event::Connected`] or [`Event::Closed`] follows.
    pub fn connect(&mut self, address: SocketAddr) -> Result<ConnectionId, Error> {
        if self.table.is_full() {
            let full = std::io::Error::from_raw_os_error(libc::ENOBUFS);
            return Err(Error::new("connect to", full).on(address));
        }
        let fd =
            socket::stream_socket(address).map_err(|e| Error::new("make a socket for", e).on(address))?;
        Ok(self.table.connect(fd, address))
    }

    /// Back-pressure: stops receiving. What the kernel has handed over already still comes.
    pub fn pause_receive(&mut self, connection: ConnectionId) {
        self.table.pause_receive(connection);
    }

    pub fn resume_receive(&mut self, connection: ConnectionId) {
        self.table.resume_receive(connection);
    }

    /// Sends all of `bytes`; [`Event::Sent`] gives the buffer back. The next send waits for that event: two at once are
    /// the caller's bug and panic. On a connection that is closing or gone it does nothing.
    pub fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        self.table.send(connection, bytes);
    }

    /// Finishes the send in flight, receives nothing more, closes; [`Event::Closed`] follows. A peer that doesn't read can
    /// delay that forever: bound it with [`Loop::close_now`].
    pub fn close(&mut self, connection: ConnectionId) {
        self.table.close(connection);
    }

    /// Gives up the send in flight and closes; [`Event::Closed`] follows.
    pub fn close_now(&mut self, connection: ConnectionId) {
        self.table.close_now(connection);
    }

    pub fn doorbell(&self) -> Waker {
        self.waker.clone()
    }

    /// Hands everything queued to the kernel and waits for an event or for `timeout`: `None` waits without end, zero
    /// doesn't wait. Returns early without an event now and then (signals). Errors are fatal to the loop.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.enter(1, timeout)
    }

    /// As `wait`, but for so many events rather than for the first: fewer wake-ups, which those who send to us pay for. With
    /// epoll, and when events are there already, it is the same as `wait`.
    pub fn wait_for(&mut self, events: usize, timeout: Option<Duration>) -> Result<(), Error> {
        // What is submitted now, mostly sends, is done at once, and isn't what is waited for.
        let at_once = |submission: &&Submission| !matches!(submission, Submission::Persist { .. });
        let submitted = self.table.submissions.iter().filter(at_once).count();
        self.enter(events + submitted, timeout)
    }

    /// What was written to the file is made durable; [`Loop::take_persisted`] gives it back. One at a time: two at once are the
    /// caller's bug and panic. With epoll it is done at the next `wait`, which then takes as long.
    pub fn persist(&mut self, file: Box<DirectFile>) {
        self.table.persist(file);
    }

    /// Given to `persist` and not taken back.
    pub fn is_persisting(&self) -> bool {
        self.table.is_persisting()
    }

    /// The file, when all that was written to it is durable or can't be made so: that is fatal. Asks the kernel for nothing.
    pub fn take_persisted(&mut self) -> Option<(Box<DirectFile>, Result<(), Error>)> {
        if self.table.is_persisting() && !self.table.has_persisted() {
            self.hold_completions();
        }
        self.table.take_persisted()
    }

    /// Waits until `take_persisted` has something, for so long. Events are left for later.
    pub fn wait_persisted(&mut self, patience: Duration) -> Result<(), Error> {
        let until = Clock::instant() + patience;
        while self.table.is_persisting() {
            self.hold_completions();
            let now = Clock::instant();
            if self.table.has_persisted() || now >= until {
                break;
            }
            self.submit();
            let ring = self.ring.as_mut().expect("present until drop");
            ring.enter(1, Some(until.since(now)))?;
        }
        Ok(())
    }

    fn hold_completions(&mut self) {
        let ring = self.ring.as_mut().expect("present until drop");
        if let Some(completion) = ring.next_persist(&mut self.held) {
            self.table.complete(completion);
        }
    }

    fn enter(&mut self, events: usize, timeout: Option<Duration>) -> Result<(), Error> {
        self.take_back();
        let timeout = self.retry_accepts(timeout);
        self.submit();
        let due = self.has_events() || !self.table.submissions.is_empty();
        let ring = self.ring.as_mut().expect("present until drop");
        ring.enter(events, if due { Some(Duration::ZERO) } else { timeout })
    }

    /// As much as the ring takes.
    fn submit(&mut self) {
        let ring = self.ring.as_mut().expect("present until drop");
        while let Some(submission) = self.table.submissions.front() {
            if !ring.submit(*submission) {
                break;
            }
            self.table.submissions.pop_front();
        }
    }

    /// `next_event` or `take_persisted` has one.
    pub fn has_events(&mut self) -> bool {
        self.table.has_outcomes()
            || self.table.has_persisted()
            || !self.held.is_empty()
            || self.ring.as_mut().is_some_and(Ring::has_completions)
    }

    /// The next thing that has happened, without asking the kernel for more: that is what `wait` does.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        self.take_back();
        let ring = self.ring.as_mut().expect("present until drop");
        let outcome = next_outcome(&mut self.table, &mut self.held, ring)?;
        Some(match outcome {
            Outcome::Received(connection, buffer, count) => {
                self.lent = Some(buffer);
                Event::Received { connection, bytes: ring.filled(buffer, count) }
            }
            Outcome::Accepted(listener, socket) => Event::Accepted { listener, socket },
            Outcome::AcceptFailed(listener, error) => {
                self.accept_retry.get_or_insert_with(|| Clock::instant() + ACCEPT_RETRY);
                Event::AcceptFailed { listener, error }
            }
            Outcome::Connected(connection) => Event::Connected { connection },
            Outcome::Ended(connection) => Event::Ended { connection },
            Outcome::Sent(connection, buffer) => Event::Sent { connection, buffer },
            Outcome::Closed(connection, reason) => Event::Closed { connection, reason },
            Outcome::Woken => Event::Woken,
        })
    }

    fn take_back(&mut self) {
        if let (Some(buffer), Some(ring)) = (self.lent.take(), self.ring.as_mut()) {
            ring.give_back(buffer);
        }
    }

    /// Shortens the wait while a listener starves.
    fn retry_accepts(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        let Some(due) = self.accept_retry else { return timeout };
        let now = Clock::instant();
        if now >= due {
            self.accept_retry = None;
            self.table.retry_accepts();
            return timeout;
        }
        let left = due.since(now);
        Some(timeout.map_or(left, |timeout| timeout.min(left)))
    }

    /// Cancels everything and reaps until nothing is in flight; false if that took too long.
    fn drain(&mut self) -> bool {
        self.table.stop();
        let deadline = Clock::instant() + STOP_PATIENCE;
        loop {
            let step = if self.table.in_flight() == 0 { Duration::ZERO } else { Duration::from_millis(100) };
            if self.wait(Some(step)).is_err() {
                return false;
            }
            while self.next_event().is_some() {}
            if self.table.in_flight() == 0 {
                return true;
            }
            if Clock::instant() >= deadline {
                return false;
            }
        }
    }
}

/// Ends what is in flight before any memory goes: the kernel must not write to what isn't ours any more.
impl Drop for Loop {
    fn drop(&mut self) {
        let drained = self.drain();
        if let (false, Some(ring)) = (drained, self.ring.take()) {
            let table = std::mem::replace(&mut self.table, Table::new(0, self.waker.fd()));
            std::mem::forget(table);
            if let Ring::Uring(uring) = ring {
                uring.leak();
            }
        }
    }
}

fn next_outcome(table: &mut Table, held: &mut VecDeque<Completion>, ring: &mut Ring) -> Option<Outcome> {
    loop {
        if let Some(outcome) = table.next_outcome() {
            return Some(outcome);
        }
        let completion = held.pop_front().or_else(|| ring.next())?;
        let outcome = table.complete(completion);
        if let (Some(buffer), false) = (completion.buffer, matches!(outcome, Some(Outcome::Received(..)))) {
            ring.give_back(buffer);
        }
        if outcome.is_some() {
            return outcome;
        }
    }
}

fn refusal(error: &Error) -> String {
    let hint = match error.kind() {
        ErrorKind::Denied => {
            "a container's seccomp profile or the sysctl kernel.io_uring_disabled forbids it"
        }
        ErrorKind::Unsupported => "it needs Linux 6.1",
        ErrorKind::Exhausted => "raise the locked-memory limit (RLIMIT_MEMLOCK) or free memory",
        _ => "see the error",
    };
    format!("epoll, since io_uring is refused: {error} ({hint})")
}

impl Ring {
    fn submit(&mut self, submission: Submission) -> bool {
        match self {
            Ring::Uring(uring) => uring.submit(submission),
            Ring::Epoll(epoll) => {
                epoll.submit(submission);
                true
            }
        }
    }

    fn enter(&mut self, events: usize, timeout: Option<Duration>) -> Result<(), Error> {
        match self {
            Ring::Uring(uring) => uring.enter(events, timeout),
            Ring::Epoll(epoll) => epoll.enter(timeout),
        }
    }

    fn has_completions(&mut self) -> bool {
        match self {
            Ring::Uring(uring) => uring.has_completions(),
            Ring::Epoll(epoll) => epoll.has_completions(),
        }
    }

    fn next(&mut self) -> Option<Completion> {
        match self {
            Ring::Uring(uring) => uring.next(),
            Ring::Epoll(epoll) => epoll.next(),
        }
    }

    /// A persist's completion; others before it are to be taken from `held` first.
    fn next_persist(&mut self, held: &mut VecDeque<Completion>) -> Option<Completion> {
        match self {
            Ring::Uring(uring) => loop {
                let completion = uring.next()?;
                if completion.token.kind() == Kind::Persist {
                    return Some(completion);
                }
                held.push_back(completion);
            },
            // Its next completion would receive into the one buffer that there is.
            Ring::Epoll(epoll) => epoll.next_persist(),
        }
    }

    fn filled(&self, buffer: BufferId, count: usize) -> &[u8] {
        match self {
            Ring::Uring(uring) => uring.filled(buffer, count),
            Ring::Epoll(epoll) => epoll.filled(buffer, count),
        }
    }

    fn give_back(&mut self, buffer: BufferId) {
        match self {
            Ring::Uring(uring) => uring.give_back(buffer),
            Ring::Epoll(_) => {} // one buffer, free as soon as the event is gone
        }
    }
}

#[cfg(test)]
#[path = "event_loop_test.rs"]
mod tests;
