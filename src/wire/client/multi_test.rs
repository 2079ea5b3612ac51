//! Framing of operations and results, as the specification has it.

use super::*;
use crate::wire::testing::{encoded, hex, stat, texts};

#[test]
fn a_failed_multi_looks_like_the_specification_s_example() {
    let mut out = Vec::new();
    encode_list(&mut out, [MultiResult::Error(ErrorCode::NoNode)]);
    assert_eq!(out, hex("ffffffff 00 ffffff9b ffffff9b ffffffff 01 ffffffff"));
    let results = MultiResults::parse(&out).expect("results");
    assert_eq!(results.iter().collect::<Vec<_>>(), [MultiResult::Error(ErrorCode::NoNode)]);
}

#[test]
fn results_of_a_multi_have_the_bytes_of_the_specification() {
    let (stat, s) = stat();
    let path: Text = "/x".into();
    let children = texts(&["a"]);
    let list = [
        MultiResult::Create { path },
        MultiResult::Create2 { path, stat },
        MultiResult::Delete,
        MultiResult::SetData { stat },
        MultiResult::Check,
        MultiResult::GetData { data: Some(b"abc"), stat },
        MultiResult::GetChildren { children },
        MultiResult::Error(ErrorCode::Ok),
        MultiResult::Error(ErrorCode::RuntimeInconsistency),
    ];
    let mut out = Vec::new();
    encode_list(&mut out, list);
    let expected = format!(
        "00000001 00 00000000 00000002 '/x'
         0000000f 00 00000000 00000002 '/x' {s}
         00000002 00 00000000
         00000005 00 00000000 {s}
         0000000d 00 00000000
         00000004 00 00000000 00000003 'abc' {s}
         00000008 00 00000000 00000001 00000001 'a'
         ffffffff 00 00000000 00000000
         ffffffff 00 fffffffe fffffffe
         ffffffff 01 ffffffff"
    );
    assert_eq!(out, hex(&expected));
    let results = MultiResults::parse(&out).expect("results");
    assert_eq!(results.len(), list.len());
    assert_eq!(results.iter().collect::<Vec<_>>(), list);

    let mut by_hand = Vec::new();
    encode_result_header(&mut by_hand, Opcode::GetChildren);
    children.encode(&mut by_hand);
    encode_end(&mut by_hand);
    assert_eq!(by_hand, hex("00000008 00 00000000 00000001 00000001 'a' ffffffff 01 ffffffff"));
}

#[test]
fn an_empty_multi_is_a_terminator_of_which_only_done_counts() {
    for text in ["ffffffff 01 ffffffff", "0000000e 01 00000000"] {
        let bytes = hex(text);
        let multi = MultiRequest::parse(&bytes).expect("an empty multi");
        assert!(multi.is_empty() && multi.iter().next().is_none());
        assert_eq!(encoded(&multi), hex("ffffffff 01 ffffffff"));
    }
}

#[test]
fn operations_stand_only_in_the_multi_of_their_kind() {
    let in_multi = [1, 2, 5, 13, 15, 19, 21];
    let in_multi_read = [4, 8];
    for kind in (-12..110).chain([i32::MIN, i32::MAX]) {
        let mut bytes = encoded(&MultiHeader { kind, done: false, err: -1 });
        // Long enough for any of the records: path, then zeros for null-free empty fields.
        bytes.extend(hex("00000002 '/x' 00000000 00000000 00000000 0000000000000000"));
        let misplaced = DecodeError { offset: 9, reason: Reason::UnknownType(kind) };
        let multi = MultiRequest::parse(&bytes).expect_err("no terminator");
        assert_eq!(multi != misplaced, in_multi.contains(&kind), "{kind}");
        let multi_read = MultiReadRequest::parse(&bytes).expect_err("no terminator");
        assert_eq!(multi_read != misplaced, in_multi_read.contains(&kind), "{kind}");
    }
}
