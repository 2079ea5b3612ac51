//! A member whose peers are nowhere to be found.

use std::time::Duration;

use super::super::super::testing::{NOTHING, Server, TICK, client, start_member};
use super::super::super::{Input, Replica};
use super::super::Mode;
use crate::base::SessionId;
use crate::messages::Request;
use crate::tree::password;
use crate::wire::Opcode;

const LONG: Duration = Duration::from_secs(60);

fn looking(is_on: bool) -> Server {
    start_member(2, |settings| settings.read_only_mode = is_on)
}

/// As long as it may take, to a millisecond, and no longer.
fn opened() -> Server {
    let mut server = looking(true);
    let begin = server.now.instant;
    assert_eq!(server.pass_until_served(LONG), ["serve ReadOnly"]);
    assert_eq!(server.now.instant.since(begin), TICK.max(Duration::from_secs(2)));
    server
}

fn one_session(replica: &Replica) -> SessionId {
    let [(_, session)] = replica.sessions().time_left(replica.now.instant)[..] else { panic!("one session") };
    session
}

#[test]
fn who_asked_for_it_reads_when_nobody_is_found_for_long_enough() {
    let mut server = looking(true);
    assert_eq!(server.connect(SessionId::NONE, 1, None), NOTHING, "its connection is closed by the shard");
    let mut server = opened();
    assert_eq!(server.replica.mode(), Mode::ReadOnly);
    assert_eq!(
        server.connect(SessionId::NONE, 1, None),
        ["notify all at 0: 1 xid 0: session for 5000 ms; belongs to 1;"]
    );
    let session = one_session(&server.replica);
    assert!(server.replica.sessions().list().is_empty(), "no snapshot holds it");
    assert_eq!(server.create(session, 1, 1, "/a", 0), ["notify one at 0: 1 xid 1: NotReadOnly;"]);
    assert_eq!(server.sync(session, 1, 2), ["notify one at 0: 1 xid 2: NotReadOnly;"]);
    let ask = Request::Ephemerals { from: client(1), session, xid: 3, prefix: "/".into() };
    let said = server.step(Input::Request(ask));
    assert_eq!(said, ["notify one at 0: 1 xid 3: b\"\\0\\0\\0\\0\";"]);
    assert_eq!(
        server.write(session, 1, 4, Opcode::CloseSession, vec![]),
        ["notify all at 0: 1 xid 4: Ok; ended;"]
    );
    assert_eq!(server.replica.sessions().count(), 0);
    assert_eq!(server.turn_end(), NOTHING, "nothing of it is logged");
}

#[test]
fn without_the_setting_nobody_is_served() {
    let mut server = looking(false);
    assert_eq!(server.pass_until_served(LONG), NOTHING);
    assert_eq!(server.replica.mode(), Mode::Looking);
    assert_eq!(server.connect(SessionId::NONE, 1, None), NOTHING);
}

#[test]
fn its_sessions_come_back_move_and_expire() {
    let mut server = opened();
    server.connect(SessionId::NONE, 1, None);
    let session = one_session(&server.replica);
    let right = Some(password::of(session));
    assert_eq!(server.connect(session, 2, Some([7; 16])), ["notify one at 0: 2 xid 0: refused;"]);
    assert_eq!(
        server.connect(session, 2, right),
        ["notify all at 0: 2 xid 0: session for 5000 ms; belongs to 2;"]
    );
    let moved = server.write(session, 1, 1, Opcode::CloseSession, vec![]);
    assert_eq!(moved, ["notify one at 0: 1 xid 1: moved;"]);
    // Silent for longer than its timeout.
    let mut said = vec![];
    for _ in 0..10 {
        server.pass(TICK / 2);
        said.extend(server.wake_up());
    }
    assert_eq!(said, ["notify all at 0: ended;"]);
    assert_eq!(server.connect(session, 3, right), ["notify one at 0: 3 xid 0: refused;"]);
}

/// A living session must not be called expired by a server that can't know; it isn't taken up either.
#[test]
fn a_session_of_the_ensemble_is_turned_away() {
    let mut server = opened();
    let theirs = SessionId(0x02 << 56 | 77);
    let closed = ["notify one at 0: 1 xid 0: NotReadOnly;"];
    assert_eq!(server.connect(theirs, 1, Some(password::of(theirs))), closed);
    let now = server.now.instant;
    let known = server.replica.sessions.allocate();
    server.replica.sessions.add(known, 5000, now);
    assert_eq!(server.connect(known, 1, Some(password::of(known))), closed);
    // Asked for when there was a leader, and still on its way: only a transaction may end it.
    assert_eq!(server.write(known, 1, 9, Opcode::CloseSession, vec![]), NOTHING);
    assert!(server.replica.sessions().contains(known));
}

/// Full, it takes no part in elections; and every role ends the mode in the same way.
#[test]
fn the_mode_ends_with_its_sessions_when_the_member_stops_looking() {
    let mut server = opened();
    server.connect(SessionId::NONE, 1, None);
    let session = one_session(&server.replica);
    assert_eq!(server.step(Input::SpaceLow), ["serve None"]);
    assert_eq!(server.replica.mode(), Mode::Looking);
    assert!(!server.replica.sessions().contains(session));
    assert_eq!(server.create(session, 1, 1, "/a", 0), NOTHING, "it was on its way");
    assert_eq!(server.pass_until_served(LONG), NOTHING);
    // Looking again, and as patient as before.
    let begin = server.now.instant;
    assert_eq!(server.step(Input::SpaceBack), NOTHING);
    assert_eq!(server.pass_until_served(LONG), ["serve ReadOnly"]);
    assert!(server.now.instant.since(begin) >= TICK);
}
