//! Containers and TTL nodes: how they are made, and when they go.

use ringkeeper::wire::client::{Create2Response, CreateRequest, CreateTtlRequest, EventType};
use ringkeeper::wire::{AclList, ErrorCode, Opcode, Stat};

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::server::is_ringkeeper;
use crate::support::{Client, Config, Event, Server, until};

fn container(client: &mut Client, path: &str, flags: i32) -> Result<(String, Stat), ErrorCode> {
    let request = CreateRequest { path: path.into(), data: Some(b"data"), acl: Some(AclList::OPEN), flags };
    let reply = client.call(Opcode::CreateContainer, &request);
    created(&reply)
}

fn ttl(client: &mut Client, path: &str, flags: i32, ttl: i64) -> Result<(String, Stat), ErrorCode> {
    let acl = Some(AclList::OPEN);
    let request = CreateTtlRequest { path: path.into(), data: Some(b"data"), acl, flags, ttl };
    let reply = client.call(Opcode::CreateTtl, &request);
    created(&reply)
}

fn created(reply: &crate::support::client::Reply) -> Result<(String, Stat), ErrorCode> {
    match reply.code() {
        ErrorCode::Ok => {
            let response = reply.record::<Create2Response>();
            Ok((response.path.to_string(), response.stat))
        }
        error => Err(error),
    }
}

fn extended() -> Config {
    Config::default().set("extendedTypesEnabled", true)
}

#[test]
fn a_container_is_answered_with_its_stat() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let (path, stat) = container(&mut client, "/c", 4).expect("free");
    assert_eq!((&*path, stat.czxid.0, stat.ephemeral_owner.0, stat.data_length), ("/c", client.zxid, 0, 4));
    assert_eq!(client.stat("/c"), stat);
    client.create("/c/x", b"", PERSISTENT);
    client.create("/c/e", b"", EPHEMERAL);
    // The opcode decides; the flags are only checked.
    for (flags, path) in [(0, "/c0"), (1, "/c1"), (2, "/c20000000003"), (3, "/c30000000004")] {
        let (made, stat) = container(&mut client, &format!("/c{flags}"), flags).expect("free");
        assert_eq!((&*made, stat.ephemeral_owner.0), (path, 0));
    }
    for (flags, error) in
        [(7, ErrorCode::BadArguments), (-1, ErrorCode::BadArguments), (5, ErrorCode::Unimplemented)]
    {
        assert_eq!(container(&mut client, "/missing/c", flags).map(drop), Err(error), "flags {flags}");
    }
    assert_eq!(container(&mut client, "/c", 4).map(drop), Err(ErrorCode::NodeExists));
    assert_eq!(container(&mut client, "/missing/c", 4).map(drop), Err(ErrorCode::NoNode));
    // create with a container's flag makes no container.
    client.create("/plain", b"", 4);
}

#[test]
fn ttl_nodes_need_extended_types() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for flags in [5, 6] {
        assert_eq!(ttl(&mut client, "t", flags, 0).map(drop), Err(ErrorCode::Unimplemented));
    }
    assert_eq!(ttl(&mut client, "/t", 0, 5).map(drop), Err(ErrorCode::BadArguments));
    assert_eq!(ttl(&mut client, "/t", 7, 5).map(drop), Err(ErrorCode::BadArguments));
    if is_ringkeeper() {
        // Java logs it, and dies of it.
        assert_eq!(ttl(&mut client, "/t", 0, -1).map(drop), Err(ErrorCode::BadArguments));
    }
}

#[test]
fn a_time_to_live_is_checked() {
    let server = extended().start();
    let mut client = Client::connect(&server);
    for bad in [0, -1, i64::MIN, 1 << 40, i64::MAX] {
        assert_eq!(ttl(&mut client, "/missing/t", 5, bad).map(drop), Err(ErrorCode::BadArguments), "{bad}");
    }
    for (flags, any) in [(0, 5), (1, 5), (4, 0)] {
        assert_eq!(ttl(&mut client, "/t", flags, any).map(drop), Err(ErrorCode::BadArguments));
    }
    assert_eq!(client.try_create("/t", b"", 5), Err(ErrorCode::BadArguments));
    assert_eq!(container(&mut client, "/t", 6).map(drop), Err(ErrorCode::BadArguments));
    let (path, stat) = ttl(&mut client, "/t", 5, (1 << 40) - 1).expect("the longest");
    assert_eq!((&*path, stat.ephemeral_owner.0), ("/t", 0));
    assert_eq!(ttl(&mut client, "/s-", 6, 1).expect("sequential").0, "/s-0000000001");
    client.create("/t/x", b"", PERSISTENT);
    client.create("/t/e", b"", EPHEMERAL);
    assert_eq!(ttl(&mut client, "/t/e/x", 5, 5).map(drop), Err(ErrorCode::NoChildrenForEphemerals));
}

