//! Reconfiguration: servers join, leave and change roles while clients write; what is committed survives restarts.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ringkeeper::wire::client::{AuthPacket, EventType, GetDataResponse, ReconfigRequest};
use ringkeeper::wire::{ErrorCode, Opcode};

use crate::support::client::PERSISTENT;
use crate::support::ensemble::{SYNC_LIMIT, TICK};
use crate::support::server::free_port;
use crate::support::{Client, Config, Server, until};

/// Of `super:secret`.
const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
const CONFIG: &str = "/zookeeper/config";

/// Servers 1 to n by index, each with a configuration file that may be another one's.
struct Cluster {
    servers: Vec<Server>,
    ports: Vec<(u16, u16)>,
}

impl Cluster {
    /// Files of `count` servers, none started.
    fn prepare(count: usize) -> Cluster {
        let server = |id: usize| {
            let config = Config::default()
                .set("tickTime", TICK.as_millis())
                .set("initLimit", 20)
                .set("syncLimit", SYNC_LIMIT)
                .set("reconfigEnabled", true)
                .set("DigestAuthenticationProvider.superDigest", SUPER_DIGEST);
            let server = config.prepare();
            fs::write(server.data_dir().join("myid"), format!("{id}\n")).expect("a directory");
            server
        };
        let ports = (0..count).map(|_| (free_port(), free_port())).collect();
        Cluster { servers: (1..=count).map(server).collect(), ports }
    }

    /// The first `voters` of `count` servers, started.
    fn start(voters: usize, count: usize) -> Cluster {
        let mut cluster = Cluster::prepare(count);
        let members: Vec<String> = (1..=voters).map(|id| cluster.line(id, "participant")).collect();
        for id in 1..=voters {
            cluster.name_members(id, &members);
            cluster.servers[id - 1].spawn();
        }
        cluster.leader();
        cluster
    }

    fn line(&self, id: usize, role: &str) -> String {
        let (quorum, election) = self.ports[id - 1];
        format!("server.{id}=127.0.0.1:{quorum}:{election}:{role};127.0.0.1:{}", self.servers[id - 1].port)
    }

    fn name_members(&self, id: usize, members: &[String]) {
        let file = self.servers[id - 1].file("zoo.cfg");
        let mut text = fs::read_to_string(&file).expect("it was written");
        text += &(members.join("\n") + "\n");
        fs::write(&file, text).expect("a file");
    }

    /// As ZooKeeper's manual has it: the joiner is told of the members and itself. In the members' configuration it is not
    /// listed: it follows without a vote, whatever it was told to be.
    fn start_joiner(&mut self, id: usize, others: &[usize], role: &str) {
        let mut members: Vec<String> = others.iter().map(|id| self.line(*id, "participant")).collect();
        members.push(self.line(id, role));
        self.name_members(id, &members);
        self.servers[id - 1].spawn();
        self.await_mode(id, "follower");
    }

    fn await_mode(&mut self, id: usize, mode: &str) {
        until(&format!("server {id} to be {mode}"), || {
            let server = &mut self.servers[id - 1];
            assert!(server.is_running(), "server {id} has ended:\n{}", server.output());
            server.mode().filter(|found| found == mode)
        });
    }

    /// The number of the one that leads, when all that run serve.
    fn leader(&mut self) -> usize {
        until("every server to serve, one of them as the leader", || {
            let mut leaders = vec![];
            for (at, server) in self.servers.iter_mut().enumerate().filter(|(_, server)| server.is_launched())
            {
                assert!(server.is_running(), "server {} has ended:\n{}", at + 1, server.output());
                if server.mode()? == "leader" {
                    leaders.push(at + 1);
                }
            }
            (leaders.len() == 1).then(|| leaders[0])
        })
    }

