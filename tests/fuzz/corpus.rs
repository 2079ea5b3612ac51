//! What the targets begin with, valid messages of every kind, and how they are spoilt.

use ringkeeper::base::{Prng, SessionId, Zxid};
use ringkeeper::wire::client::header::{encode_frame, encode_request};
use ringkeeper::wire::client::multi::{encode_end, encode_list};
use ringkeeper::wire::client::{
    AddWatchMode, AddWatchRequest, AuthPacket, CheckVersionRequest, CheckWatchesRequest, ConnectRequest,
    CreateRequest, CreateTtlRequest, DeleteRequest, ExistsRequest, GetAclRequest,
    GetAllChildrenNumberRequest, GetChildrenRequest, GetDataRequest, GetEphemeralsRequest, GetSaslRequest,
    MultiOp, MultiReadOp, ReconfigRequest, RemoveWatchesRequest, SetAclRequest, SetDataRequest, SetWatches,
    SetWatches2, SyncRequest, WatcherType,
};
use ringkeeper::wire::jute::encode_vector;
use ringkeeper::wire::vector::Vector;
use ringkeeper::wire::{AclList, Decode, Encode, Opcode, OwnedAcl, Text};

const PATHS: [&str; 12] =
    ["/a", "/a/b", "/a/b/c", "/b", "/", "", "/a/", "x", "/zookeeper", "/zookeeper/quota", "/a/n", "/e"];

pub fn pick<T: Copy>(prng: &mut Prng, from: &[T]) -> T {
    from[prng.below(from.len() as u64) as usize]
}

/// A body that is encoded already.
pub struct Raw(pub Vec<u8>);

impl Encode for Raw {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

pub fn encoded(record: &impl Encode) -> Vec<u8> {
    let mut out = vec![];
    record.encode(&mut out);
    out
}

fn path(prng: &mut Prng) -> Text<'static> {
    Text::from(pick(prng, &PATHS))
}

fn texts(prng: &mut Prng) -> Vec<u8> {
    let mut out = vec![];
    let count = prng.below(4);
    let paths: Vec<Text<'_>> = (0..count).map(|_| path(prng)).collect();
    encode_vector(&mut out, paths);
    out
}

fn acl(prng: &mut Prng) -> Vec<u8> {
    let entry = |perms, scheme: &str, id: &str| OwnedAcl::new(perms, scheme, id);
    let mut out = vec![];
    match prng.below(6) {
        0 => encode_vector(&mut out, [entry(31, "auth", "")]),
        1 => encode_vector(&mut out, [entry(31, "digest", "anna:x"), entry(1, "world", "anyone")]),
        2 => encode_vector(&mut out, [entry(31, "ip", "127.0.0.0/8")]),
        3 => encode_vector(&mut out, [entry(31, "ip", "::1/200"), entry(-1, "", "")]),
        _ => encode_vector(&mut out, [entry(31, "world", "anyone")]),
    }
    out
}

fn edit(prng: &mut Prng, out: &mut Vec<u8>) {
    let acl = acl(prng);
    let acl = AclList::parse(&acl).ok();
    let (path, version, flags) = (path(prng), pick(prng, &[-1, 0, 7]), prng.below(8) as i32);
    let data = Some(&b"some data"[..]);
    let create = CreateRequest { path, data, acl, flags };
    match prng.below(7) {
        0 => MultiOp::Create(create).encode(out),
        1 => MultiOp::Create2(create).encode(out),
        2 => MultiOp::CreateContainer(create).encode(out),
        3 => MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags, ttl: 1_000 }).encode(out),
        4 => MultiOp::Delete(DeleteRequest { path, version }).encode(out),
        5 => MultiOp::SetData(SetDataRequest { path, data: None, version }).encode(out),
        _ => MultiOp::Check(CheckVersionRequest { path, version }).encode(out),
    }
}

