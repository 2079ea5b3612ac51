//! Scenes of one shard, step by step: pipelined order, watches, flow control, auth, stop.

use super::testing::{Bench, TICK, Told};
use super::*;
use crate::messages::{AnswerBody, Request};
use crate::wire::client::{
    AddWatchMode, AddWatchRequest, AuthPacket, CreateTtlRequest, ExistsRequest, GetChildrenRequest,
    GetDataRequest, GetEphemeralsRequest, RemoveWatchesRequest, SetDataRequest, SyncRequest, WatcherType,
};
use crate::wire::{ErrorCode, Opcode};

const MEGABYTE: usize = 1_000_000;
const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILDREN: i32 = 4;

fn get(path: &str, watch: bool) -> GetDataRequest<'_> {
    GetDataRequest { path: path.into(), watch }
}

fn set(path: &str) -> SetDataRequest<'_> {
    SetDataRequest { path: path.into(), data: Some(b"new"), version: -1 }
}

fn event(kind: i32, path: &str) -> Told {
    Told::Event(kind, path.to_owned())
}

fn done(xid: i32, zxid: i64) -> Told {
    Told::Reply { xid, zxid, err: 0, body: vec![] }
}

/// Regression: set, gets of 1 MB that fill the output, set, pipelined. The later gets waited for the client to read, and
/// the answer to the last set found them at the head of the queue: the server aborted.
/// All of one client's requests are taken in one turn.
const ONE_TURN: Bounds = Bounds { turn_requests: usize::MAX, writes: usize::MAX, ..Bounds::DEFAULT };

#[test]
fn an_answer_behind_reads_that_wait_for_room_comes_behind_them() {
    let mut bench = Bench::new();
    let data = vec![7; MEGABYTE];
    bench.write(None, |world| world.create("/large", &data));
    let client = bench.connect();
    bench.send(client, 1, Opcode::SetData, &set("/large"));
    for xid in 2..6 {
        bench.send(client, xid, Opcode::GetData, &get("/large", false));
    }
    bench.send(client, 6, Opcode::SetData, &set("/large"));
    assert_eq!(bench.requests.len(), 2, "both writes are with the replica at once");
    bench.write(Some((client, 1)), |world| world.set_data("/large", &data));
    bench.end_turn();
    // The client has taken nothing yet.
    bench.write(Some((client, 6)), |world| world.set_data("/large", b"new"));
    let told = bench.told(client);
    let sizes: Vec<(i32, bool)> = told
        .iter()
        .map(|told| match told {
            Told::Reply { xid, body, .. } => (*xid, body.len() > MEGABYTE),
            Told::Event(..) => panic!("nothing is watched"),
        })
        .collect();
    assert_eq!(sizes, [(1, false), (2, true), (3, true), (4, true), (5, true), (6, false)]);
    assert!(!bench.is_closed(client));
}

#[test]
fn a_read_waits_for_the_writes_before_it_and_for_no_other() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/a", b"0"));
    let (one, two) = (bench.connect(), bench.connect());
    bench.send(one, 1, Opcode::SetData, &set("/a"));
    bench.send(one, 2, Opcode::Exists, &ExistsRequest { path: "/a".into(), watch: false });
    bench.send(one, 3, Opcode::SetData, &set("/a"));
    bench.send(one, 4, Opcode::Exists, &ExistsRequest { path: "/a".into(), watch: false });
    bench.send(two, 1, Opcode::Exists, &ExistsRequest { path: "/a".into(), watch: false });
    assert_eq!(bench.xids(two), [1]);
    assert_eq!(bench.xids(one), Vec::<i32>::new());
    bench.write(Some((one, 1)), |world| world.set_data("/a", b"1"));
    assert_eq!(bench.xids(one), [1, 2]);
    bench.write(Some((one, 3)), |world| world.set_data("/a", b"2"));
    assert_eq!(bench.xids(one), [3, 4]);
}

#[test]
fn events_come_once_per_connection_before_what_they_announce() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/a", b""));
    let client = bench.connect();
    bench.send(client, 1, Opcode::GetData, &get("/a", true));
    bench.send(client, 2, Opcode::GetChildren, &GetChildrenRequest { path: "/a".into(), watch: true });
    let recursive = AddWatchMode::PersistentRecursive;
    bench.send(client, 3, Opcode::AddWatch, &AddWatchRequest { path: "/".into(), mode: recursive });
    bench.send(
        client,
        4,
        Opcode::AddWatch,
        &AddWatchRequest { path: "/a".into(), mode: AddWatchMode::Persistent },
    );
    assert_eq!(bench.xids(client), [1, 2, 3, 4]);
    bench.send(client, 5, Opcode::SetData, &set("/a"));
    bench.write(Some((client, 5)), |world| world.set_data("/a", b"1"));
    let zxid = bench.world.zxid.0;
    assert_eq!(bench.told(client), [event(CHANGED, "/a"), done(5, zxid)]);
    bench.write(None, |world| world.create("/a/b", b""));
    assert_eq!(bench.told(client), [event(CREATED, "/a/b"), event(CHILDREN, "/a")]);
    bench.write(None, |world| world.delete("/a/b"));
    assert_eq!(bench.told(client), [event(DELETED, "/a/b"), event(CHILDREN, "/a")]);
    // Data and child watch on one path: told once that it is gone.
    bench.write(None, |world| world.delete("/a"));
    assert_eq!(bench.told(client), [event(DELETED, "/a")]);
    let remove = RemoveWatchesRequest { path: "/a".into(), watcher_type: WatcherType::Any };
    bench.send(client, 6, Opcode::RemoveWatches, &remove);
    bench.send(client, 7, Opcode::RemoveWatches, &remove);
    let codes: Vec<i32> = bench
        .told(client)
        .iter()
        .map(|told| if let Told::Reply { err, .. } = told { *err } else { 1 })
        .collect();
    assert_eq!(codes, [0, ErrorCode::NoWatcher.code()]);
}

