//! Fast leader election: agrees with a quorum on whom to follow, and tells latecomers afterwards.
//!
//! Called by `replica` and the simulator, one object per server for its whole life. `replica` puts in [`Input::Start`]
//! whenever it has no leader, and every notification that comes; it gets [`Output::Decided`], once per start. Sending is
//! the driver's ([`super::election_links`]): each peer gets the newest message, an older one that waits is dropped, and
//! the last one is sent again when a link comes up.
//!
//! The rules are ZooKeeper's (`FastLeaderElection`, quorum-protocol.md §5), so that both kinds of servers elect together.
//! Differences, none of which another server can tell from luck with timing:
//!
//! * A peer that is heard LOOKING in our round for the first time, and whom we would tell nothing by the rules, is told
//!   our vote. ZooKeeper lets it wait for the next timeout (200 ms): our broadcast came while it still followed the dead
//!   leader. Once per peer, vote and round, so two servers that order votes differently can't keep each other busy.
//! * finalizeWait is skipped when nobody is left who could change the vote: every voter of the committed and the next
//!   configuration agrees, or refused the connection in this round (design decision 17), or is the established leader
//!   that we have just left and hasn't been heard since: a silent host refuses nothing, and would cost 200 ms. A refusal says
//!   nothing in this server's first election: where all are started at once, that one listens in a moment. Waiting is
//!   for a better candidate, never for safety: a quorum's best vote has all that was committed.
//! * A voter that proposes nobody yet, because only our configurations name it, raises our round all the same.
//! * Words between servers whose states stay as they are come to an end: see election_answers.rs.
//! * Where a server that has a proposed configuration in its log votes for another one with a later epoch than any it
//!   knows, a quorum of the committed configuration is enough ([`super::quorum::Joint`]).
//! * Who asked during an election, or before the new leader's epoch was known, is told when there is news; ZooKeeper lets
//!   them ask again.
//! * A server whose directory is blank stops voting once a peer shows that the ensemble has a history, and one whose
//!   epochs are lost never votes (decision 11). "No vote" is a vote with zxid -1, which ZooKeeper passes over. Such a
//!   server follows an established leader, and is none; its promise doesn't count either (`vote::Standing`).
//! * The timeout runs from broadcast to broadcast, not from the last message.
//!
//! Invariants: 1. `Decided` comes only while LOOKING. 2. What we tell of our vote never changes within a round but for
//! the better. 3. Without a vote nothing is decided by votes of LOOKING peers.
//! Tested: election_test.rs (each rule), election_random_test.rs (virtual network).

#[path = "election_answers.rs"]
mod answers;
#[path = "election_blank.rs"]
mod blank;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use super::election_words::{Decision, IgnoreReason, Input, Output, Settings, Start};
use super::quorum::{Config, Joint};
use super::servers::ServerSet;
use super::vote::{NOBODY, Proposal, Vote};
use crate::base::{Epoch, Instant, ServerId};
use crate::wire::peer::{Notification, OwnedNotification, PeerState};

/// How long a quorum's vote must stand before it counts, unless nobody is left who could change it.
pub const FINALIZE_WAIT: Duration = Duration::from_millis(200);
/// From the first broadcast to the second; doubled each time.
pub const NOTIFICATION_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// What it is doubled up to.
pub const NOTIFICATION_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Election {
    /// Changed from outside only where a reconfiguration changes this server's role.
    pub settings: Settings,
    joint: Joint,
    /// Text of the committed configuration, as sent.
    text: Arc<str>,
    now: Instant,
    /// `logicalclock`: the round. Starts at 0, and again when the membership changes.
    round: i64,
    /// What peers are told when we are not LOOKING.
    vote: Vote,
    looking: Option<Looking>,
    state: PeerState,
    /// Those who asked and would be helped by news: peers without a vote since we are LOOKING, and all who look since the
    /// decision. Forgotten when the leader's epoch is known.
    askers: ServerSet,
    /// When a server that has no vote has last answered whom, in its present state.
    answered: BTreeMap<ServerId, Instant>,
    epoch_known: bool,
    /// The newest version reported by `ConfigSeen`.
    config_seen: i64,
    has_vote: bool,
}

