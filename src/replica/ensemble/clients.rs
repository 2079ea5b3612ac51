//! A learner's clients: what they asked for and the leader has not answered, per session in order.
//!
//! A write is answered when its transaction has come back and is applied: the transaction names session and xid, and a
//! session's writes come back in the order in which they were handed on. A sync is answered when the leader says so and
//! all before it is; a query for which the tree's owner is needed, when all writes before it are. The leader's word may
//! come behind the commit of a write that was handed on after the sync: that commit says the same, as the leader takes
//! requests in order ([`Clients::before_write`]).
//!
//! A local session's end needs no leader either, and waits for what its client asked before; an upgrade is a write for which
//! no client waits.
//!
//! Limits: `count` is held against `limits::PROPOSALS_MAX` by the replica.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::base::{HashKey, KeyedHasher, Map, SessionId, Zxid};
use crate::messages::Client;

use super::super::proposals::Asker;

/// Which request of its session an upgrade is, in its transaction. Clients may use the number, too: order tells them apart.
pub const UPGRADE_CXID: i32 = 0;

#[derive(Debug)]
pub enum Asked {
    Write(Asker),
    /// The createSession of a local session, which goes before its first ephemeral node.
    Upgrade {
        to: Client,
    },
    /// The end of a local session, which no leader needs to know.
    Close {
        to: Client,
        xid: i32,
    },
    /// `done`: the leader has answered, and everything up to there is to be applied first.
    Sync {
        to: Client,
        xid: i32,
        body: Bytes,
        number: u64,
        done: Option<Zxid>,
    },
    Ephemerals {
        to: Client,
        xid: i32,
        prefix: Bytes,
    },
}

/// A connection whose session only the leader can vouch for.
#[derive(Clone, Copy, Debug)]
pub struct Returning {
    pub from: Client,
    pub timeout_ms: i32,
    /// It was there before, and waits for no answer.
    pub was_held: bool,
}

#[derive(Debug)]
pub struct Clients {
    asked: Map<SessionId, VecDeque<Asked>>,
    count: usize,
    /// Sessions and numbers of the syncs that the leader has not answered, oldest first. It answers them in order.
    syncs: VecDeque<(SessionId, u64)>,
    next_sync: u64,
    /// Who has come with a session that only the leader can vouch for, oldest first: the leader answers in order, too.
    coming_back: BTreeMap<SessionId, VecDeque<Returning>>,
}