#[test]
fn a_client_that_reads_nothing_is_not_read_and_then_is_again() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/large", &vec![7; MEGABYTE]));
    let client = bench.connect();
    for xid in 0..4 {
        bench.send(client, xid, Opcode::GetData, &get("/large", false));
        bench.end_turn();
    }
    assert!(bench.is_paused(client), "it has not taken anything");
    assert_eq!(bench.xids(client), [0, 1, 2, 3]);
    assert!(!bench.is_paused(client));
}

/// A full queue of requests: the socket is not read until half of it is answered. That is no silence of the client's.
#[test]
fn a_client_with_too_many_requests_is_not_read_and_not_silent() {
    let mut bench = Bench::within(ONE_TURN);
    bench.write(None, |world| world.create("/a", b""));
    let client = bench.connect();
    let count = limits::CONNECTION_REQUESTS_MAX as i32;
    for xid in 0..count {
        bench.send(client, xid, Opcode::SetData, &set("/a"));
    }
    assert!(bench.is_paused(client));
    for _ in 0..60 {
        bench.pass(Duration::from_secs(1));
    }
    assert!(!bench.is_closed(client), "it waits for us, not we for it");
    for xid in 0..=count / 2 {
        bench.write(Some((client, xid)), |world| world.set_data("/a", b"1"));
    }
    assert!(!bench.is_paused(client));
    assert_eq!(bench.xids(client).len(), count as usize / 2 + 1);
}

#[test]
fn a_stopping_server_answers_what_it_has_taken_and_closes() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/a", b""));
    let (busy, idle) = (bench.connect(), bench.connect());
    bench.send(busy, 1, Opcode::SetData, &set("/a"));
    bench.send(busy, 2, Opcode::GetData, &get("/a", false));
    bench.shard.close_all();
    bench.end_turn();
    assert!(bench.is_closed(idle) && !bench.is_closed(busy));
    bench.send(busy, 3, Opcode::GetData, &get("/a", false));
    let late = bench.accept();
    bench.end_turn();
    assert!(bench.is_closed(late));
    bench.write(Some((busy, 1)), |world| world.set_data("/a", b"1"));
    assert_eq!(bench.xids(busy), [1, 2]);
    assert!(bench.is_closed(busy));
}

#[test]
fn a_sync_echoes_its_path_and_nothing_behind_it() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let mut frame = vec![];
    crate::wire::client::header::encode_request(
        &mut frame,
        1,
        Opcode::Sync,
        &SyncRequest { path: Some("/a".into()) },
    );
    frame.extend([1, 2, 3]);
    frame[3] += 3;
    bench.receive(client, &frame);
    let Some(Request::Sync { body, .. }) = bench.requests.pop_front() else { panic!("a sync") };
    assert_eq!(body[..], [0, 0, 0, 2, b'/', b'a']);
}

#[test]
fn an_auth_packet_is_answered_before_what_waits_and_what_follows_is_done_under_it() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/a", b""));
    let client = bench.connect();
    let auth = AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(b"super:secret") };
    bench.send(client, 1, Opcode::SetData, &set("/a"));
    for _ in 0..2 {
        bench.send(client, -4, Opcode::Auth, &auth);
    }
    assert_eq!(bench.told(client), [done(-4, 0), done(-4, 0)]);
    bench.send(client, 2, Opcode::SetData, &set("/a"));
    let shown: Vec<Vec<String>> = bench
        .requests
        .iter()
        .map(|request| {
            let Request::Write { identities, .. } = request else { panic!("only writes") };
            identities.iter().map(|identity| identity.scheme.clone()).collect()
        })
        .collect();
    assert_eq!(shown, [vec!["ip"], vec!["ip", "super", "digest"]]);
}

#[test]
fn a_wrong_auth_packet_ends_the_connection_behind_its_reply() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let auth = AuthPacket { auth_type: 0, scheme: Some("nonsense".into()), auth: Some(b"") };
    bench.send(client, -4, Opcode::Auth, &auth);
    let failed = ErrorCode::AuthFailed.code();
    assert_eq!(bench.told(client), [Told::Reply { xid: -4, zxid: 0, err: failed, body: vec![] }]);
    assert!(bench.is_closed(client));
}

