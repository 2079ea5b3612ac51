//! A znode as the arena keeps it: one immutable version, 80 bytes, everything large or rare behind a shared pointer.
//!
//! A write never changes a version: it clones it (three reference counts), alters the clone and makes it the new head
//! of the slot. Data and ACL are shared between versions, so that creating a child under a node with a megabyte of
//! data doesn't copy the megabyte.

use std::sync::Arc;

use crate::base::{Path, SessionId, WallMillis, Zxid};
use crate::lockfree::{Bag, Blob};
use crate::messages::AclRef;
use crate::wire::acl::perms;
use crate::wire::{Stat, StatPersisted};

use super::digest;

/// Shared data of a znode. Null and empty data are distinct: null is `None`.
pub type Data = Blob;

/// `ephemeralOwner` of a container, as stored (client-protocol.md §13.4).
pub const CONTAINER_OWNER: i64 = i64::MIN;

/// What a stored `ephemeralOwner` says of its node (client-protocol.md §13.4).
///
/// The mark of TTL nodes is read as such whether extended types are enabled or not: that setting only decides whether
/// such nodes are made and reaped. (ZooKeeper takes it for a session while they are off, and a restart then deletes
/// every TTL node as an orphan.) So sessions of a server with id 255 could be mistaken: ids end at 254 here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Persistent,
    Ephemeral(SessionId),
    Container,
    /// Milliseconds without change and children after which it goes; 0: never.
    Ttl(i64),
}

impl Kind {
    #[inline]
    pub fn of(owner: i64) -> Kind {
        match owner {
            0 => Kind::Persistent,
            CONTAINER_OWNER => Kind::Container,
            // The top byte says "extended type", the two below it which one: 0.
            _ if owner as u64 >> 40 == 0xff_0000 => Kind::Ttl(owner & (TTL_END - 1)),
            _ => Kind::Ephemeral(SessionId(owner)),
        }
    }
}

/// Where there are TTL nodes no server has a greater id: their owner's first byte is 255.
pub const SERVER_ID_MAX_WITH_TTL: i64 = 254;

/// A time to live is below this many milliseconds, and above 0.
const TTL_END: i64 = 1 << 40;

/// `ephemeralOwner` of a TTL node; `None` for a time that can't be one.
pub fn ttl_owner(ttl_ms: i64) -> Option<i64> {
    (1..TTL_END).contains(&ttl_ms).then_some(0xff << 56 | ttl_ms)
}

/// What few nodes have: a restricted or changed ACL, children, an owner.
#[derive(Clone, Default)]
pub struct Extras {
    pub acl: AclRef,
    /// Slots of the children, those alive at any version somebody may still read. Which of them are alive at a
    /// version, their own chains tell.
    pub children: Option<triomphe::Arc<Bag>>,
    /// As stored: containers and TTL nodes carry their mark here, which clients don't see.
    pub owner: i64,
    pub aversion: i32,
}

#[derive(Clone)]
pub struct Node {
    pub path: Path,
    pub data: Option<Data>,
    pub extras: Option<triomphe::Arc<Extras>>,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    /// As stored: counts created children only.
    pub cversion: i32,
    /// `DEAD` in the version that marks a deletion.
    pub children_count: u32,
    /// Slot of the parent; the root is its own.
    pub parent: u32,
}

const _: () = assert!(size_of::<Node>() <= 80, "a million znodes pay for every byte here");

/// `children_count` of a deletion mark.
const DEAD: u32 = u32::MAX;

impl Node {
    pub fn is_alive(&self) -> bool {
        self.children_count != DEAD
    }

    /// The version that says "deleted at `zxid`". It keeps the path for lookups and the children's bag, because
    /// children deleted just before may still be seen by readers of older versions.
    pub fn tombstone(&self) -> Node {
        let with_children = self.extras.as_ref().filter(|extras| extras.children.is_some());
        Node {
            path: self.path.clone(),
            data: None,
            extras: with_children.cloned(),
            children_count: DEAD,
            ..*self
        }
    }

    pub fn data(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    pub fn data_bytes(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.len())
    }

    pub fn acl(&self) -> AclRef {
        self.extras.as_ref().and_then(|extras| extras.acl.clone())
    }

    pub fn acl_entries(&self) -> Option<&[crate::wire::OwnedAcl]> {
        self.extras.as_ref().and_then(|extras| extras.acl.as_deref())
    }

    pub fn children(&self) -> Option<&Bag> {
        self.extras.as_ref().and_then(|extras| extras.children.as_deref())
    }

    pub fn children_bag(&self) -> Option<triomphe::Arc<Bag>> {
        self.extras.as_ref().and_then(|extras| extras.children.clone())
    }

    /// `ephemeralOwner` as stored.
    pub fn owner(&self) -> i64 {
        self.extras.as_ref().map_or(0, |extras| extras.owner)
    }

