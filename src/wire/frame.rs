//! Cuts a byte stream into frames: `int32 length`, then that many bytes. Both directions, every message.
//!
//! Called by `shard` on what a connection has received so far, and by clients of the simulator. Keeps no state.
//! Not here: the four-letter words, which are recognised before the first length is looked at (`admin`).

use std::ops::Range;

/// Bytes of the length prefix.
pub const PREFIX_BYTES: usize = 4;

/// What the buffer starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole frame: where its body lies in the buffer. The next frame starts at `body.end`.
    Complete { body: Range<usize> },
    /// Part of a frame. When the buffer holds this many bytes there is more to say.
    NeedMore { bytes: usize },
    /// No frame can start like this. The connection is closed without a reply: what follows can't be made out.
    Bad(BadLength),
}

/// The length prefix is negative or above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLength {
    pub length: i32,
    pub limit: usize,
}

impl std::fmt::Display for BadLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BadLength { length, limit } = self;
        write!(f, "frame length {length} is not within 0..={limit}")?;
        if *length > 0 { write!(f, " (raise jute.maxbuffer if this client is right)") } else { Ok(()) }
    }
}

impl std::error::Error for BadLength {}

/// Looks at the start of `buffer`. `limit` is the longest body that is accepted (`jute.maxbuffer`), in bytes.
#[inline]
pub fn split(buffer: &[u8], limit: usize) -> Frame {
    let Some(prefix) = buffer.first_chunk::<PREFIX_BYTES>() else {
        return Frame::NeedMore { bytes: PREFIX_BYTES };
    };
    let length = i32::from_be_bytes(*prefix);
    match usize::try_from(length) {
        Ok(bytes) if bytes <= limit => {
            let end = PREFIX_BYTES + bytes;
            if buffer.len() < end {
                Frame::NeedMore { bytes: end }
            } else {
                Frame::Complete { body: PREFIX_BYTES..end }
            }
        }
        _ => Frame::Bad(BadLength { length, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::FRAME_BYTES_DEFAULT as LIMIT;

    #[test]
    fn a_frame_is_complete_with_its_last_byte() {
        let stream = [0, 0, 0, 3, 7, 8, 9, 0, 0];
        assert_eq!(split(&stream[..0], LIMIT), Frame::NeedMore { bytes: 4 });
        assert_eq!(split(&stream[..3], LIMIT), Frame::NeedMore { bytes: 4 });
        assert_eq!(split(&stream[..4], LIMIT), Frame::NeedMore { bytes: 7 });
        assert_eq!(split(&stream[..6], LIMIT), Frame::NeedMore { bytes: 7 });
        assert_eq!(split(&stream[..7], LIMIT), Frame::Complete { body: 4..7 });
        assert_eq!(split(&stream, LIMIT), Frame::Complete { body: 4..7 });
        assert_eq!(split(&stream[7..], LIMIT), Frame::NeedMore { bytes: 4 });
    }

    #[test]
    fn an_empty_frame_is_a_frame() {
        assert_eq!(split(&[0; 4], LIMIT), Frame::Complete { body: 4..4 });
    }

    #[test]
    fn the_limit_itself_is_accepted_and_one_more_is_not() {
        assert_eq!(split(&[0, 0x0f, 0xff, 0xff], LIMIT), Frame::NeedMore { bytes: 4 + 0xf_ffff });
        let bad = Frame::Bad(BadLength { length: 0x10_0000, limit: LIMIT });
        assert_eq!(split(&[0, 0x10, 0, 0], LIMIT), bad);
    }

    #[test]
    fn negative_lengths_are_bad() {
        assert_eq!(split(&[0xff; 4], LIMIT), Frame::Bad(BadLength { length: -1, limit: LIMIT }));
        let least = Frame::Bad(BadLength { length: i32::MIN, limit: LIMIT });
        assert_eq!(split(&[0x80, 0, 0, 0, 1], LIMIT), least);
    }
}
