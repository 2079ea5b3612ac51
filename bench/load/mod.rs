//! `ringkeeper bench`: the load generator for servers of this protocol, and the floor server to compare with.
//!
//! Called by `cli`, and by the binary `ringkeeper-load`, which is the same under a name of its own. One thread, so that what
//! it costs is known and stays below what a server costs.
//!
//! ```text
//! arguments ─► run ─► dial (sessions) ─► poll_driver │ ring_driver ─► files, summary
//!                └──► storm (its own loop)    load ◄──┘ (who asks when) ─► workload (what: mix, keys, cycle)
//!                                                       session (replies) ─► recorder ─► report
//! ```
//! `mix`, `keys`, `workload`, `cycle`, `fan`, `session`, `recorder`, `report` and `summary` are pure; the drivers, `dial` and
//! `storm` move the bytes, and `alarm` ends their waits; `floor` is the other side; `relay` stands between servers.
//! Exit codes: 0 measured, no errors; 1 measured, with errors; 2 not measured; 3 measured in part, or a file of the result
//! couldn't be written.

mod alarm;
mod arguments;
mod clock;
mod connection;
mod cycle;
mod dial;
mod fan;
mod files;
mod floor;
mod keys;
mod listeners;
mod load;
mod mix;
mod poll_driver;
mod process;
mod progress;
mod protocol;
mod recorder;
mod relay;
mod report;
mod ring_driver;
mod run;
mod session;
mod storm;
mod summary;
mod workload;

pub use crate::io::Allocator;
pub use arguments::Arguments;

use crate::io::signal;
use arguments::Command;
use clap::Parser;
use run::Outcome;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

const NOT_MEASURED: u8 = 2;
const MEASURED_IN_PART: u8 = 3;

/// `ringkeeper-load`, as its command line says.
pub fn main() -> ExitCode {
    run(&Arguments::parse(), "ringkeeper-load")
}

/// `program`: how its messages begin.
pub fn run(arguments: &Arguments, program: &str) -> ExitCode {
    let done = match &arguments.command {
        Some(Command::Floor(floor)) => serve_floor(floor).map(|()| Outcome::default()),
        Some(Command::Wait(wait)) => run::wait(wait).map(|()| Outcome::default()),
        Some(Command::Relay(relay)) => pass_on(&relay.link).map(|()| Outcome::default()),
        None => run::run(&arguments.load, stop_flag()),
    };
    match done {
        Ok(outcome) => conclude(&outcome, program),
        Err(error) => {
            complain(&format!("{program}: {error}"));
            ExitCode::from(NOT_MEASURED)
        }
    }
}

/// Set by Ctrl-C, SIGTERM and SIGHUP. Where that can't be had they end the program at once, as they would others.
fn stop_flag() -> Option<&'static AtomicBool> {
    signal::flag().ok()
}

fn conclude(outcome: &Outcome, program: &str) -> ExitCode {
    for failed in &outcome.unwritten {
        complain(&format!("{program}: {failed}"));
    }
    if let Some(reason) = &outcome.partial {
        complain(&format!("{program}: measured in part: {reason}"));
    }
    if outcome.errors > 0 {
        complain(&format!("{program}: {} errors", outcome.errors));
    }
    match outcome {
        Outcome { partial: None, unwritten, errors: 0 } if unwritten.is_empty() => ExitCode::SUCCESS,
        Outcome { partial: None, unwritten, .. } if unwritten.is_empty() => ExitCode::from(1),
        _ => ExitCode::from(MEASURED_IN_PART),
    }
}

/// On standard error.
fn complain(line: &str) {
    // Nobody is left to be told that nobody listens.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// On standard output. Who reads no more ends no measurement that is under way.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn serve_floor(arguments: &arguments::FloorArguments) -> Result<(), String> {
    let options = floor::Options {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)),
        file: arguments.file.clone(),
        file_bytes: arguments.file_bytes,
        data_bytes: arguments.bytes,
    };
    floor::serve(&options, |address| say(&format!("floor ready on {address}"))).map_err(|error| {
        format!("floor on port {} with {}: {error}", arguments.port, arguments.file.display())
    })
}

fn pass_on(links: &[relay::Link]) -> Result<(), String> {
    let failed = |error| format!("relay: {error}");
    let relay = relay::Relay::new(links).map_err(failed)?;
    let addresses: Vec<String> =
        relay.addresses().map_err(failed)?.iter().map(SocketAddr::to_string).collect();
    say(&format!("relay ready on {}", addresses.join(", ")));
    relay.run().map_err(failed)
}

#[cfg(test)]
mod tests;
