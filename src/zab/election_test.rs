//! Each rule of the election: what goes in, and exactly what comes out.

use super::super::quorum::tests::equals;
use super::*;
use crate::base::Zxid;
use crate::wire::peer::PeerState::*;
use crate::zab::Standing;

const MS: u64 = 1_000_000;
pub(super) const NOTHING: [String; 0] = [];

/// One server, its time, and what it put out last, one line each.
pub(super) struct Server {
    pub election: Election,
    now: Instant,
}

/// `leader zxid round epoch`
pub(super) type Said = (i64, i64, i64, i64);

fn show(output: &Output) -> String {
    match output {
        Output::Send { to, notification: n } => {
            let name = |id: ServerId| if id == NOBODY { "nobody".to_owned() } else { id.0.to_string() };
            let zxid = if n.zxid.0 == i64::MIN { "min".to_owned() } else { n.zxid.0.to_string() };
            let epoch =
                if n.peer_epoch.0 == i64::MIN { "min".to_owned() } else { n.peer_epoch.0.to_string() };
            format!("to {}: {} {} zxid {zxid} round {} epoch {epoch}", to.0, n.state, name(n.leader), n.round)
        }
        Output::Decided(d) => {
            format!("decided {} {} round {} by {}", d.state, d.leader.0, d.vote.round, d.supporters)
        }
        Output::ConfigSeen { from, config } => format!("config {:x} seen at {}", config.version(), from.0),
        Output::PeerLooking { peer, .. } => format!("{} looks", peer.0),
        Output::Ignored { from, reason } => format!("ignored {}: {reason:?}", from.0),
    }
}

impl Server {
    pub fn new(me: i64, participant: bool, joint: Joint) -> Server {
        let settings = Settings { me: ServerId(me), participant, reconfig_enabled: true };
        Server { election: Election::new(settings, joint), now: Instant(0) }
    }

    /// A voter of 1 to `count`.
    pub fn of(me: i64, count: i64) -> Server {
        Server::new(me, true, Joint::new(Arc::new(equals(1..=count, 0)), None))
    }

    /// The same, which has had a leader.
    fn survivor(me: i64, count: i64) -> Server {
        let mut server = Server::of(me, count);
        server.election.set_designated_leader(ServerId(count));
        server
    }

    pub fn input(&mut self, input: Input<'_>) -> Vec<String> {
        let mut outputs = Vec::new();
        self.election.step(self.now, input, &mut outputs);
        outputs.iter().map(show).collect()
    }

    pub fn start(&mut self, zxid: i64, epoch: i64) -> Vec<String> {
        let standing = Standing::Sound { current_epoch: Epoch(epoch) };
        self.input(Input::Start(Start { last_logged: Zxid(zxid), standing }))
    }

    pub fn hears(&mut self, from: i64, state: PeerState, said: Said) -> Vec<String> {
        self.hears_with(from, state, said, None)
    }

    pub fn hears_with(
        &mut self,
        from: i64,
        state: PeerState,
        said: Said,
        config: Option<&str>,
    ) -> Vec<String> {
        let (leader, zxid, round, epoch) = said;
        let notification = Notification {
            state,
            leader: ServerId(leader),
            zxid: Zxid(zxid),
            round,
            peer_epoch: Epoch(epoch),
            version: 2,
            config: config.map(Into::into),
        };
        self.input(Input::Message { from: ServerId(from), notification })
    }

    pub fn after(&mut self, millis: u64) -> Vec<String> {
        self.now = Instant(self.now.0 + millis * MS);
        self.input(Input::Wakeup)
    }

    fn wakeup_in(&self) -> Option<u64> {
        self.election.next_wakeup().map(|at| (at.0 - self.now.0) / MS)
    }
}

#[test]
fn a_start_tells_all_voters_but_ourselves() {
    let mut server = Server::of(2, 3);
    assert_eq!(
        server.start(5, 1),
        ["to 1: LOOKING 2 zxid 5 round 1 epoch 1", "to 3: LOOKING 2 zxid 5 round 1 epoch 1"]
    );
    assert_eq!(server.wakeup_in(), Some(200));
}

