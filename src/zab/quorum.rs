//! The configuration of the ensemble: its members, what a quorum of them is, and its text in both directions.
//!
//! Used by the election, by leader and learner, and by whoever keeps `/zookeeper/config` and the dynamic configuration
//! file. A [`Config`] is an immutable value, shared by `Arc`; [`Joint`] is the one or two which must agree while a
//! reconfiguration is under way.
//!
//! * Majority: more than half of the voters. Observers never count.
//! * Hierarchy (`group.G=sid:sid…`, `weight.S=w`): in more than half of the groups that have weight, more than half of the
//!   group's weight. Java's integer division included.
//! * Text: in the order in which a Java server iterates its hash table; order has no meaning, but then a client sees the
//!   same from both. (quorum-protocol.md §15.3 says "sorted as strings": true only of the file, [`Config::file_text`].)
//!
//! Limits: ids `limits::SERVER_ID_MAX`, text `limits::ENSEMBLE_TEXT_BYTES_MAX`.
//! Tested: quorum_test.rs, with texts from a real ensemble.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::member::{Fault, Member, check_id};
use super::properties;
use super::servers::ServerSet;
use crate::base::limits::ENSEMBLE_TEXT_BYTES_MAX;
use crate::base::{Epoch, ServerId, Zxid};

/// The members and their rule, at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    members: BTreeMap<ServerId, Member>,
    /// Those that vote.
    voters: ServerSet,
    hierarchy: Option<Hierarchy>,
    /// The zxid of the reconfiguration that made it; 0 before there was any.
    version: i64,
}

/// Groups and weights. Every voter is in a group and has a weight.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    groups: BTreeMap<i64, ServerSet>,
    weights: BTreeMap<ServerId, i64>,
}

impl Config {
    /// A configuration of equals.
    pub fn new(members: impl IntoIterator<Item = Member>, version: i64) -> Result<Config, Fault> {
        let mut all = BTreeMap::new();
        for member in members {
            if let Some(twice) = all.insert(member.id, member) {
                return Err(Fault::whole(format!("server {} is listed twice", twice.id.0)));
            }
        }
        Config::build(all, None, version)
    }

    /// Reads a text as [`Config`] prints it: from a notification, NEWLEADER, a reconfiguration or a dynamic file.
    pub fn parse(text: &str) -> Result<Config, Fault> {
        if text.len() > ENSEMBLE_TEXT_BYTES_MAX {
            return Err(Fault::whole(format!(
                "a configuration of {} bytes; allowed: {ENSEMBLE_TEXT_BYTES_MAX}",
                text.len()
            )));
        }
        Config::from_pairs(properties::pairs(text))
    }

