//! The stream of packets: the specification's bytes both ways, limits, every cut.

use super::*;
use crate::base::{Epoch, Prng, ServerId, SessionId};
use crate::wire::peer::*;
use crate::wire::testing::{encoded, hex};

const LIMIT: usize = 0xf_ffff;

fn decode(bytes: &[u8]) -> Result<Option<(QuorumPacket<'_>, usize)>, PacketError> {
    decode_prefix(bytes, LIMIT)
}

fn whole(bytes: &[u8]) -> QuorumPacket<'_> {
    let (packet, length) = decode(bytes).expect("a packet").expect("all of it");
    assert_eq!(length, bytes.len());
    packet
}

#[test]
fn codes_and_names_are_the_protocols() {
    assert_eq!(Kind::ALL.len(), 19);
    for (index, kind) in Kind::ALL.iter().enumerate() {
        assert_eq!(kind.code(), index as i32 + 1);
        assert_eq!(Kind::of(kind.code()), Some(*kind));
    }
    assert_eq!((Kind::of(0), Kind::of(20), Kind::of(-1)), (None, None, None));
    assert_eq!(Kind::InformAndActivate.to_string(), "INFORMANDACTIVATE");
}

/// quorum-protocol.md §23.
#[test]
fn the_bytes_of_the_specification_both_ways() {
    let info = LearnerInfo::new(ServerId(9), 0);
    let bytes = hex("00000010 0000000100000000 00000014 0000000000000009 00010000 0000000000000000 ffffffff");
    let packet = whole(&bytes);
    assert_eq!((packet.kind, packet.zxid), (Kind::ObserverInfo, Zxid(1 << 32)));
    assert_eq!((packet.payload(), packet.authinfo), (Ok(info), None));
    let mut out = Vec::new();
    encode_record(Kind::ObserverInfo, Zxid(1 << 32), &info, &mut out);
    assert_eq!(out, bytes);

    let leader_info = LeaderInfo { protocol_version: 0x1_0000 };
    let bytes = hex("00000011 0000000100000000 00000004 00010000 ffffffff");
    assert_eq!(whole(&bytes).payload(), Ok(leader_info));
    let mut out = Vec::new();
    encode_record(Kind::LeaderInfo, Zxid(1 << 32), &leader_info, &mut out);
    assert_eq!(out, bytes);

    let ack = AckEpoch { current_epoch: None };
    let bytes = hex("00000012 0000000100000015 00000004 ffffffff ffffffff");
    assert_eq!(whole(&bytes).payload(), Ok(ack));
    let mut out = Vec::new();
    encode_record(Kind::AckEpoch, Zxid(0x1_0000_0015), &ack, &mut out);
    assert_eq!(out, bytes);
    assert_eq!(encoded(&AckEpoch { current_epoch: Some(Epoch(5)) }), hex("00000005"));

    for (text, kind, zxid) in [
        ("0000000d 0000000100000017 ffffffff ffffffff", Kind::Diff, 0x1_0000_0017),
        ("00000003 0000000100000000 ffffffff ffffffff", Kind::Ack, 0x1_0000_0000),
        ("0000000c ffffffffffffffff ffffffff ffffffff", Kind::UpToDate, -1),
    ] {
        let bytes = hex(text);
        assert_eq!(whole(&bytes), QuorumPacket::bare(kind, Zxid(zxid)));
        let mut out = Vec::new();
        encode_bare(kind, Zxid(zxid), &mut out);
        assert_eq!(out, bytes);
    }
    let bytes = hex("00000005 0000000100000017 00000000 ffffffff");
    assert_eq!(whole(&bytes).data, Some(&b""[..]));
    let mut out = Vec::new();
    encode_ping_reply(Zxid(0x1_0000_0017), [], &mut out);
    assert_eq!(out, bytes);
}

