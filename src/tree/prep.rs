//! Turns a request into a transaction that can't fail, or into the error it deserves.
//!
//! Called by `replica`, once per request, in proposal order. Looks at the tree plus the overlay of what is proposed
//! and not yet applied. The order of checks is ZooKeeper's (client-protocol.md §9): the first that fails wins.
//! Tested: prep_test.rs, tests/model.rs, tests/conformance, the simulator's model.

use crate::base::{Path, SessionId, WallMillis, Zxid};
use crate::messages::{AclRef, Identity};
use crate::wire::acl::perms;
use crate::wire::client::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, ReconfigRequest, SetAclRequest,
    SetDataRequest,
};
use crate::wire::jute::{DecodeError, Reason};
use crate::wire::txn::{
    CheckVersionTxn, CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn, Txn,
};
use crate::wire::{AclList, Decode, ErrorCode, Opcode, OwnedAcl, Reader, StatPersisted, Text};

use super::acl;
use super::node::{CONTAINER_OWNER, Kind, acl_ref, ttl_owner};
use super::overlay::{Overlay, State};
use super::path;
use super::quotas::Excess;
use super::rules::Rules;
use super::sessions::{Owner, Sessions};
use super::store::{ROOT, Store};

/// A write to be decided.
#[derive(Debug)]
pub struct Write<'a> {
    pub from: Option<Owner>,
    pub session: SessionId,
    pub opcode: Opcode,
    pub body: &'a [u8],
    pub identities: &'a [Identity],
}

/// Room for what a transaction needs and the request doesn't hold; kept between requests.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) path: Vec<u8>,
    pub(super) acl: Vec<u8>,
    paths: Vec<u8>,
    /// The operations of a multi.
    pub(super) ops: Vec<u8>,
}

/// Everything prep looks at.
pub struct View<'s> {
    pub store: &'s Store,
    pub overlay: &'s mut Overlay,
    pub sessions: &'s mut Sessions,
    pub rules: Rules,
    /// The leader's wall clock: what ctime and mtime will be.
    pub time: WallMillis,
    /// A quota that a write passed: the caller's to log.
    pub excess: Option<Box<Excess>>,
}

/// A znode to be made, by whichever operation.
pub(super) struct Creation<'t> {
    /// create, create2, createContainer or createTTL: decides which kind of node is made.
    opcode: Opcode,
    request: CreateRequest<'t>,
    /// -1 unless it is a createTTL.
    ttl: i64,
    /// ZooKeeper trips over a null path behind the checks of flags and session: MarshallingError then.
    null_path: bool,
}

