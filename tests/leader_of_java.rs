//! A real Apache ZooKeeper elects our server and follows it: election, DIFF, proposals and commits, forwarded requests.
//!
//! Only room `zab` and the tree are ours here; sockets are the test's. Needs `tests/run --prepare` and Java.

#![allow(
    clippy::disallowed_methods,
    reason = "this test talks to a real process in real time, with sockets and threads of its own"
)]

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use ringkeeper::base::{Epoch, HashKey, Instant, ServerId, SessionId, WallMillis, Zxid};
use ringkeeper::tree::Store;
use ringkeeper::wire::peer::hello::HelloVersion;
use ringkeeper::wire::peer::{Address, Hello, Notification, notification};
use ringkeeper::wire::txn::{CreateSessionTxn, CreateTxn, Entry, Txn, TxnDigest};
use ringkeeper::wire::{Encode, Opcode};
use ringkeeper::zab::election::{Election, Input, Output, Settings as ElectionSettings, Start};
use ringkeeper::zab::{
    Config as Ensemble, Epochs, History, HistoryLimits, Joint, Leader, LeaderInput, LeaderOutput, Link,
    Settings, Standing,
};
use support::{Client, Config, Server};

const KEY: HashKey = HashKey(5, 6);
const ME: ServerId = ServerId(2);
const JAVA: ServerId = ServerId(1);
const PATIENCE: Duration = Duration::from_secs(30);

fn java(folder: &Path, ensemble: &Ensemble) -> Config {
    let version = std::env::var("ZOOKEEPER_VERSION").unwrap_or_else(|_| "3.9.5".to_owned());
    let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/.clients/zookeeper-{version}"));
    let found = jars.join(format!("zookeeper-{version}.jar")).exists();
    assert!(found, "Apache ZooKeeper isn't in {}: `tests/run --prepare` puts it there", jars.display());
    fs::create_dir_all(folder).expect("ours");
    fs::write(folder.join("myid"), "1").expect("room");
    let jars = format!("{}/*", jars.display());
    let class = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
    let config = Config::default().data_dir(folder).set("initLimit", 20).set("syncLimit", 10);
    let member = |config: Config, id: ServerId| {
        config.set(&format!("server.{}", id.0), ensemble.member(id).expect("a member"))
    };
    member(member(config, JAVA), ME).command(&[
        "java",
        "-Xmx256m",
        "-Dzookeeper.admin.enableServer=false",
        "-cp",
        &jars,
        class,
    ])
}

/// The leader with its election, its disk infinitely fast, its tree the real one.
struct Driver {
    began: Clock,
    election: Election,
    votes: TcpStream,
    heard: Vec<u8>,
    ensemble: Arc<Ensemble>,
    port: TcpListener,
    leader: Option<Leader>,
    history: History,
    learners: Vec<(Link, TcpStream)>,
    links: u64,
    proposed: Zxid,
    store: Store,
    is_established: bool,
}

impl Driver {
    fn now(&self) -> Instant {
        Instant(u64::try_from(self.began.elapsed().as_nanos()).expect("a short test"))
    }

    fn elect(&mut self, input: Input<'_>) {
        let mut outputs = vec![];
        self.election.step(self.now(), input, &mut outputs);
        for output in outputs {
            match output {
                Output::Send { notification, .. } => {
                    let mut bytes = vec![];
                    notification.encode(&mut bytes);
                    self.votes.write_all(&bytes).expect("the peer listens");
                }
                Output::Decided(decision) => {
                    assert_eq!(decision.leader, ME, "the larger id leads where nobody has a history");
                    self.lead();
                }
                Output::ConfigSeen { .. } | Output::PeerLooking { .. } | Output::Ignored { .. } => {}
            }
        }
    }

    fn lead(&mut self) {
        let settings = Settings {
            me: ME,
            tick: Duration::from_secs(2),
            init_limit: 20,
            sync_limit: 10,
            payload_bytes_max: 4 << 20,
            reconfig_enabled: false,
        };
        let configs = Joint::new(Arc::clone(&self.ensemble), None);
        let mut outputs = vec![];
        let leader = Leader::new(settings, configs, Epochs::default(), Zxid::ZERO, self.now(), &mut outputs);
        self.leader = Some(leader);
        self.carry_out(outputs);
    }