/// Waits until the znode is gone; other sessions' reads don't keep it.
fn until_gone(client: &mut Client, path: &str) {
    until(&format!("{path} to be gone"), || client.exists(path, false).is_err().then_some(()));
}

#[test]
fn a_container_goes_when_its_last_child_has_gone() {
    let mut server = Config::default().property("znode.container.checkIntervalMs", 200).start();
    let mut client = Client::connect(&server);
    for path in ["/c", "/c/sub"] {
        container(&mut client, path, 4).expect("free");
    }
    container(&mut client, "/new", 4).expect("free");
    container(&mut client, "/kept", 4).expect("free");
    client.create("/kept/x", b"", PERSISTENT);
    client.create("/c/sub/e", b"", PERSISTENT);
    client.get_data("/c", true).expect("there");
    client.children("/", true).expect("there");
    client.delete("/c/sub/e", -1).expect("there");
    until_gone(&mut client, "/c/sub");
    until_gone(&mut client, "/c");
    let first = client.next_event();
    assert_eq!((first.kind, &*first.path), (EventType::NodeDeleted, "/c"));
    let second = Event { kind: EventType::NodeChildrenChanged, path: "/".to_owned(), ..first };
    assert_eq!(client.next_event(), second);
    // Sweeps enough for the others to go, if they did: yet another container comes and goes.
    container(&mut client, "/short", 4).expect("free");
    client.create("/short/x", b"", PERSISTENT);
    client.delete("/short/x", -1).expect("there");
    until_gone(&mut client, "/short");
    let left = ["kept", "new", "zookeeper"].map(str::to_owned).to_vec();
    assert_eq!(client.children("/", false), Ok(left.clone()));
    client.cut();
    server.kill();
    server.restart();
    let mut client = Client::connect(&server);
    assert_eq!(client.children("/", false), Ok(left));
    client.delete("/kept/x", -1).expect("there");
    until_gone(&mut client, "/kept");
}

#[test]
fn a_container_that_nobody_used_goes_if_told_so() {
    let server = Config::default()
        .property("znode.container.checkIntervalMs", 200)
        .property("znode.container.maxNeverUsedIntervalMs", 300)
        .start();
    let mut client = Client::connect(&server);
    container(&mut client, "/c", 4).expect("free");
    client.create("/plain", b"", PERSISTENT);
    until_gone(&mut client, "/c");
    client.stat("/plain");
}

#[test]
fn a_ttl_node_goes_when_its_time_is_over() {
    let server = extended().property("znode.container.checkIntervalMs", 200).start();
    let mut client = Client::connect(&server);
    ttl(&mut client, "/short", 5, 300).expect("free");
    ttl(&mut client, "/parent", 5, 300).expect("free");
    ttl(&mut client, "/long", 5, 1_000_000).expect("free");
    client.create("/parent/x", b"", PERSISTENT);
    until_gone(&mut client, "/short");
    client.stat("/parent");
    client.stat("/long");
    client.delete("/parent/x", -1).expect("there");
    until_gone(&mut client, "/parent");
}

/// Decision of ours: these are the server's own requests. ZooKeeper would delete the node, and make the session once more.
#[test]
fn a_client_does_not_make_the_servers_own_requests() {
    if !is_ringkeeper() {
        return;
    }
    let server = Server::start();
    let mut other = Client::connect(&server);
    other.create("/a", b"", PERSISTENT);
    let timeout = 4_000i32.to_be_bytes();
    for (opcode, body) in
        [(Opcode::DeleteContainer, b"\0\0\0\x02/a".as_slice()), (Opcode::CreateSession, &timeout)]
    {
        let mut client = Client::connect(&server);
        client.send_raw(77, opcode.code(), body);
        let reply = client.next_reply();
        let expected = (77, ErrorCode::Unimplemented, -1);
        assert_eq!((reply.xid, reply.code(), reply.zxid), expected, "{opcode:?}");
        client.assert_closed();
        assert_eq!(other.data("/a"), b"");
    }
}
