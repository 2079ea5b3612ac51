//! One test for each rule of recovery, on logs that the writer made and a disk that does as it is told.

use super::*;
use crate::log::model_disk::ModelDisk;
use crate::log::{Writer, look};

pub(super) const SETTINGS: Settings = Settings {
    segment_bytes: 8192,
    first_segment_bytes: 8192,
    group_bytes_max: 4096,
    persists_max: 1,
    salt_seed: 1,
    first_ticket: Ticket(1),
};

/// A server's log with nothing in flight between two calls.
pub(super) struct Log {
    pub disk: ModelDisk,
    pub writer: Writer,
    pub settings: Settings,
    /// Zxids rise by one from 1.
    pub history: Vec<Vec<u8>>,
    /// Where each group lies that was sealed, with the entries before it.
    pub groups: Vec<(Position, u64, usize)>,
    prng: Prng,
}

impl Log {
    pub fn new() -> Log {
        let mut disk = ModelDisk::new(false);
        let writer = start(&mut disk, &SETTINGS, Zxid::ZERO).expect("nothing is wrong with no log");
        let prng = Prng::salted(1, "recovery test");
        Log { disk, writer, settings: SETTINGS, history: Vec::new(), groups: Vec::new(), prng }
    }

    /// One group, made durable.
    pub fn group(&mut self, payloads: &[usize]) -> Position {
        let before = self.history.len();
        for bytes in payloads {
            let payload: Vec<u8> = (0..*bytes).map(|_| self.prng.next() as u8).collect();
            self.writer
                .append(self.writer.proposed_zxid().next(), |buffer| buffer.extend_from_slice(&payload));
            self.history.push(payload);
        }
        let mut commands = Vec::new();
        let sealed = self.writer.seal(&mut commands).expect("entries are open");
        carry_out(&mut self.disk, &commands);
        self.writer.on_durable(self.disk.complete());
        self.groups.push((sealed.position, sealed.bytes.len() as u64, before));
        sealed.position
    }

    pub fn groups(mut self, count: usize) -> Log {
        for _ in 0..count {
            self.group(&[40, 200]);
        }
        self
    }

    pub fn roll(&mut self) {
        self.writer.roll();
    }

    pub fn finish(&mut self) {
        let mut commands = Vec::new();
        self.writer.finish(&mut commands).expect("idle");
        carry_out(&mut self.disk, &commands);
        self.writer.on_durable(self.disk.complete());
    }

    pub fn prove(&mut self) {
        let mut commands = Vec::new();
        assert!(self.writer.prove(&mut commands));
        carry_out(&mut self.disk, &commands);
    }

    pub fn restart(&mut self) {
        self.disk.kill();
        self.settings.salt_seed += 1;
        self.writer = start(&mut self.disk, &self.settings, Zxid::ZERO).expect("the log is whole");
        assert_eq!(self.writer.durable_zxid(), Zxid(self.history.len() as i64));
    }

    pub fn recover(&self) -> Result<usize, Fault> {
        self.recover_behind(Zxid::ZERO)
    }

    /// How many entries are there; asserts that they are the first of those appended.
    pub fn recover_behind(&self, snapshot: Zxid) -> Result<usize, Fault> {
        let settings = Settings { salt_seed: 99, ..self.settings };
        let images = self.disk.images();
        let recovered = recover(&settings, &images, snapshot)?;
        for (index, entry) in recovered.entries.iter().enumerate() {
            let index = index + snapshot.0 as usize;
            assert_eq!(entry.zxid, Zxid(index as i64 + 1));
            assert!(entry.payload == self.history[index], "other bytes in {}", entry.zxid);
        }
        Ok(snapshot.0 as usize + recovered.entries.len())
    }

    pub fn damage(&mut self, segment: u64, offset: u64) {
        self.disk.bytes_mut(SegmentId(segment))[offset as usize] ^= 0x10;
    }
}

