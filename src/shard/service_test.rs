//! Scenes of a shard that serves nobody for a while.

use super::super::testing::Bench;
use super::super::{Input, Output};
use crate::base::{SessionId, Zxid};
use crate::messages::{AnswerBody, Request, Service};
use crate::tree::testing::World;
use crate::wire::Decode;
use crate::wire::Opcode;
use crate::wire::client::header::encode_frame;
use crate::wire::client::{
    ConnectRequest, ConnectResponse, ExistsRequest, GetChildrenRequest, SetDataRequest,
};

fn exists(path: &str, watch: bool) -> ExistsRequest<'_> {
    ExistsRequest { path: path.into(), watch }
}

fn set(path: &str) -> SetDataRequest<'_> {
    SetDataRequest { path: path.into(), data: Some(b"new"), version: -1 }
}

struct Nothing;

impl crate::wire::Encode for Nothing {
    fn encode(&self, _: &mut Vec<u8>) {}
}

/// The words that the shard hands over for these bytes.
fn words(bench: &mut Bench, client: usize, bytes: &[u8]) -> Vec<[u8; 4]> {
    let mut outputs = vec![];
    bench.shard.step(bench.now, Input::Received { connection: Bench::id(client), bytes }, &mut outputs);
    let word = |output: &Output| match output {
        Output::Word { word, .. } => Some(*word),
        _ => None,
    };
    outputs.iter().filter_map(word).collect()
}

#[test]
fn who_is_connected_is_closed_and_what_was_asked_is_forgotten() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/a", b""));
    let (one, two, silent, begun) = (bench.connect(), bench.connect(), bench.accept(), bench.accept());
    bench.send(one, 1, Opcode::Exists, &exists("/a", true));
    assert_eq!(bench.xids(one), [1]);
    bench.send(two, 1, Opcode::SetData, &set("/a"));
    // Four bytes of a length: a client, if not yet a whole one.
    bench.receive(begun, &[0, 0, 0, 45]);
    bench.step(Input::Serve(Service::None));
    bench.end_turn();
    assert!(!bench.shard.is_serving());
    assert!(bench.is_closed(one) && bench.is_closed(two) && bench.is_closed(begun));
    assert!(!bench.is_closed(silent), "it may still ask a word");
    // The watch is gone with its connection, and the answer finds nobody.
    bench.write(Some((two, 1)), |world| world.set_data("/a", b"1"));
    assert_eq!((bench.told(one), bench.told(two)), (vec![], vec![]));
    assert_eq!(bench.shard.facts().watches, 0);
    assert_eq!(bench.requests.len(), 1, "no session is closed: only the write came");
}

#[test]
fn who_asks_for_a_session_is_closed_without_a_word_and_later_served() {
    let mut bench = Bench::new();
    bench.step(Input::Serve(Service::None));
    for bytes in [&[0, 0, 0, 45][..], &[0, 0, 0, 45, 0, 0], &[0, 0, 0, 0], &[0xff; 8]] {
        let client = bench.accept();
        bench.receive(client, &bytes[..2]);
        bench.end_turn();
        assert!(!bench.is_closed(client), "two bytes may become a word");
        bench.receive(client, &bytes[2..]);
        bench.end_turn();
        assert!(bench.is_closed(client), "{bytes:?}");
        assert_eq!(bench.take(client), [0u8; 0]);
    }
    assert!(bench.requests.is_empty());
    bench.step(Input::Serve(Service::All));
    let client = bench.connect();
    bench.send(client, 1, Opcode::Exists, &exists("/", false));
    assert_eq!(bench.xids(client), [1]);
}

#[test]
fn words_are_answered_all_the_same() {
    let mut bench = Bench::new();
    let asked_before = bench.accept();
    assert_eq!(words(&mut bench, asked_before, b"stat"), [*b"stat"]);
    let client = bench.accept();
    assert_eq!(words(&mut bench, client, b"ru"), [[0; 4]; 0]);
    bench.step(Input::Serve(Service::None));
    bench.end_turn();
    assert!(!bench.is_closed(asked_before), "its text is on the way");
    assert_eq!(words(&mut bench, client, b"ok"), [*b"ruok"]);
    for (client, text) in [(asked_before, "not serving\n"), (client, "imok")] {
        bench.shard.finish_with(Bench::id(client), text.as_bytes());
        bench.end_turn();
        assert_eq!(bench.take(client), text.as_bytes());
        assert!(bench.is_closed(client));
    }
}

