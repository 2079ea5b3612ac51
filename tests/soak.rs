//! A long run of an ensemble of both kinds: clients that never stop, faults in seeded order, a history that is checked.
//!
//! ```text
//! cargo test --release --test soak -- --minutes 60 --seed 7                        # one server of Apache's, two of ours
//! cargo test --release --test soak -- --minutes 60 --seed 8 --apache 3.9.5,3.8.6   # two of Apache's, one of ours
//! ```
//! It goes in rounds of a minute: load and faults, then all servers at rest and compared, and the history judged and forgotten,
//! so that memory doesn't grow with the hours. The order of the faults is the seed's; what the clients do meanwhile is real time's.
//! Exit codes: 0 all is well, 1 something was found, 2 a canary was not, 64 bad arguments.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "ensemble/cluster.rs"]
mod cluster;
#[path = "ensemble/gate.rs"]
mod gate;
#[allow(dead_code, unused_imports, reason = "each test program uses its part")]
#[path = "ensemble/history.rs"]
mod history;
#[allow(dead_code, unused_imports, reason = "each test program uses its part")]
#[path = "ensemble/mixed.rs"]
mod mixed;
#[allow(dead_code, reason = "each test program uses its part")]
#[path = "ensemble/reads.rs"]
mod reads;

#[path = "soak/crowd.rs"]
mod crowd;
#[path = "soak/faults.rs"]
mod faults;
#[path = "soak/holders.rs"]
mod holders;
#[path = "soak/members.rs"]
mod members;
#[path = "soak/multis.rs"]
mod multis;
#[path = "soak/registers.rs"]
mod registers;
#[path = "soak/run.rs"]
mod run;
#[path = "soak/tally.rs"]
mod tally;
#[path = "soak/users.rs"]
mod users;

use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: soak [--minutes M] [--seed N] [--apache VERSION[,VERSION]]";

/// What a run was told.
#[derive(Clone, Debug)]
pub struct Options {
    time: Duration,
    seed: u64,
    /// The versions of Apache's voters, of three.
    apache: Vec<String>,
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
        let mut options =
            Options { time: Duration::from_secs(60), seed: 1, apache: vec!["3.9.5".to_owned()] };
        while let Some(flag) = arguments.next() {
            match flag.as_str() {
                "--minutes" => options.time = Duration::from_secs(60 * number(&flag, arguments.next())?),
                "--seed" => options.seed = number(&flag, arguments.next())?,
                "--apache" => {
                    let text = arguments.next().ok_or(format!("{flag} wants versions"))?;
                    options.apache = text.split(',').map(str::to_owned).collect();
                    if options.apache.len() > 2 {
                        return Err(format!("{flag} {text}: of three voters one is ours"));
                    }
                }
                // What `cargo test` passes to every test of a package.
                "--nocapture" | "--quiet" | "-q" | "--show-output" | "--exact" => {}
                other => return Err(format!("{other:?} is not known\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(options) => match registers::canary() {
            Ok(()) => run::run(&options),
            Err(text) => {
                println!("FAILED canary: {text}");
                ExitCode::from(2)
            }
        },
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(64)
        }
    }
}
