//! create, create2, createContainer, createTTL.
//!
//! | operation | request | response |
//! |---|---|---|
//! | create | [`CreateRequest`] | [`CreateResponse`] |
//! | create2, createContainer | [`CreateRequest`] | [`Create2Response`] |
//! | createTTL | [`CreateTtlRequest`] | [`Create2Response`] |

use crate::wire::acl::AclList;
use crate::wire::jute::{Text, record};
use crate::wire::stat::Stat;

record! {
    pub struct CreateRequest<'a> {
        pub path: Text<'a>,
        pub data: Option<&'a [u8]>,
        pub acl: Option<AclList<'a>>,
        /// A [`CreateMode`], or BadArguments.
        pub flags: i32,
    }
}

record! {
    pub struct CreateTtlRequest<'a> {
        pub path: Text<'a>,
        pub data: Option<&'a [u8]>,
        pub acl: Option<AclList<'a>>,
        /// A [`CreateMode`], or BadArguments.
        pub flags: i32,
        /// Milliseconds.
        pub ttl: i64,
    }
}

record! {
    pub struct CreateResponse<'a> {
        /// With the suffix of a sequential znode.
        pub path: Text<'a>,
    }
}

record! {
    pub struct Create2Response<'a> {
        /// With the suffix of a sequential znode.
        pub path: Text<'a>,
        pub stat: Stat,
    }
}

/// The flags of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum CreateMode {
    Persistent = 0,
    Ephemeral = 1,
    PersistentSequential = 2,
    EphemeralSequential = 3,
    Container = 4,
    PersistentWithTtl = 5,
    PersistentSequentialWithTtl = 6,
}

impl CreateMode {
    #[inline]
    pub const fn from_flags(flags: i32) -> Option<CreateMode> {
        Some(match flags {
            0 => CreateMode::Persistent,
            1 => CreateMode::Ephemeral,
            2 => CreateMode::PersistentSequential,
            3 => CreateMode::EphemeralSequential,
            4 => CreateMode::Container,
            5 => CreateMode::PersistentWithTtl,
            6 => CreateMode::PersistentSequentialWithTtl,
            _ => return None,
        })
    }

    #[inline]
    pub const fn flags(self) -> i32 {
        self as i32
    }

    #[inline]
    pub const fn is_ephemeral(self) -> bool {
        matches!(self, CreateMode::Ephemeral | CreateMode::EphemeralSequential)
    }

    #[inline]
    pub const fn is_sequential(self) -> bool {
        matches!(
            self,
            CreateMode::PersistentSequential
                | CreateMode::EphemeralSequential
                | CreateMode::PersistentSequentialWithTtl
        )
    }

    #[inline]
    pub const fn is_ttl(self) -> bool {
        matches!(self, CreateMode::PersistentWithTtl | CreateMode::PersistentSequentialWithTtl)
    }
}
