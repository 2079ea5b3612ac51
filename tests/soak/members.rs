//! The ensemble of a run: three voters of both kinds, an observer of ours, and one that comes and goes.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use ringkeeper::base::Prng;

use crate::Options;
use crate::cluster::{Cluster, change};
use crate::gate::Gate;
use crate::mixed::{OURS_COMPLAINT, THEIRS_COMPLAINT, java_of};
use crate::support::within;
use crate::tally::Tally;

pub const VOTERS: usize = 3;
/// The place of the observer that stays, and of the one that comes and goes.
pub const OBSERVER: usize = 3;
pub const GUEST: usize = 4;
/// Every server to serve again, on a busy machine.
const BOUND: Duration = Duration::from_secs(120);
/// Ticks of silence after which a server is given up: six seconds, as Java may be slow here.
const SYNC_LIMIT: u32 = 12;
pub const SESSION_MS: i32 = 40_000;
/// What a leader of Apache's says before it closes a connection to a learner that doesn't keep to the protocol.
const PROTOCOL_COMPLAINT: &str = "Next packet was supposed to be an ACK";
/// Of the lines before a complaint so many are shown.
const CONTEXT: usize = 6;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours,
    Apache(String),
}

impl Kind {
    pub fn name(&self) -> &str {
        match self {
            Kind::Ours => "Ringkeeper",
            Kind::Apache(version) => version,
        }
    }
}

pub struct Members {
    pub cluster: Cluster,
    pub kinds: Vec<Kind>,
    /// Clients are held back where servers of Apache's synchronise with each other.
    pub gate: Arc<Gate>,
    pub tally: Arc<Tally>,
    versions: Vec<String>,
    leader: Option<usize>,
}

impl Members {
    /// Prepared; none runs.
    pub fn prepare(options: &Options, tally: Arc<Tally>) -> Members {
        let mut random = Prng::salted(options.seed, "members");
        let mut kinds: Vec<Kind> = options.apache.iter().cloned().map(Kind::Apache).collect();
        kinds.resize(VOTERS, Kind::Ours);
        for at in (1..VOTERS).rev() {
            kinds.swap(at, random.below(at as u64 + 1) as usize);
        }
        kinds.extend([Kind::Ours, Kind::Ours]);
        let several = options.apache.len() > 1;
        let cluster = Cluster::prepare(kinds.len(), |id, config| {
            let mut config = config
                .set("syncLimit", SYNC_LIMIT)
                .set("initLimit", 40)
                .set("maxSessionTimeout", 60_000)
                .set("extendedTypesEnabled", true)
                .set("znode.container.checkIntervalMs", 200)
                .set("snapCount", 20_000)
                .set("autopurge.purgeInterval", 1);
            // Both placements: one loop that does all, and loops of their own for clients.
            if id.is_multiple_of(2) {
                config = config.set("ringkeeper.shards", 2);
            }
            // Apache's two send each other differences: a snapshot under load is fuzzy between them.
            if several {
                config = config.set("commitLogCount", 100_000);
            }
            match &kinds[id - 1] {
                Kind::Ours => config,
                Kind::Apache(version) => {
                    let command = java_of(version);
                    config.command(&command.iter().map(String::as_str).collect::<Vec<_>>())
                }
            }
        });
        let (gate, versions) = (Arc::default(), options.apache.clone());
        Members { cluster, kinds, gate, tally, versions, leader: None }
    }

    pub fn start(&mut self) {
        self.cluster.name_voters(VOTERS);
        for server in &mut self.cluster.servers[..VOTERS] {
            server.spawn();
        }
        self.settle();
        self.join(OBSERVER, 1);
    }

    pub fn is_apache(&self, at: usize) -> bool {
        self.kinds[at] != Kind::Ours
    }

