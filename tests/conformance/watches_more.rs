//! Watches that stay, watches that come back, and watches that are taken off: addWatch, setWatches, setWatches2,
//! checkWatches, removeWatches; and who may hear of what.

use ringkeeper::base::Zxid;
use ringkeeper::wire::client::{
    AddWatchMode, AddWatchRequest, AuthPacket, CheckWatchesRequest, CreateRequest, ErrorResponse, EventType,
    RemoveWatchesRequest, SetWatches, SetWatches2, WatcherType,
};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl, Text, Vector};

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Event, Message, Reply, Server};

fn event(kind: EventType, path: &str, zxid: i64) -> Event {
    Event { zxid, kind, path: path.to_owned() }
}

fn add_watch(client: &mut Client, path: &str, mode: AddWatchMode) {
    let reply = client.call(Opcode::AddWatch, &AddWatchRequest { path: path.into(), mode });
    assert_eq!(reply.record::<ErrorResponse>().err, 0);
}

fn check(client: &mut Client, path: &str, watcher_type: WatcherType) -> ErrorCode {
    let reply = client.call(Opcode::CheckWatches, &CheckWatchesRequest { path: path.into(), watcher_type });
    assert!(reply.body.is_empty());
    reply.code()
}

fn remove(client: &mut Client, path: &str, watcher_type: WatcherType) -> ErrorCode {
    let reply = client.call(Opcode::RemoveWatches, &RemoveWatchesRequest { path: path.into(), watcher_type });
    assert!(reply.body.is_empty());
    reply.code()
}

fn list(paths: &[&str]) -> Vec<u8> {
    let mut bytes = vec![];
    encode_vector(&mut bytes, paths);
    bytes
}

fn vector(bytes: &[u8]) -> Vector<'_, Text<'_>> {
    Vector::parse(bytes).expect("a vector of strings")
}

/// Events and the reply's code, in the order of arrival.
fn told(client: &mut Client) -> (Vec<(EventType, String, i64)>, Reply) {
    let mut events = vec![];
    loop {
        match client.next() {
            Message::Event(Event { zxid, kind, path }) => events.push((kind, path, zxid)),
            Message::Reply(reply) => return (events, reply),
        }
    }
}

#[test]
fn a_persistent_watch_hears_of_its_path_again_and_again() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    add_watch(&mut watcher, "/a", AddWatchMode::Persistent);
    for _ in 0..2 {
        writer.create("/a", b"", PERSISTENT);
        assert_eq!(watcher.next_event(), event(EventType::NodeCreated, "/a", writer.zxid));
        writer.set_data("/a", b"x", -1).expect("there");
        assert_eq!(watcher.next_event(), event(EventType::NodeDataChanged, "/a", writer.zxid));
        writer.create("/a/b", b"", PERSISTENT);
        assert_eq!(watcher.next_event(), event(EventType::NodeChildrenChanged, "/a", writer.zxid));
        writer.set_data("/a/b", b"x", -1).expect("there");
        writer.delete("/a/b", -1).expect("there");
        assert_eq!(watcher.next_event(), event(EventType::NodeChildrenChanged, "/a", writer.zxid));
        writer.delete("/a", -1).expect("there");
        assert_eq!(watcher.next_event(), event(EventType::NodeDeleted, "/a", writer.zxid));
    }
    watcher.assert_quiet();
}

#[test]
fn a_recursive_watch_hears_of_all_below_and_never_of_children() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    add_watch(&mut watcher, "/a", AddWatchMode::PersistentRecursive);
    for path in ["/a", "/a/b", "/a/b/c", "/ab"] {
        writer.create(path, b"", PERSISTENT);
        if path != "/ab" {
            assert_eq!(watcher.next_event(), event(EventType::NodeCreated, path, writer.zxid));
        }
    }
    writer.set_data("/a/b/c", b"x", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeDataChanged, "/a/b/c", writer.zxid));
    for path in ["/a/b/c", "/a/b", "/a"] {
        writer.delete(path, -1).expect("there");
        assert_eq!(watcher.next_event(), event(EventType::NodeDeleted, path, writer.zxid));
    }
    watcher.assert_quiet();
}

