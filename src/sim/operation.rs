//! What clients ask for: every request of the client protocol that changes, reads or watches something.

use crate::base::Zxid;
use crate::wire::OwnedAcl;
use crate::wire::client::WatcherType;

/// Which of the four requests makes the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Create,
    Create2,
    Container,
    /// With its milliseconds.
    Ttl(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    pub form: Form,
    pub path: Vec<u8>,
    pub data: Option<Vec<u8>>,
    pub acl: Vec<OwnedAcl>,
    pub flags: i32,
}

/// One change, by itself or as a part of a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    Create(Creation),
    Delete {
        path: Vec<u8>,
        version: i32,
    },
    SetData {
        path: Vec<u8>,
        data: Option<Vec<u8>>,
        version: i32,
    },
    /// In a multi only.
    Check {
        path: Vec<u8>,
        version: i32,
    },
}

/// A part of a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Data { path: Vec<u8> },
    Children { path: Vec<u8> },
}

/// What a client that comes back says it watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    pub data: Vec<Vec<u8>>,
    pub exist: Vec<Vec<u8>>,
    pub child: Vec<Vec<u8>>,
    pub persistent: Vec<Vec<u8>>,
    pub recursive: Vec<Vec<u8>>,
}

impl Watched {
    pub fn count(&self) -> usize {
        let Watched { data, exist, child, persistent, recursive } = self;
        [data, exist, child, persistent, recursive].into_iter().map(Vec::len).sum()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Edit(Edit),
    Multi(Vec<Edit>),
    SetAcl {
        path: Vec<u8>,
        acl: Vec<OwnedAcl>,
        version: i32,
    },
    CloseSession,
    /// Of a server alone, which refuses it.
    Reconfig,
    Exists {
        path: Vec<u8>,
        watch: bool,
    },
    GetData {
        path: Vec<u8>,
        watch: bool,
    },
    GetChildren {
        path: Vec<u8>,
        watch: bool,
        two: bool,
    },
    GetAcl {
        path: Vec<u8>,
    },
    MultiRead(Vec<Look>),
    AllChildrenNumber {
        path: Vec<u8>,
    },
    Ephemerals {
        prefix: Vec<u8>,
    },
    WhoAmI,
    Sync {
        path: Vec<u8>,
    },
    Ping,
    AddWatch {
        path: Vec<u8>,
        recursive: bool,
    },
    CheckWatches {
        path: Vec<u8>,
        kind: WatcherType,
    },
    RemoveWatches {
        path: Vec<u8>,
        kind: WatcherType,
    },
    SetWatches {
        since: Zxid,
        watched: Watched,
        /// The older request, without the lists that it has no room for.
        old: bool,
    },
    /// The connection is this user, too. `None`: a scheme that nobody knows, and the connection's end.
    Auth {
        user: Option<String>,
    },
}

impl Operation {
    /// A createTTL without a TTL node's flags and without a time is refused before it is one: Apache's servers die of it.
    pub fn is_poison(&self) -> bool {
        matches!(self, Operation::Edit(Edit::Create(Creation { form: Form::Ttl(ms), flags, .. }))
            if *ms < 0 && (0..=4).contains(flags))
    }

    pub fn is_write(&self) -> bool {
        !self.is_poison()
            && matches!(
                self,
                Operation::Edit(_)
                    | Operation::Multi(_)
                    | Operation::SetAcl { .. }
                    | Operation::CloseSession
                    | Operation::Reconfig
            )
    }

    /// Watches that it may leave behind, at the most.
    pub fn watches_max(&self) -> u64 {
        match self {
            Operation::Exists { watch: true, .. }
            | Operation::GetData { watch: true, .. }
            | Operation::GetChildren { watch: true, .. } => 1,
            Operation::AddWatch { .. } => 2,
            Operation::SetWatches { watched, .. } => 2 * watched.count() as u64,
            _ => 0,
        }
    }
}