impl Clients {
    pub fn new(key: HashKey) -> Clients {
        Clients {
            asked: Map::with_hasher(KeyedHasher(key)),
            count: 0,
            syncs: VecDeque::new(),
            next_sync: 0,
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

    pub fn push_sync(&mut self, session: SessionId, to: Client, xid: i32, body: Bytes) {
        self.next_sync += 1;
        self.syncs.push_back((session, self.next_sync));
        self.push(session, Asked::Sync { to, xid, body, number: self.next_sync, done: None });
    }

    pub fn push(&mut self, session: SessionId, asked: Asked) {
        self.count += 1;
        self.asked.entry(session).or_default().push_back(asked);
    }

    /// The session's transaction `cxid` is applied: who waits for it?
    pub fn take_write(&mut self, session: SessionId, cxid: i32) -> Option<Asker> {
        let queue = self.asked.get_mut(&session)?;
        if let Some(Asked::Upgrade { .. }) = queue.front()
            && cxid == UPGRADE_CXID
        {
            self.pop(session);
            return None;
        }
        let Some(&Asked::Write(found)) = queue.front() else { return None };
        if found.xid != cxid {
            return None;
        }
        self.pop(session);
        Some(found)
    }

    /// What is first of the session and needs nothing more.
    pub fn take_ready(&mut self, session: SessionId) -> Option<Asked> {
        match self.asked.get(&session)?.front()? {
            Asked::Write(_) | Asked::Upgrade { .. } | Asked::Sync { done: None, .. } => None,
            Asked::Sync { .. } | Asked::Ephemerals { .. } | Asked::Close { .. } => self.pop(session),
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

    /// The leader has answered the oldest sync, with everything up to `committed` committed. Its session.
    pub fn on_synced(&mut self, committed: Zxid) -> Option<SessionId> {
        let (session, number) = self.syncs.pop_front()?;
        // Not there any more: a write behind it was faster.
        let queue = self.asked.get_mut(&session)?;
        for asked in queue {
            if let Asked::Sync { number: found, done, .. } = asked
                && *found == number
            {
                *done = Some(committed);
            }
        }
        Some(session)
    }

    /// The session's transaction `cxid` comes next: what was asked before it can be answered now, as of `applied`.
    /// Who waits for it?
    pub fn before_write(&mut self, session: SessionId, cxid: i32, applied: Zxid) -> Option<Client> {
        let queue = self.asked.get_mut(&session)?;
        let is_decided = |asked: &Asked| matches!(asked, Asked::Write(_) | Asked::Upgrade { .. });
        let first = queue.iter().position(is_decided)?;
        let (to, xid) = match queue.get(first)? {
            Asked::Write(asker) => (asker.to, asker.xid),
            Asked::Upgrade { to } => (*to, UPGRADE_CXID),
            Asked::Sync { .. } | Asked::Ephemerals { .. } | Asked::Close { .. } => return None,
        };
        let to = (xid == cxid).then_some(to)?;
        for asked in queue.iter_mut().take(first) {
            if let Asked::Sync { done, .. } = asked {
                *done = Some(applied);
            }
        }
        Some(to)
    }

    /// The session is over: nobody waits any more.
    pub fn on_closed(&mut self, session: SessionId) {
        if let Some(queue) = self.asked.remove(&session) {
            self.count -= queue.len();
        }
    }

    pub fn come_back(&mut self, session: SessionId, returning: Returning) {
        self.count += 1;
        self.coming_back.entry(session).or_default().push_back(returning);
    }

    /// The leader has answered for this session: who waits for that?
    pub fn on_revalidated(&mut self, session: SessionId) -> Option<Returning> {
        let queue = self.coming_back.get_mut(&session)?;
        let first = queue.pop_front();
        self.count -= usize::from(first.is_some());
        if queue.is_empty() {
            self.coming_back.remove(&session);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ConnectionId, Instant, ShardId};
    use crate::wire::Opcode;

    const SESSION: SessionId = SessionId(7);

    fn to() -> Client {
        Client { shard: ShardId(0), connection: ConnectionId { slot: 1, generation: 0 } }
    }

    fn write(xid: i32) -> Asked {
        Asked::Write(Asker { to: to(), xid, opcode: Opcode::Create, since: Instant(1) })
    }

    fn xid_of(taken: Option<Asker>) -> Option<i32> {
        taken.map(|asker| asker.xid)
    }

    #[test]
    fn an_upgrade_comes_back_first_and_nobody_waits_for_it() {
        let mut clients = Clients::new(HashKey(1, 2));
        // A client may number its requests from zero.
        clients.push(SESSION, Asked::Upgrade { to: to() });
        clients.push(SESSION, write(0));
        clients.push(SESSION, write(1));
        assert!(clients.take_ready(SESSION).is_none());
        assert_eq!(clients.before_write(SESSION, UPGRADE_CXID, Zxid(5)), Some(to()));
        assert_eq!(xid_of(clients.take_write(SESSION, UPGRADE_CXID)), None);
        assert_eq!(clients.count(), 2);
        assert_eq!(xid_of(clients.take_write(SESSION, 0)), Some(0));
        assert_eq!(xid_of(clients.take_write(SESSION, 1)), Some(1));
        assert!(clients.count() == 0 && !clients.has_asked(SESSION));
    }

    #[test]
    fn what_was_asked_before_an_upgrade_is_answered_before_it() {
        let mut clients = Clients::new(HashKey(1, 2));
        clients.push_sync(SESSION, to(), 1, Bytes::new());
        clients.push(SESSION, Asked::Upgrade { to: to() });
        assert_eq!(clients.before_write(SESSION, 9, Zxid(5)), None, "another one's transaction");
        assert_eq!(clients.before_write(SESSION, UPGRADE_CXID, Zxid(5)), Some(to()));
        let Some(Asked::Sync { xid: 1, done, .. }) = clients.take_ready(SESSION) else { panic!("the sync") };
        assert_eq!(done, Some(Zxid(5)));
    }

    #[test]
    fn the_end_of_a_local_session_waits_for_what_was_asked_before() {
        let mut clients = Clients::new(HashKey(1, 2));
        clients.push(SESSION, write(1));
        clients.push_sync(SESSION, to(), 2, Bytes::new());
        clients.push(SESSION, Asked::Close { to: to(), xid: 3 });
        assert!(clients.take_ready(SESSION).is_none());
        assert_eq!(xid_of(clients.take_write(SESSION, 1)), Some(1));
        assert!(clients.take_ready(SESSION).is_none(), "the leader has not answered the sync");
        assert_eq!(clients.on_synced(Zxid(5)), Some(SESSION));
        assert!(matches!(clients.take_ready(SESSION), Some(Asked::Sync { xid: 2, .. })));
        assert!(matches!(clients.take_ready(SESSION), Some(Asked::Close { xid: 3, .. })));
        assert_eq!(clients.count(), 0);
    }
}
