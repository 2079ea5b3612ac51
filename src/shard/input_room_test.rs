//! Input is bounded over all connections, and nobody waits for ever.

use crate::messages::{AnswerBody, Request};
use crate::shard::testing::{Bench, TICK};
use crate::shard::{Bounds, Input};
use crate::wire::client::header::encode_request;
use crate::wire::client::{GetDataRequest, SetDataRequest};
use crate::wire::{ErrorCode, Opcode};

use super::*;

/// Sixteen frames of the largest size.
const BOUND: usize = 16 << 20;
const HALF: usize = 500_000;

fn bench() -> Bench {
    let mut bench = Bench::within(Bounds { input_bytes: BOUND, ..Bounds::default() });
    bench.world.create("/small", b"data");
    bench
}

fn held(bench: &Bench) -> usize {
    let held: usize = bench.shard.connections().map(|connection| connection.held).sum();
    assert_eq!(held, bench.shard.state.held, "the sum is kept");
    held
}

fn set_data(xid: i32, size: usize) -> Vec<u8> {
    let mut frame = vec![];
    let data = vec![7; size];
    let request = SetDataRequest { path: "/small".into(), data: Some(&data), version: -1 };
    encode_request(&mut frame, xid, Opcode::SetData, &request);
    frame
}

fn large(xid: i32) -> Vec<u8> {
    set_data(xid, 2 * HALF)
}

/// The requests with the replica, in order.
fn asked(bench: &mut Bench) -> Vec<i32> {
    let xid = |request| if let Request::Write { xid, .. } = request { Some(xid) } else { None };
    bench.requests.drain(..).filter_map(xid).collect()
}

/// As the kernel delivers it: in pieces, and none after the socket is no longer read. Returns how much was taken.
fn pour(bench: &mut Bench, client: usize, bytes: &[u8]) -> usize {
    let mut poured = 0;
    for piece in bytes.chunks(16 << 10) {
        if bench.is_paused(client) || bench.is_closed(client) {
            break;
        }
        bench.receive(client, piece);
        poured += piece.len();
    }
    bench.end_turn();
    poured
}

fn halves(bench: &mut Bench, count: usize) -> Vec<usize> {
    let frame = large(1);
    let clients: Vec<usize> = (0..count).map(|_| bench.connect()).collect();
    for &client in &clients {
        pour(bench, client, &frame[..HALF]);
    }
    clients
}

/// A tick passes, and those who were cut off are gone.
fn pass_a_tick(bench: &mut Bench, clients: &[usize]) -> Vec<usize> {
    let before: Vec<usize> = clients.iter().copied().filter(|&client| bench.is_closed(client)).collect();
    for _ in 0..5 {
        bench.pass(TICK / 4);
    }
    let now = clients.iter().copied().filter(|&client| bench.is_closed(client));
    let gone: Vec<usize> = now.filter(|client| !before.contains(client)).collect();
    for &client in &gone {
        bench.step(Input::Closed { connection: Bench::id(client) });
    }
    bench.end_turn();
    gone
}

#[test]
fn any_number_of_half_frames_holds_no_more_than_the_bound() {
    let mut bench = bench();
    halves(&mut bench, 200);
    let held = held(&bench);
    // A buffer that grows by one piece may double once more.
    assert!((BOUND..BOUND + (1 << 20) + 200 * (16 << 10)).contains(&held), "{held}");
}

