//! Reconfiguration: servers join, leave and change roles while clients write; what is committed survives restarts.

use std::fs;

use ringkeeper::wire::ErrorCode;
use ringkeeper::wire::client::EventType;

use crate::cluster::{CONFIG, Cluster, change, members, reconfig, version_of};
use crate::history::{History, Load};
use crate::support::client::PERSISTENT;
use crate::support::{Client, until};

const WRITERS: usize = 4;
/// Batches of all writers that are acknowledged between two changes.
const SOME: u64 = 40;

#[test]
fn servers_join_and_leave_under_load() {
    let mut cluster = Cluster::start(3, 4);
    let leader = cluster.leader();
    let first = cluster.await_version(leader, 1);
    assert_eq!(members(&first).len(), 3);
    assert_eq!(version_of(&first) & 0xffff_ffff, 0, "the epoch's: {first}");
    let mut history = History::default();
    let load = Load::start_at(&cluster, 0, WRITERS, &[0, 1, 2]);
    load.go_on(SOME);
    cluster.start_joiner(4, &[1, 2, 3], "participant");
    let mut watcher = Client::connect(&cluster.servers[3]);
    watcher.get_data(CONFIG, true).expect("everybody may read it");
    // Asked at a follower: the leader decides.
    let follower = (1..=3).find(|id| *id != leader).expect("another one");
    let mut root = cluster.root(follower);
    let line = cluster.line(4, "participant");
    let text = reconfig(&mut root, Some(&line), None, None, version_of(&first)).expect("it joins");
    assert_eq!(members(&text).len(), 4);
    assert!(text.contains(&line), "{text}");
    let event = watcher.next_event();
    assert_eq!((event.kind, event.path.as_str()), (EventType::NodeDataChanged, CONFIG));
    for id in 1..=4 {
        assert_eq!(cluster.await_version(id, version_of(&text)), text, "server {id}");
    }
    load.go_on(SOME);
    let text = reconfig(&mut root, None, Some(&follower.to_string()), None, -1).expect("it leaves");
    assert_eq!(members(&text).len(), 3);
    load.go_on(SOME);
    // Whoever left has no vote; of the three two are enough.
    cluster.servers[follower - 1].kill();
    let other = (1..=3).find(|id| ![leader, follower].contains(id)).expect("the third");
    cluster.servers[other - 1].kill();
    until("the joiner and the leader to be a quorum", || {
        let mut client = Client::connect(&cluster.servers[3]);
        client.try_create("/after", b"", PERSISTENT).ok()
    });
    load.go_on(SOME);
    cluster.servers[other - 1].restart();
    load.go_on(SOME);
    history.check(&mut cluster, load);
    assert!(history.losses() > 0, "the kills were felt");
}

/// Whoever leads is removed, or made an observer, while all write: asked of itself and of a follower.
#[test]
fn the_leader_goes_under_load() {
    let mut cluster = Cluster::start(3, 4);
    let mut history = History::default();
    let load = Load::start_at(&cluster, 0, WRITERS, &[0, 1, 2]);
    cluster.start_joiner(4, &[1, 2, 3], "participant");
    let line = cluster.line(4, "participant");
    let leader = cluster.leader();
    change(&mut cluster, leader, Some(&line), None);
    for (is_removed, asks_leader) in [(true, true), (false, true), (true, false), (false, false)] {
        println!("removed: {is_removed}, by its own word: {asks_leader}");
        load.go_on(SOME);
        let old = cluster.leader();
        let asked = if asks_leader { old } else { old % 4 + 1 };
        let text = if is_removed {
            change(&mut cluster, asked, None, Some(old))
        } else {
            let line = cluster.line(old, "observer");
            change(&mut cluster, asked, Some(&line), None)
        };
        cluster.await_mode(old, if is_removed { "follower" } else { "observer" });
        let new = cluster.leader();
        assert_ne!(new, old);
        load.go_on(SOME);
        for id in 1..=4 {
            assert_eq!(cluster.await_version(id, version_of(&text)), text, "server {id}");
        }
        let line = cluster.line(old, "participant");
        let text = change(&mut cluster, new, Some(&line), None);
        assert_eq!(members(&text).len(), 4);
        cluster.await_mode(old, "follower");
        load.go_on(SOME);
    }
    history.check(&mut cluster, load);
    assert!(history.losses() > 0, "the changes of leaders were felt");
    // All of it is on the disks, and so is the configuration.
    for server in &mut cluster.servers {
        server.kill();
    }
    cluster.launch_all();
    history.check_again(&mut cluster);
}

