//! Every setting of ZooKeeper 3.9 and of ours: its name, and what this version does with it.

/// What a name means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// `checked` reads it.
    Honoured,
    /// `ensemble` reads it. Says something to members of an ensemble only, as those below; a standalone Apache ZooKeeper
    /// ignores them too.
    Ensemble,
    /// For members; has no counterpart here.
    EnsembleOnly,
    /// For members; not built yet, and to ignore it harms nobody. Any value but these is warned of.
    EnsembleNotBuilt { harmless: &'static [&'static str] },
    /// For members; not built yet, and to ignore it would be wrong: refused, unless its value asks for nothing.
    EnsembleRefused { harmless: &'static [&'static str], why: &'static str },
    /// Not built yet. These values ask for nothing that we don't do; any other is warned of.
    NotBuilt { harmless: &'static [&'static str] },
    /// Not built yet, and to ignore it would leave data open that its operator meant to protect: refused.
    Protects { harmless: &'static [&'static str] },
    /// Can have no effect here, and why. These values ask for nothing; any other is warned of.
    NoMeaning { harmless: &'static [&'static str], why: &'static str },
    /// Tunes threads, caches or a library of Apache ZooKeeper that have no counterpart here.
    Foreign,
}

use Standing::{
    Ensemble, EnsembleNotBuilt, EnsembleOnly, EnsembleRefused, Foreign, Honoured, NoMeaning, NotBuilt,
    Protects,
};

const OFF: Standing = NotBuilt { harmless: &["false"] };
const ON: Standing = NotBuilt { harmless: &["true"] };
const ANY: Standing = NotBuilt { harmless: &[] };
const QUORUM_SASL: Standing = EnsembleRefused {
    harmless: &["false"],
    why: "authentication between servers is not built yet, and to ignore it would let in who should be kept out",
};

