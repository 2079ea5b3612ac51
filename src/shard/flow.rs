//! Back-pressure: whether a connection's requests are taken and its socket is read. Called whenever one of its queues has moved.
//!
//! Shares: of one connection `TURN_REQUESTS` requests are taken a turn; who has sent more waits for the next turns, which
//! all such share. And once there are `WRITES_SOFT` unanswered writes, a connection has `WRITES_SHARE` of them at most, so
//! that who comes with one stands behind few.
//! Tested: flow_test.rs, shard_test.rs.

use crate::base::{ConnectionId, limits};
use crate::messages::Service;

use super::connection::{Connection, Phase};
use super::{Output, State};

/// Bytes taken from a socket whose connection waits for long answers: they are moved once per answer.
const HELD_BYTES_MAX: usize = 16 << 10;

/// What decides whether a connection's next request is taken, beside its own queues.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    turn_budget: usize,
    is_room_scarce: bool,
    /// Nobody is served just now, and who is connected waits for that.
    is_held: bool,
    has_input_room: bool,
    /// Unanswered writes that one connection may have.
    writes_max: usize,
}

impl Gate {
    /// Whatever holds a connection ends with something that advances it: an answer, a send, its turn, room, or a leader.
    pub fn holds(self, connection: &Connection) -> bool {
        self.is_held
            || connection.asks
            || connection.waits
            || connection.lacks_room
            || connection.owed > self.turn_budget
            || connection.writes >= self.writes_max
            || self.is_room_scarce && connection.unsent() > 0
            || !self.has_input_room && connection.has_asked_much()
    }
}

impl State {
    pub(super) fn gate(&self) -> Gate {
        let bounds = self.settings.bounds;
        let writes_max = if self.writes < bounds.writes { usize::MAX } else { bounds.writes_share };
        Gate {
            turn_budget: self.settings.turn_budget,
            is_room_scarce: self.is_room_scarce(),
            is_held: self.service == Service::Held,
            has_input_room: self.has_input_room(),
            writes_max,
        }
    }

    /// Reads the socket or lets TCP push back, as the queues say.
    pub(super) fn control_flow(&mut self, id: ConnectionId, outputs: &mut Vec<Output>) {
        self.weigh_input(id);
        self.wait_for_input_room(id);
        let (limit, gate) = (self.settings.frame_bytes_max, self.gate());
        let Some(connection) = self.connection(id) else { return };
        if connection.is_closing() {
            return;
        }
        if connection.is_draining && connection.pending.is_empty() {
            return self.begin_close(id);
        }
        if connection.is_deaf() {
            return self.drop_deaf(id);
        }
        // While a session is being made, what was pipelined behind the connect request waits here.
        let holds = match connection.phase {
            Phase::Connecting { .. } => connection.untaken() > limit,
            _ => gate.holds(connection) && connection.untaken() > HELD_BYTES_MAX,
        };
        let holds = holds || connection.waits_for_input_room();
        let wants_pause = is_congested(connection) || holds;
        let may_resume = connection.pending.len() <= limits::CONNECTION_REQUESTS_MAX / 2
            && connection.pending_bytes <= limits::CONNECTION_REQUEST_BYTES_MAX / 2
            && connection.output.len() <= limits::CONNECTION_OUTPUT_BYTES_SOFT / 2
            && !connection.is_unread()
            && !holds;
        if !connection.paused && wants_pause {
            connection.paused = true;
            self.paused.insert(id);
            outputs.push(Output::Pause { connection: id });
        } else if connection.paused && may_resume {
            connection.paused = false;
            self.paused.remove(&id);
            outputs.push(Output::Resume { connection: id });
        }
    }
}

pub fn is_congested(connection: &Connection) -> bool {
    connection.pending.len() >= limits::CONNECTION_REQUESTS_MAX
        || connection.pending_bytes > limits::CONNECTION_REQUEST_BYTES_MAX
        || connection.is_unread()
}

#[cfg(test)]
#[path = "flow_test.rs"]
mod tests;
