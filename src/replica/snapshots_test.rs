//! When snapshots begin, how they are paced, and what goes after them.

use super::*;
use crate::replica::testing::{NOTHING, Server, TICK, encoded, settings, start_from, start_with};
use crate::replica::{Facts, Input};
use crate::wire::client::{CreateRequest, SetDataRequest};
use crate::wire::{AclList, Opcode};

#[test]
fn a_snapshot_begins_when_it_is_due_and_a_restart_goes_on_from_it() {
    let mut settings = settings();
    settings.snapshots.count = 10;
    settings.snapshots.retain = Some(1);
    let mut server = start_with(settings.clone());
    let session = server.open(1);
    let mut taken = vec![];
    for n in 0..40 {
        server.create(session, 1, n, &format!("/n{n}"), n % 2);
        let mut said = vec![];
        for step in [Server::turn_end, Server::durable, Server::apply, Server::turn_end] {
            said.extend(step(&mut server));
        }
        let Some(at) = said.iter().position(|said| said.starts_with("snapshot") && said.ends_with("create"))
        else {
            continue;
        };
        let zxid = server.replica.applied();
        let name = |what| format!("snapshot {}: {what}", zxid.0);
        let append = || "snapshot: append".to_owned();
        // Header and head, the nodes, the footer.
        assert_eq!(said[at..], [name("create"), append(), append(), append(), append(), name("complete")]);
        taken.push(zxid);
        let said = server.step(Input::SnapshotDone { zxid });
        match taken[..] {
            [_] => assert_eq!(said, NOTHING, "there is none older"),
            // The segment before the first snapshot's roll is needed no more.
            _ => assert_eq!(said, [format!("snapshots below {}: remove", zxid.0), "log: remove".into()]),
        }
    }
    assert!((4..=8).contains(&taken.len()), "every 5 to 10 transactions: {taken:?}");
    assert_eq!(server.replica.facts().snapshots_written, taken.len() as u64);
    assert_eq!(server.disk.snapshots.len(), 1);
    let facts = server.replica.facts();
    let sessions = server.replica.sessions().list();
    let again = start_from(server.disk, settings, server.now, Duration::ZERO);
    assert_eq!(again.replica.facts(), Facts { snapshots_written: 0, ..facts });
    assert_eq!(again.replica.sessions().list(), sessions);
}

/// Some hundred nodes of a kilobyte, and a snapshot due at the end of the turn.
fn server_with_much(bytes_per_second: u64) -> Server {
    let mut settings = settings();
    settings.snapshots.bytes_per_second = bytes_per_second;
    let mut server = start_with(settings);
    let session = server.open(1);
    for n in 0..600 {
        let (path, data) = (format!("/n{n}"), [b'x'; 1000]);
        let acl = Some(AclList::OPEN);
        let request = CreateRequest { path: path.as_str().into(), data: Some(&data), acl, flags: 0 };
        server.write(session, 1, n, Opcode::Create, encoded(&request));
        server.settle();
    }
    server.replica.snapshots.due_after.0 = 0;
    server
}

#[test]
fn a_snapshot_is_paced() {
    let mut server = server_with_much(100_000);
    let begun = server.now.instant;
    let mut said = server.turn_end();
    let (mut turns, mut written) = (0, 0);
    while !said.iter().any(|said| said.ends_with("complete")) {
        turns += 1;
        assert!(turns < 100, "it never ends");
        let slice = server.disk.writing.len() - written;
        assert!(slice < 70_000, "{slice} bytes in a turn");
        written = server.disk.writing.len();
        assert_eq!(server.turn_end(), NOTHING, "not before its time");
        let wait = server.wakes_in();
        assert!(wait > Duration::ZERO && wait <= TICK);
        server.pass(wait);
        server.wake_up();
        said = server.turn_end();
    }
    let took = server.now.instant.since(begun).as_millis();
    assert!((5500..7500).contains(&took), "650 KB at 100 KB/s took {took} ms");
}

#[test]
fn what_writes_put_out_of_its_way_is_not_paced() {
    let mut server = server_with_much(1);
    let begun = server.now.instant;
    server.turn_end();
    let first = server.disk.writing.len();
    assert!((60_000..70_000).contains(&first), "{first} bytes");
    let session = server.open(2);
    for n in 0..600 {
        let path = format!("/n{n}");
        let request = SetDataRequest { path: path.as_str().into(), data: Some(b"new"), version: -1 };
        server.write(session, 2, n, Opcode::SetData, encoded(&request));
        server.settle();
        server.turn_end();
    }
    assert_eq!(server.replica.store().kept_for_snapshot(), 0);
    let (ahead, written) = (server.replica.store().ahead_of_snapshot(), server.disk.writing.len());
    assert!(ahead < SLICE_BYTES && written + ahead > 620_000, "{written} bytes written, {ahead} ahead");
    assert_eq!(server.now.instant, begun, "at one byte a second that would be a week");
}

#[test]
fn a_snapshot_waits_for_its_file_and_may_fail() {
    let mut server = server_with_much(0);
    let zxid = server.replica.applied();
    server.turn_end();
    assert_eq!(server.wakes_in(), Duration::ZERO, "no pace is set: the next slice at once");
    // As if what was written so far were more than may be ahead of the file.
    let running = server.replica.snapshots.running.as_mut().expect("it has begun");
    running.emitted += AHEAD_BYTES_MAX;
    let progress = running.emitted - AHEAD_BYTES_MAX + 1;
    assert_eq!(server.turn_end(), NOTHING);
    assert!(server.wakes_in() > Duration::from_secs(1), "its file will wake it");
    server.step(Input::SnapshotProgress { bytes: progress });
    assert_eq!(server.wakes_in(), Duration::ZERO);
    assert_eq!(server.turn_end(), ["snapshot: append"]);

    let said = server.step(Input::SnapshotFailed { zxid, reason: "no space".to_owned() });
    assert_eq!(said, [format!("snapshot {}: abandon", zxid.0)]);
    assert_eq!(server.turn_end(), NOTHING, "the next one in its time");
    assert_eq!(server.replica.facts().snapshots_failed, 1);
    assert_eq!(server.replica.store().kept_for_snapshot(), 0);
}

#[test]
fn the_size_of_the_log_counts_too_but_not_without_a_transaction() {
    let mut settings = settings();
    settings.snapshots.log_bytes = 20_000;
    let mut server = start_with(settings);
    let session = server.open(1);
    let mut begun = 0;
    for n in 0..100 {
        server.create(session, 1, n, &format!("/n{n}"), 0);
        server.turn_end();
        server.durable();
        server.apply();
        let said = server.turn_end();
        if said.iter().any(|said| said.ends_with(": complete")) {
            begun += 1;
            let zxid = server.replica.applied();
            server.step(Input::SnapshotDone { zxid });
            // More bytes may be sealed at once than the next limit, and still nothing is new to a snapshot.
            server.replica.snapshots.logged_since = 1 << 20;
            assert_eq!(server.turn_end(), NOTHING);
            server.replica.snapshots.logged_since = 0;
        }
    }
    assert!((1..=2).contains(&begun), "about 20 KB were logged, {begun} snapshots");
}

#[test]
fn without_space_no_snapshot_begins() {
    let mut server = server_with_much(0);
    server.step(Input::SpaceLow);
    assert_eq!(server.turn_end(), NOTHING);
    server.step(Input::SpaceBack);
    assert!(server.turn_end()[0].ends_with(": create"));
}
