//! Every kind of znode, and what is said of them, in ensembles of both kinds: asked of voters and observers of
//! each, under a leader of each.

use ringkeeper::wire::acl::perms;
use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{
    AddWatchMode, AddWatchRequest, AuthPacket, CheckVersionRequest, Create2Response, CreateRequest,
    CreateTtlRequest, DeleteRequest, ErrorResponse, EventType, MultiOp, MultiResult, MultiResults,
    SetAclRequest, SetDataRequest,
};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl};

use crate::mixed::{assert_no_mismatch, make_lead, prepare_with};
use crate::support::client::{PERSISTENT, Reply, SEQUENTIAL};
use crate::support::{Client, Ensemble, until};

const OURS: usize = 2;
const TTL: i32 = 5;
const ENTITLED: &str = "zs:123";

struct Raw(Vec<u8>);

impl Encode for Raw {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

fn made(reply: &Reply) -> String {
    assert_eq!(reply.code(), ErrorCode::Ok);
    reply.record::<Create2Response>().path.to_string()
}

pub fn container(client: &mut Client, path: &str) -> String {
    let request = CreateRequest { path: path.into(), data: Some(b""), acl: Some(AclList::OPEN), flags: 4 };
    made(&client.call(Opcode::CreateContainer, &request))
}

pub fn with_ttl(client: &mut Client, path: &str, ttl: i64) -> String {
    let acl = Some(AclList::OPEN);
    let request = CreateTtlRequest { path: path.into(), data: Some(b""), acl, flags: TTL, ttl };
    made(&client.call(Opcode::CreateTtl, &request))
}

pub fn is_gone(client: &mut Client, path: &str) {
    until(&format!("{path} to be gone"), || client.exists(path, false).is_err().then_some(()));
}

/// A container goes with its last child, a TTL node when its time is over; who reaps is the leader.
fn those_that_are_reaped(writer: &mut Client, reader: &mut Client, base: &str) {
    let path = container(writer, &format!("{base}/container"));
    let child = writer.create(&format!("{path}/child"), b"", PERSISTENT);
    let brief = with_ttl(writer, &format!("{base}/brief"), 1);
    let lasting = with_ttl(writer, &format!("{base}/lasting"), 3_600_000);
    // What a server behind has not made yet is as good as gone there.
    reader.catch_up();
    is_gone(reader, &brief);
    assert!(reader.exists(&path, false).is_ok(), "it has a child");
    assert_eq!(reader.stat(&lasting).ephemeral_owner.0, 0, "a TTL is no owner");
    reader.delete(&child, -1).expect("there");
    is_gone(reader, &path);
    is_gone(writer, &path);
}

fn authenticate(client: &mut Client) {
    let mut body = vec![];
    AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(ENTITLED.as_bytes()) }
        .encode(&mut body);
    client.send_raw(-4, Opcode::Auth.code(), &body);
    assert_eq!(client.next_reply().code(), ErrorCode::Ok);
}

/// `auth` stands for the identities of who asks: which are told with a request that is handed on.
fn acls(writer: &mut Client, reader: &mut Client, ensemble: &Ensemble, at: usize, base: &str) {
    let mut bytes = vec![];
    let mine = OwnedAcl { perms: perms::ALL, scheme: "auth".to_owned(), id: String::new() };
    encode_vector(&mut bytes, [mine]);
    let acl = AclList::parse(&bytes).expect("a list");
    let path = format!("{base}/private");
    let mut owner = Client::connect(&ensemble.servers[at]);
    authenticate(&mut owner);
    let request = CreateRequest { path: path.as_str().into(), data: Some(b"1"), acl: Some(acl), flags: 0 };
    assert_eq!(owner.call(Opcode::Create, &request).code(), ErrorCode::Ok);
    for client in [&mut *writer, &mut *reader] {
        client.catch_up();
        assert_eq!(client.get_data(&path, false).map(drop), Err(ErrorCode::NoAuth));
        assert_eq!(client.set_data(&path, b"2", -1).map(drop), Err(ErrorCode::NoAuth));
    }
    // He is known by his secret at any server.
    for server in &ensemble.servers {
        let mut elsewhere = Client::connect(server);
        authenticate(&mut elsewhere);
        elsewhere.catch_up();
        elsewhere.set_data(&path, b"3", -1).expect("it is his");
        elsewhere.close();
    }
    let open = SetAclRequest { path: path.as_str().into(), acl: Some(AclList::OPEN), version: 0 };
    assert_eq!(owner.call(Opcode::SetAcl, &open).code(), ErrorCode::Ok);
    reader.catch_up();
    assert_eq!((reader.data(&path), reader.stat(&path).aversion), (b"3".to_vec(), 1));
    owner.close();
}

/// Statistics that each server keeps for itself, and a limit that the leader holds to.
fn quotas(writer: &mut Client, reader: &mut Client, ensemble: &Ensemble, base: &str) {
    let root = writer.create(&format!("{base}/limited"), b"12", PERSISTENT);
    let mut at = "/zookeeper/quota".to_owned();
    for name in root.split('/').skip(1) {
        at = format!("{at}/{name}");
        if writer.exists(&at, false).is_err() {
            writer.create(&at, b"", PERSISTENT);
        }
    }
    let limits = b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3";
    writer.create(&format!("{at}/zookeeper_limits"), limits, PERSISTENT);
    writer.create(&format!("{at}/zookeeper_stats"), b"count=0,bytes=0", PERSISTENT);
    writer.create(&format!("{root}/a"), b"345", PERSISTENT);
    reader.catch_up();
    reader.create(&format!("{root}/b"), b"6", PERSISTENT);
    // The leader too: Apache's holds to what it has applied, and that may be less than a follower has.
    for server in &ensemble.servers {
        let mut client = Client::connect(server);
        client.catch_up();
        assert_eq!(client.data(&format!("{at}/zookeeper_stats")), b"count=3,bytes=6");
        client.close();
    }
    for client in [writer, reader] {
        assert_eq!(client.try_create(&format!("{root}/c"), b"", PERSISTENT), Err(ErrorCode::QuotaExceeded));
    }
}

