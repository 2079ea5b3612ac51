//! Several servers that are one ensemble, each a process of its own.
//!
//! Server `n` of the configuration is `servers[n - 1]`. Voters come first, then observers. A tick is short, so that silence
//! is noticed within two seconds ([`SYNC_LIMIT`]): the bounds of a busy machine are `initLimit` and the tests' own.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use ringkeeper::wire::client::{GetDataRequest, GetDataResponse};
use ringkeeper::wire::{ErrorCode, Opcode};

use super::client::Client;
use super::connect::Connect;
use super::server::{Config, Server, free_port};
use super::wait::until;

pub const TICK: Duration = Duration::from_millis(500);
/// Ticks after which a silent leader or follower is given up.
pub const SYNC_LIMIT: u32 = 4;

/// A znode as every server must have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Znode {
    pub data: Option<Vec<u8>>,
    /// czxid, mzxid, pzxid, ctime, mtime, version, cversion, aversion, ephemeral owner.
    pub stat: [i64; 9],
}

#[derive(Debug)]
pub struct Ensemble {
    pub servers: Vec<Server>,
    voters: usize,
    /// By server.
    pub quorum_ports: Vec<u16>,
    pub election_ports: Vec<u16>,
    /// Between two batches of a writer of a load.
    pub pause: Duration,
}

impl Ensemble {
    /// Starts them all, and waits until each serves.
    pub fn start(voters: usize, observers: usize) -> Ensemble {
        let mut ensemble = Ensemble::prepare(voters, observers, |_, config| config);
        ensemble.launch_all();
        ensemble.settle();
        ensemble
    }

    /// `adapt` is given each server's number and its configuration.
    pub fn prepare(voters: usize, observers: usize, adapt: impl Fn(usize, Config) -> Config) -> Ensemble {
        let count = voters + observers;
        let quorum_ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let election_ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let servers = (1..=count).map(|id| {
            let mut config = Config::default()
                .set("tickTime", TICK.as_millis())
                .set("initLimit", 20)
                .set("syncLimit", SYNC_LIMIT);
            for other in 1..=count {
                let (quorum, election) = (quorum_ports[other - 1], election_ports[other - 1]);
                let role = if other > voters { ":observer" } else { "" };
                config =
                    config.set(&format!("server.{other}"), format!("127.0.0.1:{quorum}:{election}{role}"));
            }
            if id > voters {
                config = config.set("peerType", "observer");
            }
            // Both placements: one loop that does all, and loops of their own for clients.
            if id.is_multiple_of(2) {
                config = config.set("ringkeeper.shards", 2);
            }
            let server = adapt(id, config).prepare();
            name(&server, id);
            server
        });
        let servers = servers.collect();
        Ensemble { servers, voters, quorum_ports, election_ports, pause: Duration::ZERO }
    }

    /// Of servers whose files don't name them yet: that is the caller's.
    pub fn of(servers: Vec<Server>, voters: usize) -> Ensemble {
        let quorum_ports = servers.iter().map(|_| free_port()).collect();
        let election_ports = servers.iter().map(|_| free_port()).collect();
        Ensemble { servers, voters, quorum_ports, election_ports, pause: Duration::ZERO }
    }

    pub fn launch_all(&mut self) {
        for server in &mut self.servers {
            server.spawn();
        }
    }

    /// Waits until every server whose process runs serves, one of them as the leader. The leader's index.
    pub fn settle(&mut self) -> usize {
        let running: Vec<usize> =
            (0..self.servers.len()).filter(|at| self.servers[*at].is_launched()).collect();
        self.settle_among(&running)
    }

    /// As [`Ensemble::settle`], of these servers only: others may be stopped.
    pub fn settle_among(&mut self, running: &[usize]) -> usize {
        until("every server to serve, one of them as the leader", || {
            for at in running {
                let server = &mut self.servers[*at];
                assert!(server.is_running(), "server {} has ended:\n{}", at + 1, server.output());
            }
            let modes: Option<Vec<String>> = running.iter().map(|at| self.servers[*at].mode()).collect();
            let modes = modes?;
            let mut leaders = running.iter().zip(&modes).filter(|(_, mode)| *mode == "leader");
            let leader = leaders.next().map(|(at, _)| *at);
            leader.filter(|_| leaders.next().is_none())
        })
    }

    /// A running voter that does not lead.
    pub fn follower(&self, leader: usize) -> usize {
        (0..self.voters).find(|at| *at != leader && self.servers[*at].is_launched()).expect("another voter")
    }

    /// Takes everything from the server's directory but its number. It must not run.
    pub fn wipe(&self, at: usize) {
        let server = &self.servers[at];
        let data = server.data_dir();
        fs::remove_dir_all(data).unwrap_or_else(|error| panic!("{}: {error}", data.display()));
        fs::create_dir_all(data).unwrap_or_else(|error| panic!("{}: {error}", data.display()));
        name(server, at + 1);
    }

