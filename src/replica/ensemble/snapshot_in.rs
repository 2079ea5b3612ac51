//! SNAP, received: the leader's tree as Apache's snapshot body, stored as a snapshot file of ours, then loaded like any.
//!
//! The stream goes into a tree of its own while the old one stays; that tree is written out, a bounded piece per turn; when
//! the file is synced the driver starts this member anew from it, with nothing in the log behind it.
//! Its end is not held for committed before UPTODATE (`zab::learner` says why).
//! The old tree, the new one and what waits for the file are in memory at the same time.
//! After one that can't be used or stored this member takes no part for a while ([`Pause`]).

use std::time::Duration;

use crate::base::{Instant, SessionId, Zxid};
use crate::log::SnapshotEncoder;
use crate::tree::{JavaLoad, Store};
use crate::zab::election;

use super::super::{Output, Replica, SnapshotCommand};

/// Behind the tree in SNAP's stream: a string.
pub(super) const SNAPSHOT_END: &[u8] = b"\0\0\0\x0aBenWasHere";
/// Of the file, what may wait for the disk, and what one turn adds.
const AHEAD_BYTES_MAX: u64 = 8 << 20;
const SLICE_NODES: usize = 4096;
const SLICE_BYTES: usize = 1 << 20;

pub struct Install {
    zxid: Zxid,
    store: Store,
    stage: Stage,
    /// What came behind the tree: the end mark, then packets.
    rest: Vec<u8>,
}

/// After a snapshot that couldn't be used: a leader goes through all of its tree for each that it sends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pause {
    end: Option<Instant>,
    length: Duration,
}

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

impl Pause {
    /// Each is twice as long as the one before. Gives back how long this one is.
    fn begin(&mut self, now: Instant) -> Duration {
        self.length = (self.length * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.end = Some(now + self.length);
        self.length
    }

    /// False from its end on, which is passed then.
    pub fn goes_on(&mut self, now: Instant) -> bool {
        self.end = self.end.filter(|end| now < *end);
        self.end.is_some()
    }

    pub fn end(&self) -> Option<Instant> {
        self.end
    }
}

enum Stage {
    Loading(Box<JavaLoad>),
    /// Until the last node is written.
    Writing {
        encoder: Box<SnapshotEncoder>,
        emitted: u64,
        progress: u64,
    },
    /// Until the file is synced.
    Syncing,
    /// Until the driver has started anew.
    Reloading,
}

impl Install {
    /// A turn of its own would write more of it.
    pub fn may_go_on(&self) -> bool {
        matches!(&self.stage, Stage::Writing { emitted, progress, .. } if emitted - progress < AHEAD_BYTES_MAX)
    }

    /// The file is, or may be, under its final name: what the disk holds is this and not the old tree.
    pub fn is_stored(&self) -> bool {
        matches!(self.stage, Stage::Syncing | Stage::Reloading)
    }

    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// A file is begun.
    pub fn is_writing(&self) -> bool {
        matches!(self.stage, Stage::Writing { .. })
    }
}

impl Replica {
    pub(super) fn begin_install(&mut self, zxid: Zxid, outputs: &mut Vec<Output>) {
        let key = self.settings.hash_key;
        let (store, _) = crate::tree::tree(key, 0);
        tracing::info!(%zxid, "the leader sends a snapshot");
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        if zxid < ensemble.committed {
            let problem = format!("{zxid} lacks what is committed: {}", ensemble.committed);
            return self.refuse_install(&problem, outputs);
        }
        let stage = Stage::Loading(Box::new(JavaLoad::new(zxid, key)));
        ensemble.install = Some(Box::new(Install { zxid, store, stage, rest: vec![] }));
    }

    /// The driver has started anew from the snapshot. Its zxid, and what came behind it.
    pub(super) fn take_installed(&mut self) -> Option<(Zxid, Vec<u8>)> {
        let ensemble = self.ensemble.as_deref_mut()?;
        let install = ensemble.install.take()?;
        ensemble.pause = Pause::default();
        let zxid = install.zxid;
        if self.settings.digests {
            self.digests.distrust();
        }
        Some((zxid, install.rest))
    }

    pub(super) fn on_snapshot_bytes(&mut self, bytes: &[u8], outputs: &mut Vec<Output>) {
        match self.feed_install(bytes) {
            Ok(None) => {}
            Ok(Some(sessions)) => self.store_install(&sessions, outputs),
            Err(problem) => self.refuse_install(&problem, outputs),
        }
    }

