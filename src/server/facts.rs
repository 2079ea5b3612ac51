//! From what the loops hand back ([`super::census`]) to the plain facts of which room `admin` makes its answers.
//!
//! Made by the loop that a four-letter word came to (one loop), by the thread "words" (several), and by the thread "facts"
//! for the ports that speak HTTP. All share this: a copy each, of handles.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use crate::admin::{self, About, Facts, ServerFacts};
use crate::base::{Now, WallMillis};
use crate::config::Config;
use crate::io::{Clock, Directory, process};
use crate::log::SnapshotName;
use crate::replica::ensemble::{Mode, Status};
use crate::shard;

use super::admission::Admission;
use super::boot::Places;
use super::census::{ReplicaCensus, ShardCensus};
use super::sync_times::SyncTimes;

/// What doesn't come from a loop.
#[derive(Clone)]
pub struct Background {
    pub config: Arc<Config>,
    pub about: About,
    pub started: Now,
    /// Of clients, as bound.
    pub port: u16,
    pub places: Arc<Places>,
    pub sync_times: Arc<SyncTimes>,
    /// From the start of the process to a tree that is whole.
    pub db_init_time: admin::Summary,
    pub admission: Arc<Admission>,
    /// Nothing here traces by it.
    pub trace_mask: Arc<AtomicI64>,
    pub admin_counts: Arc<AdminCounts>,
}

/// What the admin port was asked to do, and how that went.
#[derive(Default)]
pub struct AdminCounts {
    pub snapshots_rate_limited: AtomicU64,
    pub restores_rate_limited: AtomicU64,
    pub restore_errors: AtomicU64,
    restore_time: Mutex<admin::Summary>,
}

impl AdminCounts {
    pub fn restored(&self, took: Duration) {
        self.restore_time.lock().expect("nobody panics holding it").record_time(took);
    }

    fn restore_time(&self) -> admin::Summary {
        *self.restore_time.lock().expect("nobody panics holding it")
    }
}

/// Owns what [`Facts`] borrows.
pub struct Gathered {
    server: Option<ServerFacts>,
    clients: admin::ClientMetrics,
    store: admin::StoreMetrics,
    connections: Vec<admin::ConnectionFacts>,
    directories: admin::DirectoryFacts,
    ensemble: Option<admin::EnsembleFacts>,
    last_snapshot: Option<admin::SnapshotFacts>,
    process: admin::ProcessFacts,
    watch_counts: admin::WatchCounts,
    watches: Vec<admin::PathsOfSession>,
    sessions: admin::SessionFacts,
    digests: Vec<(crate::base::Zxid, i64)>,
}

impl Gathered {
    /// Clients are served, in this mode.
    pub fn mode(&self) -> Option<admin::Mode> {
        self.server.map(|server| server.mode)
    }
}

