//! What strangers send to the ports between servers: it is closed and noted, and nobody is disturbed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::base::{Epoch, Prng, ServerId, Zxid};
use ringkeeper::wire::peer::hello::HelloVersion;
use ringkeeper::wire::peer::{
    AckEpoch, Address, Encode, Hello, Kind, LearnerInfo, OwnedNotification, PeerState, packet,
};

use crate::support::client::PERSISTENT;
use crate::support::ensemble::TICK;
use crate::support::{Client, Ensemble, Server, until};

/// Longer than a silent caller is suffered: ten seconds at the leader's quorum port (`initLimit`).
const PATIENCE: Duration = Duration::from_secs(30);
const CROWD: usize = 1_000;
/// Lines that a server may say of what has nothing to do with the strangers.
const OTHER_LINES: usize = 5;

fn dial(port: u16) -> TcpStream {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap_or_else(|error| panic!("{error}"));
    stream
}

fn lines_of(server: &Server) -> usize {
    server.output().lines().count()
}

/// Reads until the server closes the connection. Panics if it doesn't.
fn await_close(mut stream: TcpStream, what: &str) {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{what}: it is not closed: {error}"),
        }
    }
}

/// A connection on which these bytes are said; the server may close it while they are.
fn say(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = dial(port);
    let _refused = stream.write_all(bytes);
    stream
}

fn hello(id: i64) -> Vec<u8> {
    let mut bytes = vec![];
    let addresses = vec![Address::new("127.0.0.1", 1)];
    Hello { version: HelloVersion::V1, server: ServerId(id), addresses }.encode(&mut bytes);
    bytes
}

/// A vote for the sender, newer than anything, of a server that looks.
fn vote(id: i64) -> Vec<u8> {
    let notification = OwnedNotification {
        state: PeerState::Looking,
        leader: ServerId(id),
        zxid: Zxid(i64::MAX),
        round: i64::MAX,
        peer_epoch: Epoch(i64::from(i32::MAX)),
        config: "server.1=nonsense".into(),
    };
    let mut bytes = vec![];
    notification.encode(&mut bytes);
    bytes
}

fn info(kind: Kind, id: i64, epoch: i64) -> Vec<u8> {
    let mut bytes = vec![];
    packet::encode_record(kind, Zxid(epoch << 32), &LearnerInfo::new(ServerId(id), 0), &mut bytes);
    bytes
}

/// Said to an election port, and closed for it.
fn bad_calls(own_id: i64) -> Vec<(&'static str, Vec<u8>)> {
    let behind = |bytes: &[u8]| [hello(99).as_slice(), bytes].concat();
    let mut random = Prng::new(20_264);
    vec![
        ("the server's own id", hello(own_id)),
        ("an id that can't be", hello(-5)),
        ("an unknown version", (-7i64).to_be_bytes().to_vec()),
        (
            "no end of addresses",
            [&(-65_536i64).to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 9, 127, 255, 255, 255]].concat(),
        ),
        ("addresses of no bytes", [&(-65_536i64).to_be_bytes()[..], &[0; 12]].concat()),
        ("a notification of 2 GiB", behind(&[127, 255, 255, 255])),
        ("a notification of a negative length", behind(&[255, 255, 255, 0])),
        ("a notification of nothing", behind(&[0; 4])),
        ("a request of the web's", b"GET / HTTP/1.1\r\nHost: zookeeper\r\n\r\n".to_vec()),
        ("noise", (0..10_000).map(|_| random.next() as u8 | 0x80).collect()),
    ]
}

/// Said to the leader's quorum port, and closed for it.
fn bad_learners(own_id: i64) -> Vec<(&'static str, Vec<u8>)> {
    let mut random = Prng::new(20_265);
    let mut early = vec![];
    packet::encode_ack(Zxid(5), &mut early);
    let mut promise = info(Kind::FollowerInfo, 98, 0);
    packet::encode_record(Kind::AckEpoch, Zxid(1), &AckEpoch { current_epoch: Some(Epoch(0)) }, &mut promise);
    packet::encode_ack(Zxid(i64::MAX), &mut promise);
    packet::encode_with(Kind::Request, Zxid(-1), &[255; 30], &mut promise);
    let mut huge = 11i32.to_be_bytes().to_vec();
    huge.extend([0; 8]);
    huge.extend(i32::MAX.to_be_bytes());
    let mut negative = 11i32.to_be_bytes().to_vec();
    negative.extend([0; 8]);
    negative.extend((-9i32).to_be_bytes());
    vec![
        ("the leader's own id", info(Kind::FollowerInfo, own_id, 0)),
        ("no learner's first packet", early),
        ("a payload of 2 GiB", huge),
        ("a payload of a negative length", negative),
        ("an unknown kind", [&77i32.to_be_bytes()[..], &[0; 16]].concat()),
        ("an empty first packet", [&11i32.to_be_bytes()[..], &[0; 8], &[255; 8]].concat()),
        ("a request that is none, of a server in no configuration", promise),
        ("a request of the web's", b"GET / HTTP/1.1\r\nHost: zookeeper\r\n\r\n".to_vec()),
        ("noise", (0..10_000).map(|_| random.next() as u8).collect()),
    ]
}

