//! An ensemble as one service: what is written at one server is read, watched and counted at all.

use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{
    CheckVersionRequest, CreateRequest, EventType, MultiOp, MultiResult, MultiResults, SetDataRequest,
};
use ringkeeper::wire::{AclList, Encode, ErrorCode, Opcode};

use crate::support::client::{EPHEMERAL, PERSISTENT, SEQUENTIAL};
use crate::support::{Client, Connect, Ensemble, Refusal, until};

/// Clients of servers 1 to 4; the fourth observes.
fn clients(ensemble: &Ensemble) -> Vec<Client> {
    ensemble.servers.iter().map(Client::connect).collect()
}

struct Operations<'a>(Vec<MultiOp<'a>>);

impl Encode for Operations<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(out, self.0.iter().copied());
    }
}

#[test]
fn what_is_written_at_one_server_is_read_at_all() {
    let ensemble = Ensemble::start(3, 1);
    let mut clients = clients(&ensemble);
    for at in 0..clients.len() {
        let path = format!("/from-{at}");
        clients[at].create(&path, path.as_bytes(), PERSISTENT);
        assert_eq!(clients[at].data(&path), path.as_bytes(), "its own write, without a sync");
        for client in &mut clients {
            assert_eq!(client.sync("/").err, 0);
            assert_eq!(client.data(&path), path.as_bytes());
        }
    }
    // Versions are decided in one place.
    clients[0].create("/counter", b"0", PERSISTENT);
    for round in 0..5 {
        for (at, client) in clients.iter_mut().enumerate() {
            let version = round * 4 + i32::try_from(at).expect("four");
            let stat = client.set_data("/counter", b"more", version).expect("nobody else writes");
            assert_eq!(stat.version, version + 1);
            assert_eq!(client.set_data("/counter", b"more", version), Err(ErrorCode::BadVersion));
        }
    }
    // Numbers of sequential znodes, too.
    clients[1].create("/queue", b"", PERSISTENT);
    let mut names = vec![];
    for number in 0..12 {
        names.push(clients[number % 4].create("/queue/n-", b"", SEQUENTIAL));
    }
    let expected: Vec<String> = (0..12).map(|number| format!("/queue/n-{number:010}")).collect();
    assert_eq!(names, expected);
    for client in &mut clients {
        assert_eq!(client.delete("/queue/n-0000000000", 3), Err(ErrorCode::BadVersion));
        assert_eq!(client.delete("/nothing", -1), Err(ErrorCode::NoNode));
        assert_eq!(client.try_create("/queue", b"", PERSISTENT), Err(ErrorCode::NodeExists));
    }
    drop(clients);
    let tree = ensemble.assert_equal();
    assert_eq!(tree.keys().filter(|path| path.starts_with("/queue/")).count(), 12);
}

#[test]
fn requests_that_are_sent_together_are_answered_in_order_everywhere() {
    let ensemble = Ensemble::start(3, 1);
    for (at, server) in ensemble.servers.iter().enumerate() {
        let mut client = Client::connect(server);
        let top = client.create(&format!("/p{at}"), b"", PERSISTENT);
        let paths: Vec<String> = (0..200).map(|number| format!("{top}/n{number}")).collect();
        let mut bytes = vec![];
        let mut expected = vec![];
        for path in &paths {
            let create = CreateRequest {
                path: path.as_str().into(),
                data: Some(b"x"),
                acl: Some(AclList::OPEN),
                flags: PERSISTENT,
            };
            let set = SetDataRequest { path: path.as_str().into(), data: Some(b"y"), version: 0 };
            // A create, a read that has to see it, a set that has to find it, and one that comes too late.
            let exists = ringkeeper::wire::client::ExistsRequest { path: path.as_str().into(), watch: false };
            for ((xid, request), code) in [
                (client.request(Opcode::Create, &create), ErrorCode::Ok),
                (client.request(Opcode::Exists, &exists), ErrorCode::Ok),
                (client.request(Opcode::SetData, &set), ErrorCode::Ok),
                (client.request(Opcode::SetData, &set), ErrorCode::BadVersion),
            ] {
                bytes.extend(request);
                expected.push((xid, code));
            }
        }
        client.send_bytes(&bytes);
        let mut zxid = 0;
        for (xid, code) in expected {
            let reply = client.next_reply();
            assert_eq!((reply.xid, reply.code()), (xid, code), "at server {}", at + 1);
            assert!(reply.zxid >= zxid, "a session's zxids never go back");
            zxid = reply.zxid;
        }
        client.close();
    }
    ensemble.assert_equal();
}

#[test]
fn a_watch_at_one_server_hears_of_what_is_done_at_another() {
    let ensemble = Ensemble::start(3, 1);
    let mut clients = clients(&ensemble);
    let mut round = 0;
    for writer in 0..clients.len() {
        for watcher in 0..clients.len() {
            round += 1;
            let path = format!("/w{round}");
            clients[watcher].sync("/");
            assert_eq!(clients[watcher].exists(&path, true), Err(ErrorCode::NoNode));
            clients[writer].create(&path, b"", PERSISTENT);
            let event = clients[watcher].next_event();
            assert_eq!((event.kind, event.path.as_str()), (EventType::NodeCreated, path.as_str()));
            clients[watcher].get_data(&path, true).expect("the event came after it was applied");
            clients[watcher].children(&path, true).expect("it is there");
            clients[writer].set_data(&path, b"new", 0).expect("nobody else writes");
            let event = clients[watcher].next_event();
            assert_eq!((event.kind, event.path.as_str()), (EventType::NodeDataChanged, path.as_str()));
            clients[writer].create(&format!("{path}/child"), b"", PERSISTENT);
            let event = clients[watcher].next_event();
            assert_eq!((event.kind, event.path.as_str()), (EventType::NodeChildrenChanged, path.as_str()));
        }
    }
    for client in &mut clients {
        client.assert_quiet();
    }
}