    fn step(&mut self, input: LeaderInput<'_>) {
        let now = self.now();
        let Some(leader) = &mut self.leader else { return };
        let mut outputs = vec![];
        leader.step(now, input, &self.history, &mut outputs);
        leader.step(now, LeaderInput::TurnEnd, &self.history, &mut outputs);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<LeaderOutput>) {
        for output in outputs {
            match output {
                LeaderOutput::Send { link, bytes } => {
                    let stream = self.learners.iter_mut().find(|(other, _)| *other == link);
                    stream.expect("a learner").1.write_all(&bytes).expect("it reads");
                }
                LeaderOutput::Close { link } => self.learners.retain(|(other, _)| *other != link),
                LeaderOutput::PersistEpochs(epochs) => {
                    self.step(LeaderInput::EpochsDurable);
                    let mut outputs = vec![];
                    self.election.set_peer_epoch(epochs.current, &mut outputs);
                }
                LeaderOutput::Activated { .. } => unreachable!("nobody reconfigures"),
                LeaderOutput::Established { epoch, .. } => {
                    self.proposed = Zxid(epoch.0 << 32);
                    self.is_established = true;
                }
                LeaderOutput::Request { request, link, .. } => match Opcode::from_i32(request.opcode) {
                    Some(Opcode::CreateSession) => {
                        let timeout = request.body.first_chunk::<4>().expect("a timeout");
                        let timeout_ms = i32::from_be_bytes(*timeout);
                        let txn = Txn::CreateSession(CreateSessionTxn { timeout_ms });
                        self.propose(request.session, request.cxid, &txn, 0);
                    }
                    Some(Opcode::CloseSession) => {
                        self.propose(request.session, request.cxid, &Txn::CloseSession(None), 0);
                    }
                    other => panic!("{link:?} asks for {other:?}"),
                },
                LeaderOutput::Sync { link, .. } => {
                    self.step(LeaderInput::Sync { link, behind: self.proposed })
                }
                LeaderOutput::Revalidate { link, session, .. } => {
                    self.step(LeaderInput::Revalidated { link, session, valid: true });
                }
                LeaderOutput::Committed { .. } | LeaderOutput::Touched { .. } => {}
                LeaderOutput::SendSnapshot { .. } => panic!("both begin with nothing"),
                LeaderOutput::StepDown { reason } => panic!("{reason}"),
            }
        }
    }

    /// `error`: in the digest that goes with it.
    fn propose(&mut self, session: SessionId, cxid: i32, txn: &Txn<'_>, error: i64) {
        let zxid = self.proposed.next();
        let time = WallMillis(1_700_000_000_000);
        let bare = Entry::new(session, cxid, zxid, time, *txn, None);
        self.store.apply(&bare.header, txn);
        self.store.publish(zxid);
        let tree_digest = self.store.digest() as i64 + error;
        let digest = TxnDigest { version: TxnDigest::VERSION, tree_digest };
        let mut payload = vec![];
        Entry::new(session, cxid, zxid, time, *txn, Some(digest)).encode(&mut payload);
        self.proposed = zxid;
        self.history.push(zxid, Bytes::from(payload));
        self.step(LeaderInput::Proposed { zxid });
        self.step(LeaderInput::Durable { zxid });
    }

    /// Until the sender of commands is gone: each is a path to be created, and by how much the digest is wrong.
    fn run(mut self, commands: &Receiver<(String, i64)>) {
        loop {
            while let Some(taken) = read(&mut self.votes, &mut self.heard)
                && taken
            {}
            while let Ok(Some((body, length))) = notification::split(&self.heard) {
                let body = body.to_vec();
                self.heard.drain(..length);
                let notification = Notification::decode(&body).expect("a notification");
                self.elect(Input::Message { from: JAVA, notification });
            }
            if self.election.next_wakeup().is_some_and(|at| self.now() >= at) {
                self.elect(Input::Wakeup);
            }
            if let Ok((stream, _)) = self.port.accept() {
                stream.set_nonblocking(false).expect("a socket");
                stream.set_read_timeout(Some(Duration::from_millis(5))).expect("a socket");
                self.links += 1;
                let link = Link(self.links);
                self.learners.push((link, stream));
                self.step(LeaderInput::Connected { link });
            }
            for at in 0..self.learners.len() {
                let Some((link, stream)) = self.learners.get_mut(at) else { break };
                let (link, mut bytes) = (*link, vec![]);
                if read(stream, &mut bytes).is_none() {
                    self.learners.remove(at);
                    self.step(LeaderInput::Disconnected { link });
                    break;
                }
                if !bytes.is_empty() {
                    self.step(LeaderInput::Received { link, bytes: &bytes });
                }
            }
            if self.leader.as_ref().is_some_and(|leader| self.now() >= leader.next_wakeup()) {
                self.step(LeaderInput::Wakeup);
            }
            if self.is_established {
                match commands.try_recv() {
                    Ok((path, error)) => {
                        let txn = Txn::Create(CreateTxn {
                            path: path.as_str().into(),
                            data: Some(b"ours"),
                            acl: None,
                            ephemeral: false,
                            parent_cversion: -1,
                        });
                        self.propose(SessionId(0), 0, &txn, error);
                    }
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                    Err(std::sync::mpsc::TryRecvError::Empty) => {}
                }
            }
        }
    }
}

