//! From the configuration of an ensemble to what its member is made of: ports to open, and the replica's settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use crate::config::{Config, Ensemble};
use crate::replica::ensemble::{EpochRecord, Settings};
use crate::zab::{HistoryLimits, Member, Role};

use super::members_file::MembersFile;
use super::{Fatal, peers};

/// Of committed transactions, kept for learners that lag: whichever is reached first. More than `commitLogCount` usually asks
/// for: at our rates that would be a moment, and every short absence would cost a snapshot.
const HISTORY_COUNT: usize = 100_000;
const HISTORY_BYTES: usize = 32 << 20;
/// What a transaction has beyond the request it comes from: headers, ACLs, the paths of a closeSession.
const PAYLOAD_OVERHEAD: usize = 32 << 20;

/// The ports of a member; `None`: this server is alone.
pub fn peers(config: &Config) -> Result<Option<peers::Settings>, Fatal> {
    let Some(ensemble) = &config.ensemble else { return Ok(None) };
    let own =
        ensemble.members.member(ensemble.me).expect("the configuration was checked: this server is listed");
    let line = OwnLine { member: own.clone(), listen_on_all_ips: ensemble.listen_on_all_ips };
    let (quorum, election) = line.addresses().map_err(Fatal::Foreign)?;
    let settings = peers::Settings::new(quorum, election, ensemble.connect_timeout);
    Ok(Some(peers::Settings {
        own_line: Some(line),
        members_file: Some(MembersFile::new(ensemble)),
        ..settings
    }))
}

/// This server's line of the configuration, of which it opens the ports.
#[derive(Clone, Debug)]
pub struct OwnLine {
    pub member: Member,
    /// `quorumListenOnAllIPs`.
    pub listen_on_all_ips: bool,
}

impl OwnLine {
    /// Where to listen for learners, and for the election. Names are looked up, which may take a while.
    pub fn addresses(&self) -> Result<(Vec<SocketAddr>, Vec<SocketAddr>), String> {
        let (mut quorum, mut election) = (vec![], vec![]);
        for endpoint in &self.member.endpoints {
            quorum.push(self.address(&endpoint.host, endpoint.quorum_port)?);
            election.push(self.address(&endpoint.host, endpoint.election_port)?);
        }
        Ok((quorum, election))
    }

    fn address(&self, host: &str, port: u16) -> Result<SocketAddr, String> {
        if self.listen_on_all_ips {
            return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
        }
        looked_up(host, port).map_err(|why| {
            format!(
                "server.{}: the host `{host}` of this server can't be opened: {why}. Name an address of this host, or set \
                 quorumListenOnAllIPs=true",
                self.member.id.0
            )
        })
    }

    /// Where clients connect. `None`: the line does not say, and what was opened stays.
    pub fn client_address(&self) -> Option<Result<SocketAddr, String>> {
        let client = self.member.client.as_ref()?;
        let found = looked_up(&client.host, client.port).map_err(|why| {
            format!("server.{}: the client address {client} can't be opened: {why}", self.member.id.0)
        });
        // All addresses of the host, whatever they are written as.
        Some(found.map(|address| {
            let is_all = address.ip().is_unspecified();
            let ip = if is_all { Ipv4Addr::UNSPECIFIED.into() } else { address.ip() };
            SocketAddr::new(ip, address.port())
        }))
    }
}

fn looked_up(host: &str, port: u16) -> Result<SocketAddr, String> {
    let mut found = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "the name has no address".to_owned())
}

pub fn history_limits(ensemble: &Ensemble) -> HistoryLimits {
    HistoryLimits { count: ensemble.commit_log_count.max(HISTORY_COUNT), bytes: HISTORY_BYTES }
}

/// Fails if the epochs are in question: a server that forgot a promise could help two leaders.
pub fn settings(
    config: &Config,
    ensemble: &Ensemble,
    epochs: EpochRecord,
    directory: &str,
) -> Result<Settings, Fatal> {
    if epochs == EpochRecord::Damaged {
        return Err(Fatal::Damaged(format!(
            "the record of epochs in {directory} is damaged: what this server has promised to leaders is not known, and it \
             must not vote. Stop it, empty its dataDir and dataLogDir (but for myid), and start it again: it gets \
             everything from the others, if a quorum of them runs."
        )));
    }
    Ok(Settings {
        me: ensemble.me,
        members: ensemble.members.clone(),
        participant: ensemble.peer_type == Role::Participant,
        tick: config.tick_time,
        init_limit: ensemble.init_limit,
        sync_limit: ensemble.sync_limit,
        payload_bytes_max: config.jute_max_buffer + PAYLOAD_OVERHEAD,
        reconfig_enabled: ensemble.reconfig_enabled,
        standalone_enabled: ensemble.standalone_enabled,
        next: ensemble.next.clone(),
        leader_serves: ensemble.leader_serves,
        read_only_mode: config.read_only_mode,
        local_sessions: ensemble.local_sessions,
        local_sessions_upgrading: ensemble.local_sessions_upgrading,
        history: history_limits(ensemble),
        epochs,
    })
}
