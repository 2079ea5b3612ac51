//! `tuning/settings.md`: made of the tables here, and held against what they do. `RINGKEEPER_WRITE=1` writes it anew.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::super::raw::Raw;
use super::super::{Fault, Refusal, Warning};
use super::*;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tuning/settings.md");
const REWRITES: &str = "RINGKEEPER_WRITE";
const ALONE: &str = "dataDir=/data\nclientPort=2181\n";
const MEMBER: &str = "dataDir=/data\ninitLimit=5\nsyncLimit=2\nserver.1=a:1:2;2181\nserver.2=b:1:2;2182\nserver.3=c:1:2;2183\n";

const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";

/// What the documentation and the sources of ZooKeeper 3.9 name, without `zookeeper.`, but for what only its tests set.
const APACHES: &str = "dataDir dataLogDir clientPort clientPortAddress secureClientPort secureClientPortAddress \
    observerMasterPort clientPortListenBacklog tickTime maxClientCnxns minSessionTimeout maxSessionTimeout initLimit syncLimit \
    connectToLearnerMasterLimit electionAlg quorumListenOnAllIPs peerType syncEnabled dynamicConfigFile standaloneEnabled \
    reconfigEnabled autopurge.snapRetainCount autopurge.purgeInterval sslQuorum portUnification sslQuorumReloadCertFiles \
    quorum.auth.enableSasl quorum.auth.learnerRequireSasl quorum.auth.serverRequireSasl quorum.auth.kerberos.servicePrincipal \
    quorum.auth.learner.saslLoginContext quorum.auth.server.saslLoginContext quorum.cnxn.threads.size multiAddress.enabled \
    multiAddress.reachabilityCheckEnabled multiAddress.reachabilityCheckTimeoutMs localSessionsEnabled \
    localSessionsUpgradingEnabled jvm.pause.monitor jvm.pause.info-threshold.ms jvm.pause.warn-threshold.ms \
    jvm.pause.sleep.time.ms metricsProvider.className metricsProvider.httpHost metricsProvider.httpPort \
    metricsProvider.httpsPort metricsProvider.exportJvmInfo metricsProvider.numWorkerThreads metricsProvider.maxQueueSize \
    metricsProvider.workerShutdownTimeoutMs oraclePath jute.maxbuffer jute.maxbuffer.extrasize globalOutstandingLimit maxCnxns \
    request_throttle_max_requests request_throttle_stall_time request_throttle_drop_stale request_stale_connection_check \
    request_stale_latency_check request_throttler.shutdownTimeout throttled_op_wait_time largeRequestMaxBytes \
    largeRequestThreshold connection_throttle_tokens connection_throttle_fill_time connection_throttle_fill_count \
    connection_throttle_freeze_time connection_throttle_drop_increase connection_throttle_drop_decrease \
    connection_throttle_decrease_ratio connection_throttle_weight_enabled connection_throttle_global_session_weight \
    connection_throttle_renew_session_weight connection_throttle_local_session_weight readonlymode.enabled skipACL \
    enableEagerACLCheck enforceQuota extendedTypesEnabled emulate353TTLNodes znode.container.checkIntervalMs \
    znode.container.maxPerMinute znode.container.maxNeverUsedIntervalMs leaderServes closeSessionTxn.enabled \
    maxResponseCacheSize maxGetChildrenResponseCacheSize watchManagerName watcherCleanThreadsNum \
    watcherCleanIntervalInSeconds watcherCleanThreshold maxInProcessingDeadWatchers bitHashCacheSize pathStats.enabled \
    pathStats.sampleRate pathStats.slotCapacity pathStats.slotDuration pathStats.maxDepth pathStats.topPathMax \
    pathStats.initialDelay pathStats.delay intBufferStartingSizeBytes serverCnxnFactory nio.numSelectorThreads \
    nio.numWorkerThreads nio.directBufferBytes nio.shutdownTimeout nio.sessionlessCnxnTimeout \
    netty.advancedFlowControl.enabled netty.server.outstandingHandshake.limit \
    netty.server.earlyDropSecureConnectionHandshakes tcpKeepAlive clientTcpKeepAlive 4lw.commands.whitelist audit.enable \
    audit.impl.class snapCount snapSizeLimitInKb txnLogSizeLimitInKb preAllocSize forceSync fsync.warningthresholdms \
    flushDelay maxWriteQueuePollTime maxBatchSize commitLogCount snapshotSizeFactor snapshot.compression.method \
    snapshot.trust.empty db.autocreate datadir.autocreate digest.enabled serializeLastProcessedZxid.enabled cnxTimeout \
    quorumCnxnTimeoutMs electionPortBindRetry fastleader.minNotificationInterval fastleader.maxNotificationInterval \
    leaderConnectDelayDuringRetryMs leader.maxConcurrentSnapSyncs leader.maxConcurrentDiffSyncs \
    leader.maxTimeToWaitForEpoch leader.ackLoggingFrequency leader.closeSocketAsync learner.closeSocketAsync \
    learner.asyncSending leader.nodelay follower.nodelay forceSnapshotSync observerMaster.sizeLimit \
    observer.reconnectDelayMs observer.election.DelayMs observer.syncEnabled follower.skipLearnerRequestToNextProcessor \
    forward_learner_requests_to_commit_processor_disabled commitProcessor.numWorkerThreads commitProcessor.maxReadBatchSize \
    commitProcessor.maxCommitBatchSize commitProcessor.shutdownTimeout messageTracker.Enabled messageTracker.BufferSize \
    DigestAuthenticationProvider.superDigest DigestAuthenticationProvider.digestAlg DigestAuthenticationProvider.enabled \
    X509AuthenticationProvider.superUser superUser superUser.1 SASLAuthenticationProvider.superPassword letAnySaslUserDoX \
    authProvider.1 sasl.serverconfig allowSaslFailedClients sessionRequireClientSASLAuth enforce.auth.enabled \
    enforce.auth.schemes ensembleAuthName kerberos.removeHostFromPrincipal kerberos.removeRealmFromPrincipal \
    kerberos.canonicalizeHostNames kerberos.minReLoginTimeMs kinit security.auth_to_local requireKerberosConfig \
    server.principal server.realm IPAuthenticationProvider.usexforwardedfor fips-mode ssl.keyStore.location \
    ssl.quorum.keyStore.location client.portUnification client.certReload tcnative.ocsp.stapling admin.enableServer \
    admin.serverAddress admin.serverPort admin.commandURL admin.idleTimeout admin.httpVersion admin.portUnification \
    admin.forceHttps admin.needClientAuth admin.snapshot.enabled admin.restore.enabled admin.rateLimiterIntervalInMS";

