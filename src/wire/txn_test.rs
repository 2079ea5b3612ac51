//! Every kind of transaction: its bytes, the old forms, a round trip, and damage.

use super::*;
use crate::base::Prng;
use crate::wire::testing::{Exercised, Make, check_any_bytes, check_record, encoded, exercise, hex};
use crate::wire::vector::encode_vector;

const OPEN: &str = "00000001 0000001f 00000005 'world' 00000006 'anyone'";

fn vector<T: Decode<'static> + Encode>(elements: impl IntoIterator<Item = T>) -> Vector<'static, T> {
    let mut out = Vec::new();
    encode_vector(&mut out, elements);
    Vector::parse(out.leak()).expect("a vector that was just encoded")
}

/// One of each kind with its bytes, written down from the specification by hand.
fn examples() -> Vec<(Txn<'static>, String)> {
    let path: Text = "/x".into();
    let data: Option<&[u8]> = Some(b"abc");
    let acl = Some(AclList::OPEN);
    let set_data = SetDataTxn { path, data, version: 2 };
    let container = format!("00000002 '/x' 00000003 'abc' {OPEN} 00000001");
    let create = format!("00000002 '/x' 00000003 'abc' {OPEN} 00 00000001");
    let multi = vector([
        SubTxn(Txn::Delete(DeleteTxn { path })),
        SubTxn(Txn::Check(CheckVersionTxn { path, version: 3 })),
        SubTxn(Txn::Error(ErrorTxn { err: -2 })),
    ]);
    vec![
        (Txn::CreateSession(CreateSessionTxn { timeout_ms: 10_000 }), "00002710".into()),
        (Txn::CloseSession(Some(vector([Text::from("/e")]))), "00000001 00000002 '/e'".into()),
        (
            Txn::Create(CreateTxn { path, data, acl, ephemeral: false, parent_cversion: 1 }),
            "000000022f78 00000003616263 00000001 0000001f 00000005776f726c64 00000006616e796f6e65 00 00000001"
                .into(),
        ),
        (Txn::Create2(CreateTxn { path, data, acl, ephemeral: false, parent_cversion: 1 }), create),
        (
            Txn::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion: 1 }),
            container.clone(),
        ),
        (
            Txn::CreateTtl(CreateTtlTxn { path, data, acl, parent_cversion: 1, ttl: 5000 }),
            format!("{container} 0000000000001388"),
        ),
        (Txn::Delete(DeleteTxn { path }), "00000002 '/x'".into()),
        (Txn::DeleteContainer(DeleteTxn { path }), "00000002 '/x'".into()),
        (Txn::SetData(set_data), "00000002 '/x' 00000003 'abc' 00000002".into()),
        (Txn::Reconfig(SetDataTxn { version: -1, ..set_data }), "00000002 '/x' 00000003 'abc' ffffffff".into()),
        (Txn::SetAcl(SetAclTxn { path, acl, version: 4 }), format!("00000002 '/x' {OPEN} 00000004")),
        (Txn::Error(ErrorTxn { err: -101 }), "ffffff9b".into()),
        (
            Txn::Multi(multi),
            "00000003
             00000002 00000006 00000002 '/x'
             0000000d 0000000a 00000002 '/x' 00000003
             ffffffff 00000004 fffffffe"
                .into(),
        ),
    ]
}

fn entry<'a>(txn: Txn<'a>, digest: Option<TxnDigest>) -> Entry<'a> {
    let session = SessionId(0x200_0011_ae25_0000);
    Entry::new(session, 3, Zxid(0x1_0000_0002), WallMillis(1_795_169_287_086), txn, digest)
}

const DIGEST: TxnDigest = TxnDigest { version: TxnDigest::VERSION, tree_digest: 0x1_952f_16f0 };

#[test]
fn every_kind_has_the_bytes_of_the_specification() {
    for (txn, text) in examples() {
        let bytes = hex(&text);
        assert_eq!(encoded(&txn), bytes, "{txn:?}");
        let mut reader = Reader::new(&bytes);
        assert_eq!(Txn::decode(txn.kind().code(), &mut reader), Ok(txn));
        assert!(reader.is_empty(), "{txn:?}");
    }
}

