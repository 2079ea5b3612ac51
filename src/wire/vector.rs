//! Counted sequences: decoded without memory, encoded without knowing the count.
//!
//! Called by every record that has one. Invariant: a [`Vector`] holds only elements that decode.
//! Limits: a count is held against the bytes that are left before the walk.

use std::fmt;
use std::marker::PhantomData;

use super::jute::{Decode, DecodeError, Encode, Nullable, Reader, Reason, patch_i32};

/// A counted sequence, kept as its encoding: `int count`, then the elements. Never null: where null has a meaning the
/// field is an `Option`.
///
/// Every element was decoded once when the vector was; iterating decodes again, and so needs no memory.
/// Any negative count but -1 is an empty vector, as in ZooKeeper.
pub struct Vector<'a, T> {
    /// The count, not negative, and exactly its elements: never shorter than four bytes.
    encoded: &'a [u8],
    element: PhantomData<fn() -> T>,
}

impl<'a, T> Vector<'a, T> {
    pub const EMPTY: Vector<'static, T> = Vector { encoded: &[0; 4], element: PhantomData };

    /// Count and elements, as on the wire.
    #[inline]
    pub fn as_encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        let count = self.encoded.first_chunk().map_or(0, |count| i32::from_be_bytes(*count));
        usize::try_from(count).unwrap_or(0)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn iter(&self) -> Elements<'a, T> {
        self.iter_behind(Done::default())
    }

    /// The elements behind those that an earlier [`Elements::done`] told of.
    #[inline]
    pub fn iter_behind(&self, done: Done) -> Elements<'a, T> {
        let elements = self.encoded.get(4 + done.bytes..).unwrap_or_default();
        let left = self.len().saturating_sub(done.count);
        Elements { left, done, reader: Reader::new(elements), element: PhantomData }
    }

    /// Takes an encoding whose count and elements the caller knows to be sound.
    #[inline]
    pub(super) const fn from_checked(encoded: &'a [u8]) -> Vector<'a, T> {
        Vector { encoded, element: PhantomData }
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Vector<'a, T> {
    const BYTES_MIN: usize = 4;

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = *reader;
        let count = reader.i32()?;
        let Ok(elements) = usize::try_from(count) else {
            return if count == -1 { Err(start.error(Reason::Null)) } else { Ok(Vector::EMPTY) };
        };
        // Before the walk, so that a huge count costs nothing.
        const { assert!(T::BYTES_MIN > 0, "the walk is bounded by the bytes it eats") };
        if elements.saturating_mul(T::BYTES_MIN) > reader.rest().len() {
            return Err(start.error(Reason::TooLong(count)));
        }
        for _ in 0..elements {
            T::decode(reader)?;
        }
        let bytes = start.rest().len() - reader.rest().len();
        Ok(Vector::from_checked(&start.rest()[..bytes]))
    }
}

impl<T> Nullable for Vector<'_, T> {}

impl<T> Encode for Vector<'_, T> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.encoded);
    }
}

impl<T> Clone for Vector<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Vector<'_, T> {}

impl<T> PartialEq for Vector<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl<T> Eq for Vector<'_, T> {}

impl<'a, T: Decode<'a> + fmt::Debug> fmt::Debug for Vector<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Decode<'a>> IntoIterator for Vector<'a, T> {
    type Item = T;
    type IntoIter = Elements<'a, T>;

    fn into_iter(self) -> Elements<'a, T> {
        self.iter()
    }
}

/// How far an iteration got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    count: usize,
    bytes: usize,
}

/// The elements of a [`Vector`], in order.
#[derive(Clone, Debug)]
pub struct Elements<'a, T> {
    left: usize,
    /// Before the reader.
    done: Done,
    reader: Reader<'a>,
    element: PhantomData<fn() -> T>,
}

impl<T> Elements<'_, T> {
    /// Where to go on another time.
    pub fn done(&self) -> Done {
        let Done { count, bytes } = self.done;
        Done { count, bytes: bytes + self.reader.offset() }
    }
}

