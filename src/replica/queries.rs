//! Answers that need no transaction: each waits until everything proposed before it is applied.
//!
//! Called by the replica, which releases them in order, each at the very version it belongs to: what a query finds then is
//! what its session wrote before it, and nothing that it wrote after it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{SessionId, ShardId};
use crate::messages::{Answer, AnswerBody, Changes, Client, Notice};
use crate::tree::Store;
use crate::wire::Text;
use crate::wire::vector::encode_vector;

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

/// What only the owner of the tree can answer.
#[derive(Debug)]
pub enum Query {
    Ephemerals { session: SessionId, prefix: Bytes },
}

impl Query {
    /// The encoded response record.
    pub fn answer(&self, store: &Store) -> Bytes {
        match self {
            Query::Ephemerals { session, prefix } => {
                let all = is_everything(prefix);
                let paths = store.ephemerals_of(*session);
                let wanted = paths.iter().filter(|path| all || path.bytes().starts_with(prefix));
                let mut out = vec![];
                encode_vector(&mut out, wanted.map(|path| Text::from_bytes(path.bytes())));
                out.into()
            }
        }
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
        let notice = Notice { zxid: self.proposed, changes: Changes::None, answer, ended: None, moved: None };
        self.deferred.push_back(Deferred { shard: Some(to.shard), notice, query: Some(query) });
        self.release_deferred(outputs);
    }

    pub(super) fn defer(&mut self, shard: Option<ShardId>, mut notice: Notice, outputs: &mut Vec<Output>) {
        notice.zxid = self.proposed;
        self.deferred.push_back(Deferred { shard, notice, query: None });
        self.release_deferred(outputs);
    }

    pub(super) fn release_deferred(&mut self, outputs: &mut Vec<Output>) {
        while let Some(Deferred { shard, mut notice, query }) =
            self.deferred.pop_front_if(|deferred| deferred.notice.zxid <= self.applied)
        {
            if let Some(query) = query
                && let Some(answer) = &mut notice.answer
            {
                answer.body = AnswerBody::Raw(query.answer(&self.store));
            }
            if let Some((session, _)) = notice.moved {
                self.sessions.touch(session, self.now.instant);
            }
            outputs.push(Output::Notify { shard, notice: Arc::new(notice) });
        }
    }

    /// Sessions whose client has come back and was not told yet.
    pub(super) fn coming_back(&self) -> BTreeSet<SessionId> {
        self.deferred.iter().filter_map(|deferred| Some(deferred.notice.moved?.0)).collect()
    }
}
