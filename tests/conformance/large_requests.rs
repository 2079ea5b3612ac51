//! `largeRequestThreshold` and `largeRequestMaxBytes`: one large request too many ends its connection, and no session.

use ringkeeper::wire::Opcode;
use ringkeeper::wire::client::SetDataRequest;

use crate::support::client::PERSISTENT;
use crate::support::server::Config;
use crate::support::wait::until;
use crate::support::{Client, Connect, Server};

const THRESHOLD: usize = 1_000;
const MAX: usize = 3_000;
/// What surrounds the data in a frame that sets it: two headers' fields, the path "/a", a length and a version.
const AROUND: usize = 8 + 4 + 2 + 4 + 4;

fn server() -> Server {
    Config::default().set("largeRequestThreshold", THRESHOLD).set("largeRequestMaxBytes", MAX).start()
}

fn rejected(server: &Server) -> u64 {
    let text = server.word("mntr");
    let count = text.lines().find_map(|line| line.strip_prefix("zk_large_requests_rejected\t"));
    count.unwrap_or_else(|| panic!("no count in {text:?}")).parse().expect("a number")
}

#[test]
fn a_request_that_never_fits_is_refused_by_its_length_alone() {
    let server = server();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    for rounds in 1..=3 {
        // One byte less fits, again and again: what was answered is given back.
        for _ in 0..5 {
            client.set_data("/a", &vec![7; MAX - AROUND], -1).expect("fits");
        }
        let length = u32::try_from(MAX + 1).expect("short");
        client.send_bytes(&length.to_be_bytes());
        client.assert_closed();
        assert_eq!(rejected(&server), rounds);
        client = Connect::again(&client).open(&server);
    }
    assert_eq!(client.data("/a").len(), MAX - AROUND);
}

/// A connect request is a frame like all others. What isn't one at all is something else.
#[test]
fn connect_requests_count_too_and_bad_lengths_do_not() {
    let server = server();
    let mut stranger = Client::on(server.socket());
    stranger.send_bytes(&u32::try_from(MAX + 1).expect("short").to_be_bytes());
    stranger.assert_closed();
    assert_eq!(rejected(&server), 1);
    for length in [-1, 1_048_576] {
        let mut client = Client::connect(&server);
        client.send_bytes(&i32::to_be_bytes(length));
        client.assert_closed();
    }
    assert_eq!(rejected(&server), 1);
}

#[test]
fn two_at_a_time_are_too_many_where_one_fits() {
    let server = server();
    let mut client = Client::connect(&server);
    client.create("/a", b"", PERSISTENT);
    let data = [7; 2_000];
    let request = SetDataRequest { path: "/a".into(), data: Some(&data), version: -1 };
    let (_, first) = client.request(Opcode::SetData, &request);
    let (_, second) = client.request(Opcode::SetData, &request);
    client.send_bytes(&[first, second].concat());
    // The first is done, whether or not its answer comes out before the end.
    while client.next_frame().is_some() {}
    assert_eq!(rejected(&server), 1);
    let mut other = Connect::again(&client).open(&server);
    until("the first to be done", || (other.stat("/a").version == 1).then_some(()));
    // Nothing of it stays in flight.
    for version in 1..=5 {
        other.set_data("/a", &data, version).expect("fits");
    }
    assert_eq!(rejected(&server), 1);
}
