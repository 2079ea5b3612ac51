//! The configuration ready to use, and the one function which makes it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::client_port::{ClientPort, Own, Resolve, client_port};
use super::defaults;
use super::effective::Checked;
use super::ensemble::{self, Ensemble, Read};
use super::environment;
use super::fault::{Fault, Origin, Severity, Warning};
use super::keys;
use super::lines::{self, AuditLog, LogFormat};
use super::ports;
use super::raw::Raw;
use super::requests::{self, ConnectionThrottle, LargeRequests};
use super::secret::{SessionSecret, session_secret};
use super::settings::Settings;
use super::values::{self, SuperDigest, Whitelist};
use super::web::{self, AdminServer, MetricsServer};
use crate::base::limits;

/// Every setting of a server, with nothing left to decide. Names are ZooKeeper's; units are in the types.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub tick_time: Duration,
    /// Snapshots; exists or is to be created.
    pub data_dir: PathBuf,
    /// Transaction logs; equal to `data_dir` unless given.
    pub data_log_dir: PathBuf,
    pub client: ClientPort,
    /// `None`: standalone.
    pub ensemble: Option<Ensemble>,
    /// `reconfigEnabled`; a lone server refuses reconfigurations in other words then.
    pub reconfig_enabled: bool,
    /// Never above `max_session_timeout`; both fit in 31 bits of milliseconds, as the protocol has them.
    pub min_session_timeout: Duration,
    pub max_session_timeout: Duration,
    /// Connections of one client address; `None`: no limit.
    pub max_client_cnxns: Option<u32>,
    /// Connections of the whole server; never above `limits::CONNECTIONS_MAX`.
    pub max_cnxns: usize,
    /// Transactions from one snapshot to the next; at least 2.
    pub snap_count: u32,
    /// Bytes of log from one snapshot to the next; `None`: only `snap_count` decides.
    pub snap_size_limit: Option<u64>,
    /// Bytes of a log segment; a whole number of KiB, with room for a largest request.
    pub pre_alloc_size: u64,
    pub purge: Purge,
    /// `jute.maxbuffer`: bytes of the largest request frame; at most `limits::FRAME_BYTES_MAX`.
    pub jute_max_buffer: usize,
    /// Nodes with a time to live.
    pub extended_types_enabled: bool,
    /// Members of an ensemble compare their trees, transaction by transaction. Of no effect on a lone server.
    pub digest_enabled: bool,
    /// Hard quotas refuse writes; else they only warn.
    pub enforce_quota: bool,
    pub four_letter_words: Whitelist,
    /// False: replies don't wait for the disk, and a power loss loses acknowledged writes.
    pub force_sync: bool,
    pub skip_acl: bool,
    pub super_digest: Option<SuperDigest>,
    /// `None`: sessions' passwords are Apache's.
    pub session_secret: Option<SessionSecret>,
    /// Of no effect on a lone server, but for `isro`.
    pub read_only_mode: bool,
    pub containers: Containers,
    /// Requests that may be taken in and not answered, over all connections: `globalOutstandingLimit` or
    /// `request_throttle_max_requests`, whichever is less. `None`, the default: `limits` alone decides. (ZooKeeper's default
    /// of 1000 protects a Java heap.)
    pub outstanding_max: Option<usize>,
    pub large_requests: LargeRequests,
    pub connection_throttle: ConnectionThrottle,
    /// A sync that takes longer is worth a line.
    pub fsync_warning_threshold: Duration,
    /// A request that takes so long is worth a line; `Duration::MAX`: none is.
    pub slow_request: Duration,
    /// Processors to pin threads to; `None`: the placement rule decides.
    pub cores: Option<BTreeSet<u16>>,
    /// Event loops for clients, at most `limits::SHARDS_MAX`; `None`: the placement rule decides.
    pub shards: Option<usize>,
    /// How long a loop may look for the next event before it sleeps; `None`: it sleeps at once.
    pub look: Option<Duration>,
    pub io: Io,
    pub log_write: LogWrite,
    /// `ringkeeper.hugePages`: transparent huge pages also for memory that is taken while clients are served.
    pub huge_pages: bool,
    pub log_format: LogFormat,
    /// `None`: nothing is audited.
    pub audit: Option<AuditLog>,
    /// Bytes per second that a snapshot may write; `None`: no limit.
    pub snapshot_rate: Option<u64>,
    /// The configuration file as it was written, its secrets left out: what `initial_configuration` shows.
    pub initial: Option<String>,
    /// `None`: there is no admin port.
    pub admin_server: Option<AdminServer>,
    /// `None`: metrics are shown by `mntr` and the admin port only.
    pub metrics_server: Option<MetricsServer>,
}

/// `autopurge.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// Snapshots kept, with the logs behind the oldest of them; at least 3.
    pub snap_retain_count: usize,
    /// `None`: nothing is purged.
    pub interval: Option<Duration>,
}

