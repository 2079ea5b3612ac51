//! A segment file: its name, its header, and positions in the log.
//!
//! Called by `writer` (which makes headers), `recovery` (which reads them) and the drivers (names). The header fills a
//! page of its own, so that no later store rewrites it.

use std::fmt;

use bytes::Bytes;

use crate::base::Zxid;

/// Number of a segment, and its name: `segment.<16 hex digits>`. Rises by creation and is never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

/// Numbers above this are no segments of ours: it leaves room to count upwards from any file name found.
const SEGMENT_ID_MAX: u64 = 1 << 62;

const SEGMENT_PREFIX: &str = "segment.";

impl SegmentId {
    /// `None` for a foreign name, which the caller leaves alone.
    pub fn parse(file_name: &str) -> Option<SegmentId> {
        let id = parse_hex_16(file_name.strip_prefix(SEGMENT_PREFIX)?)?;
        (1..=SEGMENT_ID_MAX).contains(&id).then_some(SegmentId(id))
    }

    pub fn file_name(self) -> String {
        self.to_string()
    }

    pub(super) fn next(self) -> SegmentId {
        SegmentId(self.0 + 1)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SEGMENT_PREFIX}{:016x}", self.0)
    }
}

/// Exactly sixteen lower-case hex digits: one number has one name.
pub(super) fn parse_hex_16(digits: &str) -> Option<u64> {
    let canonical = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// A place in the log. Ordered as the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub segment: SegmentId,
    /// Bytes from the start of the file.
    pub offset: u64,
}

impl Position {
    /// Before every segment: "nothing".
    pub const NONE: Position = Position { segment: SegmentId(0), offset: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} offset {}", self.segment, self.offset)
    }
}

/// Where the groups of a segment begin: the header has the first page for itself.
pub const GROUPS_OFFSET: u64 = 4096;

/// Bytes of the header that are stored; the rest of its page means nothing.
pub const HEADER_BYTES: usize = 128;

/// Newest version of the format of segments that this program reads, and the one it writes.
pub const SEGMENT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"RKSEGMNT";

/// Start of a segment file. Magic, version, checksum and length of the header stay where they are in every version.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | `RKSEGMNT` |
/// | 8 | 4 | format version |
/// | 12 | 4 | crc32c of bytes 0..12 and 16..128 |
/// | 16 | 8 | number of the segment, as in its file name |
/// | 24 | 8 | salt |
/// | 32 | 8 | `after`: last zxid before this segment |
/// | 40 | 16 | `continues`: segment and offset |
/// | 56 | 16 | `mark`: segment and offset |
/// | 72 | 4 | `checksum`: of the last record before this segment |
/// | 76 | 4 | `seed` of the checksums of its records |
/// | 80 | 8 | `copied` |
/// | 88 | 8 | `bytes` |
/// | 96 | 32 | zero |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub id: SegmentId,
    /// Differs in every segment ever made; each of its groups repeats it, so that what an old file used again still
    /// holds is not taken for ours.
    pub salt: u64,
    /// Every record here has a greater zxid, and together with what ends at `continues` none between is missing.
    pub after: Zxid,
    /// The end of the log that this segment continues. All that lies behind it in older segments is superseded.
    /// `Position::NONE`: a start of its own behind a snapshot at `after`; what older segments hold doesn't connect.
    pub continues: Position,
    /// Durable when this header was made.
    pub mark: Position,
    pub checksum: u32,
    /// Drawn once in a life of the server: records that an earlier life left on the disk can't pass.
    pub seed: u32,
    /// Bytes of records in the first group, if they are copies of records behind `continues`; else 0. Without that group, whole,
    /// the segment counts as not made, and the originals hold.
    pub copied: u64,
    /// Size at which the file is made.
    pub bytes: u64,
}

/// Why a file can't be read as the segment that its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Shorter than a header.
    Short,
    /// No header, or a damaged one.
    Damaged,
    /// An old segment under a new name: its new header was never written.
    OtherSegment(SegmentId),
    /// Whole, but in a later format.
    Newer { version: u32 },
}

