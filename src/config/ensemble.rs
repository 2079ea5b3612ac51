//! Membership: the server lines, the dynamic file, `myid`, and what only members of an ensemble are asked.
//!
//! Called by `checked`. Lines are read by room `zab`, which knows their one form; this file says where they stand.
//! Not here: writing dynamic files (`rewrite.rs`, `server::members_file`). Tested: ensemble_test.rs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::defaults;
use super::fault::{Origin, Severity, printable};
use super::raw::Raw;
use super::settings::Settings;
use super::values;
use crate::base::{ServerId, limits};
use crate::zab::{self, Member, Role};

/// One member of an ensemble: where ZooKeeper would run a `QuorumPeer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensemble {
    /// One of `members`.
    pub me: ServerId,
    /// At version 0, unless the name of a dynamic file says otherwise.
    pub members: Arc<zab::Config>,
    /// As this server's line has it.
    pub peer_type: Role,
    /// In ticks: to connect to the leader and to synchronise. With `sync_limit`: at most 31 bits of milliseconds.
    pub init_limit: u32,
    /// In ticks: silence between the leader and a learner.
    pub sync_limit: u32,
    /// `cnxTimeout`: to connect to another server for the election.
    pub connect_timeout: Duration,
    /// Committed transactions kept in memory for learners; at least 500.
    pub commit_log_count: usize,
    /// `quorumListenOnAllIPs`: the quorum and election ports are opened on all addresses.
    pub listen_on_all_ips: bool,
    /// `multiAddress.enabled`: servers tell each other all of their addresses.
    pub multi_address: bool,
    pub reconfig_enabled: bool,
    /// False: one participant is an ensemble, too.
    pub standalone_enabled: bool,
    /// A newer configuration, proposed and not known to be committed, if a file `.dynamic.next` tells one.
    pub next: Option<Arc<zab::Config>>,
    /// The configuration file, as the operator named it: where a reconfiguration is written.
    pub file: Option<String>,
    /// False: clients are not served while this server leads.
    pub leader_serves: bool,
    /// Sessions begin as their server's own, without a transaction.
    pub local_sessions: bool,
    /// They become the ensemble's when they get an ephemeral node; else they get none.
    pub local_sessions_upgrading: bool,
}

/// Reads a file that the configuration names. The caller's, since a file is outside; bounded by it.
pub type Read<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// The client port of this server's own line, as written.
pub struct OwnLine {
    pub key: String,
    pub host: String,
    pub port: u16,
}

/// What the server lines say, whether or not they make an ensemble.
pub struct Membership {
    pub members: Arc<zab::Config>,
    /// ZooKeeper would run a `QuorumPeer`: more than one participant, or `standaloneEnabled=false`.
    pub is_ensemble: bool,
    multi_address: bool,
    standalone_enabled: bool,
}

impl Membership {
    /// `None`: the line names no client port. `me`: `None` for a lone server, which needs no `myid`.
    pub fn own_line(&self, me: Option<ServerId>) -> Option<OwnLine> {
        let own = match me {
            Some(me) => self.members.member(me),
            None => self.members.members().next(),
        }?;
        let client = own.client.as_ref()?;
        Some(OwnLine { key: format!("server.{}", own.id.0), host: client.host.clone(), port: client.port })
    }
}

/// `None`: nobody is listed, or a fault was noted.
pub fn membership(settings: &mut Settings, read: Read<'_>) -> Option<Membership> {
    let standalone = settings.boolean("standaloneEnabled", true);
    let faults = settings.faults_count();
    let version = dynamic_file(settings, read);
    let multi_address = settings.boolean("multiAddress.enabled", false);
    let mut members: Vec<(String, Member)> = Vec::new();
    for (id, key) in settings.servers() {
        let Some(member) = settings.value(&key, |text| Member::parse(ServerId(id), text)) else { continue };
        if member.endpoints.len() > 1 && !multi_address {
            let problem = "several addresses; allowed: one, or set multiAddress.enabled=true on every server";
            settings.fault_at(&key, problem.to_owned());
        }
        members.push((key, member));
    }
    if settings.faults_count() > faults {
        return None;
    }
    let lines = settings.membership_lines();
    if lines.is_empty() {
        if !standalone {
            let problem = "no server is listed; add a line server.N=host:quorumPort:electionPort for each";
            settings.fault_at("standaloneEnabled", problem.to_owned());
        } else if settings.is_given(DYNAMIC_FILE) {
            let problem = "no server is listed in it; needed: a line server.N=host:quorumPort:electionPort";
            settings.fault_at(DYNAMIC_FILE, problem.to_owned());
        }
        return None;
    }
    let voters = members.iter().filter(|(_, member)| member.is_voter()).count();
    if let Some((key, _)) = members.iter().find(|(_, member)| !member.is_voter()) {
        let problem = match (voters, members.len()) {
            (0, 1) => "an observer with nobody to observe; allowed: participant",
            (0, _) => "all servers are observers; at least one must be a participant",
            (1, _) if standalone => {
                "an observer of a lone server: with one participant this is no ensemble; allowed: more participants, \
                 or standaloneEnabled=false"
            }
            _ => "",
        };
        if !problem.is_empty() {
            settings.fault_at(key, problem.to_owned());
            return None;
        }
    }
    let members = match zab::Config::from_pairs(lines) {
        Ok(members) => Arc::new(members.at_version(version)),
        Err(fault) => {
            settings.fault_at(&fault.key, fault.problem);
            return None;
        }
    };
    let bytes = members.to_string().len();
    if bytes > limits::ENSEMBLE_TEXT_BYTES_MAX {
        let problem = format!(
            "the server lines have {bytes} bytes together; allowed: {}",
            limits::ENSEMBLE_TEXT_BYTES_MAX
        );
        settings.fault_at("", problem);
        return None;
    }
    let is_ensemble = !standalone || voters > 1;
    Some(Membership { members, is_ensemble, multi_address, standalone_enabled: standalone })
}

