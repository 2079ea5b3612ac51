//! The two stat records: what a client sees of a znode, and what is kept of it in snapshots.

use crate::base::{SessionId, WallMillis, Zxid};

use super::jute::{Decode, DecodeError, Encode, Reader, record};

/// A znode's metadata as clients see it: 68 bytes. The shown cversion is not the stored one (twice the stored cversion
/// less the number of children); whoever fills this in computes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    pub czxid: Zxid,
    pub mzxid: Zxid,
    pub ctime: WallMillis,
    pub mtime: WallMillis,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    /// The owner of an ephemeral; none for containers and TTL nodes, whose kind is not shown.
    pub ephemeral_owner: SessionId,
    /// Bytes of data; zero for null.
    pub data_length: i32,
    pub num_children: i32,
    pub pzxid: Zxid,
}

impl Stat {
    pub const BYTES: usize = 68;

    /// The encoding, in one piece: every reply of a read carries one.
    #[inline]
    pub fn to_bytes(&self) -> [u8; Stat::BYTES] {
        let mut bytes = [0; Stat::BYTES];
        bytes[0..8].copy_from_slice(&self.czxid.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.mzxid.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.ctime.0.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.mtime.0.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.version.to_be_bytes());
        bytes[36..40].copy_from_slice(&self.cversion.to_be_bytes());
        bytes[40..44].copy_from_slice(&self.aversion.to_be_bytes());
        bytes[44..52].copy_from_slice(&self.ephemeral_owner.0.to_be_bytes());
        bytes[52..56].copy_from_slice(&self.data_length.to_be_bytes());
        bytes[56..60].copy_from_slice(&self.num_children.to_be_bytes());
        bytes[60..68].copy_from_slice(&self.pzxid.0.to_be_bytes());
        bytes
    }
}

impl<'a> Decode<'a> for Stat {
    const BYTES_MIN: usize = Stat::BYTES;

    fn decode(reader: &mut Reader<'a>) -> Result<Stat, DecodeError> {
        let fields = &mut Reader::new(reader.array::<{ Stat::BYTES }>()?);
        Ok(Stat {
            czxid: Zxid(fields.i64()?),
            mzxid: Zxid(fields.i64()?),
            ctime: WallMillis(fields.i64()?),
            mtime: WallMillis(fields.i64()?),
            version: fields.i32()?,
            cversion: fields.i32()?,
            aversion: fields.i32()?,
            ephemeral_owner: SessionId(fields.i64()?),
            data_length: fields.i32()?,
            num_children: fields.i32()?,
            pzxid: Zxid(fields.i64()?),
        })
    }
}

impl Encode for Stat {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
}

record! {
    /// A znode's metadata as snapshots keep it: 60 bytes.
    pub struct StatPersisted {
        pub czxid: Zxid,
        pub mzxid: Zxid,
        pub ctime: WallMillis,
        pub mtime: WallMillis,
        pub version: i32,
        /// The stored cversion: counts creates of children only.
        pub cversion: i32,
        pub aversion: i32,
        /// Session of an ephemeral, or one of the encodings of container and TTL: not always a session.
        pub ephemeral_owner: i64,
        pub pzxid: Zxid,
    }
}

impl StatPersisted {
    /// Of a znode that is made by this transaction.
    pub fn at_birth(zxid: Zxid, time: WallMillis, ephemeral_owner: i64) -> StatPersisted {
        StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            ctime: time,
            mtime: time,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner,
            pzxid: zxid,
        }
    }
}

const _: () = assert!(<StatPersisted as Decode<'static>>::BYTES_MIN == 60);

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: Stat = Stat {
        czxid: Zxid(0x1_0000_0002),
        mzxid: Zxid(0x1_0000_0003),
        ctime: WallMillis(0x1a1_f8d8_686e),
        mtime: WallMillis(-2),
        version: 1,
        cversion: -1,
        aversion: 3,
        ephemeral_owner: SessionId(0x100_000e_70be_0001),
        data_length: 5,
        num_children: 6,
        pzxid: Zxid(7),
    };

    #[test]
    fn stat_is_68_bytes_in_the_order_of_the_protocol() {
        let mut out = Vec::new();
        STAT.encode(&mut out);
        let mut expected = Vec::new();
        expected.extend(0x1_0000_0002_u64.to_be_bytes());
        expected.extend(0x1_0000_0003_u64.to_be_bytes());
        expected.extend([0, 0, 1, 0xa1, 0xf8, 0xd8, 0x68, 0x6e]);
        expected.extend((-2_i64).to_be_bytes());
        expected.extend([0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 3]);
        expected.extend([1, 0, 0, 0x0e, 0x70, 0xbe, 0, 1]);
        expected.extend([0, 0, 0, 5, 0, 0, 0, 6]);
        expected.extend(7_u64.to_be_bytes());
        assert_eq!(out, expected);
        assert_eq!(Stat::parse(&out), Ok(STAT));
        for cut in 0..Stat::BYTES {
            assert!(Stat::parse(&out[..cut]).is_err());
        }
    }

    #[test]
    fn stat_persisted_has_neither_data_length_nor_children() {
        let stat = StatPersisted {
            czxid: Zxid(1),
            mzxid: Zxid(2),
            ctime: WallMillis(3),
            mtime: WallMillis(4),
            version: 5,
            cversion: 6,
            aversion: 7,
            ephemeral_owner: i64::MIN,
            pzxid: Zxid(9),
        };
        let mut out = Vec::new();
        stat.encode(&mut out);
        assert_eq!(out.len(), 60);
        assert_eq!(out[44..], [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(StatPersisted::parse(&out), Ok(stat));
    }
}
