//! Round trips, under writes and in pieces of any size; what is no snapshot.

use super::*;
use crate::base::{Prng, Zxid};
use crate::tree::testing::{Image, KEY, Op, World, image_of, random_transaction};
use crate::tree::{JavaLoad, JavaSnapshot, JavaSnapshotError};

fn empty() -> Store {
    crate::tree::tree(KEY, 0).0
}

fn body_of(store: &mut Store, sessions: Vec<(SessionId, i32)>, budget: usize, bytes_max: usize) -> Vec<u8> {
    let id = store.begin_java_snapshot(sessions);
    let mut body = vec![];
    loop {
        let mut chunk = vec![];
        let more = store.continue_java_snapshot(id, budget, bytes_max, &mut chunk);
        assert!(chunk.len() < bytes_max.saturating_add(4096));
        body.extend(chunk);
        if !more {
            return body;
        }
    }
}

/// In pieces of the sizes that `sizes` draws.
fn load(body: &[u8], mut size: impl FnMut() -> usize) -> Result<(Store, JavaSnapshot), JavaSnapshotError> {
    let mut store = empty();
    let mut load = JavaLoad::new(Zxid(900), KEY);
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(size().clamp(1, rest.len()));
        let taken = load.feed(&mut store, piece)?;
        if load.is_complete() {
            assert_eq!(rest.len() - taken, TAIL.len().min(rest.len() - taken));
            break;
        }
        assert_eq!(taken, piece.len());
        rest = behind;
    }
    let found = load.finish(&mut store)?;
    assert_eq!(store.newest(), Zxid(900));
    Ok((store, found))
}

const TAIL: &[u8] = b"\0\0\0\x0aBenWasHere";

/// Ephemerals, a container, a TTL node, several ACLs, null and empty data, quotas.
fn rich() -> World {
    let mut world = World::new(0);
    world.create("/a", b"some");
    world.create("/a/b", b"");
    world.create_ephemeral(0x100_0000_0000_0001, "/a/e");
    world.set_acl("/a/b", &[OwnedAcl::new(31, "digest", "u:x"), OwnedAcl::new(1, "world", "anyone")]);
    world.create("/other", b"");
    world.set_acl("/other", &[OwnedAcl::new(31, "digest", "u:x"), OwnedAcl::new(1, "world", "anyone")]);
    for (path, owner) in [("/container", crate::tree::node::CONTAINER_OWNER), ("/ttl", 0xff << 56 | 5000)] {
        world.create(path, b"x");
        let (zxid, slot) = (world.store.newest(), world.store.find(path.as_bytes()).expect("made").0);
        world.store.update(zxid, slot, |node| node.alter_extras(|extras| extras.owner = owner));
    }
    world.create("/zookeeper/quota/a", b"");
    world.create("/zookeeper/quota/a/zookeeper_limits", b"count=5,bytes=-1");
    world.create("/zookeeper/quota/a/zookeeper_stats", b"count=3,bytes=4");
    world
}

#[test]
fn a_rich_tree_comes_back_the_same() {
    let mut world = rich();
    let expected = image_of(&world.store);
    let digest = world.store.digest();
    let sessions = vec![(SessionId(0x100_0000_0000_0001), 4000), (SessionId(-7), 30_000)];
    let body = body_of(&mut world.store, sessions.clone(), usize::MAX, usize::MAX);
    for (budget, bytes_max) in [(1, usize::MAX), (3, 50), (usize::MAX, 1)] {
        // Slots are the same, so is the order.
        assert_eq!(body_of(&mut world.store, sessions.clone(), budget, bytes_max), body);
    }
    let with_tail = [&body[..], TAIL].concat();
    for size in [1, 2, 7, 64, usize::MAX] {
        let (store, found) = load(&with_tail, || size).expect("what was written");
        assert_eq!(image_of(&store), expected, "pieces of {size}");
        assert_eq!((store.digest(), &found.sessions), (digest, &sessions));
        assert_eq!(found.bytes, body.len() as u64);
    }
    let (store, _) = load(&body, || 10).expect("what was written");
    assert_eq!(store.ephemerals_of(SessionId(0x100_0000_0000_0001)).len(), 1);
    assert_eq!(store.reapable.len(), 2);
    let shared = |path: &[u8]| store.find(path).expect("there").1.acl().expect("restricted");
    assert!(Arc::ptr_eq(&shared(b"/a/b"), &shared(b"/other")), "lists are shared");
}

