//! multi: its framing, what each operation ends with, and who hears of it.

use ringkeeper::wire::client::multi::{MultiHeader, encode_list};
use ringkeeper::wire::client::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, EventType, GetDataRequest, MultiOp,
    MultiResult, MultiResults, ReconfigRequest, SetDataRequest,
};
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, Text};

use crate::support::client::{EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT, Reply, SEQUENTIAL};
use crate::support::server::is_ringkeeper;
use crate::support::{Client, Event, Server};

use ErrorCode::{
    BadArguments, BadVersion, InvalidACL, MarshallingError, NoNode, NodeExists, NotEmpty, Ok as Fine,
    RuntimeInconsistency, Unimplemented,
};

fn request(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest { path: path.into(), data: Some(b"data"), acl: Some(AclList::OPEN), flags }
}

fn create(path: &str, flags: i32) -> MultiOp<'_> {
    MultiOp::Create(request(path, flags))
}

fn create2(path: &str, flags: i32) -> MultiOp<'_> {
    MultiOp::Create2(request(path, flags))
}

fn container(path: &str, flags: i32) -> MultiOp<'_> {
    MultiOp::CreateContainer(request(path, flags))
}

fn ttl(path: &str, flags: i32, ttl: i64) -> MultiOp<'_> {
    let CreateRequest { path, data, acl, flags } = request(path, flags);
    MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags, ttl })
}

fn delete(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::Delete(DeleteRequest { path: path.into(), version })
}

fn set(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::SetData(SetDataRequest { path: path.into(), data: Some(b"set"), version })
}

fn check(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::Check(CheckVersionRequest { path: path.into(), version })
}

struct Raw(Vec<u8>);

