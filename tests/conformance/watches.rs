//! One-time watches: which events, in which order, with which zxid, and always before what they announce.

use ringkeeper::wire::client::{EventType, SetDataRequest};
use ringkeeper::wire::{ErrorCode, Opcode};

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Config, Connect, Event, Message, Server, until};

fn event(kind: EventType, path: &str, zxid: i64) -> Event {
    Event { zxid, kind, path: path.to_owned() }
}

#[test]
fn an_exists_watch_hears_of_creation_change_and_deletion_once_each() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    assert_eq!(watcher.exists("/a", true), Err(ErrorCode::NoNode), "a missing znode can be watched");
    writer.create("/a", b"", PERSISTENT);
    assert_eq!(watcher.next_event(), event(EventType::NodeCreated, "/a", writer.zxid));
    writer.set_data("/a", b"x", -1).expect("there");
    watcher.assert_quiet();
    watcher.exists("/a", true).expect("there");
    writer.set_data("/a", b"y", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeDataChanged, "/a", writer.zxid));
    watcher.exists("/a", true).expect("there");
    writer.delete("/a", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeDeleted, "/a", writer.zxid));
    writer.create("/a", b"", PERSISTENT);
    watcher.assert_quiet();
}

#[test]
fn a_data_watch_hears_of_change_and_deletion() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    writer.create("/a", b"", PERSISTENT);
    watcher.get_data("/a", true).expect("there");
    writer.create("/a/child", b"", PERSISTENT);
    watcher.assert_quiet();
    writer.set_data("/a", b"x", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeDataChanged, "/a", writer.zxid));
    watcher.get_data("/a/child", true).expect("there");
    writer.delete("/a/child", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeDeleted, "/a/child", writer.zxid));
}

#[test]
fn a_failed_get_data_leaves_no_watch() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    assert_eq!(watcher.get_data("/a", true), Err(ErrorCode::NoNode));
    assert_eq!(watcher.children("/a", true), Err(ErrorCode::NoNode));
    assert_eq!(watcher.children2("/a", true), Err(ErrorCode::NoNode));
    writer.create("/a", b"", PERSISTENT);
    writer.create("/a/b", b"", PERSISTENT);
    watcher.assert_quiet();
}

#[test]
fn a_child_watch_hears_of_children_and_of_the_end_of_the_parent() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    writer.create("/p", b"", PERSISTENT);
    watcher.children("/p", true).expect("there");
    writer.set_data("/p", b"x", -1).expect("there");
    watcher.assert_quiet();
    writer.create("/p/a", b"", PERSISTENT);
    assert_eq!(watcher.next_event(), event(EventType::NodeChildrenChanged, "/p", writer.zxid));
    watcher.children2("/p", true).expect("there");
    writer.set_data("/p/a", b"x", -1).expect("there");
    watcher.assert_quiet();
    writer.delete("/p/a", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeChildrenChanged, "/p", writer.zxid));
    watcher.children("/p", true).expect("there");
    writer.delete("/p", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeDeleted, "/p", writer.zxid));
    watcher.assert_quiet();
}

/// Data and child watches of one connection on one znode: its deletion is told once.
#[test]
fn a_deletion_is_told_once_per_connection() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    writer.create("/p", b"", PERSISTENT);
    watcher.get_data("/p", true).expect("there");
    watcher.exists("/p", true).expect("there");
    watcher.children("/p", true).expect("there");
    writer.delete("/p", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeDeleted, "/p", writer.zxid));
    watcher.assert_quiet();
}

#[test]
fn the_parent_hears_after_the_child() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    writer.create("/p", b"", PERSISTENT);
    watcher.children("/p", true).expect("there");
    assert_eq!(watcher.exists("/p/c", true), Err(ErrorCode::NoNode));
    writer.create("/p/c", b"", PERSISTENT);
    assert_eq!(watcher.next_event(), event(EventType::NodeCreated, "/p/c", writer.zxid));
    assert_eq!(watcher.next_event(), event(EventType::NodeChildrenChanged, "/p", writer.zxid));
    watcher.children("/p", true).expect("there");
    watcher.get_data("/p/c", true).expect("there");
    writer.delete("/p/c", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeDeleted, "/p/c", writer.zxid));
    assert_eq!(watcher.next_event(), event(EventType::NodeChildrenChanged, "/p", writer.zxid));
    watcher.children("/", true).expect("there");
    writer.create("/top", b"", PERSISTENT);
    assert_eq!(watcher.next_event(), event(EventType::NodeChildrenChanged, "/", writer.zxid));
}

