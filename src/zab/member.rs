//! One line of the ensemble's configuration: `server.N=host:quorum:election[:role][|host:…][;[clienthost:]port]`.
//!
//! Called by [`super::quorum`] for texts that come from peers and files, and by whoever reads `zoo.cfg`. Printing is what
//! ZooKeeper prints, so that both servers show operators and clients the same.
//! Limits: ids as `limits::SERVER_ID_MAX` says; ports are 16 bits; a configuration's text is bounded as a whole.

use std::fmt;

use crate::base::ServerId;
use crate::base::limits::SERVER_ID_MAX;
use crate::wire::peer::Address;

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Participant,
    Observer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Participant => "participant",
            Role::Observer => "observer",
        })
    }
}

/// One host of a member, with both of its ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Name or IP address as written, without brackets.
    pub host: String,
    /// Where the leader listens for learners.
    pub quorum_port: u16,
    /// Where everybody listens for the election; differs from `quorum_port`.
    pub election_port: u16,
}

/// One server of the ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: ServerId,
    /// At least one; sorted, as they are printed. More than one needs `multiAddress.enabled` on ZooKeeper servers.
    pub endpoints: Vec<Endpoint>,
    pub role: Role,
    /// Where clients connect, if the line says so. The `clientPort` of a static file is not part of it and not printed.
    pub client: Option<Address>,
}

/// What is wrong with a configuration of the ensemble: a line, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// As written; `server.3`. Empty: the configuration as a whole.
    pub key: String,
    /// As written, if a value is to blame.
    pub value: Option<String>,
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, self.key.is_empty()) {
            (_, true) => {}
            (Some(value), false) => write!(f, "{}={}: ", self.key.escape_debug(), value.escape_debug())?,
            (None, false) => write!(f, "{}: ", self.key.escape_debug())?,
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(super) fn new(key: &str, value: &str, problem: impl Into<String>) -> Fault {
        Fault { key: key.to_owned(), value: Some(value.to_owned()), problem: problem.into() }
    }

    pub(super) fn whole(problem: impl Into<String>) -> Fault {
        Fault { key: String::new(), value: None, problem: problem.into() }
    }
}

const FORM: &str =
    "allowed: host:quorumPort:electionPort[:participant|:observer][|host:…][;[clientHost:]clientPort]";

impl Member {
    /// Reads the value of `server.ID`. The problem in an error is a sentence; the caller knows the key.
    pub fn parse(id: ServerId, value: &str) -> Result<Member, String> {
        check_id(id.0)?;
        let mut halves = value.trim().trim_end_matches(';').split(';');
        let servers = halves.next().unwrap_or_default();
        let client = halves.next().map(client_address).transpose()?;
        if halves.next().is_some() {
            return Err(format!("more than one `;`; {FORM}"));
        }
        let mut role = None;
        let mut endpoints = Vec::new();
        for server in servers.split('|') {
            let (endpoint, own) = endpoint(server.trim())?;
            match (role, own) {
                (Some(role), Some(own)) if role != own => {
                    return Err(format!("its addresses have different roles: {role} and {own}"));
                }
                _ => role = role.or(own),
            }
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        endpoints.sort();
        Ok(Member { id, endpoints, role: role.unwrap_or(Role::Participant), client })
    }

    pub fn is_voter(&self) -> bool {
        self.role == Role::Participant
    }

    /// Where to reach it when it leads.
    pub fn quorum_addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.endpoints.iter().map(|endpoint| Address::new(&endpoint.host, endpoint.quorum_port))
    }

    /// Where to reach it for the election.
    pub fn election_addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.endpoints.iter().map(|endpoint| Address::new(&endpoint.host, endpoint.election_port))
    }
}

/// `myid` and the N of `server.N`.
pub fn check_id(id: i64) -> Result<ServerId, String> {
    match id {
        0..=SERVER_ID_MAX => Ok(ServerId(id)),
        _ => Err(format!(
            "server number {id}; allowed: 0 to {SERVER_ID_MAX} (it is the first byte of session ids)"
        )),
    }
}

