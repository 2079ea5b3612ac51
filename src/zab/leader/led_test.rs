//! What the tests of the leader share: server 1 leads; 2 and 3 vote, 4 observes, others are in no configuration.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::zab::history::Limits;
use crate::zab::member::Member;

const PAYLOAD: &[u8] = b"a transaction, as far as Zab knows";

pub struct Led {
    pub leader: Leader,
    history: History,
    pub now: Instant,
    /// What each link was sent.
    sent: BTreeMap<Link, Vec<u8>>,
    pub closed: Vec<Link>,
    /// Each of them is durable at once.
    pub written: Vec<Epochs>,
    pub stepped_down: Option<&'static str>,
    links: u64,
}

impl Led {
    pub fn new() -> Led {
        Led::from(Epochs::default())
    }

    pub fn from(epochs: Epochs) -> Led {
        let settings = Settings::of_one();
        let member = |id| {
            let role = if id == 4 { ":observer" } else { "" };
            Member::parse(ServerId(id), &format!("127.0.0.1:1:2{role}")).expect("a member")
        };
        let config = Config::new([1, 2, 3, 4].map(member), 0).expect("voters");
        let configs = Joint::new(Arc::new(config), None);
        let (mut outputs, now) = (vec![], Instant(0));
        let leader = Leader::new(settings, configs, epochs, Zxid::ZERO, now, &mut outputs);
        assert_eq!(outputs, []);
        let history = History::new(Limits { count: 100, bytes: 1 << 20 }, Zxid::ZERO);
        Led {
            leader,
            history,
            now,
            sent: BTreeMap::new(),
            closed: vec![],
            written: vec![],
            stepped_down: None,
            links: 0,
        }
    }

    /// With follower 2.
    pub fn established() -> (Led, Link) {
        let mut led = Led::new();
        let follower = led.follows(2);
        led.joins(follower);
        assert!(led.leader.is_established());
        (led, follower)
    }

    pub fn step(&mut self, input: Input<'_>) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut outputs = vec![];
            self.leader.step(self.now, input, &self.history, &mut outputs);
            for output in outputs {
                match output {
                    Output::Send { link, bytes } => self.sent.entry(link).or_default().extend(&bytes[..]),
                    Output::PersistEpochs(epochs) => {
                        self.written.push(epochs);
                        inputs.push(Input::EpochsDurable);
                    }
                    Output::Close { link } => self.closed.push(link),
                    Output::StepDown { reason } => self.stepped_down = Some(reason),
                    _ => {}
                }
            }
        }
    }

    /// Time goes by in small steps; of the learners only these answer what they are told.
    pub fn pass(&mut self, time: Duration, answering: &[Link]) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Duration::from_millis(500);
            self.step(Input::Wakeup);
            for link in answering {
                self.hears(*link, |bytes| packet::encode_ping_reply(Zxid::ZERO, [], bytes));
            }
        }
    }

    pub fn hears(&mut self, link: Link, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = vec![];
        encode(&mut bytes);
        self.step(Input::Received { link, bytes: &bytes });
    }

    /// Somebody dials, and says this.
    pub fn comes(&mut self, kind: Kind, promised: Zxid, info: LearnerInfo) -> Link {
        self.links += 1;
        let link = Link(self.links);
        self.step(Input::Connected { link });
        self.hears(link, |bytes| packet::encode_record(kind, promised, &info, bytes));
        link
    }

    /// FOLLOWERINFO, or with 4 OBSERVERINFO, of one who has promised this epoch.
    pub fn promised(&mut self, server: i64, epoch: i64) -> Link {
        let kind = if server == 4 { Kind::ObserverInfo } else { Kind::FollowerInfo };
        self.comes(kind, beginning(Epoch(epoch)), LearnerInfo::new(ServerId(server), 0))
    }

    pub fn follows(&mut self, server: i64) -> Link {
        self.promised(server, 0)
    }

    pub fn promises(&mut self, link: Link) {
        let ack = AckEpoch { current_epoch: Some(Epoch(0)) };
        self.hears(link, |bytes| packet::encode_record(Kind::AckEpoch, Zxid::ZERO, &ack, bytes));
    }

    /// All that a learner without a history says until it follows.
    pub fn joins(&mut self, link: Link) {
        self.promises(link);
        self.acks(link, beginning(self.leader.epoch()));
    }

    pub fn acks(&mut self, link: Link, zxid: Zxid) {
        self.hears(link, |bytes| packet::encode_bare(Kind::Ack, zxid, bytes));
    }

    pub fn proposes(&mut self, zxid: Zxid) {
        self.history.push(zxid, Bytes::from_static(PAYLOAD));
        self.step(Input::Proposed { zxid });
        self.step(Input::TurnEnd);
    }

    /// What it was sent since it was looked at last.
    pub fn told(&mut self, link: Link) -> Vec<(Kind, Zxid)> {
        let bytes = self.sent.remove(&link).unwrap_or_default();
        let (mut told, mut rest) = (vec![], &bytes[..]);
        while let Some((packet, length)) = packet::decode_prefix(rest, 1 << 20).expect("sound") {
            told.push((packet.kind, packet.zxid));
            rest = &rest[length..];
        }
        told
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What comes of it, and the lines that an operator sees.
pub fn logged<T>(action: impl FnOnce() -> T) -> (T, Vec<String>) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().without_time().with_target(false).with_writer(move || writer.clone());
    let result = tracing::subscriber::with_default(subscriber.finish(), action);
    let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let text = String::from_utf8(bytes).expect("text");
    (result, text.lines().map(str::to_owned).collect())
}
