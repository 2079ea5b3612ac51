//! Every check of prep, in its order of precedence.

use super::*;
use crate::tree::testing::{Pipeline, client, create_body, encoded};
use crate::wire::txn::Entry;

use ErrorCode::{
    BadArguments, BadVersion, InvalidACL, MarshallingError, NoAuth, NoChildrenForEphemerals, NoNode,
    NodeExists, NotEmpty, ReconfigDisabled, SessionExpired, SessionMoved, Unimplemented, UnknownSession,
};

/// `/a` with child `/a/x`, `/locked` (READ for everybody) with child `/locked/x`, and the ephemeral `/e` of session 1.
fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::new();
    for path in ["/a", "/a/x", "/locked", "/locked/x"] {
        pipeline.create(1, path, 0).expect("a plain create");
    }
    pipeline.create(1, "/e", 1).expect("an ephemeral");
    pipeline.set_acl(1, "/locked", Some(AclList::READ), -1).expect("an open node");
    pipeline.apply_all();
    pipeline
}

const OPEN: Option<AclList<'static>> = Some(AclList::OPEN);
const EMPTY: Option<AclList<'static>> = Some(AclList::EMPTY);
/// What a null path begins with, and version -1.
const NULL: [u8; 4] = [0xff; 4];
/// A session that doesn't exist.
const NOBODY: i64 = 99;

fn txn_of(bytes: &[u8]) -> Txn<'_> {
    Entry::parse(bytes).expect("what prep made").txn
}

/// Each request fails one check and, where that is possible, the next ones too.
#[test]
fn create_checks_in_javas_order() {
    let mut p = pipeline();
    let refusal = |p: &mut Pipeline, session, path: &str, acl, flags| {
        p.propose(session, Opcode::Create, &create_body(path, acl, flags)).expect_err("a fault in it")
    };
    let null_path = [&NULL[..], &create_body("", OPEN, 7)[4..]].concat();
    assert_eq!(
        p.propose(NOBODY, Opcode::Create, &null_path),
        Err(BadArguments),
        "flags come before the path"
    );
    assert_eq!(p.propose(1, Opcode::Create, &null_path[..null_path.len() - 1]), Err(MarshallingError));
    let null_path = [&NULL[..], &create_body("", OPEN, 0)[4..]].concat();
    assert_eq!(p.propose(1, Opcode::Create, &null_path), Err(MarshallingError));
    let cut = &create_body("/b", OPEN, 0)[..20];
    assert_eq!(p.propose(1, Opcode::Create, cut), Err(MarshallingError));
    for flags in [-1, 7, i32::MIN] {
        assert_eq!(refusal(&mut p, NOBODY, "b", EMPTY, flags), BadArguments);
    }
    for (extended_types, error) in [(false, Unimplemented), (true, BadArguments)] {
        p.rules.extended_types = extended_types;
        assert_eq!(refusal(&mut p, NOBODY, "b", EMPTY, 5), error);
        assert_eq!(refusal(&mut p, NOBODY, "b", EMPTY, 6), error);
    }
    assert_eq!(refusal(&mut p, NOBODY, "b", EMPTY, 0), UnknownSession);
    assert_eq!(refusal(&mut p, NOBODY, "b", EMPTY, 1), SessionExpired);
    assert_eq!(refusal(&mut p, NOBODY, "b", EMPTY, 3), SessionExpired);
    let stolen = p.propose_from(Some(client(2)), 1, Opcode::Create, &create_body("b", EMPTY, 0));
    assert_eq!(stolen, Err(SessionMoved));
    for path in ["", "b", "/missing/b\0"] {
        assert_eq!(refusal(&mut p, 1, path, EMPTY, 0), BadArguments, "{path:?}");
    }
    assert_eq!(refusal(&mut p, 1, "/missing/b", EMPTY, 0), InvalidACL);
    assert_eq!(refusal(&mut p, 1, "/missing/b", None, 0), InvalidACL);
    assert_eq!(refusal(&mut p, 1, "/a", EMPTY, 0), InvalidACL);
    for path in ["/missing/b", "/missing/", "/missing/..", "/a//b"] {
        assert_eq!(refusal(&mut p, 1, path, OPEN, 0), NoNode, "{path:?}");
    }
    for path in ["/locked/", "/locked/..", "/locked/x"] {
        assert_eq!(refusal(&mut p, 1, path, OPEN, 0), NoAuth, "{path:?}");
    }
    for path in ["/a/", "/a/.", "/a/..", "/a/\u{1}", "/\u{fffd}"] {
        assert_eq!(refusal(&mut p, 1, path, OPEN, 0), BadArguments, "{path:?}");
    }
    for path in ["/", "/a", "/a/x", "/e", "/zookeeper"] {
        assert_eq!(refusal(&mut p, 1, path, OPEN, 0), NodeExists, "{path:?}");
    }
    assert_eq!(refusal(&mut p, 1, "/e/x", OPEN, 0), NoChildrenForEphemerals);
    assert_eq!((p.pending(), p.overlay.count()), (0, 0), "what fails changes nothing");
}

