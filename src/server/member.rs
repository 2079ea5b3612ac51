//! From the configuration of an ensemble to what its member is made of: ports to open, and the replica's settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use crate::config::{Config, Ensemble};
use crate::replica::ensemble::{EpochRecord, Settings};
use crate::zab::{Endpoint, HistoryLimits, Role};

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
    let (mut quorum, mut election) = (vec![], vec![]);
    for endpoint in &own.endpoints {
        quorum.push(address(ensemble, endpoint, endpoint.quorum_port)?);
        election.push(address(ensemble, endpoint, endpoint.election_port)?);
    }
    let members_file = MembersFile::new(ensemble);
    Ok(Some(peers::Settings::new(quorum, election, ensemble.connect_timeout).remembering(members_file)))
}

fn address(ensemble: &Ensemble, endpoint: &Endpoint, port: u16) -> Result<SocketAddr, Fatal> {
    if ensemble.listen_on_all_ips {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    let key = format!("server.{}", ensemble.me.0);
    let refused = |why: String| {
        Fatal::Foreign(format!(
            "{key}: the host `{}` of this server can't be opened: {why}. Name an address of this host, or set \
             quorumListenOnAllIPs=true",
            endpoint.host
        ))
    };
    let mut found =
        (endpoint.host.as_str(), port).to_socket_addrs().map_err(|error| refused(error.to_string()))?;
    found.next().ok_or_else(|| refused("the name has no address".to_owned()))
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
