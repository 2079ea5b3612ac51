//! setData, delete, and what a failed write leaves behind.

use ringkeeper::wire::client::SetDataRequest;
use ringkeeper::wire::{ErrorCode, Opcode};

use crate::support::client::PERSISTENT;
use crate::support::{Client, Server};

#[test]
fn set_data_raises_the_version_and_tells_the_new_stat() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let (_, created) = client.create2("/a", b"one", PERSISTENT);
    let stat = client.set_data("/a", b"three", 0).expect("version 0");
    assert_eq!(stat.mzxid.0, client.zxid);
    assert_eq!((stat.version, stat.data_length, stat.czxid), (1, 5, created.czxid));
    assert_eq!((stat.cversion, stat.pzxid, stat.ctime), (0, created.pzxid, created.ctime));
    assert!(stat.mtime >= created.mtime);
    assert_eq!(client.get_data("/a", false), Ok((Some(b"three".to_vec()), stat)));
    assert_eq!(client.set_data("/a", b"x", -1).expect("any version").version, 2);
}

#[test]
fn a_wrong_version_changes_nothing_but_takes_a_zxid() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"one", PERSISTENT);
    let before = client.zxid;
    let stat = client.stat("/a");
    assert_eq!(client.set_data("/a", b"x", 1), Err(ErrorCode::BadVersion));
    assert_eq!(client.zxid, before + 1, "failed writes are transactions");
    assert_eq!(client.delete("/a", 7), Err(ErrorCode::BadVersion));
    assert_eq!(client.zxid, before + 2);
    assert_eq!(client.try_create("/a", b"", PERSISTENT), Err(ErrorCode::NodeExists));
    assert_eq!(client.zxid, before + 3);
    assert_eq!(client.set_data("/missing", b"", -1), Err(ErrorCode::NoNode));
    assert_eq!(client.zxid, before + 4);
    assert_eq!(client.get_data("/a", false), Ok((Some(b"one".to_vec()), stat)));
    assert_eq!(client.zxid, before + 4, "failed reads are not");
    assert_eq!(client.exists("/missing", false), Err(ErrorCode::NoNode));
    assert_eq!(client.zxid, before + 4);
}

#[test]
fn set_data_finds_faults_in_zookeepers_order() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for (path, error) in [
        ("", ErrorCode::BadArguments),
        ("a", ErrorCode::BadArguments),
        ("/a/", ErrorCode::BadArguments),
        ("/missing//b", ErrorCode::BadArguments),
        ("/missing/..", ErrorCode::BadArguments),
        ("/nul\0", ErrorCode::BadArguments),
        ("/missing", ErrorCode::NoNode),
    ] {
        // The version is wrong, too, and looked at last.
        assert_eq!(client.set_data(path, b"", 99), Err(error), "{path:?}");
    }
    assert_eq!(client.set_data("/", b"root", 99), Err(ErrorCode::BadVersion));
    assert_eq!(client.set_data("/", b"root", 0).expect("the root has data").version, 1);
    assert_eq!(client.data("/"), b"root");
    assert_eq!(client.set_data("/zookeeper", b"z", -1).expect("an ordinary znode").version, 1);
}

#[test]
fn null_data_can_be_set() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"one", PERSISTENT);
    let request = SetDataRequest { path: "/a".into(), data: None, version: -1 };
    assert_eq!(client.call(Opcode::SetData, &request).err, 0);
    let (data, stat) = client.get_data("/a", false).expect("there");
    assert_eq!((data, stat.data_length, stat.version), (None, 0, 1));
}

#[test]
fn delete_finds_faults_in_zookeepers_order() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/p", b"", PERSISTENT);
    client.create("/p/c", b"", PERSISTENT);
    for (path, version, error) in [
        ("", -1, ErrorCode::BadArguments),
        ("p", -1, ErrorCode::BadArguments),
        ("/", -1, ErrorCode::BadArguments),
        ("/nul\0", -1, ErrorCode::BadArguments),
        ("/zookeeper", -1, ErrorCode::BadArguments),
        ("/zookeeper/quota", -1, ErrorCode::BadArguments),
        ("/zookeeper/config", -1, ErrorCode::BadArguments),
        ("/missing", 5, ErrorCode::NoNode),
        ("/missing/c", 5, ErrorCode::NoNode),
        // Not validated as create does: such a znode just isn't there.
        ("/p/", -1, ErrorCode::NoNode),
        ("/p/..", -1, ErrorCode::NoNode),
        ("/p", 3, ErrorCode::BadVersion),
        ("/p", 0, ErrorCode::NotEmpty),
        ("/p", -1, ErrorCode::NotEmpty),
    ] {
        assert_eq!(client.delete(path, version), Err(error), "{path:?} version {version}");
    }
    client.delete("/p/c", 0).expect("the right version");
    client.delete("/p", -1).expect("any version");
    assert_eq!(client.exists("/p", false), Err(ErrorCode::NoNode));
}

#[test]
fn a_deleted_znode_comes_back_as_a_new_one() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"one", PERSISTENT);
    client.set_data("/a", b"two", -1).expect("there");
    let old = client.stat("/a");
    client.delete("/a", 1).expect("there");
    let (_, new) = client.create2("/a", b"", PERSISTENT);
    assert!(new.czxid > old.czxid);
    assert_eq!((new.version, new.cversion), (0, 0));
}
