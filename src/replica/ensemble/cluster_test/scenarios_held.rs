//! Clients over a change of leader: who is held, who is closed, for how long, and what they see.

use super::scenarios::three;
use super::*;

impl World {
    /// A new leader serves, and so does this server.
    fn has_moved_on(&self, from: Epoch, node: usize) -> bool {
        let leads = |node: &Node| node.serves && node.leads() && node.epoch() > from;
        self.nodes.iter().any(leads) && self.nodes[node].serves
    }
}

/// Watches, ephemerals and sessions go on over the same connections, and what was asked meanwhile is answered.
#[test]
fn who_waits_for_nothing_stays_connected() {
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let clients = [world.client(a), world.client(b)];
    for (client, path) in clients.into_iter().zip(["/one", "/two"]) {
        world.done(client, Op::Create { path: path.to_owned(), ephemeral: true });
    }
    world.done(clients[0], Op::Sync);
    world.done(clients[0], Op::Get { path: "/two".to_owned(), watch: true });
    let turns = clients.map(|client| world.people[client].turn);
    let epoch = world.nodes[leader].epoch();
    world.crash(leader, false);
    world.until("they have noticed", |world| !world.nodes[a].serves && !world.nodes[b].serves);
    world.ask(clients[0], Op::Mine);
    world.ask(clients[1], Op::Set { path: "/two".to_owned(), version: 0 });
    world.until("another leads", |world| [a, b].iter().all(|node| world.has_moved_on(epoch, *node)));
    world.until("they are answered", |world| {
        clients.iter().all(|client| world.people[*client].asked.is_empty())
    });
    world.until("the watch fires", |world| !world.people[clients[0]].events.is_empty());
    for (client, turn) in clients.into_iter().zip(turns) {
        let person = &world.people[client];
        assert!(person.is_on() && person.turn == turn, "over the same connection");
        assert_eq!(person.results.last().map(|(_, err, _)| *err), Some(0));
    }
    assert!(world.holds(a, "/one") && world.holds(a, "/two"));
    // They live as before: what was held is heard of by the new leader.
    world.pass(3 * 2000);
    assert!(
        clients.iter().all(|client| world.judge.sessions[&world.people[*client].session].closed.is_none())
    );
    world.end_well();
}

/// What it asked may have happened or not.
#[test]
fn who_waits_for_a_write_is_closed() {
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let (asking, idle) = (world.client(a), world.client(a));
    let turn = world.people[idle].turn;
    let epoch = world.nodes[leader].epoch();
    world.isolate(leader, 2 * FOREVER);
    world.ask(asking, Op::create("/unheard"));
    world.until("another leads", |world| [a, b].iter().all(|node| world.has_moved_on(epoch, *node)));
    world.until("it is closed", |world| !world.people[asking].is_on());
    assert!(world.people[idle].is_on() && world.people[idle].turn == turn);
    assert!(!world.holds(a, "/unheard"));
    world.heal();
    world.end_well();
}

/// A client is better off elsewhere than with a server that finds nobody.
#[test]
fn nobody_is_held_for_long() {
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(a);
    world.isolate(a, 2 * FOREVER);
    world.until("it has noticed", |world| !world.nodes[a].serves);
    assert!(world.people[client].is_on());
    let since = world.now;
    world.until("it is closed", |world| !world.people[client].is_on());
    let held = Duration::from_nanos(world.now - since);
    assert!(held < TICK, "{held:?}");
    assert!(!world.nodes[a].serves && world.nodes[leader].serves && world.nodes[b].serves);
    world.heal();
    world.end_well();
}

/// Of a leader that loses its quorum, too.
#[test]
fn a_leader_that_is_one_no_more_keeps_its_clients() {
    let mut world = three(500);
    let (leader, (a, b)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.done(client, Op::Create { path: "/e".to_owned(), ephemeral: true });
    let (turn, epoch) = (world.people[client].turn, world.nodes[leader].epoch());
    for other in [a, b] {
        world.crash(other, false);
    }
    world.until("it has noticed", |world| !world.nodes[leader].serves);
    for other in [a, b] {
        world.start(other);
    }
    world.until("there is a leader again", |world| world.has_moved_on(epoch, leader));
    world.create(client, "/after");
    assert_eq!(world.people[client].turn, turn, "over the same connection");
    world.end_well();
}

/// Longer than half of a client's patience: who leaves a server that says nothing does so after two thirds.
const LONG_MS: u64 = 1100;

/// What a client sent before it went to another server and what comes late is not done behind what it asked there, whoever leads
/// next; and the connection that it has is not closed for the one that it had.
#[test]
fn what_a_session_has_left_behind_is_not_held() {
    for (voters, old_is_next) in [(5, false), (3, false), (3, true)] {
        let mut world = super::scenarios::world(Plan::quiet(voters, 0));
        let leader = world.leader();
        let others: Vec<usize> = (0..voters).filter(|node| *node != leader).collect();
        // Of equals the one with the largest number leads next.
        let last = others[others.len() - 1];
        let (from, to) = if old_is_next { (last, others[0]) } else { (others[0], others[1]) };
        let client = world.client(from);
        world.create(client, "/before");
        let old = world.slip_away(client, to);
        world.until("it is elsewhere", |world| world.people[client].is_on());
        world.create(client, "/there");
        world.pass(LONG_MS);
        let (epoch, turn) = (world.nodes[leader].epoch(), world.people[client].turn);
        world.crash(leader, false);
        world.until("another leads", |world| [from, to].iter().all(|node| world.has_moved_on(epoch, *node)));
        assert_eq!(world.nodes[from].leads(), old_is_next, "{voters} voters");
        world.create(client, "/after");
        world.send_late(old, &Op::create("/late"));
        world.pass(500);
        assert!(!world.holds(from, "/late") && !world.holds(to, "/late"), "{voters} voters, {old_is_next}");
        world.create(client, "/in-the-end");
        assert_eq!(world.people[client].turn, turn, "over the same connection");
        world.end_well();
    }
}

/// Nobody's silence is forgotten because its server changes its part again and again.
#[test]
fn who_is_gone_expires_whatever_part_its_server_plays() {
    let mut world = super::scenarios::world(Plan { joiners: 1, ..Plan::quiet(3, 0) });
    let (keeper, client) = (world.client(world.leader()), world.client(3));
    world.done(client, Op::Create { path: "/e".to_owned(), ephemeral: true });
    let session = world.people[client].session;
    world.vanish(client);
    let since = world.now;
    let mut flips = 0;
    while world.judge.sessions[&session].closed.is_none() {
        world.pass(700);
        world.done(keeper, Op::Reconfig { joining: member_line(3, flips % 2 == 0), leaving: String::new() });
        flips += 1;
        let passed = Duration::from_nanos(world.now - since);
        assert!(passed < Duration::from_millis(2 * 2000), "{passed:?}, {flips} changes");
    }
    world.end_well();
}
