//! Who is told what, and when, and whom a leader serves, said in the virtual cluster.

use super::scenarios::{three, world};
use super::*;

fn count(said: &[Kind], kind: Kind) -> usize {
    said.iter().filter(|found| **found == kind).count()
}

/// An observer costs its leader one packet a write; a follower two.
#[test]
fn an_observer_gets_one_inform_a_write() {
    const WRITES: usize = 25;
    let mut world = world(Plan::quiet(3, 2));
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.until("all have the session", World::all_equal);
    let since = world.packets.len();
    world.create_many(client, "/a", WRITES);
    world.until("all have them", World::all_equal);
    let expected: Vec<Zxid> = world.judge.last_zxids(WRITES);
    for observer in [3, 4] {
        let informed = world.said(since, leader, observer);
        let informed: Vec<(Kind, Zxid)> =
            informed.into_iter().filter(|(kind, _)| *kind != Kind::Ping).collect();
        let wanted: Vec<(Kind, Zxid)> = expected.iter().map(|zxid| (Kind::Inform, *zxid)).collect();
        assert_eq!(informed, wanted, "observer {}", observer + 1);
        let answered = world.kinds(since, observer, leader);
        assert!(answered.iter().all(|kind| *kind == Kind::Ping), "{answered:?}");
    }
    for follower in [a, b] {
        let told = world.kinds(since, leader, follower);
        let found = [Kind::Proposal, Kind::Commit, Kind::Inform].map(|kind| count(&told, kind));
        assert_eq!(found, [WRITES, WRITES, 0], "follower {}", follower + 1);
        assert_eq!(count(&world.kinds(since, follower, leader), Kind::Ack), WRITES);
    }
    world.end_well();
}

/// A leader proposes while its own disk is at work, and a quorum without it is enough.
#[test]
fn a_proposal_does_not_wait_for_the_leader_s_own_disk() {
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.until("all have the session", World::all_equal);
    world.nodes[leader].disk.holds_syncs = true;
    let (since, durable) = (world.packets.len(), world.nodes[leader].durable);
    let zxid = world.create(client, "/a");
    assert!(world.nodes[leader].durable == durable && durable < zxid, "the leader's disk stands still");
    for follower in [a, b] {
        assert!(world.said(since, leader, follower).contains(&(Kind::Proposal, zxid)));
        assert!(world.said(since, follower, leader).contains(&(Kind::Ack, zxid)));
    }
    world.nodes[leader].disk.holds_syncs = false;
    world.end_well();
}

/// `leaderServes=no`: who leads serves nobody, and serves when another one leads.
#[test]
fn a_leader_that_is_not_to_serve_serves_as_a_follower() {
    let mut world = World::new(Plan { leader_serves: false, ..Plan::quiet(3, 0) });
    let modes = |world: &World| -> Vec<Mode> {
        let mode = |node: &Node| node.replica().map_or(Mode::Looking, Replica::mode);
        world.nodes.iter().map(mode).collect()
    };
    let led = |world: &World| modes(world).iter().filter(|mode| **mode == Mode::Following).count() == 2;
    world.until("it is led", led);
    let leader = modes(&world).iter().position(|mode| *mode == Mode::Leading).expect("two follow it");
    let others: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
    assert!(!world.nodes[leader].serves && others.iter().all(|node| world.nodes[*node].serves));
    let client = world.client(others[0]);
    // It decides all the same.
    world.create(client, "/before");
    world.isolate(leader, 2 * FOREVER);
    world.until("another leads", |world| {
        others.iter().any(|node| modes(world)[*node] == Mode::Leading)
            && others.iter().any(|node| modes(world)[*node] == Mode::Following)
    });
    let next = others.iter().copied().find(|node| modes(&world)[*node] == Mode::Leading).expect("one");
    assert!(!world.nodes[next].serves, "it served as a follower");
    world.heal();
    world.serves(leader);
    assert_eq!(modes(&world)[leader], Mode::Following);
    let client = world.client(leader);
    world.create(client, "/after");
    world.end_well();
}
