//! A load with a recorded history, and the judge of it: nothing acknowledged is lost, nothing comes back, one order for all,
//! and reads see what they have to (`reads.rs`).
//!
//! Each writer has one session, which it takes along when its server goes: creates of znodes with names of their own and sets
//! of a counter, some sent together, between them writes that have to be refused; then it reads its counter and another
//! one's, every second time behind a sync. What it is not answered is *unknown*: it may have happened or not, but what the
//! ensemble once said of it stays true.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringkeeper::wire::client::{CreateRequest, GetDataRequest, SetDataRequest, SyncRequest};
use ringkeeper::wire::{AclList, ErrorCode, Opcode};

use crate::gate::Gate;
use crate::reads::{Read, Writes, is_kept};
use crate::support::client::{EPHEMERAL, PERSISTENT, Reply};
use crate::support::ensemble::Znode;
use crate::support::wait::BOUND;
use crate::support::{Client, Connect, Ensemble, Message, Refusal, Server, until};

/// Creates that are sent together, with one set behind them.
const TOGETHER: u64 = 7;
/// A writer gives up a silent connection after this, and goes elsewhere.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Longer than any fault here lasts: a session that is lost is a failure.
const SESSION_TIMEOUT_MS: i32 = 10_000;

/// A write that was acknowledged. `begun` and `ended`: places in the order of all that was sent and received.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub zxid: i64,
    pub begun: u64,
    pub ended: u64,
}

/// What one writer has sent, and what it was told.
#[derive(Debug, Default)]
struct Story {
    /// The paths of each batch, in the order of sending.
    batches: Vec<Vec<String>>,
    created: BTreeMap<String, Acknowledged>,
    /// With what they wrote.
    sets: Vec<(Acknowledged, u64)>,
    /// In their order.
    reads: Vec<Read>,
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
    /// What is read behind a sync is never stale. Apache's leader answers a sync from a tree that may lag behind those of its
    /// followers, which have told their clients of a write already.
    pub syncs_are_sure: bool,
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
            syncs_are_sure: !ensemble.servers.iter().any(Server::is_apache),
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

/// What was asked behind a batch's writes, to be answered in this order.
struct Asked {
    own: i32,
    sync: Option<i32>,
    other: (i32, String),
}

struct Writer {
    name: String,
    /// All writers' of this load.
    names: Arc<Vec<String>>,
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
        let names: Vec<String> = (0..writers).map(|number| format!("/r{round}w{number}")).collect();
        let names = Arc::new(names);
        let start = |number: usize| {
            let at = first[number % first.len()];
            // A disk that hesitates is no fault yet.
            let mut client = connect.open_within(servers[at], BOUND).expect("nobody disturbs it yet");
            let name = names[number].clone();
            client.create(&name, b"", PERSISTENT);
            client.create(&format!("{name}/counter"), b"0", PERSISTENT);
            client.create(&format!("{name}/ephemeral"), b"", EPHEMERAL);
            client.be_patient(patience);
            let (servers, shared, names) = (servers.clone(), Arc::clone(&shared), Arc::clone(&names));
            let writer = Writer { name, names, servers, at, client, story: Story::default(), shared };
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
        let asked = self.ask(&counter, &mut bytes);

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
        self.story.sets.push((Acknowledged { zxid, begun, ended }, *number));
        self.story.counter_acknowledged = *number;
        let Some((_, code)) = self.answer(never) else { return false };
        assert_eq!(code, ErrorCode::BadVersion);
        if self.read(&counter, asked, begun).is_none() {
            return false;
        }
        self.shared.manner.acknowledged.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// The reads of a batch, behind its writes.
    fn ask(&mut self, counter: &str, bytes: &mut Vec<u8>) -> Asked {
        let get = GetDataRequest { path: counter.into(), watch: false };
        let (own, request) = self.client.request(Opcode::GetData, &get);
        bytes.extend(request);
        let batch = self.story.batches.len();
        let sync = batch.is_multiple_of(2).then(|| {
            let (xid, request) = self.client.request(Opcode::Sync, &SyncRequest { path: Some("/".into()) });
            bytes.extend(request);
            xid
        });
        let path = format!("{}/counter", self.names[batch % self.names.len()]);
        let get = GetDataRequest { path: path.as_str().into(), watch: false };
        let (xid, request) = self.client.request(Opcode::GetData, &get);
        bytes.extend(request);
        Asked { own, sync, other: (xid, path) }
    }

    /// What came of them.
    fn read(&mut self, counter: &str, asked: Asked, begun: u64) -> Option<()> {
        let own = self.story.sets.last().map_or(0, |(set, _)| set.zxid);
        let reply = self.reply(asked.own)?;
        self.story.reads.push(Read::of(counter.to_owned(), &reply, None, own));
        let mut synced = None;
        if let Some(xid) = asked.sync {
            assert_eq!(self.reply(xid)?.code(), ErrorCode::Ok, "sync");
            synced = self.shared.manner.syncs_are_sure.then_some(begun);
        }
        let (xid, path) = asked.other;
        let reply = self.reply(xid)?;
        self.story.reads.push(Read::of(path, &reply, synced, own));
        Some(())
    }

    fn reply(&mut self, xid: i32) -> Option<Reply> {
        let asked = Instant::now();
        let Some(message) = self.client.next_within() else {
            let Manner { silence_is_loss, patience, .. } = self.shared.manner;
            let is_loss = silence_is_loss && asked.elapsed() >= patience;
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
        Some(reply)
    }

    fn answer(&mut self, xid: i32) -> Option<(i64, ErrorCode)> {
        let before = self.client.zxid;
        let reply = self.reply(xid)?;
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
    /// Reads behind a sync that a replaced leader has answered.
    excused: u64,
}

impl History {
    /// Stops the load and holds all that is known against what every running server has.
    pub fn check(&mut self, ensemble: &mut Ensemble, load: Load) {
        self.end(ensemble, load);
        self.check_again(ensemble);
        let reads = self.stories.values().flat_map(|story| &story.reads);
        println!(
            "{} writes acknowledged, {} counters read ({} behind a sync, {} of these from a leader that was replaced), {} \
             connections lost, all sound",
            self.acknowledged(),
            reads.clone().count(),
            reads.filter(|read| read.synced.is_some()).count(),
            self.excused,
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
        let sets = |story: &Story| story.sets.iter().map(|(set, _)| set.clone()).collect::<Vec<_>>();
        let sets: Vec<Acknowledged> = self.stories.values().flat_map(sets).collect();
        let created = || self.stories.values().flat_map(|story| story.created.values());
        linearizable(created().chain(&sets))?;
        let counters = self.stories.iter().map(|(name, story)| (format!("{name}/counter"), &story.sets[..]));
        let writes = Writes::new(created().chain(&sets), counters);
        self.excused = 0;
        for story in self.stories.values() {
            self.excused += writes.judge(&story.reads)?;
            is_kept(&story.reads, tree)?;
        }
        Ok(())
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

#[cfg(test)]
#[path = "history_test.rs"]
mod tests;
