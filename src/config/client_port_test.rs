//! Where clients connect, in an ensemble; a lone server's port is tested in checked_test.rs.

use super::super::{Config, Raw, Refusal, Warning};
use super::*;

const THREE: &str =
    "dataDir=/d\ninitLimit=10\nsyncLimit=5\nserver.1=a:1:2;2181\nserver.2=b:1:2\nserver.3=c:1:2:observer\n";

/// `zoo1` is the only name there is.
fn check(content: &str, me: i64) -> Result<(Config, Vec<Warning>), Refusal> {
    let resolve: Resolve = |name| (name == "zoo1").then_some(IpAddr::from([10, 0, 0, 7]));
    Raw::parse("zoo.cfg", content.as_bytes()).check(resolve, &|_| Ok(me.to_string().into_bytes()))
}

fn faults(content: &str, me: i64) -> Vec<String> {
    check(content, me).unwrap_err().faults.iter().map(ToString::to_string).collect()
}

#[test]
fn the_client_port_is_clientport_or_the_lines_and_the_two_agree() {
    let three = |line: &str, more: &str| format!("{}{more}", THREE.replace("a:1:2;2181", line));
    for (line, more, expected) in [
        ("a:1:2", "clientPort=5", "0.0.0.0:5"),
        ("a:1:2", "clientPort=5\nclientPortAddress=127.0.0.1", "127.0.0.1:5"),
        ("a:1:2;5", "", "0.0.0.0:5"),
        ("a:1:2;zoo1:5", "", "10.0.0.7:5"),
        // All addresses agree with any, as in ZooKeeper, and the line wins.
        ("a:1:2;127.0.0.1:5", "clientPort=5", "127.0.0.1:5"),
        ("a:1:2;zoo1:5", "clientPort=5\nclientPortAddress=10.0.0.7", "10.0.0.7:5"),
    ] {
        let (config, _) = check(&three(line, more), 1).unwrap();
        assert_eq!(config.client.socket_address(), expected.parse().unwrap(), "{line} {more}");
    }
    let refused: &[(&str, &str, &str)] = &[
        ("a:1:2", "", "zoo.cfg: clientPort: required: nothing could reach this server; e.g. clientPort=2181"),
        (
            "a:1:2;5",
            "clientPort=6",
            "zoo.cfg:7: clientPort=6: clients would connect to 0.0.0.0:6, but server.1 names 0.0.0.0:5; make them \
             agree, or take clientPort out",
        ),
        (
            "a:1:2;5",
            "clientPort=5\nclientPortAddress=127.0.0.1",
            "zoo.cfg:8: clientPortAddress=127.0.0.1: clients would connect to 127.0.0.1:5, but server.1 names 0.0.0.0:5; \
             make them agree, or take clientPortAddress out",
        ),
        (
            "a:1:2;elsewhere:5",
            "",
            "zoo.cfg:4: server.1=a:1:2;elsewhere:5: host name `elsewhere` can't be resolved; allowed: an address of \
             this host",
        ),
    ];
    for (line, more, expected) in refused {
        assert_eq!(faults(&three(line, more), 1), [*expected], "{line} {more}");
    }
    // Another server's line is none of ours.
    let (config, _) = check(&format!("{THREE}clientPort=7"), 2).unwrap();
    assert_eq!(config.client.port, 7);
}
