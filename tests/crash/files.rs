//! Damaged and foreign files: what is cut, what is refused, and what the refusal says.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::client::PERSISTENT;
use crate::support::{Client, Config, Server, until};

/// The header page of a segment; groups follow.
const GROUPS_OFFSET: usize = 4096;

/// Writes one at a time, each in a group of its own, and dies.
fn written(count: usize) -> Server {
    let mut server = Server::start();
    let mut client = Client::connect(&server);
    for number in 0..count {
        client.create(&format!("/n{number:04}"), format!("data of {number}").as_bytes(), PERSISTENT);
    }
    server.kill();
    server
}

/// Segment files that were written to, oldest first.
fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![data_dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.strip_prefix("segment.").is_some_and(|id| id.len() == 16) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no segment in {}", data_dir.display());
    found
}

/// Where the last group ends: nothing but zeros behind it.
fn end(segment: &[u8]) -> usize {
    segment.iter().rposition(|byte| *byte != 0).expect("there are records") + 1
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    change(&mut bytes);
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The server on this directory gives up; nothing in its log is touched. Gives what it said.
fn refused(server: &Server) -> String {
    let before: Vec<Vec<u8>> =
        segments(server.data_dir()).iter().map(|path| fs::read(path).expect("readable")).collect();
    let (status, output) = Config::default().data_dir(server.data_dir()).start_in_vain();
    assert!(status.code().is_some_and(|code| code != 0), "{status}\n{output}");
    assert!(!output.contains("panicked"), "{output}");
    assert!(!output.contains(" ready on "), "{output}");
    let after: Vec<Vec<u8>> =
        segments(server.data_dir()).iter().map(|path| fs::read(path).expect("readable")).collect();
    assert!(before == after, "the evidence was changed");
    output
}

#[test]
fn a_torn_tail_is_cut_and_the_server_starts() {
    let mut server = written(50);
    let path = segments(server.data_dir()).pop().expect("at least one");
    // The last store of the last group did not reach the disk.
    edit(&path, |bytes| {
        let end = end(bytes);
        bytes[end - 6..end].fill(0);
    });
    server.restart();
    let mut client = Client::connect(&server);
    for number in 0..49 {
        assert_eq!(client.data(&format!("/n{number:04}")), format!("data of {number}").as_bytes());
    }
    assert!(client.exists("/n0049", false).is_err(), "half a record is no record");
    client.create("/n0049", b"again", PERSISTENT);
    // And it is well after that: the cut is remembered.
    server.kill();
    server.restart();
    let mut client = Client::connect(&server);
    assert_eq!(client.data("/n0049"), b"again");
    assert_eq!(client.data("/n0048"), b"data of 48");
}

#[test]
fn garbage_behind_the_tail_is_no_record() {
    let mut server = written(20);
    let path = segments(server.data_dir()).pop().expect("at least one");
    edit(&path, |bytes| {
        let end = end(bytes);
        let length = 3_000.min(bytes.len() - end);
        for (index, byte) in bytes[end..end + length].iter_mut().enumerate() {
            *byte = (index * 37 + 11) as u8;
        }
    });
    server.restart();
    let mut client = Client::connect(&server);
    assert_eq!(client.children("/", false).map(|names| names.len()), Ok(21));
    client.create("/new", b"", PERSISTENT);
}

#[test]
fn damage_in_the_middle_is_refused_by_file_and_offset() {
    let server = written(200);
    let path = segments(server.data_dir()).pop().expect("at least one");
    edit(&path, |bytes| {
        let middle = GROUPS_OFFSET + (end(bytes) - GROUPS_OFFSET) / 2;
        bytes[middle] ^= 0x10;
    });
    let output = refused(&server);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    assert!(output.contains(&name), "the file is not named:\n{output}");
    assert!(output.contains("offset"), "the offset is not named:\n{output}");
}

/// An idle server has noted behind its last group that it was durable: what is missing there was lost later, and by the disk.
#[test]
fn damage_to_the_last_group_of_an_idle_server_is_refused() {
    let mut server = Config::default().set("tickTime", 200).start();
    let mut client = Client::connect(&server);
    client.create("/last", b"the last of all", PERSISTENT);
    let path = segments(server.data_dir()).pop().expect("at least one");
    let written = || fs::read(&path).expect("readable");
    let find = |bytes: &[u8]| bytes.windows(15).position(|window| window == b"the last of all");
    let last = until("the group to be in the file", || find(&written()));
    // The group's record ends soon behind its data.
    until("a mark behind it", || (end(&written()) > last + 100).then_some(()));
    server.kill();
    edit(&path, |bytes| bytes[last] ^= 1);
    assert!(refused(&server).contains("offset"));
}

#[test]
fn a_log_of_a_later_format_is_refused() {
    let server = written(10);
    let path = segments(server.data_dir()).pop().expect("at least one");
    edit(&path, |bytes| {
        // Version at 8, checksum of bytes 0..12 and 16..128 at 12: see src/log/segment.rs.
        bytes[8..12].copy_from_slice(&2u32.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..128]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    });
    let output = refused(&server);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    assert!(output.contains(&name), "the file is not named:\n{output}");
    let reason = output.to_lowercase();
    assert!(reason.contains("newer") || reason.contains("later"), "the reason is not named:\n{output}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let folder = crate::support::server::folder("unwritable");
    let file = folder.join("data");
    fs::write(&file, b"a file, where a directory should be").expect("writable");
    let taken = file.join("below");
    let (status, output) = Config::default().set("dataDir", taken.display()).start_in_vain();
    assert!(status.code().is_some_and(|code| code != 0), "{status}\n{output}");
    assert!(output.contains(&file.display().to_string()), "{output}");
    assert!(!output.contains("panicked"), "{output}");
    fs::remove_dir_all(&folder).expect("ours");
}
