//! What can be wrong, and what goes wrong midway: one clear message, an exit status, and what was measured stays.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use crate::run::{Bench, Running, SHORT, a_server, begin, bench, figure, without_json};
use crate::support::{Server, until};

/// Until the server has taken so many packets: the load is under way.
fn wait_for_packets(server: &Server, packets: u64) {
    until("the load to be under way", || {
        let text = server.word("srvr");
        let received = text.lines().find_map(|line| line.strip_prefix("Received: ")?.parse::<u64>().ok())?;
        (received >= packets).then_some(())
    });
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let address: SocketAddr = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap_or_else(|error| panic!("{error}"));
        listener.local_addr().unwrap_or_else(|error| panic!("{error}"))
    };
    for op in ["get", "connect", "watch"] {
        let run = bench(address, &format!("--op {op} {SHORT}"));
        let message = run.refusal();
        assert!(message.contains(&address.to_string()) && message.contains("nobody listens"), "{message}");
    }
    let run = bench(address, "--op get --server no-such-host.invalid:2181");
    assert!(run.refusal().contains("no-such-host.invalid:2181"), "{run:?}");
}

#[test]
fn wrong_options_are_named_and_nothing_is_asked() {
    let server = Server::start();
    let before = figure(&server, "zk_znode_count");
    for (options, named) in [
        ("--opp get", "--opp"),
        ("--op gte", "gte"),
        ("--mix get=1,set", "OP=SHARE"),
        ("--op get --sessions 0", "--sessions must be"),
        ("--op get --rate 0", "--rate must be"),
        ("--op get --bytes 5-1", "ends before"),
        ("", "nothing to do"),
        ("--op get --server-pid 4000000000", "4000000000"),
        ("--op get --csv /nowhere/at/all.csv", "/nowhere/at/all.csv"),
    ] {
        let run = bench(server.address(), options);
        assert_eq!(run.exit, 2, "{options}: {run:?}");
        assert!(run.stderr.contains(named), "{options}: {run:?}");
    }
    assert_eq!(figure(&server, "zk_znode_count"), before);
}

