//! What is proposed and not yet applied, in zxid order, by reference into the log's groups.
//!
//! A transaction is encoded once, into the group that the log framed it into. A sealed group's bytes are shared with
//! the log thread; here they wait, with the ranges of their entries, until the last of them is applied.

use std::collections::VecDeque;

use crate::base::{Instant, Path, Zxid};
use crate::log;
use crate::messages::{Client, Stages};
use crate::wire::txn::Txn;
use crate::wire::{Opcode, Text};

/// Who wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    pub to: Option<(Client, i32)>,
    pub opcode: Opcode,
    /// When it was proposed.
    pub since: Instant,
}

/// Who waits for a transaction, and since when this server has had the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub to: Client,
    pub xid: i32,
    pub opcode: Opcode,
    pub since: Instant,
}

/// When what happened, to everything up to a zxid. No more marks than proposals.
#[derive(Debug, Default)]
struct Marks(VecDeque<(Zxid, Instant)>);

impl Marks {
    /// `oldest`: what is before it is asked for no more.
    fn add(&mut self, up_to: Zxid, at: Instant, oldest: Option<Zxid>) {
        while self.0.front().is_some_and(|(marked, _)| oldest.is_none_or(|oldest| *marked < oldest)) {
            self.0.pop_front();
        }
        if oldest.is_some_and(|oldest| oldest <= up_to) && self.0.back().is_none_or(|(last, _)| *last < up_to)
        {
            self.0.push_back((up_to, at));
        }
    }

    fn of(&self, zxid: Zxid) -> Option<Instant> {
        self.0.iter().find(|(up_to, _)| zxid <= *up_to).map(|(_, at)| *at)
    }
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
    durable_at: Marks,
    committed_at: Marks,
}

impl Proposals {
    pub fn new(committed: Zxid) -> Proposals {
        Proposals {
            origins: VecDeque::new(),
            groups: VecDeque::new(),
            bytes: 0,
            at: log::Sealed::FIRST,
            committed,
            durable_at: Marks::default(),
            committed_at: Marks::default(),
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

    /// Everything up to `zxid` is durable here, at this moment.
    pub fn on_durable(&mut self, zxid: Zxid, at: Instant) {
        self.durable_at.add(zxid, at, self.oldest());
    }

    /// Everything up to `zxid` is committed, at this moment.
    pub fn commit(&mut self, zxid: Zxid, at: Instant) {
        assert!(zxid >= self.committed);
        self.commit_at_least(zxid, at);
    }

    /// Likewise; what was committed before stays so.
    pub fn commit_at_least(&mut self, zxid: Zxid, at: Instant) {
        self.committed_at.add(zxid, at, self.oldest());
        self.committed = self.committed.max(zxid);
    }

    /// The way of the oldest proposal, which is being applied.
    #[cold]
    pub fn stages_of(&self, zxid: Zxid, taken: Instant, txn: &Txn<'_>) -> Box<Stages> {
        let proposed = self.origins.front().map_or(taken, |(_, origin)| origin.since);
        let (durable, committed) = (self.durable_at.of(zxid), self.committed_at.of(zxid));
        let path = path_of(txn).map(|path| Path::new(path.as_bytes()));
        Box::new(Stages { taken, proposed, durable, committed, path })
    }

    fn oldest(&self) -> Option<Zxid> {
        self.origins.front().map(|(zxid, _)| *zxid)
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

    /// What is committed and sealed, oldest first.
    pub fn committed(&self) -> impl Iterator<Item = (Zxid, &[u8])> {
        let (mut groups, mut at) = (self.groups.iter(), self.at);
        let mut group = groups.next();
        std::iter::from_fn(move || {
            loop {
                if let Some((entry, next)) = group?.entry_at(at) {
                    at = next;
                    return Some((entry.zxid, entry.payload));
                }
                (group, at) = (groups.next(), log::Sealed::FIRST);
            }
        })
        .take_while(|(zxid, _)| *zxid <= self.committed)
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

fn path_of<'a>(txn: &Txn<'a>) -> Option<Text<'a>> {
    match txn {
        Txn::Create(create) | Txn::Create2(create) => Some(create.path),
        Txn::CreateContainer(create) => Some(create.path),
        Txn::CreateTtl(create) => Some(create.path),
        Txn::Delete(delete) | Txn::DeleteContainer(delete) => Some(delete.path),
        Txn::SetData(set) | Txn::Reconfig(set) => Some(set.path),
        Txn::SetAcl(set) => Some(set.path),
        Txn::Check(check) => Some(check.path),
        Txn::Multi(operations) => operations.iter().next().and_then(|first| path_of(&first.0)),
        Txn::CreateSession(_) | Txn::CloseSession(_) | Txn::Error(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_when_each_was_covered_and_go_with_what_they_speak_of() {
        let mut marks = Marks::default();
        marks.add(Zxid(3), Instant(30), Some(Zxid(2)));
        marks.add(Zxid(3), Instant(31), Some(Zxid(2)));
        marks.add(Zxid(5), Instant(50), Some(Zxid(2)));
        assert_eq!(
            [2, 3, 4, 5, 6].map(|zxid| marks.of(Zxid(zxid)).map(|at| at.0)),
            [Some(30), Some(30), Some(50), Some(50), None]
        );
        marks.add(Zxid(5), Instant(60), Some(Zxid(4)));
        assert_eq!(marks.0, [(Zxid(5), Instant(50))]);
        // Nothing is proposed, or nothing that old: there is nothing to mark.
        marks.add(Zxid(5), Instant(70), Some(Zxid(6)));
        marks.add(Zxid(7), Instant(80), None);
        assert!(marks.0.is_empty(), "{marks:?}");
    }
}
