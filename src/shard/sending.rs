//! What is sent when a turn ends: one send per connection, and of a wide event a part.
//!
//! Called at the end of a turn (`mod.rs`). Tested: flow_test.rs, shard_test.rs.

use crate::base::ConnectionId;

use super::{Output, State};

impl State {
    /// A wide event reached this connection: it is sent in one of the next turns, unless something else is before.
    pub(super) fn mark_told(&mut self, id: ConnectionId) {
        self.weigh(id);
        if let Some(connection) = self.connection(id)
            && !connection.told
        {
            connection.told = true;
            self.told.push_back(id);
        }
    }

    /// End of turn: what was collected goes out, one send per connection. Where many were told of one event, a part of them:
    /// each send costs the kernel more than all of our part in it.
    pub(super) fn flush(&mut self, outputs: &mut Vec<Output>) {
        self.flush_replies(outputs);
        let enough = outputs.len() + self.settings.bounds.turn_notices;
        while outputs.len() < enough
            && let Some(id) = self.told.pop_front()
        {
            if let Some(connection) = self.connection(id) {
                connection.told = false;
                self.send_out(id, outputs);
            }
        }
    }

    pub(super) fn flush_replies(&mut self, outputs: &mut Vec<Output>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for &id in &dirty {
            if let Some(connection) = self.connection(id) {
                connection.dirty = false;
                self.send_out(id, outputs);
            }
        }
        dirty.clear();
        self.dirty = dirty;
    }

    fn send_out(&mut self, id: ConnectionId, outputs: &mut Vec<Output>) {
        let now = self.heard_now();
        let Some(connection) = self.connection(id) else { return };
        if connection.sending > 0 || connection.close_asked || connection.awaits_text {
            return;
        }
        let spare = std::mem::take(&mut connection.spare);
        // With a gap, only what precedes it; what follows waits for the long read.
        let ready = match &mut connection.gap {
            None => {
                connection.large = 0;
                &mut connection.output
            }
            Some(before) => before,
        };
        if ready.is_empty() {
            connection.spare = spare;
            if connection.is_closing() && connection.gap.is_none() {
                connection.close_asked = true;
                outputs.push(Output::Close { connection: id });
            }
            return;
        }
        let bytes = std::mem::replace(ready, spare);
        let length = bytes.len();
        connection.sending = length;
        connection.sending_since = now;
        self.tallies.bytes_sent += length as u64;
        outputs.push(Output::Send { connection: id, bytes });
    }
}
