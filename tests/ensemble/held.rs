//! Clients over a change of leader: those that wait for nothing keep their connections, and what they ask meanwhile is
//! answered when there is a leader again.

use ringkeeper::wire::client::EventType;

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Config, Ensemble};

/// Connections are held for half of it: on the slowest machine there is a leader by then.
const TICK_MS: usize = 20_000;

pub fn patient(config: Config) -> Config {
    config.set("tickTime", TICK_MS)
}

/// The leader dies; `at` are servers of ours that live on.
pub fn stay_connected(ensemble: &mut Ensemble, leader: usize, at: &[usize]) {
    let mut clients: Vec<Client> = at.iter().map(|at| Client::connect(&ensemble.servers[*at])).collect();
    let mut beside = Client::connect(&ensemble.servers[at[0]]);
    for (number, client) in clients.iter_mut().enumerate() {
        client.create(&format!("/mine-{number}"), b"", EPHEMERAL);
        client.create(&format!("/watched-{number}"), b"0", PERSISTENT);
        client.sync("/");
        client.stat(&format!("/mine-{number}"));
        client.get_data(&format!("/watched-{number}"), true).expect("there");
    }
    beside.sync("/");
    ensemble.servers[leader].kill();
    // Whether this is before the server has noticed or after: it is answered over this connection, or it was on its way to the
    // leader that died, and the connection is closed. A read is on its way to nobody.
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.data(&format!("/watched-{number}")), b"0");
    }
    let left: Vec<usize> = (0..ensemble.servers.len()).filter(|at| *at != leader).collect();
    let new = ensemble.settle_among(&left);
    assert_ne!(new, leader);
    for (number, client) in clients.iter_mut().enumerate() {
        let path = format!("/watched-{number}");
        beside.set_data(&path, b"1", 0).expect("over the connection that it had");
        let event = client.next_event();
        assert_eq!((event.kind, event.path), (EventType::NodeDataChanged, path.clone()));
        client.set_data(&path, b"2", 1).expect("over the connection that it had");
        client.sync("/");
        assert_eq!(client.data(&path), b"2");
        client.stat(&format!("/mine-{number}"));
        client.ping();
    }
    for (number, client) in clients.into_iter().enumerate() {
        client.close();
        beside.sync("/");
        assert!(beside.exists(&format!("/mine-{number}"), false).is_err(), "it went with its session");
    }
}
