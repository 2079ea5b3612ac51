//! What went wrong elsewhere with sessions and ephemerals, said in the virtual cluster.

use super::scenarios::{three, world};
use super::*;

fn ephemeral(path: &str) -> Op {
    Op::Create { path: path.to_owned(), ephemeral: true }
}

/// ZK-5010, ZK-4837: a server that was cut off when a session expired kept its ephemeral after the DIFF.
/// It is gone everywhere, and so is the session.
#[test]
fn zk_5010_an_ephemeral_is_gone_for_those_who_were_away() {
    let mut world = world(Plan::quiet(3, 1));
    let (leader, (away, _)) = (world.leader(), world.followers());
    let keeper = world.client(leader);
    for server in [away, 3] {
        let client = world.client(server);
        let path = format!("/e{server}");
        world.done(client, ephemeral(&path));
        world.until("all have it", |world| (0..4).all(|node| world.holds(node, &path)));
        world.leave(client);
        let session = world.people[client].session;
        world.isolate(server, 4_000_000_000);
        world.until("it has expired", |world| world.judge.sessions[&session].closed.is_some());
        world.create(keeper, &format!("/after{server}"));
        world.heal();
        world.serves(server);
        world.until("all are equal", World::all_equal);
        assert!((0..4).all(|node| !world.holds(node, &path)), "{path}");
    }
    world.end_well();
}

/// ZK-2355: an ephemeral was never removed: the closeSession was a proposal that its leader took with it, and the next
/// one believed the session closed. It ends with the next leader, once, and takes its ephemeral along.
#[test]
fn zk_2355_a_close_that_was_discarded_comes_again() {
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.done(client, ephemeral("/e"));
    world.isolate(leader, 2 * FOREVER);
    world.ask(client, Op::Close);
    world.until("another leads", |world| {
        [a, b].iter().any(|node| world.nodes[*node].leads() && world.nodes[*node].serves)
    });
    assert!(world.holds(a, "/e") && world.holds(b, "/e"));
    world.heal();
    world.serves(leader);
    let session = world.people[client].session;
    assert!(world.judge.sessions[&session].closed.is_none(), "it was discarded");
    world.until("it has expired", |world| world.judge.sessions[&session].closed.is_some());
    world.until("all are equal", World::all_equal);
    assert!((0..3).all(|node| !world.holds(node, "/e")));
    world.end_well();
}