fn carry_out(disk: &mut ModelDisk, commands: &[Command]) {
    for command in commands {
        disk.carry_out(command);
    }
}

fn start(disk: &mut ModelDisk, settings: &Settings, snapshot: Zxid) -> Result<Writer, Fault> {
    let images = disk.images();
    let recovered = recover(settings, &images, snapshot)?;
    Ok(carry_through(recovered.repair, recovered.cleanup, recovered.resume, disk, settings))
}

fn carry_through(
    repair: Vec<Command>,
    cleanup: Vec<Command>,
    resume: Resume,
    disk: &mut ModelDisk,
    settings: &Settings,
) -> Writer {
    carry_out(disk, &repair);
    disk.complete();
    carry_out(disk, &cleanup);
    Writer::new(*settings, resume)
}

pub(super) fn position(segment: u64, offset: u64) -> Position {
    Position { segment: SegmentId(segment), offset }
}

#[test]
fn the_tail_that_nothing_proves_is_copied_into_a_new_segment() {
    let mut log = Log::new().groups(1);
    let mark = log.groups[0].0.offset + log.groups[0].1;
    let last = log.group(&[10, 20]);
    let images = log.disk.images();
    let recovered = recover(&SETTINGS, &images, Zxid::ZERO).expect("whole");
    assert_eq!((recovered.entries.len(), recovered.last_zxid, recovered.cut), (4, Zxid(4), None));
    let [
        Command::Create { segment, header, .. },
        Command::Append { offset, bytes, .. },
        Command::Persist { ticket },
    ] = &recovered.repair[..]
    else {
        panic!("{:?}", recovered.repair)
    };
    assert_eq!((*segment, *offset, *ticket, recovered.repaired), (SegmentId(2), 4096, Ticket(1), Ticket(1)));
    let header = Header::decode(header, *segment).expect("our own");
    assert_eq!(
        (header.after, header.continues, header.mark),
        (Zxid(2), position(1, mark), position(1, mark))
    );
    assert!(mark <= last.offset);
    assert_eq!(header.copied, 10 + 20 + 2 * RECORD_HEADER_BYTES as u64);
    assert_eq!(bytes.len() as u64, header.copied + GROUP_HEADER_BYTES as u64);
    assert_eq!(recovered.cleanup, [], "the first segment is still needed");
}

#[test]
fn after_a_clean_stop_nothing_has_to_be_copied() {
    let mut log = Log::new().groups(3);
    log.finish();
    let images = log.disk.images();
    let recovered = recover(&SETTINGS, &images, Zxid::ZERO).expect("whole");
    assert_eq!((recovered.entries.len(), recovered.cut), (6, None));
    assert!(matches!(&recovered.repair[..], [Command::Create { .. }, Command::Persist { .. }]));
}

#[test]
fn only_entries_behind_the_snapshot_are_handed_out() {
    let mut log = Log::new();
    for _ in 0..6 {
        log.group(&[1000, 100]);
    }
    assert!(log.disk.names().len() > 1);
    for snapshot in 0..=12 {
        let images = log.disk.images();
        let recovered = recover(&SETTINGS, &images, Zxid(snapshot)).expect("whole");
        let zxids: Vec<i64> = recovered.entries.iter().map(|entry| entry.zxid.0).collect();
        assert_eq!(zxids, (snapshot + 1..=12).collect::<Vec<_>>());
        assert_eq!(log.recover_behind(Zxid(snapshot)), Ok(12));
    }
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let mut log = Log::new().groups(2);
    let last = log.group(&[100, 100]);
    let second = last.offset + (GROUP_HEADER_BYTES + RECORD_HEADER_BYTES + 100) as u64;
    log.damage(1, second + RECORD_HEADER_BYTES as u64 + 50);
    let images = log.disk.images();
    let recovered = recover(&SETTINGS, &images, Zxid::ZERO).expect("torn, not damaged");
    assert_eq!(recovered.last_zxid, Zxid(5));
    let cut = recovered.cut.expect("something was cut");
    assert_eq!((cut.end, cut.why), (position(1, second), "the checksum of the record is wrong"));
}

