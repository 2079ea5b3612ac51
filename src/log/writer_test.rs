//! The writer, by the exact commands it emits.

use super::*;
use crate::log::{Reader, Recovered, Step, recover};

fn settings() -> Settings {
    Settings {
        segment_bytes: 16 << 10,
        first_segment_bytes: 8 << 10,
        group_bytes_max: 4 << 10,
        persists_max: 1,
        salt_seed: 7,
        first_ticket: Ticket(1),
    }
}

/// A writer on an empty disk, its repair done.
fn writer_with(settings: Settings) -> (Writer, Vec<Command>) {
    let Recovered { resume, repair, .. } = recover(&settings, &[], Zxid::ZERO).expect("an empty directory");
    (Writer::new(settings, resume), repair)
}

fn writer() -> Writer {
    writer_with(settings()).0
}

fn append(writer: &mut Writer, zxid: i64, payload: &[u8]) -> EntryRange {
    writer.append(Zxid(zxid), |buffer| buffer.extend_from_slice(payload))
}

fn position(segment: u64, offset: u64) -> Position {
    Position { segment: SegmentId(segment), offset }
}

/// Bytes of a group with these payloads.
fn group_bytes(payloads: &[usize]) -> u64 {
    (GROUP_HEADER_BYTES + payloads.iter().map(|bytes| RECORD_HEADER_BYTES + bytes).sum::<usize>()) as u64
}

#[test]
fn a_blank_directory_gets_its_first_segment_at_once() {
    let (writer, repair) = writer_with(settings());
    let [Command::Create { segment, header, bytes }, Command::Persist { ticket }] = &repair[..] else {
        panic!("{repair:?}")
    };
    assert_eq!((*segment, *bytes, *ticket), (SegmentId(1), 8 << 10, Ticket(1)));
    let header = Header::decode(header, SegmentId(1)).expect("our own");
    assert_eq!((header.after, header.continues, header.copied), (Zxid::ZERO, Position::NONE, 0));
    assert_eq!(
        writer.retained().collect::<Vec<_>>(),
        [RetainedSegment { segment: SegmentId(1), after: Zxid::ZERO, linked: false }]
    );
}

#[test]
fn a_group_is_one_append_and_one_persist() {
    let mut writer = writer();
    let mut commands = Vec::new();
    assert!(writer.seal(&mut commands).is_none(), "nothing is open");
    let first = append(&mut writer, 1, b"one");
    let second = append(&mut writer, 2, b"");
    assert_eq!(writer.open_payload(first), b"one");
    assert_eq!((writer.proposed_zxid(), writer.appended_zxid()), (Zxid(2), Zxid(0)));
    let sealed = writer.seal(&mut commands).expect("two entries are open");
    assert_eq!(
        commands,
        [
            Command::Append { segment: SegmentId(1), offset: 4096, bytes: sealed.bytes.clone() },
            Command::Persist { ticket: Ticket(2) },
        ]
    );
    assert_eq!((sealed.ticket, sealed.position), (Ticket(2), position(1, 4096)));
    assert_eq!((sealed.first, sealed.last, sealed.count), (Zxid(1), Zxid(2), 2));
    assert_eq!(sealed.bytes.len() as u64, group_bytes(&[3, 0]));
    assert_eq!((&sealed.payload(first)[..], &sealed.payload(second)[..]), (&b"one"[..], &b""[..]));
    let entries: Vec<_> = sealed.entries().collect();
    assert_eq!(
        entries,
        [(Entry { zxid: Zxid(1), payload: b"one" }, first), (Entry { zxid: Zxid(2), payload: b"" }, second)]
    );
    assert_eq!((writer.appended_zxid(), writer.durable_zxid()), (Zxid(2), Zxid(0)));
    assert_eq!(writer.open_bytes(), 0);
}

