//! Clients over a change of leader: held while the next one is found, so that those who wait for nothing notice a pause at most.
//!
//! When a member that serves leaves its role, the shards close who waits for an answer of ours (what was asked may or may not
//! have happened, and only a lost connection says so) and hold the others ([`Service::Held`]). Serving again, under a leader whose
//! history we have, each is told of by its shard and speaks through this server as before: its session is known to all by the
//! log. Closed is whose session has ended meanwhile, was a local one, or is spoken for through another server. What a leader
//! that sends a snapshot has done is not known in detail, so nobody is held over one: the shards begin anew.
//!
//! No longer than half a tick: a client whose server has lost the others is better off elsewhere, and shall not find out by
//! its own patience.
//!
//! Tested: cluster_test/scenarios_held.rs, shard/service_test.rs, tests/ensemble/sessions.rs, and with Apache's leaders in
//! tests/ensemble/mixed_crashes.rs.

use crate::base::SessionId;
use crate::messages::{Client, Notice, Service};
use crate::tree::Owner;
use crate::wire::ErrorCode;

use super::super::{Output, Replica};

impl Replica {
    /// A role in which clients were served is over.
    pub(super) fn hold_clients(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.held_until = Some(self.now.instant + self.settings.tick / 2);
        outputs.push(Output::Serve(Service::Held));
    }

    pub(super) fn close_held_if_due(&mut self, outputs: &mut Vec<Output>) {
        let until = self.ensemble.as_deref().and_then(|ensemble| ensemble.held_until);
        if until.is_some_and(|until| self.now.instant >= until) {
            self.close_held(outputs);
        }
    }

    /// Nothing, if nobody is held.
    pub(super) fn close_held(&mut self, outputs: &mut Vec<Output>) {
        let held = self.ensemble.as_deref_mut().and_then(|ensemble| ensemble.held_until.take());
        if held.is_some() {
            outputs.push(Output::Serve(Service::None));
        }
    }

    /// A client whose connection was held goes on with its session, if nobody else has it.
    pub(in super::super) fn take_back(
        &mut self,
        from: Client,
        session: SessionId,
        timeout_ms: i32,
        outputs: &mut Vec<Output>,
    ) {
        let (owner, now) = (Owner::Client(from), self.now.instant);
        let over = match self.sessions.check(session, owner, true) {
            Ok(()) => {
                self.sessions.attach(session, timeout_ms, owner, now);
                if self.hands_on() {
                    self.tell_touch(session, outputs);
                }
                return;
            }
            // Who has it now was told to the shards when he came.
            Err(ErrorCode::SessionMoved) if self.sessions.is_here(session) => return,
            Err(ErrorCode::SessionMoved) => Notice { moved: Some((session, None)), ..Notice::empty() },
            Err(_) => Notice { ended: Some(session), ..Notice::empty() },
        };
        self.defer(None, over, outputs);
    }
}
