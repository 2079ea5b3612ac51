//! Notifications of the leader election: a vote, who casts it in which state, and the configuration he knows.
//!
//! Called by `zab::election` and its links. On the wire a frame: `int32 length`, then the vote ([`Notification::decode`]
//! tells the forms apart by length). Two kinds of faults: a bad length ([`split`]) ends the connection, a bad vote is
//! passed over and the next frame read.
//! Limits: `limits::NOTIFICATION_BYTES_MAX` a frame.

use std::fmt;
use std::sync::Arc;

use crate::base::limits::NOTIFICATION_BYTES_MAX;
use crate::base::{Epoch, ServerId, Zxid};
use crate::wire::frame::{BadLength, Frame};
use crate::wire::jute::{Encode, Text, begin_length, encode_bytes, end_length};

/// The version that carries the configuration, sent since ZooKeeper 3.5.
pub const VERSION: i32 = 2;

/// What a server is doing: the protocol's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    Looking = 0,
    Following = 1,
    Leading = 2,
    Observing = 3,
}

impl PeerState {
    /// `None`: no state.
    pub fn of(code: i32) -> Option<PeerState> {
        match code {
            0 => Some(PeerState::Looking),
            1 => Some(PeerState::Following),
            2 => Some(PeerState::Leading),
            3 => Some(PeerState::Observing),
            _ => None,
        }
    }

    pub fn code(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerState::Looking => "LOOKING",
            PeerState::Following => "FOLLOWING",
            PeerState::Leading => "LEADING",
            PeerState::Observing => "OBSERVING",
        })
    }
}

/// A vote as received; the configuration's text is borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// Of the sender.
    pub state: PeerState,
    /// Whom the sender votes for, or follows. `Long.MIN`: nobody (observers, and who is not in the configuration).
    pub leader: ServerId,
    /// The last transaction that this leader has logged.
    pub zxid: Zxid,
    /// The sender's round: `electionEpoch` in ZooKeeper, and no epoch of Zab.
    pub round: i64,
    /// The Zab epoch of this leader. In the oldest form the zxid's.
    pub peer_epoch: Epoch,
    /// 0 in the forms of old, else [`VERSION`] (or 1).
    pub version: i32,
    /// The sender's committed configuration as text; from version 2 on.
    pub config: Option<Text<'a>>,
}

/// Why a frame is no vote. It is passed over; the connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationError {
    /// Shorter than any form, or cut off within a field.
    Short { bytes: usize },
    /// No such state.
    State(i32),
    /// The configuration says this length, and the frame has fewer bytes left.
    ConfigLength(i32),
}

impl fmt::Display for NotificationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotificationError::Short { bytes } => {
                write!(f, "notification of {bytes} bytes: no form is that long")
            }
            NotificationError::State(state) => {
                write!(f, "notification from a server in unknown state {state}")
            }
            NotificationError::ConfigLength(length) => {
                write!(f, "notification with a configuration of {length} bytes, which it doesn't hold")
            }
        }
    }
}

impl std::error::Error for NotificationError {}

impl<'a> Notification<'a> {
    /// Reads a frame's body. By length: 28 bytes without epoch; 40 with an epoch, and a version that doesn't count;
    /// longer with a version, and from version 2 on with a configuration. What follows is ignored.
    pub fn decode(body: &'a [u8]) -> Result<Notification<'a>, NotificationError> {
        let short = NotificationError::Short { bytes: body.len() };
        let (Some(state), Some(leader), Some(zxid), Some(round)) =
            (i32_at(body, 0), i64_at(body, 4), i64_at(body, 12), i64_at(body, 20))
        else {
            return Err(short);
        };
        let state = PeerState::of(state).ok_or(NotificationError::State(state))?;
        let (leader, zxid) = (ServerId(leader), Zxid(zxid));
        if body.len() == 28 {
            let peer_epoch = zxid.epoch();
            return Ok(Notification { state, leader, zxid, round, peer_epoch, version: 0, config: None });
        }
        let (Some(epoch), Some(version)) = (i64_at(body, 28), i32_at(body, 36)) else { return Err(short) };
        let version = if body.len() == 40 { 0 } else { version };
        let config = if version >= 2 {
            let length = i32_at(body, 40).ok_or(short)?;
            let text = usize::try_from(length).ok().and_then(|length| body[44..].get(..length));
            Some(Text::from_bytes(text.ok_or(NotificationError::ConfigLength(length))?))
        } else {
            None
        };
        Ok(Notification { state, leader, zxid, round, peer_epoch: Epoch(epoch), version, config })
    }
}

/// What the start of a stream of frames is.
///
/// `None`: not all of the next frame is there yet. Else its body and how many bytes the frame took. A length of 0 is
/// an error too: the connection is closed.
pub fn split(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, BadLength> {
    match crate::wire::frame::split(bytes, NOTIFICATION_BYTES_MAX) {
        Frame::Complete { body } if body.is_empty() => {
            Err(BadLength { length: 0, limit: NOTIFICATION_BYTES_MAX })
        }
        Frame::Complete { body } => Ok(Some((&bytes[body.clone()], body.end))),
        Frame::NeedMore { .. } => Ok(None),
        Frame::Bad(bad) => Err(bad),
    }
}

/// A vote to be sent, always of today's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedNotification {
    pub state: PeerState,
    pub leader: ServerId,
    pub zxid: Zxid,
    pub round: i64,
    pub peer_epoch: Epoch,
    /// The text of the sender's committed configuration, shared by all copies. Shorter than a frame.
    pub config: Arc<str>,
}

impl OwnedNotification {
    /// What a receiver will see.
    pub fn as_notification(&self) -> Notification<'_> {
        Notification {
            state: self.state,
            leader: self.leader,
            zxid: self.zxid,
            round: self.round,
            peer_epoch: self.peer_epoch,
            version: VERSION,
            config: Some(Text::from(&*self.config)),
        }
    }
}

