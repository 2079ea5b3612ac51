//! From what the disk holds to a running replica: newest good snapshot, then the log behind it.
//!
//! The driver reads files and hands in bytes; nothing here knows where they came from.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::{Now, SessionId, Zxid};
use crate::log;
use crate::tree::{self, Head, LoadError, Outcome, Overlay, Reader, Record, Sessions, Store};
use crate::wire::txn::Entry;
use crate::wire::{self, Decode};
use crate::zab::History;

use super::{
    Replica, Settings, containers::Reaper, digests::Digests, proposals::Proposals, snapshots::Snapshots,
    standstill::Standstill, throttle::Throttle,
};

/// The disk's content can't be made a server of.
#[derive(Debug)]
pub enum BootError {
    Snapshot { zxid: Zxid, error: LoadError },
    Transaction { zxid: Zxid, error: String },
}

impl std::fmt::Display for BootError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BootError::Snapshot { zxid, error } => write!(f, "snapshot {zxid}: {error}"),
            BootError::Transaction { zxid, error } => write!(f, "transaction {zxid} can't be read: {error}"),
        }
    }
}

/// A replica under construction.
pub struct Boot {
    settings: Settings,
    now: Now,
    store: Store,
    readers: Vec<Reader>,
    sessions: Sessions,
    applied: Zxid,
    replayed: u64,
    head: Option<Head>,
    progress: tree::Progress,
    history: Option<History>,
    digests: Digests,
}

/// What a finished boot hands over.
pub struct Start {
    pub replica: Replica,
    /// One per shard.
    pub readers: Vec<Reader>,
    /// A member's: the newest transactions of its log, those behind the snapshot.
    pub history: Option<History>,
}

impl Boot {
    pub fn new(settings: Settings, shards: usize, now: Now) -> Boot {
        let (store, readers) = tree::tree(settings.hash_key, shards);
        let sessions = Sessions::new(settings.server, settings.tick, settings.hash_key, now.instant);
        let progress = tree::Progress::default();
        let history = settings.history.map(|limits| History::new(limits, Zxid::ZERO));
        // The snapshot may be one of a leader's, and fuzzy.
        let mut digests = Digests::default();
        digests.distrust();
        Boot {
            settings,
            now,
            store,
            readers,
            sessions,
            applied: Zxid::ZERO,
            replayed: 0,
            head: None,
            progress,
            history,
            digests,
        }
    }

    /// The next chunk of the snapshot's payload.
    pub fn load(&mut self, zxid: Zxid, chunk: &[u8]) -> Result<(), BootError> {
        let fault = |error| BootError::Snapshot { zxid, error };
        let Some(head) = &self.head else {
            let (head, rest) = Head::decode(chunk).map_err(fault)?;
            if head.zxid != zxid || !rest.is_empty() {
                return Err(fault(LoadError { what: "the head is another snapshot's", path: "/".into() }));
            }
            for &(id, timeout_ms) in &head.sessions {
                self.sessions.add(id, timeout_ms, self.now.instant);
            }
            self.head = Some(head);
            return Ok(());
        };
        let zxid = head.zxid;
        let mut rest = chunk;
        // Chunks end where a record ends: the walk writes whole nodes.
        while !rest.is_empty() {
            let (record, behind) = Record::decode(rest).map_err(fault)?;
            self.store.load(zxid, record, &mut self.progress).map_err(fault)?;
            rest = behind;
        }
        Ok(())
    }

    /// The snapshot is complete.
    pub fn loaded(&mut self) -> Result<(), BootError> {
        let head = self.head.take().ok_or_else(|| BootError::Snapshot {
            zxid: Zxid::ZERO,
            error: LoadError { what: "there is no head", path: "/".into() },
        })?;
        self.store
            .check_loaded(&head, &self.progress)
            .map_err(|error| BootError::Snapshot { zxid: head.zxid, error })?;
        self.applied = head.zxid;
        if let Some(history) = &mut self.history {
            history.restart(head.zxid);
        }
        Ok(())
    }

    /// There is no snapshot: the tree every server begins with.
    pub fn plant(&mut self) {
        self.store.plant();
    }

