//! `ZOO_*` variables, as the container image knows them.

use std::net::IpAddr;
use std::time::Duration;

use super::super::{Purge, Severity};
use super::*;

fn nowhere(_: &str) -> Option<IpAddr> {
    None
}

fn texts(findings: &[impl ToString]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_environment_overrides_the_file_and_the_command_line_overrides_both() {
    let variables = [
        ("ZOO_TICK_TIME", "1000"),
        ("ZOO_MAX_CLIENT_CNXNS", "5"),
        ("ZOO_AUTOPURGE_PURGEINTERVAL", "1"),
        ("ZOO_AUTOPURGE_SNAPRETAINCOUNT", "4"),
        ("ZOO_4LW_COMMANDS_WHITELIST", "*"),
        ("ZOO_DATA_DIR", "/env"),
        ("ZOO_DATA_LOG_DIR", ""),
        ("ZOO_CFG_EXTRA", "snapCount=77  ringkeeper.shards=2"),
        ("ZOO_SERVERS", "server.1=localhost:2888:3888;2181"),
        ("ZOO_MY_ID", "1"),
        ("ZOO_LOG4J_PROP", "INFO"),
        ("PATH", "/bin"),
    ];
    let mut raw = Raw::parse("zoo.cfg", b"dataDir=/file\ntickTime=9\nmaxClientCnxns=9\nclientPort=2181");
    raw.environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    raw.property("zookeeper.maxClientCnxns=6");
    let (config, warnings) =
        raw.check(nowhere, &|path| panic!("{path:?} is none of a lone server's")).unwrap();
    assert_eq!(config.tick_time, Duration::from_secs(1));
    assert_eq!(config.max_client_cnxns, Some(6));
    assert_eq!(config.purge, Purge { snap_retain_count: 4, interval: Some(Duration::from_secs(3600)) });
    assert!(config.four_letter_words.contains(*b"mntr"));
    assert_eq!((config.data_dir, config.data_log_dir), ("/env".into(), "/env".into()));
    assert_eq!((config.snap_count, config.shards), (77, Some(2)));
    assert_eq!(
        texts(&warnings),
        vec![
            "environment variable ZOO_DATA_DIR: dataDir overrides line 1",
            "environment variable ZOO_MAX_CLIENT_CNXNS: maxClientCnxns overrides line 3",
            "environment variable ZOO_TICK_TIME: tickTime overrides line 2",
            "-D on the command line: maxClientCnxns overrides environment variable ZOO_MAX_CLIENT_CNXNS",
        ]
    );
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Info));
}

#[test]
fn faults_of_the_environment_name_the_variable() {
    let mut raw = Raw::parse("zoo.cfg", b"dataDir=/data\nclientPort=2181");
    let variables =
        [("ZOO_TICK_TIME", "x"), ("ZOO_CFG_EXTRA", "oops"), ("ZOO_TICKTIME", "5"), ("ZOO_PORT", "5")];
    raw.environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let refusal = raw.check(nowhere, &|path| panic!("{path:?} is none of a lone server's")).unwrap_err();
    assert_eq!(
        texts(&refusal.faults),
        vec![
            "environment variable ZOO_CFG_EXTRA: oops: not a setting; allowed: key=value, several separated by blanks",
            "environment variable ZOO_TICK_TIME: tickTime=x: not a whole number; allowed: whole numbers from 1 to \
             107374182 (milliseconds)",
        ]
    );
    assert_eq!(
        texts(&refusal.warnings),
        vec![
            "environment variable ZOO_PORT: unknown, ignored",
            "environment variable ZOO_TICKTIME: unknown, ignored: did you mean `ZOO_TICK_TIME`?",
        ]
    );
}

/// In a container without a file.
fn contained(variables: &[(&str, &str)]) -> Raw {
    let mut raw = Raw::empty();
    raw.environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    raw.container();
    raw
}

#[test]
fn a_container_needs_no_file_and_no_variable() {
    let unread = |path: &std::path::Path| panic!("{path:?} is none of a lone server's");
    let (config, warnings) = contained(&[]).check(nowhere, &unread).unwrap();
    assert_eq!(config.client.socket_address(), "0.0.0.0:2181".parse().unwrap());
    assert_eq!((config.data_dir, config.data_log_dir), ("/data".into(), "/datalog".into()));
    assert_eq!((config.tick_time, config.ensemble), (Duration::from_secs(2), None));
    assert_eq!(texts(&warnings), Vec::<String>::new());
}

#[test]
fn variables_make_a_container_a_member() {
    let missing = |_: &std::path::Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let variables = [
        ("ZOO_SERVERS", "server.2=a:2888:3888;2181 server.3=b:2888:3888;2181 server.4=c:2888:3888;2182"),
        ("ZOO_MY_ID", "4"),
        ("ZOO_DATA_DIR", "/elsewhere"),
        ("ZOO_SYNC_LIMIT", "7"),
    ];
    let (config, warnings) = contained(&variables).check(nowhere, &missing).unwrap();
    let ensemble = config.ensemble.unwrap();
    assert_eq!((ensemble.me.0, ensemble.init_limit, ensemble.sync_limit), (4, 5, 7));
    assert_eq!(ensemble.members.members().count(), 3, "none is made up beside those given");
    assert_eq!((config.client.port, config.data_dir), (2182, "/elsewhere".into()));
    assert_eq!(texts(&warnings), Vec::<String>::new());
    let number = contained(&[variables[0]]).check(nowhere, &missing).unwrap_err();
    assert!(
        texts(&number.faults)[0].contains("this is server 1, but no line server.1 lists it"),
        "{number:?}"
    );
}