/// `znode.container.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containers {
    pub check_interval: Duration,
    pub max_per_minute: u32,
    /// A container that never had a child is deleted after this; `None`: never.
    pub max_never_used_interval: Option<Duration>,
}

/// `ringkeeper.io`: which backend carries the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// io_uring where the kernel allows it, else epoll.
    Auto,
    Uring,
    Epoll,
}

/// `ringkeeper.logWrite`: how the transaction log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogWrite {
    /// Past the page cache by the loop's ring, where there is one and the file system can.
    Direct,
    /// Through memory maps, synced by a thread of its own.
    Mmap,
}

/// Why there is no [`Config`]. The warnings often say what the faults come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub faults: Vec<Fault>,
    pub warnings: Vec<Warning>,
}

impl Raw {
    /// Decides every setting, or says all that is wrong at once.
    pub fn check(self, resolve: Resolve, read: Read<'_>) -> Result<(Config, Vec<Warning>), Refusal> {
        self.check_and_keep(resolve, read).map(|checked| (checked.config, checked.warnings))
    }

    /// As [`Self::check`], for who wants to know where each setting comes from.
    pub fn check_and_keep(mut self, resolve: Resolve, read: Read<'_>) -> Result<Checked, Refusal> {
        let strangers = std::mem::take(&mut self.strangers);
        let initial = self.without_secrets();
        let mut settings = Settings::new(self);
        for variable in strangers {
            let guess = keys::nearest_of(&variable, environment::names());
            let guess = guess.map_or_else(String::new, |name| format!(": did you mean `{name}`?"));
            settings.warn(
                Severity::Warning,
                Origin::Environment { variable },
                format!("unknown, ignored{guess}"),
            );
        }
        let config = config(&mut settings, resolve, read);
        match (config, settings.into_findings()) {
            (Some(config), (faults, warnings, given)) if faults.is_empty() => {
                Ok(Checked { config: Config { initial, ..config }, warnings, given })
            }
            (_, (faults, warnings, _)) => {
                assert!(!faults.is_empty(), "a configuration is refused for a reason");
                Err(Refusal { faults, warnings })
            }
        }
    }
}

pub const INT_MAX: i64 = i32::MAX as i64;
const KIB: u64 = 1024;

