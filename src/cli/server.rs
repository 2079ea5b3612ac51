//! `ringkeeper server`: from the command line to a checked configuration, and on to room `server`; or, with `--check`, to the
//! terminal.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;

use super::Start;
use super::about::about;
use crate::config::{Checked, Config, Raw, Refusal, Severity, Warning, is_setting};

/// A server, in the foreground, until SIGTERM.
///
/// Without arguments: standalone on 127.0.0.1:2181 with its data in ./ringkeeper-data.
#[derive(clap::Args, Debug, Default)]
#[command(
    override_usage = "ringkeeper server [--check] [-D NAME=VALUE]… [CONFIG | PORT DATADIR [TICKTIME [MAXCLIENTCNXNS]]]"
)]
pub struct Arguments {
    #[command(flatten)]
    pub source: Source,

    /// Starts nothing: says what is wrong with the configuration, or prints it, every setting with where it comes from. The
    /// exit status is 2 or 0.
    #[arg(long)]
    pub check: bool,
}

/// What makes the configuration.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Source {
    /// CONFIG is a zoo.cfg; PORT and DATADIR are what a standalone server needs of one.
    #[arg(value_name = "CONFIG | PORT DATADIR", num_args = 0..=4)]
    pub what: Vec<OsString>,

    /// Sets what a file would set, or a Java property: -DtickTime=500, -Dzookeeper.snapCount=1000. Wins over file and environment.
    #[arg(short = 'D', value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub properties: Vec<String>,

    /// Without arguments: what the container image starts from, instead of what a person does.
    #[arg(skip)]
    pub is_container: bool,
}

pub const EXIT_REFUSED: u8 = 2;
/// As a server's: something that the operator can mend.
const EXIT_UNWRITTEN: u8 = 3;

/// A larger one is something else than a configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why no server is started.
#[derive(Debug)]
enum Refused {
    Configuration(Refusal),
    /// Not even a configuration to check.
    Before(String),
}

/// The configuration that a server would be started with, or all that is wrong with it.
pub fn prepared(source: &Source) -> Result<(Config, Vec<Warning>), String> {
    prepare(source, std::env::vars_os(), read, resolve)
        .map(|checked| (checked.config, checked.warnings))
        .map_err(|refused| explanation(&refused, NOT_STARTED))
}

/// The same as written, whatever is wrong with it.
pub fn unchecked(source: &Source) -> Result<Raw, String> {
    raw(source, std::env::vars_os(), read).map_err(|refused| explanation(&refused, "ringkeeper"))
}

pub fn run(arguments: &Arguments, start: Start) -> ExitCode {
    if arguments.check {
        return check(&arguments.source);
    }
    match prepared(&arguments.source) {
        Ok((config, warnings)) => {
            let lines = super::log_to_stderr(config.log_format);
            for warning in &warnings {
                tell(warning);
            }
            start(config, about(), lines)
        }
        Err(explanation) => {
            eprint!("{explanation}");
            ExitCode::from(EXIT_REFUSED)
        }
    }
}

/// What is printed is a configuration; what is said of it goes beside it.
fn check(source: &Source) -> ExitCode {
    match prepare(source, std::env::vars_os(), read, resolve) {
        Ok(checked) => {
            for warning in &checked.warnings {
                let kind = if warning.severity == Severity::Info { "note" } else { "warning" };
                eprintln!("{kind}: {warning}");
            }
            shown(&checked.effective())
        }
        Err(refused) => {
            eprint!("{}", explanation(&refused, "ringkeeper"));
            ExitCode::from(EXIT_REFUSED)
        }
    }
}

/// Half a configuration must not pass for one. Who reads no further has what he wanted.
fn shown(text: &str) -> ExitCode {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("ringkeeper server --check: cannot write: {error}");
            ExitCode::from(EXIT_UNWRITTEN)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn tell(warning: &Warning) {
    match warning.severity {
        Severity::Info => tracing::info!("{warning}"),
        Severity::Warning => tracing::warn!("{warning}"),
        Severity::Error => tracing::error!("{warning}"),
    }
}

const NOT_STARTED: &str = "ringkeeper: not started";

/// All that is wrong, a line each, and last the summary. `who`: the beginning of that one.
fn explanation(refused: &Refused, who: &str) -> String {
    match refused {
        Refused::Before(reason) => format!("{who}: {reason}\n"),
        Refused::Configuration(refusal) => {
            let mut text = String::new();
            // An unknown key is often the reason why another one is missing.
            for warning in refusal.warnings.iter().filter(|warning| warning.severity != Severity::Info) {
                text.push_str(&format!("warning: {warning}\n"));
            }
            for fault in &refusal.faults {
                text.push_str(&format!("error: {fault}\n"));
            }
            let count = refusal.faults.len();
            let plural = if count == 1 { "" } else { "s" };
            text + &format!("{who}: {count} error{plural} in the configuration\n")
        }
    }
}

fn prepare(
    source: &Source,
    environment: impl Iterator<Item = (OsString, OsString)>,
    read: fn(&Path) -> io::Result<Vec<u8>>,
    resolve: fn(&str) -> Option<IpAddr>,
) -> Result<Checked, Refused> {
    raw(source, environment, read)?.check_and_keep(resolve, &read).map_err(Refused::Configuration)
}

/// Everything that was given, in its layers.
fn raw(
    source: &Source,
    environment: impl Iterator<Item = (OsString, OsString)>,
    read: fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Raw, Refused> {
    let mut raw = match source.what.as_slice() {
        [] if source.is_container => Raw::empty(),
        [] => Raw::built_in(),
        [file] => {
            let name = file.to_string_lossy();
            let content = read(Path::new(file)).map_err(|error| {
                let hint = match name.parse::<u16>() {
                    Ok(port) => format!("; for a server on port {port}: ringkeeper server {port} DATADIR"),
                    Err(_) => String::new(),
                };
                Refused::Before(format!("can't read {name}: {error}{hint}"))
            })?;
            Raw::parse(&name, &content)
        }
        arguments => {
            const KEYS: [&str; 4] = ["clientPort", "dataDir", "tickTime", "maxClientCnxns"];
            let mut raw = Raw::empty();
            for (key, value) in KEYS.iter().zip(arguments) {
                raw.argument(key, text(value, key)?);
            }
            raw
        }
    };
    let mut variables = Vec::new();
    for (name, value) in environment {
        if let Some(name) = name.to_str().filter(|name| is_setting(name)) {
            let value = text(&value, &format!("environment variable {name}"))?;
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    raw.environment(variables);
    for property in &source.properties {
        raw.property(property);
    }
    if source.what.is_empty() && source.is_container {
        raw.container();
    }
    Ok(raw)
}

fn text<'a>(value: &'a OsString, what: &str) -> Result<&'a str, Refused> {
    value.to_str().ok_or_else(|| Refused::Before(format!("{what} is not valid UTF-8: {value:?}")))
}

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {FILE_BYTES_MAX} bytes, so hardly a configuration"),
        ));
    }
    Ok(content)
}

/// As Java does: IPv4 before IPv6 where a name has both.
fn resolve(name: &str) -> Option<IpAddr> {
    let addresses: Vec<IpAddr> = (name, 0).to_socket_addrs().ok()?.map(|address| address.ip()).collect();
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

#[cfg(test)]
#[path = "server_test.rs"]
mod tests;
