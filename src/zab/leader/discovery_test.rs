//! Who may say what on the quorum port, and what comes of it: one line, and nobody is disturbed.

use super::super::led_tests::{Led, logged};
use super::*;

const LATER: i64 = 41;

/// Half of the silence after which a learner is given up.
const SILENCE: Duration = Duration::from_secs(5);

fn told_epoch(led: &mut Led, link: Link) -> Vec<(Kind, Epoch)> {
    led.told(link).into_iter().map(|(kind, zxid)| (kind, zxid.epoch())).collect()
}

#[test]
fn the_new_epoch_is_above_those_of_the_members() {
    for (server, expected) in [(2, LATER + 1), (3, LATER + 1), (4, LATER + 1), (9, 1)] {
        let mut led = Led::new();
        let first = led.promised(server, LATER);
        // A quorum is needed in any case.
        led.follows(if server == 2 { 3 } else { 2 });
        assert_eq!(led.leader.epoch(), Epoch(expected), "server {server}");
        assert_eq!(led.written[0], Epochs { accepted: Epoch(expected), current: Epoch(0) });
        // And who does not like it hears it.
        assert_eq!(told_epoch(&mut led, first), [(Kind::LeaderInfo, Epoch(expected))]);
        assert_eq!(led.closed, []);
    }
}

#[test]
fn a_stranger_is_noted_once_and_told_the_epoch() {
    let (mut led, _) = Led::established();
    for kind in [Kind::FollowerInfo, Kind::ObserverInfo] {
        let info = LearnerInfo::new(ServerId(9), 0);
        let (link, lines) = logged(|| led.comes(kind, beginning(Epoch(LATER)), info));
        assert!(lines.len() == 1 && lines[0].contains("in no configuration"), "{lines:?}");
        assert!(lines[0].contains("peer=server 9"), "{lines:?}");
        assert_eq!(told_epoch(&mut led, link), [(Kind::LeaderInfo, Epoch(1))]);
        led.step(Input::Disconnected { link });
    }
    assert_eq!((led.stepped_down, led.leader.epoch()), (None, Epoch(1)));
}

/// Such a number comes from damage or from a stranger; accepted once, it could never be taken back.
#[test]
fn an_epoch_that_leaves_no_room_is_nobody_s() {
    let most = i64::from(i32::MAX);
    for epoch in [most, most - 1, most - 100_000, -1, i64::from(i32::MIN)] {
        for server in [2, 3, 4, 9] {
            // Before there is an epoch, and behind it.
            let mut led = Led::new();
            let (link, lines) = logged(|| led.promised(server, epoch));
            assert_eq!((led.told(link), led.closed.as_slice()), (vec![], [link].as_slice()));
            let expected = [format!("server {server}"), format!("promised epoch {epoch}")];
            assert!(lines.len() == 1 && expected.iter().all(|part| lines[0].contains(part)), "{lines:?}");
            assert_eq!(led.written, []);
            let follower = led.follows(2);
            assert_eq!(led.written, [Epochs { accepted: Epoch(1), current: Epoch(0) }]);
            led.joins(follower);

            let (link, lines) = logged(|| led.promised(server, epoch));
            assert_eq!((led.told(link), led.closed.last()), (vec![], Some(&link)));
            assert!(lines.len() == 1 && expected.iter().all(|part| lines[0].contains(part)), "{lines:?}");
            assert!(led.stepped_down.is_none() && led.leader.is_established());
        }
    }
}

/// It was elected by 2, which then heard 3, as 3 did.
#[test]
fn a_leader_makes_way_when_those_who_elected_it_vote_for_another() {
    let looking =
        |server, vote| Input::Looking { server: ServerId(server), vote: ServerId(vote), history: Epoch(0) };
    let mut led = Led::new();
    led.step(looking(3, 3));
    led.step(looking(2, 1));
    assert_eq!(led.stepped_down, None, "2 is enough");
    led.step(looking(2, 3));
    assert!(led.stepped_down.is_some_and(|reason| reason.contains("vote for another")));

    // Not if one of them is here by now, nor behind a quorum's consent.
    let mut led = Led::new();
    led.follows(2);
    led.step(looking(2, 3));
    led.step(looking(3, 3));
    assert_eq!(led.stepped_down, None);
    let (mut led, _) = Led::established();
    led.step(looking(3, 3));
    assert_eq!(led.stepped_down, None);
}

