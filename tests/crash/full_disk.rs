//! A disk that runs full under a running server: writes are refused, reads go on, and it recovers by itself.
//!
//! Mounts a small tmpfs, so it needs root.

use std::fs;

use ringkeeper::wire::client::SetDataRequest;
use ringkeeper::wire::{ErrorCode, Opcode};

use crate::support::client::PERSISTENT;
use crate::support::disk::{Disk, fill};
use crate::support::{Client, Config, until};

/// Room for two segments, a snapshot, and then not much.
const DISK_BYTES: u64 = 48 << 20;
/// One segment: large enough that the server has noticed long before it is used up.
const SEGMENT_KIB: u64 = 8 << 10;

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself() {
    let folder = crate::support::server::folder("disk");
    let disk = Disk::mount(&folder, DISK_BYTES);
    let mut server =
        Config::default().set("preAllocSize", SEGMENT_KIB).data_dir(&folder.join("data")).start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    client.create("/small", b"before", PERSISTENT);
    let ballast = fill(&folder);
    // What was preallocated may still be used up; then the refusal has to come, long before the bound.
    let data = vec![b'x'; 100_000];
    let mut last = None;
    let refused = (0..1_000u32).find_map(|number| {
        // Segments that were given back are disk space again.
        fill(&folder);
        let mut data = data.clone();
        data[..4].copy_from_slice(&number.to_be_bytes());
        match client.set_data("/a", &data, -1) {
            Ok(_) => {
                last = Some(data);
                None
            }
            Err(error) => Some(error),
        }
    });
    assert_eq!(refused, Some(ErrorCode::SystemError), "{}", server.output());
    let last = last.expect("some writes went through before the disk was full");
    // Reads go on, and what was acknowledged is what they show. So do old and new connections, four-letter words and pings.
    assert!(client.data("/a") == last, "a refused write left a trace");
    assert_eq!(client.data("/small"), b"before");
    assert_eq!(client.try_create("/b", b"", PERSISTENT), Err(ErrorCode::SystemError));
    assert_eq!(client.ping().err, 0);
    assert!(server.word("srvr").contains("Mode: standalone"));
    let output = server.output().to_lowercase();
    assert!(output.contains("room") || output.contains("space"), "the log says nothing of it:\n{output}");
    assert!(server.is_running());
    // Room again: no restart, no command.
    fs::remove_file(&ballast).expect("ours");
    until("writes to be taken again", || client.try_create("/b", b"after", PERSISTENT).ok());
    client.set_data("/small", b"after", -1).expect("writes are taken");
    server.kill();
    server.restart();
    let mut client = Client::connect(&server);
    assert!(client.data("/a") == last);
    assert_eq!(client.data("/b"), b"after");
    assert_eq!(client.data("/small"), b"after");
    drop(client);
    server.kill();
    drop(disk);
}

/// With the smallest segments one is used up by two of these requests, and so is the one behind it before anybody could
/// say that there is no room for a third.
#[test]
fn what_was_accepted_never_waits_for_room() {
    const SEGMENT_KIB: u64 = 2 << 10;
    const REQUESTS: usize = 40;
    let folder = crate::support::server::folder("disk");
    let disk = Disk::mount(&folder, 16 << 20);
    let mut server =
        Config::default().set("preAllocSize", SEGMENT_KIB).data_dir(&folder.join("data")).start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    client.create("/small", b"before", PERSISTENT);
    // The first spare is there, and takes what comes when the disk is full.
    until("the spare segment", || folder.join("data/ringkeeper-1/segment.spare").exists().then_some(()));
    for round in 0..3u32 {
        let ballast = fill(&folder);
        // All at once, so that many wait for the disk when it is used up.
        let data = vec![b'x'; 800_000];
        let mut xids = vec![];
        for number in 0..REQUESTS {
            let mut data = data.clone();
            data[..4].copy_from_slice(&(round << 16 | number as u32).to_be_bytes());
            let request = SetDataRequest { path: "/a".into(), data: Some(&data), version: -1 };
            xids.push(client.send(Opcode::SetData, &request));
        }
        // Each is answered, though the disk stays full: done, or refused.
        let (mut done, mut refused) = (vec![], 0);
        for (number, xid) in xids.into_iter().enumerate() {
            let reply = client.next_reply();
            assert_eq!(reply.xid, xid, "replies come in the order of the requests");
            match reply.code() {
                ErrorCode::Ok => done.push(round << 16 | number as u32),
                code => {
                    assert_eq!(code, ErrorCode::SystemError, "{}", server.output());
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "round {round}: {} are done and the disk has room for more", done.len());
        if let Some(last) = done.last() {
            assert_eq!(client.data("/a")[..4], last.to_be_bytes(), "a refused write left a trace");
        }
        assert_eq!(client.data("/small"), b"before");
        fs::remove_file(&ballast).expect("ours");
        until("writes to be taken again", || client.set_data("/small", b"before", -1).ok());
    }
    let last = client.data("/a");
    server.kill();
    server.restart();
    let mut client = Client::connect(&server);
    assert!(client.data("/a") == last);
    drop(client);
    server.kill();
    drop(disk);
}

/// A start needs a segment, which a full disk has no room for. The operator is told what to do, and nothing is lost.
#[test]
fn a_start_on_a_full_disk_says_so_and_loses_nothing() {
    let folder = crate::support::server::folder("disk");
    let disk = Disk::mount(&folder, DISK_BYTES);
    let config = || Config::default().set("preAllocSize", SEGMENT_KIB).data_dir(&folder.join("data"));
    let mut server = config().start();
    Client::connect(&server).create("/a", b"acknowledged", PERSISTENT);
    // Were there a spare segment, or half of one, the start could do with it.
    let spare = folder.join("data/ringkeeper-1/segment.spare");
    until("the spare segment", || spare.exists().then_some(()));
    server.kill();
    fs::remove_file(&spare).expect("it was there");
    let ballast = fill(&folder);
    let (status, output) = config().start_in_vain();
    assert_eq!(status.code(), Some(3), "{output}");
    assert!(output.contains("Free space") && !output.contains("trusted"), "{output}");
    fs::remove_file(&ballast).expect("ours");
    let mut server = config().start();
    assert_eq!(Client::connect(&server).data("/a"), b"acknowledged");
    server.kill();
    drop(disk);
}
