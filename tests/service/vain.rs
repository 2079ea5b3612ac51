//! Starts that can't succeed: FAILED, a status, and one clear reason on the terminal.

use std::fs;
use std::net::TcpListener;

use crate::station::{Ran, Station};
use crate::support::server::free_port;

const FAILED: &str = "Starting zookeeper ... FAILED TO START\n";

fn failed(station: &Station, words: &[&str]) -> Ran {
    let ran = station.run(words);
    assert_eq!(ran.status, Some(1), "{words:?}: {ran:?}");
    assert!(!ran.err.contains("panicked"), "{ran:?}");
    assert!(!station.pid_file().exists(), "nobody runs: {ran:?}");
    ran
}

#[test]
fn a_port_that_is_taken() {
    let station = Station::new();
    let _holder = TcpListener::bind(("127.0.0.1", station.port)).expect("a free port");
    let ran = failed(&station, &["start"]);
    assert_eq!(ran.out, FAILED);
    assert!(ran.err.contains("the server ended with exit status: 3. In "), "{ran:?}");
    assert!(
        ran.err.contains(&format!("127.0.0.1:{}", station.port)) && ran.err.contains("clientPort"),
        "{ran:?}"
    );
    // Of what earlier ones said nothing is repeated.
    let again = failed(&station, &["start"]);
    assert_eq!(again.err.matches("Stop who listens there").count(), 1, "{again:?}");
}

#[test]
fn the_port_of_another_purpose_is_named() {
    let station = Station::bare();
    let holder = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let taken = holder.local_addr().expect("a port").port();
    let member = |host: &str, election: u16| {
        let (client, quorum) = (station.port, free_port());
        let others = "server.2=10.0.0.2:2888:3888\nserver.3=10.0.0.3:2888:3888\n";
        let mine = format!("clientPort={client}\nserver.1={host}:{quorum}:{election}\n");
        station.configure(&format!("{mine}initLimit=10\nsyncLimit=5\nmyid=1\n{others}"));
        failed(&station, &["start"]).err
    };
    let err = member("127.0.0.1", taken);
    let wanted = format!(
        "127.0.0.1:{taken}: Address already in use (os error 98). Stop who listens there, or change the election port in \
         this server's line server.N"
    );
    assert!(err.contains(&wanted) && !err.contains("clientPort"), "{err}");
    // Of the documentation's range: no host has it.
    let err = member("192.0.2.1", free_port());
    assert!(err.contains("This host has no such address.") && err.contains("quorumListenOnAllIPs"), "{err}");
    let port = station.port;
    station.configure(&format!("clientPort={port}\nclientPortAddress=192.0.2.1\n"));
    let err = failed(&station, &["start"]).err;
    assert!(err.contains("This host has no such address: set clientPortAddress"), "{err}");
}

#[test]
fn a_configuration_at_fault() {
    let station = Station::new();
    station.configure("clientPort=99999\nsnapCount=x\n");
    let ran = failed(&station, &["start"]);
    assert_eq!(ran.out, FAILED);
    assert!(
        ran.err.contains("zoo.cfg:5: clientPort=99999: ") && ran.err.contains("zoo.cfg:6: snapCount=x: "),
        "{ran:?}"
    );
    assert!(!station.folder.join("logs").exists() && !station.data().exists(), "nothing is made");
}

#[test]
fn a_configuration_is_no_command() {
    let station = Station::new();
    let file = station.configuration().display().to_string();
    let ran = station.run(&[&file]);
    assert!(ran.status == Some(2) && ran.err.ends_with(&format!(": ringkeeper server {file}\n")), "{ran:?}");
    assert!(!station.run(&["nonsense"]).err.contains("ringkeeper server"));
}

#[test]
fn no_configuration() {
    let station = Station::bare();
    for command in ["start", "stop", "restart", "status"] {
        let ran = failed(&station, &[command]);
        assert!(ran.err.contains(&format!("can't read {}: ", station.configuration().display())), "{ran:?}");
        assert_eq!(ran.out, "", "{command}");
    }
    let ran = failed(&station, &["start", "other.cfg"]);
    assert!(ran.err.contains("conf/other.cfg") && ran.err.contains("ZOOCFGDIR"), "{ran:?}");
    fs::write(station.configuration(), "clientPort=1\n").expect("room");
    let ran = failed(&station, &["start"]);
    assert!(ran.err.contains("dataDir"), "{ran:?}");
}

#[test]
fn no_place_for_the_log_or_the_pid() {
    let mut station = Station::new();
    fs::write(station.folder.join("file"), "").expect("room");
    let in_the_way = station.folder.join("file/logs");
    station.set("ZOO_LOG_DIR", in_the_way.display());
    let ran = failed(&station, &["start"]);
    assert_eq!(ran.out, FAILED);
    assert!(ran.err.contains("file/logs") && ran.err.contains("ZOO_LOG_DIR"), "{ran:?}");
    station.set("ZOOPIDFILE", station.folder.join("file/pid").display());
    let ran = failed(&station, &["start"]);
    assert_eq!(ran.out, "Starting zookeeper ... FAILED TO WRITE PID\n");
    assert!(ran.err.contains("file/pid") && ran.err.contains("ZOOPIDFILE"), "{ran:?}");
}

#[test]
fn a_pid_file_that_holds_something_else() {
    let station = Station::new();
    fs::create_dir_all(station.data()).expect("room");
    for text in ["many words", "-5"] {
        fs::write(station.pid_file(), text).expect("room");
        for command in ["start", "stop"] {
            let ran = station.run(&[command]);
            assert_eq!(ran.status, Some(1), "{text:?}: {ran:?}");
            assert!(ran.out.contains("FAILED TO") && ran.err.contains("holds no process id"), "{ran:?}");
            assert_eq!(fs::read_to_string(station.pid_file()).expect("left alone"), text);
        }
    }
    fs::write(station.pid_file(), "").expect("room");
    let stopped = station.must(&["stop"]);
    assert!(
        stopped.out.contains("no zookeeper to stop (") && stopped.out.contains("is empty"),
        "{stopped:?}"
    );
    station.must(&["start"]);
}

#[test]
fn directories_that_are_not_to_be_made() {
    let mut station = Station::new();
    station.set("ZOO_DATADIR_AUTOCREATE_DISABLE", "1");
    let ran = failed(&station, &["start"]);
    let words = format!("ZooKeeper data directory is missing at {}", station.data().display());
    assert!(ran.err.contains(&words), "{ran:?}");
    fs::create_dir_all(station.data().join("ringkeeper-1")).expect("room");
    station.must(&["start"]);
}

#[test]
fn data_that_the_server_can_not_write() {
    let station = Station::new();
    // A directory in the place of a file: root can't write that either.
    fs::create_dir_all(station.data().join("ringkeeper-1/lock")).expect("room");
    let ran = failed(&station, &["start"]);
    assert!(ran.out == FAILED && ran.err.contains("ringkeeper-1/lock"), "{ran:?}");
}