    fn root(&self, id: usize) -> Client {
        let mut client = Client::connect(&self.servers[id - 1]);
        let packet = AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(b"super:secret") };
        client.send_raw(-4, 100, &{
            let mut bytes = vec![];
            ringkeeper::wire::Encode::encode(&packet, &mut bytes);
            bytes
        });
        assert_eq!(client.next_reply().err, 0);
        client
    }

    /// Waits until server `id` shows the configuration of this version.
    fn await_version(&self, id: usize, version: i64) -> String {
        until(&format!("server {id} to show version {version:x}"), || {
            let mut client = Client::connect(&self.servers[id - 1]);
            let text = String::from_utf8(client.data(CONFIG)).expect("text");
            (version_of(&text) >= version).then_some(text)
        })
    }
}

fn version_of(text: &str) -> i64 {
    let version = text.lines().last().and_then(|line| line.strip_prefix("version="));
    i64::from_str_radix(version.unwrap_or_else(|| panic!("no version in {text:?}")), 16).expect("hexadecimal")
}

/// Joining, leaving, whole, expected version.
fn reconfig(
    client: &mut Client,
    joining: Option<&str>,
    leaving: Option<&str>,
    members: Option<&str>,
    version: i64,
) -> Result<String, ErrorCode> {
    let request = ReconfigRequest {
        joining_servers: joining.map(Into::into),
        leaving_servers: leaving.map(Into::into),
        new_members: members.map(Into::into),
        cur_config_id: version,
    };
    let reply = client.call(Opcode::Reconfig, &request);
    if reply.err != 0 {
        return Err(reply.code());
    }
    let response = reply.record::<GetDataResponse>();
    let text = String::from_utf8(response.data.expect("the configuration").to_vec()).expect("text");
    assert_eq!((response.stat.mzxid.0, response.stat.version), (version_of(&text), -1));
    assert_eq!(reply.zxid, version_of(&text), "its version is the zxid of its transaction");
    Ok(text)
}

fn members(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| line.starts_with("server.")).collect();
    lines.sort_unstable();
    lines
}

/// Writes until it is stopped, at whatever server serves; says what was acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Load {
    fn start(server: &Server, name: &'static str) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = Client::connect(server);
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut acknowledged = vec![];
            while !stopped.load(Ordering::Relaxed) {
                let path = format!("/{name}-{}", acknowledged.len());
                match client.try_create(&path, b"x", PERSISTENT) {
                    Ok(path) => acknowledged.push(path),
                    Err(error) => panic!("{path}: {error:?}"),
                }
            }
            acknowledged
        });
        Load { stop, thread }
    }

    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no write fails")
    }
}

#[test]
fn servers_join_and_leave_under_load() {
    let mut cluster = Cluster::start(3, 4);
    let leader = cluster.leader();
    let first = cluster.await_version(leader, 1);
    assert_eq!(members(&first).len(), 3);
    assert_eq!(version_of(&first) & 0xffff_ffff, 0, "the epoch's: {first}");
    let load = Load::start(&cluster.servers[leader - 1], "load");
    cluster.start_joiner(4, &[1, 2, 3], "participant");
    let mut watcher = Client::connect(&cluster.servers[3]);
    watcher.get_data(CONFIG, true).expect("everybody may read it");
    // Asked at a follower: the leader decides.
    let follower = (1..=3).find(|id| *id != leader).expect("another one");
    let mut root = cluster.root(follower);
    let line = cluster.line(4, "participant");
    let text = reconfig(&mut root, Some(&line), None, None, version_of(&first)).expect("it joins");
    assert_eq!(members(&text).len(), 4);
    assert!(text.contains(&line), "{text}");
    let event = watcher.next_event();
    assert_eq!((event.kind, event.path.as_str()), (EventType::NodeDataChanged, CONFIG));
    for id in 1..=4 {
        assert_eq!(cluster.await_version(id, version_of(&text)), text, "server {id}");
    }
    let text = reconfig(&mut root, None, Some(&follower.to_string()), None, -1).expect("it leaves");
    assert_eq!(members(&text).len(), 3);
    let acknowledged = load.stop();
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());
    // Whoever left has no vote; of the three two are enough.
    cluster.servers[follower - 1].kill();
    let other = (1..=3).find(|id| ![leader, follower].contains(id)).expect("the third");
    cluster.servers[other - 1].kill();
    until("the joiner and the leader to be a quorum", || {
        let mut client = Client::connect(&cluster.servers[3]);
        client.try_create("/after", b"", PERSISTENT).ok()
    });
    let mut client = Client::connect(&cluster.servers[3]);
    client.sync("/");
    for path in &acknowledged {
        assert!(client.exists(path, false).is_ok(), "{path} is lost");
    }
}

