//! Many connections, most of them idle.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::Connect;
use crate::support::{Config, Server, until};
use crate::{Bystander, alone, anonymous_mb, connections};

const ADDRESSES: u8 = 250;
/// `maxClientCnxns`' default: what one address may have.
const PER_ADDRESS: usize = 60;
/// Of the response to a connect request that came with the readOnly byte.
const RESPONSE_BYTES: usize = 41;

fn dial(from: Ipv4Addr, server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("loopback addresses need no setup");
    socket.connect(&server.address().into()).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a plain socket");
    stream
}

#[test]
fn fifteen_thousand_idle_connections_from_250_addresses_are_no_burden() {
    let _alone = alone();
    let server = Config::default().set("maxSessionTimeout", 600_000).start();
    let mut bystander = Bystander::new(&server);
    let before = anonymous_mb(&server);

    let hello = Connect { timeout_ms: 600_000, ..Connect::default() }.frame();
    let mut crowd = Vec::new();
    for address in 1..=ADDRESSES {
        let from = Ipv4Addr::new(127, 0, 7, address);
        let first = crowd.len();
        for _ in 0..PER_ADDRESS {
            let mut stream = dial(from, &server);
            stream.write_all(&hello).expect("the connection is there");
            crowd.push(stream);
        }
        for stream in &mut crowd[first..] {
            let mut response = [0; RESPONSE_BYTES];
            stream.read_exact(&mut response).expect("a session");
            assert_ne!(&response[12..20], &[0; 8], "a session id");
        }
    }
    assert_eq!(connections(&server), crowd.len() + 1 + 1, "the crowd, the bystander, and who asks");
    bystander.lives();
    let grown = anonymous_mb(&server) - before;
    assert!(grown < 60, "{grown} MB for {} idle connections", crowd.len());

    // One more from an address that has all it may have: closed without a byte.
    let mut one_more = dial(Ipv4Addr::new(127, 0, 7, 1), &server);
    let _ = one_more.write_all(&hello);
    assert!(matches!(one_more.read(&mut [0; 1]), Ok(0) | Err(_)), "the 61st connection of an address");

    drop(crowd);
    until("the crowd is gone", || (connections(&server) == 2).then_some(()));
    bystander.lives();
    dial(Ipv4Addr::new(127, 0, 7, 1), &server).write_all(&hello).expect("there is room again");
}
