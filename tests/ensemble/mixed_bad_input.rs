//! What operators get wrong while they move over: each is told by one line that says what, and nothing is lost.

use std::fs;

use crate::history::{History, Load};
use crate::migration::convert;
use crate::mixed::{OURS_COMPLAINT, THEIRS_COMPLAINT, assert_no_mismatch, java, prepare};
use crate::support::client::PERSISTENT;
use crate::support::server::{folder, free_port};
use crate::support::{Client, Config, Ensemble, Server, until};

const OURS: usize = 2;
const SOME: u64 = 20;

fn said(server: &Server, words: &str) -> usize {
    server.output().matches(words).count()
}

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

/// A second server of id 3, alive at addresses of its own, which is told of the ensemble and, maybe, of the first one's address
/// under another id.
fn twin(ensemble: &Ensemble, is_java: bool, names_the_first: bool) -> Server {
    let place = folder("twin");
    fs::write(place.join("myid"), "3\n").expect("room");
    let mut config = members(ensemble)
        .set("server.3", format!("127.0.0.1:{}:{}", free_port(), free_port()))
        .data_dir(&place);
    if names_the_first {
        let (quorum, election) = (ensemble.quorum_ports[OURS], ensemble.election_ports[OURS]);
        config = config.set("server.4", format!("127.0.0.1:{quorum}:{election}"));
    }
    if is_java {
        let command = java();
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        config = config.command(&words);
    }
    config.prepare()
}

