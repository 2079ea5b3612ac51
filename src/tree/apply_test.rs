//! What transactions do, live and replayed over a state that contains them already.

use super::*;
use crate::base::Prng;
use crate::tree::testing::{KEY, Pipeline, World, image_of, load_nodes, random_request, snapshot_of};
use crate::wire::Decode;
use crate::wire::txn::{
    CheckVersionTxn, CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, Entry, ErrorTxn, SetDataTxn,
    SubTxn,
};

fn kinds(applied: &Applied) -> Vec<(ChangeKind, String)> {
    applied.changes.as_slice().iter().map(|change| (change.kind, change.path.to_string())).collect()
}

fn pzxid(world: &World, path: &str) -> i64 {
    world.node(path).expect("it is there").pzxid
}

#[test]
fn a_create_changes_node_and_parent() {
    let mut world = World::new(0);
    world.create("/a", b"x");
    let applied = world.create("/a/b", b"data");
    let Outcome::Created { path, stat } = &applied.outcome else { panic!("{applied:?}") };
    assert_eq!(path.bytes(), b"/a/b");
    let expected = Stat {
        czxid: Zxid(2),
        mzxid: Zxid(2),
        ctime: WallMillis(1002),
        mtime: WallMillis(1002),
        data_length: 4,
        pzxid: Zxid(2),
        ..Stat::default()
    };
    assert_eq!(*stat, expected);
    assert_eq!(kinds(&applied), [(ChangeKind::Created, "/a/b".into())]);
    let parent = world.node("/a").expect("made first").stat();
    assert_eq!((parent.cversion, parent.num_children, parent.pzxid, parent.mzxid), (1, 1, Zxid(2), Zxid(1)));
    image_of(&world.store);
}

#[test]
fn a_create_over_an_existing_node_sets_the_acl_and_raises_the_parent() {
    let read_only = Some(AclList::READ);
    for create2 in [false, true] {
        let mut world = World::new(0);
        world.create("/a", b"");
        world.create("/a/b", b"old");
        let again =
            CreateTxn { acl: read_only, parent_cversion: 9, ..world.creation("/a/b", Some(b"new"), true) };
        let applied = world.apply(7, if create2 { Txn::Create2(again) } else { Txn::Create(again) });
        assert!(matches!(applied.outcome, Outcome::Nothing) && kinds(&applied).is_empty());
        let node = world.node("/a/b").expect("it stays");
        assert_eq!((node.data(), node.owner(), node.czxid), (Some(&b"old"[..]), 0, 2));
        assert_eq!(node.acl_entries().map(<[_]>::len), Some(1), "the list of the transaction");
        let parent = world.node("/a").expect("it stays");
        // Only the plain create's replay raises the parent (file-formats.md §8.2).
        let raised = if create2 { (1, 2) } else { (9, 3) };
        assert_eq!((parent.cversion, parent.pzxid, parent.children_count), (raised.0, raised.1, 1));
        image_of(&world.store);
    }
}

#[test]
fn a_create_raises_the_parent_only_if_its_cversion_is_larger() {
    let mut world = World::new(0);
    world.create("/a", b"");
    for (n, carried, stored, by) in [(0, 5, 5, 2), (1, 5, 5, 2), (2, 3, 5, 2), (3, -1, 6, 5)] {
        let path = format!("/a/{n}");
        let txn = CreateTxn { parent_cversion: carried, ..world.creation(&path, None, false) };
        world.apply(0, Txn::Create(txn));
        let parent = world.node("/a").expect("it stays");
        assert_eq!((parent.cversion, parent.pzxid, parent.children_count), (stored, by, n + 1));
    }
    image_of(&world.store);
}

#[test]
fn what_is_missing_is_passed_over() {
    let mut world = World::new(0);
    world.create("/a", b"");
    let before = image_of(&world.store);
    for applied in [
        world.create("/missing/b", b""),
        world.create("/", b""),
        world.set_data("/missing", b"x"),
        world.set_acl("/missing", &[]),
        world.delete("/missing/b"),
        world.apply(0, Txn::Error(ErrorTxn { err: -101 })),
        world.apply(0, Txn::Check(CheckVersionTxn { path: "/a".into(), version: 3 })),
    ] {
        assert!(kinds(&applied).is_empty(), "{applied:?}");
    }
    assert_eq!(image_of(&world.store), before);
    assert_eq!(world.store.newest(), world.zxid, "all of them count");
    // A deletion of what is gone already still was a change of the parent's children.
    world.delete("/a/missing");
    assert_eq!(pzxid(&world, "/a"), world.zxid.0);
}

