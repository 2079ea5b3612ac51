//! One connection on a quorum port: bytes received that are no whole packet yet.

use bytes::BytesMut;

use crate::base::ServerId;
use crate::wire::peer::Decode;
use crate::wire::peer::packet::{self, PacketError, QuorumPacket};

/// Names a connection between two servers. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub u64);

/// What came and was not yet taken.
#[derive(Debug, Default)]
pub struct Stream {
    rest: BytesMut,
}

impl Stream {
    pub fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next packet, if all of it is there, and its bytes.
    pub fn next(&mut self, payload_bytes_max: usize) -> Result<Option<bytes::Bytes>, PacketError> {
        let length = packet::measure(&self.rest, payload_bytes_max)?;
        Ok(length.map(|length| self.rest.split_to(length).freeze()))
    }

    /// What follows is no packet: a snapshot.
    pub fn take(&mut self) -> bytes::Bytes {
        self.rest.split().freeze()
    }
}

/// Decodes what [`Stream::next`] cut off.
pub fn decode(bytes: &[u8]) -> Result<QuorumPacket<'_>, PacketError> {
    Ok(QuorumPacket::parse(bytes)?)
}

/// A peer as the operator knows it.
pub fn name(server: Option<ServerId>) -> String {
    server.map_or_else(
        || "a server that has not said who it is".to_owned(),
        |ServerId(id)| format!("server {id}"),
    )
}
