//! Quorums, joint and weighted; texts of configurations, a real ensemble's among them.

use super::*;
use crate::base::Prng;

/// What `get /zookeeper/config` said on Apache ZooKeeper 3.9.5 started with these five members.
const REAL: &str = "server.1=127.0.0.1:27110:27111:participant;127.0.0.1:27112\n\
    server.17=127.0.0.1:27270:27271:observer;127.0.0.1:27272\n\
    server.2=127.0.0.1:27120:27121:participant;127.0.0.1:27122\n\
    server.3=127.0.0.1:27130:27131:participant;127.0.0.1:27132\n\
    server.10=127.0.0.1:27200:27201:observer;127.0.0.1:27202\n\
    version=100000000";

/// And its dynamic configuration file after server 17 was removed, `zoo.cfg.dynamic.100000007`.
const REAL_FILE: &str = "server.10=127.0.0.1:27200:27201:observer;127.0.0.1:27202\n\
    server.1=127.0.0.1:27110:27111:participant;127.0.0.1:27112\n\
    server.2=127.0.0.1:27120:27121:participant;127.0.0.1:27122\n\
    server.3=127.0.0.1:27130:27131:participant;127.0.0.1:27132";

fn servers(ids: &[i64]) -> ServerSet {
    ids.iter().copied().map(ServerId).collect()
}

/// Servers of these numbers, all of them voters.
pub fn equals(ids: impl IntoIterator<Item = i64>, version: i64) -> Config {
    let member = |id| Member::parse(ServerId(id), &format!("h{id}:2888:3888")).expect("a member");
    Config::new(ids.into_iter().map(member), version).expect("a configuration")
}

#[test]
fn what_a_real_server_printed_both_ways() {
    let config = Config::parse(REAL).expect("a configuration");
    assert_eq!(config.to_string(), REAL);
    assert_eq!(config.version(), 0x1_0000_0000);
    assert_eq!(config.voters(), &servers(&[1, 2, 3]));
    assert_eq!(config.members().count(), 5);
    let file = Config::parse(REAL_FILE).expect("a configuration");
    assert_eq!((file.file_text(), file.version()), (REAL_FILE.to_owned(), 0));
    assert!(!file.has_same_content(&config));
    let without = config.members().filter(|member| member.id != ServerId(17)).cloned();
    assert!(Config::new(without, 7).expect("a configuration").has_same_content(&file));
}

#[test]
fn majorities_count_voters_once() {
    for (count, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)] {
        let config = equals(1..=count, 0);
        for acks in 0..=count {
            let set: ServerSet = (1..=acks).map(ServerId).collect();
            assert_eq!(config.has_quorum(&set), acks >= needed, "{acks} of {count}");
        }
    }
    let config = Config::parse(REAL).expect("a configuration");
    assert!(!config.has_quorum(&servers(&[1, 10, 17, 4])), "observers and strangers don't count");
    assert!(config.has_quorum(&servers(&[1, 3, 10])));
}

#[test]
fn groups_need_more_than_half_of_the_groups_and_of_each_ones_weight() {
    let text = |rest: &str| {
        let servers: String = (1..=9).map(|id| format!("server.{id}=h{id}:1:2\n")).collect();
        format!("{servers}{rest}")
    };
    let three = text("group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9\n");
    let config = Config::parse(&three).expect("a configuration");
    assert!(config.is_hierarchical() && config.weight(ServerId(9)) == 1 && config.weight(ServerId(10)) == 0);
    assert!(config.has_quorum(&servers(&[1, 2, 4, 5])));
    assert!(!config.has_quorum(&servers(&[1, 2, 3, 4, 7])));
    assert!(!config.has_quorum(&servers(&[1, 2, 3])));
    assert!(!config.has_quorum(&ServerSet::EMPTY));
    // A group without weight is no group; of the two that are left both are needed.
    let weights = format!("{three}weight.1=0\nweight.2=0\nweight.3=0\nweight.4=5\n");
    let config = Config::parse(&weights).expect("a configuration");
    assert!(config.has_quorum(&servers(&[4, 7, 8])));
    assert!(!config.has_quorum(&servers(&[1, 2, 3, 5, 6, 7, 8, 9])));
    assert!(!config.has_quorum(&servers(&[1, 2, 3, 4, 5, 6])));
    let again = Config::parse(&config.to_string()).expect("its own text");
    assert_eq!(again, config);
    assert!(config.to_string().ends_with(
        "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9\nweight.1=0\nweight.2=0\nweight.3=0\nweight.4=5\n\
         weight.5=1\nweight.6=1\nweight.7=1\nweight.8=1\nweight.9=1\nversion=0"
    ));
}

#[test]
fn two_configurations_must_each_agree() {
    let (old, new) = (Arc::new(equals([1, 2, 3], 1)), Arc::new(equals([3, 4, 5], 2)));
    let joint = Joint::new(old.clone(), Some(new.clone()));
    assert_eq!(joint.voters(), servers(&[1, 2, 3, 4, 5]));
    assert!(joint.is_voter(ServerId(5)) && !joint.is_voter(ServerId(6)));
    assert!(joint.member(ServerId(5)).is_some() && joint.member(ServerId(6)).is_none());
    let mut acks = Acks::default();
    for (server, counts, quorum) in
        [(3, true, false), (3, false, false), (6, false, false), (1, true, false), (4, true, true)]
    {
        assert_eq!(acks.add(ServerId(server), &joint), counts, "{server}");
        assert_eq!(acks.has_quorum(&joint), quorum, "{server}");
    }
    assert_eq!(acks.servers(), &servers(&[1, 3, 4]));
    assert!(!joint.has_quorum(&servers(&[1, 2, 3])) && !joint.has_quorum(&servers(&[4, 5, 3])));
    // One that isn't newer has nothing to say.
    let alone = Joint::new(new.clone(), Some(old));
    assert_eq!((alone.next(), alone.voters()), (None, servers(&[3, 4, 5])));
    assert_eq!(alone.committed(), &new);
    assert!(Joint::new(new.clone(), Some(new)).next().is_none());
}

