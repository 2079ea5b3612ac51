//! Files of ours as they were written, once and now: each golden directory is recovered with the tree that its clients saw, by
//! whatever this program has become; and what a later program writes is refused, untouched.
//!
//! `golden/formats-1.txt` is the data directory of a lone voter in its third life, killed, with files of every kind: segments,
//! snapshots, the epoch record. It was made by the first of these commands, on 2026-11-22. Whoever raises a version in
//! `src/log` adds the next one before (the last test here asks for it), and leaves the older ones alone:
//! ```sh
//! RINGKEEPER_CAPTURE=formats-1 cargo test --test formats
//! ```
//! | line | holds |
//! |---|---|
//! | `file <name> <bytes>` | a file below `ringkeeper-1`; zeroes but for what follows |
//! | `at <offset> <hex>` | a piece of it |
//! | `says <text>` | what `ringkeeper snapshot export` says of it, behind the place |
//! | `node <path> <data> <acl> <stat>` | a znode; data in hex, `-` if null; the stat's numbers in the wire's order |
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, MultiOp, SetAclRequest,
    SetDataRequest,
};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl, Reader};
use support::client::{EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT};
use support::connect::Connect;
use support::server::{folder, free_port};
use support::tree::{Tree, Znode, tree};
use support::{Client, Config, Server, until};

const OURS: &str = "ringkeeper-1";
const TTL: i32 = 5;
const CONTAINER: i32 = 4;
/// A session outlives what a busy machine does between its server's lives.
const TIMEOUT_MS: i32 = 300_000;
/// A run of zeroes that ends a piece.
const ZEROES: usize = 16;
const PIECE_BYTES: usize = 64;

/// A kind of file: its name's beginning, and what the checksum at byte 12 covers from byte 16 on. The version is at byte 8.
const KINDS: [(&str, usize); 3] = [("segment.", 128), ("snapshot.", 64), ("epochs", 40)];
const SLOT_BYTES: usize = 4096;

