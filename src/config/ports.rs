//! The ports of one server, and those of the servers that are listed: where two would be one.
//!
//! Called by `checked`, once each of them is known. A server that is started all the same would find its own port taken, and
//! its operator would look for somebody else who has it.

use super::checked::Config;
use super::fault::{Severity, printable};
use super::settings::Settings;
use super::values::Host;
use crate::zab::Member;

struct Port {
    /// The setting that says where it is.
    key: String,
    /// For people.
    name: &'static str,
    host: Option<Host>,
    /// 0: any free one.
    number: u16,
}

impl Port {
    /// Whether one of the two would be taken. Names are not looked up: what isn't known to clash doesn't.
    fn clashes(&self, other: &Port) -> bool {
        let is_one_host = match (&self.host, &other.host) {
            (None | Some(Host::All), _) | (_, None | Some(Host::All)) => true,
            (Some(one), Some(another)) => one == another,
        };
        self.number == other.number && self.number != 0 && is_one_host
    }
}

/// Refuses what can't be opened twice, and warns of servers at one address.
pub fn judge(settings: &mut Settings, config: &Config) {
    let ports = own(settings, config);
    for (at, port) in ports.iter().enumerate() {
        let Some(earlier) = ports[..at].iter().find(|earlier| earlier.clashes(port)) else { continue };
        // Both may be defaults, or one: the other is then what the operator can point at.
        let (told, other) = if settings.is_given(&port.key) { (port, earlier) } else { (earlier, port) };
        let problem =
            format!("{} is the {} ({}), too; allowed: a port for each", told.number, other.name, other.key);
        settings.fault_at(&told.key, problem);
    }
    warn_of_twins(settings, config);
}

fn own(settings: &Settings, config: &Config) -> Vec<Port> {
    let of = |key: &str, name, address: Option<std::net::IpAddr>, number| Port {
        key: key.to_owned(),
        name,
        host: address.filter(|address| !address.is_unspecified()).map(Host::Address),
        number,
    };
    let me = config.ensemble.as_ref().map(|ensemble| (ensemble, format!("server.{}", ensemble.me.0)));
    let client_key = match &me {
        Some((_, line)) if !settings.is_given("clientPort") => line.as_str(),
        _ => "clientPort",
    };
    let client = &config.client;
    let mut ports = vec![of(client_key, "client port", client.address, client.port)];
    if let Some((ensemble, line)) = &me {
        let endpoints = ensemble.members.member(ensemble.me).map(|own| own.endpoints.as_slice());
        for endpoint in endpoints.unwrap_or_default() {
            let host = Host::new(&endpoint.host).filter(|_| !ensemble.listen_on_all_ips);
            let port = |name, number| Port { key: line.clone(), name, host: host.clone(), number };
            ports.push(port("quorum port", endpoint.quorum_port));
            ports.push(port("election port", endpoint.election_port));
        }
    }
    if let Some(admin) = &config.admin_server {
        let address = admin.address;
        ports.push(of("admin.serverPort", "admin server's port", Some(address.ip()), address.port()));
    }
    if let Some(metrics) = &config.metrics_server {
        let address = metrics.address;
        ports.push(of("metricsProvider.httpPort", "metrics port", Some(address.ip()), address.port()));
    }
    ports
}

/// Lines that were copied and not changed. ZooKeeper starts with them, and so do we.
fn warn_of_twins(settings: &mut Settings, config: &Config) {
    let Some(ensemble) = &config.ensemble else { return };
    let members: Vec<&Member> = ensemble.members.members().collect();
    for (at, member) in members.iter().enumerate() {
        let shared = members[..at].iter().find_map(|earlier| Some((earlier.id, shared(earlier, member)?)));
        if let Some((twin, (host, port))) = shared {
            let text = format!(
                "server.{} and server.{} are both at {}:{port}: of two servers there only one can be reached",
                twin.0,
                member.id.0,
                printable(&host)
            );
            settings.warn_at(&format!("server.{}", member.id.0), Severity::Error, text);
        }
    }
}