/// What has to be as before: who leads, in which epoch, and that clients are served meanwhile.
struct Calm {
    leader: usize,
    epoch: i64,
    clients: Vec<Client>,
    lines: Vec<usize>,
    writes: i32,
}

impl Calm {
    fn before(ensemble: &mut Ensemble) -> Calm {
        let leader = ensemble.settle();
        let mut clients: Vec<Client> = ensemble.servers.iter().map(Client::connect).collect();
        clients[0].create("/calm", b"", PERSISTENT);
        let lines = ensemble.servers.iter().map(lines_of).collect();
        Calm { leader, epoch: clients[0].zxid >> 32, clients, lines, writes: 0 }
    }

    /// Through each server: on the connections of the beginning.
    fn write(&mut self) {
        for client in &mut self.clients {
            client.sync("/");
            let stat = client.set_data("/calm", b"x", self.writes).expect("nobody else writes");
            self.writes += 1;
            assert_eq!(stat.version, self.writes);
            assert_eq!(stat.mzxid.0 >> 32, self.epoch, "no other leader was elected");
        }
    }

    /// `strangers`: how many bothered each server.
    fn after(mut self, ensemble: &mut Ensemble, strangers: usize) {
        self.write();
        assert_eq!(ensemble.settle(), self.leader);
        for (server, before) in ensemble.servers.iter().zip(self.lines) {
            let output = server.output();
            let said = lines_of(server) - before;
            assert!(said <= strangers + OTHER_LINES, "{said} lines about {strangers} strangers:\n{output}");
            assert!(!output.contains("panicked"), "{output}");
        }
        ensemble.assert_equal();
    }
}

#[test]
fn garbage_on_the_election_port_is_closed_with_a_line() {
    let mut ensemble = Ensemble::start(3, 1);
    let mut calm = Calm::before(&mut ensemble);
    let mut count = 0;
    for at in 0..4 {
        let id = i64::try_from(at + 1).expect("four");
        let calls = bad_calls(id);
        count = calls.len();
        for (what, bytes) in calls {
            let stream = say(ensemble.election_ports[at], &bytes);
            await_close(stream, &format!("{what} at server {id}"));
            calm.write();
        }
    }
    calm.after(&mut ensemble, count);
}

#[test]
fn votes_of_strangers_do_not_count_and_are_not_all_noted() {
    const VOTES: usize = 2_000;
    let mut ensemble = Ensemble::start(3, 1);
    let mut calm = Calm::before(&mut ensemble);
    for at in 0..4 {
        // Known to nobody; every other vote is none.
        let mut bytes = hello(77);
        for number in 0..VOTES {
            if number % 2 == 0 {
                bytes.extend(vote(77));
            } else {
                bytes.extend([0, 0, 0, 40]);
                bytes.extend([9; 40]);
            }
        }
        // Its end is a fault, so that its closing shows that everything before it was read.
        bytes.extend([255; 4]);
        let stream = dial(ensemble.election_ports[at]);
        let mut writer = stream.try_clone().unwrap_or_else(|error| panic!("{error}"));
        let sender = thread::spawn(move || {
            let _refused = writer.write_all(&bytes);
        });
        await_close(stream, "a stranger's votes");
        sender.join().expect("it only writes");
        calm.write();
    }
    calm.after(&mut ensemble, 20);
}

#[test]
fn garbage_on_the_quorum_port_is_closed_with_a_line() {
    let mut ensemble = Ensemble::start(3, 1);
    let mut calm = Calm::before(&mut ensemble);
    let mut count = 0;
    for at in 0..4 {
        let id = i64::try_from(at + 1).expect("four");
        let learners = bad_learners(id);
        count = learners.len();
        for (what, bytes) in learners {
            let stream = say(ensemble.quorum_ports[at], &bytes);
            await_close(stream, &format!("{what} at server {id}"));
            calm.write();
        }
    }
    calm.after(&mut ensemble, count);
}

