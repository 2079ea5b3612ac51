//! Members of ours that are killed again and again among Apache's, and whoever dies in the middle of a snapshot.

use crate::held::{patient, stay_connected};
use crate::history::{History, Load};
use crate::mixed::{assert_no_mismatch, make_lead, prepare, prepare_with};
use crate::support::client::PERSISTENT;
use crate::support::{Client, Ensemble, Server, until};

const WRITERS: usize = 4;
const SOME: u64 = 30;
const ROUNDS: u32 = 6;
/// A tree that no socket's buffers hold.
const BIG_NODES: usize = 600;
const BIG_NODE_BYTES: usize = 100_000;

/// Below a leader of Apache's.
#[test]
fn a_follower_of_ours_is_killed_again_and_again() {
    const OURS: usize = 0;
    let mut ensemble = prepare(3, 0, &[2, 3]);
    ensemble.launch_all();
    ensemble.settle();
    let mut history = History::default();
    for round in 0..ROUNDS {
        assert_ne!(ensemble.settle(), OURS, "Apache's have the larger numbers");
        let load = Load::start(&ensemble, round, WRITERS);
        load.go_on(SOME);
        ensemble.servers[OURS].kill();
        load.go_on(SOME);
        if round % 2 == 1 {
            // In the middle of its synchronisation, or right behind it.
            let before = said(&ensemble.servers[OURS], "elected");
            ensemble.servers[OURS].spawn();
            until("it to follow", || (said(&ensemble.servers[OURS], "elected") > before).then_some(()));
            ensemble.servers[OURS].kill();
        }
        ensemble.servers[OURS].restart();
        load.go_on(SOME);
        history.check(&mut ensemble, load);
    }
    assert!(history.losses() > 0, "the kills were felt");
    assert_no_mismatch(&ensemble.servers);
}

/// Above followers of Apache's.
#[test]
fn a_leader_of_ours_is_killed_again_and_again() {
    const OURS: usize = 2;
    let mut ensemble = prepare(3, 0, &[1, 2]);
    ensemble.launch_all();
    let mut history = History::default();
    for round in 0..ROUNDS {
        make_lead(&mut ensemble, OURS);
        let load = Load::start(&ensemble, round, WRITERS);
        load.go_on(SOME);
        ensemble.servers[OURS].kill();
        if round % 2 == 0 {
            ensemble.settle();
            load.go_on(SOME);
        }
        ensemble.servers[OURS].restart();
        ensemble.settle();
        load.go_on(SOME);
        history.check(&mut ensemble, load);
    }
    assert!(history.losses() > 0, "the kills were felt");
    assert_no_mismatch(&ensemble.servers);
}

fn said(server: &Server, words: &str) -> usize {
    server.output().matches(words).count()
}

fn grow(server: &Server) {
    let mut client = Client::connect(server);
    for number in 0..BIG_NODES {
        client.create(&format!("/big-{number}"), &vec![number as u8; BIG_NODE_BYTES], PERSISTENT);
    }
    client.close();
}

/// Starts a learner with nothing, and stops the leader while it sends its snapshot.
fn stop_in_the_middle(ensemble: &mut Ensemble, learner: usize, words: &str, stopped: usize) {
    ensemble.servers[learner].kill();
    ensemble.wipe(learner);
    let before = said(&ensemble.servers[learner], words);
    ensemble.servers[learner].spawn();
    until("the snapshot to begin", || (said(&ensemble.servers[learner], words) > before).then_some(()));
    ensemble.servers[stopped].signal("STOP");
    assert_eq!(ensemble.servers[learner].mode(), None, "it serves nobody yet");
}