#[test]
fn a_delete_raises_pzxid_and_leaves_cversion() {
    let mut world = World::new(0);
    world.create("/a", b"");
    world.create("/a/b", b"data");
    let applied = world.delete("/a/b");
    assert!(matches!(applied.outcome, Outcome::Deleted));
    assert_eq!(kinds(&applied), [(ChangeKind::Deleted, "/a/b".into())]);
    let parent = world.node("/a").expect("it stays");
    assert_eq!((parent.cversion, parent.pzxid, parent.children_count), (1, 3, 0));
    assert_eq!(parent.stat().cversion, 2, "shown: creates and deletes");
}

/// A fuzzy snapshot caught the node in its next life, with children; the log will make them again.
#[test]
fn a_replayed_delete_takes_the_children_of_a_later_life_along() {
    let mut world = World::new(0);
    for path in ["/a", "/a/b", "/a/b/c", "/a/b/d", "/a/e", "/f"] {
        world.create(path, b"");
    }
    world.delete("/a/b/d");
    assert_eq!(kinds(&world.delete("/a")), [(ChangeKind::Deleted, "/a".into())]);
    assert_eq!(image_of(&world.store).len(), 4 + 1);
    world.create("/a", b"");
    world.create("/a/b", b"");
    assert_eq!(image_of(&world.store).len(), 4 + 3);
}

#[test]
fn data_and_acl_are_set_unconditionally() {
    let mut world = World::new(0);
    world.create("/a", b"one");
    let txn = SetDataTxn { path: "/a".into(), data: None, version: 7 };
    let applied = world.apply(0, Txn::SetData(txn));
    let Outcome::Changed(stat) = applied.outcome else { panic!("{applied:?}") };
    assert_eq!((stat.version, stat.mzxid, stat.mtime, stat.data_length), (7, Zxid(2), WallMillis(1002), 0));
    assert_eq!(kinds(&applied), [(ChangeKind::DataChanged, "/a".into())]);
    assert_eq!(world.node("/a").expect("there").data(), None);
    let acl = [OwnedAcl::new(perms::READ, "world", "anyone")];
    let applied = world.set_acl("/a", &acl);
    let Outcome::Changed(stat) = applied.outcome else { panic!("{applied:?}") };
    assert_eq!((stat.aversion, stat.version, stat.mzxid), (1, 7, Zxid(2)), "setACL is no change of the data");
    assert!(kinds(&applied).is_empty(), "and fires nothing");
    image_of(&world.store);
}

#[test]
fn events_carry_the_acls_they_are_filtered_by() {
    let mut world = World::new(0);
    let acl = |id| [OwnedAcl::new(perms::ALL, "digest", id)];
    world.create("/a", b"");
    world.set_acl("/a", &acl("a:a"));
    world.create("/a/b", b"");
    world.set_acl("/a/b", &acl("b:b"));
    let applied = world.set_data("/a/b", b"x");
    let [change] = applied.changes.as_slice() else { panic!("one change") };
    assert_eq!(change.acl.as_deref(), Some(&acl("b:b")[..]));
    let applied = world.delete("/a/b");
    let [change] = applied.changes.as_slice() else { panic!("one change") };
    assert_eq!(change.acl.as_deref(), Some(&acl("b:b")[..]), "as it was before");
    assert_eq!(change.parent_acl.as_deref(), Some(&acl("a:a")[..]));
    let applied = world.create("/a/c", b"");
    let [change] = applied.changes.as_slice() else { panic!("one change") };
    assert_eq!((change.acl.as_deref(), change.parent_acl.as_deref()), (None, Some(&acl("a:a")[..])));
}

#[test]
fn close_session_deletes_the_list_and_whatever_else_it_owns() {
    let mut world = World::new(0);
    world.create("/p", b"");
    world.create_ephemeral(1, "/p/b");
    world.create_ephemeral(1, "/p/a");
    world.create_ephemeral(1, "/p/unlisted");
    world.create_ephemeral(2, "/p/others");
    let applied = world.close(1, &["/p/b", "/p/a", "/p/gone", "/missing/x"]);
    assert!(matches!(applied.outcome, Outcome::SessionClosed));
    let deleted: Vec<String> = kinds(&applied).into_iter().map(|(_, path)| path).collect();
    assert_eq!(deleted, ["/p/b", "/p/a", "/p/unlisted"], "in the order of the list");
    assert_eq!(image_of(&world.store).len(), 4 + 2);
    let applied = world.apply(2, Txn::CloseSession(None));
    assert_eq!(kinds(&applied), [(ChangeKind::Deleted, "/p/others".into())]);
}

