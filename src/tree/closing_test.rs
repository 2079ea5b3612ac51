//! What is worked out ahead and then done at once is what doing it path by path comes to.

use crate::base::{Prng, WallMillis};
use crate::tree::testing::{World, image_at, image_of, text_bytes, texts};
use crate::wire::OwnedAcl;
use crate::wire::txn::{Entry, Txn};

use super::*;

/// A tree with two sessions' ephemerals below a few parents; of the first one's paths those that are still there, in order.
fn grown(seed: u64, quota: bool) -> (World, Vec<String>) {
    let mut world = World::new(1);
    let mut prng = Prng::new(seed);
    for path in ["/a", "/a/b", "/c"] {
        world.create(path, b"data");
    }
    world.set_acl("/c", &[OwnedAcl::new(1, "world", "anyone")]);
    if quota {
        world.create("/zookeeper/quota/a", b"");
        world.create("/zookeeper/quota/a/zookeeper_limits", b"count=1000,bytes=1000");
        world.create("/zookeeper/quota/a/zookeeper_stats", b"count=0,bytes=0");
    }
    let mut owned = vec![];
    for number in 0..prng.below(150) {
        let parent = ["", "/a", "/a/b", "/c"][prng.below(4) as usize];
        let path = format!("{parent}/{:x}-{number}", prng.below(1 << 20));
        let session = 1 + i64::from(prng.chance(1, 4));
        world.create_ephemeral(session, &path);
        if prng.chance(1, 2) {
            world.set_data(&path, &vec![b'x'; prng.below(20) as usize]);
        }
        if prng.chance(1, 5) {
            world.delete(&path);
        } else if session == 1 {
            owned.push(path);
        }
        if prng.chance(1, 3) {
            world.publish();
        }
    }
    owned.sort_unstable();
    (world, owned)
}

fn header(world: &World, txn: Txn<'_>) -> TxnHeader {
    Entry::new(SessionId(1), 0, world.zxid.next(), WallMillis(9), txn, None).header
}

/// Everything that is seen of it, counts and lists included.
fn state(world: &mut World) -> String {
    world.zxid = world.zxid.next();
    world.publish();
    let store = &world.store;
    let counts = (store.nodes_count(), store.data_bytes(), store.path_bytes(), store.ephemerals_count());
    let lists = (store.ephemeral_owners(), store.ephemerals_of(SessionId(2)));
    let digest = (store.digest(), store.newest());
    let seen = image_at(&world.readers[0].enter(), world.zxid);
    assert_eq!(seen, image_of(store));
    format!("{counts:?} {lists:?} {digest:?} {seen:?}")
}

#[test]
fn in_pieces_at_once_and_path_by_path_are_the_same() {
    for seed in 0..200 {
        let (quota, listed) = (seed % 3 == 0, seed % 2 == 0);
        let (mut pieces, owned) = grown(seed, quota);
        let (mut whole, _) = grown(seed, quota);
        let (mut slow, _) = grown(seed, quota);
        let mut prng = Prng::new(seed);
        let mut paths: Vec<&str> = owned.iter().map(String::as_str).collect();
        if seed % 4 == 0 {
            for last in (1..paths.len()).rev() {
                paths.swap(last, prng.below(last as u64 + 1) as usize);
            }
        }
        let bytes = text_bytes(&paths);
        let list = listed.then(|| texts(&bytes));
        let txn = Txn::CloseSession(list);
        let header = header(&pieces, txn);

        let mut closing = None;
        let mut turns = 0;
        let record = if listed { &bytes[..] } else { &[] };
        let before = (pieces.store.digest(), pieces.store.nodes_count(), pieces.store.newest());
        loop {
            let mut budget = 1 + prng.below(40) as usize;
            turns += 1;
            if pieces.store.prepare_close(&mut closing, &header, record, &mut budget) {
                break;
            }
            assert_eq!(budget, 0, "a piece is as large as it may be");
            let now = (pieces.store.digest(), pieces.store.nodes_count(), pieces.store.newest());
            assert_eq!(now, before, "nothing is done before all is");
            pieces.store.reclaim(5);
        }
        assert!(turns > owned.len() / 20, "seed {seed}: {} nodes in {turns} turns", owned.len());
        assert!(closing.as_ref().is_some_and(|closing| closing.is_usual), "seed {seed}");

        let in_pieces = pieces.store.apply_prepared(&header, &txn, closing);
        let at_once = whole.store.apply(&header, &txn);
        let by_path = slow.store.close_path_by_path(&header, list);
        slow.store.set_newest(header.zxid);
        assert_eq!(in_pieces.changes.as_slice().len(), owned.len(), "seed {seed}");
        let told = |applied: &Applied| format!("{applied:?}");
        assert_eq!(told(&in_pieces), told(&by_path), "seed {seed}");
        assert_eq!(told(&at_once), told(&by_path), "seed {seed}");
        let state_by_path = state(&mut slow);
        assert_eq!(state(&mut pieces), state_by_path, "seed {seed}");
        assert_eq!(state(&mut whole), state_by_path, "seed {seed}");
    }
}

