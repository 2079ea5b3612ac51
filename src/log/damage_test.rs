//! Damage: every byte flipped, whole records and groups moved by someone who can make checksums fit, and noise.

use super::tests::{Log, SETTINGS, position};
use super::*;
use crate::log::segment::u64_at;

#[test]
fn every_flipped_byte_of_what_is_proven_is_refused_and_the_rest_is_cut_or_harmless() {
    let mut log = Log::new();
    for size in 0..12 {
        log.group(&[size * 60, 17]);
    }
    assert!(log.disk.names().len() >= 2);
    let (_, _, proven) = *log.groups.last().expect("groups were made");
    let total = log.history.len();
    let (mut refused, mut cut, mut harmless) = (0, 0, 0);
    for segment in log.disk.names() {
        for offset in 0..log.disk.bytes_mut(segment).len() as u64 {
            let at = Position { segment, offset };
            let in_proven_group = log
                .groups
                .iter()
                .rev()
                .skip(1)
                .any(|(start, bytes, _)| *start <= at && at < start.plus(*bytes));
            log.damage(segment.0, offset);
            match log.recover() {
                Err(Fault::Damaged { .. }) => refused += 1,
                Err(fault) => panic!("{at}: {fault}"),
                Ok(count) => {
                    assert!(
                        !in_proven_group && offset >= 128,
                        "{at} was proven durable; {count} entries came back"
                    );
                    assert!(count >= proven, "{at}: {count} entries came back, {proven} are proven");
                    *(if count == total { &mut harmless } else { &mut cut }) += 1;
                }
            }
            log.damage(segment.0, offset);
        }
    }
    let (_, last_bytes, _) = *log.groups.last().expect("groups were made");
    assert_eq!(cut, last_bytes, "the last group, and nothing else, can't be told from a torn tail");
    assert!(refused > 0 && harmless > 0);
}

impl Position {
    fn plus(self, bytes: u64) -> Position {
        Position { offset: self.offset + bytes, ..self }
    }
}

#[test]
fn after_a_clean_stop_every_flipped_byte_of_a_record_is_refused() {
    let mut log = Log::new().groups(3);
    log.restart();
    log.group(&[33]);
    log.finish();
    let mut refused = 0;
    for segment in log.disk.names() {
        for offset in 0..log.disk.bytes_mut(segment).len() as u64 {
            log.damage(segment.0, offset);
            match log.recover() {
                Ok(count) => assert_eq!(count, log.history.len(), "{}", position(segment.0, offset)),
                Err(_) => refused += 1,
            }
            log.damage(segment.0, offset);
        }
    }
    let records: u64 = log.history.iter().map(|payload| (payload.len() + RECORD_HEADER_BYTES) as u64).sum();
    assert!(refused >= records, "{refused}");
}

