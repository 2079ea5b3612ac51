//! Carries out a committed transaction: the only code that changes the tree, live, at replay and on a learner.
//!
//! A transaction decided by prep can't fail here. One read from a log may already be contained in the state it is
//! applied to (Apache's snapshots are fuzzy); file-formats.md §8.2 says what each type then does, and that is what is
//! done: a missing node, an existing node or a missing parent is passed over, never fatal. Tested: apply_test.rs,
//! tests/model.rs.

use crate::base::{Path, SessionId, WallMillis, Zxid, limits, parent as parent_of};
use crate::messages::{AclRef, Change, ChangeKind, Changes};
use crate::wire::Text;
use crate::wire::txn::{MultiTxn, Txn, TxnHeader};
use crate::wire::vector::Vector;
use crate::wire::{AclList, ErrorCode, OwnedAcl, Stat, acl::perms};

use super::closing::Closing;
use super::node::{Birth, CONTAINER_OWNER, Node, acl_ref, data_of, nobodys, ttl_owner};
use super::overlay::Spot;
use super::store::Store;

/// What came of a transaction.
#[derive(Debug)]
pub struct Applied {
    pub changes: Changes,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub enum Outcome {
    /// The transaction recorded a refusal.
    Error(ErrorCode),
    Created {
        path: Path,
        stat: Stat,
    },
    Deleted,
    Changed(Stat),
    SessionCreated {
        timeout_ms: i32,
    },
    SessionClosed,
    /// What came of each operation, in order. If one of them is refused, all are.
    Multi(Vec<Outcome>),
    /// A check within a multi; replay of something the state already contains.
    Nothing,
}

impl Store {
    pub fn apply(&mut self, header: &TxnHeader, txn: &Txn<'_>) -> Applied {
        self.apply_at(header, txn, None)
    }

    /// The same, where it is known which node's data it changes.
    pub fn apply_at(&mut self, header: &TxnHeader, txn: &Txn<'_>, spot: Option<Spot>) -> Applied {
        let applied = self.apply_body(header, txn, spot);
        self.set_newest(header.zxid);
        applied
    }

    /// The same, for which everything may be worked out (`closing.rs`).
    pub fn apply_prepared(&mut self, header: &TxnHeader, txn: &Txn<'_>, closing: Option<Closing>) -> Applied {
        match self.close(header.zxid, closing) {
            Some(applied) => {
                self.work += limits::APPLY_UNITS;
                self.set_newest(header.zxid);
                applied
            }
            None => self.apply(header, txn),
        }
    }

    /// The same for those who were told where it is.
    fn find_at(&self, spot: Option<Spot>, path: &[u8]) -> Option<(u32, &Node)> {
        let Some(Spot { hash, slot }) = spot else { return self.find(path) };
        debug_assert!(hash == self.hash(path), "a spot is of the path that is looked up");
        match self.latest(slot) {
            Some(node) if node.is_alive() && node.path.bytes() == path => Some((slot, node)),
            _ => self.find_hashed(hash, path),
        }
    }

