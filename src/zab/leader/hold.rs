//! Whether a commit goes out at once, or with the next proposal.
//!
//! To a lone writer at the leader the commit is told by its reply; its next request is there some ten microseconds later, and
//! each learner is woken a second time for the same write. So where proposals have been coming that close behind commits, the
//! commit waits for the next one, within [`HOLD_MAX`]. One that waited in vain ends it, and so does a request that a
//! learner forwarded: somebody waits for its commit there.
//!
//! The one loop looks instead of sleeping for so little (`server/one_loop/waiting.rs`), unless it was told not to look.
//!
//! No clock: time is told. Tested: below, and by the virtual cluster.

use std::time::Duration;

use crate::base::Instant;

/// A learner's clients see a write later by no more than this.
const HOLD_MAX: Duration = Duration::from_micros(100);
/// Proposals that must have come within that time of a commit, one after the other.
const STREAK: u32 = 16;

#[derive(Debug, Default)]
pub(super) struct Hold {
    streak: u32,
    committed: Option<Instant>,
    /// Commits wait for a proposal, until then.
    until: Option<Instant>,
}

impl Hold {
    pub(super) fn on_commit(&mut self, now: Instant) {
        self.committed = Some(now);
        if self.streak >= STREAK && self.until.is_none() {
            self.until = Some(now + HOLD_MAX);
        }
    }

    pub(super) fn on_proposed(&mut self, now: Instant) {
        let is_close = self.committed.take().is_some_and(|at| now.since(at) <= HOLD_MAX);
        self.streak = if is_close { (self.streak + 1).min(STREAK) } else { 0 };
        self.until = None;
    }

    /// Somebody waits at a learner.
    pub(super) fn on_forwarded(&mut self) {
        *self = Hold::default();
    }

    /// What is to be told may wait.
    pub(super) fn holds(&mut self, now: Instant) -> bool {
        let in_vain = self.until.is_some_and(|at| now >= at);
        if in_vain {
            *self = Hold::default();
        }
        self.until.is_some()
    }

    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(hold: &mut Hold, now: &mut Instant, count: u32, gap: Duration) {
        for _ in 0..count {
            hold.on_commit(*now);
            *now = *now + gap;
            hold.on_proposed(*now);
            *now = *now + Duration::from_micros(200);
        }
    }

    #[test]
    fn a_commit_waits_only_where_proposals_follow_closely() {
        let (mut hold, mut now) = (Hold::default(), Instant(1));
        rounds(&mut hold, &mut now, STREAK - 1, HOLD_MAX / 2);
        hold.on_commit(now);
        assert!(!hold.holds(now), "not yet");
        hold.on_proposed(now);
        hold.on_commit(now);
        assert!(hold.holds(now) && hold.next_wakeup() == Some(now + HOLD_MAX));
        hold.on_commit(now + HOLD_MAX / 2);
        assert_eq!(hold.next_wakeup(), Some(now + HOLD_MAX), "the first one counts");
        hold.on_proposed(now + HOLD_MAX / 2);
        assert!(!hold.holds(now + HOLD_MAX / 2), "it goes with the proposal");
    }

    #[test]
    fn one_that_waited_in_vain_ends_it() {
        let (mut hold, mut now) = (Hold::default(), Instant(1));
        rounds(&mut hold, &mut now, STREAK, HOLD_MAX / 2);
        hold.on_commit(now);
        assert!(hold.holds(now) && !hold.holds(now + HOLD_MAX));
        rounds(&mut hold, &mut now, STREAK - 1, HOLD_MAX / 2);
        hold.on_commit(now);
        assert!(!hold.holds(now));
    }

    #[test]
    fn nobody_at_a_learner_waits_for_it() {
        let (mut hold, mut now) = (Hold::default(), Instant(1));
        rounds(&mut hold, &mut now, STREAK, HOLD_MAX / 2);
        hold.on_forwarded();
        hold.on_commit(now);
        assert!(!hold.holds(now));
    }

    #[test]
    fn slow_writers_are_told_of_at_once() {
        let (mut hold, mut now) = (Hold::default(), Instant(1));
        rounds(&mut hold, &mut now, 1000, HOLD_MAX * 2);
        hold.on_commit(now);
        assert!(!hold.holds(now));
    }
}
