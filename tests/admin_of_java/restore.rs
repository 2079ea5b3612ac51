//! `restore` of both servers, of snapshots of both.

use std::fs;
use std::path::Path;

use crate::support::client::PERSISTENT;
use crate::support::connect::Connect;
use crate::support::http::{Answer, post, request, try_get};
use crate::support::server::folder;
use crate::support::tree::{Tree, tree};
use crate::support::{Client, Config, Server, until};
use crate::{Lone, apache, assert_same, lone, ours, with_ports};

const AS_SUPER: (&str, &str) = ("Authorization", "digest super:secret");

fn restore(port: u16, body: &[u8]) -> Answer {
    post(port, "/commands/restore", &[AS_SUPER], body).unwrap_or_else(|error| panic!("{error}"))
}

fn snapshot(port: u16) -> Vec<u8> {
    let taken = request(port, "GET", "/commands/snapshot", &[AS_SUPER]);
    assert_eq!(taken.status, 200);
    taken.body
}

/// Without the configuration's node, of which each server has its own.
fn seen(client: &mut Client) -> Tree {
    let mut tree = tree(client);
    tree.remove("/zookeeper/config");
    tree
}

fn status_of(answer: &Answer) -> (u16, Option<String>) {
    (answer.status, answer.json()["error"].as_str().map(str::to_owned))
}

#[test]
fn answers_are_the_same() {
    let (apache, ours) = (lone(&apache()), lone(&ours()));
    let (of_apache, of_ours) = (snapshot(apache.admin), snapshot(ours.admin));
    for authorization in ["foo bar", "digest", "digest a b c"] {
        let asked = |of: &Lone, body: &[u8]| {
            let headers = [("Authorization", authorization)];
            post(of.admin, "/commands/restore", &headers, body).unwrap_or_else(|error| panic!("{error}"))
        };
        assert_same(authorization, &asked(&apache, &of_apache), &asked(&ours, &of_ours));
    }
    // What is no snapshot: Apache's answer tells nothing of why.
    for body in [&b""[..], b"no snapshot", &of_apache[..of_apache.len() / 2]] {
        let (apache, ours) = (restore(apache.admin, body), restore(ours.admin, body));
        assert_eq!((apache.status, ours.status), (500, 500));
        assert!(status_of(&ours).1.is_some(), "{}", ours.text());
    }
    assert_same("restore", &restore(apache.admin, &of_apache), &restore(ours.admin, &of_ours));
    let rest = |of: &Lone, body: &[u8]| {
        post(of.admin, "/commands/rest", &[AS_SUPER], body).unwrap_or_else(|error| panic!("{error}"))
    };
    assert_same("rest", &rest(&apache, &of_apache), &rest(&ours, &of_ours));
}

#[test]
fn a_second_one_is_too_early_for_both() {
    for command in [apache(), ours()] {
        let (config, port, _) = with_ports(Config::default(), &command);
        let _server = config.set("admin.rateLimiterIntervalInMS", 300_000).start();
        until("the admin port", || try_get(port, "/commands"));
        assert_eq!(restore(port, b"no snapshot").status, 500);
        assert_eq!(status_of(&restore(port, b"no snapshot")), (429, None));
    }
    for command in [apache(), ours()] {
        let (config, port, _) = with_ports(Config::default(), &command);
        let forbidden = config.property("zookeeper.admin.restore.enabled", false);
        let _server = forbidden.start();
        until("the admin port", || try_get(port, "/commands"));
        assert_eq!(status_of(&restore(port, b"no snapshot")), (503, None));
    }
}

/// Of Apache's on ours: plain and packed, every node and the session with its ephemeral one.
#[test]
fn apaches_snapshots_are_restored_on_ours() {
    for method in ["", "gz", "snappy"] {
        let (config, port, _) = with_ports(Config::default(), &apache());
        let apache = config.property("zookeeper.snapshot.compression.method", method).start();
        until("the admin port", || try_get(port, "/commands"));
        let mut client = Client::connect(&apache);
        for number in 0..300 {
            client.create(&format!("/n{number}"), format!("{number}").as_bytes(), PERSISTENT);
        }
        client.create("/e", b"", crate::support::client::EPHEMERAL);
        let then = seen(&mut client);
        let body = snapshot(port);
        assert_eq!(body.starts_with(b"ZKSN"), method.is_empty(), "{method}");
        let ours = lone(&ours());
        let answer = restore(ours.admin, &body);
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
        let mut back = Connect::again(&client).open(&ours.server);
        assert_eq!(seen(&mut back), then, "{method}");
        assert!(back.try_create("/a", b"", PERSISTENT).is_ok(), "what was there before is gone");
        back.close();
        assert!(Client::connect(&ours.server).exists("/e", false).is_err());
    }
}

/// Of ours on Apache's, in Apache's format.
#[test]
fn our_snapshots_are_restored_on_apaches() {
    let (config, port, _) = with_ports(Config::default(), &ours());
    let mut ours: Server = config.start();
    until("the admin port", || try_get(port, "/commands"));
    let mut client = Client::connect(&ours);
    for number in 0..300 {
        client.create(&format!("/n{number}"), format!("{number}").as_bytes(), PERSISTENT);
    }
    let then = seen(&mut client);
    // Else all of it would be exported as a log.
    snapshot(port);
    client.cut();
    ours.signal("TERM");
    ours.wait_for_exit();
    let to = folder("exported");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let words = ["snapshot", "export", &text(ours.data_dir()), "--to", &text(&to)];
    let out =
        std::process::Command::new(env!("CARGO_BIN_EXE_ringkeeper")).args(words).output().expect("it runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let entries =
        fs::read_dir(to.join("version-2")).expect("there").map(|entry| entry.expect("there").path());
    let is_snapshot = |path: &std::path::PathBuf| text(path).contains("/snapshot.");
    let newest = entries.filter(is_snapshot).max().expect("a snapshot");
    let apache = lone(&apache());
    let answer = restore(apache.admin, &fs::read(newest).expect("readable"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let restored = seen(&mut Client::connect(&apache.server));
    assert_eq!(restored, then);
}
