//! The sockets between this server and the other members of its ensemble.
//!
//! ```text
//!  replica ── Dial, Send, Close ──► Peers ──► io      (send, connect, close: calls of the loop that carries the replica)
//!  replica ◄── PeerInput ────────── Peers ◄── events  (of these connections and listeners only)
//! ```
//!
//! Called by `one_loop.rs` and `replica_thread.rs`, on the thread of the loop. Bytes are moved and not looked at: what they
//! mean, who may say it and how long a silent peer is suffered is the replica's matter (`replica::ensemble`).
//!
//! Life of a link: `Dial` (names are looked up by `resolver.rs`, then each address is tried in turn) or an accepted
//! connection; open; `Close` sends what is queued, within [`CLOSE_PATIENCE`], and is silent from then on; the connection of a
//! link that is gone stays ours, without a link, until the loop has said `Closed`.
//! What the replica sends within a turn goes out together: [`Peers::flush`], before the loop waits.
//! Invariants: 1. a slot of the loop is in `slots` from `adopt` or `connect` until `Closed`. 2. at most one send is in flight
//! per connection. 3. nothing is told of a link after its `Disconnected` or `DialFailed`, nor after the replica's `Close`.
//! Limits: [`Settings::accepted_max`] connections that came in; [`Settings::queue_bytes_max`] queued per link, and
//! [`Settings::stall`] for each send of it: a link beyond either is cut. Receiving has no limit here: the
//! replica takes bytes as they come.
//! Tested: peers_test.rs, against the kernel, on both backends.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{ConnectionId, Instant};
use crate::io::{AcceptedSocket, CloseReason, Event, Loop};
use crate::replica::ensemble::{PeerInput, PeerOutput, PeerPort, accepted_link};
use crate::zab::Link;

use super::Fatal;
use super::member::OwnLine;
use super::members_file::MembersFile;
use super::resolver::{self, Resolver};
use super::slots::Slots;

mod dial;
mod peer;
mod ports;

use peer::{Peer, State};
use ports::Ports;

/// How long a link that was closed may go on sending what was queued.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Refused connections are spoken of so often.
const REFUSAL_LOG_EVERY: Duration = Duration::from_secs(1);

/// What a member needs to talk to the others.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where learners come to their leader.
    pub quorum: Vec<SocketAddr>,
    /// Where everybody comes for the election.
    pub election: Vec<SocketAddr>,
    /// For one address of a dial, and for looking up its names: `cnxTimeout`.
    pub connect_timeout: Duration,
    /// Connections that came in, on both ports together.
    pub accepted_max: usize,
    /// Queued on one link and not yet with the kernel.
    pub queue_bytes_max: usize,
    /// How long the kernel may take for one send.
    pub stall: Duration,
    /// Where a configuration that was committed is written.
    pub members_file: Option<MembersFile>,
    /// Whose ports these are. `None`: they stay as they are.
    pub own_line: Option<OwnLine>,
}

impl Settings {
    /// With the usual limits. 30 s of standstill: longer than `syncLimit` usually is, by which the replica gives a peer up.
    pub fn new(quorum: Vec<SocketAddr>, election: Vec<SocketAddr>, connect_timeout: Duration) -> Settings {
        Settings {
            quorum,
            election,
            connect_timeout,
            accepted_max: 1000,
            queue_bytes_max: 256 << 20,
            stall: Duration::from_secs(30),
            members_file: None,
            own_line: None,
        }
    }

    /// Slots of the loop that peers may take: those who came, and those dialled by a large ensemble that keeps trying.
    pub fn connections_max(&self) -> usize {
        self.accepted_max + 1000
    }
}

/// What the loop says of our connections, but for received bytes.
#[derive(Debug)]
pub enum News {
    Accepted(PeerPort, AcceptedSocket),
    Connected(ConnectionId),
    Sent(ConnectionId, Vec<u8>),
    Ended(ConnectionId),
    Closed(ConnectionId, CloseReason),
}

pub struct Peers {
    settings: Settings,
    resolver: Resolver,
    unknown: resolver::Unknown,
    ports: Ports,
    /// How many have been accepted so far.
    accepted: u64,
    /// Connections that came in and are not `Closed`.
    accepted_open: usize,
    slots: Slots,
    connections: BTreeMap<ConnectionId, Connection>,
    links: BTreeMap<Link, Peer>,
    /// Links that may have something to send and nothing in flight.
    ready: Vec<Link>,
    /// For the replica, in order.
    inputs: VecDeque<PeerInput<'static>>,
    /// Not after the earliest deadline of any link.
    wakeup: Option<Instant>,
    refusal_logged: Option<Instant>,
    refused: u64,
}

