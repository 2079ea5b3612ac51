//! Election: one leads, and the next in line takes over from one that dies, or that stands still for too long.

use recipes::election::{Candidate, leader};

use crate::support::{Demo, Server, connect, number_after, server, until, watches, within};

/// Candidates in this order.
fn start(server: &Server, names: &[&str]) -> Vec<Demo> {
    let mut demos = vec![];
    for (at, name) in names.iter().enumerate() {
        let demo = Demo::start(server, "election", &["workers", name]);
        demo.says("stands");
        // All but the first one watch the one before them.
        until("it to wait", || (watches(server) == at).then_some(()));
        demos.push(demo);
    }
    demos
}

#[test]
fn a_dead_master_is_replaced_by_the_next_in_line() {
    let server = server();
    let mut demos = start(&server, &["host1", "host2", "host3", "host4"]);
    let mut tokens = vec![number_after(&demos[0].says("leads"), "token")];
    demos[0].kill();
    tokens.push(number_after(&demos[1].says("leads"), "token"));
    // One that waits dies: the one behind it waits for the master.
    demos[2].kill();
    until("host4 to watch host2, the second in line", || {
        let paths = server.word("wchp");
        (paths.contains("-0000000001") && !paths.contains("-0000000002")).then_some(())
    });
    assert!(!demos[3].has_said("leads"));
    demos[1].enter();
    tokens.push(number_after(&demos[3].says("leads"), "token"));
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
    assert!(demos.remove(1).finish().iter().any(|line| line == "host2 resigns"));
}

/// A master that stands still for longer than its session finds itself replaced, says so, and stands again behind the others.
#[test]
fn a_master_that_slept_too_long_leads_no_longer() {
    let server = server();
    let demos = start(&server, &["host1", "host2"]);
    let first = number_after(&demos[0].says("leads"), "token");
    demos[0].signal("STOP");
    let second = number_after(&demos[1].says("leads"), "token");
    assert!(first < second);
    let said = demos[0].lines().len();
    demos[0].signal("CONT");
    demos[0].says_after(said, "leads no longer");
    demos[0].says_after(said, "stands");
    until("host1 to wait", || (watches(&server) == 1).then_some(()));
    assert_eq!(demos[0].lines().iter().filter(|line| line.contains("leads, token")).count(), 1);
    assert!(!demos[1].has_said("leads no longer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_sees_who_leads_and_work_ends_with_the_connection() {
    let mut server = server();
    let (client, other) = (connect(&server).await, connect(&server).await);
    assert_eq!(leader(&other, "workers").await, Ok(None));
    let first = Candidate::stand(&client, "workers", "host1:80").await.expect("stood");
    let second = Candidate::stand(&other, "workers", "host2:80").await.expect("stood");
    within("the first", first.elected()).await.expect("elected");
    assert_eq!(leader(&other, "workers").await.expect("known").as_deref(), Some("host1:80"));
    assert_eq!(first.lead(async { 5 }).await, Some(5));
    first.resign().await.expect("resigned");
    within("the second", second.elected()).await.expect("elected");
    assert_eq!(leader(&client, "workers").await.expect("known").as_deref(), Some("host2:80"));
    let work = tokio::spawn(async move { second.lead(std::future::pending::<()>()).await });
    server.kill();
    assert_eq!(within("the end of the work", work).await.expect("it doesn't panic"), None);
}
