//! One event loop's clients: framing, sessions' order, reads, watches, replies. No I/O, no clock, no thread.
//!
//! Called by the driver of an event loop; one shard per loop. A shard owns its connections and its half of the tree
//! ([`crate::tree::Reader`]); everything else it learns from notices.
//!
//! Invariants:
//! 1. Replies leave in the order of the requests of their connection; a read sees exactly the writes before it.
//! 2. `version` is the newest zxid whose notice was acted on. Reads are answered at `version`, never ahead of it; so an
//!    event comes before any reply that reflects its change, and no change falls between a read and its watch.
//! 3. At most one send is in flight per connection, and nothing is appended to a buffer that the kernel reads.
//!
//! Limits: per connection `CONNECTION_REQUESTS_MAX` unanswered requests and `CONNECTION_OUTPUT_BYTES_SOFT` unsent
//! bytes: above, its socket is not read. `CONNECTION_OUTPUT_BYTES_MAX`, besides one large reply: it is closed. The
//! output of all connections together is bounded as well (`room.rs`), and so is their input (`input_room.rs`). The reads of
//! all connections share `TURN_BUDGET` a turn; one that needs more is answered in pieces (`long_reads.rs`).
//! Tested: shard_test.rs, tests/sim, tests/conformance.

mod ahead;
mod answering;
mod auth;
mod connection;
mod contract;
mod flow;
mod input_room;
mod intake;
mod large_requests;
mod long_reads;
mod looking;
mod multi_read;
mod notices;
mod reads;
mod room;
mod sending;
mod service;
mod silence;
mod slow;
mod tallies;
#[cfg(test)]
mod testing;
mod watch_requests;
mod watches;

pub use auth::{identities, user};
pub use connection::{Connection, Latency, Phase, Stats};
pub use contract::{Input, Output};
pub use large_requests::LargeRequests;
pub use looking::{CHILDREN_MAX, Child, DATA_BYTES_MAX, Found, Look, Unseen, Znode};
pub use room::Bounds;
pub use slow::SlowRequest;
pub use tallies::{Facts, Spread, Tallies};
pub use watches::{Modes, Table, Watches};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ConnectionId, HashKey, Instant, KeyedHasher, Map, Now, SessionId, ShardId, Zxid, limits};
use crate::messages::{Notice, Service};
use crate::tree::Reader;
use flow::Shares;
use long_reads::LongRead;
use slow::SlowRequests;
use watch_requests::NULL_PATH;

/// What a connection keeps of an emptied buffer: while few do, and always.
const SPARE_BYTES_LARGE: usize = 64 << 10;
const SPARE_BYTES_SMALL: usize = 4 << 10;

#[derive(Clone, Debug)]
pub struct Settings {
    pub tick: Duration,
    /// `jute.maxbuffer`.
    pub frame_bytes_max: usize,
    /// A connection without a session is closed after this.
    pub sessionless_timeout: Duration,
    /// A request that took so long is told of; `Duration::MAX`: none is.
    pub slow_request: Duration,
    pub skip_acl: bool,
    /// `user:digest` of the super user, if there is one.
    pub super_digest: Option<Arc<str>>,
    /// Units of divisible work in one turn: `limits::TURN_BUDGET`, or less to test what takes turns.
    pub turn_budget: usize,
    pub bounds: Bounds,
    /// Shared by all shards of a server.
    pub large_requests: LargeRequests,
    pub hash_key: HashKey,
    /// Whether clients are served from the start: a member of an ensemble waits for [`Input::Serve`].
    pub is_serving: bool,
}

pub struct Shard {
    reader: Reader,
    state: State,
}

