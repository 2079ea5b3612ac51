//! Statistics of quotas, once more and naively (client-protocol.md §15): each change looks for the quota that counts it, and a
//! statistic that is made counts its subtree by walking all that there is.
//!
//! Not here: hard limits, which are held against what was applied when a write was judged; no log tells when that was.
//! Limits: the two znodes are written with well-formed texts only, and no quota is on anything below `/zookeeper`.

use crate::base::Zxid;

use super::model::{Model, parent};

pub const LIMITS: &str = "/zookeeper_limits";
pub const STATS: &str = "/zookeeper_stats";

/// The znode of this quota.
pub fn leaf(root: &[u8], name: &str) -> Vec<u8> {
    [b"/zookeeper/quota", root, name.as_bytes()].concat()
}

impl Model {
    /// A node was created.
    pub(super) fn quota_created(&mut self, zxid: Zxid, path: &[u8], bytes: usize) {
        let stats_of =
            path.strip_prefix(b"/zookeeper/quota").and_then(|rest| rest.strip_suffix(STATS.as_bytes()));
        if let Some(root) = stats_of.filter(|root| !root.is_empty()) {
            let below = [root, b"/"].concat();
            let subtree = self.all(zxid).filter(|(other, _)| *other == root || other.starts_with(&below));
            let sizes: Vec<usize> = subtree.map(|(_, node)| node.data.as_ref().map_or(0, Vec::len)).collect();
            self.write_stats(zxid, path, sizes.len() as i64, sizes.iter().sum::<usize>() as i64);
        }
        self.quota_changed(zxid, path, bytes as i64, 1);
    }

    /// So many bytes and nodes more at `path`.
    pub(super) fn quota_changed(&mut self, zxid: Zxid, path: &[u8], bytes: i64, count: i64) {
        let mut root = path;
        while root != b"/" && self.now(&leaf(root, LIMITS)).is_none() {
            root = parent(root);
        }
        if root == b"/" {
            return;
        }
        let stats = leaf(root, STATS);
        let Some(node) = self.now(&stats) else { return };
        let text = String::from_utf8_lossy(node.data.as_deref().unwrap_or_default()).into_owned();
        let value = |name: &str| {
            let pair = text.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            pair.and_then(|number| number.parse::<i64>().ok()).unwrap_or(-1)
        };
        self.write_stats(zxid, &stats, value("count") + count, value("bytes") + bytes);
    }

    /// In place: no version and no event says so.
    fn write_stats(&mut self, zxid: Zxid, stats: &[u8], count: i64, bytes: i64) {
        let Some(mut node) = self.now(stats).cloned() else { return };
        node.data = Some(format!("count={count},bytes={bytes}").into_bytes());
        self.put(stats, zxid, Some(node));
    }
}
