//! A running ensemble of Apache's servers becomes one of ours, server by server, and goes back; clients that hold locks,
//! ephemeral znodes and watches notice nothing but reconnections.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::doctor::{assert_says, doctor};
use crate::history::{History, Load};
use crate::java::Compiled;
use crate::mixed::{assert_no_mismatch, java, prepare_with};
use crate::program::{Program, installed, source};
use crate::support::client::PERSISTENT;
use crate::support::{Client, Ensemble, Server};

const WRITERS: usize = 4;
const SOME: u64 = 30;
/// A session of the programs' must outlive a swap.
pub const LONGEST_SESSION_MS: u32 = 60_000;

/// Runs `ringkeeper snapshot WORD` on the directory of a server that is stopped. What comes of it takes the directory's place,
/// which is kept under another name. Gives what was printed.
pub fn convert(server: &Server, word: &str) -> String {
    let (from, to) = (server.data_dir(), server.file("converted"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
    command.args(["snapshot", word]).arg(from).arg("--to").arg(&to);
    let out = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "{word}: {}\n{said}", out.status);
    let kept = free_name(server, word);
    fs::rename(from, kept).and_then(|()| fs::rename(&to, from)).expect("the same disk");
    said
}

/// From its next start on it is of the kind that this makes directories for.
pub fn become_kind(server: &mut Server, word: &str) {
    match word {
        "import" => server.become_ringkeeper(),
        _ => server.become_command(&java()),
    }
}

fn free_name(server: &Server, word: &str) -> PathBuf {
    let names = (0..).map(|number| server.file(&format!("before-{word}-{number}")));
    names.into_iter().find(|name| !name.exists()).expect("endless")
}

/// Programs that hold something all along.
struct Holders {
    programs: Vec<Program>,
    round: u32,
}

impl Holders {
    fn start(ensemble: &Ensemble) -> Holders {
        let server = &ensemble.servers[0];
        let mut client = Client::connect(server);
        for path in ["/migration", "/migration/data", "/migration/children"] {
            client.create(path, b"0", PERSISTENT);
        }
        client.close();
        let hosts: Vec<String> = ensemble.servers.iter().map(|server| server.address().to_string()).collect();
        let hosts = hosts.join(",");
        let mut kazoo = Command::new(installed("venv/bin/python"));
        kazoo.arg(source("kazoo/migration.py")).arg(&hosts).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut curator = Compiled::new(server, "curator").run(server, "Migration");
        curator.arg(&hosts);
        let programs =
            vec![Program::start(server, "kazoo", kazoo), Program::start(server, "curator", curator)];
        let mut holders = Holders { programs, round: 0 };
        holders.await_all("armed 0");
        holders
    }

    fn await_all(&mut self, text: &str) {
        for program in &mut self.programs {
            program.prints(&format!("{text}\n"));
        }
    }

    fn tell_all(&mut self, line: &str) {
        for program in &mut self.programs {
            program.send(line);
        }
    }

    /// They hold what they held, no watch has fired, and both fire for what is changed at this server.
    fn look(&mut self, server: &Server) {
        self.round += 1;
        let round = self.round;
        self.tell_all(&format!("look {round}"));
        for program in &mut self.programs {
            program.prints(&format!("quiet {round}, "));
        }
        let mut client = Client::connect(server);
        client.set_data("/migration/data", round.to_string().as_bytes(), -1).expect("there");
        client.create(&format!("/migration/children/c{round}"), b"", PERSISTENT);
        client.close();
        self.tell_all(&format!("changed {round}"));
        self.await_all(&format!("armed {round}"));
    }

    /// Who waited for a lock all along gets it. What each printed.
    fn end(mut self) -> Vec<String> {
        self.tell_all("end");
        self.programs.into_iter().map(Program::finish).collect()
    }
}

/// Followers first, the leader last.
fn order(leader: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    order.push(leader);
    order
}

fn start_load(ensemble: &Ensemble, rounds: &mut u32) -> Load {
    *rounds += 1;
    Load::start(ensemble, *rounds, WRITERS)
}

fn stop(server: &mut Server, how: &str) {
    if how == "KILL" {
        return server.kill();
    }
    server.signal(how);
    server.wait_for_exit();
}

/// The server is stopped: its directory is converted, and the other kind starts on that under the same number.
fn replace(server: &mut Server, word: &str) {
    let begun = Instant::now();
    let said = convert(server, word);
    become_kind(server, word);
    server.restart();
    println!("after {:?}: {said}", begun.elapsed());
}

/// What is done below is what `ringkeeper doctor` says, in its order.
fn consult(ensemble: &Ensemble, order: &[usize]) {
    let names: Vec<String> = order.iter().map(|at| format!("server.{}", at + 1)).collect();
    let (code, said) = doctor(ensemble, order[0]);
    assert_eq!(code, 1, "nothing is started on Apache's data: {said}");
    let first = format!("a quorum serves without {}", names[0]);
    let moving = format!("Moving over, the leader last: {}", names.join(", "));
    let data = ensemble.servers[order[0]].data_dir().display();
    let import = format!("ringkeeper snapshot import {data} --to NEWDIR");
    assert_says(
        &said,
        &["holds an Apache ZooKeeper server's data, and none of ringkeeper's", &first, &moving, &import],
    );
}

fn assert_kept(server: &Server) {
    let output = server.output();
    assert!(!output.contains("panicked"), "{output}");
}

#[test]
fn an_ensemble_goes_over_and_back_and_its_clients_notice_only_reconnections() {
    let mut ensemble =
        prepare_with(3, 0, &[1, 2, 3], |config| config.set("maxSessionTimeout", LONGEST_SESSION_MS));
    ensemble.launch_all();
    let leader = ensemble.settle();
    consult(&ensemble, &order(leader));
    let mut holders = Holders::start(&ensemble);
    let (mut history, mut rounds) = (History::default(), 0);
    for word in ["import", "export"] {
        let leader = ensemble.settle();
        // An orderly end, and those that a crash leaves.
        for (at, how) in order(leader).into_iter().zip(["TERM", "KILL", "KILL"]) {
            let mut load = Some(start_load(&ensemble, &mut rounds));
            load.iter().for_each(|load| load.go_on(SOME));
            stop(&mut ensemble.servers[at], how);
            load.iter().for_each(|load| load.go_on(SOME));
            if word == "export" && at == leader {
                // From here on Apache's lead their own kind: see `synchronisation` about their snapshots under load.
                load.take().into_iter().for_each(|load| history.check(&mut ensemble, load));
            }
            replace(&mut ensemble.servers[at], word);
            ensemble.settle();
            holders.look(&ensemble.servers[at]);
            let load = load.unwrap_or_else(|| start_load(&ensemble, &mut rounds));
            load.go_on(SOME);
            history.check(&mut ensemble, load);
            assert_no_mismatch(&ensemble.servers);
        }
        ensemble.servers.iter().for_each(assert_kept);
    }
    for said in holders.end() {
        println!("{said}");
    }
    ensemble.assert_equal();
}
