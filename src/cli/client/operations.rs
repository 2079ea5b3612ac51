//! The operations of the protocol, one method each: arguments to a request, its reply to a value.
//!
//! Paths are checked here, before a server is asked, and get the chroot; failures carry the caller's path.

use super::{Client, Event, Failure, Kind, path};
use crate::wire::client::multi::encode_list;
use crate::wire::client::{
    AddWatchMode, AddWatchRequest, Create2Response, CreateMode, CreateRequest, CreateResponse,
    CreateTtlRequest, DeleteRequest, EventType, ExistsRequest, ExistsResponse, GetAclRequest, GetAclResponse,
    GetAllChildrenNumberRequest, GetAllChildrenNumberResponse, GetChildren2Response, GetChildrenRequest,
    GetDataRequest, GetDataResponse, GetEphemeralsRequest, GetEphemeralsResponse, KeeperState, MultiOp,
    MultiResult, MultiResults, ReconfigRequest, RemoveWatchesRequest, SetAclRequest, SetAclResponse,
    SetDataRequest, SetDataResponse, SyncRequest, WatcherType, WhoAmIResponse,
};
use crate::wire::vector::encode_vector;
use crate::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl, Stat};

/// What a create is to make.
#[derive(Clone, Copy, Debug)]
pub struct Created<'a> {
    pub path: &'a str,
    pub data: Option<&'a [u8]>,
    pub acl: &'a [OwnedAcl],
    pub mode: CreateMode,
    /// Milliseconds, of a TTL node.
    pub ttl: i64,
}

/// The node with the ensemble's configuration, which no chroot hides.
const CONFIG: &str = "/zookeeper/config";

/// An encoded list of ACLs, from which [`AclList`] borrows.
fn encoded(acl: &[OwnedAcl]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_vector(&mut bytes, acl);
    bytes
}

fn checked(path: &str) -> Result<(), Failure> {
    path::validate(path).map_err(Failure::Argument)
}

fn parsed<'a, T: Decode<'a>>(body: &'a [u8], path: Option<&str>) -> Result<T, Failure> {
    T::parse(body).map_err(|_| Failure::of(ErrorCode::MarshallingError, path))
}

impl Client {
    fn inside(&self, path: &str) -> String {
        self.shared.target.inside(path)
    }

    /// The path of the new node, with its number if it is sequential.
    pub fn create(&self, new: &Created<'_>) -> Result<String, Failure> {
        let Created { path, data, acl, mode, ttl } = *new;
        // What a sequential node's number is appended to may end with a slash.
        let checkable = if mode.is_sequential() { format!("{path}1") } else { path.to_owned() };
        checked(&checkable)?;
        if acl.is_empty() {
            return Err(Failure::of(ErrorCode::InvalidACL, None));
        }
        let inside = self.inside(path);
        let acl = encoded(acl);
        let list: AclList<'_> = parsed(&acl, Some(path))?;
        let flags = mode.flags();
        let (text, acl) = (inside.as_str().into(), Some(list));
        let (opcode, body) = if mode.is_ttl() {
            let request = CreateTtlRequest { path: text, data, acl, flags, ttl };
            (Opcode::CreateTtl, self.call(Opcode::CreateTtl, &request, Some(path), None)?)
        } else {
            let opcode = if mode == CreateMode::Container { Opcode::CreateContainer } else { Opcode::Create };
            let request = CreateRequest { path: text, data, acl, flags };
            (opcode, self.call(opcode, &request, Some(path), None)?)
        };
        let created = if opcode == Opcode::Create {
            parsed::<CreateResponse<'_>>(&body, Some(path))?.path
        } else {
            parsed::<Create2Response<'_>>(&body, Some(path))?.path
        };
        Ok(self.shared.target.outside(&created.to_str_lossy()))
    }

    pub fn delete(&self, path: &str, version: i32) -> Result<(), Failure> {
        checked(path)?;
        let inside = self.inside(path);
        let request = DeleteRequest { path: inside.as_str().into(), version };
        self.call(Opcode::Delete, &request, Some(path), None).map(drop)
    }

