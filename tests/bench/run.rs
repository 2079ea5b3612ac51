//! One run of the generator, and what came of it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Config, Server, server, until};

/// Short, and enough for every session to be answered.
pub const SHORT: &str = "--keys 50 --sessions 4 --outstanding 2 --warmup 0 --seconds 0.4";

/// A server that takes as many connections as come.
pub fn a_server() -> Server {
    Config::default().set("maxClientCnxns", 0).start()
}

/// The folder of a run, and what the generator said.
#[derive(Debug)]
pub struct Bench {
    pub folder: PathBuf,
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A generator that runs.
pub struct Running {
    folder: PathBuf,
    child: Child,
}

/// Starts `ringkeeper bench` with these options; results go to `out.json` in its folder, or where the options say.
pub fn begin(server: SocketAddr, options: &str) -> Running {
    begin_with(server, options, if options.contains("--json") { &[] } else { &["--json", "out.json"] })
}

/// To its end, and the screen is all there is.
pub fn without_json(server: SocketAddr, options: &str) -> Bench {
    begin_with(server, options, &[]).end()
}

fn begin_with(server: SocketAddr, options: &str, more: &[&str]) -> Running {
    let folder = server::folder("bench");
    let child = Command::new(env!("CARGO_BIN_EXE_ringkeeper"))
        .args(["bench", "--server", &server.to_string()])
        .args(more)
        .args(options.split_whitespace())
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}"));
    Running { folder, child }
}

/// As [`begin`], until its end.
pub fn bench(server: SocketAddr, options: &str) -> Bench {
    begin(server, options).end()
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its bound is that of every condition: who waits in vain must not be waited for.
    pub fn end_soon(mut self) -> Bench {
        until("the generator to end", || self.child.try_wait().unwrap_or_else(|error| panic!("{error}")));
        self.end()
    }

    pub fn end(self) -> Bench {
        let output: Output = self.child.wait_with_output().unwrap_or_else(|error| panic!("{error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Bench {
            folder: self.folder,
            exit: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Bench {
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}\n{self:?}"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.file("out.json")).unwrap_or_else(|error| panic!("{error}\n{self:?}"))
    }

    /// The result of a run without an error.
    pub fn result(&self) -> Value {
        assert_eq!((self.exit, self.stderr.as_str()), (0, ""), "{self:?}");
        let result = self.json();
        assert!(result["partial"].is_null() && result["errors"] == serde_json::json!({}), "{self:?}");
        result
    }

    /// That it measured nothing, and said why in one line.
    pub fn refusal(&self) -> &str {
        assert_eq!(self.exit, 2, "{self:?}");
        assert!(!self.folder.join("out.json").exists(), "{self:?}");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{self:?}");
        &self.stderr
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What can't be removed is left to `cargo clean`.
            let _left = fs::remove_dir_all(&self.folder);
        }
    }
}

/// How many answers of this kind were counted.
pub fn count(result: &Value, kind: &str) -> u64 {
    result["latency_by_kind"][kind]["count"].as_u64().unwrap_or(0)
}

/// A figure of the server's `mntr`.
pub fn figure(server: &Server, name: &str) -> u64 {
    let text = server.word("mntr");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}
