//! Snapshots as the writer makes them, plain and packed, cut at every byte and with every bit flipped.

use super::super::packing::Packer;
use super::super::testing::{KEY, World};
use super::*;

fn read_bytes(file: &[u8]) -> Result<Snapshot, Bad> {
    read(file, Zxid(8), KEY)
}

/// In pieces of an eighth.
fn packed(packing: Packing, bytes: &[u8]) -> Vec<u8> {
    let (mut packer, mut out) = (Packer::new(packing), vec![]);
    bytes.chunks(bytes.len() / 8).for_each(|piece| packer.pack(piece, &mut out));
    packer.finish(&mut out);
    out
}

/// In blocks as small as a tenth.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut stream = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in bytes.chunks(bytes.len() / 10) {
        let block = snap::raw::Encoder::new().compress_vec(block).expect("small");
        stream.extend((block.len() as u32).to_be_bytes());
        stream.extend(block);
    }
    stream
}

fn unsnappy(bytes: &[u8]) -> Result<Snapshot, Bad> {
    read(super::super::snappy::SnappyReader::new(bytes), Zxid(8), KEY)
}

fn ungzip(bytes: &[u8]) -> Result<Snapshot, Bad> {
    read(flate2::read::MultiGzDecoder::new(bytes), Zxid(8), KEY)
}

#[test]
fn what_was_written_is_read_plain_and_packed() {
    let mut world = World::small();
    let file = world.snapshot();
    let [plain, gzip, one_block] =
        [Packing::None, Packing::Gzip, Packing::Snappy].map(|packing| packed(packing, &file));
    assert_eq!(plain, file);
    for found in [read_bytes(&file), ungzip(&gzip), unsnappy(&one_block), unsnappy(&snappy(&file))] {
        let found = found.expect("whole");
        assert_eq!(found.sessions, world.sessions);
        assert_eq!(found.store.digest(), world.store.digest());
        assert_eq!(found.store.nodes_count(), world.store.nodes_count());
        for path in ["/a", "/a/e", "/c", "/zookeeper/config", "/"] {
            let node = |store: &Store| {
                let (_, node) = store.find(path.as_bytes()).expect("there");
                (node.data().map(<[u8]>::to_vec), node.stat(), node.acl())
            };
            assert_eq!(node(&found.store), node(&world.store), "{path}");
        }
        let digest = Digest { zxid: Zxid(8), version: 2, digest: world.store.digest() };
        assert_eq!(found.digest, Some(digest));
    }
}

#[test]
fn sections_behind_the_tree_may_be_missing() {
    let mut world = World::small();
    let file = world.snapshot();
    let tree = file.len() - SECTIONS_BYTES_MAX + 1;
    // As 3.8 writes it, and a server with digests switched off.
    assert!(read_bytes(&file[..tree + 33]).expect("whole").digest.is_some());
    assert_eq!(read_bytes(&file[..tree]).expect("whole").digest, None);
    // Digests off, and the last zxid on.
    let mut sum = adler2::Adler32::new();
    let mut other = file[..tree].to_vec();
    other.extend(8i64.to_be_bytes());
    sum.write_slice(&other);
    other.extend(i64::from(sum.checksum()).to_be_bytes());
    other.extend(SEAL_PATH);
    assert_eq!(read_bytes(&other).expect("whole").digest, None);
    other[tree + 7] ^= 1;
    assert_eq!(read_bytes(&other).err().map(|bad| bad.offset), Some(tree as u64 + 8));
}

#[test]
fn every_cut_is_noticed() {
    let mut world = World::small();
    let file = world.snapshot();
    let tree = file.len() - SECTIONS_BYTES_MAX + 1;
    for cut in 0..file.len() {
        match read_bytes(&file[..cut]) {
            Ok(found) => assert!(cut == tree || cut == tree + 33, "{cut}: {:?}", found.digest),
            Err(bad) => assert!(bad.offset <= cut as u64, "{cut}: {bad:?}"),
        }
    }
    let more = [&file[..], b"x"].concat();
    assert!(read_bytes(&more).is_err());
    for (packed, unpack) in
        [(packed(Packing::Gzip, &file), ungzip as fn(&[u8]) -> _), (snappy(&file), unsnappy)]
    {
        for cut in 0..packed.len() {
            assert!(unpack(&packed[..cut]).is_err(), "{cut}");
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut world = World::small();
    let file = world.snapshot();
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let bad = read_bytes(&flipped).err().unwrap_or_else(|| panic!("bit {bit} wasn't noticed"));
        assert!(bad.offset <= file.len() as u64, "{bad:?}");
    }
    let digest = world.store.digest();
    for (packed, unpack) in
        [(packed(Packing::Gzip, &file), ungzip as fn(&[u8]) -> _), (snappy(&file), unsnappy)]
    {
        for bit in 0..packed.len() * 8 {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Some bits of gzip's header mean nothing.
            if let Ok(found) = unpack(&flipped) {
                assert_eq!(found.store.digest(), digest, "bit {bit}");
            }
        }
    }
}

#[test]
fn names_are_what_apache_writes() {
    let parsed = |name| parse_name(name).map(|(zxid, packing)| (zxid.0, packing));
    assert_eq!(parsed("snapshot.0"), Some((0, Packing::None)));
    assert_eq!(parsed("snapshot.1a0000002b"), Some((0x1a_0000_002b, Packing::None)));
    assert_eq!(parsed("snapshot.1a.gz"), Some((0x1a, Packing::Gzip)));
    assert_eq!(parsed("snapshot.1a.snappy"), Some((0x1a, Packing::Snappy)));
    for other in
        ["snapshot.", "snapshot.-1", "snapshot.+1", "snapshot.1.tmp", "log.1", "snapshot.ffffffffffffffff"]
    {
        assert_eq!(parsed(other), None, "{other}");
    }
}
