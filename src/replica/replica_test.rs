//! The replica by its exact outputs.

use super::testing::{NOTHING, Server, TICK, client, encoded, settings, start, start_from, start_with};
use super::*;
use crate::base::{WallMillis, limits};
use crate::wire::AclList;
use crate::wire::client::multi::encode_list;
use crate::wire::client::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, MultiOp, SetAclRequest,
    SetDataRequest,
};

#[test]
fn a_write_is_answered_when_it_is_durable_and_applied() {
    let mut server = start();
    assert_eq!(server.connect(SessionId::NONE, 1, None), NOTHING);
    assert_eq!(server.turn_end(), ["log: append", "log: persist"]);
    assert_eq!(server.apply(), NOTHING, "not durable yet");
    assert_eq!(server.turn_end(), NOTHING, "nothing is open");
    assert_eq!(server.durable(), NOTHING, "durable is committed, and applied when the driver says so");
    assert_eq!(server.apply(), ["notify all at 1: 1 xid 0: session for 5000 ms; belongs to 1;", "publish 1"]);
    let (session, timeout_ms) = server.replica.sessions().list()[0];
    assert_eq!(timeout_ms, 5000);

    assert_eq!(server.create(session, 1, 1, "/a", 0), NOTHING);
    assert_eq!(server.create(session, 1, 2, "/a", 0), NOTHING);
    assert_eq!(server.turn_end(), ["log: append", "log: persist"], "one group for both");
    let set = SetDataRequest { path: "/a".into(), data: None, version: 0 };
    assert_eq!(server.write(session, 1, 3, Opcode::SetData, encoded(&set)), NOTHING);
    assert_eq!(server.turn_end(), NOTHING, "the next group collects while one is being synced");
    assert_eq!(server.replica.facts().outstanding, 3);
    server.durable();
    assert_eq!(
        server.apply(),
        [
            "notify all at 2: Created /a; 1 xid 1: created /a;",
            "publish 2",
            // The refusal takes a zxid, too.
            "notify all at 3: 1 xid 2: NodeExists;",
            "publish 3",
        ]
    );
    assert_eq!(server.settle(), ["notify all at 4: DataChanged /a; 1 xid 3: version 1;"]);
    assert!(server.replica.is_idle());
}

/// Regression: a shard that took over a tree when more was published already took the notices of that for a fault.
#[test]
fn a_reader_that_is_taken_late_begins_where_the_tree_did() {
    let mut server = start();
    let mut late = server.readers.remove(0);
    let begin = late.published();
    server.open(1);
    server.settle();
    assert!(late.published() > begin);
    assert_eq!(late.enter().floor(), begin);
}

#[test]
fn every_kind_of_write_has_its_answer() {
    let mut server = start();
    let session = server.open(1);
    let create = CreateRequest { path: "/e".into(), data: None, acl: Some(AclList::OPEN), flags: 1 };
    server.write(session, 1, 1, Opcode::Create2, encoded(&create));
    let acl = SetAclRequest { path: "/".into(), acl: Some(AclList::OPEN), version: -1 };
    server.write(session, 1, 2, Opcode::SetAcl, encoded(&acl));
    server.create(session, 1, 3, "/b", 0);
    server.write(session, 1, 4, Opcode::Delete, encoded(&DeleteRequest { path: "/b".into(), version: 0 }));
    server.write(session, 1, 5, Opcode::Delete, b"cut".to_vec());
    server.write(session, 1, 6, Opcode::CloseSession, vec![]);
    server.create(session, 1, 7, "/too-late", 0);
    assert_eq!(
        server.settle(),
        [
            "notify all at 2: Created /e; 1 xid 1: created /e with 2;",
            "notify all at 3: 1 xid 2: version 0;",
            "notify all at 4: Created /b; 1 xid 3: created /b;",
            "notify all at 5: Deleted /b; 1 xid 4: Ok;",
            "notify all at 6: 1 xid 5: MarshallingError;",
            "notify all at 7: Deleted /e; 1 xid 6: Ok; ended;",
            "notify all at 8: 1 xid 7: SessionExpired;",
        ]
    );
    assert_eq!(server.replica.sessions().count(), 0);
}

