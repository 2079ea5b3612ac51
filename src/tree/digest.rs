//! A znode's share of the tree's digest, version 2: servers whose digests agree hold the same tree, ACLs apart.
//!
//! The digest is the sum of all shares. Apply keeps it (`store.rs`), and on a leader prep foretells it (`overlay.rs`), so
//! that it can travel with the transaction. What is under `/zookeeper` has no share: statistics of quotas and the
//! configuration are each server's own.
//!
//! Source: file-formats.md §4. Tested: digest_test.rs, and wherever `testing::Pipeline` applies what it proposed.

use crate::wire::StatPersisted;

/// A share is the CRC-32 of path, data and stat, in that order.
pub fn share_of(path: &[u8], data: Option<&[u8]>, stat: &StatPersisted) -> u32 {
    if is_left_out(path) {
        return 0;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(if path == b"/" { b"" } else { path });
    crc.update(data.unwrap_or_default());
    crc.update(&tail(stat));
    crc.finalize()
}

/// The share of a node that had `share` with the stat `before` and has the very same data now. Without a look at them: a CRC
/// is linear, so those of two messages that begin alike and are of one length differ by what the CRCs of their tails
/// differ by.
pub fn share_after(path: &[u8], share: u32, before: &StatPersisted, after: &StatPersisted) -> u32 {
    if is_left_out(path) {
        return 0;
    }
    share ^ crc32fast::hash(&tail(before)) ^ crc32fast::hash(&tail(after))
}

fn is_left_out(path: &[u8]) -> bool {
    path.starts_with(b"/zookeeper/")
}

fn tail(stat: &StatPersisted) -> [u8; 60] {
    let mut tail = [0u8; 60];
    let longs = [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime.0, stat.mtime.0];
    for (at, value) in longs.iter().enumerate() {
        tail[at * 8..at * 8 + 8].copy_from_slice(&value.to_be_bytes());
    }
    for (at, value) in [stat.version, stat.cversion, stat.aversion].iter().enumerate() {
        tail[40 + at * 4..44 + at * 4].copy_from_slice(&value.to_be_bytes());
    }
    tail[52..60].copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
    tail
}

#[cfg(test)]
#[path = "digest_test.rs"]
mod tests;