#[test]
fn an_ensemble_that_has_come_that_far_goes_on_to_the_last_one() {
    let most = i64::from(i32::MAX);
    let at = |accepted: i64| Led::from(Epochs { accepted: Epoch(accepted), current: Epoch(accepted) });
    let mut led = at(most - 1000);
    led.promised(2, most - 998);
    assert_eq!(led.leader.epoch(), Epoch(most - 997));

    let mut led = at(most - 1);
    led.promised(2, most - 1);
    assert_eq!(led.leader.epoch(), Epoch(most));

    let mut led = at(most);
    led.promised(2, most);
    assert_eq!(led.written, [], "no zxid has room for the next one");
    led.pass(Duration::from_secs(4), &[]);
    let reason = led.stepped_down.expect("it can't lead");
    assert!(reason.contains("epochs are used up"), "{reason}");
}

/// Nobody else would ever raise the epoch for it.
#[test]
fn a_voter_s_later_promise_ends_the_epoch() {
    let (mut led, _) = Led::established();
    led.promised(4, LATER);
    assert_eq!(led.stepped_down, None, "an observer's doesn't");
    led.promised(3, LATER);
    assert!(led.stepped_down.is_some_and(|reason| reason.contains("later epoch")));
}

/// Whatever it says of its epoch.
#[test]
fn the_one_that_answers_is_not_cut_off_for_another_of_its_id() {
    let (mut led, follower) = Led::established();
    let observer = led.follows(4);
    led.joins(observer);
    let both = [follower, observer];
    for (server, epoch) in [(2, 0), (2, 1), (2, LATER), (4, 0), (4, LATER)] {
        let (link, lines) = logged(|| led.promised(server, epoch));
        assert_eq!(led.closed.pop(), Some(link));
        let name = format!("server {server}");
        assert!(lines.len() == 1 && lines[0].contains(&name) && lines[0].contains("myid"), "{lines:?}");
        led.pass(SILENCE * 4, &both);
        assert_eq!((led.closed.as_slice(), led.stepped_down), ([].as_slice(), None));
    }
    // It came again, and the end of its old connection was lost on the way.
    led.pass(SILENCE + Duration::from_secs(1), &[observer]);
    let (again, lines) = logged(|| led.follows(2));
    assert_eq!(led.closed, [follower]);
    assert!(lines.len() == 1 && lines[0].contains("connected anew"), "{lines:?}");
    led.joins(again);
    let synced: Vec<ServerId> = led.leader.synced().map(|(server, _)| server).collect();
    assert!(led.leader.is_established() && synced.contains(&ServerId(2)));
}

#[test]
fn who_can_t_be_a_learner_is_named_with_the_reason() {
    let me = ServerId(1);
    let two = ServerId(2);
    let cases = [
        (two, None, None, "before ZooKeeper 3.4"),
        (two, Some(0xffff), None, "before ZooKeeper 3.4"),
        (two, Some(-1), Some(0), "before ZooKeeper 3.4"),
        (two, Some(PROTOCOL_VERSION), Some(1), "configuration is newer"),
        (me, Some(PROTOCOL_VERSION), Some(0), "this server's own id"),
    ];
    for (server, protocol_version, config_version, expected) in cases {
        for kind in [Kind::FollowerInfo, Kind::ObserverInfo] {
            let mut led = Led::new();
            let info = LearnerInfo { server, protocol_version, config_version };
            let (link, lines) = logged(|| led.comes(kind, Zxid::ZERO, info));
            assert!(lines.len() == 1 && lines[0].contains(expected), "{lines:?}");
            assert!(lines[0].contains(&format!("server {}", server.0)), "{lines:?}");
            assert_eq!((led.told(link), led.closed.as_slice()), (vec![], [link].as_slice()));
            assert_eq!(led.written, []);
        }
    }
    // From before 3.5, and from a time to come.
    for version in [PROTOCOL_VERSION, PROTOCOL_VERSION + 1] {
        let mut led = Led::new();
        let info = LearnerInfo { server: two, protocol_version: Some(version), config_version: None };
        let link = led.comes(Kind::FollowerInfo, Zxid::ZERO, info);
        assert_eq!(told_epoch(&mut led, link), [(Kind::LeaderInfo, Epoch(1))]);
    }
}
