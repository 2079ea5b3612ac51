//! multiRead: getData and getChildren, each answered in its place, with its own error (client-protocol.md §10).
//!
//! The watch flags don't count. Nothing of one operation affects another.

use crate::base::{Zxid, limits};
use crate::tree::Reading;
use crate::wire::acl::perms;
use crate::wire::client::header::{begin_reply, end_reply};
use crate::wire::client::multi::{encode_end, encode_result_header};
use crate::wire::client::{MultiReadOp, MultiReadRequest, MultiRequest, MultiResult};
use crate::wire::jute::Encode;
use crate::wire::{ErrorCode, Opcode};

use super::reads::{Answered, Read, check, decode, encode_children};

pub fn answer(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    out: &mut Vec<u8>,
) -> Result<Answered, ErrorCode> {
    let request: MultiReadRequest = match decode(read.body) {
        Ok(request) => request,
        Err(error) => return malformed(read, at, out, error),
    };
    let reply = begin_reply(out, read.xid, at, ErrorCode::Ok);
    let mut used = 0;
    for op in request.iter() {
        used += cost(&op, reading, at);
        if used > read.budget {
            out.truncate(reply);
            return Ok(Answered::TooLong);
        }
        if result(&op, read, reading, at, out, reply).is_err() {
            return Ok(Answered::TooLarge);
        }
    }
    encode_end(out);
    end_reply(out, reply);
    Ok(Answered::Whole)
}

/// A list of writes can be decoded, and ZooKeeper 3.9 finds out at the first of them: its error has the results so far for
/// a body, which is the terminator alone (`FinalRequestProcessor.java`).
fn malformed(read: &Read<'_>, at: Zxid, out: &mut Vec<u8>, error: ErrorCode) -> Result<Answered, ErrorCode> {
    if decode::<MultiRequest<'_>>(read.body).is_ok() {
        let reply = begin_reply(out, read.xid, at, error);
        encode_end(out);
        end_reply(out, reply);
        return Ok(Answered::Whole);
    }
    Err(error)
}

/// In children listed, with the lookup as one, and a kilobyte of data as one.
pub fn cost(op: &MultiReadOp<'_>, reading: &Reading<'_>, at: Zxid) -> usize {
    match op {
        MultiReadOp::GetData(op) => {
            1 + reading.node(op.path.as_bytes(), at).map_or(0, |node| node.data_bytes() / 1024)
        }
        MultiReadOp::GetChildren(op) => {
            1 + reading.node(op.path.as_bytes(), at).map_or(0, |node| node.children_count as usize)
        }
    }
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