#[test]
fn damage_below_the_mark_is_refused_with_file_offset_and_remedy() {
    let mut log = Log::new().groups(1);
    let damaged = log.group(&[100]);
    let proving = log.group(&[100]);
    log.damage(1, damaged.offset + 90);
    let fault = log.recover().expect_err("acknowledged entries are damaged");
    let at = position(1, damaged.offset + GROUP_HEADER_BYTES as u64);
    let mark = position(1, damaged.offset + (GROUP_HEADER_BYTES + RECORD_HEADER_BYTES + 100) as u64);
    let why = "the checksum of the record is wrong";
    assert_eq!(fault, Fault::Damaged { at, why, mark, named_by: proving });
    let text = fault.to_string();
    for part in ["segment.0000000000000001", &at.offset.to_string(), "Put the file back from a copy"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_mark_behind_the_last_group_makes_damage_to_it_damage() {
    for by_finish in [false, true] {
        let mut log = Log::new().groups(2);
        let last = log.group(&[100]);
        if by_finish {
            log.finish()
        } else {
            log.prove()
        }
        log.damage(1, last.offset + 100);
        assert!(matches!(log.recover(), Err(Fault::Damaged { .. })));
        log.damage(1, last.offset + 100);
        assert_eq!(log.recover(), Ok(5));
    }
}

#[test]
fn a_missing_file_in_the_middle_is_refused_unless_a_snapshot_covers_it() {
    let mut log = Log::new();
    for _ in 0..3 {
        log.roll();
        log.group(&[100]);
        log.group(&[100]);
    }
    assert_eq!(log.disk.names(), [SegmentId(1), SegmentId(2), SegmentId(3)]);
    log.disk.delete(SegmentId(2));
    let fault = Fault::Missing { segment: SegmentId(2), needed_by: SegmentId(3), snapshot: Zxid(0) };
    assert_eq!(log.recover(), Err(fault.clone()));
    assert!(fault.to_string().contains("segment.0000000000000002 is missing"));
    assert_eq!(log.recover_behind(Zxid(4)), Ok(6));
    assert_eq!(log.recover_behind(Zxid(5)), Ok(6));
}

#[test]
fn a_newest_segment_whose_header_was_never_written_is_passed_over_and_removed() {
    let images: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("short", vec![0; 100]),
        ("zeros", vec![0; 8192]),
        ("noise", (0..8192u32).map(|n| (n * 37) as u8).collect()),
    ];
    for (what, bytes) in images {
        let log = Log::new().groups(2);
        let mut images = log.disk.images();
        images.push(SegmentImage { id: SegmentId(2), bytes: &bytes });
        let recovered =
            recover(&SETTINGS, &images, Zxid::ZERO).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        assert_eq!(recovered.last_zxid, Zxid(4), "{what}");
        assert!(matches!(recovered.repair[0], Command::Create { segment: SegmentId(3), .. }), "{what}");
        assert_eq!(recovered.cleanup, [Command::Remove { segment: SegmentId(2) }], "{what}");
        assert!(recovered.cut.is_some(), "{what}");
    }
}

#[test]
fn a_damaged_header_of_a_segment_in_use_is_refused() {
    let mut log = Log::new().groups(2);
    log.roll();
    log.group(&[50]);
    log.group(&[60]);
    for segment in [1, 2] {
        log.damage(segment, 40);
        let fault = log.recover().expect_err("its groups were durable");
        assert!(matches!(fault, Fault::Damaged { at, .. } if at == position(segment, 0)), "{fault}");
        log.damage(segment, 40);
    }
    assert_eq!(log.recover(), Ok(6));
}

#[test]
fn a_file_that_was_cut_short_below_the_mark_is_refused() {
    let mut log = Log::new().groups(2);
    log.roll();
    log.group(&[50]);
    log.disk.bytes_mut(SegmentId(1)).truncate(4200);
    assert!(matches!(log.recover(), Err(Fault::Damaged { at, .. }) if at.segment == SegmentId(1)));
    log.disk.bytes_mut(SegmentId(1)).clear();
    assert!(matches!(log.recover(), Err(Fault::Damaged { at, .. }) if at == position(1, 0)));
}

#[test]
fn records_of_an_older_segment_in_a_file_used_again_stay_dead() {
    let log = Log::new().groups(8);
    let old = log.disk.images()[0].bytes.to_vec();
    let mut log = Log::new().groups(1);
    log.settings.salt_seed = 5;
    log.restart();
    let image = log.disk.bytes_mut(SegmentId(2));
    let used = log.writer.active_segment().1 as usize;
    image[used..].copy_from_slice(&old[used..]);
    assert_eq!(log.recover(), Ok(2));
}

#[test]
fn a_newer_format_is_refused_even_in_a_file_that_is_not_needed() {
    let mut log = Log::new().groups(1);
    log.roll();
    log.group(&[1]);
    let mut page = log.disk.images()[0].bytes[..128].to_vec();
    page[8] = 2;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&page[..12]), &page[16..]);
    page[12..16].copy_from_slice(&checksum.to_le_bytes());
    log.disk.bytes_mut(SegmentId(1))[..128].copy_from_slice(&page);
    for snapshot in [Zxid(0), Zxid(3)] {
        let fault = log.recover_behind(snapshot).expect_err("we can't know what it means");
        assert_eq!(fault, Fault::Newer { segment: SegmentId(1), version: 2 });
        assert!(fault.to_string().contains("newer version"));
    }
}

