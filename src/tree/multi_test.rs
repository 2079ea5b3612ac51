//! Operations of a multi: what each is decided against, and how a failed one leaves nothing behind.

use super::*;
use crate::base::{Prng, SessionId};
use crate::messages::Identity;
use crate::tree::testing::{Pipeline, client, encoded, image_of};
use crate::wire::AclList;
use crate::wire::client::multi::{MultiHeader, encode_list};
use crate::wire::client::{CheckVersionRequest, DeleteRequest, SetDataRequest};
use crate::wire::txn::Entry;

use ErrorCode::{
    BadArguments, BadVersion, InvalidACL, MarshallingError, NoAuth, NoNode, NodeExists, NotEmpty, Ok as Fine,
    RuntimeInconsistency, SessionExpired, SessionMoved, Unimplemented, UnknownSession,
};

fn request(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest { path: path.into(), data: Some(b"data"), acl: Some(AclList::OPEN), flags }
}

fn create(path: &str, flags: i32) -> MultiOp<'_> {
    MultiOp::Create(request(path, flags))
}

fn ttl(path: &str, flags: i32, ttl: i64) -> MultiOp<'_> {
    let CreateRequest { path, data, acl, flags } = request(path, flags);
    MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags, ttl })
}

fn delete(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::Delete(DeleteRequest { path: path.into(), version })
}

fn set(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::SetData(SetDataRequest { path: path.into(), data: Some(b"new"), version })
}

fn check(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::Check(CheckVersionRequest { path: path.into(), version })
}

