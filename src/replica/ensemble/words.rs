//! What a member of an ensemble is told of its peers and asks for.
//!
//! As everywhere in the replica's contract, an output may be carried out the moment it is emitted. Order is kept per link.
//! The driver moves bytes and knows nothing of what they mean: hellos, notifications and packets are read here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{ServerId, Zxid};
use crate::wire::peer::Address;
use crate::zab::{Config, Epochs, HistoryLimits, Link, Standing};

/// Which of our two ports somebody has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerPort {
    /// Where learners come to their leader.
    Quorum,
    /// Where everybody comes for the election.
    Election,
}

#[derive(Debug)]
pub enum PeerInput<'a> {
    /// Somebody has connected. `link` is the driver's to name: [`accepted_link`].
    Accepted {
        link: Link,
        port: PeerPort,
    },
    /// [`PeerOutput::Dial`] has a connection.
    Connected {
        link: Link,
    },
    /// It has none. `refused`: nobody listens there (not said of timeouts).
    DialFailed {
        link: Link,
        refused: bool,
    },
    Received {
        link: Link,
        bytes: &'a [u8],
    },
    /// Everything sent on this link so far is with the kernel.
    Sent {
        link: Link,
    },
    /// The connection is gone. Not said of those which were closed from here.
    Disconnected {
        link: Link,
    },
    /// The last [`PeerOutput::PersistEpochs`] is on the disk.
    EpochsDurable,
}

#[derive(Debug)]
pub enum PeerOutput {
    /// Connect to any of these, each in turn; a name may stand for several addresses. Ends with `Connected` or
    /// `DialFailed`, unless `Close` comes first.
    Dial {
        link: Link,
        addresses: Vec<Address>,
    },
    Send {
        link: Link,
        bytes: Bytes,
    },
    /// After what was sent, within reason: a peer that takes nothing is cut.
    Close {
        link: Link,
    },
    /// [`PeerInput::EpochsDurable`] comes when it is. One at a time.
    PersistEpochs(Epochs),
    /// The configuration that counts from now on, to be written to the configuration files before anything that comes
    /// behind this is sent. A server without any, or which can't write them, goes on.
    Configured(Arc<Config>),
    /// What the disk holds is not what this member goes on with: stop the disk's threads, cut the log behind `to`,
    /// recover as at a start, and give the new replica the old one's place ([`super::super::Replica::take_over`]). No
    /// client is connected or will be served before. Of a lone server, too: an operator's snapshot.
    Reload {
        to: Zxid,
    },
}

/// The driver's names for connections that came in; those that were dialled are named here. No two are equal.
pub fn accepted_link(count: u64) -> Link {
    Link(count << 1 | 1)
}

/// What the disk says of the epochs at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochRecord {
    /// There is no record.
    None,
    Found(Epochs),
    /// Both slots of it are damaged.
    Damaged,
    /// There was one, and no log beside it: what the server had logged is not known.
    Lost,
}

/// What a member is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    pub me: ServerId,
    pub members: Arc<Config>,
    /// `peerType`, held against the configuration: false for observers.
    pub participant: bool,
    pub tick: Duration,
    /// In ticks.
    pub init_limit: u32,
    pub sync_limit: u32,
    /// Largest payload of a packet: `jute.maxbuffer` and what headers add to it.
    pub payload_bytes_max: usize,
    pub reconfig_enabled: bool,
    /// False: one voter is enough for a configuration (`standaloneEnabled=false`).
    pub standalone_enabled: bool,
    /// A configuration that was proposed, as a file tells.
    pub next: Option<Arc<Config>>,
    /// False: while this server leads, it serves no clients (`leaderServes=no`).
    pub leader_serves: bool,
    /// Reads are served while there is no leader, to clients that take that (`readonlymode.enabled`).
    pub read_only_mode: bool,
    /// New sessions are this server's alone, and become the ensemble's when they need to, or never.
    pub local_sessions: bool,
    pub local_sessions_upgrading: bool,
    pub history: HistoryLimits,
    pub epochs: EpochRecord,
}

/// What this member is at the moment, as operators know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Standalone,
    Looking,
    /// Looking, and reads are served meanwhile.
    ReadOnly,
    Leading,
    Following,
    Observing,
}

impl Mode {
    /// As in ZooKeeper's `srvr`; a server that looks for a leader has no word there.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Standalone => "standalone",
            Mode::Looking => "looking",
            Mode::ReadOnly => "read-only",
            Mode::Leading => "leader",
            Mode::Following => "follower",
            Mode::Observing => "observer",
        }
    }
}

impl Settings {
    /// What the start makes of the epochs on the disk. `last`: the end of the log.
    pub(super) fn standing(&self, last: Zxid) -> (Standing, Epochs) {
        let record = match self.epochs {
            EpochRecord::Found(epochs) => Some(epochs),
            EpochRecord::None | EpochRecord::Damaged | EpochRecord::Lost => None,
        };
        let voters = self.members.voters();
        let is_alone = self.next.is_none() && voters.len() == 1 && voters.contains(self.me);
        let standing = match self.epochs {
            EpochRecord::Damaged => Standing::Damaged { epoch: last.epoch() },
            EpochRecord::Lost if !is_alone => Standing::Damaged { epoch: last.epoch() },
            _ => Standing::at_start(record, last, is_alone),
        };
        let epochs = record.unwrap_or_default();
        let current = match standing {
            Standing::Sound { current_epoch } => current_epoch,
            Standing::Blank => epochs.current,
            Standing::Damaged { epoch } => {
                tracing::warn!(
                    epoch = epoch.0,
                    %last,
                    "what this server has promised is not known: its record of epochs is missing, damaged, or older than \
                     its log. It has no vote until a leader has synchronised it. If its data is a backup and no other \
                     server has more: stop all servers, make a directory with which an ensemble begins of it \
                     (`ringkeeper snapshot restore --from DATADIR --to NEWDIR`), and copy that to every voter before any starts"
                );
                epochs.current
            }
        };
        (standing, Epochs { accepted: epochs.accepted.max(last.epoch()), current })
    }
}
