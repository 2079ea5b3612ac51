//! What a four-letter word asks of each loop, and what the loop hands back: only what that word needs, since a list of
//! fifteen thousand connections or a million watches costs the loop that makes it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::admin::{self, Effect, Needs};
use crate::base::{Instant, SessionId, Zxid};
use crate::messages::AclRef;
use crate::replica::ensemble::{Mode, Status};
use crate::replica::{self, Replica};
use crate::shard::{self, Shard};

use super::words::connection_facts;

/// What is to be gathered, and what is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub needs: Needs,
    pub effect: Effect,
}

impl Ask {
    /// The least that can be asked: whether somebody is there.
    pub const PROBE: Ask = Ask { needs: Needs::Counters, effect: Effect::None };
}

/// One shard's part.
pub struct ShardCensus {
    pub facts: shard::Facts,
    pub tallies: shard::Tallies,
    pub is_serving: bool,
    pub connections: Vec<admin::ConnectionFacts>,
    pub watches: Vec<admin::PathsOfSession>,
    /// Hashes of the paths that are watched, of a shard that is not the only one.
    pub watched: Vec<u64>,
    /// How long each connection may stay silent from now on.
    pub silences: Vec<(Duration, SocketAddr, SessionId)>,
}

impl ShardCensus {
    pub fn take(shard: &mut Shard, ask: Ask, is_alone: bool) -> ShardCensus {
        match ask.effect {
            Effect::ResetConnections if shard.is_serving() => shard.reset_connections(),
            Effect::ResetServer if shard.is_serving() => shard.reset(),
            Effect::ResetConnections
            | Effect::ResetServer
            | Effect::None
            | Effect::SetTraceMask
            | Effect::TakeSnapshot
            | Effect::CloseIntake
            | Effect::OpenIntake
            | Effect::Reload { .. } => {}
        }
        let mut census = ShardCensus {
            facts: shard.facts(),
            tallies: shard.tallies().clone(),
            is_serving: shard.is_serving(),
            connections: vec![],
            watches: vec![],
            watched: vec![],
            silences: vec![],
        };
        match ask.needs {
            Needs::Connections => census.connections = shard.connections().map(connection_facts).collect(),
            Needs::Watches => census.watches = shard.watched().map(paths_of).collect(),
            Needs::Sessions => {
                census.silences = shard
                    .connections()
                    .map(|connection| {
                        let session = connection.session().unwrap_or(SessionId::NONE);
                        (shard.patience_left(connection), connection.address, session)
                    })
                    .collect();
            }
            // Alone its count of paths is right as it is.
            Needs::WatchCounts if !is_alone => census.watched = shard.watched_hashes(),
            Needs::Counters
            | Needs::Directories
            | Needs::WatchCounts
            | Needs::Digests
            | Needs::Permissions => {}
        }
        census
    }
}

/// The replica's part.
#[derive(Default)]
pub struct ReplicaCensus {
    pub facts: replica::Facts,
    /// `None`: it is not known in time.
    pub mode: Option<Mode>,
    /// Of a member.
    pub status: Option<Status>,
    /// Of the root node, if asked for.
    pub root_acl: Option<AclRef>,
    /// How long each session may stay silent from now on.
    pub sessions: Vec<(Duration, SessionId)>,
    pub ephemerals: Vec<admin::PathsOfSession>,
    pub digests: Vec<(Zxid, i64)>,
}

impl ReplicaCensus {
    pub fn take(replica: &mut Replica, ask: Ask, now: Instant) -> ReplicaCensus {
        match ask.effect {
            Effect::TakeSnapshot => replica.want_snapshot(),
            Effect::CloseIntake => replica.close_intake(),
            Effect::OpenIntake => replica.open_intake(),
            Effect::Reload { to } => replica.want_reload(to),
            Effect::None | Effect::ResetConnections | Effect::ResetServer | Effect::SetTraceMask => {}
        }
        let mut census = ReplicaCensus {
            facts: replica.facts(),
            mode: Some(replica.mode()),
            status: replica.status(),
            ..ReplicaCensus::default()
        };
        match ask.needs {
            Needs::Sessions => {
                census.sessions = replica.sessions().time_left(now);
                let store = replica.store();
                let owners = store.ephemeral_owners().into_iter();
                census.ephemerals =
                    owners.map(|session| paths_of((session, store.ephemerals_of(session)))).collect();
            }
            Needs::Digests => census.digests = replica.digests().collect(),
            Needs::Permissions => census.root_acl = replica.store().find(b"/").map(|(_, root)| root.acl()),
            Needs::Counters
            | Needs::Connections
            | Needs::Directories
            | Needs::WatchCounts
            | Needs::Watches => {}
        }
        census
    }
}

fn paths_of((session, paths): (SessionId, Vec<crate::base::Path>)) -> admin::PathsOfSession {
    admin::PathsOfSession { session, paths: paths.iter().map(ToString::to_string).collect() }
}
