//! Groups and weights: quorums that are no majority, and majorities that are no quorum.

use std::collections::BTreeSet;

use crate::support::client::PERSISTENT;
use crate::support::{Client, Ensemble, until};

/// Three groups of three; in the third one server counts for more than the two others.
fn start() -> Ensemble {
    let mut ensemble = Ensemble::prepare(9, 0, |_, config| {
        let config =
            config.set("group.1", "1:2:3").set("group.2", "4:5:6").set("group.3", "7:8:9").set("weight.9", 3);
        (1..=8).fold(config, |config, id| config.set(&format!("weight.{id}"), 1))
    });
    ensemble.launch_all();
    ensemble.settle();
    ensemble
}

fn kill(ensemble: &mut Ensemble, ids: &[usize]) {
    ids.iter().for_each(|id| ensemble.servers[id - 1].kill());
}

fn running(ensemble: &Ensemble) -> Vec<usize> {
    (0..9).filter(|at| ensemble.servers[*at].is_launched()).collect()
}

fn write(ensemble: &Ensemble, path: &str) {
    let at = running(ensemble)[0];
    let mut client = Client::connect(&ensemble.servers[at]);
    client.create(path, b"", PERSISTENT);
    client.close();
}

/// Every path that was written, at each server that runs.
fn assert_kept(ensemble: &Ensemble, paths: &[&str]) {
    for at in running(ensemble) {
        let mut client = Client::connect(&ensemble.servers[at]);
        client.sync("/");
        let children: BTreeSet<String> = client.children("/", false).expect("the root").into_iter().collect();
        assert!(paths.iter().all(|path| children.contains(&path[1..])), "server {}: {children:?}", at + 1);
        client.close();
    }
}

#[test]
fn two_groups_of_three_are_enough_and_one_is_not() {
    let mut ensemble = start();
    write(&ensemble, "/all");
    // A whole group, and one of each other: four of nine serve.
    kill(&mut ensemble, &[7, 8, 9]);
    ensemble.settle();
    write(&ensemble, "/two-groups");
    kill(&mut ensemble, &[3, 6]);
    let left = running(&ensemble);
    assert_eq!(left, [0, 1, 3, 4]);
    ensemble.settle();
    write(&ensemble, "/four-of-nine");
    // One group has its majority, and the others don't: five of nine are none.
    kill(&mut ensemble, &[2]);
    for id in [7, 8] {
        ensemble.servers[id - 1].spawn();
    }
    until("nobody to serve", || {
        let modes: Vec<_> = running(&ensemble).into_iter().map(|at| ensemble.servers[at].mode()).collect();
        modes.iter().all(Option::is_none).then_some(())
    });
    // With the one that outweighs these two there is a second group.
    kill(&mut ensemble, &[7, 8]);
    ensemble.servers[8].spawn();
    ensemble.settle();
    assert_eq!(running(&ensemble), [0, 3, 4, 8]);
    write(&ensemble, "/by-weight");
    assert_kept(&ensemble, &["/all", "/two-groups", "/four-of-nine", "/by-weight"]);
    for id in [2, 3, 6, 7, 8] {
        ensemble.servers[id - 1].spawn();
    }
    ensemble.settle();
    ensemble.assert_equal();
}