/// All but the tree, so that a turn of reading can be lent beside it.
struct State {
    id: ShardId,
    settings: Settings,
    now: Now,
    version: Zxid,
    notices: VecDeque<Arc<Notice>>,
    connections: Vec<Option<Connection>>,
    sessions: Map<SessionId, ConnectionId>,
    watches: Watches,
    /// Scratch of an event: who is told, and its bytes.
    receivers: Vec<ConnectionId>,
    event: Vec<u8>,
    long_read: Option<LongRead>,
    /// Connections whose next read waits for a turn that has something left.
    waiting: VecDeque<ConnectionId>,
    /// Connections whose next answer waits for room.
    roomless: VecDeque<ConnectionId>,
    /// Bytes of output of all connections that are not sent yet.
    unsent: usize,
    /// Bytes of all emptied buffers that are kept.
    spare: usize,
    /// Bytes that all connections have brought and that aren't answered.
    held: usize,
    /// Connections of which nothing is read before there is room for it.
    unheard: VecDeque<ConnectionId>,
    /// These are served just now.
    serves_waiting: bool,
    /// What is left of this turn's budget, for the reads of all connections together.
    left: usize,
    dirty: Vec<ConnectionId>,
    /// Connections with nothing new but an event that reached many.
    told: VecDeque<ConnectionId>,
    /// Connections that were answered and have sent more than was taken.
    answered: Vec<ConnectionId>,
    /// Numbers turns.
    turn: u64,
    /// Requests taken in this turn.
    taken: usize,
    shares: Shares,
    touched: Vec<SessionId>,
    /// Connections whose sockets are not read just now; some may be gone.
    paused: BTreeSet<ConnectionId>,
    /// When silent connections are looked for and touches are sent.
    next_sweep: Instant,
    /// Connections by the quarter of a tick in which their silence is looked at.
    silences: BTreeMap<u64, Vec<ConnectionId>>,
    /// Time in which nobody could be heard.
    excused: Duration,
    was_deaf: bool,
    /// The server stops: who comes now is closed.
    is_stopping: bool,
    service: Service,
    count: usize,
    received: u64,
    sent: u64,
    bytes_received: u64,
    tallies: Tallies,
    slow: SlowRequests,
}

impl Shard {
    pub fn new(id: ShardId, settings: Settings, mut reader: Reader, now: Now) -> Shard {
        let hasher = KeyedHasher(settings.hash_key);
        // The floor is announced here and not at the first turn: what is published between the driver's look at the
        // version and that turn would raise it above the version which the turn acts on.
        let version = reader.enter().floor();
        let state = State {
            id,
            version,
            notices: VecDeque::new(),
            connections: vec![],
            sessions: Map::with_hasher(hasher),
            watches: Watches::new(settings.hash_key),
            receivers: vec![],
            event: vec![],
            long_read: None,
            waiting: VecDeque::new(),
            roomless: VecDeque::new(),
            unsent: 0,
            spare: 0,
            held: 0,
            unheard: VecDeque::new(),
            serves_waiting: false,
            left: settings.turn_budget,
            dirty: vec![],
            told: VecDeque::new(),
            answered: vec![],
            turn: 1,
            taken: 0,
            shares: Shares::default(),
            touched: vec![],
            paused: BTreeSet::new(),
            next_sweep: now.instant + settings.tick / 4,
            silences: BTreeMap::new(),
            excused: Duration::ZERO,
            was_deaf: false,
            is_stopping: false,
            service: if settings.is_serving { Service::All } else { Service::None },
            count: 0,
            received: 0,
            sent: 0,
            bytes_received: 0,
            tallies: Tallies::default(),
            slow: SlowRequests::default(),
            settings,
            now,
        };
        Shard { reader, state }
    }

    /// Tells the shard one thing. `now` never steps back.
    pub fn step(&mut self, now: Now, input: Input<'_>, outputs: &mut Vec<Output>) {
        assert!(now.instant >= self.state.now.instant, "the monotone clock stepped back");
        self.state.now = now;
        match input {
            Input::Accepted { connection, address } => self.state.on_accepted(connection, address),
            Input::Received { connection, bytes } => {
                let reading = self.reader.enter();
                self.state.on_received(&reading, connection, bytes, outputs);
            }
            Input::Sent { connection, buffer } => {
                let reading = self.reader.enter();
                self.state.on_sent(&reading, connection, buffer, outputs);
                self.state.let_in(&reading, outputs);
            }
            // ZooKeeper takes the end of input for the end of the connection. A four-letter word is answered first.
            Input::Ended { connection } => self.state.begin_close(connection),
            Input::Closed { connection } => {
                self.state.on_closed(connection);
                self.state.let_in(&self.reader.enter(), outputs);
            }
            Input::Notice(notice) => self.state.notices.push_back(notice),
            Input::Published { zxid } => {
                self.state.act_on_notices(&self.reader.enter(), zxid, outputs);
                self.reader.raise(self.state.floor(zxid));
            }
            Input::Wakeup => {
                if self.state.has_long_work() {
                    self.state.go_on(&self.reader.enter(), outputs);
                    self.reader.raise(self.state.floor(self.state.version));
                }
                self.state.sweep(outputs);
                self.state.let_in(&self.reader.enter(), outputs);
            }
            Input::Serve(service) => self.state.serve(service, outputs),
            Input::Deaf => self.state.was_deaf = true,
            Input::TurnEnd => {
                self.state.left = self.state.settings.turn_budget;
                self.state.turn += 1;
                self.state.taken = 0;
                self.state.hear_on(outputs);
                // Replies don't wait for the requests that they make room for.
                self.state.flush(outputs);
                self.state.go_on_with_answered(&self.reader.enter(), outputs);
                // It isn't at the cost of those who wait for their turn.
                self.state.taken = 0;
                self.state.slow.tell(outputs);
            }
        }
    }

