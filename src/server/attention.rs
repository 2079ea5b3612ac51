//! Whether a loop that has nothing to do sleeps at once, or looks for a moment first.
//!
//! To be woken costs more than most requests do: 10 µs and more where the machine is a virtual one. A client that waits for
//! each of its answers sends the next request about then. So where events have been coming that close together, a loop
//! looks for as long as the next one should take, and then sleeps. What is looked for in vain is bounded: one long gap and
//! the average is above the limit, until sleeping has shown short ones again.
//!
//! Not while a write waits for the disk, nor right after: that takes longer.
//! Figures: tuning/looking.md. Called by the one-loop placement. No clock: time is told.

use std::time::Duration;

use crate::base::Instant;

/// What a single gap may count for, in nanoseconds.
const COUNTED_MAX: u64 = 250_000;

/// Events after a write that don't count: who does nothing but write is never looked for.
const REST: u32 = 16;

#[derive(Debug)]
pub struct Attention {
    /// Gaps above this aren't worth it, in nanoseconds. Zero: none is.
    gap_max: u64,
    /// From having nothing to do to the next event, smoothed, in nanoseconds. Zero: not known.
    gap: u64,
    /// Events until gaps count again.
    rest: u32,
}

impl Attention {
    /// `look`: how long to look at the most. With one processor nobody looks: it would keep the client from its.
    pub fn new(look: Option<Duration>, processors: usize) -> Attention {
        let look = look.filter(|_| processors > 1).unwrap_or_default();
        Attention { gap_max: u64::try_from(look.as_nanos()).unwrap_or(u64::MAX), gap: 0, rest: 0 }
    }

    /// Whether looking is of use here at all.
    pub fn looks(&self) -> bool {
        self.gap_max > 0
    }

    /// How long to look before sleeping. `None`: sleep at once.
    pub fn patience(&self) -> Option<Duration> {
        (self.gap > 0 && self.gap < self.gap_max)
            .then(|| Duration::from_nanos((self.gap * 2).min(self.gap_max)))
    }

    /// A write is done. Its client's next one gains nothing if it comes a moment sooner (tuning/looking.md).
    pub fn on_write(&mut self) {
        (self.gap, self.rest) = (0, REST);
    }

    /// There is no use in telling `on_event` the time.
    pub fn rests(&mut self) -> bool {
        self.rest = self.rest.saturating_sub(1);
        self.gap_max == 0 || self.rest > 0
    }

    /// Something came after the loop had nothing to do since `idle`.
    pub fn on_event(&mut self, idle: Instant, now: Instant) {
        let gap = u64::try_from(now.since(idle).as_nanos()).unwrap_or(u64::MAX).clamp(1, COUNTED_MAX);
        self.gap = if self.gap == 0 { gap } else { self.gap - self.gap / 8 + gap / 8 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(attention: &mut Attention, micros: u64, count: usize) {
        for _ in 0..count {
            attention.on_event(Instant(1), Instant(1 + micros * 1000));
        }
    }

    #[test]
    fn only_short_gaps_are_looked_through() {
        let look = Some(Duration::from_micros(30));
        let mut attention = Attention::new(look, 2);
        assert!(attention.looks());
        assert_eq!(attention.patience(), None);
        gaps(&mut attention, 10, 100);
        let patience = attention.patience().expect("events are close together");
        assert!(patience >= Duration::from_micros(15) && patience <= Duration::from_micros(30));
        gaps(&mut attention, 1_000_000, 1);
        assert_eq!(attention.patience(), None, "one long gap ends it");
        gaps(&mut attention, 15, 30);
        assert!(attention.patience().is_some());
        gaps(&mut attention, 100, 30);
        assert_eq!(attention.patience(), None);
        gaps(&mut attention, 10, 30);
        assert!(!attention.rests());
        attention.on_write();
        assert_eq!(attention.patience(), None);
        assert_eq!((0..20).filter(|_| attention.rests()).count(), REST as usize - 1);
    }

    #[test]
    fn nobody_looks_who_was_told_not_to_or_is_alone() {
        for mut attention in [Attention::new(None, 8), Attention::new(Some(Duration::from_micros(30)), 1)] {
            assert!(!attention.looks());
            gaps(&mut attention, 10, 100);
            assert_eq!(attention.patience(), None);
        }
    }
}
