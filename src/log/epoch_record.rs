//! The epoch record: a server's two epochs in one small file of two slots, one sync per change. Pure: bytes in, bytes out.
//!
//! Called by `server` (its log thread writes the file, a start reads it). The layout, little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0, 4096 | | a slot begins: each has a page, and so a sector, of its own |
//! | +0 | 8 | `RKEPOCHS` |
//! | +8 | 4 | format version |
//! | +12 | 4 | crc32c of bytes +0..+12 and +16..+40 |
//! | +16 | 8 | sequence number: rises by one with each change |
//! | +24 | 8 | accepted epoch |
//! | +32 | 8 | current epoch |
//!
//! Of the good slots the one with the higher number counts. A change goes into the other one, so that a torn write leaves
//! the last record; [`EpochSlots`] keeps count.
//!
//! **Damaged, or never written?** The file comes into being under a temporary name, with a good slot in it, synced before
//! it gets its own ([`EpochSlots::create`]). So a file under its own name has had a good slot from the beginning, and
//! after that the slot that counts is not touched before the other one is durable. A crash can't leave it without one:
//! a file without a good slot (also an empty one, or one of zeros) is damaged, and only no file is no record.
//! A start writes what it found anew, as a whole: after a failed sync the page cache may show a slot that the disk
//! never got, and the next change would overwrite the only one it has.
//! Tested: here.

use crate::base::Epoch;

/// In the log's directory: what is promised belongs with what is logged.
pub const EPOCH_FILE: &str = "epochs";

const SLOT_BYTES: usize = 4096;
const RECORD_BYTES: usize = 40;
const FILE_BYTES: usize = 2 * SLOT_BYTES;
const MAGIC: [u8; 8] = *b"RKEPOCHS";
const VERSION: u32 = 1;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochsFound {
    /// There is no file: nothing was ever recorded.
    None,
    Found {
        accepted: Epoch,
        current: Epoch,
    },
    /// Something was recorded, and it is lost.
    Damaged,
    /// In a later format.
    Newer {
        version: u32,
    },
}

/// Which slot is written next, and under which number.
#[derive(Debug)]
pub struct EpochSlots {
    sequence: u64,
}

impl EpochSlots {
    /// A new file, whole: to be put in the place of the old one atomically.
    pub fn create(accepted: Epoch, current: Epoch) -> (EpochSlots, Vec<u8>) {
        let slots = EpochSlots { sequence: 1 };
        let mut image = vec![0; FILE_BYTES];
        let at = slots.offset();
        image[at..at + RECORD_BYTES].copy_from_slice(&encode(slots.sequence, accepted, current));
        (slots, image)
    }

    /// The next change: what to write, and where. To be synced before the one after it is asked for.
    pub fn change(&mut self, accepted: Epoch, current: Epoch) -> (u64, [u8; RECORD_BYTES]) {
        self.sequence += 1;
        (self.offset() as u64, encode(self.sequence, accepted, current))
    }

    fn offset(&self) -> usize {
        (self.sequence % 2) as usize * SLOT_BYTES
    }
}

/// `file`: its bytes, if it is there.
pub fn decode_epochs(file: Option<&[u8]>) -> EpochsFound {
    let Some(bytes) = file else { return EpochsFound::None };
    let slots = [0, SLOT_BYTES].map(|at| bytes.get(at..at + RECORD_BYTES).map_or(Slot::Bad, Slot::decode));
    let mut newest = (0, EpochsFound::Damaged);
    for slot in slots {
        match slot {
            Slot::Newer { version } => return EpochsFound::Newer { version },
            Slot::Good { sequence, accepted, current } if sequence > newest.0 => {
                newest = (sequence, EpochsFound::Found { accepted, current });
            }
            Slot::Good { .. } | Slot::Bad => {}
        }
    }
    newest.1
}

enum Slot {
    /// Torn, damaged or never written.
    Bad,
    Good {
        sequence: u64,
        accepted: Epoch,
        current: Epoch,
    },
    Newer {
        version: u32,
    },
}

impl Slot {
    fn decode(record: &[u8]) -> Slot {
        let u32_at = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().expect("eight bytes"));
        if record[..8] != MAGIC || u32_at(12) != checksum(record) {
            return Slot::Bad;
        }
        let version = u32_at(8);
        if version > VERSION {
            return Slot::Newer { version };
        }
        let (accepted, current) = (Epoch(u64_at(24) as i64), Epoch(u64_at(32) as i64));
        // A checksum that fits doesn't make it ours.
        let is_sound = version == VERSION && Epoch(0) <= current && current <= accepted;
        if is_sound { Slot::Good { sequence: u64_at(16), accepted, current } } else { Slot::Bad }
    }
}

