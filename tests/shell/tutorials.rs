//! The sessions that the tutorials teach, in one shell and in several at once.

use crate::dialogue::{Dialogue, hold, ours};
use crate::support::{Config, Server};

fn server() -> Server {
    Config::default().set("extendedTypesEnabled", true).start()
}

#[test]
fn china_with_sequential_and_ephemeral_children_and_acls() {
    hold(&server(), "china", include_str!("china.txt"));
}

#[test]
fn kinds_of_nodes_conditional_sets_quotas_and_watches() {
    hold(&server(), "more", include_str!("more.txt"));
}

#[test]
fn what_is_typed_wrong() {
    hold(&server(), "wrong", include_str!("wrong.txt"));
}

/// What the tests of Apache's shell say, said to ours.
#[test]
fn the_dialogues_of_apaches_shell() {
    let server = server();
    hold(&server, "zkcli_nodes", include_str!("../clients/shells/zkcli_nodes.txt"));
    let server = self::server();
    hold(&server, "zkcli_features", include_str!("../clients/shells/zkcli_features.txt"));
}

#[test]
fn two_masters_and_one_of_them_leads() {
    let server = server();
    let mut first = Dialogue::start(&server, "master1", ours(&server));
    let mut second = Dialogue::start(&server, "master2", ours(&server));
    assert_eq!(first.say("create -e /master \"m1:2223\""), ["Created /master"]);
    assert_eq!(second.say("create -e /master \"m2:2223\""), ["Node already exists: /master"]);
    assert_eq!(second.say("stat -w /master").len(), 11);
    assert_eq!(first.end(true), 0);
    second.sees("type:NodeDeleted path:/master");
    assert_eq!(second.say("create -e /master \"m2:2223\""), ["Created /master"]);
    assert_eq!(second.say("get /master"), ["m2:2223"]);
}

#[test]
fn a_master_sees_its_workers_come_and_go() {
    let server = server();
    let mut master = Dialogue::start(&server, "master", ours(&server));
    let mut workers: Vec<Dialogue> =
        ["worker1", "worker2"].map(|name| Dialogue::start(&server, name, ours(&server))).into();
    assert_eq!(master.say("create /workers"), ["Created /workers"]);
    assert_eq!(master.say("ls -w /workers"), ["[]"]);
    assert_eq!(workers[0].say("create -e /workers/w1 \"w1:2224\""), ["Created /workers/w1"]);
    master.sees("type:NodeChildrenChanged path:/workers");
    assert_eq!(master.say("ls -w /workers"), ["[w1]"]);
    assert_eq!(workers[1].say("create -e /workers/w2 \"w2:2224\""), ["Created /workers/w2"]);
    crate::support::until("the second change", || {
        (master.events().iter().filter(|event| event.contains("/workers")).count() == 2).then_some(())
    });
    assert_eq!(master.say("ls -w /workers"), ["[w1, w2]"]);
    assert_eq!(workers.remove(1).end(true), 0);
    crate::support::until("the third change", || {
        (master.events().iter().filter(|event| event.contains("/workers")).count() == 3).then_some(())
    });
    assert_eq!(master.say("ls /workers"), ["[w1]"]);
}
