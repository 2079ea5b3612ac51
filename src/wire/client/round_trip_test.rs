//! Every record of the client protocol: random ones go out and come back; damage and noise panic nowhere.

use super::multi::encode_list;
use super::*;
use crate::base::{Prng, SessionId, Zxid};
use crate::wire::acl::AclList;
use crate::wire::error::ErrorCode;
use crate::wire::testing::{Exercised, Make, check_any_bytes, check_record, encoded, exercise};

fn random_request(make: &mut Make, opcode: Opcode) -> Request<'static> {
    let path = make.text();
    let create = |make: &mut Make| CreateRequest {
        path: make.text(),
        data: make.data(),
        acl: make.acl(),
        flags: make.i32(),
    };
    let create_ttl = |make: &mut Make| CreateTtlRequest {
        path: make.text(),
        data: make.data(),
        acl: make.acl(),
        flags: make.i32(),
        ttl: make.i64(),
    };
    let multi_op = |make: &mut Make| match make.0.below(7) {
        0 => MultiOp::Create(create(make)),
        1 => MultiOp::Create2(create(make)),
        2 => MultiOp::CreateContainer(create(make)),
        3 => MultiOp::CreateTtl(create_ttl(make)),
        4 => MultiOp::Delete(DeleteRequest { path: make.text(), version: make.i32() }),
        5 => MultiOp::SetData(SetDataRequest { path: make.text(), data: make.data(), version: make.i32() }),
        _ => MultiOp::Check(CheckVersionRequest { path: make.text(), version: make.i32() }),
    };
    let multi_read_op = |make: &mut Make| match make.bool() {
        true => MultiReadOp::GetData(GetDataRequest { path: make.text(), watch: make.bool() }),
        false => MultiReadOp::GetChildren(GetChildrenRequest { path: make.text(), watch: make.bool() }),
    };
    match opcode {
        Opcode::Create => Request::Create(create(make)),
        Opcode::Create2 => Request::Create2(create(make)),
        Opcode::CreateContainer => Request::CreateContainer(create(make)),
        Opcode::CreateTtl => Request::CreateTtl(create_ttl(make)),
        Opcode::Delete => Request::Delete(DeleteRequest { path, version: make.i32() }),
        Opcode::DeleteContainer => Request::DeleteContainer(DeleteContainerRequest { path }),
        Opcode::Exists => Request::Exists(ExistsRequest { path, watch: make.bool() }),
        Opcode::GetData => Request::GetData(GetDataRequest { path, watch: make.bool() }),
        Opcode::SetData => Request::SetData(SetDataRequest { path, data: make.data(), version: make.i32() }),
        Opcode::GetAcl => Request::GetAcl(GetAclRequest { path }),
        Opcode::SetAcl => Request::SetAcl(SetAclRequest { path, acl: make.acl(), version: make.i32() }),
        Opcode::GetChildren => Request::GetChildren(GetChildrenRequest { path, watch: make.bool() }),
        Opcode::GetChildren2 => Request::GetChildren2(GetChildrenRequest { path, watch: make.bool() }),
        Opcode::Sync => Request::Sync(SyncRequest { path: make.or_null(Make::text) }),
        Opcode::Ping => Request::Ping,
        Opcode::Multi => {
            let count = make.0.below(5);
            let mut out = Vec::new();
            encode_list(&mut out, (0..count).map(|_| multi_op(make)));
            Request::Multi(MultiRequest::parse(out.leak()).expect("a multi that was just encoded"))
        }
        Opcode::MultiRead => {
            let count = make.0.below(5);
            let mut out = Vec::new();
            encode_list(&mut out, (0..count).map(|_| multi_read_op(make)));
            let list = MultiReadRequest::parse(out.leak()).expect("a multiRead that was just encoded");
            Request::MultiRead(list)
        }
        Opcode::Reconfig => Request::Reconfig(ReconfigRequest {
            joining_servers: make.or_null(Make::text),
            leaving_servers: make.or_null(Make::text),
            new_members: make.or_null(Make::text),
            cur_config_id: make.i64(),
        }),
        Opcode::CheckWatches => {
            Request::CheckWatches(CheckWatchesRequest { path, watcher_type: make.pick(WatcherType::ALL) })
        }
        Opcode::RemoveWatches => {
            Request::RemoveWatches(RemoveWatchesRequest { path, watcher_type: make.pick(WatcherType::ALL) })
        }
        Opcode::Auth => Request::Auth(AuthPacket {
            auth_type: make.i32(),
            scheme: make.or_null(Make::text),
            auth: make.data(),
        }),
        Opcode::Sasl => Request::Sasl(GetSaslRequest { token: make.data() }),
        Opcode::SetWatches => Request::SetWatches(SetWatches {
            relative_zxid: Zxid(make.i64()),
            data_watches: make.texts(),
            exist_watches: make.texts(),
            child_watches: make.texts(),
        }),
        Opcode::SetWatches2 => Request::SetWatches2(SetWatches2 {
            relative_zxid: Zxid(make.i64()),
            data_watches: make.texts(),
            exist_watches: make.texts(),
            child_watches: make.texts(),
            persistent_watches: make.texts(),
            persistent_recursive_watches: make.texts(),
        }),
        Opcode::GetEphemerals => {
            Request::GetEphemerals(GetEphemeralsRequest { prefix_path: make.or_null(Make::text) })
        }
        Opcode::GetAllChildrenNumber => Request::GetAllChildrenNumber(GetAllChildrenNumberRequest { path }),
        Opcode::AddWatch => Request::AddWatch(AddWatchRequest { path, mode: make.pick(AddWatchMode::ALL) }),
        Opcode::WhoAmI => Request::WhoAmI,
        Opcode::CreateSession => Request::CreateSession(CreateSessionRequest { timeout_ms: make.i32() }),
        Opcode::CloseSession => Request::CloseSession,
        Opcode::Notification | Opcode::Check | Opcode::Error => panic!("{opcode} is no request"),
    }
}