    pub fn next_wakeup(&self) -> Option<Instant> {
        if self.state.has_long_work() {
            return Some(self.state.now.instant);
        }
        // Also without a connection: what the last ones did is still to be reported.
        (self.state.count > 0 || !self.state.touched.is_empty()).then_some(self.state.next_sweep)
    }

    /// The driver's answer to [`Output::Word`]: sent, and then the connection is closed.
    pub fn finish_with(&mut self, connection: ConnectionId, text: &[u8]) {
        if let Some(found) = self.state.connection(connection) {
            found.output.extend_from_slice(text);
            found.phase = Phase::Closing;
            found.awaits_text = false;
            self.state.mark_dirty(connection);
        }
    }

    /// The server stops. Nothing more is taken; requests taken already are answered, then the connection is closed.
    /// Sessions live on. How long that may take is the driver's business.
    pub fn close_all(&mut self) {
        self.state.is_stopping = true;
        let ids: Vec<ConnectionId> = self.connections().map(|connection| connection.id).collect();
        for id in ids {
            let Some(connection) = self.state.connection(id) else { continue };
            let is_asked = matches!(connection.phase, Phase::Active { .. }) && !connection.pending.is_empty();
            connection.is_draining = is_asked;
            if !is_asked {
                self.state.begin_close(id);
            }
        }
    }

    /// The tree was made anew: from here on it is read through `reader`. What was said of the old one is forgotten, and
    /// nobody who was served from it is served on.
    pub fn restart(&mut self, mut reader: Reader) {
        self.state.forget_tree();
        // As in `new`: the floor is announced at once.
        self.state.version = reader.enter().floor();
        self.reader = reader;
    }

    /// Clients are served; else only four-letter words are answered.
    pub fn is_serving(&self) -> bool {
        matches!(self.state.service, Service::All | Service::ReadOnly)
    }

    /// `crst`: the counters of each connection begin anew.
    pub fn reset_connections(&mut self) {
        for connection in self.state.connections.iter_mut().flatten() {
            connection.stats.reset();
        }
    }

    /// `srst`: the shard's counters begin anew.
    pub fn reset(&mut self) {
        self.state.received = 0;
        self.state.sent = 0;
        self.state.bytes_received = 0;
        self.state.tallies = Tallies::default();
    }

    /// Sessions with the paths of their data watches, in no particular order. The null path is called so, as in Java.
    pub fn watched(&self) -> impl Iterator<Item = (SessionId, Vec<crate::base::Path>)> {
        let null = crate::base::Path::new(b"null");
        self.connections().filter_map(move |connection| {
            let paths = self.state.watches.paths_of(Table::Data, connection.id);
            let named = paths.map(|path| if path.bytes() == NULL_PATH { &null } else { path });
            let paths: Vec<_> = named.cloned().collect();
            connection.session().filter(|_| !paths.is_empty()).map(|session| (session, paths))
        })
    }

    /// Hashes of all paths with data watches, each once: other shards, which have the same key, may watch the same.
    pub fn watched_hashes(&self) -> Vec<u64> {
        self.state.watches.hashes(Table::Data)
    }

    /// How long from now each connection may stay silent, at least.
    pub fn patience_left(&self, connection: &Connection) -> Duration {
        let quarter = (self.state.settings.tick / 4).as_nanos() as u64;
        Instant(connection.due.saturating_mul(quarter)).since(self.state.heard_now())
    }

