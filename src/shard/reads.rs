//! Answers reads from the tree at one version (client-protocol.md §11).
//!
//! Reads don't validate paths: an invalid one is not found. A watch is registered only where the table of the
//! specification says so; it is armed for every change after the version read.

use std::cell::Cell;

use crate::base::{ConnectionId, Zxid, limits};
use crate::messages::Identity;
use crate::tree::{Node, Reading, acl};
use crate::wire::acl::perms;
use crate::wire::client::header::{begin_reply, encode_bare_reply, encode_reply, end_reply};
use crate::wire::client::{
    ClientInfo, ExistsRequest, ExistsResponse, GetAclRequest, GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse, GetChildrenRequest, GetDataRequest, GetDataResponse, MultiReadRequest,
};
use crate::wire::jute::{Encode, VectorWriter, encode_bytes, encode_vector};
use crate::wire::{Decode, ErrorCode, Opcode, OwnedAcl, Reader, Text, java_text};

use super::watches::{Modes, Table, Watches};
use super::{auth, multi_read, watch_requests};

/// A read to answer.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    pub connection: ConnectionId,
    pub identities: &'a [Identity],
    pub xid: i32,
    pub opcode: Opcode,
    pub body: &'a [u8],
    pub skip_acl: bool,
    /// Children listed, paths looked at: not more at once, unless the answer can't wait ([`URGENT`]).
    pub budget: usize,
    /// What is left of the turn for all reads together.
    pub left: &'a Cell<usize>,
    /// Of setWatches: paths already gone through.
    pub done: usize,
}

/// The budget of an answer that can't wait.
pub const URGENT: usize = usize::MAX;

/// Data copied for one unit of work: into fresh memory, whose pages cost more than the bytes. A large node is a turn of its own.
pub const DATA_BYTES_A_UNIT: usize = 256;

/// At least what a reply has beside its data: headers, a length, a stat.
const REPLY_BESIDE_DATA_BYTES: usize = 128;

/// What costs no more than this is answered even in a turn that has nothing left.
pub const CHEAP: usize = 16;

/// Who has shown no more than an address and a name is compared with a long ACL soon.
pub const FEW_IDENTITIES: usize = 2;

impl Read<'_> {
    /// Takes `cost` from the turn, if it is to be done in this one.
    pub fn pay(&self, cost: usize) -> Result<(), Answered> {
        if self.must_wait(cost) {
            return Err(Answered::NotNow);
        }
        self.left.set(self.left.get().saturating_sub(cost));
        // What was found out so far has its cost, too.
        if cost > self.budget { Err(Answered::TooLong) } else { Ok(()) }
    }

    /// Others had the turn, and this is no trifle.
    pub fn must_wait(&self, cost: usize) -> bool {
        self.budget != URGENT && cost > CHEAP && self.left.get() == 0
    }
}

/// How far a read got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Whole,
    /// Nothing was done: this turn has nothing left for it.
    NotNow,
    /// Nothing was done: there is no room for its answer.
    NoRoom,
    /// Nothing was done: it needs more than its budget, and a turn of its own ([`super::long_reads`]).
    TooLong,
    /// It went through so many paths: to be called again with `done`.
    Partly(usize),
    /// Nobody can be sent so much.
    TooLarge,
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
            | Opcode::AddWatch
            | Opcode::CheckWatches
            | Opcode::GetAllChildrenNumber
            | Opcode::MultiRead
            | Opcode::RemoveWatches
            | Opcode::SetWatches
            | Opcode::SetWatches2
            | Opcode::WhoAmI
    )
}