fn exercise_request(opcode: Opcode, bytes: &[u8]) -> Exercised {
    let mut reader = Reader::new(bytes);
    let request = Request::decode(opcode, &mut reader)?;
    Ok((format!("{request:?}"), encoded(&request), reader.offset()))
}

#[test]
fn random_requests_survive_a_round_trip_and_damage() {
    let mut make = Make(Prng::salted(1, "requests"));
    let mut prng = Prng::salted(1, "damage");
    for _ in 0..60 {
        for &opcode in Request::OPCODES {
            let request = random_request(&mut make, opcode);
            check_record(&request, 0, |bytes| exercise_request(opcode, bytes), &mut prng);
        }
    }
}

#[test]
fn no_bytes_make_a_request_decoder_panic() {
    let mut prng = Prng::salted(2, "noise");
    for _ in 0..300 {
        let length = prng.below(200);
        let mask = [0x01, 0x03, 0xff][prng.below(3) as usize];
        let noise: Vec<u8> = (0..length).map(|_| prng.next() as u8 & mask & (prng.next() as u8)).collect();
        for &opcode in Request::OPCODES {
            check_any_bytes(&noise, |bytes| exercise_request(opcode, bytes));
        }
    }
}

#[test]
fn random_responses_survive_a_round_trip_and_damage() {
    let make = &mut Make(Prng::salted(3, "responses"));
    let prng = &mut Prng::salted(3, "damage");
    macro_rules! check {
        ($record:ident $fields:tt) => {
            check_record(&$record $fields, 0, |bytes| exercise::<$record>(bytes), prng)
        };
    }
    for _ in 0..60 {
        check!(CreateResponse { path: make.text() });
        check!(Create2Response { path: make.text(), stat: make.stat() });
        check!(ExistsResponse { stat: make.stat() });
        check!(SetDataResponse { stat: make.stat() });
        check!(SetAclResponse { stat: make.stat() });
        check!(GetDataResponse { data: make.data(), stat: make.stat() });
        check!(GetChildrenResponse { children: make.texts() });
        check!(GetChildren2Response { children: make.texts(), stat: make.stat() });
        check!(GetAclResponse { acl: make.acl().unwrap_or(AclList::EMPTY), stat: make.stat() });
        check!(GetAllChildrenNumberResponse { total_number: make.i32() });
        check!(GetEphemeralsResponse { ephemerals: make.texts() });
        check!(SyncResponse { path: make.or_null(Make::text) });
        check!(SetSaslResponse { token: make.data() });
        check!(ErrorResponse { err: make.i32() });
        check!(RequestHeader { xid: make.i32(), opcode: make.i32() });
        check!(ReplyHeader { xid: make.i32(), zxid: Zxid(make.i64()), err: make.i32() });
        let client = |make: &mut Make| ClientInfo { auth_scheme: make.text(), user: make.text() };
        check!(WhoAmIResponse { client_info: make.vector(client) });
        check!(WatcherEvent {
            event_type: make.pick(EventType::ALL),
            state: make.pick(KeeperState::ALL),
            path: make.text(),
        });
        let read_only = Some(make.bool());
        let request = ConnectRequest {
            protocol_version: make.i32(),
            last_zxid_seen: Zxid(make.i64()),
            timeout_ms: make.i32(),
            session_id: SessionId(make.i64()),
            password: make.data(),
            read_only,
        };
        check_record(&request, 1, |bytes| exercise::<ConnectRequest>(bytes), prng);
        let response = ConnectResponse {
            protocol_version: make.i32(),
            timeout_ms: make.i32(),
            session_id: SessionId(make.i64()),
            password: make.data(),
            read_only,
        };
        check_record(&response, 1, |bytes| exercise::<ConnectResponse>(bytes), prng);
        let results = random_results(make);
        check_record(&results, 0, |bytes| exercise::<MultiResults>(bytes), prng);
    }
}

fn random_results(make: &mut Make) -> MultiResults<'static> {
    let count = make.0.below(6);
    let result = |make: &mut Make| match make.0.below(8) {
        0 => MultiResult::Create { path: make.text() },
        1 => MultiResult::Create2 { path: make.text(), stat: make.stat() },
        2 => MultiResult::Delete,
        3 => MultiResult::SetData { stat: make.stat() },
        4 => MultiResult::Check,
        5 => MultiResult::GetData { data: make.data(), stat: make.stat() },
        6 => MultiResult::GetChildren { children: make.texts() },
        _ => MultiResult::Error(make.pick(ErrorCode::ALL)),
    };
    let mut out = Vec::new();
    encode_list(&mut out, (0..count).map(|_| result(make)));
    MultiResults::parse(out.leak()).expect("results that were just encoded")
}
