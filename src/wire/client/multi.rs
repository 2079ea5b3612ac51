//! multi and multiRead: framing of the operations and of their results. What the operations mean is `tree`'s.
//!
//! Both directions are a list: `MultiHeader{type, done = false, err}`, the record of that type, and so on, and at the
//! end `MultiHeader{-1, done = true, -1}`. A malformed list, a type that is not allowed, and reads among writes are
//! all MarshallingError of the whole request. A failed multi is no error of its reply's header: every operation has
//! an error for result.

use std::marker::PhantomData;

use crate::wire::error::ErrorCode;
use crate::wire::jute::{Decode, DecodeError, Encode, Reader, Reason, Text, record};
use crate::wire::opcode::Opcode;
use crate::wire::stat::Stat;
use crate::wire::vector::Vector;

use super::create::{Create2Response, CreateMode, CreateRequest, CreateResponse, CreateTtlRequest};
use super::data::{CheckVersionRequest, DeleteRequest, GetDataRequest, GetDataResponse, SetDataRequest};
use super::{ErrorResponse, GetChildrenRequest, GetChildrenResponse, SetDataResponse};

record! {
    /// Before every operation and every result; only `done` counts when reading operations.
    pub struct MultiHeader {
        pub kind: i32,
        pub done: bool,
        pub err: i32,
    }
}

const END: MultiHeader = MultiHeader { kind: -1, done: true, err: -1 };

/// What a list consists of: operations that write, operations that read, or results.
pub trait Item<'a>: Sized + Encode {
    /// Reads what follows the header. [`Reason::UnknownType`] if there is no such item in this kind of list.
    fn decode_body(header: MultiHeader, reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
}

/// The operations of a multi.
pub type MultiRequest<'a> = List<'a, MultiOp<'a>>;
/// The operations of a multiRead.
pub type MultiReadRequest<'a> = List<'a, MultiReadOp<'a>>;
/// The results of either.
pub type MultiResults<'a> = List<'a, MultiResult<'a>>;

/// Items as encoded, each of them decoded once when the list was; iterating decodes again.
pub struct List<'a, I> {
    /// Without the terminator.
    encoded: &'a [u8],
    count: usize,
    item: PhantomData<fn() -> I>,
}

impl<'a, I: Item<'a>> List<'a, I> {
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub fn iter(&self) -> Items<'a, I> {
        Items { left: self.count, reader: Reader::new(self.encoded), item: PhantomData }
    }
}

impl<'a, I: Item<'a>> Decode<'a> for List<'a, I> {
    const BYTES_MIN: usize = <MultiHeader as Decode<'static>>::BYTES_MIN;

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = *reader;
        let mut count = 0;
        loop {
            let end = reader.offset();
            let header = MultiHeader::decode(reader)?;
            if header.done {
                let encoded = &start.rest()[..end - start.offset()];
                return Ok(List { encoded, count, item: PhantomData });
            }
            I::decode_body(header, reader)?;
            count += 1;
        }
    }
}

impl<I> Encode for List<'_, I> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.encoded);
        END.encode(out);
    }
}

impl<I> Clone for List<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for List<'_, I> {}

impl<I> PartialEq for List<'_, I> {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl<I> Eq for List<'_, I> {}

impl<'a, I: Item<'a> + std::fmt::Debug> std::fmt::Debug for List<'a, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, I: Item<'a>> IntoIterator for List<'a, I> {
    type Item = I;
    type IntoIter = Items<'a, I>;

    fn into_iter(self) -> Items<'a, I> {
        self.iter()
    }
}

/// The items of a [`List`], in order.
#[derive(Clone, Debug)]
pub struct Items<'a, I> {
    left: usize,
    reader: Reader<'a>,
    item: PhantomData<fn() -> I>,
}

