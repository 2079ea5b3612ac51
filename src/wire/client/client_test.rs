//! Every record of the client protocol: its bytes, as the specification has them.

use super::header::{begin_reply, encode_bare_reply, encode_frame, encode_reply, encode_request, end_reply};
use super::multi::{MultiHeader, encode_list};
use super::watch::encode_notification;
use super::*;
use crate::base::{SessionId, Zxid};
use crate::wire::acl::AclList;
use crate::wire::error::ErrorCode;
use crate::wire::jute::Text;
use crate::wire::testing::{Exercised, encoded, exercise, hex, stat, texts};
use crate::wire::vector::{Vector, VectorWriter, encode_vector};

/// `[31 world:anyone]`
const OPEN: &str = "00000001 0000001f 00000005 'world' 00000006 'anyone'";

/// One request of each kind and its bytes, written down from the specification by hand.
fn requests() -> Vec<(Request<'static>, String)> {
    let path: Text = "/x".into();
    let data: Option<&[u8]> = Some(b"abc");
    let acl = Some(AclList::OPEN);
    let created = format!("00000002 '/x' 00000003 'abc' {OPEN}");
    let mut ops = Vec::new();
    encode_list(
        &mut ops,
        [
            MultiOp::Create(CreateRequest { path, data, acl, flags: 0 }),
            MultiOp::Create2(CreateRequest { path, data, acl, flags: 1 }),
            MultiOp::CreateContainer(CreateRequest { path, data, acl, flags: 4 }),
            MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags: 5, ttl: 1000 }),
            MultiOp::Delete(DeleteRequest { path, version: -1 }),
            MultiOp::SetData(SetDataRequest { path, data: None, version: 7 }),
            MultiOp::Check(CheckVersionRequest { path, version: 8 }),
        ],
    );
    let multi = MultiRequest::parse(ops.leak()).expect("a multi that was just encoded");
    let mut ops = Vec::new();
    encode_list(
        &mut ops,
        [
            MultiReadOp::GetData(GetDataRequest { path, watch: false }),
            MultiReadOp::GetChildren(GetChildrenRequest { path, watch: true }),
        ],
    );
    let multi_read = MultiReadRequest::parse(ops.leak()).expect("a multiRead that was just encoded");
    let relative_zxid = Zxid(0x1_0000_0002);
    let (data_watches, exist_watches, child_watches) = (texts(&["/a"]), texts(&[]), texts(&["/b", "/"]));
    let watches = "0000000100000002 00000001 00000002 '/a' 00000000 00000002 00000002 '/b' 00000001 '/'";
    vec![
        (Request::Create(CreateRequest { path, data, acl, flags: 3 }), format!("{created} 00000003")),
        (Request::Delete(DeleteRequest { path, version: -1 }), "00000002 '/x' ffffffff".into()),
        (Request::Exists(ExistsRequest { path, watch: true }), "00000002 '/x' 01".into()),
        (Request::GetData(GetDataRequest { path, watch: false }), "00000002 '/x' 00".into()),
        (
            Request::SetData(SetDataRequest { path, data: Some(b""), version: 2 }),
            "00000002 '/x' 00000000 00000002".into(),
        ),
        (Request::GetAcl(GetAclRequest { path }), "00000002 '/x'".into()),
        (
            Request::SetAcl(SetAclRequest { path, acl: Some(AclList::CREATOR_ALL), version: 9 }),
            "00000002 '/x' 00000001 0000001f 00000004 'auth' 00000000 00000009".into(),
        ),
        (Request::GetChildren(GetChildrenRequest { path, watch: true }), "00000002 '/x' 01".into()),
        (Request::Sync(SyncRequest { path: None }), "ffffffff".into()),
        (Request::Ping, String::new()),
        (Request::GetChildren2(GetChildrenRequest { path, watch: false }), "00000002 '/x' 00".into()),
        (
            Request::Multi(multi),
            format!(
                "00000001 00 ffffffff {created} 00000000
                 0000000f 00 ffffffff {created} 00000001
                 00000013 00 ffffffff {created} 00000004
                 00000015 00 ffffffff {created} 00000005 00000000000003e8
                 00000002 00 ffffffff 00000002 '/x' ffffffff
                 00000005 00 ffffffff 00000002 '/x' ffffffff 00000007
                 0000000d 00 ffffffff 00000002 '/x' 00000008
                 ffffffff 01 ffffffff"
            ),
        ),
        (Request::Create2(CreateRequest { path, data, acl, flags: 0 }), format!("{created} 00000000")),
        (
            Request::Reconfig(ReconfigRequest {
                joining_servers: Some("server.4=h:1:2;3".into()),
                leaving_servers: Some("1,2".into()),
                new_members: None,
                cur_config_id: -1,
            }),
            "00000010 'server.4=h:1:2;3' 00000003 '1,2' ffffffff ffffffffffffffff".into(),
        ),
        (
            Request::CheckWatches(CheckWatchesRequest { path, watcher_type: WatcherType::Any }),
            "00000002 '/x' 00000003".into(),
        ),
        (
            Request::RemoveWatches(RemoveWatchesRequest { path, watcher_type: WatcherType::Children }),
            "00000002 '/x' 00000001".into(),
        ),
        (
            Request::CreateContainer(CreateRequest { path, data: None, acl, flags: 4 }),
            format!("00000002 '/x' ffffffff {OPEN} 00000004"),
        ),
        (Request::DeleteContainer(DeleteContainerRequest { path }), "00000002 '/x'".into()),
        (
            Request::CreateTtl(CreateTtlRequest { path, data, acl, flags: 6, ttl: 1 << 33 }),
            format!("{created} 00000006 0000000200000000"),
        ),
        (
            Request::MultiRead(multi_read),
            "00000004 00 ffffffff 00000002 '/x' 00
             00000008 00 ffffffff 00000002 '/x' 01
             ffffffff 01 ffffffff"
                .into(),
        ),
        (
            Request::Auth(AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(b"u:p") }),
            "00000000 00000006 'digest' 00000003 'u:p'".into(),
        ),
        (
            Request::SetWatches(SetWatches { relative_zxid, data_watches, exist_watches, child_watches }),
            watches.into(),
        ),
        (Request::Sasl(GetSaslRequest { token: Some(b"") }), "00000000".into()),
        (
            Request::GetEphemerals(GetEphemeralsRequest { prefix_path: Some("/e".into()) }),
            "00000002 '/e'".into(),
        ),
        (Request::GetAllChildrenNumber(GetAllChildrenNumberRequest { path }), "00000002 '/x'".into()),
        (
            Request::SetWatches2(SetWatches2 {
                relative_zxid,
                data_watches,
                exist_watches,
                child_watches,
                persistent_watches: texts(&["/p"]),
                persistent_recursive_watches: texts(&["/r", ""]),
            }),
            format!("{watches} 00000001 00000002 '/p' 00000002 00000002 '/r' 00000000"),
        ),
        (
            Request::AddWatch(AddWatchRequest { path, mode: AddWatchMode::PersistentRecursive }),
            "00000002 '/x' 00000001".into(),
        ),
        (Request::WhoAmI, String::new()),
        (Request::CreateSession(CreateSessionRequest { timeout_ms: 10_000 }), "00002710".into()),
        (Request::CloseSession, String::new()),
    ]
}

