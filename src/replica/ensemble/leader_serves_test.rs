//! `leaderServes`: whether a leader serves clients. That it serves them as a follower: cluster_test/scenarios_flow.rs.

use std::time::Duration;

use super::super::testing::start_member_saying;
use super::Mode;

#[test]
fn a_leader_serves_unless_it_is_not_to() {
    for (leader_serves, expected) in [(true, vec!["serve All"]), (false, vec![])] {
        let (mut server, mut said) =
            start_member_saying(1, |settings| settings.leader_serves = leader_serves);
        if server.replica.mode() == Mode::Looking {
            said.extend(server.pass_until_served(Duration::from_secs(10)));
        }
        assert_eq!(said, expected);
        assert_eq!(server.replica.mode(), Mode::Leading);
        assert!(server.replica.is_deciding(), "the writes that others hand on are decided");
    }
}
