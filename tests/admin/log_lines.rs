//! What a server writes: which lines, and in which form.

use serde_json::{Value, json};

use crate::commands::{SUPER, give_root_to_bob};
use crate::support::client::PERSISTENT;
use crate::support::http::{request, try_bytes};
use crate::support::{Client, Config, Server, until};
use crate::{start, with_admin};

const SECRET: &[(&str, &str)] = &[("Authorization", "digest super:secret")];

fn post(port: u16, query: &str) -> (u16, Value) {
    let answer = request(port, "POST", &format!("/commands/log_level{query}"), SECRET);
    (answer.status, answer.json())
}

/// The filter and the one it falls back to, as a command without a wish tells them.
fn told(port: u16) -> (Value, Value) {
    let (status, body) = post(port, "");
    assert_eq!((status, &body["filter"]), (200, &body["previous_filter"]));
    (body["filter"].clone(), body["falls_back_to"].clone())
}

/// What is no HTTP is worth a line for those who want them all.
fn provoke(server: &Server, port: u16) -> usize {
    let _ = try_bytes(port, b"\x01\x02\r\n\r\n");
    server.output().matches(" DEBUG ").count()
}

#[test]
fn the_level_is_changed_while_the_server_runs_and_falls_back() {
    for shards in [1, 2] {
        let config = Config::default()
            .set("DigestAuthenticationProvider.superDigest", SUPER)
            .set("ringkeeper.shards", shards);
        let (server, port) = start(config);
        assert_eq!(told(port), (json!("info"), Value::Null));
        assert_eq!(provoke(&server, port), 0);

        let (status, body) = post(port, "?filter=warn,ringkeeper::server=debug&seconds=2");
        assert_eq!(status, 200, "{body}");
        let expected = json!({
            "filter": "warn,ringkeeper::server=debug",
            "previous_filter": "info",
            "falls_back_to": "info",
            "falls_back_in_seconds": 2,
            "command": "log_level",
            "error": null,
        });
        assert_eq!(body, expected);
        until("a line of the level asked for", || (provoke(&server, port) > 0).then_some(()));
        until("the level to fall back", || {
            server.output().contains("log level: the time is over").then_some(())
        });
        assert_eq!(told(port), (json!("info"), Value::Null));
        let before = server.output().matches(" DEBUG ").count();
        assert_eq!(provoke(&server, port), before);

        // What is changed is said, and by whom.
        let said = server.output();
        let line = said.lines().find(|line| line.contains("log level: changed")).expect("it is said");
        assert!(
            line.contains("WARN") && line.contains("client=127.0.0.1") && line.contains("from=\"info\""),
            "{line}"
        );
    }
}

#[test]
fn a_wrong_filter_changes_nothing() {
    let (server, port) = start(Config::default().set("DigestAuthenticationProvider.superDigest", SUPER));
    assert_eq!(post(port, "?filter=error").0, 200);
    for (query, expected) in [
        (
            "?filter=wran",
            "filter: `wran` is no level; allowed: a level (off, error, warn, info, debug, trace)",
        ),
        ("?filter=debug,ringkeeper::zap=trace", "filter: `ringkeeper::zap` is no room of this program"),
        ("?filter=", "filter: `` is no level"),
        ("?filter=debug&seconds=soon", "seconds: `soon` is no time; allowed: whole numbers from 1 to 86400"),
        ("?level=debug", "`level` is no argument of log_level; allowed: filter, seconds"),
    ] {
        let (status, body) = post(port, query);
        assert_eq!((status, &body["command"]), (400, &json!("log_level")), "{query}");
        let error = body["error"].as_str().unwrap_or_default();
        assert!(error.starts_with(expected), "{query}: {body}");
    }
    assert_eq!(told(port), (json!("error"), Value::Null));
    drop(server);
}

#[test]
fn who_may_change_it() {
    let (server, port) = start(Config::default().set("DigestAuthenticationProvider.superDigest", SUPER));
    let mut client = Client::connect(&server);
    give_root_to_bob(&mut client);
    let status = |method: &str, headers: &[(&str, &str)]| {
        request(port, method, "/commands/log_level?filter=off", headers).status
    };
    assert_eq!(status("POST", &[]), 401);
    assert_eq!(status("POST", &[("Authorization", "digest super:wrong")]), 403);
    assert_eq!(status("POST", &[("Authorization", "ip")]), 403);
    assert_eq!(status("GET", SECRET), 405);
    assert_eq!(told(port).0, "info");
}

