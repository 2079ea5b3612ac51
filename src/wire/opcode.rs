//! The operations, with ZooKeeper's numbers and words (`ZooDefs.OpCode`). Also the types of transactions.

use std::fmt;

/// Declares the enum and both directions from one table.
macro_rules! opcodes {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $word:literal, $class:ident;)*) => {
        /// What a request asks for, or what a transaction does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum Opcode { $($(#[$meta])* $name = $code,)* }

        impl Opcode {
            pub const ALL: &[Opcode] = &[$(Opcode::$name,)*];

            /// `None` for the numbers ZooKeeper doesn't know: Unimplemented, and the connection is closed.
            #[inline]
            pub const fn from_i32(code: i32) -> Option<Opcode> {
                match code {
                    $($code => Some(Opcode::$name),)*
                    _ => None,
                }
            }

            /// ZooKeeper's word for it.
            pub const fn name(self) -> &'static str {
                match self { $(Opcode::$name => $word,)* }
            }

            #[inline]
            pub const fn class(self) -> Class {
                match self { $(Opcode::$name => Class::$class,)* }
            }
        }
    };
}

/// Which way an operation takes through the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Becomes a transaction, also when it fails.
    Write,
    /// Answered from the published version, in the session's order.
    Read,
    /// No transaction, but waits for what the leader has committed.
    Sync,
    /// About the connection and answered at once: auth, sasl. Never enters the pipeline.
    Connection,
    /// Not a request of a client's by itself: Unimplemented, and the connection is closed.
    Internal,
}

opcodes! {
    /// Server to client only.
    Notification = 0, "notification", Internal;
    Create = 1, "create", Write;
    Delete = 2, "delete", Write;
    Exists = 3, "exists", Read;
    GetData = 4, "getData", Read;
    SetData = 5, "setData", Write;
    GetAcl = 6, "getACL", Read;
    SetAcl = 7, "setACL", Write;
    GetChildren = 8, "getChildren", Read;
    Sync = 9, "sync", Sync;
    Ping = 11, "ping", Read;
    GetChildren2 = 12, "getChildren2", Read;
    /// Within a multi only.
    Check = 13, "check", Internal;
    Multi = 14, "multi", Write;
    Create2 = 15, "create2", Write;
    Reconfig = 16, "reconfig", Write;
    CheckWatches = 17, "checkWatches", Read;
    RemoveWatches = 18, "removeWatches", Read;
    CreateContainer = 19, "createContainer", Write;
    /// The leader's reaper sends it. ZooKeeper takes it from clients, too; `shard` decides.
    DeleteContainer = 20, "deleteContainer", Write;
    CreateTtl = 21, "createTTL", Write;
    MultiRead = 22, "multiRead", Read;
    Auth = 100, "auth", Connection;
    SetWatches = 101, "setWatches", Read;
    Sasl = 102, "sasl", Connection;
    GetEphemerals = 103, "getEphemerals", Read;
    GetAllChildrenNumber = 104, "getAllChildrenNumber", Read;
    SetWatches2 = 105, "setWatches2", Read;
    AddWatch = 106, "addWatch", Read;
    WhoAmI = 107, "whoAmI", Read;
    /// A transaction that only says that a write failed, and how; in a multi's reply, an operation that failed.
    Error = -1, "error", Internal;
    /// Made by the server that accepts a ConnectRequest.
    CreateSession = -10, "createSession", Internal;
    CloseSession = -11, "closeSession", Write;
}

impl Opcode {
    #[inline]
    pub const fn code(self) -> i32 {
        self as i32
    }

    #[inline]
    pub const fn is_write(self) -> bool {
        matches!(self.class(), Class::Write)
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_go_both_ways() {
        assert_eq!(Opcode::ALL.len(), 33);
        for opcode in Opcode::ALL {
            assert_eq!(Opcode::from_i32(opcode.code()), Some(*opcode));
        }
        for unknown in [10, 23, 99, 108, -2, -9, -12, i32::MIN, i32::MAX] {
            assert_eq!(Opcode::from_i32(unknown), None);
        }
        assert_eq!(Opcode::CloseSession.code(), -11);
        assert_eq!(Opcode::GetAllChildrenNumber.to_string(), "getAllChildrenNumber");
    }

    #[test]
    fn multi_writes_and_multi_read_reads() {
        assert!(Opcode::Multi.is_write());
        assert!(!Opcode::MultiRead.is_write());
        assert_eq!(Opcode::Sync.class(), Class::Sync);
    }
}
