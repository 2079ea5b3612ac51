//! A load with a recorded history, and the judge of it: nothing acknowledged is lost, nothing comes back, one order for all.
//!
//! Each writer has one session, which it takes along when its server goes: creates of znodes with names of their own and sets
//! of a counter, some sent together, between them writes that have to be refused. What it is not answered is *unknown*: it may
//! have happened or not, but what the ensemble once said of it stays true.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringkeeper::wire::client::{CreateRequest, SetDataRequest};
use ringkeeper::wire::{AclList, ErrorCode, Opcode};

use crate::gate::Gate;
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::ensemble::Znode;
use crate::support::{Client, Connect, Ensemble, Message, Refusal, Server, until};

/// Creates that are sent together, with one set behind them.
const TOGETHER: u64 = 7;
/// A writer gives up a silent connection after this, and goes elsewhere.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Longer than any fault here lasts: a session that is lost is a failure.
const SESSION_TIMEOUT_MS: i32 = 10_000;

/// A write that was acknowledged. `begun` and `ended`: places in the order of all that was sent and received.
#[derive(Clone, Debug)]
struct Acknowledged {
    zxid: i64,
    begun: u64,
    ended: u64,
}

/// What one writer has sent, and what it was told.
#[derive(Debug, Default)]
struct Story {
    /// The paths of each batch, in the order of sending.
    batches: Vec<Vec<String>>,
    created: BTreeMap<String, Acknowledged>,
    sets: Vec<Acknowledged>,
    counter_acknowledged: u64,
    counter_sent: u64,
    /// Connections that ended with requests under way.
    losses: u64,
}

/// The order of all that is sent and received.
static CLOCK: AtomicU64 = AtomicU64::new(0);

/// How writers go about it.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Between two batches of a writer.
    pub pause: Duration,
    /// A silent connection is given up after this.
    pub patience: Duration,
    /// Nobody stands still for so long: who is silent has lost a reply.
    pub silence_is_loss: bool,
    pub session_timeout_ms: i32,
    /// Batches are sent while it is open.
    pub gate: Arc<Gate>,
    /// Batches that were acknowledged.
    pub acknowledged: Arc<AtomicU64>,
}

impl Manner {
    fn of(ensemble: &Ensemble) -> Manner {
        Manner {
            pause: ensemble.pause,
            patience: PATIENCE,
            silence_is_loss: false,
            session_timeout_ms: SESSION_TIMEOUT_MS,
            gate: Arc::default(),
            acknowledged: Arc::default(),
        }
    }
}

#[derive(Debug)]
struct Shared {
    manner: Manner,
    stops: AtomicBool,
}

struct Writer {
    name: String,
    servers: Vec<SocketAddr>,
    at: usize,
    client: Client,
    story: Story,
    shared: Arc<Shared>,
}

/// Writers that write until they are told to stop.
pub struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Writer>>,
}

impl Load {
    /// `round` distinguishes the paths of several loads in one ensemble. The writers begin spread over all servers.
    pub fn start(ensemble: &Ensemble, round: u32, writers: usize) -> Load {
        let all: Vec<usize> = (0..ensemble.servers.len()).collect();
        Load::start_at(ensemble, round, writers, &all)
    }

    /// As [`Load::start`]; the writers begin at these servers.
    pub fn start_at(ensemble: &Ensemble, round: u32, writers: usize, first: &[usize]) -> Load {
        Load::start_with(ensemble, round, writers, first, Manner::of(ensemble))
    }

    pub fn start_with(
        ensemble: &Ensemble,
        round: u32,
        writers: usize,
        first: &[usize],
        manner: Manner,
    ) -> Load {
        let connect = Connect { timeout_ms: manner.session_timeout_ms, ..Connect::default() };
        let patience = manner.patience;
        let shared = Arc::new(Shared { manner, stops: AtomicBool::new(false) });
        let servers: Vec<SocketAddr> = ensemble.servers.iter().map(Server::address).collect();
        let start = |number: usize| {
            let at = first[number % first.len()];
            let mut client = connect.open_within(servers[at], patience).expect("nobody disturbs it yet");
            let name = format!("/r{round}w{number}");
            client.create(&name, b"", PERSISTENT);
            client.create(&format!("{name}/counter"), b"0", PERSISTENT);
            client.create(&format!("{name}/ephemeral"), b"", EPHEMERAL);
            let (servers, shared) = (servers.clone(), Arc::clone(&shared));
            let writer = Writer { name, servers, at, client, story: Story::default(), shared };
            thread::spawn(move || writer.run())
        };
        let writers = (0..writers).map(start).collect();
        Load { shared, writers }
    }

