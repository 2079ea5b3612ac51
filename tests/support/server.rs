//! A server as a process of its own, on a free loopback port, with a directory of its own.
//!
//! By default it is the `ringkeeper` that cargo built for this test. `RINGKEEPER_TEST_SERVER` names another command; a
//! configuration file is appended to it. `tests/run` names the release binary, `tests/run --apache` Apache ZooKeeper:
//! an expectation that fails there is a wrong expectation.
//!
//! The process is killed by its own id, and its directory removed, when a [`Server`] goes out of scope; after a failed test
//! the directory stays, and its path is printed.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::wait::{BOUND, until};

/// Ports below those which the kernel hands to outgoing connections: one of those could take ours while we are down.
const PORTS: std::ops::Range<u32> = 18_000..32_000;

/// A server that is only coming up may take a connection and never answer on it: then another one is tried.
const GLANCE: Duration = Duration::from_secs(2);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The lines of a `zoo.cfg`, and how to run the server that reads it.
#[derive(Clone, Debug, Default)]
pub struct Config {
    lines: Vec<String>,
    properties: Vec<String>,
    data_dir: Option<PathBuf>,
    wrapper: Vec<String>,
    command: Option<Vec<String>>,
    variables: Vec<(String, String)>,
    host: Option<Ipv4Addr>,
}

impl Config {
    /// Adds a setting; a later one of the same name wins over the defaults below.
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Config {
        self.lines.push(format!("{key}={value}"));
        self
    }

    /// Sets a system property whose name ZooKeeper doesn't read from a file; Ringkeeper does.
    pub fn property(mut self, key: &str, value: impl std::fmt::Display) -> Config {
        self.properties.push(format!("{key}={value}"));
        self
    }

    /// Uses this directory, which is not removed in the end.
    pub fn data_dir(mut self, path: &Path) -> Config {
        self.data_dir = Some(path.to_owned());
        self
    }

    /// Runs the server under another program: `strace …`.
    pub fn under(mut self, wrapper: &[&str]) -> Config {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: &str, value: impl std::fmt::Display) -> Config {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Serves clients at this address, which is that of a network namespace.
    pub fn host(mut self, host: Ipv4Addr) -> Config {
        self.host = Some(host);
        self
    }

    /// Runs this command, to which the configuration file is appended, whatever the environment names.
    pub fn command(mut self, words: &[&str]) -> Config {
        self.command = Some(words.iter().map(|word| (*word).to_owned()).collect());
        self
    }

    /// Everything but the process: [`Server::launch`] or [`Server::restart`] starts that.
    pub fn prepare(self) -> Server {
        Server::prepare(self)
    }

    /// Starts the server and waits until it serves.
    pub fn start(self) -> Server {
        let mut server = Server::prepare(self);
        server.restart();
        server
    }

    /// Starts a server that is expected to give up: its exit and everything it said.
    pub fn start_in_vain(self) -> (ExitStatus, String) {
        let mut server = Server::prepare(self);
        server.spawn();
        let status = server.wait_for_exit();
        (status, server.output())
    }
}

#[derive(Debug)]
pub struct Server {
    host: Ipv4Addr,
    pub port: u16,
    /// Everything of this server; `data` inside it, unless the test brought a directory.
    folder: PathBuf,
    data_dir: PathBuf,
    wrapper: Vec<String>,
    /// What a Java server is told on top of its command.
    java_options: String,
    command: Vec<String>,
    variables: Vec<(String, String)>,
    child: Option<Child>,
}

/// Whether the server under test is Ringkeeper: a few checks are about what only it has.
pub fn is_ringkeeper() -> bool {
    std::env::var("RINGKEEPER_TEST_SERVER").map_or(true, |command| !command.contains("QuorumPeerMain"))
}

fn command() -> Vec<String> {
    match std::env::var("RINGKEEPER_TEST_SERVER") {
        Ok(command) => command.split_whitespace().map(str::to_owned).collect(),
        // Another package's tests (`tests/recipes`) are built beside no server.
        Err(_) => match option_env!("CARGO_BIN_EXE_ringkeeper") {
            Some(path) => vec![path.to_owned(), "server".to_owned()],
            None => {
                panic!("name the server: RINGKEEPER_TEST_SERVER=\"$PWD/target/release/ringkeeper server\"")
            }
        },
    }
}

/// A port nobody listens on, and which no other server of this test program was given.
pub fn free_port() -> u16 {
    for _ in 0..PORTS.len() {
        let offset = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + offset % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("PORTS lies within 16 bits");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// A new folder below cargo's, which is on a real disk. What a failed test of an earlier process of this number left is
/// nobody's.
pub fn folder(name: &str) -> PathBuf {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => return folder,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("{}: {error}", folder.display()),
        }
    }
}

impl Server {
    /// Apache's, in a test that runs both kinds.
    pub fn is_apache(&self) -> bool {
        self.command.iter().any(|word| word.contains("QuorumPeerMain"))
    }

    /// A server with the settings that nearly every test wants.
    pub fn start() -> Server {
        Config::default().start()
    }

