//! What a learner promises, and what it writes before that.

use super::*;
use crate::wire::peer::LeaderInfo;

const EPOCH: Epoch = Epoch(3);

/// One that has sent FOLLOWERINFO.
fn learner() -> Learner {
    let settings = Settings::of_one();
    let (leader, now) = (ServerId(2), Instant(0));
    let epochs = Epochs::default();
    let mut learner = Learner::new(settings, Role::Follower, leader, 0, epochs, Zxid::ZERO, Zxid::ZERO, now);
    learner.step(now, Input::Connected { link: Link(1) }, &mut vec![]);
    learner.step(now, Input::TurnEnd, &mut vec![]);
    learner
}

fn leader_info(epoch: Epoch, protocol_version: i32) -> Vec<u8> {
    let mut bytes = vec![];
    packet::encode_record(Kind::LeaderInfo, beginning(epoch), &LeaderInfo { protocol_version }, &mut bytes);
    bytes
}

/// What comes of LEADERINFO: epochs that are to be written, and the epoch of ACKEPOCH.
fn told(may_promise: bool) -> (Learner, Option<Epochs>, Option<AckEpoch>) {
    let mut learner = if may_promise { learner() } else { learner().without_promise() };
    let (written, ack) = hears(&mut learner, &leader_info(EPOCH, 0x10000));
    (learner, written, ack)
}

fn hears(learner: &mut Learner, bytes: &[u8]) -> (Option<Epochs>, Option<AckEpoch>) {
    let mut outputs = vec![];
    learner.step(Instant(0), Input::Received { bytes }, &mut outputs);
    learner.step(Instant(0), Input::TurnEnd, &mut outputs);
    let (mut written, mut ack) = (None, None);
    for output in outputs {
        match output {
            Output::PersistEpochs(epochs) => written = Some(epochs),
            Output::Send { bytes, .. } => {
                let decoded = packet::decode_prefix(&bytes, 1 << 20).expect("it can be read");
                let (packet, _) = decoded.expect("it is whole");
                assert_eq!((packet.kind, packet.zxid), (Kind::AckEpoch, Zxid::ZERO));
                ack = Some(packet.payload().expect("a promise"));
            }
            other => panic!("{other:?}"),
        }
    }
    (written, ack)
}

#[test]
fn a_promise_is_written_before_it_is_given() {
    let (_, written, ack) = told(true);
    assert_eq!(written, Some(Epochs { accepted: EPOCH, current: Epoch(0) }));
    assert!(ack.is_none());
}

#[test]
fn a_promise_that_does_not_count_is_written_with_the_history() {
    let (mut learner, written, ack) = told(false);
    assert_eq!(written, None);
    assert_eq!(ack.expect("it goes on").current_epoch, None);
    let mut bytes = vec![];
    packet::encode_bare(Kind::Diff, Zxid::ZERO, &mut bytes);
    packet::encode_bare(Kind::NewLeader, beginning(EPOCH), &mut bytes);
    let (written, _) = hears(&mut learner, &bytes);
    assert_eq!(written, Some(Epochs { accepted: EPOCH, current: EPOCH }));
}

/// It leaves, and says so in one line; nothing is written.
#[test]
fn a_leader_of_another_protocol_is_left() {
    let mut bare = vec![];
    packet::encode_bare(Kind::LeaderInfo, beginning(EPOCH), &mut bare);
    let mut before = vec![];
    packet::encode_bare(Kind::NewLeader, beginning(EPOCH), &mut before);
    let cases = [
        (leader_info(EPOCH, 0xffff), "version 0xffff of the protocol; needed: 0x10000"),
        (leader_info(EPOCH, 0), "version 0x0 of the protocol; needed: 0x10000"),
        (leader_info(Epoch(-1), 0x10000), "it leads epoch -1, and 0 was promised"),
        (bare, "null"),
        (before, "before ZooKeeper 3.4"),
    ];
    for (bytes, expected) in cases {
        let mut outputs = vec![];
        let mut learner = learner();
        learner.step(Instant(0), Input::Received { bytes: &bytes }, &mut outputs);
        learner.step(Instant(0), Input::TurnEnd, &mut outputs);
        let [Output::StepDown { reason }] = &outputs[..] else { panic!("{outputs:?}") };
        assert!(reason.contains("server 2") && reason.contains(expected), "{reason}");
    }
}

/// What is new in it doesn't concern what both know.
#[test]
fn a_leader_of_a_later_version_is_followed() {
    let (written, _) = hears(&mut learner(), &leader_info(EPOCH, 0x10001));
    assert_eq!(written, Some(Epochs { accepted: EPOCH, current: Epoch(0) }));
}