    /// Waits for so many more acknowledged batches, from now on.
    pub fn go_on(&self, batches: u64) {
        let before = self.batches();
        until("the writers to be acknowledged more", || {
            self.assert_writing();
            (self.batches() >= before + batches).then_some(())
        });
    }

    /// Batches that were acknowledged.
    fn batches(&self) -> u64 {
        self.shared.manner.acknowledged.load(Ordering::SeqCst)
    }

    pub fn assert_writing(&self) {
        let done = self.writers.iter().any(JoinHandle::is_finished);
        assert!(!done, "a writer has ended: its own check failed");
    }

    /// Ends the writers, whose sessions go on until [`History`] has looked at them.
    fn stop(self) -> Vec<Writer> {
        self.shared.stops.store(true, Ordering::SeqCst);
        self.writers.into_iter().map(|writer| writer.join().expect("the writer's own checks hold")).collect()
    }
}

/// The next place in it.
pub fn tick() -> u64 {
    CLOCK.fetch_add(1, Ordering::SeqCst)
}

impl Writer {
    fn run(mut self) -> Writer {
        let mut number = 0;
        // A last batch behind the last fault shows that the session goes on.
        loop {
            let last = self.shared.stops.load(Ordering::SeqCst);
            let gate = Arc::clone(&self.shared.manner.gate);
            let (passed, is_connected) = match gate.enter() {
                Some(_inside) => (true, self.write(&mut number)),
                None => (false, self.client.try_ping()),
            };
            if !is_connected {
                self.story.losses += 1;
                self.go_elsewhere();
            } else if last && passed {
                return self;
            }
            thread::sleep(self.shared.manner.pause);
        }
    }

    /// A batch. False: the connection is of no more use.
    fn write(&mut self, number: &mut u64) -> bool {
        let counter = format!("{}/counter", self.name);
        let mut bytes = vec![];
        let mut paths = vec![];
        let mut xids = vec![];
        for _ in 0..TOGETHER {
            *number += 1;
            let path = format!("{}/n{number}", self.name);
            let create = CreateRequest {
                path: path.as_str().into(),
                data: Some(path.as_bytes()),
                acl: Some(AclList::OPEN),
                flags: PERSISTENT,
            };
            let (xid, request) = self.client.request(Opcode::Create, &create);
            bytes.extend(request);
            xids.push(xid);
            paths.push(path);
        }
        let value = number.to_string();
        let set = SetDataRequest { path: counter.as_str().into(), data: Some(value.as_bytes()), version: -1 };
        let (set, request) = self.client.request(Opcode::SetData, &set);
        bytes.extend(request);
        let never =
            SetDataRequest { path: counter.as_str().into(), data: Some(b"refused"), version: 1 << 30 };
        let (never, request) = self.client.request(Opcode::SetData, &never);
        bytes.extend(request);

        self.story.batches.push(paths.clone());
        self.story.counter_sent = *number;
        let begun = tick();
        if !self.client.try_send_bytes(&bytes) {
            return false;
        }
        for (xid, path) in xids.into_iter().zip(paths) {
            let Some((zxid, code)) = self.answer(xid) else { return false };
            assert_eq!(code, ErrorCode::Ok, "{path}");
            let ended = tick();
            self.story.created.insert(path, Acknowledged { zxid, begun, ended });
        }
        let Some((zxid, code)) = self.answer(set) else { return false };
        assert_eq!(code, ErrorCode::Ok, "{counter}");
        let ended = tick();
        self.story.sets.push(Acknowledged { zxid, begun, ended });
        self.story.counter_acknowledged = *number;
        let Some((_, code)) = self.answer(never) else { return false };
        assert_eq!(code, ErrorCode::BadVersion);
        self.shared.manner.acknowledged.fetch_add(1, Ordering::SeqCst);
        true
    }

