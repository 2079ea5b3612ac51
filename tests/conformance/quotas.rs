//! Quotas: statistics that the server keeps, and limits that it enforces if told so.

use ringkeeper::wire::client::SetDataRequest;
use ringkeeper::wire::{ErrorCode, Opcode};

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Config, Server};

/// What `setquota` does.
fn limit(client: &mut Client, root: &str, limits: &str) {
    let mut at = "/zookeeper/quota".to_owned();
    for name in root.split('/').skip(1) {
        at = format!("{at}/{name}");
        if client.exists(&at, false).is_err() {
            client.create(&at, b"", PERSISTENT);
        }
    }
    client.create(&format!("{at}/zookeeper_limits"), limits.as_bytes(), PERSISTENT);
    client.create(&format!("{at}/zookeeper_stats"), b"count=0,bytes=0", PERSISTENT);
}

fn stats(client: &mut Client, root: &str) -> String {
    let data = client.data(&format!("/zookeeper/quota{root}/zookeeper_stats"));
    String::from_utf8(data).expect("a text")
}

#[test]
fn statistics_follow_the_subtree() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"12", PERSISTENT);
    client.create("/a/b", b"345", PERSISTENT);
    limit(&mut client, "/a", "count=100,bytes=-1=;byteHardLimit=-1;countHardLimit=-1");
    assert_eq!(stats(&mut client, "/a"), "count=2,bytes=5");
    let before = client.stat("/zookeeper/quota/a/zookeeper_stats");
    client.get_data("/zookeeper/quota/a/zookeeper_stats", true).expect("there");
    for (step, expected) in [
        "count=3,bytes=9",
        "count=3,bytes=6",
        "count=3,bytes=5",
        "count=2,bytes=4",
        "count=3,bytes=4",
        "count=3,bytes=4",
    ]
    .iter()
    .enumerate()
    {
        match step {
            0 => _ = client.create("/a/c", b"6789", PERSISTENT),
            1 => _ = client.set_data("/a/c", b"1", -1).expect("there"),
            2 => _ = client.set_data("/a", b"1", -1).expect("there"),
            3 => client.delete("/a/c", -1).expect("there"),
            4 => _ = client.create("/a/b/deep", b"", EPHEMERAL),
            _ => _ = client.create("/ab", b"elsewhere", PERSISTENT),
        }
        assert_eq!(stats(&mut client, "/a"), *expected, "step {step}");
    }
    let null = SetDataRequest { path: "/a/b".into(), data: None, version: -1 };
    assert_eq!(client.call(Opcode::SetData, &null).err, 0);
    assert_eq!(stats(&mut client, "/a"), "count=3,bytes=1");
    client.close();
    let mut client = Client::connect(&server);
    assert_eq!(stats(&mut client, "/a"), "count=2,bytes=1", "the ephemeral is gone");
    // Nobody was told, and nothing but the data changed.
    let after = client.stat("/zookeeper/quota/a/zookeeper_stats");
    assert_eq!((after.mzxid, after.version, after.mtime), (before.mzxid, 0, before.mtime));
}

#[test]
fn statistics_fire_no_watch() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"12", PERSISTENT);
    limit(&mut client, "/a", "count=100,bytes=-1");
    client.get_data("/zookeeper/quota/a/zookeeper_stats", true).expect("there");
    client.create("/a/b", b"", PERSISTENT);
    client.assert_quiet();
}

#[test]
fn the_deepest_quota_counts_alone() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    client.create("/a/b", b"12", PERSISTENT);
    limit(&mut client, "/a", "count=100,bytes=-1");
    limit(&mut client, "/a/b", "count=-1,bytes=100");
    client.create("/a/b/c", b"3", PERSISTENT);
    assert_eq!(stats(&mut client, "/a"), "count=2,bytes=2");
    assert_eq!(stats(&mut client, "/a/b"), "count=2,bytes=3");
    client.delete("/zookeeper/quota/a/b/zookeeper_limits", -1).expect("there");
    client.create("/a/b/d", b"4", PERSISTENT);
    assert_eq!(stats(&mut client, "/a"), "count=3,bytes=3");
    assert_eq!(stats(&mut client, "/a/b"), "count=2,bytes=3");
}

