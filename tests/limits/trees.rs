//! Wide and deep trees, and a session that owns a great many nodes.

use ringkeeper::base::Prng;
use serde_json::json;

use crate::support::admin::start;
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::http::get;
use crate::support::{Client, Config, Server};
use crate::{Bystander, alone, anonymous_mb, pipeline};

#[test]
fn a_session_with_100_000_ephemerals_closes() {
    const EPHEMERALS: usize = 100_000;
    let _alone = alone();
    let mut server = Server::start();
    let mut bystander = Bystander::new(&server);
    for parent in 0..10 {
        bystander.0.create(&format!("/p{parent}"), b"", PERSISTENT);
    }
    let before = anonymous_mb(&server);
    let mut owner = Client::connect(&server);
    pipeline::creates(
        (&mut owner, &mut bystander),
        EPHEMERALS,
        EPHEMERAL,
        |n| format!("/p{}/e{n:06}", n % 10),
        b"x",
    );
    assert_eq!(bystander.0.stat("/p3").num_children, EPHEMERALS as i32 / 10);
    bystander.0.exists("/p3/e000003", true).expect("it lives");
    owner.close();
    bystander.lives();
    for parent in 0..10 {
        assert_eq!(bystander.0.stat(&format!("/p{parent}")).num_children, 0);
    }
    assert_eq!(bystander.0.next_event().path, "/p3/e000003");
    let grown = anonymous_mb(&server).saturating_sub(before);
    assert!(grown < 100, "{grown} MB after {EPHEMERALS} nodes that were made and are gone");
    // The one transaction that removed them is read back, too.
    server.kill();
    server.restart();
    let mut after = Client::connect(&server);
    assert_eq!(after.children("/p3", false), Ok(vec![]));
}

/// A closeSession that listed them all would be larger than any record of the log.
#[test]
fn a_session_with_long_paths_closes_and_stays_closed() {
    let _alone = alone();
    let mut server = Server::start();
    let mut bystander = Bystander::new(&server);
    let mut owner = Client::connect(&server);
    let long = "n".repeat(200_000);
    for number in 0..30 {
        owner.create(&format!("/{number:02}{long}"), b"", EPHEMERAL);
    }
    owner.close();
    bystander.lives();
    assert_eq!(bystander.0.stat("/").num_children, 2);
    server.kill();
    server.restart();
    assert_eq!(Client::connect(&server).stat("/").num_children, 2);
}

#[test]
fn a_million_children_of_one_node_are_listed_and_outlive_a_restart() {
    const CHILDREN: usize = 1_000_000;
    let _alone = alone();
    let (mut server, admin) = start(Config::default().set("preAllocSize", 65_536));
    let mut bystander = Bystander::new(&server);
    bystander.0.create("/wide", b"", PERSISTENT);
    let before = anonymous_mb(&server);
    let mut client = Client::connect(&server);
    pipeline::creates((&mut client, &mut bystander), CHILDREN, PERSISTENT, |n| format!("/wide/c{n:06}"), b"");
    bystander.lives();
    let grown = anonymous_mb(&server).saturating_sub(before);
    assert!(grown < 350, "{grown} MB for {CHILDREN} children");
    // The page's tree browser goes through all of them for each page, beside the others.
    let look =
        std::thread::spawn(move || get(admin, "/commands/ringkeeper_tree?path=/wide&from=c500000&limit=3"));
    while !look.is_finished() {
        bystander.lives();
    }
    let seen = look.join().expect("an answer").json();
    let children = seen["children"].as_array().expect("a list");
    let names: Vec<&str> = children.iter().filter_map(|child| child["name"].as_str()).collect();
    assert_eq!((names, &seen["next"]), (vec!["c500000", "c500001", "c500002"], &json!("c500003")), "{seen}");
    for life in 0..2 {
        let mut children = client.children("/wide", false).expect("it is there");
        children.sort_unstable();
        assert_eq!(children.len(), CHILDREN, "life {life}");
        for at in (0..CHILDREN).step_by(9_973) {
            assert_eq!(children[at], format!("c{at:06}"));
        }
        if life == 0 {
            server.signal("TERM");
            server.wait_for_exit();
            server.restart();
            client = Client::connect(&server);
        }
    }
    assert_eq!(client.stat("/wide").num_children, CHILDREN as i32);
    client.create("/wide/one-more", b"", PERSISTENT);
    assert_eq!(client.delete("/wide/c000007", -1), Ok(()));
    assert_eq!(client.stat("/wide").num_children, CHILDREN as i32);
}

#[test]
fn a_path_of_five_thousand_levels_is_built_and_taken_down() {
    const LEVELS: usize = 5_000;
    let _alone = alone();
    let mut server = Server::start();
    let mut bystander = Bystander::new(&server);
    let mut client = Client::connect(&server);
    let path = |level: usize| "/d".repeat(level + 1);
    let before = anonymous_mb(&server);
    pipeline::creates((&mut client, &mut bystander), LEVELS, PERSISTENT, path, b"deep");
    let grown = anonymous_mb(&server).saturating_sub(before);
    assert!(grown < 150, "{grown} MB for paths of {} MB together", (LEVELS * LEVELS) >> 20);
    server.kill();
    server.restart();
    let mut client = Client::connect(&server);
    assert_eq!(client.data(&path(LEVELS - 1)), b"deep");
    assert_eq!(client.children(&path(LEVELS - 2), false), Ok(vec!["d".to_owned()]));
    let mut random = Prng::new(7);
    for _ in 0..10 {
        let level = random.below(LEVELS as u64 - 1) as usize;
        assert!(client.delete(&path(level), -1).is_err(), "it has a child");
    }
    for level in (0..LEVELS).rev() {
        assert_eq!(client.delete(&path(level), -1), Ok(()), "level {level}");
    }
    assert_eq!(client.stat("/").num_children, 2, "/zookeeper and the bystander's");
}
