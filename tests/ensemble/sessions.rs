//! Sessions belong to the ensemble: they move between servers, and expire once, everywhere.

use std::fs;

use ringkeeper::base::SessionId;
use ringkeeper::tree::password;
use ringkeeper::wire::ErrorCode;
use ringkeeper::wire::client::EventType;

use crate::held::{patient, stay_connected};
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::ensemble::{TICK, move_to};
use crate::support::server::folder;
use crate::support::{Client, Connect, Ensemble, Refusal};

/// Two seconds.
fn short() -> Connect {
    Connect { timeout_ms: i32::try_from(TICK.as_millis()).expect("short") * 4, ..Connect::default() }
}

#[test]
fn a_session_moves_between_servers_with_its_password() {
    let ensemble = Ensemble::start(3, 1);
    let mut client = Client::connect(&ensemble.servers[0]);
    let (session, password) = (client.session, client.password.clone());
    client.create("/mine", b"", EPHEMERAL);
    for at in [1, 2, 3, 0, 2] {
        client = move_to(client, &ensemble.servers[at]);
        assert_eq!((client.session, &client.password), (session, &password), "at server {}", at + 1);
        assert_eq!(client.stat("/mine").ephemeral_owner.0, session);
        client.create(&format!("/by-{}", client.zxid), b"", PERSISTENT);
    }
    // The server it was at before is still asked by an old connection: who came last has the session.
    let mut newest = Connect::again(&client).open(&ensemble.servers[1]);
    newest.set_data("/mine", b"newest", 0).expect("it is the owner");
    // A wrong password is no session's, at any server.
    for server in &ensemble.servers {
        let wrong = Connect { password: Some(vec![7; 16]), ..Connect::again(&newest) };
        assert!(matches!(wrong.try_open(server), Err(Refusal::Rejected(_))));
    }
    assert_eq!(newest.stat("/mine").ephemeral_owner.0, session, "it lives on");
    newest.close();
    // Closed is closed, everywhere, at once.
    for server in &ensemble.servers {
        let gone = Connect { session, password: Some(password.clone()), ..Connect::default() };
        assert!(matches!(gone.try_open(server), Err(Refusal::Rejected(_))));
    }
    let tree = ensemble.assert_equal();
    assert!(!tree.contains_key("/mine"));
}

/// As in ZooKeeper, where the leader looks at who owns a session with each request: an old connection that went on pinging
/// would keep a session alive whose client is gone.
#[test]
fn an_old_connection_at_the_leader_is_closed_when_its_session_moves() {
    let mut ensemble = Ensemble::start(3, 0);
    let leader = ensemble.settle();
    let mut old = Client::connect(&ensemble.servers[leader]);
    old.create("/mine", b"", EPHEMERAL);
    let mut new = Connect::again(&old).open(&ensemble.servers[ensemble.follower(leader)]);
    old.assert_closed();
    assert_eq!(new.stat("/mine").ephemeral_owner.0, new.session);
    let mut back = Connect::again(&new).open(&ensemble.servers[leader]);
    back.set_data("/mine", b"back", 0).expect("it is the owner");
}

/// With a secret of the members' own nobody can compute a password from an id, as anybody can with Apache's.
#[test]
fn passwords_are_made_with_the_members_secret() {
    let secret = folder("secret").join("session-secret");
    fs::write(&secret, "correct horse battery staple\n").expect("room");
    let mut ensemble =
        Ensemble::prepare(3, 0, |_, config| config.set("ringkeeper.sessionSecret", secret.display()));
    ensemble.launch_all();
    let leader = ensemble.settle();
    let mut client = Client::connect(&ensemble.servers[leader]);
    client.create("/mine", b"", EPHEMERAL);
    let apaches = password::of(SessionId(client.session));
    assert_ne!(client.password, apaches);
    for server in &ensemble.servers {
        let forged = Connect { password: Some(apaches.to_vec()), ..Connect::again(&client) };
        assert!(matches!(forged.try_open(server), Err(Refusal::Rejected(_))));
    }
    // It is the same at all of them, and in their next lives.
    client = move_to(client, &ensemble.servers[ensemble.follower(leader)]);
    ensemble.servers[leader].kill();
    ensemble.settle();
    ensemble.servers[leader].restart();
    ensemble.settle();
    client = move_to(client, &ensemble.servers[leader]);
    assert_eq!(client.stat("/mine").ephemeral_owner.0, client.session);
}