#[test]
fn every_request_has_the_bytes_of_the_specification() {
    let requests = requests();
    let opcodes: Vec<Opcode> = requests.iter().map(|(request, _)| request.opcode()).collect();
    assert_eq!(opcodes, Request::OPCODES, "one example of each");
    for (request, text) in requests {
        let bytes = hex(&text);
        assert_eq!(encoded(&request), bytes, "{request:?}");
        let mut reader = Reader::new(&bytes);
        assert_eq!(Request::decode(request.opcode(), &mut reader), Ok(request));
        assert!(reader.is_empty(), "{request:?}");
    }
}

/// How to decode a record, the bytes of an example, and what they should be.
type Example<'a> = (&'a dyn Fn(&[u8]) -> Exercised, Vec<u8>, String);

#[test]
fn every_response_has_the_bytes_of_the_specification() {
    let (stat, s) = stat();
    let path: Text = "/x".into();
    let children = texts(&["a", "bc"]);
    let c = "00000002 00000001 'a' 00000002 'bc'";
    let mut clients = Vec::new();
    let client = ClientInfo { auth_scheme: "ip".into(), user: "127.0.0.1".into() };
    encode_vector(&mut clients, [client]);
    let client_info = Vector::parse(&clients).expect("a vector that was just encoded");
    let event = WatcherEvent {
        event_type: EventType::NodeChildrenChanged,
        state: KeeperState::SyncConnected,
        path: "/x".into(),
    };
    let table: &[Example] = &[
        (&|b| exercise::<CreateResponse>(b), encoded(&CreateResponse { path }), "00000002 '/x'".into()),
        (
            &|b| exercise::<Create2Response>(b),
            encoded(&Create2Response { path, stat }),
            format!("00000002 '/x' {s}"),
        ),
        (&|b| exercise::<ExistsResponse>(b), encoded(&ExistsResponse { stat }), s.clone()),
        (&|b| exercise::<SetDataResponse>(b), encoded(&SetDataResponse { stat }), s.clone()),
        (&|b| exercise::<SetAclResponse>(b), encoded(&SetAclResponse { stat }), s.clone()),
        (
            &|b| exercise::<GetDataResponse>(b),
            encoded(&GetDataResponse { data: None, stat }),
            format!("ffffffff {s}"),
        ),
        (
            &|b| exercise::<GetDataResponse>(b),
            encoded(&GetDataResponse { data: Some(b"abc"), stat }),
            format!("00000003 'abc' {s}"),
        ),
        (&|b| exercise::<GetChildrenResponse>(b), encoded(&GetChildrenResponse { children }), c.into()),
        (
            &|b| exercise::<GetChildren2Response>(b),
            encoded(&GetChildren2Response { children, stat }),
            format!("{c} {s}"),
        ),
        (
            &|b| exercise::<GetAclResponse>(b),
            encoded(&GetAclResponse { acl: AclList::OPEN, stat }),
            format!("{OPEN} {s}"),
        ),
        (
            &|b| exercise::<GetAllChildrenNumberResponse>(b),
            encoded(&GetAllChildrenNumberResponse { total_number: 3 }),
            "00000003".into(),
        ),
        (
            &|b| exercise::<GetEphemeralsResponse>(b),
            encoded(&GetEphemeralsResponse { ephemerals: texts(&["/e"]) }),
            "00000001 00000002 '/e'".into(),
        ),
        (
            &|b| exercise::<SyncResponse>(b),
            encoded(&SyncResponse { path: Some(path) }),
            "00000002 '/x'".into(),
        ),
        (&|b| exercise::<SetSaslResponse>(b), encoded(&SetSaslResponse { token: None }), "ffffffff".into()),
        (
            &|b| exercise::<WhoAmIResponse>(b),
            encoded(&WhoAmIResponse { client_info }),
            "00000001 00000002 'ip' 00000009 '127.0.0.1'".into(),
        ),
        (&|b| exercise::<ErrorResponse>(b), encoded(&ErrorResponse { err: -101 }), "ffffff9b".into()),
        (&|b| exercise::<WatcherEvent>(b), encoded(&event), "00000004 00000003 00000002 '/x'".into()),
        (
            &|b| exercise::<RequestHeader>(b),
            encoded(&RequestHeader { xid: 1, opcode: 4 }),
            "00000001 00000004".into(),
        ),
        (
            &|b| exercise::<ReplyHeader>(b),
            encoded(&ReplyHeader { xid: 1, zxid: Zxid(2), err: -5 }),
            "00000001 0000000000000002 fffffffb".into(),
        ),
        (
            &|b| exercise::<MultiHeader>(b),
            encoded(&MultiHeader { kind: -1, done: true, err: -1 }),
            "ffffffff 01 ffffffff".into(),
        ),
    ];
    for (exercise, bytes, text) in table {
        assert_eq!(*bytes, hex(text));
        let (_, again, length) = exercise(bytes).expect("what was encoded decodes");
        assert_eq!((&again, length), (bytes, bytes.len()));
    }
}

