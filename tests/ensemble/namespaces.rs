//! Servers on hosts of their own, under load, with cables that are cut: in both directions or in one.
//!
//! What a server sends into a cut cable is lost without a word: nobody is told that a connection has ended. Each finds out by
//! silence, and in its own time.

use crate::history::{History, Load};
use crate::network::Network;
use crate::support::{Ensemble, Server, until};

const WRITERS: usize = 6;
/// Batches of all writers that are acknowledged between two faults.
const SOME: u64 = 80;

fn start(network: &Network, voters: usize, observers: usize) -> Ensemble {
    let mut ensemble = network.ensemble(voters, observers);
    ensemble.launch_all();
    ensemble.settle();
    ensemble
}

/// Everybody serves under one leader, as writes show: who is cut off from a leader goes on serving for a while, and a load
/// runs.
fn settle(ensemble: &mut Ensemble) -> usize {
    until("everybody to serve under the same leader", || {
        let leader = ensemble.settle();
        let epochs: Vec<Option<i64>> = ensemble.servers.iter().map(epoch).collect();
        epochs.iter().all(|epoch| epoch.is_some() && *epoch == epochs[0]).then_some(leader)
    })
}

fn epoch(server: &Server) -> Option<i64> {
    let text = server.word("srvr");
    let zxid = text.lines().find_map(|line| line.strip_prefix("Zxid: 0x"))?;
    i64::from_str_radix(zxid, 16).ok().map(|zxid| zxid >> 32)
}

fn others(ensemble: &Ensemble, but: usize) -> Vec<usize> {
    (0..ensemble.servers.len()).filter(|at| *at != but).collect()
}

/// It hears all of them, and believes for a while that it leads.
#[test]
fn a_leader_whom_nobody_hears_is_replaced() {
    change_leaders(|leader, other| (leader, other));
}

/// They hear it, so only it can know that it must stop.
#[test]
fn a_leader_who_hears_nobody_steps_down() {
    change_leaders(|leader, other| (other, leader));
}

/// Twice the others find a leader among themselves, while the old one's cables are cut in one direction; then it follows.
fn change_leaders(direction: impl Fn(usize, usize) -> (usize, usize)) {
    let network = Network::new(4);
    let mut ensemble = start(&network, 3, 1);
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    for _ in 0..2 {
        let old = settle(&mut ensemble);
        load.go_on(SOME);
        let others = others(&ensemble, old);
        let cables: Vec<_> = others.iter().map(|other| direction(old, *other)).collect();
        cables.iter().for_each(|(from, to)| network.cut(*from, *to));
        ensemble.settle_among(&others);
        load.go_on(SOME);
        cables.iter().for_each(|(from, to)| network.heal(*from, *to));
        settle(&mut ensemble);
        load.go_on(SOME);
    }
    history.check(&mut ensemble, load);
    assert!(history.losses() > 0, "the cuts were felt");
}

/// One follower can't reach the leader, and both reach the third: it stays out, and moves nobody to a new election.
#[test]
fn a_follower_cut_off_from_the_leader_alone_disturbs_nobody() {
    let network = Network::new(3);
    let mut ensemble = start(&network, 3, 0);
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    let leader = settle(&mut ensemble);
    let follower = ensemble.follower(leader);
    let third = 3 - leader - follower;
    load.go_on(SOME);
    network.cut_both(leader, follower);
    until("the follower to find out", || ensemble.servers[follower].mode().is_none().then_some(()));
    load.go_on(2 * SOME);
    assert_eq!(ensemble.settle_among(&[leader, third]), leader, "the same one leads");
    network.heal_both(leader, follower);
    assert_eq!(settle(&mut ensemble), leader);
    load.go_on(SOME);
    history.check(&mut ensemble, load);
}

/// Two of five, the leader among them, on the wrong side; then three followers and the observer find each other again.
#[test]
fn a_minority_with_the_leader_serves_nobody() {
    let network = Network::new(6);
    let mut ensemble = start(&network, 5, 1);
    let mut history = History::default();
    let load = Load::start(&ensemble, 0, WRITERS);
    let old = settle(&mut ensemble);
    load.go_on(SOME);
    let with_it = ensemble.follower(old);
    let minority = [old, with_it];
    let majority: Vec<usize> = (0..6).filter(|at| !minority.contains(at)).collect();
    let cables: Vec<(usize, usize)> =
        minority.iter().flat_map(|one| majority.iter().map(|other| (*one, *other))).collect();
    cables.iter().for_each(|(one, other)| network.cut_both(*one, *other));
    let new = ensemble.settle_among(&majority);
    assert!(majority.contains(&new));
    load.go_on(SOME);
    until("the minority to find out", || {
        minority.iter().all(|at| ensemble.servers[*at].mode().is_none()).then_some(())
    });
    load.go_on(SOME);
    cables.iter().for_each(|(one, other)| network.heal_both(*one, *other));
    settle(&mut ensemble);
    load.go_on(SOME);
    history.check(&mut ensemble, load);
}
