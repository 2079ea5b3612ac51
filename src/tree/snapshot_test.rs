//! A walk under writes, its order, its load, and what damage is told as.

use super::*;
use crate::base::Prng;
use crate::tree::AHEAD_BYTES_MAX;
use crate::tree::testing::{
    Image, KEY, Pipeline, World, image_of, load_nodes, random_request, random_transaction, snapshot_of,
};

fn empty() -> Store {
    crate::tree::tree(KEY, 0).0
}

fn paths(mut nodes: &[u8]) -> Vec<String> {
    let mut paths = vec![];
    while !nodes.is_empty() {
        let (record, rest) = Record::decode(nodes).expect("just written");
        paths.push(String::from_utf8(record.path.to_vec()).expect("a path of these tests"));
        nodes = rest;
    }
    paths
}

/// What a load of head and nodes gives, checked.
fn loaded(head: &[u8], nodes: &[u8]) -> Result<Image, LoadError> {
    let (head, rest) = Head::decode(head)?;
    assert!(rest.is_empty());
    let mut store = empty();
    let progress = load_nodes(&mut store, head.zxid, nodes)?;
    store.check_loaded(&head, &progress)?;
    assert_eq!(store.newest(), head.zxid);
    Ok(image_of(&store))
}

/// Readers lag and reclamation runs, so that slots are emptied and used again under the walk.
#[test]
fn a_walk_under_writes_is_the_tree_as_it_was_at_its_start() {
    let (mut most_kept, mut most_ahead) = (0, 0);
    for seed in 0..100 {
        let mut prng = Prng::new(seed);
        let mut world = World::new(1);
        for _ in 0..100 {
            random_transaction(&mut world, &mut prng);
            world.publish();
        }
        let expected = image_of(&world.store);
        let head = world.store.begin_snapshot(&[(SessionId(1), 4000), (SessionId(-5), 30_000)]);
        // All is kept; some is; as it ships.
        world.store.bound_ahead_of_snapshot([0, 300, AHEAD_BYTES_MAX][seed as usize % 3]);
        let (mut nodes, mut more) = (vec![], true);
        while more {
            for _ in 0..prng.below(5) {
                random_transaction(&mut world, &mut prng);
                world.publish();
                if prng.chance(1, 3) {
                    let published = world.readers[0].enter().published();
                    world.readers[0].raise(published);
                }
            }
            let kept = world.store.kept_for_snapshot();
            most_kept = most_kept.max(kept);
            assert!(kept <= expected.len(), "at most one pre-image per node");
            most_ahead = most_ahead.max(world.store.ahead_of_snapshot());
            more = world.store.continue_snapshot(1 + prng.below(3) as usize, usize::MAX, &mut nodes);
        }
        assert_eq!((world.store.kept_for_snapshot(), world.store.ahead_of_snapshot()), (0, 0));
        assert_eq!(loaded(&head, &nodes), Ok(expected), "seed {seed}");
        let (head, _) = Head::decode(&head).expect("just written");
        assert_eq!(head.sessions, [(SessionId(1), 4000), (SessionId(-5), 30_000)]);
        let order = paths(&nodes);
        for (at, path) in order.iter().enumerate().skip(1) {
            let parent = crate::base::parent(path.as_bytes()).expect("not the root");
            assert!(order[..at].iter().any(|before| before.as_bytes() == parent), "seed {seed}: {order:?}");
        }
    }
    assert!(
        most_kept > 5 && most_ahead > 500,
        "the writes met the walk: {most_kept} kept, {most_ahead} bytes ahead"
    );
}

#[test]
fn what_is_small_is_written_before_it_changes_and_what_is_large_is_kept() {
    let mut world = World::new(0);
    let large = [b'x'; 5000];
    for (path, data) in [("/large", &large[..]), ("/large/child", b""), ("/small", b"before"), ("/last", b"")]
    {
        world.create(path, data);
    }
    let expected = image_of(&world.store);
    let head = world.store.begin_snapshot(&[]);
    let held = |world: &World| (world.store.kept_for_snapshot(), world.store.ahead_of_snapshot() > 0);
    world.set_data("/large", b"after");
    // The root, which is above it, is small.
    assert_eq!(held(&world), (1, false));
    world.set_data("/small", b"after");
    assert_eq!(held(&world), (1, true));
    let ahead = world.store.ahead_of_snapshot();
    world.set_data("/small", b"again");
    world.delete("/small");
    let root_bytes = world.store.ahead_of_snapshot() - ahead;
    assert_eq!(root_bytes, 0, "once, and the root before it");
    // What is kept is large, though it is small by now; and so is what stands above a small one.
    world.set_data("/large", b"again");
    world.set_data("/large/child", b"after");
    assert_eq!((world.store.kept_for_snapshot(), world.store.ahead_of_snapshot()), (2, ahead));
    let mut nodes = vec![];
    assert!(!world.store.continue_snapshot(usize::MAX, usize::MAX, &mut nodes));
    assert_eq!(paths(&nodes)[..2], ["/", "/small"]);
    assert_eq!(loaded(&head, &nodes), Ok(expected));
}

