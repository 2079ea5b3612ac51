//! The dialogues of `shell.rs` through Apache's shell against Ringkeeper, and through `ringkeeper cli` against Apache
//! ZooKeeper 3.9.5: both must print the same, line by line, and see the same events in the same order.
//!
//! Not part of a plain `cargo test`: `tests/run --prepare` installs server and shell. Times, zxids, session ids and versions
//! are put into a common form; what Java logs is left out.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "shell/dialogue.rs"]
#[allow(dead_code, reason = "this test program uses a part of it")]
mod dialogue;
#[path = "clients/java.rs"]
#[allow(dead_code, reason = "this test program uses a part of it")]
mod java;
#[path = "clients/program.rs"]
#[allow(dead_code, reason = "this test program uses a part of it")]
mod program;
#[path = "clients/transcript.rs"]
mod transcript;

use std::process::Command;

use dialogue::{Dialogue, ours, single};
use support::{Config, Server, until};

const DIALOGUES: &[(&str, &str)] = &[
    ("china", include_str!("shell/china.txt")),
    ("more", include_str!("shell/more.txt")),
    ("wrong", include_str!("shell/wrong.txt")),
    ("zkcli_nodes", include_str!("clients/shells/zkcli_nodes.txt")),
    ("zkcli_features", include_str!("clients/shells/zkcli_features.txt")),
];

fn ringkeeper() -> Server {
    Config::default()
        .set("extendedTypesEnabled", true)
        .command(&[env!("CARGO_BIN_EXE_ringkeeper"), "server"])
        .start()
}

fn apache() -> Server {
    let version = std::env::var("ZOOKEEPER_VERSION").unwrap_or_else(|_| "3.9.5".to_owned());
    let jars = program::installed(&format!("zookeeper-{version}")).join("*");
    let jars = jars.to_str().expect("a path of ours");
    let class = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
    Config::default()
        .property("zookeeper.extendedTypesEnabled", true)
        .set("extendedTypesEnabled", true)
        .command(&["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", jars, class])
        .start()
}

fn apaches_shell(server: &Server) -> Command {
    let mut command = java::java("zookeeper", "org.apache.zookeeper.ZooKeeperMain");
    command.arg("-server").arg(format!("127.0.0.1:{}", server.port)).env("TZ", "UTC");
    command
}

/// What two runs can't agree on, in a common form; none: a line that only Java logs.
fn common(line: &str) -> Option<String> {
    if line.contains("org.jline")
        || line.starts_with("WARNING: ")
        || line.starts_with('[') && line.contains("] ERROR ")
    {
        return None;
    }
    for (start, replaced) in [
        ("cZxid = 0x", "Z"),
        ("mZxid = 0x", "Z"),
        ("pZxid = 0x", "Z"),
        ("ctime = ", "T"),
        ("mtime = ", "T"),
        ("ephemeralOwner = 0x1", "S"),
        ("ZooKeeper CLI version: ", "V"),
    ] {
        if line.starts_with(start) {
            return Some(format!("{start}{replaced}"));
        }
    }
    Some(line.split_once(" zxid: ").map_or(line, |(event, _)| event).to_owned())
}

/// Each command with its lines, and then all events.
fn play(server: &Server, name: &str, shell: Command, text: &str) -> Vec<String> {
    let mut dialogue = Dialogue::start(server, name, shell);
    dialogue.sees("state:SyncConnected type:None");
    let steps = transcript::parse(text, server);
    let mut events = 1;
    let mut seen = Vec::new();
    for step in &steps {
        seen.push(format!("> {}", step.command.replace(&server.port.to_string(), "PORT")));
        let mut lines: Vec<String> =
            dialogue.say(&step.command).iter().filter_map(|line| common(line)).collect();
        if step.command == "whoami" {
            lines.sort(); // they stand in the order of a hash set
        }
        seen.extend(lines);
        // The next command may end what this one's event tells of, and Java's events have a thread of their own.
        events += step.events.len();
        until("the events of the command", || (dialogue.events().len() >= events).then_some(()));
    }
    seen.extend(dialogue.events().iter().filter_map(|event| common(event)));
    seen
}

#[test]
fn both_shells_print_the_same() {
    for (name, text) in DIALOGUES {
        let (their_server, our_server) = (apache(), ringkeeper());
        let theirs = play(&our_server, name, apaches_shell(&our_server), text);
        let ours = play(&their_server, name, ours(&their_server), text);
        let first = theirs.iter().zip(&ours).position(|(their, our)| their != our);
        let around = |lines: &[String]| {
            let at = first.unwrap_or(theirs.len().min(ours.len()));
            lines[at.saturating_sub(3)..(at + 4).min(lines.len())].join("\n")
        };
        assert!(
            theirs == ours,
            "{name}: Apache's shell against Ringkeeper\n{}\nringkeeper cli against Apache ZooKeeper\n{}",
            around(&theirs),
            around(&ours)
        );
        assert!(theirs.len() > 40, "{name}: {theirs:?}");
    }
}

#[test]
fn single_commands_end_alike() {
    let (their_server, our_server) = (apache(), ringkeeper());
    for line in [
        "create /a data",
        "get /a",
        "get -s /a",
        "get /none",
        "get",
        "get -q /a",
        "ls -R /",
        "create -c -e /x",
        "set -v 7 /a x",
        "nothing at all",
        "setquota -n 1 /none",
        "delete /a",
        "deleteall /",
        "version",
        "sync /",
        "close",
        "redo 7",
        "quit",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let told = |(status, out, err): (i32, String, String)| {
            // Whether the last event is printed before the program's end is luck.
            let lines = |text: &str| {
                let ends =
                    |line: &&str| !line.is_empty() && !line.contains("WatchedEvent") && *line != "WATCHER::";
                text.lines().filter(ends).filter_map(common).collect::<Vec<_>>()
            };
            let out: Vec<String> =
                lines(&out).into_iter().filter(|line| !line.starts_with("Connecting to ")).collect();
            (status, out, lines(&err))
        };
        let theirs = told(single(apaches_shell(&our_server).args(&words)));
        let ours = told(single(ours(&their_server).args(&words)));
        assert_eq!(theirs, ours, "{line}: left Apache's shell, right ours");
    }
}