#[derive(Debug)]
struct Connection {
    /// None: its link is gone, `Closed` is awaited.
    link: Option<Link>,
    came_in: bool,
}

impl Peers {
    /// Opens the ports. A port still held by a server that ended just now is waited for a little.
    pub fn listen(settings: Settings, io: &mut Loop) -> Result<Peers, Fatal> {
        Peers::with_resolver(settings, io, resolver::system)
    }

    fn with_resolver(settings: Settings, io: &mut Loop, resolve: resolver::Resolve) -> Result<Peers, Fatal> {
        let ports = Ports::listen(&settings, io)?;
        Ok(Peers {
            resolver: Resolver::new(resolve, io.doorbell()),
            unknown: resolver::Unknown::default(),
            settings,
            ports,
            accepted: 0,
            accepted_open: 0,
            slots: Slots::default(),
            connections: BTreeMap::new(),
            links: BTreeMap::new(),
            ready: vec![],
            inputs: VecDeque::new(),
            wakeup: None,
            refusal_logged: None,
            refused: 0,
        })
    }

    /// Is this ours, and not a client's? Asked of every event.
    pub fn concerns(&self, event: &Event<'_>) -> bool {
        match event {
            Event::Received { connection, .. }
            | Event::Sent { connection, .. }
            | Event::Ended { connection }
            | Event::Closed { connection, .. } => self.slots.contains(connection.slot),
            Event::Accepted { listener, .. } | Event::AcceptFailed { listener, .. } => {
                self.ports.kind_of(*listener).is_some()
            }
            // Nobody else dials.
            Event::Connected { .. } => true,
            Event::Woken => false,
        }
    }