#[test]
fn a_log_that_begins_behind_the_snapshot_is_refused() {
    let mut log = Log::new();
    for _ in 0..3 {
        log.roll();
        log.group(&[100]);
    }
    let mut commands = Vec::new();
    log.writer.purge(Zxid(2), &mut commands);
    carry_out(&mut log.disk, &commands);
    assert_eq!(log.writer.continuous_after(), Zxid(2));
    let fault = Fault::Missing { segment: SegmentId(2), needed_by: SegmentId(3), snapshot: Zxid(1) };
    assert_eq!(log.recover_behind(Zxid(1)), Err(fault));
    assert_eq!(log.recover_behind(Zxid(2)), Ok(3));
    log.restart_behind(Zxid(2));
    assert_eq!(log.writer.continuous_after(), Zxid(2));
}

impl Log {
    fn restart_behind(&mut self, snapshot: Zxid) {
        self.disk.kill();
        self.settings.salt_seed += 1;
        self.writer = start(&mut self.disk, &self.settings, snapshot).expect("the log is whole");
    }
}

#[test]
fn behind_a_snapshot_that_is_ahead_of_the_log_a_start_of_its_own_is_made() {
    let mut log = Log::new().groups(2);
    log.restart_behind(Zxid(10));
    assert_eq!((log.writer.durable_zxid(), log.writer.continuous_after()), (Zxid(10), Zxid(10)));
    log.history.resize(10, Vec::new());
    log.group(&[30]);
    assert_eq!(log.recover_behind(Zxid(10)), Ok(11));
    for older in [Zxid(0), Zxid(4)] {
        let gap = Fault::Gap { snapshot: older, segment: SegmentId(2), after: Zxid(10) };
        assert_eq!(log.recover_behind(older), Err(gap), "5 to 10 are nowhere");
    }
    let mut commands = Vec::new();
    log.writer.purge(Zxid(10), &mut commands);
    assert_eq!(commands, [Command::Remove { segment: SegmentId(1) }]);
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let mut ours = Log::new().groups(1);
    ours.roll();
    ours.group(&[7]);
    let mut theirs = Log::new();
    theirs.group(&[300, 5]);
    theirs.roll();
    theirs.group(&[7]);
    let image = theirs.disk.images()[1].bytes.to_vec();
    *ours.disk.bytes_mut(SegmentId(2)) = image;
    let fault = ours.recover().expect_err("two histories");
    assert!(matches!(fault, Fault::Foreign { .. } | Fault::Damaged { .. }), "{fault}");
}