impl Header {
    pub fn encode(&self) -> Bytes {
        let mut page = [0; HEADER_BYTES];
        page[0..8].copy_from_slice(&MAGIC);
        page[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        page[16..24].copy_from_slice(&self.id.0.to_le_bytes());
        page[24..32].copy_from_slice(&self.salt.to_le_bytes());
        page[32..40].copy_from_slice(&self.after.0.to_le_bytes());
        page[40..48].copy_from_slice(&self.continues.segment.0.to_le_bytes());
        page[48..56].copy_from_slice(&self.continues.offset.to_le_bytes());
        page[56..64].copy_from_slice(&self.mark.segment.0.to_le_bytes());
        page[64..72].copy_from_slice(&self.mark.offset.to_le_bytes());
        page[72..76].copy_from_slice(&self.checksum.to_le_bytes());
        page[76..80].copy_from_slice(&self.seed.to_le_bytes());
        page[80..88].copy_from_slice(&self.copied.to_le_bytes());
        page[88..96].copy_from_slice(&self.bytes.to_le_bytes());
        let checksum = header_checksum(&page);
        page[12..16].copy_from_slice(&checksum.to_le_bytes());
        Bytes::copy_from_slice(&page)
    }

    /// `image`: the file, or at least its first page.
    pub fn decode(image: &[u8], id: SegmentId) -> Result<Header, HeaderFault> {
        let page = image.first_chunk::<HEADER_BYTES>().ok_or(HeaderFault::Short)?;
        if page[0..8] != MAGIC || u32_at(page, 12) != header_checksum(page) {
            return Err(HeaderFault::Damaged);
        }
        let version = u32_at(page, 8);
        if version > SEGMENT_VERSION {
            return Err(HeaderFault::Newer { version });
        }
        let position = |at| Position { segment: SegmentId(u64_at(page, at)), offset: u64_at(page, at + 8) };
        let header = Header {
            id: SegmentId(u64_at(page, 16)),
            salt: u64_at(page, 24),
            after: Zxid(u64_at(page, 32) as i64),
            continues: position(40),
            mark: position(56),
            checksum: u32_at(page, 72),
            seed: u32_at(page, 76),
            copied: u64_at(page, 80),
            bytes: u64_at(page, 88),
        };
        if header.id != id {
            return Err(HeaderFault::OtherSegment(header.id));
        }
        // A checksum that fits doesn't make a file ours: what the reader relies on is looked at.
        let sound = version == SEGMENT_VERSION && header.continues.segment < id && header.mark.segment < id;
        if sound { Ok(header) } else { Err(HeaderFault::Damaged) }
    }
}

fn header_checksum(page: &[u8; HEADER_BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&page[..12]), &page[16..])
}

/// Little-endian. The caller has checked that the bytes are there.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            id: SegmentId(9),
            salt: 0x1122_3344_5566_7788,
            after: Zxid(0x1_0000_0005),
            continues: Position { segment: SegmentId(7), offset: 4999 },
            mark: Position { segment: SegmentId(7), offset: 4096 },
            checksum: 0xdead_beef,
            seed: 77,
            copied: 1234,
            bytes: 1 << 20,
        }
    }

    #[test]
    fn a_header_comes_back_as_written() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(Header::decode(&bytes, SegmentId(9)), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let bytes = header().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped, SegmentId(9)), Err(HeaderFault::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_header_under_another_name_a_short_file_and_a_newer_version_are_told_apart() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes, SegmentId(10)), Err(HeaderFault::OtherSegment(SegmentId(9))));
        assert_eq!(Header::decode(&bytes[..127], SegmentId(9)), Err(HeaderFault::Short));
        assert_eq!(Header::decode(&[], SegmentId(9)), Err(HeaderFault::Short));
        assert_eq!(Header::decode(&[0; 4096], SegmentId(9)), Err(HeaderFault::Damaged));
        let mut page: [u8; HEADER_BYTES] = bytes[..].try_into().expect("its size");
        page[8..12].copy_from_slice(&2u32.to_le_bytes());
        let checksum = header_checksum(&page);
        page[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Header::decode(&page, SegmentId(9)), Err(HeaderFault::Newer { version: 2 }));
    }

    #[test]
    fn names_of_segments_are_canonical() {
        assert_eq!(SegmentId(0xab).file_name(), "segment.00000000000000ab");
        assert_eq!(SegmentId::parse("segment.00000000000000ab"), Some(SegmentId(0xab)));
        for foreign in [
            "segment.ab",
            "segment.00000000000000AB",
            "segment.00000000000000ab.tmp",
            "segment.+0000000000000ab",
            "segment.0000000000000000",
            "segment.ffffffffffffffff",
            "log.100000001",
            "lost+found",
            "segment.",
            "",
        ] {
            assert_eq!(SegmentId::parse(foreign), None, "{foreign}");
        }
    }
}