#[test]
fn a_lone_voter_elects_itself_at_once() {
    let mut server = Server::of(1, 1);
    assert_eq!(server.start(0, 0), ["decided LEADING 1 round 1 by 1"]);
    assert_eq!(server.election.next_wakeup(), None);
}

#[test]
fn broadcasts_are_repeated_after_twice_as_long_up_to_a_minute() {
    let mut server = Server::of(1, 3);
    server.start(0, 0);
    let mut waits = Vec::new();
    for _ in 0..11 {
        let wait = server.wakeup_in().expect("a timer");
        waits.push(wait);
        assert_eq!(server.after(wait - 1), NOTHING);
        assert_eq!(server.after(1).len(), 2);
    }
    assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
}

#[test]
fn a_better_vote_is_adopted_and_told_and_a_worse_one_is_answered_once() {
    for (said, better) in [
        ((3, 5, 1, 1), true),
        ((1, 6, 1, 1), true),
        ((1, 0, 1, 2), true),
        ((1, 5, 1, 1), false),
        ((3, 4, 1, 1), false),
        ((3, 9, 1, 0), false),
    ] {
        let mut server = Server::of(2, 5);
        server.start(5, 1);
        let (leader, zxid, _, epoch) = said;
        let outputs = server.hears(3, Looking, said);
        if better {
            let vote = format!("LOOKING {leader} zxid {zxid} round 1 epoch {epoch}");
            assert_eq!(outputs, [1, 3, 4, 5].map(|to| format!("to {to}: {vote}")), "{said:?}");
        } else {
            assert_eq!(outputs, ["to 3: LOOKING 2 zxid 5 round 1 epoch 1"], "{said:?}");
        }
        assert_eq!(server.hears(3, Looking, said), NOTHING, "{said:?}");
    }
}

#[test]
fn a_later_round_begins_with_nobodys_votes_and_an_earlier_one_is_told_ours() {
    let mut server = Server::of(2, 3);
    server.start(5, 1);
    server.hears(3, Looking, (3, 9, 1, 1));
    // Its vote is worse than ours, so ours is told, in its round; what 3 said counts no more.
    assert_eq!(
        server.hears(1, Looking, (1, 4, 7, 1)),
        ["to 1: LOOKING 2 zxid 5 round 7 epoch 1", "to 3: LOOKING 2 zxid 5 round 7 epoch 1"]
    );
    for _ in 0..2 {
        assert_eq!(server.hears(3, Looking, (3, 9, 6, 1)), ["to 3: LOOKING 2 zxid 5 round 7 epoch 1"]);
    }
    assert_eq!(server.election.round(), 7);
    assert_eq!(server.wakeup_in(), Some(200));
}

#[test]
fn a_quorum_waits_for_the_others_and_all_need_not_wait() {
    let mut server = Server::of(2, 3);
    server.start(5, 1);
    // 3 agrees with us? No: we adopt its vote; two of three then agree, and 1 may still know better.
    server.hears(3, Looking, (3, 5, 1, 1));
    server.now = Instant(50 * MS);
    assert_eq!(server.after(149), NOTHING);
    assert_eq!(server.after(1), ["decided FOLLOWING 3 round 1 by 2,3"]);

    let mut server = Server::of(2, 3);
    server.start(5, 1);
    server.hears(3, Looking, (3, 5, 1, 1));
    assert_eq!(
        server.hears(1, Looking, (3, 5, 1, 1)),
        ["to 1: LOOKING 3 zxid 5 round 1 epoch 1", "decided FOLLOWING 3 round 1 by 1,2,3"]
    );
}

#[test]
fn a_better_vote_ends_the_wait_and_a_worse_one_does_not() {
    let mut server = Server::of(2, 5);
    server.start(5, 1);
    server.hears(3, Looking, (3, 5, 1, 1));
    server.hears(4, Looking, (3, 5, 1, 1));
    server.after(100);
    server.hears(1, Looking, (1, 5, 1, 1));
    assert_eq!(server.hears(5, Looking, (5, 6, 1, 1)).len(), 4);
    // A rebroadcast is due, a decision is not.
    assert_eq!(server.after(150).len(), 4);
    server.hears(3, Looking, (5, 6, 1, 1));
    assert_eq!(server.after(199), NOTHING);
    assert_eq!(server.after(1), ["decided FOLLOWING 5 round 1 by 2,3,5"]);
}