#[test]
fn who_sends_small_requests_does_not_notice() {
    let mut bench = bench();
    halves(&mut bench, 100);
    let other = bench.connect();
    bench.send(other, 1, Opcode::GetData, &GetDataRequest { path: "/small".into(), watch: false });
    assert_eq!(bench.xids(other), [1]);
    for xid in 2..=9 {
        bench.receive(other, &set_data(xid, 100));
        bench.end_turn();
    }
    assert_eq!(asked(&mut bench), [2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(!bench.is_paused(other));
}

#[test]
fn the_longest_incomplete_are_cut_off_and_the_others_are_heard_to_the_end() {
    let mut bench = bench();
    let stuck = halves(&mut bench, 40);
    let honest = bench.connect();
    let frame = large(9);
    let mut poured = pour(&mut bench, honest, &frame);
    assert!(bench.is_paused(honest) && poured < frame.len(), "{poured}");
    assert!(!stuck.iter().any(|&client| bench.is_closed(client)), "they have a tick");
    let gone = pass_a_tick(&mut bench, &stuck);
    assert!(!gone.is_empty() && gone.len() < stuck.len(), "{gone:?}");
    assert_eq!(gone, stuck[..gone.len()], "the longest first");
    assert!(!bench.is_paused(honest), "there is room");
    poured += pour(&mut bench, honest, &frame[poured..]);
    assert_eq!(poured, frame.len());
    assert!(asked(&mut bench).contains(&9));
    // It counts until it is answered.
    assert!(held(&bench) > frame.len());
    let before = held(&bench);
    bench.answer(honest, 9, AnswerBody::Error(ErrorCode::Ok));
    assert_eq!(bench.xids(honest), [9]);
    assert!(held(&bench) + frame.len() <= before + 100);
    assert!(!bench.is_closed(honest));
}

/// Its first half came before there was too little room.
#[test]
fn a_request_that_is_whole_and_waits_for_us_is_not_cut_off() {
    let mut bench = bench();
    let honest = bench.connect();
    bench.receive(honest, &set_data(8, 2 * TOLERATED_BYTES));
    let frame = large(9);
    pour(&mut bench, honest, &frame[..HALF]);
    let stuck = halves(&mut bench, 40);
    bench.receive(honest, &frame[HALF..]);
    bench.end_turn();
    assert_eq!(bench.requests.len(), 1, "without room it waits for the answer to the one before");
    assert!(!pass_a_tick(&mut bench, &stuck).is_empty());
    assert!(!bench.is_closed(honest));
    bench.answer(honest, 8, AnswerBody::Error(ErrorCode::Ok));
    bench.end_turn();
    assert!(asked(&mut bench).contains(&9));
}

#[test]
fn with_room_left_half_a_frame_has_time() {
    let mut bench = bench();
    let clients = halves(&mut bench, 10);
    assert_eq!(pass_a_tick(&mut bench, &clients), [] as [usize; 0]);
    assert!(!bench.is_paused(clients[0]));
}

/// What the kernel had received before it was told to stop.
#[test]
fn who_brings_more_when_there_is_twice_too_much_is_cut_off() {
    let mut bench = bench();
    let frame = large(1);
    let clients: Vec<usize> = (0..200).map(|_| bench.connect()).collect();
    for &client in &clients {
        for piece in frame[..HALF].chunks(16 << 10) {
            if !bench.is_closed(client) {
                bench.receive(client, piece);
            }
        }
        bench.end_turn();
        let held = held(&bench);
        assert!(held < 2 * BOUND + (1 << 20) + 200 * TOLERATED_BYTES, "{held}");
    }
    assert!(clients.iter().any(|&client| bench.is_closed(client)));
}

/// While room is lacking, one larger request at a time is taken of each connection.
#[test]
fn requests_that_wait_count_as_well() {
    let mut bench = bench();
    halves(&mut bench, 100);
    let other = bench.connect();
    for xid in 1..=3 {
        bench.receive(other, &set_data(xid, 2 * TOLERATED_BYTES));
        bench.end_turn();
    }
    for xid in 1..=3 {
        assert_eq!(asked(&mut bench), [xid]);
        assert!(bench.is_paused(other));
        bench.answer(other, xid, AnswerBody::Error(ErrorCode::Ok));
        assert_eq!(bench.xids(other), [xid]);
    }
    assert_eq!(asked(&mut bench), [] as [i32; 0]);
    assert!(!bench.is_paused(other), "though there is no room: it has brought nothing");
}