/// `host:quorum:election[:role]`
fn endpoint(text: &str) -> Result<(Endpoint, Option<Role>), String> {
    let malformed = |what: &str| format!("{what}; {FORM}");
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) =
                inner.split_once(']').ok_or_else(|| malformed("an IPv6 address has no closing bracket"))?;
            (host, rest.strip_prefix(':').ok_or_else(|| malformed("no port behind the IPv6 address"))?)
        }
        None => text.split_once(':').ok_or_else(|| malformed("the ports are missing"))?,
    };
    if host.is_empty() {
        return Err(malformed("the host is missing"));
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']' | '|' | ';')) {
        return Err(malformed("the host has characters that no host has"));
    }
    let mut parts = rest.split(':').map(str::trim);
    let mut next_port = |name: &str| match parts.next() {
        None | Some("") => Err(malformed(&format!("no {name} port"))),
        Some(text) => port(text).ok_or_else(|| {
            // An IPv6 address without brackets ends up here, and so do swapped fields.
            malformed(&format!("`{text}` is no {name} port (1 to 65535; an IPv6 host needs brackets)"))
        }),
    };
    let (quorum_port, election_port) = (next_port("quorum")?, next_port("election")?);
    if quorum_port == election_port {
        return Err(format!("quorum port and election port are both {quorum_port}; they must differ"));
    }
    let role = match parts.next() {
        None => None,
        Some(role) if role.eq_ignore_ascii_case("participant") => Some(Role::Participant),
        Some(role) if role.eq_ignore_ascii_case("observer") => Some(Role::Observer),
        Some(role) => return Err(format!("`{role}` is no role; allowed: participant, observer")),
    };
    if parts.next().is_some() {
        return Err(malformed("something is behind the role"));
    }
    Ok((Endpoint { host: host.to_owned(), quorum_port, election_port }, role))
}

/// `[host:]port`
fn client_address(text: &str) -> Result<Address, String> {
    let text = text.trim();
    if let Some(port) = port(text) {
        return Ok(Address::new("0.0.0.0", port));
    }
    Address::parse(text).map_err(|error| format!("client address `{text}`: {error}; {FORM}"))
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

/// The value of its line, as ZooKeeper prints it: the role always, the client's host too.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let Endpoint { host, quorum_port, election_port } = endpoint;
            let bar = if index > 0 { "|" } else { "" };
            let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
            write!(f, "{bar}{open}{host}{close}:{quorum_port}:{election_port}")?;
        }
        write!(f, ":{}", self.role)?;
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<String, String> {
        Member::parse(ServerId(1), value).map(|member| member.to_string())
    }

    #[test]
    fn lines_are_printed_as_zookeeper_prints_them() {
        for (written, printed) in [
            ("a:2888:3888", "a:2888:3888:participant"),
            (" a:2888:3888 ", "a:2888:3888:participant"),
            ("a:2888:3888:observer;2181", "a:2888:3888:observer;0.0.0.0:2181"),
            ("a:2888:3888:Participant;b:2181", "a:2888:3888:participant;b:2181"),
            ("a:2888:3888;[::1]:2181", "a:2888:3888:participant;[::1]:2181"),
            ("[2001:db8::1]:2888:3888", "[2001:db8::1]:2888:3888:participant"),
            ("b:2:3|a:4:5:observer|b:2:3", "a:4:5|b:2:3:observer"),
            ("a:2:3;", "a:2:3:participant"),
        ] {
            assert_eq!(read(written), Ok(printed.to_owned()), "{written}");
            assert_eq!(read(printed), Ok(printed.to_owned()), "{printed}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_the_operators_words() {
        for (written, problem) in [
            ("", "the ports are missing"),
            ("a", "the ports are missing"),
            ("a:1", "no election port"),
            ("a:1:", "no election port"),
            (":1:2", "the host is missing"),
            ("a b:1:2", "the host has characters"),
            ("a:x:2", "`x` is no quorum port"),
            ("a:0:2", "`0` is no quorum port"),
            ("a:+1:2", "`+1` is no quorum port"),
            ("a:1:65536", "`65536` is no election port"),
            ("2001:db8::1:1:2", "`db8` is no quorum port (1 to 65535; an IPv6 host needs brackets)"),
            ("a:1:1", "both 1; they must differ"),
            ("a:1:2:voter", "`voter` is no role; allowed: participant, observer"),
            ("a:1:2:observer:3", "something is behind the role"),
            ("a:1:2:observer|b:1:2:participant", "different roles: observer and participant"),
            ("a:1:2|", "the ports are missing"),
            ("[::1:1:2", "no closing bracket"),
            ("[::1]1:2", "no port behind the IPv6 address"),
            ("a:1:2;b", "client address `b`"),
            ("a:1:2;b:c:3", "client address `b:c:3`"),
            ("a:1:2;3;4", "more than one `;`"),
        ] {
            let found = read(written).expect_err(written);
            assert!(found.contains(problem), "{written}: {found}");
        }
        for id in [-1, 256] {
            assert!(Member::parse(ServerId(id), "a:1:2").expect_err("an id").contains("0 to 255"));
        }
    }

    #[test]
    fn addresses_of_both_ports() {
        let member = Member::parse(ServerId(1), "b:2:3|[::1]:4:5").expect("a member");
        let text = |addresses: Vec<Address>| addresses.iter().map(Address::to_string).collect::<Vec<_>>();
        assert_eq!(text(member.quorum_addresses().collect()), ["[::1]:4", "b:2"]);
        assert_eq!(text(member.election_addresses().collect()), ["[::1]:5", "b:3"]);
    }
}
