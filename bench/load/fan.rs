//! The watch fan-out: one znode is changed, and all sessions that watch it are told.
//!
//! Called by `load`. Pure. A round: every watcher reads the znode and leaves a watch; when all watches are there the writer, a
//! session of its own, changes the znode; each event is measured from then on, and answered with the next read. Tested:
//! `load_test.rs`.

use crate::bench::recorder::Recorder;
use crate::bench::session::{Session, Watching};
use crate::bench::workload::Kind;

pub struct Fan {
    /// The znode.
    path: Vec<u8>,
    /// The session that changes it; those before it watch.
    pub writer: usize,
    armed: usize,
    told: usize,
    /// The change that is under way, and when it was asked for.
    fired_at: Option<u64>,
}

impl Fan {
    pub fn new(path: Vec<u8>, watchers: usize) -> Fan {
        Fan { path, writer: watchers, armed: 0, told: 0, fired_at: None }
    }

    /// Everybody watches, and nothing is under way.
    pub fn is_ready(&self) -> bool {
        self.fired_at.is_none() && self.armed == self.writer
    }

    /// Somebody hasn't been told yet.
    pub fn is_under_way(&self) -> bool {
        self.fired_at.is_some()
    }

    /// The change was asked for; its latencies count from `start`.
    pub fn fired(&mut self, start: u64) {
        self.armed = 0;
        self.told = 0;
        self.fired_at = Some(start);
    }

    /// Takes note of what `session` has come to, and lets it watch again while the load `goes_on`.
    pub fn look_at(&mut self, session: &mut Session, now: u64, goes_on: bool, recorder: &mut Recorder) {
        if session.index == self.writer || session.broken {
            return;
        }
        if session.watching == Watching::Told {
            session.watching = Watching::Nothing;
            self.on_told(now, recorder);
        }
        if session.watching == Watching::Answered {
            session.watching = Watching::Armed;
            self.armed += 1;
        }
        if session.watching == Watching::Nothing && goes_on {
            session.arm(&self.path, now);
        }
    }

    fn on_told(&mut self, now: u64, recorder: &mut Recorder) {
        // Somebody else may have changed the znode.
        let Some(start) = self.fired_at else { return };
        recorder.answered(Kind::Watch, start, now);
        self.told += 1;
        if self.told == self.writer {
            recorder.answered(Kind::WatchLast, start, now);
            self.fired_at = None;
        }
    }
}
