//! Transactions, as ZooKeeper logs and proposes them: header, record, and the tree's digest.
//!
//! Encoded once, by prep on the leader; the same bytes go to the log, to followers, and to apply. Called by `tree`
//! (makes and applies), `replica`, and the inspection of logs. `log` and `zab` see opaque bytes.
//!
//! Layout of an entry: [`TxnHeader`] (32 bytes), the record of its type, and [`TxnDigest`] (12 bytes) if there is one.
//! Source: ZooKeeper's `zookeeper.jute`, and `SerializeUtils.deserializeTxn` for the two old forms that are understood
//! (a create without parentCVersion, a closeSession without its paths).

use crate::base::{SessionId, WallMillis, Zxid};

use super::acl::AclList;
use super::error::ErrorCode;
use super::jute::{Decode, DecodeError, Encode, Reader, Reason, Text, begin_length, end_length, record};
use super::opcode::Opcode;
use super::vector::Vector;

record! {
    pub struct TxnHeader {
        /// The session that asked for it; none for what the server does by itself.
        pub client_id: SessionId,
        /// The request's xid.
        pub cxid: i32,
        pub zxid: Zxid,
        /// The leader's wall clock: ctime and mtime of what is changed.
        pub time: WallMillis,
        /// [`Txn::kind`] of the record that follows.
        pub kind: i32,
    }
}

record! {
    /// What the tree's digest is once the transaction has been applied.
    pub struct TxnDigest {
        /// Of the digest's formula; 2.
        pub version: i32,
        pub tree_digest: i64,
    }
}

impl TxnHeader {
    pub const BYTES: usize = 32;
}

impl TxnDigest {
    pub const BYTES: usize = 12;
    pub const VERSION: i32 = 2;

    pub fn of(tree_digest: u64) -> TxnDigest {
        TxnDigest { version: TxnDigest::VERSION, tree_digest: tree_digest as i64 }
    }
}

const _: () = assert!(<TxnHeader as Decode<'static>>::BYTES_MIN == TxnHeader::BYTES);
const _: () = assert!(<TxnDigest as Decode<'static>>::BYTES_MIN == TxnDigest::BYTES);

record! {
    pub struct CreateTxn<'a> {
        pub path: Text<'a>,
        pub data: Option<&'a [u8]>,
        /// Null is the open list.
        pub acl: Option<AclList<'a>>,
        /// The owner is the header's `client_id`.
        pub ephemeral: bool,
        /// Stored cversion of the parent afterwards; -1 (old logs): one more than it was.
        pub parent_cversion: i32,
    }
}

record! {
    pub struct CreateContainerTxn<'a> {
        pub path: Text<'a>,
        pub data: Option<&'a [u8]>,
        /// Null is the open list.
        pub acl: Option<AclList<'a>>,
        /// Stored cversion of the parent afterwards.
        pub parent_cversion: i32,
    }
}

record! {
    pub struct CreateTtlTxn<'a> {
        pub path: Text<'a>,
        pub data: Option<&'a [u8]>,
        /// Null is the open list.
        pub acl: Option<AclList<'a>>,
        /// Stored cversion of the parent afterwards.
        pub parent_cversion: i32,
        /// Milliseconds. Not checked: a Java leader may have let an illegal one through.
        pub ttl: i64,
    }
}

record! {
    pub struct DeleteTxn<'a> {
        pub path: Text<'a>,
    }
}

record! {
    /// Also of reconfig, with path /zookeeper/config and version -1.
    pub struct SetDataTxn<'a> {
        pub path: Text<'a>,
        pub data: Option<&'a [u8]>,
        /// The version afterwards.
        pub version: i32,
    }
}

record! {
    pub struct SetAclTxn<'a> {
        pub path: Text<'a>,
        /// Null is the open list.
        pub acl: Option<AclList<'a>>,
        /// The aversion afterwards.
        pub version: i32,
    }
}

record! {
    pub struct CheckVersionTxn<'a> {
        pub path: Text<'a>,
        pub version: i32,
    }
}

record! {
    pub struct CreateSessionTxn {
        pub timeout_ms: i32,
    }
}

record! {
    pub struct ErrorTxn {
        /// An [`ErrorCode`], or a newer leader's.
        pub err: i32,
    }
}

impl ErrorTxn {
    /// What a client is told.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::from_i32(self.err).unwrap_or(ErrorCode::SystemError)
    }
}

