//! How a snapshot file of Apache ZooKeeper is packed: as a whole, seals included. The end of its name says how, and Apache's
//! servers look at nothing else: each reads every kind whatever it is set to write (`SnapStream.java`, since 3.6).
//!
//! Called by `snapshot_reader` and `snapshot_writer`. A [`Packer`] holds what it hasn't handed on yet: less than a block.
//! Pure: bytes in, bytes out. Tested: snapshot_reader_test.rs, and tests/java_files.rs with Apache's servers.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::snappy::SnappyWriter;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Packing {
    #[default]
    None,
    Gzip,
    Snappy,
}

impl Packing {
    const ALL: [Packing; 3] = [Packing::None, Packing::Gzip, Packing::Snappy];

    /// Behind the zxid in a file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Packing::None => "",
            Packing::Gzip => ".gz",
            Packing::Snappy => ".snappy",
        }
    }

    /// By the first bytes of a file; `None`: it is no snapshot.
    pub fn of_beginning(begin: &[u8]) -> Option<Packing> {
        match begin {
            [b'Z', b'K', b'S', b'N', ..] => Some(Packing::None),
            [0x1f, 0x8b, ..] => Some(Packing::Gzip),
            [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', ..] => Some(Packing::Snappy),
            _ => None,
        }
    }

    /// `suffix`: with its dot.
    pub fn of_suffix(suffix: &str) -> Option<Packing> {
        Packing::ALL.into_iter().find(|packing| packing.suffix() == suffix)
    }
}

/// Packs one stream, piece by piece.
pub enum Packer {
    None,
    Gzip(GzEncoder<Vec<u8>>),
    Snappy(Box<SnappyWriter>),
}

impl Packer {
    pub fn new(packing: Packing) -> Packer {
        match packing {
            Packing::None => Packer::None,
            // As dense as Java's.
            Packing::Gzip => Packer::Gzip(GzEncoder::new(vec![], Compression::default())),
            Packing::Snappy => Packer::Snappy(Box::new(SnappyWriter::new())),
        }
    }

    /// Appends what became ready to `out`; the rest comes later.
    pub fn pack(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Packer::None => out.extend_from_slice(bytes),
            Packer::Gzip(encoder) => {
                encoder.write_all(bytes).expect("a vector takes everything");
                out.append(encoder.get_mut());
            }
            Packer::Snappy(writer) => writer.pack(bytes, out),
        }
    }

    /// Appends all that is left.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self {
            Packer::None => {}
            Packer::Gzip(encoder) => out.append(&mut encoder.finish().expect("a vector takes everything")),
            Packer::Snappy(writer) => writer.finish(out),
        }
    }
}
