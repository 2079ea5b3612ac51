//! Statistics as ZooKeeper keeps them, and what limits say of a write.

use super::*;
use crate::base::limits;
use crate::messages::Changes;
use crate::tree::testing::{KEY, Op, Pipeline, World, encoded, image_of, load_nodes, snapshot_of};
use crate::tree::{Applied, Outcome};
use crate::wire::client::SetDataRequest;
use crate::wire::{ErrorCode, Opcode};

fn track(text: &str) -> Track {
    Track::parse(Some(text.as_bytes()))
}

#[test]
fn texts_are_read_and_written_as_zookeepers() {
    for (text, written) in [
        ("count=5,bytes=10", "count=5,bytes=10"),
        (
            "count=5,bytes=10=;byteHardLimit=3;countHardLimit=-1",
            "count=5,bytes=10=;byteHardLimit=3;countHardLimit=-1",
        ),
        ("countHardLimit=7;byteHardLimit=3", "count=-1,bytes=-1=;byteHardLimit=3;countHardLimit=7"),
        ("bytes=1;,;count=2", "count=2,bytes=1"),
        ("count=,bytes=", "count=-1,bytes=-1"),
        ("", "count=-1,bytes=-1"),
        ("count=many,=4,noise", "count=-1,bytes=-1=;noise=-1"),
    ] {
        assert_eq!(track(text).to_string(), written, "{text:?}");
    }
    assert_eq!(Track::parse(None).to_string(), "count=-1,bytes=-1");
    assert_eq!(Track::parse(Some(b"\xff=1,count=3")).count, 3);
}

/// Makes the quota's nodes as `setquota` does.
fn limit(world: &mut World, root: &str, limits: &str) {
    let mut at = "/zookeeper/quota".to_owned();
    for name in root.split('/').skip(1) {
        at = format!("{at}/{name}");
        if world.node(&at).is_none() {
            world.create(&at, b"");
        }
    }
    world.create(&format!("{at}/zookeeper_limits"), limits.as_bytes());
    world.create(&format!("{at}/zookeeper_stats"), b"count=0,bytes=0");
}

fn stats(world: &World, root: &str) -> String {
    let node = world.node(&format!("/zookeeper/quota{root}/zookeeper_stats")).expect("the statistics");
    String::from_utf8_lossy(node.data().expect("never null")).into_owned()
}

fn limited() -> World {
    let mut world = World::new(0);
    world.create("/a", b"12");
    world.create("/a/b", b"345");
    limit(&mut world, "/a", "count=3,bytes=-1");
    world
}

#[test]
fn statistics_begin_with_what_is_there_and_follow_every_change() {
    let mut world = limited();
    assert_eq!(stats(&world, "/a"), "count=2,bytes=5");
    world.create("/a/c", b"6789");
    assert_eq!(stats(&world, "/a"), "count=3,bytes=9");
    world.create_ephemeral(1, "/a/e");
    assert_eq!(stats(&world, "/a"), "count=4,bytes=9");
    world.set_data("/a/c", b"1");
    assert_eq!(stats(&world, "/a"), "count=4,bytes=6");
    world.set_data("/a", b"123");
    assert_eq!(stats(&world, "/a"), "count=4,bytes=7");
    world.delete("/a/c");
    assert_eq!(stats(&world, "/a"), "count=3,bytes=6");
    world.close(1, &["/a/e"]);
    assert_eq!(stats(&world, "/a"), "count=2,bytes=6");
    for elsewhere in ["/ab", "/b", "/zookeeper/x"] {
        world.create(elsewhere, b"data");
        world.delete("/missing");
        world.delete(elsewhere);
    }
    assert_eq!(stats(&world, "/a"), "count=2,bytes=6");
    // The node itself is unchanged but for its data.
    let node = world.node("/zookeeper/quota/a/zookeeper_stats").expect("there");
    assert_eq!((node.mzxid, node.version), (node.czxid, 0));
    image_of(&world.store);
}

#[test]
fn nobody_is_told_of_statistics() {
    let mut world = limited();
    let applied: Applied = world.create("/a/c", b"");
    let Changes::One(change) = &applied.changes else { panic!("one change: {applied:?}") };
    assert_eq!(change.path.bytes(), b"/a/c");
    assert!(matches!(applied.outcome, Outcome::Created { .. }));
    assert!(matches!(world.set_data("/a/c", b"x").changes, Changes::One(_)));
}

