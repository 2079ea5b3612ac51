//! SIGTERM, and starting again.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::wait::{timed, until};
use crate::support::{Client, Config, Connect, Server};

#[test]
fn sigterm_ends_a_server_cleanly_and_it_comes_back_at_once() {
    let mut server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/p", b"", PERSISTENT);
    client.create("/p/e", b"", EPHEMERAL);
    for number in 0..2_000 {
        client.create(&format!("/p/n{number}"), b"some data", PERSISTENT);
    }
    let (zxid, again) = (client.zxid, Connect::again(&client));
    server.signal("TERM");
    let status = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{status}\n{}", server.output());
    client.assert_closed();
    let ((), took) = timed(|| server.restart());
    assert!(took < Duration::from_secs(5), "{took:?} for 2,000 znodes");
    let mut client = Connect { last_zxid_seen: zxid, ..again }.open(&server);
    assert_eq!(client.children("/p", false).map(|names| names.len()), Ok(2_001));
    assert_eq!(client.stat("/p/e").ephemeral_owner.0, client.session);
}

#[test]
fn a_server_that_is_stopped_twice_or_idle_stops_too() {
    for _ in 0..2 {
        let mut server = Server::start();
        server.signal("TERM");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.output());
    }
}

#[test]
fn a_ready_server_says_so_in_one_line() {
    let server = Server::start();
    let output = server.output();
    let ready: Vec<&str> = output.lines().filter(|line| line.contains(" ready on ")).collect();
    assert_eq!(ready.len(), 1, "{output}");
    assert!(ready[0].contains(&format!("127.0.0.1:{}", server.port)), "{output}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let server = Server::start();
    let (status, output) = Config::default().set("clientPort", server.port).start_in_vain();
    assert!(status.code().is_some_and(|code| code != 0), "{status}\n{output}");
    assert!(output.contains(&server.port.to_string()), "{output}");
    assert!(!output.contains("panicked"), "{output}");
}

/// What a server that was killed leaves behind for a moment: a listener that nobody serves.
fn prepare_on_a_held_port() -> (Server, TcpListener) {
    let server = Server::prepare(Config::default());
    let holder = TcpListener::bind(server.address()).unwrap_or_else(|error| panic!("{error}"));
    (server, holder)
}

#[test]
fn a_port_that_is_given_back_soon_is_waited_for() {
    let (mut server, holder) = prepare_on_a_held_port();
    server.spawn();
    until("the server to find its port held", || server.output().contains("trying again").then_some(()));
    assert!(!server.output().contains(" ready on "), "{}", server.output());
    drop(holder);
    server.wait_until_it_serves();
    Client::connect(&server).create("/a", b"", PERSISTENT);
}

#[test]
fn a_port_that_stays_held_ends_the_start_with_what_and_where_and_what_to_do() {
    let (mut server, _holder) = prepare_on_a_held_port();
    server.spawn();
    let status = server.wait_for_exit();
    let output = server.output();
    assert_eq!(status.code(), Some(3), "{output}");
    assert!(output.contains(&server.address().to_string()), "where: {output}");
    let last = output.lines().last().unwrap_or_default().to_lowercase();
    assert!(last.contains("in use"), "what: {output}");
    assert!(last.contains("clientport"), "what to do: {output}");
    assert!(!output.contains(" ready on ") && !output.contains("panicked"), "{output}");
}

#[test]
fn a_second_server_on_the_same_directory_is_refused_and_does_no_harm() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"kept", PERSISTENT);
    let (status, output) = Config::default().data_dir(server.data_dir()).start_in_vain();
    assert!(status.code().is_some_and(|code| code != 0), "{status}\n{output}");
    assert!(
        output.contains(&server.data_dir().display().to_string()),
        "the directory is not named:\n{output}"
    );
    assert!(output.to_lowercase().contains("another"), "the reason is not named:\n{output}");
    assert!(!output.contains("panicked"), "{output}");
    client.create("/b", b"", PERSISTENT);
    drop(client);
    let mut server = server;
    server.kill();
    server.restart();
    assert_eq!(Client::connect(&server).data("/a"), b"kept");
}
