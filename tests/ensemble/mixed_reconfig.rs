//! Reconfiguration where both kinds are in one ensemble: either kind decides it, follows it, joins and leaves by it.

use crate::cluster::{Cluster, change, members, reconfig, version_of};
use crate::held::patient;
use crate::history::{History, Load};
use crate::mixed::{GENTLY, assert_no_mismatch, java};
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Config};

const LEADER: usize = 3;
const WRITERS: usize = 2;
/// Batches of all writers that are acknowledged between two changes.
const SOME: u64 = 20;

/// Three voters, the third of which leads, and two more to join. `java_ids`: which are Apache's.
fn start(java_ids: &[usize]) -> Cluster {
    start_with(java_ids, |config| config)
}

fn start_with(java_ids: &[usize], settings: impl Fn(Config) -> Config) -> Cluster {
    let command = java();
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut cluster = Cluster::prepare(5, |id, config| {
        let config = settings(config);
        if java_ids.contains(&id) { config.command(&words) } else { config }
    });
    cluster.pause = GENTLY;
    cluster.name_voters(3);
    // With nothing in any log the larger number decides.
    for id in [LEADER, 1] {
        cluster.servers[id - 1].spawn();
    }
    assert_eq!(cluster.leader(), LEADER);
    cluster.servers[1].spawn();
    cluster.await_mode(2, "follower");
    cluster
}

/// All of them show this configuration, and a write through each is seen at each.
fn assert_agreed(cluster: &Cluster, ids: &[usize], text: &str, round: &str) {
    for id in ids {
        assert_eq!(cluster.await_version(*id, version_of(text)), text, "server {id}");
    }
    let mut clients: Vec<Client> = ids.iter().map(|id| Client::connect(&cluster.servers[id - 1])).collect();
    for at in 0..clients.len() {
        let path = clients[at].create(&format!("/{round}-{at}"), b"x", PERSISTENT);
        for client in &mut clients {
            client.catch_up();
            assert_eq!(client.data(&path), b"x");
        }
    }
}

fn reconfigure(java_ids: &[usize]) {
    let mut cluster = start(java_ids);
    let first = cluster.await_version(LEADER, 1);
    assert_agreed(&cluster, &[1, 2, 3], &first, "first");
    let mut history = History::default();
    let load = Load::start_at(&cluster, 0, WRITERS, &[LEADER - 1]);
    load.go_on(SOME);

    // An observer, which then gets a vote; asked at a follower, of the other kind than the leader.
    cluster.start_joiner(4, &[1, 2, 3], "observer");
    let mut root = cluster.root(1);
    let line = cluster.line(4, "observer");
    let text = reconfig(&mut root, Some(&line), None, None, version_of(&first)).expect("an observer joins");
    assert_eq!(members(&text).len(), 4);
    cluster.await_mode(4, "observer");
    assert_agreed(&cluster, &[1, 2, 3, 4], &text, "observer");
    let line = cluster.line(4, "participant");
    let text = reconfig(&mut root, Some(&line), None, None, version_of(&text)).expect("it gets a vote");
    cluster.await_mode(4, "follower");
    assert_agreed(&cluster, &[1, 2, 3, 4], &text, "voter");

    // One of the leader's kind comes, one of the other goes; asked at the leader. Apache's that is sent a snapshot by Apache's
    // under load has a wrong digest: see `synchronisation`.
    let mut load = Some(load);
    if java_ids.contains(&5) {
        load.take().into_iter().for_each(|load| history.check(&mut cluster, load));
    }
    cluster.start_joiner(5, &[1, 2, 3, 4], "participant");
    let load = load.unwrap_or_else(|| Load::start_at(&cluster, 1, WRITERS, &[LEADER - 1]));
    load.go_on(SOME);
    let mut root = cluster.root(LEADER);
    let line = cluster.line(5, "participant");
    let text = reconfig(&mut root, Some(&line), Some("2"), None, version_of(&text)).expect("both");
    assert_eq!(members(&text).len(), 4);
    cluster.servers[1].kill();
    assert_agreed(&cluster, &[1, 3, 4, 5], &text, "replaced");

    assert_eq!(cluster.leader(), LEADER, "nothing of this was the leader's end");
    load.go_on(SOME);
    history.check(&mut cluster, load);
    assert_no_mismatch(cluster.servers.iter().filter(|server| server.is_launched()));
    // Who leads next has it from its own log.
    cluster.servers[LEADER - 1].kill();
    cluster.leader();
    assert_agreed(&cluster, &[1, 4, 5], &text, "next");
}

#[test]
fn ours_leads_and_apaches_join_and_leave() {
    reconfigure(&[1, 2, 4]);
}

#[test]
fn apaches_leads_and_ours_join_and_leave() {
    reconfigure(&[3, 5]);
}