#[test]
fn what_the_hot_path_writes_is_what_the_record_would_write() {
    let (zxid, payload) = (Zxid(0x2_0000_0005), &b"a transaction"[..]);
    let check = |kind, data, encode: &dyn Fn(&mut Vec<u8>)| {
        let mut out = vec![0xaa];
        encode(&mut out);
        assert_eq!(out[1..], encoded(&QuorumPacket { kind, zxid, data, authinfo: None }));
        assert_eq!(whole(&out[1..]).kind, kind);
    };
    check(Kind::Proposal, Some(payload), &|out| encode_proposal(zxid, payload, out));
    check(Kind::Inform, Some(payload), &|out| encode_inform(zxid, payload, out));
    check(Kind::Commit, None, &|out| encode_commit(zxid, out));
    check(Kind::Ack, None, &|out| encode_ack(zxid, out));
    check(Kind::Proposal, Some(payload), &|out| {
        out.extend(head(Kind::Proposal, zxid, payload.len()));
        out.extend(payload);
        out.extend(TAIL);
    });
}

#[test]
fn requests_carry_the_body_and_who_the_client_is() {
    let identities = hex("00000001 00000002 'ip' 00000009 '127.0.0.1'");
    let identities = Vector::<Identity>::parse(&identities).expect("a vector");
    let request = ForwardedRequest { session: SessionId(0x55), cxid: 7, opcode: 1, body: b"body" };
    for identities in [Some(identities), Some(Vector::EMPTY), None] {
        let mut out = Vec::new();
        encode_request(&request, identities, &mut out);
        let packet = whole(&out);
        assert_eq!((packet.kind, packet.zxid, packet.authinfo), (Kind::Request, Zxid(-1), identities));
        assert_eq!(packet.payload(), Ok(request));
    }
}

#[test]
fn touched_sessions_are_a_whole_number_of_elements() {
    let touch = |n| SessionTouch { session: SessionId(n), timeout_ms: 10_000 };
    let mut out = Vec::new();
    encode_ping_reply(Zxid(3), (1..=3).map(touch), &mut out);
    let touches: SessionTouches = whole(&out).payload().expect("sessions");
    assert_eq!((touches.len(), touches.is_empty()), (3, false));
    assert_eq!(touches.iter().collect::<Vec<_>>(), [touch(1), touch(2), touch(3)]);
    assert!(SessionTouches::parse(&[0; 13]).is_err());
    assert!(SessionTouches::parse(&[]).is_ok_and(|none| none.is_empty()));
}

#[test]
fn learner_info_has_three_lengths() {
    let bytes = hex("0000000000000009 00010000 0000000100000007");
    for length in 0..=20 {
        let info = LearnerInfo::parse(&bytes[..length]);
        let expected = LearnerInfo {
            server: ServerId(9),
            protocol_version: (length >= 12).then_some(0x1_0000),
            config_version: (length >= 20).then_some(0x1_0000_0007),
        };
        match length {
            0..8 => assert!(info.is_err(), "{length}"),
            _ => assert_eq!(info, Ok(expected), "{length}"),
        }
        if let (Ok(info), 8 | 12 | 20) = (info, length) {
            assert_eq!(encoded(&info), bytes[..length]);
        }
    }
}

#[test]
fn a_payload_that_is_null_or_too_short_is_an_error_and_no_panic() {
    let packet = QuorumPacket::bare(Kind::Revalidate, Zxid(0));
    assert_eq!(packet.payload::<Revalidation>().map_err(|error| error.reason), Err(Reason::Null));
    let packet = QuorumPacket { data: Some(b"1234567"), ..packet };
    assert!(packet.payload::<Revalidation>().is_err());
    assert!(packet.payload::<Activation>().is_err());
    assert!(packet.payload::<ActivatedInform>().is_err());
    assert!(packet.payload::<ForwardedRequest>().is_err());
}

