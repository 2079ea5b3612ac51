//! Whether clients are served: a member of an ensemble without a leader serves none, and neither does one whose tree is made
//! anew.
//!
//! Who is connected then is closed, as by a server that fell: the session lives on, and what was asked and not answered
//! may or may not have happened. Connections are accepted all the same, since four-letter words are answered; whoever sends
//! something else is closed without a word ([`State::is_refused`]), as ZooKeeper does.
//!
//! A member that finds no leader may serve reads ([`Service::ReadOnly`]): only clients that say they take a read-only
//! server, since others would take what they read for the ensemble's newest. Writes are the replica's to refuse.
//! Tested: service_test.rs.

use crate::base::ConnectionId;
use crate::messages::Service;

use super::State;
use super::connection::{Connection, Phase};

/// Bytes of a four-letter word; less may still become one.
const WORD_BYTES: usize = 4;

impl State {
    pub(super) fn serve(&mut self, service: Service) {
        self.service = service;
        if service == Service::None {
            self.close_clients();
        }
    }

    pub(super) fn forget_tree(&mut self) {
        self.close_clients();
        self.notices.clear();
        self.waiting.clear();
        self.roomless.clear();
    }

    /// All but those that may still send a word, or are answered one.
    fn close_clients(&mut self) {
        let is_client = |connection: &&Connection| match connection.phase {
            Phase::Greeting => connection.input.len() >= WORD_BYTES,
            Phase::Connecting { .. } | Phase::Active { .. } => true,
            // Its output still goes out.
            Phase::Closing => connection.gap.is_some(),
        };
        let clients: Vec<ConnectionId> =
            self.connections.iter().flatten().filter(is_client).map(|connection| connection.id).collect();
        for id in clients {
            if let Some(connection) = self.connection(id)
                && let Some(before) = connection.gap.take()
            {
                // A long read would have filled it; what follows it can't be sent without it.
                connection.output = before;
            }
            self.begin_close(id);
        }
        self.long_read = None;
    }

    /// Whether a client whose connect request says this of read-only servers may have a session.
    pub(super) fn admits(&self, read_only: Option<bool>) -> bool {
        self.service != Service::ReadOnly || read_only == Some(true)
    }

    /// What came on a connection that says who it is only now. False while it may become a word.
    pub(super) fn is_refused(&self, greeting: &[u8]) -> bool {
        self.service == Service::None && greeting.len() >= WORD_BYTES
    }
}

#[cfg(test)]
#[path = "service_test.rs"]
mod tests;
