//! Quotas: which subtrees have one, their statistics, and what a write would make of them (client-protocol.md §15).
//!
//! A quota of subtree `P` is two ordinary znodes below `/zookeeper/quota`: `P/zookeeper_limits`, whose existence makes it
//! count, and `P/zookeeper_stats`, whose data apply rewrites in place, with no transaction of its own, no new version or
//! mzxid, and no event. Only the deepest quota above a path counts it. A quota of the root counts nothing.
//!
//! Called by apply (accounts), by the loader (lists) and by prep (asks). Where no quota exists each of them asks
//! `is_empty` and goes on. What the two znodes say is kept beside them as numbers: a write below a quota parses no text.
//! Creating a `zookeeper_stats` counts its whole subtree within one apply, as in ZooKeeper; a multi that creates several
//! looks at each node once, at its end. Text that is no statistic counts as unset; ZooKeeper dies of it.
//!
//! Limits: `OTHERS_MAX` unknown names of a statistic are kept. Tested: quotas_test.rs, tests/conformance/quotas.rs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use crate::base::{HashKey, KeyedHasher, Map, Path, Zxid, parent as parent_of, prefix_hash, prefixes};

use super::node::data_of;
use super::store::Store;

const QUOTAS: &[u8] = b"/zookeeper/quota";
const LIMITS: &str = "/zookeeper_limits";
const STATS: &str = "/zookeeper_stats";

/// Names that a statistic carries along besides its own: each write below the quota writes them anew.
const OTHERS_MAX: usize = 16;

/// Text parsed for one unit of work.
const TEXT_BYTES_A_UNIT: usize = 64;

/// The subtrees that have limits.
#[derive(Debug)]
pub struct Quotas {
    of: Map<Path, Quota>,
    /// How many of these have this [`prefix_hash`]. A path that has no such prefix is below no quota, and to know that costs one
    /// pass over it, however many levels it has.
    hashes: BTreeMap<u64, usize>,
    key: HashKey,
    /// A multi is being applied: what it makes statistics of is counted at its end.
    is_gathering: bool,
    /// Roots of the statistics that this multi made, and bytes and nodes by which they differ from what will then be there.
    uncounted: BTreeMap<Path, [i64; 2]>,
}

/// What its znodes say.
#[derive(Debug)]
struct Quota {
    limits: Limits,
    /// Between the creation of the limits and that of the statistics there is nothing to keep.
    stats: Option<Stats>,
}

#[derive(Debug)]
struct Stats {
    slot: u32,
    track: Track,
}

impl Quotas {
    pub fn new(key: HashKey) -> Quotas {
        let of = Map::with_hasher(KeyedHasher(key));
        Quotas { of, hashes: BTreeMap::new(), key, is_gathering: false, uncounted: BTreeMap::new() }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The root of the quota that counts `path`.
    fn covering(&self, path: &[u8]) -> Option<(&Path, &Quota)> {
        if self.is_empty() {
            return None;
        }
        let hinted = prefixes(self.key, path).filter(|(_, hash)| self.hashes.contains_key(hash)).last();
        // A hint may be wrong, once in an age of the world: then every ancestor is asked.
        let (length, _) = hinted?;
        self.of
            .get_key_value(&path[..length])
            .or_else(|| ancestors(path).find_map(|path| self.of.get_key_value(path)))
    }

    fn insert(&mut self, root: &[u8], quota: Quota) {
        if self.of.insert(Path::new(root), quota).is_none() {
            *self.hashes.entry(prefix_hash(self.key, root)).or_default() += 1;
        }
    }

    fn remove(&mut self, root: &[u8]) {
        let hash = prefix_hash(self.key, root);
        if self.of.remove(root).is_some()
            && let Some(count) = self.hashes.get_mut(&hash)
        {
            *count -= 1;
            if *count == 0 {
                self.hashes.remove(&hash);
            }
        }
    }
}

/// `path` and everything above it.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| parent_of(path))
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

/// Is it one of the nodes that a quota is made of?
pub fn is_of_quota(path: &[u8]) -> bool {
    Leaf::of(path).is_some()
}

fn leaf_path(root: &[u8], leaf: &str) -> Vec<u8> {
    [QUOTAS, root, leaf.as_bytes()].concat()
}

/// The pairs of `count=C,bytes=B=;byteHardLimit=X;countHardLimit=Y`, the data of a limit or a statistic. The `=` behind B and
/// whatever follows a second `=` mean nothing; what is no number is -1.
fn pairs(data: Option<&[u8]>, mut each: impl FnMut(&str, i64)) {
    let text = String::from_utf8_lossy(data.unwrap_or_default());
    for pair in text.split([',', ';']) {
        let mut parts = pair.split('=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if !name.is_empty() {
            each(name, value.parse().unwrap_or(-1));
        }
    }
}

/// -1: unset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    count: i64,
    bytes: i64,
    count_hard: i64,
    bytes_hard: i64,
}

