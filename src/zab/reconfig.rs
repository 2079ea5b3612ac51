//! What a reconfiguration makes of a configuration: changes to it, or a whole new one.
//!
//! Called by the leader (`replica::ensemble`) for each request. The order of checks and what each is worth is ZooKeeper's
//! (`PrepRequestProcessor`, opcode reconfig); client-protocol.md §9.7.
//! Differences: addresses are compared as they are written, as no name is looked up here, and an id that no session could
//! bear is refused. Tested: reconfig_test.rs.

use super::member::Member;
use super::properties;
use super::quorum::Config;
use crate::base::ServerId;
use crate::base::limits::ENSEMBLE_TEXT_BYTES_MAX;
use crate::wire::peer::Address;

/// What is asked for. Each text is as the client sent it; `None`: null.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// Comma list of `server.N=…`. A member of that number is replaced.
    pub joining: Option<&'a str>,
    /// Comma list of numbers. Who is no member is passed over.
    pub leaving: Option<&'a str>,
    /// The whole membership, lines or a comma list; the others don't count then.
    pub members: Option<&'a str>,
}

/// Why it can't be, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// BadArguments.
    Arguments(String),
    /// What makes a Java server stumble: MarshallingError.
    Malformed(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Arguments(why) | Refusal::Malformed(why) => f.write_str(why),
        }
    }
}

impl Change<'_> {
    /// The configuration at `version` that this makes of `current`. `standalone_enabled`: two voters are the least.
    pub fn apply(&self, current: &Config, version: i64, standalone_enabled: bool) -> Result<Config, Refusal> {
        let config = match self.members {
            Some(members) => whole(members, standalone_enabled)?,
            None => self.incremental(current)?,
        };
        let least = if standalone_enabled { 2 } else { 1 };
        if config.voters().len() < least {
            return Err(few_voters(least));
        }
        let config = config.at_version(version);
        let bytes = config.to_string().len();
        if bytes > ENSEMBLE_TEXT_BYTES_MAX {
            return Err(Refusal::Arguments(format!(
                "a configuration of {bytes} bytes; allowed: {ENSEMBLE_TEXT_BYTES_MAX}"
            )));
        }
        Ok(config)
    }

    fn incremental(&self, current: &Config) -> Result<Config, Refusal> {
        let arguments = |why: String| Refusal::Arguments(why);
        if current.is_hierarchical() {
            return Err(arguments(
                "with groups or weights only the whole membership can be given".to_owned(),
            ));
        }
        let mut members: Vec<Member> = current.members().cloned().collect();
        for leaving in elements(self.leaving) {
            let id = number(leaving)?;
            members.retain(|member| member.id.0 != id);
        }
        for joining in elements(self.joining) {
            let parts: Vec<&str> =
                joining.split('=').map(str::trim).filter(|part| !part.is_empty()).collect();
            let [key, value] = parts[..] else {
                return Err(arguments(format!("`{joining}` is not server.N=…")));
            };
            let id = number(key.rsplit('.').next().unwrap_or(key))?;
            let joiner = Member::parse(ServerId(id), value)
                .map_err(|problem| arguments(format!("`{joining}`: {problem}")))?;
            if joiner.client.is_none() {
                return Err(arguments(format!("`{joining}`: the client port is missing")));
            }
            members.retain(|member| member.id != joiner.id);
            if let Some((address, other)) = shared_address(&joiner, &members) {
                return Err(arguments(format!("`{joining}`: {address} is server {}'s already", other.0)));
            }
            members.push(joiner);
        }
        if !members.iter().any(Member::is_voter) {
            return Err(few_voters(1));
        }
        Config::new(members, 0).map_err(|fault| arguments(fault.to_string()))
    }
}

fn few_voters(least: usize) -> Refusal {
    Refusal::Arguments(format!("fewer than {least} participants would be left"))
}

fn whole(members: &str, standalone_enabled: bool) -> Result<Config, Refusal> {
    let pairs = properties::pairs(&members.replace(',', "\n"));
    let roles = pairs.iter().filter(|(key, _)| key.trim().starts_with("server.")).map(|(_, value)| value);
    let read: Vec<Member> = roles.filter_map(|value| Member::parse(ServerId(0), value).ok()).collect();
    let voters = read.iter().filter(|member| member.is_voter()).count();
    let alone = voters == 0 || voters == 1 && standalone_enabled;
    if alone && (voters < read.len() || voters == 0 && !standalone_enabled) {
        return Err(Refusal::Malformed("observers and too few participants".to_owned()));
    }
    if voters == 0 {
        return Err(few_voters(1));
    }
    Config::from_pairs(pairs).map_err(|fault| Refusal::Arguments(fault.to_string()))
}

/// As ZooKeeper cuts lists: trimmed, and what is empty doesn't count.
fn elements(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|element| !element.is_empty())
}

fn number(text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| Refusal::Malformed(format!("`{text}` is no server number")))
}

/// Wildcard addresses of clients are everybody's.
fn shared_address(joiner: &Member, others: &[Member]) -> Option<(Address, ServerId)> {
    let own: Vec<Address> = addresses(joiner).collect();
    others.iter().find_map(|other| {
        addresses(other).find(|address| own.contains(address)).map(|address| (address, other.id))
    })
}

fn addresses(member: &Member) -> impl Iterator<Item = Address> + '_ {
    let client = member.client.iter().filter(|address| !matches!(address.host.as_str(), "0.0.0.0" | "::"));
    member.quorum_addresses().chain(member.election_addresses()).chain(client.cloned())
}

#[cfg(test)]
#[path = "reconfig_test.rs"]
mod tests;