impl Encode for Raw {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

fn body(ops: &[MultiOp<'_>]) -> Raw {
    let mut bytes = vec![];
    encode_list(&mut bytes, ops.iter().copied());
    Raw(bytes)
}

fn multi(client: &mut Client, ops: &[MultiOp<'_>]) -> Reply {
    client.call(Opcode::Multi, &body(ops))
}

/// A multi that is carried out: its results in words.
fn granted(client: &mut Client, ops: &[MultiOp<'_>]) -> Vec<String> {
    let reply = multi(client, ops);
    let say = |result: MultiResult<'_>| match result {
        MultiResult::Create { path } => format!("create {path}"),
        MultiResult::Create2 { path, stat } => {
            let owner = if stat.ephemeral_owner.0 == 0 { "" } else { " ephemeral" };
            format!("create2 {path} at {}{owner}", stat.czxid.0 - reply.zxid)
        }
        MultiResult::Delete => "delete".to_owned(),
        MultiResult::SetData { stat } => format!("set {} of {} bytes", stat.version, stat.data_length),
        MultiResult::Check => "check".to_owned(),
        other => panic!("{other:?} in a multi that succeeds"),
    };
    let results = reply.record::<MultiResults<'_>>();
    results.iter().map(say).collect()
}

/// A multi that is refused: what each operation ends with. The header says nothing of it.
fn refused(client: &mut Client, ops: &[MultiOp<'_>]) -> Vec<ErrorCode> {
    let reply = multi(client, ops);
    let results = reply.record::<MultiResults<'_>>();
    let code = |result| match result {
        MultiResult::Error(code) => code,
        other => panic!("{other:?} in a multi that fails"),
    };
    results.iter().map(code).collect()
}

#[test]
fn operations_share_a_zxid_and_see_each_other() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let before = client.ping().zxid;
    let ops = [
        create("/a", PERSISTENT),
        create2("/a/b", EPHEMERAL),
        set("/a", 0),
        set("/a", 1),
        check("/a", 2),
        delete("/a/b", 0),
        create("/a/s-", SEQUENTIAL),
        create2("/a/s-", EPHEMERAL_SEQUENTIAL),
        create("/a/b", PERSISTENT),
        container("/c", 0),
    ];
    let expected = [
        "create /a",
        "create2 /a/b at 0 ephemeral",
        "set 1 of 3 bytes",
        "set 2 of 3 bytes",
        "check",
        "delete",
        "create /a/s-0000000001",
        "create2 /a/s-0000000002 at 0 ephemeral",
        "create /a/b",
        "create2 /c at 0",
    ];
    assert_eq!(granted(&mut client, &ops), expected);
    assert_eq!(client.zxid, before + 1, "one transaction");
    let zxid = client.zxid;
    let stat = client.stat("/a");
    assert_eq!((stat.czxid.0, stat.mzxid.0, stat.pzxid.0), (zxid, zxid, zxid));
    assert_eq!((stat.version, stat.num_children, stat.cversion), (2, 3, 5));
    assert_eq!(stat.ctime, stat.mtime, "and one time");
    assert_eq!(client.stat("/a/b").ephemeral_owner.0, 0, "its second life");
    // The ephemeral of the multi goes with the session.
    client.close();
    let mut other = Client::connect(&server);
    assert_eq!(other.children("/a", false), Ok(vec!["b".to_owned(), "s-0000000001".to_owned()]));
}

#[test]
fn the_first_failure_undoes_all() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"old", PERSISTENT);
    client.create("/a/x", b"", PERSISTENT);
    let before = client.zxid;
    let ops =
        [create("/b", EPHEMERAL), delete("/a/x", 0), set("/a", 7), check("/missing", -1), delete("", -1)];
    assert_eq!(
        refused(&mut client, &ops),
        [Fine, Fine, BadVersion, RuntimeInconsistency, RuntimeInconsistency]
    );
    assert_eq!(client.zxid, before + 1, "the refusal takes a zxid");
    assert_eq!(client.exists("/b", false), Err(NoNode));
    assert_eq!(client.data("/a"), b"old");
    client.stat("/a/x");
    // Each of them against what the ones before it left.
    for (ops, expected) in [
        (vec![create("/b", 0), create("/b", 0)], vec![Fine, NodeExists]),
        (vec![delete("/a/x", -1), delete("/a/x", -1)], vec![Fine, NoNode]),
        (vec![create("/b", 0), create("/b/c", 0), delete("/b", -1)], vec![Fine, Fine, NotEmpty]),
        (vec![create("/e", 1), create("/e/c", 0)], vec![Fine, ErrorCode::NoChildrenForEphemerals]),
        (vec![set("/a", 0), check("/a", 0)], vec![Fine, BadVersion]),
        (vec![check("/missing", -1)], vec![NoNode]),
        (vec![check("", -1)], vec![BadArguments]),
        (vec![check("/a/", -1)], vec![BadArguments]),
        (vec![delete("/", -1)], vec![BadArguments]),
        (vec![delete("/zookeeper/config", -1)], vec![BadArguments]),
        (vec![set("/zookeeper/config", -1)], vec![ErrorCode::NoAuth]),
        (vec![create("/", 0)], vec![NodeExists]),
        (vec![create("b", 0)], vec![BadArguments]),
        (vec![create("/missing/b", 0), create("/c", 0)], vec![NoNode, RuntimeInconsistency]),
    ] {
        assert_eq!(refused(&mut client, &ops), expected, "{ops:?}");
    }
    // What was taken back is not in the way of what follows, pipelined or not.
    for xid in [
        client.send(Opcode::Multi, &body(&[create("/b", 1), delete("/a/x", 0), check("/a", 9)])),
        client.send(Opcode::Create, &request("/b", 0)),
        client.send(Opcode::Create, &request("/a/x", 0)),
        client.send(Opcode::Delete, &DeleteRequest { path: "/a".into(), version: -1 }),
    ]
    .into_iter()
    .zip([Fine, Fine, NodeExists, NotEmpty])
    {
        let reply = client.next_reply();
        assert_eq!((reply.xid, reply.code()), xid);
    }
    assert_eq!(client.stat("/b").ephemeral_owner.0, 0);
}

#[test]
fn a_multi_may_be_empty() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let before = client.ping().zxid;
    let reply = multi(&mut client, &[]);
    assert_eq!((reply.err, reply.zxid), (0, before + 1));
    assert_eq!(reply.body, [0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff]);
}

#[test]
fn results_are_encoded_as_zookeepers_clients_expect() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let reply = multi(&mut client, &[create("/a", 0), check("/a", 0), delete("/a", 0)]);
    let expected = [
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, b'/', b'a'][..],
        &[0, 0, 0, 13, 0, 0, 0, 0, 0],
        &[0, 0, 0, 2, 0, 0, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff],
    ];
    assert_eq!(reply.body, expected.concat());
    let reply = multi(&mut client, &[check("/", -1), check("/missing", -1), check("/", -1)]);
    let error =
        |code: u8, high: u8| [0xff, 0xff, 0xff, 0xff, 0, high, high, high, code, high, high, high, code];
    let expected = [
        &error(0, 0)[..],
        &error(0x9b, 0xff),
        &error(0xfe, 0xff),
        &[0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff],
    ];
    assert_eq!(reply.body, expected.concat());
}