/// The whole membership at once: one comes with a vote and one without, one goes. Asked at a follower, and then at the leader.
fn replace_the_members(java_ids: &[usize]) {
    let mut cluster = start(java_ids);
    let mut history = History::default();
    let load = Load::start_at(&cluster, 0, WRITERS, &[0, LEADER - 1]);
    load.go_on(SOME);
    // Here too: Apache's that is sent a snapshot by Apache's under load has a wrong digest.
    let mut load = Some(load);
    if java_ids.contains(&LEADER) {
        load.take().into_iter().for_each(|load| history.check(&mut cluster, load));
    }
    cluster.start_joiner(4, &[1, 2, 3], "participant");
    cluster.start_joiner(5, &[1, 2, 3], "observer");
    let lines = |cluster: &Cluster, members: &[(usize, &str)]| {
        let lines: Vec<String> = members.iter().map(|(id, role)| cluster.line(*id, role)).collect();
        lines.join(",")
    };
    let wanted = [(1, "participant"), (3, "participant"), (4, "participant"), (5, "observer")];
    let wanted = lines(&cluster, &wanted);
    let mut root = cluster.root(1);
    let text = reconfig(&mut root, None, None, Some(&wanted), -1).expect("a quorum of them follows");
    assert_eq!(members(&text).join(","), wanted);
    cluster.servers[1].kill();
    cluster.await_mode(4, "follower");
    cluster.await_mode(5, "observer");
    assert_agreed(&cluster, &[1, 3, 4, 5], &text, "whole");
    let load = load.unwrap_or_else(|| Load::start_at(&cluster, 1, WRITERS, &[0, LEADER - 1]));
    load.go_on(SOME);

    let wanted = lines(&cluster, &[(1, "participant"), (3, "participant"), (4, "participant")]);
    let mut root = cluster.root(LEADER);
    let text = reconfig(&mut root, None, None, Some(&wanted), version_of(&text)).expect("the same voters");
    assert_eq!(members(&text).join(","), wanted);
    cluster.servers[4].kill();
    assert_eq!(cluster.leader(), LEADER, "nothing of this was the leader's end");
    load.go_on(SOME);
    history.check(&mut cluster, load);
    assert_no_mismatch(cluster.servers.iter().filter(|server| server.is_launched()));
    // Of the three voters that are left, two are enough.
    cluster.servers[LEADER - 1].kill();
    cluster.leader();
    assert_agreed(&cluster, &[1, 4], &text, "left");
}

#[test]
fn ours_leads_and_the_whole_membership_is_replaced() {
    replace_the_members(&[1, 2, 5]);
}

#[test]
fn apaches_leads_and_the_whole_membership_is_replaced() {
    replace_the_members(&[3, 4]);
}

/// The leader is removed under load, and one of the other kind leads.
fn the_other_kind_takes_over(java_ids: &[usize]) {
    let mut cluster = start(java_ids);
    let mut history = History::default();
    // One at each. A server of ours keeps the connections that wait for nothing while the leader changes, so it may be that only
    // the client of the one that is killed feels anything.
    let load = Load::start_at(&cluster, 0, 3, &[0, 1, 2]);
    load.go_on(SOME);
    // Asked at a follower, which stays.
    let text = change(&mut cluster, 1, None, Some(LEADER));
    assert_eq!(members(&text).len(), 2);
    let new = cluster.leader();
    assert_ne!(new, LEADER);
    load.go_on(SOME);
    cluster.servers[LEADER - 1].kill();
    load.go_on(SOME);
    assert_eq!(cluster.leader(), new, "it was of no use to them");
    assert_agreed(&cluster, &[1, 2], &text, "without");
    history.check(&mut cluster, load);
    assert!(history.losses() > 0, "the kill was felt");
    assert_no_mismatch(cluster.servers.iter().filter(|server| server.is_launched()));
    // Neither may be missing now.
    for id in [1, 2] {
        cluster.servers[id - 1].kill();
        cluster.servers[id - 1].restart();
    }
    history.check_again(&mut cluster);
    assert_agreed(&cluster, &[1, 2], &text, "again");
}

#[test]
fn ours_is_removed_and_apaches_lead() {
    the_other_kind_takes_over(&[1, 2]);
}

#[test]
fn apaches_is_removed_and_ours_lead() {
    the_other_kind_takes_over(&[3]);
}

/// A client of ours stays connected while its server leaves a leader of Apache's and comes back to it with another part: that
/// leader takes writes of a session only through the link that vouched for it last.
#[test]
fn a_client_stays_connected_while_its_server_gets_a_vote_under_the_same_leader() {
    let mut cluster = start_with(&[1, 2, 3], patient);
    let first = cluster.await_version(LEADER, 1);
    cluster.start_joiner(4, &[1, 2, 3], "observer");
    let mut root = cluster.root(1);
    let line = cluster.line(4, "observer");
    let text = reconfig(&mut root, Some(&line), None, None, version_of(&first)).expect("an observer joins");
    // Its part changes by it.
    cluster.await_mode(4, "observer");
    cluster.await_version(4, version_of(&text));
    let mut client = Client::connect(&cluster.servers[3]);
    let path = client.create("/mine", b"", EPHEMERAL);
    let line = cluster.line(4, "participant");
    let text = reconfig(&mut root, Some(&line), None, None, version_of(&text)).expect("it gets a vote");
    cluster.await_mode(4, "follower");
    cluster.await_version(4, version_of(&text));
    client.set_data(&path, b"1", 0).expect("over the same connection, and the leader takes it");
    assert_eq!(client.data(&path), b"1");
    client.close();
}
