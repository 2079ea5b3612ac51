//! A learner's clients: what they asked for and the leader has not answered, per session in order.
//!
//! A write is answered when its transaction has come back and is applied: the transaction names session and xid, and a
//! session's writes come back in the order in which they were handed on. A sync is answered when the leader says so and
//! all before it is; a query for which the tree's owner is needed, when all writes before it are.
//!
//! Limits: `count` is held against `limits::PROPOSALS_MAX` by the replica.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::base::{HashKey, KeyedHasher, Map, SessionId};
use crate::messages::Client;
use crate::wire::Opcode;

#[derive(Debug)]
pub enum Asked {
    Write { to: Client, xid: i32, opcode: Opcode },
    Sync { to: Client, xid: i32, body: Bytes, is_done: bool },
    Ephemerals { to: Client, xid: i32, prefix: Bytes },
}

#[derive(Debug)]
pub struct Clients {
    asked: Map<SessionId, VecDeque<Asked>>,
    count: usize,
    /// Sessions of the syncs that the leader has not answered, oldest first. It answers them in order.
    syncs: VecDeque<SessionId>,
    /// Who has come with a session that only the leader can vouch for, oldest first: the leader answers in order, too.
    coming_back: BTreeMap<SessionId, VecDeque<(Client, i32)>>,
}

impl Clients {
    pub fn new(key: HashKey) -> Clients {
        Clients {
            asked: Map::with_hasher(KeyedHasher(key)),
            count: 0,
            syncs: VecDeque::new(),
            coming_back: BTreeMap::new(),
        }
    }

    pub fn clear(&mut self) {
        self.asked.clear();
        self.syncs.clear();
        self.coming_back.clear();
        self.count = 0;
    }

    /// Requests that wait for the leader.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Something is before it: what needs no leader waits, too.
    pub fn has_asked(&self, session: SessionId) -> bool {
        self.asked.contains_key(&session)
    }

    pub fn push(&mut self, session: SessionId, asked: Asked) {
        if let Asked::Sync { .. } = asked {
            self.syncs.push_back(session);
        }
        self.count += 1;
        self.asked.entry(session).or_default().push_back(asked);
    }

    /// The session's transaction `cxid` is applied: who waits for it?
    pub fn take_write(&mut self, session: SessionId, cxid: i32) -> Option<(Client, i32, Opcode)> {
        let queue = self.asked.get_mut(&session)?;
        let Some(Asked::Write { to, xid, opcode }) = queue.front() else { return None };
        if *xid != cxid {
            return None;
        }
        let found = (*to, *xid, *opcode);
        self.pop(session);
        Some(found)
    }

    /// What is first of the session and needs nothing more.
    pub fn take_ready(&mut self, session: SessionId) -> Option<Asked> {
        match self.asked.get(&session)?.front()? {
            Asked::Write { .. } | Asked::Sync { is_done: false, .. } => None,
            Asked::Sync { .. } | Asked::Ephemerals { .. } => self.pop(session),
        }
    }

    fn pop(&mut self, session: SessionId) -> Option<Asked> {
        let queue = self.asked.get_mut(&session)?;
        let first = queue.pop_front();
        self.count -= usize::from(first.is_some());
        if queue.is_empty() {
            self.asked.remove(&session);
        }
        first
    }

    /// The leader has answered the oldest sync. Its session.
    pub fn on_synced(&mut self) -> Option<SessionId> {
        let session = self.syncs.pop_front()?;
        let queue = self.asked.get_mut(&session)?;
        let oldest = queue.iter_mut().find_map(|asked| match asked {
            Asked::Sync { is_done, .. } if !*is_done => Some(is_done),
            _ => None,
        });
        if let Some(is_done) = oldest {
            *is_done = true;
        }
        Some(session)
    }

    /// The session is over: nobody waits any more.
    pub fn on_closed(&mut self, session: SessionId) {
        if let Some(queue) = self.asked.remove(&session) {
            self.count -= queue.len();
        }
    }

    pub fn come_back(&mut self, session: SessionId, from: Client, timeout_ms: i32) {
        self.count += 1;
        self.coming_back.entry(session).or_default().push_back((from, timeout_ms));
    }

    /// The leader has answered for this session: who waits for that?
    pub fn on_revalidated(&mut self, session: SessionId) -> Option<(Client, i32)> {
        let queue = self.coming_back.get_mut(&session)?;
        let first = queue.pop_front();
        self.count -= usize::from(first.is_some());
        if queue.is_empty() {
            self.coming_back.remove(&session);
        }
        first
    }
}
