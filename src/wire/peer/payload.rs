//! What packets between leader and learner carry, one record per kind.
//!
//! Decode with [`super::QuorumPacket::payload`], encode with [`super::packet::encode_record`]. PROPOSAL and INFORM carry
//! a transaction (`wire::txn`; opaque to `zab`), NEWLEADER a configuration's text; ACK, COMMIT, SYNC, UPTODATE, DIFF,
//! TRUNC and SNAP nothing.

use crate::base::{Epoch, ServerId, SessionId};
use crate::wire::jute::{Decode, DecodeError, Encode, Reader, Reason, record};

/// What both sides say their protocol is since ZooKeeper 3.4. Below it there was no LEADERINFO and no ACKEPOCH.
pub const PROTOCOL_VERSION: i32 = 0x1_0000;

impl<'a> Decode<'a> for ServerId {
    const BYTES_MIN: usize = 8;

    #[inline]
    fn decode(reader: &mut Reader<'a>) -> Result<ServerId, DecodeError> {
        reader.i64().map(ServerId)
    }
}

impl Encode for ServerId {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// FOLLOWERINFO and OBSERVERINFO: who the learner is. Of 8, 12 or 20 bytes, by the age of the learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerInfo {
    pub server: ServerId,
    /// `None`: from before 3.4; such a learner can't be served.
    pub protocol_version: Option<i32>,
    /// Version of the learner's committed configuration. `None`: from before 3.5.
    pub config_version: Option<i64>,
}

impl LearnerInfo {
    /// What a server of today sends.
    pub fn new(server: ServerId, config_version: i64) -> LearnerInfo {
        LearnerInfo { server, protocol_version: Some(PROTOCOL_VERSION), config_version: Some(config_version) }
    }
}

/// A length between two forms counts as the shorter one, as in ZooKeeper; nothing is read behind 20 bytes.
impl<'a> Decode<'a> for LearnerInfo {
    const BYTES_MIN: usize = 8;

    fn decode(reader: &mut Reader<'a>) -> Result<LearnerInfo, DecodeError> {
        let server = ServerId::decode(reader)?;
        let protocol_version = if reader.rest().len() >= 4 { Some(reader.i32()?) } else { None };
        let has_config = protocol_version.is_some() && reader.rest().len() >= 8;
        let config_version = if has_config { Some(reader.i64()?) } else { None };
        Ok(LearnerInfo { server, protocol_version, config_version })
    }
}

/// A configuration version without a protocol version has no form and is left out.
impl Encode for LearnerInfo {
    fn encode(&self, out: &mut Vec<u8>) {
        self.server.encode(out);
        if let Some(protocol_version) = self.protocol_version {
            protocol_version.encode(out);
            if let Some(config_version) = self.config_version {
                config_version.encode(out);
            }
        }
    }
}

record! {
    /// LEADERINFO; the new epoch is in the packet's zxid.
    pub struct LeaderInfo {
        /// [`PROTOCOL_VERSION`].
        pub protocol_version: i32,
    }
}

/// ACKEPOCH; the packet's zxid is the last one that the learner has logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckEpoch {
    /// The epoch of the last leader with which the learner was synchronised. `None` (-1 on the wire): the new epoch had
    /// been promised before, and this answer doesn't count for the leader's quorum.
    pub current_epoch: Option<Epoch>,
}

impl<'a> Decode<'a> for AckEpoch {
    const BYTES_MIN: usize = 4;

    fn decode(reader: &mut Reader<'a>) -> Result<AckEpoch, DecodeError> {
        let epoch = reader.i32()?;
        Ok(AckEpoch { current_epoch: (epoch != -1).then_some(Epoch(i64::from(epoch))) })
    }
}

impl Encode for AckEpoch {
    fn encode(&self, out: &mut Vec<u8>) {
        // ZooKeeper's epochs are the high half of a zxid and truncated the same way here.
        self.current_epoch.map_or(-1, |epoch| epoch.0 as i32).encode(out);
    }
}

