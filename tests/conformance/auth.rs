//! Auth packets: schemes, failures, the super user, what is done under an identity, whoAmI.

use ringkeeper::wire::client::{
    AuthPacket, CreateRequest, GetAclRequest, GetAclResponse, SetAclRequest, WhoAmIResponse,
};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl};

use crate::support::client::PERSISTENT;
use crate::support::{Client, Config, Reply, Server};

/// Of `super:secret`.
const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
/// Of `u:p`.
const U_P: &str = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=";

fn packet(scheme: Option<&str>, auth: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![];
    AuthPacket { auth_type: 0, scheme: scheme.map(Into::into), auth }.encode(&mut body);
    body
}

fn auth(client: &mut Client, scheme: &str, auth: &str) -> Reply {
    client.send_raw(-4, Opcode::Auth.code(), &packet(Some(scheme), Some(auth.as_bytes())));
    client.next_reply()
}

fn acl_bytes(entries: &[OwnedAcl]) -> Vec<u8> {
    let mut bytes = vec![];
    encode_vector(&mut bytes, entries.iter().cloned());
    bytes
}

fn create(client: &mut Client, path: &str, entries: &[OwnedAcl]) -> ErrorCode {
    let bytes = acl_bytes(entries);
    let acl = AclList::parse(&bytes).expect("a list");
    let request = CreateRequest { path: path.into(), data: None, acl: Some(acl), flags: 0 };
    client.call(Opcode::Create, &request).code()
}

fn acl(client: &mut Client, path: &str) -> Result<Vec<OwnedAcl>, ErrorCode> {
    let reply = client.call(Opcode::GetAcl, &GetAclRequest { path: path.into() });
    if reply.err != 0 {
        return Err(reply.code());
    }
    let response = reply.record::<GetAclResponse>();
    Ok(response.acl.iter().map(|entry| entry.to_owned().expect("no nulls")).collect())
}

fn who_am_i(client: &mut Client) -> Vec<(String, String)> {
    let reply = client.call(Opcode::WhoAmI, &());
    let response = reply.record::<WhoAmIResponse>();
    let mut infos: Vec<(String, String)> = response
        .client_info
        .iter()
        .map(|info| (info.auth_scheme.to_string(), info.user.to_string()))
        .collect();
    infos.sort();
    infos
}

fn named(infos: &[(&str, &str)]) -> Vec<(String, String)> {
    infos.iter().map(|(scheme, user)| ((*scheme).to_owned(), (*user).to_owned())).collect()
}

#[test]
fn a_digest_makes_an_identity_and_its_reply_has_no_zxid() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    assert_eq!(who_am_i(&mut client), named(&[("ip", "127.0.0.1")]));
    let reply = auth(&mut client, "digest", "u:p");
    assert_eq!((reply.xid, reply.zxid, reply.err), (-4, 0, 0));
    assert!(reply.body.is_empty());
    assert_eq!(who_am_i(&mut client), named(&[("digest", "u"), ("ip", "127.0.0.1")]));
    assert_eq!(auth(&mut client, "digest", "u:p").err, 0, "twice is once");
    assert_eq!(auth(&mut client, "ip", "").err, 0);
    assert_eq!(auth(&mut client, "digest", "nocolon").err, 0);
    assert_eq!(auth(&mut client, "digest", "a:b:c").err, 0);
    let all = [("digest", "a"), ("digest", "nocolon"), ("digest", "u"), ("ip", "127.0.0.1")];
    assert_eq!(who_am_i(&mut client), named(&all));
}

#[test]
fn what_is_wrong_is_answered_and_the_connection_closed() {
    let server = Server::start();
    let wrong: [(Option<&str>, Option<&[u8]>); 7] = [
        (Some("nonsense"), Some(b"")),
        (Some("world"), Some(b"anyone")),
        (Some("super"), Some(b"")),
        (Some("sasl"), Some(b"")),
        (Some("x509"), Some(b"")),
        (None, Some(b"u:p")),
        (Some("digest"), None),
    ];
    for (scheme, auth) in wrong {
        let mut client = Client::connect(&server);
        client.send_raw(-4, Opcode::Auth.code(), &packet(scheme, auth));
        let reply = client.next_reply();
        assert_eq!((reply.xid, reply.zxid, reply.code()), (-4, 0, ErrorCode::AuthFailed), "{scheme:?}");
        assert!(reply.body.is_empty());
        client.assert_closed();
    }
}

#[test]
fn a_packet_that_is_none_closes_without_a_word() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.send_raw(-4, Opcode::Auth.code(), &[0, 0]);
    client.assert_closed();
}

#[test]
fn any_xid_is_echoed() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.send_raw(77, Opcode::Auth.code(), &packet(Some("digest"), Some(b"u:p")));
    assert_eq!(client.next_reply().xid, 77);
}

