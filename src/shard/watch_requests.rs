//! setWatches, setWatches2, addWatch, checkWatches, removeWatches (client-protocol.md §12.5 to §12.7).
//!
//! None of them looks at the syntax of a path or at an ACL.

use crate::base::{ConnectionId, Zxid};
use crate::tree::Reading;
use crate::wire::client::header::{encode_bare_reply, encode_reply};
use crate::wire::client::watch::encode_notification;
use crate::wire::client::{
    AddWatchMode, AddWatchRequest, CheckWatchesRequest, ErrorResponse, EventType, RemoveWatchesRequest,
    SetWatches2, WatcherType,
};
use crate::wire::vector::Vector;
use crate::wire::{ErrorCode, Opcode, Text};

use super::reads::{Read, decode};
use super::watches::{Modes, Table, Watches};

/// Events that setWatches makes up belong to no transaction.
const NO_ZXID: Zxid = Zxid(-1);

pub fn add_watch(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let request: AddWatchRequest = decode(read.body)?;
    let path = request.path.as_bytes();
    let shared = reading.node(path, at).map(|node| &node.path);
    let recursive = request.mode == AddWatchMode::PersistentRecursive;
    watches.add_lasting(path, shared, read.connection, recursive);
    encode_reply(out, read.xid, at, &ErrorResponse { err: 0 });
    Ok(())
}

/// What a type of checkWatches and removeWatches means: modes in the data table and in the child table.
fn meant(kind: WatcherType) -> [(Table, Modes); 2] {
    let (data, child) = match kind {
        WatcherType::Children => (Modes::NONE, Modes::STANDARD),
        WatcherType::Data => (Modes::STANDARD, Modes::NONE),
        WatcherType::Any => (Modes::ANY, Modes::ANY),
        WatcherType::Persistent => (Modes::PERSISTENT, Modes::PERSISTENT),
        WatcherType::PersistentRecursive => (Modes::RECURSIVE, Modes::NONE),
    };
    [(Table::Data, data), (Table::Child, child)]
}

pub fn check_watches(
    read: &Read<'_>,
    at: Zxid,
    watches: &Watches,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let request: CheckWatchesRequest = decode(read.body)?;
    let path = request.path.as_bytes();
    let found = meant(request.watcher_type)
        .into_iter()
        .any(|(table, modes)| watches.contains(table, path, read.connection, modes));
    done_if(found, read, at, out)
}

pub fn remove_watches(
    read: &Read<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let request: RemoveWatchesRequest = decode(read.body)?;
    let path = request.path.as_bytes();
    let mut found = false;
    for (table, modes) in meant(request.watcher_type) {
        found |= watches.remove(table, path, read.connection, modes);
    }
    done_if(found, read, at, out)
}

fn done_if(found: bool, read: &Read<'_>, at: Zxid, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    if !found {
        return Err(ErrorCode::NoWatcher);
    }
    encode_bare_reply(out, read.xid, at, ErrorCode::Ok);
    Ok(())
}

/// Either of the two records, with the last two lists empty in the older one.
pub fn decode_set_watches<'a>(opcode: Opcode, body: &'a [u8]) -> Result<SetWatches2<'a>, ErrorCode> {
    if opcode == Opcode::SetWatches2 {
        return decode(body);
    }
    let crate::wire::client::SetWatches { relative_zxid, data_watches, exist_watches, child_watches } =
        decode(body)?;
    Ok(SetWatches2 {
        relative_zxid,
        data_watches,
        exist_watches,
        child_watches,
        persistent_watches: Vector::EMPTY,
        persistent_recursive_watches: Vector::EMPTY,
    })
}

/// The lists in the order in which they are gone through.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

/// Paths with what was watched there.
fn paths<'a>(request: &SetWatches2<'a>) -> impl Iterator<Item = (Kind, Text<'a>)> {
    let of = |kind, list: Vector<'a, Text<'a>>| list.iter().map(move |path| (kind, path));
    of(Kind::Data, request.data_watches)
        .chain(of(Kind::Exist, request.exist_watches))
        .chain(of(Kind::Child, request.child_watches))
        .chain(of(Kind::Persistent, request.persistent_watches))
        .chain(of(Kind::Recursive, request.persistent_recursive_watches))
}

/// Goes through at most `budget` paths from number `from` on: registers, or says what happened meanwhile. Returns where
/// to go on, or `None` at the end.
pub fn set_watches(
    request: &SetWatches2<'_>,
    connection: ConnectionId,
    (from, budget): (usize, usize),
    (reading, at): (&Reading<'_>, Zxid),
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let since = request.relative_zxid.0;
    let mut todo = paths(request).skip(from);
    for (kind, text) in todo.by_ref().take(budget) {
        let path = text.as_bytes();
        let node = reading.node(path, at);
        let shared = node.map(|node| &node.path);
        let event = match (kind, node) {
            (Kind::Data | Kind::Child, None) => Some(EventType::NodeDeleted),
            (Kind::Data, Some(node)) if node.mzxid > since => Some(EventType::NodeDataChanged),
            (Kind::Child, Some(node)) if node.pzxid > since => Some(EventType::NodeChildrenChanged),
            (Kind::Exist, Some(_)) => Some(EventType::NodeCreated),
            _ => None,
        };
        match (event, kind) {
            (Some(event), _) => encode_notification(out, NO_ZXID, event, text),
            (None, Kind::Data | Kind::Exist) => {
                watches.add(Table::Data, path, shared, connection, Modes::STANDARD);
            }
            (None, Kind::Child) => watches.add(Table::Child, path, shared, connection, Modes::STANDARD),
            (None, Kind::Persistent) => watches.add_lasting(path, shared, connection, false),
            (None, Kind::Recursive) => watches.add_lasting(path, shared, connection, true),
        }
    }
    todo.next().map(|_| from + budget)
}