    /// Takes an event that concerns us as far as that goes without the loop, which the event may borrow: received bytes
    /// are told, the rest is for [`Peers::take`].
    pub fn receive(&self, event: Event<'_>, tell: impl FnOnce(PeerInput<'_>)) -> Option<News> {
        Some(match event {
            Event::Received { connection, bytes } => {
                if let Some((link, peer)) = self.peer_of(connection)
                    && matches!(peer.state, State::Open)
                {
                    tell(PeerInput::Received { link, bytes });
                }
                return None;
            }
            Event::Accepted { listener, socket } => News::Accepted(self.ports.kind_of(listener)?, socket),
            Event::AcceptFailed { error, .. } => {
                tracing::warn!(%error, "no peer's connection can be accepted");
                return None;
            }
            Event::Connected { connection } => News::Connected(connection),
            Event::Sent { connection, buffer } => News::Sent(connection, buffer),
            Event::Ended { connection } => News::Ended(connection),
            Event::Closed { connection, reason } => News::Closed(connection, reason),
            Event::Woken => return None,
        })
    }

    pub fn take(&mut self, io: &mut Loop, now: Instant, news: News) {
        match news {
            News::Accepted(port, socket) => self.on_accepted(io, now, port, socket),
            News::Connected(connection) => self.on_connected(connection),
            News::Sent(connection, buffer) => self.on_sent(io, connection, buffer),
            News::Ended(connection) => {
                // Who is closed by us is still sent what is queued.
                if let Some((link, peer)) = self.peer_of(connection)
                    && !matches!(peer.state, State::Closing)
                {
                    tracing::debug!(?link, "a peer has closed its connection");
                    self.lose(io, link);
                }
            }
            News::Closed(connection, reason) => self.on_closed(io, now, connection, reason),
        }
    }

    /// What is for the replica: to be told before any more received bytes.
    pub fn next_input(&mut self) -> Option<PeerInput<'static>> {
        self.inputs.pop_front()
    }

    /// What concerns links of what a replica wants.
    pub fn carry_out(&mut self, io: &mut Loop, now: Instant, output: PeerOutput) {
        match output {
            PeerOutput::Dial { link, addresses } => self.dial(io, now, link, addresses),
            PeerOutput::Send { link, bytes } => self.send(io, link, bytes),
            PeerOutput::Close { link } => self.close(io, now, link),
            PeerOutput::Configured(members) => {
                self.settings.members_file.iter().for_each(|file| file.write(&members));
                self.ports.follow(io, &mut self.settings.own_line, &members);
            }
            PeerOutput::PersistEpochs(_) | PeerOutput::Reload { .. } => {
                unreachable!("carried out by the caller: no link's matter")
            }
        }
    }

    /// Where clients are to connect from now on, if the last configuration has changed that.
    pub fn take_client_address(&mut self) -> Option<SocketAddr> {
        self.ports.client_address.take()
    }

    /// Queues it; [`Peers::flush`] sends.
    pub fn send(&mut self, io: &mut Loop, link: Link, bytes: Bytes) {
        let Some(peer) = self.links.get_mut(&link) else { return };
        if matches!(peer.state, State::Closing) {
            return;
        }
        peer.queued += bytes.len();
        if !bytes.is_empty() {
            peer.queue.push_back(bytes);
        }
        if peer.queued > self.settings.queue_bytes_max {
            tracing::warn!(?link, bytes = peer.queued, "a peer is cut: it takes less than it is sent");
            return self.lose(io, link);
        }
        if !peer.is_sending {
            self.ready.push(link);
        }
    }

    /// Says nothing more of the link; what is queued still goes out, within reason.
    pub fn close(&mut self, io: &mut Loop, now: Instant, link: Link) {
        // What is not yet told of it never will be.
        self.inputs.retain(|input| link_in(input) != Some(link));
        let Some(peer) = self.links.get_mut(&link) else { return };
        let open = matches!(peer.state, State::Open);
        if let (Some(connection), true) = (peer.connection, open) {
            peer.state = State::Closing;
            let deadline = now + CLOSE_PATIENCE;
            peer.deadline = Some(deadline);
            io.pause_receive(connection);
            self.ready.push(link);
            self.wake_at(deadline);
        } else if !matches!(peer.state, State::Closing) {
            self.forget(io, link);
        }
    }

    /// Hands what is queued to the loop: the turn's sends together, each link's next piece.
    pub fn flush(&mut self, io: &mut Loop, now: Instant) {
        if self.ready.is_empty() {
            return;
        }
        let mut ready = std::mem::take(&mut self.ready);
        for link in ready.drain(..) {
            let Some(peer) = self.links.get_mut(&link) else { continue };
            let (Some(connection), false) = (peer.connection, peer.is_sending) else { continue };
            match peer.state {
                State::Open if peer.queue.is_empty() => continue,
                State::Closing if peer.queue.is_empty() => {
                    io.close(connection);
                    continue;
                }
                State::Open => {
                    let deadline = now + self.settings.stall;
                    peer.deadline = Some(deadline);
                    self.wakeup = Some(self.wakeup.map_or(deadline, |at| at.min(deadline)));
                }
                State::Closing => {}
                // They begin with `Connected`.
                State::Resolving(_) | State::Dialling { .. } => continue,
            }
            peer.is_sending = true;
            let bytes = peer.fill();
            io.send(connection, bytes);
        }
        self.ready = ready;
    }

    /// Names that were looked up, and deadlines: once a turn.
    pub fn wake_up(&mut self, io: &mut Loop, now: Instant) {
        while let Some(answer) = self.resolver.next() {
            self.on_resolved(io, now, &answer);
        }
        if self.wakeup.is_none_or(|at| now < at) {
            return;
        }
        let due: Vec<Link> = self
            .links
            .iter()
            .filter(|(_, peer)| peer.deadline.is_some_and(|deadline| now >= deadline))
            .map(|(link, _)| *link)
            .collect();
        for link in due {
            self.on_deadline(io, now, link);
        }
        self.wakeup = self.links.values().filter_map(|peer| peer.deadline).min();
    }

    /// When [`Peers::wake_up`] is wanted; may be early.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.wakeup
    }

    fn on_deadline(&mut self, io: &mut Loop, now: Instant, link: Link) {
        let peer = self.links.get_mut(&link).expect("it was just found");
        match &mut peer.state {
            State::Resolving(_) => {
                tracing::warn!(?link, "a peer's name is not resolved in time");
                self.fail_dial(link, false);
            }
            State::Dialling { all_refused, .. } => {
                *all_refused = false;
                self.abandon(io, link);
                self.try_next(io, now, link);
            }
            State::Open => {
                let stall = self.settings.stall;
                tracing::warn!(?link, ?stall, queued = peer.queued, "a peer is cut: it takes nothing");
                self.lose(io, link);
            }
            State::Closing => self.forget(io, link),
        }
    }

    fn on_accepted(&mut self, io: &mut Loop, now: Instant, port: PeerPort, socket: AcceptedSocket) {
        let address = socket.peer();
        if self.accepted_open >= self.settings.accepted_max {
            return self.refuse(now, address);
        }
        // Given back where the loop has no slot left, it is closed.
        let Ok(connection) = io.adopt(socket) else { return self.refuse(now, address) };
        let link = accepted_link(self.accepted);
        self.accepted += 1;
        self.accepted_open += 1;
        tracing::debug!(?link, %address, ?port, "somebody has connected");
        self.own(connection, link, true);
        self.links.insert(link, Peer::new(State::Open, Some(connection)));
        self.inputs.push_back(PeerInput::Accepted { link, port });
    }

    /// One line a second at most, as whoever does this may go on for long.
    fn refuse(&mut self, now: Instant, address: SocketAddr) {
        self.refused += 1;
        if self.refusal_logged.is_none_or(|last| now.since(last) >= REFUSAL_LOG_EVERY) {
            let (limit, refused) = (self.settings.accepted_max, self.refused);
            tracing::warn!(%address, limit, refused, "connection to a peers' port refused: there are too many");
            self.refusal_logged = Some(now);
            self.refused = 0;
        }
    }

    fn on_connected(&mut self, connection: ConnectionId) {
        let Some(link) = self.link_of(connection) else { return };
        let peer = self.links.get_mut(&link).expect("a connection's link is there");
        peer.state = State::Open;
        peer.deadline = None;
        // What was sent early.
        self.ready.push(link);
        self.inputs.push_back(PeerInput::Connected { link });
    }

    fn on_sent(&mut self, io: &mut Loop, connection: ConnectionId, buffer: Vec<u8>) {
        let Some(link) = self.link_of(connection) else { return };
        let peer = self.links.get_mut(&link).expect("a connection's link is there");
        peer.buffer = buffer;
        peer.is_sending = false;
        let closing = matches!(peer.state, State::Closing);
        if !peer.queue.is_empty() {
            self.ready.push(link);
        } else if closing {
            io.close(connection);
        } else {
            peer.deadline = None;
            self.inputs.push_back(PeerInput::Sent { link });
        }
    }

    fn on_closed(&mut self, io: &mut Loop, now: Instant, connection: ConnectionId, reason: CloseReason) {
        self.slots.remove(connection.slot);
        let gone = self.connections.remove(&connection).expect("what is in `slots` is in `connections`");
        self.accepted_open -= usize::from(gone.came_in);
        let Some(link) = gone.link else { return };
        let peer = self.links.get_mut(&link).expect("a connection's link is there");
        peer.connection = None;
        if let CloseReason::Failed(error) = &reason {
            tracing::debug!(?link, %error, "a peer's connection has failed");
        }
        match &mut peer.state {
            State::Dialling { all_refused, .. } => {
                *all_refused &= matches!(&reason, CloseReason::Failed(error) if error.is_refusal());
                self.try_next(io, now, link);
            }
            State::Closing => {
                self.links.remove(&link);
            }
            State::Open | State::Resolving(_) => {
                self.links.remove(&link);
                self.inputs.push_back(PeerInput::Disconnected { link });
            }
        }
    }

    /// Cuts an open link, which is told, or a closing one, which isn't.
    fn lose(&mut self, io: &mut Loop, link: Link) {
        let told = self.links.get(&link).is_some_and(|peer| !matches!(peer.state, State::Closing));
        self.forget(io, link);
        if told {
            self.inputs.push_back(PeerInput::Disconnected { link });
        }
    }

    fn forget(&mut self, io: &mut Loop, link: Link) {
        self.abandon(io, link);
        self.links.remove(&link);
    }

    /// Its connection, if any, is no longer the link's.
    fn abandon(&mut self, io: &mut Loop, link: Link) {
        let connection = self.links.get_mut(&link).and_then(|peer| peer.connection.take());
        if let Some(connection) = connection {
            self.connections.get_mut(&connection).expect("not closed yet").link = None;
            io.close_now(connection);
        }
    }

    fn own(&mut self, connection: ConnectionId, link: Link, came_in: bool) {
        self.slots.insert(connection.slot);
        self.connections.insert(connection, Connection { link: Some(link), came_in });
    }

    fn wake_at(&mut self, at: Instant) {
        self.wakeup = Some(self.wakeup.map_or(at, |wakeup| wakeup.min(at)));
    }

    fn link_of(&self, connection: ConnectionId) -> Option<Link> {
        self.connections.get(&connection)?.link
    }

    fn peer_of(&self, connection: ConnectionId) -> Option<(Link, &Peer)> {
        let link = self.link_of(connection)?;
        Some((link, self.links.get(&link)?))
    }
}

fn link_in(input: &PeerInput<'_>) -> Option<Link> {
    match input {
        PeerInput::Accepted { link, .. }
        | PeerInput::Connected { link }
        | PeerInput::DialFailed { link, .. }
        | PeerInput::Received { link, .. }
        | PeerInput::Sent { link }
        | PeerInput::Disconnected { link } => Some(*link),
        PeerInput::EpochsDurable => None,
    }
}

#[cfg(test)]
#[path = "peers_test.rs"]
mod tests;
