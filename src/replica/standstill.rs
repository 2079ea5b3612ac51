//! A lone server at rest, while its tree is replaced by a snapshot that an operator gives (`server::web::restore`).
//!
//! Clients' connections are closed, and what they still ask is dropped, as when a connection is lost. What was proposed is made
//! durable and applied, and nothing is proposed by ourselves: no session expires, no container goes, no snapshot is taken. Then
//! the driver starts anew from the disk ([`PeerOutput::Reload`]), or all goes on as it was. Members of an ensemble never stand
//! still so: their trees are replaced by their leaders alone.
//! Tested: standstill_test.rs, tests/admin/restore.rs.

use crate::base::Zxid;
use crate::messages::Service;

use super::ensemble::PeerOutput;
use super::{Output, Replica};

#[derive(Debug, Default)]
pub struct Standstill {
    is_wanted: bool,
    /// The shards know.
    is_told: bool,
    reload: Option<Zxid>,
}

impl Replica {
    /// Comes to rest: [`super::Facts::stands_at`] says when.
    pub fn close_intake(&mut self) {
        self.standstill.is_wanted = self.ensemble.is_none();
    }

    /// Goes on with what it has.
    pub fn open_intake(&mut self) {
        self.standstill.is_wanted = false;
    }

    /// Goes on with the snapshot of this zxid, which is on the disk. Only at rest: whoever asks may ask twice.
    pub fn want_reload(&mut self, to: Zxid) {
        if self.stands_at().is_some() {
            self.standstill.reload = Some(to);
        }
    }

    pub(super) fn stands_still(&self) -> bool {
        self.standstill.is_told
    }

    /// The last zxid of the log, once nothing is under way in it.
    pub(super) fn stands_at(&self) -> Option<Zxid> {
        let is_settled = self.proposals.count() == 0 && self.log.open_bytes() == 0 && !self.log.in_flight();
        (self.stands_still() && is_settled).then_some(self.proposed)
    }

    /// Carries out what was asked for since the last turn.
    pub(super) fn stand_still(&mut self, outputs: &mut Vec<Output>) {
        let is_wanted = self.standstill.is_wanted;
        if std::mem::replace(&mut self.standstill.is_told, is_wanted) != is_wanted {
            if is_wanted {
                self.abandon_snapshot(outputs);
                self.waiting.clear();
                outputs.push(Output::Serve(Service::None));
            } else {
                self.go_on(outputs);
            }
        }
        if let Some(to) = self.standstill.reload.take() {
            outputs.push(Output::Peer(PeerOutput::Reload { to }));
        }
    }

    /// Everybody was kept out for a while: nobody's silence counts so far.
    pub(super) fn go_on(&mut self, outputs: &mut Vec<Output>) {
        self.sessions.begin_anew(self.now.instant);
        outputs.push(Output::Serve(Service::All));
    }
}

#[cfg(test)]
#[path = "standstill_test.rs"]
mod tests;
