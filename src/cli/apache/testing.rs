//! For tests: a tree, the transactions that made it, and the files that Apache ZooKeeper would have written of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::snapshot_writer;
use crate::base::{HashKey, SessionId, WallMillis, Zxid};
use crate::tree::{Outcome, Store};
use crate::wire::txn::{
    CreateContainerTxn, CreateSessionTxn, CreateTxn, DeleteTxn, Entry, SetDataTxn, Txn, TxnDigest,
};
use crate::wire::{Encode, Text};

pub const KEY: HashKey = HashKey(5, 6);
pub const SESSION: SessionId = SessionId(0x0100_0000_0000_0001);

pub struct World {
    pub store: Store,
    pub sessions: Vec<(SessionId, i32)>,
    /// One per transaction, the first has zxid 1.
    pub entries: Vec<Vec<u8>>,
}

impl World {
    /// What every tree begins with.
    pub fn new() -> World {
        let (mut store, _) = crate::tree::tree(KEY, 0);
        store.plant();
        World { store, sessions: vec![], entries: vec![] }
    }

    /// Kinds of nodes, a session, a failed write: 8 transactions.
    pub fn small() -> World {
        let mut world = World::new();
        world.apply(&Txn::CreateSession(CreateSessionTxn { timeout_ms: 30_000 }));
        world.create("/a", b"one", false);
        world.create("/a/e", b"mine", true);
        world.create("/b", b"", false);
        world.set("/a", b"two", 1);
        let parent_cversion = world.next_cversion("/c");
        let (path, data, acl) = (text("/c"), None, None);
        world.apply(&Txn::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion }));
        world.apply(&Txn::Error(crate::wire::txn::ErrorTxn { err: -101 }));
        world.delete("/b");
        world
    }

    pub fn apply(&mut self, txn: &Txn<'_>) {
        let zxid = Zxid(self.entries.len() as i64 + 1);
        let entry = Entry::new(SESSION, 7, zxid, WallMillis(1_000_000_000_000 + zxid.0), *txn, None);
        match self.store.apply(&entry.header, txn).outcome {
            Outcome::SessionCreated { timeout_ms } => self.sessions.push((SESSION, timeout_ms)),
            Outcome::SessionClosed => self.sessions.clear(),
            _ => {}
        }
        self.store.publish(zxid);
        self.store.reclaim(usize::MAX);
        let digest = TxnDigest::of(self.store.digest());
        let digest = (!matches!(txn, Txn::Error(_))).then_some(digest);
        let mut bytes = vec![];
        Entry { digest, ..entry }.encode(&mut bytes);
        self.entries.push(bytes);
    }

    pub fn create(&mut self, path: &str, data: &[u8], ephemeral: bool) {
        let parent_cversion = self.next_cversion(path);
        let (path, data) = (text(path), Some(data));
        self.apply(&Txn::Create(CreateTxn { path, data, acl: None, ephemeral, parent_cversion }));
    }

    fn next_cversion(&self, path: &str) -> i32 {
        let parent = crate::base::parent(path.as_bytes()).expect("not the root");
        self.store.find(parent).expect("there").1.cversion + 1
    }

    pub fn set(&mut self, path: &str, data: &[u8], version: i32) {
        self.apply(&Txn::SetData(SetDataTxn { path: text(path), data: Some(data), version }));
    }

    pub fn delete(&mut self, path: &str) {
        self.apply(&Txn::Delete(DeleteTxn { path: text(path) }));
    }

    /// A snapshot of the tree as it is.
    pub fn snapshot(&mut self) -> Vec<u8> {
        let mut file = vec![];
        let sessions = self.sessions.clone();
        let written: Result<(), ()> = snapshot_writer::encode(&mut self.store, sessions, |piece| {
            file.extend_from_slice(piece);
            Ok(())
        });
        written.expect("memory");
        file
    }

    /// A log of the transactions from the `first` to the `last`, counted from 1, and a piece of what is kept ready.
    pub fn log(&self, first: usize, last: usize) -> Vec<u8> {
        log_of(&self.entries[first - 1..last], 64)
    }
}

pub fn text(text: &str) -> Text<'_> {
    Text::from(text)
}

pub fn log_of(entries: &[Vec<u8>], zeroes: usize) -> Vec<u8> {
    let mut file = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    for entry in entries {
        file.extend(u64::from(adler2::adler32_slice(entry)).to_be_bytes());
        file.extend((entry.len() as u32).to_be_bytes());
        file.extend(entry);
        file.push(b'B');
    }
    file.extend(vec![0; zeroes]);
    file
}

/// A directory that is gone when it is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringkeeper-cli-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a fresh name");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file into its `version-2`.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.0.join("version-2")).expect("room");
        fs::write(self.0.join("version-2").join(name), bytes).expect("room");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