/// Claims a length and gives nothing: the answer must come from the claim, and mustn't be "send more".
#[test]
fn lengths_are_refused_before_their_bytes_are_waited_for() {
    let error = |text: &str| decode(&hex(text)).expect_err("more than the limit");
    assert_eq!(error("00000000"), PacketError::UnknownKind(0));
    assert_eq!(error("00000014"), PacketError::UnknownKind(20));
    assert_eq!(error("47455420"), PacketError::UnknownKind(0x4745_5420));
    let proposal = |length: i32| {
        let length = format!("{length:08x}");
        let bytes = hex(&format!("00000002 0000000000000001 {length}"));
        decode(&bytes).map(|packet| packet.is_some())
    };
    assert_eq!(proposal(LIMIT as i32), Ok(false));
    for length in [LIMIT as i32 + 1, i32::MAX, -2, i32::MIN] {
        let error = PacketError::PayloadLength { kind: Kind::Proposal, length, limit: LIMIT };
        assert_eq!(proposal(length), Err(error));
    }
    let small = PacketError::PayloadLength { kind: Kind::Ack, length: 1025, limit: 1024 };
    assert_eq!(error("00000003 0000000000000001 00000401"), small);
    let bytes = hex("00000002 0000000000000001 00000401");
    assert!(matches!(decode_prefix(&bytes, 1024), Err(PacketError::PayloadLength { limit: 1024, .. })));

    let ack = "00000003 0000000000000001 ffffffff";
    for authinfo in [
        "7fffffff",
        "00020001",
        "00000001 00100000",
        "00000001 7fffffff",
        "00000001 fffffffe",
        "00000001 80000000",
        "00000002 ffffffff 00000000 000ffff8",
    ] {
        let error = error(&format!("{ack} {authinfo}"));
        assert!(matches!(error, PacketError::AuthinfoLength { kind: Kind::Ack, .. }), "{authinfo}: {error}");
    }
    for waiting in ["00020000", "00000001 000ffff0", "00000001 ffffffff 00000000 "] {
        let bytes = hex(&format!("{ack} {waiting}"));
        let complete = waiting.ends_with(' ');
        assert_eq!(decode(&bytes).map(|packet| packet.is_some()), Ok(complete), "{waiting}");
    }
    // Any negative count but -1 is an empty vector to ZooKeeper.
    let empty = hex(&format!("{ack} fffffffe"));
    assert_eq!(whole(&empty).authinfo, Some(Vector::EMPTY));
}

/// A stream cut anywhere gives the same packets.
#[test]
fn cuts_of_the_stream_change_nothing() {
    let mut prng = Prng::new(11);
    let identities = hex("00000002 00000002 'ip' 00000001 'h' ffffffff 00000000");
    let identities = Vector::<Identity>::parse(&identities).expect("a vector");
    let mut stream = Vec::new();
    let mut ends = Vec::new();
    for n in 0..60 {
        let zxid = Zxid(n);
        match n % 4 {
            0 => encode_proposal(zxid, &vec![n as u8; prng.below(50) as usize], &mut stream),
            1 => encode_commit(zxid, &mut stream),
            2 => {
                let request = ForwardedRequest { session: SessionId(n), cxid: 1, opcode: 2, body: b"xyz" };
                encode_request(&request, Some(identities), &mut stream);
            }
            _ => encode_ping_reply(zxid, [], &mut stream),
        }
        ends.push(stream.len());
    }
    for _ in 0..50 {
        let (mut at, mut received, mut found) = (0, 0, Vec::new());
        while received < stream.len() {
            received = (received + 1 + prng.below(40) as usize).min(stream.len());
            while let Some((_, length)) = decode(&stream[at..received]).expect("sound") {
                at += length;
                found.push(at);
            }
        }
        assert_eq!(found, ends);
    }
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let show = |text: &str| decode(&hex(text)).expect_err("bad").to_string();
    assert_eq!(
        show("00000002 0000000000000001 7fffffff"),
        "PROPOSAL of 2147483647 bytes, allowed are 0 to 1048575 (jute.maxbuffer must agree on all servers)"
    );
    assert_eq!(
        show("47455420"),
        "1195725856 is no kind of packet between servers: is this a ZooKeeper server's quorum port?"
    );
}
