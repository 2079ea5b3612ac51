//! Votes of the leader election: what they say, when one is better, when two are the same.
//!
//! Used by [`super::election`]. Source: ZooKeeper's `Vote` and `FastLeaderElection.totalOrderPredicate`;
//! quorum-protocol.md §5.2 to 5.4.

use super::epochs::Epochs;
use super::quorum::Config;
use crate::base::{Epoch, ServerId, Zxid};
use crate::wire::peer::PeerState;

/// Whom servers vote for that have no vote: observers, and who is in no configuration.
pub const NOBODY: ServerId = ServerId(i64::MIN);

/// The zxid of a vote that is none; ZooKeeper passes over it.
const NO_VOTE: Zxid = Zxid(-1);

/// How far this server's memory can be trusted.
///
/// A wiped voter must not help to lose what it once had. It can't be told from a new one, so both are *blank* until they
/// have something: a leader's history, or **a promise that counts**. A blank voter that has heard of an epoch has no vote,
/// says -1 instead of its current epoch in ACKEPOCH (no leader counts that, ZooKeeper's neither), and writes nothing of
/// that promise to its disk. So whoever has an epoch record with nothing else was taken for new when it voted, and has not
/// been wiped since; it is sound, with nothing logged.
///
/// That is needed: the first leader of an ensemble may be lost between its currentEpoch and the first follower's. Then it
/// alone shows an epoch. Those whose promises it had must elect once more, and they are a quorum; were they still blank,
/// nobody could be elected ever after. Who has promised nothing is not needed, and joins when there is a leader.
///
/// What is conceded (decision 11): a quorum of blank voters that hear of nobody with a history begin one.
///
/// **The record of epochs, and what is logged, must fit.** A member writes its promise before it logs anything of that
/// epoch, so a log or a snapshot with a zxid of epoch 1 or later beside no record, or beside a record that has promised
/// less, says that the record was lost or is an old copy, that the log is another server's, or that a blank voter
/// got a part of a history and ended before it had all. In each case what it has promised or once had is unknown: it is
/// *damaged*. It votes no more than a blank one that has heard of an epoch, and shows the epoch, so that blank ones
/// don't begin anew beside it. When a leader has synchronised it, it is sound. Alone in its configuration it votes: nobody
/// else can have been promised anything. (`snapshot restore` gives a backup a record that fits; all voters start with a copy.)
///
/// A record with no log beside it (a member always has a segment) is of no use: what it had logged is not known. It is put
/// aside at the start, and the server is damaged until there is a record again (`server/recovery.rs`). No record and epoch 0
/// only is blank: a server that was alone until now writes such zxids, however many transactions it has (design decision 3),
/// and has promised nothing. Its history wins over that of other blank ones.
///
/// Not to be seen from here: a record put back from a copy that is older than a promise, with a log that was, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// `current_epoch`: of the last leader with which it was synchronised; 0 if there was none.
    Sound { current_epoch: Epoch },
    /// No epoch record, and nothing logged of any epoch: a new server, one that was alone, or one that was wiped. Votes
    /// until it hears of an epoch above 0.
    Blank,
    /// The epoch record is damaged, lost or too old: no vote. `epoch`: the latest of which anything is known.
    Damaged { epoch: Epoch },
}

impl Standing {
    /// At a start. `record`: what the disk says, if it says anything; `last`: the end of the log; `is_alone`: it is the
    /// only voter.
    pub fn at_start(record: Option<Epochs>, last: Zxid, is_alone: bool) -> Standing {
        let epoch = last.epoch();
        match record {
            Some(epochs) if epochs.accepted >= epoch => Standing::Sound { current_epoch: epochs.current },
            None if epoch == Epoch(0) => Standing::Blank,
            Some(_) | None if is_alone => Standing::Sound { current_epoch: epoch },
            Some(_) | None => Standing::Damaged { epoch },
        }
    }
}

/// Who should lead, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub leader: ServerId,
    /// The last transaction that he has logged.
    pub zxid: Zxid,
    /// The epoch of the last leader with which he was synchronised.
    pub peer_epoch: Epoch,
}