#[test]
fn restarts_do_not_collect_segments() {
    let mut log = Log::new().groups(2);
    for round in 0..20 {
        if round % 3 == 0 {
            log.finish();
        }
        log.restart();
        assert!(log.disk.names().len() <= 2, "{:?}", log.disk.names());
    }
    log.group(&[9]);
    for _ in 0..20 {
        log.restart();
        assert!(log.disk.names().len() <= 3, "{:?}", log.disk.names());
    }
    assert_eq!(log.recover(), Ok(5));
}

#[test]
fn a_restart_keeps_segments_linked_for_purge() {
    let mut log = Log::new();
    for _ in 0..3 {
        log.roll();
        log.group(&[100]);
        log.group(&[100]);
    }
    log.restart();
    assert_eq!(log.writer.continuous_after(), Zxid(0));
    let retained: Vec<_> = log.writer.retained().map(|r| (r.segment.0, r.after.0, r.linked)).collect();
    assert_eq!(retained, [(1, 0, false), (2, 2, true), (3, 4, true), (4, 5, true)]);
}

#[test]
fn truncation_drops_what_is_later_and_lasts() {
    for to in 0..=6 {
        let mut log = Log::new();
        for _ in 0..3 {
            log.roll();
            log.group(&[100]);
            log.group(&[100]);
        }
        log.disk.kill();
        let settings = Settings { salt_seed: 50, ..SETTINGS };
        let images = log.disk.images();
        let recovered = truncate(&settings, &images, Zxid::ZERO, Zxid(to)).expect("whole");
        assert_eq!((recovered.entries.len() as i64, recovered.last_zxid), (to, Zxid(to)));
        let Recovered { repair, cleanup, resume, .. } = recovered;
        log.writer = carry_through(repair, cleanup, resume, &mut log.disk, &settings);
        log.history.truncate(to as usize);
        assert_eq!(log.recover(), Ok(to as usize));
        log.group(&[8]);
        log.group(&[9]);
        assert_eq!(log.recover(), Ok(to as usize + 2));
    }
}

#[test]
fn truncation_below_the_snapshot_is_refused() {
    let log = Log::new().groups(3);
    let images = log.disk.images();
    let fault = truncate(&SETTINGS, &images, Zxid(4), Zxid(3)).map(|_| ()).expect_err("4 is in the snapshot");
    assert_eq!(fault, Fault::TruncatedBelowSnapshot { snapshot: Zxid(4), to: Zxid(3) });
}

#[test]
fn who_only_looks_sees_what_stands_before_damage() {
    let mut log = Log::new().groups(4);
    let (third, _, _) = log.groups[2];
    // In the first of its two records.
    log.damage(third.segment.0, third.offset + 100);
    assert!(matches!(log.recover(), Err(Fault::Damaged { .. })));
    let images = log.disk.images();
    let held = look(&images, Zxid::ZERO, Zxid(i64::MAX)).expect("the line is known");
    assert_eq!(held.entries.last().map(|entry| entry.zxid), Some(Zxid(4)));
    assert!(matches!(held.damage, Some(Fault::Damaged { at, .. }) if at > third), "{held:?}");
    for to in 1..=3 {
        let held = look(&images, Zxid(1), Zxid(to)).expect("the line is known");
        assert_eq!((held.entries.len() as i64, held.damage), (to - 1, None), "to {to}");
    }
    // Whoever asks for just that entry has it; what is missing behind it is told, too.
    let held = look(&images, Zxid::ZERO, Zxid(4)).expect("the line is known");
    assert!(held.entries.len() == 4 && held.damage.is_some(), "{held:?}");
}
