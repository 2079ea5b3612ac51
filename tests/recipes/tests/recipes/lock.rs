//! Locks: who may be in at once, who is woken, and what happens when a holder or a waiter dies.

use std::sync::{Arc, Mutex};

use recipes::lock::{Kind, Lock};
use zookeeper_client::Client;

use crate::support::{
    Demo, Server, children, connect, eventually, number_after, server, until, watches, within,
};

const LINE: &str = "/locks/stock";

/// Who is inside, as each of them says when it comes and goes.
#[derive(Debug, Default)]
struct Inside {
    readers: usize,
    writers: usize,
    readers_max: usize,
    /// Of writers, in the order in which they came.
    tokens: Vec<i64>,
}

async fn go_in_and_out(client: Client, kind: Kind, inside: Arc<Mutex<Inside>>) {
    let lock = Lock::new(&client, "stock", "host");
    for _ in 0..10 {
        let guard = lock.acquire(kind).await.expect("acquired");
        {
            let mut inside = inside.lock().expect("nobody panics in there");
            match kind {
                Kind::Read => inside.readers += 1,
                Kind::Write => inside.writers += 1,
            }
            assert!(inside.writers <= 1 && (inside.writers == 0 || inside.readers == 0), "{inside:?}");
            inside.readers_max = inside.readers_max.max(inside.readers);
            if kind == Kind::Write {
                inside.tokens.push(guard.token());
            }
        }
        // Some round trips inside, so that an overlap would be seen.
        for _ in 0..3 {
            client.check_stat("/").await.expect("answered");
        }
        {
            let mut inside = inside.lock().expect("nobody panics in there");
            match kind {
                Kind::Read => inside.readers -= 1,
                Kind::Write => inside.writers -= 1,
            }
        }
        guard.release().await.expect("released");
    }
}

/// Six writers and six readers in sessions of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_is_alone_and_readers_share() {
    let server = server();
    let inside = Arc::new(Mutex::new(Inside::default()));
    let mut tasks = vec![];
    for at in 0..12 {
        let kind = if at % 2 == 0 { Kind::Write } else { Kind::Read };
        tasks.push(tokio::spawn(go_in_and_out(connect(&server).await, kind, inside.clone())));
    }
    for task in tasks {
        within("everybody to have been in", task).await.expect("no overlap");
    }
    let tokens = inside.lock().expect("all are out").tokens.clone();
    assert_eq!(tokens.len(), 60);
    assert!(tokens.is_sorted(), "each writer's token is larger than the one before: {tokens:?}");
    // Two readers at once, for certain.
    let client = connect(&server).await;
    let lock = Lock::new(&client, "stock", "host");
    let first = lock.acquire(Kind::Read).await.expect("acquired");
    let second = within("the second reader", lock.acquire(Kind::Read)).await.expect("acquired");
    // A writer waits for both, and a reader behind it for the writer.
    let writer = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire(Kind::Write).await.expect("acquired") }
    });
    eventually("the writer to wait", || async { children(&client, LINE).await == 3 }).await;
    let third = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire(Kind::Read).await.expect("acquired") }
    });
    eventually("the reader to wait", || async { watches(&server) == 2 }).await;
    first.release().await.expect("released");
    assert!(!writer.is_finished() && !third.is_finished());
    second.release().await.expect("released");
    let writer = within("the writer", writer).await.expect("acquired");
    assert!(!third.is_finished());
    writer.release().await.expect("released");
    within("the last reader", third).await.expect("acquired").release().await.expect("released");
}