/// A port of the one that is also the other's.
fn shared(one: &Member, other: &Member) -> Option<(String, u16)> {
    one.endpoints.iter().find_map(|mine| {
        let mut at_home = other.endpoints.iter().filter(|yours| yours.host.eq_ignore_ascii_case(&mine.host));
        at_home.find_map(|yours| {
            let theirs = [yours.quorum_port, yours.election_port];
            let port = [mine.quorum_port, mine.election_port].into_iter().find(|port| theirs.contains(port));
            Some((mine.host.clone(), port?))
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Raw, Severity};

    /// Faults and warnings, as they are printed.
    fn findings(lines: &str) -> (Vec<String>, Vec<String>) {
        let raw = Raw::parse("zoo.cfg", format!("dataDir=/data\n{lines}\n").as_bytes());
        let read = |path: &std::path::Path| match path.ends_with("myid") {
            true => Ok(b"1\n".to_vec()),
            false => panic!("{path:?} is read"),
        };
        match raw.check(|_| None, &read) {
            Ok((_, warnings)) => {
                let loud = warnings.iter().filter(|warning| warning.severity == Severity::Error);
                (vec![], loud.map(ToString::to_string).collect())
            }
            Err(refusal) => (refusal.faults.iter().map(ToString::to_string).collect(), vec![]),
        }
    }

    const MEMBER: &str =
        "initLimit=10\nsyncLimit=5\nserver.2=10.0.0.2:2888:3888\nserver.3=10.0.0.3:2888:3888\n";

    #[test]
    fn two_of_one_server_at_one_port_are_refused() {
        let lone = "clientPort=2181";
        let metrics =
            "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
        let member = |line: &str| format!("{MEMBER}{line}");
        for (lines, expected) in [
            (
                format!("{lone}\nadmin.serverPort=2181"),
                "zoo.cfg:3: admin.serverPort=2181: 2181 is the client port (clientPort), too; allowed: a port for each",
            ),
            (
                "clientPort=8080".to_owned(),
                "zoo.cfg:2: clientPort=8080: 8080 is the admin server's port (admin.serverPort), too; \
                 allowed: a port for each",
            ),
            (
                format!("{lone}\n{metrics}\nmetricsProvider.httpPort=8080"),
                "zoo.cfg:4: metricsProvider.httpPort=8080: 8080 is the admin server's port (admin.serverPort), too; \
                 allowed: a port for each",
            ),
            (
                member("clientPort=2888\nserver.1=10.0.0.1:2888:3888"),
                "zoo.cfg:7: server.1=10.0.0.1:2888:3888: 2888 is the client port (clientPort), too; \
                 allowed: a port for each",
            ),
            (
                member("server.1=10.0.0.1:2888:3888;3888"),
                "zoo.cfg:6: server.1=10.0.0.1:2888:3888;3888: 3888 is the client port (server.1), too; \
                 allowed: a port for each",
            ),
        ] {
            assert_eq!(findings(&lines).0, [expected], "{lines}");
        }
    }

    #[test]
    fn one_number_is_no_clash_where_it_is_not_one_port() {
        for lines in [
            "clientPort=2181\nclientPortAddress=10.0.0.1\nadmin.serverPort=2181\nadmin.serverAddress=127.0.0.1".to_owned(),
            "clientPort=8080\nadmin.enableServer=false".to_owned(),
            "clientPort=7000".to_owned(),
            format!("{MEMBER}clientPort=3888\nclientPortAddress=127.0.0.1\nserver.1=10.0.0.1:2888:3888"),
        ] {
            assert_eq!(findings(&lines), (vec![], vec![]), "{lines}");
        }
    }

    #[test]
    fn servers_at_one_address_are_warned_of() {
        let lines = format!("{MEMBER}clientPort=2181\nserver.1=10.0.0.2:2889:2888");
        let expected = "zoo.cfg:4: server.1 and server.2 are both at 10.0.0.2:2888: of two servers there only one can \
                        be reached";
        assert_eq!(findings(&lines), (vec![], vec![expected.to_owned()]));
        let lines = format!("{MEMBER}clientPort=2181\nserver.1=10.0.0.2:2889:3889");
        assert_eq!(findings(&lines), (vec![], vec![]));
    }
}
