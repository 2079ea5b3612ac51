//! Transactions to a log file of Apache ZooKeeper. The format is log_reader.rs'.
//!
//! **The first record.** A server of Apache's that is told to cut its log (TRUNC) keeps the first record that isn't earlier than
//! where to cut: one that began behind the snapshot it would not cut exactly at the snapshot. So a log begins with a record
//! that carries the snapshot's own zxid and does nothing. A start reads only what is behind the snapshot, and a
//! leader sends only what is behind a zxid that it finds in its log: nobody ever sees that record.
//!
//! Called by `snapshot export`. Tested: snapshot_test.rs, and tests/ensemble_of_java.rs with Apache's servers, which cut it.

use super::log_reader::{END, HEADER_BYTES, MAGIC, VERSION, checksum_of};
use crate::base::{SessionId, WallMillis, Zxid};
use crate::io::{Directory, Error, FileWriter};
use crate::wire::Encode;
use crate::wire::txn::{Entry, ErrorTxn, Txn};

const PIECE_BYTES: usize = 256 << 10;

/// `log.<hex>`, of the zxid that it begins with.
pub fn file_name(zxid: Zxid) -> String {
    format!("log.{:x}", zxid.0)
}

pub struct LogWriter {
    file: FileWriter,
    piece: Vec<u8>,
}

impl LogWriter {
    /// A log behind the snapshot `after`.
    pub fn begin(directory: &Directory, after: Zxid) -> Result<LogWriter, Error> {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&VERSION.to_be_bytes());
        let file = directory.writer(&file_name(after))?;
        let mut writer = LogWriter { file, piece: header.to_vec() };
        let mut first = vec![];
        let nothing = Txn::Error(ErrorTxn { err: 0 });
        Entry::new(SessionId::NONE, 0, after, WallMillis(0), nothing, None).encode(&mut first);
        writer.append(&first)?;
        Ok(writer)
    }

    /// `entry`: header, record, digest.
    pub fn append(&mut self, entry: &[u8]) -> Result<(), Error> {
        self.piece.extend(checksum_of(entry).to_be_bytes());
        let length = u32::try_from(entry.len()).expect("a transaction was a request once, which has a limit");
        self.piece.extend(length.to_be_bytes());
        self.piece.extend_from_slice(entry);
        self.piece.push(END);
        if self.piece.len() < PIECE_BYTES {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.append(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// Durable on return.
    pub fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        self.file.finish()
    }
}