impl<'t> Creation<'t> {
    pub fn new(opcode: Opcode, request: CreateRequest<'t>) -> Creation<'t> {
        Creation { opcode, request, ttl: -1, null_path: false }
    }

    pub fn with_ttl(request: CreateTtlRequest<'t>) -> Creation<'t> {
        let CreateTtlRequest { path, data, acl, flags, ttl } = request;
        Creation {
            opcode: Opcode::CreateTtl,
            request: CreateRequest { path, data, acl, flags },
            ttl,
            null_path: false,
        }
    }

    /// The body of a create that is not part of a multi.
    fn decode(opcode: Opcode, body: &'t [u8]) -> Result<Creation<'t>, ErrorCode> {
        let null_path = Reader::new(body).null();
        if !null_path {
            return match opcode {
                Opcode::CreateTtl => Ok(Creation::with_ttl(decode(body)?)),
                _ => Ok(Creation::new(opcode, decode(body)?)),
            };
        }
        let mut reader = Reader::new(body);
        let mut decode = || -> Result<Creation<'t>, DecodeError> {
            Option::<Text<'_>>::decode(&mut reader)?;
            let (path, data) = (Text::default(), Decode::decode(&mut reader)?);
            let (acl, flags) = (Decode::decode(&mut reader)?, reader.i32()?);
            let ttl = if opcode == Opcode::CreateTtl { reader.i64()? } else { -1 };
            Ok(Creation { opcode, request: CreateRequest { path, data, acl, flags }, ttl, null_path })
        };
        decode().map_err(|_| ErrorCode::MarshallingError)
    }
}

impl View<'_> {
    /// Once everything that is proposed is applied; foretold only where the overlay is made to.
    pub fn tree_digest(&self) -> u64 {
        self.overlay.tree_digest(self.store)
    }

    /// Decides the write as the transaction `zxid`.
    pub fn decide<'a>(
        &mut self,
        zxid: Zxid,
        write: &Write<'a>,
        scratch: &'a mut Scratch,
    ) -> Result<Txn<'a>, ErrorCode> {
        match write.opcode {
            Opcode::Create | Opcode::Create2 | Opcode::CreateContainer | Opcode::CreateTtl => {
                let creation = Creation::decode(write.opcode, write.body)?;
                self.create_node(zxid, write, creation, &mut scratch.path, &mut scratch.acl)
            }
            Opcode::Delete => self.delete_node(zxid, write, decode(write.body)?),
            Opcode::SetData => self.set_data_of(zxid, write, decode_judging_path(write.body)?),
            Opcode::SetAcl => self.set_acl(zxid, write, scratch),
            Opcode::CloseSession => self.close_session(zxid, write, scratch),
            Opcode::Multi => self.multi(zxid, write, scratch),
            // An ensemble's is decided by its leader, and ends in `reconfigure`.
            Opcode::Reconfig => {
                self.reconfiguration(write)?;
                Err(ErrorCode::Unimplemented)
            }
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    pub(super) fn create_node<'t>(
        &mut self,
        zxid: Zxid,
        write: &Write<'_>,
        creation: Creation<'t>,
        path_room: &'t mut Vec<u8>,
        acl_room: &'t mut Vec<u8>,
    ) -> Result<Txn<'t>, ErrorCode> {
        let Creation { opcode, request, ttl, null_path } = creation;
        let path = request.path.as_bytes();
        let flags = Flags::of(request.flags)?;
        if flags.ttl && !self.rules.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        // ttl = -1 is what the other operations carry, and a TTL node needs a positive one. createTTL without the flags
        // of a TTL node is let through by Java, and kills every server that applies it.
        let owner = match opcode {
            Opcode::CreateTtl if flags.ttl => ttl_owner(ttl).ok_or(ErrorCode::BadArguments)?,
            Opcode::CreateTtl => return Err(ErrorCode::BadArguments),
            _ if flags.ttl => return Err(ErrorCode::BadArguments),
            Opcode::CreateContainer => CONTAINER_OWNER,
            _ if flags.ephemeral => write.session.0,
            _ => 0,
        };
        self.check_session(write, flags.ephemeral)?;
        if null_path {
            return Err(ErrorCode::MarshallingError);
        }
        let parent_path = writable_parent(path)?;
        let acl = self.normalise(request.acl, write.identities)?;
        let parent = self.overlay.state(self.store, parent_path).ok_or(ErrorCode::NoNode)?;
        self.check_acl(&parent, perms::CREATE, write)?;

