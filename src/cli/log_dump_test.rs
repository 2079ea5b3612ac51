//! Lines of Apache's logs; tests/java_files.rs has those of a server's segments.

use super::*;
use crate::cli::apache::testing::{Scratch, World};

fn dumped(scratch: &Scratch, name: &str) -> (String, Result<String, End>) {
    let mut out = vec![];
    let end =
        dump(&scratch.path().join("version-2").join(name), Range::default(), &Progress::hidden(), &mut out);
    (String::from_utf8(out).expect("text"), end)
}

#[test]
fn a_transaction_is_a_line() {
    let scratch = Scratch::new();
    let mut world = World::small();
    world.create("/line\nfeed", b"", false);
    scratch.put("log.1", &world.log(1, 9));
    let (text, end) = dumped(&scratch, "log.1");
    assert_eq!(end.expect("whole"), "9 transactions");
    let lines: Vec<&str> = text.lines().collect();
    let head = "2001-09-09 01:46:40.001 UTC session 0x100000000000001 cxid 0x7 zxid 0x1";
    assert_eq!(lines[0], format!("{head} createSession 30000"));
    let kinds: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once(" zxid 0x").expect("a zxid").1.split_once(' ').expect("a type").1)
        .collect();
    assert_eq!(
        kinds,
        [
            "createSession 30000",
            "create /a",
            "create /a/e ephemeral",
            "create /b",
            "setData /a version 1",
            "createContainer /c",
            "error -101",
            "delete /b",
            "create /line\\nfeed",
        ]
    );
}

#[test]
fn ends_are_told() {
    let scratch = Scratch::new();
    let world = World::small();
    let mut log = world.log(1, 8);
    scratch.put("log.1", &log[..log.len() - 64 - 1]);
    let (text, end) = dumped(&scratch, "log.1");
    assert_eq!(text.lines().count(), 7);
    assert!(end.expect("torn").starts_with("7 transactions; torn at byte"));
    log[40] ^= 1;
    scratch.put("log.1", &log);
    assert!(matches!(dumped(&scratch, "log.1").1, Err(End::Damaged { offset: 16, .. })));
    scratch.put("segment.0000000000000001", &[7; 5000]);
    assert!(matches!(dumped(&scratch, "segment.0000000000000001").1, Err(End::Damaged { offset: 0, .. })));
    assert!(matches!(dumped(&scratch, "gone").1, Err(End::Unreadable(_))));
}
