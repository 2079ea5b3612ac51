//! Configuration publishing: every follower comes to the last version, whatever happens in between.

use recipes::config::{Follower, current, publish};
use zookeeper_client::Error;

use crate::support::{Demo, connect, server, within};

const PATH: &str = "/config/shop/app";

/// Processes: four follow, one is killed, the server too; two publish.
#[test]
fn followers_come_to_the_last_version() {
    let mut server = server();
    let mut followers: Vec<Demo> =
        (0..4).map(|_| Demo::start(&server, "config", &["follow", PATH])).collect();
    // They wait for a znode that isn't there yet.
    Demo::start(&server, "config", &["publish", PATH, "threads=8"]).finish();
    for follower in &followers {
        follower.says("version 0: threads=8");
    }
    followers.remove(2).kill();
    Demo::start(&server, "config", &["publish", PATH, "threads=9"]).finish();
    for follower in &followers {
        follower.says("version 1: threads=9");
    }
    // What is published as soon as the server is back is heard of by those who weren't yet.
    server.kill();
    server.restart();
    Demo::start(&server, "config", &["publish", PATH, "threads=10"]).finish();
    for follower in &followers {
        follower.says("version 2: threads=10");
        let versions: Vec<String> = follower.lines();
        assert!(versions.is_sorted_by_key(|line| line[..line.find(':').expect("a colon")].to_owned()));
    }
}

/// Versions come in order, the last one for certain, and a publisher that was overtaken is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_may_skip_and_never_goes_back() {
    let server = server();
    let (publisher, client) = (connect(&server).await, connect(&server).await);
    assert_eq!(current(&client, PATH).await, Ok(None));
    let following = tokio::spawn(async move {
        let mut follower = Follower::new(&client, PATH);
        let mut seen = vec![];
        while seen.last() != Some(&100) {
            let version = follower.next().await.expect("followed");
            assert_eq!(version.text, format!("value {}", version.number));
            seen.push(version.number);
        }
        seen
    });
    assert_eq!(publish(&publisher, PATH, "value 0", None).await, Ok(0));
    assert_eq!(publish(&publisher, PATH, "other", None).await, Err(Error::NodeExists));
    for number in 1..=100 {
        let published = publish(&publisher, PATH, &format!("value {number}"), Some(number - 1)).await;
        assert_eq!(published, Ok(number));
    }
    assert_eq!(publish(&publisher, PATH, "late", Some(99)).await, Err(Error::BadVersion));
    let seen = within("the last version", following).await.expect("it doesn't panic");
    assert!(seen.is_sorted_by(|one, other| one < other), "{seen:?}");
}
