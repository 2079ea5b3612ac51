//! What runs in the container, as processes: the image's command and health check with its variables, and the ensemble of
//! the compose file. No container engine is needed, and none is tested.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::station::{Ran, Station};
use crate::support::server::free_port;
use crate::support::until;

fn packaging(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/packaging").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words of a Dockerfile's instruction, behind the program's name.
fn words_of(dockerfile: &str, instruction: &str) -> Vec<String> {
    let line = dockerfile.lines().find(|line| line.starts_with(instruction));
    let line = line.unwrap_or_else(|| panic!("no {instruction} in {dockerfile}"));
    let list = &line[line.find('[').expect("a list of words")..];
    let words: Vec<String> = serde_json::from_str(list).unwrap_or_else(|error| panic!("{list}: {error}"));
    assert_eq!(words[0], "ringkeeper");
    words[1..].to_vec()
}

/// A container's process, and its directories.
struct Container {
    station: Station,
    server: Option<Child>,
}

impl Container {
    /// Its variables are those of the image, on directories of its own.
    fn new() -> Container {
        let mut station = Station::bare();
        station.unset("ZOOCFGDIR");
        let folder = station.folder.clone();
        for (name, directory) in [
            ("ZOO_CONF_DIR", "conf"),
            ("ZOO_LOG_DIR", "logs"),
            ("ZOO_DATA_DIR", "data"),
            ("ZOO_DATA_LOG_DIR", "datalog"),
        ] {
            station.set(name, folder.join(directory).display());
        }
        station.set("ZOO_ADMINSERVER_ENABLED", false);
        station.set("ZOO_CFG_EXTRA", "preAllocSize=2048");
        Container { station, server: None }
    }

    fn start(&mut self) {
        let words = words_of(&packaging("Dockerfile"), "CMD ");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = fs::File::create(self.station.folder.join("output")).expect("room");
        let mut command = self.station.command(&words);
        self.server = Some(command.stdout(Stdio::null()).stderr(output).spawn().expect("our program"));
    }

    fn output(&self) -> String {
        fs::read_to_string(self.station.folder.join("output")).unwrap_or_default()
    }

    fn health(&self) -> Ran {
        let words = words_of(&packaging("Dockerfile"), "HEALTHCHECK ");
        self.station.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn mode(&self) -> Option<String> {
        let ran = self.station.run(&["status"]);
        (ran.status == Some(0)).then(|| ran.out.lines().last().unwrap_or_default().to_owned())
    }

    fn wait_for_mode(&mut self) -> String {
        until("a mode", || {
            let ended = self.server.as_mut().expect("started").try_wait().expect("our child");
            assert!(ended.is_none(), "{ended:?}\n{}", self.output());
            self.mode()
        })
    }

    /// As an engine stops it.
    fn stop(&mut self) -> Option<i32> {
        let mut server = self.server.take().expect("started");
        let asked = std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status();
        assert!(asked.expect("kill").success());
        server.wait().expect("our child").code()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _gone = server.kill();
            let _status = server.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.output());
        }
    }
}

#[test]
fn variables_alone_make_a_lone_server() {
    let mut container = Container::new();
    let port = container.station.port;
    container.station.set("ZOO_SERVERS", format!("server.1=localhost:2888:3888;127.0.0.1:{port}"));
    container.station.set("ZOO_TICK_TIME", 700);
    assert_eq!(container.health().status, Some(1), "not yet");
    container.start();
    assert_eq!(container.wait_for_mode(), "Mode: standalone");
    assert_eq!(container.health().status, Some(0));
    let output = container.output();
    let told = format!(
        "Using config: ZOO_* variables (there is no {})",
        container.station.configuration().display()
    );
    assert!(output.contains(&told), "{output}");
    for directory in ["data/ringkeeper-1", "datalog/ringkeeper-1"] {
        assert!(container.station.folder.join(directory).is_dir(), "{directory}: {output}");
    }
    assert_eq!(container.stop(), Some(0));
}

