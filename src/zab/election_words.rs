//! What goes into the election and what comes out of it; [`super::election`] says what it makes of it.

use std::fmt;
use std::sync::Arc;

use super::quorum::{Config, Joint};
use super::servers::ServerSet;
use super::vote::{Standing, Vote};
use crate::base::{Epoch, ServerId, Zxid};
use crate::wire::peer::{Notification, OwnedNotification, PeerState};

/// What this server is, apart from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub me: ServerId,
    /// `peerType`: an observer has no vote whatever the configuration says, and a participant that is in none has none
    /// either but follows.
    pub participant: bool,
    /// `reconfigEnabled`: a newer configuration shown by a peer is reported.
    pub reconfig_enabled: bool,
}

impl Settings {
    pub(super) fn state_under(&self, leader: ServerId) -> PeerState {
        match (leader == self.me, self.participant) {
            (true, _) => PeerState::Leading,
            (false, true) => PeerState::Following,
            (false, false) => PeerState::Observing,
        }
    }
}

/// What this server has when it goes LOOKING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The last transaction in the log, committed or not.
    pub last_logged: Zxid,
    pub standing: Standing,
}

#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// `next_wakeup()` has come.
    Wakeup,
    /// No leader (any more): a new round.
    Start(Start),
    /// This server can't take part at present: silent until the next start, as before the first one.
    Withdraw,
    /// From a peer, decoded. `from`: the id of its hello.
    Message { from: ServerId, notification: Notification<'a> },
    /// A link to the peer is up.
    Connected { peer: ServerId },
    /// The peer refused a connection: no process listens there. Not to be said of timeouts.
    Unreachable { peer: ServerId },
    /// The configuration has changed. Another membership begins a new election if LOOKING.
    Configured(Joint),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Replaces what still waits for this peer.
    Send { to: ServerId, notification: OwnedNotification },
    /// The election is over.
    Decided(Decision),
    /// A peer's committed configuration is newer than ours. To be made ours, durably, and then put in as
    /// [`Input::Configured`]. Its message is used only if the members are the same.
    ConfigSeen { from: ServerId, config: Arc<Config> },
    /// We lead, and a voter looks for a leader. `vote`: for whom it is. `history`: the latest epoch of what it has, if it votes
    /// for itself.
    PeerLooking { peer: ServerId, vote: ServerId, history: Epoch },
    /// Worth a line in the log: a message, or a part of it, was of no use.
    Ignored { from: ServerId, reason: IgnoreReason },
}

impl Output {
    pub(super) fn peer_looking(peer: ServerId, n: &Notification<'_>) -> Output {
        let history = if n.leader == peer { n.peer_epoch.max(n.zxid.epoch()) } else { Epoch(0) };
        Output::PeerLooking { peer, vote: n.leader, history }
    }
}

/// The result of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub leader: ServerId,
    /// LEADING if that is us; else FOLLOWING, or OBSERVING.
    pub state: PeerState,
    pub vote: Vote,
    /// Who voted like this, as far as is known; a quorum.
    pub supporters: ServerSet,
}

/// Why a message was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IgnoreReason {
    /// It votes for a server that is no voter of any configuration that counts.
    LeaderIsNoVoter(ServerId),
    /// The attached configuration can't be read; the rest was used.
    BadConfig(String),
    /// It bears our own id: two servers with one `myid`.
    OwnId,
    /// Its configuration, which is as old as ours, names other voters or observers. The message was used.
    OtherMembers { theirs: ServerSet, ours: ServerSet },
}

impl IgnoreReason {
    /// If the files of two members differ. Not of who joins: the others don't know it yet.
    pub fn other_members(
        me: ServerId,
        ours: &Config,
        from: ServerId,
        theirs: &Config,
    ) -> Option<IgnoreReason> {
        let know_each_other = ours.member(from).is_some() && theirs.member(me).is_some();
        let ids = |config: &Config| config.members().map(|member| member.id).collect::<Vec<_>>();
        let is_same = theirs.voters() == ours.voters() && ids(theirs) == ids(ours);
        if is_same || !know_each_other || theirs.version() != ours.version() {
            return None;
        }
        Some(IgnoreReason::OtherMembers { theirs: *theirs.voters(), ours: *ours.voters() })
    }
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IgnoreReason::LeaderIsNoVoter(ServerId(id)) => write!(
                f,
                "it votes for server {id}, which is no voter in this server's configuration: compare the server lines of both"
            ),
            IgnoreReason::BadConfig(fault) => write!(f, "its configuration can't be read: {fault}"),
            IgnoreReason::OwnId => {
                f.write_str("it has this server's own id: are two servers given the same myid?")
            }
            IgnoreReason::OtherMembers { theirs, ours } => write!(
                f,
                "its configuration and this server's differ: voters {theirs} there and {ours} here, or other observers: make \
                 the server lines of both the same"
            ),
        }
    }
}
