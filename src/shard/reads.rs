//! Answers reads from the tree at one version (client-protocol.md §11).
//!
//! Reads don't validate paths: an invalid one is not found. A watch is registered only where the table of the
//! specification says so; it is armed for every change after the version read.

use crate::base::{ConnectionId, Zxid};
use crate::messages::Identity;
use crate::tree::{Node, Reading, acl};
use crate::wire::acl::perms;
use crate::wire::client::header::{begin_reply, encode_bare_reply, encode_reply, end_reply};
use crate::wire::client::{
    ExistsRequest, ExistsResponse, GetAclRequest, GetChildrenRequest, GetDataRequest, GetDataResponse,
};
use crate::wire::jute::{Encode, VectorWriter, encode_vector};
use crate::wire::{Decode, ErrorCode, Opcode, OwnedAcl, Reader, Text};

use super::watches::{Table, Watches};

/// A read to answer.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    pub connection: ConnectionId,
    pub identities: &'a [Identity],
    pub xid: i32,
    pub opcode: Opcode,
    pub body: &'a [u8],
    pub skip_acl: bool,
}

/// Is this one of ours? What isn't goes to the replica or is refused.
pub fn is_read(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Exists
            | Opcode::GetData
            | Opcode::GetChildren
            | Opcode::GetChildren2
            | Opcode::GetAcl
            | Opcode::Ping
    )
}

/// Appends the reply to `out`.
pub fn answer(read: &Read<'_>, reading: &Reading<'_>, at: Zxid, watches: &mut Watches, out: &mut Vec<u8>) {
    let answered = match read.opcode {
        Opcode::Exists => exists(read, reading, at, watches, out),
        Opcode::GetData => get_data(read, reading, at, watches, out),
        Opcode::GetChildren | Opcode::GetChildren2 => get_children(read, reading, at, watches, out),
        Opcode::GetAcl => get_acl(read, reading, at, out),
        Opcode::Sync => Err(ErrorCode::MarshallingError),
        _ => {
            encode_bare_reply(out, crate::wire::client::xid::PING, at, ErrorCode::Ok);
            Ok(())
        }
    };
    if let Err(error) = answered {
        encode_bare_reply(out, read.xid, at, error);
    }
}

fn exists(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let request: ExistsRequest = decode(read.body)?;
    let path = request.path.as_bytes();
    if path.contains(&0) {
        return Err(ErrorCode::BadArguments);
    }
    let node = reading.node(path, at);
    if let Some(node) = node {
        check(read, node, perms::READ)?;
    }
    if request.watch {
        watches.add(Table::Data, path, read.connection);
    }
    let stat = node.ok_or(ErrorCode::NoNode)?.stat();
    encode_reply(out, read.xid, at, &ExistsResponse { stat });
    Ok(())
}

fn get_data(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let request: GetDataRequest = decode(read.body)?;
    let path = request.path.as_bytes();
    let node = reading.node(path, at).ok_or(ErrorCode::NoNode)?;
    check(read, node, perms::READ)?;
    if request.watch {
        watches.add(Table::Data, path, read.connection);
    }
    encode_reply(out, read.xid, at, &GetDataResponse { data: node.data(), stat: node.stat() });
    Ok(())
}

fn get_children(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let request: GetChildrenRequest = decode(read.body)?;
    let path = request.path.as_bytes();
    let node = reading.node(path, at).ok_or(ErrorCode::NoNode)?;
    check(read, node, perms::READ)?;
    if request.watch {
        watches.add(Table::Child, path, read.connection);
    }
    let reply = begin_reply(out, read.xid, at, ErrorCode::Ok);
    let mut children = VectorWriter::begin(out);
    for child in reading.children(node, at) {
        children.push(out, &Text::from_bytes(child.path.name()));
    }
    children.end(out);
    if read.opcode == Opcode::GetChildren2 {
        node.stat().encode(out);
    }
    end_reply(out, reply);
    Ok(())
}

fn get_acl(read: &Read<'_>, reading: &Reading<'_>, at: Zxid, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let request: GetAclRequest = decode(read.body)?;
    let node = reading.node(request.path.as_bytes(), at).ok_or(ErrorCode::NoNode)?;
    check(read, node, perms::READ | perms::ADMIN)?;
    let sees_hashes = check(read, node, perms::ADMIN).is_ok();
    let reply = begin_reply(out, read.xid, at, ErrorCode::Ok);
    match node.acl_entries() {
        None => encode_vector(out, [OwnedAcl::new(perms::ALL, "world", "anyone")]),
        Some(entries) => encode_vector(out, entries.iter().map(|entry| shown(entry, sees_hashes))),
    }
    node.stat().encode(out);
    end_reply(out, reply);
    Ok(())
}

/// Without ADMIN a digest id shows its user and `x`.
fn shown(entry: &OwnedAcl, sees_hashes: bool) -> OwnedAcl {
    let mut entry = entry.clone();
    if !sees_hashes
        && entry.scheme == "digest"
        && let Some(colon) = entry.id.find(':')
    {
        entry.id.truncate(colon);
        entry.id.push_str(":x");
    }
    entry
}

fn check(read: &Read<'_>, node: &Node, perm: i32) -> Result<(), ErrorCode> {
    if read.skip_acl { Ok(()) } else { acl::check(node.acl_entries(), perm, read.identities) }
}

fn decode<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T, ErrorCode> {
    T::decode(&mut Reader::new(bytes)).map_err(|_| ErrorCode::MarshallingError)
}
