//! A lone server that is started in the background, asked, restarted and stopped: zkServer.sh's words and statuses.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::station::{Ran, Station, program, runs};
use crate::support::until;

/// A child that doesn't outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

const STOPPED: &str = "Stopping zookeeper ... STOPPED\n";
const STARTED: &str = "Starting zookeeper ... STARTED\n";

/// What a command says when all is well: its words, and which configuration it takes; of a start, where its log is.
fn well(station: &Station, words: &str) -> Ran {
    let mut err = format!("Using config: {}\n", station.configuration().display());
    if words.contains("Starting") {
        err.push_str(&format!("Using log: {}\n", station.log_file().display()));
    }
    Ran { status: Some(0), out: words.to_owned(), err }
}

fn found(station: &Station) -> String {
    format!("Client port found: {}. Client address: 127.0.0.1. Client SSL: false.\n", station.port)
}

fn nothing_to_stop(station: &Station) -> String {
    format!(
        "Stopping zookeeper ... no zookeeper to stop (could not find file {})\n",
        station.pid_file().display()
    )
}

#[test]
fn from_start_to_stop() {
    let station = Station::new();
    let before = station.run(&["status"]);
    let not_running = format!("{}Error contacting service. It is probably not running.\n", found(&station));
    assert_eq!((before.status, &before.out), (Some(1), &not_running), "{before:?}");
    assert!(before.err.contains(&format!("127.0.0.1:{}: ", station.port)), "why: {before:?}");
    assert_eq!(station.run(&["stop"]), well(&station, &nothing_to_stop(&station)));

    assert_eq!(station.run(&["start"]), well(&station, STARTED));
    // It stands: nothing has to be waited for.
    TcpStream::connect(("127.0.0.1", station.port)).expect("a port that is open");
    assert!(station.log().contains(&format!(" ready on 127.0.0.1:{}", station.port)), "{}", station.log());
    let pid = station.pid();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let session = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(3)).expect("a session");
    assert_eq!(session, pid.to_string(), "no terminal can hang up on it");

    let again = station.run(&["start"]);
    let already = format!("Starting zookeeper ... already running as process {pid}.\n");
    assert_eq!((again.status, again.out), (Some(1), already));
    let status = format!("{}Mode: standalone\n", found(&station));
    assert_eq!(station.run(&["status"]), well(&station, &status));

    assert_eq!(station.run(&["restart"]), well(&station, &format!("{STOPPED}{STARTED}")));
    assert!(!runs(pid) && station.pid() != pid);
    assert_eq!(station.run(&["status"]), well(&station, &status));

    let pid = station.pid();
    assert_eq!(station.run(&["stop"]), well(&station, STOPPED));
    assert!(!runs(pid) && !station.pid_file().exists());
    assert!(TcpStream::connect(("127.0.0.1", station.port)).is_err());
    assert_eq!(station.run(&["stop"]), well(&station, &nothing_to_stop(&station)));
    let from_nothing = format!("{}{STARTED}", nothing_to_stop(&station));
    assert_eq!(station.run(&["restart"]), well(&station, &from_nothing));
    assert_eq!(station.log().matches(" ready on ").count(), 3, "the log is appended to: {}", station.log());
}

#[test]
fn files_are_where_the_variables_say() {
    let mut station = Station::new();
    let (pid_file, log) = (station.folder.join("run/zk/own.pid"), station.folder.join("own/zk.log"));
    station.set("ZOOPIDFILE", pid_file.display());
    station.set("ZOO_LOG_DIR", station.folder.join("own").display());
    station.set("ZOO_LOG_FILE", "zk.log");
    station.set("JVMFLAGS", "-Xmx1g -DmaxClientCnxns=7");
    fs::write(station.folder.join("conf/java.env"), "export JVMFLAGS=-Xmx2g\n").expect("room");
    let started = station.must(&["start", "-D", "4lw.commands.whitelist=conf"]);
    assert!(started.err.contains("java.env is not run"), "{started:?}");
    let pid: u32 = fs::read_to_string(&pid_file).expect("named").parse().expect("a number");
    assert!(runs(pid) && !station.pid_file().exists());
    assert!(fs::read_to_string(&log).expect("named").contains(" ready on "));
    let conf = word(&station, "conf");
    assert!(conf.contains("maxClientCnxns=7\n"), "{conf}");
    station.must(&["stop"]);
    assert!(!runs(pid) && !pid_file.exists());
}

fn word(station: &Station, word: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", station.port)).expect("a server");
    stream.write_all(word.as_bytes()).expect("a server");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn a_pid_file_that_is_out_of_date_is_seen_through() {
    let station = Station::new();
    station.must(&["start"]);
    let pid = station.pid();
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("kill").success());
    until("the server to be gone", || (!runs(pid)).then_some(()));
    let stopped = station.must(&["stop"]);
    assert!(stopped.out.contains(&format!("no zookeeper to stop (process {pid} of ")), "{stopped:?}");
    assert!(!station.pid_file().exists());

    // Its number was given to somebody else.
    let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
    let name_other = || fs::write(station.pid_file(), other.id().to_string()).expect("room");
    name_other();
    let stopped = station.must(&["stop"]);
    assert!(stopped.out.contains("is another program"), "{stopped:?}");
    name_other();
    assert_eq!(station.must(&["start"]).out, STARTED);
    assert_ne!(station.pid(), other.id());
    assert!(other.try_wait().expect("our child").is_none(), "nobody touched it");
    other.kill().expect("our child");
    other.wait().expect("our child");
}

