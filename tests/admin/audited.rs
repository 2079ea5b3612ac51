//! What an audit log has to tell of a client's requests, and of the server's start and stop: held against Ringkeeper's log
//! (`admin`) and Apache ZooKeeper's (`admin_of_java`).

use ringkeeper::wire::client::multi::encode_list;
use ringkeeper::wire::client::{
    AuthPacket, CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, MultiOp, MultiRequest,
    ReconfigRequest, SetAclRequest, SetDataRequest,
};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl, Reader};

use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Server};

/// The user of this process, and so of the servers it starts.
fn user() -> String {
    let name = std::process::Command::new("id").arg("-un").output().expect("coreutils are there");
    String::from_utf8_lossy(&name.stdout).trim().to_owned()
}

fn create(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest { path: path.into(), data: Some(b""), acl: Some(AclList::OPEN), flags }
}

fn multi(client: &mut Client, operations: &[MultiOp<'_>]) -> ErrorCode {
    let mut bytes = vec![];
    encode_list(&mut bytes, operations.iter().copied());
    let request = MultiRequest::decode(&mut Reader::new(&bytes)).expect("encoded above");
    client.call(Opcode::Multi, &request).code()
}

fn set_acl(client: &mut Client, path: &str, list: &[OwnedAcl], version: i32) -> ErrorCode {
    let mut bytes = vec![];
    encode_vector(&mut bytes, list.iter().cloned());
    let acl = AclList::decode(&mut Reader::new(&bytes)).expect("encoded above");
    client.call(Opcode::SetAcl, &SetAclRequest { path: path.into(), acl: Some(acl), version }).code()
}

/// Asks for everything that is audited, with success and without, and for some of what isn't. The server needs
/// `extendedTypesEnabled`. Gives the session, and the lines that are to be found, which end with the server's stop.
pub fn play(server: &Server) -> (i64, Vec<String>) {
    let mut client = Client::connect(server);
    let session = client.session;
    let user = user();
    let mut lines = vec![format!("user={user}\toperation=serverStart\tresult=success")];
    let mut expect = |who: &str, rest: &str| {
        lines.push(format!("session=S\tuser={who}\tip=127.0.0.1\toperation={}", rest.replace(' ', "\t")));
    };
    let ip = "127.0.0.1";

    client.create("/a", b"", PERSISTENT);
    expect(ip, "create znode=/a znode_type=persistent result=success");
    assert_eq!(client.try_create("/a", b"", PERSISTENT), Err(ErrorCode::NodeExists));
    expect(ip, "create znode=/a znode_type=persistent result=failure");
    client.create("/a/e", b"", EPHEMERAL);
    expect(ip, "create znode=/a/e znode_type=ephemeral result=success");
    client.create2("/a/e2", b"", EPHEMERAL);
    expect(ip, "create znode=/a/e2 znode_type=ephemeral result=success");
    let ephemeral = client.create("/a/s-", b"", 3);
    expect(ip, &format!("create znode={ephemeral} znode_type=ephemeral_sequential result=success"));
    let sequential = client.create("/a/p-", b"", 2);
    expect(ip, &format!("create znode={sequential} znode_type=persistent_sequential result=success"));
    assert_eq!(client.call(Opcode::CreateContainer, &create("/a/c", 4)).code(), ErrorCode::Ok);
    expect(ip, "create znode=/a/c znode_type=container result=success");
    for (path, flags, mode) in
        [("/a/t", 5, "persistent_with_ttl"), ("/a/t-", 6, "persistent_sequential_with_ttl")]
    {
        let acl = Some(AclList::OPEN);
        let request = CreateTtlRequest { path: path.into(), data: Some(b""), acl, flags, ttl: 60_000 };
        let reply = client.call(Opcode::CreateTtl, &request);
        let made: ringkeeper::wire::client::Create2Response<'_> = reply.record();
        expect(ip, &format!("create znode={} znode_type={mode} result=success", made.path.to_str_lossy()));
    }
    assert_eq!(client.try_create("/none/x", b"", EPHEMERAL), Err(ErrorCode::NoNode));
    expect(ip, "create znode=/none/x znode_type=ephemeral result=failure");

    assert!(client.set_data("/a", b"1", -1).is_ok());
    expect(ip, "setData znode=/a result=success");
    assert!(client.set_data("/a", b"1", 99).is_err());
    expect(ip, "setData znode=/a result=failure");
    // Reads are no business of this log.
    assert!(client.get_data("/a", true).is_ok());
    assert_eq!(client.sync("/a").code(), ErrorCode::Ok);
    assert!(client.exists("/none", true).is_err());

    let all = OwnedAcl::new(31, "world", "anyone");
    assert_eq!(set_acl(&mut client, "/a", std::slice::from_ref(&all), 7), ErrorCode::BadVersion);
    expect(ip, "setAcl znode=/a acl=world:anyone:cdrwa result=failure");
    assert_eq!(set_acl(&mut client, "/a", &[all, OwnedAcl::new(3, "ip", "10.0.0.0/8")], -1), ErrorCode::Ok);
    expect(ip, "setAcl znode=/a acl=world:anyone:cdrwaip:10.0.0.0/8:rw result=success");

    client.create("/locked", b"", PERSISTENT);
    expect(ip, "create znode=/locked znode_type=persistent result=success");
    assert_eq!(set_acl(&mut client, "/locked", &[OwnedAcl::new(1, "world", "anyone")], -1), ErrorCode::Ok);
    expect(ip, "setAcl znode=/locked acl=world:anyone:r result=success");
    let mut packet = vec![];
    AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(b"bob:secret") }.encode(&mut packet);
    client.send_raw(-4, Opcode::Auth.code(), &packet);
    assert_eq!(client.next_reply().code(), ErrorCode::Ok);
    let ip = "127.0.0.1,bob";
    assert_eq!(client.set_data("/locked", b"", -1), Err(ErrorCode::NoAuth));
    expect(ip, "setData znode=/locked result=failure");

    assert_eq!(client.delete("/none", -1), Err(ErrorCode::NoNode));
    expect(ip, "delete znode=/none result=failure");
    assert_eq!(client.delete("/a/c", -1), Ok(()));
    expect(ip, "delete znode=/a/c result=success");

    let set = SetDataRequest { path: "/m".into(), data: Some(b"new"), version: -1 };
    let operations = [
        MultiOp::Create(create("/m", 0)),
        MultiOp::SetData(set),
        MultiOp::Check(CheckVersionRequest { path: "/m".into(), version: -1 }),
        MultiOp::Delete(DeleteRequest { path: "/m".into(), version: -1 }),
        MultiOp::Create2(create("/m2", 1)),
    ];
    assert_eq!(multi(&mut client, &operations), ErrorCode::Ok);
    expect(ip, "create znode=/m znode_type=persistent result=success");
    expect(ip, "setData znode=/m result=success");
    expect(ip, "delete znode=/m result=success");
    expect(ip, "create znode=/m2 znode_type=ephemeral result=success");
    let refused = [MultiOp::Create(create("/m3", 0)), MultiOp::Create(create("/a", 0))];
    assert_eq!(multi(&mut client, &refused), ErrorCode::Ok, "the error is an operation's");
    expect(ip, "multiOperation result=failure");

    let (joining_servers, leaving_servers, new_members) = (Some("server.9=h:1:2;3".into()), None, None);
    let request = ReconfigRequest { joining_servers, leaving_servers, new_members, cur_config_id: -1 };
    assert_ne!(client.call(Opcode::Reconfig, &request).code(), ErrorCode::Ok);
    expect(ip, "reconfig result=failure");

    client.close();
    for path in ["/a/e", "/a/e2", &ephemeral, "/m2"] {
        let operation = "ephemeralZNodeDeletionOnSessionCloseOrExpire";
        lines.push(format!("session=S\tuser={user}\toperation={operation}\tznode={path}\tresult=success"));
    }
    lines.push(format!("user={user}\toperation=serverStop\tresult=invoked"));
    (session, lines)
}

/// The lines of an audit log among what a server has said, put so that two servers can say the same: whose session it is,
/// and the order of users and of a session's nodes, are not told.
pub fn found(output: &str, session: i64) -> Vec<String> {
    let session = format!("session=0x{session:x}\t");
    let lines = output.lines().filter_map(|line| line.split_once("audit: ")).map(|(_, line)| {
        line.replace(&session, "session=S\t").replace("user=bob,127.0.0.1\t", "user=127.0.0.1,bob\t")
    });
    let mut lines: Vec<String> = lines.collect();
    let is_of_end = |line: &String| line.contains("operation=ephemeral");
    if let Some(first) = lines.iter().position(is_of_end) {
        let count = lines[first..].iter().take_while(|line| is_of_end(line)).count();
        lines[first..first + count].sort_unstable();
    }
    lines
}