impl Limits {
    fn parse(data: Option<&[u8]>) -> Limits {
        let mut limits = Limits { count: -1, bytes: -1, count_hard: -1, bytes_hard: -1 };
        pairs(data, |name, value| match name {
            "count" => limits.count = value,
            "bytes" => limits.bytes = value,
            "countHardLimit" => limits.count_hard = value,
            "byteHardLimit" => limits.bytes_hard = value,
            _ => {}
        });
        limits
    }
}

/// Statistics, as the data of their znode says. -1: unset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    count: i64,
    bytes: i64,
    others: BTreeMap<String, i64>,
}

impl Track {
    fn parse(data: Option<&[u8]>) -> Track {
        let mut track = Track { count: -1, bytes: -1, others: BTreeMap::new() };
        pairs(data, |name, value| match name {
            "count" => track.count = value,
            "bytes" => track.bytes = value,
            _ if track.others.len() < OTHERS_MAX || track.others.contains_key(name) => {
                track.others.insert(name.to_owned(), value);
            }
            _ => {}
        });
        track
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
        let (root, Quota { limits, stats: Some(Stats { track, .. }) }) = self.quotas.covering(path)? else {
            return None;
        };
        let of_count = (count != 0)
            .then_some([limits.count_hard, limits.count])
            .and_then(|limits| Excess::find(root, "count", track.count.saturating_add(count), limits));
        if of_count.as_ref().is_some_and(|excess| excess.is_hard) {
            return of_count.map(Box::new);
        }
        let of_bytes = (bytes != 0)
            .then_some([limits.bytes_hard, limits.bytes])
            .and_then(|limits| Excess::find(root, "bytes", track.bytes.saturating_add(bytes), limits));
        let hard = of_bytes.clone().filter(|excess| excess.is_hard);
        hard.or(of_count).or(of_bytes).map(Box::new)
    }

    /// A node was created with so many bytes of data.
    pub(super) fn quota_created(&mut self, zxid: Zxid, path: &[u8], bytes: usize) {
        if let Some((root, leaf)) = Leaf::of(path) {
            self.quota_read(root);
            if let Leaf::Stats = leaf {
                if self.quotas.is_gathering {
                    // It is in what will be counted, and is counted once more below.
                    let counts_itself =
                        self.quotas.covering(path).is_some_and(|(found, _)| found.bytes() == root);
                    let twice = i64::from(counts_itself);
                    self.account(zxid, path, bytes as i64, 1);
                    self.quotas.uncounted.insert(Path::new(root), [twice * bytes as i64, twice]);
                    return;
                }
                self.recount(zxid, root, &mut BTreeMap::new(), [0, 0]);
            }
        }
        if !self.quotas.is_empty() {
            self.account(zxid, path, bytes as i64, 1);
        }
    }

    /// Something counts nodes and bytes.
    pub(super) fn has_quotas(&self) -> bool {
        !self.quotas.is_empty() || !self.quotas.uncounted.is_empty()
    }

    /// A node that had so many bytes was deleted.
    pub(super) fn quota_deleted(&mut self, zxid: Zxid, path: &[u8], bytes: usize) {
        self.quota_changed(zxid, path, -(bytes as i64), -1);
    }

    /// Bytes and nodes have been added at `path`, which was there before.
    #[inline]
    pub(super) fn quota_changed(&mut self, zxid: Zxid, path: &[u8], bytes: i64, count: i64) {
        if let Some((root, leaf)) = Leaf::of(path) {
            self.quota_read(root);
            // Deleted, or written by the client: there is nothing to count any more.
            if let Leaf::Stats = leaf {
                self.quotas.uncounted.remove(root);
            }
        }
        if self.has_quotas() {
            self.account(zxid, path, bytes, count);
        }
    }

    /// One of the quota's znodes has come, changed or gone.
    pub(super) fn quota_read(&mut self, root: &[u8]) {
        let limits = self.find(&leaf_path(root, LIMITS));
        let limits = limits.map(|(_, node)| (Limits::parse(node.data()), node.data_bytes()));
        // A quota of the root counts nothing.
        let Some((limits, limits_bytes)) = limits.filter(|_| !root.is_empty()) else {
            self.quotas.remove(root);
            return;
        };
        let stats = self.find(&leaf_path(root, STATS));
        let stats = stats.map(|(slot, node)| (slot, Track::parse(node.data()), node.data_bytes()));
        let stats_bytes = stats.as_ref().map_or(0, |(_, _, bytes)| *bytes);
        self.work += (limits_bytes + stats_bytes) / TEXT_BYTES_A_UNIT;
        let stats = stats.map(|(slot, track, _)| Stats { slot, track });
        self.quotas.insert(root, Quota { limits, stats });
    }

