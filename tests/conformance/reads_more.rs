//! multiRead, getEphemerals, getAllChildrenNumber, and answers too long for one turn.

use std::io::{Read, Write};

use ringkeeper::base::{SessionId, Zxid};
use ringkeeper::wire::client::header::encode_frame;
use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{
    ConnectRequest, CreateRequest, GetAllChildrenNumberRequest, GetAllChildrenNumberResponse,
    GetChildrenRequest, GetChildrenResponse, GetDataRequest, GetEphemeralsRequest, GetEphemeralsResponse,
    MultiOp, MultiReadOp, MultiResult, MultiResults, SetDataRequest,
};
use ringkeeper::wire::{AclList, Encode, ErrorCode, Opcode, OwnedAcl};

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Event, Message, Server};

/// Children of one node: several turns' worth.
const MANY: usize = 10_000;

fn encoded<E: Encode>(items: impl IntoIterator<Item = E>) -> Vec<u8> {
    let mut bytes = vec![];
    encode_list(&mut bytes, items);
    bytes
}

fn data(path: &str) -> MultiReadOp<'_> {
    MultiReadOp::GetData(GetDataRequest { path: path.into(), watch: true })
}

fn children(path: &str) -> MultiReadOp<'_> {
    MultiReadOp::GetChildren(GetChildrenRequest { path: path.into(), watch: true })
}

fn number(client: &mut Client, path: &str) -> Result<i32, ErrorCode> {
    let reply = client.call(Opcode::GetAllChildrenNumber, &GetAllChildrenNumberRequest { path: path.into() });
    if reply.err != 0 {
        return Err(reply.code());
    }
    Ok(reply.record::<GetAllChildrenNumberResponse>().total_number)
}

fn ephemerals(client: &mut Client, prefix: Option<&str>) -> Vec<String> {
    let prefix_path = prefix.map(Into::into);
    let reply = client.call(Opcode::GetEphemerals, &GetEphemeralsRequest { prefix_path });
    let response = reply.record::<GetEphemeralsResponse>();
    let mut paths: Vec<String> = response.ephemerals.iter().map(|path| path.to_string()).collect();
    paths.sort();
    paths
}

/// Many children below `path`, pipelined.
fn fill(client: &mut Client, path: &str, count: usize) {
    for batch in (0..count).collect::<Vec<_>>().chunks(500) {
        for child in batch {
            let path = format!("{path}/child-{child:06}");
            let request =
                CreateRequest { path: path.as_str().into(), data: None, acl: Some(AclList::OPEN), flags: 0 };
            client.send(Opcode::Create, &request);
        }
        for _ in batch {
            assert_eq!(client.next_reply().err, 0);
        }
    }
}

