//! Requests without room in the log.

use std::time::Duration;

use super::super::testing::{NOTHING, Server, TICK, encoded, start};
use super::*;
use crate::replica::{Held, Input};
use crate::wire::client::CreateRequest;
use crate::wire::{AclList, OwnedAcl};

/// The log's first segment has 16 KiB, the others 64 KiB.
#[test]
fn what_the_log_has_no_room_for_waits_and_is_refused_when_the_disk_is_full() {
    let mut server = start();
    let session = server.open(1);
    server.prepares = false;
    let create = |server: &mut Server, xid: i32, bytes: usize| {
        let data = vec![7; bytes];
        let path = format!("/n{xid}");
        let acl = Some(AclList::OPEN);
        let create = CreateRequest { path: path.as_str().into(), data: Some(&data), acl, flags: 0 };
        server.write(session, 1, xid, Opcode::Create, encoded(&create))
    };
    // The rest of the first segment, the spare, and nothing more: what is decided has its place.
    let mut written = 0;
    while !server.replica.is_full() {
        written += 1;
        create(&mut server, written, 3 << 10);
        server.settle();
    }
    let proposed = server.replica.facts().applied;
    assert_eq!(proposed.0, 1 + i64::from(written) - 1, "all but the last");
    assert!((20..30).contains(&written), "{written}");
    // In order: a sync behind it waits, too.
    assert_eq!(server.sync(session, 1, written + 1), NOTHING);
    assert_eq!(server.settle(), NOTHING);
    for _ in 0..30 {
        server.pass(TICK);
        server.wake_up();
        assert!(server.wakes_in() > Duration::ZERO, "it doesn't spin");
    }
    assert!(server.replica.sessions().contains(session), "who waits for us isn't silent");
    server.prepares = true;
    server.turn_end();
    server.settle();
    assert!(!server.replica.is_full());
    assert_eq!(server.replica.facts().applied.0, 1 + i64::from(written), "the one that waited");
    assert_eq!(server.replica.held(), Held::default());
    // Now the disk is full for good.
    server.prepares = false;
    let mut xid = written + 10;
    while !server.replica.is_full() {
        xid += 1;
        create(&mut server, xid, 3 << 10);
        server.settle();
    }
    let refused = format!("notify one at {}: 1 xid {xid}: SystemError;", server.replica.facts().applied.0);
    assert_eq!(server.step(Input::SpaceLow), [refused]);
    assert!(!server.replica.is_full());
    let applied = server.replica.facts().applied.0;
    assert_eq!(server.sync(session, 1, 7), [format!("notify one at {applied}: 1 xid 7: b\"path\";")]);
}

#[test]
fn what_a_request_becomes_is_never_underestimated() {
    let shown = |scheme: &str, id: &str| Identity { scheme: scheme.to_owned(), id: id.to_owned() };
    let acl = encoded_acl(&[OwnedAcl::new(31, "auth", ""), OwnedAcl::new(1, "auth", "")]);
    let plain = logged_bytes(Opcode::SetAcl, &acl, &[shown("ip", "127.0.0.1")]);
    assert_eq!(plain, acl.len() + OVERHEAD_BYTES);
    let identities = [shown("ip", "127.0.0.1"), shown("digest", "a:b"), shown("digest", &"x".repeat(4000))];
    let long = logged_bytes(Opcode::SetAcl, &acl, &identities);
    assert!(long >= 2 * (4000 + 9) + 4 * 12, "each of the entries becomes both identities: {long}");
    assert_eq!(logged_bytes(Opcode::Multi, &[0; 100], &[]), 200 + OVERHEAD_BYTES);
}

fn encoded_acl(entries: &[OwnedAcl]) -> Vec<u8> {
    entries.iter().flat_map(encoded).collect()
}