#[test]
fn a_created_node_is_what_the_request_says() {
    let mut p = pipeline();
    let bytes = p.propose(1, Opcode::Create, &create_body("/b", Some(AclList::READ), 4)).expect("fine");
    let Txn::Create(txn) = txn_of(&bytes) else { panic!("a create") };
    // The container's flag counts only with the container's opcode.
    let expected = CreateTxn {
        path: "/b".into(),
        data: Some(b"data"),
        acl: Some(AclList::READ),
        ephemeral: false,
        parent_cversion: 4,
    };
    assert_eq!(txn, expected);
    let bytes = p.propose(1, Opcode::Create2, &create_body("/c", OPEN, 1)).expect("fine");
    let Txn::Create2(txn) = txn_of(&bytes) else { panic!("a create2") };
    assert_eq!((txn.path, txn.ephemeral, txn.parent_cversion), ("/c".into(), true, 5));
    let null = encoded(&CreateRequest { path: "/d".into(), data: None, acl: OPEN, flags: 0 });
    let bytes = p.propose(1, Opcode::Create, &null).expect("fine");
    let Txn::Create(txn) = txn_of(&bytes) else { panic!("a create") };
    assert_eq!(txn.data, None, "null is not empty");
}

/// The opcode decides what is made.
#[test]
fn containers_and_ttl_nodes_are_made_by_their_opcodes() {
    let mut p = pipeline();
    for (path, flags) in [("/c0", 0), ("/c1", 1), ("/c4", 4)] {
        let bytes = p.propose(1, Opcode::CreateContainer, &create_body(path, OPEN, flags)).expect("fine");
        let Txn::CreateContainer(txn) = txn_of(&bytes) else { panic!("a container, whatever the flags") };
        assert_eq!((txn.path, txn.data, txn.acl), (path.into(), Some(&b"data"[..]), OPEN));
    }
    let bytes = p.propose(1, Opcode::CreateContainer, &create_body("/c-", OPEN, 2)).expect("fine");
    let Txn::CreateContainer(txn) = txn_of(&bytes) else { panic!("a container") };
    assert_eq!((txn.path, txn.parent_cversion), ("/c-0000000006".into(), 7));
    // Its flags are judged all the same, and so is the session that an ephemeral would need.
    let refused = |p: &mut Pipeline, session, flags| {
        p.propose(session, Opcode::CreateContainer, &create_body("/c0", OPEN, flags)).expect_err("a fault")
    };
    assert_eq!(refused(&mut p, 1, 7), BadArguments);
    assert_eq!(refused(&mut p, 1, 5), Unimplemented);
    assert_eq!(refused(&mut p, NOBODY, 0), UnknownSession);
    assert_eq!(refused(&mut p, NOBODY, 1), SessionExpired);
    assert_eq!(refused(&mut p, 1, 0), NodeExists);
    p.rules.extended_types = true;
    assert_eq!(refused(&mut p, 1, 5), BadArguments, "it has no time to live");
    let ttl = |p: &mut Pipeline, path: &str, flags, ttl| {
        let request = CreateTtlRequest { path: path.into(), data: None, acl: OPEN, flags, ttl };
        p.propose(1, Opcode::CreateTtl, &encoded(&request))
    };
    let bytes = ttl(&mut p, "/t", 5, 77).expect("fine");
    let Txn::CreateTtl(txn) = txn_of(&bytes) else { panic!("a TTL node") };
    assert_eq!((txn.path, txn.data, txn.ttl), ("/t".into(), None, 77));
    assert!(ttl(&mut p, "/t-", 6, (1 << 40) - 1).is_ok());
    for bad in [0, -1, i64::MIN, 1 << 40, i64::MAX] {
        assert_eq!(ttl(&mut p, "/missing/t", 5, bad), Err(BadArguments), "{bad}");
    }
    // Java logs these, and dies of them.
    for flags in 0..5 {
        for any in [-1, 5] {
            assert_eq!(ttl(&mut p, "/t2", flags, any), Err(BadArguments), "flags {flags}");
        }
    }
    assert_eq!(ttl(&mut p, "/t2", 7, 77), Err(BadArguments));
    // Both may have children.
    p.create(1, "/c0/x", 0).expect("a container has room");
    p.create(1, "/t/x", 1).expect("and so has a TTL node");
    let owners = |p: &mut Pipeline| {
        ["/c0", "/t"].map(|path| p.world.node(path).map(|node| (node.owner(), node.stat().ephemeral_owner.0)))
    };
    p.apply_all();
    let container = Some((i64::MIN, 0));
    assert_eq!(owners(&mut p), [container, Some((0xff << 56 | 77, 0))]);
    p.create(1, "/t/y", 0).expect("the tree says so, too");
    p.rules.extended_types = false;
    assert_eq!(ttl(&mut p, "t", 5, 0), Err(Unimplemented), "that is found before everything else");
    let bytes = p.close(1).expect("always");
    assert_eq!(closed_paths(&bytes), ["/e", "/t/x"], "neither is an ephemeral");
}

