//! Four-letter words: texts that scripts parse.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crate::support::client::PERSISTENT;
use crate::support::server::is_ringkeeper;
use crate::support::{Client, Config, Connect, Server, until};

#[test]
fn ruok_and_isro_answer_without_a_line_end() {
    let server = Server::start();
    assert_eq!(server.word("ruok"), "imok");
    assert_eq!(server.word("isro"), "rw");
}

#[test]
fn a_word_may_come_in_pieces_and_with_more_behind_it() {
    let server = Server::start();
    for pieces in [&[&b"ru"[..], b"ok"][..], &[b"ruok\n"], &[b"r", b"u", b"o", b"k"]] {
        let mut socket = server.socket();
        for piece in pieces {
            socket.write_all(piece).expect("the server reads");
        }
        let mut text = String::new();
        // Unread bytes may turn the end into a reset, behind the text.
        let _end = socket.read_to_string(&mut text);
        assert_eq!(text, "imok");
    }
}

#[test]
fn srvr_has_zookeepers_lines() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    let text = server.word("srvr");
    let lines: Vec<&str> = text.lines().collect();
    let starts = [
        "Zookeeper version: 3.9.",
        "Latency min/avg/max: ",
        "Received: ",
        "Sent: ",
        "Connections: ",
        "Outstanding: ",
        "Zxid: 0x",
        "Mode: standalone",
        "Node count: 6",
    ];
    assert_eq!(lines.len(), starts.len(), "{text}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line:?} should start with {start:?}");
    }
    assert!(text.ends_with('\n'));
    assert_eq!(lines[6], format!("Zxid: 0x{:x}", client.zxid));
    let latency: Vec<&str> = lines[1]["Latency min/avg/max: ".len()..].split('/').collect();
    assert_eq!(latency.len(), 3);
    assert!(latency[0].parse::<u64>().is_ok() && latency[2].parse::<u64>().is_ok(), "{latency:?}");
    assert!(latency[1].contains('.') && latency[1].parse::<f64>().is_ok(), "{latency:?}");
    assert!(lines[0].contains(", built on "), "{}", lines[0]);
}

#[test]
fn stat_lists_the_connections() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.ping();
    // A reply may be here before it is counted.
    let counted = "[1](queued=0,recved=2,sent=2)";
    let text = until("both answers to be counted", || {
        Some(server.word("stat")).filter(|text| text.contains(counted))
    });
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("Zookeeper version: "), "{text}");
    assert_eq!(lines[1], "Clients:");
    let blank =
        lines.iter().position(|line| line.is_empty()).unwrap_or_else(|| panic!("no blank line:\n{text}"));
    let clients = &lines[2..blank];
    assert_eq!(clients.len(), 2, "the session and the one that asks:\n{text}");
    for line in clients {
        assert!(line.starts_with(" /127.0.0.1:") && line.contains("(queued="), "{line:?}");
        assert!(line.contains(",recved=") && line.contains(",sent=") && line.ends_with(')'), "{line:?}");
    }
    assert!(lines[blank + 1].starts_with("Latency min/avg/max: "), "{text}");
    assert_eq!(lines.last(), Some(&"Node count: 5"));
}

#[test]
fn counters_count() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let number = |text: &str, name: &str| -> i64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    };
    let before = server.word("srvr");
    for _ in 0..50 {
        client.ping();
    }
    let after = server.word("srvr");
    // The second word is received, too; its answer is no packet.
    assert_eq!(number(&after, "Received: ") - number(&before, "Received: "), 51);
    assert_eq!(number(&after, "Sent: ") - number(&before, "Sent: "), 50);
    assert_eq!(number(&after, "Connections: "), 2, "the session and the one that asks");
    assert_eq!(number(&after, "Outstanding: "), 0);
}

#[test]
fn mntr_is_names_and_values() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"12345", PERSISTENT);
    client.create("/e", b"", crate::support::client::EPHEMERAL);
    client.get_data("/a", true).expect("there");
    let text = server.word("mntr");
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        let (name, value) = line.split_once('\t').unwrap_or_else(|| panic!("{line:?} is no name and value"));
        assert!(name.starts_with("zk_"), "{line:?}");
        values.insert(name, value);
    }
    assert!(text.starts_with("zk_version\t3.9."), "{text}");
    assert_eq!(text.lines().nth(1), Some("zk_server_state\tstandalone"));
    for (name, value) in [
        ("zk_znode_count", "7"),
        ("zk_ephemerals_count", "1"),
        ("zk_watch_count", "1"),
        ("zk_num_alive_connections", "2"),
        ("zk_outstanding_requests", "0"),
    ] {
        assert_eq!(values.get(name), Some(&value), "{name} in\n{text}");
    }
    for name in ["zk_packets_received", "zk_packets_sent", "zk_max_latency", "zk_approximate_data_size"] {
        assert!(values.contains_key(name), "{name} in\n{text}");
    }
}

#[test]
fn conf_tells_the_settings_in_force() {
    let server = Config::default().set("tickTime", 1500).set("maxClientCnxns", 17).start();
    let text = server.word("conf");
    let lines: Vec<&str> = text.lines().collect();
    let keys: Vec<&str> = lines.iter().filter_map(|line| line.split('=').next()).collect();
    let expected = [
        "clientPort",
        "secureClientPort",
        "dataDir",
        "dataDirSize",
        "dataLogDir",
        "dataLogSize",
        "tickTime",
        "maxClientCnxns",
        "minSessionTimeout",
        "maxSessionTimeout",
        "clientPortListenBacklog",
        "serverId",
    ];
    assert_eq!(keys, expected, "{text}");
    // What is below dataDir is Ringkeeper's own.
    let folder = if is_ringkeeper() { "ringkeeper-1" } else { "version-2" };
    let data_dir = format!("dataDir={}/{folder}", server.data_dir().display());
    for line in [
        format!("clientPort={}", server.port).as_str(),
        "tickTime=1500",
        "maxClientCnxns=17",
        "minSessionTimeout=3000",
        "maxSessionTimeout=30000",
        "serverId=0",
        &data_dir,
    ] {
        assert!(lines.contains(&line), "{line} in\n{text}");
    }
}

#[test]
fn a_word_that_is_not_on_the_list_is_named_and_not_run() {
    let server = Config::default().set("4lw.commands.whitelist", "srvr, isro").start();
    assert!(server.word("srvr").contains("Mode: standalone"));
    assert_eq!(server.word("isro"), "rw");
    for word in ["ruok", "mntr", "stat", "conf"] {
        assert_eq!(
            server.word(word),
            format!("{word} is not executed because it is not in the whitelist.\n")
        );
    }
}

/// A word is one only at the start: behind a handshake the same bytes are a length.
#[test]
fn a_word_behind_the_handshake_is_a_frame_too_long() {
    let server = Server::start();
    let mut client = Connect::default().open(&server);
    client.send_bytes(b"ruok");
    client.assert_closed();
}
