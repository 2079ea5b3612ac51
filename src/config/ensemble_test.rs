//! Membership: which lines make an ensemble, who this server is in it, and what its operator is told.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::{Config, Refusal, Warning};
use super::*;
use crate::config::keys;

/// The only name there is.
fn resolve(name: &str) -> Option<IpAddr> {
    (name == "zoo1").then_some(IpAddr::from([10, 0, 0, 7]))
}

/// Line 7 is the first behind them.
const THREE: &str =
    "dataDir=/d\ninitLimit=10\nsyncLimit=5\nserver.1=a:1:2;2181\nserver.2=b:1:2\nserver.3=c:1:2:observer\n";

/// Paths and contents; all others aren't found.
type Files<'a> = &'a [(&'a str, &'a str)];

const FIRST: Files<'static> = &[("/d/myid", "1\n")];

fn check(content: &str, files: Files<'_>) -> Result<(Config, Vec<Warning>), Refusal> {
    checked(Raw::parse("zoo.cfg", content.as_bytes()), files)
}

fn checked(raw: Raw, files: Files<'_>) -> Result<(Config, Vec<Warning>), Refusal> {
    let files: BTreeMap<&Path, &str> =
        files.iter().map(|(path, content)| (Path::new(*path), *content)).collect();
    raw.check(resolve, &|path| match files.get(path) {
        Some(&"unreadable") => Err(io::ErrorKind::PermissionDenied.into()),
        Some(content) => Ok(content.as_bytes().to_vec()),
        None => Err(io::ErrorKind::NotFound.into()),
    })
}

