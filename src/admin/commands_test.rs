//! Answers of the admin port: what a member says, and what is said where there is no server to ask.

use std::time::Duration;

use super::super::ensemble_commands::host_of;
use super::super::{
    About, ClientMetrics, DirectoryFacts, ProcessFacts, SessionFacts, StoreMetrics, WatchCounts,
};
use super::super::{EnsembleFacts, MemberFacts};
use super::super::{LearnerFacts, SnapshotFacts, TRACE_MASK_DEFAULT};
use super::*;
use crate::base::{Instant, SessionId};
use crate::config::{Config, Raw};

/// Owns what [`Facts`] borrows: server 2 of three voters and an observer, which leads.
struct Member {
    about: About,
    config: Config,
    server: Option<ServerFacts>,
    ensemble: EnsembleFacts,
    clients: ClientMetrics,
    store: StoreMetrics,
    sessions: SessionFacts,
}

fn member(id: i64, votes: bool) -> MemberFacts {
    MemberFacts {
        id,
        votes,
        quorum: vec![format!("zoo{id}:2888")],
        election: vec![format!("zoo{id}:3888")],
        client: None,
    }
}

impl Member {
    fn leader() -> Member {
        let content = b"dataDir=/zk\nclientPort=2181\nclientPortAddress=10.0.0.2\n";
        let config = Raw::parse("zoo.cfg", content).check(|_| None, &|path| panic!("{path:?}")).unwrap().0;
        let learner =
            |id, votes, is_synced| LearnerFacts { id, votes, is_synced, acked: Zxid(0x1_0000_0007) };
        Member {
            about: About {
                built: "2026-07-17 17:37 UTC".to_owned(),
                environment: vec![("os.name", "Linux".to_owned())],
            },
            config,
            server: Some(ServerFacts {
                mode: Mode::Leader,
                client_port: 2181,
                server_id: 2,
                last_zxid: Zxid(0x1_0000_0008),
                connections_count: 0,
                outstanding_requests: 0,
                nodes_count: 5,
                watches_count: 0,
                ephemerals_count: 0,
                approximate_data_size: 0,
                sessions_count: 1,
                local_sessions_count: 0,
                uptime: Duration::from_secs(9),
                open_files_count: 9,
                open_files_max: 1024,
            }),
            ensemble: EnsembleFacts {
                me: 2,
                peer_state: "leading",
                zab_state: "broadcast",
                leader: Some(2),
                members: vec![member(1, true), member(2, true), member(3, true), member(4, false)],
                learners: vec![learner(1, true, true), learner(3, true, false), learner(4, false, true)],
                ..EnsembleFacts::default()
            },
            clients: ClientMetrics::default(),
            store: StoreMetrics::default(),
            sessions: SessionFacts {
                expiries: vec![(WallMillis(1_000_500), vec![SessionId(16), SessionId(17)])],
                ephemerals: vec![],
                connection_expiries: vec![],
            },
        }
    }

    fn says(&self, name: &str, arguments: &[(&str, &str)]) -> Value {
        let facts = Facts {
            about: &self.about,
            config: &self.config,
            server: self.server,
            clients: &self.clients,
            store: &self.store,
            connections: &[],
            directories: DirectoryFacts::default(),
            ensemble: Some(&self.ensemble),
            last_snapshot: Some(SnapshotFacts { zxid: Zxid(0x1f), written: 1_795_170_741 }),
            process: &ProcessFacts {
                now: Instant(7_000_000_000),
                wall: WallMillis(1_000_000),
                ..ProcessFacts::default()
            },
            watch_counts: WatchCounts::default(),
            watches: &[],
            sessions: &self.sessions,
            digests: &[(Zxid(128), -5)],
            trace_mask: TRACE_MASK_DEFAULT,
        };
        let arguments: Vec<(String, String)> =
            arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let answer = run(AdminCommand::find(name).unwrap(), &arguments, &facts);
        assert!([200, 503].contains(&answer.status), "{name}: {}", answer.status);
        answer.body
    }
}

