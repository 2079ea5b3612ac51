//! When a group of the log is sealed: at once, or a moment later, for more to join it.
//!
//! While one group is synced the clients of the next one wait. If these are sealed the moment the disk is free, the clients
//! just answered find it busy again, and from then on two halves take turns: each write waits for two syncs. So the group
//! stays open while answers just given are likely to bring the next requests: until as many came as were answered, or for
//! half a sync. Whether clients do that is learnt: a pause that brought too few is a miss, and after a few misses there
//! are no more pauses, but for a try now and then. A lone writer never waits: nothing is gathered while its answer goes out.
//!
//! Called by the thread that owns the replica. No clock: time is told.

use std::time::Duration;

use crate::base::Instant;

/// Misses after which pauses are only tried.
const MISSES_MAX: u32 = 4;
/// One group of so many is such a try.
const TRY_EVERY: u32 = 64;
/// No pause is longer, however slow the disk is.
const PAUSE_MAX: Duration = Duration::from_micros(250);

#[derive(Debug, Default)]
pub struct Gather {
    /// How long a sync takes, smoothed, in nanoseconds.
    sync: u64,
    submitted: Option<Instant>,
    /// Clients answered in the turn in which the last group became durable, and what came in since.
    answered: u32,
    received: u32,
    is_answering: bool,
    durable: Instant,
    pause_until: Option<Instant>,
    misses: u32,
    groups: u32,
}

impl Gather {
    /// A group went to the disk.
    pub fn on_submitted(&mut self, now: Instant) {
        if self.pause_until.take().is_some() {
            let enough = self.received >= self.answered - self.answered / 4;
            self.misses = if enough { 0 } else { (self.misses + 1).min(MISSES_MAX) };
        }
        self.submitted = Some(now);
        (self.answered, self.received) = (0, 0);
    }

    /// It is durable: its clients are about to be answered.
    pub fn on_durable(&mut self, now: Instant) {
        if let Some(submitted) = self.submitted.take() {
            let took = u64::try_from(now.since(submitted).as_nanos()).unwrap_or(u64::MAX);
            self.sync = if self.sync == 0 { took } else { self.sync - self.sync / 8 + took / 8 };
        }
        self.groups = self.groups.wrapping_add(1);
        self.is_answering = true;
        self.durable = now;
        (self.answered, self.received) = (0, 0);
    }

    /// A client was sent what there was for it.
    pub fn on_sent(&mut self) {
        self.answered += u32::from(self.is_answering);
    }

    /// Something came from a client.
    pub fn on_received(&mut self) {
        self.received += 1;
    }

    /// For how many more clients to wait, and how long, before the group that is open is sealed. `None`: seal it now.
    pub fn patience(&mut self, now: Instant) -> Option<(usize, Duration)> {
        if self.received >= self.answered {
            return None;
        }
        let until = match self.pause_until {
            Some(until) => until,
            // Who hasn't come back within a sync is busy with something else.
            None if now.since(self.durable) > Duration::from_nanos(self.sync) => return None,
            None if self.misses >= MISSES_MAX && !self.groups.is_multiple_of(TRY_EVERY) => return None,
            None => *self.pause_until.insert(now + Duration::from_nanos(self.sync / 2).min(PAUSE_MAX)),
        };
        let left = until.since(now);
        (left > Duration::ZERO).then_some(((self.answered - self.received) as usize, left))
    }

    /// What is sent from now on answers no write of the last group.
    pub fn on_turn_end(&mut self) {
        self.is_answering = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(100);

    /// One group: `answered` clients get their answer, `requested` of them ask again during the pause. The pause granted.
    fn group(
        gather: &mut Gather,
        now: &mut Instant,
        answered: u32,
        requested: u32,
    ) -> Option<(usize, Duration)> {
        gather.on_turn_end();
        gather.on_submitted(*now);
        *now = *now + SYNC;
        gather.on_durable(*now);
        (0..answered).for_each(|_| gather.on_sent());
        let pause = gather.patience(*now);
        (0..requested).for_each(|_| gather.on_received());
        pause
    }

    #[test]
    fn a_pause_ends_when_everybody_is_back_or_half_a_sync_is_over() {
        let (mut gather, mut now) = (Gather::default(), Instant(1));
        assert_eq!(group(&mut gather, &mut now, 3, 0), Some((3, SYNC / 2)));
        assert_eq!(gather.patience(now + SYNC / 4), Some((3, SYNC / 4)));
        (0..2).for_each(|_| gather.on_received());
        assert!(gather.patience(now + SYNC / 4).is_some());
        gather.on_received();
        assert_eq!(gather.patience(now + SYNC / 4), None);
        assert_eq!(group(&mut gather, &mut now, 3, 0), Some((3, SYNC / 2)));
        assert_eq!(gather.patience(now + SYNC / 2), None);
    }

    #[test]
    fn answers_to_reads_and_old_answers_bring_no_pause() {
        let (mut gather, mut now) = (Gather::default(), Instant(1));
        assert_eq!(group(&mut gather, &mut now, 0, 0), None);
        gather.on_turn_end();
        gather.on_sent();
        assert_eq!(gather.patience(now), None);
        assert_eq!(group(&mut gather, &mut now, 1, 0), Some((1, SYNC / 2)));
        gather.on_submitted(now);
        gather.on_durable(now + SYNC);
        gather.on_sent();
        assert_eq!(gather.patience(now + SYNC * 3), None);
    }

    #[test]
    fn clients_that_do_not_come_back_are_not_waited_for() {
        let (mut gather, mut now) = (Gather::default(), Instant(1));
        let pauses = (0..640).filter(|_| group(&mut gather, &mut now, 8, 1).is_some()).count();
        assert!((4..=4 + 640 / TRY_EVERY as usize + 1).contains(&pauses), "{pauses} pauses");
        // They are back: the next try finds out.
        let pauses = (0..640).filter(|_| group(&mut gather, &mut now, 8, 8).is_some()).count();
        assert!(pauses > 640 - 2 * TRY_EVERY as usize, "{pauses} pauses");
    }

    #[test]
    fn a_slow_disk_does_not_make_a_long_pause() {
        let (mut gather, mut now) = (Gather::default(), Instant(1));
        gather.on_submitted(now);
        now = now + Duration::from_millis(50);
        gather.on_durable(now);
        gather.on_sent();
        assert_eq!(gather.patience(now), Some((1, PAUSE_MAX)));
    }
}
