//! A snapshot file or a data directory to a tree, with its sessions.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::super::apache::{self, Bad, Packing};
use super::super::progress::Progress;
use super::super::snapshot::{self, Refused, refused};
use super::{Kind, damaged};
use crate::base::{HashKey, SessionId, WallMillis, Zxid};
use crate::io::{Clock, MappedFile, entropy};
use crate::log::{SnapshotDecoder, SnapshotFault};
use crate::server::{self, Image};
use crate::tree::{self, Head, Record};
use crate::wire::Opcode;
use crate::wire::txn::{Txn, TxnHeader};

/// Of the tables of trees that are only looked at.
pub fn key() -> Result<HashKey, Refused> {
    Ok(entropy::hash_key()?)
}

/// What the path holds: a snapshot file as it is, a directory as a server would start on it. `tell` takes what should be
/// known, a line each.
pub fn read(path: &Path, progress: &Progress, tell: &mut dyn FnMut(String)) -> Result<Image, Refused> {
    crate::io::install_sigbus_handler()?;
    if !path.is_dir() {
        let mut named = |note| tell(format!("{}: {note}", path.display()));
        return read_snapshot(path, Kind::of(path)?, progress, &mut named);
    }
    if path.join(server::SUBDIRECTORY).is_dir() {
        let config = snapshot::reading(path, path);
        return Ok(Image::read(&config, entropy::seed()?, Clock::now(), &mut snapshot::Nobody)?);
    }
    if path.join(apache::SUBDIRECTORY).is_dir() {
        let keeps_orphans = apache::is_member(path);
        // Nothing comes of it but what is shown: what is to be doubted is told.
        let options = apache::Options { keeps_orphans, lenient: true, ..apache::Options::default() };
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

/// Every checksum of the file is verified. `tell`: one of Apache's is written while transactions are applied, and by that may be
/// whole only with its log.
pub fn read_snapshot(
    path: &Path,
    kind: Kind,
    progress: &Progress,
    tell: &mut dyn FnMut(String),
) -> Result<Image, Refused> {
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
            if let Err(why) = apache::judge(zxid, &whole) {
                tell(format!("it may need the log behind it: {why}"));
            }
            let mut store = whole.store;
            store.publish(zxid);
            Ok(Image { store, sessions: whole.sessions, epochs: None })
        }
        Kind::Segment(_) | Kind::TheirLog => {
            Err(refused(format_args!("{}: a log, where a snapshot is needed", path.display())))
        }
    }
}

/// A snapshot that came without a name: what it is its first bytes say, and up to where it goes is in it. `is_lenient`: one
/// of Apache's that was taken while transactions were applied, too.
pub fn read_received(path: &Path, is_lenient: bool, tell: &mut dyn FnMut(String)) -> Result<Image, String> {
    let progress = &Progress::hidden();
    let told = |refused: Refused| refused.text.replace(&path.display().to_string(), "the snapshot");
    let unreadable = |error: std::io::Error| format!("cannot read what was received: {error}");
    let mut begin = vec![];
    File::open(path).and_then(|file| file.take(64).read_to_end(&mut begin)).map_err(unreadable)?;
    let mut image = match (crate::log::snapshot_zxid(&begin), Packing::of_beginning(&begin)) {
        (Some(zxid), _) => {
            check_room(zxid)?;
            read_ours(path, zxid, progress).map_err(told)?
        }
        (None, Some(packing)) => {
            let key = key().map_err(told)?;
            let read = apache::read_snapshot(path, Zxid::ZERO, packing, key, progress);
            let whole = read.map_err(unreadable)?.map_err(|Bad { offset, what }| {
                let of = if packing == Packing::None { "" } else { " of its unpacked content" };
                format!("the snapshot is damaged at byte {offset}{of}: {what}")
            })?;
            of_apache(whole, is_lenient, tell)?
        }
        (None, None) if begin.is_empty() => {
            return Err("the request has no body: it is to be a snapshot".into());
        }
        (None, None) => {
            return Err(
                "the body does not begin like a snapshot, of ringkeeper or of Apache ZooKeeper".into()
            );
        }
    };
    if image.store.shown_config().is_some_and(|(_, made_by)| made_by > Zxid::ZERO) {
        tell("the configuration of the ensemble it comes from is forgotten".into());
        image.store.show_config("", 0, WallMillis(0));
    }
    Ok(image)
}

fn doubtful(what: String, is_lenient: bool, tell: &mut dyn FnMut(String)) -> Result<(), String> {
    if !is_lenient {
        return Err(format!(
            "{what}: the snapshot was taken while transactions were applied, and lacks the log that completes it. Take one \
             without load, or make a directory of snapshot and log with `ringkeeper snapshot restore`; or restore it as it is \
             with ?lenient=true"
        ));
    }
    tell(format!("{what}: restored as it is"));
    Ok(())
}

fn check_room(zxid: Zxid) -> Result<(), String> {
    let has_room = zxid >= Zxid::ZERO && zxid.0 < i64::MAX >> 1;
    if has_room { Ok(()) } else { Err(format!("its zxid {zxid} leaves no room for later ones")) }
}

fn of_apache(
    whole: apache::Snapshot,
    is_lenient: bool,
    tell: &mut dyn FnMut(String),
) -> Result<Image, String> {
    let apache::Snapshot { mut store, mut sessions, digest, last_zxid, .. } = whole;
    if let Some(tree::Unlisted { path, id }) = store.unlisted() {
        doubtful(format!("it doesn't hold the ACL list {id} of {path}"), is_lenient, tell)?;
    }
    if let Some(digest) = digest
        && digest.version == crate::wire::txn::TxnDigest::VERSION
        && digest.digest != store.digest()
    {
        let what = format!("the tree's digest is {:#x}, not {:#x}", store.digest(), digest.digest);
        doubtful(what, is_lenient, tell)?;
    }
    // One that was written while transactions were applied holds some that are later than it says.
    let seen = store.nodes().map(|node| node.czxid.max(node.mzxid).max(node.pzxid)).max().map(Zxid);
    let of_digest = digest.map(|digest| digest.zxid);
    let zxid = [seen, of_digest, last_zxid].into_iter().flatten().max().unwrap_or(Zxid::ZERO);
    check_room(zxid)?;
    store.set_newest(zxid);
    sessions.sort_unstable();
    let known: BTreeSet<SessionId> = sessions.iter().map(|(id, _)| *id).collect();
    for owner in store.orphans(|session| known.contains(&session)) {
        let count = store.ephemerals_of(owner).len();
        tell(format!("{count} ephemeral znodes belong to session {owner}, which is over: deleted"));
        let kind = Opcode::CloseSession.code();
        let header = TxnHeader { client_id: owner, cxid: 0, zxid, time: WallMillis(0), kind };
        store.apply(&header, &Txn::CloseSession(None));
    }
    store.publish(zxid);
    Ok(Image { store, sessions, epochs: None })
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