#[test]
fn what_is_not_for_clients_is_refused() {
    let mut p = pipeline();
    for opcode in [Opcode::Check, Opcode::DeleteContainer, Opcode::CreateSession] {
        assert_eq!(p.propose(1, opcode, &create_body("/a", OPEN, 0)), Err(Unimplemented), "{opcode}");
    }
    let null = [[0xff; 4]; 3].concat();
    assert_eq!(p.propose(NOBODY, Opcode::Reconfig, &null), Err(MarshallingError));
    let any = [&null[..], &[0xff; 8]].concat();
    assert_eq!(p.propose(NOBODY, Opcode::Reconfig, &any), Err(ReconfigDisabled));
}

/// What Java refuses of the nodes every tree begins with.
#[test]
fn the_systems_nodes_are_protected_by_name_and_by_their_acl() {
    let mut p = pipeline();
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        assert_eq!(p.delete(1, path, -1), Err(BadArguments), "{path}");
    }
    assert_eq!(p.set_data(1, "/zookeeper/config", -1), Err(NoAuth));
    assert_eq!(p.create(1, "/zookeeper/config/x", 0), Err(NoAuth));
    assert_eq!(p.set_acl(1, "/zookeeper/config", OPEN, -1), Err(NoAuth));
    for path in ["/zookeeper/x", "/zookeeper/quota/x"] {
        p.create(1, path, 0).expect("they are nodes like others");
        p.delete(1, path, 0).expect("what a client made it may delete");
    }
    p.identities.push(Identity { scheme: "super".into(), id: String::new() });
    p.set_data(1, "/zookeeper/config", -1).expect("super may");
    p.set_acl(1, "/zookeeper/config", OPEN, -1).expect("super may");
    p.create(1, "/locked/y", 0).expect("super may");
    assert_eq!(p.delete(1, "/zookeeper/config", -1), Err(BadArguments), "not even super");
}

fn created_path(bytes: Vec<u8>) -> String {
    let Txn::Create(txn) = txn_of(&bytes) else { panic!("a create") };
    txn.path.to_string()
}

#[test]
fn sequence_numbers_are_the_parents_cversion() {
    let mut p = pipeline();
    for (path, flags, created) in [
        ("/a/s-", 2, "/a/s-0000000001"),
        ("/a/", 2, "/a/0000000002"),
        ("/a/e", 3, "/a/e0000000003"),
        ("/", 2, "/0000000003"),
    ] {
        assert_eq!(p.create(1, path, flags).map(created_path), Ok(created.into()));
    }
    p.delete(1, "/a/s-0000000001", -1).expect("it is there");
    assert_eq!(p.create(1, "/a/", 2).map(created_path), Ok("/a/0000000004".into()));
    p.apply_all();
    assert_eq!(p.create(1, "/a/", 2).map(created_path), Ok("/a/0000000005".into()));
    p.apply_all();
    let (slot, _) = p.world.store.find(b"/a").expect("it is there");
    for (cversion, suffix) in [
        (-1, "-000000001"),
        (-2, "-000000002"),
        (i32::MIN, "-2147483648"),
        (i32::MAX - 1, "2147483646"),
        (i32::MAX, "2147483647"),
    ] {
        let zxid = p.world.zxid.next();
        p.world.store.update(zxid, slot, |node| node.cversion = cversion);
        let path = p.create(1, "/a/q", 2).map(created_path);
        assert_eq!(path, Ok(format!("/a/q{suffix}")));
        p.apply_all();
        // What prep went on with is what the tree has.
        let stored = p.world.node("/a").map(|node| node.cversion);
        assert_eq!(stored, Some(cversion.saturating_add(1)), "{cversion}");
    }
}

