//! Four-letter words that list or reset: watches, sessions, digests, counters.

use ringkeeper::wire::Opcode;
use ringkeeper::wire::client::{AddWatchMode, AddWatchRequest};

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Config, Server, until};

fn add_watch(client: &mut Client, path: &str, mode: AddWatchMode) {
    assert_eq!(client.call(Opcode::AddWatch, &AddWatchRequest { path: path.into(), mode }).err, 0);
}

/// Of data watches, as ZooKeeper counts them: one per connection and path, however many ways it watches.
#[test]
fn watches_are_counted_by_connection_and_by_path() {
    watches_are_counted(&Server::start());
}

/// Connections are dealt out to the event loops in turn, and each knows its own watches.
#[test]
fn watches_are_counted_over_all_event_loops() {
    for shards in [2, 3] {
        watches_are_counted(&Config::default().set("ringkeeper.shards", shards).start());
    }
}

fn watches_are_counted(server: &Server) {
    let (mut one, mut two) = (Client::connect(server), Client::connect(server));
    assert_eq!(server.word("wchs"), "0 connections watching 0 paths\nTotal watches:0\n");
    assert_eq!((server.word("wchc"), server.word("wchp")), ("\n".to_owned(), "\n".to_owned()));
    one.create("/a", b"", PERSISTENT);
    one.get_data("/a", true).expect("there");
    two.get_data("/a", true).expect("there");
    add_watch(&mut two, "/a", AddWatchMode::PersistentRecursive);
    add_watch(&mut two, "/b", AddWatchMode::Persistent);
    one.children("/a", true).expect("there");
    assert_eq!(server.word("wchs"), "2 connections watching 2 paths\nTotal watches:3\n");
    let (first, second) = (format!("0x{:x}", one.session), format!("0x{:x}", two.session));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let wchc = server.word("wchc");
    assert_eq!(sorted(&wchc), sorted(&format!("{first}\n\t/a\n{second}\n\t/a\n\t/b\n\n")), "{wchc}");
    let wchp = server.word("wchp");
    assert_eq!(sorted(&wchp), sorted(&format!("/a\n\t{first}\n\t{second}\n/b\n\t{second}\n\n")), "{wchp}");
    assert!(
        wchc.starts_with("0x") && wchc.ends_with("\n\n") && wchp.starts_with('/') && wchp.ends_with("\n\n")
    );
}

#[test]
fn dump_names_sessions_and_their_ephemerals() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/e", b"", EPHEMERAL);
    let text = server.word("dump");
    let lines: Vec<&str> = text.lines().collect();
    let session = format!("0x{:x}", client.session);
    assert_eq!(&lines[..2], ["SessionTracker dump:", "Session Sets (1)/(1):"], "{text}");
    assert!(lines[2].starts_with("1 expire at "), "{text}");
    assert_eq!(lines[3], format!("\t{session}"));
    assert_eq!(&lines[4..6], ["ephemeral nodes dump:", "Sessions with Ephemerals (1):"], "{text}");
    assert_eq!(&lines[6..8], [format!("{session}:"), "\t/e".to_owned()], "{text}");
    assert_eq!(lines[8], "Connections dump:");
    assert!(lines[9].starts_with("Connections Sets (") && lines[9].ends_with(")/(2):"), "{text}");
    assert!(text.contains(&format!(" sessionId: {session}\n")), "{text}");
    assert!(text.contains(" sessionId: 0x0\n"), "the connection that asks: {text}");
}

#[test]
fn counters_begin_anew() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for _ in 0..20 {
        client.ping();
    }
    let received = |text: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix("Received: "));
        line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    assert!(received(&server.word("srvr")) > 20);
    assert_eq!(server.word("srst"), "Server stats reset.\n");
    assert!(received(&server.word("srvr")) < 5);
    until("the last answer to be counted", || {
        server.word("cons").contains("recved=21,sent=21").then_some(())
    });
    assert_eq!(server.word("crst"), "Connection stats reset.\n");
    let text = server.word("cons");
    assert!(text.contains("recved=0,sent=0,sid="), "{text}");
    client.ping();
    until("a ping to be counted", || server.word("cons").contains("recved=1,sent=1,sid=").then_some(()));
}

/// Digests of the tree at multiples of 128.
#[test]
fn hash_lists_digests() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    assert_eq!(server.word("hash"), "");
    client.create("/a", b"", PERSISTENT);
    while client.zxid < 300 {
        client.set_data("/a", b"x", -1).expect("there");
    }
    let text = server.word("hash");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, start) in lines.iter().zip(["80: ", "100: "]) {
        let digest =
            line.strip_prefix(start).unwrap_or_else(|| panic!("{line:?} should start with {start:?}"));
        assert!(digest.parse::<i64>().is_ok_and(|digest| digest != 0), "{text}");
    }
}
