//! Runs the simulator: many seeds, the canaries, or one run again from the line that a failure printed.
//!
//! `cargo test --release --test sim -- --seed 0x5d1f22 --shards 2 --faults disk,cut`
//!
//! Exit codes: 0 all is well, 1 broken correctness, 2 lost liveness, 3 crash, 4 two runs of one seed differ, 5 a canary was not
//! caught, 64 bad arguments.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ringkeeper::sim::{Canary, Counts, Failure, Faults, Kind, Plan, World};

const USAGE: &str = "usage: sim [--seed N | --seeds COUNT [--from N]] [--shards 1..4] [--faults LIST] [--ticks N] \
    [--canary NAME] [--threads N] [--no-canaries] [--trace]";

/// Seeds of a run without arguments.
const SEEDS_DEFAULT: u64 = 300;
/// A canary must be caught within so many seeds.
const CANARY_SEEDS_MAX: u64 = 60;

#[derive(Default)]
struct Options {
    seed: Option<u64>,
    seeds: Option<u64>,
    from: u64,
    shards: Option<usize>,
    faults: Option<Faults>,
    ticks: Option<u64>,
    canary: Option<Canary>,
    threads: Option<usize>,
    no_canaries: bool,
    trace: bool,
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
                "--seed" => options.seed = Some(number(flag, arguments.next())?),
                "--seeds" => options.seeds = Some(number(flag, arguments.next())?),
                "--from" => options.from = number(flag, arguments.next())?,
                "--shards" => {
                    let shards = number(flag, arguments.next())? as usize;
                    options.shards =
                        Some((1..=4).contains(&shards).then_some(shards).ok_or("--shards: 1 to 4")?);
                }
                "--faults" => {
                    options.faults = Some(Faults::parse(&arguments.next().ok_or("--faults wants a list")?)?);
                }
                "--ticks" => options.ticks = Some(number(flag, arguments.next())?),
                "--canary" => {
                    options.canary = Some(Canary::parse(&arguments.next().ok_or("--canary wants a name")?)?);
                }
                "--threads" => options.threads = Some(number(flag, arguments.next())?.clamp(1, 64) as usize),
                "--no-canaries" => options.no_canaries = true,
                "--trace" => {
                    options.trace = true;
                    tracing_subscriber::fmt().without_time().with_target(false).init();
                }
                // What `cargo test` passes to every test of a package.
                "--nocapture" | "--quiet" | "-q" | "--show-output" | "--exact" => {}
                other => return Err(format!("{other:?} is not known\n{USAGE}")),
            }
        }
        Ok(options)
    }

    fn plan(&self, seed: u64) -> Plan {
        let drawn = Plan::draw(seed);
        Plan {
            shards: self.shards.unwrap_or(drawn.shards),
            faults: self.faults.unwrap_or(drawn.faults),
            ticks: self.ticks.unwrap_or(drawn.ticks),
            canary: self.canary.or(drawn.canary),
            trace: self.trace,
            ..drawn
        }
    }
}

thread_local! {
    /// The message of the panic that is being caught.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Outcome {
    result: Result<(), Failure>,
    hash: u64,
    tick: u64,
    counts: Counts,
    lines: Vec<String>,
}

fn run(plan: &Plan, text: bool) -> Outcome {
    let mut world = World::new(plan.clone(), text);
    let caught = catch_unwind(AssertUnwindSafe(|| world.run()));
    let result = caught.unwrap_or_else(|_| {
        let detail = PANIC.take();
        Err(Failure { kind: Kind::Crash, check: "nothing panics", detail })
    });
    let lines = world.last_lines().map(str::to_owned).collect();
    let outcome = Outcome { result, hash: world.hash(), tick: world.tick(), counts: world.counts(), lines };
    // After a panic its parts may be in any state: better leaked than dropped.
    if matches!(&outcome.result, Err(failure) if failure.kind == Kind::Crash) {
        std::mem::forget(world);
    }
    outcome
}

/// What went wrong with a plan, as text; and the exit code.
fn report(plan: &Plan, failure: &Failure, tick: u64) -> String {
    format!(
        "FAILED {}  seed={:#x}  tick={tick}\n  {}\n  {}",
        match failure.kind {
            Kind::Crash => "crash".to_owned(),
            Kind::Liveness => format!("liveness ({})", failure.check),
            Kind::Correctness => format!("correctness ({})", failure.check),
        },
        plan.seed,
        plan.replay(),
        failure.detail,
    )
}

fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::Correctness => 1,
        Kind::Liveness => 2,
        Kind::Crash => 3,
    }
}

/// Runs the plan twice.
fn check(plan: &Plan) -> Result<Counts, (String, u8)> {
    let first = run(plan, plan.trace);
    if let Err(failure) = &first.result {
        return Err((report(plan, failure, first.tick), exit_code(failure.kind)));
    }
    let second = run(&Plan { trace: false, ..plan.clone() }, false);
    if first.hash != second.hash || first.tick != second.tick {
        let text = format!(
            "FAILED determinism  seed={:#x}\n  {}\n  trace hashes {:016x} and {:016x}, ticks {} and {}",
            plan.seed,
            plan.replay(),
            first.hash,
            second.hash,
            first.tick,
            second.tick,
        );
        return Err((text, 4));
    }
    Ok(first.counts)
}

fn one(plan: &Plan) -> ExitCode {
    println!("sim: {}", plan.replay());
    match check(plan) {
        Ok(counts) => {
            println!("sim: seed {:#x} is well: {counts:?}", plan.seed);
            ExitCode::SUCCESS
        }
        Err((text, code)) => {
            let again = run(&Plan { trace: false, ..plan.clone() }, true);
            if !plan.trace {
                again.lines.iter().for_each(|line| println!("    {line}"));
            }
            println!("{text}");
            ExitCode::from(code)
        }
    }
}

fn many(options: &Options) -> ExitCode {
    let count = options.seeds.unwrap_or(SEEDS_DEFAULT);
    let threads =
        options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    println!("sim: seeds {:#x} to {:#x} on {threads} threads", options.from, options.from + count);
    let next = AtomicU64::new(0);
    let failed: Mutex<Vec<(u64, String, u8)>> = Mutex::new(vec![]);
    let total = Mutex::new((Counts::default(), 0u64));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count
                        || failed.lock().expect("a panic in a run is caught and told").len() >= 5
                    {
                        return;
                    }
                    let plan = options.plan(options.from + index);
                    match check(&plan) {
                        Ok(counts) => {
                            let mut total = total.lock().expect("a panic in a run is caught and told");
                            total.0.add(&counts);
                            total.1 += 1;
                        }
                        Err((text, code)) => {
                            println!("{text}");
                            failed
                                .lock()
                                .expect("a panic in a run is caught and told")
                                .push((plan.seed, text, code));
                        }
                    }
                }
            });
        }
    });
    let (counts, runs) = *total.lock().expect("a panic in a run is caught and told");
    println!("sim: {runs} seeds are well: {counts:?}");
    let mut failed = failed.into_inner().expect("a panic in a run is caught and told");
    failed.sort();
    match failed.first() {
        None => ExitCode::SUCCESS,
        Some((_, text, code)) => {
            println!("sim: {} failed; the first:\n{text}", failed.len());
            ExitCode::from(*code)
        }
    }
}

/// Every bug that was put in on purpose must be found, and the same run without it be well.
fn canaries(options: &Options) -> ExitCode {
    for canary in Canary::ALL {
        let caught = (0..CANARY_SEEDS_MAX).find_map(|seed| {
            let plan = Plan { canary: Some(canary), ..Plan::canary_plan(options.from + seed, canary) };
            let outcome = run(&plan, false);
            let failure = outcome.result.err()?;
            Some((plan, failure, outcome.tick))
        });
        let Some((plan, failure, tick)) = caught else {
            println!("FAILED canary {}: {CANARY_SEEDS_MAX} seeds passed with it", canary.name());
            return ExitCode::from(5);
        };
        println!(
            "sim: canary {} caught by seed {:#x} at tick {tick}: {}",
            canary.name(),
            plan.seed,
            failure.check
        );
        let sound = Plan { canary: None, ..plan };
        if let Err((text, code)) = check(&sound) {
            println!("{text}");
            return ExitCode::from(code);
        }
    }
    ExitCode::SUCCESS
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
        let text = info.to_string();
        if std::env::var("RUST_BACKTRACE").is_ok_and(|value| value == "full") {
            eprintln!("{text}\n{}", std::backtrace::Backtrace::force_capture());
        }
        PANIC.set(text.replace('\n', " "));
    }));
    if let Some(seed) = options.seed {
        return one(&options.plan(seed));
    }
    let code = many(&options);
    if code != ExitCode::SUCCESS || options.no_canaries || options.canary.is_some() {
        return code;
    }
    canaries(&options)
}
