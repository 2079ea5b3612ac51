//! Files and directories of both kinds, whole and damaged; tests/restore.rs has a server's own logs.

use super::*;
use crate::cli::apache::testing::{Scratch, World};
use crate::cli::snapshot::{Import, import};

fn listed(write: impl FnOnce(&mut Vec<u8>) -> Result<Told, End>) -> (String, Result<Told, Refused>) {
    let mut out = vec![];
    let told = write(&mut out).map_err(|end| match end {
        End::Refused(refused) => refused,
        End::Output(error) => panic!("{error}"),
    });
    (String::from_utf8(out).expect("text"), told)
}

fn logs_checked(paths: Vec<PathBuf>) -> (String, Told) {
    let (out, told) = listed(|out| check_logs(&Check { paths }, out, &Progress::hidden()));
    (out, told.unwrap_or_else(|refused| panic!("{}", refused.text)))
}

fn snapshots_checked(paths: Vec<PathBuf>) -> (String, Told) {
    let (out, told) = listed(|out| check_snapshots(&Check { paths }, out, &Progress::hidden()));
    (out, told.unwrap_or_else(|refused| panic!("{}", refused.text)))
}

fn dumped(path: &Path, data: bool) -> (String, Result<Told, Refused>) {
    listed(|out| dump(&Dump { path: path.to_owned(), data }, out, &Progress::hidden()))
}

fn differences(a: &Path, b: &Path) -> (String, Result<Told, Refused>) {
    listed(|out| diff(&Diff { a: a.to_owned(), b: b.to_owned() }, out, &Progress::hidden()))
}

/// Apache's directory: an early snapshot, and the log.
fn theirs(world: &World) -> Scratch {
    let scratch = Scratch::new();
    scratch.put("snapshot.0", &World::new().snapshot());
    scratch.put("log.1", &world.log(1, world.entries.len()));
    scratch
}

/// The same as ours: one snapshot and an empty log.
fn ours(world: &World) -> Scratch {
    let (from, to) = (theirs(world), Scratch::new());
    let arguments =
        Import { from: from.path().to_owned(), from_log: None, to: to.path().to_owned(), lenient: false };
    import(&arguments, &Progress::hidden(), &mut |_| {}).unwrap_or_else(|refused| panic!("{}", refused.text));
    to
}

fn ours_file(scratch: &Scratch, zxid: i64) -> PathBuf {
    scratch.path().join("ringkeeper-1").join(log::snapshot_file_name(Zxid(zxid)))
}

#[test]
fn a_file_is_known_by_its_beginning_or_by_its_name() {
    let world = World::small();
    let (ours, theirs) = (ours(&world), theirs(&world));
    let kind = |path: &Path| Kind::of(path).map_err(|refused| refused.text);
    let file = ours_file(&ours, 8);
    assert_eq!(kind(&file), Ok(Kind::Snapshot(Zxid(8))));
    // A backup may be called anything: its head says the zxid.
    let renamed = ours.path().join("monday.backup");
    fs::copy(&file, &renamed).expect("room");
    assert_eq!(kind(&renamed), Ok(Kind::Snapshot(Zxid(8))));
    let segment = ours.path().join("ringkeeper-1/segment.0000000000000001");
    assert_eq!(kind(&segment), Ok(Kind::Segment(SegmentId(1))));
    let version_2 = theirs.path().join("version-2");
    assert_eq!(kind(&version_2.join("log.1")), Ok(Kind::TheirLog));
    assert_eq!(kind(&version_2.join("snapshot.0")), Ok(Kind::TheirSnapshot(Zxid(0), Packing::None)));
    for (name, bytes, expected) in [
        ("snapshot.5.gz", &b"\x1f\x8b"[..], Ok(Kind::TheirSnapshot(Zxid(5), Packing::Gzip))),
        ("snapshot.0000000000000007", b"damaged", Ok(Kind::Snapshot(Zxid(7)))),
        ("log.9", b"", Ok(Kind::TheirLog)),
        ("unnamed", b"ZKSN\0\0\0\x02", Err("says its zxid")),
        ("zoo.cfg", b"dataDir=/", Err("neither a log nor a snapshot")),
    ] {
        fs::write(version_2.join(name), bytes).expect("room");
        let found = kind(&version_2.join(name));
        match expected {
            Ok(expected) => assert_eq!(found, Ok(expected), "{name}"),
            Err(what) => assert!(found.as_ref().is_err_and(|text| text.contains(what)), "{name}: {found:?}"),
        }
    }
    assert!(kind(&version_2.join("gone")).is_err_and(|text| text.contains("cannot read")));
}