/// The body of a request of this kind; what has no shape of its own is noise.
pub fn body(prng: &mut Prng, opcode: Opcode) -> Vec<u8> {
    let acl = acl(prng);
    let acl = AclList::parse(&acl).ok();
    let (path, version, flags) = (path(prng), pick(prng, &[-1, 0, 7]), prng.below(8) as i32);
    let (watch, data) = (prng.chance(1, 2), Some(&b"data"[..]));
    let watcher_type = pick(prng, WatcherType::ALL);
    match opcode {
        Opcode::Create | Opcode::Create2 | Opcode::CreateContainer => {
            encoded(&CreateRequest { path, data, acl, flags })
        }
        Opcode::CreateTtl => {
            let ttl = pick(prng, &[1, 0, -1, i64::MAX]);
            encoded(&CreateTtlRequest { path, data, acl, flags, ttl })
        }
        Opcode::Delete | Opcode::DeleteContainer => encoded(&DeleteRequest { path, version }),
        Opcode::Exists => encoded(&ExistsRequest { path, watch }),
        Opcode::GetData => encoded(&GetDataRequest { path, watch }),
        Opcode::SetData => encoded(&SetDataRequest { path, data, version }),
        Opcode::GetAcl => encoded(&GetAclRequest { path }),
        Opcode::SetAcl => encoded(&SetAclRequest { path, acl, version }),
        Opcode::GetChildren | Opcode::GetChildren2 => encoded(&GetChildrenRequest { path, watch }),
        Opcode::GetAllChildrenNumber => encoded(&GetAllChildrenNumberRequest { path }),
        Opcode::GetEphemerals => encoded(&GetEphemeralsRequest { prefix_path: Some(path) }),
        Opcode::Sync => encoded(&SyncRequest { path: Some(path) }),
        Opcode::Auth => {
            let scheme = pick(prng, &["digest", "ip", "sasl", ""]);
            encoded(&AuthPacket { auth_type: 0, scheme: Some(scheme.into()), auth: Some(b"anna:secret") })
        }
        Opcode::Sasl => encoded(&GetSaslRequest { token: Some(b"token") }),
        Opcode::AddWatch => {
            let mode = pick(prng, &[AddWatchMode::Persistent, AddWatchMode::PersistentRecursive]);
            encoded(&AddWatchRequest { path, mode })
        }
        Opcode::CheckWatches => encoded(&CheckWatchesRequest { path, watcher_type }),
        Opcode::RemoveWatches => encoded(&RemoveWatchesRequest { path, watcher_type }),
        Opcode::SetWatches | Opcode::SetWatches2 => {
            let lists = [(); 5].map(|()| texts(prng));
            let [data_watches, exist_watches, child_watches, persistent_watches, recursive] =
                lists.each_ref().map(|bytes| Vector::parse(bytes).unwrap_or(Vector::EMPTY));
            let relative_zxid = Zxid(prng.below(20) as i64);
            if opcode == Opcode::SetWatches {
                return encoded(&SetWatches { relative_zxid, data_watches, exist_watches, child_watches });
            }
            encoded(&SetWatches2 {
                relative_zxid,
                data_watches,
                exist_watches,
                child_watches,
                persistent_watches,
                persistent_recursive_watches: recursive,
            })
        }
        Opcode::Multi => {
            let mut out = vec![];
            (0..prng.below(5)).for_each(|_| edit(prng, &mut out));
            encode_end(&mut out);
            out
        }
        Opcode::MultiRead => {
            let mut out = vec![];
            let look = |children| match children {
                true => MultiReadOp::GetChildren(GetChildrenRequest { path, watch }),
                false => MultiReadOp::GetData(GetDataRequest { path, watch }),
            };
            let looks: Vec<bool> = (0..prng.below(4)).map(|_| prng.chance(1, 2)).collect();
            encode_list(&mut out, looks.into_iter().map(look));
            out
        }
        Opcode::Reconfig => encoded(&ReconfigRequest {
            joining_servers: Some(path),
            leaving_servers: None,
            new_members: None,
            cur_config_id: -1,
        }),
        _ => (0..prng.below(12)).map(|_| prng.next() as u8).collect(),
    }
}

/// A whole request.
pub fn request(prng: &mut Prng, xid: i32) -> Vec<u8> {
    let numbers =
        [-12, -11, -10, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21];
    let more = [22, 100, 101, 102, 103, 104, 105, 106, 107, 1000];
    let opcode = loop {
        let number = if prng.chance(2, 3) { pick(prng, &numbers) } else { pick(prng, &more) };
        match Opcode::from_i32(number) {
            // Rarely: nothing follows it.
            Some(Opcode::CloseSession) if prng.chance(9, 10) => {}
            Some(opcode) => break opcode,
            None => {}
        }
    };
    let mut out = vec![];
    let body = body(prng, opcode);
    encode_request(&mut out, xid, opcode, &Raw(body));
    out
}

/// A connect request, for a new session or for this one.
pub fn connect(prng: &mut Prng, session: Option<&(SessionId, Vec<u8>)>) -> Vec<u8> {
    let none = (SessionId::NONE, vec![0; 16]);
    let (session_id, password) = session.unwrap_or(&none);
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(prng.below(3) as i64),
        timeout_ms: pick(prng, &[0, 4_000, 30_000, -1, i32::MAX]),
        session_id: *session_id,
        password: Some(password),
        read_only: pick(prng, &[None, Some(false), Some(true)]),
    };
    let mut out = vec![];
    encode_frame(&mut out, &request);
    out
}

/// Spoils some bytes: flips, numbers at the edges, cuts, repetitions, noise.
pub fn damage(prng: &mut Prng, bytes: &mut Vec<u8>) {
    for _ in 0..1 + prng.below(3) {
        if bytes.is_empty() {
            bytes.push(prng.next() as u8);
            continue;
        }
        let at = prng.below(bytes.len() as u64) as usize;
        match prng.below(9) {
            0 | 1 => bytes[at] ^= 1 << prng.below(8),
            2 => bytes[at] = prng.next() as u8,
            3 | 4 => {
                let edges = [-1, 0, 1, 4, 127, 128, 255, 0xffff, 0xf_ffff, i32::MAX, i32::MIN, -2];
                let number = pick(prng, &edges).to_be_bytes();
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            5 => bytes.truncate(at),
            6 => {
                let end = at + prng.below((bytes.len() - at) as u64 + 1) as usize;
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            7 => {
                let end = at + prng.below((bytes.len() - at) as u64 + 1) as usize;
                bytes.drain(at..end);
            }
            _ => bytes.insert(at, prng.next() as u8),
        }
        bytes.truncate(1 << 16);
    }
}
