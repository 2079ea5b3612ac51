//! The configuration of the ensemble as it changes: asked for, proposed, activated, remembered.
//!
//! * *Proposed* (`Ensemble::joint`, its next one) is a configuration from when its transaction is in the log, committed or
//!   not: quorums of both are needed. The log remembers it; at a start and after a reload it is taken from the tree, which
//!   then holds all of the log.
//! * *Committed* it becomes when the leader says so: COMMITANDACTIVATE, UPTODATE for what NEWLEADER told, a peer's
//!   notification while this server looks for a leader. The driver writes it to the configuration files
//!   ([`PeerOutput::Configured`]) before anything that follows from it is sent.
//!
//! A version is the zxid of its transaction. The first one has none: the first leader calls it `epoch << 32`; that one is
//! remembered by the files only, and where there are none begins anew at each start, with what the operator has written.
//!
//! A member whose role changes, or whose leader does, leaves its role. If a leader was designated it is followed at once,
//! without an election; whether he can lead is decided as always, by promises of a quorum.
//! Source: quorum-protocol.md §14. Tested: tests/ensemble/reconfig.rs, zab/reconfig_test.rs, the virtual cluster
//! (cluster_test/reconfigs.rs, scenarios_reconfig.rs).

use std::sync::Arc;

use crate::base::{ServerId, Zxid};
use crate::tree;
use crate::wire::txn::{SetDataTxn, Txn};
use crate::wire::{ErrorCode, Text};
use crate::zab::reconfig::{Change, Refusal};
use crate::zab::{Config, Joint, Member, ServerSet, election, election_links};

use super::super::proposals::Origin;
use super::super::{Output, Replica, decode};
use super::looking::Connection;
use super::words::PeerOutput;
use super::{Ensemble, Role};

/// The low half of a version that is no transaction's is zero.
const COUNTER: i64 = 0xffff_ffff;

impl Replica {
    /// The log is applied as a whole: what it holds of configurations counts. `known`: told by a file.
    pub(super) fn take_configs_from_log(&mut self, known: Option<Arc<Config>>) {
        let logged = self.store.shown_config().and_then(|(text, made_by)| {
            let config = Config::parse(std::str::from_utf8(text).ok()?).ok()?;
            (Zxid(config.version()) == made_by && made_by.0 & COUNTER != 0).then(|| Arc::new(config))
        });
        let shown = self.store.shown_config().map_or(Zxid::ZERO, |(_, made_by)| made_by);
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let enabled = ensemble.settings.reconfig_enabled;
        let committed = ensemble.joint.committed().clone();
        ensemble.is_next_logged = logged
            .as_ref()
            .is_some_and(|logged| known.as_ref().is_none_or(|known| known.version() <= logged.version()));
        let next = [known, logged].into_iter().flatten().max_by_key(|config| config.version());
        ensemble.joint = Joint::new(committed.clone(), next.filter(|_| enabled));
        // What is proposed stays to be seen in the tree, which is where it is remembered.
        let stays = enabled && shown.0 > committed.version() && ensemble.joint.next().is_some();
        if !stays {
            self.show_config(&committed);
        }
    }

    fn show_config(&mut self, config: &Config) {
        let text = config.to_string();
        let is_shown = self
            .store
            .shown_config()
            .is_some_and(|(shown, made_by)| shown == text.as_bytes() && made_by.0 == config.version());
        if !is_shown {
            self.store.show_config(&text, config.version(), self.now.wall);
        }
    }

    /// Decides a client's request, here as the leader, and proposes what comes of it.
    pub(in super::super) fn propose_reconfig(
        &mut self,
        zxid: Zxid,
        cxid: i32,
        origin: Origin,
        write: &tree::Write<'_>,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ErrorCode> {
        let config = self.decide_reconfig(zxid, write)?;
        let text = config.to_string();
        let txn = self.view().reconfigure(zxid, write, &text)?;
        tracing::info!(version = %zxid, voters = %config.voters(), "a reconfiguration is proposed");
        self.append(zxid, write.session, cxid, &txn, origin);
        let config = Arc::new(config);
        if let Some(Ensemble { role: Role::Leading(leading), .. }) = self.ensemble.as_deref_mut() {
            leading.reconfiguration = Some(config.clone());
        }
        self.set_next(config, true, outputs);
        Ok(())
    }