#[test]
fn quotas_survive_a_restart() {
    let mut server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"12", PERSISTENT);
    limit(&mut client, "/a", "count=100,bytes=-1");
    client.create("/a/b", b"345", PERSISTENT);
    client.cut();
    server.kill();
    server.restart();
    let mut client = Client::connect(&server);
    assert_eq!(stats(&mut client, "/a"), "count=2,bytes=5");
    client.create("/a/c", b"6", PERSISTENT);
    assert_eq!(stats(&mut client, "/a"), "count=3,bytes=6");
}

#[test]
fn limits_are_only_told_of_by_default() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    limit(&mut client, "/a", "count=1,bytes=1=;byteHardLimit=1;countHardLimit=1");
    client.create("/a/b", b"more than one", PERSISTENT);
    client.set_data("/a", b"again", -1).expect("not enforced");
}

#[test]
fn hard_limits_are_enforced_if_told_so() {
    const HARD: &str = "count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=3";
    let server = Config::default().set("enforceQuota", true).start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    limit(&mut client, "/a", HARD);
    client.create("/a/b", b"12345", PERSISTENT);
    assert_eq!(client.try_create("/a/c", b"6", PERSISTENT), Err(ErrorCode::QuotaExceeded));
    client.create("/a/c", b"", PERSISTENT);
    let before = client.zxid;
    assert_eq!(client.try_create("/a/d", b"", PERSISTENT), Err(ErrorCode::QuotaExceeded));
    assert_eq!(client.zxid, before + 1, "the refusal takes a zxid");
    assert_eq!(client.try_create("/a/c", b"", PERSISTENT), Err(ErrorCode::NodeExists), "that comes first");
    assert_eq!(
        client.set_data("/a/c", b"6", 99).map(drop),
        Err(ErrorCode::QuotaExceeded),
        "before the version"
    );
    assert_eq!(
        client.set_data("/a/b", b"54321", 99).map(drop),
        Err(ErrorCode::BadVersion),
        "nothing is added"
    );
    client.set_data("/a/b", b"1234", -1).expect("less");
    client.set_data("/a/c", b"5", -1).expect("room again");
    client.delete("/a/c", -1).expect("there");
    client.create("/a/d", b"", PERSISTENT);
    // Soft limits refuse nothing; raised limits count at once.
    client.create("/s", b"", PERSISTENT);
    limit(&mut client, "/s", "count=1,bytes=1");
    client.create("/s/x", b"12345", PERSISTENT);
    let raised = b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=4";
    client.set_data("/zookeeper/quota/a/zookeeper_limits", raised, -1).expect("there");
    client.create("/a/e", b"123456789", PERSISTENT);
    assert_eq!(client.try_create("/a/f", b"", PERSISTENT), Err(ErrorCode::QuotaExceeded));
    client.delete("/zookeeper/quota/a/zookeeper_limits", -1).expect("there");
    client.create("/a/f", b"", PERSISTENT);
}

/// `/zookeeper/quota/zookeeper_stats` is the root's, which has no quota.
#[test]
fn what_a_client_writes_into_statistics_is_counted_on_from() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    limit(&mut client, "/a", "count=100,bytes=-1");
    client
        .set_data("/zookeeper/quota/a/zookeeper_stats", b"count=40,bytes=7", -1)
        .expect("a znode like others");
    client.create("/a/b", b"1", PERSISTENT);
    assert_eq!(stats(&mut client, "/a"), "count=41,bytes=8");
    client.set_data("/zookeeper/quota/a/zookeeper_stats", b"", -1).expect("there");
    client.create("/a/c", b"1", PERSISTENT);
    assert_eq!(stats(&mut client, "/a"), "count=0,bytes=0");
}

