//! What the tests of this room share: a tree with its readers, transactions without ceremony, and images of the tree.

use std::collections::BTreeMap;

use crate::base::{HashKey, SessionId, WallMillis, Zxid};
use crate::wire::txn::{CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn, Txn, TxnHeader};
use crate::wire::{AclList, Decode, OwnedAcl, Reader as WireReader, Text, Vector};

use super::{Applied, Node, Reader, Reading, Store};

pub const KEY: HashKey = HashKey(7, 11);

/// A planted tree, published, at zxid 0. Each transaction is applied at the next zxid; publishing is the test's.
pub struct World {
    pub store: Store,
    pub readers: Vec<Reader>,
    pub zxid: Zxid,
}

impl World {
    pub fn new(readers: usize) -> World {
        let (mut store, readers) = super::tree(KEY, readers);
        store.plant();
        store.publish(Zxid::ZERO);
        World { store, readers, zxid: Zxid::ZERO }
    }

    /// Applies `txn` for `session` at the next zxid, at that time in milliseconds.
    pub fn apply(&mut self, session: i64, txn: Txn<'_>) -> Applied {
        self.zxid = self.zxid.next();
        let kind = txn.kind().code();
        let (client_id, time) = (SessionId(session), WallMillis(1000 + self.zxid.0));
        self.store.apply(&TxnHeader { client_id, cxid: 0, zxid: self.zxid, time, kind }, &txn)
    }

    /// A persistent node, as prep would have it: the parent's cversion one up.
    pub fn create(&mut self, path: &str, data: &[u8]) -> Applied {
        let txn = Txn::Create(self.creation(path, Some(data), false));
        self.apply(0, txn)
    }

    pub fn create_ephemeral(&mut self, session: i64, path: &str) -> Applied {
        let txn = Txn::Create(self.creation(path, None, true));
        self.apply(session, txn)
    }

    pub fn creation<'a>(&self, path: &'a str, data: Option<&'a [u8]>, ephemeral: bool) -> CreateTxn<'a> {
        let parent = crate::base::parent(path.as_bytes()).and_then(|parent| self.store.find(parent));
        let parent_cversion = parent.map_or(0, |(_, parent)| parent.cversion) + 1;
        CreateTxn { path: path.into(), data, acl: Some(AclList::OPEN), ephemeral, parent_cversion }
    }

    pub fn delete(&mut self, path: &str) -> Applied {
        self.apply(0, Txn::Delete(DeleteTxn { path: path.into() }))
    }

    pub fn set_data(&mut self, path: &str, data: &[u8]) -> Applied {
        let version = self.node(path).map_or(0, |node| node.version) + 1;
        self.apply(0, Txn::SetData(SetDataTxn { path: path.into(), data: Some(data), version }))
    }

    pub fn set_acl(&mut self, path: &str, acl: &[OwnedAcl]) -> Applied {
        let bytes = acl_bytes(acl);
        let acl = AclList::parse(&bytes).ok();
        let version = self.node(path).map_or(0, |node| node.aversion) + 1;
        self.apply(0, Txn::SetAcl(SetAclTxn { path: path.into(), acl, version }))
    }

    pub fn close(&mut self, session: i64, listed: &[&str]) -> Applied {
        let bytes = text_bytes(listed);
        self.apply(session, Txn::CloseSession(Some(texts(&bytes))))
    }

    pub fn node(&self, path: &str) -> Option<&Node> {
        self.store.find(path.as_bytes()).map(|(_, node)| node)
    }

    /// Lets readers see everything applied, and reclaims.
    pub fn publish(&mut self) {
        self.store.publish(self.zxid);
        self.store.reclaim(64);
    }
}

pub fn text_bytes(texts: &[&str]) -> Vec<u8> {
    let mut bytes = vec![];
    crate::wire::jute::encode_vector(&mut bytes, texts);
    bytes
}

pub fn texts(bytes: &[u8]) -> Vector<'_, Text<'_>> {
    Vector::decode(&mut WireReader::new(bytes)).expect("a vector of strings")
}

pub fn acl_bytes(acl: &[OwnedAcl]) -> Vec<u8> {
    let mut bytes = vec![];
    crate::wire::jute::encode_vector(&mut bytes, acl);
    bytes
}

/// All of one node that can be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub data: Option<Vec<u8>>,
    pub acl: Option<Vec<OwnedAcl>>,
    pub zxids: [i64; 3],
    pub times: [i64; 2],
    pub owner: i64,
    pub versions: [i32; 3],
    pub children: u32,
}

impl From<&Node> for Seen {
    fn from(node: &Node) -> Seen {
        Seen {
            data: node.data().map(<[u8]>::to_vec),
            acl: node.acl_entries().map(<[OwnedAcl]>::to_vec),
            zxids: [node.czxid, node.mzxid, node.pzxid],
            times: [node.ctime, node.mtime],
            owner: node.owner,
            versions: [node.version, node.cversion, node.aversion],
            children: node.children_count,
        }
    }
}

/// Every node by its path.
pub type Image = BTreeMap<Vec<u8>, Seen>;

/// The newest version, as the writer has it; index, counts, bag and digest are checked on the way.
pub fn image_of(store: &Store) -> Image {
    let mut image = Image::new();
    let (mut digest, mut bytes) = (0u64, 0);
    for slot in 0..store.arena().slots() {
        let Some(node) = store.arena().latest(slot).filter(|node| node.is_alive()) else { continue };
        assert_eq!(node.digest, node.compute_digest(), "{:?}", node.path);
        assert_eq!(store.find(node.path.bytes()).map(|found| found.0), Some(slot), "{:?}", node.path);
        digest = digest.wrapping_add(u64::from(node.digest));
        bytes += node.data_bytes() as u64;
        assert!(image.insert(node.path.bytes().to_vec(), node.into()).is_none(), "{:?} twice", node.path);
    }
    assert_eq!(store.digest(), digest);
    assert_eq!((store.nodes_count(), store.data_bytes()), (image.len() as u64, bytes));
    for path in image.keys() {
        let children = image.keys().filter(|other| crate::base::parent(other) == Some(path)).count();
        assert_eq!(image[path].children as usize, children, "{:?}", String::from_utf8_lossy(path));
    }
    image
}

/// The tree as a reader finds it at `at`, by listing children from the root; every node is also looked up by its path.
pub fn image_at(reading: &Reading<'_>, at: Zxid) -> Image {
    let mut image = Image::new();
    let mut left: Vec<&Node> = reading.node(b"/", at).into_iter().collect();
    while let Some(node) = left.pop() {
        let found = reading.node(node.path.bytes(), at).expect("what is listed is found");
        assert!(std::ptr::eq(found, node), "{:?} is listed and found as two nodes", node.path);
        assert!(image.insert(node.path.bytes().to_vec(), node.into()).is_none(), "{:?} twice", node.path);
        let before = left.len();
        left.extend(reading.children(node, at));
        assert_eq!(left.len() - before, node.children_count as usize, "children of {:?}", node.path);
    }
    image
}
