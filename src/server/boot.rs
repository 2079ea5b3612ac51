//! From directories to the parts of a running server: lock, recovery, threads, port.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::About;
use crate::base::{HashKey, Now, ServerId, ShardId, Ticket, Zxid, limits};
use crate::config::Config;
use crate::io::{Backend, Clock, Directory, Error, ErrorKind, Lock, Loop, MappedFile, SegmentFile};
use crate::log::{self, Command, SegmentId, SegmentImage, SnapshotDecoder, SnapshotName};
use crate::replica::{self, Boot, Replica, SnapshotSettings, Start};
use crate::shard::{self, Shard};
use crate::tree::{self, Reader};

use super::Fatal;
use super::admission::Admission;
use super::disk::{self, Disk};
use super::words::Words;

/// Our files lie in a directory of their own below `dataDir` and `dataLogDir`, beside Apache's `version-2`.
const SUBDIRECTORY: &str = "ringkeeper-1";

/// What every placement is made of.
pub struct Booted {
    pub config: Arc<Config>,
    pub about: About,
    pub started: Now,
    pub places: Places,
    pub replica: Replica,
    /// One per shard.
    pub readers: Vec<Reader>,
    /// The segment in which the log goes on.
    active: SegmentFile,
    hash_key: HashKey,
}

/// Takes the directories and recovers what they hold.
pub fn boot(
    config: Arc<Config>,
    about: About,
    seed: u64,
    shards: usize,
    started: Now,
) -> Result<Booted, Fatal> {
    crate::io::install_sigbus_handler().map_err(Fatal::Io)?;
    let places = Places::open(&config)?;
    let mut prng = crate::base::Prng::salted(seed, "boot");
    let hash_key = HashKey(prng.next(), prng.next());
    let log_settings = log::Settings {
        segment_bytes: config.pre_alloc_size,
        first_segment_bytes: config.pre_alloc_size.min(FIRST_SEGMENT_BYTES),
        group_bytes_max: limits::GROUP_BYTES_MAX,
        persists_max: 1,
        salt_seed: prng.next(),
        first_ticket: Ticket(1),
    };
    let settings = replica_settings(&config, hash_key, prng.next());
    settings.check().map_err(Fatal::Foreign)?;
    let loaded = load_snapshot(&places, &settings, shards, started)?;
    let RecoveredLog { start, active } = recover_log(&places, &log_settings, loaded)?;
    let Start { replica, readers } = start;
    Ok(Booted { config, about, started, places, replica, readers, active, hash_key })
}

/// The rest of what a placement needs, once `Booted` is taken apart.
pub struct Parts {
    pub replica: Replica,
    pub disk: Disk,
    pub admission: Arc<Admission>,
    pub words: Words,
    pub shards: Vec<Shard>,
}

/// An event loop as configured.
pub fn event_loop(config: &Config, connections_max: usize) -> Result<Loop, Fatal> {
    let backend = match config.io {
        crate::config::Io::Auto => Backend::Auto,
        crate::config::Io::Uring => Backend::Uring,
        crate::config::Io::Epoll => Backend::Epoll,
    };
    let io = Loop::new(backend, connections_max).map_err(Fatal::Io)?;
    if !io.is_uring() {
        tracing::warn!("sockets are carried by {}", io.backend_note());
    }
    Ok(io)
}

/// How long a port may be held by a server that was killed just now: a restart at once after kill -9 has found it taken. The
/// likely reason, not proven: the kernel ends a ring, and with it the listener, a moment after the process.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
const PORT_RETRY: Duration = Duration::from_millis(20);

/// Opens the client port on this loop.
pub fn listen(config: &Config, io: &mut Loop) -> Result<SocketAddr, Fatal> {
    let client = &config.client;
    let backlog = client.listen_backlog.map_or(BACKLOG, |backlog| i32::try_from(backlog).unwrap_or(BACKLOG));
    let address = client.socket_address();
    let until = Clock::instant() + PORT_PATIENCE;
    let mut is_told = false;
    loop {
        match io.listen(address, backlog, false) {
            Ok((_, bound)) => return Ok(bound),
            Err(error) if error.kind() == ErrorKind::Address && Clock::instant() < until => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::info!("{error}; trying again for {} s", PORT_PATIENCE.as_secs());
                }
                std::thread::park_timeout(PORT_RETRY);
            }
            Err(error) => return Err(Fatal::Port(error)),
        }
    }
}

/// The one line that says: ready.
pub struct ReadyLine {
    started: Now,
    facts: replica::Facts,
    directory: String,
    shards: usize,
}

impl ReadyLine {
    pub fn tell(&self, bound: SocketAddr) {
        tracing::info!(
            "ringkeeper {} ready on {bound} in {} ms: {} znodes, zxid {}, data in {}, {}",
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
    }
}

impl Booted {
    pub fn ready_line(&self) -> ReadyLine {
        ReadyLine {
            started: self.started,
            facts: self.replica.facts(),
            directory: self.places.snapshots.path().display().to_string(),
            shards: self.readers.len(),
        }
    }

