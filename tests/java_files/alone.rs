//! Snapshot files of Apache's without their logs.

use std::fs;
use std::path::{Path, PathBuf};

use super::{apache, load, multi_of_two, newest, ours, ringkeeper, text};
use crate::support::Connect;
use crate::support::server::folder;
use crate::support::tree::{Tree, tree};
use crate::support::{Client, until};

/// The new directory and what was said, or why there is none.
pub fn import_alone(file: &Path, options: &[&str]) -> Result<(PathBuf, String), String> {
    let to = folder("alone");
    let words = [&["snapshot", "import", text(file), "--to", text(&to)], options].concat();
    ringkeeper(&words).map(|said| (to, said))
}

/// A server that was written to, its session, its tree, and the snapshot that it took at its next start, moved away from its logs.
fn taken_at_a_start(options: &[&str], suffix: &str) -> (Client, Tree, PathBuf) {
    let data_dir = folder("apache");
    let mut server = apache(&data_dir, options);
    let mut client = Client::connect(&server);
    load(&mut client, Client::connect(&server), "");
    multi_of_two(&mut client);
    let before = tree(&mut client);
    server.kill();
    server.restart();
    until("the snapshot of the start", || {
        (newest(&data_dir, "snapshot.", suffix)? > newest(&data_dir, "log.", "")?).then_some(())
    });
    server.kill();
    let zxid = newest(&data_dir, "snapshot.", suffix).expect("waited for");
    let name = format!("snapshot.{:x}{suffix}", zxid.0);
    let file = folder("copied").join(&name);
    fs::rename(data_dir.join("version-2").join(&name), &file).expect("the same disk");
    (client, before, file)
}

#[test]
fn a_snapshot_that_nobody_wrote_into_is_taken_over_alone() {
    for (options, suffix) in [
        (&[][..], ""),
        (&["-Dzookeeper.snapshot.compression.method=gz"], ".gz"),
        (&["-Dzookeeper.snapshot.compression.method=snappy"], ".snappy"),
    ] {
        let (client, before, file) = taken_at_a_start(options, suffix);
        let (imported, said) = import_alone(&file, &[]).expect("whole");
        assert!(said.contains(" 1 sessions"), "{said}");
        assert!(said.contains("without its log: what was written behind zxid 0x"), "{said}");
        let mut server = ours(&imported);
        assert_eq!(tree(&mut Connect::again(&client).open(&server)), before, "{suffix:?}");
        server.kill();
    }
}

/// Such a server notes none in its snapshots, either: whether anybody wrote meanwhile isn't known.
#[test]
fn a_snapshot_without_a_digest_is_taken_over_only_if_that_is_asked_for() {
    let (client, before, file) = taken_at_a_start(&["-Dzookeeper.digest.enabled=false"], "");
    let refusal = import_alone(&file, &[]).expect_err("nobody knows");
    assert!(refusal.contains("it holds no digest") && refusal.contains("With --lenient"), "{refusal}");
    let (imported, said) = import_alone(&file, &["--lenient"]).expect("as it is");
    assert!(said.contains("it holds no digest"), "{said}");
    let mut server = ours(&imported);
    assert_eq!(tree(&mut Connect::again(&client).open(&server)), before);
    server.kill();
}

#[test]
fn what_is_no_snapshot_of_apaches_is_named() {
    let place = folder("named");
    let log = place.join("log.1");
    fs::write(&log, b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0").expect("room");
    let unnamed = place.join("backup");
    fs::write(&unnamed, b"ZKSN\0\0\0\x02").expect("room");
    let cut = place.join("snapshot.5.gz");
    fs::write(&cut, b"\x1f\x8b").expect("room");
    for (file, said) in [
        (&log, "log.1: a log: name the dataDir that it belongs to"),
        (&unnamed, "backup: the name of a snapshot of Apache ZooKeeper says its zxid"),
        (&cut, "snapshot.5.gz: damaged at byte 0"),
    ] {
        let refusal = import_alone(file, &["--lenient"]).expect_err("no snapshot");
        assert!(refusal.contains(said), "{refusal}");
    }
    let refusal = ringkeeper(&["snapshot", "import", text(&cut), text(&place), "--to", text(&folder("to"))]);
    assert!(refusal.is_err_and(|text| text.contains("a dataLogDir belongs to a dataDir")));
}