#[test]
fn logs_are_checked_to_the_last_byte_and_against_each_other() {
    let world = World::small();
    let scratch = Scratch::new();
    scratch.put("log.1", &world.log(1, 4));
    scratch.put("log.5", &world.log(5, 8));
    let folder = scratch.path().join("version-2");
    let (out, told) = logs_checked(vec![scratch.path().to_owned(), folder.join("log.5")]);
    assert_eq!(told, Told { line: "2 logs checked: whole".into(), code: 0 });
    assert!(out.contains(": 2 files: 8 transactions, zxid 0x1 to 0x8\n"), "{out}");
    assert!(out.contains("log.5: 4 transactions, zxid 0x5 to 0x8\n"), "{out}");
    // A torn tail, as after a crash, is no damage: the next log begins where it ends.
    let whole = world.log(1, 4);
    let mut torn = whole.clone();
    torn.truncate(whole.len() - 64);
    torn.extend([0, 0, 0, 0, 7]);
    scratch.put("log.1", &torn);
    let (out, told) = logs_checked(vec![scratch.path().to_owned()]);
    assert!(told.code == 0 && out.contains("torn at byte") && out.contains("8 transactions"), "{out}");
    // But where the next one begins later, something is missing.
    scratch.put("log.1", &whole[..whole.len() - 64 - 1]);
    let (out, told) = logs_checked(vec![scratch.path().to_owned()]);
    assert!(told.code == 4 && out.contains("log.1: damaged at byte"), "{out}");
    assert!(out.contains("the next log begins with zxid 0x5, not behind 0x3"), "{out}");
    // A gap between whole files may be right.
    scratch.put("log.1", &world.log(1, 3));
    let (out, told) = logs_checked(vec![scratch.path().to_owned()]);
    assert!(told.code == 0 && out.contains("goes on with zxid 0x5, and the log before ends at 0x3"), "{out}");
    let mut flipped = whole;
    flipped[40] ^= 1;
    scratch.put("log.1", &flipped);
    let (out, told) = logs_checked(vec![folder.join("log.1"), folder.join("log.5"), folder.join("gone")]);
    assert_eq!(told, Told { line: "3 logs checked: 2 not whole, or not readable".into(), code: 4 });
    assert!(out.contains("log.1: damaged at byte 16: the checksum"), "{out}");
    assert!(out.contains("log.5: 4 transactions"), "{out}");
    let (out, told) = logs_checked(vec![folder.join("gone")]);
    assert!(told.code == 3 && out.contains("cannot read"), "{out}");
    let empty = Scratch::new();
    let (out, told) = logs_checked(vec![empty.path().to_owned()]);
    assert!(told.code == 3 && out.contains("holds no log"), "{out}");
}

#[test]
fn every_byte_of_a_snapshot_counts() {
    let mut world = World::small();
    let (ours, theirs) = (ours(&world), theirs(&world));
    let (out, told) = snapshots_checked(vec![ours.path().to_owned(), theirs.path().to_owned()]);
    assert_eq!(told, Told { line: "2 snapshots checked: whole".into(), code: 0 });
    assert!(
        out.contains("snapshot.0000000000000008: 7 znodes, 1 of them ephemeral, 1 sessions, zxid 0x8"),
        "{out}"
    );
    for (file, bytes) in [
        (ours_file(&ours, 8), fs::read(ours_file(&ours, 8)).expect("there")),
        (theirs.path().join("version-2/snapshot.8"), world.snapshot()),
    ] {
        for at in (0..bytes.len()).step_by(3) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            fs::write(&file, &flipped).expect("room");
            let (out, told) = snapshots_checked(vec![file.clone()]);
            assert!(told.code >= 3, "byte {at}: {out}");
            // A version that is none may be a later one; all else is damage.
            assert!(told.code == 4 && out.contains(": damaged at byte ") || at < 16, "byte {at}: {out}");
        }
        for end in (0..bytes.len()).step_by(5) {
            fs::write(&file, &bytes[..end]).expect("room");
            let (out, told) = snapshots_checked(vec![file.clone()]);
            assert!(told.code == 4 && out.contains(": damaged at byte "), "cut at {end}: {out}");
        }
        fs::write(&file, &bytes).expect("room");
        assert_eq!(snapshots_checked(vec![file]).1.code, 0);
    }
    let (out, told) = snapshots_checked(vec![theirs.path().join("version-2/log.1")]);
    assert!(told.code == 3 && out.contains("a log, where a snapshot is needed"), "{out}");
}

