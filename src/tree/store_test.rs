//! The tree against a naive model.

use std::collections::BTreeMap;

use super::*;
use crate::base::Prng;
use crate::tree::testing::{Image, World, image_at, image_of, random_transaction};
use crate::wire::OwnedAcl;
use crate::wire::acl::perms;

/// Everything is published and read, and nothing may be left of the past.
fn settle(world: &mut World) {
    loop {
        world.store.publish(world.zxid);
        for reader in &mut world.readers {
            let published = reader.enter().published();
            reader.raise(published);
        }
        world.store.reclaim(usize::MAX);
        if world.store.retired() == 0 {
            break;
        }
        // A deleted node's slot is freed by the transaction after.
        world.zxid = world.zxid.next();
        world.store.set_newest(world.zxid);
    }
    assert_eq!(world.store.index.len() as u64, world.store.nodes_count(), "no dead node is indexed");
    for slot in 0..world.store.arena.slots() {
        let Some(node) = world.store.arena.latest(slot) else { continue };
        assert!(node.is_alive(), "{:?} is dead and still there", node.path);
        let bag = node.children().map_or(0, Bag::len);
        assert_eq!(bag, node.children_count as usize, "dead children of {:?}", node.path);
    }
}

#[test]
fn the_digest_agrees_with_java() {
    let mut world = World::new(0);
    assert_eq!(world.store.digest(), 0x51C6_D660);
    assert_eq!(world.store.nodes_count(), 4);
    let header = crate::wire::txn::TxnHeader {
        client_id: SessionId(0x200_0011_ae25_0000),
        cxid: 1,
        zxid: Zxid(0x1_0000_0002),
        time: crate::base::WallMillis(1_795_169_287_086),
        kind: 1,
    };
    let create = world.creation("/x", Some(b"abc"), false);
    world.store.apply(&header, &crate::wire::txn::Txn::Create(create));
    assert_eq!(world.store.digest(), 0x1_952F_16F0);
    image_of(&world.store);
}

#[test]
fn the_fresh_tree_shows_javas_stats() {
    let world = World::new(0);
    let stat = |path| world.node(path).expect("planted").stat();
    assert_eq!((stat("/").cversion, stat("/").num_children), (-1, 1));
    assert_eq!((stat("/zookeeper").cversion, stat("/zookeeper").num_children), (-2, 2));
    assert_eq!(stat("/zookeeper/quota").cversion, 0);
    assert_eq!((stat("/zookeeper/config").aversion, stat("/zookeeper/config").version), (-1, 0));
    let read_only = OwnedAcl::new(perms::READ, "world", "anyone");
    assert_eq!(world.node("/zookeeper/config").and_then(Node::acl_entries), Some(&[read_only][..]));
    assert_eq!(world.node("").map(|node| &node.path), world.node("/").map(|node| &node.path));
    assert_eq!(world.node("/").and_then(Node::data), Some(&b""[..]));
}

/// The transactions came while reclamation was behind, as behind a session with many ephemerals.
#[test]
fn a_parent_deleted_right_behind_its_child_goes_after_it() {
    let mut world = World::new(1);
    world.readers[0].enter();
    world.create("/p", b"");
    world.create("/p/c", b"");
    world.create("/p/c/d", b"");
    world.delete("/p/c/d");
    world.delete("/p/c");
    world.delete("/p");
    settle(&mut world);
    assert_eq!(world.store.nodes_count(), 4);
    assert!(world.store.find_any(world.store.key.hash(b"/p"), b"/p").is_none());
    world.create("/p", b"again");
    world.create("/p/c", b"");
    settle(&mut world);
    assert_eq!(image_of(&world.store).len(), 6);
}

#[test]
fn a_slot_lives_on_under_its_readers() {
    let mut world = World::new(1);
    world.create("/a", b"one");
    world.publish();
    let slot = world.store.find(b"/a").expect("created").0;
    let old = world.readers[0].enter().floor();
    world.delete("/a");
    world.create("/a", b"two");
    world.publish();
    assert_eq!(world.store.find(b"/a").map(|found| found.0), Some(slot), "the chain goes on");
    let reading = world.readers[0].enter();
    assert_eq!(reading.node(b"/a", old).and_then(Node::data), Some(&b"one"[..]));
    assert!(reading.node(b"/a", old.next()).is_none());
    assert_eq!(reading.node(b"/a", world.zxid).and_then(Node::data), Some(&b"two"[..]));
    assert!(world.store.retired() > 0);
    settle(&mut world);
    assert_eq!(world.store.arena.slots(), 5, "no slot was made for the second life");
}

#[test]
fn slots_are_used_again() {
    let mut world = World::new(1);
    for round in 0..100 {
        let path = format!("/n{round}");
        world.create(&path, b"x");
        world.create(&format!("{path}/c"), b"x");
        world.delete(&format!("{path}/c"));
        world.delete(&path);
        settle(&mut world);
    }
    assert!(world.store.arena.slots() <= 4 + 4, "{} slots", world.store.arena.slots());
}

