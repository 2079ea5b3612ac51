//! One member's part in its ensemble: looking for a leader, leading, following.
//!
//! Joins the state machines of room `zab` to the log, the tree and the clients of this server. A lone server has none of
//! this (`Replica::ensemble` is `None`), and commits what its own log holds.
//!
//! ```text
//!  Settling ──► Looking ──► Leading ──► (lost its quorum) ─┐
//!     ▲            └──────► Learning ─► (lost its leader) ─┤
//!     └────────────────────────────────────────────────────┘
//! ```
//! *Settling*: what the log was given is made durable, and the epochs are, so that vote and promise say what is on the
//! disk. A member whose disk is full stays there until it has room.
//!
//! **The log and the tree.** What is logged is proposed, by us or by our leader; it is applied when it is committed. At a
//! start the whole log is applied, committed or not: nobody is served before a quorum has that history. If the new leader
//! has another one, the tree is made anew from the disk ([`PeerOutput::Reload`]).
//!
//! A member that finds no leader may serve reads meanwhile (`read_only.rs`).
//!
//! **Clients** are served by a leader from when a quorum has its history and it is applied here, by a learner from
//! UPTODATE. When the role ends they are held, or closed: their sessions live on and their clients come back with
//! them. A learner hands writes on, and answers when the transaction comes back and is applied (`clients.rs`).
//!
//! | file | does |
//! |---|---|
//! | `words.rs` | the contract with the driver |
//! | `looking.rs` | the election and its connections |
//! | `leading.rs` | what the leader's machine asks for |
//! | `learning.rs` | what the learner's machine asks for |
//! | `reconfig.rs` | configurations: proposed, activated |
//! | `clients.rs` | requests that were handed to the leader |
//! | `held.rs` | from when clients are served, and those over a change of leader |
//! | `local_sessions.rs` | sessions of this server alone |
//! | `read_only.rs` | clients while there is no leader |
//! | `status.rs` | where it stands, for operators |
//! | `snapshot_in.rs`, `snapshot_out.rs` | SNAP, received and sent |
//!
//! Tested: cluster_test (virtual network and disks), leader_serves_test.rs.

mod clients;
mod held;
mod leading;
mod learning;
mod local_sessions;
mod looking;
mod read_only;
mod reconfig;
mod snapshot_in;
mod snapshot_out;
mod status;
mod words;

pub(super) use reconfig::response as reconfig_response;
pub use status::Status;
pub use words::{EpochRecord, Mode, PeerInput, PeerOutput, PeerPort, Settings, accepted_link};

use std::collections::BTreeMap;

use crate::base::{Instant, Now, ServerId, SessionId, Zxid};
use crate::messages::Service;
use crate::tree::Overlay;
use crate::zab::{self, Election, Epochs, History, Joint, Link, Links, Standing, election};

use super::proposals::Asker;
use super::{Output, Replica, SnapshotCommand};
use clients::Clients;
use leading::Leading;
use learning::Learning;
use looking::Connection;
use snapshot_in::{Install, Pause};

