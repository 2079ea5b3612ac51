//! A tree to a snapshot file of Apache ZooKeeper, as 3.9 writes it: header, body, digest, last zxid, each sealed.
//!
//! 3.8 stops behind the digest and reads it all the same. Written piece by piece, under a temporary name until it is
//! durable. Tested: snapshot_reader_test.rs, and tests/java_files.rs with Apache's servers.

use super::snapshot_reader::{DBID, MAGIC, SEAL_PATH, VERSION};
use crate::base::{SessionId, Zxid};
use crate::io::{Directory, Error};
use crate::tree::Store;
use crate::wire::txn::TxnDigest;

const PIECE_BYTES: usize = 256 << 10;
const PIECE_NODES: usize = 4096;

/// `snapshot.<hex>`
pub fn file_name(zxid: Zxid) -> String {
    format!("snapshot.{:x}", zxid.0)
}

/// Puts the tree as it is into the directory. The file's size.
pub fn write_snapshot(
    directory: &Directory,
    store: &mut Store,
    sessions: Vec<(SessionId, i32)>,
) -> Result<u64, Error> {
    let mut file = directory.writer(&file_name(store.newest()))?;
    let written = encode(store, sessions, |piece| file.append(piece));
    let bytes = file.len();
    match written {
        Ok(()) => file.finish().map(|()| bytes),
        Err(error) => {
            file.abandon();
            Err(error)
        }
    }
}

/// Hands the file's bytes over, piece by piece.
pub fn encode<E>(
    store: &mut Store,
    sessions: Vec<(SessionId, i32)>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (zxid, digest) = (store.newest(), TxnDigest::of(store.digest()));
    let mut sum = adler2::Adler32::new();
    let mut piece = vec![];
    piece.extend(MAGIC);
    piece.extend(VERSION.to_be_bytes());
    piece.extend(DBID.to_be_bytes());
    let stream = store.begin_java_snapshot(sessions);
    loop {
        let more = store.continue_java_snapshot(stream, PIECE_NODES, PIECE_BYTES, &mut piece);
        sum.write_slice(&piece);
        write(&piece).inspect_err(|_| store.abandon_java_snapshot(stream))?;
        piece.clear();
        if !more {
            break;
        }
    }
    let mut section = |content: &[&[u8]]| {
        let mut piece = content.concat();
        sum.write_slice(&piece);
        let seal = [&i64::from(sum.checksum()).to_be_bytes()[..], &SEAL_PATH].concat();
        sum.write_slice(&seal);
        piece.extend(seal);
        write(&piece)
    };
    section(&[])?;
    let (zxid, version) = (zxid.0.to_be_bytes(), digest.version.to_be_bytes());
    section(&[&zxid, &version, &digest.tree_digest.to_be_bytes()])?;
    section(&[&zxid])
}
