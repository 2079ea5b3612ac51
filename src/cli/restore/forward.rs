//! Our own transactions applied to a tree that no server has: what a start does, and the digests are held against it.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::snapshot::Refused;
use super::super::{inspect, replay};
use crate::base::SessionId;
use crate::log;
use crate::server::Image;
use crate::tree::Store;
use crate::wire::txn::{Entry, TxnDigest};
use crate::wire::{Decode, Reader};

/// A tree that is brought forward, transaction by transaction.
pub struct Forward {
    pub store: Store,
    pub sessions: BTreeMap<SessionId, i32>,
    /// The last transaction with a digest says another one than the tree's.
    pub differs: Option<String>,
}

impl Forward {
    pub fn apply(&mut self, file: &Path, offset: u64, entry: &log::Entry<'_>) -> Result<(), Refused> {
        let decoded = Entry::decode(&mut Reader::new(entry.payload)).map_err(|error| {
            let what = format!("transaction {} can't be read: {error}", entry.zxid);
            inspect::damaged(file, offset + error.offset as u64, what)
        })?;
        let Entry { header, txn, digest } = decoded;
        if header.zxid != entry.zxid {
            let what = format!("transaction {} names itself {}", entry.zxid, header.zxid);
            return Err(inspect::damaged(file, offset, what));
        }
        replay::apply(&mut self.store, &mut self.sessions, &header, &txn);
        if let Some(TxnDigest { version: TxnDigest::VERSION, tree_digest }) = digest {
            let (told, found) = (tree_digest as u64, self.store.digest());
            self.differs = (told != found).then(|| {
                format!(
                    "at zxid {} the tree's digest was {told:#x}, and here it is {found:#x}: the snapshot holds some of what \
                     came later, as one that an Apache leader sent may. A later zxid is the same tree again",
                    entry.zxid
                )
            });
        }
        Ok(())
    }

    pub fn finish(self, lenient: bool, tell: &mut dyn FnMut(String)) -> Result<Image, Refused> {
        let Forward { store, sessions, differs } = self;
        match differs {
            Some(text) if lenient => tell(text),
            Some(text) => {
                let text = format!("{text}. With --lenient it is restored as it is");
                return Err(Refused { code: 4, text });
            }
            None => {}
        }
        for owner in store.orphans(|session| sessions.contains_key(&session)) {
            let count = store.ephemerals_of(owner).len();
            tell(format!("{count} ephemeral znodes belong to session {owner}, which is over: they are kept"));
        }
        Ok(Image { store, sessions: sessions.into_iter().collect(), epochs: None })
    }
}