#[test]
fn nobody_waits_for_those_who_refuse_connections() {
    let mut server = Server::survivor(2, 3);
    server.start(5, 1);
    assert_eq!(server.input(Input::Unreachable { peer: ServerId(3) }), NOTHING);
    let decided = "decided LEADING 2 round 1 by 1,2";
    assert_eq!(server.hears(1, Looking, (2, 5, 1, 1)).last().map(String::as_str), Some(decided));

    // One that is there after all is waited for, and so is one that was missing in another round.
    for undone in [true, false] {
        let mut server = Server::survivor(2, 3);
        server.start(5, 1);
        server.input(Input::Unreachable { peer: ServerId(3) });
        if undone {
            server.input(Input::Connected { peer: ServerId(3) });
            server.hears(1, Looking, (2, 5, 1, 1));
        } else {
            server.hears(1, Looking, (1, 4, 2, 1));
            server.hears(1, Looking, (2, 5, 2, 1));
        }
        assert!(server.wakeup_in().is_some(), "{undone}");
        server.input(Input::Unreachable { peer: ServerId(3) });
        assert_eq!(server.wakeup_in(), None, "{undone}");
    }
}

/// All are started at once, and one listens a moment later than the others. It would have won.
#[test]
fn a_refusal_says_nothing_when_a_server_has_just_been_started() {
    let mut server = Server::of(2, 3);
    server.start(5, 1);
    server.input(Input::Unreachable { peer: ServerId(3) });
    server.hears(1, Looking, (2, 5, 1, 1));
    assert_eq!(server.wakeup_in(), Some(200), "no decision yet");
    server.hears(3, Looking, (3, 5, 1, 1));
    let decided = "decided FOLLOWING 3 round 1 by 1,2,3";
    assert_eq!(server.hears(1, Looking, (3, 5, 1, 1)).last().map(String::as_str), Some(decided));
}

#[test]
fn nobody_waits_for_the_leader_that_was_just_left_unless_it_is_heard() {
    let follows_three = |established: bool| {
        let mut server = Server::of(2, 3);
        server.start(5, 1);
        server.hears(3, Looking, (3, 6, 1, 1));
        assert_eq!(server.after(200), ["decided FOLLOWING 3 round 1 by 2,3"]);
        if established {
            server.election.set_peer_epoch(Epoch(2), &mut Vec::new());
        }
        server
    };
    let decided = "decided LEADING 2 round 2 by 1,2";
    let last = |outputs: Vec<String>| outputs.last().cloned().unwrap_or_default();

    let mut server = follows_three(true);
    server.start(7, 2);
    assert_eq!(last(server.hears(1, Looking, (2, 7, 2, 2))), decided, "silent since then");

    let mut server = follows_three(true);
    server.start(7, 2);
    server.hears(3, Looking, (3, 6, 1, 1));
    assert_ne!(last(server.hears(1, Looking, (2, 7, 2, 2))), decided, "heard: it may have a better vote yet");
    assert_eq!(server.after(200), [decided]);

    // Never synchronised with, or another one named by a reconfiguration: nothing is known of who will be silent.
    let mut server = follows_three(false);
    server.start(7, 2);
    assert_ne!(last(server.hears(1, Looking, (2, 7, 2, 2))), decided);
    let mut server = follows_three(true);
    server.election.set_designated_leader(ServerId(3));
    server.start(7, 2);
    assert_ne!(last(server.hears(1, Looking, (2, 7, 2, 2))), decided);
}

