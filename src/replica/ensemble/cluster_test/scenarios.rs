//! What went wrong elsewhere, said in the virtual cluster. Here: what scripts share, and how members come to the same
//! history. Each test says what the fault was and what must hold; that all is well in the end is [`World::end_well`].

use super::*;

/// CLUSTER_LOG=1: with all that the servers say.
pub fn world(plan: Plan) -> World {
    if number("CLUSTER_LOG").is_some() {
        let _ = tracing_subscriber::fmt().without_time().with_target(false).try_init();
    }
    let mut world = World::new(plan);
    world.until("all serve", World::all_serve);
    world
}

/// Three voters that remember so many transactions for those who come late.
pub fn three(history_count: usize) -> World {
    world(Plan { history_count, ..Plan::quiet(3, 0) })
}

impl World {
    pub fn until(&mut self, what: &str, is_done: impl FnMut(&World) -> bool) {
        assert!(self.run(20_000, is_done), "it doesn't come to this: {what}");
    }

    pub fn pass(&mut self, ms: u64) {
        self.run(ms, |_| false);
    }

    pub fn leader(&self) -> usize {
        let leads = |node: &Node| node.serves && node.leads();
        self.nodes.iter().position(leads).expect("a leader")
    }

    /// The two that don't lead.
    pub fn followers(&self) -> (usize, usize) {
        let leader = self.leader();
        let mut others = (0..3).filter(|node| *node != leader);
        (others.next().expect("three"), others.next().expect("three"))
    }

    /// A client that does what it is told.
    pub fn client(&mut self, node: usize) -> usize {
        self.people.push(Person::new(node, 2000, false));
        let client = self.people.len() - 1;
        // A server that is about to leave its leader hangs up.
        for _ in 0..100 {
            self.connect(client);
            self.until("a client's server answers", |world| !world.people[client].is_connecting());
            if self.people[client].is_on() {
                return client;
            }
            self.pass(10);
        }
        panic!("nobody is let in");
    }

    /// Asks, and waits for the answer.
    pub fn done(&mut self, client: usize, op: Op) -> Zxid {
        self.ask(client, op.clone());
        self.until("an answer", |world| world.people[client].asked.is_empty());
        let (asked, err, zxid) = self.people[client].results.last().cloned().expect("an answer");
        assert_eq!((asked, err), (op, 0));
        zxid
    }

    pub fn create(&mut self, client: usize, path: &str) -> Zxid {
        self.done(client, Op::create(path))
    }

    pub fn create_many(&mut self, client: usize, prefix: &str, count: usize) {
        for at in 0..count {
            self.create(client, &format!("{prefix}{at}"));
        }
    }

    pub fn holds(&self, node: usize, path: &str) -> bool {
        let replica = self.nodes[node].replica().expect("it runs");
        replica.store().find(path.as_bytes()).is_some()
    }

    pub fn serves(&mut self, node: usize) {
        self.until("it serves", |world| world.nodes[node].serves);
    }

    /// What was said since there were `since` packets, from one to another.
    pub fn said(&self, since: usize, from: usize, to: usize) -> Vec<(Kind, Zxid)> {
        let packets = self.packets[since..].iter();
        packets.filter(|said| (said.0, said.1) == (from, to)).map(|said| (said.2, said.3)).collect()
    }

    pub fn kinds(&self, since: usize, from: usize, to: usize) -> Vec<Kind> {
        self.said(since, from, to).into_iter().map(|(kind, _)| kind).collect()
    }

    /// All run, serve, take writes, and hold the same, which is what was promised.
    pub fn end_well(&mut self) {
        self.calm_down();
        self.held.clear();
        self.until("all serve in the end", World::all_serve);
        let serving = self.nodes.iter().position(|node| node.serves).expect("all do, but for a leader");
        let client = self.client(serving);
        self.create(client, "/the-end");
        self.until("all have the same", World::all_equal);
        for (at, node) in self.nodes.iter().enumerate() {
            self.judge.check_tree(at + 1, node.replica().expect("all run"));
        }
    }
}

/// ZK-2845: a proposal that nobody else had stayed in the tree when its leader rejoined without a restart.
/// The tree holds what is committed; the rest goes with TRUNC, or with the tree when SNAP comes.
#[test]
fn zk_2845_an_isolated_leader_s_proposal_is_nowhere() {
    let mut world = three(500);
    let leader = world.leader();
    let (a, b) = world.followers();
    let client = world.client(leader);
    world.create(client, "/before");
    world.isolate(leader, 2 * FOREVER);
    world.ask(client, Op::create("/lost"));
    let life = world.nodes[leader].life;
    world.until("another leads", |world| {
        world.nodes[a].leads() && world.nodes[a].serves || world.nodes[b].leads() && world.nodes[b].serves
    });
    let other = world.client(a);
    world.create(other, "/kept");
    world.until("it has noticed", |world| !world.nodes[leader].serves);
    let since = world.packets.len();
    world.heal();
    world.serves(leader);
    assert_eq!(world.nodes[leader].life, life);
    let others = [a, b].map(|from| world.kinds(since, from, leader)).concat();
    assert!(others.contains(&Kind::Trunc) || others.contains(&Kind::Snap), "{others:?}");
    assert!(!world.holds(leader, "/lost") && world.holds(leader, "/kept"));
    world.end_well();
}

