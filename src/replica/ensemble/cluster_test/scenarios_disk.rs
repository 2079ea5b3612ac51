//! What went wrong elsewhere with disks and snapshots, said in the virtual cluster.

use super::disk_faults::Failing;
use super::scenarios::three;
use super::*;

/// ZK-4882: one write to the log failed and the server went on: the transaction was in memory and not on the disk.
/// A failed sync ends the process; what it comes back with is whole.
#[test]
fn zk_4882_a_failed_write_ends_the_server() {
    let mut world = three(500);
    let (leader, (broken, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    let life = world.nodes[broken].life;
    world.nodes[broken].disk.fails_next = Some(Failing::Scattered);
    world.create(client, "/write");
    world.until("it has ended and begun anew", |world| world.nodes[broken].life > life);
    world.crash(leader, true);
    world.start(leader);
    world.end_well();
}

/// ZK-4712: a follower went back to the election with writes under way, and voted with a log that was growing still.
/// It waits for its disk before it looks for a leader.
#[test]
fn zk_4712_no_vote_while_writes_are_under_way() {
    let mut world = three(500);
    let (leader, (busy, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    world.nodes[busy].disk.holds_syncs = true;
    world.create(client, "/under-way");
    world.pass(10);
    world.crash(leader, true);
    world.pass(700);
    assert!(world.nodes[busy].is_settling(), "it votes");
    let ended = world.nodes[busy].durable;
    assert!(ended < world.judge.last());
    world.nodes[busy].disk.holds_syncs = false;
    world.until("a leader", |world| world.nodes[busy].serves);
    assert!(world.holds(busy, "/under-way"));
    world.end_well();
}

/// ZK-3642: a snapshot that came in part was followed by a DIFF; after a restart its other part was gone.
/// Whenever power goes during SNAP, the server starts as what it was or as what the snapshot says.
#[test]
fn zk_3642_half_a_snapshot_is_none() {
    let mut world = three(3);
    let (leader, (late, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create_many(client, "/a", 10);
    let since = world.packets.len();
    for after in 0..40 {
        world.crash(late, true);
        world.create_many(client, &format!("/r{after}-"), 6);
        world.start(late);
        world.pass(after);
    }
    let snapshots = world.kinds(since, leader, late).iter().filter(|kind| **kind == Kind::Snap).count();
    assert!(snapshots >= 5, "{snapshots} snapshots were sent");
    world.end_well();
}

/// ZK-2872: a received snapshot was not synced before the log went on behind it. Nothing is acknowledged before it is
/// stored; when it is, it survives.
#[test]
fn zk_2872_a_received_snapshot_is_durable_first() {
    let mut world = three(3);
    let (leader, (late, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.crash(late, true);
    world.create_many(client, "/a", 10);
    let history = world.judge.last();
    let since = world.packets.len();
    world.nodes[late].disk.holds_snapshots = true;
    world.start(late);
    world.until("SNAP", |world| world.kinds(since, leader, late).contains(&Kind::Snap));
    world.pass(100);
    assert!(!world.kinds(since, late, leader).contains(&Kind::Ack));
    world.nodes[late].disk.holds_snapshots = false;
    world.until("ACK", |world| world.kinds(since, late, leader).contains(&Kind::Ack));
    world.crash(late, true);
    world.isolate(late, 100_000_000);
    world.start(late);
    assert!(world.nodes[late].replica().is_some_and(|replica| replica.applied() >= history));
    world.end_well();
}

/// ZK-3104: NEWLEADER overtook the snapshot. It is behind it in the same stream, and what was written meanwhile comes too.
#[test]
fn zk_3104_newleader_is_behind_the_snapshot() {
    let mut world = three(3);
    let (leader, (late, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.crash(late, true);
    world.create_many(client, "/a", 10);
    let since = world.packets.len();
    world.start(late);
    world.create_many(client, "/b", 10);
    world.serves(late);
    let said = world.kinds(since, leader, late);
    let at = |kind: Kind| said.iter().position(|found| *found == kind);
    assert!(at(Kind::Snap).is_some() && at(Kind::Snap) < at(Kind::NewLeader), "{said:?}");
    assert!(at(Kind::NewLeader) < at(Kind::UpToDate), "{said:?}");
    world.end_well();
}

/// ZK-3701: the disk was full while the log was to be cut; the error was swallowed, and two histories lived on. A member
/// without room takes no part, and joins when it has some. (An error
/// while it is cut: `scenarios_disk_errors.rs`.)
#[test]
fn zk_3701_without_room_nothing_is_cut_and_nobody_joins() {
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    world.isolate(leader, 2 * FOREVER);
    world.ask(client, Op::create("/lost"));
    world.until("another leads", |world| {
        [a, b].iter().any(|node| world.nodes[*node].leads() && world.nodes[*node].serves)
    });
    world.tell(leader, Input::SpaceLow);
    world.heal();
    let other = world.client(a);
    world.create(other, "/kept");
    world.pass(2_000);
    assert!(!world.nodes[leader].serves, "it serves without room");
    world.create(other, "/more");
    world.tell(leader, Input::SpaceBack);
    world.serves(leader);
    assert!(!world.holds(leader, "/lost") && world.holds(leader, "/kept"));
    world.end_well();
}

/// ZK-2201: a leader that wrote a snapshot to a dead socket held a lock meanwhile: heartbeats went on, writes did not.
/// Writes go on while a learner takes nothing of its snapshot.
#[test]
fn zk_2201_a_dead_learner_s_snapshot_holds_nobody() {
    let mut world = three(3);
    let (leader, (dead, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.crash(dead, true);
    world.create_many(client, "/a", 10);
    let since = world.packets.len();
    world.start(dead);
    world.until("SNAP", |world| world.kinds(since, leader, dead).contains(&Kind::Snap));
    world.held.insert((leader, dead));
    for at in 0..30 {
        let before = world.now;
        world.create(client, &format!("/b{at}"));
        assert!(world.now - before < 100_000_000, "a write took {} ms", (world.now - before) / 1_000_000);
    }
    world.release(leader, dead);
    world.end_well();
}

/// Not one of theirs: a server that started with a tail that nobody else had took a snapshot of it. From then on it took
/// the tail for committed, and refused every leader that wanted it dropped.
#[test]
fn no_snapshot_of_what_is_not_committed() {
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create_many(client, "/a", 45);
    world.isolate(leader, 2 * FOREVER);
    for at in 0..3 {
        world.ask(client, Op::create(&format!("/lost{at}")));
    }
    world.pass(20);
    for _ in 0..3 {
        world.crash(leader, false);
        world.start(leader);
        world.pass(200);
    }
    world.until("another leads", |world| world.nodes[a].serves && world.nodes[b].serves);
    let other = world.client(a);
    world.create(other, "/kept");
    world.heal();
    world.serves(leader);
    assert!(!world.holds(leader, "/lost0") && world.holds(leader, "/kept"));
    world.end_well();
}

/// Not one of theirs: a member that left its role while its promise of an epoch was being written gave the promise again
/// at once, as if it were written. (Seed 27.)
#[test]
fn no_promise_before_it_is_written() {
    let mut world = three(500);
    let (leader, (slow, other)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    world.crash(leader, false);
    let since = world.packets.len();
    world.until("a new epoch", |world| [slow, other].iter().any(|node| world.nodes[*node].leads()));
    world.nodes[slow].disk.holds_syncs = true;
    for _ in 0..4 {
        world.tell(slow, Input::SpaceLow);
        world.tell(slow, Input::SpaceBack);
        world.pass(150);
    }
    let promised = |said: &(Kind, Zxid)| said.0 == Kind::AckEpoch;
    assert!(
        !world.said(since, slow, other).iter().any(promised) || world.nodes[slow].epochs.accepted == Epoch(2)
    );
    world.end_well();
}

/// Three that have never had a leader: one has promised itself an epoch that nobody else has adopted, when power goes.
fn first_leader_lost(count: usize) -> (World, usize) {
    let mut world = World::new(Plan::quiet(count, 0));
    let promised = |world: &World| {
        world.nodes.iter().filter(|node| node.epochs.accepted == Epoch(1)).count() * 2 > world.nodes.len()
    };
    world.until("a quorum has promised", promised);
    let leader = world.nodes.iter().position(Node::leads).expect("it is led");
    for node in (0..count).filter(|node| *node != leader) {
        world.nodes[node].disk.holds_syncs = true;
    }
    world.until("the epoch is adopted", |world| world.nodes[leader].epochs.current == Epoch(1));
    for node in 0..count {
        world.crash(node, true);
        world.nodes[node].disk.holds_syncs = false;
        assert!(node == leader || world.nodes[node].epochs.current == Epoch(0));
    }
    (world, leader)
}

/// Not one of theirs: the first leader of all was lost before anybody followed it. It showed an epoch, the others were
/// blank and gave up their votes, and nobody was elected ever after. (Seed 25.) Those who have promised vote.
#[test]
fn a_first_leader_lost_before_anybody_followed() {
    for count in [3, 5] {
        let (mut world, leader) = first_leader_lost(count);
        // With no more than those who had promised.
        let promised: Vec<usize> =
            (0..count).filter(|node| world.nodes[*node].epochs.accepted == Epoch(1)).collect();
        assert!(promised.contains(&leader));
        promised.iter().for_each(|node| world.start(*node));
        world.until("a leader", |world| promised.iter().all(|node| world.nodes[*node].serves));
        world.end_well();
    }
}

/// The same, and a voter was wiped since: it was promised, and knows nothing. It neither votes nor promises.
#[test]
fn a_wiped_voter_promises_nothing() {
    let mut world = three(500);
    let (leader, (wiped, other)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    world.wipe(wiped);
    // Whoever was wiped waits for the other two; it says so, and remembers nothing of it.
    world.nodes[other].disk.holds_syncs = true;
    let since = world.packets.len();
    world.crash(leader, false);
    world.start(leader);
    world.start(wiped);
    world.pass(500);
    let leads = |world: &World| [leader, other].into_iter().find(|node| world.nodes[*node].leads());
    assert_eq!(world.nodes[wiped].epochs, Epochs::default());
    assert!(!world.nodes[wiped].serves && !world.nodes[leader].serves, "{:?}", leads(&world));
    world.nodes[other].disk.holds_syncs = false;
    world.serves(wiped);
    assert!(world.packets.len() > since && world.holds(wiped, "/before"));
    world.end_well();
}

/// Not one of theirs: a leader that is not established yet sends a snapshot of all that it has logged, and ends. Who got it
/// held it for committed; the next leader didn't have its last transaction and wanted it dropped, which was refused from
/// then on (or done, and what was below the snapshot was gone). It gets another snapshot.
#[test]
fn a_snapshot_of_what_was_never_committed_is_replaced() {
    for restarts in [true, false] {
        let mut world = three(3);
        let (first, (late, _)) = (world.leader(), world.followers());
        let client = world.client(first);
        world.create(client, "/before");
        world.crash(late, true);
        world.crash(first, true);
        world.start(first);
        world.serves(first);
        let leader = world.leader();
        let other = (0..3).find(|node| ![leader, late].contains(node)).expect("three");
        let client = world.client(leader);
        world.create_many(client, "/a", 10);
        // What nobody else has.
        world.isolate(leader, 2 * FOREVER);
        let last = world.judge.last();
        world.ask(client, Op::create("/tail"));
        world.until("it is logged", |world| world.nodes[leader].durable > last);
        let tail = world.nodes[leader].durable;
        world.crash(leader, false);
        world.heal();
        world.isolate(other, 2 * FOREVER);
        world.start(leader);
        world.start(late);
        world.until("the third epoch", |world| world.nodes[late].epochs.accepted == Epoch(3));
        // NEWLEADER is behind the snapshot, and is not heard when the leader ends before that is stored.
        world.nodes[late].disk.holds_snapshots = true;
        world.until("all of a snapshot", |world| {
            let mut steps = world.nodes[late].disk.steps.iter();
            steps.any(|step| matches!(step, disk::Step::Finish { is_received: true, .. }))
        });
        world.crash(leader, false);
        world.until("it has noticed", |world| world.nodes[late].is_settling());
        world.nodes[late].disk.holds_snapshots = false;
        world.until("it is stored", |world| world.nodes[late].disk.snapshot_names().contains(&tail));
        assert_eq!(world.nodes[late].epochs.current, Epoch(1), "it was not adopted");
        if restarts {
            world.crash(late, true);
        }
        world.heal();
        let since = world.packets.len();
        world.start(late);
        world.until("two serve", |world| world.nodes[late].serves && world.nodes[other].leads());
        assert!(world.kinds(since, other, late).contains(&Kind::Trunc), "it was asked to drop it");
        assert!(!world.holds(late, "/tail") && world.holds(late, "/a9"));
        world.end_well();
    }
}
