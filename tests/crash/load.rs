//! `kill -9` under load: what was acknowledged is there afterwards, and nothing that nobody wrote.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ringkeeper::base::Prng;
use ringkeeper::wire::client::{CreateRequest, SetDataRequest};
use ringkeeper::wire::{AclList, Opcode};

use crate::support::client::PERSISTENT;
use crate::support::{Client, Config, Message, Server, until};

const WRITERS: usize = 6;
const ROUNDS: u64 = 6;
/// Requests that a writer sends before it reads the replies.
const PIPELINED: u64 = 16;

/// What one writer sent and what it was told, in one life of the server.
#[derive(Default)]
struct Story {
    /// Data by path; later lives have other paths.
    sent: BTreeMap<String, Vec<u8>>,
    acknowledged: Vec<String>,
    /// Highest value of the counter that was acknowledged, and highest that was sent.
    counter_acknowledged: u64,
    counter_sent: u64,
    /// Of the last reply.
    zxid: i64,
}

/// Sends batches of a create and a counter each until the server is gone.
fn write(mut client: Client, name: String, acknowledged: &AtomicU64, mut random: Prng) -> Story {
    let mut story = Story::default();
    let counter = format!("{name}/counter");
    let mut number = 0;
    loop {
        let mut bytes = Vec::new();
        // What waits for its reply: a path, or a value of the counter.
        let mut waiting: Vec<(i32, Result<String, u64>)> = Vec::new();
        for _ in 0..PIPELINED {
            number += 1;
            let path = format!("{name}/n{number}");
            let data: Vec<u8> = (0..random.below(400)).map(|_| random.next() as u8).collect();
            let create = CreateRequest {
                path: path.as_str().into(),
                data: Some(&data),
                acl: Some(AclList::OPEN),
                flags: PERSISTENT,
            };
            let (xid, request) = client.request(Opcode::Create, &create);
            bytes.extend(request);
            waiting.push((xid, Ok(path.clone())));
            story.sent.insert(path, data);
            let value = number.to_string();
            let set =
                SetDataRequest { path: counter.as_str().into(), data: Some(value.as_bytes()), version: -1 };
            let (xid, request) = client.request(Opcode::SetData, &set);
            bytes.extend(request);
            waiting.push((xid, Err(number)));
        }
        story.counter_sent = number;
        if !client.try_send_bytes(&bytes) {
            return story;
        }
        for (xid, what) in waiting {
            let Some(message) = client.try_next() else { return story };
            let Message::Reply(reply) = message else { panic!("nobody watches: {message:?}") };
            assert_eq!((reply.xid, reply.err), (xid, 0), "{what:?}");
            assert!(reply.zxid > story.zxid);
            story.zxid = reply.zxid;
            match what {
                Ok(path) => story.acknowledged.push(path),
                Err(value) => story.counter_acknowledged = value,
            }
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One life: writers write until, after `acknowledgements` of them all, the server is killed.
fn live_and_die(server: &mut Server, round: u64, acknowledgements: u64, random: &mut Prng) -> Vec<Story> {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let mut client = Client::connect(server);
            let name = format!("/r{round}w{writer}");
            client.create(&name, b"", PERSISTENT);
            client.create(&format!("{name}/counter"), b"0", PERSISTENT);
            let (acknowledged, random) = (Arc::clone(&acknowledged), Prng::new(random.next()));
            thread::spawn(move || write(client, name, &acknowledged, random))
        })
        .collect();
    until("the writers to get going", || {
        (acknowledged.load(Ordering::Relaxed) >= acknowledgements).then_some(())
    });
    server.kill();
    writers.into_iter().map(|writer| writer.join().expect("the writer's own checks hold")).collect()
}

/// What a restarted server holds below one writer's znode.
struct Found {
    /// Data by path, without the counter.
    znodes: BTreeMap<String, Vec<u8>>,
    counter: u64,
    zxid: i64,
}

fn look(client: &mut Client, name: &str) -> Found {
    let counter = String::from_utf8(client.data(&format!("{name}/counter"))).expect("digits");
    let children = client.children(name, false).expect("acknowledged before the load");
    let paths = children.iter().filter(|child| *child != "counter").map(|child| format!("{name}/{child}"));
    let znodes = paths.map(|path| (path.clone(), client.data(&path))).collect();
    Found { znodes, counter: counter.parse().expect("digits"), zxid: client.zxid }
}

/// What is wrong with it, if anything.
fn judge(found: &Found, story: &Story, name: &str) -> Result<(), String> {
    if let Some(lost) = story.acknowledged.iter().find(|path| !found.znodes.contains_key(*path)) {
        return Err(format!("{lost} was acknowledged and is lost"));
    }
    for (path, data) in &found.znodes {
        match story.sent.get(path) {
            None => return Err(format!("{path}: nobody created it")),
            Some(sent) if sent != data => return Err(format!("{path}: not what was written")),
            Some(_) => {}
        }
    }
    let range = story.counter_acknowledged..=story.counter_sent;
    if !range.contains(&found.counter) {
        return Err(format!("{name}: the counter is {}, not within {range:?}", found.counter));
    }
    if found.zxid < story.zxid {
        return Err(format!("zxid 0x{:x}, and 0x{:x} was told to {name}", found.zxid, story.zxid));
    }
    // A session's writes take effect in their order: n1 up to some number, and the counter beside it.
    let count = found.znodes.len() as u64;
    if let Some(hole) = (1..=count).find(|number| !found.znodes.contains_key(&format!("{name}/n{number}"))) {
        return Err(format!("{name}: n{hole} is missing among {count}"));
    }
    if found.counter != count && found.counter + 1 != count {
        return Err(format!("{name}: the counter is {} beside n{count}", found.counter));
    }
    Ok(())
}

fn check(server: &Server, round: u64, stories: &[Story]) {
    let mut client = Client::connect(server);
    for (writer, story) in stories.iter().enumerate() {
        let name = format!("/r{round}w{writer}");
        let found = look(&mut client, &name);
        judge(&found, story, &name).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

#[test]
fn the_judge_sees_what_is_lost_invented_changed_or_out_of_order() {
    let path = |number: u64| format!("/w/n{number}");
    let story = || Story {
        sent: (1..=5).map(|number| (path(number), vec![number as u8])).collect(),
        acknowledged: (1..=3).map(path).collect(),
        counter_acknowledged: 3,
        counter_sent: 5,
        zxid: 10,
    };
    let found = |last: u64| Found {
        znodes: (1..=last).map(|number| (path(number), vec![number as u8])).collect(),
        counter: last,
        zxid: 10,
    };
    for last in 3..=5 {
        assert_eq!(judge(&found(last), &story(), "/w"), Ok(()));
    }
    assert!(judge(&found(2), &story(), "/w").is_err_and(|fault| fault.contains("lost")));
    assert!(judge(&found(6), &story(), "/w").is_err_and(|fault| fault.contains("nobody")));
    let mut changed = found(4);
    changed.znodes.insert(path(2), vec![9]);
    assert!(judge(&changed, &story(), "/w").is_err_and(|fault| fault.contains("not what")));
    let mut holed = found(5);
    holed.znodes.remove(&path(4));
    assert!(judge(&holed, &story(), "/w").is_err_and(|fault| fault.contains("missing")));
    let behind = Found { counter: 2, ..found(4) };
    assert!(judge(&behind, &story(), "/w").is_err_and(|fault| fault.contains("counter")));
    let behind = Found { counter: 3, ..found(5) };
    assert!(judge(&behind, &story(), "/w").is_err_and(|fault| fault.contains("beside")));
    let back = Found { zxid: 9, ..found(4) };
    assert!(judge(&back, &story(), "/w").is_err_and(|fault| fault.contains("zxid")));
}

fn kill_and_check(seed: u64, config: Config) {
    eprintln!("seed {seed}");
    let mut random = Prng::new(seed);
    let mut server = config.start();
    let mut lives: Vec<(u64, Vec<Story>)> = Vec::new();
    for round in 0..ROUNDS {
        let acknowledgements = 200 + random.below(4_000);
        let stories = live_and_die(&mut server, round, acknowledgements, &mut random);
        lives.push((round, stories));
        server.restart();
        // Not only the last life: what an earlier restart found must not be lost by a later one.
        for (round, stories) in &lives {
            check(&server, *round, stories);
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    kill_and_check(20_261, Config::default());
}

/// Small segments and a snapshot every thousand transactions: kills hit rolls, snapshots and purges.
#[test]
fn what_was_acknowledged_survives_a_kill_over_snapshots_and_segment_rolls() {
    kill_and_check(20_262, Config::default().set("snapCount", 1_000).set("autopurge.purgeInterval", 1));
}

#[test]
fn what_was_acknowledged_survives_a_kill_with_a_mapped_log() {
    let config = Config::default().set("ringkeeper.logWrite", "mmap");
    kill_and_check(20_264, config.set("snapCount", 1_000).set("autopurge.purgeInterval", 1));
}

#[test]
fn what_was_acknowledged_survives_a_kill_on_epoll() {
    kill_and_check(20_263, Config::default().set("ringkeeper.io", "epoll"));
}
