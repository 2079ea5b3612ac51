//! Sessions on a clock of the test's.

use super::*;
use crate::base::{ConnectionId, ShardId};

const TICK: Duration = Duration::from_millis(2000);

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

fn client(slot: u32) -> Owner {
    Owner::Client(Client { shard: ShardId(0), connection: ConnectionId { slot, generation: 0 } })
}

fn sessions() -> Sessions {
    Sessions::new(ServerId(1), TICK, HashKey(1, 2), at(1_000))
}

#[test]
fn ids_carry_the_server_and_rise() {
    let mut sessions = sessions();
    let (a, b) = (sessions.allocate(), sessions.allocate());
    assert_eq!((a.0 as u64) >> 56, 1);
    assert_eq!(b.0, a.0 + 1);
}

#[test]
fn expires_once_in_the_tick_after_its_timeout() {
    let mut sessions = sessions();
    let id = sessions.allocate();
    sessions.add(id, 4000, at(1_000));
    // Timeout at 5,000, tick at 6,000, and half a tick for a touch under way.
    assert_eq!(sessions.next_due(), Some(at(7_000)));
    assert!(sessions.expired(at(6_999)).is_empty());
    assert_eq!(sessions.expired(at(7_000)), [id]);
    assert_eq!(sessions.next_due(), Some(at(9_000)), "reported again, should nobody close it");
    assert!(sessions.mark_closing(id) && !sessions.mark_closing(id));
    assert!(sessions.expired(at(60_000)).is_empty());
}

#[test]
fn a_touch_moves_the_deadline() {
    let mut sessions = sessions();
    let id = sessions.allocate();
    sessions.add(id, 4000, at(1_000));
    sessions.touch(id, at(5_000));
    assert!(sessions.expired(at(7_000)).is_empty());
    assert_eq!(sessions.next_due(), Some(at(11_000)));
    assert_eq!(sessions.expired(at(11_000)), [id]);
}

#[test]
fn a_gap_in_our_clock_kills_nobody() {
    let mut sessions = sessions();
    let id = sessions.allocate();
    sessions.add(id, 4000, at(1_000));
    sessions.extend(Duration::from_secs(60));
    assert!(sessions.expired(at(66_999)).is_empty());
    assert_eq!(sessions.expired(at(67_000)), [id]);
}

/// It was heard at 5,400, and the report comes with the shard's next batch.
#[test]
fn a_touch_that_is_under_way_at_the_deadline_counts() {
    let mut sessions = sessions();
    let id = sessions.allocate();
    sessions.add(id, 4000, at(1_999));
    assert!(sessions.expired(at(6_000)).is_empty());
    sessions.touch(id, at(6_000));
    assert!(sessions.expired(at(11_000)).is_empty());
}

#[test]
fn a_reconnect_changes_the_patience_and_not_what_is_replicated() {
    let mut sessions = sessions();
    let id = sessions.allocate();
    sessions.add(id, 4000, at(1_000));
    assert_eq!(sessions.attach(id, 20_000, client(1), at(1_000)), Some(()));
    assert_eq!(sessions.list(), [(id, 4000)]);
    assert!(sessions.expired(at(22_999)).is_empty());
    assert_eq!(sessions.expired(at(23_000)), [id]);
}

#[test]
fn a_local_session_is_no_servers_but_this_and_expires_by_itself() {
    let mut sessions = sessions();
    let (id, other) = (sessions.allocate(), sessions.allocate());
    sessions.add_local(id, 4000, at(1_000));
    sessions.add(other, 4000, at(1_000));
    assert_eq!(sessions.attach(id, 4000, client(1), at(1_000)), Some(()));
    assert!(sessions.is_local(id) && !sessions.is_local(other));
    assert_eq!(sessions.list(), [(other, 4000)], "no snapshot holds it");
    assert!(!sessions.revalidate(id, ServerId(2), at(1_000)), "nor can it go elsewhere");
    assert_eq!(sessions.check(id, client(1), false), Ok(()));
    assert_eq!(sessions.check(id, client(1), true), Err(ErrorCode::EphemeralOnLocalSession));
    assert_eq!(sessions.check(id, client(2), false), Err(ErrorCode::SessionMoved));
    assert_eq!(sessions.next_local_due(), Some(at(7_000)));
    assert_eq!((sessions.expired_local(at(7_000)), sessions.expired(at(7_000))), (vec![id], vec![other]));
    sessions.forget_local();
    assert!(!sessions.contains(id) && sessions.contains(other));
    assert_eq!(sessions.next_local_due(), None);
}

