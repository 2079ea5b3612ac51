//! Quotas: which subtrees have one, their statistics, and what a write would make of them (client-protocol.md §15).
//!
//! A quota of subtree `P` is two ordinary znodes below `/zookeeper/quota`: `P/zookeeper_limits`, whose existence makes it
//! count, and `P/zookeeper_stats`, whose data apply rewrites in place, with no transaction of its own, no new version or
//! mzxid, and no event. Only the deepest quota above a path counts it. A quota of the root counts nothing.
//!
//! Called by apply (accounts), by the loader (lists) and by prep (asks). Where no quota exists each of them asks
//! `is_empty` and goes on. Creating a `zookeeper_stats` counts its whole subtree within one apply, as in ZooKeeper.
//! Text that is no statistic counts as unset; ZooKeeper dies of it. Tested: quotas_test.rs, tests/conformance/quotas.rs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::base::{HashKey, KeyedHasher, Path, Set, Zxid, parent as parent_of};

use super::node::data_of;
use super::store::Store;

const QUOTAS: &[u8] = b"/zookeeper/quota";
const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

/// The subtrees that have limits.
#[derive(Debug)]
pub struct Quotas {
    roots: Set<Path>,
}

impl Quotas {
    pub fn new(key: HashKey) -> Quotas {
        Quotas { roots: Set::with_hasher(KeyedHasher(key)) }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The root of the quota that counts `path`.
    fn covering(&self, path: &[u8]) -> Option<&Path> {
        let ancestors = std::iter::successors(Some(path), |path| parent_of(path));
        ancestors.into_iter().find_map(|path| self.roots.get(path))
    }

    /// A node is there: does it make a quota count?
    pub fn on_present(&mut self, path: &[u8]) {
        if let Some((root, Leaf::Limits)) = Leaf::of(path)
            && !root.is_empty()
        {
            self.roots.insert(Path::new(root));
        }
    }

    fn on_gone(&mut self, path: &[u8]) {
        if let Some((root, Leaf::Limits)) = Leaf::of(path) {
            self.roots.remove(root);
        }
    }
}

enum Leaf {
    Limits,
    Stats,
}

impl Leaf {
    /// What a path below `/zookeeper/quota` is for, and of which subtree; the root's is empty.
    #[inline]
    fn of(path: &[u8]) -> Option<(&[u8], Leaf)> {
        // Nothing of `/zookeeper/quotas`.
        let below = path.strip_prefix(QUOTAS).filter(|below| below.starts_with(b"/"))?;
        if let Some(root) = below.strip_suffix(LIMITS.as_bytes()) {
            return Some((root, Leaf::Limits));
        }
        below.strip_suffix(STATS.as_bytes()).map(|root| (root, Leaf::Stats))
    }
}

fn leaf_path(root: &[u8], leaf: &str) -> Vec<u8> {
    [QUOTAS, root, leaf.as_bytes()].concat()
}

/// Limits or statistics, as the data of their znode says. -1: unset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    count: i64,
    bytes: i64,
    others: BTreeMap<String, i64>,
}

impl Track {
    /// `count=C,bytes=B=;byteHardLimit=X;countHardLimit=Y`. The `=` behind B and whatever follows a second `=` mean nothing.
    fn parse(data: Option<&[u8]>) -> Track {
        let mut track = Track { count: -1, bytes: -1, others: BTreeMap::new() };
        let text = String::from_utf8_lossy(data.unwrap_or_default());
        for pair in text.split([',', ';']) {
            let mut parts = pair.split('=');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let value = value.parse().unwrap_or(-1);
            match name {
                "" => {}
                "count" => track.count = value,
                "bytes" => track.bytes = value,
                _ => _ = track.others.insert(name.to_owned(), value),
            }
        }
        track
    }

    fn other(&self, name: &str) -> i64 {
        self.others.get(name).copied().unwrap_or(-1)
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.count, self.bytes)?;
        if !self.others.is_empty() {
            f.write_char('=')?;
        }
        self.others.iter().try_for_each(|(name, value)| write!(f, ";{name}={value}"))
    }
}

/// A limit that a write passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    pub root: Path,
    /// `count` or `bytes`.
    pub of: &'static str,
    /// With the write.
    pub current: i64,
    pub limit: i64,
    pub is_hard: bool,
}

impl Excess {
    fn find(root: &Path, of: &'static str, current: i64, [hard, soft]: [i64; 2]) -> Option<Excess> {
        let is_hard = hard > -1;
        let limit = if is_hard { hard } else { soft };
        (limit > -1 && current > limit).then(|| Excess { root: root.clone(), of, current, limit, is_hard })
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excess { root, of, current, limit, is_hard } = self;
        let limited = match (*of, *is_hard) {
            ("count", true) => "hardCountLimit",
            ("count", false) => "softCountLimit",
            (_, true) => "hardByteLimit",
            (_, false) => "softByteLimit",
        };
        write!(f, "Quota exceeded: {root} [current {of}={current}, {limited}={limit}]")
    }
}

