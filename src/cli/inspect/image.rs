//! A snapshot file or a data directory to a tree, with its sessions.

use std::path::Path;

use super::super::apache::{self, Bad, Packing};
use super::super::progress::Progress;
use super::super::snapshot::{self, Refused, refused};
use super::{Kind, damaged};
use crate::base::{HashKey, Zxid};
use crate::io::{Clock, MappedFile, entropy};
use crate::log::{SnapshotDecoder, SnapshotFault};
use crate::server::{self, Image};
use crate::tree::{self, Head, Record};

/// Of the tables of trees that are only looked at.
pub fn key() -> Result<HashKey, Refused> {
    Ok(entropy::hash_key()?)
}

/// What the path holds: a snapshot file as it is, a directory as a server would start on it. `tell` takes what should be
/// known, a line each.
pub fn read(path: &Path, progress: &Progress, tell: &mut dyn FnMut(String)) -> Result<Image, Refused> {
    crate::io::install_sigbus_handler()?;
    if !path.is_dir() {
        return read_snapshot(path, Kind::of(path)?, progress);
    }
    if path.join(server::SUBDIRECTORY).is_dir() {
        let config = snapshot::reading(path, path);
        return Ok(Image::read(&config, entropy::seed()?, Clock::now(), &mut snapshot::Nobody)?);
    }
    if path.join(apache::SUBDIRECTORY).is_dir() {
        let keeps_orphans = apache::is_member(path);
        let options = apache::Options { keeps_orphans, ..apache::Options::default() };
        let recovered = apache::recover(path, path, options, key()?, progress, tell)?;
        return Ok(Image { store: recovered.store, sessions: recovered.sessions, epochs: None });
    }
    Err(refused(format_args!(
        "{}: it has neither {} nor {} in it: name a dataDir, or a snapshot file",
        path.display(),
        server::SUBDIRECTORY,
        apache::SUBDIRECTORY
    )))
}

/// Every checksum and digest of the file is verified.
pub fn read_snapshot(path: &Path, kind: Kind, progress: &Progress) -> Result<Image, Refused> {
    match kind {
        Kind::Snapshot(zxid) => read_ours(path, zxid, progress),
        Kind::TheirSnapshot(zxid, packing) => {
            let read = apache::read_snapshot(path, zxid, packing, key()?, progress);
            let read =
                read.map_err(|error| refused(format_args!("cannot read {}: {error}", path.display())))?;
            let whole = read.map_err(|Bad { offset, what }| {
                let of = if packing == Packing::None { "" } else { " (a byte of the unpacked content)" };
                damaged(path, offset, what + of)
            })?;
            let mut store = whole.store;
            if let Some(digest) = whole.digest.filter(|digest| digest.zxid == zxid)
                && digest.version == crate::wire::txn::TxnDigest::VERSION
                && digest.digest != store.digest()
            {
                let what = format!("the tree's digest is {:#x}, not {:#x}", store.digest(), digest.digest);
                return Err(damaged(path, 0, what));
            }
            store.publish(zxid);
            Ok(Image { store, sessions: whole.sessions, epochs: None })
        }
        Kind::Segment(_) | Kind::TheirLog => {
            Err(refused(format_args!("{}: a log, where a snapshot is needed", path.display())))
        }
    }
}

fn read_ours(path: &Path, zxid: Zxid, progress: &Progress) -> Result<Image, Refused> {
    let map = MappedFile::open(path)?;
    let file = map.bytes();
    progress.begin("reading", path, file.len() as u64);
    let bad = |fault: SnapshotFault| match fault {
        SnapshotFault::Incomplete { bytes } => {
            damaged(path, bytes, "it ends before its footer: it was never finished or was cut")
        }
        SnapshotFault::Damaged { offset, why } => damaged(path, offset, why),
        SnapshotFault::Newer { .. } | SnapshotFault::OtherZxid { .. } => {
            refused(format_args!("{}: {fault}", path.display()))
        }
    };
    let mut decoder = SnapshotDecoder::new(file, zxid).map_err(bad)?;
    let (mut store, _) = tree::tree(key()?, 0);
    let mut loaded = tree::Progress::default();
    let mut head = None;
    while let Some(chunk) = decoder.next_chunk().map_err(bad)? {
        let begin = chunk.as_ptr() as usize - file.as_ptr() as usize;
        progress.is_at(begin as u64);
        let in_chunk = |rest: &[u8], error| damaged(path, (begin + chunk.len() - rest.len()) as u64, error);
        let mut rest = chunk;
        if head.is_none() {
            let (found, behind) = Head::decode(rest).map_err(|error| in_chunk(rest, error))?;
            head = Some(found);
            rest = behind;
        }
        while !rest.is_empty() {
            let (record, behind) = Record::decode(rest).map_err(|error| in_chunk(rest, error))?;
            store.load(zxid, record, &mut loaded).map_err(|error| in_chunk(rest, error))?;
            rest = behind;
        }
    }
    let end = file.len() as u64;
    let head = head.ok_or_else(|| damaged(path, end, "there is no head in it"))?;
    if head.zxid != zxid {
        return Err(damaged(path, 0, format_args!("its head is that of zxid {}", head.zxid)));
    }
    store.check_loaded(&head, &loaded).map_err(|error| damaged(path, end, error))?;
    store.publish(zxid);
    Ok(Image { store, sessions: head.sessions, epochs: None })
}
