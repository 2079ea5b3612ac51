//! What the tests of this room share: hexadecimal texts, random records, damage.

use std::fmt::Debug;

use crate::base::{Prng, SessionId, WallMillis, Zxid};

use super::acl::{AclList, OwnedAcl};
use super::jute::{Decode, DecodeError, Encode, Reader, Text};
use super::stat::Stat;
use super::vector::{Vector, encode_vector};

/// Bytes of `"0000000c 'hello' ff"`: hexadecimal digits, and ASCII between quotes; spaces separate.
pub fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_ascii_whitespace() {
        if let Some(ascii) = word.strip_prefix('\'') {
            bytes.extend(ascii.strip_suffix('\'').expect("a closing quote").as_bytes());
        } else {
            assert!(word.len().is_multiple_of(2), "an odd digit in {word}");
            let byte = |at| u8::from_str_radix(&word[at..at + 2], 16).expect("hexadecimal digits");
            bytes.extend((0..word.len()).step_by(2).map(byte));
        }
    }
    bytes
}

pub fn encoded(record: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

/// A vector of strings.
pub fn texts(texts: &[&'static str]) -> Vector<'static, Text<'static>> {
    let mut out = Vec::new();
    encode_vector(&mut out, texts);
    Vector::parse(out.leak()).expect("a vector that was just encoded")
}

/// A stat, and its bytes.
pub fn stat() -> (Stat, String) {
    let stat = Stat { czxid: Zxid(2), version: 3, num_children: 4, pzxid: Zxid(5), ..Stat::default() };
    let zeros = |bytes| "00".repeat(bytes);
    let text = format!("{}02 {} 00000003 {} 00000004 {}05", zeros(7), zeros(24), zeros(20), zeros(7));
    (stat, text)
}

/// Makes random records. They live as long as the test: what they borrow is leaked.
pub struct Make(pub Prng);

impl Make {
    pub fn bool(&mut self) -> bool {
        self.0.chance(1, 2)
    }

    pub fn i64(&mut self) -> i64 {
        match self.0.below(6) {
            0 => 0,
            1 => -1,
            2 => i64::MIN,
            3 => i64::MAX,
            _ => self.0.next() as i64,
        }
    }

    pub fn i32(&mut self) -> i32 {
        match self.0.below(6) {
            0 => 0,
            1 => -1,
            2 => i32::MIN,
            3 => i32::MAX,
            _ => self.0.next() as i32,
        }
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.below(from.len() as u64) as usize]
    }

    pub fn text(&mut self) -> Text<'static> {
        const TEXTS: [&[u8]; 7] = [
            b"",
            b"/",
            b"/a/b",
            "/h\u{e4}user/\u{65e5}".as_bytes(),
            b"\xff\xfe",
            b"/a\0b",
            b"/zookeeper/config",
        ];
        Text::from_bytes(self.pick(&TEXTS))
    }

    pub fn data(&mut self) -> Option<&'static [u8]> {
        let length = self.0.below(40);
        match self.0.below(4) {
            0 => None,
            1 => Some(b""),
            _ => Some((0..length).map(|_| self.0.next() as u8).collect::<Vec<_>>().leak()),
        }
    }

    pub fn or_null<T>(&mut self, make: impl FnOnce(&mut Make) -> T) -> Option<T> {
        if self.0.chance(1, 4) { None } else { Some(make(self)) }
    }

    pub fn vector<T: Decode<'static> + Encode>(
        &mut self,
        mut make: impl FnMut(&mut Make) -> T,
    ) -> Vector<'static, T> {
        let count = self.0.below(5);
        let mut out = Vec::new();
        encode_vector(&mut out, (0..count).map(|_| make(self)));
        Vector::parse(out.leak()).expect("a vector that was just encoded")
    }

    pub fn texts(&mut self) -> Vector<'static, Text<'static>> {
        self.vector(Make::text)
    }

    pub fn acl(&mut self) -> Option<AclList<'static>> {
        self.or_null(|make| match make.0.below(3) {
            0 => AclList::OPEN,
            1 => AclList::EMPTY,
            _ => {
                let count = make.0.below(4);
                let mut out = Vec::new();
                let entries = (0..count).map(|n| OwnedAcl::new(make.i32(), "digest", &format!("u{n}:x")));
                encode_vector(&mut out, entries);
                AclList::parse(out.leak()).expect("a list that was just encoded")
            }
        })
    }

    pub fn stat(&mut self) -> Stat {
        Stat {
            czxid: Zxid(self.i64()),
            mzxid: Zxid(self.i64()),
            ctime: WallMillis(self.i64()),
            mtime: WallMillis(self.i64()),
            version: self.i32(),
            cversion: self.i32(),
            aversion: self.i32(),
            ephemeral_owner: SessionId(self.i64()),
            data_length: self.i32(),
            num_children: self.i32(),
            pzxid: Zxid(self.i64()),
        }
    }
}

/// What came of decoding: the record printed, encoded again, and how many bytes it was.
pub type Exercised = Result<(String, Vec<u8>, usize), DecodeError>;

/// Decodes and, so that lazy parts are walked too, prints and encodes again.
pub fn exercise<'a, T: Decode<'a> + Encode + Debug>(bytes: &'a [u8]) -> Exercised {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    Ok((format!("{value:?}"), encoded(&value), reader.offset()))
}

/// What every record must stand: its encoding decodes to itself, whatever follows; each shorter one is an error
/// (`optional_bytes`: so much of the end may be left out); damage never panics, and what decodes all the same
/// encodes to something that means the same. `exercise` is the function above, for the type of `value`.
pub fn check_record(
    value: &(impl Encode + Debug),
    optional_bytes: usize,
    exercise: impl Fn(&[u8]) -> Exercised,
    prng: &mut Prng,
) {
    let bytes = encoded(value);
    let whole = Ok((format!("{value:?}"), bytes.clone(), bytes.len()));
    assert_eq!(exercise(&bytes), whole, "its own encoding");
    assert_eq!(exercise(&[&*bytes, b"more"].concat()), whole, "followed by something");
    for cut in 0..bytes.len().saturating_sub(optional_bytes) {
        let error = exercise(&bytes[..cut]).expect_err("a prefix is no record");
        assert!(error.offset as usize <= cut, "{error} in {cut} bytes of {value:?}");
    }
    let mut damaged = bytes;
    for _ in 0..8 {
        if !damaged.is_empty() {
            let at = prng.below(damaged.len() as u64) as usize;
            damaged[at] = if prng.chance(1, 2) { 0xff } else { prng.next() as u8 };
        }
        check_any_bytes(&damaged, &exercise);
    }
    let length = prng.below(64);
    let noise: Vec<u8> = (0..length).map(|_| prng.next() as u8 * prng.below(2) as u8).collect();
    check_any_bytes(&noise, &exercise);
}

/// Whatever the bytes: no panic, and what decodes stays the same when encoded and decoded again.
pub fn check_any_bytes(bytes: &[u8], exercise: impl Fn(&[u8]) -> Exercised) {
    if let Ok((printed, again, _)) = exercise(bytes) {
        assert_eq!(exercise(&again), Ok((printed, again.clone(), again.len())));
    }
}
