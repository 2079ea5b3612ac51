//! Snapshots of Apache ZooKeeper: its files are read, and it starts on ours. Needs `tests/run --prepare` and Java.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

mod support;

use std::fs;
use std::path::Path;

use ringkeeper::base::{HashKey, Zxid};
use ringkeeper::tree::{JavaLoad, Store};
use support::client::{EPHEMERAL, PERSISTENT};
use support::{Client, Config, Server, until};

const KEY: HashKey = HashKey(3, 4);
const HEADER_BYTES: usize = 16;

fn apache(data_dir: &Path) -> Server {
    let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.clients/zookeeper-3.9.5");
    let found = jars.join("zookeeper-3.9.5.jar").exists();
    assert!(found, "Apache ZooKeeper isn't in {}: `tests/run --prepare` puts it there", jars.display());
    let jars = format!("{}/*", jars.display());
    let class = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
    Config::default().data_dir(data_dir).command(&["java", "-Xmx256m", "-cp", &jars, class]).start()
}

fn newest_snapshot(folder: &Path) -> (Zxid, Vec<u8>) {
    let zxid = |name: &str| i64::from_str_radix(name.strip_prefix("snapshot.")?, 16).ok();
    let entries = fs::read_dir(folder).expect("the data directory");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII"));
    let newest = names.filter_map(|name| Some((zxid(&name)?, name))).max().expect("a snapshot");
    (Zxid(newest.0), fs::read(folder.join(newest.1)).expect("readable"))
}

fn adler32(bytes: &[u8]) -> u64 {
    let (mut a, mut b) = (1u64, 0u64);
    for &byte in bytes {
        a = (a + u64::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    b << 16 | a
}

/// An own seal behind what is there.
fn seal(file: &mut Vec<u8>) {
    let sum = adler32(file);
    file.extend(sum.to_be_bytes());
    file.extend(b"\0\0\0\x01/");
}

#[test]
fn apaches_snapshot_is_read_and_apache_starts_on_ours() {
    let folder = support::server::folder("apache");
    let mut server = apache(&folder);
    let mut client = Client::connect(&server);
    client.create("/a", b"some data", PERSISTENT);
    client.create("/a/b", b"", PERSISTENT);
    client.create("/a/e", b"mine", EPHEMERAL);
    for number in 0..100 {
        client.create(&format!("/a/b/n{number}"), &[7; 100], PERSISTENT);
    }
    client.set_data("/a", b"later", -1).expect("there");
    server.kill();
    // What a start replays it writes into a new snapshot.
    server.restart();
    until("the snapshot of the start", || {
        (newest_snapshot(&folder.join("version-2")).0.0 > 100).then_some(())
    });
    server.kill();
    let (zxid, file) = newest_snapshot(&folder.join("version-2"));
    assert_eq!(file[..HEADER_BYTES], *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff");
    let (mut store, _) = ringkeeper::tree::tree(KEY, 0);
    let mut load = JavaLoad::new(zxid, KEY);
    let body = load.feed(&mut store, &file[HEADER_BYTES..]).expect("a snapshot");
    let found = load.finish(&mut store).expect("a whole one");
    assert_eq!(found.sessions.len(), 1);
    let node = |store: &Store, path: &str| {
        let (_, node) = store.find(path.as_bytes()).expect("there");
        (node.data().map(<[u8]>::to_vec), node.stat())
    };
    let (data, stat) = node(&store, "/a");
    assert_eq!((data, stat.version, stat.num_children), (Some(b"later".to_vec()), 1, 2));
    assert_eq!(node(&store, "/a/b").1.num_children, 100);
    assert_eq!(node(&store, "/a/e").1.ephemeral_owner, found.sessions[0].0);
    // Behind the seal: zxid, version and value of Java's own digest of the same tree.
    let digest = &file[HEADER_BYTES + body + 13..][..20];
    assert_eq!(digest[8..12], 2i32.to_be_bytes());
    assert_eq!(digest[12..], store.digest().to_be_bytes(), "the digests agree");
    // The other way.
    let mut ours = file[..HEADER_BYTES].to_vec();
    let stream = store.begin_java_snapshot(found.sessions);
    while store.continue_java_snapshot(stream, 50, 1 << 16, &mut ours) {}
    seal(&mut ours);
    ours.extend(zxid.0.to_be_bytes());
    ours.extend(2i32.to_be_bytes());
    ours.extend(store.digest().to_be_bytes());
    seal(&mut ours);
    ours.extend(zxid.0.to_be_bytes());
    seal(&mut ours);
    let folder = support::server::folder("apache");
    fs::create_dir_all(folder.join("version-2")).expect("ours");
    fs::write(folder.join(format!("version-2/snapshot.{:x}", zxid.0)), ours).expect("room");
    let mut server = apache(&folder);
    let mut client = Client::connect(&server);
    assert_eq!(client.data("/a"), b"later");
    assert_eq!(client.data("/a/e"), b"mine");
    assert_eq!(client.children("/a/b", false).expect("there").len(), 100);
    assert_eq!(client.stat("/a"), stat);
    server.kill();
}