/// Appends the whole frame, length included.
impl Encode for OwnedNotification {
    fn encode(&self, out: &mut Vec<u8>) {
        let at = begin_length(out);
        self.state.code().encode(out);
        self.leader.encode(out);
        self.zxid.encode(out);
        self.round.encode(out);
        self.peer_epoch.0.encode(out);
        VERSION.encode(out);
        encode_bytes(out, self.config.as_bytes());
        end_length(out, at);
        debug_assert!(out.len() - at - 4 <= NOTIFICATION_BYTES_MAX, "configurations are bounded when read");
    }
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::{encoded, hex};

    /// State FOLLOWING, leader 3, zxid 0x100000005, round 7.
    const VOTE: &str = "00000001 0000000000000003 0000000100000005 0000000000000007";

    fn vote() -> Notification<'static> {
        Notification {
            state: PeerState::Following,
            leader: ServerId(3),
            zxid: Zxid(0x1_0000_0005),
            round: 7,
            peer_epoch: Epoch(1),
            version: 0,
            config: None,
        }
    }

    #[test]
    fn every_form_is_read() {
        let config = Some(Text::from("cfg"));
        for (rest, expected) in [
            ("", vote()),
            ("0000000000000009 00000002", Notification { peer_epoch: Epoch(9), ..vote() }),
            ("0000000000000009 00000001 77", Notification { peer_epoch: Epoch(9), version: 1, ..vote() }),
            (
                "0000000000000009 00000002 00000003 'cfg' 77",
                Notification { peer_epoch: Epoch(9), version: 2, config, ..vote() },
            ),
            (
                "0000000000000009 00000002 00000000",
                Notification { peer_epoch: Epoch(9), version: 2, config: Some(Text::from("")), ..vote() },
            ),
        ] {
            let bytes = hex(&format!("{VOTE} {rest}"));
            assert_eq!(Notification::decode(&bytes), Ok(expected), "{rest}");
        }
    }

    #[test]
    fn other_lengths_and_states_are_passed_over() {
        let whole = hex(&format!("{VOTE} 0000000000000009 00000002 00000003 'cfg'"));
        for cut in 0..whole.len() {
            let result = Notification::decode(&whole[..cut]);
            match cut {
                28 | 40 => assert!(result.is_ok(), "{cut}"),
                44.. => assert_eq!(result, Err(NotificationError::ConfigLength(3)), "{cut}"),
                _ => assert_eq!(result, Err(NotificationError::Short { bytes: cut }), "{cut}"),
            }
        }
        let mut bytes = whole.clone();
        bytes[3] = 4;
        assert_eq!(Notification::decode(&bytes), Err(NotificationError::State(4)));
        let mut bytes = whole;
        bytes[40] = 0xff;
        assert!(
            matches!(Notification::decode(&bytes), Err(NotificationError::ConfigLength(length)) if length < 0)
        );
    }

    #[test]
    fn frames_are_cut_and_bad_lengths_end_the_connection() {
        let sent = OwnedNotification {
            state: PeerState::Looking,
            leader: ServerId(i64::MIN),
            zxid: Zxid(-1),
            round: -1,
            peer_epoch: Epoch(i64::MIN),
            config: "server.1=a:1:2\nversion=0".into(),
        };
        let mut bytes = encoded(&sent);
        let length = bytes.len();
        for cut in 0..length {
            assert_eq!(split(&bytes[..cut]), Ok(None));
        }
        bytes.push(0);
        let (body, taken) = split(&bytes).expect("a frame").expect("all of it");
        assert_eq!(taken, length);
        assert_eq!(Notification::decode(body), Ok(sent.as_notification()));
        for (bad, length) in [("00000000", 0), ("00080001", 0x8_0001), ("ffffffff", -1)] {
            assert_eq!(split(&hex(bad)), Err(BadLength { length, limit: 0x8_0000 }), "{bad}");
        }
        assert_eq!(split(&hex("00080000")), Ok(None));
    }
}