#[test]
fn an_upgraded_session_keeps_its_owner_and_expires_as_any() {
    let mut sessions = sessions();
    let id = sessions.allocate();
    sessions.add_local(id, 4000, at(1_000));
    sessions.attach(id, 4000, client(1), at(1_000));
    assert_eq!((sessions.upgrade(id), sessions.upgrade(id)), (Some(4000), None));
    assert_eq!(sessions.check(id, client(1), true), Ok(()), "its createSession goes before");
    assert!(sessions.list().is_empty(), "it is not applied");
    assert!(sessions.expired(at(20_000)).is_empty() && sessions.expired_local(at(20_000)).is_empty());
    sessions.add(id, 4000, at(21_000));
    assert_eq!(sessions.check(id, client(2), true), Err(ErrorCode::SessionMoved));
    assert_eq!(sessions.list(), [(id, 4000)]);
    assert!(sessions.expired_local(at(60_000)).is_empty());
    assert_eq!(sessions.expired(at(27_000)), [id]);
}

/// What a leader says of a session it doesn't know: client-protocol.md §5.4.
#[test]
fn a_stranger_may_be_another_servers_local_session() {
    let (ours, theirs) = (SessionId(0x01 << 56 | 5), SessionId(0x02 << 56 | 5));
    let from = Owner::Server(ServerId(2));
    let mut sessions = sessions();
    sessions.join(ServerId(1), false);
    for id in [ours, theirs] {
        assert_eq!(sessions.check(id, from, false), Err(ErrorCode::SessionExpired));
    }
    sessions.join(ServerId(1), true);
    assert_eq!(sessions.check(ours, from, false), Err(ErrorCode::SessionExpired));
    assert_eq!(sessions.check(theirs, from, false), Ok(()));
    assert_eq!(sessions.check(theirs, from, true), Err(ErrorCode::SessionExpired));
    // Proposed, and not applied yet.
    sessions.add_proposed(theirs, 4000, ServerId(2), at(1_000));
    assert_eq!(sessions.check(theirs, from, true), Ok(()));
    assert_eq!(sessions.check(theirs, client(1), true), Err(ErrorCode::SessionMoved));
    // It was lost with its leader.
    sessions.begin_anew(at(2_000));
    assert!(!sessions.contains(theirs));
}

#[test]
fn only_the_owner_of_a_living_session_is_served() {
    let mut sessions = sessions();
    let id = sessions.allocate();
    assert_eq!(sessions.check(id, client(1), false), Err(ErrorCode::UnknownSession));
    assert_eq!(sessions.check(id, client(1), true), Err(ErrorCode::SessionExpired));
    sessions.add(id, 4000, at(1_000));
    assert_eq!(sessions.attach(id, 4000, client(1), at(1_000)), Some(()));
    assert_eq!(sessions.check(id, client(1), true), Ok(()));
    assert_eq!(sessions.check(id, client(2), false), Err(ErrorCode::SessionMoved));
    sessions.mark_closing(id);
    assert_eq!(sessions.check(id, client(1), false), Err(ErrorCode::SessionExpired));
    assert_eq!(sessions.attach(id, 4000, client(1), at(1_000)), None);
    sessions.remove(id);
    assert!(!sessions.contains(id));
    assert!(sessions.expired(at(90_000)).is_empty());
}
