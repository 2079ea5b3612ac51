//! Appends transactions to the active segment and makes them durable in groups.
//!
//! Called by `replica`, one writer per server; made of what `recovery` hands over once its repair is durable. Does not
//! know what a payload means; never blocks; owns no file.
//!
//! **Groups.** Entries collect in the open group while the one before is being persisted; `seal` turns it into commands
//! as soon as the disk is free, so the device sets the size of a group and no timer does. The checksum of a record is
//! made at `append`, while its bytes are in the nearest cache and the disk is busy anyway; `seal` only fills in 64
//! bytes, so nothing stands between the last request of a turn and its persist.
//!
//! **Padding.** A group begins at the next multiple of 8: with one persist outstanding nothing is stored while a sync
//! runs, so two groups may share a page, and a lone 200-byte write doesn't cost 4 KiB of log. Only with
//! `persists_max > 1` (an experiment) can a group be sealed while another is being synced; it then begins on a fresh
//! page, as a store to a page under write-back faults and waits.
//!
//! **Segments.** A group that doesn't fit in the rest of the active segment opens the next one; one that is larger than a
//! segment gets a segment of its own size.
//!
//! Invariants: 1. zxids strictly rise. 2. `durable <= appended <= proposed`. 3. at most `persists_max` persists are
//! outstanding. 4. the mark that a group names was durable before it was sealed. 5. no byte of a segment is stored
//! twice. What comes in here is ours, so 1 to 3 are asserted.
//! When full: `is_full` says so, and the replica stops taking requests; `append` itself never refuses.
//! Room: `has_room_for` says whether an entry fits into segments that are there; the replica asks before it decides one.
//! Tested: `writer_test.rs` (exact commands), `crash_test.rs`.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;

use bytes::Bytes;

use super::Command;
use super::entry::{
    Entry, GROUP_ALIGN, GROUP_HEADER_BYTES, Group, PAGE_BYTES, RECORD_HEADER_BYTES, finish_record,
};
use super::segment::{GROUPS_OFFSET, Header, Position, SegmentId, u32_at, u64_at};
use crate::base::{Prng, Ticket, Zxid};

/// What the driver decides about the log.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Size of a segment (`preAllocSize`).
    pub segment_bytes: u64,
    /// Size of the segment that every start makes. Smaller, as it is made while clients wait, and as a server that is
    /// restarted all day should not fill its disk with empty segments.
    pub first_segment_bytes: u64,
    /// `is_full` from here on.
    pub group_bytes_max: usize,
    /// Persists outstanding at once. 1 unless an experiment says otherwise.
    pub persists_max: usize,
    /// From the operating system's randomness in `server`, from the run's seed in `sim`. Must differ from start to start.
    pub salt_seed: u64,
    /// The ticket of the repair's persist; the writer counts on from there.
    pub first_ticket: Ticket,
}

impl Settings {
    pub(super) fn assert_sound(&self) {
        assert!(
            self.segment_bytes > GROUPS_OFFSET,
            "a segment of {} bytes holds nothing",
            self.segment_bytes
        );
        assert!(self.first_segment_bytes > GROUPS_OFFSET, "the first segment holds nothing");
        assert!(self.persists_max >= 1, "nothing would ever be durable");
    }
}

/// Where the log goes on: made by recovery, valid once its repair is durable.
#[derive(Debug)]
pub struct Resume {
    pub(super) active: Active,
    pub(super) mark: Position,
    pub(super) zxid: Zxid,
    pub(super) checksum: u32,
    pub(super) seed: u32,
    pub(super) salts: Prng,
    pub(super) next_ticket: Ticket,
    pub(super) retained: VecDeque<RetainedSegment>,
}

/// The segment that is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    pub id: SegmentId,
    pub salt: u64,
    /// End of what was appended to it.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
}

/// A segment file that is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedSegment {
    pub segment: SegmentId,
    /// Its records are later than this.
    pub after: Zxid,
    /// It continues the retained segment before it, with nothing missing between.
    pub linked: bool,
}

/// Where the payload of an entry lies in the bytes of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRange {
    pub start: u32,
    pub end: u32,
}

impl EntryRange {
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A group on its way to the disk.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub ticket: Ticket,
    /// Where it begins.
    pub position: Position,
    /// As stored. `EntryRange`s of its entries point into it.
    pub bytes: Bytes,
    pub first: Zxid,
    pub last: Zxid,
    pub count: u32,
}

impl Sealed {
    /// Shares the bytes, copies nothing.
    pub fn payload(&self, entry: EntryRange) -> Bytes {
        self.bytes.slice(entry.range())
    }