#[test]
fn the_deepest_quota_counts_alone() {
    let mut world = limited();
    limit(&mut world, "/a/b", "count=-1,bytes=100");
    assert_eq!(stats(&world, "/a/b"), "count=1,bytes=3");
    world.create("/a/b/c", b"12");
    assert_eq!(
        (stats(&world, "/a"), stats(&world, "/a/b")),
        ("count=2,bytes=5".into(), "count=2,bytes=5".into())
    );
    world.create("/a/x", b"1");
    assert_eq!(
        (stats(&world, "/a"), stats(&world, "/a/b")),
        ("count=3,bytes=6".into(), "count=2,bytes=5".into())
    );
    // Without its limits a quota counts nothing any more, and the next above does.
    world.delete("/zookeeper/quota/a/b/zookeeper_limits");
    world.create("/a/b/d", b"1");
    assert_eq!(
        (stats(&world, "/a"), stats(&world, "/a/b")),
        ("count=4,bytes=7".into(), "count=2,bytes=5".into())
    );
    world.delete("/zookeeper/quota/a/zookeeper_limits");
    assert!(world.store.has_no_quotas());
}

#[test]
fn a_quota_may_come_before_its_subtree_and_without_statistics() {
    let mut world = World::new(0);
    limit(&mut world, "/later", "count=1,bytes=1");
    assert_eq!(stats(&world, "/later"), "count=0,bytes=0");
    world.create("/later", b"12345");
    assert_eq!(stats(&world, "/later"), "count=1,bytes=5");
    world.delete("/zookeeper/quota/later/zookeeper_stats");
    world.create("/later/x", b"");
    assert!(world.store.quota_excess(b"/later/y", 1, 1).is_none(), "there is nothing to go by");
    // Whatever a client writes there is only text.
    world.create("/zookeeper/quota/later/zookeeper_stats", b"noise");
    assert_eq!(stats(&world, "/later"), "count=2,bytes=5", "counted when it was made");
    world.set_data("/zookeeper/quota/later/zookeeper_stats", b"\xff noise");
    world.create("/later/y", b"123");
    assert!(stats(&world, "/later").starts_with("count=0,bytes=2"), "{}", stats(&world, "/later"));
}

#[test]
fn the_root_and_odd_paths_have_no_quota() {
    let mut world = World::new(0);
    world.create("/zookeeper/quota/zookeeper_limits", b"count=1,bytes=1");
    world.create("/zookeeper/quotas", b"");
    world.create("/zookeeper/quotas/zookeeper_limits", b"count=1,bytes=1");
    world.create("/zookeeper/zookeeper_limits", b"");
    world.delete("/zookeeper/zookeeper_limits");
    assert!(world.store.has_no_quotas());
    world.create("/a", b"");
    world.delete("/zookeeper/quota/zookeeper_limits");
}

#[test]
fn a_snapshot_brings_quotas_back() {
    let mut world = limited();
    let (_, nodes) = snapshot_of(&mut world.store);
    let (mut copy, _) = crate::tree::tree(KEY, 0);
    load_nodes(&mut copy, world.zxid, &nodes).expect("just written");
    let mut copy = World { store: copy, readers: vec![], zxid: world.zxid };
    copy.create("/a/c", b"xyz");
    assert_eq!(stats(&copy, "/a"), "count=3,bytes=8");
    assert_ne!(image_of(&copy.store), image_of(&world.store));
    world.create("/a/c", b"xyz");
    assert_eq!(image_of(&copy.store), image_of(&world.store));
}

/// A pipeline with `/a`, of 4 bytes, and these limits of it.
fn enforced(limits: &str) -> Pipeline {
    let mut p = Pipeline::new();
    p.rules.enforce_quota = true;
    p.create(1, "/a", 0).expect("free");
    p.create(1, "/zookeeper/quota/a", 0).expect("free");
    for (leaf, data) in [(LIMITS, limits), (STATS, "")] {
        let path = format!("/zookeeper/quota/a{leaf}");
        p.create(1, &path, 0).expect("free");
        p.apply_all();
        if leaf == LIMITS {
            let request = SetDataRequest { path: (&*path).into(), data: Some(data.as_bytes()), version: -1 };
            p.propose(1, Opcode::SetData, &encoded(&request)).expect("there");
            p.apply_all();
        }
    }
    p
}

