//! What an operator's tree browser sees: a znode and a page of its children, by name.
//!
//! Called by `server`, once a turn at most: a look goes on for a piece of a turn, like a long read of a client's, and is done
//! after as many turns as the list of children needs. It keeps no version alive: each piece is read at the version of its
//! turn, so a child that comes or goes meanwhile may be seen or not.
//!
//! It tells no more than a client with the same identities is told: a znode that they may not read has no stat, no ACL and no
//! children, and hashes of passwords are shown to nobody who may not set the ACL.
//!
//! Limits: [`CHILDREN_MAX`] children and [`NAMES_BYTES_MAX`] of their names in a page, [`DATA_BYTES_MAX`] of data; [`PIECE`]
//! children gone through in a turn.
//! Tested: looking_test.rs, tests/admin/tree.rs; a million children: tests/limits.rs.

use std::collections::BTreeSet;

use crate::base::{Path, Zxid, limits};
use crate::messages::Identity;
use crate::tree::{Kind, Node, Place, Reading, acl};
use crate::wire::acl::perms;
use crate::wire::{OwnedAcl, Stat};

use super::Shard;
use super::reads::shown;

/// What one page shows of a list of children.
pub const CHILDREN_MAX: usize = 1_000;
/// What is shown of a znode's data.
pub const DATA_BYTES_MAX: usize = 64 << 10;
/// Of the names on a page, unless one alone is longer: a name may be as long as a request.
const NAMES_BYTES_MAX: usize = 1 << 20;
/// Units of a turn's budget: as much as a long read of a client's gets.
const PIECE: usize = limits::TURN_BUDGET / 2;

/// A question that fills with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub path: Path,
    identities: Vec<Identity>,
    /// The path of a child: those before it aren't wanted.
    from: Path,
    limit: usize,
    with_data: bool,

    stage: Stage,
    /// The first of the wanted children met so far: a page, and the one behind it.
    names: BTreeSet<Path>,
    place: Place,
    /// The same, when all were met.
    page: Vec<Path>,
    /// Of the page: those looked at, and the bytes of their names.
    looked_at: usize,
    names_bytes: usize,
    found: Found,
}

/// What there is to see, once [`Look::seen`] gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub znode: Option<Znode>,
    pub children: Vec<Child>,
    /// Where the next page begins.
    pub next: Option<Path>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Znode {
    pub stat: Stat,
    pub kind: Kind,
    pub acl: Vec<OwnedAcl>,
    /// If asked for: its first bytes, null if it is null.
    pub data: Option<Option<Vec<u8>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub path: Path,
    /// `None`: it may not be read.
    pub seen: Option<(Stat, Kind)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// No clients are served.
    NotServing,
    NoNode,
    NoAuth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Children are met, in no order.
    Names,
    /// Those of the page are looked at.
    Children,
    Done,
    Failed(Unseen),
}

impl Look {
    /// At `path`, which is a valid one, by who has shown these identities. `from`: the name of the first child wanted.
    pub fn new(path: &str, from: &str, limit: usize, with_data: bool, identities: Vec<Identity>) -> Look {
        let child = format!("{}/{from}", path.trim_end_matches('/'));
        Look {
            path: Path::new(path.as_bytes()),
            identities,
            from: Path::new(child.as_bytes()),
            limit: limit.min(CHILDREN_MAX),
            with_data,
            stage: if limit == 0 { Stage::Children } else { Stage::Names },
            names: BTreeSet::new(),
            place: Place::default(),
            page: vec![],
            looked_at: 0,
            names_bytes: 0,
            found: Found::default(),
        }
    }

    /// What was seen, or why nothing is; `None` while it has to go on.
    pub fn seen(&self) -> Option<Result<&Found, Unseen>> {
        match self.stage {
            Stage::Names | Stage::Children => None,
            Stage::Done => Some(Ok(&self.found)),
            Stage::Failed(unseen) => Some(Err(unseen)),
        }
    }