#[test]
fn delete_checks_in_javas_order() {
    let mut p = pipeline();
    assert_eq!(p.propose(NOBODY, Opcode::Delete, &[NULL, NULL].concat()), Err(MarshallingError));
    assert_eq!(p.delete(NOBODY, "a", 5), Err(UnknownSession));
    for path in ["", "a", "/missing/\0", "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        assert_eq!(p.delete(1, path, 5), Err(BadArguments), "{path:?}");
    }
    for path in ["/missing/x", "/a//x", "/zookeeper/quota/x"] {
        assert_eq!(p.delete(1, path, 5), Err(NoNode), "{path:?}");
    }
    assert_eq!(
        p.delete(1, "/locked/missing", 5),
        Err(NoAuth),
        "the parent's permission comes before the node"
    );
    for path in ["/a/missing", "/a/", "/a/.."] {
        assert_eq!(p.delete(1, path, 5), Err(NoNode), "{path:?}");
    }
    assert_eq!(p.delete(1, "/a", 5), Err(BadVersion));
    assert_eq!(p.delete(1, "/a", 0), Err(NotEmpty));
    assert_eq!(p.delete(1, "/a", -1), Err(NotEmpty));
    assert_eq!(p.overlay.count(), 0, "what fails changes nothing");
    let bytes = p.delete(1, "/a/x", 0).expect("it may go");
    assert_eq!(txn_of(&bytes), Txn::Delete(DeleteTxn { path: "/a/x".into() }));
    // Its own ACL doesn't keep a node.
    p.delete(1, "/locked/x", -1).expect_err("the parent's does");
    p.set_acl(1, "/a", Some(AclList::READ), -1).expect("an open node");
    p.delete(1, "/a", -1).expect("DELETE is asked of the root");
}

#[test]
fn set_data_checks_in_javas_order() {
    let mut p = pipeline();
    assert_eq!(p.propose(NOBODY, Opcode::SetData, &b"\0\0\0\x02/a"[..]), Err(MarshallingError));
    // Unlike others it judges the path before it trips over a null.
    assert_eq!(p.propose(1, Opcode::SetData, &[NULL, NULL, NULL].concat()), Err(BadArguments));
    assert_eq!(p.propose(1, Opcode::SetData, &[NULL, NULL].concat()), Err(MarshallingError), "cut off");
    assert_eq!(p.set_data(NOBODY, "a", 5), Err(UnknownSession));
    for path in ["", "a", "/missing/", "/missing//a", "/missing/..", "/\0"] {
        assert_eq!(p.set_data(1, path, 5), Err(BadArguments), "{path:?}");
    }
    assert_eq!(p.set_data(1, "/locked/missing", 5), Err(NoNode));
    assert_eq!(p.set_data(1, "/locked", 5), Err(NoAuth));
    assert_eq!(p.set_data(1, "/a", 5), Err(BadVersion));
    assert_eq!(p.overlay.count(), 0, "what fails changes nothing");
    let bytes = p.set_data(1, "/a", 0).expect("the version is right");
    assert_eq!(
        txn_of(&bytes),
        Txn::SetData(SetDataTxn { path: "/a".into(), data: Some(b"new"), version: 1 })
    );
    assert_eq!(p.set_data(1, "/a", 0), Err(BadVersion));
    p.set_data(1, "/a", 1).expect("what is pending counts");
    for path in ["/", "/zookeeper"] {
        p.set_data(1, path, -1).expect("may be written");
    }
    assert_eq!(p.set_data(1, "/zookeeper/config", -1), Err(NoAuth));
}

#[test]
fn set_acl_checks_in_javas_order() {
    let mut p = pipeline();
    assert_eq!(p.propose(NOBODY, Opcode::SetAcl, &b"\0\0\0\x02/a"[..]), Err(MarshallingError));
    assert_eq!(p.propose(1, Opcode::SetAcl, &[NULL, NULL, NULL].concat()), Err(BadArguments));
    assert_eq!(p.set_acl(NOBODY, "a", EMPTY, 5), Err(UnknownSession));
    assert_eq!(p.set_acl(1, "/missing/", EMPTY, 5), Err(BadArguments));
    assert_eq!(p.set_acl(1, "/missing", EMPTY, 5), Err(InvalidACL));
    assert_eq!(p.set_acl(1, "/missing", None, 5), Err(InvalidACL));
    assert_eq!(p.set_acl(1, "/missing", OPEN, 5), Err(NoNode));
    assert_eq!(p.set_acl(1, "/locked", OPEN, 5), Err(NoAuth));
    assert_eq!(p.set_acl(1, "/a", OPEN, 5), Err(BadVersion));
    p.set_data(1, "/a", -1).expect("open");
    let bytes = p.set_acl(1, "/a", Some(AclList::READ), 0).expect("it is the aversion that counts");
    let txn = SetAclTxn { path: "/a".into(), acl: Some(AclList::READ), version: 1 };
    assert_eq!(txn_of(&bytes), Txn::SetAcl(txn));
    assert_eq!(p.set_acl(1, "/a", OPEN, 1), Err(NoAuth), "what is pending counts");
    p.set_acl(1, "/", OPEN, 0).expect("the root has an ACL like others");
}