#[test]
fn the_bytes_are_the_formats() {
    let mut world = World::new(0);
    let body = body_of(&mut world.store, vec![(SessionId(5), 6)], usize::MAX, usize::MAX);
    let mut expected = b"\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\x06".to_vec();
    // One list: that of /zookeeper/config.
    expected.extend(b"\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x05world\0\0\0\x06anyone");
    for (path, list, aversion) in
        [("", -1i64, 0i32), ("/zookeeper", -1, 0), ("/zookeeper/quota", -1, 0), ("/zookeeper/config", 1, -1)]
    {
        sized(&mut expected, path.as_bytes());
        sized(&mut expected, b"");
        expected.extend(list.to_be_bytes());
        expected.extend([0; 4 * 8]);
        expected.extend([0; 2 * 4]);
        expected.extend(aversion.to_be_bytes());
        expected.extend([0; 2 * 8]);
    }
    expected.extend(b"\0\0\0\x01/");
    assert_eq!(body, expected);
}

#[test]
fn a_stream_under_writes_is_the_tree_as_it_was_at_its_start() {
    for seed in 0..60 {
        let mut prng = Prng::new(seed);
        let mut world = World::new(0);
        let mut expected: Vec<(JavaStreamId, Image, Vec<u8>)> = vec![];
        let mut done = 0;
        while done < 3 {
            for _ in 0..prng.below(6) {
                random_transaction(&mut world, &mut prng);
                world.publish();
            }
            if expected.len() + done < 3 && prng.chance(1, 10) {
                let image = image_of(&world.store);
                expected.push((world.store.begin_java_snapshot(vec![(SessionId(1), 2)]), image, vec![]));
            }
            let budget = 1 + prng.below(3) as usize;
            expected.retain_mut(|(id, image, body)| {
                if world.store.continue_java_snapshot(*id, budget, usize::MAX, body) {
                    return true;
                }
                let (store, _) = load(body, || 1 + prng.below(40) as usize).expect("what was written");
                assert_eq!(&image_of(&store), image, "seed {seed}");
                done += 1;
                false
            });
        }
        assert_eq!(world.store.kept_for_java_snapshots(), 0);
    }
}

#[test]
fn what_is_abandoned_holds_nothing() {
    let mut world = rich();
    let id = world.store.begin_java_snapshot(vec![]);
    world.set_data("/other", b"later");
    assert_eq!(world.store.kept_for_java_snapshots(), 1);
    world.store.abandon_java_snapshot(id);
    assert_eq!(world.store.kept_for_java_snapshots(), 0);
    assert!(!world.store.continue_java_snapshot(id, 9, 9, &mut vec![]));
}