#[test]
fn hard_limits_refuse_and_soft_ones_warn() {
    use ErrorCode::QuotaExceeded;
    let mut p = enforced("count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2");
    p.create(1, "/a/b", 0).expect("the second node");
    p.create(1, "/a/c", 0).expect("what is pending doesn't count, as in ZooKeeper");
    p.apply_all();
    assert_eq!(p.create(1, "/a/d", 0), Err(QuotaExceeded));
    assert_eq!(p.excess.as_deref(), Some("Quota exceeded: /a [current count=4, hardCountLimit=2]"));
    p.set_data(1, "/a/b", -1).expect("no node more");
    p.delete(1, "/a/b", -1).expect("fewer");
    p.create(1, "/b", 0).expect("elsewhere");
    p.rules.enforce_quota = false;
    p.create(1, "/a/e", 0).expect("not enforced");
    assert!(p.excess.is_some(), "and told all the same");

    let mut p = enforced("count=1,bytes=2");
    p.create(1, "/a/b", 0).expect("soft");
    assert_eq!(p.excess.as_deref(), Some("Quota exceeded: /a [current count=2, softCountLimit=1]"));
    p.set_data(1, "/a", 0).expect("soft");
    assert_eq!(p.excess.as_deref(), Some("Quota exceeded: /a [current bytes=3, softByteLimit=2]"));

    // Bytes: also a write that frees some is refused while it leaves too many.
    let mut p = enforced("count=1,bytes=-1=;byteHardLimit=2;countHardLimit=-1");
    assert_eq!(p.set_data(1, "/a", -1), Err(QuotaExceeded));
    assert_eq!(p.excess.as_deref(), Some("Quota exceeded: /a [current bytes=3, hardByteLimit=2]"));
    assert_eq!(
        p.create(1, "/a/b", 0),
        Err(QuotaExceeded),
        "the soft limit of nodes doesn't hide the hard one"
    );
    // Its place among the checks.
    assert_eq!(p.create(1, "/a", 0), Err(ErrorCode::NodeExists));
    assert_eq!(p.set_data(1, "/a", 77), Err(QuotaExceeded), "before the version");
    assert_eq!(p.set_data(1, "/a/missing", 77), Err(ErrorCode::NoNode));
}

/// Statistics of these subtrees, made and unmade within one multi as often as given.
fn recounting(roots: &[&str], times: usize) -> Vec<Op> {
    let stats = |root: &str| format!("/zookeeper/quota{root}/zookeeper_stats");
    let once = || {
        let creates = roots.iter().map(|root| Op::Create(stats(root), b"".to_vec()));
        let deletes = roots.iter().map(|root| Op::Delete(stats(root)));
        creates.chain(deletes)
    };
    let mut ops: Vec<Op> = (0..times).flat_map(|_| once()).collect();
    ops.extend(roots.iter().map(|root| Op::Create(stats(root), b"".to_vec())));
    ops
}

/// A short request must not have a large subtree walked a thousand times.
#[test]
fn a_multi_counts_each_node_once() {
    let mut world = World::new(0);
    let roots = ["/a", "/a/b", "/a/b/c"];
    for root in roots {
        world.create(root, b"1");
        world.create(&format!("/zookeeper/quota{root}"), b"");
    }
    for child in 0..1000 {
        world.create(&format!("/a/b/c/{child}"), b"23");
    }
    world.store.take_work();
    let ops = recounting(&roots, 50);
    let most = limits::APPLY_UNITS * (ops.len() + 1) + 1000 + 2 * roots.len();
    world.multi(&ops);
    let work = world.store.take_work();
    assert!(work <= most, "{work} units for {} operations", ops.len());
    assert_eq!(stats(&world, "/a"), "count=1003,bytes=2003");
    assert_eq!(stats(&world, "/a/b"), "count=1002,bytes=2002");
    assert_eq!(stats(&world, "/a/b/c"), "count=1001,bytes=2001");
}

