//! Turns are shared: by those who send much, by their writes, and by the many whom one event reaches.

use crate::base::limits;
use crate::messages::Request;
use crate::shard::flow::{HELD_BYTES_MAX, Shares};
use crate::shard::testing::{Bench, Told};
use crate::shard::{Bounds, Input};
use crate::wire::Opcode;
use crate::wire::client::header::encode_request;
use crate::wire::client::{GetDataRequest, SetDataRequest};

fn get(watch: bool) -> GetDataRequest<'static> {
    GetDataRequest { path: "/node".into(), watch }
}

const SET: SetDataRequest<'static> =
    SetDataRequest { path: crate::wire::Text::from_bytes(b"/node"), data: None, version: -1 };

fn bench(bounds: Bounds) -> Bench {
    let mut bench = Bench::within(bounds);
    bench.write(None, |world| world.create("/node", b"old"));
    bench
}

#[test]
fn who_sends_much_is_served_in_turn_and_who_sends_little_at_once() {
    const REQUESTS: i32 = 2_000;
    let mut bench = bench(Bounds::default());
    let mut flood = vec![];
    for xid in 0..REQUESTS {
        encode_request(&mut flood, xid, Opcode::GetData, &get(false));
    }
    let greedy: Vec<usize> = (0..20).map(|_| bench.connect()).collect();
    let other = bench.connect();
    let mut received = vec![vec![]; greedy.len()];
    for &client in &greedy {
        bench.receive(client, &flood);
    }
    let mut turns = 0;
    while received.iter().any(|xids| xids.len() < REQUESTS as usize) {
        bench.send(other, turns, Opcode::GetData, &get(false));
        assert_eq!(bench.xids(other), [turns]);
        let before: usize = received.iter().map(Vec::len).sum();
        for (&client, received) in greedy.iter().zip(&mut received) {
            let xids = bench.xids(client);
            assert!(xids.len() <= limits::TURN_REQUESTS, "{} of one client", xids.len());
            received.extend(xids);
        }
        let now = received.iter().map(Vec::len).sum::<usize>() - before;
        let most =
            if turns == 0 { greedy.len() * limits::TURN_REQUESTS } else { limits::TURN_REQUESTS_WAITING };
        assert!(now <= most + limits::TURN_REQUESTS, "{now} in turn {turns}");
        let counts = received.iter().map(Vec::len);
        let (least, most) = (counts.clone().min(), counts.max());
        assert!(most <= least.map(|least| least + limits::TURN_REQUESTS), "{least:?} to {most:?}");
        bench.step(Input::Wakeup);
        turns += 1;
        assert!(turns < 1_000, "it comes to an end");
    }
    for received in received {
        assert!(received.into_iter().eq(0..REQUESTS), "in order");
    }
    assert!(!bench.shard.state.has_long_work());
}

#[test]
fn writes_beyond_the_share_wait_for_answers_and_a_newcomers_is_taken() {
    const WRITES: i32 = 100;
    let mut bench = bench(Bounds { writes: 20, writes_share: 4, ..Bounds::default() });
    let greedy: Vec<usize> = (0..10).map(|_| bench.connect()).collect();
    let mut flood = vec![];
    for xid in 0..WRITES {
        encode_request(&mut flood, xid, Opcode::SetData, &SET);
    }
    for &client in &greedy {
        bench.receive(client, &flood);
    }
    assert_eq!(bench.requests.len(), 20 + 9 * 4, "the first could have all there was");
    let other = bench.connect();
    bench.send(other, 1, Opcode::SetData, &SET);
    assert_eq!(bench.shard.state.shares.writes, bench.requests.len());
    let mut of_other = None;
    let mut answered = 0;
    while let Some(request) = bench.requests.pop_front() {
        let Request::Write { from, xid, .. } = request else { panic!("{request:?}") };
        let client = from.connection.slot as usize;
        bench.write(Some((client, xid)), |world| world.set_data("/node", b"new"));
        bench.end_turn();
        if client == other {
            of_other = Some(answered);
        }
        answered += 1;
        assert!(bench.shard.state.shares.writes <= 20 + 10 * 4);
    }
    assert_eq!(answered, 10 * WRITES + 1);
    assert_eq!((of_other, bench.shard.state.shares.writes), (Some(20 + 9 * 4), 0));
    for client in greedy {
        assert!(bench.xids(client).into_iter().eq(0..WRITES), "in order");
    }
}

