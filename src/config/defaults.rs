//! Every default of every setting, one page. Values and names are ZooKeeper 3.9's unless the comment says otherwise.

use std::time::Duration;

use crate::base::limits;

/// `tickTime`: the unit of session timeouts.
pub const TICK_TIME: Duration = Duration::from_millis(3000);
/// `minSessionTimeout` and `maxSessionTimeout`, in ticks.
pub const SESSION_TIMEOUT_MIN_TICKS: u32 = 2;
pub const SESSION_TIMEOUT_MAX_TICKS: u32 = 20;
/// `maxClientCnxns`: connections of one client address.
pub const MAX_CLIENT_CNXNS: i64 = 60;
/// `maxCnxns`: connections of the whole server; 0 is no limit but our own.
pub const MAX_CNXNS: i64 = 0;
/// `snapCount`: transactions between snapshots; `snapCount` below 2 is raised to 2.
pub const SNAP_COUNT: i64 = 100_000;
pub const SNAP_COUNT_MIN: i64 = 2;
/// `snapSizeLimitInKb`: log bytes between snapshots; 0 or less is off.
pub const SNAP_SIZE_LIMIT_KIB: i64 = 4_194_304;
/// `preAllocSize`: bytes of one log segment.
pub const PRE_ALLOC_SIZE_KIB: i64 = 65_536;
/// `autopurge.snapRetainCount`; fewer are raised to 3.
pub const SNAP_RETAIN_COUNT: i64 = 3;
pub const SNAP_RETAIN_COUNT_MIN: i64 = 3;
/// `autopurge.purgeInterval` in hours; 0 is off. ZooKeeper's default is off, and its disks fill up; here the files that
/// no recovery needs go after each snapshot unless 0 is asked for.
pub const PURGE_INTERVAL_HOURS: i64 = 1;
/// `jute.maxbuffer`.
pub const JUTE_MAX_BUFFER: i64 = limits::FRAME_BYTES_DEFAULT as i64;
/// Below this no honest client could connect and name a path.
pub const JUTE_MAX_BUFFER_MIN: i64 = 1024;
/// `largeRequestThreshold`: -1 is off; `largeRequestMaxBytes`.
pub const LARGE_REQUEST_THRESHOLD: i64 = -1;
pub const LARGE_REQUEST_MAX_BYTES: i64 = 104_857_600;
/// `cnxTimeout`.
pub const CONNECT_TIMEOUT_MS: i64 = 5000;
/// `commitLogCount`; fewer are raised to it.
pub const COMMIT_LOG_COUNT: i64 = 500;
pub const COMMIT_LOG_COUNT_MIN: i64 = 500;
/// `fsync.warningthresholdms`.
pub const FSYNC_WARNING_THRESHOLD_MS: i64 = 1000;
/// `znode.container.*`.
pub const CONTAINER_CHECK_INTERVAL_MS: i64 = 60_000;
pub const CONTAINER_MAX_PER_MINUTE: i64 = 10_000;
pub const CONTAINER_MAX_NEVER_USED_INTERVAL_MS: i64 = 0;
/// `admin.*`.
pub const ADMIN_PORT: i64 = 8080;
pub const ADMIN_COMMAND_URL: &str = "/commands";
pub const ADMIN_IDLE_TIMEOUT_MS: i64 = 30_000;
pub const ADMIN_RATE_LIMITER_INTERVAL_MS: i64 = 300_000;
/// `metricsProvider.httpPort`, of the Prometheus provider.
pub const METRICS_PORT: i64 = 7000;

/// Ours: `ringkeeper.snapshotRate`, MiB per second written by a snapshot: 2.0 GB within a minute.
pub const SNAPSHOT_RATE_MIB: i64 = 32;
/// Ours: `ringkeeper.lookMicros`: about twice what a wake-up costs.
pub const LOOK_MICROS: i64 = 30;
/// Ours: `ringkeeper.slowRequestMillis`: as long as a sync may take, which is what most slow requests wait for.
pub const SLOW_REQUEST_MS: i64 = 1000;
/// Ours: `ringkeeper.hugePages`: whoever takes new memory waits for no large page to be made.
pub const HUGE_PAGES: bool = false;
/// Ours: `ringkeeper.shards`; 0 leaves the number to the placement rule.
pub const SHARDS: i64 = 0;

/// Ours: what `ringkeeper server` without a file listens on and writes to. Loopback only: nobody asked for more.
pub const CLIENT_PORT: &str = "2181";
pub const CLIENT_PORT_ADDRESS: &str = "127.0.0.1";
pub const DATA_DIR: &str = "./ringkeeper-data";
