//! Reads beside the writes of `history.rs`: what a session must see, and what it must not see again.
//!
//! * No session goes back, on whatever server it is: neither the zxid of its replies, nor what it reads of one znode.
//! * It sees its own writes.
//! * Behind a sync it sees every write that anybody was told of before the sync was asked for. A leader that was replaced and
//!   has not noticed answers syncs, too, as ZooKeeper's do: then what is read is of an earlier epoch than the write. Such
//!   reads are counted.
//! * What anybody has read was written, and is not lost.

use std::collections::BTreeMap;

use ringkeeper::wire::ErrorCode;
use ringkeeper::wire::client::GetDataResponse;

use crate::history::Acknowledged;
use crate::support::client::Reply;
use crate::support::ensemble::Znode;

/// A read of a counter, at its place among those of its session.
#[derive(Clone, Debug)]
pub struct Read {
    pub path: String,
    /// Of the reply.
    pub zxid: i64,
    /// `None`: no such znode.
    pub found: Option<Found>,
    /// When the sync before it was asked for, if there was one.
    pub synced: Option<u64>,
    /// The newest write of the session that was acknowledged before.
    pub own: i64,
}

impl Read {
    /// From the answer to a get.
    pub fn of(path: String, reply: &Reply, synced: Option<u64>, own: i64) -> Read {
        let found = match reply.code() {
            ErrorCode::Ok => {
                let response = reply.record::<GetDataResponse>();
                let text = String::from_utf8_lossy(response.data.unwrap_or_default()).into_owned();
                let value = text.parse().unwrap_or_else(|_| panic!("{path} is {text:?}, which nobody wrote"));
                Some(Found { mzxid: response.stat.mzxid.0, value })
            }
            ErrorCode::NoNode => None,
            error => panic!("{path} can't be read: {error:?}"),
        };
        Read { path, zxid: reply.zxid, found, synced, own }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub mzxid: i64,
    pub value: u64,
}

/// What was acknowledged by when: the newest zxid at each moment.
#[derive(Debug, Default)]
struct Newest(Vec<(u64, i64)>);

impl Newest {
    fn of<'a>(writes: impl Iterator<Item = &'a Acknowledged>) -> Newest {
        let mut moments: Vec<(u64, i64)> = writes.map(|write| (write.ended, write.zxid)).collect();
        moments.sort_unstable();
        let mut newest = 0;
        for (_, zxid) in &mut moments {
            newest = newest.max(*zxid);
            *zxid = newest;
        }
        Newest(moments)
    }

