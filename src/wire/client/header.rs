//! What comes before every body: request and reply headers, and whole frames made of header and body.

use crate::base::Zxid;
use crate::wire::error::ErrorCode;
use crate::wire::jute::{Encode, begin_length, end_length, record};
use crate::wire::opcode::Opcode;

/// The xids that don't count requests.
pub mod xid {
    /// Server to client: a watch event.
    pub const NOTIFICATION: i32 = -1;
    /// A ping is answered with this xid, whatever it was asked with.
    pub const PING: i32 = -2;
    /// By convention of the clients; echoed like any other.
    pub const AUTH: i32 = -4;
    /// By convention of the clients; echoed like any other.
    pub const SET_WATCHES: i32 = -8;
}

record! {
    pub struct RequestHeader {
        /// Chosen by the client, echoed in the reply.
        pub xid: i32,
        /// An [`Opcode`], or anything else a client may send.
        pub opcode: i32,
    }
}

record! {
    pub struct ReplyHeader {
        pub xid: i32,
        pub zxid: Zxid,
        /// An [`ErrorCode`]; the body is there only if it is zero (but see sasl).
        pub err: i32,
    }
}

/// Bytes of a frame's prefix and a reply header.
const REPLY_BYTES: usize = 20;

/// Starts the frame of a reply. Append the body, then hand the result to [`end_reply`].
#[inline]
#[must_use = "the frame's length is written by `end_reply`"]
pub fn begin_reply(out: &mut Vec<u8>, xid: i32, zxid: Zxid, err: ErrorCode) -> usize {
    let at = out.len();
    out.extend_from_slice(&reply_bytes(0, xid, zxid, err));
    at
}

/// Writes the length of the frame that was begun at `at`.
#[inline]
pub fn end_reply(out: &mut [u8], at: usize) {
    end_length(out, at);
}

/// Appends a whole reply that has no body: an error, or an operation that has nothing to say.
#[inline]
pub fn encode_bare_reply(out: &mut Vec<u8>, xid: i32, zxid: Zxid, err: ErrorCode) {
    out.extend_from_slice(&reply_bytes(REPLY_BYTES as u32 - 4, xid, zxid, err));
}

/// Appends a whole reply of a successful operation.
#[inline]
pub fn encode_reply(out: &mut Vec<u8>, xid: i32, zxid: Zxid, body: &impl Encode) {
    let at = begin_reply(out, xid, zxid, ErrorCode::Ok);
    body.encode(out);
    end_reply(out, at);
}

#[inline]
fn reply_bytes(length: u32, xid: i32, zxid: Zxid, err: ErrorCode) -> [u8; REPLY_BYTES] {
    let mut bytes = [0; REPLY_BYTES];
    bytes[0..4].copy_from_slice(&length.to_be_bytes());
    bytes[4..8].copy_from_slice(&xid.to_be_bytes());
    bytes[8..16].copy_from_slice(&zxid.0.to_be_bytes());
    bytes[16..20].copy_from_slice(&err.code().to_be_bytes());
    bytes
}

/// Appends a whole request: what a client sends. `body` is `&()` where the operation has none.
pub fn encode_request(out: &mut Vec<u8>, xid: i32, opcode: Opcode, body: &impl Encode) {
    let at = begin_length(out);
    RequestHeader { xid, opcode: opcode.code() }.encode(out);
    body.encode(out);
    end_length(out, at);
}

/// Appends a record as a frame without header: the connect messages.
pub fn encode_frame(out: &mut Vec<u8>, body: &impl Encode) {
    let at = begin_length(out);
    body.encode(out);
    end_length(out, at);
}