/// What is known while LOOKING.
#[derive(Debug)]
struct Looking {
    start: Start,
    /// What we propose while we know of nothing better.
    initial: Proposal,
    proposal: Proposal,
    /// The newest vote of each voter in this round.
    received: BTreeMap<ServerId, Vote>,
    /// The newest vote of each voter that is not LOOKING, of any round.
    out_of_election: BTreeMap<ServerId, Vote>,
    /// Voters that refused a connection in this round.
    dead: ServerSet,
    /// The established leader that this election succeeds, until it is heard; nobody at other elections.
    left: ServerSet,
    /// Who is LOOKING and was sent our present proposal in its round; those without a vote, since the last broadcast.
    told: ServerSet,
    interval: Duration,
    broadcast_at: Instant,
    /// A quorum stands behind the proposal; decided then.
    finalize_at: Option<Instant>,
}

impl Looking {
    /// The epoch of another server for whom is voted, if it is later than any in which this one has taken part.
    fn ahead(&self, vote: &Vote, me: ServerId) -> Option<Epoch> {
        (vote.leader != me && vote.peer_epoch > self.initial.peer_epoch).then_some(vote.peer_epoch)
    }
}

impl Election {
    /// Silent until the first start: it answers nobody.
    pub fn new(settings: Settings, joint: Joint) -> Election {
        let text = joint.committed().to_string().into();
        let config_seen = joint.committed().version();
        Election {
            settings,
            joint,
            text,
            now: Instant(0),
            round: 0,
            vote: Vote::NONE,
            looking: None,
            state: PeerState::Looking,
            askers: ServerSet::EMPTY,
            answered: BTreeMap::new(),
            epoch_known: false,
            config_seen,
            has_vote: true,
        }
    }

    pub fn state(&self) -> PeerState {
        self.state
    }

    /// The last decision's vote; before the first one, nobody's.
    pub fn vote(&self) -> Vote {
        self.vote
    }

    /// `electionEpoch`.
    pub fn round(&self) -> i64 {
        self.round
    }

    /// When `Wakeup` is due.
    pub fn next_wakeup(&self) -> Option<Instant> {
        let looking = self.looking.as_ref()?;
        Some(looking.finalize_at.map_or(looking.broadcast_at, |at| at.min(looking.broadcast_at)))
    }

    /// The leader's new epoch, once this server is synchronised with it (or, leading, has its quorum): latecomers count
    /// only votes with equal epochs. Emits the answers to those who have been waiting for it.
    pub fn set_peer_epoch(&mut self, epoch: Epoch, outputs: &mut Vec<Output>) {
        assert!(self.looking.is_none(), "an epoch is known only of a leader that was decided for");
        self.vote.peer_epoch = epoch;
        self.epoch_known = true;
        self.answer_askers(outputs);
        self.askers = ServerSet::EMPTY;
    }

    /// After a reconfiguration that names another leader: he is followed without an election, as those are told who ask.
    pub fn set_designated_leader(&mut self, leader: ServerId) {
        let vote = self.vote;
        self.on_withdraw();
        self.has_vote = true;
        self.state = self.settings.state_under(leader);
        self.vote = Vote { leader, round: -1, peer_epoch: Epoch(-1), state: self.state, ..vote };
    }

    /// One input; what is to be done is appended to `outputs`.
    pub fn step(&mut self, now: Instant, input: Input<'_>, outputs: &mut Vec<Output>) {
        assert!(now >= self.now, "time is monotone");
        self.now = now;
        match input {
            Input::Wakeup => {}
            Input::Start(start) => self.on_start(start, outputs),
            Input::Withdraw => self.on_withdraw(),
            Input::Message { from, notification } => self.on_message(from, &notification, outputs),
            Input::Connected { peer } => {
                if let Some(looking) = &mut self.looking {
                    looking.dead.remove(peer);
                }
            }
            Input::Unreachable { peer } => {
                let has_had_leader = self.vote != Vote::NONE;
                if let Some(looking) = self.looking.as_mut().filter(|_| has_had_leader) {
                    looking.dead.insert(peer);
                }
            }
            Input::Configured(joint) => self.on_configured(joint, outputs),
        }
        self.maintain(outputs);
    }

