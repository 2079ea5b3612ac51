//! Shares of the digest by themselves, and what prep foretells against what apply comes to.

use super::*;
use crate::base::{Prng, WallMillis, Zxid};
use crate::tree::testing::{Pipeline, create_body, encoded, random_path, random_request};
use crate::wire::client::multi::encode_list;
use crate::wire::client::{CreateRequest, CreateTtlRequest, DeleteRequest, MultiOp, SetDataRequest};
use crate::wire::txn::{Entry, Txn};
use crate::wire::{AclList, Decode, ErrorCode, Opcode};

fn random_stat(prng: &mut Prng) -> StatPersisted {
    let mut long = || prng.next() as i64;
    let (czxid, mzxid, pzxid) = (Zxid(long()), Zxid(long()), Zxid(long()));
    let (ctime, mtime) = (WallMillis(long()), WallMillis(long()));
    let (version, cversion, aversion) = (long() as i32, long() as i32, long() as i32);
    let ephemeral_owner = long();
    StatPersisted { czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeral_owner, pzxid }
}

#[test]
fn a_changed_stat_needs_no_look_at_the_data() {
    let mut prng = Prng::new(1);
    for path in ["/", "/a", "/zookeeper", "/zookeeperish", "/zookeeper/quota", "/a/b/c"] {
        for data in [None, Some(&b""[..]), Some(b"some"), Some(&[7; 100_000])] {
            let (before, after) = (random_stat(&mut prng), random_stat(&mut prng));
            let share = share_of(path.as_bytes(), data, &before);
            let expected = share_of(path.as_bytes(), data, &after);
            assert_eq!(share_after(path.as_bytes(), share, &before, &after), expected, "{path}");
            assert_eq!(share == 0, path.starts_with("/zookeeper/"), "{path}");
        }
    }
}

/// Every field counts, and so do path and data.
#[test]
fn shares_tell_nodes_apart() {
    let plain = StatPersisted::at_birth(Zxid(5), WallMillis(6), 0);
    let others = [
        StatPersisted { czxid: Zxid(4), ..plain },
        StatPersisted { mzxid: Zxid(4), ..plain },
        StatPersisted { pzxid: Zxid(4), ..plain },
        StatPersisted { ctime: WallMillis(4), ..plain },
        StatPersisted { mtime: WallMillis(4), ..plain },
        StatPersisted { version: 4, ..plain },
        StatPersisted { cversion: 4, ..plain },
        StatPersisted { aversion: 4, ..plain },
        StatPersisted { ephemeral_owner: 4, ..plain },
    ];
    let mut shares: Vec<u32> = others.iter().map(|stat| share_of(b"/a", Some(b"x"), stat)).collect();
    shares.extend(
        [(&b"/a"[..], b"x"), (b"/b", b"x"), (b"/a", b"y")]
            .map(|(path, data)| share_of(path, Some(&data[..]), &plain)),
    );
    let count = shares.len();
    shares.sort_unstable();
    shares.dedup();
    assert_eq!(shares.len(), count);
}

fn random_multi(pipeline: &mut Pipeline, prng: &mut Prng) -> Result<Vec<u8>, ErrorCode> {
    let paths: Vec<String> = (0..1 + prng.below(4)).map(|_| random_path(prng)).collect();
    let acl = Some(AclList::OPEN);
    let ops: Vec<MultiOp<'_>> = paths
        .iter()
        .map(|path| {
            let (path, version) = (path.as_str().into(), prng.below(3) as i32 - 1);
            match prng.below(9) {
                0..=3 => {
                    MultiOp::Create(CreateRequest { path, data: None, acl, flags: prng.below(5) as i32 })
                }
                4 => MultiOp::CreateTtl(CreateTtlRequest { path, data: None, acl, flags: 5, ttl: 100 }),
                5 | 6 => MultiOp::Delete(DeleteRequest { path, version }),
                _ => MultiOp::SetData(SetDataRequest { path, data: Some(b"in a multi"), version }),
            }
        })
        .collect();
    let mut body = vec![];
    encode_list(&mut body, ops);
    pipeline.propose(1 + prng.below(2) as i64, Opcode::Multi, &body)
}