#[test]
fn a_multi_read_answers_each_in_its_place() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"x", PERSISTENT);
    client.create("/a/b", b"", PERSISTENT);
    let write_only = {
        let mut bytes = vec![];
        ringkeeper::wire::vector::encode_vector(&mut bytes, [OwnedAcl::new(2, "world", "anyone")]);
        bytes
    };
    let acl = <AclList as ringkeeper::wire::Decode>::parse(&write_only).expect("a list");
    let request = CreateRequest { path: "/secret".into(), data: None, acl: Some(acl), flags: 0 };
    assert_eq!(client.call(Opcode::Create, &request).err, 0);
    let stat = client.stat("/a");
    let ops = [data("/a"), data("/missing"), children("/a"), children("/secret"), children("/a/b")];
    client.send_raw(9, Opcode::MultiRead.code(), &encoded(ops));
    let reply = client.next_reply();
    assert_eq!((reply.xid, reply.err, reply.zxid), (9, 0, server.zxid()));
    let results: Vec<MultiResult<'_>> = reply.record::<MultiResults>().iter().collect();
    assert_eq!(results[0], MultiResult::GetData { data: Some(b"x"), stat });
    assert_eq!(results[1], MultiResult::Error(ErrorCode::NoNode));
    let MultiResult::GetChildren { children } = results[2] else { panic!("{:?}", results[2]) };
    assert_eq!(children.iter().map(|name| name.to_string()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(results[3], MultiResult::Error(ErrorCode::NoAuth));
    let MultiResult::GetChildren { children } = results[4] else { panic!("{:?}", results[4]) };
    assert!(children.is_empty());
    assert_eq!(results.len(), 5);
    // The flags set no watch.
    client.set_data("/a", b"y", -1).expect("there");
    client.create("/a/c", b"", PERSISTENT);
    client.assert_quiet();
}

#[test]
fn a_multi_read_of_nothing_is_the_end_alone_and_writes_have_no_place_in_it() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let nothing: [MultiReadOp<'_>; 0] = [];
    client.send_raw(1, Opcode::MultiRead.code(), &encoded(nothing));
    let reply = client.next_reply();
    assert_eq!((reply.err, &reply.body[..]), (0, &[0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff][..]));
    let write = MultiOp::SetData(SetDataRequest { path: "/".into(), data: None, version: -1 });
    let bytes = encoded([write]);
    // A create can't have the flags of a TTL node: that is found before the first write is.
    let acl = Some(AclList::OPEN);
    let ttl = encoded([MultiOp::Create(CreateRequest { path: "/a".into(), data: None, acl, flags: 6 })]);
    let cut = encoded([data("/")]);
    let end = encoded(nothing);
    for (body, left) in [(&bytes[..], &end[..]), (&ttl[..], &[]), (&cut[..cut.len() - 4], &[]), (&[], &[])] {
        client.send_raw(2, Opcode::MultiRead.code(), body);
        let reply = client.next_reply();
        assert_eq!((reply.xid, reply.code()), (2, ErrorCode::MarshallingError));
        assert_eq!(reply.body, left, "{body:x?}: what was answered before the first write");
    }
    client.assert_quiet();
}

#[test]
fn all_descendants_are_counted() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    assert_eq!(number(&mut client, "/"), Ok(3), "/zookeeper and what is below it");
    for path in ["/a", "/a/b", "/a/b/c", "/a/d", "/ab"] {
        client.create(path, b"", PERSISTENT);
    }
    let expected = [("/", 8), ("/a", 3), ("/a/b", 1), ("/a/b/c", 0), ("/ab", 0), ("/zookeeper", 2)];
    for (path, count) in expected {
        assert_eq!(number(&mut client, path), Ok(count), "{path}");
    }
    assert_eq!(number(&mut client, ""), Ok(9), "the root is among those that begin with a slash");
    assert_eq!(number(&mut client, "/missing"), Err(ErrorCode::NoNode));
    client.delete("/a/b/c", -1).expect("there");
    assert_eq!(number(&mut client, "/a"), Ok(2));
}

#[test]
fn ephemerals_are_the_sessions_own_and_begin_with_the_prefix() {
    let server = Server::start();
    let (mut one, mut two) = (Client::connect(&server), Client::connect(&server));
    one.create("/a", b"", PERSISTENT);
    for path in ["/a/x", "/a/xy", "/b"] {
        one.create(path, b"", EPHEMERAL);
    }
    two.create("/c", b"", EPHEMERAL);
    for prefix in [None, Some(""), Some(" "), Some("/"), Some(" / ")] {
        assert_eq!(ephemerals(&mut one, prefix), ["/a/x", "/a/xy", "/b"], "{prefix:?}");
    }
    assert_eq!(ephemerals(&mut one, Some("/a")), ["/a/x", "/a/xy"]);
    assert_eq!(ephemerals(&mut one, Some("/a/xy")), ["/a/xy"]);
    assert_eq!(ephemerals(&mut one, Some("a")), [""; 0]);
    assert_eq!(ephemerals(&mut two, None), ["/c"]);
    one.delete("/b", -1).expect("there");
    assert_eq!(ephemerals(&mut one, None), ["/a/x", "/a/xy"]);
}

