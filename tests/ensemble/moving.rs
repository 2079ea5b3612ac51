//! Members that are named by host names, whose addresses change under them: what a restarted pod of Kubernetes looks like.
//!
//! Configuration and command are those of `tuning/kubernetes/ringkeeper.yaml`, but for the clocks and the directory.
//! Each server runs in a network namespace with an `/etc/hosts` of its own (`ip netns exec` binds `/etc/netns/NAME/hosts` over it).
//! The file is rewritten in place, so that servers that run see it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::network::Network;
use crate::support::client::PERSISTENT;
use crate::support::{Client, Connect, Ensemble, Server, until};

const EXAMPLE: &str = include_str!("../../tuning/kubernetes/ringkeeper.yaml");
const COUNT: u8 = 3;
/// For one try to get a session.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the tests set otherwise: a directory of their own, and short ticks.
const KEPT: [&str; 5] = ["dataDir", "clientPort", "tickTime", "initLimit", "syncLimit"];

/// The lines of the example's `zoo.cfg`, but for the comments.
fn settings() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = EXAMPLE.lines().skip_while(|line| !line.ends_with("zoo.cfg: |")).skip(1);
    let lines = lines.map_while(|line| line.strip_prefix("    "));
    lines.filter(|line| !line.starts_with('#')).map(|line| line.split_once('=').expect("key=value"))
}

/// The example's command, with the file that is appended to it in the place of the mounted one.
fn script() -> String {
    let line = EXAMPLE.lines().find_map(|line| line.trim().strip_prefix("command: [\"sh\", \"-c\", \""));
    let script = line.and_then(|line| line.strip_suffix("\"]")).expect("it has a command");
    assert!(script.ends_with(" /conf/zoo.cfg"), "{script}");
    script.replace("/conf/zoo.cfg", "\"$0\"")
}

/// The folder of the program that is tested, for the search of the command's shell.
fn program_folder() -> String {
    let command = std::env::var("RINGKEEPER_TEST_SERVER");
    let named = command.ok().and_then(|command| command.split_whitespace().next().map(str::to_owned));
    let program = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_ringkeeper").to_owned());
    let folder = Path::new(&program).parent().expect("a path");
    folder.to_str().expect("a path in UTF-8").to_owned()
}

/// Hosts in namespaces, and what each knows of their names.
struct Hosts {
    network: Network,
}

impl Hosts {
    fn new() -> Hosts {
        let hosts = Hosts { network: Network::new(usize::from(COUNT)) };
        for host in 1..=COUNT {
            let folder = hosts.folder(host);
            fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            // Nobody else is asked: there is no network that leads to a name server.
            fs::write(folder.join("nsswitch.conf"), "hosts: files\n").expect("a folder");
        }
        hosts
    }

    fn folder(&self, host: u8) -> PathBuf {
        PathBuf::from("/etc/netns").join(self.network.namespace(host))
    }

