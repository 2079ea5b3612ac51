//! What the tests of this room share: a tree with its readers, transactions without ceremony, and images of the tree.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::{ConnectionId, HashKey, Instant, Prng, ServerId, SessionId, ShardId, WallMillis, Zxid};
use crate::messages::{Client, Identity};
use crate::wire::client::{CreateRequest, DeleteRequest, SetAclRequest, SetDataRequest};
use crate::wire::txn::{
    CreateTxn, DeleteTxn, Entry, MultiTxn, SetAclTxn, SetDataTxn, SubTxn, Txn, TxnDigest,
};
use crate::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl, Text, Vector};

use super::Owner;
use super::{
    Lifetimes, LoadError, Node, Overlay, Progress, Reader, Reading, Record, Rules, Scratch, Sessions, Store,
    View, Write,
};

pub use super::Applied;

pub const KEY: HashKey = HashKey(7, 11);

/// A planted tree, published, at zxid 0. Each transaction is applied at the next zxid; publishing is the test's.
pub struct World {
    pub store: Store,
    pub readers: Vec<Reader>,
    pub zxid: Zxid,
}

/// An operation of a multi.
pub enum Op {
    Create(String, Vec<u8>),
    Set(String, Vec<u8>),
    Delete(String),
}

impl Op {
    fn txn(&self) -> Txn<'_> {
        match self {
            Op::Create(path, data) => {
                let (path, data, acl) = (path.as_str().into(), Some(&data[..]), Some(AclList::OPEN));
                Txn::Create(CreateTxn { path, data, acl, ephemeral: false, parent_cversion: -1 })
            }
            Op::Set(path, data) => {
                Txn::SetData(SetDataTxn { path: path.as_str().into(), data: Some(data), version: 1 })
            }
            Op::Delete(path) => Txn::Delete(DeleteTxn { path: path.as_str().into() }),
        }
    }
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
        let time = WallMillis(1000 + self.zxid.0);
        self.store.apply(&Entry::new(SessionId(session), 0, self.zxid, time, txn, None).header, &txn)
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
        let version = self.node(path).map_or(0, |node| node.aversion()) + 1;
        self.apply(0, Txn::SetAcl(SetAclTxn { path: path.into(), acl, version }))
    }

    pub fn multi(&mut self, ops: &[Op]) -> Applied {
        let mut bytes = vec![];
        crate::wire::jute::encode_vector(&mut bytes, ops.iter().map(|op| SubTxn(op.txn())));
        self.apply(0, Txn::Multi(MultiTxn::parse(&bytes).expect("encoded just now")))
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
    Vector::parse(bytes).expect("a vector of strings")
}

pub fn acl_bytes(acl: &[OwnedAcl]) -> Vec<u8> {
    let mut bytes = vec![];
    crate::wire::jute::encode_vector(&mut bytes, acl);
    bytes
}

/// A transaction over few paths that changes something, or hits nothing.
pub fn random_transaction(world: &mut World, prng: &mut Prng) {
    let (path, session) = (random_path(prng), 1 + prng.below(2) as i64);
    match prng.below(12) {
        0..=3 => world.create(&path, path.as_bytes()),
        4 => world.create_ephemeral(session, &path),
        5..=8 => world.delete(&path),
        9 => world.set_data(&path, &vec![b'x'; prng.below(30) as usize]),
        10 => world.set_acl(&path, &[OwnedAcl::new(prng.below(32) as i32, "world", "anyone")]),
        _ => world.close(session, &[]),
    };
}

pub fn random_path(prng: &mut Prng) -> String {
    (0..=prng.below(3)).map(|_| ["/a", "/b", "/c"][prng.below(3) as usize]).collect()
}

/// Head and nodes of a snapshot of the tree as it is.
pub fn snapshot_of(store: &mut Store) -> (Vec<u8>, Vec<u8>) {
    let head = store.begin_snapshot(&[]);
    let mut nodes = vec![];
    while store.continue_snapshot(100, usize::MAX, &mut nodes) {}
    (head, nodes)
}

/// Loads what [`snapshot_of`] wrote into an empty tree.
pub fn load_nodes(store: &mut Store, zxid: Zxid, mut bytes: &[u8]) -> Result<Progress, LoadError> {
    let mut progress = Progress::default();
    while !bytes.is_empty() {
        let (record, rest) = Record::decode(bytes)?;
        store.load(zxid, record, &mut progress)?;
        bytes = rest;
    }
    Ok(progress)
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
            owner: node.owner(),
            versions: [node.version, node.cversion, node.aversion()],
            children: node.children_count,
        }
    }
}

