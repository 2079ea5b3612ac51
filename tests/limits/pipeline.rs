//! Many requests on one connection, sent by one thread while another reads the replies.

use std::thread;

use ringkeeper::wire::client::{CreateRequest, ExistsRequest};
use ringkeeper::wire::{AclList, Encode, Opcode};

use crate::Bystander;
use crate::support::{Client, Message};

/// Bytes handed to the socket at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Replies between two signs of the bystander's life.
const BETWEEN: usize = 20_000;

/// Sends `count` requests, each encoded by `request`, and reads their replies, which may say that there is no such node.
/// Events that come between are passed over. Somebody else goes on with his life meanwhile.
pub fn run(
    (client, bystander): (&mut Client, &mut Bystander),
    count: usize,
    mut request: impl FnMut(&mut Client, usize) -> Vec<u8> + Send,
) {
    let mut reader = client.reader();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut chunk = Vec::new();
            for number in 0..count {
                chunk.extend(request(client, number));
                if chunk.len() >= CHUNK_BYTES || number + 1 == count {
                    client.send_bytes(&chunk);
                    chunk.clear();
                }
            }
        });
        let mut replies = 0;
        while replies < count {
            if let Message::Reply(reply) = reader.next() {
                assert!(matches!(reply.err, 0 | -101), "reply {replies}: error {}", reply.err);
                replies += 1;
                if replies.is_multiple_of(BETWEEN) {
                    bystander.lives();
                }
            }
        }
    });
}

pub fn creates(
    (client, bystander): (&mut Client, &mut Bystander),
    count: usize,
    flags: i32,
    path: impl Fn(usize) -> String + Send + Copy,
    data: &[u8],
) {
    run((client, bystander), count, move |client, number| {
        let path = path(number);
        let request =
            CreateRequest { path: path.as_str().into(), data: Some(data), acl: Some(AclList::OPEN), flags };
        encoded(client, Opcode::Create, &request)
    });
}

/// Leaves a watch on each path, whether it exists or not.
pub fn watches(
    (client, bystander): (&mut Client, &mut Bystander),
    count: usize,
    path: impl Fn(usize) -> String + Send + Copy,
) {
    run((client, bystander), count, move |client, number| {
        let path = path(number);
        encoded(client, Opcode::Exists, &ExistsRequest { path: path.as_str().into(), watch: true })
    });
}

fn encoded(client: &mut Client, opcode: Opcode, request: &impl Encode) -> Vec<u8> {
    client.request(opcode, request).1
}