impl<'a, I: Item<'a>> Iterator for Items<'a, I> {
    type Item = I;

    fn next(&mut self) -> Option<I> {
        self.left = self.left.checked_sub(1)?;
        let item =
            MultiHeader::decode(&mut self.reader).and_then(|header| I::decode_body(header, &mut self.reader));
        debug_assert!(item.is_ok(), "the items of a list are checked when it is decoded");
        item.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, I: Item<'a>> ExactSizeIterator for Items<'a, I> {}

/// Appends the items, each with its header, and the terminator.
pub fn encode_list<E: Encode>(out: &mut Vec<u8>, items: impl IntoIterator<Item = E>) {
    for item in items {
        item.encode(out);
    }
    encode_end(out);
}

/// Appends the terminator: for a server that writes the results one by one.
pub fn encode_end(out: &mut Vec<u8>) {
    END.encode(out);
}

/// An operation of a multi. Which kind of znode a create makes depends on its flags as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiOp<'a> {
    Create(CreateRequest<'a>),
    Create2(CreateRequest<'a>),
    CreateContainer(CreateRequest<'a>),
    CreateTtl(CreateTtlRequest<'a>),
    Delete(DeleteRequest<'a>),
    SetData(SetDataRequest<'a>),
    Check(CheckVersionRequest<'a>),
}

impl MultiOp<'_> {
    pub fn opcode(&self) -> Opcode {
        match self {
            MultiOp::Create(_) => Opcode::Create,
            MultiOp::Create2(_) => Opcode::Create2,
            MultiOp::CreateContainer(_) => Opcode::CreateContainer,
            MultiOp::CreateTtl(_) => Opcode::CreateTtl,
            MultiOp::Delete(_) => Opcode::Delete,
            MultiOp::SetData(_) => Opcode::SetData,
            MultiOp::Check(_) => Opcode::Check,
        }
    }
}

impl MultiOp<'_> {
    /// False for what ZooKeeper 3.9 finds while it reads the operations: MarshallingError of the whole request.
    pub fn is_well_formed(&self) -> bool {
        match self {
            MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
                create.acl.is_some()
                    && CreateMode::from_flags(create.flags).is_some_and(|mode| !mode.is_ttl())
            }
            MultiOp::CreateTtl(_) | MultiOp::Delete(_) | MultiOp::SetData(_) | MultiOp::Check(_) => true,
        }
    }
}

impl<'a> Item<'a> for MultiOp<'a> {
    fn decode_body(header: MultiHeader, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match Opcode::from_i32(header.kind) {
            Some(Opcode::Create) => MultiOp::Create(Decode::decode(reader)?),
            Some(Opcode::Create2) => MultiOp::Create2(Decode::decode(reader)?),
            Some(Opcode::CreateContainer) => MultiOp::CreateContainer(Decode::decode(reader)?),
            Some(Opcode::CreateTtl) => MultiOp::CreateTtl(Decode::decode(reader)?),
            Some(Opcode::Delete) => MultiOp::Delete(Decode::decode(reader)?),
            Some(Opcode::SetData) => MultiOp::SetData(Decode::decode(reader)?),
            Some(Opcode::Check) => MultiOp::Check(Decode::decode(reader)?),
            _ => return Err(reader.error(Reason::UnknownType(header.kind))),
        })
    }
}

impl Encode for MultiOp<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        MultiHeader { kind: self.opcode().code(), done: false, err: -1 }.encode(out);
        match self {
            MultiOp::Create(body) | MultiOp::Create2(body) | MultiOp::CreateContainer(body) => {
                body.encode(out)
            }
            MultiOp::CreateTtl(body) => body.encode(out),
            MultiOp::Delete(body) => body.encode(out),
            MultiOp::SetData(body) => body.encode(out),
            MultiOp::Check(body) => body.encode(out),
        }
    }
}

/// An operation of a multiRead. The watch flags don't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiReadOp<'a> {
    GetData(GetDataRequest<'a>),
    GetChildren(GetChildrenRequest<'a>),
}

impl MultiReadOp<'_> {
    pub fn opcode(&self) -> Opcode {
        match self {
            MultiReadOp::GetData(_) => Opcode::GetData,
            MultiReadOp::GetChildren(_) => Opcode::GetChildren,
        }
    }
}

