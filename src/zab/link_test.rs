//! Packets as they come in pieces, and identities that are too long to be kept.

use super::*;
use crate::base::Zxid;
use crate::base::limits::AUTHINFO_BYTES_MAX;
use crate::wire::peer::{Encode, Identity};

const PAYLOAD_MAX: usize = 1 << 20;

/// A request with so many identities of so many bytes each.
fn request(payload: &[u8], count: usize, bytes: usize) -> Vec<u8> {
    let id = "i".repeat(bytes);
    let mut packet = packet::head(Kind::Request, Zxid(-1), payload.len()).to_vec();
    packet.extend_from_slice(payload);
    let shown = Identity { scheme: Some("digest".into()), id: Some(id.as_str().into()) };
    packet.extend((count as u32).to_be_bytes());
    for _ in 0..count {
        shown.encode(&mut packet);
    }
    packet
}

fn drain(stream: &mut Stream) -> Vec<Bytes> {
    std::iter::from_fn(|| stream.next(PAYLOAD_MAX).expect("sound")).collect()
}

/// Whatever the pieces, the request comes without its identities, what is around it as it was sent, and little is held.
#[test]
fn identities_that_are_too_long_are_passed_over() {
    let mut before = vec![];
    packet::encode_bare(Kind::Ack, Zxid(5), &mut before);
    for (count, bytes) in [(400, 4_000), (2, AUTHINFO_BYTES_MAX), (60_000, 20)] {
        let long = request(b"payload", count, bytes);
        assert!(long.len() > AUTHINFO_BYTES_MAX);
        let sent = [&before[..], &long, &request(b"next", 3, 9), &before].concat();
        for piece in [1_021, 65_536, sent.len()] {
            let (mut stream, mut found, mut most) = (Stream::default(), vec![], 0);
            for bytes in sent.chunks(piece) {
                stream.push(bytes);
                found.extend(drain(&mut stream));
                most = most.max(stream.rest.len());
            }
            assert_eq!(found.len(), 4, "{count} of {bytes} bytes in pieces of {piece}");
            assert!(most <= AUTHINFO_BYTES_MAX + piece, "{most}");
            let packets: Vec<_> = found.iter().map(|bytes| decode(bytes).expect("a packet")).collect();
            assert_eq!((packets[0].kind, packets[3].zxid), (Kind::Ack, Zxid(5)));
            let shown = |at: usize| packets[at].authinfo.expect("some").iter().collect::<Vec<_>>();
            assert_eq!(packets[1].data, Some(&b"payload"[..]));
            assert_eq!(shown(1), [Identity { scheme: None, id: None }]);
            assert_eq!((packets[2].data, shown(2).len()), (Some(&b"next"[..]), 3));
        }
    }
}

/// Of a request only: nobody else has any.
#[test]
fn what_cant_be_passed_over_is_an_error() {
    let mut ack = request(b"", 400, 4_000);
    let code = {
        let mut bytes = vec![];
        Kind::Ack.encode(&mut bytes);
        bytes
    };
    ack[..4].copy_from_slice(&code);
    let mut negative = request(b"", 400, 4_000);
    // The length of the second identity's scheme.
    let at = packet::HEAD_BYTES + 4 + 10 + 4_004;
    negative[at..at + 4].copy_from_slice(&(-7i32).to_be_bytes());
    for bytes in [ack, negative] {
        let mut stream = Stream::default();
        stream.push(&bytes);
        assert!(matches!(stream.next(PAYLOAD_MAX), Err(PacketError::AuthinfoLength { .. })));
    }
    // Far behind, where it is passed over already.
    let mut late = request(b"", 400, 4_000);
    let at = late.len() - 4_004;
    late[at..at + 4].copy_from_slice(&(-7i32).to_be_bytes());
    let mut stream = Stream::default();
    stream.push(&late);
    assert!(stream.next(PAYLOAD_MAX).is_err());
}
