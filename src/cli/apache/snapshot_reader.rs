//! A snapshot file of Apache ZooKeeper to a tree, in one pass.
//!
//! `ZKSN`, int version 2, long -1; the body (`tree::JavaLoad`); a seal. Then what the server was set to write: the digest
//! (long zxid, int version, long digest) and a seal; the last zxid (long) and a seal. A seal is the Adler-32 of everything
//! before it, as a long, and the path `/`. What is packed (`.gz`, `.snappy`) is packed as a whole, seals included.
//!
//! Offsets are of the unpacked content. Tested: snapshot_reader_test.rs (every cut, every flipped bit), tests/java_files.rs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::super::progress::Progress;
use super::packing::Packing;
use crate::base::{HashKey, SessionId, Zxid};
use crate::tree::{JavaLoad, JavaSnapshot, Store};

pub const MAGIC: [u8; 4] = *b"ZKSN";
pub const VERSION: i32 = 2;
pub const DBID: i64 = -1;
/// A seal's path.
pub const SEAL_PATH: [u8; 5] = *b"\0\0\0\x01/";
const BUFFER_BYTES: usize = 256 << 10;

const SEAL_BYTES: usize = 13;
const DIGEST_BYTES: usize = 20;
const LAST_ZXID_BYTES: usize = 8;
/// Both sections with their seals, and a byte more.
const SECTIONS_BYTES_MAX: usize = DIGEST_BYTES + LAST_ZXID_BYTES + 2 * SEAL_BYTES + 1;

/// `snapshot.<hex>`, `.gz` or `.snappy` behind it.
pub fn parse_name(name: &str) -> Option<(Zxid, Packing)> {
    let rest = name.strip_prefix("snapshot.")?;
    let (digits, suffix) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    Some((super::names::parse_zxid(digits)?, Packing::of_suffix(suffix)?))
}

pub struct Snapshot {
    /// As of the file's name; some of it may be later: it was written while transactions were applied.
    pub store: Store,
    pub sessions: Vec<(SessionId, i32)>,
    pub digest: Option<Digest>,
    /// Transactions behind it give ACL lists that it names and doesn't hold.
    pub lacks_lists: bool,
    /// Up to here it holds something, at least.
    pub latest: Zxid,
    /// When the last of the file was written. Before 3.9 no file says so.
    pub last_zxid: Option<Zxid>,
}

impl Snapshot {
    /// Up to where it holds something of what came behind its zxid, as far as it says.
    pub fn holds(&self) -> Zxid {
        self.digest.map_or(self.latest, |digest| digest.zxid.max(self.latest))
    }
}

/// What the tree's digest was at `zxid`, when the last of the file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    pub zxid: Zxid,
    pub version: i32,
    pub digest: u64,
}

/// Not to be used: it was never finished, or is damaged.
#[derive(Debug, PartialEq, Eq)]
pub struct Bad {
    pub offset: u64,
    pub what: String,
}

pub fn read_file(
    path: &Path,
    zxid: Zxid,
    packing: Packing,
    key: HashKey,
    progress: &Progress,
) -> io::Result<Result<Snapshot, Bad>> {
    let file = progress.reading(File::open(path)?, path)?;
    Ok(match packing {
        Packing::None => read(file, zxid, key),
        Packing::Gzip => read(flate2::read::MultiGzDecoder::new(file), zxid, key),
        Packing::Snappy => read(
            super::snappy::SnappyReader::new(io::BufReader::with_capacity(BUFFER_BYTES, file)),
            zxid,
            key,
        ),
    })
}

pub fn read(file: impl Read, zxid: Zxid, key: HashKey) -> Result<Snapshot, Bad> {
    let mut content = Content::new(file);
    let head: [u8; 16] = content.take()?;
    let bad = |offset, what: &str| Bad { offset, what: what.to_owned() };
    if head[..4] != MAGIC {
        return Err(bad(0, "it doesn't begin like a snapshot of ZooKeeper"));
    }
    if head[4..8] != VERSION.to_be_bytes() {
        return Err(bad(4, "a format that isn't known"));
    }
    let body = content.offset;
    let (mut store, _) = crate::tree::tree(key, 0);
    let mut load = JavaLoad::new(zxid, key);
    let in_body =
        |error: crate::tree::JavaSnapshotError| Bad { offset: body + error.offset, what: error.what };
    while !load.is_complete() {
        let bytes = content.unread()?;
        if bytes.is_empty() {
            return Err(Bad {
                offset: content.offset,
                what: "it ends in the middle: it was never finished or was cut".into(),
            });
        }
        let used = load.feed(&mut store, bytes).map_err(in_body)?;
        content.pass(used);
    }
    content.seal()?;
    let sections = content.offset;
    let (digest, last_zxid) = read_sections(&mut content)?;
    let digest = digest.filter(|digest| digest.zxid > Zxid::ZERO);
    let found = load.finish(&mut store).map_err(in_body)?;
    debug_assert_eq!(body + found.bytes + SEAL_BYTES as u64, sections);
    let JavaSnapshot { sessions, lacks_lists, latest, .. } = found;
    Ok(Snapshot { store, sessions, digest, lacks_lists, latest, last_zxid })
}