    fn go_on(&mut self, reading: &Reading<'_>, at: Zxid, skip_acl: bool) -> Stage {
        let identities = std::mem::take(&mut self.identities);
        let may = |node: &Node, perm| skip_acl || acl::check(node.acl_entries(), perm, &identities).is_ok();
        let stage = self.piece(reading, at, &may);
        self.identities = identities;
        stage
    }

    fn piece(&mut self, reading: &Reading<'_>, at: Zxid, may: &dyn Fn(&Node, i32) -> bool) -> Stage {
        let Some(node) = reading.node(self.path.bytes(), at) else { return Stage::Failed(Unseen::NoNode) };
        if !may(node, perms::READ) {
            return Stage::Failed(Unseen::NoAuth);
        }
        let mut left = PIECE;
        if self.stage == Stage::Names {
            let mut place = std::mem::take(&mut self.place);
            let has_more = reading.next_children(node, at, &mut place, PIECE, |child| self.meet(&child.path));
            if has_more {
                self.place = place;
                return Stage::Names;
            }
            // The bag isn't needed any more, and isn't kept from being freed.
            self.page = std::mem::take(&mut self.names).into_iter().collect();
            self.found.next = (self.page.len() > self.limit).then(|| self.page.pop()).flatten();
            left = left.saturating_sub(node.children_count as usize);
        }
        while let Some(path) = self.page.get(self.looked_at) {
            if left == 0 {
                return Stage::Children;
            }
            self.names_bytes += path.name().len();
            if self.names_bytes > NAMES_BYTES_MAX && self.looked_at > 0 {
                self.found.next = Some(path.clone());
                break;
            }
            // Gone since it was met.
            let child = reading.node(path.bytes(), at);
            if let Some(child) = child {
                left = left.saturating_sub(acl::cost(child.acl_entries()));
                let seen = may(child, perms::READ).then(|| (child.stat(), child.kind()));
                self.found.children.push(Child { path: path.clone(), seen });
            }
            left = left.saturating_sub(1);
            self.looked_at += 1;
        }
        self.found.znode = Some(self.znode(node, may));
        Stage::Done
    }

    /// Keeps the first of the children that are wanted.
    fn meet(&mut self, child: &Path) {
        let is_full = self.names.len() > self.limit;
        if *child < self.from || (is_full && self.names.last().is_some_and(|last| child >= last)) {
            return;
        }
        self.names.insert(child.clone());
        if self.names.len() > self.limit + 1 {
            self.names.pop_last();
        }
    }

    fn znode(&self, node: &Node, may: &dyn Fn(&Node, i32) -> bool) -> Znode {
        let sees_hashes = may(node, perms::ADMIN);
        let open = [OwnedAcl::new(perms::ALL, "world", "anyone")];
        let entries = node.acl_entries().unwrap_or(&open);
        let first = |data: &[u8]| data[..data.len().min(DATA_BYTES_MAX)].to_vec();
        Znode {
            stat: node.stat(),
            kind: node.kind(),
            acl: entries.iter().map(|entry| shown(entry, sees_hashes)).collect(),
            data: self.with_data.then(|| node.data().map(first)),
        }
    }
}

impl Shard {
    /// A piece of a look, as the tree is at this shard's version.
    pub fn look(&mut self, look: &mut Look) {
        if !self.is_serving() {
            look.stage = Stage::Failed(Unseen::NotServing);
        }
        if look.seen().is_none() {
            let (at, skip_acl) = (self.version(), self.state.settings.skip_acl);
            look.stage = look.go_on(&self.reader.enter(), at, skip_acl);
            // A piece of a long list is taken from this turn's reads.
            let taken = if look.seen().is_none() { PIECE } else { 0 };
            self.state.left = self.state.left.saturating_sub(taken);
        }
    }
}

#[cfg(test)]
#[path = "looking_test.rs"]
mod tests;