record! {
    /// One element of what answers a PING: a session was heard from.
    pub struct SessionTouch {
        pub session: SessionId,
        /// The session's timeout, in milliseconds.
        pub timeout_ms: i32,
    }
}

/// All of what answers a PING: the sessions that were heard from since the last one, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTouches<'a> {
    /// A whole number of elements.
    encoded: &'a [u8],
}

/// Bytes of one [`SessionTouch`].
const TOUCH_BYTES: usize = 12;

impl<'a> SessionTouches<'a> {
    pub fn len(&self) -> usize {
        self.encoded.len() / TOUCH_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = SessionTouch> + 'a {
        self.encoded.as_chunks::<TOUCH_BYTES>().0.iter().map(|touch| {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *touch;
            SessionTouch {
                session: SessionId(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
                timeout_ms: i32::from_be_bytes([i, j, k, l]),
            }
        })
    }
}

/// Reads to the end of the payload.
impl<'a> Decode<'a> for SessionTouches<'a> {
    const BYTES_MIN: usize = 0;

    fn decode(reader: &mut Reader<'a>) -> Result<SessionTouches<'a>, DecodeError> {
        let encoded = rest(reader);
        if !encoded.len().is_multiple_of(TOUCH_BYTES) {
            return Err(reader.error(Reason::Truncated));
        }
        Ok(SessionTouches { encoded })
    }
}

impl Encode for SessionTouches<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.encoded);
    }
}

record! {
    /// REVALIDATE, asked by a learner to whom a client with this session has come.
    pub struct Revalidation {
        pub session: SessionId,
        /// In milliseconds.
        pub timeout_ms: i32,
    }
}

record! {
    /// REVALIDATE, answered.
    pub struct RevalidationReply {
        pub session: SessionId,
        /// The session lives, and belongs to the learner that asked from now on.
        pub valid: bool,
    }
}

/// REQUEST: a client's write as the learner forwards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedRequest<'a> {
    pub session: SessionId,
    /// The client's xid; comes back in the transaction's header, by which the learner finds its client again.
    pub cxid: i32,
    pub opcode: i32,
    /// As the client sent it. createSession: the timeout; closeSession: nothing.
    pub body: &'a [u8],
}

/// Reads to the end of the payload.
impl<'a> Decode<'a> for ForwardedRequest<'a> {
    const BYTES_MIN: usize = 16;

    fn decode(reader: &mut Reader<'a>) -> Result<ForwardedRequest<'a>, DecodeError> {
        let session = SessionId(reader.i64()?);
        let cxid = reader.i32()?;
        let opcode = reader.i32()?;
        Ok(ForwardedRequest { session, cxid, opcode, body: rest(reader) })
    }
}

impl Encode for ForwardedRequest<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        self.cxid.encode(out);
        self.opcode.encode(out);
        out.extend_from_slice(self.body);
    }
}

record! {
    /// COMMITANDACTIVATE.
    pub struct Activation {
        /// Who is to lead from here on.
        pub designated_leader: ServerId,
    }
}

/// INFORMANDACTIVATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivatedInform<'a> {
    /// Who is to lead from here on.
    pub designated_leader: ServerId,
    /// The transaction, as in an INFORM.
    pub proposal: &'a [u8],
}

/// Reads to the end of the payload.
impl<'a> Decode<'a> for ActivatedInform<'a> {
    const BYTES_MIN: usize = 8;

    fn decode(reader: &mut Reader<'a>) -> Result<ActivatedInform<'a>, DecodeError> {
        Ok(ActivatedInform { designated_leader: ServerId::decode(reader)?, proposal: rest(reader) })
    }
}

impl Encode for ActivatedInform<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.designated_leader.encode(out);
        out.extend_from_slice(self.proposal);
    }
}

/// Takes all that is left.
fn rest<'a>(reader: &mut Reader<'a>) -> &'a [u8] {
    let rest = reader.rest();
    *reader = Reader::new(&[]);
    rest
}
