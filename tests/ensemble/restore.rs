//! A backup of an ensemble, restored: on every voter before any starts, as `snapshot restore` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{CONFIG, Cluster, SUPER_DIGEST, members, reconfig};
use crate::support::client::PERSISTENT;
use crate::support::connect::Connect;
use crate::support::server::{folder, free_port};
use crate::support::{Client, Config, Ensemble, Server, until};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn ringkeeper(words: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_ringkeeper")).args(words).output().expect("it runs");
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

/// What `snapshot restore` makes, and what it says.
fn restore(from: &Path, words: &[&str]) -> (PathBuf, String) {
    let to = folder("restored");
    let said =
        ringkeeper(&[&["snapshot", "restore", "--from", text(from), "--to", text(&to)], words].concat());
    (to, said)
}

/// Into the directory of a server that has nothing but its number.
fn copy(restored: &Path, server: &Server) {
    let (from, to) = (restored.join("ringkeeper-1"), server.data_dir().join("ringkeeper-1"));
    fs::create_dir(&to).expect("nothing there");
    for entry in fs::read_dir(from).expect("there") {
        let path = entry.expect("readable").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("room");
    }
}

fn write(client: &mut Client, prefix: &str, count: u32) {
    for number in 0..count {
        client.create(&format!("/{prefix}-{number}"), b"data", PERSISTENT);
    }
}

/// A new ensemble of three on copies, which elects and serves.
fn start_on(restored: &Path) -> Ensemble {
    let mut ensemble = Ensemble::prepare(3, 0, |_, config| config);
    for server in &ensemble.servers {
        copy(restored, server);
    }
    ensemble.launch_all();
    ensemble.settle();
    ensemble
}

#[test]
fn an_ensemble_starts_on_copies_of_what_one_of_its_servers_had_up_to_a_zxid() {
    let mut before = Ensemble::start(3, 0);
    let leader = before.settle();
    let mut client = Client::connect(&before.servers[leader]);
    write(&mut client, "first", 50);
    // Another epoch.
    client.cut();
    before.servers[leader].kill();
    let leader = before.settle();
    let mut client = Client::connect(&before.servers[leader]);
    write(&mut client, "second", 50);
    client.delete("/first-7", -1).expect("there");
    client.close();
    // What reads it ends with sessions of its own, which are no part of what is read.
    let then = before.assert_equal();
    let zxid = before.servers[leader].zxid();
    let mut client = Client::connect(&before.servers[leader]);
    write(&mut client, "lost", 20);
    let seen = client.zxid;
    client.cut();
    for server in &mut before.servers {
        server.kill();
    }
    let until_zxid = format!("{zxid:#x}");
    let (restored, said) = restore(before.servers[leader].data_dir(), &["--until-zxid", &until_zxid]);
    assert!(said.contains("accepted epoch 2, current epoch 2"), "{said}");
    let mut after = start_on(&restored);
    assert_eq!(after.assert_equal(), then);
    // A history of its own, which the clients of before can't mistake for theirs: it is of a later epoch.
    let leader = after.settle();
    let mut client = Client::connect(&after.servers[leader]);
    write(&mut client, "after", 20);
    assert!(client.zxid >> 32 == 3 && client.zxid > seen, "{:#x}", client.zxid);
    let again = Connect { last_zxid_seen: seen, ..Connect::default() };
    again.open(&after.servers[leader]).close();
    // Crashes change nothing of that.
    after.servers[leader].kill();
    after.settle();
    after.servers[leader].spawn();
    after.settle();
    let now = after.assert_equal();
    assert!(now.contains_key("/after-19") && !now.contains_key("/lost-0"), "{:?}", now.keys());
}

#[test]
fn an_online_backup_of_a_member_becomes_an_ensemble_or_a_server_alone() {
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let mut before = Ensemble::prepare(3, 0, |id, config| {
        config
            .set("admin.enableServer", true)
            .set("admin.serverAddress", "127.0.0.1")
            .set("admin.serverPort", ports[id - 1])
            .set("DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
    });
    before.launch_all();
    let leader = before.settle();
    let follower = before.follower(leader);
    let mut client = Client::connect(&before.servers[follower]);
    write(&mut client, "n", 100);
    client.close();
    let then = before.assert_equal();
    let to = folder("backup");
    let admin = format!("http://127.0.0.1:{}", ports[follower]);
    let words = ["backup", "--to", text(&to), "--admin", &admin, "--auth", "digest:super:secret"];
    let said = ringkeeper(&words);
    assert!(said.contains(" verified"), "{said}");
    let file = fs::read_dir(&to).expect("there").next().expect("a file").expect("readable").path();
    drop(before);
    let (restored, said) = restore(&file, &[]);
    assert!(said.contains("accepted epoch 1, current epoch 1"), "{said}");
    let after = start_on(&restored);
    assert_eq!(after.assert_equal(), then);
    drop(after);
    // The same directory, alone; and from there to an ensemble again.
    let mut alone = Config::default().data_dir(&restored).start();
    let mut client = Client::connect(&alone);
    write(&mut client, "alone", 10);
    client.close();
    alone.kill();
    let (restored, _) = restore(&restored, &[]);
    let after = start_on(&restored);
    let now = after.assert_equal();
    assert!(then.keys().all(|path| now.contains_key(path)) && now.contains_key("/alone-9"));
}

#[test]
fn a_server_that_was_always_alone_becomes_an_ensemble() {
    let mut alone = Config::default().start();
    let mut client = Client::connect(&alone);
    write(&mut client, "n", 50);
    client.close();
    alone.kill();
    let (restored, said) = restore(alone.data_dir(), &[]);
    assert!(!said.contains("epoch"), "it has promised nothing: {said}");
    let after = start_on(&restored);
    assert!(after.assert_equal().contains_key("/n-49"));
}

/// The log holds a committed configuration of four voters, two of which will never be back: it must not be waited for.
#[test]
fn voters_that_are_gone_are_forgotten() {
    let mut before = Cluster::start(3, 4);
    let leader = before.leader();
    write(&mut Client::connect(&before.servers[leader - 1]), "n", 20);
    before.start_joiner(4, &[1, 2, 3], "participant");
    let mut root = before.root(leader);
    let line = before.line(4, "participant");
    let config = reconfig(&mut root, Some(&line), None, None, -1).expect("it joins");
    assert_eq!(members(&config).len(), 4);
    write(&mut Client::connect(&before.servers[leader - 1]), "m", 20);
    let data_dir = before.servers[leader - 1].data_dir().to_owned();
    for server in &mut before.servers {
        server.kill();
    }
    let (restored, _) = restore(&data_dir, &[]);
    // Other hosts, another number of them, reconfiguration enabled as before.
    let mut after = Cluster::prepare(3, |_, config| config);
    after.name_voters(3);
    for server in &mut after.servers {
        copy(&restored, server);
        server.spawn();
    }
    let leader = after.leader();
    let mut client = Client::connect(&after.servers[leader - 1]);
    assert_eq!(client.data("/n-19"), b"data");
    assert_eq!(client.data("/m-19"), b"data");
    client.create("/after", b"", PERSISTENT);
    let shown = String::from_utf8(client.data(CONFIG)).expect("text");
    assert_eq!(members(&shown).len(), 3, "{shown}");
    assert!((1..=3).all(|id| shown.contains(&after.line(id, "participant"))), "{shown}");
    // And it can be changed again.
    let removed = (1..=3).find(|id| *id != leader).expect("a follower");
    let mut root = after.root(leader);
    let text = until("the configuration to be changed", || {
        reconfig(&mut root, None, Some(&removed.to_string()), None, -1).ok()
    });
    assert_eq!(members(&text).len(), 2, "{text}");
}
