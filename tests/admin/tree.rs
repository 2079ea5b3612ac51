//! The tree browser's and the page's own commands.

use ringkeeper::wire::OwnedAcl;
use serde_json::{Value, json};

use crate::commands::{BOB, SUPER, become_bob, set_acl};
use crate::support::admin::members;
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::http::{get, request};
use crate::support::{Client, Config, until};
use crate::{start, with_admin};

/// Status, and what was answered.
fn look(port: u16, query: &str, authorization: Option<&str>) -> (u16, Value) {
    let headers: Vec<_> = authorization.iter().map(|header| ("Authorization", *header)).collect();
    let answer = request(port, "GET", &format!("/commands/ringkeeper_tree{query}"), &headers);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    (answer.status, answer.json())
}

fn seen(port: u16, query: &str, authorization: Option<&str>) -> Value {
    let (status, body) = look(port, query, authorization);
    assert_eq!((status, &body["error"]), (200, &Value::Null), "{query}: {body}");
    body
}

fn refused(port: u16, query: &str, authorization: Option<&str>) -> (u16, String) {
    let (status, body) = look(port, query, authorization);
    assert!(body.get("children").is_none() && body.get("stat").is_none(), "{query}: {body}");
    (status, body["error"].as_str().unwrap_or_else(|| panic!("{query}: {body}")).to_owned())
}

fn names(body: &Value) -> Vec<&str> {
    let children = body["children"].as_array().expect("a list");
    children.iter().map(|child| child["name"].as_str().expect("a name")).collect()
}

#[test]
fn the_tree_is_walked_page_by_page() {
    for shards in [1, 2] {
        let (server, port) = start(Config::default().set("ringkeeper.shards", shards));
        let mut client = Client::connect(&server);
        client.create("/a b", b"", PERSISTENT);
        // Of many more turns than one.
        const CHILDREN: usize = 5_000;
        for child in 0..CHILDREN {
            client.create(&format!("/a b/{child:04}"), b"xyz", PERSISTENT);
        }
        client.create("/a b/0001/e", b"", EPHEMERAL);
        let root = seen(port, "", None);
        assert_eq!((&root["path"], names(&root)), (&json!("/"), vec!["a b", "zookeeper"]));
        assert_eq!(root["children"][0]["stat"]["num_children"], CHILDREN);
        let page = seen(port, "?path=/a%20b&limit=2", None);
        assert_eq!((names(&page), &page["next"]), (vec!["0000", "0001"], &json!("0002")));
        let stat = client.stat("/a b/0001");
        assert_eq!(
            page["children"][1],
            json!({ "name": "0001", "kind": "persistent", "ttl": null, "stat": {
                "czxid": stat.czxid.to_string(),
                "mzxid": stat.mzxid.to_string(),
                "pzxid": stat.pzxid.to_string(),
                "ctime": stat.ctime.0,
                "mtime": stat.mtime.0,
                "version": 0,
                "cversion": 1,
                "aversion": 0,
                "ephemeral_owner": "0x0",
                "data_length": 3,
                "num_children": 1,
            } })
        );
        assert_eq!(page["acl"], json!([{ "scheme": "world", "id": "anyone", "perms": "cdrwa" }]));
        let of_session = seen(port, "?path=/a%20b/0001/e", None);
        assert_eq!(of_session["kind"], "ephemeral");
        assert_eq!(of_session["stat"]["ephemeral_owner"], format!("0x{:x}", client.session));
        let (mut met, mut from) = (0, String::new());
        loop {
            let page = seen(port, &format!("?path=/a+b&limit=1000&from={from}"), None);
            let expected: Vec<String> = (met..met + 1000).map(|at| format!("{at:04}")).collect();
            assert_eq!(names(&page), expected);
            met += 1000;
            let Some(next) = page["next"].as_str() else { break };
            next.clone_into(&mut from);
        }
        assert_eq!(met, CHILDREN);
        assert_eq!(refused(port, "?path=/none", None), (404, "no znode at /none".to_owned()));
    }
}

