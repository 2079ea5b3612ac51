//! Snappy-java's stream, read and written: `\x82SNAPPY\0`, int version, int oldest compatible version, then blocks: int length,
//! and a block in snappy's raw format. A header may come again between blocks, where streams were joined.
//!
//! Format: `SnappyOutputStream` of snappy-java. It isn't the framing format of snappy itself. Tested: here, and
//! tests/java_files.rs with files of Apache's servers and for them.

use std::io::{self, Read};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const HEADER_BYTES: usize = 16;
const VERSION: i32 = 1;
/// What a block holds as we write it, and as Java does unless somebody set it higher.
const BLOCK_BYTES: usize = 32 << 10;
const BLOCK_BYTES_MAX: usize = 64 << 20;

pub struct SnappyReader<R> {
    inner: R,
    has_begun: bool,
    packed: Vec<u8>,
    block: Vec<u8>,
    /// Of the block, handed out.
    taken: usize,
}

impl<R: Read> SnappyReader<R> {
    pub fn new(inner: R) -> SnappyReader<R> {
        SnappyReader { inner, has_begun: false, packed: vec![], block: vec![], taken: 0 }
    }

    /// False at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        if !self.has_begun {
            let mut magic = [0; 8];
            self.inner.read_exact(&mut magic)?;
            if magic != MAGIC {
                return Err(bad("it doesn't begin like a stream of snappy-java"));
            }
            self.check_versions()?;
            self.has_begun = true;
        }
        let mut length = [0; 4];
        match self.inner.read(&mut length[..1])? {
            0 => return Ok(false),
            _ => self.inner.read_exact(&mut length[1..])?,
        }
        if length == MAGIC[..4] {
            let mut rest = [0; 4];
            self.inner.read_exact(&mut rest)?;
            if rest != MAGIC[4..] {
                return Err(bad("no block of snappy begins where one should"));
            }
            self.check_versions()?;
            self.block.clear();
            self.taken = 0;
            return Ok(true);
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > BLOCK_BYTES_MAX {
            return Err(bad("a block of snappy that is too long"));
        }
        self.packed.clear();
        if self.inner.by_ref().take(length as u64).read_to_end(&mut self.packed)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = snap::raw::decompress_len(&self.packed).map_err(|error| bad(&error.to_string()))?;
        if bytes > BLOCK_BYTES_MAX {
            return Err(bad("a block of snappy that is too long"));
        }
        self.block.resize(bytes, 0);
        let unpacked = snap::raw::Decoder::new().decompress(&self.packed, &mut self.block);
        unpacked.map_err(|error| bad(&error.to_string()))?;
        self.taken = 0;
        Ok(true)
    }

    fn check_versions(&mut self) -> io::Result<()> {
        let mut versions = [0; HEADER_BYTES - MAGIC.len()];
        self.inner.read_exact(&mut versions)?;
        // The second one says who can still read it.
        let compatible = i32::from_be_bytes(versions[4..].try_into().expect("four bytes"));
        if compatible > VERSION { Err(bad("a newer version of snappy-java's stream")) } else { Ok(()) }
    }
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let rest = &self.block[self.taken..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
}

/// Packs a stream, block by block.
pub struct SnappyWriter {
    has_begun: bool,
    /// Of the next block: what is there already.
    block: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl SnappyWriter {
    pub fn new() -> SnappyWriter {
        SnappyWriter { has_begun: false, block: vec![], encoder: snap::raw::Encoder::new() }
    }

    /// Appends the blocks that became full to `out`.
    pub fn pack(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK_BYTES {
                self.end_block(out);
            }
        }
    }

    /// Appends the last block, and the header if nothing was packed.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.begin(out);
        if !self.block.is_empty() {
            self.end_block(out);
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.has_begun {
            self.has_begun = true;
            out.extend(MAGIC);
            out.extend(VERSION.to_be_bytes());
            out.extend(VERSION.to_be_bytes());
        }
    }

    fn end_block(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        let packed = self.encoder.compress_vec(&self.block).expect("a block is far below snappy's limit");
        out.extend((packed.len() as u32).to_be_bytes());
        out.extend(packed);
        self.block.clear();
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(blocks: &[&[u8]]) -> Vec<u8> {
        let mut stream = MAGIC.to_vec();
        stream.extend([0, 0, 0, 1, 0, 0, 0, 1]);
        for block in blocks {
            let block = snap::raw::Encoder::new().compress_vec(block).expect("small");
            stream.extend((block.len() as u32).to_be_bytes());
            stream.extend(block);
        }
        stream
    }

    fn unpacked(stream: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        SnappyReader::new(stream).read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn blocks_and_joined_streams_are_read() {
        let two = packed(&[&[7; 40_000], b"", b"end"]);
        let expected = [vec![7; 40_000], b"end".to_vec()].concat();
        assert_eq!(unpacked(&two).expect("whole"), expected);
        let joined = [two.clone(), two].concat();
        assert_eq!(unpacked(&joined).expect("whole"), [expected.clone(), expected].concat());
        assert_eq!(unpacked(&packed(&[])).expect("whole"), b"");
    }

    #[test]
    fn what_is_packed_in_pieces_is_read_again() {
        let bytes: Vec<u8> = (0..100_000u32).map(|number| (number.wrapping_mul(number) >> 7) as u8).collect();
        for length in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, bytes.len()] {
            for piece in [1, 1000, BLOCK_BYTES, bytes.len()] {
                let (mut writer, mut stream) = (SnappyWriter::new(), vec![]);
                bytes[..length].chunks(piece).for_each(|piece| writer.pack(piece, &mut stream));
                assert!(writer.block.len() < BLOCK_BYTES);
                writer.finish(&mut stream);
                assert_eq!(unpacked(&stream).expect("whole"), bytes[..length], "{length} by {piece}");
            }
        }
    }

    #[test]
    fn every_cut_is_an_error_or_a_shorter_stream_of_whole_blocks() {
        let stream = packed(&[b"first", b"second"]);
        let whole = [&packed(&[])[..], &packed(&[b"first"]), &stream].map(<[u8]>::len);
        for cut in 0..=stream.len() {
            assert_eq!(unpacked(&stream[..cut]).is_ok(), whole.contains(&cut), "{cut}");
        }
    }

    #[test]
    fn other_bytes_and_lengths_that_lie_are_errors() {
        assert!(unpacked(b"ZKSN and what follows").is_err());
        let mut long = packed(&[]);
        long.extend(u32::MAX.to_be_bytes());
        assert!(unpacked(&long).is_err());
        // A block that says it unpacks to 4 GiB.
        let mut bomb = packed(&[]);
        bomb.extend([0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(unpacked(&bomb).is_err());
        let mut newer = packed(&[b"a"]);
        newer[15] = 2;
        assert!(unpacked(&newer).is_err());
        newer[11] = 2;
        newer[15] = 1;
        assert_eq!(unpacked(&newer).expect("readable by this version"), b"a");
    }
}
