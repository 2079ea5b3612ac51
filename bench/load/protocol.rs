//! The few words of ZooKeeper's client protocol which a load needs: requests to bytes, reply headers from bytes.
//!
//! Called by `session` (requests and replies), `connect` (the handshake) and `floor` (the other side of both). It
//! shares no code with room `wire` on purpose: a generator which decodes with the server's own codec would agree
//! with its mistakes. Source of the layouts: ZooKeeper's `zookeeper.jute` and `ZooDefs.java`.
//! Limits: frames above [`FRAME_BYTES_MAX`] are refused. Tested: `protocol_test.rs`.

/// Frames larger than this are a fault of the other side: nothing the generator asks for is answered with more.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Xid of a ping, in both directions.
pub const XID_PING: i32 = -2;
/// Xid of a watch notification.
pub const XID_NOTIFICATION: i32 = -1;
/// A reply header: xid, zxid, err.
pub const REPLY_HEADER_BYTES: usize = 16;
/// A `Stat` record.
pub const STAT_BYTES: usize = 68;
/// Error code of a create whose path is taken.
pub const NODE_EXISTS: i32 = -110;

pub const OP_CREATE: i32 = 1;
pub const OP_GET_DATA: i32 = 4;
pub const OP_SET_DATA: i32 = 5;
pub const OP_PING: i32 = 11;
pub const OP_CLOSE_SESSION: i32 = -11;

fn int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn buffer(out: &mut Vec<u8>, bytes: &[u8]) {
    int(out, i32::try_from(bytes.len()).expect("lengths are bounded by the arguments' checks"));
    out.extend_from_slice(bytes);
}

/// Appends a request header with room for its frame's length, runs `body`, and fills the length in.
fn request(out: &mut Vec<u8>, xid: i32, op: i32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    int(out, 0);
    int(out, xid);
    int(out, op);
    body(out);
    let length = i32::try_from(out.len() - start - 4).expect("lengths are bounded by the arguments' checks");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// A new session's `ConnectRequest`, with the readOnly byte of ZooKeeper 3.4 and later.
pub fn connect_request(out: &mut Vec<u8>, timeout_ms: i32) {
    int(out, 45);
    int(out, 0);
    out.extend_from_slice(&0i64.to_be_bytes());
    int(out, timeout_ms);
    out.extend_from_slice(&0i64.to_be_bytes());
    buffer(out, &[0; 16]);
    out.push(0);
}

pub fn get_data(out: &mut Vec<u8>, xid: i32, path: &[u8]) {
    request(out, xid, OP_GET_DATA, |out| {
        buffer(out, path);
        out.push(0);
    });
}

/// Any version is overwritten.
pub fn set_data(out: &mut Vec<u8>, xid: i32, path: &[u8], data: &[u8]) {
    request(out, xid, OP_SET_DATA, |out| {
        buffer(out, path);
        buffer(out, data);
        int(out, -1);
    });
}

/// A persistent znode which everybody may change.
pub fn create(out: &mut Vec<u8>, xid: i32, path: &[u8], data: &[u8]) {
    request(out, xid, OP_CREATE, |out| {
        buffer(out, path);
        buffer(out, data);
        int(out, 1);
        int(out, 31);
        buffer(out, b"world");
        buffer(out, b"anyone");
        int(out, 0);
    });
}

pub fn ping(out: &mut Vec<u8>) {
    request(out, XID_PING, OP_PING, |_| ());
}

pub fn close_session(out: &mut Vec<u8>, xid: i32) {
    request(out, xid, OP_CLOSE_SESSION, |_| ());
}

/// The big-endian int at `at`, if the bytes reach that far.
pub fn int_at(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

/// What stands at the front of a stream of frames.
#[derive(Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// A whole frame, without its length; `4 + frame.len()` bytes are used up.
    Frame(&'a [u8]),
    /// More bytes are needed.
    Partial,
    /// The announced length is negative or above [`FRAME_BYTES_MAX`]: the stream can't be followed further.
    BadLength(i32),
}

pub fn front(bytes: &[u8]) -> Front<'_> {
    let Some(length) = int_at(bytes, 0) else { return Front::Partial };
    match usize::try_from(length) {
        Ok(n) if n <= FRAME_BYTES_MAX => match bytes.get(4..4 + n) {
            Some(frame) => Front::Frame(frame),
            None => Front::Partial,
        },
        _ => Front::BadLength(length),
    }
}

/// ZooKeeper's name of an error code, for the report.
pub fn error_name(code: i32) -> &'static str {
    match code {
        -1 => "SystemError",
        -2 => "RuntimeInconsistency",
        -5 => "MarshallingError",
        -6 => "Unimplemented",
        -8 => "BadArguments",
        -12 => "UnknownSession",
        -101 => "NoNode",
        -102 => "NoAuth",
        -103 => "BadVersion",
        -108 => "NoChildrenForEphemerals",
        NODE_EXISTS => "NodeExists",
        -111 => "NotEmpty",
        -112 => "SessionExpired",
        -114 => "InvalidACL",
        -119 => "NotReadOnly",
        -125 => "QuotaExceeded",
        -127 => "ThrottledOp",
        _ => "other error code",
    }
}

#[cfg(test)]
#[path = "protocol_test.rs"]
mod tests;
