//! `/livez` and `/readyz`: alone, in a quorum, without one, read-only; and what members tell of their ensemble.

use serde_json::json;

use crate::support::admin::members;
use crate::support::http::{get, try_get};
use crate::support::server::free_port;
use crate::support::{Config, until};
use crate::{start, with_admin};

#[test]
fn a_lone_server_is_ready() {
    let (_server, port) = start(Config::default());
    for (path, expected) in [("/livez", "ok\n"), ("/readyz", "ok: standalone\n")] {
        let answer = get(port, path);
        assert_eq!((answer.status, answer.text()), (200, expected), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
}

#[test]
fn without_an_admin_server_there_is_no_port() {
    let port = free_port();
    let server = Config::default().set("admin.serverPort", port).start();
    assert!(try_get(port, "/livez").is_none());
    assert!(!server.output().contains("admin server"));
}

#[test]
fn members_are_ready_while_they_have_a_quorum() {
    let (mut ensemble, ports) = members(|id, config| {
        // Server 1 serves reads without a leader.
        with_admin(if id == 1 { config.property("readonlymode.enabled", true) } else { config })
    });
    ensemble.servers[1].spawn();
    until("a member to be alive before it has a quorum", || try_get(ports[2], "/livez"));
    let alone = get(ports[2], "/readyz");
    assert_eq!(alone.status, 503, "{}", alone.text());
    assert!(alone.text().starts_with("not ready: "), "{}", alone.text());
    for at in [0, 2, 3] {
        ensemble.servers[at].spawn();
    }
    let leader = ensemble.settle();
    for &port in &ports[1..] {
        until("every member to be ready", || try_get(port, "/readyz").filter(|answer| answer.status == 200));
    }
    let asked = |id: usize, command: &str| get(ports[id], &format!("/commands/{command}")).json();
    for id in 1..=4 {
        let told = asked(id, "leader");
        assert_eq!(told["is_leader"], json!(id == leader + 1), "server {id}");
        assert_eq!((&told["leader_id"], &told["leader_ip"]), (&json!(leader + 1), &json!("127.0.0.1")));
        let state = asked(id, "zabstate");
        assert_eq!((&state["myid"], &state["zabstate"]), (&json!(id), &json!("broadcast")), "{state}");
        assert_eq!(state["voting"], json!(id < 4));
        let view = asked(id, "voting_view")["current_config"].clone();
        assert_eq!(view.as_object().unwrap().keys().collect::<Vec<_>>(), ["1", "2", "3"]);
    }
    let observers = asked(leader + 1, "observers");
    assert_eq!((&observers["synced_observers"], &observers["observers"][0]["sid"]), (&json!(1), &json!(4)));
    assert_eq!(asked(leader + 1, "mntr")["synced_followers"], 2);
    assert_eq!(asked(4, "mntr")["peer_state"], "observing - broadcast");

    for at in [1, 2, 3] {
        ensemble.servers[at].kill();
    }
    until("the last member to serve reads only", || {
        let answer = get(ports[1], "/readyz");
        (answer.text() == "not ready: read-only: not in a quorum\n" && answer.status == 503).then_some(())
    });
    assert_eq!(get(ports[1], "/livez").status, 200);
    assert_eq!(asked(1, "is_read_only")["read_only"], true);
    assert_eq!(asked(1, "leader")["error"], "server is not initialized");
    ensemble.servers[0].kill();
    ensemble.servers[2].spawn();
    until("a member alone to say that it isn't ready", || {
        try_get(ports[3], "/readyz").filter(|answer| answer.text().contains("not in a quorum"))
    });
    assert_eq!(get(ports[3], "/livez").status, 200);
    let refused = asked(3, "ruok");
    assert_eq!(refused["error"], "This ZooKeeper instance is not currently serving requests");
    assert_eq!(
        asked(3, "zabstate"),
        json!({ "voting": false, "zabstate": "", "command": "zabstate", "error": null })
    );
    ensemble.servers[1].spawn();
    until("both to be ready again", || {
        let ready = |id: usize| try_get(ports[id], "/readyz").is_some_and(|answer| answer.status == 200);
        (ready(2) && ready(3)).then_some(())
    });
}