impl<'a> Item<'a> for MultiReadOp<'a> {
    fn decode_body(header: MultiHeader, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match Opcode::from_i32(header.kind) {
            Some(Opcode::GetData) => MultiReadOp::GetData(Decode::decode(reader)?),
            Some(Opcode::GetChildren) => MultiReadOp::GetChildren(Decode::decode(reader)?),
            _ => return Err(reader.error(Reason::UnknownType(header.kind))),
        })
    }
}

impl Encode for MultiReadOp<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        MultiHeader { kind: self.opcode().code(), done: false, err: -1 }.encode(out);
        match self {
            MultiReadOp::GetData(body) => body.encode(out),
            MultiReadOp::GetChildren(body) => body.encode(out),
        }
    }
}

/// What became of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiResult<'a> {
    Create {
        path: Text<'a>,
    },
    /// Of create2, createContainer and createTTL.
    Create2 {
        path: Text<'a>,
        stat: Stat,
    },
    Delete,
    SetData {
        stat: Stat,
    },
    Check,
    GetData {
        data: Option<&'a [u8]>,
        stat: Stat,
    },
    /// A server that has the names one by one: [`encode_result_header`], then a `VectorWriter`.
    GetChildren {
        children: Vector<'a, Text<'a>>,
    },
    /// In a failed multi all are errors: Ok before the one that failed, RuntimeInconsistency behind it.
    Error(ErrorCode),
}

/// Appends what precedes the body of a successful result.
#[inline]
pub fn encode_result_header(out: &mut Vec<u8>, opcode: Opcode) {
    MultiHeader { kind: opcode.code(), done: false, err: 0 }.encode(out);
}

impl<'a> Item<'a> for MultiResult<'a> {
    fn decode_body(header: MultiHeader, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = *reader;
        Ok(match Opcode::from_i32(header.kind) {
            Some(Opcode::Create) => {
                let CreateResponse { path } = Decode::decode(reader)?;
                MultiResult::Create { path }
            }
            Some(Opcode::Create2) => {
                let Create2Response { path, stat } = Decode::decode(reader)?;
                MultiResult::Create2 { path, stat }
            }
            Some(Opcode::Delete) => MultiResult::Delete,
            Some(Opcode::SetData) => {
                let SetDataResponse { stat } = Decode::decode(reader)?;
                MultiResult::SetData { stat }
            }
            Some(Opcode::Check) => MultiResult::Check,
            Some(Opcode::GetData) => {
                let GetDataResponse { data, stat } = Decode::decode(reader)?;
                MultiResult::GetData { data, stat }
            }
            Some(Opcode::GetChildren) => {
                let GetChildrenResponse { children } = Decode::decode(reader)?;
                MultiResult::GetChildren { children }
            }
            Some(Opcode::Error) => {
                let ErrorResponse { err } = Decode::decode(reader)?;
                let code = ErrorCode::from_i32(err);
                MultiResult::Error(code.ok_or_else(|| start.error(Reason::UnknownType(err)))?)
            }
            _ => return Err(reader.error(Reason::UnknownType(header.kind))),
        })
    }
}

impl Encode for MultiResult<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            MultiResult::Create { path } => {
                encode_result_header(out, Opcode::Create);
                CreateResponse { path }.encode(out);
            }
            MultiResult::Create2 { path, stat } => {
                encode_result_header(out, Opcode::Create2);
                Create2Response { path, stat }.encode(out);
            }
            MultiResult::Delete => encode_result_header(out, Opcode::Delete),
            MultiResult::SetData { stat } => {
                encode_result_header(out, Opcode::SetData);
                SetDataResponse { stat }.encode(out);
            }
            MultiResult::Check => encode_result_header(out, Opcode::Check),
            MultiResult::GetData { data, stat } => {
                encode_result_header(out, Opcode::GetData);
                GetDataResponse { data, stat }.encode(out);
            }
            MultiResult::GetChildren { children } => {
                encode_result_header(out, Opcode::GetChildren);
                GetChildrenResponse { children }.encode(out);
            }
            MultiResult::Error(code) => {
                MultiHeader { kind: Opcode::Error.code(), done: false, err: code.code() }.encode(out);
                ErrorResponse { err: code.code() }.encode(out);
            }
        }
    }
}

#[cfg(test)]
#[path = "multi_test.rs"]
mod tests;
