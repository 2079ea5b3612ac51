//! Points of a history restored, from both kinds of files; tests/restore.rs has a server's own logs.

use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::cli::apache::testing::{Scratch, World};

const BEGIN: i64 = 1_000_000_000_000;

fn arguments(from: &Path, to: &Scratch) -> Restore {
    Restore {
        from: from.to_owned(),
        data_log_dir: None,
        log: vec![],
        until_zxid: None,
        until_time: None,
        to: to.path().to_owned(),
        lenient: false,
    }
}

fn try_restore(arguments: &Restore) -> (Result<String, Refused>, Vec<String>) {
    let mut lines = vec![];
    let made = restore(arguments, &Progress::hidden(), &mut |line| lines.push(line));
    (made, lines)
}

fn restored(arguments: &Restore) -> String {
    let (made, lines) = try_restore(arguments);
    made.unwrap_or_else(|refused| panic!("{} {lines:?}", refused.text))
}

/// Of the line that says what was made.
fn facts(text: &str) -> &str {
    text.lines().next().and_then(|line| line.split_once(": ")).expect("place: facts").1
}

/// Apache's, with snapshots at the beginning and, of all there was in the end, under the name of `named`.
fn theirs(world: &mut World, named: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.put("snapshot.0", &World::new().snapshot());
    scratch.put(named, &world.snapshot());
    scratch.put("log.1", &world.log(1, 4));
    scratch.put("log.5", &world.log(5, 8));
    scratch
}

/// What a directory is that ends with this transaction.
fn expected(world: &World, last: usize) -> String {
    let (source, to) = (Scratch::new(), Scratch::new());
    source.put("snapshot.0", &World::new().snapshot());
    source.put("log.1", &world.log(1, last));
    restored(&arguments(source.path(), &to))
}

fn names(scratch: &Scratch) -> Vec<String> {
    let entries = fs::read_dir(scratch.path()).expect("there");
    entries.map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII")).collect()
}

#[test]
fn every_point_of_a_history_is_restored() {
    let mut world = World::small();
    let source = theirs(&mut world, "snapshot.8");
    fs::write(source.path().join("myid"), "3").expect("room");
    for last in 1..=8 {
        let expected = expected(&world, last);
        let to = Scratch::new();
        let until_zxid = Some(Zxid(last as i64));
        let made = restored(&Restore { until_zxid, ..arguments(source.path(), &to) });
        assert_eq!(facts(&made), facts(&expected), "{last}");
        // Its number is each copy's own.
        assert_eq!(names(&to), ["ringkeeper-1"]);
        let to = Scratch::new();
        let until_time = Some(WallMillis(BEGIN + last as i64));
        let (made, lines) = try_restore(&Restore { until_time, ..arguments(source.path(), &to) });
        let made = made.unwrap_or_else(|refused| panic!("{}", refused.text));
        assert_eq!(facts(&made), facts(&expected), "{last}");
        assert!(
            lines.iter().any(|line| line.contains(&format!("the last transaction is 0x{last}, "))),
            "{lines:?}"
        );
    }
    let all = restored(&arguments(source.path(), &Scratch::new()));
    assert_eq!(facts(&all), facts(&expected(&world, 8)));
    assert!(all.contains("copy ") && all.contains("none on what it had before"), "{all}");
}

#[test]
fn what_is_not_there_is_not_made_up() {
    let mut world = World::small();
    let source = theirs(&mut world, "snapshot.8");
    let to = Scratch::new();
    let until = |until: i64| Restore { until_zxid: Some(Zxid(until)), ..arguments(source.path(), &to) };
    let (made, _) = try_restore(&until(9));
    let refused = made.expect_err("later than all");
    assert_eq!(refused.code, 3);
    assert!(
        refused.text.contains("no transaction of zxid 0x9: up to there the last one is 0x8"),
        "{}",
        refused.text
    );
    fs::remove_file(source.path().join("version-2/snapshot.0")).expect("there");
    let (made, _) = try_restore(&until(5));
    assert!(made.is_err_and(|refused| refused.text.contains("the oldest snapshot is of zxid 0x8")));
    // The logs begin later than the time that was asked for.
    let early = Restore { until_time: Some(WallMillis(BEGIN)), ..arguments(source.path(), &to) };
    let refused = try_restore(&early).0.expect_err("too early");
    assert!(refused.text.contains("the logs begin with zxid 0x1"), "{}", refused.text);
    assert!(refused.text.contains("--until-zxid: 0x8"), "{}", refused.text);
    for (from, what) in [
        (source.path().join("gone"), "cannot open"),
        (source.path().join("version-2"), "name the dataDir of a server"),
        (source.path().join("version-2/log.1"), "a log, where a snapshot"),
    ] {
        let (made, _) = try_restore(&arguments(&from, &to));
        assert!(
            made.as_ref().is_err_and(|refused| refused.text.contains(what)),
            "{}: {made:?}",
            from.display()
        );
    }
    assert!(names(&to).is_empty(), "{:?}", names(&to));
}