#[test]
fn a_dump_has_a_line_per_session_and_znode() {
    let mut world = World::small();
    world.create("/quo\"te", b"\x00\xffdata", false);
    let (ours, theirs) = (ours(&world), theirs(&world));
    let (out, told) = dumped(ours.path(), true);
    let told = told.unwrap_or_else(|refused| panic!("{}", refused.text));
    assert!(told.line.starts_with("8 znodes, 1 sessions, zxid 0x9, digest 0x"), "{}", told.line);
    let names: Vec<&str> = out.lines().map(|line| line.split(' ').next().expect("a word")).collect();
    let expected = [
        "session",
        "/",
        "/a",
        "/a/e",
        "/c",
        "/quo\\\"te",
        "/zookeeper",
        "/zookeeper/config",
        "/zookeeper/quota",
    ];
    assert_eq!(names, expected);
    let line = |path: &str| out.lines().find(|line| line.starts_with(&format!("{path} "))).expect("there");
    assert!(line("session").ends_with("0x100000000000001 timeout 30000"), "{out}");
    assert!(
        line("/a").starts_with(
            "/a czxid 0x2 mzxid 0x5 pzxid 0x3 ctime 2001-09-09 01:46:40.002 UTC mtime 2001-09-09"
        ),
        "{out}"
    );
    assert!(line("/a").ends_with(" version 1 cversion 1 aversion 0 children 1 data 3 bytes two"), "{out}");
    assert!(line("/a/e").contains(" ephemeral of 0x100000000000001 data 4 bytes mine"), "{out}");
    assert!(line("/c").contains(" container data null"), "{out}");
    assert!(line("/quo\\\"te").ends_with("data 6 bytes \\x00\\xffdata"), "{out}");
    assert!(line("/zookeeper/config").contains(" acl world:anyone:1 "), "{out}");
    assert!(!ours.path().join("ringkeeper-1/lock").exists(), "a copy stays as it is");
    // Of a directory of Apache's, and of a file: the same.
    assert_eq!(dumped(theirs.path(), true).0, out);
    assert_eq!(dumped(&ours_file(&ours, 9), true).0, out);
    let (without, _) = dumped(theirs.path(), false);
    assert!(!without.contains("mine") && without.lines().count() == out.lines().count());
    // Nothing is printed of what isn't whole.
    let file = ours_file(&ours, 9);
    let mut bytes = fs::read(&file).expect("there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("room");
    let (out, told) = dumped(&file, true);
    assert!(out.is_empty() && told.is_err_and(|refused| refused.code == 4));
    let (_, told) = dumped(&theirs.path().join("version-2"), true);
    assert!(told.is_err_and(|refused| refused.code == 3 && refused.text.contains("name a dataDir")));
}

#[test]
fn a_diff_tells_what_was_added_removed_and_changed() {
    let world = World::small();
    let before = ours(&world);
    let (out, told) = differences(before.path(), theirs(&world).path());
    let told = told.unwrap_or_else(|refused| panic!("{}", refused.text));
    assert!(out.is_empty() && told.code == 0, "{out}");
    assert_eq!(
        told.line.lines().last(),
        Some("equal: 7 znodes, 1 sessions; zxid 0x8 and 0x8"),
        "{}",
        told.line
    );
    let mut later = World::small();
    later.create("/new", b"x", false);
    later.set("/a", b"other", 2);
    later.apply(&crate::wire::txn::Txn::CloseSession(None));
    let (out, told) = differences(&ours_file(&before, 8), ours(&later).path());
    let told = told.unwrap_or_else(|refused| panic!("{}", refused.text));
    assert_eq!(told.code, 1);
    assert_eq!(told.line.lines().last(), Some("different: 1 added, 2 removed, 2 changed; zxid 0x8 and 0xb"));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "- session 0x100000000000001");
    assert!(lines[1].starts_with("~ /: pzxid 0x") && lines[1].contains("children 3 -> 4"), "{out}");
    assert!(lines[2].starts_with("~ /a: data 3 bytes -> 5 bytes, mzxid 0x5 -> 0xa, "), "{out}");
    assert!(lines[2].contains("version 1 -> 2"), "{out}");
    assert_eq!(lines[3..], ["- /a/e", "+ /new"], "{out}");
    let (_, told) = differences(before.path(), &before.path().join("gone"));
    assert!(told.is_err_and(|refused| refused.code == 2));
}