    fn apply_body(&mut self, header: &TxnHeader, txn: &Txn<'_>, spot: Option<Spot>) -> Applied {
        self.work += limits::APPLY_UNITS;
        match txn {
            Txn::Create(create) | Txn::Create2(create) => {
                let owner = if create.ephemeral { header.client_id.0 } else { 0 };
                let over_existing = matches!(txn, Txn::Create(_));
                let birth = Birth { zxid: header.zxid, time: header.time.0, owner };
                let path = create.path.as_bytes();
                self.apply_create(birth, path, create.data, create.acl, create.parent_cversion, over_existing)
            }
            Txn::CreateContainer(create) => {
                let birth = Birth { zxid: header.zxid, time: header.time.0, owner: CONTAINER_OWNER };
                let path = create.path.as_bytes();
                self.apply_create(birth, path, create.data, create.acl, create.parent_cversion, false)
            }
            // An illegal ttl, which kills a Java server, makes a persistent node here (file-formats.md §8.2).
            Txn::CreateTtl(create) => {
                let birth = Birth {
                    zxid: header.zxid,
                    time: header.time.0,
                    owner: ttl_owner(create.ttl).unwrap_or(0),
                };
                let path = create.path.as_bytes();
                self.apply_create(birth, path, create.data, create.acl, create.parent_cversion, false)
            }
            Txn::Delete(delete) | Txn::DeleteContainer(delete) => {
                let change = self.apply_delete(header.zxid, delete.path.as_bytes());
                Applied { outcome: Outcome::Deleted, changes: change.map_or(Changes::None, Changes::One) }
            }
            Txn::SetData(set) | Txn::Reconfig(set) => {
                let path = set.path.as_bytes();
                let Some((slot, node)) = self.find_at(spot, path) else { return nothing() };
                let bytes_before = node.data_bytes() as i64;
                let data = self.spare_data.filled(set.data);
                let node = self.update(header.zxid, slot, |node| {
                    node.data = data;
                    node.version = set.version;
                    node.mzxid = header.zxid.0;
                    node.mtime = header.time.0;
                });
                let change = Change {
                    kind: ChangeKind::DataChanged,
                    path: node.path.clone(),
                    acl: node.acl(),
                    parent_acl: None,
                };
                let applied =
                    Applied { outcome: Outcome::Changed(node.stat()), changes: Changes::One(change) };
                let bytes = set.data.map_or(0, <[u8]>::len) as i64;
                self.quota_changed(header.zxid, path, bytes - bytes_before, 0);
                applied
            }
            Txn::SetAcl(set) => {
                let Some((slot, _)) = self.find(set.path.as_bytes()) else { return nothing() };
                let acl = stored_acl(set.acl);
                let node = self.update(header.zxid, slot, |node| {
                    node.set_acl(acl);
                    node.set_aversion(set.version);
                });
                Applied { outcome: Outcome::Changed(node.stat()), changes: Changes::None }
            }
            Txn::CreateSession(create) => Applied {
                outcome: Outcome::SessionCreated { timeout_ms: create.timeout_ms },
                changes: Changes::None,
            },
            Txn::CloseSession(paths) => self.apply_close_session(header, *paths),
            Txn::Error(error) => Applied { outcome: Outcome::Error(error.code()), changes: Changes::None },
            Txn::Multi(ops) => self.apply_multi(header, ops),
            Txn::Check(_) => nothing(),
        }
    }

    fn apply_create(
        &mut self,
        birth: Birth,
        path: &[u8],
        data: Option<&[u8]>,
        acl: Option<AclList<'_>>,
        parent_cversion: i32,
        raises_parent_over_existing: bool,
    ) -> Applied {
        let zxid = birth.zxid;
        let Some((parent, parent_node)) = parent_of(path).and_then(|parent| self.find(parent)) else {
            return nothing();
        };
        let parent_acl = parent_node.acl();
        let cversion =
            if parent_cversion == -1 { parent_node.cversion.wrapping_add(1) } else { parent_cversion };
        let acl = stored_acl(acl);
        if let Some((slot, _)) = self.find(path) {
            self.update(zxid, slot, |node| node.set_acl(acl));
            if raises_parent_over_existing {
                self.update(zxid, parent, |node| raise_parent(node, cversion, zxid));
            }
            return nothing();
        }
        let for_node = acl.clone();
        let slot = self.create(
            zxid,
            Path::new(path),
            |path, birth, parent| Node::new(path, data_of(data), for_node, birth, parent),
            birth,
            parent,
        );
        self.update(zxid, parent, |node| {
            raise_parent(node, cversion, zxid);
            node.children_count += 1;
        });
        // A statistic is told of as it was asked for, before it is counted.
        let node = self.node(slot);
        let change = Change { kind: ChangeKind::Created, path: node.path.clone(), acl, parent_acl };
        let outcome = Outcome::Created { path: node.path.clone(), stat: node.stat() };
        self.quota_created(zxid, path, data.map_or(0, <[u8]>::len));
        Applied { outcome, changes: Changes::One(change) }
    }

    /// The change, if there was something to delete. A missing node still raises the parent's pzxid (§8.2).
    fn apply_delete(&mut self, zxid: Zxid, path: &[u8]) -> Option<Change> {
        let (parent, _) = parent_of(path).and_then(|parent| self.find(parent))?;
        let found = self.find(path);
        let found = found.map(|(slot, node)| {
            (slot, node.path.clone(), node.acl(), node.children_count, node.data_bytes())
        });
        let change = found.map(|(slot, path, acl, children_count, bytes)| {
            if children_count > 0 {
                self.delete_children(zxid, slot);
            }
            self.delete(zxid, slot);
            self.quota_deleted(zxid, path.bytes(), bytes);
            Change { kind: ChangeKind::Deleted, path, acl, parent_acl: None }
        });
        let gone = u32::from(change.is_some());
        let node = self.update(zxid, parent, |node| {
            node.pzxid = node.pzxid.max(zxid.0);
            node.children_count -= gone;
        });
        let parent_acl = node.acl();
        change.map(|change| Change { parent_acl, ..change })
    }

