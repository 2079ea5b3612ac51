//! Every operation does to a server what it is called, is answered without an error, and leaves nothing under way.

use serde_json::Value;

use crate::run::{SHORT, a_server, bench, count, figure};
use crate::support::{Server, until};

/// A result in which each of `kinds` is counted so often. On a busy machine a short run may be over before the disk has answered:
/// then the next one is looked at.
fn until_counted(server: &Server, options: &str, kinds: &[&str], times: u64) -> Value {
    until(&format!("{times} of each of {kinds:?} by {options}"), || {
        let result = bench(server.address(), options).result();
        kinds.iter().all(|kind| count(&result, kind) >= times).then_some(result)
    })
}

#[test]
fn every_operation_is_measured_under_its_name() {
    let server = a_server();
    for (op, kinds) in [
        ("get", &["get"][..]),
        ("exists", &["exists"]),
        ("getChildren", &["getChildren"]),
        ("set", &["set"]),
        ("create", &["create"]),
        ("delete", &["create", "delete"]),
        ("multi", &["multi"]),
        ("ephemeral", &["ephemeral"]),
        ("lock", &["lock"]),
        ("queue", &["queue_put", "queue_take"]),
        ("watch", &["set", "watch", "watch_last"]),
        ("connect", &["connect", "close"]),
    ] {
        let result = until_counted(&server, &format!("--op {op} {SHORT}"), kinds, 1);
        assert_eq!(
            result["latency_by_kind"].as_object().map(|all| all.len()),
            Some(kinds.len()),
            "{op}: {result}"
        );
    }
    assert_eq!(figure(&server, "zk_ephemerals_count"), 0, "locks and ephemerals are all given back");
    assert_eq!(figure(&server, "zk_watch_count"), 0, "every session has said goodbye");
}

#[test]
fn both_drivers_carry_out_the_recipes() {
    let server = a_server();
    for driver in ["poll", "uring"] {
        let line =
            format!("--mix lock=2,queue=1,ephemeral=1,multi=1,getChildren=1 --driver {driver} {SHORT}");
        let kinds = ["lock", "queue_put", "queue_take", "ephemeral", "multi", "getChildren"];
        until_counted(&server, &line, &kinds, 1);
    }
}

#[test]
fn a_lock_is_held_by_one_and_goes_to_all() {
    let server = a_server();
    let line = "--op lock --locks 1 --sessions 20 --outstanding 1 --warmup 0 --seconds 1";
    let result = until_counted(&server, line, &["lock"], 21);
    let waits = result["notes"]["lock: waited for another one"].as_u64().unwrap_or(0);
    assert!(waits > 0, "twenty contend: {result}");
}

#[test]
fn an_item_that_is_put_is_taken() {
    let server = a_server();
    let line = "--op queue --sessions 5 --outstanding 2 --warmup 0 --seconds 0.5";
    let before = figure(&server, "zk_znode_count");
    let result = bench(server.address(), line).result();
    assert!(result["replies_total"].as_u64() > Some(0), "{result}");
    // The root of all, the run's own, `queues`, and one queue.
    assert_eq!(figure(&server, "zk_znode_count"), before + 4, "no item is left");
}

#[test]
fn a_mix_has_the_shares_that_were_asked_for() {
    let server = a_server();
    let line = "--mix get=90,set=8,create=1,delete=1 --keys 50 --sessions 4 --warmup 0 --seconds 1";
    let result = bench(server.address(), line).result();
    let all = result["operations"].as_u64().expect("a count") as f64;
    for (kind, share) in [("get", 0.9), ("set", 0.08), ("create", 0.01), ("delete", 0.01)] {
        let found = count(&result, kind) as f64;
        // Deletes lag behind creates by what each session has in stock.
        let slack = 5.0 * (all * share).sqrt() + 8.0;
        assert!((found - all * share).abs() < slack, "{kind}: {found} of {all}, {share}: {result}");
    }
}

#[test]
fn an_open_loop_asks_what_it_planned() {
    let server = a_server();
    let line = "--mix set=1,exists=1 --rate 1000 --keys 50 --sessions 4 --warmup 0.1 --seconds 0.5";
    let result = bench(server.address(), line).result();
    assert_eq!(result["operations"], 500, "{result}");
    assert_eq!(result["sent_late"]["count"], 500, "{result}");
    let line = "--op watch --rate 20 --sessions 3 --warmup 0 --seconds 0.5";
    let result = bench(server.address(), line).result();
    assert_eq!((count(&result, "set"), count(&result, "watch")), (10, 30), "{result}");
}

#[test]
fn thousands_of_sessions_are_served_by_one_core() {
    let server = a_server();
    let line = "--op get --keys 50 --sessions 3000 --outstanding 1 --warmup 0 --seconds 1";
    let result = until_counted(&server, line, &["get"], 3000);
    assert_eq!((&result["sessions"], &result["sessions_lost"]), (&3000.into(), &0.into()), "{result}");
    // At a rate each change counts, and all that it leads to, however long that takes.
    let line = "--op watch --sessions 2000 --rate 4 --warmup 0 --seconds 0.5";
    let result = bench(server.address(), line).result();
    assert_eq!((count(&result, "watch_last"), count(&result, "watch")), (2, 4000), "{result}");
}

#[test]
fn data_of_another_size_than_an_earlier_run_left_is_made_anew() {
    let server = a_server();
    for bytes in ["100", "50-60", "0", "1000"] {
        for distribution in ["sequential", "zipf"] {
            let line = format!("--op get --bytes {bytes} --distribution {distribution} {SHORT}");
            let result = bench(server.address(), &line).result();
            assert!(result["replies_total"].as_u64() > Some(0), "{bytes}: {result}");
        }
    }
}

#[test]
fn a_tree_is_made_and_nothing_is_measured() {
    let server = a_server();
    let before = figure(&server, "zk_znode_count");
    let run = bench(server.address(), "--preload 3x700");
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(run.stdout.starts_with("prepared 2104 znodes in "), "{run:?}");
    assert_eq!(figure(&server, "zk_znode_count"), before + 2104);
}