impl<'a, T: Decode<'a>> Iterator for Elements<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.done.count += 1;
        let element = T::decode(&mut self.reader);
        debug_assert!(element.is_ok(), "the elements of a vector are checked when it is made");
        element.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T: Decode<'a>> ExactSizeIterator for Elements<'a, T> {}

/// Appends a vector element by element, where nobody has them in one piece.
#[derive(Debug)]
#[must_use = "the count is written by `end`"]
pub struct VectorWriter {
    at: usize,
    count: i32,
}

impl VectorWriter {
    pub fn begin(out: &mut Vec<u8>) -> VectorWriter {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        VectorWriter { at, count: 0 }
    }

    #[inline]
    pub fn push(&mut self, out: &mut Vec<u8>, element: &(impl Encode + ?Sized)) {
        self.count += 1;
        element.encode(out);
    }

    pub fn end(self, out: &mut [u8]) {
        patch_i32(out, self.at, self.count);
    }
}

/// Appends `elements` as a vector.
pub fn encode_vector<E: Encode>(out: &mut Vec<u8>, elements: impl IntoIterator<Item = E>) {
    let mut vector = VectorWriter::begin(out);
    for element in elements {
        vector.push(out, &element);
    }
    vector.end(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::jute::Text;
    use crate::wire::testing::{encoded, hex};

    #[test]
    fn elements_come_in_order_and_the_encoding_stays() {
        let bytes = hex("00000003 00000001 'a' 00000000 00000002 'bc' 77");
        let mut reader = Reader::new(&bytes);
        let vector = Vector::<Text>::decode(&mut reader).expect("three strings");
        assert_eq!(reader.rest(), [0x77]);
        assert_eq!(vector.len(), 3);
        assert_eq!(vector.iter().len(), 3);
        assert_eq!(vector.iter().collect::<Vec<_>>(), ["a", "", "bc"].map(Text::from));
        assert_eq!(vector.as_encoded(), &bytes[..bytes.len() - 1]);
        assert_eq!(encoded(&vector), vector.as_encoded());
        assert_eq!(format!("{vector:?}"), r#"["a", "", "bc"]"#);
    }

    #[test]
    fn negative_counts_but_minus_one_are_empty() {
        for count in [-2, -1000, i32::MIN] {
            let bytes = encoded(&count);
            assert_eq!(Vector::<Text>::parse(&bytes), Ok(Vector::EMPTY));
        }
        assert_eq!(Vector::<Text>::EMPTY.iter().next(), None);
        assert_eq!(encoded(&Vector::<Text>::EMPTY), hex("00000000"));
    }

    #[test]
    fn a_count_beyond_the_rest_is_refused_before_the_walk() {
        let error = |bytes: &[u8]| Vector::<Text>::parse(bytes).expect_err("too few bytes");
        for (bytes, count) in [("7fffffff 00000000", i32::MAX), ("00000002 00000000 000000", 2)] {
            assert_eq!(error(&hex(bytes)), DecodeError { offset: 0, reason: Reason::TooLong(count) });
        }
        // Room for two of the shortest, but the first is longer and the second has no end.
        let second = DecodeError { offset: 9, reason: Reason::Truncated };
        assert_eq!(error(&hex("00000002 00000001 'a' 000000")), second);
    }

    #[test]
    fn a_null_element_is_an_error_where_the_type_knows_no_null() {
        let bytes = hex("00000001 ffffffff");
        let error = Vector::<Text>::parse(&bytes).expect_err("null");
        assert_eq!(error, DecodeError { offset: 4, reason: Reason::Null });
        let vector = Vector::<Option<Text>>::parse(&bytes).expect("null is a value");
        assert_eq!(vector.iter().collect::<Vec<_>>(), [None]);
    }

    #[test]
    fn a_writer_counts_what_it_is_given() {
        let mut out = hex("aa");
        let mut vector = VectorWriter::begin(&mut out);
        vector.push(&mut out, "x");
        vector.push(&mut out, &Text::from("yz"));
        vector.end(&mut out);
        assert_eq!(out, hex("aa 00000002 00000001 'x' 00000002 'yz'"));
        let mut empty = Vec::new();
        encode_vector(&mut empty, [0_i32; 0]);
        assert_eq!(empty, hex("00000000"));
    }
}
