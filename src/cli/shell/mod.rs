//! `ringkeeper cli`: the shell that `zkCli.sh` is, on a line editor, with what that one lacks.
//!
//! ```text
//!  invocation ─► session ─► commands (tables; one file per group) ─► client ─► servers
//!     editor ───────▲  └──► console ◄── events, from the client's thread
//! ```
//! Three ways to use it: a command with the program (one-shot), lines from a pipe, and a person at a terminal. Outputs,
//! texts and exit statuses are those of Apache's shell 3.9. On purpose otherwise: what ends that shell with a stack trace
//! (`set -v x`, `redo x`, a path without its slash in addWatch) is an error like others; unknown options of the program are
//! refused; an empty line of blanks is ignored; the last line of a pipe counts without its end of line; a session in which
//! no ephemeral was made is closed at the end instead of being left to its timeout; all servers of the list are tried
//! before a request fails with ConnectionLoss, and the reason stands above that error.
//! Tested: `tests/shell.rs`; side by side with Apache's shell and server, `tests/shell_of_java.rs`.

mod commands;
mod console;
mod editor;
mod invocation;
mod line;
mod options;
mod session;
mod stat_text;

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use super::client::{REPLY_BYTES_MAX, Settings};
use commands::Trouble;
use console::{Colours, Console, Form};
use invocation::{Asked, Configuration, Invocation};
use session::Session;

/// A command line that can't be carried out.
const WRONG: u8 = 2;

/// ZooKeeper's shell: every command of zkCli.sh, and more
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// Options of zkCli.sh and the command; `ringkeeper cli --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION|COMMAND")]
    words: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    let words: Vec<String> = arguments.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let wrong = |message: &str| {
        Console::new(Form::Text, Colours::default()).complain(message);
        ExitCode::from(WRONG)
    };
    let invocation = match Invocation::parse(&words) {
        Ok(Asked::Run(invocation)) => invocation,
        Ok(Asked::Help) => {
            Console::new(Form::Text, Colours::default()).raw(invocation::HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(message) => return wrong(&message),
    };
    let configuration = match configuration(&invocation) {
        Ok(configuration) => configuration,
        Err(message) => return wrong(&message),
    };
    let wanted = std::env::var_os("NO_COLOR").is_none() && invocation.output == Form::Text;
    let colours = Colours {
        output: wanted && std::io::stdout().is_terminal(),
        errors: wanted && std::io::stderr().is_terminal(),
    };
    let console = Arc::new(Console::new(invocation.output, colours));
    for told in &configuration.told {
        console.complain(told);
    }
    let settings = Settings {
        timeout: invocation.timeout,
        read_only: invocation.read_only,
        request_timeout: configuration.request_timeout,
        reply_bytes_max: configuration.reply_bytes_max.unwrap_or(REPLY_BYTES_MAX),
    };
    let mut session = Session::new(settings, console, !invocation.command.is_empty());
    session.console.line(&format!("Connecting to {}", invocation.server));
    if let Err(trouble) = begin(&mut session, &invocation) {
        return ExitCode::from(session.report(&trouble));
    }
    if invocation.command.is_empty() {
        let asked = converse(&mut session);
        session.end(asked);
    } else {
        session.execute(&invocation.command);
        session.end(session.is_over);
    }
    ExitCode::from(session.status)
}

fn configuration(invocation: &Invocation) -> Result<Configuration, String> {
    let Some(file) = &invocation.configuration else { return Ok(Configuration::default()) };
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    Configuration::parse(&text).map_err(|message| format!("{file}: {message}"))
}

fn begin(session: &mut Session, invocation: &Invocation) -> Result<(), Trouble> {
    session.connect(&invocation.server)?;
    if invocation.wait { session.wait_until_connected() } else { Ok(()) }
}

/// Line by line until `quit` (true) or the end of the input.
fn converse(session: &mut Session) -> bool {
    session.console.line("Welcome to ZooKeeper!");
    session.console.line("JLine support is enabled");
    session.greet();
    let at_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if !at_terminal || session.console.is_json() {
        return piped(session);
    }
    editor::converse(session).unwrap_or_else(|error| {
        session.console.complain(&format!("no line editor on this terminal: {error}"));
        piped(session)
    })
}

/// Without a line editor.
fn piped(session: &mut Session) -> bool {
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    while !session.is_over {
        if !session.console.is_json() {
            session.console.raw(session.prompt().as_bytes());
        }
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => session.line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])),
            Err(error) => {
                session.console.complain(&format!("standard input: {error}"));
                break;
            }
        }
    }
    if session.is_over {
        return !session.console.is_gone();
    }
    session.console.line("");
    false
}
