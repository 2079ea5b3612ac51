//! Clients' events that came while the replica takes no requests, kept in order until it does.
//!
//! Standalone, the loop leaves such events in the kernel's ring. A member of an ensemble can't: peers' bytes come through
//! the same ring, and what makes room, a follower's ACK or a leader's COMMIT, is among them. A second ring for peers would
//! cost a system call more in every turn; this costs something only while the pipeline is full. A peer's event is never
//! kept, so it overtakes clients' events, which are nobody's cause or consequence.
//!
//! Called by `one_loop.rs`. Short waits only copy. When [`BYTES_MAX`] are kept, every connection of which more comes is
//! paused, and TCP pushes back. Connections that the shard itself has paused stay so: what it wishes is noted here.
//! Limits: [`BYTES_MAX`] and what the kernel has handed over by the time a pause takes effect: at most a few receive
//! buffers per connection. Accepted sockets: as many as there are descriptors, as in the ring.
//! Tested: stash_test.rs.

use std::collections::VecDeque;

use crate::base::ConnectionId;
use crate::io::{AcceptedSocket, Event, Loop};

use super::slots::Slots;

/// Kept before connections are paused: some milliseconds of a busy server.
const BYTES_MAX: usize = 4 << 20;

/// A client's event that borrows nothing.
#[derive(Debug)]
pub enum Kept {
    Accepted(AcceptedSocket),
    Received(ConnectionId, Vec<u8>),
    Sent(ConnectionId, Vec<u8>),
    Ended(ConnectionId),
    Closed(ConnectionId),
}

impl Kept {
    /// None: nothing to act on.
    pub fn of(event: Event<'_>) -> Option<Kept> {
        Some(match event {
            Event::Accepted { socket, .. } => Kept::Accepted(socket),
            Event::Received { connection, bytes } => Kept::Received(connection, bytes.to_vec()),
            Event::Sent { connection, buffer } => Kept::Sent(connection, buffer),
            Event::Ended { connection } => Kept::Ended(connection),
            Event::Closed { connection, .. } => Kept::Closed(connection),
            Event::AcceptFailed { error, .. } => {
                tracing::warn!(%error, "no connection can be accepted");
                return None;
            }
            Event::Connected { .. } => unreachable!("no client is dialled"),
            Event::Woken => return None,
        })
    }
}

#[derive(Debug, Default)]
pub struct Stash {
    events: VecDeque<Kept>,
    bytes: usize,
    /// Paused here.
    paused: Vec<ConnectionId>,
    paused_slots: Slots,
    /// Paused by the shard.
    unwanted: Slots,
}

impl Stash {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Keeps a client's event. Some: this connection is to be paused.
    pub fn keep(&mut self, event: Event<'_>) -> Option<ConnectionId> {
        let kept = Kept::of(event)?;
        let received = match &kept {
            Kept::Received(connection, bytes) => {
                self.bytes += bytes.len();
                Some(*connection)
            }
            _ => None,
        };
        self.events.push_back(kept);
        received.filter(|connection| self.is_to_pause(*connection))
    }

    /// The oldest event. When the last one is out, those who were paused are read again.
    pub fn next(&mut self, io: &mut Loop) -> Option<Kept> {
        let kept = self.events.pop_front()?;
        if let Kept::Received(_, bytes) = &kept {
            self.bytes -= bytes.len();
        }
        if self.events.is_empty() {
            for connection in self.paused.drain(..) {
                self.paused_slots.remove(connection.slot);
                if !self.unwanted.contains(connection.slot) {
                    io.resume_receive(connection);
                }
            }
        }
        Some(kept)
    }

    /// The shard wants nothing more of this connection.
    pub fn on_pause(&mut self, connection: ConnectionId) {
        self.unwanted.insert(connection.slot);
    }

    /// It wants it again, or the connection is gone.
    pub fn on_resume(&mut self, connection: ConnectionId) {
        self.unwanted.remove(connection.slot);
    }

    fn is_to_pause(&mut self, connection: ConnectionId) -> bool {
        let is_due = self.bytes > BYTES_MAX
            && !self.unwanted.contains(connection.slot)
            && !self.paused_slots.contains(connection.slot);
        if is_due {
            self.paused_slots.insert(connection.slot);
            self.paused.push(connection);
        }
        is_due
    }
}

#[cfg(test)]
#[path = "stash_test.rs"]
mod tests;