/// Makes checksums of headers and groups fit again, so that the damage gets past them.
fn forge(image: &mut [u8]) {
    if image.len() >= 128 {
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&image[..12]), &image[16..128]);
        image[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
    for start in (4096..image.len().saturating_sub(64)).step_by(8) {
        if image[start + 4..start + 8] == *b"RKGp" {
            let checksum = crc32c::crc32c(&image[start + 4..start + 64]);
            image[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
        }
    }
}

/// Where the groups of the first segment lie, and its image: entries 1 | 2 3 4 | 5 | mark, all of 40 bytes.
fn forgeable() -> (Log, [usize; 4]) {
    let mut log = Log::new();
    let first = log.group(&[40]).offset as usize;
    let second = log.group(&[40, 40, 40]).offset as usize;
    let third = log.group(&[40]).offset as usize;
    let fourth = log.writer.active_segment().1.next_multiple_of(8) as usize;
    log.finish();
    assert_eq!(log.recover(), Ok(5));
    (log, [first, second, third, fourth])
}

const RECORD: usize = RECORD_HEADER_BYTES + 40;

/// What recovery says of the first segment after `forging` it; checksums of headers are made to fit.
fn why_refused(log: &mut Log, forging: impl FnOnce(&mut Vec<u8>)) -> (u64, &'static str) {
    let image = log.disk.bytes_mut(SegmentId(1));
    forging(image);
    forge(image);
    match log.recover() {
        Err(Fault::Damaged { at, why, .. }) => (at.offset, why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_taken_out_of_the_middle_is_noticed() {
    let (mut log, [_, second, ..]) = forgeable();
    let third_record = second + GROUP_HEADER_BYTES + 2 * RECORD;
    let (at, why) = why_refused(&mut log, |image| {
        image.copy_within(third_record..third_record + RECORD, third_record - RECORD);
    });
    assert_eq!((at, why), ((third_record - RECORD) as u64, "the record doesn't follow the one before it"));
}

#[test]
fn a_group_taken_out_of_the_middle_is_noticed() {
    let (mut log, [_, second, third, _]) = forgeable();
    let (at, why) = why_refused(&mut log, |image| {
        image.copy_within(third..third + GROUP_HEADER_BYTES + RECORD, second);
        image[second + 24..second + 32].copy_from_slice(&(second as u64).to_le_bytes());
        image[second + 40..second + 56].fill(0); // its mark would lie behind it
    });
    assert_eq!(why, "the group doesn't follow the record before it");
    assert_eq!(at.next_multiple_of(8), second as u64);
}

#[test]
fn a_group_in_another_place_than_its_own_is_none() {
    let (mut log, [_, second, third, _]) = forgeable();
    let (_, why) = why_refused(&mut log, |image| {
        image.copy_within(third..third + GROUP_HEADER_BYTES + RECORD, second);
    });
    assert_eq!(why, "no group begins here");
}

#[test]
fn a_group_with_another_salt_is_none_and_proves_nothing() {
    let (mut log, [_, second, ..]) = forgeable();
    let (_, why) = why_refused(&mut log, |image| image[second + 8] ^= 1);
    assert_eq!(why, "no group begins here");
    // Behind the end, such a group says that much more was durable. It is what an older file left here.
    let mut log = Log::new().groups(2);
    let (start, bytes, _) = log.groups[1];
    let image = log.disk.bytes_mut(SegmentId(1));
    let stale = 6000;
    image.copy_within(start.offset as usize..(start.offset + bytes) as usize, stale);
    image[stale + 8] ^= 1;
    image[stale + 24..stale + 32].copy_from_slice(&(stale as u64).to_le_bytes());
    image[stale + 48..stale + 56].copy_from_slice(&(stale as u64).to_le_bytes());
    forge(image);
    assert_eq!(log.recover(), Ok(4));
    let image = log.disk.bytes_mut(SegmentId(1));
    image[stale + 8] ^= 1;
    forge(image);
    assert!(log.recover().is_err(), "with the right salt it is a proof");
}

#[test]
fn a_group_whose_count_is_wrong_is_noticed() {
    for (delta, expected) in
        [(1, "the group holds fewer records than it says"), (u8::MAX, "the records don't fill their group")]
    {
        let (mut log, [_, second, ..]) = forgeable();
        let (_, why) =
            why_refused(&mut log, |image| image[second + 60] = image[second + 60].wrapping_add(delta));
        assert_eq!(why, expected);
    }
}

#[test]
fn a_segment_that_continues_in_the_middle_of_a_record_or_at_another_zxid_is_noticed() {
    let mut log = Log::new().groups(2);
    log.roll();
    log.group(&[40]);
    let continues = u64_at(log.disk.images()[1].bytes, 48);
    let image = log.disk.bytes_mut(SegmentId(2));
    image[48..56].copy_from_slice(&(continues - 1).to_le_bytes());
    forge(image);
    let middle = position(1, continues - 1);
    assert_eq!(log.recover(), Err(Fault::Foreign { segment: SegmentId(2), continues: middle }));
    let image = log.disk.bytes_mut(SegmentId(2));
    image[48..56].copy_from_slice(&continues.to_le_bytes());
    image[32] ^= 7;
    forge(image);
    let fault = log.recover().expect_err("another history");
    assert!(matches!(fault, Fault::Foreign { segment: SegmentId(2), .. }), "{fault}");
}

#[test]
fn whatever_the_files_hold_recovery_returns() {
    let mut whole = Log::new();
    for size in 0..10 {
        whole.group(&[size * 70, 17]);
    }
    whole.restart();
    whole.group(&[11, 12]);
    whole.group(&[13]);
    let other = Log::new().groups(9);
    let (mut recovered, mut refused) = (0, 0);
    for seed in 0..4000 {
        let mut prng = Prng::salted(seed, "log fuzz");
        let mut disk = whole.disk.clone();
        let names = disk.names();
        let mut foreign = false;
        for _ in 0..1 + prng.below(4) {
            let id = names[prng.below(names.len() as u64) as usize];
            if !disk.names().contains(&id) {
                continue;
            }
            let image = disk.bytes_mut(id);
            if image.is_empty() {
                continue;
            }
            let at = prng.below(image.len() as u64) as usize;
            let near = [0, 4096][prng.below(2) as usize] + prng.below(128) as usize;
            match prng.below(8) {
                0 => image.truncate(at),
                1 => image[at] ^= 1 << prng.below(8),
                2 if near < image.len() => image[near] = prng.next() as u8,
                3 => {
                    let from = prng.below(image.len() as u64) as usize;
                    let bytes = (prng.below(600) as usize).min(image.len() - at.max(from));
                    image.copy_within(from..from + bytes, at);
                }
                4 => {
                    let end = (at + prng.below(600) as usize).min(image.len());
                    image[at..end].fill(prng.next() as u8);
                }
                5 => disk.delete(id),
                6 if near < image.len() => {
                    // Only someone who wants to can make this one.
                    image[near] = prng.next() as u8;
                    forge(image);
                    foreign = true;
                }
                _ => {
                    *image = other.disk.images()[0].bytes.to_vec();
                    foreign = true;
                }
            }
        }
        let snapshot = Zxid(prng.below(whole.history.len() as u64 + 3) as i64);
        let images = disk.images();
        match recover(&SETTINGS, &images, snapshot) {
            Err(fault) => {
                refused += 1;
                assert!(!fault.to_string().is_empty());
            }
            Ok(found) => {
                recovered += 1;
                for (index, entry) in found.entries.iter().enumerate().filter(|_| !foreign) {
                    let index = index + snapshot.0 as usize;
                    assert_eq!(entry.zxid, Zxid(index as i64 + 1), "seed {seed}");
                    assert!(entry.payload == whole.history[index], "seed {seed}");
                }
            }
        }
        let to = Zxid(prng.below(30) as i64);
        if let Ok(found) = truncate(&SETTINGS, &images, snapshot, to) {
            assert!(found.entries.iter().all(|entry| entry.zxid <= to), "seed {seed}");
        }
    }
    assert!(recovered > 100 && refused > 100, "{recovered} recovered, {refused} refused");
}