/// Each line is an object with a moment, a level, a place and a text; and what it speaks of in fields of their own.
#[test]
fn lines_are_json_where_that_is_asked_for() {
    let (config, port) = with_admin(Config::default().set("ringkeeper.logFormat", "json"));
    let mut server = config.set("tickTme", 2000).start();
    until("the admin port to be open", || crate::support::http::try_get(port, "/livez"));
    let said = |server: &Server| -> Vec<Value> {
        let output = server.output();
        output.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    };
    let mut socket = server.socket();
    std::io::Write::write_all(&mut socket, &[0xff; 8]).expect("the server reads");
    let line = until("a line about a bad frame", || {
        said(&server).into_iter().find(|line| line["message"] == "closing a connection: bad frame")
    });
    assert_eq!((&line["level"], &line["target"]), (&json!("WARN"), &json!("ringkeeper::shard::intake")));
    assert_eq!(line["address"], socket.local_addr().expect("it is bound").to_string());
    assert!(line["fault"].is_string(), "{line}");
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    let lines = said(&server);
    for line in &lines {
        let moment = line["timestamp"].as_str().unwrap_or_default();
        assert!(moment.len() == "2026-11-22T04:44:50.123456Z".len() && moment.ends_with('Z'), "{line}");
        assert!(
            line["level"].is_string() && line["target"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
    let messages: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert!(messages.iter().any(|text| text.contains("unknown key `tickTme`")), "{messages:?}");
    assert!(messages.iter().any(|text| text.contains(" ready on 127.0.0.1")), "{messages:?}");
    assert!(messages.contains(&"stopping"), "{messages:?}");
}

#[test]
fn an_unknown_form_is_refused() {
    let (status, output) = Config::default().set("ringkeeper.logFormat", "xml").start_in_vain();
    assert_eq!(status.code(), Some(2));
    assert!(output.contains("ringkeeper.logFormat=xml: no such format; allowed: text, json"), "{output}");
}

/// So much that writing it takes more than a millisecond.
const MUCH: &[u8] = &[7; 900_000];

#[test]
fn slow_requests_are_told_with_their_moments() {
    for shards in [1, 2] {
        let config =
            Config::default().set("ringkeeper.slowRequestMillis", 1).set("ringkeeper.shards", shards);
        let server = config.set("ringkeeper.logFormat", "json").start();
        let mut client = Client::connect(&server);
        client.create("/a", b"", PERSISTENT);
        let slow = |server: &Server| -> Vec<Value> {
            let lines = server.output();
            let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
            lines
                .filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with("slow request")))
                .collect()
        };
        let line = until("a slow write", || {
            assert!(client.set_data("/a", MUCH, -1).is_ok());
            slow(&server).into_iter().find(|line| line["op"] == "setData" && line["taken_ms"].is_u64())
        });
        assert_eq!((&line["path"], &line["level"]), (&json!("/a"), &json!("WARN")), "{line}");
        assert_eq!(line["session"], format!("0x{:x}", client.session), "{line}");
        assert!(line["zxid"].as_str().is_some_and(|zxid| zxid.starts_with("0x")), "{line}");
        let moments = ["taken_ms", "proposed_ms", "durable_ms", "committed_ms", "answered_ms"];
        let moments = moments.map(|name| line[name].as_u64().unwrap_or_else(|| panic!("{name}: {line}")));
        assert!(moments.is_sorted() && moments[4] >= 1, "{line}");
    }
}

#[test]
fn fast_requests_are_no_lines() {
    let server = Config::default().set("ringkeeper.slowRequestMillis", 0).start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    for _ in 0..10 {
        assert!(client.set_data("/a", MUCH, -1).is_ok());
    }
    assert!(!server.output().contains("slow request"), "{}", server.output());
}

#[test]
fn slow_syncs_are_told_once_a_second() {
    let (server, port) = start(Config::default().set("fsync.warningthresholdms", 0));
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    let begun = std::time::Instant::now();
    let told = || server.output().matches("syncing the transaction log took long").count() as u64;
    until("a line that counts others", || {
        assert!(client.set_data("/a", b"", -1).is_ok());
        server.output().contains("left_out=").then_some(())
    });
    let stats = request(port, "GET", "/commands/stats", &[]).json();
    let slow = stats["server_stats"]["fsync_threshold_exceed_count"].as_u64().expect("a count");
    assert!(slow > told(), "{slow} syncs, {} lines", told());
    assert!(told() <= 2 + begun.elapsed().as_secs(), "{} lines", told());
}