    /// The sessions, when all of it is there.
    fn feed_install(&mut self, bytes: &[u8]) -> Result<Option<Vec<(SessionId, i32)>>, String> {
        let Some(install) = self.install() else { return Ok(None) };
        let Install { store, stage, rest, .. } = install;
        let Stage::Loading(load) = stage else {
            rest.extend_from_slice(bytes);
            return Ok(None);
        };
        let taken = load.feed(store, bytes).map_err(|error| error.to_string())?;
        rest.extend_from_slice(&bytes[taken..]);
        if !load.is_complete() || rest.len() < SNAPSHOT_END.len() {
            return Ok(None);
        }
        if !rest.starts_with(SNAPSHOT_END) {
            return Err("it does not end as one does".to_owned());
        }
        rest.drain(..SNAPSHOT_END.len());
        let Stage::Loading(load) = std::mem::replace(stage, Stage::Syncing) else {
            unreachable!("it was loading just now")
        };
        let body = load.finish(store).map_err(|error| error.to_string())?;
        if let Some(ensemble) = self.ensemble.as_deref_mut() {
            ensemble.lacks_lists = body.lacks_lists;
        }
        Ok(Some(body.sessions))
    }

    /// No part in the ensemble for a while: the next leader's snapshot would be the same.
    fn refuse_install(&mut self, problem: &str, outputs: &mut Vec<Output>) {
        let now = self.now.instant;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        // No file of it is under way: nothing would come that this member waited for.
        ensemble.install = None;
        let pause = ensemble.pause.begin(now).as_secs();
        self.leave_role(
            &format!("the leader's snapshot: {problem}. The next is asked for in {pause} s"),
            outputs,
        );
        self.close_held(outputs);
        self.elect(election::Input::Withdraw, outputs);
    }

    /// The tree is there: begins its file.
    fn store_install(&mut self, sessions: &[(SessionId, i32)], outputs: &mut Vec<Output>) {
        self.abandon_snapshot(outputs);
        let salt = self.snapshots.draw_salt();
        let Some(install) = self.install() else { return };
        let zxid = install.zxid;
        install.store.publish(zxid);
        let mut sessions = sessions.to_vec();
        sessions.sort_unstable();
        let head = install.store.begin_snapshot(&sessions);
        let (mut encoder, header) = SnapshotEncoder::new(zxid, salt);
        let head = encoder.chunk(1, |chunk| chunk.extend_from_slice(&head));
        let emitted = (header.len() + head.len()) as u64;
        outputs.push(Output::Snapshot(SnapshotCommand::Create { zxid }));
        outputs.push(Output::Snapshot(SnapshotCommand::Append { bytes: header }));
        outputs.push(Output::Snapshot(SnapshotCommand::Append { bytes: head }));
        install.stage = Stage::Writing { encoder: Box::new(encoder), emitted, progress: 0 };
    }

    /// One turn's share of the file.
    pub(super) fn continue_install(&mut self, outputs: &mut Vec<Output>) {
        let Some(install) = self.install().filter(|install| install.may_go_on()) else { return };
        let Install { zxid, store, stage, .. } = install;
        let Stage::Writing { encoder, emitted, .. } = stage else { return };
        let mut more = true;
        let bytes = encoder.chunk(1, |chunk| more = store.continue_snapshot(SLICE_NODES, SLICE_BYTES, chunk));
        *emitted += bytes.len() as u64;
        outputs.push(Output::Snapshot(SnapshotCommand::Append { bytes }));
        if !more {
            let Stage::Writing { encoder, .. } = std::mem::replace(stage, Stage::Syncing) else { return };
            outputs.push(Output::Snapshot(SnapshotCommand::Append { bytes: encoder.finish() }));
            outputs.push(Output::Snapshot(SnapshotCommand::Install { zxid: *zxid }));
        }
    }

    fn install(&mut self) -> Option<&mut Install> {
        self.ensemble.as_deref_mut()?.install.as_deref_mut()
    }

    /// True if it was the file of a snapshot that is being received.
    pub(in super::super) fn on_install_progress(&mut self, bytes: u64) -> bool {
        let Some(Install { stage: Stage::Writing { progress, .. }, .. }) = self.install() else {
            return self.install().is_some();
        };
        *progress += bytes;
        true
    }

    /// Likewise.
    pub(in super::super) fn on_install_done(&mut self, zxid: Zxid, outputs: &mut Vec<Output>) -> bool {
        let Some(install) = self.install().filter(|install| install.zxid == zxid) else { return false };
        install.stage = Stage::Reloading;
        self.reload(zxid, outputs);
        true
    }

    /// Likewise.
    pub(in super::super) fn on_install_failed(
        &mut self,
        zxid: Zxid,
        reason: &str,
        outputs: &mut Vec<Output>,
    ) -> bool {
        if self.install().is_none_or(|install| install.zxid != zxid) {
            return false;
        }
        if let Some(ensemble) = self.ensemble.as_deref_mut() {
            ensemble.install = None;
        }
        self.refuse_install(&format!("it can't be stored: {reason}"), outputs);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_forgotten_when_they_are_over() {
        let mut now = Instant(7);
        let mut pause = Pause::default();
        assert!(!pause.goes_on(now) && pause.end().is_none());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let length = pause.begin(now);
            assert_eq!(length, Duration::from_secs(seconds));
            assert!(pause.goes_on(now));
            now = now + length;
            assert_eq!(pause.end(), Some(now));
            // Who asks forgets it: nobody is woken for a time that has passed.
            assert!(!pause.goes_on(now));
            assert_eq!(pause.end(), None);
        }
    }
}
