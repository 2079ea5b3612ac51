//! Settings as checked: defaults, ranges, and all faults at once.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::*;

#[path = "protects_test.rs"]
mod protects;

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

/// The only name there is.
fn resolve(name: &str) -> Option<IpAddr> {
    (name == "zoo1").then_some(HOST)
}

/// A lone server asks for no file, if it doesn't name one that isn't there.
fn unread(path: &Path) -> std::io::Result<Vec<u8>> {
    assert!(!path.starts_with("/data"), "{path:?} is none of a lone server's");
    Err(std::io::ErrorKind::NotFound.into())
}

pub fn check(content: &str) -> Result<(Config, Vec<Warning>), Refusal> {
    Raw::parse("zoo.cfg", content.as_bytes()).check(resolve, &unread)
}

/// `lines` after a directory and a port, so that they are what is tested: they begin at line 3.
pub fn with_basics(lines: &str) -> String {
    format!("dataDir=/data\nclientPort=2181\n{lines}")
}

fn good(lines: &str) -> (Config, Vec<String>) {
    match check(&with_basics(lines)) {
        Ok((config, warnings)) => (config, texts(&warnings)),
        Err(refusal) => panic!("{lines}: {:?}", texts(&refusal.faults)),
    }
}

fn config_of(lines: &str) -> Config {
    good(lines).0
}