#[test]
fn a_recursive_watch_of_the_root_hears_of_everything() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    add_watch(&mut watcher, "/", AddWatchMode::PersistentRecursive);
    writer.create("/a", b"", PERSISTENT);
    assert_eq!(watcher.next_event(), event(EventType::NodeCreated, "/a", writer.zxid));
    writer.set_data("/", b"x", -1).expect("there");
    assert_eq!(watcher.next_event(), event(EventType::NodeDataChanged, "/", writer.zxid));
    writer.create("/a/e", b"", EPHEMERAL);
    assert_eq!(watcher.next_event(), event(EventType::NodeCreated, "/a/e", writer.zxid));
    let zxid = writer.close().zxid;
    assert_eq!(watcher.next_event(), event(EventType::NodeDeleted, "/a/e", zxid));
    watcher.assert_quiet();
}

#[test]
fn a_connection_that_watches_in_many_ways_is_told_once() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    client.exists("/a", true).expect("there");
    client.children("/a", true).expect("there");
    add_watch(&mut client, "/a", AddWatchMode::Persistent);
    add_watch(&mut client, "/a", AddWatchMode::PersistentRecursive);
    add_watch(&mut client, "/", AddWatchMode::PersistentRecursive);
    client.set_data("/a", b"x", -1).expect("there");
    assert_eq!(client.next_event(), event(EventType::NodeDataChanged, "/a", client.zxid));
    client.assert_quiet();
    client.create("/a/b", b"", PERSISTENT);
    assert_eq!(client.next_event(), event(EventType::NodeCreated, "/a/b", client.zxid));
    assert_eq!(client.next_event(), event(EventType::NodeChildrenChanged, "/a", client.zxid));
    client.assert_quiet();
    client.delete("/a/b", -1).expect("there");
    assert_eq!(client.next_event().kind, EventType::NodeDeleted);
    assert_eq!(client.next_event().kind, EventType::NodeChildrenChanged);
    client.delete("/a", -1).expect("there");
    assert_eq!(client.next_event(), event(EventType::NodeDeleted, "/a", client.zxid));
    client.assert_quiet();
}

/// 3.9: modes on one path coexist. A one-time watch that fires, or a type that is removed, leaves the others.
#[test]
fn modes_coexist_and_are_checked_and_removed_one_by_one() {
    use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    for kind in [Children, Data, Any, Persistent, PersistentRecursive] {
        assert_eq!(check(&mut client, "/a", kind), ErrorCode::NoWatcher);
        assert_eq!(remove(&mut client, "/a", kind), ErrorCode::NoWatcher);
    }
    let register = |client: &mut Client| {
        client.get_data("/a", true).expect("there");
        client.children("/a", true).expect("there");
        add_watch(client, "/a", AddWatchMode::Persistent);
        add_watch(client, "/a", AddWatchMode::PersistentRecursive);
    };
    register(&mut client);
    for kind in [Children, Data, Any, Persistent, PersistentRecursive] {
        assert_eq!(check(&mut client, "/a", kind), ErrorCode::Ok, "{kind:?}");
        assert_eq!(check(&mut client, "/b", kind), ErrorCode::NoWatcher, "{kind:?}");
    }
    for kind in [Data, Persistent, Children, PersistentRecursive] {
        assert_eq!(check(&mut client, "/a", Any), ErrorCode::Ok, "before {kind:?} is removed");
        assert_eq!(remove(&mut client, "/a", kind), ErrorCode::Ok, "{kind:?}");
        assert_eq!(remove(&mut client, "/a", kind), ErrorCode::NoWatcher, "{kind:?}");
        assert_eq!(check(&mut client, "/a", kind), ErrorCode::NoWatcher, "{kind:?}");
    }
    assert_eq!(check(&mut client, "/a", Any), ErrorCode::NoWatcher);
    register(&mut client);
    assert_eq!(remove(&mut client, "/a", Any), ErrorCode::Ok);
    assert_eq!(check(&mut client, "/a", Any), ErrorCode::NoWatcher);
    client.set_data("/a", b"x", -1).expect("there");
    client.assert_quiet();
    register(&mut client);
    client.set_data("/a", b"x", -1).expect("there");
    assert_eq!(client.next_event().kind, EventType::NodeDataChanged);
    assert_eq!(check(&mut client, "/a", Data), ErrorCode::NoWatcher, "used up");
    assert_eq!(check(&mut client, "/a", Persistent), ErrorCode::Ok);
}

