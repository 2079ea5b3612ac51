//! What is printed, and what is said of directories.

use std::fs;
use std::path::Path;

use super::*;
use crate::cli::apache::testing::Scratch;
use crate::config::Raw;

/// Of server 2 of three, on these directories.
fn config(data: &Path, log: &Path, servers: &str) -> Config {
    fs::write(data.join("myid"), "2").expect("room");
    let text = format!(
        "dataDir={}\ndataLogDir={}\nclientPort=2181\ninitLimit=5\nsyncLimit=2\n{servers}",
        data.display(),
        log.display()
    );
    let read = |path: &Path| fs::read(path);
    Raw::parse("zoo.cfg", text.as_bytes()).check(|_| None, &read).expect("sound").0
}

const THREE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";

fn put(folder: &Path, directory: &str, name: &str) {
    fs::create_dir_all(folder.join(directory)).expect("room");
    fs::write(folder.join(directory).join(name), "").expect("room");
}

/// What is said first of the directories, with what is to be done.
fn said(config: &Config, serves: bool) -> (Level, String) {
    let first = directory::look(config, serves).remove(0);
    (first.level, [vec![first.what], first.todo].concat().join("\n"))
}

#[test]
fn a_voter_is_not_to_start_with_less_than_it_had() {
    let scratch = Scratch::new();
    let config = config(scratch.path(), scratch.path(), THREE);
    let (level, text) = said(&config, true);
    assert_eq!(level, Level::Warning);
    assert!(text.contains("Never start a voter with less than it had"), "{text}");
    assert!(text.contains("ringkeeper snapshot import"), "{text}");
    let (level, text) = said(&config, false);
    assert_eq!(level, Level::Warning);
    assert!(text.contains("all servers of this ensemble are new"), "{text}");
}

#[test]
fn an_observer_and_a_lone_server_may_begin_with_nothing() {
    let scratch = Scratch::new();
    let observer = THREE.replace("server.2=b:1:2", "server.2=b:1:2:observer");
    for servers in [observer.as_str(), ""] {
        let config = config(scratch.path(), scratch.path(), servers);
        assert_eq!(said(&config, true).0, Level::Note, "{servers}");
    }
}

#[test]
fn data_of_either_kind_are_told_apart_in_either_directory() {
    let (data, log) = (Scratch::new(), Scratch::new());
    let config = config(data.path(), log.path(), THREE);
    put(log.path(), "version-2", "log.1");
    let (level, text) = said(&config, true);
    assert_eq!(level, Level::Wrong);
    let import =
        format!("ringkeeper snapshot import {} {} --to NEWDIR", data.path().display(), log.path().display());
    assert!(text.contains(&import), "{text}");
    put(data.path(), "ringkeeper-1", "lock");
    assert_eq!(said(&config, true).0, Level::Wrong, "a lock is no data");
    put(data.path(), "ringkeeper-1", "snapshot.0000000000000007");
    assert_eq!(said(&config, true).0, Level::Wrong, "the server refuses to start beside Apache's log");
    fs::create_dir(log.path().join("ringkeeper-1")).expect("room");
    let (level, text) = said(&config, true);
    assert!(level == Level::Warning && text.contains("and no log"), "{text}");
    put(log.path(), "ringkeeper-1", &crate::log::SegmentId(1).to_string());
    assert_eq!(said(&config, true).0, Level::Note);
}

#[test]
fn what_cannot_be_read_is_not_empty() {
    let scratch = Scratch::new();
    let config = config(scratch.path(), scratch.path(), THREE);
    // Not a directory: an error for every user.
    fs::write(scratch.path().join("ringkeeper-1"), "").expect("room");
    let (level, text) = said(&config, true);
    assert!(level == Level::Wrong && text.contains("what it holds isn't known"), "{text}");
}

#[test]
fn findings_are_printed_with_what_to_do_and_counted() {
    let parts = [
        (
            "data",
            vec![
                Finding::new(Level::Wrong, "it is red").todo("paint it"),
                Finding::new(Level::Fine, "it is there"),
            ],
        ),
        ("host", vec![Finding::new(Level::Warning, "it is slow")]),
    ];
    let expected = "data\n  WRONG it is red\n        paint it\n  ok    it is there\nhost\n  warn  it is slow\n1 wrong, 1 warnings";
    assert_eq!(rendered(&parts), expected);
}
