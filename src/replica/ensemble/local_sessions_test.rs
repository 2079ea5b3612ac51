//! A leader of one with local sessions. Learners': clients.rs, tests/ensemble/local_sessions.rs.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::Input;
use super::super::super::testing::{NOTHING, Server, TICK, client, encoded, start_member};
use super::super::Mode;
use crate::base::{ServerId, SessionId};
use crate::messages::Request;
use crate::tree::password;
use crate::wire::client::multi::encode_list;
use crate::wire::client::{CreateRequest, MultiOp, MultiResult, MultiResults};
use crate::wire::{AclList, Decode, Encode, ErrorCode, Opcode};

const EPHEMERAL: i32 = 1;

fn leader(upgrading: bool) -> Server {
    let mut server = start_member(1, |settings| {
        settings.local_sessions = true;
        settings.local_sessions_upgrading = upgrading;
    });
    if server.replica.mode() == Mode::Looking {
        assert!(server.pass_until_served(Duration::from_secs(10)).contains(&"serve All".to_owned()));
    }
    assert_eq!(server.replica.mode(), Mode::Leading);
    server
}

/// A local session through this connection.
fn open(server: &mut Server, slot: u32) -> SessionId {
    let said = server.connect(SessionId::NONE, slot, None);
    assert!(said.len() == 1 && said[0].contains("session for 5000 ms"), "at once: {said:?}");
    let sessions = server.replica.sessions().time_left(server.now.instant);
    sessions.into_iter().map(|(_, session)| session).max().expect("just opened")
}

/// What is said, without the zxids.
fn settled(server: &mut Server) -> Vec<String> {
    let said = server.settle();
    said.iter().filter_map(|said| Some(said.split_once(':')?.1.trim().to_owned())).collect()
}