pub struct Ensemble {
    settings: Settings,
    joint: Joint,
    /// The next configuration is in our log, and not only told by a leader or a file.
    is_next_logged: bool,
    /// Who leads after the reconfiguration for which the role is left.
    designated: Option<ServerId>,
    election: Election,
    links: Links,
    history: History,
    epochs: Epochs,
    /// Asked for, and not reported as durable.
    epoch_writes: u32,
    standing: Standing,
    role: Role,
    connections: BTreeMap<Link, Connection>,
    dialled: u64,
    /// Everything up to here was said to be committed since the start, and is never cut. The snapshots don't count: one
    /// that was received may hold what its leader alone had.
    committed: Zxid,
    /// Of the own log.
    durable: Zxid,
    /// A quorum has the history up to here: clients are served when it is applied.
    serves_from: Option<Zxid>,
    is_serving: bool,
    /// Since when there is nothing else to do; `None` in a role.
    looking_since: Option<Instant>,
    /// When a search that lasts was last told of.
    search_told: Option<Instant>,
    /// Reads are served meanwhile.
    is_read_only: bool,
    /// Until when those stay connected who were served in the last role.
    held_until: Option<Instant>,
    clients: Clients,
    /// The leader wants what is below the newest snapshot dropped: the next connection to it asks for another one.
    wants_snapshot: bool,
    /// A snapshot of a leader's is on its way, or being stored.
    install: Option<Box<Install>>,
    pause: Pause,
    /// The tree is from a snapshot that names ACL lists which it doesn't hold, and nobody has looked whether they came.
    lacks_lists: bool,
    /// Notifications of no use that the log does not mention yet, and when it may mention the next.
    passed_over: u64,
    complains_from: Option<Instant>,
}

enum Role {
    /// Until the log and the epochs have nothing under way.
    Settling,
    Looking,
    Leading(Box<Leading>),
    Learning(Box<Learning>),
}

impl Replica {
    /// Makes the fresh replica a member of an ensemble, before its first step. `history`: the newest transactions of the
    /// log, as recovery has found them. The driver has read the epochs and does not start with a damaged record.
    pub fn join(&mut self, now: Now, settings: Settings, history: History, outputs: &mut Vec<Output>) {
        self.pass_time(now);
        self.sessions.join(settings.me, settings.local_sessions);
        let (standing, epochs) = settings.standing(self.proposed);
        let joint = Joint::new(settings.members.clone(), None);
        let next = settings.next.clone();
        let me = settings.me;
        let election = Election::new(
            election::Settings {
                me,
                participant: settings.participant,
                reconfig_enabled: settings.reconfig_enabled,
            },
            joint.clone(),
        );
        let addresses = settings.members.member(me).map_or(vec![], |me| me.election_addresses().collect());
        let links = Links::new(me, addresses, false);
        self.ensemble = Some(Box::new(Ensemble {
            joint,
            is_next_logged: false,
            designated: None,
            election,
            links,
            history,
            epochs,
            epoch_writes: 0,
            standing,
            role: Role::Settling,
            connections: BTreeMap::new(),
            dialled: 0,
            committed: Zxid::ZERO,
            durable: self.proposed,
            serves_from: None,
            is_serving: false,
            looking_since: None,
            search_told: None,
            is_read_only: false,
            held_until: None,
            clients: Clients::new(self.settings.hash_key),
            wants_snapshot: false,
            install: None,
            pause: Pause::default(),
            lacks_lists: false,
            passed_over: 0,
            complains_from: None,
            settings,
        }));
        outputs.push(Output::Serve(Service::None));
        self.take_configs_from_log(next);
        self.tell_configs(outputs);
        self.settle(outputs);
    }

    /// Tells the member one thing of its peers. `now` never steps back.
    pub fn peer(&mut self, now: Now, input: PeerInput<'_>, outputs: &mut Vec<Output>) {
        self.pass_time(now);
        if self.ensemble.is_none() {
            return;
        }
        match input {
            PeerInput::Accepted { link, port } => self.on_accepted(link, port, outputs),
            PeerInput::Connected { link } => self.on_connected(link, outputs),
            PeerInput::DialFailed { link, refused } => self.on_dial_failed(link, refused, outputs),
            PeerInput::Received { link, bytes } => self.on_received(link, bytes, outputs),
            PeerInput::Sent { link } => self.on_sent(link, outputs),
            PeerInput::Disconnected { link } => self.on_disconnected(link, outputs),
            PeerInput::EpochsDurable => self.on_epochs_durable(outputs),
        }
        self.take_waiting(outputs);
        self.assert_invariants();
    }