    fn on_start(&mut self, start: Start, outputs: &mut Vec<Output>) {
        let mut left = ServerSet::EMPTY;
        // Round -1 is the mark of a designated leader, who may well be the next one.
        if self.epoch_known && self.vote.leader != self.settings.me && self.vote.round >= 0 {
            left.insert(self.vote.leader);
        }
        self.round += 1;
        self.state = PeerState::Looking;
        self.askers = ServerSet::EMPTY;
        self.epoch_known = false;
        let initial = Proposal::initial(
            self.settings.me,
            self.settings.participant,
            self.joint.committed().is_voter(self.settings.me),
            start.last_logged,
            start.standing,
        );
        self.looking = Some(Looking {
            start,
            initial,
            proposal: initial,
            received: BTreeMap::new(),
            out_of_election: BTreeMap::new(),
            dead: ServerSet::EMPTY,
            left,
            told: ServerSet::EMPTY,
            interval: NOTIFICATION_INTERVAL_MIN,
            broadcast_at: self.now + NOTIFICATION_INTERVAL_MIN,
            finalize_at: None,
        });
        self.broadcast(outputs);
    }

    fn on_withdraw(&mut self) {
        self.state = PeerState::Looking;
        self.vote = Vote::NONE;
        self.looking = None;
        self.askers = ServerSet::EMPTY;
        self.answered.clear();
        self.epoch_known = false;
    }

    fn on_configured(&mut self, joint: Joint, outputs: &mut Vec<Output>) {
        let same = joint.committed().has_same_content(self.joint.committed())
            && joint.voters() == self.joint.voters();
        self.text = joint.committed().to_string().into();
        self.config_seen = self.config_seen.max(joint.committed().version());
        self.joint = joint;
        if !same {
            self.round = 0;
            if let Some(looking) = &self.looking {
                self.on_start(looking.start, outputs);
            }
        }
    }

    fn on_message(&mut self, from: ServerId, n: &Notification<'_>, outputs: &mut Vec<Output>) {
        if self.looking.is_none() && self.vote == Vote::NONE {
            return;
        }
        if from == self.settings.me {
            outputs.push(Output::Ignored { from, reason: IgnoreReason::OwnId });
            return;
        }
        if !self.look_at_config(from, n, outputs) {
            return;
        }
        if !self.joint.is_voter(from) {
            self.answer_outsider(from, n.state, outputs);
            return;
        }
        if self.looking.is_some() {
            self.on_vote(from, n, outputs);
        } else if n.state == PeerState::Looking {
            if self.state == PeerState::Leading {
                outputs.push(Output::peer_looking(from, n));
            }
            self.answer_settled(from, outputs);
        }
    }

    /// False if the message is of another membership than ours and must wait until that is ours.
    fn look_at_config(&mut self, from: ServerId, n: &Notification<'_>, outputs: &mut Vec<Output>) -> bool {
        let Some(text) = n.config else { return true };
        if self.looking.is_none() || text.as_bytes() == self.text.as_bytes() {
            return true;
        }
        let readable = text.as_str().ok_or_else(|| "it is not UTF-8".to_owned());
        let config = match readable.and_then(|text| Config::parse(text).map_err(|fault| fault.to_string())) {
            Ok(config) => config,
            Err(fault) => {
                outputs.push(Output::Ignored { from, reason: IgnoreReason::BadConfig(fault) });
                return true;
            }
        };
        let ours = self.joint.committed();
        if let Some(reason) = IgnoreReason::other_members(self.settings.me, ours, from, &config) {
            outputs.push(Output::Ignored { from, reason });
        }
        if !self.settings.reconfig_enabled || config.version() <= self.joint.committed().version() {
            return true;
        }
        let is_same = config.has_same_content(self.joint.committed());
        if config.version() > self.config_seen {
            self.config_seen = config.version();
            outputs.push(Output::ConfigSeen { from, config: Arc::new(config) });
        }
        is_same
    }

