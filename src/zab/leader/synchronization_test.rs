//! The order in which a learner is told the history.

use super::*;
use crate::zab::history::Limits;
use crate::zab::member::Member;

const PAYLOAD: &[u8] = b"a transaction, as far as Zab knows";

struct Led {
    leader: Leader,
    history: History,
    /// What each link was sent.
    sent: BTreeMap<Link, Vec<u8>>,
}

impl Led {
    fn new() -> Led {
        let settings = Settings {
            me: ServerId(1),
            tick: Duration::from_secs(2),
            init_limit: 10,
            sync_limit: 5,
            payload_bytes_max: 1 << 20,
            reconfig_enabled: false,
        };
        let member = |id| Member::parse(ServerId(id), "127.0.0.1:1:2").expect("a member");
        let config = Config::new([1, 2, 3].map(member), 0).expect("voters");
        let configs = Joint::new(Arc::new(config), None);
        let (mut outputs, now) = (vec![], Instant(0));
        let leader = Leader::new(settings, configs, Epochs::default(), Zxid::ZERO, now, &mut outputs);
        let history = History::new(Limits { count: 100, bytes: 1 << 20 }, Zxid::ZERO);
        Led { leader, history, sent: BTreeMap::new() }
    }

    fn step(&mut self, input: Input<'_>) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut outputs = vec![];
            self.leader.step(Instant(0), input, &self.history, &mut outputs);
            for output in outputs {
                match output {
                    Output::Send { link, bytes } => self.sent.entry(link).or_default().extend(&bytes[..]),
                    Output::PersistEpochs(_) => inputs.push(Input::EpochsDurable),
                    Output::Close { link } => panic!("{link:?} is closed"),
                    _ => {}
                }
            }
        }
    }

    fn hears(&mut self, link: Link, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = vec![];
        encode(&mut bytes);
        self.step(Input::Received { link, bytes: &bytes });
    }

    fn connects(&mut self, server: i64) -> Link {
        self.connects_with(server, Epoch(0))
    }

    fn connects_with(&mut self, server: i64, promised: Epoch) -> Link {
        let link = Link(server as u64);
        self.step(Input::Connected { link });
        let (protocol_version, config_version) = (Some(PROTOCOL_VERSION), Some(0));
        let info = LearnerInfo { server: ServerId(server), protocol_version, config_version };
        self.hears(link, |bytes| {
            packet::encode_record(Kind::FollowerInfo, beginning(promised), &info, bytes)
        });
        link
    }

    fn promises(&mut self, link: Link) {
        let ack = AckEpoch { current_epoch: Some(Epoch(0)) };
        self.hears(link, |bytes| packet::encode_record(Kind::AckEpoch, Zxid::ZERO, &ack, bytes));
    }

    fn acks(&mut self, link: Link, zxid: Zxid) {
        self.hears(link, |bytes| packet::encode_bare(Kind::Ack, zxid, bytes));
    }

    fn proposes(&mut self, zxid: Zxid) {
        self.history.push(zxid, Bytes::from_static(PAYLOAD));
        self.step(Input::Proposed { zxid });
        self.step(Input::TurnEnd);
    }

    /// What it was sent since it was looked at last.
    fn told(&mut self, link: Link) -> Vec<(Kind, Zxid)> {
        let bytes = self.sent.remove(&link).unwrap_or_default();
        let (mut told, mut rest) = (vec![], &bytes[..]);
        while let Some((packet, length)) = packet::decode_prefix(rest, 1 << 20).expect("sound") {
            told.push((packet.kind, packet.zxid));
            rest = &rest[length..];
        }
        told
    }
}

/// What is committed comes before NEWLEADER; what is outstanding behind it, as its COMMIT comes behind it: see
/// [`Leader::send_history`].
#[test]
fn what_is_outstanding_comes_behind_newleader() {
    let mut led = Led::new();
    let first = led.connects(2);
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

    let late = led.connects(3);
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
}

/// A voter that has promised a later epoch needs a new leader. Not one whose history is of that epoch: no quorum has ever followed
/// its leader, or none of this ensemble.
#[test]
fn no_leader_with_a_quorum_makes_way_for_a_foreign_history() {
    let later = Epoch(9);
    for (history, phase) in [(Epoch(0), "election"), (Epoch(1), "election"), (later, "broadcast")] {
        let mut led = Led::new();
        let first = led.connects(2);
        led.promises(first);
        let epoch = led.leader.epoch();
        led.acks(first, beginning(epoch));
        led.step(Input::Looking { server: ServerId(3), history });
        let late = led.connects_with(3, later);
        assert_eq!((led.leader.phase(), led.told(late)), (phase, vec![]), "{history:?}");
    }
    // Without a quorum there is nothing to defend.
    let mut led = Led::new();
    let first = led.connects(2);
    led.promises(first);
    led.step(Input::Looking { server: ServerId(3), history: later });
    led.connects_with(3, later);
    assert_eq!(led.leader.phase(), "election");
}
