//! A snapshot without its log: whether it is the tree of one moment.
//!
//! A server writes it while transactions are applied. What a file lacks of those, and which of them it holds in part, only the
//! log behind its zxid says. Without it there is one proof that nothing was applied meanwhile: the digest at its end was taken at
//! the zxid of its name, and is that of its tree. A server to which nothing was written since its own start notes no digest there
//! (`DataTree.serializeZxidDigest`), nor does one with `digest.enabled=false`: of those it isn't known.
//!
//! Called by `recovery`. Pure. Tested: recovery_test.rs, tests/java_files/alone.rs.

use super::snapshot_reader::Snapshot;
use crate::base::Zxid;
use crate::wire::txn::TxnDigest;

/// Fails with why it isn't known to be whole.
pub fn judge(
    zxid: Zxid,
    Snapshot { store, digest, lacks_lists, latest, .. }: &Snapshot,
) -> Result<(), String> {
    let tree = store.digest();
    match *digest {
        None if *latest > zxid => {
            Err(format!("clients wrote while it was taken, up to zxid {latest} at least"))
        }
        // Nothing had happened yet.
        None if zxid == Zxid::ZERO => Ok(()),
        None => Err("it holds no digest that would say whether clients wrote while it was taken".to_owned()),
        Some(digest) if digest.zxid != zxid => {
            Err(format!("clients wrote while it was taken, up to zxid {} at least", digest.zxid))
        }
        Some(digest) if digest.version != TxnDigest::VERSION => {
            Err(format!("its digest is of version {}, which isn't known", digest.version))
        }
        Some(digest) if digest.digest != tree => Err(format!(
            "its tree's digest is {tree:#x}, not {:#x}: clients wrote while its end was written",
            digest.digest
        )),
        Some(_) if *lacks_lists => {
            Err("clients set ACLs while it was taken: some that its znodes have are not in it".to_owned())
        }
        Some(_) => Ok(()),
    }
}

/// What is told of one that isn't known to be whole, and what it may lack.
pub fn warning(file: &str, zxid: Zxid, why: &str) -> String {
    format!(
        "{file}: a snapshot without its log, and {why}. It may hold some of the transactions behind zxid {zxid} and lack others, \
         even half of a multi"
    )
}
