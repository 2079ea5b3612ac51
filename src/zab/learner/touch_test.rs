//! What a learner answers to PINGs, and when; what it tells its leader of sessions.

use super::*;
use crate::wire::peer::{LeaderInfo, SessionTouch};

const SYNCED: Epoch = Epoch(1);

/// Has heard NEWLEADER, and writes its epoch.
fn adopting() -> Learner {
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
    assert_eq!(tell(&mut learner, &ping()), b"", "a PING comes with the history");
    bytes.clear();
    packet::encode_bare(Kind::NewLeader, beginning(SYNCED), &mut bytes);
    assert_eq!(tell(&mut learner, &bytes), b"");
    learner
}

/// Has acknowledged NEWLEADER.
fn learner() -> Learner {
    let mut learner = adopting();
    sent(&mut learner, Input::EpochsDurable);
    learner
}

fn ping() -> Vec<u8> {
    let mut ping = vec![];
    packet::encode_bare(Kind::Ping, Zxid(5), &mut ping);
    ping
}

/// What it sends for that.
fn tell(learner: &mut Learner, bytes: &[u8]) -> Vec<u8> {
    sent(learner, Input::Received { bytes })
}

fn sent(learner: &mut Learner, input: Input<'_>) -> Vec<u8> {
    let mut outputs = vec![];
    learner.step(Instant(0), input, &mut outputs);
    learner.step(Instant(0), Input::TurnEnd, &mut outputs);
    let sent = outputs.into_iter().filter_map(|output| match output {
        Output::Send { bytes, .. } => Some(bytes),
        Output::PersistEpochs(_) => None,
        other => panic!("{other:?}"),
    });
    sent.flatten().collect()
}

/// Apache's leader pings a learner that is still writing what it was sent, and takes no answer but that ACK.
#[test]
fn a_ping_before_the_history_is_acknowledged_has_no_answer() {
    let mut learner = adopting();
    let touch = Input::Touch { session: SessionId(7), timeout_ms: 4_000 };
    learner.step(Instant(0), touch, &mut vec![]);
    assert_eq!(tell(&mut learner, &ping()), b"");
    let mut wanted = vec![];
    packet::encode_bare(Kind::Ack, beginning(SYNCED), &mut wanted);
    assert_eq!(sent(&mut learner, Input::EpochsDurable), wanted);
    wanted.clear();
    let touches = [SessionTouch { session: SessionId(7), timeout_ms: 4_000 }];
    packet::encode_ping_reply(Zxid(5), touches, &mut wanted);
    assert_eq!(tell(&mut learner, &ping()), wanted, "what it had to say is kept");
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
    let ping = ping();
    let mut wanted = vec![];
    let touches = [3, 7].map(|session| SessionTouch { session: SessionId(session), timeout_ms: 4_999 });
    packet::encode_ping_reply(Zxid(5), touches, &mut wanted);
    assert_eq!(tell(&mut learner, &ping), wanted);
    wanted.clear();
    packet::encode_ping_reply(Zxid(5), [], &mut wanted);
    assert_eq!(tell(&mut learner, &ping), wanted, "told once");
}