    /// Reads keys and values: `server.N`, `group.G`, `weight.N` and `version`; others are a fault. Where a key is given
    /// twice the last one counts, as in Java.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Config, Fault> {
        let mut members = BTreeMap::new();
        let mut groups: BTreeMap<i64, (String, Vec<ServerId>)> = BTreeMap::new();
        let mut weights = BTreeMap::new();
        let mut version = 0;
        for (key, value) in pairs {
            let (key, value) = (key.as_ref().trim(), value.as_ref().trim());
            let fault = |problem: String| Fault::new(key, value, problem);
            if let Some(id) = key.strip_prefix("server.") {
                let id = server_id(id).map_err(&fault)?;
                members.insert(id, Member::parse(id, value).map_err(&fault)?);
            } else if let Some(group) = key.strip_prefix("group.") {
                let group = group
                    .parse()
                    .map_err(|_| fault("no group number; allowed: group.G with a whole number G".into()))?;
                let ids = value.split(':').map(|id| server_id(id.trim())).collect::<Result<_, _>>();
                groups.insert(group, (value.to_owned(), ids.map_err(&fault)?));
            } else if let Some(id) = key.strip_prefix("weight.") {
                let id = server_id(id).map_err(&fault)?;
                let weight = value.parse().ok().filter(|weight| (0..=WEIGHT_MAX).contains(weight));
                let problem = || fault(format!("no weight; allowed: 0 to {WEIGHT_MAX}"));
                weights.insert(id, weight.ok_or_else(problem)?);
            } else if key == "version" {
                let problem = "no version; allowed: a hexadecimal number";
                version = i64::from_str_radix(value, 16).map_err(|_| fault(problem.into()))?;
            } else {
                return Err(fault(
                    "not a setting of an ensemble; allowed: server.N, group.G, weight.N".into(),
                ));
            }
        }
        let hierarchy = match groups.is_empty() && weights.is_empty() {
            true => None,
            false => Some(Hierarchy::new(&members, groups, weights)?),
        };
        Config::build(members, hierarchy, version)
    }

    fn build(
        members: BTreeMap<ServerId, Member>,
        hierarchy: Option<Hierarchy>,
        version: i64,
    ) -> Result<Config, Fault> {
        let voters: ServerSet = members.values().filter(|member| member.is_voter()).map(|m| m.id).collect();
        if voters.is_empty() {
            return Err(Fault::whole(match members.is_empty() {
                true => "no server is listed; needed: a line server.N=host:quorumPort:electionPort",
                false => "all servers are observers; at least one must be a participant",
            }));
        }
        if let Some(id) = members.keys().find(|id| check_id(id.0).is_err()) {
            return Err(Fault::whole(check_id(id.0).expect_err("it was just refused")));
        }
        Ok(Config { members, voters, hierarchy, version })
    }

    /// The same at another version.
    pub fn at_version(&self, version: i64) -> Config {
        Config { version, ..self.clone() }
    }

    pub fn version(&self) -> i64 {
        self.version
    }

    /// In ascending order of ids.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn member(&self, id: ServerId) -> Option<&Member> {
        self.members.get(&id)
    }

    pub fn voters(&self) -> &ServerSet {
        &self.voters
    }

    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters.contains(id)
    }

    /// Groups and weights are refused by incremental reconfiguration.
    pub fn is_hierarchical(&self) -> bool {
        self.hierarchy.is_some()
    }

    /// 1 without weights. A server with weight 0 is never elected.
    pub fn weight(&self, id: ServerId) -> i64 {
        match &self.hierarchy {
            None => 1,
            Some(hierarchy) => hierarchy.weights.get(&id).copied().unwrap_or(0),
        }
    }

    /// Whether votes for this server count. As in ZooKeeper, a stranger has weight where there are no groups.
    pub fn weighs(&self, id: ServerId) -> bool {
        self.weight(id) != 0
    }

    /// Whether `servers` are a quorum; those that don't vote here don't count.
    #[inline]
    pub fn has_quorum(&self, servers: &ServerSet) -> bool {
        let servers = servers.and(&self.voters);
        match &self.hierarchy {
            None => servers.len() > self.voters.len() / 2,
            Some(hierarchy) => hierarchy.has_quorum(&servers),
        }
    }

    /// Members, roles, addresses and rule are the same, whatever the versions.
    pub fn has_same_content(&self, other: &Config) -> bool {
        self.members == other.members && self.hierarchy == other.hierarchy
    }

    /// What a dynamic configuration file holds: the lines sorted as strings, no version (it is in the file's name).
    pub fn file_text(&self) -> String {
        let mut lines = self.lines();
        lines.sort();
        lines.join("\n")
    }

    /// The lines but for the version.
    fn lines(&self) -> Vec<String> {
        let ids = java_order(self.members.keys().map(|id| id.0));
        let members = ids.iter().filter_map(|id| self.members.get(&ServerId(*id)));
        let mut lines: Vec<String> =
            members.map(|member| format!("server.{}={member}", member.id.0)).collect();
        if let Some(hierarchy) = &self.hierarchy {
            let grouped = java_order(hierarchy.groups.values().flat_map(ServerSet::iter).map(|id| id.0));
            for group in java_order(hierarchy.groups.keys().copied()) {
                let members = &hierarchy.groups[&group];
                let ids: Vec<String> = grouped
                    .iter()
                    .filter(|id| members.contains(ServerId(**id)))
                    .map(|id| id.to_string())
                    .collect();
                lines.push(format!("group.{group}={}", ids.join(":")));
            }
            for id in java_order(hierarchy.weights.keys().map(|id| id.0)) {
                lines.push(format!("weight.{id}={}", hierarchy.weights[&ServerId(id)]));
            }
        }
        lines
    }
}

/// The text of notifications, NEWLEADER and `/zookeeper/config`: no end of line behind the version.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        write!(f, "version={:x}", self.version)
    }
}

/// No sum of 256 of them overflows.
const WEIGHT_MAX: i64 = i32::MAX as i64;

fn server_id(text: &str) -> Result<ServerId, String> {
    let id = text.parse().map_err(|_| format!("`{text}` is no server number"))?;
    check_id(id)
}

impl Hierarchy {
    fn new(
        members: &BTreeMap<ServerId, Member>,
        written: BTreeMap<i64, (String, Vec<ServerId>)>,
        mut weights: BTreeMap<ServerId, i64>,
    ) -> Result<Hierarchy, Fault> {
        for member in members.values().filter(|member| member.is_voter()) {
            weights.entry(member.id).or_insert(1);
        }
        let mut groups: BTreeMap<i64, ServerSet> = BTreeMap::new();
        let mut grouped = ServerSet::EMPTY;
        for (group, (value, ids)) in written {
            for id in ids {
                let fault = |problem: &str| {
                    Err(Fault::new(&format!("group.{group}"), &value, format!("server {} {problem}", id.0)))
                };
                if !members.contains_key(&id) {
                    return fault("is not listed by a line server.N");
                }
                if !grouped.insert(id) {
                    return fault("is in two groups; allowed: one");
                }
                if !weights.contains_key(&id) {
                    return fault("is an observer; take it out of the group, or give it a weight");
                }
                groups.entry(group).or_default().insert(id);
            }
        }
        if let Some(id) = weights.keys().find(|id| !members.contains_key(id)) {
            let problem = format!("server {} is not listed by a line server.N", id.0);
            return Err(Fault { key: format!("weight.{}", id.0), value: None, problem });
        }
        match members.values().find(|member| member.is_voter() && !grouped.contains(member.id)) {
            Some(member) => Err(Fault::whole(format!(
                "server {} is in no group; where there are groups or weights, every participant needs a group",
                member.id.0
            ))),
            None => Ok(Hierarchy { groups, weights }),
        }
    }