    /// At the znodes of transactions that are replayed next (`tree::ahead`).
    pub fn look_ahead<'p>(&self, payloads: impl Iterator<Item = &'p [u8]>) {
        self.store.look_ahead(payloads.map(tree::ahead::path_in_logged));
    }

    /// A transaction of the log. Those the snapshot contains are passed over.
    pub fn replay(&mut self, zxid: Zxid, payload: &[u8]) -> Result<(), BootError> {
        if zxid <= self.applied {
            return Ok(());
        }
        let Entry { header, txn, digest } = Entry::decode(&mut wire::Reader::new(payload))
            .map_err(|error| BootError::Transaction { zxid, error: error.to_string() })?;
        if header.zxid != zxid {
            let error = format!("it names itself {}", header.zxid);
            return Err(BootError::Transaction { zxid, error });
        }
        match self.store.apply(&header, &txn).outcome {
            Outcome::SessionCreated { timeout_ms } => {
                self.sessions.add(header.client_id, timeout_ms, self.now.instant);
            }
            Outcome::SessionClosed => self.sessions.remove(header.client_id),
            _ => {}
        }
        if self.settings.digests {
            self.digests.compare(zxid, digest, self.store.digest());
        }
        self.applied = zxid;
        self.replayed += 1;
        if let Some(history) = &mut self.history {
            history.push(zxid, Bytes::copy_from_slice(payload));
            history.trim(zxid);
        }
        // Nobody reads yet: what is superseded can go at once.
        self.store.publish(zxid);
        self.store.reclaim(usize::MAX);
        Ok(())
    }

    /// What there is by now, to be looked at.
    pub fn tree(&mut self) -> (&mut Store, Vec<(SessionId, i32)>) {
        self.store.publish(self.applied);
        (&mut self.store, self.sessions.list())
    }

    pub fn applied(&self) -> Zxid {
        self.applied
    }

    pub fn replayed(&self) -> u64 {
        self.replayed
    }

    /// Nodes of sessions that don't exist: there are none in what we wrote ourselves, so they are only reported.
    pub fn orphans(&self) -> Vec<SessionId> {
        self.store.orphans(|session| self.sessions.contains(session))
    }

    /// The tree and its sessions alone, where no server is to be made of them.
    pub fn into_tree(mut self) -> (Store, Vec<(SessionId, i32)>) {
        self.store.publish(self.applied);
        self.store.reclaim(usize::MAX);
        (self.store, self.sessions.list())
    }

    pub fn finish(mut self, log: log::Writer, snapshots: Vec<Zxid>) -> Start {
        self.store.publish(self.applied);
        self.store.reclaim(usize::MAX);
        self.store.take_work();
        // Announced here and not by the threads that read: when they take over, more may be published, and notices of it wait
        // for them.
        for reader in &mut self.readers {
            reader.enter();
        }
        let mut snapshots = Snapshots::new(self.settings.snapshots.clone(), snapshots);
        snapshots.on_replayed(self.replayed);
        self.digests.trust();
        let replica = Replica {
            now: self.now,
            overlay: Overlay::new(self.settings.hash_key, self.settings.digests),
            sessions: self.sessions,
            log,
            proposals: Proposals::new(self.applied),
            deferred: VecDeque::new(),
            proposed: self.applied,
            applied: self.applied,
            snapshots,
            digests: self.digests,
            reaper: Reaper::new(
                &self.settings.containers,
                self.settings.rules.extended_types,
                self.now.instant,
            ),
            throttle: self
                .settings
                .throttle
                .clone()
                .map(|settings| Throttle::new(settings, self.now.instant)),
            quota_warned: None,
            budget: self.settings.turn_budget,
            space_low: false,
            sessions_expired: 0,
            waiting: VecDeque::new(),
            ensemble: None,
            standstill: Standstill::default(),
            is_running: false,
            scratch: tree::Scratch::default(),
            closing: None,
            seen_ahead: Zxid::ZERO,
            settings: self.settings,
            store: self.store,
        };
        Start { replica, readers: self.readers, history: self.history }
    }
}
