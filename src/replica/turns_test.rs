//! What a turn does, and what the operator allows.

use super::testing::{NOTHING, TICK, client, settings, start_with};
use super::*;
use crate::base::{ServerId, limits};
use crate::wire::client::multi::encode_list;
use crate::wire::client::{CheckVersionRequest, MultiOp, SetDataRequest};

/// A list of many ephemerals takes turns. It is of its version: what is committed meanwhile is applied behind it.
#[test]
fn a_long_answer_takes_turns_and_nothing_is_applied_before_it() {
    let mut server = start_with(Settings { turn_budget: 10, ..settings() });
    let (session, other) = (server.open(1), server.open(2));
    for number in 0..35 {
        server.create(session, 1, number, &format!("/e{number:02}"), 1);
        server.settle();
    }
    for slot in [1, 1] {
        let request = Request::Ephemerals { from: client(slot), session, xid: 50, prefix: "/e".into() };
        assert_eq!(server.step(Input::Request(request)), NOTHING);
    }
    server.create(other, 2, 60, "/later", 0);
    server.turn_end();
    server.durable();
    let mut said = vec![];
    for turn in 0.. {
        let now_said = server.apply();
        assert!(now_said.len() <= 2, "{now_said:?}");
        said.extend(now_said);
        assert_eq!(server.replica.has_work(), said.len() < 4, "turn {turn}: {said:?}");
        if said.len() == 4 {
            assert!(turn >= 6, "70 paths at 10 a turn");
            break;
        }
        server.turn_end();
    }
    for said in &said[..2] {
        assert!(said.starts_with("notify one at 37: 1 xid 50:"), "{said}");
        assert_eq!(said.matches("/e").count(), 35);
    }
    assert_eq!(said[2..], ["notify all at 38: Created /later; 2 xid 60: created /later;", "publish 38"]);
    assert!(server.replica.is_idle());
}

/// A turn applies so many operations, not so many transactions.
#[test]
fn the_operations_of_a_multi_count() {
    let mut server = start_with(Settings { turn_budget: limits::APPLY_UNITS * 10, ..settings() });
    let session = server.open(1);
    let check = CheckVersionRequest { path: "/".into(), version: -1 };
    let mut body = vec![];
    encode_list(&mut body, (0..20).map(|_| MultiOp::Check(check)));
    for xid in 0..3 {
        server.write(session, 1, xid, Opcode::Multi, body.clone());
    }
    server.turn_end();
    server.durable();
    for left in [2, 1, 0] {
        let said = server.apply();
        assert_eq!(said.iter().filter(|said| said.starts_with("publish")).count(), 1, "{said:?}");
        assert_eq!(server.replica.has_work(), left > 0);
        server.turn_end();
    }
}

#[test]
fn the_operators_limit_of_requests_under_way_holds() {
    let mut server = start_with(Settings { outstanding_max: 3, ..settings() });
    let session = server.open(1);
    for xid in 0..2 {
        server.create(session, 1, xid, &format!("/{xid}"), 0);
        assert!(server.replica.takes_requests());
    }
    server.sync(session, 1, 2);
    assert!(!server.replica.takes_requests() && !server.replica.is_full());
    server.settle();
    assert!(server.replica.takes_requests());
}

#[test]
fn connect_requests_beyond_the_bucket_are_closed() {
    let throttle = ThrottleSettings { tokens: 2, fill_time: TICK, fill_count: 1 };
    let mut server = start_with(Settings { throttle: Some(throttle), ..settings() });
    let session = server.open(1);
    assert_eq!(server.connect(session, 2, Some([0; 16])), ["notify one at 1: 2 xid 0: refused;"]);
    assert_eq!(server.connect(session, 2, None), ["notify one at 1: 2 xid 0: SystemError;"]);
    server.pass(TICK + Duration::from_millis(1));
    assert_eq!(server.connect(SessionId::NONE, 3, None), NOTHING);
}

/// As ZooKeeper does.
#[test]
fn ttl_nodes_and_server_255_do_not_go_together() {
    let with = |id, extended_types| {
        let rules = tree::Rules { extended_types, ..tree::Rules::default() };
        Settings { server: ServerId(id), rules, ..settings() }.check()
    };
    assert_eq!((with(254, true), with(255, false)), (Ok(()), Ok(())));
    let refusal = with(255, true).expect_err("its sessions would be TTL nodes");
    assert!(refusal.contains("server id 255") && refusal.contains("at most 254"), "{refusal}");
}