#[test]
fn votes_that_cannot_count_are_passed_over() {
    let mut server = Server::of(2, 3);
    server.start(5, 1);
    // No vote; from one who observes; for a stranger; in our own name.
    assert_eq!(server.hears(1, Looking, (1, -1, 1, 9)), NOTHING);
    assert_eq!(server.hears(1, Observing, (1, 9, 1, 9)), NOTHING);
    assert_eq!(server.hears(1, Looking, (i64::MIN, 9, 1, 9)), NOTHING);
    assert_eq!(server.hears(1, Looking, (9, 9, 1, 9)), ["ignored 1: LeaderIsNoVoter(ServerId(9))"]);
    assert_eq!(server.hears(2, Looking, (3, 9, 1, 9)), ["ignored 2: OwnId"]);
    assert_eq!(server.wakeup_in(), Some(200));
}

#[test]
fn who_has_no_vote_is_answered_while_it_looks_and_told_the_news() {
    let mut server = Server::of(2, 3);
    assert_eq!(server.hears(9, Looking, (NOBODY.0, 0, 5, 0)), NOTHING, "silent before the first start");
    server.election.set_designated_leader(ServerId(3));
    server.start(5, 1);
    let asked = (NOBODY.0, i64::MIN, 5, i64::MIN);
    assert_eq!(server.hears(9, Looking, asked), ["to 9: LOOKING 2 zxid 5 round 1 epoch 1"]);
    server.input(Input::Unreachable { peer: ServerId(1) });
    assert_eq!(
        server.hears(3, Looking, (3, 5, 1, 1)),
        [
            "to 1: LOOKING 3 zxid 5 round 1 epoch 1",
            "to 3: LOOKING 3 zxid 5 round 1 epoch 1",
            "decided FOLLOWING 3 round 1 by 2,3",
            "to 9: FOLLOWING 3 zxid 5 round 1 epoch 1",
        ]
    );
    assert_eq!(server.hears(1, Looking, (1, 5, 9, 1)), ["to 1: FOLLOWING 3 zxid 5 round 1 epoch 1"]);
    let mut outputs = Vec::new();
    server.election.set_peer_epoch(Epoch(2), &mut outputs);
    assert_eq!(
        outputs.iter().map(show).collect::<Vec<_>>(),
        ["to 1: FOLLOWING 3 zxid 5 round 1 epoch 2", "to 9: FOLLOWING 3 zxid 5 round 1 epoch 2"]
    );
    assert_eq!(server.hears(9, Looking, asked), ["to 9: FOLLOWING 3 zxid 5 round 1 epoch 2"]);
    assert_eq!(server.hears(9, Following, asked), NOTHING, "it has found a leader");
    outputs.clear();
    server.election.set_peer_epoch(Epoch(2), &mut outputs);
    assert!(outputs.is_empty(), "told once");
}

#[test]
fn the_settled_answer_those_who_look_and_nobody_else() {
    let mut server = Server::of(3, 3);
    server.start(5, 1);
    server.hears(1, Looking, (3, 5, 1, 1));
    server.hears(2, Looking, (3, 5, 1, 1));
    assert_eq!((server.election.state(), server.election.vote().round), (Leading, 1));
    assert_eq!(server.hears(1, Looking, (1, 5, 4, 1)), ["1 looks", "to 1: LEADING 3 zxid 5 round 1 epoch 1"]);
    assert_eq!(server.hears(1, Following, (3, 5, 1, 1)), NOTHING);
    assert_eq!(server.after(100_000), NOTHING);
    // After a reconfiguration that takes the lead away.
    server.election.set_designated_leader(ServerId(1));
    assert_eq!(server.hears(2, Looking, (2, 5, 4, 1)), ["to 2: FOLLOWING 1 zxid 5 round -1 epoch -1"]);
}

