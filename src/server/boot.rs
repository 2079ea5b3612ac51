//! From directories to the parts of a running server: lock, recovery, threads, port.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use crate::admin::About;
use crate::base::{HashKey, Now, ServerId, ShardId, limits, listening_at};
use crate::config::{Config, LogWrite};
use crate::io::{
    Backend, Clock, Directory, Error, ErrorKind, ListenerId, Lock, Loop, SegmentFile, Supervisor, process,
};
use crate::log::{SegmentId, SnapshotName};
use crate::replica::{self, Replica, SnapshotSettings, Start, ensemble};
use crate::shard::{self, Shard};
use crate::tree::{self, Passwords, Reader};
use crate::zab::History;

use super::admission::Admission;
use super::disk::{self, Disk};
use super::epochs::EpochFile;
use super::facts::Background;
use super::recovery::{Recovered, Recovery};
use super::reload::Reloader;
use super::strays::{self, Stray};
use super::sync_times::SyncTimes;
use super::words::Words;
use super::{Fatal, PortOf};

/// Our files lie in a directory of their own below `dataDir` and `dataLogDir`, beside Apache's `version-2`.
pub const SUBDIRECTORY: &str = "ringkeeper-1";

/// What every placement is made of.
pub struct Booted {
    pub config: Arc<Config>,
    pub about: About,
    pub started: Now,
    pub supervisor: Arc<Supervisor>,
    pub recovery: Recovery,
    pub replica: Replica,
    /// One per shard.
    pub readers: Vec<Reader>,
    /// For [`Replica::join`].
    member: Option<Member>,
    /// The segment in which the log goes on.
    active: SegmentFile,
    epoch_file: Option<EpochFile>,
}

/// Takes the directories and recovers what they hold.
pub fn boot(
    config: Arc<Config>,
    about: About,
    seed: u64,
    shards: usize,
    started: Now,
    supervisor: Arc<Supervisor>,
) -> Result<Booted, Fatal> {
    crate::io::install_sigbus_handler().map_err(Fatal::Io)?;
    let places = Places::open(&config)?;
    let mut prng = crate::base::Prng::salted(seed, "boot");
    let hash_key = HashKey(prng.next(), prng.next());
    let prng = crate::base::Prng::salted(prng.next(), "segments");
    let settings = replica_settings(&config, hash_key, prng.clone().next());
    settings.check().map_err(Fatal::Foreign)?;
    let mut recovery =
        Recovery { places: Arc::new(places), settings, segment_bytes: config.pre_alloc_size, shards, prng };
    let Recovered { start, active, epochs, epoch_file } = recovery.run(None, started)?;
    let Start { replica, readers, history } = start;
    let member = match (&config.ensemble, history) {
        (Some(ensemble), Some(history)) => {
            let directory = recovery.places.log.path().display().to_string();
            let settings = super::member::settings(&config, ensemble, epochs, &directory)?;
            Some(Member { settings, history })
        }
        _ => None,
    };
    Ok(Booted { config, about, started, supervisor, recovery, replica, readers, member, active, epoch_file })
}

/// What makes the replica a member of an ensemble: the newest of its log, and what else it is told.
pub struct Member {
    pub settings: ensemble::Settings,
    pub history: History,
}

/// The rest of what a placement needs, once `Booted` is taken apart.
pub struct Parts {
    pub replica: Replica,
    pub disk: Disk,
    /// For a member.
    pub reloader: Reloader,
    pub admission: Arc<Admission>,
    pub words: Words,
    pub shards: Vec<Shard>,
    pub member: Option<Member>,
}

pub fn backend(config: &Config) -> Backend {
    match config.io {
        crate::config::Io::Auto => Backend::Auto,
        crate::config::Io::Uring => Backend::Uring,
        crate::config::Io::Epoll => Backend::Epoll,
    }
}

/// An event loop as configured.
pub fn event_loop(config: &Config, connections_max: usize) -> Result<Loop, Fatal> {
    let io = Loop::new(backend(config), connections_max).map_err(Fatal::Io)?;
    if !io.is_uring() {
        tracing::warn!("sockets are carried by {}", io.backend_note());
    }
    Ok(io)
}

