//! Whose promises count.

use super::super::tests::Server;
use super::super::*;
use super::Standing;
use crate::base::Zxid;
use crate::wire::peer::PeerState::*;
use crate::zab::quorum::tests::equals;

#[test]
fn promises_count_of_those_who_had_a_vote() {
    let no_history = |server: &mut Server, standing| {
        server.input(Input::Start(Start { last_logged: Zxid(0), standing }));
        server.hears(3, Looking, (3, 0, 1, 0));
        server.hears(2, Looking, (3, 0, 1, 0));
        server.hears(2, Following, (3, 0, 1, 0));
        server.hears(3, Leading, (3, 0, 1, 0));
        assert_ne!(server.election.state(), Looking);
        server.election.has_vote()
    };
    assert!(no_history(&mut Server::of(1, 3), Standing::Blank));
    assert!(!no_history(&mut Server::of(1, 3), Standing::Damaged { epoch: Epoch(0) }));
    let joint = || Joint::new(Arc::new(equals(2..=4, 0)), None);
    assert!(!no_history(&mut Server::new(1, true, joint()), Standing::Blank), "it is in no configuration");
    assert!(!no_history(&mut Server::new(1, false, joint()), Standing::Blank), "it observes");
    // Who has promised an epoch and nothing else votes among those who have a history.
    let mut server = Server::of(1, 3);
    server.start(0, 0);
    let said = server.hears(3, Looking, (3, 0, 1, 1));
    assert_eq!(said[0], "to 2: LOOKING 3 zxid 0 round 1 epoch 1");
    assert_eq!(server.after(200).last().map(String::as_str), Some("decided FOLLOWING 3 round 1 by 1,3"));
    assert!(server.election.has_vote());
}
