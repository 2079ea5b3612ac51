//! The election where the configuration changes, or there are two.

use super::super::quorum::tests::equals;
use super::tests::{NOTHING, Server};
use super::*;
use crate::base::Zxid;
use crate::wire::peer::PeerState::*;
use crate::zab::Standing;

#[test]
fn two_configurations_must_both_be_satisfied() {
    let (old, new) = (Arc::new(equals([1, 2, 3], 1)), Arc::new(equals([3, 4, 5], 2)));
    let mut server = Server::new(3, true, Joint::new(old, Some(new)));
    server.election.set_designated_leader(ServerId(5));
    assert_eq!(server.start(5, 1).len(), 4);
    server.hears(1, Looking, (3, 5, 1, 1));
    server.hears(2, Looking, (3, 5, 1, 1));
    assert_eq!(server.after(199), NOTHING, "no quorum of the next one");
    server.hears(4, Looking, (3, 5, 1, 1));
    server.input(Input::Unreachable { peer: ServerId(5) });
    assert_eq!(server.election.state(), Leading);
}

#[test]
fn a_newer_configuration_is_reported_and_its_message_waits_for_it() {
    let mut server = Server::new(1, true, Joint::new(Arc::new(equals([1, 2, 3], 5)), None));
    server.start(5, 1);
    let older = equals([1, 2], 4).to_string();
    let moved = equals([1, 2, 3, 4], 0x1f);
    let renamed = equals([1, 2, 3], 0x20).to_string();
    let vote = (2, 9, 1, 1);
    assert_eq!(server.hears_with(2, Looking, (2, 5, 1, 1), Some(&older)).len(), 2, "an older one is no news");
    assert_eq!(server.hears_with(2, Looking, vote, Some(&moved.to_string())), ["config 1f seen at 2"]);
    assert_eq!(server.hears_with(2, Looking, vote, Some(&moved.to_string())), NOTHING, "reported once");
    let outputs = server.hears_with(2, Looking, vote, Some(&renamed));
    assert_eq!(outputs[0], "config 20 seen at 2");
    assert_eq!(outputs.len(), 3, "the same members: the message counts");
    let ignored = &server.hears_with(3, Observing, vote, Some("server.1=x"))[0];
    assert!(ignored.starts_with("ignored 3: BadConfig(\"server.1=x: the ports are missing;"), "{ignored}");
    // Another membership begins anew, with round 1.
    let outputs = server.input(Input::Configured(Joint::new(Arc::new(moved), None)));
    assert_eq!(outputs, [2, 3, 4].map(|to| format!("to {to}: LOOKING 1 zxid 5 round 1 epoch 1")));

    let mut server = Server::new(1, true, Joint::new(Arc::new(equals([1, 2, 3], 5)), None));
    server.election.settings.reconfig_enabled = false;
    server.start(5, 1);
    assert_eq!(server.hears_with(2, Looking, vote, Some(&equals([1, 2], 9).to_string())).len(), 2);
}

#[test]
fn the_configuration_goes_with_every_message() {
    let mut server = Server::of(1, 3);
    let mut outputs = Vec::new();
    let standing = Standing::Sound { current_epoch: Epoch(0) };
    let start = Start { last_logged: Zxid(0), standing };
    server.election.step(Instant(0), Input::Start(start), &mut outputs);
    let Output::Send { notification, .. } = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!(*notification.config, equals(1..=3, 0).to_string());
}

#[test]
fn members_whose_files_differ_say_so_and_go_on() {
    let mut server = Server::new(1, true, Joint::new(Arc::new(equals([1, 2, 3], 0)), None));
    server.start(5, 1);
    let other = equals([1, 2, 4], 0).to_string();
    let outputs = server.hears_with(2, Looking, (2, 9, 1, 1), Some(&other));
    assert!(outputs[0].starts_with("ignored 2: OtherMembers"), "{outputs:?}");
    assert!(outputs.len() > 1, "the vote counts: {outputs:?}");
    // Who isn't ours, or doesn't know us, is joining; and an older one is no news.
    for (from, ids, version) in [(4, [1, 2, 4], 0), (2, [2, 3, 4], 0), (2, [1, 2, 4], 1)] {
        let text = equals(ids, version).to_string();
        let outputs = server.hears_with(from, Looking, (3, 9, 1, 1), Some(&text));
        assert!(outputs.iter().all(|output| !output.contains("OtherMembers")), "{outputs:?}");
    }
    let reason = IgnoreReason::OtherMembers {
        theirs: *equals([1, 2, 4], 0).voters(),
        ours: *equals([1, 2, 3], 0).voters(),
    };
    assert!(reason.to_string().contains("voters 1,2,4 there and 1,2,3 here"), "{reason}");
}

#[test]
fn groups_count_and_servers_without_weight_never_win() {
    let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ngroup.1=1:2:3\nweight.3=0";
    let config = Arc::new(Config::parse(text).expect("a configuration"));
    let mut server = Server::new(1, true, Joint::new(config, None));
    server.start(5, 1);
    assert_eq!(server.hears(3, Looking, (3, 9, 1, 1)), ["to 3: LOOKING 1 zxid 5 round 1 epoch 1"]);
    server.hears(3, Looking, (1, 5, 1, 1));
    assert_eq!(server.after(199), NOTHING, "1 and 3 are no quorum");
    server.hears(2, Looking, (2, 5, 1, 1));
    let decided = "decided FOLLOWING 2 round 1 by 1,2,3";
    assert_eq!(server.hears(3, Looking, (2, 5, 1, 1)).last().map(String::as_str), Some(decided));
}
