//! Jute, ZooKeeper's encoding: big-endian integers, length-prefixed strings and buffers, counted vectors, records as
//! their fields in order without tags.
//!
//! Called by every other file of `wire`, and by `tree` for snapshots. Invariant: no input makes a decoder panic.
//! Strings stay bytes ([`Text`]), because a client may send any. Vectors have a file of their own.
//! Source of the format: ZooKeeper's `BinaryInputArchive` and `BinaryOutputArchive`.

use std::borrow::Cow;
use std::fmt;

use crate::base::{SessionId, WallMillis, Zxid};

pub use super::vector::{Elements, Vector, VectorWriter, encode_vector};

/// Why bytes are not the record they should be. The answer to a request is MarshallingError, whatever the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Offset of the offending field, in bytes from the start of what the [`Reader`] was given.
    pub offset: u32,
    pub reason: Reason,
}

/// The kinds of malformed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The input ends within a field of fixed size.
    Truncated,
    /// A string or buffer says this length. Only -1 (null) may be negative.
    NegativeLength(i32),
    /// A string, buffer or vector says this length or count, and what is left of the input can't hold it.
    TooLong(i32),
    /// A null where the protocol knows no meaning for null.
    Null,
    /// No record is known for this type (of a transaction, or of an operation within a multi).
    UnknownType(i32),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.offset;
        match self.reason {
            Reason::Truncated => write!(f, "the record is cut off: its field at byte {at} has no end"),
            Reason::NegativeLength(length) => write!(f, "negative length {length} at byte {at}"),
            Reason::TooLong(length) => {
                write!(f, "the length {length} at byte {at} is more than the rest of the record holds")
            }
            Reason::Null => write!(f, "null at byte {at}, where a value is needed"),
            Reason::UnknownType(kind) => write!(f, "unknown or misplaced type {kind} at byte {at}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A record or field that can be read from jute. `'a` is the life of the input, from which it may borrow.
pub trait Decode<'a>: Sized {
    /// The shortest encoding there is; bounds the count of a vector by the bytes that are left.
    const BYTES_MIN: usize;

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Decodes from the start of `bytes`; what follows the record is ignored.
    #[inline]
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode(&mut Reader::new(bytes))
    }
}

/// A record or field that can be written as jute.
pub trait Encode {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);
}

/// A position in bytes that are being decoded. A failed read leaves the position anywhere: stop there.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Length of the whole input; only to tell offsets in errors.
    total: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, total: bytes.len() }
    }

    /// What has not been read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes read so far.
    #[inline]
    pub fn offset(&self) -> usize {
        self.total - self.rest.len()
    }

    /// An error about the field that starts at the present position.
    #[cold]
    pub fn error(&self, reason: Reason) -> DecodeError {
        DecodeError { offset: u32::try_from(self.offset()).unwrap_or(u32::MAX), reason }
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.error(Reason::Truncated)),
        }
    }

    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(*self.array()?))
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(*self.array()?))
    }

    /// Any byte but zero is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let [byte] = *self.array()?;
        Ok(byte != 0)
    }

    /// A length-prefixed stretch that must not be null.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = *self;
        let length = self.i32()?;
        match usize::try_from(length) {
            Ok(count) => match self.rest.split_at_checked(count) {
                Some((bytes, rest)) => {
                    self.rest = rest;
                    Ok(bytes)
                }
                None => Err(start.error(Reason::TooLong(length))),
            },
            Err(_) if length == -1 => Err(start.error(Reason::Null)),
            Err(_) => Err(start.error(Reason::NegativeLength(length))),
        }
    }

    /// Passes over the mark of a null string, buffer or vector (the length -1), if that is what comes next.
    #[inline]
    pub fn null(&mut self) -> bool {
        match self.rest.split_first_chunk::<4>() {
            Some((&NULL, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

/// The length or count of what is null.
const NULL: [u8; 4] = [0xff; 4];

/// A string as it came: UTF-8 unless a client sent something else.
///
/// ZooKeeper decodes strings with U+FFFD in the place of what is malformed. A path is therefore never malformed and
/// valid: on writes it ends as BadArguments (U+FFFD is forbidden in paths), on reads as NoNode (no such znode can
/// exist). Keeping the bytes gives both answers without copying: `as_str()` is `None`, or nothing is found. A valid
/// four-byte sequence is forbidden in paths as well; that is for the path check, not for this type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    #[inline]
    pub const fn from_bytes(bytes: &'a [u8]) -> Text<'a> {
        Text(bytes)
    }

    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// `None` where the bytes are not UTF-8.
    #[inline]
    pub fn as_str(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }

    /// For the opaque strings (auth scheme, ACL id), in which ZooKeeper stores the replacement characters.
    pub fn to_str_lossy(self) -> Cow<'a, str> {
        super::java_text::read(self.0)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    #[inline]
    fn from(string: &'a str) -> Text<'a> {
        Text(string.as_bytes())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.to_str_lossy(), f)
    }
}

/// Lossy, for messages.
impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.to_str_lossy(), f)
    }
}

/// Starts a length-prefixed stretch (a buffer, or a frame) whose length is not known yet: hand the returned position to
/// [`end_length`] when all of it has been appended.
#[must_use = "the length is written by `end_length`"]
pub fn begin_length(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    at
}

/// Writes at `at` how many bytes have been appended behind it.
pub fn end_length(out: &mut [u8], at: usize) {
    let length =
        i32::try_from(out.len() - at - 4).expect("no buffer reaches 2 GiB: frames are bounded far below");
    patch_i32(out, at, length);
}

/// Overwrites the four bytes at `at`.
pub(super) fn patch_i32(out: &mut [u8], at: usize, value: i32) {
    out[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// Field types that are an integer on the wire.
macro_rules! integers {
    ($($ty:ty, $read:ident, $from:expr, $to:expr;)*) => { $(
        impl<'a> Decode<'a> for $ty {
            const BYTES_MIN: usize = size_of::<$ty>();

            #[inline]
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                reader.$read().map($from)
            }
        }

        impl Encode for $ty {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&$to(*self).to_be_bytes());
            }
        }
    )* };
}