#[test]
fn a_session_whose_client_is_gone_expires_once_and_everywhere() {
    let mut ensemble = Ensemble::start(3, 1);
    let leader = ensemble.settle();
    let mut watchers: Vec<Client> = ensemble.servers.iter().map(Client::connect).collect();
    for at in [leader, ensemble.follower(leader), 3] {
        let path = format!("/e{at}");
        let mut owner = short().open(&ensemble.servers[at]);
        assert_eq!(u128::from(owner.timeout_ms.unsigned_abs()), TICK.as_millis() * 4);
        owner.create(&path, b"", EPHEMERAL);
        for watcher in &mut watchers {
            watcher.sync("/");
            watcher.exists(&path, true).expect("it is there");
        }
        let again = Connect::again(&owner);
        let session = owner.session;
        owner.cut();
        let mut zxids = vec![];
        for watcher in &mut watchers {
            let event = watcher.next_event();
            assert_eq!((event.kind, event.path.as_str()), (EventType::NodeDeleted, path.as_str()));
            assert_eq!(watcher.exists(&path, false), Err(ErrorCode::NoNode));
            zxids.push(event.zxid);
        }
        assert!(zxids.iter().all(|zxid| *zxid == zxids[0]), "one transaction ended it: {zxids:x?}");
        for server in &ensemble.servers {
            assert!(matches!(again.try_open(server), Err(Refusal::Rejected(_))));
        }
        let line = format!("session expired session=0x{session:x}");
        let said: usize = ensemble.servers.iter().map(|server| server.output().matches(&line).count()).sum();
        assert_eq!(said, 1, "`{line}` in the servers' output");
    }
}

/// Its pings go to a follower; the leader decides about its end.
#[test]
fn a_session_lives_as_long_as_its_client_pings_at_any_server() {
    let mut ensemble = Ensemble::start(3, 1);
    let leader = ensemble.settle();
    let servers = [leader, ensemble.follower(leader), 3];
    let mut silent = short().open(&ensemble.servers[leader]);
    silent.create("/silent", b"", EPHEMERAL);
    let mut owners: Vec<Client> = servers.iter().map(|at| short().open(&ensemble.servers[*at])).collect();
    for (owner, at) in owners.iter_mut().zip(servers) {
        owner.create(&format!("/e{at}"), b"", EPHEMERAL);
    }
    // Until a session that began earlier has expired, three times.
    for round in 0..3 {
        let mut witness = short().open(&ensemble.servers[leader]);
        let path = witness.create(&format!("/witness-{round}"), b"", EPHEMERAL);
        witness.cut();
        crate::support::until("a silent session to expire", || {
            for owner in &mut owners {
                owner.ping();
            }
            owners[0].exists(&path, false).err()
        });
    }
    assert_eq!(owners[0].exists("/silent", false), Err(ErrorCode::NoNode));
    for (owner, at) in owners.iter_mut().zip(servers) {
        assert_eq!(owner.stat(&format!("/e{at}")).ephemeral_owner.0, owner.session);
    }
}

#[test]
fn who_waits_for_nothing_stays_connected_over_a_change_of_leader() {
    let mut ensemble = Ensemble::prepare(3, 1, |_, config| patient(config));
    ensemble.launch_all();
    let leader = ensemble.settle();
    let at: Vec<usize> = (0..4).filter(|at| *at != leader).collect();
    stay_connected(&mut ensemble, leader, &at);
}