/// How long a port may be held by a server that was killed just now: a restart at once after kill -9 has found it taken. The
/// likely reason, not proven: the kernel ends a ring, and with it the listener, a moment after the process.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
const PORT_RETRY: Duration = Duration::from_millis(20);

/// Clients that wait to be accepted.
pub fn client_backlog(config: &Config) -> i32 {
    let given = config.client.listen_backlog;
    given.map_or(BACKLOG, |backlog| i32::try_from(backlog).unwrap_or(BACKLOG))
}

/// Opens a port, for which a server that ended just now is waited for.
pub fn listen_at(
    io: &mut Loop,
    address: SocketAddr,
    backlog: i32,
    of: PortOf,
) -> Result<(ListenerId, SocketAddr), Fatal> {
    let until = Clock::instant() + PORT_PATIENCE;
    let mut is_told = false;
    loop {
        match listen_once(io, address, backlog) {
            Ok(listening) => return Ok(listening),
            Err(error) if is_passing(error.kind()) && Clock::instant() < until => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::info!("{error}; trying again for {} s", PORT_PATIENCE.as_secs());
                }
                std::thread::park_timeout(PORT_RETRY);
            }
            Err(error) => return Err(Fatal::Port { error, of }),
        }
    }
}

/// An address may be given to this host a moment after the server, too.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Address | ErrorKind::NotHere)
}

