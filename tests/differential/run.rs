//! Plays episodes on both servers, compares, and makes a small and replayable case of a difference.

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringkeeper::wire::client::ReplyHeader;
use ringkeeper::wire::{Decode, Opcode};

use crate::compare::{Comparer, Difference};
use crate::generator::Plan;
use crate::groups::{Groups, Profile};
use crate::item::{Action, Item};
use crate::player::{IMPATIENCE, PATIENCE, Player, Record};
use crate::servers::{Pair, version};
use crate::shrink::shrink;

/// Room for the clock between what a server writes down and what we see.
const CLOCK_SLACK_MS: i64 = 2000;

#[derive(Clone, Debug)]
pub struct Options {
    pub plan: Plan,
    pub shards: u64,
    pub episodes: Range<u64>,
    /// Only these items of the one episode.
    pub only: Option<Vec<usize>>,
    /// No item is sent together with the next.
    pub apart: bool,
    /// Differences of other kinds are looked for until there are so many.
    pub faults_max: usize,
}

impl Options {
    pub fn new(seed: u64, profile: Profile, shards: u64, episodes: u64, groups: Groups) -> Options {
        let before_3_9 = version().starts_with("3.8");
        let plan = Plan { seed, groups, profile, before_3_9 };
        Options { plan, shards, episodes: 0..episodes, only: None, apart: false, faults_max: 5 }
    }

    fn replay(&self, episode: u64, only: &[usize], apart: bool) -> String {
        let only: Vec<String> = only.iter().map(usize::to_string).collect();
        format!(
            "cargo test --test differential -- --seed {:#x} --profile {} --groups {} --shards {} --episode {episode} \
             --only {}{}",
            self.plan.seed,
            self.plan.profile.name(),
            self.plan.groups.name(),
            self.shards,
            only.join(","),
            if apart { " --apart" } else { "" },
        )
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub requests: usize,
    pub connects: usize,
    pub events: usize,
    pub faults: usize,
    pub zookeeper_time: Duration,
    pub ringkeeper_time: Duration,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.requests += other.requests;
        self.connects += other.connects;
        self.events += other.events;
        self.faults += other.faults;
        self.zookeeper_time += other.zookeeper_time;
        self.ringkeeper_time += other.ringkeeper_time;
    }

    fn count(&mut self, items: &[Item], records: &[Record]) {
        for (item, record) in items.iter().zip(records) {
            match item.action {
                Action::Connect(_) => self.connects += 1,
                Action::Request { .. } | Action::Bytes(_) => self.requests += 1,
            }
            self.connects += usize::from(record.handshake.is_some());
            let event = |frame: &&Vec<u8>| ReplyHeader::parse(frame).is_ok_and(|header| header.xid == -1);
            self.events += record.frames.iter().filter(event).count();
        }
    }
}

/// Changes what Ringkeeper answered: for the canary.
pub type Tamper = fn(&[Item], &mut [Record]);

/// Two running servers and what is known of them.
struct Stage<'a> {
    options: &'a Options,
    pair: Pair,
    comparer: Comparer,
    /// Names the root of the next episode.
    number: usize,
    patience: Duration,
    tamper: Option<Tamper>,
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    i64::try_from(since.as_millis()).expect("milliseconds fit")
}