/// A fuzzy snapshot wrote the parent before the deletion and missed the child.
#[test]
fn close_session_raises_the_parent_of_what_is_gone_already() {
    let mut world = World::new(0);
    world.create("/p", b"");
    world.close(1, &["/p/gone"]);
    assert_eq!(pzxid(&world, "/p"), 2);
    // And one in which the path lives its next life: the replayed creation brings it back.
    world.create_ephemeral(2, "/p/e");
    let applied = world.close(1, &["/p/e"]);
    assert_eq!(kinds(&applied), [(ChangeKind::Deleted, "/p/e".into())]);
}

#[test]
fn containers_and_ttls_are_marked_in_the_owner() {
    let mut world = World::new(0);
    let container = CreateContainerTxn { path: "/c".into(), data: None, acl: None, parent_cversion: 2 };
    world.apply(5, Txn::CreateContainer(container));
    let node = world.node("/c").expect("made");
    assert_eq!((node.owner(), node.stat().ephemeral_owner), (CONTAINER_OWNER, SessionId::NONE));
    assert!(node.acl_entries().is_none(), "null is the open list");
    for (n, ttl, owner) in [
        (0, 1, 0xff00_0000_0000_0001_u64),
        (1, (1 << 40) - 1, 0xff00_00ff_ffff_ffff),
        (2, 1 << 40, 0),
        (3, 0, 0),
        (4, -1, 0),
    ] {
        let path = format!("/t{n}");
        let path = path.as_str().into();
        world.apply(
            5,
            Txn::CreateTtl(CreateTtlTxn { path, data: None, acl: None, parent_cversion: 3 + n, ttl }),
        );
        assert_eq!(world.node(&format!("/t{n}")).expect("made").owner() as u64, owner, "ttl {ttl}");
    }
    image_of(&world.store);
}

