//! The commands, one file per group, and the table of all of them.
//!
//! A command gets its words taken apart and a session; it prints what it has to say and ends with a [`Trouble`] or without.
//! Names, usages, outputs and texts of the first table are Apache's shell 3.9's (operations.md §6.3; where that is silent
//! the real shell was asked). The second table is what that shell lacks.
//! Tested: `tests/shell.rs` against Ringkeeper, `tests/shell_of_java.rs` side by side with Apache's shell and server.

mod access;
mod ensemble;
mod follow;
mod nodes;
mod quotas;
mod reads;
mod subtree;
mod transfer;
mod watches;

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::json;

use super::super::client::{Client, Failure};
use super::console::Console;
use super::options::{Parsed, Set, flag, value};
use super::stat_text;
use crate::wire::{ErrorCode, Stat, java_text};

pub use follow::Follows;

/// What a command works with.
pub struct Context<'a> {
    pub client: &'a Arc<Client>,
    pub console: &'a Arc<Console>,
    pub zone: &'a TimeZone,
    pub follows: &'a Follows,
    /// Whether the command was given with the program, and the program ends with it.
    pub one_shot: bool,
    /// Whether nodes were made that are to outlive the program for a session timeout.
    pub has_ephemerals: &'a mut bool,
}

impl Context<'_> {
    fn stat(&self, stat: &Stat) {
        self.console.line(&stat_text::text(stat, self.zone));
    }
}

/// Why a command came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// ZooKeeper's name of the error, for programs.
    pub name: &'static str,
    pub path: Option<String>,
    pub message: String,
    /// Of the program, if this is its last command.
    pub status: u8,
}

impl Trouble {
    /// The command itself is wrong.
    pub fn usage(message: impl Into<String>) -> Trouble {
        Trouble { name: "Usage", path: None, message: message.into(), status: 1 }
    }

    /// What stands in the way is on this side.
    pub fn local(message: impl Into<String>) -> Trouble {
        Trouble { name: "Local", path: None, message: message.into(), status: 1 }
    }

    /// Something was done, and not all of it: the permission was missing.
    pub fn denied(message: impl Into<String>) -> Trouble {
        Trouble { name: ErrorCode::NoAuth.name(), path: None, message: message.into(), status: 1 }
    }

    /// Nothing is wrong, and yet it is not a success: what was looked for isn't there.
    pub fn nothing_found() -> Trouble {
        Trouble { name: "NothingFound", path: None, message: String::new(), status: 1 }
    }

    pub fn not_found(command: &str) -> Trouble {
        let message = format!("Command not found: Command not found {command}");
        Trouble { name: "CommandNotFound", path: None, message, status: 127 }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        let path = match &failure {
            Failure::Keeper { path, .. } => path.clone(),
            Failure::Argument(_) => None,
        };
        Trouble { name: failure.name(), path, message: failure.to_string(), status: 1 }
    }
}

