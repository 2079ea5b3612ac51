//! Replies in the order of requests, and reads that see exactly the writes before them.

use std::thread;
use std::time::Duration;

use ringkeeper::wire::client::{
    CreateRequest, DeleteRequest, GetDataRequest, GetDataResponse, SetDataRequest,
};
use ringkeeper::wire::{AclList, Opcode};

use crate::support::client::{PERSISTENT, SEQUENTIAL};
use crate::support::{Client, Config, Connect, Server};

#[test]
fn a_pipelined_read_sees_the_writes_before_it_and_no_later_one() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"start", PERSISTENT);
    const ROUNDS: i32 = 500;
    let mut bytes = Vec::new();
    let mut xids = Vec::new();
    for round in 0..ROUNDS {
        let data = format!("write {round}");
        let set = SetDataRequest { path: "/a".into(), data: Some(data.as_bytes()), version: -1 };
        let get = GetDataRequest { path: "/a".into(), watch: false };
        for (xid, request) in [client.request(Opcode::SetData, &set), client.request(Opcode::GetData, &get)] {
            xids.push(xid);
            bytes.extend(request);
        }
    }
    client.send_bytes(&bytes);
    let mut zxid = 0;
    for round in 0..ROUNDS {
        let (set, get) = (client.next_reply(), client.next_reply());
        let at = 2 * usize::try_from(round).expect("not negative");
        assert_eq!((set.xid, get.xid), (xids[at], xids[at + 1]));
        assert!(set.zxid > zxid && get.zxid >= set.zxid, "zxids never step back");
        zxid = get.zxid;
        let response = get.record::<GetDataResponse>();
        assert_eq!(response.data, Some(format!("write {round}").as_bytes()));
        assert_eq!(response.stat.version, round + 1);
        assert_eq!(response.stat.mzxid.0, set.zxid);
    }
}

#[test]
fn a_failing_write_does_not_hold_up_or_overtake_its_neighbours() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let create = CreateRequest { path: "/x".into(), data: Some(b""), acl: Some(AclList::OPEN), flags: 0 };
    let delete = DeleteRequest { path: "/x".into(), version: -1 };
    let get = GetDataRequest { path: "/x".into(), watch: false };
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..50 {
        for (opcode, err) in [
            (Opcode::GetData, -101),
            (Opcode::Create, 0),
            (Opcode::GetData, 0),
            (Opcode::Create, -110),
            (Opcode::Delete, 0),
            (Opcode::GetData, -101),
            (Opcode::Delete, -101),
        ] {
            let (xid, request) = match opcode {
                Opcode::Create => client.request(opcode, &create),
                Opcode::Delete => client.request(opcode, &delete),
                _ => client.request(opcode, &get),
            };
            bytes.extend(request);
            expected.push((xid, err));
        }
    }
    client.send_bytes(&bytes);
    for (xid, err) in expected {
        let reply = client.next_reply();
        assert_eq!((reply.xid, reply.err), (xid, err));
    }
}

#[test]
fn a_sync_waits_for_the_writes_before_it() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    let set = SetDataRequest { path: "/a".into(), data: Some(b"x"), version: -1 };
    for _ in 0..100 {
        let written = client.send(Opcode::SetData, &set);
        let synced =
            client.send(Opcode::Sync, &ringkeeper::wire::client::SyncRequest { path: Some("/a".into()) });
        let (first, second) = (client.next_reply(), client.next_reply());
        assert_eq!((first.xid, second.xid), (written, synced));
        assert!(second.zxid >= first.zxid);
    }
}

