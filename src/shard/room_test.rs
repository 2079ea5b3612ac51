//! Output is bounded over all connections, and nobody waits for ever.

use crate::messages::Request;
use crate::shard::testing::{Bench, Told};
use crate::shard::{Bounds, Input, SPARE_BYTES_LARGE, SPARE_BYTES_SMALL};
use crate::wire::Opcode;
use crate::wire::client::{GetDataRequest, GetEphemeralsRequest, SetDataRequest};

use super::*;

const LARGE: usize = 100_000;
const BOUND: usize = 10 * LARGE;
/// Beside its data.
const REPLY_BYTES: usize = 200;

fn bench() -> Bench {
    let mut bench = Bench::within(Bounds { output_bytes: BOUND, ..Bounds::default() });
    bench.world.create("/small", b"data");
    bench.write(None, |world| world.create("/large", &vec![7; LARGE]));
    bench
}

fn get(path: &'static str) -> GetDataRequest<'static> {
    GetDataRequest { path: path.into(), watch: false }
}

fn set(path: &'static str) -> SetDataRequest<'static> {
    SetDataRequest { path: path.into(), data: None, version: -1 }
}

/// Turns until nothing happens any more without somebody taking what he is sent.
fn settle(bench: &mut Bench) {
    for _ in 0..1000 {
        bench.end_turn();
        if !bench.shard.state.has_long_work() {
            return;
        }
        bench.step(Input::Wakeup);
        let unsent: usize = bench.shard.connections().map(Connection::unsent).sum();
        assert_eq!(unsent, bench.shard.state.unsent, "the sum is kept");
    }
    panic!("it comes to an end");
}

/// What is bounded is what is unsent, so a buffer must not be much larger than what lies in it.
#[test]
fn the_buffer_of_a_large_reply_is_as_large_as_the_reply() {
    let mut bench = bench();
    let client = bench.connect();
    bench.send(client, 1, Opcode::GetData, &get("/large"));
    settle(&mut bench);
    let capacity = bench.capacity_in_flight(client);
    assert!((LARGE..LARGE + REPLY_BYTES).contains(&capacity), "{capacity} bytes");
}

/// Emptied buffers are no client's fault, and there may be one for each connection.
#[test]
fn buffers_kept_for_the_next_replies_are_bounded() {
    const MIDDLE: usize = 50_000;
    const CLIENTS: usize = 2 * limits::SPARE_BYTES_MAX / MIDDLE;
    let mut bench = Bench::new();
    bench.write(None, |world| world.create("/middle", &vec![7; MIDDLE]));
    for round in 0..2 {
        for client in 0..CLIENTS {
            let client = if round == 0 { bench.connect() } else { client };
            bench.send(client, 1, Opcode::GetData, &get("/middle"));
            assert_eq!(bench.xids(client), [1]);
        }
    }
    let kept = |one: &Connection| one.spare.capacity() + one.output.capacity();
    let spare: usize = bench.shard.connections().map(kept).sum();
    assert_eq!(spare, bench.shard.state.spare, "the sum is kept");
    assert!(
        (limits::SPARE_BYTES_MAX..limits::SPARE_BYTES_MAX + CLIENTS * SPARE_BYTES_SMALL + SPARE_BYTES_LARGE)
            .contains(&spare),
        "{spare}"
    );
}

/// So many clients that ask for much and take nothing.
fn deaf(bench: &mut Bench, count: usize) -> Vec<usize> {
    let clients: Vec<usize> = (0..count).map(|_| bench.connect()).collect();
    for &client in &clients {
        for xid in 1..=8 {
            bench.send(client, xid, Opcode::GetData, &get("/large"));
        }
        settle(bench);
    }
    clients
}

#[test]
fn any_number_of_deaf_clients_holds_no_more_than_the_bound() {
    let mut bench = bench();
    let clients = deaf(&mut bench, 50);
    let unsent = bench.shard.state.unsent;
    assert!((BOUND..BOUND + LARGE + REPLY_BYTES).contains(&unsent), "{unsent}");
    // As they come to their senses, all of them get all they asked for, in order.
    let mut received = vec![vec![]; clients.len()];
    for _ in 0..100 {
        for (client, received) in clients.iter().zip(&mut received) {
            received.extend(bench.xids(*client));
        }
        settle(&mut bench);
        let unsent = bench.shard.state.unsent;
        assert!(unsent < BOUND + LARGE + REPLY_BYTES, "{unsent}");
    }
    for received in received {
        assert_eq!(received, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
    assert_eq!((bench.shard.state.unsent, bench.shard.state.roomless.len()), (0, 0));
}

#[test]
fn small_answers_are_given_all_the_same_and_a_large_one_when_a_deaf_client_is_cut_off() {
    let mut bench = bench();
    let deaf = deaf(&mut bench, 20);
    let other = bench.connect();
    bench.send(other, 1, Opcode::GetData, &get("/small"));
    bench.send(other, 2, Opcode::SetData, &set("/small"));
    assert_eq!(bench.xids(other), [1]);
    assert!(bench.requests.pop_front().is_some(), "writes are taken");
    bench.write(Some((other, 2)), |world| world.set_data("/small", b"new"));
    assert_eq!(bench.xids(other), [2]);
    bench.send(other, 3, Opcode::GetData, &get("/large"));
    bench.send(other, 4, Opcode::SetData, &set("/small"));
    settle(&mut bench);
    assert_eq!(bench.xids(other), [] as [i32; 0]);
    assert!(bench.requests.is_empty(), "the write's own answer would have the large one made");
    let tick = crate::shard::testing::TICK;
    // Ten of the deaf hold all there is, and ten stand in line before the other.
    let mut gone = vec![];
    let mut answered = vec![];
    for _ in 0..20 {
        bench.pass(tick / 4);
        for &client in &deaf {
            if bench.is_closed(client) && !gone.contains(&client) {
                gone.push(client);
                bench.step(Input::Closed { connection: Bench::id(client) });
            }
        }
        settle(&mut bench);
        answered.extend(bench.xids(other));
    }
    assert!(gone.len() >= 10 && !bench.is_closed(other), "{gone:?}");
    assert_eq!(answered, [3]);
    let writes = bench.requests.iter().filter(|request| matches!(request, Request::Write { .. }));
    assert_eq!(writes.count(), 1);
}

/// Nobody is cut off for being slow while there is room.
#[test]
fn with_room_left_a_slow_client_has_time() {
    let mut bench = bench();
    let slow = bench.connect();
    bench.send(slow, 1, Opcode::GetData, &get("/large"));
    bench.end_turn();
    for _ in 0..8 {
        bench.pass(crate::shard::testing::TICK / 4);
    }
    assert!(bench.is_sent(slow) && !bench.is_closed(slow));
}

/// The replica's answer comes when it comes.
#[test]
fn a_list_of_ephemerals_is_asked_for_when_there_is_room() {
    let mut bench = bench();
    let deaf = deaf(&mut bench, 20);
    let other = bench.connect();
    bench.send(other, 1, Opcode::GetEphemerals, &GetEphemeralsRequest { prefix_path: Some("/".into()) });
    assert!(bench.requests.is_empty());
    for &client in &deaf {
        bench.take(client);
    }
    settle(&mut bench);
    assert_eq!(bench.requests.len(), 1);
}

/// What was let in before there was too much, and can't wait when a write is answered.
#[test]
fn reads_before_a_writes_answer_are_bounded_too() {
    const CLIENTS: usize = 60;
    let mut bench = bench();
    let clients: Vec<usize> = (0..CLIENTS).map(|_| bench.connect()).collect();
    for &client in &clients {
        bench.send(client, 1, Opcode::SetData, &set("/small"));
        bench.send(client, 2, Opcode::GetData, &get("/large"));
        bench.send(client, 3, Opcode::GetData, &get("/large"));
        bench.send(client, 4, Opcode::SetData, &set("/small"));
    }
    for xid in [1, 4] {
        for &client in &clients {
            if !bench.is_closed(client) {
                bench.write(Some((client, xid)), |world| world.set_data("/small", b"new"));
            }
            let unsent = bench.shard.state.unsent;
            assert!(unsent < 2 * BOUND + LARGE + CLIENTS * REPLY_BYTES, "{unsent}");
        }
        bench.end_turn();
    }
    let whole = clients.iter().filter(|&&client| bench.xids(client) == [1, 2, 3, 4]).count();
    assert!(whole >= 5, "{whole} were answered in full");
}

#[test]
fn events_close_the_connections_of_those_who_take_none_when_there_is_no_room_at_all() {
    let mut bench = bench();
    let clients = deaf(&mut bench, 50);
    let (one, other) = (clients[0], bench.connect());
    for client in [one, other] {
        let watch = GetDataRequest { path: "/small".into(), watch: true };
        bench.send(client, 9, Opcode::GetData, &watch);
    }
    assert_eq!(bench.xids(other), [9]);
    bench.shard.state.unsent += BOUND;
    bench.write(None, |world| world.set_data("/small", b"new"));
    bench.shard.state.unsent -= BOUND;
    let told = bench.told(other);
    assert!(matches!(&told[..], [Told::Event(3, path)] if path == "/small"), "{told:?}");
}