    fn answer(&mut self, xid: i32) -> Option<(i64, ErrorCode)> {
        let before = self.client.zxid;
        let begun = Instant::now();
        let Some(message) = self.client.next_within() else {
            let Manner { silence_is_loss, patience, .. } = self.shared.manner;
            let is_loss = silence_is_loss && begun.elapsed() >= patience;
            let at = self.servers[self.at];
            assert!(
                !is_loss,
                "{}: {at} neither answers nor closes the connection for {patience:?}",
                self.name
            );
            return None;
        };
        let Message::Reply(reply) = message else { panic!("nobody watches: {message:?}") };
        assert_eq!(reply.xid, xid);
        let is_newer = if reply.err == 0 { reply.zxid > before } else { reply.zxid >= before };
        assert!(is_newer, "0x{:x} after 0x{before:x} in one session", reply.zxid);
        Some((reply.zxid, reply.code()))
    }

    /// To the next server that takes the session. There has to be one before it expires.
    fn go_elsewhere(&mut self) {
        let again = Connect {
            timeout_ms: self.shared.manner.session_timeout_ms,
            last_zxid_seen: self.client.zxid,
            ..Connect::again(&self.client)
        };
        let seen = self.client.zxid;
        self.client = until("a server that takes the session", || {
            self.at = (self.at + 1) % self.servers.len();
            match again.open_within(self.servers[self.at], PATIENCE) {
                Ok(client) => Some(client),
                Err(Refusal::Closed) => None,
                Err(refusal) => panic!("session 0x{:x} is lost: {refusal:?}", again.session),
            }
        });
        assert_eq!(self.client.session, again.session);
        self.client.zxid = seen;
        self.client.be_patient(self.shared.manner.patience);
    }
}

/// All loads of one ensemble, and what was found of the unknown writes.
#[derive(Debug, Default)]
pub struct History {
    stories: BTreeMap<String, Story>,
    /// Unknown writes that a check has found, or found missing.
    judged: BTreeMap<String, bool>,
}

impl History {
    /// Stops the load and holds all that is known against what every running server has.
    pub fn check(&mut self, ensemble: &mut Ensemble, load: Load) {
        self.end(ensemble, load);
        self.check_again(ensemble);
        println!(
            "{} writes acknowledged, {} connections lost, all sound",
            self.acknowledged(),
            self.losses()
        );
    }

    /// Stops the load and takes what it knows.
    pub fn end(&mut self, ensemble: &mut Ensemble, load: Load) {
        let writers = load.stop();
        ensemble.settle();
        for mut writer in writers {
            let owner = writer.client.stat(&format!("{}/ephemeral", writer.name)).ephemeral_owner.0;
            assert_eq!(owner, writer.client.session, "the ephemeral of {}", writer.name);
            writer.client.close();
            self.stories.insert(writer.name, writer.story);
        }
    }

    /// After something more was done to the servers. The tree that all of them have.
    pub fn check_again(&mut self, ensemble: &mut Ensemble) -> BTreeMap<String, Znode> {
        ensemble.settle();
        let tree = ensemble.assert_equal();
        self.judge(&tree).unwrap_or_else(|fault| panic!("{fault}"));
        tree
    }

    /// Connections that ended under the writers.
    pub fn losses(&self) -> u64 {
        self.stories.values().map(|story| story.losses).sum()
    }

    /// Writes that were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.stories.values().map(|story| story.created.len() + story.sets.len()).sum()
    }

    fn judge(&mut self, tree: &BTreeMap<String, Znode>) -> Result<(), String> {
        for (name, story) in &self.stories {
            let mut expected = BTreeSet::from([format!("{name}/counter")]);
            for batch in &story.batches {
                // A session's writes happen in their order, or not at all.
                let mut is_cut = false;
                for path in batch {
                    expected.insert(path.clone());
                    let found = tree.get(path);
                    match (story.created.get(path), found) {
                        (Some(_), None) => return Err(format!("{path} was acknowledged and is lost")),
                        (Some(told), Some(znode)) if told.zxid != znode.stat[0] => {
                            return Err(format!("{path}: told 0x{:x}, is {znode:x?}", told.zxid));
                        }
                        (_, Some(_)) if is_cut => {
                            return Err(format!("{path} is there, and one before it isn't"));
                        }
                        (_, Some(znode)) if znode.data.as_deref() != Some(path.as_bytes()) => {
                            return Err(format!("{path}: not what was written: {znode:?}"));
                        }
                        (Some(_), Some(_)) => {}
                        (None, found) => {
                            let before = self.judged.insert(path.clone(), found.is_some());
                            if before.is_some_and(|before| before != found.is_some()) {
                                return Err(format!(
                                    "{path} was there: {before:?}, and now: {}",
                                    found.is_some()
                                ));
                            }
                        }
                    }
                    is_cut |= found.is_none();
                }
            }
            let below = tree.range(format!("{name}/")..format!("{name}0"));
            if let Some((path, _)) = below.into_iter().find(|(path, _)| !expected.contains(*path)) {
                return Err(format!("{path}: nobody created it"));
            }
            let counter = &tree[&format!("{name}/counter")];
            let value = String::from_utf8_lossy(counter.data.as_deref().unwrap_or_default()).into_owned();
            let range = story.counter_acknowledged..=story.counter_sent;
            if !value.parse().is_ok_and(|value: u64| range.contains(&value)) {
                return Err(format!("{name}: the counter is {value}, not within {range:?}"));
            }
        }
        linearizable(self.stories.values().flat_map(|story| story.created.values().chain(&story.sets)))
    }
}

