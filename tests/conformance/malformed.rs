//! Requests that are none: section 20 of the specification, line by line. The server always lives on.

use ringkeeper::wire::{ErrorCode, Opcode};

use crate::support::client::PERSISTENT;
use crate::support::{Client, Connect, Refusal, Server};

#[test]
fn a_frame_that_cannot_hold_a_header_closes_the_connection() {
    let server = Server::start();
    for (name, bytes) in [
        ("length 0", &[0, 0, 0, 0][..]),
        ("length 4", &[0, 0, 0, 4, 0, 0, 0, 1]),
        ("length -1", &[0xff; 4]),
        ("length above jute.maxbuffer", &[0, 0x10, 0, 0]),
        ("the least length", &[0x80, 0, 0, 0]),
    ] {
        let mut client = Client::connect(&server);
        client.send_bytes(bytes);
        assert_eq!(client.next_frame(), None, "{name}");
        // The session lives on.
        Connect::again(&client).open(&server).close();
    }
}

#[test]
fn an_unknown_operation_is_unimplemented_and_ends_the_connection() {
    let server = Server::start();
    for opcode in [0, 10, 13, 23, 99, 108, -1, -2, -9, i32::MIN, i32::MAX] {
        let mut client = Client::connect(&server);
        client.send_raw(5, opcode, b"\0\0\0\x01/\0\0\0\0");
        let reply = client.next_reply();
        assert_eq!((reply.xid, reply.zxid, reply.err), (5, -1, -6), "opcode {opcode}");
        assert!(reply.body.is_empty());
        client.assert_closed();
    }
    Client::connect(&server).assert_quiet();
}

/// What can't be decoded is a MarshallingError, and the connection stays.
#[test]
fn a_body_that_cannot_be_decoded_is_a_marshalling_error() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    let null_path = [0xff; 4];
    let bodies: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("cut in the length", b"\0\0"),
        ("cut in the path", b"\0\0\0\x05/a"),
        ("a path of negative length", b"\xff\xff\xff\xfe/a"),
        ("a path longer than any frame", b"\x7f\xff\xff\xff/a"),
        ("a null path", &null_path),
    ];
    for opcode in [
        Opcode::Create,
        Opcode::Create2,
        Opcode::Delete,
        Opcode::Exists,
        Opcode::GetData,
        Opcode::SetData,
        Opcode::GetChildren,
        Opcode::GetChildren2,
    ] {
        for (name, body) in bodies {
            // A null path is a fault only where the record is whole behind it.
            let mut body = body.to_vec();
            if name == "a null path" {
                body.extend(rest_of(opcode));
            }
            client.send_raw(9, opcode.code(), &body);
            let reply = client.next_reply();
            // setData alone judges the path before it trips over the null.
            let judged = opcode == Opcode::SetData && name == "a null path";
            assert_eq!((reply.xid, reply.err), (9, if judged { -8 } else { -5 }), "{opcode}: {name}");
            assert!(reply.body.is_empty(), "{opcode}: {name}");
        }
    }
    // What lacks its last byte.
    for (opcode, body) in [
        (Opcode::Exists, &b"\0\0\0\x02/a"[..]),
        (Opcode::GetData, b"\0\0\0\x02/a"),
        (Opcode::GetChildren2, b"\0\0\0\x02/a"),
        (Opcode::Delete, b"\0\0\0\x02/a\0\0\0"),
        (Opcode::SetData, b"\0\0\0\x02/a\0\0\0\x01x\0\0\0"),
    ] {
        client.send_raw(9, opcode.code(), body);
        assert_eq!(client.next_reply().err, -5, "{opcode}");
    }
    assert_eq!(client.stat("/a").version, 0, "nothing was done");
    client.assert_quiet();
}

/// What follows the path in the shortest whole record.
fn rest_of(opcode: Opcode) -> Vec<u8> {
    match opcode {
        // data "", ACL [31 world:anyone], flags 0
        Opcode::Create | Opcode::Create2 => {
            let mut rest = b"\0\0\0\0".to_vec();
            rest.extend(b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone\0\0\0\0");
            rest
        }
        Opcode::SetData => b"\0\0\0\0\xff\xff\xff\xff".to_vec(),
        Opcode::Delete => b"\xff\xff\xff\xff".to_vec(),
        _ => vec![0],
    }
}

#[test]
fn a_sync_that_cannot_be_decoded_is_a_marshalling_error_too() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    for body in [&b""[..], b"\0\0", b"\0\0\0\x05/a"] {
        client.send_raw(9, Opcode::Sync.code(), body);
        let reply = client.next_reply();
        assert_eq!((reply.xid, reply.err), (9, -5), "{body:x?}");
    }
    client.assert_quiet();
}

#[test]
fn bytes_behind_a_body_are_ignored() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"x", PERSISTENT);
    client.send_raw(3, Opcode::GetData.code(), b"\0\0\0\x02/a\0and more of this");
    assert_eq!(client.next_reply().err, 0);
    client.send_raw(4, Opcode::SetData.code(), b"\0\0\0\x02/a\0\0\0\x01y\xff\xff\xff\xffmore");
    assert_eq!(client.next_reply().err, 0);
    assert_eq!(client.data("/a"), b"y");
    client.send_raw(5, Opcode::Delete.code(), b"\0\0\0\x02/a\xff\xff\xff\xffmore");
    assert_eq!(client.next_reply().err, 0);
}

#[test]
fn any_byte_but_zero_is_true() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    client.send_raw(3, Opcode::GetData.code(), b"\0\0\0\x02/a\x7f");
    assert_eq!(client.next_reply().err, 0);
    client.set_data("/a", b"", -1).expect("there");
    assert_eq!(client.next_event().path, "/a");
}

/// A request that waits in the same packet behind a broken one.
#[test]
fn what_comes_behind_a_marshalling_error_is_answered_in_order() {
    let server = Server::start();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    for _ in 0..20 {
        client.send_raw(1, Opcode::SetData.code(), b"\0\0\0\x02/a\0\0\0\0\xff\xff\xff\xff");
        client.send_raw(2, Opcode::SetData.code(), b"\0");
        client.send_raw(3, Opcode::GetData.code(), b"\0");
        client.send_raw(4, Opcode::GetData.code(), b"\0\0\0\x02/a\0");
        let replies: Vec<_> =
            (0..4).map(|_| client.next_reply()).map(|reply| (reply.xid, reply.err)).collect();
        assert_eq!(replies, [(1, 0), (2, -5), (3, -5), (4, 0)]);
    }
}

#[test]
fn connections_that_say_nothing_sensible_do_no_harm() {
    let server = Server::start();
    let mut witness = Client::connect(&server);
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for length in 0..120 {
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        let mut before = Client::on(server.socket());
        // Whether it hangs up at once or waits for more is its own affair.
        let _sent = before.try_send_bytes(&noise);
        drop(before);
        let mut behind = Client::connect(&server);
        let mut frame = u32::try_from(8 + noise.len()).expect("short").to_be_bytes().to_vec();
        frame.extend([0, 0, 0, 1, 0, 0, 0, (length % 25) as u8]);
        frame.extend(&noise);
        let _sent = behind.try_send_bytes(&frame);
        drop(behind);
        assert_eq!(witness.exists("/missing", false), Err(ErrorCode::NoNode));
    }
    let attempt = Connect { session: 1, ..Connect::default() };
    assert!(matches!(attempt.try_open(&server), Err(Refusal::Rejected(_))));
}