#[test]
fn a_snapshot_that_was_still_written_later_than_the_end_is_passed_over() {
    let mut world = World::small();
    // Begun at 3, and finished at 8.
    let source = theirs(&mut world, "snapshot.3");
    let to = Scratch::new();
    let (made, lines) = try_restore(&Restore { until_zxid: Some(Zxid(5)), ..arguments(source.path(), &to) });
    let made = made.unwrap_or_else(|refused| panic!("{}", refused.text));
    assert_eq!(facts(&made), facts(&expected(&world, 5)));
    assert!(
        lines.iter().any(|line| line.contains("snapshot.3: it was still being written at zxid 0x8")),
        "{lines:?}"
    );
}

#[test]
fn damage_behind_the_end_doesn_t_stand_in_the_way() {
    let mut world = World::small();
    let source = theirs(&mut world, "snapshot.8");
    let mut log = world.log(5, 8);
    // In the last one.
    let last = log.len() - 64 - 1 - world.entries[7].len();
    log[last + 2] ^= 1;
    source.put("log.5", &log);
    let until = |until: i64| {
        let to = Scratch::new();
        try_restore(&Restore { until_zxid: Some(Zxid(until)), ..arguments(source.path(), &to) })
    };
    for last in [4, 5, 7] {
        let (made, lines) = until(last);
        let made = made.unwrap_or_else(|refused| panic!("{last}: {} {lines:?}", refused.text));
        assert_eq!(facts(&made), facts(&expected(&world, last as usize)), "{last}");
    }
    // Up to it there is no way.
    fs::remove_file(source.path().join("version-2/snapshot.8")).expect("there");
    let refused = until(8).0.expect_err("damaged");
    assert_eq!(refused.code, 4);
    assert!(refused.text.contains("log.5: damaged at byte"), "{}", refused.text);
}

#[test]
fn a_snapshot_alone_and_with_logs_behind_it() {
    let mut world = World::small();
    let (source, ours) = (theirs(&mut world, "snapshot.8"), Scratch::new());
    restored(&Restore { until_zxid: Some(Zxid(3)), ..arguments(source.path(), &ours) });
    let backup = Scratch::new();
    let file = backup.path().join("monday");
    let name = log::snapshot_file_name(Zxid(3));
    fs::copy(ours.path().join("ringkeeper-1").join(name), &file).expect("room");
    let made = restored(&arguments(&file, &Scratch::new()));
    assert_eq!(facts(&made), facts(&expected(&world, 3)));
    let version_2 = source.path().join("version-2");
    let logs = vec![version_2.join("log.5"), version_2.join("log.1")];
    let to = Scratch::new();
    let with_logs =
        |until_zxid, to: &Scratch| Restore { log: logs.clone(), until_zxid, ..arguments(&file, to) };
    assert_eq!(facts(&restored(&with_logs(Some(Zxid(6)), &Scratch::new()))), facts(&expected(&world, 6)));
    assert_eq!(facts(&restored(&with_logs(None, &Scratch::new()))), facts(&expected(&world, 8)));
    let refused = |arguments: &Restore| try_restore(arguments).0.expect_err("refused").text;
    let time = Restore { until_time: Some(WallMillis(BEGIN)), ..arguments(&file, &to) };
    assert!(refused(&time).contains("snapshots hold no times"));
    let early = refused(&with_logs(Some(Zxid(2)), &to));
    assert!(early.contains("the oldest snapshot is of zxid 0x3"), "{early}");
    let beyond = Restore { until_zxid: Some(Zxid(4)), ..arguments(&file, &to) };
    assert!(refused(&beyond).contains("no transaction of zxid 0x4"));
    // Apache's, likewise.
    source.put("snapshot.0", &World::new().snapshot());
    let theirs = version_2.join("snapshot.0");
    let until_zxid = Some(Zxid(7));
    let made = restored(&Restore { log: logs.clone(), until_zxid, ..arguments(&theirs, &Scratch::new()) });
    assert_eq!(facts(&made), facts(&expected(&world, 7)));
    // The logs that were meant are not left out in silence.
    let folder = Restore { data_log_dir: Some(source.path().to_owned()), ..arguments(&theirs, &to) };
    assert!(refused(&folder).contains("--data-log-dir goes with a dataDir"), "{}", refused(&folder));
    let directory = Restore { log: logs, ..arguments(source.path(), &to) };
    assert!(refused(&directory).contains("--log goes with a snapshot file"));
}

