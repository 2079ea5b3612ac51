//! Who has been silent too long is closed; whose sessions live is told to the replica, four times a tick.
//!
//! Silence is measured on a clock of its own, which stands still while nobody can be heard: when this loop was late, and
//! while the driver takes nothing from the sockets ([`super::Input::Deaf`]), or all are held. A connection that the shard itself keeps from
//! being read, because its requests wait for the replica, isn't silent either.
//!
//! A connection is filed under the quarter of a tick in which its patience would end. Being heard doesn't file it anew:
//! who looks there finds out. So a sweep costs what is due, and not a look at every idle connection.
//!
//! Tested: silence_test.rs.

use std::time::Duration;

use crate::base::{ConnectionId, Instant, limits};
use crate::messages::{Request, Service};

use super::connection::Phase;
use super::{Output, State};

impl State {
    /// Now, on the clock of silence.
    pub(super) fn heard_now(&self) -> Instant {
        Instant(self.now.instant.0.saturating_sub(u64::try_from(self.excused.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn quarter(&self) -> Duration {
        self.settings.tick / 4
    }

    /// Files the connection where its patience ends, unless it is looked at before that anyway.
    pub(super) fn watch_silence(&mut self, id: ConnectionId) {
        let (sessionless, quarter) = (self.settings.sessionless_timeout, self.quarter());
        let Some(connection) = self.connection(id) else { return };
        let end = connection.heard + patience(&connection.phase, sessionless);
        let due = end.0 / (quarter.as_nanos() as u64).max(1) + 1;
        if due < connection.due {
            connection.due = due;
            self.silences.entry(due).or_default().push(id);
        }
    }

    /// What is due: touches, and connections whose patience may be over.
    pub(super) fn sweep(&mut self, outputs: &mut Vec<Output>) {
        if self.now.instant < self.next_sweep {
            return;
        }
        let quarter = self.quarter();
        // How late this sweep is, is time in which this loop heard nobody. With a full replica the whole of the time
        // since the last one counts as such, or part of it: nobody is closed for what we can't know.
        let late = self.now.instant.since(self.next_sweep);
        if std::mem::take(&mut self.was_deaf) || self.service == Service::Held {
            self.excused += late + quarter;
        } else if late > self.settings.tick {
            self.excused += late;
        }
        self.next_sweep = self.now.instant + quarter;
        self.touch_paused();
        self.make_room(outputs);
        self.make_input_room(outputs);
        self.report_touches(outputs);
        let now = self.heard_now().0 / (quarter.as_nanos() as u64).max(1);
        while let Some(entry) = self.silences.first_entry().filter(|entry| *entry.key() <= now) {
            let (due, ids) = entry.remove_entry();
            for id in ids {
                self.look_at(id, due, outputs);
            }
        }
    }

    /// Whoever can't be heard because its requests wait for us is taken to be alive: the connection and the session.
    fn touch_paused(&mut self) {
        let heard = self.heard_now();
        for id in std::mem::take(&mut self.paused) {
            let Some(connection) = self.connection(id).filter(|connection| connection.paused) else {
                continue;
            };
            let waits_for_us =
                (!connection.pending.is_empty() || connection.waits || connection.waits_for_input_room())
                    && connection.output.len() <= limits::CONNECTION_OUTPUT_BYTES_SOFT;
            let mut touched = None;
            if waits_for_us {
                connection.heard = heard;
                if let Phase::Active { session, .. } = connection.phase
                    && !std::mem::replace(&mut connection.touched, true)
                {
                    touched = Some(session);
                }
            }
            self.touched.extend(touched);
            self.paused.insert(id);
        }
    }

    fn report_touches(&mut self, outputs: &mut Vec<Output>) {
        if self.service == Service::Held {
            // There is nobody who would take them.
            return;
        }
        let sessions = std::mem::take(&mut self.touched);
        if sessions.is_empty() {
            return;
        }
        for session in &sessions {
            if let Some(&id) = self.sessions.get(session)
                && let Some(connection) = self.connection(id)
            {
                connection.touched = false;
            }
        }
        outputs.push(Output::Request(Request::Touch { sessions }));
    }

    fn look_at(&mut self, id: ConnectionId, due: u64, outputs: &mut Vec<Output>) {
        let (now, sessionless) = (self.heard_now(), self.settings.sessionless_timeout);
        let Some(connection) = self.connection(id).filter(|connection| connection.due == due) else {
            // Gone, or filed earlier since.
            return;
        };
        connection.due = u64::MAX;
        if now.since(connection.heard) <= patience(&connection.phase, sessionless) {
            return self.watch_silence(id);
        }
        // Not filed again: it is over.
        connection.due = 0;
        let has_session = matches!(connection.phase, Phase::Active { .. });
        self.tallies.sessionless_expired += u64::from(!has_session);
        self.cut_off(id, outputs);
    }
}

fn patience(phase: &Phase, sessionless: Duration) -> Duration {
    match phase {
        Phase::Active { timeout_ms, .. } => {
            Duration::from_millis(u64::try_from(*timeout_ms).unwrap_or(0)) + sessionless / 10
        }
        Phase::Greeting | Phase::Connecting { .. } | Phase::Closing => sessionless,
    }
}

#[cfg(test)]
#[path = "silence_test.rs"]
mod tests;