/// The epoch of LEADERINFO.
fn told_epoch(stream: &mut TcpStream) -> i64 {
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("LEADERINFO");
    assert_eq!(answer[..4], Kind::LeaderInfo.code().to_be_bytes());
    i64::from_be_bytes(answer[4..].try_into().expect("eight")) >> 32
}

fn lines_about(server: &Server, id: i64) -> Vec<String> {
    let name = format!("peer=server {id} ");
    let output = server.output();
    output.lines().map(|line| format!("{line} ")).filter(|line| line.contains(&name)).collect()
}

/// It has promised an epoch that this ensemble has not come to, and its vote is nobody's.
#[test]
fn a_stranger_s_epoch_does_not_unseat_the_leader() {
    let mut ensemble = Ensemble::start(3, 1);
    let mut calm = Calm::before(&mut ensemble);
    for kind in [Kind::FollowerInfo, Kind::ObserverInfo] {
        let mut stream = say(ensemble.quorum_ports[calm.leader], &info(kind, 88, calm.epoch + 7));
        assert_eq!(told_epoch(&mut stream), calm.epoch);
        calm.write();
        // No server of any ensemble has come to this one.
        let stream = say(ensemble.quorum_ports[calm.leader], &info(kind, 89, 0x7fff_ffff));
        await_close(stream, "an epoch that leaves no room");
        calm.write();
    }
    let lines = lines_about(&ensemble.servers[calm.leader], 89);
    assert!(
        lines.len() == 2 && lines.iter().all(|line| line.contains("promised epoch 2147483647")),
        "{lines:?}"
    );
    calm.after(&mut ensemble, 6);
}

/// Somebody is first at the quorum port of the one that will lead: before the voters, and before there is an epoch.
#[test]
fn a_stranger_s_epoch_is_not_the_next_one() {
    const AHEAD: i64 = 1_000;
    let mut ensemble = Ensemble::start(3, 0);
    let leader = ensemble.settle();
    let late = ensemble.follower(leader);
    let third = (0..3).find(|at| *at != leader && *at != late).expect("three");
    // From now on only one of the two that will meet can lead.
    ensemble.servers[late].kill();
    let mut client = Client::connect(&ensemble.servers[leader]);
    client.create("/newer", b"", PERSISTENT);
    let epoch = client.zxid >> 32;
    ensemble.servers[third].kill();
    ensemble.servers[leader].kill();

    let starts = |server: &Server| server.output().matches("listening for learners").count();
    let before = starts(&ensemble.servers[leader]);
    ensemble.servers[leader].spawn();
    // A connection says nothing of that: the kernel may take one for the process that has just ended.
    until("the quorum port to be open", || (starts(&ensemble.servers[leader]) > before).then_some(()));
    let port = ensemble.quorum_ports[leader];
    let far = [Kind::FollowerInfo, Kind::ObserverInfo].map(|kind| say(port, &info(kind, 88, 0x7fff_ffff)));
    let mut near = say(port, &info(Kind::FollowerInfo, 89, epoch + AHEAD));
    ensemble.servers[late].spawn();
    assert_eq!(ensemble.settle_among(&[leader, late]), leader);
    for stream in far {
        await_close(stream, "an epoch that leaves no room");
    }
    let next = told_epoch(&mut near);
    assert!((epoch + 1..epoch + AHEAD).contains(&next), "epoch {next} after {epoch}");
    let lines = lines_about(&ensemble.servers[leader], 88);
    assert!(
        lines.len() == 2 && lines.iter().all(|line| line.contains("promised epoch 2147483647")),
        "{lines:?}"
    );
    let lines = lines_about(&ensemble.servers[leader], 89);
    assert!(lines.len() == 1 && lines[0].contains("in no configuration"), "{lines:?}");

    // And nobody remembers it.
    ensemble.servers[third].spawn();
    ensemble.settle();
    ensemble.servers.iter_mut().for_each(Server::kill);
    ensemble.launch_all();
    let leader = ensemble.settle();
    let mut client = Client::connect(&ensemble.servers[leader]);
    client.create("/newest", b"", PERSISTENT);
    let last = client.zxid >> 32;
    assert!((next + 1..epoch + AHEAD).contains(&last), "epoch {last} after {next}");
    ensemble.assert_equal();
}

