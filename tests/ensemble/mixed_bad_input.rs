//! What operators get wrong while they move over: each is told by one line that says what, and nothing is lost.

use std::fs;

use crate::history::{History, Load};
use crate::migration::convert;
use crate::mixed::{java, prepare};
use crate::support::client::PERSISTENT;
use crate::support::server::{folder, free_port};
use crate::support::{Client, Config, Ensemble, Server, until};

const OURS: usize = 2;
const SOME: u64 = 20;

fn await_word(server: &Server, words: &str) {
    until(words, || server.output().contains(words).then_some(()));
}

/// The server's lines of the ensemble, for one more server.
fn members(ensemble: &Ensemble) -> Config {
    let mut config = Config::default().set("initLimit", 20).set("syncLimit", 4);
    for (at, (quorum, election)) in ensemble.quorum_ports.iter().zip(&ensemble.election_ports).enumerate() {
        config = config.set(&format!("server.{}", at + 1), format!("127.0.0.1:{quorum}:{election}"));
    }
    config
}

#[test]
fn other_server_lines_and_a_second_server_of_the_same_id_are_told() {
    let mut ensemble = prepare(3, 0, &[1, 2]);
    let file = ensemble.servers[OURS].file("zoo.cfg");
    let text = fs::read_to_string(&file).expect("it was written");
    fs::write(&file, format!("{text}server.4=127.0.0.1:{}:{}\n", free_port(), free_port())).expect("room");
    ensemble.launch_all();
    ensemble.settle();
    await_word(&ensemble.servers[OURS], "voters 1,2,3 there and 1,2,3,4 here");
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, 2);
    load.go_on(SOME);

    let second = folder("second");
    fs::write(second.join("myid"), "3\n").expect("room");
    let command = [env!("CARGO_BIN_EXE_ringkeeper"), "server"];
    let (status, said) = members(&ensemble).data_dir(&second).command(&command).start_in_vain();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{}", ensemble.quorum_ports[OURS])), "{said}");
    load.go_on(SOME);
    history.check(&mut ensemble, load);
}

/// ZooKeeper's ensembles have no names: what another one's member has is given up for what the leader has, and stays where it was
/// imported from.
#[test]
fn a_member_of_another_cluster_becomes_what_its_leader_is() {
    let command = java();
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut other = Config::default().command(&words).start();
    let mut client = Client::connect(&other);
    for number in 0..100 {
        client.create(&format!("/other-{number}"), b"", PERSISTENT);
    }
    client.close();
    other.kill();
    let mut ensemble = prepare(3, 0, &[1, 2, 3]);
    ensemble.launch_all();
    ensemble.settle();
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, 2);
    load.go_on(SOME);
    ensemble.servers[OURS].kill();
    convert(&other, "import");
    let place = ensemble.servers[OURS].data_dir().to_owned();
    fs::rename(&place, ensemble.servers[OURS].file("own")).expect("the same disk");
    fs::rename(other.data_dir(), &place).expect("the same disk");
    fs::write(place.join("myid"), "3\n").expect("room");
    ensemble.servers[OURS].become_ringkeeper();
    ensemble.servers[OURS].restart();
    await_word(&ensemble.servers[OURS], "the leader sends a snapshot");
    load.go_on(SOME);
    history.check(&mut ensemble, load);
}