#[test]
fn data_needs_what_a_snapshot_needs_and_znodes_their_own_acl() {
    let config = Config::default().set("DigestAuthenticationProvider.superDigest", SUPER);
    let (server, port) = start(config);
    let mut client = Client::connect(&server);
    for path in ["/open", "/closed", "/closed/child"] {
        client.create(path, "dätä".as_bytes(), PERSISTENT);
    }
    client.create("/bytes", b"\xff\x00", PERSISTENT);
    become_bob(&mut client);
    let (bobs, anybodys) = (OwnedAcl::new(31, "digest", BOB), OwnedAcl::new(1, "world", "anyone"));
    set_acl(&mut client, "/closed", std::slice::from_ref(&bobs));
    let text = |status: u16, text: &str| (status, text.to_owned());

    // Everybody may do everything at the root of a fresh tree: any name will do, but somebody's it has to be.
    assert_eq!(seen(port, "?path=/open", None).get("data"), None);
    let unknown = text(401, "Auth info is missing for the command");
    assert_eq!(refused(port, "?path=/open&data=true", None), unknown);
    assert_eq!(seen(port, "?path=/open&data=true", Some("digest ann:pw"))["data"], "dätä");
    assert_eq!(seen(port, "?path=/bytes&data=true", Some("ip"))["data"], json!({ "base64": "/wA=" }));
    assert_eq!(seen(port, "?path=/&data=true", Some("ip"))["data"], "");
    // And even so nobody reads what the znode's own ACL keeps from him.
    assert_eq!(refused(port, "?path=/closed", None), text(401, "Not everybody may read it: authenticate"));
    for query in ["?path=/closed", "?path=/closed&data=true"] {
        assert_eq!(refused(port, query, Some("digest ann:pw")), text(403, "Not authorized"));
    }

    set_acl(&mut client, "/", &[bobs, anybodys]);
    assert_eq!(refused(port, "?path=/open&data=true", Some("digest ann:pw")), text(403, "Not authorized"));
    assert_eq!(seen(port, "?path=/open", Some("digest ann:pw"))["stat"]["data_length"], 6);
    let root = seen(port, "", None);
    assert_eq!(root["acl"][0], json!({ "scheme": "digest", "id": "bob:x", "perms": "cdrwa" }), "no hash");
    let closed = root["children"].as_array().unwrap().iter().find(|child| child["name"] == "closed").unwrap();
    assert_eq!(*closed, json!({ "name": "closed", "kind": null, "ttl": null, "stat": null }));
    for header in ["digest bob:secret", "digest super:secret"] {
        let seen = seen(port, "?path=/closed&data=true", Some(header));
        assert_eq!(
            (&seen["data"], &seen["data_is_cut"], names(&seen)),
            (&json!("dätä"), &json!(false), vec!["child"])
        );
        assert_eq!(seen["acl"][0]["id"], BOB);
    }
    assert_eq!(refused(port, "?path=/closed", Some("digest bob:wrong")), text(403, "Not authorized"));
    for header in ["", "digest", "basic Ym9i", "digest a b"] {
        assert_eq!(refused(port, "?path=/open", Some(header)), text(401, "Not authenticated"), "{header}");
    }
    // It reads.
    let posted = request(port, "POST", "/commands/ringkeeper_tree?path=/open", &[]);
    assert_eq!(posted.status, 405);
    assert_eq!(client.data("/open"), "dätä".as_bytes());
}

#[test]
fn what_cannot_be_asked_is_said() {
    let (_server, port) = start(Config::default());
    for (query, word) in [
        ("?path=a", "path=a: no path of a znode"),
        ("?path=/a/", "path=/a/: no path"),
        ("?path=%2Fa%00", "no path of a znode"),
        ("?limit=many", "limit=many: allowed: 0 to 1000"),
        ("?limit=1001", "limit=1001: allowed"),
        ("?from=a/b", "from=a/b: a child's name has no slash"),
        ("?data=maybe", "data=maybe: allowed: true, false"),
    ] {
        let (status, error) = refused(port, query, None);
        assert!(status == 400 && error.contains(word), "{status} {error}");
    }
}

#[test]
fn the_tree_may_be_kept_from_the_port() {
    let (_server, port) = start(Config::default().set("ringkeeper.treeBrowser", false));
    assert_eq!(refused(port, "", Some("ip")), (503, "ringkeeper.treeBrowser=false".to_owned()));
}

#[test]
fn the_ensemble_is_told_by_each_member_as_it_knows_it() {
    let lone = seen_ensemble(start(Config::default()).1);
    assert_eq!((&lone["server_state"], &lone["members"]), (&json!("standalone"), &json!([])));

    let (mut ensemble, ports) = members(|_, config| with_admin(config));
    ensemble.servers[0].spawn();
    until("the admin port to be open", || crate::support::http::try_get(ports[1], "/livez"));
    let alone = until("a member without a leader to say so", || {
        let told = seen_ensemble(ports[1]);
        (told["peer_state"] == "looking").then_some(told)
    });
    assert_eq!(
        (&alone["server_state"], &alone["leader"], &alone["me"]),
        (&Value::Null, &Value::Null, &json!(1))
    );
    for at in 1..4 {
        ensemble.servers[at].spawn();
    }
    let leader = ensemble.settle();
    Client::connect(&ensemble.servers[leader]).create("/a", b"", PERSISTENT);
    let follower = ensemble.follower(leader);
    let told = until("the follower to have all there is", || {
        let told = seen_ensemble(ports[leader + 1]);
        (told["members"][follower]["learner"]["behind"] == 0).then_some(told)
    });
    assert_eq!((&told["server_state"], &told["zab_state"]), (&json!("leader"), &json!("broadcast")));
    assert_eq!(told["leader"], leader + 1);
    assert_eq!(told["current_epoch"], told["accepted_epoch"]);
    assert_eq!(told["members"].as_array().map(Vec::len), Some(4));
    assert_eq!(told["members"][leader]["learner"], Value::Null);
    assert_eq!(told["members"][3]["votes"], false);
    assert_eq!(told["members"][3]["learner"], json!({ "synced": true, "acked": null, "behind": null }));
    assert_eq!(told["members"][follower]["learner"]["acked"], told["last_zxid"]);
    let of_follower = seen_ensemble(ports[follower + 1]);
    assert_eq!((&of_follower["server_state"], &of_follower["leader"]), (&json!("follower"), &told["leader"]));
    assert_eq!(of_follower["current_epoch"], told["current_epoch"]);
    ensemble.servers[follower].kill();
    until("the leader to see that one is gone", || {
        (seen_ensemble(ports[leader + 1])["members"][follower]["learner"].is_null()).then_some(())
    });
}

fn seen_ensemble(port: u16) -> Value {
    let answer = get(port, "/commands/ringkeeper_ensemble");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn the_page_is_sent_whole_and_shut_in() {
    let (_server, port) = start(Config::default().set("admin.commandURL", "/zk"));
    let page = get(port, "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
    assert!(page.text().contains("const COMMANDS = \"/zk\"") && page.text().trim_end().ends_with("</html>"));
    assert_eq!(get(port, "/zk/ringkeeper_ensemble").status, 200);
    assert_eq!(get(port, "/commands/ringkeeper_ensemble").status, 404);
}