    /// As `apply_delete`, of one of many: the parent learns of it only when the next path has another one. A parent with much
    /// data and a hundred thousand children would else be copied, and its digest computed, as many times.
    fn delete_sibling<'a>(
        &mut self,
        zxid: Zxid,
        path: &'a [u8],
        parent: &mut Bereaved<'a>,
        changes: &mut Vec<Change>,
    ) {
        self.work += limits::APPLY_UNITS;
        let Some(parent_path) = parent_of(path) else { return };
        if parent.path != parent_path {
            self.settle_parent(zxid, parent);
            let Some((slot, node)) = self.find(parent_path) else { return };
            *parent = Bereaved { path: parent_path, slot, acl: node.acl(), gone: 0 };
        }
        let Some((slot, node)) = self.find(path) else { return };
        let (path, acl, bytes) = (node.path.clone(), node.acl(), node.data_bytes());
        if node.children_count > 0 {
            self.delete_children(zxid, slot);
        }
        self.delete(zxid, slot);
        self.quota_deleted(zxid, path.bytes(), bytes);
        parent.gone += 1;
        changes.push(Change { kind: ChangeKind::Deleted, path, acl, parent_acl: parent.acl.clone() });
    }

    fn settle_parent(&mut self, zxid: Zxid, parent: &mut Bereaved<'_>) {
        let Bereaved { path, slot, gone, .. } = std::mem::take(parent);
        if !path.is_empty() {
            self.update(zxid, slot, |node| {
                node.pzxid = node.pzxid.max(zxid.0);
                node.children_count -= gone;
            });
        }
    }

    /// Prep refuses to delete a node that has children, so they are of a later life of the node, seen by a fuzzy
    /// snapshot: the log creates them once more. Were the node kept for them, it would keep what earlier lives left.
    fn delete_children(&mut self, zxid: Zxid, slot: u32) {
        let mut descendants = vec![slot];
        let mut at = 0;
        while let Some(&parent) = descendants.get(at) {
            let children = self.node(parent).children_bag();
            let children = children.iter().flat_map(|bag| bag.iter());
            descendants.extend(children.filter(|&child| self.node(child).is_alive()));
            at += 1;
        }
        for &child in descendants[1..].iter().rev() {
            let node = self.node(child);
            let (parent, path, bytes) = (node.parent, node.path.clone(), node.data_bytes());
            self.delete(zxid, child);
            self.update(zxid, parent, |node| node.children_count -= 1);
            self.quota_deleted(zxid, path.bytes(), bytes);
        }
    }

    fn apply_close_session(&mut self, header: &TxnHeader, listed: Option<Vector<'_, Text<'_>>>) -> Applied {
        let record = listed.as_ref().map_or(&[][..], Vector::as_encoded);
        let (mut closing, mut all) = (None, usize::MAX);
        self.prepare_close(&mut closing, header, record, &mut all);
        self.close(header.zxid, closing).unwrap_or_else(|| self.close_path_by_path(header, listed))
    }

    /// Whatever is listed, and whatever the tree says.
    pub(super) fn close_path_by_path(
        &mut self,
        header: &TxnHeader,
        listed: Option<Vector<'_, Text<'_>>>,
    ) -> Applied {
        // The list is taken at its word: also for a path that is gone already (its parent's pzxid rises), and for one
        // that a fuzzy snapshot shows in its next life.
        let owned = self.ephemerals.take(header.client_id);
        let mut changes = Vec::with_capacity(owned.len());
        let mut parent = Bereaved::default();
        for path in listed.iter().flat_map(Vector::iter) {
            self.delete_sibling(header.zxid, path.as_bytes(), &mut parent, &mut changes);
        }
        self.settle_parent(header.zxid, &mut parent);
        let left = self.paths_of(owned.iter().copied().filter(|&slot| self.node(slot).is_alive()));
        let mut parent = Bereaved::default();
        for path in &left {
            self.delete_sibling(header.zxid, path.bytes(), &mut parent, &mut changes);
        }
        self.settle_parent(header.zxid, &mut parent);
        let changes = if changes.is_empty() { Changes::None } else { Changes::Many(changes) };
        Applied { outcome: Outcome::SessionClosed, changes }
    }

