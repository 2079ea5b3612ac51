//! Since when the loops have been asked in vain: known to the thread that asks, and to the one that can't even pass a
//! question on, because too many wait.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::StatusCode;

use crate::base::Instant;

use super::request::Reply;

/// A server whose loops answer nothing for so long is stuck. It may be silent for a while: a member that has to make its
/// tree anew from the disk answers nobody meanwhile.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The moment in nanoseconds; 0: the last question was answered. It stands alone: no order with anything else is needed.
#[derive(Default)]
pub struct Silence(AtomicU64);

impl Silence {
    /// A question of that moment was not answered. The first of several counts.
    pub fn began(&self, asked: Instant) {
        let _ = self.0.compare_exchange(0, asked.0.max(1), Relaxed, Relaxed);
    }

    pub fn ended(&self) {
        self.0.store(0, Relaxed);
    }

    pub fn lasts(&self, now: Instant) -> Duration {
        match self.0.load(Relaxed) {
            0 => Duration::ZERO,
            since => now.since(Instant(since)),
        }
    }
}

/// What `/livez` says where nothing else is known. Others' questions are no sign of death, and who is taken for dead is
/// killed.
pub fn busy_or_dead(silence: Duration) -> Reply {
    if silence < SILENCE_MAX {
        return Reply::line(StatusCode::OK, "ok: busy");
    }
    let text = format!("not alive: the server has answered nothing for {} s", silence.as_secs());
    Reply::line(StatusCode::SERVICE_UNAVAILABLE, &text)
}