#[test]
fn a_deep_node_is_kept_and_the_copy_of_its_parents_spared() {
    let mut world = World::new(0);
    let mut path = String::new();
    for _ in 0..40 {
        path.push_str("/n");
        world.create(&path, b"");
    }
    let expected = image_of(&world.store);
    let head = world.store.begin_snapshot(&[]);
    world.set_data(&path, b"after");
    assert_eq!((world.store.kept_for_snapshot(), world.store.ahead_of_snapshot()), (1, 0));
    let mut nodes = vec![];
    assert!(!world.store.continue_snapshot(usize::MAX, usize::MAX, &mut nodes));
    assert_eq!(loaded(&head, &nodes), Ok(expected));
}

#[test]
fn parents_in_higher_slots_come_first() {
    let mut world = World::new(0);
    for n in 0..6 {
        world.create(&format!("/n{n}"), b"");
    }
    for n in 0..6 {
        world.delete(&format!("/n{n}"));
    }
    // Freed slots come back last first: children end up below their parents.
    for _ in 0..8 {
        world.zxid = world.zxid.next();
        world.store.set_newest(world.zxid);
        world.publish();
    }
    let mut path = String::new();
    for name in ["/a", "/b", "/c", "/d"] {
        path.push_str(name);
        world.create(&path, b"");
    }
    let slot = |path: &str| world.store.find(path.as_bytes()).expect("made").0;
    assert!(slot("/a/b") < slot("/a") && slot("/a/b/c") < slot("/a/b"));
    let expected = image_of(&world.store);
    let (head, nodes) = snapshot_of(&mut world.store);
    assert_eq!(loaded(&head, &nodes), Ok(expected));
}

#[test]
fn budgets_bound_a_step() {
    let mut world = World::new(0);
    for n in 0..50 {
        world.create(&format!("/n{n:02}"), &[b'x'; 1000]);
    }
    world.store.begin_snapshot(&[]);
    let mut chunk = vec![];
    assert!(world.store.continue_snapshot(10, usize::MAX, &mut chunk));
    assert_eq!(paths(&chunk).len(), 10);
    chunk.clear();
    assert!(world.store.continue_snapshot(usize::MAX, 3000, &mut chunk));
    assert!((3000..4500).contains(&chunk.len()), "{} bytes: one node may pass the bound", chunk.len());
    world.store.abandon_snapshot();
    assert!(!world.store.continue_snapshot(1, 1, &mut chunk), "there is none");
    world.delete("/n49");
    assert_eq!(world.store.kept_for_snapshot(), 0, "nothing is kept for what was given up");
    let expected = image_of(&world.store);
    let (head, nodes) = snapshot_of(&mut world.store);
    assert_eq!(loaded(&head, &nodes), Ok(expected), "the next one is whole");
}

#[test]
#[should_panic(expected = "one snapshot at a time")]
fn two_at_once_are_refused() {
    let mut world = World::new(0);
    world.store.begin_snapshot(&[]);
    world.store.begin_snapshot(&[]);
}

/// A tree with all kinds of nodes: null and empty data, ephemerals, restricted ACLs, versions.
fn varied() -> (Vec<u8>, Vec<u8>, Image) {
    let mut pipeline = Pipeline::new();
    let mut prng = Prng::new(3);
    for step in 0..200 {
        // Whatever is granted: the tree only has to be varied.
        let _ = random_request(&mut pipeline, &mut prng);
        pipeline.apply_all();
        if step % 20 == 0 {
            pipeline.reopen_sessions();
        }
    }
    let world = &mut pipeline.world;
    world.create("/empty", b"");
    world.create_ephemeral(9, "/null");
    world.set_acl("/null", &[Acl::new(-1, "digest", "u:h"), Acl::new(0, "", "")]);
    world.create_ephemeral(i64::MIN + 1, "/owned");
    let image = image_of(&world.store);
    let (head, nodes) = snapshot_of(&mut world.store);
    (head, nodes, image)
}

