//! Every record of the peer protocol: random ones go out and come back; damage and noise panic nowhere. And what a real
//! ensemble said to itself, recorded.

use super::*;
use crate::base::{Epoch, Prng, ServerId, SessionId, Zxid};
use crate::wire::jute::Vector;
use crate::wire::testing::{Make, check_record, encoded, exercise, hex};
use crate::wire::txn::{Entry, Txn};
use crate::wire::{Decode, Encode};

#[test]
fn random_records_come_back_and_damage_panics_nowhere() {
    let mut make = Make(Prng::new(17));
    let mut damage = Prng::new(18);
    for _ in 0..300 {
        let packet = QuorumPacket {
            kind: make.pick(Kind::ALL),
            zxid: Zxid(make.i64()),
            data: make.data(),
            authinfo: make.or_null(|make| {
                make.vector(|make| Identity {
                    scheme: make.or_null(Make::text),
                    id: make.or_null(Make::text),
                })
            }),
        };
        check_record(&packet, 0, |bytes| exercise::<QuorumPacket>(bytes), &mut damage);
        let bytes = encoded(&packet);
        let mut out = Vec::new();
        packet::encode_packet(&packet, &mut out);
        assert_eq!(out, bytes);
        assert_eq!(packet::decode_prefix(&bytes, 1 << 20), Ok(Some((packet, bytes.len()))));
        for cut in 0..bytes.len() {
            assert_eq!(packet::decode_prefix(&bytes[..cut], 1 << 20), Ok(None), "{cut} bytes of {packet:?}");
        }
        let info = LearnerInfo {
            server: ServerId(make.i64()),
            protocol_version: Some(make.i32()),
            config_version: Some(make.i64()),
        };
        check_record(&info, 12, |bytes| exercise::<LearnerInfo>(bytes), &mut damage);
        let leader = LeaderInfo { protocol_version: make.i32() };
        check_record(&leader, 0, |bytes| exercise::<LeaderInfo>(bytes), &mut damage);
        let ack = AckEpoch { current_epoch: make.bool().then_some(Epoch(9)) };
        check_record(&ack, 0, |bytes| exercise::<AckEpoch>(bytes), &mut damage);
        let asked = Revalidation { session: SessionId(make.i64()), timeout_ms: make.i32() };
        check_record(&asked, 0, |bytes| exercise::<Revalidation>(bytes), &mut damage);
        let answer = RevalidationReply { session: SessionId(make.i64()), valid: make.bool() };
        check_record(&answer, 0, |bytes| exercise::<RevalidationReply>(bytes), &mut damage);
        let activation = Activation { designated_leader: ServerId(make.i64()) };
        check_record(&activation, 0, |bytes| exercise::<Activation>(bytes), &mut damage);
    }
}

#[test]
fn noise_panics_nowhere() {
    let mut prng = Prng::new(19);
    for _ in 0..20_000 {
        let length = prng.below(80) as usize;
        let mut bytes: Vec<u8> = (0..length)
            .map(|_| if prng.chance(2, 3) { 0 } else { prng.next() as u8 & prng.next() as u8 })
            .collect();
        if let Some(kind) = bytes.get_mut(3).filter(|_| prng.chance(3, 4)) {
            *kind = prng.below(20) as u8;
        }
        if let Ok(Some((packet, length))) = packet::decode_prefix(&bytes, 1 << 20) {
            assert!(length <= bytes.len());
            let _ = (packet.payload::<LearnerInfo>(), packet.payload::<ActivatedInform>());
            let _ = (packet.payload::<ForwardedRequest>(), packet.payload::<SessionTouches>());
        }
        let _ = Notification::decode(&bytes);
        let _ = notification::split(&bytes);
        if prng.chance(1, 2) && bytes.len() > 7 {
            bytes[..6].copy_from_slice(&[0xff; 6]);
        }
        let _ = Hello::decode_prefix(&bytes);
    }
}

/// The lines of `recorded.txt` below a heading: who sent it, its name, its bytes.
fn recorded(heading: &str) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let text = include_str!("recorded.txt");
    let (_, section) = text.split_once(&format!("\n## {heading}")).expect("this heading is in recorded.txt");
    let lines = section.lines().skip(1).take_while(|line| !line.is_empty());
    let found: Vec<_> = lines
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().expect("three words");
            (word(), word(), hex(word()))
        })
        .collect();
    assert!(!found.is_empty());
    found
}

