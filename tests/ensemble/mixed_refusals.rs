//! What clients can send that a leader of Apache's must never hear: it would obey, or die of it and all its followers with it.

use ringkeeper::wire::client::{CreateRequest, CreateTtlRequest, DeleteRequest};
use ringkeeper::wire::{AclList, Encode, ErrorCode, Opcode};

use crate::history::{History, Load};
use crate::mixed::{assert_no_mismatch, prepare_with};
use crate::support::client::PERSISTENT;
use crate::support::ensemble::move_to;
use crate::support::{Client, Server, until};

/// Of Apache's, with the larger numbers: the third leads, as with nothing in any log that decides.
const JAVA: [usize; 2] = [2, 3];
const LEADER: usize = 2;
/// A follower and an observer.
const OURS: [usize; 2] = [0, 3];

/// Below a leader of Apache's: a timeout of its own.
struct Timeout(i32);

impl Encode for Timeout {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

/// Another's request is unknown to ours: answered so, and the connection is closed, before anything reaches the leader.
fn is_unknown(server: &Server, leader: &Server, opcode: Opcode, body: &impl Encode) {
    let mut client = Client::connect(server);
    client.catch_up();
    let before = zxid_of_all(server, leader);
    let reply = client.call(opcode, body);
    assert_eq!(reply.code(), ErrorCode::Unimplemented, "{opcode}");
    client.assert_closed();
    assert_eq!(leader.zxid(), before, "{opcode} made no transaction");
    // It would end while others are looked at.
    move_to(client, server).close();
}

/// Of the last transaction, once the leader has applied what this server has: its own tree may be behind.
fn zxid_of_all(server: &Server, leader: &Server) -> i64 {
    let seen = server.zxid();
    until("the leader to have what its follower has", || Some(leader.zxid()).filter(|zxid| *zxid >= seen))
}

/// createTTL without the flags of a TTL node and with no time to live.
fn poison(server: &Server, leader: &Server) {
    let mut client = Client::connect(server);
    client.catch_up();
    let before = zxid_of_all(server, leader);
    for flags in [0, 1, 2, 3, 4] {
        for ttl in [-1, i64::MIN] {
            let acl = Some(AclList::OPEN);
            let request = CreateTtlRequest { path: "/poison".into(), data: Some(b""), acl, flags, ttl };
            let reply = client.call(Opcode::CreateTtl, &request);
            assert_eq!(reply.code(), ErrorCode::BadArguments, "flags {flags}, {ttl}");
        }
    }
    assert_eq!(leader.zxid(), before, "none of them made a transaction");
    // In its turn, between two writes of the session.
    let create = |path: &'static str| {
        let (data, acl) = (Some(&b""[..]), Some(AclList::OPEN));
        CreateRequest { path: path.into(), data, acl, flags: PERSISTENT }
    };
    let acl = Some(AclList::OPEN);
    let request = CreateTtlRequest { path: "/poison".into(), data: Some(b""), acl, flags: 0, ttl: -1 };
    let first = client.send(Opcode::Create, &create("/before"));
    let second = client.send(Opcode::CreateTtl, &request);
    let third = client.send(Opcode::Create, &create("/behind"));
    let expected = [(first, ErrorCode::Ok), (second, ErrorCode::BadArguments), (third, ErrorCode::Ok)];
    for expected in expected {
        let reply = client.next_reply();
        assert_eq!((reply.xid, reply.code()), expected);
    }
    for path in ["/before", "/behind"] {
        client.delete(path, -1).expect("there");
    }
    assert_eq!(client.exists("/poison", false), Err(ErrorCode::NoNode));
    client.close();
}

fn sent_through_ours(extended: bool) {
    let mut ensemble = prepare_with(3, 1, &JAVA, |config| config.set("extendedTypesEnabled", extended));
    for at in [LEADER, 0] {
        ensemble.servers[at].spawn();
    }
    assert_eq!(ensemble.settle_among(&[0, LEADER]), LEADER);
    for at in [1, 3] {
        ensemble.servers[at].restart();
    }
    let pid = ensemble.servers[LEADER].pid();
    let mut client = Client::connect(&ensemble.servers[LEADER]);
    let acl = Some(AclList::OPEN);
    let request = CreateRequest { path: "/container".into(), data: Some(b""), acl, flags: 4 };
    assert_eq!(client.call(Opcode::CreateContainer, &request).code(), ErrorCode::Ok);
    for at in OURS {
        let (server, leader) = (&ensemble.servers[at], &ensemble.servers[LEADER]);
        is_unknown(server, leader, Opcode::CreateSession, &Timeout(4_000));
        let request = DeleteRequest { path: "/container".into(), version: -1 };
        is_unknown(server, leader, Opcode::DeleteContainer, &request);
        poison(server, leader);
    }
    client.catch_up();
    client.stat("/container");
    assert_eq!((ensemble.settle(), ensemble.servers[LEADER].pid()), (LEADER, pid), "it lives and leads");
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, 2);
    load.go_on(20);
    history.check(&mut ensemble, load);
    assert_eq!(history.losses(), 0, "nobody has gone meanwhile");
    for server in &ensemble.servers {
        let output = server.output();
        assert!(!output.contains("Severe unrecoverable error"), "{output}");
    }
    assert_no_mismatch(&ensemble.servers);
}

#[test]
fn what_kills_or_commands_a_leader_of_apaches_never_gets_there() {
    sent_through_ours(true);
    sent_through_ours(false);
}
