//! What systemd hears: READY=1 when the server stands, WATCHDOG=1 while its loops turn, STOPPING=1 when it stops.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::support::client::PERSISTENT;
use crate::support::server::folder;
use crate::support::wait::BOUND;
use crate::support::{Client, Config, Server, within};

/// As systemd listens.
struct Listener {
    socket: UnixDatagram,
    folder: PathBuf,
}

impl Listener {
    fn new() -> Listener {
        let folder = folder("notify");
        let socket = UnixDatagram::bind(folder.join("notify")).expect("a socket");
        socket.set_read_timeout(Some(BOUND)).expect("a socket");
        Listener { socket, folder }
    }

    /// A server whose words come here.
    fn hears(&self, config: Config) -> Config {
        config.variable("NOTIFY_SOCKET", self.folder.join("notify").display())
    }

    /// The next word, line by line. `None`: silence for `bound`.
    fn next_within(&self, bound: Duration) -> Option<Vec<String>> {
        self.socket.set_read_timeout(Some(bound)).expect("a socket");
        let mut bytes = [0; 1024];
        let count = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).lines().map(str::to_owned).collect())
    }

    fn next(&self) -> Vec<String> {
        self.next_within(BOUND).expect("a word within the bound")
    }

    /// Words until one holds this line; that one.
    fn until(&self, line: &str) -> Vec<String> {
        loop {
            let word = self.next();
            if word.iter().any(|found| found == line) {
                return word;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn it_is_told_when_the_server_stands_and_when_it_stops() {
    for shards in [1, 2] {
        let listener = Listener::new();
        let mut server = listener.hears(Config::default().set("ringkeeper.shards", shards)).prepare();
        server.spawn();
        assert_eq!(listener.next(), ["READY=1".to_owned(), format!("STATUS=ready on {}", server.address())]);
        // Who is told may connect at once.
        drop(server.socket());
        Client::connect(&server).create("/a", b"", PERSISTENT);
        server.signal("TERM");
        assert_eq!(listener.next(), ["STOPPING=1", "STATUS=stopping"], "no watchdog was asked for");
        assert_eq!(server.wait_for_exit().code(), Some(0));
    }
}

#[test]
fn a_server_that_turns_is_heard_in_time() {
    for shards in [1, 2] {
        let listener = Listener::new();
        let config = Config::default().set("ringkeeper.shards", shards).variable("WATCHDOG_USEC", 600_000);
        let server = listener.hears(config).start();
        listener.until("READY=1");
        assert_eq!(listener.until("STATUS=standalone")[0], "WATCHDOG=1");
        for _ in 0..5 {
            // Longer than is granted: what counts here is that it goes on, on a busy machine, too.
            assert_eq!(listener.next_within(Duration::from_secs(20)), Some(vec!["WATCHDOG=1".to_owned()]));
        }
        drop(server);
    }
}

/// strace holds the one loop where it waits for events, and only that thread: the process lives, its watchdog's thread too.
#[test]
fn a_server_whose_loop_is_stuck_falls_silent_until_it_turns_again() {
    const SILENCE: Duration = Duration::from_secs(4);
    let listener = Listener::new();
    let config = Config::default()
        .set("ringkeeper.shards", 1)
        .set("ringkeeper.io", "epoll")
        .variable("WATCHDOG_USEC", 300_000);
    let mut server = listener.hears(config).start();
    listener.until("WATCHDOG=1");
    let pid = server.pid().to_string();
    let held = "inject=?epoll_wait,?epoll_pwait,?epoll_pwait2:delay_enter=600000000";
    let mut strace = Command::new("strace")
        .args(["-qq", "-p", &pid, "-e", "trace=?epoll_wait,?epoll_pwait,?epoll_pwait2", "-e", held])
        .args(["-o", "/dev/null"])
        .spawn()
        .expect("strace (Debian: apt install strace), which needs root to hold a process that runs");
    within(BOUND, "silence", || listener.next_within(SILENCE).is_none().then_some(()));
    assert!(server.is_running());
    assert!(strace.try_wait().expect("our child").is_none(), "strace didn't hold it");
    // By this it lets go of whom it holds.
    let asked = Command::new("kill").args(["-TERM", &strace.id().to_string()]).status();
    assert!(asked.expect("kill").success());
    strace.wait().expect("our child");
    assert_eq!(listener.next(), ["WATCHDOG=1"]);
}

#[test]
fn a_socket_that_is_not_there_keeps_no_server_from_starting() {
    let server = Config::default().variable("NOTIFY_SOCKET", "/nowhere/notify").start();
    let output = server.output();
    assert!(output.contains("WARN") && output.contains("NOTIFY_SOCKET"), "{output}");
    let odd = Config::default().variable("NOTIFY_SOCKET", "nonsense").start();
    assert!(odd.output().contains("nonsense"), "{}", odd.output());
    drop((server, odd));
}

#[test]
fn a_server_that_does_not_start_was_never_ready() {
    let listener = Listener::new();
    let first = Server::start();
    let (status, output) = listener.hears(Config::default().data_dir(first.data_dir())).start_in_vain();
    assert_eq!(status.code(), Some(3), "{output}");
    assert_eq!(listener.next_within(Duration::from_millis(200)), None);
}