/// ZK-3911: the ACK of NEWLEADER went out before the proposals of the DIFF were on the disk.
/// No ACK while the disk stands still.
#[test]
fn zk_3911_newleader_is_acknowledged_behind_the_disk() {
    let mut world = three(500);
    let (leader, (late, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.crash(late, true);
    world.create_many(client, "/a", 5);
    let since = world.packets.len();
    world.nodes[late].disk.holds_syncs = true;
    world.start(late);
    world.until("NEWLEADER", |world| world.kinds(since, leader, late).contains(&Kind::NewLeader));
    world.pass(50);
    assert!(world.kinds(since, leader, late).contains(&Kind::Diff));
    assert!(!world.kinds(since, late, leader).contains(&Kind::Ack));
    world.nodes[late].disk.holds_syncs = false;
    world.serves(late);
    // The new quorum is the one that was late, and one more.
    world.crash(leader, true);
    world.until("a new leader", |world| world.nodes[late].serves && world.nodes[late].epoch() > Epoch(1));
    assert!(world.holds(late, "/a4"));
    world.end_well();
}

/// ZK-4643: currentEpoch was written before the history that it stands for: after a crash between the two, committed
/// transactions were cut off as another leader's. Whenever power goes, an epoch on the disk has its history there.
#[test]
fn zk_4643_no_epoch_before_its_history() {
    let mut cut_between = 0;
    for after in 0..14 {
        let mut world = three(500);
        let (leader, (late, other)) = (world.leader(), world.followers());
        let client = world.client(leader);
        world.crash(late, true);
        world.create_many(client, "/a", 5);
        // An epoch that the late one doesn't know.
        world.crash(leader, false);
        world.start(leader);
        world.until("a new epoch", |world| {
            world.nodes.iter().any(|node| node.serves && node.leads() && node.epoch() == Epoch(2))
        });
        let history = world.judge.last();
        world.start(late);
        world.pass(after);
        world.crash(late, true);
        let found = &world.nodes[late];
        assert!(found.epochs.current < Epoch(2) || found.durable >= history, "after {after} ms");
        cut_between += u64::from(found.epochs.current < Epoch(2) && found.durable >= history);
        world.start(late);
        world.crash(other, true);
        world.start(other);
        world.end_well();
    }
    assert!(cut_between > 0, "no crash came between history and epoch");
}

/// ZK-4646: the ACK was made by the thread that queued the write, not by the one that did it.
/// A write is not acknowledged while it is on one disk of three.
#[test]
fn zk_4646_an_ack_comes_from_the_disk() {
    let mut world = three(500);
    let (leader, (slow, down)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    world.crash(down, true);
    world.nodes[slow].disk.holds_syncs = true;
    let since = world.packets.len();
    world.ask(client, Op::create("/write"));
    world.pass(150);
    assert!(!world.people[client].asked.is_empty(), "it was acknowledged");
    assert!(world.kinds(since, leader, slow).contains(&Kind::Proposal));
    assert!(!world.kinds(since, slow, leader).contains(&Kind::Ack));
    world.nodes[slow].disk.holds_syncs = false;
    world.until("an answer", |world| world.people[client].asked.is_empty());
    world.end_well();
}

/// ZK-4685: a follower acknowledged a proposal before it had acknowledged NEWLEADER, and the leader died of it.
/// The first ACK of a learner is that of NEWLEADER, however much is proposed meanwhile.
#[test]
fn zk_4685_newleader_is_acknowledged_first() {
    let mut world = world(Plan { clients: 4, ..Plan::quiet(3, 0) });
    let (leader, (late, _)) = (world.leader(), world.followers());
    for round in 0..6 {
        world.crash(late, round % 2 == 0);
        world.pass(30);
        let since = world.packets.len();
        world.nodes[late].disk.holds_syncs = true;
        world.start(late);
        // More is proposed than it can have acknowledged: NEWLEADER, and what is behind it, has come.
        let behind = |world: &World| {
            let said = world.kinds(since, leader, late);
            let new_leader = said.iter().position(|kind| *kind == Kind::NewLeader)?;
            Some(said[new_leader..].iter().filter(|kind| **kind == Kind::Proposal).count())
        };
        world.until("proposals behind NEWLEADER", |world| behind(world) > Some(3));
        world.pass(5);
        assert!(!world.kinds(since, late, leader).contains(&Kind::Ack));
        world.nodes[late].disk.holds_syncs = false;
        world.serves(late);
        let mut acks = world.said(since, late, leader).into_iter().filter(|(kind, _)| *kind == Kind::Ack);
        let (_, first) = acks.next().expect("it was acknowledged");
        assert_eq!(first.0 & 0xffff_ffff, 0, "{first} is acknowledged first");
    }
    world.people.iter_mut().for_each(|person| person.is_free = false);
    world.end_well();
}

/// ZK-4394: COMMITs of what was proposed between NEWLEADER and UPTODATE found nothing to commit.
/// They are taken as before and after.
#[test]
fn zk_4394_commits_before_uptodate() {
    let mut world = three(500);
    let (leader, (late, _)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.crash(late, true);
    world.create_many(client, "/a", 3);
    world.nodes[late].disk.holds_syncs = true;
    let since = world.packets.len();
    world.start(late);
    world.until("NEWLEADER", |world| world.kinds(since, leader, late).contains(&Kind::NewLeader));
    world.create_many(client, "/b", 5);
    world.pass(20);
    let said = world.kinds(since, leader, late);
    let new_leader = said.iter().position(|kind| *kind == Kind::NewLeader).expect("it was said");
    assert!(said[new_leader..].contains(&Kind::Commit) && !said.contains(&Kind::UpToDate), "{said:?}");
    world.nodes[late].disk.holds_syncs = false;
    world.serves(late);
    world.until("it has them", |world| world.holds(late, "/b4"));
    world.end_well();
}

/// ZK-4785: what was proposed and not committed while a learner was synchronised by DIFF got lost there.
/// It is a part of what the learner gets, and its ACK is what commits it.
#[test]
fn zk_4785_outstanding_proposals_come_with_the_diff() {
    let mut world = three(500);
    let (leader, (late, held)) = (world.leader(), world.followers());
    let client = world.client(leader);
    world.create(client, "/before");
    world.crash(late, true);
    world.create(client, "/diff");
    world.nodes[held].disk.holds_syncs = true;
    world.ask(client, Op::create("/outstanding"));
    world.pass(20);
    world.start(late);
    world.until("an answer", |world| world.people[client].asked.is_empty());
    world.crash(leader, true);
    world.nodes[held].disk.holds_syncs = false;
    world.until("a new leader", |world| world.nodes[late].serves && world.nodes[late].epoch() > Epoch(1));
    assert!(world.holds(late, "/outstanding") && world.holds(late, "/diff"));
    world.end_well();
}

/// ZK-4925: a follower that had been synchronised kept a history with a gap, was elected, and handed the gap on.
/// What a new leader sends begins at the learner's end, whatever way it came by its own history.
#[test]
fn zk_4925_a_synchronised_follower_hands_on_all_of_it() {
    for history_count in [3, 500] {
        let mut world = three(history_count);
        let (leader, (next, late)) = (world.leader(), world.followers());
        let client = world.client(leader);
        world.create_many(client, "/a", 3);
        world.crash(next, true);
        world.create_many(client, "/b", 6);
        world.crash(late, true);
        world.start(next);
        world.serves(next);
        let client = world.client(next);
        world.create_many(client, "/c", 2);
        world.crash(leader, true);
        world.start(late);
        world.until("it leads", |world| world.nodes[next].leads() && world.nodes[next].serves);
        world.serves(late);
        for path in ["/a0", "/b0", "/b5", "/c1"] {
            assert!(world.holds(late, path), "{path} is missing, {history_count}");
        }
        world.end_well();
    }
}

/// ZK-4352: an empty server was sent a DIFF that began behind its end. With a history that doesn't reach back, it gets
/// a snapshot; with one that does, everything.
#[test]
fn zk_4352_an_empty_server_gets_all() {
    for (history_count, expected) in [(3, Kind::Snap), (500, Kind::Diff)] {
        let mut world = three(history_count);
        let (leader, (empty, _)) = (world.leader(), world.followers());
        let client = world.client(leader);
        world.create_many(client, "/a", 10);
        let since = world.packets.len();
        world.wipe(empty);
        world.start(empty);
        world.serves(empty);
        assert!(world.kinds(since, leader, empty).contains(&expected), "{history_count}");
        assert!((0..10).all(|at| world.holds(empty, &format!("/a{at}"))));
        world.end_well();
    }
}

/// Not one of theirs: the leader's SYNC may come behind the COMMIT of a write that was asked for after the sync; the
/// replies must be in order all the same. (A follower ended over it: seeds 1, 4 to 10.)
#[test]
fn replies_of_a_follower_are_in_order() {
    let mut world = three(500);
    let (follower, _) = world.followers();
    let clients = [0, 1, 2].map(|_| world.client(follower));
    for round in 0..40 {
        for client in clients {
            for at in 0..3 {
                let path = format!("/s{client}-{round}-{at}");
                world.ask(client, Op::Create { path, ephemeral: at == 1 });
                world.ask(client, if (at + round) % 2 == 0 { Op::Sync } else { Op::Mine });
            }
        }
        world.until("answers", |world| clients.iter().all(|client| world.people[*client].asked.is_empty()));
    }
    let good = |client: &usize| world.people[*client].results.iter().filter(|result| result.1 == 0).count();
    assert!(clients.iter().all(|client| good(client) == 240));
    world.end_well();
}
