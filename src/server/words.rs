//! Gathers the facts for four-letter words; `admin` makes the text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::admin::{self, About, Effect, Facts, Needs, ServerFacts};
use crate::base::{ConnectionId, Now, ShardId, WallMillis};
use crate::config::Config;
use crate::io::{Clock, Directory, process};
use crate::replica::ensemble::Mode;
use crate::shard;

use super::boot::Places;
use super::census::{Ask, ReplicaCensus, ShardCensus};
use super::sync_times::SyncTimes;

pub struct Words {
    config: Arc<Config>,
    about: About,
    started: Now,
    port: u16,
    places: Arc<Places>,
    sync_times: Arc<SyncTimes>,
    trace_mask: i64,
}

/// A four-letter word that came to some shard.
pub struct Question {
    pub asker: ShardId,
    pub connection: ConnectionId,
    pub word: [u8; 4],
    pub argument: Vec<u8>,
}

impl Words {
    pub fn new(
        config: Arc<Config>,
        about: About,
        started: Now,
        places: Arc<Places>,
        sync_times: Arc<SyncTimes>,
    ) -> Words {
        Words { config, about, started, port: 0, places, sync_times, trace_mask: admin::TRACE_MASK_DEFAULT }
    }

    /// The port as bound.
    pub fn at_port(self, port: u16) -> Words {
        Words { port, ..self }
    }

    /// What must be gathered for a word, and changed. `None` for a word that isn't known.
    pub fn ask(&self, word: [u8; 4]) -> Option<Ask> {
        let command = admin::recognise(word)?;
        let runs = command.may_run(&self.config.four_letter_words, true);
        Some(if runs {
            Ask { needs: command.needs(), effect: command.effect() }
        } else {
            Ask { needs: Needs::Counters, effect: Effect::None }
        })
    }

    /// The text for a word, or nothing for one that isn't known: then the connection is just closed.
    pub fn answer(
        &mut self,
        word: [u8; 4],
        argument: &[u8],
        in_replica: ReplicaCensus,
        shards: Vec<ShardCensus>,
    ) -> String {
        let Some(command) = admin::recognise(word) else { return String::new() };
        if let Some(mask) = argument.first_chunk::<8>().filter(|_| command.argument_bytes() == 8) {
            self.trace_mask = i64::from_be_bytes(*mask);
        }
        let ReplicaCensus { facts: in_replica, mode, sessions: left, ephemerals, digests } = in_replica;
        let mode = mode.and_then(mode_of).filter(|_| shards.iter().all(|shard| shard.is_serving));
        let resets = self.ask(word).is_some_and(|ask| ask.effect == Effect::ResetServer);
        if resets && mode.is_some() {
            self.sync_times.reset();
        }
        let mut connections = vec![];
        let mut watches = vec![];
        let mut silences = vec![];
        let mut watched = vec![];
        let mut in_shard = shard::Facts::default();
        for census in shards {
            in_shard.add(&census.facts);
            connections.extend(census.connections);
            watches.extend(census.watches);
            watched.extend(census.watched);
            silences.extend(census.silences.into_iter().map(|(left, address, id)| (left, (address, id))));
        }
        if !watched.is_empty() {
            watched.sort_unstable();
            watched.dedup();
            in_shard.data_watches.paths = watched.len();
        }
        let watch_counts = admin::WatchCounts {
            connections_count: in_shard.data_watches.connections as u64,
            paths_count: in_shard.data_watches.paths as u64,
            watches_count: in_shard.data_watches.watches as u64,
        };
        let size = |directory: &Directory, prefix: &str| {
            let entries = directory.list().unwrap_or_default();
            entries.iter().filter(|entry| entry.name.starts_with(prefix)).map(|entry| entry.bytes).sum()
        };
        let directories = admin::DirectoryFacts {
            data_dir: self.places.snapshots.path().display().to_string(),
            data_log_dir: self.places.log.path().display().to_string(),
            data_bytes: size(&self.places.snapshots, "snapshot."),
            log_bytes: size(&self.places.log, "segment."),
        };
        let times = &self.sync_times;
        let store = admin::StoreMetrics {
            snapshot_errors: in_replica.snapshots_failed,
            digest_mismatches: in_replica.digest_mismatches,
            fsync_time: admin::Summary {
                count: times.count.load(Relaxed),
                sum: times.micros_sum.load(Relaxed),
                min: times.micros_min.load(Relaxed),
                max: times.micros_max.load(Relaxed),
            },
            ..admin::StoreMetrics::default()
        };
        let clients = admin::ClientMetrics {
            packets_received: in_shard.received,
            packets_sent: in_shard.sent,
            bytes_received: in_shard.bytes_received,
            request_latency: admin::Summary {
                count: in_shard.latency.count,
                sum: in_shard.latency.sum,
                min: in_shard.latency.min,
                max: in_shard.latency.max,
            },
            ..admin::ClientMetrics::default()
        };
        let server = mode.map(|mode| ServerFacts {
            mode,
            client_port: self.port,
            server_id: 0,
            last_zxid: in_replica.applied,
            connections_count: in_shard.connections,
            outstanding_requests: in_shard.outstanding,
            nodes_count: in_replica.nodes_count + 1,
            watches_count: in_shard.watches,
            ephemerals_count: in_replica.ephemerals_count,
            approximate_data_size: in_replica.data_bytes,
            sessions_count: in_replica.sessions_count,
            local_sessions_count: in_replica.local_sessions_count,
            uptime: Clock::instant().since(self.started.instant),
            open_files_count: process::open_files().unwrap_or(0),
            open_files_max: process::open_files_max().unwrap_or(0),
        });
        let wall = Clock::now().wall;
        let sessions = admin::SessionFacts {
            expiries: by_moment(wall, left),
            ephemerals,
            connection_expiries: by_moment(wall, silences),
        };
        let facts = Facts {
            about: &self.about,
            config: &self.config,
            server,
            clients: &clients,
            store: &store,
            connections: &connections,
            directories,
            watch_counts,
            watches: &watches,
            sessions: &sessions,
            digests: &digests,
            trace_mask: self.trace_mask,
        };
        admin::answer(command, &self.config.four_letter_words, &facts)
    }
}