#[test]
fn a_snapshot_goes_round() {
    let (head, nodes, image) = varied();
    assert!(image.len() > 10);
    assert_eq!(loaded(&head, &nodes), Ok(image));
}

#[test]
fn ephemerals_of_a_loaded_tree_are_known() {
    let (_, nodes, _) = varied();
    let mut store = empty();
    load_nodes(&mut store, Zxid(5), &nodes).expect("whole");
    assert_eq!(store.ephemerals_of(SessionId(9)), [Path::new(b"/null")]);
    assert!(store.ephemeral_owners().contains(&SessionId(i64::MIN + 1)));
}

#[test]
fn whatever_the_bytes_a_load_ends_with_a_tree_or_an_error() {
    let (head, nodes, image) = varied();
    let original = Some(image);
    for cut in 0..nodes.len() {
        let error = loaded(&head, &nodes[..cut]).expect_err("too little");
        assert!(!error.what.is_empty());
    }
    for cut in 0..head.len() {
        assert!(Head::decode(&head[..cut]).is_err(), "{cut}");
    }
    let mut prng = Prng::new(1);
    let mut refused = 0;
    for at in 0..nodes.len() {
        let mut damaged = nodes.clone();
        damaged[at] ^= 1 << prng.below(8);
        match loaded(&head, &damaged) {
            Err(_) => refused += 1,
            // Permissions and ids of ACLs are in no digest: there the file's checksums are the guard.
            Ok(image) => assert!(Some(image) != original, "byte {at} says nothing"),
        }
    }
    assert!(refused * 5 > nodes.len() * 4, "{refused} of {}", nodes.len());
}

fn record(path: &[u8], children_count: u32) -> Vec<u8> {
    let node = Node::new(
        Path::new(path),
        data_of(None),
        None,
        super::super::node::Birth { zxid: Zxid(1), time: 1, owner: 0 },
        0,
    );
    let mut bytes = vec![];
    write_node(&Node { children_count, ..node }, &mut bytes);
    bytes
}

fn fault(records: &[Vec<u8>]) -> LoadError {
    load_nodes(&mut empty(), Zxid(1), &records.concat()).expect_err("something is wrong with it")
}

#[test]
fn damage_is_refused_with_the_path() {
    let (root, a) = (record(b"/", 1), record(b"/a", 0));
    let said = |error: LoadError| error.to_string();
    assert_eq!(said(fault(std::slice::from_ref(&a))), "the parent is not before it (at /a)");
    assert_eq!(said(fault(&[root.clone(), a.clone(), a.clone()])), "the node is there twice (at /a)");
    assert_eq!(said(fault(&[root.clone(), root.clone()])), "the node is there twice (at /)");
    assert_eq!(said(fault(&[root.clone(), record(b"a", 0)])), "not a valid node (at a)");
    assert_eq!(said(fault(&[root.clone(), record(b"", 0)])), "not a valid node");
    assert_eq!(said(fault(&[root.clone(), record(b"/a\x01", 0)])), "not a valid node (at /a\u{1})");
    assert_eq!(said(fault(&[root.clone(), record(b"/a", 1 << 31)])), "not a valid node (at /a)");
    let cut = a[..a.len() - 1].to_vec();
    assert_eq!(said(fault(&[root.clone(), cut])), "a record ends in the middle (at /a)");

    let check = |records: &[Vec<u8>], nodes, digest: Option<u64>| {
        let mut store = empty();
        let progress = load_nodes(&mut store, Zxid(1), &records.concat()).expect("each is right");
        let digest = digest.unwrap_or(store.digest());
        let head = Head { zxid: Zxid(1), digest, nodes, sessions: vec![] };
        store.check_loaded(&head, &progress).map_err(said)
    };
    let whole = [root.clone(), a.clone()];
    assert_eq!(check(&whole, 2, None), Ok(()));
    assert_eq!(check(&[], 0, None), Err("there is no root (at /)".into()));
    assert_eq!(check(&whole, 3, None), Err("the number of nodes differs from the head's (at /)".into()));
    assert_eq!(check(&whole, 2, Some(7)), Err("the tree digest differs from the head's (at /)".into()));
    let too_many = [root, record(b"/a", 4)];
    assert_eq!(
        check(&too_many, 2, None),
        Err("the sum of all children differs from the number of nodes (at /)".into())
    );
    let misplaced = [record(b"/", 0), record(b"/a", 1)];
    assert_eq!(
        check(&misplaced, 2, None),
        Err("the number of children differs from the node's (at /a)".into())
    );
}