#[test]
fn entries_have_the_lengths_and_bytes_of_the_specification_s_examples() {
    let header = "02000011ae250000 00000003 0000000100000002 000001a1f86d7bae";
    let find = |kind: Opcode| {
        let found = examples().into_iter().find(|(txn, _)| txn.kind() == kind);
        found.expect("an example of each kind")
    };
    for (kind, digest, bytes) in [
        (Opcode::CreateSession, Some(DIGEST), 48),
        (Opcode::Create, Some(DIGEST), 89),
        (Opcode::Error, None, 36),
        (Opcode::CloseSession, Some(DIGEST), 54),
    ] {
        let (txn, text) = find(kind);
        let entry = entry(txn, digest);
        let out = encoded(&entry);
        assert_eq!(out.len(), bytes, "{kind}");
        let digest = if digest.is_some() { "00000002 00000001952f16f0" } else { "" };
        let whole = format!("{header} {} {text} {digest}", hex_of(kind.code()));
        assert_eq!(out, hex(&whole), "{kind}");
        assert_eq!(Entry::parse(&out), Ok(entry));
    }
}

fn hex_of(value: i32) -> String {
    format!("{:08x}", value as u32)
}

#[test]
fn the_digest_is_there_if_enough_bytes_are_left() {
    for (txn, _) in examples() {
        let with = encoded(&entry(txn, Some(DIGEST)));
        assert_eq!(Entry::parse(&with), Ok(entry(txn, Some(DIGEST))));
        let without = encoded(&entry(txn, None));
        assert_eq!(Entry::parse(&without), Ok(entry(txn, None)));
        if let Txn::CloseSession(_) = txn {
            continue;
        }
        for cut in without.len()..with.len() {
            assert_eq!(Entry::parse(&with[..cut]), Ok(entry(txn, None)), "as an older server reads it");
        }
    }
}

#[test]
fn a_close_session_without_its_paths_is_understood() {
    for digest in [None, Some(DIGEST), Some(TxnDigest { tree_digest: 0, ..DIGEST })] {
        let old = entry(Txn::CloseSession(None), digest);
        let out = encoded(&old);
        assert_eq!(Entry::parse(&out), Ok(old));
    }
    let empty = entry(Txn::CloseSession(Some(Vector::EMPTY)), Some(DIGEST));
    assert_eq!(Entry::parse(&encoded(&empty)), Ok(empty));
}

#[test]
fn a_create_without_its_parent_s_cversion_is_understood() {
    let record = hex(&format!("00000002 '/x' ffffffff {OPEN} 01"));
    let mut out = encoded(&entry(Txn::Delete(DeleteTxn { path: "".into() }), None).header);
    out.truncate(28);
    out.extend(encoded(&Opcode::Create.code()));
    out.extend(&record);
    let expected = CreateTxn {
        path: "/x".into(),
        data: None,
        acl: Some(AclList::OPEN),
        ephemeral: true,
        parent_cversion: -1,
    };
    let read = Entry::parse(&out).expect("the old form");
    assert_eq!((read.txn, read.digest), (Txn::Create(expected), None));
    // create2 came after the field, so there it is never missing.
    assert!(Txn::decode(Opcode::Create2.code(), &mut Reader::new(&record)).is_err());
}

#[test]
fn unknown_kinds_are_told() {
    for kind in [0, 3, 9, 10, 13, 17, 22, 100, -2, i32::MAX] {
        let error = DecodeError { offset: 0, reason: Reason::UnknownType(kind) };
        assert_eq!(Txn::decode(kind, &mut Reader::new(&[0; 64])), Err(error));
    }
}

#[test]
fn a_multi_holds_no_multi_and_tells_where_it_is_damaged() {
    for kind in [Opcode::Multi, Opcode::CreateSession, Opcode::CloseSession, Opcode::Reconfig, Opcode::SetAcl]
    {
        let bytes = [hex("00000001"), encoded(&kind.code()), hex("00000004 00000000")].concat();
        let error = MultiTxn::parse(&bytes).expect_err("not within a multi");
        assert_eq!(error, DecodeError { offset: 12, reason: Reason::UnknownType(kind.code()) });
    }
    let bytes = hex("00000002  00000002 00000006 00000002 '/x'  00000005 00000009 00000002 '/x' 000000");
    let error = MultiTxn::parse(&bytes).expect_err("setData ends after its path");
    assert_eq!(error, DecodeError { offset: 32, reason: Reason::Truncated });
    let null = hex("00000001 00000002 ffffffff");
    assert!(MultiTxn::parse(&null).is_err());
}

#[test]
fn sub_transactions_come_in_order() {
    let (multi, _) = examples().pop().expect("the multi is last");
    let Txn::Multi(multi) = multi else { panic!("the multi is last") };
    let kinds: Vec<Opcode> = multi.iter().map(|SubTxn(txn)| txn.kind()).collect();
    assert_eq!(kinds, [Opcode::Delete, Opcode::Check, Opcode::Error]);
}

