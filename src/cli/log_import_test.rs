//! A directory is brought forward, and what doesn't fit it is refused.

use super::*;
use crate::cli::apache::testing::{Scratch, World};

/// What was made of Apache's transactions up to the `last`.
fn imported(world: &World, last: usize, is_member: bool) -> (Scratch, String) {
    let (source, ours) = (Scratch::new(), Scratch::new());
    source.put("snapshot.0", &World::new().snapshot());
    source.put("log.1", &world.log(1, last));
    if is_member {
        source.put("acceptedEpoch", b"0");
        source.put("currentEpoch", b"0");
    }
    let (from, to) = (source.path().to_owned(), ours.path().to_owned());
    let arguments = snapshot::Import { from, from_log: None, to, lenient: false };
    let made = snapshot::import(&arguments, &Progress::hidden(), &mut |_| {});
    (ours, made.unwrap_or_else(|refused| panic!("{}", refused.text)))
}

fn try_import(from: &Scratch, logs: Vec<PathBuf>, to: &Scratch) -> (Result<String, Refused>, Vec<String>) {
    let (from, to) = (from.path().to_owned(), to.path().to_owned());
    let arguments = Import { from, logs, data_log_dir: None, to, lenient: false };
    let mut lines = vec![];
    let made = import(&arguments, &Progress::hidden(), &mut |line| lines.push(line));
    (made, lines)
}

/// Of the line that says what was done.
fn facts(line: &str) -> &str {
    line.split_once(": ").expect("place: facts").1
}

#[test]
fn logs_bring_a_directory_forward_in_whatever_order_they_are_named() {
    let world = World::small();
    let (begun, _) = imported(&world, 3, false);
    let (_all, expected) = imported(&world, 8, false);
    let logs = Scratch::new();
    // What is there already is passed over.
    logs.put("log.2", &world.log(2, 5));
    logs.put("log.6", &world.log(6, 8));
    let paths = |names: &[&str]| names.iter().map(|name| logs.path().join("version-2").join(name)).collect();
    let to = Scratch::new();
    let (made, lines) = try_import(&begun, paths(&["log.6", "log.2"]), &to);
    let made = made.unwrap_or_else(|refused| panic!("{}", refused.text));
    assert_eq!(facts(&made), facts(&expected));
    assert!(
        lines.iter().any(|line| line.contains("log.2: 2 transactions behind 0x3, up to 0x5")),
        "{lines:?}"
    );
    // Nothing is behind it any more.
    let (again, _) = try_import(&to, paths(&["log.2", "log.6"]), &Scratch::new());
    let refused = again.expect_err("nothing new");
    assert!(refused.text.contains("hold nothing behind that"), "{}", refused.text);
    // One between is missing.
    let (gap, _) = try_import(&begun, paths(&["log.6"]), &Scratch::new());
    let refused = gap.expect_err("a gap");
    assert_eq!(refused.code, 4);
    assert!(refused.text.contains("log.6: damaged at byte"), "{}", refused.text);
    assert!(refused.text.contains("zxid 0x6 comes behind 0x3: transactions are missing"), "{}", refused.text);
    let (name, _) = try_import(&begun, vec![logs.path().join("version-2")], &Scratch::new());
    assert!(name.expect_err("no log").text.contains("is called log. and a zxid"));
}

#[test]
fn a_log_of_another_history_is_refused_by_its_digests() {
    let world = World::small();
    let (begun, _) = imported(&world, 3, false);
    let mut other = World::new();
    for number in 1..=8 {
        other.create(&format!("/other-{number}"), b"", false);
    }
    let logs = Scratch::new();
    logs.put("log.1", &other.log(1, 8));
    let to = Scratch::new();
    let (made, _) = try_import(&begun, vec![logs.path().join("version-2/log.1")], &to);
    let refused = made.expect_err("another history");
    assert_eq!(refused.code, 4);
    assert!(refused.text.contains("had another tree"), "{}", refused.text);
    assert_eq!(std::fs::read_dir(to.path()).expect("there").count(), 0);
}

#[test]
fn a_member_keeps_the_promises_that_lie_beside_the_logs_and_has_no_vote_without_them() {
    let world = World::small();
    let (begun, _) = imported(&world, 3, true);
    let logs = Scratch::new();
    logs.put("log.1", &world.log(1, 8));
    let log = || vec![logs.path().join("version-2/log.1")];
    let (made, lines) = try_import(&begun, log(), &Scratch::new());
    assert!(!made.unwrap_or_else(|refused| panic!("{}", refused.text)).contains("epoch"));
    assert!(lines.iter().any(|line| line.contains("starts without a vote")), "{lines:?}");
    logs.put("acceptedEpoch", b"7");
    logs.put("currentEpoch", b"6");
    let (made, lines) = try_import(&begun, log(), &Scratch::new());
    let made = made.unwrap_or_else(|refused| panic!("{}", refused.text));
    assert!(made.ends_with("accepted epoch 7, current epoch 6"), "{made}");
    assert!(!lines.iter().any(|line| line.contains("vote")), "{lines:?}");
}
