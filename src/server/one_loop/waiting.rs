//! How the loop waits for the next event: asleep, or looking for it for a moment.
//!
//! What is worth looking for is told by `attention.rs`; here is also what isn't worth a sleep. Figures: tuning/looking.md.

use std::time::Duration;

use super::OneLoop;
use crate::base::Instant;
use crate::io::Clock;
use crate::server::Fatal;

/// At most so long is never slept where looking is of use: in a virtual machine a timer takes 8 µs to set and 8 to take back, and
/// being woken more. So it is at a leader that keeps a commit for the next proposal (`zab/leader/hold.rs`).
const NAP: Duration = Duration::from_micros(100);

impl OneLoop {
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Fatal> {
        if timeout == Some(Duration::ZERO) {
            return self.io.wait(timeout).map_err(Fatal::Io);
        }
        if let Some(nap) = timeout.filter(|timeout| *timeout <= NAP && self.attention.looks()) {
            // Others' turns end what is waited for, and they may want this processor.
            return self.look(Clock::instant() + nap, std::thread::yield_now).map(drop);
        }
        if !self.replica.is_idle() || self.attention.rests() {
            return self.io.wait(timeout).map_err(Fatal::Io);
        }
        let idle = Clock::instant();
        if let Some(patience) = self.attention.patience() {
            let until = idle + timeout.map_or(patience, |timeout| timeout.min(patience));
            if let Some(now) = self.look(until, || {})? {
                self.attention.on_event(idle, now);
                return Ok(());
            }
        }
        self.io.wait(timeout).map_err(Fatal::Io)?;
        self.attention.on_event(idle, Clock::instant());
        Ok(())
    }

    /// Asks again and again until something has come, and when; none until then. `between`: what is done meanwhile.
    fn look(&mut self, until: Instant, between: impl Fn()) -> Result<Option<Instant>, Fatal> {
        loop {
            self.io.wait(Some(Duration::ZERO)).map_err(Fatal::Io)?;
            let now = Clock::instant();
            if self.io.has_events() {
                return Ok(Some(now));
            }
            if now >= until {
                return Ok(None);
            }
            between();
        }
    }
}
