//! exists, getData, getChildren(2), sync, ping: what they give, and how lenient they are about paths.

use std::collections::BTreeSet;

use ringkeeper::wire::client::{GetChildrenRequest, GetChildrenResponse, SyncRequest, SyncResponse};
use ringkeeper::wire::{Decode, ErrorCode, Opcode};

use crate::support::client::PERSISTENT;
use crate::support::{Client, Server};

#[test]
fn a_fresh_tree_is_zookeepers() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    assert_eq!(client.children("/", false), Ok(vec!["zookeeper".to_owned()]));
    assert_eq!(client.children("/zookeeper", false), Ok(vec!["config".to_owned(), "quota".to_owned()]));
    assert_eq!(client.children("/zookeeper/quota", false), Ok(vec![]));
    let root = client.stat("/");
    assert_eq!((root.czxid.0, root.mzxid.0, root.pzxid.0, root.ctime.0, root.mtime.0), (0, 0, 0, 0, 0));
    assert_eq!((root.version, root.cversion, root.num_children), (0, -1, 1));
    let system = client.stat("/zookeeper");
    assert_eq!((system.czxid.0, system.cversion, system.num_children), (0, -2, 2));
    for path in ["/", "/zookeeper", "/zookeeper/quota"] {
        assert_eq!(client.data(path), b"", "{path}");
    }
}

#[test]
fn children_have_names_in_any_order_and_a_stat() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/p", b"x", PERSISTENT);
    let names: BTreeSet<String> = (0..300).map(|number| format!("child-{number}")).collect();
    for name in &names {
        client.create(&format!("/p/{name}"), b"", PERSISTENT);
    }
    let (found, stat) = client.children2("/p", false).expect("there");
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), names);
    assert_eq!(found.len(), names.len(), "each once");
    assert_eq!(client.exists("/p", false), Ok(stat));
    assert_eq!((stat.num_children, stat.cversion), (300, 300));
    assert_eq!(client.children("/p", false), Ok(found));
}

#[test]
fn getchildren_has_no_stat_behind_the_names() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/p", b"", PERSISTENT);
    client.create("/p/c", b"", PERSISTENT);
    let reply = client.call(Opcode::GetChildren, &GetChildrenRequest { path: "/p".into(), watch: false });
    assert_eq!(reply.body, [0, 0, 0, 1, 0, 0, 0, 1, b'c']);
    assert_eq!(GetChildrenResponse::parse(&reply.body).expect("whole").children.len(), 1);
}

#[test]
fn reads_do_not_judge_paths() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"x", PERSISTENT);
    for path in ["a", "/a/", "//a", "/a/..", "/missing", "/missing/b", "/\u{1}", "/\u{fffd}"] {
        assert_eq!(client.exists(path, false), Err(ErrorCode::NoNode), "{path:?}");
        assert_eq!(client.get_data(path, false), Err(ErrorCode::NoNode), "{path:?}");
        assert_eq!(client.children(path, false), Err(ErrorCode::NoNode), "{path:?}");
        assert_eq!(client.children2(path, false), Err(ErrorCode::NoNode), "{path:?}");
    }
    assert_eq!(client.exists("/a\0", false), Err(ErrorCode::BadArguments), "NUL is seen by exists only");
    assert_eq!(client.get_data("/a\0", false), Err(ErrorCode::NoNode));
    assert_eq!(client.children("/a\0", false), Err(ErrorCode::NoNode));
}

#[test]
fn the_empty_path_is_the_root_for_reads() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.set_data("/", b"root", -1).expect("there");
    let (data, stat) = client.get_data("", false).expect("an alias");
    assert_eq!(data, Some(b"root".to_vec()));
    assert_eq!(client.get_data("/", false), Ok((data, stat)));
    assert_eq!(client.exists("", false).map(|stat| stat.version), Ok(1));
    assert_eq!(client.children("", false), client.children("/", false));
}

#[test]
fn sync_echoes_its_path_and_takes_no_zxid() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let before = client.ping().zxid;
    for path in ["/", "/missing", "not a path", ""] {
        let reply = client.sync(path);
        assert_eq!(reply.zxid, before);
        assert_eq!(reply.record::<SyncResponse>().path, Some(path.into()));
    }
    let reply = client.call(Opcode::Sync, &SyncRequest { path: None });
    assert_eq!(reply.record::<SyncResponse>().path, None);
    assert_eq!(reply.body, [0xff; 4]);
}

#[test]
fn a_ping_is_answered_under_its_own_xid_whatever_it_was_asked_with() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for (xid, body) in [(-2, &b""[..]), (77, b""), (0, b"anything"), (i32::MIN, &[0xff; 40])] {
        client.send_raw(xid, Opcode::Ping.code(), body);
        let reply = client.next_reply();
        assert_eq!((reply.xid, reply.err), (-2, 0));
        assert!(reply.body.is_empty());
    }
}

#[test]
fn xids_are_echoed_whatever_they_are() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for xid in [0, 1, 1, -1, -4, -8, i32::MAX, i32::MIN] {
        client.send_raw(xid, Opcode::Exists.code(), b"\0\0\0\x01/\0");
        let frame = client.next_frame().expect("answered");
        assert_eq!(frame[..4], xid.to_be_bytes());
        assert_eq!(frame.len(), 16 + 68);
    }
}