fn creation(path: &'static str, flags: i32) -> CreateRequest<'static> {
    CreateRequest { path: path.into(), data: Some(b""), acl: Some(AclList::OPEN), flags }
}

fn multi(operations: &[MultiOp<'_>]) -> Vec<u8> {
    let mut body = vec![];
    encode_list(&mut body, operations.iter().copied());
    body
}

#[test]
fn it_is_opened_written_through_and_closed_without_a_transaction_of_its_own() {
    let mut server = leader(false);
    let before = server.replica.proposed;
    let session = open(&mut server, 1);
    assert!(server.replica.sessions().is_local(session));
    assert_eq!(server.turn_end(), NOTHING, "nothing is logged");
    server.create(session, 1, 1, "/a", 0);
    assert_eq!(settled(&mut server), ["Created /a; 1 xid 1: created /a;"]);
    assert_eq!(server.replica.proposed.0, before.0.max(server.replica.zxid_floor().0 - 1) + 1);
    // It comes back with its password, and only with that.
    let refused = server.connect(session, 2, Some([7; 16]));
    assert!(refused[0].contains("refused"), "{refused:?}");
    let again = server.connect(session, 2, Some(password::of(session)));
    assert!(again[0].contains("belongs to 2"), "{again:?}");
    let moved = server.write(session, 1, 2, Opcode::CloseSession, vec![]);
    assert!(moved[0].contains("1 xid 2: moved"), "{moved:?}");
    // Its end comes behind what it asked before.
    server.create(session, 2, 3, "/b", 0);
    assert_eq!(server.write(session, 2, 4, Opcode::CloseSession, vec![]), NOTHING);
    assert_eq!(settled(&mut server), ["Created /b; 2 xid 3: created /b;", "2 xid 4: Ok; ended;"]);
    assert_eq!(server.replica.sessions().count(), 0);
}

#[test]
fn it_expires_without_a_transaction() {
    let mut server = leader(false);
    let session = open(&mut server, 1);
    let proposed = server.replica.proposed;
    let mut said = vec![];
    for _ in 0..10 {
        server.pass(TICK / 2);
        said.extend(server.wake_up());
    }
    said.retain(|said| said.starts_with("notify"));
    assert!(said.len() == 1 && said[0].ends_with(" ended;"), "{said:?}");
    assert!(!server.replica.sessions().contains(session));
    assert_eq!(server.replica.proposed, proposed);
}

#[test]
fn without_upgrading_it_gets_no_ephemeral() {
    let mut server = leader(false);
    let session = open(&mut server, 1);
    server.create(session, 1, 1, "/e", EPHEMERAL);
    assert_eq!(settled(&mut server), ["1 xid 1: EphemeralOnLocalSession;"]);
    let body = multi(&[MultiOp::Create(creation("/p", 0)), MultiOp::Create2(creation("/e", EPHEMERAL))]);
    server.write(session, 1, 2, Opcode::Multi, body);
    let mut failed = vec![];
    let results = [ErrorCode::Ok, ErrorCode::EphemeralOnLocalSession].map(MultiResult::Error);
    encode_list(&mut failed, results);
    assert!(MultiResults::parse(&failed).is_ok());
    assert_eq!(settled(&mut server), [format!("1 xid 2: {:?};", bytes::Bytes::from(failed))]);
    assert!(server.replica.sessions().is_local(session));
}

#[test]
fn an_ephemeral_makes_it_a_session_of_the_ensemble() {
    for in_multi in [false, true] {
        let mut server = leader(true);
        let session = open(&mut server, 1);
        server.create(session, 1, 1, "/p", 0);
        if in_multi {
            let body = multi(&[MultiOp::Create(creation("/e", EPHEMERAL))]);
            server.write(session, 1, 2, Opcode::Multi, body);
        } else {
            server.create(session, 1, 2, "/e", EPHEMERAL);
        }
        // Before it is applied, too.
        server.create(session, 1, 3, "/e2", EPHEMERAL);
        let said = settled(&mut server);
        assert_eq!(said.len(), 4, "one createSession, for nobody to hear: {said:?}");
        assert!(said[0].starts_with("Created /p") && said[2].starts_with("Created /e;"), "{said:?}");
        assert!(said[3].starts_with("Created /e2; 1 xid 3"), "{said:?}");
        assert_eq!(server.replica.sessions().list(), [(session, 5000)]);
        assert_eq!(server.replica.store().ephemerals_of(session).len(), 2);
        // It still belongs to its connection, and ends with a transaction.
        server.write(session, 1, 4, Opcode::CloseSession, vec![]);
        let said = settled(&mut server);
        assert!(said.len() == 1 && said[0].contains("Deleted /e;"), "{said:?}");
        assert_eq!(server.replica.sessions().count(), 0);
    }
}

/// Another member's client, whose session that member alone knows, writes and is upgraded.
#[test]
fn a_leader_lets_local_sessions_of_others_pass() {
    let mut server = leader(false);
    let forwarded = |session, cxid, opcode: Opcode, body: Vec<u8>| {
        let (server, identities) = (ServerId(2), Arc::from([]));
        Request::Forwarded { server, session, cxid, opcode: opcode.code(), body: body.into(), identities }
    };
    let theirs = SessionId(0x02 << 56 | 77);
    let ours = SessionId(0x01 << 56 | 77);
    for (session, cxid, path) in [(theirs, 1, "/theirs"), (ours, 1, "/ours")] {
        let create = encoded(&creation(path, 0));
        server.step(Input::Request(forwarded(session, cxid, Opcode::Create, create)));
    }
    assert_eq!(settled(&mut server), ["Created /theirs;", ""], "ours would be known");
    let ephemeral = || encoded(&creation("/e", EPHEMERAL));
    server.step(Input::Request(forwarded(theirs, 2, Opcode::Create, ephemeral())));
    assert_eq!(settled(&mut server), [""]);
    let timeout = 5000i32.to_be_bytes().to_vec();
    server.step(Input::Request(forwarded(theirs, 0, Opcode::CreateSession, timeout)));
    server.step(Input::Request(forwarded(theirs, 3, Opcode::Create, ephemeral())));
    assert_eq!(settled(&mut server), ["", "Created /e;"]);
    assert_eq!(server.replica.store().ephemerals_of(theirs).len(), 1);
    // Whose it is, is known by now: no other server's, and no client's of this one.
    let (session, identities) = (theirs, Arc::from([]));
    let body = ephemeral().into();
    let write = Request::Write { from: client(1), session, xid: 4, opcode: Opcode::Create, body, identities };
    let said = server.step(Input::Request(write));
    assert!(said[0].contains("moved"), "{said:?}");
}

#[test]
fn what_needs_the_upgrade_is_found_in_the_request() {
    let found = |opcode, body: &[u8]| super::creates_ephemeral(opcode, body);
    for flags in 0..8 {
        let body = encoded(&creation("/n", flags));
        let is_ephemeral = flags == 1 || flags == 3;
        assert_eq!(found(Opcode::Create, &body), is_ephemeral);
        assert_eq!(found(Opcode::Create2, &body), is_ephemeral);
        assert!(!found(Opcode::CreateContainer, &body) && !found(Opcode::SetData, &body));
        let ops = [MultiOp::CreateContainer(creation("/c", 4)), MultiOp::Create(creation("/n", flags))];
        assert_eq!(found(Opcode::Multi, &multi(&ops)), is_ephemeral);
        let mut cut = vec![];
        creation("/n", flags).encode(&mut cut);
        cut.pop();
        assert!(!found(Opcode::Create, &cut) && !found(Opcode::Multi, &cut));
    }
}
