//! Who serves, whether a quorum is left without this server, and the order of moving over.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::thread;

use super::super::srvr::{shown, srvr};
use super::{Finding, Level};
use crate::base::ServerId;
use crate::config::{Config, Ensemble};
use crate::zab::{Member, ServerSet};

/// In what a server says that may not answer to a word.
const WHITELIST: &str = "whitelist";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// What `srvr` says.
    Serves { mode: String, version: String, zxid: String },
    /// It runs, and takes part in no quorum.
    Idle,
    /// It doesn't answer to `srvr`: what it said instead.
    Silent(String),
    /// Nobody took the connection.
    Absent { error: String, is_refused: bool },
    /// Its line doesn't say where it can be reached from here.
    Unasked,
}

/// A server, and what it said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `None`: standalone.
    pub id: Option<ServerId>,
    pub address: String,
    pub is_me: bool,
    /// Who took the connection.
    pub reached: Option<SocketAddr>,
    pub state: State,
}

impl Answer {
    /// Another server, of which it isn't known whether it serves, though it may.
    fn is_dark(&self) -> bool {
        let may_not_say = matches!(&self.state, State::Silent(said) if said.contains(WHITELIST));
        !self.is_me && (self.state == State::Unasked || may_not_say)
    }

    /// Another server, in a quorum.
    pub fn serves(&self) -> bool {
        !self.is_me && self.mode().is_some_and(|mode| matches!(mode, "leader" | "follower" | "observer"))
    }

    fn mode(&self) -> Option<&str> {
        match &self.state {
            State::Serves { mode, .. } => Some(mode),
            _ => None,
        }
    }

    fn is_apaches(&self) -> bool {
        matches!(&self.state, State::Serves { version, .. } if !version.contains("ringkeeper"))
    }
}

/// Asks them all at once.
pub fn ask(config: &Config) -> Vec<Answer> {
    let own = own_address(config);
    let Some(ensemble) = &config.ensemble else {
        let (state, reached) = state_of(&own);
        return vec![Answer { id: None, address: own, is_me: true, reached, state }];
    };
    let own_hosts = hosts(ensemble.members.member(ensemble.me));
    let ask_one = |member: &Member| {
        let is_me = member.id == ensemble.me;
        let address = if is_me { own.clone() } else { address_of(member, config.client.port) };
        let is_known = is_me || is_elsewhere(member, &own_hosts);
        let (state, reached) = if is_known { state_of(&address) } else { (State::Unasked, None) };
        Answer { id: Some(member.id), address, is_me, reached, state }
    };
    let mut answers: Vec<Answer> = thread::scope(|scope| {
        let asked: Vec<_> =
            ensemble.members.members().map(|member| scope.spawn(move || ask_one(member))).collect();
        asked.into_iter().map(|asked| asked.join().expect("it doesn't panic")).collect()
    });
    forget_doubles(&mut answers);
    answers
}

/// What one process said counts once, and of which member isn't known: lines without client ports may lead to the same one.
fn forget_doubles(answers: &mut [Answer]) {
    let reached: Vec<SocketAddr> = answers.iter().filter_map(|answer| answer.reached).collect();
    let is_double = |answer: &Answer| {
        answer.reached.is_some_and(|own| reached.iter().filter(|other| **other == own).count() > 1)
    };
    for answer in answers.iter_mut().filter(|answer| !answer.is_me && is_double(answer)) {
        answer.state = State::Unasked;
    }
}

fn hosts(member: Option<&Member>) -> Vec<&str> {
    member.into_iter().flat_map(|member| &member.endpoints).map(|endpoint| endpoint.host.as_str()).collect()
}