const HEAD: &str = "# Settings

Every setting of ZooKeeper 3.8 and 3.9, and ours: as a line of `zoo.cfg`, or as a Java property, `-Dzookeeper.NAME=VALUE`. In both
places it is known with `zookeeper.` and without. What is in no row is warned of, with the line and the likely typo. `ringkeeper server
--check zoo.cfg` says what it makes of yours. What a setting means is what it means in ZooKeeper, but where the README tells a difference.

- **yes**: it is honoured.
- **ignored**: nothing hangs on it: it tunes threads, caches or a library that aren't here. A line says so.
- **warned**: it isn't built, or can have no effect here, and the server goes on without. A warning says so.
- **refused**: without it the server would do what its operator wants to rule out. It doesn't start.

*Members* are servers of an ensemble; a standalone server takes no notice of what is theirs, as ZooKeeper's. A row that ends in `*` is
of all that begin so and have no row of their own. A test writes this page from the tables of `src/config/keys.rs`, and holds its rows
against what the server does with each setting.

| setting | default | |
|---|---|---|
";

fn resolve(_: &str) -> Option<IpAddr> {
    None
}

fn read(_: &Path) -> std::io::Result<Vec<u8>> {
    Ok(b"1\n".to_vec())
}

fn check(text: &str) -> Result<Vec<Warning>, Refusal> {
    let raw = Raw::parse("zoo.cfg", text.as_bytes());
    raw.check_and_keep(resolve, &read).map(|checked| checked.warnings)
}

fn values(values: &[&str]) -> String {
    let shown: Vec<String> = values
        .iter()
        .map(|value| if value.is_empty() { "nothing".to_owned() } else { format!("`{value}`") })
        .collect();
    shown.join(", ")
}

fn but(harmless: &[&str]) -> String {
    if harmless.is_empty() { String::new() } else { format!(" (not {})", values(harmless)) }
}

fn row(standing: Standing) -> String {
    match standing {
        Honoured => "**yes**".to_owned(),
        Ensemble => "**yes**, of members".to_owned(),
        EnsembleOnly => "**ignored**, of members".to_owned(),
        EnsembleNotBuilt { harmless } => format!("**warned**, of members{}: not built", but(harmless)),
        EnsembleRefused { harmless, why } => format!("**refused**, of members{}: {why}", but(harmless)),
        NotBuilt { harmless } => format!("**warned**{}: not built", but(harmless)),
        Protects { harmless } => {
            format!(
                "**refused**{}: not built, and to ignore it would admit who is to be kept out",
                but(harmless)
            )
        }
        NoMeaning { harmless, why } => format!("**warned**{}: {why}", but(harmless)),
        Foreign => "**ignored**".to_owned(),
    }
}