    /// Deletes all or none; whether it did.
    pub fn delete_all_of(&self, paths: &[String]) -> Result<bool, Failure> {
        let inside: Vec<String> = paths.iter().map(|path| self.inside(path)).collect();
        let mut ops = Vec::new();
        let deletes = inside
            .iter()
            .map(|path| MultiOp::Delete(DeleteRequest { path: path.as_str().into(), version: -1 }));
        encode_list(&mut ops, deletes);
        let body = self.call(Opcode::Multi, &Raw(&ops), None, None)?;
        let results: MultiResults<'_> = parsed(&body, None)?;
        Ok(results.iter().all(|result| !matches!(result, MultiResult::Error(_))))
    }

    pub fn exists(&self, path: &str, watch: bool) -> Result<Option<Stat>, Failure> {
        checked(path)?;
        let inside = self.inside(path);
        let request = ExistsRequest { path: inside.as_str().into(), watch };
        let registered = watch.then(|| (Kind::Exist, path.to_owned()));
        match self.call(Opcode::Exists, &request, Some(path), registered) {
            Ok(body) => Ok(Some(parsed::<ExistsResponse>(&body, Some(path))?.stat)),
            Err(failure) if failure.is(ErrorCode::NoNode) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Null data is not empty data.
    pub fn data(&self, path: &str, watch: bool) -> Result<(Option<Vec<u8>>, Stat), Failure> {
        checked(path)?;
        self.data_at(&self.inside(path), path, watch)
    }

    /// The ensemble's configuration.
    pub fn config(&self, watch: bool) -> Result<(Option<Vec<u8>>, Stat), Failure> {
        self.data_at(CONFIG, CONFIG, watch)
    }

    fn data_at(&self, inside: &str, path: &str, watch: bool) -> Result<(Option<Vec<u8>>, Stat), Failure> {
        let request = GetDataRequest { path: inside.into(), watch };
        let registered = watch.then(|| (Kind::Data, path.to_owned()));
        let body = self.call(Opcode::GetData, &request, Some(path), registered)?;
        let GetDataResponse { data, stat } = parsed(&body, Some(path))?;
        Ok((data.map(<[u8]>::to_vec), stat))
    }

    pub fn set_data(&self, path: &str, data: &[u8], version: i32) -> Result<Stat, Failure> {
        checked(path)?;
        let inside = self.inside(path);
        let request = SetDataRequest { path: inside.as_str().into(), data: Some(data), version };
        let body = self.call(Opcode::SetData, &request, Some(path), None)?;
        Ok(parsed::<SetDataResponse>(&body, Some(path))?.stat)
    }

    /// The names, sorted as Java sorts strings.
    pub fn children(&self, path: &str, watch: bool) -> Result<(Vec<String>, Stat), Failure> {
        checked(path)?;
        let inside = self.inside(path);
        let request = GetChildrenRequest { path: inside.as_str().into(), watch };
        let registered = watch.then(|| (Kind::Child, path.to_owned()));
        let body = self.call(Opcode::GetChildren2, &request, Some(path), registered)?;
        let GetChildren2Response { children, stat } = parsed(&body, Some(path))?;
        let mut names: Vec<String> = children.iter().map(|name| name.to_str_lossy().into_owned()).collect();
        names.sort_unstable();
        Ok((names, stat))
    }

    pub fn acl(&self, path: &str) -> Result<(Vec<OwnedAcl>, Stat), Failure> {
        checked(path)?;
        let inside = self.inside(path);
        let body =
            self.call(Opcode::GetAcl, &GetAclRequest { path: inside.as_str().into() }, Some(path), None)?;
        let GetAclResponse { acl, stat } = parsed(&body, Some(path))?;
        Ok((acl.iter().filter_map(|entry| entry.to_owned()).collect(), stat))
    }

    pub fn set_acl(&self, path: &str, acl: &[OwnedAcl], version: i32) -> Result<Stat, Failure> {
        checked(path)?;
        if acl.is_empty() {
            return Err(Failure::of(ErrorCode::InvalidACL, None));
        }
        let inside = self.inside(path);
        let acl = encoded(acl);
        let list: AclList<'_> = parsed(&acl, Some(path))?;
        let request = SetAclRequest { path: inside.as_str().into(), acl: Some(list), version };
        let body = self.call(Opcode::SetAcl, &request, Some(path), None)?;
        Ok(parsed::<SetAclResponse>(&body, Some(path))?.stat)
    }

    pub fn sync(&self, path: &str) -> Result<(), Failure> {
        checked(path)?;
        let inside = self.inside(path);
        self.call(Opcode::Sync, &SyncRequest { path: Some(inside.as_str().into()) }, Some(path), None)
            .map(drop)
    }

    /// Of this session, with this prefix. Prefix and paths are the server's, whatever the chroot, as in Java's client.
    pub fn ephemerals(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        checked(prefix)?;
        let request = GetEphemeralsRequest { prefix_path: Some(prefix.into()) };
        let body = self.call(Opcode::GetEphemerals, &request, None, None)?;
        let GetEphemeralsResponse { ephemerals } = parsed(&body, None)?;
        Ok(ephemerals.iter().map(|path| path.to_str_lossy().into_owned()).collect())
    }

    pub fn all_children_number(&self, path: &str) -> Result<i32, Failure> {
        checked(path)?;
        let inside = self.inside(path);
        let request = GetAllChildrenNumberRequest { path: inside.as_str().into() };
        let body = self.call(Opcode::GetAllChildrenNumber, &request, Some(path), None)?;
        Ok(parsed::<GetAllChildrenNumberResponse>(&body, Some(path))?.total_number)
    }

    pub fn add_watch(&self, path: &str, mode: AddWatchMode) -> Result<(), Failure> {
        checked(path)?;
        let inside = self.inside(path);
        let kind = match mode {
            AddWatchMode::Persistent => Kind::Persistent,
            AddWatchMode::PersistentRecursive => Kind::Recursive,
        };
        let request = AddWatchRequest { path: inside.as_str().into(), mode };
        let registered = Some((kind, path.to_owned()));
        self.call(Opcode::AddWatch, &request, Some(path), registered).map(drop)
    }

    /// With `local`, the watches are forgotten here even if no server could be told.
    pub fn remove_watches(&self, path: &str, kind: WatcherType, local: bool) -> Result<(), Failure> {
        checked(path)?;
        let inside = self.inside(path);
        let request = RemoveWatchesRequest { path: inside.as_str().into(), watcher_type: kind };
        let answer = self.call(Opcode::RemoveWatches, &request, Some(path), None);
        let mut state = KeeperState::SyncConnected;
        if let Err(failure) = answer {
            if !local {
                return Err(failure);
            }
            if failure.is(ErrorCode::ConnectionLoss) || failure.is(ErrorCode::SessionExpired) {
                state = KeeperState::Disconnected;
            }
        }
        let told: Vec<EventType> = self.shared.inner().watches.remove(path, kind);
        if told.is_empty() {
            return Err(Failure::of(ErrorCode::NoWatcher, Some(path)));
        }
        for kind in told {
            (self.shared.listener)(&Event { kind, state, path: Some(path.to_owned()), zxid: -1 });
        }
        Ok(())
    }

    pub fn reconfigure(
        &self,
        joining: Option<&str>,
        leaving: Option<&str>,
        members: Option<&str>,
        version: i64,
    ) -> Result<(Vec<u8>, Stat), Failure> {
        let request = ReconfigRequest {
            joining_servers: joining.map(Into::into),
            leaving_servers: leaving.map(Into::into),
            new_members: members.map(Into::into),
            cur_config_id: version,
        };
        let body = self.call(Opcode::Reconfig, &request, Some(""), None)?;
        let GetDataResponse { data, stat } = parsed(&body, Some(""))?;
        Ok((data.unwrap_or_default().to_vec(), stat))
    }

    /// Schemes and users of the session.
    pub fn who_am_i(&self) -> Result<Vec<(String, String)>, Failure> {
        let body = self.call(Opcode::WhoAmI, &(), None, None)?;
        let WhoAmIResponse { client_info } = parsed(&body, None)?;
        let text = |text: crate::wire::Text<'_>| text.to_str_lossy().into_owned();
        Ok(client_info.iter().map(|info| (text(info.auth_scheme), text(info.user))).collect())
    }
}

/// A body that is encoded already.
struct Raw<'a>(&'a [u8]);

impl Encode for Raw<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}