#[test]
fn answers_without_a_transaction_wait_for_what_was_proposed_before() {
    let mut server = start();
    let session = server.open(1);
    assert_eq!(server.sync(session, 1, 1), [r#"notify one at 1: 1 xid 1: b"path";"#], "nothing is pending");
    server.create(session, 1, 2, "/a", 0);
    assert_eq!(server.sync(session, 1, 3), NOTHING);
    server.create(session, 1, 4, "/b", 0);
    assert_eq!(server.create(session, 2, 1, "/c", 0), NOTHING, "another connection's session");
    assert!(!server.replica.is_idle());
    server.turn_end();
    server.durable();
    assert_eq!(
        server.apply(),
        [
            "notify all at 2: Created /a; 1 xid 2: created /a;",
            "publish 2",
            r#"notify one at 2: 1 xid 3: b"path";"#,
            "notify all at 3: Created /b; 1 xid 4: created /b;",
            "publish 3",
            "notify one at 3: 2 xid 1: moved;",
        ]
    );
    assert!(server.replica.is_idle());
}

#[test]
fn a_session_comes_back_with_its_password_only() {
    let mut server = start();
    let session = server.open(1);
    let password = tree::password::of(session);
    let refused = ["notify one at 1: 2 xid 0: refused;"];
    assert_eq!(server.connect(session, 2, None), refused);
    assert_eq!(server.connect(session, 2, Some([1; 16])), refused);
    let unknown = SessionId(session.0 + 9);
    assert_eq!(server.connect(unknown, 2, Some(tree::password::of(unknown))), refused);
    let resumed = ["notify all at 1: 2 xid 0: session for 5000 ms; belongs to 2;"];
    assert_eq!(server.connect(session, 2, Some(password)), resumed);
    assert_eq!(server.create(session, 1, 1, "/a", 0), ["notify one at 1: 1 xid 1: moved;"]);
    server.write(session, 2, 1, Opcode::CloseSession, vec![]);
    assert_eq!(server.connect(session, 3, Some(password)), NOTHING, "a closing session is as good as gone");
    assert_eq!(
        server.settle(),
        ["notify all at 2: 2 xid 1: Ok; ended;", "notify one at 2: 3 xid 0: refused;",]
    );
}

#[test]
fn timeouts_are_negotiated() {
    let mut server = start();
    for (slot, asked, granted) in [(1, 0, 4000), (2, -5, 4000), (3, 9000, 9000), (4, i32::MAX, 40_000)] {
        let from = client(slot);
        let request = Request::Connect { from, session: SessionId::NONE, password: None, timeout_ms: asked };
        server.step(Input::Request(request));
        let said = server.settle().concat();
        assert!(said.contains(&format!("session for {granted} ms")), "{asked}: {said}");
    }
}

#[test]
fn a_silent_session_expires_once() {
    let mut server = start();
    let session = server.open(1);
    server.create(session, 1, 1, "/e", 1);
    server.settle();
    for n in 0..3 {
        server.pass(TICK);
        let said = server.wake_up();
        assert_eq!(said.concat(), if n == 0 { "log: append" } else { "" }, "the log is proven once");
        assert_eq!(server.settle(), NOTHING);
    }
    assert!(server.wakes_in() <= TICK, "a heartbeat at least");
    server.pass(TICK);
    server.wake_up();
    server.wake_up();
    assert_eq!(server.settle(), ["notify all at 3: Deleted /e; ended;"]);
    server.pass(TICK);
    server.wake_up();
    assert_eq!(server.settle(), NOTHING);
}

#[test]
fn whoever_is_heard_of_lives() {
    let mut server = start();
    let session = server.open(1);
    for n in 0..20 {
        server.pass(TICK);
        match n % 3 {
            0 => server.step(Input::Request(Request::Touch { sessions: vec![session, SessionId(5)] })),
            1 => server.sync(session, 1, n),
            _ => server.create(session, 1, n, "/a", 0),
        };
        server.wake_up();
        server.settle();
    }
    assert!(server.replica.sessions().contains(session));
}

/// Found by the simulator, seed 0x7d: the disk was slower than the session's timeout.
#[test]
fn whoever_came_back_and_waits_for_the_answer_does_not_expire() {
    let mut server = start();
    let session = server.open(1);
    server.create(session, 1, 1, "/a", 0);
    server.turn_end();
    assert_eq!(server.connect(session, 2, Some(tree::password::of(session))), NOTHING, "behind the create");
    for _ in 0..20 {
        server.pass(TICK);
        assert_eq!(server.step(Input::Wakeup), NOTHING);
        assert_eq!(server.turn_end(), NOTHING, "nobody expires");
    }
    server.durable();
    assert_eq!(
        server.apply(),
        [
            "notify all at 2: Created /a; 1 xid 1: created /a;",
            "publish 2",
            "notify all at 2: 2 xid 0: session for 5000 ms; belongs to 2;",
        ]
    );
    // From then on its silence counts.
    server.pass(TICK * 2);
    server.step(Input::Wakeup);
    assert_eq!(server.settle(), NOTHING);
    for _ in 0..4 {
        server.pass(TICK);
        server.step(Input::Wakeup);
    }
    assert_eq!(server.settle(), ["notify all at 3: ended;"]);
}

#[test]
fn time_in_which_nobody_could_be_heard_does_not_count() {
    // The process stood still.
    let mut server = start();
    let session = server.open(1);
    server.pass(Duration::from_secs(60));
    server.wake_up();
    assert_eq!(server.settle(), NOTHING);
    // It took no requests, as its log was busy.
    while !server.replica.is_full() {
        server.create(session, 1, 1, "/a", 0);
    }
    assert!(server.replica.facts().outstanding < limits::PROPOSALS_MAX as u64, "the open group is full");
    for _ in 0..30 {
        server.pass(Duration::from_secs(1));
        server.wake_up();
    }
    assert!(server.wakes_in() > Duration::from_secs(1), "it doesn't spin meanwhile");
    server.settle();
    assert!(!server.replica.is_full());
    server.wake_up();
    server.settle();
    assert!(server.replica.sessions().contains(session));
    // It started, and that took long: the session has its whole timeout from then on.
    let takes = Duration::from_millis(3900);
    let mut server = start_from(server.disk, settings(), server.now, takes);
    server.wake_up();
    for _ in 0..2 {
        server.pass(TICK);
        server.wake_up();
        server.settle();
    }
    assert!(server.replica.sessions().contains(session));
}

#[test]
fn without_space_writes_are_refused_before_prep() {
    let mut server = start();
    let (session, other) = (server.open(1), server.open(2));
    server.step(Input::SpaceLow);
    assert!(server.replica.facts().refuses_writes);
    assert_eq!(server.create(session, 1, 1, "/a", 0), ["notify one at 2: 1 xid 1: SystemError;"]);
    assert_eq!(server.sync(session, 1, 2), [r#"notify one at 2: 1 xid 2: b"path";"#]);
    // No new session; but "no such session" would be a lie on which clients give up.
    assert_eq!(server.connect(SessionId::NONE, 3, None), ["notify one at 2: 3 xid 0: SystemError;"]);
    let resumed = server.connect(other, 4, Some(tree::password::of(other)));
    assert_eq!(resumed, ["notify all at 2: 4 xid 0: session for 5000 ms; belongs to 4;"]);
    server.write(session, 1, 3, Opcode::CloseSession, vec![]);
    assert_eq!(server.settle(), ["notify all at 3: 1 xid 3: Ok; ended;"]);
    assert_eq!(server.wake_up(), ["log: append"], "the room for the proof is there already");
    for _ in 0..10 {
        server.pass(TICK);
        assert_eq!(server.wake_up(), NOTHING);
        assert!(server.wakes_in() > Duration::ZERO, "what can't be closed doesn't keep it awake");
    }
    assert!(server.replica.sessions().contains(other));
    server.step(Input::SpaceBack);
    assert_eq!(server.wakes_in(), Duration::ZERO);
    server.wake_up();
    assert_eq!(server.settle(), ["notify all at 4: ended;"]);
}

#[test]
fn answers_that_wait_count_as_proposals_do() {
    let mut server = start();
    let session = server.open(1);
    server.create(session, 1, 1, "/a", 0);
    server.turn_end();
    for xid in 2..=limits::PROPOSALS_MAX as i32 {
        assert!(!server.replica.is_full(), "{xid}");
        server.sync(session, 1, xid);
    }
    assert!(server.replica.is_full());
    assert_eq!(server.replica.held().deferred, limits::PROPOSALS_MAX - 1);
    server.durable();
    assert_eq!(server.apply().len(), 2 + limits::PROPOSALS_MAX - 1);
    assert!(!server.replica.is_full());
    assert_eq!(server.replica.held(), Held::default());
}

/// Synced, and not applied because some shard's ring is full.
#[test]
fn what_is_sealed_and_not_applied_is_bounded_in_bytes() {
    let mut server = start();
    let session = server.open(1);
    let data = vec![7; 1 << 20];
    let create = CreateRequest { path: "/a".into(), data: Some(&data), acl: Some(AclList::OPEN), flags: 2 };
    let body = encoded(&create);
    let mut written = 0;
    while !server.replica.is_full() {
        written += 1;
        assert!(written <= limits::PROPOSED_BYTES_MAX / data.len(), "{:?}", server.replica.held());
        server.write(session, 1, written as i32, Opcode::Create, body.clone());
        server.turn_end();
        server.durable();
    }
    assert!(server.replica.held().sealed_bytes >= limits::PROPOSED_BYTES_MAX);
    while server.replica.has_work() {
        server.turn_end();
        let said = server.apply();
        let applied = said.iter().filter(|said| said.starts_with("publish")).count();
        assert!((1..=2).contains(&applied), "{applied} megabytes in one turn");
    }
    assert!(!server.replica.is_full());
    assert_eq!(server.replica.held(), Held::default());
}

#[test]
fn a_multi_is_answered_operation_by_operation() {
    let mut server = start();
    let session = server.open(1);
    let create = |path: &'static str| {
        MultiOp::Create(CreateRequest { path: path.into(), data: None, acl: Some(AclList::OPEN), flags: 0 })
    };
    let delete = |path: &'static str| MultiOp::Delete(DeleteRequest { path: path.into(), version: -1 });
    let check = |version| MultiOp::Check(CheckVersionRequest { path: "/a".into(), version });
    let set = MultiOp::SetData(SetDataRequest { path: "/a".into(), data: None, version: 0 });
    let multi = |ops: &[MultiOp<'_>]| {
        let mut body = vec![];
        encode_list(&mut body, ops.iter().copied());
        body
    };
    server.write(
        session,
        1,
        1,
        Opcode::Multi,
        multi(&[create("/a"), create("/a/b"), set, delete("/a/b"), check(1)]),
    );
    server.write(session, 1, 2, Opcode::Multi, multi(&[delete("/a"), check(-1), set]));
    server.write(session, 1, 3, Opcode::Multi, multi(&[]));
    server.write(session, 1, 4, Opcode::Multi, vec![1]);
    let said = server.settle();
    let heads: Vec<&str> = said.iter().map(|said| said.split(" b\"").next().expect("a head")).collect();
    assert_eq!(
        heads,
        [
            "notify all at 2: Created /a; Created /a/b; DataChanged /a; Deleted /a/b; 1 xid 1:",
            "notify all at 3: 1 xid 2:",
            "notify all at 4: 1 xid 3:",
            "notify all at 5: 1 xid 4: MarshallingError;",
        ]
    );
    let bytes = |text: &str| text.to_owned();
    let end = r"\xff\xff\xff\xff\x01\xff\xff\xff\xff";
    let error = |code: &str| format!(r"\xff\xff\xff\xff\0{code}{code}");
    let failed = [r"\0\0\0\0", r"\xff\xff\xff\x9b", r"\xff\xff\xff\xfe"].map(error).concat();
    assert_eq!(said[1], format!("notify all at 3: 1 xid 2: b\"{failed}{end}\";"));
    assert_eq!(said[2], format!("notify all at 4: 1 xid 3: b\"{end}\";"));
    let first = bytes(r"\0\0\0\x01\0\0\0\0\0\0\0\0\x02/a");
    assert!(said[0].contains(&first), "{}", said[0]);
    assert!(server.replica.store().find(b"/a").is_some());
}

/// Made, used, left: gone with the next check, through the log, and whoever watches is told.
#[test]
fn containers_and_ttl_nodes_go_through_the_log() {
    let settings =
        Settings { rules: tree::Rules { extended_types: true, ..Default::default() }, ..settings() };
    let mut server = start_with(settings.clone());
    let session = server.open(1);
    let body = |path: &'static str, flags| {
        encoded(&CreateRequest { path: path.into(), data: None, acl: Some(AclList::OPEN), flags })
    };
    server.write(session, 1, 1, Opcode::CreateContainer, body("/c", 4));
    server.write(session, 1, 2, Opcode::CreateContainer, body("/unused", 4));
    server.create(session, 1, 3, "/c/x", 0);
    let ttl =
        CreateTtlRequest { path: "/t".into(), data: None, acl: Some(AclList::OPEN), flags: 5, ttl: 5000 };
    server.write(session, 1, 4, Opcode::CreateTtl, encoded(&ttl));
    assert_eq!(
        server.settle(),
        [
            "notify all at 2: Created /c; 1 xid 1: created /c with 2;",
            "notify all at 3: Created /unused; 1 xid 2: created /unused with 3;",
            "notify all at 4: Created /c/x; 1 xid 3: created /c/x;",
            "notify all at 5: Created /t; 1 xid 4: created /t with 5;",
        ]
    );
    // A minute, second by second; the session lives.
    let minute = |server: &mut Server| {
        let mut said = vec![];
        for _ in 0..60 {
            server.pass(Duration::from_secs(1));
            server.now.wall.0 += 1000;
            server.step(Input::Request(Request::Touch { sessions: vec![session] }));
            server.wake_up();
            while server.wakes_in() < Duration::from_millis(100) {
                server.pass(server.wakes_in());
                server.wake_up();
            }
            said.extend(server.settle());
        }
        said
    };
    assert_eq!(minute(&mut server), ["notify all at 6: Deleted /t;"], "the only one whose time is over");
    server.write(session, 1, 5, Opcode::Delete, encoded(&DeleteRequest { path: "/c/x".into(), version: 0 }));
    server.settle();
    // Not while the disk is full.
    server.step(Input::SpaceLow);
    assert_eq!(minute(&mut server), NOTHING);
    server.step(Input::SpaceBack);
    assert_eq!(minute(&mut server), ["notify all at 8: Deleted /c;"]);
    assert_eq!(minute(&mut server), NOTHING);
    assert!(server.replica.store().find(b"/unused").is_some());
    // What a restart replays leaves the same.
    let server = start_from(server.disk, settings, server.now, Duration::ZERO);
    let left = |path: &[u8]| server.replica.store().find(path).is_some();
    assert_eq!([left(b"/c"), left(b"/t"), left(b"/unused")], [false, false, true]);
}

#[test]
fn the_log_is_proven_once_per_idle_spell() {
    let mut server = start();
    let session = server.open(1);
    for _ in 0..3 {
        server.create(session, 1, 1, "/a", 0);
        assert_eq!(server.wake_up(), NOTHING, "a write is on its way");
        server.turn_end();
        assert_eq!(server.wake_up(), NOTHING, "it is being synced");
        server.durable();
        server.apply();
        assert_eq!(server.wake_up(), ["log: append"]);
        assert_eq!(server.wake_up(), NOTHING);
        assert_eq!(server.turn_end(), NOTHING, "nobody waits for it: no sync of its own");
    }
}

#[test]
fn a_late_ticket_commits_all_before_it() {
    let mut server = start();
    let session = server.open(1);
    server.create(session, 1, 1, "/a", 0);
    server.turn_end();
    server.create(session, 1, 2, "/b", 0);
    server.durable();
    assert_eq!(server.apply().len(), 2, "only what was in the group");
    server.turn_end();
    server.durable();
    assert_eq!(server.apply(), ["notify all at 3: Created /b; 1 xid 2: created /b;", "publish 3"]);
}

#[test]
fn what_a_big_deletion_leaves_is_freed_without_further_writes() {
    let mut server = start();
    let session = server.open(1);
    for n in 0..2000 {
        server.create(session, 1, n, &format!("/e{n}"), 1);
        if n % 50 == 49 {
            server.settle();
        }
    }
    server.write(session, 1, 9, Opcode::CloseSession, vec![]);
    server.settle();
    assert!(server.replica.store().retired() > 1000);
    for _ in 0..10 {
        server.pass(TICK);
        server.wake_up();
    }
    // The slots themselves go with the next transaction.
    assert!(server.replica.store().retired() <= 2000, "{} versions", server.replica.store().retired());
    server.open(2);
    for _ in 0..10 {
        server.wake_up();
    }
    assert!(server.replica.store().retired() < 10, "{} versions", server.replica.store().retired());
}

#[test]
fn a_log_that_is_not_ours_is_refused_with_its_zxid() {
    let now = Now::default();
    let mut boot = Boot::new(settings(), 1, now);
    boot.plant();
    let error = boot.replay(Zxid(1), b"noise").expect_err("no transaction");
    assert!(error.to_string().starts_with("transaction 0x1 can't be read: "), "{error}");
    let txn = Txn::Error(ErrorTxn { err: -101 });
    let entry = Entry::new(SessionId(1), 0, Zxid(7), WallMillis(0), txn, None);
    let error = boot.replay(Zxid(1), &encoded(&entry)).expect_err("another's zxid");
    assert_eq!(error.to_string(), "transaction 0x1 can't be read: it names itself 0x7");
    boot.replay(Zxid(7), &encoded(&entry)).expect("its own");
    boot.replay(Zxid(3), b"noise").expect("passed over: the tree contains it");
    assert_eq!((boot.applied(), boot.replayed()), (Zxid(7), 1));
}