#[test]
fn a_multi_is_one_transaction_at_every_server() {
    let ensemble = Ensemble::start(3, 1);
    let mut clients = clients(&ensemble);
    for at in 0..clients.len() {
        let (a, b) = (format!("/m{at}"), format!("/m{at}/b"));
        let create = |path| {
            MultiOp::Create(CreateRequest {
                path,
                data: Some(b"x"),
                acl: Some(AclList::OPEN),
                flags: PERSISTENT,
            })
        };
        let check = MultiOp::Check(CheckVersionRequest { path: a.as_str().into(), version: 0 });
        let set =
            |version| MultiOp::SetData(SetDataRequest { path: a.as_str().into(), data: Some(b"y"), version });
        let all = Operations(vec![create(a.as_str().into()), create(b.as_str().into()), check, set(0)]);
        let reply = clients[at].call(Opcode::Multi, &all);
        let results = reply.record::<MultiResults<'_>>();
        assert!(!results.iter().any(|result| matches!(result, MultiResult::Error(_))));
        let zxid = reply.zxid;
        // Not one of them if one can't be.
        let nothing = Operations(vec![set(1), set(1)]);
        let reply = clients[at].call(Opcode::Multi, &nothing);
        let results = reply.record::<MultiResults<'_>>();
        assert!(results.iter().all(|result| matches!(result, MultiResult::Error(_))));
        for client in &mut clients {
            client.sync("/");
            let stat = client.stat(&a);
            assert_eq!((stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.version), (zxid, zxid, zxid, 1));
            assert_eq!(client.data(&b), b"x");
        }
    }
    drop(clients);
    ensemble.assert_equal();
}

#[test]
fn ephemerals_are_seen_everywhere_and_go_with_their_session() {
    let ensemble = Ensemble::start(3, 1);
    let mut clients = clients(&ensemble);
    for (at, server) in ensemble.servers.iter().enumerate() {
        let path = format!("/e{at}");
        let mut owner = Client::connect(server);
        owner.create(&path, b"", EPHEMERAL);
        for client in &mut clients {
            client.sync("/");
            assert_eq!(client.exists(&path, true).expect("it is there").ephemeral_owner.0, owner.session);
        }
        owner.close();
        for client in &mut clients {
            let event = client.next_event();
            assert_eq!((event.kind, event.path.as_str()), (EventType::NodeDeleted, path.as_str()));
            assert_eq!(client.exists(&path, false), Err(ErrorCode::NoNode));
        }
    }
}

#[test]
fn each_server_says_what_it_is() {
    let mut ensemble = Ensemble::start(3, 1);
    let leader = ensemble.settle();
    Client::connect(&ensemble.servers[leader]).create("/a", b"", PERSISTENT);
    for (at, server) in ensemble.servers.iter().enumerate() {
        let expected = match at {
            _ if at == leader => "leader",
            3 => "observer",
            _ => "follower",
        };
        for word in ["srvr", "stat"] {
            let text = server.word(word);
            assert!(text.contains(&format!("\nMode: {expected}\n")), "{word} of server {}: {text}", at + 1);
        }
        let text = server.word("mntr");
        assert!(text.contains(&format!("zk_server_state\t{expected}\n")), "server {}: {text}", at + 1);
        assert_eq!(server.word("ruok"), "imok");
        assert_eq!(server.word("isro"), "rw");
        // A zxid says in its upper half which leader gave it.
        until("the write to be applied everywhere", || (server.zxid() >> 32 == 1).then_some(()));
    }
}

/// `leaderServes=no`: who leads closes what clients open, and serves them when another one leads.
#[test]
fn a_leader_that_is_not_to_serve_serves_as_a_follower() {
    let mut ensemble = Ensemble::prepare(3, 0, |_, config| config.set("leaderServes", "no"));
    ensemble.launch_all();
    let followers = |ensemble: &Ensemble| -> Vec<usize> {
        (0..3).filter(|at| ensemble.servers[*at].mode().is_some_and(|mode| mode == "follower")).collect()
    };
    let led = until("two to follow the third", || Some(followers(&ensemble)).filter(|led| led.len() == 2));
    let leader = (0..3).find(|at| !led.contains(at)).expect("three");
    let refused = |ensemble: &Ensemble, at: usize| match Connect::default().try_open(&ensemble.servers[at]) {
        Err(Refusal::Closed) => true,
        Err(Refusal::Rejected(bytes)) => panic!("rejected with {bytes:?}"),
        Ok(_) => false,
    };
    for _ in 0..5 {
        assert!(refused(&ensemble, leader), "server {} leads, and serves", leader + 1);
    }
    // It decides all the same.
    let mut clients: Vec<Client> = led.iter().map(|at| Client::connect(&ensemble.servers[*at])).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.create(&format!("/before-{at}"), b"", PERSISTENT);
    }
    ensemble.servers[leader].kill();
    let next = until("one of the two to follow the other", || {
        let led = followers(&ensemble);
        (led.len() == 1).then(|| (0..3).find(|at| *at != leader && !led.contains(at)).expect("three"))
    });
    ensemble.servers[leader].spawn();
    until("the old leader to follow", || followers(&ensemble).contains(&leader).then_some(()));
    assert!(refused(&ensemble, next), "server {} leads now, and serves", next + 1);
    let mut client = Client::connect(&ensemble.servers[leader]);
    client.create("/after", b"", PERSISTENT);
    let children = client.children("/", false).expect("the root");
    for name in ["before-0", "before-1", "after"] {
        assert!(children.iter().any(|child| child == name), "{name} is not in {children:?}");
    }
}
