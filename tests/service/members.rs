//! Members that are started one after the other: each stands before there is a quorum, and tells what it has become.

use std::fs;

use crate::station::Station;
use crate::support::server::free_port;
use crate::support::until;

/// Three members without a clientPort: their lines have it. The third one's lines are in a dynamic file.
fn three() -> Vec<Station> {
    let stations: Vec<Station> = (0..3).map(|_| Station::bare()).collect();
    let line = |(at, station): (usize, &Station)| {
        let id = at + 1;
        format!("server.{id}=127.0.0.1:{}:{};127.0.0.1:{}\n", free_port(), free_port(), station.port)
    };
    let lines: String = stations.iter().enumerate().map(line).collect();
    for (at, station) in stations.iter().enumerate() {
        fs::create_dir_all(station.data()).expect("room");
        fs::write(station.data().join("myid"), format!("{}\n", at + 1)).expect("room");
        let limits = "initLimit=20\nsyncLimit=4\n";
        if at < 2 {
            station.configure(&format!("{limits}{lines}"));
        } else {
            let dynamic = station.folder.join("conf/zoo.cfg.dynamic");
            fs::write(&dynamic, &lines).expect("room");
            station.configure(&format!("{limits}dynamicConfigFile={}\n", dynamic.display()));
        }
    }
    stations
}

#[test]
fn members_are_started_one_after_the_other_and_say_what_they_are() {
    let stations = three();
    let first = &stations[0];
    let started = "Starting zookeeper ... STARTED\n";
    assert_eq!(first.must(&["start"]).out, started);
    let found = format!("Client port found: {}. Client address: 127.0.0.1. Client SSL: false.\n", first.port);
    let alone = first.run(&["status"]);
    assert_eq!(
        (alone.status, alone.out),
        (Some(1), format!("{found}Error contacting service. It is probably not running.\n"))
    );
    assert!(alone.err.contains("not currently serving requests"), "{}", alone.err);
    let alive = first.must(&["status", "--alive"]);
    assert_eq!(alive.out, format!("{found}Mode: none, it runs and is in no quorum\n"));

    for station in &stations[1..] {
        assert_eq!(station.must(&["start"]).out, started);
    }
    let modes = until("each to be a leader or a follower", || {
        let mode = |station: &Station| {
            let ran = station.run(&["status"]);
            (ran.status == Some(0)).then(|| ran.out.lines().last().unwrap_or_default().to_owned())
        };
        stations.iter().map(mode).collect::<Option<Vec<String>>>()
    });
    let count = |mode: &str| modes.iter().filter(|of| *of == mode).count();
    assert_eq!((count("Mode: leader"), count("Mode: follower")), (1, 2), "{modes:?}");
    // zkServer.sh says where it looks.
    let looking = "Client port not found in static config file. Looking in dynamic config file.\n";
    let last = stations[2].must(&["status"]).out;
    assert!(last.starts_with(looking), "{last}");
    assert!(!first.must(&["status"]).out.contains(looking));
    for station in &stations {
        assert_eq!(station.must(&["stop"]).out, "Stopping zookeeper ... STOPPED\n");
        assert_eq!(station.run(&["status", "--alive"]).status, Some(1));
    }
}

#[test]
fn one_of_three_says_whom_it_misses_and_repeats_nothing() {
    let station = Station::bare();
    let mine = format!("server.1=127.0.0.1:{}:{}\nclientPort={}\n", free_port(), free_port(), station.port);
    let others = "server.2=two.invalid:2888:3888\nserver.3=three.invalid:2888:3888\n";
    station.configure(&format!("initLimit=20\nsyncLimit=4\nmyid=1\n{mine}{others}"));
    station.must(&["start"]);
    // Five seconds: names are asked for again every half a second.
    until("it to miss the others", || station.log().contains("no leader is found yet").then_some(()));
    let log = station.log();
    assert!(log.contains(" servers=3 unconnected=[2, 3]"), "{log}");
    for host in ["two.invalid", "three.invalid"] {
        assert_eq!(log.matches(host).count(), 1, "{log}");
    }
    station.must(&["stop"]);
}

#[test]
fn without_a_client_port_it_is_said_what_is_missing() {
    let station = Station::bare();
    station.configure("server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\nserver.3=127.0.0.1:5:6\n");
    let none = "Client port not found. Looking for secureClientPort in the static config.\n";
    let end = "Unable to find either secure or unsecure client port in any configs. Terminating.\n";
    let ran = station.run(&["status"]);
    let myid = "myid could not be determined, will not able to locate clientPort in the server configs.\n";
    assert_eq!((ran.status, ran.out), (Some(1), format!("{myid}{none}{end}")));
    fs::create_dir_all(station.data()).expect("room");
    fs::write(station.data().join("myid"), "2").expect("room");
    let ran = station.run(&["status"]);
    let looked = "Client port not found in static config file. Looking in dynamic config file.\n\
                  Client port not found in the server configs\n";
    assert_eq!((ran.status, ran.out), (Some(1), format!("{looked}{none}{end}")));
    station.configure("secureClientPort=2281\n");
    let ran = station.run(&["status"]);
    assert!(
        ran.status == Some(1)
            && ran.out.contains("Client port found: 2281. Client address: localhost. Client SSL: true.\n")
    );
    assert!(ran.err.contains("TLS is not built yet"), "{ran:?}");
}
