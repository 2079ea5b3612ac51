//! The largest cversion: what comes behind it. No client gets there by requests, so the servers start on a file that says so:
//! a snapshot as Apache ZooKeeper writes it, taken over by `ringkeeper snapshot import` where the server is ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{CreateRequest, MultiOp, MultiResult, MultiResults};
use ringkeeper::wire::{AclList, Encode, ErrorCode, Opcode};

use crate::support::client::{EPHEMERAL_SEQUENTIAL, SEQUENTIAL};
use crate::support::server::{self, Config, is_ringkeeper};
use crate::support::{Client, Server};

/// One node of a snapshot: path, no data, the open ACL, and a stat of zeros but for the cversion.
fn node(path: &str, cversion: i32) -> Vec<u8> {
    let mut out = u32::try_from(path.len()).expect("short").to_be_bytes().to_vec();
    out.extend(path.as_bytes());
    out.extend(0u32.to_be_bytes());
    out.extend((-1i64).to_be_bytes());
    let mut stat = [0; 60];
    stat[36..40].copy_from_slice(&cversion.to_be_bytes());
    out.extend(stat);
    out
}

fn adler32(bytes: &[u8]) -> u64 {
    let (mut a, mut b) = (1u64, 0u64);
    for &byte in bytes {
        a = (a + u64::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    b << 16 | a
}

/// A data directory whose `/p` has this cversion.
fn data_dir(cversion: i32) -> PathBuf {
    let folder = server::folder("wrap");
    let mut file = b"ZKSN\0\0\0\x02".to_vec();
    file.extend((-1i64).to_be_bytes());
    // No session, no list of ACLs.
    file.extend([0; 8]);
    for (path, cversion) in
        [("", 0), ("/zookeeper", 0), ("/zookeeper/config", 0), ("/zookeeper/quota", 0), ("/p", cversion)]
    {
        file.extend(node(path, cversion));
    }
    file.extend(b"\0\0\0\x01/");
    let sum = adler32(&file);
    file.extend(sum.to_be_bytes());
    file.extend(b"\0\0\0\x01/");
    let inner = folder.join("version-2");
    fs::create_dir_all(&inner).expect("a directory");
    fs::write(inner.join("snapshot.10"), file).expect("a snapshot");
    if is_ringkeeper() { imported(&folder) } else { folder }
}

fn imported(from: &Path) -> PathBuf {
    let to = server::folder("wrap-imported");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
    // Without a digest it can't be seen that nobody wrote while it was taken. There is no log, here or elsewhere.
    let out = command
        .args(["snapshot", "import", "--lenient"])
        .args([from, from])
        .arg("--to")
        .arg(&to)
        .output()
        .expect("it runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    fs::remove_dir_all(from).expect("ours");
    to
}

struct Raw(Vec<u8>);

impl Encode for Raw {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// A multi of sequential creates: what each of them ends with.
fn multi(client: &mut Client, creates: &[(&'static str, i32)]) -> Vec<Result<String, ErrorCode>> {
    let create = |&(path, flags): &(&'static str, i32)| {
        MultiOp::Create(CreateRequest { path: path.into(), data: Some(b""), acl: Some(AclList::OPEN), flags })
    };
    let mut bytes = vec![];
    encode_list(&mut bytes, creates.iter().map(create));
    let reply = client.call(Opcode::Multi, &Raw(bytes));
    let results = reply.record::<MultiResults<'_>>();
    let say = |result| match result {
        MultiResult::Create { path } => Ok(path.to_string()),
        MultiResult::Error(code) => Err(code),
        other => panic!("{other:?}"),
    };
    results.iter().map(say).collect()
}

fn named(names: &[&str]) -> Vec<Result<String, ErrorCode>> {
    names.iter().map(|name| Ok((*name).to_owned())).collect()
}

#[test]
fn sequence_numbers_wrap_within_a_multi_and_the_cversion_stays() {
    let folder = data_dir(i32::MAX - 1);
    let server = Config::default().data_dir(&folder).start();
    let mut client = Client::connect(&server);
    assert_eq!(client.stat("/p").cversion, (i32::MAX - 1).wrapping_mul(2));
    let four =
        [("/p/a", SEQUENTIAL), ("/p/a", SEQUENTIAL), ("/p/a", EPHEMERAL_SEQUENTIAL), ("/p/a", SEQUENTIAL)];
    let names = ["/p/a2147483646", "/p/a2147483647", "/p/a-2147483648", "/p/a-2147483647"];
    assert_eq!(multi(&mut client, &four), named(&names));
    let zxid = client.zxid;
    // Four creates and no delete, and the tree counted one of them.
    let stat = client.stat("/p");
    assert_eq!((stat.cversion, stat.num_children), (i32::MAX.wrapping_mul(2).wrapping_sub(4), 4));
    assert_eq!(stat.pzxid.0, zxid, "of the first of them");
    // What is applied is where it goes on.
    assert_eq!(client.try_create("/p/a", b"", SEQUENTIAL), Err(ErrorCode::NodeExists));
    assert_eq!(client.try_create("/p/b", b"", SEQUENTIAL), Ok("/p/b2147483647".to_owned()));
    assert_eq!(client.try_create("/p/b", b"", SEQUENTIAL), Err(ErrorCode::NodeExists));
    assert_eq!(client.stat("/p").pzxid.0, zxid, "a create that raises nothing leaves it");
    assert_eq!(
        multi(&mut client, &four[..2]),
        [Err(ErrorCode::NodeExists), Err(ErrorCode::RuntimeInconsistency)]
    );
    let other = [("/p/c", SEQUENTIAL), ("/p/a", SEQUENTIAL)];
    assert_eq!(multi(&mut client, &other), [Err(ErrorCode::Ok), Err(ErrorCode::NodeExists)]);
    assert_eq!(multi(&mut client, &[("/p/d", SEQUENTIAL); 2]), named(&["/p/d2147483647", "/p/d-2147483648"]));
    remove(server, &folder);
}

fn remove(server: Server, folder: &Path) {
    drop(server);
    fs::remove_dir_all(folder).expect("ours");
}
