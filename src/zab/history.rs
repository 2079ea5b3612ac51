//! The newest transactions of the own log, in memory: what a learner that lags a little is sent instead of a snapshot.
//!
//! Continuous by construction: an entry is pushed when it is appended to the log, and taken back when the log is
//! truncated. Payloads are shared with the log's groups or with what a leader sent.
//! Limits: [`Limits`]; what goes first is what is oldest, and never what is not committed.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::Zxid;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Transactions: `zookeeper.commitLogCount`.
    pub count: usize,
    /// Bytes of payload.
    pub bytes: usize,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub zxid: Zxid,
    /// Header, record and digest, as proposed.
    pub payload: Bytes,
}

#[derive(Debug)]
pub struct History {
    limits: Limits,
    /// The log has nothing between this and the first entry.
    before: Zxid,
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// What a learner has to be sent, by where its log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Its log is a part of ours: what is behind it follows.
    Diff { after: Zxid },
    /// It has something that is not ours: all behind `to` goes, then what is ours follows.
    Trunc { to: Zxid },
    /// It is too far away.
    Snap,
}

impl History {
    /// `before`: where the log ends.
    pub fn new(limits: Limits, before: Zxid) -> History {
        History { limits, before, entries: VecDeque::new(), bytes: 0 }
    }

    pub fn push(&mut self, zxid: Zxid, payload: Bytes) {
        assert!(zxid > self.last(), "the history rises: {zxid} after {}", self.last());
        self.bytes += payload.len();
        self.entries.push_back(Entry { zxid, payload });
    }

    /// Lets go of what is too much, up to `committed`.
    pub fn trim(&mut self, committed: Zxid) {
        while let Some(first) = self.entries.front()
            && (self.entries.len() > self.limits.count || self.bytes > self.limits.bytes)
            && first.zxid <= committed
        {
            self.bytes -= first.payload.len();
            self.before = first.zxid;
            self.entries.pop_front();
        }
    }

    /// The log was cut behind `after`. What was there before the window is not known any more.
    pub fn truncate(&mut self, after: Zxid) {
        while let Some(last) = self.entries.back()
            && last.zxid > after
        {
            self.bytes -= last.payload.len();
            self.entries.pop_back();
        }
        self.before = self.before.min(after);
    }

    /// The log begins anew behind a snapshot.
    pub fn restart(&mut self, after: Zxid) {
        *self = History::new(self.limits, after);
    }

    /// The end of the log.
    pub fn last(&self) -> Zxid {
        self.entries.back().map_or(self.before, |entry| entry.zxid)
    }

    /// The newest entry, if any is kept.
    pub fn newest(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// Everything in (after, to], oldest first. `None` if the window does not reach back so far.
    pub fn between(&self, after: Zxid, to: Zxid) -> Option<impl Iterator<Item = &Entry>> {
        let from = self.entries.partition_point(|entry| entry.zxid <= after);
        let end = self.entries.partition_point(|entry| entry.zxid <= to);
        (after >= self.before).then(|| self.entries.range(from..end.max(from)))
    }

    /// How a learner whose log ends with `peer` gets to `committed`, which is ours (quorum-protocol.md §8).
    pub fn sync(&self, peer: Zxid, committed: Zxid) -> Sync {
        // Low half zero: the beginning of an epoch, which no transaction has.
        let is_beginning = peer.0 & 0xffff_ffff == 0;
        if peer == committed {
            return Sync::Diff { after: peer };
        }
        if peer > committed {
            return if is_beginning { Sync::Snap } else { Sync::Trunc { to: committed } };
        }
        let next = self.entries.partition_point(|entry| entry.zxid <= peer);
        let previous = next.checked_sub(1).map(|at| self.entries[at].zxid);
        if peer == self.before || previous == Some(peer) {
            return Sync::Diff { after: peer };
        }
        let Some(previous) = previous else { return Sync::Snap };
        if is_beginning {
            return Sync::Diff { after: peer };
        }
        // Of another epoch: what it has is another leader's, and a snapshot is what ZooKeeper sends.
        match self.entries.get(next) {
            Some(entry) if entry.zxid.epoch() == peer.epoch() => Sync::Trunc { to: previous },
            _ => Sync::Snap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(before: i64, zxids: &[i64]) -> History {
        let mut history = History::new(Limits { count: 4, bytes: 1000 }, Zxid(before));
        for zxid in zxids {
            history.push(Zxid(*zxid), Bytes::from_static(b"txn"));
        }
        history
    }

    const E1: i64 = 1 << 32;
    const E2: i64 = 2 << 32;

    #[test]
    fn the_way_to_synchronise_is_the_specification_s() {
        let history = history(E1 | 2, &[E1 | 3, E1 | 4, E1 | 7, E2 | 1, E2 | 2]);
        let committed = Zxid(E2 | 2);
        let diff = |after| Sync::Diff { after: Zxid(after) };
        for (peer, expected) in [
            (E2 | 2, diff(E2 | 2)),
            (E2 | 1, diff(E2 | 1)),
            (E1 | 2, diff(E1 | 2)),
            (E1 | 3, diff(E1 | 3)),
            (E1 | 1, Sync::Snap),
            (0, Sync::Snap),
            (-1, Sync::Snap),
            (E1, Sync::Snap),
            // It has what nobody else has: of this epoch, and of another.
            (E1 | 5, Sync::Trunc { to: Zxid(E1 | 4) }),
            (E1 | 8, Sync::Snap),
            (E2 | 9, Sync::Trunc { to: committed }),
            (E2, diff(E2)),
            (3 << 32, Sync::Snap),
            (3 << 32 | 1, Sync::Trunc { to: committed }),
        ] {
            assert_eq!(history.sync(Zxid(peer), committed), expected, "{peer:x}");
        }
    }

    #[test]
    fn the_oldest_go_first_and_only_what_is_committed() {
        let mut history = history(0, &[1, 2, 3, 4, 5, 6, 7]);
        history.trim(Zxid(2));
        assert!(history.between(Zxid(1), Zxid(9)).is_none());
        let zxids = |history: &History, after, to| -> Vec<i64> {
            let entries = history.between(Zxid(after), Zxid(to)).expect("the window reaches so far");
            entries.map(|entry| entry.zxid.0).collect()
        };
        assert_eq!(zxids(&history, 2, 9), [3, 4, 5, 6, 7]);
        history.trim(Zxid(7));
        assert_eq!(zxids(&history, 3, 5), [4, 5]);
        assert_eq!(zxids(&history, 5, 4), [0i64; 0]);
        history.truncate(Zxid(5));
        assert_eq!((history.last(), zxids(&history, 3, 9)), (Zxid(5), vec![4, 5]));
        history.truncate(Zxid(1));
        assert_eq!(history.last(), Zxid(1));
        history.restart(Zxid(40));
        assert_eq!(history.last(), Zxid(40));
    }
}