#[test]
fn an_answer_to_a_connection_that_is_gone_is_dropped() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/a", b""));
    let client = bench.connect();
    bench.send(client, 1, Opcode::GetData, &get("/a", true));
    bench.send(client, 2, Opcode::SetData, &set("/a"));
    bench.step(Input::Closed { connection: Bench::id(client) });
    bench.write(Some((client, 2)), |world| world.set_data("/a", b"1"));
    bench.answer(client, 3, AnswerBody::SessionMoved);
    assert_eq!(bench.shard.connections_count(), 0);
    assert_eq!(bench.shard.facts().watches, 0);
}

/// Its answers may be long: the next is asked for when the client has taken the one before, and what stands behind it waits.
#[test]
fn one_list_of_ephemerals_is_made_at_a_time() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let all = GetEphemeralsRequest { prefix_path: None };
    for xid in 1..4 {
        bench.send(client, xid, Opcode::GetEphemerals, &all);
    }
    bench.send(client, 4, Opcode::SetData, &set("/"));
    let long = bytes::Bytes::from(vec![0; limits::CONNECTION_OUTPUT_BYTES_MAX + 1]);
    for xid in 1..4 {
        assert_eq!(bench.requests.len(), 1, "{xid}");
        let asked = bench.requests.pop_front();
        assert!(matches!(asked, Some(Request::Ephemerals { xid: asked, .. }) if asked == xid), "{asked:?}");
        bench.answer(client, xid, AnswerBody::Raw(long.clone()));
        assert!(bench.requests.is_empty(), "the client has not taken that one");
        assert_eq!(bench.xids(client), [xid]);
        assert!(!bench.is_closed(client), "one large reply is no deafness");
    }
    assert!(matches!(bench.requests.pop_front(), Some(Request::Write { xid: 4, .. })));
}

#[test]
fn what_waits_behind_a_list_of_ephemerals_is_bounded() {
    let mut bench = Bench::within(ONE_TURN);
    let client = bench.connect();
    let all = GetEphemeralsRequest { prefix_path: None };
    let mut sent = 0;
    while !bench.is_paused(client) {
        sent += 1;
        bench.send(client, sent, Opcode::GetEphemerals, &all);
        assert!(sent < 2_000, "it is read on and on");
    }
    for xid in 1..=sent {
        bench.answer(client, xid, AnswerBody::Raw(bytes::Bytes::from_static(&[0; 4])));
        bench.end_turn();
    }
    assert!(!bench.is_paused(client));
    assert_eq!(bench.xids(client), (1..=sent).collect::<Vec<_>>());
    assert_eq!(bench.requests.len(), sent as usize);
}

/// Regression, found by the simulator: behind a list that a slow disk keeps waiting nothing is taken, and the session of a
/// client that goes on sending expired.
#[test]
fn who_sends_what_cannot_be_taken_yet_is_heard_of() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.send(client, 1, Opcode::GetEphemerals, &GetEphemeralsRequest { prefix_path: None });
    bench.pass(TICK);
    bench.requests.clear();
    bench.send(client, 2, Opcode::SetData, &set("/"));
    bench.pass(TICK);
    let sessions = vec![SessionId(client as i64 + 1)];
    let touch = bench.requests.pop_front();
    assert!(matches!(&touch, Some(Request::Touch { sessions: found }) if *found == sessions), "{touch:?}");
    assert!(bench.requests.is_empty(), "the write waits");
}

/// What kills a leader of Apache's: answered in its turn, and nobody else hears of it.
#[test]
fn a_create_ttl_that_no_leader_must_hear_is_refused_here() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/a", b""));
    let client = bench.connect();
    let create = |flags, ttl| CreateTtlRequest { path: "/t".into(), data: None, acl: None, flags, ttl };
    bench.send(client, 1, Opcode::SetData, &set("/a"));
    bench.send(client, 2, Opcode::CreateTtl, &create(0, -1));
    assert_eq!((bench.requests.len(), bench.xids(client)), (1, vec![]), "it waits for the write before it");
    bench.write(Some((client, 1)), |world| world.set_data("/a", b"new"));
    let told = bench.told(client);
    let [_, Told::Reply { xid: 2, err, .. }] = told[..] else { panic!("{told:?}") };
    assert_eq!(ErrorCode::from_i32(err), Some(ErrorCode::BadArguments));
    // Whatever a leader refuses by itself is his, and has a zxid.
    for (xid, (flags, ttl)) in (3..).zip([(0, 0), (0, 5), (5, -1), (5, 5), (6, 5), (7, -1)]) {
        bench.send(client, xid, Opcode::CreateTtl, &create(flags, ttl));
        assert_eq!(bench.requests.len(), xid as usize - 1, "flags {flags}, {ttl}");
    }
}
