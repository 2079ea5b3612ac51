//! multiRead: getData and getChildren, each answered in its place, with its own error (client-protocol.md §10).
//!
//! The watch flags don't count. Nothing of one operation affects another.

use crate::base::{Zxid, limits};
use crate::tree::{Reading, acl};
use crate::wire::acl::perms;
use crate::wire::client::header::{begin_reply, end_reply};
use crate::wire::client::multi::{MultiHeader, encode_end, encode_result_header};
use crate::wire::client::{
    GetChildrenRequest, GetDataRequest, MultiReadOp, MultiReadRequest, MultiRequest, MultiResult,
};
use crate::wire::jute::{DecodeError, Encode, Reason};
use crate::wire::{Decode, ErrorCode, Opcode, Reader, Text};

use super::reads::{Answered, DATA_BYTES_A_UNIT, Read, check, decode, encode_children};

pub fn answer(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    out: &mut Vec<u8>,
) -> Result<Answered, ErrorCode> {
    let request: MultiReadRequest = match decode(read.body) {
        Ok(request) => request,
        Err(_) => return malformed(read, reading, at, out),
    };
    let reply = begin_reply(out, read.xid, at, ErrorCode::Ok);
    let mut used = 0;
    for op in request.iter() {
        used += cost(&op, reading, at);
        if used > read.budget || read.must_wait(used) {
            break;
        }
        if result(&op, read, reading, at, out, reply).is_err() {
            return Ok(Answered::TooLarge);
        }
    }
    if let Err(answered) = read.pay(used) {
        out.truncate(reply);
        return Ok(answered);
    }
    encode_end(out);
    end_reply(out, reply);
    Ok(Answered::Whole)
}

/// ZooKeeper 3.9 finds some faults only while it answers. Then its error has the results so far for a body
/// (`FinalRequestProcessor.java`): none before a list of writes, some before a null path. Not here for what is long: that is only
/// an error.
fn malformed(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    out: &mut Vec<u8>,
) -> Result<Answered, ErrorCode> {
    let are_writes = |request: MultiRequest<'_>| request.iter().all(|op| op.is_well_formed()).then_some(());
    let before = if decode(read.body).ok().and_then(are_writes).is_some() {
        vec![]
    } else {
        reads_before_null(read.body).map_err(|_| ErrorCode::MarshallingError)?
    };
    match read.pay(before.iter().map(|op| cost(op, reading, at)).sum()) {
        Err(Answered::TooLong) => return Err(ErrorCode::MarshallingError),
        Err(answered) => return Ok(answered),
        Ok(()) => {}
    }
    let reply = begin_reply(out, read.xid, at, ErrorCode::MarshallingError);
    for op in &before {
        if result(op, read, reading, at, out, reply).is_err() {
            return Ok(Answered::TooLarge);
        }
    }
    encode_end(out);
    end_reply(out, reply);
    Ok(Answered::Whole)
}

/// The operations before the first that has a null path, if there is nothing else to object to.
fn reads_before_null(body: &[u8]) -> Result<Vec<MultiReadOp<'_>>, DecodeError> {
    let mut reader = Reader::new(body);
    let mut ops = vec![];
    loop {
        let header = MultiHeader::decode(&mut reader)?;
        if header.done {
            return Ok(ops.into_iter().map_while(|op| op).collect());
        }
        let opcode = Opcode::from_i32(header.kind);
        if !matches!(opcode, Some(Opcode::GetData | Opcode::GetChildren)) {
            return Err(reader.error(Reason::UnknownType(header.kind)));
        }
        let path = Option::<Text<'_>>::decode(&mut reader)?;
        let watch = reader.bool()?;
        ops.push(path.map(|path| match opcode {
            Some(Opcode::GetData) => MultiReadOp::GetData(GetDataRequest { path, watch }),
            _ => MultiReadOp::GetChildren(GetChildrenRequest { path, watch }),
        }));
    }
}

/// In children listed, with the lookup as one, and data by its bytes.
pub fn cost(op: &MultiReadOp<'_>, reading: &Reading<'_>, at: Zxid) -> usize {
    let (path, lists) = match op {
        MultiReadOp::GetData(op) => (op.path, false),
        MultiReadOp::GetChildren(op) => (op.path, true),
    };
    let Some(node) = reading.node(path.as_bytes(), at) else { return 1 };
    let found = if lists { node.children_count as usize } else { node.data_bytes() / DATA_BYTES_A_UNIT };
    1 + found + acl::cost(node.acl_entries())
}

/// Appends one operation's result to the reply that begins at `reply`.
pub fn result(
    op: &MultiReadOp<'_>,
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    out: &mut Vec<u8>,
    reply: usize,
) -> Result<(), super::reads::TooLarge> {
    let path = match op {
        MultiReadOp::GetData(op) => op.path,
        MultiReadOp::GetChildren(op) => op.path,
    };
    let node = match reading.node(path.as_bytes(), at) {
        None => Err(ErrorCode::NoNode),
        Some(node) => check(read, node, perms::READ).map(|()| node),
    };
    match (node, op) {
        (Err(error), _) => MultiResult::Error(error).encode(out),
        (Ok(node), MultiReadOp::GetData(_)) => {
            MultiResult::GetData { data: node.data(), stat: node.stat() }.encode(out);
        }
        (Ok(node), MultiReadOp::GetChildren(_)) => {
            encode_result_header(out, Opcode::GetChildren);
            encode_children(reading, node, at, out, reply)?;
        }
    }
    if out.len() - reply > limits::REPLY_BYTES_MAX {
        out.truncate(reply);
        return Err(super::reads::TooLarge);
    }
    Ok(())
}