/// Counted at its end, and yet as if each operation had been a transaction.
#[test]
fn a_multi_counts_as_its_operations_would_one_by_one() {
    let quota = |root: &str, leaf: &str| format!("/zookeeper/quota{root}{leaf}");
    let create = |path: &str, data: &[u8]| Op::Create(path.to_owned(), data.to_vec());
    let ops = [
        create(&quota("/a", STATS), b""),
        create("/a/x", b"12345"),
        Op::Set("/a/b".to_owned(), b"1234567".to_vec()),
        create(&quota("/a/b", LIMITS), b"count=1"),
        create("/a/b/y", b"12"),
        create(&quota("/a/b", STATS), b"count=7,bytes=7"),
        create("/a/b/z", b"1"),
        Op::Delete("/a/b/y".to_owned()),
        create("/zookeeper/quota/zookeeper", b""),
        create(&quota("/zookeeper", LIMITS), b"count=1"),
        create("/c", b"123"),
        create(&quota("/c", STATS), b""),
        create("/c/d", b"123"),
        Op::Set(quota("/c", STATS), b"count=40,bytes=50".to_vec()),
        create("/c/e", b"1"),
        create(&quota("/d", STATS), b""),
        Op::Delete(quota("/d", STATS)),
    ];
    let made = || {
        let mut world = World::new(0);
        for path in ["/a", "/a/b", "/d"] {
            world.create(path, b"123");
        }
        for root in ["/a", "/a/b", "/c", "/d"] {
            world.create(&quota(root, ""), b"");
        }
        for root in ["/a", "/c", "/d"] {
            world.create(&quota(root, LIMITS), b"count=1");
        }
        world
    };
    let (mut together, mut one_by_one) = (made(), made());
    together.multi(&ops);
    for op in ops {
        one_by_one.multi(&[op]);
    }
    for root in ["/a", "/a/b", "/c"] {
        assert_eq!(stats(&together, root), stats(&one_by_one, root), "{root}");
    }
    assert_eq!(stats(&together, "/a"), "count=3,bytes=15");
    assert_eq!(stats(&together, "/a/b"), "count=2,bytes=8");
    assert_eq!(stats(&together, "/c"), "count=41,bytes=51");
}

/// Read when they are written, not at each write below them; and what nobody knows is not carried along without end.
#[test]
fn long_texts_cost_nothing_later() {
    let noise: String = (0..50_000).map(|number| format!("noise{number}=1,")).collect();
    let mut world = limited();
    world.set_data("/zookeeper/quota/a/zookeeper_limits", format!("{noise}count=3").as_bytes());
    world.set_data("/zookeeper/quota/a/zookeeper_stats", format!("count=2,bytes=5,{noise}").as_bytes());
    world.store.take_work();
    for child in 0..10 {
        world.create(&format!("/a/{child}"), b"1");
        assert!(world.store.quota_excess(b"/a/x", 1, 1).is_some_and(|excess| excess.limit == 3));
    }
    let work = world.store.take_work();
    assert!(work <= 10 * (limits::APPLY_UNITS + 1), "{work} units");
    let text = stats(&world, "/a");
    assert!(text.starts_with("count=12,bytes=15=;noise"), "{text}");
    assert_eq!(text.matches("noise").count(), OTHERS_MAX);
}

/// Where one quota exists, every write asks who counts it.
#[test]
fn to_find_a_quota_costs_the_length_of_the_path_however_many_levels_it_has() {
    let mut world = World::new(1);
    world.create("/a", b"");
    limit(&mut world, "/a", "count=5,bytes=-1");
    let of = &world.store.quotas;
    for (root, path) in
        [(None, "/b".repeat(2_000)), (Some("/a"), "/a".repeat(2_000)), (Some("/a"), "/a".to_owned())]
    {
        let hashed = crate::base::hashed::during(|| {
            assert_eq!(of.covering(path.as_bytes()).map(|(root, _)| root.to_string()).as_deref(), root);
        });
        assert!(hashed < 10 * path.len() + 64, "{hashed} bytes were hashed for a path of {}", path.len());
    }
    world.delete("/zookeeper/quota/a/zookeeper_stats");
    world.delete("/zookeeper/quota/a/zookeeper_limits");
    let of = &world.store.quotas;
    assert!(of.covering(b"/a").is_none() && of.hashes.is_empty());
}