    /// A voter's message, while LOOKING.
    fn on_vote(&mut self, from: ServerId, n: &Notification<'_>, outputs: &mut Vec<Output>) {
        let is_voter = self.joint.is_voter(n.leader);
        let Some(looking) = &mut self.looking else { return };
        looking.dead.remove(from);
        looking.left.remove(from);
        if n.peer_epoch > Epoch(0) || n.zxid.epoch() > Epoch(0) {
            self.on_history_seen(outputs);
        }
        if n.state == PeerState::Looking && n.round < self.round {
            self.tell(from, outputs);
        }
        if !is_voter {
            // Nobody's vote is what a server that is in no configuration yet sends: no fault.
            if n.leader != NOBODY {
                outputs.push(Output::Ignored { from, reason: IgnoreReason::LeaderIsNoVoter(n.leader) });
            } else if n.state == PeerState::Looking && self.go_to_round(n.round) {
                // It may become our voter: it takes part only in a round that is not behind its own.
                self.broadcast(outputs);
            }
            return;
        }
        match n.state {
            PeerState::Looking => self.on_looking_vote(from, n, outputs),
            PeerState::Following | PeerState::Leading => self.on_settled_vote(from, n, outputs),
            PeerState::Observing => {}
        }
    }

    /// A later one than ours begins anew. True if it was one.
    fn go_to_round(&mut self, round: i64) -> bool {
        let Some(looking) = self.looking.as_mut().filter(|looking| looking.initial.is_vote()) else {
            return false;
        };
        if round <= self.round {
            return false;
        }
        self.round = round;
        looking.received.clear();
        looking.dead = ServerSet::EMPTY;
        looking.finalize_at = None;
        looking.proposal = looking.initial;
        true
    }

    fn on_looking_vote(&mut self, from: ServerId, n: &Notification<'_>, outputs: &mut Vec<Output>) {
        let Some(looking) = &self.looking else { return };
        let theirs = Proposal { leader: n.leader, zxid: n.zxid, peer_epoch: n.peer_epoch };
        if !looking.initial.is_vote() || !theirs.is_vote() || n.round < self.round {
            return;
        }
        let mut is_news = self.go_to_round(n.round);
        let config = self.joint.committed();
        let Some(looking) = &mut self.looking else { return };
        if theirs.is_better_than(&looking.proposal, config) {
            looking.proposal = theirs;
            looking.finalize_at = None;
            is_news = true;
        }
        looking.received.insert(from, Vote::of(theirs, n.round, PeerState::Looking, 0));
        if is_news {
            self.broadcast(outputs);
        } else if !looking.told.contains(from) {
            self.tell(from, outputs);
        }
    }

    /// From a voter that follows or leads.
    fn on_settled_vote(&mut self, from: ServerId, n: &Notification<'_>, outputs: &mut Vec<Output>) {
        let (me, round) = (self.settings.me, self.round);
        let Some(looking) = &mut self.looking else { return };
        let theirs = Proposal { leader: n.leader, zxid: n.zxid, peer_epoch: n.peer_epoch };
        let vote = Vote::of(theirs, n.round, n.state, n.version);
        // Whoever has no vote of his own has lost what a leader must have.
        let mine = n.leader == me;
        let may_lead = mine && round == n.round && looking.initial.is_vote();
        let leads = |votes: &BTreeMap<ServerId, Vote>| {
            votes.get(&n.leader).is_some_and(|vote| vote.state == PeerState::Leading)
        };
        if n.round == round {
            // ZooKeeper forgets the version here, so that within a round only leaders are compared.
            looking.received.insert(from, Vote { version: 0, ..vote });
            let supporters = supporters(&looking.received, &vote);
            let is_enough = self.joint.is_enough(&supporters, looking.ahead(&vote, me));
            if is_enough && if mine { may_lead } else { leads(&looking.received) } {
                self.decide(vote, supporters, outputs);
                return;
            }
        }
        looking.out_of_election.insert(from, vote);
        let supporters = supporters(&looking.out_of_election, &vote);
        let is_enough = self.joint.is_enough(&supporters, looking.ahead(&vote, me));
        if is_enough && if mine { may_lead } else { leads(&looking.out_of_election) } {
            self.round = n.round;
            self.decide(vote, supporters, outputs);
        }
    }

