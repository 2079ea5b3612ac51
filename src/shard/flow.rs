//! Back-pressure: whether a connection's socket is read. Called whenever one of its queues has moved.

use crate::base::{ConnectionId, limits};

use super::connection::{Connection, Phase};
use super::{Output, State};

/// Bytes taken from a socket whose connection waits for long answers: they are moved once per answer.
const HELD_BYTES_MAX: usize = 16 << 10;

impl State {
    /// Reads the socket or lets TCP push back, as the queues say.
    pub(super) fn control_flow(&mut self, id: ConnectionId, outputs: &mut Vec<Output>) {
        let (limit, turn_budget) = (self.settings.frame_bytes_max, self.settings.turn_budget);
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
            Phase::Connecting { .. } => connection.input.len() > limit,
            _ => {
                let waits = connection.asks || connection.waits || connection.owed > turn_budget;
                waits && connection.input.len() > HELD_BYTES_MAX
            }
        };
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
