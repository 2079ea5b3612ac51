//! Apache's 3.8.6, its 3.9.5 and ours, one each, in one ensemble: whoever leads is killed under load.

use crate::history::{History, Load};
use crate::mixed::{GENTLY, assert_no_mismatch, java_of};
use crate::support::Ensemble;

const WRITERS: usize = 4;
const SOME: u64 = 30;
/// Ours.
const RINGKEEPER: &str = "";

/// The last one leads first: with nothing in any log the larger number decides.
fn start(kinds: [&str; 3]) -> Ensemble {
    let mut ensemble = Ensemble::prepare(3, 0, |id, config| {
        // What was missed is sent as a difference: a snapshot under load is fuzzy between Apache's two.
        let config = config.set("commitLogCount", 100_000);
        match kinds[id - 1] {
            RINGKEEPER => config,
            version => {
                let command = java_of(version);
                config.command(&command.iter().map(String::as_str).collect::<Vec<_>>())
            }
        }
    });
    ensemble.pause = GENTLY;
    for at in [2, 0] {
        ensemble.servers[at].spawn();
    }
    assert_eq!(ensemble.settle_among(&[0, 2]), 2);
    ensemble.servers[1].restart();
    ensemble
}

fn leaders_are_killed(kinds: [&str; 3]) {
    let mut ensemble = start(kinds);
    for (server, version) in ensemble.servers.iter().zip(kinds) {
        let told = server.word("srvr");
        let expected = if version == RINGKEEPER { "3.9.5-ringkeeper-" } else { version };
        assert!(told.starts_with(&format!("Zookeeper version: {expected}")), "{told}");
    }
    let mut history = History::default();
    for round in 0..2 {
        let old = ensemble.settle();
        let mut load = Some(Load::start(&ensemble, 2 * round, WRITERS));
        load.iter().for_each(|load| load.go_on(SOME));
        ensemble.servers[old].kill();
        let new = ensemble.settle();
        println!("{} leads, {} did", name(kinds[new]), name(kinds[old]));
        load.iter().for_each(|load| load.go_on(SOME));
        if kinds[old] != RINGKEEPER && kinds[new] != RINGKEEPER {
            // Apache's don't bear that among themselves: see `synchronisation`.
            load.take().into_iter().for_each(|load| history.check(&mut ensemble, load));
        }
        ensemble.servers[old].restart();
        let load = load.unwrap_or_else(|| Load::start(&ensemble, 2 * round + 1, WRITERS));
        load.go_on(SOME);
        history.check(&mut ensemble, load);
    }
    assert!(history.losses() > 0, "the kills were felt");
    assert_no_mismatch(&ensemble.servers);
    // All of it is on every disk.
    ensemble.servers.iter_mut().for_each(crate::support::Server::kill);
    ensemble.launch_all();
    history.check_again(&mut ensemble);
}

fn name(kind: &str) -> &str {
    if kind == RINGKEEPER { "ours" } else { kind }
}

#[test]
fn ours_leads_one_of_each_version_first() {
    leaders_are_killed(["3.8.6", "3.9.5", RINGKEEPER]);
}

#[test]
fn version_3_9_leads_3_8_and_ours_first() {
    leaders_are_killed([RINGKEEPER, "3.8.6", "3.9.5"]);
}

#[test]
fn version_3_8_leads_3_9_and_ours_first() {
    leaders_are_killed(["3.9.5", RINGKEEPER, "3.8.6"]);
}