impl Store {
    /// What a write at `path` that adds so many bytes and nodes would exceed: a hard limit, or else a soft one.
    /// Judged by the statistics of what is applied, not of what is pending.
    pub fn quota_excess(&self, path: &[u8], bytes: i64, count: i64) -> Option<Box<Excess>> {
        let root = self.quotas.covering(path)?;
        let track =
            |leaf| self.find(&leaf_path(root.bytes(), leaf)).map(|(_, node)| Track::parse(node.data()));
        let (limits, stats) = (track(LIMITS)?, track(STATS)?);
        let of_count = (count != 0)
            .then(|| [limits.other("countHardLimit"), limits.count])
            .and_then(|limits| Excess::find(root, "count", stats.count.saturating_add(count), limits));
        if of_count.as_ref().is_some_and(|excess| excess.is_hard) {
            return of_count.map(Box::new);
        }
        let of_bytes = (bytes != 0)
            .then(|| [limits.other("byteHardLimit"), limits.bytes])
            .and_then(|limits| Excess::find(root, "bytes", stats.bytes.saturating_add(bytes), limits));
        let hard = of_bytes.clone().filter(|excess| excess.is_hard);
        hard.or(of_count).or(of_bytes).map(Box::new)
    }

    /// A node was created with so many bytes of data.
    pub(super) fn quota_created(&mut self, zxid: Zxid, path: &[u8], bytes: usize) {
        if path.starts_with(QUOTAS) {
            self.quotas.on_present(path);
            if let Some((root, Leaf::Stats)) = Leaf::of(path) {
                self.recount(zxid, root);
            }
        }
        self.quota_changed(zxid, path, bytes as i64, 1);
    }

    /// A node that had so many bytes was deleted.
    pub(super) fn quota_deleted(&mut self, zxid: Zxid, path: &[u8], bytes: usize) {
        if self.quotas.is_empty() {
            return;
        }
        self.quotas.on_gone(path);
        self.quota_changed(zxid, path, -(bytes as i64), -1);
    }

    /// Bytes and nodes have been added at `path`.
    #[inline]
    pub(super) fn quota_changed(&mut self, zxid: Zxid, path: &[u8], bytes: i64, count: i64) {
        if !self.quotas.is_empty() {
            self.account(zxid, path, bytes, count);
        }
    }

    fn account(&mut self, zxid: Zxid, path: &[u8], bytes: i64, count: i64) {
        let Some(root) = self.quotas.covering(path) else { return };
        let stats = leaf_path(root.bytes(), STATS);
        // Between the creation of the limits and that of the statistics there is nothing to keep.
        let Some((slot, node)) = self.find(&stats) else { return };
        let mut track = Track::parse(node.data());
        track.count = track.count.wrapping_add(count);
        track.bytes = track.bytes.wrapping_add(bytes);
        self.write_stats(zxid, slot, &track);
    }

    /// The statistics of a subtree, from the subtree. One that doesn't exist counts nothing.
    fn recount(&mut self, zxid: Zxid, root: &[u8]) {
        if root.is_empty() {
            // All there is, which is known: a short request must not have the whole tree walked.
            let track = Track {
                count: self.nodes_count() as i64,
                bytes: self.data_bytes() as i64,
                others: BTreeMap::new(),
            };
            if let Some((slot, _)) = self.find(&leaf_path(root, STATS)) {
                self.write_stats(zxid, slot, &track);
            }
            return;
        }
        let mut left: Vec<u32> = self.find(root).into_iter().map(|(slot, _)| slot).collect();
        let (mut count, mut bytes) = (0, 0);
        while let Some(slot) = left.pop() {
            let node = self.node(slot);
            count += 1;
            bytes += node.data_bytes() as i64;
            let children = node.children().into_iter().flat_map(|bag| bag.iter());
            left.extend(children.filter(|&child| self.node(child).is_alive()));
        }
        if let Some((slot, _)) = self.find(&leaf_path(root, STATS)) {
            self.write_stats(zxid, slot, &Track { count, bytes, others: BTreeMap::new() });
        }
    }

    fn write_stats(&mut self, zxid: Zxid, slot: u32, track: &Track) {
        let text = track.to_string();
        self.update(zxid, slot, |node| node.data = data_of(Some(text.as_bytes())));
    }
}

#[cfg(test)]
#[path = "quotas_test.rs"]
mod tests;
