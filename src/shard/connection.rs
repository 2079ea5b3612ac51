//! One client connection: how far its handshake is, what it sent and what it waits for.
//!
//! ```text
//! Greeting ─connect frame─► Connecting ─session─► Active ─closeSession, refusal, fault─► Closing
//!     └──── four-letter word ──────────────────────────────────────────────────────────────┘
//! ```
//! Requests are answered in the order in which they came. Writes go to the replica at once and are pipelined; a read
//! waits while an earlier request of the same connection is unanswered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::{ConnectionId, Instant, SessionId, Zxid, host_address, limits};
use crate::messages::Identity;
use crate::wire::Opcode;

use super::flow::Counted;

#[derive(Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing decided yet: a connect request or a four-letter word.
    Greeting,
    /// The replica is asked for the session. `Some` if the request carried the readOnly byte, and so must the answer.
    Connecting {
        read_only: Option<bool>,
    },
    Active {
        session: SessionId,
        timeout_ms: i32,
    },
    /// Nothing more is read; closed when all output is sent.
    Closing,
}

/// A request that is not answered yet.
#[derive(Debug)]
pub enum Pending {
    /// With the replica.
    Write { xid: i32, opcode: Opcode, since: Instant, bytes: usize },
    /// Waits for its turn.
    Read { xid: i32, opcode: Opcode, body: Box<[u8]>, since: Instant },
    /// An opcode nobody knows: answered in its turn, and then the connection is closed.
    Refused { xid: i32 },
}

/// A large reply is followed by the next when it is sent: there is one per connection.
const SENDING_BYTES_SOFT: usize = 4 * limits::CONNECTION_OUTPUT_BYTES_SOFT;

/// Places in the queue that a connection keeps when it is empty: a few kilobytes.
const PENDING_KEPT: usize = 128;

impl Pending {
    fn is_write(&self) -> bool {
        matches!(self, Pending::Write { .. })
    }

    fn bytes(&self) -> usize {
        match self {
            Pending::Read { body, .. } => body.len(),
            Pending::Write { .. } | Pending::Refused { .. } => 0,
        }
    }

    fn write_bytes(&self) -> usize {
        match self {
            Pending::Write { bytes, .. } => *bytes,
            Pending::Read { .. } | Pending::Refused { .. } => 0,
        }
    }
}

#[derive(Debug)]
pub struct Connection {
    pub id: ConnectionId,
    pub address: SocketAddr,
    pub phase: Phase,
    pub identities: Arc<[Identity]>,
    /// Received and, from `input_used` on, not yet taken: part of a frame, or what flow control holds back.
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    /// An empty buffer that came back, for the next output.
    pub spare: Vec<u8>,
    /// A long read is being answered: what precedes its reply. `output` is what follows it, and waits.
    pub gap: Option<Vec<u8>>,
    /// Waits for its turn (`long_reads.rs`): listed in `State::waiting`.
    pub waits: bool,
    /// It waits for the long read that is under way: only one is at a time.
    pub is_long: bool,
    /// Of the setWatches at the head of the queue: paths gone through.
    pub done: usize,
    /// Bytes of the one large reply in `output`, if there is one.
    pub large: usize,
    /// Bytes handed to the driver to be sent; zero if none are.
    pub sending: usize,
    /// Since when, on the clock that stands still while nobody can be heard.
    pub sending_since: Instant,
    /// What it counts for in `State::unsent`, `State::spare` and `State::held`.
    pub weight: usize,
    pub spare_weight: usize,
    pub held: usize,
    /// Bytes of the large requests in `pending`, changed as that is, and what they count for in `State::settings.large_requests`
    /// just now. Above the threshold a request is large (`large_requests.rs`).
    pub large_asked: usize,
    pub large_counted: usize,
    pub large_threshold: usize,
    /// The first frame of `input` is large, and was let in when its length was known.
    pub has_begun: bool,
    /// Listed in `State::unheard`.
    pub is_unheard: bool,
    /// Since when the first frame of `input` has been incomplete, on the clock that stands still while nobody can be heard.
    pub incomplete_since: Option<Instant>,
    /// Listed in `State::roomless`.
    pub lacks_room: bool,
    pub paused: bool,
    /// In the shard's list of connections with new output.
    pub dirty: bool,
    /// The replica makes a getEphemerals answer for it, which may be long: one at a time, and nothing more is taken until it
    /// is here.
    pub asks: bool,
    /// About what the reads that wait will cost. Above a turn's budget nothing more is taken until they are answered: a
    /// write behind them would have them answered at once, when its own answer comes.
    pub owed: usize,
    /// A four-letter word is being answered: not closed before its text is sent.
    pub awaits_text: bool,
    /// `Output::Close` is out.
    pub close_asked: bool,
    /// It was closed because others need the room, and not for anything that it did.
    pub is_cut_for_room: bool,
    /// The server stops: nothing more is taken, and when all is answered the connection is closed.
    pub is_draining: bool,
    /// Changed by `queue`, `requeue` and `unqueue` alone.
    pub pending: VecDeque<Pending>,
    /// The writes among them.
    pub writes: usize,
    /// What it counts for in `State::shares`.
    pub counted: Counted,
    /// Requests taken in the turn of this number.
    pub taken: (u64, usize),
    /// Bytes of `input` that are taken.
    pub input_used: usize,
    /// Listed in `State::told`.
    pub told: bool,
    /// Listed in `State::answered`.
    pub answered: bool,
    /// Bodies of the reads among them, and of the writes.
    pub pending_bytes: usize,
    pub write_bytes: usize,
    /// On the clock that stands still while nobody can be heard (`silence.rs`).
    pub heard: Instant,
    /// When its silence is looked at next, on the same clock: the number of a quarter of a tick.
    pub due: u64,
    pub touched: bool,
    pub stats: Stats,
}

