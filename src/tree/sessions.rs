//! Sessions: who lives, until when, and through which connection.
//!
//! Called by `replica`. Ids and timeouts are part of the replicated state and change only when a transaction is
//! applied; deadlines, owners and the *closing* mark are this server's own and are never logged.
//!
//! Expiry is bucketed to ticks as in ZooKeeper. A touch only moves the session's deadline; the bucket that holds its id
//! finds out when it falls due and files the id again: a touch costs one table write, not a move between queues.
//!
//! A touch may be under way when its deadline comes: shards report what they heard four times a tick. So a session is
//! given half a tick beyond its deadline.
//!
//! A gap in our own clock (the process was stopped, the host slept), or a time in which we took no requests, is no fault
//! of the clients: `extend` moves all deadlines by it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{HashKey, Instant, KeyedHasher, Map, ServerId, SessionId};
use crate::messages::Client;
use crate::wire::ErrorCode;

/// Through whom a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Client(Client),
    /// A client of another member of the ensemble.
    Server(ServerId),
}

#[derive(Clone, Debug)]
struct Session {
    /// As its createSession says: replicated, and what a restart goes by.
    timeout_ms: i32,
    /// As agreed with the connection that owns it now.
    patience_ms: i32,
    /// On the session clock, a multiple of a tick.
    deadline_ms: u64,
    /// A closeSession is proposed: nothing more is accepted from it.
    closing: bool,
    owner: Option<Owner>,
}

#[derive(Debug)]
pub struct Sessions {
    table: Map<SessionId, Session>,
    /// Ids by the tick at which somebody must look at them: one entry per session, plus those of sessions closed
    /// since, which stay until their tick (at most a session timeout).
    due: BTreeMap<u64, BTreeSet<SessionId>>,
    tick_ms: u64,
    next_id: i64,
    /// Length of all gaps in our clock so far: the session clock is the monotone clock less this.
    gaps: Duration,
}

impl Sessions {
    pub fn new(server: ServerId, tick: Duration, key: HashKey, now: Instant) -> Sessions {
        Sessions {
            table: Map::with_hasher(KeyedHasher(key)),
            due: BTreeMap::new(),
            tick_ms: u64::try_from(tick.as_millis()).unwrap_or(u64::MAX).max(1),
            next_id: first_id(server, now),
            gaps: Duration::ZERO,
        }
    }

    /// An id for a new session. The table learns of it when its createSession is applied.
    pub fn allocate(&mut self) -> SessionId {
        let id = SessionId(self.next_id);
        self.next_id += 1;
        if self.table.contains_key(&id) { self.allocate() } else { id }
    }

    /// A createSession is applied (or read from a snapshot).
    pub fn add(&mut self, id: SessionId, timeout_ms: i32, now: Instant) {
        let deadline_ms = self.deadline(timeout_ms, now);
        let session =
            Session { timeout_ms, patience_ms: timeout_ms, deadline_ms, closing: false, owner: None };
        if self.table.insert(id, session).is_none() {
            self.due.entry(deadline_ms).or_default().insert(id);
        }
    }

    /// A closeSession is applied.
    pub fn remove(&mut self, id: SessionId) {
        // The bucket that holds the id finds it gone when it falls due.
        self.table.remove(&id);
    }

    pub fn touch(&mut self, id: SessionId, now: Instant) {
        let clock = self.clock_ms(now);
        let tick = self.tick_ms;
        if let Some(session) = self.table.get_mut(&id) {
            session.deadline_ms = session.deadline_ms.max(bucket(clock, session.patience_ms, tick));
        }
    }

    /// A connection came back with the right password: it owns the session from now on, under its own timeout.
    /// `None` if there is no such session, or it is closing.
    pub fn attach(&mut self, id: SessionId, timeout_ms: i32, owner: Owner, now: Instant) -> Option<()> {
        let deadline = self.deadline(timeout_ms, now);
        let session = self.table.get_mut(&id).filter(|session| !session.closing)?;
        session.owner = Some(owner);
        session.patience_ms = timeout_ms;
        session.deadline_ms = session.deadline_ms.max(deadline);
        Some(())
    }

    /// May this connection's request run? Order and codes: client-protocol.md §5.4 (standalone column).
    pub fn check(&self, id: SessionId, from: Owner, needs_global: bool) -> Result<(), ErrorCode> {
        match self.table.get(&id) {
            None if needs_global => Err(ErrorCode::SessionExpired),
            None => Err(ErrorCode::UnknownSession),
            Some(session) if session.closing => Err(ErrorCode::SessionExpired),
            Some(session) if session.owner.is_some_and(|owner| owner != from) => Err(ErrorCode::SessionMoved),
            Some(_) => Ok(()),
        }
    }