#[test]
fn one_group_collects_while_the_other_is_persisted() {
    let mut writer = writer();
    let mut commands = Vec::new();
    append(&mut writer, 1, b"a");
    writer.seal(&mut commands).expect("open");
    append(&mut writer, 2, b"b");
    commands.clear();
    assert!(writer.in_flight());
    assert!(writer.seal(&mut commands).is_none() && commands.is_empty(), "the disk is busy");
    assert_eq!(writer.on_durable(Ticket(2)), Zxid(1));
    assert_eq!(writer.durable_zxid(), Zxid(1));
    let sealed = writer.seal(&mut commands).expect("the disk is free");
    let offset = (4096 + group_bytes(&[1])).next_multiple_of(8);
    assert_eq!(sealed.position, position(1, offset));
    assert_eq!(
        commands,
        [
            Command::Append { segment: SegmentId(1), offset, bytes: sealed.bytes },
            Command::Persist { ticket: Ticket(3) },
        ]
    );
    assert_eq!(writer.on_durable(Ticket(3)), Zxid(2));
    assert!(!writer.in_flight());
}

#[test]
fn a_group_names_what_was_durable_when_it_was_sealed() {
    let mut writer = writer();
    let mut commands = Vec::new();
    let mut marks = Vec::new();
    let mut ends = vec![position(1, 4096)];
    for zxid in 1..=3 {
        append(&mut writer, zxid, &[b'x'; 100]);
        let sealed = writer.seal(&mut commands).expect("open");
        marks.push(position(u64_at(&sealed.bytes, 40), u64_at(&sealed.bytes, 48)));
        ends.push(position(1, sealed.position.offset + sealed.bytes.len() as u64));
        writer.on_durable(sealed.ticket);
    }
    assert_eq!(marks, ends[..3]);
}

#[test]
fn groups_sealed_during_a_persist_begin_on_a_page_of_their_own() {
    let (mut writer, _) =
        writer_with(Settings { persists_max: 2, first_segment_bytes: 64 << 10, ..settings() });
    let mut commands = Vec::new();
    append(&mut writer, 1, b"a");
    let first = writer.seal(&mut commands).expect("open");
    append(&mut writer, 2, b"b");
    let second = writer.seal(&mut commands).expect("one more may be outstanding");
    assert_eq!(second.position, position(1, 8192));
    append(&mut writer, 3, b"c");
    assert!(writer.seal(&mut commands).is_none(), "two are outstanding");
    assert_eq!(writer.on_durable(second.ticket), Zxid(2), "a persist covers those before it");
    assert!(!writer.in_flight());
    let third = writer.seal(&mut commands).expect("the disk is free");
    assert_eq!(third.position, position(1, (8192 + group_bytes(&[1])).next_multiple_of(8)));
    assert!(first.ticket < second.ticket && second.ticket < third.ticket);
}

#[test]
fn a_group_that_does_not_fit_opens_the_next_segment() {
    let mut writer = writer();
    let mut commands = Vec::new();
    append(&mut writer, 1, &[1; 3000]);
    let first = writer.seal(&mut commands).expect("open");
    writer.on_durable(first.ticket);
    commands.clear();
    append(&mut writer, 2, &[2; 3000]);
    let second = writer.seal(&mut commands).expect("open");
    let [Command::Create { segment, header, bytes }, Command::Append { .. }, Command::Persist { .. }] =
        &commands[..]
    else {
        panic!("{commands:?}")
    };
    assert_eq!((*segment, *bytes), (SegmentId(2), 16 << 10));
    let end = position(1, 4096 + group_bytes(&[3000]));
    let header = Header::decode(header, SegmentId(2)).expect("our own");
    assert_eq!((header.after, header.continues, header.mark), (Zxid(1), end, end));
    assert_eq!(header.checksum, u32_at(&first.bytes, GROUP_HEADER_BYTES), "of the last record before");
    assert_eq!(second.position, position(2, 4096));
    assert_eq!(writer.active_segment(), (SegmentId(2), 4096 + second.bytes.len() as u64, 16 << 10));
}

#[test]
fn a_group_that_fills_a_segment_to_the_last_byte_stays() {
    let mut writer = writer();
    let mut commands = Vec::new();
    append(&mut writer, 1, &vec![1; 4096 - GROUP_HEADER_BYTES - RECORD_HEADER_BYTES]);
    assert_eq!(writer.seal(&mut commands).expect("open").position, position(1, 4096));
    assert_eq!(writer.active_segment(), (SegmentId(1), 8192, 8192));
}

