//! Fuzz targets: whatever comes from outside, nothing panics, and nothing is believed that can't be right.
//!
//! ```text
//! cargo test --test fuzz                                            # every target for a second, fixed seeds
//! cargo test --release --test fuzz -- --hours 8                     # other seeds, all targets
//! cargo test --release --test fuzz -- --target recovery --hours 1
//! cargo test --release --test fuzz -- --target decoder --seed 0x7   # one seed again: what a failure prints
//! ```
//! A target gets a seed and makes a round of inputs of it: valid ones, which it then damages. A round is a function of its
//! seed, so the seed is all that a failure has to name. Exit codes: 0 all is well, 1 something was found, 2 a canary
//! was not, 64 bad arguments.

#![allow(clippy::disallowed_methods, reason = "how long to go on is told by the machine's clock")]

mod connection;
mod corpus;
mod decoder;
mod recovery;
mod replay;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: fuzz [--target decoder|connection|recovery|replay] [--seed N] [--from N] [--hours H | --seconds S]";

struct Target {
    name: &'static str,
    /// Runs the round of one seed; how many inputs it looked at, or answers it got.
    round: fn(u64) -> u64,
    /// The same with a bug put in on purpose: it must not stand this.
    canary: fn(u64),
    /// Rounds in the tests: about a second of them with little optimisation.
    smoke: u64,
}

/// A canary must fall within so many seeds.
const CANARY_SEEDS_MAX: u64 = 50;

const TARGETS: [Target; 4] = [
    Target { name: "decoder", round: decoder::round, canary: decoder::canary, smoke: 250 },
    Target { name: "connection", round: connection::round, canary: connection::canary, smoke: 600 },
    Target { name: "recovery", round: recovery::round, canary: recovery::canary, smoke: 300 },
    Target { name: "replay", round: replay::round, canary: replay::canary, smoke: 1_000 },
];

#[derive(Default)]
struct Options {
    target: Option<String>,
    seed: Option<u64>,
    from: Option<u64>,
    time: Option<Duration>,
}

fn number(flag: &str, text: Option<String>) -> Result<u64, String> {
    let text = text.ok_or(format!("{flag} wants a number"))?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("{flag} {text}: {error}"))
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next() {
            let flag = argument.as_str();
            match flag {
                "--target" => {
                    let name = arguments.next().unwrap_or_default();
                    if !TARGETS.iter().any(|target| target.name == name) {
                        return Err(format!("--target: {name:?} is no target\n{USAGE}"));
                    }
                    options.target = Some(name);
                }
                "--seed" => options.seed = Some(number(flag, arguments.next())?),
                "--from" => options.from = Some(number(flag, arguments.next())?),
                "--hours" => {
                    options.time = Some(Duration::from_secs(3600 * number(flag, arguments.next())?));
                }
                "--seconds" => options.time = Some(Duration::from_secs(number(flag, arguments.next())?)),
                // What `cargo test` passes to every test of a package.
                "--nocapture" | "--quiet" | "-q" | "--show-output" | "--exact" => {}
                other => return Err(format!("{other:?} is not known\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

static PANIC: Mutex<String> = Mutex::new(String::new());

/// One round; what went wrong, if something did.
fn run(target: &Target, seed: u64) -> Result<u64, String> {
    catch_unwind(AssertUnwindSafe(|| (target.round)(seed))).map_err(|_| {
        let panic = PANIC.lock().map_or_else(|_| String::new(), |text| text.clone());
        let name = target.name;
        format!(
            "FAILED fuzz target {name}  seed={seed:#x}\n  \
             cargo test --release --test fuzz -- --target {name} --seed {seed:#x}\n  {panic}"
        )
    })
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(64);
        }
    };
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut text) = PANIC.lock() {
            *text = info.to_string().replace('\n', " ");
        }
    }));
    let wanted = |target: &&Target| options.target.as_ref().is_none_or(|name| name == target.name);
    let targets: Vec<&Target> = TARGETS.iter().filter(wanted).collect();
    let from = options.seed.or(options.from).unwrap_or(1);
    let began = Instant::now();
    let mut totals = vec![(0u64, 0u64); targets.len()];
    let mut seed = from;
    loop {
        let mut any = false;
        for (target, total) in targets.iter().zip(&mut totals) {
            let more = match (options.seed, options.time) {
                (Some(only), _) => seed == only,
                (None, Some(time)) => began.elapsed() < time,
                (None, None) => seed - from < target.smoke,
            };
            if !more {
                continue;
            }
            any = true;
            match run(target, seed) {
                Ok(inputs) => *total = (total.0 + 1, total.1 + inputs),
                Err(text) => {
                    println!("{text}");
                    return ExitCode::from(1);
                }
            }
        }
        if !any {
            break;
        }
        seed += 1;
    }
    if options.seed.is_none() {
        for target in &targets {
            let falls = |seed| catch_unwind(|| (target.canary)(seed)).is_err();
            match (1..=CANARY_SEEDS_MAX).find(|seed| falls(*seed)) {
                Some(seed) => println!("fuzz: canary of {} fell with seed {seed:#x}", target.name),
                None => {
                    println!("FAILED canary of {}: {CANARY_SEEDS_MAX} seeds passed with it", target.name);
                    return ExitCode::from(2);
                }
            }
        }
    }
    for (target, (rounds, inputs)) in targets.iter().zip(totals) {
        println!("fuzz: {} stood {rounds} seeds from {from:#x}: {inputs} inputs", target.name);
    }
    ExitCode::SUCCESS
}