    /// That the running servers hold the same tree, with equal digests wherever two of them have noted one. The tree.
    pub fn assert_equal(&self) -> BTreeMap<String, Znode> {
        let running = || self.servers.iter().filter(|server| server.is_launched());
        // A container may be reaped meanwhile, and a session end: then, and only then, all are read again.
        let mut trees = until("trees that hold still while they are read", || {
            // What was decided before is everywhere before anything is read.
            let mut newest = 0;
            for server in running() {
                let mut client = Client::connect(server);
                newest = newest.max(client.sync("/").zxid);
                client.close();
            }
            let mut trees = vec![];
            for server in running() {
                let mut client = Client::connect(server);
                assert!(client.sync("/").zxid > newest, "its own session is newer");
                let tree = tree(&mut client);
                client.close();
                trees.push(tree?);
            }
            let difference = trees.iter().skip(1).find_map(|other| difference(&trees[0], other));
            let has_moved = trees
                .iter()
                .flat_map(BTreeMap::values)
                .any(|znode| znode.stat[..3].iter().any(|zxid| *zxid > newest));
            if let (Some(difference), false) = (&difference, has_moved) {
                panic!("{difference}");
            }
            difference.is_none().then_some(trees)
        });
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for line in
            running().flat_map(|server| server.word("hash").lines().map(str::to_owned).collect::<Vec<_>>())
        {
            let (zxid, digest) = line.split_once(": ").unwrap_or_else(|| panic!("no digest: {line}"));
            let before = known.entry(zxid.to_owned()).or_insert_with(|| digest.to_owned());
            assert_eq!(before, digest, "two digests of the tree at zxid 0x{zxid}");
        }
        trees.swap_remove(0)
    }
}

fn difference(first: &BTreeMap<String, Znode>, other: &BTreeMap<String, Znode>) -> Option<String> {
    let differs = first.iter().find(|(path, znode)| other.get(*path) != Some(*znode));
    let more = other.keys().find(|path| !first.contains_key(*path));
    (differs.is_some() || more.is_some()).then(|| {
        let there = differs.map(|(path, _)| other.get(path));
        format!("the first server has {differs:?}, another one has {there:?}; only there: {more:?}")
    })
}

/// Says in the server's directory which one it is.
fn name(server: &Server, id: usize) {
    let file = server.data_dir().join("myid");
    fs::write(&file, format!("{id}\n")).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// Znodes that are asked for together.
const ASKED_TOGETHER: usize = 500;

/// Everything below the root but ZooKeeper's own. None if some of it went meanwhile.
fn tree(client: &mut Client) -> Option<BTreeMap<String, Znode>> {
    let mut found = BTreeMap::new();
    let mut paths = vec!["/".to_owned()];
    while !paths.is_empty() {
        let mut is_whole = true;
        let asked = paths.split_off(paths.len().saturating_sub(ASKED_TOGETHER));
        for path in &asked {
            client.send(Opcode::GetData, &GetDataRequest { path: path.as_str().into(), watch: false });
        }
        for path in asked {
            let reply = client.next_reply();
            is_whole &= reply.err != ErrorCode::NoNode as i32;
            if !is_whole {
                continue;
            }
            let response = reply.record::<GetDataResponse>();
            let (data, stat) = (response.data.map(<[u8]>::to_vec), response.stat);
            let numbers = [
                stat.czxid.0,
                stat.mzxid.0,
                stat.pzxid.0,
                stat.ctime.0,
                stat.mtime.0,
                i64::from(stat.version),
                i64::from(stat.cversion),
                i64::from(stat.aversion),
                stat.ephemeral_owner.0,
            ];
            if stat.num_children > 0 {
                paths.push(path.clone());
            }
            found.insert(path, Znode { data, stat: numbers });
        }
        if !is_whole {
            return None;
        }
        // Those that were just seen to have children become these.
        let parents: Vec<String> = paths.extract_if(.., |path| found.contains_key(path)).collect();
        for parent in parents {
            let children = match client.children(&parent, false) {
                Ok(children) => children,
                Err(ErrorCode::NoNode) => return None,
                Err(error) => panic!("{parent}: {error}"),
            };
            let prefix = if parent == "/" { "" } else { &parent };
            let children = children.iter().map(|child| format!("{prefix}/{child}"));
            paths.extend(children.filter(|path| path != "/zookeeper"));
        }
    }
    Some(found)
}

/// A session of `client`'s moves to another server, as clients do. Its bound is that of any read.
pub fn move_to(client: Client, server: &Server) -> Client {
    let again =
        Connect { timeout_ms: client.timeout_ms, last_zxid_seen: client.zxid, ..Connect::again(&client) };
    client.cut();
    until("the session to be taken up elsewhere", || match again.try_open(server) {
        Ok(client) => Some(client),
        Err(super::Refusal::Closed) => None,
        Err(refusal) => panic!("{refusal:?} for {again:?}"),
    })
}
