//! Servers that can be reconfigured, and what asks them to be.
#![allow(dead_code, reason = "each test program uses its part")]

use std::fs;
use std::ops::{Deref, DerefMut};

use ringkeeper::wire::client::{AuthPacket, GetDataRequest, GetDataResponse, ReconfigRequest};
use ringkeeper::wire::{ErrorCode, Opcode};

use crate::support::ensemble::{SYNC_LIMIT, TICK};
use crate::support::wait::BOUND;
use crate::support::{Client, Config, Connect, Ensemble, until};

/// Of `super:secret`.
pub const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
pub const CONFIG: &str = "/zookeeper/config";

/// Servers 1 to n by index, each with a configuration file that may be another one's.
pub struct Cluster {
    ensemble: Ensemble,
}

impl Deref for Cluster {
    type Target = Ensemble;

    fn deref(&self) -> &Ensemble {
        &self.ensemble
    }
}

impl DerefMut for Cluster {
    fn deref_mut(&mut self) -> &mut Ensemble {
        &mut self.ensemble
    }
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
        Cluster { ensemble: Ensemble::of((1..=count).map(server).collect(), count) }
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
        let (quorum, election) = (self.quorum_ports[id - 1], self.election_ports[id - 1]);
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
    ///
    /// One whose part changes by it closes its connections, those that are being opened too: then it is asked again.
    pub fn await_version(&self, id: usize, version: i64) -> String {
        let request = GetDataRequest { path: CONFIG.into(), watch: false };
        until(&format!("server {id} to show version {version:x}"), || {
            let mut client = Connect::default().open_within(self.servers[id - 1].address(), BOUND).ok()?;
            let reply = client.try_call(Opcode::GetData, &request)?;
            let text = reply.record::<GetDataResponse>().data.expect("text").to_vec();
            let text = String::from_utf8(text).expect("text");
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

/// Asks server `id` for a change, until a quorum follows the leader that decides it. The configuration that comes of it.
///
/// Whoever answers may have another leader by then, and no client any more: then the configuration tells.
pub fn change(cluster: &mut Cluster, id: usize, joining: Option<&str>, leaving: Option<usize>) -> String {
    cluster.leader();
    let before = version_of(&cluster.await_version(id, 0));
    let leaving = leaving.map(|id| id.to_string());
    let request = ReconfigRequest {
        joining_servers: joining.map(Into::into),
        leaving_servers: leaving.as_deref().map(Into::into),
        new_members: None,
        cur_config_id: -1,
    };
    let mut root = cluster.root(id);
    until("a quorum to have the same leader", || {
        match root.try_call(Opcode::Reconfig, &request).map(|reply| reply.code()) {
            Some(ErrorCode::Ok) | None => Some(()),
            Some(ErrorCode::NewConfigNoQuorum) => None,
            Some(error) => panic!("{error:?}"),
        }
    });
    cluster.leader();
    cluster.await_version(id, before + 1)
}

pub fn members(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| line.starts_with("server.")).collect();
    lines.sort_unstable();
    lines
}
