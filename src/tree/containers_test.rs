//! Which containers and TTL nodes have served their time, and what keeps one alive at the last moment.

use super::*;
use crate::tree::testing::{KEY, Pipeline, create_body, encoded, load_nodes, snapshot_of};
use crate::wire::client::CreateTtlRequest;
use crate::wire::{AclList, Opcode};

const NEVER: Lifetimes = Lifetimes { never_used: None, ttl: true };

/// `/c`, a container, and `/t`, a TTL node of 100 ms, both made at wall time 1001 or 1002.
fn pipeline() -> Pipeline {
    let mut p = Pipeline::new();
    p.rules.extended_types = true;
    p.propose(1, Opcode::CreateContainer, &create_body("/c", Some(AclList::OPEN), 4)).expect("free");
    let ttl =
        CreateTtlRequest { path: "/t".into(), data: None, acl: Some(AclList::OPEN), flags: 5, ttl: 100 };
    p.propose(1, Opcode::CreateTtl, &encoded(&ttl)).expect("free");
    p.apply_all();
    p
}

fn listed(store: &Store) -> Vec<String> {
    let slots = std::iter::successors(store.reapable_from(0), |slot| store.reapable_from(slot + 1));
    slots.map(|slot| store.node(slot).path.to_string()).collect()
}

fn over(p: &Pipeline, path: &str, now: i64, lifetimes: Lifetimes) -> bool {
    let (slot, _) = p.world.store.find(path.as_bytes()).expect("it is there");
    p.world.store.is_over(slot, WallMillis(now), lifetimes)
}

#[test]
fn only_what_may_go_is_listed() {
    let mut p = pipeline();
    p.create(1, "/plain", 0).expect("free");
    p.create(1, "/e", 1).expect("free");
    p.create(1, "/c/x", 0).expect("free");
    p.apply_all();
    assert_eq!(listed(&p.world.store), ["/c", "/t"]);
    let (_, nodes) = snapshot_of(&mut p.world.store);
    let (mut copy, _) = crate::tree::tree(KEY, 0);
    load_nodes(&mut copy, p.world.zxid, &nodes).expect("just written");
    let mut again = listed(&copy);
    again.sort();
    assert_eq!(again, ["/c", "/t"], "a restart finds them again");
    p.delete(1, "/t", -1).expect("anybody may");
    p.apply_all();
    assert_eq!(listed(&p.world.store), ["/c"]);
}

#[test]
fn a_container_goes_when_it_is_left() {
    let mut p = pipeline();
    assert!(!over(&p, "/c", i64::MAX, NEVER), "its maker has yet to use it");
    let soon = Lifetimes { never_used: Some(Duration::from_millis(50)), ttl: false };
    let made = p.world.node("/c").expect("there").mtime;
    assert!(!over(&p, "/c", made + 50, soon) && over(&p, "/c", made + 51, soon));
    assert!(!over(&p, "/c", made - 1000, soon), "the clock was set back");
    p.create(1, "/c/x", 0).expect("free");
    p.apply_all();
    assert!(!over(&p, "/c", i64::MAX, soon));
    p.delete(1, "/c/x", 0).expect("there");
    p.apply_all();
    assert!(over(&p, "/c", 0, NEVER), "at once");
}

#[test]
fn a_ttl_node_goes_when_nobody_wrote_it_for_its_time() {
    let mut p = pipeline();
    let made = p.world.node("/t").expect("there").mtime;
    assert!(!over(&p, "/t", made + 100, NEVER) && over(&p, "/t", made + 101, NEVER));
    assert!(!over(&p, "/t", made + 101, Lifetimes { ttl: false, ..NEVER }), "extended types are off");
    for _ in 0..10 {
        p.set_data(1, "/t", -1).expect("there");
    }
    p.apply_all();
    assert!(!over(&p, "/t", made + 101, NEVER) && over(&p, "/t", made + 201, NEVER));
    p.create(1, "/t/x", 0).expect("free");
    p.apply_all();
    assert!(!over(&p, "/t", i64::MAX, NEVER), "it has a child");
    p.delete(1, "/t/x", 0).expect("there");
    p.apply_all();
    assert!(over(&p, "/t", made + 201, NEVER), "its children don't renew it");
}

fn reap(p: &mut Pipeline, path: &str, now: i64) -> bool {
    let (slot, _) = p.world.store.find(path.as_bytes()).expect("it is there");
    let zxid = p.world.zxid.next();
    let mut view = View {
        store: &p.world.store,
        overlay: &mut p.overlay,
        sessions: &mut p.sessions,
        rules: p.rules,
        time: WallMillis(now),
        excess: None,
    };
    let txn = view.reap(zxid, slot, WallMillis(now), NEVER);
    assert!(txn.is_none_or(|txn| txn == Txn::DeleteContainer(DeleteTxn { path: path.into() })));
    txn.is_some()
}

#[test]
fn what_is_pending_can_save_it() {
    let mut p = pipeline();
    assert!(!reap(&mut p, "/t", 1050), "not yet");
    p.set_data(1, "/t", -1).expect("there");
    assert!(!reap(&mut p, "/t", 1_000_000), "somebody has just written it");
    p.apply_all();
    p.create(1, "/t/x", 0).expect("free");
    assert!(!reap(&mut p, "/t", 1_000_000), "it is about to have a child");
    p.apply_all();
    assert!(!reap(&mut p, "/t", 1_000_000));
    p.delete(1, "/t/x", 0).expect("there");
    assert!(!reap(&mut p, "/t", 1_000_000), "the child is still there");
    p.apply_all();
    assert!(reap(&mut p, "/t", 1_000_000));
    assert!(!reap(&mut p, "/t", 1_000_000), "once");
    assert_eq!(p.create(1, "/t/y", 0), Err(crate::wire::ErrorCode::NoNode), "who comes now comes too late");
    p.create(1, "/t", 0).expect("its name is free");
}
