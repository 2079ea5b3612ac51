//! What went wrong elsewhere when a snapshot was taken while transactions were applied, said in the virtual cluster.
//!
//! Here the walk through the tree takes many turns; a server has to start from a snapshot that what must be whole came into.

use super::scenarios::world;
use super::*;
use crate::wire::txn::{Entry, Txn};
use crate::wire::{Decode, Reader};

/// A tree that is more than one turn's walk, and walks that take some ten milliseconds.
fn slow_walks() -> World {
    let mut world = world(Plan { snapshot_pace: 500_000, ..Plan::quiet(3, 0) });
    let client = world.client(world.leader());
    for part in 0..5 {
        let paths = (0..100).map(|at| format!("/tree{part}-{at}")).collect();
        world.done(client, Op::Multi { paths });
    }
    world.until("all have it", World::all_equal);
    world
}

impl World {
    /// The server starts anew from its newest snapshot, if such a transaction was applied while that was being taken.
    /// Whether it was. It compares itself with the history whenever it begins to serve.
    fn starts_from_overlap(&mut self, node: usize, power: bool, is_wanted: fn(&Txn<'_>) -> bool) -> bool {
        let found = &self.nodes[node];
        let Some(newest) = found.disk.snapshot_names().last().copied() else { return false };
        let is_such = |zxid: &Zxid| {
            let entry = Entry::decode(&mut Reader::new(&self.logged[zxid])).expect("it can be read");
            is_wanted(&entry.txn)
        };
        if !found.overlaps.iter().any(|(snapshot, zxid)| *snapshot == newest && is_such(zxid)) {
            return false;
        }
        self.nodes[node].overlaps.clear();
        self.crash(node, power);
        self.start(node);
        assert_eq!(self.nodes[node].began_with, newest);
        self.serves(node);
        true
    }
}

/// ZK-3127: a snapshot in the middle of a multi had its first part and its zxid; the rest was lost in a restart.
/// Snapshots are of one zxid: restarts give the tree of the others.
#[test]
fn zk_3127_a_multi_is_in_a_snapshot_or_not() {
    let mut world = slow_walks();
    let (leader, (follower, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    let mut starts = 0;
    for round in 0..200 {
        let paths = ["a", "b", "c"].map(|part| format!("/m{round}{part}"));
        world.done(client, Op::Multi { paths: paths.to_vec() });
        starts += u32::from(
            world.starts_from_overlap(follower, round % 2 == 0, |txn| matches!(txn, Txn::Multi(_))),
        );
    }
    assert!(starts >= 3, "{starts} starts from snapshots that a multi came into");
    world.end_well();
}

/// Sessions with ephemerals come and go while snapshots are taken; a follower starts from each that an end came into.
fn sessions_and_starts(power: bool) -> (World, usize) {
    let mut world = slow_walks();
    let (leader, (follower, _)) = (world.leader(), world.followers());
    let mut starts = 0;
    for round in 0..40 {
        let client = world.client(leader);
        for at in 0..2 {
            world.done(client, Op::Create { path: format!("/e{round}-{at}"), ephemeral: true });
        }
        if round % 3 != 0 {
            world.done(client, Op::Close);
        } else {
            world.leave(client);
        }
        let is_close = |txn: &Txn<'_>| matches!(txn, Txn::CloseSession(_));
        starts += u32::from(world.starts_from_overlap(follower, power, is_close));
    }
    assert!(starts >= 2, "{starts} starts from snapshots that the end of a session came into");
    (world, follower)
}

/// ZK-3144: a snapshot had the sessions of one moment and the tree of another: ephemerals without a session.
/// Whoever starts from a snapshot has the sessions and the ephemerals of the others.
#[test]
fn zk_3144_sessions_and_tree_are_of_one_zxid() {
    let (mut world, _) = sessions_and_starts(true);
    world.end_well();
    let sessions: Vec<_> =
        world.nodes.iter().map(|node| node.replica().expect("runs").sessions().list()).collect();
    assert_eq!(sessions[0].len(), sessions[1].len());
}

/// ZK-3145: closeSession was replayed over a snapshot that had a part of it, and pzxids differed from then on.
/// Two starts in a row from the same disk give the digest of the others.
#[test]
fn zk_3145_replay_gives_the_same_tree() {
    let (mut world, follower) = sessions_and_starts(false);
    for _ in 0..2 {
        world.crash(follower, false);
        world.start(follower);
    }
    let (applied, digest) =
        world.nodes[follower].replica().map(|it| (it.applied(), it.store().digest())).expect("it runs");
    assert_eq!(world.judge.digest(applied), Some(digest));
    world.end_well();
}