/// About what a read will cost which has to wait, if its like can cost much. Data is bounded by the room for output.
pub fn estimate(
    opcode: Opcode,
    body: &[u8],
    identities: &[Identity],
    reading: &Reading<'_>,
    at: Zxid,
) -> usize {
    let cost = match opcode {
        // Few have shown more than an address and a name: comparing these with a list is not much.
        Opcode::Exists | Opcode::GetData | Opcode::GetAcl if identities.len() > FEW_IDENTITIES => {
            decode(body).map(|request: GetAclRequest<'_>| {
                reading.node(request.path.as_bytes(), at).map_or(0, |node| acl::cost(node.acl_entries()))
            })
        }
        Opcode::GetChildren | Opcode::GetChildren2 => decode(body).map(|request: GetChildrenRequest<'_>| {
            let node = reading.node(request.path.as_bytes(), at);
            node.map_or(0, |node| node.children_count as usize + acl::cost(node.acl_entries()))
        }),
        // Of a whole subtree nobody knows.
        Opcode::GetAllChildrenNumber => Ok(usize::MAX),
        Opcode::MultiRead => decode(body).map(|request: MultiReadRequest<'_>| {
            request.iter().map(|op| multi_read::cost(&op, reading, at)).sum()
        }),
        Opcode::SetWatches | Opcode::SetWatches2 => {
            watch_requests::decode_set_watches(opcode, body).map(|request| watch_requests::count(&request))
        }
        _ => Ok(0),
    };
    cost.unwrap_or(0)
}