/// What is there is put behind `bytes`. `None`: the end. False: nothing came.
fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<bool> {
    let mut chunk = [0; 1 << 14];
    match stream.read(&mut chunk) {
        Ok(0) => None,
        Ok(count) => {
            bytes.extend_from_slice(&chunk[..count]);
            Some(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(false),
        Err(_) => None,
    }
}

fn dial(port: u16) -> TcpStream {
    let began = Clock::now();
    loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            return stream;
        }
        assert!(began.elapsed() < PATIENCE, "nobody listens on {port}");
        std::thread::yield_now();
    }
}

#[test]
fn a_java_server_elects_and_follows_ours() {
    let ports: Vec<u16> = (0..4).map(|_| support::server::free_port()).collect();
    let text = format!(
        "server.1=127.0.0.1:{}:{}:participant\nserver.2=127.0.0.1:{}:{}:participant\nversion=0",
        ports[0], ports[1], ports[2], ports[3]
    );
    let ensemble = Arc::new(Ensemble::parse(&text).expect("two members"));
    let folder = support::server::folder("follower");
    let config = java(&folder, &ensemble);
    let (command, commands) = channel();
    let leader = {
        let ensemble = Arc::clone(&ensemble);
        std::thread::spawn(move || {
            let port = TcpListener::bind(("127.0.0.1", ports[2])).expect("free");
            port.set_nonblocking(true).expect("a socket");
            let mut votes = dial(ports[1]);
            votes.set_read_timeout(Some(Duration::from_millis(5))).expect("a socket");
            let mut hello = vec![];
            let addresses = vec![Address::new("127.0.0.1", ports[3])];
            Hello { version: HelloVersion::V1, server: ME, addresses }.encode(&mut hello);
            votes.write_all(&hello).expect("it listens");
            let settings = ElectionSettings { me: ME, participant: true, reconfig_enabled: false };
            let (mut store, _) = ringkeeper::tree::tree(KEY, 0);
            store.plant();
            let mut driver = Driver {
                began: Clock::now(),
                election: Election::new(settings, Joint::new(Arc::clone(&ensemble), None)),
                votes,
                heard: vec![],
                ensemble,
                port,
                leader: None,
                history: History::new(HistoryLimits { count: 500, bytes: 1 << 20 }, Zxid::ZERO),
                learners: vec![],
                links: 0,
                proposed: Zxid::ZERO,
                store,
                is_established: false,
            };
            let standing = Standing::Sound { current_epoch: Epoch(0) };
            driver.elect(Input::Start(Start { last_logged: Zxid::ZERO, standing }));
            driver.elect(Input::Connected { peer: JAVA });
            driver.run(&commands);
        })
    };
    let server: Server = config.start();
    let mut client = Client::connect(&server);
    for path in ["/ours", "/ours/a", "/ours/b"] {
        command.send((path.to_owned(), 0)).expect("the leader runs");
    }
    let began = Clock::now();
    while client.children("/ours", false).map_or(0, |children| children.len()) < 2 {
        assert!(began.elapsed() < PATIENCE, "in vain");
    }
    assert_eq!(client.data("/ours/b"), b"ours");
    assert!(server.word("srvr").contains("Mode: follower"));
    assert!(!server.output().contains("Digests are not matching"), "{}", server.output());
    assert_eq!(server.digest_mismatches(), 0);
    // It does look at them.
    command.send(("/ours/c".to_owned(), 1)).expect("the leader runs");
    while client.children("/ours", false).map_or(0, |children| children.len()) < 3 {
        assert!(began.elapsed() < PATIENCE, "in vain");
    }
    support::until("the wrong digest to be noticed", || (server.digest_mismatches() == 1).then_some(()));
    drop(client);
    drop(command);
    leader.join().expect("the leader is well");
}