#[test]
fn an_event_comes_before_the_reply_of_the_write_that_fired_it() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    for _ in 0..100 {
        client.get_data("/a", true).expect("there");
        let request = SetDataRequest { path: "/a".into(), data: Some(b"x"), version: -1 };
        let xid = client.send(Opcode::SetData, &request);
        let Message::Event(first) = client.next() else { panic!("the reply came before the event") };
        let Message::Reply(second) = client.next() else { panic!("two events") };
        assert_eq!(first, event(EventType::NodeDataChanged, "/a", second.zxid));
        assert_eq!(second.xid, xid);
    }
}

/// Whoever reads the new data on the same connection has been told before.
#[test]
fn an_event_comes_before_any_read_that_shows_the_change() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    writer.create("/a", b"0", PERSISTENT);
    for round in 1..=100 {
        let (_, seen) = watcher.get_data("/a", true).expect("there");
        assert_eq!(seen.version, round - 1);
        let set = SetDataRequest { path: "/a".into(), data: Some(b"x"), version: -1 };
        writer.send(Opcode::SetData, &set);
        // Reads race with the write: the first that shows it comes behind the event.
        let fired = until("the change to be seen", || {
            let (_, stat) = watcher.get_data("/a", false).expect("there");
            let told = !watcher.events.is_empty();
            assert!(stat.version == round - 1 || told, "version {} was read before its event", stat.version);
            (stat.version == round).then(|| watcher.events.pop_front()).flatten()
        });
        let written = writer.next_reply();
        assert_eq!(fired, event(EventType::NodeDataChanged, "/a", written.zxid));
    }
}

#[test]
fn a_failed_write_fires_nothing() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    client.get_data("/a", true).expect("there");
    client.children("/a", true).expect("there");
    assert_eq!(client.set_data("/a", b"x", 9), Err(ErrorCode::BadVersion));
    assert_eq!(client.delete("/a", 9), Err(ErrorCode::BadVersion));
    assert_eq!(client.try_create("/a", b"", PERSISTENT), Err(ErrorCode::NodeExists));
    assert_eq!(client.try_create("/a/b/c", b"", PERSISTENT), Err(ErrorCode::NoNode));
    client.assert_quiet();
}

#[test]
fn a_watch_set_twice_fires_once() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    for _ in 0..5 {
        client.get_data("/a", true).expect("there");
        client.exists("/a", true).expect("there");
    }
    client.set_data("/a", b"x", -1).expect("there");
    assert_eq!(client.next_event(), event(EventType::NodeDataChanged, "/a", client.zxid));
    client.assert_quiet();
}

#[test]
fn every_watcher_hears_and_watches_end_with_their_connection() {
    let server = Server::start();
    let mut writer = Client::connect(&server);
    writer.create("/a", b"", PERSISTENT);
    let mut watchers: Vec<Client> = (0..10).map(|_| Client::connect(&server)).collect();
    for watcher in &mut watchers {
        watcher.get_data("/a", true).expect("there");
    }
    // The first comes back on a new connection: its watches are gone.
    let first = watchers.remove(0);
    let again = Connect::again(&first);
    first.cut();
    let mut first = again.open(&server);
    writer.set_data("/a", b"x", -1).expect("there");
    for watcher in &mut watchers {
        assert_eq!(watcher.next_event(), event(EventType::NodeDataChanged, "/a", writer.zxid));
    }
    first.assert_quiet();
}

#[test]
fn the_end_of_a_session_fires_the_watches_on_its_ephemerals() {
    let server = Config::default().set("tickTime", 200).start();
    let mut watcher = Connect { timeout_ms: 4_000, ..Connect::default() }.open(&server);
    watcher.create("/p", b"", PERSISTENT);
    let mut closing = Client::connect(&server);
    closing.create("/p/e", b"", EPHEMERAL);
    watcher.exists("/p/e", true).expect("there");
    watcher.children("/p", true).expect("there");
    let closed = closing.close();
    assert_eq!(watcher.next_event(), event(EventType::NodeDeleted, "/p/e", closed.zxid));
    assert_eq!(watcher.next_event(), event(EventType::NodeChildrenChanged, "/p", closed.zxid));
    let mut expiring = Connect { timeout_ms: 600, ..Connect::default() }.open(&server);
    expiring.create("/p/e", b"", EPHEMERAL);
    watcher.exists("/p/e", true).expect("there");
    watcher.children("/p", true).expect("there");
    expiring.cut();
    // Nothing but pings keeps the watcher alive meanwhile.
    let first = until("an event", || {
        watcher.ping();
        watcher.events.pop_front()
    });
    assert_eq!((first.kind, first.path.as_str()), (EventType::NodeDeleted, "/p/e"));
    let second = watcher.next_event();
    assert_eq!(second, event(EventType::NodeChildrenChanged, "/p", first.zxid));
}
