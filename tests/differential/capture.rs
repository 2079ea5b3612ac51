//! Captures golden bytes: each request and reply of the client protocol, as Apache ZooKeeper takes and gives them.
//!
//! `cargo test --test differential -- --capture` writes `tests/golden/VERSION.txt`, which `tests/golden.rs` reads. One line per
//! record: its direction (`>` request, `<` reply, `!` event), its name (the operation, a dot, the case), and its bytes in
//! hexadecimal, without the frame's length.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use ringkeeper::base::Zxid;
use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{
    AddWatchMode, AddWatchRequest, AuthPacket, CheckVersionRequest, CheckWatchesRequest, CreateRequest,
    CreateTtlRequest, DeleteContainerRequest, DeleteRequest, ExistsRequest, GetAclRequest,
    GetAllChildrenNumberRequest, GetChildrenRequest, GetDataRequest, GetEphemeralsRequest, GetSaslRequest,
    MultiOp, MultiReadOp, ReconfigRequest, RemoveWatchesRequest, SetAclRequest, SetDataRequest, SetWatches,
    SetWatches2, SyncRequest, WatcherType,
};
use ringkeeper::wire::{AclList, Decode, Encode, Opcode, Vector};

use crate::groups::Profile;
use crate::item::hex_of_all;
use crate::servers::{version, zookeeper};
use crate::support::{Client, Connect};

struct Capture {
    client: Client,
    text: String,
}

/// A year: nothing captured has run out when it is looked at.
const TTL_MS: i64 = 365 * 24 * 3_600_000;

