//! Members changed in the older way: one server after the other is restarted with another list of servers, and nobody is asked
//! to reconfigure anything. Meanwhile the lists differ.
//!
//! By one server at a time, so that every quorum of the one list meets every quorum of the other. Who joins starts first,
//! with the new list; who leaves stops last; of the others the leader is restarted last.

use std::fs;

use crate::history::{History, Load};
use crate::support::{Ensemble, Server};

const WRITERS: usize = 4;
/// Batches of all writers that are acknowledged between two restarts.
const SOME: u64 = 40;

/// From its next start on the server knows of the first `count` servers.
fn name_members(ensemble: &Ensemble, at: usize, count: usize) {
    let file = ensemble.servers[at].file("zoo.cfg");
    let text = fs::read_to_string(&file).expect("it was written");
    let kept = text.lines().filter(|line| !line.starts_with("server.")).map(str::to_owned);
    let ports = ensemble.quorum_ports.iter().zip(&ensemble.election_ports).take(count);
    let named = ports
        .enumerate()
        .map(|(at, (quorum, election))| format!("server.{}=127.0.0.1:{quorum}:{election}", at + 1));
    let lines: Vec<String> = kept.chain(named).collect();
    fs::write(&file, lines.join("\n") + "\n").expect("room");
}

fn stop(server: &mut Server) {
    server.signal("TERM");
    let status = server.wait_for_exit();
    assert!(status.success(), "{status}:\n{}", server.output());
}

/// The first `staying` servers get a list of `count`, one at a time.
fn restart_all(ensemble: &mut Ensemble, load: &Load, staying: usize, count: usize) {
    let leader = ensemble.settle();
    let mut order: Vec<usize> = (0..staying).filter(|at| *at != leader).collect();
    order.extend((leader < staying).then_some(leader));
    for at in order {
        load.go_on(SOME);
        stop(&mut ensemble.servers[at]);
        load.go_on(SOME);
        name_members(ensemble, at, count);
        ensemble.servers[at].spawn();
        ensemble.settle();
        assert_eq!(voters(&ensemble.servers[at]), count, "server {}", at + 1);
    }
    load.go_on(SOME);
}

/// As the server counts them.
fn voters(server: &Server) -> usize {
    let text = server.word("mntr");
    let count = text.lines().find_map(|line| line.strip_prefix("zk_quorum_size\t"));
    count.unwrap_or_else(|| panic!("no size of the quorum in {text}")).parse().expect("a number")
}

fn grow(ensemble: &mut Ensemble, load: &Load, from: usize) {
    name_members(ensemble, from, from + 1);
    ensemble.servers[from].spawn();
    ensemble.settle();
    restart_all(ensemble, load, from, from + 1);
}

fn shrink(ensemble: &mut Ensemble, load: &Load, from: usize) {
    let leaves = from - 1;
    if ensemble.settle() == leaves {
        // It would be no member in the lists of those that follow it.
        stop(&mut ensemble.servers[leaves]);
        ensemble.settle();
        ensemble.servers[leaves].restart();
    }
    assert_ne!(ensemble.settle(), leaves, "the others have a leader by now");
    restart_all(ensemble, load, leaves, leaves);
    stop(&mut ensemble.servers[leaves]);
    load.go_on(SOME);
}

#[test]
fn an_ensemble_grows_and_shrinks_by_restarts_with_differing_lists() {
    let mut ensemble = Ensemble::prepare(5, 0, |_, config| config);
    for at in 0..3 {
        name_members(&ensemble, at, 3);
        ensemble.servers[at].spawn();
    }
    ensemble.settle();
    let mut history = History::default();
    let load = Load::start_at(&ensemble, 0, WRITERS, &[0, 1, 2]);
    grow(&mut ensemble, &load, 3);
    grow(&mut ensemble, &load, 4);
    history.check(&mut ensemble, load);
    assert!(history.losses() > 0, "the restarts were felt");

    // The new ones vote: two of the old ones may be away.
    let load = Load::start(&ensemble, 1, WRITERS);
    for at in [0, 1] {
        ensemble.servers[at].kill();
    }
    ensemble.settle();
    load.go_on(SOME);
    for at in [0, 1] {
        ensemble.servers[at].restart();
    }
    shrink(&mut ensemble, &load, 5);
    shrink(&mut ensemble, &load, 4);
    history.check(&mut ensemble, load);

    // Two of three are enough again, without those that left.
    let load = Load::start_at(&ensemble, 2, WRITERS, &[0, 1, 2]);
    let leader = ensemble.settle();
    ensemble.servers[leader].kill();
    ensemble.settle();
    load.go_on(SOME);
    ensemble.servers[leader].restart();
    history.check(&mut ensemble, load);

    // What was acknowledged under any list is on the disks of those that stay.
    for at in 0..3 {
        ensemble.servers[at].kill();
    }
    for at in 0..3 {
        ensemble.servers[at].spawn();
    }
    history.check_again(&mut ensemble);
}
