//! A log file of Apache ZooKeeper, record by record; and whether what can't be read is a torn tail or damage.
//!
//! Header: `ZKLG`, int version 2, long 0. Record: long Adler-32 of the entry, int length, the entry, `B`. The file is
//! made longer ahead of time, by zeroes. All integers are big endian.
//!
//! ZooKeeper takes whatever it can't read for the end of the file, unless a checksum is wrong. A length whose bits were
//! flipped would so hide all that follows it. Here a tail is torn only if no whole record with a later zxid follows.
//!
//! Pure: bytes in, steps out. Tested: log_reader_test.rs (every cut, every flipped bit).

use crate::base::Zxid;
use crate::wire::txn::TxnHeader;

use super::recovery::ENTRY_BYTES_MAX;

pub const MAGIC: [u8; 4] = *b"ZKLG";
pub const VERSION: i32 = 2;
pub const HEADER_BYTES: usize = 16;
const RECORD_HEADER_BYTES: usize = 12;
pub const END: u8 = b'B';

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// `entry`: header, record, digest. `offset`: of it, not of the record around it.
    Entry {
        offset: u64,
        zxid: Zxid,
        entry: &'a [u8],
    },
    /// Nothing but zeroes follows, or nothing.
    End,
    /// What was being written when the server ended follows, and nothing behind it.
    Torn {
        offset: u64,
        why: &'static str,
    },
    Damaged {
        offset: u64,
        what: String,
    },
}

pub struct LogReader<'a> {
    file: &'a [u8],
    at: usize,
    /// Of the last entry.
    zxid: Zxid,
}

impl<'a> LogReader<'a> {
    pub fn new(file: &'a [u8]) -> LogReader<'a> {
        LogReader { file, at: 0, zxid: Zxid(i64::MIN) }
    }

    /// After anything but an entry it is over. Not `Iterator::next`, which could not say why it ends.
    pub fn step(&mut self) -> Step<'a> {
        if self.at == 0 {
            if let Some(step) = self.check_header() {
                return step;
            }
            self.at = HEADER_BYTES;
        }
        let rest = &self.file[self.at..];
        let Some(head) = rest.first_chunk::<RECORD_HEADER_BYTES>() else {
            return self.broken("it ends in the head of a record");
        };
        let checksum = i64::from_be_bytes(head[..8].try_into().expect("eight bytes"));
        let length = i32::from_be_bytes(head[8..].try_into().expect("four bytes"));
        let Ok(length) = usize::try_from(length) else { return self.broken("no record begins here") };
        if !(TxnHeader::BYTES..=ENTRY_BYTES_MAX).contains(&length) {
            return self.broken("no record begins here");
        }
        let Some((entry, behind)) = rest[RECORD_HEADER_BYTES..].split_at_checked(length) else {
            return self.broken("the record runs past the end of the file");
        };
        if behind.first() != Some(&END) {
            return self.broken("the record has no end mark");
        }
        let found = checksum_of(entry);
        if found != checksum {
            let what =
                format!("the checksum of the transaction is {found:#x}, not {checksum:#x} as was written");
            return Step::Damaged { offset: self.at as u64, what };
        }
        let offset = (self.at + RECORD_HEADER_BYTES) as u64;
        self.at += RECORD_HEADER_BYTES + length + 1;
        self.zxid = zxid_of(entry);
        Step::Entry { offset, zxid: self.zxid, entry }
    }

    fn check_header(&self) -> Option<Step<'a>> {
        let Some(header) = self.file.first_chunk::<HEADER_BYTES>() else {
            return Some(if self.file.is_empty() {
                Step::Torn { offset: 0, why: "the file is empty" }
            } else {
                self.broken("it ends in its header")
            });
        };
        let damaged = |what| Some(Step::Damaged { offset: 0, what });
        if header.iter().all(|byte| *byte == 0) {
            return match self.broken("its header was never written") {
                Step::End => Some(Step::Torn { offset: 0, why: "its header was never written" }),
                step => Some(step),
            };
        }
        if header[..4] != MAGIC {
            return damaged("it doesn't begin like a log of ZooKeeper".to_owned());
        }
        match i32::from_be_bytes(header[4..8].try_into().expect("four bytes")) {
            VERSION => None,
            version => damaged(format!("its format is {version}; only {VERSION} is known")),
        }
    }

    /// The record at hand can't be read.
    fn broken(&self, why: &'static str) -> Step<'a> {
        let offset = self.at as u64;
        let written = self.file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if written <= self.at {
            return Step::End;
        }
        match self.whole_record_behind(written) {
            Some(at) => Step::Damaged { offset, what: format!("{why}; a whole record follows at byte {at}") },
            None => Step::Torn { offset, why },
        }
    }

    /// Where the next whole record begins that could follow the last one read. `written`: behind it are only zeroes.
    fn whole_record_behind(&self, written: usize) -> Option<usize> {
        // A record ends with a byte that isn't zero.
        let file = &self.file[..written];
        let first = (self.at + 1).max(HEADER_BYTES);
        let last = written.checked_sub(RECORD_HEADER_BYTES + TxnHeader::BYTES)?;
        (first..last).find(|&at| {
            let head = &file[at..];
            // Half of the checksum is zero, and so is the first byte of the length.
            if head[..4] != [0; 4] || head[8] != 0 {
                return false;
            }
            let length = u32::from_be_bytes(head[8..12].try_into().expect("four bytes")) as usize;
            if length < TxnHeader::BYTES || head.get(RECORD_HEADER_BYTES + length) != Some(&END) {
                return false;
            }
            let entry = &head[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length];
            let checksum = i64::from_be_bytes(head[..8].try_into().expect("eight bytes"));
            zxid_of(entry) > self.zxid && checksum_of(entry) == checksum
        })
    }
}

pub fn checksum_of(entry: &[u8]) -> i64 {
    i64::from(adler2::adler32_slice(entry))
}

/// Of an entry that is as long as its header at least.
fn zxid_of(entry: &[u8]) -> Zxid {
    Zxid(i64::from_be_bytes(entry[12..20].try_into().expect("an entry begins with its header")))
}

#[cfg(test)]
#[path = "log_reader_test.rs"]
mod tests;
