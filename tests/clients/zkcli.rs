//! Apache's shell (`zkCli.sh`): every command it has, in one session and as single commands.

use std::process::Command;

use crate::java::java;
use crate::program::{Program, source};
use crate::support::{Config, Server};
use crate::transcript::{cut, matches, parse};

fn server() -> Server {
    // Nodes with a time to live are refused without it.
    Config::default().set("extendedTypesEnabled", true).start()
}

fn shell(server: &Server) -> Command {
    let mut command = java("zookeeper", "org.apache.zookeeper.ZooKeeperMain");
    command.arg("-server").arg(format!("127.0.0.1:{}", server.port));
    command
}

/// Says each line of a transcript, and compares everything the shell prints.
fn hold_dialogue(name: &str) {
    let server = server();
    let text = std::fs::read_to_string(source(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut program = Program::start(&server, "zkCli", shell(&server));
    program.prints("(CONNECTED) 0] ");
    program.prints("state:SyncConnected type:None");
    // The greeting's event is none of ours.
    let mut events_before = 1;
    for (number, step) in parse(&text, &server).into_iter().enumerate() {
        program.send(&step.command);
        let events_after = events_before + step.events.len();
        let what = format!("{name}: a reply to {:?} with {} events", step.command, step.events.len());
        let (lines, events) = program.until(&what, |output| {
            let (replies, events) = cut(output);
            // The first part is the greeting, and the last one is what follows the newest prompt.
            let complete = replies.len() > number + 2 && events.len() >= events_after;
            complete.then(|| (replies[number + 1].clone(), events[events_before..].to_vec()))
        });
        let same = lines.len() == step.expected.len()
            && step.expected.iter().zip(&lines).all(|(pattern, line)| matches(pattern, line))
            && events.len() == step.events.len()
            && step.events.iter().zip(&events).all(|(pattern, line)| line.contains(pattern));
        assert!(
            same,
            "{name}: {}\nexpected {:#?} {:#?}\nsaw      {lines:#?} {events:#?}\nin\n{}",
            step.command,
            step.expected,
            step.events,
            program.output()
        );
        events_before = events_after;
    }
    program.send("quit");
    program.exit_code();
}

#[test]
fn zkcli_creates_reads_writes_and_deletes() {
    hold_dialogue("shells/zkcli_nodes.txt");
}

#[test]
fn zkcli_has_acls_watches_and_quotas() {
    hold_dialogue("shells/zkcli_features.txt");
}

#[test]
fn zkcli_runs_single_commands_and_exits_with_their_outcome() {
    let server = server();
    let run = |words: &[&str]| {
        let mut command = shell(&server);
        command.args(words);
        let mut program = Program::start(&server, "zkCli", command);
        let code = program.exit_code();
        (code, program.output())
    };
    let (code, output) = run(&["create", "/a", "data"]);
    assert!(code == 0 && output.contains("Created /a"), "{code}\n{output}");
    let (code, output) = run(&["get", "/a"]);
    assert!(code == 0 && output.lines().any(|line| line == "data"), "{code}\n{output}");
    let (code, output) = run(&["get", "/none"]);
    assert!(code == 1 && output.contains("Node does not exist: /none"), "{code}\n{output}");
}