/// The last error, where there is a choice of addresses.
pub fn listen_once(
    io: &mut Loop,
    address: SocketAddr,
    backlog: i32,
) -> Result<(ListenerId, SocketAddr), Error> {
    let mut last = None;
    for address in listening_at(address) {
        match io.listen(address, backlog, false) {
            Ok(listening) => return Ok(listening),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("there is an address"))
}

/// The one line that says: ready, or of a member: up. Then whoever started this server is told.
pub struct ReadyLine {
    started: Now,
    supervisor: Arc<Supervisor>,
    facts: replica::Facts,
    directory: String,
    shards: usize,
    is_member: bool,
}

impl ReadyLine {
    pub fn tell(&self, bound: SocketAddr) {
        // A member serves nobody before it has found a leader: that is a line of its own.
        let state = if self.is_member { "up" } else { "ready" };
        tracing::info!(
            "ringkeeper {} {state} on {bound} in {} ms: {} znodes, zxid {}, data in {}, {}",
            env!("CARGO_PKG_VERSION"),
            Clock::instant().since(self.started.instant).as_millis(),
            self.facts.nodes_count,
            self.facts.applied,
            self.directory,
            match self.shards {
                1 => "one event loop".to_owned(),
                shards => format!("a replica and {shards} shards"),
            },
        );
        if let Err(error) = self.supervisor.tell(&format!("READY=1\nSTATUS={state} on {bound}")) {
            tracing::warn!("{error}; who started this server doesn't know that it is {state}");
        }
    }
}

impl Booted {
    pub fn ready_line(&self) -> ReadyLine {
        ReadyLine {
            started: self.started,
            supervisor: self.supervisor.clone(),
            facts: self.replica.facts(),
            directory: self.recovery.places.snapshots.path().display().to_string(),
            shards: self.readers.len(),
            is_member: self.member.is_some(),
        }
    }

    /// Starts the disk threads. `io` is the loop that owns them.
    pub fn into_parts(self, io: &Loop) -> Result<Parts, Fatal> {
        let Booted { config, about, started, recovery, replica, readers, member, active, epoch_file, .. } =
            self;
        if !config.huge_pages {
            // The tree as it was read back has what it has; from here on somebody waits.
            process::refuse_huge_pages();
        }
        let places = recovery.places.clone();
        let sync_times = Arc::new(SyncTimes::default());
        let disk_settings = disk::Settings {
            log_directory: places.log.clone(),
            snapshot_directory: places.snapshots.clone(),
            segment_bytes: config.pre_alloc_size,
            force_sync: config.force_sync,
            is_direct: config.log_write == LogWrite::Direct && config.force_sync && io.is_uring(),
            sync_warning: config.fsync_warning_threshold,
            sync_times: sync_times.clone(),
        };
        let bell = io.doorbell();
        let disk = Disk::start(disk_settings.clone(), active, epoch_file, &bell)?;
        let hash_key = recovery.settings.hash_key;
        let is_serving = recovery.settings.history.is_none();
        let reloader = Reloader { recovery, disk: disk_settings, bell };
        let settings = shard::Settings {
            tick: config.tick_time,
            frame_bytes_max: config.jute_max_buffer,
            sessionless_timeout: SESSIONLESS_TIMEOUT,
            slow_request: config.slow_request,
            skip_acl: config.skip_acl,
            turn_budget: limits::TURN_BUDGET,
            bounds: shard::Bounds::of_requests(config.outstanding_max),
            large_requests: shard::LargeRequests::new(
                config.large_requests.threshold,
                config.large_requests.bytes_max,
            ),
            super_digest: config.super_digest.as_ref().map(|digest| digest.reveal().into()),
            hash_key,
            is_serving,
        };
        let now = Clock::now();
        let shards = readers
            .into_iter()
            .enumerate()
            .map(|(at, reader)| Shard::new(ShardId(at as u16), settings.clone(), reader, now))
            .collect();
        let admission = Arc::new(Admission::new(config.max_cnxns, config.max_client_cnxns, hash_key));
        let mut db_init_time = crate::admin::Summary::default();
        db_init_time.record_time(Clock::instant().since(started.instant));
        let words = Words(Background {
            config,
            about,
            started,
            port: 0,
            places,
            sync_times,
            db_init_time,
            admission: admission.clone(),
            trace_mask: Arc::new(AtomicI64::new(crate::admin::TRACE_MASK_DEFAULT)),
            admin_counts: Arc::default(),
        });
        Ok(Parts { replica, disk, reloader, admission, words, shards, member })
    }
}

/// The file that says a server is here.
const LOCK: &str = "lock";
/// `nio.sessionlessCnxnTimeout`'s default.
const SESSIONLESS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Slots of one event loop.
pub const CONNECTIONS_OF_A_LOOP: usize = 1 << 17;
const BACKLOG: i32 = 1024;

/// Keeps servers away from a folder in which one has run, and fails while one runs. Others need no lock: copies, and what is
/// only to be read and can't be written to.
pub fn hold(folder: &Path) -> Result<Option<Lock>, crate::io::Error> {
    let directory = Directory::open(folder)?;
    if !directory.path_of(LOCK).exists() {
        return Ok(None);
    }
    match directory.lock(LOCK) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == ErrorKind::Denied => Ok(None),
        Err(error) => Err(error),
    }
}

/// The directories, ours alone as long as this lives.
pub struct Places {
    pub snapshots: Arc<Directory>,
    pub log: Arc<Directory>,
    _locks: Vec<Lock>,
}

impl Places {
    fn open(config: &Config) -> Result<Places, Fatal> {
        let snapshots = config.data_dir.join(SUBDIRECTORY);
        let log = config.data_log_dir.join(SUBDIRECTORY);
        let same = log == snapshots;
        let stray = strays::find(&config.data_dir, &config.data_log_dir).map_err(Fatal::Io)?;
        if let Some(stray) = stray {
            return Err(stray.into());
        }
        let snapshots = Arc::new(Directory::create(&snapshots).map_err(Fatal::Io)?);
        let mut locks = vec![snapshots.lock(LOCK).map_err(Fatal::Io)?];
        let log = if same {
            snapshots.clone()
        } else {
            let log = Directory::create(&log).map_err(Fatal::Io)?;
            locks.push(log.lock(LOCK).map_err(Fatal::Io)?);
            Arc::new(log)
        };
        for directory in [&snapshots, &log] {
            for name in directory.remove_leftovers().map_err(Fatal::Io)? {
                tracing::info!(name, "an unfinished file of the last run was removed");
            }
            for entry in directory.list().map_err(Fatal::Io)? {
                if entry.name.starts_with(disk::SPARE) {
                    directory.remove(&[&entry.name]).map_err(Fatal::Io)?;
                }
            }
        }
        Ok(Places { snapshots, log, _locks: locks })
    }