fn body(ops: &[MultiOp<'_>]) -> Vec<u8> {
    let mut bytes = vec![];
    encode_list(&mut bytes, ops.iter().copied());
    bytes
}

fn multi(p: &mut Pipeline, session: i64, ops: &[MultiOp<'_>]) -> Result<Vec<u8>, ErrorCode> {
    p.propose(session, Opcode::Multi, &body(ops))
}

fn txns(bytes: &[u8]) -> Vec<Txn<'_>> {
    let Txn::Multi(ops) = Entry::parse(bytes).expect("what prep made").txn else { panic!("a multi") };
    ops.iter().map(|op| op.0).collect()
}

/// The multi is granted: what its operations are, in words.
fn granted(p: &mut Pipeline, ops: &[MultiOp<'_>]) -> Vec<String> {
    let bytes = multi(p, 1, ops).expect("a multi");
    let say = |txn: &Txn<'_>| match txn {
        Txn::Create(txn) | Txn::Create2(txn) => {
            let kind = if txn.ephemeral { " ephemeral" } else { "" };
            format!("create{kind} {} {}", txn.path, txn.parent_cversion)
        }
        Txn::CreateContainer(txn) => format!("container {} {}", txn.path, txn.parent_cversion),
        Txn::CreateTtl(txn) => format!("ttl {} {} {}", txn.path, txn.parent_cversion, txn.ttl),
        Txn::Delete(txn) => format!("delete {}", txn.path),
        Txn::SetData(txn) => format!("set {} {}", txn.path, txn.version),
        Txn::Check(txn) => format!("check {} {}", txn.path, txn.version),
        other => panic!("{other:?} in a multi that succeeds"),
    };
    txns(&bytes).iter().map(say).collect()
}

/// The multi is refused: what each operation ends with.
fn refused(p: &mut Pipeline, session: i64, ops: &[MultiOp<'_>]) -> Vec<ErrorCode> {
    let before = p.overlay.image();
    let bytes = multi(p, session, ops).expect("a transaction all the same");
    assert_eq!(p.overlay.image(), before, "what fails leaves nothing behind");
    let code = |txn: &Txn<'_>| match txn {
        Txn::Error(error) => error.code(),
        other => panic!("{other:?} in a multi that fails"),
    };
    txns(&bytes).iter().map(code).collect()
}

/// Found by the simulator, seed 0x10756: the session's end took another session's node along.
#[test]
fn an_ephemeral_made_anew_in_a_multi_is_forgotten_once_it_is_applied() {
    let mut p = Pipeline::new();
    p.create(1, "/e", 1).expect("free");
    p.apply_all();
    assert_eq!(granted(&mut p, &[delete("/e", 0), create("/e", 1)]), ["delete /e", "create ephemeral /e 2"]);
    p.apply_all();
    assert!(p.overlay.is_empty());
    p.delete(1, "/e", 0).expect("there");
    p.create(2, "/e", 0).expect("free again");
    p.apply_all();
    p.close(1).expect("always");
    p.apply_all();
    assert!(
        p.world.node("/e").is_some_and(|node| node.is_alive()),
        "it is the second session's, and persistent"
    );
}

/// ZooKeeper counts what is pending beyond the largest cversion, and the tree keeps that: so the names come again.
#[test]
fn sequence_numbers_wrap_while_creates_are_pending() {
    let mut p = Pipeline::new();
    p.create(1, "/a", 0).expect("free");
    p.apply_all();
    let (slot, _) = p.world.store.find(b"/a").expect("there");
    let zxid = p.world.zxid.next();
    p.world.store.update(zxid, slot, |node| node.cversion = i32::MAX);
    let three = [create("/a/q", 2), create("/a/q", 3), create("/a/q", 2)];
    let numbers = [
        "create /a/q2147483647 -2147483648",
        "create ephemeral /a/q-2147483648 -2147483647",
        "create /a/q-2147483647 -2147483646",
    ];
    assert_eq!(granted(&mut p, &three), numbers);
    // What fails counts nothing, what is alone is counted on.
    assert_eq!(refused(&mut p, 1, &[create("/a/q", 2), delete("/a/no", -1)]), [Fine, NoNode]);
    assert_eq!(granted(&mut p, &[create("/a/q", 2)]), ["create /a/q-2147483646 -2147483645"]);
    p.apply_all();
    assert!(p.overlay.is_empty());
    let node = p.world.node("/a").expect("there");
    assert_eq!((node.cversion, node.children_count), (i32::MAX, 4));
    assert_eq!(p.create(1, "/a/q", 2), Err(NodeExists));
    assert_eq!(granted(&mut p, &[create("/a/other", 2)]), ["create /a/other2147483647 -2147483648"]);
    assert_eq!(refused(&mut p, 1, &three), [NodeExists, RuntimeInconsistency, RuntimeInconsistency]);
    p.apply_all();
    assert_eq!(refused(&mut p, 1, &three), [NodeExists, RuntimeInconsistency, RuntimeInconsistency]);
}

#[test]
fn each_operation_sees_those_before_it() {
    let mut p = Pipeline::new();
    let ops = [
        create("/a", 0),
        create("/a/b", 0),
        set("/a", 0),
        check("/a", 1),
        delete("/a/b", 0),
        create("/a/b", 1),
        set("/a/b", 0),
        set("/a/b", 1),
        check("/a/b", 2),
    ];
    let expected = [
        "create /a 1",
        "create /a/b 1",
        "set /a 1",
        "check /a 2",
        "delete /a/b",
        "create ephemeral /a/b 2",
        "set /a/b 1",
        "set /a/b 2",
        "check /a/b 3",
    ];
    assert_eq!(granted(&mut p, &ops), expected);
    // And what comes after sees it all, applied or not.
    for _ in 0..2 {
        assert_eq!(p.create(2, "/a/b/c", 0), Err(ErrorCode::NoChildrenForEphemerals));
        assert_eq!(p.delete(2, "/a", 1), Err(NotEmpty));
        assert_eq!(p.set_data(2, "/a/b", 1), Err(BadVersion));
        p.apply_all();
        assert_eq!(p.overlay.count(), 0);
    }
    image_of(&p.world.store);
    let node = p.world.node("/a/b").expect("made again");
    assert_eq!((node.version, node.owner()), (2, 1));
    assert_eq!(
        p.world.node("/a").map(|node| (node.cversion, node.version, node.children_count)),
        Some((2, 1, 1))
    );
}

#[test]
fn sequential_names_count_on_within_a_multi() {
    let mut p = Pipeline::new();
    let ops =
        [create("/s", 0), create("/s/n-", 2), create("/s/n-", 3), create("/s/x", 0), create("/s/n-", 2)];
    let expected = [
        "create /s 1",
        "create /s/n-0000000000 1",
        "create ephemeral /s/n-0000000001 2",
        "create /s/x 3",
        "create /s/n-0000000003 4",
    ];
    assert_eq!(granted(&mut p, &ops), expected);
    p.apply_all();
    assert_eq!(p.create(1, "/s/n-", 2).map(|_| ()), Ok(()));
    p.apply_all();
    assert!(p.world.node("/s/n-0000000004").is_some());
}

#[test]
fn the_first_failure_refuses_all() {
    let mut p = Pipeline::new();
    p.create(1, "/a", 0).expect("free");
    p.create(1, "/a/x", 0).expect("free");
    for pending in [true, false] {
        let ops = [create("/b", 1), delete("/a/x", 0), set("/a", 7), delete("/missing", 0)];
        assert_eq!(
            refused(&mut p, 1, &ops),
            [Fine, Fine, BadVersion, RuntimeInconsistency],
            "pending: {pending}"
        );
        assert_eq!(refused(&mut p, 1, &[create("/b", 0), create("/b", 0)]), [Fine, NodeExists]);
        assert_eq!(refused(&mut p, 1, &[delete("/a/x", -1), delete("/a/x", -1)]), [Fine, NoNode]);
        assert_eq!(refused(&mut p, 1, &[delete("/a", -1)]), [NotEmpty]);
        assert_eq!(
            refused(&mut p, 1, &[check("/missing", -1), check("", -1)]),
            [NoNode, RuntimeInconsistency]
        );
        for path in ["", "a", "/a/", "/a//b", "/a/.."] {
            assert_eq!(refused(&mut p, 1, &[check(path, -1)]), [BadArguments], "{path:?}");
            assert_eq!(refused(&mut p, 1, &[set(path, -1)]), [BadArguments], "{path:?}");
        }
        assert_eq!(refused(&mut p, 1, &[check("/a", 1)]), [BadVersion]);
        assert_eq!(
            refused(&mut p, 1, &[create("/a/x", 0), create("/b", 0)]),
            [NodeExists, RuntimeInconsistency]
        );
        // Neither does the refused ephemeral belong to anybody.
        assert_eq!(p.overlay.ephemerals_of(&p.world.store, SessionId(1)), []);
        p.apply_all();
        assert_eq!(p.overlay.count(), 0);
    }
    assert_eq!(p.world.store.nodes_count(), 6);
}

#[test]
fn a_multi_has_no_checks_of_its_own() {
    let mut p = Pipeline::new();
    let empty = multi(&mut p, 99, &[]).expect("no operation asks who it is");
    assert_eq!(txns(&empty), []);
    assert_eq!(
        refused(&mut p, 99, &[create("/a", 0), create("/b", 0)]),
        [UnknownSession, RuntimeInconsistency]
    );
    assert_eq!(refused(&mut p, 99, &[create("/a", 1)]), [SessionExpired]);
    assert_eq!(refused(&mut p, 99, &[check("/", -1)]), [UnknownSession]);
    let ops = body(&[create("/a", 0)]);
    assert_eq!(p.propose_from(Some(client(2)), 1, Opcode::Multi, &ops), Err(SessionMoved));
    p.close(1).expect("always");
    assert_eq!(refused(&mut p, 1, &[create("/a", 0)]), [SessionExpired]);
}

#[test]
fn what_can_not_be_read_refuses_the_request() {
    let mut p = Pipeline::new();
    let fine = create("/a", 0);
    let no_acl = CreateRequest { acl: None, ..request("/a", 0) };
    for bad in [
        create("/a", 5),
        create("/a", 6),
        create("/a", 7),
        create("/a", -1),
        MultiOp::Create2(request("/a", 5)),
        MultiOp::CreateContainer(request("/a", 9)),
        MultiOp::Create(no_acl),
        MultiOp::Create2(no_acl),
        MultiOp::CreateContainer(no_acl),
    ] {
        // Found before the operations before it are looked at.
        for ops in [&[bad][..], &[fine, bad], &[delete("/missing", -1), bad]] {
            assert_eq!(multi(&mut p, 1, ops), Err(MarshallingError), "{bad:?}");
        }
    }
    let whole = body(&[fine, check("/a", 0)]);
    for cut in 0..whole.len() {
        assert_eq!(p.propose(1, Opcode::Multi, &whole[..cut]), Err(MarshallingError), "{cut} bytes");
    }
    // Reads, operations that no multi holds, and a multi in a multi.
    for kind in [4, 8, 7, 20, 16, 14, 0, -1, 99] {
        let mut bytes = encoded(&MultiHeader { kind, done: false, err: -1 });
        bytes.extend(encoded(&request("/a", 0)));
        bytes.extend(body(&[]));
        assert_eq!(p.propose(1, Opcode::Multi, &bytes), Err(MarshallingError), "type {kind}");
    }
    let world_null = [&[0, 0, 0, 1, 0, 0, 0, 31][..], b"\0\0\0\x05world", &[0xff; 4]].concat();
    let odd = CreateRequest { acl: AclList::parse(&world_null).ok(), ..request("/b", 0) };
    assert_eq!(multi(&mut p, 1, &[fine, MultiOp::Create(odd)]), Err(MarshallingError));
    assert_eq!((p.pending(), p.overlay.count()), (0, 0));
}

#[test]
fn flags_say_what_is_made() {
    let mut p = Pipeline::new();
    let ops = [
        create("/a", 4),
        MultiOp::Create2(request("/b", 4)),
        MultiOp::Create2(request("/c", 1)),
        MultiOp::CreateContainer(request("/d", 0)),
        MultiOp::CreateContainer(request("/e", 1)),
        ttl("/f", 0, 5),
        ttl("/g", 1, -1),
        ttl("/h", 4, 5),
    ];
    let expected = [
        "container /a 1",
        "container /b 2",
        "create ephemeral /c 3",
        "container /d 4",
        "container /e 5",
        "create /f 6",
        "create ephemeral /g 7",
        "container /h 8",
    ];
    assert_eq!(granted(&mut p, &ops), expected);
    assert_eq!(refused(&mut p, 1, &[ttl("/i", 5, 5)]), [Unimplemented]);
    assert_eq!(refused(&mut p, 1, &[ttl("/i", 7, 5)]), [BadArguments]);
    p.rules.extended_types = true;
    assert_eq!(refused(&mut p, 1, &[ttl("/i", 5, 0)]), [BadArguments]);
    let no_acl = CreateTtlRequest { path: "/i".into(), data: None, acl: None, flags: 5, ttl: 5 };
    assert_eq!(refused(&mut p, 1, &[MultiOp::CreateTtl(no_acl)]), [InvalidACL]);
    let plain = CreateTtlRequest { flags: 0, ..no_acl };
    assert_eq!(refused(&mut p, 1, &[MultiOp::CreateTtl(plain)]), [InvalidACL]);
    let empty = CreateRequest { acl: Some(AclList::EMPTY), ..request("/i", 0) };
    assert_eq!(refused(&mut p, 1, &[MultiOp::Create(empty)]), [InvalidACL]);
    assert_eq!(
        granted(&mut p, &[ttl("/i", 5, 5), ttl("/j-", 6, 9)]),
        ["ttl /i 9 5", "ttl /j-0000000009 10 9"]
    );
}

/// Each `auth` becomes all that the connection has shown. A learner of Apache's reads no more than twice a frame.
#[test]
fn a_multi_that_grows_too_long_is_refused() {
    let mut p = Pipeline::new();
    p.rules.frame_bytes_max = 4096;
    p.identities = vec![Identity { scheme: "digest".into(), id: "i".repeat(900) }];
    let auth = crate::tree::testing::acl_bytes(&[crate::wire::OwnedAcl::new(31, "auth", "")]);
    let acl = Some(AclList::parse(&auth).expect("a list"));
    let paths: Vec<String> = (0..9).map(|number| format!("/{number}")).collect();
    let mut ops = vec![];
    for path in &paths {
        ops.push(MultiOp::Create(CreateRequest { path: path.as_str().into(), data: None, acl, flags: 0 }));
    }
    let logged = multi(&mut p, 1, &ops[..8]).expect("a multi").len();
    assert!((7 * 1024..=2 * 4096).contains(&logged), "{logged}");
    for path in &paths[..8] {
        p.delete(1, path, -1).expect("there");
    }
    let mut ends = vec![Fine; 8];
    ends.push(InvalidACL);
    assert_eq!(refused(&mut p, 1, &ops), ends);
    // One list alone, of all that can be shown.
    p.identities = vec![Identity { scheme: "digest".into(), id: "i".repeat(4096) }];
    assert_eq!(refused(&mut p, 1, &ops[..1]), [InvalidACL]);
}

#[test]
fn acls_count_in_a_multi() {
    let mut p = Pipeline::new();
    p.create(1, "/locked", 0).expect("free");
    p.create(1, "/locked/x", 0).expect("free");
    p.set_acl(1, "/locked", Some(AclList::READ), -1).expect("open");
    for op in [create("/locked/y", 0), delete("/locked/x", -1), set("/locked", -1)] {
        assert_eq!(refused(&mut p, 1, &[check("/locked", -1), op]), [Fine, NoAuth], "{op:?}");
    }
    p.identities = vec![Identity { scheme: "digest".into(), id: "u:h".into() }];
    let mine = CreateRequest { acl: Some(AclList::CREATOR_ALL), ..request("/mine", 0) };
    granted(&mut p, &[MultiOp::Create(mine)]);
    p.identities = vec![];
    assert_eq!(refused(&mut p, 1, &[check("/mine", -1)]), [NoAuth]);
    assert_eq!(
        refused(&mut p, 1, &[MultiOp::Create(CreateRequest { path: "/x".into(), ..mine })]),
        [InvalidACL]
    );
}

fn random_op(prng: &mut Prng, paths: &[&'static str]) -> MultiOp<'static> {
    let path = paths[prng.below(paths.len() as u64) as usize];
    let version = prng.below(3) as i32 - 1;
    match prng.below(9) {
        0..=3 => create(path, prng.below(5) as i32),
        4 | 5 => delete(path, version),
        6 | 7 => set(path, version),
        _ => check(path, version),
    }
}

/// A multi is decided and applied as its operations are one by one; and one that fails as if it had never been.
#[test]
fn a_multi_is_its_operations_one_after_another() {
    const PATHS: [&str; 9] = ["/a", "/b", "/a/a", "/a/b", "/b/a", "/b/b", "/a/a/a", "/a/b/a", "/b/a/a"];
    let (mut succeeded, mut failed) = (0, 0);
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let (mut together, mut single) = (Pipeline::new(), Pipeline::new());
        for _ in 0..60 {
            let session = 1 + prng.below(2) as i64;
            let count = 1 + prng.below(4);
            let ops: Vec<_> = (0..count).map(|_| random_op(&mut prng, &PATHS)).collect();
            let before = together.overlay.image();
            let bytes = multi(&mut together, session, &ops).expect("well formed");
            let refused = txns(&bytes).iter().any(|txn| matches!(txn, Txn::Error(_)));
            if refused {
                failed += 1;
                assert_eq!(together.overlay.image(), before);
                continue;
            }
            if prng.chance(1, 2) {
                together.apply_all();
            }
            succeeded += 1;
            for op in &ops {
                let (opcode, body) = match *op {
                    MultiOp::Create(request) if request.flags == 4 => {
                        (Opcode::CreateContainer, encoded(&request))
                    }
                    MultiOp::Create(request) => (Opcode::Create, encoded(&request)),
                    MultiOp::Delete(request) => (Opcode::Delete, encoded(&request)),
                    MultiOp::SetData(request) => (Opcode::SetData, encoded(&request)),
                    _ => continue,
                };
                single.propose(session, opcode, &body).expect("what the multi was granted");
            }
        }
        together.apply_all();
        single.apply_all();
        assert_eq!(together.overlay.count(), 0);
        let image = |p: &Pipeline| {
            let shape = |seen: &crate::tree::testing::Seen| {
                (seen.data.clone(), seen.owner, seen.versions, seen.children)
            };
            image_of(&p.world.store)
                .iter()
                .map(|(path, seen)| (path.clone(), shape(seen)))
                .collect::<Vec<_>>()
        };
        assert_eq!(image(&together), image(&single), "seed {seed}");
    }
    assert!(succeeded > 500 && failed > 1000, "{succeeded} granted, {failed} refused");
}
