//! Each kind of disk error (`disk_faults.rs`), said in the virtual cluster: who is hit ends or leaves, nobody else is
//! disturbed, and it comes back with what it had promised.

use super::disk_faults::Failing;
use super::scenarios::three;
use super::*;

impl World {
    fn has_ended(&self, node: usize) -> bool {
        self.nodes[node].member.is_none()
    }

    /// Until there is one among these, who takes writes.
    fn led_by(&mut self, nodes: &[usize]) -> usize {
        let leads = |world: &World| {
            nodes.iter().copied().find(|node| world.nodes[*node].leads() && world.nodes[*node].serves)
        };
        self.until("one of them leads", |world| leads(world).is_some());
        leads(self).expect("just found")
    }
}

/// The leader's own write is torn. It ends; what others acknowledged lives on.
#[test]
fn a_torn_write_of_the_leader_ends_it() {
    for failing in [Failing::Nothing, Failing::Scattered, Failing::Torn] {
        let mut world = three(500);
        let (leader, (a, b)) = (world.leader(), world.followers());
        let client = world.client(a);
        world.create(client, "/before");
        world.nodes[leader].disk.fails_next = Some(failing);
        world.ask(client, Op::create("/write"));
        world.until("it has ended", |world| world.has_ended(leader));
        let next = world.led_by(&[a, b]);
        let other = world.client(next);
        world.create(other, "/behind");
        world.serves(leader);
        assert!(world.holds(leader, "/before") && world.holds(leader, "/behind"), "{failing:?}");
        world.end_well();
    }
}

/// A promise that could not be written was not made: the server ends, and may give it when it is back.
#[test]
fn an_epoch_that_cannot_be_written_is_not_promised() {
    for failing in [Failing::Nothing, Failing::Scattered, Failing::Torn] {
        let mut world = three(500);
        let (leader, (a, b)) = (world.leader(), world.followers());
        let client = world.client(leader);
        world.create(client, "/before");
        world.crash(leader, false);
        let since = world.packets.len();
        // Nothing else is synced before the next epoch.
        world.nodes[a].disk.fails_next = Some(failing);
        world.until("it has ended", |world| world.has_ended(a));
        assert!(!world.kinds(since, a, b).contains(&Kind::AckEpoch), "{failing:?}");
        assert_eq!(world.nodes[a].epochs.accepted, Epoch(1));
        world.led_by(&[a, b]);
        world.end_well();
    }
}

/// A disk runs full: whoever it is, leader or follower, leaves when the next segment can't be made, and the others go on.
#[test]
fn who_has_no_room_for_the_log_leaves() {
    for is_leader in [true, false] {
        let mut world = three(500);
        let (leader, (a, b)) = (world.leader(), world.followers());
        let full = if is_leader { leader } else { a };
        let others: Vec<usize> = (0..3).filter(|node| *node != full).collect();
        let client = world.client(others[0]);
        world.create(client, "/before");
        world.nodes[full].disk.is_full = true;
        let mut count = 0;
        while world.nodes[full].serves {
            count += 1;
            assert!(count < 1_000, "it never needs a segment");
            world.ask(client, Op::create(&format!("/a{count}")));
            let is_done = |world: &World| world.people[client].asked.is_empty();
            world.until("an answer", |world| is_done(world) || !world.nodes[full].serves);
        }
        assert!(!world.has_ended(full));
        let next = world.led_by(&others);
        assert!(is_leader || next == leader, "{b} leads");
        let other = world.client(next);
        world.create_many(other, "/behind", 5);
        world.pass(1_000);
        assert!(!world.nodes[full].serves, "it serves without room");
        world.nodes[full].disk.is_full = false;
        world.serves(full);
        assert!(world.holds(full, "/behind4"));
        world.end_well();
    }
}

