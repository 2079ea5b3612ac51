//! What is printed is everything, says where it comes from, and reads back as the same configuration.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::super::keys::{self, Standing};
use super::super::raw::Raw;
use super::*;

const BASICS: &str = "dataDir=/data\nclientPort=2181\n";
const MEMBER: &str = "dataDir=/data\ninitLimit=5\nsyncLimit=2\n";
const THREE: &str =
    "server.1=a:1:2;2181\nserver.2=b:1:2;10.0.0.7:2182\nserver.3=c:1:2:observer;2181\nserver.4=d:1:2;1\n";

/// The only files there are.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("/data/myid") => Ok(b"2\n".to_vec()),
        Some("/conf/dynamic") => Ok(THREE.as_bytes().to_vec()),
        Some("/conf/secret") => Ok(b"correct horse battery staple\n".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

fn resolve(name: &str) -> Option<IpAddr> {
    (name == "zoo1").then_some(IpAddr::from([10, 0, 0, 1]))
}

fn checked(raw: Raw) -> Checked {
    raw.check_and_keep(resolve, &read).unwrap_or_else(|refusal| panic!("{:?}", refusal.faults))
}

fn of(text: &str) -> Checked {
    checked(Raw::parse("zoo.cfg", text.as_bytes()))
}

/// Without what says how it was written down, and what is never shown.
fn bare(config: Config) -> Config {
    let ensemble = config.ensemble.map(|ensemble| Ensemble { file: None, ..ensemble });
    Config { initial: None, super_digest: None, ensemble, ..config }
}

const SUPER: &str = "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n";

/// Every setting away from its default, in one of two configurations.
fn odd_ones() -> Vec<String> {
    let common = "dataLogDir=/log\\\\with\\nline\ntickTime=100\nminSessionTimeout=150\nmaxSessionTimeout=9000\nmaxClientCnxns=0\n\
        maxCnxns=70\n4lw.commands.whitelist=mntr, ruok\nskipACL=yes\nreadonlymode.enabled=true\nreconfigEnabled=true\n\
        clientPortListenBacklog=9\nsnapCount=1\nsnapSizeLimitInKb=0\npreAllocSize=1\nforceSync=no\nfsync.warningthresholdms=7\n\
        autopurge.purgeInterval=0\nautopurge.snapRetainCount=2\ndigest.enabled=false\nextendedTypesEnabled=true\n\
        enforceQuota=true\nznode.container.checkIntervalMs=3\nznode.container.maxPerMinute=4\n\
        znode.container.maxNeverUsedIntervalMs=5\njute.maxbuffer=0x200000\nlargeRequestThreshold=500\n\
        largeRequestMaxBytes=1000\nconnection_throttle_tokens=1\nconnection_throttle_fill_time=2\n\
        connection_throttle_fill_count=3\nrequest_throttle_max_requests=8\nadmin.serverAddress=::1\nadmin.serverPort=3\n\
        admin.commandURL=/x/\nadmin.idleTimeout=2\nadmin.snapshot.enabled=false\nadmin.restore.enabled=false\n\
        admin.rateLimiterIntervalInMS=0\n\
        metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
        metricsProvider.httpHost=zoo1\nmetricsProvider.httpPort=4\nmetricsProvider.exportJvmInfo=false\n\
        ringkeeper.cores=0-2\nringkeeper.shards=3\nringkeeper.lookMicros=0\nringkeeper.io=epoll\nringkeeper.logWrite=mmap\n\
        ringkeeper.hugePages=true\n\
        ringkeeper.snapshotRate=0\nringkeeper.treeBrowser=false\nringkeeper.sessionSecret=/conf/secret\n\
        ringkeeper.logFormat=json\nringkeeper.slowRequestMillis=7\naudit.enable=true\nringkeeper.auditFile=/log/a=b\n";
    let member = "initLimit=7\nsyncLimit=3\ncnxTimeout=4\ncommitLogCount=700\nquorumListenOnAllIPs=true\n\
        multiAddress.enabled=true\nleaderServes=no\nlocalSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\n\
        standaloneEnabled=false\ngroup.1=1:2:4\nweight.1=3\n";
    vec![
        format!("{BASICS}clientPortAddress=zoo1\n{common}globalOutstandingLimit=9\n{SUPER}"),
        format!("dataDir=/data\n{THREE}{common}{member}"),
        format!(
            "{MEMBER}dynamicConfigFile=/conf/dynamic\nadmin.enableServer=false\nglobalOutstandingLimit=9\n\
             ringkeeper.slowRequestMillis=0\naudit.enable=true\n"
        ),
    ]
}

#[test]
fn it_reads_back_as_the_same_configuration() {
    let plain = [BASICS.to_owned(), format!("{MEMBER}{THREE}"), format!("dataDir=/d\n{}", &THREE[..20])];
    for text in odd_ones().into_iter().chain(plain) {
        let first = of(&text);
        let printed = first.effective();
        let again = of(&printed);
        assert_eq!(bare(again.config.clone()), bare(first.config), "{text}\nwas printed as\n{printed}");
        let settings = |text: &str| {
            let mut lines: Vec<String> =
                text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(settings(&again.effective()), settings(&printed), "printed again");
    }
}

#[test]
fn every_setting_that_is_honoured_is_listed() {
    let mut listed: Vec<String> = Vec::new();
    for text in odd_ones() {
        let printed = of(&text).effective();
        let key = |line: &str| {
            let line = line.trim_start_matches("# ");
            line.split(['=', ':']).next().map(str::to_owned)
        };
        listed.extend(printed.lines().filter_map(key));
    }
    let known: Vec<&str> = keys::names(Standing::Honoured).chain(keys::names(Standing::Ensemble)).collect();
    assert!(known.len() > 60, "{known:?}");
    // These stand in a member's own line, or in a file of their own.
    let elsewhere = ["myid", "peerType", "clientPort"];
    let given = odd_ones().concat();
    for name in known {
        assert!(listed.iter().any(|key| key == name), "{name} is not printed");
        let is_given = given.lines().any(|line| line.split('=').next() == Some(name));
        assert!(is_given || elsewhere.contains(&name), "{name} has its default in all of these");
    }
}

#[test]
fn it_says_what_is_given_where_and_what_is_a_default() {
    let mut raw =
        Raw::parse("zoo.cfg", b"clientPort=2181\n\ndataDir=/data\nsnapCount=1\nsyncLimit=5\ntickTime=9\n");
    raw.environment([("ZOO_MAX_CLIENT_CNXNS".to_owned(), "3".to_owned())]);
    raw.property("tickTime=8");
    let printed = checked(raw).effective();
    let expected = "# zoo.cfg\nclientPort=2181\ndataDir=/data\nsnapCount=2\n# syncLimit: of no effect on a standalone server\n\n\
        # environment variable ZOO_MAX_CLIENT_CNXNS\nmaxClientCnxns=3\n\n# -D on the command line\ntickTime=8\n\n# defaults\n";
    assert!(printed.starts_with(expected), "{printed}");
    let (_, defaults) = printed.split_once("# defaults\n").expect("seen above");
    for line in
        ["dataLogDir=/data", "clientPortAddress=0.0.0.0", "minSessionTimeout=16", "admin.serverPort=8080"]
    {
        assert!(defaults.lines().any(|found| found == line), "{line}: {defaults}");
    }
    assert!(!printed.contains("myid"), "of members only: {printed}");
}

#[test]
fn a_member_shows_its_number_and_who_named_its_port() {
    let printed = of(&format!("{MEMBER}{THREE}")).effective();
    let group = |name: &str| {
        let (_, behind) =
            printed.split_once(&format!("# {name}\n")).unwrap_or_else(|| panic!("{name}: {printed}"));
        behind.split("\n\n").next().unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(group("/data/myid"), ["myid=2"]);
    for line in ["clientPort=2182", "clientPortAddress=10.0.0.7", "server.3=c:1:2:observer;2181"] {
        assert!(group("zoo.cfg").contains(&line.to_owned()), "{line}: {printed}");
    }
    let dynamic = of(&format!("{MEMBER}dynamicConfigFile=/conf/dynamic")).effective();
    assert!(dynamic.contains("# /conf/dynamic\n# server.1=a:1:2;2181\n"), "{dynamic}");
    assert!(dynamic.contains("\ndynamicConfigFile=/conf/dynamic\n"), "{dynamic}");
}

#[test]
fn a_secret_is_not_shown() {
    let printed = of(&format!("{BASICS}{SUPER}")).effective();
    assert!(printed.contains("# DigestAuthenticationProvider.superDigest: given, not shown\n"), "{printed}");
    assert!(!printed.contains("D/In"), "{printed}");
}
