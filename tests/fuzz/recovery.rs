//! Log recovery: segments as a crash, a bad disk or a careless hand leaves them.
//!
//! Whatever is there, nothing panics. What recovery accepts is what was written: the same payloads under the same zxids,
//! without a gap; a log that is undamaged is accepted up to what was durable; and after its own repair recovery finds
//! the same again. With checksums made to fit, only the first holds.

use std::collections::BTreeMap;

use ringkeeper::base::{Prng, Ticket, Zxid};
use ringkeeper::log::{
    Command, Header, Recovered, SegmentId, SegmentImage, Settings, SnapshotDecoder, SnapshotEncoder, Writer,
    recover, verify_snapshot,
};

use crate::corpus::{damage, pick};

const INPUTS: u64 = 40;
const SECTOR_BYTES: usize = 512;

type Files = BTreeMap<SegmentId, Vec<u8>>;

/// A log, and what is known of it.
struct Written {
    settings: Settings,
    files: Files,
    payloads: BTreeMap<Zxid, Vec<u8>>,
    durable: Zxid,
}

pub fn round(seed: u64) -> u64 {
    let mut prng = Prng::salted(seed, "recovery");
    let written = write(&mut prng);
    let found = recover_all(&written, &written.files).expect("nobody has damaged it");
    check(&written, &found);
    assert!(found.last_zxid >= written.durable);
    for _ in 0..INPUTS {
        let mut files = written.files.clone();
        let fits = prng.chance(1, 3);
        for _ in 0..1 + prng.below(2) {
            spoil(&mut prng, &mut files);
        }
        if fits {
            files.iter_mut().for_each(|(id, bytes)| make_it_fit(*id, bytes));
        }
        let Ok(found) = recover_all(&written, &files) else { continue };
        if !fits {
            check(&written, &found);
            again(&written, &files, &found);
        }
    }
    snapshots(&mut prng);
    INPUTS
}

/// A recovery that doesn't look at checksums.
pub fn canary(seed: u64) {
    let mut prng = Prng::salted(seed, "recovery");
    let written = write(&mut prng);
    for _ in 0..INPUTS {
        let mut files = written.files.clone();
        spoil(&mut prng, &mut files);
        files.iter_mut().for_each(|(id, bytes)| make_it_fit(*id, bytes));
        if let Ok(found) = recover_all(&written, &files) {
            check(&written, &found);
        }
    }
}

fn recover_all<'a>(written: &Written, files: &'a Files) -> Result<Recovered<'a>, ringkeeper::log::Fault> {
    let images: Vec<SegmentImage<'a>> =
        files.iter().map(|(id, bytes)| SegmentImage { id: *id, bytes }).collect();
    recover(&written.settings, &images, Zxid::ZERO)
}

/// It is a beginning of what was written.
fn check(written: &Written, found: &Recovered<'_>) {
    let mut expected = Zxid::ZERO;
    for entry in &found.entries {
        expected = expected.next();
        assert_eq!(entry.zxid, expected, "a gap");
        assert_eq!(Some(entry.payload), written.payloads.get(&entry.zxid).map(Vec::as_slice), "{expected}");
    }
    assert_eq!(found.last_zxid, expected);
}

/// Carries the repair out and looks once more.
fn again(written: &Written, files: &Files, found: &Recovered<'_>) {
    let mut files = files.clone();
    found.repair.iter().chain(&found.cleanup).for_each(|command| carry_out(&mut files, command));
    let second = recover_all(written, &files).expect("what was repaired is sound");
    assert_eq!(second.last_zxid, found.last_zxid);
    let payloads = |found: &Recovered<'_>| -> Vec<Vec<u8>> {
        found.entries.iter().map(|entry| entry.payload.to_vec()).collect()
    };
    assert_eq!(payloads(&second), payloads(found));
}

