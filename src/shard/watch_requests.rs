//! setWatches, setWatches2, addWatch, checkWatches, removeWatches (client-protocol.md §12.5 to §12.7).
//!
//! None of them looks at the syntax of a path or at an ACL.

use crate::base::{ConnectionId, Zxid};
use crate::tree::Reading;
use crate::wire::client::header::{encode_bare_reply, encode_reply};
use crate::wire::client::watch::encode_notification;
use crate::wire::client::{AddWatchMode, ErrorResponse, EventType, SetWatches2, WatcherType};
use crate::wire::vector::Vector;
use crate::wire::{Decode, ErrorCode, Opcode, Reader, Text};

use super::reads::{Read, decode};
use super::watches::{Modes, Table, Watches};

/// Events that setWatches makes up belong to no transaction.
const NO_ZXID: Zxid = Zxid(-1);

/// The null path, which Java's tables hold like any other: no text that can be a path looks like this.
const NULL_PATH: &[u8] = &[0xff; 4];

/// The records of all three: a path, which may be null, and a number with a meaning.
fn path_and<'a, T: Decode<'a>>(body: &'a [u8]) -> Result<(&'a [u8], T), ErrorCode> {
    let mut reader = Reader::new(body);
    let path = Option::<Text<'a>>::decode(&mut reader).map_err(|_| ErrorCode::MarshallingError)?;
    let what = T::decode(&mut reader).map_err(|_| ErrorCode::MarshallingError)?;
    Ok((path.map_or(NULL_PATH, Text::as_bytes), what))
}

pub fn add_watch(
    read: &Read<'_>,
    reading: &Reading<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let (path, mode) = path_and::<AddWatchMode>(read.body)?;
    let shared = reading.node(path, at).map(|node| &node.path);
    let recursive = mode == AddWatchMode::PersistentRecursive;
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
    let (path, kind) = path_and(read.body)?;
    let found =
        meant(kind).into_iter().any(|(table, modes)| watches.contains(table, path, read.connection, modes));
    done_if(found, read, at, out)
}

pub fn remove_watches(
    read: &Read<'_>,
    at: Zxid,
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let (path, kind) = path_and(read.body)?;
    let mut found = false;
    for (table, modes) in meant(kind) {
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