        let path: &'t [u8] = if flags.sequential {
            path_room.clear();
            path_room.extend_from_slice(path);
            // At least ten characters, the sign among them (client-protocol.md §9.1, "Sequence suffix").
            use std::io::Write as _;
            write!(path_room, "{:010}", parent.next_sequence).expect("a Vec takes all that is written to it");
            path_room
        } else {
            path
        };
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.overlay.state(self.store, path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(Kind::of(parent.stat.ephemeral_owner), Kind::Ephemeral(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let data_bytes = request.data.map_or(0, <[u8]>::len);
        self.check_quota(path, data_bytes as i64, 1)?;

        let parent_cversion = parent.next_sequence.wrapping_add(1);
        let acl_list = match &acl {
            None => AclList::OPEN,
            Some(entries) => encode_acl(acl_room, entries),
        };
        let ephemeral = flags.ephemeral && matches!(opcode, Opcode::Create | Opcode::Create2);
        if ephemeral {
            self.overlay.add_ephemeral(zxid, write.session, path);
        }
        let born = State {
            path: Path::new(path),
            alive: true,
            stat: StatPersisted::at_birth(zxid, self.time, owner),
            next_sequence: 0,
            children_count: 0,
            data_bytes: data_bytes as u32,
            acl,
            share: 0,
            slot: ROOT,
        };
        self.overlay.put_new(self.store, zxid, born, request.data);
        self.overlay.put_altered(self.store, zxid, parent, |parent| {
            (parent.children_count, parent.next_sequence) = (parent.children_count + 1, parent_cversion);
            // As apply has it: a cversion never falls, not even where it wraps.
            if parent_cversion > parent.stat.cversion {
                (parent.stat.cversion, parent.stat.pzxid) = (parent_cversion, zxid);
            }
        });
        let (path, data, acl) = (Text::from_bytes(path), request.data, Some(acl_list));
        Ok(match opcode {
            Opcode::CreateContainer => {
                Txn::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion })
            }
            Opcode::CreateTtl => Txn::CreateTtl(CreateTtlTxn { path, data, acl, parent_cversion, ttl }),
            Opcode::Create2 => Txn::Create2(CreateTxn { path, data, acl, ephemeral, parent_cversion }),
            _ => Txn::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion }),
        })
    }

    pub(super) fn delete_node<'t>(
        &mut self,
        zxid: Zxid,
        write: &Write<'_>,
        request: DeleteRequest<'t>,
    ) -> Result<Txn<'t>, ErrorCode> {
        self.check_session(write, false)?;
        let text = request.path;
        let path = text.as_bytes();
        let parent_path = writable_parent(path)?;
        if path::is_special(path) {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.overlay.state(self.store, parent_path).ok_or(ErrorCode::NoNode)?;
        self.check_acl(&parent, perms::DELETE, write)?;
        let node = self.overlay.state(self.store, path).ok_or(ErrorCode::NoNode)?;
        check_version(request.version, node.stat.version)?;
        if node.children_count > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.overlay.put_deleted(self.store, zxid, node);
        Ok(Txn::Delete(DeleteTxn { path: text }))
    }

    pub(super) fn set_data_of<'t>(
        &mut self,
        zxid: Zxid,
        write: &Write<'_>,
        request: SetDataRequest<'t>,
    ) -> Result<Txn<'t>, ErrorCode> {
        self.check_session(write, false)?;
        let text = request.path;
        let path = text.as_bytes();
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let hash = self.overlay.hash(path);
        let node = self.overlay.state_hashed(self.store, hash, path).ok_or(ErrorCode::NoNode)?;
        self.check_acl(&node, perms::WRITE, write)?;
        let data_bytes = request.data.map_or(0, <[u8]>::len) as u32;
        self.check_quota(path, i64::from(data_bytes) - i64::from(node.data_bytes), 0)?;
        check_version(request.version, node.stat.version)?;
        let version = node.stat.version.wrapping_add(1);
        let stat = StatPersisted { version, mzxid: zxid, mtime: self.time, ..node.stat };
        self.overlay.put_data(self.store, zxid, hash, node, stat, request.data);
        Ok(Txn::SetData(SetDataTxn { path: text, data: request.data, version }))
    }

    /// Within a multi only.
    pub(super) fn check<'t>(
        &mut self,
        write: &Write<'_>,
        request: CheckVersionRequest<'t>,
    ) -> Result<Txn<'t>, ErrorCode> {
        self.check_session(write, false)?;
        let path = request.path;
        if !path::is_valid(path.as_bytes()) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.overlay.state(self.store, path.as_bytes()).ok_or(ErrorCode::NoNode)?;
        self.check_acl(&node, perms::READ, write)?;
        check_version(request.version, node.stat.version)?;
        // As in the other records, the version afterwards; of a check nobody reads it.
        Ok(Txn::Check(CheckVersionTxn { path, version: node.stat.version.wrapping_add(1) }))
    }

    fn set_acl<'a>(
        &mut self,
        zxid: Zxid,
        write: &Write<'a>,
        scratch: &'a mut Scratch,
    ) -> Result<Txn<'a>, ErrorCode> {
        let request: SetAclRequest = decode_judging_path(write.body)?;
        self.check_session(write, false)?;
        let text = request.path;
        let path = text.as_bytes();
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let acl = self.normalise(request.acl, write.identities)?;
        let node = self.overlay.state(self.store, path).ok_or(ErrorCode::NoNode)?;
        self.check_acl(&node, perms::ADMIN, write)?;
        check_version(request.version, node.stat.aversion)?;
        let aversion = node.stat.aversion.wrapping_add(1);
        let acl_list = match &acl {
            None => AclList::OPEN,
            Some(entries) => encode_acl(&mut scratch.acl, entries),
        };
        self.overlay.put_altered(self.store, zxid, node, |node| {
            (node.stat.aversion, node.acl) = (aversion, acl);
        });
        Ok(Txn::SetAcl(SetAclTxn { path: text, acl: Some(acl_list), version: aversion }))
    }

    /// Always succeeds: a session that can't be closed is already closed or closing.
    fn close_session<'a>(
        &mut self,
        zxid: Zxid,
        write: &Write<'a>,
        scratch: &'a mut Scratch,
    ) -> Result<Txn<'a>, ErrorCode> {
        if write.from.is_some() {
            self.check_session(write, false)?;
        }
        self.sessions.mark_closing(write.session);
        let (store, session) = (self.store, write.session);
        let is_listed = self.overlay.listed_bytes(store, session) <= self.rules.close_session_bytes_max();
        scratch.paths.clear();
        if is_listed {
            let paths = self.overlay.ephemerals_of(store, session);
            let texts = paths.iter().map(|path| Text::from_bytes(path.bytes()));
            crate::wire::jute::encode_vector(&mut scratch.paths, texts);
        }
        self.overlay.close(store, zxid, session);
        Ok(Txn::CloseSession(if is_listed { Some(decode(&scratch.paths)?) } else { None }))
    }

    /// The first checks of a reconfiguration. `reconfigEnabled=false` is found before everything but a body that can't be
    /// read.
    pub fn reconfiguration<'a>(&self, write: &Write<'a>) -> Result<ReconfigRequest<'a>, ErrorCode> {
        let request = decode(write.body)?;
        if !self.rules.reconfig {
            return Err(ErrorCode::ReconfigDisabled);
        }
        self.check_session(write, false)?;
        Ok(request)
    }

    /// The last check of it, and its transaction: `text` becomes the configuration.
    pub fn reconfigure<'t>(
        &mut self,
        zxid: Zxid,
        write: &Write<'_>,
        text: &'t str,
    ) -> Result<Txn<'t>, ErrorCode> {
        let node = self.overlay.state(self.store, path::CONFIG).ok_or(ErrorCode::NoNode)?;
        self.check_acl(&node, perms::WRITE, write)?;
        let (hash, data) = (self.overlay.hash(path::CONFIG), Some(text.as_bytes()));
        let stat = StatPersisted { version: -1, mzxid: zxid, mtime: self.time, ..node.stat };
        self.overlay.put_data(self.store, zxid, hash, node, stat, data);
        Ok(Txn::Reconfig(SetDataTxn { path: Text::from_bytes(path::CONFIG), data, version: -1 }))
    }

    fn check_session(&self, write: &Write<'_>, needs_global: bool) -> Result<(), ErrorCode> {
        match write.from {
            Some(from) => self.sessions.check(write.session, from, needs_global),
            None => Ok(()),
        }
    }

    fn check_acl(&mut self, state: &State, perm: i32, write: &Write<'_>) -> Result<(), ErrorCode> {
        if self.rules.skip_acl {
            return Ok(());
        }
        self.overlay.judged.check(&state.acl, perm, write.identities)
    }

    /// May a write at `path` add so many bytes and nodes? Asked of what is applied, as in ZooKeeper.
    #[inline]
    fn check_quota(&mut self, path: &[u8], bytes: i64, count: i64) -> Result<(), ErrorCode> {
        if self.store.has_no_quotas() {
            return Ok(());
        }
        let excess = self.store.quota_excess(path, bytes, count);
        let refused = self.rules.enforce_quota && excess.as_ref().is_some_and(|excess| excess.is_hard);
        self.excess = excess.or(self.excess.take());
        if refused { Err(ErrorCode::QuotaExceeded) } else { Ok(()) }
    }

    /// The list to store. The open one, which is the usual case, allocates nothing.
    fn normalise(&self, list: Option<AclList<'_>>, identities: &[Identity]) -> Result<AclRef, ErrorCode> {
        let list = list.ok_or(ErrorCode::InvalidACL)?;
        if list.is_open() {
            return Ok(None);
        }
        acl::normalise(list, identities, self.rules.acl_bytes_max()).map(acl_ref)
    }
}

