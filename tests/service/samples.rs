//! Configurations as tutorials print them: they are taken as they are, and what ZooKeeper would refuse in them is named.

use std::fs;

use crate::station::{Ran, Station};

/// `zoo_sample.cfg`, as everybody copies it, with the comments that stand in it.
const SAMPLE: &str = "# The number of milliseconds of each tick\ntickTime=2000\n# The number of ticks that the initial\n\
    # synchronization phase can take\ninitLimit=10\nsyncLimit=5\n# do not use /tmp for storage\nDATADIR\n\
    # the port at which the clients will connect\nclientPort=2181\n#maxClientCnxns=60\n";

const FOUR: &str = "server.1=192.168.79.13:2888:3888\nserver.2=192.168.79.14:2888:3888\nserver.3=192.168.79.15:2888:3888\n\
    server.4=192.168.79.16:2888:3888:observer\n";

/// `--check` of the sample with these lines behind it, on the server of this number.
fn checked(key: &str, lines: &str, number: Option<u32>) -> Ran {
    let station = Station::bare();
    if let Some(number) = number {
        fs::create_dir_all(station.data()).expect("room");
        fs::write(station.data().join("myid"), format!("{number}\n")).expect("room");
    }
    let text = SAMPLE.replace("DATADIR", &format!("{key}={}", station.data().display()));
    fs::write(station.configuration(), format!("{text}{lines}")).expect("room");
    station.run(&["server", "--check", &station.configuration().display().to_string()])
}

fn assert_lines(ran: &Ran, lines: &[&str]) {
    assert_eq!(ran.status, Some(0), "{ran:?}");
    for line in lines {
        assert!(ran.out.lines().any(|found| found == *line), "{line}: {}\n{}", ran.out, ran.err);
    }
}

#[test]
fn a_standalone_server() {
    let ran = checked("dataDir", "", None);
    assert_eq!(ran.err, "");
    assert_lines(
        &ran,
        &["tickTime=2000", "clientPort=2181", "clientPortAddress=0.0.0.0", "maxClientCnxns=60"],
    );
}

/// A slip that one of them prints: ZooKeeper says "dataDir is not set".
#[test]
fn a_name_in_the_wrong_case() {
    let ran = checked("datadir", "", None);
    assert_eq!((ran.status, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("unknown key `datadir` (line 8): did you mean `dataDir`?"), "{ran:?}");
    assert!(ran.err.contains("dataDir: required"), "{ran:?}");
}

#[test]
fn three_voters_and_an_observer() {
    for number in 1..=4 {
        let own = if number == 4 { "peerType=observer\n" } else { "" };
        let ran = checked("dataDir", &format!("{own}{FOUR}"), Some(number));
        assert_eq!(ran.err, "", "server {number}");
        let role = if number == 4 { "peerType=observer" } else { "peerType=participant" };
        assert_lines(&ran, &[role, &format!("myid={number}"), "initLimit=10", "syncLimit=5"]);
        assert_lines(&ran, &["server.4=192.168.79.16:2888:3888:observer"]);
    }
    let ran = checked("dataDir", FOUR, None);
    assert!(
        ran.status == Some(2) && ran.err.contains("data/myid: missing: ") && ran.err.contains("echo 1 > "),
        "{ran:?}"
    );
}

#[test]
fn purging_and_prometheus() {
    let lines = "autopurge.snapRetainCount=3\nautopurge.purgeInterval=1\n\
        metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
        metricsProvider.httpHost=0.0.0.0\nmetricsProvider.httpPort=7000\nmetricsProvider.exportJvmInfo=true\n";
    let ran = checked("dataDir", lines, None);
    assert_eq!(ran.err, "");
    assert_lines(&ran, &lines.lines().collect::<Vec<_>>());
}