type Run = fn(&mut Context<'_>, &Parsed) -> Result<(), Trouble>;

/// Arguments that were options once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Once {
    Nothing,
    /// `path watch`: the second word behind the command meant `-w`.
    Watch(&'static str),
    /// `path version`: told of, and without effect.
    Version(&'static str),
}

/// A command, its options, and what it is called with.
pub struct Command {
    pub name: &'static str,
    /// What stands behind the name in the usage.
    pub synopsis: &'static str,
    pub options: Set,
    /// Whether its usage lists the options, too.
    explains: bool,
    /// How many words there must be at least, itself counted.
    least: usize,
    /// And at most.
    most: usize,
    once: Once,
    run: Run,
}

impl Command {
    pub fn usage(&self) -> String {
        let line = format!("{} {}", self.name, self.synopsis);
        if self.explains { format!("{line}\n{}", self.options.table()) } else { line }
    }

    /// Takes the words apart and runs.
    pub fn run(&self, context: &mut Context<'_>, words: &[String]) -> Result<(), Trouble> {
        let parse =
            |words: &[String]| self.options.parse(words).map_err(|wrong| Trouble::usage(wrong.to_string()));
        let mut parsed = parse(words)?;
        if self.name == "ls" && parsed.has("?") {
            context.console.line(format!("usage: ls [options] path\n{}", self.options.table()).trim_end());
        }
        if parsed.arguments.len() < self.least || parsed.arguments.len() > self.most {
            return Err(Trouble::usage(self.usage()));
        }
        match self.once {
            Once::Nothing => {}
            _ if parsed.arguments.len() <= 2 => {}
            Once::Watch(usage) => {
                let old = format!("'{} path [watch]' has been deprecated.", self.name);
                context.console.complain(&format!("{old} Please use '{usage}' instead."));
                let mut words = words.to_vec();
                words[2] = "-w".to_owned();
                parsed = parse(&words)?;
                if parsed.arguments.len() < self.least {
                    return Err(Trouble::usage(self.usage()));
                }
            }
            Once::Version(usage) => {
                let old = format!("'{} path [version]' has been deprecated.", self.name);
                context.console.complain(&format!("{old} Please use '{usage}' instead."));
            }
        }
        (self.run)(context, &parsed)
    }
}

/// Without options.
const NONE: Set = Set { options: &[], exclusive: false, required: false };

const fn plain(name: &'static str, synopsis: &'static str, least: usize, run: Run) -> Command {
    Command {
        name,
        synopsis,
        options: NONE,
        explains: false,
        least,
        most: usize::MAX,
        once: Once::Nothing,
        run,
    }
}

const fn with(command: Command, options: &'static [super::options::Spec]) -> Command {
    Command { options: Set { options, exclusive: false, required: false }, ..command }
}

/// Options of which one may be given, or must be.
const fn one_of(command: Command, options: &'static [super::options::Spec], required: bool) -> Command {
    Command { options: Set { options, exclusive: true, required }, ..command }
}

const fn explained(command: Command) -> Command {
    Command { explains: true, ..command }
}

const fn once(command: Command, once: Once) -> Command {
    Command { once, ..command }
}

const fn at_most(command: Command, most: usize) -> Command {
    Command { most, ..command }
}

/// Those of the shell itself, with their synopses: `session` runs them.
pub const BUILTIN: &[(&str, &str)] =
    &[("connect", "host:port"), ("history", ""), ("redo", "cmdno"), ("printwatches", "on|off"), ("quit", "")];

/// The commands of Apache's shell that need a session.
pub const COMMANDS: &[Command] = &[
    plain("close", "", 0, ensemble::close),
    with(
        plain("create", "[-s] [-e] [-c] [-t ttl] path [data] [acl]", 2, nodes::create),
        &[flag("e", "ephemeral"), flag("s", "sequential"), flag("c", "container"), value("t", "ttl")],
    ),
    once(
        with(plain("delete", "[-v version] path", 2, nodes::delete), &[value("v", "version")]),
        Once::Version("delete [-v version] path"),
    ),
    with(plain("deleteall", "path [-b batch size]", 2, nodes::delete_all), &[value("b", "batch size")]),
    explained(with(
        plain("set", "path data [-s] [-v version] [-b]", 3, nodes::set),
        &[
            flag("s", "Print znode stats additionally"),
            value("v", "Set with an expected version"),
            flag("b", "Supply data in base64 format"),
        ],
    )),
    once(
        explained(with(
            plain("get", "[-s] [-w] [-b] [-x] path", 2, reads::get),
            &[
                flag("s", "Print znode stats additionally"),
                flag("w", "Watch for changes on the znode"),
                flag("b", "Output data in base64 format"),
                flag("x", "Output data in hexdump format"),
            ],
        )),
        Once::Watch("get [-s] [-w] path"),
    ),
    once(
        with(
            plain("ls", "[-s] [-w] [-R] path", 2, reads::ls),
            &[flag("?", "help"), flag("s", "stat"), flag("w", "watch"), flag("R", "recurse")],
        ),
        Once::Watch("ls [-w] path"),
    ),
    with(plain("getAcl", "[-s] path", 2, access::acl), &[flag("s", "stats")]),
    with(
        plain("setAcl", "[-s] [-v version] [-R] path acl", 3, access::set_acl),
        &[flag("s", "stats"), value("v", "version"), flag("R", "recursive")],
    ),
    once(
        with(plain("stat", "[-w] path", 2, reads::stat), &[flag("w", "watch")]),
        Once::Watch("stat [-w] path"),
    ),
    plain("sync", "path", 2, ensemble::sync),
    one_of(plain("setquota", "-n|-b|-N|-B val path", 2, quotas::set), quotas::WITH_VALUES, true),
    plain("listquota", "path", 2, quotas::list),
    one_of(plain("delquota", "[-n|-b|-N|-B] path", 2, quotas::delete), quotas::FLAGS, false),
    plain("addauth", "scheme auth", 2, access::add_auth),
    with(
        plain(
            "reconfig",
            "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | \
             [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]",
            1,
            ensemble::reconfig,
        ),
        ensemble::RECONFIG,
    ),
    with(
        plain("config", "[-c] [-w] [-s]", 1, ensemble::config),
        &[flag("s", "stats"), flag("w", "watch"), flag("c", "client connection string")],
    ),
    with(plain("removewatches", "path [-c|-d|-a] [-l]", 2, watches::remove), watches::REMOVE),
    plain("getEphemerals", "path", 1, reads::ephemerals),
    plain("getAllChildrenNumber", "path", 2, reads::all_children_number),
    at_most(plain("version", "", 1, ensemble::version), 1),
    at_most(
        with(
            plain(
                "addWatch",
                "[-m mode] path # optional mode is one of [PERSISTENT, PERSISTENT_RECURSIVE] - default is \
                 PERSISTENT_RECURSIVE",
                2,
                watches::add,
            ),
            &[value("m", "")],
        ),
        2,
    ),
    plain("whoami", "", 0, access::who_am_i),
];

/// What Apache's shell has no command for.
pub const OWN: &[Command] = &[
    with(
        plain("copy", "[-u] [-e] source target", 3, transfer::copy),
        &[flag("u", "update what is there"), flag("e", "ephemerals, too, as persistent nodes")],
    ),
    with(
        plain("export", "[-e] [-f] path [file]", 2, transfer::export),
        &[flag("e", "ephemerals, too"), flag("f", "over a file that is there")],
    ),
    with(
        plain("follow", "[-d] [-n count] path", 2, follow::follow),
        &[flag("d", "with the data"), value("n", "end after so many changes")],
    ),
    with(
        plain("grep", "[-i] [-k] [-l] pattern path", 3, subtree::grep),
        &[
            flag("i", "upper and lower case are the same"),
            flag("k", "in the names instead of the data"),
            flag("l", "only the paths"),
        ],
    ),
    with(
        plain("import", "[-u] [-o] file|- path", 3, transfer::import),
        &[flag("u", "update what is there"), flag("o", "with open ACLs instead of those of the file")],
    ),
    with(
        plain("tree", "[-s] [-L levels] path", 2, subtree::tree),
        &[flag("s", "with sizes and versions"), value("L", "so many levels")],
    ),
    plain("unfollow", "path", 2, follow::unfollow),
];

/// By name, of either table.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().chain(OWN).find(|command| command.name == name)
}

/// Every name that can be typed, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = COMMANDS.iter().chain(OWN).map(|command| command.name).collect();
    names.extend(BUILTIN.iter().map(|(name, _)| *name));
    names.push("help");
    names.sort_unstable();
    names
}

