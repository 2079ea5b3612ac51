//! What a member of an ensemble of Apache's has promised: `acceptedEpoch` and `currentEpoch` beside its logs.
//!
//! Called by `snapshot import`, `log import` and `snapshot restore`. Nothing is written. Tested: recovery_test.rs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Fault, SUBDIRECTORY};
use crate::base::{Epoch, Zxid};
use crate::zab::Epochs;

/// Whether a member of an ensemble wrote here.
pub fn is_member(data: &Path) -> bool {
    is_members(&data.join(SUBDIRECTORY))
}

/// The same of a `version-2`.
pub fn is_members(folder: &Path) -> bool {
    ["currentEpoch", "acceptedEpoch"].iter().any(|name| folder.join(name).exists())
}

/// `acceptedEpoch` and `currentEpoch`, if a member of an ensemble wrote here. `zxid`: of the last transaction.
pub fn read_epochs(data: &Path, zxid: Zxid) -> Result<Option<Epochs>, Fault> {
    read_epochs_in(&data.join(SUBDIRECTORY), zxid)
}

/// The same of a `version-2`.
pub fn read_epochs_in(folder: &Path, zxid: Zxid) -> Result<Option<Epochs>, Fault> {
    let current = read_epoch(&folder.join("currentEpoch"))?;
    let accepted = read_epoch(&folder.join("acceptedEpoch"))?;
    // A standalone server's: it stays in epoch 0.
    if current.is_none() && accepted.is_none() && zxid.epoch() == Epoch(0) {
        return Ok(None);
    }
    // As QuorumPeer.loadDataBase: what is missing is the last transaction's.
    let mut current = current.unwrap_or(zxid.epoch());
    let accepted = accepted.unwrap_or(zxid.epoch());
    if zxid.epoch() > current {
        match read_epoch(&folder.join("currentEpoch.tmp"))? {
            Some(later) => current = later,
            None => {
                return Err(Fault::Refused(format!(
                    "{}: currentEpoch is {}, but the last transaction is of epoch {}",
                    folder.display(),
                    current.0,
                    zxid.epoch().0
                )));
            }
        }
    }
    if accepted < current {
        return Err(Fault::Refused(format!(
            "{}: acceptedEpoch is {}, less than the current epoch {}",
            folder.display(),
            accepted.0,
            current.0
        )));
    }
    Ok(Some(Epochs { accepted, current }))
}

fn read_epoch(file: &Path) -> Result<Option<Epoch>, Fault> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::Unreadable { file: file.to_owned(), error }),
    };
    match text.trim().parse() {
        Ok(epoch) if epoch >= 0 => Ok(Some(Epoch(epoch))),
        _ => Err(Fault::damaged(file, 0, format!("not an epoch: `{}`", text.trim().escape_debug()))),
    }
}
