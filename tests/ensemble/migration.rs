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

/// What is done below is what `ringkeeper doctor` says, in its order. Asked of the server that is next; `theirs`: who is
/// Apache's, the one that leads last.
fn consult(ensemble: &Ensemble, at: usize, word: &str, theirs: &[usize]) {
    let (code, said) = doctor(ensemble, at);
    let data = ensemble.servers[at].data_dir().display();
    let may_stop = format!("a quorum serves without {}: it may be stopped", name(at));
    assert_says(&said, &[&may_stop]);
    match word {
        "import" => {
            assert_eq!(code, 1, "nothing is started on Apache's data: {said}");
            let import = format!("ringkeeper snapshot import {data} --to NEWDIR");
            assert_says(
                &said,
                &["holds an Apache ZooKeeper server's data, and none of ringkeeper's", &import],
            );
        }
        _ => {
            assert_eq!(code, 0, "it runs on that: {said}");
            assert_says(&said, &[&format!("{data}: data of ringkeeper")]);
        }
    }
    let order: Vec<String> = theirs.iter().map(|at| name(*at)).collect();
    let moving = format!(
        "{} of 3 servers are Apache ZooKeeper's. Moving over, the leader last: {}",
        theirs.len(),
        order.join(", ")
    );
    if theirs.is_empty() {
        assert!(!said.contains("Moving over"), "there is nothing to move: {said}");
    } else {
        assert_says(&said, &[&moving, "ringkeeper snapshot export DATADIR --to NEWDIR"]);
    }
}

/// One is stopped: nobody else may be, and it may not come back with nothing.
fn consult_without(ensemble: &Ensemble, stopped: usize) {
    for other in (0..3).filter(|other| *other != stopped) {
        let (_, said) = doctor(ensemble, other);
        let alone =
            format!("without {} there would be no quorum: who stops it stops the ensemble", name(other));
        assert_says(&said, &[&alone, "First bring back those that don't serve."]);
    }
    let data = ensemble.servers[stopped].data_dir();
    let aside = ensemble.servers[stopped].file("aside");
    fs::rename(data, &aside).and_then(|()| fs::create_dir(data)).expect("the same disk");
    fs::copy(aside.join("myid"), data.join("myid")).expect("it has one");
    let (_, said) = doctor(ensemble, stopped);
    let votes = format!("nothing, and {} votes. Never start a voter with less than it had", name(stopped));
    let import = "If its data are anywhere, bring them here first";
    assert_says(
        &said,
        &["not running; its port is free", &votes, import, "Stop none of them until `srvr` says follower"],
    );
    fs::remove_dir_all(data).and_then(|()| fs::rename(&aside, data)).expect("the same disk");
}

fn name(at: usize) -> String {
    format!("server.{}", at + 1)
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
    assert_eq!(order(leader)[2], leader);
    let mut holders = Holders::start(&ensemble);
    let (mut history, mut rounds) = (History::default(), 0);
    for word in ["import", "export"] {
        let leader = ensemble.settle();
        // An orderly end, and those that a crash leaves.
        // Those that are Apache's, in the order in which the doctor names them.
        let mut theirs = if word == "import" { order(leader) } else { vec![] };
        for (at, how) in order(leader).into_iter().zip(["TERM", "KILL", "KILL"]) {
            consult(&ensemble, at, word, &theirs);
            let mut load = Some(start_load(&ensemble, &mut rounds));
            load.iter().for_each(|load| load.go_on(SOME));
            stop(&mut ensemble.servers[at], how);
            ensemble.settle();
            consult_without(&ensemble, at);
            load.iter().for_each(|load| load.go_on(SOME));
            match word {
                "import" => theirs.retain(|other| *other != at),
                _ => theirs.push(at),
            }
            theirs.sort_by_key(|other| (*other == leader, *other));
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
