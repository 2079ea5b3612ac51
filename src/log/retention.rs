//! Which snapshots and how much of the log may go (`autopurge`).
//!
//! Called by `replica` with what the driver found in the directories. Only what is older than a verified chain goes: a
//! snapshot that was read to its end and found whole, with every transaction behind it still in the log
//! (ZOOKEEPER-3231: counting damaged files as kept ones leaves nothing to start from).

use crate::base::Zxid;

/// A snapshot file in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundSnapshot {
    pub zxid: Zxid,
    /// Read to its end and found whole: written and synced by this process, or checked with `verify_snapshot`.
    pub verified: bool,
}

/// What a purge may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Oldest first.
    pub snapshots: Vec<Zxid>,
    /// For `Writer::purge`. `None`: nothing of the log may go.
    pub oldest_needed: Option<Zxid>,
}

/// `retain`: how many good snapshots stay, at least 1 (`autopurge.snapRetainCount`). `log_after`: `Writer::continuous_after`. While
/// there are fewer good ones, nothing goes. Damaged snapshots newer than the oldest one kept stay as evidence.
pub fn plan_purge(snapshots: &[FoundSnapshot], retain: usize, log_after: Zxid) -> Purge {
    let mut good: Vec<Zxid> = snapshots
        .iter()
        .filter(|snapshot| snapshot.verified && snapshot.zxid >= log_after)
        .map(|snapshot| snapshot.zxid)
        .collect();
    good.sort_unstable();
    good.dedup();
    let Some(oldest) = good.len().checked_sub(retain.max(1)).map(|index| good[index]) else {
        return Purge::default();
    };
    let mut older: Vec<Zxid> =
        snapshots.iter().map(|snapshot| snapshot.zxid).filter(|zxid| *zxid < oldest).collect();
    older.sort_unstable();
    Purge { snapshots: older, oldest_needed: Some(oldest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(snapshots: &[(i64, bool)]) -> Vec<FoundSnapshot> {
        snapshots.iter().map(|&(zxid, verified)| FoundSnapshot { zxid: Zxid(zxid), verified }).collect()
    }

    fn plan(snapshots: &[(i64, bool)], retain: usize, log_after: i64) -> (Vec<i64>, Option<i64>) {
        let purge = plan_purge(&found(snapshots), retain, Zxid(log_after));
        (purge.snapshots.iter().map(|zxid| zxid.0).collect(), purge.oldest_needed.map(|zxid| zxid.0))
    }

    #[test]
    fn the_newest_stay_and_the_log_behind_the_oldest_of_them() {
        let all = [(10, true), (20, true), (30, true), (40, true)];
        assert_eq!(plan(&all, 3, 5), (vec![10], Some(20)));
        assert_eq!(plan(&all, 1, 5), (vec![10, 20, 30], Some(40)));
        assert_eq!(plan(&all, 0, 5), (vec![10, 20, 30], Some(40)), "one always stays");
    }

    #[test]
    fn damaged_snapshots_are_not_counted_as_kept() {
        let all = [(10, true), (20, true), (30, false), (40, false), (50, true)];
        assert_eq!(plan(&all, 2, 5), (vec![10], Some(20)));
        assert_eq!(plan(&all, 3, 5), (vec![], Some(10)));
    }

    #[test]
    fn nothing_goes_while_good_ones_are_few() {
        assert_eq!(plan(&[(10, true), (20, false), (30, true)], 3, 5), (vec![], None));
        assert_eq!(plan(&[], 3, 0), (vec![], None));
    }

    #[test]
    fn a_snapshot_that_the_log_cannot_continue_is_not_counted() {
        let all = [(10, true), (20, true), (30, true), (40, true)];
        assert_eq!(plan(&all, 3, 15), (vec![10], Some(20)));
        assert_eq!(plan(&all, 3, 25), (vec![], None), "only 30 and 40 can be continued");
    }
}
