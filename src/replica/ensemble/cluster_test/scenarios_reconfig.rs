//! Reconfigurations, each with the fault that hurts it most, in the virtual cluster.

use super::scenarios::world;
use super::*;

/// Three voters, and so many that may join.
fn three_and(joiners: usize) -> World {
    world(Plan { joiners, ..Plan::quiet(3, 0) })
}

impl World {
    fn reconfigure(&mut self, client: usize, joining: &[String], leaving: &[usize]) -> Zxid {
        let leaving: Vec<String> = leaving.iter().map(|node| (node + 1).to_string()).collect();
        self.done(client, Op::Reconfig { joining: joining.join(","), leaving: leaving.join(",") })
    }

    fn is_voter(&self, node: usize) -> bool {
        self.judge.config().is_voter(ServerId(node as i64 + 1))
    }
}

/// Who has come with an empty disk is a voter like the others: with one of the old ones it is a quorum.
#[test]
fn a_joiner_becomes_a_voter() {
    let mut world = three_and(1);
    let (leader, (away, left)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    assert!(world.holds(3, "/before") && !world.is_voter(3), "it follows without a vote");
    world.reconfigure(client, &[member_line(3, true)], &[left]);
    assert!(world.is_voter(3) && !world.is_voter(left));
    world.crash(away, true);
    world.crash(left, true);
    world.create(client, "/by-two");
    world.end_well();
}

/// The leader goes, or gives up its vote: another one was designated and leads, and nothing is lost.
#[test]
fn a_leader_that_is_removed_hands_on() {
    for demoted in [false, true] {
        let mut world = three_and(0);
        let (leader, (other, _)) = (world.leader(), world.followers());
        let client = world.client(other);
        world.create(client, "/before");
        let joining = demoted.then(|| member_line(leader, false));
        let leaving = if demoted { vec![] } else { vec![leader] };
        world.ask(
            client,
            Op::Reconfig {
                joining: joining.unwrap_or_default(),
                leaving: leaving.iter().map(|node| (node + 1).to_string()).collect(),
            },
        );
        world.until("another leads", |world| {
            world.nodes.iter().enumerate().any(|(at, node)| at != leader && node.leads() && node.serves)
        });
        assert!(!world.is_voter(leader) && world.judge.config().voters().len() == 2);
        world.crash(leader, true);
        world.end_well();
        // It started again, from what its files say.
        assert!(world.holds(leader, "/before"));
    }
}

/// A reconfiguration that its leader alone has in its log: the others don't know of it, and elect one of themselves. It is
/// not in force, and the one who has it learns that.
#[test]
fn a_configuration_that_nobody_else_has_is_none() {
    let mut world = three_and(1);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    for other in [a, b, 3] {
        world.cut(leader, other, 2 * FOREVER);
    }
    world.ask(client, Op::Reconfig { joining: member_line(3, true), leaving: String::new() });
    world.until("it is logged", |world| world.open_configs().len() == 2);
    world.until("another leads", |world| {
        [a, b].iter().any(|node| world.nodes[*node].leads() && world.nodes[*node].serves)
    });
    let other = world.client(a);
    world.create(other, "/kept");
    world.heal();
    world.serves(leader);
    assert_eq!(world.judge.config().voters().len(), 3);
    world.end_well();
}

/// Power goes everywhere when a configuration is in the logs of both quorums and its commit is told to nobody.
#[test]
fn a_configuration_survives_the_end_of_all() {
    let mut world = three_and(2);
    let client = world.client(world.leader());
    world.create(client, "/before");
    world.ask(
        client,
        Op::Reconfig {
            joining: [3, 4].map(|node| member_line(node, true)).join(","),
            leaving: String::new(),
        },
    );
    world.until("it is in all logs", |world| {
        let version = world.open_configs().last().map_or(0, |config| config.version());
        world.nodes.iter().filter(|node| node.durable >= Zxid(version)).count() == 5
            && version & 0xffff_ffff != 0
    });
    for node in 0..5 {
        world.crash(node, true);
    }
    world.end_well();
    assert_eq!(world.judge.config().voters().len(), 5);
}

/// A follower left its role for a reconfiguration's new leader, and logged what the old one had said behind that as if the
/// new one had: the next sync of its disk told of more than it knew of. (Seed 20.)
#[test]
fn what_comes_behind_an_activation_is_an_old_role_s() {
    for seed in 1..=6 {
        let mut world = world(Plan { seed, ..Plan::quiet(3, 0) });
        let (leader, (a, b)) = (world.leader(), world.followers());
        let client = world.client(leader);
        world.create(client, "/before");
        let before = world.judge.last();
        world.nodes[b].disk.holds_syncs = true;
        world.ask(client, Op::Reconfig { joining: String::new(), leaving: (leader + 1).to_string() });
        world.until("one of the new ones has it", |world| world.nodes[a].durable > before);
        world.pass(5);
        assert_eq!(world.judge.last(), before, "it needs both");
        world.held.insert((leader, a));
        world.nodes[b].disk.holds_syncs = false;
        world.until("it is committed", |world| world.judge.last() > before);
        if world.people[client].is_on() {
            world.ask(client, Op::create("/behind"));
        }
        world.pass(5);
        // In one piece.
        let mut held: BTreeMap<(usize, usize), Vec<u8>> = BTreeMap::new();
        for (wire, end, bytes) in std::mem::take(&mut world.held_bytes) {
            held.entry((wire, end)).or_default().extend_from_slice(&bytes);
        }
        world.held_bytes = held.into_iter().map(|((wire, end), all)| (wire, end, all.into())).collect();
        world.release(leader, a);
        world.until("another leads", |world| [a, b].iter().any(|node| world.nodes[*node].leads()));
        world.end_well();
    }
}

/// A leader alone had a configuration in its log; the others went on without it, and one of these two was wiped. The old
/// leader waited for both of them, who are the voters of what it had, the wiped one for a leader, and the third for one of
/// the two. (Seed 36.)
#[test]
fn a_configuration_that_was_passed_over_holds_nobody_up() {
    let mut world = three_and(0);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    world.isolate(leader, 2 * FOREVER);
    world.ask(client, Op::Reconfig { joining: String::new(), leaving: (leader + 1).to_string() });
    world.until("it is logged", |world| {
        let version = world.open_configs().last().map_or(0, |config| config.version());
        world.open_configs().len() == 2 && world.nodes[leader].durable >= Zxid(version)
    });
    world.crash(leader, true);
    world.until("another leads", |world| {
        [a, b].iter().any(|node| world.nodes[*node].leads() && world.nodes[*node].serves)
    });
    let other = world.client(a);
    world.create(other, "/kept");
    world.wipe(b);
    world.heal();
    world.start(leader);
    world.start(b);
    world.serves(leader);
    assert!(world.holds(leader, "/kept") && world.judge.config().voters().len() == 3);
    world.end_well();
}

/// The only voter had logged that another server gets a vote, and nobody else had: that one did not help it to lead. It was
/// a follower of no configuration, in a later round of the election (seed 309), or an observer (seed 370).
#[test]
fn who_gets_a_vote_helps_before_it_knows() {
    for observes in [false, true] {
        let mut world = world(Plan { joiners: 2, ..Plan::quiet(1, 0) });
        let (leader, next) = (0, 2);
        let client = world.client(leader);
        world.create(client, "/before");
        world.cut(leader, next, 2 * FOREVER);
        world.ask(client, Op::Reconfig { joining: member_line(next, true), leaving: String::new() });
        world.until("it is logged", |world| {
            let version = world.open_configs().last().map_or(0, |config| config.version());
            world.open_configs().len() == 2 && world.nodes[leader].durable >= Zxid(version)
        });
        world.crash(leader, true);
        if observes {
            let members = [member_line(leader, true), member_line(next, false), "version=0".to_owned()];
            let told = Config::parse(&members.join("\n")).expect("a configuration");
            world.crash(next, true);
            world.nodes[next].members = Some(Arc::new(told));
            world.start(next);
        }
        // Some rounds of its own.
        world.pass(3_000);
        world.heal();
        world.start(leader);
        world.serves(leader);
        world.end_well();
        assert_eq!(world.judge.config().voters().len(), 2);
    }
}
