//! create and create2: kinds of znodes, names of sequential ones, and which fault is found first.

use ringkeeper::wire::acl::perms;
use ringkeeper::wire::client::CreateRequest;
use ringkeeper::wire::jute::{Reader, encode_vector};
use ringkeeper::wire::{AclList, Decode, ErrorCode, Opcode, OwnedAcl};

use crate::support::client::{EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT, SEQUENTIAL};
use crate::support::{Client, Server};

#[test]
fn a_znode_has_its_data_and_its_stat() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let before = client.ping().zxid;
    let (path, stat) = client.create2("/a", b"hello", PERSISTENT);
    assert_eq!(path, "/a");
    assert_eq!(client.zxid, before + 1, "the reply of a write has the write's zxid");
    let zxid = client.zxid;
    assert_eq!((stat.czxid.0, stat.mzxid.0, stat.pzxid.0), (zxid, zxid, zxid));
    assert_eq!((stat.version, stat.cversion, stat.aversion), (0, 0, 0));
    assert_eq!((stat.data_length, stat.num_children, stat.ephemeral_owner.0), (5, 0, 0));
    assert!(stat.ctime == stat.mtime && stat.ctime.0 > 1_600_000_000_000, "milliseconds of the wall clock");
    assert_eq!(client.get_data("/a", false), Ok((Some(b"hello".to_vec()), stat)));
    assert_eq!(client.exists("/a", false), Ok(stat));
    assert_eq!(client.zxid, zxid, "reads tell the last transaction");
}

#[test]
fn null_data_and_empty_data_differ() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/empty", b"", PERSISTENT);
    let null = CreateRequest { path: "/null".into(), data: None, acl: Some(AclList::OPEN), flags: 0 };
    assert_eq!(client.call(Opcode::Create, &null).err, 0);
    let (data, stat) = client.get_data("/empty", false).expect("there");
    assert_eq!((data, stat.data_length), (Some(vec![]), 0));
    let (data, stat) = client.get_data("/null", false).expect("there");
    assert_eq!((data, stat.data_length), (None, 0));
}

#[test]
fn a_create_changes_its_parent() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/p", b"", PERSISTENT);
    let fresh = client.stat("/p");
    client.create("/p/a", b"", PERSISTENT);
    client.create("/p/b", b"", PERSISTENT);
    let created = client.zxid;
    let two = client.stat("/p");
    assert_eq!((two.cversion, two.num_children, two.pzxid.0), (2, 2, created));
    assert_eq!((two.mzxid, two.version, two.mtime), (fresh.mzxid, 0, fresh.mtime), "its data did not change");
    client.delete("/p/a", -1).expect("deleted");
    let deleted = client.zxid;
    let one = client.stat("/p");
    assert_eq!((one.cversion, one.num_children, one.pzxid.0), (3, 1, deleted), "cversion counts both");
}

#[test]
fn a_sequential_znode_is_numbered_by_its_parents_creates() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/q", b"", PERSISTENT);
    assert_eq!(client.create("/q/n-", b"", SEQUENTIAL), "/q/n-0000000000");
    client.create("/q/plain", b"", PERSISTENT);
    assert_eq!(client.create("/q/n-", b"", SEQUENTIAL), "/q/n-0000000002", "every create counts");
    client.delete("/q/plain", -1).expect("deleted");
    assert_eq!(client.create("/q/n-", b"", EPHEMERAL_SEQUENTIAL), "/q/n-0000000003", "deletes do not");
    assert_eq!(client.create2("/q/", b"", SEQUENTIAL).0, "/q/0000000004", "a name of the number alone");
    assert_eq!(
        client.create("/n-", b"", SEQUENTIAL),
        "/n-0000000001",
        "/zookeeper was not created by anybody"
    );
    assert_eq!(client.try_create("/q/n-", b"", SEQUENTIAL), Ok("/q/n-0000000005".to_owned()));
    // A failed create does not count.
    assert_eq!(client.try_create("/q/n-0000000000", b"", PERSISTENT), Err(ErrorCode::NodeExists));
    assert_eq!(client.create("/q/n-", b"", SEQUENTIAL), "/q/n-0000000006");
}

#[test]
fn an_ephemeral_has_its_owner_and_no_children() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let (_, stat) = client.create2("/e", b"", EPHEMERAL);
    assert_eq!(stat.ephemeral_owner.0, client.session);
    assert_eq!(client.try_create("/e/child", b"", PERSISTENT), Err(ErrorCode::NoChildrenForEphemerals));
    assert_eq!(client.try_create("/e/child", b"", EPHEMERAL), Err(ErrorCode::NoChildrenForEphemerals));
}