#[test]
fn connecting_looks_like_the_specification_s_example() {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 10_000,
        session_id: SessionId::NONE,
        password: Some(&[0; 16]),
        read_only: Some(false),
    };
    let text = "0000002d 00000000 0000000000000000 00002710 0000000000000000 00000010
                00000000000000000000000000000000 00";
    let mut out = Vec::new();
    encode_frame(&mut out, &request);
    assert_eq!(out, hex(text));
    assert_eq!(ConnectRequest::parse(&out[4..]), Ok(request));
    assert_eq!(ConnectRequest::parse(&out[4..48]), Ok(ConnectRequest { read_only: None, ..request }));
    assert!(ConnectRequest::parse(&out[4..47]).is_err());
    let longer = [&out[4..48], &[7, 1, 2, 3]].concat();
    let read_only = ConnectRequest { read_only: Some(true), ..request };
    assert_eq!(ConnectRequest::parse(&longer), Ok(read_only), "what follows is ignored");
    let mut no_password = out[4..28].to_vec();
    no_password.extend(hex("ffffffff 01"));
    let expected = ConnectRequest { password: None, ..read_only };
    assert_eq!(ConnectRequest::parse(&no_password), Ok(expected));

    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms: 10_000,
        session_id: SessionId(0x100_000e_70be_0000),
        password: Some(b"\x60\x7d\xd6\x8e\x6d\xd3\x0c\x27\x3e\xbf\xe6\x3c\xfe\x69\xdb\xe4"),
        read_only: Some(false),
    };
    let mut out = Vec::new();
    encode_frame(&mut out, &response);
    assert_eq!(
        out,
        hex("00000025 00000000 00002710 0100000e70be0000 00000010 607dd68e6dd30c273ebfe63cfe69dbe4 00")
    );
    assert_eq!(ConnectResponse::parse(&out[4..]), Ok(response));
}