/// A snapshot of its own that can't be written costs a server nothing: it tries again later.
#[test]
fn who_has_no_room_for_a_snapshot_goes_on() {
    let mut world = three(500);
    let (leader, (full, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.nodes[full].disk.holds_snapshots = true;
    let mut count = 0;
    while world.nodes[full].disk.steps.is_empty() {
        count += 1;
        assert!(count < 1_000, "it never takes one");
        world.create(client, &format!("/a{count}"));
    }
    // No segment is due just then.
    world.pass(20);
    world.nodes[full].disk.is_full = true;
    world.nodes[full].disk.holds_snapshots = false;
    world.until("it has failed", |world| world.happened.contains_key("a snapshot: no room"));
    assert!(world.nodes[full].serves);
    let had = world.nodes[full].disk.snapshot_names();
    world.nodes[full].disk.is_full = false;
    world.create_many(client, "/b", 90);
    world.until("it has the next one", |world| world.nodes[full].disk.snapshot_names().last() > had.last());
    world.end_well();
}

/// A leader's snapshot that can't be stored: the learner stays outside, with what it had, until it can.
#[test]
fn who_has_no_room_for_a_leader_s_snapshot_stays_outside() {
    let mut world = three(3);
    let (leader, (full, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.crash(full, true);
    world.create_many(client, "/a", 10);
    let had = world.nodes[full].durable;
    world.start(full);
    world.nodes[full].disk.is_full = true;
    world.until("it has failed", |world| world.happened.contains_key("a snapshot: no room"));
    world.pass(10_000);
    assert!(!world.nodes[full].serves && world.nodes[full].durable == had);
    // After 1, 3 and 7 seconds: each time the leader goes through all of its tree.
    let asked = world.happened["a snapshot: no room"];
    assert!((2..=5).contains(&asked), "asked for {asked} times in ten seconds");
    world.create(client, "/b");
    world.nodes[full].disk.is_full = false;
    world.serves(full);
    assert!(world.holds(full, "/b"));
    world.end_well();
}

/// The name of a received snapshot is there and perhaps not durable, and the log beside it is of the history before. To go on
/// with that log would lose what is logged from then on: the next start begins behind the snapshot. The server ends.
#[test]
fn a_received_snapshot_whose_name_is_in_doubt_ends_the_server() {
    for power in [true, false] {
        let mut world = three(3);
        let (leader, (late, _)) = (world.leader(), world.followers());
        let client = world.client(leader);
        world.crash(late, true);
        world.create_many(client, "/a", 10);
        world.nodes[late].disk.fails_install = true;
        world.start(late);
        world.until("it has ended", |world| {
            world.has_ended(late)
                && world.happened.contains_key("a received snapshot: failed behind its name")
        });
        if power {
            world.start(late);
            world.crash(late, true);
        }
        world.serves(late);
        assert!(world.holds(late, "/a9"));
        world.end_well();
    }
}

/// Files that can't be read: the server does not start, and does not start on a part of them.
#[test]
fn who_cannot_read_its_files_does_not_start() {
    let mut world = three(500);
    let (leader, (blind, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create_many(client, "/a", 45);
    world.crash(blind, false);
    world.nodes[blind].disk.unreadable_until = FOREVER;
    world.start(blind);
    world.create_many(client, "/b", 5);
    world.pass(1_000);
    assert!(world.has_ended(blind) && world.happened["a start: unreadable"] > 3);
    world.nodes[blind].disk.unreadable_until = 0;
    world.serves(blind);
    assert!(world.holds(blind, "/a44") && world.holds(blind, "/b4"));
    world.end_well();
}

/// ZK-3701, its other half: the disk fails while the log is being cut. The member ends; it does not go on uncut.
#[test]
fn who_cannot_cut_its_log_ends() {
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    world.isolate(leader, 2 * FOREVER);
    world.ask(client, Op::create("/lost"));
    let next = world.led_by(&[a, b]);
    let other = world.client(next);
    world.create(other, "/kept");
    world.nodes[leader].disk.unreadable_until = FOREVER;
    world.heal();
    world.until("it has ended", |world| world.has_ended(leader));
    assert_eq!(world.happened["made anew, and ended"], 1);
    world.pass(500);
    assert!(world.has_ended(leader));
    world.nodes[leader].disk.unreadable_until = 0;
    world.serves(leader);
    assert!(!world.holds(leader, "/lost") && world.holds(leader, "/kept"));
    world.end_well();
}

/// There was no room while a leader's snapshot was being stored. With the log that it supersedes there is some again, and a
/// new thread looks for it, which knows nothing of the want: nobody says that it is over.
#[test]
fn room_that_comes_with_the_old_log_s_end_is_noticed() {
    let mut world = three(3);
    let (leader, (late, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.crash(late, true);
    world.create_many(client, "/a", 10);
    world.nodes[late].disk.holds_snapshots = true;
    world.start(late);
    world.until("all of a snapshot", |world| {
        let mut steps = world.nodes[late].disk.steps.iter();
        steps.any(|step| matches!(step, disk::Step::Finish { is_received: true, .. }))
    });
    world.nodes[late].disk.is_full = true;
    world.on_segment(late, false);
    assert!(world.nodes[late].is_settling());
    world.nodes[late].disk.is_full = false;
    // Before the old thread looks again.
    world.nodes[late].disk.holds_snapshots = false;
    world.until("it is made anew", |world| !world.nodes[late].disk.lacks_room);
    world.serves(late);
    world.end_well();
}