#[test]
fn faults_name_the_line_and_what_to_do() {
    for (text, problem) in [
        ("", "no server is listed; needed: a line server.N=host:quorumPort:electionPort"),
        ("server.1=a:1:2:observer", "all servers are observers; at least one must be a participant"),
        ("server.1=a:1", "server.1=a:1: no election port; allowed: host:quorumPort"),
        ("server.x=a:1:2", "server.x=a:1:2: `x` is no server number"),
        ("server.300=a:1:2", "server.300=a:1:2: server number 300; allowed: 0 to 255"),
        ("clientPort=2181", "clientPort=2181: not a setting of an ensemble; allowed: server.N"),
        ("server.1=a:1:2\nversion=x", "version=x: no version; allowed: a hexadecimal number"),
        ("server.1=a:1:2\ngroup.x=1", "group.x=1: no group number"),
        ("server.1=a:1:2\ngroup.1=1:y", "group.1=1:y: `y` is no server number"),
        ("server.1=a:1:2\ngroup.1=1:2", "group.1=1:2: server 2 is not listed by a line server.N"),
        ("server.1=a:1:2\ngroup.1=1\ngroup.2=1", "group.2=1: server 1 is in two groups; allowed: one"),
        ("server.1=a:1:2\ngroup.1=1\nweight.1=-1", "weight.1=-1: no weight; allowed: 0 to 2147483647"),
        ("server.1=a:1:2\ngroup.1=1\nweight.2=1", "weight.2: server 2 is not listed by a line server.N"),
        ("server.1=a:1:2\nweight.1=1", "server 1 is in no group; where there are groups or weights, every"),
        (
            "server.1=a:1:2\nserver.2=b:1:2:observer\ngroup.1=1:2",
            "group.1=1:2: server 2 is an observer; take it out of the group, or give it a weight",
        ),
    ] {
        let fault = Config::parse(text).expect_err(text).to_string();
        assert!(fault.starts_with(problem), "{text}: {fault}");
    }
    let long = format!("#{}", "x".repeat(ENSEMBLE_TEXT_BYTES_MAX));
    assert!(Config::parse(&long).expect_err("too long").to_string().contains("allowed: 524224"));
    let twice = ["h:1:2", "h:3:4"].map(|text| Member::parse(ServerId(7), text).expect("a member"));
    assert_eq!(Config::new(twice, 0).expect_err("twice").to_string(), "server 7 is listed twice");
}

#[test]
fn keys_are_read_as_java_reads_them() {
    let config = Config::parse("#old\nserver.1 : a:1:2\nserver.2 a:3:4\nserver.1=b\\:5\\:6;7\nversion=1F")
        .expect("a configuration");
    let expected = "server.1=b:5:6:participant;0.0.0.0:7\nserver.2=a:3:4:participant\nversion=1f";
    assert_eq!(config.to_string(), expected);
    assert_eq!(config.at_version(-1).to_string().rsplit('=').next(), Some("ffffffffffffffff"));
}

#[test]
fn java_order_is_that_of_its_table() {
    assert_eq!(java_order([10, 3, 17, 2, 1].into_iter()), [1, 17, 2, 3, 10]);
    assert_eq!(java_order(0..12), (0..12).collect::<Vec<_>>());
    // The thirteenth key doubles the table.
    assert_eq!(java_order((1..=12).chain([17])).last(), Some(&17));
    assert_eq!(java_order([32, 1, 0].into_iter()), [0, 32, 1]);
}

#[test]
fn random_configurations_come_back_and_damage_panics_nowhere() {
    let mut prng = Prng::new(3);
    for _ in 0..300 {
        let count = 1 + prng.below(30) as i64;
        let mut text = String::new();
        for id in 0..count {
            let role = if id == 0 || prng.chance(2, 3) { "participant" } else { "observer" };
            let client = if prng.chance(1, 2) { ";[::1]:7" } else { "" };
            let more = if prng.chance(1, 4) { "|[fe80::1]:9:10" } else { "" };
            text += &format!("server.{id}=h{}:1:2{more}:{role}{client}\n", prng.below(5));
        }
        if prng.chance(1, 2) {
            for group in 0..3 {
                let ids: Vec<String> =
                    (0..count).filter(|id| id % 3 == group).map(|id| id.to_string()).collect();
                if !ids.is_empty() {
                    text += &format!("group.{group}={}\n", ids.join(":"));
                }
            }
            for id in 0..count {
                text += &format!("weight.{id}={}\n", prng.below(3));
            }
        }
        text += &format!("version={:x}", prng.next());
        // Versions are what Java prints, negative ones as their bits; it can't read those back, and neither can this.
        if let Ok(config) = Config::parse(&text) {
            assert!(config.version() >= 0);
            assert_eq!(Config::parse(&config.to_string()).as_ref(), Ok(&config), "{text}");
            let from_file = Config::parse(&config.file_text()).expect("its own lines");
            assert!(from_file.has_same_content(&config));
        } else {
            assert!(text.contains("version=8") || text.as_bytes()[text.len() - 16] > b'7', "{text}");
        }
        let mut damaged = text.into_bytes();
        for _ in 0..3 {
            let at = prng.below(damaged.len() as u64) as usize;
            damaged[at] = b"=:;|[]\\\n0a.#"[prng.below(12) as usize];
        }
        let _ = Config::parse(&String::from_utf8_lossy(&damaged));
    }
}
