//! Containers and TTL nodes that were made under a leader of one kind and are reaped by one of the other: it learned of them from
//! the log and from snapshots only.

use ringkeeper::wire::client::{AddWatchMode, AddWatchRequest, ErrorResponse, EventType};
use ringkeeper::wire::{ErrorCode, Opcode};

use crate::mixed::{assert_no_mismatch, java, make_lead};
use crate::mixed_znodes::{container, is_gone, with_ttl};
use crate::support::client::PERSISTENT;
use crate::support::{Client, Ensemble};

/// The third, which leads when all logs are equal.
const OURS: usize = 2;
const INTERVAL: &str = "znode.container.checkIntervalMs";
const OFTEN_MS: u32 = 200;
/// Longer than a test.
const NEVER_MS: u32 = 3_600_000;
const BRIEF_MS: i64 = 1;

/// Two of Apache's and one of ours; those of one kind never look for what is to be reaped.
fn prepare(java_ms: u32, ours_ms: u32) -> Ensemble {
    let mut command = java();
    for word in &mut command {
        if word.contains(INTERVAL) {
            *word = format!("-D{INTERVAL}={java_ms}");
        }
    }
    assert!(command.iter().any(|word| word.ends_with(&format!("{INTERVAL}={java_ms}"))), "{command:?}");
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    Ensemble::prepare(OURS + 1, 0, |id, config| {
        let config = config.set("extendedTypesEnabled", true);
        if id == OURS + 1 { config.set(INTERVAL, ours_ms) } else { config.command(&words) }
    })
}

/// What is due, and what will be when its child goes.
struct Made {
    emptied: String,
    over: String,
    below: String,
    held: [String; 2],
    lasting: String,
}

impl Made {
    fn through(client: &mut Client) -> Made {
        let base = client.create("/base", b"", PERSISTENT);
        let made = Made {
            emptied: container(client, &format!("{base}/emptied")),
            over: with_ttl(client, &format!("{base}/over"), BRIEF_MS),
            // The one above it is due only when this is gone.
            below: with_ttl(client, &format!("{base}/over/below"), BRIEF_MS),
            held: [
                container(client, &format!("{base}/held")),
                with_ttl(client, &format!("{base}/held-for-a-while"), BRIEF_MS),
            ],
            lasting: with_ttl(client, &format!("{base}/lasting"), i64::from(NEVER_MS)),
        };
        for path in made.held.iter().chain([&made.lasting]) {
            client.create(&format!("{path}/child"), b"", PERSISTENT);
        }
        let child = client.create(&format!("{}/child", made.emptied), b"", PERSISTENT);
        client.delete(&child, -1).expect("there");
        made
    }

    fn due(&self) -> [&String; 3] {
        [&self.emptied, &self.over, &self.below]
    }
}

fn watch(client: &mut Client, path: &str, mode: AddWatchMode) {
    let request = AddWatchRequest { path: path.into(), mode };
    assert_eq!(client.call(Opcode::AddWatch, &request).record::<ErrorResponse>().err, 0);
}

/// Each reaping is seen at each server, by who waits and by who asks.
fn is_reaped_and_seen(ensemble: &Ensemble, path: &str) {
    let mut watchers = vec![];
    for server in &ensemble.servers {
        for mode in [AddWatchMode::Persistent, AddWatchMode::PersistentRecursive] {
            let mut client = Client::connect(server);
            client.catch_up();
            watch(&mut client, path, mode);
            watchers.push((client, mode));
        }
    }
    let child = format!("{path}/child");
    let mut client = Client::connect(&ensemble.servers[0]);
    client.catch_up();
    client.delete(&child, -1).expect("there");
    client.close();
    for (mut client, mode) in watchers {
        let first = match mode {
            AddWatchMode::Persistent => (EventType::NodeChildrenChanged, path),
            AddWatchMode::PersistentRecursive => (EventType::NodeDeleted, child.as_str()),
        };
        for expected in [first, (EventType::NodeDeleted, path)] {
            let event = client.next_event();
            assert_eq!((event.kind, event.path.as_str()), expected, "{mode:?}");
        }
        assert_eq!(client.exists(path, false), Err(ErrorCode::NoNode));
        client.close();
    }
}

fn made_under_one_and_reaped_by_the_other(ensemble: &mut Ensemble, change: impl Fn(&mut Ensemble, usize)) {
    let leader = ensemble.settle();
    let mut client = Client::connect(&ensemble.servers[leader]);
    let made = Made::through(&mut client);
    client.close();
    ensemble.assert_equal();
    for server in &ensemble.servers {
        let mut client = Client::connect(server);
        for path in made.due() {
            assert!(client.exists(path, false).is_ok(), "{path}: this leader never looks");
        }
        client.close();
    }
    change(ensemble, leader);
    for server in &ensemble.servers {
        let mut client = Client::connect(server);
        client.catch_up();
        for path in made.due() {
            is_gone(&mut client, path);
        }
        for path in made.held.iter().chain([&made.lasting]) {
            assert!(client.exists(path, false).is_ok(), "{path} has a child, or time");
        }
        client.close();
    }
    let mut client = Client::connect(&ensemble.servers[leader]);
    client.catch_up();
    client.delete(&format!("{}/child", made.lasting), -1).expect("there");
    client.close();
    for path in &made.held {
        is_reaped_and_seen(ensemble, path);
    }
    // What was looked at since has gone; it hasn't.
    let tree = ensemble.assert_equal();
    let left: Vec<&String> = tree.keys().filter(|path| path.starts_with("/base/")).collect();
    assert_eq!(left, [&made.lasting]);
    assert_no_mismatch(&ensemble.servers);
}

#[test]
fn what_was_made_under_apaches_leader_is_reaped_by_ours() {
    let mut ensemble = prepare(NEVER_MS, OFTEN_MS);
    ensemble.servers[0].spawn();
    ensemble.servers[1].spawn();
    assert_ne!(ensemble.settle(), OURS);
    ensemble.servers[OURS].restart();
    made_under_one_and_reaped_by_the_other(&mut ensemble, |ensemble, _| make_lead(ensemble, OURS));
    assert_eq!(ensemble.settle(), OURS);
}

#[test]
fn what_was_made_under_our_leader_is_reaped_by_apaches() {
    let mut ensemble = prepare(OFTEN_MS, NEVER_MS);
    ensemble.launch_all();
    assert_eq!(ensemble.settle(), OURS);
    made_under_one_and_reaped_by_the_other(&mut ensemble, |ensemble, leader| {
        ensemble.servers[leader].kill();
        ensemble.settle();
        ensemble.servers[leader].restart();
    });
    assert_ne!(ensemble.settle(), OURS);
}
