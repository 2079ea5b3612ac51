//! Which ids an ACL may hold, and whom an address lets in.

use ringkeeper::wire::acl::perms;
use ringkeeper::wire::client::{CreateRequest, SetAclRequest};
use ringkeeper::wire::jute::{Reader, encode_vector};
use ringkeeper::wire::{AclList, Decode, ErrorCode, Opcode, OwnedAcl};

use crate::support::client::PERSISTENT;
use crate::support::{Client, Server};

fn encoded(entries: &[OwnedAcl]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_vector(&mut bytes, entries);
    bytes
}

fn create(client: &mut Client, path: &str, entries: &[OwnedAcl]) -> ErrorCode {
    let bytes = encoded(entries);
    let acl = AclList::decode(&mut Reader::new(&bytes)).expect("encoded above");
    let request = CreateRequest { path: path.into(), data: Some(b""), acl: Some(acl), flags: 0 };
    client.call(Opcode::Create, &request).code()
}

#[test]
fn ids_are_judged_by_their_scheme() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    use ErrorCode::{InvalidACL as No, Ok as Yes};
    let cases = [
        ("world", "anyone", Yes),
        ("world", "Anyone", No),
        ("world", "", No),
        ("World", "anyone", No),
        ("ip", "10.0.0.1", Yes),
        ("ip", "010.0.0.01", Yes),
        ("ip", "+1.0.0.1", Yes),
        ("ip", "-0.0.0.1", Yes),
        ("ip", "10.0.0.1.", No),
        ("ip", "::ffff:10.0.0.1", No),
        ("ip", "10.0.0", No),
        ("ip", "10.0.0.256", No),
        ("ip", "10.0.0.-1", No),
        ("ip", "10.0..1", No),
        ("ip", ".0.0.1", No),
        ("ip", " 10.0.0.1", No),
        ("ip", "", No),
        ("ip", "localhost", No),
        ("ip", "10.0.0.1/0", Yes),
        ("ip", "10.0.0.1/32", Yes),
        ("ip", "10.0.0.1/+8", Yes),
        ("ip", "10.0.0.1/008", Yes),
        ("ip", "10.0.0.1/33", No),
        ("ip", "10.0.0.1/-1", No),
        ("ip", "10.0.0.1/", No),
        ("ip", "10.0.0.1/8/8", No),
        ("ip", "10.0.0.1/x", No),
        ("ip", "::1", Yes),
        ("ip", "fe80::1/64", Yes),
        ("ip", "fe80::1/128", Yes),
        ("ip", "fe80::1/129", No),
        ("ip", "fe80::1::2", No),
        ("digest", "u:h", Yes),
        ("digest", "u:h:", Yes),
        ("digest", ":h", Yes),
        ("digest", "u:", No),
        ("digest", "u", No),
        ("digest", "", No),
        ("digest", ":", No),
        ("digest", "u:a:b", No),
        ("auth", "", No),
        ("super", "x", No),
        ("sasl", "me", No),
        ("sasl", "me/host@REALM", No),
        ("x509", "CN=me", No),
        ("ensemble", "x", No),
        ("nobody", "x", No),
        ("", "", No),
    ];
    for (at, (scheme, id, expected)) in cases.into_iter().enumerate() {
        let code = create(&mut client, &format!("/n{at}"), &[OwnedAcl::new(perms::ALL, scheme, id)]);
        assert_eq!(code, expected, "{scheme}:{id:?}");
    }
}

#[test]
fn an_address_lets_in_whom_it_covers() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for (at, (id, inside)) in [
        ("127.0.0.1", true),
        ("127.0.0.2", false),
        ("127.0.0.0/8", true),
        ("127.0.0.0/31", true),
        ("127.0.0.0/32", false),
        ("127.000.000.001", true),
        ("1.2.3.4/0", true),
        ("128.0.0.0/1", false),
        ("0.0.0.0/1", true),
        ("::1", false),
        ("::/0", false),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/n{at}");
        assert_eq!(create(&mut client, &path, &[OwnedAcl::new(perms::ALL, "ip", id)]), ErrorCode::Ok, "{id}");
        let read = client.get_data(&path, false).map(drop);
        let written = client.set_data(&path, b"x", -1).map(drop);
        let expected = if inside { Ok(()) } else { Err(ErrorCode::NoAuth) };
        assert_eq!((read, written), (expected, expected), "{id}");
    }
}

/// The parent's CREATE and DELETE, the node's WRITE, READ and ADMIN.
#[test]
fn each_operation_asks_for_its_permission() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for (at, granted) in [0, perms::READ, perms::WRITE, perms::CREATE, perms::DELETE, perms::ADMIN, 255, -1]
        .into_iter()
        .enumerate()
    {
        let path = format!("/n{at}");
        client.create(&path, b"", PERSISTENT);
        client.create(&format!("{path}/child"), b"", PERSISTENT);
        let bytes = encoded(&[OwnedAcl::new(granted, "world", "anyone")]);
        let acl = AclList::decode(&mut Reader::new(&bytes)).ok();
        let set_acl = SetAclRequest { path: (&*path).into(), acl, version: -1 };
        assert_eq!(client.call(Opcode::SetAcl, &set_acl).code(), ErrorCode::Ok);
        let expect = |perm: i32| if granted & perm != 0 { Ok(()) } else { Err(ErrorCode::NoAuth) };
        assert_eq!(client.get_data(&path, false).map(drop), expect(perms::READ), "{granted}");
        assert_eq!(client.children(&path, false).map(drop), expect(perms::READ), "{granted}");
        assert_eq!(client.exists(&path, false).map(drop), expect(perms::READ), "{granted}");
        assert_eq!(client.set_data(&path, b"", -1).map(drop), expect(perms::WRITE), "{granted}");
        let other = format!("{path}/other");
        assert_eq!(client.try_create(&other, b"", PERSISTENT).map(drop), expect(perms::CREATE), "{granted}");
        assert_eq!(client.delete(&format!("{path}/child"), -1), expect(perms::DELETE), "{granted}");
        let again = client.call(Opcode::SetAcl, &set_acl).code();
        assert_eq!(again, expect(perms::ADMIN).err().unwrap_or(ErrorCode::Ok), "{granted}");
    }
}