#[test]
fn a_bag_of_holes_is_replaced_and_old_readers_keep_theirs() {
    let mut world = World::new(2);
    for n in 0..1000 {
        world.create(&format!("/n{n}"), b"");
    }
    world.publish();
    let full = world.zxid;
    world.readers[0].enter();
    world.readers[1].enter();
    for n in 10..1000 {
        world.delete(&format!("/n{n}"));
    }
    world.publish();
    // One reader is still at the full tree: nothing may go.
    assert_eq!(image_at(&world.readers[0].enter(), full).len(), 1004);
    world.readers.truncate(1);
    let published = world.readers[0].enter().published();
    world.readers[0].raise(published);
    world.store.reclaim(usize::MAX);
    let bag = world.store.node(ROOT).children().expect("it has children");
    assert!(bag.holes() >= 990, "{} holes", bag.holes());
    let before = world.zxid;
    world.create("/new", b"");
    world.publish();
    let bag = world.store.node(ROOT).children().expect("it has children");
    assert_eq!((bag.holes(), bag.len()), (0, 12));
    let reading = world.readers[0].enter();
    assert_eq!(image_at(&reading, before).len(), 14);
    assert_eq!(image_at(&reading, world.zxid).len(), 15);
    for n in 0..10 {
        world.delete(&format!("/n{n}"));
    }
    settle(&mut world);
    assert_eq!(image_of(&world.store).len(), 5);
}

#[test]
fn ephemerals_are_known_by_their_owner() {
    let mut world = World::new(0);
    let of = |world: &World, session| {
        let paths = world.store.ephemerals_of(SessionId(session));
        paths.iter().map(Path::to_string).collect::<Vec<_>>()
    };
    world.create_ephemeral(1, "/b");
    world.create_ephemeral(1, "/a");
    world.create_ephemeral(2, "/c");
    world.create("/d", b"");
    assert_eq!(of(&world, 1), ["/a", "/b"]);
    assert_eq!(world.store.ephemeral_owners(), [SessionId(1), SessionId(2)]);
    assert_eq!(world.store.ephemerals_count(), 3);
    world.delete("/b");
    world.create_ephemeral(2, "/b");
    assert_eq!((of(&world, 1), of(&world, 2)), (vec!["/a".into()], vec!["/b".into(), "/c".into()]));
    world.close(1, &["/a"]);
    assert_eq!(world.store.ephemeral_owners(), [SessionId(2)]);
    assert_eq!(world.store.orphans(|session| session == SessionId(2)), []);
    assert_eq!(world.store.orphans(|_| false), [SessionId(2)]);
    world.close(2, &[]);
    assert_eq!((world.store.ephemerals_count(), world.store.nodes_count()), (0, 5));
}

/// Random transactions over few paths, with readers that lag, raise and park as they like: whatever a reader may read
/// is what was there at that zxid, and in the end nothing is left of the past.
#[test]
fn readers_see_history_as_it_was() {
    for seed in 0..40 {
        let mut prng = Prng::new(seed);
        let mut world = World::new(3);
        // Images of the zxids that somebody may still read, and each reader's floor if it isn't parked.
        let mut history: BTreeMap<Zxid, Image> = BTreeMap::new();
        history.insert(Zxid::ZERO, image_of(&world.store));
        let mut floors: Vec<Option<Zxid>> = vec![None; 3];
        for _ in 0..300 {
            random_transaction(&mut world, &mut prng);
            history.insert(world.zxid, image_of(&world.store));
            if prng.chance(1, 2) {
                world.publish();
            }
            let reader = prng.below(3) as usize;
            match prng.below(6) {
                0 => {
                    world.readers[reader].park();
                    floors[reader] = None;
                }
                1 | 2 => {
                    let floor = world.readers[reader].enter().floor();
                    let newest = world.store.published();
                    let raised = Zxid(floor.0 + prng.below((newest.0 - floor.0 + 1) as u64) as i64);
                    world.readers[reader].raise(raised);
                    floors[reader] = Some(raised);
                }
                _ => {
                    let reading = world.readers[reader].enter();
                    let floor = *floors[reader].get_or_insert(reading.floor());
                    assert_eq!(reading.floor(), floor);
                    let at = Zxid(floor.0 + prng.below((reading.published().0 - floor.0 + 1) as u64) as i64);
                    assert_eq!(image_at(&reading, at), history[&at], "seed {seed} at {at}");
                }
            }
        }
        let last = image_of(&world.store);
        settle(&mut world);
        assert_eq!(image_of(&world.store), last, "seed {seed}");
    }
}

#[test]
fn every_node_is_found_and_no_other() {
    let mut world = World::new(0);
    let paths: Vec<String> = (0..5000).map(|n| format!("/n{n}")).collect();
    for path in &paths {
        world.create(path, path.as_bytes());
    }
    for path in &paths {
        assert_eq!(world.node(path).and_then(Node::data), Some(path.as_bytes()));
        assert!(world.node(&format!("{path}x")).is_none());
    }
}
