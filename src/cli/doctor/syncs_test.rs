//! What is said of a log's syncs, and that nothing is left of measuring them.

use std::fs;

use super::*;
use crate::cli::apache::testing::Scratch;

fn names(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).expect("it is there");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("it is there").file_name();
    let mut names: Vec<String> =
        entries.map(|entry| name(entry).into_string().expect("of this test")).collect();
    names.sort();
    names
}

#[test]
fn the_percentiles_are_of_the_sorted_times() {
    let found = judged("somehow", (1..=100).rev().collect());
    assert_eq!(found.level, Level::Fine);
    assert_eq!(
        found.what,
        "a write of the log and its sync take 50 µs (p50 of 100 in a row, somehow; p99 99, longest 100 µs)"
    );
    let one = judged("somehow", vec![7]);
    assert!(one.what.contains("take 7 µs (p50 of 1 in a row, somehow; p99 7, longest 7 µs)"), "{one:?}");
}

#[test]
fn one_slow_write_of_a_hundred_is_no_slow_disk_and_two_are() {
    let with = |slow: usize| {
        let mut micros = vec![100; 100 - slow];
        micros.extend(vec![SLOW_MICROS + 1; slow]);
        judged("somehow", micros)
    };
    assert_eq!(with(1).level, Level::Fine);
    assert_eq!(with(2).level, Level::Warning);
    assert!(with(2).todo.last().is_some_and(|line| line.contains("tuning/nvme.md")));
}

#[test]
fn both_ways_of_writing_are_measured_and_leave_nothing() {
    let scratch = Scratch::new();
    let directory = Directory::open(scratch.path()).expect("it is there");
    for is_direct in [true, false] {
        let (_, micros) = measure(&directory, is_direct, Duration::ZERO).expect("a disk with room");
        assert_eq!(micros.len(), 1, "the first is over the time");
        assert!(names(scratch.path()).is_empty(), "direct: {is_direct}");
    }
    let (way, _) = measure(&directory, false, Duration::ZERO).expect("a disk with room");
    assert_eq!(way, "through a memory map");
}

#[test]
fn a_file_that_is_over_begins_anew() {
    let scratch = Scratch::new();
    let last = offsets().last().expect("there are some");
    for is_direct in [true, false] {
        let path = scratch.path().join(format!("direct-{is_direct}"));
        let mut file = Writer::create(&path, is_direct).expect("a disk with room");
        for offset in [0, last, 0] {
            file.write(offset).expect("in the file");
        }
    }
}

#[test]
fn what_an_ended_one_left_is_taken_away_and_nothing_else() {
    let scratch = Scratch::new();
    // No process has this number: the kernel's largest is 2^22.
    let dead = format!("{PREFIX}{}", 1 << 30);
    let own = format!("{PREFIX}{}", std::process::id());
    let alive = format!("{PREFIX}1");
    let others = ["ringkeeper-doctor-notes", "segment.1"].map(str::to_owned);
    let left = [dead.clone(), dead + ".new", own.clone(), own + ".new"];
    for name in left.iter().chain([&alive]).chain(&others) {
        fs::write(scratch.path().join(name), b"").expect("room");
    }
    let directory = Directory::open(scratch.path()).expect("it is there");
    measure(&directory, false, Duration::ZERO).expect("a disk with room");
    let [notes, segment] = others;
    assert_eq!(names(scratch.path()), [alive, notes, segment]);
}

#[test]
fn what_keeps_it_from_measuring_is_told() {
    let scratch = Scratch::new();
    let missing = look_at(&scratch.path().join("later"), true);
    assert_eq!(missing.level, Level::Note);
    assert!(missing.what.ends_with("later isn't there yet"), "{missing:?}");
    let denied = look_at(Path::new("/sys"), true);
    assert_eq!(denied.level, Level::Warning, "another user may: {denied:?}");
    assert!(denied.todo[0].contains("as the user that the server runs as"), "{denied:?}");
    let file = scratch.path().join("file");
    fs::write(&file, b"").expect("room");
    let found = look_at(&file, true);
    assert_eq!(found.level, Level::Wrong, "{found:?}");
    assert!(found.what.contains(&file.display().to_string()), "{found:?}");
}

#[test]
fn it_is_the_logs_own_directory_that_is_measured() {
    let scratch = Scratch::new();
    let log = scratch.path().join(SUBDIRECTORY);
    fs::create_dir(&log).expect("room");
    // Only there is it seen and taken away.
    let left = format!("{PREFIX}{}", 1 << 30);
    fs::write(log.join(&left), b"").expect("room");
    fs::write(scratch.path().join(&left), b"").expect("room");
    assert!(look_at(scratch.path(), false).what.contains(", through a memory map; p99 "));
    assert!(names(&log).is_empty());
    assert!(names(scratch.path()).contains(&left));
}
