//! Who is closed for being silent, and who is not.

use std::time::Duration;

use crate::base::{SessionId, limits};
use crate::messages::Request;
use crate::shard::Input;
use crate::shard::testing::{Bench, SESSION_TIMEOUT_MS, TICK};
use crate::wire::Opcode;
use crate::wire::client::DeleteRequest;

/// The session's timeout and a second; then the quarter of a tick in which it is looked at.
const PATIENCE: Duration = Duration::from_millis(SESSION_TIMEOUT_MS as u64 + 1000);

fn pass(bench: &mut Bench, time: Duration) {
    let quarter = TICK / 4;
    for _ in 0..time.as_nanos() / quarter.as_nanos() {
        bench.pass(quarter);
    }
}

#[test]
fn who_is_silent_beyond_its_timeout_is_closed_and_who_pings_is_not() {
    let mut bench = Bench::new();
    let (silent, pings, mute) = (bench.connect(), bench.connect(), bench.accept());
    for _ in 0..3 {
        pass(&mut bench, Duration::from_secs(3));
        bench.send(pings, -2, Opcode::Ping, &());
        assert_eq!(bench.xids(pings), [-2]);
    }
    assert!(!bench.is_closed(silent) && !bench.is_closed(mute));
    pass(&mut bench, Duration::from_millis(1500));
    assert!(bench.is_closed(mute), "ten seconds without a session");
    pass(&mut bench, Duration::from_secs(1));
    assert!(bench.is_closed(silent));
    pass(&mut bench, PATIENCE - Duration::from_millis(2500));
    assert!(!bench.is_closed(pings));
    pass(&mut bench, Duration::from_secs(1));
    assert!(bench.is_closed(pings));
}

#[test]
fn a_loop_that_stood_still_closes_nobody() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.pass(Duration::from_secs(3600));
    pass(&mut bench, PATIENCE - Duration::from_secs(1));
    assert!(!bench.is_closed(client));
    pass(&mut bench, Duration::from_secs(2));
    assert!(bench.is_closed(client));
}

#[test]
fn while_nothing_is_taken_from_the_sockets_nobody_is_silent() {
    let mut bench = Bench::new();
    let client = bench.connect();
    for _ in 0..60 {
        bench.step(Input::Deaf);
        bench.pass(TICK / 4);
    }
    assert!(!bench.is_closed(client), "half a minute in which it could not be heard");
    pass(&mut bench, PATIENCE + TICK);
    assert!(bench.is_closed(client));
}

/// What is filed for later is not looked at: an idle shard's sweep is empty.
#[test]
fn a_connection_is_looked_at_once_per_patience() {
    let mut bench = Bench::new();
    let client = bench.connect();
    for _ in 0..100 {
        bench.send(client, -2, Opcode::Ping, &());
        pass(&mut bench, Duration::from_secs(1));
        assert_eq!(bench.shard.state.silences.values().map(Vec::len).sum::<usize>(), 1);
    }
    assert!(!bench.is_closed(client));
}

/// A slow disk: nothing is answered, so nothing more is read. The session would expire for pings that lie in our socket.
#[test]
fn who_is_not_read_because_its_requests_wait_keeps_its_session() {
    let mut bench = Bench::new();
    let client = bench.connect();
    for xid in 1..=limits::CONNECTION_REQUESTS_MAX as i32 {
        bench.send(client, xid, Opcode::Delete, &DeleteRequest { path: "/a".into(), version: -1 });
    }
    assert!(bench.is_paused(client));
    let session = SessionId(client as i64 + 1);
    let time = Duration::from_millis(SESSION_TIMEOUT_MS as u64) / 2;
    for _ in 0..6 {
        bench.requests.clear();
        pass(&mut bench, time);
        let touches =
            |request: &Request| matches!(request, Request::Touch { sessions } if sessions.contains(&session));
        assert!(bench.requests.iter().any(touches), "half of its timeout without a word of it");
        assert!(!bench.is_closed(client));
    }
}
