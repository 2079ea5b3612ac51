//! What a run leaves: the screen, and its files.

use std::process::Command;

use crate::run::{SHORT, a_server, bench};
use crate::support::Server;

#[test]
fn the_screen_says_what_a_person_wants_to_know() {
    let server = a_server();
    let run = bench(server.address(), &format!("--mix get=9,set=1 {SHORT}"));
    run.result();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines.len() <= 24, "one screen: {run:?}");
    for part in
        ["op/s", "no errors", "p99.99", "  get  ", "  set  ", "  all  ", "  server  ", "  generator  "]
    {
        assert!(run.stdout.contains(part), "{part:?}: {run:?}");
    }
}

#[test]
fn the_server_is_found_by_its_port() {
    let server = a_server();
    let result = bench(server.address(), &format!("--op get {SHORT}")).result();
    assert_eq!(result["server"]["pids"], serde_json::json!([server.pid()]), "{result}");
    assert!(result["server"]["resident_anonymous_bytes"].as_u64() > Some(0), "{result}");
    assert!(result["generator"]["cpu_share"].as_f64() > Some(0.0), "{result}");
}

#[test]
fn every_file_tells_of_the_same_operations() {
    let server = a_server();
    let run = bench(server.address(), &format!("--mix get=9,set=1 {SHORT} --csv out.csv --hgrm out.hgrm"));
    let operations = run.result()["operations"].as_u64().expect("a count");
    let column = |at: usize| -> u64 {
        let csv = run.file("out.csv");
        csv.lines().skip(1).filter_map(|line| line.split(',').nth(at)?.parse::<u64>().ok()).sum()
    };
    assert_eq!((column(1), column(2)), (operations, 0), "{}", run.file("out.csv"));
    assert_eq!(run.file("out.csv").lines().count(), 1 + 4, "a line per 100 ms");
    let total = |name: &str| -> u64 {
        let text = run.file(name);
        let line = text.lines().find_map(|line| line.split("Total count    =").nth(1)).expect("a last line");
        line.trim_end_matches(']').trim().parse().expect("a count")
    };
    assert_eq!(total("out.hgrm"), operations);
    assert_eq!(total("out.get.hgrm") + total("out.set.hgrm"), operations);
}

/// `perf/` calls the generator by its own name, and reads these fields.
#[test]
fn the_generator_under_its_own_name_is_the_same() {
    let server = Server::start();
    let folder = server.file("load");
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(env!("CARGO_BIN_EXE_ringkeeper-load"))
        .args(["--server", &server.address().to_string(), "--json", "out.json"])
        .args(["--server-pid", &server.pid().to_string(), "--op", "mixed:0.9"])
        .args(["--sessions", "4", "--outstanding", "2", "--keys", "50", "--warmup", "0", "--seconds", "2"])
        .current_dir(&folder)
        .output()
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(folder.join("out.json")).unwrap_or_else(|error| panic!("{error}"));
    let result: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    for field in ["operations_per_second", "window_seconds", "window_start_ns", "operations", "replies_total"]
    {
        assert!(result[field].as_f64() > Some(0.0), "{field}: {result}");
    }
    for field in ["p50_us", "p90_us", "p99_us", "p999_us", "p9999_us", "max_us", "mean_us", "count"] {
        assert!(result["latency"][field].as_f64() > Some(0.0), "{field}: {result}");
    }
    for field in ["/machine/other_cpu_seconds", "/machine/stolen_cpu_seconds", "/generator/cpu_seconds"] {
        assert!(result.pointer(field).is_some_and(|value| value.is_number()), "{field}: {result}");
    }
    for field in ["/server/cpu_seconds", "/server/cpu_seconds_each/0", "/server/resident_peak_bytes"] {
        assert!(result.pointer(field).is_some_and(|value| value.is_number()), "{field}: {result}");
    }
    assert_eq!(result["series_100ms"]["replies"].as_array().map(Vec::len), Some(20), "{result}");
}