impl Proposal {
    /// What a server proposes before it has heard of anybody else.
    pub fn initial(
        me: ServerId,
        participant: bool,
        is_voter: bool,
        last_logged: Zxid,
        standing: Standing,
    ) -> Proposal {
        if !participant {
            return Proposal { leader: NOBODY, zxid: Zxid(i64::MIN), peer_epoch: Epoch(i64::MIN) };
        }
        let leader = if is_voter { me } else { NOBODY };
        let (zxid, peer_epoch) = match standing {
            Standing::Sound { current_epoch } => (last_logged, current_epoch),
            Standing::Blank => (last_logged, Epoch(0)),
            Standing::Damaged { epoch } => (NO_VOTE, epoch),
        };
        Proposal { leader, zxid, peer_epoch }
    }

    /// Whether it counts in an election.
    pub fn is_vote(&self) -> bool {
        self.zxid != NO_VOTE
    }

    pub fn without_vote(self) -> Proposal {
        Proposal { zxid: NO_VOTE, ..self }
    }

    /// By epoch, then zxid, then id; never for a server without weight.
    pub fn is_better_than(&self, other: &Proposal, config: &Config) -> bool {
        let key = |proposal: &Proposal| (proposal.peer_epoch, proposal.zxid, proposal.leader);
        config.weighs(self.leader) && key(self) > key(other)
    }
}

/// A proposal as somebody's vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    pub leader: ServerId,
    pub zxid: Zxid,
    pub round: i64,
    pub peer_epoch: Epoch,
    /// Of the voter, when he cast it.
    pub state: PeerState,
    /// Of the message's form; 0 where it doesn't matter.
    pub version: i32,
}

impl Vote {
    /// Before the first election.
    pub const NONE: Vote = Vote {
        leader: NOBODY,
        zxid: Zxid(i64::MIN),
        round: 0,
        peer_epoch: Epoch(i64::MIN),
        state: PeerState::Looking,
        version: 0,
    };

    pub fn of(proposal: Proposal, round: i64, state: PeerState, version: i32) -> Vote {
        let Proposal { leader, zxid, peer_epoch } = proposal;
        Vote { leader, zxid, round, peer_epoch, state, version }
    }

    /// Whether two voters want the same.
    ///
    /// During the election: everything but the states. Of two that are past it, leader and epoch: zxid and round are those
    /// of the election in which each of them joined. If only one of the two messages has a version, the leader alone:
    /// servers of before 3.4.6 tell another epoch.
    pub fn is_same_as(&self, other: &Vote) -> bool {
        if self.leader != other.leader {
            return false;
        }
        if self.state == PeerState::Looking || other.state == PeerState::Looking {
            return (self.zxid, self.round, self.peer_epoch) == (other.zxid, other.round, other.peer_epoch);
        }
        (self.version > 0) != (other.version > 0) || self.peer_epoch == other.peer_epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_and_what_was_promised_must_fit() {
        let record = |accepted, current| Some(Epochs { accepted: Epoch(accepted), current: Epoch(current) });
        let at = |epoch: i64| Zxid(epoch << 32 | 5);
        let sound = |current| Standing::Sound { current_epoch: Epoch(current) };
        let damaged = |epoch| Standing::Damaged { epoch: Epoch(epoch) };
        for (found, last, expected) in [
            (None, Zxid(0), Standing::Blank),
            (None, at(0), Standing::Blank),
            (None, at(1), damaged(1)),
            (record(1, 0), Zxid(0), sound(0)),
            (record(1, 0), at(0), sound(0)),
            (record(1, 1), at(1), sound(1)),
            // A part of a later history; not adopted.
            (record(3, 1), at(3), sound(1)),
            (record(3, 1), at(2), sound(1)),
            (record(2, 2), at(3), damaged(3)),
        ] {
            assert_eq!(Standing::at_start(found, last, false), expected, "{found:?} {last}");
        }
        assert_eq!(Standing::at_start(None, at(4), true), sound(4));
        assert_eq!(Standing::at_start(record(2, 2), at(3), true), sound(3));
    }
}
