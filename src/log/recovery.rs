//! What survived in the segment files, where it ends, and the repair that makes it safe to go on.
//!
//! Called by the driver before it opens its port, with every segment file mapped; again when a follower's log is cut by
//! TRUNC or overtaken by SNAP. Takes bytes, gives entries and commands; touches no file.
//!
//! **Lineage.** The newest segment says what it continues, that one what *it* continues, and so on back to the snapshot.
//! What lies behind the point where a segment is continued is superseded. A file off this line is dead.
//!
//! **Where it ends.** Along the line every record must follow its predecessor. Where that stops, at *p*, the question is
//! whether more was durable once. Groups and headers name the mark that was durable when they were made; if any of them,
//! also beyond the break, names a mark behind *p*, acknowledged transactions are missing: [`Fault`], with file and offset. If
//! none does, nothing proves that the rest was ever acknowledged: a torn tail, cut at *p*. Damage to the very last group can't
//! be told from a torn tail, unless `Writer::prove` or `Writer::finish` has put a mark behind it.
//!
//! **The repair.** Records behind the last mark may have been read from a page cache which the disk never saw (a failed
//! sync leaves such pages, marked clean). So they are copied into a new segment, as one group, and persisted before
//! anything is acknowledged. The crash-safe order is:
//! 1. `Create` the new segment; its header says that it continues at the mark and how long the copy is.
//! 2. `Append` the copy. 3. `Persist`. Until here a crash leaves the originals in force: a new segment whose
//!    header or copy is not whole counts as not made, and its number is passed over.
//! 4. After the persist, `Remove` what is superseded as a whole, in any order, late or never: the line no longer
//!    leads there. The end of the segment that holds the mark stays as it is; nobody reads it again.
//!
//! Once a recovery from a snapshot is repaired, an older snapshot still does if all before the first segment on the line was
//! durable when that was made: always, with one persist outstanding. With more, it may then be refused.
//!
//! Limits: an [`Entry`] is 24 bytes here, so ten million behind one snapshot cost 240 MB while the server starts.
//! Tested: `recovery_test.rs` (one test per rule), `crash_test.rs` (crashes everywhere, also within repairs).

use std::collections::VecDeque;

use super::Command;
use super::entry::{
    Entry, GROUP_HEADER_BYTES, Group, PAGE_BYTES, RECORD_HEADER_BYTES, Reader, Step, finish_record,
    greatest_mark,
};
use super::fault::Fault;
use super::segment::{GROUPS_OFFSET, Header, HeaderFault, Position, SegmentId};
use super::writer::{Active, Resume, RetainedSegment, Settings};
use crate::base::{Prng, Ticket, Zxid};

/// One segment file, as found. No number may come twice.
#[derive(Clone, Copy, Debug)]
pub struct SegmentImage<'a> {
    pub id: SegmentId,
    /// All of it; may be shorter than it was made, or empty.
    pub bytes: &'a [u8],
}

/// What the log remembers.
#[derive(Debug)]
pub struct Recovered<'a> {
    /// All entries later than the snapshot, in order, each verified.
    pub entries: Vec<Entry<'a>>,
    /// The last zxid logged; the snapshot's if the log ends before it.
    pub last_zxid: Zxid,
    /// To be carried out at once, before anything is acknowledged or voted.
    pub repair: Vec<Command>,
    /// The ticket in `repair`. `resume` holds once it has come back.
    pub repaired: Ticket,
    /// To be carried out after that. Only frees space.
    pub cleanup: Vec<Command>,
    /// For `Writer::new`.
    pub resume: Resume,
    /// What was dropped at the end, if there was something.
    pub cut: Option<Cut>,
}

/// A torn tail. Normal after a crash; worth a line in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the log ends now.
    pub end: Position,
    pub why: &'static str,
}

/// Reads the log behind a snapshot.
///
/// `snapshot`: zxid at which the snapshot that was loaded ends; `Zxid::ZERO` without one.
pub fn recover<'a>(
    settings: &Settings,
    images: &[SegmentImage<'a>],
    snapshot: Zxid,
) -> Result<Recovered<'a>, Fault> {
    recover_until(settings, images, snapshot, Zxid(i64::MAX))
}