impl<'a> Stage<'a> {
    fn new(options: &'a Options, tamper: Option<Tamper>) -> Result<Stage<'a>, ExitCode> {
        let pair = Pair::start(options.plan.profile, options.shards).map_err(|text| {
            eprintln!("{text}");
            ExitCode::from(69)
        })?;
        let comparer = Comparer::new(0, 0, (0, 0), options.plan.before_3_9);
        let mut stage = Stage { options, pair, comparer, number: 0, patience: PATIENCE, tamper };
        stage.forget();
        Ok(stage)
    }

    /// As if the servers were new, for what is normalised.
    fn forget(&mut self) {
        let (ours, theirs) = (self.pair.ringkeeper.zxid(), self.pair.zookeeper.zxid());
        let run = (now() - CLOCK_SLACK_MS, i64::MAX);
        self.comparer = Comparer::new(ours, theirs, run, self.options.plan.before_3_9);
    }

    fn play(&mut self, items: &[Item], tally: &mut Tally) -> Option<Difference> {
        self.number += 1;
        let number = self.number;
        let (zookeeper, ringkeeper) = (self.pair.zookeeper.address(), self.pair.ringkeeper.address());
        let patience = self.patience;
        let play = |address| {
            let start = Instant::now();
            let play = AssertUnwindSafe(|| Player::new(address, number, patience).play(items));
            (std::panic::catch_unwind(play), start.elapsed())
        };
        let ((theirs, their_time), (ours, our_time)) = std::thread::scope(|scope| {
            let theirs = scope.spawn(move || play(zookeeper));
            let ours = play(ringkeeper);
            (theirs.join().expect("panics are caught within"), ours)
        });
        tally.zookeeper_time += their_time;
        tally.ringkeeper_time += our_time;
        let gone = |name: &str, output: String| Difference {
            item: items.len().saturating_sub(1),
            kind: format!("{name} is gone"),
            text: format!("{name} takes no connections any more. It said:\n{output}"),
        };
        let theirs = match theirs {
            Ok(records) => records,
            Err(_) => return Some(gone("ZooKeeper", self.pair.zookeeper.output())),
        };
        let mut ours = match ours {
            Ok(records) => records,
            Err(_) => return Some(gone("Ringkeeper", self.pair.ringkeeper.output())),
        };
        if let Some(tamper) = self.tamper {
            tamper(items, &mut ours);
        }
        let run = (self.comparer.ours.run.0, now() + CLOCK_SLACK_MS);
        self.comparer.ours.run = run;
        self.comparer.theirs.run = run;
        tally.count(items, &theirs);
        self.comparer.compare(items, &theirs, &ours)
    }
}

fn picked(items: &[Item], only: &[usize], apart: bool) -> Vec<Item> {
    let item = |index: &usize| items.get(*index).cloned();
    let joined = |item: Item| Item { joined: item.joined && !apart, ..item };
    only.iter().filter_map(item).map(joined).collect()
}

/// A difference, as small as it gets.
struct Case {
    only: Vec<usize>,
    apart: bool,
    difference: Difference,
    reproduced: bool,
}

/// Replays on servers of its own, each time below a new znode.
fn smallest(
    options: &Options,
    items: &[Item],
    only: Vec<usize>,
    found: Difference,
    tamper: Option<Tamper>,
) -> Result<Case, ExitCode> {
    let mut stage = Stage::new(options, tamper)?;
    stage.patience = IMPATIENCE;
    let mut best =
        Case { only: only.clone(), apart: options.apart, difference: found.clone(), reproduced: false };
    let mut unused = Tally::default();
    let mut failed = None;
    let mut shows = |only: &[usize], apart: bool| {
        let chosen = picked(items, only, apart);
        let difference = stage.play(&chosen, &mut unused)?;
        let same = difference.kind == found.kind;
        // What is left behind by a difference shows up in later ones.
        match difference.kind.ends_with("is gone") || difference.kind.contains(" zxid ") {
            true => match Stage::new(options, tamper) {
                Ok(new) => stage = Stage { patience: IMPATIENCE, ..new },
                Err(code) => failed = Some(code),
            },
            false => stage.forget(),
        }
        same.then_some(difference)
    };
    // Nothing behind the difference matters.
    let mut kept = only[..=found.item.min(only.len() - 1)].to_vec();
    if shows(&kept, options.apart).is_none() {
        kept = only;
        if shows(&kept, options.apart).is_none() {
            return failed.map_or(Ok(best), Err);
        }
    }
    let kept = shrink(kept, |kept| match shows(kept, options.apart) {
        Some(difference) => {
            best = Case { only: kept.to_vec(), apart: options.apart, difference, reproduced: true };
            true
        }
        None => false,
    });
    if let Some(difference) = shows(&kept, true) {
        best = Case { only: kept, apart: true, difference, reproduced: true };
    }
    match failed {
        Some(code) => Err(code),
        None => Ok(best),
    }
}

fn print_case(options: &Options, episode: u64, items: &[Item], case: &Case) {
    println!("FAILED difference  kind={:?}  ZooKeeper {}", case.difference.kind, version());
    println!("  {}", options.replay(episode, &case.only, case.apart));
    let shown = picked(items, &case.only, case.apart);
    if !case.reproduced {
        println!("  It did not show itself again in a replay: a matter of time, or of what was before.");
        println!("  item {}: {}", case.difference.item, case.difference.text.replace('\n', "\n  "));
        return;
    }
    for (index, item) in case.only.iter().zip(&shown) {
        println!("  item {index}: {item}");
    }
    println!("  the last of them: {}", case.difference.text.replace('\n', "\n  "));
}

/// Every episode; stops at [`Options::faults_max`] kinds of differences.
pub fn run(options: &Options) -> Result<Tally, ExitCode> {
    let start = Instant::now();
    println!(
        "differential: seed {:#x}, profile {}, groups {}, {} shards, episodes {:?}, ZooKeeper {}",
        options.plan.seed,
        options.plan.profile.name(),
        options.plan.groups.name(),
        options.shards,
        options.episodes,
        version()
    );
    let mut tally = Tally::default();
    let mut kinds = BTreeSet::new();
    let mut stage = Stage::new(options, None)?;
    for episode in options.episodes.clone() {
        let items = options.plan.episode(episode);
        let only = options.only.clone().unwrap_or_else(|| (0..items.len()).collect());
        let chosen = picked(&items, &only, options.apart);
        let Some(difference) = stage.play(&chosen, &mut tally) else { continue };
        tally.faults += 1;
        if kinds.insert(difference.kind.clone()) {
            let case = match options.only {
                Some(_) => Case { only, apart: options.apart, difference, reproduced: true },
                None => smallest(options, &items, only, difference, None)?,
            };
            print_case(options, episode, &items, &case);
        } else {
            println!("episode {episode}: again {}", difference.kind);
        }
        if kinds.len() >= options.faults_max {
            break;
        }
        stage = Stage::new(options, None)?;
    }
    println!(
        "differential: {} requests, {} connects, {} events, {} episodes with a difference, {:.1} s \
         (ZooKeeper {:.1} s, Ringkeeper {:.1} s)",
        tally.requests,
        tally.connects,
        tally.events,
        tally.faults,
        start.elapsed().as_secs_f64(),
        tally.zookeeper_time.as_secs_f64(),
        tally.ringkeeper_time.as_secs_f64()
    );
    Ok(tally)
}

/// Makes a reply to a setData wrong if a create2 succeeded before it.
fn lie(items: &[Item], records: &mut [Record]) {
    let mut created = false;
    for (item, record) in items.iter().zip(records) {
        let Some(frame) = record.frames.last_mut() else { continue };
        let succeeded = ReplyHeader::parse(frame).is_ok_and(|header| header.xid != -1 && header.err == 0);
        match item.opcode().and_then(Opcode::from_i32) {
            Some(Opcode::Create2) if succeeded => created = true,
            Some(Opcode::SetData) if succeeded && created => {
                let last = frame.len() - 12;
                frame[last] ^= 1;
            }
            _ => {}
        }
    }
}

/// Whether a planted difference is found and shrunk to what it needs: the root, a create2, a setData, and perhaps what makes
/// these two succeed.
pub fn canary(groups: Groups) -> Result<bool, ExitCode> {
    let options = Options::new(0xca, Profile::Plain, 1, 1, groups);
    let items = options.plan.episode(0);
    let only: Vec<usize> = (0..items.len()).collect();
    let mut stage = Stage::new(&options, Some(lie))?;
    let Some(difference) = stage.play(&items, &mut Tally::default()) else {
        println!("the canary was not seen");
        return Ok(false);
    };
    let case = smallest(&options, &items, only, difference, Some(lie))?;
    let small = case.only.len() <= 6 && case.difference.kind.starts_with("5 all err 0/err 0");
    if !small {
        println!("the canary was not shrunk:");
        print_case(&options, 0, &items, &case);
    }
    Ok(small)
}
