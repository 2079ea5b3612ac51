//! The C client's shell, `cli_mt` of the Debian package `zookeeper-bin`: as a dialogue and as single commands.

use std::path::Path;
use std::process::Command;

use crate::program::{Program, source};
use crate::support::{Config, Server};
use crate::transcript::{matches, parse};

const SHELL: &str = "/usr/lib/zookeeper/bin/cli_mt";

fn shell(server: &Server) -> Command {
    assert!(
        Path::new(SHELL).exists(),
        "{SHELL} is missing; `tests/run --prepare` installs it (Debian: zookeeper-bin)"
    );
    let mut command = Command::new(SHELL);
    command.arg("-h").arg(format!("127.0.0.1:{}", server.port));
    command
}

/// The shell has no prompt and answers when the reply comes: each expected line has to come, in any order.
#[test]
fn c_shell_holds_a_dialogue() {
    let server = Config::default().set("extendedTypesEnabled", true).start();
    let text = source("shells/c_client.txt");
    let text = std::fs::read_to_string(&text).unwrap_or_else(|error| panic!("{}: {error}", text.display()));
    let mut program = Program::start(&server, "cli_mt", shell(&server));
    program.prints("Got a new session id: 0x");
    for step in parse(&text, &server) {
        let before = program.output().len();
        program.send(&step.command);
        for pattern in step.expected.iter().chain(&step.events) {
            let what = format!("{:?} to print {pattern:?}", step.command);
            program.until(&what, |output| {
                output[before..].lines().any(|line| matches(pattern, line)).then_some(())
            });
        }
    }
    program.send("quit");
    let output = program.finish();
    assert!(output.contains("Quitting...") && !output.contains("EXPIRED"), "{output}");
}

#[test]
fn c_shell_runs_single_commands() {
    let server = Server::start();
    let run = |words: &str| {
        let mut command = shell(&server);
        command.arg("-c").arg(words);
        Program::start(&server, "cli_mt", command).finish()
    };
    let output = run("create /c");
    assert!(output.contains("rc = 0\n\tname = /c"), "{output}");
    let output = run("set /c data");
    assert!(output.contains("/c: rc = 0") && output.contains("version=1"), "{output}");
    let output = run("get /c");
    assert!(output.contains("value_len = 4\ndata\n"), "{output}");
    let output = run("get /none");
    assert!(output.contains("/none: rc = -101"), "{output}");
    let output = run("ls /");
    assert!(output.contains("\tc\n") && output.contains("\tzookeeper\n"), "{output}");
}
