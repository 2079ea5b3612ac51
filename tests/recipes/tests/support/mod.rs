//! A server and the examples as processes, and waiting for what they say.
#![allow(dead_code, reason = "a part of it is used by tests of the server only")]

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use zookeeper_client::Client;

mod proxy;
#[path = "../../../support/server.rs"]
mod server;
#[path = "../../../support/wait.rs"]
mod wait;

pub use proxy::Proxy;
pub use server::{Config, Server};
pub use wait::until;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Sessions may be as short as the recipes ask for.
pub fn server() -> Server {
    Config::default().set("tickTime", 500).start()
}

pub async fn connect(server: &Server) -> Client {
    recipes::session::connect(&server.address().to_string()).await.expect("a session")
}

/// Looks until it is so, with a bound.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let mut pauses = tokio::time::interval(std::time::Duration::from_millis(5));
    let looking = async {
        while !condition().await {
            pauses.tick().await;
        }
    };
    within(what, looking).await;
}

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(wait::BOUND, future).await;
    result.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// How many children it has; 0 if it isn't there.
pub async fn children(client: &Client, path: &str) -> usize {
    client.list_children(path).await.map_or(0, |names| names.len())
}

/// Watches that all clients have set. Not by `wchs`, which leaves out those of children.
pub fn watches(server: &Server) -> usize {
    let text = server.word("mntr");
    let count = text.lines().find_map(|line| line.strip_prefix("zk_watch_count\t"));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no zk_watch_count in {text:?}"))
}

/// An example that runs. Dropped, it is killed.
pub struct Demo {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    output: PathBuf,
}

impl Demo {
    /// `arguments` are those behind the server's.
    pub fn start(server: &Server, example: &str, arguments: &[&str]) -> Demo {
        // Beside the folder of the test programs cargo puts that of the examples.
        let program = std::env::current_exe().expect("it runs");
        let program = program.ancestors().nth(2).expect("it lies in deps").join("examples").join(example);
        let name = format!("{example}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let output = server.file(&name);
        let file = File::create(&output).unwrap_or_else(|error| panic!("{}: {error}", output.display()));
        let errors = file.try_clone().expect("a file can be had twice");
        let mut command = Command::new(&program);
        command.arg(server.address().to_string()).args(arguments);
        command.stdin(Stdio::piped()).stdout(file).stderr(errors);
        let child = command.spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{}: {error}; `cargo build --examples`", program.display()));
        let stdin = child.stdin.take();
        Demo { name, child, stdin, output }
    }

    /// Whole lines that it has printed so far.
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    pub fn has_said(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }

    /// Waits for a line with this text, and gives it.
    pub fn says(&self, text: &str) -> String {
        self.says_after(0, text)
    }

    /// The same, of lines behind the first `count`.
    pub fn says_after(&self, count: usize, text: &str) -> String {
        until(&format!("{} to say {text:?}", self.name), || {
            self.lines().into_iter().skip(count).find(|line| line.contains(text))
        })
    }

    /// Enter, at its keyboard.
    pub fn enter(&mut self) {
        let stdin = self.stdin.as_mut().expect("it is open as long as the process lives");
        stdin.write_all(b"\n").unwrap_or_else(|error| panic!("{}: {error}: {:?}", self.name, self.lines()));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        self.child.wait().unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// `kill -NAME`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name} {}", self.child.id());
    }

    /// Waits for its end, which must be a success, and gives what it said.
    pub fn finish(mut self) -> Vec<String> {
        let status = until(&format!("{} to end", self.name), || self.child.try_wait().expect("it is ours"));
        assert!(status.success(), "{}: {status}: {:?}", self.name, self.lines());
        self.lines()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.name, self.lines().join("\n"));
        }
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The number behind `word` in a line: `host1 leads, token 17`.
pub fn number_after(line: &str, word: &str) -> i64 {
    let rest = line.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {line:?}")).1;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|error| panic!("{line:?}: {error}"))
}
