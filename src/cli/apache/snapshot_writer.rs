//! A tree to a snapshot file of Apache ZooKeeper, as 3.9 writes it: header, body, digest, last zxid, each sealed.
//!
//! 3.8 stops behind the digest and reads it all the same. Written piece by piece, under a temporary name until it is
//! durable. Packed or not, the name tells. Tested: snapshot_reader_test.rs, and tests/java_files.rs with Apache's servers.

use std::path::Path;

use super::super::progress::Progress;
use super::packing::{Packer, Packing};
use super::snapshot_reader::{DBID, MAGIC, SEAL_PATH, VERSION};
use crate::base::{SessionId, Zxid};
use crate::io::{Directory, Error, FileWriter};
use crate::tree::Store;
use crate::wire::txn::TxnDigest;

const PIECE_BYTES: usize = 256 << 10;
const PIECE_NODES: usize = 4096;

/// `snapshot.<hex>`, `.gz` or `.snappy` behind it.
pub fn file_name(zxid: Zxid, packing: Packing) -> String {
    format!("snapshot.{:x}{}", zxid.0, packing.suffix())
}

/// A file under way: the tree is in it, and what its digest will be is not known yet.
pub struct SnapshotWriter {
    file: FileWriter,
    packer: Packer,
    zxid: Zxid,
    sum: adler2::Adler32,
}

impl SnapshotWriter {
    /// Puts the tree as it is into the directory, as of `zxid`: some of it may be later.
    pub fn begin(
        directory: &Directory,
        zxid: Zxid,
        packing: Packing,
        store: &mut Store,
        sessions: Vec<(SessionId, i32)>,
        progress: &Progress,
    ) -> Result<SnapshotWriter, Error> {
        let name = file_name(zxid, packing);
        progress.begin_unsized("writing", Path::new(&name));
        let mut file = directory.writer(&name)?;
        let (mut packer, mut packed) = (Packer::new(packing), vec![]);
        let written = encode_tree(store, sessions, |piece| {
            packer.pack(piece, &mut packed);
            file.append(&packed)?;
            packed.clear();
            progress.is_at(file.len());
            Ok(())
        });
        match written {
            Ok(sum) => Ok(SnapshotWriter { file, packer, zxid, sum }),
            Err(error) => {
                file.abandon();
                Err(error)
            }
        }
    }

    /// `reached`, `digest`: of the tree, once what is logged up to there is applied to it. Durable on return.
    pub fn finish(self, reached: Zxid, digest: u64) -> Result<(), Error> {
        let SnapshotWriter { mut file, mut packer, zxid, mut sum } = self;
        let mut packed = vec![];
        packer.pack(&sections(&mut sum, zxid, reached, digest), &mut packed);
        packer.finish(&mut packed);
        match file.append(&packed) {
            Ok(()) => file.finish(),
            Err(error) => {
                file.abandon();
                Err(error)
            }
        }
    }
}

/// Hands over the bytes of a file of the tree as it is, piece by piece.
#[cfg(test)]
pub fn encode<E>(
    store: &mut Store,
    sessions: Vec<(SessionId, i32)>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut sum = encode_tree(store, sessions, &mut write)?;
    write(&sections(&mut sum, store.newest(), store.newest(), store.digest()))
}

/// The sum of all that was handed over.
fn encode_tree<E>(
    store: &mut Store,
    sessions: Vec<(SessionId, i32)>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<adler2::Adler32, E> {
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
            return Ok(sum);
        }
    }
}

/// What is behind the tree: its seal, the digest, the last zxid.
fn sections(sum: &mut adler2::Adler32, zxid: Zxid, reached: Zxid, digest: u64) -> Vec<u8> {
    let digest = TxnDigest::of(digest);
    let (version, tree_digest) = (digest.version.to_be_bytes(), digest.tree_digest.to_be_bytes());
    let digest = [&reached.0.to_be_bytes()[..], &version, &tree_digest].concat();
    let mut out = vec![];
    for content in [&[][..], &digest, &zxid.0.to_be_bytes()] {
        sum.write_slice(content);
        let seal = [&i64::from(sum.checksum()).to_be_bytes()[..], &SEAL_PATH].concat();
        sum.write_slice(&seal);
        out.extend_from_slice(content);
        out.extend(seal);
    }
    out
}
