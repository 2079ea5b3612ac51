//! Backups of running servers, and directories restored from them to a zxid or a time; logs and snapshots looked into.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::client::{EPHEMERAL, PERSISTENT};
use support::connect::Connect;
use support::server::folder;
use support::tree::{Tree, tree};
use support::{Client, Config, Server, until};

/// Of `super:secret`.
const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
    command.args(words).env_remove("RINGKEEPER_AUTH").output().expect("it runs")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// What a subcommand prints, if it is content.
fn ringkeeper(words: &[&str]) -> String {
    let out = run(words);
    assert!(out.status.success(), "{words:?}: {}", said(&out.stderr));
    said(&out.stdout)
}

/// Its exit code, and what it complains of; it has printed nothing.
fn refused(words: &[&str]) -> (i32, String) {
    let out = run(words);
    assert!(!out.status.success(), "{words:?}: {}", said(&out.stdout));
    (out.status.code().expect("no signal"), said(&out.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn ours(data_dir: &Path) -> Server {
    Config::default().data_dir(data_dir).start()
}

/// What a server shows of a directory. The client's own session changes nothing that is compared.
fn tree_of(data_dir: &Path) -> Tree {
    let mut server = ours(data_dir);
    let mut client = Client::connect(&server);
    let tree = tree(&mut client);
    client.close();
    server.kill();
    tree
}

fn files(data_dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let folder = data_dir.join("ringkeeper-1");
    let entries = fs::read_dir(folder).expect("there").map(|entry| entry.expect("readable").path());
    let is_one = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_str().expect("UTF-8");
        name.strip_prefix(prefix).is_some_and(|digits| digits.len() == 16)
    };
    let mut found: Vec<PathBuf> = entries.filter(is_one).collect();
    found.sort();
    found
}

#[test]
fn a_running_server_is_backed_up_and_its_backup_serves() {
    let config = Config::default().set("DigestAuthenticationProvider.superDigest", SUPER_DIGEST);
    let (mut server, port) = support::admin::start(config);
    let admin = format!("http://127.0.0.1:{port}");
    let mut client = Client::connect(&server);
    client.create("/a", b"data", PERSISTENT);
    client.create("/a/e", b"mine", EPHEMERAL);
    for number in 0..200 {
        client.create(&format!("/a/n{number}"), &[7; 3000], PERSISTENT);
    }
    let before = tree(&mut client);
    let to = folder("backup");
    let back_up =
        |auth: &str| ["backup", "--to", text(&to), "--admin", &admin, "--auth", auth].map(str::to_owned);
    let wrong = back_up("nobody:super:wrong");
    let (code, told) = refused(&wrong.each_ref().map(String::as_str));
    assert!(
        code == 3 && told.contains("the server answers 401: Not authenticated") && !told.contains("wrong"),
        "{told}"
    );
    assert_eq!(refused(&["backup", "--to", text(&to), "--admin", &admin]).0, 2);
    let right = back_up("digest:super:secret");
    let told = ringkeeper(&right.each_ref().map(String::as_str));
    assert!(told.contains("206 znodes, 1 sessions, zxid 0x") && told.contains("verified"), "{told}");
    let (code, told) = refused(&right.each_ref().map(String::as_str));
    assert!(code == 3 && told.contains("429") && told.contains("admin.rateLimiterIntervalInMS"), "{told}");
    let entries: Vec<PathBuf> =
        fs::read_dir(&to).expect("there").map(|entry| entry.expect("readable").path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    // What comes later is not in it.
    client.create("/later", b"", PERSISTENT);
    client.delete("/a/n7", -1).expect("there");
    client.cut();
    server.kill();
    let restored = folder("restored");
    let told = ringkeeper(&["snapshot", "restore", "--from", text(&entries[0]), "--to", text(&restored)]);
    assert!(told.contains("206 znodes") && told.contains("A standalone server starts on it"), "{told}");
    assert_eq!(tree_of(&restored), before);
    // The file itself: a folder of backups is checked, and held against the server's directory.
    let told = run(&["snapshot", "check", text(&to)]);
    assert!(told.status.success() && said(&told.stderr).contains("1 snapshots checked: whole"));
    let told = run(&["snapshot", "diff", text(&entries[0]), text(server.data_dir())]);
    assert_eq!(told.status.code(), Some(1), "{}", said(&told.stderr));
    let lines = said(&told.stdout);
    assert!(lines.contains("\n+ /later\n") && lines.contains("- /a/n7\n"), "{lines}");
    let (code, told) =
        refused(&["backup", "--to", text(&to), "--admin", "http://127.0.0.1:1", "--auth", "digest:a:b"]);
    assert!(code == 3 && told.contains("Is that the admin port"), "{told}");
}

/// A server that has taken snapshots meanwhile, killed; and what it held at some of its transactions.
fn history() -> (PathBuf, Vec<(i64, Tree)>) {
    let mut server = Config::default().set("snapCount", 40).set("autopurge.purgeInterval", 0).start();
    let mut client = Client::connect(&server);
    let mut trees = vec![];
    for number in 0..120 {
        client.create(
            &format!("/n{number}"),
            &[number; 100],
            if number % 3 == 0 { EPHEMERAL } else { PERSISTENT },
        );
        if number % 7 == 0 && number > 0 {
            client.delete(&format!("/n{}", number - 5), -1).expect("there");
        }
        if number % 20 == 19 {
            trees.push((server.zxid(), tree(&mut client)));
        }
    }
    let data_dir = folder("history");
    until("two snapshots", || (files(server.data_dir(), "snapshot.").len() >= 2).then_some(()));
    client.cut();
    server.kill();
    fs::rename(server.data_dir().join("ringkeeper-1"), data_dir.join("ringkeeper-1")).expect("one disk");
    (data_dir, trees)
}

fn restore(from: &Path, words: &[&str]) -> PathBuf {
    let to = folder("restored");
    ringkeeper(&[&["snapshot", "restore", "--from", text(from), "--to", text(&to)], words].concat());
    to
}

/// When the transaction was, as `log dump` tells.
fn time_of(data_dir: &Path, zxid: i64) -> String {
    let zxid = format!("{zxid:#x}");
    let line = ringkeeper(&["log", "dump", text(data_dir), "--from", &zxid, "--to", &zxid]);
    assert_eq!(line.lines().count(), 1, "{line}");
    line.split_once(" session ").expect("a line of a dump").0.to_owned()
}

#[test]
fn a_directory_is_restored_to_a_zxid_and_to_a_time() {
    let (data_dir, trees) = history();
    let dumped = ringkeeper(&["log", "dump", text(&data_dir)]);
    // Each transaction once, in order, whatever the files hold twice.
    let zxids: Vec<i64> = dumped
        .lines()
        .map(|line| line.split_once(" zxid 0x").expect("a zxid").1.split(' ').next().expect("digits"))
        .map(|digits| i64::from_str_radix(digits, 16).expect("hexadecimal"))
        .collect();
    assert!(zxids.len() > 120 && zxids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{zxids:?}");
    let mut compared = 0;
    for (zxid, before) in &trees {
        let to = restore(&data_dir, &["--until-zxid", &format!("{zxid:#x}")]);
        assert_eq!(&tree_of(&to), before, "{zxid:#x}");
        let time = time_of(&data_dir, *zxid);
        let to = restore(&data_dir, &["--until-time", &time]);
        let same = ringkeeper(&["log", "dump", text(&data_dir), "--from", &time, "--to", &time]);
        // Others of the same millisecond may be behind it.
        if same.lines().last().is_some_and(|line| line.contains(&format!(" zxid {zxid:#x} "))) {
            assert_eq!(&tree_of(&to), before, "{time}");
            compared += 1;
        }
    }
    assert!(compared > 0, "reading a tree takes longer than a millisecond");
    let (_, last) = trees.last().expect("some");
    assert_eq!(&tree_of(&restore(&data_dir, &[])), last);
    let to = folder("restored");
    let words = ["snapshot", "restore", "--from", text(&data_dir), "--to", text(&to), "--until-zxid"];
    let (code, told) = refused(&[&words[..], &["0x7fff"]].concat());
    assert!(code == 3 && told.contains("no transaction of zxid 0x7fff"), "{told}");
    let (code, told) = refused(&[&words[..], &["12"]].concat());
    assert!(code == 2 && told.contains("begins with 0x"), "{told}");
    assert_eq!(fs::read_dir(&to).expect("there").count(), 0);
}

#[test]
fn snapshot_files_and_segments_that_were_copied_do_as_well() {
    let (data_dir, trees) = history();
    let copies = folder("copies");
    for path in files(&data_dir, "snapshot.").into_iter().take(1).chain(files(&data_dir, "segment.")) {
        fs::copy(&path, copies.join(path.file_name().expect("a name"))).expect("room");
    }
    let snapshot = files(&data_dir, "snapshot.")[0].file_name().expect("a name").to_owned();
    let snapshot = copies.join(snapshot);
    let logs: Vec<PathBuf> = files(&data_dir, "segment.")
        .iter()
        .map(|path| copies.join(path.file_name().expect("a name")))
        .collect();
    let (zxid, before) = &trees[3];
    let until = format!("{zxid:#x}");
    let mut words = vec!["--until-zxid", &until, "--log"];
    words.extend(logs.iter().map(|path| text(path)));
    assert_eq!(&tree_of(&restore(&snapshot, &words)), before);
    let checked = run(&["log", "check", text(&copies)]);
    assert!(checked.status.success(), "{}", said(&checked.stdout));
}

#[test]
fn damage_is_told_with_file_and_byte_and_passed_over_where_it_can_be() {
    let (data_dir, trees) = history();
    let dir = text(&data_dir);
    let checked = run(&["log", "check", dir]);
    assert!(checked.status.success(), "{}{}", said(&checked.stdout), said(&checked.stderr));
    assert!(said(&checked.stdout).contains("transactions, zxid 0x1 to 0x"), "{}", said(&checked.stdout));
    // The newest snapshot: an older one and the log do.
    let newest = files(&data_dir, "snapshot.").pop().expect("one");
    let mut bytes = fs::read(&newest).expect("there");
    bytes[700] ^= 1;
    fs::write(&newest, &bytes).expect("room");
    let checked = run(&["snapshot", "check", dir]);
    assert_eq!(checked.status.code(), Some(4));
    let told = format!("{}: damaged at byte ", newest.display());
    assert!(said(&checked.stdout).contains(&told), "{}", said(&checked.stdout));
    let (_, last) = trees.last().expect("some");
    assert_eq!(&tree_of(&restore(&data_dir, &[])), last);
    // The log, in what was durable long before its end.
    let time = time_of(&data_dir, trees[0].0);
    let dumped = ringkeeper(&["log", "dump", dir]);
    // One with others behind it in its segment: damage in the last record of a file looks torn to who has only the file.
    let found = [("/n30", "/n32"), ("/n32", "/n34")].into_iter().find_map(|(name, later)| {
        files(&data_dir, "segment.").into_iter().find_map(|path| {
            let bytes = fs::read(&path).expect("there");
            let at = |name: &str| bytes.windows(4).position(|window| window == name.as_bytes());
            let (here, behind) = (at(name)?, at(later)?);
            (here < behind).then_some((name, path, here, bytes))
        })
    });
    let (name, segment, at, mut bytes) = found.expect("it was written");
    let dumped_before =
        dumped.lines().take_while(|line| !line.contains(&format!(" {name}"))).last().expect("there are some");
    let zxid = dumped_before.split_once(" zxid ").expect("a zxid").1;
    let last_whole = zxid.split(' ').next().expect("digits").to_owned();
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).expect("room");
    for words in [["log", "check", dir], ["log", "check", text(&segment)]] {
        let checked = run(&words);
        assert_eq!(checked.status.code(), Some(4), "{}", said(&checked.stdout));
        let told = format!("{}: damaged at byte ", segment.display());
        let lines = said(&checked.stdout);
        let byte = lines.split_once(&told).expect("file and byte").1.split(':').next().expect("a number");
        let byte: usize = byte.parse().expect("a number");
        assert!((at - 200..=at).contains(&byte), "{at}: {lines}");
    }
    // Before it there is a way, up to the very last transaction; behind it there is none but from a later snapshot.
    let (zxid, before) = &trees[0];
    assert_eq!(&tree_of(&restore(&data_dir, &["--until-zxid", &format!("{zxid:#x}")])), before);
    restore(&data_dir, &["--until-zxid", &last_whole]);
    let to = restore(&data_dir, &["--until-time", &time]);
    assert!(tree_of(&to).contains_key("/n19"));
    let dumped = run(&["log", "dump", dir]);
    assert_eq!(dumped.status.code(), Some(4));
    assert!(
        said(&dumped.stdout)
            .lines()
            .last()
            .is_some_and(|line| line.contains(&format!(" zxid {last_whole} ")))
    );
    for snapshot in files(&data_dir, "snapshot.") {
        fs::remove_file(snapshot).expect("there");
    }
    let to = folder("restored");
    let (code, told) = refused(&["snapshot", "restore", "--from", dir, "--to", text(&to)]);
    assert!(code == 4 && told.contains(&format!("{}: damaged at byte ", segment.display())), "{told}");
}

#[test]
fn a_directory_in_use_is_refused() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    let (dir, to) = (text(server.data_dir()), folder("restored"));
    for words in [
        &["log", "check", dir][..],
        &["log", "dump", dir],
        &["snapshot", "dump", dir],
        &["snapshot", "diff", dir, dir],
        &["snapshot", "restore", "--from", dir, "--to", text(&to)],
    ] {
        let out = run(words);
        let told = said(&out.stdout) + &said(&out.stderr);
        assert!(matches!(out.status.code(), Some(2 | 3)), "{words:?}: {told}");
        assert!(told.contains("another process (pid "), "{words:?}: {told}");
    }
    // One file of it may be looked into.
    let segment = files(server.data_dir(), "segment.").pop().expect("one");
    assert!(run(&["log", "dump", text(&segment)]).status.success());
}

#[test]
fn a_restored_session_goes_on() {
    let mut server = Config::default().start();
    let mut client = Client::connect(&server);
    client.create("/e", b"mine", EPHEMERAL);
    let again = Connect::again(&client);
    client.cut();
    server.kill();
    let server = ours(&restore(server.data_dir(), &[]));
    let mut client = again.open(&server);
    assert_eq!(client.data("/e"), b"mine");
    client.close();
    let mut other = Client::connect(&server);
    assert!(other.exists("/e", false).is_err());
}

/// As a restore leaves it that is killed half way.
#[test]
fn nothing_starts_on_half_a_restore() {
    let to = folder("restored");
    fs::create_dir(to.join("ringkeeper-1.unfinished")).expect("room");
    let (status, output) = Config::default().data_dir(&to).start_in_vain();
    assert_eq!(status.code(), Some(3), "{output}");
    assert!(output.contains("ringkeeper-1.unfinished is what an import or a restore left"), "{output}");
}

/// The exit code is the answer, also for who reads the first line only.
#[test]
fn a_reader_that_goes_away_changes_no_verdict() {
    let (data_dir, _) = history();
    let snapshots = files(&data_dir, "snapshot.");
    let (first, last) = (&snapshots[0], snapshots.last().expect("two"));
    let unread = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
        let child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("it runs");
        drop(child.stdout.take());
        let out = child.wait_with_output().expect("our child");
        (out.status.code(), said(&out.stderr))
    };
    let (code, told) = unread(&["snapshot", "diff", text(first), text(last)]);
    assert!(code == Some(1) && told.contains("different: "), "{code:?}: {told}");
    let mut bytes = fs::read(last).expect("there");
    bytes[700] ^= 1;
    fs::write(last, &bytes).expect("room");
    let (code, told) = unread(&["snapshot", "check", text(last)]);
    assert!(code == Some(4) && told.contains("1 not whole"), "{code:?}: {told}");
    let (code, told) = unread(&["log", "dump", text(&data_dir)]);
    assert_eq!(code, Some(0), "{told}");
}
