//! Large requests are counted from when they are whole until they are answered, and one too many ends its connection.

use crate::base::limits;
use crate::messages::{AnswerBody, Request};
use crate::shard::testing::Bench;
use crate::shard::{Bounds, Input};
use crate::wire::{ErrorCode, Opcode};

use super::*;

const THRESHOLD: usize = 1_000;
const MAX: usize = 3_000;
/// What a request's header adds to its body.
const HEADER: usize = 8;

fn bench() -> Bench {
    let mut bench = Bench::with(Bounds::default(), LargeRequests::new(Some(THRESHOLD), MAX));
    bench.world.create("/node", b"data");
    bench
}

/// A request whose body has so many bytes; what follows its path and no more belongs to it.
fn request(xid: i32, opcode: Opcode, body: usize) -> Vec<u8> {
    let mut frame = u32::try_from(HEADER + body).unwrap().to_be_bytes().to_vec();
    frame.extend(xid.to_be_bytes());
    frame.extend(opcode.code().to_be_bytes());
    frame.extend(b"\0\0\0\x05/node\0");
    frame.resize(PREFIX_BYTES + HEADER + body, 0);
    frame
}

fn set(xid: i32, body: usize) -> Vec<u8> {
    request(xid, Opcode::SetData, body)
}

fn in_flight(bench: &Bench) -> usize {
    let counted: usize = bench.shard.connections().map(|connection| connection.large_counted).sum();
    let in_flight = bench.shard.state.settings.large_requests.in_flight();
    assert_eq!(counted, in_flight, "the sum is kept");
    in_flight
}

fn rejected(bench: &Bench) -> u64 {
    bench.shard.tallies().large_requests_rejected
}

fn is_closed(bench: &mut Bench, client: usize) -> bool {
    bench.end_turn();
    bench.is_closed(client)
}

fn answer(bench: &mut Bench, client: usize, xid: i32) {
    bench.answer(client, xid, AnswerBody::Error(ErrorCode::Ok));
}

#[test]
fn one_too_many_ends_its_connection_and_an_answer_makes_room() {
    let mut bench = bench();
    let (one, two, three, small) = (bench.connect(), bench.connect(), bench.connect(), bench.connect());
    bench.receive(one, &set(1, 1_500));
    bench.receive(two, &set(1, 1_400));
    assert_eq!(in_flight(&bench), 2_900);
    bench.receive(three, &set(1, 1_001));
    assert!(is_closed(&mut bench, three));
    // What isn't large counts for nothing, and is let in.
    bench.receive(small, &set(1, THRESHOLD - HEADER));
    assert!(!is_closed(&mut bench, small));
    assert_eq!((in_flight(&bench), rejected(&bench)), (2_900, 1));
    let asked = |request: &Request| matches!(request, Request::Write { .. });
    assert_eq!(bench.requests.iter().filter(|request| asked(request)).count(), 3, "the rejected one isn't");
    answer(&mut bench, one, 1);
    assert_eq!(in_flight(&bench), 1_400);
    let four = bench.connect();
    bench.receive(four, &set(1, 1_500));
    assert!(!is_closed(&mut bench, four) && !is_closed(&mut bench, one));
    assert_eq!(in_flight(&bench), 2_900);
}

/// The length decides, before anything else is there; and it is the frame's, header included.
#[test]
fn a_frame_that_does_not_fit_is_refused_by_its_length() {
    let mut bench = bench();
    for (length, is_refused) in [(MAX, false), (MAX + 1, true)] {
        let client = bench.connect();
        bench.receive(client, &u32::try_from(length).unwrap().to_be_bytes());
        assert_eq!(is_closed(&mut bench, client), is_refused, "{length}");
        // A connect request, too.
        let stranger = bench.accept();
        bench.receive(stranger, &u32::try_from(length).unwrap().to_be_bytes());
        assert_eq!(is_closed(&mut bench, stranger), is_refused, "{length}");
    }
    assert_eq!((in_flight(&bench), rejected(&bench)), (0, 2));
    // It may be large by its header alone: then it is looked at, and not counted.
    let (one, two) = (bench.connect(), bench.connect());
    bench.receive(one, &set(1, 2_500));
    bench.receive(two, &set(1, THRESHOLD));
    assert!(is_closed(&mut bench, two));
    answer(&mut bench, one, 1);
    let three = bench.connect();
    bench.receive(three, &set(1, THRESHOLD));
    assert_eq!((in_flight(&bench), is_closed(&mut bench, three)), (0, false));
}

#[test]
fn who_was_let_in_by_the_length_is_looked_at_again_when_the_request_is_whole() {
    for is_answered in [false, true] {
        let mut bench = bench();
        let (slow, quick) = (bench.connect(), bench.connect());
        let frame = set(1, 2_000);
        bench.receive(slow, &frame[..100]);
        bench.receive(quick, &set(1, 2_000));
        // Now there is no room for it; but its length was looked at.
        bench.receive(slow, &frame[100..200]);
        assert!(!is_closed(&mut bench, slow));
        if is_answered {
            answer(&mut bench, quick, 1);
        }
        bench.receive(slow, &frame[200..]);
        assert_eq!(is_closed(&mut bench, slow), !is_answered);
        assert_eq!((in_flight(&bench), rejected(&bench)), (2_000, u64::from(!is_answered)));
        // Of the next frame its own length is looked at.
        let next = if is_answered { slow } else { quick };
        bench.receive(next, &set(2, 2_000)[..4]);
        assert!(is_closed(&mut bench, next));
    }
}