    /// After [`PeerOutput::Reload`]: this replica, fresh from the disk, goes on as what `old` was: a member, or alone. `history`:
    /// a member's.
    pub fn take_over(&mut self, mut old: Replica, history: Option<History>, outputs: &mut Vec<Output>) {
        self.now = old.now;
        self.is_running = old.is_running;
        // Not `space_low`: whoever makes segments has begun anew, too, and says only what is news to him.
        self.sessions_expired = old.sessions_expired;
        self.snapshots.count_on(&old.snapshots);
        self.digests.count_on(&old.digests);
        self.ensemble = old.ensemble.take();
        let Some(ensemble) = &mut self.ensemble else { return self.go_on(outputs) };
        ensemble.history = history.expect("recovery knows that this is a member");
        ensemble.durable = self.proposed;
        self.sessions.join(ensemble.settings.me, ensemble.settings.local_sessions);
        self.take_configs_from_log(None);
        self.tell_configs(outputs);
        self.on_reloaded(outputs);
    }

    pub fn mode(&self) -> Mode {
        let Some(ensemble) = &self.ensemble else { return Mode::Standalone };
        match &ensemble.role {
            _ if ensemble.is_read_only => Mode::ReadOnly,
            _ if !ensemble.is_serving => Mode::Looking,
            Role::Leading(_) => Mode::Leading,
            Role::Learning(learning) if learning.is_observer => Mode::Observing,
            Role::Learning(_) => Mode::Following,
            Role::Settling | Role::Looking => Mode::Looking,
        }
    }

    /// Writes are decided here: alone, or as a leader whose history is applied.
    pub(super) fn is_deciding(&self) -> bool {
        let Some(ensemble) = &self.ensemble else { return !self.stands_still() };
        ensemble.is_serving && matches!(ensemble.role, Role::Leading(_))
    }

    /// The zxid of the next transaction that is decided here.
    pub(super) fn next_zxid(&self) -> Zxid {
        self.proposed.next().max(self.zxid_floor())
    }

    /// The first of a leader's epoch.
    pub(super) fn zxid_floor(&self) -> Zxid {
        match self.ensemble.as_deref().map(|ensemble| &ensemble.role) {
            Some(Role::Leading(leading)) => Zxid(leading.epoch().0 << 32 | 1),
            _ => Zxid::ZERO,
        }
    }

    /// Writes are decided by another server.
    pub(super) fn hands_on(&self) -> bool {
        let role = self.ensemble.as_deref().map(|ensemble| &ensemble.role);
        matches!(role, Some(Role::Learning(_)))
    }

    /// What is applied is on the disk and committed, as what is in a snapshot of our own must be: nothing below one is ever
    /// cut. After a start that isn't known of the log's end.
    pub(super) fn may_snapshot(&self) -> bool {
        let known = |ensemble: &Ensemble| ensemble.durable.min(ensemble.committed);
        let ensemble = self.ensemble.as_deref();
        ensemble.map_or(!self.stands_still(), |ensemble| {
            ensemble.install.is_none() && self.applied <= known(ensemble)
        })
    }

