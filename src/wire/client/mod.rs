//! The client protocol: one file per family of operations, requests and responses side by side.
//!
//! A server: [`crate::wire::frame::split`], then [`RequestHeader`], then [`Request::decode`]; answers with the helpers
//! of [`header`]. A client (simulator, load generator, shell): [`header::encode_request`], then [`ReplyHeader`] and the
//! response record. Which body an operation's reply has is written in the file of its family.

pub mod acl;
pub mod children;
pub mod connect;
pub mod create;
pub mod data;
pub mod header;
pub mod misc;
pub mod multi;
pub mod watch;

pub use acl::{GetAclRequest, GetAclResponse, SetAclRequest, SetAclResponse};
pub use children::{
    GetAllChildrenNumberRequest, GetAllChildrenNumberResponse, GetChildren2Response, GetChildrenRequest,
    GetChildrenResponse, GetEphemeralsRequest, GetEphemeralsResponse,
};
pub use connect::{ConnectRequest, ConnectResponse, CreateSessionRequest};
pub use create::{Create2Response, CreateMode, CreateRequest, CreateResponse, CreateTtlRequest};
pub use data::{
    CheckVersionRequest, DeleteContainerRequest, DeleteRequest, ExistsRequest, ExistsResponse,
    GetDataRequest, GetDataResponse, SetDataRequest, SetDataResponse,
};
pub use header::{ReplyHeader, RequestHeader, xid};
pub use misc::{
    AuthPacket, ClientInfo, ErrorResponse, GetSaslRequest, ReconfigRequest, SetSaslResponse, SyncRequest,
    SyncResponse, WhoAmIResponse,
};
pub use multi::{MultiOp, MultiReadOp, MultiReadRequest, MultiRequest, MultiResult, MultiResults};
pub use watch::{
    AddWatchMode, AddWatchRequest, CheckWatchesRequest, EventType, KeeperState, RemoveWatchesRequest,
    SetWatches, SetWatches2, WatcherEvent, WatcherType,
};

use super::jute::{Decode, DecodeError, Encode, Reader, Reason};
use super::opcode::Opcode;

/// Declares the enum, its decoder and its encoder from one table.
macro_rules! requests {
    ($($(#[$meta:meta])* $name:ident($($record:ty)?),)*) => {
        /// The body of a request, decoded. A failure to decode is answered with MarshallingError.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Request<'a> { $($(#[$meta])* $name $(($record))?,)* }

        impl<'a> Request<'a> {
            /// The opcodes that can be decoded.
            pub const OPCODES: &'static [Opcode] = &[$(Opcode::$name,)*];

            /// Reads the body that belongs to `opcode`. An opcode that is no request by itself (notification, check,
            /// error) is [`Reason::UnknownType`]; the caller answers such with Unimplemented before coming here.
            #[inline]
            pub fn decode(opcode: Opcode, reader: &mut Reader<'a>) -> Result<Request<'a>, DecodeError> {
                match opcode {
                    $(Opcode::$name => Ok(Request::$name $((<$record>::decode(reader)?))?),)*
                    Opcode::Notification | Opcode::Check | Opcode::Error => {
                        Err(reader.error(Reason::UnknownType(opcode.code())))
                    }
                }
            }

            #[inline]
            pub fn opcode(&self) -> Opcode {
                match self { $(Request::$name { .. } => Opcode::$name,)* }
            }
        }

        impl Encode for Request<'_> {
            fn encode(&self, _out: &mut Vec<u8>) {
                requests!(@encode self, _out, $($name($($record)?),)*)
            }
        }
    };
    (@encode $self:ident, $out:ident, $($name:ident($($record:ty)?),)*) => {
        match $self { $(requests!(@pattern body, $name $($record)?) => requests!(@body body, $out $(, $record)?),)* }
    };
    (@pattern $body:ident, $name:ident) => { Request::$name };
    (@pattern $body:ident, $name:ident $record:ty) => { Request::$name($body) };
    (@body $body:ident, $out:ident) => { () };
    (@body $body:ident, $out:ident, $record:ty) => { $body.encode($out) };
}

requests! {
    Create(CreateRequest<'a>),
    Delete(DeleteRequest<'a>),
    Exists(ExistsRequest<'a>),
    GetData(GetDataRequest<'a>),
    SetData(SetDataRequest<'a>),
    GetAcl(GetAclRequest<'a>),
    SetAcl(SetAclRequest<'a>),
    GetChildren(GetChildrenRequest<'a>),
    Sync(SyncRequest<'a>),
    Ping(),
    GetChildren2(GetChildrenRequest<'a>),
    Multi(MultiRequest<'a>),
    Create2(CreateRequest<'a>),
    Reconfig(ReconfigRequest<'a>),
    CheckWatches(CheckWatchesRequest<'a>),
    RemoveWatches(RemoveWatchesRequest<'a>),
    CreateContainer(CreateRequest<'a>),
    DeleteContainer(DeleteContainerRequest<'a>),
    CreateTtl(CreateTtlRequest<'a>),
    MultiRead(MultiReadRequest<'a>),
    Auth(AuthPacket<'a>),
    SetWatches(SetWatches<'a>),
    Sasl(GetSaslRequest<'a>),
    GetEphemerals(GetEphemeralsRequest<'a>),
    GetAllChildrenNumber(GetAllChildrenNumberRequest<'a>),
    SetWatches2(SetWatches2<'a>),
    AddWatch(AddWatchRequest<'a>),
    WhoAmI(),
    /// Between servers only; `shard` refuses it from clients.
    CreateSession(CreateSessionRequest),
    CloseSession(),
}

#[cfg(test)]
#[path = "client_test.rs"]
mod tests;

#[cfg(test)]
#[path = "round_trip_test.rs"]
mod round_trip_tests;
