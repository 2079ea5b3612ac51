//! Servers of an ensemble that are killed, silenced, emptied and restarted under load.

use std::time::Duration;

use ringkeeper::wire::ErrorCode;
use ringkeeper::wire::Opcode;
use ringkeeper::wire::client::SetDataRequest;

use crate::history::{History, Load};
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::ensemble::move_to;
use crate::support::{Client, Connect, Ensemble, Message, Server, until};

const WRITERS: usize = 6;
/// Batches of all writers that are acknowledged between two faults.
const SOME: u64 = 80;

#[test]
fn a_killed_leader_takes_nothing_with_it() {
    let mut ensemble = Ensemble::start(3, 1);
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    for _ in 0..4 {
        let leader = ensemble.settle();
        load.go_on(SOME);
        ensemble.servers[leader].kill();
        ensemble.settle();
        load.go_on(SOME);
        ensemble.servers[leader].restart();
    }
    load.go_on(SOME);
    history.check(&mut ensemble, load);
    assert!(history.losses() > 0, "the kills were felt");
}

#[test]
fn sessions_and_their_ephemerals_outlive_the_leader() {
    let mut ensemble = Ensemble::start(3, 1);
    let leader = ensemble.settle();
    let mut owners = vec![];
    for (at, server) in ensemble.servers.iter().enumerate() {
        let mut owner = Client::connect(server);
        owner.create(&format!("/e{at}"), b"", EPHEMERAL);
        owners.push(owner);
    }
    ensemble.servers[leader].kill();
    ensemble.settle();
    let mut alive = vec![];
    for (at, owner) in owners.into_iter().enumerate() {
        let session = owner.session;
        let to = if at == leader { ensemble.follower(leader) } else { at };
        let mut owner = move_to(owner, &ensemble.servers[to]);
        assert_eq!(owner.session, session);
        for other in 0..4 {
            owner.stat(&format!("/e{other}"));
        }
        assert_eq!(owner.stat(&format!("/e{at}")).ephemeral_owner.0, session);
        alive.push(owner);
    }
    for owner in alive {
        owner.close();
    }
    ensemble.servers[leader].restart();
    let tree = ensemble.assert_equal();
    assert!(tree.keys().all(|path| !path.starts_with("/e")), "{:?}", tree.keys());
}

#[test]
fn a_killed_follower_and_then_all_at_once() {
    let mut ensemble = Ensemble::start(3, 1);
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    for at in [0, 1, 2, 3] {
        load.go_on(SOME);
        ensemble.servers[at].kill();
        load.go_on(SOME);
        ensemble.servers[at].restart();
    }
    history.check(&mut ensemble, load);
    for round in 1..4 {
        let load = Load::start(&ensemble, round, WRITERS);
        load.go_on(SOME);
        for server in &mut ensemble.servers {
            server.kill();
        }
        ensemble.launch_all();
        ensemble.settle();
        load.go_on(SOME);
        history.check(&mut ensemble, load);
    }
}

#[test]
fn a_leader_that_was_silent_acknowledges_nothing() {
    let mut ensemble = Ensemble::start(3, 1);
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    for round in 0..2 {
        let old = ensemble.settle();
        load.go_on(SOME);
        let mut client = Client::connect(&ensemble.servers[old]);
        let path = client.create(&format!("/silent-{round}"), b"before", PERSISTENT);
        ensemble.servers[old].signal("STOP");
        // It finds them when it goes on, still sure to lead.
        let set = SetDataRequest { path: path.as_str().into(), data: Some(b"stale"), version: -1 };
        for _ in 0..10 {
            client.send(Opcode::SetData, &set);
        }
        let others: Vec<usize> = (0..4).filter(|at| *at != old).collect();
        let new = ensemble.settle_among(&others);
        assert_ne!(new, old);
        let mut elsewhere = Client::connect(&ensemble.servers[new]);
        let after = elsewhere.set_data(&path, b"after", 0).expect("the new leader decides").mzxid.0;
        load.go_on(SOME);
        ensemble.servers[old].signal("CONT");
        // It takes what waits in its socket before it learns what has happened, and closes the connection, or later, when the
        // new leader decides.
        let data = match client.try_next() {
            None => b"after",
            Some(Message::Reply(reply)) if reply.zxid > after => b"stale",
            Some(told) => panic!("what the old leader has answered: {told:?}"),
        };
        ensemble.settle();
        let mut back = Client::connect(&ensemble.servers[old]);
        back.sync("/");
        assert_eq!(back.data(&path), data);
    }
    history.check(&mut ensemble, load);
}

