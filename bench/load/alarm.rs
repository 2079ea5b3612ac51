//! Ends a wait on epoll at a time to the nanosecond.
//!
//! Called by `poll_driver` and `storm`. `epoll_wait` counts its timeout in milliseconds, and rounds up; `epoll_pwait2`, which
//! doesn't, is missing before Linux 5.11 and in older containers' filters. With such waits requests go out together, each
//! millisecond, and half of one is in every latency.

use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;

/// The data of its event: no session has that number.
const RINGS: u64 = u64::MAX;

pub struct Alarm {
    timer: OwnedFd,
    /// Of `clock::now`. Zero: it isn't set.
    at: u64,
}

impl Alarm {
    pub fn on(epoll: &OwnedFd) -> io::Result<Alarm> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        // At the edge, so that it needn't be read.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(epoll, &timer, epoll::EventData::new_u64(RINGS), flags)?;
        Ok(Alarm { timer, at: 0 })
    }

    /// Rings once, at `at`, and not when it was set for before. A time that has passed is now.
    pub fn set(&mut self, at: u64) -> io::Result<()> {
        if at == self.at {
            return Ok(());
        }
        let it_value = Timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as i64 };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval, it_value })?;
        self.at = at;
        Ok(())
    }

    /// Its event has come. To be told of each: until then it is set.
    pub fn rang(&mut self) {
        self.at = 0;
    }

    pub fn is_set(&self) -> bool {
        self.at > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::clock;

    /// The soonest of many: what other processes do meanwhile makes some late, not all of them.
    #[test]
    fn it_rings_at_its_time_and_not_a_millisecond_later() {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let mut alarm = Alarm::on(&epoll).expect("a timer");
        let mut late = u64::MAX;
        for _ in 0..200 {
            let at = clock::now() + 100_000;
            alarm.set(at).expect("set");
            let mut events =
                [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 4];
            assert_eq!(epoll::wait(&epoll, &mut events[..], None), Ok(1));
            assert_eq!({ events[0].data }.u64(), RINGS);
            assert!(alarm.is_set());
            alarm.rang();
            assert!(!alarm.is_set());
            let now = clock::now();
            assert!(now >= at, "{} ns early", at - now);
            late = late.min(now - at);
        }
        assert!(late < 700_000, "the soonest of 200 was {late} ns late");
    }
}