#[test]
fn a_latecomer_follows_whom_a_quorum_follows_if_he_leads() {
    // In another round: leader and epoch must be the same.
    let mut server = Server::of(1, 3);
    server.start(0, 1);
    assert_eq!(server.hears(2, Following, (3, 7, 8, 2)), NOTHING);
    assert_eq!(server.hears(3, Leading, (3, 5, 8, 3)), NOTHING, "of another epoch");
    assert_eq!(server.hears(3, Leading, (3, 5, 9, 2)), ["decided FOLLOWING 3 round 9 by 2,3"]);
    assert_eq!(server.election.round(), 9);

    // He must say so himself.
    let mut server = Server::of(1, 5);
    server.start(0, 1);
    for from in [2, 4, 5] {
        assert_eq!(server.hears(from, Following, (3, 7, 8, 2)), NOTHING);
    }
    assert_eq!(server.hears(3, Following, (3, 7, 8, 2)), NOTHING);
    assert_eq!(server.hears(3, Leading, (3, 7, 8, 2)), ["decided FOLLOWING 3 round 8 by 2,3,4,5"]);

    // In our round only the leader counts, since Apache forgets the version there.
    let mut server = Server::of(1, 3);
    server.start(0, 1);
    server.hears(2, Following, (3, 7, 1, 1));
    assert_eq!(server.hears(3, Leading, (3, 5, 1, 2)), ["decided FOLLOWING 3 round 1 by 2,3"]);

    // Our own vote counts if it is the same in everything.
    let mut server = Server::of(1, 3);
    server.start(0, 1);
    server.hears(3, Looking, (3, 7, 1, 1));
    assert_eq!(server.hears(3, Leading, (3, 7, 1, 1)), ["decided FOLLOWING 3 round 1 by 1,3"]);
}

#[test]
fn who_is_followed_by_a_quorum_leads_only_in_that_round_and_with_a_memory() {
    let mut server = Server::of(1, 3);
    server.start(0, 1);
    for (from, round) in [(2, 5), (3, 5)] {
        assert_eq!(server.hears(from, Following, (1, 7, round, 1)), NOTHING);
    }
    // Rounds don't matter among those who are past theirs, but for his own.
    assert_eq!(server.hears(2, Following, (1, 7, 1, 1)), ["decided LEADING 1 round 1 by 2,3"]);

    let mut server = Server::of(1, 3);
    server
        .input(Input::Start(Start { last_logged: Zxid(0), standing: Standing::Damaged { epoch: Epoch(1) } }));
    server.hears(2, Following, (1, 7, 1, 1));
    assert_eq!(server.hears(3, Following, (1, 7, 1, 1)), NOTHING);
}

#[test]
fn who_withdraws_is_silent_and_decides_nothing_until_it_starts_again() {
    let mut server = Server::of(1, 3);
    server.start(5, 1);
    assert_eq!(server.input(Input::Withdraw), NOTHING);
    assert_eq!(server.hears(2, Looking, (1, 5, 1, 1)), NOTHING);
    assert_eq!(server.hears(3, Looking, (1, 5, 1, 1)), NOTHING);
    assert_eq!(server.after(120_000), NOTHING);
    assert_eq!(server.election.next_wakeup(), None);
    assert_eq!(server.start(5, 1).len(), 2, "both others are told");
    server.hears(2, Looking, (1, 5, 2, 1));
    let said = server.hears(3, Looking, (1, 5, 2, 1));
    assert_eq!(said.last().map(String::as_str), Some("decided LEADING 1 round 2 by 1,2,3"));
    // A leader that withdraws says no longer that it leads.
    assert_eq!(server.input(Input::Withdraw), NOTHING);
    assert_eq!(server.hears(2, Looking, (2, 5, 3, 1)), NOTHING);
}

#[test]
fn a_blank_server_votes_until_it_sees_a_history() {
    let blank = Start { last_logged: Zxid(0), standing: Standing::Blank };
    let mut server = Server::of(1, 3);
    assert_eq!(server.input(Input::Start(blank))[0], "to 2: LOOKING 1 zxid 0 round 1 epoch 0");
    assert_eq!(server.hears(2, Looking, (2, 0, 1, 0)).len(), 2, "a new ensemble");

    let no_vote = ["to 2: LOOKING 1 zxid -1 round 1 epoch 0", "to 3: LOOKING 1 zxid -1 round 1 epoch 0"];
    for said in [(3, 5, 1, 1), (3, 1 << 32, 1, 0)] {
        let mut server = Server::of(1, 3);
        server.input(Input::Start(blank));
        assert_eq!(server.hears(3, Looking, said), no_vote, "{said:?}");
        server.hears(2, Looking, said);
        assert!(server.after(199).is_empty() && server.after(1) == no_vote, "it decides nothing");
        // But it follows an established leader.
        server.hears(2, Following, said);
        assert_eq!(
            server.hears(3, Leading, said).last().map(String::as_str),
            Some("decided FOLLOWING 3 round 1 by 2,3")
        );
        assert!(!server.election.has_vote(), "and its promise counts for nothing");
    }
}

