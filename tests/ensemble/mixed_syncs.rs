//! A learner of Apache's knows the client of a write by the order in which its leader answers: see `Leader::release_syncs`.

use std::thread;

use crate::mixed::prepare;
use crate::support::Client;
use crate::support::client::PERSISTENT;

const ROUNDS: usize = 400;
/// The highest id: it leads, as nothing in any log decides.
const OURS: usize = 2;

/// Some sync, others write, all at one server of Apache's that follows ours; each of them gets an answer.
#[test]
fn syncs_and_writes_at_a_follower_of_ours_are_all_answered() {
    let mut ensemble = prepare(3, 0, &[1, 2]);
    ensemble.launch_all();
    assert_eq!(ensemble.settle(), OURS);
    let at = &ensemble.servers[0];
    thread::scope(|scope| {
        for number in 0..6 {
            scope.spawn(move || {
                let mut client = Client::connect(at);
                let path = format!("/written-{number}");
                client.create(&path, b"", PERSISTENT);
                for round in 0..ROUNDS {
                    if number % 2 == 0 {
                        client.sync("/");
                    }
                    client.set_data(&path, round.to_string().as_bytes(), -1).expect("it is there");
                }
                assert_eq!(client.data(&path), (ROUNDS - 1).to_string().as_bytes());
                client.close();
            });
        }
    });
    ensemble.assert_equal();
}
