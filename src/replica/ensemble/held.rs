//! From when clients are served; and clients over a change of leader: held while the next one is found, so that those who wait for
//! nothing notice a pause at most.
//!
//! When a member that serves leaves its role, the shards close who waits for an answer of ours (what was asked may or may not
//! have happened, and only a lost connection says so) or was silent for long, and hold the others ([`Service::Held`]). Serving
//! again, under a leader whose history we have, each of them is told of by its shard. The leader has to hear through whom a
//! session speaks, as of a client that has come back: one of Apache's takes no write through another link, even of the same
//! server, and one of ours takes none but through the server that spoke for it last. Closed is whose session has ended meanwhile.
//!
//! Nobody is held over a tree that is made anew, after TRUNC or SNAP; nor where sessions may be local ones, which end with the role.
//!
//! **What isn't fenced off.** Only the leader knows that a session has moved to another server, and the next one doesn't. So if
//! a client leaves us without our hearing of it, comes to another server, and the leader is lost, all within half its timeout, then
//! what it sent us before and comes late may be done behind what it asked there. A client that leaves because nothing comes any more
//! does so after two thirds; one that closes its connection is heard, unless the network keeps that back.
//!
//! No longer than half a tick: a client whose server has lost the others is better off elsewhere, and shall not find out by
//! its own patience.
//!
//! Tested: cluster_test/scenarios_held.rs, shard/service_test.rs, tests/ensemble/sessions.rs, and with Apache's leaders in
//! tests/ensemble/mixed_crashes.rs and mixed_reconfig.rs.

use std::sync::Arc;

use crate::base::SessionId;
use crate::messages::{Client, Notice, Service};
use crate::tree::{Owner, Unlisted};
use crate::wire::ErrorCode;
use crate::zab::LearnerInput;

use super::super::{Output, Replica};
use super::Role;
use super::clients::Returning;
use super::snapshot_in::Pause;

impl Replica {
    /// After each transaction applied, and whenever nothing is to be applied: begins to serve if it is time.
    pub(in super::super) fn serve_if_due(&mut self, outputs: &mut Vec<Output>) {
        let applied = self.applied;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        if ensemble.serves_from.is_none_or(|from| applied < from) {
            return;
        }
        ensemble.serves_from = None;
        ensemble.is_serving = true;
        ensemble.pause = Pause::default();
        let lacks_lists = std::mem::take(&mut ensemble.lacks_lists);
        if lacks_lists && let Some(Unlisted { path, id }) = self.store.unlisted() {
            tracing::warn!(
                path,
                "the leader's snapshot didn't hold the ACL list {id} of this znode, and no transaction has given it: the leader \
                 has lost it. Nobody but the superuser can use the znode; setAcl mends it"
            );
        }
        self.sessions.begin_anew(self.now.instant);
        let serves = ensemble.settings.leader_serves || !matches!(ensemble.role, Role::Leading(_));
        if serves {
            ensemble.held_until = None;
        }
        let mode = self.mode();
        tracing::info!(zxid = %applied, serves, "ready as {}", mode.name());
        if serves {
            outputs.push(Output::Serve(Service::All));
        } else {
            self.close_held(outputs);
        }
        self.take_waiting(outputs);
    }

    /// A role in which clients were served is over.
    pub(super) fn hold_clients(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        if ensemble.settings.local_sessions {
            return outputs.push(Output::Serve(Service::None));
        }
        ensemble.held_until = Some(self.now.instant + self.settings.tick / 2);
        outputs.push(Output::Serve(Service::Held));
    }

    /// What waited to be told, with the role that is over, of sessions that speak through others now: their old connections
    /// must not be held.
    pub(super) fn tell_of_moved(&mut self, outputs: &mut Vec<Output>) {
        for deferred in std::mem::take(&mut self.deferred) {
            if deferred.notice.moved.is_some() {
                let notice = Notice { zxid: self.applied, moved: deferred.notice.moved, ..Notice::empty() };
                outputs.push(Output::Notify { shard: None, notice: Arc::new(notice) });
            }
        }
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

    /// A client whose connection was held goes on with its session: as far as we know.
    pub(in super::super) fn on_held(
        &mut self,
        from: Client,
        session: SessionId,
        timeout_ms: i32,
        outputs: &mut Vec<Output>,
    ) {
        let hands_on = self.hands_on();
        let Some(ensemble) = self.ensemble.as_deref_mut().filter(|_| hands_on) else {
            return self.take_back(true, from, session, timeout_ms, outputs);
        };
        ensemble.clients.come_back(session, Returning { from, timeout_ms, was_held: true });
        self.learn(LearnerInput::Revalidate { session, timeout_ms }, outputs);
    }

    /// `valid`: the leader says so. If nobody else has it, the session is this connection's.
    pub(super) fn take_back(
        &mut self,
        valid: bool,
        from: Client,
        session: SessionId,
        timeout_ms: i32,
        outputs: &mut Vec<Output>,
    ) {
        let (owner, now) = (Owner::Client(from), self.now.instant);
        let checked =
            if valid { self.sessions.check(session, owner, true) } else { Err(ErrorCode::SessionExpired) };
        let over = match checked {
            Ok(()) => {
                self.sessions.attach(session, timeout_ms, owner, now);
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
