//! The handshake: bytes, timeouts, passwords, refusals.

use std::io::Write;

use ringkeeper::wire::Opcode;

use crate::support::{Client, Config, Connect, Message, Refusal, Server};

#[test]
fn a_response_is_as_long_as_the_request_allows() {
    let server = Server::start();
    let modern = Connect::default().open(&server);
    assert_eq!(modern.handshake.len(), 37);
    assert_eq!(modern.handshake[36], 0, "not a read-only server");
    let old = Connect { read_only: None, ..Connect::default() }.open(&server);
    assert_eq!(old.handshake.len(), 36);
    let tolerant = Connect { read_only: Some(true), ..Connect::default() }.open(&server);
    assert_eq!(tolerant.handshake.len(), 37);
    assert_eq!(tolerant.handshake[36], 0, "a client that would take a read-only server got a real one");
}

#[test]
fn timeouts_are_clamped_to_2_and_20_ticks() {
    let server = Server::start();
    for (asked, agreed) in [(10_000, 10_000), (0, 4_000), (-5, 4_000), (1, 4_000), (i32::MAX, 40_000)] {
        let client = Connect { timeout_ms: asked, ..Connect::default() }.open(&server);
        assert_eq!(client.timeout_ms, agreed, "asked for {asked}");
        client.close();
    }
    let server = Config::default().set("minSessionTimeout", 700).set("maxSessionTimeout", 900).start();
    for (asked, agreed) in [(1, 700), (800, 800), (10_000, 900)] {
        let client = Connect { timeout_ms: asked, ..Connect::default() }.open(&server);
        assert_eq!(client.timeout_ms, agreed, "asked for {asked}");
    }
}

#[test]
fn protocol_version_and_a_new_sessions_password_are_ignored() {
    let server = Server::start();
    for protocol_version in [0, 7, -1, i32::MIN] {
        let client = Connect { protocol_version, ..Connect::default() }.open(&server);
        assert_eq!(client.handshake[..4], [0; 4], "the server's is 0");
    }
    for password in [None, Some(vec![]), Some(vec![9; 3]), Some(vec![7; 100])] {
        let client = Connect { password, ..Connect::default() }.open(&server);
        assert_eq!(client.password.len(), 16);
    }
}

#[test]
fn bytes_behind_the_connect_record_are_ignored() {
    let server = Server::start();
    let mut client = Client::on(server.socket());
    let mut frame = Connect::default().frame();
    frame.extend([1, 2, 3, 4, 5]);
    let length = u32::try_from(frame.len() - 4).expect("short");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    client.send_bytes(&frame);
    client.shake_hands().expect("accepted");
    assert_eq!(client.handshake.len(), 37);
    client.assert_quiet();
}

#[test]
fn session_ids_name_their_server_and_rise_by_one() {
    let server = Server::start();
    let (first, second) = (Client::connect(&server), Client::connect(&server));
    assert_eq!(first.session >> 56, 1, "0x{:x}", first.session);
    assert_eq!(second.session, first.session + 1);
}

/// 16 bytes of Java's generator, seeded by the id: servers of any ensemble agree on it.
#[test]
fn a_password_is_what_java_derives_from_the_id() {
    let server = Server::start();
    let client = Client::connect(&server);
    assert_eq!(client.password, java_password(client.session));
    // The two known pairs of the specification hold the derivation itself.
    let known = java_password(0x100_000e_70be_0000);
    assert_eq!(known[..8], [0x60, 0x7d, 0xd6, 0x8e, 0x6d, 0xd3, 0x0c, 0x27]);
}

fn java_password(session: i64) -> Vec<u8> {
    const MASK: u64 = (1 << 48) - 1;
    let mut state = ((session as u64) ^ 0xB341_5C00 ^ 0x5_DEEC_E66D) & MASK;
    let draws = (0..4).flat_map(|_| {
        state = state.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & MASK;
        ((state >> 16) as u32).to_le_bytes()
    });
    draws.collect()
}

#[test]
fn a_new_session_takes_a_zxid_and_a_resumed_one_does_not() {
    let server = Server::start();
    let before = server.zxid();
    let mut first = Client::connect(&server);
    assert_eq!(first.ping().zxid, before + 1);
    let again = Connect::again(&first);
    first.cut();
    let mut resumed = again.open(&server);
    assert_eq!(resumed.ping().zxid, before + 1);
    let mut second = Client::connect(&server);
    assert_eq!(second.ping().zxid, before + 2);
}

#[test]
fn a_session_comes_back_with_its_password_and_its_new_timeout() {
    let server = Server::start();
    let client = Client::connect(&server);
    let again = Connect { timeout_ms: 6_000, ..Connect::again(&client) };
    let session = client.session;
    client.cut();
    let mut resumed = again.open(&server);
    assert_eq!((resumed.session, resumed.timeout_ms), (session, 6_000));
    assert_eq!(resumed.password, again.password.expect("asked with one"));
    resumed.create("/by-resumed", b"", 0);
}

#[test]
fn a_session_that_comes_back_closes_its_other_connection() {
    let server = Server::start();
    let mut old = Client::connect(&server);
    let mut new = Connect::again(&old).open(&server);
    old.assert_closed();
    new.assert_quiet();
}

