//! What follows from what servers say.

use std::fs;
use std::path::Path;

use super::*;
use crate::cli::apache::testing::Scratch;
use crate::config::Raw;

fn serves(mode: &str, version: &str) -> State {
    parsed(&format!(
        "Zookeeper version: {version}, built on 2026-01-28\nLatency min/avg/max: 0/0/0\nZxid: 0x5\nMode: {mode}\n"
    ))
}

const APACHES: &str = "3.8.6-6df26081269769c160c8c3a24929c60c91cd19c3";
const OURS: &str = "3.9.5-ringkeeper-0.1.0";

/// Server 2 of three; `states` of 1, 2, 3.
fn judged(states: [State; 3]) -> Vec<Finding> {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("myid"), "2").expect("room");
    let lines = "initLimit=5\nsyncLimit=2\nclientPort=2181\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";
    let text = format!("dataDir={}\n{lines}", scratch.path().display());
    let config = Raw::parse("zoo.cfg", text.as_bytes())
        .check(|_| None, &|path: &Path| fs::read(path))
        .expect("sound")
        .0;
    let answer = |(id, state)| Answer {
        id: Some(ServerId(id)),
        address: "h:2181".to_owned(),
        is_me: id == 2,
        reached: None,
        state,
    };
    judge(&config, &(1..).zip(states).map(answer).collect::<Vec<_>>())
}

/// Two lines without client ports name one host: its one server was asked twice.
#[test]
fn one_server_counts_once() {
    let answer = |id, port| Answer {
        id: Some(ServerId(id)),
        address: "b:2181".to_owned(),
        is_me: id == 1,
        reached: Some(SocketAddr::from(([10, 0, 0, 1], port))),
        state: serves("follower", OURS),
    };
    let mut answers = vec![answer(1, 1), answer(2, 2), answer(3, 2), answer(4, 4)];
    forget_doubles(&mut answers);
    let dark: Vec<bool> = answers.iter().map(Answer::is_dark).collect();
    assert_eq!(dark, [false, true, true, false]);
    let mut alias = vec![answer(1, 1), answer(2, 1)];
    forget_doubles(&mut alias);
    assert!(!alias[0].is_dark() && alias[1].is_dark(), "this one is who it is");
}

fn has(findings: &[Finding], level: Level, text: &str) -> bool {
    findings.iter().any(|finding| finding.level == level && finding.what.contains(text))
}

fn absent() -> State {
    State::Absent { error: "refused".to_owned(), is_refused: true }
}

#[test]
fn a_server_may_be_stopped_while_a_quorum_is_left_without_it() {
    let all = judged([serves("leader", OURS), serves("follower", OURS), serves("follower", OURS)]);
    assert!(has(&all, Level::Fine, "a quorum serves without server.2"), "{all:?}");
    let two = judged([serves("leader", OURS), serves("follower", OURS), absent()]);
    assert!(has(&two, Level::Warning, "without server.2 there would be no quorum"), "{two:?}");
    let stopped = judged([serves("leader", OURS), absent(), serves("follower", OURS)]);
    assert!(has(&stopped, Level::Fine, "a quorum serves without server.2"), "{stopped:?}");
    assert!(has(&stopped, Level::Note, "not running; its port is free"), "{stopped:?}");
}

#[test]
fn what_cannot_be_is_wrong() {
    let two = judged([serves("leader", OURS), serves("follower", OURS), serves("leader", OURS)]);
    assert!(has(&two, Level::Wrong, "server.1 and server.3 all say that they lead"), "{two:?}");
    let lone = judged([serves("standalone", APACHES), absent(), absent()]);
    assert!(has(&lone, Level::Wrong, "runs standalone"), "{lone:?}");
    for all in [&two, &lone] {
        assert!(!has(all, Level::Fine, "may be stopped"), "{all:?}");
    }
    let other = judged([absent(), parsed("HTTP/1.1 400 Bad Request\r\n"), absent()]);
    assert!(has(&other, Level::Wrong, "answers srvr with: HTTP/1.1 400"), "{other:?}");
}

#[test]
fn moving_over_ends_with_the_leader() {
    let theirs = judged([serves("leader", APACHES), serves("follower", OURS), serves("follower", APACHES)]);
    assert!(has(
        &theirs,
        Level::Note,
        "2 of 3 servers are Apache ZooKeeper's. Moving over, the leader last: server.3, server.1"
    ));
    let ours = judged([serves("leader", OURS), absent(), serves("follower", OURS)]);
    assert!(!ours.iter().any(|finding| finding.what.contains("Moving over")));
}

#[test]
fn who_cannot_tell_is_told_as_that() {
    let unknown = judged([
        parsed("srvr is not executed because it is not in the whitelist.\n"),
        absent(),
        parsed("This ZooKeeper instance is not currently serving requests\n"),
    ]);
    assert!(has(&unknown, Level::Note, "not in its 4lw.commands.whitelist"), "{unknown:?}");
    assert!(has(&unknown, Level::Warning, "runs, and is in no quorum"), "{unknown:?}");
    assert!(has(&unknown, Level::Note, "whether a quorum serves isn't known"), "{unknown:?}");
    let idle = parsed("This ZooKeeper instance is not currently serving requests\n");
    let nobody = judged([absent(), absent(), idle]);
    assert!(has(&nobody, Level::Note, "nobody leads"), "{nobody:?}");
    for dark in [State::Unasked, parsed("srvr is not executed because it is not in the whitelist.\n")] {
        let led = judged([dark.clone(), serves("leader", OURS), dark]);
        assert!(has(&led, Level::Warning, "whether a quorum serves without server.2 isn't known"), "{led:?}");
    }
    let beside = judged([State::Unasked, absent(), State::Unasked]);
    assert!(has(&beside, Level::Note, "whether a quorum serves isn't known"), "{beside:?}");
}

#[test]
fn a_line_without_a_client_port_has_that_of_this_server() {
    let line = |text| Member::parse(ServerId(1), text).expect("a line");
    assert_eq!(address_of(&line("zoo1:1:2"), 2181), "zoo1:2181");
    assert_eq!(address_of(&line("zoo1:1:2;2182"), 2181), "zoo1:2182");
    assert_eq!(address_of(&line("zoo1:1:2;10.0.0.9:2182"), 2181), "10.0.0.9:2182");
    assert_eq!(address_of(&line("[::1]:1:2"), 2181), "[::1]:2181");
    assert_eq!(address_of(&line("zoo1:1:2;[::]:2182"), 2181), "zoo1:2182");
}

#[test]
fn an_address_of_its_own_host_only_is_not_asked_here() {
    let is_asked = |text| is_elsewhere(&Member::parse(ServerId(1), text).expect("a line"), &["zoo2"]);
    assert!(is_asked("zoo1:1:2") && is_asked("zoo1:1:2;2181") && is_asked("127.0.0.1:1:2;127.0.0.1:2181"));
    assert!(!is_asked("zoo1:1:2;127.0.0.1:2181") && !is_asked("zoo2:1:2"));
}