#[test]
fn a_response_has_the_read_only_byte_if_the_request_had_it() {
    for (read_only, bytes) in [(None, 36), (Some(false), 37), (Some(true), 37)] {
        let rejection = ConnectResponse::rejection(read_only);
        let out = encoded(&rejection);
        assert_eq!(out.len(), bytes);
        assert_eq!(out[..16], [0; 16]);
        assert_eq!(ConnectResponse::parse(&out), Ok(rejection));
    }
}

#[test]
fn a_ping_and_a_read_look_like_the_specification_s_examples() {
    let mut out = Vec::new();
    encode_request(&mut out, xid::PING, Opcode::Ping, &());
    assert_eq!(out, hex("00000008 fffffffe 0000000b"));

    out.clear();
    encode_bare_reply(&mut out, xid::PING, Zxid(0x1_0000_0002), ErrorCode::Ok);
    assert_eq!(out, hex("00000010 fffffffe 0000000100000002 00000000"));

    out.clear();
    encode_request(&mut out, 1, Opcode::GetData, &GetDataRequest { path: "/".into(), watch: false });
    assert_eq!(out, hex("0000000e 00000001 00000004 00000001 2f 00"));
    let mut reader = Reader::new(&out[4..]);
    let header = RequestHeader::decode(&mut reader).expect("a header");
    assert_eq!(header, RequestHeader { xid: 1, opcode: Opcode::GetData.code() });
    let request = Request::decode(Opcode::GetData, &mut reader);
    assert_eq!(request, Ok(Request::GetData(GetDataRequest { path: "/".into(), watch: false })));
}

