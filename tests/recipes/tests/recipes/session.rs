//! What the recipes stand on: calls that are carried out, and whose answer is lost with the connection.

use std::collections::BTreeSet;

use recipes::lock::{Kind, Lock};
use recipes::queue::Queue;
use recipes::session::{EPHEMERAL_SEQUENTIAL, PERSISTENT, claim, create_sequential, retry, set_if};
use tokio::task::JoinHandle;
use zookeeper_client::{Client, Error};

use crate::support::{Proxy, Server, children, connect, eventually, server, within};

/// A client whose answers can be lost, and one that looks on.
async fn clients(server: &Server) -> (Proxy, Client, Client) {
    let proxy = Proxy::start(server.address());
    let client = within("a session", recipes::session::connect(&proxy.address())).await.expect("a session");
    (proxy, client, connect(server).await)
}

/// Cuts the connection when `is_done` says that the call has been carried out. It mustn't have heard of it.
async fn lose_the_answer<T, F: Future<Output = bool>>(
    proxy: &Proxy,
    call: JoinHandle<T>,
    is_done: impl FnMut() -> F,
) -> T {
    eventually("the call to be carried out", is_done).await;
    assert!(!call.is_finished(), "its answer is lost");
    proxy.cut();
    within("the call", call).await.expect("it doesn't panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequential_znode_is_found_again() {
    let server = server();
    let (proxy, client, looker) = clients(&server).await;
    looker.create("/line", b"", &PERSISTENT).await.expect("created");
    proxy.mute();
    let call = tokio::spawn(async move {
        create_sequential(&client, "/line", "n", b"", &EPHEMERAL_SEQUENTIAL).await.map(|node| (node, client))
    });
    let made = lose_the_answer(&proxy, call, || async { children(&looker, "/line").await > 0 }).await;
    let (node, _client) = made.expect("created");
    let names = looker.list_children("/line").await.expect("listed");
    let paths: Vec<String> = names.iter().map(|name| format!("/line/{name}")).collect();
    assert!(paths.iter().eq([&node.path]), "{paths:?}");
    let stat = looker.check_stat(&node.path).await.expect("looked").expect("there");
    assert_eq!((stat.czxid, node.number), (node.czxid, 0));
}

/// The recipes on top of it: one place in the line of a lock, one item in a queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_and_a_queue_have_one_znode_each() {
    let server = server();
    let (proxy, client, looker) = clients(&server).await;
    let held = Lock::new(&looker, "stock", "host1").acquire(Kind::Write).await.expect("acquired");
    let (line, items) = ("/locks/stock", "/queues/jobs/items");
    let queue = Queue::open(&client, "jobs").await.expect("open");
    proxy.mute();
    let put = tokio::spawn(async move { queue.put(b"job").await });
    let put = lose_the_answer(&proxy, put, || async { children(&looker, items).await == 1 }).await;
    assert_eq!(put, Ok(0));
    assert_eq!(children(&looker, items).await, 1);
    proxy.mute();
    let lock = Lock::new(&client, "stock", "host2");
    let locked = tokio::spawn(async move { lock.acquire(Kind::Write).await });
    eventually("host2 to be in the line", || async { children(&looker, line).await == 2 }).await;
    proxy.cut();
    held.release().await.expect("released");
    let guard = within("the lock", locked).await.expect("it doesn't panic").expect("acquired");
    assert_eq!(children(&looker, line).await, 1);
    guard.release().await.expect("released");
    assert_eq!(children(&looker, line).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_known_as_our_own() {
    let server = server();
    let (proxy, client, looker) = clients(&server).await;
    let is_there = || async { looker.check_stat("/claimed").await.is_ok_and(|stat| stat.is_some()) };
    proxy.mute();
    let call = tokio::spawn(async move { claim(&client, "/claimed", b"us").await });
    let held = lose_the_answer(&proxy, call, is_there).await.expect("answered").expect("it is ours");
    assert!(claim(&looker, "/claimed", b"them").await.expect("answered").is_none());
    held.release().await.expect("released");
    // Dropped is released, too.
    drop(claim(&looker, "/claimed", b"").await.expect("answered").expect("free"));
    eventually("the znode to go", || async { looker.check_stat("/claimed").await == Ok(None) }).await;
}

/// Of many that claim a znode at once one gets it, whatever session they share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_has_one_holder() {
    let server = server();
    let client = connect(&server).await;
    for round in 0..10 {
        let claims: Vec<_> = (0..6)
            .map(|task| {
                let client = client.clone();
                tokio::spawn(async move { claim(&client, "/claimed", &[task]).await.expect("answered") })
            })
            .collect();
        let mut held = vec![];
        for task in claims {
            held.extend(within("a claim", task).await.expect("it doesn't panic"));
        }
        assert_eq!(held.len(), 1, "round {round}");
        held.remove(0).release().await.expect("released");
    }
}

/// A write on a condition is done once, and known to be ours; nothing is written once the guard is gone, or somebody was faster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conditional_write_is_known_as_our_own() {
    let server = server();
    let (proxy, client, looker) = clients(&server).await;
    looker.create("/value", b"0", &PERSISTENT).await.expect("created");
    let guard = claim(&looker, "/guard", b"").await.expect("answered").expect("free");
    proxy.mute();
    let writer = client.clone();
    let call = tokio::spawn(async move { set_if(&writer, "/value", b"1", 0, Some("/guard")).await });
    let is_written = || async { looker.get_data("/value").await.is_ok_and(|(data, _)| data == b"1") };
    assert_eq!(lose_the_answer(&proxy, call, is_written).await, Ok(1));
    assert_eq!(set_if(&client, "/value", b"2", 0, Some("/guard")).await, Err(Error::BadVersion));
    guard.release().await.expect("released");
    assert_eq!(set_if(&client, "/value", b"2", 1, Some("/guard")).await, Err(Error::NoNode));
    let (data, stat) = client.get_data("/value").await.expect("read");
    assert_eq!((data.as_slice(), stat.version), (&b"1"[..], 1));
}

const CLIENTS: usize = 6;
const KILLS: usize = 4;

/// Creates go on while the server is killed and comes back. What was returned is what there is: nothing twice, nothing lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_over_kills_of_the_server_are_done_once() {
    let mut server = server();
    let looker = connect(&server).await;
    looker.create("/line", b"", &PERSISTENT).await.expect("created");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut tasks = vec![];
    for _ in 0..CLIENTS {
        let (client, stopped) = (connect(&server).await, stopped.clone());
        tasks.push(tokio::spawn(async move {
            let mut made = BTreeSet::new();
            while !*stopped.borrow() {
                let options = &EPHEMERAL_SEQUENTIAL;
                let node = create_sequential(&client, "/line", "n", b"", options).await.expect("created");
                assert!(made.insert(node.path));
            }
            (client, made)
        }));
    }
    for _ in 0..KILLS {
        let count = || retry(|| looker.count_descendants_number("/line"));
        let before = count().await.expect("counted");
        eventually("more znodes", || async { count().await.expect("counted") > before + 20 }).await;
        server.kill();
        server.restart();
    }
    stop.send(true).expect("they listen");
    let (mut made, mut clients) = (BTreeSet::new(), vec![]);
    for task in tasks {
        let (client, own) = within("a client", task).await.expect("it doesn't panic");
        made.extend(own);
        clients.push(client);
    }
    let names = retry(|| looker.list_children("/line")).await.expect("listed");
    let found: BTreeSet<String> = names.into_iter().map(|name| format!("/line/{name}")).collect();
    assert_eq!(made, found);
}
