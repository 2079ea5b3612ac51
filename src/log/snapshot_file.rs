//! The container of a snapshot: a header, chunks, a footer. What is in the chunks is the business of `tree`.
//!
//! Called by `replica` to write a snapshot piece by piece, and by the drivers and `cli` to read and check one. A driver writes the
//! pieces to a temporary name, syncs, renames, syncs the directory. A snapshot is trusted only if its
//! footer is there and fits: every chunk carries its own checksum, and names that of the piece before it.
//!
//! Header, 64 bytes (numbers little-endian):
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `RKSNAPSH` |
//! | 8 | 4 | format version |
//! | 12 | 4 | crc32c of bytes 0..12 and 16..64 |
//! | 16 | 8 | zxid at which the snapshot ends |
//! | 24 | 8 | salt |
//! | 32 | 32 | zero |
//!
//! Chunk, 16 bytes and its payload; the footer is a chunk too:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | crc32c of all that follows, payload included |
//! | 4 | 4 | bytes of the payload |
//! | 8 | 4 | checksum of the piece before: chunk or header |
//! | 12 | 4 | `chnk`, or `foot` |
//! | 16 | | payload; of the footer: chunks (8), items (8), bytes of all payloads (8), zxid (8), salt (8) |
//!
//! Limits: a chunk holds `CHUNK_BYTES_MAX`. Tested: `snapshot_file_test.rs` (every flipped bit, every cut).

use std::fmt;

use bytes::Bytes;

use super::segment::{parse_hex_16, u32_at, u64_at};
use crate::base::Zxid;

/// Newest version of the format of snapshots that this program reads, and the one it writes.
pub const SNAPSHOT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"RKSNAPSH";
const HEADER_BYTES: usize = 64;
const CHUNK_HEADER_BYTES: usize = 16;
const FOOTER_BYTES: usize = 40;
const CHUNK: u32 = u32::from_le_bytes(*b"chnk");
const FOOTER: u32 = u32::from_le_bytes(*b"foot");

/// A chunk is a step of writing and of checking; nothing needs larger ones.
const CHUNK_BYTES_MAX: usize = 1 << 30;

const PREFIX: &str = "snapshot.";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// What a file name in the snapshot directory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotName {
    Whole(Zxid),
    /// Left by a crash: to be removed.
    Temporary(Zxid),
}

impl SnapshotName {
    /// `None` for a foreign name, which the caller leaves alone. ZooKeeper's own snapshots have fewer digits.
    pub fn parse(file_name: &str) -> Option<SnapshotName> {
        let rest = file_name.strip_prefix(PREFIX)?;
        let zxid = |digits| parse_hex_16(digits).map(|zxid| Zxid(zxid as i64));
        match rest.strip_suffix(TEMPORARY_SUFFIX) {
            Some(digits) => zxid(digits).map(SnapshotName::Temporary),
            None => zxid(rest).map(SnapshotName::Whole),
        }
    }
}

/// `snapshot.<16 hex digits of the zxid>`
pub fn snapshot_file_name(zxid: Zxid) -> String {
    format!("{PREFIX}{:016x}", zxid.0)
}

/// The name under which it is written until it is whole and synced.
pub fn snapshot_temporary_name(zxid: Zxid) -> String {
    format!("{PREFIX}{:016x}{TEMPORARY_SUFFIX}", zxid.0)
}

/// The zxid at which a snapshot says to end, for a file whose name doesn't tell. Nothing is verified; `None`: no snapshot of
/// this program's.
pub fn snapshot_zxid(file: &[u8]) -> Option<Zxid> {
    let header = file.first_chunk::<HEADER_BYTES>()?;
    (header[0..8] == MAGIC).then(|| Zxid(u64_at(header, 16) as i64))
}

/// Makes the bytes of a snapshot, piece by piece, to be written one behind the other.
#[derive(Debug)]
pub struct SnapshotEncoder {
    zxid: Zxid,
    salt: u64,
    checksum: u32,
    chunks: u64,
    items: u64,
    payload_bytes: u64,
}

