//! Back-pressure: whether a connection's requests are taken and its socket is read. Called whenever one of its queues has moved.
//!
//! Shares: of one connection `TURN_REQUESTS` requests are taken a turn; who has sent more waits for the next turns, which
//! all such share. And of about `WRITES_SOFT` unanswered writes those who have more to hand over have equal parts ([`Shares`]), so
//! that who comes with one stands behind few, and none of them behind another.
//! Tested: flow_test.rs, shard_test.rs.

use crate::base::{ConnectionId, limits};
use crate::messages::Service;

use super::connection::{Connection, Phase};
use super::{Bounds, Output, State};

/// Bytes taken from a socket whose connection waits for long answers: they are moved once per answer.
const HELD_BYTES_MAX: usize = 16 << 10;

/// Who has unanswered writes, and who waits to hand over more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Unanswered writes of all connections.
    pub writes: usize,
    /// Connections with at least one.
    pub writers: usize,
    /// Those of them that have sent more than was taken, or would be if they hadn't just been answered.
    pub contenders: usize,
}

/// What one connection counts for in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    writes: usize,
    contends: bool,
}

impl Shares {
    fn add(&mut self, counted: Counted) {
        self.writes += counted.writes;
        self.writers += usize::from(counted.writes > 0);
        self.contenders += usize::from(counted.contends);
    }

    fn subtract(&mut self, counted: Counted) {
        self.writes -= counted.writes;
        self.writers -= usize::from(counted.writes > 0);
        self.contenders -= usize::from(counted.contends);
    }

    /// Unanswered writes that one connection may have. While there are few altogether, who has a few and no more to come takes
    /// nothing from those who have; once there are many, who comes anew begins with little.
    fn of_one(self, one: Counted, bounds: &Bounds) -> usize {
        let sharing = match (self.writes < bounds.writes, one.contends) {
            (true, contends) => self.contenders + usize::from(!contends),
            (false, true) => self.contenders.max(self.writers),
            (false, false) => return bounds.writes_share,
        };
        (bounds.writes / sharing).max(bounds.writes_share)
    }
}

/// What decides whether a connection's next request is taken, beside its own queues.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    turn_budget: usize,
    is_room_scarce: bool,
    /// Nobody is served just now, and who is connected waits for that.
    is_held: bool,
    has_input_room: bool,
    shares: Shares,
    bounds: Bounds,
}

impl Gate {
    /// Whatever holds a connection ends with something that advances it: an answer, a send, its turn, room, or a leader.
    pub fn holds(self, connection: &Connection) -> bool {
        self.is_held
            || connection.asks
            || connection.waits
            || connection.lacks_room
            || connection.owed > self.turn_budget
            || self.has_its_share(connection)
            || self.is_room_scarce && connection.unsent() > 0
            || !self.has_input_room && connection.has_asked_much()
    }

    fn has_its_share(self, connection: &Connection) -> bool {
        connection.writes >= self.bounds.writes_share
            && connection.writes >= self.shares.of_one(connection.counted, &self.bounds)
    }
}

impl State {
    pub(super) fn gate(&self) -> Gate {
        Gate {
            turn_budget: self.settings.turn_budget,
            is_room_scarce: self.is_room_scarce(),
            is_held: self.service == Service::Held,
            has_input_room: self.has_input_room(),
            shares: self.shares,
            bounds: self.settings.bounds,
        }
    }

    /// To be called when a connection's writes, or what it has sent and wasn't taken, have changed.
    pub(super) fn count_shares(&mut self, id: ConnectionId) {
        let has_writes = |connection: &Connection| connection.writes > 0 || connection.answered;
        self.count_as(id, |connection| has_writes(connection) && connection.untaken() > 0);
    }

    /// The same while its input is being taken: whether anything is left of it is seen at the end.
    pub(super) fn count_writes(&mut self, id: ConnectionId) {
        self.count_as(id, |connection| connection.counted.contends);
    }

    fn count_as(&mut self, id: ConnectionId, contends: impl FnOnce(&Connection) -> bool) {
        let Some(connection) = self.connection(id) else { return };
        let now = Counted { writes: connection.writes, contends: contends(connection) };
        let before = std::mem::replace(&mut connection.counted, now);
        if now != before {
            self.shares.subtract(before);
            self.shares.add(now);
        }
    }

    /// The connection has gone.
    pub(super) fn forget_shares(&mut self, connection: &Connection) {
        self.shares.subtract(connection.counted);
    }

    /// Reads the socket or lets TCP push back, as the queues say.
    pub(super) fn control_flow(&mut self, id: ConnectionId, outputs: &mut Vec<Output>) {
        self.weigh_input(id);
        self.count_shares(id);
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
            // Who was answered is looked at again when it has handed over what that made room for: until then it stays as it was.
            _ => {
                let waits = connection.answered && connection.paused || gate.holds(connection);
                waits && connection.untaken() > HELD_BYTES_MAX
            }
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
