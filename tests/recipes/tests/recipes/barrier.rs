//! A barrier: nobody goes on before all are there, nobody goes home before all are through; the dead don't count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use recipes::barrier::Barrier;

use crate::support::{Demo, children, connect, eventually, server, within};

const MEMBERS: &str = "/barriers/sums/members";

/// Many members, each counting itself in before and out after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_go_on_together_and_home_together() {
    let server = server();
    let size = 10;
    let (come, through) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = vec![];
    for member in 0..size {
        let client = connect(&server).await;
        if member + 1 == size {
            // All the others wait for the last one.
            eventually("the others to be there", || async { children(&client, MEMBERS).await == member })
                .await;
        }
        let (come, through) = (come.clone(), through.clone());
        tasks.push(tokio::spawn(async move {
            come.fetch_add(1, Ordering::SeqCst);
            let barrier = Barrier::new(&client, "sums", size);
            let inside = barrier.enter(&member.to_string()).await.expect("entered");
            assert_eq!(come.load(Ordering::SeqCst), size, "somebody wasn't there yet");
            through.fetch_add(1, Ordering::SeqCst);
            inside.leave().await.expect("left");
            assert_eq!(through.load(Ordering::SeqCst), size, "somebody wasn't through yet");
        }));
    }
    for task in tasks {
        within("a member", task).await.expect("the barrier holds");
    }
}

/// Processes: one dies while it waits, another one inside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dead_do_not_count() {
    let server = server();
    let client = connect(&server).await;
    let start = |member: &str| Demo::start(&server, "barrier", &["sums", "3", member]);
    let (mut first, mut second) = (start("w1"), start("w2"));
    eventually("two to be there", || async { children(&client, MEMBERS).await == 2 }).await;
    second.kill();
    eventually("the dead one to be gone", || async { children(&client, MEMBERS).await == 1 }).await;
    let mut third = start("w3");
    eventually("two to be there", || async { children(&client, MEMBERS).await == 2 }).await;
    assert!(!first.has_said("works") && !third.has_said("works"));
    assert_eq!(client.check_stat("/barriers/sums/ready").await, Ok(None));
    let mut fourth = start("w4");
    for demo in [&first, &third, &fourth] {
        demo.says("works");
    }
    first.enter();
    first.says("w1 is through");
    eventually("one to have left", || async { children(&client, MEMBERS).await == 2 }).await;
    third.kill();
    eventually("the dead one to be gone", || async { children(&client, MEMBERS).await == 1 }).await;
    assert!(!first.has_said("all are through"));
    fourth.enter();
    for demo in [first, fourth] {
        assert!(demo.finish().iter().any(|line| line == "all are through"));
    }
}