#[test]
fn replies_are_framed_in_place() {
    let mut out = hex("aa");
    let at = begin_reply(&mut out, 7, Zxid(9), ErrorCode::Ok);
    let mut children = VectorWriter::begin(&mut out);
    children.push(&mut out, "a");
    children.push(&mut out, "bc");
    children.end(&mut out);
    end_reply(&mut out, at);
    let mut whole = hex("aa");
    encode_reply(&mut whole, 7, Zxid(9), &GetChildrenResponse { children: texts(&["a", "bc"]) });
    assert_eq!(out, whole);
    assert_eq!(
        out,
        hex("aa 0000001f 00000007 0000000000000009 00000000 00000002 00000001 'a' 00000002 'bc'")
    );

    out.clear();
    encode_bare_reply(&mut out, 7, Zxid(-1), ErrorCode::Unimplemented);
    assert_eq!(out, hex("00000010 00000007 ffffffffffffffff fffffffa"));
    let at = begin_reply(&mut out, 7, Zxid(-1), ErrorCode::Unimplemented);
    end_reply(&mut out, at);
    assert_eq!(out[..20], out[20..]);
}

#[test]
fn a_notification_is_a_frame_with_xid_minus_one() {
    let mut out = Vec::new();
    encode_notification(&mut out, Zxid(0x1_0000_0002), EventType::NodeDataChanged, "/x".into());
    assert_eq!(out, hex("0000001e ffffffff 0000000100000002 00000000 00000003 00000003 00000002 '/x'"));
}

#[test]
fn nulls_are_refused_where_zookeeper_answers_marshalling_error() {
    let null = |opcode, text: &str| {
        let bytes = hex(text);
        match Request::decode(opcode, &mut Reader::new(&bytes)) {
            Err(DecodeError { offset, reason: Reason::Null }) => Some(offset),
            _ => None,
        }
    };
    for opcode in [Opcode::GetData, Opcode::Exists, Opcode::Delete, Opcode::SetData, Opcode::AddWatch] {
        assert_eq!(null(opcode, "ffffffff ffffffff 00000000"), Some(0), "{opcode}");
    }
    assert_eq!(null(Opcode::SetWatches, "0000000000000000 00000000 ffffffff 00000000"), Some(12));
    assert_eq!(null(Opcode::SetWatches, "0000000000000000 00000000 00000000 00000000"), None);
    for opcode in [Opcode::Sync, Opcode::GetEphemerals, Opcode::Sasl] {
        assert_eq!(null(opcode, "ffffffff"), None, "{opcode}");
    }
    let create = hex("00000002 '/x' ffffffff ffffffff 00000000");
    let request = CreateRequest { path: "/x".into(), data: None, acl: None, flags: 0 };
    assert_eq!(CreateRequest::parse(&create), Ok(request), "a null ACL is InvalidACL, not malformed");
}

#[test]
fn unknown_modes_and_watcher_types_fail_to_decode() {
    for code in [-1, 2, 3, 256] {
        let bytes = [hex("00000002 '/x'"), encoded(&code)].concat();
        let error = DecodeError { offset: 6, reason: Reason::UnknownType(code) };
        assert_eq!(AddWatchRequest::parse(&bytes), Err(error));
    }
    for code in [-1, 0, 6] {
        let bytes = [hex("00000002 '/x'"), encoded(&code)].concat();
        let error = DecodeError { offset: 6, reason: Reason::UnknownType(code) };
        assert_eq!(CheckWatchesRequest::parse(&bytes), Err(error));
        assert_eq!(RemoveWatchesRequest::parse(&bytes), Err(error));
    }
}

#[test]
fn what_is_no_request_is_not_decoded() {
    for opcode in [Opcode::Notification, Opcode::Check, Opcode::Error] {
        let error = DecodeError { offset: 0, reason: Reason::UnknownType(opcode.code()) };
        assert_eq!(Request::decode(opcode, &mut Reader::new(&[0; 64])), Err(error));
        assert!(!Request::OPCODES.contains(&opcode));
    }
}

#[test]
fn create_modes_are_flags() {
    for flags in 0..7 {
        let mode = CreateMode::from_flags(flags).expect("a mode");
        assert_eq!(mode.flags(), flags);
        assert_eq!(mode.is_ephemeral(), [1, 3].contains(&flags));
        assert_eq!(mode.is_sequential(), [2, 3, 6].contains(&flags));
        assert_eq!(mode.is_ttl(), [5, 6].contains(&flags));
    }
    assert_eq!(CreateMode::from_flags(7), None);
    assert_eq!(CreateMode::from_flags(-1), None);
}
