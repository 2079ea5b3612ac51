//! `ringkeeper doctor` beside real servers.

use std::fs;
use std::process::Command;

use crate::support::{Ensemble, Server};

/// What it says of this server and its ensemble, and its exit code.
pub fn doctor(ensemble: &Ensemble, at: usize) -> (i32, String) {
    let server = &ensemble.servers[at];
    let text = fs::read_to_string(server.file("zoo.cfg")).expect("a configuration");
    // On one host each has a port of its own, which the lines of these tests don't name.
    let with_port = |line: &str| {
        let id = line.strip_prefix("server.").and_then(|rest| rest.split('=').next()?.parse::<usize>().ok());
        match id {
            Some(id) if !line.contains(';') => format!("{line};{}", ensemble.servers[id - 1].address()),
            _ => line.to_owned(),
        }
    };
    let file = server.file("doctor.cfg");
    fs::write(&file, text.lines().map(with_port).collect::<Vec<_>>().join("\n")).expect("room");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
    let out = command.arg("doctor").arg(&file).output().expect("it runs");
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    (out.status.code().expect("it ends by itself"), said)
}

pub fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
}

fn name(server: usize) -> String {
    format!("server.{}", server + 1)
}

fn empty(server: &Server) {
    fs::remove_dir_all(server.data_dir().join("ringkeeper-1")).expect("it had data");
}

#[test]
fn it_says_who_may_be_stopped_and_what_an_empty_voter_is() {
    let mut ensemble = Ensemble::start(3, 0);
    let leader = ensemble.settle();
    let follower = ensemble.follower(leader);
    let (code, said) = doctor(&ensemble, follower);
    let may_stop = format!("a quorum serves without {}", name(follower));
    assert_eq!(code, 0, "{said}");
    assert_says(&said, &["data of ringkeeper", "leader, 3.9.5-ringkeeper-", &may_stop, "0 wrong"]);

    let third = 3 - leader - follower;
    ensemble.servers[third].kill();
    let (_, said) = doctor(&ensemble, follower);
    assert_says(&said, &[&format!("without {} there would be no quorum", name(follower))]);

    empty(&ensemble.servers[third]);
    let (_, said) = doctor(&ensemble, third);
    let votes = format!("nothing, and {} votes. Never start a voter with less than it had", name(third));
    assert_says(
        &said,
        &["not running; its port is free", &votes, "Stop none of them until `srvr` says follower"],
    );
    // As it says there.
    ensemble.servers[third].restart();
    ensemble.settle();
    let (code, said) = doctor(&ensemble, third);
    assert_eq!(code, 0, "{said}");
    assert_says(&said, &["(this one): follower", "data of ringkeeper", "0 wrong"]);
}

#[test]
fn a_configuration_that_cannot_be_carried_out_is_told_as_the_server_tells_it() {
    let ensemble = Ensemble::prepare(1, 0, |_, config| config);
    let file = ensemble.servers[0].file("broken.cfg");
    fs::write(&file, "dataDir=/nowhere\nclientPort=many\n").expect("room");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
    let out = command.arg("doctor").arg(&file).output().expect("it runs");
    assert_eq!(out.status.code(), Some(2));
    assert_says(&String::from_utf8_lossy(&out.stderr), &["broken.cfg:2: clientPort=many"]);
}

/// Beside a server that runs there.
#[test]
fn the_logs_disk_is_measured_if_that_is_asked_for_and_nothing_is_left_there() {
    const MEASURED: &str = "a write of the log and its sync take ";
    let server = Server::start();
    let ask = |options: &[&str], exit_code: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
        let out = command.arg("doctor").args(options).arg(server.file("zoo.cfg")).output().expect("it runs");
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert_eq!(out.status.code(), Some(exit_code), "{said}");
        said
    };
    let said = ask(&[], 0);
    assert!(!said.contains(MEASURED), "{said}");
    assert_says(&ask(&["--measure"], 0), &[MEASURED, " in a row, ", "; p99 "]);
    // Which is wrong in itself.
    let said = ask(&["--measure", "-Dzookeeper.forceSync=no"], 1);
    assert_says(&said, &["no sync was measured: with forceSync=no"]);
    for place in [server.data_dir().to_owned(), server.data_dir().join("ringkeeper-1")] {
        for entry in fs::read_dir(&place).expect("it is there") {
            let name = entry.expect("it is there").file_name().into_string().expect("of a server");
            assert!(!name.contains("doctor"), "{}: {name}", place.display());
        }
    }
}
