//! A reconfiguration changes a server's own ports: it opens the new ones at once and closes the old ones, and nobody who is
//! connected is cut off.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::cluster::{Cluster, change, reconfig, version_of};
use crate::history::{History, Load};
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::server::free_port;
use crate::support::{Client, Connect, until};

const WRITERS: usize = 4;
/// Batches of all writers that are acknowledged between two changes.
const SOME: u64 = 40;
const PATIENCE: Duration = Duration::from_secs(5);

fn await_closed(address: SocketAddr) {
    until(&format!("{address} to be closed"), || TcpStream::connect(address).is_err().then_some(()));
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn a_client_port_moves_and_who_is_connected_stays() {
    for shards in [1, 2] {
        let mut cluster = Cluster::prepare(3, |_, config| config.set("ringkeeper.shards", shards));
        cluster.name_voters(3);
        cluster.launch_all();
        let leader = cluster.leader();
        for id in [leader % 3 + 1, leader] {
            let asked = (leader + 1) % 3 + 1;
            let mut elsewhere = Client::connect(&cluster.servers[asked - 1]);
            let mut stays = Client::connect(&cluster.servers[id - 1]);
            stays.create(&format!("/ephemeral{id}"), b"", EPHEMERAL);
            let old = cluster.servers[id - 1].address();
            cluster.servers[id - 1].port = free_port();
            let line = cluster.line(id, "participant");
            let mut root = cluster.root(asked);
            let text = reconfig(&mut root, Some(&line), None, None, -1).expect("it moves");
            assert!(text.contains(&line), "{text}");
            let new = cluster.servers[id - 1].address();
            let mut comes = until("the new port", || Connect::default().open_within(new, PATIENCE).ok());
            await_closed(old);
            for client in [&mut stays, &mut comes, &mut elsewhere] {
                let session = client.session;
                client.create(&format!("/of{id}-{session:x}"), b"", PERSISTENT);
            }
            assert_eq!(cluster.leader(), leader, "nobody left his role for that");
            // A session moves to the new port, too.
            let again = Connect { last_zxid_seen: stays.zxid, ..Connect::again(&stays) };
            let mut moved = again.open_within(new, PATIENCE).expect("the session lives");
            let owner = moved.stat(&format!("/ephemeral{id}")).ephemeral_owner.0;
            assert_eq!(owner, moved.session);
            // It is what the server begins with from now on.
            if id != leader {
                cluster.servers[id - 1].kill();
                cluster.servers[id - 1].restart();
                assert_eq!(cluster.await_version(id, version_of(&text)), text);
            }
        }
    }
}

#[test]
fn a_client_port_that_is_taken_is_told_and_the_old_one_stays() {
    let mut cluster = Cluster::start(3, 3);
    let leader = cluster.leader();
    let id = leader % 3 + 1;
    let taken = TcpListener::bind(loopback(0)).expect("a port");
    let old = cluster.servers[id - 1].port;
    cluster.servers[id - 1].port = taken.local_addr().expect("it is bound").port();
    let line = cluster.line(id, "participant");
    cluster.servers[id - 1].port = old;
    let text = reconfig(&mut cluster.root(leader), Some(&line), None, None, -1).expect("nobody can know");
    assert_eq!(cluster.await_version(id, version_of(&text)), text);
    until("it is told", || {
        cluster.servers[id - 1].output().contains("who go on connecting to").then_some(())
    });
}

#[test]
fn quorum_and_election_ports_move_under_load() {
    let mut cluster = Cluster::start(3, 3);
    let mut history = History::default();
    let load = Load::start_at(&cluster, 0, WRITERS, &[0, 1, 2]);
    // A follower's, and the leader's, who is elected anew or gives way.
    for is_leader in [false, true] {
        load.go_on(SOME);
        let leader = cluster.leader();
        let id = if is_leader { leader } else { leader % 3 + 1 };
        let old = [cluster.quorum_ports[id - 1], cluster.election_ports[id - 1]];
        cluster.quorum_ports[id - 1] = free_port();
        cluster.election_ports[id - 1] = free_port();
        let line = cluster.line(id, "participant");
        let text = change(&mut cluster, (leader + 1) % 3 + 1, Some(&line), None);
        assert!(text.contains(&line), "{text}");
        cluster.leader();
        old.into_iter().for_each(|port| await_closed(loopback(port)));
        for port in [cluster.quorum_ports[id - 1], cluster.election_ports[id - 1]] {
            TcpStream::connect(loopback(port)).expect("it listens there");
        }
        load.go_on(SOME);
    }
    // They find each other, whoever leads.
    for _ in 0..3 {
        let leader = cluster.leader();
        cluster.servers[leader - 1].kill();
        load.go_on(SOME);
        cluster.servers[leader - 1].restart();
        cluster.leader();
        load.go_on(SOME);
    }
    history.check(&mut cluster, load);
    assert!(history.losses() > 0, "the kills were felt");
}
