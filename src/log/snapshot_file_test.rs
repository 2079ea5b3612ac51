//! The container of a snapshot: every cut and every flipped bit of one is noticed.

use super::*;

const ZXID: Zxid = Zxid(0x2_0000_00ff);

fn chunks() -> Vec<Vec<u8>> {
    vec![b"first".to_vec(), Vec::new(), vec![7; 1000], b"last".to_vec()]
}

fn snapshot() -> Vec<u8> {
    let (mut encoder, header) = SnapshotEncoder::new(ZXID, 42);
    let mut file = header.to_vec();
    for (index, chunk) in chunks().iter().enumerate() {
        file.extend_from_slice(&encoder.chunk(index as u64, |buffer| buffer.extend_from_slice(chunk)));
    }
    file.extend_from_slice(&encoder.finish());
    file
}

#[test]
fn a_snapshot_comes_back_as_written() {
    let file = snapshot();
    let mut decoder = SnapshotDecoder::new(&file, ZXID).expect("whole");
    assert_eq!((decoder.zxid(), decoder.summary()), (ZXID, None));
    let mut found = Vec::new();
    while let Some(chunk) = decoder.next_chunk().expect("whole") {
        found.push(chunk.to_vec());
    }
    assert_eq!(found, chunks());
    assert_eq!(decoder.next_chunk(), Ok(None), "it stays at its end");
    let summary = SnapshotSummary { zxid: ZXID, chunks: 4, items: 6, payload_bytes: 1009 };
    assert_eq!(decoder.summary(), Some(summary));
    assert_eq!(verify_snapshot(&file, ZXID), Ok(summary));
}

#[test]
fn a_snapshot_without_chunks_is_whole_too() {
    let (encoder, header) = SnapshotEncoder::new(Zxid::ZERO, 1);
    let file = [header, encoder.finish()].concat();
    let summary = SnapshotSummary { zxid: Zxid::ZERO, chunks: 0, items: 0, payload_bytes: 0 };
    assert_eq!(verify_snapshot(&file, Zxid::ZERO), Ok(summary));
}

#[test]
fn every_cut_is_noticed() {
    let file = snapshot();
    for bytes in 0..file.len() {
        let fault = SnapshotFault::Incomplete { bytes: bytes as u64 };
        assert_eq!(verify_snapshot(&file[..bytes], ZXID), Err(fault));
    }
    let mut longer = file.clone();
    longer.push(0);
    let offset = file.len() as u64;
    assert!(
        matches!(verify_snapshot(&longer, ZXID), Err(SnapshotFault::Damaged { offset: o, .. }) if o == offset)
    );
}

#[test]
fn every_flipped_bit_is_noticed() {
    let file = snapshot();
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let fault = verify_snapshot(&flipped, ZXID).expect_err("a bit is wrong");
        // A wrong length may point behind the end; anything else is damage, at or before the bit.
        match fault {
            SnapshotFault::Damaged { offset, .. } => assert!(offset <= bit as u64 / 8, "{bit}: {fault}"),
            SnapshotFault::Incomplete { .. } => {}
            SnapshotFault::Newer { .. } | SnapshotFault::OtherZxid { .. } => panic!("bit {bit}: {fault}"),
        }
    }
}

#[test]
fn chunks_of_another_snapshot_or_in_another_order_are_noticed() {
    let (mut encoder, header) = SnapshotEncoder::new(ZXID, 1);
    let a = encoder.chunk(1, |buffer| buffer.push(1));
    let b = encoder.chunk(1, |buffer| buffer.push(2));
    let footer = encoder.finish();
    let (mut other, _) = SnapshotEncoder::new(ZXID, 2);
    let foreign = other.chunk(1, |buffer| buffer.push(1));
    let verify = |pieces: &[&Bytes]| {
        let file: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        verify_snapshot(&file, ZXID)
    };
    assert!(verify(&[&header, &a, &b, &footer]).is_ok());
    for wrong in [
        &[&header, &b, &a, &footer][..],
        &[&header, &a, &footer],
        &[&header, &a, &a, &b, &footer],
        &[&header, &foreign, &b, &footer],
        &[&header, &footer],
    ] {
        assert!(matches!(verify(wrong), Err(SnapshotFault::Damaged { .. })));
    }
}

#[test]
fn a_newer_format_another_zxid_and_another_file_are_told_apart() {
    let file = snapshot();
    assert_eq!(
        verify_snapshot(&file, Zxid(5)),
        Err(SnapshotFault::OtherZxid { named: Zxid(5), found: ZXID })
    );
    let mut newer: [u8; HEADER_BYTES] = file[..HEADER_BYTES].try_into().expect("its size");
    newer[8] = 9;
    let checksum = header_checksum(&newer);
    newer[12..16].copy_from_slice(&checksum.to_le_bytes());
    let fault = verify_snapshot(&newer, ZXID).expect_err("unknown");
    assert_eq!(fault, SnapshotFault::Newer { version: 9 });
    assert!(fault.to_string().contains("newer version"));
    let java = [b"ZKSN".as_slice(), &[0; 200]].concat();
    assert!(matches!(verify_snapshot(&java, ZXID), Err(SnapshotFault::Damaged { offset: 0, .. })));
}

#[test]
fn names_of_snapshots_are_canonical() {
    assert_eq!(snapshot_file_name(ZXID), "snapshot.00000002000000ff");
    assert_eq!(SnapshotName::parse("snapshot.00000002000000ff"), Some(SnapshotName::Whole(ZXID)));
    let temporary = snapshot_temporary_name(ZXID);
    assert_eq!(SnapshotName::parse(&temporary), Some(SnapshotName::Temporary(ZXID)));
    for foreign in [
        "snapshot.100000005",
        "snapshot.",
        "snapshot.00000002000000FF",
        "snapshot.tmp",
        "segment.0000000000000001",
    ] {
        assert_eq!(SnapshotName::parse(foreign), None, "{foreign}");
    }
}
