//! Room for output: what all connections of a shard together have not sent yet is bounded, however many don't read.
//!
//! While there is more than [`Bounds::output_bytes`], nothing is taken from a connection that has something unsent, and
//! only small answers are given to the others; who asks for more stands in line ([`State::roomless`]) until there is
//! room, and then gets one answer. An answer's size isn't known before it is made, so that one may go beyond the bound,
//! once it was let in below it.
//!
//! Nobody waits for ever: a connection with nothing unsent waits for the others only, and of these, whoever has taken
//! nothing for a tick is cut off as long as room is lacking, the longest first. Its session lives on.
//!
//! Two kinds of output aren't asked for, or asked for long ago: events, and the reads that must be answered before a write's
//! own answer. From twice the bound on, a connection which these would add much to is closed.
//!
//! Tested: room_test.rs, tests/sim.

use crate::base::{ConnectionId, Zxid, limits};
use crate::tree::Reading;
use crate::wire::Opcode;
use crate::wire::client::GetDataRequest;

use super::connection::{Connection, Pending};
use super::{Output, State, reads};

/// What a turn, and what all connections together may take. Tests take less.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Unsent bytes of all connections.
    pub output_bytes: usize,
    /// Bytes that all connections have brought and that aren't answered.
    pub input_bytes: usize,
    /// Requests taken of one connection in a turn, and of all that wait for theirs.
    pub turn_requests: usize,
    pub turn_requests_waiting: usize,
    /// Unanswered writes that the connections share, and what each of them may have all the same.
    pub writes: usize,
    pub writes_share: usize,
    /// Sends of nothing but a wide event's notices in a turn.
    pub turn_notices: usize,
}

impl Bounds {
    pub const DEFAULT: Bounds = Bounds {
        output_bytes: limits::OUTPUT_BYTES_SOFT,
        input_bytes: limits::INPUT_BYTES_SOFT,
        turn_requests: limits::TURN_REQUESTS,
        turn_requests_waiting: limits::TURN_REQUESTS_WAITING,
        writes: limits::WRITES_SOFT,
        writes_share: limits::WRITES_SHARE,
        turn_notices: limits::TURN_NOTICES,
    };

    /// With no more writes to share than the requests that an operator wants under way.
    pub fn of_requests(most: Option<usize>) -> Bounds {
        let most = most.unwrap_or(usize::MAX).max(1);
        let bounds = Bounds::DEFAULT;
        Bounds { writes: bounds.writes.min(most), writes_share: bounds.writes_share.min(most), ..bounds }
    }
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds::DEFAULT
    }
}

/// Data that is sent whether there is room or not, to who has taken everything else.
const SMALL_BYTES: usize = 4 << 10;

/// What a connection may have unsent while there is twice too much.
const TOLERATED_BYTES: usize = 64 << 10;

impl State {
    pub(super) fn has_room(&self) -> bool {
        self.unsent < self.settings.bounds.output_bytes
    }

    /// Who has something unsent waits for the others.
    pub(super) fn is_room_scarce(&self) -> bool {
        !self.has_room() || !self.roomless.is_empty()
    }

    pub(super) fn is_out_of_room(&self) -> bool {
        self.unsent >= 2 * self.settings.bounds.output_bytes
    }

    /// To be called when what is unsent of a connection has changed.
    pub(super) fn weigh(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else { return };
        let unsent = connection.unsent();
        let before = std::mem::replace(&mut connection.weight, unsent);
        let empty = if connection.output.is_empty() { connection.output.capacity() } else { 0 };
        let spare = connection.spare.capacity() + empty;
        let spare_before = std::mem::replace(&mut connection.spare_weight, spare);
        self.unsent = self.unsent + unsent - before;
        self.spare = self.spare + spare - spare_before;
    }