/// The system's own nodes can have a quota like others. What belongs to quotas is counted then, but not what the server
/// itself writes into statistics; and a statistic that covers itself counts itself twice.
#[test]
fn the_systems_nodes_can_have_a_quota() {
    const LIMITS: &str = "count=100,bytes=1000";
    let server = Config::default().set("enforceQuota", true).start();
    let mut client = Client::connect(&server);
    let both = |client: &mut Client| (stats(client, "/zookeeper"), stats(client, "/zookeeper/quota"));
    let is = |zookeeper: &str, quota: &str| (zookeeper.to_owned(), quota.to_owned());
    limit(&mut client, "/zookeeper", LIMITS);
    assert_eq!(stats(&mut client, "/zookeeper"), "count=7,bytes=50");
    client.create("/zookeeper/x", b"12345", PERSISTENT);
    assert_eq!(stats(&mut client, "/zookeeper"), "count=8,bytes=55");
    client.set_data("/zookeeper/x", b"1", -1).expect("there");
    assert_eq!(stats(&mut client, "/zookeeper"), "count=8,bytes=51");
    client.create("/zookeeper/quota/y", b"12", PERSISTENT);
    assert_eq!(stats(&mut client, "/zookeeper"), "count=9,bytes=53");
    limit(&mut client, "/zookeeper/quota", LIMITS);
    assert_eq!(both(&mut client), is("count=10,bytes=53", "count=9,bytes=89"));
    client.create("/zookeeper/quota/z", b"12", PERSISTENT);
    assert_eq!(both(&mut client), is("count=10,bytes=53", "count=10,bytes=91"));
    limit(&mut client, "/zookeeper/x", LIMITS);
    assert_eq!(stats(&mut client, "/zookeeper/x"), "count=1,bytes=1");
    assert_eq!(both(&mut client), is("count=10,bytes=53", "count=13,bytes=126"));
    let own = "/zookeeper/quota/zookeeper/quota/zookeeper_stats";
    client.set_data("/zookeeper/quota/zookeeper/zookeeper_stats", b"count=5,bytes=5", -1).expect("there");
    assert_eq!(both(&mut client), is("count=5,bytes=5", "count=13,bytes=124"));
    client.set_data(own, b"count=5,bytes=5", -1).expect("there");
    assert_eq!(both(&mut client), is("count=5,bytes=5", "count=5,bytes=2"));
    client.delete("/zookeeper/quota/zookeeper/quota/zookeeper_limits", -1).expect("there");
    assert_eq!(both(&mut client), is("count=4,bytes=-15", "count=5,bytes=2"));
    client.delete(own, -1).expect("there");
    assert_eq!(stats(&mut client, "/zookeeper"), "count=3,bytes=-30");
    // And limits hold there, also for the nodes of a quota.
    let hard = b"count=1,bytes=1=;byteHardLimit=1;countHardLimit=1";
    client.set_data("/zookeeper/quota/zookeeper/zookeeper_limits", hard, -1).expect("there");
    for path in ["/zookeeper/w", "/zookeeper/quota/w", "/zookeeper/quota/zookeeper/w"] {
        assert_eq!(client.try_create(path, b"", PERSISTENT), Err(ErrorCode::QuotaExceeded), "{path}");
    }
    client.set_data("/zookeeper/x", b"12345678", -1).expect("it has a quota of its own");
    client.delete("/zookeeper/quota/zookeeper/zookeeper_limits", -1).expect("there");
    assert_eq!(stats(&mut client, "/zookeeper"), "count=3,bytes=-1");
}

/// As other nodes that are made, though its data is another when the reply arrives.
#[test]
fn a_statistic_is_told_of_as_it_was_asked_for() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"a long text, so that its length has more digits", PERSISTENT);
    client.create("/zookeeper/quota/a", b"", PERSISTENT);
    let (path, stat) = client.create2("/zookeeper/quota/a/zookeeper_stats", b"0", PERSISTENT);
    assert_eq!(stat.data_length, 1);
    assert_eq!(client.stat(&path).data_length, "count=1,bytes=47".len() as i32);
}
