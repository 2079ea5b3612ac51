//! Subcommands of the `ringkeeper` binary.
//!
//! Called by `main`. Reads what the pure rooms may not: the command line, the environment, the configuration file.
//! Exit codes: 0 done, 2 a command line or configuration that can't be carried out; others are room `server`'s: 3 what the
//! operator can mend, 4 damaged data.
//! Tested: the `*_test.rs` beside the files.

/// What `main` must name, which sees nothing but this room.
pub use crate::io::Allocator;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::admin::About;
use crate::config::{Config, LogFormat};
use crate::server::{Filter, Lines};
use clap::Parser;

mod about;
mod apache;
mod client;
mod doctor;
mod log_dump;
mod log_import;
mod progress;
mod server;
mod shell;
mod snapshot;

/// The variable that says which log lines are written, as `RINGKEEPER_LOG=debug` or `info,ringkeeper::io=trace`.
const LOG_VARIABLE: &str = "RINGKEEPER_LOG";

/// What a server is started with; returns when it has ended.
type Start = fn(Config, About, Lines) -> ExitCode;

/// A ZooKeeper server. Without a subcommand: `ringkeeper server`.
#[derive(Parser)]
#[command(name = "ringkeeper", version)]
struct Arguments {
    #[command(subcommand)]
    subcommand: Option<Subcommand>,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    Server(server::Arguments),
    /// Takes over data of Apache ZooKeeper, and gives it back.
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// Shows what a log holds, and brings a directory forward by logs of Apache ZooKeeper.
    #[command(subcommand)]
    Log(log_dump::Command),
    Doctor(doctor::Arguments),
    /// ZooKeeper's shell: every command of zkCli.sh, and more
    Cli(shell::Arguments),
}

/// Runs the program as the command line says.
pub fn run() -> ExitCode {
    run_with(std::env::args_os().collect(), start)
}

fn run_with(arguments: Vec<OsString>, start: Start) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(answer) => {
            // Help and version come this way too. If nobody reads them there is nobody to tell.
            let _ = answer.print();
            return ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2));
        }
    };
    match arguments.subcommand.unwrap_or_else(|| Subcommand::Server(server::Arguments::default())) {
        Subcommand::Server(arguments) => server::run(&arguments, start),
        Subcommand::Snapshot(command) => snapshot::run(&command),
        Subcommand::Log(command) => log_dump::run(&command),
        Subcommand::Doctor(arguments) => doctor::run(&arguments),
        Subcommand::Cli(arguments) => shell::run(&arguments),
    }
}

/// The one call into room `server`.
fn start(config: Config, about: About, lines: Lines) -> ExitCode {
    match crate::server::run(config, about, lines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            tracing::error!("{fatal}");
            ExitCode::from(fatal.exit_code())
        }
    }
}

/// Sends log lines to standard error from here on.
fn log_to_stderr(format: LogFormat) -> Lines {
    let given = std::env::var(LOG_VARIABLE).ok().filter(|directives| !directives.trim().is_empty());
    let (filter, complaint) = match given.as_deref().map(Filter::parse) {
        None => (Filter::default(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(problem)) => (Filter::default(), Some(problem)),
    };
    let lines = Lines::begin(filter, format);
    if let Some(problem) = complaint {
        tracing::warn!("{LOG_VARIABLE}: {problem}; using {LOG_VARIABLE}={}", lines.current());
    }
    lines
}
