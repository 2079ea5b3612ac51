//! What a log holds, for who only reads it: nothing is repaired, and damage hides nothing that stands before it.
//!
//! Called by `cli`. Follows the line as a start does (`recovery.rs`). Tested: recovery_test.rs, and
//! tests/restore.rs.

use super::entry::Entry;
use super::fault::Fault;
use super::recovery::{self, Cut, SegmentImage, Walked};
use crate::base::Zxid;

/// The entries in force behind a snapshot.
#[derive(Debug)]
pub struct Held<'a> {
    /// In order, each verified.
    pub entries: Vec<Entry<'a>>,
    /// Where a torn tail begins, if there is one.
    pub cut: Option<Cut>,
    /// What stands behind the last entry was durable once, and is damaged.
    pub damage: Option<Fault>,
}

/// Reads the log behind a snapshot, up to the last entry that isn't later than `to`.
///
/// A fault where it isn't known what is in force: a file is missing, or its header is damaged.
pub fn look<'a>(images: &[SegmentImage<'a>], snapshot: Zxid, to: Zxid) -> Result<Held<'a>, Fault> {
    let (_, walked) = recovery::read(&recovery::open(images)?, snapshot, to)?;
    let Walked { entries, cut, damage, .. } = walked;
    Ok(Held { entries, cut, damage })
}