    /// Starts the disk threads, which ring `bell`.
    pub fn into_parts(self, bell: &crate::io::Waker) -> Result<Parts, Fatal> {
        let Booted { config, about, started, places, replica, readers, active, hash_key } = self;
        let disk = Disk::start(
            disk::Settings {
                log_directory: places.log.clone(),
                snapshot_directory: places.snapshots.clone(),
                segment_bytes: config.pre_alloc_size,
                force_sync: config.force_sync,
                sync_warning: config.fsync_warning_threshold,
            },
            active,
            bell,
        )?;
        let settings = shard::Settings {
            tick: config.tick_time,
            frame_bytes_max: config.jute_max_buffer,
            sessionless_timeout: SESSIONLESS_TIMEOUT,
            skip_acl: config.skip_acl,
            turn_budget: limits::TURN_BUDGET,
            super_digest: config.super_digest.as_ref().map(|digest| digest.reveal().into()),
            hash_key,
        };
        let now = Clock::now();
        let shards = readers
            .into_iter()
            .enumerate()
            .map(|(at, reader)| Shard::new(ShardId(at as u16), settings.clone(), reader, now))
            .collect();
        let admission = Arc::new(Admission::new(config.max_cnxns, config.max_client_cnxns, hash_key));
        let words = Words::new(config, about, started, places, disk.sync_times.clone());
        Ok(Parts { replica, disk, admission, words, shards })
    }
}

/// The file that says a server is here.
const LOCK: &str = "lock";
/// `nio.sessionlessCnxnTimeout`'s default.
const SESSIONLESS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// A start makes a segment while clients wait: it is small, the next ones are made ahead.
const FIRST_SEGMENT_BYTES: u64 = 4 << 20;
/// Slots of one event loop.
pub const CONNECTIONS_OF_A_LOOP: usize = 1 << 17;
const BACKLOG: i32 = 1024;

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
        refuse_foreign(&config.data_dir, &snapshots)?;
        refuse_foreign(&config.data_log_dir, &log)?;
        let same = log == snapshots;
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
}

/// Starting empty beside Apache's files would look like losing them.
fn refuse_foreign(data: &Path, ours: &Path) -> Result<(), Fatal> {
    let apache = data.join("version-2");
    let of_apache = |name: &str| name.starts_with("snapshot.") || name.starts_with("log.");
    let holds = Directory::open(&apache)
        .and_then(|directory| directory.list())
        .is_ok_and(|entries| entries.iter().any(|entry| of_apache(&entry.name)));
    if holds && Directory::open(ours).is_err() {
        return Err(Fatal::Foreign(format!(
            "{} holds an Apache ZooKeeper server's data, which this version can't import yet. Name an empty dataDir \
             (and dataLogDir) to start with an empty tree; nothing there was touched.",
            apache.display()
        )));
    }
    Ok(())
}

/// A boot with the newest snapshot that can be trusted, or with a fresh tree.
struct Loaded {
    boot: Boot,
    /// Snapshots known to be good. Older files are not looked at: they don't count among those that purging keeps.
    snapshots: Vec<Zxid>,
    /// Where the newest snapshot file ends, good or not: everything up to there was committed.
    newest: Zxid,
}

fn replica_settings(config: &Config, hash_key: HashKey, seed: u64) -> replica::Settings {
    let throttle = &config.connection_throttle;
    replica::Settings {
        server: ServerId(1),
        tick: config.tick_time,
        session_timeout_min: config.min_session_timeout,
        session_timeout_max: config.max_session_timeout,
        rules: tree::Rules {
            extended_types: config.extended_types_enabled,
            skip_acl: config.skip_acl,
            enforce_quota: config.enforce_quota,
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
            retain: config.purge.interval.map(|_| config.purge.snap_retain_count),
            seed,
        },
        outstanding_max: config.outstanding_max.unwrap_or(limits::PROPOSALS_MAX).min(limits::PROPOSALS_MAX),
        throttle: throttle.tokens.map(|tokens| replica::ThrottleSettings {
            tokens,
            fill_time: throttle.fill_time,
            fill_count: throttle.fill_count,
        }),
        turn_budget: limits::TURN_BUDGET,
        hash_key,
    }
}