#[test]
fn an_unknown_error_of_a_newer_leader_is_a_system_error() {
    assert_eq!(ErrorTxn { err: -101 }.code(), ErrorCode::NoNode);
    assert_eq!(ErrorTxn { err: -999 }.code(), ErrorCode::SystemError);
}

#[test]
#[should_panic(expected = "the header names the record that follows")]
fn a_header_of_another_kind_is_our_own_mistake() {
    let mut entry = entry(Txn::Error(ErrorTxn { err: 0 }), None);
    entry.header.kind = Opcode::Delete.code();
    encoded(&entry);
}

const SUB_KINDS: u64 = 9;

fn random_txn(make: &mut Make, kinds: u64) -> Txn<'static> {
    let create = |make: &mut Make| CreateTxn {
        path: make.text(),
        data: make.data(),
        acl: make.acl(),
        ephemeral: make.bool(),
        parent_cversion: make.i32(),
    };
    let set_data = |make: &mut Make| SetDataTxn { path: make.text(), data: make.data(), version: make.i32() };
    match make.0.below(kinds) {
        0 => Txn::Create(create(make)),
        1 => Txn::Create2(create(make)),
        2 => Txn::CreateContainer(CreateContainerTxn {
            path: make.text(),
            data: make.data(),
            acl: make.acl(),
            parent_cversion: make.i32(),
        }),
        3 => Txn::CreateTtl(CreateTtlTxn {
            path: make.text(),
            data: make.data(),
            acl: make.acl(),
            parent_cversion: make.i32(),
            ttl: make.i64(),
        }),
        4 => Txn::Delete(DeleteTxn { path: make.text() }),
        5 => Txn::DeleteContainer(DeleteTxn { path: make.text() }),
        6 => Txn::SetData(set_data(make)),
        7 => Txn::Error(ErrorTxn { err: make.i32() }),
        8 => Txn::Check(CheckVersionTxn { path: make.text(), version: make.i32() }),
        9 => Txn::Reconfig(set_data(make)),
        10 => Txn::SetAcl(SetAclTxn { path: make.text(), acl: make.acl(), version: make.i32() }),
        11 => Txn::CreateSession(CreateSessionTxn { timeout_ms: make.i32() }),
        12 => Txn::CloseSession(Some(make.texts())),
        _ => Txn::Multi(make.vector(|make| SubTxn(random_txn(make, SUB_KINDS)))),
    }
}

#[test]
fn random_sub_transactions_survive_a_round_trip_and_damage() {
    let make = &mut Make(Prng::salted(4, "txns"));
    let prng = &mut Prng::salted(4, "damage");
    for _ in 0..1000 {
        let txn = SubTxn(random_txn(make, SUB_KINDS));
        check_record(&txn, 0, |bytes| exercise::<SubTxn>(bytes), prng);
        let multi = make.vector(|make| SubTxn(random_txn(make, SUB_KINDS)));
        check_record(&multi, 0, |bytes| exercise::<MultiTxn>(bytes), prng);
    }
}

#[test]
fn random_entries_survive_a_round_trip_and_damage() {
    let make = &mut Make(Prng::salted(5, "entries"));
    let prng = &mut Prng::salted(5, "damage");
    let exercise: fn(&[u8]) -> Exercised = |bytes| exercise::<Entry>(bytes);
    for _ in 0..3000 {
        let txn = random_txn(make, 14);
        if let Txn::Check(_) = txn {
            continue;
        }
        let digest = make.or_null(|make| TxnDigest { version: make.i32(), tree_digest: make.i64() });
        let entry = Entry::new(
            SessionId(make.i64()),
            make.i32(),
            Zxid(make.i64()),
            WallMillis(make.i64()),
            txn,
            digest,
        );
        let mut bytes = encoded(&entry);
        assert_eq!(Entry::parse(&bytes), Ok(entry));
        let header = prng.below(TxnHeader::BYTES as u64) as usize;
        for cut in [0, header, TxnHeader::BYTES - 1] {
            assert!(Entry::parse(&bytes[..cut]).is_err());
        }
        for cut in TxnHeader::BYTES..bytes.len() {
            check_any_bytes(&bytes[..cut], exercise);
        }
        for _ in 0..8 {
            let at = prng.below(bytes.len() as u64) as usize;
            bytes[at] = if prng.chance(1, 2) { 0xff } else { prng.next() as u8 };
            check_any_bytes(&bytes, exercise);
        }
    }
}