/// Appends the reply to `out`.
pub fn answer(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Answered {
    let answered = match read.opcode {
        Opcode::Exists => match exists(read, reading, at, watches, out) {
            Ok(answered) => return answered,
            Err(error) => Err(error),
        },
        Opcode::GetData => match get_data(read, reading, at, watches, out) {
            Ok(answered) => return answered,
            Err(error) => Err(error),
        },
        Opcode::GetAcl => match get_acl(read, reading, at, out) {
            Ok(answered) => return answered,
            Err(error) => Err(error),
        },
        Opcode::GetChildren | Opcode::GetChildren2 => match get_children(read, reading, at, watches, out) {
            Ok(answered) => return answered,
            Err(error) => Err(error),
        },
        Opcode::GetAllChildrenNumber => match get_all_children_number(read, reading, at, out) {
            Ok(answered) => return answered,
            Err(error) => Err(error),
        },
        Opcode::MultiRead => match multi_read::answer(read, reading, at, out) {
            Ok(answered) => return answered,
            Err(error) => Err(error),
        },
        Opcode::SetWatches | Opcode::SetWatches2 => match set_watches(read, reading, at, watches, out) {
            Ok(answered) => return answered,
            Err(error) => Err(error),
        },
        Opcode::AddWatch => watch_requests::add_watch(read, reading, at, watches, out),
        Opcode::CheckWatches => watch_requests::check_watches(read, at, watches, out),
        Opcode::RemoveWatches => watch_requests::remove_watches(read, at, watches, out),
        Opcode::WhoAmI => {
            who_am_i(read, at, out);
            Ok(())
        }
        // They come here only if they can't be decoded.
        Opcode::Sync | Opcode::GetEphemerals => Err(ErrorCode::MarshallingError),
        // And this one only if no leader must hear it.
        Opcode::CreateTtl => Err(ErrorCode::BadArguments),
        _ => {
            encode_bare_reply(out, crate::wire::client::xid::PING, at, ErrorCode::Ok);
            Ok(())
        }
    };
    if let Err(error) = answered {
        encode_bare_reply(out, read.xid, at, error);
    }
    Answered::Whole
}

fn exists(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<Answered, ErrorCode> {
    let request: ExistsRequest = decode(read.body)?;
    let path = request.path.as_bytes();
    if path.contains(&0) {
        return Err(ErrorCode::BadArguments);
    }
    let node = reading.node(path, at);
    if let Some(node) = node {
        if let Err(answered) = pay_check(read, node) {
            return Ok(answered);
        }
        check(read, node, perms::READ)?;
    }
    if request.watch {
        let shared = node.map(|node| &node.path);
        watches.add(Table::Data, path, shared, read.connection, Modes::STANDARD);
    }
    let stat = node.ok_or(ErrorCode::NoNode)?.stat();
    encode_reply(out, read.xid, at, &ExistsResponse { stat });
    Ok(Answered::Whole)
}

fn get_data(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<Answered, ErrorCode> {
    let request: GetDataRequest = decode(read.body)?;
    let path = request.path.as_bytes();
    let node = reading.node(path, at).ok_or(ErrorCode::NoNode)?;
    if let Err(answered) = pay_check(read, node) {
        return Ok(answered);
    }
    check(read, node, perms::READ)?;
    // Never too long: data fits in a frame, and so in one turn.
    if let Err(Answered::NotNow) = read.pay(node.data_bytes() / DATA_BYTES_A_UNIT) {
        return Ok(Answered::NotNow);
    }
    if request.watch {
        watches.add(Table::Data, path, Some(&node.path), read.connection, Modes::STANDARD);
    }
    // At once: else the data fills a fresh buffer exactly, and the stat after it doubles that (room_test.rs).
    out.reserve(node.data_bytes() + REPLY_BESIDE_DATA_BYTES);
    encode_reply(out, read.xid, at, &GetDataResponse { data: node.data(), stat: node.stat() });
    Ok(Answered::Whole)
}

fn get_children(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<Answered, ErrorCode> {
    let request: GetChildrenRequest = decode(read.body)?;
    let path = request.path.as_bytes();
    let node = reading.node(path, at).ok_or(ErrorCode::NoNode)?;
    if let Err(answered) = pay_check(read, node) {
        return Ok(answered);
    }
    check(read, node, perms::READ)?;
    let cost = node.children_count as usize;
    // Too long a list is not looked at yet.
    let payment = if cost > read.budget { Err(Answered::TooLong) } else { read.pay(cost) };
    if let Err(answered) = payment {
        return Ok(answered);
    }
    if request.watch {
        watches.add(Table::Child, path, Some(&node.path), read.connection, Modes::STANDARD);
    }
    let reply = begin_reply(out, read.xid, at, ErrorCode::Ok);
    if encode_children(reading, node, at, out, reply).is_err() {
        return Ok(Answered::TooLarge);
    }
    if read.opcode == Opcode::GetChildren2 {
        node.stat().encode(out);
    }
    end_reply(out, reply);
    Ok(Answered::Whole)
}

/// A reply that nobody can be sent.
#[derive(Clone, Copy, Debug)]
pub struct TooLarge;

/// Appends the names of all children to the reply that begins at `reply`.
pub fn encode_children(
    reading: &Reading<'_>,
    node: &Node,
    at: Zxid,
    out: &mut Vec<u8>,
    reply: usize,
) -> Result<(), TooLarge> {
    let mut children = VectorWriter::begin(out);
    for child in reading.children(node, at) {
        children.push(out, &Text::from_bytes(child.path.name()));
        if out.len() - reply > limits::REPLY_BYTES_MAX {
            out.truncate(reply);
            return Err(TooLarge);
        }
    }
    children.end(out);
    Ok(())
}

/// All descendants. Small answers at once: nodes whose children have none.
fn get_all_children_number(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    out: &mut Vec<u8>,
) -> Result<Answered, ErrorCode> {
    let request: GetAllChildrenNumberRequest = decode(read.body)?;
    let node = reading.node(request.path.as_bytes(), at).ok_or(ErrorCode::NoNode)?;
    if let Err(answered) = pay_check(read, node) {
        return Ok(answered);
    }
    check(read, node, perms::READ)?;
    let mut todo = vec![node];
    let mut total = extra(request.path);
    while let Some(node) = todo.pop() {
        total += node.children_count as usize;
        if total > read.budget || read.must_wait(total) {
            break;
        }
        if node.children_count > 0 {
            todo.extend(reading.children(node, at).filter(|child| child.children_count > 0));
        }
    }
    if let Err(answered) = read.pay(total) {
        return Ok(answered);
    }
    let total_number = i32::try_from(total).unwrap_or(i32::MAX);
    encode_reply(out, read.xid, at, &GetAllChildrenNumberResponse { total_number });
    Ok(Answered::Whole)
}

/// As ZooKeeper counts paths that begin with `path/`, the root is among the descendants of the empty path.
pub fn extra(path: Text<'_>) -> usize {
    usize::from(path.as_bytes().is_empty())
}

fn set_watches(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<Answered, ErrorCode> {
    let request = watch_requests::decode_set_watches(read.opcode, read.body)?;
    let paths = watch_requests::count(&request).saturating_sub(read.done);
    if read.must_wait(paths) {
        return Ok(Answered::NotNow);
    }
    let most = if read.budget == URGENT { URGENT } else { read.budget.min(read.left.get().max(CHEAP)) };
    read.left.set(read.left.get().saturating_sub(paths.min(most)));
    let piece = (read.done, most);
    let left = watch_requests::set_watches(&request, read.connection, piece, (reading, at), watches, out)?;
    if let Some(done) = left {
        return Ok(Answered::Partly(done));
    }
    encode_bare_reply(out, read.xid, at, ErrorCode::Ok);
    Ok(Answered::Whole)
}

/// Who the connection has shown to be: a digest by its user, and schemes without a provider without a name.
fn who_am_i(read: &Read<'_>, at: Zxid, out: &mut Vec<u8>) {
    let reply = begin_reply(out, read.xid, at, ErrorCode::Ok);
    let mut infos = VectorWriter::begin(out);
    for identity in read.identities {
        let user = java_text::write(auth::user(identity));
        let auth_scheme = Text::from(identity.scheme.as_str());
        infos.push(out, &ClientInfo { auth_scheme, user: Text::from_bytes(&user) });
    }
    infos.end(out);
    end_reply(out, reply);
}

fn get_acl(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    out: &mut Vec<u8>,
) -> Result<Answered, ErrorCode> {
    let request: GetAclRequest = decode(read.body)?;
    let node = reading.node(request.path.as_bytes(), at).ok_or(ErrorCode::NoNode)?;
    // The entries are looked at twice and copied.
    if let Err(Answered::NotNow) = read.pay(node.acl_entries().map_or(0, <[OwnedAcl]>::len).min(read.budget))
    {
        return Ok(Answered::NotNow);
    }
    check(read, node, perms::READ | perms::ADMIN)?;
    let sees_hashes = check(read, node, perms::ADMIN).is_ok();
    let reply = begin_reply(out, read.xid, at, ErrorCode::Ok);
    match node.acl_entries() {
        None => encode_vector(out, [OwnedAcl::new(perms::ALL, "world", "anyone")]),
        Some(entries) => encode_vector(out, entries.iter().map(|entry| Shown(shown(entry, sees_hashes)))),
    }
    node.stat().encode(out);
    end_reply(out, reply);
    Ok(Answered::Whole)
}

/// An entry as Java writes it.
struct Shown(OwnedAcl);

impl Encode for Shown {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.perms.encode(out);
        encode_bytes(out, &java_text::write(&self.0.scheme));
        encode_bytes(out, &java_text::write(&self.0.id));
    }
}

/// Without ADMIN a digest id shows its user and `x`.
pub fn shown(entry: &OwnedAcl, sees_hashes: bool) -> OwnedAcl {
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

/// What looking through the node's ACL costs. A long list waits for a turn that has something left; it is never too long.
fn pay_check(read: &Read<'_>, node: &Node) -> Result<(), Answered> {
    if read.skip_acl || node.acl_entries().is_none() {
        return Ok(());
    }
    read.pay(acl::cost(node.acl_entries()).min(read.budget))
}

pub fn check(read: &Read<'_>, node: &Node, perm: i32) -> Result<(), ErrorCode> {
    if read.skip_acl { Ok(()) } else { acl::check(node.acl_entries(), perm, read.identities) }
}

pub fn decode<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T, ErrorCode> {
    T::decode(&mut Reader::new(bytes)).map_err(|_| ErrorCode::MarshallingError)
}