#[test]
fn a_wrong_password_is_rejected() {
    let server = Server::start();
    let client = Client::connect(&server);
    for password in [None, Some(vec![0; 16]), Some(vec![]), Some(client.password[..15].to_vec())] {
        let attempt = Connect { password: password.clone(), ..Connect::again(&client) };
        let Err(Refusal::Rejected(bytes)) = attempt.try_open(&server) else {
            panic!("{password:?} was not rejected");
        };
        // protocolVersion, timeOut and sessionId 0, a password of 16 zeros, not read-only.
        let mut expected = vec![0; 37];
        expected[19] = 16;
        assert_eq!(bytes, expected);
    }
    // The session itself is not harmed.
    Connect::again(&client).open(&server).assert_quiet();
}

#[test]
fn an_unknown_session_is_rejected_whatever_its_password() {
    let server = Server::start();
    let client = Client::connect(&server);
    let unknown = client.session + 1000;
    let attempt = Connect { session: unknown, password: Some(java_password(unknown)), ..Connect::default() };
    assert!(matches!(attempt.try_open(&server), Err(Refusal::Rejected(bytes)) if bytes.len() == 37));
    let old = Connect { read_only: None, ..attempt };
    assert!(matches!(old.try_open(&server), Err(Refusal::Rejected(bytes)) if bytes.len() == 36));
    let closed = Connect::again(&client);
    client.close();
    assert!(matches!(closed.try_open(&server), Err(Refusal::Rejected(_))));
}

#[test]
fn a_client_that_has_seen_the_future_is_turned_away() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    let now = client.ping().zxid;
    for (last_zxid_seen, refused) in [(now + 1, true), (i64::MAX, true), (now, false), (-1, false)] {
        let attempt = Connect { last_zxid_seen, ..Connect::again(&client) };
        match attempt.try_open(&server) {
            Err(refusal) => assert!(refused && refusal == Refusal::Closed, "{last_zxid_seen}: {refusal:?}"),
            Ok(_) => assert!(!refused, "{last_zxid_seen} was let in"),
        }
    }
}

#[test]
fn requests_may_be_sent_before_the_handshake_is_answered() {
    let server = Server::start();
    let mut client = Client::on(server.socket());
    let mut bytes = Connect::default().frame();
    let mut xids = Vec::new();
    for _ in 0..3 {
        let (xid, request) = client.request(Opcode::Ping, &());
        xids.push(xid);
        bytes.extend(request);
    }
    client.send_bytes(&bytes);
    client.shake_hands().expect("accepted");
    for _ in xids {
        assert_eq!(client.next_reply().xid, -2);
    }
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let server = Server::start();
    let mut socket = server.socket();
    for byte in Connect::default().frame() {
        socket.write_all(&[byte]).expect("the server reads");
    }
    let mut client = Client::on(socket);
    client.shake_hands().expect("accepted");
    let (xid, request) = client
        .request(Opcode::Exists, &ringkeeper::wire::client::ExistsRequest { path: "/".into(), watch: false });
    for byte in request {
        client.send_bytes(&[byte]);
    }
    assert!(matches!(client.next(), Message::Reply(reply) if reply.xid == xid && reply.err == 0));
}

#[test]
fn a_first_frame_that_cannot_be_one_closes_the_connection() {
    let server = Server::start();
    let good = Connect::default().frame();
    let mut cut_password = good[..4 + 4 + 8 + 4 + 8 + 4 + 6].to_vec();
    cut_password[3] = u8::try_from(cut_password.len() - 4).expect("short");
    let mut negative_password = good.clone();
    negative_password[28..32].copy_from_slice(&(-2i32).to_be_bytes());
    let cases: [(&str, Vec<u8>); 8] = [
        ("length -1", vec![0xff; 4]),
        ("length 0", vec![0; 4]),
        ("length above jute.maxbuffer", 0x10_0000u32.to_be_bytes().to_vec()),
        ("the telnet interrupt", vec![0xff, 0xf4, 0xff, 0xfd]),
        ("too short a record", vec![0, 0, 0, 4, 0, 0, 0, 0]),
        ("a password cut off", cut_password),
        ("a password of length -2", negative_password),
        ("four letters that are no word", b"what".to_vec()),
    ];
    for (name, bytes) in cases {
        let mut client = Client::on(server.socket());
        client.send_bytes(&bytes);
        assert_eq!(client.next_frame(), None, "{name}");
    }
    Client::connect(&server).assert_quiet();
}

/// Each connect request takes a token. Who finds none is closed without a byte; four-letter words need none.
#[test]
fn connect_requests_are_throttled_if_told_so() {
    let config = Config::default()
        .set("connection_throttle_tokens", 2)
        .set("connection_throttle_fill_time", 600_000)
        .set("connection_throttle_fill_count", 1);
    let server = config.start();
    let client = Client::connect(&server);
    Client::connect(&server).assert_quiet();
    for _ in 0..3 {
        assert_eq!(Connect::default().try_open(&server).map(drop), Err(Refusal::Closed));
    }
    assert_eq!(Connect::again(&client).try_open(&server).map(drop), Err(Refusal::Closed), "nor to come back");
    assert_eq!(server.word("ruok"), "imok");
}
