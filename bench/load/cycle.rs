//! Operations of several requests: an ephemeral that comes and goes, the lock recipe, the queue recipe.
//!
//! Called by `session`, which sends what is asked and brings each reply and event back. Pure. The recipes are those of
//! ZooKeeper's documentation ("ZooKeeper Recipes and Solutions"). Tested: `cycle_test.rs`.
//!
//! ```text
//! ephemeral  create ─► delete                                               measured: both
//! lock       create (ephemeral, sequential) ─► getChildren ─► mine is first: held ─► delete
//!                                    ▲             └► exists(the one before mine, watch) ─► event ┐
//!                                    └────────────────────────────────────────────────────────────┘
//! queue      create (sequential) ─► getChildren ─► get first ─► delete ─► NoNode: the next one of the list
//! ```

use crate::bench::protocol::{self, NO_NODE};
use crate::bench::recorder::Recorder;
use crate::bench::workload::Kind;
use std::collections::VecDeque;

/// What comes after a reply or an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// One request was written.
    Asked,
    /// An event of this path is waited for.
    Waits(Vec<u8>),
    Ended,
}

/// One operation under way. Its first request was written by whoever made it.
#[derive(Debug)]
pub struct Cycle {
    start: u64,
    stage: Stage,
    /// The znode that the lock's or the queue's are below.
    parent: Vec<u8>,
    /// The znode that is asked about next, or was last.
    path: Vec<u8>,
    /// The lock's: what the server called our znode.
    own: Vec<u8>,
    /// The queue's: items of the last list, which are to be tried.
    items: VecDeque<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    EphemeralMade,
    EphemeralDeleted,
    LockAsked,
    LockListed,
    LockWatched,
    LockGiven,
    ItemPut,
    ItemsListed { since: u64 },
    ItemRead { since: u64 },
    ItemTaken { since: u64 },
}

/// Recorded where somebody else took what we tried to.
const RACE_LOST: &str = "queue: another one took the item first";
const LOCK_WAITS: &str = "lock: waited for another one";

impl Cycle {
    /// Counted from `start`; `path` was asked to be created.
    pub fn ephemeral(start: u64, path: &[u8]) -> Cycle {
        Cycle::new(start, Stage::EphemeralMade, Vec::new(), path.to_owned())
    }

    /// A contender's znode was asked for below `lock`.
    pub fn lock(start: u64, lock: &[u8]) -> Cycle {
        Cycle::new(start, Stage::LockAsked, lock.to_owned(), Vec::new())
    }

    /// An item was put below `queue`.
    pub fn queue(start: u64, queue: &[u8]) -> Cycle {
        Cycle::new(start, Stage::ItemPut, queue.to_owned(), Vec::new())
    }

    fn new(start: u64, stage: Stage, parent: Vec<u8>, path: Vec<u8>) -> Cycle {
        Cycle { start, stage, parent, path, own: Vec::new(), items: VecDeque::new() }
    }

    /// Takes the reply to its last request; a further one is appended to `out` with `xid`.
    pub fn on_reply(
        &mut self,
        code: i32,
        body: &[u8],
        now: u64,
        xid: i32,
        out: &mut Vec<u8>,
        recorder: &mut Recorder,
    ) -> Step {
        if code != 0 && !(code == NO_NODE && self.may_be_gone()) {
            recorder.error(protocol::error_name(code));
            return Step::Ended;
        }
        let step = match self.stage {
            Stage::EphemeralMade => {
                self.stage = Stage::EphemeralDeleted;
                protocol::delete(out, xid, &self.path);
                Some(Step::Asked)
            }
            Stage::EphemeralDeleted => {
                recorder.answered(Kind::Ephemeral, self.start, now);
                Some(Step::Ended)
            }
            Stage::LockAsked => protocol::split_buffer(body).map(|(path, _)| {
                self.own = path.to_owned();
                self.list(Stage::LockListed, xid, out)
            }),
            Stage::LockListed => {
                protocol::strings(body).and_then(|list| self.on_contenders(&list, now, xid, out, recorder))
            }
            Stage::LockWatched if code == NO_NODE => Some(self.list(Stage::LockListed, xid, out)),
            Stage::LockWatched => {
                recorder.note(LOCK_WAITS);
                Some(Step::Waits(self.path.clone()))
            }
            Stage::LockGiven => Some(Step::Ended),
            Stage::ItemPut => {
                recorder.answered(Kind::Put, self.start, now);
                Some(self.list(Stage::ItemsListed { since: now }, xid, out))
            }
            Stage::ItemsListed { since } => protocol::strings(body).map(|mut list| {
                list.sort_unstable();
                self.items = list.into();
                self.read_item(since, xid, out)
            }),
            Stage::ItemRead { since } | Stage::ItemTaken { since } if code == NO_NODE => {
                recorder.note(RACE_LOST);
                Some(self.read_item(since, xid, out))
            }
            Stage::ItemRead { since } => {
                self.stage = Stage::ItemTaken { since };
                protocol::delete(out, xid, &self.path);
                Some(Step::Asked)
            }
            Stage::ItemTaken { since } => {
                recorder.answered(Kind::Take, since, now);
                Some(Step::Ended)
            }
        };
        step.unwrap_or_else(|| {
            recorder.error("a reply that can't be read");
            Step::Ended
        })
    }

    /// Takes the event that it waited for.
    pub fn on_event(&mut self, xid: i32, out: &mut Vec<u8>) -> Step {
        self.list(Stage::LockListed, xid, out)
    }

    /// Whether NoNode is an answer like others: somebody else was faster.
    fn may_be_gone(&self) -> bool {
        matches!(self.stage, Stage::LockWatched | Stage::ItemRead { .. } | Stage::ItemTaken { .. })
    }

    fn list(&mut self, next: Stage, xid: i32, out: &mut Vec<u8>) -> Step {
        self.stage = next;
        protocol::get_children(out, xid, &self.parent);
        Step::Asked
    }

    fn below_parent(&mut self, name: &[u8]) {
        self.path.clear();
        self.path.extend_from_slice(&self.parent);
        self.path.push(b'/');
        self.path.extend_from_slice(name);
    }

    /// All contenders have names of one length, so their order is that of their numbers. Nothing if ours isn't among them.
    fn on_contenders(
        &mut self,
        list: &[Vec<u8>],
        now: u64,
        xid: i32,
        out: &mut Vec<u8>,
        recorder: &mut Recorder,
    ) -> Option<Step> {
        let own = self.own.get(self.parent.len() + 1..)?;
        list.iter().find(|name| *name == own)?;
        match list.iter().filter(|name| &name[..] < own).max() {
            None => {
                recorder.answered(Kind::Lock, self.start, now);
                self.stage = Stage::LockGiven;
                protocol::delete(out, xid, &self.own);
            }
            Some(before) => {
                self.below_parent(before);
                self.stage = Stage::LockWatched;
                protocol::exists(out, xid, &self.path, true);
            }
        }
        Some(Step::Asked)
    }

    /// The next item of the list; if none is left, the list again.
    fn read_item(&mut self, since: u64, xid: i32, out: &mut Vec<u8>) -> Step {
        match self.items.pop_front() {
            None => self.list(Stage::ItemsListed { since }, xid, out),
            Some(name) => {
                self.below_parent(&name);
                self.stage = Stage::ItemRead { since };
                protocol::get_data(out, xid, &self.path, false);
                Step::Asked
            }
        }
    }
}

#[cfg(test)]
#[path = "cycle_test.rs"]
mod tests;