/// Names without `zookeeper.`, by which every one may be prefixed.
const NAMES: &[(&str, Standing)] = &[
    ("4lw.commands.whitelist", Honoured),
    ("DigestAuthenticationProvider.superDigest", Honoured),
    ("admin.commandURL", Honoured),
    ("admin.enableServer", Honoured),
    ("admin.idleTimeout", Honoured),
    ("admin.rateLimiterIntervalInMS", Honoured),
    ("admin.restore.enabled", Honoured),
    ("admin.serverAddress", Honoured),
    ("admin.serverPort", Honoured),
    ("admin.snapshot.enabled", Honoured),
    ("audit.enable", Honoured),
    ("autopurge.purgeInterval", Honoured),
    ("autopurge.snapRetainCount", Honoured),
    ("clientPort", Honoured),
    ("clientPortAddress", Honoured),
    ("clientPortListenBacklog", Honoured),
    ("connection_throttle_fill_count", Honoured),
    ("connection_throttle_fill_time", Honoured),
    ("connection_throttle_tokens", Honoured),
    ("dataDir", Honoured),
    ("dataLogDir", Honoured),
    ("digest.enabled", Honoured),
    ("enforceQuota", Honoured),
    ("extendedTypesEnabled", Honoured),
    ("forceSync", Honoured),
    ("fsync.warningthresholdms", Honoured),
    ("globalOutstandingLimit", Honoured),
    ("jute.maxbuffer", Honoured),
    ("largeRequestMaxBytes", Honoured),
    ("largeRequestThreshold", Honoured),
    ("maxClientCnxns", Honoured),
    ("maxCnxns", Honoured),
    ("maxSessionTimeout", Honoured),
    ("metricsProvider.className", Honoured),
    ("metricsProvider.exportJvmInfo", Honoured),
    ("metricsProvider.httpHost", Honoured),
    ("metricsProvider.httpPort", Honoured),
    ("minSessionTimeout", Honoured),
    ("preAllocSize", Honoured),
    ("readonlymode.enabled", Honoured),
    ("request_throttle_max_requests", Honoured),
    ("ringkeeper.auditFile", Honoured),
    ("ringkeeper.cores", Honoured),
    ("ringkeeper.hugePages", Honoured),
    ("ringkeeper.io", Honoured),
    ("ringkeeper.logFormat", Honoured),
    ("ringkeeper.logWrite", Honoured),
    ("ringkeeper.lookMicros", Honoured),
    ("ringkeeper.sessionSecret", Honoured),
    ("ringkeeper.shards", Honoured),
    ("ringkeeper.slowRequestMillis", Honoured),
    ("ringkeeper.snapshotRate", Honoured),
    ("ringkeeper.treeBrowser", Honoured),
    ("skipACL", Honoured),
    ("snapCount", Honoured),
    ("snapSizeLimitInKb", Honoured),
    ("standaloneEnabled", Honoured),
    ("tickTime", Honoured),
    ("znode.container.checkIntervalMs", Honoured),
    ("znode.container.maxNeverUsedIntervalMs", Honoured),
    ("znode.container.maxPerMinute", Honoured),
    // Ensembles.
    ("connectToLearnerMasterLimit", EnsembleNotBuilt { harmless: &["0"] }),
    ("cnxTimeout", Ensemble),
    ("commitLogCount", Ensemble),
    ("electionAlg", EnsembleRefused { harmless: &["3"], why: "there is no other election any more" }),
    ("electionPortBindRetry", EnsembleNotBuilt { harmless: &[] }),
    ("dynamicConfigFile", Ensemble),
    ("ensembleAuthName", NotBuilt { harmless: &[""] }),
    ("follower.nodelay", EnsembleOnly),
    ("follower.skipLearnerRequestToNextProcessor", EnsembleOnly),
    ("forceSnapshotSync", EnsembleOnly),
    ("forward_learner_requests_to_commit_processor_disabled", EnsembleOnly),
    ("initLimit", Ensemble),
    ("leader.nodelay", EnsembleOnly),
    ("leaderConnectDelayDuringRetryMs", EnsembleOnly),
    ("leaderServes", Ensemble),
    ("learner.asyncSending", EnsembleOnly),
    ("learner.closeSocketAsync", EnsembleOnly),
    ("localSessionsEnabled", Ensemble),
    ("localSessionsUpgradingEnabled", Ensemble),
    ("multiAddress.enabled", Ensemble),
    ("myid", Ensemble),
    ("observerMasterPort", EnsembleNotBuilt { harmless: &["0"] }),
    (
        "oraclePath",
        EnsembleRefused {
            harmless: &[],
            why: "the oracle is not built yet, and to ignore it would change what a quorum is",
        },
    ),
    ("peerType", Ensemble),
    ("portUnification", EnsembleNotBuilt { harmless: &["false"] }),
    ("quorumCnxnTimeoutMs", EnsembleNotBuilt { harmless: &["-1"] }),
    ("quorumListenOnAllIPs", Ensemble),
    ("reconfigEnabled", Honoured),
    ("snapshotSizeFactor", EnsembleOnly),
    (
        "sslQuorum",
        EnsembleRefused {
            harmless: &["false"],
            why: "TLS between servers is not built yet, and to ignore it would send all data in the open",
        },
    ),
    ("sslQuorumReloadCertFiles", EnsembleNotBuilt { harmless: &["false"] }),
    ("syncEnabled", EnsembleNotBuilt { harmless: &["true"] }),
    ("syncLimit", Ensemble),
    ("tcpKeepAlive", EnsembleNotBuilt { harmless: &["false"] }),
    // Clients and security.
    ("DigestAuthenticationProvider.digestAlg", Protects { harmless: &["sha1", "sha-1"] }),
    ("DigestAuthenticationProvider.enabled", Protects { harmless: &["true"] }),
    ("IPAuthenticationProvider.usexforwardedfor", OFF),
    ("SASLAuthenticationProvider.superPassword", ANY),
    ("X509AuthenticationProvider.superUser", ANY),
    ("allowSaslFailedClients", OFF),
    ("client.certReload", OFF),
    ("client.portUnification", OFF),
    ("clientTcpKeepAlive", OFF),
    ("enforce.auth.enabled", Protects { harmless: &["false"] }),
    ("enforce.auth.schemes", ANY),
    ("fips-mode", NotBuilt { harmless: &["true", "false"] }),
    ("letAnySaslUserDoX", ANY),
    ("requireKerberosConfig", OFF),
    ("secureClientPort", ANY),
    ("secureClientPortAddress", ANY),
    ("sessionRequireClientSASLAuth", Protects { harmless: &["false"] }),
    ("superUser", ANY),
    ("tcnative.ocsp.stapling", OFF),
    // Requests and storage.
    ("audit.impl.class", NotBuilt { harmless: &["org.apache.zookeeper.audit.Slf4jAuditLogger"] }),
    ("closeSessionTxn.enabled", ON),
    ("datadir.autocreate", ON),
    ("db.autocreate", ON),
    (
        "emulate353TTLNodes",
        NoMeaning { harmless: &["false"], why: "TTL nodes as ZooKeeper 3.5.3 marked them are not read" },
    ),
    ("enableEagerACLCheck", OFF),
    ("jute.maxbuffer.extrasize", ANY),
    ("serializeLastProcessedZxid.enabled", ON),
    ("snapshot.compression.method", NotBuilt { harmless: &["", "checked"] }),
    ("snapshot.trust.empty", OFF),
    (
        "throttled_op_wait_time",
        NoMeaning {
            harmless: &["0"],
            why: "requests above request_throttle_max_requests wait in their sockets, and none is refused for it",
        },
    ),
    ("txnLogSizeLimitInKb", NotBuilt { harmless: &["-1", "0"] }),
    // Without a counterpart.
    ("bitHashCacheSize", Foreign),
    ("flushDelay", Foreign),
    ("intBufferStartingSizeBytes", Foreign),
    ("kinit", Foreign),
    ("maxBatchSize", Foreign),
    ("maxGetChildrenResponseCacheSize", Foreign),
    ("maxInProcessingDeadWatchers", Foreign),
    ("maxResponseCacheSize", Foreign),
    ("maxWriteQueuePollTime", Foreign),
    ("request_stale_connection_check", Foreign),
    ("request_stale_latency_check", Foreign),
    ("request_throttle_drop_stale", Foreign),
    ("request_throttle_stall_time", Foreign),
    ("request_throttler.shutdownTimeout", Foreign),
    ("serverCnxnFactory", Foreign),
    ("watchManagerName", Foreign),
    ("watcherCleanIntervalInSeconds", Foreign),
    ("watcherCleanThreadsNum", Foreign),
    ("watcherCleanThreshold", Foreign),
];