    /// Directories that are there, and stay as they are: for reading what they hold. Held as [`hold`] does it.
    pub fn existing(data_dir: &Path, data_log_dir: &Path) -> Result<Places, Fatal> {
        let open = |path: &Path| {
            let path = path.join(SUBDIRECTORY);
            let directory = Directory::open(&path);
            directory.map_err(|error| match error.kind() {
                ErrorKind::Missing => {
                    Fatal::Foreign(format!("{} isn't there: no data of ringkeeper", path.display()))
                }
                _ => Fatal::Io(error),
            })
        };
        if let Some(stray @ Stray::Log { .. }) = strays::find(data_dir, data_log_dir).map_err(Fatal::Io)? {
            return Err(stray.into());
        }
        let snapshots = Arc::new(open(data_dir)?);
        let mut locks: Vec<Lock> = hold(snapshots.path()).map_err(Fatal::Io)?.into_iter().collect();
        let log = if data_dir == data_log_dir {
            snapshots.clone()
        } else {
            let log = open(data_log_dir)?;
            locks.extend(hold(log.path()).map_err(Fatal::Io)?);
            Arc::new(log)
        };
        Ok(Places { snapshots, log, _locks: locks })
    }

    /// One directory for both, which nobody else has.
    #[cfg(test)]
    pub fn of_one(directory: Arc<Directory>) -> Places {
        Places { snapshots: directory.clone(), log: directory, _locks: vec![] }
    }

    /// Neither snapshot nor log: nothing was ever stored here.
    pub fn is_blank(&self) -> Result<bool, Fatal> {
        let snapshots = self.snapshots.list().map_err(Fatal::Io)?;
        let segments = self.log.list().map_err(Fatal::Io)?;
        Ok(!snapshots.iter().any(|entry| SnapshotName::parse(&entry.name).is_some())
            && !segments.iter().any(|entry| SegmentId::parse(&entry.name).is_some()))
    }
}

pub(super) fn replica_settings(config: &Config, hash_key: HashKey, seed: u64) -> replica::Settings {
    let throttle = &config.connection_throttle;
    replica::Settings {
        server: config.ensemble.as_ref().map_or(ServerId(1), |ensemble| ensemble.me),
        tick: config.tick_time,
        session_timeout_min: config.min_session_timeout,
        session_timeout_max: config.max_session_timeout,
        rules: tree::Rules {
            extended_types: config.extended_types_enabled,
            skip_acl: config.skip_acl,
            enforce_quota: config.enforce_quota,
            reconfig: config.reconfig_enabled,
            frame_bytes_max: config.jute_max_buffer,
        },
        containers: replica::ContainerSettings {
            check_interval: config.containers.check_interval,
            per_minute: config.containers.max_per_minute,
            never_used: config.containers.max_never_used_interval,
        },
        snapshots: SnapshotSettings {
            count: u64::from(config.snap_count),
            log_bytes: config.snap_size_limit.unwrap_or(0),
            bytes_per_second: config.snapshot_rate.unwrap_or(0),
            ahead_bytes_max: crate::tree::AHEAD_BYTES_MAX,
            retain: config.purge.interval.map(|_| config.purge.snap_retain_count),
            seed,
        },
        slow_request: config.slow_request,
        outstanding_max: config.outstanding_max.unwrap_or(limits::PROPOSALS_MAX).min(limits::PROPOSALS_MAX),
        throttle: throttle.tokens.map(|tokens| replica::ThrottleSettings {
            tokens,
            fill_time: throttle.fill_time,
            fill_count: throttle.fill_count,
        }),
        turn_budget: limits::TURN_BUDGET,
        hash_key,
        passwords: config
            .session_secret
            .map_or(Passwords::Apaches, |secret| Passwords::Keyed(secret.reveal())),
        history: config.ensemble.as_ref().map(super::member::history_limits),
        digests: config.ensemble.is_some() && config.digest_enabled,
    }
}