/// Every node by its path.
pub type Image = BTreeMap<Vec<u8>, Seen>;

/// The newest version, as the writer has it; index, counts, bag and digest are checked on the way.
pub fn image_of(store: &Store) -> Image {
    let mut image = Image::new();
    let (mut digest, mut bytes, mut path_bytes) = (0u64, 0, 0);
    for slot in 0..store.arena().slots() {
        let Some(node) = store.arena().latest(slot).filter(|node| node.is_alive()) else { continue };
        let share = store.digests[slot as usize];
        assert_eq!(share, node.compute_digest(), "{:?}", node.path);
        assert_eq!(store.find(node.path.bytes()).map(|found| found.0), Some(slot), "{:?}", node.path);
        digest = digest.wrapping_add(u64::from(share));
        bytes += node.data_bytes() as u64;
        path_bytes += node.path.bytes().len() as u64;
        assert!(image.insert(node.path.bytes().to_vec(), node.into()).is_none(), "{:?} twice", node.path);
    }
    assert_eq!(store.digest(), digest);
    assert_eq!((store.nodes_count(), store.data_bytes()), (image.len() as u64, bytes));
    assert_eq!(store.path_bytes(), path_bytes);
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

/// Prep with transactions that are proposed and not yet applied.
pub struct Pipeline {
    pub world: World,
    pub overlay: Overlay,
    pub sessions: Sessions,
    pub rules: Rules,
    /// What the last request had to warn of.
    pub excess: Option<String>,
    pub identities: Vec<Identity>,
    proposed: Zxid,
    /// Encoded, oldest first.
    pending: VecDeque<Vec<u8>>,
}

pub fn client(session: i64) -> Client {
    let connection = ConnectionId { slot: session as u32, generation: 1 };
    Client { shard: ShardId(0), connection }
}

impl Pipeline {
    /// Sessions 1 and 2 live, each owned by [`client`] of its number.
    pub fn new() -> Pipeline {
        let mut pipeline = Pipeline {
            world: World::new(1),
            overlay: Overlay::new(KEY, true),
            sessions: Sessions::new(ServerId(1), Duration::from_secs(2), KEY, Instant(0)),
            rules: Rules::default(),
            excess: None,
            identities: vec![Identity { scheme: "ip".into(), id: "127.0.0.1".into() }],
            proposed: Zxid::ZERO,
            pending: VecDeque::new(),
        };
        pipeline.reopen_sessions();
        pipeline
    }

    /// Decides a request of the session's own connection; what it became, encoded as it is logged.
    pub fn propose(&mut self, session: i64, opcode: Opcode, body: &[u8]) -> Result<Vec<u8>, ErrorCode> {
        self.propose_from(Some(client(session)), session, opcode, body)
    }

    pub fn propose_from(
        &mut self,
        from: Option<Client>,
        session: i64,
        opcode: Opcode,
        body: &[u8],
    ) -> Result<Vec<u8>, ErrorCode> {
        let zxid = self.proposed.next();
        let time = WallMillis(1000 + zxid.0);
        let session = SessionId(session);
        let from = from.map(Owner::Client);
        let write = Write { from, session, opcode, body, identities: &self.identities };
        let mut view = View {
            store: &self.world.store,
            overlay: &mut self.overlay,
            sessions: &mut self.sessions,
            rules: self.rules,
            time,
            excess: None,
        };
        let mut scratch = Scratch::default();
        let decided = view.decide(zxid, &write, &mut scratch);
        self.excess = view.excess.take().map(|excess| excess.to_string());
        let digest = TxnDigest::of(view.tree_digest());
        let entry = Entry::new(session, 0, zxid, time, decided?, Some(digest));
        let bytes = encoded(&entry);
        self.pending.push_back(bytes.clone());
        self.proposed = zxid;
        Ok(bytes)
    }

    /// Proposes to delete one of the containers and TTL nodes, whichever; `None` if it lives on.
    pub fn reap(&mut self, prng: &mut Prng) -> Option<Vec<u8>> {
        let store = &self.world.store;
        let slots: Vec<u32> =
            std::iter::successors(store.reapable_from(0), |slot| store.reapable_from(slot + 1)).collect();
        let slot = *slots.get(prng.below(slots.len().max(1) as u64) as usize)?;
        let zxid = self.proposed.next();
        let time = WallMillis(1000 + zxid.0);
        let mut view = View {
            store,
            overlay: &mut self.overlay,
            sessions: &mut self.sessions,
            rules: self.rules,
            time,
            excess: None,
        };
        let lifetimes = Lifetimes { never_used: Some(Duration::ZERO), ttl: true };
        let txn = view.reap(zxid, slot, WallMillis(time.0 + 1_000_000), lifetimes)?;
        let digest = TxnDigest::of(view.tree_digest());
        let bytes = encoded(&Entry::new(SessionId::NONE, 0, zxid, time, txn, Some(digest)));
        self.pending.push_back(bytes.clone());
        self.proposed = zxid;
        Some(bytes)
    }

    /// Applies the oldest proposal.
    pub fn apply_one(&mut self) -> Option<Applied> {
        let bytes = self.pending.pop_front()?;
        let entry = Entry::parse(&bytes).expect("encoded by us");
        let spot = self.overlay.take_spot(entry.header.zxid);
        let applied = self.world.store.apply_at(&entry.header, &entry.txn, spot);
        let digest = TxnDigest::of(self.world.store.digest());
        assert_eq!(entry.digest, Some(digest), "as prep foretold behind {:?}", entry.txn);
        self.overlay.applied(entry.header.zxid, entry.header.client_id, &entry.txn, spot);
        self.world.zxid = entry.header.zxid;
        self.world.publish();
        Some(applied)
    }

    pub fn apply_all(&mut self) {
        while self.apply_one().is_some() {}
    }

    /// Sessions closed come back, as new ones would.
    pub fn reopen_sessions(&mut self) {
        for session in [1, 2] {
            self.sessions.remove(SessionId(session));
            self.sessions.add(SessionId(session), 4000, Instant(0));
            self.sessions
                .attach(SessionId(session), 4000, Owner::Client(client(session)), Instant(0))
                .expect("it is there");
        }
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    pub fn create(&mut self, session: i64, path: &str, flags: i32) -> Result<Vec<u8>, ErrorCode> {
        self.propose(session, Opcode::Create, &create_body(path, Some(AclList::OPEN), flags))
    }

    pub fn delete(&mut self, session: i64, path: &str, version: i32) -> Result<Vec<u8>, ErrorCode> {
        self.propose(session, Opcode::Delete, &encoded(&DeleteRequest { path: path.into(), version }))
    }

    pub fn set_data(&mut self, session: i64, path: &str, version: i32) -> Result<Vec<u8>, ErrorCode> {
        let request = SetDataRequest { path: path.into(), data: Some(b"new"), version };
        self.propose(session, Opcode::SetData, &encoded(&request))
    }

    pub fn set_acl(
        &mut self,
        session: i64,
        path: &str,
        acl: Option<AclList<'_>>,
        version: i32,
    ) -> Result<Vec<u8>, ErrorCode> {
        let request = SetAclRequest { path: path.into(), acl, version };
        self.propose(session, Opcode::SetAcl, &encoded(&request))
    }

    pub fn close(&mut self, session: i64) -> Result<Vec<u8>, ErrorCode> {
        self.propose(session, Opcode::CloseSession, &[])
    }
}

/// A request over few paths that is granted now and then.
pub fn random_request(pipeline: &mut Pipeline, prng: &mut Prng) -> Result<Vec<u8>, ErrorCode> {
    let (path, session) = (random_path(prng), 1 + prng.below(2) as i64);
    let version = prng.below(4) as i32 - 1;
    match prng.below(20) {
        0..=7 => pipeline.create(session, &path, prng.below(4) as i32),
        8..=13 => pipeline.delete(session, &path, version),
        14..=16 => pipeline.set_data(session, &path, version),
        17 | 18 => {
            let acl = if prng.chance(1, 4) { AclList::READ } else { AclList::OPEN };
            pipeline.set_acl(session, &path, Some(acl), version)
        }
        _ => pipeline.close(session),
    }
}

pub fn create_body(path: &str, acl: Option<AclList<'_>>, flags: i32) -> Vec<u8> {
    encoded(&CreateRequest { path: path.into(), data: Some(b"data"), acl, flags })
}

pub fn encoded(record: &impl Encode) -> Vec<u8> {
    let mut bytes = vec![];
    record.encode(&mut bytes);
    bytes
}
