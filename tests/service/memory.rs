//! What the kernel is told of the server's memory.

use std::fs;

use crate::support::Config;

fn may_have_huge_pages(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("THP_enabled:")).expect("Linux 5.0 tells");
    line.trim() == "1"
}

/// Whoever touches a huge page first waits until it is zeroed: writes did, now and then for milliseconds.
#[test]
fn who_is_served_waits_for_no_huge_page_unless_the_operator_wants_them() {
    for shards in [1, 2] {
        let server = Config::default().set("ringkeeper.shards", shards).start();
        assert!(!may_have_huge_pages(&server.pid().to_string()), "{shards} shards");
    }
    let server = Config::default().set("ringkeeper.hugePages", true).start();
    assert_eq!(
        may_have_huge_pages(&server.pid().to_string()),
        may_have_huge_pages("self"),
        "as it was started"
    );
}