fn create(path: &'static str, flags: i32) -> CreateRequest<'static> {
    CreateRequest { path: path.into(), data: Some(b"data"), acl: Some(AclList::OPEN), flags }
}

fn list<E: Encode>(operations: impl IntoIterator<Item = E>) -> Encoded {
    let mut out = Vec::new();
    encode_list(&mut out, operations);
    Encoded(out)
}

/// What is encoded already.
struct Encoded(Vec<u8>);

impl Encode for Encoded {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Capture {
    fn line(&mut self, direction: char, name: &str, bytes: &[u8]) {
        writeln!(self.text, "{direction} {name} {}", hex_of_all(bytes)).expect("a string takes all");
    }

    /// One request, the events before its reply, and the reply.
    fn take(&mut self, name: &str, opcode: Opcode, body: &impl Encode) {
        let (_, bytes) = self.client.request(opcode, body);
        self.line('>', name, &bytes[4..]);
        self.client.send_bytes(&bytes);
        loop {
            let frame =
                self.client.next_frame().unwrap_or_else(|| panic!("{name}: ZooKeeper closed the connection"));
            if !frame.starts_with(&(-1i32).to_be_bytes()) {
                return self.line('<', name, &frame);
            }
            let kind = frame.get(16..).and_then(|body| i32::parse(body).ok());
            let event = match kind {
                Some(1) => "NodeCreated",
                Some(2) => "NodeDeleted",
                Some(3) => "NodeDataChanged",
                Some(4) => "NodeChildrenChanged",
                _ => panic!("{name}: an unknown event: {frame:x?}"),
            };
            self.line('!', &format!("{event}.{name}"), &frame);
        }
    }

    fn connects(&mut self, server: &crate::support::Server) {
        let new = Connect::default();
        let again = Connect::again(&self.client);
        let handshake = self.client.handshake.clone();
        self.line('>', "connect.new", &new.frame()[4..]);
        self.line('<', "connect.new", &handshake);
        let old = Connect { read_only: None, ..new.clone() };
        let client = old.open(server);
        self.line('>', "connect.withoutReadOnly", &old.frame()[4..]);
        self.line('<', "connect.withoutReadOnly", &client.handshake);
        let wrong = Connect { password: Some(vec![1; 16]), ..Connect::again(&client) };
        let refusal = wrong.try_open(server).expect_err("the password is wrong");
        let crate::support::Refusal::Rejected(frame) = refusal else { panic!("{refusal:?}") };
        self.line('>', "connect.wrongPassword", &wrong.frame()[4..]);
        self.line('<', "connect.wrongPassword", &frame);
        // The session moves to a new connection, and we with it.
        self.client = again.open(server);
        let handshake = self.client.handshake.clone();
        self.line('>', "connect.again", &again.frame()[4..]);
        self.line('<', "connect.again", &handshake);
    }

    fn znodes(&mut self) {
        self.take("exists.missing", Opcode::Exists, &ExistsRequest { path: "/golden".into(), watch: true });
        self.take("create", Opcode::Create, &create("/golden", 0));
        self.take("create.exists", Opcode::Create, &create("/golden", 0));
        self.take("create.sequential", Opcode::Create, &create("/golden/s-", 2));
        self.take("create2.ephemeral", Opcode::Create2, &create("/golden/e", 1));
        self.take("createContainer", Opcode::CreateContainer, &create("/golden/c", 4));
        let CreateRequest { path, data, acl, flags } = create("/golden/t", 5);
        self.take("createTTL", Opcode::CreateTtl, &CreateTtlRequest { path, data, acl, flags, ttl: TTL_MS });
        self.take("exists", Opcode::Exists, &ExistsRequest { path: "/golden".into(), watch: true });
        self.take("getData", Opcode::GetData, &GetDataRequest { path: "/golden".into(), watch: false });
        let null = SetDataRequest { path: "/golden".into(), data: None, version: 0 };
        self.take("setData.null", Opcode::SetData, &null);
        self.take("getData.null", Opcode::GetData, &GetDataRequest { path: "/golden".into(), watch: false });
        self.take("setData", Opcode::SetData, &SetDataRequest { data: Some(b"new"), version: -1, ..null });
        let children = GetChildrenRequest { path: "/golden".into(), watch: true };
        self.take("getChildren", Opcode::GetChildren, &children);
        self.take("getChildren2", Opcode::GetChildren2, &children);
        self.take("sync", Opcode::Sync, &SyncRequest { path: Some("/golden".into()) });
        self.take("ping", Opcode::Ping, &());
        let number = GetAllChildrenNumberRequest { path: "/golden".into() };
        self.take("getAllChildrenNumber", Opcode::GetAllChildrenNumber, &number);
        let prefix = GetEphemeralsRequest { prefix_path: Some("/golden".into()) };
        self.take("getEphemerals", Opcode::GetEphemerals, &prefix);
        self.take("delete", Opcode::Delete, &DeleteRequest { path: "/golden/e".into(), version: 0 });
        self.take("delete.missing", Opcode::Delete, &DeleteRequest { path: "/golden/e".into(), version: 0 });
        // In 3.8 it is another record, and only servers send it.
        if !version().starts_with("3.8") {
            self.take(
                "deleteContainer",
                Opcode::DeleteContainer,
                &DeleteContainerRequest { path: "/golden/c".into() },
            );
        }
    }

    fn identities(&mut self) {
        let packet = AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(b"user:password") };
        self.take("auth", Opcode::Auth, &packet);
        self.take("whoAmI", Opcode::WhoAmI, &());
        let creator = SetAclRequest { path: "/golden".into(), acl: Some(AclList::CREATOR_ALL), version: -1 };
        self.take("setACL", Opcode::SetAcl, &creator);
        self.take("getACL", Opcode::GetAcl, &GetAclRequest { path: "/golden".into() });
        let open = SetAclRequest { acl: Some(AclList::OPEN), version: 1, ..creator };
        self.take("setACL.open", Opcode::SetAcl, &open);
        self.take("sasl", Opcode::Sasl, &GetSaslRequest { token: Some(b"") });
        let config = ReconfigRequest {
            joining_servers: Some("server.2=127.0.0.1:2888:3888;2181".into()),
            leaving_servers: None,
            new_members: None,
            cur_config_id: -1,
        };
        self.take("reconfig", Opcode::Reconfig, &config);
    }

    fn watches(&mut self) {
        let add = AddWatchRequest { path: "/golden".into(), mode: AddWatchMode::Persistent };
        self.take("addWatch", Opcode::AddWatch, &add);
        let recursive = AddWatchRequest { path: "/golden/r".into(), mode: AddWatchMode::PersistentRecursive };
        self.take("addWatch.recursive", Opcode::AddWatch, &recursive);
        let check = CheckWatchesRequest { path: "/golden".into(), watcher_type: WatcherType::Any };
        self.take("checkWatches", Opcode::CheckWatches, &check);
        let remove = RemoveWatchesRequest { path: "/golden/r".into(), watcher_type: WatcherType::Any };
        self.take("removeWatches", Opcode::RemoveWatches, &remove);
        self.take("removeWatches.none", Opcode::RemoveWatches, &remove);
        let mut out = Vec::new();
        ringkeeper::wire::jute::encode_vector(&mut out, ["/golden", "/golden/missing"]);
        let paths = Vector::parse(&out).expect("two strings");
        let (relative_zxid, none) = (Zxid(1), Vector::EMPTY);
        let watches =
            SetWatches { relative_zxid, data_watches: paths, exist_watches: paths, child_watches: none };
        self.take("setWatches", Opcode::SetWatches, &watches);
        let watches = SetWatches2 {
            relative_zxid,
            data_watches: none,
            exist_watches: none,
            child_watches: paths,
            persistent_watches: none,
            persistent_recursive_watches: paths,
        };
        self.take("setWatches2", Opcode::SetWatches2, &watches);
        let set = SetDataRequest { path: "/golden".into(), data: Some(b"watched"), version: -1 };
        self.take("setData.watched", Opcode::SetData, &set);
    }

    fn lists(&mut self) {
        let CreateRequest { path, data, acl, flags } = create("/golden/m/t", 5);
        let operations = [
            MultiOp::Check(CheckVersionRequest { path: "/golden".into(), version: -1 }),
            MultiOp::Create(create("/golden/m", 0)),
            MultiOp::Create2(create("/golden/m/2", 2)),
            MultiOp::CreateContainer(create("/golden/m/c", 4)),
            MultiOp::CreateTtl(CreateTtlRequest { path, data, acl, flags, ttl: TTL_MS }),
            MultiOp::SetData(SetDataRequest { path: "/golden/m".into(), data: Some(b"x"), version: 0 }),
            MultiOp::Delete(DeleteRequest { path: "/golden/m/c".into(), version: -1 }),
        ];
        self.take("multi", Opcode::Multi, &list(operations));
        let failing = [
            MultiOp::Create(create("/golden/n", 0)),
            MultiOp::Check(CheckVersionRequest { path: "/golden/n".into(), version: 7 }),
            MultiOp::Delete(DeleteRequest { path: "/golden/n".into(), version: -1 }),
        ];
        self.take("multi.failing", Opcode::Multi, &list(failing));
        self.take("multi.empty", Opcode::Multi, &list([(); 0]));
        let reads = [
            MultiReadOp::GetData(GetDataRequest { path: "/golden".into(), watch: false }),
            MultiReadOp::GetChildren(GetChildrenRequest { path: "/golden/m".into(), watch: false }),
            MultiReadOp::GetData(GetDataRequest { path: "/golden/missing".into(), watch: false }),
        ];
        self.take("multiRead", Opcode::MultiRead, &list(reads));
    }
}

/// Writes the file; gives its path.
pub fn capture() -> Result<String, String> {
    let server = zookeeper(Profile::Extended)?;
    let mut capture = Capture { client: Client::connect(&server), text: String::new() };
    writeln!(
        capture.text,
        "# Captured from Apache ZooKeeper {} by `cargo test --test differential -- --capture`",
        version()
    )
    .expect("a string takes all");
    capture.connects(&server);
    capture.znodes();
    capture.identities();
    capture.watches();
    capture.lists();
    capture.take("closeSession", Opcode::CloseSession, &());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{}.txt", version()));
    fs::write(&path, capture.text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}
