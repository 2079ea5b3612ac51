//! `connection_throttle_*`: connect requests take tokens from a bucket that time fills (`BlueThrottle.java` without its
//! random part, which is off by default). Who finds none is closed without a word, and tries again. Tested below.

use std::time::Duration;

use crate::base::Instant;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the bucket holds, at the start and at the most.
    pub tokens: u32,
    pub fill_time: Duration,
    pub fill_count: u32,
}

#[derive(Debug)]
pub struct Throttle {
    settings: Settings,
    tokens: u64,
    filled: Instant,
}

impl Throttle {
    pub fn new(settings: Settings, now: Instant) -> Throttle {
        Throttle { tokens: u64::from(settings.tokens), settings, filled: now }
    }

    /// Takes a token, if there is one.
    pub fn admits(&mut self, now: Instant) -> bool {
        let passed = now.since(self.filled);
        if passed > self.settings.fill_time {
            let fill_time = self.settings.fill_time.as_nanos().max(1);
            let added = passed.as_nanos().saturating_mul(self.settings.fill_count.into()) / fill_time;
            let most = u64::from(self.settings.tokens);
            self.tokens = self.tokens.saturating_add(u64::try_from(added).unwrap_or(u64::MAX)).min(most);
            self.filled = now;
        }
        let admitted = self.tokens > 0;
        self.tokens -= u64::from(admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_with_time() {
        let start = Instant(1_000_000_000);
        let ms = Duration::from_millis;
        let mut throttle = Throttle::new(Settings { tokens: 3, fill_time: ms(10), fill_count: 2 }, start);
        let mut admitted = |now| (0..10).filter(|_| throttle.admits(now)).count();
        assert_eq!(admitted(start), 3);
        assert_eq!(admitted(start + ms(10)), 0, "as in ZooKeeper, not yet");
        assert_eq!(admitted(start + ms(11)), 2);
        assert_eq!(admitted(start + ms(60_000)), 3, "never more than it holds");
        assert_eq!(admitted(start + ms(60_015)), 3);
    }
}
