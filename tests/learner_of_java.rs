//! Our learner follows a real Apache ZooKeeper leader: the handshake, SNAP and DIFF, proposals, informs, forwarded requests.
//!
//! Only room `zab` and the tree are ours here; sockets are the test's. Needs `tests/run --prepare` and Java.

#![allow(
    clippy::disallowed_methods,
    reason = "this test talks to a real process in real time, with sockets of its own"
)]

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use ringkeeper::base::{HashKey, Instant, ServerId, SessionId, Zxid};
use ringkeeper::tree::{JavaLoad, Store};
use ringkeeper::wire::peer::{ForwardedRequest, packet};
use ringkeeper::wire::txn::{Txn, TxnDigest, TxnHeader};
use ringkeeper::wire::{Decode, Encode, Opcode, Reader, Vector};
use ringkeeper::zab::{Epochs, Learner, LearnerInput, LearnerOutput, LearnerRole, Link, Settings};
use support::client::PERSISTENT;
use support::{Client, Config, Server};

const KEY: HashKey = HashKey(5, 6);
const ME: ServerId = ServerId(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// Behind the tree in SNAP's stream: a string.
const SNAPSHOT_END: &[u8] = b"\0\0\0\x0aBenWasHere";

/// A leader with no other voter, so that it leads at once. And where its learners come to.
fn leader() -> (Server, u16) {
    let version = std::env::var("ZOOKEEPER_VERSION").unwrap_or_else(|_| "3.9.5".to_owned());
    let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/.clients/zookeeper-{version}"));
    let found = jars.join(format!("zookeeper-{version}.jar")).exists();
    assert!(found, "Apache ZooKeeper isn't in {}: `tests/run --prepare` puts it there", jars.display());
    let jars = format!("{}/*", jars.display());
    let folder = support::server::folder("leader");
    fs::create_dir_all(&folder).expect("ours");
    fs::write(folder.join("myid"), "1").expect("room");
    let (quorum, election) = (support::server::free_port(), support::server::free_port());
    let class = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
    let server = Config::default()
        .data_dir(&folder)
        .set("standaloneEnabled", false)
        .set("initLimit", 20)
        .set("syncLimit", 10)
        .set("snapCount", 100)
        .set("server.1", format!("127.0.0.1:{quorum}:{election}"))
        .command(&["java", "-Xmx256m", "-Dzookeeper.admin.enableServer=false", "-cp", &jars, class])
        .start();
    (server, quorum)
}

/// A driver of one learner, its disk infinitely fast and its tree the real one.
struct Follower {
    learner: Learner,
    stream: TcpStream,
    began: Clock,
    epochs: Epochs,
    log: Vec<(Zxid, Bytes)>,
    applied: Zxid,
    store: Store,
    load: Option<(JavaLoad, Vec<u8>)>,
    snapshots: usize,
    established: bool,
    config: String,
    revalidated: Vec<(SessionId, bool)>,
    synced: usize,
}

/// What outlives a connection.
type Disk = (Epochs, Zxid, Store);

fn empty() -> Disk {
    let (mut store, _) = ringkeeper::tree::tree(KEY, 0);
    store.plant();
    (Epochs::default(), Zxid::ZERO, store)
}

impl Follower {
    fn connect(port: u16, role: LearnerRole, (epochs, applied, store): Disk) -> Follower {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the leader listens");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
        let settings = Settings {
            me: ME,
            tick: Duration::from_secs(2),
            init_limit: 20,
            sync_limit: 10,
            payload_bytes_max: 4 << 20,
            reconfig_enabled: false,
        };
        let learner = Learner::new(settings, role, ServerId(1), 0, epochs, applied, applied, Instant(0));
        let mut follower = Follower {
            learner,
            stream,
            began: Clock::now(),
            epochs,
            log: vec![],
            applied,
            store,
            load: None,
            snapshots: 0,
            established: false,
            config: String::new(),
            revalidated: vec![],
            synced: 0,
        };
        follower.step(LearnerInput::Connected { link: Link(1) });
        follower.until("the leader has a quorum", |follower| follower.established);
        follower
    }

    fn step(&mut self, input: LearnerInput<'_>) {
        let now = Instant(u64::try_from(self.began.elapsed().as_nanos()).expect("a short test"));
        let mut outputs = vec![];
        self.learner.step(now, input, &mut outputs);
        self.learner.step(now, LearnerInput::TurnEnd, &mut outputs);
        for output in outputs {
            match output {
                LearnerOutput::Send { bytes, .. } => self.stream.write_all(&bytes).expect("the leader reads"),
                LearnerOutput::PersistEpochs(epochs) => {
                    self.epochs = epochs;
                    self.step(LearnerInput::EpochsDurable);
                }
                LearnerOutput::Append { zxid, payload } => {
                    self.log.push((zxid, payload));
                    self.step(LearnerInput::Durable { zxid });
                }
                LearnerOutput::ReceiveSnapshot { zxid } => {
                    self.snapshots += 1;
                    (self.store, _) = ringkeeper::tree::tree(KEY, 0);
                    self.load = Some((JavaLoad::new(zxid, KEY), vec![]));
                    self.applied = zxid;
                }
                LearnerOutput::SnapshotBytes { bytes } => self.on_snapshot(&bytes),
                LearnerOutput::Established { committed, .. } => {
                    self.established = true;
                    self.apply(committed);
                }
                LearnerOutput::Committed { zxid } => self.apply(zxid),
                LearnerOutput::Config { text } => {
                    self.config = String::from_utf8(text.to_vec()).expect("text")
                }
                LearnerOutput::Activated { .. } => unreachable!("nobody reconfigures"),
                LearnerOutput::Synced => self.synced += 1,
                LearnerOutput::Revalidated { session, valid } => self.revalidated.push((session, valid)),
                LearnerOutput::Truncate { .. } | LearnerOutput::AskForSnapshot => {
                    panic!("nothing here is the leader's to drop")
                }
                LearnerOutput::StepDown { reason } => panic!("{reason}"),
            }
        }
    }

    fn on_snapshot(&mut self, bytes: &[u8]) {
        let (mut load, mut rest) = self.load.take().expect("a snapshot is on its way");
        rest.extend_from_slice(bytes);
        if !load.is_complete() {
            let taken = load.feed(&mut self.store, &rest).expect("a snapshot");
            rest.drain(..taken);
        }
        if !load.is_complete() || rest.len() < SNAPSHOT_END.len() {
            self.load = Some((load, rest));
            return;
        }
        assert!(rest.starts_with(SNAPSHOT_END), "{rest:x?}");
        load.finish(&mut self.store).expect("a whole one");
        let zxid = self.applied;
        self.step(LearnerInput::SnapshotInstalled { zxid, rest: &rest[SNAPSHOT_END.len()..] });
    }

    /// The digest that the leader sent along is that of our tree.
    fn apply(&mut self, to: Zxid) {
        for (zxid, payload) in std::mem::take(&mut self.log) {
            if zxid > to {
                self.log.push((zxid, payload));
                continue;
            }
            let mut reader = Reader::new(&payload);
            let header = TxnHeader::decode(&mut reader).expect("a header");
            let txn = Txn::decode(header.kind, &mut reader).expect("a transaction");
            assert_eq!(header.zxid, zxid);
            self.store.apply(&header, &txn);
            self.store.publish(zxid);
            self.applied = zxid;
            if !reader.rest().is_empty() {
                let digest = TxnDigest::decode(&mut reader).expect("a digest");
                assert_eq!(digest.tree_digest as u64, self.store.digest(), "the digest after {zxid}");
            }
        }
    }

    fn read(&mut self) {
        let mut chunk = [0; 1 << 14];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.step(LearnerInput::Disconnected),
            Ok(count) => self.step(LearnerInput::Received { bytes: &chunk[..count] }),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&Follower) -> bool) {
        let began = Clock::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "in vain: {what}; {:?}", self.learner);
            self.read();
        }
    }

    fn has(&self, path: &str) -> bool {
        self.store.find(path.as_bytes()).is_some()
    }

    fn forward(&mut self, session: i64, cxid: i32, opcode: Opcode, body: &[u8]) {
        let request = ForwardedRequest { session: SessionId(session), cxid, opcode: opcode.code(), body };
        let mut shown = 1u32.to_be_bytes().to_vec();
        b"ip".as_slice().encode(&mut shown);
        b"127.0.0.1".as_slice().encode(&mut shown);
        let mut bytes = vec![];
        packet::encode_request(&request, Some(Vector::parse(&shown).expect("one identity")), &mut bytes);
        self.step(LearnerInput::Forward { bytes: bytes.into() });
    }

    fn disk(self) -> Disk {
        (self.epochs, self.applied, self.store)
    }
}