    /// What is due after any input: the quorum counted, the timers.
    fn maintain(&mut self, outputs: &mut Vec<Output>) {
        let me = self.settings.me;
        let Some(looking) = &mut self.looking else { return };
        if looking.initial.is_vote() {
            let vote = Vote::of(looking.proposal, self.round, PeerState::Looking, 0);
            let supporters = supporters(&looking.received, &vote);
            if self.joint.is_enough(&supporters, looking.ahead(&vote, me)) {
                let at = *looking.finalize_at.get_or_insert(self.now + FINALIZE_WAIT);
                let others =
                    self.joint.voters().without(&supporters).without(&looking.dead).without(&looking.left);
                if others.is_empty() || self.now >= at {
                    self.decide(vote, supporters, outputs);
                    return;
                }
            } else {
                looking.finalize_at = None;
            }
        }
        if self.now >= looking.broadcast_at {
            looking.interval = (looking.interval * 2).min(NOTIFICATION_INTERVAL_MAX);
            looking.broadcast_at = self.now + looking.interval;
            self.broadcast(outputs);
        }
    }

    fn decide(&mut self, vote: Vote, supporters: ServerSet, outputs: &mut Vec<Output>) {
        let looking = self.looking.take().expect("there is one decision per election");
        self.has_vote = self.has_vote_in(&looking);
        self.answered.clear();
        self.state = self.settings.state_under(vote.leader);
        self.vote = Vote { state: self.state, ..vote };
        let (leader, state, vote) = (vote.leader, self.state, self.vote);
        outputs.push(Output::Decided(Decision { leader, state, vote, supporters }));
        self.answer_askers(outputs);
    }

    /// Tells all voters what we propose, ourselves first.
    fn broadcast(&mut self, outputs: &mut Vec<Output>) {
        let me = self.settings.me;
        let Some(looking) = &mut self.looking else { return };
        if self.joint.is_voter(me) && looking.proposal.is_vote() && looking.proposal.leader != NOBODY {
            let own = Vote::of(looking.proposal, self.round, PeerState::Looking, 0);
            looking.received.insert(me, own);
        }
        looking.told = looking
            .received
            .iter()
            .filter(|(_, vote)| vote.state == PeerState::Looking)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in self.joint.voters().iter().filter(|peer| *peer != me) {
            self.send(peer, self.present_vote(self.round), outputs);
        }
    }

    /// Our proposal while LOOKING, else what was decided.
    fn present_vote(&self, round: i64) -> Vote {
        match &self.looking {
            Some(looking) => Vote::of(looking.proposal, self.round, PeerState::Looking, 0),
            None => Vote { round, ..self.vote },
        }
    }

    fn send(&self, to: ServerId, vote: Vote, outputs: &mut Vec<Output>) {
        let notification = OwnedNotification {
            state: self.state,
            leader: vote.leader,
            zxid: vote.zxid,
            round: vote.round,
            peer_epoch: vote.peer_epoch,
            config: self.text.clone(),
        };
        outputs.push(Output::Send { to, notification });
    }
}

/// Those whose vote is this one.
fn supporters(votes: &BTreeMap<ServerId, Vote>, vote: &Vote) -> ServerSet {
    votes.iter().filter(|(_, other)| other.is_same_as(vote)).map(|(peer, _)| *peer).collect()
}

#[cfg(test)]
#[path = "election_test.rs"]
mod tests;

#[cfg(test)]
#[path = "election_random_test.rs"]
mod random_tests;

#[cfg(test)]
#[path = "election_config_test.rs"]
mod config_tests;