    /// A new leader is there: who speaks through whom is told anew, what was about to be closed may live on, and nobody's
    /// silence counts so far.
    pub fn begin_anew(&mut self, now: Instant) {
        let clock = self.clock_ms(now);
        self.due.clear();
        for (id, session) in &mut self.table {
            session.owner = None;
            session.closing = false;
            session.patience_ms = session.timeout_ms;
            session.deadline_ms = bucket(clock, session.timeout_ms, self.tick_ms);
            self.due.entry(session.deadline_ms).or_default().insert(*id);
        }
    }

    /// How long the session may stay silent, as its owner was told; `None` if there is no such session.
    pub fn patience_ms(&self, id: SessionId) -> Option<i32> {
        self.table.get(&id).map(|session| session.patience_ms)
    }

    /// A client that speaks through another server has come back to it. False if there is no such session.
    pub fn revalidate(&mut self, id: SessionId, server: ServerId, now: Instant) -> bool {
        let Some(patience_ms) = self.table.get(&id).map(|session| session.patience_ms) else { return false };
        self.attach(id, patience_ms, Owner::Server(server), now).is_some()
    }

    /// The closeSession of this session is proposed. False if there is nothing to close.
    pub fn mark_closing(&mut self, id: SessionId) -> bool {
        match self.table.get_mut(&id) {
            Some(session) if !session.closing => {
                session.closing = true;
                true
            }
            _ => false,
        }
    }

    /// Sessions whose time is over, in id order; each is reported until it is marked closing.
    pub fn expired(&mut self, now: Instant) -> Vec<SessionId> {
        let clock = self.clock_ms(now).saturating_sub(self.grace_ms());
        let mut expired = Vec::new();
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() > clock {
                break;
            }
            for id in entry.remove() {
                let Some(session) = self.table.get(&id) else { continue };
                if session.deadline_ms > clock {
                    self.due.entry(session.deadline_ms).or_default().insert(id);
                } else if !session.closing {
                    expired.push(id);
                    // Reported again a tick later, should nobody be able to close it now (the disk is full).
                    self.due.entry((clock / self.tick_ms + 1) * self.tick_ms).or_default().insert(id);
                }
            }
        }
        expired.sort_unstable();
        expired
    }

    /// When `expired` has something to look at, on the monotone clock.
    pub fn next_due(&self) -> Option<Instant> {
        let (&due_ms, _) = self.due.first_key_value()?;
        let due_ms = due_ms.saturating_add(self.grace_ms());
        Some(Instant(due_ms.saturating_mul(1_000_000)) + self.gaps)
    }

    /// How long a touch may be under way.
    fn grace_ms(&self) -> u64 {
        self.tick_ms / 2
    }

    /// For this long nobody could be heard.
    pub fn extend(&mut self, gap: Duration) {
        self.gaps += gap;
    }

    /// How long each session may stay silent, in no particular order.
    pub fn time_left(&self, now: Instant) -> Vec<(Duration, SessionId)> {
        let clock = self.clock_ms(now);
        let left = |deadline_ms: u64| Duration::from_millis(deadline_ms.saturating_sub(clock));
        self.table.iter().map(|(&id, session)| (left(session.deadline_ms), id)).collect()
    }

    pub fn count(&self) -> usize {
        self.table.len()
    }

    pub fn contains(&self, id: SessionId) -> bool {
        self.table.contains_key(&id)
    }

    /// Ids and timeouts in id order: what a snapshot holds.
    pub fn list(&self) -> Vec<(SessionId, i32)> {
        let mut list: Vec<_> = self.table.iter().map(|(&id, session)| (id, session.timeout_ms)).collect();
        list.sort_unstable();
        list
    }

    fn clock_ms(&self, now: Instant) -> u64 {
        now.since(Instant(u64::try_from(self.gaps.as_nanos()).unwrap_or(u64::MAX))).as_millis() as u64
    }

    fn deadline(&self, timeout_ms: i32, now: Instant) -> u64 {
        bucket(self.clock_ms(now), timeout_ms, self.tick_ms)
    }
}

/// ZooKeeper's rounding: the tick after the one in which the timeout ends.
fn bucket(clock_ms: u64, timeout_ms: i32, tick_ms: u64) -> u64 {
    ((clock_ms + u64::try_from(timeout_ms).unwrap_or(0)) / tick_ms + 1) * tick_ms
}

