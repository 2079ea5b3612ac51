//! When containers and TTL nodes are looked at: ZooKeeper's ContainerManager, as a schedule.
//!
//! Every `check_interval` a sweep goes through the store's list of them, in slot order, and deletes those that have
//! served their time, not more than `per_minute`; what it deletes are transactions like any other. A sweep looks at a
//! bounded number of them per step and goes on at the next wakeup. While it lasts no other begins.
//! Tested: containers_test.rs.

use std::time::Duration;

use crate::base::{Instant, SessionId, limits};
use crate::tree::{self, Lifetimes};
use crate::wire::txn::{Entry, TxnDigest};
use crate::wire::{Encode, Opcode};

use super::Replica;
use super::proposals::Origin;

/// `znode.container.*`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub check_interval: Duration,
    pub per_minute: u32,
    pub never_used: Option<Duration>,
}

/// ZooKeeper's.
impl Default for Settings {
    fn default() -> Settings {
        Settings { check_interval: Duration::from_secs(60), per_minute: 10_000, never_used: None }
    }
}

#[derive(Debug)]
pub struct Reaper {
    check_interval: Duration,
    /// Between two deletions.
    pause: Duration,
    pub lifetimes: Lifetimes,
    next_check: Instant,
    sweep: Option<Sweep>,
}

#[derive(Clone, Copy, Debug)]
struct Sweep {
    /// Slots below were looked at.
    next: u32,
    not_before: Instant,
}

impl Reaper {
    pub fn new(settings: &Settings, ttl: bool, now: Instant) -> Reaper {
        // Whole milliseconds, as ZooKeeper waits.
        let pause = Duration::from_millis(60_000 / u64::from(settings.per_minute.max(1)));
        Reaper {
            check_interval: settings.check_interval,
            pause,
            lifetimes: Lifetimes { never_used: settings.never_used, ttl },
            next_check: now + settings.check_interval,
            sweep: None,
        }
    }

    /// When it wants to be called, if there is anything to look at.
    pub fn next_wakeup(&self) -> Instant {
        self.sweep.map_or(self.next_check, |sweep| sweep.not_before)
    }

    /// Looks at what is due. `find` gives the first listed slot from there on; `reap` deletes it if its time is over, and
    /// says whether it did.
    pub fn run(
        &mut self,
        now: Instant,
        find: impl Fn(u32) -> Option<u32>,
        mut reap: impl FnMut(u32) -> bool,
    ) {
        if self.sweep.is_none() && now >= self.next_check {
            while self.next_check <= now {
                self.next_check = self.next_check + self.check_interval;
            }
            self.sweep = Some(Sweep { next: 0, not_before: now });
        }
        let Some(mut sweep) = self.sweep.filter(|sweep| sweep.not_before <= now) else { return };
        for _ in 0..limits::TURN_BUDGET {
            let Some(slot) = find(sweep.next) else {
                self.sweep = None;
                return;
            };
            sweep.next = slot + 1;
            if reap(slot) && !self.pause.is_zero() {
                sweep.not_before = now + self.pause;
                break;
            }
        }
        self.sweep = Some(sweep);
    }
}

/// What deleting one takes in the log, beside its path.
const ROOM_BYTES: usize = 128;

impl Replica {
    /// Containers and TTL nodes that have served their time are deleted through the log, like all that is deleted.
    pub(super) fn reap_containers(&mut self) {
        let floor = self.zxid_floor();
        let Replica { reaper, store, overlay, sessions, settings, now, log, proposals, proposed, .. } = self;
        let lifetimes = reaper.lifetimes;
        let find = |slot| store.reapable_from(slot);
        reaper.run(now.instant, find, |slot| {
            let (rules, time) = (settings.rules, now.wall);
            let mut view = tree::View { store, overlay, sessions, rules, time, excess: None };
            // Looked at again in the next sweep.
            if !log.has_room_for(store.node(slot).path.bytes().len() + ROOM_BYTES) {
                return false;
            }
            let zxid = proposed.next().max(floor);
            let Some(txn) = view.reap(zxid, slot, now.wall, lifetimes) else { return false };
            tracing::info!(path = %store.node(slot).path, "deleting an unused container or TTL node");
            let digest = settings.digests.then(|| TxnDigest::of(view.tree_digest()));
            let entry = Entry::new(SessionId::NONE, 0, zxid, now.wall, txn, digest);
            log.append(zxid, |buffer| entry.encode(buffer));
            proposals.push(zxid, Origin { to: None, opcode: Opcode::DeleteContainer, since: now.instant });
            *proposed = zxid;
            true
        });
    }
}

#[cfg(test)]
#[path = "containers_test.rs"]
mod tests;
