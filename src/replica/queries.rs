//! Answers that need no transaction: each waits until everything proposed before it is applied.
//!
//! Called by the replica, which releases them in order, each at the very version it belongs to: what a query finds then is
//! what its session wrote before it, and nothing that it wrote after it. A long one takes several turns
//! (`limits::TURN_BUDGET`). Until it is done nothing is applied, so that it stays at its version, and nothing behind it is
//! released; a connection has one such query at a time (`shard/intake.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{SessionId, ShardId, Zxid, limits};
use crate::messages::{Answer, AnswerBody, Client, Notice};
use crate::tree::Store;
use crate::wire::Text;
use crate::wire::jute::VectorWriter;

use super::{Output, Replica};

/// Held back until `notice.zxid` is applied.
#[derive(Debug)]
pub struct Deferred {
    /// `None`: for all shards.
    pub shard: Option<ShardId>,
    pub notice: Notice,
    /// What the answer's body is then made of.
    pub query: Option<Query>,
}

/// What only the owner of the tree can answer, as far as it is answered.
#[derive(Debug)]
pub enum Query {
    Ephemerals { session: SessionId, prefix: Bytes, next: Option<u32>, paths: VectorWriter, body: Vec<u8> },
}

impl Query {
    pub fn ephemerals(session: SessionId, prefix: Bytes) -> Query {
        let mut body = vec![];
        let paths = VectorWriter::begin(&mut body);
        Query::Ephemerals { session, prefix, next: Some(0), paths, body }
    }

    /// Goes on as far as the budget goes, and takes from it what that cost. Is it done?
    fn go_on(&mut self, store: &Store, budget: &mut usize) -> bool {
        let Query::Ephemerals { session, prefix, next, paths, body } = self;
        let Some(from) = *next else { return true };
        let all = is_everything(prefix);
        let mut used = 0;
        *next = store.some_ephemerals_of(*session, from, *budget, |path| {
            used += 1;
            if all || path.bytes().starts_with(prefix) {
                paths.push(body, &Text::from_bytes(path.bytes()));
            }
        });
        *budget -= used;
        // What is longer is not sent (`shard/notices.rs`), so it need not be whole.
        if body.len() > limits::REPLY_BYTES_MAX {
            *next = None;
        }
        next.is_none()
    }

    /// The encoded response record.
    fn finish(self) -> Bytes {
        let Query::Ephemerals { paths, mut body, .. } = self;
        paths.end(&mut body);
        body.into()
    }
}

/// Blank as Java's `trim` sees it (nothing above U+0020 but perhaps one `/`): no filter.
fn is_everything(prefix: &[u8]) -> bool {
    let mut left = prefix.iter().filter(|byte| **byte > b' ');
    matches!((left.next(), left.next()), (None | Some(b'/'), None))
}

impl Replica {
    /// An answer without a transaction, made when its turn comes.
    pub(super) fn ask(&mut self, to: Client, xid: i32, query: Query, outputs: &mut Vec<Output>) {
        let answer = Some(Answer { to, xid, body: AnswerBody::Raw(Bytes::new()) });
        let notice = Notice { zxid: self.answers_at(), answer, ..Notice::empty() };
        self.deferred.push_back(Deferred { shard: Some(to.shard), notice, query: Some(query) });
        self.release_deferred(outputs);
    }

    pub(super) fn defer(&mut self, shard: Option<ShardId>, mut notice: Notice, outputs: &mut Vec<Output>) {
        notice.zxid = self.answers_at();
        self.deferred.push_back(Deferred { shard, notice, query: None });
        self.release_deferred(outputs);
    }

    /// What an answer waits for: all that is proposed. Without a leader nobody knows when, if ever, that is applied.
    fn answers_at(&self) -> Zxid {
        if self.is_read_only() { self.applied } else { self.proposed }
    }

    /// An answer for when `at` is applied, before those that wait for more. To be released by the caller.
    pub(super) fn answer_at(
        &mut self,
        at: Zxid,
        to: Client,
        xid: i32,
        body: AnswerBody,
        query: Option<Query>,
    ) {
        let answer = Some(Answer { to, xid, body });
        let notice = Notice { zxid: at, answer, ..Notice::empty() };
        self.defer_at(Deferred { shard: Some(to.shard), notice, query });
    }

    fn defer_at(&mut self, deferred: Deferred) {
        let behind = self.deferred.partition_point(|other| other.notice.zxid <= deferred.notice.zxid);
        self.deferred.insert(behind, deferred);
    }

    /// What waits for this client waits no more: its next answer belongs to a transaction that comes now.
    pub(super) fn hurry(&mut self, client: Client, outputs: &mut Vec<Output>) {
        let is_his = |deferred: &Deferred| deferred.notice.answer.as_ref().is_some_and(|it| it.to == client);
        for at in 0..self.deferred.len() {
            if self.deferred[at].notice.zxid > self.applied
                && is_his(&self.deferred[at])
                && let Some(mut deferred) = self.deferred.remove(at)
            {
                deferred.notice.zxid = self.applied;
                self.defer_at(deferred);
            }
        }
        self.release_deferred(outputs);
    }

    /// Hands out what is due, as far as this turn's budget goes.
    pub(super) fn release_deferred(&mut self, outputs: &mut Vec<Output>) {
        while self.is_answer_due()
            && let Some(deferred) = self.deferred.front_mut()
        {
            if let Some(query) = &mut deferred.query
                && !query.go_on(&self.store, &mut self.budget)
            {
                return;
            }
            let Some(Deferred { shard, mut notice, query }) = self.deferred.pop_front() else { return };
            if let Some(query) = query
                && let Some(answer) = &mut notice.answer
            {
                answer.body = AnswerBody::Raw(query.finish());
            }
            if let Some((session, _)) = notice.moved {
                self.sessions.touch(session, self.now.instant);
            }
            outputs.push(Output::Notify { shard, notice: Arc::new(notice) });
        }
    }

    /// An answer belongs to what is applied now: nothing more is applied before it is out.
    pub(super) fn is_answer_due(&self) -> bool {
        self.deferred.front().is_some_and(|deferred| deferred.notice.zxid <= self.applied)
    }

    /// Sessions whose client has come back and was not told yet.
    pub(super) fn coming_back(&self) -> BTreeSet<SessionId> {
        self.deferred.iter().filter_map(|deferred| Some(deferred.notice.moved?.0)).collect()
    }
}