/// Whoever dies: Apache's leader, or our learner.
#[test]
fn a_snapshot_of_apaches_leader_ends_in_the_middle() {
    // Apache's have the larger numbers and lead.
    const OURS: usize = 0;
    const SENDS: &str = "the leader sends a snapshot";
    let mut ensemble = prepare(3, 0, &[2, 3]);
    ensemble.launch_all();
    let leader = ensemble.settle();
    grow(&ensemble.servers[leader]);
    let mut history = History::default();
    for (round, leader_dies) in [true, false, true].into_iter().enumerate() {
        let load = Load::start(&ensemble, round as u32, 2);
        load.go_on(SOME);
        history.check(&mut ensemble, load);
        let leader = ensemble.settle();
        assert_ne!(leader, OURS);
        stop_in_the_middle(&mut ensemble, OURS, SENDS, leader);
        let synchronised = said(&ensemble.servers[OURS], "synchronised with the leader");
        let closed =
            format!("server {}: the leader closed the connection in the middle of its snapshot", leader + 1);
        let before = said(&ensemble.servers[OURS], &closed);
        if leader_dies {
            ensemble.servers[leader].kill();
            until("our learner to notice", || {
                (said(&ensemble.servers[OURS], &closed) > before).then_some(())
            });
            assert_eq!(said(&ensemble.servers[OURS], &closed), before + 1, "once");
            assert_eq!(said(&ensemble.servers[OURS], "synchronised with the leader"), synchronised);
            ensemble.servers[leader].spawn();
        } else {
            ensemble.servers[OURS].kill();
            ensemble.servers[leader].signal("CONT");
            ensemble.servers[OURS].spawn();
        }
        ensemble.settle();
        history.check_again(&mut ensemble);
    }
    assert_no_mismatch(&ensemble.servers);
}

/// Whoever dies: Apache's learner, or our leader.
#[test]
fn a_snapshot_for_apaches_learner_ends_in_the_middle() {
    const JAVA: usize = 0;
    const SENDS: &str = "Getting a snapshot from leader";
    const GONE: &str = "the learner has gone in the middle of its snapshot";
    let mut ensemble = prepare(3, 0, &[1]);
    ensemble.launch_all();
    let leader = ensemble.settle();
    grow(&ensemble.servers[leader]);
    let mut history = History::default();
    for (round, leader_dies) in [false, true].into_iter().enumerate() {
        let leader = ensemble.settle();
        assert_ne!(leader, JAVA);
        let load = Load::start(&ensemble, round as u32, 2);
        load.go_on(SOME);
        if leader_dies {
            stop_in_the_middle(&mut ensemble, JAVA, SENDS, leader);
            ensemble.servers[leader].kill();
            ensemble.servers[leader].spawn();
        } else {
            stop_in_the_middle(&mut ensemble, JAVA, SENDS, JAVA);
            load.go_on(SOME);
            assert_eq!(said(&ensemble.servers[leader], GONE), 0, "it may go on");
            ensemble.servers[JAVA].kill();
            until("our leader to notice", || (said(&ensemble.servers[leader], GONE) > 0).then_some(()));
            let told = format!("peer=server {}", JAVA + 1);
            let output = ensemble.servers[leader].output();
            let lines: Vec<&str> = output.lines().filter(|line| line.contains(GONE)).collect();
            assert!(matches!(lines[..], [line] if line.contains(&told)), "{lines:?}");
            load.go_on(SOME);
            ensemble.servers[JAVA].spawn();
        }
        ensemble.settle();
        load.go_on(SOME);
        history.check(&mut ensemble, load);
    }
    assert_no_mismatch(&ensemble.servers);
}

/// Clients of a follower and of an observer of ours stay connected from one leader of Apache's to the next.
#[test]
fn our_clients_stay_connected_over_a_change_of_apache_s_leader() {
    let mut ensemble = prepare_with(3, 1, &[2, 3], patient);
    for theirs in [1, 2] {
        ensemble.servers[theirs].spawn();
    }
    let leader = ensemble.settle_among(&[1, 2]);
    for ours in [0, 3] {
        ensemble.servers[ours].restart();
    }
    stay_connected(&mut ensemble, leader, &[0, 3]);
    assert_ne!(
        ensemble.settle_among(&[0, 3, 3 - leader]),
        0,
        "the one of Apache's that is left has the larger number"
    );
}