#[test]
fn a_file_that_is_mounted_counts_and_variables_override_it() {
    let mut container = Container::new();
    let port = container.station.port;
    container.station.unset("ZOO_CFG_EXTRA");
    container.station.configure(&format!(
        "clientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=7\nsnapCount=70\n"
    ));
    container.station.set("ZOO_MAX_CLIENT_CNXNS", 8);
    container.start();
    assert_eq!(container.wait_for_mode(), "Mode: standalone");
    let output = container.output();
    assert!(
        output.contains(&format!("Using config: {}\n", container.station.configuration().display())),
        "{output}"
    );
    assert!(output.contains("maxClientCnxns overrides line"), "{output}");
    assert!(container.station.folder.join("data/ringkeeper-1").is_dir(), "as the file says");
}

#[test]
fn a_number_is_written_down_and_stays() {
    let mut container = Container::new();
    let port = container.station.port;
    let servers =
        [1, 2, 3].map(|id| format!("server.{id}=127.0.0.1:{}:{};127.0.0.1:{port}", free_port(), free_port()));
    container.station.set("ZOO_SERVERS", servers.join(" "));
    container.station.set("ZOO_MY_ID", 3);
    container.start();
    until("a member that lives", || (container.health().status == Some(0)).then_some(()));
    assert_eq!(container.mode(), None, "alone it has no quorum");
    let file = container.station.data().join("myid");
    assert_eq!(fs::read_to_string(&file).expect("written"), "3\n");
    assert_eq!(container.stop(), Some(0));
    container.station.set("ZOO_MY_ID", 2);
    container.start();
    until("a member that lives", || (container.health().status == Some(0)).then_some(()));
    assert!(container.output().contains("myid=2 is ignored"), "{}", container.output());
    assert_eq!(fs::read_to_string(&file).expect("written"), "3\n");
}

#[test]
fn a_directory_that_can_not_be_written_is_named() {
    let mut container = Container::new();
    let station = &mut container.station;
    // Nobody makes directories there, not even root.
    station.set("ZOO_DATA_DIR", "/proc/ringkeeper/data");
    station.set("ZOO_SERVERS", "server.1=127.0.0.1:1:2;3 server.2=127.0.0.1:4:5;6 server.3=127.0.0.1:7:8;9");
    let ran = station.run(&["start-foreground"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("can't write /proc/ringkeeper/data/myid: ") && ran.err.contains("mount "),
        "{ran:?}"
    );
}

/// Numbers and server lines of the compose file, on ports of this host.
fn composed() -> Vec<(u32, u16, String)> {
    let text = packaging("compose.yaml");
    let ids: Vec<u32> =
        text.lines().filter_map(|line| line.trim().strip_prefix("ZOO_MY_ID: ")?.parse().ok()).collect();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("server.")).collect();
    assert_eq!((ids.len(), lines.len()), (4, 4), "{text}");
    let ports: Vec<u16> = ids.iter().map(|_| free_port()).collect();
    let line = |(line, port): (&&str, &u16)| {
        let (id, rest) = line.split_once('=').expect("a server line");
        let role = if rest.contains(":observer") { ":observer" } else { "" };
        assert!(rest.starts_with(&format!("zoo{}:2888:3888", &id[7..])) && rest.ends_with(";2181"), "{line}");
        format!("{id}=127.0.0.1:{}:{}{role};127.0.0.1:{port}", free_port(), free_port())
    };
    let servers: Vec<String> = lines.iter().zip(&ports).map(line).collect();
    let servers = servers.join(" ");
    ids.into_iter().zip(ports).map(|(id, port)| (id, port, servers.clone())).collect()
}

#[test]
fn the_ensemble_of_the_compose_file_finds_a_leader() {
    let mut containers: Vec<Container> = vec![];
    for (id, port, servers) in composed() {
        let mut container = Container::new();
        container.station.port = port;
        container.station.set("ZOO_SERVERS", &servers);
        container.station.set("ZOO_MY_ID", id);
        container.start();
        containers.push(container);
    }
    let modes: Vec<String> = containers.iter_mut().map(Container::wait_for_mode).collect();
    let count = |mode: &str| modes.iter().filter(|of| *of == mode).count();
    assert_eq!(
        (count("Mode: leader"), count("Mode: follower"), count("Mode: observer")),
        (1, 2, 1),
        "{modes:?}"
    );
    for container in &mut containers {
        assert_eq!(container.stop(), Some(0), "{}", container.output());
    }
}