/// As [`recover`], but drops every entry later than `to`: what a leader's TRUNC asks for. Carrying out the repair makes it
/// so; a crash before its persist leaves the log as it was.
pub fn truncate<'a>(
    settings: &Settings,
    images: &[SegmentImage<'a>],
    snapshot: Zxid,
    to: Zxid,
) -> Result<Recovered<'a>, Fault> {
    if to < snapshot {
        return Err(Fault::TruncatedBelowSnapshot { snapshot, to });
    }
    recover_until(settings, images, snapshot, to)
}

/// Begins the log anew behind a snapshot that came from a leader. What the segments hold may be another history than the
/// snapshot's, below its zxid as well as above: none of it is read, and all of it goes. Carrying out the repair makes it so.
pub fn overtake<'a>(
    settings: &Settings,
    images: &[SegmentImage<'a>],
    snapshot: Zxid,
) -> Result<Recovered<'a>, Fault> {
    settings.assert_sound();
    let segments = open(images)?;
    let base = Boundary { position: Position::NONE, zxid: snapshot, checksum: 0 };
    let walked = Walked { entries: vec![], base, tail: vec![], end: base, cut: None, damage: None };
    Ok(repair(settings, &segments, SegmentId(0), walked))
}

fn recover_until<'a>(
    settings: &Settings,
    images: &[SegmentImage<'a>],
    snapshot: Zxid,
    to: Zxid,
) -> Result<Recovered<'a>, Fault> {
    settings.assert_sound();
    let segments = open(images)?;
    let (line, mut walked) = read(&segments, snapshot, to)?;
    if let Some(fault) = walked.damage.take() {
        return Err(fault);
    }
    let keep = match line.first() {
        None => SegmentId(0),
        Some(_) if walked.end.zxid < snapshot => walked.end.position.segment,
        Some(first) if walked.base.position == Position::NONE => SegmentId(segments[*first].id.0 - 1),
        Some(_) => walked.base.position.segment,
    };
    if walked.end.zxid < snapshot {
        // The snapshot holds more than the log: it came from a leader, or the end of the log was not persisted in time.
        // What comes next doesn't follow these records and must never be replayed behind them: a start of its own.
        walked.base = Boundary { position: Position::NONE, zxid: snapshot, checksum: 0 };
        walked.tail.clear();
    }
    Ok(repair(settings, &segments, keep, walked))
}

/// The segments in force, as indices, and what stands in them.
pub(super) fn read<'a>(
    segments: &[Segment<'a>],
    snapshot: Zxid,
    to: Zxid,
) -> Result<(Vec<usize>, Walked<'a>), Fault> {
    let (line, dropped) = follow(segments, snapshot)?;
    let mut walked = walk(segments, &line, snapshot, to)?;
    walked.cut = walked.cut.or(dropped.map(|why| Cut { end: walked.end.position, why }));
    Ok((line, walked))
}

pub(super) struct Segment<'a> {
    id: SegmentId,
    image: &'a [u8],
    header: Result<Header, HeaderFault>,
}

impl<'a> Segment<'a> {
    /// The header, if the segment counts as made: then also the copies in it are whole. Else where it breaks.
    fn made(&self) -> Result<Header, (Position, &'static str)> {
        let header = match self.header {
            Ok(header) => header,
            Err(fault) => {
                let why = match fault {
                    HeaderFault::Short => "the file is too short for a header",
                    HeaderFault::Damaged => "its header is damaged or was never written",
                    HeaderFault::OtherSegment(_) => "it holds an older segment: its header was never written",
                    HeaderFault::Newer { .. } => "its format is newer",
                };
                return Err((Position { segment: self.id, offset: 0 }, why));
            }
        };
        if header.copied > 0 {
            let end = (GROUPS_OFFSET + GROUP_HEADER_BYTES as u64).saturating_add(header.copied);
            let mut reader = Reader::new(self.image, header, end);
            loop {
                match reader.step() {
                    Step::Entry(_) | Step::Group => {}
                    Step::Done => break,
                    Step::Broken { why, .. } => {
                        return Err((Position { segment: self.id, offset: GROUPS_OFFSET }, why));
                    }
                }
            }
        }
        Ok(header)
    }
}

