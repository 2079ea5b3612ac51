//! The order in which a learner is told the history.

use super::super::led_tests::Led;
use super::*;

/// What is committed comes before NEWLEADER; what is outstanding behind it, as its COMMIT comes behind it: see
/// [`Leader::send_history`].
#[test]
fn what_is_outstanding_comes_behind_newleader() {
    let mut led = Led::new();
    let first = led.follows(2);
    led.promises(first);
    let epoch = led.leader.epoch();
    let zxid = |counter| Zxid(beginning(epoch).0 + counter);
    led.acks(first, beginning(epoch));
    assert!(led.leader.is_established());
    led.proposes(zxid(1));
    led.step(Input::Durable { zxid: zxid(1) });
    led.acks(first, zxid(1));
    assert_eq!(led.leader.committed(), zxid(1));
    led.proposes(zxid(2));

    let late = led.follows(3);
    led.told(late);
    led.promises(late);
    let expected = [
        (Kind::Diff, zxid(1)),
        (Kind::Proposal, zxid(1)),
        (Kind::Commit, zxid(1)),
        (Kind::NewLeader, beginning(epoch)),
        (Kind::Proposal, zxid(2)),
    ];
    assert_eq!(led.told(late), expected);

    led.step(Input::Durable { zxid: zxid(2) });
    led.acks(first, zxid(2));
    led.step(Input::TurnEnd);
    assert_eq!(led.told(late), [(Kind::Commit, zxid(2))]);
    led.acks(late, beginning(epoch));
    assert_eq!(led.told(late), [(Kind::UpToDate, Zxid(-1))]);
    assert_eq!(led.closed, []);
}

/// A voter that has promised a later epoch needs a new leader. Not one whose history is of that epoch: no quorum has ever followed
/// its leader, or none of this ensemble.
#[test]
fn no_leader_with_a_quorum_makes_way_for_a_foreign_history() {
    const LATER: i64 = 9;
    for (history, stays) in [(Epoch(0), false), (Epoch(1), false), (Epoch(LATER), true)] {
        let (mut led, _) = Led::established();
        led.step(Input::Looking { server: ServerId(3), vote: ServerId(3), history });
        let late = led.promised(3, LATER);
        assert_eq!((led.stepped_down.is_none(), led.told(late)), (stays, vec![]), "{history:?}");
        assert_eq!(led.closed, [], "it would be back at once");
    }
    // Without a quorum there is nothing to defend.
    let mut led = Led::new();
    let first = led.follows(2);
    led.promises(first);
    led.step(Input::Looking { server: ServerId(3), vote: ServerId(3), history: Epoch(LATER) });
    led.promised(3, LATER);
    assert!(led.stepped_down.is_some());
}

/// Whatever is committed with one ACK: who asked for the sync before the second write has its answer before that one's commit.
#[test]
fn the_answer_to_a_sync_stands_where_it_was_asked_for() {
    let (mut led, follower) = Led::established();
    led.told(follower);
    let zxid = |counter| Zxid(beginning(led.leader.epoch()).0 + counter);
    let all: Vec<Zxid> = (1..=3).map(zxid).collect();
    led.step(Input::Sync { link: follower, behind: Zxid::ZERO });
    led.proposes(all[0]);
    led.step(Input::Sync { link: follower, behind: all[0] });
    led.step(Input::Sync { link: follower, behind: all[0] });
    led.proposes(all[1]);
    led.proposes(all[2]);
    led.step(Input::Sync { link: follower, behind: all[2] });
    let sync = (Kind::Sync, Zxid::ZERO);
    let asked: Vec<_> = all.iter().map(|zxid| (Kind::Proposal, *zxid)).collect();
    assert_eq!(led.told(follower), [&[sync], &asked[..]].concat());
    led.step(Input::Durable { zxid: all[2] });
    led.acks(follower, all[2]);
    led.step(Input::TurnEnd);
    let commit = |at: usize| (Kind::Commit, all[at]);
    assert_eq!(led.told(follower), [commit(0), sync, sync, commit(1), commit(2), sync]);
}