    /// The entry that begins at `at`, and where the next one does; `None` at the end. The first begins at
    /// [`Sealed::FIRST`]. For those who go on where they stopped.
    #[inline]
    pub fn entry_at(&self, at: usize) -> Option<(Entry<'_>, usize)> {
        let record = self.bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at + RECORD_HEADER_BYTES;
        let end = start + u32_at(record, 4) as usize;
        Some((Entry { zxid: Zxid(u64_at(record, 8) as i64), payload: &self.bytes[start..end] }, end))
    }

    /// Where the first entry begins.
    pub const FIRST: usize = GROUP_HEADER_BYTES;

    /// In order. Trusts the bytes: this process made them.
    pub fn entries(&self) -> impl Iterator<Item = (Entry<'_>, EntryRange)> {
        let mut at = GROUP_HEADER_BYTES;
        std::iter::from_fn(move || {
            let (entry, end) = self.entry_at(at)?;
            let start = end - entry.payload.len();
            at = end;
            Some((entry, EntryRange { start: start as u32, end: end as u32 }))
        })
    }
}

/// A persist whose completion has not come back.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    ticket: Ticket,
    end: Position,
    last: Zxid,
}

/// See the module.
#[derive(Debug)]
pub struct Writer {
    settings: Settings,
    active: Active,
    /// The next group opens a new segment, room or not.
    rolling: bool,
    /// Segments of the usual size that the driver has prepared, those taken from what it hasn't reported yet: negative.
    ready: i64,
    /// All before it is durable.
    mark: Position,
    /// Room for a group's header, then records. Holds entries exactly when `open_count > 0`.
    open: Vec<u8>,
    open_count: u32,
    open_first: Zxid,
    /// Of the last record, open or not.
    checksum: u32,
    seed: u32,
    proposed: Zxid,
    appended: Zxid,
    durable: Zxid,
    in_flight: VecDeque<InFlight>,
    next_ticket: Ticket,
    retained: VecDeque<RetainedSegment>,
    salts: Prng,
    /// The last group is one of `prove`.
    proven: bool,
}

impl Writer {
    /// Only after the ticket of the repair came back as durable.
    pub fn new(settings: Settings, resume: Resume) -> Writer {
        settings.assert_sound();
        let Resume { active, mark, zxid, checksum, seed, salts, next_ticket, retained } = resume;
        assert_eq!(retained.back().map(|r| r.segment), Some(active.id), "the active segment is the newest");
        Writer {
            settings,
            active,
            rolling: false,
            ready: 0,
            mark,
            open: vec![0; GROUP_HEADER_BYTES],
            open_count: 0,
            open_first: zxid,
            checksum,
            seed,
            proposed: zxid,
            appended: zxid,
            durable: zxid,
            in_flight: VecDeque::new(),
            next_ticket,
            retained,
            salts,
            proven: false,
        }
    }

    /// Frames one transaction into the open group. `encode` appends the payload to the buffer it is handed and leaves
    /// alone what is in it.
    #[inline]
    pub fn append(&mut self, zxid: Zxid, encode: impl FnOnce(&mut Vec<u8>)) -> EntryRange {
        assert!(zxid > self.proposed, "zxid {zxid} after {}", self.proposed);
        let start = self.open.len();
        self.open.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        encode(&mut self.open);
        assert!(self.open.len() >= start + RECORD_HEADER_BYTES, "the encoder took bytes away");
        assert!(u32::try_from(self.open.len()).is_ok(), "the open group passed 4 GiB: is_full was not asked");
        self.checksum = finish_record(&mut self.open, start, zxid, self.checksum, self.seed);
        if self.open_count == 0 {
            self.open_first = zxid;
        }
        self.open_count += 1;
        self.proposed = zxid;
        EntryRange { start: (start + RECORD_HEADER_BYTES) as u32, end: self.open.len() as u32 }
    }

    /// The payload of an entry of the open group.
    pub fn open_payload(&self, entry: EntryRange) -> &[u8] {
        &self.open[entry.range()]
    }

    /// Hands the open group to the disk. `None` if it is empty or as many persists as allowed are outstanding.
    pub fn seal(&mut self, commands: &mut Vec<Command>) -> Option<Sealed> {
        if self.open_count == 0 || self.in_flight.len() >= self.settings.persists_max {
            return None;
        }
        let (count, first, last) = (mem::take(&mut self.open_count), self.open_first, self.proposed);
        let (position, bytes) = self.store(count, commands);
        self.appended = last;
        self.proven = false;
        let ticket = self.persist(commands);
        self.assert_invariants();
        Some(Sealed { ticket, position, bytes, first, last, count })
    }

