//! Sessions of one server alone (`localSessionsEnabled`), and how they become the ensemble's.

use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{CreateRequest, DeleteRequest, MultiOp, MultiResult, MultiResults};
use ringkeeper::wire::{AclList, Encode, ErrorCode, Opcode};

use crate::support::client::{EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT};
use crate::support::ensemble::{TICK, move_to};
use crate::support::{Client, Connect, Ensemble, Refusal, until};

fn start(upgrading: bool) -> (Ensemble, [usize; 3]) {
    let mut ensemble = Ensemble::prepare(3, 1, |_, config| {
        config.set("localSessionsEnabled", true).set("localSessionsUpgradingEnabled", upgrading)
    });
    ensemble.launch_all();
    let leader = ensemble.settle();
    let servers = [leader, ensemble.follower(leader), 3];
    (ensemble, servers)
}

fn creation(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest { path: path.into(), data: Some(b""), acl: Some(AclList::OPEN), flags }
}

struct Operations<'a>(Vec<MultiOp<'a>>);

impl Encode for Operations<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(out, self.0.iter().copied());
    }
}

/// The leader, a follower and an observer: a session costs nobody anything, and nobody else knows it.
#[test]
fn a_local_session_lives_at_its_server_alone() {
    let (ensemble, servers) = start(false);
    for at in servers {
        let server = &ensemble.servers[at];
        // What was written elsewhere is here.
        let mut client = Client::connect(server);
        client.sync("/");
        client.close();
        let zxid = server.zxid();
        let mut client = Client::connect(server);
        assert_eq!(client.session as u64 >> 56, at as u64 + 1);
        client.ping();
        assert!(server.word("mntr").contains("zk_local_sessions\t1\n"));
        let mut again = Connect::again(&client).open(server);
        client.assert_closed();
        let wrong = Connect { password: Some(vec![7; 16]), ..Connect::again(&again) };
        assert!(matches!(wrong.try_open(server), Err(Refusal::Rejected(_))));
        for other in servers.into_iter().filter(|other| *other != at) {
            let elsewhere = Connect::again(&again);
            let refusal = elsewhere.try_open(&ensemble.servers[other]);
            assert!(matches!(refusal, Err(Refusal::Rejected(_))), "at server {}", other + 1);
        }
        assert_eq!(server.zxid(), zxid, "nothing of it is logged");
        // What it writes is the ensemble's.
        let path = format!("/of-{at}");
        again.create(&path, b"data", PERSISTENT);
        again.set_data(&path, b"more", 0).expect("nobody else writes");
        again.sync("/");
        assert_eq!(again.data(&path), b"more");
        // Sent together, answered in order; the end comes behind all of it.
        let mut bytes = vec![];
        let mut xids = vec![];
        for request in [
            again.request(Opcode::Create, &creation(&format!("{path}/a"), PERSISTENT)),
            again.request(Opcode::Sync, &ringkeeper::wire::client::SyncRequest { path: Some("/".into()) }),
            again.request(Opcode::Delete, &DeleteRequest { path: path.as_str().into(), version: 1 }),
            again.request(Opcode::CloseSession, &()),
        ] {
            xids.push(request.0);
            bytes.extend(request.1);
        }
        let gone = Connect::again(&again);
        again.send_bytes(&bytes);
        let codes = [ErrorCode::Ok, ErrorCode::Ok, ErrorCode::NotEmpty, ErrorCode::Ok];
        for (xid, code) in xids.into_iter().zip(codes) {
            let reply = again.next_reply();
            assert_eq!((reply.xid, reply.code()), (xid, code), "at server {}", at + 1);
        }
        again.assert_closed();
        assert!(matches!(gone.try_open(server), Err(Refusal::Rejected(_))));
    }
}

#[test]
fn without_upgrading_it_owns_no_ephemeral() {
    let (ensemble, servers) = start(false);
    for at in servers {
        let mut client = Client::connect(&ensemble.servers[at]);
        let path = format!("/e{at}");
        for flags in [EPHEMERAL, EPHEMERAL_SEQUENTIAL] {
            let refused = client.try_create(&path, b"", flags);
            assert_eq!(refused, Err(ErrorCode::EphemeralOnLocalSession), "at server {}", at + 1);
        }
        let operations = Operations(vec![
            MultiOp::Create(creation("/p", PERSISTENT)),
            MultiOp::Create2(creation(&path, EPHEMERAL)),
        ]);
        let reply = client.call(Opcode::Multi, &operations);
        let results: Vec<MultiResult<'_>> = reply.record::<MultiResults<'_>>().iter().collect();
        let expected = [ErrorCode::Ok, ErrorCode::EphemeralOnLocalSession].map(MultiResult::Error);
        assert_eq!(results, expected, "at server {}", at + 1);
        assert_eq!(client.exists("/p", false), Err(ErrorCode::NoNode));
        client.create(&format!("/p{at}"), b"", PERSISTENT);
        client.close();
    }
}

