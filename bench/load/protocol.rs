//! The few words of ZooKeeper's client protocol which a load needs: requests to bytes, reply headers from bytes.
//!
//! Called by `workload` and `cycle` (requests), `session` (replies), `dial` (the handshake) and `floor` (the other side). It
//! shares no code with room `wire` on purpose: a generator which decodes with the server's own codec would agree
//! with its mistakes. Source of the layouts: ZooKeeper's `zookeeper.jute` and `ZooDefs.java`.
//! Limits: frames above [`FRAME_BYTES_MAX`] are refused. Tested: `protocol_test.rs`.

/// Frames larger than this are a fault of the other side: nothing the generator asks for is answered with more.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Xid of a ping, in both directions.
pub const XID_PING: i32 = -2;
/// Xid of a watch notification.
pub const XID_NOTIFICATION: i32 = -1;
/// Xid of authentication, in both directions.
pub const XID_AUTH: i32 = -4;
/// A reply header: xid, zxid, err.
pub const REPLY_HEADER_BYTES: usize = 16;
/// A `Stat` record.
pub const STAT_BYTES: usize = 68;
/// Error code of a create whose path is taken.
pub const NODE_EXISTS: i32 = -110;
/// Error code where the path is nobody's.
pub const NO_NODE: i32 = -101;
/// The header of each part of a multi and of its answer, and of their ends: type, done, err.
pub const MULTI_HEADER_BYTES: usize = 9;

pub const OP_CREATE: i32 = 1;
pub const OP_DELETE: i32 = 2;
pub const OP_EXISTS: i32 = 3;
pub const OP_GET_DATA: i32 = 4;
pub const OP_SET_DATA: i32 = 5;
pub const OP_GET_CHILDREN: i32 = 8;
pub const OP_PING: i32 = 11;
pub const OP_MULTI: i32 = 14;
pub const OP_AUTH: i32 = 100;
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

pub fn get_data(out: &mut Vec<u8>, xid: i32, path: &[u8], watch: bool) {
    read(out, xid, OP_GET_DATA, path, watch);
}

pub fn exists(out: &mut Vec<u8>, xid: i32, path: &[u8], watch: bool) {
    read(out, xid, OP_EXISTS, path, watch);
}

pub fn get_children(out: &mut Vec<u8>, xid: i32, path: &[u8]) {
    read(out, xid, OP_GET_CHILDREN, path, false);
}

fn read(out: &mut Vec<u8>, xid: i32, op: i32, path: &[u8], watch: bool) {
    // Frequent: its lengths are known beforehand.
    let path_length = i32::try_from(path.len()).expect("lengths are bounded by the arguments' checks");
    let mut head = [0; 16];
    for (room, value) in head.chunks_exact_mut(4).zip([path_length + 13, xid, op, path_length]) {
        room.copy_from_slice(&value.to_be_bytes());
    }
    out.reserve(head.len() + path.len() + 1);
    out.extend_from_slice(&head);
    out.extend_from_slice(path);
    out.push(u8::from(watch));
}

/// Any version is overwritten.
pub fn set_data(out: &mut Vec<u8>, xid: i32, path: &[u8], data: &[u8]) {
    request(out, xid, OP_SET_DATA, |out| set_data_record(out, path, data));
}

fn set_data_record(out: &mut Vec<u8>, path: &[u8], data: &[u8]) {
    buffer(out, path);
    buffer(out, data);
    int(out, -1);
}

/// Any version is deleted.
pub fn delete(out: &mut Vec<u8>, xid: i32, path: &[u8]) {
    request(out, xid, OP_DELETE, |out| {
        buffer(out, path);
        int(out, -1);
    });
}

/// One transaction of `sets` sets; `write_set` writes each by [`multi_set`].
pub fn multi(out: &mut Vec<u8>, xid: i32, sets: usize, mut write_set: impl FnMut(&mut Vec<u8>)) {
    request(out, xid, OP_MULTI, |out| {
        for _ in 0..sets {
            multi_header(out, OP_SET_DATA, false);
            write_set(out);
        }
        multi_header(out, -1, true);
    });
}

/// A set of a multi, behind its header.
pub fn multi_set(out: &mut Vec<u8>, path: &[u8], data: &[u8]) {
    set_data_record(out, path, data);
}

fn multi_header(out: &mut Vec<u8>, op: i32, done: bool) {
    int(out, op);
    out.push(u8::from(done));
    int(out, -1);
}

/// What a create makes, besides a persistent znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    Persistent = 0,
    Ephemeral = 1,
    PersistentSequential = 2,
    EphemeralSequential = 3,
}

/// A znode which everybody may change.
pub fn create(out: &mut Vec<u8>, xid: i32, path: &[u8], data: &[u8], flags: Flags) {
    request(out, xid, OP_CREATE, |out| {
        buffer(out, path);
        buffer(out, data);
        int(out, 1);
        int(out, 31);
        buffer(out, b"world");
        buffer(out, b"anyone");
        int(out, flags as i32);
    });
}

pub fn auth(out: &mut Vec<u8>, scheme: &str, credentials: &[u8]) {
    request(out, XID_AUTH, OP_AUTH, |out| {
        int(out, 0);
        buffer(out, scheme.as_bytes());
        buffer(out, credentials);
    });
}

pub fn ping(out: &mut Vec<u8>) {
    request(out, XID_PING, OP_PING, |_| ());
}

pub fn close_session(out: &mut Vec<u8>, xid: i32) {
    request(out, xid, OP_CLOSE_SESSION, |_| ());
}

/// The buffer or string at the front of `bytes`, and what is behind it.
pub fn split_buffer(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(int_at(bytes, 0)?).ok()?;
    bytes[4..].split_at_checked(length)
}

/// A vector of strings at the front of `bytes`: the answer to getChildren.
pub fn strings(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = usize::try_from(int_at(bytes, 0)?).ok()?;
    let (mut found, mut rest) = (Vec::new(), &bytes[4..]);
    for _ in 0..count {
        let (string, behind) = split_buffer(rest)?;
        found.push(string.to_owned());
        rest = behind;
    }
    Some(found)
}

/// The path of a notification, behind its reply header: type, state, path.
pub fn notified_path(body: &[u8]) -> Option<&[u8]> {
    Some(split_buffer(body.get(8..)?)?.0)
}

/// The big-endian int at `at`, if the bytes reach that far.
pub fn int_at(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

/// Whether the reply `frame` is that of `xid`, without an error. [`REPLY_HEADER_BYTES`] are there then.
pub fn is_success(frame: &[u8], xid: i32) -> bool {
    frame.len() >= REPLY_HEADER_BYTES && int_at(frame, 0) == Some(xid) && int_at(frame, 12) == Some(0)
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
        -115 => "AuthFailed",
        -118 => "SessionMoved",
        -119 => "NotReadOnly",
        -125 => "QuotaExceeded",
        -127 => "ThrottledOp",
        _ => "other error code",
    }
}

#[cfg(test)]
#[path = "protocol_test.rs"]
mod tests;