/// As many, whoever was first: an order once made would otherwise come again with every group of answers.
#[test]
fn who_has_more_to_hand_over_has_as_many_writes_under_way_as_others_who_have() {
    const WRITES: i32 = 200;
    const CLIENTS: usize = 4;
    let bounds = Bounds { writes: 40, writes_share: 2, turn_requests: 1_000, ..Bounds::default() };
    let mut bench = bench(bounds);
    let greedy: Vec<usize> = (0..CLIENTS).map(|_| bench.connect()).collect();
    let modest = bench.connect();
    let mut flood = vec![];
    for xid in 0..WRITES {
        encode_request(&mut flood, xid, Opcode::SetData, &SET);
    }
    for &client in &greedy {
        bench.receive(client, &flood);
    }
    assert_eq!(bench.requests.len(), 40 + 3 * 2, "the first could have all there was");
    for round in 0..10 {
        bench.send(modest, round, Opcode::SetData, &SET);
        let group = std::mem::take(&mut bench.requests);
        for request in group {
            let Request::Write { from, xid, .. } = request else { panic!("{request:?}") };
            let client = from.connection.slot as usize;
            bench.write(Some((client, xid)), |world| world.set_data("/node", b"new"));
        }
        assert_eq!(bench.requests.len(), 0, "they come together, at the end of the turn");
        bench.end_turn();
        let mut counts = vec![0; CLIENTS];
        for request in &bench.requests {
            let Request::Write { from, .. } = request else { panic!("{request:?}") };
            counts[from.connection.slot as usize] += 1;
        }
        assert_eq!(counts, [40 / CLIENTS; CLIENTS], "round {round}");
        assert_eq!(bench.xids(modest), [round]);
    }
    let shares = bench.shard.state.shares;
    assert_eq!((shares.writes, shares.writers, shares.contenders), (40, CLIENTS, CLIENTS));
}

/// Regression, found by reading: each group of answers had its socket read for a moment, and what TCP should hold back came in, up to
/// what all connections together may bring.
#[test]
fn who_has_sent_more_than_may_be_held_is_not_read_between_answers_and_what_they_make_room_for() {
    const WRITES: i32 = 1_000;
    let mut bench = bench(Bounds { writes: 40, writes_share: 2, ..Bounds::default() });
    let client = bench.connect();
    let mut flood = vec![];
    for xid in 0..WRITES {
        encode_request(&mut flood, xid, Opcode::SetData, &SET);
    }
    bench.receive(client, &flood);
    let mut left = flood.len();
    while bench.is_paused(client) {
        assert!(left > HELD_BYTES_MAX && bench.resumes == 0, "{left}");
        for request in std::mem::take(&mut bench.requests) {
            let Request::Write { xid, .. } = request else { panic!("{request:?}") };
            bench.write(Some((client, xid)), |world| world.set_data("/node", b"new"));
        }
        bench.end_turn();
        left = bench.shard.connections().next().expect("the client's").untaken();
    }
    assert!(left <= HELD_BYTES_MAX && left > HELD_BYTES_MAX / 2 && bench.resumes == 1, "{left}");
}

/// It has nothing to hand over: all but the rest of its frame is to come.
#[test]
fn an_answer_does_not_pause_who_is_sending_a_large_frame() {
    let mut bench = bench(Bounds::default());
    let client = bench.connect();
    let data = vec![7; 4 * HELD_BYTES_MAX];
    let large = SetDataRequest { path: "/node".into(), data: Some(&data), version: -1 };
    let mut bytes = vec![];
    encode_request(&mut bytes, 1, Opcode::SetData, &SET);
    encode_request(&mut bytes, 2, Opcode::SetData, &large);
    bench.receive(client, &bytes[..2 * HELD_BYTES_MAX]);
    bench.write(Some((client, 1)), |world| world.set_data("/node", b"new"));
    assert!(!bench.is_paused(client));
    bench.end_turn();
    bench.receive(client, &bytes[2 * HELD_BYTES_MAX..]);
    assert!(!bench.is_paused(client) && bench.requests.len() == 2);
}

/// Part of a frame, or of a greeting, is no wish for a share.
#[test]
fn who_has_no_write_under_way_shares_with_nobody() {
    let mut bench = bench(Bounds { writes: 40, writes_share: 2, ..Bounds::default() });
    for _ in 0..10 {
        let stranger = bench.accept();
        bench.receive(stranger, &[0]);
        let reader = bench.connect();
        bench.receive(reader, &[0, 0]);
    }
    let client = bench.connect();
    let mut flood = vec![];
    for xid in 0..100 {
        encode_request(&mut flood, xid, Opcode::SetData, &SET);
    }
    bench.receive(client, &flood);
    assert_eq!(bench.requests.len(), 40);
    assert_eq!(bench.shard.state.shares.contenders, 1);
}

