//! How the loop waits for the next event: asleep, or looking for it for a moment.
//!
//! What is worth looking for is told by `attention.rs`; here is also what it is never worth to sleep for. Figures: tuning/looking.md.

use std::time::Duration;

use super::OneLoop;
use crate::io::Clock;
use crate::server::Fatal;

/// For less nobody sleeps: in a virtual machine a timer takes 8 µs to set and 8 to take back, and being woken more. So it is at a
/// leader that keeps a commit for the next proposal (`zab/leader/hold.rs`).
const NAP: Duration = Duration::from_micros(100);

impl OneLoop {
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Fatal> {
        if timeout == Some(Duration::ZERO) {
            return self.io.wait(timeout).map_err(Fatal::Io);
        }
        if let Some(nap) = timeout.filter(|timeout| *timeout <= NAP && self.attention.looks()) {
            return self.look(nap);
        }
        if !self.replica.is_idle() || self.attention.rests() {
            return self.io.wait(timeout).map_err(Fatal::Io);
        }
        let idle = Clock::instant();
        if let Some(patience) = self.attention.patience() {
            let until = idle + timeout.map_or(patience, |timeout| timeout.min(patience));
            loop {
                self.io.wait(Some(Duration::ZERO)).map_err(Fatal::Io)?;
                let now = Clock::instant();
                if self.io.has_events() {
                    self.attention.on_event(idle, now);
                    return Ok(());
                }
                if now >= until {
                    break;
                }
            }
        }
        self.io.wait(timeout).map_err(Fatal::Io)?;
        self.attention.on_event(idle, Clock::instant());
        Ok(())
    }

    /// Instead of sleeping for so long; whoever else wants the processor gets it in between.
    fn look(&mut self, patience: Duration) -> Result<(), Fatal> {
        let until = Clock::instant() + patience;
        loop {
            self.io.wait(Some(Duration::ZERO)).map_err(Fatal::Io)?;
            if self.io.has_events() || Clock::instant() >= until {
                return Ok(());
            }
            std::thread::yield_now();
        }
    }
}
