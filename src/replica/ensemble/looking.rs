//! The election, and every connection between servers until it is known what it is for.
//!
//! What comes in on the election port begins with a hello and goes on with notifications; what comes in on the quorum port
//! before we lead waits here, bounded, as a follower may have decided a moment before us.

use std::time::Duration;

use crate::base::{Instant, ServerId, Zxid};
use crate::wire::peer::{Hello, Notification, OwnedNotification, notification};
use crate::zab::{self, Link, election, election_links};

use super::super::{Output, Replica};
use super::words::{PeerOutput, PeerPort};
use super::{Ensemble, Leading, Learning, Role};

/// From accept to the whole hello, or to the first packet of a learner that we don't lead yet.
const HELLO_WAIT: Duration = Duration::from_secs(5);
/// Learners that came before we lead, and what each may have said by then: one short packet.
const EARLY_MAX: usize = 256;
const EARLY_BYTES_MAX: usize = 4 << 10;

/// Notifications that are of no use are spoken of so often.
const COMPLAINT_EVERY: Duration = Duration::from_secs(1);

/// A search for a leader is spoken of when it has lasted so long, and every so often from then on.
const SEARCH_PATIENCE: Duration = Duration::from_secs(5);
const SEARCH_TOLD_EVERY: Duration = Duration::from_secs(60);

/// What a link is for.
#[derive(Debug)]
pub enum Connection {
    /// Somebody came to the quorum port, and we don't lead.
    Early { bytes: Vec<u8> },
    /// A learner of ours.
    Learner,
    /// To our leader.
    ToLeader,
    /// Somebody came to the election port. The peer is known from his hello on.
    Caller { bytes: Vec<u8>, peer: Option<ServerId>, since: Instant },
    /// We dial a peer for the election.
    Dialling { peer: ServerId },
}

impl Ensemble {
    pub(super) fn new_link(&mut self) -> Link {
        self.dialled += 1;
        Link(self.dialled << 1)
    }

    /// When somebody who has not said what he wants is dropped.
    pub(super) fn hello_deadline(&self) -> Option<Instant> {
        self.connections.values().filter_map(silent_since).min().map(|since| since + HELLO_WAIT)
    }
}

/// Since when nothing is known of it.
fn silent_since(connection: &Connection) -> Option<Instant> {
    match connection {
        Connection::Caller { peer: None, since, .. } => Some(*since),
        _ => None,
    }
}

impl Replica {
    pub(super) fn on_accepted(&mut self, link: Link, port: PeerPort, outputs: &mut Vec<Output>) {
        let since = self.now.instant;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let connection = match (port, &ensemble.role) {
            // It is mistaken, or ahead of the news. It asks again.
            (PeerPort::Quorum, Role::Learning(_)) if !ensemble.may_be_designated() => {
                outputs.push(Output::Peer(PeerOutput::Close { link }));
                return;
            }
            (PeerPort::Quorum, Role::Leading(_)) => Connection::Learner,
            (PeerPort::Quorum, _) => Connection::Early { bytes: vec![] },
            (PeerPort::Election, _) => Connection::Caller { bytes: vec![], peer: None, since },
        };
        let early = ensemble.connections.values().filter(|other| matches!(other, Connection::Early { .. }));
        if matches!(connection, Connection::Early { .. }) && early.count() >= EARLY_MAX {
            tracing::warn!(
                ?link,
                "a connection to the quorum port is closed: too many come before there is a leader"
            );
            outputs.push(Output::Peer(PeerOutput::Close { link }));
            return;
        }
        let is_learner = matches!(connection, Connection::Learner);
        ensemble.connections.insert(link, connection);
        if is_learner {
            self.lead(zab::LeaderInput::Connected { link }, outputs);
        }
    }

    pub(super) fn on_connected(&mut self, link: Link, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        match ensemble.connections.get(&link) {
            Some(Connection::ToLeader) => self.learn(zab::LearnerInput::Connected { link }, outputs),
            Some(Connection::Dialling { peer }) => {
                let peer = *peer;
                let caller = Connection::Caller { bytes: vec![], peer: Some(peer), since: self.now.instant };
                ensemble.connections.insert(link, caller);
                let link = election_links::LinkId(link.0);
                self.link(election_links::Input::Dialled { peer, link }, outputs);
            }
            _ => {}
        }
    }

    pub(super) fn on_dial_failed(&mut self, link: Link, refused: bool, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        match ensemble.connections.remove(&link) {
            Some(Connection::ToLeader) => self.on_leader_unreachable(outputs),
            Some(Connection::Dialling { peer }) => {
                self.link(election_links::Input::DialFailed { peer, refused }, outputs);
            }
            _ => {}
        }
    }