    pub(super) fn ensemble_wakeup(&self) -> Option<Instant> {
        let ensemble = self.ensemble.as_deref()?;
        let role = match &ensemble.role {
            Role::Settling => ensemble.pause.end(),
            Role::Looking => ensemble.election.next_wakeup(),
            Role::Leading(leading) => Some(leading.next_wakeup(self.now.instant)),
            Role::Learning(learning) => Some(learning.next_wakeup()),
        };
        let links = ensemble.links.next_wakeup();
        let hellos = ensemble.hello_deadline();
        let install = ensemble.install.as_deref().filter(|install| install.may_go_on());
        let install = install.map(|_| self.now.instant);
        [role, links, hellos, install, ensemble.read_only_from(), ensemble.held_until]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn wake_ensemble(&mut self, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(ensemble) = self.ensemble.as_deref() else { return };
        match &ensemble.role {
            Role::Settling => self.settle(outputs),
            Role::Looking => {
                self.elect(election::Input::Wakeup, outputs);
                self.tell_of_long_search();
                self.open_read_only_if_due(outputs);
            }
            Role::Leading(leading) if now >= leading.leader_wakeup() => {
                self.lead(zab::LeaderInput::Wakeup, outputs);
            }
            Role::Leading(_) => {}
            Role::Learning(_) => self.wake_learner(outputs),
        }
        self.close_held_if_due(outputs);
        self.link(zab::election_links::Input::Wakeup, outputs);
        self.drop_silent(outputs);
    }

    /// What was sealed is proposed to the others; what was collected for them goes out.
    pub(super) fn end_ensemble_turn(
        &mut self,
        sealed: Option<&crate::log::Sealed>,
        outputs: &mut Vec<Output>,
    ) {
        for (entry, range) in sealed.iter().flat_map(|sealed| sealed.entries()) {
            let Some((ensemble, sealed)) = self.ensemble.as_deref_mut().zip(sealed) else { return };
            ensemble.history.push(entry.zxid, sealed.payload(range));
            if let Role::Leading(leading) = &mut ensemble.role {
                let is_its = |config: &mut std::sync::Arc<zab::Config>| Zxid(config.version()) == entry.zxid;
                if let Some(config) = leading.reconfiguration.take_if(is_its) {
                    self.lead(zab::LeaderInput::Reconfigure { config }, outputs);
                }
                self.lead(zab::LeaderInput::Proposed { zxid: entry.zxid }, outputs);
            }
        }
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.history.trim(ensemble.committed);
        match ensemble.role {
            Role::Leading(_) => {
                self.send_snapshots(outputs);
                self.lead(zab::LeaderInput::TurnEnd, outputs);
                self.watch_rollover(outputs);
            }
            Role::Learning(_) => {
                self.continue_install(outputs);
                self.learn(zab::LearnerInput::TurnEnd, outputs);
            }
            Role::Settling => self.settle(outputs),
            Role::Looking => {}
        }
    }

    /// The own log is durable up to here.
    pub(super) fn on_logged(&mut self, zxid: Zxid, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        self.proposals.on_durable(zxid, now);
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return self.proposals.commit(zxid, now) };
        ensemble.durable = zxid;
        match ensemble.role {
            Role::Leading(_) => self.lead(zab::LeaderInput::Durable { zxid }, outputs),
            Role::Learning(_) => self.learn(zab::LearnerInput::Durable { zxid }, outputs),
            Role::Settling => self.settle(outputs),
            Role::Looking => {}
        }
    }

    /// A quorum has it.
    fn on_committed(&mut self, zxid: Zxid) {
        if let Some(ensemble) = self.ensemble.as_deref_mut() {
            ensemble.committed = ensemble.committed.max(zxid);
        }
        self.proposals.commit_at_least(zxid, self.now.instant);
    }

    /// Everything of the last role is over.
    fn leave_role(&mut self, reason: &str, outputs: &mut Vec<Output>) {
        tracing::warn!(reason, "looking for a leader");
        self.stop_looking(outputs);
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let role = std::mem::replace(&mut ensemble.role, Role::Settling);
        ensemble.serves_from = None;
        ensemble.clients.clear();
        let had_served = std::mem::replace(&mut ensemble.is_serving, false);
        // A file that is being finished will be what the disk holds: it is waited for, and made ours.
        if let Some(install) = ensemble.install.take_if(|install| !install.is_stored())
            && install.is_writing()
        {
            outputs.push(Output::Snapshot(SnapshotCommand::Abandon { zxid: install.zxid() }));
        }
        if let Role::Leading(leading) = role {
            leading.abandon(&mut self.store);
        }
        self.close_quorum_links(outputs);
        self.proposals.forget_origins();
        self.tell_of_moved(outputs);
        self.waiting.clear();
        self.overlay = Overlay::new(self.settings.hash_key, self.settings.digests);
        if had_served {
            self.hold_clients(outputs);
        }
        self.settle(outputs);
    }