/// Pipelined between writes: it shows those before it and none behind it.
#[test]
fn ephemerals_are_listed_in_the_sessions_order() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for number in 0..20 {
        let path = format!("/e{number}");
        let create = CreateRequest {
            path: path.as_str().into(),
            data: None,
            acl: Some(AclList::OPEN),
            flags: EPHEMERAL,
        };
        client.send(Opcode::Create, &create);
        client.send(Opcode::GetEphemerals, &GetEphemeralsRequest { prefix_path: None });
    }
    for number in 0..20 {
        assert_eq!(client.next_reply().err, 0);
        let reply = client.next_reply();
        assert_eq!(reply.record::<GetEphemeralsResponse>().ephemerals.len(), number + 1);
    }
    client.send_raw(99, Opcode::GetEphemerals.code(), &[0, 0]);
    assert_eq!(client.next_reply().code(), ErrorCode::MarshallingError);
}

/// A list that takes several turns: exact at its version, with its watch armed behind it, and nothing overtakes it.
#[test]
fn a_long_list_of_children_is_exact_and_in_order() {
    let server = Server::start();
    let (mut client, mut writer) = (Client::connect(&server), Client::connect(&server));
    writer.create("/many", b"", PERSISTENT);
    fill(&mut writer, "/many", MANY);
    for round in 0..5 {
        client.send(Opcode::GetChildren, &GetChildrenRequest { path: "/many".into(), watch: true });
        let (last, bytes) = client.request(
            Opcode::Create,
            &CreateRequest {
                path: format!("/many/late-{round}").as_str().into(),
                data: None,
                acl: Some(AclList::OPEN),
                flags: 0,
            },
        );
        client.send_bytes(&bytes);
        let Message::Reply(reply) = client.next() else { panic!("an event overtook the list") };
        let names: Vec<String> =
            reply.record::<GetChildrenResponse>().children.iter().map(|name| name.to_string()).collect();
        assert_eq!(names.len(), MANY + round);
        assert!(!names.contains(&format!("late-{round}")));
        let Message::Event(Event { path, .. }) = client.next() else { panic!("its watch was not armed") };
        assert_eq!(path, "/many");
        assert_eq!(client.next_reply().xid, last);
    }
    assert_eq!(number(&mut client, "/many"), Ok(MANY as i32 + 5));
    assert_eq!(number(&mut client, "/"), Ok(MANY as i32 + 9));
    let (names, stat) = client.children2("/many", false).expect("there");
    assert_eq!((names.len(), stat.num_children), (MANY + 5, MANY as i32 + 5));
    let ops: Vec<_> = (0..3).map(|_| children("/many")).collect();
    client.send_raw(3, Opcode::MultiRead.code(), &encoded(ops));
    let reply = client.next_reply();
    let results = reply.record::<MultiResults>();
    for result in results.iter() {
        let MultiResult::GetChildren { children } = result else { panic!("{result:?}") };
        assert_eq!(children.len(), MANY + 5);
    }
    assert_eq!(results.len(), 3);
}

/// Each is answered at once, which has the next one taken: however many there are, no stack grows with them.
#[test]
fn many_ephemerals_requests_behind_a_connect_request_are_all_answered() {
    const COUNT: usize = 40_000;
    let server = Server::start();
    let mut socket = server.socket();
    let connect = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 10_000,
        session_id: SessionId(0),
        password: Some(&[0; 16]),
        read_only: Some(false),
    };
    let mut bytes = vec![];
    encode_frame(&mut bytes, &connect);
    for xid in 1..=COUNT as i32 {
        bytes.extend(16i32.to_be_bytes());
        bytes.extend(xid.to_be_bytes());
        bytes.extend(Opcode::GetEphemerals.code().to_be_bytes());
        bytes.extend(4i32.to_be_bytes());
        bytes.extend(b"none");
    }
    let mut writer = socket.try_clone().expect("a socket");
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&bytes).expect("the server reads"));
        let mut replies = vec![0; 41 + COUNT * (4 + 16 + 4)];
        socket.read_exact(&mut replies).expect("as many answers as requests");
        let last = &replies[replies.len() - 24..];
        assert_eq!(last[4..8], (COUNT as i32).to_be_bytes());
        assert_eq!(last[16..20], [0; 4], "no error");
    });
    assert_eq!(server.word("ruok"), "imok");
}
