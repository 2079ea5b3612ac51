//! setWatches, setWatches2, addWatch, checkWatches, removeWatches (client-protocol.md §12.5 to §12.7).
//!
//! None of them looks at the syntax of a path or at an ACL.

use crate::base::{ConnectionId, Zxid};
use crate::tree::Reading;
use crate::wire::client::header::{encode_bare_reply, encode_reply};
use crate::wire::client::watch::encode_notification;
use crate::wire::client::{AddWatchMode, ErrorResponse, EventType, WatcherType};
use crate::wire::vector::Vector;
use crate::wire::{Decode, DecodeError, ErrorCode, Opcode, Reader, Text, java_text};

use super::reads::Read;
use super::watches::{Modes, Table, Watches};

/// Events that setWatches makes up belong to no transaction.
const NO_ZXID: Zxid = Zxid(-1);

/// The null path, which Java's tables hold like any other: no text that can be a path looks like this.
pub const NULL_PATH: &[u8] = &[0xff; 4];

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

/// A list of setWatches as it came. ZooKeeper goes through the lists until it trips over a null.
type List<'a> = Option<Vector<'a, Option<Text<'a>>>>;

/// Either of the two records, with the last two lists empty in the older one.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    relative_zxid: Zxid,
    lists: [List<'a>; 5],
}

pub fn decode_set_watches<'a>(opcode: Opcode, body: &'a [u8]) -> Result<Lists<'a>, ErrorCode> {
    let count = if opcode == Opcode::SetWatches2 { 5 } else { 3 };
    let mut reader = Reader::new(body);
    let mut decode = || -> Result<Lists<'a>, DecodeError> {
        let relative_zxid = Zxid::decode(&mut reader)?;
        let mut lists = [Some(Vector::EMPTY); 5];
        for list in &mut lists[..count] {
            *list = List::decode(&mut reader)?;
        }
        Ok(Lists { relative_zxid, lists })
    };
    decode().map_err(|_| ErrorCode::MarshallingError)
}

/// Paths in all of the lists.
pub fn count(request: &Lists<'_>) -> usize {
    request.lists.iter().flatten().map(Vector::len).sum()
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

const KINDS: [Kind; 5] = [Kind::Data, Kind::Exist, Kind::Child, Kind::Persistent, Kind::Recursive];

/// Paths with what was watched there; `None` for a null that ZooKeeper trips over. Persistent watches on null it registers.
fn paths<'a>(request: &Lists<'a>) -> impl Iterator<Item = Option<(Kind, Text<'a>)>> {
    KINDS.into_iter().zip(request.lists).flat_map(|(kind, list)| {
        let null = list.is_none().then_some(None);
        let takes_null = matches!(kind, Kind::Persistent | Kind::Recursive);
        let paths = list.into_iter().flat_map(|list| list.iter());
        let paths = paths.map(move |path| path.or(takes_null.then_some(Text::from_bytes(NULL_PATH))));
        null.into_iter().chain(paths.map(move |path| path.map(|path| (kind, path))))
    })
}

/// Goes through at most `budget` paths from number `from` on: registers, or says what happened meanwhile. Returns where
/// to go on, or `None` at the end. At a null it is MarshallingError, and what came before stays done.
pub fn set_watches(
    request: &Lists<'_>,
    connection: ConnectionId,
    (from, budget): (usize, usize),
    (reading, at): (&Reading<'_>, Zxid),
    watches: &mut Watches,
    out: &mut Vec<u8>,
) -> Result<Option<usize>, ErrorCode> {
    let since = request.relative_zxid.0;
    let mut todo = paths(request).skip(from);
    for path in todo.by_ref().take(budget) {
        let (kind, text) = path.ok_or(ErrorCode::MarshallingError)?;
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
            (Some(event), _) => {
                let echo = java_text::echo(path);
                encode_notification(out, NO_ZXID, event, Text::from_bytes(&echo));
            }
            (None, Kind::Data | Kind::Exist) => {
                watches.add(Table::Data, path, shared, connection, Modes::STANDARD);
            }
            (None, Kind::Child) => watches.add(Table::Child, path, shared, connection, Modes::STANDARD),
            (None, Kind::Persistent) => watches.add_lasting(path, shared, connection, false),
            (None, Kind::Recursive) => watches.add_lasting(path, shared, connection, true),
        }
    }
    Ok(todo.next().map(|_| from + budget))
}