/// `None` only after a fault was noted; a fault doesn't stop the other settings from being looked at.
fn config(settings: &mut Settings, resolve: Resolve, read: Read<'_>) -> Option<Config> {
    let tick_time = ticks(settings);
    let (min_session_timeout, max_session_timeout) = session_timeouts(settings, tick_time);
    let data_dir = settings.path("dataDir");
    if data_dir.is_none() {
        settings.missing(
            "dataDir",
            "required: the directory of the server's data, e.g. dataDir=/var/lib/zookeeper",
        );
    }
    let data_log_dir = settings.path("dataLogDir").or_else(|| data_dir.clone());
    let membership = ensemble::membership(settings, read);
    let reconfig_enabled = settings.boolean("reconfigEnabled", false);
    let ensemble = ensemble::ensemble(
        settings,
        membership.as_ref(),
        data_dir.as_deref(),
        tick_time,
        reconfig_enabled,
        read,
    );
    let own = match (&membership, &ensemble) {
        (None, _) if settings.servers().is_empty() => Own::Nobody,
        (Some(membership), None) if !membership.is_ensemble => Own::Lone(membership.own_line(None)),
        (Some(membership), Some(ensemble)) => Own::Member(membership.own_line(Some(ensemble.me))),
        _ => Own::Unknown,
    };
    let client = client_port(settings, own, resolve);
    let jute_max_buffer = settings.number(
        "jute.maxbuffer",
        defaults::JUTE_MAX_BUFFER_MIN..=limits::FRAME_BYTES_MAX as i64,
        "bytes",
        defaults::JUTE_MAX_BUFFER,
    ) as usize;
    let read_only_mode = settings.boolean("readonlymode.enabled", false);
    let max_client_cnxns =
        settings.number("maxClientCnxns", -1..=INT_MAX, "0: no limit", defaults::MAX_CLIENT_CNXNS);
    let max_cnxns = settings.number("maxCnxns", 0..=INT_MAX, "0: no limit", defaults::MAX_CNXNS) as usize;
    let snap_size_limit = settings.number(
        "snapSizeLimitInKb",
        -1..=i64::MAX >> 10,
        "KiB, 0: off",
        defaults::SNAP_SIZE_LIMIT_KIB,
    );
    let shards =
        settings.number("ringkeeper.shards", 0..=limits::SHARDS_MAX as i64, "0: by rule", defaults::SHARDS);
    let look = settings.number(
        "ringkeeper.lookMicros",
        0..=1000,
        "microseconds, 0: sleep at once",
        defaults::LOOK_MICROS,
    );
    let snapshot_rate = settings.number(
        "ringkeeper.snapshotRate",
        0..=1 << 20,
        "MiB per second, 0: no limit",
        defaults::SNAPSHOT_RATE_MIB,
    );
    let config = Config {
        tick_time,
        data_dir: data_dir.clone().unwrap_or_default(),
        data_log_dir: data_log_dir.clone().unwrap_or_default(),
        client: client.clone().unwrap_or(ClientPort { address: None, port: 0, listen_backlog: None }),
        ensemble,
        reconfig_enabled,
        min_session_timeout,
        max_session_timeout,
        max_client_cnxns: positive(max_client_cnxns).map(|count| count as u32),
        max_cnxns: if max_cnxns == 0 {
            limits::CONNECTIONS_MAX
        } else {
            max_cnxns.min(limits::CONNECTIONS_MAX)
        },
        snap_count: settings.at_least("snapCount", defaults::SNAP_COUNT_MIN, defaults::SNAP_COUNT) as u32,
        snap_size_limit: positive(snap_size_limit).map(|kib| kib * KIB),
        pre_alloc_size: pre_alloc_size(settings, jute_max_buffer),
        purge: purge(settings),
        jute_max_buffer,
        extended_types_enabled: settings.boolean("extendedTypesEnabled", false),
        digest_enabled: settings.boolean("digest.enabled", true),
        enforce_quota: settings.boolean("enforceQuota", false),
        four_letter_words: four_letter_words(settings, read_only_mode),
        force_sync: force_sync(settings),
        skip_acl: skip_acl(settings),
        session_secret: session_secret(settings, read),
        super_digest: settings.secret("DigestAuthenticationProvider.superDigest", SuperDigest::new),
        read_only_mode,
        containers: containers(settings),
        outstanding_max: requests::outstanding_max(settings),
        large_requests: requests::large(settings),
        connection_throttle: requests::connection_throttle(settings),
        fsync_warning_threshold: millis(settings.number(
            "fsync.warningthresholdms",
            0..=INT_MAX,
            "milliseconds",
            defaults::FSYNC_WARNING_THRESHOLD_MS,
        )),
        slow_request: lines::slow_request(settings),
        cores: settings.value("ringkeeper.cores", values::cores),
        shards: positive(shards).map(|count| count as usize),
        look: positive(look).map(Duration::from_micros),
        io: settings.value("ringkeeper.io", io).unwrap_or(Io::Auto),
        huge_pages: settings.boolean("ringkeeper.hugePages", defaults::HUGE_PAGES),
        log_write: settings.value("ringkeeper.logWrite", log_write).unwrap_or(LogWrite::Direct),
        log_format: settings.value("ringkeeper.logFormat", lines::log_format).unwrap_or_default(),
        audit: lines::audit_log(settings),
        snapshot_rate: positive(snapshot_rate).map(|mib| mib * KIB * KIB),
        initial: None,
        admin_server: web::admin_server(settings, resolve),
        metrics_server: web::metrics_server(settings, resolve),
    };
    if client.is_some() {
        ports::judge(settings, &config);
    }
    (data_dir.is_some() && client.is_some()).then_some(config)
}

pub fn millis(number: i64) -> Duration {
    Duration::from_millis(number.unsigned_abs())
}

/// Zero and less mean "none" in many of ZooKeeper's settings.
pub fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|&number| number > 0)
}

fn ticks(settings: &mut Settings) -> Duration {
    // So that the longest timeout by default fits in the 31 bits the protocol has for it.
    let longest = INT_MAX / i64::from(defaults::SESSION_TIMEOUT_MAX_TICKS);
    let default = defaults::TICK_TIME.as_millis() as i64;
    millis(settings.number("tickTime", 1..=longest, "milliseconds", default))
}

fn session_timeouts(settings: &mut Settings, tick_time: Duration) -> (Duration, Duration) {
    let mut timeout = |key, ticks: u32| {
        // −1 is how ZooKeeper writes "not set".
        match settings.number(key, -1..=INT_MAX, "milliseconds, -1: default", -1) {
            -1 => (tick_time * ticks, format!("the default, {ticks} ticks")),
            0 => (Duration::ZERO, "as given".to_owned()),
            given => (millis(given), "as given".to_owned()),
        }
    };
    let (min, min_from) = timeout("minSessionTimeout", defaults::SESSION_TIMEOUT_MIN_TICKS);
    let (max, max_from) = timeout("maxSessionTimeout", defaults::SESSION_TIMEOUT_MAX_TICKS);
    if max.is_zero() {
        settings.fault_at(
            "maxSessionTimeout",
            "no session could live; allowed: 1 or more, -1: default".to_owned(),
        );
    } else if min > max {
        let key =
            if settings.is_given("minSessionTimeout") { "minSessionTimeout" } else { "maxSessionTimeout" };
        let problem = format!(
            "minSessionTimeout is {} ms ({min_from}), maxSessionTimeout is {} ms ({max_from}); \
             allowed: minSessionTimeout not above maxSessionTimeout",
            min.as_millis(),
            max.as_millis(),
        );
        settings.fault_at(key, problem);
    }
    (min, max)
}