/// Every cut is told; no flipped bit panics, and what loads is a sound tree.
#[test]
fn damage_is_an_error_or_another_tree() {
    let mut world = rich();
    let body = body_of(&mut world.store, vec![(SessionId(1), 2)], usize::MAX, usize::MAX);
    for end in 0..body.len() {
        let error = load(&body[..end], || 13).err().expect("a part is no whole");
        assert!(error.to_string().contains("ends in the middle"), "{end}: {error}");
    }
    let mut refused = 0;
    for bit in 0..body.len() * 8 {
        let mut damaged = body.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let mut store = empty();
        let mut load = JavaLoad::new(Zxid(900), KEY);
        let fed = damaged.chunks(100).try_for_each(|piece| load.feed(&mut store, piece).map(|_| ()));
        match fed.and_then(|()| load.finish(&mut store)) {
            Ok(_) => drop(image_of(&store)),
            Err(error) => {
                refused += 1;
                assert!(error.offset <= body.len() as u64, "{error}");
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Lists that were met while the snapshot was written: nobody is let in until the transactions behind it give them.
#[test]
fn a_list_that_is_missing_comes_with_the_transactions_behind() {
    let node = |out: &mut Vec<u8>, path: &str, list: i64| {
        sized(out, path.as_bytes());
        sized(out, b"data");
        out.extend(list.to_be_bytes());
        out.extend([0; 60]);
    };
    let mut body = vec![0u8; 8];
    for (path, list) in [("", -1), ("/a", 5), ("/b", 5), ("/c", 6), ("/d", 7)] {
        node(&mut body, path, list);
    }
    sized(&mut body, b"/");
    let (store, found) = load(&body, || 5).expect("it is whole as a file");
    assert!(found.lacks_lists);
    let mut world = World::new(0);
    (world.store, world.zxid) = (store, Zxid(900));
    let list_of = |world: &World, path: &str| world.node(path).expect("there").acl();
    assert!(Arc::ptr_eq(&list_of(&world, "/a").expect("closed"), &list_of(&world, "/b").expect("closed")));
    for (path, list) in [("/a", "5"), ("/d", "7")] {
        let acl = list_of(&world, path).expect("closed");
        assert_eq!(acl[..], [OwnedAcl::new(0, "unlisted", list)]);
    }
    let mine = [OwnedAcl::new(31, "digest", "u:x")];
    let missing = |world: &World| world.store.unlisted().map(|node| (node.path, node.id));
    let node = |path: &str, id: &str| Some((path.to_owned(), id.to_owned()));
    assert_eq!(missing(&world), node("/a", "5"));
    world.set_acl("/a", &mine);
    assert_eq!(missing(&world), node("/b", "5"));
    world.create("/b", b"again");
    assert_eq!(list_of(&world, "/b"), None);
    world.delete("/c");
    assert_eq!(missing(&world), node("/d", "7"));
    world.multi(&[Op::Create("/d".into(), b"again".to_vec())]);
    assert_eq!((missing(&world), list_of(&world, "/d")), (None, None));
    assert_eq!(list_of(&world, "/a").expect("its own")[..], mine);
}

#[test]
fn errors_name_what_and_where() {
    let node = |out: &mut Vec<u8>, path: &str, list: i64| {
        sized(out, path.as_bytes());
        sized(out, b"data");
        out.extend(list.to_be_bytes());
        out.extend([0; 60]);
    };
    let head = || vec![0u8; 8];
    let error = |body: &[u8]| load(body, || 5).err().expect("refused").to_string();
    let mut body = head();
    node(&mut body, "/a", -1);
    assert_eq!(error(&body), "not a snapshot of Apache ZooKeeper, at byte 8: /a: the root has to come first");
    let mut body = head();
    node(&mut body, "", -1);
    let second = body.len();
    node(&mut body, "/a/b", -1);
    assert!(error(&body).ends_with(&format!("byte {second}: /a/b: the parent is not before it")));
    body.truncate(second);
    node(&mut body, "/a", -1);
    node(&mut body, "/a", -1);
    assert!(error(&body).ends_with("/a: the node is there twice"));
    body.truncate(second);
    node(&mut body, "", -1);
    assert!(error(&body).ends_with(": the root comes twice"));
    assert!(error(b"\xff\xff\xff\xfe").ends_with("byte 0: -2 sessions"));
    assert!(error(b"\0\0\0\0\x7f\xff\xff\xff").ends_with("it ends in the middle"));
    assert!(error(b"\0\0\0\0\0\0\0\0\x7f\xff\xff\xff").contains("a record of more than"));
    assert!(error(b"\0\0\0\0\0\0\0\0\0\0\0\x01/").ends_with("it has no root"));
}

/// As Java reads what it writes, and what only odd providers or old servers leave: no list ends the whole.
#[test]
fn every_acl_list_that_java_reads_is_read() {
    type Entries<'a> = &'a [(&'a str, Option<&'a [u8]>)];
    let lists: [(Entries<'_>, Option<&str>); 4] = [
        // Java writes this character as two surrogates, and reads two that can't be read.
        (&[("digest", Some(b"u\xed\xa0\xbd\xed\xb8\x80:x"))], Some("u\u{fffd}\u{fffd}:x")),
        (&[("digest", Some(b"u\xff"))], Some("u\u{fffd}")),
        (&[("digest", None)], Some("")), // nobody's
        (&[], None),
    ];
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, lists.len() as u8];
    for (id, (entries, _)) in (1i64..).zip(lists) {
        body.extend(id.to_be_bytes());
        body.extend((entries.len() as i32).to_be_bytes());
        for (scheme, name) in entries {
            body.extend(31i32.to_be_bytes());
            sized(&mut body, scheme.as_bytes());
            match name {
                Some(name) => sized(&mut body, name),
                None => body.extend((-1i32).to_be_bytes()),
            }
        }
    }
    for (path, list) in [("", -1i64), ("/1", 1), ("/2", 2), ("/3", 3), ("/4", 4)] {
        sized(&mut body, path.as_bytes());
        sized(&mut body, b"data");
        body.extend(list.to_be_bytes());
        body.extend([0; 60]);
    }
    sized(&mut body, b"/");
    let (store, found) = load(&body, || 7).expect("it is whole");
    assert!(!found.lacks_lists);
    for (number, (_, name)) in (1..).zip(lists) {
        let (_, node) = store.find(format!("/{number}").as_bytes()).expect("there");
        let acl = node.acl().expect("not the open one");
        assert_eq!(acl.first().map(|entry| entry.id.as_str()), name);
    }
}

/// ZooKeeper counts anew what it has loaded: the statistic may be of another moment than the nodes.
#[test]
fn the_statistics_of_quotas_are_counted_from_the_tree() {
    let mut world = World::new(0);
    for (path, data) in [("/q", "12"), ("/q/a", "345"), ("/out", ""), ("/out/in", "1"), ("/out/in/x", "22")] {
        world.create(path, data.as_bytes());
    }
    for path in ["q", "out", "out/in"] {
        world.create(&format!("/zookeeper/quota/{path}"), b"");
        world.create(&format!("/zookeeper/quota/{path}/zookeeper_limits"), b"count=50,bytes=-1");
        world.create(&format!("/zookeeper/quota/{path}/zookeeper_stats"), b"");
    }
    let stats_of = |store: &Store, path: &str| {
        let (_, node) =
            store.find(format!("/zookeeper/quota/{path}/zookeeper_stats").as_bytes()).expect("there");
        String::from_utf8(node.data().expect("some").to_vec()).expect("ASCII")
    };
    let all = |store: &Store| ["q", "out", "out/in"].map(|path| stats_of(store, path));
    let right = all(&world.store);
    assert_eq!(right, ["count=2,bytes=5", "count=3,bytes=3", "count=2,bytes=3"]);
    let body = body_of(&mut world.store, vec![], usize::MAX, usize::MAX);
    // Of one moment: what it says stays, whatever that is, or members would differ.
    let at = body.windows(15).position(|window| window == b"count=2,bytes=5").expect("there");
    let mut odd = body.clone();
    odd[at..at + 15].copy_from_slice(b"count=9,bytes=1");
    assert_eq!(all(&load(&odd, || 99).expect("whole").0), ["count=9,bytes=1", &right[1], &right[2]]);
    // Of several: a node is later than the snapshot.
    world.zxid = Zxid(1000);
    world.create("/later", b"");
    let body = body_of(&mut world.store, vec![], usize::MAX, usize::MAX);
    let at = body.windows(15).position(|window| window == b"count=2,bytes=5").expect("there");
    let mut fuzzy = body.clone();
    fuzzy[at..at + 15].copy_from_slice(b"count=9,bytes=1");
    assert_eq!(all(&load(&fuzzy, || 99).expect("whole").0), right);
    // What an outer one counts hangs on which was made first: it stays.
    let at = body.windows(15).position(|window| window == b"count=3,bytes=3").expect("there");
    fuzzy[at..at + 15].copy_from_slice(b"count=1,bytes=0");
    assert_eq!(all(&load(&fuzzy, || 99).expect("whole").0), [&right[0], "count=1,bytes=0", &right[2]]);
}
