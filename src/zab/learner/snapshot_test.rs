//! What comes behind a SNAP.

use super::*;
use crate::wire::peer::LeaderInfo;

const EPOCH: Epoch = Epoch(1);

fn zxid(counter: i64) -> Zxid {
    Zxid(beginning(EPOCH).0 + counter)
}

/// Is sent a snapshot as of the 10th transaction.
fn learner(role: Role) -> Learner {
    let settings = Settings::of_one();
    let epochs = Epochs { accepted: EPOCH, current: EPOCH };
    let (leader, now) = (ServerId(2), Instant(0));
    let mut learner = Learner::new(settings, role, leader, 0, epochs, Zxid::ZERO, Zxid::ZERO, now);
    learner.step(now, Input::Connected { link: Link(1) }, &mut vec![]);
    let mut bytes = vec![];
    let info = LeaderInfo { protocol_version: 0x10000 };
    packet::encode_record(Kind::LeaderInfo, beginning(EPOCH), &info, &mut bytes);
    packet::encode_bare(Kind::Snap, zxid(10), &mut bytes);
    let mut outputs = vec![];
    learner.step(now, Input::Received { bytes: &bytes }, &mut outputs);
    assert!(matches!(outputs[..], [Output::ReceiveSnapshot { zxid: of }] if of == zxid(10)), "{outputs:?}");
    learner
}

/// What comes of the snapshot's end with these bytes behind it: the zxids that are appended, why it leaves.
fn installed(learner: &mut Learner, rest: &[u8]) -> (Vec<Zxid>, Vec<String>) {
    let mut outputs = vec![];
    learner.step(Instant(0), Input::SnapshotInstalled { zxid: zxid(10), rest }, &mut outputs);
    let (mut appended, mut reasons) = (vec![], vec![]);
    for output in outputs {
        match output {
            Output::Append { zxid, .. } => appended.push(zxid),
            Output::StepDown { reason } => reasons.push(reason),
            other => panic!("{other:?}"),
        }
    }
    (appended, reasons)
}

/// Apache's leader queues what is decided while it looks up which zxid its snapshot has.
#[test]
fn what_a_snapshot_has_already_is_passed_over() {
    let mut rest = vec![];
    for counter in 8..=12 {
        packet::encode_proposal(zxid(counter), b"x", &mut rest);
        packet::encode_commit(zxid(counter), &mut rest);
    }
    let mut follower = learner(Role::Follower);
    assert_eq!(installed(&mut follower, &rest), (vec![zxid(11), zxid(12)], vec![]));
    assert_eq!(follower.committed, zxid(12));
    rest.clear();
    for counter in 8..=12 {
        packet::encode_inform(zxid(counter), b"x", &mut rest);
    }
    let mut observer = learner(Role::Observer);
    assert_eq!(installed(&mut observer, &rest), (vec![zxid(11), zxid(12)], vec![]));
}

/// Behind it everything is there, once and in order.
#[test]
fn a_gap_behind_a_snapshot_is_none_of_that() {
    for wrong in [12, 13] {
        let mut rest = vec![];
        packet::encode_proposal(zxid(wrong), b"x", &mut rest);
        let (appended, reasons) = installed(&mut learner(Role::Follower), &rest);
        assert_eq!((appended, reasons.len()), (vec![], 1), "{reasons:?}");
    }
    let mut rest = vec![];
    for counter in [11, 10, 12, 11] {
        packet::encode_proposal(zxid(counter), b"x", &mut rest);
    }
    let (appended, reasons) = installed(&mut learner(Role::Follower), &rest);
    assert_eq!(appended, [zxid(11), zxid(12)]);
    assert!(reasons[0].contains("it proposes"), "{reasons:?}");
}
