//! The packets between leader and learner: `int32 kind, int64 zxid, buffer data, vector<Id> authinfo`, one behind the
//! other, without frames.
//!
//! Called by both ends of a quorum connection. [`decode_prefix`] is fed with what has been received so far and says
//! whether a packet is complete; nothing is copied. Encoders append; the kinds of the hot path have functions of their own.
//! Limits: a payload is at most what the caller says (small kinds: `limits::PEER_PAYLOAD_SMALL_BYTES_MAX`), authinfo at
//! most `limits::AUTHINFO_BYTES_MAX`; a packet that states more is an error at once, before its bytes are waited for. (Of a
//! request, `zab::link` passes over such identities and keeps the connection.)

use std::fmt;

use crate::base::Zxid;
use crate::base::limits;
use crate::wire::jute::{Decode, DecodeError, Encode, Reader, Reason, Text, Vector, encode_bytes, record};

/// Declares the kinds from one table.
macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $code:literal $word:literal,)*) => {
        /// What a packet is: `type` on the wire. In parentheses: who sends it, L the learner, F the leader (which a
        /// follower is to the observers it serves).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$meta])* $name = $code,)* }

        impl Kind {
            /// All of them, in the order of their codes.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// `None`: no kind of ZooKeeper 3.8 or 3.9.
            #[inline]
            pub fn of(code: i32) -> Option<Kind> {
                match code {
                    $($code => Some(Kind::$name),)*
                    _ => None,
                }
            }

            /// The protocol's own word for it.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// (L) A client's write, forwarded: [`super::ForwardedRequest`], the client's identities as authinfo.
    Request = 1 "REQUEST",
    /// (F) A transaction to be logged: header, record and, mostly, digest.
    Proposal = 2 "PROPOSAL",
    /// (L) Everything up to zxid is durable here; also answers NEWLEADER and UPTODATE.
    Ack = 3 "ACK",
    /// (F) The proposal of this zxid has its quorum.
    Commit = 4 "COMMIT",
    /// (F) with the last proposed zxid, (L) echoed with [`super::SessionTouches`].
    Ping = 5 "PING",
    /// (L) [`super::Revalidation`], (F) [`super::RevalidationReply`].
    Revalidate = 6 "REVALIDATE",
    /// (F) All that the oldest sync of this learner waits for has been sent.
    Sync = 7 "SYNC",
    /// (F) To observers: a committed transaction.
    Inform = 8 "INFORM",
    /// (F) COMMIT of a reconfiguration: [`super::Activation`].
    CommitAndActivate = 9 "COMMITANDACTIVATE",
    /// (F) The history is sent; zxid is the epoch, data the text of the newest configuration.
    NewLeader = 10 "NEWLEADER",
    /// (L) First packet of a follower: [`super::LearnerInfo`].
    FollowerInfo = 11 "FOLLOWERINFO",
    /// (F) The quorum has the history: serve.
    UpToDate = 12 "UPTODATE",
    /// (F) What the learner lacks follows as proposals and commits.
    Diff = 13 "DIFF",
    /// (F) Forget what is behind zxid.
    Trunc = 14 "TRUNC",
    /// (F) A snapshot follows, outside of packets.
    Snap = 15 "SNAP",
    /// (L) First packet of an observer: [`super::LearnerInfo`].
    ObserverInfo = 16 "OBSERVERINFO",
    /// (F) The new epoch: [`super::LeaderInfo`].
    LeaderInfo = 17 "LEADERINFO",
    /// (L) The new epoch is accepted: [`super::AckEpoch`], zxid is the last one logged.
    AckEpoch = 18 "ACKEPOCH",
    /// (F) INFORM of a reconfiguration: [`super::ActivatedInform`].
    InformAndActivate = 19 "INFORMANDACTIVATE",
}

impl Kind {
    /// `type` on the wire.
    #[inline]
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Whether the payload may be as large as a transaction (or as the number of sessions); else it is a few integers.
    #[inline]
    pub fn is_bulky(self) -> bool {
        match self {
            Kind::Request
            | Kind::Proposal
            | Kind::Ping
            | Kind::Inform
            | Kind::NewLeader
            | Kind::InformAndActivate => true,
            Kind::Ack
            | Kind::Commit
            | Kind::Revalidate
            | Kind::Sync
            | Kind::CommitAndActivate
            | Kind::FollowerInfo
            | Kind::UpToDate
            | Kind::Diff
            | Kind::Trunc
            | Kind::Snap
            | Kind::ObserverInfo
            | Kind::LeaderInfo
            | Kind::AckEpoch => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<'a> Decode<'a> for Kind {
    const BYTES_MIN: usize = 4;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<Kind, DecodeError> {
        let start = *reader;
        let code = reader.i32()?;
        Kind::of(code).ok_or_else(|| start.error(Reason::UnknownType(code)))
    }
}

impl Encode for Kind {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        self.code().encode(out);
    }
}

record! {
    /// One of the identities that a client has shown: scheme and id, as in its ACL entries. Nulls are legal bytes.
    pub struct Identity<'a> {
        pub scheme: Option<Text<'a>>,
        pub id: Option<Text<'a>>,
    }
}

record! {
    /// A packet, borrowed from what was received. Null and empty differ in both last fields.
    pub struct QuorumPacket<'a> {
        pub kind: Kind,
        pub zxid: Zxid,
        pub data: Option<&'a [u8]>,
        pub authinfo: Option<Vector<'a, Identity<'a>>>,
    }
}

impl<'a> QuorumPacket<'a> {
    /// A packet which is nothing but kind and zxid.
    pub fn bare(kind: Kind, zxid: Zxid) -> QuorumPacket<'static> {
        QuorumPacket { kind, zxid, data: None, authinfo: None }
    }

    /// The payload decoded as the record that belongs to the kind; which one, the caller knows. Null is an error.
    pub fn payload<T: Decode<'a>>(&self) -> Result<T, DecodeError> {
        match self.data {
            Some(data) => T::parse(data),
            None => Err(DecodeError { offset: 0, reason: Reason::Null }),
        }
    }
}