/// Two servers were given the same myid, or somebody says so.
#[test]
fn who_says_the_id_of_a_connected_server_cuts_nobody_off() {
    let mut ensemble = Ensemble::start(3, 1);
    let mut calm = Calm::before(&mut ensemble);
    let leader = calm.leader;
    let searches = |server: &Server| server.output().matches("looking for a leader").count();
    let before: Vec<usize> = ensemble.servers.iter().map(searches).collect();
    let epochs = [0, calm.epoch, calm.epoch + 1, 0x7fff_ffff];
    for id in (1..=4).filter(|id| *id != leader as i64 + 1) {
        let kind = if id == 4 { Kind::ObserverInfo } else { Kind::FollowerInfo };
        let known = lines_about(&ensemble.servers[leader], id).len();
        for epoch in epochs {
            let stream = say(ensemble.quorum_ports[leader], &info(kind, id, epoch));
            await_close(stream, &format!("another server {id} with epoch {epoch}"));
            calm.write();
        }
        let lines = lines_about(&ensemble.servers[leader], id).split_off(known);
        assert_eq!(lines.len(), epochs.len(), "{lines:?}");
        assert!(lines[..3].iter().all(|line| line.contains("same myid")), "{lines:?}");
        assert!(lines[3].contains("promised epoch"), "{lines:?}");
    }
    assert_eq!(ensemble.servers.iter().map(searches).collect::<Vec<_>>(), before, "somebody was cut off");
    calm.after(&mut ensemble, 3 * epochs.len());
}

/// Silent ones, on all ports: they are closed in time, and meanwhile a server restarts and comes back.
#[test]
fn a_thousand_silent_connections_keep_nobody_out() {
    const INIT_LIMIT: u32 = 8;
    let mut ensemble = Ensemble::prepare(3, 0, |_, config| config.set("initLimit", INIT_LIMIT));
    ensemble.launch_all();
    let leader = ensemble.settle();
    let follower = ensemble.follower(leader);
    let third = (0..3).find(|at| *at != leader && *at != follower).expect("three");
    Client::connect(&ensemble.servers[third]).create("/crowd", b"", PERSISTENT);
    let mut version = 0;
    for (ports, at) in [
        (ensemble.election_ports.clone(), leader),
        (ensemble.quorum_ports.clone(), leader),
        (ensemble.election_ports.clone(), follower),
        (ensemble.quorum_ports.clone(), follower),
    ] {
        let lines: Vec<usize> = ensemble.servers.iter().map(lines_of).collect();
        let crowd: Vec<TcpStream> = (0..CROWD).map(|_| dial(ports[at])).collect();
        let mut client = Client::connect(&ensemble.servers[third]);
        version = client.set_data("/crowd", b"x", version).expect("a crowd is no client's matter").version;
        client.close();
        if at == leader {
            ensemble.servers[follower].kill();
            let mut client = Client::connect(&ensemble.servers[third]);
            version = client.set_data("/crowd", b"x", version).expect("two of three are enough").version;
            client.close();
            ensemble.servers[follower].restart();
        }
        // Each of them is let go, at the latest when a learner's time for its first packet is over.
        let begun = Instant::now();
        for stream in crowd {
            await_close(stream, "a silent one");
        }
        assert!(begun.elapsed() < TICK * INIT_LIMIT + PATIENCE / 2, "{:?}", begun.elapsed());
        for (server, before) in ensemble.servers.iter().zip(lines) {
            let said = lines_of(server) - before;
            assert!(said <= CROWD + 40, "{said} lines about {CROWD} connections");
        }
    }
    assert_eq!(ensemble.settle(), leader);
    ensemble.assert_equal();
}

/// They come and go without a word, as a port scanner does, while the ensemble works.
#[test]
fn connections_that_come_and_go_disturb_nobody() {
    let mut ensemble = Ensemble::start(3, 1);
    let mut calm = Calm::before(&mut ensemble);
    let stops = AtomicBool::new(false);
    let ports: Vec<u16> = ensemble.election_ports.iter().chain(&ensemble.quorum_ports).copied().collect();
    thread::scope(|scope| {
        let scanner = scope.spawn(|| {
            let mut count = 0;
            while !stops.load(Ordering::SeqCst) || count < CROWD {
                drop(dial(ports[count % ports.len()]));
                count += 1;
            }
        });
        until("the scanner to have come a thousand times", || {
            calm.write();
            stops.store(true, Ordering::SeqCst);
            scanner.is_finished().then_some(())
        });
    });
    calm.after(&mut ensemble, 10);
}