/// `None`: nobody is served.
fn mode_of(mode: Mode) -> Option<admin::Mode> {
    match mode {
        Mode::Standalone => Some(admin::Mode::Standalone),
        Mode::Leading => Some(admin::Mode::Leader),
        Mode::Following => Some(admin::Mode::Follower),
        Mode::Observing => Some(admin::Mode::Observer),
        Mode::ReadOnly => Some(admin::Mode::ReadOnly),
        Mode::Looking => None,
    }
}

/// Groups what ends at one moment.
fn by_moment<T>(now: WallMillis, left: Vec<(Duration, T)>) -> Vec<(WallMillis, Vec<T>)> {
    let mut moments: BTreeMap<u128, Vec<T>> = BTreeMap::new();
    for (left, what) in left {
        moments.entry(left.as_millis()).or_default().push(what);
    }
    let at = |left| WallMillis(now.0.saturating_add(i64::try_from(left).unwrap_or(i64::MAX)));
    moments.into_iter().map(|(left, members)| (at(left), members)).collect()
}

pub fn connection_facts(connection: &crate::shard::Connection) -> admin::ConnectionFacts {
    let stats = &connection.stats;
    let latency = &stats.latency_ms;
    let millis = Duration::from_millis;
    let session = match connection.phase {
        crate::shard::Phase::Active { session, timeout_ms } => Some(admin::SessionOfConnection {
            id: session,
            last_operation: stats.last_opcode.map_or("NA", admin::operation_code),
            established: crate::base::WallMillis(stats.established),
            timeout: millis(u64::try_from(timeout_ms).unwrap_or(0)),
            last_cxid: u32::try_from(stats.last_cxid).ok().filter(|&cxid| cxid > 0),
            last_zxid: stats.last_zxid,
            last_response: crate::base::Instant(stats.last_response_ms * 1_000_000),
            last_latency: millis(latency.last),
            min_latency: millis(latency.min),
            average_latency: millis(latency.sum.checked_div(latency.count).unwrap_or(0)),
            max_latency: millis(latency.max),
        }),
        _ => None,
    };
    admin::ConnectionFacts {
        remote: connection.address,
        reads: !connection.paused,
        writes: !connection.output.is_empty(),
        queued: connection.pending.len() as u64,
        received: stats.received,
        sent: stats.sent,
        session,
    }
}