#[test]
fn the_leader_is_removed() {
    let mut cluster = Cluster::start(3, 3);
    let leader = cluster.leader();
    let mut root = cluster.root(leader);
    let text = reconfig(&mut root, None, Some(&leader.to_string()), None, -1).expect("it leaves");
    assert_eq!(members(&text).len(), 2);
    // It goes on without a vote.
    cluster.await_mode(leader, "follower");
    let new = cluster.leader();
    assert_ne!(new, leader);
    assert_eq!(cluster.await_version(leader, version_of(&text)), text);
    cluster.servers[leader - 1].kill();
    let mut client = Client::connect(&cluster.servers[new - 1]);
    client.create("/after", b"", PERSISTENT);
    // Brought back, as a joiner.
    let mut root = cluster.root(new);
    let file = cluster.servers[leader - 1].file("zoo.cfg");
    let kept = fs::read_to_string(&file).expect("a file");
    let kept: Vec<&str> = kept.lines().filter(|line| !line.starts_with("dynamicConfigFile")).collect();
    fs::write(&file, kept.join("\n") + "\n").expect("a file");
    let others: Vec<usize> = (1..=3).filter(|id| *id != leader).collect();
    cluster.start_joiner(leader, &others, "participant");
    let line = cluster.line(leader, "participant");
    let text = reconfig(&mut root, Some(&line), None, None, -1).expect("it is back");
    assert_eq!(members(&text).len(), 3);
}

#[test]
fn roles_change() {
    let mut cluster = Cluster::start(3, 4);
    cluster.start_joiner(4, &[1, 2, 3], "observer");
    let leader = cluster.leader();
    let mut root = cluster.root(leader);
    let observer = cluster.line(4, "observer");
    reconfig(&mut root, Some(&observer), None, None, -1).expect("an observer joins");
    cluster.await_mode(4, "observer");
    let participant = cluster.line(4, "participant");
    let text = reconfig(&mut root, Some(&participant), None, None, -1).expect("it gets a vote");
    cluster.await_mode(4, "follower");
    cluster.await_version(4, version_of(&text));
    // The leader loses his, and another one leads.
    let demoted = cluster.line(leader, "observer");
    let text = reconfig(&mut root, Some(&demoted), None, None, -1).expect("he loses his vote");
    cluster.await_mode(leader, "observer");
    let new = cluster.leader();
    assert_ne!(new, leader);
    for id in 1..=4 {
        assert_eq!(cluster.await_version(id, version_of(&text)), text, "server {id}");
    }
    // The whole at once, without server 4.
    let all: Vec<String> = (1..=3).map(|id| cluster.line(id, "participant")).collect();
    let mut root = cluster.root(new);
    let asked = all.join(",");
    let text = until("a quorum to have the same leader", || {
        match reconfig(&mut root, None, None, Some(&asked), -1) {
            Ok(text) => Some(text),
            Err(ErrorCode::NewConfigNoQuorum) => None,
            Err(error) => panic!("{error:?}"),
        }
    });
    assert_eq!(members(&text).len(), 3);
    cluster.await_mode(leader, "follower");
}

