//! getACL and setACL.

use crate::wire::acl::AclList;
use crate::wire::jute::{Text, record};
use crate::wire::stat::Stat;

record! {
    pub struct GetAclRequest<'a> {
        pub path: Text<'a>,
    }
}

record! {
    pub struct GetAclResponse<'a> {
        pub acl: AclList<'a>,
        pub stat: Stat,
    }
}

record! {
    pub struct SetAclRequest<'a> {
        pub path: Text<'a>,
        pub acl: Option<AclList<'a>>,
        /// The aversion it must have; -1 for any.
        pub version: i32,
    }
}

record! {
    pub struct SetAclResponse {
        pub stat: Stat,
    }
}