/// The leader sees two learners of one id come and go; the first one, if it is called, sees its own id.
#[test]
fn two_live_servers_of_one_id_are_told_and_the_others_go_on() {
    const LEADER: usize = 1;
    const TOLD_BY_LEADER: &str =
        "a server of this id is connected and answers: are two servers given the same myid?";
    const TOLD_BY_FIRST: &str =
        "it has this server's own id: are two servers given the same myid, or the same address?";
    let mut ensemble = prepare(3, 0, &[1]);
    for at in [0, LEADER] {
        ensemble.servers[at].spawn();
    }
    assert_eq!(ensemble.settle(), LEADER);
    ensemble.servers[OURS].restart();
    let mut history = History::default();
    let load = Load::start_at(&ensemble, 0, 2, &[0, LEADER]);
    load.go_on(SOME);
    for is_java in [true, false] {
        let before = said(&ensemble.servers[LEADER], TOLD_BY_LEADER);
        let mut twin = twin(&ensemble, is_java, false);
        twin.spawn();
        until("the leader to say that there are two", || {
            (said(&ensemble.servers[LEADER], TOLD_BY_LEADER) > before + 1).then_some(())
        });
        load.go_on(SOME);
        assert!(twin.is_running(), "{}", twin.output());
        twin.kill();

        let before = said(&ensemble.servers[OURS], TOLD_BY_FIRST);
        let mut twin = self::twin(&ensemble, is_java, true);
        twin.spawn();
        until("the first one to say that it is called by itself", || {
            (said(&ensemble.servers[OURS], TOLD_BY_FIRST) > before).then_some(())
        });
        load.go_on(SOME);
        twin.kill();
        assert_eq!(ensemble.settle(), LEADER, "it never lost its quorum");
    }
    history.check(&mut ensemble, load);
    assert_no_mismatch(&ensemble.servers);
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

/// The ensemble's third server comes back with what the last server of another ensemble had: `elections` epochs old, and with
/// more written.
fn change_places(ensemble: &mut Ensemble, is_java: bool, elections: usize) {
    let mut other = prepare(3, 0, if is_java { &[1, 2, 3] } else { &[] });
    for _ in 0..elections {
        other.servers.iter_mut().for_each(Server::kill);
        other.launch_all();
        other.settle();
    }
    let mut client = Client::connect(&other.servers[OURS]);
    for number in 0..400 {
        client.create(&format!("/foreign-{number}"), b"", PERSISTENT);
    }
    client.close();
    other.assert_equal();
    other.servers.iter_mut().for_each(Server::kill);
    ensemble.servers[OURS].kill();
    let place = ensemble.servers[OURS].data_dir().to_owned();
    fs::rename(&place, ensemble.servers[OURS].file("own")).expect("the same disk");
    fs::rename(other.servers[OURS].data_dir(), &place).expect("the same disk");
    if is_java {
        let command = java();
        ensemble.servers[OURS].become_command(&command);
    }
}

/// Two servers that serve, and a third that isn't started again yet.
fn with_a_foreign_third(java_ids: &[usize], foreign_is_java: bool, elections: usize) -> Ensemble {
    println!("Apache's: {java_ids:?}, the foreign one is Apache's: {foreign_is_java}");
    let mut ensemble = prepare(3, 0, java_ids);
    ensemble.launch_all();
    ensemble.settle();
    ensemble.assert_equal();
    change_places(&mut ensemble, foreign_is_java, elections);
    ensemble
}

/// With nothing but its number it is one.
fn becomes_a_member(ensemble: &mut Ensemble, mut history: History, load: Load) {
    ensemble.servers[OURS].kill();
    ensemble.wipe(OURS);
    ensemble.servers[OURS].restart();
    load.go_on(SOME);
    history.check(ensemble, load);
    nothing_foreign(ensemble, &[0, 1, 2]);
}

fn nothing_foreign(ensemble: &Ensemble, places: &[usize]) {
    for at in places {
        let mut client = Client::connect(&ensemble.servers[*at]);
        client.catch_up();
        let names = client.children("/", false).expect("the root");
        assert!(!names.iter().any(|name| name.starts_with("foreign")), "server {}: {names:?}", at + 1);
    }
}

/// A voter whose history is later than any that this ensemble can have had: it neither leads nor makes the leader go.
fn a_later_history_stays_outside(java_ids: &[usize], foreign_is_java: bool) {
    let mut ensemble = with_a_foreign_third(java_ids, foreign_is_java, 6);
    let leader = ensemble.settle();
    let history = History::default();
    let load = Load::start_at(&ensemble, 0, 2, &[0, 1]);
    load.go_on(SOME);
    let epoch = ensemble.servers[leader].zxid() >> 32;
    ensemble.servers[OURS].spawn();
    // Told by whoever of the two is ours.
    let teller = if java_ids.contains(&(leader + 1)) { OURS } else { leader };
    let words = "one of the two is another ensemble's, or an old copy";
    await_word(&ensemble.servers[teller], words);
    load.go_on(SOME * 4);
    assert_eq!(ensemble.settle_among(&[0, 1]), leader);
    assert_eq!(ensemble.servers[leader].zxid() >> 32, epoch, "the same leader's epoch");
    assert_eq!(ensemble.servers[OURS].mode(), None, "it serves nobody");
    nothing_foreign(&ensemble, &[0, 1]);
    let lines = said(&ensemble.servers[teller], words);
    assert!(lines < 5, "{lines} lines: one for each initLimit, and not one for each attempt");
    becomes_a_member(&mut ensemble, history, load);
}

#[test]
fn a_member_of_another_cluster_with_a_later_epoch_replaces_nothing() {
    // Ours leads, with a follower of Apache's; then Apache's leads.
    a_later_history_stays_outside(&[1], false);
    a_later_history_stays_outside(&[1], true);
    a_later_history_stays_outside(&[1, 2], false);
}

/// Of the same epoch, and longer: by number alone it is this ensemble's. It is cut, and what is left is told to be none of the
/// leader's trees; those that serve keep theirs.
fn a_longer_history_is_told(java_ids: &[usize], foreign_is_java: bool) {
    let mut ensemble = with_a_foreign_third(java_ids, foreign_is_java, 2);
    let leader = ensemble.settle();
    Client::connect(&ensemble.servers[leader]).close();
    assert_eq!(ensemble.servers[leader].zxid() >> 32, 2, "the epoch of the other one");
    ensemble.servers[OURS].restart();
    let history = History::default();
    let load = Load::start_at(&ensemble, 0, 2, &[0, 1]);
    load.go_on(SOME);
    let words = if foreign_is_java { THEIRS_COMPLAINT } else { OURS_COMPLAINT };
    await_word(&ensemble.servers[OURS], words);
    assert_eq!(ensemble.settle(), leader);
    nothing_foreign(&ensemble, &[0, 1]);
    becomes_a_member(&mut ensemble, history, load);
}

#[test]
fn a_member_of_another_cluster_with_a_longer_history_replaces_nothing_and_is_told() {
    a_longer_history_is_told(&[1], false);
    a_longer_history_is_told(&[1], true);
    a_longer_history_is_told(&[1, 2], false);
}