/// As a server prints them which has only what it must: their remark where there is no value.
fn defaults() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // Without a metrics port its settings have no value.
    let with_metrics = format!("{ALONE}metricsProvider.className={PROMETHEUS}\n");
    for text in [MEMBER, &with_metrics, ALONE] {
        let raw = Raw::parse("zoo.cfg", text.as_bytes());
        let checked = raw.check_and_keep(resolve, &read);
        let printed = checked.unwrap_or_else(|refusal| panic!("{:?}", refusal.faults)).effective();
        let (_, behind) = printed.split_once("# defaults\n").expect("most are");
        for line in behind.lines() {
            match (line.strip_prefix("# "), line.split_once('=')) {
                (Some(remark), _) => {
                    let (name, remark) = remark.split_once(": ").expect("a remark is of a setting");
                    found.insert(name.to_owned(), remark.to_owned());
                }
                (None, Some((name, value))) => {
                    found.insert(name.to_owned(), format!("`{value}`"));
                }
                (None, None) => {}
            }
        }
    }
    // It follows another one.
    for (name, of) in [
        ("clientPort", "needed"),
        ("dataDir", "needed"),
        ("dataLogDir", "that of `dataDir`"),
        ("initLimit", "needed"),
        ("minSessionTimeout", "2 × `tickTime`"),
        ("maxSessionTimeout", "20 × `tickTime`"),
        ("myid", "the file in `dataDir`"),
        ("syncLimit", "needed"),
    ] {
        found.insert(name.to_owned(), of.to_owned());
    }
    found
}

/// Their names, with `member` in place of what follows.
fn families(member: &str) -> impl Iterator<Item = (String, Standing)> {
    FAMILIES.iter().map(move |(name, standing)| {
        let member = if name.ends_with(['.', '_']) { member } else { "" };
        (format!("{name}{member}"), *standing)
    })
}

fn page() -> String {
    let defaults = defaults();
    let numbered = [("group.G", Ensemble), ("server.N", Ensemble), ("weight.N", Ensemble)];
    let families = families("*");
    let single = NAMES.iter().chain(EXCEPTIONS).chain(&numbered);
    let mut rows: Vec<(String, Standing)> =
        single.map(|(name, standing)| ((*name).to_owned(), *standing)).chain(families).collect();
    rows.sort_by_key(|(name, _)| name.to_lowercase());
    let line = |(name, standing): &(String, Standing)| {
        let default = match (standing, defaults.get(name)) {
            (Honoured | Ensemble, Some(default)) => default.replace('|', "\\|"),
            _ => String::new(),
        };
        format!("| `{name}` | {default} | {} |\n", row(*standing))
    };
    HEAD.to_owned() + &rows.iter().map(line).collect::<String>()
}

#[test]
fn the_page_of_settings_is_what_the_tables_say() {
    let page = page();
    if std::env::var_os(REWRITES).is_some() {
        fs::write(PAGE, &page).expect("writable");
    }
    let found = fs::read_to_string(PAGE).unwrap_or_default();
    let other = page.lines().zip(found.lines()).find(|(page, found)| page != found);
    assert!(found == page, "tuning/settings.md says something else: {other:?}; {REWRITES}=1 writes it anew");
}

#[test]
fn every_setting_of_apaches_is_in_it() {
    let unknown: Vec<&str> = APACHES.split_whitespace().filter(|name| find(name).is_none()).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

/// Each row, of a value that asks for something.
#[test]
fn every_row_is_what_happens() {
    const ODD: &str = "something-odd";
    let families = families("x");
    let single = NAMES.iter().chain(EXCEPTIONS).map(|(name, standing)| ((*name).to_owned(), *standing));
    for (name, standing) in single.chain(families) {
        let of = |base: &str, value: &str| check(&format!("{base}{name}={value}\n"));
        let about = |warnings: &[Warning]| warnings.iter().any(|warning| warning.text.contains(&name));
        let is_refused = |checked: Result<Vec<Warning>, Refusal>| {
            let of_it = |fault: &Fault| short(&fault.key) == name;
            checked.is_err_and(|refusal| refusal.faults.iter().any(of_it))
        };
        let is_told = |checked: Result<Vec<Warning>, Refusal>| about(&checked.expect("no fault"));
        let is_quiet = |harmless: &[&str], base: &str| {
            for value in harmless {
                assert!(!about(&of(base, value).expect("harmless")), "{name}={value}");
            }
        };
        match standing {
            // What these do is theirs: `checked_test`, `ensemble_test`, `web_test` and `effective_test` have each.
            Honoured | Ensemble => {}
            EnsembleOnly => {
                assert!(is_told(of(MEMBER, ODD)) && !is_told(of(ALONE, ODD)), "{name}");
            }
            EnsembleNotBuilt { harmless } => {
                assert!(is_told(of(MEMBER, ODD)) && !is_told(of(ALONE, ODD)), "{name}");
                is_quiet(harmless, MEMBER);
            }
            EnsembleRefused { harmless, .. } => {
                assert!(is_refused(of(MEMBER, ODD)) && !is_told(of(ALONE, ODD)), "{name}");
                is_quiet(harmless, MEMBER);
            }
            NotBuilt { harmless } | NoMeaning { harmless, .. } => {
                assert!(is_told(of(ALONE, ODD)), "{name}");
                is_quiet(harmless, ALONE);
            }
            Protects { harmless } => {
                assert!(is_refused(of(ALONE, ODD)), "{name}");
                is_quiet(harmless, ALONE);
            }
            Foreign => assert!(is_told(of(ALONE, ODD)), "{name}"),
        }
    }
}
