//! `ringkeeper doctor`: what stands against starting, stopping or replacing this server, before it is done.
//!
//! Looks at the configuration, the directories, the other members and the host; changes nothing, and asks the servers nothing but
//! `srvr`. With `--measure` it also writes to a file of its own in `dataLogDir`, for a second. Four parts, a line a finding, and
//! under it what to do. Exit code: 0 nothing is wrong (there may be warnings), 1 something is, 2 the configuration can't be
//! carried out.
//!
//! | file | looks at |
//! |---|---|
//! | `directory.rs` | what `dataDir` and `dataLogDir` hold, and whether this server may vote with that |
//! | `members.rs` | who serves, whether a quorum is left without this server, the order of moving over |
//! | `host.rs`, `host/` | kernel and limits, processors, memory, disk: the knobs of tuning/ |
//! | `syncs.rs` | how long a write of the log takes until it is durable |
//!
//! Tested: the `*_test.rs` beside the files; tests/ensemble/doctor.rs and migration.rs with real servers.

mod directory;
mod host;
mod members;
mod syncs;

use std::fmt;
use std::process::ExitCode;

use super::{progress, server};
use crate::config::{Config, Severity};

/// Says what stands against starting, stopping or replacing a server, and what to do about it. Changes nothing;
/// `--measure` writes to a file of its own.
///
/// Run it on the host of the server, with the configuration that it runs with or is to run with.
#[derive(clap::Args, Debug)]
#[group(skip)]
#[command(
    override_usage = "ringkeeper doctor [--measure] [-D NAME=VALUE]… [CONFIG | PORT DATADIR [TICKTIME [MAXCLIENTCNXNS]]]"
)]
pub struct Arguments {
    /// Also measures for a second how long a write of the log takes until it is durable, one after the other, in a file of
    /// 4 MiB beside the log, which is removed. Who else uses that disk, a server that runs, notices it.
    #[arg(long)]
    measure: bool,
    #[command(flatten)]
    server: server::Source,
}

const EXIT_WRONG: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Fine,
    /// Worth knowing.
    Note,
    /// It works, and may not always.
    Warning,
    /// Not as it is.
    Wrong,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Fine => "ok",
            Level::Note => "note",
            Level::Warning => "warn",
            Level::Wrong => "WRONG",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    level: Level,
    what: String,
    /// What to do, line by line.
    todo: Vec<String>,
}

impl Finding {
    fn new(level: Level, what: impl Into<String>) -> Finding {
        Finding { level, what: what.into(), todo: vec![] }
    }

    fn todo(mut self, line: impl Into<String>) -> Finding {
        self.todo.push(line.into());
        self
    }

    /// Names the page of tuning/ that has the reason, the figures, and how to undo it.
    fn see(self, page: &str) -> Finding {
        self.todo(format!("More: tuning/{page}.md"))
    }
}

pub fn run(arguments: &Arguments) -> ExitCode {
    match server::prepared(&arguments.server) {
        Ok((config, warnings)) => {
            let level = |severity| match severity {
                Severity::Info => Level::Note,
                Severity::Warning => Level::Warning,
                Severity::Error => Level::Wrong,
            };
            let mut written = vec![Finding::new(Level::Fine, described(&config))];
            let told =
                warnings.iter().map(|warning| Finding::new(level(warning.severity), warning.to_string()));
            written.extend(told);
            let asked = members::ask(&config);
            let mut host = host::look(&config);
            host.extend(arguments.measure.then(|| syncs::look(&config)));
            let parts = [
                ("configuration", written),
                ("data", directory::look(&config, asked.iter().any(members::Answer::serves))),
                ("servers", members::judge(&config, &asked)),
                ("host", host),
            ];
            progress::print(&rendered(&parts));
            let worst = parts.iter().flat_map(|(_, findings)| findings).map(|finding| finding.level).max();
            ExitCode::from(if worst == Some(Level::Wrong) { EXIT_WRONG } else { 0 })
        }
        Err(explanation) => {
            eprint!("{explanation}");
            ExitCode::from(server::EXIT_REFUSED)
        }
    }
}

fn described(config: &Config) -> String {
    let tick = config.tick_time.as_millis();
    match &config.ensemble {
        None => format!("a standalone server, clientPort {}, tickTime {tick} ms", config.client.port),
        Some(ensemble) => format!(
            "server.{}, {} of {} members with {} votes, clientPort {}, tickTime {tick} ms",
            ensemble.me.0,
            ensemble.peer_type,
            ensemble.members.members().count(),
            ensemble.members.voters().len(),
            config.client.port
        ),
    }
}

/// Without the last line's end.
fn rendered(parts: &[(&str, Vec<Finding>)]) -> String {
    let mut text = String::new();
    for (part, findings) in parts {
        text.push_str(&format!("{part}\n"));
        for finding in findings {
            text.push_str(&format!("  {:<5} {}\n", finding.level.to_string(), finding.what));
            for line in &finding.todo {
                text.push_str(&format!("        {line}\n"));
            }
        }
    }
    let count =
        |level| parts.iter().flat_map(|(_, all)| all).filter(|finding| finding.level == level).count();
    text + &format!("{} wrong, {} warnings", count(Level::Wrong), count(Level::Warning))
}

#[cfg(test)]
#[path = "doctor_test.rs"]
mod tests;