#[test]
fn a_path_that_can_be_no_path_is_refused_in_zookeepers_order() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    let cases = [
        ("/", ErrorCode::NodeExists),
        ("", ErrorCode::BadArguments),
        ("a", ErrorCode::BadArguments),
        ("a/b", ErrorCode::NoNode),
        ("/a", ErrorCode::NodeExists),
        ("/missing/b", ErrorCode::NoNode),
        ("/a/", ErrorCode::BadArguments),
        ("/b/", ErrorCode::NoNode),
        ("/a//x", ErrorCode::NoNode),
        ("/x/..", ErrorCode::NoNode),
        ("/a/..", ErrorCode::BadArguments),
        ("/a/.", ErrorCode::BadArguments),
        ("/./b", ErrorCode::NoNode),
        ("/nul\0", ErrorCode::BadArguments),
        ("/missing/nul\0", ErrorCode::BadArguments),
        ("/control\u{1}", ErrorCode::BadArguments),
        ("/control\u{1f}", ErrorCode::BadArguments),
        ("/control\u{7f}", ErrorCode::BadArguments),
        ("/control\u{9f}", ErrorCode::BadArguments),
        ("/private\u{e000}", ErrorCode::BadArguments),
        ("/special\u{fff0}", ErrorCode::BadArguments),
        ("/supplementary\u{1f600}", ErrorCode::BadArguments),
        ("/zookeeper", ErrorCode::NodeExists),
    ];
    for (path, error) in cases {
        assert_eq!(client.try_create(path, b"", PERSISTENT), Err(error), "{path:?}");
    }
    for fine in ["/a/...", "/a/.b", "/a/b.", "/nbsp\u{a0}", "/\u{f900}", "/\u{ffef}", "/ b", "/日本語"] {
        assert_eq!(client.try_create(fine, b"", PERSISTENT), Ok(fine.to_owned()));
    }
}

#[test]
fn a_path_of_broken_utf8_is_a_bad_argument() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for broken in [&b"/\xff"[..], b"/\xc3", b"/a\xed\xa0\x80"] {
        let path = ringkeeper::wire::Text::from_bytes(broken);
        let request = CreateRequest { path, data: Some(b""), acl: Some(AclList::OPEN), flags: 0 };
        assert_eq!(client.call(Opcode::Create, &request).code(), ErrorCode::BadArguments, "{broken:x?}");
    }
}

#[test]
fn flags_are_checked_before_everything() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for (flags, error) in [
        (-1, ErrorCode::BadArguments),
        (7, ErrorCode::BadArguments),
        (i32::MAX, ErrorCode::BadArguments),
        // TTL nodes: extended types are off.
        (5, ErrorCode::Unimplemented),
        (6, ErrorCode::Unimplemented),
    ] {
        assert_eq!(client.try_create("/missing/parent", b"", flags), Err(error), "flags {flags}");
        assert_eq!(client.try_create("", b"", flags), Err(error), "flags {flags}");
    }
}

/// The ACL is looked at before the parent, and the parent before the znode.
#[test]
fn a_bad_acl_is_found_before_the_tree_is_looked_at() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    let lists = [
        ("empty", vec![]),
        ("an unknown scheme", vec![OwnedAcl::new(perms::ALL, "nobody", "x")]),
        ("world of somebody", vec![OwnedAcl::new(perms::ALL, "world", "me")]),
        ("auth of nobody", vec![OwnedAcl::new(perms::ALL, "auth", "")]),
        ("a digest without password", vec![OwnedAcl::new(perms::ALL, "digest", "me")]),
        ("no address", vec![OwnedAcl::new(perms::ALL, "ip", "somewhere")]),
    ];
    for (name, entries) in lists {
        let mut encoded = Vec::new();
        encode_vector(&mut encoded, &entries);
        let acl = AclList::decode(&mut Reader::new(&encoded)).expect("encoded above");
        for path in ["/new", "/a", "/missing/b", "/a/"] {
            let request = CreateRequest { path: path.into(), data: Some(b""), acl: Some(acl), flags: 0 };
            let code = client.call(Opcode::Create, &request).code();
            assert_eq!(code, ErrorCode::InvalidACL, "{name} on {path}");
        }
        // A path without a slash comes first.
        let request = CreateRequest { path: "a".into(), data: Some(b""), acl: Some(acl), flags: 0 };
        assert_eq!(client.call(Opcode::Create, &request).code(), ErrorCode::BadArguments, "{name}");
    }
    let null = CreateRequest { path: "/new".into(), data: Some(b""), acl: None, flags: 0 };
    assert_eq!(client.call(Opcode::Create, &null).code(), ErrorCode::InvalidACL);
}

#[test]
fn a_largest_frame_is_taken_and_a_larger_one_is_not() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    // Frame: header 8, path 4 + 4, data 4 + n, ACL 27, flags 4.
    let largest = 0xf_ffff - (8 + 8 + 4 + 27 + 4);
    let data = vec![b'x'; largest];
    client.create("/big", &data, PERSISTENT);
    assert_eq!(client.data("/big"), data);
    let more = vec![b'x'; largest + 1];
    let request =
        CreateRequest { path: "/mor".into(), data: Some(&more), acl: Some(AclList::OPEN), flags: 0 };
    let (_, bytes) = client.request(Opcode::Create, &request);
    // The server may hang up while we still send.
    let _sent = client.try_send_bytes(&bytes);
    client.assert_closed();
}
