//! What servers say to each other: packets between leader and learner, hellos and notifications of the election.
//!
//! Called by `zab`, by `replica` and by the drivers' peer connections. Three formats on two ports:
//!
//! * **quorum port** ([`packet`], [`payload`]): a stream of jute records without frames. [`packet::decode_prefix`] cuts
//!   it; a payload is decoded by the record that belongs to the packet's [`Kind`].
//! * **election port** ([`hello`]): once per connection, from the side that dialled; no answer.
//! * **election port** ([`notification`]): frames of `int32 length`, then a vote.
//!
//! Limits: every length that a peer states is held against a limit before anybody waits for that many bytes
//! (`base::limits`; the largest payload is an argument, since proposals grow with `jute.maxbuffer`).
//! Source: ZooKeeper's `QuorumPacket`, `Learner`, `LearnerHandler`, `QuorumCnxManager` and `FastLeaderElection`;
//! quorum-protocol.md §3, 4, 6.
//! Tested: the bytes of the specification and of a recorded Apache ensemble (recorded.txt), round trips, every cut,
//! random damage.

mod address;
pub mod hello;
pub mod notification;
pub mod packet;
pub mod payload;

/// For room `zab`, which may import this module and nothing else of `wire`.
pub use super::jute::{Decode, DecodeError, Encode};
pub use address::{Address, AddressError};
pub use hello::Hello;
pub use notification::{Notification, OwnedNotification, PeerState};
pub use packet::{Identity, Kind, PacketError, QuorumPacket};
pub use payload::{
    AckEpoch, ActivatedInform, Activation, ForwardedRequest, LeaderInfo, LearnerInfo, Revalidation,
    RevalidationReply, SessionTouch, SessionTouches,
};

#[cfg(test)]
#[path = "round_trip_test.rs"]
mod round_trip_tests;