#[test]
fn what_answers_make_room_for_is_not_at_the_cost_of_those_who_wait_for_their_turn() {
    let bounds = Bounds {
        writes: 4,
        writes_share: 4,
        turn_requests: 8,
        turn_requests_waiting: 4,
        ..Bounds::default()
    };
    let mut bench = bench(bounds);
    let (reader, writer) = (bench.connect(), bench.connect());
    let (mut reads, mut writes) = (vec![], vec![]);
    for xid in 0..16 {
        encode_request(&mut reads, xid, Opcode::GetData, &get(false));
        encode_request(&mut writes, xid, Opcode::SetData, &SET);
    }
    bench.receive(reader, &reads);
    assert_eq!(bench.xids(reader).len(), 8);
    bench.receive(writer, &writes);
    for xid in 0..4 {
        bench.write(Some((writer, xid)), |world| world.set_data("/node", b"new"));
    }
    bench.end_turn();
    assert_eq!(bench.requests.len(), 8, "the writer's next");
    bench.step(Input::Wakeup);
    assert_eq!(bench.xids(reader).len(), 8, "the reader's");
}

#[test]
fn an_operator_s_limit_of_requests_bounds_what_is_shared() {
    let writes = |most| {
        let bounds = Bounds::of_requests(most);
        (bounds.writes, bounds.writes_share)
    };
    assert_eq!(writes(None), (limits::WRITES_SOFT, limits::WRITES_SHARE));
    assert_eq!(writes(Some(limits::PROPOSALS_MAX)), (limits::WRITES_SOFT, limits::WRITES_SHARE));
    assert_eq!(writes(Some(1_000)), (1_000, limits::WRITES_SHARE));
    assert_eq!(writes(Some(10)), (10, 10));
    assert_eq!(writes(Some(0)), (1, 1));
}

/// Counts those who go, too.
#[test]
fn the_writes_of_a_connection_that_ends_are_no_longer_counted() {
    let mut bench = bench(Bounds::default());
    let (one, two) = (bench.connect(), bench.connect());
    for client in [one, two] {
        bench.send(client, 1, Opcode::SetData, &SET);
    }
    assert_eq!(bench.shard.state.shares.writes, 2);
    bench.step(Input::Closed { connection: Bench::id(one) });
    bench.step(Input::Ended { connection: Bench::id(two) });
    bench.step(Input::Closed { connection: Bench::id(two) });
    assert_eq!(bench.shard.state.shares, Shares::default());
}

/// The kernel's part in a send is what takes time; what is ours is in order for each connection whenever it goes out.
#[test]
fn a_wide_event_is_sent_in_turns_and_before_what_follows_it() {
    const WATCHERS: usize = 1_000;
    let mut bench = bench(Bounds::default());
    let watchers: Vec<usize> = (0..WATCHERS).map(|_| bench.connect()).collect();
    let other = bench.connect();
    for &client in &watchers {
        bench.send(client, 1, Opcode::GetData, &get(true));
        assert_eq!(bench.xids(client), [1]);
    }
    bench.send(other, 1, Opcode::SetData, &SET);
    bench.write(Some((other, 1)), |world| world.set_data("/node", b"new"));
    // One that would be told among the last asks now.
    let curious = watchers[WATCHERS - 1];
    bench.send(curious, 2, Opcode::GetData, &get(false));
    let mut sent = 0;
    let mut turns = 0;
    while sent < WATCHERS {
        bench.end_turn();
        let now = watchers.iter().filter(|&&client| bench.is_sent(client)).count();
        assert!(now - sent <= limits::TURN_NOTICES + 1, "{} in turn {turns}", now - sent);
        if turns == 0 {
            assert!(bench.is_sent(other) && bench.is_sent(curious), "replies don't wait for notices");
        }
        assert_eq!(bench.shard.state.has_long_work(), now < WATCHERS);
        bench.step(Input::Wakeup);
        (sent, turns) = (now, turns + 1);
        assert!(turns < 100, "it comes to an end");
    }
    assert!(turns >= WATCHERS / limits::TURN_NOTICES);
    for client in watchers {
        let told = bench.told(client);
        assert!(matches!(&told[0], Told::Event(3, path) if path == "/node"), "{told:?}");
        assert_eq!(told.len(), if client == curious { 2 } else { 1 });
    }
}