fn pre_alloc_size(settings: &mut Settings, jute_max_buffer: usize) -> u64 {
    // What a transaction and its segment's header add to the request they come from, generously.
    const OVERHEAD: u64 = 1 << 20;
    let kib = settings.number("preAllocSize", 1..=1 << 24, "KiB", defaults::PRE_ALLOC_SIZE_KIB);
    let given = kib.unsigned_abs() * KIB;
    let needed = (jute_max_buffer as u64 + OVERHEAD).next_multiple_of(4 * KIB);
    if given < needed {
        let text = format!(
            "preAllocSize raised to {} KiB: a log segment must hold a request of jute.maxbuffer ({jute_max_buffer} bytes)",
            needed / KIB
        );
        settings.warn_at("preAllocSize", Severity::Warning, text);
    }
    // Segments are made of whole blocks.
    given.max(needed).next_multiple_of(4 * KIB)
}

fn purge(settings: &mut Settings) -> Purge {
    let hours = settings.number(
        "autopurge.purgeInterval",
        i64::from(i32::MIN)..=INT_MAX,
        "hours, 0: off",
        defaults::PURGE_INTERVAL_HOURS,
    );
    let snap_retain_count = settings.at_least(
        "autopurge.snapRetainCount",
        defaults::SNAP_RETAIN_COUNT_MIN,
        defaults::SNAP_RETAIN_COUNT,
    );
    Purge {
        snap_retain_count: snap_retain_count as usize,
        interval: positive(hours).map(|hours| Duration::from_secs(hours * 3600)),
    }
}

fn four_letter_words(settings: &mut Settings, read_only_mode: bool) -> Whitelist {
    const KEY: &str = "4lw.commands.whitelist";
    let list = settings.value(KEY, |text| Ok(text.to_owned())).unwrap_or_default();
    let (whitelist, unknown) = Whitelist::new(&list, read_only_mode);
    for word in unknown {
        let word = super::fault::printable(&word);
        settings.warn_at(
            KEY,
            Severity::Warning,
            format!("4lw.commands.whitelist: `{word}` is no four-letter word"),
        );
    }
    whitelist
}

fn force_sync(settings: &mut Settings) -> bool {
    let force_sync = settings.value("forceSync", values::yes_or_no).unwrap_or(true);
    if !force_sync {
        let text = "forceSync=no: acknowledged writes are lost when the power fails".to_owned();
        settings.warn_at("forceSync", Severity::Error, text);
    }
    force_sync
}

fn skip_acl(settings: &mut Settings) -> bool {
    let skip_acl = settings.value("skipACL", values::yes_or_no).unwrap_or(false);
    if skip_acl {
        let text = "skipACL=yes: every client may read and change every node".to_owned();
        settings.warn_at("skipACL", Severity::Error, text);
    }
    skip_acl
}

fn containers(settings: &mut Settings) -> Containers {
    let mut number = |key, lowest: i64, unit, default| settings.number(key, lowest..=INT_MAX, unit, default);
    let check =
        number("znode.container.checkIntervalMs", 1, "milliseconds", defaults::CONTAINER_CHECK_INTERVAL_MS);
    let rate = number("znode.container.maxPerMinute", 1, "containers", defaults::CONTAINER_MAX_PER_MINUTE);
    let unused = number(
        "znode.container.maxNeverUsedIntervalMs",
        0,
        "milliseconds, 0: never",
        defaults::CONTAINER_MAX_NEVER_USED_INTERVAL_MS,
    );
    Containers {
        check_interval: millis(check),
        max_per_minute: rate as u32,
        max_never_used_interval: positive(unused).map(Duration::from_millis),
    }
}

fn io(text: &str) -> Result<Io, String> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(Io::Auto),
        "uring" => Ok(Io::Uring),
        "epoll" => Ok(Io::Epoll),
        _ => Err("no such backend; allowed: auto, uring, epoll".to_owned()),
    }
}

fn log_write(text: &str) -> Result<LogWrite, String> {
    match text.to_ascii_lowercase().as_str() {
        "direct" => Ok(LogWrite::Direct),
        "mmap" => Ok(LogWrite::Mmap),
        _ => Err("no such way to write the log; allowed: direct, mmap".to_owned()),
    }
}

#[cfg(test)]
#[path = "checked_test.rs"]
mod tests;

#[cfg(test)]
#[path = "random_test.rs"]
mod random_tests;
