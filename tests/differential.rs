//! Apache ZooKeeper and Ringkeeper are given the same streams of requests, and their answers compared byte by byte.
//!
//! `cargo test --test differential -- --seed 0x1 --profile extended --episodes 50`
//!
//! Without arguments: the canary, and three runs. A difference is shrunk and printed with the line that replays it. What may
//! differ is in `differential/normal.rs`; what is not sent at all in `differential/generator.rs`.
//! Exit codes: 0 all is well, 1 a difference, 2 a test of the test failed, 64 bad arguments, 69 a server can't be started.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "differential/body.rs"]
mod body;
#[path = "differential/capture.rs"]
mod capture;
#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/generator.rs"]
mod generator;
#[path = "differential/groups.rs"]
mod groups;
#[path = "differential/item.rs"]
mod item;
#[path = "differential/normal.rs"]
mod normal;
#[path = "differential/operations.rs"]
mod operations;
#[path = "differential/player.rs"]
mod player;
#[path = "differential/run.rs"]
mod run;
#[path = "differential/servers.rs"]
mod servers;
#[path = "differential/shrink.rs"]
mod shrink;
#[path = "differential/values.rs"]
mod values;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use groups::{Groups, Profile};
use run::{Options, Tally};

const USAGE: &str = "usage: differential [--seed N] [--profile plain|extended|skipacl] [--groups LIST] [--shards N] \
    [--episodes COUNT | --episode N [--only INDEX,…] [--apart]] [--faults COUNT] [--hours N] | --capture";

/// What main's Ringkeeper is held to.
const GROUPS_DEFAULT: &str = "all";

/// The runs of `cargo test`: seed, profile, shards, episodes.
const RUNS: [(u64, Profile, u64, u64); 3] =
    [(1, Profile::Plain, 1, 60), (2, Profile::Extended, 2, 60), (3, Profile::SkipAcl, 1, 10)];

/// A run without arguments compares at least so many requests.
const REQUESTS_MIN: usize = 50_000;

fn number(flag: &str, text: Option<String>) -> Result<u64, String> {
    let text = text.ok_or(format!("{flag} wants a number"))?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("{flag} {text}: {error}"))
}

struct Arguments {
    options: Options,
    hours: u64,
    capture: bool,
    /// Nothing was said: the runs of `cargo test`.
    none: bool,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let groups = Groups::parse(GROUPS_DEFAULT).expect("the default is one of the names");
    let mut options = Options::new(1, Profile::Plain, 1, 60, groups);
    let mut hours = 0;
    let mut none = true;
    let mut capture = false;
    while let Some(flag) = arguments.next() {
        let flag = flag.as_str();
        // What `cargo test` passes to every test of a package.
        if matches!(flag, "--nocapture" | "--quiet" | "-q" | "--show-output" | "--exact") {
            continue;
        }
        none = false;
        let mut text = || arguments.next().ok_or(format!("{flag} wants a value"));
        match flag {
            "--seed" => options.plan.seed = number(flag, arguments.next())?,
            "--profile" => options.plan.profile = Profile::parse(&text()?)?,
            "--groups" => options.plan.groups = Groups::parse(&text()?)?,
            "--shards" => options.shards = number(flag, arguments.next())?,
            "--episodes" => options.episodes = 0..number(flag, arguments.next())?,
            "--episode" => {
                let episode = number(flag, arguments.next())?;
                options.episodes = episode..episode + 1;
            }
            "--only" => {
                let indices = text()?
                    .split(',')
                    .map(|index| number(flag, Some(index.to_owned())).map(|n| n as usize))
                    .collect::<Result<_, _>>();
                options.only = Some(indices?);
            }
            "--apart" => options.apart = true,
            "--capture" => capture = true,
            "--faults" => options.faults_max = number(flag, arguments.next())? as usize,
            "--hours" => hours = number(flag, arguments.next())?,
            other => return Err(format!("{other:?} is not known\n{USAGE}")),
        }
    }
    if options.only.is_some() && options.episodes.end - options.episodes.start != 1 {
        return Err("--only goes with --episode".to_owned());
    }
    Ok(Arguments { options, hours, capture, none })
}

/// The canary and the runs of `cargo test`.
fn all() -> Result<Tally, ExitCode> {
    shrink::check();
    println!("test shrinking_finds_what_matters ... ok");
    player::check();
    println!("test who_leaves_is_gone_before_he_comes_back ... ok");
    let groups = Groups::parse(GROUPS_DEFAULT).expect("the default is one of the names");
    if !run::canary(groups.clone())? {
        println!("test a_planted_difference_is_found_and_shrunk ... FAILED");
        return Err(ExitCode::from(2));
    }
    println!("test a_planted_difference_is_found_and_shrunk ... ok");
    let mut total = Tally::default();
    for (seed, profile, shards, episodes) in RUNS {
        let tally = run::run(&Options::new(seed, profile, shards, episodes, groups.clone()))?;
        println!(
            "test differential_{} ... {}",
            profile.name(),
            if tally.faults == 0 { "ok" } else { "FAILED" }
        );
        total.add(&tally);
    }
    assert!(total.requests >= REQUESTS_MIN || total.faults > 0, "only {} requests", total.requests);
    Ok(total)
}

fn hours(options: &Options, hours: u64) -> Result<Tally, ExitCode> {
    let start = Instant::now();
    let mut total = Tally::default();
    let mut options = options.clone();
    while start.elapsed() < Duration::from_secs(hours * 3600) && total.faults < options.faults_max {
        for (_, profile, shards, _) in RUNS {
            options.plan.profile = profile;
            options.shards = shards;
            total.add(&run::run(&options)?);
            options.plan.seed += 1;
        }
    }
    Ok(total)
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(64);
        }
    };
    if arguments.capture {
        match capture::capture() {
            Ok(path) => println!("{path} is written"),
            Err(text) => {
                eprintln!("{text}");
                return ExitCode::from(69);
            }
        }
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let result = match (arguments.none, arguments.hours) {
        (true, _) => all(),
        (false, 0) => run::run(&arguments.options),
        (false, count) => hours(&arguments.options, count),
    };
    match result {
        Err(code) => code,
        Ok(total) => {
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "differential: ZooKeeper {}: {} requests, {} connects, {} events compared, {} differences, {seconds:.1} s",
                servers::version(),
                total.requests,
                total.connects,
                total.events,
                total.faults
            );
            // As libtest says it: `tests/run` counts.
            let passed = if arguments.none { 3 + RUNS.len() } else { 1 };
            let verdict = if total.faults == 0 { "ok" } else { "FAILED" };
            let failed = total.faults.min(passed);
            println!("test result: {verdict}. {} passed; {failed} failed; 0 ignored", passed - failed);
            ExitCode::from(u8::from(total.faults > 0))
        }
    }
}
