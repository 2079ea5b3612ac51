//! The first message of each direction, which has no header; and the session's creation between servers.

use crate::base::{SessionId, Zxid};
use crate::wire::jute::{Decode, DecodeError, Encode, Reader, record};

/// Bytes of a session's password.
pub const PASSWORD_BYTES: usize = 16;

/// Opens or takes up a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Any value is accepted.
    pub protocol_version: i32,
    pub last_zxid_seen: Zxid,
    /// What the client would like, in milliseconds.
    pub timeout_ms: i32,
    /// None yet: a new session is asked for.
    pub session_id: SessionId,
    pub password: Option<&'a [u8]>,
    /// `None`: a client of before read-only servers, which left the byte out and expects none in the response.
    pub read_only: Option<bool>,
}

impl<'a> Decode<'a> for ConnectRequest<'a> {
    const BYTES_MIN: usize = 28;

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(ConnectRequest {
            protocol_version: reader.i32()?,
            last_zxid_seen: Zxid(reader.i64()?),
            timeout_ms: reader.i32()?,
            session_id: SessionId(reader.i64()?),
            password: Decode::decode(reader)?,
            read_only: optional_bool(reader)?,
        })
    }
}

impl Encode for ConnectRequest<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.protocol_version.encode(out);
        self.last_zxid_seen.encode(out);
        self.timeout_ms.encode(out);
        self.session_id.encode(out);
        self.password.encode(out);
        encode_optional_bool(self.read_only, out);
    }
}

/// The server's answer: 37 bytes, or 36 to a request without `read_only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectResponse<'a> {
    pub protocol_version: i32,
    /// What was agreed on, in milliseconds. Zero: there is no such session (any more).
    pub timeout_ms: i32,
    pub session_id: SessionId,
    pub password: Option<&'a [u8]>,
    /// Whether this is a read-only server; there if the request had it.
    pub read_only: Option<bool>,
}

impl ConnectResponse<'_> {
    /// "Session expired": unknown, expired, or the wrong password. The connection is closed behind it.
    pub fn rejection(read_only: Option<bool>) -> ConnectResponse<'static> {
        ConnectResponse {
            protocol_version: 0,
            timeout_ms: 0,
            session_id: SessionId::NONE,
            password: Some(&[0; PASSWORD_BYTES]),
            read_only,
        }
    }
}

impl<'a> Decode<'a> for ConnectResponse<'a> {
    const BYTES_MIN: usize = 20;

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(ConnectResponse {
            protocol_version: reader.i32()?,
            timeout_ms: reader.i32()?,
            session_id: SessionId(reader.i64()?),
            password: Decode::decode(reader)?,
            read_only: optional_bool(reader)?,
        })
    }
}

impl Encode for ConnectResponse<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.protocol_version.encode(out);
        self.timeout_ms.encode(out);
        self.session_id.encode(out);
        self.password.encode(out);
        encode_optional_bool(self.read_only, out);
    }
}

/// Present if at least one byte is left.
fn optional_bool(reader: &mut Reader<'_>) -> Result<Option<bool>, DecodeError> {
    if reader.is_empty() { Ok(None) } else { reader.bool().map(Some) }
}

fn encode_optional_bool(value: Option<bool>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        value.encode(out);
    }
}

record! {
    /// Sent by the accepting server through the write pipeline, never by a client.
    pub struct CreateSessionRequest {
        pub timeout_ms: i32,
    }
}
