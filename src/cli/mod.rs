//! Subcommands of the `ringkeeper` binary.
//!
//! Called by `main`. Reads what the pure rooms may not: the command line, the environment, the configuration file.
//! Exit codes: 0 done, 1 not done (as Apache's scripts say it), 2 a command line or configuration that can't be carried out;
//! others are room `server`'s: 3 what the operator can mend, 4 damaged data.
//! Tested: the `*_test.rs` beside the files.

/// What `main` must name, which sees nothing but this room.
pub use crate::io::Allocator;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::admin::About;
use crate::config::{Config, LogFormat};
use crate::io::{Supervisor, Surroundings};
use crate::server::{Filter, Lines};
use clap::Parser;

mod about;
mod apache;
mod backup;
mod client;
mod doctor;
mod inspect;
mod log_dump;
mod log_import;
mod moment;
mod progress;
mod replay;
mod restore;
mod server;
mod service;
mod shell;
mod snapshot;
mod srvr;

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
    /// Starts a server in the background, as zkServer.sh does, and waits until it stands
    Start(service::Arguments),
    /// A server in the foreground, as zkServer.sh and the container image start it
    StartForeground(service::Arguments),
    /// Stops the server that `start` started
    Stop(service::Arguments),
    /// `stop`, then `start`
    Restart(service::Arguments),
    /// Asks the server on this host what it is: leader, follower, observer, standalone
    Status(service::StatusArguments),
    /// Snapshots and data directories: taken over from Apache ZooKeeper and given back, looked into, checked, restored.
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// Shows what a log holds, checks it, and brings a directory forward by logs of Apache ZooKeeper.
    #[command(subcommand)]
    Log(log_dump::Command),
    Backup(backup::Arguments),
    Bench(Box<crate::bench::Arguments>),
    Doctor(doctor::Arguments),
    /// ZooKeeper's shell: every command of zkCli.sh, and more
    Cli(shell::Arguments),
}

/// Runs the program as the command line says.
pub fn run() -> ExitCode {
    run_with(std::env::args_os().collect(), start)
}

fn run_with(arguments: Vec<OsString>, start: Start) -> ExitCode {
    // Apache's script starts nothing by itself, and ends well.
    if arguments.len() == 1 && is_called(&arguments, "zkServer.sh") {
        eprintln!("Usage: zkServer.sh [--config <conf-dir>] {{start|start-foreground|stop|restart|status}}");
        return ExitCode::SUCCESS;
    }
    let named = arguments.get(1).cloned().unwrap_or_default();
    let arguments = match Arguments::try_parse_from(as_ours(arguments)) {
        Ok(arguments) => arguments,
        Err(answer) => {
            // Help and version come this way too. If nobody reads them there is nobody to tell.
            let _ = answer.print();
            if answer.kind() == clap::error::ErrorKind::InvalidSubcommand && Path::new(&named).is_file() {
                eprintln!("\nA server with this configuration: ringkeeper server {}", named.display());
            }
            return ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2));
        }
    };
    match arguments.subcommand.unwrap_or_else(|| Subcommand::Server(server::Arguments::default())) {
        Subcommand::Server(arguments) => server::run(&arguments, start),
        Subcommand::Start(arguments) => service::start(&arguments),
        Subcommand::StartForeground(arguments) => service::start_foreground(&arguments, start),
        Subcommand::Stop(arguments) => service::stop(&arguments),
        Subcommand::Restart(arguments) => service::restart(&arguments),
        Subcommand::Status(arguments) => service::status(&arguments),
        Subcommand::Snapshot(command) => snapshot::run(&command),
        Subcommand::Log(command) => log_dump::run(&command),
        Subcommand::Backup(arguments) => backup::run(&arguments),
        Subcommand::Bench(arguments) => crate::bench::run(&arguments, "ringkeeper bench"),
        Subcommand::Doctor(arguments) => doctor::run(&arguments),
        Subcommand::Cli(arguments) => shell::run(&arguments),
    }
}

/// What scripts say to Apache's programs: through links of their names to this one, and to zkServer.sh with the
/// configuration's directory before the command.
fn as_ours(mut words: Vec<OsString>) -> Vec<OsString> {
    if is_called(&words, "zkCli.sh") {
        words.insert(1, "cli".into());
    }
    if words.len() > 3 && words[1] == "--config" {
        words[1..4].rotate_right(1);
    }
    words
}

fn is_called(words: &[OsString], name: &str) -> bool {
    words.first().and_then(|program| Path::new(program).file_name()).is_some_and(|called| called == name)
}

/// Whether a process with this command line is a server, and not another command of this program.
fn is_server(words: Vec<OsString>) -> bool {
    match Arguments::try_parse_from(as_ours(words)).map(|arguments| arguments.subcommand) {
        Ok(None | Some(Subcommand::Server(_) | Subcommand::StartForeground(_))) => true,
        Ok(Some(_)) => false,
        // Of another version, maybe: its server is stopped by ours.
        Err(_) => true,
    }
}

/// Whoever watches over this process, as its environment says.
fn supervisor() -> Supervisor {
    let surroundings = Surroundings {
        socket: std::env::var_os("NOTIFY_SOCKET"),
        watchdog: std::env::var_os("WATCHDOG_USEC"),
        watched: std::env::var_os("WATCHDOG_PID"),
    };
    Supervisor::new(&surroundings).unwrap_or_else(|error| {
        tracing::warn!("{error}; who started this server is told nothing");
        Supervisor::default()
    })
}

/// The one call into room `server`.
fn start(config: Config, about: About, lines: Lines) -> ExitCode {
    let surroundings = crate::server::Surroundings {
        about,
        lines,
        supervisor: supervisor(),
        read_snapshot: inspect::read_received,
    };
    match crate::server::run(config, surroundings) {
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