#[test]
fn flags_decide_the_kind_within_a_multi() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let ops = [
        create("/a", 4),
        create2("/b", 4),
        container("/c", 1),
        ttl("/d", 0, 5),
        ttl("/e", 1, -1),
        ttl("/f", 4, 5),
        ttl("/g", 2, -7),
    ];
    let expected = [
        "create2 /a at 0",
        "create2 /b at 0",
        "create2 /c at 0",
        "create /d",
        "create /e",
        "create2 /f at 0",
        "create /g0000000006",
    ];
    assert_eq!(granted(&mut client, &ops), expected);
    assert_eq!(client.stat("/e").ephemeral_owner.0, client.session);
    for path in ["/a", "/b", "/c", "/d", "/f"] {
        assert_eq!(client.stat(path).ephemeral_owner.0, 0, "{path}");
    }
    assert_eq!(refused(&mut client, &[ttl("/x", 5, 5)]), [Unimplemented], "extended types are off");
    assert_eq!(refused(&mut client, &[ttl("/x", 7, 5)]), [BadArguments]);
    assert_eq!(refused(&mut client, &[ttl("/x", -1, 5)]), [BadArguments]);
    let empty = CreateRequest { acl: Some(AclList::EMPTY), ..request("/x", 0) };
    assert_eq!(refused(&mut client, &[MultiOp::Create(empty)]), [InvalidACL]);
    let no_acl = CreateTtlRequest { path: "/x".into(), data: None, acl: None, flags: 0, ttl: 5 };
    assert_eq!(refused(&mut client, &[MultiOp::CreateTtl(no_acl)]), [InvalidACL]);
}

#[test]
fn what_can_not_be_read_is_an_error_of_the_header() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let no_acl = CreateRequest { acl: None, ..request("/x", 0) };
    let mut bodies: Vec<(String, Raw)> = vec![];
    for bad in [
        create("/x", 5),
        create2("/x", 6),
        create("/x", 7),
        create("/x", -1),
        container("/x", 9),
        MultiOp::Create(no_acl),
        MultiOp::Create2(no_acl),
        MultiOp::CreateContainer(no_acl),
    ] {
        bodies.push((format!("{bad:?}"), body(&[bad])));
        bodies.push((format!("a fine one and {bad:?}"), body(&[create("/x", 0), bad])));
        bodies.push((format!("a wrong one and {bad:?}"), body(&[delete("/missing", -1), bad])));
    }
    let whole = body(&[create("/x", 0)]).0;
    for cut in [0, 8, 9, 12, 30, whole.len() - 9, whole.len() - 1] {
        bodies.push((format!("{cut} bytes of it"), Raw(whole[..cut].to_vec())));
    }
    let get = GetDataRequest { path: "/".into(), watch: false };
    for kind in [4, 8, 7, 14, 16, 20, 0, -1, 99] {
        let mut bytes = vec![];
        MultiHeader { kind, done: false, err: -1 }.encode(&mut bytes);
        get.encode(&mut bytes);
        bytes.extend(body(&[]).0);
        bodies.push((format!("an operation of type {kind}"), Raw(bytes)));
    }
    for (what, body) in bodies {
        let before = client.ping().zxid;
        let reply = client.call(Opcode::Multi, &body);
        assert_eq!(reply.code(), MarshallingError, "{what}");
        assert!(reply.body.is_empty(), "{what}: {:x?}", reply.body);
        // Where Java trips over a null it does so before it has taken a zxid, and logs the current one twice.
        if is_ringkeeper() {
            assert_eq!(reply.zxid, before + 1, "{what}: the refusal takes a zxid");
        }
    }
    assert_eq!(client.exists("/x", false), Err(NoNode));
}

/// A null path, which no Java client can send.
#[test]
fn null_paths_within_a_multi() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let null = [0xff; 4];
    let rest_of_create = &{
        let mut bytes = vec![];
        request("", 0).encode(&mut bytes);
        bytes
    }[4..];
    for (kind, rest, code) in [
        (1, rest_of_create, MarshallingError),
        (15, rest_of_create, MarshallingError),
        (2, &null[..], MarshallingError),
        (5, &[null, null].concat()[..], MarshallingError),
        (13, &null[..], MarshallingError),
    ] {
        let mut bytes = vec![];
        MultiHeader { kind, done: false, err: -1 }.encode(&mut bytes);
        bytes.extend(null);
        bytes.extend(rest);
        bytes.extend(body(&[]).0);
        let reply = client.call(Opcode::Multi, &Raw(bytes));
        assert_eq!((reply.code(), reply.body.is_empty()), (code, true), "type {kind}: {:x?}", reply.body);
    }
}

