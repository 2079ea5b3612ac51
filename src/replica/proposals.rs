//! What is proposed and not yet applied, in zxid order, by reference into the log's groups.
//!
//! A transaction is encoded once, into the group that the log framed it into. A sealed group's bytes are shared with
//! the log thread; here they wait, with the ranges of their entries, until the last of them is applied.

use std::collections::VecDeque;

use crate::base::Zxid;
use crate::log;
use crate::messages::Client;
use crate::wire::Opcode;

/// Who wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    pub to: Option<(Client, i32)>,
    pub opcode: Opcode,
}

#[derive(Debug, Default)]
pub struct Proposals {
    /// One per proposal, sealed or not.
    origins: VecDeque<(Zxid, Origin)>,
    groups: VecDeque<log::Sealed>,
    /// Entries of the front group already applied.
    applied_of_front: usize,
    committed: Zxid,
}

impl Proposals {
    pub fn push(&mut self, zxid: Zxid, origin: Origin) {
        debug_assert!(self.origins.back().is_none_or(|(last, _)| *last < zxid));
        self.origins.push_back((zxid, origin));
    }

    pub fn seal(&mut self, group: log::Sealed) {
        self.groups.push_back(group);
    }

    /// Everything up to `zxid` is committed.
    pub fn commit(&mut self, zxid: Zxid) {
        assert!(zxid >= self.committed);
        self.committed = zxid;
    }

    /// The oldest proposal, if it is committed.
    pub fn next_committed(&self) -> Option<(Zxid, &[u8], Origin)> {
        let &(zxid, origin) = self.origins.front()?;
        if zxid > self.committed {
            return None;
        }
        let group = self.groups.front().expect("what is committed was sealed");
        Some((zxid, group.payload(self.applied_of_front), origin))
    }

    /// The oldest proposal is applied.
    pub fn pop(&mut self) {
        self.origins.pop_front();
        self.applied_of_front += 1;
        if self.groups.front().is_some_and(|group| group.count() == self.applied_of_front) {
            self.groups.pop_front();
            self.applied_of_front = 0;
        }
    }

    pub fn count(&self) -> usize {
        self.origins.len()
    }
}
