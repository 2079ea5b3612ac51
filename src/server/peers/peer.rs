//! One link: where it stands, and what is queued for it.
//!
//! Called by `peers.rs` and `dial.rs`. Frames are shared with whoever else is sent the same; a copy is made only of the piece
//! that is in flight.
//! Tested: peers_test.rs.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::{Buf, Bytes};

use crate::base::{ConnectionId, Instant};

use super::dial::Place;

/// What one send carries at most: enough for the kernel to be busy, little enough to stay in the cache.
pub(super) const SEND_BYTES_MAX: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) state: State,
    pub(super) connection: Option<ConnectionId>,
    /// Shared with whoever else is sent the same; the first one from where it has been sent to.
    pub(super) queue: VecDeque<Bytes>,
    pub(super) queued: usize,
    /// Of sends, when none is in flight.
    pub(super) buffer: Vec<u8>,
    pub(super) is_sending: bool,
    /// Of the dial's step, of the send in flight, or of the close.
    pub(super) deadline: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum State {
    /// Names are being looked up.
    Resolving(Vec<Place>),
    Dialling {
        left: VecDeque<SocketAddr>,
        all_refused: bool,
    },
    Open,
    /// The replica has let go of it.
    Closing,
}

impl Peer {
    pub(super) fn new(state: State, connection: Option<ConnectionId>) -> Peer {
        Peer {
            state,
            connection,
            queue: VecDeque::new(),
            queued: 0,
            buffer: Vec::new(),
            is_sending: false,
            deadline: None,
        }
    }

    /// The next piece to send.
    pub(super) fn fill(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.buffer);
        while let Some(frame) = self.queue.front_mut() {
            let count = frame.len().min(SEND_BYTES_MAX - bytes.len());
            bytes.extend_from_slice(&frame[..count]);
            frame.advance(count);
            self.queued -= count;
            if !frame.is_empty() {
                break;
            }
            self.queue.pop_front();
        }
        bytes
    }
}
