//! The decoder: any bytes as any message. What decodes says the same again when it is encoded and decoded once more, and
//! costs no more than its length warrants.
//!
//! A round keeps what gave a result that was not seen before, and damages that further.

use std::collections::BTreeSet;
use std::fmt::Debug;

use ringkeeper::base::Prng;
use ringkeeper::wire::client::{
    ConnectRequest, ConnectResponse, GetAclResponse, GetChildren2Response, GetDataResponse, MultiResults,
    ReplyHeader, Request, RequestHeader, WatcherEvent, WhoAmIResponse,
};
use ringkeeper::wire::frame::{Frame, split};
use ringkeeper::wire::txn::{Entry, Txn};
use ringkeeper::wire::{AclList, Decode, Encode, Opcode, Reader};

use crate::corpus::{body, connect, damage, encoded, pick};

const INPUTS: u64 = 2_000;
/// What printing a message may cost, per byte of it.
const PRINTED_PER_BYTE: usize = 100;

/// What came of an input: its kind, and where and why it failed.
type Signature = (usize, Option<String>);

pub fn round(seed: u64) -> u64 {
    let mut prng = Prng::salted(seed, "decoder");
    let mut corpus: Vec<(usize, Vec<u8>)> = vec![];
    for (kind, &opcode) in Request::OPCODES.iter().enumerate() {
        corpus.push((kind, body(&mut prng, opcode)));
    }
    let others = Request::OPCODES.len();
    corpus.push((others, connect(&mut prng, None)));
    for kind in others + 1..others + OTHERS {
        let bytes = (0..prng.below(120)).map(|_| prng.next() as u8 & 0x8f).collect();
        corpus.push((kind, bytes));
    }
    let mut seen: BTreeSet<Signature> = BTreeSet::new();
    for _ in 0..INPUTS {
        let (mut kind, mut bytes) = corpus[prng.below(corpus.len() as u64) as usize].clone();
        if prng.chance(1, 20) {
            kind = prng.below((others + OTHERS) as u64) as usize;
        }
        damage(&mut prng, &mut bytes);
        if seen.insert((kind, look(kind, &bytes))) && corpus.len() < 2_000 {
            corpus.push((kind, bytes));
        }
        if prng.chance(1, 8) {
            let opcode = pick(&mut prng, Request::OPCODES);
            corpus[opcode_index(opcode)].1 = body(&mut prng, opcode);
        }
    }
    INPUTS
}

/// A decoder that believes what it is told.
pub fn canary(seed: u64) {
    let mut prng = Prng::salted(seed, "decoder");
    for _ in 0..INPUTS {
        let opcode = pick(&mut prng, &[Opcode::Delete, Opcode::GetAcl, Opcode::SetData]);
        let mut bytes = body(&mut prng, opcode);
        damage(&mut prng, &mut bytes);
        check(&bytes, |reader| {
            let length = reader.i32()?;
            let rest = reader.rest();
            Ok((String::new(), rest[..length.max(0) as usize].to_vec()))
        });
    }
}

fn opcode_index(opcode: Opcode) -> usize {
    Request::OPCODES.iter().position(|other| *other == opcode).expect("it was picked from them")
}

const OTHERS: usize = 13;

/// What decodes, printed and encoded.
type Said = Result<(String, Vec<u8>), ringkeeper::wire::DecodeError>;

fn look(kind: usize, bytes: &[u8]) -> Option<String> {
    if let Some(&opcode) = Request::OPCODES.get(kind) {
        return check(bytes, |reader| {
            let length = reader.rest().len();
            Request::decode(opcode, reader).map(|request| say(&request, length))
        });
    }
    match kind - Request::OPCODES.len() {
        0 => check(bytes, |reader| record(ConnectRequest::decode, reader)),
        1 => check(bytes, |reader| record(ConnectResponse::decode, reader)),
        2 => check(bytes, |reader| record(RequestHeader::decode, reader)),
        3 => check(bytes, |reader| record(ReplyHeader::decode, reader)),
        4 => check(bytes, |reader| record(WatcherEvent::decode, reader)),
        5 => check(bytes, |reader| record(MultiResults::decode, reader)),
        6 => check(bytes, |reader| record(GetAclResponse::decode, reader)),
        7 => check(bytes, |reader| record(GetChildren2Response::decode, reader)),
        8 => check(bytes, |reader| record(GetDataResponse::decode, reader)),
        9 => check(bytes, |reader| record(WhoAmIResponse::decode, reader)),
        10 => check(bytes, |reader| record(AclList::decode, reader)),
        11 => check(bytes, |reader| record(Entry::decode, reader)),
        _ => {
            frames(bytes);
            let kind = bytes.first().map_or(0, |byte| i32::from(*byte as i8));
            check(bytes, |reader| record(|reader| Txn::decode(kind, reader), reader))
        }
    }
}

fn record<'a, T: Encode + Debug>(
    decode: impl Fn(&mut Reader<'a>) -> Result<T, ringkeeper::wire::DecodeError>,
    reader: &mut Reader<'a>,
) -> Said {
    let length = reader.rest().len();
    decode(reader).map(|value| say(&value, length))
}

/// What a value looks like, and its encoding.
fn say(value: &(impl Debug + Encode), length: usize) -> (String, Vec<u8>) {
    let printed = format!("{value:?}");
    let most = PRINTED_PER_BYTE * (length + 10);
    assert!(printed.len() <= most, "{length} bytes became {} when printed", printed.len());
    (printed, encoded(value))
}

/// Decodes, and decodes what that encodes to.
fn check(bytes: &[u8], decode: impl for<'a> Fn(&mut Reader<'a>) -> Said) -> Option<String> {
    let first = match decode(&mut Reader::new(bytes)) {
        Ok(first) => first,
        Err(error) => return fault(bytes, &error),
    };
    let second = decode(&mut Reader::new(&first.1));
    assert_eq!(second, Ok(first.clone()), "it says something else the second time");
    None
}

fn fault(bytes: &[u8], error: &ringkeeper::wire::DecodeError) -> Option<String> {
    assert!(error.offset as usize <= bytes.len(), "{error} in {} bytes", bytes.len());
    Some(format!("{:?} at {}", std::mem::discriminant(&error.reason), error.offset / 8))
}

/// Cutting a stream into frames.
fn frames(bytes: &[u8]) {
    let limit = 200;
    let mut rest = bytes;
    loop {
        match split(rest, limit) {
            Frame::Complete { body } => {
                assert!(body.start == 4 && body.len() <= limit && body.end <= rest.len());
                rest = &rest[body.end..];
            }
            Frame::NeedMore { bytes } => {
                assert!(bytes > rest.len() && bytes <= limit + 4);
                return;
            }
            Frame::Bad(_) => return,
        }
    }
}