#[test]
fn a_closing_session_is_refused() {
    let mut p = pipeline();
    p.close(1).expect("always");
    assert_eq!(p.create(1, "/b", 0), Err(SessionExpired));
    assert_eq!(p.create(1, "/b", 1), Err(SessionExpired));
    assert_eq!(p.delete(1, "a", 0), Err(SessionExpired));
    assert_eq!(p.set_data(1, "a", 0), Err(SessionExpired));
    assert_eq!(p.set_acl(1, "a", EMPTY, 0), Err(SessionExpired));
    p.create(2, "/b", 1).expect("the other session lives");
}

fn closed_paths(bytes: &[u8]) -> Vec<String> {
    let Txn::CloseSession(Some(paths)) = txn_of(bytes) else { panic!("a closeSession with its paths") };
    paths.iter().map(|path| path.to_string()).collect()
}

#[test]
fn close_session_names_what_the_session_will_own() {
    let mut p = pipeline();
    p.create(1, "/f", 1).expect("an ephemeral");
    p.create(1, "/g", 3).expect("a sequential one");
    p.create(2, "/other", 1).expect("another's");
    p.create(1, "/plain", 0).expect("a persistent node");
    p.delete(2, "/e", -1).expect("anybody may");
    let bytes = p.propose_from(None, 1, Opcode::CloseSession, &[]).expect("the server itself");
    assert_eq!(closed_paths(&bytes), ["/f", "/g0000000004"]);
    p.create(2, "/f", 0).expect("it is as good as gone");
    p.apply_all();
    assert_eq!(p.overlay.count(), 0);
    assert_eq!(p.world.node("/f").map(|node| node.owner()), Some(0));
    let bytes = p.propose_from(None, NOBODY, Opcode::CloseSession, &[]).expect("always");
    assert_eq!(closed_paths(&bytes), Vec::<String>::new());
}

/// What the first creation leaves behind when it is applied must not hide the second.
#[test]
fn an_ephemeral_created_twice_in_a_row_is_closed_with_its_session() {
    let mut p = Pipeline::new();
    p.create(1, "/p", 0).expect("free");
    p.create(1, "/p/e", 1).expect("free");
    p.delete(1, "/p/e", -1).expect("there");
    p.create(1, "/p/e", 1).expect("free again");
    for _ in 0..3 {
        p.apply_one().expect("pending");
    }
    let bytes = p.close(1).expect("always");
    assert_eq!(closed_paths(&bytes), ["/p/e"]);
    p.create(2, "/p/e", 0).expect("it is as good as gone");
    p.delete(2, "/p/e", 0).expect("there");
    p.delete(2, "/p", -1).expect("it has no children by then");
    p.apply_all();
    assert!(p.world.node("/p").is_none());
    assert_eq!(p.overlay.count(), 0);
}

#[test]
fn creations_and_deletions_are_pipelined() {
    let mut p = Pipeline::new();
    for round in 0..3 {
        p.create(1, "/a", 0).expect("free");
        assert_eq!(p.create(2, "/a", 0), Err(NodeExists));
        p.create(1, "/a/b", 0).expect("the parent is pending");
        assert_eq!(p.delete(2, "/a", -1), Err(NotEmpty));
        assert_eq!(p.set_data(2, "/a/b", 1), Err(BadVersion));
        p.delete(1, "/a/b", 0).expect("there");
        assert_eq!(p.set_data(2, "/a/b", -1), Err(NoNode));
        p.delete(1, "/a", 0).expect("empty");
        assert_eq!(p.create(1, "/a/c", 0), Err(NoNode), "round {round}");
        p.apply_one();
    }
    p.apply_all();
    assert_eq!((p.overlay.count(), p.world.store.nodes_count()), (0, 4));
}
