//! Whether clients are served: a member of an ensemble without a leader serves none, and neither does one whose tree is made
//! anew.
//!
//! Who is connected then is closed, as by a server that fell: the session lives on, and what was asked and not answered
//! may or may not have happened. Connections are accepted all the same, since four-letter words are answered; whoever sends
//! something else is closed without a word ([`State::is_refused`]), as ZooKeeper does.
//!
//! While a member that has lost its leader looks for the next one, for a moment at least ([`Service::Held`]), those are not closed
//! who wait for nothing and were heard of lately: what they ask is not taken until there is a leader, as if the way to us had become
//! long. Nothing is read for them meanwhile, since what we have may be old. Then the replica is told of each, as the new leader
//! knows nothing of who speaks through whom, and it closes those whose session has gone or moved. Who was silent for half its
//! timeout may have gone elsewhere (idle clients say something each third), and what it sent before may still come.
//!
//! A member that finds no leader may serve reads ([`Service::ReadOnly`]): only clients that say they take a read-only
//! server, since others would take what they read for the ensemble's newest. Writes are the replica's to refuse.
//! Tested: service_test.rs.

use std::time::Duration;

use crate::base::ConnectionId;
use crate::messages::{Client, Request, Service};

use super::connection::{Connection, Phase};
use super::{Output, State};

/// Bytes of a four-letter word; less may still become one.
const WORD_BYTES: usize = 4;

impl State {
    pub(super) fn serve(&mut self, service: Service, outputs: &mut Vec<Output>) {
        let before = std::mem::replace(&mut self.service, service);
        match (before, service) {
            (_, Service::Held) => self.close_all_but_the_idle(),
            (Service::Held, Service::All) => self.let_go_on(outputs),
            (_, Service::None) | (Service::Held, Service::ReadOnly) => self.close_clients(),
            (_, Service::All | Service::ReadOnly) => {}
        }
    }

    fn close_all_but_the_idle(&mut self) {
        let now = self.heard_now();
        let must_go = |connection: &&Connection| match connection.phase {
            Phase::Greeting => connection.input.len() >= WORD_BYTES,
            Phase::Connecting { .. } => true,
            Phase::Active { timeout_ms, .. } => {
                let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
                let waits = !connection.pending.is_empty() || connection.gap.is_some() || connection.paused;
                waits || connection.untaken() > 0 || now.since(connection.heard) > patience / 2
            }
            Phase::Closing => false,
        };
        let ids: Vec<ConnectionId> =
            self.connections.iter().flatten().filter(must_go).map(|connection| connection.id).collect();
        for id in ids {
            self.begin_close(id);
        }
    }

    /// What they have asked meanwhile is taken turn by turn.
    fn let_go_on(&mut self, outputs: &mut Vec<Output>) {
        let shard = self.id;
        let mut held = vec![];
        for connection in self.connections.iter().flatten() {
            let Phase::Active { session, timeout_ms } = connection.phase else { continue };
            held.push((connection.id, connection.untaken() > 0));
            let from = Client { shard, connection: connection.id };
            outputs.push(Output::Request(Request::Held { from, session, timeout_ms }));
        }
        for (id, has_asked) in held {
            if has_asked {
                self.wait_for_turn(id);
            } else {
                self.control_flow(id, outputs);
            }
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
        matches!(self.service, Service::None | Service::Held) && greeting.len() >= WORD_BYTES
    }
}

#[cfg(test)]
#[path = "service_test.rs"]
mod tests;