/// By its sums it is whole. Whether it is the tree of one moment is another question, and the log behind it answers that.
#[test]
fn a_snapshot_that_was_written_while_the_tree_changed_is_whole_as_a_file() {
    let mut world = World::small();
    let scratch = Scratch::new();
    let digest = world.store.digest();
    for (digest, zxid, said) in [
        (digest, 8, None),
        (digest, 9, Some("clients wrote while it was taken, up to zxid 0x9 at least")),
        (digest ^ 1, 8, Some("clients wrote while its end was written")),
    ] {
        scratch.put("snapshot.8", &with_sections(&world.snapshot(), digest, zxid));
        let (out, told) = snapshots_checked(vec![scratch.path().to_owned()]);
        assert_eq!(told, Told { line: "1 snapshots checked: whole".into(), code: 0 });
        let note = "; it may need the log behind it: ";
        assert_eq!(
            (out.contains(note), out.contains(said.unwrap_or(note))),
            (said.is_some(), said.is_some()),
            "{out}"
        );
    }
}

/// A snapshot of Apache's with other words behind the tree, rightly sealed: a digest, and the last zxid.
fn with_sections(file: &[u8], digest: u64, last_zxid: i64) -> Vec<u8> {
    const BEHIND_THE_TREE: usize = 54;
    let mut out = file[..file.len() - BEHIND_THE_TREE].to_vec();
    let seal = |out: &mut Vec<u8>| {
        out.extend(i64::from(adler2::adler32_slice(out)).to_be_bytes());
        out.extend(b"\0\0\0\x01/");
    };
    out.extend(last_zxid.to_be_bytes());
    out.extend(2i32.to_be_bytes());
    out.extend(digest.to_be_bytes());
    seal(&mut out);
    out.extend(last_zxid.to_be_bytes());
    seal(&mut out);
    out
}

#[test]
fn what_is_received_needs_no_name() {
    let mut world = World::small();
    let (ours, theirs) = (ours(&world), world.snapshot());
    let scratch = Scratch::new();
    let file = scratch.path().join("received");
    let received = |bytes: &[u8], is_lenient: bool| {
        fs::write(&file, bytes).expect("room");
        let mut told = vec![];
        let read = read_received(&file, is_lenient, &mut |line| told.push(line));
        read.map(|image| (image, told))
    };
    let ours = fs::read(ours_file(&ours, 8)).expect("there");
    let digest = world.store.digest();
    for bytes in [&ours, &theirs, &with_sections(&theirs, digest, 8)] {
        let (image, told) = received(bytes, false).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((image.store.newest(), image.store.published()), (Zxid(8), Zxid(8)));
        assert_eq!((image.store.digest(), image.sessions), (digest, world.sessions.clone()));
        assert!(told.is_empty(), "{told:?}");
    }
    // It was written while the tree changed: by its sums it is whole, and by its digest it is no state of any moment.
    let fuzzy = with_sections(&theirs, digest ^ 1, 9);
    let why = received(&fuzzy, false).err().expect("refused");
    assert!(why.contains("the tree's digest is") && why.contains("?lenient=true"), "{why}");
    let (image, told) = received(&fuzzy, true).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((image.store.newest(), told.len()), (Zxid(9), 1));
    let damaged = [&theirs[..60], &[theirs[60] ^ 1], &theirs[61..]].concat();
    for (bytes, words) in [
        (&b""[..], "the request has no body"),
        (b"{}", "does not begin like a snapshot"),
        (&theirs[..100], "the snapshot is damaged at byte"),
        (&damaged, "the snapshot is damaged at byte"),
        (&ours[..ours.len() - 1], "the snapshot: damaged at byte"),
        (&with_sections(&theirs, digest, i64::MAX), "leaves no room"),
    ] {
        let why = received(bytes, true).err().expect("refused");
        assert!(why.contains(words) && !why.contains("received"), "{why}");
    }
}
