//! Answers that need no transaction: each waits until everything proposed before it is applied.
//!
//! Called by the replica, which releases them in order, each at the very version it belongs to: what a query finds then is
//! what its session wrote before it, and nothing that it wrote after it.

use bytes::Bytes;

use crate::base::{SessionId, ShardId};
use crate::messages::Notice;
use crate::tree::Store;
use crate::wire::Text;
use crate::wire::vector::encode_vector;

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
