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

#[derive(Debug)]
pub struct Proposals {
    /// One per proposal, sealed or not.
    origins: VecDeque<(Zxid, Origin)>,
    groups: VecDeque<log::Sealed>,
    /// Of all groups.
    bytes: usize,
    /// Where the oldest proposal's entry begins in the front group.
    at: usize,
    committed: Zxid,
}

impl Proposals {
    pub fn new(committed: Zxid) -> Proposals {
        Proposals {
            origins: VecDeque::new(),
            groups: VecDeque::new(),
            bytes: 0,
            at: log::Sealed::FIRST,
            committed,
        }
    }

    pub fn push(&mut self, zxid: Zxid, origin: Origin) {
        debug_assert!(self.origins.back().is_none_or(|(last, _)| *last < zxid));
        self.origins.push_back((zxid, origin));
    }

    pub fn seal(&mut self, group: log::Sealed) {
        self.bytes += group.bytes.len();
        self.groups.push_back(group);
    }

    /// Everything up to `zxid` is committed.
    pub fn commit(&mut self, zxid: Zxid) {
        assert!(zxid >= self.committed);
        self.committed = zxid;
    }

    /// Likewise; what was committed before stays so.
    pub fn commit_at_least(&mut self, zxid: Zxid) {
        self.committed = self.committed.max(zxid);
    }

    /// Nobody wants to know any more.
    pub fn forget_origins(&mut self) {
        for (_, origin) in &mut self.origins {
            origin.to = None;
        }
    }

    /// The oldest proposal, if it is committed and sealed: a leader's word may come before the disk is free for it.
    pub fn next_committed(&self) -> Option<(Zxid, &[u8], Origin)> {
        let &(zxid, origin) = self.origins.front()?;
        if zxid > self.committed {
            return None;
        }
        let group = self.groups.front()?;
        let (entry, _) = group.entry_at(self.at).expect("a group has as many entries as it has proposals");
        assert!(entry.zxid == zxid, "the log and the proposals go in step");
        Some((zxid, entry.payload, origin))
    }

    /// The oldest proposal is applied.
    pub fn pop(&mut self) {
        self.origins.pop_front();
        let Some(group) = self.groups.front() else { return };
        let (_, next) = group.entry_at(self.at).expect("what is popped was there");
        self.at = next;
        if group.entry_at(next).is_none() {
            self.bytes -= group.bytes.len();
            self.groups.pop_front();
            self.at = log::Sealed::FIRST;
        }
    }

    pub fn count(&self) -> usize {
        self.origins.len()
    }

    /// Bytes of the groups that hold them, as far as they are sealed.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