#[test]
fn what_is_committed_survives_restarts() {
    let mut cluster = Cluster::start(3, 4);
    cluster.start_joiner(4, &[1, 2, 3], "participant");
    let leader = cluster.leader();
    let mut root = cluster.root(leader);
    root.create("/kept", b"", PERSISTENT);
    let line = cluster.line(4, "participant");
    let left = (1..=3).find(|id| *id != leader).expect("another one");
    let text = reconfig(&mut root, Some(&line), Some(&left.to_string()), None, -1).expect("both");
    let version = version_of(&text);
    let stay: Vec<usize> = (1..=4).filter(|id| *id != left).collect();
    for id in &stay {
        cluster.await_version(*id, version);
    }
    for server in &mut cluster.servers {
        server.kill();
    }
    for id in &stay {
        let server = &cluster.servers[id - 1];
        let file = server.file(&format!("zoo.cfg.dynamic.{version:x}"));
        let held = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(held.lines().collect::<Vec<_>>(), members(&text));
        let config = fs::read_to_string(server.file("zoo.cfg")).expect("a file");
        assert!(config.ends_with(&format!("dynamicConfigFile={}\n", file.display())), "{config}");
        assert!(!config.contains("server.") && !config.contains("clientPort"), "{config}");
        assert!(server.file("zoo.cfg.bak").exists());
        assert!(!server.file("zoo.cfg.dynamic.next").exists());
    }
    for id in &stay {
        cluster.servers[id - 1].spawn();
    }
    let leader = cluster.leader();
    for id in &stay {
        assert_eq!(cluster.await_version(*id, version), text, "server {id}");
    }
    let mut root = cluster.root(leader);
    root.exists("/kept", false).expect("it was acknowledged");
    // Who was removed is in no list: it can't start as what it was.
    let status = {
        cluster.servers[left - 1].spawn();
        cluster.servers[left - 1].wait_for_exit()
    };
    assert!(!status.success());
    reconfig(&mut root, None, Some("4"), None, version).expect("the version is the one that was kept");
}

#[test]
fn wrong_requests_are_refused_as_zookeeper_refuses_them() {
    use ErrorCode::{BadArguments, BadVersion, MarshallingError, NewConfigNoQuorum, NoAuth};
    let mut cluster = Cluster::start(3, 4);
    let leader = cluster.leader();
    let follower = (1..=3).find(|id| *id != leader).expect("another one");
    let absent = cluster.line(4, "participant");
    let only_absent = format!("{absent},{}", cluster.line(1, "participant"));
    let lines: Vec<String> = (1..=3).map(|id| cluster.line(id, "participant")).collect();
    let address_taken = lines[0].replace("server.1", "server.9");
    for id in [leader, follower] {
        let mut root = cluster.root(id);
        for (joining, leaving, members, version, expected) in [
            (None, None, None, 7, BadVersion),
            (None, Some("1,2"), None, -1, BadArguments),
            (None, Some("one"), None, -1, MarshallingError),
            (Some("server.4"), None, None, -1, BadArguments),
            (Some("server.4=127.0.0.1:1:2"), None, None, -1, BadArguments),
            (Some(address_taken.as_str()), None, None, -1, BadArguments),
            (None, None, Some("tickTime=5"), -1, BadArguments),
            (None, None, Some(only_absent.as_str()), -1, NewConfigNoQuorum),
            (None, Some("2"), Some(""), -1, BadArguments),
        ] {
            let refused = reconfig(&mut root, joining, leaving, members, version);
            assert_eq!(refused, Err(expected), "{joining:?} {leaving:?} {members:?} {version}");
        }
        // Everything else is looked at first.
        let mut nobody = Client::connect(&cluster.servers[id - 1]);
        assert_eq!(reconfig(&mut nobody, None, Some("1,2"), None, -1), Err(BadArguments));
        assert_eq!(reconfig(&mut nobody, None, Some("7"), None, -1), Err(NoAuth));
        assert_eq!(nobody.set_data(CONFIG, b"x", -1), Err(NoAuth));
    }
    // Nothing to change is a change.
    let mut root = cluster.root(follower);
    let text = reconfig(&mut root, None, Some("7"), None, -1).expect("nobody leaves");
    assert_eq!(members(&text), lines);
}
