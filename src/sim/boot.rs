//! From what the disk holds to a server that may start: the order of `log/mod.rs`, with every step a value.
//!
//! The same steps serve three times: to start the server, to start it a second time from the same disk and compare, and
//! to see what a damaged disk does. None of them writes to the disk: repairs are handed out.

use crate::base::{Now, Ticket, Zxid};
use crate::log::{
    self, Command, Header, SegmentId, SegmentImage, SnapshotDecoder, SnapshotFault, SnapshotName, Writer,
    recover,
};
use crate::replica::{Boot, Settings, Start};

use super::disk::Directory;
use super::plan::{Canary, Shape};

/// The server's two directories.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub log: Directory,
    pub snapshots: Directory,
}

/// A server that will not start, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub text: String,
}

/// Waits for its repair to be durable.
pub struct Booting {
    boot: Boot,
    pub snapshot: Zxid,
    pub entries: Vec<(Zxid, Vec<u8>)>,
    pub last: Zxid,
    pub repair: Vec<Command>,
    pub cleanup: Vec<Command>,
    resume: log::Resume,
    settings: log::Settings,
    verified: Vec<Zxid>,
    pub cut: bool,
}

pub fn log_settings(shape: &Shape, salt_seed: u64) -> log::Settings {
    log::Settings {
        segment_bytes: shape.segment_bytes,
        first_segment_bytes: shape.first_segment_bytes,
        group_bytes_max: shape.group_bytes,
        persists_max: shape.persists_max,
        salt_seed,
        first_ticket: Ticket(1),
    }
}

/// Reads the disk. `salt`: differs from start to start.
pub fn begin(
    disk: &Disk,
    shape: &Shape,
    replica: &Settings,
    readers: usize,
    now: Now,
    salt: u64,
    canary: Option<Canary>,
) -> Result<Booting, Refusal> {
    let refuse = |text: String| Refusal { text };
    let mut boot = Boot::new(replica.clone(), readers, now);
    let mut verified = vec![];
    let mut snapshot = None;
    let mut names: Vec<Zxid> = disk
        .snapshots
        .names()
        .filter_map(|name| match SnapshotName::parse(name) {
            Some(SnapshotName::Whole(zxid)) => Some(zxid),
            Some(SnapshotName::Temporary(_)) | None => None,
        })
        .collect();
    names.sort_unstable();
    for &zxid in names.iter().rev() {
        let name = log::snapshot_file_name(zxid);
        let file = disk.snapshots.read(&name).unwrap_or_default();
        match log::verify_snapshot(file, zxid) {
            Ok(_) => {
                snapshot = snapshot.or(Some(zxid));
                verified.push(zxid);
            }
            Err(fault @ SnapshotFault::Newer { .. }) => return Err(refuse(format!("{name}: {fault}"))),
            Err(_) => {}
        }
    }
    match snapshot {
        Some(zxid) => {
            let name = log::snapshot_file_name(zxid);
            let file = disk.snapshots.read(&name).unwrap_or_default();
            let fault = |fault: SnapshotFault| refuse(format!("{name}: {fault}"));
            let mut decoder = SnapshotDecoder::new(file, zxid).map_err(fault)?;
            while let Some(chunk) = decoder.next_chunk().map_err(fault)? {
                boot.load(zxid, chunk).map_err(|error| refuse(format!("{name}: {error}")))?;
            }
            boot.loaded().map_err(|error| refuse(format!("{name}: {error}")))?;
        }
        None => boot.plant(),
    }
    let snapshot = snapshot.unwrap_or(Zxid::ZERO);

    let settings = log_settings(shape, salt);
    let mut forgiven = vec![];
    let images: Vec<SegmentImage<'_>> = disk
        .log
        .names()
        .filter_map(|name| Some(SegmentImage { id: SegmentId::parse(name)?, bytes: disk.log.read(name)? }))
        .collect();
    if canary == Some(Canary::TornTailAccepted) {
        forgiven.extend(images.iter().map(|image| (image.id, forgive(image))));
    }
    let images = match forgiven.is_empty() {
        true => images,
        false => forgiven.iter().map(|(id, bytes)| SegmentImage { id: *id, bytes }).collect(),
    };
    let recovered = recover(&settings, &images, snapshot).map_err(|fault| refuse(fault.to_string()))?;
    let entries = recovered.entries.iter().map(|entry| (entry.zxid, entry.payload.to_vec())).collect();
    Ok(Booting {
        boot,
        snapshot,
        entries,
        last: recovered.last_zxid,
        repair: recovered.repair,
        cleanup: recovered.cleanup,
        resume: recovered.resume,
        settings,
        verified,
        cut: recovered.cut.is_some(),
    })
}

impl Booting {
    /// Once the repair is durable: replays the log and makes the server.
    pub fn finish(mut self) -> Result<Start, Refusal> {
        for (zxid, payload) in &self.entries {
            let replayed = self.boot.replay(*zxid, payload);
            replayed.map_err(|error| Refusal { text: error.to_string() })?;
        }
        Ok(self.boot.finish(Writer::new(self.settings, self.resume), self.verified))
    }
}

/// The canary's reading of a segment: what a record says of itself is made to be true.
fn forgive(image: &SegmentImage<'_>) -> Vec<u8> {
    let mut bytes = image.bytes.to_vec();
    let Ok(header) = Header::decode(image.bytes, image.id) else { return bytes };
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).and_then(|four| four.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
    };
    let long = |bytes: &[u8], at: usize| {
        let eight = bytes.get(at..at + 8).and_then(|eight| eight.first_chunk());
        eight.map_or(0, |eight| u64::from_le_bytes(*eight)) as usize
    };
    let mut at = 4096usize;
    loop {
        let group = [at, at.next_multiple_of(4096)]
            .into_iter()
            .find(|&at| word(&bytes, at + 4) == u32::from_le_bytes(*b"RKGp") && long(&bytes, at + 24) == at);
        let Some(group) = group else { return bytes };
        let end = group + 64 + long(&bytes, group + 32);
        if end > bytes.len() {
            return bytes;
        }
        let mut record = group + 64;
        while record + 20 <= end {
            let next = record + 20 + word(&bytes, record + 4) as usize;
            if next > end {
                return bytes;
            }
            let checksum = crc32c::crc32c_append(header.seed, &bytes[record + 4..next]);
            bytes[record..record + 4].copy_from_slice(&checksum.to_le_bytes());
            record = next;
        }
        at = end.next_multiple_of(8);
    }
}
