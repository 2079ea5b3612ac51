//! A log cut at every byte and with every bit flipped: what is read is what was written, and what hides more is damage.

use super::super::testing::{World, log_of};
use super::*;

/// What is read before the end, and the end.
fn read(file: &[u8]) -> (Vec<Vec<u8>>, Step<'static>) {
    let mut reader = LogReader::new(file);
    let mut entries = vec![];
    loop {
        match reader.step() {
            Step::Entry { offset, zxid, entry } => {
                assert_eq!(&file[offset as usize..][..entry.len()], entry);
                assert_eq!(zxid, zxid_of(entry));
                entries.push(entry.to_vec());
            }
            Step::End => return (entries, Step::End),
            Step::Torn { offset, why } => return (entries, Step::Torn { offset, why }),
            Step::Damaged { offset, what } => return (entries, Step::Damaged { offset, what }),
        }
    }
}

/// Where each record begins, and where the last one ends.
fn boundaries(entries: &[Vec<u8>]) -> Vec<usize> {
    let mut at = HEADER_BYTES;
    let mut all = vec![at];
    for entry in entries {
        at += RECORD_HEADER_BYTES + entry.len() + 1;
        all.push(at);
    }
    all
}

#[test]
fn a_log_ends_with_its_zeroes_or_its_last_record() {
    let entries = World::small().entries;
    for zeroes in [0, 1, 11, 12, 64, 5000] {
        assert_eq!(read(&log_of(&entries, zeroes)), (entries.clone(), Step::End), "{zeroes}");
    }
    assert_eq!(read(&log_of(&[], 0)), (vec![], Step::End));
}

#[test]
fn every_cut_is_a_torn_tail_behind_the_whole_records() {
    let entries = World::small().entries;
    let file = log_of(&entries, 0);
    let boundaries = boundaries(&entries);
    for cut in 0..file.len() {
        let whole = boundaries.partition_point(|&at| at <= cut);
        for zeroes in [0, 100] {
            let mut torn = file[..cut].to_vec();
            torn.resize(cut + zeroes, 0);
            let (found, end) = read(&torn);
            assert_eq!(found, entries[..whole.saturating_sub(1)], "{cut}");
            match end {
                // What is missing is zeroes, too.
                Step::End => {
                    let from = if whole == 0 { 8 } else { boundaries[whole - 1] };
                    assert!(cut >= from && file[from..cut].iter().all(|byte| *byte == 0), "{cut}");
                }
                Step::Torn { offset, .. } => {
                    let expected = if whole == 0 { 0 } else { boundaries[whole - 1] };
                    assert_eq!(offset as usize, expected, "{cut}");
                }
                // The version is among the bytes that are zeroes now.
                Step::Damaged { .. } => assert!(cut < HEADER_BYTES && cut > 0 && zeroes > 0, "{cut}"),
                Step::Entry { .. } => unreachable!(),
            }
        }
    }
}

#[test]
fn no_flipped_bit_changes_or_hides_a_transaction() {
    let entries = World::small().entries;
    let file = log_of(&entries, 40);
    let boundaries = boundaries(&entries);
    let last = boundaries[entries.len() - 1];
    for bit in 0..file.len() * 8 {
        let at = bit / 8;
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (bit % 8);
        let (found, end) = read(&flipped);
        assert_eq!(found, entries[..found.len()], "bit {bit}");
        match end {
            // The database's id, which nobody looks at.
            Step::End => assert!(found == entries && (8..16).contains(&at), "bit {bit}"),
            // The head or the end of the last record, as if it had been torn; or a bit in the zeroes.
            Step::Torn { offset, .. } => {
                assert!(at >= last, "bit {bit}");
                let is_behind = at >= boundaries[entries.len()];
                assert_eq!(found.len(), entries.len() - usize::from(!is_behind), "bit {bit}");
                assert_eq!(offset as usize, boundaries[found.len()], "bit {bit}");
            }
            Step::Damaged { offset, .. } => {
                let record = boundaries.partition_point(|&start| start <= at);
                let expected = if record == 0 { 0 } else { boundaries[record - 1] };
                assert_eq!(offset as usize, expected, "bit {bit}");
            }
            Step::Entry { .. } => unreachable!(),
        }
    }
}

#[test]
fn other_files_are_told_apart() {
    assert_eq!(read(b"").1, Step::Torn { offset: 0, why: "the file is empty" });
    assert_eq!(read(&[0; 4096]).1, Step::Torn { offset: 0, why: "its header was never written" });
    assert!(matches!(read(&World::small().snapshot()).1, Step::Damaged { offset: 0, .. }));
    let mut late = vec![0; 16];
    late.extend(&log_of(&World::small().entries, 0)[16..]);
    // Records behind a header of zeroes: it was there once.
    assert!(matches!(read(&late).1, Step::Damaged { offset: 0, .. }));
    let mut noise = crate::base::Prng::new(7);
    for _ in 0..2000 {
        let mut file = log_of(&[], 0);
        file.extend((0..200).map(|_| noise.below(256) as u8));
        assert_eq!(read(&file).0, Vec::<Vec<u8>>::new());
    }
}

#[test]
fn a_hole_with_a_record_behind_it_is_damage() {
    let entries = World::small().entries;
    let mut file = log_of(&entries, 0);
    let boundaries = boundaries(&entries);
    file[boundaries[2]..boundaries[3]].fill(0);
    let (found, end) = read(&file);
    assert_eq!(found, entries[..2]);
    let what = format!("no record begins here; a whole record follows at byte {}", boundaries[3]);
    assert_eq!(end, Step::Damaged { offset: boundaries[2] as u64, what });
}
