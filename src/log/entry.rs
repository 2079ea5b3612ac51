//! What a segment holds behind its header: groups of records; and the one reader of them.
//!
//! Called by `writer` (encoding), `recovery` and whoever reads the log back (decoding). A group is what one persist
//! makes durable. It names the *mark*: the end of the log that was durable when the group was sealed. So each group
//! proves that what lies before its mark was whole once, and recovery can tell a torn tail from damage.
//!
//! Groups begin at multiples of 8, which lets a damaged stretch be searched for later ones. A group that was sealed
//! while another was being persisted begins on a page of its own, as a store to a page under write-back waits for it;
//! the reader looks in both places. Bytes between mean nothing.
//!
//! Limits: a record holds `PAYLOAD_BYTES_MAX`; a group what is appended until it is sealed, below 4 GiB.

use super::segment::{GROUPS_OFFSET, Header, Position, SegmentId, u32_at, u64_at};
use crate::base::Zxid;

/// Where a group may begin.
pub(super) const GROUP_ALIGN: u64 = 8;

/// Where a group begins that is stored while an earlier one is being persisted.
pub(super) const PAGE_BYTES: u64 = 4096;

pub(super) const GROUP_HEADER_BYTES: usize = 64;
pub(super) const RECORD_HEADER_BYTES: usize = 20;

/// Larger than any frame the server takes. A length above it is damage.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

const GROUP_MAGIC: u32 = u32::from_le_bytes(*b"RKGp");

/// Start of a group.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | crc32c of bytes 4..64 |
/// | 4 | 4 | `RKGp` |
/// | 8 | 8 | salt of the segment |
/// | 16 | 8 | number of the segment |
/// | 24 | 8 | offset of this group in the file |
/// | 32 | 8 | bytes of records that follow |
/// | 40 | 16 | mark: segment and offset |
/// | 56 | 4 | checksum of the record before |
/// | 60 | 4 | records that follow; 0 in a group that only carries a mark |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub salt: u64,
    pub start: Position,
    pub bytes: u64,
    pub mark: Position,
    pub checksum: u32,
    pub count: u32,
}

impl Group {
    pub fn encode(&self, into: &mut [u8]) {
        let head =
            into.first_chunk_mut::<GROUP_HEADER_BYTES>().expect("the open group begins with room for it");
        head[4..8].copy_from_slice(&GROUP_MAGIC.to_le_bytes());
        head[8..16].copy_from_slice(&self.salt.to_le_bytes());
        head[16..24].copy_from_slice(&self.start.segment.0.to_le_bytes());
        head[24..32].copy_from_slice(&self.start.offset.to_le_bytes());
        head[32..40].copy_from_slice(&self.bytes.to_le_bytes());
        head[40..48].copy_from_slice(&self.mark.segment.0.to_le_bytes());
        head[48..56].copy_from_slice(&self.mark.offset.to_le_bytes());
        head[56..60].copy_from_slice(&self.checksum.to_le_bytes());
        head[60..64].copy_from_slice(&self.count.to_le_bytes());
        let checksum = crc32c::crc32c(&head[4..]);
        head[0..4].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The group that begins at `offset` of the file of `segment`, whatever its salt.
    fn decode(image: &[u8], segment: SegmentId, offset: usize) -> Option<Group> {
        let head = image.get(offset..)?.first_chunk::<GROUP_HEADER_BYTES>()?;
        if u32_at(head, 4) != GROUP_MAGIC || u32_at(head, 0) != crc32c::crc32c(&head[4..]) {
            return None;
        }
        let start = Position { segment: SegmentId(u64_at(head, 16)), offset: u64_at(head, 24) };
        let group = Group {
            salt: u64_at(head, 8),
            start,
            bytes: u64_at(head, 32),
            mark: Position { segment: SegmentId(u64_at(head, 40)), offset: u64_at(head, 48) },
            checksum: u32_at(head, 56),
            count: u32_at(head, 60),
        };
        // A mark lies before the group that names it; anything else is not of our making.
        let ours = start == Position { segment, offset: offset as u64 } && group.mark <= start;
        ours.then_some(group)
    }
}

/// Fills in the header of the record which begins at `start` of `buffer` and ends with it. Returns its checksum.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | crc32c of all that follows, payload included; its register starts from the segment's seed |
/// | 4 | 4 | bytes of the payload |
/// | 8 | 8 | zxid |
/// | 16 | 4 | checksum of the record before, in whatever group or segment that is |
/// | 20 | | payload |
#[inline]
pub(super) fn finish_record(buffer: &mut [u8], start: usize, zxid: Zxid, previous: u32, seed: u32) -> u32 {
    let record = &mut buffer[start..];
    let payload_bytes = record.len() - RECORD_HEADER_BYTES;
    assert!(
        payload_bytes <= PAYLOAD_BYTES_MAX,
        "a transaction of {payload_bytes} bytes doesn't fit a record"
    );
    record[4..8].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    record[8..16].copy_from_slice(&zxid.0.to_le_bytes());
    record[16..20].copy_from_slice(&previous.to_le_bytes());
    let checksum = crc32c::crc32c_append(seed, &record[4..]);
    record[0..4].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

/// A transaction as it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub zxid: Zxid,
    pub payload: &'a [u8],
}

/// One step of a [`Reader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Entry(Entry<'a>),
    /// A group begins; it may hold no entry.
    Group,
    /// The limit is reached.
    Done,
    /// Nothing valid follows: the end of what was written, a torn tail or damage. Reading on gives the same again.
    Broken {
        offset: u64,
        why: &'static str,
    },
}