/// Its client port isn't this server's, nor one of this host that is meant for its own host only.
fn is_elsewhere(member: &Member, own_hosts: &[&str]) -> bool {
    let hosts = hosts(Some(member));
    match &member.client {
        None => !hosts.iter().any(|host| own_hosts.contains(host)),
        Some(client) => !is_loopback(&client.host) || hosts.iter().any(|host| is_loopback(host)),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn own_address(config: &Config) -> String {
    let address = config.client.socket_address();
    match address.ip().is_unspecified() {
        true => format!("127.0.0.1:{}", address.port()),
        false => address.to_string(),
    }
}

/// A static line names no client port: then it's that of this server, as is usual.
fn address_of(member: &Member, own_port: u16) -> String {
    let host = member.endpoints.first().map_or("", |endpoint| endpoint.host.as_str());
    match &member.client {
        Some(client) if matches!(client.host.as_str(), "0.0.0.0" | "::") => joined(host, client.port),
        Some(client) => joined(&client.host, client.port),
        None => joined(host, own_port),
    }
}

fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn state_of(address: &str) -> (State, Option<SocketAddr>) {
    match srvr(address) {
        Ok((text, reached)) => (parsed(&text), Some(reached)),
        Err(error) => {
            let is_refused = error.kind() == ErrorKind::ConnectionRefused;
            (State::Absent { error: error.to_string(), is_refused }, None)
        }
    }
}

fn parsed(text: &str) -> State {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(shown);
    if let (Some(version), Some(mode)) = (value("Zookeeper version:"), value("Mode:")) {
        let version = version.split(',').next().unwrap_or_default().to_owned();
        return State::Serves { mode, version, zxid: value("Zxid:").unwrap_or_default() };
    }
    if text.contains("not currently serving requests") {
        return State::Idle;
    }
    let first = text.lines().next().unwrap_or("nothing");
    State::Silent(shown(first))
}

pub fn judge(config: &Config, answers: &[Answer]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = answers.iter().map(told).collect();
    if let Some(ensemble) = &config.ensemble {
        findings.extend(quorum(ensemble, answers));
        findings.extend(moving(ensemble, answers));
    }
    findings
}

fn told(answer: &Answer) -> Finding {
    let name = match answer.id {
        Some(id) => format!("server.{} at {}", id.0, answer.address),
        None => answer.address.clone(),
    };
    let me = if answer.is_me { " (this one)" } else { "" };
    match &answer.state {
        State::Serves { mode, version, zxid } => {
            Finding::new(Level::Fine, format!("{name}{me}: {mode}, {version}, zxid {zxid}"))
        }
        State::Idle => Finding::new(Level::Warning, format!("{name}{me}: runs, and is in no quorum")),
        State::Silent(said) if said.contains(WHITELIST) => Finding::new(
            Level::Note,
            format!("{name}{me}: runs, and may not say more: srvr is not in its 4lw.commands.whitelist"),
        ),
        State::Silent(said) => {
            let level = if answer.is_me { Level::Wrong } else { Level::Warning };
            Finding::new(level, format!("{name}{me}: something listens there and answers srvr with: {said}"))
                .todo("Is that another program's port?")
        }
        State::Absent { is_refused: true, .. } if answer.is_me => {
            Finding::new(Level::Note, format!("{name}{me}: not running; its port is free"))
        }
        State::Unasked => Finding::new(Level::Note, format!("{name}: its line doesn't say where it can be asked from here"))
            .todo("Give its client address and port behind a `;`. (Without, its host is asked at this server's port.)"),
        State::Absent { error, .. } => Finding::new(Level::Warning, format!("{name}{me}: {error}")),
    }
}

fn quorum(ensemble: &Ensemble, answers: &[Answer]) -> Vec<Finding> {
    let me = ensemble.me.0;
    let leaders: Vec<String> = answers
        .iter()
        .filter(|answer| answer.mode() == Some("leader"))
        .filter_map(|answer| Some(format!("server.{}", answer.id?.0)))
        .collect();
    let mut others = ServerSet::EMPTY;
    for answer in answers.iter().filter(|answer| answer.serves()) {
        others.insert(answer.id.unwrap_or(ServerId(0)));
    }
    let mut findings = vec![];
    let has_standalone = answers.iter().any(|answer| answer.mode() == Some("standalone"));
    if has_standalone {
        findings.push(
            Finding::new(
                Level::Wrong,
                "a server of this ensemble runs standalone: what is written there is nobody else's",
            )
            .todo("Is its configuration another one, or its list of servers shorter?"),
        );
    }
    if leaders.len() > 1 {
        findings.push(
            Finding::new(Level::Wrong, format!("{} all say that they lead", leaders.join(" and ")))
                .todo("Either that changed while they were asked (ask again), or these are two ensembles: compare their server lines."),
        );
    }
    if has_standalone || leaders.len() > 1 {
        return findings;
    }
    let is_there = ensemble.members.has_quorum(&others);
    let mut perhaps = others;
    for answer in answers.iter().filter(|answer| answer.is_dark()) {
        perhaps.insert(answer.id.unwrap_or(ServerId(0)));
    }
    findings.push(match (is_there, leaders.is_empty()) {
        (true, false) => Finding::new(
            Level::Fine,
            format!("a quorum serves without server.{me}: it may be stopped, and one server only at a time"),
        ),
        (_, true) if answers.iter().any(Answer::is_dark) => {
            Finding::new(Level::Note, "whether a quorum serves isn't known: not all could be asked")
        }
        (false, false) if ensemble.members.has_quorum(&perhaps) => Finding::new(
            Level::Warning,
            format!("whether a quorum serves without server.{me} isn't known: not all could be asked"),
        )
        .todo("Look at each with `srvr` before this one is stopped."),
        (_, true) => {
            Finding::new(Level::Note, "nobody leads: either the ensemble is not started, or it has no quorum")
        }
        (false, false) => Finding::new(
            Level::Warning,
            format!("without server.{me} there would be no quorum: who stops it stops the ensemble"),
        )
        .todo("First bring back those that don't serve."),
    });
    findings
}

/// The safe order, where servers of both kinds are.
fn moving(ensemble: &Ensemble, answers: &[Answer]) -> Option<Finding> {
    let theirs: Vec<&Answer> = answers.iter().filter(|answer| answer.is_apaches()).collect();
    if theirs.is_empty() {
        return None;
    }
    let (last, first): (Vec<&Answer>, Vec<&Answer>) =
        theirs.iter().copied().partition(|answer| answer.mode() == Some("leader"));
    let order: Vec<String> =
        first.iter().chain(&last).filter_map(|answer| Some(format!("server.{}", answer.id?.0))).collect();
    let count = ensemble.members.members().count();
    Some(
        Finding::new(
            Level::Note,
            format!("{} of {count} servers are Apache ZooKeeper's. Moving over, the leader last: {}", theirs.len(), order.join(", ")),
        )
        .todo("Of each: 1. see here that a quorum serves without it, and stop it; 2. import its dataDir and dataLogDir as it left them:")
        .todo("   ringkeeper snapshot import DATADIR [DATALOGDIR] --to NEWDIR; 3. in its zoo.cfg dataDir=NEWDIR, no dataLogDir;")
        .todo("4. ringkeeper server zoo.cfg, under the same myid, which came along; 5. when `srvr` says follower or observer, the next.")
        .todo("Never start a voter with nothing, or with an old copy, under the id of one that voted.")
        .todo("Going back is the same the other way: ringkeeper snapshot export DATADIR --to NEWDIR, and Apache's server on NEWDIR."),
    )
}

#[cfg(test)]
#[path = "members_test.rs"]
mod tests;