struct Golden {
    files: BTreeMap<String, Vec<u8>>,
    says: String,
    nodes: Vec<String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

impl Golden {
    fn parse(text: &str) -> Golden {
        let mut golden = Golden { files: BTreeMap::new(), says: String::new(), nodes: vec![] };
        let mut name = String::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (kind, rest) = line.split_once(' ').expect("a kind of line");
            match kind {
                "file" => {
                    let (file, bytes) = rest.split_once(' ').expect("name and size");
                    name = file.to_owned();
                    golden.files.insert(name.clone(), vec![0; bytes.parse().expect("a number")]);
                }
                "at" => {
                    let (offset, bytes) = rest.split_once(' ').expect("offset and bytes");
                    let (offset, bytes) = (offset.parse::<usize>().expect("a number"), unhex(bytes));
                    let file = golden.files.get_mut(&name).expect("its file comes first");
                    file[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
                "says" => golden.says = rest.to_owned(),
                "node" => golden.nodes.push(rest.to_owned()),
                other => panic!("no line of a golden directory: {other}"),
            }
        }
        golden
    }

    fn print(&self) -> String {
        let mut text = "# A data directory as it was left: see tests/formats.rs.\n".to_owned();
        for (name, bytes) in &self.files {
            let _ = writeln!(text, "file {name} {}", bytes.len());
            for (offset, piece) in pieces(bytes) {
                for (index, part) in piece.chunks(PIECE_BYTES).enumerate() {
                    let _ = writeln!(text, "at {} {}", offset + index * PIECE_BYTES, hex(part));
                }
            }
        }
        let _ = writeln!(text, "says {}", self.says);
        self.nodes.iter().for_each(|node| text.push_str(&format!("node {node}\n")));
        text
    }

    /// Puts it on the disk: a data directory.
    fn unpack(&self) -> PathBuf {
        let data_dir = folder("golden");
        fs::write(data_dir.join("myid"), "1\n").expect("room");
        fs::create_dir(data_dir.join(OURS)).expect("room");
        for (name, bytes) in &self.files {
            fs::write(data_dir.join(OURS).join(name), bytes).expect("room");
        }
        data_dir
    }

    /// The versions in which its files of this kind are written.
    fn versions(&self, kind: &str) -> BTreeSet<u32> {
        let files = self.files.iter().filter(|(name, _)| name.starts_with(kind));
        files.flat_map(|(_, bytes)| heads(bytes)).map(|(_, version)| version).collect()
    }
}

/// Of a file of ours: where magic and version stand. The epoch record has two places.
fn heads(bytes: &[u8]) -> Vec<(usize, u32)> {
    let version = |at: usize| u32::from_le_bytes(bytes[at + 8..at + 12].try_into().expect("four bytes"));
    let starts = if bytes.len() == 2 * SLOT_BYTES { vec![0, SLOT_BYTES] } else { vec![0] };
    starts.into_iter().filter(|at| bytes[*at..].starts_with(b"RK")).map(|at| (at, version(at))).collect()
}

/// Where something stands, and what.
fn pieces(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let (mut found, mut at) = (vec![], 0);
    while let Some(start) = bytes[at..].iter().position(|byte| *byte != 0).map(|index| at + index) {
        let run = bytes[start..].windows(ZEROES).position(|window| window.iter().all(|byte| *byte == 0));
        let end = run.map_or(bytes.len(), |run| start + run);
        found.push((start, &bytes[start..end]));
        at = end;
    }
    found
}

fn golden_directories() -> Vec<(String, Golden)> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    static CAPTURED: Once = Once::new();
    CAPTURED.call_once(|| {
        if let Ok(name) = std::env::var("RINGKEEPER_CAPTURE") {
            fs::write(place.join(format!("{name}.txt")), capture().print()).expect("room");
        }
    });
    let mut names: Vec<String> = fs::read_dir(&place)
        .unwrap_or_else(|error| panic!("{}: {error}", place.display()))
        .map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII"))
        .filter(|name| name.starts_with("formats-"))
        .collect();
    names.sort();
    assert!(names.first().is_some_and(|name| name == "formats-1.txt"), "the first one stays: {names:?}");
    let read = |name: String| {
        let text = fs::read_to_string(place.join(&name)).expect("readable");
        (name, Golden::parse(&text))
    };
    names.into_iter().map(read).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What an export says of the directory, without the place that it was written to.
fn said_by_export(data_dir: &Path) -> String {
    let (command, to) = (env!("CARGO_BIN_EXE_ringkeeper"), folder("exported"));
    let words = ["snapshot", "export", text(data_dir), "--to", text(&to)];
    let out = Command::new(command).args(words).output().expect("it runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let line = String::from_utf8(out.stdout).expect("text");
    line.trim_end().split_once(": ").expect("place: facts").1.to_owned()
}

/// The tree as lines. What the ensemble is made of is this machine's matter.
fn lines(tree: &Tree) -> Vec<String> {
    let shown = tree.iter().filter(|(path, _)| *path != "/zookeeper/config");
    let line = |(path, (data, acl, stat)): (&String, &Znode)| {
        let data = data.as_ref().map_or("-".to_owned(), |data| format!("x{}", hex(data)));
        let acl: Vec<String> =
            acl.iter().map(|entry| format!("{}:{}:{}", entry.perms, entry.scheme, entry.id)).collect();
        let mut numbers = vec![stat.czxid.0, stat.mzxid.0, stat.ctime.0, stat.mtime.0];
        numbers.extend([stat.version, stat.cversion, stat.aversion].map(i64::from));
        numbers.push(stat.ephemeral_owner.0);
        numbers.extend([stat.data_length, stat.num_children].map(i64::from));
        numbers.push(stat.pzxid.0);
        let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
        format!("{path} {data} {} {}", acl.join(","), numbers.join(","))
    };
    shown.map(line).collect()
}

fn server(data_dir: &Path) -> Config {
    let command = [env!("CARGO_BIN_EXE_ringkeeper"), "server"];
    let config = Config::default().data_dir(data_dir).command(&command).set("extendedTypesEnabled", true);
    config.set("maxSessionTimeout", TIMEOUT_MS)
}

/// The only voter of an ensemble: it keeps epochs.
fn voter(data_dir: &Path) -> Config {
    let member = format!("127.0.0.1:{}:{}", free_port(), free_port());
    let config = server(data_dir).set("standaloneEnabled", false).set("server.1", member);
    config.set("initLimit", 20).set("syncLimit", 20)
}

struct Raw(Vec<u8>);

impl Encode for Raw {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

fn multi(client: &mut Client, operations: &[MultiOp<'_>]) {
    let mut body = vec![];
    encode_list(&mut body, operations.iter().copied());
    assert_eq!(client.call(Opcode::Multi, &Raw(body)).code(), ErrorCode::Ok);
}

/// Every kind of transaction, and of znode, below `top`.
fn write_every_kind(client: &mut Client, other: &mut Client, top: &str) {
    let path = |name: &str| format!("{top}/{name}");
    let (a, container, ttl, acls) = (path("a"), path("container"), path("ttl"), path("acls"));
    let (one, two) = (path("one"), path("two"));
    let open = Some(AclList::OPEN);
    client.create(top, b"", PERSISTENT);
    client.create(&a, "größer".as_bytes(), PERSISTENT);
    client.create(&path("e"), b"mine", EPHEMERAL);
    client.create(&path("s-"), b"", EPHEMERAL_SEQUENTIAL);
    other.create(&path("e-other"), b"", EPHEMERAL);
    let null = CreateRequest { path: acls.as_str().into(), data: None, acl: open, flags: PERSISTENT };
    assert_eq!(client.call(Opcode::Create, &null).code(), ErrorCode::Ok);
    let kept =
        CreateRequest { path: container.as_str().into(), data: Some(b""), acl: open, flags: CONTAINER };
    assert_eq!(client.call(Opcode::CreateContainer, &kept).code(), ErrorCode::Ok);
    let data = Some(&b"for years"[..]);
    let timed = CreateTtlRequest { path: ttl.as_str().into(), data, acl: open, flags: TTL, ttl: 1 << 39 };
    assert_eq!(client.call(Opcode::CreateTtl, &timed).code(), ErrorCode::Ok);
    let mut list = vec![];
    encode_vector(&mut list, [OwnedAcl::new(31, "world", "anyone"), OwnedAcl::new(1, "ip", "10.0.0.0/8")]);
    let acl = AclList::decode(&mut Reader::new(&list)).expect("encoded above");
    let request = SetAclRequest { path: acls.as_str().into(), acl: Some(acl), version: -1 };
    assert_eq!(client.call(Opcode::SetAcl, &request).code(), ErrorCode::Ok);
    for number in 0..20 {
        client.create(&path(&format!("a/n{number}")), &[number; 40], PERSISTENT);
    }
    for number in 0..9 {
        client.delete(&path(&format!("a/n{number}")), -1).expect("there");
    }
    client.set_data(&a, b"later", -1).expect("there");
    assert!(client.try_create(&path("nobody/there"), b"", PERSISTENT).is_err());
    multi(
        client,
        &[
            MultiOp::Check(CheckVersionRequest { path: a.as_str().into(), version: 1 }),
            create_of(&one),
            create_of(&two),
            MultiOp::SetData(SetDataRequest { path: one.as_str().into(), data: Some(b"both"), version: 0 }),
            MultiOp::Delete(DeleteRequest { path: two.as_str().into(), version: 0 }),
        ],
    );
}

fn create_of(path: &str) -> MultiOp<'_> {
    MultiOp::Create2(CreateRequest {
        path: path.into(),
        data: Some(b""),
        acl: Some(AclList::OPEN),
        flags: PERSISTENT,
    })
}

fn session(server: &Server) -> Client {
    Connect { timeout_ms: TIMEOUT_MS, ..Connect::default() }.open(server)
}

/// A spare segment is nobody's data. Of a server that runs, a file may be renamed between its being listed and read.
fn files(data_dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(data_dir.join(OURS)).expect("there").map(|entry| entry.expect("readable"));
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("ASCII");
        let is_one = KINDS.iter().any(|(kind, _)| name.starts_with(kind)) && !name.ends_with(".spare");
        if !is_one {
            return None;
        }
        match fs::read(entry.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            bytes => Some((name, bytes.expect("readable"))),
        }
    };
    entries.filter_map(read).collect()
}

/// Three lives, the first of them with snapshots; each is killed.
fn capture() -> Golden {
    let data_dir = folder("captured");
    fs::write(data_dir.join("myid"), "1\n").expect("room");
    let mut server = voter(&data_dir).set("snapCount", 40).prepare();
    server.restart();
    let mut client = session(&server);
    let mut other = session(&server);
    write_every_kind(&mut client, &mut other, "/first");
    let has_snapshot =
        || files(&data_dir).keys().any(|name| name.starts_with("snapshot.") && !name.ends_with("tmp"));
    until("a snapshot", || has_snapshot().then_some(()));
    other.close();
    for life in ["/second", "/third"] {
        server.kill();
        server.restart();
        client = Connect { timeout_ms: TIMEOUT_MS, ..Connect::again(&client) }.open(&server);
        let mut other = session(&server);
        write_every_kind(&mut client, &mut other, life);
        other.close();
    }
    let nodes = lines(&tree(&mut client));
    server.kill();
    let mut files = files(&data_dir);
    files.retain(|name, _| !name.ends_with("tmp"));
    Golden { files, says: said_by_export(&data_dir), nodes }
}

#[test]
fn every_golden_directory_is_recovered_with_its_tree() {
    for (name, golden) in golden_directories() {
        println!("{name}: {}", golden.says);
        assert!(golden.nodes.len() > 40, "{} znodes", golden.nodes.len());
        for (kind, _) in KINDS {
            assert!(!golden.versions(kind).is_empty(), "{name} has no file {kind}");
        }
        let data_dir = golden.unpack();
        assert_eq!(said_by_export(&data_dir), golden.says, "{name}");
        // A server without its ensemble, for the tree.
        let mut alone = server(&data_dir).start();
        assert_eq!(lines(&tree(&mut session(&alone))), golden.nodes, "{name}");
        alone.kill();
        // A member, for its epochs: it leads a later one than it had promised, and writes.
        let mut member = voter(&golden.unpack()).start();
        let accepted = golden.says.split_once("accepted epoch ").expect("a member's").1;
        let accepted: i64 = accepted.split(',').next().and_then(|text| text.parse().ok()).expect("a number");
        let mut client = session(&member);
        client.create("/now", b"by this version", PERSISTENT);
        assert_eq!(member.zxid() >> 32, accepted + 1, "{name}");
        member.kill();
        member.restart();
        let mut client = Connect { timeout_ms: TIMEOUT_MS, ..Connect::again(&client) }.open(&member);
        assert_eq!(client.data("/now"), b"by this version");
        assert_eq!(client.data("/first/a"), b"later");
        member.kill();
    }
}

#[test]
fn files_of_a_later_version_are_refused_and_left_alone() {
    let (_, golden) = golden_directories().pop().expect("at least one");
    for (kind, head_bytes) in KINDS {
        let data_dir = golden.unpack();
        for (name, mut bytes) in files(&data_dir).into_iter().filter(|(name, _)| name.starts_with(kind)) {
            for (at, version) in heads(&bytes) {
                bytes[at + 8..at + 12].copy_from_slice(&(version + 1).to_le_bytes());
                let sum = crc32c::crc32c(&bytes[at..at + 12]);
                let sum = crc32c::crc32c_append(sum, &bytes[at + 16..at + head_bytes]);
                bytes[at + 12..at + 16].copy_from_slice(&sum.to_le_bytes());
            }
            fs::write(data_dir.join(OURS).join(name), bytes).expect("room");
        }
        let before = files(&data_dir);
        for config in [voter(&data_dir), server(&data_dir)] {
            let (status, output) = config.start_in_vain();
            assert!(matches!(status.code(), Some(3 | 4)), "{kind} {status}\n{output}");
            assert!(output.contains(kind), "{output}");
            assert!(
                output.contains("newer version of this program") || output.contains("later version"),
                "{output}"
            );
            assert!(!output.contains("panicked"), "{output}");
            let after = files(&data_dir);
            let changed: Vec<&String> =
                before.keys().filter(|name| after.get(*name) != before.get(*name)).collect();
            assert!(
                changed.is_empty() && after.len() == before.len(),
                "{kind}: {changed:?}, {:?}",
                after.keys()
            );
        }
    }
}

#[test]
fn what_is_written_today_has_a_golden_directory() {
    let now = capture();
    let (name, newest) = golden_directories().pop().expect("at least one");
    for (kind, _) in KINDS {
        assert_eq!(
            now.versions(kind),
            newest.versions(kind),
            "{kind} has another version than in {name}: capture the next one, and keep that one"
        );
    }
}
