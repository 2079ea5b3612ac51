//! exists, getData, setData, delete, deleteContainer, and the check of a version within a multi.
//!
//! | operation | request | response |
//! |---|---|---|
//! | exists | [`ExistsRequest`] | [`ExistsResponse`] |
//! | getData | [`GetDataRequest`] | [`GetDataResponse`] |
//! | setData | [`SetDataRequest`] | [`SetDataResponse`] |
//! | delete, deleteContainer | [`DeleteRequest`], [`DeleteContainerRequest`] | none |
//! | check | [`CheckVersionRequest`] | none |

use crate::wire::jute::{Text, record};
use crate::wire::stat::Stat;

record! {
    pub struct ExistsRequest<'a> {
        pub path: Text<'a>,
        pub watch: bool,
    }
}

record! {
    pub struct ExistsResponse {
        pub stat: Stat,
    }
}

record! {
    pub struct GetDataRequest<'a> {
        pub path: Text<'a>,
        pub watch: bool,
    }
}

record! {
    /// Also the response of reconfig.
    pub struct GetDataResponse<'a> {
        pub data: Option<&'a [u8]>,
        pub stat: Stat,
    }
}

record! {
    pub struct SetDataRequest<'a> {
        pub path: Text<'a>,
        pub data: Option<&'a [u8]>,
        /// The version it must have; -1 for any.
        pub version: i32,
    }
}

record! {
    pub struct SetDataResponse {
        pub stat: Stat,
    }
}

record! {
    pub struct DeleteRequest<'a> {
        pub path: Text<'a>,
        /// The version it must have; -1 for any.
        pub version: i32,
    }
}

record! {
    /// As 3.9 encodes it. 3.8 fills the body with the bare path; but there only the leader itself makes such a request.
    pub struct DeleteContainerRequest<'a> {
        pub path: Text<'a>,
    }
}

record! {
    pub struct CheckVersionRequest<'a> {
        pub path: Text<'a>,
        /// The version it must have; -1 for any.
        pub version: i32,
    }
}