#[test]
fn a_group_larger_than_a_segment_gets_one_of_its_size() {
    let mut writer = writer();
    let mut commands = Vec::new();
    append(&mut writer, 1, &[1; 100_000]);
    let sealed = writer.seal(&mut commands).expect("open");
    let bytes = (4096 + group_bytes(&[100_000])).next_multiple_of(4096);
    assert!(matches!(commands[0], Command::Create { segment: SegmentId(2), bytes: b, .. } if b == bytes));
    assert_eq!(sealed.position, position(2, 4096));
}

#[test]
fn roll_begins_a_segment_with_the_next_group_and_only_once() {
    let mut writer = writer();
    let mut commands = Vec::new();
    writer.roll();
    append(&mut writer, 1, b"a");
    let sealed = writer.seal(&mut commands).expect("open");
    assert_eq!(sealed.position, position(1, 4096), "an unused segment is not replaced");
    writer.on_durable(sealed.ticket);
    writer.roll();
    for (zxid, expected) in
        [(2, position(2, 4096)), (3, position(2, (4096 + group_bytes(&[1])).next_multiple_of(8)))]
    {
        append(&mut writer, zxid, b"b");
        let sealed = writer.seal(&mut commands).expect("open");
        assert_eq!(sealed.position, expected);
        writer.on_durable(sealed.ticket);
    }
}

#[test]
fn purge_removes_whole_segments_whose_successor_is_durable() {
    let mut writer = writer();
    let mut commands = Vec::new();
    for zxid in 1..=4 {
        append(&mut writer, zxid, b"x");
        let sealed = writer.seal(&mut commands).expect("open");
        writer.roll();
        if zxid < 4 {
            writer.on_durable(sealed.ticket);
        }
    }
    let after: Vec<_> = writer.retained().map(|r| (r.segment.0, r.after.0, r.linked)).collect();
    assert_eq!(after, [(1, 0, false), (2, 1, true), (3, 2, true), (4, 3, true)]);
    commands.clear();
    writer.purge(Zxid(0), &mut commands);
    assert_eq!(commands, []);
    writer.purge(Zxid(2), &mut commands);
    assert_eq!(
        commands,
        [Command::Remove { segment: SegmentId(1) }, Command::Remove { segment: SegmentId(2) }]
    );
    assert_eq!(writer.continuous_after(), Zxid(2));
    commands.clear();
    writer.purge(Zxid(4), &mut commands);
    assert_eq!(commands, [], "segment 4 is not durable yet");
    writer.on_durable(Ticket(5));
    writer.purge(Zxid(4), &mut commands);
    assert_eq!(commands, [Command::Remove { segment: SegmentId(3) }], "the active one stays");
    assert_eq!(writer.continuous_after(), Zxid(3));
}

#[test]
fn finish_persists_a_mark_that_covers_everything() {
    let mut writer = writer();
    let mut commands = Vec::new();
    append(&mut writer, 1, b"a");
    assert_eq!(writer.finish(&mut commands), None, "entries are open");
    let sealed = writer.seal(&mut commands).expect("open");
    assert_eq!(writer.finish(&mut commands), None, "a persist is outstanding");
    writer.on_durable(sealed.ticket);
    commands.clear();
    let ticket = writer.finish(&mut commands).expect("idle");
    let [Command::Append { segment: SegmentId(1), offset, bytes }, Command::Persist { ticket: persisted }] =
        &commands[..]
    else {
        panic!("{commands:?}")
    };
    let end = 4096 + group_bytes(&[1]);
    assert_eq!((ticket, *persisted, *offset), (Ticket(3), Ticket(3), end.next_multiple_of(8)));
    assert_eq!(bytes.len(), GROUP_HEADER_BYTES);
    assert_eq!(position(u64_at(bytes, 40), u64_at(bytes, 48)), position(1, end));
    assert_eq!(writer.on_durable(ticket), Zxid(1));
}