    pub fn aversion(&self) -> i32 {
        self.extras.as_ref().map_or(0, |extras| extras.aversion)
    }

    /// The session that owns this node, if it is a normal ephemeral.
    pub fn ephemeral_owner(&self) -> Option<SessionId> {
        match Kind::of(self.owner()) {
            Kind::Ephemeral(session) => Some(session),
            Kind::Persistent | Kind::Container | Kind::Ttl(_) => None,
        }
    }

    pub fn kind(&self) -> Kind {
        Kind::of(self.owner())
    }

    /// A container or a TTL node: the server deletes it when it has served its time.
    pub fn is_reapable(&self) -> bool {
        matches!(self.kind(), Kind::Container | Kind::Ttl(_))
    }

    /// What clients see.
    pub fn stat(&self) -> Stat {
        debug_assert!(self.is_alive());
        let children = self.children_count as i32;
        Stat {
            czxid: Zxid(self.czxid),
            mzxid: Zxid(self.mzxid),
            ctime: WallMillis(self.ctime),
            mtime: WallMillis(self.mtime),
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: self.aversion(),
            ephemeral_owner: self.ephemeral_owner().unwrap_or(SessionId::NONE),
            data_length: self.data_bytes() as i32,
            num_children: children,
            pzxid: Zxid(self.pzxid),
        }
    }

    /// What is kept of it in snapshots, data and ACL apart.
    pub fn persisted(&self) -> StatPersisted {
        StatPersisted {
            czxid: Zxid(self.czxid),
            mzxid: Zxid(self.mzxid),
            ctime: WallMillis(self.ctime),
            mtime: WallMillis(self.mtime),
            version: self.version,
            cversion: self.cversion,
            aversion: self.aversion(),
            ephemeral_owner: self.owner(),
            pzxid: Zxid(self.pzxid),
        }
    }

    /// This node's share of the tree's digest.
    pub fn compute_digest(&self) -> u32 {
        digest::share_of(self.path.bytes(), self.data(), &self.persisted())
    }

    /// The same for a node that was `old` before a change, with `old_digest`. Without a new look at data that is still the
    /// same.
    pub fn digest_after(&self, old: &Node, old_digest: u32) -> u32 {
        if !self.shares_data(old) {
            return self.compute_digest();
        }
        digest::share_after(self.path.bytes(), old_digest, &old.persisted(), &self.persisted())
    }

    /// Is it the very same data, not only equal?
    pub fn shares_data(&self, other: &Node) -> bool {
        let place = |node: &Node| node.data().map(<[u8]>::as_ptr_range);
        place(self) == place(other)
    }

    pub fn set_acl(&mut self, acl: AclRef) {
        if self.extras.is_some() || acl.is_some() {
            self.alter_extras(|extras| extras.acl = acl);
        }
    }

    pub fn set_aversion(&mut self, aversion: i32) {
        if self.aversion() != aversion {
            self.alter_extras(|extras| extras.aversion = aversion);
        }
    }

    pub fn set_children(&mut self, children: triomphe::Arc<Bag>) {
        self.alter_extras(|extras| extras.children = Some(children));
    }

    pub fn alter_extras(&mut self, alter: impl FnOnce(&mut Extras)) {
        let mut extras = self.extras.as_deref().cloned().unwrap_or_default();
        alter(&mut extras);
        self.extras = Some(triomphe::Arc::new(extras));
    }
}

/// Data as the arena keeps it.
pub fn data_of(bytes: Option<&[u8]>) -> Option<Data> {
    bytes.map(Blob::new)
}

/// The stored form of an ACL list: `None` for the open one.
pub fn acl_ref(acl: Vec<crate::wire::OwnedAcl>) -> AclRef {
    match acl.as_slice() {
        [only] if only.perms == perms::ALL && only.scheme == "world" && only.id == "anyone" => None,
        _ => Some(Arc::from(acl)),
    }
}

/// In place of an entry without a scheme or an id: were it left out, a list might be empty, which is open.
pub fn nobodys() -> crate::wire::OwnedAcl {
    crate::wire::OwnedAcl::new(0, "", "")
}

/// What a node needs to be made.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    pub zxid: Zxid,
    pub time: i64,
    pub owner: i64,
}

impl Node {
    pub fn new(path: Path, data: Option<Data>, acl: AclRef, birth: Birth, parent: u32) -> Node {
        let zxid = birth.zxid.0;
        let mut node = Node {
            path,
            data,
            extras: None,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: birth.time,
            mtime: birth.time,
            version: 0,
            cversion: 0,
            children_count: 0,
            parent,
        };
        if acl.is_some() || birth.owner != 0 {
            node.alter_extras(|extras| (extras.acl, extras.owner) = (acl, birth.owner));
        }
        node
    }
}
