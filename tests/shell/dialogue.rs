//! A shell as a process, spoken to line by line: what it prints is cut at its prompts.
//!
//! Both outputs go to one file, so that they keep their order. Watch events are kept apart, since they may come at any time.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::support::{Server, until};
use crate::transcript::{cut, matches, parse};

/// Our shell.
pub fn ours(server: &Server) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
    command.args(["cli", "-server", &format!("127.0.0.1:{}", server.port)]);
    // Where no zone is set, all shells print the times of the same one.
    command.env("TZ", "UTC").env_remove("HOME");
    command
}

#[derive(Debug)]
pub struct Dialogue {
    child: Child,
    stdin: Option<ChildStdin>,
    output: PathBuf,
    said: usize,
}

impl Dialogue {
    /// Starts a shell and waits for its first prompt. `name` is the file of its output, in the server's folder.
    pub fn start(server: &Server, name: &str, mut command: Command) -> Dialogue {
        let output = server.file(name);
        let open = || File::options().create(true).append(true).open(&output);
        let (out, err) = (open().expect("a file for its output"), open().expect("a file for its errors"));
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take();
        let dialogue = Dialogue { child, stdin, output, said: 0 };
        dialogue.wait_for_replies(1);
        dialogue
    }

    pub fn output(&self) -> String {
        read(&self.output)
    }

    /// Says a line; the lines of its answer, without watch events.
    pub fn say(&mut self, line: &str) -> Vec<String> {
        self.send(line);
        self.said += 1;
        self.wait_for_replies(self.said + 1);
        cut(&self.output()).0[self.said].clone()
    }

    fn wait_for_replies(&self, count: usize) {
        until("the shell's prompt", || (cut(&self.output()).0.len() > count).then_some(()));
    }

    pub fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("the shell still listens");
        writeln!(stdin, "{line}").unwrap_or_else(|error| panic!("{line}: {error}\n{}", self.output()));
    }

    /// All events so far, without `WatchedEvent `.
    pub fn events(&self) -> Vec<String> {
        cut(&self.output()).1
    }

    /// Waits until it has printed an event that holds this text.
    pub fn sees(&self, event: &str) {
        until(event, || self.events().iter().any(|seen| seen.contains(event)).then_some(()));
    }

    /// Sends a signal by name (`STOP`) to the process.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Ends its input, or says `quit`; the exit status.
    pub fn end(mut self, quit: bool) -> i32 {
        if quit {
            self.send("quit");
        }
        self.stdin = None;
        let status = until("the shell to end", || self.child.try_wait().expect("a child of ours"));
        status.code().unwrap_or(-1)
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Says each line of a transcript to our shell, and compares everything that it prints.
pub fn hold(server: &Server, name: &str, text: &str) {
    let mut shell = Dialogue::start(server, name, ours(server));
    let mut before = shell.events().len();
    for step in parse(text, server) {
        let lines = shell.say(&step.command);
        let events = until(&format!("{name}: events of {}", step.command), || {
            let events = shell.events();
            (events.len() >= before + step.events.len()).then(|| events[before..].to_vec())
        });
        let same = lines.len() == step.expected.len()
            && step.expected.iter().zip(&lines).all(|(pattern, line)| matches(pattern, line))
            && events.len() == step.events.len()
            && step.events.iter().zip(&events).all(|(pattern, event)| event.contains(pattern));
        assert!(
            same,
            "{name}: {}\nexpected {:#?} {:#?}\nsaw      {lines:#?} {events:#?}",
            step.command, step.expected, step.events
        );
        before += step.events.len();
    }
    shell.end(true);
}

/// Runs one command; exit status, standard output and standard error.
pub fn single(command: &mut Command) -> (i32, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}