#[test]
fn prove_writes_one_mark_for_each_idle_spell() {
    let mut writer = writer();
    let mut commands = Vec::new();
    append(&mut writer, 1, b"a");
    assert!(!writer.prove(&mut commands), "entries are open");
    let sealed = writer.seal(&mut commands).expect("open");
    assert!(!writer.prove(&mut commands), "a persist is outstanding");
    writer.on_durable(sealed.ticket);
    commands.clear();
    assert!(writer.prove(&mut commands));
    assert!(!writer.prove(&mut commands), "it stands there already");
    assert!(matches!(&commands[..], [Command::Append { bytes, .. }] if bytes.len() == GROUP_HEADER_BYTES));
    append(&mut writer, 2, b"b");
    let sealed = writer.seal(&mut commands).expect("open");
    writer.on_durable(sealed.ticket);
    assert!(writer.prove(&mut commands));
}

#[test]
fn a_segment_never_continues_a_group_that_only_carries_a_mark() {
    let mut writer = writer();
    let mut commands = Vec::new();
    append(&mut writer, 1, b"a");
    let sealed = writer.seal(&mut commands).expect("open");
    writer.on_durable(sealed.ticket);
    assert!(writer.prove(&mut commands));
    writer.roll();
    append(&mut writer, 2, b"b");
    commands.clear();
    writer.seal(&mut commands).expect("open");
    let Command::Create { segment, header, .. } = &commands[0] else { panic!("{commands:?}") };
    let header = Header::decode(header, *segment).expect("our own");
    let end = position(1, 4096 + group_bytes(&[1]));
    assert_eq!(
        (header.continues, header.mark),
        (end, end),
        "a crash may take the mark, not the segment before it"
    );
}

#[test]
fn the_open_group_says_when_it_is_full() {
    let mut writer = writer();
    append(&mut writer, 1, &[0; 2000]);
    assert!(!writer.is_full());
    append(&mut writer, 2, &[0; 3000]);
    assert!(writer.is_full());
    writer.seal(&mut Vec::new()).expect("open");
    assert!(!writer.is_full());
}

#[test]
fn what_was_sealed_reads_back_from_the_segment() {
    let mut writer = writer();
    let (mut image, mut header, mut commands) = (vec![0; 16 << 10], None, Vec::new());
    writer.append(Zxid(1), |buffer| buffer.extend_from_slice(b"in the first segment"));
    let sealed = writer.seal(&mut commands).expect("open");
    writer.on_durable(sealed.ticket);
    writer.roll();
    commands.clear();
    for zxid in 2..40 {
        append(&mut writer, zxid, &vec![zxid as u8; zxid as usize]);
        if zxid % 3 == 0 {
            let sealed = writer.seal(&mut commands).expect("open");
            writer.on_durable(sealed.ticket);
        }
    }
    for command in &commands {
        match command {
            Command::Create { segment, header: bytes, .. } => header = Header::decode(bytes, *segment).ok(),
            Command::Append { offset, bytes, .. } => {
                image[*offset as usize..*offset as usize + bytes.len()].copy_from_slice(bytes);
            }
            Command::Persist { .. } | Command::Remove { .. } => {}
        }
    }
    let mut reader = Reader::new(&image, header.expect("one was made"), u64::MAX);
    let mut zxids = Vec::new();
    let why = loop {
        match reader.step() {
            Step::Entry(entry) => {
                assert_eq!(entry.payload, vec![entry.zxid.0 as u8; entry.zxid.0 as usize]);
                zxids.push(entry.zxid.0);
            }
            Step::Group => {}
            Step::Done => panic!("there is no limit"),
            Step::Broken { why, .. } => break why,
        }
    };
    assert_eq!(zxids, (2..40).collect::<Vec<_>>());
    assert_eq!(why, "no group begins here");
}

#[test]
#[should_panic(expected = "zxid 0x5 after 0x5")]
fn a_zxid_that_does_not_rise_is_our_mistake() {
    let mut writer = writer();
    append(&mut writer, 5, b"a");
    append(&mut writer, 5, b"b");
}

#[test]
#[should_panic(expected = "no persist with Ticket(9) is outstanding")]
fn a_ticket_nobody_gave_is_our_mistake() {
    writer().on_durable(Ticket(9));
}
