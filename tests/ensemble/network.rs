//! Hosts of their own: a network namespace for each server, a cable between each two, and one from each to the test.
//!
//! Server `n` is at address `n` of a network that is reserved for benchmarks (RFC 2544). A cable carries two directions, and
//! either can be cut alone: the queueing discipline `blackhole` swallows what is sent and lets pass what is received.
//! Needs root and iproute2. Dropping it removes all of it.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::support::{Config, Ensemble};

const QUORUM_PORT: u16 = 2888;
const ELECTION_PORT: u16 = 3888;
/// The test's own end of its cables.
const TEST: u8 = 254;

static NEXT: AtomicU8 = AtomicU8::new(0);

pub struct Network {
    name: String,
    subnet: u8,
    hosts: u8,
    /// By host, the last number of its address: its own, unless it has moved.
    numbers: Vec<u8>,
}

impl Network {
    pub fn new(hosts: usize) -> Network {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let hosts = u8::try_from(hosts).expect("a handful");
        let id = std::process::id();
        let subnet = u8::try_from((id + u32::from(number)) % 256).expect("below 256");
        let numbers = (1..=hosts).collect();
        let network = Network { name: format!("rk{}{number}", id % 100_000), subnet, hosts, numbers };
        for host in 1..=hosts {
            network.add(host);
        }
        network
    }

    /// A namespace, and its cables to the test and to those before it.
    fn add(&self, host: u8) {
        let (name, address) = (self.namespace(host), self.address(host));
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} addr add {address}/32 dev lo"));
        let (cable, test) = (self.cable(host), self.test());
        ip(&format!("link add {cable} type veth peer name test netns {name}"));
        ip(&format!("addr add {test}/32 dev {cable}"));
        ip(&format!("link set {cable} up"));
        ip(&format!("-n {name} link set test up"));
        for other in 1..host {
            let its_name = self.namespace(other);
            ip(&format!("link add to{other} netns {name} type veth peer name to{host} netns {its_name}"));
            ip(&format!("-n {name} link set to{other} up"));
            ip(&format!("-n {its_name} link set to{host} up"));
        }
        self.route(host, &(1..host).collect::<Vec<u8>>());
    }

    /// The ways from the host to the test and to these others, and back.
    fn route(&self, host: u8, others: &[u8]) {
        let (name, address) = (self.namespace(host), self.address(host));
        let (cable, test) = (self.cable(host), self.test());
        ip(&format!("route replace {address}/32 dev {cable} src {test}"));
        ip(&format!("-n {name} route replace {test}/32 dev test src {address}"));
        for other in others {
            let (its_name, its_address) = (self.namespace(*other), self.address(*other));
            ip(&format!("-n {name} route replace {its_address}/32 dev to{other} src {address}"));
            ip(&format!("-n {its_name} route replace {address}/32 dev to{host} src {its_address}"));
        }
    }

    /// Gives hosts other addresses, by their last numbers, all at once: one may get what was another one's.
    pub fn renumber(&mut self, changes: &[(u8, u8)]) {
        for (host, _) in changes {
            let (name, address) = (self.namespace(*host), self.address(*host));
            // All ways by it go with it, but those of others to it: they are replaced, or lead to a host that isn't there.
            ip(&format!("-n {name} addr del {address}/32 dev lo"));
        }
        for (host, number) in changes {
            self.numbers[usize::from(*host) - 1] = *number;
            ip(&format!("-n {} addr add {}/32 dev lo", self.namespace(*host), self.address(*host)));
        }
        for (host, _) in changes {
            let others: Vec<u8> = (1..=self.hosts).filter(|other| other != host).collect();
            self.route(*host, &others);
        }
    }

    /// Servers that are not started, one on each host.
    pub fn ensemble(&self, voters: usize, observers: usize) -> Ensemble {
        Ensemble::prepare(voters, observers, |id, config| self.place(id, voters, config))
    }

    fn place(&self, id: usize, voters: usize, config: Config) -> Config {
        let host = u8::try_from(id).expect("a handful");
        let namespace = self.namespace(host);
        let mut config = config.host(self.address(host)).under(&["ip", "netns", "exec", &namespace]);
        for other in 1..=self.hosts {
            let role = if usize::from(other) > voters { ":observer" } else { "" };
            let address = self.address(other);
            let server = format!("{address}:{QUORUM_PORT}:{ELECTION_PORT}{role}");
            config = config.set(&format!("server.{other}"), server);
        }
        config
    }

    /// What the server at index `from` of the ensemble sends to the one at `to` is lost from now on; not the reverse.
    pub fn cut(&self, from: usize, to: usize) {
        self.discipline("replace", from, to);
    }

    pub fn heal(&self, from: usize, to: usize) {
        self.discipline("del", from, to);
    }

    pub fn cut_both(&self, one: usize, other: usize) {
        self.cut(one, other);
        self.cut(other, one);
    }

    pub fn heal_both(&self, one: usize, other: usize) {
        self.heal(one, other);
        self.heal(other, one);
    }

    fn discipline(&self, what: &str, from: usize, to: usize) {
        let name = self.namespace(u8::try_from(from + 1).expect("a handful"));
        run("tc", &format!("-n {name} qdisc {what} dev to{} root blackhole", to + 1));
    }

    pub fn namespace(&self, host: u8) -> String {
        format!("{}n{host}", self.name)
    }

    pub fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.subnet, self.numbers[usize::from(host) - 1])
    }

    /// The test's own address.
    fn test(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.subnet, TEST)
    }

    /// The test's end of its cable to a host.
    fn cable(&self, host: u8) -> String {
        format!("{}t", self.namespace(host))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in 1..=self.hosts {
            // The cables go with it. After a failure not all of them need be there.
            let _gone = Command::new("ip").args(["netns", "del", &self.namespace(host)]).output();
        }
    }
}

fn ip(arguments: &str) {
    run("ip", arguments);
}

fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split_whitespace()).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program} of the package iproute2 is needed: {error}"));
    assert!(
        output.status.success(),
        "`{program} {arguments}` failed (network namespaces need root): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