fn texts(findings: &[impl ToString]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn good(content: &str, files: Files<'_>) -> (Config, Vec<String>) {
    match check(content, files) {
        Ok((config, warnings)) => (config, texts(&warnings)),
        Err(refusal) => panic!("{content}: {:?}", texts(&refusal.faults)),
    }
}

fn member(content: &str, files: Files<'_>) -> Ensemble {
    good(content, files).0.ensemble.unwrap_or_else(|| panic!("{content}: a lone server"))
}

fn faults(content: &str, files: Files<'_>) -> Vec<String> {
    match check(content, files) {
        Ok(_) => vec![],
        Err(refusal) => texts(&refusal.faults),
    }
}

#[test]
fn defaults_are_zookeepers() {
    let (config, warnings) = good(&THREE.replace(":observer", ""), FIRST);
    let lines = [("server.1", "a:1:2;2181"), ("server.2", "b:1:2"), ("server.3", "c:1:2")];
    let expected = Ensemble {
        me: ServerId(1),
        members: Arc::new(zab::Config::from_pairs(lines).unwrap()),
        peer_type: Role::Participant,
        init_limit: 10,
        sync_limit: 5,
        connect_timeout: Duration::from_secs(5),
        commit_log_count: 500,
        listen_on_all_ips: false,
        multi_address: false,
        reconfig_enabled: false,
        standalone_enabled: true,
        next: None,
        file: Some("zoo.cfg".to_owned()),
        leader_serves: true,
        local_sessions: false,
        local_sessions_upgrading: false,
    };
    assert_eq!(config.ensemble, Some(expected));
    assert_eq!(config.client.socket_address(), "0.0.0.0:2181".parse().unwrap());
    assert_eq!(warnings, Vec::<String>::new());
}

/// A line, and whether an ensemble shows it.
type Effect = (&'static str, fn(&Ensemble) -> bool);

#[test]
fn every_key_has_its_effect() {
    let cases: &[Effect] = &[
        ("initLimit=7", |e| e.init_limit == 7),
        ("syncLimit=7", |e| e.sync_limit == 7),
        ("cnxTimeout=70", |e| e.connect_timeout == Duration::from_millis(70)),
        ("commitLogCount=1000", |e| e.commit_log_count == 1000),
        ("quorumListenOnAllIPs=true", |e| e.listen_on_all_ips),
        ("multiAddress.enabled=true", |e| e.multi_address),
        ("reconfigEnabled=true", |e| e.reconfig_enabled),
        ("leaderServes=no", |e| !e.leader_serves),
        ("localSessionsEnabled=true", |e| e.local_sessions && !e.local_sessions_upgrading),
        ("localSessionsUpgradingEnabled=true", |e| !e.local_sessions && e.local_sessions_upgrading),
        ("server.3=c:1:2", |e| e.members.voters().len() == 3),
        ("group.1=1:2", |e| e.members.is_hierarchical()),
        ("group.1=1:2\nweight.2=5", |e| [1, 2].map(|id| e.members.weight(ServerId(id))) == [1, 5]),
    ];
    for (lines, holds) in cases {
        let properties: Vec<String> =
            lines.lines().flat_map(|line| [format!("zookeeper.{line}"), line.to_owned()]).collect();
        assert!(holds(&member(&format!("{THREE}{lines}"), FIRST)), "{lines}");
        let mut raw = Raw::parse("zoo.cfg", THREE.as_bytes());
        properties.iter().for_each(|property| raw.property(property));
        let (config, _) = checked(raw, FIRST).unwrap();
        assert!(holds(&config.ensemble.unwrap()), "-D: {lines}");
    }
    // Each key read here has a row above, or is shown by another test.
    let elsewhere = ["peerType", "myid", "dynamicConfigFile"];
    for name in keys::names(keys::Standing::Ensemble) {
        let row = cases.iter().any(|(line, _)| line.split('=').next() == Some(name));
        assert!(row || elsewhere.contains(&name), "{name}");
    }
}

#[test]
fn where_zookeeper_runs_a_quorum_peer_there_is_an_ensemble() {
    let basics = "dataDir=/d\nclientPort=2181\ninitLimit=10\nsyncLimit=5\n";
    for (lines, expected) in [
        ("", false),
        ("server.1=a:1:2", false),
        ("server.1=a:1:2\nstandaloneEnabled=false", true),
        ("server.1=a:1:2\nserver.2=b:1:2", true),
        ("server.1=a:1:2\nserver.2=b:1:2:observer\nstandaloneEnabled=false", true),
        ("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer", true),
        // One number, written twice.
        ("server.1=a:1:2\nserver.01=b:1:2", false),
    ] {
        assert_eq!(good(&format!("{basics}{lines}"), FIRST).0.ensemble.is_some(), expected, "{lines}");
    }
    let refused: &[(&str, &str)] = &[
        (
            "standaloneEnabled=false",
            "zoo.cfg:5: standaloneEnabled=false: no server is listed; add a line \
             server.N=host:quorumPort:electionPort for each",
        ),
        (
            "server.1=a:1:2:observer",
            "zoo.cfg:5: server.1=a:1:2:observer: an observer with nobody to observe; allowed: participant",
        ),
        (
            "server.1=a:1:2:observer\nserver.2=b:1:2:observer",
            "zoo.cfg:5: server.1=a:1:2:observer: all servers are observers; at least one must be a participant",
        ),
        (
            "server.1=a:1:2\nserver.2=b:1:2:observer",
            "zoo.cfg:6: server.2=b:1:2:observer: an observer of a lone server: with one participant this is no \
             ensemble; allowed: more participants, or standaloneEnabled=false",
        ),
    ];
    for (lines, expected) in refused {
        assert_eq!(faults(&format!("{basics}{lines}"), FIRST), vec![*expected], "{lines}");
    }
}

#[test]
fn the_lines_role_is_the_one_that_counts() {
    let observer = &[("/d/myid", "3")];
    let content = format!("{THREE}clientPort=2181\n");
    assert_eq!(member(&content, observer).peer_type, Role::Observer);
    let (config, warnings) = good(&format!("{content}peerType=participant"), observer);
    assert_eq!(config.ensemble.unwrap().peer_type, Role::Observer);
    let mismatch = "zoo.cfg:8: peerType=participant is ignored: server.3 is listed as observer";
    assert!(warnings.contains(&mismatch.to_owned()), "{warnings:?}");
    let (_, warnings) = good(&format!("{content}peerType=Observer"), observer);
    assert!(!warnings.iter().any(|warning| warning.contains("peerType")), "{warnings:?}");
    assert_eq!(
        faults(&format!("{THREE}peerType=boss"), FIRST),
        ["zoo.cfg:7: peerType=boss: no role; allowed: participant, observer"]
    );
}

#[test]
fn the_number_of_this_server() {
    for content in ["1", "1\n", "1\r\n", "1\nwhatever\n", "+1\n", "01"] {
        assert_eq!(member(THREE, &[("/d/myid", content)]).me, ServerId(1), "{content:?}");
    }
    const NUMBER: &str =
        "is no server number; allowed: the N of this server's line server.N, and nothing else on the line";
    let refused: &[(Files<'_>, String)] = &[
        (
            &[],
            "/d/myid: missing: it says which of the 3 listed servers this is; write the N of its line server.N there, \
             e.g. echo 1 > /d/myid"
                .into(),
        ),
        (&[("/d/myid", "unreadable")], "/d/myid: can't be read: permission denied".into()),
        (&[("/d/myid", "")], format!("/d/myid:1: `` {NUMBER}")),
        (&[("/d/myid", "zoo1\n")], format!("/d/myid:1: `zoo1` {NUMBER}")),
        (&[("/d/myid", "1 \n")], format!("/d/myid:1: `1 ` {NUMBER}")),
        (&[("/d/myid", "\n1\n")], format!("/d/myid:1: `` {NUMBER}")),
        (
            &[("/d/myid", "256")],
            "/d/myid:1: server number 256; allowed: 0 to 255 (it is the first byte of session ids)".into(),
        ),
        (
            &[("/d/myid", "4")],
            "/d/myid:1: this is server 4, but no line server.4 lists it; listed: 1, 2, 3".into(),
        ),
    ];
    for (files, expected) in refused {
        assert_eq!(faults(THREE, files), [expected.as_str()], "{files:?}");
    }
}

#[test]
fn the_number_may_come_from_the_environment_until_there_is_a_file() {
    let content = format!("{THREE}clientPort=2181");
    let raw = |number: &str| {
        let mut raw = Raw::parse("zoo.cfg", content.as_bytes());
        raw.environment([("ZOO_MY_ID".to_owned(), number.to_owned())]);
        raw
    };
    assert_eq!(checked(raw("2"), &[]).unwrap().0.ensemble.unwrap().me, ServerId(2));
    assert_eq!(
        texts(&checked(raw("4"), &[]).unwrap_err().faults),
        ["environment variable ZOO_MY_ID: this is server 4, but no line server.4 lists it; listed: 1, 2, 3"]
    );
    assert_eq!(
        texts(&checked(raw("x"), &[]).unwrap_err().faults),
        [
            "environment variable ZOO_MY_ID: myid=x: `x` is no server number; allowed: the N of this server's line \
         server.N, and nothing else on the line"
        ]
    );
    let (config, warnings) = checked(raw("2"), FIRST).unwrap();
    assert_eq!(config.ensemble.unwrap().me, ServerId(1));
    let text = "environment variable ZOO_MY_ID: myid=2 is ignored: /d/myid says 1";
    assert!(texts(&warnings).contains(&text.to_owned()), "{warnings:?}");
    let mut property = Raw::parse("zoo.cfg", content.as_bytes());
    property.property("myid=2");
    assert_eq!(checked(property, &[]).unwrap().0.ensemble.unwrap().me, ServerId(2));
}

#[test]
fn single_faults() {
    let cases: &[(&str, &str)] = &[
        (
            "initLimit=0",
            "zoo.cfg:7: initLimit=0: out of range; allowed: whole numbers from 1 to 715827 (ticks)",
        ),
        (
            "syncLimit=715828",
            "zoo.cfg:7: syncLimit=715828: out of range; allowed: whole numbers from 1 to 715827 (ticks)",
        ),
        (
            "cnxTimeout=0",
            "zoo.cfg:7: cnxTimeout=0: out of range; allowed: whole numbers from 1 to 2147483647 (milliseconds)",
        ),
        ("leaderServes=maybe", "zoo.cfg:7: leaderServes=maybe: neither yes nor no; allowed: yes, no"),
        ("quorumListenOnAllIPs=1", "zoo.cfg:7: quorumListenOnAllIPs=1: not a boolean; allowed: true, false"),
        (
            "server.2=b:1:2|c:1:2",
            "zoo.cfg:7: server.2=b:1:2|c:1:2: several addresses; allowed: one, or set multiAddress.enabled=true on \
             every server",
        ),
        (
            "server.2=b:1:1",
            "zoo.cfg:7: server.2=b:1:1: quorum port and election port are both 1; they must differ",
        ),
        (
            "server.300=b:1:2",
            "zoo.cfg:7: server.300=b:1:2: server number 300; allowed: 0 to 255 (it is the first byte of session ids)",
        ),
        ("group1=1:2", "zoo.cfg:7: group1=1:2: no group number; allowed: group.G with a whole number G"),
        ("weight.x=1", "zoo.cfg:7: weight.x=1: no server number; allowed: weight.N with a whole number N"),
        ("weight.9=1\ngroup.1=1:2", "zoo.cfg:7: weight.9=1: server 9 is not listed by a line server.N"),
        (
            "group.1=1",
            "zoo.cfg: server 2 is in no group; where there are groups or weights, every participant needs a group",
        ),
        ("group.1=1:2:9", "zoo.cfg:7: group.1=1:2:9: server 9 is not listed by a line server.N"),
        (
            "sslQuorum=true",
            "zoo.cfg:7: sslQuorum=true: TLS between servers is not built yet, and to ignore it would send all data in \
             the open; allowed: false",
        ),
        (
            "oraclePath=/o",
            "zoo.cfg:7: oraclePath=/o: the oracle is not built yet, and to ignore it would change what a quorum is; \
             allowed: to leave it out",
        ),
        (
            "quorum.auth.serverRequireSasl=true",
            "zoo.cfg:7: quorum.auth.serverRequireSasl=true: authentication between servers is not built yet, and to \
             ignore it would let in who should be kept out; allowed: false",
        ),
        ("electionAlg=1", "zoo.cfg:7: electionAlg=1: there is no other election any more; allowed: 3"),
    ];
    for (line, expected) in cases {
        assert_eq!(faults(&format!("{THREE}{line}"), FIRST), [*expected], "{line}");
    }
}

#[test]
fn limits_are_required() {
    let content = THREE.replace("initLimit=10\nsyncLimit=5\n", "");
    assert_eq!(
        faults(&content, FIRST),
        [
            "zoo.cfg: initLimit: required in an ensemble: ticks to connect to the leader and to synchronise; e.g. \
             initLimit=10",
            "zoo.cfg: syncLimit: required in an ensemble: ticks without a word between leader and learner; e.g. \
             syncLimit=5",
        ]
    );
}

#[test]
fn warnings() {
    const TWO: &str = "zoo.cfg:4: two participants: no failure is tolerated, and that of either stops both; at least 3 \
                       are needed";
    let cases: &[(&str, &[&str])] = &[
        ("", &[TWO]),
        (
            "standaloneEnabled=false\nserver.2=b:1:2:observer",
            &[
                "zoo.cfg:4: one participant: no failure is tolerated; at least 3 are needed for that",
                "zoo.cfg:8: server.2 is given again; the value of line 5 is ignored",
            ],
        ),
        (
            "server.4=d:1:2\nserver.5=e:1:2",
            &[
                "zoo.cfg:4: an even number of participants tolerates no more failures than one participant less",
            ],
        ),
        ("server.4=d:1:2", &[]),
        ("sslQuorum=false\nelectionAlg=3\nobserverMasterPort=0\nsyncEnabled=true", &[TWO]),
        ("observerMasterPort=5", &[TWO, "zoo.cfg:7: `observerMasterPort` is not built yet, ignored"]),
        ("portUnification=true", &[TWO, "zoo.cfg:7: `portUnification` is not built yet, ignored"]),
        ("electionPortBindRetry=5", &[TWO, "zoo.cfg:7: `electionPortBindRetry` is not built yet, ignored"]),
        (
            "leader.nodelay=false",
            &[TWO, "zoo.cfg:7: `leader.nodelay` tunes what this server doesn't have, ignored"],
        ),
        ("reconfigEnabled=true", &[TWO]),
        ("commitLogCount=9", &[TWO, "zoo.cfg:7: commitLogCount=9 is too small, raised to 500"]),
    ];
    for (lines, expected) in cases {
        assert_eq!(good(&format!("{THREE}{lines}"), FIRST).1, *expected, "{lines}");
    }
}

const LONE: &str = "dataDir=/d\nclientPort=2181\n";

/// Apache's lone server ignores them too.
#[test]
fn a_lone_server_is_not_asked_what_members_are() {
    let lines = "peerType=boss\nobserverMasterPort=5\nsslQuorum=true\noraclePath=/o\ninitLimit=x\nmyid=y";
    let (config, warnings) = good(&format!("{LONE}{lines}"), &[("/d/myid", "unreadable")]);
    assert_eq!(config.ensemble, None);
    assert_eq!(warnings, Vec::<String>::new());
}

const STATIC: &str =
    "dataDir=/d\ninitLimit=10\nsyncLimit=5\ndynamicConfigFile=/c/zoo.cfg.dynamic.10000001f\n";
const DYNAMIC: &str =
    "server.1=a:1:2:participant;0.0.0.0:2181\nserver.2=b:1:2:participant\nserver.3=c:1:2:participant";

#[test]
fn members_may_be_in_a_dynamic_file() {
    let ensemble = member(STATIC, &[FIRST[0], ("/c/zoo.cfg.dynamic.10000001f", DYNAMIC)]);
    assert_eq!(ensemble.members.version(), 0x1_0000_001f);
    assert_eq!(ensemble.members.file_text(), DYNAMIC);
    for (name, version) in
        [("/c/zoo.cfg.dynamic", 0), ("/c/members", 0), ("/c.9/members", 0), ("/c/m.-1", 0), ("m.a", 10)]
    {
        let content = STATIC.replace("/c/zoo.cfg.dynamic.10000001f", name);
        assert_eq!(member(&content, &[FIRST[0], (name, DYNAMIC)]).members.version(), version, "{name}");
    }
    // One server, as ZooKeeper writes it with standaloneEnabled=true.
    let (config, _) = good(STATIC, &[("/c/zoo.cfg.dynamic.10000001f", "server.1=a:1:2;2181")]);
    assert_eq!((config.ensemble, config.client.port), (None, 2181));
}

#[test]
fn faults_around_dynamic_files_name_the_file() {
    const FILE: &str = "/c/zoo.cfg.dynamic.10000001f";
    let basics = format!("{STATIC}clientPort=2181\n");
    let cases: &[(&str, Files<'_>, &[&str])] = &[
        (
            "",
            &[],
            &["zoo.cfg:4: dynamicConfigFile=/c/zoo.cfg.dynamic.10000001f: can't be read: entity not found"],
        ),
        (
            "",
            &[(FILE, "# none yet\n")],
            &[
                "zoo.cfg:4: dynamicConfigFile=/c/zoo.cfg.dynamic.10000001f: no server is listed in it; needed: a line \
               server.N=host:quorumPort:electionPort",
            ],
        ),
        (
            "server.1=a:1:2\nweight.1=1",
            &[(FILE, "")],
            &[
                "zoo.cfg:6: server.1=a:1:2: belongs into the dynamic file: move this line to \
                 /c/zoo.cfg.dynamic.10000001f",
                "zoo.cfg:7: weight.1=1: belongs into the dynamic file: move this line to /c/zoo.cfg.dynamic.10000001f",
            ],
        ),
        (
            "snapCount=x",
            &[(FILE, "server.1=a:1:2\nserver.2=b\ntickTime=5\nversion=1")],
            &[
                "zoo.cfg:6: snapCount=x: not a whole number; allowed: whole numbers from -2147483648 to 2147483647",
                "/c/zoo.cfg.dynamic.10000001f:2: server.2=b: the ports are missing; allowed: \
                 host:quorumPort:electionPort[:participant|:observer][|host:…][;[clientHost:]clientPort]",
                "/c/zoo.cfg.dynamic.10000001f:3: tickTime=5: not a setting of a dynamic file; allowed: server.N, \
                 group.G, weight.N",
                "/c/zoo.cfg.dynamic.10000001f:4: version=1: the version is in the name of the file; take this line out",
            ],
        ),
        (
            "",
            &[(FILE, DYNAMIC), FIRST[0], ("zoo.cfg.dynamic.next", DYNAMIC)],
            &[
                "zoo.cfg.dynamic.next: an unfinished reconfiguration; set reconfigEnabled=true to take it up, or remove \
                 the file if it was given up",
            ],
        ),
        (
            "reconfigEnabled=true",
            &[(FILE, DYNAMIC), FIRST[0], ("zoo.cfg.dynamic.next", "server.1=a\nversion=5")],
            &[
                "zoo.cfg.dynamic.next: an unfinished reconfiguration that can't be read: server.1=a: the ports are \
                 missing; allowed: host:quorumPort:electionPort[:participant|:observer][|host:…][;[clientHost:]clientPort]",
            ],
        ),
        (
            "",
            &[(FILE, DYNAMIC), FIRST[0], ("zoo.cfg.dynamic.next", "unreadable")],
            &[
                "zoo.cfg.dynamic.next: can't be read: permission denied; it may hold an unfinished reconfiguration",
            ],
        ),
    ];
    for (lines, files, expected) in cases {
        assert_eq!(faults(&format!("{basics}{lines}"), files), *expected, "{lines} {files:?}");
    }
    assert_eq!(
        faults(&basics.replace(FILE, ""), &[]),
        ["zoo.cfg:4: dynamicConfigFile=: no path; allowed: the path of a file with the server lines"]
    );
}

/// Whatever is written, the answer is a lone server, a member of its own ensemble, or a reason.
#[test]
fn any_membership_is_taken_or_refused() {
    let mut random = crate::base::Prng::new(12);
    let names: Vec<&str> = keys::names(keys::Standing::Ensemble)
        .chain(["server.1", "server.2", "server.3", "group.1", "weight.1", "standaloneEnabled", "clientPort"])
        .collect();
    let values = [
        "",
        "0",
        "-1",
        "1",
        "1:2",
        "true",
        "false",
        "no",
        "a:1:2",
        "a:1:2;2181",
        "a:1:2:observer",
        "/d/myid",
    ];
    let (mut members, mut lone, mut refused) = (0, 0, 0);
    for _ in 0..5_000 {
        let mut content = if random.below(2) == 0 { THREE.to_owned() } else { LONE.to_owned() };
        for _ in 0..random.below(4) {
            let name = names[random.below(names.len() as u64) as usize];
            let value = values[random.below(values.len() as u64) as usize];
            content.push_str(&format!("{name}={value}\n"));
        }
        match check(&content, FIRST) {
            Ok((Config { ensemble: Some(ensemble), .. }, _)) => {
                members += 1;
                assert!(ensemble.members.member(ensemble.me).is_some(), "{content}");
                assert!(!ensemble.members.voters().is_empty(), "{content}");
            }
            Ok(_) => lone += 1,
            Err(refusal) => {
                refused += 1;
                assert!(!refusal.faults.is_empty(), "{content}");
            }
        }
    }
    assert!(members > 500 && lone > 500 && refused > 500, "{members} {lone} {refused}");
}