#[test]
fn a_long_read_under_way_is_dropped_and_its_connection_closed() {
    let mut bench = Bench::new();
    for child in 0..crate::base::limits::TURN_BUDGET + 10 {
        bench.write(None, |world| world.create(&format!("/c{child}"), b""));
    }
    let client = bench.connect();
    let list = GetChildrenRequest { path: "/".into(), watch: true };
    bench.send(client, 1, Opcode::GetChildren, &list);
    bench.send(client, 2, Opcode::Exists, &exists("/", false));
    assert!(bench.shard.state.has_long_work(), "else this test shows nothing");
    bench.step(Input::Serve(Service::None));
    bench.end_turn();
    assert!(bench.is_closed(client));
    assert!(!bench.shard.state.has_long_work());
    assert_eq!(bench.take(client), [0u8; 0], "half an answer is none");
}

/// The new tree ends earlier than the old one: what was said of the old one must not be acted on.
#[test]
fn a_fresh_tree_takes_the_place_of_the_old_one() {
    let mut bench = Bench::new();
    for path in ["/a", "/b", "/c"] {
        bench.write(None, |world| world.create(path, b""));
    }
    let client = bench.connect();
    bench.send(client, 1, Opcode::SetData, &set("/a"));
    bench.step(Input::Serve(Service::None));
    let mut world = World::new(1);
    world.create("/other", b"");
    world.publish();
    let reader = world.readers.pop().expect("one reader");
    bench.shard.restart(reader);
    assert_eq!(bench.shard.version(), world.zxid);
    assert_eq!(bench.shard.published(), Zxid(world.zxid.0));
    bench.world = world;
    bench.requests.clear();
    bench.end_turn();
    assert!(bench.is_closed(client));
    bench.step(Input::Serve(Service::All));
    let client = bench.connect();
    bench.send(client, 1, Opcode::Exists, &exists("/other", false));
    bench.send(client, 2, Opcode::Exists, &exists("/a", true));
    let told = bench.told(client);
    let codes: Vec<i32> = told
        .iter()
        .map(|told| if let super::super::testing::Told::Reply { err, .. } = told { *err } else { 1 })
        .collect();
    assert_eq!(codes, [0, -101]);
    bench.write(None, |world| world.create("/a", b""));
    assert_eq!(bench.told(client).len(), 1, "its watch fires");
}

/// Without `Serve(false)` before: nobody goes on with what the old tree told him.
#[test]
fn a_restart_closes_whoever_is_served() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let asking = bench.accept();
    bench.receive(asking, &[0, 0, 0, 45]);
    let mut world = World::new(1);
    let reader = world.readers.pop().expect("one reader");
    bench.shard.restart(reader);
    bench.end_turn();
    assert!(bench.is_closed(client));
    assert!(bench.shard.is_serving(), "that is another matter");
    assert!(!bench.requests.iter().any(|request| matches!(request, Request::Write { .. })));
}

/// The connect request of a client that says this of read-only servers.
fn greeting(read_only: Option<bool>) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 4000,
        session_id: SessionId::NONE,
        password: None,
        read_only,
    };
    let mut frame = vec![];
    encode_frame(&mut frame, &request);
    frame
}

#[test]
fn a_read_only_server_admits_who_takes_one_and_says_so() {
    let mut bench = Bench::new();
    bench.step(Input::Serve(Service::None));
    bench.step(Input::Serve(Service::ReadOnly));
    assert!(bench.shard.is_serving());
    for refused in [None, Some(false)] {
        let client = bench.accept();
        bench.receive(client, &greeting(refused));
        bench.end_turn();
        assert!(bench.is_closed(client) && bench.requests.is_empty() && bench.take(client).is_empty());
    }
    for (service, told) in [(Service::ReadOnly, true), (Service::All, false)] {
        bench.step(Input::Serve(service));
        let client = bench.accept();
        bench.receive(client, &greeting(Some(true)));
        assert!(matches!(bench.requests.pop_back(), Some(Request::Connect { .. })));
        let session = AnswerBody::Session { session: SessionId(9), password: [0; 16], timeout_ms: 4000 };
        bench.answer(client, 0, session);
        bench.end_turn();
        let said = bench.take(client);
        let response = ConnectResponse::parse(&said[4..]).expect("a connect response");
        assert_eq!(response.read_only, Some(told));
        bench.step(Input::Serve(Service::None));
        bench.end_turn();
        assert!(bench.is_closed(client));
    }
}

/// Requests for the replica, without touches.
fn asked(bench: &mut Bench) -> Vec<Request> {
    bench.requests.drain(..).filter(|request| !matches!(request, Request::Touch { .. })).collect()
}