/// client-protocol.md §5.1: the server's id in the top byte, a millisecond count below it.
fn first_id(server: ServerId, now: Instant) -> i64 {
    let id = (((now.millis() << 24) >> 8) | ((server.0 as u64) << 56)) as i64;
    if id == i64::MIN { id + 1 } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ConnectionId, ShardId};

    const TICK: Duration = Duration::from_millis(2000);

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn client(slot: u32) -> Owner {
        Owner::Client(Client { shard: ShardId(0), connection: ConnectionId { slot, generation: 0 } })
    }

    fn sessions() -> Sessions {
        Sessions::new(ServerId(1), TICK, HashKey(1, 2), at(1_000))
    }

    #[test]
    fn ids_carry_the_server_and_rise() {
        let mut sessions = sessions();
        let (a, b) = (sessions.allocate(), sessions.allocate());
        assert_eq!((a.0 as u64) >> 56, 1);
        assert_eq!(b.0, a.0 + 1);
    }

    #[test]
    fn expires_once_in_the_tick_after_its_timeout() {
        let mut sessions = sessions();
        let id = sessions.allocate();
        sessions.add(id, 4000, at(1_000));
        // Timeout at 5,000, tick at 6,000, and half a tick for a touch under way.
        assert_eq!(sessions.next_due(), Some(at(7_000)));
        assert!(sessions.expired(at(6_999)).is_empty());
        assert_eq!(sessions.expired(at(7_000)), [id]);
        assert_eq!(sessions.next_due(), Some(at(9_000)), "reported again, should nobody close it");
        assert!(sessions.mark_closing(id) && !sessions.mark_closing(id));
        assert!(sessions.expired(at(60_000)).is_empty());
    }

    #[test]
    fn a_touch_moves_the_deadline() {
        let mut sessions = sessions();
        let id = sessions.allocate();
        sessions.add(id, 4000, at(1_000));
        sessions.touch(id, at(5_000));
        assert!(sessions.expired(at(7_000)).is_empty());
        assert_eq!(sessions.next_due(), Some(at(11_000)));
        assert_eq!(sessions.expired(at(11_000)), [id]);
    }

    #[test]
    fn a_gap_in_our_clock_kills_nobody() {
        let mut sessions = sessions();
        let id = sessions.allocate();
        sessions.add(id, 4000, at(1_000));
        sessions.extend(Duration::from_secs(60));
        assert!(sessions.expired(at(66_999)).is_empty());
        assert_eq!(sessions.expired(at(67_000)), [id]);
    }

    /// It was heard at 5,400, and the report comes with the shard's next batch.
    #[test]
    fn a_touch_that_is_under_way_at_the_deadline_counts() {
        let mut sessions = sessions();
        let id = sessions.allocate();
        sessions.add(id, 4000, at(1_999));
        assert!(sessions.expired(at(6_000)).is_empty());
        sessions.touch(id, at(6_000));
        assert!(sessions.expired(at(11_000)).is_empty());
    }

    #[test]
    fn a_reconnect_changes_the_patience_and_not_what_is_replicated() {
        let mut sessions = sessions();
        let id = sessions.allocate();
        sessions.add(id, 4000, at(1_000));
        assert_eq!(sessions.attach(id, 20_000, client(1), at(1_000)), Some(()));
        assert_eq!(sessions.list(), [(id, 4000)]);
        assert!(sessions.expired(at(22_999)).is_empty());
        assert_eq!(sessions.expired(at(23_000)), [id]);
    }

    #[test]
    fn only_the_owner_of_a_living_session_is_served() {
        let mut sessions = sessions();
        let id = sessions.allocate();
        assert_eq!(sessions.check(id, client(1), false), Err(ErrorCode::UnknownSession));
        assert_eq!(sessions.check(id, client(1), true), Err(ErrorCode::SessionExpired));
        sessions.add(id, 4000, at(1_000));
        assert_eq!(sessions.attach(id, 4000, client(1), at(1_000)), Some(()));
        assert_eq!(sessions.check(id, client(1), true), Ok(()));
        assert_eq!(sessions.check(id, client(2), false), Err(ErrorCode::SessionMoved));
        sessions.mark_closing(id);
        assert_eq!(sessions.check(id, client(1), false), Err(ErrorCode::SessionExpired));
        assert_eq!(sessions.attach(id, 4000, client(1), at(1_000)), None);
        sessions.remove(id);
        assert!(!sessions.contains(id));
        assert!(sessions.expired(at(90_000)).is_empty());
    }
}