/// The packet called `name`, the first, second ... one.
fn nth<'a>(lines: &'a [(&'static str, &'static str, Vec<u8>)], name: &str, nth: usize) -> QuorumPacket<'a> {
    let mut found = lines.iter().filter(|(_, found, _)| *found == name);
    let (_, _, bytes) = found.nth(nth).expect("so many of this name");
    packet::decode_prefix(bytes, 1 << 20).expect("a packet").expect("all of it").0
}

#[test]
fn every_recorded_line_is_what_it_is_called_and_encodes_to_itself() {
    let mut kinds = std::collections::BTreeSet::new();
    for line in include_str!("recorded.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let words: Vec<&str> = line.split(' ').collect();
        let bytes = hex(words[2]);
        match words[1] {
            "HELLO" => {
                let (hello, length) = Hello::decode_prefix(&bytes).expect(line).expect(line);
                assert_eq!((encoded(&hello), length), (bytes.clone(), bytes.len()), "{line}");
            }
            "NOTIFICATION" => {
                let (body, length) = notification::split(&bytes).expect(line).expect(line);
                assert_eq!(length, bytes.len());
                let seen = Notification::decode(body).expect(line);
                let config = seen.config.and_then(|text| text.as_str()).expect("a configuration");
                let again = OwnedNotification {
                    state: seen.state,
                    leader: seen.leader,
                    zxid: seen.zxid,
                    round: seen.round,
                    peer_epoch: seen.peer_epoch,
                    config: config.into(),
                };
                assert_eq!(encoded(&again), bytes, "{line}");
            }
            name => {
                let (packet, length) = packet::decode_prefix(&bytes, 1 << 20).expect(line).expect(line);
                assert_eq!((packet.kind.name(), length), (name, bytes.len()), "{line}");
                assert_eq!(encoded(&packet), bytes, "{line}");
                kinds.insert(packet.kind);
                for cut in 0..bytes.len() {
                    assert_eq!(packet::decode_prefix(&bytes[..cut], 1 << 20), Ok(None), "{line}");
                }
            }
        }
    }
    // TRUNC is the only one that this ensemble had no reason to send.
    assert_eq!(kinds.len(), Kind::ALL.len() - 1, "{kinds:?}");
}

#[test]
fn what_a_recorded_follower_said() {
    let first = recorded("follower 1 to its leader");
    let info = nth(&first, "FOLLOWERINFO", 0);
    assert_eq!((info.zxid, info.payload()), (Zxid(0), Ok(LearnerInfo::new(ServerId(1), 0))));
    let ack = nth(&first, "ACKEPOCH", 0);
    assert_eq!((ack.zxid, ack.payload()), (Zxid(0), Ok(AckEpoch { current_epoch: Some(Epoch(0)) })));
    let create_session: ForwardedRequest = nth(&first, "REQUEST", 0).payload().expect("a request");
    let body = 10_000_i32.to_be_bytes();
    let session = SessionId(0x0100_016f_3ad6_0000);
    assert_eq!(create_session, ForwardedRequest { session, cxid: 0, opcode: -10, body: &body });
    let create = nth(&first, "REQUEST", 1);
    let mut out = Vec::new();
    packet::encode_request(&create.payload().expect("a request"), create.authinfo, &mut out);
    assert_eq!(out, encoded(&create));
    let shown = |packet: QuorumPacket| -> Vec<String> {
        let identities = packet.authinfo.expect("identities");
        identities.iter().map(|who| format!("{}", who.scheme.expect("a scheme"))).collect()
    };
    assert_eq!(shown(create), ["ip"]);
    assert_eq!(shown(nth(&first, "REQUEST", 2)), ["ip", "digest"]);
    let sync: ForwardedRequest = nth(&first, "REQUEST", 3).payload().expect("a request");
    assert_eq!((sync.opcode, sync.cxid), (9, 3));

    let second = recorded("follower 2 to its leader");
    assert_eq!(nth(&second, "PING", 0).payload::<SessionTouches>().map(|touches| touches.len()), Ok(0));
    let touches: SessionTouches = nth(&second, "PING", 1).payload().expect("sessions");
    assert_eq!(touches.iter().collect::<Vec<_>>(), [SessionTouch { session, timeout_ms: 10_000 }]);
    let asked = Revalidation { session, timeout_ms: 10_000 };
    assert_eq!(nth(&second, "REVALIDATE", 0).payload(), Ok(asked));
    let answer = recorded("the leader to follower 2");
    let answer = nth(&answer, "REVALIDATE", 0).payload();
    assert_eq!(answer, Ok(RevalidationReply { session, valid: true }));

    let again = recorded("follower 2, started again");
    let info = nth(&again, "FOLLOWERINFO", 0);
    assert_eq!((info.zxid, info.payload()), (Zxid(1 << 32), Ok(LearnerInfo::new(ServerId(2), 1 << 32))));
    let ack = nth(&again, "ACKEPOCH", 0);
    assert_eq!((ack.zxid, ack.payload()), (Zxid(0x1_0000_0003), Ok(AckEpoch { current_epoch: None })));
}