/// A session with many ephemerals ends in one step that readers see, and what that takes is worked out over several turns.
/// What comes meanwhile is decided as if it had ended; a snapshot is of the tree before.
#[test]
fn the_end_of_a_session_that_owns_much_is_worked_out_over_several_turns() {
    let settings = Settings {
        turn_budget: limits::APPLY_UNITS * 10,
        snapshots: SnapshotSettings { count: 2, ..settings().snapshots },
        ..settings()
    };
    let mut server = start_with(settings);
    let (session, other) = (server.open(1), server.open(2));
    for parent in ["/a", "/b"] {
        server.create(other, 2, 0, parent, 0);
        for child in 0..60 {
            server.create(session, 1, child, &format!("{parent}/{child:02}"), 1);
            server.settle();
        }
    }
    while server.disk.snapshots.is_empty() {
        server.turn_end();
    }
    let (&taken, _) = server.disk.snapshots.last_key_value().expect("looked at just now");
    server.write(session, 1, 100, Opcode::CloseSession, vec![]);
    server.turn_end();
    server.durable();
    let before = server.replica.facts();
    for (xid, path) in [(1, "/a/00"), (2, "/b/59"), (3, "/b/00")] {
        assert_eq!(server.apply(), NOTHING);
        let now = server.replica.facts();
        assert_eq!(
            (now.applied, now.digest, now.nodes_count),
            (before.applied, before.digest, before.nodes_count)
        );
        assert!(server.replica.has_work());
        server.create(other, 2, xid, path, 0);
        if xid == 1 {
            server.step(Input::SnapshotDone { zxid: taken });
        }
        let commands = server.turn_end();
        let begun = format!("snapshot {}: create", before.applied.0);
        assert_eq!(commands.contains(&begun), xid == 1, "{commands:?}");
    }
    let mut said = vec![];
    let mut turns = 3;
    while server.replica.applied() == before.applied {
        said.extend(server.apply());
        server.turn_end();
        turns += 1;
        assert!(turns < 100, "it comes to an end");
    }
    assert!(turns >= 6, "120 paths at twenty a turn: {turns}");
    let of_close = said.iter().find(|said| said.contains("ended;")).expect("it has ended");
    assert_eq!(of_close.matches("Deleted ").count(), 120);
    said.extend(server.settle());
    for path in ["/a/00", "/b/59", "/b/00"] {
        assert!(said.iter().any(|said| said.contains(&format!("created {path};"))), "{path}: {said:?}");
    }
    let children = |path: &[u8]| server.replica.store().find(path).map(|(_, node)| node.children_count);
    assert_eq!((children(b"/a"), children(b"/b")), (Some(1), Some(2)));
}

/// What it leaves is freed a little each turn, and without further writes.
#[test]
fn what_a_large_end_leaves_is_freed_piece_by_piece() {
    let mut server = start_with(settings());
    let session = server.open(1);
    for number in 0..20_000 {
        server.create(session, 1, number, &format!("/{number}"), 1);
        if number % 100 == 99 {
            server.settle();
        }
    }
    server.write(session, 1, 0, Opcode::CloseSession, vec![]);
    server.settle();
    // First, of each node, what it was, in whose place the mark of its deletion waits; with the next transaction those.
    for left in [20_000, 0] {
        // Who may still have read it when it was published has gone on.
        server.pass(TICK);
        server.wake_up();
        let mut before = server.replica.store().retired();
        let mut turns = 0;
        while server.replica.store().has_leftovers() {
            let due = server.replica.next_wakeup().expect("there is something to do");
            assert!(due.since(server.now.instant) <= Duration::from_millis(1), "soon");
            server.pass(Duration::from_millis(1));
            server.turn_end();
            let now = server.replica.store().retired();
            assert!(now <= before && before < now + 5_000, "{before} versions, then {now}: a piece");
            before = now;
            turns += 1;
            assert!(turns < 20, "it comes to an end");
        }
        // The turns in which the next session opened have freed some of the marks.
        assert!(turns >= 2 || left == 0, "{turns} turns for the large part");
        assert!((left..left + 100).contains(&before), "{before} versions wait for {left}");
        let due = server.replica.next_wakeup().expect("a tick");
        assert!(due.since(server.now.instant) > Duration::from_millis(1), "it rests");
        if left > 0 {
            server.open(2);
        }
    }
}

/// What a multi has superseded is freed behind it, and not only a few versions for each transaction.
#[test]
fn the_versions_that_large_multis_leave_are_freed() {
    let mut server = start_with(settings());
    let session = server.open(1);
    server.create(session, 1, 1, "/n", 0);
    server.settle();
    let set = SetDataRequest { path: "/n".into(), data: Some(b"x"), version: -1 };
    let mut body = vec![];
    encode_list(&mut body, (0..500).map(|_| MultiOp::SetData(set)));
    for xid in 2..30 {
        server.write(session, 1, xid, Opcode::Multi, body.clone());
        server.settle();
    }
    let left = server.replica.store().retired();
    assert!(left < 1000, "{left} versions of one node are kept");
}

/// At half the threshold: what else it waits for is the shard's to say.
#[test]
fn the_answer_to_a_slow_write_carries_its_moments() {
    let half = Duration::from_millis(50);
    let mut server = start_with(Settings { slow_request: half * 2, ..settings() });
    let session = server.open(1);
    for (xid, path, waits, is_slow) in
        [(1, "/fast", Duration::from_millis(49), false), (2, "/slow", half, true)]
    {
        let taken = server.now.instant;
        server.create(session, 1, xid, path, 0);
        server.turn_end();
        server.pass(waits);
        server.durable();
        let mut outputs = vec![];
        assert!(server.replica.apply_next(&mut outputs));
        let Some(Output::Notify { notice, .. }) = outputs.first() else { panic!("{outputs:?}") };
        let durable = Some(server.now.instant);
        let path = Some(crate::base::Path::new(path.as_bytes()));
        let stages = crate::messages::Stages { taken, proposed: taken, durable, committed: durable, path };
        assert_eq!(notice.stages.as_deref(), is_slow.then_some(&stages));
        server.replica.publish(notice.zxid);
        server.settle();
    }
}