#[test]
fn what_a_leader_says() {
    let leader = Member::leader();
    let cases = [
        (
            "lead",
            json!({ "is_leader": true, "leader_id": 2, "leader_ip": "zoo2", "command": "leader", "error": null }),
        ),
        (
            "obsr",
            json!({
                "synced_observers": 1,
                "observers": [{ "sid": 4, "last_zxid": 0x1_0000_0007i64 }],
                "command": "observers",
                "error": null,
            }),
        ),
        (
            "lsnp",
            json!({ "zxid": "1f", "timestamp": 1_795_170_741, "command": "last_snapshot", "error": null }),
        ),
        (
            "hash",
            json!({
                "digests": [{ "zxid": 128, "digest": -5, "digest_version": 2 }],
                "command": "hash",
                "error": null,
            }),
        ),
        ("icfg", json!({ "initial_configuration": null, "command": "initial_configuration", "error": null })),
        (
            "dump",
            json!({
                "expiry_time_to_session_ids": { "7500": [16, 17] },
                "session_id_to_ephemeral_paths": {},
                "command": "dump",
                "error": null,
            }),
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(leader.says(name, &[]), expected, "{name}");
    }
    let stats = leader.says("srvr", &[]);
    assert_eq!(stats["proposal_stats"]["last_buffer_size"], -1);
    let monitor = leader.says("mntr", &[]);
    for (name, expected) in [
        ("peer_state", json!("leading - broadcast")),
        ("quorum_size", json!(3)),
        ("learners", json!(3)),
        ("synced_followers", json!(1)),
        ("synced_observers", json!(1)),
    ] {
        assert_eq!(monitor[name], expected, "{name}");
    }
}

#[test]
fn where_a_member_stands() {
    let mut leader = Member::leader();
    let state = leader.says("zabstate", &[]);
    for (name, expected) in [
        ("myid", json!(2)),
        ("is_leader", json!(true)),
        ("client_address", json!("10.0.0.2:2181")),
        ("voting", json!(true)),
        ("last_zxid", json!("0x100000008")),
        ("zab_epoch", json!(1)),
        ("zab_counter", json!(8)),
        ("zabstate", json!("broadcast")),
    ] {
        assert_eq!(state[name], expected, "{name}");
    }
    assert_eq!(state["quorum_address"]["all_host_strings"], json!(["zoo2"]));
    let view = leader.says("voting_view", &[]);
    assert_eq!(view["current_config"]["2"]["client_address"], "10.0.0.2:2181");
    assert_eq!(view["current_config"]["3"]["client_address"], "");
    assert_eq!(view["current_config"].as_object().map(Map::len), Some(3), "an observer is no voter");
    // Without a leader nobody is served, and reads may be.
    leader.server = None;
    assert_eq!(
        leader.says("zabstate", &[]),
        json!({ "voting": false, "zabstate": "", "command": "zabstate", "error": null })
    );
    leader.server = Member::leader().server.map(|server| ServerFacts { mode: Mode::ReadOnly, ..server });
    assert_eq!(leader.says("lead", &[])["error"], "server is not initialized");
    assert_eq!(leader.says("isro", &[])["read_only"], true);
    assert_eq!(leader.says("voting_view", &[])["current_config"], json!({}));
}

#[test]
fn without_a_server_behind_the_port() {
    let member = Member { server: None, ..Member::leader() };
    for command in AdminCommand::all() {
        let answer = member.says(command.name(), &[("traceMask", "7")]);
        let error = match command {
            Environment | GetTraceMask | LogLevel | SetTraceMask | SystemProperties | ZabState => Value::Null,
            _ => json!("This ZooKeeper instance is not currently serving requests"),
        };
        assert_eq!(answer["error"], error, "{}", command.name());
        assert_eq!(answer["command"], command.name());
    }
}

#[test]
fn every_answer_ends_with_the_command_and_its_error() {
    let leader = Member::leader();
    for command in AdminCommand::all().filter(|&command| command != SetTraceMask) {
        let answer = leader.says(command.name(), &[]);
        let fields: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(fields[fields.len() - 2..], ["command", "error"], "{}", command.name());
    }
}

#[test]
fn trace_masks() {
    let leader = Member::leader();
    assert_eq!(leader.says("stmk", &[("traceMask", "-3")])["tracemask"], -3);
    for (arguments, expected) in [
        (vec![], "setTraceMask requires long traceMask argument"),
        (vec![("traceMask", "x")], "setTraceMask requires long traceMask argument, got x"),
    ] {
        let answer = leader.says("stmk", &arguments);
        assert_eq!(answer["error"], expected);
        // An error of the command's own comes first, as in ZooKeeper.
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["error", "command"]);
    }
}

#[test]
fn names_are_each_one_commands() {
    let mut names: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    for name in &names {
        assert!(AdminCommand::find(name).is_some());
    }
    let before = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), before);
    let primary: Vec<&str> = AdminCommand::all().map(AdminCommand::name).collect();
    assert!(primary.is_sorted(), "{primary:?}");
    assert_eq!(AdminCommand::find("nosuch"), None);
}

#[test]
fn hosts_of_addresses() {
    for (address, expected) in [("zoo1:2888", "zoo1"), ("[::1]:2888", "::1"), ("10.0.0.1:1", "10.0.0.1")] {
        assert_eq!(host_of(address), expected);
    }
}