    /// This connection is to be answered when there is room.
    pub(super) fn wait_for_room(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id)
            && !connection.lacks_room
        {
            connection.lacks_room = true;
            self.roomless.push_back(id);
        }
    }

    /// Goes on with those who lack room, as far as there is some.
    pub(super) fn let_in(&mut self, reading: &Reading<'_>, outputs: &mut Vec<Output>) {
        while self.has_room()
            && let Some(id) = self.roomless.pop_front()
        {
            if let Some(connection) = self.connection(id) {
                connection.lacks_room = false;
                self.advance(reading, id, outputs);
            }
        }
    }

    /// Whether a read may be answered now. `is_urgent`: its connection's next answer can't wait.
    pub(super) fn is_let_in(
        &self,
        reading: &Reading<'_>,
        (opcode, body): (Opcode, &[u8]),
        is_urgent: bool,
    ) -> bool {
        let has_room = if is_urgent { !self.is_out_of_room() } else { self.has_room() };
        has_room || is_small(reading, self.version, opcode, body)
    }

    /// The same for the read that comes next on a connection, when it can't wait.
    pub(super) fn has_room_for_next(&mut self, reading: &Reading<'_>, id: ConnectionId) -> bool {
        if !self.is_out_of_room() {
            return true;
        }
        let version = self.version;
        let Some(connection) = self.connection(id) else { return true };
        match connection.pending.front() {
            Some(Pending::Read { opcode, body, .. }) => {
                connection.unsent() <= TOLERATED_BYTES && is_small(reading, version, *opcode, body)
            }
            Some(Pending::Write { .. } | Pending::Refused { .. }) | None => true,
        }
    }

    /// An event was added to what is unsent of this connection.
    pub(super) fn is_overfed(&mut self, id: ConnectionId) -> bool {
        let is_out_of_room = self.is_out_of_room();
        self.connection(id).is_some_and(|connection| {
            connection.is_deaf() || is_out_of_room && connection.unsent() > TOLERATED_BYTES
        })
    }

    /// Cuts off who has taken nothing for a tick, as long as there is no room.
    pub(super) fn make_room(&mut self, outputs: &mut Vec<Output>) {
        if self.has_room() {
            return;
        }
        let (now, patience) = (self.heard_now(), self.settings.tick);
        let enough = self.settings.bounds.output_bytes / 4;
        let all = self.connections.iter().flatten();
        let going: usize = all.clone().filter(|one| one.close_asked).map(Connection::unsent).sum();
        let mut excess = self.unsent.saturating_sub(going).saturating_sub(enough);
        let is_stuck = |one: &&Connection| {
            one.sending > 0 && !one.close_asked && now.since(one.sending_since) >= patience
        };
        let mut stuck: Vec<_> =
            all.filter(is_stuck).map(|one| (one.sending_since, one.id, one.unsent())).collect();
        stuck.sort_unstable_by_key(|(since, id, _)| (*since, id.slot));
        for (_, id, unsent) in stuck {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(unsent);
            if let Some(connection) = self.connection(id) {
                connection.is_cut_for_room = true;
                tracing::warn!(
                    address = %connection.address, bytes = unsent,
                    "closing a connection: the client takes nothing of what it is sent, and there is no room for more of that"
                );
            }
            self.cut_off(id, outputs);
        }
    }

    /// Closed without regard to what is unsent. A peer that takes nothing would keep a closing connection open for ever.
    pub(super) fn cut_off(&mut self, id: ConnectionId, outputs: &mut Vec<Output>) {
        self.begin_close(id);
        if let Some(connection) = self.connection(id) {
            connection.output = vec![];
            connection.gap = None;
            connection.close_asked = true;
            outputs.push(Output::Abort { connection: id });
        }
        self.weigh(id);
    }
}

fn is_small(reading: &Reading<'_>, at: Zxid, opcode: Opcode, body: &[u8]) -> bool {
    match opcode {
        Opcode::Exists
        | Opcode::Ping
        | Opcode::AddWatch
        | Opcode::CheckWatches
        | Opcode::RemoveWatches
        | Opcode::WhoAmI => true,
        Opcode::GetData => {
            let Ok(request) = reads::decode::<GetDataRequest<'_>>(body) else { return true };
            reading.node(request.path.as_bytes(), at).is_none_or(|node| node.data_bytes() <= SMALL_BYTES)
        }
        _ => false,
    }
}

impl Connection {
    /// Bytes that its client hasn't taken.
    pub fn unsent(&self) -> usize {
        self.output.len() + self.gap.as_ref().map_or(0, Vec::len) + self.sending
    }
}

#[cfg(test)]
#[path = "room_test.rs"]
mod tests;
