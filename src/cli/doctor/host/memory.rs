//! Memory: is there enough for the tree, is it where it belongs.

use std::fs;

use super::super::{Finding, Level};
use super::mib;
use crate::base::limits;
use crate::config::Config;
use crate::log::SnapshotName;
use crate::server;

/// A tree takes less than so many times its snapshot: 1.7 times with a million znodes of 100 bytes (tuning/memory.md).
const SNAPSHOTS_IN_MEMORY: u64 = 2;
/// What clients can make one event loop hold.
const BESIDE_BYTES: u64 =
    (limits::INPUT_BYTES_SOFT + limits::OUTPUT_BYTES_SOFT + limits::PROPOSED_BYTES_MAX) as u64;

/// The size of the newest one.
pub(super) fn newest_snapshot(config: &Config) -> Option<u64> {
    let entries = fs::read_dir(config.data_dir.join(server::SUBDIRECTORY)).ok()?.flatten();
    let zxid = |name: &str| match SnapshotName::parse(name)? {
        SnapshotName::Whole(zxid) => Some(zxid),
        SnapshotName::Temporary(_) => None,
    };
    let whole = entries.filter_map(|entry| Some((zxid(entry.file_name().to_str()?)?, entry)));
    let (_, newest) = whole.max_by_key(|(zxid, _)| *zxid)?;
    Some(newest.metadata().ok()?.len())
}

/// `limit`: memory.max of the control group; `snapshot`: its size.
pub(super) fn room(meminfo: &str, limit: Option<u64>, snapshot: Option<u64>) -> Option<Finding> {
    let total = limit.into_iter().chain(kib_of(meminfo, "MemTotal:").map(|kib| kib << 10)).min()?;
    let tree = snapshot.unwrap_or(0) * SNAPSHOTS_IN_MEMORY;
    let needed = tree + BESIDE_BYTES;
    let kind = if limit == Some(total) { " (memory.max)" } else { "" };
    let what = format!("{} MiB of memory{kind}", mib(total));
    if total < tree {
        let what = format!("{what}; the tree, by its newest snapshot, takes up to {}", mib(tree));
        return Some(Finding::new(Level::Warning, what).todo(enough(needed)).see("containers"));
    }
    if total < needed {
        let what =
            format!("{what}; with all that clients can make it hold the server takes up to {}", mib(needed));
        return Some(Finding::new(Level::Note, what).todo(enough(needed)).see("containers"));
    }
    limit.map(|_| Finding::new(Level::Fine, what))
}

fn enough(needed: u64) -> String {
    format!(
        "Beyond its limit a server is killed, and takes as long to come back as its tree to be read. Give it {} MiB.",
        mib(needed)
    )
}

/// `enabled`, `defrag`: as `always [madvise] never`. `are_wanted`: `ringkeeper.hugePages`, else only a tree that is read at a
/// start lies in them.
pub(super) fn huge_pages(enabled: &str, defrag: &str, are_wanted: bool) -> Option<Finding> {
    match chosen(enabled)? {
        mode if !are_wanted => Some(Finding::new(
            Level::Fine,
            format!("huge pages: {mode}; none are made while clients are served (ringkeeper.hugePages)"),
        )),
        "never" => Some(
            Finding::new(
                Level::Note,
                "huge pages: never; the tree takes a little less memory, and reads of a large one longer",
            )
            .todo("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
            .see("huge-pages"),
        ),
        mode if chosen(defrag) == Some("always") => Some(
            Finding::new(
                Level::Note,
                format!("huge pages: {mode}, defrag: always; whoever touches new memory may wait for one to be made"),
            )
            .todo("echo madvise > /sys/kernel/mm/transparent_hugepage/defrag; defer, where a write must never wait for one.")
            .see("huge-pages"),
        ),
        mode => Some(Finding::new(Level::Fine, format!("huge pages: {mode}, so the tree gets them"))),
    }
}

/// The word in brackets.
fn chosen(words: &str) -> Option<&str> {
    Some(words.split_once('[')?.1.split_once(']')?.0)
}

/// `most`: memory.swap.max of the control group.
pub(super) fn swap(meminfo: &str, swappiness: &str, most: Option<u64>) -> Option<Finding> {
    let kib = kib_of(meminfo, "SwapTotal:")?;
    if kib == 0 || most == Some(0) || matches!(swappiness, "0" | "1") {
        return None;
    }
    Some(
        Finding::new(Level::Note, format!("{} MiB of swap, vm.swappiness={swappiness}", kib >> 10))
            .todo("A tree that is swapped out answers late. sysctl vm.swappiness=1, or MemorySwapMax=0 in the unit.")
            .see("mlock"),
    )
}

fn kib_of(meminfo: &str, name: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().trim_end_matches("kB").trim().parse().ok()
}
