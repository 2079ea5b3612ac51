//! Snapshots that were written while writers wrote: Apache's hold some of what is logged behind them, ours don't, but for one
//! that a leader of Apache's has sent. Wherever they go, the tree is the one that clients saw in the end.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ringkeeper::base::{HashKey, Prng, Zxid};
use ringkeeper::log::SnapshotName;
use ringkeeper::tree::JavaLoad;
use ringkeeper::wire::client::{CreateRequest, DeleteRequest, SetDataRequest};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Opcode, OwnedAcl, Reader};

use crate::alone::import_alone;
use crate::support::client::{EPHEMERAL, PERSISTENT, SEQUENTIAL};
use crate::support::server::{folder, free_port};
use crate::support::tree::{Tree, tree};
use crate::support::{Client, Config, Connect, Server, until, within};
use crate::{apache, apache_command, export_with, import, newest, ours, text_of};

const WRITERS: u64 = 4;
const PIPELINED: usize = 32;
/// Each writer's own znodes. So many and so large that a snapshot takes a while.
const NODES: u64 = 500;
const DATA_BYTES: usize = 1500;
/// A session outlives what a busy machine does with its servers.
const TIMEOUT_MS: i32 = 300_000;
const HEADER_BYTES: usize = 16;
/// For several rounds of a load on a busy machine.
const TRIES: Duration = Duration::from_secs(300);
/// Of a snapshot's transactions, at least so many are written while writers write.
const SOME: u64 = 500;

fn config() -> Config {
    Config::default().set("maxSessionTimeout", TIMEOUT_MS)
}

/// The newest whole snapshot in the directory of a server of ours.
pub fn newest_of_ours(data_dir: &Path) -> Option<Zxid> {
    let entries = fs::read_dir(data_dir.join("ringkeeper-1")).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let whole = names.filter_map(|name| match SnapshotName::parse(&name)? {
        SnapshotName::Whole(zxid) => Some(zxid),
        SnapshotName::Temporary(_) => None,
    });
    whole.max()
}

/// One request of those that a fuzzy snapshot may hold already: what is repeated must come to the same.
fn send_any(client: &mut Client, top: &str, random: &mut Prng) {
    let path = format!("{top}/n{}", random.below(NODES));
    let child = format!("{path}/c{}", random.below(3));
    let data = vec![random.next() as u8; random.below(DATA_BYTES as u64) as usize];
    let create = |client: &mut Client, path: &str, flags| {
        let acl = Some(AclList::OPEN);
        client.send(Opcode::Create2, &CreateRequest { path: path.into(), data: Some(&data), acl, flags })
    };
    match random.below(8) {
        0 => create(client, &path, PERSISTENT),
        1 | 2 => create(client, &child, if random.below(2) == 0 { EPHEMERAL } else { PERSISTENT }),
        3 => create(client, &format!("{path}/s-"), SEQUENTIAL | EPHEMERAL),
        4 => client.send(Opcode::Delete, &DeleteRequest { path: child.as_str().into(), version: -1 }),
        5 => client.send(Opcode::Delete, &DeleteRequest { path: path.as_str().into(), version: -1 }),
        6 => {
            let mut list = vec![];
            // Nearly always one that was never met: a snapshot that is being written lacks it.
            let other = format!("10.{}.{}.0/24", random.below(256), random.below(256));
            let entries = [OwnedAcl::new(31, "ip", "127.0.0.0/8"), OwnedAcl::new(1, "ip", &other)];
            encode_vector(&mut list, entries);
            let acl = AclList::decode(&mut Reader::new(&list)).expect("encoded above");
            let request = ringkeeper::wire::client::SetAclRequest {
                path: path.as_str().into(),
                acl: Some(acl),
                version: -1,
            };
            client.send(Opcode::SetAcl, &request)
        }
        _ => client.send(
            Opcode::SetData,
            &SetDataRequest { path: path.as_str().into(), data: Some(&data), version: -1 },
        ),
    };
}