#[test]
fn who_created_may_and_others_may_not() {
    let server = Server::start();
    let (mut owner, mut other) = (Client::connect(&server), Client::connect(&server));
    let own = [OwnedAcl::new(31, "auth", "")];
    assert_eq!(create(&mut owner, "/a", &own), ErrorCode::InvalidACL, "nobody was shown");
    auth(&mut owner, "digest", "u:p");
    assert_eq!(create(&mut owner, "/a", &own), ErrorCode::Ok);
    assert_eq!(acl(&mut owner, "/a"), Ok(vec![OwnedAcl::new(31, "digest", U_P)]));
    let denied = ErrorCode::NoAuth;
    assert_eq!(other.get_data("/a", false), Err(denied));
    assert_eq!(other.exists("/a", true), Err(denied));
    assert_eq!(other.children("/a", false), Err(denied));
    assert_eq!(acl(&mut other, "/a"), Err(denied));
    assert_eq!(other.set_data("/a", b"x", -1), Err(denied));
    assert_eq!(other.try_create("/a/b", b"", PERSISTENT), Err(denied));
    auth(&mut other, "digest", "u:wrong");
    assert_eq!(other.get_data("/a", false), Err(denied));
    auth(&mut other, "digest", "u:p");
    other.set_data("/a", b"x", -1).expect("it has shown the same");
    other.create("/a/b", b"", PERSISTENT);
}

/// Without ADMIN a digest is shown as `user:x`; READ or ADMIN is enough to ask.
#[test]
fn getacl_hides_digests_from_who_may_not_administrate() {
    let server = Server::start();
    let (mut owner, mut other) = (Client::connect(&server), Client::connect(&server));
    auth(&mut owner, "digest", "u:p");
    let entries = [
        OwnedAcl::new(31, "digest", U_P),
        OwnedAcl::new(1, "world", "anyone"),
        OwnedAcl::new(2, "ip", "10.0.0.1"),
    ];
    assert_eq!(create(&mut owner, "/a", &entries), ErrorCode::Ok);
    assert_eq!(acl(&mut owner, "/a"), Ok(entries.to_vec()));
    let mut hidden = entries.to_vec();
    hidden[0].id = "u:x".to_owned();
    assert_eq!(acl(&mut other, "/a"), Ok(hidden));
    let admin = [OwnedAcl::new(16, "world", "anyone"), OwnedAcl::new(1, "digest", U_P)];
    assert_eq!(create(&mut owner, "/b", &admin), ErrorCode::Ok);
    assert_eq!(acl(&mut other, "/b"), Ok(admin.to_vec()));
    assert_eq!(acl(&mut other, "/missing"), Err(ErrorCode::NoNode));
}

#[test]
fn the_super_user_may_everything() {
    let server = Config::default().set("DigestAuthenticationProvider.superDigest", SUPER_DIGEST).start();
    let (mut owner, mut root) = (Client::connect(&server), Client::connect(&server));
    auth(&mut owner, "digest", "u:p");
    assert_eq!(create(&mut owner, "/a", &[OwnedAcl::new(1, "auth", "")]), ErrorCode::Ok);
    assert_eq!(root.set_data("/a", b"x", -1), Err(ErrorCode::NoAuth));
    assert_eq!(auth(&mut root, "digest", "super:secret").err, 0);
    assert_eq!(who_am_i(&mut root), named(&[("digest", "super"), ("ip", "127.0.0.1"), ("super", "")]));
    root.set_data("/a", b"x", -1).expect("the super user");
    assert_eq!(acl(&mut root, "/a"), Ok(vec![OwnedAcl::new(1, "digest", U_P)]));
    let open = acl_bytes(&[OwnedAcl::new(31, "world", "anyone")]);
    let request = SetAclRequest { path: "/a".into(), acl: AclList::parse(&open).ok(), version: -1 };
    assert_eq!(root.call(Opcode::SetAcl, &request).err, 0);
    owner.set_data("/a", b"y", -1).expect("open now");
    // What the super user's own list says: his digest counts, the word super doesn't.
    assert_eq!(create(&mut root, "/b", &[OwnedAcl::new(31, "auth", "")]), ErrorCode::Ok);
    assert_eq!(acl(&mut root, "/b"), Ok(vec![OwnedAcl::new(31, "digest", SUPER_DIGEST)]));
}

#[test]
fn a_password_that_is_not_the_super_users_is_anybodys() {
    let server = Config::default().set("DigestAuthenticationProvider.superDigest", SUPER_DIGEST).start();
    let mut client = Client::connect(&server);
    assert_eq!(auth(&mut client, "digest", "super:Secret").err, 0);
    assert_eq!(who_am_i(&mut client), named(&[("digest", "super"), ("ip", "127.0.0.1")]));
}

#[test]
fn identities_belong_to_the_connection() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    auth(&mut client, "digest", "u:p");
    let again = crate::support::Connect::again(&client);
    client.cut();
    let mut client = again.open(&server);
    assert_eq!(who_am_i(&mut client), named(&[("ip", "127.0.0.1")]));
}

/// A server with SASL off.
#[test]
fn sasl_is_answered_with_nothing() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.send_raw(1, Opcode::Sasl.code(), &[0, 0, 0, 0]);
    let reply = client.next_reply();
    assert_eq!((reply.xid, reply.zxid, reply.err, &reply.body[..]), (1, 0, 0, &[0xff; 4][..]));
    client.assert_quiet();
}