    fn before(&self, moment: u64) -> i64 {
        let count = self.0.partition_point(|(ended, _)| *ended < moment);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// All writes that were acknowledged, as reads are held against them.
#[derive(Debug, Default)]
pub struct Writes {
    all: Newest,
    /// Of each counter: its sets.
    sets: BTreeMap<String, Newest>,
    /// What each set wrote.
    values: BTreeMap<i64, u64>,
}

impl Writes {
    /// `counters`: path, sets with what they wrote.
    pub fn new<'a>(
        all: impl Iterator<Item = &'a Acknowledged>,
        counters: impl Iterator<Item = (String, &'a [(Acknowledged, u64)])>,
    ) -> Writes {
        let mut writes = Writes { all: Newest::of(all), ..Writes::default() };
        for (path, sets) in counters {
            writes.values.extend(sets.iter().map(|(set, value)| (set.zxid, *value)));
            writes.sets.insert(path, Newest::of(sets.iter().map(|(set, _)| set)));
        }
        writes
    }

    /// Of one session, in their order. How many were read behind a sync that a replaced leader has answered.
    pub fn judge(&self, reads: &[Read]) -> Result<u64, String> {
        let mut last = 0;
        let mut seen: BTreeMap<&str, i64> = BTreeMap::new();
        let mut excused = 0;
        for read in reads {
            if read.zxid < last {
                return Err(format!("{read:?} goes back: its session had seen 0x{last:x}"));
            }
            if read.zxid < read.own {
                return Err(format!("{read:?} does not see the session's own write"));
            }
            last = read.zxid;
            let mzxid = read.found.map_or(0, |found| found.mzxid);
            let before = seen.insert(&read.path, mzxid).unwrap_or(0);
            if mzxid < before {
                return Err(format!("{read:?} goes back: its session had read what 0x{before:x} wrote"));
            }
            if mzxid > read.zxid {
                return Err(format!("{read:?} shows what is later than its zxid"));
            }
            if let Some(found) = read.found
                && let Some(written) = self.values.get(&found.mzxid)
                && *written != found.value
            {
                return Err(format!("{read:?}: {written} was written there"));
            }
            excused += self.judge_synced(read, mzxid)?;
        }
        Ok(excused)
    }

    fn judge_synced(&self, read: &Read, mzxid: i64) -> Result<u64, String> {
        let Some(synced) = read.synced else { return Ok(0) };
        let epoch = |zxid: i64| zxid >> 32;
        let newest = self.all.before(synced);
        if epoch(newest) > epoch(read.zxid) {
            return Ok(1);
        }
        if read.zxid < newest {
            return Err(format!("{read:?} is stale: 0x{newest:x} was acknowledged before the sync"));
        }
        let set = self.sets.get(&read.path).map_or(0, |sets| sets.before(synced));
        if mzxid < set {
            return Err(format!("{read:?} is stale: 0x{set:x} had set it before the sync"));
        }
        Ok(0)
    }
}

/// What was read is in the tree, or something later is.
pub fn is_kept(reads: &[Read], tree: &BTreeMap<String, Znode>) -> Result<(), String> {
    for read in reads {
        let Some(found) = read.found else { continue };
        let kept = tree.get(&read.path).map_or(0, |znode| znode.stat[1]);
        if kept < found.mzxid {
            return Err(format!("{read:?} saw what is lost: it is of 0x{kept:x} now"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/w/counter";
    /// The first epoch's and the second's.
    const E1: i64 = 1 << 32;
    const E2: i64 = 2 << 32;

    fn told(zxid: i64, begun: u64) -> Acknowledged {
        Acknowledged { zxid, begun, ended: begun + 5 }
    }

    /// At 10, 20 and 30 the counter is set to 1, 2 and 3; at 40 something else is written.
    fn writes() -> Writes {
        let sets = [(told(E1 | 1, 10), 1), (told(E1 | 2, 20), 2), (told(E2 | 1, 30), 3)];
        let other = told(E2 | 2, 40);
        let all = sets.iter().map(|(set, _)| set).chain([&other]);
        Writes::new(all, [(PATH.to_owned(), &sets[..])].into_iter())
    }

    fn read(zxid: i64, mzxid: i64, value: u64) -> Read {
        Read { path: PATH.to_owned(), zxid, found: Some(Found { mzxid, value }), synced: None, own: 0 }
    }

    fn synced(at: u64, read: Read) -> Read {
        Read { synced: Some(at), ..read }
    }

    fn fault(reads: &[Read]) -> String {
        writes().judge(reads).expect_err("a fault")
    }

    #[test]
    fn what_may_be_read_is_accepted() {
        let none = Read { found: None, ..read(E1, 0, 0) };
        let reads =
            [none, read(E1 | 1, E1 | 1, 1), read(E1 | 1, E1 | 1, 1), synced(26, read(E1 | 2, E1 | 2, 2))];
        assert_eq!(writes().judge(&reads), Ok(0));
        // Nothing was asked for that could not be stale; or nothing was acknowledged yet.
        assert_eq!(writes().judge(&[read(E1 | 1, E1 | 1, 1)]), Ok(0));
        assert_eq!(writes().judge(&[synced(15, Read { found: None, ..read(E1, 0, 0) })]), Ok(0));
        assert_eq!(writes().judge(&[synced(99, read(E2 | 2, E2 | 1, 3))]), Ok(0));
        // A write of which nobody was told.
        assert_eq!(writes().judge(&[read(E2 | 9, E2 | 7, 4)]), Ok(0));
    }

    #[test]
    fn a_session_that_goes_back_is_seen() {
        assert!(fault(&[read(E1 | 2, E1 | 2, 2), read(E1 | 1, E1 | 1, 1)]).contains("goes back"));
        // Only what is read goes back, and not what is said with it.
        assert!(fault(&[read(E1 | 2, E1 | 2, 2), read(E1 | 2, E1 | 1, 1)]).contains("goes back"));
        let gone = Read { found: None, ..read(E1 | 3, 0, 0) };
        assert!(fault(&[read(E1 | 2, E1 | 2, 2), gone]).contains("goes back"));
    }

    #[test]
    fn a_session_that_misses_its_own_write_is_seen() {
        let own = Read { own: E1 | 2, ..read(E1 | 1, E1 | 1, 1) };
        assert!(fault(&[own]).contains("own write"));
    }

    #[test]
    fn a_stale_read_behind_a_sync_is_seen() {
        // By the zxid of the reply, and by what was read.
        assert!(fault(&[synced(26, read(E1 | 1, E1 | 1, 1))]).contains("is stale"));
        assert!(fault(&[synced(26, read(E1 | 2, E1 | 1, 1))]).contains("had set it"));
        assert!(fault(&[synced(46, read(E2 | 1, E2 | 1, 3))]).contains("is stale"));
        assert_eq!(writes().judge(&[synced(25, read(E1 | 1, E1 | 1, 1))]), Ok(0), "told at the same moment");
        // By a leader that was replaced.
        assert_eq!(writes().judge(&[synced(46, read(E1 | 1, E1 | 1, 1))]), Ok(1));
    }

    #[test]
    fn what_was_not_written_and_what_is_lost_is_seen() {
        assert!(fault(&[read(E1 | 2, E1 | 2, 7)]).contains("was written there"));
        assert!(fault(&[read(E1 | 1, E1 | 2, 2)]).contains("later than its zxid"));
        let tree = |mzxid: i64| {
            let znode = Znode { data: None, stat: [0, mzxid, 0, 0, 0, 0, 0, 0, 0] };
            BTreeMap::from([(PATH.to_owned(), znode)])
        };
        let reads = [read(E1 | 2, E1 | 2, 2)];
        assert_eq!(is_kept(&reads, &tree(E1 | 2)), Ok(()));
        assert!(is_kept(&reads, &tree(E1 | 1)).is_err_and(|fault| fault.contains("is lost")));
        assert!(is_kept(&reads, &BTreeMap::new()).is_err());
    }
}
