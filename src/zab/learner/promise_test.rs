//! What a learner promises, and what it writes before that.

use super::*;
use crate::wire::peer::LeaderInfo;

const EPOCH: Epoch = Epoch(3);

/// What comes of LEADERINFO: epochs that are to be written, and the epoch of ACKEPOCH.
fn told(may_promise: bool) -> (Learner, Option<Epochs>, Option<AckEpoch>) {
    let settings = Settings {
        me: ServerId(1),
        tick: Duration::from_secs(2),
        init_limit: 10,
        sync_limit: 5,
        payload_bytes_max: 1 << 20,
        reconfig_enabled: false,
    };
    let (leader, now) = (ServerId(2), Instant(0));
    let epochs = Epochs::default();
    let mut learner = Learner::new(settings, Role::Follower, leader, 0, epochs, Zxid::ZERO, Zxid::ZERO, now);
    if !may_promise {
        learner = learner.without_promise();
    }
    learner.step(now, Input::Connected { link: Link(1) }, &mut vec![]);
    learner.step(now, Input::TurnEnd, &mut vec![]);
    let mut bytes = vec![];
    let info = LeaderInfo { protocol_version: 0x10000 };
    packet::encode_record(Kind::LeaderInfo, beginning(EPOCH), &info, &mut bytes);
    let (written, ack) = hears(&mut learner, &bytes);
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
