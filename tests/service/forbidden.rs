//! Where io_uring is forbidden, as in containers: the server says so, runs on epoll, and nobody else can tell.
//!
//! `tests/run` passes the whole of `conformance` that way, too.

use std::fs;

use ringkeeper::wire::ErrorCode;

use crate::support::client::{EPHEMERAL, PERSISTENT, SEQUENTIAL};
use crate::support::wait::until;
use crate::support::{Client, Config, Connect, Ensemble, Server};

/// The program that takes the calls away.
const WITHOUT: [&str; 2] =
    ["python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/without_io_uring.py")];

/// That the filter is there, and what the server made of it.
fn assert_forbidden(server: &Server) {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
    let output = server.output();
    assert!(output.contains("sockets are carried by epoll") && output.contains("seccomp"), "{output}");
}

#[test]
fn a_lone_server_holds_a_whole_conversation() {
    for shards in [1, 2] {
        let mut server = Config::default().set("ringkeeper.shards", shards).under(&WITHOUT).start();
        assert_forbidden(&server);
        let mut client = Client::connect(&server);
        let mut watcher = Client::connect(&server);
        client.create("/a", b"first", PERSISTENT);
        assert_eq!(watcher.get_data("/a", true).expect("it is there").0.as_deref(), Some(&b"first"[..]));
        client.set_data("/a", b"second", 0).expect("version 0");
        assert_eq!(watcher.next_event().path, "/a");
        assert_eq!(client.set_data("/a", b"third", 0), Err(ErrorCode::BadVersion));
        let large = vec![7; 1 << 19];
        client.create("/large", &large, PERSISTENT);
        assert_eq!(watcher.data("/large"), large);
        for number in 0..500 {
            client.create("/a/n", format!("{number}").as_bytes(), SEQUENTIAL);
        }
        client.create("/a/e", b"", EPHEMERAL);
        assert_eq!(watcher.children("/a", false).map(|names| names.len()), Ok(501));
        let (again, zxid) = (Connect::again(&client), client.zxid);
        server.kill();
        server.restart();
        assert_forbidden(&server);
        let mut client = Connect { last_zxid_seen: zxid, ..again }.open(&server);
        assert_eq!(client.children("/a", false).map(|names| names.len()), Ok(501), "acknowledged, so kept");
        assert_eq!(client.stat("/a/e").ephemeral_owner.0, client.session);
        client.close();
        let mut other = Client::connect(&server);
        assert_eq!(other.exists("/a/e", false), Err(ErrorCode::NoNode));
        server.signal("TERM");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.output());
    }
}

#[test]
fn members_find_a_leader_and_replace_it() {
    let mut ensemble = Ensemble::prepare(3, 1, |_, config| config.under(&WITHOUT));
    ensemble.launch_all();
    let leader = ensemble.settle();
    ensemble.servers.iter().for_each(assert_forbidden);
    let mut client = Client::connect(&ensemble.servers[ensemble.follower(leader)]);
    for number in 0..200 {
        client.create(&format!("/n{number}"), b"data", PERSISTENT);
    }
    ensemble.servers[leader].kill();
    let next = ensemble.settle();
    assert_ne!(next, leader);
    let mut client = Client::connect(&ensemble.servers[next]);
    client.create("/after", b"", PERSISTENT);
    ensemble.servers[leader].spawn();
    ensemble.settle();
    let tree = ensemble.assert_equal();
    assert!(tree.contains_key("/after") && tree.contains_key("/n199"));
}

/// Where it is demanded and forbidden, that is said, and what to do.
#[test]
fn a_ring_that_is_demanded_is_missed_in_one_line() {
    let (status, output) = Config::default().set("ringkeeper.io", "uring").under(&WITHOUT).start_in_vain();
    assert_eq!(status.code(), Some(3), "{output}");
    let last = output.lines().last().unwrap_or_default();
    assert!(last.contains("io_uring"), "{output}");
    assert!(!output.contains("panicked"), "{output}");
}

/// The filter itself: without it the very same server has its ring.
#[test]
fn without_the_filter_there_is_a_ring() {
    let server = Server::start();
    let output = until("the ready line", || Some(server.output()).filter(|text| text.contains(" ready on ")));
    assert!(!output.contains("epoll"), "{output}");
}