#[test]
fn it_expires_at_its_server() {
    let (ensemble, servers) = start(false);
    let short = Connect { timeout_ms: TICK.as_millis() as i32 * 4, ..Connect::default() };
    for at in servers {
        let server = &ensemble.servers[at];
        let (silent, mut alive) = (short.open(server), short.open(server));
        let zxid = server.zxid();
        let again = Connect::again(&silent);
        silent.cut();
        let line = format!("local session expired session=0x{:x}", again.session);
        until("a silent session to expire", || {
            alive.ping();
            server.output().contains(&line).then_some(())
        });
        assert!(matches!(again.try_open(server), Err(Refusal::Rejected(_))));
        assert_eq!(server.zxid(), zxid, "nobody else was asked");
        alive.close();
    }
}

#[test]
fn an_ephemeral_makes_it_a_session_of_the_ensemble() {
    let (ensemble, servers) = start(true);
    let mut watcher = Client::connect(&ensemble.servers[servers[0]]);
    for (at, in_multi) in servers.into_iter().flat_map(|at| [(at, false), (at, true)]) {
        let mut client = Client::connect(&ensemble.servers[at]);
        let (session, password) = (client.session, client.password.clone());
        let path = format!("/e{at}-{in_multi}");
        client.create(&format!("{path}-plain"), b"", PERSISTENT);
        if in_multi {
            let operations = Operations(vec![MultiOp::Create(creation(&path, EPHEMERAL))]);
            let reply = client.call(Opcode::Multi, &operations);
            let results: Vec<MultiResult<'_>> = reply.record::<MultiResults<'_>>().iter().collect();
            assert!(matches!(results[..], [MultiResult::Create { .. }]), "at server {}: {results:?}", at + 1);
        } else {
            // Another one right behind the first.
            let first = client.send(Opcode::Create, &creation(&path, EPHEMERAL));
            let more = client.send(Opcode::Create2, &creation(&format!("{path}-too"), EPHEMERAL));
            for xid in [first, more] {
                let reply = client.next_reply();
                assert_eq!((reply.xid, reply.code()), (xid, ErrorCode::Ok), "at server {}", at + 1);
            }
        }
        assert_eq!(client.stat(&path).ephemeral_owner.0, session);
        // By now it goes anywhere.
        for server in &ensemble.servers {
            client = move_to(client, server);
            assert_eq!((client.session, &client.password), (session, &password));
            assert_eq!(client.stat(&path).ephemeral_owner.0, session);
        }
        watcher.sync("/");
        watcher.exists(&path, true).expect("it is everywhere");
        client.close();
        assert_eq!(watcher.next_event().path, path);
    }
}

/// Its end is decided by the leader as any session's; pings through a learner keep it alive.
#[test]
fn an_upgraded_session_lives_by_its_pings_and_expires_everywhere() {
    let (ensemble, servers) = start(true);
    let short = Connect { timeout_ms: TICK.as_millis() as i32 * 4, ..Connect::default() };
    for at in servers {
        let server = &ensemble.servers[at];
        let (mut silent, mut alive) = (short.open(server), short.open(server));
        silent.create("/silent", b"", EPHEMERAL);
        alive.create("/alive", b"", EPHEMERAL);
        let again = Connect::again(&silent);
        silent.cut();
        until("a silent session to expire", || {
            alive.ping();
            alive.exists("/silent", false).err()
        });
        assert_eq!(alive.stat("/alive").ephemeral_owner.0, alive.session);
        for server in &ensemble.servers {
            assert!(matches!(again.try_open(server), Err(Refusal::Rejected(_))));
        }
        alive.close();
    }
}

/// A role ends, and its local sessions with it; those of the ensemble go on.
#[test]
fn a_new_leader_ends_local_sessions_and_no_others() {
    let (mut ensemble, [leader, follower, observer]) = start(true);
    let mut local = Client::connect(&ensemble.servers[follower]);
    local.ping();
    let mut global = Client::connect(&ensemble.servers[observer]);
    global.create("/mine", b"", EPHEMERAL);
    ensemble.servers[leader].kill();
    let running: Vec<usize> = (0..4).filter(|at| *at != leader).collect();
    until("another one to lead", || {
        running.iter().any(|at| ensemble.servers[*at].mode().as_deref() == Some("leader")).then_some(())
    });
    ensemble.settle_among(&running);
    assert!(matches!(
        Connect::again(&local).try_open(&ensemble.servers[follower]),
        Err(Refusal::Rejected(_))
    ));
    let mut global = move_to(global, &ensemble.servers[follower]);
    assert_eq!(global.stat("/mine").ephemeral_owner.0, global.session);
    global.close();
}
