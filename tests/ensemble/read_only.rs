//! Members that find no leader and serve reads meanwhile, as `readonlymode.enabled` asks.

use std::time::Duration;

use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{CreateRequest, MultiOp};
use ringkeeper::wire::{AclList, Encode, ErrorCode, Opcode};

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::wait::timed;
use crate::support::{Client, Connect, Ensemble, Refusal, Server, until};

/// Three voters and an observer, with the mode.
fn start() -> Ensemble {
    let mut ensemble = Ensemble::prepare(3, 1, |_, config| config.property("readonlymode.enabled", true));
    ensemble.launch_all();
    ensemble.settle();
    ensemble
}

fn tolerant() -> Connect {
    Connect { read_only: Some(true), ..Connect::default() }
}

/// What the connect response says.
fn is_read_only(client: &Client) -> bool {
    match client.handshake[36] {
        0 => false,
        1 => true,
        other => panic!("{other} is no boolean"),
    }
}

fn until_read_only(server: &Server) {
    until("a server without a leader to serve reads", || (server.word("isro") == "ro").then_some(()));
}

fn until_all_is_served(server: &Server) {
    until("a server with a leader to serve all", || (server.word("isro") == "rw").then_some(()));
}

struct OneOfAll;

impl Encode for OneOfAll {
    fn encode(&self, out: &mut Vec<u8>) {
        let create = CreateRequest {
            path: "/no".into(),
            data: Some(b""),
            acl: Some(AclList::OPEN),
            flags: PERSISTENT,
        };
        encode_list(out, [MultiOp::Create(create)]);
    }
}

fn read_what_there_is(client: &mut Client, mine: i64) {
    assert!(is_read_only(client));
    assert_eq!(client.data("/before"), b"data");
    assert_eq!(client.stat("/mine").ephemeral_owner.0, mine);
    let children = client.children("/", true).expect("the root");
    assert_eq!(children, ["before", "mine", "zookeeper"]);
    for flags in [PERSISTENT, EPHEMERAL] {
        assert_eq!(client.try_create("/no", b"", flags), Err(ErrorCode::NotReadOnly));
    }
    assert_eq!(client.set_data("/before", b"other", -1), Err(ErrorCode::NotReadOnly));
    assert_eq!(client.delete("/before", -1), Err(ErrorCode::NotReadOnly));
    assert_eq!(client.call(Opcode::Multi, &OneOfAll).code(), ErrorCode::NotReadOnly);
    let refused = client.sync("/");
    assert_eq!(refused.code(), ErrorCode::NotReadOnly);
    assert_eq!(client.data("/before"), b"data");
    assert_eq!(refused.zxid, client.zxid, "of what is applied");
    client.ping();
}

#[test]
fn the_rest_of_an_ensemble_answers_reads_until_there_is_a_leader_again() {
    let mut ensemble = start();
    let mut owner = Connect { timeout_ms: 20_000, ..Connect::default() }.open(&ensemble.servers[0]);
    owner.create("/before", b"data", PERSISTENT);
    owner.create("/mine", b"", EPHEMERAL);
    for server in &ensemble.servers {
        let mut client = tolerant().open(server);
        assert!(!is_read_only(&client), "there is a leader");
        assert_eq!(server.word("isro"), "rw");
        client.sync("/");
        client.close();
    }
    ensemble.servers[1].kill();
    ensemble.servers[2].kill();
    // The voter and the observer that are left; one has one loop, the other loops of its own for clients.
    let mut left = vec![];
    for at in [0, 3] {
        let server = &ensemble.servers[at];
        until_read_only(server);
        assert_eq!(server.mode().as_deref(), Some("read-only"));
        assert!(server.word("mntr").contains("zk_server_state\tread-only\n"));
        assert_eq!(Connect::default().try_open(server).err(), Some(Refusal::Closed), "it wants to write");
        let old = Connect { read_only: None, ..Connect::default() };
        assert_eq!(old.try_open(server).err(), Some(Refusal::Closed), "it doesn't know of the mode");
        let again = Connect { read_only: Some(true), ..Connect::again(&owner) };
        assert_eq!(again.try_open(server).err(), Some(Refusal::Closed), "its session is the ensemble's");
        let ahead = Connect { last_zxid_seen: i64::MAX, ..tolerant() };
        assert_eq!(ahead.try_open(server).err(), Some(Refusal::Closed), "it has seen more");
        let mut client = tolerant().open(server);
        read_what_there_is(&mut client, owner.session);
        // The session comes back with its password as long as the mode lasts, and here alone.
        let back = Connect { read_only: Some(true), ..Connect::again(&client) };
        client.cut();
        let mut client = back.open(server);
        assert_eq!((client.session, is_read_only(&client)), (back.session, true));
        client.ping();
        let passing = tolerant().open(server);
        passing.close();
        left.push((client, back));
    }
    ensemble.servers[1].restart();
    ensemble.settle_among(&[0, 1, 3]);
    for ((mut client, back), at) in left.into_iter().zip([0, 3]) {
        client.assert_closed();
        let server = &ensemble.servers[at];
        until_all_is_served(server);
        assert!(matches!(back.try_open(server), Err(Refusal::Rejected(_))), "it was of the mode");
        let mut client = tolerant().open(server);
        assert!(!is_read_only(&client));
        client.create(&format!("/after-{at}"), b"", PERSISTENT);
        client.close();
    }
    // The ensemble's session has outlived it all.
    let mut owner = Connect::again(&owner).open(&ensemble.servers[3]);
    assert_eq!(owner.stat("/mine").ephemeral_owner.0, owner.session);
    owner.close();
    ensemble.servers[2].restart();
    ensemble.servers.iter().for_each(until_all_is_served);
    ensemble.assert_equal();
}

/// Started alone: it reads its log and waits as long as any.
#[test]
fn a_member_that_starts_alone_serves_what_it_has_logged() {
    let mut ensemble = start();
    let mut writer = Client::connect(&ensemble.servers[0]);
    writer.create("/kept", b"data", PERSISTENT);
    writer.close();
    ensemble.assert_equal();
    for server in &mut ensemble.servers {
        server.kill();
    }
    ensemble.servers[0].spawn();
    let ((), took) = timed(|| {
        until("the server to serve reads", || {
            (ensemble.servers[0].mode().as_deref() == Some("read-only")).then_some(())
        });
    });
    // Apache's patience; a busy machine may take longer.
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    let mut client = tolerant().open(&ensemble.servers[0]);
    assert!(is_read_only(&client));
    assert_eq!(client.data("/kept"), b"data");
    assert_eq!(client.try_create("/no", b"", PERSISTENT), Err(ErrorCode::NotReadOnly));
    ensemble.servers[1].spawn();
    ensemble.settle_among(&[0, 1]);
    client.assert_closed();
    until_all_is_served(&ensemble.servers[0]);
    assert_eq!(Client::connect(&ensemble.servers[0]).data("/kept"), b"data");
}