/// Oldest first.
pub(super) fn open<'a>(images: &[SegmentImage<'a>]) -> Result<Vec<Segment<'a>>, Fault> {
    let mut segments: Vec<Segment<'a>> = images
        .iter()
        .map(|image| Segment {
            id: image.id,
            image: image.bytes,
            header: Header::decode(image.bytes, image.id),
        })
        .collect();
    segments.sort_by_key(|segment| segment.id);
    assert!(segments.windows(2).all(|pair| pair[0].id < pair[1].id), "a directory holds a name once");
    for segment in &segments {
        if let Err(HeaderFault::Newer { version }) = segment.header {
            return Err(Fault::Newer { segment: segment.id, version });
        }
    }
    Ok(segments)
}

/// Greatest mark that these segments name, if it lies behind `at`; and who names it. The first segment is that of `at`, or, if its file is
/// missing, the next one.
fn proof(segments: &[Segment<'_>], at: Position) -> Option<(Position, Position)> {
    let mut greatest = (Position::NONE, Position::NONE);
    for segment in segments {
        let from = if segment.id == at.segment { at.offset } else { 0 };
        let salt = segment.header.ok().map(|header| header.salt);
        let in_header =
            segment.header.ok().map(|header| (header.mark, Position { segment: segment.id, offset: 0 }));
        let in_groups = greatest_mark(segment.image, segment.id, salt, from);
        for found in in_header.into_iter().chain(in_groups) {
            if found.0 > greatest.0 {
                greatest = found;
            }
        }
    }
    (greatest.0 > at).then_some(greatest)
}

/// The segments in force behind the snapshot, oldest first, as indices; and why later ones don't count.
fn follow(segments: &[Segment<'_>], snapshot: Zxid) -> Result<(Vec<usize>, Option<&'static str>), Fault> {
    let mut candidates = segments.len();
    let mut dropped = None;
    'head: while candidates > 0 {
        let mut line = Vec::new();
        let mut index = candidates - 1;
        loop {
            let header = match segments[index].made() {
                Ok(header) => header,
                Err((at, why)) => {
                    if let Some((mark, named_by)) = proof(&segments[index..], at) {
                        return Err(Fault::Damaged { at, why, mark, named_by });
                    }
                    dropped = Some(why);
                    candidates = index;
                    continue 'head;
                }
            };
            line.push(index);
            let before = header.continues.segment;
            let found = segments.binary_search_by_key(&before, |segment| segment.id);
            if header.after <= snapshot {
                line.reverse();
                return Ok((line, dropped));
            }
            if header.continues == Position::NONE {
                return Err(Fault::Gap { snapshot, segment: header.id, after: header.after });
            }
            match found {
                Ok(found) => index = found,
                Err(place) => {
                    if proof(&segments[place..], Position { segment: before, offset: 0 }).is_some() {
                        return Err(Fault::Missing { segment: before, needed_by: header.id, snapshot });
                    }
                    dropped = Some("the file before it is missing and was never durable");
                    candidates = index;
                    continue 'head;
                }
            }
        }
    }
    Ok((Vec::new(), dropped))
}

/// A place where a segment may continue the log, and what it then follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boundary {
    position: Position,
    zxid: Zxid,
    checksum: u32,
}

#[derive(Debug)]
pub(super) struct Walked<'a> {
    /// Later than the snapshot.
    pub entries: Vec<Entry<'a>>,
    /// The last mark.
    base: Boundary,
    /// Behind it, whatever the snapshot covers: what the new segment has to begin with.
    tail: Vec<Entry<'a>>,
    end: Boundary,
    pub cut: Option<Cut>,
    /// Why there is no more, if more was durable once.
    pub damage: Option<Fault>,
}

