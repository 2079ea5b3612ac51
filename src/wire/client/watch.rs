//! setWatches, setWatches2, addWatch, checkWatches, removeWatches, and the event itself.
//!
//! Replies: addWatch has an [`super::ErrorResponse`] with 0; the others have no body.

use crate::base::Zxid;
use crate::wire::jute::{
    Decode, DecodeError, Encode, Reader, Reason, Text, begin_length, end_length, record,
};
use crate::wire::vector::Vector;

use super::header::{ReplyHeader, xid};

record! {
    /// What a client watched before it reconnected. A null vector is MarshallingError.
    pub struct SetWatches<'a> {
        /// What happened up to here the client knows.
        pub relative_zxid: Zxid,
        pub data_watches: Vector<'a, Text<'a>>,
        pub exist_watches: Vector<'a, Text<'a>>,
        pub child_watches: Vector<'a, Text<'a>>,
    }
}

record! {
    /// [`SetWatches`] of clients that know persistent watches.
    pub struct SetWatches2<'a> {
        /// What happened up to here the client knows.
        pub relative_zxid: Zxid,
        pub data_watches: Vector<'a, Text<'a>>,
        pub exist_watches: Vector<'a, Text<'a>>,
        pub child_watches: Vector<'a, Text<'a>>,
        pub persistent_watches: Vector<'a, Text<'a>>,
        pub persistent_recursive_watches: Vector<'a, Text<'a>>,
    }
}

record! {
    pub struct AddWatchRequest<'a> {
        pub path: Text<'a>,
        pub mode: AddWatchMode,
    }
}

record! {
    pub struct CheckWatchesRequest<'a> {
        pub path: Text<'a>,
        pub watcher_type: WatcherType,
    }
}

record! {
    pub struct RemoveWatchesRequest<'a> {
        pub path: Text<'a>,
        pub watcher_type: WatcherType,
    }
}

record! {
    /// The body of a notification.
    pub struct WatcherEvent<'a> {
        pub event_type: EventType,
        pub state: KeeperState,
        pub path: Text<'a>,
    }
}

/// Declares an enum that is an `int` on the wire. Other numbers fail to decode: the answer is MarshallingError.
macro_rules! int_enum {
    ($(#[$meta:meta])* pub enum $enum:ident { $($(#[$variant_meta:meta])* $name:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum $enum { $($(#[$variant_meta])* $name = $code,)* }

        impl $enum {
            pub const ALL: &[$enum] = &[$($enum::$name,)*];

            #[inline]
            pub const fn from_i32(code: i32) -> Option<$enum> {
                match code {
                    $($code => Some($enum::$name),)*
                    _ => None,
                }
            }
        }

        impl<'a> Decode<'a> for $enum {
            const BYTES_MIN: usize = 4;

            #[inline]
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                let start = *reader;
                let code = reader.i32()?;
                $enum::from_i32(code).ok_or_else(|| start.error(Reason::UnknownType(code)))
            }
        }

        impl Encode for $enum {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                (*self as i32).encode(out);
            }
        }
    };
}

int_enum! {
    /// What addWatch registers.
    pub enum AddWatchMode {
        Persistent = 0,
        PersistentRecursive = 1,
    }
}

int_enum! {
    /// Which watches checkWatches and removeWatches mean (3.9).
    pub enum WatcherType {
        Children = 1,
        Data = 2,
        Any = 3,
        Persistent = 4,
        PersistentRecursive = 5,
    }
}

int_enum! {
    /// What happened. A server sends 1 to 4; the others clients make up for their own watchers.
    pub enum EventType {
        None = -1,
        NodeCreated = 1,
        NodeDeleted = 2,
        NodeDataChanged = 3,
        NodeChildrenChanged = 4,
        DataWatchRemoved = 5,
        ChildWatchRemoved = 6,
        PersistentWatchRemoved = 7,
    }
}

int_enum! {
    /// The client's connection. A server sends `SyncConnected` only.
    pub enum KeeperState {
        Disconnected = 0,
        SyncConnected = 3,
        AuthFailed = 4,
        ConnectedReadOnly = 5,
        SaslAuthenticated = 6,
        Closed = 7,
        Expired = -112,
    }
}

/// Appends a whole notification. `zxid` is the transaction's that fired the watch; -1 for events made by setWatches.
pub fn encode_notification(out: &mut Vec<u8>, zxid: Zxid, event_type: EventType, path: Text<'_>) {
    out.reserve(4 + 16 + 8 + 4 + path.as_bytes().len());
    let at = begin_length(out);
    ReplyHeader { xid: xid::NOTIFICATION, zxid, err: 0 }.encode(out);
    WatcherEvent { event_type, state: KeeperState::SyncConnected, path }.encode(out);
    end_length(out, at);
}