    /// A persist came back: all up to its group is durable. Returns the durable zxid.
    pub fn on_durable(&mut self, ticket: Ticket) -> Zxid {
        let known = self.in_flight.iter().any(|group| group.ticket == ticket);
        assert!(known, "no persist with {ticket:?} is outstanding");
        while let Some(group) = self.in_flight.front().copied()
            && group.ticket <= ticket
        {
            self.in_flight.pop_front();
            self.durable = group.last;
            self.mark = group.end;
        }
        self.assert_invariants();
        self.durable
    }

    /// Appends an empty group that only carries the mark, without a persist. For idle moments: damage to the last group
    /// is then known as damage and not taken for a torn tail. Does nothing while entries are open or being persisted.
    /// True if it did.
    pub fn prove(&mut self, commands: &mut Vec<Command>) -> bool {
        let idle = self.open_count == 0 && self.in_flight.is_empty();
        let room = self.group_start() + GROUP_HEADER_BYTES as u64 <= self.active.bytes;
        if !idle || !room || self.proven {
            return false;
        }
        self.proven = true;
        let rolling = mem::take(&mut self.rolling); // only records are worth a new segment
        self.store(0, commands);
        self.rolling = rolling;
        true
    }

    /// The last command before a clean stop: persists a mark that covers everything. `None` while entries are open or
    /// being persisted: seal them and wait first.
    pub fn finish(&mut self, commands: &mut Vec<Command>) -> Option<Ticket> {
        if self.open_count > 0 || !self.in_flight.is_empty() {
            return None;
        }
        self.prove(commands);
        Some(self.persist(commands))
    }

    /// The driver has one more segment of the usual size: the next `Create` of that size takes it.
    pub fn on_segment_ready(&mut self) {
        self.ready += 1;
    }

    /// An entry with a payload of so many bytes can be made durable without asking the disk for room, together with
    /// what is open. What is larger than a segment holds is asked about as if it just filled one.
    pub fn has_room_for(&self, payload_bytes: usize) -> bool {
        let usual = self.settings.segment_bytes - GROUPS_OFFSET;
        let lone = GROUP_HEADER_BYTES as u64 + RECORD_HEADER_BYTES as u64;
        let payload = (payload_bytes as u64).min(usual.saturating_sub(lone));
        let group = self.open.len() as u64 + RECORD_HEADER_BYTES as u64 + payload;
        // It may be sealed while another is being synced, if the settings allow that.
        let align = if self.settings.persists_max > 1 { PAGE_BYTES } else { GROUP_ALIGN };
        let in_active =
            !self.rolling && self.active.offset.next_multiple_of(align) + group <= self.active.bytes;
        in_active || (self.ready > 0 && group <= usual)
    }

    /// A segment that is prepared holds what is open: `roll` asks nothing of the disk.
    pub fn can_roll(&self) -> bool {
        self.ready > 0 && self.open.len() as u64 <= self.settings.segment_bytes - GROUPS_OFFSET
    }

    /// The next group begins a new segment, so that a snapshot lets go of whole files.
    pub fn roll(&mut self) {
        self.rolling = self.active.offset > GROUPS_OFFSET;
    }