/// Writers that go on until `enough` says so; they leave their sessions and ephemerals.
fn under_load<T>(server: &Server, round: u64, enough: impl FnOnce(&AtomicU64) -> T) -> T {
    let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let writer = |number: u64| {
        let mut client = Connect { timeout_ms: TIMEOUT_MS, ..Connect::default() }.open(server);
        let mut random = Prng::salted(number, "fuzzy");
        let top = client.create(&format!("/w{number}"), b"", PERSISTENT);
        for node in 0..NODES {
            client.create(&format!("{top}/n{node}"), &[1; DATA_BYTES], PERSISTENT);
        }
        client.create(&format!("/zookeeper/quota{top}"), b"", PERSISTENT);
        for (leaf, text) in [("limits", "count=1000000,bytes=-1"), ("stats", "count=0,bytes=0")] {
            client.create(&format!("/zookeeper/quota{top}/zookeeper_{leaf}"), text.as_bytes(), PERSISTENT);
        }
        while !is_over.load(Ordering::Relaxed) {
            for _ in 0..PIPELINED {
                send_any(&mut client, &top, &mut random);
            }
            for _ in 0..PIPELINED {
                client.next_reply();
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        client.cut();
    };
    thread::scope(|scope| {
        for number in 0..WRITERS {
            let writer = &writer;
            scope.spawn(move || writer(round * WRITERS + number));
        }
        // Also where `enough` panics: nobody is to wait for writers without an end.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(&is_over);
        enough(&answered)
    })
}

/// All of it but ZooKeeper's own, of which a member has something else to show; from a session of its own that is gone again.
fn seen(server: &Server) -> Tree {
    let mut client = Connect { timeout_ms: TIMEOUT_MS, ..Connect::default() }.open(server);
    client.sync("/");
    let mut tree = tree(&mut client);
    tree.retain(|path, _| !path.starts_with("/zookeeper"));
    client.close();
    tree
}

/// What the quotas' statistics say is what the tree shows: they are written at another moment than the znodes.
fn assert_counted(server: &Server, seen: &Tree) {
    let mut client = Connect { timeout_ms: TIMEOUT_MS, ..Connect::default() }.open(server);
    let tops = seen.keys().filter(|path| path.starts_with("/w") && path.matches('/').count() == 1);
    let mut count = 0;
    for top in tops {
        let below = seen.iter().filter(|(path, _)| *path == top || path.starts_with(&format!("{top}/")));
        let (nodes, bytes) = below.fold((0, 0), |(nodes, bytes), (_, node)| {
            (nodes + 1, bytes + node.0.as_ref().map_or(0, Vec::len))
        });
        let path = format!("/zookeeper/quota{top}/zookeeper_stats");
        assert_eq!(
            String::from_utf8_lossy(&client.data(&path)),
            format!("count={nodes},bytes={bytes}"),
            "{path}"
        );
        count += 1;
    }
    assert!(count > 0, "no quota was looked at");
    client.close();
}

/// Equal, and told by the first difference: they are long.
fn assert_same(found: &Tree, expected: &Tree) {
    for (path, node) in expected {
        assert_eq!(found.get(path), Some(node), "{path}");
    }
    let more: Vec<&String> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "{more:?}");
}

/// How many of these znodes a plain snapshot of Apache's form shows as a transaction behind it has left them. None if it
/// isn't whole.
fn later_nodes(file: &Path, zxid: Zxid, paths: &Tree) -> Option<usize> {
    const KEY: HashKey = HashKey(3, 4);
    let bytes = fs::read(file).ok()?;
    let (mut store, _) = ringkeeper::tree::tree(KEY, 0);
    let mut load = JavaLoad::new(zxid, KEY);
    load.feed(&mut store, bytes.get(HEADER_BYTES..)?).ok()?;
    if !load.is_complete() {
        return None;
    }
    load.finish(&mut store).ok()?;
    let is_later = |path: &&String| {
        let Some((_, node)) = store.find(path.as_bytes()) else { return false };
        let stat = node.stat();
        stat.mzxid.max(stat.czxid).max(stat.pzxid) > zxid
    };
    Some(paths.keys().filter(is_later).count())
}

fn snapshots_of_apache(data_dir: &Path) -> Vec<Zxid> {
    let entries = fs::read_dir(data_dir.join("version-2")).expect("there");
    let names = entries.filter_map(|entry| entry.expect("readable").file_name().into_string().ok());
    let zxid = |name: String| i64::from_str_radix(name.strip_prefix("snapshot.")?, 16).ok().map(Zxid);
    let mut found: Vec<Zxid> = names.filter_map(zxid).collect();
    found.sort_unstable();
    found
}

#[test]
fn apaches_snapshot_that_was_taken_under_load_is_taken_over() {
    let data_dir = folder("apache");
    let command = apache_command(&["-Dzookeeper.snapCount=2000"]);
    let mut server = config().data_dir(&data_dir).command(&text_of(&command)).start();
    let path_of = |zxid: Zxid| data_dir.join(format!("version-2/snapshot.{:x}", zxid.0));
    // Until one is there that shows it. Only the znodes that are still there in the end are looked at.
    let mut round = 0;
    let (fuzzy, expected) = within(TRIES, "a snapshot that holds what is logged behind it", || {
        let before = snapshots_of_apache(&data_dir).len();
        under_load(&server, round, |_| {
            until("two snapshots", || (snapshots_of_apache(&data_dir).len() > before + 2).then_some(()));
        });
        round += 1;
        let expected = seen(&server);
        let is_fuzzy =
            |zxid: &Zxid| later_nodes(&path_of(*zxid), *zxid, &expected).is_some_and(|count| count > 0);
        let fuzzy = snapshots_of_apache(&data_dir).into_iter().rev().find(is_fuzzy)?;
        Some((fuzzy, expected))
    });
    server.kill();
    for zxid in snapshots_of_apache(&data_dir).into_iter().filter(|zxid| *zxid > fuzzy) {
        fs::remove_file(path_of(zxid)).expect("there");
    }
    println!(
        "snapshot {fuzzy}: {:?} of {} znodes are later",
        later_nodes(&path_of(fuzzy), fuzzy, &expected),
        expected.len()
    );
    // Alone it is torn, and says so itself.
    let refusal = import_alone(&path_of(fuzzy), &[]).expect_err("torn");
    assert!(refusal.contains("clients wrote while it was taken, up to zxid 0x"), "{refusal}");
    let (_, said) = import_alone(&path_of(fuzzy), &["--lenient"]).expect("as it is");
    assert!(said.contains("clients wrote while it was taken"), "{said}");
    let (imported, said) = import(&data_dir);
    assert!(
        said.contains(&format!("snapshot.{:x}", fuzzy.0)) && said.contains("transactions behind"),
        "{said}"
    );
    assert!(!said.contains("trying the snapshot before it"), "{said}");
    let mut server = ours(&imported);
    assert_same(&seen(&server), &expected);
    assert_counted(&server, &expected);
    server.kill();
}

/// Ours is the tree at its zxid, whatever is written meanwhile.
#[test]
fn our_snapshot_that_was_taken_under_load_is_given_back() {
    let data_dir = folder("ours");
    let command = [env!("CARGO_BIN_EXE_ringkeeper"), "server"];
    let mut server = config().data_dir(&data_dir).set("snapCount", 4000).command(&command).start();
    under_load(&server, 0, |answered| {
        until("a snapshot", || newest_of_ours(&data_dir));
        let from = answered.load(Ordering::Relaxed);
        until("more behind it", || (answered.load(Ordering::Relaxed) > from + SOME).then_some(()));
    });
    let expected = seen(&server);
    server.kill();
    let snapshot = newest_of_ours(&data_dir).expect("waited for");
    for packing in ["none", "gzip"] {
        let (exported, said) = export_with(&data_dir, &["--compress", packing]);
        println!("{said}");
        assert!(said.contains(&format!("snapshot {snapshot} and ")), "{said}");
        assert!(!said.contains(" and 0 transactions behind it"), "{said}");
        if packing == "none" {
            let file = exported.join(format!("version-2/snapshot.{:x}", snapshot.0));
            assert_eq!(later_nodes(&file, snapshot, &expected), Some(0));
        }
        let mut server = apache(&exported, &[]);
        assert_same(&seen(&server), &expected);
        server.kill();
    }
}

/// A learner keeps what Apache's leader has sent, and that is fuzzy.
#[test]
fn a_fuzzy_snapshot_of_apaches_leader_is_given_back_by_its_learner() {
    let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
    let member = |id: u32| {
        config()
            .set("standaloneEnabled", false)
            .set("initLimit", 30)
            .set("syncLimit", 30)
            .set("server.1", format!("127.0.0.1:{}:{}:participant", ports[0], ports[1]))
            .set("server.2", format!("127.0.0.1:{}:{}:observer", ports[2], ports[3]))
            .data_dir(&named(id))
    };
    // Always a snapshot, never what is missing.
    let command = apache_command(&["-Dzookeeper.snapshotSizeFactor=-1", "-Dzookeeper.commitLogCount=1"]);
    let mut leader = member(1).command(&text_of(&command)).start();
    let ours = [env!("CARGO_BIN_EXE_ringkeeper"), "server"];
    let mut round = 0;
    let (data_dir, expected) = within(TRIES, "a learner that was sent what is logged behind it", || {
        let mut learner = member(2).set("peerType", "observer").command(&ours).prepare();
        under_load(&leader, round, |answered| {
            until("enough to send", || (answered.load(Ordering::Relaxed) > (round + 1) * SOME).then_some(()));
            learner.restart();
            let from = answered.load(Ordering::Relaxed);
            until("more behind it", || (answered.load(Ordering::Relaxed) > from + SOME).then_some(()));
        });
        round += 1;
        let expected = seen(&learner);
        assert_same(&seen(&leader), &expected);
        assert_counted(&learner, &expected);
        learner.kill();
        // It names ACL lists that it doesn't hold; they come with what is sent behind it.
        let refused: Vec<String> = learner
            .output()
            .lines()
            .filter(|line| {
                line.contains("didn't hold the ACL list") || line.contains("the leader's snapshot:")
            })
            .map(str::to_owned)
            .collect();
        assert!(refused.is_empty(), "{refused:?}");
        let data_dir = learner.data_dir().to_owned();
        let snapshot = newest_of_ours(&data_dir).expect("it was sent one");
        let (exported, said) = export_with(&data_dir, &[]);
        println!("{said}");
        let file = exported.join(format!("version-2/snapshot.{:x}", snapshot.0));
        let later = later_nodes(&file, snapshot, &expected).expect("whole");
        println!("snapshot {snapshot}: {later} of {} znodes are later", expected.len());
        (later > 0).then_some((data_dir, expected))
    });
    leader.kill();
    for packing in ["none", "snappy"] {
        let (exported, _) = export_with(&data_dir, &["--compress", packing]);
        assert!(newest(&exported, "log.", "").is_some(), "what is behind it is what mends it");
        let mut server = apache(&exported, &[]);
        assert_same(&seen(&server), &expected);
        server.kill();
        let (imported, _) = import(&exported);
        let mut server = crate::ours(&imported);
        assert_same(&seen(&server), &expected);
        assert_counted(&server, &expected);
        server.kill();
    }
}

fn named(id: u32) -> std::path::PathBuf {
    let folder = folder("member");
    fs::write(folder.join("myid"), format!("{id}\n")).expect("room");
    folder
}