#[test]
fn who_is_refused_is_told_and_who_is_known_may_load() {
    let server = a_server();
    for op in ["get", "connect"] {
        let run = bench(server.address(), &format!("--op {op} --auth nonsense:hunter2 {SHORT}"));
        let message = run.refusal();
        assert!(message.contains("--auth") && message.contains("nonsense"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
        bench(server.address(), &format!("--op {op} --auth digest:user:secret {SHORT}")).result();
    }
}

#[test]
fn a_server_that_dies_midway_leaves_what_was_measured_until_then() {
    for load in [
        "--op get",
        "--op lock --outstanding 1",
        "--op watch",
        "--op connect",
        "--op set --driver uring",
        "--op set --rate 500",
    ] {
        let mut server = a_server();
        let line =
            format!("{load} --keys 50 --sessions 4 --warmup 0 --seconds 60 --csv out.csv --hgrm out.hgrm");
        let running = begin(server.address(), &line);
        wait_for_packets(&server, 500);
        server.kill();
        let run = running.end();
        assert_eq!(run.exit, 3, "{load}: {run:?}");
        let result = run.json();
        let reason = result["partial"].as_str().unwrap_or_else(|| panic!("{load}: not marked: {result}"));
        assert!(result["operations"].as_u64() > Some(0), "{load}: {result}");
        assert!(result["window_seconds"].as_f64() < Some(60.0), "{load}: {result}");
        assert!(run.stderr.contains("measured in part") && run.stderr.contains(reason), "{load}: {run:?}");
        assert!(run.stdout.contains("PARTIAL"), "{load}: {run:?}");
        assert_eq!(
            run.file("out.csv").lines().last(),
            Some(format!("# partial: {reason}").as_str()),
            "{load}"
        );
        assert!(run.file("out.hgrm").starts_with("#[partial: "), "{load}");
    }
}

#[test]
fn of_several_servers_the_others_go_on() {
    let (mut first, second) = (a_server(), a_server());
    bench(second.address(), "--preload 1x50");
    let line =
        format!("--op exists --server {} --keys 50 --sessions 4 --warmup 0 --seconds 2", second.address());
    let running = begin(first.address(), &line);
    wait_for_packets(&first, 500);
    first.kill();
    let run = running.end();
    assert_eq!(run.exit, 1, "it measured all its time, with errors: {run:?}");
    let result = run.json();
    assert!(result["partial"].is_null() && result["sessions_lost"] == 2, "{result}");
    assert!(result["errors"].to_string().contains("connection"), "{result}");
}

#[test]
fn who_interrupts_it_gets_what_was_measured_until_then() {
    let server = a_server();
    for load in ["--op get", "--op lock --outstanding 1", "--op connect", "--op set --driver uring"] {
        let before = server.word("srvr");
        let received = before.lines().find_map(|line| line.strip_prefix("Received: ")?.parse::<u64>().ok());
        let running =
            begin(server.address(), &format!("{load} --keys 50 --sessions 4 --warmup 0 --seconds 60"));
        wait_for_packets(&server, received.unwrap_or(0) + 500);
        interrupted(running, load);
    }
}

/// Nothing comes from it any more that could end a wait.
#[test]
fn who_interrupts_it_gets_the_same_while_the_server_is_silent() {
    for load in ["--op get", "--op lock --outstanding 1", "--op set --rate 500", "--op set --driver uring"] {
        let server = a_server();
        let running =
            begin(server.address(), &format!("{load} --keys 50 --sessions 4 --warmup 0 --seconds 60"));
        wait_for_packets(&server, 500);
        server.signal("STOP");
        interrupted(running, load);
    }
}

fn interrupted(running: Running, load: &str) {
    let pid = running.pid().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status();
    assert!(killed.is_ok_and(|status| status.success()), "kill -INT {pid}");
    let run = running.end_soon();
    assert_eq!(run.exit, 3, "{load}: {run:?}");
    let result = run.json();
    assert_eq!(result["partial"], "stopped by a signal", "{load}: {result}");
    assert!(result["operations"].as_u64() > Some(0), "{load}: {result}");
}

#[test]
fn a_result_for_which_there_is_no_room_is_told_and_shown() {
    let server = a_server();
    // What every Linux has for this purpose: a device that is always full.
    let run = bench(server.address(), &format!("--op get {SHORT} --csv /dev/full --hgrm out.hgrm"));
    assert_eq!(run.exit, 3, "{run:?}");
    assert!(run.stderr.contains("--csv /dev/full") && run.stderr.contains("No space left"), "{run:?}");
    assert!(
        run.json()["replies_total"].as_u64() > Some(0) && run.file("out.hgrm").contains("#[Max"),
        "{run:?}"
    );
    assert!(!run.stdout.contains("\n{"), "the JSON is in its file: {run:?}");
    let run = bench(server.address(), &format!("--op get {SHORT} --json /dev/full"));
    assert!(run.exit == 3 && run.stderr.contains("--json /dev/full"), "{run:?}");
    shows_its_json(&run);
    // Nobody asked for a file of it, and what was asked for can't be had.
    let run = without_json(server.address(), &format!("--op get {SHORT} --csv /dev/full"));
    assert!(run.exit == 3 && run.stderr.contains("--csv /dev/full"), "{run:?}");
    shows_its_json(&run);
}

fn shows_its_json(run: &Bench) {
    let shown = run.stdout.find("\n{").map(|at| serde_json::from_str::<serde_json::Value>(&run.stdout[at..]));
    let shown = shown.unwrap_or_else(|| panic!("{run:?}")).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    assert!(shown["replies_total"].as_u64() > Some(0), "{run:?}");
}