#[test]
fn what_runs_is_stopped_whatever_its_configuration_has_become() {
    let station = Station::new();
    station.must(&["start"]);
    let pid = station.pid();
    station.configure(&format!(
        "clientPort={}\nclientPortAddress=127.0.0.1\ntickTime=soon\nforceSync=maybe\n",
        station.port
    ));
    assert_eq!(station.must(&["status"]).out, format!("{}Mode: standalone\n", found(&station)));
    let restarted = station.run(&["restart"]);
    assert_eq!((restarted.status, restarted.out.as_str()), (Some(1), ""), "{restarted:?}");
    for told in ["zoo.cfg:7: tickTime=soon", "zoo.cfg:8: forceSync=maybe", "nothing was stopped"] {
        assert!(restarted.err.contains(told), "{told}: {restarted:?}");
    }
    assert!(runs(pid));
    assert_eq!(station.must(&["stop"]).out, STOPPED);
    assert!(!runs(pid));
}

#[test]
fn of_two_that_start_at_once_one_stands_and_can_be_stopped() {
    let station = Station::new();
    let both: Vec<Ran> = thread::scope(|scope| {
        let starts: Vec<_> = (0..2).map(|_| scope.spawn(|| station.run(&["start"]))).collect();
        starts.into_iter().map(|start| start.join().expect("no panic")).collect()
    });
    let mut statuses: Vec<_> = both.iter().map(|ran| ran.status).collect();
    statuses.sort();
    assert_eq!(statuses, [Some(0), Some(1)], "{both:?}");
    assert!(runs(station.pid()), "{both:?}");
    assert_eq!(station.must(&["stop"]).out, STOPPED);
}

/// One start is slow to read its configuration; meanwhile another one brings up its server, whose number is in the same file.
#[test]
fn a_start_that_was_overtaken_leaves_the_other_ones_pid_file_alone() {
    let mut station = Station::new();
    station.set("ZOOPIDFILE", station.pid_file().display());
    let slow = station.folder.join("slow.cfg");
    assert!(Command::new("mkfifo").arg(&slow).status().expect("coreutils").success());
    let mut command = station.command(&["start", &slow.display().to_string()]);
    let mut overtaken =
        Ended(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("our program"));
    // Whoever writes waits here for the one that reads, and that has found no server by then.
    let mut configuration = fs::File::options().write(true).open(&slow).expect("made above");
    station.must(&["start"]);
    let pid = station.pid();
    configuration.write_all(&fs::read(station.configuration()).expect("written")).expect("it is read");
    drop(configuration);
    let status = until("the other one to give up", || overtaken.0.try_wait().expect("our child"));
    let mut out = String::new();
    overtaken.0.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
    assert_eq!(
        (status.code(), out),
        (Some(1), format!("Starting zookeeper ... already running as process {pid}.\n"))
    );
    assert_eq!(station.pid(), pid);
    assert_eq!(station.must(&["stop"]).out, STOPPED);
}

/// Scripts go on calling Apache's names, if they are links to this program.
#[test]
fn links_with_the_names_of_apaches_scripts_do_what_those_do() {
    let mut station = Station::new();
    station.unset("ZOOCFGDIR");
    let link = |name: &str| {
        let path = station.folder.join(name);
        symlink(program(), &path).expect("room");
        path
    };
    let (server, shell) = (link("zkServer.sh"), link("zkCli.sh"));
    let directory = station.folder.join("conf").display().to_string();
    let run = |path, words: &[&str]| {
        let mut command = station.command(&[]);
        let mut named = Command::new(path);
        named.args(words).current_dir(&station.folder).stdin(Stdio::null());
        named.envs(command.env("USER", "tester").get_envs().filter_map(|(name, value)| Some((name, value?))));
        Ran::of(&named.output().expect("a link to our program"))
    };
    assert_eq!(run(&server, &["--config", &directory, "start"]), well(&station, STARTED));
    let created = run(&shell, &["-server", &format!("127.0.0.1:{}", station.port), "create", "/a", "b"]);
    assert_eq!((created.status, created.err.as_str()), (Some(0), "Created /a\n"), "{created:?}");
    assert_eq!(run(&server, &["--config", &directory, "stop", "zoo.cfg"]), well(&station, STOPPED));
    let usage = run(&server, &[]);
    assert!(usage.status == Some(0) && usage.err.starts_with("Usage: zkServer.sh "), "{usage:?}");
}

/// These tests may run under nohup, and what they start would ignore HUP, too.
fn heeding_hangups(command: &Command) -> Command {
    let mut heeding = Command::new("env");
    heeding.arg("--default-signal=HUP").arg(command.get_program()).args(command.get_args());
    heeding.stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => heeding.env(name, value),
            None => heeding.env_remove(name),
        };
    }
    heeding
}

#[test]
fn in_the_foreground_the_command_is_the_server() {
    let station = Station::new();
    // HUP: the terminal was closed.
    for signal in ["-TERM", "-INT", "-HUP"] {
        let mut command = heeding_hangups(&station.command(&["start-foreground"]));
        command.current_dir(&station.folder).stderr(Stdio::piped());
        let mut server = Ended(command.spawn().expect("our program"));
        until("the server to say what it is", || {
            let status = station.run(&["status"]);
            status.out.ends_with("Mode: standalone\n").then_some(())
        });
        let asked = Command::new("kill").args([signal, &server.0.id().to_string()]).status();
        assert!(asked.expect("kill").success());
        let mut said = String::new();
        server.0.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
        assert_eq!(server.0.wait().expect("our child").code(), Some(0), "{signal}: {said}");
        assert!(said.ends_with("stopping\n"), "{signal}: {said}");
    }
    // What zkServer.sh's other uses of it end with: the server's own statuses.
    station.configure("clientPort=-1\n");
    let refused = station.run(&["start-foreground"]);
    assert!(refused.status == Some(2) && refused.err.contains("clientPort=-1"), "{refused:?}");
}
