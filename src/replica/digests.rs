//! Digests of the tree at fixed zxids, for `hash`: servers that agree there hold the same tree.
//!
//! Interval and number are those of `DataTree.java` (`DIGEST_LOG_INTERVAL`, `DIGEST_LOG_LIMIT`).

use std::collections::VecDeque;

use crate::base::Zxid;

const INTERVAL: i64 = 128;
const COUNT_MAX: usize = 1024;

#[derive(Debug, Default)]
pub struct Digests(VecDeque<(Zxid, i64)>);

impl Digests {
    /// `digest` is the tree's with everything up to `zxid`.
    pub fn on_applied(&mut self, zxid: Zxid, digest: u64) {
        if zxid.0 % INTERVAL != 0 {
            return;
        }
        if self.0.len() == COUNT_MAX {
            self.0.pop_front();
        }
        self.0.push_back((zxid, digest as i64));
    }

    /// Oldest first.
    pub fn list(&self) -> impl Iterator<Item = (Zxid, i64)> {
        self.0.iter().copied()
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