#[test]
fn several_of_one_connection_in_one_packet_are_counted_one_by_one() {
    let mut bench = bench();
    let client = bench.connect();
    let packet: Vec<u8> = (1..=3).flat_map(|xid| set(xid, 1_200)).collect();
    bench.receive(client, &packet);
    assert!(is_closed(&mut bench, client), "2,400 are in flight, and 1,208 more come");
    assert_eq!((in_flight(&bench), rejected(&bench)), (0, 1), "of a connection that ends nothing counts");
}

#[test]
fn reads_count_while_they_wait() {
    let mut bench = bench();
    let client = bench.connect();
    // Answered at once: never in anybody's way.
    for xid in 0..5 {
        bench.receive(client, &request(xid, Opcode::GetData, 2_000));
        assert_eq!((bench.xids(client), in_flight(&bench)), (vec![xid], 0));
    }
    // Behind a write.
    bench.receive(client, &set(5, 10));
    bench.receive(client, &request(6, Opcode::GetData, 2_000));
    assert_eq!(in_flight(&bench), 2_000);
    answer(&mut bench, client, 5);
    assert_eq!((bench.xids(client), in_flight(&bench)), (vec![5, 6], 0));
}

#[test]
fn a_long_read_counts_until_it_is_answered() {
    let mut bench = bench();
    for child in 0..2 * limits::TURN_BUDGET {
        bench.world.create(&format!("/node/{child}"), b"");
    }
    let client = bench.connect();
    bench.receive(client, &request(1, Opcode::GetChildren, 2_000));
    assert_eq!((bench.xids(client), in_flight(&bench)), (vec![], 2_000));
    while bench.shard.state.has_long_work() {
        assert_eq!(in_flight(&bench), 2_000);
        bench.step(Input::Wakeup);
        bench.end_turn();
    }
    assert_eq!((bench.xids(client), in_flight(&bench)), (vec![1], 0));
    // And of one whose client goes meanwhile nothing is left.
    bench.receive(client, &request(2, Opcode::GetChildren, 2_000));
    bench.step(Input::Closed { connection: Bench::id(client) });
    assert_eq!(in_flight(&bench), 0);
    bench.step(Input::Wakeup);
}

#[test]
fn what_a_connection_had_in_flight_is_given_back_with_it() {
    let mut bench = bench();
    for way in [0, 1] {
        let client = bench.connect();
        bench.receive(client, &set(1, 1_200));
        bench.receive(client, &request(2, Opcode::GetData, 1_200));
        assert_eq!(in_flight(&bench), 2_400);
        if way == 0 {
            bench.step(Input::Ended { connection: Bench::id(client) });
            assert_eq!(in_flight(&bench), 0);
        }
        bench.step(Input::Closed { connection: Bench::id(client) });
        assert_eq!(in_flight(&bench), 0);
    }
    assert_eq!(rejected(&bench), 0);
}

/// Auth is looked at by its length like all others, and is answered at once.
#[test]
fn auth_is_never_in_flight() {
    let mut bench = bench();
    let (client, other) = (bench.connect(), bench.connect());
    bench.receive(other, &set(1, 1_900));
    let mut body = b"\0\0\0\0\0\0\0\x06digest\0\0\x04\0u:".to_vec();
    body.resize(4 + 4 + 6 + 4 + 1024, b'x');
    let mut frame = u32::try_from(HEADER + body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend((-4i32).to_be_bytes());
    frame.extend(Opcode::Auth.code().to_be_bytes());
    frame.extend(&body);
    bench.receive(client, &frame);
    assert_eq!((bench.xids(client), in_flight(&bench)), (vec![-4], 1_900));
    bench.receive(other, &set(2, 1_080));
    assert_eq!(in_flight(&bench), 2_980);
    bench.receive(client, &frame);
    assert!(is_closed(&mut bench, client));
}

#[test]
fn all_shards_share_one_count_and_without_a_threshold_nothing_is_large() {
    let large = LargeRequests::new(Some(THRESHOLD), MAX);
    let mut benches =
        [Bench::with(Bounds::default(), large.clone()), Bench::with(Bounds::default(), large.clone())];
    for (at, bench) in benches.iter_mut().enumerate() {
        let client = bench.connect();
        bench.receive(client, &set(1, 2_000));
        assert_eq!(is_closed(bench, client), at == 1);
    }
    assert_eq!(large.in_flight(), 2_000);
    let mut off = Bench::new();
    let client = off.connect();
    off.receive(client, &set(1, 1_000_000));
    assert_eq!((in_flight(&off), is_closed(&mut off, client)), (0, false));
}
