//! Digests of the tree at fixed zxids, for `hash`: servers that agree there hold the same tree.
//!
//! Interval and number are those of `DataTree.java` (`DIGEST_LOG_INTERVAL`, `DIGEST_LOG_LIMIT`).

use std::collections::VecDeque;

use crate::base::Zxid;

const INTERVAL: i64 = 128;
const COUNT_MAX: usize = 1024;
/// Transactions that a fuzzy snapshot may already hold: more than an Apache leader takes while it writes one.
const FUZZY_MAX: u32 = 100_000;

#[derive(Debug, Default)]
pub struct Digests {
    newest: VecDeque<(Zxid, i64)>,
    mismatches: u64,
    /// Mismatches that need not be a fault.
    distrust: u32,
}

impl Digests {
    /// `digest` is the tree's with everything up to `zxid`.
    pub fn on_applied(&mut self, zxid: Zxid, digest: u64) {
        if zxid.0 % INTERVAL != 0 {
            return;
        }
        if self.newest.len() == COUNT_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back((zxid, digest as i64));
    }

    /// The leader's tree is another one behind this transaction: one of the two has a fault, or a damaged memory. Loud, and
    /// nothing else: which one is right is the operator's to find out. Said at 1, 2, 4, 8... of them.
    pub fn on_mismatch(&mut self, zxid: Zxid, leaders: i64, ours: u64) {
        if self.distrust > 0 {
            self.distrust -= 1;
            return;
        }
        self.mismatches += 1;
        if self.mismatches.is_power_of_two() {
            tracing::error!(
                %zxid,
                leaders = format_args!("{leaders:x}"),
                ours = format_args!("{ours:x}"),
                count = self.mismatches,
                "this server's tree differs from the leader's: compare `hash` of all servers, then empty the data \
                 directory of the one that differs and let it synchronise again"
            );
        }
    }

    /// A leader's snapshot was loaded. One of Apache's is fuzzy: what comes behind it repairs it, and until then the digests
    /// differ without a fault.
    pub fn distrust(&mut self) {
        self.distrust = FUZZY_MAX;
    }

    /// They are equal: from here on they stay so.
    pub fn on_match(&mut self) {
        self.distrust = 0;
    }

    /// Oldest first.
    pub fn list(&self) -> impl Iterator<Item = (Zxid, i64)> {
        self.newest.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_interval_are_kept() {
        let mut digests = Digests::default();
        let last = INTERVAL * (COUNT_MAX as i64 + 2);
        for zxid in 1..=last {
            digests.on_applied(Zxid(zxid), zxid as u64);
        }
        let list: Vec<_> = digests.list().collect();
        assert_eq!(list.len(), COUNT_MAX);
        assert_eq!(list[0], (Zxid(3 * INTERVAL), 3 * INTERVAL));
        assert_eq!(list[COUNT_MAX - 1], (Zxid(last), last));
    }
}