struct Flags {
    ephemeral: bool,
    sequential: bool,
    ttl: bool,
}

impl Flags {
    fn of(flags: i32) -> Result<Flags, ErrorCode> {
        if !(0..=6).contains(&flags) {
            return Err(ErrorCode::BadArguments);
        }
        // create and create2 with the container flag make a plain persistent node: the opcode decides.
        Ok(Flags {
            ephemeral: matches!(flags, 1 | 3),
            sequential: matches!(flags, 2 | 3 | 6),
            ttl: flags >= 5,
        })
    }
}

/// The parent as ZooKeeper cuts it: the text before the last `/`, or the root. The path itself need not be valid.
fn writable_parent(path: &[u8]) -> Result<&[u8], ErrorCode> {
    let slash = path.iter().rposition(|&b| b == b'/').ok_or(ErrorCode::BadArguments)?;
    if path.contains(&0) {
        return Err(ErrorCode::BadArguments);
    }
    Ok(if slash == 0 { b"/" } else { &path[..slash] })
}

fn check_version(expected: i32, actual: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == actual { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

pub(super) fn decode<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T, ErrorCode> {
    T::decode(&mut Reader::new(bytes)).map_err(|_| ErrorCode::MarshallingError)
}

/// For setData and setACL, which in ZooKeeper judge the path before they trip over a null: BadArguments, where the others
/// answer MarshallingError. So do these if what follows the path can't be decoded.
fn decode_judging_path<'a, T: JudgedByPath<'a>>(bytes: &'a [u8]) -> Result<T, ErrorCode> {
    T::decode(&mut Reader::new(bytes)).map_err(|error| match error {
        DecodeError { offset: 0, reason: Reason::Null } => {
            let mut reader = Reader::new(bytes);
            let rest = if reader.null() { T::decode_rest(&mut reader) } else { Err(error) };
            if rest.is_ok() { ErrorCode::BadArguments } else { ErrorCode::MarshallingError }
        }
        _ => ErrorCode::MarshallingError,
    })
}

/// A request that [`decode_judging_path`] is for.
trait JudgedByPath<'a>: Decode<'a> {
    /// Decodes what follows the path.
    fn decode_rest(reader: &mut Reader<'a>) -> Result<(), DecodeError>;
}

impl<'a> JudgedByPath<'a> for SetDataRequest<'a> {
    fn decode_rest(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        Option::<&[u8]>::decode(reader)?;
        reader.i32().map(|_version| ())
    }
}

impl<'a> JudgedByPath<'a> for SetAclRequest<'a> {
    fn decode_rest(reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        Option::<AclList>::decode(reader)?;
        reader.i32().map(|_version| ())
    }
}

fn encode_acl<'a>(room: &'a mut Vec<u8>, entries: &[OwnedAcl]) -> AclList<'a> {
    room.clear();
    crate::wire::jute::encode_vector(room, entries);
    AclList::decode(&mut Reader::new(room)).expect("encoded just now")
}

#[cfg(test)]
#[path = "prep_test.rs"]
mod tests;
