//! Servers that can be reconfigured, and what asks them to be.
#![allow(dead_code, reason = "each test program uses its part")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ringkeeper::wire::client::{AuthPacket, GetDataResponse, ReconfigRequest};
use ringkeeper::wire::{ErrorCode, Opcode};

use crate::support::client::PERSISTENT;
use crate::support::ensemble::{SYNC_LIMIT, TICK};
use crate::support::server::free_port;
use crate::support::{Client, Config, Server, until};

/// Of `super:secret`.
pub const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
pub const CONFIG: &str = "/zookeeper/config";

/// Servers 1 to n by index, each with a configuration file that may be another one's.
pub struct Cluster {
    pub servers: Vec<Server>,
    ports: Vec<(u16, u16)>,
}

impl Cluster {
    /// Files of `count` servers, none started. `adapt` is given each one's number and configuration.
    pub fn prepare(count: usize, adapt: impl Fn(usize, Config) -> Config) -> Cluster {
        let server = |id: usize| {
            let config = Config::default()
                .set("tickTime", TICK.as_millis())
                .set("initLimit", 20)
                .set("syncLimit", SYNC_LIMIT)
                .set("reconfigEnabled", true)
                .set("DigestAuthenticationProvider.superDigest", SUPER_DIGEST);
            let server = adapt(id, config).prepare();
            fs::write(server.data_dir().join("myid"), format!("{id}\n")).expect("a directory");
            server
        };
        let ports = (0..count).map(|_| (free_port(), free_port())).collect();
        Cluster { servers: (1..=count).map(server).collect(), ports }
    }

    /// The first `voters` of `count` servers, started.
    pub fn start(voters: usize, count: usize) -> Cluster {
        let mut cluster = Cluster::prepare(count, |_, config| config);
        cluster.name_voters(voters);
        for server in &mut cluster.servers[..voters] {
            server.spawn();
        }
        cluster.leader();
        cluster
    }

    /// The first `voters` are told that they are the ensemble.
    pub fn name_voters(&self, voters: usize) {
        let members: Vec<String> = (1..=voters).map(|id| self.line(id, "participant")).collect();
        for id in 1..=voters {
            self.name_members(id, &members);
        }
    }

    pub fn line(&self, id: usize, role: &str) -> String {
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
    pub fn start_joiner(&mut self, id: usize, others: &[usize], role: &str) {
        let mut members: Vec<String> = others.iter().map(|id| self.line(*id, "participant")).collect();
        members.push(self.line(id, role));
        self.name_members(id, &members);
        self.servers[id - 1].spawn();
        self.await_mode(id, "follower");
    }

    pub fn await_mode(&mut self, id: usize, mode: &str) {
        until(&format!("server {id} to be {mode}"), || {
            let server = &mut self.servers[id - 1];
            assert!(server.is_running(), "server {id} has ended:\n{}", server.output());
            server.mode().filter(|found| found == mode)
        });
    }

    /// The number of the one that leads, when all that run serve.
    pub fn leader(&mut self) -> usize {
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

    pub fn root(&self, id: usize) -> Client {
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
    pub fn await_version(&self, id: usize, version: i64) -> String {
        until(&format!("server {id} to show version {version:x}"), || {
            let mut client = Client::connect(&self.servers[id - 1]);
            let text = String::from_utf8(client.data(CONFIG)).expect("text");
            (version_of(&text) >= version).then_some(text)
        })
    }
}

pub fn version_of(text: &str) -> i64 {
    let version = text.lines().last().and_then(|line| line.strip_prefix("version="));
    i64::from_str_radix(version.unwrap_or_else(|| panic!("no version in {text:?}")), 16).expect("hexadecimal")
}

/// Joining, leaving, whole, expected version.
pub fn reconfig(
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

pub fn members(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| line.starts_with("server.")).collect();
    lines.sort_unstable();
    lines
}

/// Writes until it is stopped, at whatever server serves; says what was acknowledged.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Load {
    pub fn start(server: &Server, name: &'static str) -> Load {
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

    pub fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no write fails")
    }
}