/// Reads the entries of one segment in order, verifying each.
pub struct Reader<'a> {
    image: &'a [u8],
    header: Header,
    limit: u64,
    offset: u64,
    group_end: u64,
    group_left: u32,
    checksum: u32,
    zxid: Zxid,
    mark: Position,
}

impl<'a> Reader<'a> {
    /// `limit`: where the next segment continues this one; `u64::MAX` for the last segment.
    pub fn new(image: &'a [u8], header: Header, limit: u64) -> Reader<'a> {
        Reader {
            image,
            header,
            limit,
            offset: GROUPS_OFFSET,
            group_end: GROUPS_OFFSET,
            group_left: 0,
            checksum: header.checksum,
            zxid: header.after,
            mark: header.mark,
        }
    }

    /// End of the last record or group read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Of the last entry read.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Of the last entry read.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Greatest mark seen.
    pub fn mark(&self) -> Position {
        self.mark
    }

    /// What `step` reads next lies within a group, whose header was whole.
    pub fn in_group(&self) -> bool {
        self.offset < self.group_end
    }

    /// Named apart from `Iterator::next`, which could not say why it ends.
    pub fn step(&mut self) -> Step<'a> {
        if self.offset == self.limit {
            return Step::Done;
        }
        if self.offset > self.limit {
            return self.broken("the next segment continues in the middle of a record");
        }
        if self.offset < self.group_end {
            return self.record();
        }
        if self.group_left > 0 {
            return self.broken("the group holds fewer records than it says");
        }
        self.group()
    }

    fn broken(&self, why: &'static str) -> Step<'a> {
        Step::Broken { offset: self.offset, why }
    }

    fn group(&mut self) -> Step<'a> {
        let near = self.offset.next_multiple_of(GROUP_ALIGN);
        let Some(group) = self.group_at(near).or_else(|| self.group_at(near.next_multiple_of(PAGE_BYTES)))
        else {
            return self.broken("no group begins here");
        };
        if group.checksum != self.checksum {
            return self.broken("the group doesn't follow the record before it");
        }
        let records = group.start.offset + GROUP_HEADER_BYTES as u64;
        let Some(end) = records.checked_add(group.bytes).filter(|end| *end <= self.image.len() as u64) else {
            return self.broken("the group runs past the end of the file");
        };
        self.offset = records;
        self.group_end = end;
        self.group_left = group.count;
        self.mark = self.mark.max(group.mark);
        Step::Group
    }

    fn group_at(&self, offset: u64) -> Option<Group> {
        let group = Group::decode(self.image, self.header.id, usize::try_from(offset).ok()?)?;
        (group.salt == self.header.salt).then_some(group)
    }

    fn record(&mut self) -> Step<'a> {
        let rest = &self.image[self.offset as usize..self.group_end as usize];
        if rest.len() < RECORD_HEADER_BYTES || self.group_left == 0 {
            return self.broken("the records don't fill their group");
        }
        let payload_bytes = u32_at(rest, 4) as usize;
        if payload_bytes > PAYLOAD_BYTES_MAX || payload_bytes > rest.len() - RECORD_HEADER_BYTES {
            return self.broken("the record runs past the end of its group");
        }
        let record = &rest[..RECORD_HEADER_BYTES + payload_bytes];
        let checksum = u32_at(record, 0);
        if checksum != crc32c::crc32c_append(self.header.seed, &record[4..]) {
            return self.broken("the checksum of the record is wrong");
        }
        if u32_at(record, 16) != self.checksum {
            return self.broken("the record doesn't follow the one before it");
        }
        let zxid = Zxid(u64_at(record, 8) as i64);
        if zxid <= self.zxid {
            return self.broken("the zxid doesn't rise");
        }
        self.offset += record.len() as u64;
        self.group_left -= 1;
        self.checksum = checksum;
        self.zxid = zxid;
        Step::Entry(Entry { zxid, payload: &record[RECORD_HEADER_BYTES..] })
    }
}

/// Greatest mark that any group at or behind `from` names, and where that group is. `salt` is `None` where the header
/// of the segment is gone: then the number of the segment has to do, which no older file's groups carry.
pub(super) fn greatest_mark(
    image: &[u8],
    segment: SegmentId,
    salt: Option<u64>,
    from: u64,
) -> Option<(Position, Position)> {
    let first = from.max(GROUPS_OFFSET).next_multiple_of(GROUP_ALIGN);
    let words = image.get(usize::try_from(first).ok()?..)?.chunks_exact(GROUP_ALIGN as usize);
    let mut greatest: Option<(Position, Position)> = None;
    for (index, word) in words.enumerate() {
        if u32_at(word, 4) != GROUP_MAGIC {
            continue;
        }
        let offset = first as usize + index * GROUP_ALIGN as usize;
        let group =
            Group::decode(image, segment, offset).filter(|group| salt.is_none_or(|s| s == group.salt));
        if let Some(group) = group
            && greatest.is_none_or(|(mark, _)| group.mark > mark)
        {
            greatest = Some((group.mark, group.start));
        }
    }
    greatest
}