impl SnapshotEncoder {
    /// The header comes first. `salt`: random; it keeps the chunks of two snapshots apart.
    pub fn new(zxid: Zxid, salt: u64) -> (SnapshotEncoder, Bytes) {
        let mut header = [0; HEADER_BYTES];
        header[0..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&SNAPSHOT_VERSION.to_le_bytes());
        header[16..24].copy_from_slice(&zxid.0.to_le_bytes());
        header[24..32].copy_from_slice(&salt.to_le_bytes());
        let checksum = header_checksum(&header);
        header[12..16].copy_from_slice(&checksum.to_le_bytes());
        let encoder = SnapshotEncoder { zxid, salt, checksum, chunks: 0, items: 0, payload_bytes: 0 };
        (encoder, Bytes::copy_from_slice(&header))
    }

    /// One chunk of `items` items. `encode` appends the payload to the buffer it is handed, and leaves alone what is in it.
    pub fn chunk(&mut self, items: u64, encode: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut buffer = vec![0; CHUNK_HEADER_BYTES];
        encode(&mut buffer);
        self.chunks += 1;
        self.items += items;
        self.payload_bytes += (buffer.len() - CHUNK_HEADER_BYTES) as u64;
        self.piece(CHUNK, buffer)
    }

    /// The footer. Without it nobody trusts the file.
    pub fn finish(mut self) -> Bytes {
        let mut buffer = vec![0; CHUNK_HEADER_BYTES];
        for number in [self.chunks, self.items, self.payload_bytes, self.zxid.0 as u64, self.salt] {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
        self.piece(FOOTER, buffer)
    }

    fn piece(&mut self, kind: u32, mut buffer: Vec<u8>) -> Bytes {
        let payload_bytes = buffer.len() - CHUNK_HEADER_BYTES;
        assert!(payload_bytes <= CHUNK_BYTES_MAX, "a chunk of {payload_bytes} bytes");
        buffer[4..8].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
        buffer[8..12].copy_from_slice(&self.checksum.to_le_bytes());
        buffer[12..16].copy_from_slice(&kind.to_le_bytes());
        self.checksum = crc32c::crc32c(&buffer[4..]);
        buffer[0..4].copy_from_slice(&self.checksum.to_le_bytes());
        Bytes::from(buffer)
    }
}

fn header_checksum(header: &[u8; HEADER_BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..])
}

/// Why a file is no snapshot to load. Not fatal while an older one is whole and the log continues that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFault {
    /// Ends early: it was never finished, or was cut.
    Incomplete {
        bytes: u64,
    },
    Damaged {
        offset: u64,
        why: &'static str,
    },
    /// Made by a later version of this program. No reason to take an older snapshot: the server must not start.
    Newer {
        version: u32,
    },
    /// The file was renamed.
    OtherZxid {
        named: Zxid,
        found: Zxid,
    },
}

impl fmt::Display for SnapshotFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotFault::Incomplete { bytes } => {
                write!(
                    f,
                    "the snapshot ends after {bytes} bytes, before its footer: it was never finished or was cut"
                )
            }
            SnapshotFault::Damaged { offset, why } => {
                write!(f, "the snapshot is damaged at offset {offset}: {why}")
            }
            SnapshotFault::Newer { version } => write!(
                f,
                "the snapshot was written by a newer version of this program (format {version}, this one reads up to \
                 {SNAPSHOT_VERSION}). Start that version, or a newer one"
            ),
            SnapshotFault::OtherZxid { named, found } => {
                write!(
                    f,
                    "the snapshot ends at zxid {found}, but its file name says {named}: give it its name back"
                )
            }
        }
    }
}

impl std::error::Error for SnapshotFault {}

/// What a whole snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSummary {
    pub zxid: Zxid,
    pub chunks: u64,
    pub items: u64,
    pub payload_bytes: u64,
}

/// Yields the payloads of a snapshot's chunks, each verified. What it yielded is to be trusted only when `next_chunk` has
/// returned `None` without a fault.
#[derive(Debug)]
pub struct SnapshotDecoder<'a> {
    file: &'a [u8],
    offset: usize,
    zxid: Zxid,
    salt: u64,
    checksum: u32,
    chunks: u64,
    payload_bytes: u64,
    summary: Option<SnapshotSummary>,
}