/// What only a fuzzy snapshot shows: left to who takes the list at its word.
#[test]
fn what_is_unusual_is_left_to_the_slow_way() {
    let listed: [&[&str]; 5] =
        [&["/a/1"], &["/a/1", "/a/2", "/a/3"], &["/a/1", "/a/1"], &["/a/1", "/b"], &["/a/1", "/x/y"]];
    for paths in listed {
        let grown = || {
            let mut world = World::new(1);
            world.create("/a", b"");
            world.create("/b", b"");
            world.create_ephemeral(1, "/a/1");
            world.create_ephemeral(1, "/a/2");
            world.create_ephemeral(2, "/a/3");
            world
        };
        let (mut world, mut slow) = (grown(), grown());
        let bytes = text_bytes(paths);
        let txn = Txn::CloseSession(Some(texts(&bytes)));
        let header = header(&world, txn);
        let (mut closing, mut budget) = (None, usize::MAX);
        assert!(world.store.prepare_close(&mut closing, &header, &bytes, &mut budget));
        assert!(!closing.as_ref().is_some_and(|closing| closing.is_usual), "{paths:?}");
        let applied = world.store.apply_prepared(&header, &txn, closing);
        let by_path = slow.store.close_path_by_path(&header, Some(texts(&bytes)));
        assert_eq!(format!("{applied:?}"), format!("{by_path:?}"), "{paths:?}");
        assert_eq!(state(&mut world), state(&mut slow), "{paths:?}");
        assert_eq!(world.store.ephemerals_of(SessionId(1)), []);
    }
}

/// A quota's own node counts for nothing any more when it is gone.
#[test]
fn a_quotas_node_is_left_to_the_slow_way() {
    let mut world = World::new(0);
    world.create("/zookeeper/quota/a", b"");
    world.create_ephemeral(1, "/zookeeper/quota/a/zookeeper_limits");
    let txn = Txn::CloseSession(None);
    let header = header(&world, txn);
    let (mut closing, mut budget) = (None, usize::MAX);
    assert!(world.store.prepare_close(&mut closing, &header, &[], &mut budget));
    assert!(!closing.is_some_and(|closing| closing.is_usual));
    world.store.apply(&header, &txn);
    assert!(!world.store.has_quotas() && world.node("/zookeeper/quota/a/zookeeper_limits").is_none());
}

/// Worked out of another tree than the one it would be applied to, or for another transaction.
#[test]
fn what_was_begun_on_another_tree_is_begun_anew() {
    let (mut world, owned) = grown(5, false);
    let txn = Txn::CloseSession(None);
    let mut closing = None;
    let first = header(&world, txn);
    assert!(!world.store.prepare_close(&mut closing, &first, &[], &mut 10));
    world.delete(&owned[0]);
    world.delete(&owned[1]);
    let then = header(&world, txn);
    let mut budget = usize::MAX;
    assert!(world.store.prepare_close(&mut closing, &then, &[], &mut budget));
    let applied = world.store.apply_prepared(&then, &txn, closing);
    assert_eq!(applied.changes.as_slice().len(), owned.len() - 2);
    assert_eq!(world.store.ephemerals_of(SessionId(1)), []);
}

/// By a path's first bytes that differ, then by the path.
#[test]
fn slots_are_put_into_the_order_of_their_paths() {
    for seed in 0..50 {
        let mut prng = Prng::new(seed);
        let mut world = World::new(0);
        world.create("/p", b"");
        let mut paths = vec![];
        for number in 0..prng.below(40) {
            let parent = if seed % 2 == 0 || prng.chance(1, 2) { "/p" } else { "" };
            let same = "x".repeat(prng.below(12) as usize);
            let path = format!("{parent}/{same}{number}");
            world.create_ephemeral(1, &path);
            paths.push(path);
        }
        paths.sort_unstable();
        let found: Vec<String> =
            world.store.ephemerals_of(SessionId(1)).iter().map(ToString::to_string).collect();
        assert_eq!(found, paths, "seed {seed}");
    }
}
