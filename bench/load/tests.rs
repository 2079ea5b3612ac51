//! The generator against the floor: real sockets, both drivers, both loops, and servers which misbehave.

use crate::bench::arguments::{Arguments, WaitArguments};
use crate::bench::{floor, run, run::Outcome};
use crate::io::testing::Unheard;
use clap::Parser;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::mpsc;

/// A directory of this test's own, removed when the test ends well.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target").join(format!("load-test-{name}"));
        std::fs::create_dir_all(&path).expect("target is writable");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A floor that serves until the test process ends.
fn floor(scratch: &Scratch) -> SocketAddr {
    let options = floor::Options {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        file: scratch.0.join("log"),
        file_bytes: 1 << 20,
        data_bytes: 100,
    };
    let (send, receive) = mpsc::channel();
    std::thread::Builder::new()
        .name("floor".to_owned())
        .spawn(move || floor::serve(&options, |address| send.send(address).expect("the test waits")))
        .expect("a thread");
    receive.recv().expect("the floor starts")
}

fn load(server: SocketAddr, scratch: &Scratch, line: &str) -> (Result<Outcome, String>, serde_json::Value) {
    let json = scratch.0.join("result.json");
    let line = format!("ringkeeper-load --server {server} --json {} {line}", json.display());
    let arguments = Arguments::try_parse_from(line.split_ascii_whitespace()).expect("right arguments").load;
    let result = run::run(&arguments, None);
    let text = std::fs::read_to_string(&json).unwrap_or_else(|_| "null".to_owned());
    (result, serde_json::from_str(&text).expect("the generator writes JSON"))
}

#[test]
fn every_operation_by_every_driver_is_measured_without_error() {
    let scratch = Scratch::new("drivers");
    let server = floor(&scratch);
    for op in ["get", "set", "create", "mixed:0.5", "exists", "getChildren", "delete"] {
        for driver in ["poll", "uring"] {
            let line = format!(
                "--op {op} --driver {driver} --sessions 3 --outstanding 5 --keys 20 --warmup 0.05 --seconds 0.3"
            );
            let (result, json) = load(server, &scratch, &line);
            assert_eq!(result, Ok(Outcome::default()), "{line}");
            assert!(json["replies_total"].as_u64().expect("a count") > 0, "{json}");
            let series: u64 = json["series_100ms"]["replies"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(|n| n.as_u64())
                .sum();
            assert_eq!(json["operations"].as_u64(), Some(series), "{json}");
            assert_eq!(json["errors"], serde_json::json!({}));
        }
    }
}

#[test]
fn an_open_loop_measures_what_it_planned() {
    let scratch = Scratch::new("open");
    let server = floor(&scratch);
    let pid = std::process::id();
    let line = format!("--op set --rate 2000 --sessions 4 --warmup 0.1 --seconds 0.5 --server-pid {pid}");
    let (result, json) = load(server, &scratch, &line);
    assert_eq!(result, Ok(Outcome::default()));
    assert_eq!(json["operations"], 1000, "{json}");
    assert_eq!(json["sent_late"]["count"], 1000, "{json}");
    assert!(json["server"]["resident_anonymous_bytes"].as_u64().expect("bytes") > 0, "{json}");
}

#[test]
fn a_tree_is_made_and_a_waiter_is_answered() {
    let scratch = Scratch::new("tree");
    let server = floor(&scratch);
    let (result, json) = load(server, &scratch, "--preload 3x700");
    assert_eq!((result, json), (Ok(Outcome::default()), serde_json::Value::Null));
    let wait = WaitArguments { server: server.to_string(), path: "/".to_owned(), seconds: 5.0 };
    assert_eq!(run::wait(&wait), Ok(()));
}

#[test]
fn another_data_size_than_announced_is_an_error() {
    let scratch = Scratch::new("size");
    let server = floor(&scratch);
    let (result, json) =
        load(server, &scratch, "--op get --bytes 99 --sessions 1 --keys 5 --warmup 0 --seconds 0.2");
    let outcome = result.expect("it ran");
    assert!(outcome.errors > 0 && outcome.partial.is_none(), "{outcome:?}");
    assert!(json["errors"].to_string().contains("wrong length"), "{json}");
}

/// A server that opens sessions, answers nothing else, and hangs up on its first two clients after 100 bytes.
fn server_that_hangs_up() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::Builder::new()
        .name("hangs up".to_owned())
        .spawn(move || {
            let mut clients = Vec::new();
            for stream in listener.incoming().take(2) {
                let mut stream = stream.expect("a client");
                let mut connect = [0; 49];
                stream.read_exact(&mut connect).expect("a connect request");
                let mut answer = [0; 41];
                answer[3] = 37;
                answer[11] = 200;
                answer[23] = 16;
                stream.write_all(&answer).expect("the client reads");
                clients.push(stream);
            }
            for mut client in clients {
                client.read_exact(&mut [0; 100]).expect("requests");
            }
        })
        .expect("a thread");
    address
}