const DYNAMIC_FILE: &str = "dynamicConfigFile";

/// Takes over the lines of the dynamic file, if one is named. Returns its version: 0 without one.
fn dynamic_file(settings: &mut Settings, read: Read<'_>) -> i64 {
    let Some(name) = settings.value(DYNAMIC_FILE, file_name) else { return 0 };
    for (key, _) in settings.membership_lines() {
        let problem = format!("belongs into the dynamic file: move this line to {}", printable(&name));
        settings.fault_at(&key, problem);
    }
    match read(Path::new(&name)) {
        Ok(content) => settings.lay_dynamic(Raw::parse(&name, &content)),
        Err(error) => settings.fault_at(DYNAMIC_FILE, format!("can't be read: {error}")),
    }
    // Source of the rule: `QuorumPeerConfig.getVersionFromFilename`. `zoo.cfg.dynamic` is version 0.
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    i64::from_str_radix(suffix, 16).ok().filter(|version| *version >= 0).unwrap_or(0)
}

fn file_name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains('\0') {
        true => Err("no path; allowed: the path of a file with the server lines".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// `None`: a lone server, or a fault was noted.
pub fn ensemble(
    settings: &mut Settings,
    membership: Option<&Membership>,
    data_dir: Option<&Path>,
    tick_time: Duration,
    reconfig_enabled: bool,
    read: Read<'_>,
) -> Option<Ensemble> {
    let membership = membership.filter(|membership| membership.is_ensemble)?;
    let members = Arc::clone(&membership.members);
    settings.judge_ensemble_keys();
    warn_of_numbers(settings, &members);
    let next = unfinished_reconfiguration(settings, reconfig_enabled, read);
    let init_limit =
        ticks(settings, "initLimit", "to connect to the leader and to synchronise", 10, tick_time);
    let sync_limit = ticks(settings, "syncLimit", "without a word between leader and learner", 5, tick_time);
    let connect_timeout =
        settings.number("cnxTimeout", 1..=i64::from(i32::MAX), "milliseconds", defaults::CONNECT_TIMEOUT_MS);
    let commit_log_count =
        settings.at_least("commitLogCount", defaults::COMMIT_LOG_COUNT_MIN, defaults::COMMIT_LOG_COUNT);
    let listen_on_all_ips = settings.boolean("quorumListenOnAllIPs", false);
    let leader_serves = settings.value("leaderServes", values::yes_or_no).unwrap_or(true);
    let local_sessions = settings.boolean("localSessionsEnabled", false);
    let local_sessions_upgrading = settings.boolean("localSessionsUpgradingEnabled", false);
    let peer_type = settings.value("peerType", role);
    let (me, origin) = my_id(settings, members.members().count(), data_dir?, read)?;
    let Some(own) = members.member(me) else {
        let listed: Vec<String> = members.members().map(|member| member.id.0.to_string()).collect();
        let problem = format!(
            "this is server {}, but no line server.{} lists it; listed: {}",
            me.0,
            me.0,
            listed.join(", ")
        );
        settings.fault_from(origin, problem);
        return None;
    };
    settings.note("myid", me.0.to_string(), origin);
    if let Some(written) = peer_type.filter(|written| *written != own.role) {
        let text = format!("peerType={written} is ignored: server.{} is listed as {}", me.0, own.role);
        settings.warn_at("peerType", Severity::Warning, text);
    }
    Some(Ensemble {
        me,
        peer_type: own.role,
        members,
        init_limit,
        sync_limit,
        connect_timeout: Duration::from_millis(connect_timeout.unsigned_abs()),
        commit_log_count: commit_log_count as usize,
        listen_on_all_ips,
        multi_address: membership.multi_address,
        reconfig_enabled,
        standalone_enabled: membership.standalone_enabled,
        next,
        file: settings.file().map(str::to_owned),
        leader_serves,
        local_sessions,
        local_sessions_upgrading,
    })
}

fn role(text: &str) -> Result<Role, String> {
    match text.to_ascii_lowercase().as_str() {
        "participant" => Ok(Role::Participant),
        "observer" => Ok(Role::Observer),
        _ => Err("no role; allowed: participant, observer".to_owned()),
    }
}

fn warn_of_numbers(settings: &mut Settings, members: &zab::Config) {
    let voters = members.voters().len();
    let text = match voters {
        1 => "one participant: no failure is tolerated; at least 3 are needed for that",
        2 => {
            "two participants: no failure is tolerated, and that of either stops both; at least 3 are needed"
        }
        _ if voters.is_multiple_of(2) && !members.is_hierarchical() => {
            "an even number of participants tolerates no more failures than one participant less"
        }
        _ => return,
    };
    let first = members.members().next().map_or_else(String::new, |member| format!("server.{}", member.id.0));
    settings.warn_at(&first, Severity::Warning, text.to_owned());
}

/// Beside `dynamicConfigFile` a file `.dynamic.next` is the newest configuration proposed: who forgot it might think that
/// fewer servers are a quorum.
fn unfinished_reconfiguration(
    settings: &mut Settings,
    reconfig_enabled: bool,
    read: Read<'_>,
) -> Option<Arc<zab::Config>> {
    let next = PathBuf::from(format!("{}.dynamic.next", settings.file()?));
    if !settings.is_given(DYNAMIC_FILE) {
        return None;
    }
    let problem = match read(&next) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => format!("can't be read: {error}; it may hold an unfinished reconfiguration"),
        Ok(content) if reconfig_enabled => match zab::Config::parse(&String::from_utf8_lossy(&content)) {
            Ok(config) => return Some(Arc::new(config)),
            Err(fault) => format!("an unfinished reconfiguration that can't be read: {fault}"),
        },
        Ok(_) => "an unfinished reconfiguration; set reconfigEnabled=true to take it up, or remove the file if it was \
                  given up"
            .to_owned(),
    };
    settings.fault_from(Origin::Absent { name: Some(next.to_string_lossy().into_owned()) }, problem);
    None
}

/// A required number of ticks. Like ZooKeeper's, their time fits in 31 bits of milliseconds.
fn ticks(settings: &mut Settings, key: &str, what: &str, example: u32, tick_time: Duration) -> u32 {
    if !settings.is_given(key) {
        let problem = format!("required in an ensemble: ticks {what}; e.g. {key}={example}");
        settings.missing(key, &problem);
        return example;
    }
    let longest = i64::from(i32::MAX) / i64::try_from(tick_time.as_millis()).unwrap_or(i64::MAX).max(1);
    settings.number(key, 1..=longest, "ticks", i64::from(example)) as u32
}

/// The number of this server and where it was given. `dataDir/myid` comes first; `myid` (in the container image: `ZOO_MY_ID`)
/// counts where there is no such file yet, as in the image.
fn my_id(
    settings: &mut Settings,
    servers: usize,
    data_dir: &Path,
    read: Read<'_>,
) -> Option<(ServerId, Origin)> {
    let faults = settings.faults_count();
    let given = settings.value("myid", server_id);
    let path = data_dir.join("myid");
    let name = path.to_string_lossy().into_owned();
    let whole = Origin::Absent { name: Some(name.clone()) };
    let first_line = Origin::File { name: name.clone(), line: 1 };
    let problem = match read(&path) {
        Ok(content) => {
            let line = content.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
            match server_id(&String::from_utf8_lossy(line)) {
                Ok(me) => {
                    if let Some(given) = given.filter(|given| *given != me) {
                        let name = printable(&name);
                        let text = format!("myid={} is ignored: {name} says {}", given.0, me.0);
                        settings.warn_at("myid", Severity::Warning, text);
                    }
                    return Some((me, first_line));
                }
                Err(problem) => {
                    settings.fault_from(first_line, problem);
                    return None;
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match given {
            Some(me) => return Some((me, settings.origin("myid").cloned().unwrap_or(whole))),
            None if settings.faults_count() > faults => return None,
            None => format!(
                "missing: it says which of the {servers} listed servers this is; write the N of its line server.N \
                 there, e.g. echo 1 > {}",
                printable(&name)
            ),
        },
        Err(error) => format!("can't be read: {error}"),
    };
    settings.fault_from(whole, problem);
    None
}

/// As strict as ZooKeeper: a Java server on the same directory must read the same.
fn server_id(text: &str) -> Result<ServerId, String> {
    match text.parse() {
        Ok(id) => zab::member::check_id(id),
        Err(_) => Err(format!(
            "`{}` is no server number; allowed: the N of this server's line server.N, and nothing else on the line",
            printable(text)
        )),
    }
}

#[cfg(test)]
#[path = "ensemble_test.rs"]
mod tests;