    /// Oldest first; the last one is active.
    pub fn retained(&self) -> impl Iterator<Item = RetainedSegment> + '_ {
        self.retained.iter().copied()
    }

    /// The log has every transaction later than this: a snapshot that ends before it can't be continued.
    pub fn continuous_after(&self) -> Zxid {
        let mut segments = self.retained.iter().rev();
        let first = segments.find(|segment| !segment.linked).or(self.retained.front());
        first.expect("the active segment is always there").after
    }

    /// Lets go of the segments in which every record is `<= oldest_needed`: a durable, verified snapshot covers them.
    /// A segment goes only when the one behind it is durable.
    pub fn purge(&mut self, oldest_needed: Zxid, commands: &mut Vec<Command>) {
        while let Some(next) = self.retained.get(1)
            && next.after <= oldest_needed
            && next.segment <= self.mark.segment
        {
            let segment = self.retained.pop_front().expect("there are two").segment;
            commands.push(Command::Remove { segment });
        }
    }

    /// Last zxid handed to `append`.
    pub fn proposed_zxid(&self) -> Zxid {
        self.proposed
    }

    /// Last zxid handed to the disk.
    pub fn appended_zxid(&self) -> Zxid {
        self.appended
    }

    /// Last zxid that survives power loss.
    pub fn durable_zxid(&self) -> Zxid {
        self.durable
    }

    /// A persist is outstanding.
    pub fn in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Bytes in the open group; 0 if it is empty.
    pub fn open_bytes(&self) -> usize {
        if self.open_count == 0 { 0 } else { self.open.len() }
    }

    /// The open group is as large as one group should be: take no more until it is sealed.
    pub fn is_full(&self) -> bool {
        self.open.len() >= self.settings.group_bytes_max
    }

    /// Size and fill of the active segment, for metrics.
    pub fn active_segment(&self) -> (SegmentId, u64, u64) {
        (self.active.id, self.active.offset, self.active.bytes)
    }

    /// Where the next group begins if it stays in the active segment.
    fn group_start(&self) -> u64 {
        let align = if self.in_flight.is_empty() { GROUP_ALIGN } else { PAGE_BYTES };
        self.active.offset.next_multiple_of(align)
    }

    /// Emits the open buffer as a group of `count` records, in a new segment where need be.
    fn store(&mut self, count: u32, commands: &mut Vec<Command>) -> (Position, Bytes) {
        let group_bytes = self.open.len();
        if self.rolling || self.group_start() + group_bytes as u64 > self.active.bytes {
            self.open_segment(group_bytes as u64, commands);
        }
        let offset = self.group_start();
        let start = Position { segment: self.active.id, offset };
        let group = Group {
            salt: self.active.salt,
            start,
            bytes: (group_bytes - GROUP_HEADER_BYTES) as u64,
            mark: self.mark,
            checksum: self.checksum_before_open(),
            count,
        };
        group.encode(&mut self.open);
        // The next group is likely as large as this one.
        let mut next = Vec::with_capacity(group_bytes.next_power_of_two());
        next.extend_from_slice(&[0; GROUP_HEADER_BYTES]);
        let bytes = Bytes::from(mem::replace(&mut self.open, next));
        self.active.offset = offset + group_bytes as u64;
        assert!(self.active.offset <= self.active.bytes, "a group never passes the end of its segment");
        commands.push(Command::Append { segment: self.active.id, offset, bytes: bytes.clone() });
        (start, bytes)
    }

    /// The checksum that the first open record names, or the last one's if none is open.
    fn checksum_before_open(&self) -> u32 {
        match self.open.get(GROUP_HEADER_BYTES..) {
            Some(record) if !record.is_empty() => u32_at(record, 16),
            _ => self.checksum,
        }
    }

    fn open_segment(&mut self, group_bytes: u64, commands: &mut Vec<Command>) {
        // With nothing in flight all records are before the mark. What may lie behind it is a group of `prove`, which
        // nobody persisted: the new segment leaves it out, or it would continue what a crash can take away.
        let end = Position { segment: self.active.id, offset: self.active.offset };
        let continues = if self.in_flight.is_empty() { self.mark } else { end };
        let usual = self.settings.segment_bytes;
        let fits = GROUPS_OFFSET + group_bytes <= usual;
        let bytes = if fits { usual } else { (GROUPS_OFFSET + group_bytes).next_multiple_of(PAGE_BYTES) };
        let header = Header {
            id: self.active.id.next(),
            salt: self.salts.next(),
            after: self.appended,
            continues,
            mark: self.mark,
            checksum: self.checksum_before_open(),
            seed: self.seed,
            copied: 0,
            bytes,
        };
        commands.push(Command::Create { segment: header.id, header: header.encode(), bytes });
        self.retained.push_back(RetainedSegment { segment: header.id, after: header.after, linked: true });
        self.active = Active { id: header.id, salt: header.salt, offset: GROUPS_OFFSET, bytes };
        self.rolling = false;
        if bytes == self.settings.segment_bytes {
            self.ready -= 1;
        }
    }

    fn persist(&mut self, commands: &mut Vec<Command>) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket = Ticket(ticket.0 + 1);
        commands.push(Command::Persist { ticket });
        let end = Position { segment: self.active.id, offset: self.active.offset };
        self.in_flight.push_back(InFlight { ticket, end, last: self.appended });
        ticket
    }

    fn assert_invariants(&self) {
        assert!(self.durable <= self.appended);
        assert!(self.appended <= self.proposed);
        assert!(self.in_flight.len() <= self.settings.persists_max);
        assert!(self.mark <= Position { segment: self.active.id, offset: self.active.offset });
    }
}

#[cfg(test)]
#[path = "writer_test.rs"]
mod tests;