    fn weight_of(&self, servers: &ServerSet) -> i64 {
        servers.iter().map(|id| self.weights.get(&id).copied().unwrap_or(0)).sum()
    }

    fn has_quorum(&self, servers: &ServerSet) -> bool {
        let (mut heavy, mut won) = (0, 0);
        for group in self.groups.values() {
            let weight = self.weight_of(group);
            heavy += usize::from(weight > 0);
            won += usize::from(self.weight_of(&servers.and(group)) > weight / 2);
        }
        won > heavy / 2
    }
}

/// The order in which Java's `HashMap<Long, …>` iterates these keys if they were put in one by one. Keys which share a
/// slot come in ascending order here and in the order of insertion there, which nobody can know.
fn java_order(keys: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut keys: Vec<i64> = keys.collect();
    let mut slots = 16;
    while keys.len() * 4 > slots * 3 {
        slots *= 2;
    }
    let slot = |key: i64| {
        let hash = (key ^ ((key as u64) >> 32) as i64) as u32;
        (hash ^ (hash >> 16)) as usize & (slots - 1)
    };
    keys.sort_by_key(|key| (slot(*key), *key));
    keys
}

/// The configurations that must each agree: the committed one, and the proposed one while it is newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joint {
    committed: Arc<Config>,
    next: Option<Arc<Config>>,
}

impl Joint {
    /// `last_seen`: the newest configuration proposed; counts only if its version is above the committed one's.
    pub fn new(committed: Arc<Config>, last_seen: Option<Arc<Config>>) -> Joint {
        let next = last_seen.filter(|next| next.version() > committed.version());
        Joint { committed, next }
    }

    pub fn committed(&self) -> &Arc<Config> {
        &self.committed
    }

    /// The proposed one, if it is newer.
    pub fn next(&self) -> Option<&Arc<Config>> {
        self.next.as_ref()
    }

    /// Whether `servers` hold a quorum of each.
    #[inline]
    pub fn has_quorum(&self, servers: &ServerSet) -> bool {
        self.committed.has_quorum(servers) && self.next.as_ref().is_none_or(|next| next.has_quorum(servers))
    }

    /// Whether so many are enough to end an election. `ahead`: the epoch of the server for which they vote, if that is later
    /// than any in which this one has taken part.
    ///
    /// A quorum of each configuration, but for one case: the other one's epoch is later than that of the proposal. A quorum
    /// of the committed configuration has agreed to that epoch, so if the proposal was committed he has it, and can't lead
    /// without its quorum; if he does not have it, it never will be. A server that insisted would wait for the voters of a
    /// configuration that nobody else knows of: if one of them is blank, all would wait for ever. What was committed is kept
    /// by the promises that a leader needs of his own configurations; the election only says whom to try.
    pub fn is_enough(&self, supporters: &ServerSet, ahead: Option<Epoch>) -> bool {
        let is_past = |next: &Config| ahead.is_some_and(|ahead| ahead > Zxid(next.version()).epoch());
        let has_next = |next: &Arc<Config>| is_past(next) || next.has_quorum(supporters);
        self.committed.has_quorum(supporters) && self.next.as_ref().is_none_or(has_next)
    }

    /// Those that vote in either.
    pub fn voters(&self) -> ServerSet {
        match &self.next {
            Some(next) => self.committed.voters().or(next.voters()),
            None => *self.committed.voters(),
        }
    }

    #[inline]
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.committed.is_voter(id) || self.next.as_ref().is_some_and(|next| next.is_voter(id))
    }

    /// How the server is described: by the committed configuration, else by the next one.
    pub fn member(&self, id: ServerId) -> Option<&Member> {
        self.committed.member(id).or_else(|| self.next.as_ref().and_then(|next| next.member(id)))
    }
}

/// Who has agreed to one thing (a proposal, an epoch, NEWLEADER), held against the configurations of the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acks(ServerSet);

impl Acks {
    /// False if it counts for nothing: heard before, or a voter of neither.
    #[inline]
    pub fn add(&mut self, server: ServerId, joint: &Joint) -> bool {
        joint.is_voter(server) && self.0.insert(server)
    }

    #[inline]
    pub fn has_quorum(&self, joint: &Joint) -> bool {
        joint.has_quorum(&self.0)
    }

    pub fn servers(&self) -> &ServerSet {
        &self.0
    }
}

#[cfg(test)]
#[path = "quorum_test.rs"]
pub(super) mod tests;