    /// A node was loaded: does it make a quota count?
    pub(super) fn quota_loaded(&mut self, path: &[u8]) {
        if let Some((root, _)) = Leaf::of(path) {
            self.quota_read(root);
        }
    }

    fn account(&mut self, zxid: Zxid, path: &[u8], bytes: i64, count: i64) {
        let root = self.quotas.covering(path).map(|(root, _)| root.clone());
        if !self.quotas.uncounted.is_empty() {
            for above in
                ancestors(path).filter(|above| root.as_ref().is_none_or(|root| root.bytes() != *above))
            {
                // Found when the subtree is counted, and not to be counted by this quota.
                if let Some([extra_bytes, extra_count]) = self.quotas.uncounted.get_mut(above) {
                    *extra_bytes -= bytes;
                    *extra_count -= count;
                }
            }
        }
        let Some(root) = root else { return };
        let quota = self.quotas.of.get_mut(root.bytes());
        let Some(Stats { slot, track }) = quota.and_then(|quota| quota.stats.as_mut()) else { return };
        track.count = track.count.wrapping_add(count);
        track.bytes = track.bytes.wrapping_add(bytes);
        let (slot, text) = (*slot, track.to_string());
        self.update(zxid, slot, |node| node.data = data_of(Some(text.as_bytes())));
    }

    /// From here to `quotas_count` statistics that are made aren't counted.
    pub(super) fn quotas_gather(&mut self) {
        self.quotas.is_gathering = true;
    }

    /// Counts the subtrees whose statistics were made since, each node once: the deepest first, and a subtree that is counted
    /// already is taken as a whole.
    pub(super) fn quotas_count(&mut self, zxid: Zxid) {
        self.quotas.is_gathering = false;
        let mut counted = BTreeMap::new();
        while let Some((root, extra)) = self.quotas.uncounted.pop_last() {
            self.recount(zxid, root.bytes(), &mut counted, extra);
        }
    }

    /// The statistics of a tree that was written while it changed: what they say may be of another moment than the nodes are. Those
    /// of a quota above another one stay as they are: whether it counts what is below that hangs on which was made first.
    pub(super) fn quotas_recount(&mut self, zxid: Zxid) {
        let of = &self.quotas.of;
        let is_above = |path: &&[u8]| of.contains_key(*path);
        let above: BTreeSet<&[u8]> =
            of.keys().flat_map(|root| ancestors(root.bytes()).skip(1).filter(is_above)).collect();
        let counts = |root: &Path| !root.bytes().is_empty() && !above.contains(root.bytes());
        let roots: BTreeSet<Path> = of.keys().filter(|root| counts(root)).cloned().collect();
        for root in roots {
            self.recount(zxid, root.bytes(), &mut BTreeMap::new(), [0, 0]);
        }
    }

    /// The statistics of a subtree, from the subtree and what is to be added to that. One that doesn't exist counts nothing.
    /// `counted`: bytes and nodes of subtrees below it, by the slot of their root.
    fn recount(&mut self, zxid: Zxid, root: &[u8], counted: &mut BTreeMap<u32, [i64; 2]>, extra: [i64; 2]) {
        let (mut bytes, mut count) = (0, 0);
        if root.is_empty() {
            // All there is, which is known: a short request must not have the whole tree walked.
            (bytes, count) = (self.data_bytes() as i64, self.nodes_count() as i64);
        } else if let Some((top, _)) = self.find(root) {
            let mut left = vec![top];
            while let Some(slot) = left.pop() {
                self.work += 1;
                if let Some([known_bytes, known_count]) = counted.get(&slot) {
                    bytes += known_bytes;
                    count += known_count;
                    continue;
                }
                let node = self.node(slot);
                count += 1;
                bytes += node.data_bytes() as i64;
                let children = node.children().into_iter().flat_map(|bag| bag.iter());
                left.extend(children.filter(|&child| self.node(child).is_alive()));
            }
            counted.insert(top, [bytes, count]);
        }
        let track = Track { count: count + extra[1], bytes: bytes + extra[0], others: BTreeMap::new() };
        if let Some((slot, _)) = self.find(&leaf_path(root, STATS)) {
            let text = track.to_string();
            self.update(zxid, slot, |node| node.data = data_of(Some(text.as_bytes())));
            self.quota_read(root);
        }
    }
}

#[cfg(test)]
#[path = "quotas_test.rs"]
mod tests;
