//! Who waits for what: every connection and listener of one loop, and every byte the kernel may touch on their behalf.
//!
//! Driven by the loop's calls and by completions; emits submissions and outcomes. Makes no system call but closing what
//! it owns, so tests drive it with synthetic completions.
//! Invariants: 1. a slot keeps its descriptor and its bytes until nothing of it is in flight, queued submissions
//! included; so does the file that is persisted. 2. at most one receive, one send and one connect are in flight per slot,
//! and each is cancelled at most once; one persist per table, and it is never cancelled.
//! 3. a slot is free again only after its `Closed` was delivered. 4. after `Closed` is due, nothing else of that
//! connection is delivered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::base::ConnectionId;

use super::error::Error;
use super::operation::{BufferId, Completion, GENERATION_MASK, Kind, Submission, Token};
use super::socket::{self, AcceptedSocket};

mod listeners;
mod persisting;
mod waking;

use listeners::Listener;
pub use listeners::ListenerId;
use persisting::Persisting;

/// Why a connection ended.
#[derive(Debug)]
pub enum CloseReason {
    /// `close` or `close_now` was called.
    Asked,
    /// The peer reset it, can't be reached or refused it, or the system failed: see the error.
    Failed(Error),
}

/// What the driver is told. Becomes an [`Event`](super::Event).
#[derive(Debug)]
pub(super) enum Outcome {
    Accepted(ListenerId, AcceptedSocket),
    AcceptFailed(ListenerId, Error),
    Connected(ConnectionId),
    Received(ConnectionId, BufferId, usize),
    Ended(ConnectionId),
    Sent(ConnectionId, Vec<u8>),
    Closed(ConnectionId, CloseReason),
    Woken,
}

/// Life of one operation kind of one slot.
///
/// ```text
/// Idle ─► Armed ─► Idle (last completion)
///           └────► Cancelling ─► Idle (last completion, whatever it says)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    Idle,
    Armed,
    Cancelling,
}

#[derive(Debug)]
enum Closing {
    No,
    /// Waits for the send in flight, then for everything.
    AfterSend,
    /// Everything was cancelled; waits for the last completion.
    Now,
    /// `Closed` waits to be delivered.
    Done,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    /// None in a free slot.
    fd: Option<OwnedFd>,
    receive: Flight,
    send: Flight,
    connect: Flight,
    /// Cancels without their completion.
    cancels: u8,
    /// The driver wants to receive.
    wanted: bool,
    /// The peer has finished sending.
    ended: bool,
    closing: Closing,
    /// First failure, told in `Closed`.
    failure: Option<Box<Error>>,
    /// The send in flight; the kernel reads from here. Never touched while `send` isn't Idle.
    bytes: Vec<u8>,
    /// How much of `bytes` the kernel has taken.
    sent: usize,
    /// Where to connect to; the kernel reads from here while `connect` isn't Idle.
    address: Option<Box<libc::sockaddr_storage>>,
}

const _: () =
    assert!(size_of::<Slot>() <= 112, "fifteen thousand idle connections should cost next to nothing");

#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    slots_max: usize,
    listeners: Vec<Listener>,
    wake_fd: RawFd,
    wake: Flight,
    wake_cancels: u8,
    persisting: Persisting,
    /// For the ring, in order.
    pub(super) submissions: VecDeque<Submission>,
    /// For the driver, before any further completion.
    outcomes: VecDeque<Outcome>,
    /// Operations without their last completion.
    in_flight: usize,
    stopping: bool,
}