/// What has been read and no mark covers so far.
struct Unproven<'a> {
    base: Boundary,
    behind: VecDeque<(Boundary, Option<Entry<'a>>)>,
}

impl<'a> Unproven<'a> {
    fn push(&mut self, segment: SegmentId, reader: &Reader<'a>, entry: Option<Entry<'a>>) {
        let position = Position { segment, offset: reader.offset() };
        let boundary = Boundary { position, zxid: reader.zxid(), checksum: reader.checksum() };
        self.behind.push_back((boundary, entry));
    }

    fn prove(&mut self, mark: Position) {
        while let Some((boundary, _)) = self.behind.front()
            && boundary.position <= mark
        {
            self.base = *boundary;
            self.behind.pop_front();
        }
    }
}

/// Reads the line up to its end or to the last entry `<= to`.
fn walk<'a>(segments: &[Segment<'a>], line: &[usize], snapshot: Zxid, to: Zxid) -> Result<Walked<'a>, Fault> {
    let start = match line.first() {
        None => Boundary { position: Position::NONE, zxid: snapshot, checksum: 0 },
        Some(first) => {
            let header = header_on_line(&segments[*first]);
            Boundary { position: header.continues, zxid: header.after, checksum: header.checksum }
        }
    };
    let mut entries = Vec::new();
    let mut unproven = Unproven { base: start, behind: VecDeque::new() };
    let mut end = start;
    let (mut cut, mut damage) = (None, None);
    'line: for (place, index) in line.iter().enumerate() {
        let segment = &segments[*index];
        let header = header_on_line(segment);
        if header.checksum != end.checksum || header.after != end.zxid {
            return Err(Fault::Foreign { segment: segment.id, continues: header.continues });
        }
        let next = line.get(place + 1);
        let limit = next.map_or(u64::MAX, |next| header_on_line(&segments[*next]).continues.offset);
        let mut reader = Reader::new(segment.image, header, limit);
        unproven.push(segment.id, &reader, None);
        unproven.prove(header.mark);
        loop {
            let step = reader.step();
            let entry = match step {
                Step::Entry(entry) => Some(entry),
                Step::Group => None,
                Step::Done => break,
                Step::Broken { offset, why } => {
                    if let Some(next) = next
                        && offset > limit
                    {
                        // No tear does that: the next segment was made for another log than this.
                        let Segment { id, .. } = segments[*next];
                        let continues = Position { segment: segment.id, offset: limit };
                        return Err(Fault::Foreign { segment: id, continues });
                    }
                    let at = Position { segment: segment.id, offset };
                    let found = proof(&segments[*index..], at);
                    if let Some((mark, named_by)) = found {
                        damage = Some(Fault::Damaged { at, why, mark, named_by });
                    } else if next.is_some() || reader.in_group() {
                        cut = Some(Cut { end: at, why });
                    }
                    break 'line;
                }
            };
            if entry.is_some_and(|entry| entry.zxid > to) {
                break 'line;
            }
            unproven.push(segment.id, &reader, entry);
            unproven.prove(reader.mark());
            entries.extend(entry.filter(|entry| entry.zxid > snapshot));
            let position = Position { segment: segment.id, offset: reader.offset() };
            end = Boundary { position, zxid: reader.zxid(), checksum: reader.checksum() };
        }
    }
    let base = without_empty_segments(segments, unproven.base);
    let tail = unproven.behind.into_iter().filter_map(|(_, entry)| entry).collect();
    Ok(Walked { entries, base, tail, end, cut, damage })
}

fn header_on_line(segment: &Segment<'_>) -> Header {
    segment.header.expect("`follow` takes only segments with a header")
}