    /// From now on everybody knows these names, and no others.
    fn name(&self, named: &[u8]) {
        let mut text = "127.0.0.1 localhost\n".to_owned();
        for host in named {
            text += &format!("{} ringkeeper-{}.ringkeeper\n", self.network.address(*host), host - 1);
        }
        for host in 1..=COUNT {
            let file = self.folder(host).join("hosts");
            fs::write(&file, &text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }

    /// Three voters, not started, in whose configuration no address stands, and whose host names alone say which one each is.
    fn ensemble(&self) -> Ensemble {
        let path = format!("PATH={}:{}", program_folder(), std::env::var("PATH").unwrap_or_default());
        let ensemble = Ensemble::prepare(usize::from(COUNT), 0, |id, config| {
            let host = u8::try_from(id).expect("three");
            let (namespace, name) = (self.network.namespace(host), format!("HOSTNAME=ringkeeper-{}", id - 1));
            let mut config = config
                .host(self.network.address(host))
                .under(&["ip", "netns", "exec", &namespace, "env", &name, &path])
                .command(&["sh", "-c", &script()])
                .set("clientPortAddress", "0.0.0.0")
                .set("admin.enableServer", true)
                .set("preAllocSize", 2048);
            for (key, value) in settings().filter(|(key, _)| !KEPT.contains(key)) {
                config = config.set(key, value);
            }
            config
        });
        for server in &ensemble.servers {
            fs::remove_file(server.data_dir().join("myid")).expect("it was written");
        }
        ensemble
    }

    /// Hosts whose servers don't run get other addresses, and their servers start again.
    fn renumber(&mut self, ensemble: &mut Ensemble, changes: &[(u8, u8)]) {
        self.network.renumber(changes);
        self.name(&[1, 2, 3]);
        for (host, _) in changes {
            let server = &mut ensemble.servers[usize::from(*host) - 1];
            server.has_moved_to(self.network.address(*host));
            server.spawn();
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in 1..=COUNT {
            // After a failure it may not be there.
            let _gone = fs::remove_dir_all(self.folder(host));
        }
    }
}

/// All serve under one leader, and what is written at one is read at all.
fn check(ensemble: &mut Ensemble, round: usize) -> usize {
    ensemble.settle();
    // A follower whose leader has vanished says for a while that it follows. A session, which is a write, it can't give.
    let mut clients: Vec<Client> = ensemble.servers.iter().map(connect).collect();
    let path = format!("/round-{round}");
    clients[round % 3].create(&path, b"x", PERSISTENT);
    for (at, (server, client)) in ensemble.servers.iter().zip(&mut clients).enumerate() {
        assert_eq!(client.sync("/").err, 0);
        assert_eq!(client.data(&path), b"x");
        assert!(server.word("conf").contains(&format!("serverId={}\n", at + 1)), "identity is the id");
        assert!(!server.output().contains("zoo.cfg:"), "warned of:\n{}", server.output());
    }
    ensemble.settle()
}

fn connect(server: &Server) -> Client {
    until("a session", || Connect::default().open_within(server.address(), PATIENCE).ok())
}

/// Each member in turn goes down and comes back at an address that nobody has seen. The others run on; they find it by its name.
#[test]
fn a_member_is_found_at_its_new_address() {
    let mut hosts = Hosts::new();
    let mut ensemble = hosts.ensemble();
    hosts.name(&[1, 2, 3]);
    ensemble.launch_all();
    check(&mut ensemble, 0);
    for host in 1..=COUNT {
        ensemble.servers[usize::from(host) - 1].kill();
        hosts.renumber(&mut ensemble, &[(host, 100 + host)]);
        check(&mut ensemble, usize::from(host));
    }
    // And now each follows a leader at its new address.
    for round in 4..7 {
        let leader = ensemble.settle();
        ensemble.servers[leader].kill();
        ensemble.settle();
        ensemble.servers[leader].spawn();
        check(&mut ensemble, round);
    }
}

/// Two come back at each other's addresses, while the third runs on: who is at an address isn't who was there.
#[test]
fn members_that_have_swapped_their_addresses_are_told_apart() {
    let mut hosts = Hosts::new();
    let mut ensemble = hosts.ensemble();
    hosts.name(&[1, 2, 3]);
    ensemble.launch_all();
    check(&mut ensemble, 0);
    for (round, (one, other)) in [(1, 2), (2, 3), (1, 3)].into_iter().enumerate() {
        let (its, others) = (last(&hosts, one), last(&hosts, other));
        for host in [one, other] {
            ensemble.servers[usize::from(host) - 1].kill();
        }
        hosts.renumber(&mut ensemble, &[(one, others), (other, its)]);
        check(&mut ensemble, round + 1);
    }
}

fn last(hosts: &Hosts, host: u8) -> u8 {
    hosts.network.address(host).octets()[3]
}

/// A member starts before the names of the others are known, as the first pod of a StatefulSet does: it waits for them.
#[test]
fn names_that_are_not_known_yet_are_waited_for() {
    let hosts = Hosts::new();
    let mut ensemble = hosts.ensemble();
    hosts.name(&[]);
    ensemble.servers[0].spawn();
    until("it to miss them", || {
        let server = &mut ensemble.servers[0];
        assert!(server.is_running(), "it has ended:\n{}", server.output());
        let text = server.output();
        (text.contains("can't be resolved")
            && text.contains("ringkeeper-1.")
            && text.contains("ringkeeper-2."))
        .then_some(())
    });
    hosts.name(&[1, 2]);
    ensemble.servers[1].spawn();
    ensemble.settle();
    hosts.name(&[1, 2, 3]);
    ensemble.servers[2].spawn();
    check(&mut ensemble, 0);
}