/// What `cons` shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub established: i64,
    pub received: u64,
    pub sent: u64,
    pub last_opcode: Option<i32>,
    pub last_cxid: i32,
    pub last_zxid: Zxid,
    pub last_response_ms: u64,
    pub latency_ms: Latency,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    pub last: u64,
    pub min: u64,
    pub max: u64,
    pub sum: u64,
    pub count: u64,
}

impl Stats {
    /// What `crst` does.
    pub fn reset(&mut self) {
        *self = Stats { established: self.established, ..Stats::default() };
    }
}

impl Latency {
    pub fn merge(&mut self, other: &Latency) {
        if other.count > 0 {
            self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
            self.max = self.max.max(other.max);
            self.sum += other.sum;
            self.count += other.count;
        }
    }

    pub fn add(&mut self, value: u64) {
        self.last = value;
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.sum += value;
        self.count += 1;
    }
}

impl Connection {
    pub fn new(id: ConnectionId, address: SocketAddr, now: Instant) -> Connection {
        let ip = Identity { scheme: "ip".into(), id: host_address(address.ip()) };
        Connection {
            id,
            address,
            phase: Phase::Greeting,
            identities: Arc::from([ip]),
            input: vec![],
            output: vec![],
            spare: vec![],
            gap: None,
            waits: false,
            is_long: false,
            done: 0,
            large: 0,
            sending: 0,
            sending_since: now,
            weight: 0,
            spare_weight: 0,
            held: 0,
            large_asked: 0,
            large_counted: 0,
            large_threshold: usize::MAX,
            has_begun: false,
            is_unheard: false,
            incomplete_since: None,
            lacks_room: false,
            paused: false,
            dirty: false,
            asks: false,
            owed: 0,
            awaits_text: false,
            close_asked: false,
            is_cut_for_room: false,
            is_draining: false,
            pending: VecDeque::new(),
            writes: 0,
            counted: Counted::default(),
            taken: (0, 0),
            input_used: 0,
            told: false,
            answered: false,
            pending_bytes: 0,
            write_bytes: 0,
            heard: now,
            due: u64::MAX,
            touched: false,
            stats: Stats::default(),
        }
    }

    /// No read is answered before the client has taken more of what there is for it.
    pub fn is_unread(&self) -> bool {
        self.output.len() > limits::CONNECTION_OUTPUT_BYTES_SOFT || self.sending > SENDING_BYTES_SOFT
    }

    pub fn queue(&mut self, pending: Pending) {
        self.add(&pending);
        self.pending.push_back(pending);
    }

    /// What was just taken comes first again.
    pub fn requeue(&mut self, pending: Pending) {
        self.add(&pending);
        self.pending.push_front(pending);
    }

    fn add(&mut self, pending: &Pending) {
        self.pending_bytes += pending.bytes();
        self.write_bytes += pending.write_bytes();
        self.large_asked += self.large_bytes(pending);
        self.writes += usize::from(pending.is_write());
    }

    /// What it counts among the large requests while it isn't answered.
    pub fn large_bytes(&self, pending: &Pending) -> usize {
        let bytes = pending.bytes() + pending.write_bytes();
        if bytes > self.large_threshold { bytes } else { 0 }
    }

    pub fn unqueue(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front()?;
        self.pending_bytes -= pending.bytes();
        self.write_bytes -= pending.write_bytes();
        self.large_asked -= self.large_bytes(&pending);
        self.writes -= usize::from(pending.is_write());
        if self.pending.is_empty() && self.pending.capacity() > PENDING_KEPT {
            self.pending = VecDeque::new();
        }
        Some(pending)
    }

    /// Received and not taken.
    pub fn untaken(&self) -> usize {
        self.input.len() - self.input_used
    }

    pub fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Active { session, .. } => Some(session),
            Phase::Greeting | Phase::Connecting { .. } | Phase::Closing => None,
        }
    }

    pub fn is_closing(&self) -> bool {
        self.phase == Phase::Closing
    }
}
