//! What the table asks of a kernel ring and what comes back: the words on the seam between them.
//!
//! `uring` turns a [`Submission`] into a submission entry; `epoll` carries it out by readiness; `table_test.rs` answers it
//! by hand. Each accepted submission is answered by completions, the last of which says `more: false`.

use std::os::fd::RawFd;

use crate::base::limits;

/// What the kernel echoes back: kind 8 | generation 24 | slot 32. A stale generation is a bug, not a race: a slot is
/// used again only when nothing of it is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Accept = 1,
    Receive = 2,
    Send = 3,
    Wake = 4,
    Connect = 5,
    Persist = 6,
    CancelAccept = 0x11,
    CancelReceive = 0x12,
    CancelSend = 0x13,
    CancelWake = 0x14,
    CancelConnect = 0x15,
}

/// Generations count in 24 bits and wrap.
pub(super) const GENERATION_MASK: u32 = 0xff_ffff;

const _: () = assert!(limits::CONNECTIONS_MAX < 1 << 32, "a slot number is 32 bits wide");

impl Token {
    pub(super) fn new(kind: Kind, generation: u32, slot: u32) -> Token {
        debug_assert!(generation <= GENERATION_MASK);
        Token((kind as u64) << 56 | u64::from(generation) << 32 | u64::from(slot))
    }

    pub(super) fn kind(self) -> Kind {
        match (self.0 >> 56) as u8 {
            1 => Kind::Accept,
            2 => Kind::Receive,
            3 => Kind::Send,
            4 => Kind::Wake,
            5 => Kind::Connect,
            6 => Kind::Persist,
            0x11 => Kind::CancelAccept,
            0x12 => Kind::CancelReceive,
            0x13 => Kind::CancelSend,
            0x14 => Kind::CancelWake,
            0x15 => Kind::CancelConnect,
            other => panic!("the kernel echoes only tokens we made, and none has kind {other}"),
        }
    }

    pub(super) fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & GENERATION_MASK
    }

    pub(super) fn slot(self) -> u32 {
        self.0 as u32
    }
}

/// One operation for the kernel. In flight, from the table's view, from the moment it is queued.
#[derive(Clone, Copy, Debug)]
pub(super) enum Submission {
    /// Multishot: a completion per accepted socket, whose `result` is its descriptor, owned by the receiver.
    Accept { token: Token, fd: RawFd },
    /// Multishot: a completion per chunk, in a buffer of the ring's.
    Receive { token: Token, fd: RawFd },
    /// `bytes..bytes + length` belongs to the table's slot until the completion.
    Send { token: Token, fd: RawFd, bytes: *const u8, length: usize },
    /// Multishot: a completion per signal of an eventfd, which is never read.
    Wake { token: Token, fd: RawFd },
    /// `address..address + length` is a socket address that belongs to the table's slot until the completion.
    Connect { token: Token, fd: RawFd, address: *const libc::sockaddr_storage, length: u32 },
    /// `bytes..bytes + length` belongs to the table's file until the completion; they are durable then.
    Persist { token: Token, fd: RawFd, bytes: *const u8, length: usize, offset: u64 },
    /// Ends `target`, which completes for itself; this one's completion tells nothing but that it is over.
    Cancel { token: Token, target: Token, fd: RawFd },
}

/// Number of a receive buffer of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BufferId(pub(super) u16);

/// One answer. `result` is a count, a descriptor or a negated errno, as in a completion entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) token: Token,
    pub(super) result: i32,
    /// The operation goes on; false in its last completion.
    pub(super) more: bool,
    /// Filled with `result` bytes; the receiver gives it back to the ring.
    pub(super) buffer: Option<BufferId>,
}
