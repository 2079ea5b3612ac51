//! Digests of the tree: compared with those that travel with transactions, and kept at fixed zxids for `hash`. Servers that
//! agree there hold the same tree.
//!
//! In an ensemble a leader's prep foretells the digest behind each transaction (`tree::Overlay`) and puts it into the proposal,
//! as ZooKeeper's leaders do since 3.6; every member compares it with its own when it applies the transaction, the leader
//! too. A standalone server neither foretells nor compares: it has nobody to differ from.
//!
//! Interval and number are those of `DataTree.java` (`DIGEST_LOG_INTERVAL`, `DIGEST_LOG_LIMIT`).

use std::collections::VecDeque;

use crate::base::Zxid;
use crate::wire::txn::{Txn, TxnDigest};

use super::Replica;

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
    /// `digest` is the tree's with everything up to `zxid`, which was compared before. None is noted of a tree that may be
    /// fuzzy: it would differ from everybody's.
    pub fn on_applied(&mut self, zxid: Zxid, digest: u64) {
        if zxid.0 % INTERVAL != 0 || self.distrust > 0 {
            return;
        }
        if self.newest.len() == COUNT_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back((zxid, digest as i64));
    }

    /// `theirs`: what the transaction says of the tree behind it, `ours`: what that tree's is.
    pub fn compare(&mut self, zxid: Zxid, theirs: Option<TxnDigest>, ours: u64) {
        match theirs {
            Some(theirs) if theirs == TxnDigest::of(ours) => self.distrust = 0,
            Some(theirs) if theirs.version == TxnDigest::VERSION => {
                self.on_mismatch(zxid, theirs.tree_digest, ours)
            }
            // Of a formula that isn't known here, or of a server that sends none.
            Some(_) | None => self.distrust = self.distrust.saturating_sub(1),
        }
    }

    /// The leader's tree is another one behind this transaction: one of the two has a fault, or a damaged memory. Loud, and
    /// nothing else: which one is right is the operator's to find out. Said at 1, 2, 4, 8... of them. A leader compares with
    /// itself: then what it had foretold was wrong.
    fn on_mismatch(&mut self, zxid: Zxid, leaders: i64, ours: u64) {
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

    /// Transactions behind which the tree was not the one they told of.
    pub fn mismatches(&self) -> u64 {
        self.mismatches
    }

    /// A leader's snapshot was loaded. One of Apache's is fuzzy: what comes behind it repairs it, and until then the digests
    /// differ without a fault. Once they are equal they stay so.
    pub fn distrust(&mut self) {
        self.distrust = FUZZY_MAX;
    }

    /// All of the log is applied: whatever was fuzzy is no longer.
    pub fn trust(&mut self) {
        self.distrust = 0;
    }

    /// What was counted before this server made its tree anew from the disk.
    pub fn count_on(&mut self, before: &Digests) {
        self.mismatches += before.mismatches;
    }

    /// Oldest first.
    pub fn list(&self) -> impl Iterator<Item = (Zxid, i64)> {
        self.newest.iter().copied()
    }
}

impl Replica {
    /// What travels with a transaction that was decided just now, as the newest of all that are pending. Not with a closeSession
    /// that lists no paths: a server of Apache's looks for the list first, takes the digest for it, and ends
    /// (`SerializeUtils.deserializeTxn`). Where nothing follows, it knows that there is none.
    pub(super) fn foretold_digest(&self, txn: &Txn<'_>) -> Option<TxnDigest> {
        let carries = self.settings.digests && !matches!(txn, Txn::Error(_) | Txn::CloseSession(None));
        carries.then(|| TxnDigest::of(self.overlay.tree_digest(&self.store)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::testing::{settings, start_with};
    use super::*;
    use crate::tree::Rules;
    use crate::wire::Opcode;

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

    #[test]
    fn a_mismatch_is_counted_unless_the_tree_is_distrusted() {
        let mut digests = Digests::default();
        digests.compare(Zxid(1), Some(TxnDigest::of(5)), 5);
        digests.compare(Zxid(2), None, 5);
        digests.compare(Zxid(3), Some(TxnDigest { version: 3, tree_digest: 6 }), 5);
        assert_eq!(digests.mismatches(), 0, "equal, none, and of another formula");
        digests.compare(Zxid(4), Some(TxnDigest::of(u64::MAX)), 5);
        assert_eq!(digests.mismatches(), 1);
        digests.distrust();
        digests.compare(Zxid(5), Some(TxnDigest::of(6)), 5);
        digests.on_applied(Zxid(INTERVAL), 5);
        assert_eq!((digests.mismatches(), digests.list().count()), (1, 0), "it may be fuzzy");
        digests.compare(Zxid(6), Some(TxnDigest::of(5)), 5);
        digests.compare(Zxid(7), Some(TxnDigest::of(6)), 5);
        assert_eq!(digests.mismatches(), 2, "no longer");
    }

    /// What the log holds: without digests, and with them, but for the refusals.
    #[test]
    fn what_is_proposed_carries_the_digest_where_it_shall() {
        for digests in [false, true] {
            let mut server = start_with(Settings { digests, ..settings() });
            let session = server.open(1);
            for xid in 1..=3 {
                server.create(session, 1, xid, ["/a", "/a", "/a/b"][xid as usize - 1], 0);
            }
            server.settle();
            let replica = &server.replica;
            assert_eq!(replica.facts().digest_mismatches, 0);
            let logged = server.logged_digests();
            let found: Vec<bool> = logged.iter().map(Option::is_some).collect();
            assert_eq!(found, [digests, digests, false, digests], "the second create is refused");
            assert_eq!(logged[3], digests.then(|| TxnDigest::of(replica.facts().digest)));
        }
    }

    /// A server of Apache's would take its digest for the list.
    #[test]
    fn a_close_session_without_its_paths_carries_none() {
        let rules = Rules { frame_bytes_max: 1024, ..Rules::default() };
        let mut server = start_with(Settings { digests: true, rules, ..settings() });
        for (count, has_paths) in [(3, true), (40, false)] {
            let session = server.open(1);
            for xid in 1..=count {
                server.create(session, 1, xid, &format!("/{}-{xid}", "e".repeat(30)), 1);
            }
            server.write(session, 1, count + 1, Opcode::CloseSession, vec![]);
            server.settle();
            assert_eq!(server.replica.store.ephemerals_count(), 0);
            assert_eq!(server.logged_digests().pop().map(|last| last.is_some()), Some(has_paths));
            assert_eq!(server.replica.facts().digest_mismatches, 0);
        }
    }

    /// Memory that changes by itself, say.
    #[test]
    fn a_tree_that_differs_from_what_was_foretold_is_noticed() {
        let mut server = start_with(Settings { digests: true, ..settings() });
        let session = server.open(1);
        server.create(session, 1, 1, "/a", 0);
        server.settle();
        server.create(session, 1, 2, "/b", 0);
        let (slot, _) = server.replica.store.find(b"/a").expect("created just now");
        let next = server.replica.applied.next();
        server.replica.store.update(next, slot, |node| node.version += 1);
        server.settle();
        assert_eq!(server.replica.facts().digest_mismatches, 1);
    }
}