/// The record of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Txn<'a> {
    CreateSession(CreateSessionTxn),
    /// Paths of the session's ephemerals, to be deleted in this order. `None`: not recorded; find them in the tree.
    CloseSession(Option<Vector<'a, Text<'a>>>),
    Create(CreateTxn<'a>),
    /// As `Create`, but replaying it over an existing znode leaves the parent alone.
    Create2(CreateTxn<'a>),
    CreateContainer(CreateContainerTxn<'a>),
    CreateTtl(CreateTtlTxn<'a>),
    Delete(DeleteTxn<'a>),
    DeleteContainer(DeleteTxn<'a>),
    SetData(SetDataTxn<'a>),
    Reconfig(SetDataTxn<'a>),
    SetAcl(SetAclTxn<'a>),
    /// A write that failed: nothing but its zxid is taken.
    Error(ErrorTxn),
    Multi(MultiTxn<'a>),
    /// Within a multi only.
    Check(CheckVersionTxn<'a>),
}

impl<'a> Txn<'a> {
    /// What the header, or the element of a multi, names this record by.
    pub fn kind(&self) -> Opcode {
        match self {
            Txn::CreateSession(_) => Opcode::CreateSession,
            Txn::CloseSession(_) => Opcode::CloseSession,
            Txn::Create(_) => Opcode::Create,
            Txn::Create2(_) => Opcode::Create2,
            Txn::CreateContainer(_) => Opcode::CreateContainer,
            Txn::CreateTtl(_) => Opcode::CreateTtl,
            Txn::Delete(_) => Opcode::Delete,
            Txn::DeleteContainer(_) => Opcode::DeleteContainer,
            Txn::SetData(_) => Opcode::SetData,
            Txn::Reconfig(_) => Opcode::Reconfig,
            Txn::SetAcl(_) => Opcode::SetAcl,
            Txn::Error(_) => Opcode::Error,
            Txn::Multi(_) => Opcode::Multi,
            Txn::Check(_) => Opcode::Check,
        }
    }

    /// Reads the record of a transaction whose header says `kind`. The digest, if any, is left in the reader.
    pub fn decode(kind: i32, reader: &mut Reader<'a>) -> Result<Txn<'a>, DecodeError> {
        Ok(match Opcode::from_i32(kind) {
            Some(Opcode::CreateSession) => Txn::CreateSession(Decode::decode(reader)?),
            Some(Opcode::CloseSession) => Txn::CloseSession(decode_paths_to_delete(reader)?),
            Some(Opcode::Create) => Txn::Create(decode_create(reader)?),
            Some(Opcode::SetAcl) => Txn::SetAcl(Decode::decode(reader)?),
            Some(Opcode::Reconfig) => Txn::Reconfig(Decode::decode(reader)?),
            Some(Opcode::Multi) => Txn::Multi(Decode::decode(reader)?),
            Some(Opcode::Check) => return Err(reader.error(Reason::UnknownType(kind))),
            _ => return Txn::decode_sub(kind, reader),
        })
    }

    /// Reads one operation of a multi. A multi within a multi is unknown, which bounds the depth.
    fn decode_sub(kind: i32, reader: &mut Reader<'a>) -> Result<Txn<'a>, DecodeError> {
        Ok(match Opcode::from_i32(kind) {
            Some(Opcode::Create) => Txn::Create(Decode::decode(reader)?),
            Some(Opcode::Create2) => Txn::Create2(Decode::decode(reader)?),
            Some(Opcode::CreateContainer) => Txn::CreateContainer(Decode::decode(reader)?),
            Some(Opcode::CreateTtl) => Txn::CreateTtl(Decode::decode(reader)?),
            Some(Opcode::Delete) => Txn::Delete(Decode::decode(reader)?),
            Some(Opcode::DeleteContainer) => Txn::DeleteContainer(Decode::decode(reader)?),
            Some(Opcode::SetData) => Txn::SetData(Decode::decode(reader)?),
            Some(Opcode::Error) => Txn::Error(Decode::decode(reader)?),
            Some(Opcode::Check) => Txn::Check(Decode::decode(reader)?),
            _ => return Err(reader.error(Reason::UnknownType(kind))),
        })
    }
}

/// The old form ends before parentCVersion.
fn decode_create<'a>(reader: &mut Reader<'a>) -> Result<CreateTxn<'a>, DecodeError> {
    Ok(CreateTxn {
        path: Decode::decode(reader)?,
        data: Decode::decode(reader)?,
        acl: Decode::decode(reader)?,
        ephemeral: reader.bool()?,
        parent_cversion: if reader.rest().len() < 4 { -1 } else { reader.i32()? },
    })
}

/// The old form (also written with `closeSessionTxn.enabled=false`) ends before the paths; a digest may follow. It
/// starts with its version, 2, and no list of two paths is as short as a digest.
fn decode_paths_to_delete<'a>(reader: &mut Reader<'a>) -> Result<Option<Vector<'a, Text<'a>>>, DecodeError> {
    if is_listless(reader.rest()) { Ok(None) } else { Decode::decode(reader) }
}

/// A closeSession without its list: what is there is nothing, or the digest.
fn is_listless(rest: &[u8]) -> bool {
    let digest_only = rest.len() == TxnDigest::BYTES && rest.starts_with(&TxnDigest::VERSION.to_be_bytes());
    rest.is_empty() || digest_only
}

/// Of the record of a closeSession, which is known to be sound: where its list's first path begins, and how many there are.
/// For who reads them in pieces.
pub fn listed_paths(record: &[u8]) -> Option<(usize, usize)> {
    if is_listless(record) {
        return None;
    }
    let count = i32::from_be_bytes(*record.first_chunk()?);
    (count != -1).then(|| (4, usize::try_from(count).unwrap_or(0)))
}

impl Encode for Txn<'_> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Txn::CreateSession(txn) => txn.encode(out),
            Txn::CloseSession(Some(paths)) => paths.encode(out),
            Txn::CloseSession(None) => {}
            Txn::Create(txn) | Txn::Create2(txn) => txn.encode(out),
            Txn::CreateContainer(txn) => txn.encode(out),
            Txn::CreateTtl(txn) => txn.encode(out),
            Txn::Delete(txn) | Txn::DeleteContainer(txn) => txn.encode(out),
            Txn::SetData(txn) | Txn::Reconfig(txn) => txn.encode(out),
            Txn::SetAcl(txn) => txn.encode(out),
            Txn::Error(txn) => txn.encode(out),
            Txn::Multi(txn) => txn.encode(out),
            Txn::Check(txn) => txn.encode(out),
        }
    }
}

/// One operation of a multi: `int type`, and its record as a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubTxn<'a>(pub Txn<'a>);

/// The operations of a multi. If one of them is an [`Txn::Error`] the whole has no effect.
pub type MultiTxn<'a> = Vector<'a, SubTxn<'a>>;

impl<'a> Decode<'a> for SubTxn<'a> {
    const BYTES_MIN: usize = 8;

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = *reader;
        let kind = reader.i32()?;
        let record = reader.bytes()?;
        let txn = Txn::decode_sub(kind, &mut Reader::new(record));
        // Told where it is in the whole: behind the type and the length.
        txn.map(SubTxn).map_err(|e| DecodeError { offset: e.offset + start.error(e.reason).offset + 8, ..e })
    }
}

impl Encode for SubTxn<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.kind().code().encode(out);
        let at = begin_length(out);
        self.0.encode(out);
        end_length(out, at);
    }
}

/// What is logged and proposed for one zxid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub header: TxnHeader,
    pub txn: Txn<'a>,
    /// None with errors, with digests switched off, and from servers before 3.6.
    pub digest: Option<TxnDigest>,
}

impl<'a> Entry<'a> {
    /// Puts an entry together; the header's type is the record's.
    pub fn new(
        client_id: SessionId,
        cxid: i32,
        zxid: Zxid,
        time: WallMillis,
        txn: Txn<'a>,
        digest: Option<TxnDigest>,
    ) -> Entry<'a> {
        Entry { header: TxnHeader { client_id, cxid, zxid, time, kind: txn.kind().code() }, txn, digest }
    }
}

impl<'a> Decode<'a> for Entry<'a> {
    const BYTES_MIN: usize = TxnHeader::BYTES;

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let header = TxnHeader::decode(reader)?;
        let txn = Txn::decode(header.kind, reader)?;
        let has_digest = reader.rest().len() >= TxnDigest::BYTES;
        let digest = if has_digest { Some(TxnDigest::decode(reader)?) } else { None };
        Ok(Entry { header, txn, digest })
    }
}

impl Encode for Entry<'_> {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        assert_eq!(self.header.kind, self.txn.kind().code(), "the header names the record that follows");
        self.header.encode(out);
        self.txn.encode(out);
        if let Some(digest) = self.digest {
            digest.encode(out);
        }
    }
}

#[cfg(test)]
#[path = "txn_test.rs"]
mod tests;
