//! Who must be woken: the atomic half of a doorbell. The half which sleeps and wakes (an eventfd) is `io`'s.
//!
//! The sleeper: empty all queues; `prepare_sleep`; if false, something came meanwhile: look at the queues again; if
//! true, sleep in the kernel; then `awake` and look at the queues. A ringer: put something in a queue; `ring`; if
//! true, make the system call which wakes the sleeper.
//!
//! ```text
//! AWAKE --ring--> RUNG --prepare_sleep (false)--> AWAKE
//! AWAKE --prepare_sleep (true)--> ASLEEP --ring (true)--> RUNG --awake--> AWAKE
//! ```
//! No wake-up is lost: all changes of the one word are read-modify-writes, so they have one order. A ring lands
//! either before `prepare_sleep`, which then says false, or after it, and then `ring` says true. Either way the
//! sleeper's change reads the ringer's (Acquire reads Release), so it sees what was put in the queue before. Only
//! the first ring of a sleep pays for a system call.
//!
//! Any number of ringers, one sleeper. Tested: below, `loom_test.rs`.

use crossbeam::utils::CachePadded;

use super::sync::{AtomicU32, Ordering};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const RUNG: u32 = 2;

/// Shared by the sleeper and its ringers, by reference.
pub struct Doorbell {
    state: CachePadded<AtomicU32>,
}

impl Default for Doorbell {
    fn default() -> Doorbell {
        Doorbell::new()
    }
}

impl Doorbell {
    pub fn new() -> Doorbell {
        Doorbell { state: CachePadded::new(AtomicU32::new(AWAKE)) }
    }

    /// Says that there is something to look at. True: the sleeper sleeps, and this caller must wake it.
    #[inline]
    #[must_use = "true means that the sleeper must be woken"]
    pub fn ring(&self) -> bool {
        self.state.swap(RUNG, Ordering::AcqRel) == ASLEEP
    }

    /// Before sleeping. False: it was rung since the last `prepare_sleep` or `awake`, don't sleep.
    #[must_use = "false means that there is something to look at"]
    pub fn prepare_sleep(&self) -> bool {
        let slept = self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if !slept {
            self.awake();
        }
        slept
    }

    /// After sleeping, whatever ended the sleep; before the queues are looked at.
    pub fn awake(&self) {
        self.state.swap(AWAKE, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_a_sleeper_is_woken_and_only_once() {
        let bell = Doorbell::new();
        assert!(!bell.ring(), "it is awake");
        assert!(!bell.prepare_sleep(), "rung meanwhile");
        assert!(bell.prepare_sleep());
        assert!(bell.ring());
        assert!(!bell.ring(), "the first ringer wakes it");
        bell.awake();
        assert!(bell.prepare_sleep());
        bell.awake();
        assert!(!bell.ring(), "it woke for another reason");
    }
}
