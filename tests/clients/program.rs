//! A client program as a process of its own, with what it prints in a file.
//!
//! `tests/run --prepare` puts the programs' libraries below `tests/.clients`. A library that isn't there is a failure with
//! the remedy in its message, never a skip. A program exits with 0 if everything it looked at was as it must be.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Server, within};

/// Above the bounds within the programs: they give up first, and say why.
const BOUND: Duration = Duration::from_secs(150);

/// A file of ours beside this one.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Something that `tests/run --prepare` installs.
pub fn installed(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.clients").join(name);
    assert!(path.exists(), "{} is missing; `tests/run --prepare` installs it", path.display());
    path
}

#[derive(Debug)]
pub struct Program {
    /// What it is called in messages.
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it prints; `errors` is the same file for a [`Program::start`].
    output: PathBuf,
    errors: PathBuf,
}

impl Program {
    /// Starts it, with both its outputs in one file of the server's folder.
    pub fn start(server: &Server, name: &str, command: Command) -> Program {
        let output = server.file(name);
        Program::spawn(name, command, output.clone(), output)
    }

    /// Starts it with its errors in a file apart: for programs whose output is read.
    pub fn start_apart(server: &Server, name: &str, command: Command) -> Program {
        Program::spawn(name, command, server.file(name), server.file(&format!("{name}.errors")))
    }

    fn spawn(name: &str, mut command: Command, output: PathBuf, errors: PathBuf) -> Program {
        let open = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        // A program that is started again begins with an empty file.
        File::create(&output).unwrap_or_else(|error| panic!("{}: {error}", output.display()));
        command.stdin(Stdio::piped()).stdout(open(&output)).stderr(open(&errors));
        let mut child = command.spawn().unwrap_or_else(|error| {
            let program = command.get_program();
            panic!(
                "{name}: {program:?} can't be started: {error}; `tests/run --prepare` says what is missing"
            )
        });
        let stdin = child.stdin.take();
        Program { name: name.to_owned(), child, stdin, output, errors }
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Everything it has printed, for the message of a failure.
    fn said(&self) -> String {
        let mut said = self.output();
        if self.errors != self.output {
            said += &fs::read_to_string(&self.errors).unwrap_or_default();
        }
        said
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// One line to its standard input.
    pub fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("nobody closed the program's input");
        let written = stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush());
        written.unwrap_or_else(|error| panic!("{}: {line:?}: {error}\n{}", self.name, self.said()));
    }

    /// Waits until its output holds what `find` looks for. That it ends before is a failure.
    pub fn until<T>(&mut self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let start = Instant::now();
        within(BOUND + Duration::from_secs(1), what, || {
            let ended = self.status();
            if let Some(found) = find(&self.output()) {
                return Some(found);
            }
            if let Some(status) = ended {
                panic!("{}: {status} before: {what}\n{}", self.name, self.said());
            }
            assert!(start.elapsed() < BOUND, "{}: waited in vain: {what}\n{}", self.name, self.said());
            None
        })
    }

    /// Waits until it prints this text.
    pub fn prints(&mut self, text: &str) {
        self.until(text, |output| output.contains(text).then_some(()));
    }

    /// Waits for its end, and gives its exit code.
    pub fn exit_code(&mut self) -> i32 {
        let start = Instant::now();
        let status = within(BOUND + Duration::from_secs(1), &self.name.clone(), || {
            let status = self.status();
            let late = status.is_none() && start.elapsed() > BOUND;
            assert!(!late, "{}: not finished after {BOUND:?}\n{}", self.name, self.said());
            status
        });
        status.code().unwrap_or_else(|| panic!("{}: {status}\n{}", self.name, self.said()))
    }

    /// Waits for its end, which must be a success, and gives what it printed.
    pub fn finish(mut self) -> String {
        self.stdin = None;
        let code = self.exit_code();
        assert_eq!(code, 0, "{} ended with {code}:\n{}", self.name, self.said());
        self.output()
    }

    /// `kill -NAME`: `TERM` asks it to end.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name} {}", self.child.id());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Gone already, unless the test fails or wants it gone.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