#[test]
fn events_come_in_the_order_of_the_operations() {
    let server = Server::start();
    let (mut watcher, mut writer) = (Client::connect(&server), Client::connect(&server));
    writer.create("/p", b"", PERSISTENT);
    writer.create("/old", b"", PERSISTENT);
    watcher.children("/p", true).expect("there");
    assert_eq!(watcher.exists("/p/a", true), Err(NoNode));
    watcher.get_data("/old", true).expect("there");
    watcher.children("/", true).expect("there");
    assert!(!refused(&mut writer, &[create("/p/a", 0), delete("/old", -1), check("/p", 5)]).is_empty());
    watcher.assert_quiet();
    granted(&mut writer, &[delete("/old", -1), create("/p/a", 0), set("/p/a", 0), create("/p/b", 0)]);
    let zxid = writer.zxid;
    for (kind, path) in [
        (EventType::NodeDeleted, "/old"),
        (EventType::NodeChildrenChanged, "/"),
        (EventType::NodeCreated, "/p/a"),
        (EventType::NodeChildrenChanged, "/p"),
    ] {
        assert_eq!(watcher.next_event(), Event { zxid, kind, path: path.to_owned() });
    }
    watcher.assert_quiet();
}

#[test]
fn a_multi_survives_a_restart() {
    let mut server = Server::start();
    let mut client = Client::connect(&server);
    granted(&mut client, &[create("/a", 0), create("/a/b", 2), set("/a", 0), container("/c", 0)]);
    refused(&mut client, &[create("/x", 0), check("/a", 0)]);
    let (stat, zxid) = (client.stat("/a"), client.zxid);
    client.cut();
    server.kill();
    server.restart();
    let mut client = Client::connect(&server);
    assert_eq!(client.stat("/a"), stat);
    assert_eq!(client.children("/", false), Ok(["a", "c", "zookeeper"].map(str::to_owned).to_vec()));
    assert!(client.ping().zxid > zxid);
}

/// A largest multi: as many operations as a frame holds.
#[test]
fn a_large_multi_is_carried_out() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/m", b"", PERSISTENT);
    let paths: Vec<String> = (0..10_000).map(|n| format!("/m/{n:05}")).collect();
    let ops: Vec<MultiOp<'_>> = paths.iter().map(|path| create(path, 0)).collect();
    let reply = multi(&mut client, &ops);
    assert_eq!(reply.record::<MultiResults<'_>>().len(), paths.len());
    assert_eq!(client.stat("/m").num_children, 10_000);
    let ops: Vec<MultiOp<'_>> = paths.iter().map(|path| delete(path, 0)).collect();
    assert_eq!(granted(&mut client, &ops).len(), paths.len());
    assert_eq!(client.stat("/m").num_children, 0);
}

/// Outside of a multi a check is as unknown as a number without a name.
#[test]
fn a_lone_check_is_unimplemented() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let reply = client.call(Opcode::Check, &CheckVersionRequest { path: "/".into(), version: -1 });
    assert_eq!((reply.code(), reply.zxid), (Unimplemented, -1));
    client.assert_closed();
}

/// `reconfigEnabled=false`, the default: that is said before anything else is looked at.
#[test]
fn reconfig_is_disabled() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let before = client.ping().zxid;
    let nothing = ReconfigRequest {
        joining_servers: None,
        leaving_servers: None,
        new_members: None,
        cur_config_id: -1,
    };
    let odd = ReconfigRequest { new_members: Some(Text::from("noise")), cur_config_id: 99, ..nothing };
    for (request, zxid) in [(nothing, before + 1), (odd, before + 2)] {
        let reply = client.call(Opcode::Reconfig, &request);
        assert_eq!((reply.code(), reply.zxid), (ErrorCode::ReconfigDisabled, zxid));
    }
    assert_eq!(client.call(Opcode::Reconfig, &Raw(vec![0; 3])).code(), MarshallingError);
}

/// Without SASL configured.
#[test]
fn sasl_is_answered_with_no_token() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for token in [&[0, 0, 0, 0][..], &[0, 0, 0, 1, 7]] {
        let reply = client.call(Opcode::Sasl, &Raw(token.to_vec()));
        assert_eq!((reply.err, reply.zxid, &reply.body[..]), (0, 0, &[0xff; 4][..]), "{token:?}");
    }
    client.stat("/");
    client.send(Opcode::Sasl, &Raw(vec![0xff; 4]));
    client.assert_closed();
}

#[test]
fn results_decode_and_encode_again() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let reply = multi(&mut client, &[create2("/a", 0), set("/a", -1), check("/a", 1)]);
    let results = MultiResults::parse(&reply.body).expect("a list of results");
    let mut again = vec![];
    encode_list(&mut again, results.iter());
    assert_eq!(again, reply.body);
}