/// Which sections there are shows in how much is left: nothing else says so.
fn read_sections(content: &mut Content<impl Read>) -> Result<(Option<Digest>, Option<Zxid>), Bad> {
    let offset = content.offset;
    let left = content.left()?;
    let has_digest = matches!(left, 33 | 54);
    let has_zxid = matches!(left, 21 | 54);
    if left > 0 && !has_digest && !has_zxid {
        let what = if left >= SECTIONS_BYTES_MAX {
            "more follows the tree than a digest and a zxid".to_owned()
        } else {
            format!("the {left} bytes behind the tree are neither a digest nor a zxid: it was cut")
        };
        return Err(Bad { offset, what });
    }
    let (mut digest, mut last_zxid) = (None, None);
    if has_digest {
        let bytes: [u8; DIGEST_BYTES] = content.take()?;
        let (zxid, rest) = bytes.split_at(8);
        let (version, value) = rest.split_at(4);
        digest = Some(Digest {
            zxid: Zxid(i64::from_be_bytes(zxid.try_into().expect("eight bytes"))),
            version: i32::from_be_bytes(version.try_into().expect("four bytes")),
            digest: u64::from_be_bytes(value.try_into().expect("eight bytes")),
        });
        content.seal()?;
    }
    if has_zxid {
        // Where there is a name, what that says counts, as for ZooKeeper.
        let bytes: [u8; LAST_ZXID_BYTES] = content.take()?;
        last_zxid = Some(Zxid(i64::from_be_bytes(bytes)));
        content.seal()?;
    }
    Ok((digest, last_zxid))
}

/// The unpacked bytes, and the sum of those that were passed.
struct Content<R> {
    file: R,
    buffer: Vec<u8>,
    /// Of the buffer: what is read and not passed.
    start: usize,
    end: usize,
    offset: u64,
    sum: adler2::Adler32,
}

impl<R: Read> Content<R> {
    fn new(file: R) -> Content<R> {
        let buffer = vec![0; BUFFER_BYTES];
        Content { file, buffer, start: 0, end: 0, offset: 0, sum: adler2::Adler32::new() }
    }

    /// Empty only at the end.
    fn unread(&mut self) -> Result<&[u8], Bad> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.read_more()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// False at the end. There is room in the buffer.
    fn read_more(&mut self) -> Result<bool, Bad> {
        loop {
            match self.file.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let offset = self.offset + (self.end - self.start) as u64;
                    let what = match error.kind() {
                        io::ErrorKind::UnexpectedEof => {
                            "it ends in the middle: it was never finished or was cut".into()
                        }
                        _ => error.to_string(),
                    };
                    return Err(Bad { offset, what });
                }
            }
        }
    }

    fn pass(&mut self, count: usize) {
        self.sum.write_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        self.offset += count as u64;
    }

    /// At least so many unread bytes are in the buffer, or all that are left. For few.
    fn gather(&mut self, count: usize) -> Result<(), Bad> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < count && self.read_more()? {}
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        self.gather(N)?;
        let Some(bytes) = self.buffer[..self.end].first_chunk::<N>().copied() else {
            let what = "it ends in the middle: it was never finished or was cut".to_owned();
            return Err(Bad { offset: self.offset, what });
        };
        self.pass(N);
        Ok(bytes)
    }

    /// How much is left to the end, at most [`SECTIONS_BYTES_MAX`].
    fn left(&mut self) -> Result<usize, Bad> {
        self.gather(SECTIONS_BYTES_MAX)?;
        Ok((self.end - self.start).min(SECTIONS_BYTES_MAX))
    }

    fn seal(&mut self) -> Result<(), Bad> {
        let (offset, found) = (self.offset, i64::from(self.sum.checksum()));
        let seal: [u8; SEAL_BYTES] = self.take()?;
        let sealed = i64::from_be_bytes(seal[..8].try_into().expect("eight bytes"));
        if found != sealed || seal[8..] != SEAL_PATH {
            let what = format!(
                "the checksum of what comes before is {found:#x}, and the seal here says {sealed:#x}"
            );
            return Err(Bad { offset, what });
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "snapshot_reader_test.rs"]
mod tests;