fn multi(ops: &[Txn<'_>]) -> Vec<u8> {
    let mut bytes = vec![];
    crate::wire::jute::encode_vector(&mut bytes, ops.iter().map(|op| SubTxn(*op)));
    bytes
}

fn multi_errors(applied: &Applied) -> Vec<ErrorCode> {
    let Outcome::Multi(outcomes) = &applied.outcome else { panic!("a multi: {applied:?}") };
    let error = |outcome: &Outcome| match outcome {
        Outcome::Error(code) => *code,
        other => panic!("an error: {other:?}"),
    };
    outcomes.iter().map(error).collect()
}

/// As a Java leader logs it: what comes before the failure stands there as it was decided.
/// A session of a hundred thousand ephemerals must not stall everybody: a version for each of them, and one per parent.
#[test]
fn closing_a_session_changes_each_parent_once() {
    let mut world = World::new(0);
    for parent in ["/p", "/q"] {
        world.create(parent, b"data");
        for n in 0..100 {
            world.create_ephemeral(1, &format!("{parent}/{n}"));
        }
    }
    world.publish();
    let listed: Vec<String> =
        ["/p", "/q"].iter().flat_map(|parent| (0..100).map(move |n| format!("{parent}/{n}"))).collect();
    let listed: Vec<&str> = listed.iter().map(|path| &**path).collect();
    let before = world.store.retired();
    let applied = world.close(1, &listed);
    assert_eq!(world.store.retired() - before, 202);
    assert_eq!(kinds(&applied).len(), 200);
    for parent in ["/p", "/q"] {
        let node = world.node(parent).expect("it stays");
        assert_eq!((node.children_count, node.pzxid), (0, world.zxid.0));
    }
    assert_eq!(world.store.ephemerals_count(), 0);
    image_of(&world.store);
}

#[test]
fn every_operation_of_a_failed_multi_is_an_error() {
    let mut world = World::new(0);
    let delete = |path: &'static str| Txn::Delete(DeleteTxn { path: path.into() });
    let error = |err| Txn::Error(ErrorTxn { err });
    let failed = multi(&[delete("/zookeeper/quota"), delete("/x"), error(-101), delete("/y"), error(-2)]);
    let applied = world.apply(0, Txn::Multi(MultiTxn::parse(&failed).expect("a multi")));
    use ErrorCode::{NoNode, Ok, RuntimeInconsistency};
    assert_eq!(multi_errors(&applied), [Ok, Ok, NoNode, RuntimeInconsistency, RuntimeInconsistency]);
    let ours = multi(&[error(0), error(-103), error(-2)]);
    let applied = world.apply(0, Txn::Multi(MultiTxn::parse(&ours).expect("a multi")));
    assert_eq!(multi_errors(&applied), [Ok, ErrorCode::BadVersion, RuntimeInconsistency]);
    assert_eq!(image_of(&world.store).len(), 4);
}

#[test]
fn a_multi_tells_what_each_operation_came_to() {
    let mut world = World::new(0);
    let first = Txn::Create(world.creation("/a", Some(b""), false));
    let set = |version| Txn::SetData(SetDataTxn { path: "/a".into(), data: Some(b"xy"), version });
    let ops = multi(&[first, set(1), set(2), Txn::Delete(DeleteTxn { path: "/a".into() })]);
    let applied = world.apply(0, Txn::Multi(MultiTxn::parse(&ops).expect("a multi")));
    let Outcome::Multi(outcomes) = &applied.outcome else { panic!("{applied:?}") };
    let Outcome::Created { stat, .. } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!((stat.version, stat.data_length), (0, 0), "as it was then, not as it is in the end");
    for (outcome, version) in outcomes[1..3].iter().zip(1..) {
        let Outcome::Changed(stat) = outcome else { panic!("{outcomes:?}") };
        assert_eq!((stat.version, stat.data_length), (version, 2));
    }
    assert!(matches!(outcomes[3..], [Outcome::Deleted]));
    let nothing = world.apply(0, Txn::Multi(MultiTxn::EMPTY));
    assert!(matches!(&nothing.outcome, Outcome::Multi(outcomes) if outcomes.is_empty()));
    assert!(matches!(nothing.changes, Changes::None));
}

#[test]
fn a_multi_is_all_or_nothing() {
    let mut world = World::new(0);
    world.create("/a", b"");
    let delete = |path| Txn::Delete(DeleteTxn { path });
    let create = Txn::Create(world.creation("/a", Some(b"second"), false));
    let failed = multi(&[delete("/a".into()), Txn::Error(ErrorTxn { err: -103 })]);
    let applied = world.apply(0, Txn::Multi(MultiTxn::parse(&failed).expect("a multi")));
    assert_eq!(multi_errors(&applied), [ErrorCode::Ok, ErrorCode::BadVersion]);
    assert!(kinds(&applied).is_empty() && world.node("/a").is_some());

    let done =
        multi(&[delete("/a".into()), create, Txn::Check(CheckVersionTxn { path: "/a".into(), version: 0 })]);
    let applied = world.apply(0, Txn::Multi(MultiTxn::parse(&done).expect("a multi")));
    let expected = [(ChangeKind::Deleted, "/a".into()), (ChangeKind::Created, "/a".into())];
    assert_eq!(kinds(&applied), expected, "in the order of the operations");
    let node = world.node("/a").expect("made again");
    assert_eq!((node.data(), node.czxid), (Some(&b"second"[..]), 3));
    assert_eq!(image_of(&world.store).len(), 5);
}

/// Apache's snapshots are fuzzy: the log behind one is replayed over a state that contains any of its effects already.
/// Regression: the parent's data was looked at for its digest with each child.
#[test]
fn a_parents_data_costs_its_children_nothing() {
    let mut world = World::new(0);
    world.create("/large", &[7; 1 << 20]);
    assert!(world.store.take_work() >= 1024, "a new megabyte is looked at");
    for child in 0..20 {
        world.create(&format!("/large/{child}"), b"");
    }
    for child in 0..20 {
        world.delete(&format!("/large/{child}"));
    }
    world.set_acl("/large", &[OwnedAcl::new(31, "world", "anyone")]);
    let work = world.store.take_work();
    assert_eq!(work, 41 * crate::base::limits::APPLY_UNITS);
    image_of(&world.store);
    // Equal data is not the same data.
    world.set_data("/large", &[7; 1 << 20]);
    assert!(world.store.take_work() >= 1024);
    image_of(&world.store);
}

/// Here all of them.
#[test]
fn replay_over_the_finished_state_ends_in_that_state() {
    for seed in 0..60 {
        let mut prng = Prng::new(seed);
        let mut pipeline = Pipeline::new();
        let mut log = vec![];
        for step in 0..300 {
            log.extend(random_request(&mut pipeline, &mut prng));
            pipeline.apply_all();
            if step % 10 == 9 {
                pipeline.reopen_sessions();
            }
        }
        assert!(log.len() > 40, "{} of 300 requests were granted", log.len());
        let (_, nodes) = snapshot_of(&mut pipeline.world.store);
        let (mut copy, _) = crate::tree::tree(KEY, 0);
        load_nodes(&mut copy, Zxid::ZERO, &nodes).expect("just written");
        for bytes in &log {
            let entry = Entry::parse(bytes).expect("encoded by us");
            copy.apply(&entry.header, &entry.txn);
        }
        let (replayed, lived) = (image_of(&copy), image_of(&pipeline.world.store));
        for (path, node) in &lived {
            let name = String::from_utf8_lossy(path);
            assert_eq!(replayed.get(path), Some(node), "seed {seed}: {name}");
        }
        assert_eq!(replayed.len(), lived.len(), "seed {seed}");
    }
}