#[test]
fn the_leader_is_removed() {
    let mut cluster = Cluster::start(3, 3);
    let leader = cluster.leader();
    let mut root = cluster.root(leader);
    let text = reconfig(&mut root, None, Some(&leader.to_string()), None, -1).expect("it leaves");
    assert_eq!(members(&text).len(), 2);
    // It goes on without a vote.
    cluster.await_mode(leader, "follower");
    let new = cluster.leader();
    assert_ne!(new, leader);
    assert_eq!(cluster.await_version(leader, version_of(&text)), text);
    cluster.servers[leader - 1].kill();
    let mut client = Client::connect(&cluster.servers[new - 1]);
    client.create("/after", b"", PERSISTENT);
    // Brought back, as a joiner.
    let mut root = cluster.root(new);
    let file = cluster.servers[leader - 1].file("zoo.cfg");
    let kept = fs::read_to_string(&file).expect("a file");
    let kept: Vec<&str> = kept.lines().filter(|line| !line.starts_with("dynamicConfigFile")).collect();
    fs::write(&file, kept.join("\n") + "\n").expect("a file");
    let others: Vec<usize> = (1..=3).filter(|id| *id != leader).collect();
    cluster.start_joiner(leader, &others, "participant");
    let line = cluster.line(leader, "participant");
    let text = reconfig(&mut root, Some(&line), None, None, -1).expect("it is back");
    assert_eq!(members(&text).len(), 3);
}

#[test]
fn roles_change() {
    let mut cluster = Cluster::start(3, 4);
    cluster.start_joiner(4, &[1, 2, 3], "observer");
    let leader = cluster.leader();
    let mut root = cluster.root(leader);
    let observer = cluster.line(4, "observer");
    reconfig(&mut root, Some(&observer), None, None, -1).expect("an observer joins");
    cluster.await_mode(4, "observer");
    let participant = cluster.line(4, "participant");
    let text = reconfig(&mut root, Some(&participant), None, None, -1).expect("it gets a vote");
    cluster.await_mode(4, "follower");
    cluster.await_version(4, version_of(&text));
    // The leader loses his, and another one leads.
    let demoted = cluster.line(leader, "observer");
    let text = reconfig(&mut root, Some(&demoted), None, None, -1).expect("he loses his vote");
    cluster.await_mode(leader, "observer");
    let new = cluster.leader();
    assert_ne!(new, leader);
    for id in 1..=4 {
        assert_eq!(cluster.await_version(id, version_of(&text)), text, "server {id}");
    }
    // The whole at once, without server 4.
    let all: Vec<String> = (1..=3).map(|id| cluster.line(id, "participant")).collect();
    let mut root = cluster.root(new);
    let asked = all.join(",");
    let text = until("a quorum to have the same leader", || {
        match reconfig(&mut root, None, None, Some(&asked), -1) {
            Ok(text) => Some(text),
            Err(ErrorCode::NewConfigNoQuorum) => None,
            Err(error) => panic!("{error:?}"),
        }
    });
    assert_eq!(members(&text).len(), 3);
    cluster.await_mode(leader, "follower");
}