/// Writes of many sessions have one order: no zxid twice, no sequence number twice, each session's own rising.
#[test]
fn writes_of_many_sessions_have_one_order() {
    let server = Server::start();
    Client::connect(&server).create("/q", b"", PERSISTENT);
    const EACH: usize = 200;
    let sessions: Vec<_> = (0..8)
        .map(|_| {
            let mut client = Client::connect(&server);
            thread::spawn(move || {
                let create = CreateRequest {
                    path: "/q/n-".into(),
                    data: Some(b""),
                    acl: Some(AclList::OPEN),
                    flags: SEQUENTIAL,
                };
                let mut bytes = Vec::new();
                for _ in 0..EACH {
                    bytes.extend(client.request(Opcode::Create, &create).1);
                }
                client.send_bytes(&bytes);
                let replies: Vec<_> = (0..EACH).map(|_| client.next_reply()).collect();
                assert!(replies.iter().all(|reply| reply.err == 0));
                replies
            })
        })
        .collect();
    let mut all = Vec::new();
    for session in sessions {
        let replies = session.join().expect("the session's own checks hold");
        assert!(replies.is_sorted_by(|a, b| a.zxid < b.zxid));
        all.extend(replies);
    }
    all.sort_by_key(|reply| reply.zxid);
    for (number, reply) in all.iter().enumerate() {
        let path = reply.record::<ringkeeper::wire::client::CreateResponse>().path.to_string();
        assert_eq!(path, format!("/q/n-{number:010}"), "numbers rise as zxids do");
    }
    assert_eq!(Client::connect(&server).children("/q", false).map(|names| names.len()), Ok(8 * EACH));
}

/// A client that was told of a write by another client finds it.
#[test]
fn a_write_that_was_answered_is_seen_by_every_session_of_this_server() {
    let server = Server::start();
    let (mut writer, mut reader) = (Client::connect(&server), Client::connect(&server));
    writer.create("/a", b"0", PERSISTENT);
    for round in 1..=300 {
        let stat = writer.set_data("/a", round.to_string().as_bytes(), -1).expect("there");
        let (data, seen) = reader.get_data("/a", false).expect("there");
        assert_eq!((data, seen), (Some(round.to_string().into_bytes()), stat));
    }
}

/// One group of the log may commit more transactions than the replica's thread applies in a turn. With nothing else to
/// wake it, and a tick of a minute, it must go on by itself.
#[test]
fn a_group_larger_than_a_turn_is_answered_without_waiting_for_the_clock() {
    let config = Config::default().set("tickTime", 60_000).set("ringkeeper.shards", 2);
    let server = config.start();
    let mut client = Client::connect(&server);
    const WRITES: usize = 4_000;
    for round in 0..4 {
        let create = CreateRequest {
            path: "/n-".into(),
            data: Some(b""),
            acl: Some(AclList::OPEN),
            flags: SEQUENTIAL,
        };
        let requests: Vec<_> = (0..WRITES).map(|_| client.request(Opcode::Create, &create)).collect();
        let bytes: Vec<u8> = requests.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        client.send_bytes(&bytes);
        for (xid, _) in requests {
            let reply = client.next_reply();
            assert_eq!((reply.xid, reply.err), (xid, 0), "round {round}");
        }
    }
}

/// However little the operator allows to be under way, everything is answered, and in order.
#[test]
fn a_global_limit_of_outstanding_requests_holds_nobody_up_for_good() {
    const CLIENTS: usize = 4;
    // Each may have a sync of its own, and a disk that others use takes some tens of milliseconds for one.
    const REQUESTS: usize = 60;
    for (key, limit, shards) in [
        ("globalOutstandingLimit", 1, 1),
        ("globalOutstandingLimit", 3, 2),
        ("request_throttle_max_requests", 2, 1),
    ] {
        let config = Config::default().set(key, limit).set("ringkeeper.shards", shards);
        let server = config.start();
        // They don't ping, and on a slow disk the last one's requests wait for long.
        let patient = || Connect { timeout_ms: 40_000, ..Connect::default() }.open(&server);
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| patient()).collect();
        clients.iter().for_each(|client| client.be_patient(Duration::from_secs(40)));
        let create = CreateRequest {
            path: "/n-".into(),
            data: Some(b""),
            acl: Some(AclList::OPEN),
            flags: SEQUENTIAL,
        };
        let mut xids = vec![vec![]; CLIENTS];
        for (client, xids) in clients.iter_mut().zip(&mut xids) {
            let requests: Vec<_> = (0..REQUESTS).map(|_| client.request(Opcode::Create, &create)).collect();
            let bytes: Vec<u8> = requests.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
            client.send_bytes(&bytes);
            xids.extend(requests.iter().map(|(xid, _)| *xid));
        }
        for (client, xids) in clients.iter_mut().zip(&xids) {
            for xid in xids {
                let reply = client.next_reply();
                assert_eq!((reply.xid, reply.err), (*xid, 0), "{key}={limit}, {shards} shards");
            }
        }
        assert_eq!(clients[0].children("/", false).expect("there").len(), 1 + CLIENTS * REQUESTS);
    }
}