/// Families whose members are named by the operator, or are too many to list while none is built.
const FAMILIES: &[(&str, Standing)] = &[
    ("admin.", ANY),
    ("authProvider.", ANY),
    ("commitProcessor.", Foreign),
    ("connection_throttle_", ANY),
    ("fastleader.", EnsembleOnly),
    ("java.", Foreign),
    ("jvm.pause.", Foreign),
    ("kerberos.", ANY),
    ("leader.", EnsembleOnly),
    ("log4j.", Foreign),
    ("logback.", Foreign),
    ("messageTracker.", Foreign),
    ("metricsProvider.", ANY),
    ("multiAddress.", EnsembleOnly),
    ("netty.", Foreign),
    ("nio.", Foreign),
    ("observer.", EnsembleOnly),
    ("observerMaster.", EnsembleOnly),
    ("pathStats.", Foreign),
    ("quorum.", EnsembleOnly),
    ("sasl.", ANY),
    ("security.", ANY),
    ("server.principal", ANY),
    ("server.realm", ANY),
    ("ssl.quorum.", EnsembleOnly),
    ("ssl.", ANY),
    ("superUser.", ANY),
];

/// Members of families which have a harmless value after all.
const EXCEPTIONS: &[(&str, Standing)] = &[
    ("admin.forceHttps", Protects { harmless: &["false"] }),
    ("admin.httpVersion", NoMeaning { harmless: &["11"], why: "HTTP/1.1 and 1.0 are spoken" }),
    ("admin.needClientAuth", Protects { harmless: &["false"] }),
    ("admin.portUnification", OFF),
    ("metricsProvider.maxQueueSize", Foreign),
    ("metricsProvider.numWorkerThreads", Foreign),
    ("metricsProvider.workerShutdownTimeoutMs", Foreign),
    ("quorum.auth.enableSasl", QUORUM_SASL),
    ("quorum.auth.learnerRequireSasl", QUORUM_SASL),
    ("quorum.auth.serverRequireSasl", QUORUM_SASL),
    ("connection_throttle_freeze_time", NotBuilt { harmless: &["-1"] }),
    ("connection_throttle_weight_enabled", OFF),
];

