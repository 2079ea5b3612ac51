//! A queue: order, each item once, and an item whose consumer dies comes again.

use std::sync::{Arc, Mutex};

use recipes::queue::Queue;

use crate::support::{Demo, children, connect, eventually, server, until, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_first_goes_first() {
    let server = server();
    let (producer, consumer) = (connect(&server).await, connect(&server).await);
    let (put, take) =
        (Queue::open(&producer, "jobs").await.expect("open"), Queue::open(&consumer, "jobs").await);
    let take = take.expect("open");
    for number in 0..30_u8 {
        assert_eq!(put.put(&[number]).await, Ok(i64::from(number)));
    }
    for number in 0..30_u8 {
        let item = within("an item", take.take()).await.expect("taken");
        assert_eq!((item.data.as_slice(), item.number), (&[number][..], i64::from(number)));
        item.done().await.expect("done");
    }
    // An item that isn't there yet is waited for.
    let waiting = tokio::spawn(async move { take.take().await.expect("taken").data.clone() });
    put.put(b"late").await.expect("put");
    assert_eq!(within("the late one", waiting).await.expect("it doesn't panic"), b"late");
}

/// Three producers, four consumers: each item goes to one of them, and nobody gets what comes earlier after what comes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_consumers_share_the_items() {
    let server = server();
    let (producers, items) = (3_usize, 20_usize);
    let done = Arc::new(Mutex::new(vec![]));
    let mut tasks = vec![];
    for _ in 0..4 {
        let (client, done) = (connect(&server).await, done.clone());
        tasks.push(tokio::spawn(async move {
            let queue = Queue::open(&client, "jobs").await.expect("open");
            let mut last = -1;
            loop {
                let item = queue.take().await.expect("taken");
                assert!(item.number > last, "{} came after {last}", item.number);
                last = item.number;
                let number = item.number;
                item.done().await.expect("done");
                done.lock().expect("nobody panics in there").push(number);
            }
        }));
    }
    for _ in 0..producers {
        let client = connect(&server).await;
        tokio::spawn(async move {
            let queue = Queue::open(&client, "jobs").await.expect("open");
            for item in 0..items {
                queue.put(&[u8::try_from(item).expect("few")]).await.expect("put");
            }
        });
    }
    until("all items to be done", || {
        let ended = tasks.iter().any(tokio::task::JoinHandle::is_finished);
        (ended || done.lock().expect("nobody panics in there").len() >= producers * items).then_some(())
    });
    for task in &tasks {
        task.abort();
    }
    for task in tasks {
        let ended = task.await;
        assert!(ended.as_ref().is_err_and(tokio::task::JoinError::is_cancelled), "{ended:?}");
    }
    let mut done = done.lock().expect("nobody panics in there").clone();
    done.sort_unstable();
    let all: Vec<i64> = (0..).take(producers * items).collect();
    assert_eq!(done, all, "each item once");
    let client = connect(&server).await;
    assert_eq!(children(&client, "/queues/jobs/items").await, 0);
    eventually("no claim to be left", || async { children(&client, "/queues/jobs/claims").await == 0 }).await;
}

/// Processes: the consumer dies over an item, which comes again, before those behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_whose_consumer_dies_comes_again() {
    let server = server();
    let client = connect(&server).await;
    let put = Demo::start(&server, "queue", &["jobs", "put", "a", "b", "c"]).finish();
    assert_eq!(put, ["put as 0", "put as 1", "put as 2"]);
    let mut first = Demo::start(&server, "queue", &["jobs", "take"]);
    first.says("took 0: a");
    first.enter();
    first.says("done 0");
    first.says("took 1: b");
    first.kill();
    eventually("the claim to expire", || async { children(&client, "/queues/jobs/claims").await == 0 }).await;
    assert_eq!(children(&client, "/queues/jobs/items").await, 2);
    let mut second = Demo::start(&server, "queue", &["jobs", "take"]);
    second.says("took 1: b");
    second.enter();
    second.says("took 2: c");
    second.enter();
    second.says("done 2");
    assert_eq!(second.lines(), ["took 1: b", "done 1", "took 2: c", "done 2"]);
    assert_eq!(children(&client, "/queues/jobs/items").await, 0);
}