    /// Whether a connection that is being closed is so because others need the room.
    pub fn is_cut_for_room(&self, id: ConnectionId) -> bool {
        let found = self.state.connections.get(id.slot as usize).and_then(Option::as_ref);
        found.is_some_and(|connection| connection.id == id && connection.is_cut_for_room)
    }

    pub fn connections_count(&self) -> usize {
        self.state.count
    }

    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.state.connections.iter().flatten()
    }

    pub fn facts(&self) -> Facts {
        Facts {
            connections: self.state.count as u64,
            outstanding: self.connections().map(|connection| connection.pending.len() as u64).sum(),
            received: self.state.received,
            sent: self.state.sent,
            bytes_received: self.state.bytes_received,
            watches: (self.state.watches.counts(Table::Data).watches
                + self.state.watches.counts(Table::Child).watches) as u64,
            data_watches: self.state.watches.counts(Table::Data),
            latency: self.state.tallies.latency(),
        }
    }

    pub fn tallies(&self) -> &Tallies {
        &self.state.tallies
    }

    pub fn id(&self) -> ShardId {
        self.state.id
    }

    /// The newest version that could be acted on.
    pub fn published(&self) -> Zxid {
        self.reader.published()
    }

    /// Everything up to here was acted on.
    pub fn version(&self) -> Zxid {
        self.state.version
    }
}

impl State {
    fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id.slot as usize)?.as_mut().filter(|connection| connection.id == id)
    }

    fn on_accepted(&mut self, id: ConnectionId, address: SocketAddr) {
        let slot = id.slot as usize;
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, || None);
        }
        assert!(self.connections[slot].is_none(), "a slot is used again only after Closed");
        let mut connection = Connection::new(id, address, self.heard_now());
        connection.stats.established = self.now.wall.0;
        connection.large_threshold = self.settings.large_requests.threshold();
        self.connections[slot] = Some(connection);
        if self.count == 0 {
            self.next_sweep = self.now.instant + self.settings.tick / 4;
        }
        self.count += 1;
        if self.is_stopping {
            return self.begin_close(id);
        }
        self.watch_silence(id);
    }

    fn on_closed(&mut self, id: ConnectionId) {
        if self.connection(id).is_none() {
            return;
        }
        let connection = self.connections[id.slot as usize].take().expect("looked at just now");
        self.count -= 1;
        self.unsent -= connection.weight;
        self.spare -= connection.spare_weight;
        self.held -= connection.held;
        self.forget_shares(&connection);
        self.forget_large(&connection);
        if let Some(session) = connection.session()
            && self.sessions.get(&session) == Some(&id)
        {
            self.sessions.remove(&session);
        }
        self.watches.remove_connection(id);
    }

    fn on_sent(
        &mut self,
        reading: &crate::tree::Reading<'_>,
        id: ConnectionId,
        mut buffer: Vec<u8>,
        outputs: &mut Vec<Output>,
    ) {
        let is_room_for_spare = self.spare < limits::SPARE_BYTES_MAX;
        let Some(connection) = self.connection(id) else { return };
        connection.sending = 0;
        let kept = if is_room_for_spare { SPARE_BYTES_LARGE } else { SPARE_BYTES_SMALL };
        if buffer.capacity() <= kept {
            buffer.clear();
            connection.spare = buffer;
        }
        self.weigh(id);
        let Some(connection) = self.connection(id) else { return };
        if !connection.output.is_empty() || connection.is_closing() {
            self.mark_dirty(id);
        }
        self.advance(reading, id, outputs);
    }

    fn mark_dirty(&mut self, id: ConnectionId) {
        self.weigh(id);
        if let Some(connection) = self.connection(id)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    /// No more input; closed when all that is answered is sent.
    fn begin_close(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else { return };
        if let Some(session) = connection.session()
            && self.sessions.get(&session) == Some(&id)
        {
            self.sessions.remove(&session);
        }
        let Some(connection) = self.connection(id) else { return };
        connection.phase = Phase::Closing;
        connection.input = vec![];
        connection.input_used = 0;
        while connection.unqueue().is_some() {}
        if connection.gap.is_none() {
            // A long read that nobody waits for any more was all that was left.
            connection.large_asked = 0;
        }
        self.count_shares(id);
        self.weigh_input(id);
        self.watches.remove_connection(id);
        self.watch_silence(id);
        self.mark_dirty(id);
    }
}

#[cfg(test)]
#[path = "shard_test.rs"]
mod tests;
