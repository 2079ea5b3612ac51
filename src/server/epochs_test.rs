//! The record's file on a real directory: first record, changes, torn and damaged files, a start after each.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::base::Epoch;

/// A directory that is gone when it is dropped.
pub(in super::super) struct Scratch(PathBuf);

impl Scratch {
    pub(in super::super) fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringkeeper-server-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a fresh name");
        Scratch(path)
    }

    pub(in super::super) fn path(&self) -> &Path {
        &self.0
    }

    pub(in super::super) fn directory(&self) -> Directory {
        Directory::open(&self.0).expect("just made")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn epochs(accepted: i64, current: i64) -> Epochs {
    Epochs { accepted: Epoch(accepted), current: Epoch(current) }
}

fn record(directory: &Directory) -> EpochRecord {
    EpochFile::read(directory).expect("readable").0
}

#[test]
fn each_change_is_what_the_next_start_finds() {
    let scratch = Scratch::new();
    let directory = scratch.directory();
    assert_eq!(record(&directory), EpochRecord::None);
    let mut file = EpochFile::create(&directory, epochs(1, 0)).expect("room");
    assert_eq!(record(&directory), EpochRecord::Found(epochs(1, 0)));
    // That start has put a file of its own there.
    drop(file);
    file = EpochFile::read(&directory).expect("readable").1.expect("a good one");
    for accepted in 2..6 {
        file.change(epochs(accepted, 1)).expect("room");
        let bytes = directory.read(EPOCH_FILE).expect("it is there");
        assert_eq!(bytes.len(), 8192, "it never grows");
        let expected = EpochsFound::Found { accepted: Epoch(accepted), current: Epoch(1) };
        assert_eq!(decode_epochs(Some(&bytes)), expected);
    }
    drop(file);
    let names: Vec<String> =
        directory.list().expect("readable").into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [EPOCH_FILE]);
    assert_eq!(record(&directory), EpochRecord::Found(epochs(5, 1)));
}

/// The slot that the crash tore is not there any more after the next start: what counts is on the disk, whole.
#[test]
fn a_torn_change_is_forgotten_and_the_next_one_holds() {
    let scratch = Scratch::new();
    let directory = scratch.directory();
    let mut file = EpochFile::create(&directory, epochs(7, 6)).expect("room");
    file.file.write_at(0, b"RKEPOCHS\x01\0\0\0");
    file.file.persist().expect("room");
    drop(file);
    let (found, file) = EpochFile::read(&directory).expect("readable");
    assert_eq!(found, EpochRecord::Found(epochs(7, 6)));
    let mut file = file.expect("a good one");
    file.change(epochs(8, 6)).expect("room");
    file.change(epochs(8, 8)).expect("room");
    assert_eq!(record(&directory), EpochRecord::Found(epochs(8, 8)));
}

#[test]
fn a_damaged_file_stays_until_there_is_a_record_again() {
    let scratch = Scratch::new();
    let directory = scratch.directory();
    let damaged = vec![0x5a; 8192];
    directory.write_atomically(EPOCH_FILE, &damaged).expect("room");
    let (found, file) = EpochFile::read(&directory).expect("readable");
    assert_eq!(found, EpochRecord::Damaged);
    assert!(file.is_none());
    assert_eq!(directory.read(EPOCH_FILE).expect("it is there"), damaged);
    EpochFile::create(&directory, epochs(3, 3)).expect("room");
    assert_eq!(record(&directory), EpochRecord::Found(epochs(3, 3)));
}
