//! Unchanged ZooKeeper clients against the server: kazoo (Python).
//!
//! `tests/run` installs them below `tests/.clients`. A client that isn't there is a failure, never a skip.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::support::{Server, until, within};

/// Above the bounds within the script: it gives up first, and says why.
const BOUND: Duration = Duration::from_secs(150);

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A running check, with what it prints in a file.
struct Kazoo {
    child: Child,
    output: PathBuf,
}

impl Kazoo {
    fn start(server: &Server, check: &str) -> Kazoo {
        let python = tests_folder().join(".clients/venv/bin/python");
        assert!(
            python.exists(),
            "kazoo is not installed ({} is missing); `tests/run --prepare` installs it",
            python.display()
        );
        let output = server.file("kazoo");
        let file = File::create(&output).unwrap_or_else(|error| panic!("{}: {error}", output.display()));
        let copy = file.try_clone().unwrap_or_else(|error| panic!("{error}"));
        let child = Command::new(&python)
            .arg(tests_folder().join("clients/kazoo_basic.py"))
            .arg(server.port.to_string())
            .arg(check)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        Kazoo { child, output }
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("{error}"))
    }

    fn finish(mut self) {
        let status = within(BOUND, "kazoo to finish", || self.status());
        assert!(status.success(), "{status}\n{}", self.output());
    }
}

impl Drop for Kazoo {
    fn drop(&mut self) {
        // Gone already, unless the test fails.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn check(name: &str) {
    let server = Server::start();
    Kazoo::start(&server, name).finish();
}

#[test]
fn kazoo_creates_gets_sets_and_deletes() {
    check("create_get_set_delete");
}

#[test]
fn kazoo_lists_children() {
    check("children");
}

#[test]
fn kazoo_has_ephemerals_and_sequences() {
    check("ephemerals_and_sequences");
}

#[test]
fn kazoo_hears_watches_once() {
    check("one_time_watches");
}

#[test]
fn kazoo_data_watch_and_children_watch_follow_changes() {
    check("watch_recipes");
}

#[test]
fn kazoo_locks_exclude_each_other() {
    check("locks");
}

#[test]
fn kazoo_lock_of_a_lost_session_is_released() {
    check("lock_of_a_lost_session");
}

#[test]
fn kazoo_sends_commands() {
    check("commands");
}

#[test]
fn kazoo_keeps_its_session_over_a_kill_and_a_restart() {
    let mut server = Server::start();
    let mut kazoo = Kazoo::start(&server, "survives_a_restart");
    until("kazoo to be ready", || {
        if let Some(status) = kazoo.status() {
            panic!("{status}\n{}", kazoo.output());
        }
        kazoo.output().contains("kill").then_some(())
    });
    server.kill();
    server.restart();
    kazoo.finish();
}