/// Why the start of a stream is no packet. The connection is closed: what follows can't be made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketError {
    /// No such kind. ZooKeeper passes over unknown kinds; there has been none since 3.5, so it is more likely that
    /// the peer speaks something else.
    UnknownKind(i32),
    /// The payload states a negative length, or one above the limit.
    PayloadLength { kind: Kind, length: i32, limit: usize },
    /// The identities state a negative length, or are longer than the limit.
    AuthinfoLength { kind: Kind, length: i64, limit: usize },
    /// A field inside is malformed.
    Malformed(DecodeError),
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketError::UnknownKind(code) => {
                write!(
                    f,
                    "{code} is no kind of packet between servers: is this a ZooKeeper server's quorum port?"
                )
            }
            PacketError::PayloadLength { kind, length, limit } => {
                write!(f, "{kind} of {length} bytes, allowed are 0 to {limit}")?;
                let hint = kind.is_bulky() && *length > 0;
                if hint { write!(f, " (jute.maxbuffer must agree on all servers)") } else { Ok(()) }
            }
            PacketError::AuthinfoLength { kind, length, limit } => {
                write!(f, "{kind} with {length} bytes of identities, allowed are 0 to {limit}")
            }
            PacketError::Malformed(error) => write!(f, "malformed packet: {error}"),
        }
    }
}

impl std::error::Error for PacketError {}

impl From<DecodeError> for PacketError {
    fn from(error: DecodeError) -> PacketError {
        PacketError::Malformed(error)
    }
}

/// Looks at the start of what was received. `None`: not all of the packet is there yet. Else the packet and how many
/// bytes it took.
///
/// `data_bytes_max`: the largest payload accepted, in bytes. Before a peer has shown who it is a few hundred do; later
/// as much as a transaction may have.
#[inline]
pub fn decode_prefix(
    bytes: &[u8],
    data_bytes_max: usize,
) -> Result<Option<(QuorumPacket<'_>, usize)>, PacketError> {
    match measure(bytes, data_bytes_max)? {
        Some(length) => Ok(Some((QuorumPacket::parse(&bytes[..length])?, length))),
        None => Ok(None),
    }
}

/// Length of the packet at the start of `bytes`, in bytes; `None` if its end is not among them. Limits as in
/// [`decode_prefix`]. Costs nothing that grows with the payload.
pub fn measure(bytes: &[u8], data_bytes_max: usize) -> Result<Option<usize>, PacketError> {
    let Some(code) = int_at(bytes, 0) else { return Ok(None) };
    let kind = Kind::of(code).ok_or(PacketError::UnknownKind(code))?;
    let Some(length) = int_at(bytes, 12) else { return Ok(None) };
    let small = limits::PEER_PAYLOAD_SMALL_BYTES_MAX;
    let limit = if kind.is_bulky() { data_bytes_max } else { data_bytes_max.min(small) };
    let data_bytes = match usize::try_from(length) {
        Ok(bytes) if bytes <= limit => bytes,
        Err(_) if length == -1 => 0,
        _ => return Err(PacketError::PayloadLength { kind, length, limit }),
    };
    let at = 16 + data_bytes;
    let Some(count) = int_at(bytes, at) else { return Ok(None) };
    // Null, and any other negative count, which is read as "none".
    let Ok(count) = usize::try_from(count) else { return Ok(Some(at + 4)) };
    let limit = limits::AUTHINFO_BYTES_MAX;
    let too_long = |length: i64| PacketError::AuthinfoLength { kind, length, limit };
    // The shortest identity is two empty strings.
    if count > limit / 8 {
        return Err(too_long(count as i64 * 8));
    }
    let mut end = at + 4;
    for _ in 0..2 * count {
        let Some(length) = int_at(bytes, end) else { return Ok(None) };
        end += 4 + match length {
            -1 => 0,
            _ => usize::try_from(length).map_err(|_| too_long(i64::from(length)))?,
        };
        if end - at > limit {
            return Err(too_long((end - at) as i64));
        }
    }
    Ok((end <= bytes.len()).then_some(end))
}

