//! `ringkeeper start|start-foreground|stop|restart|status`: what Apache's `zkServer.sh` does, with its words, files and exit
//! statuses.
//!
//! On purpose otherwise: `start` says STARTED only when the server stands, however long that takes, or else what the server said;
//! `stop` waits for the end, and touches no process that isn't a server; `restart` stops nothing for a configuration that is at
//! fault; `status` says why when it gets no answer. The log is appended to. Lines of shell in `java.env` and
//! `zookeeper-env.sh` are not run.
//!
//! | file | has |
//! |---|---|
//! | `place.rs` | where configuration, pid file and log are |
//! | `instance.rs` | whom the pid file names |
//! | `start.rs`, `stop.rs`, `status.rs` | the commands |
//!
//! Tested: `place_test.rs`; `tests/service.rs`, with real processes.

mod instance;
mod place;
mod start;
mod status;
mod stop;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Start, server};
use crate::io::Directory;
use place::{Base, Places};

/// What `zkServer.sh` is told.
#[derive(clap::Args, Debug)]
#[group(skip)]
pub struct Arguments {
    /// A zoo.cfg: a path, or a name in the configuration directory. Without it: zoo.cfg there
    config: Option<PathBuf>,

    /// The configuration directory, instead of ZOOCFGDIR
    #[arg(long = "config", value_name = "DIR")]
    directory: Option<PathBuf>,

    /// As for `ringkeeper server`
    #[arg(short = 'D', value_name = "NAME=VALUE", allow_hyphen_values = true)]
    properties: Vec<String>,
}

#[derive(clap::Args, Debug)]
#[group(skip)]
pub struct StatusArguments {
    #[command(flatten)]
    common: Arguments,

    /// Also a server without a quorum is well: for a health check that ends who fails it
    #[arg(long)]
    alive: bool,
}

/// As zkServer.sh ends when something is wrong.
const WRONG: u8 = 1;

/// A line for standard error, or several; what was begun on standard output is ended.
#[derive(Debug)]
struct Trouble(String);

impl<E: std::fmt::Display> From<E> for Trouble {
    fn from(error: E) -> Trouble {
        Trouble(error.to_string())
    }
}

/// The environment. An empty variable counts as unset, as in a shell script.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

impl Arguments {
    /// Says which configuration it is, as zkServer.sh does.
    fn places(&self) -> Result<Places, Trouble> {
        let program = std::env::current_exe()?;
        let programs = program.parent().unwrap_or(Path::new("/"));
        let base = place::base(self.config.as_deref(), self.directory.as_deref(), &variable, programs);
        match &base {
            Base::File(file) => eprintln!("Using config: {}", file.display()),
            Base::Container { missing } => {
                eprintln!("Using config: ZOO_* variables (there is no {})", missing.display());
            }
        }
        if let Some(script) = place::script_beside(&base) {
            eprintln!("{} is not run: give its variables to this command", script.display());
        }
        Ok(Places::new(&base, &self.properties, &variable, &program))
    }
}

/// Ends with zkServer.sh's status.
fn ended(result: Result<(), Trouble>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble(text)) => {
            if !text.is_empty() {
                eprintln!("{}", text.trim_end());
            }
            ExitCode::from(WRONG)
        }
    }
}

pub fn start(arguments: &Arguments) -> ExitCode {
    ended(arguments.places().and_then(|places| start::run(&places)))
}

pub fn stop(arguments: &Arguments) -> ExitCode {
    ended(arguments.places().and_then(|places| stop::run(&places)))
}

pub fn restart(arguments: &Arguments) -> ExitCode {
    ended(arguments.places().and_then(|places| {
        // What could not be started again is not stopped.
        if let Err(explanation) = server::prepared(&places.source) {
            return Err(Trouble(format!("{explanation}ringkeeper: nothing was stopped")));
        }
        stop::run(&places)?;
        start::run(&places)
    }))
}

pub fn status(arguments: &StatusArguments) -> ExitCode {
    ended(arguments.common.places().and_then(|places| status::run(&places, arguments.alive)))
}

/// This very process becomes the server, with the server's own exit statuses.
pub fn start_foreground(arguments: &Arguments, start: Start) -> ExitCode {
    let prepared = arguments.places().and_then(|places| {
        places.refuse_missing()?;
        keep_number(&places)?;
        Ok(places.source)
    });
    match prepared {
        Ok(source) => server::run(&server::Arguments { source, check: false }, start),
        Err(trouble) => ended(Err(trouble)),
    }
}

/// In a container the number of a member comes from a variable. It is written down, as the official image does it: the
/// data stay this member's, whatever the variable says later.
fn keep_number(places: &Places) -> Result<(), Trouble> {
    if !places.is_container {
        return Ok(());
    }
    // What is wrong is told by the server in a moment.
    let Ok((config, _)) = server::prepared(&places.source) else { return Ok(()) };
    let Some(ensemble) = &config.ensemble else { return Ok(()) };
    let file = config.data_dir.join("myid");
    if file.exists() {
        return Ok(());
    }
    // At once, or not at all: an empty file would keep the member from starting.
    let number = format!("{}\n", ensemble.me.0);
    let directory = Directory::create(&config.data_dir);
    let written = directory.and_then(|directory| directory.write_atomically("myid", number.as_bytes()));
    written.map_err(|error| {
        Trouble(format!(
            "can't write {}: {error}; mount {} so that user {} may write there",
            file.display(),
            config.data_dir.display(),
            place::user_number()
        ))
    })
}