#[test]
fn a_connection_that_breaks_is_an_error_and_the_run_ends() {
    for driver in ["poll", "uring"] {
        let scratch = Scratch::new(&format!("breaks-{driver}"));
        let server = server_that_hangs_up();
        let line = format!("--op get --keys-exist --driver {driver} --sessions 2 --warmup 0 --seconds 2");
        let (result, json) = load(server, &scratch, &line);
        let outcome = result.expect("it ran");
        assert!(outcome.errors > 0 && outcome.partial.is_some(), "{outcome:?}");
        assert_eq!(
            (json["partial"].as_str(), &json["sessions_lost"]),
            (outcome.partial.as_deref(), &2.into())
        );
        let errors = json["errors"].to_string();
        assert!(errors.contains("connection") && errors.contains("\"unanswered\":32"), "{errors}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let scratch = Scratch::new("absent");
    let unheard = Unheard::new();
    let address = unheard.address();
    let (result, _) = load(address, &scratch, "--op get");
    let error = result.expect_err("nobody listens");
    assert!(error.contains(&address.to_string()) && error.contains("nobody listens"), "{error}");
    let wait = WaitArguments { server: address.to_string(), path: "/".to_owned(), seconds: 0.01 };
    assert!(run::wait(&wait).expect_err("nobody listens").contains("no answer"));
}

#[test]
fn sessions_go_to_several_servers_in_turn() {
    let scratch = Scratch::new("several");
    let first = floor(&scratch);
    let line = "--op get --sessions 5 --keys-exist --outstanding 2 --keys 20 --warmup 0.05 --seconds 0.2";
    // The floor answers whoever asks, so a server that refuses shows where the second session went.
    let unheard = Unheard::new();
    let refusing = unheard.address();
    let (result, _) = load(first, &scratch, &format!("--server {refusing} {line}"));
    let error = result.expect_err("nobody listens at the second address");
    // They dial at once: whichever is refused first is told.
    let is_of_second = ["session 2 of 5", "session 4 of 5"].iter().any(|session| error.contains(session));
    assert!(is_of_second && error.contains(&refusing.to_string()), "{error}");

    let (result, json) = load(first, &scratch, &format!("--server {first},{first} {line}"));
    assert_eq!(result, Ok(Outcome::default()), "{json}");
}

#[test]
fn processor_time_is_told_for_each_server() {
    let scratch = Scratch::new("each");
    let server = floor(&scratch);
    let pid = std::process::id();
    let line = format!("--op get --keys 20 --warmup 0 --seconds 0.3 --server-pid {pid} --server-pid {pid}");
    let (result, json) = load(server, &scratch, &line);
    assert_eq!(result, Ok(Outcome::default()), "{json}");
    let each: Vec<f64> = json["server"]["cpu_seconds_each"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|seconds| seconds.as_f64())
        .collect();
    assert_eq!(each.len(), 2, "{json}");
    assert!(each[0] > 0.0, "generator and floor are this process: {json}");
    let sum = json["server"]["cpu_seconds"].as_f64().expect("a number");
    assert!((each.iter().sum::<f64>() - sum).abs() < 1e-9, "{json}");
}

#[test]
fn results_are_written_in_every_form() {
    let scratch = Scratch::new("forms");
    let server = floor(&scratch);
    let (csv, hgrm) = (scratch.0.join("out.csv"), scratch.0.join("out.hgrm"));
    let line = format!(
        "--mix get=1,set=1 --distribution zipf --sessions 2 --keys 20 --warmup 0 --seconds 0.4 --csv {} --hgrm {}",
        csv.display(),
        hgrm.display()
    );
    let (result, json) = load(server, &scratch, &line);
    assert_eq!(result, Ok(Outcome::default()), "{json}");
    let read = |name: &str| std::fs::read_to_string(scratch.0.join(name)).expect("written");
    let rows: Vec<String> = read("out.csv").lines().skip(1).map(str::to_owned).collect();
    let operations: u64 = rows.iter().filter_map(|row| row.split(',').nth(1)?.parse::<u64>().ok()).sum();
    assert_eq!((rows.len(), Some(operations)), (4, json["operations"].as_u64()), "{rows:?}");
    for name in ["out.hgrm", "out.get.hgrm", "out.set.hgrm"] {
        assert!(read(name).contains("#[Max"), "{name}");
    }
    // Generator and floor are this very process, which is found by its port.
    assert_eq!(json["server"]["pids"], serde_json::json!([std::process::id()]), "{json}");
    assert!(json["generator"]["cpu_share"].as_f64().expect("a number") > 0.0, "{json}");
}

#[test]
fn a_result_that_cannot_be_written_is_told_before_or_after() {
    let scratch = Scratch::new("full");
    let server = floor(&scratch);
    let line = "--op get --keys-exist --sessions 1 --keys 5 --warmup 0 --seconds 0.2";
    let (result, _) = load(server, &scratch, &format!("{line} --csv /nowhere/at/all.csv"));
    let error = result.expect_err("there is no such folder");
    assert!(error.contains("--csv /nowhere/at/all.csv"), "{error}");
    let (result, json) = load(server, &scratch, &format!("{line} --csv /dev/full"));
    let unwritten = result.expect("it ran").unwritten;
    assert!(unwritten.len() == 1 && unwritten[0].contains("--csv /dev/full"), "{unwritten:?}");
    assert!(json["replies_total"].as_u64().expect("the other file is there") > 0, "{json}");
}

#[test]
fn a_storm_opens_and_closes_sessions_at_its_pace() {
    let scratch = Scratch::new("storm");
    let server = floor(&scratch);
    let (result, json) = load(server, &scratch, "--op connect --sessions 4 --warmup 0 --seconds 0.3");
    assert_eq!(result, Ok(Outcome::default()), "{json}");
    let count = |kind: &str| json["latency_by_kind"][kind]["count"].as_u64().unwrap_or(0);
    assert!(json["replies_total"].as_u64().expect("a count") > 0, "{json}");
    assert_eq!(json["operations"], count("connect"), "a farewell is none: {json}");
    let (result, json) =
        load(server, &scratch, "--op connect --rate 200 --sessions 4 --warmup 0 --seconds 0.5");
    assert_eq!((result, json["operations"].as_u64()), (Ok(Outcome::default()), Some(100)), "{json}");
}