impl Table {
    /// The eventfd stays open until [`Table::in_flight`] is zero: the loop's own `Waker` sees to that.
    pub(super) fn new(slots_max: usize, wake_fd: RawFd) -> Table {
        let mut table = Table {
            slots: Vec::new(),
            free: Vec::new(),
            slots_max,
            listeners: Vec::new(),
            wake_fd,
            wake: Flight::Idle,
            wake_cancels: 0,
            persisting: Persisting::Nothing,
            submissions: VecDeque::new(),
            outcomes: VecDeque::new(),
            in_flight: 0,
            stopping: false,
        };
        table.arm_wake();
        table
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn has_outcomes(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// Delivers what is due without a completion. A `Closed` frees its slot.
    pub(super) fn next_outcome(&mut self) -> Option<Outcome> {
        let outcome = self.outcomes.pop_front()?;
        if let Outcome::Closed(connection, _) = &outcome {
            let slot = &mut self.slots[connection.slot as usize];
            assert!(matches!(slot.closing, Closing::Done));
            slot.closing = Closing::No;
            slot.generation = (slot.generation + 1) & GENERATION_MASK;
            self.free.push(connection.slot);
        }
        Some(outcome)
    }

    /// The socket comes back where every slot is taken.
    pub(super) fn adopt(&mut self, socket: AcceptedSocket) -> Result<ConnectionId, AcceptedSocket> {
        if self.is_full() {
            return Err(socket);
        }
        let connection = self.occupy(socket.fd);
        self.slots[connection.slot as usize].wanted = true;
        self.arm_receive(connection.slot);
        Ok(connection)
    }

    pub(super) fn is_full(&self) -> bool {
        self.stopping || (self.free.is_empty() && self.slots.len() >= self.slots_max)
    }

    /// Receives as soon as it is connected. Must not be full.
    pub(super) fn connect(&mut self, fd: OwnedFd, address: SocketAddr) -> ConnectionId {
        let raw = fd.as_raw_fd();
        let connection = self.occupy(fd);
        let slot = &mut self.slots[connection.slot as usize];
        slot.wanted = true;
        slot.connect = Flight::Armed;
        let (storage, length) = socket::to_storage(address);
        let address: *const libc::sockaddr_storage = &raw const **slot.address.insert(Box::new(storage));
        self.in_flight += 1;
        let token = Token::new(Kind::Connect, connection.generation, connection.slot);
        self.submissions.push_back(Submission::Connect { token, fd: raw, address, length });
        connection
    }

    pub(super) fn pause_receive(&mut self, connection: ConnectionId) {
        let Some(slot) = self.open(connection) else { return };
        slot.wanted = false;
        self.cancel_receive(connection.slot);
    }

    pub(super) fn resume_receive(&mut self, connection: ConnectionId) {
        let Some(slot) = self.open(connection) else { return };
        slot.wanted = true;
        self.settle(connection.slot);
    }

    pub(super) fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        let Some(slot) = self.open(connection) else { return };
        assert!(slot.send == Flight::Idle, "one send per connection: the next one waits for Sent");
        assert!(slot.connect == Flight::Idle, "a connection sends after Connected");
        if bytes.is_empty() {
            self.outcomes.push_back(Outcome::Sent(connection, bytes));
            return;
        }
        slot.bytes = bytes;
        slot.sent = 0;
        self.arm_send(connection.slot);
    }

    pub(super) fn close(&mut self, connection: ConnectionId) {
        let Some(slot) = self.open(connection) else { return };
        if slot.send == Flight::Idle {
            self.tear_down(connection.slot);
        } else {
            slot.closing = Closing::AfterSend;
            self.cancel_receive(connection.slot);
        }
    }

    pub(super) fn close_now(&mut self, connection: ConnectionId) {
        if self.open_or_closing(connection).is_some() {
            self.tear_down(connection.slot);
        }
    }

    /// Ends everything; [`Table::in_flight`] goes to zero as the completions come in.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        for index in 0..self.slots.len() as u32 {
            let slot = &self.slots[index as usize];
            if slot.fd.is_some() && matches!(slot.closing, Closing::No | Closing::AfterSend) {
                self.tear_down(index);
            }
        }
        for index in 0..self.listeners.len() as u32 {
            self.close_listener(self.listener_id(index));
        }
        self.cancel_wake();
    }

    /// Takes one completion. The buffer it may carry goes on to the driver in `Received`; otherwise it is the caller's to
    /// give back.
    pub(super) fn complete(&mut self, completion: Completion) -> Option<Outcome> {
        let token = completion.token;
        assert!(self.in_flight > 0, "a completion {token:?} while nothing is in flight");
        if !completion.more {
            self.in_flight -= 1;
        }
        match token.kind() {
            Kind::Receive => self.on_received(completion),
            Kind::Send => self.on_sent(completion),
            Kind::Accept => self.on_accepted(completion),
            Kind::Connect => self.on_connected(completion),
            Kind::Wake => self.on_wake(completion),
            Kind::Persist => {
                self.on_persisted(completion);
                None
            }
            Kind::CancelReceive | Kind::CancelSend | Kind::CancelConnect => {
                self.on_cancelled(completion);
                None
            }
            Kind::CancelAccept => {
                self.on_accept_cancelled(completion);
                None
            }
            Kind::CancelWake => {
                self.on_wake_cancelled();
                None
            }
        }
    }

    fn on_received(&mut self, completion: Completion) -> Option<Outcome> {
        let (connection, slot) = self.flying(completion.token);
        assert!(slot.receive != Flight::Idle, "received {completion:?} without a receive in flight");
        if !completion.more {
            slot.receive = Flight::Idle;
        }
        let open = matches!(slot.closing, Closing::No);
        let mut outcome = None;
        match completion.result {
            count @ 1.. if open => {
                let buffer = completion.buffer.expect("received bytes come in a buffer of the ring");
                outcome = Some(Outcome::Received(connection, buffer, count as usize));
            }
            0 if open => {
                assert!(!completion.more, "nothing follows the end of a stream");
                slot.ended = true;
                outcome = Some(Outcome::Ended(connection));
            }
            0.. => {}
            // `settle` arms it again.
            code if is_transient(code) => {}
            code => {
                slot.failure.get_or_insert_with(|| Box::new(Error::of_code("receive", -code)));
                if open {
                    self.tear_down(connection.slot);
                    return None;
                }
            }
        }
        self.settle(connection.slot);
        outcome
    }

    fn on_sent(&mut self, completion: Completion) -> Option<Outcome> {
        let (connection, slot) = self.flying(completion.token);
        assert!(slot.send != Flight::Idle, "sent {completion:?} without a send in flight");
        assert!(!completion.more, "a send completes once");
        slot.send = Flight::Idle;
        let now = matches!(slot.closing, Closing::Now);
        let mut outcome = None;
        match completion.result {
            count @ 1.. => {
                slot.sent += count as usize;
                assert!(slot.sent <= slot.bytes.len(), "the kernel sent more than it was given");
                if slot.sent == slot.bytes.len() {
                    let mut bytes = std::mem::take(&mut slot.bytes);
                    bytes.clear();
                    if matches!(slot.closing, Closing::No) {
                        outcome = Some(Outcome::Sent(connection, bytes));
                    }
                } else if !now {
                    self.arm_send(connection.slot);
                    return None;
                }
            }
            code if is_transient(code) && !now => {
                self.arm_send(connection.slot);
                return None;
            }
            code => {
                slot.bytes = Vec::new();
                if !now {
                    // Zero can't be: a send of at least one byte sends at least one or fails.
                    let code = if code == 0 { libc::EPIPE } else { -code };
                    slot.failure.get_or_insert_with(|| Box::new(Error::of_code("send", code)));
                    self.tear_down(connection.slot);
                    return None;
                }
            }
        }
        self.settle(connection.slot);
        outcome
    }

    fn on_connected(&mut self, completion: Completion) -> Option<Outcome> {
        let (connection, slot) = self.flying(completion.token);
        assert!(slot.connect != Flight::Idle, "connected {completion:?} without a connect in flight");
        slot.connect = Flight::Idle;
        slot.address = None;
        let mut outcome = None;
        if completion.result >= 0 {
            if matches!(slot.closing, Closing::No) {
                outcome = Some(Outcome::Connected(connection));
            }
        } else if matches!(slot.closing, Closing::No) {
            slot.failure = Some(Box::new(Error::of_code("connect", -completion.result)));
            self.tear_down(connection.slot);
            return None;
        }
        self.settle(connection.slot);
        outcome
    }

    fn on_cancelled(&mut self, completion: Completion) {
        let token = completion.token;
        let (_, slot) = self.flying(token);
        assert!(slot.cancels > 0, "a cancel {completion:?} that nobody asked for");
        slot.cancels -= 1;
        // Found but just being carried out: ask again, or a send to a peer that doesn't read would stay.
        let (target, flight) = match token.kind() {
            Kind::CancelReceive => (Kind::Receive, slot.receive),
            Kind::CancelConnect => (Kind::Connect, slot.connect),
            _ => (Kind::Send, slot.send),
        };
        if completion.result == -libc::EALREADY && flight == Flight::Cancelling {
            slot.cancels += 1;
            let (generation, fd) = (slot.generation, slot.raw_fd());
            self.cancel(token.kind(), target, generation, token.slot(), fd);
            return;
        }
        self.settle(token.slot());
    }

    /// The duties owed after any change: arms what is wanted, closes what has nothing in flight any more.
    fn settle(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        match slot.closing {
            Closing::No => {
                let ready = slot.receive == Flight::Idle && slot.connect == Flight::Idle;
                if ready && slot.wanted && !slot.ended {
                    self.arm_receive(index);
                }
            }
            Closing::AfterSend => {
                if slot.send == Flight::Idle {
                    self.tear_down(index);
                }
            }
            Closing::Now => {
                let idle = [slot.receive, slot.send, slot.connect].iter().all(|f| *f == Flight::Idle);
                if idle && slot.cancels == 0 {
                    self.finish(index);
                }
            }
            Closing::Done => unreachable!("nothing can complete after the last completion"),
        }
    }

    fn tear_down(&mut self, index: u32) {
        self.slots[index as usize].closing = Closing::Now;
        self.cancel_receive(index);
        let slot = &mut self.slots[index as usize];
        let (generation, fd) = (slot.generation, slot.raw_fd());
        let (send, connect) = (slot.send == Flight::Armed, slot.connect == Flight::Armed);
        slot.cancels += u8::from(send) + u8::from(connect);
        if send {
            slot.send = Flight::Cancelling;
            self.cancel(Kind::CancelSend, Kind::Send, generation, index, fd);
        }
        if connect {
            self.slots[index as usize].connect = Flight::Cancelling;
            self.cancel(Kind::CancelConnect, Kind::Connect, generation, index, fd);
        }
        self.settle(index);
    }

    fn finish(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.closing = Closing::Done;
        if let (Some(fd), None) = (slot.fd.take(), &slot.failure) {
            socket::discard_unread(&fd);
        }
        slot.bytes = Vec::new();
        let reason = slot.failure.take().map_or(CloseReason::Asked, |error| CloseReason::Failed(*error));
        let connection = ConnectionId { slot: index, generation: slot.generation };
        self.outcomes.push_back(Outcome::Closed(connection, reason));
    }

    fn occupy(&mut self, fd: OwnedFd) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::free());
            (self.slots.len() - 1) as u32
        });
        assert!(self.slots.len() <= self.slots_max);
        let slot = &mut self.slots[index as usize];
        assert!(slot.fd.is_none());
        *slot = Slot { generation: slot.generation, fd: Some(fd), ..Slot::free() };
        ConnectionId { slot: index, generation: slot.generation }
    }

    fn arm_receive(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        assert!(slot.receive == Flight::Idle);
        slot.receive = Flight::Armed;
        self.in_flight += 1;
        let token = Token::new(Kind::Receive, slot.generation, index);
        self.submissions.push_back(Submission::Receive { token, fd: slot.raw_fd() });
    }

    fn arm_send(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        assert!(slot.send == Flight::Idle);
        slot.send = Flight::Armed;
        self.in_flight += 1;
        let token = Token::new(Kind::Send, slot.generation, index);
        let rest = &slot.bytes[slot.sent..];
        let submission =
            Submission::Send { token, fd: slot.raw_fd(), bytes: rest.as_ptr(), length: rest.len() };
        self.submissions.push_back(submission);
    }

    fn cancel_receive(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.receive != Flight::Armed {
            return;
        }
        slot.receive = Flight::Cancelling;
        slot.cancels += 1;
        let (generation, fd) = (slot.generation, slot.raw_fd());
        self.cancel(Kind::CancelReceive, Kind::Receive, generation, index, fd);
    }

    fn cancel(&mut self, kind: Kind, target: Kind, generation: u32, slot: u32, fd: RawFd) {
        self.in_flight += 1;
        let (token, target) = (Token::new(kind, generation, slot), Token::new(target, generation, slot));
        self.submissions.push_back(Submission::Cancel { token, target, fd });
    }

    /// The slot of an open connection; None where it is closing or gone, and then calls do nothing.
    fn open(&mut self, connection: ConnectionId) -> Option<&mut Slot> {
        self.open_or_closing(connection).filter(|slot| matches!(slot.closing, Closing::No))
    }

    fn open_or_closing(&mut self, connection: ConnectionId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(connection.slot as usize)?;
        let live = slot.generation == connection.generation && slot.fd.is_some();
        (live && !matches!(slot.closing, Closing::Now | Closing::Done)).then_some(slot)
    }

    /// The slot a completion belongs to.
    fn flying(&mut self, token: Token) -> (ConnectionId, &mut Slot) {
        let slot = &mut self.slots[token.slot() as usize];
        assert!(slot.generation == token.generation(), "{token:?} completed after its slot was given away");
        (ConnectionId { slot: token.slot(), generation: slot.generation }, slot)
    }
}

impl Slot {
    fn free() -> Slot {
        Slot {
            generation: 0,
            fd: None,
            receive: Flight::Idle,
            send: Flight::Idle,
            connect: Flight::Idle,
            cancels: 0,
            wanted: false,
            ended: false,
            closing: Closing::No,
            failure: None,
            bytes: Vec::new(),
            sent: 0,
            address: None,
        }
    }

    fn raw_fd(&self) -> RawFd {
        self.fd.as_ref().expect("an operation in flight keeps its descriptor open").as_raw_fd()
    }
}

/// The ring ran out of buffers, we cancelled, or a signal came: nothing is lost.
fn is_transient(code: i32) -> bool {
    matches!(-code, libc::ECANCELED | libc::ENOBUFS | libc::EINTR | libc::EAGAIN)
}

#[cfg(test)]
#[path = "table_test.rs"]
mod tests;