/// A name without the prefix which Java's properties carry.
pub fn short(name: &str) -> &str {
    name.strip_prefix("zookeeper.").unwrap_or(name)
}

/// The canonical name of `name` and what is done with it; `None` for a name that nobody knows.
pub fn find(name: &str) -> Option<(&str, Standing)> {
    let name = short(name);
    let exact = NAMES.iter().chain(EXCEPTIONS).find(|(known, _)| *known == name);
    let (_, standing) = exact.or_else(|| FAMILIES.iter().find(|(family, _)| name.starts_with(family)))?;
    Some((name, *standing))
}

/// The names of one standing: those which `checked` must read, or `ensemble`.
#[cfg(test)]
pub fn names(wanted: Standing) -> impl Iterator<Item = &'static str> {
    NAMES.iter().filter(move |(_, standing)| *standing == wanted).map(|(name, _)| *name)
}

/// The name that `name` was probably meant to be: differs in case only, or in at most two letters.
pub fn nearest(name: &str) -> Option<&'static str> {
    nearest_of(short(name), NAMES.iter().chain(EXCEPTIONS).map(|(known, _)| *known))
}

/// As [`nearest`], among `candidates`. A short name is near to everything, so it may differ in less; what
/// it shares with its family doesn't make it longer.
pub fn nearest_of<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LENGTH_MAX: usize = 64;
    if name.len() > LENGTH_MAX {
        return None;
    }
    let folded = name.to_ascii_lowercase();
    let own = folded.rsplit('.').next().map_or(0, str::len);
    let allowed = if own < 6 { 1 } else { 2 };
    candidates
        .map(|known| (distance(&folded, &known.to_ascii_lowercase()), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, known)| known)
}

/// Letters to insert, delete or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "settings_page_test.rs"]
mod page_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_named() {
        let cases = [
            ("datadir", Some("dataDir")),
            ("clientport", Some("clientPort")),
            ("ticktime", Some("tickTime")),
            ("tickTme", Some("tickTime")),
            ("zookeeper.snapcount", Some("snapCount")),
            ("maxClientCxns", Some("maxClientCnxns")),
            ("autopurge.purgeInterval ", Some("autopurge.purgeInterval")),
            ("ringkeeper.core", Some("ringkeeper.cores")),
            ("ringkeeper.x", None),
            ("readonlymode.enable", Some("readonlymode.enabled")),
            ("port", None),
            ("wholly.different", None),
            ("", None),
        ];
        for (written, expected) in cases {
            assert_eq!(nearest(written), expected, "{written}");
        }
    }

    #[test]
    fn a_name_is_known_with_and_without_its_prefix() {
        for (name, standing) in NAMES.iter().chain(EXCEPTIONS) {
            assert_eq!(find(name), Some((*name, *standing)));
            assert_eq!(find(&format!("zookeeper.{name}")), Some((*name, *standing)), "{name}");
        }
        assert_eq!(find("ssl.keyStore.location"), Some(("ssl.keyStore.location", ANY)));
        assert_eq!(find("ssl.quorum.keyStore.location").map(|(_, standing)| standing), Some(EnsembleOnly));
        assert_eq!(find("datadir"), None);
        assert_eq!(find("zookeeper.zookeeper.tickTime"), None);
    }

    #[test]
    fn no_name_is_listed_twice() {
        let mut names: Vec<&str> = NAMES.iter().chain(EXCEPTIONS).map(|(name, _)| *name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("abc", "bc", 1), ("", "abc", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
