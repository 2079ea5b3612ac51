//! Commands, asked of a lone server with one client.

use ringkeeper::wire::client::{AuthPacket, SetAclRequest};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl, Reader};
use serde_json::{Value, json};

use crate::start;
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::http::{get, request};
use crate::support::{Client, Config, Server};

const NAMES: [&str; 29] = [
    "configuration",
    "connection_stat_reset",
    "connections",
    "dirs",
    "dump",
    "environment",
    "get_trace_mask",
    "hash",
    "initial_configuration",
    "is_read_only",
    "last_snapshot",
    "leader",
    "log_level",
    "monitor",
    "observer_connection_stat_reset",
    "observers",
    "restore",
    "ruok",
    "server_stats",
    "set_trace_mask",
    "snapshot",
    "stat_reset",
    "stats",
    "system_properties",
    "voting_view",
    "watch_summary",
    "watches",
    "watches_by_path",
    "zabstate",
];

fn asked(port: u16, command: &str) -> Value {
    let answer = get(port, &format!("/commands/{command}"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{command}");
    answer.json()
}

/// A client with a node, an ephemeral one, and two watches.
fn client(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.create("/a", b"data", PERSISTENT);
    client.create("/a/e", b"", EPHEMERAL);
    assert!(client.get_data("/a", true).is_ok());
    assert!(client.exists("/none", true).is_err());
    client
}

#[test]
fn every_command_is_linked_and_says_its_name() {
    let (_server, port) = start(Config::default());
    for url in ["/commands", "/commands/"] {
        let page = get(port, url);
        let links: Vec<String> =
            NAMES.iter().map(|name| format!("<a href=\"/commands/{name}\">{name}</a>\n<br/>\n")).collect();
        assert_eq!((page.status, page.text()), (200, links.concat().as_str()));
    }
    for name in NAMES {
        let answer = get(port, &format!("/commands/{name}"));
        let expected = if matches!(name, "log_level" | "snapshot" | "restore") { 401 } else { 200 };
        assert_eq!(answer.status, expected, "{name}");
        let body = answer.json();
        assert_eq!(body["command"], name);
        assert!(body.get("error").is_some(), "{name}");
        // As Jackson indents it.
        assert!(answer.text().starts_with("{\n  \"") && answer.text().contains("\" : "), "{}", answer.text());
    }
    let unknown = asked(port, "a%20b%22%3C");
    assert_eq!(unknown, json!({ "command": "a b\"<", "error": "Unknown command: a b\"<" }));
}

#[test]
fn commands_tell_what_is_so() {
    for shards in [1, 2] {
        let (server, port) = start(Config::default().set("ringkeeper.shards", shards));
        let client = client(&server);
        let id = client.session.to_string();
        let dump = asked(port, "dump");
        assert_eq!(dump["session_id_to_ephemeral_paths"], json!({ &id: ["/a/e"] }));
        let expiries = dump["expiry_time_to_session_ids"].as_object().unwrap();
        assert_eq!(expiries.values().collect::<Vec<_>>(), [&json!([client.session])]);
        let watches = asked(port, "wchc")["session_id_to_watched_paths"][&id].clone();
        let mut watched: Vec<&str> = watches.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        watched.sort_unstable();
        assert_eq!(watched, ["/a", "/none"]);
        let paths = json!({ "/a": [client.session], "/none": [client.session] });
        assert_eq!(asked(port, "wchp")["path_to_session_ids"], paths);
        let summary = asked(port, "wchs");
        assert_eq!((&summary["num_connections"], &summary["num_total_watches"]), (&json!(1), &json!(2)));
        let connections = asked(port, "cons")["connections"].clone();
        assert_eq!(connections.as_array().map(Vec::len), Some(1), "{connections}");
        assert_eq!(connections[0]["session_id"], client.session);
        assert_eq!(connections[0]["packets_received"], 5);
        let stats = asked(port, "stat");
        assert_eq!(stats["node_count"], 7);
        assert_eq!(stats["server_stats"]["server_state"], "standalone");
        assert_eq!(stats["server_stats"]["num_alive_client_connections"], 1);
        assert_eq!(stats["connections"][0].as_object().map(serde_json::Map::len), Some(5));
        let monitor = asked(port, "mntr");
        assert_eq!((&monitor["ephemerals_count"], &monitor["watch_count"]), (&json!(1), &json!(2)));
        assert_eq!(monitor["cnt_updatelatency"], 3, "a session and two nodes");
        assert_eq!(monitor["cnt_readlatency"], 2);
        let initial = asked(port, "icfg")["initial_configuration"].clone();
        assert!(initial.as_str().unwrap().contains("preAllocSize=1024\n"), "{initial}");
        assert_eq!(asked(port, "conf")["client_port"], server.port);
    }
}

#[test]
fn what_is_reset_and_set_is_so_for_the_words_too() {
    let (server, port) = start(Config::default());
    let mut client = client(&server);
    client.ping();
    asked(port, "stat_reset");
    assert_eq!(asked(port, "monitor")["cnt_readlatency"], 0);
    assert_eq!(asked(port, "set_trace_mask?traceMask=511")["tracemask"], 511);
    assert_eq!(server.word("gtmk"), "511");
    assert_eq!(
        asked(port, "stmk?traceMask=x")["error"],
        "setTraceMask requires long traceMask argument, got x"
    );
    asked(port, "crst");
    assert_eq!(asked(port, "cons")["connections"][0]["packets_received"], 0);
    // By a method that isn't the command's nothing happens.
    client.ping();
    assert_eq!(request(port, "POST", "/commands/crst", &[]).status, 405);
    assert_eq!(asked(port, "cons")["connections"][0]["packets_received"], 1);
}

#[test]
fn the_command_url_is_a_setting() {
    let (_server, port) = start(Config::default().set("admin.commandURL", "/zk"));
    assert_eq!(asked_at(port, "/zk/ruok"), 200);
    assert_eq!(asked_at(port, "/commands/ruok"), 404);
    assert_eq!(asked_at(port, "/zkx"), 404);
}

fn asked_at(port: u16, path: &str) -> u16 {
    get(port, path).status
}

/// Of `super:secret` and `bob:secret`.
pub const SUPER: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
pub const BOB: &str = "bob:fyVmFCwVbTJYrznoSu1koqYEYF0=";

pub fn become_bob(client: &mut Client) {
    let mut packet = vec![];
    AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(b"bob:secret") }.encode(&mut packet);
    client.send_raw(-4, Opcode::Auth.code(), &packet);
    assert_eq!(client.next_reply().code(), ErrorCode::Ok);
}

pub fn set_acl(client: &mut Client, path: &str, entries: &[OwnedAcl]) {
    let mut list = vec![];
    encode_vector(&mut list, entries);
    let acl = AclList::decode(&mut Reader::new(&list)).expect("encoded above");
    let set = SetAclRequest { path: path.into(), acl: Some(acl), version: -1 };
    assert_eq!(client.call(Opcode::SetAcl, &set).code(), ErrorCode::Ok);
}

/// Others may only read it.
pub fn give_root_to_bob(client: &mut Client) {
    become_bob(client);
    set_acl(client, "/", &[OwnedAcl::new(31, "digest", BOB), OwnedAcl::new(1, "world", "anyone")]);
}

#[test]
fn who_may_take_a_snapshot() {
    let config = Config::default()
        .set("DigestAuthenticationProvider.superDigest", SUPER)
        .set("admin.rateLimiterIntervalInMS", 0);
    let (server, port) = start(config);
    let mut client = Client::connect(&server);
    let status = |name: &str, authorization: &str| {
        let path = format!("/commands/{name}?streaming=false");
        let answer = request(port, "GET", &path, &[("Authorization", authorization)]);
        (answer.status, answer.json()["error"].as_str().map(str::to_owned))
    };
    let told = |status: u16, text: &str| (status, Some(text.to_owned()));
    // Everybody may do everything at the root of a fresh tree.
    for (authorization, expected) in [
        ("digest ann:pw", (200, None)),
        ("ip", (200, None)),
        ("foo bar", told(401, "Not authenticated")),
        ("digest", told(401, "Not authenticated")),
        ("digest a b", told(401, "Not authenticated")),
        ("", told(401, "Not authenticated")),
    ] {
        assert_eq!(status("snapshot", authorization), expected, "{authorization}");
    }
    give_root_to_bob(&mut client);
    for (authorization, expected) in [
        ("digest bob:secret", (200, None)),
        ("digest super:secret", (200, None)),
        ("digest bob:wrong", told(403, "Not authorized")),
        ("ip", told(403, "Not authorized")),
    ] {
        assert_eq!(status("snap", authorization), expected, "{authorization}");
    }
}

#[test]
fn a_snapshot_is_a_backup_of_all_there_was() {
    for shards in [1, 2] {
        let (server, port) = start(Config::default().set("ringkeeper.shards", shards));
        let mut client = Client::connect(&server);
        for number in 0..2000 {
            client.create(&format!("/n{number}"), &[7; 100], PERSISTENT);
        }
        let taken = request(port, "GET", "/commands/snapshot", &[("Authorization", "ip")]);
        assert_eq!((taken.status, taken.header("content-type")), (200, Some("application/octet-stream")));
        assert_eq!(taken.header("snapshot_size"), Some(taken.body.len().to_string().as_str()));
        let zxid = taken.header("last_zxid").unwrap().strip_prefix("0x").unwrap().to_owned();
        assert_eq!(i64::from_str_radix(&zxid, 16).unwrap(), server.zxid());
        // Once in five minutes.
        let again = request(port, "GET", "/commands/snapshot", &[("Authorization", "ip")]);
        assert_eq!((again.status, again.json()), (429, json!({ "command": "snapshot", "error": null })));

        let elsewhere = crate::support::server::folder("restored");
        let files = elsewhere.join("ringkeeper-1");
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join(format!("snapshot.{zxid:0>16}")), &taken.body).unwrap();
        let restored = Config::default().data_dir(&elsewhere).start();
        let mut reader = Client::connect(&restored);
        assert_eq!(reader.data("/n1999"), [7; 100]);
        assert_eq!(reader.children("/", false).unwrap().len(), 2001);
    }
}

#[test]
fn snapshots_may_be_forbidden() {
    let (server, port) = start(Config::default().set("admin.snapshot.enabled", false));
    let _client = client(&server);
    let refused = request(port, "GET", "/commands/snapshot", &[("Authorization", "ip")]);
    assert_eq!((refused.status, refused.json()), (503, json!({ "command": "snapshot", "error": null })));
}

#[test]
fn a_port_that_is_taken_is_one_line_and_no_end() {
    let (_first, port) = start(Config::default());
    let second = Config::default()
        .set("admin.enableServer", true)
        .set("admin.serverAddress", "127.0.0.1")
        .set("admin.serverPort", port)
        .start();
    crate::support::until("the second server to say it", || {
        let said = second.output();
        let lines: Vec<&str> =
            said.lines().filter(|line| line.contains("WARN") && line.contains("admin")).collect();
        let line = lines.first()?;
        assert_eq!(lines.len(), 1, "{said}");
        assert!(line.contains(&format!("127.0.0.1:{port} can't be opened")), "{line}");
        assert!(line.contains("admin.serverPort"), "{line}");
        Some(())
    });
    assert_eq!(Client::connect(&second).data("/"), b"");
}