#[test]
fn who_waits_for_nothing_is_held_and_goes_on() {
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/a", b""));
    let (idle, asking, connecting, silent) =
        (bench.connect(), bench.connect(), bench.accept(), bench.accept());
    bench.receive(connecting, &greeting(Some(false)));
    bench.send(idle, 1, Opcode::Exists, &exists("/a", true));
    assert_eq!(bench.xids(idle), [1]);
    bench.send(asking, 1, Opcode::SetData, &set("/a"));
    bench.step(Input::Serve(Service::Held));
    bench.end_turn();
    assert!(!bench.shard.is_serving());
    assert!(bench.is_closed(asking) && bench.is_closed(connecting));
    assert!(!bench.is_closed(idle) && !bench.is_closed(silent));
    let newcomer = bench.accept();
    bench.receive(newcomer, &greeting(Some(false)));
    bench.end_turn();
    assert!(bench.is_closed(newcomer), "nobody new");
    // What is asked waits, reads, too; what is committed meanwhile is told.
    asked(&mut bench);
    bench.send(idle, 2, Opcode::Exists, &exists("/a", false));
    bench.send(idle, 3, Opcode::SetData, &set("/a"));
    bench.end_turn();
    bench.write(None, |world| world.set_data("/a", b"1"));
    assert_eq!(bench.told(idle).len(), 1, "its event");
    assert!(asked(&mut bench).is_empty());
    bench.step(Input::Serve(Service::All));
    bench.step(Input::Wakeup);
    bench.end_turn();
    assert_eq!(bench.xids(idle), [2]);
    let requests = asked(&mut bench);
    let [Request::Held { from, session, .. }, Request::Write { xid: 3, .. }] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!((from.connection, session.0), (Bench::id(idle), idle as i64 + 1));
}

#[test]
fn who_is_held_is_closed_when_there_is_no_leader_in_time() {
    for service in [Service::None, Service::ReadOnly] {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.step(Input::Serve(Service::Held));
        bench.end_turn();
        assert!(!bench.is_closed(client));
        bench.step(Input::Serve(service));
        bench.end_turn();
        assert!(bench.is_closed(client), "{service:?}");
    }
}

/// A second change of leader before the first is over; and a leader whose tree is another one.
#[test]
fn who_is_held_twice_is_told_of_once_and_nobody_over_a_fresh_tree() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.step(Input::Serve(Service::Held));
    bench.step(Input::Serve(Service::Held));
    bench.step(Input::Serve(Service::All));
    bench.end_turn();
    assert!(!bench.is_closed(client));
    assert_eq!(asked(&mut bench).len(), 1);
    bench.step(Input::Serve(Service::Held));
    let mut world = World::new(1);
    let reader = world.readers.pop().expect("one reader");
    bench.shard.restart(reader);
    bench.step(Input::Serve(Service::All));
    bench.end_turn();
    assert!(bench.is_closed(client) && asked(&mut bench).is_empty());
}

/// What doesn't fit waits in the socket, and nobody is closed for a silence that is ours.
#[test]
fn who_is_held_is_not_read_without_end_nor_taken_for_silent() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.step(Input::Serve(Service::Held));
    let count = 2_000;
    for xid in 1..=count {
        if !bench.is_paused(client) {
            bench.send(client, xid, Opcode::Exists, &exists("/", false));
        }
    }
    assert!(bench.is_paused(client), "{count} requests are too many to be kept");
    for _ in 0..200 {
        bench.pass(super::super::testing::TICK / 4);
        bench.step(Input::Wakeup);
        bench.end_turn();
    }
    assert!(!bench.is_closed(client));
    bench.step(Input::Serve(Service::All));
    let mut answered = vec![];
    for _ in 0..count {
        bench.step(Input::Wakeup);
        bench.end_turn();
        answered.extend(bench.xids(client));
    }
    assert!(!bench.is_paused(client) && answered.len() > 50, "{} answers", answered.len());
    assert!(answered.iter().copied().eq(1..=answered.len() as i32));
}

/// It may speak through another server by now, and what it sent before may still come.
#[test]
fn who_was_silent_for_long_or_has_half_a_request_here_is_not_held() {
    let mut bench = Bench::new();
    let (silent, heard, half) = (bench.connect(), bench.connect(), bench.connect());
    for _ in 0..3 {
        bench.pass(super::super::testing::TICK);
        for client in [heard, half] {
            bench.send(client, -2, Opcode::Ping, &Nothing);
            assert_eq!(bench.xids(client), [-2]);
        }
        bench.end_turn();
    }
    bench.receive(half, &[0, 0]);
    bench.step(Input::Serve(Service::Held));
    bench.end_turn();
    assert!(bench.is_closed(silent) && bench.is_closed(half));
    assert!(!bench.is_closed(heard));
}