#[test]
fn a_server_comes_back_with_nothing_or_far_behind() {
    let mut ensemble = Ensemble::prepare(3, 1, |_, config| config.set("snapCount", 2_000));
    ensemble.launch_all();
    ensemble.settle();
    let mut history = History::default();
    for (round, at) in [0, 1, 2, 3].into_iter().enumerate() {
        let round = u32::try_from(round).expect("four");
        let load = Load::start(&ensemble, round, WRITERS);
        load.go_on(SOME);
        // Behind by what was written meanwhile: it gets the difference.
        ensemble.servers[at].kill();
        load.go_on(SOME * 4);
        ensemble.servers[at].restart();
        load.go_on(SOME);
        // With nothing: it gets all.
        ensemble.servers[at].kill();
        ensemble.wipe(at);
        load.go_on(SOME);
        ensemble.servers[at].restart();
        load.go_on(SOME);
        history.check(&mut ensemble, load);
    }
    // What they got is on their disks.
    for server in &mut ensemble.servers {
        server.kill();
    }
    ensemble.launch_all();
    history.check_again(&mut ensemble);
}

#[test]
fn five_servers_are_restarted_one_after_the_other() {
    let mut ensemble = Ensemble::start(5, 1);
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    for at in 0..6 {
        load.go_on(SOME);
        ensemble.servers[at].signal("TERM");
        let status = ensemble.servers[at].wait_for_exit();
        assert!(status.success(), "{status}:\n{}", ensemble.servers[at].output());
        load.go_on(SOME);
        ensemble.servers[at].restart();
    }
    history.check(&mut ensemble, load);
    // Two of five may be away, three may not.
    let first = ensemble.settle();
    ensemble.servers[first].kill();
    let next = ensemble.settle();
    ensemble.servers[next].kill();
    ensemble.settle();
    let load = Load::start_at(&ensemble, 1, WRITERS, &running(&ensemble));
    load.go_on(SOME);
    ensemble.servers[first].restart();
    ensemble.servers[next].restart();
    history.check(&mut ensemble, load);
}

fn running(ensemble: &Ensemble) -> Vec<usize> {
    (0..ensemble.servers.len()).filter(|at| ensemble.servers[*at].is_launched()).collect()
}

/// A minority neither serves nor remembers what it was asked.
#[test]
fn without_a_quorum_nobody_is_served() {
    let mut ensemble = Ensemble::start(3, 0);
    let leader = ensemble.settle();
    let mut client = Client::connect(&ensemble.servers[leader]);
    client.create("/a", b"before", PERSISTENT);
    let again = Connect { last_zxid_seen: client.zxid, ..Connect::again(&client) };
    for at in (0..3).filter(|at| *at != leader) {
        ensemble.servers[at].kill();
    }
    let set = SetDataRequest { path: "/a".into(), data: Some(b"alone"), version: 0 };
    let told = client.try_call(Opcode::SetData, &set);
    assert_eq!(told, None, "nobody else has it");
    until("the leader to give up", || ensemble.servers[leader].mode().is_none().then_some(()));
    assert!(again.open_within(ensemble.servers[leader].address(), Duration::from_secs(2)).is_err());
    ensemble.servers[leader].kill();
    // The two others have a quorum without it, and know nothing of the write.
    let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    for at in &others {
        ensemble.servers[*at].spawn();
    }
    ensemble.settle_among(&others);
    let mut client = again.open(&ensemble.servers[others[0]]);
    assert_eq!(client.data("/a"), b"before");
    client.set_data("/a", b"after", 0).expect("the version is as before");
    assert_eq!(client.set_data("/a", b"more", 0), Err(ErrorCode::BadVersion));
    // It comes back with what was never acknowledged, and has to drop it.
    ensemble.servers[leader].restart();
    ensemble.settle();
    let mut back = Client::connect(&ensemble.servers[leader]);
    back.sync("/");
    assert_eq!(back.data("/a"), b"after");
    client.close();
    drop(back);
    let tree = ensemble.assert_equal();
    assert_eq!(tree["/a"].stat[5], 1, "one set");
    let text = Server::output(&ensemble.servers[leader]);
    assert!(
        text.contains("the log is cut") || text.contains("the leader sends a snapshot"),
        "it had logged the write:\n{text}"
    );
}
