//! What a server would not find, or find in part, keeps it from starting.

use std::fs;

use super::super::epochs::tests::Scratch;
use super::*;

const SEGMENT: &str = "segment.0000000000000001";
const SNAPSHOT: &str = "snapshot.0000000000000007";

fn put(place: &Path, directory: &str, name: &str) {
    fs::create_dir_all(place.join(directory)).expect("room");
    fs::write(place.join(directory).join(name), "").expect("room");
}

#[test]
fn the_names_are_those_of_the_log() {
    assert_eq!(SegmentId(1).to_string(), SEGMENT);
    assert!(SnapshotName::parse(SNAPSHOT).is_some());
}

/// Its segments would be read by nobody, and writes that were acknowledged be gone; with the setting taken back, they would
/// come again behind other ones.
#[test]
fn a_log_in_the_data_directory_is_not_left_behind() {
    for name in [SEGMENT, EPOCH_FILE, LOST_EPOCHS] {
        let (data, log) = (Scratch::new(), Scratch::new());
        put(data.path(), SUBDIRECTORY, SNAPSHOT);
        assert_eq!(find(data.path(), log.path()).expect("readable"), None, "a backup may be started from");
        put(data.path(), SUBDIRECTORY, name);
        assert_eq!(find(data.path(), data.path()).expect("readable"), None);
        let found = find(data.path(), log.path()).expect("readable");
        assert!(matches!(found, Some(Stray::Log { .. })), "{name}: {found:?}");
        let same = log.path().join("same");
        std::os::unix::fs::symlink(data.path(), &same).expect("room");
        assert_eq!(find(data.path(), &same).expect("readable"), None);
    }
}

#[test]
fn apaches_data_are_named_with_what_imports_them() {
    let (data, log) = (Scratch::new(), Scratch::new());
    put(log.path(), APACHES, "log.1");
    let import = format!("{} {}", data.path().display(), log.path().display());
    let expected = Stray::Apache { place: log.path().join(APACHES), import };
    // A lock is no data: a start that failed leaves it.
    put(data.path(), SUBDIRECTORY, "lock");
    assert_eq!(find(data.path(), log.path()).expect("readable"), Some(expected));
    assert_eq!(find(data.path(), data.path()).expect("readable"), None);
    put(data.path(), APACHES, "snapshot.0");
    let found = find(data.path(), data.path()).expect("readable");
    assert!(matches!(found, Some(Stray::Apache { .. })), "{found:?}");
    put(data.path(), SUBDIRECTORY, SEGMENT);
    assert_eq!(find(data.path(), data.path()).expect("readable"), None, "beside ours they are not read");
}

/// After an import, which puts everything into one directory.
#[test]
fn the_old_log_directory_is_to_be_taken_out() {
    let (data, log) = (Scratch::new(), Scratch::new());
    put(log.path(), APACHES, "log.1");
    put(data.path(), SUBDIRECTORY, SNAPSHOT);
    put(data.path(), SUBDIRECTORY, SEGMENT);
    let found = find(data.path(), log.path()).expect("readable").expect("something stands against it");
    assert_eq!(found, Stray::ApachesLogDir { place: log.path().join(APACHES) });
    assert!(found.todo()[0].starts_with("Take dataLogDir out"), "{found:?}");
}

/// A restore that was killed: a start beside what it left would look like one on the restored tree.
#[test]
fn what_was_left_half_made_is_named_and_not_passed_over() {
    let scratch = Scratch::new();
    put(scratch.path(), "ringkeeper-1.unfinished", SEGMENT);
    let found = find(scratch.path(), scratch.path()).expect("readable").expect("something stands against it");
    assert_eq!(found, Stray::Unfinished { place: scratch.path().join("ringkeeper-1.unfinished") });
    // A lock is no data: a start that failed leaves it.
    put(scratch.path(), SUBDIRECTORY, "lock");
    assert_eq!(find(scratch.path(), scratch.path()).expect("readable"), Some(found));
    put(scratch.path(), SUBDIRECTORY, SEGMENT);
    assert_eq!(find(scratch.path(), scratch.path()).expect("readable"), None, "a server's own data count");
}

#[test]
fn what_cannot_be_read_is_not_empty() {
    for directory in [APACHES, SUBDIRECTORY] {
        let scratch = Scratch::new();
        // Not a directory: an error for every user.
        fs::write(scratch.path().join(directory), "").expect("room");
        find(scratch.path(), scratch.path()).expect_err(directory);
    }
}
