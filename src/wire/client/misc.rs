//! sync, auth, sasl, reconfig, whoAmI.
//!
//! | operation | request | response |
//! |---|---|---|
//! | sync | [`SyncRequest`] | [`SyncResponse`] |
//! | auth | [`AuthPacket`] | none |
//! | sasl | [`GetSaslRequest`] | [`SetSaslResponse`], with errors too |
//! | reconfig | [`ReconfigRequest`] | [`super::GetDataResponse`] |
//! | whoAmI | none | [`WhoAmIResponse`] |

use crate::wire::jute::{Text, record};
use crate::wire::vector::Vector;

record! {
    pub struct SyncRequest<'a> {
        /// Echoed untouched, null too.
        pub path: Option<Text<'a>>,
    }
}

record! {
    pub struct SyncResponse<'a> {
        pub path: Option<Text<'a>>,
    }
}

record! {
    pub struct AuthPacket<'a> {
        /// Ignored; clients send 0.
        pub auth_type: i32,
        /// Null is AuthFailed.
        pub scheme: Option<Text<'a>>,
        /// Null is AuthFailed.
        pub auth: Option<&'a [u8]>,
    }
}

record! {
    pub struct GetSaslRequest<'a> {
        pub token: Option<&'a [u8]>,
    }
}

record! {
    pub struct SetSaslResponse<'a> {
        pub token: Option<&'a [u8]>,
    }
}

record! {
    pub struct ReconfigRequest<'a> {
        /// Comma list of `server.N=spec`.
        pub joining_servers: Option<Text<'a>>,
        /// Comma list of server ids.
        pub leaving_servers: Option<Text<'a>>,
        /// Not null: the whole new membership, and the two above don't count.
        pub new_members: Option<Text<'a>>,
        /// The version the configuration must have; -1 for any.
        pub cur_config_id: i64,
    }
}

record! {
    pub struct ClientInfo<'a> {
        pub auth_scheme: Text<'a>,
        pub user: Text<'a>,
    }
}

record! {
    pub struct WhoAmIResponse<'a> {
        pub client_info: Vector<'a, ClientInfo<'a>>,
    }
}

record! {
    /// The body of addWatch's reply, and of an operation that failed within a multi.
    pub struct ErrorResponse {
        pub err: i32,
    }
}