    pub(super) fn on_received(&mut self, link: Link, bytes: &[u8], outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        match ensemble.connections.get_mut(&link) {
            Some(Connection::Learner) => self.lead(zab::LeaderInput::Received { link, bytes }, outputs),
            Some(Connection::ToLeader) => self.learn(zab::LearnerInput::Received { bytes }, outputs),
            Some(Connection::Early { bytes: early }) => {
                early.extend_from_slice(bytes);
                if early.len() > EARLY_BYTES_MAX {
                    self.hang_up(
                        link,
                        "it says more than a learner has to say before there is a leader",
                        outputs,
                    );
                }
            }
            Some(Connection::Caller { bytes: heard, .. }) => {
                heard.extend_from_slice(bytes);
                self.on_called(link, outputs);
            }
            Some(Connection::Dialling { .. }) | None => {}
        }
    }

    /// A hello, if it has not come yet, then notifications.
    fn on_called(&mut self, link: Link, outputs: &mut Vec<Output>) {
        loop {
            let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
            let Some(Connection::Caller { bytes, peer, .. }) = ensemble.connections.get_mut(&link) else {
                return;
            };
            let Some(from) = *peer else {
                match Hello::decode_prefix(bytes) {
                    Ok(None) => return,
                    Ok(Some((hello, length))) => {
                        bytes.drain(..length);
                        *peer = Some(hello.server);
                        let link = election_links::LinkId(link.0);
                        self.link(election_links::Input::Accepted { link, hello }, outputs);
                        continue;
                    }
                    Err(error) => return self.hang_up(link, &error.to_string(), outputs),
                }
            };
            let (body, length) = match notification::split(bytes) {
                Ok(None) => return,
                Ok(Some((body, length))) => (body.to_vec(), length),
                Err(error) => return self.hang_up(link, &error.to_string(), outputs),
            };
            bytes.drain(..length);
            match Notification::decode(&body) {
                Ok(notification) => {
                    tracing::debug!(from = from.0, ?notification, "heard");
                    self.elect(election::Input::Message { from, notification }, outputs);
                }
                // As in ZooKeeper: one that can't be read is passed over, the frames go on.
                Err(error) => self.pass_over(from, &error.to_string()),
            }
        }
    }

    pub(super) fn on_sent(&mut self, link: Link, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        match ensemble.connections.get(&link) {
            Some(Connection::Caller { .. }) => {
                let link = election_links::LinkId(link.0);
                self.link(election_links::Input::Transmitted { link }, outputs);
            }
            Some(Connection::Learner) => self.on_snapshot_taken(link),
            _ => {}
        }
    }

    pub(super) fn on_disconnected(&mut self, link: Link, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        match ensemble.connections.remove(&link) {
            Some(Connection::Learner) => self.on_learner_gone(link, outputs),
            Some(Connection::ToLeader) => self.learn(zab::LearnerInput::Disconnected, outputs),
            Some(Connection::Caller { .. }) => {
                let link = election_links::LinkId(link.0);
                self.link(election_links::Input::Closed { link }, outputs);
            }
            _ => {}
        }
    }

    /// Closes a connection on which something came that has no meaning there.
    fn hang_up(&mut self, link: Link, reason: &str, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let Some(connection) = ensemble.connections.remove(&link) else { return };
        tracing::warn!(?link, reason, "a connection between servers is closed");
        outputs.push(Output::Peer(PeerOutput::Close { link }));
        if let Connection::Caller { .. } = connection {
            let link = election_links::LinkId(link.0);
            self.link(election_links::Input::Closed { link }, outputs);
        }
    }