/// What Apache's shell answers to a command it doesn't know.
pub fn usage() -> String {
    let mut lines: Vec<String> =
        BUILTIN.iter().map(|(name, synopsis)| format!("\t{name} {synopsis}")).collect();
    lines.extend(COMMANDS.iter().map(|command| format!("\t{} {}", command.name, command.synopsis)));
    lines.sort_unstable();
    format!(
        "ZooKeeper -server host:port -client-configuration properties-file cmd args\n{}",
        lines.join("\n")
    )
}

/// Usage and what is ours alone.
pub fn help() -> String {
    let own: Vec<String> =
        OWN.iter().map(|command| format!("\t{} {}", command.name, command.synopsis)).collect();
    format!("{}\nand of ringkeeper cli only\n\thelp \n{}", usage(), own.join("\n"))
}

/// `-v`, or -1 for any version.
fn version(parsed: &Parsed) -> Result<i32, Trouble> {
    match parsed.value("v") {
        None => Ok(-1),
        Some(text) => text
            .parse()
            .map_err(|_| Trouble::usage(format!("-v argument must be an int value, and {text:?} is none"))),
    }
}

/// Data as JSON: text if it is text.
fn data_json(data: Option<&[u8]>) -> serde_json::Value {
    match data.map(std::str::from_utf8) {
        None => serde_json::Value::Null,
        Some(Ok(text)) => text.into(),
        Some(Err(_)) => json!({ "base64": base64_of(data.unwrap_or_default()) }),
    }
}

fn base64_of(data: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(data)
}

/// Data in a line of ours: what would move the cursor, or pass for another line, is shown as its escape.
fn visible(data: &[u8]) -> String {
    let text = java_text::read(data);
    let shown = |letter: char| {
        if letter.is_control() { letter.escape_default().collect() } else { letter.to_string() }
    };
    text.chars().map(shown).collect::<String>()
}

fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| error.to_string())
}