impl Background {
    pub fn gather(&self, in_replica: ReplicaCensus, shards: Vec<ShardCensus>) -> Gathered {
        let ReplicaCensus { facts: in_replica, mode, status, sessions: left, ephemerals, digests, .. } =
            in_replica;
        let mode = mode.and_then(mode_of).filter(|_| shards.iter().all(|shard| shard.is_serving));
        let mut connections = vec![];
        let mut watches = vec![];
        let mut silences = vec![];
        let mut watched = vec![];
        let mut in_shard = shard::Facts::default();
        let mut tallies = shard::Tallies::default();
        for census in shards {
            tallies.merge(&census.tallies);
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
        let is_one = self.places.snapshots.path() == self.places.log.path();
        // Of one directory for both, both are all that is in it, as ZooKeeper has it.
        let (data_bytes, log_bytes) =
            (size(&self.places.snapshots, "snapshot."), size(&self.places.log, "segment."));
        let both = data_bytes + log_bytes;
        let directories = admin::DirectoryFacts {
            data_dir: self.places.snapshots.path().display().to_string(),
            data_log_dir: self.places.log.path().display().to_string(),
            data_bytes: if is_one { both } else { data_bytes },
            log_bytes: if is_one { both } else { log_bytes },
            ..admin::DirectoryFacts::default()
        };
        let times = &self.sync_times;
        let store = admin::StoreMetrics {
            snapshot_errors: in_replica.snapshots_failed,
            snapshots_rate_limited: self.admin_counts.snapshots_rate_limited.load(Relaxed),
            restores_rate_limited: self.admin_counts.restores_rate_limited.load(Relaxed),
            restore_errors: self.admin_counts.restore_errors.load(Relaxed),
            restore_time: self.admin_counts.restore_time(),
            digest_mismatches: in_replica.digest_mismatches,
            fsync_time: admin::Summary {
                count: times.count.load(Relaxed),
                sum: times.micros_sum.load(Relaxed),
                min: times.micros_min.load(Relaxed),
                max: times.micros_max.load(Relaxed),
            },
            sync_buckets: times.cumulated(),
            db_init_time: self.db_init_time,
            proposals: in_replica.outstanding,
            refuses_writes: in_replica.refuses_writes,
            stale_sessions_expired: in_replica.sessions_expired,
            snapshots_written: in_replica.snapshots_written,
            ..admin::StoreMetrics::default()
        };
        let clients = admin::ClientMetrics {
            packets_received: in_shard.received,
            packets_sent: in_shard.sent,
            bytes_received: in_shard.bytes_received,
            request_latency: summary(&in_shard.latency),
            response_bytes: tallies.bytes_sent.saturating_sub(tallies.watch_bytes),
            watch_bytes: tallies.watch_bytes,
            connections_rejected: self.admission.refused(),
            sessionless_connections_expired: tallies.sessionless_expired,
            client_response_size: admin::ResponseSize {
                last: tallies.sizes.last,
                sizes: summary(&tallies.sizes),
            },
            connection_requests: tallies.connection_requests,
            auth_failures: tallies.auth_failures,
            large_requests_rejected: tallies.large_requests_rejected,
            read_latency: distribution(&tallies.reads),
            update_latency: distribution(&tallies.updates),
            node_created_watches: summary(&tallies.created),
            node_deleted_watches: summary(&tallies.deleted),
            node_changed_watches: summary(&tallies.changed),
            node_children_watches: summary(&tallies.children),
        };
        let server = mode.map(|mode| ServerFacts {
            mode,
            client_port: self.port,
            server_id: self.config.ensemble.as_ref().map_or(0, |ensemble| ensemble.me.0),
            last_zxid: in_replica.applied,
            connections_count: in_shard.connections,
            outstanding_requests: in_shard.outstanding,
            nodes_count: in_replica.nodes_count + 1,
            watches_count: in_shard.watches,
            ephemerals_count: in_replica.ephemerals_count,
            approximate_data_size: in_replica.data_bytes + in_replica.path_bytes,
            sessions_count: in_replica.sessions_count,
            local_sessions_count: in_replica.local_sessions_count,
            uptime: Clock::instant().since(self.started.instant),
            open_files_count: process::open_files().unwrap_or(0),
            open_files_max: process::open_files_max().unwrap_or(0),
        });
        let now = Clock::now();
        let sessions = admin::SessionFacts {
            expiries: by_moment(now.wall, left),
            ephemerals,
            connection_expiries: by_moment(now.wall, silences),
        };
        let process = admin::ProcessFacts {
            started: self.started.wall,
            now: now.instant,
            wall: now.wall,
            slow_syncs: times.over_threshold.load(Relaxed),
            ..admin::ProcessFacts::default()
        };
        let last_snapshot = in_replica.newest_snapshot.map(|zxid| admin::SnapshotFacts { zxid, written: -1 });
        let ensemble = status.map(ensemble_facts);
        Gathered {
            server,
            clients,
            store,
            connections,
            directories,
            ensemble,
            last_snapshot,
            process,
            watch_counts,
            watches,
            sessions,
            digests,
        }
    }

    /// What no four-letter word shows, and costs a dozen looks at files: not on a loop.
    pub fn look_further(&self, gathered: &mut Gathered) {
        gathered.process.cpu_time = process::cpu_time();
        gathered.process.resident_bytes = process::resident_bytes().unwrap_or(0);
        gathered.process.threads = process::threads_cpu_time();
        let available = |of: &Directory| of.space().ok().map(|space| space.available_bytes);
        gathered.directories.data_available_bytes = available(&self.places.snapshots);
        gathered.directories.log_available_bytes = available(&self.places.log);
        if let Some(last) = &mut gathered.last_snapshot {
            last.written = written(&self.places.snapshots, last.zxid).unwrap_or(-1);
        }
    }

    pub fn facts<'a>(&'a self, gathered: &'a Gathered) -> Facts<'a> {
        Facts {
            about: &self.about,
            config: &self.config,
            server: gathered.server,
            clients: &gathered.clients,
            store: &gathered.store,
            connections: &gathered.connections,
            directories: gathered.directories.clone(),
            ensemble: gathered.ensemble.as_ref(),
            last_snapshot: gathered.last_snapshot,
            process: &gathered.process,
            watch_counts: gathered.watch_counts,
            watches: &gathered.watches,
            sessions: &gathered.sessions,
            digests: &gathered.digests,
            trace_mask: self.trace_mask.load(Relaxed),
        }
    }
}

fn summary(of: &shard::Latency) -> admin::Summary {
    admin::Summary { count: of.count, sum: of.sum, min: of.min, max: of.max }
}

fn distribution(of: &shard::Spread) -> admin::Distribution {
    admin::Distribution::new(summary(&of.summary), of.histogram())
}

fn size(directory: &Directory, prefix: &str) -> u64 {
    let entries = directory.list().unwrap_or_default();
    entries.iter().filter(|entry| entry.name.starts_with(prefix)).map(|entry| entry.bytes).sum()
}

/// When the snapshot's file was written, in seconds since 1970.
fn written(directory: &Directory, zxid: crate::base::Zxid) -> Option<i64> {
    let entries = directory.list().ok()?;
    let file =
        entries.iter().find(|entry| SnapshotName::parse(&entry.name) == Some(SnapshotName::Whole(zxid)))?;
    let modified = std::fs::metadata(directory.path_of(&file.name)).ok()?.modified().ok()?;
    i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
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

fn ensemble_facts(status: Status) -> admin::EnsembleFacts {
    let members = status.config.members().map(|member| admin::MemberFacts {
        id: member.id.0,
        votes: member.is_voter(),
        quorum: member.quorum_addresses().map(|address| address.to_string()).collect(),
        election: member.election_addresses().map(|address| address.to_string()).collect(),
        client: member.client.as_ref().map(ToString::to_string),
    });
    let learners = status.learners.iter().map(|learner| admin::LearnerFacts {
        id: learner.server.0,
        votes: status.config.member(learner.server).is_some_and(|member| member.is_voter()),
        is_synced: learner.is_synced,
        acked: learner.acked,
    });
    admin::EnsembleFacts {
        me: status.me.0,
        peer_state: status.role,
        zab_state: status.phase,
        leader: status.leader.map(|leader| leader.0),
        members: members.collect(),
        learners: learners.collect(),
        accepted_epoch: status.epochs.accepted.0,
        current_epoch: status.epochs.current.0,
        config_version: status.config.version(),
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
