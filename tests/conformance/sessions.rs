//! Lives of sessions: closing, expiry, ephemerals, and coming back after the server died.

use std::time::Duration;

use ringkeeper::wire::{ErrorCode, Opcode};

use crate::support::client::{EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT};
use crate::support::wait::timed;
use crate::support::{Client, Config, Connect, Refusal, Server, until};

#[test]
fn closing_a_session_takes_its_ephemerals_with_it() {
    let server = Server::start();
    let (mut owner, mut other) = (Client::connect(&server), Client::connect(&server));
    owner.create("/stays", b"", PERSISTENT);
    owner.create("/goes", b"", EPHEMERAL);
    let path = owner.create("/stays/goes-", b"", EPHEMERAL_SEQUENTIAL);
    let before = owner.zxid;
    let closed = owner.close();
    assert_eq!(closed.zxid, before + 1, "the reply has the zxid of the close");
    assert!(closed.body.is_empty());
    assert_eq!(other.exists("/goes", false), Err(ErrorCode::NoNode));
    assert_eq!(other.exists(&path, false), Err(ErrorCode::NoNode));
    let parent = other.stat("/stays");
    assert_eq!((parent.num_children, parent.cversion, parent.pzxid.0), (0, 2, closed.zxid));
}

#[test]
fn nothing_behind_a_close_is_answered() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let (xid, mut bytes) = client.request(Opcode::CloseSession, &());
    bytes.extend(client.request(Opcode::Ping, &()).1);
    client.send_bytes(&bytes);
    let reply = client.next_reply();
    assert_eq!((reply.xid, reply.err), (xid, 0));
    client.assert_closed();
}

#[test]
fn losing_the_connection_does_not_end_a_session() {
    let server = Server::start();
    let (mut owner, mut other) = (Client::connect(&server), Client::connect(&server));
    owner.create("/e", b"", EPHEMERAL);
    let again = Connect::again(&owner);
    owner.cut();
    assert!(other.exists("/e", false).is_ok());
    let mut owner = again.open(&server);
    assert_eq!(owner.stat("/e").ephemeral_owner.0, owner.session);
    owner.delete("/e", -1).expect("its owner is back");
}

#[test]
fn a_silent_session_expires_with_its_ephemerals_and_not_before_its_time() {
    let server = Config::default().set("tickTime", 200).start();
    let mut other = Connect { timeout_ms: 4_000, ..Connect::default() }.open(&server);
    let mut owner = Connect { timeout_ms: 1_000, ..Connect::default() }.open(&server);
    assert_eq!(owner.timeout_ms, 1_000);
    owner.create("/e", b"", EPHEMERAL);
    let again = Connect::again(&owner);
    let ((), waited) = timed(|| {
        owner.cut();
        until("the ephemeral to go", || other.exists("/e", false).is_err().then_some(()));
    });
    assert!(waited >= Duration::from_millis(950), "after {waited:?}: the timeout is one second");
    assert!(waited < Duration::from_secs(10), "after {waited:?}");
    assert!(matches!(again.try_open(&server), Err(Refusal::Rejected(_))));
}

#[test]
fn pings_keep_a_session_alive() {
    let server = Config::default().set("tickTime", 100).start();
    let mut other = Connect { timeout_ms: 2_000, ..Connect::default() }.open(&server);
    let mut owner = Connect { timeout_ms: 400, ..Connect::default() }.open(&server);
    assert_eq!(owner.timeout_ms, 400);
    owner.create("/e", b"", EPHEMERAL);
    let start = other.stat("/e");
    // Six timeouts long; the other session is the clock.
    let clock = std::time::Instant::now();
    until("six timeouts", || {
        owner.ping();
        other.ping();
        (clock.elapsed() > Duration::from_millis(2_400)).then_some(())
    });
    assert_eq!(other.exists("/e", false), Ok(start));
}

/// The session's connection is open, but nothing comes.
#[test]
fn a_client_that_is_connected_but_silent_is_hung_up_on() {
    let server = Config::default().set("tickTime", 200).start();
    let mut other = Connect { timeout_ms: 4_000, ..Connect::default() }.open(&server);
    let mut owner = Connect { timeout_ms: 1_000, ..Connect::default() }.open(&server);
    owner.create("/e", b"", EPHEMERAL);
    until("the ephemeral to go", || other.exists("/e", false).is_err().then_some(()));
    owner.assert_closed();
}

#[test]
fn sessions_and_ephemerals_survive_a_killed_server() {
    let mut server = Server::start();
    let mut owner = Client::connect(&server);
    owner.create("/p", b"kept", PERSISTENT);
    owner.create("/p/e", b"", EPHEMERAL);
    let zxid = owner.zxid;
    let again = Connect { last_zxid_seen: zxid, ..Connect::again(&owner) };
    server.kill();
    owner.assert_closed();
    server.restart();
    let mut owner = again.open(&server);
    assert_eq!(owner.data("/p"), b"kept");
    assert_eq!(owner.stat("/p/e").ephemeral_owner.0, owner.session);
    assert!(owner.zxid >= zxid);
    let mut new = Client::connect(&server);
    assert_ne!(new.session, owner.session);
    owner.close();
    assert_eq!(new.exists("/p/e", false), Err(ErrorCode::NoNode));
}

/// A restarted server gives every session its whole timeout, and then ends those that don't come.
#[test]
fn a_session_whose_client_never_comes_back_expires_after_a_restart() {
    let mut server = Config::default().set("tickTime", 200).start();
    let mut owner = Connect { timeout_ms: 600, ..Connect::default() }.open(&server);
    owner.create("/e", b"", EPHEMERAL);
    server.kill();
    server.restart();
    let mut other = Connect { timeout_ms: 4_000, ..Connect::default() }.open(&server);
    until("the ephemeral to go", || other.exists("/e", false).is_err().then_some(()));
}

#[test]
fn a_closed_session_stays_closed_after_a_restart() {
    let mut server = Server::start();
    let mut owner = Client::connect(&server);
    owner.create("/e", b"", EPHEMERAL);
    let again = Connect::again(&owner);
    owner.close();
    server.kill();
    server.restart();
    assert!(matches!(again.try_open(&server), Err(Refusal::Rejected(_))));
    assert_eq!(Client::connect(&server).exists("/e", false), Err(ErrorCode::NoNode));
}