    /// A server with its files, not started.
    pub fn prepare(config: Config) -> Server {
        let folder = folder("server");
        let port = free_port();
        let data_dir = config.data_dir.unwrap_or_else(|| folder.join("data"));
        let options: Vec<String> = config.properties.iter().map(|property| format!("-D{property}")).collect();
        let java_options = options.join(" ");
        let wrapper = config.wrapper;
        let command = config.command.unwrap_or_else(command);
        let host = config.host.unwrap_or(Ipv4Addr::LOCALHOST);
        let variables = config.variables;
        let server =
            Server { host, port, folder, data_dir, wrapper, command, variables, java_options, child: None };
        let mut lines = vec![
            format!("dataDir={}", server.data_dir.display()),
            format!("clientPort={port}"),
            format!("clientPortAddress={host}"),
            "tickTime=2000".to_owned(),
            "4lw.commands.whitelist=*".to_owned(),
            "admin.enableServer=false".to_owned(),
            // Small segments: most tests write a few hundred bytes.
            "preAllocSize=1024".to_owned(),
        ];
        if is_ringkeeper() {
            lines.extend(config.properties);
        }
        for line in config.lines {
            let key = line.split('=').next().unwrap_or_default().to_owned();
            lines.retain(|default| default.split('=').next() != Some(&key));
            lines.push(line);
        }
        fs::create_dir_all(&server.data_dir)
            .unwrap_or_else(|error| panic!("{}: {error}", server.data_dir.display()));
        fs::write(server.config(), lines.join("\n") + "\n")
            .unwrap_or_else(|error| panic!("{}: {error}", server.config().display()));
        server
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.port))
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A file of this server's own folder, beside its data.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn config(&self) -> PathBuf {
        self.file("zoo.cfg")
    }

    /// What the server has printed so far, in all its lives.
    pub fn output(&self) -> String {
        fs::read_to_string(self.file("output")).unwrap_or_default()
    }

    /// What it says it is (`leader`), if it serves.
    pub fn mode(&self) -> Option<String> {
        let text = self.try_word("srvr", GLANCE)?;
        text.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// Starts it and waits for nothing: a member of an ensemble serves when there are enough of them.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let output = File::options().create(true).append(true).open(self.file("output"));
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", self.folder.display()));
        let copy = output.try_clone().unwrap_or_else(|error| panic!("{error}"));
        let mut words = self.wrapper.clone();
        words.extend(self.command.iter().cloned());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg(self.config())
            .env("JAVA_TOOL_OPTIONS", &self.java_options)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(copy)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{words:?} can't be started: {error}")));
    }

    /// Starts it again (or for the first time) and waits until it serves.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_until_it_serves();
    }

    pub fn wait_until_it_serves(&mut self) {
        until("the server to answer srvr with its mode", || {
            if let Some(status) = self.exit_status() {
                panic!("the server ended with {status}:\n{}", self.output());
            }
            self.try_word("srvr", GLANCE).filter(|text| text.contains("\nMode: ")).map(|_| ())
        });
    }

    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut().expect("only asked of a running server");
        child.try_wait().unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.is_some() && self.exit_status().is_none()
    }

    /// Its host has another address now; the configuration names none.
    pub fn has_moved_to(&mut self, host: Ipv4Addr) {
        self.host = host;
    }

    /// From its next start on it is Ringkeeper, with the same configuration file.
    pub fn become_ringkeeper(&mut self) {
        self.command = command();
    }

    /// From its next start on it is this command, to which the configuration file is appended.
    pub fn become_command(&mut self, words: &[String]) {
        self.command = words.to_vec();
    }

    /// Whether there is a process; it may have ended by itself.
    pub fn is_launched(&self) -> bool {
        self.child.is_some()
    }

    /// The id of the process: of the server itself, or of the program it runs under.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map(Child::id).expect("only asked of a running server")
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself: then there is nothing to kill.
            let _gone = child.kill();
            child.wait().unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Sends a signal by name (`TERM`) to the process. After STOP it stands still: what its threads were about to do is done or
    /// not done.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name} {}", self.pid());
        if name == "STOP" {
            until("all its threads to stand still", || self.stands_still().then_some(()));
        }
    }

    fn stands_still(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        // A thread that ends meanwhile has no file any more. The state is behind the name, which is in brackets.
        let states = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        states
            .into_iter()
            .all(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 't', 'Z'])))
    }

    /// Waits until it has ended by itself.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let status = until("the server to end", || self.exit_status());
        self.child = None;
        status
    }

    /// A four-letter word's answer; panics where there is none.
    pub fn word(&self, word: &str) -> String {
        self.try_word(word, BOUND).unwrap_or_else(|| panic!("no answer to {word}:\n{}", self.output()))
    }

    fn try_word(&self, word: &str, bound: Duration) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(bound)).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// The zxid of the last transaction, as `srvr` tells.
    pub fn zxid(&self) -> i64 {
        let text = self.word("srvr");
        let zxid = text.lines().find_map(|line| line.strip_prefix("Zxid: 0x"));
        let zxid = zxid.unwrap_or_else(|| panic!("no zxid in {text:?}"));
        i64::from_str_radix(zxid, 16).unwrap_or_else(|error| panic!("{zxid}: {error}"))
    }

    /// Transactions behind which its tree was not the one that their digest told of, as `mntr` counts them.
    pub fn digest_mismatches(&self) -> u64 {
        let text = self.word("mntr");
        let count = text.lines().find_map(|line| line.strip_prefix("zk_digest_mismatches_count\t"));
        let count = count.unwrap_or_else(|| panic!("no count of mismatches in {text:?}"));
        count.parse().unwrap_or_else(|error| panic!("{count}: {error}"))
    }

    /// A connection of no session yet.
    pub fn socket(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address(), Duration::from_secs(5));
        let stream = stream.unwrap_or_else(|error| panic!("{}: {error}\n{}", self.address(), self.output()));
        stream.set_read_timeout(Some(BOUND)).unwrap_or_else(|error| panic!("{error}"));
        stream.set_nodelay(true).unwrap_or_else(|error| panic!("{error}"));
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("server of this test: {}\n{}", self.folder.display(), self.output());
        } else {
            // What can't be removed is left to `cargo clean`.
            let _left = fs::remove_dir_all(&self.folder);
        }
    }
}