#[test]
fn damaged_epochs_give_no_vote_at_all() {
    let mut server = Server::of(1, 3);
    let damaged = Start { last_logged: Zxid(77), standing: Standing::Damaged { epoch: Epoch(3) } };
    assert_eq!(
        server.input(Input::Start(damaged)),
        ["to 2: LOOKING 1 zxid -1 round 1 epoch 3", "to 3: LOOKING 1 zxid -1 round 1 epoch 3"],
        "but it shows that there is a history"
    );
    assert_eq!(server.hears(2, Looking, (2, 0, 1, 0)), NOTHING);
    assert_eq!(server.hears(3, Looking, (2, 0, 1, 0)), NOTHING);
    assert_eq!(server.after(199), NOTHING);
    let mut alone = Server::of(1, 1);
    assert_eq!(alone.input(Input::Start(damaged)), NOTHING);
}

#[test]
fn observers_ask_and_follow() {
    let joint = Joint::new(Arc::new(equals(1..=3, 0)), None);
    let mut server = Server::new(9, false, joint.clone());
    let asks = |to| format!("to {to}: LOOKING nobody zxid min round 1 epoch min");
    assert_eq!(server.start(5, 1), [1, 2, 3].map(asks));
    server.hears(1, Following, (3, 7, 4, 2));
    assert_eq!(server.hears(3, Leading, (3, 7, 4, 2)), ["decided OBSERVING 3 round 4 by 1,3"]);
    assert_eq!(server.hears(1, Looking, (1, 7, 5, 2)), ["to 1: OBSERVING 3 zxid 7 round 4 epoch 2"]);

    // A participant that is in no configuration brings its zxid, and follows.
    let mut server = Server::new(8, true, joint);
    assert_eq!(server.start(5, 1)[0], "to 1: LOOKING nobody zxid 5 round 1 epoch 1");
    server.hears(1, Looking, (3, 4, 1, 2));
    server.hears(2, Looking, (3, 4, 1, 2));
    let decided = "decided FOLLOWING 3 round 1 by 1,2,3";
    assert_eq!(server.hears(3, Looking, (3, 4, 1, 2)).last().map(String::as_str), Some(decided));
}

/// A leader dies; the survivors notice one after the other. No timer is needed.
#[test]
fn two_survivors_agree_without_waiting_for_a_timeout() {
    let (mut one, mut two) = (Server::of(1, 3), Server::of(2, 3));
    for (server, other) in [(&mut one, 2), (&mut two, 1)] {
        server.start(5, 1);
        server.hears(other, Looking, (3, 5, 1, 1));
        server.hears(3, Looking, (3, 5, 1, 1));
        assert_eq!(server.election.state(), Following);
    }
    one.start(7, 1);
    one.input(Input::Unreachable { peer: ServerId(3) });
    // 2 still follows when it is asked first.
    assert_eq!(two.hears(1, Looking, (1, 7, 2, 1)), ["to 1: FOLLOWING 3 zxid 5 round 1 epoch 1"]);
    assert_eq!(one.hears(2, Following, (3, 5, 1, 1)), NOTHING);
    two.start(6, 1);
    two.input(Input::Unreachable { peer: ServerId(3) });
    assert_eq!(one.hears(2, Looking, (2, 6, 2, 1)), ["to 2: LOOKING 1 zxid 7 round 2 epoch 1"]);
    let decided = "decided FOLLOWING 1 round 2 by 1,2";
    assert_eq!(two.hears(1, Looking, (1, 7, 2, 1)).last().map(String::as_str), Some(decided));
    assert_eq!(one.hears(2, Looking, (1, 7, 2, 1)), ["decided LEADING 1 round 2 by 1,2"]);
}
