//! A lone server that comes to rest, and goes on: as it was, or with another tree.

use std::time::Duration;

use super::*;
use crate::base::SessionId;
use crate::replica::Input;
use crate::replica::testing::{NOTHING, Server, settings, start, start_from};

fn serve(of: &str) -> [String; 1] {
    [format!("serve {of}")]
}

#[test]
fn what_was_taken_is_carried_out_and_nothing_else() {
    let mut server = start();
    let session = server.open(1);
    server.create(session, 1, 1, "/taken", 0);
    server.turn_end();
    server.create(session, 1, 2, "/open", 0);
    server.replica.close_intake();
    server.replica.want_reload(Zxid(9));
    // The second group is sealed when the first is durable.
    assert_eq!(server.turn_end(), serve("None"));
    assert_eq!(server.replica.facts().stands_at, None, "two are under way");
    server.create(session, 1, 3, "/late", 0);
    assert_eq!(server.connect(SessionId::NONE, 2, None), NOTHING);
    server.settle();
    assert_eq!(server.replica.facts().stands_at, Some(Zxid(3)));
    assert!(
        server.replica.store().find(b"/open").is_some() && server.replica.store().find(b"/late").is_none()
    );
    // Nothing is decided by ourselves either: the session would be over long ago.
    server.pass(Duration::from_secs(3600));
    server.wake_up();
    assert_eq!((server.settle(), server.replica.facts().stands_at), (vec![], Some(Zxid(3))));
    // Silence that nobody could break isn't the clients'.
    server.replica.open_intake();
    assert_eq!(server.settle(), serve("All"));
    assert_eq!(server.replica.facts().stands_at, None);
    assert!(server.replica.sessions().contains(session));
    server.create(session, 1, 4, "/after", 0);
    server.settle();
    assert_eq!(server.replica.applied(), Zxid(4));
}

#[test]
fn a_snapshot_that_is_being_taken_is_given_up_and_may_be_finished_late() {
    let mut server = start();
    let session = server.open(1);
    server.create(session, 1, 1, "/a", 0);
    server.settle();
    server.replica.want_snapshot();
    let said = server.turn_end();
    assert!(said.last().is_some_and(|said| said == "snapshot 2: complete"), "{said:?}");
    server.replica.close_intake();
    assert_eq!(server.turn_end(), ["snapshot 2: abandon".to_owned(), "serve None".to_owned()]);
    assert_eq!(server.step(Input::SnapshotDone { zxid: Zxid(2) }), NOTHING);
    server.replica.want_snapshot();
    assert_eq!(server.turn_end(), NOTHING, "none is taken at rest");
    assert_eq!(server.replica.facts().snapshots_written, 0);
}

#[test]
fn the_next_one_serves_its_own_sessions_anew() {
    let mut server = start();
    let session = server.open(1);
    server.replica.close_intake();
    server.settle();
    server.replica.want_reload(Zxid(7));
    assert_eq!(server.turn_end(), ["reload 7".to_owned()]);
    assert_eq!(server.turn_end(), NOTHING, "once");
    // As a driver does it; that the disk holds another tree by now is not this test's.
    let Server { replica: old, disk, now, .. } = server;
    let mut next = start_from(disk, settings(), now, Duration::ZERO);
    let mut outputs = vec![];
    next.replica.take_over(old, None, &mut outputs);
    assert!(matches!(outputs[..], [Output::Serve(Service::All)]), "{outputs:?}");
    assert_eq!(next.replica.facts().stands_at, None);
    next.create(session, 1, 1, "/after", 0);
    assert!(next.settle().iter().any(|said| said.starts_with("notify")));
    assert!(next.replica.sessions().contains(session));
}
