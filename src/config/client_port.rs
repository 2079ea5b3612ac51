//! Where clients connect: `clientPort`, `clientPortAddress`, and what this server's own server line says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::ensemble::OwnLine;
use super::fault::Origin;
use super::settings::Settings;
use super::values::Host;

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPort {
    /// `None`: all addresses of the host.
    pub address: Option<IpAddr>,
    /// 0 (only from `ringkeeper server 0 DATADIR`): any free port, to be told in the ready line.
    pub port: u16,
    /// `clientPortListenBacklog`; `None`: the system's.
    pub listen_backlog: Option<u32>,
}

impl ClientPort {
    /// As an address to listen on. `0.0.0.0` stands for all addresses, IPv6's too.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), self.port)
    }
}

/// Looks up a host name. A function of the caller's, since the answer comes from outside; asked for names only.
pub type Resolve = fn(&str) -> Option<IpAddr>;

/// Whose line this server's is, and what it says of the client port.
pub enum Own {
    /// No server is listed.
    Nobody,
    Lone(Option<OwnLine>),
    Member(Option<OwnLine>),
    /// A fault was noted, so it can't be said what the line would be.
    Unknown,
}

/// `None` only after a fault was noted. In an ensemble this server's line must agree with `clientPort` and then wins, as in
/// ZooKeeper; a lone server goes by `clientPort`.
pub fn client_port(settings: &mut Settings, own: Own, resolve: Resolve) -> Option<ClientPort> {
    let from_argument = matches!(settings.origin("clientPort"), Some(Origin::Argument));
    let lowest = if from_argument { 0 } else { 1 };
    let backlog =
        settings.number("clientPortListenBacklog", -1..=i64::from(i32::MAX), "-1: the system's", -1);
    let listen_backlog = u32::try_from(backlog).ok().filter(|&backlog| backlog > 0);
    let address = settings.value("clientPortAddress", |text| resolved(text, resolve));
    let mut given = None;
    if settings.is_given("clientPort") {
        let faults = settings.faults_count();
        let port = settings.number("clientPort", lowest..=65535, "a TCP port", 0);
        if settings.faults_count() > faults {
            return None;
        }
        given = Some(ClientPort { address: address.flatten(), port: port as u16, listen_backlog });
    } else if settings.is_given("clientPortAddress") {
        settings.fault_at(
            "clientPortAddress",
            "of no use without clientPort; add e.g. clientPort=2181".to_owned(),
        );
        return None;
    }
    let line = match (own, given.is_some()) {
        (Own::Member(Some(line)), _) | (Own::Lone(Some(line)), false) => line,
        (_, true) | (Own::Unknown, false) => return given,
        (_, false) => {
            settings.missing("clientPort", "required: nothing could reach this server; e.g. clientPort=2181");
            return None;
        }
    };
    let of_line = match resolved(&line.host, resolve) {
        Ok(address) => ClientPort { address, port: line.port, listen_backlog },
        Err(problem) => {
            settings.fault_at(&line.key, problem);
            return None;
        }
    };
    if let Some(given) = given
        && (given.port != of_line.port || given.address.is_some() && given.address != of_line.address)
    {
        let key = if given.port == of_line.port { "clientPortAddress" } else { "clientPort" };
        let problem = format!(
            "clients would connect to {}, but {} names {}; make them agree, or take {key} out",
            given.socket_address(),
            line.key,
            of_line.socket_address(),
        );
        settings.fault_at(key, problem);
        return None;
    }
    Some(of_line)
}

/// `None` is all addresses.
pub fn resolved(text: &str, resolve: Resolve) -> Result<Option<IpAddr>, String> {
    match Host::new(text) {
        Some(Host::All) => Ok(None),
        Some(Host::Address(address)) => Ok(Some(address)),
        Some(Host::Name(name)) => match resolve(&name) {
            Some(address) => Ok(Some(address)),
            None => Err(format!("host name `{name}` can't be resolved; allowed: an address of this host")),
        },
        None => Err("not an address; allowed: an IPv4 or IPv6 address, or a host name".to_owned()),
    }
}

#[cfg(test)]
#[path = "client_port_test.rs"]
mod tests;
