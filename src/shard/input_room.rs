//! Room for input: what all connections of a shard together have brought and aren't answered yet is bounded, however many
//! send half a frame and then nothing.
//!
//! It is parts of frames and requests that wait, those with the replica too. While there is more than
//! [`Bounds::input_bytes`](super::Bounds), nothing more is read of a connection that has more than a little of it: it stands
//! in line ([`State::unheard`]) until there is room. Who sends small requests, reads or writes, doesn't notice.
//!
//! Half frames may never become whole. So as long as room is lacking, whose frame has been incomplete for a tick is cut off,
//! the longest first; its session lives on. What waits for an answer needs no such rule: the replica gives answers, and who
//! doesn't take them is cut off for lack of room for output (`room.rs`).
//!
//! What the kernel had handed over before a socket was no longer read still comes. From twice the bound on, who brings more
//! than a little is cut off.
//!
//! Tested: input_room_test.rs.

use std::mem;

use crate::base::ConnectionId;
use crate::wire::frame::{Frame, split};

use super::connection::{Connection, Pending};
use super::{Output, State};

/// What a connection that is read again may bring before it is asked again whether there is room.
const HEARD_BYTES: usize = 64 << 10;

/// What a connection may hold whether there is room or not: some small requests.
const TOLERATED_BYTES: usize = 4 << 10;

impl State {
    /// Frames that are accepted must fit: several of them.
    fn input_bytes_max(&self) -> usize {
        self.settings.bounds.input_bytes.max(4 * self.settings.frame_bytes_max)
    }

    pub(super) fn has_input_room(&self) -> bool {
        self.held < self.input_bytes_max()
    }

    /// To be called when what a connection has brought or waits for has changed.
    pub(super) fn weigh_input(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else { return };
        let held = connection.brought();
        let before = mem::replace(&mut connection.held, held);
        self.held = self.held + held - before;
        self.count_large(id);
    }

    /// Without room, nothing more is read of who has brought much already.
    pub(super) fn wait_for_input_room(&mut self, id: ConnectionId) {
        if self.has_input_room() {
            return;
        }
        let Some(connection) = self.connection(id) else { return };
        if connection.held > TOLERATED_BYTES && !connection.is_unheard {
            connection.is_unheard = true;
            self.unheard.push_back(id);
        }
    }

    /// Once a turn: as many are read again as there is room for.
    pub(super) fn hear_on(&mut self, outputs: &mut Vec<Output>) {
        let mut room = self.input_bytes_max().saturating_sub(self.held);
        while room > 0
            && let Some(id) = self.unheard.pop_front()
        {
            if let Some(connection) = self.connection(id) {
                connection.is_unheard = false;
                room = room.saturating_sub(HEARD_BYTES);
                self.control_flow(id, outputs);
            }
        }
    }

    /// Cuts off whose frame doesn't become whole, as long as there is no room.
    pub(super) fn make_input_room(&mut self, outputs: &mut Vec<Output>) {
        if self.has_input_room() {
            return;
        }
        let (now, patience, enough) = (self.heard_now(), self.settings.tick, self.input_bytes_max() / 4);
        let limit = self.settings.frame_bytes_max;
        let all = self.connections.iter().flatten().filter(|one| !one.is_closing());
        let stuck = all.filter_map(|one| {
            let since = one.incomplete_since.filter(|since| now.since(*since) >= patience)?;
            // It may be whole by now, and wait for us.
            let is_incomplete = matches!(split(&one.input[one.input_used..], limit), Frame::NeedMore { .. });
            is_incomplete.then_some((since, one.id))
        });
        let mut stuck: Vec<_> = stuck.collect();
        stuck.sort_unstable_by_key(|(since, id)| (*since, id.slot));
        for (_, id) in stuck {
            if self.held <= enough {
                break;
            }
            self.refuse(id, "the rest of its request doesn't come", outputs);
        }
    }

    /// Something was received. There may be much too much.
    pub(super) fn refuse_input(&mut self, id: ConnectionId, outputs: &mut Vec<Output>) {
        if self.held >= 2 * self.input_bytes_max()
            && self.connection(id).is_some_and(|connection| connection.held > TOLERATED_BYTES)
        {
            self.refuse(id, "it sends on", outputs);
        }
    }

    fn refuse(&mut self, id: ConnectionId, why: &str, outputs: &mut Vec<Output>) {
        if let Some(connection) = self.connection(id) {
            connection.is_cut_for_room = true;
            tracing::warn!(
                address = %connection.address, bytes = connection.held,
                "closing a connection: {why}, and there is no room for more of what clients send"
            );
        }
        self.cut_off(id, outputs);
    }
}

impl Connection {
    /// Bytes that aren't answered. An empty buffer is kept only if it is small, and counts for nothing.
    fn brought(&self) -> usize {
        let input = if self.input.is_empty() { 0 } else { self.input.capacity() };
        input + self.asked()
    }

    fn asked(&self) -> usize {
        self.pending.len() * size_of::<Pending>() + self.pending_bytes + self.write_bytes
    }

    /// Without room its next request waits for the answers to those before.
    pub fn has_asked_much(&self) -> bool {
        self.asked() > TOLERATED_BYTES
    }

    /// It isn't read before there is room. What was answered since may have made it one of those who don't notice.
    pub fn waits_for_input_room(&self) -> bool {
        self.is_unheard && self.held > TOLERATED_BYTES
    }
}

#[cfg(test)]
#[path = "input_room_test.rs"]
mod tests;