    fn decide_reconfig(&mut self, zxid: Zxid, write: &tree::Write<'_>) -> Result<Config, ErrorCode> {
        let request = self.view().reconfiguration(write)?;
        let Some(Ensemble { role: Role::Leading(leading), joint, settings, .. }) = self.ensemble.as_deref()
        else {
            return Err(ErrorCode::Unimplemented);
        };
        let committed = joint.committed();
        if joint.next().is_some() {
            return Err(ErrorCode::ReconfigInProgress);
        }
        if ![-1, committed.version()].contains(&request.cur_config_id) {
            return Err(ErrorCode::BadVersion);
        }
        let text =
            |text: Option<Text<'_>>| text.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
        let (joining, leaving) = (text(request.joining_servers), text(request.leaving_servers));
        let members = text(request.new_members);
        let (joining, leaving) = (joining.as_deref(), leaving.as_deref());
        let change = Change { joining, leaving, members: members.as_deref() };
        let config = change.apply(committed, zxid.0, settings.standalone_enabled).map_err(|refusal| {
            tracing::warn!(%refusal, "a reconfiguration is refused");
            match refusal {
                Refusal::Arguments(_) => ErrorCode::BadArguments,
                Refusal::Malformed(_) => ErrorCode::MarshallingError,
            }
        })?;
        let mut synced: ServerSet = leading.synced().collect();
        synced.insert(settings.me);
        if !config.has_quorum(&synced) {
            tracing::warn!(
                voters = %config.voters(), %synced,
                "a reconfiguration is refused: no quorum of its voters is connected and synchronised"
            );
            return Err(ErrorCode::NewConfigNoQuorum);
        }
        Ok(config)
    }

