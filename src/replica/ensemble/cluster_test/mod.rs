//! Whole members in a virtual world made of a seed: the shipping replica and shard of each server, a virtual network
//! between them, disks that lose what was not synced, clients that speak the protocol. First faults, then all is healed.
//!
//! | file | is |
//! |---|---|
//! | `plan.rs` | what a seed decides: shape, faults, the bugs put in to see that they are found |
//! | `world.rs` | time, events, what goes wrong |
//! | `node.rs`, `disk.rs`, `boot.rs`, `network.rs` | a server's loop; its log and snapshots; its start; connections and cuts |
//! | `disk_faults.rs` | what goes wrong with disks, and what servers do then |
//! | `people.rs`, `ops.rs` | clients, and what they hold against what they are told |
//! | `reconfigs.rs` | who is a member, and what clients make of that |
//! | `judge.rs` | the one history, and what must be true of the whole |
//! | `scenarios*.rs` | the bugs of others, one test each |
//!
//! Replay of a failure: the line that it prints. A night's run: tests/README.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::base::{ConnectionId, Epoch, HashKey, Prng, ShardId, Ticket, WallMillis, limits};
use crate::log::{self, Command, SegmentId, SegmentImage, SnapshotDecoder};
use crate::replica::{Boot, Input, Start, testing};
use crate::tree::Reader;
use crate::wire::peer::Kind;
use crate::wire::{AclList, ErrorCode};
use crate::zab::{Config, HistoryLimits};

mod boot;
mod disk;
mod disk_faults;
mod judge;
mod network;
mod node;
mod ops;
mod people;
mod plan;
mod reconfigs;
mod scenarios;
mod scenarios_disk;
mod scenarios_disk_errors;
mod scenarios_flow;
mod scenarios_held;
mod scenarios_lost;
mod scenarios_reconfig;
mod scenarios_sessions;
mod scenarios_snapshots;
mod world;

use disk::Disk;
use disk_faults::KINDS;
use judge::Judge;
use network::{FOREVER, Wire};
use node::{Booted, Member, Node};
use ops::Op;
use people::Person;
use plan::{Canary, Faults, Lost, Plan};
use reconfigs::member_line;
use world::{Event, World};

const TICK: Duration = Duration::from_millis(100);
const INIT_LIMIT: u32 = 10;
const SYNC_LIMIT: u32 = 4;
const SEGMENT_BYTES: u64 = 64 << 10;
/// When it all begins, and how often it is looked whose time has come, in nanoseconds.
const BEGIN: u64 = 1_000_000_000;
const LOOK: u64 = 1_000_000;

/// Bounds of the phases, in virtual milliseconds.
const FAULTS_MS: u64 = 5_000;
const ALL_SERVE_MS: u64 = 10_000;
const ALL_WRITE_MS: u64 = 10_000;
const ALL_EQUAL_MS: u64 = 3_000;

impl World {
    fn all_serve(&self) -> bool {
        let serves = |node: &Node| node.serves || !self.plan.leader_serves && node.leads();
        self.nodes.iter().all(serves)
    }

