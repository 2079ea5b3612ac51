//! One connection on a quorum port: bytes received that are no whole packet yet.
//!
//! **Identities without bound.** A client of an Apache server may show any number, and that server sends them along with each of
//! its writes. To cut it off for that would let any client throw it out of the ensemble, again and again. So what is too long is
//! passed over as it comes, nothing of it is kept, and the request has [`packet::TOO_MANY`] in its place: it is refused.

use bytes::{Buf, Bytes, BytesMut};

use crate::base::ServerId;
use crate::wire::peer::Decode;
use crate::wire::peer::packet::{self, Kind, PacketError, QuorumPacket};

/// Names a connection between two servers. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub u64);

/// What came and was not yet taken.
#[derive(Debug, Default)]
pub struct Stream {
    rest: BytesMut,
    passing: Option<Passing>,
}

/// A request whose identities are too long to be kept.
#[derive(Debug)]
struct Passing {
    /// Up to the end of its payload.
    begin: BytesMut,
    /// Whose lengths have not come yet.
    texts: u64,
    /// Of the text that is under way.
    bytes: usize,
    error: PacketError,
}

impl Stream {
    pub fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next packet, if all of it is there, and its bytes.
    pub fn next(&mut self, payload_bytes_max: usize) -> Result<Option<Bytes>, PacketError> {
        if self.passing.is_none() {
            match packet::measure(&self.rest, payload_bytes_max) {
                Ok(length) => return Ok(length.map(|length| self.rest.split_to(length).freeze())),
                Err(error @ PacketError::AuthinfoLength { kind: Kind::Request, length: 0.., .. }) => {
                    self.passing = Some(Passing::begin(&mut self.rest, error));
                }
                Err(error) => return Err(error),
            }
        }
        match self.passing.as_mut().map(|passing| passing.go_on(&mut self.rest)) {
            Some(Ok(true)) => {
                let mut packet = self.passing.take().expect("it is under way").begin;
                packet.extend_from_slice(&packet::TOO_MANY);
                Ok(Some(packet.freeze()))
            }
            Some(Ok(false)) | None => Ok(None),
            Some(Err(error)) => Err(error),
        }
    }

    /// What follows is no packet: a snapshot.
    pub fn take(&mut self) -> bytes::Bytes {
        self.rest.split().freeze()
    }
}

impl Passing {
    /// `rest` begins with a packet whose payload is there, and the count of its identities.
    fn begin(rest: &mut BytesMut, error: PacketError) -> Passing {
        let at = packet::payload_end(rest);
        let begin = rest.split_to(at);
        let count = u64::try_from(rest.get_i32()).expect("it was counted");
        Passing { begin, texts: 2 * count, bytes: 0, error }
    }

    /// Takes what there is; true at the end of the packet.
    fn go_on(&mut self, rest: &mut BytesMut) -> Result<bool, PacketError> {
        loop {
            let there = self.bytes.min(rest.len());
            rest.advance(there);
            self.bytes -= there;
            if self.bytes > 0 {
                return Ok(false);
            }
            if self.texts == 0 {
                return Ok(true);
            }
            if rest.len() < 4 {
                return Ok(false);
            }
            self.texts -= 1;
            self.bytes = match rest.get_i32() {
                -1 => 0,
                length => usize::try_from(length).map_err(|_| self.error)?,
            };
        }
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

#[cfg(test)]
#[path = "link_test.rs"]
mod tests;