    fn view(&mut self) -> tree::View<'_> {
        tree::View {
            store: &self.store,
            overlay: &mut self.overlay,
            sessions: &mut self.sessions,
            rules: self.settings.rules,
            time: self.now.wall,
            excess: None,
        }
    }

    /// It is proposed: both configurations count from here on.
    pub(super) fn set_next(&mut self, config: Arc<Config>, is_logged: bool, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.joint = Joint::new(ensemble.joint.committed().clone(), Some(config));
        ensemble.is_next_logged = is_logged;
        self.tell_configs(outputs);
    }

    /// A leader's proposal, before it is logged: what is logged must be readable ever after. The configuration that it
    /// proposes, if it does and that counts here.
    pub(super) fn read_proposal(&self, zxid: Zxid, payload: &[u8]) -> Result<Option<Arc<Config>>, String> {
        let (header, txn) = decode(payload).map_err(|error| error.to_string())?;
        if header.zxid != zxid {
            return Err(format!("it names itself {}", header.zxid));
        }
        let enabled = self.ensemble.as_deref().is_some_and(|ensemble| ensemble.settings.reconfig_enabled);
        let Txn::Reconfig(SetDataTxn { data: Some(text), .. }) = txn else { return Ok(None) };
        if !enabled {
            return Ok(None);
        }
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        let config = Config::parse(text).map_err(|fault| fault.to_string())?;
        Ok(Some(Arc::new(config)))
    }

    /// NEWLEADER's.
    pub(super) fn on_leaders_config(&mut self, text: &[u8], outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        if !ensemble.settings.reconfig_enabled {
            return;
        }
        let config = match std::str::from_utf8(text).map(Config::parse) {
            Ok(Ok(config)) => Arc::new(config),
            _ => return tracing::warn!("the leader's configuration can't be read and is passed over"),
        };
        if let Role::Learning(learning) = &mut ensemble.role {
            learning.config = Some(config.clone());
        }
        let next = ensemble.joint.next();
        let is_older = next.is_some_and(|next| ensemble.is_next_logged && next.version() >= config.version());
        if !is_older {
            self.set_next(config, false, outputs);
        }
    }

    /// UPTODATE: what NEWLEADER told counts, unless it is only proposed: then its commit comes. False if the role is left.
    pub(super) fn activate_leaders(&mut self, committed: Zxid, outputs: &mut Vec<Output>) -> bool {
        let proposed = self.proposed;
        let Some(Ensemble { role: Role::Learning(learning), .. }) = self.ensemble.as_deref_mut() else {
            return false;
        };
        let is_open = |config: &Config| {
            let zxid = Zxid(config.version());
            zxid.0 & COUNTER != 0 && zxid > committed && zxid <= proposed
        };
        match learning.config.take() {
            Some(config) if !is_open(&config) => self.activate_or_leave(config, None, outputs),
            _ => true,
        }
    }

    /// COMMITANDACTIVATE or INFORMANDACTIVATE of `zxid`. False if the role is left.
    pub(super) fn on_activated(
        &mut self,
        zxid: Zxid,
        designated: ServerId,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let Some(ensemble) = self.ensemble.as_deref() else { return false };
        let next = ensemble.joint.next().filter(|next| Zxid(next.version()) == zxid).cloned();
        next.is_none_or(|config| self.activate_or_leave(config, Some(designated), outputs))
    }

    fn activate_or_leave(
        &mut self,
        config: Arc<Config>,
        designated: Option<ServerId>,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let stays = !self.activate(config, designated, outputs);
        if !stays {
            self.leave_role("the reconfiguration changes the role of this server, or its leader", outputs);
        }
        stays
    }

    /// It is committed. True if this server's role changes, or its leader.
    pub(super) fn activate(
        &mut self,
        config: Arc<Config>,
        designated: Option<ServerId>,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let (applied, proposed) = (self.applied, self.proposed);
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return false };
        let old = ensemble.joint.committed().clone();
        if !ensemble.settings.reconfig_enabled || config.version() <= old.version() {
            return false;
        }
        let version = Zxid(config.version());
        let leader = designated.map(|leader| leader.0);
        tracing::info!(%version, voters = %config.voters(), designated = leader, "a configuration is activated");
        let me = ensemble.settings.me;
        let next = ensemble.joint.next().cloned();
        ensemble.joint = Joint::new(config.clone(), next);
        outputs.push(Output::Peer(PeerOutput::Configured(config.clone())));
        let participant = config.member(me).is_none_or(Member::is_voter);
        let is_same = config.has_same_content(&old);
        let changes_role = !is_same && participant != ensemble.settings.participant;
        if changes_role {
            ensemble.settings.participant = participant;
            ensemble.election.settings.participant = participant;
        }
        let quorum_addresses = |config: &Config, leader| -> Option<Vec<_>> {
            config
                .member(leader)
                .filter(|member| member.is_voter())
                .map(|member| member.quorum_addresses().collect())
        };
        let changes_leader = !is_same
            && ensemble.leader_id().is_some_and(|leader| match designated {
                Some(designated) => designated != leader,
                None => {
                    let addresses = quorum_addresses(&config, leader);
                    addresses.is_none() || addresses != quorum_addresses(&old, leader)
                }
            });
        if changes_role || changes_leader {
            ensemble.designated = designated;
        }
        // Its own transaction will show it.
        let zxid = Zxid(config.version());
        if !(zxid > applied && zxid <= proposed) {
            self.show_config(&config);
        }
        self.tell_configs(outputs);
        changes_role || changes_leader
    }

    pub(super) fn tell_configs(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref() else { return };
        let joint = ensemble.joint.clone();
        self.configure_links(outputs);
        self.elect(election::Input::Configured(joint), outputs);
    }

    /// Both configurations' members; those who are in both may have two addresses.
    pub(super) fn configure_links(&mut self, outputs: &mut Vec<Output>) {
        let Some(ensemble) = self.ensemble.as_deref() else { return };
        let configs = [Some(ensemble.joint.committed()), ensemble.joint.next()];
        let members: Vec<Member> =
            configs.into_iter().flatten().flat_map(|config| config.members().cloned()).collect();
        self.link(election_links::Input::Configured { members }, outputs);
    }

    /// Who was designated to lead is followed, or it is this server which leads. False if nobody was, or he is unknown.
    pub(super) fn follow_designated(&mut self, outputs: &mut Vec<Output>) -> bool {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return false };
        let Some(leader) = ensemble.designated.take() else { return false };
        let is_me = leader == ensemble.settings.me;
        if is_me && !ensemble.joint.committed().is_voter(leader) || ensemble.joint.member(leader).is_none() {
            return false;
        }
        tracing::info!(leader = leader.0, "designated by the reconfiguration");
        ensemble.election.set_designated_leader(leader);
        self.begin_role(leader, outputs);
        true
    }
}

impl Ensemble {
    /// Learners that come before it is known here that this server was designated to lead wait for that.
    pub(super) fn may_be_designated(&self) -> bool {
        let me = self.settings.me;
        self.designated == Some(me) || self.joint.next().is_some_and(|next| next.is_voter(me))
    }

    /// Whether a quorum link outlives the role.
    pub(super) fn keeps(&self, connection: &Connection) -> bool {
        matches!(connection, Connection::Early { .. }) && self.designated == Some(self.settings.me)
    }
}

/// Whoever asked for a reconfiguration is told the configuration that it made.
pub(in super::super) fn response(txn: &Txn<'_>, stat: crate::wire::Stat) -> bytes::Bytes {
    use crate::wire::Encode as _;
    let data = match txn {
        Txn::Reconfig(SetDataTxn { data, .. }) => *data,
        _ => None,
    };
    let mut bytes = vec![];
    crate::wire::client::GetDataResponse { data, stat }.encode(&mut bytes);
    bytes.into()
}