#[test]
fn what_is_committed_survives_restarts() {
    let mut cluster = Cluster::start(3, 4);
    cluster.start_joiner(4, &[1, 2, 3], "participant");
    let leader = cluster.leader();
    let mut root = cluster.root(leader);
    root.create("/kept", b"", PERSISTENT);
    let line = cluster.line(4, "participant");
    let left = (1..=3).find(|id| *id != leader).expect("another one");
    let text = reconfig(&mut root, Some(&line), Some(&left.to_string()), None, -1).expect("both");
    let version = version_of(&text);
    let stay: Vec<usize> = (1..=4).filter(|id| *id != left).collect();
    for id in &stay {
        cluster.await_version(*id, version);
    }
    for server in &mut cluster.servers {
        server.kill();
    }
    for id in &stay {
        let server = &cluster.servers[id - 1];
        let file = server.file(&format!("zoo.cfg.dynamic.{version:x}"));
        let held = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(held.lines().collect::<Vec<_>>(), members(&text));
        let config = fs::read_to_string(server.file("zoo.cfg")).expect("a file");
        assert!(config.ends_with(&format!("dynamicConfigFile={}\n", file.display())), "{config}");
        assert!(!config.contains("server.") && !config.contains("clientPort"), "{config}");
        assert!(server.file("zoo.cfg.bak").exists());
        assert!(!server.file("zoo.cfg.dynamic.next").exists());
    }
    for id in &stay {
        cluster.servers[id - 1].spawn();
    }
    let leader = cluster.leader();
    for id in &stay {
        assert_eq!(cluster.await_version(*id, version), text, "server {id}");
    }
    let mut root = cluster.root(leader);
    root.exists("/kept", false).expect("it was acknowledged");
    // Who was removed is in no list: it can't start as what it was.
    let status = {
        cluster.servers[left - 1].spawn();
        cluster.servers[left - 1].wait_for_exit()
    };
    assert!(!status.success());
    reconfig(&mut root, None, Some("4"), None, version).expect("the version is the one that was kept");
}

#[test]
fn wrong_requests_are_refused_as_zookeeper_refuses_them() {
    use ErrorCode::{BadArguments, BadVersion, MarshallingError, NewConfigNoQuorum, NoAuth};
    let mut cluster = Cluster::start(3, 4);
    let leader = cluster.leader();
    let follower = (1..=3).find(|id| *id != leader).expect("another one");
    let absent = cluster.line(4, "participant");
    let only_absent = format!("{absent},{}", cluster.line(1, "participant"));
    let lines: Vec<String> = (1..=3).map(|id| cluster.line(id, "participant")).collect();
    let address_taken = lines[0].replace("server.1", "server.9");
    for id in [leader, follower] {
        let mut root = cluster.root(id);
        for (joining, leaving, members, version, expected) in [
            (None, None, None, 7, BadVersion),
            (None, Some("1,2"), None, -1, BadArguments),
            (None, Some("one"), None, -1, MarshallingError),
            (Some("server.4"), None, None, -1, BadArguments),
            (Some("server.4=127.0.0.1:1:2"), None, None, -1, BadArguments),
            (Some(address_taken.as_str()), None, None, -1, BadArguments),
            (None, None, Some("tickTime=5"), -1, BadArguments),
            (None, None, Some(only_absent.as_str()), -1, NewConfigNoQuorum),
            (None, Some("2"), Some(""), -1, BadArguments),
        ] {
            let refused = reconfig(&mut root, joining, leaving, members, version);
            assert_eq!(refused, Err(expected), "{joining:?} {leaving:?} {members:?} {version}");
        }
        // Everything else is looked at first.
        let mut nobody = Client::connect(&cluster.servers[id - 1]);
        assert_eq!(reconfig(&mut nobody, None, Some("1,2"), None, -1), Err(BadArguments));
        assert_eq!(reconfig(&mut nobody, None, Some("7"), None, -1), Err(NoAuth));
        assert_eq!(nobody.set_data(CONFIG, b"x", -1), Err(NoAuth));
    }
    // Nothing to change is a change.
    let mut root = cluster.root(follower);
    let text = reconfig(&mut root, None, Some("7"), None, -1).expect("nobody leaves");
    assert_eq!(members(&text), lines);
}