    pub(super) fn drop_silent(&mut self, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(ensemble) = self.ensemble.as_deref() else { return };
        let is_late =
            |connection: &Connection| silent_since(connection).is_some_and(|since| now >= since + HELLO_WAIT);
        let late = ensemble.connections.iter().filter(|(_, connection)| is_late(connection));
        for link in late.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.hang_up(link, "it came to the election port and doesn't say who it is", outputs);
        }
    }

    /// Connections of learners, and to our leader: with the role they are over.
    pub(super) fn close_quorum_links(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let mut connections = std::mem::take(&mut ensemble.connections);
        connections.retain(|link, connection| {
            let is_over =
                matches!(connection, Connection::Learner | Connection::ToLeader | Connection::Early { .. })
                    && !ensemble.keeps(connection);
            if is_over {
                outputs.push(Output::Peer(PeerOutput::Close { link: *link }));
            }
            !is_over
        });
        ensemble.connections = connections;
    }

    /// Steps the election.
    pub(super) fn elect(&mut self, input: election::Input<'_>, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let mut said = vec![];
        ensemble.election.step(now, input, &mut said);
        self.carry_out_election(said, outputs);
    }

    pub(super) fn carry_out_election(&mut self, said: Vec<election::Output>, outputs: &mut Vec<Output>) {
        for output in said {
            match output {
                election::Output::Send { to, notification } => self.notify_peer(to, notification, outputs),
                election::Output::Decided(decision) => self.on_decided(&decision, outputs),
                election::Output::ConfigSeen { from, config } => {
                    tracing::info!(from = from.0, "a peer has a newer configuration");
                    // There is no role to leave.
                    self.activate(config, None, outputs);
                }
                election::Output::PeerLooking { peer, vote, history } => {
                    tracing::debug!(
                        peer = peer.0,
                        vote = vote.0,
                        history = history.0,
                        "a voter looks for a leader"
                    );
                    self.lead(zab::LeaderInput::Looking { server: peer, vote, history }, outputs);
                }
                election::Output::Ignored { from, reason } => {
                    self.pass_over(from, &reason.to_string());
                }
            }
        }
    }

    /// Whoever has started one server of three is told what it waits for.
    pub(super) fn tell_of_long_search(&mut self) {
        let now = self.now.instant;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let is_long = ensemble.looking_since.is_some_and(|since| now >= since + SEARCH_PATIENCE);
        let is_told = ensemble.search_told.is_some_and(|told| now < told + SEARCH_TOLD_EVERY);
        if !is_long || is_told {
            return;
        }
        ensemble.search_told = Some(now);
        let me = ensemble.settings.me;
        let voters = ensemble.joint.voters();
        let others = voters.iter().filter(|voter| *voter != me);
        let missing: Vec<i64> =
            others.filter(|voter| ensemble.links.link(*voter).is_none()).map(|voter| voter.0).collect();
        tracing::warn!(
            servers = voters.len(),
            unconnected = ?missing,
            "no leader is found yet, so clients are not served; a quorum must reach each other's election ports"
        );
    }

    /// One line a second at most: whoever sends such may send many.
    fn pass_over(&mut self, from: ServerId, reason: &str) {
        let now = self.now.instant;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.passed_over += 1;
        if ensemble.complains_from.is_none_or(|from| now >= from) {
            ensemble.complains_from = Some(now + COMPLAINT_EVERY);
            let count = std::mem::take(&mut ensemble.passed_over);
            tracing::warn!(from = from.0, reason, count, "a notification is passed over");
        }
    }

    fn notify_peer(&mut self, to: ServerId, notification: OwnedNotification, outputs: &mut Vec<Output>) {
        self.link(election_links::Input::Send { to, notification }, outputs);
    }

    /// Steps the election's connections.
    pub(super) fn link(&mut self, input: election_links::Input, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let mut said = vec![];
        ensemble.links.step(now, input, &mut said);
        for output in said {
            let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
            match output {
                election_links::Output::Dial { peer, addresses } => {
                    let link = ensemble.new_link();
                    ensemble.connections.insert(link, Connection::Dialling { peer });
                    outputs.push(Output::Peer(PeerOutput::Dial { link, addresses }));
                }
                election_links::Output::Transmit { link, bytes } => {
                    let link = Link(link.0);
                    outputs.push(Output::Peer(PeerOutput::Send { link, bytes: bytes.into() }));
                }
                election_links::Output::Close { link } => {
                    let link = Link(link.0);
                    ensemble.connections.remove(&link);
                    outputs.push(Output::Peer(PeerOutput::Close { link }));
                }
                election_links::Output::Up { peer, .. } => {
                    self.elect(election::Input::Connected { peer }, outputs);
                }
                election_links::Output::Unreachable { peer } => {
                    self.elect(election::Input::Unreachable { peer }, outputs);
                }
                election_links::Output::Refused { link, reason } => {
                    tracing::warn!(?link, %reason, "a connection for the election is closed");
                }
            }
        }
    }

    fn on_decided(&mut self, decision: &election::Decision, outputs: &mut Vec<Output>) {
        tracing::info!(leader = decision.leader.0, state = ?decision.state, zxid = %self.proposed, "elected");
        self.begin_role(decision.leader, outputs);
    }

    pub(super) fn begin_role(&mut self, leader: ServerId, outputs: &mut Vec<Output>) {
        self.stop_looking(outputs);
        let now = self.now.instant;
        let (last_logged, floor) = (self.proposed, self.snapshots.newest().unwrap_or(Zxid::ZERO));
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        if leader == ensemble.settings.me {
            let (settings, joint, epochs) =
                (ensemble.zab_settings(), ensemble.joint.clone(), ensemble.epochs);
            let mut said = vec![];
            ensemble.role =
                Role::Leading(Box::new(Leading::new(settings, joint, epochs, last_logged, now, &mut said)));
            self.carry_out_leader(said, outputs);
            self.take_early(outputs);
        } else {
            let addresses = ensemble.joint.member(leader).map(|member| member.quorum_addresses().collect());
            let Some(addresses) = addresses else {
                return self.leave_role("the elected leader is in no configuration known here", outputs);
            };
            let learning = Learning::new(ensemble, leader, addresses, last_logged, floor, now);
            ensemble.wants_snapshot = false;
            ensemble.role = Role::Learning(Box::new(learning));
            self.close_quorum_links(outputs);
            self.dial_leader(outputs);
        }
    }

    /// Who came to the quorum port before this server knew that it leads.
    fn take_early(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let mut early = vec![];
        for (link, connection) in &mut ensemble.connections {
            if let Connection::Early { bytes } = connection {
                early.push((*link, std::mem::take(bytes)));
                *connection = Connection::Learner;
            }
        }
        for (link, bytes) in early {
            self.lead(zab::LeaderInput::Connected { link }, outputs);
            if !bytes.is_empty() {
                self.lead(zab::LeaderInput::Received { link, bytes: &bytes }, outputs);
            }
        }
    }
}
