//! What the members say of one client's requests: in their audit logs, and where they are slow.

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Ensemble, until};

/// A change is told by the server to which its client is connected; what a session takes along, by all.
#[test]
fn each_member_audits_its_own_clients() {
    let mut ensemble = Ensemble::prepare(3, 1, |_, config| config.set("audit.enable", true));
    ensemble.launch_all();
    let leader = ensemble.settle();
    for at in [leader, ensemble.follower(leader), 3] {
        let mut client = Client::connect(&ensemble.servers[at]);
        let session = format!("session=0x{:x}\tuser=", client.session);
        let path = format!("/of-{at}");
        client.create(&path, b"", EPHEMERAL);
        assert!(client.delete("/none", -1).is_err());
        client.close();
        let told = |at: usize| -> Vec<String> {
            let output = ensemble.servers[at].output();
            let lines = output.lines().filter(|line| line.contains(&session));
            lines.filter_map(|line| line.split_once("operation=")).map(|(_, line)| line.to_owned()).collect()
        };
        let end = format!("ephemeralZNodeDeletionOnSessionCloseOrExpire\tznode={path}\tresult=success");
        for other in 0..4 {
            until("the end of the session to be told", || told(other).contains(&end).then_some(()));
            let own = [
                format!("create\tznode={path}\tznode_type=ephemeral\tresult=success"),
                "delete\tznode=/none\tresult=failure".to_owned(),
            ];
            let expected: Vec<&String> = own.iter().filter(|_| other == at).chain([&end]).collect();
            assert_eq!(told(other).iter().collect::<Vec<_>>(), expected, "server {other} of {at}'s client");
        }
    }
}

/// A follower tells of its own client's write when it was handed on, came back, was durable and committed.
#[test]
fn a_follower_tells_the_way_of_a_slow_write() {
    let slow = |_, config: crate::support::Config| config.set("ringkeeper.slowRequestMillis", 1);
    let mut ensemble = Ensemble::prepare(3, 0, slow);
    ensemble.launch_all();
    let leader = ensemble.settle();
    let at = ensemble.follower(leader);
    let mut client = Client::connect(&ensemble.servers[at]);
    client.create("/a", b"", PERSISTENT);
    let line = until("a slow write", || {
        assert!(client.set_data("/a", &[7; 900_000], -1).is_ok());
        let output = ensemble.servers[at].output();
        let found =
            output.lines().find(|line| line.contains("slow request") && line.contains("op=\"setData\""));
        found.map(str::to_owned)
    });
    assert!(
        line.contains("path=\"/a\"") && line.contains(&format!("session=0x{:x}", client.session)),
        "{line}"
    );
    let moment = |name: &str| -> u64 {
        let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}: {line}"))
    };
    assert!(moment("taken_ms") <= moment("proposed_ms"), "{line}");
    assert!(moment("proposed_ms") <= moment("committed_ms"), "{line}");
    assert!(moment("committed_ms") <= moment("answered_ms"), "{line}");
}