#[test]
fn watches_of_others_are_not_seen_nor_removed() {
    let server = Server::start();
    let (mut one, mut two) = (Client::connect(&server), Client::connect(&server));
    add_watch(&mut one, "/a", AddWatchMode::Persistent);
    assert_eq!(check(&mut two, "/a", WatcherType::Any), ErrorCode::NoWatcher);
    assert_eq!(remove(&mut two, "/a", WatcherType::Any), ErrorCode::NoWatcher);
    two.create("/a", b"", PERSISTENT);
    assert_eq!(one.next_event().kind, EventType::NodeCreated);
}

#[test]
fn unknown_modes_and_types_are_marshalling_errors() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let mut body = |opcode: Opcode, number: i32| {
        let mut bytes = vec![0, 0, 0, 2, b'/', b'a'];
        number.encode(&mut bytes);
        client.send_raw(7, opcode.code(), &bytes);
        client.next_reply().code()
    };
    for mode in [-1, 2, 99] {
        assert_eq!(body(Opcode::AddWatch, mode), ErrorCode::MarshallingError, "mode {mode}");
    }
    for opcode in [Opcode::CheckWatches, Opcode::RemoveWatches] {
        for kind in [-1, 0, 6] {
            assert_eq!(body(opcode, kind), ErrorCode::MarshallingError, "{opcode} of {kind}");
        }
    }
    client.assert_quiet();
}

/// What setWatches says of each list, for a node that is missing, one that changed, and one that did not.
#[test]
fn set_watches_tells_what_happened_meanwhile_and_registers_the_rest() {
    use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    let server = Server::start();
    let mut writer = Client::connect(&server);
    writer.create("/still", b"", PERSISTENT);
    writer.create("/changed", b"", PERSISTENT);
    let seen = writer.zxid;
    writer.set_data("/changed", b"x", -1).expect("there");
    writer.create("/changed/child", b"", PERSISTENT);
    let mut client = Client::connect(&server);
    let paths = list(&["/gone", "/changed", "/still"]);
    let paths = vector(&paths);
    let request = SetWatches {
        relative_zxid: Zxid(seen),
        data_watches: paths,
        exist_watches: paths,
        child_watches: paths,
    };
    client.send_raw(-8, Opcode::SetWatches.code(), &encoded(&request));
    let (events, reply) = told(&mut client);
    let expected = [
        (NodeDeleted, "/gone"),
        (NodeDataChanged, "/changed"),
        (NodeCreated, "/changed"),
        (NodeCreated, "/still"),
        (NodeDeleted, "/gone"),
        (NodeChildrenChanged, "/changed"),
    ];
    assert_eq!(events, expected.map(|(kind, path)| (kind, path.to_owned(), -1)));
    assert_eq!((reply.xid, reply.err, reply.zxid), (-8, 0, server.zxid()));
    assert!(reply.body.is_empty());
    // Left: data of /still, existence of /gone, children of /still.
    writer.set_data("/changed", b"y", -1).expect("there");
    client.assert_quiet();
    writer.set_data("/still", b"x", -1).expect("there");
    assert_eq!(client.next_event(), event(NodeDataChanged, "/still", writer.zxid));
    writer.create("/gone", b"", PERSISTENT);
    assert_eq!(client.next_event(), event(NodeCreated, "/gone", writer.zxid));
    writer.create("/still/child", b"", PERSISTENT);
    assert_eq!(client.next_event(), event(NodeChildrenChanged, "/still", writer.zxid));
    client.assert_quiet();
}

