//! `ringkeeper server --check`: what is wrong, or the whole configuration; nothing is started, nothing is made.

use std::fs;

use crate::station::{Ran, Station, runs};

fn settings(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

#[test]
fn a_sound_configuration_is_printed_whole() {
    let mut station = Station::new();
    let file = station.configuration().display().to_string();
    station.set("ZOO_MAX_CLIENT_CNXNS", 9);
    let ran = station.must(&["server", "--check", &file, "-DsnapCount=77"]);
    assert_eq!(ran.err, "");
    let head = format!("# {file}\ndataDir={}\ntickTime=500\n", station.data().display());
    assert!(ran.out.starts_with(&head), "{}", ran.out);
    for lines in [
        "\n# environment variable ZOO_MAX_CLIENT_CNXNS\nmaxClientCnxns=9\n",
        "\n# -D on the command line\nsnapCount=77\n",
        "\nadmin.enableServer=false\n",
        "\nmaxSessionTimeout=10000\n",
    ] {
        assert!(ran.out.contains(lines), "{lines:?}: {}", ran.out);
    }
    let (_, defaults) = ran.out.split_once("\n# defaults\n").expect("defaults");
    assert!(settings(defaults).len() > 30 && settings(defaults).contains(&"forceSync=yes"), "{defaults}");
    // What was printed means the same: a file, now, instead of three places.
    let whole = station.folder.join("whole.cfg");
    fs::write(&whole, &ran.out).expect("room");
    station.unset("ZOO_MAX_CLIENT_CNXNS");
    let again = station.must(&["server", "--check", &whole.display().to_string()]);
    let mut both = [settings(&ran.out), settings(&again.out)];
    both.iter_mut().for_each(|lines| lines.sort_unstable());
    assert_eq!(both[0], both[1]);
    assert!(!station.data().exists(), "nothing is made");
}

#[test]
fn faults_are_told_all_at_once() {
    let station = Station::new();
    station.configure("clientPort=2181\ndatalogdir=/x\nforceSync=maybe\nminSessionTimeout=x\n");
    let file = station.configuration().display().to_string();
    let ran = station.run(&["server", "--check", &file]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    for line in [
        "zoo.cfg:6: unknown key `datalogdir`",
        "zoo.cfg:7: forceSync=maybe",
        "zoo.cfg:8: minSessionTimeout=x",
    ] {
        assert!(ran.err.contains(line), "{line}: {ran:?}");
    }
    assert!(ran.err.ends_with("ringkeeper: 2 errors in the configuration\n"), "{ran:?}");
    let ran = station.run(&["server", "--check", "none.cfg"]);
    assert!(ran.status == Some(2) && ran.err.contains("can't read none.cfg"), "{ran:?}");
}

#[test]
fn warnings_stand_beside_it() {
    let station = Station::new();
    let port = station.port;
    station.configure(&format!("clientPort={port}\nskipACL=yes\ninitLimit=5\nflushDelay=3\n"));
    let ran = station.must(&["server", "--check", &station.configuration().display().to_string()]);
    assert!(ran.err.contains("warning: ") && ran.err.contains("skipACL=yes: every client may"), "{ran:?}");
    assert!(ran.err.contains("note: ") && ran.err.contains("`flushDelay` tunes what"), "{ran:?}");
    assert!(ran.out.contains("\n# initLimit: of no effect on a standalone server\n"), "{ran:?}");
}

/// It may be asked while a server runs on that very configuration.
#[test]
fn a_running_server_is_not_disturbed() {
    let station = Station::new();
    station.must(&["start"]);
    let (pid, file) = (station.pid(), station.configuration().display().to_string());
    station.must(&["server", "--check", &file]);
    assert!(runs(pid));
    assert!(station.must(&["status"]).out.ends_with("Mode: standalone\n"));
}

/// Half of it would read back as another configuration.
#[test]
fn what_can_not_be_written_whole_is_no_success() {
    let station = Station::new();
    let mut command = station.command(&["server", "--check", &station.configuration().display().to_string()]);
    let full = fs::File::options().write(true).open("/dev/full").expect("a device of Linux");
    let ran = Ran::of(&command.stdout(full).output().expect("our program"));
    assert_eq!(ran.status, Some(3), "{ran:?}");
    assert!(ran.err.contains("cannot write: "), "{ran:?}");
}