fn encode(sequence: u64, accepted: Epoch, current: Epoch) -> [u8; RECORD_BYTES] {
    assert!(Epoch(0) <= current && current <= accepted, "an epoch is promised before it is followed");
    let mut record = [0; RECORD_BYTES];
    record[..8].copy_from_slice(&MAGIC);
    record[8..12].copy_from_slice(&VERSION.to_le_bytes());
    record[16..24].copy_from_slice(&sequence.to_le_bytes());
    record[24..32].copy_from_slice(&accepted.0.to_le_bytes());
    record[32..40].copy_from_slice(&current.0.to_le_bytes());
    let checksum = checksum(&record);
    record[12..16].copy_from_slice(&checksum.to_le_bytes());
    record
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..12]), &record[16..RECORD_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(accepted: i64, current: i64) -> EpochsFound {
        EpochsFound::Found { accepted: Epoch(accepted), current: Epoch(current) }
    }

    fn write(image: &mut [u8], (offset, record): (u64, [u8; RECORD_BYTES])) {
        let at = offset as usize;
        image[at..at + RECORD_BYTES].copy_from_slice(&record);
    }

    /// A file after this many changes, each accepting its own number.
    fn written(changes: i64) -> (EpochSlots, Vec<u8>) {
        let (mut slots, mut image) = EpochSlots::create(Epoch(1), Epoch(0));
        for epoch in 2..=changes {
            write(&mut image, slots.change(Epoch(epoch), Epoch(epoch - 1)));
        }
        (slots, image)
    }

    #[test]
    fn the_last_change_counts_and_the_slots_take_turns() {
        let mut offsets = vec![];
        let (mut slots, mut image) = written(1);
        assert_eq!(decode_epochs(Some(&image)), found(1, 0));
        for epoch in 2..6 {
            let change = slots.change(Epoch(epoch), Epoch(1));
            offsets.push(change.0);
            write(&mut image, change);
            assert_eq!(decode_epochs(Some(&image)), found(epoch, 1));
        }
        assert_eq!(offsets, [0, 4096, 0, 4096]);
    }

    #[test]
    fn a_torn_write_of_either_slot_leaves_the_record_before_it() {
        for changes in [1, 2, 3] {
            for torn in 0..RECORD_BYTES {
                let (mut slots, mut image) = written(changes);
                let before = image.clone();
                let (offset, record) = slots.change(Epoch(i64::MAX), Epoch(i64::MAX - 7));
                let at = offset as usize;
                image[at..at + torn].copy_from_slice(&record[..torn]);
                // Shared bytes aside, a part of it is not the whole.
                let whole = image[at..at + RECORD_BYTES] == record;
                let expected =
                    if whole { found(i64::MAX, i64::MAX - 7) } else { found(changes, changes - 1) };
                assert_eq!(decode_epochs(Some(&image)), expected, "{changes} changes, {torn} bytes");
                // The rest of its page as garbage: nobody looks there.
                image = before;
                image[at + RECORD_BYTES..at + SLOT_BYTES].fill(0xa5);
                assert_eq!(decode_epochs(Some(&image)), found(changes, changes - 1));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed_in_either_slot() {
        let (slots, image) = written(2);
        let newest = slots.offset();
        for bit in 0..RECORD_BYTES * 8 {
            let mut flipped = image.clone();
            flipped[newest + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_epochs(Some(&flipped)), found(1, 0), "bit {bit}");
            flipped[SLOT_BYTES - newest + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_epochs(Some(&flipped)), EpochsFound::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn only_no_file_is_no_record() {
        assert_eq!(decode_epochs(None), EpochsFound::None);
        let (_, image) = written(2);
        for damaged in [&[][..], &[0; FILE_BYTES], &image[..RECORD_BYTES - 1], &[0xff; FILE_BYTES]] {
            assert_eq!(decode_epochs(Some(damaged)), EpochsFound::Damaged);
        }
        // Cut behind the first slot, which is whole.
        assert_eq!(decode_epochs(Some(&image[..SLOT_BYTES])), found(2, 1));
    }

    #[test]
    fn a_later_format_and_epochs_that_nobody_wrote_are_told_apart() {
        let change = |at: usize, value: u64| {
            let (slots, mut image) = written(1);
            let start = slots.offset();
            let record = &mut image[start..start + RECORD_BYTES];
            record[at..at + 8].copy_from_slice(&value.to_le_bytes());
            let checksum = checksum(record);
            record[12..16].copy_from_slice(&checksum.to_le_bytes());
            decode_epochs(Some(&image))
        };
        assert_eq!(change(8, 2), EpochsFound::Newer { version: 2 });
        assert_eq!(change(8, 0), EpochsFound::Damaged);
        assert_eq!(change(32, 5), EpochsFound::Damaged, "followed before it was promised");
        assert_eq!(change(24, u64::MAX), EpochsFound::Damaged, "negative");
    }
}
