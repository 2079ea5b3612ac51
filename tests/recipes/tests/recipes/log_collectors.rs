//! Log collectors: shares are even, follow who comes and goes, and no host has two collectors.

use std::collections::BTreeMap;

use recipes::log_collectors::{Collector, owners, report_source};
use zookeeper_client::Client;

use crate::support::{Demo, Proxy, Server, connect, eventually, server, within};

/// How many hosts each collector has.
async fn shares(client: &Client) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for (_, owner) in owners(client).await.expect("listed") {
        *shares.entry(owner).or_default() += 1;
    }
    shares
}

async fn until_shared(client: &Client, expected: &[(&str, usize)]) {
    let expected: BTreeMap<String, usize> =
        expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    eventually(&format!("{expected:?}"), || async { shares(client).await == expected }).await;
}

fn start(server: &Server, name: &str) -> Demo {
    Demo::start(server, "log_collectors", &["collect", name])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_are_shared_out_anew_when_a_collector_dies_or_comes() {
    let server = server();
    let client = connect(&server).await;
    let first = start(&server, "c1");
    eventually("the collector to be there", || async {
        client.check_stat("/logs/collectors/c1").await.is_ok_and(|stat| stat.is_some())
    })
    .await;
    assert!(!first.has_said("collects"), "there is nothing to collect");
    for host in 1..=6 {
        report_source(&client, &format!("web{host}"), "alive").await.expect("registered");
    }
    until_shared(&client, &[("c1", 6)]).await;
    let second = start(&server, "c2");
    until_shared(&client, &[("c1", 3), ("c2", 3)]).await;
    let mut third = start(&server, "c3");
    until_shared(&client, &[("c1", 2), ("c2", 2), ("c3", 2)]).await;
    third.kill();
    until_shared(&client, &[("c1", 3), ("c2", 3)]).await;
    // A new source, and one that is given up.
    Demo::start(&server, "log_collectors", &["source", "web7"]).finish();
    until_shared(&client, &[("c1", 4), ("c2", 3)]).await;
    client.delete("/logs/sources/web1", None).await.expect("deleted");
    until_shared(&client, &[("c1", 3), ("c2", 3)]).await;
    // One that comes back under its name is one like any other.
    let _third = start(&server, "c3");
    until_shared(&client, &[("c1", 2), ("c2", 2), ("c3", 2)]).await;
    eventually("c1 to report", || async {
        client.get_data("/logs/collectors/c1").await.expect("read").0 == b"collects from 2 hosts"
    })
    .await;
    assert!(second.has_said("c2 stops"), "{:?}", second.lines());
}

/// A collector that stands still loses its hosts to the others, and takes its share again when it goes on, with nothing held twice:
/// each host's owner changes hands by way of nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_slept_takes_its_share_again() {
    let server = server();
    let client = connect(&server).await;
    for host in 1..=4 {
        report_source(&client, &format!("web{host}"), "alive").await.expect("registered");
    }
    let (first, _second) = (start(&server, "c1"), start(&server, "c2"));
    until_shared(&client, &[("c1", 2), ("c2", 2)]).await;
    first.signal("STOP");
    until_shared(&client, &[("c2", 4)]).await;
    let said = first.lines().len();
    first.signal("CONT");
    first.says_after(said, "c1 collects nothing");
    until_shared(&client, &[("c1", 2), ("c2", 2)]).await;
}

/// One that is interrupted while it gives up hosts has stopped collecting from all of them: by being dropped it gives up the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_collected_from_hosts_whose_release_is_interrupted() {
    let server = server();
    let client = connect(&server).await;
    for host in 1..=4 {
        report_source(&client, &format!("web{host}"), "alive").await.expect("registered");
    }
    let proxy = Proxy::start(server.address());
    let session = within("a session", recipes::session::connect(&proxy.address())).await.expect("a session");
    let mut collector = Collector::join(&session, "c1").await.expect("joined");
    within("a share", collector.rebalance(|host| panic!("{host} was never its own"))).await.expect("shared");
    assert_eq!(collector.hosts().len(), 4);
    let _second = start(&server, "c2");
    let (told, mut stops) = tokio::sync::mpsc::unbounded_channel();
    let giving_up = collector.rebalance(|host| {
        // From here on no release is answered.
        proxy.mute();
        told.send(host.to_owned()).expect("it is listened to");
    });
    tokio::select! {
        done = giving_up => panic!("its first release is not answered: {done:?}"),
        first = within("a host to be given up", stops.recv()) => assert_eq!(first.as_deref(), Some("web2")),
    }
    assert_eq!(stops.try_recv().as_deref(), Ok("web4"), "c2's share is every second one");
}
