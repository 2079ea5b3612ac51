//! Requests as bytes.

use crate::wire::client::header::encode_request;
use crate::wire::client::multi::{encode_end, encode_list};
use crate::wire::client::{
    AddWatchMode, AddWatchRequest, AuthPacket, CheckVersionRequest, CheckWatchesRequest, CreateRequest,
    CreateTtlRequest, DeleteRequest, ExistsRequest, GetAclRequest, GetAllChildrenNumberRequest,
    GetChildrenRequest, GetDataRequest, GetEphemeralsRequest, MultiOp, MultiReadOp, ReconfigRequest,
    RemoveWatchesRequest, SetAclRequest, SetDataRequest, SetWatches, SetWatches2, SyncRequest,
};
use crate::wire::jute::encode_vector;
use crate::wire::vector::Vector;
use crate::wire::{AclList, Decode, Encode, Opcode, OwnedAcl, Text};

use super::identity;
use super::operation::{Creation, Edit, Form, Look, Operation, Watched};

/// A body of any kind.
struct Body<'a>(&'a dyn Encode);

impl Encode for Body<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

/// A body that is encoded already.
struct Raw(Vec<u8>);

impl Encode for Raw {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// Appends the whole frame.
pub fn encode(xid: i32, operation: &Operation, out: &mut Vec<u8>) {
    let mut frame = |opcode: Opcode, body: &dyn Encode| encode_request(out, xid, opcode, &Body(body));
    match operation {
        Operation::Edit(edit) => with_op(edit, |op| match op {
            MultiOp::Create(body) => frame(Opcode::Create, &body),
            MultiOp::Create2(body) => frame(Opcode::Create2, &body),
            MultiOp::CreateContainer(body) => frame(Opcode::CreateContainer, &body),
            MultiOp::CreateTtl(body) => frame(Opcode::CreateTtl, &body),
            MultiOp::Delete(body) => frame(Opcode::Delete, &body),
            MultiOp::SetData(body) => frame(Opcode::SetData, &body),
            MultiOp::Check(body) => frame(Opcode::Check, &body),
        }),
        Operation::Multi(edits) => {
            let mut body = vec![];
            edits.iter().for_each(|edit| with_op(edit, |op| op.encode(&mut body)));
            encode_end(&mut body);
            frame(Opcode::Multi, &Raw(body));
        }
        Operation::SetAcl { path, acl, version } => {
            let acl = acl_bytes(acl);
            let acl = AclList::parse(&acl).ok();
            frame(Opcode::SetAcl, &SetAclRequest { path: Text::from_bytes(path), acl, version: *version });
        }
        Operation::CloseSession => frame(Opcode::CloseSession, &()),
        Operation::Reconfig => {
            let members = Some("server.1=127.0.0.1:2888:3888:participant;2181".into());
            let body = ReconfigRequest {
                joining_servers: members,
                leaving_servers: None,
                new_members: None,
                cur_config_id: -1,
            };
            frame(Opcode::Reconfig, &body);
        }
        Operation::Exists { path, watch } => {
            frame(Opcode::Exists, &ExistsRequest { path: Text::from_bytes(path), watch: *watch });
        }
        Operation::GetData { path, watch } => {
            frame(Opcode::GetData, &GetDataRequest { path: Text::from_bytes(path), watch: *watch });
        }
        Operation::GetChildren { path, watch, two } => {
            let opcode = if *two { Opcode::GetChildren2 } else { Opcode::GetChildren };
            frame(opcode, &GetChildrenRequest { path: Text::from_bytes(path), watch: *watch });
        }
        Operation::GetAcl { path } => {
            frame(Opcode::GetAcl, &GetAclRequest { path: Text::from_bytes(path) });
        }
        Operation::MultiRead(looks) => {
            let mut body = vec![];
            encode_list(&mut body, looks.iter().map(look));
            frame(Opcode::MultiRead, &Raw(body));
        }
        Operation::AllChildrenNumber { path } => {
            let body = GetAllChildrenNumberRequest { path: Text::from_bytes(path) };
            frame(Opcode::GetAllChildrenNumber, &body);
        }
        Operation::Ephemerals { prefix } => {
            let body = GetEphemeralsRequest { prefix_path: Some(Text::from_bytes(prefix)) };
            frame(Opcode::GetEphemerals, &body);
        }
        Operation::WhoAmI => frame(Opcode::WhoAmI, &()),
        Operation::Sync { path } => {
            frame(Opcode::Sync, &SyncRequest { path: Some(Text::from_bytes(path)) });
        }
        Operation::Ping => frame(Opcode::Ping, &()),
        Operation::AddWatch { path, recursive } => {
            let mode = if *recursive { AddWatchMode::PersistentRecursive } else { AddWatchMode::Persistent };
            frame(Opcode::AddWatch, &AddWatchRequest { path: Text::from_bytes(path), mode });
        }
        Operation::CheckWatches { path, kind } => {
            let body = CheckWatchesRequest { path: Text::from_bytes(path), watcher_type: *kind };
            frame(Opcode::CheckWatches, &body);
        }
        Operation::RemoveWatches { path, kind } => {
            let body = RemoveWatchesRequest { path: Text::from_bytes(path), watcher_type: *kind };
            frame(Opcode::RemoveWatches, &body);
        }
        Operation::SetWatches { since, watched, old } => {
            let Watched { data, exist, child, persistent, recursive } = watched;
            let lists = [data, exist, child, persistent, recursive].map(|paths| text_bytes(paths));
            let [data_watches, exist_watches, child_watches, persistent_watches, recursive] =
                lists.each_ref().map(|bytes| Vector::parse(bytes).unwrap_or(Vector::EMPTY));
            let relative_zxid = *since;
            if *old {
                let body = SetWatches { relative_zxid, data_watches, exist_watches, child_watches };
                return frame(Opcode::SetWatches, &body);
            }
            let body = SetWatches2 {
                relative_zxid,
                data_watches,
                exist_watches,
                child_watches,
                persistent_watches,
                persistent_recursive_watches: recursive,
            };
            frame(Opcode::SetWatches2, &body);
        }
        Operation::Auth { user } => {
            let password = identity::password_of(user.as_deref().unwrap_or("nobody"));
            let scheme = if user.is_some() { "digest" } else { "handshake" };
            let auth = Some(password.as_bytes());
            frame(Opcode::Auth, &AuthPacket { auth_type: 0, scheme: Some(scheme.into()), auth });
        }
    }
}

fn with_op<R>(edit: &Edit, then: impl FnOnce(MultiOp<'_>) -> R) -> R {
    match edit {
        Edit::Create(Creation { form, path, data, acl, flags }) => {
            let acl = acl_bytes(acl);
            let acl = AclList::parse(&acl).ok();
            let (path, data, flags) = (Text::from_bytes(path), data.as_deref(), *flags);
            let request = CreateRequest { path, data, acl, flags };
            then(match *form {
                Form::Create => MultiOp::Create(request),
                Form::Create2 => MultiOp::Create2(request),
                Form::Container => MultiOp::CreateContainer(request),
                Form::Ttl(ttl) => MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags, ttl }),
            })
        }
        Edit::Delete { path, version } => {
            then(MultiOp::Delete(DeleteRequest { path: Text::from_bytes(path), version: *version }))
        }
        Edit::SetData { path, data, version } => {
            let (path, data) = (Text::from_bytes(path), data.as_deref());
            then(MultiOp::SetData(SetDataRequest { path, data, version: *version }))
        }
        Edit::Check { path, version } => {
            then(MultiOp::Check(CheckVersionRequest { path: Text::from_bytes(path), version: *version }))
        }
    }
}

/// With the watch flag, which counts for nothing there.
fn look(look: &Look) -> MultiReadOp<'_> {
    match look {
        Look::Data { path } => {
            MultiReadOp::GetData(GetDataRequest { path: Text::from_bytes(path), watch: true })
        }
        Look::Children { path } => {
            MultiReadOp::GetChildren(GetChildrenRequest { path: Text::from_bytes(path), watch: true })
        }
    }
}

fn acl_bytes(entries: &[OwnedAcl]) -> Vec<u8> {
    let mut bytes = vec![];
    encode_vector(&mut bytes, entries);
    bytes
}

fn text_bytes(paths: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![];
    encode_vector(&mut bytes, paths.iter().map(|path| Text::from_bytes(path)));
    bytes
}