fn encoded(record: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![];
    record.encode(&mut bytes);
    bytes
}

#[test]
fn set_watches2_brings_lasting_watches_back_in_any_number_of_chunks() {
    let server = Server::start();
    let (mut client, mut writer) = (Client::connect(&server), Client::connect(&server));
    writer.create("/a", b"", PERSISTENT);
    let chunks =
        [(list(&["/a"]), list(&["/r"])), (list(&["/b", "/a"]), list(&[])), (list(&[]), list(&["/r/s"]))];
    for (persistent, recursive) in &chunks {
        let request = SetWatches2 {
            relative_zxid: Zxid(0),
            data_watches: Vector::EMPTY,
            exist_watches: Vector::EMPTY,
            child_watches: Vector::EMPTY,
            persistent_watches: vector(persistent),
            persistent_recursive_watches: vector(recursive),
        };
        client.send_raw(-8, Opcode::SetWatches2.code(), &encoded(&request));
    }
    for _ in &chunks {
        let (events, reply) = told(&mut client);
        assert_eq!(
            (events, reply.xid, reply.err),
            (vec![], -8, 0),
            "lasting watches are told nothing of the past"
        );
    }
    for path in ["/a/child", "/b", "/r", "/r/s", "/r/s/t"] {
        writer.create(path, b"", PERSISTENT);
    }
    let mut heard = || {
        let Event { kind, path, .. } = client.next_event();
        (kind, path)
    };
    assert_eq!(heard(), (EventType::NodeChildrenChanged, "/a".to_owned()));
    for path in ["/b", "/r", "/r/s", "/r/s/t"] {
        assert_eq!(heard(), (EventType::NodeCreated, path.to_owned()));
    }
    client.assert_quiet();
}

#[test]
fn a_null_list_of_watches_is_a_marshalling_error() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let null = [0xff; 4];
    let mut body = vec![0; 8];
    body.extend(list(&[]));
    body.extend(null);
    body.extend(list(&[]));
    client.send_raw(-8, Opcode::SetWatches.code(), &body);
    assert_eq!(client.next_reply().code(), ErrorCode::MarshallingError);
    client.assert_quiet();
}

/// In whichever list: a null list or, among paths that are watched once, a null is an error, and what came before it is
/// done. Persistent watches take the null for a path.
#[test]
fn nulls_in_the_lists_of_set_watches() {
    const KINDS: [EventType; 3] =
        [EventType::NodeDataChanged, EventType::NodeCreated, EventType::NodeChildrenChanged];
    let server = Server::start();
    let mut maker = Client::connect(&server);
    maker.create("/w", b"", PERSISTENT);
    let mut vector = vec![];
    encode_vector(&mut vector, ["/w"]);
    let only = vector.clone();
    // Between two paths, a null.
    vector[3] = 3;
    vector.extend([0xff; 4]);
    vector.extend(&only[4..]);
    let null_list = vec![0xff; 4];
    for (opcode, count) in [(Opcode::SetWatches, 3), (Opcode::SetWatches2, 5)] {
        for at in 0..count {
            for (nulls, told_there) in [(&null_list, 0), (&vector, 1)] {
                let mut client = Client::connect(&server);
                let mut body = vec![0; 8];
                for list in 0..count {
                    body.extend(if list == at { nulls } else { &only });
                }
                client.send_raw(-8, opcode.code(), &body);
                let is_taken = at >= 3 && told_there > 0;
                let expected = if is_taken { ErrorCode::Ok } else { ErrorCode::MarshallingError };
                let reply = client.next_reply();
                assert_eq!(reply.code(), expected, "{opcode:?}, {nulls:x?} in list {at}");
                let told: Vec<EventType> = client.events.drain(..).map(|event| event.kind).collect();
                let before = (at + told_there).min(KINDS.len());
                assert_eq!(told, KINDS[..before], "{opcode:?}, {nulls:x?} in list {at}");
                client.assert_quiet();
                let wchc = server.word("wchc");
                assert_eq!(wchc.contains("\tnull\n"), is_taken, "{wchc}");
            }
        }
    }
}