/// The same point of the log, named in the segment that holds the last record before it: so a segment without records is
/// superseded, and a server that starts again and again doesn't collect them.
fn without_empty_segments(segments: &[Segment<'_>], mut base: Boundary) -> Boundary {
    while let Ok(index) = segments.binary_search_by_key(&base.position.segment, |segment| segment.id)
        && let Ok(header) = segments[index].header
        && header.after == base.zxid
    {
        base.position = header.continues;
    }
    base
}

fn repair<'a>(
    settings: &Settings,
    segments: &[Segment<'a>],
    keep: SegmentId,
    walked: Walked<'a>,
) -> Recovered<'a> {
    let Walked { entries, base, tail, cut, .. } = walked;
    let mut salts = Prng::salted(settings.salt_seed, "log segments");
    let id = segments.last().map_or(SegmentId(1), |newest| newest.id.next());
    let (salt, seed) = (salts.next(), salts.next() as u32);

    let mut copy = vec![0; GROUP_HEADER_BYTES];
    let (mut zxid, mut checksum) = (base.zxid, base.checksum);
    for entry in &tail {
        assert!(entry.zxid > zxid, "the reader checked it");
        let start = copy.len();
        copy.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        copy.extend_from_slice(entry.payload);
        checksum = finish_record(&mut copy, start, entry.zxid, checksum, seed);
        zxid = entry.zxid;
    }
    let copied = (copy.len() - GROUP_HEADER_BYTES) as u64;
    let stored = if copied > 0 { copy.len() as u64 } else { 0 };
    let bytes = settings.first_segment_bytes.max((GROUPS_OFFSET + stored).next_multiple_of(PAGE_BYTES));
    let header = Header {
        id,
        salt,
        after: base.zxid,
        continues: base.position,
        mark: base.position,
        checksum: base.checksum,
        seed,
        copied,
        bytes,
    };
    let mut commands = vec![Command::Create { segment: id, header: header.encode(), bytes }];
    if copied > 0 {
        let start = Position { segment: id, offset: GROUPS_OFFSET };
        let count = u32::try_from(tail.len()).expect("records of a few groups, each of 20 bytes at least");
        let group = Group { salt, start, bytes: copied, mark: base.position, checksum: base.checksum, count };
        group.encode(&mut copy);
        commands.push(Command::Append { segment: id, offset: GROUPS_OFFSET, bytes: copy.into() });
    }
    commands.push(Command::Persist { ticket: settings.first_ticket });

    let cleanup = segments.iter().filter(|segment| segment.id > keep);
    let cleanup = cleanup.map(|segment| Command::Remove { segment: segment.id }).collect();
    let offset = GROUPS_OFFSET + stored;
    let resume = Resume {
        active: Active { id, salt, offset, bytes },
        mark: Position { segment: id, offset },
        zxid,
        checksum,
        seed,
        salts,
        next_ticket: Ticket(settings.first_ticket.0 + 1),
        retained: retained(segments, keep, &header),
    };
    Recovered {
        entries,
        last_zxid: zxid,
        repair: commands,
        repaired: settings.first_ticket,
        cleanup,
        resume,
        cut,
    }
}

/// The files that stay, with the new one.
fn retained(segments: &[Segment<'_>], keep: SegmentId, newest: &Header) -> VecDeque<RetainedSegment> {
    let mut retained = VecDeque::new();
    let mut add = |segment: SegmentId, header: Option<&Header>| {
        // A file older than the line may be damaged without harm; it goes when the one behind it may go.
        let after = header.map_or(newest.after, |header| header.after);
        let continues = header.map_or(Position::NONE, |header| header.continues);
        let before: Option<&RetainedSegment> = retained.back();
        let linked = continues != Position::NONE && before.map(|b| b.segment) == Some(continues.segment);
        retained.push_back(RetainedSegment { segment, after, linked });
    };
    for segment in segments.iter().filter(|segment| segment.id <= keep) {
        add(segment.id, segment.header.as_ref().ok());
    }
    add(newest.id, Some(newest));
    retained
}

#[cfg(test)]
#[path = "recovery_test.rs"]
mod tests;

#[cfg(test)]
#[path = "damage_test.rs"]
mod damage_tests;