#[test]
fn what_a_recorded_leader_said() {
    let first = recorded("the leader to follower 1");
    assert_eq!(nth(&first, "LEADERINFO", 0).payload(), Ok(LeaderInfo { protocol_version: 0x1_0000 }));
    assert_eq!(nth(&first, "PING", 0), QuorumPacket::bare(Kind::Ping, Zxid(1 << 32)));
    assert_eq!(nth(&first, "SYNC", 0), QuorumPacket::bare(Kind::Sync, Zxid(0)));
    let text = nth(&first, "NEWLEADER", 0).data.expect("a configuration");
    assert!(text.starts_with(b"server.1=127.0.0.1:27110:27111:participant;127.0.0.1:27112\n"));
    let proposal = nth(&first, "PROPOSAL", 1);
    let entry = Entry::parse(proposal.data.expect("a transaction")).expect("a transaction");
    assert_eq!((entry.header.zxid, proposal.zxid), (Zxid(0x1_0000_0002), Zxid(0x1_0000_0002)));
    assert!(matches!(entry.txn, Txn::Create(create) if create.path.as_str() == Some("/a")));
    let mut out = Vec::new();
    packet::encode_proposal(proposal.zxid, proposal.data.unwrap_or_default(), &mut out);
    assert_eq!(out, encoded(&proposal));
    let activate = nth(&first, "COMMITANDACTIVATE", 0);
    assert_eq!(activate.payload(), Ok(Activation { designated_leader: ServerId(3) }));
    let behind = recorded("the leader to follower 2: it was behind");
    assert_eq!(nth(&behind, "DIFF", 0), QuorumPacket::bare(Kind::Diff, Zxid(0x1_0000_0006)));

    let observer = recorded("the leader to observer 10");
    let inform = nth(&observer, "INFORM", 1);
    assert_eq!(inform.data, proposal.data);
    let activated: ActivatedInform = nth(&observer, "INFORMANDACTIVATE", 0).payload().expect("a transaction");
    assert_eq!(activated.designated_leader, ServerId(3));
    assert_eq!(Some(activated.proposal), nth(&first, "PROPOSAL", 4).data);
}

#[test]
fn what_recorded_servers_said_at_the_election() {
    let lines = recorded("server 3 dials server 2, which was started again");
    let (hello, _) = Hello::decode_prefix(&lines[0].2).expect("a hello").expect("all of it");
    assert_eq!((hello.server, hello.addresses), (ServerId(3), vec![Address::new("127.0.0.1", 27131)]));
    let vote = |line: &'static str, n: usize| {
        let (body, _) =
            notification::split(&recorded(line)[n].2.clone().leak()[..]).expect("a frame").expect("all");
        let seen = Notification::decode(body).expect("a vote");
        assert_eq!(seen.version, notification::VERSION);
        (seen.state, seen.leader.0, seen.zxid.0, seen.round, seen.peer_epoch.0)
    };
    // What was said last is said again when the link comes back, then the answer to the newcomer.
    let line = "server 3 dials server 2, which was started again";
    assert_eq!(vote(line, 1), (PeerState::Looking, 3, 0, 1, 0));
    assert_eq!(vote(line, 2), (PeerState::Leading, 3, 0, 1, 1));
    let line = "server 2 on that connection";
    assert_eq!(vote(line, 0), (PeerState::Looking, 2, 0x1_0000_0003, 1, 1));
    // An observer has no vote.
    assert_eq!(vote("observer 10 dials server 3", 1), (PeerState::Looking, i64::MIN, i64::MIN, 1, i64::MIN));
    assert_eq!(vote("server 3 on that connection", 0), (PeerState::Leading, 3, 0, 1, 1));
}

/// An empty vector and null differ, and both survive.
#[test]
fn identities_keep_null_and_empty_apart() {
    let packet = |authinfo| QuorumPacket { authinfo, ..QuorumPacket::bare(Kind::Request, Zxid(-1)) };
    for authinfo in [None, Some(Vector::EMPTY)] {
        let bytes = encoded(&packet(authinfo));
        assert_eq!(QuorumPacket::parse(&bytes).map(|packet| packet.authinfo), Ok(authinfo));
    }
    let mut out = Vec::new();
    packet(None).encode(&mut out);
    assert_eq!(out[16..], [0xff; 4]);
}