/// Where the payload of a packet ends that [`measure`] has found too long behind it.
pub fn payload_end(bytes: &[u8]) -> usize {
    let length = int_at(bytes, 12).expect("it was looked at");
    HEAD_BYTES + usize::try_from(length).unwrap_or(0)
}

/// Identities that stand for more than are read: one, without scheme and id, which nobody has.
pub const TOO_MANY: [u8; 12] = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

#[inline]
fn int_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// Bytes of a packet before its payload.
pub const HEAD_BYTES: usize = 16;
/// What follows the payload of every packet but REQUEST: no identities.
pub const TAIL: [u8; 4] = [0xff; 4];

/// What comes before a payload of `data_bytes` bytes; behind it comes [`TAIL`]. For senders which keep the payload
/// shared and don't copy it.
#[inline]
pub fn head(kind: Kind, zxid: Zxid, data_bytes: usize) -> [u8; HEAD_BYTES] {
    let length = i32::try_from(data_bytes).expect("no transaction reaches 2 GiB: they are bounded far below");
    head_bytes(kind, zxid, length)
}

#[inline]
fn head_bytes(kind: Kind, zxid: Zxid, length: i32) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[0..4].copy_from_slice(&kind.code().to_be_bytes());
    bytes[4..12].copy_from_slice(&zxid.0.to_be_bytes());
    bytes[12..16].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Appends a packet that has neither payload nor identities.
#[inline]
pub fn encode_bare(kind: Kind, zxid: Zxid, out: &mut Vec<u8>) {
    let mut bytes = [0xff; HEAD_BYTES + 4];
    bytes[..HEAD_BYTES].copy_from_slice(&head_bytes(kind, zxid, -1));
    out.extend_from_slice(&bytes);
}

/// Appends a packet whose payload is there as bytes.
#[inline]
pub fn encode_with(kind: Kind, zxid: Zxid, data: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEAD_BYTES + data.len() + TAIL.len());
    out.extend_from_slice(&head(kind, zxid, data.len()));
    out.extend_from_slice(data);
    out.extend_from_slice(&TAIL);
}

/// Appends a packet whose payload is a record.
pub fn encode_record(kind: Kind, zxid: Zxid, payload: &impl Encode, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&head_bytes(kind, zxid, 0));
    payload.encode(out);
    crate::wire::jute::end_length(out, at + HEAD_BYTES - 4);
    out.extend_from_slice(&TAIL);
}

/// Appends a PROPOSAL. `payload`: header, record and digest of the transaction, as logged.
#[inline]
pub fn encode_proposal(zxid: Zxid, payload: &[u8], out: &mut Vec<u8>) {
    encode_with(Kind::Proposal, zxid, payload, out);
}

/// Appends an INFORM: a committed transaction, for an observer. `payload` as in [`encode_proposal`].
#[inline]
pub fn encode_inform(zxid: Zxid, payload: &[u8], out: &mut Vec<u8>) {
    encode_with(Kind::Inform, zxid, payload, out);
}

/// Appends a COMMIT.
#[inline]
pub fn encode_commit(zxid: Zxid, out: &mut Vec<u8>) {
    encode_bare(Kind::Commit, zxid, out);
}

/// Appends an ACK.
#[inline]
pub fn encode_ack(zxid: Zxid, out: &mut Vec<u8>) {
    encode_bare(Kind::Ack, zxid, out);
}

/// Appends a REQUEST: the body of a client's write, unchanged, and who the client is. `identities` is the encoded
/// vector, count included; `None`: null, as for requests of the server itself.
pub fn encode_request(
    request: &super::ForwardedRequest<'_>,
    identities: Option<Vector<'_, Identity<'_>>>,
    out: &mut Vec<u8>,
) {
    let at = out.len();
    out.extend_from_slice(&head_bytes(Kind::Request, Zxid(-1), 0));
    request.encode(out);
    crate::wire::jute::end_length(out, at + HEAD_BYTES - 4);
    identities.encode(out);
}

/// Appends the answer to a PING of the leader: its zxid echoed, and the sessions that were heard from. Never null, even
/// if empty: ZooKeeper's leader reads it without looking.
pub fn encode_ping_reply(
    zxid: Zxid,
    touches: impl IntoIterator<Item = super::SessionTouch>,
    out: &mut Vec<u8>,
) {
    let at = out.len();
    out.extend_from_slice(&head_bytes(Kind::Ping, zxid, 0));
    for touch in touches {
        touch.encode(out);
    }
    crate::wire::jute::end_length(out, at + HEAD_BYTES - 4);
    out.extend_from_slice(&TAIL);
}

/// Appends any packet.
pub fn encode_packet(packet: &QuorumPacket<'_>, out: &mut Vec<u8>) {
    packet.kind.encode(out);
    packet.zxid.encode(out);
    match packet.data {
        Some(data) => encode_bytes(out, data),
        None => out.extend_from_slice(&[0xff; 4]),
    }
    packet.authinfo.encode(out);
}

#[cfg(test)]
#[path = "packet_test.rs"]
mod tests;