#[test]
fn a_follower_and_an_observer_keep_up_with_a_java_leader() {
    let (server, port) = leader();
    let mut client = Client::connect(&server);
    client.create("/before", b"some data", PERSISTENT);
    let mut follower = Follower::connect(port, LearnerRole::Follower, empty());
    assert!(follower.config.contains("server.1=127.0.0.1:"), "{}", follower.config);
    follower.until("what was before", |follower| follower.has("/before"));
    for number in 0..50 {
        client.create(&format!("/before/n{number}"), &[7; 100], PERSISTENT);
    }
    follower.until("live transactions", |follower| follower.has("/before/n49"));
    assert!(follower.epochs.current == follower.epochs.accepted && follower.epochs.current.0 > 0);

    // A session of ours, opened, used and closed at the leader.
    let session = 0x0200_0000_0000_0001;
    follower.forward(session, 0, Opcode::CreateSession, &30_000i32.to_be_bytes());
    let mut body = vec![];
    b"/before/ours".as_slice().encode(&mut body);
    body.extend(0u32.to_be_bytes());
    body.extend(1u32.to_be_bytes());
    body.extend(31u32.to_be_bytes());
    b"world".as_slice().encode(&mut body);
    b"anyone".as_slice().encode(&mut body);
    body.extend(1u32.to_be_bytes());
    follower.forward(session, 1, Opcode::Create, &body);
    follower.until("a forwarded create", |follower| follower.has("/before/ours"));
    // Its server answers reads before it has applied what it told its followers to.
    client.sync("/before/ours");
    assert_eq!(client.stat("/before/ours").ephemeral_owner, SessionId(session));
    follower.step(LearnerInput::Touch { session: SessionId(session), timeout_ms: 30_000 });
    follower.step(LearnerInput::Revalidate { session: SessionId(session), timeout_ms: 30_000 });
    follower.step(LearnerInput::Revalidate { session: SessionId(77), timeout_ms: 30_000 });
    follower.until("two answers", |follower| follower.revalidated.len() == 2);
    assert_eq!(follower.revalidated, [(SessionId(session), true), (SessionId(77), false)]);
    follower.forward(session, 2, Opcode::Sync, b"\0\0\0\x01/");
    follower.until("a sync", |follower| follower.synced == 1);
    follower.forward(session, 3, Opcode::CloseSession, b"");
    follower.until("the session's end", |follower| !follower.has("/before/ours"));

    // Away for a moment: the history comes by DIFF.
    let disk = follower.disk();
    client.create("/while-away", b"", PERSISTENT);
    let mut follower = Follower::connect(port, LearnerRole::Follower, disk);
    follower.until("what was missed", |follower| follower.has("/while-away"));
    assert_eq!(follower.snapshots, 0, "a DIFF is enough");

    // For long: by SNAP. And an observer, who is told what is committed.
    let disk = follower.disk();
    for number in 0..1000 {
        client.create(&format!("/while-away/n{number}"), &[1; 50], PERSISTENT);
    }
    let (epochs, _, _) = disk;
    let mut observer = Follower::connect(port, LearnerRole::Observer, (epochs, Zxid::ZERO, empty().2));
    observer.until("all of it", |observer| observer.has("/while-away/n999"));
    assert_eq!(observer.snapshots, 1);
    client.create("/live", b"", PERSISTENT);
    observer.until("an INFORM", |observer| observer.has("/live"));
}
