//! The epoch record's file: read at a start, written by the log thread.
//!
//! It lies in the log's directory. What is read at a start is written anew, whole, before anybody acts on it: see
//! `log/epoch_record.rs`, which also says why. An error is fatal, as one of the log is.
//! Tested: epochs_test.rs.

use crate::io::{Directory, Error, ErrorKind, SegmentFile};
use crate::log::{EPOCH_FILE, EpochSlots, EpochsFound, decode_epochs};
use crate::replica::ensemble::EpochRecord;
use crate::zab::Epochs;

use super::Fatal;

/// The record of a server whose log was lost: it had promised something, and nobody knows any more what it had logged. Until
/// there is a record again.
pub(super) const LOST_EPOCHS: &str = "epochs.lost";

/// The file, open: each change is one sync.
pub struct EpochFile {
    file: SegmentFile,
    slots: EpochSlots,
}

impl EpochFile {
    /// To be asked before anything is repaired: what a later version wrote stays as it is, the log beside it too.
    pub fn refuse_newer(directory: &Directory) -> Result<(), Fatal> {
        match directory.read(EPOCH_FILE) {
            Ok(bytes) => match decode_epochs(Some(&bytes)) {
                EpochsFound::Newer { version } => Err(newer(directory, version)),
                EpochsFound::None | EpochsFound::Found { .. } | EpochsFound::Damaged => Ok(()),
            },
            Err(error) if error.kind() == ErrorKind::Missing => Ok(()),
            Err(error) => Err(Fatal::Io(error)),
        }
    }

    /// What the directory holds. The file is handed over if it is there and good; a damaged one stays as it is until
    /// there is something to put in its place.
    pub fn read(directory: &Directory) -> Result<(EpochRecord, Option<EpochFile>), Fatal> {
        let bytes = match directory.read(EPOCH_FILE) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::Missing => None,
            Err(error) => return Err(Fatal::Io(error)),
        };
        match decode_epochs(bytes.as_deref()) {
            EpochsFound::None if directory.path_of(LOST_EPOCHS).exists() => Ok((EpochRecord::Lost, None)),
            EpochsFound::None => Ok((EpochRecord::None, None)),
            EpochsFound::Damaged => Ok((EpochRecord::Damaged, None)),
            EpochsFound::Newer { version } => Err(newer(directory, version)),
            EpochsFound::Found { accepted, current } => {
                let epochs = Epochs { accepted, current };
                let file = EpochFile::create(directory, epochs).map_err(Fatal::of_log)?;
                directory.remove(&[LOST_EPOCHS]).map_err(Fatal::Io)?;
                Ok((EpochRecord::Found(epochs), Some(file)))
            }
        }
    }

    /// Puts a file with this record in the place of what is there. Durable on return.
    pub fn create(directory: &Directory, epochs: Epochs) -> Result<EpochFile, Error> {
        let (slots, image) = EpochSlots::create(epochs.accepted, epochs.current);
        directory.write_atomically(EPOCH_FILE, &image)?;
        let file = SegmentFile::open(&directory.path_of(EPOCH_FILE))?;
        Ok(EpochFile { file, slots })
    }

    /// Durable on return.
    pub fn change(&mut self, epochs: Epochs) -> Result<(), Error> {
        let (offset, record) = self.slots.change(epochs.accepted, epochs.current);
        self.file.write_at(offset, &record);
        self.file.persist()
    }
}

fn newer(directory: &Directory, version: u32) -> Fatal {
    Fatal::Foreign(format!(
        "{}: the epoch record has format {version}, which a later version of ringkeeper wrote. Start that one; \
         nothing was changed.",
        directory.path_of(EPOCH_FILE).display(),
    ))
}

#[cfg(test)]
#[path = "epochs_test.rs"]
pub(super) mod tests;