#[test]
fn promises_are_kept_or_made_of_the_last_transaction() {
    let of = |accepted, current| Some(Epochs { accepted: Epoch(accepted), current: Epoch(current) });
    let at = |epoch: i64| Zxid(epoch << 32 | 7);
    for (known, reached, expected) in [
        (None, at(0), None),
        (None, at(5), of(5, 5)),
        (of(7, 6), at(5), of(7, 6)),
        (of(7, 6), at(0), of(7, 6)),
        // An old copy of the record beside a later log.
        (of(3, 2), at(5), of(5, 5)),
    ] {
        assert_eq!(epochs(known, reached), expected, "{known:?} {reached}");
    }
    let mut world = World::small();
    let source = theirs(&mut world, "snapshot.8");
    source.put("acceptedEpoch", b"4");
    source.put("currentEpoch", b"3");
    let made = restored(&arguments(source.path(), &Scratch::new()));
    assert!(facts(&made).ends_with("accepted epoch 4, current epoch 3"), "{made}");
    // What can't be read is told, and isn't needed for a new history.
    source.put("acceptedEpoch", b"x");
    let (made, lines) = try_restore(&arguments(source.path(), &Scratch::new()));
    assert!(!made.unwrap_or_else(|refused| panic!("{}", refused.text)).contains("accepted"));
    assert!(lines.iter().any(|line| line.contains("The new history begins behind epoch 0")), "{lines:?}");
}

fn replayed(world: &World, left_out: usize) -> Forward {
    let image = blank().unwrap_or_else(|refused| panic!("{}", refused.text));
    let mut forward = Forward { store: image.store, sessions: BTreeMap::new(), differs: None };
    for (at, payload) in world.entries.iter().enumerate() {
        let zxid = Zxid(at as i64 + 1);
        if at + 1 != left_out {
            let entry = log::Entry { zxid, payload };
            forward
                .apply(Path::new("segment"), 0, &entry)
                .unwrap_or_else(|refused| panic!("{}", refused.text));
        }
    }
    forward
}

#[test]
fn a_tree_that_is_not_what_its_transactions_say_is_refused() {
    let world = World::small();
    let image = replayed(&world, 0).finish(false, &mut |line| panic!("{line}"));
    let image = image.unwrap_or_else(|refused| panic!("{}", refused.text));
    assert_eq!((image.store.digest(), image.sessions.len()), (world.store.digest(), 1));
    // The data of /a are those of before.
    let refused = replayed(&world, 5).finish(false, &mut |_| {}).err().expect("another tree");
    assert_eq!(refused.code, 4);
    assert!(refused.text.contains("at zxid 0x8 the tree's digest was"), "{}", refused.text);
    let mut lines = vec![];
    assert!(replayed(&world, 5).finish(true, &mut |line| lines.push(line)).is_ok());
    assert!(lines[0].contains("A later zxid is the same tree again"), "{lines:?}");
    // Without its session an ephemeral is told of.
    let mut lines = vec![];
    assert!(replayed(&world, 1).finish(true, &mut |line| lines.push(line)).is_ok());
    assert!(lines.iter().any(|line| line.contains("1 ephemeral znodes belong to session")), "{lines:?}");
    let mut cut = world.entries[1].clone();
    cut.truncate(40);
    let mut forward = replayed(&world, 0);
    let refused = forward.apply(Path::new("segment"), 5000, &log::Entry { zxid: Zxid(9), payload: &cut });
    let refused = refused.expect_err("cut");
    assert!(refused.text.starts_with("segment: damaged at byte 50"), "{}", refused.text);
}

#[test]
fn what_only_a_start_can_settle_is_refused() {
    let mut world = World::small();
    let (source, ours) = (theirs(&mut world, "snapshot.8"), Scratch::new());
    restored(&arguments(source.path(), &ours));
    restored(&arguments(ours.path(), &Scratch::new()));
    fs::write(ours.path().join("ringkeeper-1/received.0000000000000008"), "").expect("room");
    let (made, _) = try_restore(&arguments(ours.path(), &Scratch::new()));
    assert!(made.is_err_and(|refused| refused.code == 3 && refused.text.contains("Start it once")));
    fs::remove_file(ours.path().join("ringkeeper-1/received.0000000000000008")).expect("there");
    fs::remove_file(ours.path().join("ringkeeper-1/segment.0000000000000001")).expect("there");
    let (made, _) = try_restore(&arguments(ours.path(), &Scratch::new()));
    assert!(made.is_err_and(|refused| refused.code == 3 && refused.text.contains("--data-log-dir")));
}
