//! `restore` of a lone server: the body becomes the tree, or nothing changes.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::wire::Opcode;
use ringkeeper::wire::client::SetDataRequest;
use serde_json::json;

use crate::commands::{SUPER, give_root_to_bob};
use crate::start;
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::connect::{Connect, Refusal};
use crate::support::http::{Answer, connect, get, post, request};
use crate::support::tree::tree;
use crate::support::{Client, Config, Ensemble, Server, until};

const AS_SUPER: (&str, &str) = ("Authorization", "digest super:secret");

fn config() -> Config {
    Config::default()
        .set("admin.rateLimiterIntervalInMS", 0)
        .set("DigestAuthenticationProvider.superDigest", SUPER)
}

fn snapshot(port: u16) -> Vec<u8> {
    let taken = request(port, "GET", "/commands/snapshot", &[AS_SUPER]);
    assert_eq!(taken.status, 200, "{}", String::from_utf8_lossy(&taken.body));
    taken.body
}

fn restore(port: u16, body: &[u8]) -> Answer {
    post(port, "/commands/restore", &[AS_SUPER], body).unwrap_or_else(|error| panic!("{error}"))
}

fn restored(port: u16, body: &[u8]) -> i64 {
    let answer = restore(port, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut fields = answer.json();
    let zxid = fields["last_zxid"].take().as_i64().expect("a number");
    assert_eq!(fields, json!({ "last_zxid": null, "command": "restore", "error": null }));
    zxid
}

/// What is left lying about of a restore.
fn leftovers(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(server.data_dir().join("ringkeeper-1")).expect("there");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"));
    let is_of_restore = |name: &String| {
        name.starts_with("restore")
            || name.starts_with("received")
            || name.starts_with("snapshot") && name.ends_with("new")
    };
    names.filter(is_of_restore).collect()
}

#[test]
fn what_was_then_is_so_again_and_goes_on_from_there() {
    for shards in [1, 2] {
        let (mut server, port) = start(config().set("ringkeeper.shards", shards));
        let mut early = Client::connect(&server);
        early.create("/a", b"then", PERSISTENT);
        early.create("/a/e", b"mine", EPHEMERAL);
        for number in 0..300 {
            early.create(&format!("/a/n{number}"), &[7; 500], PERSISTENT);
        }
        let then = tree(&mut early);
        let body = snapshot(port);
        // What comes later is another tree, and another session.
        let mut late = Client::connect(&server);
        late.create("/late", b"", EPHEMERAL);
        late.set_data("/a", b"later", -1).expect("there");
        late.delete("/a/n7", -1).expect("there");
        assert!(late.get_data("/a", true).is_ok());
        let before = server.zxid();

        let zxid = restored(port, &body);
        assert_eq!(zxid, before + 1, "zxids never go back");
        early.assert_closed();
        late.assert_closed();
        // Who has seen all of what came later is let in.
        let mut back = Connect { last_zxid_seen: before, ..Connect::again(&early) }.open(&server);
        assert_eq!(tree(&mut back), then);
        assert!(matches!(Connect::again(&late).try_open(&server), Err(Refusal::Rejected(_))), "expired");
        back.create("/after", b"", PERSISTENT);
        assert_eq!((server.zxid(), leftovers(&server)), (before + 2, vec![]));
        let monitor = get(port, "/commands/monitor").json();
        assert_eq!((&monitor["cnt_restore_time"], &monitor["restore_error_count"]), (&json!(1), &json!(0)));

        // And after a start from the disk.
        back.cut();
        server.kill();
        server.restart();
        let mut again = Connect { last_zxid_seen: before, ..Connect::again(&early) }.open(&server);
        assert_eq!(again.data("/after"), b"");
        again.delete("/after", -1).expect("there");
        let root = |mut tree: crate::support::tree::Tree| {
            // It has had a child more, and lost it.
            tree.remove("/");
            tree
        };
        assert_eq!(root(tree(&mut again)), root(then));
        // Of the session that was restored nobody comes back: its node goes.
        again.close();
        assert!(Client::connect(&server).exists("/a/e", false).is_err());
        // The other way: a snapshot that is further than the server.
        let (other, there) = start(config().set("ringkeeper.shards", shards));
        let newest = snapshot(port);
        let reached = server.zxid();
        assert_eq!(restored(there, &newest), reached);
        assert_eq!(other.zxid(), reached);
        assert_eq!(Client::connect(&other).data("/a"), b"then");
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    let (server, port) = start(config());
    let mut client = Client::connect(&server);
    for number in 0..200 {
        client.create(&format!("/n{number}"), &[7; 100], PERSISTENT);
    }
    let body = snapshot(port);
    client.create("/later", b"", PERSISTENT);
    give_root_to_bob(&mut client);
    let status = |headers: &[(&str, &str)]| {
        let answer =
            post(port, "/commands/restore", headers, &body).unwrap_or_else(|error| panic!("{error}"));
        (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
    };
    for (authorization, expected, error) in [
        ("digest super:wrong", 403, "Not authorized"),
        ("digest ann:pw", 403, "Not authorized"),
        ("foo bar", 401, "Not authenticated"),
    ] {
        assert_eq!(status(&[("Authorization", authorization)]), (expected, error.to_owned()));
    }
    assert_eq!(status(&[]), (401, "Auth info is missing for the command".to_owned()));
    assert_eq!(request(port, "GET", "/commands/restore", &[AS_SUPER]).status, 405);
    let refused = |body: &[u8], words: &str| {
        let answer = restore(port, body);
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 500 && error.contains(words), "{}: {error}", answer.status);
    };
    refused(b"", "the request has no body");
    refused(b"{}", "does not begin like a snapshot");
    for cut in [1, 16, body.len() / 3, body.len() - 1] {
        refused(&body[..cut], "");
    }
    for at in (0..body.len()).step_by(body.len() / 29) {
        let mut damaged = body.clone();
        damaged[at] ^= 4;
        refused(&damaged, "");
    }
    // Who is lost in the middle.
    let mut stream = connect(port).expect("open");
    let head = format!(
        "POST /commands/restore HTTP/1.1\r\nHost: x\r\n{}: {}\r\nContent-Length: {}\r\n\r\n",
        AS_SUPER.0,
        AS_SUPER.1,
        body.len()
    );
    let half = [head.as_bytes(), &body[..body.len() / 2]].concat();
    std::io::Write::write_all(&mut stream, &half).expect("taken");
    until("the body to be received", || (!leftovers(&server).is_empty()).then_some(()));
    let (status, error) = status(&[AS_SUPER]);
    assert_eq!((status, error.as_str()), (429, "another restore is under way"));
    drop(stream);
    until("it to be given up", || leftovers(&server).is_empty().then_some(()));
    until("the line of it", || server.output().contains("the client was lost after").then_some(()));
    // Nobody was even disconnected.
    assert_eq!(client.data("/later"), b"");
    let errors = get(port, "/commands/monitor").json()["restore_error_count"].as_u64();
    assert_eq!(errors, Some(server.output().matches("restore: refused").count() as u64));
    assert_eq!(restored(port, &body), server.zxid());
}

#[test]
fn it_may_be_forbidden_and_not_often() {
    let (server, port) = start(config().set("admin.restore.enabled", false));
    let body = snapshot_of_something(&server, port);
    let bare = |answer: &Answer| (answer.status, answer.json());
    let of = json!({ "command": "restore", "error": null });
    assert_eq!(bare(&restore(port, &body)), (503, of.clone()));
    let (_server, port) = start(config().set("admin.rateLimiterIntervalInMS", 300_000));
    assert_eq!(restore(port, b"no snapshot").status, 500);
    assert_eq!(bare(&restore(port, &body)), (429, of));
    assert_eq!(get(port, "/commands/monitor").json()["restore_rate_limited_count"], 1);
}

fn snapshot_of_something(server: &Server, port: u16) -> Vec<u8> {
    Client::connect(server).create("/a", b"", PERSISTENT);
    snapshot(port)
}

#[test]
fn a_member_is_never_given_a_tree_of_its_own() {
    let ports = std::cell::RefCell::new(vec![]);
    let mut ensemble = Ensemble::prepare(3, 0, |_, config| {
        let (config, port) = crate::with_admin(config.set("DigestAuthenticationProvider.superDigest", SUPER));
        ports.borrow_mut().push(port);
        config
    });
    ensemble.launch_all();
    ensemble.settle();
    for port in ports.into_inner() {
        let answer = until("the member to serve", || {
            let answer = post(port, "/commands/restore", &[AS_SUPER], b"anything").ok()?;
            (answer.status != 200).then_some(answer)
        });
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 409 && error.contains("`ringkeeper snapshot restore`"), "{error}");
    }
}

/// Writes until the connection is closed.
fn write(mut client: Client, number: u64) {
    let path = format!("/w{number}");
    client.create(&path, b"", PERSISTENT);
    loop {
        let set = SetDataRequest { path: path.as_str().into(), data: Some(b"x"), version: -1 };
        if client.try_call(Opcode::SetData, &set).is_none() {
            return;
        }
    }
}

#[test]
fn what_is_under_way_is_not_mixed_in() {
    for shards in [1, 2] {
        let (mut server, port) = start(config().set("ringkeeper.shards", shards).set("snapCount", 1000));
        let mut client = Client::connect(&server);
        client.create("/a", b"then", PERSISTENT);
        let then = tree(&mut client);
        let body = snapshot(port);
        let writers: Vec<_> = (0..6)
            .map(|number| {
                let client = Client::connect(&server);
                thread::spawn(move || write(client, number))
            })
            .collect();
        until("load", || (server.zxid() > 3000).then_some(()));
        let zxid = restored(port, &body);
        writers.into_iter().for_each(|writer| writer.join().expect("closed"));
        let mut back = Connect { last_zxid_seen: zxid, ..Connect::again(&client) }.open(&server);
        assert_eq!(tree(&mut back), then);
        back.cut();
        server.kill();
        server.restart();
        let mut back = Connect { last_zxid_seen: zxid, ..Connect::again(&client) }.open(&server);
        assert_eq!(tree(&mut back), then);
    }
}

/// Two trees that are restored in turn, and the server is killed at some moment of each: it comes up with one of the two.
#[test]
fn killed_in_the_middle_it_has_the_old_tree_or_the_new_one() {
    const ROUNDS: u32 = 16;
    let fill = |name: &str, count: usize| {
        let (server, port) = start(config());
        let mut client = Client::connect(&server);
        client.create("/name", name.as_bytes(), PERSISTENT);
        for number in 0..count {
            client.create(&format!("/{name}{number}"), &[7; 2000], PERSISTENT);
        }
        snapshot(port)
    };
    let trees = [("old", fill("old", 50), 50), ("new", fill("new", 3000), 3000)];
    let (mut server, port) = start(config());
    restored(port, &trees[0].1);
    let begun = Instant::now();
    restored(port, &trees[1].1);
    let whole = begun.elapsed();
    let (mut is, mut changed) = (1, 0);
    for round in 0..ROUNDS {
        let (next, body) = (1 - is, trees[1 - is].1.clone());
        let (sent, done) = mpsc::channel();
        let asking = thread::spawn(move || {
            let _ = sent.send(post(port, "/commands/restore", &[AS_SUPER], &body).is_ok());
        });
        let moment = whole * round / (ROUNDS - 2) + Duration::from_millis(1);
        let is_done = done.recv_timeout(moment) == Ok(true);
        server.kill();
        asking.join().expect("it ends");
        server.restart();
        until("the admin port to be open again", || crate::support::http::try_get(port, "/livez"));
        let mut client = Client::connect(&server);
        let name = client.data("/name");
        let found = trees.iter().position(|(of, ..)| of.as_bytes() == name).expect("one of the two");
        assert!(!is_done || found == next, "it was told that it is restored");
        assert_eq!(client.children("/", false).expect("there").len(), trees[found].2 + 2, "round {round}");
        assert_eq!(leftovers(&server), Vec::<String>::new());
        client.close();
        changed += usize::from(found != is);
        is = found;
    }
    println!("{changed} of {ROUNDS} were restored before the end");
    assert!(changed > 0, "none of {ROUNDS}: they were killed too early");
}
