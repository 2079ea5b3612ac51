//! Large requests: the bytes of all that are not answered are bounded, over all event loops of the server
//! (`largeRequestThreshold`, `largeRequestMaxBytes`; ZooKeeper 3.9's `ZooKeeperServer.checkRequestSize…`).
//!
//! Looked at twice, and who fails is closed without a word, his session living on:
//! 1. When the length of a frame is known, before the rest is there: the frame's length, beside what is in flight. Every frame
//!    is looked at so, also a connect request.
//! 2. When it is whole: the body's length behind the request header. It is in flight from then until it is answered,
//!    auth and sasl excepted, which are answered at once.
//!
//! ZooKeeper counts a write whose connection was closed until it is decided; here it counts no longer, like all else of that
//! connection. Off by default. Tested: large_requests_test.rs, tests/conformance/large_requests.rs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::base::ConnectionId;
use crate::wire::Opcode;
use crate::wire::frame::{Frame, PREFIX_BYTES};

use super::State;
use super::connection::Connection;

/// What is large, how much of that there may be, and how much there is: clones share the count.
#[derive(Clone, Debug)]
pub struct LargeRequests {
    /// Longer is large. `usize::MAX`: nothing is.
    threshold: usize,
    bytes_max: usize,
    /// Nothing else is told through it: no order is needed.
    in_flight: Arc<AtomicUsize>,
}

impl Default for LargeRequests {
    /// Nothing is large.
    fn default() -> LargeRequests {
        LargeRequests::new(None, 0)
    }
}

impl LargeRequests {
    /// Both in bytes. `None`: nothing is large.
    pub fn new(threshold: Option<usize>, bytes_max: usize) -> LargeRequests {
        let in_flight = Arc::new(AtomicUsize::new(0));
        LargeRequests { threshold: threshold.unwrap_or(usize::MAX), bytes_max, in_flight }
    }

    /// Bytes of large requests that aren't answered, of the whole server.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn threshold(&self) -> usize {
        self.threshold
    }

    fn is_large(&self, length: usize) -> bool {
        length > self.threshold
    }

    fn fits(&self, length: usize) -> bool {
        self.in_flight().saturating_add(length) <= self.bytes_max
    }

    /// False, and nothing is taken, if it doesn't fit.
    fn take(&self, length: usize) -> bool {
        let added = |bytes: usize| bytes.checked_add(length).filter(|bytes| *bytes <= self.bytes_max);
        self.in_flight.fetch_update(Relaxed, Relaxed, added).is_ok()
    }

    fn give_back(&self, length: usize) {
        self.in_flight.fetch_sub(length, Relaxed);
    }
}

impl State {
    /// The length of a frame is known. False: the connection is closed.
    pub(super) fn may_begin(&mut self, id: ConnectionId, frame: &Frame) -> bool {
        let length = match frame {
            Frame::Complete { body } => body.len(),
            Frame::NeedMore { bytes } => bytes - PREFIX_BYTES,
            Frame::Bad(_) => 0,
        };
        if !self.settings.large_requests.is_large(length) {
            return true;
        }
        let fits = self.settings.large_requests.fits(length);
        let Some(connection) = self.connection(id) else { return false };
        // Once for each frame, however often more of it comes.
        if connection.has_begun {
            return true;
        }
        connection.has_begun = fits;
        fits || self.reject(id, length)
    }

    /// A request is whole. False: the connection is closed.
    pub(super) fn may_be_asked(&mut self, id: ConnectionId, opcode: i32, length: usize) -> bool {
        let large = &self.settings.large_requests;
        let is_of_the_connection = matches!(Opcode::from_i32(opcode), Some(Opcode::Auth | Opcode::Sasl));
        if !large.is_large(length) || is_of_the_connection {
            return true;
        }
        if !large.take(length) {
            return self.reject(id, length);
        }
        if let Some(connection) = self.connection(id) {
            connection.large_counted += length;
        }
        true
    }

    /// To be called when requests of this connection were taken, answered or given up.
    pub(super) fn count_large(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else { return };
        let (asked, counted) = (connection.large_asked, connection.large_counted);
        debug_assert!(asked <= counted, "what waits was counted when it came");
        if asked < counted {
            connection.large_counted = asked;
            self.settings.large_requests.give_back(counted - asked);
        }
    }

    /// The connection is no more.
    pub(super) fn forget_large(&mut self, connection: &Connection) {
        self.settings.large_requests.give_back(connection.large_counted);
    }

    fn reject(&mut self, id: ConnectionId, length: usize) -> bool {
        self.tallies.large_requests_rejected += 1;
        let in_flight = self.settings.large_requests.in_flight();
        if let Some(connection) = self.connection(id) {
            tracing::warn!(
                address = %connection.address, bytes = length, in_flight,
                "closing a connection: with its request there would be more than largeRequestMaxBytes of large ones"
            );
        }
        self.begin_close(id);
        false
    }
}

#[cfg(test)]
#[path = "large_requests_test.rs"]
mod tests;