    /// A member that can't log takes no part until it can: it must not acknowledge, and as a leader it would be in the way.
    pub(super) fn on_space(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        if !self.space_low {
            // What there was no room for may find it now.
            ensemble.pause = Pause::default();
            return self.settle(outputs);
        }
        if !matches!(ensemble.role, Role::Settling) {
            self.leave_role("there is no room on the disk for the log", outputs);
        }
        // Room may be long in coming.
        self.close_held(outputs);
        self.elect(election::Input::Withdraw, outputs);
    }

    /// Begins an election when the log has nothing under way, and room.
    fn settle(&mut self, outputs: &mut Vec<Output>) {
        let is_settled = self.log.open_bytes() == 0 && !self.log.in_flight() && !self.space_low;
        let last_logged = self.proposed;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        // Asked first: one that is over is to be forgotten, also where something else is waited for.
        let pauses = ensemble.pause.goes_on(self.now.instant);
        let is_settled = is_settled && ensemble.epoch_writes == 0 && !pauses;
        if !is_settled || ensemble.install.is_some() || !matches!(ensemble.role, Role::Settling) {
            return;
        }
        ensemble.role = Role::Looking;
        ensemble.looking_since = Some(self.now.instant);
        if let Standing::Sound { current_epoch } = &mut ensemble.standing {
            *current_epoch = ensemble.epochs.current;
        }
        let standing = ensemble.standing;
        if self.follow_designated(outputs) {
            return;
        }
        self.elect(election::Input::Start(election::Start { last_logged, standing }), outputs);
    }

    fn on_epochs_durable(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.epoch_writes -= 1;
        if ensemble.epoch_writes > 0 {
            // That was an earlier role's; the one that is waited for comes behind it.
            return;
        }
        // A promise that counts, or a leader's history: it is not blank any more.
        ensemble.standing = Standing::Sound { current_epoch: ensemble.epochs.current };
        match &mut ensemble.role {
            Role::Leading(leading) if leading.writes_epochs => {
                leading.writes_epochs = false;
                self.lead(zab::LeaderInput::EpochsDurable, outputs);
            }
            Role::Learning(learning) if learning.writes_epochs => {
                learning.writes_epochs = false;
                self.learn(zab::LearnerInput::EpochsDurable, outputs);
            }
            // Of a role that is over.
            _ => self.settle(outputs),
        }
    }

    fn persist_epochs(&mut self, epochs: Epochs, outputs: &mut Vec<Output>) {
        if let Some(ensemble) = self.ensemble.as_deref_mut() {
            ensemble.epochs = epochs;
            ensemble.epoch_writes += 1;
        }
        outputs.push(Output::Peer(PeerOutput::PersistEpochs(epochs)));
    }
}

impl Ensemble {
    /// Who waits here for the transaction that was just applied.
    pub(super) fn asker_of(&mut self, session: SessionId, cxid: i32) -> Option<Asker> {
        self.clients.take_write(session, cxid)
    }

    fn zab_settings(&self) -> zab::Settings {
        zab::Settings {
            me: self.settings.me,
            tick: self.settings.tick,
            init_limit: self.settings.init_limit,
            sync_limit: self.settings.sync_limit,
            payload_bytes_max: self.settings.payload_bytes_max,
            reconfig_enabled: self.settings.reconfig_enabled,
        }
    }

    fn leader_id(&self) -> Option<ServerId> {
        match &self.role {
            Role::Leading(_) => Some(self.settings.me),
            Role::Learning(learning) => Some(learning.leader),
            Role::Settling | Role::Looking => None,
        }
    }
}

#[cfg(test)]
mod cluster_test;

#[cfg(test)]
#[path = "leader_serves_test.rs"]
mod leader_serves_tests;