    pub fn is_running(&self, at: usize) -> bool {
        self.cluster.servers[at].is_launched()
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.kinds.len()).filter(|at| self.is_running(*at)).collect()
    }

    pub fn name(&self, at: usize) -> String {
        format!("server {} ({})", at + 1, self.kinds[at].name())
    }

    /// Somebody may stand still: whoever says now that it leads and is answered by others, if anybody does.
    pub fn look_who_leads(&mut self) {
        let leads = |at: &usize| self.cluster.servers[*at].mode().is_some_and(|mode| mode == "leader");
        let found = (0..VOTERS).filter(|at| self.is_running(*at)).find(leads);
        self.note_leader(found);
    }

    fn note_leader(&mut self, found: Option<usize>) {
        let before = std::mem::replace(&mut self.leader, found);
        if let Some(leader) = found
            && before != found
        {
            self.tally.count(&format!("leader {}", self.kinds[leader].name()));
            *self.tally.leader.lock().expect("nobody panics with it") = self.name(leader);
        }
    }

    /// Waits until all that run serve; who leads.
    pub fn settle(&mut self) -> usize {
        let running = self.running();
        let leader = within(BOUND, "every server to serve, one of them as the leader", || {
            for at in &running {
                let ended = !self.cluster.servers[*at].is_running();
                assert!(!ended, "{} has ended by itself:\n{}", self.name(*at), self.last_lines(*at));
            }
            let modes: Option<Vec<String>> =
                running.iter().map(|at| self.cluster.servers[*at].mode()).collect();
            let modes = modes?;
            let mut leaders = running.iter().zip(&modes).filter(|(_, mode)| *mode == "leader");
            let leader = leaders.next().map(|(at, _)| *at);
            leader.filter(|_| leaders.next().is_none())
        });
        self.note_leader(Some(leader));
        leader
    }

    fn last_lines(&self, at: usize) -> String {
        let output = self.cluster.servers[at].output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub fn kill(&mut self, at: usize) {
        self.cluster.servers[at].kill();
        if self.leader == Some(at) {
            self.leader = None;
        }
    }

    /// Whether this server may come to synchronise with one of its own kind, and that kind is Apache's.
    pub fn is_delicate(&self, at: usize) -> bool {
        let others_are =
            (0..VOTERS).any(|other| other != at && self.is_running(other) && self.is_apache(other));
        let leads_ours = self.leader.is_some_and(|leader| leader != at && !self.is_apache(leader));
        self.is_apache(at) && others_are && !leads_ours
    }

    /// Starts it, and waits until all serve.
    pub fn rejoin(&mut self, at: usize) {
        self.carefully(at, |members| members.cluster.servers[at].spawn());
    }

    /// What `action` lets synchronise is in step when this returns; clients wait if they have to.
    pub fn carefully(&mut self, at: usize, action: impl FnOnce(&mut Members)) {
        let is_delicate = self.is_delicate(at);
        if is_delicate {
            self.tally.count("pauses for Apache's");
            self.gate.close();
        }
        action(self);
        self.settle();
        self.gate.open();
    }

    /// An observer comes; `asked` is the id of the server that is asked for it.
    pub fn join(&mut self, at: usize, asked: usize) {
        let voters: Vec<usize> = (1..=VOTERS).collect();
        self.carefully(at, |members| members.cluster.start_joiner(at + 1, &voters, "observer"));
        let line = self.cluster.line(at + 1, "observer");
        change(&mut self.cluster, asked, Some(&line), None);
        self.cluster.await_mode(at + 1, "observer");
    }

    /// The guest is of either kind, and knows nothing.
    pub fn invite(&mut self, asked: usize, random: &mut Prng) {
        let kind = match random.below(2) {
            0 => Kind::Ours,
            _ => Kind::Apache(self.versions[random.below(self.versions.len() as u64) as usize].clone()),
        };
        let server = &mut self.cluster.servers[GUEST];
        match &kind {
            Kind::Ours => server.become_ringkeeper(),
            Kind::Apache(version) => server.become_command(&java_of(version)),
        }
        self.kinds[GUEST] = kind;
        self.cluster.wipe(GUEST);
        self.forget_members(GUEST);
        self.join(GUEST, asked);
    }

    pub fn dismiss(&mut self, asked: usize) {
        change(&mut self.cluster, asked, None, Some(GUEST + 1));
        self.kill(GUEST);
        self.settle();
    }

    /// Takes from its files what earlier reconfigurations have put there.
    fn forget_members(&self, at: usize) {
        let file = self.cluster.servers[at].file("zoo.cfg");
        let text = fs::read_to_string(&file).expect("it was written");
        let is_kept = |line: &&str| !line.starts_with("server.") && !line.starts_with("dynamicConfigFile");
        let kept: Vec<&str> = text.lines().filter(is_kept).collect();
        fs::write(&file, kept.join("\n") + "\n").expect("a file");
        let folder = file.parent().expect("its folder");
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("zoo.cfg.dynamic")) {
                fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
        }
    }

    /// Neither kind says that a leader's digest differs from its own, or that it was sent what has no place: in no life of a
    /// server, and by no count.
    pub fn assert_no_complaint(&self) {
        for at in self.running() {
            let server = &self.cluster.servers[at];
            let output = server.output();
            let lines: Vec<&str> = output.lines().collect();
            let complaints = [THEIRS_COMPLAINT, OURS_COMPLAINT, PROTOCOL_COMPLAINT];
            let is_complaint = |line: &&str| complaints.iter().any(|complaint| line.contains(complaint));
            if let Some(line) = lines.iter().position(is_complaint) {
                let context = lines[line.saturating_sub(CONTEXT)..=line].join("\n");
                panic!("{} complains:\n{context}", self.name(at));
            }
            assert_eq!(server.digest_mismatches(), 0, "{}", self.name(at));
        }
    }

    /// Where each server's files are.
    pub fn places(&self) -> String {
        let place =
            |at| format!("  {}: {}", self.name(at), self.cluster.servers[at].file("output").display());
        let places: Vec<String> = (0..self.kinds.len()).map(place).collect();
        places.join("\n")
    }
}
