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
//! A *local* session is this server's alone: no transaction made it, nobody else knows of it, and it ends with the role in
//! which it began. When it gets an ephemeral node its createSession is proposed (*upgrading*), and applied it is a session
//! like any. A leader holds those of others that are proposed and not applied likewise.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its createSession is applied.
    Global,
    /// Its createSession is under way.
    Upgrading,
    Local,
}

#[derive(Clone, Debug)]
struct Session {
    kind: Kind,
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

type Due = BTreeMap<u64, BTreeSet<SessionId>>;

/// What a session may be that nobody has told us of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strangers {
    /// A server that is alone knows them all.
    Unknown,
    /// So does a leader, once it leads.
    Expired,
    /// Another member's local one, unless its id is of this server.
    Local(ServerId),
}

#[derive(Debug)]
pub struct Sessions {
    table: Map<SessionId, Session>,
    /// Ids by the tick at which somebody must look at them: one entry per session, plus those of sessions closed
    /// since, which stay until their tick (at most a session timeout).
    due: Due,
    /// Likewise, of local ones.
    local_due: Due,
    /// What is said of a session that isn't known.
    strangers: Strangers,
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
            local_due: BTreeMap::new(),
            strangers: Strangers::Unknown,
            tick_ms: u64::try_from(tick.as_millis()).unwrap_or(u64::MAX).max(1),
            next_id: first_id(server, now),
            gaps: Duration::ZERO,
        }
    }

    /// This server is a member of an ensemble whose servers may have local sessions, or may not.
    pub fn join(&mut self, me: ServerId, are_local_enabled: bool) {
        self.strangers = if are_local_enabled { Strangers::Local(me) } else { Strangers::Expired };
    }

    /// An id for a new session. The table learns of it when its createSession is applied.
    pub fn allocate(&mut self) -> SessionId {
        let id = SessionId(self.next_id);
        self.next_id += 1;
        if self.table.contains_key(&id) { self.allocate() } else { id }
    }

    /// A createSession is applied (or read from a snapshot). Of a session that is known already only the kind changes.
    pub fn add(&mut self, id: SessionId, timeout_ms: i32, now: Instant) {
        let deadline_ms = self.put(Kind::Global, id, timeout_ms, now);
        self.due.entry(deadline_ms).or_default().insert(id);
    }

    /// A session of this server alone.
    pub fn add_local(&mut self, id: SessionId, timeout_ms: i32, now: Instant) {
        let deadline_ms = self.put(Kind::Local, id, timeout_ms, now);
        self.local_due.entry(deadline_ms).or_default().insert(id);
    }

    /// Another member's createSession is proposed: the session's next request may be here before it is applied.
    pub fn add_proposed(&mut self, id: SessionId, timeout_ms: i32, owner: ServerId, now: Instant) {
        if !self.table.contains_key(&id) {
            self.put(Kind::Upgrading, id, timeout_ms, now);
            self.attach(id, timeout_ms, Owner::Server(owner), now);
        }
    }

    /// The session's deadline.
    fn put(&mut self, kind: Kind, id: SessionId, timeout_ms: i32, now: Instant) -> u64 {
        let deadline_ms = self.deadline(timeout_ms, now);
        let fresh =
            Session { kind, timeout_ms, patience_ms: timeout_ms, deadline_ms, closing: false, owner: None };
        let session = self.table.entry(id).or_insert(fresh);
        (session.kind, session.timeout_ms) = (kind, timeout_ms);
        session.deadline_ms = session.deadline_ms.max(deadline_ms);
        session.deadline_ms
    }

    /// The local session's createSession is proposed from here, with this timeout. `None` if it isn't local, or closing.
    pub fn upgrade(&mut self, id: SessionId) -> Option<i32> {
        let session = self.table.get_mut(&id).filter(|it| it.kind == Kind::Local && !it.closing)?;
        session.kind = Kind::Upgrading;
        Some(session.timeout_ms)
    }

    pub fn is_local(&self, id: SessionId) -> bool {
        self.table.get(&id).is_some_and(|session| session.kind == Kind::Local)
    }

    /// The role in which they lived is over.
    pub fn forget_local(&mut self) {
        self.table.retain(|_, session| session.kind == Kind::Global);
        self.local_due.clear();
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

    /// May this connection's request run? Order and codes: client-protocol.md §5.4.
    pub fn check(&self, id: SessionId, from: Owner, needs_global: bool) -> Result<(), ErrorCode> {
        match self.table.get(&id) {
            None if needs_global => Err(ErrorCode::SessionExpired),
            None => match self.strangers {
                Strangers::Unknown => Err(ErrorCode::UnknownSession),
                Strangers::Local(me) if !id.is_of(me) => Ok(()),
                Strangers::Local(_) | Strangers::Expired => Err(ErrorCode::SessionExpired),
            },
            Some(session) if session.closing => Err(ErrorCode::SessionExpired),
            Some(session) if session.owner.is_some_and(|owner| owner != from) => Err(ErrorCode::SessionMoved),
            Some(session) if session.kind == Kind::Local && needs_global => {
                Err(ErrorCode::EphemeralOnLocalSession)
            }
            Some(_) => Ok(()),
        }
    }

    /// A new leader is there: local sessions are over, who speaks through whom is told anew, what was about to be closed may
    /// live on, and nobody's silence counts so far.
    pub fn begin_anew(&mut self, now: Instant) {
        let clock = self.clock_ms(now);
        self.forget_local();
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

    /// Its client speaks through this server.
    pub fn is_here(&self, id: SessionId) -> bool {
        self.table.get(&id).is_some_and(|session| matches!(session.owner, Some(Owner::Client(_))))
    }

    /// A client that speaks through another server has come back to it. False if there is no such session.
    pub fn revalidate(&mut self, id: SessionId, server: ServerId, now: Instant) -> bool {
        let session = self.table.get(&id).filter(|session| session.kind != Kind::Local);
        let Some(patience_ms) = session.map(|session| session.patience_ms) else { return false };
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

    /// Sessions of the ensemble whose time is over, in id order; each is reported until it is marked closing.
    pub fn expired(&mut self, now: Instant) -> Vec<SessionId> {
        let mut due = std::mem::take(&mut self.due);
        let expired = self.expired_of(Kind::Global, &mut due, now);
        self.due = due;
        expired
    }

    /// Likewise local ones; each until it is removed.
    pub fn expired_local(&mut self, now: Instant) -> Vec<SessionId> {
        let mut due = std::mem::take(&mut self.local_due);
        let expired = self.expired_of(Kind::Local, &mut due, now);
        self.local_due = due;
        expired
    }

    fn expired_of(&self, kind: Kind, due: &mut Due, now: Instant) -> Vec<SessionId> {
        let clock = self.clock_ms(now).saturating_sub(self.grace_ms());
        let mut expired = Vec::new();
        while let Some(entry) = due.first_entry() {
            if *entry.key() > clock {
                break;
            }
            for id in entry.remove() {
                let Some(session) = self.table.get(&id).filter(|session| session.kind == kind) else {
                    continue;
                };
                if session.deadline_ms > clock {
                    due.entry(session.deadline_ms).or_default().insert(id);
                } else if !session.closing {
                    expired.push(id);
                    // Reported again a tick later, should nobody be able to close it now (the disk is full).
                    due.entry((clock / self.tick_ms + 1) * self.tick_ms).or_default().insert(id);
                }
            }
        }
        expired.sort_unstable();
        // Who was told twice of a session may have filed it twice.
        expired.dedup();
        expired
    }

    /// When `expired` has something to look at, on the monotone clock.
    pub fn next_due(&self) -> Option<Instant> {
        self.first_of(&self.due)
    }

    /// When `expired_local` has.
    pub fn next_local_due(&self) -> Option<Instant> {
        self.first_of(&self.local_due)
    }

    fn first_of(&self, due: &Due) -> Option<Instant> {
        let (&due_ms, _) = due.first_key_value()?;
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

    pub fn local_count(&self) -> usize {
        if self.local_due.is_empty() {
            return 0;
        }
        self.table.values().filter(|session| session.kind == Kind::Local).count()
    }

    /// Ids and timeouts in id order: what a snapshot holds. Not of local ones.
    pub fn list(&self) -> Vec<(SessionId, i32)> {
        let global = self.table.iter().filter(|(_, session)| session.kind == Kind::Global);
        let mut list: Vec<_> = global.map(|(&id, session)| (id, session.timeout_ms)).collect();
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
#[path = "sessions_test.rs"]
mod tests;
