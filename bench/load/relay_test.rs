//! Against real sockets: what goes in comes out, in order, not before its time.

#![expect(clippy::disallowed_methods, reason = "the ends of a relay are threads of the test's own")]

use super::*;
use std::net::Ipv4Addr;
use std::thread;

const DELAY: Duration = Duration::from_millis(20);

/// A relay in front of a server that sends back what it gets.
fn echo() -> SocketAddr {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let to = server.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in server.incoming().flatten() {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    relay_to(to)
}

fn relay_to(to: SocketAddr) -> SocketAddr {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let relay = Relay::new(&[Link { listen, to, delay: DELAY }]).expect("a port");
    let address = relay.addresses().expect("bound")[0];
    thread::spawn(move || relay.run());
    address
}

#[test]
fn all_comes_back_in_order_after_both_ways() {
    let stream = TcpStream::connect(echo()).expect("the relay listens");
    let sent: Vec<u8> = (0..40 << 20).map(|at: u32| (at % 251) as u8).collect();
    let begin = clock::now();
    let writer = stream.try_clone().expect("a second handle");
    let copy = sent.clone();
    let writing = thread::spawn(move || {
        (&writer).write_all(&copy).expect("it is read");
        writer.shutdown(Shutdown::Write).expect("open");
    });
    let mut first = [0];
    (&stream).read_exact(&mut first).expect("an answer");
    let took = Duration::from_nanos(clock::now() - begin);
    assert!(took >= 2 * DELAY, "{took:?}");
    let mut came = first.to_vec();
    (&stream).read_to_end(&mut came).expect("an end");
    writing.join().expect("all is written");
    assert!(came == sent, "{} of {} bytes, or others", came.len(), sent.len());
}

#[test]
fn a_refused_connection_ends_and_others_go_on() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let closed = nobody.local_addr().expect("bound");
    drop(nobody);
    let address = relay_to(closed);
    for _ in 0..3 {
        let stream = TcpStream::connect(address).expect("the relay listens");
        assert_eq!((&stream).read(&mut [0]).expect("an end"), 0);
    }
}

#[test]
fn links_are_read_and_what_is_none_is_told() {
    let link: Link = "127.0.0.1:3000=127.0.0.1:2888/500".parse().expect("a link");
    assert_eq!((link.listen.port(), link.to.port(), link.delay), (3000, 2888, Duration::from_micros(500)));
    for wrong in
        ["", "127.0.0.1:3000", "127.0.0.1:3000=127.0.0.1:2888", "3000=2888/5", "127.0.0.1:1=127.0.0.1:2/x"]
    {
        let fault = wrong.parse::<Link>().expect_err(wrong);
        assert!(fault.contains("LISTEN=TO/MICROSECONDS"), "{fault}");
    }
}