impl<'a> SnapshotDecoder<'a> {
    /// `file`: all of it. `named`: the zxid in its name.
    pub fn new(file: &'a [u8], named: Zxid) -> Result<SnapshotDecoder<'a>, SnapshotFault> {
        let Some(header) = file.first_chunk::<HEADER_BYTES>() else {
            return Err(SnapshotFault::Incomplete { bytes: file.len() as u64 });
        };
        let damaged = |why| Err(SnapshotFault::Damaged { offset: 0, why });
        if header[0..8] != MAGIC {
            return damaged("it doesn't begin like a snapshot of this program");
        }
        let checksum = u32_at(header, 12);
        if checksum != header_checksum(header) {
            return damaged("the checksum of the header is wrong");
        }
        let version = u32_at(header, 8);
        if version > SNAPSHOT_VERSION {
            return Err(SnapshotFault::Newer { version });
        }
        if version != SNAPSHOT_VERSION {
            return damaged("there never was such a format version");
        }
        let zxid = Zxid(u64_at(header, 16) as i64);
        if zxid != named {
            return Err(SnapshotFault::OtherZxid { named, found: zxid });
        }
        let (offset, salt) = (HEADER_BYTES, u64_at(header, 24));
        Ok(SnapshotDecoder { file, offset, zxid, salt, checksum, chunks: 0, payload_bytes: 0, summary: None })
    }

    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// After the last chunk.
    pub fn summary(&self) -> Option<SnapshotSummary> {
        self.summary
    }

    /// The next payload; `None` when the footer was there and fits.
    pub fn next_chunk(&mut self) -> Result<Option<&'a [u8]>, SnapshotFault> {
        if self.summary.is_some() {
            return Ok(None);
        }
        let rest = &self.file[self.offset..];
        let Some(head) = rest.first_chunk::<CHUNK_HEADER_BYTES>() else {
            return Err(SnapshotFault::Incomplete { bytes: self.file.len() as u64 });
        };
        let payload_bytes = u32_at(head, 4) as usize;
        let kind = u32_at(head, 12);
        if payload_bytes > CHUNK_BYTES_MAX || (kind != CHUNK && kind != FOOTER) {
            return self.damaged("no chunk begins here");
        }
        let Some(piece) = rest.get(..CHUNK_HEADER_BYTES + payload_bytes) else {
            return Err(SnapshotFault::Incomplete { bytes: self.file.len() as u64 });
        };
        let checksum = u32_at(head, 0);
        if checksum != crc32c::crc32c(&piece[4..]) {
            return self.damaged("the checksum of the chunk is wrong");
        }
        if u32_at(head, 8) != self.checksum {
            return self.damaged("the chunk doesn't follow the one before it");
        }
        let payload = &piece[CHUNK_HEADER_BYTES..];
        if kind == FOOTER {
            return self.footer(payload);
        }
        self.offset += piece.len();
        self.checksum = checksum;
        self.chunks += 1;
        self.payload_bytes += payload_bytes as u64;
        Ok(Some(payload))
    }

    fn footer(&mut self, payload: &[u8]) -> Result<Option<&'a [u8]>, SnapshotFault> {
        let Some(footer) = payload.first_chunk::<FOOTER_BYTES>() else {
            return self.damaged("the footer is too short");
        };
        let chunks = u64_at(footer, 0);
        let items = u64_at(footer, 8);
        let payload_bytes = u64_at(footer, 16);
        let fits = chunks == self.chunks
            && payload_bytes == self.payload_bytes
            && u64_at(footer, 24) == self.zxid.0 as u64
            && u64_at(footer, 32) == self.salt;
        if !fits {
            return self.damaged("the footer doesn't fit what comes before it");
        }
        let end = self.offset + CHUNK_HEADER_BYTES + payload.len();
        if end != self.file.len() {
            self.offset = end;
            return self.damaged("something follows the footer");
        }
        self.summary = Some(SnapshotSummary { zxid: self.zxid, chunks, items, payload_bytes });
        Ok(None)
    }

    fn damaged<T>(&self, why: &'static str) -> Result<T, SnapshotFault> {
        Err(SnapshotFault::Damaged { offset: self.offset as u64, why })
    }
}

/// Reads a whole snapshot file and says what is in it. For `autopurge`, `cli` and whoever needs to know before loading.
pub fn verify_snapshot(file: &[u8], named: Zxid) -> Result<SnapshotSummary, SnapshotFault> {
    let mut decoder = SnapshotDecoder::new(file, named)?;
    while decoder.next_chunk()?.is_some() {}
    Ok(decoder.summary().expect("the decoder ends with the footer"))
}

#[cfg(test)]
#[path = "snapshot_file_test.rs"]
mod tests;