/// No two writes have one zxid, and one that was begun behind another's acknowledgement has the larger.
fn linearizable<'a>(writes: impl Iterator<Item = &'a Acknowledged>) -> Result<(), String> {
    // At its place in time: a write begins, or is acknowledged.
    let mut moments: BTreeMap<u64, Vec<(bool, &Acknowledged)>> = BTreeMap::new();
    let mut zxids = BTreeSet::new();
    for write in writes {
        if !zxids.insert(write.zxid) {
            return Err(format!("two writes were told zxid 0x{:x}", write.zxid));
        }
        moments.entry(write.begun).or_default().push((false, write));
        moments.entry(write.ended).or_default().push((true, write));
    }
    let mut newest = 0;
    for (is_end, write) in moments.into_values().flatten() {
        if is_end {
            newest = newest.max(write.zxid);
        } else if write.zxid < newest {
            return Err(format!("{write:?} began when 0x{newest:x} was acknowledged"));
        }
    }
    Ok(())
}

#[test]
fn the_judge_sees_what_is_lost_resurrected_or_out_of_order() {
    let told = |zxid: i64| Acknowledged { zxid, begun: zxid as u64 * 10, ended: zxid as u64 * 10 + 5 };
    let path = |number: i64| format!("/w/n{number}");
    let history = || {
        let story = Story {
            batches: vec![(1..=4).map(path).collect()],
            created: (1..=2).map(|number| (path(number), told(number))).collect(),
            counter_acknowledged: 2,
            counter_sent: 4,
            ..Story::default()
        };
        History { stories: BTreeMap::from([("/w".to_owned(), story)]), judged: BTreeMap::new() }
    };
    let tree = |numbers: &[i64], counter: &str| {
        let znode = |number: i64| Znode { data: Some(path(number).into_bytes()), stat: [number; 9] };
        let mut tree: BTreeMap<_, _> = numbers.iter().map(|number| (path(*number), znode(*number))).collect();
        let data = Some(counter.as_bytes().to_vec());
        tree.insert("/w/counter".to_owned(), Znode { data, stat: [0; 9] });
        tree
    };
    let fault =
        |numbers: &[i64], counter: &str| history().judge(&tree(numbers, counter)).expect_err("a fault");
    assert_eq!(history().judge(&tree(&[1, 2], "2")), Ok(()));
    assert_eq!(history().judge(&tree(&[1, 2, 3], "4")), Ok(()));
    assert!(fault(&[1], "2").contains("is lost"));
    assert!(fault(&[1, 2, 4], "2").contains("one before it"));
    assert!(fault(&[1, 2, 3, 4, 5], "2").contains("nobody"));
    assert!(fault(&[1, 2], "1").contains("counter"));
    assert!(fault(&[1, 2], "refused").contains("counter"));
    let mut seen = history();
    assert_eq!(seen.judge(&tree(&[1, 2], "2")), Ok(()));
    assert!(seen.judge(&tree(&[1, 2, 3], "2")).is_err_and(|fault| fault.contains("was there")));
    let mut other = tree(&[1, 2], "2");
    other.get_mut("/w/n2").expect("just made").stat[0] = 7;
    assert!(history().judge(&other).is_err_and(|fault| fault.contains("told")));
    assert!(linearizable([told(3), told(3)].iter()).is_err());
    let late = Acknowledged { zxid: 1, begun: 99, ended: 100 };
    assert!(linearizable([told(2), late].iter()).is_err_and(|fault| fault.contains("began when")));
}
