//! Data directories of Apache ZooKeeper taken over by `ringkeeper snapshot import` and given back by `export`: real
//! servers start on what was written, and the trees are equal. Needs `tests/run --prepare` and Java.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes, with writers in threads of their own"
)]

mod support;

#[path = "java_files/alone.rs"]
mod alone;
#[path = "java_files/fuzzy.rs"]
mod fuzzy;
#[path = "java_files/places.rs"]
mod places;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringkeeper::base::Zxid;
use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{CreateRequest, MultiOp, SetAclRequest};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl, Reader};
use support::client::{EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT};
use support::connect::Connect;
use support::tree::tree;
use support::{Client, Config, Server, until};

const CONTAINER: i32 = 4;

fn apache(data_dir: &Path, options: &[&str]) -> Server {
    Config::default().data_dir(data_dir).command(&text_of(&apache_command(options))).start()
}

fn text_of(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn apache_command(options: &[&str]) -> Vec<String> {
    let version = std::env::var("ZOOKEEPER_VERSION").unwrap_or_else(|_| "3.9.5".to_owned());
    let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/.clients/zookeeper-{version}"));
    let found = jars.join(format!("zookeeper-{version}.jar")).exists();
    assert!(found, "Apache ZooKeeper isn't in {}: `tests/run --prepare` puts it there", jars.display());
    let jars = format!("{}/*", jars.display());
    let class = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
    let command = [&["java", "-Xmx256m"], options, &["-cp", &jars, class]].concat();
    command.iter().map(|word| (*word).to_owned()).collect()
}

fn ours(data_dir: &Path) -> Server {
    let command = [env!("CARGO_BIN_EXE_ringkeeper"), "server"];
    Config::default().data_dir(data_dir).command(&command).start()
}

/// What a subcommand prints, if it is content.
fn ringkeeper(words: &[&str]) -> Result<String, String> {
    let out = Command::new(env!("CARGO_BIN_EXE_ringkeeper")).args(words).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    if out.status.success() { Ok(text(out.stdout)) } else { Err(text(out.stderr)) }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn import(from: &Path) -> (PathBuf, String) {
    let to = support::server::folder("imported");
    let said = ringkeeper(&["snapshot", "import", text(from), "--to", text(&to)]);
    (to, said.expect("taken over"))
}

fn export(from: &Path) -> PathBuf {
    export_with(from, &[]).0
}

fn export_with(from: &Path, options: &[&str]) -> (PathBuf, String) {
    let to = support::server::folder("exported");
    let words = [&["snapshot", "export", text(from), "--to", text(&to)], options].concat();
    let said = ringkeeper(&words);
    (to, said.expect("given back"))
}

struct Raw(Vec<u8>);

impl Encode for Raw {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

fn multi_of_two(client: &mut Client) {
    let create = |path: &'static str| {
        let request =
            CreateRequest { path: path.into(), data: Some(b"both"), acl: Some(AclList::OPEN), flags: 0 };
        MultiOp::Create(request)
    };
    let mut body = vec![];
    encode_list(&mut body, ["/multi", "/multi/below"].map(create));
    assert_eq!(client.call(Opcode::Multi, &Raw(body)).code(), ErrorCode::Ok);
}

/// Kinds of nodes, ACLs, a deleted one, a failed write, a session that is over.
fn load(client: &mut Client, other: Client, prefix: &str) {
    let path = |name: &str| format!("{prefix}{name}");
    client.create(&path("/a"), b"some data", PERSISTENT);
    client.create(&path("/a/empty"), b"", PERSISTENT);
    client.create(&path("/a/e"), b"mine", EPHEMERAL);
    client.create(&path("/a/s-"), b"", EPHEMERAL_SEQUENTIAL);
    let container = path("/container");
    let container = CreateRequest {
        path: container.as_str().into(),
        data: Some(b""),
        acl: Some(AclList::OPEN),
        flags: CONTAINER,
    };
    assert_eq!(client.call(Opcode::CreateContainer, &container).code(), ErrorCode::Ok);
    for number in 0..60 {
        client.create(&path(&format!("/a/empty/n{number}")), &[7; 300], PERSISTENT);
    }
    for number in 0..9 {
        client.delete(&path(&format!("/a/empty/n{number}")), -1).expect("there");
    }
    client.set_data(&path("/a"), b"later", -1).expect("there");
    let mut list = vec![];
    encode_vector(&mut list, [OwnedAcl::new(31, "world", "anyone"), OwnedAcl::new(1, "ip", "10.0.0.0/8")]);
    let acl = AclList::decode(&mut Reader::new(&list)).expect("encoded above");
    let name = path("/a/empty");
    let request = SetAclRequest { path: name.as_str().into(), acl: Some(acl), version: -1 };
    assert_eq!(client.call(Opcode::SetAcl, &request).code(), ErrorCode::Ok);
    assert!(client.try_create(&path("/nobody/there"), b"", PERSISTENT).is_err());
    let mut other = other;
    other.create(&path("/gone"), b"", EPHEMERAL);
    other.close();
}

fn newest(folder: &Path, prefix: &str, suffix: &str) -> Option<Zxid> {
    let names = fs::read_dir(folder.join("version-2")).expect("there").map(|entry| entry.expect("readable"));
    let zxid = |name: &str| i64::from_str_radix(name.strip_prefix(prefix)?.strip_suffix(suffix)?, 16).ok();
    names.filter_map(|entry| zxid(entry.file_name().to_str()?)).max().map(Zxid)
}

#[test]
fn a_directory_goes_over_and_back_and_the_trees_are_equal() {
    let folder = support::server::folder("apache");
    let mut server = apache(&folder, &[]);
    let mut client = Client::connect(&server);
    load(&mut client, Client::connect(&server), "");
    multi_of_two(&mut client);
    let before = tree(&mut client);
    assert_eq!(before["/multi/below"].0.as_deref(), Some(&b"both"[..]));
    server.kill();
    let dumped = ringkeeper(&["log", "dump", text(&folder.join("version-2/log.1"))]).expect("a log");
    assert!(dumped.lines().any(|line| line.ends_with("create /a/e ephemeral")), "{dumped}");
    assert!(
        dumped.lines().any(|line| line.ends_with("multi create /multi; create /multi/below")),
        "{dumped}"
    );
    assert!(dumped.lines().any(|line| line.ends_with("error -101")), "{dumped}");
    // From the log alone.
    let (imported, said) = import(&folder);
    assert!(said.contains("snapshot.0: 4 znodes") && said.contains("1 sessions"), "{said}");
    let mut server = ours(&imported);
    let mut back = Connect::again(&client).open(&server);
    assert_eq!(tree(&mut back), before, "the session goes on, and sees the same");
    back.create("/ours", b"of ringkeeper", PERSISTENT);
    back.set_data("/a/e", b"still mine", -1).expect("there");
    let ours_now = tree(&mut back);
    server.kill();
    let segments = fs::read_dir(imported.join("ringkeeper-1")).expect("there");
    let paths = segments.map(|entry| entry.expect("readable").path());
    let dumped: Vec<String> = paths
        .filter(|path| text(path).contains("/segment.0"))
        .map(|path| ringkeeper(&["log", "dump", text(&path)]).expect("a log"))
        .collect();
    let has = |end: &str| dumped.iter().flat_map(|text| text.lines()).any(|line| line.ends_with(end));
    assert!(has(" create /ours") && has(" setData /a/e version 1"), "{dumped:?}");
    // Back: to the same server, its session still alive.
    let exported = export(&imported);
    let mut server = apache(&exported, &[]);
    let mut there = Connect::again(&back).open(&server);
    assert_eq!(tree(&mut there), ours_now);
    load(&mut there, Client::connect(&server), "/ours");
    let before = tree(&mut there);
    server.kill();
    // Once more, with a snapshot that isn't empty.
    server.restart();
    until("the snapshot of the start", || {
        (newest(&exported, "snapshot.", "")? > newest(&exported, "log.", "")?).then_some(())
    });
    server.kill();
    let (imported, _) = import(&exported);
    let mut server = ours(&imported);
    assert_eq!(tree(&mut Connect::again(&there).open(&server)), before);
    server.kill();
}

#[test]
fn packed_snapshots_are_taken_over() {
    for (method, suffix) in [("gz", ".gz"), ("snappy", ".snappy")] {
        let folder = support::server::folder("apache");
        let option = format!("-Dzookeeper.snapshot.compression.method={method}");
        let mut server = apache(&folder, &[&option]);
        let mut client = Client::connect(&server);
        load(&mut client, Client::connect(&server), "");
        let before = tree(&mut client);
        server.kill();
        server.restart();
        until("the snapshot of the start", || {
            (newest(&folder, "snapshot.", suffix)? > newest(&folder, "log.", "")?).then_some(())
        });
        server.kill();
        // Without the logs: only the snapshot can have it.
        for entry in fs::read_dir(folder.join("version-2")).expect("there") {
            let path = entry.expect("readable").path();
            if !text(&path).ends_with(suffix) || text(&path).ends_with(&format!("snapshot.0{suffix}")) {
                fs::remove_file(path).expect("there");
            }
        }
        let imported = support::server::folder("imported");
        // Nobody could know that there is no other: it has to be said that the log is here, too.
        let words = ["snapshot", "import", text(&folder), text(&folder), "--to", text(&imported)];
        let said = ringkeeper(&words).expect("taken over");
        assert!(said.contains(suffix), "{said}");
        let mut server = ours(&imported);
        assert_eq!(tree(&mut Connect::again(&client).open(&server)), before, "{method}");
        server.kill();
    }
}

#[test]
fn packed_exports_start_under_apache() {
    let folder = support::server::folder("ours");
    let command = [env!("CARGO_BIN_EXE_ringkeeper"), "server"];
    let mut server = Config::default().data_dir(&folder).set("snapCount", 20).command(&command).start();
    let mut client = Client::connect(&server);
    load(&mut client, Client::connect(&server), "");
    until("a snapshot of ours", || fuzzy::newest_of_ours(&folder));
    multi_of_two(&mut client);
    let before = tree(&mut client);
    server.kill();
    for (method, suffix) in [("none", ""), ("gzip", ".gz"), ("snappy", ".snappy")] {
        let (exported, said) = export_with(&folder, &["--compress", method]);
        let zxid = newest(&exported, "snapshot.", suffix).expect("a snapshot that is packed so");
        assert!(zxid > Zxid::ZERO && said.contains(&format!("snapshot {zxid} and ")), "{said}");
        // Without any setting: the file's name says it.
        let mut server = apache(&exported, &[]);
        let mut there = Connect::again(&client).open(&server);
        assert_eq!(tree(&mut there), before, "{method}");
        let read = format!("version-2/snapshot.{:x}{suffix}", zxid.0);
        let output = server.output();
        assert!(
            output.lines().any(|line| line.contains("Reading snapshot") && line.ends_with(&read)),
            "{output}"
        );
        there.create("/there", b"of Apache's", PERSISTENT);
        let before = tree(&mut there);
        server.kill();
        let (imported, _) = import(&exported);
        let mut server = ours(&imported);
        assert_eq!(tree(&mut Connect::again(&there).open(&server)), before, "{method}");
        server.kill();
    }
}

#[test]
fn later_logs_bring_an_imported_directory_forward() {
    let folder = support::server::folder("apache");
    let mut server = apache(&folder, &[]);
    let mut client = Client::connect(&server);
    load(&mut client, Client::connect(&server), "");
    server.kill();
    let (begun, _) = import(&folder);
    // It goes on writing, in another log.
    server.restart();
    let mut client = Connect::again(&client).open(&server);
    load(&mut client, Client::connect(&server), "/a");
    let before = tree(&mut client);
    server.kill();
    let names = fs::read_dir(folder.join("version-2")).expect("there");
    let paths = names.map(|entry| entry.expect("readable").path());
    let logs: Vec<PathBuf> = paths.filter(|path| text(path).contains("/log.")).collect();
    assert!(logs.len() > 1, "{logs:?}");
    let to = support::server::folder("forward");
    let mut words = vec!["log", "import", text(&begun)];
    words.extend(logs.iter().map(|log| text(log)));
    words.extend(["--to", text(&to)]);
    let said = ringkeeper(&words).expect("brought forward");
    assert!(said.contains("transactions behind") && said.contains("1 sessions"), "{said}");
    let mut server = ours(&to);
    assert_eq!(tree(&mut Connect::again(&client).open(&server)), before);
    server.kill();
}

#[test]
fn a_directory_is_checked_compared_and_restored_to_a_zxid() {
    let folder = support::server::folder("apache");
    let mut server = apache(&folder, &[]);
    let mut client = Client::connect(&server);
    let mut trees = vec![];
    // What Apache's writes while it is written to is whole only with the log behind it. One that starts writes one at rest.
    for prefix in ["", "/a", "/a/empty"] {
        load(&mut client, Client::connect(&server), prefix);
        trees.push((server.zxid(), tree(&mut client)));
        server.kill();
        server.restart();
        client = Connect::again(&client).open(&server);
    }
    let snapshots = || {
        let names = fs::read_dir(folder.join("version-2")).expect("there");
        names.filter(|entry| text(&entry.as_ref().expect("readable").path()).contains("/snapshot.")).count()
    };
    assert!(snapshots() >= 3, "{} snapshots", snapshots());
    server.kill();
    let checked = ringkeeper(&["log", "check", text(&folder)]).expect("whole");
    assert!(checked.contains(" transactions, zxid 0x1 to 0x"), "{checked}");
    let checked = ringkeeper(&["snapshot", "check", text(&folder)]).expect("whole");
    assert_eq!(checked.lines().count(), snapshots(), "{checked}");
    let (imported, _) = import(&folder);
    assert_eq!(ringkeeper(&["snapshot", "diff", text(&folder), text(&imported)]), Ok(String::new()));
    let dumps = [&folder, &imported].map(|place| ringkeeper(&["snapshot", "dump", "--data", text(place)]));
    assert!(
        dumps[0] == dumps[1] && dumps[0].as_ref().is_ok_and(|dump| dump.contains("\n/a/e czxid")),
        "{dumps:?}"
    );
    for (zxid, before) in &trees {
        let to = support::server::folder("restored");
        let until_zxid = format!("{zxid:#x}");
        let words =
            ["snapshot", "restore", "--from", text(&folder), "--to", text(&to), "--until-zxid", &until_zxid];
        ringkeeper(&words).expect("it is there");
        let mut server = ours(&to);
        assert_eq!(&tree(&mut Connect::again(&client).open(&server)), before, "{until_zxid}");
        server.kill();
    }
}
