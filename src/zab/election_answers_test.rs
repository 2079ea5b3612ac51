//! Words come to an end.

use std::collections::VecDeque;

use super::super::tests::{NOTHING, Server};
use super::super::*;
use crate::base::Zxid;
use crate::wire::peer::PeerState::*;
use crate::zab::Standing;
use crate::zab::quorum::tests::equals;

/// Servers with ids from 1 on, whose messages arrive at once.
struct Room {
    servers: Vec<Election>,
    on_the_way: VecDeque<(usize, usize, OwnedNotification)>,
    said: usize,
}

impl Room {
    /// Of each the voters that it knows of, whether it takes part, and the round that it has come to.
    fn new(servers: &[(&[i64], bool, i64)]) -> Room {
        let mut room = Room { servers: vec![], on_the_way: VecDeque::new(), said: 0 };
        for (at, (voters, participant, _)) in servers.iter().enumerate() {
            let me = ServerId(at as i64 + 1);
            let settings = Settings { me, participant: *participant, reconfig_enabled: true };
            let joint = Joint::new(Arc::new(equals(voters.iter().copied(), 0)), None);
            room.servers.push(Election::new(settings, joint));
        }
        for (at, (_, _, rounds)) in servers.iter().enumerate() {
            for _ in 0..*rounds {
                let standing = Standing::Sound { current_epoch: Epoch(1) };
                room.input(at, Input::Start(Start { last_logged: Zxid(at as i64), standing }));
            }
        }
        room
    }

    fn input(&mut self, at: usize, input: Input<'_>) {
        let mut outputs = vec![];
        let now = self.servers[at].now;
        self.servers[at].step(now, input, &mut outputs);
        for output in outputs {
            if let Output::Send { to, notification } = output {
                self.on_the_way.push_back((at, to.0 as usize - 1, notification));
            }
        }
    }

    /// How many messages there are until nobody says anything more; those that are put to sleep hear nothing.
    fn count(&mut self, asleep: &[usize]) -> usize {
        self.said = 0;
        while let Some((from, to, n)) = self.on_the_way.pop_front() {
            self.said += 1;
            assert!(self.said < 100, "they don't come to an end");
            if to >= self.servers.len() || asleep.contains(&to) {
                continue;
            }
            let config = n.config.clone();
            let notification = Notification {
                state: n.state,
                leader: n.leader,
                zxid: n.zxid,
                round: n.round,
                peer_epoch: n.peer_epoch,
                version: 2,
                config: Some((&*config).into()),
            };
            self.input(to, Input::Message { from: ServerId(from as i64 + 1), notification });
        }
        self.said
    }
}

#[test]
fn a_voter_and_who_has_no_vote_come_to_an_end_while_both_look() {
    let voters: &[i64] = &[1, 2, 3];
    // An observer in a later round; one who takes itself for a voter, in an earlier one and in a later one; and two who
    // know nothing of each other's vote.
    let alone: &[&[(&[i64], bool, i64)]] = &[
        &[(voters, true, 1), (voters, true, 0), (voters, true, 0), (voters, false, 7)],
        &[(voters, true, 7), (voters, true, 0), (voters, true, 0), (&[1, 2, 3, 4], true, 1)],
        &[(voters, true, 1), (voters, true, 0), (voters, true, 0), (&[1, 2, 3, 4], true, 7)],
        &[(&[1, 3], true, 2), (&[2, 3], true, 5)],
    ];
    for servers in alone {
        let mut room = Room::new(servers);
        // Both have something to say to the other, once more.
        let looking = [0, servers.len() - 1];
        room.count(&[1, 2].map(|at| if servers.len() == 2 { 9 } else { at }));
        for at in looking {
            let to = looking[usize::from(at == 0)];
            let vote = room.servers[at].present_vote(room.servers[at].round);
            let mut outputs = vec![];
            room.servers[at].send(ServerId(to as i64 + 1), vote, &mut outputs);
            let Some(Output::Send { notification, .. }) = outputs.pop() else { panic!("it was sent") };
            room.on_the_way.push_back((at, to, notification));
        }
        let said = room.count(&[1, 2].map(|at| if servers.len() == 2 { 9 } else { at }));
        assert!(said <= 6, "{said}");
    }
}

#[test]
fn a_looking_voter_and_a_settled_observer_come_to_an_end() {
    let voters: &[i64] = &[1, 2, 3];
    let mut room = Room::new(&[(voters, true, 1), (voters, true, 0), (voters, true, 0), (voters, false, 1)]);
    room.count(&[1, 2]);
    // It follows whom the two others have elected.
    for from in [2, 3] {
        let state = if from == 3 { Leading } else { Following };
        let notification = Notification {
            state,
            leader: ServerId(3),
            zxid: Zxid(9),
            round: 1,
            peer_epoch: Epoch(1),
            version: 2,
            config: None,
        };
        room.input(3, Input::Message { from: ServerId(from), notification });
    }
    assert_eq!(room.servers[3].state(), Observing);
    room.count(&[1, 2]);
    // The voter asks.
    let vote = room.servers[0].present_vote(1);
    let mut outputs = vec![];
    room.servers[0].send(ServerId(4), vote, &mut outputs);
    let Some(Output::Send { notification, .. }) = outputs.pop() else { panic!("it was sent") };
    room.on_the_way.push_back((0, 3, notification));
    assert!(room.count(&[1, 2]) <= 2);
}

#[test]
fn who_is_settled_without_a_vote_answers_the_same_one_five_times_a_second() {
    let joint = Joint::new(Arc::new(equals(1..=3, 0)), None);
    let mut server = Server::new(9, false, joint);
    server.start(5, 1);
    server.hears(1, Following, (3, 7, 4, 2));
    server.hears(3, Leading, (3, 7, 4, 2));
    assert_eq!(server.election.state(), Observing);
    let asks = (1, 7, 5, 2);
    assert_eq!(server.hears(1, Looking, asks).len(), 1);
    assert_eq!(server.hears(1, Looking, asks), NOTHING);
    assert_eq!(server.hears(2, Looking, asks).len(), 1, "another one");
    server.after(199);
    assert_eq!(server.hears(1, Looking, asks), NOTHING);
    server.after(1);
    assert_eq!(server.hears(1, Looking, asks).len(), 1);
    assert_eq!(server.hears(7, Following, (3, 7, 4, 2)), NOTHING, "it asks nothing");
}

/// What only this one may have in its log does not keep it from following who is ahead of it.
#[test]
fn a_proposed_configuration_does_not_count_against_a_later_epoch() {
    let (old, new) = (Arc::new(equals([1, 2, 3], 1)), Arc::new(equals([2, 3], 1 << 32 | 7)));
    let mut server = Server::new(1, true, Joint::new(old, Some(new)));
    server.start(1 << 32 | 7, 1);
    server.hears(2, Looking, (1, 1 << 32 | 7, 1, 1));
    assert_eq!(server.after(250).len(), 2, "it would need 3");
    server.hears(2, Looking, (2, 2 << 32, 1, 2));
    let decided = "decided FOLLOWING 2 round 1 by 1,2";
    assert_eq!(server.after(200).last().map(String::as_str), Some(decided));
}
