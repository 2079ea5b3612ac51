//! Byte streams between clients and the server, with the buffers and the faults of real ones.
//!
//! Up (client to server): bytes arrive in chunks cut anywhere, in order, each with its own delay; a paused socket holds
//! them. Down: the kernel takes what fits its buffer, and the server's send ends when all of it was taken; the client
//! reads in chunks cut anywhere. A connection ends by the client's close (all sent before it arrives), by a reset (what
//! is under way is lost), or silently (the server isn't told for long).

use std::collections::VecDeque;

use crate::base::ConnectionId;

/// What comes up a wire.
#[derive(Debug, PartialEq, Eq)]
pub enum Up {
    Bytes(Vec<u8>),
    /// The client closed its side.
    End,
}

#[derive(Debug)]
pub struct Socket {
    pub client: usize,
    pub shard: usize,
    /// Server life that this connection belongs to.
    pub life: u64,
    /// Once accepted, until closed by or to the server.
    pub connection: Option<ConnectionId>,
    pub client_open: bool,
    pub server_open: bool,

    /// Under way to the server, in order, each with an event of its own.
    pub up: VecDeque<Up>,
    /// When the last of them arrives.
    pub up_last_ns: u64,
    /// Arrived while paused.
    pub held: VecDeque<Up>,
    pub paused: bool,

    /// The server's send, and how much of it the kernel has taken.
    pub sending: Option<(Vec<u8>, usize)>,
    pub down: VecDeque<u8>,
    pub down_max: usize,
    pub reading: bool,
    /// The client doesn't read before this.
    pub deaf_until_ns: u64,
    pub close_asked: bool,
    /// The shard closed it since others need the room.
    pub for_room: bool,

    /// Bytes of frames seen by the tap, and whether the connect response has passed.
    pub greeted: bool,
    /// Watches that the requests sent on it can have left, at the most.
    pub watches_max: u64,
}

impl Socket {
    pub fn new(client: usize, shard: usize, life: u64, down_max: usize) -> Socket {
        Socket {
            client,
            shard,
            life,
            connection: None,
            client_open: true,
            server_open: true,
            up: VecDeque::new(),
            up_last_ns: 0,
            held: VecDeque::new(),
            paused: false,
            sending: None,
            down: VecDeque::new(),
            down_max,
            reading: false,
            deaf_until_ns: 0,
            close_asked: false,
            for_room: false,
            greeted: false,
            watches_max: 0,
        }
    }

    /// The kernel takes what fits. The buffer comes back when all was taken.
    pub fn fill(&mut self) -> Option<Vec<u8>> {
        let (bytes, at) = self.sending.as_mut()?;
        let room =
            if self.client_open { self.down_max - self.down.len().min(self.down_max) } else { usize::MAX };
        let take = room.min(bytes.len() - *at);
        if self.client_open {
            self.down.extend(&bytes[*at..*at + take]);
        }
        *at += take;
        let done = *at == bytes.len();
        if done { self.sending.take().map(|(bytes, _)| bytes) } else { None }
    }
}

/// The connection slots of one shard.
#[derive(Debug, Default)]
pub struct Slots {
    free: Vec<u32>,
    generations: Vec<u32>,
}

impl Slots {
    pub fn take(&mut self) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            self.generations.len() as u32 - 1
        });
        let generation = &mut self.generations[slot as usize];
        *generation += 1;
        ConnectionId { slot, generation: *generation }
    }

    pub fn give_back(&mut self, connection: ConnectionId) {
        self.free.push(connection.slot);
    }
}