fn load_snapshot(
    places: &Places,
    settings: &replica::Settings,
    shards: usize,
    now: Now,
) -> Result<Loaded, Fatal> {
    let mut usable: Vec<Zxid> = vec![];
    for entry in places.snapshots.list().map_err(Fatal::Io)? {
        if let Some(SnapshotName::Whole(zxid)) = SnapshotName::parse(&entry.name) {
            usable.push(zxid);
        }
    }
    usable.sort_unstable();
    let newest = usable.last().copied().unwrap_or(Zxid::ZERO);
    while let Some(&zxid) = usable.last() {
        let path = places.snapshots.path_of(&log::snapshot_file_name(zxid));
        let mut boot = Boot::new(settings.clone(), shards, now);
        match load_one(&path, zxid, &mut boot) {
            Ok(()) => return Ok(Loaded { boot, snapshots: vec![zxid], newest }),
            Err(LoadFault::Newer(what)) => return Err(Fatal::Foreign(what)),
            Err(LoadFault::Bad(what)) => {
                tracing::error!(file = %path.display(), what, "this snapshot can't be used; trying the one before it");
                usable.pop();
            }
        }
    }
    let mut boot = Boot::new(settings.clone(), shards, now);
    boot.plant();
    Ok(Loaded { boot, snapshots: vec![], newest })
}

enum LoadFault {
    Bad(String),
    Newer(String),
}

fn load_one(path: &Path, zxid: Zxid, boot: &mut Boot) -> Result<(), LoadFault> {
    let bad = |what: &dyn std::fmt::Display| LoadFault::Bad(what.to_string());
    let file = MappedFile::open(path).map_err(|error| bad(&error))?;
    let fault = |fault: log::SnapshotFault| match fault {
        log::SnapshotFault::Newer { .. } => LoadFault::Newer(format!("{}: {fault}", path.display())),
        _ => bad(&fault),
    };
    let mut decoder = SnapshotDecoder::new(file.bytes(), zxid).map_err(fault)?;
    while let Some(chunk) = decoder.next_chunk().map_err(fault)? {
        boot.load(zxid, chunk).map_err(|error| bad(&error))?;
    }
    boot.loaded().map_err(|error| bad(&error))
}

struct RecoveredLog {
    start: Start,
    active: SegmentFile,
}

/// Replays the log behind the snapshot and carries out its repair, before anything is acknowledged.
fn recover_log(places: &Places, settings: &log::Settings, loaded: Loaded) -> Result<RecoveredLog, Fatal> {
    let Loaded { mut boot, snapshots, newest } = loaded;
    let directory_name = || places.log.path().display().to_string();
    let mut files: Vec<(SegmentId, MappedFile)> = vec![];
    for entry in places.log.list().map_err(Fatal::Io)? {
        if let Some(id) = SegmentId::parse(&entry.name) {
            files.push((id, MappedFile::open(&places.log.path_of(&entry.name)).map_err(Fatal::Io)?));
        }
    }
    let images: Vec<SegmentImage<'_>> =
        files.iter().map(|(id, file)| SegmentImage { id: *id, bytes: file.bytes() }).collect();
    let recovered = log::recover(settings, &images, boot.applied())
        .map_err(|fault| Fatal::Recovery { directory: directory_name(), fault })?;
    if recovered.last_zxid < newest {
        return Err(Fatal::Foreign(format!(
            "the snapshot {} in {} can't be used, and snapshot and log behind it end at zxid {}: acknowledged transactions \
             would be lost. Put the file back from a copy; nothing was changed.",
            log::snapshot_file_name(newest),
            places.snapshots.path().display(),
            recovered.last_zxid,
        )));
    }
    if let Some(cut) = &recovered.cut {
        tracing::warn!(at = %cut.end, why = cut.why, "the log ended in a torn record, as after a crash: cut there");
    }
    for entry in &recovered.entries {
        boot.replay(entry.zxid, entry.payload)
            .map_err(|error| Fatal::Boot { directory: directory_name(), error })?;
    }
    let repair = log_files(places, recovered.repair).map_err(Fatal::of_log)?;
    log_files(places, recovered.cleanup).map_err(Fatal::of_log)?;
    let active = repair.expect("the repair makes the segment in which the log goes on");
    for orphan in boot.orphans() {
        tracing::warn!(session = %orphan, "ephemeral znodes without their session were found");
    }
    let writer = log::Writer::new(*settings, recovered.resume);
    Ok(RecoveredLog { start: boot.finish(writer, snapshots), active })
}

/// Carries out log commands at start, when nobody waits. Returns the segment made last.
fn log_files(places: &Places, commands: Vec<Command>) -> Result<Option<SegmentFile>, Error> {
    let mut active = None;
    for command in commands {
        match (command, &mut active) {
            (Command::Create { segment, header, bytes }, _) => {
                let mut file = SegmentFile::create(&places.log.path_of(&segment.file_name()), bytes)?;
                file.write_at(0, &header);
                active = Some(file);
            }
            (Command::Append { offset, bytes, .. }, Some(file)) => file.write_at(offset, &bytes),
            (Command::Persist { .. }, file) => {
                if let Some(file) = file {
                    file.persist()?;
                }
                places.log.sync()?;
            }
            (Command::Remove { segment }, _) => places.log.remove(&[&segment.file_name()])?,
            (Command::Append { .. }, None) => unreachable!("a repair appends to the segment it made"),
        }
    }
    Ok(active)
}