    fn all_equal(&self) -> bool {
        let last = self.judge.last();
        self.nodes.iter().all(|node| node.replica().is_some_and(|replica| replica.applied() == last))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ran {
    /// Of all outputs.
    hash: u64,
    /// Acknowledged.
    writes: u64,
    /// False: it ended without a leader, as was to be feared ([`World::is_past_promise`]).
    is_whole: bool,
    /// What has gone wrong, and how often.
    happened: BTreeMap<&'static str, u64>,
}

impl World {
    fn ran(mut self, is_whole: bool) -> Ran {
        if self.judge.config().version() > 0 {
            self.count("a reconfiguration");
        }
        let World { hash, judge, happened, .. } = self;
        Ran { hash: hash.0, writes: judge.acked_writes, is_whole, happened }
    }
}

fn run(plan: &Plan) -> Ran {
    let mut world = World::new(plan.clone());
    world.has_faults = true;
    world.run(FAULTS_MS, |_| false);
    world.calm_down();
    let serves = world.run(ALL_SERVE_MS, World::all_serve);
    assert!(serves || world.is_past_promise, "not all servers serve when all is well again");
    if !serves {
        return world.ran(false);
    }
    let writes = world.judge.acked_writes;
    let counts: Vec<Zxid> = world.people.iter().map(|person| person.last_zxid).collect();
    let written = |world: &World| {
        let mut people = world.people.iter().zip(&counts);
        people.all(|(person, before)| person.last_zxid > *before)
            && world.judge.acked_writes > writes + 10 * counts.len() as u64
    };
    assert!(world.run(ALL_WRITE_MS, written), "not all clients can write when all is well again");
    // Quiet: everybody catches up.
    world.people.iter_mut().for_each(|person| person.is_free = false);
    let is_idle =
        |world: &World| world.all_equal() && world.people.iter().all(|person| person.asked.is_empty());
    assert!(world.run(ALL_EQUAL_MS, is_idle), "not all servers come to the same");
    for (at, node) in world.nodes.iter().enumerate() {
        world.judge.check_tree(at + 1, node.replica().expect("all run"));
    }
    world.ran(true)
}

/// The same, or what it has failed with.
fn try_run(plan: &Plan) -> Result<Ran, String> {
    std::panic::catch_unwind(|| run(plan)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

#[test]
fn members_agree_whatever_happens() {
    if let Some(seed) = number("CLUSTER_SEED") {
        let _ = tracing_subscriber::fmt()
            .without_time()
            .with_target(false)
            .with_max_level(tracing::Level::DEBUG)
            .try_init();
        let canary = std::env::var("CLUSTER_CANARY").ok();
        let canary = canary.map(|name| Canary::parse(&name).unwrap_or_else(|| panic!("no canary {name}")));
        let plan = canary.map_or_else(|| draw(seed), |canary| Plan::of_canary(seed, canary));
        run(&Plan { is_buggy: number("CLUSTER_BUG") != Some(0), ..plan });
        return;
    }
    let (from, count) = (number("CLUSTER_FROM").unwrap_or(1), number("CLUSTER_SEEDS").unwrap_or(20));
    let (mut writes, mut parts) = (0, 0);
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in from..from + count {
        let plan = draw(seed);
        let ran = try_run(&plan).unwrap_or_else(|_| panic!("{}", plan.replay()));
        writes += ran.writes;
        parts += u64::from(!ran.is_whole);
        ran.happened.iter().for_each(|(what, times)| *happened.entry(what).or_default() += times);
        if seed % 10 == 0 {
            assert_eq!(try_run(&plan), Ok(ran), "a seed is a run: {}", plan.replay());
        }
    }
    assert!(parts <= 1 + count / 20, "{parts} of {count} runs end early");
    assert!(writes > count * 30, "only {writes} writes in {count} runs");
    println!("{count} runs, {parts} of them in part, {writes} writes; {happened:?}");
    let missing: Vec<&str> = KINDS.into_iter().filter(|kind| !happened.contains_key(kind)).collect();
    // Some come in one run of ten.
    let rare = [(100, 0), (20, 3), (0, KINDS.len())];
    let (_, bound) = rare.into_iter().find(|(runs, _)| count >= *runs).expect("the last is for all");
    assert!(missing.len() <= bound, "in {count} runs there was none of these: {missing:?}");
}

/// CLUSTER_ALL=1: all runs have everything.
fn draw(seed: u64) -> Plan {
    match number("CLUSTER_ALL") {
        None => Plan::draw(seed),
        Some(_) => Plan { is_forced: true, ..Plan::of_all(seed) },
    }
}

/// The first runs, which are the usual ones, have each kind of ensemble.
#[test]
fn runs_have_groups_weights_and_reconfigurations() {
    let plans: Vec<Plan> = (1..=20).map(Plan::draw).collect();
    let has_all = |plan: &Plan| {
        let Faults { crash, cut, slow, disk, full, wipe, leave, reconfigure } = plan.faults;
        let disk = disk.log && disk.epochs && disk.snapshots && disk.reading;
        crash && cut && slow && disk && full && wipe && leave && reconfigure && plan.observers > 0
    };
    for voters in [5, 7] {
        assert!(plans.iter().any(|plan| plan.voters == voters && has_all(plan)), "{voters} voters");
    }
    let count = |is_such: fn(&Plan) -> bool| plans.iter().filter(|plan| is_such(plan)).count();
    assert!(count(|plan| plan.hierarchy.contains("group.2=")) >= 1);
    assert!(count(|plan| plan.hierarchy.contains("=2\n")) >= 1);
    assert!(count(|plan| plan.hierarchy.contains("=0\n")) >= 1);
    assert!(count(|plan| plan.faults.reconfigure) >= 5);
    assert!(count(|plan| plan.hierarchy.is_empty() && !plan.faults.reconfigure) >= 5);
}

/// What canaries are caught by: a part of the sentence that the judge says then, and only then.
const LEADER_LACKS: &str = " leads Epoch(";
const TWO_LEADERS: &str = " lead Epoch(";
const NO_QUORUM: &str = "that is no quorum";

/// A bug put in is found within so many seeds, `by` the harm that it is known for; without the bug the same runs, in which
/// everything is done to let it do harm, end well.
fn assert_caught(canary: Canary, seeds: u64, by: &str) {
    let mut seen = vec![];
    for seed in 1..=seeds {
        let plan = Plan::of_canary(seed, canary);
        let sound = plan.clone().without_bug();
        try_run(&sound).unwrap_or_else(|_| panic!("without the bug: {}", sound.replay()));
        match try_run(&plan) {
            Err(harm) if harm.contains(by) => return,
            Err(harm) => seen.push(harm),
            Ok(_) => {}
        }
    }
    panic!("{canary:?} is not caught by \"{by}\" in {seeds} seeds, but {seen:?}");
}

#[test]
fn an_ack_before_the_disk_is_seen() {
    assert_caught(Canary::AckBeforeDurable, 10, LEADER_LACKS);
}

#[test]
fn a_commit_without_a_quorum_is_seen() {
    assert_caught(Canary::CommitWithoutQuorum, 10, LEADER_LACKS);
}

#[test]
fn a_failed_sync_that_is_ignored_is_seen() {
    assert_caught(Canary::FailedSyncIgnored, 20, LEADER_LACKS);
}

#[test]
fn a_wiped_voter_that_votes_is_seen() {
    assert_caught(Canary::WipedVoterVotes, 20, LEADER_LACKS);
}

#[test]
fn a_forgotten_epoch_is_seen() {
    assert_caught(Canary::EpochForgotten, 20, TWO_LEADERS);
}

#[test]
fn a_commit_without_a_quorum_of_the_new_configuration_is_seen() {
    assert_caught(Canary::NewVotersWithoutQuorum, 10, NO_QUORUM);
}
