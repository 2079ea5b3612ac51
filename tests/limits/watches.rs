//! A million watches.

use crate::support::client::PERSISTENT;
use crate::support::{Client, Server, until};
use crate::{Bystander, alone, anonymous_mb, pipeline};

const WATCHERS: usize = 10;
const PATHS: usize = 100_000;

fn total(server: &Server) -> usize {
    let text = server.word("wchs");
    let line = text.lines().find_map(|line| line.strip_prefix("Total watches:")).expect("wchs tells");
    line.parse().expect("a number")
}

#[test]
fn a_million_watches_take_little_and_go_with_their_connections() {
    let _alone = alone();
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    let before = anonymous_mb(&server);
    let path = |number: usize| format!("/some/service/instances/host-{number:06}");

    let mut watchers: Vec<Client> = (0..WATCHERS).map(|_| Client::connect(&server)).collect();
    for watcher in &mut watchers {
        pipeline::watches((watcher, &mut bystander), PATHS, path);
    }
    assert_eq!(total(&server), WATCHERS * PATHS);
    let grown = anonymous_mb(&server) - before;
    assert!(grown < 150, "{grown} MB for a million watches");
    bystander.lives();

    // One of the paths comes to life: ten events, and as many watches fewer.
    for parent in ["/some", "/some/service", "/some/service/instances"] {
        bystander.0.create(parent, b"", PERSISTENT);
    }
    bystander.0.create(&path(77), b"", PERSISTENT);
    for watcher in &mut watchers {
        assert_eq!(watcher.next_event().path, path(77));
        watcher.assert_quiet();
    }
    assert_eq!(total(&server), WATCHERS * (PATHS - 1));

    // Each connection takes its own along, whether it says goodbye or not.
    watchers.pop().expect("ten").cut();
    until("the watches of a cut connection are gone", || {
        (total(&server) == (WATCHERS - 1) * (PATHS - 1)).then_some(())
    });
    for watcher in watchers {
        watcher.close();
    }
    until("all watches are gone", || (total(&server) == 0).then_some(()));
    bystander.lives();
}