fn carry_out(files: &mut Files, command: &Command) {
    match command {
        Command::Create { segment, header, bytes } => {
            let mut file = vec![0; *bytes as usize];
            file[..header.len()].copy_from_slice(header);
            files.insert(*segment, file);
        }
        Command::Append { segment, offset, bytes } => {
            let file = files.get_mut(segment).expect("made before");
            let at = *offset as usize;
            file[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Command::Persist { .. } => {}
        Command::Remove { segment } => _ = files.remove(segment),
    }
}

/// Some groups of some records, in one segment or several, and perhaps a restart in between.
fn write(prng: &mut Prng) -> Written {
    let settings = Settings {
        segment_bytes: pick(prng, &[6 << 10, 16 << 10, 64 << 10]),
        first_segment_bytes: pick(prng, &[6 << 10, 16 << 10]),
        group_bytes_max: 4 << 10,
        persists_max: pick(prng, &[1, 1, 2]),
        salt_seed: prng.next(),
        first_ticket: Ticket(1),
    };
    let mut written =
        Written { settings, files: Files::new(), payloads: BTreeMap::new(), durable: Zxid::ZERO };
    let mut zxid = Zxid::ZERO;
    for _ in 0..1 + prng.below(3) {
        written.settings.salt_seed = prng.next();
        let found = recover_all(&written, &written.files).expect("nobody has damaged it");
        let commands: Vec<Command> = found.repair.iter().chain(&found.cleanup).cloned().collect();
        let mut writer = Writer::new(written.settings, found.resume);
        commands.iter().for_each(|command| carry_out(&mut written.files, command));
        for _ in 0..prng.below(12) {
            for _ in 0..1 + prng.below(5) {
                zxid = zxid.next();
                let bytes = pick(prng, &[0, 1, 30, 300, 2_000]);
                let payload: Vec<u8> = (0..bytes).map(|_| prng.next() as u8).collect();
                writer.append(zxid, |out| out.extend_from_slice(&payload));
                written.payloads.insert(zxid, payload);
            }
            let mut commands = vec![];
            let sealed = writer.seal(&mut commands);
            commands.iter().for_each(|command| carry_out(&mut written.files, command));
            if let Some(sealed) = sealed {
                written.durable = writer.on_durable(sealed.ticket).max(written.durable);
            }
        }
        let mut commands = vec![];
        if prng.chance(1, 2) {
            writer.finish(&mut commands);
        } else {
            writer.prove(&mut commands);
        }
        commands.iter().for_each(|command| carry_out(&mut written.files, command));
        // What was not sealed is gone with the process.
        zxid = writer.appended_zxid();
        written.payloads.retain(|found, _| *found <= zxid);
    }
    written
}

fn spoil(prng: &mut Prng, files: &mut Files) {
    let ids: Vec<SegmentId> = files.keys().copied().collect();
    if ids.is_empty() {
        return;
    }
    let id = pick(prng, &ids);
    let other = files.get(&pick(prng, &ids)).cloned().unwrap_or_default();
    let Some(bytes) = files.get_mut(&id) else { return };
    // Where something was written, mostly.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |at| at + 1);
    let within = if prng.chance(7, 8) { used } else { bytes.len().max(1) };
    let at = prng.below(within as u64) as usize;
    let sector = at / SECTOR_BYTES * SECTOR_BYTES;
    let sectors = sector..bytes.len().min(sector + SECTOR_BYTES * (1 + prng.below(8) as usize));
    match prng.below(10) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << prng.below(8),
        2 if sectors.start < sectors.end => bytes[sectors].fill(0),
        3 if sectors.start < sectors.end => {
            bytes[sectors].iter_mut().for_each(|byte| *byte = prng.next() as u8);
        }
        4 => bytes.truncate(at),
        5 if sectors.end <= other.len() && sectors.start < sectors.end => {
            let range = sectors.clone();
            bytes[sectors].copy_from_slice(&other[range]);
        }
        6 => {
            let end = bytes.len();
            let from = at.min(end).max(end.min(4096));
            let mut tail = bytes.split_off(from);
            damage(prng, &mut tail);
            bytes.extend(tail);
        }
        7 => _ = files.remove(&id),
        8 => _ = files.insert(SegmentId(id.0 + 1 + prng.below(3)), other),
        9 => {
            // A header with an edge for one of its fields, and one that is right but elsewhere.
            let field = 8 * prng.below(16) as usize;
            let edge = pick(prng, &[0, 1, u64::MAX, 1 << 32, 4096, 1 << 63]).to_le_bytes();
            if bytes.len() >= field + 8 {
                bytes[field..field + 8].copy_from_slice(&edge);
            }
        }
        _ => {}
    }
}

/// Damage as a program makes it, not a disk: every checksum of groups and records fits what is there.
fn make_it_fit(id: SegmentId, bytes: &mut [u8]) {
    let Ok(header) = Header::decode(bytes, id) else { return };
    let long = |bytes: &[u8], at: usize| {
        bytes
            .get(at..at + 8)
            .and_then(|eight| eight.first_chunk())
            .map_or(0, |eight| u64::from_le_bytes(*eight))
    };
    let word = |bytes: &[u8], at: usize| long(bytes, at) as u32;
    let mut at = 4096;
    while at + 64 <= bytes.len() {
        if word(bytes, at + 4) != u32::from_le_bytes(*b"RKGp") {
            at += 8;
            continue;
        }
        let sum = crc32c::crc32c(&bytes[at + 4..at + 64]);
        bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        let end = (at + 64).saturating_add(long(bytes, at + 32) as usize).min(bytes.len());
        let mut record = at + 64;
        while record + 20 <= end {
            let next = (record + 20).saturating_add(word(bytes, record + 4) as usize);
            if next > end {
                break;
            }
            let sum = crc32c::crc32c_append(header.seed, &bytes[record + 4..next]);
            bytes[record..record + 4].copy_from_slice(&sum.to_le_bytes());
            record = next;
        }
        at = end.next_multiple_of(8).max(at + 8);
    }
}

/// The snapshot's container: accepted whole, as it was written, or not at all.
fn snapshots(prng: &mut Prng) {
    let zxid = Zxid(1 + prng.below(1_000) as i64);
    let (mut encoder, mut file) = {
        let (encoder, header) = SnapshotEncoder::new(zxid, prng.next());
        (encoder, header.to_vec())
    };
    let mut chunks: Vec<Vec<u8>> = vec![];
    for _ in 0..prng.below(6) {
        let chunk: Vec<u8> = (0..1 + prng.below(400)).map(|_| prng.next() as u8).collect();
        file.extend(encoder.chunk(1, |out| out.extend_from_slice(&chunk)));
        chunks.push(chunk);
    }
    file.extend(encoder.finish());
    assert_eq!(read_snapshot(&file, zxid), Some(chunks.clone()));
    for _ in 0..INPUTS {
        let mut damaged = file.clone();
        damage(prng, &mut damaged);
        if damaged == file {
            continue;
        }
        let _ = verify_snapshot(&damaged, zxid);
        if let Some(found) = read_snapshot(&damaged, zxid) {
            assert_eq!(found, chunks, "a damaged snapshot was taken for a whole one");
        }
    }
}

fn read_snapshot(file: &[u8], zxid: Zxid) -> Option<Vec<Vec<u8>>> {
    let mut decoder = SnapshotDecoder::new(file, zxid).ok()?;
    let mut chunks = vec![];
    while let Some(chunk) = decoder.next_chunk().ok()? {
        chunks.push(chunk.to_vec());
    }
    Some(chunks)
}
