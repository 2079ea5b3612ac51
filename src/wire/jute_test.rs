//! Primitive types: every rule of the encoding, from both sides.

use super::*;
use crate::wire::testing::{encoded, hex};

fn reason<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Option<(u32, Reason)> {
    T::parse(bytes).err().map(|error| (error.offset, error.reason))
}

#[test]
fn integers_are_big_endian_and_read_one_after_the_other() {
    let bytes = hex("01020304 ffffffffffffff9b 00 02 80000000");
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.i32(), Ok(0x0102_0304));
    assert_eq!(reader.i64(), Ok(-101));
    assert_eq!(reader.bool(), Ok(false));
    assert_eq!(reader.bool(), Ok(true), "any byte but zero");
    assert_eq!(reader.offset(), 14);
    assert_eq!(reader.i32(), Ok(i32::MIN));
    assert!(reader.is_empty());
    assert_eq!(reader.bool(), Err(DecodeError { offset: 18, reason: Reason::Truncated }));
}

#[test]
fn writers_write_what_readers_read() {
    assert_eq!(encoded(&-101_i32), hex("ffffff9b"));
    assert_eq!(encoded(&Zxid(0x1_0000_0002)), hex("0000000100000002"));
    assert_eq!(encoded(&true), hex("01"));
    assert_eq!(encoded(&Text::from("/a")), hex("00000002 '/a'"));
    assert_eq!(encoded(&Some(Text::from(""))), hex("00000000"));
    assert_eq!(encoded(&None::<Text>), hex("ffffffff"));
    assert_eq!(encoded(&None::<&[u8]>), hex("ffffffff"));
    assert_eq!(encoded(&()), hex(""));
}

#[test]
fn null_and_empty_differ() {
    let (null, empty) = (hex("ffffffff"), hex("00000000"));
    assert_eq!(Option::<&[u8]>::parse(&null), Ok(None));
    assert_eq!(Option::<&[u8]>::parse(&empty), Ok(Some(&[][..])));
    assert_eq!(Option::<Text>::parse(&null), Ok(None));
    assert_eq!(Option::<Vector<i32>>::parse(&null), Ok(None));
    assert_eq!(Option::<Vector<i32>>::parse(&empty), Ok(Some(Vector::EMPTY)));
    assert_eq!(reason::<Text>(&null), Some((0, Reason::Null)));
    assert_eq!(reason::<&[u8]>(&null), Some((0, Reason::Null)));
    assert_eq!(reason::<Vector<i32>>(&null), Some((0, Reason::Null)));
}

#[test]
fn impossible_lengths_are_told_with_their_place() {
    assert_eq!(reason::<Text>(&hex("fffffffe")), Some((0, Reason::NegativeLength(-2))));
    assert_eq!(reason::<Option<&[u8]>>(&hex("80000000 00")), Some((0, Reason::NegativeLength(i32::MIN))));
    assert_eq!(reason::<Text>(&hex("00000003 6162")), Some((0, Reason::TooLong(3))));
    assert_eq!(reason::<Text>(&hex("7fffffff")), Some((0, Reason::TooLong(i32::MAX))));
    assert_eq!(reason::<Text>(&hex("000000")), Some((0, Reason::Truncated)));
    let bytes = hex("00000001 61 00000009 62");
    let mut reader = Reader::new(&bytes);
    assert_eq!(Text::decode(&mut reader), Ok("a".into()));
    let error = Text::decode(&mut reader).expect_err("nine bytes are not there");
    assert_eq!(error, DecodeError { offset: 5, reason: Reason::TooLong(9) });
    assert_eq!(error.to_string(), "the length 9 at byte 5 is more than the rest of the record holds");
}

#[test]
fn text_keeps_what_is_not_utf8() {
    let bytes = hex("00000003 2fed61");
    let text = Text::parse(&bytes).expect("any bytes are a text");
    assert_eq!(text.as_bytes(), b"/\xeda");
    assert_eq!(text.as_str(), None);
    assert_eq!(text.to_str_lossy(), "/\u{fffd}a");
    assert_eq!(format!("{text} {text:?}"), "/\u{fffd}a \"/\u{fffd}a\"");
    assert_eq!(Text::from("/\u{e4}").as_str(), Some("/\u{e4}"));
    // A surrogate written on its own, as Java's encoder does with supplementary characters, is not UTF-8 here either.
    assert_eq!(Text::from_bytes(b"/\xed\xa0\xbd\xed\xb8\x80").as_str(), None);
}

#[test]
fn lengths_are_patched_in_behind() {
    let mut out = vec![9];
    let outer = begin_length(&mut out);
    out.push(1);
    let inner = begin_length(&mut out);
    out.extend([2, 3]);
    end_length(&mut out, inner);
    end_length(&mut out, outer);
    assert_eq!(out, hex("09 00000007 01 00000002 0203"));
}

#[test]
fn a_null_mark_is_passed_over_only_where_there_is_one() {
    let bytes = hex("ffffffff ffffff");
    let mut reader = Reader::new(&bytes);
    assert!(reader.null());
    assert!(!reader.null(), "three bytes are no mark");
    assert_eq!(reader.offset(), 4);
}

#[test]
fn decode_errors_are_small() {
    assert!(size_of::<DecodeError>() <= 12, "they are in the result of every decode");
}