pub fn results(client: &mut Client, ops: &[MultiOp<'_>]) -> Vec<Result<Option<String>, ErrorCode>> {
    let mut bytes = vec![];
    encode_list(&mut bytes, ops.iter().copied());
    let reply = client.call(Opcode::Multi, &Raw(bytes));
    let results = reply.record::<MultiResults<'_>>();
    let told = |result| match result {
        MultiResult::Create { path } => Ok(Some(path.to_string())),
        MultiResult::Error(code) => Err(code),
        _ => Ok(None),
    };
    results.iter().map(told).collect()
}

/// All of it or nothing, whoever is asked.
fn multis(writer: &mut Client, reader: &mut Client, base: &str) {
    let path = format!("{base}/multi");
    let (name, child) = (format!("{path}/s-"), format!("{path}/s-0000000000"));
    let create = |path, flags| {
        MultiOp::Create(CreateRequest { path, data: Some(b"1"), acl: Some(AclList::OPEN), flags })
    };
    let set =
        |version| MultiOp::SetData(SetDataRequest { path: path.as_str().into(), data: Some(b"2"), version });
    let check = |version| MultiOp::Check(CheckVersionRequest { path: path.as_str().into(), version });
    let done = [
        create(path.as_str().into(), PERSISTENT),
        create(name.as_str().into(), SEQUENTIAL),
        set(0),
        check(1),
    ];
    let expected = [Ok(Some(path.clone())), Ok(Some(child.clone())), Ok(None), Ok(None)];
    assert_eq!(results(writer, &done), expected);
    let refused =
        [MultiOp::Delete(DeleteRequest { path: child.as_str().into(), version: -1 }), check(7), set(-1)];
    let codes = [Err(ErrorCode::Ok), Err(ErrorCode::BadVersion), Err(ErrorCode::RuntimeInconsistency)];
    reader.catch_up();
    assert_eq!(results(reader, &refused), codes);
    for client in [writer, reader] {
        client.catch_up();
        let (child, stat) = (client.stat(&child), client.stat(&path));
        assert_eq!((child.czxid, stat.mzxid, stat.version), (stat.czxid, stat.czxid, 1), "one transaction");
    }
}

/// What happens through one server is told by the other, each change once and in order.
fn watches(writer: &mut Client, reader: &mut Client, base: &str) {
    let path = writer.create(&format!("{base}/watched"), b"", PERSISTENT);
    reader.catch_up();
    let request = AddWatchRequest { path: path.as_str().into(), mode: AddWatchMode::PersistentRecursive };
    assert_eq!(reader.call(Opcode::AddWatch, &request).record::<ErrorResponse>().err, 0);
    let child = writer.create(&format!("{path}/child"), b"", PERSISTENT);
    writer.set_data(&child, b"1", -1).expect("there");
    writer.set_data(&path, b"1", -1).expect("there");
    writer.delete(&child, -1).expect("there");
    for (kind, of) in [
        (EventType::NodeCreated, &child),
        (EventType::NodeDataChanged, &child),
        (EventType::NodeDataChanged, &path),
        (EventType::NodeDeleted, &child),
    ] {
        let event = reader.next_event();
        assert_eq!((event.kind, &event.path), (kind, of));
    }
    reader.catch_up();
    reader.assert_quiet();
}

fn everything_through_every_server(ensemble: &Ensemble, round: usize) {
    for at in 0..ensemble.servers.len() {
        let beside = (at + 1) % ensemble.servers.len();
        let mut writer = Client::connect(&ensemble.servers[at]);
        let mut reader = Client::connect(&ensemble.servers[beside]);
        let base = writer.create(&format!("/round-{round}-{at}"), b"", PERSISTENT);
        reader.catch_up();
        watches(&mut writer, &mut reader, &base);
        those_that_are_reaped(&mut writer, &mut reader, &base);
        acls(&mut writer, &mut reader, ensemble, at, &base);
        quotas(&mut writer, &mut reader, ensemble, &base);
        multis(&mut writer, &mut reader, &base);
        writer.close();
        reader.close();
    }
}

/// Two voters of Apache's and one of ours, an observer of each.
#[test]
fn every_kind_of_znode_under_a_leader_of_either_kind() {
    let mut ensemble = prepare_with(3, 2, &[1, 2, 4], |config| {
        config
            .set("extendedTypesEnabled", true)
            .set("enforceQuota", true)
            .set("znode.container.checkIntervalMs", 200)
    });
    ensemble.servers[0].spawn();
    ensemble.servers[1].spawn();
    assert_ne!(ensemble.settle(), OURS);
    for late in OURS..5 {
        ensemble.servers[late].restart();
    }
    everything_through_every_server(&ensemble, 0);
    ensemble.assert_equal();
    make_lead(&mut ensemble, OURS);
    everything_through_every_server(&ensemble, 1);
    ensemble.assert_equal();
    assert_no_mismatch(&ensemble.servers);
}