integers! {
    i32, i32, |n| n, |n: i32| n;
    i64, i64, |n| n, |n: i64| n;
    Zxid, i64, Zxid, |zxid: Zxid| zxid.0;
    SessionId, i64, SessionId, |session: SessionId| session.0;
    WallMillis, i64, WallMillis, |millis: WallMillis| millis.0;
}

/// The body of operations that have none.
impl Encode for () {
    #[inline]
    fn encode(&self, _out: &mut Vec<u8>) {}
}

impl<'a> Decode<'a> for bool {
    const BYTES_MIN: usize = 1;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<bool, DecodeError> {
        reader.bool()
    }
}

impl Encode for bool {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

/// A buffer that must not be null.
impl<'a> Decode<'a> for &'a [u8] {
    const BYTES_MIN: usize = 4;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.bytes()
    }
}

impl Encode for [u8] {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(out, self);
    }
}

impl Nullable for &[u8] {}

/// A string that must not be null: paths. ZooKeeper answers MarshallingError to a null path, and so does this.
impl<'a> Decode<'a> for Text<'a> {
    const BYTES_MIN: usize = 4;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Text(reader.bytes()?))
    }
}

impl Encode for Text<'_> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(out, self.0);
    }
}

impl Nullable for Text<'_> {}

/// What starts with a length or count, which is -1 for null: strings, buffers, vectors. A field of such a type refuses
/// null; an `Option` of it takes null for `None`. Null and empty differ.
pub trait Nullable {}

impl<'a, T: Decode<'a> + Nullable> Decode<'a> for Option<T> {
    const BYTES_MIN: usize = 4;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if reader.null() { Ok(None) } else { T::decode(reader).map(Some) }
    }
}

impl<T: Encode + Nullable> Encode for Option<T> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.encode(out),
            None => out.extend_from_slice(&NULL),
        }
    }
}

impl Encode for str {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(out, self.as_bytes());
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

/// Appends a string or buffer: its length, then its bytes.
#[inline]
pub fn encode_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = i32::try_from(bytes.len()).expect("no buffer reaches 2 GiB: frames are bounded far below");
    out.reserve(4 + bytes.len());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Declares a record: the fields in wire order give the struct, its decoder and its encoder.
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident<$life:lifetime> { $($(#[$field_meta:meta])* pub $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<$life> { $($(#[$field_meta])* pub $field: $ty,)* }

        impl<$life> $crate::wire::jute::Decode<$life> for $name<$life> {
            const BYTES_MIN: usize = 0 $(+ <$ty as $crate::wire::jute::Decode<$life>>::BYTES_MIN)*;

            #[inline]
            fn decode(
                reader: &mut $crate::wire::jute::Reader<$life>,
            ) -> Result<Self, $crate::wire::jute::DecodeError> {
                // Struct expressions are evaluated in the order written: the order of the fields on the wire.
                Ok(Self { $($field: $crate::wire::jute::Decode::decode(reader)?,)* })
            }
        }

        impl $crate::wire::jute::Encode for $name<'_> {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::wire::jute::Encode::encode(&self.$field, out);)*
            }
        }
    };
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty,)* }

        impl<'a> $crate::wire::jute::Decode<'a> for $name {
            const BYTES_MIN: usize = 0 $(+ <$ty as $crate::wire::jute::Decode<'a>>::BYTES_MIN)*;

            #[inline]
            fn decode(
                reader: &mut $crate::wire::jute::Reader<'a>,
            ) -> Result<Self, $crate::wire::jute::DecodeError> {
                Ok(Self { $($field: $crate::wire::jute::Decode::decode(reader)?,)* })
            }
        }

        impl $crate::wire::jute::Encode for $name {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::wire::jute::Encode::encode(&self.$field, out);)*
            }
        }
    };
}
pub(crate) use record;

#[cfg(test)]
#[path = "jute_test.rs"]
mod tests;