/// A line of writers, released one by one, each when all who wait are watching. How often all of them were woken.
async fn wakeups(server: &Server, herd: bool, waiting: usize) -> u32 {
    let client = connect(server).await;
    let mut lock = Lock::new(&client, "stock", "host");
    if herd {
        lock = lock.with_herd();
    }
    let mut guard = lock.acquire(Kind::Write).await.expect("acquired");
    let (mut others, mut sessions) = (vec![], vec![]);
    for at in 0..waiting {
        let session = connect(server).await;
        let mut lock = Lock::new(&session, "stock", &format!("host{at}"));
        if herd {
            lock = lock.with_herd();
        }
        others.push(tokio::spawn(async move { lock.acquire(Kind::Write).await.expect("acquired") }));
        sessions.push(session);
        until("all who wait to watch", || (watches(server) == at + 1).then_some(()));
    }
    let mut woken = 0;
    for (at, other) in others.into_iter().enumerate() {
        guard.release().await.expect("released");
        guard = within("the next one", other).await.expect("acquired");
        woken += guard.wakeups();
        // What it has asked for before is done: its own last watch, which it doesn't need, is taken back.
        sessions[at].check_stat("/").await.expect("answered");
        until("all who wait to watch again", || (watches(server) == waiting - at - 1).then_some(()));
    }
    guard.release().await.expect("released");
    woken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_herd_each_is_woken_once() {
    let server = server();
    assert_eq!(wakeups(&server, false, 8).await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_herd_each_release_wakes_everybody_who_waits() {
    let server = server();
    let woken = wakeups(&server, true, 8).await;
    // 8 + 7 + ... + 1 by releases, and those who came woke the ones before them: 7 + 6 + ... + 1.
    assert!(woken >= 36 + 28, "woken {woken} times");
}

/// Processes: the one that holds the lock is killed, then the one that waits.
#[test]
fn a_dead_holder_gives_it_up_and_a_dead_waiter_lets_nobody_in() {
    let server = server();
    let start = |host: &str, kind: &str| {
        let demo = Demo::start(&server, "lock", &["stock", host, kind]);
        demo.says("waits");
        demo
    };
    let mut first = start("host1", "write");
    let mut tokens = vec![number_after(&first.says("has it"), "token")];
    let mut second = start("host2", "write");
    until("host2 to wait", || (watches(&server) == 1).then_some(()));
    let mut third = start("host3", "read");
    until("host3 to wait", || (watches(&server) == 2).then_some(()));
    let fourth = start("host4", "write");
    until("host4 to wait", || (watches(&server) == 3).then_some(()));
    first.kill();
    tokens.push(number_after(&second.says("has it"), "token"));
    assert!(!third.has_said("has it") && !fourth.has_said("has it"));
    // The reader is killed while it waits: the writer behind it has to wait for host2 all the same.
    third.kill();
    until("host4 to watch host2", || {
        let paths = server.word("wchp");
        (paths.contains("host2-write") && !paths.contains("host3-read")).then_some(())
    });
    assert!(!fourth.has_said("has it"));
    second.enter();
    tokens.push(number_after(&fourth.says("has it"), "token"));
    assert!(second.finish().iter().any(|line| line.contains("gives it back")));
    assert!(tokens.is_sorted() && tokens[0] < tokens[1] && tokens[1] < tokens[2], "{tokens:?}");
}

/// Who gives up waiting leaves the line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_is_given_up_holds_up_nobody() {
    let server = server();
    let (client, other) = (connect(&server).await, connect(&server).await);
    let held = Lock::new(&client, "stock", "host1").acquire(Kind::Write).await.expect("acquired");
    let lock = Lock::new(&other, "stock", "host2");
    // At each point of the way.
    for patience in 0..40 {
        let patience = std::time::Duration::from_millis(patience);
        assert!(tokio::time::timeout(patience, lock.acquire(Kind::Write)).await.is_err());
    }
    eventually("only the holder to be in the line", || async { children(&client, LINE).await == 1 }).await;
    held.release().await.expect("released");
    within("the lock", lock.acquire(Kind::Write)).await.expect("acquired");
}

/// A holder hears that its lock is in doubt when the server is gone, long before its session can expire elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_hears_that_its_lock_is_in_doubt() {
    let mut server = server();
    let client = connect(&server).await;
    let guard = Lock::new(&client, "stock", "host1").acquire(Kind::Write).await.expect("acquired");
    let hearing = tokio::spawn(async move {
        guard.in_doubt().await;
        guard
    });
    server.kill();
    let guard = within("it to hear", hearing).await.expect("it doesn't panic");
    server.restart();
    // The session lives on, and with it the lock.
    guard.release().await.expect("released");
    assert_eq!(children(&client, LINE).await, 0);
}
