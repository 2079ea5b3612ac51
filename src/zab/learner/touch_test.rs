//! What a learner tells its leader of sessions.

use super::*;
use crate::wire::peer::{LeaderInfo, SessionTouch};

const SYNCED: Epoch = Epoch(1);

/// Has heard the leader's way to synchronise: there a PING is answered.
fn learner() -> Learner {
    let settings = Settings::of_one();
    let epochs = Epochs { accepted: SYNCED, current: SYNCED };
    let (leader, now) = (ServerId(2), Instant(0));
    let mut learner = Learner::new(settings, Role::Follower, leader, 0, epochs, Zxid::ZERO, Zxid::ZERO, now);
    learner.step(now, Input::Connected { link: Link(1) }, &mut vec![]);
    let mut bytes = vec![];
    let info = LeaderInfo { protocol_version: 0x10000 };
    packet::encode_record(Kind::LeaderInfo, beginning(SYNCED), &info, &mut bytes);
    packet::encode_bare(Kind::Diff, Zxid::ZERO, &mut bytes);
    tell(&mut learner, &bytes);
    learner
}

/// What it sends for that.
fn tell(learner: &mut Learner, bytes: &[u8]) -> Vec<u8> {
    let mut outputs = vec![];
    learner.step(Instant(0), Input::Received { bytes }, &mut outputs);
    learner.step(Instant(0), Input::TurnEnd, &mut outputs);
    let sent = outputs.into_iter().map(|output| match output {
        Output::Send { bytes, .. } => bytes,
        other => panic!("{other:?}"),
    });
    sent.flatten().collect()
}

/// A session that sends a million requests between two PINGs is one entry of the answer.
#[test]
fn a_ping_s_answer_names_each_session_once() {
    let mut learner = learner();
    for round in 0..1_000 {
        for session in [7, 3] {
            let timeout_ms = 4_000 + round;
            let touch = Input::Touch { session: SessionId(session), timeout_ms };
            learner.step(Instant(0), touch, &mut vec![]);
        }
    }
    let mut ping = vec![];
    packet::encode_bare(Kind::Ping, Zxid(5), &mut ping);
    let mut wanted = vec![];
    let touches = [3, 7].map(|session| SessionTouch { session: SessionId(session), timeout_ms: 4_999 });
    packet::encode_ping_reply(Zxid(5), touches, &mut wanted);
    assert_eq!(tell(&mut learner, &ping), wanted);
    wanted.clear();
    packet::encode_ping_reply(Zxid(5), [], &mut wanted);
    assert_eq!(tell(&mut learner, &ping), wanted, "told once");
}
