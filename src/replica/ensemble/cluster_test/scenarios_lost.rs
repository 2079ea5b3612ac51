//! Parts of a server's files are lost, by a broken disk, an operator or a backup put back: what is left must not vote as if
//! it were all (`zab::Standing`).

use super::scenarios::three;
use super::*;

/// One voter is away, and of the others one has lost a part of its files: the other one alone is no quorum.
#[test]
fn who_has_lost_a_part_has_no_vote() {
    for what in Lost::SOME {
        let mut world = three(500);
        let (leader, (lost, other)) = (world.leader(), world.followers());
        let client = world.client(leader);
        // Enough for a snapshot, and a log behind it.
        world.create_many(client, "/a", 45);
        world.until("it has a snapshot", |world| !world.nodes[lost].disk.snapshot_names().is_empty());
        world.crash(other, true);
        world.create(client, "/kept");
        // A leader that is established would take it back as it takes back who was wiped.
        world.crash(leader, true);
        world.lose(lost, what);
        world.start(leader);
        world.start(lost);
        world.pass(1500);
        let serving = world.nodes.iter().filter(|node| node.serves).count();
        assert_eq!(serving, 0, "{what:?}");
        world.start(other);
        world.serves(lost);
        assert!(world.holds(lost, "/kept"), "{what:?}");
        // From then on it votes like any other.
        world.crash(leader, true);
        world.until("the two are enough", |world| [lost, other].iter().all(|node| world.nodes[*node].serves));
        world.end_well();
    }
}

/// The same without the one who has all: the two that are left must not go on without what it was told.
#[test]
fn who_has_lost_a_part_does_not_help_who_is_behind() {
    for what in Lost::SOME {
        let mut world = three(500);
        let (leader, (lost, behind)) = (world.leader(), world.followers());
        let client = world.client(leader);
        world.create_many(client, "/a", 45);
        world.crash(behind, true);
        // An epoch of which it knows nothing.
        world.crash(leader, true);
        world.start(leader);
        world.serves(leader);
        let client = world.client(leader);
        world.create_many(client, "/kept", 3);
        world.crash(leader, true);
        world.lose(lost, what);
        world.start(lost);
        world.start(behind);
        world.pass(1500);
        assert!(!world.nodes[lost].serves && !world.nodes[behind].serves, "{what:?}");
        world.start(leader);
        world.serves(behind);
        assert!(world.holds(behind, "/kept2"), "{what:?}");
        world.end_well();
    }
}

/// A backup is put back on one server, and the others are blank: they must not begin anew and have it thrown away. As the
/// only voter of its configuration it leads.
#[test]
fn a_backup_is_not_thrown_away() {
    let epochs = Lost { log: false, snapshots: false, epochs: true };
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create_many(client, "/a", 3);
    world.wipe(a);
    world.wipe(b);
    world.lose(leader, epochs);
    (0..3).for_each(|node| world.start(node));
    world.pass(3_000);
    assert!(world.nodes.iter().all(|node| !node.serves));
    assert!(world.holds(leader, "/a2"));

    let mut world = super::scenarios::world(Plan::quiet(1, 0));
    let client = world.client(0);
    world.create_many(client, "/a", 3);
    world.lose(0, epochs);
    world.start(0);
    world.serves(0);
    assert!(world.holds(0, "/a2"));
    world.end_well();
}