/// Requests that `random_request` has none of.
fn rare_request(pipeline: &mut Pipeline, prng: &mut Prng) -> Result<Vec<u8>, ErrorCode> {
    let path = random_path(prng);
    let acl = Some(AclList::OPEN);
    match prng.below(8) {
        0 => pipeline.propose(1, Opcode::CreateContainer, &create_body(&path, acl, 4)),
        1 => {
            let flags = 5 + prng.below(2) as i32;
            let request = CreateTtlRequest { path: path.as_str().into(), data: None, acl, flags, ttl: 100 };
            pipeline.propose(1, Opcode::CreateTtl, &encoded(&request))
        }
        2 => pipeline.propose(2, Opcode::Create2, &create_body(&path, acl, prng.below(4) as i32)),
        3 => pipeline.reap(prng).ok_or(ErrorCode::NoNode),
        // A quota, whose statistics then change with the nodes below.
        4 => {
            let name = ["", "/zookeeper_limits", "/zookeeper_stats"][prng.below(3) as usize];
            let text = format!("/zookeeper/quota{}{name}", &path[..2]);
            let request =
                CreateRequest { path: text.as_str().into(), data: Some(b"count=5,bytes=10"), acl, flags: 0 };
            pipeline.propose(1, Opcode::Create, &encoded(&request))
        }
        _ => random_multi(pipeline, prng),
    }
}

/// [`Pipeline::apply_one`] compares, as every member of an ensemble does.
#[test]
fn prep_foretells_what_apply_comes_to() {
    let mut kinds = std::collections::BTreeMap::new();
    for seed in 0..300 {
        let mut pipeline = Pipeline::new();
        pipeline.rules.extended_types = true;
        let mut prng = Prng::new(seed);
        for step in 0..300 {
            let request = if prng.chance(1, 3) { rare_request } else { random_request };
            if let Ok(bytes) = request(&mut pipeline, &mut prng) {
                let kind = match Entry::parse(&bytes).expect("encoded just now").txn {
                    Txn::Multi(ops) if ops.iter().any(|op| matches!(op.0, Txn::Error(_))) => "failed multi",
                    Txn::CloseSession(Some(paths)) if paths.len() > 1 => "close of some",
                    txn => txn.kind().name(),
                };
                *kinds.entry(kind).or_insert(0) += 1;
            }
            for _ in 0..prng.below(4) * prng.below(2) {
                pipeline.apply_one();
            }
            if step % 20 == 19 {
                pipeline.reopen_sessions();
            }
        }
        pipeline.apply_all();
    }
    for kind in [
        "create",
        "create2",
        "createContainer",
        "createTTL",
        "delete",
        "deleteContainer",
        "setData",
        "setACL",
        "closeSession",
        "close of some",
        "multi",
        "failed multi",
    ] {
        assert!(kinds.get(kind).is_some_and(|count| *count > 100), "{kind}: {kinds:?}");
    }
}

/// A list of paths that is too long for a transaction is not recorded, and all of them go.
#[test]
fn a_session_with_too_many_ephemerals_to_name() {
    let mut pipeline = Pipeline::new();
    let long = "x".repeat(700);
    pipeline.create(1, "/p", 0).expect("free");
    for n in 0..1500 {
        pipeline.create(1, &format!("/p/{n}-{long}"), 1).expect("free");
        if n == 1000 {
            pipeline.apply_all();
        }
    }
    let bytes = pipeline.close(1).expect("always");
    assert_eq!(Entry::parse(&bytes).expect("encoded just now").txn, Txn::CloseSession(None));
    pipeline.create(2, "/p/next", 1).expect("free");
    pipeline.apply_all();
    assert_eq!(pipeline.world.store.ephemerals_count(), 1);
}