    /// All operations or, if one of them failed, none.
    fn apply_multi(&mut self, header: &TxnHeader, ops: &MultiTxn<'_>) -> Applied {
        if ops.iter().any(|op| matches!(op.0, Txn::Error(_))) {
            return Applied { outcome: Outcome::Multi(refusals(ops)), changes: Changes::None };
        }
        let mut changes = vec![];
        let mut outcomes = Vec::with_capacity(ops.len());
        self.quotas_gather();
        for op in ops.iter() {
            let applied = self.apply_body(header, &op.0, None);
            outcomes.push(applied.outcome);
            match applied.changes {
                Changes::None => {}
                Changes::One(change) => changes.push(change),
                Changes::Many(more) => changes.extend(more),
            }
        }
        self.quotas_count(header.zxid);
        let changes = if changes.is_empty() { Changes::None } else { Changes::Many(changes) };
        Applied { outcome: Outcome::Multi(outcomes), changes }
    }

    /// The nodes every tree begins with (client-protocol.md §13.3). Not a transaction: zxid and times are zero.
    pub fn plant(&mut self) {
        let birth = Birth { zxid: Zxid::ZERO, time: WallMillis(0).0, owner: 0 };
        let empty = || data_of(Some(b""));
        let plain = |path, birth, parent| Node::new(path, empty(), None, birth, parent);
        let root = self.create(Zxid::ZERO, Path::new(b"/"), plain, birth, super::store::ROOT);
        let zookeeper = self.create(Zxid::ZERO, Path::new(b"/zookeeper"), plain, birth, root);
        self.update(Zxid::ZERO, root, |node| node.children_count = 1);
        self.create(Zxid::ZERO, Path::new(b"/zookeeper/quota"), plain, birth, zookeeper);
        let read_only = acl_ref(vec![OwnedAcl::new(perms::READ, "world", "anyone")]);
        let config = |path, birth, parent| {
            let mut node = Node::new(path, empty(), read_only, birth, parent);
            node.set_aversion(-1);
            node
        };
        self.create(Zxid::ZERO, Path::new(b"/zookeeper/config"), config, birth, zookeeper);
        self.update(Zxid::ZERO, zookeeper, |node| node.children_count = 2);
    }

    /// Sessions that own nodes and don't exist: their nodes go (file-formats.md §8.1, step 5).
    pub fn orphans(&self, exists: impl Fn(SessionId) -> bool) -> Vec<SessionId> {
        self.ephemeral_owners().into_iter().filter(|&owner| !exists(owner)).collect()
    }
}

/// A node that has lost children in a transaction and not been told yet. No path: there is none.
#[derive(Default)]
struct Bereaved<'a> {
    path: &'a [u8],
    slot: u32,
    acl: AclRef,
    gone: u32,
}

/// Of a multi that failed: what its record says, and where a Java leader logged an operation as it was asked for, Ok before
/// the one that failed and RuntimeInconsistency behind it.
fn refusals(ops: &MultiTxn<'_>) -> Vec<Outcome> {
    let mut otherwise = ErrorCode::Ok;
    let code = |op: Txn<'_>| match op {
        Txn::Error(error) => {
            otherwise = ErrorCode::RuntimeInconsistency;
            error.code()
        }
        _ => otherwise,
    };
    ops.iter().map(|op| op.0).map(code).map(Outcome::Error).collect()
}

fn raise_parent(node: &mut Node, cversion: i32, zxid: Zxid) {
    if cversion > node.cversion {
        node.cversion = cversion;
        node.pzxid = zxid.0;
    }
}

fn nothing() -> Applied {
    Applied { changes: Changes::None, outcome: Outcome::Nothing }
}

/// The list of a transaction as nodes keep it; null is the open list.
fn stored_acl(acl: Option<AclList<'_>>) -> AclRef {
    let acl = acl.filter(|list| !list.is_open())?;
    acl_ref(acl.iter().map(|entry| entry.to_owned().unwrap_or_else(nobodys)).collect())
}

#[cfg(test)]
#[path = "apply_test.rs"]
mod tests;
