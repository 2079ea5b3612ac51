//! A disk that can be filled: a small tmpfs. Mounting it needs root.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk at a folder, until it goes out of scope.
pub struct Disk(PathBuf);

impl Disk {
    pub fn mount(folder: &Path, bytes: u64) -> Disk {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"])
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
pub fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("ballast");
    let mut file = File::options().create(true).append(true).open(&path).expect("room for a name");
    for size in [64 << 10, 4 << 10, 1] {
        // Until there is no room for `size` bytes more.
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    path
}
