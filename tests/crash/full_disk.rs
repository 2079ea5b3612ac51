//! A disk that runs full under a running server: writes are refused, reads go on, and it recovers by itself.
//!
//! Mounts a small tmpfs, so it needs root.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringkeeper::wire::ErrorCode;

use crate::support::client::PERSISTENT;
use crate::support::{Client, Config, until};

/// Room for two segments, a snapshot, and then not much.
const DISK_BYTES: u64 = 48 << 20;
/// One segment: large enough that the server has noticed long before it is used up.
const SEGMENT_KIB: u64 = 8 << 10;

struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path) -> Disk {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "none"])
            .arg(folder)
            .status()
            .unwrap_or_else(|error| panic!("mount: {error}"));
        assert!(
            status.success(),
            "this test mounts a tmpfs to fill it: run it as root, where mounting is allowed"
        );
        Disk(folder.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
        // An empty folder by now, or one that `cargo clean` removes.
        let _left = fs::remove_dir(&self.0);
    }
}

/// Fills the rest of the disk; gives the file that holds it.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("ballast");
    let mut file = File::options().create(true).append(true).open(&path).expect("room for a name");
    for size in [64 << 10, 4 << 10, 1] {
        // Until there is no room for `size` bytes more.
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    path
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself() {
    let folder = crate::support::server::folder("disk");
    let disk = Disk::mount(&folder);
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