/// More paths than one turn goes through: all of them are told, before the reply and in order.
#[test]
fn a_long_set_watches_is_told_whole_and_answered_in_its_turn() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let names: Vec<String> = (0..9_000).map(|number| format!("/missing-{number:05}")).collect();
    let bytes = list(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let request = SetWatches {
        relative_zxid: Zxid(0),
        data_watches: vector(&bytes),
        exist_watches: vector(&bytes),
        child_watches: Vector::EMPTY,
    };
    client.send_raw(-8, Opcode::SetWatches.code(), &encoded(&request));
    client.send_raw(5, Opcode::Ping.code(), &[]);
    let (_, create) = client.request(
        Opcode::Create,
        &CreateRequest { path: "/missing-08999".into(), data: None, acl: Some(AclList::OPEN), flags: 0 },
    );
    client.send_bytes(&create);
    let (events, reply) = told(&mut client);
    assert_eq!(events.len(), names.len());
    assert!(events.iter().zip(&names).all(|(event, name)| event.1 == *name));
    assert_eq!(reply.xid, -8);
    assert_eq!(client.next_reply().xid, -2);
    let (events, _) = told(&mut client);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].0, &events[0].1), (EventType::NodeCreated, &names[8999]));
}

/// Who may not read a node is not told of it, and a one-time watch is used up all the same.
#[test]
fn events_are_told_to_those_who_may_read() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    let auth = AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(b"u:p") };
    let mut body = vec![];
    auth.encode(&mut body);
    writer.send_raw(-4, Opcode::Auth.code(), &body);
    assert_eq!(writer.next_reply().err, 0);
    let mut own = vec![];
    encode_vector(&mut own, [OwnedAcl::new(31, "auth", "")]);
    let acl = AclList::parse(&own).expect("a list");
    let create = |writer: &mut Client, path: &str| {
        let request = CreateRequest { path: path.into(), data: None, acl: Some(acl), flags: 0 };
        assert_eq!(writer.call(Opcode::Create, &request).err, 0);
    };
    for path in ["/secret", "/secret/below", "/open"] {
        assert_eq!(watcher.exists(path, true), Err(ErrorCode::NoNode));
    }
    add_watch(&mut watcher, "/secret", AddWatchMode::Persistent);
    create(&mut writer, "/secret");
    create(&mut writer, "/secret/below");
    writer.set_data("/secret", b"x", -1).expect("its own");
    watcher.assert_quiet();
    writer.create("/open", b"", PERSISTENT);
    assert_eq!(watcher.next_event().path, "/open");
    assert_eq!(check(&mut watcher, "/secret", WatcherType::Data), ErrorCode::NoWatcher, "used up");
    assert_eq!(check(&mut watcher, "/secret", WatcherType::Persistent), ErrorCode::Ok);
    writer.delete("/secret/below", -1).expect("its own");
    writer.delete("/secret", -1).expect("its own");
    watcher.assert_quiet();
}

/// The null path is watched like any other, and nothing ever happens there.
#[test]
fn a_null_path_can_be_watched() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let mut call = |opcode: Opcode, number: u8| {
        client.send_raw(3, opcode.code(), &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, number]);
        client.next_reply().code()
    };
    assert_eq!(call(Opcode::CheckWatches, 3), ErrorCode::NoWatcher);
    assert_eq!(call(Opcode::RemoveWatches, 3), ErrorCode::NoWatcher);
    assert_eq!(call(Opcode::AddWatch, 0), ErrorCode::Ok);
    assert_eq!(call(Opcode::CheckWatches, 4), ErrorCode::Ok);
    assert_eq!(call(Opcode::RemoveWatches, 4), ErrorCode::Ok);
    assert_eq!(call(Opcode::CheckWatches, 3), ErrorCode::NoWatcher);
}
