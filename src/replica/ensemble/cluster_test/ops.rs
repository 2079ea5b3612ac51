//! What clients of the virtual cluster ask for, and its bytes.

use super::*;
use crate::wire::client::header::encode_request;
use crate::wire::client::multi::encode_end;
use crate::wire::client::{
    CreateRequest, DeleteRequest, GetDataRequest, GetEphemeralsRequest, MultiOp, ReconfigRequest,
    SetDataRequest, SetWatches, SyncRequest,
};
use crate::wire::jute::encode_vector;
use crate::wire::{Decode, Encode, Opcode, Text, Vector};

/// A body that is encoded already.
struct Encoded(Vec<u8>);

impl Encode for Encoded {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Create {
        path: String,
        ephemeral: bool,
    },
    Set {
        path: String,
        version: i32,
    },
    Delete {
        path: String,
    },
    Get {
        path: String,
        watch: bool,
    },
    /// Several creates at once.
    Multi {
        paths: Vec<String>,
    },
    /// The session's ephemerals.
    Mine,
    Sync,
    Watch {
        paths: Vec<String>,
        since: Zxid,
    },
    /// Lists, as the request has them.
    Reconfig {
        joining: String,
        leaving: String,
    },
    Ping,
    Close,
}

impl Op {
    pub fn create(path: &str) -> Op {
        Op::Create { path: path.to_owned(), ephemeral: false }
    }

    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Op::Create { .. }
                | Op::Set { .. }
                | Op::Delete { .. }
                | Op::Multi { .. }
                | Op::Reconfig { .. }
                | Op::Close
        )
    }

    /// Appends the whole request.
    pub fn encode(&self, xid: i32, data: &[u8], out: &mut Vec<u8>) {
        match self {
            Op::Create { path, ephemeral } => {
                let acl = Some(AclList::OPEN);
                let flags = i32::from(*ephemeral);
                let data = Some(data);
                let body = CreateRequest { path: path.as_str().into(), data, acl, flags };
                encode_request(out, xid, Opcode::Create, &body);
            }
            Op::Set { path, version } => {
                let data = Some(data);
                let body = SetDataRequest { path: path.as_str().into(), data, version: *version };
                encode_request(out, xid, Opcode::SetData, &body);
            }
            Op::Delete { path } => {
                let body = DeleteRequest { path: path.as_str().into(), version: -1 };
                encode_request(out, xid, Opcode::Delete, &body);
            }
            Op::Multi { paths } => {
                let mut body = vec![];
                for path in paths {
                    let acl = Some(AclList::OPEN);
                    let (path, data) = (path.as_str().into(), Some(data));
                    MultiOp::Create(CreateRequest { path, data, acl, flags: 0 }).encode(&mut body);
                }
                encode_end(&mut body);
                encode_request(out, xid, Opcode::Multi, &Encoded(body));
            }
            Op::Mine => {
                let body = GetEphemeralsRequest { prefix_path: Some("/".into()) };
                encode_request(out, xid, Opcode::GetEphemerals, &body);
            }
            Op::Get { path, watch } => {
                let body = GetDataRequest { path: path.as_str().into(), watch: *watch };
                encode_request(out, xid, Opcode::GetData, &body);
            }
            Op::Sync => encode_request(out, xid, Opcode::Sync, &SyncRequest { path: Some("/".into()) }),
            Op::Watch { paths, since } => {
                let mut list = vec![];
                encode_vector(&mut list, paths.iter().map(|path| Text::from(path.as_str())));
                let data_watches = Vector::parse(&list).expect("it was encoded just now");
                let (exist_watches, child_watches) = (Vector::EMPTY, Vector::EMPTY);
                let relative_zxid = *since;
                let body = SetWatches { relative_zxid, data_watches, exist_watches, child_watches };
                encode_request(out, xid, Opcode::SetWatches, &body);
            }
            Op::Reconfig { joining, leaving } => {
                let body = ReconfigRequest {
                    joining_servers: Some(joining.as_str().into()),
                    leaving_servers: Some(leaving.as_str().into()),
                    new_members: None,
                    cur_config_id: -1,
                };
                encode_request(out, xid, Opcode::Reconfig, &body);
            }
            Op::Ping => encode_request(out, xid, Opcode::Ping, &()),
            Op::Close => encode_request(out, xid, Opcode::CloseSession, &()),
        }
    }
}