fn texts(findings: &[impl ToString]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn faults(content: &str) -> Vec<String> {
    match check(content) {
        Ok(_) => vec![],
        Err(refusal) => texts(&refusal.faults),
    }
}

#[test]
fn defaults_are_zookeepers() {
    let (config, warnings) = good("");
    let expected = Config {
        tick_time: Duration::from_secs(3),
        data_dir: "/data".into(),
        data_log_dir: "/data".into(),
        client: ClientPort { address: None, port: 2181, listen_backlog: None },
        ensemble: None,
        reconfig_enabled: false,
        min_session_timeout: Duration::from_secs(6),
        max_session_timeout: Duration::from_secs(60),
        max_client_cnxns: Some(60),
        max_cnxns: limits::CONNECTIONS_MAX,
        snap_count: 100_000,
        snap_size_limit: Some(4 << 30),
        pre_alloc_size: 64 << 20,
        // The one that isn't ZooKeeper's: a disk that fills up by itself is no default.
        purge: Purge { snap_retain_count: 3, interval: Some(Duration::from_secs(3600)) },
        jute_max_buffer: 1_048_575,
        extended_types_enabled: false,
        digest_enabled: true,
        enforce_quota: false,
        four_letter_words: Whitelist::new("srvr", false).0,
        force_sync: true,
        skip_acl: false,
        super_digest: None,
        session_secret: None,
        read_only_mode: false,
        containers: Containers {
            check_interval: Duration::from_secs(60),
            max_per_minute: 10_000,
            max_never_used_interval: None,
        },
        outstanding_max: None,
        large_requests: LargeRequests { threshold: None, bytes_max: 100 << 20 },
        connection_throttle: ConnectionThrottle {
            tokens: None,
            fill_time: Duration::from_millis(1),
            fill_count: 1,
        },
        fsync_warning_threshold: Duration::from_secs(1),
        slow_request: Duration::from_secs(1),
        cores: None,
        shards: None,
        look: Some(Duration::from_micros(30)),
        io: Io::Auto,
        log_write: LogWrite::Direct,
        huge_pages: false,
        log_format: LogFormat::Text,
        audit: None,
        snapshot_rate: Some(32 << 20),
        initial: Some("dataDir=/data\nclientPort=2181\n".to_owned()),
        // web_test.rs shows it.
        admin_server: config.admin_server.clone(),
        metrics_server: None,
    };
    assert_eq!(config, expected);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn built_in_configuration_is_for_loopback_only() {
    let (config, warnings) = Raw::built_in().check(resolve, &unread).unwrap();
    assert_eq!(config.client.socket_address(), "127.0.0.1:2181".parse().unwrap());
    assert_eq!(config.data_dir, PathBuf::from("./ringkeeper-data"));
    assert_eq!(config.admin_server.unwrap().address, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(warnings, vec![]);
}

/// A line, and whether a configuration shows it.
type Effect = (&'static str, fn(&Config) -> bool);

#[test]
fn every_key_has_its_effect() {
    let cases: &[Effect] = &[
        ("tickTime=500", |c| c.tick_time == Duration::from_millis(500)),
        ("tickTime=500", |c| c.min_session_timeout == Duration::from_secs(1)),
        ("tickTime=500", |c| c.max_session_timeout == Duration::from_secs(10)),
        ("dataLogDir=/log", |c| (&*c.data_log_dir, &*c.data_dir) == (Path::new("/log"), Path::new("/data"))),
        ("clientPortAddress=127.0.0.2", |c| c.client.socket_address() == "127.0.0.2:2181".parse().unwrap()),
        ("clientPortAddress=zoo1", |c| c.client.address == Some(HOST)),
        ("clientPortAddress=0.0.0.0", |c| c.client.address.is_none()),
        ("clientPortListenBacklog=512", |c| c.client.listen_backlog == Some(512)),
        ("clientPortListenBacklog=-1", |c| c.client.listen_backlog.is_none()),
        ("minSessionTimeout=100", |c| c.min_session_timeout == Duration::from_millis(100)),
        ("minSessionTimeout=-1", |c| c.min_session_timeout == Duration::from_secs(6)),
        ("maxSessionTimeout=600000", |c| c.max_session_timeout == Duration::from_secs(600)),
        ("maxClientCnxns=0", |c| c.max_client_cnxns.is_none()),
        ("maxClientCnxns=7", |c| c.max_client_cnxns == Some(7)),
        ("maxCnxns=9", |c| c.max_cnxns == 9),
        ("maxCnxns=2147483647", |c| c.max_cnxns == limits::CONNECTIONS_MAX),
        ("snapCount=10", |c| c.snap_count == 10),
        ("snapSizeLimitInKb=10", |c| c.snap_size_limit == Some(10_240)),
        ("snapSizeLimitInKb=0", |c| c.snap_size_limit.is_none()),
        ("preAllocSize=4096", |c| c.pre_alloc_size == 4 << 20),
        ("autopurge.snapRetainCount=5", |c| c.purge.snap_retain_count == 5),
        ("autopurge.purgeInterval=2", |c| c.purge.interval == Some(Duration::from_secs(7200))),
        ("autopurge.purgeInterval=-1", |c| c.purge.interval.is_none()),
        ("jute.maxbuffer=4194304", |c| c.jute_max_buffer == 4 << 20),
        ("jute.maxbuffer=0x1fffff", |c| c.jute_max_buffer == 0x1f_ffff),
        ("extendedTypesEnabled=TRUE", |c| c.extended_types_enabled),
        ("digest.enabled=false", |c| !c.digest_enabled),
        ("enforceQuota=true", |c| c.enforce_quota),
        ("4lw.commands.whitelist=ruok,mntr", |c| c.four_letter_words.contains(*b"mntr")),
        ("forceSync=no", |c| !c.force_sync),
        ("skipACL=yes", |c| c.skip_acl),
        ("DigestAuthenticationProvider.superDigest=super:g9oN2HttPfn8MMWJZ2r45Np/LIA=", |c| {
            c.super_digest.as_ref().map(SuperDigest::reveal) == Some("super:g9oN2HttPfn8MMWJZ2r45Np/LIA=")
        }),
        ("readonlymode.enabled=true", |c| c.read_only_mode && c.four_letter_words.contains(*b"isro")),
        ("znode.container.checkIntervalMs=5", |c| c.containers.check_interval == Duration::from_millis(5)),
        ("znode.container.maxPerMinute=5", |c| c.containers.max_per_minute == 5),
        ("znode.container.maxNeverUsedIntervalMs=5", |c| {
            c.containers.max_never_used_interval == Some(Duration::from_millis(5))
        }),
        ("globalOutstandingLimit=5", |c| c.outstanding_max == Some(5)),
        ("request_throttle_max_requests=7", |c| c.outstanding_max == Some(7)),
        ("request_throttle_max_requests=0", |c| c.outstanding_max.is_none()),
        ("largeRequestThreshold=4096", |c| c.large_requests.threshold == Some(4096)),
        ("largeRequestMaxBytes=9", |c| c.large_requests.bytes_max == 9),
        ("connection_throttle_tokens=3", |c| c.connection_throttle.tokens == Some(3)),
        ("connection_throttle_fill_time=20", |c| {
            c.connection_throttle.fill_time == Duration::from_millis(20)
        }),
        ("connection_throttle_fill_count=4", |c| c.connection_throttle.fill_count == 4),
        ("fsync.warningthresholdms=20", |c| c.fsync_warning_threshold == Duration::from_millis(20)),
        ("ringkeeper.cores=0-1,3", |c| c.cores == Some(BTreeSet::from([0, 1, 3]))),
        ("ringkeeper.shards=4", |c| c.shards == Some(4)),
        ("ringkeeper.shards=0", |c| c.shards.is_none()),
        ("ringkeeper.lookMicros=0", |c| c.look.is_none()),
        ("ringkeeper.io=epoll", |c| c.io == Io::Epoll),
        ("ringkeeper.io=uring", |c| c.io == Io::Uring),
        ("ringkeeper.logFormat=JSON", |c| c.log_format == LogFormat::Json),
        ("ringkeeper.logWrite=mmap", |c| c.log_write == LogWrite::Mmap),
        ("ringkeeper.hugePages=true", |c| c.huge_pages),
        ("ringkeeper.snapshotRate=1", |c| c.snapshot_rate == Some(1 << 20)),
        ("ringkeeper.snapshotRate=0", |c| c.snapshot_rate.is_none()),
        ("ringkeeper.treeBrowser=false", |c| c.admin_server.as_ref().is_some_and(|a| !a.shows_tree)),
    ];
    for (line, holds) in cases {
        assert!(holds(&config_of(line)), "{line}");
        assert!(holds(&config_of(&format!("zookeeper.{line}"))), "zookeeper.{line}");
        for property in [(*line).to_owned(), format!("zookeeper.{line}")] {
            let mut raw = Raw::parse("zoo.cfg", with_basics("").as_bytes());
            raw.property(&property);
            assert!(holds(&raw.check(resolve, &unread).unwrap().0), "-D{property}");
        }
    }
    // Each honoured key has a row above, or is shown by another test.
    let elsewhere =
        ["dataDir", "clientPort", "standaloneEnabled", "reconfigEnabled", "ringkeeper.sessionSecret"];
    let of_lines = ["audit.enable", "ringkeeper.auditFile", "ringkeeper.slowRequestMillis"];
    for name in keys::names(keys::Standing::Honoured) {
        let row = cases.iter().any(|(line, _)| line.split('=').next() == Some(name));
        let of_web = name.starts_with("admin.") || name.starts_with("metricsProvider.");
        assert!(row || elsewhere.contains(&name) || of_lines.contains(&name) || of_web, "{name}");
    }
}

#[test]
fn single_faults() {
    const RANGE: &str = "allowed: whole numbers from";
    let cases = [
        ("tickTime=abc", format!("tickTime=abc: not a whole number; {RANGE} 1 to 107374182 (milliseconds)")),
        ("tickTime=0", format!("tickTime=0: out of range; {RANGE} 1 to 107374182 (milliseconds)")),
        ("tickTime=", format!("tickTime=: not a whole number; {RANGE} 1 to 107374182 (milliseconds)")),
        ("maxSessionTimeout=0", "maxSessionTimeout=0: no session could live; allowed: 1 or more, -1: default".into()),
        (
            "maxSessionTimeout=5000",
            "maxSessionTimeout=5000: minSessionTimeout is 6000 ms (the default, 2 ticks), maxSessionTimeout is \
             5000 ms (as given); allowed: minSessionTimeout not above maxSessionTimeout"
                .into(),
        ),
        (
            "minSessionTimeout=60001",
            "minSessionTimeout=60001: minSessionTimeout is 60001 ms (as given), maxSessionTimeout is 60000 ms \
             (the default, 20 ticks); allowed: minSessionTimeout not above maxSessionTimeout"
                .into(),
        ),
        ("dataLogDir=", "dataLogDir=: empty; allowed: the path of a directory".into()),
        ("dataLogDir=/a\\u0000b", "dataLogDir=/a\\u{0}b: has a zero byte; allowed: the path of a directory".into()),
        (
            "clientPortAddress=a b",
            "clientPortAddress=a b: not an address; allowed: an IPv4 or IPv6 address, or a host name".into(),
        ),
        (
            "clientPortAddress=nowhere.example",
            "clientPortAddress=nowhere.example: host name `nowhere.example` can't be resolved; \
             allowed: an address of this host"
                .into(),
        ),
        ("maxCnxns=-1", format!("maxCnxns=-1: out of range; {RANGE} 0 to 2147483647 (0: no limit)")),
        ("preAllocSize=0", format!("preAllocSize=0: out of range; {RANGE} 1 to 16777216 (KiB)")),
        ("jute.maxbuffer=100", format!("jute.maxbuffer=100: out of range; {RANGE} 1024 to 67108864 (bytes)")),
        ("extendedTypesEnabled=yes", "extendedTypesEnabled=yes: not a boolean; allowed: true, false".into()),
        ("forceSync=maybe", "forceSync=maybe: neither yes nor no; allowed: yes, no".into()),
        (
            "ringkeeper.io=magic",
            "ringkeeper.io=magic: no such backend; allowed: auto, uring, epoll".into(),
        ),
        ("ringkeeper.shards=65", format!("ringkeeper.shards=65: out of range; {RANGE} 0 to 64 (0: by rule)")),
        (
            "ringkeeper.cores=3-1",
            "ringkeeper.cores=3-1: the range 3-1 runs backwards; allowed: a list such as 2,3 or 0-3, \
             numbers from 0 to 1023"
                .into(),
        ),
        (
            "server.one=a:1:2",
            "server.one=a:1:2: no server number; allowed: server.N with a whole number N".into(),
        ),
        (
            "server.1=a:1",
            "server.1=a:1: no election port; allowed: \
             host:quorumPort:electionPort[:participant|:observer][|host:…][;[clientHost:]clientPort]"
                .into(),
        ),
        (
            "server.1=a:1:2:observer",
            "server.1=a:1:2:observer: an observer with nobody to observe; allowed: participant".into(),
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(faults(&with_basics(line)), vec![format!("zoo.cfg:3: {expected}")], "{line}");
    }
}

#[test]
fn faults_of_the_whole() {
    const DIR: &str =
        "zoo.cfg: dataDir: required: the directory of the server's data, e.g. dataDir=/var/lib/zookeeper";
    const PORT: &str = "zoo.cfg: clientPort: required: nothing could reach this server; e.g. clientPort=2181";
    let cases: &[(&str, &[&str])] = &[
        ("", &[DIR, PORT]),
        ("dataDir=/d", &[PORT]),
        ("clientPort=1", &[DIR]),
        (
            "dataDir=/d\nclientPortAddress=127.0.0.1",
            &[
                "zoo.cfg:2: clientPortAddress=127.0.0.1: of no use without clientPort; add e.g. clientPort=2181",
            ],
        ),
        (
            "dataDir=/d\nclientPort=0",
            &["zoo.cfg:2: clientPort=0: out of range; allowed: whole numbers from 1 to 65535 (a TCP port)"],
        ),
    ];
    for (content, expected) in cases {
        assert_eq!(faults(content), *expected, "{content:?}");
    }
}

#[test]
fn all_faults_come_at_once_in_the_order_of_lines() {
    let content =
        "snapCount=x\n=nothing\ntickTime=0\nextendedTypesEnabled=maybe\ndatadir=/d\nclientPort=70000\n";
    let refusal = check(content).unwrap_err();
    let places: Vec<String> = refusal.faults.iter().map(|fault| fault.origin.to_string()).collect();
    assert_eq!(places, vec!["zoo.cfg:1", "zoo.cfg:2", "zoo.cfg:3", "zoo.cfg:4", "zoo.cfg:6", "zoo.cfg"]);
    assert_eq!(
        texts(&refusal.warnings),
        vec!["zoo.cfg:5: unknown key `datadir` (line 5): did you mean `dataDir`?"]
    );
}

#[test]
fn warnings() {
    let cases: &[(&str, &[&str])] = &[
        ("clientport=2182", &["zoo.cfg:3: unknown key `clientport` (line 3): did you mean `clientPort`?"]),
        ("no.such.key=1", &["zoo.cfg:3: unknown key `no.such.key` (line 3): ignored"]),
        (
            "ringkeeper.core=1",
            &["zoo.cfg:3: unknown key `ringkeeper.core` (line 3): did you mean `ringkeeper.cores`?"],
        ),
        ("secureClientPort=2281", &["zoo.cfg:3: `secureClientPort` is not built yet, ignored"]),
        ("ssl.keyStore.location=/k", &["zoo.cfg:3: `ssl.keyStore.location` is not built yet, ignored"]),
        // Of members only, as in Apache.
        ("localSessionsEnabled=true", &[]),
        ("reconfigEnabled=true", &[]),
        ("admin.enableServer=false", &[]),
        (
            "admin.httpVersion=20",
            &["zoo.cfg:3: `admin.httpVersion` has no meaning here: HTTP/1.1 and 1.0 are spoken"],
        ),
        (
            "metricsProvider.httpsPort=7001",
            &["zoo.cfg:3: `metricsProvider.httpsPort` is not built yet, ignored"],
        ),
        (
            "nio.numWorkerThreads=4",
            &["zoo.cfg:3: `nio.numWorkerThreads` tunes what this server doesn't have, ignored"],
        ),
        (
            "emulate353TTLNodes=true",
            &[
                "zoo.cfg:3: `emulate353TTLNodes` has no meaning here: TTL nodes as ZooKeeper 3.5.3 marked them are not read",
            ],
        ),
        ("zookeeper.emulate353TTLNodes=false", &[]),
        (
            "zookeeper.throttled_op_wait_time=5",
            &["zoo.cfg:3: `zookeeper.throttled_op_wait_time` has no meaning here: requests above \
               request_throttle_max_requests wait in their sockets, and none is refused for it"],
        ),
        ("connection_throttle_freeze_time=-1", &[]),
        (
            "connection_throttle_freeze_time=100",
            &["zoo.cfg:3: `connection_throttle_freeze_time` is not built yet, ignored"],
        ),
        ("initLimit=10\nsyncLimit=5", &[]),
        ("server.1=localhost:2888:3888", &[]),
        (
            "tickTime=1\ntickTime=2000",
            &["zoo.cfg:4: tickTime is given again; the value of line 3 is ignored"],
        ),
        (
            "snapCount=5\nzookeeper.snapCount=6",
            &["zoo.cfg:4: snapCount is given again; the value of line 3 is ignored"],
        ),
        ("snapCount=1", &["zoo.cfg:3: snapCount=1 is too small, raised to 2"]),
        (
            "autopurge.snapRetainCount=1",
            &["zoo.cfg:3: autopurge.snapRetainCount=1 is too small, raised to 3"],
        ),
        (
            "4lw.commands.whitelist=ruok,rouk",
            &["zoo.cfg:3: 4lw.commands.whitelist: `rouk` is no four-letter word"],
        ),
        ("forceSync=no", &["zoo.cfg:3: forceSync=no: acknowledged writes are lost when the power fails"]),
        ("skipACL=yes", &["zoo.cfg:3: skipACL=yes: every client may read and change every node"]),
        (
            "dataLogDir=log",
            &[
                "zoo.cfg:3: dataLogDir depends on the directory the server is started in; begin it with / or ./",
            ],
        ),
        (
            "preAllocSize=64",
            &[
                "zoo.cfg:3: preAllocSize raised to 2048 KiB: a log segment must hold a request of jute.maxbuffer \
               (1048575 bytes)",
            ],
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(good(lines).1, *expected, "{lines}");
    }
}

#[test]
fn raised_values_are_the_ones_that_count() {
    assert_eq!(config_of("snapCount=-4").snap_count, 2);
    assert_eq!(config_of("autopurge.snapRetainCount=0").purge.snap_retain_count, 3);
    let config = config_of("preAllocSize=64\njute.maxbuffer=67108864");
    assert!(config.pre_alloc_size > config.jute_max_buffer as u64);
    assert_eq!(config.pre_alloc_size % 4096, 0);
    assert_eq!(config_of("preAllocSize=65535").pre_alloc_size, 65536 << 10);
    assert_eq!(config_of("tickTime=1\ntickTime=2000").tick_time, Duration::from_secs(2));
}

#[test]
fn a_secret_is_never_shown() {
    let line = "zookeeper.DigestAuthenticationProvider.superDigest=super:hunter2";
    let refusal = check(&with_basics(line)).unwrap_err();
    assert_eq!(refusal.faults.len(), 1);
    let shown = format!("{} {refusal:?}", refusal.faults[0]);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("zoo.cfg:3"), "{shown}");
}

#[test]
fn a_lone_server_line_may_bring_the_client_port() {
    let cases = [
        ("dataDir=/d\nserver.1=localhost:2888:3888;2181", "0.0.0.0:2181"),
        ("dataDir=/d\nserver.1=localhost:2888:3888;127.0.0.1:2181", "127.0.0.1:2181"),
        ("dataDir=/d\nserver.1=localhost:2888:3888;zoo1:2181", "10.0.0.7:2181"),
        ("dataDir=/d\nclientPort=5\nserver.1=localhost:2888:3888;2181", "0.0.0.0:5"),
    ];
    for (content, expected) in cases {
        let (config, _) = check(content).unwrap();
        assert_eq!(config.client.socket_address(), expected.parse().unwrap(), "{content}");
    }
    assert_eq!(
        faults("dataDir=/d\nserver.1=localhost:2888:3888;elsewhere:2181"),
        vec![
            "zoo.cfg:2: server.1=localhost:2888:3888;elsewhere:2181: host name `elsewhere` can't be resolved; \
             allowed: an address of this host"
        ]
    );
}

#[test]
fn a_port_and_a_directory_as_arguments() {
    let mut raw = Raw::empty();
    raw.argument("clientPort", "0");
    raw.argument("dataDir", "/d");
    raw.argument("tickTime", "700");
    let (config, warnings) = raw.check(resolve, &unread).unwrap();
    assert_eq!(config.client, ClientPort { address: None, port: 0, listen_backlog: None });
    assert_eq!(config.tick_time, Duration::from_millis(700));
    assert_eq!(warnings, vec![]);

    let mut raw = Raw::empty();
    raw.argument("clientPort", "port");
    raw.argument("dataDir", "/d");
    assert_eq!(
        texts(&raw.check(resolve, &unread).unwrap_err().faults),
        vec![
            "command line: clientPort=port: not a whole number; allowed: whole numbers from 0 to 65535 (a TCP port)"
        ]
    );
}

#[test]
fn unknown_keys_of_ours_are_told_loudly() {
    let (_, warnings) = check(&with_basics("ringkeeper.turbo=1\nturbo=1")).unwrap();
    let severities: Vec<Severity> = warnings.iter().map(|warning| warning.severity).collect();
    assert_eq!(severities, vec![Severity::Error, Severity::Warning]);
}
